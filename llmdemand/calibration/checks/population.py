"""Whether both sides' beliefs have the same means, in the directions that estimates go by."""

from __future__ import annotations

import numpy as np

from llmdemand.calibration.moments.moments import Moments, Scores
from llmdemand.calibration.moments.tuning import FLAT
from llmdemand.modeling.arrays import Array

__all__ = ["imbalance"]


def imbalance(moments: Moments, scores: Scores, params: Array) -> float:
    """p-value of equal mean scores of belief on both sides."""
    from scipy import stats

    # In units of what humans differ by: free of the scale of regressors, and rounding is small.
    unit = np.sqrt(np.diag(scores.r.T @ scores.r))
    unit[unit == 0] = 1.0
    gap = moments.imbalance(params) / unit
    cov = (scores.q.T @ scores.q + scores.pool.T @ scores.pool) / np.outer(unit, unit)
    values, vectors = np.linalg.eigh(cov)
    kept = values > max(1e-10 * float(values.max()), FLAT)
    if not kept.any():  # every respondent of a price is told alike: any difference is no chance
        return 1.0 if float(gap @ gap) < FLAT else 0.0
    along = vectors[:, kept].T @ gap
    wald, k = float(np.sum(along**2 / values[kept])), int(kept.sum())
    # Where the pool is everybody little or nothing of it is left beside the humans.
    few = [len(scores.q)] if moments.pairs.survey is not None else []
    df = min(few or [len(scores.q), len(scores.pool)]) - 1
    if df < k:
        return float(stats.chi2.sf(wald, k))
    # Hotelling's law: the limit is too sure of a covariance that few respondents give.
    return float(stats.f.sf(wald * (df + 1 - k) / (k * df), k, df + 1 - k))
