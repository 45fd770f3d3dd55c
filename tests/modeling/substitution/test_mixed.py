"""The simulated likelihood of a mixed logit, and its derivatives, on small data."""

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from llmdemand.errors import UsageError
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.substitution.draws import given_draws, uniform_draws
from llmdemand.modeling.substitution.laws import law_of
from llmdemand.modeling.substitution.mixed import MixedPanels
from llmdemand.modeling.substitution.pairwise import PairwisePanels
from llmdemand.modeling.substitution.panels import Panels
from llmdemand.modeling.substitution.sequences import observed_sequences, sequences_of_beliefs

TERMS = ["price", "a", "b", "c"]
LAWS = {
    "normal": {"random": {"price": "normal", "a": "normal"}},
    "lognormal": {"random": {"price": "lognormal-", "a": "lognormal+"}},
    "triangular and uniform": {"random": {"price": "triangular", "a": "uniform"}},
    "from zero": {"random": {"a": "zero-triangular", "b": "zero-uniform", "c": "zero-normal"}},
    "correlated": {
        "random": {"price": "lognormal-", "a": "normal", "b": "normal"},
        "correlated": True,
    },
    "some correlated": {
        "random": {"price": "normal", "a": "normal", "b": "uniform"},
        "correlated": ["price", "a"],
    },
    "wtp, fixed price": {"random": {"a": "normal", "b": "lognormal+"}, "space": "wtp"},
    "wtp": {"random": {"price": "lognormal-", "a": "normal", "b": "uniform"}, "space": "wtp"},
    "wtp, correlated": {
        "random": {"price": "lognormal-", "a": "normal"},
        "space": "wtp",
        "correlated": True,
    },
}


def law(name):
    options = dict(LAWS[name])
    return law_of(TERMS, options.pop("random"), {}, **options)


def situations(people=7, seed=1, beliefs=False, offset=False):
    """Respondents with one to four situations of two to four alternatives."""
    rng = np.random.default_rng(seed)
    tasks = rng.integers(1, 5, people)
    sizes = rng.integers(2, 5, tasks.sum())
    start = np.cumsum(sizes) - sizes
    rows = int(sizes.sum())
    x = rng.normal(size=(rows, len(TERMS)))
    y = np.zeros(rows)
    if beliefs:
        y = rng.exponential(size=rows)
        y /= np.add.reduceat(y, start).repeat(sizes)
    else:
        y[start + rng.integers(0, sizes)] = 1.0
    one = np.ones(len(start))
    labels = np.arange(rows) - start.repeat(sizes)
    own = rng.normal(size=rows) if offset else None
    cases = Cases(x, y, start, one, one, labels=labels, offset=own)
    return Panels(cases, np.repeat(np.arange(people), tasks))


def data_of(panels, law, size=16, kind="mixed", **more):
    people = panels.people
    draws = law.standard(uniform_draws(people, size, len(law.random), seed=3))
    rng = np.random.default_rng(2)
    options = {"count": np.ones(people), "weights": rng.uniform(0.5, 2, people)} | more
    given = (panels.cases, panels, law, draws)
    if kind == "pairs":
        return PairwisePanels(*given, **options)
    fractional = panels.cases.fractional
    chosen = sequences_of_beliefs(panels, 3) if fractional else observed_sequences(panels)
    return MixedPanels(*given, **options, chosen=chosen)


def near(law, seed=5):
    """Some parameters; none on an edge."""
    return np.random.default_rng(seed).uniform(0.3, 0.9, law.size)


def numeric(of, at, step=1e-5):
    moves = step * np.eye(len(at))
    return np.array([(of(at + m) - of(at - m)) / (2 * step) for m in moves])


@pytest.mark.parametrize("kind", ["mixed", "beliefs", "pairs"])
@pytest.mark.parametrize("name", LAWS)
def test_derivatives_are_those_of_the_likelihood(name, kind):
    found = law(name)
    panels = situations(beliefs=kind != "mixed", offset=name == "wtp")
    data, at = data_of(panels, found, kind=kind), near(found)
    _, gradient, information = data.evaluated(at)
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(gradient, numeric(data.llf, at), atol=1e-7 * scale)
    second = -numeric(data.gradient, at)
    np.testing.assert_allclose(information, second, atol=1e-7 * np.abs(second).max())
    np.testing.assert_allclose(data.scores(at).sum(axis=0), gradient, atol=1e-12 * scale)


