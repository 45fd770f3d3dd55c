"""Bootstraps of logits: pairs (resampled observations or clusters) and scores (few clusters)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.batch import fit_batch
from llmdemand.modeling.binary import Cells
from llmdemand.modeling.likelihood import Array, Codes, Likelihood
from llmdemand.modeling.newton import NewtonFit, newton

__all__ = [
    "Draws",
    "ScoreInterval",
    "ScoreTest",
    "Weights",
    "cluster_codes",
    "multipliers",
    "pairs_bootstrap",
    "refit",
    "score_bootstrap",
    "score_interval",
]

Weights = Literal["rademacher", "webb", "mammen"]
Bools = NDArray[np.bool_]

_POINTS = 512  # designs of at most so many distinct rows are fitted from sums per row
_CHUNK = 1 << 22  # elements of a (draws x units) working array


@dataclass(frozen=True)
class Draws:
    """Estimates of bootstrap samples.

    Attributes
    ----------
    params : (B, K) array
        Coefficients; rows of NaN where a sample has no estimate.
    failed : (B,) bool array
        Samples without an estimate: separated, or with collinear regressors.
    units : int
        Observations or clusters that were resampled.
    unit : str
        What they are, in words.
    seed : int
        The seed.
    """

    params: Array
    failed: Bools
    units: int
    unit: str
    seed: int

    def covariance(self) -> Array:
        """Covariance of the estimates about their mean, divisor B - 1, failed samples left out.

        With failed samples it is that of the estimates *given that they exist*, which
        understates the uncertainty: see `text`.

        Raises
        ------
        DesignError
            If more than half of the samples have no estimate, or fewer than two have one.
        """
        good = self.params[~self.failed]
        if len(good) < 2 or 2 * len(good) < len(self.params):
            raise DesignError(
                f"{self.failed.sum()} of {len(self.params)} bootstrap samples have no estimate "
                "(separated or collinear): there is no bootstrap covariance; collect more runs, "
                "or use Firth's estimates (separation='firth')"
            )
        centred = good - good.mean(axis=0)
        return np.asarray(centred.T @ centred / (len(good) - 1))

    @property
    def text(self) -> str:
        """What was drawn, and what failed, in a sentence."""
        said = f"{len(self.params)} bootstrap samples of {self.units} {self.unit}, seed {self.seed}"
        if self.failed.any():
            said += (
                f"; {self.failed.sum()} of them have no estimate (separated or collinear) and are "
                "left out: what remains understates the uncertainty"
            )
        return said


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
    known_codes, codes = np.unique(data.groups[group], return_inverse=True)
    if len(known_codes) < 2:
        raise DesignError(
            f"clustering needs at least two clusters, found {len(known_codes)} in {group!r}: "
            "cluster by another column, or use vcov='HC1'"
        )
    return np.asarray(codes, np.intp).reshape(-1), len(known_codes)


def pairs_bootstrap(
    data: Likelihood,
    params: NDArray[np.floating[Any]] | None = None,
    group: str | None = None,
    *,
    reps: int = 999,
    seed: int = 1,
    firth: bool = False,
) -> Draws:
    """Estimates of samples drawn with replacement, by cluster or by observation.

    Parameters
    ----------
    data : Likelihood
        Cells or choice situations, in the caller's units.
    params : (K,) array, optional
        The estimate: where Newton's method begins.
    group : str, optional
        Clusters to draw, a name in ``data.groups``: G clusters are drawn from G, each with
        all its observations. By default observations are drawn, N from N.
    reps : int
        B, the number of samples.
    seed : int
        Sample b is drawn by ``numpy.random.default_rng((seed, b))``: it does not depend on
        `reps`, nor on how the work is divided.
    firth : bool
        Firth's estimates.

    Returns
    -------
    Draws

    Raises
    ------
    UsageError
        For an unknown column; for fractional outcomes that are held as sums over several
        observations, when observations are to be drawn: their values are gone. Outcomes of
        0 and 1 are not: their sum tells how many there were of each.
    DesignError
        With one cluster.

    Notes
    -----
    Davison & Hinkley (1997), section 7.2; Cameron, Gelbach & Miller (2008) for clusters.
    Frequency weights count observations, each of which is drawn by itself; sampling weights
    go with their observation. Samples that are separated or whose regressors are collinear
    have no estimate; they are marked, not hidden. Where the regressors take few distinct
    values, samples are fitted all at once from sums per value.

    Examples
    --------
    >>> x = np.column_stack([np.ones(8), [1, 2, 3, 4] * 2])
    >>> y = np.array([0.9, 0.6, 0.5, 0.1, 0.8, 0.7, 0.3, 0.2])
    >>> draws = pairs_bootstrap(Cells.of_rows(x, y), reps=200)
    >>> draws.text
    '200 bootstrap samples of 8 observations, seed 1'
    >>> np.sqrt(np.diag(draws.covariance())).round(1).tolist()
    [0.3, 0.1]
    """
    _check_reps(reps)
    data = _used(data)
    if group is None:
        data = _distinct(data)
        count = data.observations
        whole = round(float(count.sum()))
        chance = count / count.sum()
        codes = np.arange(len(count))

        def draw(b: int) -> Array:
            return np.random.default_rng((seed, b)).multinomial(whole, chance) / count

        units, total, unit = len(count), whole, "observations"
    else:
        codes, units = cluster_codes(data, group)

        def draw(b: int) -> Array:
            chosen = np.random.default_rng((seed, b)).integers(units, size=units)
            return np.bincount(chosen, minlength=units).astype(np.float64)

        total, unit = units, f"clusters of {group!r}"
    z, back = data.standardised()
    start = None
    if params is not None and np.isfinite(params).all():
        start = _solve(back, params)
    found, exists = refit(z, codes, units, draw, reps, start=start, firth=firth)
    return Draws(found @ back.T, ~exists, total, unit, seed)


def refit(
    data: Likelihood,
    codes: Codes,
    units: int,
    weights: Callable[[int], Array],
    reps: int,
    *,
    start: Array | None = None,
    firth: bool = False,
) -> tuple[Array, Bools]:
    """Estimates of the same data under other weights.

    Parameters
    ----------
    data : Likelihood
        In regressors of comparable scale.
    codes : (M,) int array
        Unit of each row, 0 to U - 1.
    units : int
        U.
    weights : function of int
        Weights of the units in fit b, (U,).
    reps : int
        B, the number of fits.
    start : (K,) array, optional
        Where Newton's method begins.
    firth : bool
        Firth's estimates.

    Returns
    -------
    params : (B, K) array
        NaN where there is no estimate.
    exists : (B,) bool array
    """
    if isinstance(data, Cells):
        points, point = np.unique(data.x, axis=0, return_inverse=True)
        if len(points) <= _POINTS:
            return _refit_sums(data, codes, units, weights, reps, points, point.reshape(-1), firth)
    params = np.full((reps, data.size), np.nan)
    exists = np.zeros(reps, bool)
    for b in range(reps):
        part = data.weighted(weights(b)[codes])
        found = newton(part, start=start, firth=firth)
        exists[b] = _exists(part, found, firth)
        if exists[b]:
            params[b] = found.params
    return params, exists


def _refit_sums(
    data: Cells,
    codes: Codes,
    units: int,
    weights: Callable[[int], Array],
    reps: int,
    points: Array,
    point: Codes,
    firth: bool,
) -> tuple[Array, Bools]:
    from scipy.sparse import csr_array

    n = data.count * data.weight
    shape = (units, len(points))
    # Entries of the same unit and point add up.
    count = csr_array((n, (codes, point)), shape=shape)
    total = csr_array((n * data.mean, (codes, point)), shape=shape)
    params, exists = [], []
    size = max(1, _CHUNK // units)
    for first in range(0, reps, size):
        w = np.stack([weights(b) for b in range(first, min(reps, first + size))])
        found = fit_batch(points, w @ count, w @ total, firth=firth)
        good = found.converged & np.isfinite(found.params).all(axis=1)
        params.append(np.where(good[:, None], found.params, np.nan))
        exists.append(good)
    return np.concatenate(params), np.concatenate(exists)


def _exists(data: Likelihood, found: NewtonFit, firth: bool) -> bool:
    """Whether Newton's method ended at a maximum, not where rounding stopped it."""
    if not found.converged or not np.isfinite(found.params).all():
        return False
    if _conditioned(found.information) > 1e-10:
        return True
    # Nearly flat somewhere: decide exactly.
    if _conditioned(data.information(np.zeros(data.size))) < 1e-12:
        return False
    return firth or data.separating_direction() is None


