"""Maxima of likelihoods that need not be concave: those of nested and mixed logits."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.optimum.newton import NewtonFit, newton
from llmdemand.modeling.substitution.smooth import Smooth

__all__ = ["ascend", "maximise", "scaled"]

_DECREMENT = 1e-14  # squared distance to the maximum, in standard errors
_MAX_ITERATIONS = 200
_LEAST = 1e-8  # curvature, of the largest, below which a direction is held for flat


def ascend(data: Smooth, start: Array, *, most: int = _MAX_ITERATIONS) -> NewtonFit:
    """The maximum that Newton's method finds from a start.

    Parameters
    ----------
    data : Smooth
        With exact first and second derivatives.
    start : (K,) array
        Where to begin.
    most : int
        Steps after which it ends, maximum or not.

    Returns
    -------
    NewtonFit
        ``converged`` is True where the gradient vanishes to within 1e-7 standard errors and the
        Hessian is that of a maximum.

    Notes
    -----
    Where the Hessian is not negative definite its eigenvalues, in units that make its diagonal
    one, are taken by their absolute values: the step then goes up along every direction. Steps
    that do not raise the likelihood are halved.
    """
    beta = np.array(start, np.float64)
    value, score, information = data.evaluated(beta)
    converged, iterations = False, 0
    while np.isfinite(value) and np.isfinite(information).all() and iterations < most:
        iterations += 1
        step, maximum = _step(information, score)
        promised = float(score @ step)
        if maximum and promised <= _DECREMENT:
            converged = True
            break
        length, slack = 1.0, 1e-13 * abs(value)
        while True:
            ahead = beta + length * step
            found = data.evaluated(ahead)
            if found[0] >= value + 1e-4 * length * promised - slack:
                break
            length /= 2
            if length < 1e-9:
                # Nothing but rounding is left to gain, or there is no way up.
                small = maximum and promised <= 1e-9 * (1 + abs(value))
                return NewtonFit(beta, information, value, value, iterations, small)
        beta, (value, score, information) = ahead, found
    return NewtonFit(beta, information, value, value, iterations, converged)


def _step(information: Array, score: Array) -> tuple[Array, bool]:
    """Newton's step made to go up, and whether the Hessian is that of a maximum."""
    size = np.abs(np.diag(information))
    scale = 1 / np.sqrt(np.where(size > 0, size, 1.0))
    values, vectors = np.linalg.eigh(information * np.outer(scale, scale))
    largest = np.abs(values).max(initial=0.0)
    maximum = bool(values.min(initial=1.0) > _LEAST * largest)
    along = vectors.T @ (score * scale)
    curvature = np.maximum(np.abs(values), _LEAST * largest if largest else 1.0)
    step = along / curvature
    return scale * (vectors @ step), maximum


def maximise(data: Likelihood, *, start: Array | None = None, firth: bool = False) -> NewtonFit:
    """The maximum of any likelihood: `newton` where it is concave, else `ascend`."""
    if isinstance(data, Cells | Cases):
        return newton(data, start=start, firth=firth)
    assert start is not None and not firth
    smooth = cast(Smooth, data)
    found = ascend(smooth, start)
    return replace(found, params=smooth.oriented(found.params))


def scaled(data: Likelihood) -> tuple[Likelihood, Array]:
    """The data in regressors of comparable scale, and the way back; see `Concave.standardised`.

    Steps of `ascend` do not depend on the scale, so that its data stay as they are.
    """
    if isinstance(data, Cells | Cases):
        return data.standardised()
    return data, np.eye(data.size)
