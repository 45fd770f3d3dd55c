"""Sandwich covariances: bread, meat, and small-sample factors by name."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llmdemand.errors import DesignError

__all__ = ["SSC", "cluster_meat", "sandwich", "small_sample_factor"]

SSC = Literal["stata", "sandwich", "none"]


def sandwich(bread: NDArray[np.float64], meat: NDArray[np.float64]) -> NDArray[np.float64]:
    """``B M B`` with B the inverse information; symmetric by construction."""
    v = bread @ meat @ bread
    return (v + v.T) / 2


def cluster_meat(scores: NDArray[np.float64], groups: ArrayLike) -> tuple[NDArray[np.float64], int]:
    """Sum over clusters of the outer product of summed scores.

    Parameters
    ----------
    scores : (N, K) array
        ``x_i (y_i - mu_i)``.
    groups : (N,) array
        Cluster of each observation.

    Returns
    -------
    meat : (K, K) array
    clusters : int
        G, the number of clusters.

    Raises
    ------
    DesignError
        With one cluster: its scores sum to zero.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise DesignError(
            f"clustering needs at least two clusters, found {len(names)}: "
            "cluster by another column, or use vcov='HC1'"
        )
    sums = np.zeros((len(names), scores.shape[1]))
    np.add.at(sums, index, scores)
    return sums.T @ sums, len(names)


def small_sample_factor(
    ssc: SSC, nobs: int, params: int, clusters: int | None = None
) -> tuple[float, str]:
    """The factor on the sandwich, and how it is written.

    ``stata`` (logit, glm and fracreg with vce(robust) or vce(cluster)): n / (n - 1),
    G / (G - 1). ``sandwich`` (R's vcovHC type HC1 and vcovCL type HC1): n / (n - k),
    G / (G - 1) * (n - 1) / (n - k). ``none``: 1.

    >>> small_sample_factor("stata", 320, 2)[1]
    'n/(n-1)'
    """
    if ssc == "none":
        return 1.0, "none"
    if ssc == "stata":
        if clusters is None:
            return nobs / (nobs - 1), "n/(n-1)"
        return clusters / (clusters - 1), "G/(G-1)"
    if clusters is None:
        return nobs / (nobs - params), "n/(n-k)"
    factor = clusters / (clusters - 1) * (nobs - 1) / (nobs - params)
    return factor, "G/(G-1) * (n-1)/(n-k)"
