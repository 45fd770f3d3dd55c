"""From a shard to its observations, a part at a time, and what has to be known of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, ends, named_codes, triangle, xlogx
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.sample.columns import Data, chunks, stacked
from llmdemand.modeling.sample.formula import Part, part
from llmdemand.modeling.sample.sample import NA, WeightsType, complete, weighed
from llmdemand.scale.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Columns",
    "Numbered",
    "Parts",
    "Reader",
    "Rows",
    "Survey",
    "cluster_tables",
    "forget",
    "remembered",
    "specimens",
    "surveyed",
]

#: A shard and its place among all, by which workers know what they keep of it.
Numbered = tuple[int, Any]
_KEPT = 1 << 27  # bytes of arrays that each worker keeps from one pass to the next
_SAMPLE = 1 << 12  # rows
_LEVELS = 1000  # of a number, as C(shop) has them; of more only the ends are kept


class Parts(Protocol):
    """What is read of a shard."""

    def parts(self, shard: Data) -> Iterator[tuple[pd.DataFrame, int]]:
        """Rows without gaps, and how many were left out."""


class Reader(Protocol):
    """From a shard to its observations."""

    @property
    def clusters(self) -> tuple[str, ...]:
        """Columns of clusters."""

    def of(self, shard: Numbered) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Observations, a part at a time, and the cluster of each by column."""


@dataclass(frozen=True)
class Columns:
    """What is read of each row.

    Attributes
    ----------
    outcome : str
        Column or expression.
    read : tuple of str
        All columns that are read.
    clusters : tuple of str
        Columns of clusters.
    weights, weights_type, na
        See `llmdemand.modeling.estimation.options.Options`.
    """

    outcome: str
    read: tuple[str, ...]
    clusters: tuple[str, ...]
    weights: str | None
    weights_type: WeightsType
    na: NA

    def parts(self, shard: Data) -> Iterator[tuple[pd.DataFrame, int]]:
        """Rows without gaps, and how many were left out."""
        seen = 0
        for chunk in chunks(shard, self.read):
            kept = complete(chunk, self.na, getattr(shard, "first", 0) + seen)
            seen += len(chunk)
            yield kept, len(chunk) - len(kept)

    def counted(self, frame: pd.DataFrame, outcome: str | None = None) -> tuple[Array, ...]:
        """Outcomes of rows (0 without), how often each counts, and its sampling weight."""
        y, one = weighed(frame, outcome, self.weights, self.weights_type, True)
        weight = np.ones(len(frame))
        if self.weights is not None and self.weights_type == "sampling":
            weight = frame[self.weights].to_numpy(np.float64)
        return y, np.ones(len(frame)) if one is None else one, weight


@dataclass(frozen=True, eq=False)
class Rows:
    """Observations of a binary or fractional outcome in shards, a row of regressors each.

    Attributes
    ----------
    columns : Columns
        What is read.
    text : str
        The formula's right-hand side.
    specimens : pandas.DataFrame
        Rows that hold all levels of every variable: see `specimens`.
    key : str
        By which workers know what they keep.
    """

    columns: Columns
    text: str
    specimens: pd.DataFrame
    key: str

    @property
    def part(self) -> Part:
        """From data frames to regressors."""
        return part(self.text, self.specimens)

    @property
    def clusters(self) -> tuple[str, ...]:
        """Columns of clusters."""
        return self.columns.clusters

    def of(self, shard: Numbered) -> Iterator[tuple[Cells, dict[str, Any]]]:
        """Observations, a million at a time, and the cluster of each by column."""
        return remembered((self.key, shard[0]), lambda: self._read(shard[1]), _bytes)

    def _read(self, shard: Data) -> Iterator[tuple[Cells, dict[str, Any]]]:
        c, made = self.columns, _part(self)
        for frame, _ in c.parts(shard):
            if not len(frame):
                continue
            y, count, weight = c.counted(frame, c.outcome)
            x, offset = made.made(frame)
            cells = Cells(x, count, y, np.zeros(len(y)), weight, offset=offset)
            groups = {name: frame[name].to_numpy() for name in c.clusters}
            used = (count > 0) & (weight > 0)
            if not used.all():
                cells = cells.weighted(used.astype(float))
                groups = {name: values[used] for name, values in groups.items()}
            if len(cells.mean):
                yield cells, groups


