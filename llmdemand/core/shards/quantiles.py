"""Quantiles of a column that need not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.core.shards.part import Part
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import map_merge

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["quantiles"]

_DIGIT = 16  # bits that a pass over the parts settles, of 64


def quantiles(
    parts: Sequence[Part],
    columns: Sequence[str],
    values: Callable[[pd.DataFrame], pd.Series[float]],
    q: Sequence[float],
    executor: Executor = None,
) -> list[float]:
    """Exact quantiles, interpolated linearly as pandas does; NaN where there is no value.

    Parameters
    ----------
    parts : sequence of Part
        Of one panel.
    columns : sequence of str
        What is read of them, once for every quarter of a number's bits.
    values : callable
        Of such a frame, the values: not negative; missing ones are left out.
    q : sequence of float
        In [0, 1].
    executor
        See `llmdemand.scale.merging.map_merge`.

    Notes
    -----
    Numbers that are not negative are in the order of their bits. Each pass counts the values by
    their next digit, within the beginnings that hold a wanted rank: a radix selection.
    """
    add = lambda a, b: a.add(b, fill_value=0)  # noqa: E731
    starts: list[int] = []
    ranks: list[int] = []
    for digit in range(64 // _DIGIT):
        task = _Digits(tuple(columns), values, 64 - _DIGIT * (digit + 1), tuple(set(starts)))
        found = map_merge(task, parts, executor, merge=add).sort_index()
        keys, counts = found.index.to_numpy(np.uint64), found.to_numpy(np.int64)
        if not digit:
            n = int(counts.sum())
            if not n:
                return [float("nan")] * len(q)
            places = [p * (n - 1) for p in q]
            ranks = [int(f(p)) for p in places for f in (np.floor, np.ceil)]
            starts = [0] * len(ranks)
        for k, (start, rank) in enumerate(zip(starts, ranks, strict=True)):
            inside = np.flatnonzero(keys >> np.uint64(_DIGIT) == start)
            upto = np.cumsum(counts[inside])
            at = int(np.searchsorted(upto, rank, side="right"))
            starts[k], ranks[k] = int(keys[inside[at]]), rank - int(upto[at] - counts[inside[at]])
    ends = np.array(starts, np.uint64).view(np.float64).reshape(-1, 2)
    return [float(a + (b - a) * (p % 1)) for (a, b), p in zip(ends, places, strict=True)]


@dataclass(frozen=True)
class _Digits:
    """Counts of values by their bits down to one, within some beginnings."""

    columns: tuple[str, ...]
    values: Callable[[Any], Any]
    shift: int
    starts: tuple[int, ...]

    def __call__(self, part: Part) -> pd.Series[int]:
        import pandas as pd

        known = self.values(part.frame(self.columns)).dropna().to_numpy(np.float64)
        # Minus nothing is nothing; its bits are not.
        bits: NDArray[np.uint64] = (known + 0.0).view(np.uint64) >> np.uint64(self.shift)
        if self.starts:
            kept = np.isin(bits >> np.uint64(_DIGIT), np.array(self.starts, np.uint64))
            bits = bits[kept]
        keys, counts = np.unique(bits, return_counts=True)
        return pd.Series(counts, pd.Index(keys, dtype="uint64"))