def by_hand(panels, law, standard, params):
    """Simulated log-likelihood of observed choices, respondent by respondent, by loops."""
    cases, total = panels.cases, []
    for i in range(panels.people):
        beta = law.tastes(law.index(params, law.features(standard[i])))  # (K, S)
        p = np.ones(beta.shape[1])
        for n in np.flatnonzero(panels.respondent == i):
            rows = np.flatnonzero(cases.sets.case == n)
            v = cases.x[rows] @ beta + (0 if cases.offset is None else cases.offset[rows, None])
            p *= np.exp(v[cases.y[rows] == 1][0]) / np.exp(v).sum(axis=0)
        total.append(np.log(p.mean()))
    return np.array(total)


@pytest.mark.parametrize("name", LAWS)
def test_the_likelihood_is_the_mean_of_products_of_logits(name):
    found = law(name)
    panels = situations(offset=True)
    data = data_of(panels, found)
    at = near(found)
    own = by_hand(panels, found, data.standard, at)
    assert data.llf(at) == pytest.approx(data.weights @ own, rel=1e-12)


def test_tastes_of_each_law_are_as_described():
    z, params = np.linspace(-0.9, 0.9, 7)[:, None], np.array([0.3, 0.5])
    eta = 0.3 + 0.5 * z[:, 0]
    expected = {
        "normal": eta,
        "triangular": eta,
        "uniform": eta,
        "lognormal+": np.exp(eta),
        "lognormal-": -np.exp(eta),
        "zero-triangular": 0.3 * (1 + z[:, 0]),
        "zero-uniform": 0.3 * (1 + z[:, 0]),
        "zero-normal": 0.3 * z[:, 0],
    }
    for name, values in expected.items():
        one = law_of(["a"], {"a": name}, {})
        found = one.tastes(one.index(params[: one.size], one.features(z)))
        np.testing.assert_allclose(found[0], values, rtol=1e-13)


@pytest.mark.parametrize("name", LAWS)
def test_standard_draws_have_the_moments_of_their_laws(name):
    found = law(name)
    z = found.standard(uniform_draws(1, 4096, len(found.random))[0])
    variance = {"triangular": 1 / 6, "uniform": 1 / 3}
    for q, k in enumerate(found.random):
        kind = found.laws[k].removeprefix("zero-")
        assert abs(z[:, q].mean()) < 2e-3
        assert z[:, q].var() == pytest.approx(variance.get(kind, 1.0), rel=1e-2)


def test_another_order_of_situations_and_threads_moves_no_bit(monkeypatch):
    panels, found = situations(people=60), law("correlated")
    data, at = data_of(panels, found, size=64), near(found)
    many = data.evaluated(at)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    alone = replace(data).evaluated(at)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)))
    seven = replace(data).evaluated(at)
    for other in (alone, seven):
        assert all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(many, other, strict=True))


@pytest.mark.parametrize("kind", ["mixed", "beliefs", "pairs"])
def test_a_respondent_counted_three_times_is_three_respondents(kind):
    panels, found = situations(people=5, beliefs=kind != "mixed"), law("normal")
    one = data_of(panels, found, kind=kind, weights=np.ones(5))
    at, count = near(found), np.array([1.0, 3.0, 2.0, 1.0, 1.0])
    whole = one.weighted(count)
    # Each copy is a respondent of its own, with the same draws and the same sequences.
    parts = [one.weighted((np.arange(5) == i).astype(float)) for i in range(5)]
    expected = sum(c * p.llf(at) for c, p in zip(count, parts, strict=True))
    assert whole.llf(at) == pytest.approx(expected, rel=1e-13)
    scores = np.vstack([p.scores(at) for p in parts])
    np.testing.assert_allclose(whole.meat(at, np.eye(found.size)), (scores.T * count) @ scores)


