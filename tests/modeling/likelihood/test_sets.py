"""Sums within choice sets: one result whether sets are of one size or not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.modeling.likelihood.sets import ChoiceSets


def one_by_one(sets, values, how, axis=0):
    """The definition, set by set."""
    ends = [*sets.start[1:], sets.rows]
    parts = [
        how(np.take(values, range(a, b), axis=axis), axis=axis)
        for a, b in zip(sets.start, ends, strict=True)
    ]
    return np.stack(parts, axis=axis)


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from([(), (3,), (2, 2)]),
    st.integers(0, 2**32 - 1),
)
def test_every_set_is_summed_compared_and_repeated(sizes, equal, more, seed):
    sizes = np.full(len(sizes), sizes[0]) if equal else np.array(sizes)
    sets = ChoiceSets(np.cumsum(sizes) - sizes, int(sizes.sum()))
    assert sets.balanced == (sizes[0] if len(set(sizes)) == 1 else None)
    assert sets.sizes.tolist() == sizes.tolist()
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(sets.rows, *more))
    for axis, v in ((0, values), (values.ndim - 1, np.moveaxis(values, 0, -1))):
        np.testing.assert_allclose(sets.sum(v, axis), one_by_one(sets, v, np.sum, axis), atol=1e-14)
        np.testing.assert_array_equal(sets.max(v, axis), one_by_one(sets, v, np.max, axis))
        np.testing.assert_array_equal(sets.min(v, axis), one_by_one(sets, v, np.min, axis))
        again = np.repeat(sets.max(v, axis), sizes, axis=axis)
        np.testing.assert_array_equal(sets.spread(sets.max(v, axis), axis), again)
    assert sets.case.tolist() == np.repeat(range(len(sizes)), sizes).tolist()


@pytest.mark.parametrize("sizes", [[3, 3, 3], [2, 3, 4], [40, 40]])
def test_shares_and_log_sums_are_the_textbook_s_and_keep_complex_steps(sizes):
    sizes = np.array(sizes)
    sets = ChoiceSets(np.cumsum(sizes) - sizes, int(sizes.sum()))
    eta, step = np.linspace(-2, 2, sets.rows), np.cos(np.arange(sets.rows))
    e = np.exp(eta)
    total = one_by_one(sets, e, np.sum)
    shares = e / np.repeat(total, sizes)
    np.testing.assert_allclose(sets.log_sums(eta), np.log(total), rtol=1e-13)
    np.testing.assert_allclose(sets.shares(eta), shares, rtol=1e-13)
    np.testing.assert_allclose(sets.shares(eta + 800), shares, rtol=1e-11)
    both = np.stack([eta, -eta])
    np.testing.assert_allclose(sets.shares(both, axis=1)[1], sets.shares(-eta), rtol=1e-13)
    # Derivatives: of a log-sum the mean of the step, of a share s (v - mean v).
    mean = one_by_one(sets, shares * step, np.sum)
    moved = eta + 1e-30j * step
    np.testing.assert_allclose(sets.log_sums(moved).imag / 1e-30, mean, rtol=1e-12, atol=1e-15)
    slope = shares * (step - np.repeat(mean, sizes))
    np.testing.assert_allclose(sets.shares(moved).imag / 1e-30, slope, rtol=1e-12, atol=1e-15)


def test_no_set_has_no_sums():
    sets = ChoiceSets(np.zeros(0, np.intp), 0)
    assert sets.balanced is None and not len(sets.sizes) and not len(sets.case)
