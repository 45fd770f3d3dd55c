"""Newton's method for many small logits at once.

Fits lie along the last axis of every working array: reductions then run over the short axes
(design points, coefficients) and each step is a few long vector operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.cells import standardise

__all__ = [
    "Bools",
    "Design",
    "Maximum",
    "inverses",
    "maximum",
    "means",
    "numbers",
    "penalised_maximum",
    "solve",
]

Bools = NDArray[np.bool_]
#: Coefficients (K, B), whether they converged (B,), and steps taken (B,).
Maximum = tuple[Array, Bools, NDArray[np.int64]]

_MAX_ITERATIONS = 200
_TOLERANCE = 1e-6  # largest change of a log-odds; the step is still taken, which squares it
_FIRTH_TOLERANCE = 1e-11  # these steps shrink only linearly
_FIRTH_ITERATIONS = 2_000  # by a tenth or less where a sample of ten is nearly separated
_SAFE_STEP = 1.79  # see `maximum`
_LIMIT = 700.0  # exp stays finite


def numbers(values: Any, name: str) -> Array:
    """An array of floats.

    Raises
    ------
    UsageError
        For anything else.
    """
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is not an array of numbers: {error}") from None


@dataclass(frozen=True)
class Design:
    """Regressors centred and scaled, so that the information is well conditioned."""

    z: Array  # (J, K), between -1 and 1
    back: Array  # (K, K): params = back @ params of z
    constant: int | None  # the column of z that is one everywhere, or minus one
    products: Array  # (J, K (K + 1) / 2): columns z_a z_b, a <= b
    place: Codes  # (K, K): the column of products of a pair

    @classmethod
    def of(cls, x: Any) -> Design:
        """From one regressor (J,), to which a constant is added, or all columns (J, K).

        Raises
        ------
        UsageError
            For another shape.
        DesignError
            For numbers that are not finite, and collinear columns.
        """
        x = numbers(x, "x")
        if x.ndim == 1:
            x = np.column_stack([np.ones(len(x)), x])
        if x.ndim != 2 or not x.size:
            raise UsageError(f"x has shape {x.shape}: give one value or one row per design point")
        if not np.isfinite(x).all():
            raise DesignError("x has values that are not finite: leave these design points out")
        z, back = standardise(x)
        if len(x) < x.shape[1] or np.linalg.matrix_rank(z) < x.shape[1]:
            ranks = [np.linalg.matrix_rank(z[:, : k + 1]) for k in range(x.shape[1])]
            surplus = [str(k) for k, r in enumerate(ranks) if r <= (ranks[k - 1] if k else 0)]
            raise DesignError(
                f"x has {len(x)} points and collinear columns (number {', '.join(surplus)}, the "
                "constant being 0): take them out, or add points at which they differ"
            )
        constants = np.flatnonzero(np.ptp(x, axis=0) == 0)
        constant = int(constants[0]) if len(constants) else None
        first, second = np.triu_indices(x.shape[1])
        place = np.empty((x.shape[1],) * 2, np.intp)
        place[first, second] = place[second, first] = np.arange(len(first))
        return cls(z, back, constant, z[:, first] * z[:, second], place)

    def gram(self, weight: Array) -> Array:
        """``sum_j weight_j z_j z_j'``: (J, B) to (K, K, B)."""
        return np.asarray((self.products.T @ weight)[self.place])


def means(eta: Array, n: Array) -> tuple[Array, Array, Array]:
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


def inverses(matrix: Array) -> tuple[Array, Array, Array]:
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


def solve(matrix: Array, right: Array) -> Array:
    """(K, K, B) and (K, B) to (K, B); not finite where singular."""
    if len(matrix) != 2:
        return np.asarray((inverses(matrix)[0] * right).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] ** 2
        return np.stack(
            [
                (matrix[1, 1] * right[0] - matrix[0, 1] * right[1]) / determinant,
                (matrix[0, 0] * right[1] - matrix[0, 1] * right[0]) / determinant,
            ]
        )


