import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.batch import patterns
from llmdemand.modeling.batch import sums as sums_module
from llmdemand.modeling.batch.batch import BatchFit, fit_batch
from llmdemand.modeling.batch.sums import Read
from llmdemand.modeling.estimation.binary import fit_binary
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.likelihood.separating import separating_direction, separating_totals

pytestmark = pytest.mark.numbers

PRICES = np.arange(30, 46.0)
FIELDS = [f.name for f in dataclasses.fields(BatchFit)]


def design(k, points=24, seed=0):
    """A constant and k - 1 regressors of very different size."""
    rng = np.random.default_rng(seed)
    columns = [np.repeat(np.arange(30, 36.0), points // 6), rng.integers(0, 2, points)]
    columns += [rng.normal(2000, 10, points), rng.normal(0, 1e-5, points)]
    return np.column_stack([np.ones(points), *columns[: k - 1]])


def sample(x, fits, rows, kind, seed=1):
    """Row-wise data: design point, outcome and weight of each observation, fit by fit."""
    rng = np.random.default_rng(seed)
    z = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    out = []
    for _ in range(fits):
        p = 1 / (1 + np.exp(-z @ rng.normal(0, 0.4, x.shape[1]) - 0.3))
        # Every point at least once, the others as they fall: n differs between points.
        point = np.concatenate([np.arange(len(x)), rng.integers(0, len(x), rows - len(x))])
        if kind == "binary":
            y = (rng.random(rows) < p[point]).astype(float)
        else:
            y = rng.beta(4 * p[point] + 0.1, 4 * (1 - p[point]) + 0.1)
        out.append((point, y, rng.integers(1, 4, rows).astype(float)))
    return out


def sums(data, points):
    """n, total and squares, one row per fit."""
    found = []
    for power in (0, 1, 2):
        rows = [np.bincount(j, w * y**power, points) for j, y, w in data]
        found.append(np.array(rows))
    return found


def glm(x, y, weight, **how):
    """A weighted GLM, and its fit to the repeated rows that whole weights stand for."""
    import statsmodels.api as sm

    repeat = np.repeat(np.arange(len(y)), weight.astype(int))
    # Standardised: IRLS loses digits on columns of size 1e-5 and 2000.
    model = sm.GLM(y[repeat], x[repeat], family=sm.families.Binomial())
    return model.fit(tol=1e-14, maxiter=200, **how), repeat


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["binary", "fractional"])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_every_fit_of_a_batch_is_the_one_of_statsmodels(k, kind):
    x = design(k)
    data = sample(x, 12, 150, kind)
    persona = np.arange(len(x)) % 7
    found = fit_batch(x, *sums(data, len(x)), clusters=persona)
    assert found.exists.all() and found.converged.all()
    middle, scale = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    middle[0] = 0
    z = (x - middle) / scale
    back = np.diag(1 / scale)
    back[0] -= middle / scale
    for b, (point, y, weight) in enumerate(data):
        model, repeat = glm(z[point], y, weight)
        rows = len(repeat)
        assert found.params[b] == pytest.approx(back @ model.params, rel=1e-9)
        eta = z[point] @ model.params
        quasi = weight @ (y * eta - np.logaddexp(0, eta))
        assert found.llf[b] == pytest.approx(quasi, rel=1e-12)

        def errors(cov, factor=1.0, back=back):
            return np.sqrt(np.diag(back @ cov @ back.T) * factor)

        # scale=1: statsmodels would otherwise estimate a dispersion of fractions.
        assert found.se_iid[b] == pytest.approx(errors(model.normalized_cov_params), rel=1e-8)
        robust = glm(z[point], y, weight, cov_type="HC0")[0].cov_params()
        assert found.se_robust[b] == pytest.approx(errors(robust, rows / (rows - 1)), rel=1e-8)
        groups = {"groups": persona[point][repeat], "use_correction": False}
        clustered = glm(z[point], y, weight, cov_type="cluster", cov_kwds=groups)[0].cov_params()
        assert found.se_cluster[b] == pytest.approx(errors(clustered, 7 / 6), rel=1e-8)


@pytest.mark.filterwarnings("ignore")
def test_clusters_that_cut_across_points_need_only_their_sums():
    rng = np.random.default_rng(3)
    run = rng.normal(0, 0.7, (5, 9, 1))  # runs with a taste of their own
    p = 1 / (1 + np.exp(0.535 * (PRICES - 36) + run))
    y = rng.beta(3 * p, 3 * (1 - p))
    y[rng.random(y.shape) < 0.1] = np.nan
    y[0, 4] = np.nan  # a run that never came is no cluster
    present, filled = np.isfinite(y), np.nan_to_num(y)
    found = fit_batch(
        PRICES, present.sum(axis=1), filled.sum(axis=1), cluster_sums=(present, filled)
    )
    for b in range(5):
        r, j = np.nonzero(present[b])
        x = np.column_stack([np.ones(len(j)), PRICES[j]])
        groups = {"groups": r, "use_correction": False}
        model, _ = glm(x, y[b, r, j], np.ones(len(j)), cov_type="cluster", cov_kwds=groups)
        clusters = 8 if b == 0 else 9
        expected = model.bse * np.sqrt(clusters / (clusters - 1))
        assert found.se_cluster[b] == pytest.approx(expected, rel=1e-7)
    assert np.isnan(found.se_robust).all()


def test_clusters_of_points_are_clusters_of_sums():
    x = design(3)
    n, total, _ = sums(sample(x, 6, 150, "fractional"), len(x))
    label = np.arange(len(x)) % 5
    member = label == np.arange(5)[:, None]
    parts = (n[:, None] * member, total[:, None] * member)
    one = fit_batch(x, n, total, clusters=label.astype(str)).se_cluster
    assert one == pytest.approx(fit_batch(x, n, total, cluster_sums=parts).se_cluster, rel=1e-12)
    assert np.isnan(fit_batch(x, n, total, clusters=np.zeros(len(x))).se_cluster).all()
    # Clusters without data do not count.
    n[:, label > 1], total[:, label > 1] = 0, 0
    few = fit_batch(x, n, total, clusters=label).se_cluster
    kept = label <= 1
    alone = fit_batch(x[kept], n[:, kept], total[:, kept], clusters=label[kept]).se_cluster
    assert few == pytest.approx(alone, rel=1e-9)


@settings(max_examples=200)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=5, max_size=5), st.integers(0, 10**6))
def test_existence_is_what_the_row_wise_check_says(values, seed):
    x = np.random.default_rng(seed).integers(0, 3, 5).astype(float)
    y, price = np.array(values), np.arange(3.0)
    n = np.array([[(x == p).sum() for p in price]], float)
    total = np.array([[y[x == p].sum() for p in price]])
    found = fit_batch(price, n, total)
    rows = np.column_stack([np.ones(5), x])
    separated = len(np.unique(x)) < 2 or separating_direction(rows, y) is not None
    assert found.exists[0] == (not separated)
    assert np.isfinite(found.params).all() == found.exists[0] == found.converged[0]