def _conditioned(information: Array) -> float:
    values = np.linalg.eigvalsh(information)
    return float(values[0] / values[-1]) if values[-1] > 0 else 0.0


def _solve(matrix: Array, right: NDArray[np.floating[Any]]) -> Array:
    return np.asarray(np.linalg.solve(matrix, right), np.float64)


def _inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _used(data: Likelihood) -> Likelihood:
    """Without rows of no observations."""
    empty = data.observations <= 0
    return data.weighted((~empty).astype(float)) if empty.any() else data


def _distinct(data: Likelihood) -> Likelihood:
    """Rows whose observations are all equal: cells of zeros and ones in two."""
    if not isinstance(data, Cells) or not data.within.any():
        return data
    binary = data.count * data.mean * (1 - data.mean)
    mixed = data.within > 0
    if (np.abs(data.within - binary)[mixed] > 1e-9 * data.count[mixed]).any():
        raise UsageError(
            "fractional outcomes are held as sums over equal regressors: their observations "
            "cannot be resampled; name a cluster column, as in vcov={'pairs': 'cell'}"
        )
    twice = np.concatenate([np.arange(len(mixed)), np.flatnonzero(mixed)])
    ones = np.where(mixed, data.count * data.mean, data.count)
    return replace(
        data,
        x=data.x[twice],
        count=np.concatenate([ones, (data.count - ones)[mixed]]),
        mean=np.concatenate([np.where(mixed, 1.0, data.mean), np.zeros(int(mixed.sum()))]),
        within=np.zeros(len(twice)),
        weight=data.weight[twice],
        groups={name: codes[twice] for name, codes in data.groups.items()},
    )


