"""Covariances by clusters, one way or several."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from llmdemand.errors import warn
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.variance.clusters import cluster_sums, independent
from llmdemand.modeling.variance.estimated import CovarianceWarning, Estimated, sandwich
from llmdemand.modeling.variance.vcov import SSC, small_sample_factor

__all__ = ["FEW", "clustered", "few", "of_clusters", "ways"]

FEW = 30  # clusters
_WAYS = {1: "", 2: "two-way ", 3: "three-way "}


def few(clusters: int) -> tuple[str, ...]:
    """What to say of few clusters."""
    if clusters >= FEW:
        return ()
    return (
        f"fewer than {FEW} clusters ({clusters}): clustered standard errors tend to be too "
        "small, even with t(G-1); better are CRV3 (jackknife) and the tests and intervals of the "
        "score (wild) bootstrap",
    )


def clustered(
    data: Likelihood,
    params: Array,
    bread: Array,
    groups: Mapping[str, tuple[Codes, int]],
    ssc: SSC,
) -> Estimated:
    """CRV1, one way or several: see `llmdemand.modeling.variance.covariance.covariance`."""
    scores = data.scores(params)
    least = min(clusters for _, clusters in groups.values())
    meat, text, rows = np.zeros_like(bread), "", []
    for sign, _, codes, clusters in ways(groups):
        sums = cluster_sums(scores, codes, clusters)
        rows.append(sums)
        of = least if ssc == "fixest" else clusters
        factor, text = small_sample_factor(ssc, independent(data), data.size, of)
        meat += sign * factor * (sums.T @ sums)
    cov = sandwich(bread, meat)
    if len(groups) > 1 and ssc != "none":
        text += " with the smaller G" if ssc == "fixest" else " with the G of each term"
    return of_clusters("CRV1", groups, cov, bread, text, rows, few(least))


def of_clusters(
    kind: str,
    groups: Mapping[str, tuple[Codes, int]],
    cov: Array,
    bread: Array,
    text: str,
    rows: list[Array],
    notes: tuple[str, ...],
) -> Estimated:
    """A covariance by clusters, several ways or one, with what to say of it."""
    several, least = len(groups), min(clusters for _, clusters in groups.values())
    name = f"{kind} ({_WAYS[several]}clusters: {', '.join(groups)})"
    notes = (*(_defects(cov, bread, several) if several > 1 else ()), *notes)
    middle = np.vstack(rows) / np.sqrt(len(rows))
    return Estimated(cov, name, text, least, least - 1, notes, rows=middle)


def ways(groups: Mapping[str, tuple[Codes, int]]) -> list[tuple[float, str, Codes, int]]:
    """Sign, name, codes and number of the clusters of each term of inclusion and exclusion."""
    found = []
    for size in range(1, len(groups) + 1):
        for some in combinations(groups, size):
            codes, clusters = groups[some[0]]
            for name in some[1:]:
                other, many = groups[name]
                both, codes = np.unique(codes * many + other, return_inverse=True)
                codes, clusters = np.asarray(codes, np.intp).reshape(-1), len(both)
            found.append(((-1.0) ** (size + 1), " and ".join(some), codes, clusters))
    return found


def _defects(cov: Array, bread: Array, several: int) -> tuple[str, ...]:
    """Negative eigenvalues, in units of the classical standard errors, said aloud."""
    scale = 1 / np.sqrt(np.diag(bread))
    values = np.linalg.eigvalsh(cov * np.outer(scale, scale))
    if values[0] >= -1e-10 * np.abs(values).max():
        return ()
    note = (
        f"the {_WAYS[several]}matrix is not positive semi-definite: "
        f"{int((values < 0).sum())} of its {len(values)} eigenvalues are negative; coefficients "
        "with a negative variance have no standard error (NaN), joint tests may mean nothing; "
        "cluster one way, by the column with fewer clusters"
    )
    warn(note, CovarianceWarning)
    return (note,)