def _start(design: Design, n: Array, total: Array) -> Array:
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
        params = solve(design.gram(n), gradient) / variance
        share = np.clip((params * gradient).sum(axis=0) / rows, 0, 0.95)
        params /= 1 - share
        level = np.log(p / (1 - p)) - (0.5 - p) * share / (1 - share) / variance
        params[design.constant] += level * design.z[0, design.constant]
    params[:, ~np.isfinite(params).all(axis=0)] = 0.0
    # From far out in the tails, where all information has gone, there is no way back.
    far = np.abs(design.z @ params).max(axis=0)
    return np.asarray(params * (8 / np.maximum(far, 8)))


def maximum(design: Design, n: Array, total: Array, limit: int = _MAX_ITERATIONS) -> Maximum:
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
        _, mu, weight = means(design.z @ b, n)
        mu *= n
        gradient = design.z.T @ np.subtract(total, mu, out=mu)
        step = solve(design.gram(weight), gradient)
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


@dataclass
class _Penalised:
    """The penalised likelihoods at some coefficients, and what their scores are made of."""

    value: Array  # (B,), -inf where it is unknown
    mu: Array  # (J, B), as are the next two
    weight: Array
    leverage: Array

    @classmethod
    def at(cls, b: Array, design: Design, n: Array, total: Array) -> _Penalised:
        eta, mu, weight = means(design.z @ b, n)
        inverse, log_det, _ = inverses(design.gram(weight))
        value = (n * np.log(mu) - (n - total) * eta).sum(axis=0) + log_det / 2
        # Off the diagonal, products stand for two entries of z_j z_j'.
        first, second = np.triu_indices(len(b))
        double = design.products * np.where(first == second, 1.0, 2.0)
        leverage = weight * (double @ inverse[first, second])
        return cls(np.where(np.isfinite(value), value, -np.inf), mu, weight, leverage)

    def step(self, design: Design, n: Array, total: Array) -> tuple[Array, Array]:
        """A scoring step, at most 5 in log-odds, and the largest change of one."""
        mu, leverage = self.mu, self.leverage
        score = design.z.T @ (total - n * mu + leverage * (0.5 - mu))
        # The penalty counts like h_j further observations, half of them ones.
        grown = self.weight + leverage * mu * (1 - mu)
        step = solve(design.gram(grown), score)
        move = np.abs(design.z @ step)
        move[n == 0] = 0  # points without data say nothing about how far a step goes
        change = move.max(axis=0)
        return step / np.maximum(change / 5, 1), change

    def put(self, which: Bools, other: _Penalised) -> None:
        """Replace some fits."""
        for name, values in vars(other).items():
            getattr(self, name)[..., which] = values

    def take(self, which: Bools) -> _Penalised:
        return _Penalised(*(values[..., which] for values in vars(self).values()))


def penalised_maximum(design: Design, n: Array, total: Array) -> Maximum:
    """Firth's estimates: scoring steps, halved until the penalised likelihood does not fall."""
    fits, size = n.shape[1], design.z.shape[1]
    params = np.zeros((size, fits))
    converged, iterations = np.zeros(fits, bool), np.zeros(fits, np.int64)
    index, b = np.arange(fits), params.copy()
    here = _Penalised.at(b, design, n, total)
    for step_number in range(1, _FIRTH_ITERATIONS + 1):
        step, change = here.step(design, n, total)
        done = change < _FIRTH_TOLERANCE
        new = _Penalised.at(b + step, design, n, total)
        for _ in range(40):
            # So close, only rounding is left of the differences.
            worse = (new.value < here.value - 1e-12 * (1 + np.abs(here.value))) & ~done
            if not worse.any():
                break
            step[:, worse] /= 2
            again = _Penalised.at((b + step)[:, worse], design, n[:, worse], total[:, worse])
            new.put(worse, again)
        b, here = b + step, new
        if not done.any():
            continue
        ended = index[done]
        params[:, ended], converged[ended], iterations[ended] = b[:, done], True, step_number
        if done.all():
            return params, converged, iterations
        going = ~done
        index, b, n, total = index[going], b[:, going], n[:, going], total[:, going]
        here = here.take(going)
    params[:, index], iterations[index] = b, _FIRTH_ITERATIONS
    return params, converged, iterations