def _check_reps(reps: int) -> None:
    if reps < 2:
        raise UsageError(f"reps={reps}: a bootstrap needs at least 2 draws, better 999")


def multipliers(
    clusters: int, reps: int, seed: int, weights: Weights = "rademacher"
) -> tuple[Array, bool]:
    """Random signs or weights of clusters, and whether they are all there are.

    Parameters
    ----------
    clusters : int
        G.
    reps : int
        Draws, if there are more Rademacher vectors than that.
    seed : int
        Draw b comes from ``numpy.random.default_rng((seed, b))``.
    weights : str
        ``rademacher``: -1 or 1. ``webb``: minus or plus the roots of 1/2, 1 and 3/2 (Webb
        2014), for fewer than about ten clusters. ``mammen``: (1 - sqrt 5)/2 with probability
        (sqrt 5 + 1)/(2 sqrt 5), else (1 + sqrt 5)/2 (Mammen 1993).

    Returns
    -------
    v : (B, G) array
        All 2^G vectors of signs if there are no more than `reps` of them.
    enumerated : bool

    Examples
    --------
    >>> v, enumerated = multipliers(3, 999, 1)
    >>> v.shape, enumerated
    ((8, 3), True)
    """
    if weights not in get_args(Weights):
        raise UsageError(
            f"weights={weights!r}{nearest(str(weights), get_args(Weights))}: "
            "use 'rademacher', 'webb' or 'mammen'"
        )
    _check_reps(reps)
    if weights == "rademacher" and clusters < 31 and 2**clusters <= reps:
        bits = np.arange(2**clusters)[:, None] >> np.arange(clusters) & 1
        return np.asarray(1.0 - 2.0 * bits), True
    root = np.sqrt(5.0)
    values, chance = {
        "rademacher": (np.array([-1.0, 1.0]), np.array([0.5, 0.5])),
        "webb": (
            np.sqrt([1.5, 1.0, 0.5, 0.5, 1.0, 1.5]) * [-1, -1, -1, 1, 1, 1],
            np.full(6, 1 / 6),
        ),
        "mammen": (
            np.array([1 - root, 1 + root]) / 2,
            np.array([root + 1, root - 1]) / (2 * root),
        ),
    }[weights]
    edges = np.cumsum(chance)[:-1]
    v = np.empty((reps, clusters))
    for b in range(reps):
        v[b] = values[np.searchsorted(edges, np.random.default_rng((seed, b)).random(clusters))]
    return v, False


