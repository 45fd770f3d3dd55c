"""Thousands of small logits at once, from sums per design point.

Fits lie along the last axis of every working array: reductions then run over the short axes
(design points, coefficients) and each step is a few long vector operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.separation import separating_direction

__all__ = ["BatchFit", "fit_batch"]

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

_CHUNK = 1 << 16  # elements of a (points x fits) working array: some of them fit in the cache
_MAX_ITERATIONS = 200
_TOLERANCE = 1e-6  # largest change of a log-odds; the step is still taken, which squares it
_FIRTH_TOLERANCE = 1e-11  # these steps shrink only linearly
_SAFE_STEP = 1.79  # see `_maximise`
_SINGULAR = 1e-12  # share of an information's diagonal that is still information
_LIMIT = 700.0  # exp stays finite
_ALL_ONES = 1 - 1e-14  # of n: sums of weights and of weighted ones may differ by rounding


@dataclass(frozen=True, slots=True)
class BatchFit:
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
        For arrays whose shapes do not fit together, or both kinds of clusters.
    DesignError
        For collinear regressors, numbers that are not finite, negative n, and sums that
        no outcomes in [0, 1] can have.

    Notes
    -----
    The likelihood ``sum_j total_j eta_j - n_j log(1 + exp(eta_j))`` with ``eta_j = x_j'b``
    depends on the data through n and the sum of y alone; its maximum is found by Newton
    steps, each damped such that the likelihood cannot fall. With ``A`` the inverse
    information, covariances are A, and A M A with

    - HC1: ``M = N / (N - 1) sum_j x_j x_j' (squares_j - 2 mu_j total_j + n_j mu_j^2)``,
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
    rounding of n counts as all ones.

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
    design = _Design.of(x)
    sums = _Sums.of(design, n, total, squares, clusters, cluster_sums)
    patterns = _Patterns(design)
    parts = [_fit(design, part, patterns, firth) for part in sums.chunks()]
    if len(parts) == 1:
        return parts[0]
    return BatchFit(
        *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(BatchFit))
    )


@dataclass(frozen=True)
class _Design:
    """Regressors centred and scaled, so that the information is well conditioned."""

    z: Array  # (J, K)
    back: Array  # (K, K): params = back @ params of z
    constant: int | None  # the column of z that is one
    products: Array  # (J, K (K + 1) / 2): columns z_a z_b, a <= b
    place: NDArray[np.intp]  # (K, K): the column of products of a pair

    @classmethod
    def of(cls, x: Any) -> _Design:
        x = _array(x, "x")
        if x.ndim == 1:
            x = np.column_stack([np.ones(len(x)), x])
        if x.ndim != 2 or not x.size:
            raise UsageError(f"x has shape {x.shape}: give one value or one row per design point")
        if not np.isfinite(x).all():
            raise DesignError("x has values that are not finite: leave these design points out")
        spread = np.ptp(x, axis=0)
        constants = np.flatnonzero((spread == 0) & (x[0] != 0))
        constant = int(constants[0]) if len(constants) else None
        middle = np.zeros(x.shape[1]) if constant is None else x.min(axis=0) + spread / 2
        if constant is not None:
            middle[constant] = 0.0
        z = x - middle
        scale = np.abs(z).max(axis=0)
        scale[scale == 0] = 1.0
        if constant is not None:
            scale[constant] = x[0, constant]
        z /= scale
        if len(x) < x.shape[1] or np.linalg.matrix_rank(z) < x.shape[1]:
            ranks = [np.linalg.matrix_rank(z[:, : k + 1]) for k in range(x.shape[1])]
            surplus = [str(k) for k, r in enumerate(ranks) if r <= (ranks[k - 1] if k else 0)]
            raise DesignError(
                f"x has {len(x)} points and collinear columns (number {', '.join(surplus)}, the "
                "constant being 0): take them out, or add points at which they differ"
            )
        back = np.diag(1 / scale)
        if constant is not None:
            back[constant] -= middle / scale / scale[constant]
        first, second = np.triu_indices(x.shape[1])
        place = np.empty((x.shape[1],) * 2, np.intp)
        place[first, second] = place[second, first] = np.arange(len(first))
        return cls(z, back, constant, z[:, first] * z[:, second], place)

    def gram(self, weight: Array) -> Array:
        """``sum_j weight_j z_j z_j'``: (J, B) to (K, K, B)."""
        return np.asarray((self.products.T @ weight)[self.place])