def test_respondents_left_out_leave_nothing_behind():
    panels, found = situations(people=9), law("normal")
    data, at = data_of(panels, found, weights=np.ones(9)), near(found)
    kept = np.array([1, 0, 1, 1, 0, 1, 0, 1, 1], float)
    own = by_hand(panels, found, data.standard, at)
    some = data.weighted(kept)
    assert some.llf(at) == pytest.approx(kept @ own, rel=1e-12)
    assert some.shares(at).shape == some.cases.y.shape


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_mirrored_spreads_are_one_law(seed):
    found = law("correlated")
    params = np.random.default_rng(seed).normal(size=found.size)
    turned = found.oriented(params)
    assert (turned[found.spreads] >= 0).all()
    for p in (params, turned):
        mean, loads = found.linear_in(p)
        if p is params:
            before = mean, loads @ loads.T
    np.testing.assert_allclose(mean, before[0])
    np.testing.assert_allclose(loads @ loads.T, before[1], atol=1e-12)


def test_given_draws_are_checked():
    points = np.full((3, 4, 2), 0.5)
    assert given_draws(points, 3, 2) is not None
    for wrong, text in (
        (points[:2], "in the order of their ids"),
        (points * 2, "between 0 and 1"),
        (points[:, :1], "shape"),
    ):
        with pytest.raises(UsageError, match=text):
            given_draws(wrong, 3, 2)


@pytest.mark.parametrize("kind", ["sobol", "halton", "mlhs"])
def test_draws_are_even_and_depend_on_the_seed_alone(kind):
    u = uniform_draws(4, 64, 3, kind, seed=7)
    assert ((u > 0) & (u < 1)).all()
    assert (u == uniform_draws(4, 64, 3, kind, seed=7)).all()
    assert (u != uniform_draws(4, 64, 3, kind, seed=8)).any()
    # Closer to the cube's moments than independent points would be.
    assert np.abs(u.reshape(-1, 3).mean(axis=0) - 0.5).max() < 0.01


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=9, unique=True),
    st.sampled_from([2, 16, 17, 200]),
    st.integers(1, 12),
    st.sampled_from(["sobol", "halton"]),
)
@settings(max_examples=25)
def test_a_respondent_has_the_draws_of_the_place_among_all(ranks, size, dims, kind):
    everybody = uniform_draws(max(ranks) + 1, size, dims, kind, seed=5)
    assert (uniform_draws(np.array(ranks), size, dims, kind, seed=5) == everybody[ranks]).all()


@pytest.mark.parametrize(("kind", "dims"), [("mlhs", 1), ("sobol", 13)])
def test_what_is_drawn_for_all_is_not_drawn_for_some(kind, dims):
    with pytest.raises(UsageError, match="not for those of a file apart: use sequence='halton'"):
        uniform_draws(np.arange(3), 8, dims, kind)


def test_sobol_has_an_end():
    with pytest.raises(UsageError, match="2,147,484 respondents are more points"):
        uniform_draws(np.array([2_147_483]), 501, 1)
    assert uniform_draws(np.array([2_147_482]), 500, 1).shape == (1, 500, 1)


def toy():
    """One respondent, two situations of two alternatives; tastes of two kinds."""
    x = np.array([[1.0], [0.0], [-0.5], [0.7]])
    p = np.array([[[0.8, 0.2], [0.3, 0.7]], [[0.4, 0.6], [0.9, 0.1]]])  # by kind and situation
    return x, p


def probability(p, sequence):
    return np.mean([[kind[t][a] for t, a in enumerate(sequence)] for kind in p], axis=0).prod()


