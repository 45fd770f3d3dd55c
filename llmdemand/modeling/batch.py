"""Thousands of one-regressor logit fits at once, from sums per price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmdemand.modeling.newton import sigmoid

__all__ = ["BatchFit", "fit_batch"]

Array = NDArray[np.float64]

_CHUNK = 1 << 21  # elements of the (fits x prices) working array
_MAX_ITERATIONS = 60


@dataclass(frozen=True, slots=True)
class BatchFit:
    """Fits of ``logit E[y] = const + slope * x``, one per row of the sums.

    Attributes
    ----------
    const, slope : (B,) arrays
        Coefficients; NaN where `exists` is False.
    se_iid : (B,) array
        Model-based SE of the slope (inverse information).
    se_robust : (B,) array
        Heteroskedasticity-robust (HC1) SE of the slope, factor n / (n - 1).
    exists : (B,) bool array
        Whether the maximum exists: data on two prices, not separated.
    """

    const: Array
    slope: Array
    se_iid: Array
    se_robust: Array
    exists: NDArray[np.bool_]


def fit_batch(x: Array, n: Array, total: Array, squares: Array) -> BatchFit:
    """Fit many logits with a constant and one regressor from sufficient statistics.

    Parameters
    ----------
    x : (J,) array
        Distinct values of the regressor.
    n : (B, J) array
        Observations at each value, in each fit.
    total, squares : (B, J) arrays
        Sum of y and of y^2.

    Returns
    -------
    BatchFit

    Notes
    -----
    The likelihood depends on the data through n and sum y at each x alone; the
    robust variance needs sum y^2 besides. Separation is checked before fitting.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> n, s = np.array([[4.0, 4.0]]), np.array([[3.0, 1.0]])
    >>> round(float(fit_batch(x, n, s, s).slope[0]), 6)    # logit(1/4) - logit(3/4)
    -2.197225
    """
    size = max(1, _CHUNK // max(1, len(x)))
    parts = [
        _fit(x, n[k : k + size], total[k : k + size], squares[k : k + size])
        for k in range(0, len(n), size)
    ]
    return BatchFit(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def _fit(
    x: Array, n: Array, total: Array, squares: Array
) -> tuple[Array, Array, Array, Array, NDArray[np.bool_]]:
    exists = _exists(x, n, total)
    result = [np.full(len(n), np.nan) for _ in range(4)]
    if exists.any():
        found = _newton(x, n[exists], total[exists], squares[exists])
        for whole, part in zip(result, found, strict=True):
            whole[exists] = part
    return result[0], result[1], result[2], result[3], exists


def _exists(x: Array, n: Array, total: Array) -> NDArray[np.bool_]:
    """Closed-form overlap: see `separating_direction`, with sums in place of rows."""
    some, other = total > 0, total < n
    inf = np.inf
    highest_one = np.where(some, x, -inf).max(axis=1)
    lowest_one = np.where(some, x, inf).min(axis=1)
    highest_zero = np.where(other, x, -inf).max(axis=1)
    lowest_zero = np.where(other, x, inf).min(axis=1)
    return np.asarray((highest_one > lowest_zero) & (highest_zero > lowest_one))


def _newton(x: Array, n: Array, total: Array, squares: Array) -> tuple[Array, ...]:
    # Centred and scaled, so that the 2 x 2 information is well conditioned.
    middle, width = x.mean(), max(float(np.ptp(x)), 1e-300)
    z = (x - middle) / width
    rows = n.sum(axis=1)
    a = _logit(total.sum(axis=1) / rows)
    b = np.zeros_like(a)
    value = _objective(z, n, total, a, b)
    for _ in range(_MAX_ITERATIONS):
        mu = sigmoid(a[:, None] + b[:, None] * z)
        residual, weight = total - n * mu, n * mu * (1 - mu)
        da, db = _solve(weight, z, residual.sum(axis=1), residual @ z)
        new = _objective(z, n, total, a + da, b + db)
        # Concave: a step that loses is halved; rows that are done do not move.
        for _ in range(30):
            worse = new < value - 1e-12 * np.abs(value)
            if not worse.any():
                break
            da, db = np.where(worse, da / 2, da), np.where(worse, db / 2, db)
            new = _objective(z, n, total, a + da, b + db)
        a, b, value = a + da, b + db, new
        if max(np.abs(da).max(), np.abs(db).max()) < 1e-10:
            break
    mu = sigmoid(a[:, None] + b[:, None] * z)
    weight = n * mu * (1 - mu)
    spread = squares - 2 * mu * total + n * mu**2
    c, d = _inverse_row(weight, z)
    robust = c**2 * spread.sum(axis=1) + 2 * c * d * (spread @ z) + d**2 * (spread @ z**2)
    # Rounding can leave a perfect fit a hair below zero.
    robust = np.maximum(robust, 0) * rows / np.maximum(rows - 1, 1)
    slope = b / width
    return a - slope * middle, slope, np.sqrt(d) / width, np.sqrt(robust) / width


def _inverse_row(weight: Array, z: Array) -> tuple[Array, Array]:
    """The slope's row of the inverse information."""
    w0, w1, w2 = weight.sum(axis=1), weight @ z, weight @ z**2
    determinant = w0 * w2 - w1**2
    return -w1 / determinant, w0 / determinant


def _solve(weight: Array, z: Array, g0: Array, g1: Array) -> tuple[Array, Array]:
    w0, w1, w2 = weight.sum(axis=1), weight @ z, weight @ z**2
    determinant = w0 * w2 - w1**2
    return (w2 * g0 - w1 * g1) / determinant, (w0 * g1 - w1 * g0) / determinant


def _objective(z: Array, n: Array, total: Array, a: Array, b: Array) -> Array:
    eta = a[:, None] + b[:, None] * z
    return np.asarray((total * eta - n * np.logaddexp(0.0, eta)).sum(axis=1))


def _logit(p: Array) -> Array:
    return np.log(p / (1 - p))