@dataclass(frozen=True)
class _Sums:
    """The data of some fits."""

    n: Array  # (J, B), as are the next two
    total: Array
    squares: Array | None
    member: Array | None = None  # (G, J) one where a point is in a cluster
    parts: tuple[Array, Array] | None = None  # (B, G, J)

    @classmethod
    def of(
        cls, design: _Design, n: Any, total: Any, squares: Any, clusters: Any, cluster_sums: Any
    ) -> _Sums:
        n, total = _array(n, "n"), _array(total, "total")
        points = len(design.z)
        given = {"n": n, "total": total}
        if squares is not None:
            given["squares"] = squares = _array(squares, "squares")
        for name, array in given.items():
            if array.ndim != 2 or array.shape != (len(n), points):
                raise UsageError(
                    f"{name} has shape {array.shape}, expected {(len(n), points)}: one row per "
                    f"fit, one column for each of the {points} rows of x"
                )
        if clusters is not None and cluster_sums is not None:
            raise UsageError("clusters and cluster_sums are both given: choose one")
        member, parts = None, None
        if clusters is not None:
            labels = np.asarray(clusters)
            if labels.shape != (points,):
                raise UsageError(
                    f"clusters has shape {labels.shape}, expected ({points},): one label for "
                    "each row of x"
                )
            known, index = np.unique(labels, return_inverse=True)
            member = (np.arange(len(known))[:, None] == index).astype(float)
        if cluster_sums is not None:
            parts = _array(cluster_sums[0], "cluster_sums"), _array(cluster_sums[1], "cluster_sums")
            shape = parts[0].shape
            if parts[1].shape != shape or len(shape) != 3 or shape[::2] != n.shape:
                raise UsageError(
                    f"cluster_sums have shapes {shape} and {parts[1].shape}, expected a pair of "
                    f"({len(n)}, clusters, {points})"
                )
        return cls(n.T, total.T, None if squares is None else squares.T, member, parts)

    def chunks(self) -> Iterator[_Sums]:
        """Parts that stay in the cache, checked; an empty batch is one part."""
        points, fits = self.n.shape
        wide = points
        if self.parts is not None:
            wide = max(wide, self.parts[0].shape[1] * points)
        if self.member is not None:
            wide = max(wide, len(self.member))
        size = max(1, _CHUNK // wide)
        for start in range(0, max(fits, 1), size):
            part = self.take(slice(start, start + size))
            part.check(start)
            yield part

    def take(self, which: slice | NDArray[np.intp] | Bools) -> _Sums:
        return _Sums(
            np.ascontiguousarray(self.n[:, which]),
            np.ascontiguousarray(self.total[:, which]),
            None if self.squares is None else np.ascontiguousarray(self.squares[:, which]),
            self.member,
            None if self.parts is None else (self.parts[0][which], self.parts[1][which]),
        )

    def check(self, start: int) -> None:
        if not self.n.size:
            return
        _none_below(0.0, self.n, "n", "counts or weights are not negative", start)
        _none_below(0.0, self.total, "total", "it is a sum of outcomes in [0, 1]", start)
        _none_below(
            self.total, self.n, "n", "total, a sum of n outcomes in [0, 1], is not larger", start
        )
        if self.squares is not None:
            least = self.total**2 / np.where(self.n > 0, self.n, 1)
            what = "total^2 / n, the least that squares of n outcomes can add up to"
            _none_below(least, self.squares, "squares", what, start)
            what = "squares, of outcomes in [0, 1], are not larger"
            _none_below(self.squares, self.total, "total", what, start)
        if self.parts is not None:
            count, total = self.parts
            _none_below(0.0, count, "cluster_sums", "counts are not negative", start)
            for part, whole, name in ((count, self.n, "n"), (total, self.total, "total")):
                gap = np.abs(part.sum(axis=1).T - whole)
                if not (gap <= 1e-8 * (1 + whole)).all():
                    b = start + int(np.argmax((~(gap <= 1e-8 * (1 + whole))).any(axis=0)))
                    raise DesignError(
                        f"cluster_sums of fit {b} do not add up to its {name}: give every "
                        "observation to one cluster"
                    )


def _array(values: Any, name: str) -> Array:
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is not an array of numbers: {error}") from None


def _none_below(floor: Array | float, values: Array, name: str, why: str, start: int) -> None:
    # NaN passes neither test.
    if np.all(values >= floor) and values.max(initial=0.0) < np.inf:
        return
    # Sums of the same terms in another order differ by rounding.
    bad = ~(values - floor >= -1e-9 * np.abs(values)) | (values == np.inf)
    if not bad.any():
        return
    place = np.unravel_index(int(np.argmax(bad)), bad.shape)
    fit, point = (place[0], place[-1]) if bad.ndim == 3 else (place[1], place[0])
    found, least = values[place], np.broadcast_to(floor, values.shape)[place]
    raise DesignError(
        f"{name} is {found:g} in fit {start + fit} at design point {point}, expected a finite "
        f"number of at least {least:g} ({why}): mend or leave out that fit"
    )


def _fit(design: _Design, sums: _Sums, patterns: _Patterns, firth: bool) -> BatchFit:
    fits, size = sums.n.shape[1], design.z.shape[1]
    exists, ranked = patterns.exist(sums.n, sums.total)
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
    search = _maximise_penalised if firth else _maximise
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
    design: _Design, data: _Sums, params: Array, found: BatchFit, index: Any, firth: bool
) -> None:
    n, total = data.n, data.total
    eta, mu, weight = _mean(design.z @ params, n)
    inverse, log_det, left = _inverse(design.gram(weight))
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
        spread = data.squares - 2 * mu * total + n * mu**2
        count = n.sum(axis=0)
        meat = design.gram(spread) * _factor(count)
        found.se_robust[index] = _sandwich(rows, meat)
    if data.member is not None:
        residual = total - n * mu
        scores = np.stack([(data.member * z) @ residual for z in design.z.T])
        count = (data.member @ n > 0).sum(axis=0).astype(float)
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