def test_expected_log_likelihoods_of_beliefs_are_those_of_choices():
    """Enumerated: beliefs of the two kinds of people, against the choices they would make."""
    x, p = toy()
    one, start = np.ones(2), np.array([0, 2])
    found = law_of(["x"], {"x": "normal"}, {})
    at = np.array([0.4, 0.8])
    standard = found.standard(uniform_draws(1, 32, 1))

    def data(y, **more):
        cases = Cases(x, np.asarray(y, float), start, one, one)
        panels = Panels(cases, np.array([0, 0]))
        kind = PairwisePanels if not more else MixedPanels
        return kind(cases, panels, found, standard, one[:1], one[:1], **more)

    def choice(a, c):
        y = np.zeros(4)
        y[a], y[2 + c] = 1.0, 1.0
        return y

    truth = np.zeros(2)
    for kind in p:
        for a, c in product(range(2), range(2)):
            y = choice(a, c)
            seen = data(y, chosen=(y.reshape(1, 1, 4),))
            truth += kind[0][a] * kind[1][c] * seen.scores(at)[0] / 2
    pairs = np.mean([data(kind.ravel()).scores(at)[0] for kind in p], axis=0)
    np.testing.assert_allclose(pairs, truth, rtol=1e-12)
    # Corrected beliefs with the same mean, outside [0, 1], independent from call to call.
    corrected = np.zeros(2)
    for kind in p:
        for e, f in product((-0.6, 0.6), (-0.9, 0.9)):
            y = kind.ravel() + np.array([e, -e, f, -f])
            corrected += data(y).scores(at)[0] / 8
    np.testing.assert_allclose(corrected, truth, rtol=1e-12)


@pytest.mark.parametrize(("dims", "size"), [(1, 2), (3, 1000), (12, 20_000), (13, 64)])
def test_sobol_points_are_those_of_scipy(dims, size):
    """Ours are made without loading scipy.stats, its own beyond 12 dimensions."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The balance properties")
        theirs = qmc.Sobol(dims, rng=np.random.default_rng(5)).random(2 * size)
    assert (uniform_draws(2, size, dims, seed=5).reshape(-1, dims) == theirs).all()


def test_a_fit_of_default_draws_loads_no_more_of_scipy_than_it_needs():
    code = (
        "import sys; from llmdemand.modeling.substitution.draws import uniform_draws; "
        "uniform_draws(3, 8, 2); sys.exit('scipy.stats' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_sequences_have_the_probabilities_of_their_beliefs():
    panels = situations(people=3, beliefs=True, seed=4)
    total = [np.zeros(b.rows.shape) for b in panels.blocks]
    joint = 0.0
    draws = 400
    for seed in range(draws):
        for t, some in zip(total, sequences_of_beliefs(panels, 4, seed), strict=True):
            t += some.mean(axis=1) / draws
            if some.shape[2] >= 4:
                joint += (some[0, :, 0] * some[0, :, -2]).mean() / draws
    for block, t in zip(panels.blocks, total, strict=True):
        there = block.rows >= 0
        np.testing.assert_allclose(t[there], panels.cases.y[block.rows[there]], atol=0.02)
        assert (t[~there] == 0).all()
    # Situations are drawn independently of each other.
    expected = sum(
        panels.cases.y[b.rows[0, 0]] * panels.cases.y[b.rows[0, -2]]
        for b in panels.blocks
        if b.rows.shape[1] >= 4 and b.rows[0, -2] >= 0 and b.tasks > 1
    )
    assert joint == pytest.approx(expected, abs=0.05)


def test_a_pairwise_likelihood_without_spread_is_that_of_single_situations():
    panels = situations(people=12, beliefs=True)
    found = law_of(TERMS, {"a": "normal"}, {})
    b = np.array([-0.5, 0.3, 0.2, 0.1])
    data = data_of(panels, found, kind="pairs", weights=np.ones(12))
    several = panels.tasks[panels.respondent] > 1
    assert data.llf(np.append(b, 0.0)) == pytest.approx(
        panels.cases.weighted(several.astype(float)).llf(b), rel=1e-12
    )


def test_deviances_of_sequences_from_beliefs_are_refused():
    found = law("normal")
    assert data_of(situations(), found).saturated() == 0
    for kind, text in (("mixed", "no perfect fit"), ("pairs", "pairwise")):
        with pytest.raises(UsageError, match=text):
            data_of(situations(beliefs=True), found, kind=kind).saturated()
