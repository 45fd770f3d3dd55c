"""Newton's method for one logit, plain or with Firth's penalty, free or along a line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.protocol import Concave

__all__ = ["NewtonFit", "newton", "rough_start"]

_TOLERANCE = 1e-6  # of a log-odds
_LONGEST = 5.0  # step with the penalty, in log-odds
_PATIENCE = 15  # steps before it is asked whether there is a maximum
_MAX_ITERATIONS = 100
_EVERY, _ENOUGH = 16, 100  # every so many rows give a start, if they are so many per coefficient


@dataclass(frozen=True, slots=True)
class NewtonFit:
    """Where Newton's method ended.

    Attributes
    ----------
    params : (K,) array
        Coefficients.
    information : (K, K) array
        Minus the Hessian of the log-likelihood at `params`.
    llf : float
        Log (quasi-)likelihood at `params`, without the penalty.
    objective : float
        What was maximised: `llf`, or ``llf + 1/2 log det information``.
    iterations : int
        Steps taken.
    converged : bool
        Whether the last step moved no log-odds by more than 1e-6 (1e-9 with the penalty; it is
        still taken, which squares the remaining error) or promised no more than `gain`.
    direction : (K,) array or None
        Where the likelihood rises for ever, if that was asked and found: iterations end then.
    """

    params: Array
    information: Array
    llf: float
    objective: float
    iterations: int
    converged: bool
    direction: Array | None = None


def newton(
    data: Concave,
    *,
    firth: bool = False,
    start: Array | None = None,
    free: Array | None = None,
    gain: float = 0.0,
) -> NewtonFit:
    """Maximise a log-likelihood, or Firth's penalised one.

    Parameters
    ----------
    data : Concave
        Regressors of full rank and comparable scale: see `Likelihood.standardised`.
    firth : bool
        Add Jeffreys' penalty ``1/2 log det information`` (Firth 1993); for a binomial logit
        of full rank its maximum always exists (Kosmidis & Firth 2021).
    start : (K,) array, optional
        Where to begin; 0 by default.
    free : (K, F) array, optional
        Move along these directions only: ``params = start + free @ a``. The penalty is
        that of the whole model, as in penalised profile likelihoods (Heinze & Schemper 2002).
    gain : float
        End when a step promises to raise the objective by no more than this. A supremum that
        is not attained can be had to that precision, the maximiser cannot.

    Returns
    -------
    NewtonFit
        ``converged`` is False where the maximum does not exist.

    Notes
    -----
    Steps are ``information^-1 score``; one that does not increase the objective is halved.
    Without penalty the objective is concave. Its Hessian is known with the penalty but for
    the penalty's own part, which is learnt from the steps (symmetric rank-one updates, as in
    structured quasi-Newton methods): scoring alone converges linearly. With the penalty a
    step moves no log-odds by more than 5, as far as the quadratic is any guide.

    Estimates that have not settled after 15 steps may be on their way to infinity or to
    shares of 1e-12; `Likelihood.separating_direction` tells which. It is not asked with
    `free` or `gain`, where the supremum will do.
    """
    k = data.size
    beta = np.zeros(k) if start is None else np.array(start, np.float64)
    basis = np.eye(k) if free is None else _orthonormal(free)
    value, converged, iterations = _objective(data, beta, firth), not basis.shape[1], 0
    direction: Array | None = None
    curvature = _Curvature(basis.shape[1])
    while not converged and iterations < _MAX_ITERATIONS:
        iterations += 1
        information = data.information(beta)
        score = data.gradient(beta) @ basis
        try:
            if firth:
                penalty = data.penalty_score(beta, _inverse(information)) @ basis
                curvature.learn(penalty)
                score = score + penalty
            inner = basis.T @ information @ basis
            ahead = curvature.step(inner, score)
        except np.linalg.LinAlgError:
            break
        step = basis @ ahead
        promised = float(score @ ahead) / 2
        if not np.isfinite(step).all():
            break
        reach = data.reach(step)
        close = reach < _TOLERANCE
        if firth:
            # A wrong curvature makes short steps: scoring must agree, and to more digits.
            close = close and data.reach(basis @ np.linalg.solve(inner, score)) < _TOLERANCE / 1e3
        if close or promised <= gain:
            # So close the quadratic is exact and the objective only rounding: one full step.
            if close or _objective(data, beta + step, firth) >= value:
                beta = beta + step
            converged = True
            break
        length = min(1.0, _LONGEST / reach) if firth else 1.0
        slack = 1e-13 * abs(value)  # a loss within rounding is none
        new = _objective(data, beta + length * step, firth)
        while not new >= value - slack and length > 1e-10:
            length /= 2
            new = _objective(data, beta + length * step, firth)
        if not new >= value - slack:
            break
        beta, value = beta + length * step, new
        curvature.moved = length * ahead
        if iterations == _PATIENCE and free is None and not firth and not gain:
            direction = data.separating_direction()
            if direction is not None:
                break
    return NewtonFit(
        beta,
        data.information(beta),
        data.llf(beta),
        _objective(data, beta, firth),
        iterations,
        converged,
        direction,
    )


def rough_start(data: Concave) -> Array | None:
    """Estimates from every 16th of many rows: from there few steps on all rows are left.

    Parameters
    ----------
    data : Concave
        See `newton`.

    Returns
    -------
    (K,) array or None
        None for few rows, and where those chosen have no maximum.
    """
    rows = len(data.observations)
    if rows < _EVERY * _ENOUGH * data.size:
        return None
    factor = np.zeros(rows)
    factor[::_EVERY] = 1.0
    # Nearer than that sample is to the whole one is no gain.
    found = newton(data.weighted(factor), gain=0.1)
    return found.params if found.converged else None


class _Curvature:
    """The penalty's Hessian, as far as the steps have shown it."""

    def __init__(self, size: int) -> None:
        self.hessian = np.zeros((size, size))
        self.moved: Array | None = None
        self._last: Array | None = None

    def learn(self, gradient: Array) -> None:
        """Update from the gradient after the last move (symmetric rank one)."""
        if self.moved is not None and self._last is not None:
            missed = gradient - self._last - self.hessian @ self.moved
            along = float(missed @ self.moved)
            size = float(np.linalg.norm(missed) * np.linalg.norm(self.moved))
            if abs(along) > 1e-8 * size:
                self.hessian += np.outer(missed, missed) / along
        self._last = gradient

    def step(self, information: Array, score: Array) -> Array:
        """Newton's step, or the scoring step where the Hessian is not negative."""
        both = information - self.hessian
        if self.moved is not None and self._last is not None:
            try:
                np.linalg.cholesky(both)
            except np.linalg.LinAlgError:
                both = information
        return np.asarray(np.linalg.solve(both, score))


def _inverse(information: Array) -> Array:
    return np.asarray(np.linalg.inv(information), np.float64)


def _orthonormal(free: Array) -> Array:
    """Directions of the same span; collinear ones count once."""
    left, values, _ = np.linalg.svd(free, full_matrices=False)
    return np.asarray(left[:, values > 1e-12 * values.max(initial=0.0)])


def _objective(data: Concave, beta: Array, firth: bool) -> float:
    value = data.llf(beta)
    if not firth:
        return value
    sign, logdet = np.linalg.slogdet(data.information(beta))
    return value + float(logdet) / 2 if sign > 0 else -np.inf
