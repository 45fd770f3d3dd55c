"""Arrays of numbers and of codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Codes", "sums"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


def sums(codes: Codes, values: Array, groups: int) -> Array:
    """Sum of the values in each group, (G,); `codes` are 0 to G - 1."""
    return np.bincount(codes, values, groups).astype(np.float64, copy=False)
