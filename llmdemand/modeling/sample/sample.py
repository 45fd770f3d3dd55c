"""From rows to groups of equal rows, chunk by chunk: what a fit needs of a large sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose, nearest
from llmdemand.modeling.arrays import TABLE, Array, codes, sums, xlogx
from llmdemand.modeling.sample.columns import (
    Data,
    chunks,
    column_names,
    opened,
    plain,
    sharded,
    stacked,
)
from llmdemand.modeling.sample.formula import evaluate
from llmdemand.modeling.sample.tally import Tally
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import mapped

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NA",
    "Data",
    "Sample",
    "TooDifferent",
    "WeightsType",
    "chunks",
    "codes",
    "column_names",
    "complete",
    "grouped",
    "in_unit_interval",
    "plain",
    "require",
    "used_levels",
    "weighed",
]

NA = Literal["raise", "drop"]
WeightsType = Literal["frequency", "sampling"]

_CHUNK = 1 << 20  # groups that are kept apart
_ROUNDING = 1e-9  # of sums of probabilities


class TooDifferent(DesignError):
    """Rows in files of which too many differ from all others to be held as groups."""


@dataclass(frozen=True)
class Sample:
    """Groups of rows that are equal in all that a model reads but the outcome.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per group: the variables, clusters and sampling weight that define it.
    count : (M,) array
        Rows in each group, frequency weights summed.
    mean, within : (M,) arrays
        Mean outcome, and sum of squared deviations from it.
    weight : (M,) array
        Sampling weight of each observation in the group.
    entropy : (M,) array
        Sum of the outcomes' ``y log y + (1 - y) log(1 - y)``.
    nobs : float
        Observations.
    dropped : int
        Rows left out because a value was missing.
    """

    frame: pd.DataFrame
    count: Array
    mean: Array
    within: Array
    weight: Array
    entropy: Array
    nobs: float
    dropped: int


def require(columns: Iterable[str | None], known: list[str], role: str) -> None:
    """Raise for a column that the data do not have."""
    for column in columns:
        if column is not None and not isinstance(column, str):
            raise UsageError(
                f"{type(column).__name__} {role}: give the name of a column of the data"
            )
        if column is not None and column not in known:
            raise DesignError(f"no column {column!r} {role}{nearest(column, known)}")


def grouped(
    data: Data,
    outcome: str | None,
    keys: Sequence[str],
    *,
    outcome_columns: Sequence[str] = (),
    weights: str | None = None,
    weights_type: WeightsType = "frequency",
    na: NA = "raise",
    bounded: bool = True,
    most: int | None = None,
    executor: Executor = None,
) -> Sample:
    """Group rows that are equal in `keys`.

    Parameters
    ----------
    data : table or path
        Rows of pandas, polars or pyarrow, or parquet files, which are read a million rows at
        a time.
    outcome : str, optional
        Column or expression; without one the groups are only counted.
    keys : sequence of str
        Columns that define a group.
    outcome_columns : sequence of str
        Columns that the outcome reads.
    weights : str, optional
        Column of weights: numbers of equal rows (``frequency``), or inverse
        probabilities of being sampled (``sampling``), which enter robust variances
        squared.
    na : str
        ``raise`` or ``drop``, for rows with a missing value; they are counted.
    bounded : bool
        Require outcomes in [0, 1].
    most : int, optional
        Groups of rows in files that are held.
    executor : None, int, str or dask.distributed.Client
        Who reads the pieces of files: see `llmdemand.scale.merging.map_merge`. Of a table in
        memory this process does all.

    Raises
    ------
    TooDifferent
        For more groups than `most`.
    DesignError
        No rows; missing values under ``raise``; infinite values; weights that are negative,
        missing or all zero; outcomes outside [0, 1].

    Notes
    -----
    Means and scatter of chunks are merged by the pairwise update of Chan, Golub &
    LeVeque (1983): exact to rounding, at any number of rows. Pieces of files are merged in their
    order, whoever is done first: no bit depends on the executor.
    """
    choose(na, NA, "na")
    choose(weights_type, WeightsType, "weights_type")
    import pandas as pd

    by_weight = [weights] if weights is not None and weights_type == "sampling" else []
    defining = list(dict.fromkeys([*keys, *by_weight]))
    extra = [weights] if weights is not None else []
    read = list(dict.fromkeys([*defining, *outcome_columns, *extra]))
    data, dropped = opened(data), 0
    parts: list[_Groups] = []
    whole = not sharded(data) or isinstance(data, pd.DataFrame)
    most = None if whole else most
    grouping = _Grouping(
        outcome, tuple(defining), tuple(read), weights, weights_type, na, bounded, most
    )
    if not whole and hasattr(data, "require"):
        data.require(read)
    for some, lost in mapped(
        grouping, [data] if whole else data.shards, None if whole else executor
    ):
        dropped += lost
        parts = _joined(parts, some, defining)
        parts = parts if most is None else _held(parts, defining, most)
    if not parts:
        left = f" ({dropped} left out for missing values)" if dropped else ""
        raise DesignError(f"no rows to fit: every run was left out or there were none{left}")
    merged = _merge(parts, defining)
    weight = np.ones(len(merged.frame))
    if by_weight:
        weight = merged.frame[weights].to_numpy(np.float64)
    if not (merged.count * weight).sum() > 0:
        raise DesignError(f"weights {weights!r} are all zero: nothing is left to fit")
    counted = (merged.count > 0) & (weight > 0)
    used = slice(None) if counted.all() else counted
    return Sample(
        used_levels(merged.frame[used].reset_index(drop=True)),
        merged.count[used],
        merged.mean[used],
        merged.within[used],
        weight[used],
        merged.entropy[used],
        float(merged.count[used].sum()),
        dropped,
    )


def used_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without categories that no row has: they would make empty dummies."""
    import pandas as pd

    for column in frame.columns:
        if isinstance(frame[column].dtype, pd.CategoricalDtype):
            frame = frame.assign(**{str(column): frame[column].cat.remove_unused_categories()})
    return frame


