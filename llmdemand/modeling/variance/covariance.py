"""Covariances of logit estimates: classical, robust, clustered, jackknife, bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from llmdemand.errors import DesignError, warn
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.optimum.ascent import scaled
from llmdemand.modeling.passes.spread import Spread
from llmdemand.modeling.variance.bootstrap import multipliers, pairs_bootstrap, refit
from llmdemand.modeling.variance.clusters import cluster_codes, cluster_sums, observed
from llmdemand.modeling.variance.noise import Quiet, cleaned, quiet_directions
from llmdemand.modeling.variance.vcov import SSC, Covariance, small_sample_factor

__all__ = ["CovarianceWarning", "Estimated", "covariance", "sandwich"]

_FEW = 30  # clusters
_WAYS = {1: "", 2: "two-way ", 3: "three-way "}


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


def covariance(
    data: Likelihood,
    params: Array,
    information: Array,
    asked: Covariance,
    ssc: SSC = "stata",
    *,
    firth: bool = False,
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
    found = _estimated(data, params, information, asked, ssc, firth)
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
) -> Estimated:
    bread = _inverse(information)
    kind = asked.kind
    if kind == "iid":
        factor, text = small_sample_factor(ssc, _rows(data), data.size, robust=False)
        return Estimated(factor * bread, "iid", text, None, np.inf, ())
    if kind in ("HC0", "HC1", "HC2", "HC3"):
        power = {"HC2": 0.5, "HC3": 1.0}.get(kind, 0.0)
        factor, text = 1.0, "none"
        if kind == "HC1":
            factor, text = small_sample_factor(ssc, _rows(data), data.size)
        cov = factor * sandwich(bread, data.meat(params, bread, power))
        return Estimated(cov, kind, text, None, np.inf, ())
    if kind == "pairs":
        return _pairs(data, params, asked, firth, information)
    groups = {column: cluster_codes(data, column) for column in asked.columns}
    if kind == "CRV1":
        return _clustered(data, params, bread, groups, ssc)
    if kind == "CRV3":
        return _jackknifed(data, params, bread, information, groups, firth)
    (column,) = asked.columns
    codes, clusters = groups[column]
    if kind == "within":
        return _within(data, params, bread, column, codes)
    sums = cluster_sums(data.scores(params), codes, clusters)
    return _signed(sums, data, bread, asked, ssc)


def _observation_scores(data: Likelihood, params: Array) -> Array:
    """Rows whose outer products sum to the middle matrix of HC0."""
    if isinstance(data, Spread):
        return data.scatter(params)
    rows = data.scores(params) / np.sqrt(data.observations)[:, None]
    if isinstance(data, Cells):
        rows = np.vstack([rows, data.x * (data.weight * np.sqrt(data.within))[:, None]])
    return rows


def _rows(data: Likelihood) -> float:
    """The observations that are independent: of a mixed logit those who answer, not answers."""
    return float(data.observations.sum())


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


def sandwich(bread: Array, meat: Array) -> Array:
    """``B M B`` with B the inverse information; symmetric by construction."""
    v = bread @ meat @ bread
    return np.asarray((v + v.T) / 2)


def _inverse(information: Array) -> Array:
    """Inverse of a symmetric matrix, in units that make its diagonal one."""
    scale = 1 / np.sqrt(np.diag(information))
    inverse = np.linalg.inv(information * np.outer(scale, scale)) * np.outer(scale, scale)
    return np.asarray((inverse + inverse.T) / 2)


def _few(clusters: int) -> tuple[str, ...]:
    if clusters >= _FEW:
        return ()
    return (
        f"fewer than {_FEW} clusters ({clusters}): clustered standard errors tend to be too "
        "small, even with t(G-1); better are CRV3 (jackknife) and the tests and intervals of the "
        "score (wild) bootstrap",
    )


def _clustered(
    data: Likelihood,
    params: Array,
    bread: Array,
    groups: Mapping[str, tuple[Codes, int]],
    ssc: SSC,
) -> Estimated:
    scores = data.scores(params)
    least = min(clusters for _, clusters in groups.values())
    meat, text, rows = np.zeros_like(bread), "", []
    for sign, _, codes, clusters in _ways(groups):
        sums = cluster_sums(scores, codes, clusters)
        rows.append(sums)
        of = least if ssc == "fixest" else clusters
        factor, text = small_sample_factor(ssc, _rows(data), data.size, of)
        meat += sign * factor * (sums.T @ sums)
    cov = sandwich(bread, meat)
    if len(groups) > 1 and ssc != "none":
        text += " with the smaller G" if ssc == "fixest" else " with the G of each term"
    return _of_clusters("CRV1", groups, cov, bread, text, rows, _few(least))


def _of_clusters(
    kind: str,
    groups: Mapping[str, tuple[Codes, int]],
    cov: Array,
    bread: Array,
    text: str,
    rows: list[Array],
    notes: tuple[str, ...],
) -> Estimated:
    """A covariance by clusters, several ways or one, with what to say of it."""
    ways, least = len(groups), min(clusters for _, clusters in groups.values())
    name = f"{kind} ({_WAYS[ways]}clusters: {', '.join(groups)})"
    notes = (*(_defects(cov, bread, ways) if ways > 1 else ()), *notes)
    middle = np.vstack(rows) / np.sqrt(len(rows))
    return Estimated(cov, name, text, least, least - 1, notes, rows=middle)


def _ways(groups: Mapping[str, tuple[Codes, int]]) -> list[tuple[float, str, Codes, int]]:
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


def _defects(cov: Array, bread: Array, ways: int) -> tuple[str, ...]:
    """Negative eigenvalues, in units of the classical standard errors, said aloud."""
    scale = 1 / np.sqrt(np.diag(bread))
    values = np.linalg.eigvalsh(cov * np.outer(scale, scale))
    if values[0] >= -1e-10 * np.abs(values).max():
        return ()
    note = (
        f"the {_WAYS[ways]}matrix is not positive semi-definite: "
        f"{int((values < 0).sum())} of its {len(values)} eigenvalues are negative; coefficients "
        "with a negative variance have no standard error (NaN), joint tests may mean nothing; "
        "cluster one way, by the column with fewer clusters"
    )
    warn(note, CovarianceWarning)
    return (note,)


def _jackknifed(
    data: Likelihood,
    params: Array,
    bread: Array,
    information: Array,
    groups: Mapping[str, tuple[Codes, int]],
    firth: bool,
) -> Estimated:
    cov, rows = np.zeros_like(bread), []
    for sign, name, codes, clusters in _ways(groups):
        away = _jackknife(data, params, name, codes, clusters, firth)
        rows.append(away @ information)
        cov += sign * (away.T @ away)
    least = min(clusters for _, clusters in groups.values())
    few = f"fewer than {_FEW} clusters ({least}): t(G-1) is an approximation"
    notes = (few,) if least < _FEW else ()
    text = "(G-1)/G" + (" with the G of each term" if len(groups) > 1 else "")
    return _of_clusters("CRV3", groups, cov, bread, text, rows, notes)


def _jackknife(
    data: Likelihood, params: Array, column: str, codes: Codes, clusters: int, firth: bool
) -> Array:
    """Changes of the estimate without each cluster, scaled so that their squares add up."""
    z, back = scaled(data)

    def all_but(g: int) -> Array:
        weights = np.ones(clusters)
        weights[g] = 0.0
        return weights

    start = np.asarray(np.linalg.solve(back, params), np.float64)
    found, exists = refit(z, codes, clusters, all_but, clusters, start=start, firth=firth)
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
    elif (free := float(size.sum()) - len(size)) < _FEW:
        notes = (f"only {free:g} observations more than cells: the scatter is known roughly",)
    name = f"within (cells: {column}; fixed design)"
    cov = sandwich(bread, meat)
    return Estimated(cov, name, "n_c/(n_c-1)", None, np.inf, notes, rows=rows)


def _pairs(
    data: Likelihood, params: Array, asked: Covariance, firth: bool, information: Array
) -> Estimated:
    column = asked.columns[0] if asked.columns else None
    draws = pairs_bootstrap(data, params, column, reps=asked.reps, seed=asked.seed, firth=firth)
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
    notes = (*notes, *_few(draws.units))
    return Estimated(cov, name, "none", draws.units, draws.units - 1, notes, rows=rows)


def _signed(sums: Array, data: Likelihood, bread: Array, asked: Covariance, ssc: SSC) -> Estimated:
    """Covariance of the clusters' scores under random signs."""
    clusters = len(sums)
    v, enumerated = multipliers(clusters, asked.reps, asked.seed)
    drawn = v @ sums @ bread
    factor, text = small_sample_factor(ssc, _rows(data), data.size, clusters)
    how = f"all {len(v)} vectors of signs" if enumerated else f"{len(v)} draws, seed {asked.seed}"
    name = f"score bootstrap (clusters: {asked.columns[0]}; {how})"
    cov = factor * drawn.T @ drawn / len(v)
    return Estimated(cov, name, text, clusters, clusters - 1, _few(clusters), rows=sums)
