"""Counts of 0/1 outcomes by group, kept in one table while rows are read chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.modeling.arrays import Array, Codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Tally"]


class Tally:
    """Rows of each group and those with outcome 1, as long as all groups fit in a table.

    Sums of 0/1 outcomes are exact, so chunks only have to be counted, where means and
    scatters of fractions must be merged with care.

    Parameters
    ----------
    keys : sequence of str
        Columns that define a group.
    most : int
        Groups that a table may have, those without rows included.

    Examples
    --------
    >>> import pandas as pd
    >>> tally = Tally(["a"], 100)
    >>> for a, y in (([3, 5], [0.0, 1.0]), ([2, 5], [1.0, 0.0])):
    ...     _ = tally.add(pd.DataFrame({"a": a}), np.array(y), None)
    >>> frame, count, ones = tally.groups()
    >>> frame["a"].tolist(), count.tolist(), ones.tolist()
    ([2, 3, 5], [1.0, 1.0, 2.0], [1.0, 0.0, 1.0])
    """

    def __init__(self, keys: Sequence[str], most: int) -> None:
        self._keys, self._most = list(keys), most
        self._levels: list[_Levels] = []
        self._counts = np.zeros((0,) * len(keys) + (2,))  # outcomes 0 and 1

    def add(self, chunk: pd.DataFrame, y: Array, weights: Array | None) -> bool:
        """Count a chunk, or leave all as it was and say no.

        Parameters
        ----------
        chunk : pandas.DataFrame
            Rows, without missing values.
        y : (n,) array
            Outcomes.
        weights : (n,) array, optional
            How often each row is counted.
        """
        one = y == 1
        if not (one | (y == 0)).all():
            return False
        columns = [chunk[key] for key in self._keys]
        if any(c.dtype.name == "category" for c in columns):
            return False
        levels = self._levels or [_levels(c, self._most) for c in columns]
        numbered = [own.extended(c) for own, c in zip(levels, columns, strict=True)]
        shape = tuple(own.size for own, _, _ in numbered)
        if np.prod(shape, dtype=float) > self._most:
            return False
        code = np.zeros(len(chunk), np.intp)
        for own, place, _ in numbered:
            code *= own.size
            code += place
        code *= 2
        code += one
        self._levels = [own for own, _, _ in numbered]
        if self._counts.shape[:-1] != shape:
            old, self._counts = self._counts, np.zeros((*shape, 2))
            pairs = zip(numbered, old.shape[:-1], strict=True)
            self._counts[tuple(slice(k, k + n) for (_, _, k), n in pairs)] = old
        np.add.at(self._counts.reshape(-1), code, 1.0 if weights is None else weights)
        return True

    def __bool__(self) -> bool:
        """Whether any rows were counted."""
        return bool(self._levels)

    def groups(self) -> tuple[pd.DataFrame, Array, Array]:
        """The groups that have rows, their numbers of rows, and of rows with outcome 1."""
        import pandas as pd

        zeros, ones = self._counts.reshape(-1, 2).T
        rows = zeros + ones
        held = np.flatnonzero(rows)
        places = np.unravel_index(held, self._counts.shape[:-1])
        named = zip(self._keys, self._levels, places, strict=True)
        frame = pd.DataFrame({key: levels.values(place) for key, levels, place in named})
        return frame, rows[held], ones[held]


@dataclass(frozen=True)
class _Range:
    """Whole numbers, numbered by their distance from the least."""

    low: int
    size: int
    dtype: Any

    def extended(self, column: pd.Series[Any]) -> tuple[_Range, Codes, int]:
        """With these values; their numbers; by how much older numbers have moved."""
        values = column.to_numpy()
        low = min(self.low, int(values.min()))
        high = max(self.low + self.size - 1, int(values.max()))
        return _Range(low, high - low + 1, self.dtype), values.astype(np.intp) - low, self.low - low

    def values(self, numbers: Codes) -> Any:
        return (numbers + self.low).astype(self.dtype)


@dataclass(frozen=True)
class _Listed:
    """Other values, numbered as they come."""

    known: Any

    @property
    def size(self) -> int:
        return len(self.known)

    def extended(self, column: pd.Series[Any]) -> tuple[_Listed, Codes, int]:
        """With these values; their numbers; older numbers never move."""
        import pandas as pd

        own, values = pd.factorize(column)
        place = self.known.get_indexer(values)
        new = place < 0
        place[new] = len(self.known) + np.arange(new.sum())
        return _Listed(self.known.append(values[new])), place[own], 0

    def values(self, numbers: Codes) -> Any:
        return self.known.take(numbers)


_Levels = _Range | _Listed


def _levels(column: pd.Series[Any], most: int) -> _Levels:
    """Without any values yet, but of the kind that suits the first ones."""
    import pandas as pd

    if column.dtype.kind in "iu" and isinstance(column.dtype, np.dtype):
        low, high = int(column.min()), int(column.max())
        if high - low < most and high < 1 << 62:
            return _Range(low, high - low + 1, column.dtype)
    return _Listed(pd.factorize(column.iloc[:0])[1])
