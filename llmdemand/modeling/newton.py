"""Newton's method for the logit quasi-likelihood, one fit at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NewtonFit", "log_likelihood", "newton", "sigmoid"]

_TOLERANCE = 1e-10
_MAX_ITERATIONS = 100


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
        Log (quasi-)likelihood at `params`.
    iterations : int
        Steps taken.
    converged : bool
        Whether the last step's Newton decrement (twice the gain in `llf`) is below 1e-10;
        the step is then still taken, which squares the remaining error.
    """

    params: NDArray[np.float64]
    information: NDArray[np.float64]
    llf: float
    iterations: int
    converged: bool


def sigmoid(eta: NDArray[np.float64]) -> NDArray[np.float64]:
    """``1 / (1 + exp(-eta))``, without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    e = np.exp(-np.abs(eta))
    return np.where(eta >= 0, 1.0, e) / (1.0 + e)


def log_likelihood(eta: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """``sum y eta - log(1 + exp(eta))``: Bernoulli for 0/1, quasi for fractions."""
    return float(y @ eta - np.logaddexp(0.0, eta).sum())


def newton(x: NDArray[np.float64], y: NDArray[np.float64]) -> NewtonFit:
    """Maximise the logit (quasi-)likelihood.

    Parameters
    ----------
    x : (N, K) array
        Regressors, constant included, of full column rank.
    y : (N,) array
        Outcomes in [0, 1].

    Returns
    -------
    NewtonFit
        ``converged`` is False where the maximum does not exist.

    Notes
    -----
    The objective is concave; a step that does not increase it is halved.
    """
    # Unit scale keeps the information well conditioned (prices of 0.003 or 3 million).
    scale = np.where((s := np.abs(x).max(axis=0)) > 0, s, 1.0)
    z = x / scale
    beta = np.zeros(z.shape[1])
    llf = log_likelihood(z @ beta, y)
    converged, iterations = False, 0
    while iterations < _MAX_ITERATIONS:
        iterations += 1
        mu = sigmoid(z @ beta)
        score = z.T @ (y - mu)
        information = (z * (mu * (1 - mu))[:, None]).T @ z
        try:
            step = np.linalg.solve(information, score)
        except np.linalg.LinAlgError:
            break
        decrement = float(score @ step)
        if decrement < _TOLERANCE:
            # So close the quadratic is exact and the objective only rounding: one full step.
            beta, converged = beta + step, True
            break
        length = 1.0
        while (new := log_likelihood(z @ (beta + length * step), y)) < llf and length > 1e-10:
            length /= 2
        beta, llf = beta + length * step, new
    mu = sigmoid(z @ beta)
    information = (x * (mu * (1 - mu))[:, None]).T @ x
    llf = log_likelihood(z @ beta, y)
    return NewtonFit(beta / scale, information, llf, iterations, converged)
