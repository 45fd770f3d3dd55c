"""Weights of cases under a design, and contributions of units, where humans were not one sample.

Without weights, strata and clusters `Moments` has plainer forms of the same.
"""

from __future__ import annotations

import numpy as np

from llmdemand.calibration.samples.surveyed import Surveyed
from llmdemand.modeling.arrays import Array, Codes

__all__ = ["by_unit", "case_weights", "margin_residuals", "spread_factor", "within_cells"]


def within_cells(cell: Codes, stratum: Codes, weight: Array, cells: int, strata: int) -> Array:
    """Share of each stratum in each cell, (J, S); rows sum to 1.

    >>> within_cells(np.array([0, 0]), np.array([0, 1]), np.array([1.0, 3.0]), 1, 2)
    array([[0.25, 0.75]])
    """
    total = np.bincount(cell * strata + stratum, weight, cells * strata).reshape(cells, strata)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / total.sum(axis=1, keepdims=True))


def case_weights(cell: Codes, stratum: Codes, weight: Array, share: Array) -> Array:
    """Weight of each case, (N,), so that cells and strata add up to `share`, (J, S)."""
    key = cell * share.shape[1] + stratum
    total = np.bincount(key, weight, share.size)
    return np.asarray(share.ravel()[key] * weight / total[key])


def spread_factor(key: Codes, person: Codes, weight: Array, keys: int, people: int) -> Array:
    """What squared deviations from each weighted mean are multiplied by, (keys,).

    ``A2 / (A2 - 2 A3 + A2^2)``, A2 and A3 sums of squares and cubes of people's shares of the
    weight: unbiased where people have one variance. Of equal weights it is ``n / (n - 1)``.

    >>> spread_factor(np.zeros(3, int), np.arange(3), np.ones(3), 1, 3)
    array([1.5])
    """
    known, inverse = np.unique(key.astype(np.int64) * people + person, return_inverse=True)
    own = np.bincount(inverse, weight, len(known))
    place = (known // people).astype(np.intp)
    share = own / np.bincount(place, own, keys)[place]
    square, cube = np.bincount(place, share**2, keys), np.bincount(place, share**3, keys)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(square / (square - 2 * cube + square**2))


def margin_residuals(contributions: Array, indicators: Array, start: Array, final: Array) -> Array:
    """Contributions, (n, K), less what the margins explain of them.

    A contribution is a raked weight times a value: values are regressed on the indicators, with the
    weights before raking, and residuals are weighted again (Deville, Sarndal & Sautory 1993; R's
    survey does so).
    """
    values = contributions / final[:, None]
    gram = indicators.T @ (start[:, None] * indicators)
    right = indicators.T @ (start[:, None] * values)
    fitted = indicators @ (np.linalg.pinv(gram, hermitian=True) @ right)
    return np.asarray(final[:, None] * (values - fitted))


def by_unit(survey: Surveyed, r: Array, q: Array, pool: Array) -> tuple[Array, Array, Array]:
    """Contributions of people as those of units, which are independent of each other.

    Parameters
    ----------
    survey : Surveyed
        Whose unit is who.
    r, q, pool : (people, K) arrays
        Of humans with outcomes and with beliefs, and of the pool.

    Returns
    -------
    r, q, pool : arrays
        Units on both sides take their part in the pool's mean off their own in the humans'.
    """
    if survey.margins is not None:
        # Residuals of a regression on few people are short by their leverage.
        known, start, _ = survey.margins
        gram = np.linalg.pinv(known.T @ (start[:, None] * known), hermitian=True)
        hat = start * np.einsum("ia,ab,ib->i", known, gram, known)
        grown = 1 / np.sqrt(1 - np.minimum(hat, 0.5))
        r, q = (margin_residuals(v, *survey.margins) * grown[:, None] for v in (r, q))
    own, other = survey.units
    size = survey.size
    r, q = (_summed(v, own, size) for v in (r, q))
    pool = _summed(pool, other, max(size, int(other.max()) + 1))
    if survey.clustered:
        # Sums of clusters scatter about a mean that is estimated from as many.
        factor = np.sqrt(size / (size - 1))
        r, q = r * factor, q * factor
    return r, q - pool[:size], pool[size:]


def _summed(values: Array, code: Codes, size: int) -> Array:
    return np.column_stack([np.bincount(code, column, size) for column in values.T])
