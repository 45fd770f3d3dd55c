"""A covariance matrix, and what to print with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.variance.noise import Quiet, cleaned

__all__ = ["CovarianceWarning", "Estimated", "inverse", "sandwich"]


class CovarianceWarning(UserWarning):
    """A covariance matrix with a defect that its standard errors do not show."""


@dataclass(frozen=True)
class Estimated:
    """An estimated covariance matrix, and what to print with it.

    Attributes
    ----------
    cov : (K, K) array
        The matrix.
    name : str
        What it is, such as ``CRV1 (clusters: cell)``.
    factor : str
        The small-sample factor, such as ``G/(G-1)``.
    clusters : int or None
        G, the smallest one of clustering several ways.
    df : float
        Degrees of freedom of t: G - 1 with clusters, otherwise infinite (normal).
    notes : tuple of str
        Sentences to print.
    quiet : tuple of Quiet
        Directions in which the matrix is only rounding; what it held there is taken out.
    rows : (M, K) array or None
        What the middle matrix sums the squares of, where it is not the scores.
    """

    cov: Array
    name: str
    factor: str
    clusters: int | None
    df: float
    notes: tuple[str, ...]
    quiet: tuple[Quiet, ...] = ()
    rows: Array | None = None

    def turned(self, back: Array) -> Estimated:
        """The covariance of ``back @ params``."""
        quiet = tuple(found.turned(back) for found in self.quiet)
        return replace(self, cov=cleaned(back @ self.cov @ back.T, quiet), quiet=quiet)


def sandwich(bread: Array, meat: Array) -> Array:
    """``B M B`` with B the inverse information; symmetric by construction."""
    v = bread @ meat @ bread
    return np.asarray((v + v.T) / 2)


def inverse(information: Array) -> Array:
    """Inverse of a symmetric matrix, in units that make its diagonal one."""
    scale = 1 / np.sqrt(np.diag(information))
    inverse = np.linalg.inv(information * np.outer(scale, scale)) * np.outer(scale, scale)
    return np.asarray((inverse + inverse.T) / 2)