def _mean(eta: Array, n: Array) -> tuple[Array, Array, Array]:
    """Clipped log-odds, means, and weights ``n mu (1 - mu)``; precise in both tails."""
    np.clip(eta, -_LIMIT, _LIMIT, out=eta)
    e = np.negative(eta)
    np.exp(e, out=e)
    mu = e + 1
    np.divide(1, mu, out=mu)
    e *= mu
    e *= mu
    e *= n
    return eta, mu, e


def _inverse(matrix: Array) -> tuple[Array, Array, Array]:
    """Inverses and log-determinants of positive definite matrices (K, K, B), and what is left.

    The last is the least share of a diagonal element that the rows above do not explain:
    of the order of rounding, the matrix is singular as far as one can tell.

    Gauss-Jordan along the batch: for matrices this small several times as fast as LAPACK,
    and a singular one spoils itself alone.
    """
    a = matrix.copy()
    log_det, left = np.zeros(a.shape[2]), np.ones(a.shape[2])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for k in range(len(a)):
            pivot = a[k, k].copy()
            log_det += np.log(pivot)
            left = np.minimum(left, pivot / matrix[k, k])  # NaN stays
            row, column = a[k] / pivot, a[:, k].copy()
            a -= column[:, None] * row
            a[k], a[:, k] = row, -column / pivot
            a[k, k] = 1 / pivot
    return a, log_det, left


