"""Beliefs of both sides compared: exact under equality, awake to shifts and leaks."""

import numpy as np
import pytest

from llmdemand.calibration.checks.laws import compare_laws, permuted_p
from llmdemand.calibration.samples.matching import Told


def told(beliefs, answers=1):
    """(people, cells) of beliefs."""
    people, cells = beliefs.shape
    return Told(
        np.repeat(np.arange(people), cells),
        np.tile(np.arange(cells), people),
        beliefs.ravel(),
        answers,
    )


def people(rng, n, cells=4, shift=0.0, scale=1.0):
    """Beliefs of persons: a taste moves all their cells."""
    taste = 2 * scale * rng.standard_normal((n, 1)) + 0.3 * rng.standard_normal((n, cells))
    return 1 / (1 + np.exp(-taste - np.linspace(1, -1, cells) - shift))


def compared(seed, n=40, more=150, reps=99, **options):
    rng = np.random.default_rng(seed)
    humans, pool = people(rng, n), people(rng, more, **options)
    return compare_laws(told(humans), told(pool), list("abcd"), reps=reps, seed=seed)


def test_p_values_are_uniform_where_the_laws_are_equal_and_answers_of_a_person_alike():
    """A twentieth lies below .05: with rows permuted singly far more would."""
    p = np.array([compared(seed).p for seed in range(120)])
    assert 0.0 < np.mean(p <= 0.05) < 0.13
    assert 0.4 < np.mean(p) < 0.65


@pytest.mark.parametrize(
    ("options", "part"), [({"shift": 1.5}, "shift"), ({"scale": 0.2}, "shape")]
)
def test_a_shift_or_another_spread_is_seen(options, part):
    found = compared(1, n=100, more=400, reps=999, **options)
    assert found.p < 0.01
    assert found.parts[part] < 0.01


def test_what_does_not_move_the_target_is_left_to_the_shape():
    """Beliefs of one cell are shifted, and the target is a matter of the others."""
    rng = np.random.default_rng(7)
    humans, pool = people(rng, 100), people(rng, 400)
    pool[:, 0] = pool[:, 0] ** 0.2
    parts = [
        compare_laws(told(humans), told(pool), list("abcd"), direction=d, reps=199).parts
        for d in (np.array([1.0, 0, 0, 0]), np.array([0, 1.0, 1, 1]))
    ]
    assert parts[0]["shift"] < 0.02 < parts[1]["shift"]
    assert parts[0]["shape"] == parts[1]["shape"] < 0.02


def test_the_distance_is_that_of_kolmogorov_and_smirnov():
    from scipy import stats

    rng = np.random.default_rng(2)
    one, other = people(rng, 30).round(2), people(rng, 90).round(2)  # with ties
    table = compare_laws(told(one), told(other), list("abcd"), reps=19).table
    for cell in range(4):
        known = stats.ks_2samp(one[:, cell], other[:, cell]).statistic
        assert table["largest_gap"].iloc[cell] == pytest.approx(known)
        assert table["pool_0.5"].iloc[cell] == np.quantile(other[:, cell], 0.5)


def test_beliefs_of_the_price_alone_are_equal_or_not():
    flat = np.tile([0.9, 0.6, 0.3, 0.1], (50, 1))
    same = compare_laws(told(flat), told(np.tile(flat[0], (90, 1))), list("abcd"), reps=199)
    other = compare_laws(told(flat), told(np.tile(flat[0] - 0.05, (90, 1))), list("abcd"))
    assert same.p == 1.0
    assert other.p < 0.01


def test_scale_does_not_matter():
    """Ranks: the same beliefs drawn to the middle."""
    rng = np.random.default_rng(4)
    one, other = people(rng, 40), people(rng, 80)
    found = [
        compare_laws(told(f(one)), told(f(other)), list("abcd"), reps=99).p
        for f in (lambda b: b, lambda b: 0.5 + 0.02 * (b - 0.5))
    ]
    assert found[0] == found[1]


def test_humans_at_prices_of_their_own_are_permuted_as_a_whole():
    rng = np.random.default_rng(5)
    humans = Told(np.arange(40), np.arange(40) % 2, rng.random(40), 1)
    pool = told(people(rng, 60, cells=2))
    assert 0 < compare_laws(humans, pool, list("ab"), reps=99).p <= 1


def test_a_mean_that_is_larger_by_chance_alone():
    p = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        p.append(permuted_p(rng.exponential(size=30), rng.exponential(size=90), reps=99, seed=seed))
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.11
    assert permuted_p(np.full(20, 3.0), rng.random(50)) < 0.01
    assert permuted_p(np.full(20, 0.0), rng.random(50)) == 1.0
