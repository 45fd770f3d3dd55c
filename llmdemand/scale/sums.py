"""Results that add: sums by name, and moments by key, whatever the shards they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments", "Sums"]

Array = NDArray[np.float64]


class Sums(Mapping[str, Any]):
    """Named parts of a result, each of which adds: numbers, sets, tables by their labels.

    A label that one side lacks counts as zero there; labels are then in their order. Parts may
    be sums themselves.

    Examples
    --------
    >>> found = Sums(runs=2, seen={"a"}) + Sums(runs=3, seen={"b"})
    >>> found["runs"], sorted(found["seen"])
    (5, ['a', 'b'])
    """

    def __init__(self, **parts: Any) -> None:
        self._parts = parts

    def __getitem__(self, name: str) -> Any:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __add__(self, other: Sums) -> Sums:
        return Sums(**{name: _plus(part, other[name]) for name, part in self.items()})


def _plus(a: Any, b: Any) -> Any:
    if isinstance(a, set | frozenset):
        return a | b
    if not hasattr(a, "iloc"):
        return a + b
    import pandas as pd

    # An empty table's labels have no type of their own.
    if a.empty or b.empty:
        return b if a.empty else a
    names = a.index.names
    found = pd.concat([a, b]).groupby(level=list(range(a.index.nlevels))).sum()
    return found.rename_axis(index=names)


@dataclass(frozen=True)
class Moments:
    """Counts, sums and products of deviations of K columns, by key; in any division the same.

    Attributes
    ----------
    keys : (C,) array
        Rising.
    n : (C,) array
        Rows.
    total : (C, K) array
        Sums.
    first, mean : (C, K) arrays
        A row of each key, and the mean less that row: equal values vary by zero, not by rounding.
    products : (C, K, K) array
        Sums of products of deviations from the mean.

    Notes
    -----
    Two parts are joined by the difference of their means (Chan, Golub & LeVeque 1983): sums of
    squares would lose the digits in which large values differ.

    Examples
    --------
    >>> one = Moments.of(np.array([7, 7, 8]), np.array([[1.0], [2.0], [5.0]]))
    >>> two = Moments.of(np.array([7]), np.array([[6.0]]))
    >>> (one + two).n.tolist(), (one + two).products.ravel().tolist()
    ([3.0, 1.0], [14.0, 0.0])
    """

    keys: NDArray[Any]
    n: Array
    total: Array
    first: Array
    mean: Array
    products: Array

    @classmethod
    def of(cls, keys: NDArray[Any], values: Array) -> Moments:
        """Those of N rows: keys (N,), values (N, K)."""
        found, at, code = np.unique(keys, return_index=True, return_inverse=True)
        c, k = len(found), values.shape[1]

        def added(column: Array) -> Array:
            return np.asarray(np.bincount(code, column, minlength=c), np.float64)

        n = np.bincount(code, minlength=c).astype(float)
        first = values[at]
        apart = values - first[code]
        mean = np.column_stack([added(x) for x in apart.T]).reshape(c, k) / n[:, None]
        apart = apart - mean[code]
        products = np.empty((c, k, k))
        for i in range(k):
            for j in range(i + 1):
                products[:, i, j] = products[:, j, i] = added(apart[:, i] * apart[:, j])
        total = np.column_stack([added(x) for x in values.T]).reshape(c, k)
        return cls(found, n, total, first, mean, products)

    def __add__(self, other: Moments) -> Moments:
        keys = np.union1d(self.keys, other.keys) if len(self.keys) else other.keys
        keys = keys if len(other.keys) else self.keys
        a, b = self._at(keys), other._at(keys)
        # A key that one side lacks has the other's first row, and no distance from it.
        first = np.where((a.n > 0)[:, None], a.first, b.first)
        both = ((a.n > 0) & (b.n > 0))[:, None]
        apart = np.where(both, (b.first - a.first) + (b.mean - a.mean), 0.0)
        n = a.n + b.n
        mean = np.where((a.n > 0)[:, None], a.mean + apart * (b.n / n)[:, None], b.mean)
        between = apart[:, :, None] * apart[:, None, :] * (a.n * b.n / n)[:, None, None]
        products = a.products + b.products + between
        return Moments(keys, n, a.total + b.total, first, mean, products)

    def _at(self, keys: NDArray[Any]) -> Moments:
        """With zeros at the keys that it lacks."""
        place = np.searchsorted(keys, self.keys)

        def put(values: Array) -> Array:
            found = np.zeros((len(keys), *values.shape[1:]))
            found[place] = values
            return found

        parts = (self.n, self.total, self.first, self.mean, self.products)
        return Moments(keys, *(put(part) for part in parts))
