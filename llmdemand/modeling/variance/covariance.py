"""Covariances of logit estimates: classical, robust, clustered, jackknife, bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llmdemand.errors import DesignError, warn
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.passes.spread import Spread
from llmdemand.modeling.variance.clustered import FEW, clustered
from llmdemand.modeling.variance.clusters import cluster_codes, cluster_sums, independent, observed
from llmdemand.modeling.variance.estimated import CovarianceWarning, Estimated, inverse, sandwich
from llmdemand.modeling.variance.noise import cleaned, quiet_directions
from llmdemand.modeling.variance.resampled import jackknifed, pairs, signed
from llmdemand.modeling.variance.vcov import SSC, Covariance, small_sample_factor
from llmdemand.scale.executors import Executor

__all__ = ["covariance"]


def covariance(
    data: Likelihood,
    params: Array,
    information: Array,
    asked: Covariance,
    ssc: SSC = "stata",
    *,
    firth: bool = False,
    executor: Executor = None,
) -> Estimated:
    """Covariance of a logit's estimate.

    Parameters
    ----------
    data : Likelihood
        Best in regressors of comparable scale (`Likelihood.standardised`): with
        ``params = back @ z_params`` the covariance is ``back @ z_cov @ back.T``.
    params : (K,) array
        The estimate.
    information : (K, K) array
        Minus the Hessian there.
    asked : Covariance
        From `llmdemand.modeling.variance.vcov.parse_vcov`.
    ssc : str
        Small-sample factor of iid, HC1, CRV1 and score: see
        `llmdemand.modeling.variance.vcov.small_sample_factor`.
    firth : bool
        Whether the estimate is Firth's; so are then those of the jackknife and of the pairs
        bootstrap. Sandwiches use the scores without the penalty.
    executor : None, int, str or dask.distributed.Client
        Who fits other samples: see `llmdemand.scale.merging.map_merge`.

    Returns
    -------
    Estimated

    Raises
    ------
    DesignError
        With one cluster; for `within` with a cell of one observation; for CRV3 if leaving out
        some cluster leaves no estimate; for `pairs` if most samples have none.
    UsageError
        For an unknown cluster column.

    Warns
    -----
    CovarianceWarning
        If clustering several ways gives a matrix with negative eigenvalues, if bootstrap samples
        have no estimate, or if the outcomes do not vary within cells.

    Notes
    -----
    With A the inverse information, s_i the score of an observation, h_i its leverage:

    - ``iid``: A.
    - ``HC0``: A (sum s_i s_i') A. ``HC1``: times a factor. ``HC2``, ``HC3``: s_i divided by
      (1 - h_i)^(1/2) or (1 - h_i), with h_i = w_i mu_i (1 - mu_i) x_i' A x_i for a binary
      logit (MacKinnon & White 1985, in the weighted regression of the last Newton step, as in
      R's vcovHC for glm), and s_i times a matrix power of 1 - A_i A, A_i the information of
      the case, for several alternatives.
    - ``CRV1``: A (sum s_g s_g') A with scores summed by cluster, times a factor (Liang &
      Zeger 1986); two-way V_a + V_b - V_ab, three-way V_a + V_b + V_c - V_ab - V_ac - V_bc +
      V_abc (Cameron, Gelbach & Miller 2011).
    - ``CRV3``: (G-1)/G sum (b_g - b)(b_g - b)', b_g the estimate without cluster g, each
      found by iteration to the end (MacKinnon, Nielsen & Webb 2023); two-way by inclusion and
      exclusion of jackknives, as CRV1. The safest with few
      clusters: with 8 unequal ones 95 % intervals covered .956 (a price) and .949 (a trait of
      the cluster) in 2,000 simulated samples; CRV1 .931 and .910, with the normal
      distribution .881 and .864; the score bootstrap's .928 and .934; HC1 .857 and .563.
    - ``within``: A (sum_c n_c/(n_c-1) sum_i (s_i - sbar_c)(s_i - sbar_c)') A, the scores
      centred within cells. It conditions on the design: cells and their number of
      observations are held fixed, the same cells would be asked again, and that the curve
      misses the cells' true means is no error but part of what is estimated. It does not
      cover what other cells would have answered: that is CRV1 by cell.
    - ``pairs``: covariance of the estimates from samples of clusters (or of observations)
      drawn with replacement; see `llmdemand.modeling.variance.bootstrap.pairs_bootstrap`.
    - ``score``: covariance of A sum_g v_g s_g over random signs v_g (Kline & Santos 2012),
      times the factor of CRV1, to which it tends as draws are added (and which it is if all
      2^G signs are drawn). The gain of the score bootstrap with few clusters is in its tests
      and intervals: see `llmdemand.modeling.variance.score_bootstrap`.

    Examples
    --------
    >>> from llmdemand.modeling.optimum.newton import newton
    >>> from llmdemand.modeling.variance.vcov import parse_vcov
    >>> x = np.column_stack([np.ones(6), [1, 2, 3, 1, 2, 3]])
    >>> y = np.array([0.9, 0.5, 0.2, 0.8, 0.6, 0.1])
    >>> data = Cells.of_rows(x, y, {"person": np.array([0, 0, 0, 1, 1, 1])})
    >>> fit = newton(data)
    >>> found = covariance(data, fit.params, fit.information, parse_vcov({"CRV1": "person"}))
    >>> found.name, found.factor, found.df
    ('CRV1 (clusters: person)', 'G/(G-1)', 1)
    >>> found.notes[0][:26]
    'fewer than 30 clusters (2)'
    """
    data = observed(data)
    found = _estimated(data, params, information, asked, ssc, firth, executor)
    if asked.kind == "iid":  # no scores in it
        return found
    unit = data.rounding(params)
    if unit is None:  # what rounding could do is not known
        return replace(found, rows=None)

    def rows() -> Array:
        return _observation_scores(data, params)

    quiet = quiet_directions(
        found.cov,
        information,
        rows if found.rows is None else lambda: np.asarray(found.rows),
        rows,
        lambda: unit,
        why=_still(asked),
        heaviest=_heaviest(data),
    )
    return replace(found, cov=cleaned(found.cov, quiet), quiet=quiet, rows=None)


def _estimated(
    data: Likelihood,
    params: Array,
    information: Array,
    asked: Covariance,
    ssc: SSC,
    firth: bool,
    executor: Executor,
) -> Estimated:
    bread = inverse(information)
    kind = asked.kind
    if kind == "iid":
        factor, text = small_sample_factor(ssc, independent(data), data.size, robust=False)
        return Estimated(factor * bread, "iid", text, None, np.inf, ())
    if kind in ("HC0", "HC1", "HC2", "HC3"):
        power = {"HC2": 0.5, "HC3": 1.0}.get(kind, 0.0)
        factor, text = 1.0, "none"
        if kind == "HC1":
            factor, text = small_sample_factor(ssc, independent(data), data.size)
        cov = factor * sandwich(bread, data.meat(params, bread, power))
        return Estimated(cov, kind, text, None, np.inf, ())
    if kind == "pairs":
        return pairs(data, params, asked, firth, information, executor)
    groups = {column: cluster_codes(data, column) for column in asked.columns}
    if kind == "CRV1":
        return clustered(data, params, bread, groups, ssc)
    if kind == "CRV3":
        return jackknifed(data, params, bread, information, groups, firth, executor)
    (column,) = asked.columns
    codes, clusters = groups[column]
    if kind == "within":
        return _within(data, params, bread, column, codes)
    sums = cluster_sums(data.scores(params), codes, clusters)
    return signed(sums, data, bread, asked, ssc)


def _observation_scores(data: Likelihood, params: Array) -> Array:
    """Rows whose outer products sum to the middle matrix of HC0."""
    if isinstance(data, Spread):
        return data.scatter(params)
    rows = data.scores(params) / np.sqrt(data.observations)[:, None]
    if isinstance(data, Cells):
        rows = np.vstack([rows, data.x * (data.weight * np.sqrt(data.within))[:, None]])
    return rows


def _heaviest(data: Likelihood) -> float:
    """The largest sampling weight."""
    return float(data.weight.max())


def _still(asked: Covariance) -> str:
    """What does not vary where this covariance is zero."""
    columns = " and ".join(repr(c) for c in asked.columns)
    if asked.kind == "within":
        return f"the outcomes do not vary within the cells of {columns}"
    if asked.kind == "CRV3":
        return f"the estimates do not vary when a cluster of {columns} is left out"
    if asked.kind == "pairs":
        return "the estimates do not vary between bootstrap samples"
    return f"the scores do not vary once summed by {columns}"


def _within(data: Likelihood, params: Array, bread: Array, column: str, codes: Codes) -> Estimated:
    observations = data.observations
    size = np.bincount(codes, observations)
    alone = np.flatnonzero(size < 2)
    if len(alone):
        raise DesignError(
            f"the within covariance needs two observations in every cell; {len(alone)} of "
            f"{len(size)} cells of {column!r} have one (the first is number {int(alone[0])}, "
            "counted from 0): ask for more runs, or use HC1"
        )
    scores = data.scores(params)
    mean = cluster_sums(scores, codes, len(size)) / size[:, None]
    factor = (size / (size - 1))[codes]
    # Between the rows of a cell, then within a row: no difference of large numbers.
    away = scores / observations[:, None] - mean[codes]
    rows = away * np.sqrt(factor * observations)[:, None]
    if isinstance(data, Cells):
        rows = np.vstack([rows, data.x * (data.weight * np.sqrt(factor * data.within))[:, None]])
    meat = rows.T @ rows
    notes: tuple[str, ...] = ()
    total = data.meat(params, bread)
    if np.trace(meat) <= 1e-20 * np.trace(total):
        note = (
            f"the outcomes do not vary within the cells of {column!r}: the within covariance is "
            "zero, for the same cells would give the same answers; use {'CRV1': "
            f"{column!r}}} for other cells"
        )
        warn(note, CovarianceWarning)
        notes = (note,)
    elif (free := float(size.sum()) - len(size)) < FEW:
        notes = (f"only {free:g} observations more than cells: the scatter is known roughly",)
    name = f"within (cells: {column}; fixed design)"
    cov = sandwich(bread, meat)
    return Estimated(cov, name, "n_c/(n_c-1)", None, np.inf, notes, rows=rows)