@dataclass(frozen=True)
class ScoreTest:
    """A score bootstrap test of ``R b = r``.

    Attributes
    ----------
    statistic : float
        Score statistic in the form of Wald's, for one restriction the square of t.
    pvalue : float
        Share of draws, the data among them, whose statistic is at least as large.
    df : int
        q, the number of restrictions.
    reps : int
        Draws.
    enumerated : bool
        Whether these were all vectors of signs, so that nothing is random.
    clusters : int
        G.
    group : str
        What the clusters are.
    weights : str
        Distribution of the weights.
    params : (K,) array
        The restricted estimate.
    """

    statistic: float
    pvalue: float
    df: int
    reps: int
    enumerated: bool
    clusters: int
    group: str
    weights: str
    params: Array

    @property
    def text(self) -> str:
        """The test in a sentence."""
        how = f"all {self.reps} vectors of signs" if self.enumerated else f"{self.reps} draws"
        return (
            f"score bootstrap: statistic {self.statistic:.4g}, p = {self.pvalue:.4g} "
            f"({self.clusters} clusters of {self.group!r}, {self.weights} weights, {how})"
        )


@dataclass(frozen=True)
class ScoreInterval:
    """All values of a coefficient that a score bootstrap test does not reject.

    Attributes
    ----------
    low, high : float
        Ends; infinite where no value is rejected.
    estimate : float
        The estimate.
    alpha : float
        One minus the level.
    clusters : int
        G.
    notes : tuple of str
        What to know about it.
    """

    low: float
    high: float
    estimate: float
    alpha: float
    clusters: int
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The interval in a sentence."""
        return (
            f"{100 * (1 - self.alpha):g} % score bootstrap interval "
            f"[{self.low:.6g}, {self.high:.6g}], {self.clusters} clusters"
        )


@dataclass(frozen=True)
class _Scores:
    """What the tests of one data set share."""

    data: Likelihood  # standardised
    back: Array
    codes: Codes
    clusters: int
    share: Array  # (G,) of observations
    v: Array  # (B, G)
    enumerated: bool
    firth: bool

    @classmethod
    def of(
        cls, data: Likelihood, group: str, reps: int, seed: int, weights: Weights, firth: bool
    ) -> _Scores:
        data = _used(data)
        codes, clusters = cluster_codes(data, group)
        v, enumerated = multipliers(clusters, reps, seed, weights)
        z, back = data.standardised()
        share = np.bincount(codes, data.observations, clusters) / data.nobs
        return cls(z, back, codes, clusters, share, v, enumerated, firth)

    def restricted(self, restriction: Array, value: Array, start: Array | None) -> NewtonFit:
        """Maximum subject to ``restriction @ params == value``, all standardised."""
        begin = np.zeros(self.data.size) if start is None else start
        # The nearest point that obeys, by the curvature of the likelihood.
        toward = _solve(self.data.information(begin), restriction.T)
        begin = begin + toward @ _solve(restriction @ toward, value - restriction @ begin)
        _, _, vh = np.linalg.svd(restriction)
        return newton(self.data, start=begin, free=vh[len(restriction) :].T, firth=self.firth)

    def test(self, restriction: Array, found: NewtonFit) -> tuple[float, float]:
        """Statistic and p-value at the restricted estimate."""
        inverse = _inverse(found.information)
        sums = np.zeros((self.clusters, self.data.size))
        np.add.at(sums, self.codes, self.data.scores(found.params))
        if self.firth:
            for g in range(self.clusters):
                part = self.data.weighted((self.codes == g).astype(float))
                sums[g] += part.penalty_score(found.params, inverse)
        u = sums @ inverse @ restriction.T
        # In units of its own spread, so that the q x q matrices below are well conditioned.
        scale = np.sqrt((u**2).sum(axis=0))
        classical = np.sqrt(np.einsum("qk,kl,ql->q", restriction, inverse, restriction))
        if not (scale > 1e-9 * classical).all():
            return 0.0, 1.0  # clusters that all agree with the restriction, but for rounding
        u = u / scale
        own = float(_statistics(np.ones((1, self.clusters)), u, self.share)[0])
        size = max(1, _CHUNK // (self.clusters * u.shape[1]))
        drawn = np.concatenate(
            [_statistics(self.v[b : b + size], u, self.share) for b in range(0, len(self.v), size)]
        )
        # The data, all weights one, are a draw themselves; equal but for rounding is equal.
        beyond = int((drawn >= own * (1 - 1e-9)).sum())
        if self.enumerated:
            return own, beyond / len(drawn)
        return own, (1 + beyond) / (1 + len(drawn))


def _statistics(v: Array, u: Array, share: Array) -> Array:
    """``n' D^-1 n`` with ``n = sum v_g u_g``, D the centred outer products; (B,)."""
    perturbed = v[:, :, None] * u
    n = perturbed.sum(axis=1)
    perturbed -= share[:, None] * n[:, None, :]
    d = np.einsum("bgi,bgj->bij", perturbed, perturbed)
    if u.shape[1] == 1:
        # A draw whose terms all lie at their centre is as far out as can be.
        with np.errstate(divide="ignore", invalid="ignore"):
            t = n[:, 0] ** 2 / d[:, 0, 0]
        return np.asarray(np.where(np.isnan(t), 0.0, t))
    return np.asarray(np.einsum("bi,bij,bj->b", n, np.linalg.pinv(d, hermitian=True), n))