def remembered(
    name: tuple[str, int],
    read: Callable[[], Iterator[tuple[Any, dict[str, Any]]]],
    size: Callable[[Any, dict[str, Any]], int],
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """What is read of a shard, or what this worker kept of it.

    Parameters
    ----------
    name : pair
        Of the fit, and of the shard.
    read, size : functions
        Read it a part at a time; say how many bytes a part takes.
    """
    kept = _STORE.get(name)
    if kept is not None:
        yield from kept
        return
    forget(name[0])
    found, room = [], _KEPT - sum(_SIZES.values())
    for data, groups in read():
        room -= size(data, groups)
        if room > 0:
            found.append((data, groups))
        yield data, groups
    if room > 0:  # the whole shard; what is kept stays, as passes are in one order
        _STORE[name] = found
        _SIZES[name] = sum(size(d, g) for d, g in found)


_STORE: dict[tuple[str, int], list[tuple[Any, dict[str, Any]]]] = {}
_SIZES: dict[tuple[str, int], int] = {}


def forget(key: str) -> None:
    """Let go of what was kept for any other fit."""
    for name in [name for name in _STORE if name[0] != key]:
        del _STORE[name], _SIZES[name]


def _bytes(cells: Cells, groups: Mapping[str, Any]) -> int:
    return int(cells.x.nbytes + 5 * cells.mean.nbytes + sum(g.nbytes for g in groups.values()))


_PARTS: dict[str, Part] = {}


def _part(rows: Rows) -> Part:
    if rows.key not in _PARTS:
        _PARTS.clear()
        _PARTS[rows.key] = rows.part
    return _PARTS[rows.key]


def specimens(
    shards: list[Numbered], columns: Parts, variables: tuple[str, ...], session: Session
) -> pd.DataFrame:
    """Rows that hold every level of text and categories, and both ends of numbers.

    Raises
    ------
    DesignError
        For no rows.
    """
    work = partial(_seen, columns=columns, variables=variables)
    found: pd.DataFrame | None = session.map_merge(work, shards, merge=_both)
    if found is None:
        raise DesignError("no rows to fit: there are none, or all have missing values")
    return found


def _seen(shard: Numbered, columns: Parts, variables: tuple[str, ...]) -> pd.DataFrame | None:
    found = None
    for frame, _ in columns.parts(shard[1]):
        if len(frame):
            found = _both(found, _thinned(frame[list(variables)]))
    return found


def _both(one: pd.DataFrame | None, two: pd.DataFrame | None) -> pd.DataFrame | None:
    if one is None or two is None:
        return two if one is None else one
    return _thinned(stacked([one, two]))


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    """As few rows as hold what is to be held; columns are filled up with their last value."""
    import pandas as pd

    held = {}
    for name in frame.columns:
        values = frame[name]
        number = values.dtype.kind in "fiu"
        if number and values.iloc[: 4 * _LEVELS].nunique() > _LEVELS:
            held[name] = values.iloc[[int(values.argmin()), int(values.argmax())]]
            continue
        values = held[name] = values.drop_duplicates()
        if not isinstance(values.dtype, pd.CategoricalDtype):
            values = held[name] = values.sort_values()
        if number and len(values) > _LEVELS:
            held[name] = values.iloc[[0, -1]]
    rows = max([len(v) for v in held.values()], default=1)
    place = np.arange(rows)
    return pd.DataFrame(
        {n: v.iloc[np.minimum(place, len(v) - 1)].reset_index(drop=True) for n, v in held.items()},
        index=range(rows),
    )


@dataclass(frozen=True)
class Survey:
    """What one pass tells of all observations.

    Attributes
    ----------
    nobs, dropped : float
        Observations, and rows left out.
    low, high, total : (K,) arrays
        Ends and sums of the regressors over the rows.
    corner : (K, K) array
        R of their QR factors: see `llmdemand.modeling.arrays.triangle`.
    rows : int
        Rows of regressors.
    binary : bool
        Whether all outcomes are 0 or 1.
    chosen, whole, entropy : float
        Weighted sums of outcomes, of observations, and of ``y log y + (1 - y) log(1 - y)``.
    heaviest, lightest : float
        Sampling weights.
    offset : bool
        Whether there is one.
    some : Cells
        A few thousand observations.
    """

    nobs: float
    dropped: int
    low: Array
    high: Array
    total: Array
    corner: Array
    rows: int
    binary: bool
    chosen: float
    whole: float
    entropy: float
    heaviest: float
    lightest: float
    offset: bool
    some: Cells = field(repr=False)

    def __add__(self, other: Survey) -> Survey:
        return Survey(
            self.nobs + other.nobs,
            self.dropped + other.dropped,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.total + other.total,
            triangle(np.concatenate([self.corner, other.corner])),
            self.rows + other.rows,
            self.binary and other.binary,
            self.chosen + other.chosen,
            self.whole + other.whole,
            self.entropy + other.entropy,
            max(self.heaviest, other.heaviest),
            min(self.lightest, other.lightest),
            self.offset or other.offset,
            self.some if len(self.some.mean) >= _SAMPLE else _joined(self.some, other.some),
        )


def _joined(one: Cells, two: Cells) -> Cells:
    """Observations of both."""
    offset = None
    if one.offset is not None and two.offset is not None:
        offset = np.concatenate([one.offset, two.offset])
    x, count, mean, within, weight = (
        np.concatenate([getattr(one, n), getattr(two, n)])
        for n in ("x", "count", "mean", "within", "weight")
    )
    return Cells(x, count, mean, within, weight, offset=offset)


def surveyed(shards: list[Numbered], rows: Rows, session: Session) -> Survey:
    """See `Survey`.

    Raises
    ------
    DesignError
        For weights that are all zero.
    """
    told: _Found = session.map_merge(partial(_survey, rows=rows), shards, merge=_surveys)
    found, dropped = told
    if found is None:
        raise DesignError(f"weights {rows.columns.weights!r} are all zero: nothing is left to fit")
    return replace(found, dropped=dropped)


_Found = tuple[Survey | None, int]


def _surveys(one: _Found, two: _Found) -> _Found:
    a, b = one[0], two[0]
    both = a + b if a is not None and b is not None else (b if a is None else a)
    return both, one[1] + two[1]


def _survey(shard: Numbered, rows: Rows) -> _Found:
    found: Survey | None = None
    # Counted apart: what is read once more, from what was kept, has no gaps.
    dropped = 0
    if rows.columns.na == "drop":
        dropped = sum(lost for _, lost in rows.columns.parts(shard[1]))
    for cells, _ in rows.of(shard):
        low, high = ends(cells.x)
        y, n = cells.mean, cells.count * cells.weight
        keep = slice(0, _SAMPLE)
        some = Cells(
            cells.x[keep],
            cells.count[keep],
            y[keep],
            cells.within[keep],
            cells.weight[keep],
            offset=None if cells.offset is None else cells.offset[keep],
        )
        here = Survey(
            cells.nobs,
            0,
            low,
            high,
            cells.x.sum(axis=0),
            triangle(cells.x),
            len(y),
            bool(((y == 0) | (y == 1)).all()),
            float(n @ y),
            float(n.sum()),
            float(n @ (xlogx(y) + xlogx(1 - y))),
            float(cells.weight.max()),
            float(cells.weight.min()),
            cells.offset is not None,
            some,
        )
        found = here if found is None else found + here
    return found, dropped


def cluster_tables(
    groups: Mapping[str, Any], values: Array, names: tuple[str, ...]
) -> pd.DataFrame:
    """Sums of the values by cluster (by their combinations, where they are several)."""
    import pandas as pd

    frame = pd.DataFrame({name: groups[name] for name in names})
    code, place = named_codes(frame, list(names))
    if len(place) == len(code):
        code = np.arange(len(code))
    sums = np.stack([np.bincount(code, v, len(place)) for v in values.T], axis=1)
    made = frame.iloc[place].reset_index(drop=True)
    return pd.concat([made, pd.DataFrame(sums)], axis=1)