def _solve(matrix: Array, right: Array) -> Array:
    """(K, K, B) and (K, B) to (K, B); not finite where singular."""
    if len(matrix) != 2:
        return np.asarray((_inverse(matrix)[0] * right).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] ** 2
        return np.stack(
            [
                (matrix[1, 1] * right[0] - matrix[0, 1] * right[1]) / determinant,
                (matrix[0, 0] * right[1] - matrix[0, 1] * right[0]) / determinant,
            ]
        )


def _start(design: _Design, n: Array, total: Array) -> Array:
    """Coefficients of the linear discriminant, which a few Newton steps make those of the logit.

    Least squares gives the direction, R^2 the length: within classes the regressors vary by
    1 - R^2 of what they vary in all.
    """
    if design.constant is None:
        return np.zeros((design.z.shape[1], n.shape[1]))
    rows, ones = n.sum(axis=0), total.sum(axis=0)
    p = ones / rows
    variance = p * (1 - p)
    gradient = design.z.T @ (total - n * p)
    with np.errstate(divide="ignore", invalid="ignore"):
        params = _solve(design.gram(n), gradient) / variance
        share = np.clip((params * gradient).sum(axis=0) / rows, 0, 0.95)
        params /= 1 - share
        params[design.constant] += np.log(p / (1 - p)) - (0.5 - p) * share / (1 - share) / variance
    params[:, ~np.isfinite(params).all(axis=0)] = 0.0
    # From far out in the tails, where all information has gone, there is no way back.
    far = np.abs(design.z @ params).max(axis=0)
    return np.asarray(params * (8 / np.maximum(far, 8)))


def _maximise(
    design: _Design, n: Array, total: Array, limit: int = _MAX_ITERATIONS
) -> tuple[Array, Bools, NDArray[np.int64]]:
    """Newton's method for all fits, each until it has converged.

    With R the largest change of a log-odds, a step of the fraction t raises the likelihood by
    at least ``lambda^2 (t - (exp(tR) - tR - 1) / R^2)``, lambda^2 being the Newton decrement
    (Bach 2010, proposition 1). For t = 1 that is positive up to R = 1.79, and otherwise
    greatest at ``t = log(1 + R) / R``: the likelihood need never be computed.
    """
    fits = n.shape[1]
    params = _start(design, n, total)
    converged, iterations = np.zeros(fits, bool), np.zeros(fits, np.int64)
    index, b = np.arange(fits), params
    # Points without data say nothing about how far a step goes.
    empty = n == 0 if not n.all() else None
    for step_number in range(1, limit + 1):
        _, mu, weight = _mean(design.z @ b, n)
        mu *= n
        gradient = design.z.T @ np.subtract(total, mu, out=mu)
        step = _solve(design.gram(weight), gradient)
        with np.errstate(invalid="ignore", over="ignore"):
            move = design.z @ step
            np.abs(move, out=move)
        if empty is not None:
            move[empty] = 0
        change = move.max(axis=0)
        lost = ~np.isfinite(change)  # singular within rounding: it stays where it is
        if lost.any():
            step[:, lost] = 0
        if (change > _SAFE_STEP).any():
            long = change > _SAFE_STEP
            step[:, long] *= np.log1p(change[long]) / change[long]
        b = b + step
        done = (change < _TOLERANCE) | lost
        if not done.any():
            continue
        ended = index[done]
        params[:, ended], converged[ended], iterations[ended] = b[:, done], ~lost[done], step_number
        if done.all():
            return params, converged, iterations
        going = ~done
        index, b = index[going], b[:, going]
        n, total = n[:, going], total[:, going]
        empty = None if empty is None else empty[:, going]
    params[:, index], iterations[index] = b, limit
    return params, converged, iterations