def score_bootstrap(
    data: Likelihood,
    restriction: Array,
    value: Array | float,
    group: str,
    *,
    reps: int = 999,
    seed: int = 1,
    weights: Weights = "rademacher",
    firth: bool = False,
    start: NDArray[np.floating[Any]] | None = None,
) -> ScoreTest:
    """Test ``R b = r`` with few clusters.

    Parameters
    ----------
    data : Likelihood
        Cells or choice situations, in the caller's units.
    restriction : (q, K) or (K,) array
        R, of full row rank.
    value : (q,) array or float
        r.
    group : str
        Clusters, a name in ``data.groups``.
    reps, seed, weights
        See `multipliers`: with up to 9 clusters and 999 draws all vectors of signs are used.
    firth : bool
        Firth's modified scores, in place of the scores.
    start : (K,) array, optional
        Where to begin, such as the unrestricted estimate.

    Returns
    -------
    ScoreTest

    Raises
    ------
    UsageError
        For an unknown column or kind of weights, or a restriction of the wrong shape.
    DesignError
        With no more clusters than restrictions, or without a restricted estimate.

    Notes
    -----
    Kline & Santos (2012). At the estimate that obeys the restriction, with scores ``s_g``
    summed by cluster and A the inverse information there, ``u_g = R A s_g`` and

        n = sum_g v_g u_g,   J_g = v_g u_g - share_g n,   statistic = n' (sum J_g J_g')^-1 n,

    with all v_g = 1 for the data and random ones for each draw. As in Stata's boottest after
    logit (Roodman, MacKinnon, Nielsen & Webb 2019; its defaults: null imposed, Rademacher
    weights, ``statistic(t)``) the information is computed once, the clustered matrix anew in
    every draw, and its terms are centred by the cluster's share of the observations; no draw
    is refitted. Two things differ from boottest: the data count as one of the draws, and ties
    count against the null, so that p is never 0. Five clusters have 32 vectors of signs, in
    pairs of equal statistics: no p-value below 1/16. Webb's weights have no such floor.

    Examples
    --------
    >>> x = np.column_stack([np.ones(12), [1, 2, 3] * 4])
    >>> y = np.array([0.9, 0.5, 0.2, 0.8, 0.6, 0.1, 0.7, 0.6, 0.3, 0.9, 0.4, 0.2])
    >>> data = Cells.of_rows(x, y, {"person": np.repeat(np.arange(4), 3)})
    >>> round(score_bootstrap(data, np.array([0.0, 1.0]), 0.0, "person").pvalue, 3)  # 2 / 16
    0.125
    """
    matrix, target = np.atleast_2d(np.asarray(restriction, float)), np.atleast_1d(value)
    target = np.asarray(target, float)
    if matrix.shape != (len(target), data.size):
        raise UsageError(
            f"the restriction has shape {matrix.shape}, expected ({len(target)}, {data.size}): "
            "one row for each value, one column for each coefficient"
        )
    if np.linalg.matrix_rank(matrix) < len(target):
        raise UsageError("the restrictions are not independent of each other: leave one out")
    shared = _Scores.of(data, group, reps, seed, weights, firth)
    if shared.clusters <= len(target):
        raise DesignError(
            f"{shared.clusters} clusters cannot test {len(target)} restrictions at once: "
            "there must be more clusters"
        )
    turned = matrix @ shared.back
    # Rows of one length: restrictions on coefficients in other units are comparable then.
    length = np.linalg.norm(turned, axis=1)
    turned, target = turned / length[:, None], target / length
    begin = None
    if start is not None and np.isfinite(start).all():
        begin = _solve(shared.back, start)
    found = shared.restricted(turned, target, begin)
    if not found.converged:
        raise DesignError(
            "there is no estimate under the restriction: the data are separated; collect more "
            "runs, or use Firth's estimates (separation='firth')"
        )
    statistic, pvalue = shared.test(turned, found)
    return ScoreTest(
        statistic,
        pvalue,
        len(target),
        len(shared.v),
        shared.enumerated,
        shared.clusters,
        group,
        weights,
        shared.back @ found.params,
    )