def separated_by_brute_force(x, some, other):
    """No direction, among those that small-integer designs can have, keeps the rows apart."""
    rows = np.vstack([x[some], -x[other]])
    if np.linalg.matrix_rank(rows) < x.shape[1]:
        return True
    grid = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3), axis=-1).reshape(-1, 3)
    sides = rows @ grid[np.abs(grid).any(axis=1)].T
    return bool((sides >= 0).all(axis=0).any())


def test_existence_in_three_dimensions_is_what_brute_force_says():
    rng = np.random.default_rng(5)
    x = np.array([[1, a, b] for a in (0, 1, 2) for b in (0, 1, 2)], float)
    n = rng.integers(0, 3, (400, 9)).astype(float)
    total = rng.binomial(n.astype(int), rng.choice([0.05, 0.3, 0.5], (400, 1))).astype(float)
    total[200:] = np.where(rng.random((200, 9)) < 0.5, total[200:], (x @ [1, 1, -1] > 0) * n[200:])
    found = fit_batch(x, n, total)
    expected = [
        not separated_by_brute_force(x, t > 0, t < m) for t, m in zip(total, n, strict=True)
    ]
    assert found.exists.tolist() == expected
    assert 40 < sum(expected) < 360
    assert (found.converged == found.exists).all()
    shuffled = fit_batch(x[:, [1, 0, 2]], n, total)  # wherever the constant stands
    assert shuffled.exists.tolist() == expected


