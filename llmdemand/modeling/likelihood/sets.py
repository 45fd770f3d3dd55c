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
    Sets of one size are folded alternative by alternative, several times as fast as
    ``reduceat``, which does the others. Sums agree to rounding.

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
        return self.spread(np.arange(len(self.start)))

    def sum(self, values: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """Sums over each set."""
        return self._fold(np.add, values, axis)

    def max(self, values: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """The largest value of each set."""
        return self._fold(np.maximum, values, axis)

    def min(self, values: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """The smallest value of each set."""
        return self._fold(np.minimum, values, axis)

    def spread(self, values: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """A value of each set repeated for its rows."""
        sizes = self.sizes if self.balanced is None else self.balanced
        return np.repeat(values, sizes, axis=axis)

    def log_sums(self, eta: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """``log sum exp`` of the utilities of each set, without overflow.

        >>> ChoiceSets(np.array([0]), 2).log_sums(np.array([1000.0, 1000.0])).round(6).tolist()
        [1000.693147]
        """
        top, e = self._exp(eta, axis)
        return np.asarray(top + np.log(self.sum(e, axis)))

    def shares(self, eta: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """Logit probabilities within each set.

        >>> ChoiceSets(np.array([0, 2]), 4).shares(np.array([0.0, 0.0, 1000.0, 0.0])).tolist()
        [0.5, 0.5, 1.0, 0.0]
        """
        _, e = self._exp(eta, axis)
        return np.asarray(e / self.spread(self.sum(e, axis), axis))

    def _exp(self, eta: NDArray[Any], axis: int) -> tuple[Array, NDArray[Any]]:
        # The largest utility only keeps exp in range: no derivative goes through it.
        top = self.max(np.real(eta), axis)
        return top, np.exp(eta - self.spread(top, axis))

    def _fold(self, fold: np.ufunc, values: NDArray[Any], axis: int) -> NDArray[Any]:
        size = self.balanced
        if not size:
            return np.asarray(fold.reduceat(values, self.start, axis=axis))
        before, after = values.shape[:axis], values.shape[axis + 1 :]
        cube = values.reshape(*before, len(self.start), size, *after)
        if size > _WIDE:
            return np.asarray(fold.reduce(cube, axis=axis + 1))
        first, *others = np.moveaxis(cube, axis + 1, 0)
        found: NDArray[Any] = first.copy()
        for other in others:
            fold(found, other, out=found)
        return found
