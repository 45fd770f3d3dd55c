"""Clusters of a fit's rows: their codes, and sums over them."""

from __future__ import annotations

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array, Codes, sums
from llmdemand.modeling.likelihood.protocol import Likelihood

__all__ = ["cluster_codes", "cluster_sums", "independent", "observed"]


def observed(data: Likelihood) -> Likelihood:
    """The data without rows of no observations."""
    empty = data.observations <= 0
    return data.weighted((~empty).astype(float)) if empty.any() else data


def cluster_codes(data: Likelihood, group: str) -> tuple[Codes, int]:
    """Cluster codes of the rows that hold observations, renumbered 0 to G - 1, and G.

    Raises
    ------
    UsageError
        For a column that the data do not have.
    DesignError
        With one cluster.
    """
    if group not in data.groups:
        known = [str(name) for name in data.groups]
        raise UsageError(
            f"no clusters {group!r}{nearest(group, known)}: the data have "
            f"{', '.join(known) or 'none'}"
        )
    codes = np.asarray(data.groups[group], np.intp)
    held = np.bincount(codes) > 0
    clusters = int(held.sum())
    if clusters < 2:
        raise DesignError(
            f"clustering needs at least two clusters, found {clusters} in {group!r}: "
            "cluster by another column, or use vcov='HC1'"
        )
    return codes if held.all() else (np.cumsum(held) - 1)[codes], clusters


def cluster_sums(scores: Array, codes: Codes, clusters: int) -> Array:
    """Sums of the rows of each cluster, (G, K)."""
    return np.stack([sums(codes, column, clusters) for column in scores.T], axis=1)


def independent(data: Likelihood) -> float:
    """The observations that are independent: of a mixed logit those who answer, not answers."""
    return float(data.observations.sum())