@pytest.mark.parametrize("k", [3, 4])
def test_existence_of_random_designs_is_what_the_linear_programme_says(k):
    rng = np.random.default_rng(k)
    x = np.column_stack([np.ones(14), rng.normal(0, 1, (14, k - 1))])
    total = (rng.random((150, 14)) < 1 / (1 + np.exp(-x @ rng.normal(0, 2, (k, 150)))).T) * 1.0
    total[::3, 0] = 0.5
    found = fit_batch(x, np.ones_like(total), total)
    z = x.copy()
    expected = [separating_direction(z, y) is None for y in total]
    assert found.exists.tolist() == expected
    assert 20 < sum(expected) < 130


def test_each_pattern_goes_to_the_linear_programme_once(monkeypatch):
    asked = []

    def counted(x, y):
        asked.append(y)
        return separating_direction(x, y)

    monkeypatch.setattr(patterns, "separating_direction", counted)
    monkeypatch.setattr(sums_module, "_CHUNK", 64)  # also across chunks
    x = np.column_stack([np.ones(6), [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1]])
    # Ones to the upper right of a line that goes through three points: quasi-separated.
    hard = np.array([[0, 0, 0.0, 4, 2, 4]])
    total = np.vstack([np.repeat(hard, 200, axis=0), np.full((200, 6), 2.0)])
    total[:200, 4] = np.arange(200) % 3 + 1
    found = fit_batch(x, np.full((400, 6), 4.0), total)
    assert len(asked) <= 1
    assert not found.exists[:200].any() and found.exists[200:].all()


def test_designs_without_a_constant():
    rng = np.random.default_rng(2)
    x = rng.normal(0, 1, (10, 2))
    n = np.full((30, 10), 6.0)
    total = rng.binomial(6, 1 / (1 + np.exp(-x @ [1, -0.5])), (30, 10)).astype(float)
    total[0] = (x[:, 0] > 0) * 6
    found = fit_batch(x, n, total)
    assert found.exists.tolist() == [False] + [True] * 29
    eta = found.params[1:] @ x.T
    score = (total[1:] - n[1:] / (1 + np.exp(-eta))) @ x
    assert np.abs(score).max() < 1e-10
    mean = fit_batch(np.ones((10, 1)), n, total)  # and nothing but a constant
    assert 1 / (1 + np.exp(-mean.params[:, 0])) == pytest.approx(total.mean(axis=1) / 6)


def penalised(x, n, total):
    """Minus Firth's criterion, written down once more and slowly."""

    def value(params):
        eta = x @ params
        mu = 1 / (1 + np.exp(-eta))
        information = (x * (n * mu * (1 - mu))[:, None]).T @ x
        llf = total @ eta - n @ np.logaddexp(0, eta)
        return -llf - np.linalg.slogdet(information)[1] / 2

    return value


@pytest.mark.parametrize("k", [2, 3])
def test_firth_is_the_maximum_of_the_penalised_likelihood(k):
    rng = np.random.default_rng(k)
    x = np.column_stack([np.ones(8), np.linspace(0, 2, 8), rng.integers(0, 2, 8)])[:, :k]
    n = rng.integers(1, 4, (25, 8)).astype(float)
    total = rng.binomial(n.astype(int), 1 / (1 + np.exp(3 * (x[:, 1] - 1)))).astype(float)
    total[:5] = (x[:, 1] < 1) * n[:5]  # separated
    total[5] = n[5]  # nothing but ones
    total[6] *= 0.37
    found = fit_batch(x, n, total, squares=total, firth=True)
    plain = fit_batch(x, n, total)
    assert (found.exists == plain.exists).all() and not found.exists[:6].any()
    assert found.converged.all()
    for b in range(25):
        criterion = penalised(x, n[b], total[b])
        slow = minimize(criterion, np.zeros(k), method="BFGS", options={"gtol": 1e-7})
        assert found.params[b] == pytest.approx(slow.x, rel=1e-5, abs=1e-5)
        assert found.llf[b] == pytest.approx(-slow.fun, abs=1e-9)
        assert found.llf[b] >= -slow.fun - 1e-12
        mu = 1 / (1 + np.exp(-x @ found.params[b]))
        information = (x * (n[b] * mu * (1 - mu))[:, None]).T @ x
        errors = np.sqrt(np.diag(np.linalg.inv(information)))
        assert found.se_iid[b] == pytest.approx(errors, rel=1e-9)
        h = np.einsum("jk,kl,jl->j", x, np.linalg.inv(information), x) * n[b] * mu * (1 - mu)
        assert np.abs(x.T @ (total[b] - n[b] * mu + h * (0.5 - mu))).max() < 1e-8


