"""From files of alternatives to choice situations, a part of a file at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Codes
from llmdemand.modeling.estimation.choices import Wanted
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.passes.cases import centred
from llmdemand.modeling.passes.rows import Numbered, remembered
from llmdemand.modeling.sample.columns import chunks, stacked
from llmdemand.modeling.sample.designs import ChoiceDesign
from llmdemand.scale.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "File",
    "Read",
    "Situations",
    "WantedParts",
    "appearing",
    "divided",
    "files",
    "together",
]

_ROWS = 1 << 20  # of a part, more or less


@dataclass(frozen=True)
class File:
    """Shards whose cases lie together: all pieces of a file, or a part of a panel.

    Attributes
    ----------
    name : str
        What it is called.
    shards, columns
        See `llmdemand.modeling.sample.columns.Sharded`.
    by : str
        Column whose rows belong together: of cases, or of respondents.
    whole : bool
        Whether these lie apart within the file, which is then read at once.
    ranks : tuple of (n,) int arrays
        Of each part the places of its respondents among all, in the order in which they come.
    """

    name: str
    shards: tuple[Any, ...]
    columns: tuple[str, ...]
    by: str
    whole: bool = False
    ranks: tuple[Codes, ...] = ()

    def parts(self, columns: tuple[str, ...]) -> Iterator[tuple[pd.DataFrame, int]]:
        """A million rows at a time or more, up to where `by` changes, and the number of the first.

        Parts do not depend on how the file is cut into row groups, nor on the columns.
        """
        first, rows = getattr(self.shards[0], "first", 0), 0
        held: list[pd.DataFrame] = []
        for chunk in chunks(self, columns):
            held.append(chunk)
            rows += len(chunk)
            while rows > _ROWS and not self.whole:
                held = [stacked(held)]
                codes, _ = appearing(held[0][self.by].iloc[_ROWS - 1 :])
                ends = np.flatnonzero(np.diff(codes))
                if not len(ends):
                    break
                cut = _ROWS + int(ends[0])
                yield held[0].iloc[:cut], first
                held = [held[0].iloc[cut:].reset_index(drop=True)]
                first, rows = first + cut, rows - cut
        if rows:
            yield stacked(held), first


def files(data: Any, by: str) -> list[Numbered]:
    """The files of a table, numbered; see `File`."""
    named = [(getattr(s, "path", f"part {k + 1}"), s) for k, s in enumerate(data.shards)]
    columns = tuple(data.columns)
    return [
        (k, File(name, tuple(shard for _, shard in some), columns, by))
        for k, (name, some) in enumerate(groupby(named, key=lambda pair: pair[0]))
    ]


@dataclass(frozen=True)
class WantedParts:
    """What is read of each file to learn the levels of variables."""

    wanted: Wanted

    def parts(self, shard: File) -> Iterator[tuple[pd.DataFrame, int]]:
        """See `llmdemand.modeling.passes.rows.Parts`."""
        for frame, first in shard.parts(self.wanted.columns):
            yield self.wanted.rows(frame, first)


@dataclass(frozen=True)
class Read:
    """Choice situations of a part of a file.

    Attributes
    ----------
    cases : Cases
        The situations, those of a respondent side by side where there are respondents.
    heads : pandas.DataFrame
        First row of each.
    respondent : (N,) int array or None
        Who answered each, 0 to I - 1 in the order of `ranks`.
    ranks : (I,) int array
        Places of the respondents among all.
    """

    cases: Cases
    heads: pd.DataFrame
    respondent: Codes | None
    ranks: Codes


@dataclass(frozen=True, eq=False)
class Situations:
    """Choice situations of each file.

    Attributes
    ----------
    wanted : Wanted
        What is read.
    design : ChoiceDesign
        From rows to regressors.
    key : str
        By which workers know what they keep.
    kinds : mapping
        What cases and alternatives are in all files, by which those of a respondent are sorted.
    """

    wanted: Wanted
    design: ChoiceDesign
    key: str
    kinds: Mapping[str, Any] = field(default_factory=dict)

    @property
    def clusters(self) -> tuple[str, ...]:
        """Columns of clusters."""
        return self.wanted.options.asked().columns

    def whole(self, shard: Numbered) -> Iterator[tuple[Cases | None, int]]:
        """The cases of a file as they are, and the number of rows left out."""
        for read, dropped in self.read(shard[1]):
            yield (_counted(read)[0] if read is not None else None), dropped

    def of(self, shard: Numbered) -> Iterator[tuple[Cases, dict[str, Any]]]:
        """See `llmdemand.modeling.passes.rows.Reader`; regressors are less their mean."""
        return remembered((self.key, shard[0]), lambda: self._centred(shard[1]), _bytes)

    def _centred(self, file: File) -> Iterator[tuple[Cases, dict[str, Any]]]:
        for read, _ in self.read(file):
            if read is not None:
                cases, heads = _counted(read)
                if cases is not None:
                    yield centred(cases), {name: heads[name].to_numpy() for name in self.clusters}

    def read(self, file: File) -> Iterator[tuple[Read | None, int]]:
        """All cases of a file, a part at a time, and the number of rows left out."""
        for k, (frame, first) in enumerate(file.parts(self.wanted.columns)):
            frame, dropped = self.wanted.rows(frame, first)
            if not len(frame):
                yield None, dropped
                continue
            rank = None
            if file.ranks:
                codes, held = appearing(frame[file.by])
                if k >= len(file.ranks) or len(held) != len(file.ranks[k]):
                    raise DesignError(f"{file.name} changed while it was read: fit it again")
                rank = file.ranks[k][codes]
                frame = self.wanted.arranged(_as(frame, self.kinds), rank)
            cases, frame, respondent = self.wanted.situations(frame, self.design)
            ranks = np.unique(rank) if rank is not None else np.zeros(0, np.intp)
            yield Read(cases, frame.iloc[cases.start], respondent, ranks), dropped


def _as(frame: pd.DataFrame, kinds: Mapping[str, Any]) -> pd.DataFrame:
    """Columns of these kinds; categories of one set are equal to pandas in whatever order."""
    found = frame.astype(dict(kinds))
    orders = {c: kind.categories for c, kind in kinds.items() if hasattr(kind, "categories")}
    return found.assign(**{c: found[c].cat.set_categories(o) for c, o in orders.items()})


def _counted(read: Read) -> tuple[Cases | None, pd.DataFrame]:
    """The cases that count at all, and their first rows."""
    used = read.cases.count > 0
    if not used.any():
        return None, read.heads
    return (read.cases if used.all() else read.cases.weighted(used.astype(float))), read.heads[used]


def _bytes(cases: Cases, groups: dict[str, Any]) -> int:
    return int(cases.x.nbytes + 8 * cases.y.nbytes + sum(g.nbytes for g in groups.values()))


def appearing(values: pd.Series[Any]) -> tuple[Codes, pd.Series[Any]]:
    """Codes of the values in the order in which they come, and each of them once."""
    import pandas as pd

    return pd.factorize(values)[0], values.drop_duplicates()


def together(shards: list[Numbered], column: str, what: str, session: Session) -> list[Numbered]:
    """The files, those at once in which rows of a case (or a respondent) lie apart.

    Raises
    ------
    DesignError
        For a case, or a respondent, in two files, with both.
    """
    found, twice = divided(shards, column, session)
    if twice is not None:
        name, one, two = twice
        raise DesignError(
            f"{what} {name} is in {one} and in {two}: files are fitted one at a time, so write the "
            f"table sorted by {column!r}, all rows of a {what} in one file"
        )
    return found


def divided(
    shards: list[Numbered], column: str, session: Session
) -> tuple[list[Numbered], tuple[Any, str, str] | None]:
    """The files as `together` gives them, and who is in two of them.

    Parameters
    ----------
    shards : list of pairs
        From `files`.
    column : str
        That names cases, or respondents.
    session : Session
        Who reads.
    """
    told = session.map_merge(partial(_ids, column=column), shards, merge=_beside)
    found = [(k, replace(f, whole=True) if k in told[1] else f) for k, f in shards]
    ids, times = np.unique(told[0], return_counts=True)
    if (times > 1).any():
        work = partial(_named, column=column, ids=ids[times > 1])
        for name, where in session.map_merge(work, shards, merge=_both).items():
            if len(where) > 1:  # and not two names of one hash
                return found, (name, where[0], where[1])
    return found, None


_Ids = tuple[NDArray[np.uint64], frozenset[int]]


def _ids(shard: Numbered, column: str) -> _Ids:
    """Hashes of what a file holds, and its number if that lies in several parts of it."""
    place, file = shard
    by = tuple(dict.fromkeys([column, file.by]))
    parts = [np.unique(_hashes(frame[column])) for frame, _ in file.parts(by)]
    found = np.concatenate([np.zeros(0, np.uint64), *parts])
    ids = np.unique(found)
    return ids, frozenset({place} if len(ids) < len(found) else ())


def _named(shard: Numbered, column: str, ids: NDArray[np.uint64]) -> dict[Any, list[str]]:
    found: dict[Any, list[str]] = {}
    for frame in chunks(shard[1], [column]):
        for name in frame[column][np.isin(_hashes(frame[column]), ids)].unique():
            found[name] = [shard[1].name]
    return found


def _hashes(values: pd.Series[Any]) -> NDArray[np.uint64]:
    import pandas as pd

    # Whole numbers in one file may be floats in another.
    plain = values.to_numpy(np.float64) if values.dtype.kind in "iuf" else np.asarray(values)
    return np.asarray(pd.util.hash_array(plain, categorize=False), np.uint64)


def _beside(one: _Ids, two: _Ids) -> _Ids:
    return np.concatenate([one[0], two[0]]), one[1] | two[1]


def _both(one: dict[Any, list[str]], two: dict[Any, list[str]]) -> dict[Any, list[str]]:
    return {k: [*one.get(k, []), *two.get(k, [])] for k in {**one, **two}}
