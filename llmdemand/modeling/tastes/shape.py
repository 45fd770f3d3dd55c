"""The shape of tastes over respondents: their skewness, and predictions with their spread."""

from __future__ import annotations

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.tastes.law import Noisy, NormalLaw

__all__ = ["matched", "root", "skewness"]

_OPEN = 1e-9  # share of a matrix's largest eigenvalue that is none


def skewness(data: Noisy, way: Array, replications: int, seed: int) -> tuple[float, float]:
    """Skewness of ``way @ theta`` over respondents, noise removed, and its bootstrap error.

    Parameters
    ----------
    data : Noisy
        Estimates and their precision; respondents whose data leave a direction open stay out.
    way : (K,) array
        Weights of the coefficients.
    replications, seed : int
        Resamples of respondents, and their seed.

    Returns
    -------
    tuple of float
        NaN where the estimates vary no more than their noise.

    Notes
    -----
    With c the deviations of the estimates and v the variances of their noise, which is taken to
    be symmetric but may grow with the coefficient:
    ``(mean c^3 - 3 mean c v) / (mean c^2 - mean v)^(3/2)``.

    Examples
    --------
    >>> theta = np.random.default_rng(1).exponential(size=(4000, 1))      # its skewness is 2
    >>> exact = Noisy(theta, np.full((4000, 1, 1), 1e9))
    >>> [round(v, 1) for v in skewness(exact, np.ones(1), 200, 1)]
    [1.9, 0.1]
    """
    values = np.linalg.eigvalsh(data.precision)
    known = values[:, 0] > _OPEN * values[:, -1]
    e = data.estimate[known] @ way
    v = np.einsum("bkl,k,l->b", np.linalg.inv(data.precision[known]), way, way)
    people = len(e)
    if people < 3:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    resampled = rng.multinomial(people, np.full(people, 1 / people), size=replications)
    weight = np.vstack([np.ones(people), resampled]) / people
    middle = weight @ e
    square, cube = weight @ e**2 - middle**2, weight @ e**3
    cube = cube - 3 * middle * (weight @ e**2) + 2 * middle**3
    noise = weight @ v
    spread = square - noise
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (cube - 3 * (weight @ (e * v) - middle * noise)) / spread**1.5
    if not spread[0] > 0:
        return np.nan, np.nan
    return float(found[0]), float(np.nanstd(found[1:], ddof=1))


def matched(predicted: Array, law: NormalLaw, count: Array | None = None) -> Array:
    """Predictions drawn apart until they vary over respondents as the law says.

    Parameters
    ----------
    predicted : (B, K) array
        Best linear predictions, which vary less than the coefficients do.
    law : NormalLaw
        With the spread that they shall have.
    count : (B,) array, optional
        How often each respondent counts.

    Returns
    -------
    (B, K) array
        ``mean + T (predicted - their mean)``, T the least change (optimal transport) that
        gives them the law's covariance: constrained empirical Bayes (Louis 1984; Ghosh 1992).
        It keeps who is where and the shape that the data show.
    """
    weight = np.ones(len(predicted)) if count is None else count
    middle = weight @ predicted / weight.sum()
    apart = predicted - middle
    covariance = (apart * weight[:, None]).T @ apart / (weight.sum() - 1)
    half, back = root(covariance), root(covariance, -0.5)
    return np.asarray(law.mean + apart @ (back @ root(half @ law.covariance @ half) @ back))


def root(matrix: Array, power: float = 0.5) -> Array:
    """A power of a positive semidefinite matrix; of directions without any, zero."""
    values, vectors = np.linalg.eigh(matrix)
    some = values > _OPEN * max(values[-1], 1e-300)
    powers = np.where(some, np.where(some, values, 1.0) ** power, 0.0)
    return np.asarray((vectors * powers) @ vectors.T)
