"""Choice sets: what is summed, compared and repeated within them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.modeling.arrays import Array, Codes

__all__ = ["ChoiceSets"]

_WIDE = 32  # alternatives: beyond, a loop over them costs more than it saves


@dataclass(frozen=True)
class ChoiceSets:
    """N runs of neighbouring rows out of R: the alternatives of a case, or those of a nest.

    Values have R rows along one axis, the first unless said otherwise. Sums, spreads, shares
    and log-sums let complex numbers pass, as derivatives by complex steps need.

    Attributes
    ----------
    start : (N,) int array
        First row of each set.
    rows : int
        R, the rows of all.

    Notes
    -----
    All is done alternative by alternative, the first of every set, then the second of every
    set that has one: several times as fast as ``reduceat``, which does sets of more than 32.

    Examples
    --------
    >>> sets = ChoiceSets(np.array([0, 2]), 5)
    >>> sets.sum(np.arange(5.0)).tolist(), sets.max(np.arange(5.0)).tolist()
    ([1.0, 9.0], [1.0, 4.0])
    >>> sets.spread(np.array([7.0, 8.0])).tolist()
    [7.0, 7.0, 8.0, 8.0, 8.0]
    """

    start: Codes
    rows: int

    @cached_property
    def sizes(self) -> Codes:
        """Rows of each set, (N,)."""
        return np.diff(self.start, append=self.rows)

    @cached_property
    def balanced(self) -> int | None:
        """J, the rows of every set, or None where sets differ."""
        n = len(self.start)
        if not n or self.rows % n or (self.sizes != self.rows // n).any():
            return None
        return self.rows // n

    @cached_property
    def case(self) -> Codes:
        """Set of each row, (R,)."""
        return np.repeat(np.arange(len(self.start)), self.sizes)

    @cached_property
    def _by_size(self) -> tuple[Codes, list[int]]:
        """The sets from the largest to the smallest; how many have a k-th row."""
        order = np.argsort(-self.sizes, kind="stable")
        least = np.bincount(self.sizes)[::-1].cumsum()[::-1]
        return order, least[1:].tolist()

    def pieces(self, rows: int) -> list[tuple[slice, ChoiceSets]]:
        """Neighbouring sets of about so many rows, and where their rows are."""
        if rows not in self._pieces:
            at = np.searchsorted(self.start, np.arange(rows, self.rows, rows))
            first = np.unique(np.concatenate([[0], at[at < len(self.start)]]))
            ends = [*first[1:], len(self.start)]
            begins = [*self.start[first], self.rows]
            self._pieces[rows] = [
                (slice(b, e), ChoiceSets(self.start[i:j] - b, int(e - b)))
                for i, j, b, e in zip(first, ends, begins[:-1], begins[1:], strict=True)
            ]
        return self._pieces[rows]

    @cached_property
    def _pieces(self) -> dict[int, list[tuple[slice, ChoiceSets]]]:
        return {}

    def sum(self, values: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """Sums over each set."""
        return self._fold(np.add, values, axis)

    def weighted(self, weights: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
        """Sums of the values (R, K) times the weights (R,) of their rows, (N, K)."""
        if not self.balanced:
            from scipy.sparse import csr_array

            ends = np.append(self.start, self.rows)
            rows = np.arange(self.rows)
            matrix = csr_array((weights, rows, ends), shape=(len(self.start), self.rows))
            return np.asarray(matrix @ values)
        cube = values.reshape(len(self.start), self.balanced, -1)
        return np.asarray(np.einsum("nj,njk->nk", weights.reshape(cube.shape[:2]), cube))

    def less(self, values: NDArray[Any], middle: NDArray[Any]) -> NDArray[Any]:
        """Values (R, K) less what their set has in the middle, (N, K)."""
        found = self.spread(middle)
        return np.asarray(np.subtract(values, found, out=found))

    def max(self, values: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """The largest value of each set."""
        return self._fold(np.maximum, values, axis)

    def min(self, values: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """The smallest value of each set."""
        return self._fold(np.minimum, values, axis)

    def spread(self, values: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """A value of each set repeated for its rows."""
        if self.balanced:
            return np.repeat(values, self.balanced, axis=axis)
        return np.take(values, self.case, axis=axis)

    def log_sums(self, eta: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """``log sum exp`` of the utilities of each set, without overflow.

        >>> ChoiceSets(np.array([0]), 2).log_sums(np.array([1000.0, 1000.0])).round(6).tolist()
        [1000.693147]
        """
        top = self._top(eta, axis)
        return np.asarray(top + np.log(self.sum(np.exp(eta - self.spread(top, axis)), axis)))

    def shares(self, eta: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """Logit probabilities within each set.

        >>> ChoiceSets(np.array([0, 2]), 4).shares(np.array([0.0, 0.0, 1000.0, 0.0])).tolist()
        [0.5, 0.5, 1.0, 0.0]
        """
        e = np.exp(eta - self.spread(self._top(eta, axis), axis))
        return np.asarray(e / self.spread(self.sum(e, axis), axis))

    def _top(self, eta: NDArray[Any], axis: int) -> Array:
        # The largest utility only keeps exp in range: no derivative goes through it.
        return self.max(np.real(eta), axis)

    def _fold(self, fold: np.ufunc, values: NDArray[Any], axis: int) -> NDArray[Any]:
        if not len(self.start) or self.sizes.max() > _WIDE:
            return np.asarray(fold.reduceat(values, self.start, axis=axis))
        size = self.balanced
        if size:
            before, after = values.shape[:axis], values.shape[axis + 1 :]
            cube = values.reshape(*before, len(self.start), size, *after)
            first, *others = np.moveaxis(cube, axis + 1, 0)
            found: NDArray[Any] = first.copy()
            for other in others:
                fold(found, other, out=found)
            return found
        order, counts = self._by_size
        rows, moved = self.start[order], np.moveaxis(values, axis, 0)
        sorted_ = moved[rows]
        for k, count in enumerate(counts[1:], 1):
            fold(sorted_[:count], moved[rows[:count] + k], out=sorted_[:count])
        found = np.empty_like(sorted_)
        found[order] = sorted_
        return np.moveaxis(found, 0, axis)
