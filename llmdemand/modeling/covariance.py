"""Covariances of logit estimates by name: classical, robust, clustered, jackknife, bootstrap."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.binary import Cells
from llmdemand.modeling.bootstrap import cluster_codes, multipliers, pairs_bootstrap, refit
from llmdemand.modeling.likelihood import Array, Codes, Likelihood

__all__ = [
    "SSC",
    "Covariance",
    "CovarianceWarning",
    "Estimated",
    "Kind",
    "cluster_meat",
    "covariance",
    "parse_vcov",
    "sandwich",
    "small_sample_factor",
]

SSC = Literal["stata", "sandwich", "fixest", "none"]
Kind = Literal["iid", "HC0", "HC1", "HC2", "HC3", "CRV1", "CRV3", "within", "pairs", "score"]

_CLUSTERED = ("CRV1", "CRV3", "within", "pairs", "score")
_FEW = 30  # clusters


class CovarianceWarning(UserWarning):
    """A covariance matrix with a defect that its standard errors do not show."""


@dataclass(frozen=True)
class Covariance:
    """A covariance that was asked for; see `parse_vcov`.

    Attributes
    ----------
    kind : str
        ``iid``, ``HC0`` to ``HC3``, ``CRV1``, ``CRV3``, ``within``, ``pairs`` or ``score``.
    columns : tuple of str
        Cluster columns: two for two-way clustering, none for the kinds without clusters.
    reps, seed : int
        Draws of a bootstrap, and their seed.
    """

    kind: Kind
    columns: tuple[str, ...] = ()
    reps: int = 999
    seed: int = 1


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
        G, the smaller one of two-way clustering.
    df : float
        Degrees of freedom of t: G - 1 with clusters, otherwise infinite (normal).
    notes : tuple of str
        Sentences to print.
    """

    cov: Array
    name: str
    factor: str
    clusters: int | None
    df: float
    notes: tuple[str, ...]


def parse_vcov(vcov: str | Sequence[str] | Mapping[str, Any] | Covariance) -> Covariance:
    """Read the name of a covariance.

    Parameters
    ----------
    vcov : str, mapping or Covariance
        ``"iid"``, ``"HC0"`` to ``"HC3"``, ``"hetero"`` (another name of HC1), ``"pairs"`` (by
        observation); ``{"CRV1": "cell"}``, ``{"CRV1": "cell+persona"}`` or
        ``{"CRV1": ("cell", "persona")}`` (two-way), ``{"CRV3": "cell"}``, ``{"within": "cell"}``,
        ``{"pairs": "household"}``, ``{"score": "household"}``. A bootstrap (pairs, score) takes
        ``"reps"`` and ``"seed"`` besides. On a command line ``"CRV1:cell+persona"``.

    Raises
    ------
    UsageError
        For anything else.

    Examples
    --------
    >>> parse_vcov("CRV1:cell+persona")
    Covariance(kind='CRV1', columns=('cell', 'persona'), reps=999, seed=1)
    >>> parse_vcov({"pairs": "household", "reps": 499})
    Covariance(kind='pairs', columns=('household',), reps=499, seed=1)
    """
    if isinstance(vcov, Covariance):
        return vcov
    if isinstance(vcov, str):
        name, colon, column = vcov.partition(":")
        return _asked(name.strip(), _columns(column) if colon else (), {})
    if not isinstance(vcov, Mapping):
        raise UsageError(f"vcov={vcov!r}: expected a name or a mapping. {_kinds()}")
    options = {key: vcov[key] for key in ("reps", "seed") if key in vcov}
    names = [key for key in vcov if key not in options]
    if len(names) != 1:
        raise UsageError(
            f"vcov={dict(vcov)!r} names {len(names)} covariances, expected one. {_kinds()}"
        )
    return _asked(str(names[0]), _columns(vcov[names[0]]), options)


