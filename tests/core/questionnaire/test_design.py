import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdemand.core.questionnaire.design import fraction, shuffled, williams

FACTORIALS = st.lists(st.integers(1, 6), min_size=1, max_size=5).map(tuple)


def rows(sizes, kept):
    return np.stack(np.unravel_index(np.array(kept), sizes), axis=1)


def spread(sizes, kept):
    """Most minus least common pair of levels, per pair of factors."""
    table = rows(sizes, kept)
    found = []
    for j, k in itertools.combinations(range(len(sizes)), 2):
        counts = np.bincount(table[:, j] * sizes[k] + table[:, k], minlength=sizes[j] * sizes[k])
        found.append(int(np.ptp(counts)))
    return found


@pytest.mark.parametrize("count", range(2, 9))
def test_williams_balances_places_and_neighbours(count):
    square = williams(count)
    assert len(square) == (2 * count if count % 2 else count)
    assert square[0] == tuple(range(count))
    places = Counter((place, item) for row in square for place, item in enumerate(row))
    assert len(places) == count**2 and len(set(places.values())) == 1
    neighbours = Counter(pair for row in square for pair in itertools.pairwise(row))
    assert len(neighbours) == count * (count - 1) and len(set(neighbours.values())) == 1


def test_williams_of_one_and_two():
    assert williams(0) == ((),)
    assert williams(1) == ((0,),)
    assert williams(2) == ((0, 1), (1, 0))


def test_permutations_differ_by_seed_purpose_and_number_and_never_change():
    drawn = [shuffled(6, s, p, n) for s in (0, 1) for p in ("block", "cells") for n in (0, 1)]
    assert all(sorted(d) == list(range(6)) for d in drawn)
    assert len(set(drawn)) == 8
    # Pinned: a panel of today has to find its orders again in any later version.
    assert shuffled(6, 0, "block", 0) == (2, 3, 0, 1, 4, 5)


@given(FACTORIALS, st.data())
def test_every_fraction_is_a_balanced_subset_without_duplicates(sizes, data):
    total = math.prod(sizes)
    points = data.draw(st.integers(1, total))
    seed = data.draw(st.integers(0, 2**32))
    kept = fraction(sizes, points, seed)
    assert list(kept) == sorted(set(kept)) and len(kept) == points
    assert kept[0] >= 0 and kept[-1] < total
    for size, column in zip(sizes, rows(sizes, kept).T, strict=True):
        counts = np.bincount(column, minlength=size)
        assert counts.min() >= points // size and counts.max() <= -(-points // size)
    assert fraction.__wrapped__(sizes, points, seed) == kept


def test_the_fraction_depends_on_the_seed_and_never_changes():
    drawn = {fraction((16, 2, 8), 32, seed) for seed in range(5)}
    assert len(drawn) == 5
    # Pinned: a panel of today has to find its cells again with any later numpy.
    assert fraction((3, 4, 2), 6, 0) == (1, 4, 8, 11, 21, 22)


@pytest.mark.parametrize(
    ("sizes", "points", "most"),
    [
        ((3, 3, 3), 9, 0),  # an orthogonal array
        ((2, 2, 2), 4, 0),
        ((8, 2, 16), 32, 1),
        ((2, 3, 8, 2, 16), 96, 2),
        ((10, 10, 10), 100, 2),
        ((2, 2, 2, 2), 12, 2),  # chosen through its complement
    ],
)
def test_pairs_of_levels_are_balanced(sizes, points, most):
    for seed in range(10):
        assert max(spread(sizes, fraction(sizes, points, seed))) <= most


def test_pairs_are_far_more_balanced_than_in_a_random_part():
    sizes, points = (20, 10, 10, 10), 1000
    random = np.random.default_rng(1).permutation(math.prod(sizes))[:points]
    assert max(spread(sizes, fraction(sizes, points, 1))) <= 3 < min(spread(sizes, random))


def test_a_whole_factorial_and_impossible_sizes():
    assert fraction((2, 3), 6, 0) == tuple(range(6))
    for points in (0, 7):
        with pytest.raises(ValueError, match="give 1 to 6"):
            fraction((2, 3), points, 0)


def test_large_fractions_are_balanced_too():
    sizes, points = (20, 10, 10, 10), 9_990
    assert max(spread(sizes, fraction(sizes, points, 4))) <= 4


def test_large_factorials_are_never_written_out():
    # A list of these 10^12 points would need terabytes.
    kept = fraction((1000, 1000, 1000, 1000), 500, 3)
    assert len(set(kept)) == 500 and kept[-1] < 10**12
