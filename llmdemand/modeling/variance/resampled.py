"""Covariances from estimates of other samples: jackknife and bootstraps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from llmdemand.errors import DesignError, warn
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.optimum.ascent import scaled
from llmdemand.modeling.variance.bootstrap import multipliers, pairs_bootstrap, refit
from llmdemand.modeling.variance.clustered import FEW, few, of_clusters, ways
from llmdemand.modeling.variance.clusters import independent
from llmdemand.modeling.variance.estimated import CovarianceWarning, Estimated
from llmdemand.modeling.variance.vcov import SSC, Covariance, small_sample_factor
from llmdemand.scale.executors import Executor

__all__ = ["jackknifed", "pairs", "signed"]


def jackknifed(
    data: Likelihood,
    params: Array,
    bread: Array,
    information: Array,
    groups: Mapping[str, tuple[Codes, int]],
    firth: bool,
    executor: Executor = None,
) -> Estimated:
    """CRV3: see `llmdemand.modeling.variance.covariance.covariance`."""
    cov, rows = np.zeros_like(bread), []
    for sign, name, codes, clusters in ways(groups):
        away = _jackknife(data, params, name, codes, clusters, firth, executor)
        rows.append(away @ information)
        cov += sign * (away.T @ away)
    least = min(clusters for _, clusters in groups.values())
    few = f"fewer than {FEW} clusters ({least}): t(G-1) is an approximation"
    notes = (few,) if least < FEW else ()
    text = "(G-1)/G" + (" with the G of each term" if len(groups) > 1 else "")
    return of_clusters("CRV3", groups, cov, bread, text, rows, notes)


def _jackknife(
    data: Likelihood,
    params: Array,
    column: str,
    codes: Codes,
    clusters: int,
    firth: bool,
    executor: Executor,
) -> Array:
    """Changes of the estimate without each cluster, scaled so that their squares add up."""
    z, back = scaled(data)
    start = np.asarray(np.linalg.solve(back, params), np.float64)
    found, exists = refit(
        z,
        codes,
        clusters,
        partial(_all_but, clusters=clusters),
        clusters,
        start=start,
        firth=firth,
        executor=executor,
    )
    if not exists.all():
        bad = np.flatnonzero(~exists)
        raise DesignError(
            f"CRV3 leaves out one cluster at a time; without number {int(bad[0])} of {column!r} "
            f"(counted from 0, {len(bad)} such clusters of {clusters}) there is no estimate: the "
            "rest is separated, or its regressors are collinear; use CRV1 or the score "
            "bootstrap, or Firth's estimates (separation='firth')"
        )
    away = (found - start) @ back.T
    return np.asarray(np.sqrt((clusters - 1) / clusters) * away)


def _all_but(g: int, clusters: int) -> Array:
    weights = np.ones(clusters)
    weights[g] = 0.0
    return weights


def pairs(
    data: Likelihood,
    params: Array,
    asked: Covariance,
    firth: bool,
    information: Array,
    executor: Executor = None,
) -> Estimated:
    """The pairs bootstrap: see `llmdemand.modeling.variance.covariance.covariance`."""
    column = asked.columns[0] if asked.columns else None
    draws = pairs_bootstrap(
        data, params, column, reps=asked.reps, seed=asked.seed, firth=firth, executor=executor
    )
    notes: tuple[str, ...] = ()
    cov = draws.covariance()
    good = draws.params[~draws.failed]
    rows = (good - good.mean(axis=0)) @ information / np.sqrt(len(good) - 1)
    if draws.failed.any():
        warn(draws.text, CovarianceWarning)
        notes = (draws.text,)
    what = "observations" if column is None else f"clusters: {column}"
    name = f"pairs bootstrap ({what}; {asked.reps} draws, seed {asked.seed})"
    if column is None:
        return Estimated(cov, name, "none", None, np.inf, notes, rows=rows)
    notes = (*notes, *few(draws.units))
    return Estimated(cov, name, "none", draws.units, draws.units - 1, notes, rows=rows)


def signed(sums: Array, data: Likelihood, bread: Array, asked: Covariance, ssc: SSC) -> Estimated:
    """Covariance of the clusters' scores under random signs."""
    clusters = len(sums)
    v, enumerated = multipliers(clusters, asked.reps, asked.seed)
    drawn = v @ sums @ bread
    factor, text = small_sample_factor(ssc, independent(data), data.size, clusters)
    how = f"all {len(v)} vectors of signs" if enumerated else f"{len(v)} draws, seed {asked.seed}"
    name = f"score bootstrap (clusters: {asked.columns[0]}; {how})"
    cov = factor * drawn.T @ drawn / len(v)
    return Estimated(cov, name, text, clusters, clusters - 1, few(clusters), rows=sums)
