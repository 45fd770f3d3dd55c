"""Arrays of numbers and of codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Codes", "sums", "xlogx"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


def sums(codes: Codes, values: Array, groups: int) -> Array:
    """Sum of the values in each group, (G,); `codes` are 0 to G - 1."""
    return np.bincount(codes, values, groups).astype(np.float64, copy=False)


def xlogx(x: Array) -> Array:
    """``x log x``, 0 at 0.

    >>> xlogx(np.array([0.0, 1.0])).tolist()
    [0.0, 0.0]
    """
    return np.asarray(x * np.log(np.where(x > 0, x, 1.0)), np.float64)