@dataclass(frozen=True)
class _Groups:
    frame: pd.DataFrame
    count: Array
    mean: Array
    within: Array
    entropy: Array


@dataclass(frozen=True)
class _Grouping:
    """From a shard to its groups, and the rows that were left out; see `grouped`."""

    outcome: str | None
    keys: tuple[str, ...]
    read: tuple[str, ...]
    weights: str | None
    weights_type: WeightsType
    na: NA
    bounded: bool
    most: int | None = None

    def __call__(self, shard: Data) -> tuple[list[_Groups], int]:
        parts: list[_Groups] = []
        first, dropped, seen = getattr(shard, "first", 0), 0, 0
        tally = Tally(self.keys, TABLE)
        for chunk in chunks(shard, self.read):
            kept = complete(chunk, self.na, first + seen)
            seen, dropped = seen + len(chunk), dropped + len(chunk) - len(kept)
            if len(kept):
                y, one = weighed(kept, self.outcome, self.weights, self.weights_type, self.bounded)
                # A small sample keeps the order of its rows where no two are equal.
                if seen >= _CHUNK and self.keys and tally.add(kept, y, one):
                    continue
                parts = _joined(parts, [_group(kept[list(self.keys)], y, one)], self.keys)
                if self.most is not None:
                    parts = _held(parts, self.keys, self.most)
        if tally:
            frame, count, ones = tally.groups()
            mean = ones / count
            counted = _Groups(frame, count, mean, ones * (1 - mean), np.zeros(len(count)))
            parts.insert(0, counted)
        return parts, dropped


def _held(parts: list[_Groups], keys: Sequence[str], most: int) -> list[_Groups]:
    """The parts, if they are no more groups than can be held."""
    if sum(len(p.frame) for p in parts) <= most:
        return parts
    parts = [_merge(parts, keys)]
    if len(parts[0].frame) > most:
        raise TooDifferent(
            f"more than {most:,} groups of equal rows: what differs in every row does not "
            "compress; leave it out, or fit a sample of the rows"
        )
    return parts


def _joined(parts: list[_Groups], more: list[_Groups], keys: Sequence[str]) -> list[_Groups]:
    """All parts, merged early where they are many: memory holds groups, not rows."""
    parts = [*parts, *more]
    if parts and sum(len(p.frame) for p in parts[1:]) > max(_CHUNK, len(parts[0].frame)):
        return [_merge(parts, keys)]
    return parts


