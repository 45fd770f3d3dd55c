"""Sums do not depend on how rows are divided, nor on the order of the parts."""

import operator
from functools import reduce

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.scale.sums import Moments, Sums


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(-1e6, 1e6))
def test_moments_are_those_of_all_rows(seed, parts, far):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    keys = rng.integers(0, 4, n)
    values = far + rng.normal(size=(n, 2))
    part = rng.integers(0, parts, n)
    each = [Moments.of(keys[part == k], values[part == k]) for k in rng.permutation(parts)]
    found = reduce(operator.add, each)
    frame = pd.DataFrame(values).groupby(keys)
    assert found.keys.tolist() == sorted(set(keys.tolist()))
    np.testing.assert_array_equal(found.n, frame.size())
    np.testing.assert_allclose(found.total, frame.sum(), rtol=1e-12)
    for k, rows in frame:
        wanted = np.cov(rows.to_numpy().T, ddof=0, bias=True) * len(rows)
        at = int(np.flatnonzero(found.keys == k)[0])
        # Far from zero the values themselves have lost digits, which no sum can give back.
        np.testing.assert_allclose(
            found.products[at], wanted, rtol=1e-8, atol=1e-9 * abs(far) + 1e-12
        )


# dask issues 6306 (deviations of 1e-10 among equal values) and 5725 (a negative variance).
@pytest.mark.parametrize("value", [0.011, 0.002, 0.1, -0.00179999999])
def test_equal_values_vary_by_nothing_whatever_the_parts(value):
    parts = [Moments.of(np.zeros(n, int), np.full((n, 1), value)) for n in (3, 7, 1, 12, 5)]
    assert reduce(operator.add, parts).products.item() == 0.0


def test_large_values_that_differ_little_keep_their_variance():
    """Cudf issue 7402: sums of squares lose it."""
    values = 1e9 + np.arange(40.0) / 8
    parts = [Moments.of(np.zeros(10, int), v[:, None]) for v in values.reshape(4, 10)]
    found = reduce(operator.add, parts).products.item() / 40
    assert found == pytest.approx((40**2 - 1) / 12 / 64, rel=1e-12)


def test_labels_that_a_part_lacks_count_as_nothing():
    one = Sums(table=pd.DataFrame({"x": [1], "y": [2]}, index=["a"]), n=1)
    two = Sums(table=pd.DataFrame({"x": [5]}, index=["b"]), n=2)
    none = Sums(table=pd.DataFrame({"x": [], "y": []}), n=0)
    found = (none + one + two + none)["table"]
    assert found.loc["b"].tolist() == [5, 0] and found.loc["a"].tolist() == [1, 2]
    assert (one + two)["n"] == 3


@pytest.mark.parametrize("levels", [(0.1, 0.2), (-0.0, 0.0)])
def test_labels_of_several_levels_meet(levels):
    index = pd.MultiIndex.from_tuples([("ok", v) for v in levels], names=["status", "price"])
    tables = [Sums(t=pd.DataFrame({"n": [1.0, 1.0]}, index)) for _ in range(3)]
    assert reduce(operator.add, tables)["t"]["n"].sum() == 6