def _maximise_penalised(
    design: _Design, n: Array, total: Array
) -> tuple[Array, Bools, NDArray[np.int64]]:
    """Firth's estimates: scoring steps, halved until the penalised likelihood does not fall."""
    fits, size = n.shape[1], design.z.shape[1]
    params = np.zeros((size, fits))
    converged, iterations = np.zeros(fits, bool), np.zeros(fits, np.int64)
    index, b = np.arange(fits), params.copy()
    # Off the diagonal, products stand for two entries of z_j z_j'.
    first, second = np.triu_indices(size)
    double = design.products * np.where(first == second, 1.0, 2.0)

    def state(b: Array, n: Array, total: Array) -> tuple[Array, Array, Array, Array]:
        eta, mu, weight = _mean(design.z @ b, n)
        inverse, log_det, _ = _inverse(design.gram(weight))
        value = (n * np.log(mu) - (n - total) * eta).sum(axis=0) + log_det / 2
        leverage = weight * (double @ inverse[first, second])
        return np.where(np.isfinite(value), value, -np.inf), mu, weight, leverage

    value, mu, weight, leverage = state(b, n, total)
    for step_number in range(1, _MAX_ITERATIONS + 1):
        score = design.z.T @ (total - n * mu + leverage * (0.5 - mu))
        # The penalty counts like h_j further observations, half of them ones.
        grown = weight + leverage * mu * (1 - mu)
        step = _solve(design.gram(grown), score)
        move = np.abs(design.z @ step)
        move[n == 0] = 0  # points without data say nothing about how far a step goes
        change = move.max(axis=0)
        step /= np.maximum(change / 5, 1)
        done = change < _FIRTH_TOLERANCE
        new = state(b + step, n, total)
        for _ in range(40):
            # So close, only rounding is left of the differences.
            worse = (new[0] < value - 1e-12 * (1 + np.abs(value))) & ~done
            if not worse.any():
                break
            step[:, worse] /= 2
            again = state((b + step)[:, worse], n[:, worse], total[:, worse])
            for whole, part in zip(new, again, strict=True):
                whole[..., worse] = part
        b = b + step
        value, mu, weight, leverage = new
        if not done.any():
            continue
        ended = index[done]
        params[:, ended], converged[ended], iterations[ended] = b[:, done], True, step_number
        if done.all():
            return params, converged, iterations
        going = ~done
        index, b, n, total = index[going], b[:, going], n[:, going], total[:, going]
        value, mu, weight, leverage = (part[..., going] for part in (value, mu, weight, leverage))
    params[:, index], iterations[index] = b, _MAX_ITERATIONS
    return params, converged, iterations


