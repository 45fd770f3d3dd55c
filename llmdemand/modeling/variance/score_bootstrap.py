"""Tests and intervals for few clusters: the score (wild) bootstrap of logits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.protocol import Concave
from llmdemand.modeling.optimum.newton import NewtonFit, newton
from llmdemand.modeling.passes.spread import Spread
from llmdemand.modeling.variance.bootstrap import Weights, multipliers
from llmdemand.modeling.variance.clusters import cluster_codes, cluster_sums, observed
from llmdemand.modeling.variance.scored import ScoreInterval, ScoreTest
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import mapped

__all__ = ["score_bootstrap", "score_interval"]

_CHUNK = 1 << 20  # elements of a (draws x clusters x restrictions) working array


@dataclass(frozen=True)
class _Scores:
    """What the tests of one data set share."""

    data: Concave  # standardised
    back: Array
    codes: Codes
    clusters: int
    share: Array  # (G,) of observations
    v: Array  # (B, G)
    enumerated: bool
    firth: bool

    @classmethod
    def of(
        cls, data: Concave, group: str, reps: int, seed: int, weights: Weights, firth: bool
    ) -> _Scores:
        data = cast(Concave, observed(data))
        codes, clusters = cluster_codes(data, group)
        v, enumerated = multipliers(clusters, reps, seed, weights)
        z, back = data.standardised()
        share = np.bincount(codes, data.observations, clusters) / data.nobs
        return cls(z, back, codes, clusters, share, v, enumerated, firth)

    def restricted(self, restriction: Array, value: Array, start: Array | None) -> NewtonFit:
        """Maximum subject to ``restriction @ params == value``, all standardised."""
        begin = np.zeros(self.data.size) if start is None else start
        # The nearest point that obeys, by the curvature of the likelihood.
        toward = np.linalg.solve(self.data.information(begin), restriction.T)
        away = value - restriction @ begin
        begin = begin + toward @ np.linalg.solve(restriction @ toward, away)
        _, _, vh = np.linalg.svd(restriction)
        return newton(self.data, start=begin, free=vh[len(restriction) :].T, firth=self.firth)

    def test(
        self, restriction: Array, found: NewtonFit, executor: Executor = None
    ) -> tuple[float, float]:
        """Statistic and p-value at the restricted estimate."""
        inverse: Array = np.asarray(np.linalg.inv(found.information), np.float64)
        sums = cluster_sums(self.data.scores(found.params), self.codes, self.clusters)
        if self.firth:
            for g in range(self.clusters):
                part = self.data.weighted((self.codes == g).astype(float))
                sums[g] += part.penalty_score(found.params, inverse)
        u = sums @ inverse @ restriction.T
        # In units of its own spread, so that the q x q matrices below are well conditioned.
        scale = np.sqrt((u**2).sum(axis=0))
        classical = np.sqrt(np.einsum("qk,kl,ql->q", restriction, inverse, restriction))
        noisy = scale > 1e-9 * classical
        if not noisy.any():
            return 0.0, 1.0  # clusters that all agree with the restrictions, but for rounding
        varied = np.linalg.matrix_rank(u / np.where(noisy, scale, np.inf), tol=1e-9)
        if varied < u.shape[1]:
            raise DesignError(
                f"of {u.shape[1]} restrictions {varied} can be tested: in the others the scores "
                "of all clusters are zero but for rounding; test fewer at once"
            )
        u = u / scale
        own = float(_statistics(np.ones((1, self.clusters)), u, self.share)[0])
        size = max(1, _CHUNK // (self.clusters * u.shape[1]))
        some = (self.v[b : b + size] for b in range(0, len(self.v), size))
        drawn = np.concatenate(
            list(mapped(partial(_statistics, u=u, share=self.share), some, executor))
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
    data: Concave,
    restriction: Array,
    value: Array | float,
    group: str,
    *,
    reps: int = 999,
    seed: int = 1,
    weights: Weights = "rademacher",
    firth: bool = False,
    start: NDArray[np.floating[Any]] | None = None,
    executor: Executor = None,
) -> ScoreTest:
    """Test ``R b = r`` with few clusters.

    Parameters
    ----------
    data : Concave
        Cells or choice situations, in the caller's units.
    restriction : (q, K) or (K,) array
        R, of full row rank.
    value : (q,) array or float
        r.
    group : str
        Clusters, a name in ``data.groups``.
    reps, seed, weights
        See `llmdemand.modeling.variance.bootstrap.multipliers`: with up to 9 clusters and 999 draws
        all vectors of signs are used.
    firth : bool
        Firth's modified scores, in place of the scores.
    start : (K,) array, optional
        Where to begin, such as the unrestricted estimate.
    executor : None, int, str or dask.distributed.Client
        Who computes the statistics of many draws: see `llmdemand.scale.merging.map_merge`.

    Returns
    -------
    ScoreTest

    Raises
    ------
    UsageError
        For an unknown column or kind of weights, or a restriction of the wrong shape.
    DesignError
        With no more clusters than restrictions, without a restricted estimate, or where some
        combination of the restrictions has no noise.

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
    >>> from llmdemand.modeling.likelihood.cells import Cells
    >>> x = np.column_stack([np.ones(12), [1, 2, 3] * 4])
    >>> y = np.array([0.9, 0.5, 0.2, 0.8, 0.6, 0.1, 0.7, 0.6, 0.3, 0.9, 0.4, 0.2])
    >>> data = Cells.of_rows(x, y, {"person": np.repeat(np.arange(4), 3)})
    >>> round(score_bootstrap(data, np.array([0.0, 1.0]), 0.0, "person").pvalue, 3)  # 2 / 16
    0.125
    """
    matrix, target = _independent(restriction, value, data.size)
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
        begin = np.linalg.solve(shared.back, start)
    found = shared.restricted(turned, target, begin)
    if not found.converged:
        raise DesignError(
            "there is no estimate under the restriction: the data are separated; collect more "
            "runs, or use Firth's estimates (separation='firth')"
        )
    statistic, pvalue = shared.test(turned, found, executor)
    return ScoreTest(
        statistic,
        pvalue,
        df=len(target),
        reps=len(shared.v),
        enumerated=shared.enumerated,
        clusters=shared.clusters,
        group=group,
        weights=weights,
        params=shared.back @ found.params,
    )


def _independent(restriction: Array, value: Array | float, size: int) -> tuple[Array, Array]:
    """The restrictions as a matrix and a vector, checked."""
    matrix = np.atleast_2d(np.asarray(restriction, np.float64))
    target = np.atleast_1d(np.asarray(value, np.float64))
    if matrix.shape != (len(target), size):
        raise UsageError(
            f"the restriction has shape {matrix.shape}, expected ({len(target)}, {size}): "
            "one row for each value, one column for each coefficient"
        )
    if np.linalg.matrix_rank(matrix) < len(target):
        raise UsageError("the restrictions are not independent of each other: leave one out")
    return matrix, target


def score_interval(
    data: Concave,
    params: NDArray[np.floating[Any]],
    term: int,
    group: str,
    *,
    alpha: float = 0.05,
    reps: int = 999,
    seed: int = 1,
    weights: Weights = "rademacher",
    firth: bool = False,
    executor: Executor = None,
) -> ScoreInterval:
    """Interval for a coefficient: the values that `score_bootstrap` does not reject.

    Parameters
    ----------
    data, group, reps, seed, weights, firth
        See `score_bootstrap`; all tests use the same weights.
    params : (K,) array
        The estimate.
    term : int
        Which coefficient.
    alpha : float
        One minus the level.
    executor : None, int, str or dask.distributed.Client
        Who looks for the ends, one each: see `llmdemand.scale.merging.map_merge`. Of rows in
        files this process does, and whoever reads them works on both.

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
    >>> from llmdemand.modeling.likelihood.cells import Cells
    >>> x = np.column_stack([np.ones(18), [1, 2, 3] * 6])
    >>> y = np.array([.9, .5, .2, .8, .6, .1, .7, .6, .3, .9, .4, .2, .8, .5, .3, .7, .4, .1])
    >>> data = Cells.of_rows(x, y, {"person": np.repeat(np.arange(6), 3)})
    >>> fit = newton(data)
    >>> print(score_interval(data, fit.params, 1, "person"))
    95 % score bootstrap interval [-1.7346, -0.8473], 6 clusters
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
    search = _Search.of(shared, term, np.asarray(params, np.float64), alpha)
    executor = None if isinstance(data, Spread) else executor
    (low, below), (high, above) = mapped(search.end, [-1.0, 1.0], executor)
    return ScoreInterval(low, high, estimate, alpha, shared.clusters, below + above)


