"""Whether the logit maximum exists."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["separating_direction"]


def separating_direction(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """A direction in which the likelihood rises for ever, or None if the maximum exists.

    Parameters
    ----------
    x : (N, K) array
        Regressors with a constant first.
    y : (N,) array
        Outcomes in [0, 1]. Strict fractions pull both ways: an observation with
        0 < y < 1 must lie on the separating plane.

    Returns
    -------
    (K,) array or None
        A nonzero d with ``x_i'd >= 0`` where y_i = 1, ``<= 0`` where y_i = 0 and
        ``= 0`` where 0 < y_i < 1, not zero for all i: estimates diverge along d.

    Notes
    -----
    With one regressor the test is closed-form: the data are separated if and only
    if all x with y > 0 lie on one side of all x with y < 1 (Albert & Anderson
    1984). Otherwise a linear programme decides (Konis 2007).

    Examples
    --------
    >>> x = np.column_stack([np.ones(4), [1.0, 2.0, 3.0, 4.0]])
    >>> separating_direction(x, np.array([1.0, 1.0, 0.0, 0.0])).tolist()
    [2.5, -1.0]
    >>> separating_direction(x, np.array([1.0, 0.0, 1.0, 0.0])) is None
    True
    """
    if x.shape[1] == 2 and np.all(x[:, 0] == 1):
        return _one_regressor(x[:, 1], y)
    return _linear_programme(x, y)


def _one_regressor(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64] | None:
    ones, zeros = x[y > 0], x[y < 1]
    if not zeros.size:
        return np.array([1.0, 0.0])
    if not ones.size:
        return np.array([-1.0, 0.0])
    if ones.max() <= zeros.min():
        return np.array([(ones.max() + zeros.min()) / 2, -1.0])
    if zeros.max() <= ones.min():
        return np.array([-(zeros.max() + ones.min()) / 2, 1.0])
    return None


def _linear_programme(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64] | None:
    from scipy.optimize import linprog

    scale = np.where((s := np.abs(x).max(axis=0)) > 0, s, 1.0)
    z = x / scale
    sure = (y == 0) | (y == 1)
    signed = np.where(y == 1, 1.0, -1.0)[:, None] * z
    fractions = z[~sure]
    solved = linprog(
        -signed[sure].sum(axis=0),
        A_ub=-signed[sure],
        b_ub=np.zeros(int(sure.sum())),
        A_eq=fractions if len(fractions) else None,
        b_eq=np.zeros(len(fractions)) if len(fractions) else None,
        bounds=(-1, 1),
    )
    return solved.x / scale if float(solved.fun or 0.0) < -1e-7 else None