class _Patterns:
    """Which fits have a maximum: that depends on where there are some y > 0 and some y < 1."""

    def __init__(self, design: _Design) -> None:
        self._design = design
        # Beside a constant, each regressor alone may separate.
        constant = design.constant
        self._places = [
            _places(column)
            for k, column in enumerate(design.z.T)
            if constant is not None and k != constant
        ]
        self._known: dict[bytes, tuple[bool, bool]] = {}

    def exist(self, n: Array, total: Array) -> tuple[Bools, Bools]:
        """Whether the maximum exists, and whether the points with data have full rank."""
        some, other = total > 0, total < n * _ALL_ONES
        if self._design.z.shape[1] == 2 and len(self._places) == 1:
            places = self._places[0]
            high, low = _reach(places, n > 0)
            ranked: Bools = high + low > int(places[0][0, 0] + places[1][0, 0])
            return _overlap(places, some, other), ranked
        bits = np.packbits(np.concatenate([some, other]), axis=0).T
        keys = np.ascontiguousarray(bits).view(f"V{bits.shape[1]}").ravel()
        patterns, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        names = [p.tobytes() for p in patterns]
        new = [k for k, name in enumerate(names) if name not in self._known]
        if new:
            decided = self._decide(some[:, first[new]], other[:, first[new]])
            for k, exists, ranked in zip(new, *decided, strict=True):
                self._known[names[k]] = bool(exists), bool(ranked)
        table = np.array([self._known[name] for name in names], bool).reshape(-1, 2)
        answer = table[inverse.reshape(-1)]
        return answer[:, 0].copy(), answer[:, 1].copy()

    def _decide(self, some: Bools, other: Bools) -> tuple[Bools, Bools]:
        z = self._design.z
        ranked = self._full_rank(some | other)
        for k in np.flatnonzero(~ranked):
            # The Gram matrix squares the condition: what it doubts is looked at closely.
            rows = z[some[:, k] | other[:, k]]
            ranked[k] = len(rows) >= z.shape[1] and np.linalg.matrix_rank(rows) == z.shape[1]
        open_ = ranked.copy()
        if self._design.constant is not None:
            open_ &= some.any(axis=0) & other.any(axis=0)
        for places in self._places:
            open_ &= _overlap(places, some, other)
        # A separating direction is zero at points with both: these span all, there is none.
        exists = open_ & self._full_rank(some & other)
        for certificate in (self._by_newton, self._by_programme):
            left = np.flatnonzero(open_ & ~exists)
            if not len(left):
                break
            exists[left], apart = certificate(some[:, left], other[:, left])
            open_[left[apart]] = False
        return exists, ranked

    def _full_rank(self, points: Bools) -> Bools:
        values = np.linalg.eigvalsh(self._design.gram(points.astype(float)).transpose(2, 0, 1))
        return np.asarray(values[:, 0] > 1e-8 * np.maximum(values[:, -1], 1e-300))

    def _by_newton(self, some: Bools, other: Bools) -> tuple[Bools, Bools]:
        """What a few steps prove.

        There is no separating direction if (and only if) positive weights w of all rows give
        ``sum_i w_i s_i x_i = 0``, s_i = 1 for y = 1 and -1 for y = 0. Near the maximum
        ``w_i = |y_i - mu_i|`` gives nearly zero, and the least correction that gives zero is
        known. Data are separated if the coefficients themselves tell all rows apart.
        """
        design = self._design
        ones, zeros = some.astype(float), other.astype(float)
        n = ones + zeros
        params, _, _ = _maximise(design, n, ones, limit=15)
        eta, mu, _ = _mean(design.z @ params, n)
        rest = design.z.T @ (ones - n * mu)
        correction = np.abs(design.z @ _solve(design.gram(n), rest))
        least = np.minimum(np.where(some, 1 - mu, 1.0), np.where(other, mu, 1.0))
        proven = ((correction < least / 2) & (least > 1e-9)).all(axis=0)
        side = np.where(some, eta, -eta)
        apart = ((side > 1e-6) | (n == 0)).all(axis=0) & ~(some & other).any(axis=0)
        return np.asarray(proven), np.asarray(apart)

    def _by_programme(self, some: Bools, other: Bools) -> tuple[Bools, Bools]:
        exists = np.empty(some.shape[1], bool)
        for k in range(some.shape[1]):
            rows = some[:, k] | other[:, k]
            y = np.where(some[rows, k], np.where(other[rows, k], 0.5, 1.0), 0.0)
            exists[k] = separating_direction(self._design.z[rows], y) is None
        return exists, ~exists


def _places(price: Array) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Places of prices from below and from above, from 1; (J, 1) each."""
    levels, place = np.unique(price, return_inverse=True)
    above = (place.reshape(-1, 1) + 1).astype(np.int32)
    return above, (len(levels) + 1 - above).astype(np.int32)


def _reach(places: tuple[NDArray[np.int32], NDArray[np.int32]], mask: Bools) -> tuple[Any, Any]:
    """Highest price and lowest price of a mask (J, B), as places; 0 where it is empty."""
    # Products of small integers: several times as fast as np.where on prices.
    return (mask * places[0]).max(axis=0), (mask * places[1]).max(axis=0)


def _overlap(
    places: tuple[NDArray[np.int32], NDArray[np.int32]], some: Bools, other: Bools
) -> Bools:
    """Closed-form overlap of y > 0 and y < 1 along one regressor (Albert & Anderson 1984).

    The highest one must lie above the lowest zero, and the highest zero above the lowest one.
    Places of one price from below and from above add up to the levels plus one.
    """
    same = int(places[0][0, 0] + places[1][0, 0])
    high_one, low_one = _reach(places, some)
    high_zero, low_zero = _reach(places, other)
    overlap: Bools = (high_one + low_zero > same) & (high_zero + low_one > same)
    return overlap