def _asked(name: str, columns: tuple[str, ...], options: Mapping[str, Any]) -> Covariance:
    known: dict[str, Kind] = {kind.lower(): kind for kind in get_args(Kind)}
    known["hetero"] = "HC1"
    kind = known.get(name.lower())
    if kind is None:
        hint = nearest(name.lower(), list(known))
        for lower, right in known.items():
            hint = hint.replace(f"'{lower}'", f"'{right}'") if lower != "hetero" else hint
        raise UsageError(f"no covariance {name!r}{hint}. {_kinds()}")
    if kind not in _CLUSTERED and columns:
        raise UsageError(f"{kind} has no clusters: ask for vcov={kind!r}, or {{'CRV1': column}}")
    if kind in _CLUSTERED and kind != "pairs" and not columns:
        raise UsageError(f"{kind} needs a cluster column: vcov={{{kind!r}: column}}")
    if len(columns) > (2 if kind == "CRV1" else 1):
        raise UsageError(
            f"{kind} takes {'one column or two' if kind == 'CRV1' else 'one column'}, "
            f"found {len(columns)}: {', '.join(columns)}"
        )
    if len(set(columns)) < len(columns):
        raise UsageError(f"two-way clustering by {columns[0]!r} twice: name two columns")
    if options and kind not in ("pairs", "score"):
        raise UsageError(f"{kind} is no bootstrap: {' and '.join(options)} are for pairs and score")
    for option, least in (("reps", 2), ("seed", 0)):
        value = options.get(option, least)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise UsageError(f"vcov: {option}={value!r}, expected a whole number from {least} on")
    return Covariance(kind, columns, **{key: int(value) for key, value in options.items()})


