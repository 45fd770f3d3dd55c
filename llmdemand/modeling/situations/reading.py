"""From files of alternatives to choice situations, a file at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError
from llmdemand.modeling.estimation.choices import Wanted
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.passes.cases import centred
from llmdemand.modeling.passes.rows import Numbered, remembered
from llmdemand.modeling.sample.columns import Data, chunks
from llmdemand.modeling.sample.designs import ChoiceDesign
from llmdemand.scale.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["File", "Situations", "WantedParts", "files", "refuse_divided"]


@dataclass(frozen=True)
class File:
    """Shards whose cases lie together: all pieces of a file, or a part of a panel."""

    name: str
    shards: tuple[Any, ...]
    columns: tuple[str, ...]


def files(data: Any) -> list[Numbered]:
    """The files of a table, numbered."""
    named = [(getattr(s, "path", f"part {k + 1}"), s) for k, s in enumerate(data.shards)]
    grouped = groupby(named, key=lambda pair: pair[0])
    found = [File(name, tuple(s for _, s in some), tuple(data.columns)) for name, some in grouped]
    return list(enumerate(found))


@dataclass(frozen=True)
class WantedParts:
    """What is read of each file to learn the levels of variables."""

    wanted: Wanted

    def parts(self, shard: Data) -> Iterator[tuple[pd.DataFrame, int]]:
        """See `llmdemand.modeling.passes.rows.Parts`."""
        yield self.wanted.rows(shard)


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
    """

    wanted: Wanted
    design: ChoiceDesign
    key: str

    @property
    def clusters(self) -> tuple[str, ...]:
        """Columns of clusters."""
        return self.wanted.options.asked().columns

    def whole(self, shard: Numbered) -> tuple[Cases | None, int]:
        """The cases of a file as they are, and the number of rows left out."""
        cases, _, dropped = self._cases(shard[1])
        return cases, dropped

    def of(self, shard: Numbered) -> Iterator[tuple[Cases, dict[str, Any]]]:
        """See `llmdemand.modeling.passes.rows.Reader`; regressors are less their mean."""
        return remembered((self.key, shard[0]), lambda: self._read(shard[1]), _bytes)

    def _read(self, file: File) -> Iterator[tuple[Cases, dict[str, Any]]]:
        cases, groups, _ = self._cases(file)
        if cases is not None:
            yield centred(cases), groups

    def _cases(self, file: File) -> tuple[Cases | None, dict[str, Any], int]:
        frame, dropped = self.wanted.rows(file)
        if not len(frame):
            return None, {}, dropped
        cases, frame, _ = self.wanted.situations(frame, self.design)
        used = cases.count > 0
        heads = frame.iloc[cases.start[used]]
        if not used.all():
            cases = cases.weighted(used.astype(float))
        groups = {name: heads[name].to_numpy() for name in self.clusters}
        return (cases if len(heads) else None), groups, dropped


def _bytes(cases: Cases, groups: dict[str, Any]) -> int:
    return int(cases.x.nbytes + 8 * cases.y.nbytes + sum(g.nbytes for g in groups.values()))


def refuse_divided(shards: list[Numbered], column: str, what: str, session: Session) -> None:
    """Refuse a case, or a respondent, whose rows are in two files.

    Parameters
    ----------
    shards : list of pairs
        From `files`.
    column : str
        That names them.
    what : str
        ``case`` or ``respondent``.
    session : Session
        Who reads.

    Raises
    ------
    DesignError
        Naming one, and its files.
    """
    found = session.map_merge(partial(_ids, column=column), shards, merge=_beside)
    ids, times = np.unique(found, return_counts=True)
    if not (times > 1).any():
        return
    twice = session.map_merge(
        partial(_named, column=column, ids=ids[times > 1]), shards, merge=_both
    )
    for name, where in twice.items():
        if len(where) > 1:  # and not two names of one hash
            raise DesignError(
                f"{what} {name} is in {where[0]} and in {where[1]}: files are fitted one at a "
                f"time, so write the table sorted by {column!r}, all rows of a {what} in one file"
            )


def _ids(shard: Numbered, column: str) -> NDArray[np.uint64]:
    parts = [np.unique(_hashes(frame[column])) for frame in chunks(shard[1], [column])]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))


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


def _beside(one: NDArray[np.uint64], two: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return np.concatenate([one, two])


def _both(one: dict[Any, list[str]], two: dict[Any, list[str]]) -> dict[Any, list[str]]:
    return {k: [*one.get(k, []), *two.get(k, [])] for k in {**one, **two}}