def test_firth_with_one_price_per_kind_has_a_closed_form():
    # Saturated: half an observation of either kind at each price.
    found = fit_batch([1.0, 2.0], [[5.0, 3.0]], [[5.0, 0.0]], firth=True)
    assert found.params @ [[1, 1], [1, 2]] == pytest.approx(np.log([[5.5 / 0.5, 0.5 / 3.5]]))


@settings(max_examples=100)
@given(st.integers(0, 10**6), st.integers(2, 4))
@example(96377, 2)  # each step is nine tenths of the last
def test_firth_is_finite_wherever_the_points_have_full_rank(seed, k):
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(6), rng.integers(0, 4, (6, k - 1))]).astype(float)
    if np.linalg.matrix_rank(x) < k:
        return
    n = rng.integers(0, 3, (4, 6)).astype(float)
    total = rng.integers(0, 2, (4, 6)) * n
    found = fit_batch(x, n, total, total, firth=True)
    for b in range(4):
        ranked = np.linalg.matrix_rank(x[n[b] > 0]) == k if (n[b] > 0).any() else False
        assert found.converged[b] == ranked
        assert np.isfinite(found.params[b]).all() == np.isfinite(found.se_iid[b]).all() == ranked


@pytest.mark.parametrize("firth", [False, True])
@pytest.mark.parametrize("k", [2, 3])
def test_neither_chunks_nor_order_nor_neighbours_change_a_fit(monkeypatch, firth, k):
    x = design(k)
    given = sums(sample(x, 30, 60, "binary"), len(x))
    given[1][3] = given[0][3]  # does not exist
    given[2][3] = given[0][3]
    label = np.arange(len(x)) % 4
    whole = fit_batch(x, *given, clusters=label, firth=firth)
    order = np.random.default_rng(0).permutation(30)
    monkeypatch.setattr(sums_module, "_CHUNK", 7 * len(x))
    parts = fit_batch(x, *(s[order] for s in given), clusters=label, firth=firth)
    for name in FIELDS:
        assert getattr(parts, name) == pytest.approx(
            getattr(whole, name)[order], rel=1e-9, nan_ok=True
        )
    assert not whole.exists[3] and np.isfinite(whole.params[3]).all() == firth


def strategy():
    return st.integers(0, 10**6)


def random_batch(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 9, (5, 16)).astype(float)
    total = rng.beta(2, 2, (5, 16)) * n
    return n, total, total**2 / n + 0.5 * total * (1 - total / n)


