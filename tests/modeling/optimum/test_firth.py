"""Firth's estimates, profile intervals and penalised tests against independent computations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import chi2

from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.optimum.firth import lr_test, profile_intervals
from llmdemand.modeling.optimum.newton import newton

pytestmark = pytest.mark.numbers


def penalised(b, x, y):
    eta = x @ b
    mu = 1 / (1 + np.exp(-eta))
    information = (x * (mu * (1 - mu))[:, None]).T @ x
    return y @ eta - np.logaddexp(0, eta).sum() + np.linalg.slogdet(information)[1] / 2


def firth_fit(data):
    """Coefficients, their covariance and the penalised likelihood, in the units of the data."""
    z, back = data.standardised()
    found = newton(z, firth=True)
    assert found.converged
    cov = back @ np.linalg.inv(found.information) @ back.T
    return back @ found.params, cov, found.objective - np.linalg.slogdet(back)[1]


def maximise(objective, start):
    best = min(
        (
            minimize(lambda b: -objective(b), s, method="Nelder-Mead", options=OPTIONS)
            for s in (start, start + 0.5)
        ),
        key=lambda r: r.fun,
    )
    return best.x, -best.fun


OPTIONS = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 20_000, "adaptive": True}


def example(kind="choice", n=14, seed=0):
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    y = {
        "choice": (x[:, 1] + rng.logistic(size=n) > 0).astype(float),
        "separated": (x[:, 1] > 0.1).astype(float),
        "fraction": np.round(1 / (1 + np.exp(-x[:, 1] - rng.normal(size=n))), 1),
    }[kind]
    return x, y


@settings(max_examples=60)
@given(*[st.integers(0, 6)] * 2, *[st.integers(1, 6)] * 2)
def test_a_two_by_two_table_gets_a_half_in_every_cell(a, b, more_a, more_b):
    n, successes = np.array([a + more_a, b + more_b], float), np.array([a, b], float)
    x, one = np.array([[1.0, 0], [1, 1]]), np.ones(2)
    cells = Cells(x, n, successes / n, successes * (1 - successes / n), one)
    odds = np.log((successes + 0.5) / (n - successes + 0.5))
    np.testing.assert_allclose(firth_fit(cells)[0], [odds[0], odds[1] - odds[0]], atol=1e-9)


@pytest.mark.parametrize("kind", ["choice", "separated", "fraction"])
def test_estimates_maximise_the_penalised_likelihood(kind):
    x, y = example(kind)
    params, cov, objective = firth_fit(Cells.of_rows(x, y))
    best, value = maximise(lambda b: penalised(b, x, y), np.zeros(3))
    assert objective == pytest.approx(value, abs=1e-10)
    np.testing.assert_allclose(params, best, atol=1e-5)
    mu = 1 / (1 + np.exp(-x @ params))
    information = (x * (mu * (1 - mu))[:, None]).T @ x
    np.testing.assert_allclose(cov, np.linalg.inv(information), rtol=1e-8)


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.sampled_from([1, 3]), st.booleans())
def test_small_and_extreme_samples_converge_to_a_root(seed, power, separated):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 5))
    n = int(rng.integers(k + 1, 12))
    x = np.column_stack([np.ones(n), rng.normal(size=(n, k - 1)) ** power])
    y = (x[:, 1] > 0).astype(float) if separated else rng.choice([0, 1, 0.5], n)
    cells = Cells.of_rows(x, y).standardised()[0]
    found = newton(cells, firth=True)
    inverse = np.linalg.inv(found.information)
    score = cells.scores(found.params).sum(axis=0) + cells.penalty_score(found.params, inverse)
    assert found.converged and found.iterations <= 60
    assert np.sqrt(score @ inverse @ score) < 1e-7


def test_complements_shifts_and_units():
    x, y = example("separated")
    plain = firth_fit(Cells.of_rows(x, y))[0]
    flipped = firth_fit(Cells.of_rows(x, 1 - y))[0]
    np.testing.assert_allclose(flipped, -plain, atol=1e-9)
    units, shift = np.array([1.0, 1e6, 1e-6]), np.array([0, 5, -3])
    moved = firth_fit(Cells.of_rows((x + shift) * units, y))[0]
    np.testing.assert_allclose(moved[1:] * units[1:], plain[1:], rtol=1e-8)
    first = profile_intervals(Cells.of_rows(x, y), plain)
    second = profile_intervals(Cells.of_rows((x + shift) * units, y), moved)
    np.testing.assert_allclose(second[1:] * units[1:, None], first[1:], rtol=1e-6)
    mirrored = profile_intervals(Cells.of_rows(x, 1 - y), flipped)
    np.testing.assert_allclose(-mirrored[:, ::-1], first, rtol=1e-6)


@pytest.mark.parametrize("kind", ["choice", "separated", "fraction"])
def test_profile_bounds_lie_on_the_cut(kind):
    x, y = example(kind, 30)
    cells = Cells.of_rows(x, y)
    params = firth_fit(cells)[0]
    top = maximise(lambda b: penalised(b, x, y), params)[1]
    bounds = profile_intervals(cells, params, 0.1)[1]
    assert bounds[0] < params[1] < bounds[1]
    for c in bounds:
        start = params[[0, 2]] * c / params[1]
        there = maximise(lambda a, c=c: penalised(np.array([a[0], c, a[1]]), x, y), start)[1]
        assert 2 * (top - there) == pytest.approx(chi2.ppf(0.9, 1), abs=1e-6)


def test_profile_of_a_combination_is_that_of_the_coefficient_in_other_regressors():
    x, y = example("choice", 30)
    rows = np.array([[0, 1.0, -1.0]])
    (difference,) = profile_intervals(Cells.of_rows(x, y), np.zeros(3), rows=rows)
    # b1 x1 + b2 x2 = (b1 - b2) x1 + b2 (x1 + x2)
    other = np.column_stack([x[:, 0], x[:, 1], x[:, 1] + x[:, 2]])
    same = profile_intervals(Cells.of_rows(other, y), np.zeros(3))[1]
    np.testing.assert_allclose(difference, same, rtol=1e-7)


def test_ordinary_profile_of_separated_data_is_half_a_line():
    x = np.arange(8.0)
    cells = Cells.of_rows(np.column_stack([np.ones(8), x]), (x > 3).astype(float))
    infinite = np.array([-np.inf, np.inf])
    low, high = profile_intervals(cells, infinite, firth=False)[1]
    assert high == np.inf
    # By brute force over the constant: symmetric about 3.5, so it is -3.5 slope.
    value = -2 * np.logaddexp(0, -low * (np.arange(4) + 0.5)).sum()
    assert -2 * value == pytest.approx(chi2.ppf(0.95, 1), abs=1e-6)
    flipped = Cells.of_rows(cells.x, 1 - cells.mean)
    np.testing.assert_allclose(
        profile_intervals(flipped, -infinite, firth=False)[1], [-np.inf, -low], rtol=1e-7
    )


def test_ordinary_profile_of_quasi_separated_data():
    rng = np.random.default_rng(8)
    n = 60
    x = np.column_stack([np.ones(n), rng.normal(size=n), np.arange(n) < 6])
    y = (x[:, 1] + rng.logistic(size=n) > 0).astype(float)
    y[:6] = 1
    found = profile_intervals(Cells.of_rows(x, y), np.full(3, np.nan), firth=False)
    assert found[2, 1] == np.inf and np.isfinite(np.delete(found.ravel(), 5)).all()
    # The other coefficients are those of the rows that are not decided.
    rest = Cells.of_rows(x[6:, :2], y[6:])
    np.testing.assert_allclose(
        found[:2], profile_intervals(rest, np.zeros(2), firth=False), rtol=1e-5
    )


def test_all_ones_say_nothing_of_the_slope():
    x = np.column_stack([np.ones(6), np.arange(6.0)])
    found = profile_intervals(Cells.of_rows(x, np.ones(6)), np.zeros(2), firth=False)[1]
    assert found.tolist() == [-np.inf, np.inf]


@pytest.mark.parametrize("firth", [True, False])
def test_likelihood_ratio(firth):
    x, y = example("choice", 30)
    cells = Cells.of_rows(x, y)

    def objective(b):
        eta = x @ b
        return penalised(b, x, y) if firth else y @ eta - np.logaddexp(0, eta).sum()

    full = maximise(objective, np.zeros(3))[1]
    part = maximise(lambda a: objective(np.array([a[0], 0, 0])), np.zeros(1))[1]
    found = lr_test(cells, [1, 2], firth=firth)
    assert found.statistic == pytest.approx(2 * (full - part), abs=1e-8)
    assert found.df == 2 and found.pvalue == pytest.approx(chi2.sf(2 * (full - part), 2))
    same = lr_test(cells, np.array([[0, 1.0, 1], [0, 1, -1]]), firth=firth)
    assert same.statistic == pytest.approx(found.statistic, abs=1e-9)
    equal = lr_test(cells, np.array([[0, 1.0, -1]]), firth=firth)
    part = maximise(lambda a: objective(np.array([a[0], a[1], a[1]])), np.zeros(2))[1]
    assert equal.statistic == pytest.approx(2 * (full - part), abs=1e-8)


def pairs(x, y):
    """Choices between two alternatives of which the second has regressors 0."""
    n, k = x.shape
    both = np.zeros((n, 2, k))
    both[:, 0] = x
    one = np.ones(n)
    outcome = np.column_stack([y, 1 - y]).ravel()
    return Cases(both.reshape(-1, k), outcome, 2 * np.arange(n), one, one)


@pytest.mark.parametrize("kind", ["choice", "separated", "fraction"])
def test_two_alternatives_are_a_binary_logit(kind):
    x, y = example(kind)
    binary, choice = Cells.of_rows(x, y), pairs(x, y)
    one, cov, objective = firth_fit(binary)
    two, same_cov, same_objective = firth_fit(choice)
    np.testing.assert_allclose(two, one, atol=1e-8)
    np.testing.assert_allclose(same_cov, cov, rtol=1e-6)
    assert same_objective == pytest.approx(objective, abs=1e-9)
    np.testing.assert_allclose(
        profile_intervals(choice, two), profile_intervals(binary, one), rtol=1e-6
    )
    assert lr_test(choice, [1]).statistic == pytest.approx(lr_test(binary, [1]).statistic)
    slopes = np.eye(3)[1:]
    np.testing.assert_allclose(
        profile_intervals(choice, two * np.nan, rows=slopes, firth=False),
        profile_intervals(binary, one * np.nan, rows=slopes, firth=False),
        rtol=1e-5,
    )


def test_separated_choices_among_three_have_finite_estimates():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 3, 2))
    y = np.zeros((30, 3))
    y[np.arange(30), x[:, :, 0].argmin(axis=1)] = 1
    one = np.ones(30)
    cases = Cases(x.reshape(-1, 2), y.ravel(), 3 * np.arange(30), one, one)
    params, _, reached = firth_fit(cases)

    def objective(b):
        v = x @ b
        p = np.exp(v - np.logaddexp.reduce(v, axis=1, keepdims=True))
        d = x - (p[:, :, None] * x).sum(axis=1, keepdims=True)
        information = np.einsum("nj,njk,njl->kl", p, d, d)
        return (y * np.log(p)).sum() + np.linalg.slogdet(information)[1] / 2

    best, value = maximise(objective, params + 0.1)
    assert reached == pytest.approx(value, abs=1e-9)
    np.testing.assert_allclose(params, best, atol=1e-4)
    low, high = profile_intervals(cases, params)[0]
    assert low < params[0] < high < 0
    assert profile_intervals(cases, params, firth=False)[0, 0] == -np.inf


def test_sixteen_separated_prices():
    price = np.arange(30.0, 46.0)
    cells = Cells.of_rows(np.column_stack([np.ones(16), price]), (price < 38).astype(float))
    bounds = profile_intervals(cells, np.array([np.inf, -np.inf]), firth=False)
    assert bounds[0, 1] == np.inf and bounds[1, 0] == -np.inf

    def deviance(b):
        eta = cells.x @ b
        return 2 * (np.logaddexp(0, eta).sum() - cells.mean @ eta)

    # By symmetry the constant is -37.5 times the slope.
    assert deviance([-37.5 * bounds[1, 1], bounds[1, 1]]) == pytest.approx(3.8414588, abs=1e-6)
    slope = minimize(lambda a: deviance([bounds[0, 0], a[0] / 37]), [-bounds[0, 0]], **NELDER)
    assert slope.fun == pytest.approx(3.8414588, abs=1e-6)


NELDER = {"method": "Nelder-Mead", "options": OPTIONS}
