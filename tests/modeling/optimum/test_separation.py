"""Existence of the maximum: certificate, closed form, linear programme and brute force."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.likelihood.separating import (
    in_units,
    separating_differences,
    separating_direction,
)
from llmdemand.modeling.optimum.newton import newton
from llmdemand.modeling.optimum.separation import divergence, exists


def rows_of(x, y):
    return np.concatenate([x[y > 0], -x[y < 1]])


def brute_force(rows):
    """Whether an edge of the cone ``rows @ d >= 0`` makes a row positive: all candidates."""
    k = rows.shape[1]
    for some in itertools.combinations(range(len(rows)), k - 1):
        _, values, right = np.linalg.svd(rows[list(some)])
        if values[-1] > 1e-9:
            value = rows @ right[-1]
            for v in (value, -value):
                if v.min() > -1e-9 and v.max() > 1e-9:
                    return True
    return False


def assert_separates(rows, d):
    value, size = rows @ d, np.abs(rows) @ np.abs(d)
    assert np.all(value >= -1e-9 * size) and np.any(value > 1e-6 * size)


@st.composite
def small(draw, regressors=(1, 2)):
    """A few points with ties, so that both answers and quasi-complete separation are common."""
    k = draw(st.sampled_from(regressors))
    n = draw(st.integers(k + 2, 8))
    cell = st.integers(0, 3)
    x = np.array([[1, *(draw(cell) for _ in range(k))] for _ in range(n)], float)
    y = np.array([draw(st.sampled_from([0.0, 1.0, 0.0, 1.0, 0.5])) for _ in range(n)])
    return x, y


@settings(max_examples=200)
@given(small())
def test_closed_form_programme_and_brute_force_agree(data):
    x, y = data
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return
    rows = rows_of(x, y)
    expected = brute_force(rows)
    for d in (separating_direction(x, y), separating_differences(rows)):
        assert (d is not None) == expected
        if d is not None:
            assert_separates(rows, d)


@settings(max_examples=100)
@given(small((2,)), st.integers(-6, 9), st.integers(-6, 9), st.integers(-5, 5))
def test_units_and_shifts_do_not_matter(data, first, second, shift):
    x, y = data
    if np.linalg.matrix_rank(x) < 3:
        return
    units = 10.0 ** np.array([0, first, second])
    moved = (x + np.array([0, shift, 0])) * units
    d, plain = separating_direction(moved, y), separating_direction(x, y)
    assert (d is None) == (plain is None)
    if d is not None:
        assert_separates(rows_of(x + np.array([0, shift, 0]), y), d * units)


@settings(max_examples=200)
@given(small((1, 2, 3)))
def test_no_separated_data_are_certified(data):
    x, y = data
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return
    cells = Cells.of_rows(x, y).standardised()[0]
    if separating_direction(x, y) is not None:
        for steps in (newton(cells), newton(cells, gain=1e-3), newton(cells, gain=1e-9)):
            assert not exists(cells, steps)
    else:
        assert exists(cells, newton(cells))


def test_thousands_of_separated_sets_are_never_certified_and_overlapping_ones_are():
    rng = np.random.default_rng(0)
    certified = 0
    for _ in range(1000):
        n, k = rng.integers(5, 30), rng.integers(1, 4)
        x = np.column_stack([np.ones(n), rng.normal(size=(n, k)) ** rng.choice([1, 3])])
        eta = x @ rng.normal(size=k + 1)
        cells = Cells.of_rows(x, (eta > 0).astype(float)).standardised()[0]
        for gain in (1.0, 1e-4):
            found = newton(cells, gain=gain)
            assert not exists(cells, found)
            for times in (2, 4, 8):  # on and on, to where probabilities are rounded to 0 and 1
                far = times * found.params
                assert not exists(
                    cells, replace(found, params=far, information=cells.information(far))
                )
        noisy = Cells.of_rows(x, np.clip(0.1 + 0.8 * (eta > 0), 0, 1)).standardised()[0]
        certified += exists(noisy, newton(noisy))
    assert certified == 1000


@pytest.mark.parametrize("n", [20, 2000])
@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-8])
def test_one_observation_on_the_wrong_side_by_a_hair(gap, n):
    rng = np.random.default_rng(n)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    y = (x @ [0.3, 2.0, -1.0] > 0).astype(float)
    # Three points in line on the boundary, the middle one a zero between two ones.
    line = np.array([[1, 0.0, 0.3], [1, 0.5, 1.3], [1, -0.5, -0.7]])
    for side, separated in ((1, True), (-1, False)):
        moved = line + np.array([[0, 0, side * gap], [0, 0, 0], [0, 0, 0]])
        d = separating_direction(np.vstack([x, moved]), np.append(y, [0, 1, 1]))
        assert (d is not None) == separated
        if d is not None:
            assert_separates(rows_of(np.vstack([x, moved]), np.append(y, [0.0, 1, 1])), d)


def test_only_the_coefficients_that_diverge_are_named():
    rng = np.random.default_rng(5)
    n = 300
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2)) * [1e6, 1e-6], np.arange(n) < 3])
    y = rng.integers(0, 2, n).astype(float)
    y[:3] = 1
    d = separating_direction(x, y)
    assert d[:3].tolist() == [0, 0, 0] and d[3] > 0
    z, back = Cells.of_rows(x, y).standardised()
    assert in_units(back, z.separating_direction())[:3].tolist() == [0, 0, 0]
    found = newton(z)
    assert found.iterations < 20 and not found.converged
    assert in_units(back, divergence(z, found))[:3].tolist() == [0, 0, 0]


def test_the_support_is_the_largest():
    # Each of two dummies has ones alone; a direction with one of them is not enough.
    x = np.column_stack(
        [np.ones(12), np.arange(12) < 2, (np.arange(12) >= 2) & (np.arange(12) < 4)]
    )
    y = np.array([1.0] * 4 + [0, 1] * 4)
    d = separating_direction(x.astype(float), y)
    assert d[0] == 0 and d[1] > 0 and d[2] > 0


@pytest.mark.parametrize("separated", [True, False])
def test_many_rows(separated):
    rng = np.random.default_rng(2)
    n = 100_000
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 4))])
    eta = x @ rng.normal(size=5)
    y = (eta > 0).astype(float) if separated else (eta + rng.logistic(size=n) > 0).astype(float)
    d = separating_direction(x, y)
    assert (d is not None) == separated
    if d is not None:
        assert_separates(rows_of(x, y), d)
    # A mean of two million and one single observation with a dummy of its own.
    own = np.column_stack([x, np.arange(n) == 7])
    d = separating_direction(own, y if separated else np.where(np.arange(n) == 7, 1.0, y))
    assert d is not None


def test_fractions_hold_the_plane():
    x = np.column_stack([np.ones(6), [0.0, 1, 2, 3, 4, 5], [0.0, 0, 0, 1, 1, 1]])
    assert separating_direction(x, np.full(6, 0.3)) is None
    y = np.array([0.2, 0.4, 0.3, 1, 1, 1])
    d = separating_direction(x, y)
    assert d[:2].tolist() == [0, 0] and d[2] > 0
    # One more fraction, off the line, leaves no plane; two fractions leave one.
    assert separating_direction(x, np.array([0.2, 0.4, 0.3, 1, 0.9, 1])) is None
    assert separating_direction(x, np.array([0.2, 1, 1, 0, 0.9, 1])) is not None
    assert separating_direction(x, np.array([0.2, 1, 1, 1, 0.9, 1])) is None


def choices(x, chosen):
    """Cases of equal size from (N, J, K) regressors and the alternatives chosen."""
    n, j, k = x.shape
    y = np.zeros((n, j))
    y[np.arange(n), chosen] = 1
    one = np.ones(n)
    return Cases(x.reshape(-1, k), y.ravel(), np.arange(n) * j, one, one)


def test_choices_among_three_alternatives():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 3, 2))
    always = choices(x, x[:, :, 0].argmin(axis=1))
    d = always.separating_direction()
    assert d is not None and d[0] < 0
    assert not exists(always, newton(always))
    cheap = (-x[:, :, 0] + rng.gumbel(size=(40, 3))).argmax(axis=1)
    found = choices(x, cheap)
    assert found.separating_direction() is None
    z, _ = found.standardised()
    assert exists(z, newton(z)) and divergence(z, newton(z)) is None


def test_an_alternative_never_chosen_diverges_alone():
    rng = np.random.default_rng(4)
    price = rng.normal(size=(60, 3))
    x = np.stack([price, np.tile([0, 1.0, 0], (60, 1)), np.tile([0, 0, 1.0], (60, 1))], axis=2)
    chosen = (-price[:, :2] + rng.gumbel(size=(60, 2))).argmax(axis=1)
    d = choices(x, chosen).separating_direction()
    assert d[:2].tolist() == [0, 0] and d[2] < 0


def test_tiny_shares_are_no_separation():
    price = np.linspace(-1, 1, 16)
    odds = np.exp(-28 - price)
    cells = Cells.of_rows(np.column_stack([np.ones(16), price]), odds / (1 + odds))
    found = newton(cells)
    assert found.converged and exists(cells, found)
    np.testing.assert_allclose(found.params, [-28, -1], rtol=1e-8)