@settings(max_examples=50)
@given(strategy(), st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_units_of_prices_scale_slopes(seed, scale, shift):
    n, total, squares = random_batch(seed)
    one = fit_batch(PRICES, n, total, squares)
    other = fit_batch(scale * (PRICES + shift), n, total, squares)
    for name in ("slope",):
        assert getattr(other, name) * scale == pytest.approx(
            getattr(one, name), rel=1e-8, abs=1e-10
        )
    for name in ("se_iid", "se_robust"):
        a, b = getattr(one, name)[:, 1], getattr(other, name)[:, 1]
        assert b * scale == pytest.approx(a, rel=1e-8)
    assert other.const == pytest.approx(one.const - shift * one.slope, rel=1e-8, abs=1e-6)
    assert other.llf == pytest.approx(one.llf, rel=1e-12)


@settings(max_examples=50)
@given(strategy(), st.booleans())
def test_the_other_alternative_has_the_opposite_signs(seed, firth):
    n, total, squares = random_batch(seed)
    one = fit_batch(PRICES, n, total, squares, clusters=PRICES // 4, firth=firth)
    flipped = n - 2 * total + squares
    other = fit_batch(PRICES, n, n - total, flipped, clusters=PRICES // 4, firth=firth)
    assert other.params == pytest.approx(-one.params, rel=1e-7, abs=1e-9)
    for name in ("se_iid", "se_robust", "se_cluster", "llf"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-8)


@settings(max_examples=50)
@given(strategy())
def test_rows_twice_halve_the_variances(seed):
    n, total, squares = random_batch(seed)
    one = fit_batch(PRICES, n, total, squares, clusters=PRICES // 4)
    two = fit_batch(PRICES, 2 * n, 2 * total, 2 * squares, clusters=PRICES // 4)
    rows = n.sum(axis=1)[:, None]
    correction = (2 * rows / (2 * rows - 1)) / (rows / (rows - 1))
    assert two.params == pytest.approx(one.params, rel=1e-8, abs=1e-10)
    assert two.se_iid**2 == pytest.approx(one.se_iid**2 / 2, rel=1e-9)
    assert two.se_robust**2 == pytest.approx(one.se_robust**2 / 2 * correction, rel=1e-9)
    # The same clusters, only larger.
    assert two.se_cluster == pytest.approx(one.se_cluster, rel=1e-8)
    assert two.llf == pytest.approx(2 * one.llf, rel=1e-12)


def lopsided(seed, steep):
    rng = np.random.default_rng(seed)
    n = 10.0 ** rng.integers(0, 7, (8, 16))
    n[:, rng.random(16) < 0.4] = 0
    n[:, [0, 15]] = 3.0
    p = 1 / (1 + np.exp(np.clip(steep * (PRICES - rng.uniform(28, 48, (8, 1))), -600, 600)))
    found = fit_batch(PRICES, n, n * p)
    z = (PRICES - 37.5) / 7.5
    mu = 1 / (1 + np.exp(-np.clip(found.params @ np.stack([np.ones(16), PRICES]), -700, 700)))
    residual = n * p - n * mu
    size = np.minimum(n * p, n - n * p).sum(axis=1) + 1e-9
    return found, np.maximum(np.abs(residual.sum(axis=1)), np.abs(residual @ z)) / size


@settings(max_examples=100)
@given(strategy(), st.floats(0.02, 1.5))
def test_steep_and_lopsided_fits_converge_to_a_zero_score(seed, steep):
    found, score = lopsided(seed, steep)
    assert (found.converged == found.exists).all()
    assert score[found.converged].max(initial=0) < 1e-6
    assert found.iterations.max() < 60


@settings(max_examples=100)
@given(strategy(), st.floats(1.5, 60))
def test_where_rounding_hides_the_maximum_no_convergence_is_claimed(seed, steep):
    found, score = lopsided(seed, steep)
    assert not (found.converged & ~found.exists).any()
    assert (np.isfinite(found.se_iid).all(axis=1) == found.converged).all()
    assert score[found.converged].max(initial=0) < 1e-5


def test_fits_that_do_not_exist_are_nan_and_leave_their_neighbours_alone():
    n = np.full((2, 16), 5.0)
    total = np.stack([np.where(PRICES < 38, 5.0, 0.0), np.linspace(4, 1, 16)])
    found = fit_batch(PRICES, n, total, total)
    assert found.exists.tolist() == [False, True]
    for name in ("params", "se_iid", "se_robust", "llf"):
        assert (
            np.isnan(getattr(found, name)[0]).all() and np.isfinite(getattr(found, name)[1]).all()
        )
    alone = fit_batch(PRICES, n[1:], total[1:], total[1:])
    assert found.slope[1] == pytest.approx(alone.slope[0], rel=1e-12)


def test_sums_of_weighted_ones_that_miss_n_by_rounding_are_all_ones():
    weight = np.full(3, 0.1)
    n = np.array([[weight.sum(), 0.3]])
    assert n[0, 0] != 0.3
    assert not fit_batch([1.0, 2.0], n, [[0.3, 0.1]]).exists[0]


def test_no_fits_are_no_error():
    for x in (PRICES, design(3, 24)):
        nothing = np.empty((0, len(x)))
        found = fit_batch(x, nothing, nothing, nothing)
        assert found.params.shape[0] == 0 and found.exists.shape == (0,)


def test_const_and_slope_are_for_one_regressor():
    x = design(3)
    n, total, _ = sums(sample(x, 1, 150, "binary"), len(x))
    with pytest.raises(UsageError, match="3 coefficients: take a column of params"):
        _ = fit_batch(x, n, total).slope


ONES = np.ones((2, 3))
HALF = ONES / 2


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((["a"], ONES, HALF), {}, UsageError, "x is not an array of numbers"),
        ((np.ones((1, 1, 1)), ONES, HALF), {}, UsageError, r"x has shape \(1, 1, 1\)"),
        (([1, np.nan, 3], ONES, HALF), {}, DesignError, "x has values that are not finite"),
        (([1, 1, 1], ONES, HALF), {}, DesignError, r"collinear columns \(number 1,"),
        (
            (np.column_stack([[1, 1, 1], [1, 2, 3], [2, 4, 6]]), ONES, HALF),
            {},
            DesignError,
            r"x has 3 points and collinear columns \(number 2,",
        ),
        (([1, 2, 3], ONES[0], HALF), {}, UsageError, r"n has shape \(3,\), expected \(fits, 3\)"),
        (([1, 2], ONES, HALF), {}, UsageError, r"n has shape \(2, 3\), expected \(2, 2\)"),
        (([1, 2, 3], ONES, HALF[:1]), {}, UsageError, r"total has shape \(1, 3\), expected \(2, 3"),
        (([1, 2, 3], -ONES, HALF), {}, DesignError, "n is -1 in fit 0 at design point 0, expected"),
        (([1, 2, 3], ONES, -HALF), {}, DesignError, "total is -0.5 in fit 0 at design point 0"),
        (([1, 2, 3], ONES, 3 * HALF), {}, DesignError, "n is 1 in fit 0.*at least 1.5"),
        (([1, 2, 3], ONES, HALF * np.nan), {}, DesignError, "total is nan in fit 0"),
        (([1, 2, 3], ONES * np.inf, HALF), {}, DesignError, "n is inf in fit 0"),
        (([1, 2, 3], ONES, HALF, HALF / 4), {}, DesignError, "squares is 0.125.*at least 0.25"),
        (([1, 2, 3], ONES, HALF, ONES), {}, DesignError, "total is 0.5 in fit 0.*at least 1 "),
        (([1, 2, 3], ONES, HALF), {"clusters": [1, 2]}, UsageError, r"clusters has shape \(2,\)"),
        (
            ([1, 2, 3], ONES, HALF),
            {"clusters": [1, 2, 3], "cluster_sums": (ONES, ONES)},
            UsageError,
            "choose one",
        ),
        (
            ([1, 2, 3], ONES, HALF),
            {"cluster_sums": (ONES, ONES)},
            UsageError,
            r"expected a pair of \(2, clusters, 3\)",
        ),
        (
            ([1, 2, 3], ONES, HALF),
            {"cluster_sums": (ONES[:, None], ONES[:, None])},
            DesignError,
            "cluster_sums of fit 0 do not add up to its total",
        ),
        (
            ([1, 2, 3], ONES, HALF),
            {"cluster_sums": (-ONES[:, None], ONES[:, None])},
            DesignError,
            "cluster_sums is -1 in fit 0 at design point 0",
        ),
    ],
)
def test_what_cannot_be_fitted_is_named(arguments, options, error, message):
    with pytest.raises(error, match=message):
        fit_batch(*arguments, **options)


def test_the_place_of_an_error_is_that_of_the_whole_batch(monkeypatch):
    monkeypatch.setattr(sums_module, "_CHUNK", 32)
    n, total = np.ones((9, 16)), np.full((9, 16), 0.5)
    total[7, 3] = 2
    with pytest.raises(DesignError, match="n is 1 in fit 7 at design point 3"):
        fit_batch(PRICES, n, total)


# --- Corrected beliefs --------------------------------------------------------------------


def corrected_rows(x, fits, rows, seed=3):
    """Rows of outcomes that may leave [0, 1], and of what each of them sums to."""
    rng = np.random.default_rng(seed)
    for _ in range(fits):
        point = np.concatenate([np.arange(len(x)), rng.integers(0, len(x), rows - len(x))])
        b = rng.uniform(0.1, 0.9, rows)
        final, pivot = rng.random(rows) < b, rng.random(rows) < b
        read = (rng.random(rows) > 0.1).astype(float)
        yield point, b + read * final - pivot, read


def corrected_sums(x, data):
    by = [
        [np.bincount(j, v, len(x)) for v in (r, y, y**2, np.ones(len(y)), y * r, r**2)]
        for j, y, r in data
    ]
    n, total, squares, *read = (np.array(s) for s in zip(*by, strict=True))
    return n, total, squares, Read(*read)


@pytest.mark.parametrize("k", [2, 4])
def test_corrected_beliefs_give_what_a_fit_of_the_rows_gives(k):
    x = design(k)
    data = list(corrected_rows(x, 12, 120))
    n, total, squares, read = corrected_sums(x, data)
    assert ((total < 0) | (total > n)).any(axis=1).sum() > 3
    found = fit_batch(x, n, total, squares, read=read)
    assert found.exists.sum() > 8
    for b in np.flatnonzero(found.exists):
        point, y, r = data[b]
        table = {f"x{i}": x[point, i] for i in range(1, k)} | {"y": y, "r": r}
        formula = "y ~ " + " + ".join(f"x{i}" for i in range(1, k))
        rows = fit_binary(formula, pd.DataFrame(table), Options.of("HC1", read="r"), binary=False)
        np.testing.assert_allclose(found.params[b], rows.params, rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(found.se_robust[b], rows.bse, rtol=1e-5)


@pytest.mark.parametrize("k", [2, 3])
def test_existence_of_corrected_fits_is_that_of_the_linear_programme(k):
    x = design(k)
    n, total, _, read = corrected_sums(x, list(corrected_rows(x, 150, 30)))
    n, total = n * (np.arange(len(x)) % 3 > 0), total * 1.5
    found = fit_batch(x, n, total, read=Read(read.rows))
    exact = [separating_totals(x, t, m) is None for t, m in zip(total, n, strict=True)]
    assert found.exists.tolist() == exact
    assert 10 < found.exists.sum() < 140
    assert np.isfinite(found.params[found.exists]).all()


def test_corrected_beliefs_that_leave_nothing_are_as_ever():
    x = design(3)
    n, total, squares = sums(sample(x, 8, 60, "fractional"), len(x))
    one = fit_batch(x, n, total, squares)
    two = fit_batch(x, n, total, squares, read=Read(n, total, n))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_errors_of_corrected_beliefs():
    n, total = np.full((1, 3), 4.0), np.array([[5.0, 2.0, -1.0]])
    with pytest.raises(DesignError, match="a sum of outcomes"):
        fit_batch([1.0, 2.0, 3.0], n, total)
    with pytest.raises(UsageError, match="Firth"):
        fit_batch([1.0, 2.0, 3.0], n, total, read=Read(), firth=True)
    with pytest.raises(UsageError, match="cross"):
        fit_batch([1.0, 2.0, 3.0], n, total, total**2, read=Read())
    with pytest.raises(DesignError, match="total of fit 0 is not finite"):
        fit_batch([1.0, 2.0, 3.0], n, total * np.nan, read=Read())
    # Less than nothing was read at a point: not concave, no estimate.
    less = n * np.array([1.0, -0.1, 1.0])
    assert not fit_batch([1.0, 2.0, 3.0], less, total, read=Read()).exists[0]
