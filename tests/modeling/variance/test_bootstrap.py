"""Bootstraps against refits, definitions and the exact distribution."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import statsmodels.api as sm

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.optimum.newton import newton
from llmdemand.modeling.variance import bootstrap
from llmdemand.modeling.variance.bootstrap import multipliers, pairs_bootstrap
from llmdemand.modeling.variance.score_bootstrap import score_bootstrap, score_interval

pytestmark = pytest.mark.numbers


def data_of(clusters=8, each=30, outcome="choice", seed=5):
    rng = np.random.default_rng(seed)
    n = clusters * each
    who = np.repeat(np.arange(clusters), each)
    price = rng.choice([1.0, 2, 3, 4, 5], n)
    old = rng.integers(0, 2, n).astype(float)
    taste = rng.normal(0, 0.5, clusters)[who]
    p = 1 / (1 + np.exp(-(2.0 - 0.7 * price + 0.4 * old + taste)))
    y = (rng.random(n) < p).astype(float) if outcome == "choice" else rng.beta(3 * p, 3 * (1 - p))
    return Cells.of_rows(np.column_stack([np.ones(n), price, old]), y, {"who": who})


def merged(data, by_group=True):
    keys = np.column_stack([data.x, *(data.groups.values() if by_group else ())])
    _, first, cell = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    cell = cell.reshape(-1)
    count = np.bincount(cell, data.count)
    mean = np.bincount(cell, data.count * data.mean) / count
    within = np.bincount(cell, data.count * (data.mean - mean[cell]) ** 2)
    groups = {name: codes[first] for name, codes in data.groups.items()} if by_group else {}
    return Cells(data.x[first], count, mean, within, np.ones(len(first)), groups)


def as_cases(data):
    n = len(data.mean)
    x = np.zeros((2 * n, data.size))
    x[::2] = data.x
    y = np.column_stack([data.mean, 1 - data.mean]).ravel()
    labels = np.tile([0, 1], n)
    return Cases(x, y, 2 * np.arange(n), data.count, data.weight, data.groups, labels)


# -- pairs --------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["choice", "belief"])
def test_each_draw_is_a_refit_of_its_clusters(outcome):
    data = data_of(outcome=outcome)
    draws = pairs_bootstrap(data, None, "who", reps=20, seed=9)
    assert not draws.failed.any()
    assert draws.text == "20 bootstrap samples of 8 clusters of 'who', seed 9"
    for b in (0, 7, 19):
        chosen = np.random.default_rng((9, b)).integers(8, size=8)
        rows = np.concatenate([np.flatnonzero(data.groups["who"] == g) for g in chosen])
        model = sm.GLM(data.mean[rows], data.x[rows], family=sm.families.Binomial())
        np.testing.assert_allclose(
            draws.params[b], model.fit(tol=1e-14, maxiter=200).params, rtol=1e-7
        )
    centred = draws.params - draws.params.mean(axis=0)
    np.testing.assert_allclose(draws.covariance(), centred.T @ centred / 19)


def test_draws_depend_on_nothing_but_the_seed(monkeypatch):
    data = data_of()
    long = pairs_bootstrap(data, None, "who", reps=60, seed=2)
    short = pairs_bootstrap(data, None, "who", reps=30, seed=2)
    np.testing.assert_allclose(long.params[:30], short.params, rtol=1e-12)
    monkeypatch.setattr(bootstrap, "_CHUNK", 17)
    np.testing.assert_allclose(
        pairs_bootstrap(data, None, "who", reps=60, seed=2).params, long.params, rtol=1e-12
    )
    # Fitted one by one, from the estimate.
    monkeypatch.setattr(bootstrap, "_POINTS", 0)
    start = newton(data).params
    slow = pairs_bootstrap(data, start, "who", reps=60, seed=2)
    np.testing.assert_allclose(slow.params, long.params, rtol=1e-7)
    assert not np.allclose(pairs_bootstrap(data, None, "who", reps=60, seed=3).params, long.params)


def test_cells_cases_and_firth_draw_the_same_samples():
    data = data_of()
    start = newton(data).params
    for firth in (False, True):
        rows = pairs_bootstrap(data, start, "who", reps=25, firth=firth)
        cells = pairs_bootstrap(merged(data), start, "who", reps=25, firth=firth)
        cases = pairs_bootstrap(as_cases(data), start, "who", reps=25, firth=firth)
        np.testing.assert_allclose(cells.params, rows.params, rtol=1e-7)
        np.testing.assert_allclose(cases.params, rows.params, rtol=1e-6)


@pytest.mark.parametrize("points", [512, 0])
def test_separated_and_collinear_samples_are_marked_and_counted(monkeypatch, points):
    monkeypatch.setattr(bootstrap, "_POINTS", points)
    x = np.column_stack([np.ones(8), np.tile([1.0, 2.0], 4)])
    y = np.array([1.0, 0, 1, 0, 1, 1, 0, 0])
    data = Cells.of_rows(x, y, {"who": np.repeat(np.arange(4), 2)})
    draws = pairs_bootstrap(data, None, "who", reps=200)
    for b in range(200):
        chosen = np.random.default_rng((1, b)).integers(4, size=4)
        ones = {v: {y[2 * g + v] for g in chosen} for v in (0, 1)}
        overlap = len(ones[0]) == 2 and len(ones[1]) == 2
        assert draws.failed[b] == (not overlap)
    assert np.isnan(draws.params[draws.failed]).all()
    assert np.isfinite(draws.params[~draws.failed]).all()
    assert f"; {draws.failed.sum()} of them have no estimate" in draws.text
    with pytest.raises(DesignError, match=f"{draws.failed.sum()} of 200 .* no estimate"):
        draws.covariance()
    assert not pairs_bootstrap(data, None, "who", reps=50, firth=True).failed.any()
    # One cluster alone at the other price: samples without it have one price.
    x[:, 1] = [1, 1, 1, 1, 1, 1, 2, 2]
    draws = pairs_bootstrap(
        Cells.of_rows(x, 0.2 + 0.5 * y, data.groups), None, "who", reps=40, firth=True
    )
    without = [3 not in np.random.default_rng((1, b)).integers(4, size=4) for b in range(40)]
    np.testing.assert_array_equal(draws.failed, without)


def test_observations_are_drawn_one_by_one_from_cells_of_zeros_and_ones():
    data = replace(data_of(outcome="choice"), groups={})
    rows = pairs_bootstrap(data, reps=3_000, seed=1)
    cells = merged(data)
    grouped = pairs_bootstrap(cells, reps=3_000, seed=2)
    assert grouped.units == rows.units == 240 and grouped.unit == "observations"
    # Two Monte Carlo estimates of one distribution: relative error 1 / sqrt(2 * 3000) each.
    np.testing.assert_allclose(
        np.sqrt(np.diag(grouped.covariance())), np.sqrt(np.diag(rows.covariance())), rtol=0.08
    )
    np.testing.assert_allclose(grouped.params.mean(axis=0), rows.params.mean(axis=0), atol=0.05)
    # A frequency weight is that many observations, equal and drawn apart.
    heavy = replace(data, count=data.count * 4)
    scaled = pairs_bootstrap(heavy, reps=1_000).covariance() * 4
    np.testing.assert_allclose(np.diag(scaled), np.diag(rows.covariance()), rtol=0.2)


def test_sums_of_fractions_cannot_be_drawn_apart():
    cells = merged(replace(data_of(outcome="belief"), groups={}))
    with pytest.raises(UsageError, match="cannot be resampled; name a cluster column"):
        pairs_bootstrap(cells, reps=5)
    with pytest.raises(UsageError, match="reps=1"):
        pairs_bootstrap(cells, reps=1)
    with pytest.raises(UsageError, match="no clusters 'who': the data have none"):
        pairs_bootstrap(cells, None, "who")


def test_sampling_weights_go_with_their_observations():
    data = data_of()
    heavy = replace(data, weight=np.random.default_rng(1).uniform(0.5, 3, 240))
    fast = pairs_bootstrap(heavy, None, "who", reps=5)
    chosen = np.random.default_rng((1, 4)).integers(8, size=8)
    rows = np.concatenate([np.flatnonzero(data.groups["who"] == g) for g in chosen])
    model = sm.GLM(
        data.mean[rows],
        data.x[rows],
        family=sm.families.Binomial(),
        freq_weights=heavy.weight[rows],
    )
    np.testing.assert_allclose(fast.params[4], model.fit(tol=1e-14, maxiter=200).params, rtol=1e-7)


# -- multipliers --------------------------------------------------------------------------


def test_few_clusters_get_every_vector_of_signs_once():
    v, enumerated = multipliers(9, 512, 1)
    assert enumerated and {tuple(row) for row in v} == set(product([-1.0, 1.0], repeat=9))
    assert v[0].tolist() == [1.0] * 9
    v, enumerated = multipliers(9, 511, 1)
    assert not enumerated and v.shape == (511, 9)
    np.testing.assert_array_equal(multipliers(9, 100, 1)[0], v[:100])


@pytest.mark.parametrize(
    "weights, third, values", [("rademacher", 0, 2), ("webb", 0, 6), ("mammen", 1, 2)]
)
def test_moments_of_the_weights(weights, third, values):
    v = multipliers(40, 5_000, 3, weights)[0].ravel()
    assert len(np.unique(v.round(12))) == values
    np.testing.assert_allclose([v.mean(), (v**2).mean(), (v**3).mean()], [0, 1, third], atol=0.015)
    with pytest.raises(UsageError, match="did you mean 'mammen'"):
        multipliers(40, 50, 3, "mamen")


# -- scores -------------------------------------------------------------------------------


def by_hand(data, restriction, value, v):
    """The statistics of Kline and Santos, restricted estimate by a general optimiser."""
    from scipy.optimize import LinearConstraint, minimize

    restriction = np.atleast_2d(restriction)
    b = minimize(
        lambda b: -data.llf(b) / 100,
        newton(data).params,
        jac=lambda b: -data.scores(b).sum(axis=0) / 100,
        constraints=LinearConstraint(restriction, value, value),
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    ).x
    a = np.linalg.inv(data.information(b))
    clusters = data.groups["who"].max() + 1
    u = np.stack([data.scores(b)[data.groups["who"] == g].sum(axis=0) for g in range(clusters)])
    u = u @ a @ restriction.T
    share = np.bincount(data.groups["who"]) / len(data.mean)
    found = []
    for one in v:
        n = one @ u
        j = one[:, None] * u - np.outer(share, n)
        found.append(n @ np.linalg.inv(j.T @ j) @ n)
    return b, np.array(found)


@pytest.mark.parametrize(
    "restriction, value",
    [([0, 1.0, 0], -0.5), ([0, 1.0, 1.0], 0.0), ([[0, 1.0, 0], [0, 0, 1.0]], [-0.4, 0.1])],
)
def test_score_bootstrap_is_its_definition(restriction, value):
    data = data_of(each=25)
    uneven = data.weighted((np.arange(200) % 25 < 6 + 2 * (np.arange(200) // 25)).astype(float))
    value = np.atleast_1d(value)
    test = score_bootstrap(uneven, np.array(restriction), value, "who")
    v, _ = multipliers(8, 999, 1)
    b, statistics = by_hand(uneven, restriction, value, v)
    np.testing.assert_allclose(test.params, b, atol=1e-5)
    assert test.statistic == pytest.approx(statistics[0], rel=1e-3)
    assert test.pvalue == pytest.approx((statistics >= statistics[0] * (1 - 1e-6)).mean())
    assert test.enumerated and test.reps == 256 and test.df == len(value)
    assert "8 clusters of 'who', rademacher weights, all 256 vectors of signs" in str(test)
    np.testing.assert_allclose(np.atleast_2d(restriction) @ test.params, value, atol=1e-10)
    webb = score_bootstrap(uneven, np.array(restriction), value, "who", weights="webb", reps=499)
    assert not webb.enumerated and 1 / 500 <= webb.pvalue <= 1
    assert webb.statistic == pytest.approx(test.statistic)


def test_score_bootstrap_does_not_depend_on_units_or_on_the_shape_of_data():
    data = data_of()
    r = np.array([0, 1.0, 0])
    start = newton(data).params
    test = score_bootstrap(data, r, -0.4, "who", weights="webb", start=start)
    scale = np.array([1.0, 1e-5, 1e3])
    x = data.x * scale
    x[:, 1] += 0.02
    moved = score_bootstrap(replace(data, x=x), r * scale, -0.4, "who", weights="webb")
    cells = score_bootstrap(merged(data), r, -0.4, "who", weights="webb")
    cases = score_bootstrap(as_cases(data), r, -0.4, "who", weights="webb")
    for other in (moved, cells, cases):
        assert other.pvalue == test.pvalue
        assert other.statistic == pytest.approx(test.statistic, rel=1e-6)


def test_the_truth_at_the_estimate_and_far_away():
    data = data_of()
    fit = newton(data)
    assert score_bootstrap(data, np.array([0, 1.0, 0]), fit.params[1], "who").pvalue > 0.99
    far = score_bootstrap(data, np.array([0, 1.0, 0]), 2.0, "who")
    assert far.pvalue == 2 / 256


@pytest.mark.parametrize("weights", ["rademacher", "webb"])
def test_interval_ends_where_the_test_begins_to_reject(weights):
    data = data_of(outcome="belief")
    fit = newton(data)
    interval = score_interval(data, fit.params, 1, "who", weights=weights)
    assert interval.low < fit.params[1] < interval.high and interval.notes == ()
    step = 2e-4 * (interval.high - interval.low)
    for end, outward in ((interval.low, -1), (interval.high, 1)):
        r = np.array([0, 1.0, 0])
        assert score_bootstrap(data, r, end + outward * step, "who", weights=weights).pvalue <= 0.05
        assert score_bootstrap(data, r, end - outward * step, "who", weights=weights).pvalue > 0.05
    assert str(interval).startswith("95 % score bootstrap interval [")
    wide = score_interval(data, fit.params, 1, "who", weights=weights, alpha=0.02)
    assert wide.low < interval.low and interval.high < wide.high


def test_too_few_clusters_for_the_level():
    data = data_of(clusters=5)
    fit = newton(data)
    interval = score_interval(data, fit.params, 1, "who")
    assert (interval.low, interval.high) == (-np.inf, np.inf)
    assert "no p-value below 0.0625" in interval.notes[0]
    webb = score_interval(data, fit.params, 1, "who", weights="webb")
    assert -5 < webb.low < fit.params[1] < webb.high < 5
    with pytest.raises(DesignError, match="2 clusters cannot test 2 restrictions"):
        score_bootstrap(
            data_of(clusters=2, each=60), np.array([[0, 1.0, 0], [0, 0, 1.0]]), np.zeros(2), "who"
        )


def test_firth_has_a_score_bootstrap_for_separated_data():
    x = np.column_stack([np.ones(24), np.tile([1.0, 2, 3, 4], 6)])
    x[20:, 1] += [0.0, 0.1, 0.5, 1.0]
    y = np.tile([1.0, 1, 0, 0], 6)
    data = Cells.of_rows(x, y, {"who": np.repeat(np.arange(6), 4)})
    fit = newton(data, firth=True)
    assert fit.converged
    test = score_bootstrap(data, np.array([0, 1.0]), 0.0, "who", firth=True)
    assert test.pvalue == 2 / 64
    at = score_bootstrap(data, np.array([0, 1.0]), fit.params[1], "who", firth=True)
    assert at.pvalue > 0.9
    with pytest.raises(DesignError, match="no estimate under the restriction"):
        score_bootstrap(data, np.array([1.0, 2.5]), 0.0, "who")


def test_restrictions_that_are_none():
    data = data_of()
    with pytest.raises(UsageError, match=r"shape \(1, 2\), expected \(1, 3\)"):
        score_bootstrap(data, np.array([0, 1.0]), 0.0, "who")
    with pytest.raises(UsageError, match="not independent"):
        score_bootstrap(data, np.array([[0, 1.0, 0], [0, 2.0, 0]]), np.zeros(2), "who")
    with pytest.raises(UsageError, match="alpha=5"):
        score_interval(data, newton(data).params, 1, "who", alpha=5)


def test_samples_do_not_depend_on_who_fits_them(two):
    rng = np.random.default_rng(4)
    x = np.column_stack([np.ones(700), rng.normal(size=700)])
    y = (rng.random(700) < 1 / (1 + np.exp(-x[:, 1]))).astype(float)
    # More distinct rows than are fitted all at once.
    data = Cells.of_rows(x, y, {"person": np.arange(700) // 20})
    one, both = (
        pairs_bootstrap(data, group="person", reps=20, seed=3, executor=k) for k in (None, two)
    )
    np.testing.assert_array_equal(one.params, both.params)
    assert len(np.unique(one.params[:, 1])) == 20
