"""Runs as choice situations: a row for each alternative, in memory or part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.modeling.outcomes.frames import READ, Outcomes, Reading, Studied, market_frame
from llmdemand.modeling.outcomes.shards import SHARE, Market, Runs
from llmdemand.modeling.sample.columns import table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LongMarket", "long_market", "long_rows", "wide_market"]


def long_rows(panel: Studied, frame: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """Rows with the share of each alternative as rows of alternatives: see `market_frame`."""
    shares = frame[[f"{SHARE}{a}" for a in panel.study.menu.ids]].to_numpy(np.float64)
    read = frame[READ].to_numpy(np.float64) if READ in frame.columns else np.ones(len(frame))
    return market_frame(panel, Outcomes(frame, shares, shares, read, reading))


@dataclass(frozen=True)
class _LongRuns:
    """The choice situations of a part, made where they are needed."""

    runs: Runs
    reading: Reading
    kept: tuple[str, ...]

    @property
    def first(self) -> int:
        """Number of its first run in all."""
        return self.runs.first

    def frames(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """See `llmdemand.modeling.sample.columns.Frames`."""
        for frame in self.runs.frames(self.kept):
            yield long_rows(self.runs.asked, frame, self.reading)[list(columns)]


@dataclass(frozen=True)
class LongMarket:
    """Choice situations of all parts, as a table that is read part by part.

    Attributes
    ----------
    shards, columns
        See `llmdemand.modeling.sample.columns.Sharded`.
    apart : bool
        Each case is in one part: a run is one.
    """

    shards: tuple[Any, ...]
    columns: tuple[str, ...]
    apart: bool = True


def long_market(shards: Sequence[Runs], reading: Reading, kept: Sequence[str]) -> LongMarket:
    """The choice situations of runs in files; `kept` are the columns of runs that are read."""
    found = tuple(_LongRuns(runs, reading, tuple(kept)) for runs in shards)
    some = next(f for f in (table(_One((runs,), tuple(kept)), kept) for runs in shards) if len(f))
    return LongMarket(found, tuple(map(str, long_rows(shards[0].asked, some[:1], reading))))


@dataclass(frozen=True)
class _One:
    shards: tuple[Runs, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class _WideRuns:
    """Runs of a part, whose shares are named as the alternatives are."""

    runs: Runs
    shares: dict[str, str]

    @property
    def first(self) -> int:
        """Number of its first run in all."""
        return self.runs.first

    def frames(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """See `llmdemand.modeling.sample.columns.Frames`."""
        for frame in self.runs.frames([self.shares.get(c, c) for c in columns]):
            yield frame.set_axis(list(columns), axis=1)


@dataclass(frozen=True)
class _WideMarket:
    shards: tuple[_WideRuns, ...]
    columns: tuple[str, ...]


def wide_market(rows: Market, alternatives: Sequence[str]) -> _WideMarket:
    """Runs in files, with a column of each alternative's share by its name."""
    shares = {a: f"{SHARE}{a}" for a in alternatives}
    others = (c for c in rows.columns if c not in shares and c not in shares.values())
    return _WideMarket(tuple(_WideRuns(r, shares) for r in rows.shards), (*others, *shares))