@dataclass(frozen=True)
class _Search:
    """The search for the ends of an interval, from the estimate outward."""

    shared: _Scores
    row: Array  # (1, K): the coefficient in standardised ones, but for its length
    length: float
    alpha: float
    estimate: float
    begin: Array  # the estimate, standardised
    step: float  # a standard error

    @classmethod
    def of(cls, shared: _Scores, term: int, params: Array, alpha: float) -> _Search:
        row = shared.back[term][None, :]
        length = float(np.linalg.norm(row))
        row = row / length
        begin = np.asarray(np.linalg.solve(shared.back, params), np.float64)
        inverse = np.linalg.inv(shared.data.information(begin))
        sums = cluster_sums(shared.data.scores(begin), shared.codes, shared.clusters)
        se = length * float(np.sqrt(((sums @ inverse @ row.T) ** 2).sum()))
        step = se if se > 0 else length * float(np.sqrt((row @ inverse @ row.T).item()))
        return cls(shared, row, length, alpha, float(params[term]), begin, step)

    def rejected(self, value: float, start: Array) -> tuple[bool | None, Array]:
        """Whether a value is rejected, None if it cannot be tested; and the estimate there."""
        found = self.shared.restricted(self.row, np.array([value / self.length]), start)
        if not found.converged:
            return None, start
        return self.shared.test(self.row, found)[1] <= self.alpha, found.params

    def end(self, sign: float) -> tuple[float, tuple[str, ...]]:
        """The end on one side, and notes on it."""
        inside, start, width = self.estimate, self.begin, self.step
        for _ in range(30):  # 1.4 ** 30: 24,000 standard errors
            outside = self.estimate + sign * width
            verdict, near = self.rejected(outside, start)
            if verdict is None or verdict:
                break
            inside, start, width = outside, near, width * 1.4
        if not verdict:
            side = "above" if sign > 0 else "below"
            note = f"no value {side} {inside:.6g} that could be tested was rejected"
            return sign * np.inf, (note,)
        while abs(outside - inside) > 1e-4 * self.step:
            middle = (inside + outside) / 2
            verdict, near = self.rejected(middle, start)
            if verdict:
                outside = middle
            else:
                inside, start = middle, near
        return (inside + outside) / 2, ()
