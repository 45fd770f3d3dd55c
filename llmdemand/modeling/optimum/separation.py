"""Whether the logit maximum exists, and where its estimates run if not."""

from __future__ import annotations

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.protocol import Concave
from llmdemand.modeling.likelihood.separating import TIE, separating_differences
from llmdemand.modeling.optimum.newton import NewtonFit

__all__ = ["divergence", "exists", "unbounded"]


def exists(data: Concave, found: NewtonFit) -> bool:
    """Whether a fit proves that the maximum exists; False where it proves nothing.

    Parameters
    ----------
    data : Concave
        The data that were fitted, in the coordinates of `found`.
    found : NewtonFit
        A fit without penalty; it need not have converged.

    Returns
    -------
    bool
        True only if a finite maximum exists. If False a linear programme decides: see
        `divergence`.

    Notes
    -----
    Let g and H be the score and information at the fit, ``delta^2 = g' H^-1 g`` (the Newton
    decrement) and rho the largest change of a log-odds that a step v with ``v'Hv = 1`` makes.
    The maximum exists if ``delta rho < 1``; 1/2 is asked for, which leaves room for rounding.

    Why: the third derivative of a logit likelihood along v is at most rho times the second
    (generalised self-concordance: Bach 2010, "Self-concordant analysis for logistic
    regression", Electronic Journal of Statistics 4, who has ``R / sqrt(lambda_min(H))`` for
    rho). So the slope along v is below ``delta - (1 - exp(-rho t)) / rho`` after a way t,
    which is negative beyond ``t = -log(1 - delta rho) / rho`` whatever v: the maximum lies
    within.

    Separated data never pass, even with rounded probabilities. With d a separating direction
    and u_i its gain of log-odds in row i (the chosen alternative's utility less the mean one,
    times the weight, in a choice), ``d'Hd <= max|d'x| sum u_i = max|d'x| g'd``, and so
    ``delta rho >= (g'd / sqrt(d'Hd)) (max|d'x| / sqrt(d'Hd)) >= 1``.

    rho is bounded by the root of the sum of the squared reaches of K conjugate directions.

    Examples
    --------
    >>> from llmdemand.modeling.likelihood.cells import Cells
    >>> from llmdemand.modeling.optimum.newton import newton
    >>> x = np.column_stack([np.ones(6), [-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]])
    >>> for y in ([1.0, 0, 1, 0, 1, 0], [1.0, 1, 1, 0, 0, 0]):
    ...     cells = Cells.of_rows(x, np.array(y))
    ...     print(exists(cells, newton(cells)))
    True
    False
    """
    scale = np.sqrt(np.diag(found.information))
    if not np.isfinite(scale).all() or not np.all(scale > 0):
        return False
    # Scaled to a diagonal of 1: a singular value then says how far from collinear.
    values, vectors = np.linalg.eigh(found.information / np.outer(scale, scale))
    if values[0] < 1e-10:
        return False
    conjugate = vectors / np.sqrt(values) / scale[:, None]
    decrement = float(np.linalg.norm(data.gradient(found.params) @ conjugate))
    rho = float(np.linalg.norm([data.reach(v) for v in conjugate.T]))
    return decrement * rho <= 0.5


def divergence(data: Concave, found: NewtonFit) -> Array | None:
    """The direction in which the estimates of a fit without penalty diverge, or None.

    Parameters
    ----------
    data, found
        See `exists`.

    Returns
    -------
    (K,) array or None
        See `Likelihood.separating_direction`. The linear programme is run only if neither the fit
        proves that the maximum exists nor Newton's method has asked already.
    """
    if found.direction is not None:
        return found.direction
    return None if exists(data, found) else data.separating_direction()


def unbounded(data: Concave, weights: Array) -> bool:
    """Whether ``weights @ params`` can rise for ever without a loss of likelihood.

    Parameters
    ----------
    data : Concave
        Separated data.
    weights : (K,) array
        Of the combination of coefficients.

    Notes
    -----
    Then its profile likelihood has no upper bound. `separating_direction` names one
    direction; in complete separation others may move a coefficient the other way. The
    weights are counted as one more row, which the direction of largest support makes
    positive if any direction can.

    Examples
    --------
    >>> from llmdemand.modeling.likelihood.cells import Cells
    >>> cells = Cells.of_rows(np.column_stack([np.ones(4), np.arange(4.0)]), np.ones(4))
    >>> [unbounded(cells, np.array(w)) for w in ([1.0, 0], [-1.0, 0], [0, 1.0], [0, -1.0])]
    [True, False, True, True]
    """
    d = separating_differences(np.concatenate([data.differences(), weights[None, :]]))
    if d is None:
        return False
    return float(weights @ d) > TIE * float(np.abs(weights) @ np.abs(d))
