"""Corrected beliefs as shares among readable answers: the ratio form, run by run."""

from __future__ import annotations

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes

__all__ = ["among_readable"]


def among_readable(belief: Array, read: Array, cell: Codes) -> Array:
    """Corrected beliefs that sum to 1, and whose mean in a cell is the share among what is read.

    Parameters
    ----------
    belief : (N, A) array
        ``b~``, which sums to `read`.
    read : (N,) array
        ``r``: 1, or less where the final choice is unread.
    cell : (N,) int array
        Numbers from 0 of the cells within which answers are alike.

    Returns
    -------
    (N, A) array
        ``s + (b~ - r s) / rbar`` with ``s = sum b~ / sum r`` and rbar the mean of r in the cell.

    Raises
    ------
    DesignError
        If nothing is read in some cell.

    Notes
    -----
    The mean is exactly the ratio s, and the deviations from it are the ratio's influence
    function, so that sandwich errors are those of the ratio. No run is left out, which would
    select on what it says. Parts of a cell that are read more or less often than the cell
    have their own ratio only in the mean over all of them.

    Examples
    --------
    >>> b, r = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, -0.1]]), np.array([1.0, 1.0, 0.0])
    >>> found = among_readable(b, r, np.zeros(3, int))
    >>> found.mean(axis=0).round(6).tolist(), found.sum(axis=1).round(6).tolist()
    ([0.6, 0.4], [1.0, 1.0, 1.0])
    """
    size = int(cell.max()) + 1
    n, r = np.bincount(cell, minlength=size), np.bincount(cell, read, size)
    if (r <= 0).any():
        raise DesignError(
            f"in {int((r <= 0).sum())} of {size} cells no answer is read as a choice: have them "
            "read by a judge or by people (`llmdemand judge`, `llmdemand label`), or use "
            "reading='pivot'"
        )
    share = np.column_stack([np.bincount(cell, b, size) for b in belief.T]) / r[:, None]
    here = share[cell]
    return np.asarray(here + (belief - read[:, None] * here) * (n / r)[cell, None])