def score_interval(
    data: Likelihood,
    params: NDArray[np.floating[Any]],
    term: int,
    group: str,
    *,
    alpha: float = 0.05,
    reps: int = 999,
    seed: int = 1,
    weights: Weights = "rademacher",
    firth: bool = False,
) -> ScoreInterval:
    """Interval for a coefficient: the values that `score_bootstrap` does not reject.

    Parameters
    ----------
    data : Likelihood
        Cells or choice situations, in the caller's units.
    params : (K,) array
        The estimate.
    term : int
        Which coefficient.
    group : str
        Clusters, a name in ``data.groups``.
    alpha : float
        One minus the level.
    reps, seed, weights, firth
        See `score_bootstrap`; all tests use the same weights.

    Returns
    -------
    ScoreInterval

    Notes
    -----
    From the estimate, whose p-value is 1, outward in growing steps until p <= alpha, then
    bisection to a 10,000th of a standard error. Should the values that are not rejected have
    gaps, the interval ends at the first gap that a step hits. It need not be symmetric.

    Examples
    --------
    >>> x = np.column_stack([np.ones(18), [1, 2, 3] * 6])
    >>> y = np.array([.9, .5, .2, .8, .6, .1, .7, .6, .3, .9, .4, .2, .8, .5, .3, .7, .4, .1])
    >>> data = Cells.of_rows(x, y, {"person": np.repeat(np.arange(6), 3)})
    >>> fit = newton(data)
    >>> score_interval(data, fit.params, 1, "person").text
    '95 % score bootstrap interval [-1.7346, -0.8473], 6 clusters'
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha={alpha}: it lies between 0 and 1, such as 0.05")
    shared = _Scores.of(data, group, reps, seed, weights, firth)
    estimate = float(params[term])
    floor = 2 / len(shared.v) if shared.enumerated else 1 / (1 + len(shared.v))
    if floor > alpha:
        note = (
            f"{shared.clusters} clusters and {weights} weights have no p-value below {floor:.3g}: "
            "no value is rejected; use weights='webb' or more clusters"
        )
        return ScoreInterval(-np.inf, np.inf, estimate, alpha, shared.clusters, (note,))
    row = shared.back[term][None, :]
    length = float(np.linalg.norm(row))
    row = row / length
    begin = _solve(shared.back, params)
    inverse = _inverse(shared.data.information(begin))
    sums = np.zeros((shared.clusters, shared.data.size))
    np.add.at(sums, shared.codes, shared.data.scores(begin))
    se = length * float(np.sqrt(((sums @ inverse @ row.T) ** 2).sum()))
    step = se if se > 0 else length * float(np.sqrt((row @ inverse @ row.T).item()))
    notes: list[str] = []

    def rejected(value: float, start: Array) -> tuple[bool | None, Array]:
        found = shared.restricted(row, np.array([value / length]), start)
        if not found.converged:
            return None, start
        return shared.test(row, found)[1] <= alpha, found.params

    def end(sign: float) -> float:
        inside, start, width = estimate, begin, step
        for _ in range(30):  # 1.4 ** 30: 24,000 standard errors
            outside = estimate + sign * width
            verdict, near = rejected(outside, start)
            if verdict is None or verdict:
                break
            inside, start, width = outside, near, width * 1.4
        else:
            verdict = None
        if verdict is None:
            side = "above" if sign > 0 else "below"
            notes.append(f"no value {side} {inside:.6g} that could be tested was rejected")
            return sign * np.inf
        while abs(outside - inside) > 1e-4 * step:
            middle = (inside + outside) / 2
            verdict, near = rejected(middle, start)
            if verdict:
                outside = middle
            else:
                inside, start = middle, near
        return (inside + outside) / 2

    low, high = end(-1.0), end(1.0)
    return ScoreInterval(low, high, estimate, alpha, shared.clusters, tuple(notes))