def _columns(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        found = tuple(part.strip() for part in value.split("+"))
        if all(found):
            return found
    elif isinstance(value, Sequence) and value and all(isinstance(v, str) and v for v in value):
        return tuple(value)
    raise UsageError(f"vcov: {value!r} does not name cluster columns, such as 'cell' or 'a+b'")


def _kinds() -> str:
    return (
        "Known: 'iid', 'HC0', 'HC1' (or 'hetero'), 'HC2', 'HC3', {'CRV1': 'cell'}, "
        "{'CRV1': 'cell+persona'}, {'CRV3': 'cell'}, {'within': 'cell'}, 'pairs', "
        "{'pairs': 'household'}, {'score': 'household'}"
    )


def sandwich(bread: Array, meat: Array) -> Array:
    """``B M B`` with B the inverse information; symmetric by construction."""
    v = bread @ meat @ bread
    return np.asarray((v + v.T) / 2)


def cluster_meat(scores: Array, groups: ArrayLike) -> tuple[Array, int]:
    """Sum over clusters of the outer product of summed scores.

    Parameters
    ----------
    scores : (N, K) array
        ``x_i (y_i - mu_i)``.
    groups : (N,) array
        Cluster of each row of scores.

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
    sums = _sums(scores, index.reshape(-1), len(names))
    return sums.T @ sums, len(names)


def _sums(scores: Array, codes: Codes, clusters: int) -> Array:
    return np.stack([np.bincount(codes, column, clusters) for column in scores.T], axis=1)


def small_sample_factor(
    ssc: SSC,
    nobs: float,
    params: int,
    clusters: int | None = None,
    *,
    robust: bool = True,
) -> tuple[float, str]:
    """The factor on a covariance, and how it is written.

    Parameters
    ----------
    ssc : str
        Whose factor: see Notes.
    nobs : float
        n, observations.
    params : int
        k, coefficients.
    clusters : int, optional
        G.
    robust : bool
        False for the inverse information.

    Returns
    -------
    factor : float
    text : str

    Notes
    -----
    ============  ===========  =============  ========================
    ssc           iid          HC1            clusters
    ============  ===========  =============  ========================
    ``stata``     1            n/(n-1)        G/(G-1)
    ``sandwich``  1            n/(n-k)        G/(G-1) * (n-1)/(n-k)
    ``fixest``    (n-1)/(n-k)  n/(n-k)        G/(G-1) * (n-1)/(n-k)
    ``none``      1            1              1
    ============  ===========  =============  ========================

    ``stata``: logit, glm and fracreg with vce(robust) or vce(cluster), as for all its
    maximum likelihood. ``sandwich``: R's vcovHC and vcovCL with type HC1. ``fixest``: the
    defaults of R's feglm(family = binomial), file R/VCOV.R of 2025 (``ssc(adj = TRUE,
    cluster.adj = TRUE, cluster.df = "min")``; "hetero" is n/(n-1) times (n-1)/(n-k)), and of
    pyfixest's feglm, 0.60, which are the same. Both of these use the normal distribution
    after a logit; ours is t with G - 1 degrees of freedom where there are clusters.

    Two-way clustering takes the factor of each of its three terms with their own G (stata,
    sandwich), or of all three with the smaller G of the two columns (fixest). Stata itself
    has vce(cluster a b) only for linear models (regress, areg and xtreg, fe; since Stata 18);
    after logit people use vcemway (Gu & Yoo 2019), by default with each term's own G/(G-1)
    as here, though it replaces negative eigenvalues by zero, which we do not.

    Examples
    --------
    >>> small_sample_factor("stata", 320, 2)[1]
    'n/(n-1)'
    >>> small_sample_factor("fixest", 320, 2, 16)[1]
    'G/(G-1) * (n-1)/(n-k)'
    """
    if ssc not in get_args(SSC):
        raise UsageError(
            f"ssc={ssc!r}{nearest(str(ssc), get_args(SSC))}: use 'stata', 'sandwich', 'fixest' "
            "or 'none'"
        )
    if ssc == "none" or (not robust and ssc != "fixest"):
        return 1.0, "none"
    if ssc == "stata":
        if clusters is None:
            return nobs / (nobs - 1), "n/(n-1)"
        return clusters / (clusters - 1), "G/(G-1)"
    if nobs <= params:
        raise DesignError(
            f"{nobs:g} observations and {params} coefficients leave no n - k: use ssc='stata'"
        )
    if not robust:
        return (nobs - 1) / (nobs - params), "(n-1)/(n-k)"
    if clusters is None:
        return nobs / (nobs - params), "n/(n-k)"
    factor = clusters / (clusters - 1) * (nobs - 1) / (nobs - params)
    return factor, "G/(G-1) * (n-1)/(n-k)"


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
        From `parse_vcov`.
    ssc : str
        Small-sample factor of iid, HC1, CRV1 and score: see `small_sample_factor`.
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
        If two-way clustering gives a matrix with negative eigenvalues, if bootstrap samples
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
      Zeger 1986); two-way V_a + V_b - V_ab (Cameron, Gelbach & Miller 2011).
    - ``CRV3``: (G-1)/G sum (b_g - b)(b_g - b)', b_g the estimate without cluster g, each
      found by iteration to the end (MacKinnon, Nielsen & Webb 2023). The safest with few
      clusters: with 8 unequal ones 95 % intervals covered .956 (a price) and .949 (a trait of
      the cluster) in 2,000 simulated samples; CRV1 .931 and .910, with the normal
      distribution .881 and .864; the score bootstrap's .928 and .934; HC1 .857 and .563.
    - ``within``: A (sum_c n_c/(n_c-1) sum_i (s_i - sbar_c)(s_i - sbar_c)') A, the scores
      centred within cells. It conditions on the design: cells and their number of
      observations are held fixed, the same cells would be asked again, and that the curve
      misses the cells' true means is no error but part of what is estimated. It does not
      cover what other cells would have answered: that is CRV1 by cell.
    - ``pairs``: covariance of the estimates from samples of clusters (or of observations)
      drawn with replacement; see `llmdemand.modeling.bootstrap.pairs_bootstrap`.
    - ``score``: covariance of A sum_g v_g s_g over random signs v_g (Kline & Santos 2012),
      times the factor of CRV1, to which it tends as draws are added (and which it is if all
      2^G signs are drawn). The gain of the score bootstrap with few clusters is in its tests
      and intervals: `score_bootstrap` and `score_interval`.

    Examples
    --------
    >>> from llmdemand.modeling.newton import newton
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
    empty = data.observations <= 0
    if empty.any():
        data = data.weighted((~empty).astype(float))
    bread = _inverse(information)
    kind = asked.kind
    if kind == "iid":
        factor, text = small_sample_factor(ssc, data.nobs, data.size, robust=False)
        return Estimated(factor * bread, "iid", text, None, np.inf, ())
    if kind in ("HC0", "HC1", "HC2", "HC3"):
        power = {"HC2": 0.5, "HC3": 1.0}.get(kind, 0.0)
        factor, text = 1.0, "none"
        if kind == "HC1":
            factor, text = small_sample_factor(ssc, data.nobs, data.size)
        cov = factor * sandwich(bread, data.meat(params, bread, power))
        return Estimated(cov, kind, text, None, np.inf, ())
    if kind == "pairs":
        return _pairs(data, params, asked, firth)
    groups = {column: cluster_codes(data, column) for column in asked.columns}
    if kind == "CRV1":
        return _clustered(data, params, bread, groups, ssc)
    (column,) = asked.columns
    codes, clusters = groups[column]
    if kind == "within":
        return _within(data, params, bread, column, codes)
    name = f"{kind} (clusters: {column})"
    notes = _few(clusters)
    if kind == "CRV3":
        cov = _jackknife(data, params, column, codes, clusters, firth)
        if notes:
            notes = (f"fewer than {_FEW} clusters ({clusters}): t(G-1) is an approximation",)
        return Estimated(cov, name, "(G-1)/G", clusters, clusters - 1, notes)
    v, enumerated = multipliers(clusters, asked.reps, asked.seed)
    drawn = v @ _sums(data.scores(params), codes, clusters) @ bread
    factor, text = small_sample_factor(ssc, data.nobs, data.size, clusters)
    how = f"all {len(v)} vectors of signs" if enumerated else f"{len(v)} draws, seed {asked.seed}"
    return Estimated(
        factor * drawn.T @ drawn / len(v),
        f"score bootstrap (clusters: {column}; {how})",
        text,
        clusters,
        clusters - 1,
        notes,
    )


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
    terms = [(1.0, codes, clusters) for codes, clusters in groups.values()]
    name = f"CRV1 (clusters: {', '.join(groups)})"
    if len(groups) == 2:
        (first, _), (second, many) = groups.values()
        both, codes = np.unique(first * many + second, return_inverse=True)
        terms.append((-1.0, np.asarray(codes, np.intp).reshape(-1), len(both)))
        name = f"CRV1 (two-way clusters: {', '.join(groups)})"
    meat, text = np.zeros_like(bread), ""
    for sign, codes, clusters in terms:
        sums = _sums(scores, codes, clusters)
        of = least if ssc == "fixest" else clusters
        factor, text = small_sample_factor(ssc, data.nobs, data.size, of)
        meat += sign * factor * (sums.T @ sums)
    cov = sandwich(bread, meat)
    notes = _few(least)
    if len(groups) == 2:
        if ssc != "none":
            text += " with the smaller G" if ssc == "fixest" else " with the G of each term"
        notes = (*_defects(cov, bread), *notes)
    return Estimated(cov, name, text, least, least - 1, notes)


def _defects(cov: Array, bread: Array) -> tuple[str, ...]:
    """Negative eigenvalues, in units of the classical standard errors, said aloud."""
    scale = 1 / np.sqrt(np.diag(bread))
    values = np.linalg.eigvalsh(cov * np.outer(scale, scale))
    if values[0] >= -1e-10 * np.abs(values).max():
        return ()
    note = (
        "the two-way matrix is not positive semi-definite: "
        f"{int((values < 0).sum())} of its {len(values)} eigenvalues are negative; coefficients "
        "with a negative variance have no standard error (NaN), joint tests may mean nothing; "
        "cluster one way, by the column with fewer clusters"
    )
    warnings.warn(note, CovarianceWarning, stacklevel=4)
    return (note,)


def _jackknife(
    data: Likelihood, params: Array, column: str, codes: Codes, clusters: int, firth: bool
) -> Array:
    z, back = data.standardised()

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
    return np.asarray((clusters - 1) / clusters * away.T @ away)


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
    mean = _sums(scores, codes, len(size)) / size[:, None]
    factor = (size / (size - 1))[codes]
    # Between the rows of a cell, then within a row: no difference of large numbers.
    away = scores / observations[:, None] - mean[codes]
    meat = (away * (factor * observations)[:, None]).T @ away
    if isinstance(data, Cells):
        meat += (data.x * (factor * data.weight**2 * data.within)[:, None]).T @ data.x
    notes: tuple[str, ...] = ()
    total = data.meat(params, bread)
    if np.trace(meat) <= 1e-20 * np.trace(total):
        note = (
            f"the outcomes do not vary within the cells of {column!r}: the within covariance is "
            "zero, for the same cells would give the same answers; use {'CRV1': "
            f"{column!r}}} for other cells"
        )
        warnings.warn(note, CovarianceWarning, stacklevel=3)
        notes = (note,)
    elif (free := float(size.sum()) - len(size)) < _FEW:
        notes = (f"only {free:g} observations more than cells: the scatter is known roughly",)
    name = f"within (cells: {column}; fixed design)"
    return Estimated(sandwich(bread, meat), name, "n_c/(n_c-1)", None, np.inf, notes)


def _pairs(data: Likelihood, params: Array, asked: Covariance, firth: bool) -> Estimated:
    column = asked.columns[0] if asked.columns else None
    draws = pairs_bootstrap(data, params, column, reps=asked.reps, seed=asked.seed, firth=firth)
    notes: tuple[str, ...] = ()
    cov = draws.covariance()
    if draws.failed.any():
        warnings.warn(draws.text, CovarianceWarning, stacklevel=3)
        notes = (draws.text,)
    what = "observations" if column is None else f"clusters: {column}"
    name = f"pairs bootstrap ({what}; {asked.reps} draws, seed {asked.seed})"
    if column is None:
        return Estimated(cov, name, "none", None, np.inf, notes)
    return Estimated(cov, name, "none", draws.units, draws.units - 1, (*notes, *_few(draws.units)))
