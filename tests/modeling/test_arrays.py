"""Products and extremes of tall arrays, taken block by block."""

import numpy as np
import pytest

from llmdemand.modeling.arrays import crossed, ends, peaks, product, rescaled, triangle


@pytest.mark.parametrize("rows", [1, 511, 512, 513, 5000])
@pytest.mark.parametrize("columns", [1, 3, 90])
def test_blocks_and_what_is_left_over_give_the_whole(rows, columns):
    rng = np.random.default_rng(rows + columns)
    # A view of a wider array, as regressors without their constant are.
    x = rng.normal(size=(rows, columns + 1))[:, 1:] * np.linspace(1, 3, columns)
    b, w = rng.normal(size=columns), rng.normal(size=rows)
    np.testing.assert_allclose(product(x, b), x @ b, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(crossed(x * w[:, None], x), (x.T * w) @ x, rtol=1e-8, atol=1e-9)
    assert [e.tolist() for e in ends(x)] == [x.min(axis=0).tolist(), x.max(axis=0).tolist()]
    assert peaks(x).tolist() == np.abs(x).max(axis=0).tolist()
    middle, spread = x.mean(axis=0), 1 + peaks(x)
    np.testing.assert_array_equal(rescaled(x, middle, spread), (x - middle) / spread)
    r = triangle(x)
    np.testing.assert_allclose(r.T @ r, x.T @ x, rtol=1e-8, atol=1e-9)
    assert len(r) == min(rows, columns)