def complete(chunk: pd.DataFrame, na: NA, first: int) -> pd.DataFrame:
    """The rows without missing values; `first` is the number of the first row, for messages."""
    for column in chunk.columns:
        if chunk[column].dtype.kind != "f":
            continue
        infinite = np.isinf(chunk[column].to_numpy(np.float64, na_value=np.nan))
        if infinite.any():
            row = first + int(np.flatnonzero(infinite)[0])
            raise DesignError(
                f"column {column!r} is infinite in row {row}: values must be finite, mend it first"
            )
    bad, holed = np.zeros(len(chunk), bool), []
    for column in chunk.columns:
        missing = chunk[column].isna().to_numpy()
        if missing.any():
            bad |= missing
            holed.append(repr(str(column)))
    if not holed:
        return chunk
    if na == "raise":
        columns = ", ".join(holed)
        raise DesignError(
            f"{int(bad.sum())} rows have missing values in {columns} (the first is row "
            f"{first + int(np.flatnonzero(bad)[0])}): mend them, or leave them out with na='drop'"
        )
    return plain(chunk[~bad])  # without missing values nullable numbers are plain ones


def weighed(
    chunk: pd.DataFrame,
    outcome: str | None,
    weights: str | None,
    weights_type: WeightsType,
    bounded: bool,
) -> tuple[Array, Array | None]:
    """Outcomes, and how often each is counted; None for once."""
    y = np.zeros(len(chunk)) if outcome is None else evaluate(outcome, chunk)
    if bounded:
        y = in_unit_interval(y)
    one = None
    if weights is not None:
        if chunk[weights].dtype.kind not in "fiub":
            raise DesignError(f"weights {weights!r} hold {chunk[weights].dtype}, not numbers")
        w = chunk[weights].to_numpy(np.float64)
        if (w < 0).any():
            raise DesignError(f"weights {weights!r} are negative ({w.min():g}): give weights >= 0")
        if weights_type == "frequency" and (w % 1 != 0).any():
            raise DesignError(
                f"frequency weights {weights!r} count rows, but {w[w % 1 != 0][0]:g} is no whole "
                "number: for inverse sampling probabilities give weights_type='sampling'"
            )
        one = w if weights_type == "frequency" else one
    return y, one


def _group(frame: pd.DataFrame, y: Array, one: Array | None) -> _Groups:
    code, place = codes(frame, list(frame.columns))
    groups = len(place)
    one = np.ones(len(y)) if one is None else one
    count = sums(code, one, groups)
    mean = sums(code, one * y, groups) / np.where(count > 0, count, 1)
    within = sums(code, one * (y - mean[code]) ** 2, groups)
    entropy = np.zeros(groups)
    if ((y > 0) & (y < 1)).any():
        entropy = sums(code, one * (xlogx(y) + xlogx(1 - y)), groups)
    return _Groups(frame.iloc[place].reset_index(drop=True), count, mean, within, entropy)


def in_unit_interval(y: Array) -> Array:
    """Outcomes in [0, 1]; sums of probabilities that exceed it by rounding are put on the bound.

    Raises
    ------
    DesignError
        For values outside by more than 1e-9.
    """
    low, high = y.min(), y.max()
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise DesignError(f"outcomes must lie in [0, 1], found {low:.12g} to {high:.12g}")
    return y if low >= 0 and high <= 1 else np.clip(y, 0.0, 1.0)


def _merge(parts: list[_Groups], keys: Sequence[str]) -> _Groups:
    if len(parts) == 1:
        return parts[0]
    frame = stacked([p.frame for p in parts])
    count, mean, within, entropy = (
        np.concatenate([getattr(p, name) for p in parts])
        for name in ("count", "mean", "within", "entropy")
    )
    code, place = codes(frame, keys)
    groups = len(place)
    n = sums(code, count, groups)
    middle = sums(code, count * mean, groups) / np.where(n > 0, n, 1)
    scatter = sums(code, within + count * (mean - middle[code]) ** 2, groups)
    whole = frame.iloc[place].reset_index(drop=True)
    return _Groups(whole, n, middle, scatter, sums(code, entropy, groups))
