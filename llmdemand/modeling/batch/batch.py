"""Thousands of small logits at once, from sums per design point."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.core.line import OneLine
from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.batch.newton import (
    Bools,
    Design,
    inverses,
    maximum,
    means,
    penalised_maximum,
)
from llmdemand.modeling.batch.patterns import Patterns
from llmdemand.modeling.batch.sums import Read, Sums

__all__ = ["BatchFit", "fit_batch"]

_SINGULAR = 1e-12  # share of an information's diagonal that is still information


@dataclass(frozen=True, slots=True, repr=False)
class BatchFit(OneLine):
    """Fits of ``logit E[y] = x'b``, one per row of the sums; B fits of K coefficients.

    Attributes
    ----------
    params : (B, K) array
        Coefficients; NaN where there is no estimate.
    se_iid : (B, K) array
        Standard errors from the inverse information.
    se_robust : (B, K) array
        Heteroskedasticity-robust (HC1) standard errors, factor N / (N - 1) with N the
        sum of n; NaN without the sums of squares.
    se_cluster : (B, K) array
        Cluster-robust standard errors, factor G / (G - 1) with G the clusters that have
        data in that fit; NaN without clusters or with one.
    llf : (B,) array
        Log (quasi-)likelihood at `params`; with Firth's penalty included if that was asked.
    exists : (B,) bool array
        Whether the likelihood has a maximum: K independent points with data, not separated.
        Firth's estimate needs only the points.
    converged : (B,) bool array
        Whether the last step moved no log-odds by more than 1e-6 (and was still taken)
        and the information there is not singular within rounding. Where it is False although
        `exists` is True, the maximum lies in digits that doubles do not have, and standard
        errors are NaN.
    iterations : (B,) int array
        Steps taken.
    """

    params: Array
    se_iid: Array
    se_robust: Array
    se_cluster: Array
    llf: Array
    exists: Bools
    converged: Bools
    iterations: NDArray[np.int64]

    @property
    def _line(self) -> str:
        fits, size = self.params.shape
        return f"{fits} fits of {size} coefficients, {int(self.exists.sum())} with an estimate"

    @property
    def const(self) -> Array:
        """Constants of fits with one regressor, (B,)."""
        return self._column(0)

    @property
    def slope(self) -> Array:
        """Slopes of fits with one regressor, (B,)."""
        return self._column(1)

    def _column(self, k: int) -> Array:
        if self.params.shape[1] != 2:
            raise UsageError(
                f"const and slope are for a constant and one regressor, these fits have "
                f"{self.params.shape[1]} coefficients: take a column of params"
            )
        return self.params[:, k]


def fit_batch(
    x: Any,
    n: Any,
    total: Any,
    squares: Any = None,
    *,
    read: Read | None = None,
    clusters: Any = None,
    cluster_sums: tuple[Any, Any] | None = None,
    firth: bool = False,
) -> BatchFit:
    """Fit many logits with common regressors from sufficient statistics.

    Parameters
    ----------
    x : (J,) or (J, K) array
        Design points: one regressor, to which a constant is added, or all K columns, the
        constant among them.
    n : (B, J) array
        Observations at each point in each fit, or sums of frequency weights.
    total : (B, J) array
        Sums of y in [0, 1], binary or fractional.
    squares : (B, J) array, optional
        Sums of y^2, for the robust standard errors.
    read : Read, optional
        Says that outcomes are corrected beliefs: `n` is the sum of r, what those of each run
        sum to, and totals may leave [0, n].
    clusters : (J,) array, optional
        Labels of clusters made of whole points, for example personas in a design of
        personas and prices.
    cluster_sums : pair of (B, G, J) arrays, optional
        ``n`` and ``total`` of each of G clusters that cut across points, for example one
        replicate over all cells; they add up to `n` and `total`. Clusters without
        observations in a fit do not count there.
    firth : bool
        Maximise the likelihood with Firth's penalty, which has a maximum for separated data.

    Returns
    -------
    BatchFit

    Raises
    ------
    UsageError
        For arrays whose shapes do not fit together, both kinds of clusters, or Firth's penalty
        on corrected beliefs.
    DesignError
        For collinear regressors, numbers that are not finite, negative n, and sums that
        no outcomes in [0, 1] can have.

    Notes
    -----
    The likelihood ``sum_j total_j eta_j - n_j log(1 + exp(eta_j))`` with ``eta_j = x_j'b``
    depends on the data through n and the sum of y alone (of corrected beliefs the log-likelihood
    of a run is ``b~ eta - r log(1 + exp(eta))``, as concave); its maximum is found by Newton
    steps, each damped such that the likelihood cannot fall. With ``A`` the inverse
    information, covariances are A, and A M A with

    - HC1: ``M = N / (N - 1) sum_j x_j x_j' (squares_j - 2 mu_j total_j + n_j mu_j^2)``, of
      corrected beliefs ``squares_j - 2 mu_j cross_j + read.squares_j mu_j^2``,
    - clusters: ``M = G / (G - 1) sum_g s_g s_g'``,
      ``s_g = sum_j x_j (total_gj - n_gj mu_j)``.

    Scores are linear in y given the point: sums per cluster and point are all that clusters
    of any kind need, whatever the number of observations behind them. For runs that are
    rows of outcomes ``y`` (B, R, J), NaN where missing, they are
    ``(np.isfinite(y), np.nan_to_num(y))``.

    Firth's estimate (1993) maximises the likelihood plus ``log det I(b) / 2``, that is
    solves ``sum_j x_j (total_j - n_j mu_j + h_j (1/2 - mu_j)) = 0`` with
    ``h_j = n_j mu_j (1 - mu_j) x_j' A x_j``.

    Whether the maximum exists is decided beforehand and exactly: in closed form for one
    regressor, otherwise once for every pattern of points with and without y > 0 and y < 1,
    by certificates or, where these are silent, by linear programming. A total within
    rounding of n counts as all ones. Of corrected beliefs whose totals leave [0, n] it is
    decided fit by fit: ``sum_j n_j max(x_j'd, 0) > sum_j total_j x_j'd`` for all d.

    Examples
    --------
    >>> ones = np.array([[3.0, 1.0], [4.0, 0.0]])                  # of four at each price
    >>> found = fit_batch([1.0, 2.0], np.full((2, 2), 4.0), ones)
    >>> found.slope.round(6).tolist()                              # logit(1/4) - logit(3/4)
    [-2.197225, nan]
    >>> found.exists.tolist()
    [True, False]
    >>> fit_batch([1.0, 2.0], np.full((2, 2), 4.0), ones, firth=True).slope.round(6).tolist()
    [-1.694596, -4.394449]
    """
    if firth and read is not None:
        raise UsageError(
            "Firth's penalty is for outcomes in [0, 1]: corrected beliefs leave it; leave firth out"
        )
    design = Design.of(x)
    sums = Sums.of(design, n, total, squares, read, clusters, cluster_sums)
    patterns = Patterns(design)
    parts = [_fit(design, part, patterns, firth) for part in sums.chunks()]
    if len(parts) == 1:
        return parts[0]
    return BatchFit(
        *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(BatchFit))
    )


def _fit(design: Design, sums: Sums, patterns: Patterns, firth: bool) -> BatchFit:
    fits, size = sums.n.shape[1], design.z.shape[1]
    exists, ranked = patterns.exist(sums.n, sums.total)
    if sums.read is not None:
        patterns.leave(sums.n, sums.total, exists, ranked)
    which = ranked if firth else exists
    found = BatchFit(
        params=np.full((fits, size), np.nan),
        se_iid=np.full((fits, size), np.nan),
        se_robust=np.full((fits, size), np.nan),
        se_cluster=np.full((fits, size), np.nan),
        llf=np.full(fits, np.nan),
        exists=exists,
        converged=np.zeros(fits, bool),
        iterations=np.zeros(fits, np.int64),
    )
    if not which.any():
        return found
    # Rows of the result are filled by index; most often all fits exist and nothing is copied.
    index = np.flatnonzero(which)
    data = sums if len(index) == fits else sums.take(index)
    search = penalised_maximum if firth else maximum
    params, found.converged[index], found.iterations[index] = search(design, data.n, data.total)
    found.params[index] = (design.back @ params).T
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        _covariances(design, data, params, found, index, firth)
    # Without convergence there is nothing for errors to be errors of.
    lost = ~found.converged
    for errors in (found.se_iid, found.se_robust, found.se_cluster):
        errors[lost] = np.nan
    return found


def _covariances(
    design: Design, data: Sums, params: Array, found: BatchFit, index: Any, firth: bool
) -> None:
    n, total = data.n, data.total
    eta, mu, weight = means(design.z @ params, n)
    inverse, log_det, left = inverses(design.gram(weight))
    found.converged[index] &= left > _SINGULAR
    # Rows of the inverse information, from the coefficients of x to the scores of z.
    rows = np.tensordot(design.back, inverse, 1)
    variance = (rows * design.back[:, :, None]).sum(axis=1)
    found.se_iid[index] = np.sqrt(variance).T
    # log(1 + exp(eta)) = eta - log(mu), with mu at hand.
    llf = (n * np.log(mu) - (n - total) * eta).sum(axis=0)
    if firth:
        llf += log_det / 2 - np.linalg.slogdet(design.back)[1]
    found.llf[index] = llf
    if data.squares is not None:
        if data.read is None:
            spread = data.squares - 2 * mu * total + n * mu**2
        else:
            spread = data.squares - 2 * mu * data.read.cross + data.read.squares * mu**2
        count = data.rows.sum(axis=0)
        meat = design.gram(spread) * _factor(count)
        found.se_robust[index] = _sandwich(rows, meat)
    if data.member is not None:
        residual = total - n * mu
        scores = np.stack([(data.member * z) @ residual for z in design.z.T])
        count = (data.member @ data.rows > 0).sum(axis=0).astype(float)
        found.se_cluster[index] = _sandwich(rows, _outer(scores) * _factor(count))
    elif data.parts is not None:
        # (B, G, J) @ (J, K): one product for all fits.
        residual = data.parts[1] - data.parts[0] * mu.T[:, None, :]
        scores = np.ascontiguousarray((residual @ design.z).transpose(2, 1, 0))
        count = data.parts[0].any(axis=2).sum(axis=1).astype(float)
        found.se_cluster[index] = _sandwich(rows, _outer(scores) * _factor(count))


def _factor(count: Array) -> Array:
    """``count / (count - 1)``, NaN where that is no correction."""
    return np.where(count > 1, count / np.where(count > 1, count - 1, 1), np.nan)


def _outer(scores: Array) -> Array:
    """Sums over clusters of products of scores: (K, G, B) to (K, K, B)."""
    return np.stack([(scores * one).sum(axis=1) for one in scores])


def _sandwich(rows: Array, meat: Array) -> Array:
    """Root of the diagonal of ``rows @ meat @ rows'``, as (B, K)."""
    size = len(meat)
    half = sum((rows[:, a, None] * meat[a] for a in range(size)), np.zeros(rows.shape))
    # Rounding can leave a perfect fit a hair below zero.
    return np.asarray(np.sqrt(np.maximum((half * rows).sum(axis=1), 0)).T)
