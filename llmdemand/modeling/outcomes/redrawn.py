"""Corrected beliefs of stopped answers, learnt anew in every draw of runs from a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.outcomes.corrected import Readings, indicators
from llmdemand.modeling.outcomes.stopped import STAYS, first_and_weight

__all__ = ["Redrawn"]


@dataclass(frozen=True)
class Redrawn:
    """Runs by cell, and sums of their corrected beliefs over draws.

    Attributes
    ----------
    vector : (2 + A, C, R) array
        ``v = (w F_a, w r, z_1, ..., z_A)`` with ``z_k = b_k - w 1{P = k}``, w the weight of a
        whole answer; zero where there is no run.
    told : (3, A, C, R) array
        ``w 1{P = k}``, and that of those which end with the alternative, and with any.
    counts : (3, C, R) array
        Whether a run enters, was stopped, and is a whole one that others can learn from.
    focal : int
        The alternative.

    Notes
    -----
    What is learnt of one half of the runs (`stopped.augmented`) is what a panel of just these runs
    would tell: with few of them it is noisy, and that noise is part of what they measure. As b~
    is linear in it, ``b~ = v'(1, 0, q_a)`` and ``r = v'(0, 1, sum_a q_a)``, sums of v and of
    v v' by half of a cell are all that any draw needs.
    """

    vector: Array
    told: Array
    counts: Array
    focal: int

    @classmethod
    def of(
        cls, readings: Readings, focal: int, cell: Codes, place: Codes, known: NDArray[np.bool_]
    ) -> Redrawn:
        """The runs of a panel.

        Parameters
        ----------
        readings : Readings
            N runs, some of them stopped.
        focal : int
            The alternative whose demand it is.
        cell, place : (N,) int arrays
            The cell of each run, from 0, and its place there.
        known : (N,) bool array
            Whether a run enters.
        """
        size, stopped = readings.belief.shape[1], readings.stopped
        assert stopped is not None
        first, weight = first_and_weight(readings)
        final, pivot = readings.choices, indicators(readings.pivot, size)
        reader = indicators(readings.final, size)
        told = weight[:, None] * pivot
        vector = [weight * final[:, focal], weight * final.sum(axis=1), *(first - told).T]
        ends = [told, told * reader[:, focal, None], told * reader.sum(axis=1)[:, None]]
        counts = [known, stopped, ~stopped & (readings.pivot >= 0)]

        def placed(columns: Sequence[Array | NDArray[np.bool_]]) -> Array:
            shape = int(cell.max()) + 1, int(place.max()) + 1
            array = np.zeros((len(columns), *shape))
            array[:, cell, place] = np.array(columns, np.float64)
            return array

        return cls(placed(vector), np.stack([placed(e.T) for e in ends]), placed(counts), focal)

    def sums(self, order: Codes, last: Codes, *, squares: bool = True) -> list[Array]:
        """Sums by cell over the first runs of an order, for several numbers of them.

        Parameters
        ----------
        order : (B, C, N) int array
            Places of the runs, by draw and cell, as many as are drawn.
        last : (T,) int array
            Places in the order of the last runs that are drawn.
        squares : bool
            Whether sums of squares are asked for, which take most of the time.

        Returns
        -------
        list of (B, C, T) arrays
            Of ``r, b~`` and, with squares, of ``b~^2, 1, b~ r, r^2``. All are zero in draws of
            which one half has stopped answers and the other one none to learn from.
        """
        _, cells, runs = order.shape
        # As panels are cut: in turn within a cell, every other one begins with the other half.
        half = (np.arange(runs) + np.arange(cells)[:, None]) % 2

        def drawn(values: Array) -> Array:
            ordered = np.take_along_axis(values[None], order, axis=2)
            every = ordered.cumsum(axis=2)[:, :, last]
            second = (ordered * half).cumsum(axis=2)[:, :, last]
            return np.stack([every - second, second])  # (2, B, C, T)

        known, stopped, source = (drawn(c) for c in self.counts)
        total = [drawn(v) for v in self.vector]
        one, none = np.ones_like(known), np.zeros_like(known)
        q, some = self._learnt([[drawn(c)[::-1] for c in part] for part in self.told])
        y, r = [one, none, *q], [none, one, *some]  # what each element of v is multiplied by
        found = [_dot(r, total), _dot(y, total)]
        if squares:
            cross = [
                [drawn(a * b) for b in self.vector[: i + 1]] for i, a in enumerate(self.vector)
            ]
            found += [_form(y, y, cross), known, _form(y, r, cross), _form(r, r, cross)]
        # (B, 1, T): over all cells, as is refused of a panel.
        lost = (stopped.sum(axis=2) > 0) & (source[::-1].sum(axis=2) == 0)
        kept = ~lost.any(axis=0)[:, None]
        return [part.sum(axis=0) * kept for part in found]

    def _learnt(self, told: list[list[Array]]) -> list[list[Array]]:
        """``q_a`` and ``sum_a q_a`` by pivot, as `stopped.augmented` learns them."""
        seen, *ends = told
        found: list[list[Array]] = []
        for place, end in enumerate(ends):
            found.append([])
            for k, (n, total) in enumerate(zip(seen, end, strict=True)):
                keeps = STAYS if place or k == self.focal else 0.0
                whole = total.sum(axis=2, keepdims=True) + keeps
                base = whole / (n.sum(axis=2, keepdims=True) + STAYS)
                found[-1].append((total + STAYS * base) / (n + STAYS))
        return found


def _dot(factors: Sequence[Array], values: Sequence[Array]) -> Array:
    """Sum of products."""
    return np.asarray(sum(f * v for f, v in zip(factors, values, strict=True)))


def _form(left: Sequence[Array], right: Sequence[Array], cross: Sequence[Sequence[Array]]) -> Array:
    """``left' M right`` of the symmetric M whose lower half is given."""
    rows = (
        _dot(right, [cross[max(i, j)][min(i, j)] for j in range(len(cross))])
        for i in range(len(cross))
    )
    return np.asarray(sum(f * row for f, row in zip(left, rows, strict=True)))
