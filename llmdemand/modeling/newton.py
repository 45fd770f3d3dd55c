"""Newton's method for the logit quasi-likelihood, one fit at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NewtonFit", "log_likelihood", "newton", "sigmoid"]

_TOLERANCE = 1e-6
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
        Whether the last step moved no log-odds by more than 1e-6; it is still taken, which
        squares the remaining error.
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
        Regressors, constant included, of full column rank and comparable scale.
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
    beta = np.zeros(x.shape[1])
    llf = log_likelihood(x @ beta, y)
    converged, iterations = False, 0
    while iterations < _MAX_ITERATIONS:
        iterations += 1
        mu = sigmoid(x @ beta)
        information = (x * (mu * (1 - mu))[:, None]).T @ x
        try:
            step = np.linalg.solve(information, x.T @ (y - mu))
        except np.linalg.LinAlgError:
            break
        if np.abs(x @ step).max() < _TOLERANCE:
            # So close the quadratic is exact and the objective only rounding: one full step.
            beta, converged = beta + step, True
            break
        length = 1.0
        slack = 1e-13 * abs(llf)  # a loss within rounding is none
        while log_likelihood(x @ (beta + length * step), y) < llf - slack and length > 1e-10:
            length /= 2
        beta = beta + length * step
        llf = log_likelihood(x @ beta, y)
    mu = sigmoid(x @ beta)
    information = (x * (mu * (1 - mu))[:, None]).T @ x
    llf = log_likelihood(x @ beta, y)
    return NewtonFit(beta, information, llf, iterations, converged)
