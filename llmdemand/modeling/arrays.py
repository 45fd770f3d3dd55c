"""Arrays of numbers and of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "EXACT",
    "TABLE",
    "Array",
    "Codes",
    "codes",
    "crossed",
    "ends",
    "named_codes",
    "peaks",
    "product",
    "rescaled",
    "sums",
    "triangle",
    "xlogx",
]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

TABLE = 1 << 22  # numbers below this are counted in a table, not hashed
EXACT = 1 << 53  # whole numbers below it are exact as floats
_BLOCK = 512  # rows that numpy, BLAS and LAPACK are given at a time


def sums(codes: Codes, values: Array, groups: int) -> Array:
    """Sum of the values in each group, (G,); `codes` are 0 to G - 1."""
    return np.bincount(codes, values, groups).astype(np.float64, copy=False)


def xlogx(x: Array) -> Array:
    """``x log x``, 0 at 0.

    >>> xlogx(np.array([0.0, 1.0])).tolist()
    [0.0, 0.0]
    """
    return np.asarray(x * np.log(np.where(x > 0, x, 1.0)), np.float64)


def _blocks(x: Array, rows: int = _BLOCK) -> tuple[Array, Array]:
    """A tall array (R, K) as blocks (B, rows, K) and what is left over.

    Blocks stay in the processor's cache; BLAS does each on one thread, so that sums do not
    depend on the number of threads and nothing waits for another.
    """
    whole = len(x) // rows
    return x[: whole * rows].reshape(whole, rows, x.shape[1]), x[whole * rows :]


def product(x: Array, b: Array) -> Array:
    """``x @ b`` of a tall array, (R,)."""
    blocks, rest = _blocks(x)
    found = np.empty(len(x))
    np.matmul(blocks, b, out=found[: len(x) - len(rest)].reshape(blocks.shape[:2]))
    np.matmul(rest, b, out=found[len(x) - len(rest) :])
    return found


def crossed(left: Array, right: Array) -> Array:
    """``left.T @ right`` of tall arrays, (K, F).

    >>> crossed(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0], [-1.0]])).tolist()
    [[-2.0], [-2.0]]
    """
    (first, last), (second, other) = _blocks(left), _blocks(right)
    return np.asarray((first.transpose(0, 2, 1) @ second).sum(axis=0) + last.T @ other)


def ends(x: Array) -> tuple[Array, Array]:
    """Least and largest value of each column, (K,) each; there must be rows.

    >>> [end.tolist() for end in ends(np.array([[1.0, -5.0], [-2.0, 3.0]]))]
    [[-2.0, -5.0], [1.0, 3.0]]
    """
    blocks, rest = _blocks(x)
    low, high = [rest], [rest]
    if len(blocks):
        # Of a tall array numpy compares row by row; as a wide one it is ten times as fast.
        wide = blocks.reshape(len(blocks), _BLOCK * x.shape[1])
        low.append(wide.min(axis=0).reshape(_BLOCK, -1))
        high.append(wide.max(axis=0).reshape(_BLOCK, -1))
    return np.concatenate(low).min(axis=0), np.concatenate(high).max(axis=0)


def peaks(x: Array) -> Array:
    """Largest absolute value of each column, (K,).

    >>> peaks(np.array([[1.0, -5.0], [-2.0, 3.0]])).tolist()
    [2.0, 5.0]
    """
    low, high = ends(x)
    return np.maximum(high, -low)


def rescaled(x: Array, middle: Array, spread: Array, out: Array | None = None) -> Array:
    """``(x - middle) / spread`` by column, into `out` if it is given, (R, K).

    >>> rescaled(np.array([[1.0, 2.0], [3.0, 6.0]]), np.array([2.0, 4.0]), np.ones(2)).tolist()
    [[-1.0, -2.0], [1.0, 2.0]]
    """
    found = np.empty(x.shape) if out is None else out
    (blocks, rest), (into, last) = _blocks(x), _blocks(found)
    # As wide arrays: numpy's loops over a few columns cost more than what they do.
    wide = blocks.reshape(len(blocks), _BLOCK * x.shape[1])
    moved = into.reshape(wide.shape)
    np.subtract(wide, np.tile(middle, _BLOCK), out=moved)
    np.divide(moved, np.tile(spread, _BLOCK), out=moved)
    np.divide(rest - middle, spread, out=last)
    return found


def triangle(x: Array) -> Array:
    """R of the QR factors of many rows, up to signs: it has their rank and lengths.

    >>> np.abs(triangle(np.array([[3.0], [4.0]]))).round(12).tolist()
    [[5.0]]
    """
    rows = max(_BLOCK, 8 * x.shape[1])
    while len(x) > 2 * rows:
        blocks, rest = _blocks(x, rows)
        corners = np.asarray(np.linalg.qr(blocks, mode="r"), np.float64)
        x = np.concatenate([corners.reshape(-1, x.shape[1]), rest])
    return np.asarray(np.linalg.qr(x, mode="r"), np.float64)


def codes(frame: pd.DataFrame, keys: Sequence[str]) -> tuple[Codes, Codes]:
    """Group of each row, 0 to G - 1, and a row of each group.

    >>> import pandas as pd
    >>> found, place = codes(pd.DataFrame({"a": [5, 5, 2, 5], "b": list("xyxx")}), ["a", "b"])
    >>> found.tolist(), place.tolist()
    ([1, 2, 0, 1], [2, 3, 1])
    """
    code, place = np.zeros(len(frame), np.intp), np.zeros(min(1, len(frame)), np.intp)
    size = 1  # numbers that `code` may have
    for key in keys:
        own, levels = _levels(frame[key])
        if size * levels > TABLE:
            # The product of many levels would not fit: only those that occur count.
            code, place = _renumbered(code, size)
            size = len(place)
        code, size = code * levels + own if levels > 1 else code, size * levels
    code, place = _renumbered(code, size) if size > 1 else (code, place)
    if len(place) == len(code):
        rows = np.arange(len(code))  # nothing is merged: the order of the data is kept
        return rows, rows
    return code, place


def named_codes(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[Codes, Codes]:
    """`codes` of columns that hold names: of cases, respondents, clusters.

    Raises
    ------
    DesignError
        For floats that no longer tell names apart: from 2^53 on they hold only every other whole
        number, as where one file of many read its ids with a gap.

    Examples
    --------
    >>> import pandas as pd
    >>> named_codes(pd.DataFrame({"id": ["b", "a", "b"]}), ["id"])[0].tolist()
    [0, 1, 0]
    """
    for column in columns:
        values = frame[column]
        if values.dtype.kind == "f" and (np.abs(values.to_numpy(np.float64)) >= EXACT).any():
            raise DesignError(
                f"column {column!r} names rows by floats beyond 2^53, which merge neighbouring "
                "numbers: read it as text or as whole numbers (missing values make floats of them)"
            )
    return codes(frame, columns)


def _levels(column: pd.Series[Any]) -> tuple[Codes, int]:
    """A number for each value, below the second part of the answer."""
    import pandas as pd

    if column.dtype.kind in "iu" and len(column):
        values = column.to_numpy()
        low, high = int(values.min()), int(values.max())
        if high - low < TABLE:
            return values.astype(np.intp) - low, high - low + 1
    own, levels = pd.factorize(column)
    return own, len(levels)


def _renumbered(code: Codes, size: int) -> tuple[Codes, Codes]:
    """Codes 0 to G - 1 in the same order, and a row of each."""
    import pandas as pd

    if size > TABLE:
        code, numbers = pd.factorize(code, sort=True)
        size = len(numbers)
    place = np.full(size, -1)
    place[code] = np.arange(len(code))
    present = place >= 0
    rank = np.cumsum(present) - 1
    return rank[code], place[present]
