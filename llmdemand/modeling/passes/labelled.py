"""Rows that say what was chosen of several alternatives: outcomes, and cases a part at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.passes.cases import CaseSurvey, Told, centred, merged_survey, told
from llmdemand.modeling.passes.rows import Columns, Numbered, remembered
from llmdemand.modeling.sample.columns import Data
from llmdemand.modeling.sample.designs import MultinomialDesign, expanded
from llmdemand.scale.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Labelled", "Labels", "base_place", "check_sums", "surveyed_labels"]

_SUM_TOLERANCE = 1e-6
_MOST = 100  # alternatives
_MADE = 1 << 22  # numbers of regressors that are made at a time


@dataclass(frozen=True)
class Labels:
    """Which alternatives there are, and what rows say of each.

    Attributes
    ----------
    columns : tuple of str
        One of labels, or one of fractions for each alternative.
    names : tuple of str
        The alternatives, the base first.
    levels : tuple
        Their labels, or their columns.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    levels: tuple[Any, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, columns: Sequence[str], base: str | None) -> Labels:
        """Those of rows that hold every label.

        Raises
        ------
        DesignError
            For labels that are none, or a single one.
        UsageError
            For a base that is no alternative.
        """
        import pandas as pd

        levels = list(columns)
        if len(columns) == 1:
            column = frame[columns[0]]
            if isinstance(column.dtype, pd.CategoricalDtype):
                levels = [c for c in column.cat.categories if (column == c).any()]
            else:
                levels = sorted(column.unique())
            if column.dtype.kind == "f" and (column % 1 != 0).any():
                raise DesignError(
                    f"outcome {columns[0]!r} holds fractions: a column of labels, or one column of "
                    "fractions per alternative (a + b + c ~ ...), is expected"
                )
            if len(levels) > _MOST:
                raise DesignError(_too_many(columns[0], str(len(levels))))
        names = [f"{level:g}" if isinstance(level, float) else str(level) for level in levels]
        if len(names) < 2:
            raise DesignError(
                f"outcome {columns[0]!r} has one value: a choice needs two alternatives"
            )
        first = base_place(base, names)
        order = [first, *(k for k in range(len(names)) if k != first)]
        return cls(tuple(columns), *(tuple(v[k] for k in order) for v in (names, levels)))

    def outcomes(self, frame: pd.DataFrame, summed: Array | None = None) -> Array:
        """Outcomes (N, J) of rows; `summed` is what corrected beliefs sum to.

        Raises
        ------
        DesignError
            For fractions that do not sum to 1.
        """
        if len(self.columns) > 1:
            y = frame[list(self.levels)].to_numpy(np.float64)
            check_sums(y.sum(axis=1), y, "row", range(len(y)), summed)
            return np.asarray(y)
        column = frame[self.columns[0]]
        y = np.column_stack([(column == level).to_numpy(float) for level in self.levels])
        if not y.any(axis=1).all():  # of so many labels not all were kept
            raise DesignError(_too_many(self.columns[0], "more"))
        return y


def _too_many(name: str, count: str) -> str:
    return (
        f"outcome {name!r} has {count} values: is it the alternative that was chosen? At most "
        f"{_MOST} are taken"
    )


def base_place(base: str | None, names: Sequence[str]) -> int:
    """The place of the alternative that is the base; the first by default."""
    if base is None:
        return 0
    if str(base) not in names:
        raise UsageError(
            f"base={base!r}{nearest(str(base), list(names))}: use one of {', '.join(names)}"
        )
    return list(names).index(str(base))


def check_sums(
    totals: Array, y: Array, what: str, names: Sequence[Any], summed: Array | None = None
) -> None:
    """Refuse outcomes outside [0, 1], or that do not sum to 1.

    Corrected beliefs may leave it, but sum to what is known of them.
    """
    if summed is None and (y.min() < 0 or y.max() > 1):
        raise DesignError(f"outcomes must lie in [0, 1], found {y.min():g} to {y.max():g}")
    wanted = 1.0 if summed is None else summed
    bad = np.flatnonzero(np.abs(totals - wanted) > _SUM_TOLERANCE)
    if bad.size:
        aim = "1" if summed is None else "what was read of them"
        raise DesignError(
            f"outcomes of {what} {names[int(bad[0])]} sum to {totals[bad[0]]:g} ({bad.size} such "
            f"{what}s): they must sum to {aim}; nothing is renormalised"
        )


@dataclass(frozen=True)
class _Rows:
    """Some rows, before each becomes one of every alternative."""

    x: Array
    y: Array
    count: Array
    weight: Array
    summed: Array | None

    @property
    def cases(self) -> Cases:
        """A case of each row, with all alternatives."""
        (n, j), labels = self.y.shape, np.tile(np.arange(self.y.shape[1]), len(self.y))
        x, start = expanded(self.x, j), np.arange(n) * j
        y, count, weight = self.y.ravel(), self.count, self.weight
        return Cases(x, y, start, count, weight, labels=labels, read=self.summed)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Choices of several alternatives in shards, a row each, with regressors of the case.

    Attributes
    ----------
    columns : Columns
        What is read.
    labels : Labels
        The alternatives.
    design : MultinomialDesign
        From rows to regressors.
    specimens : pandas.DataFrame
        Rows that hold all levels of every variable: see `llmdemand.modeling.passes.rows.specimens`.
    summed : str or None
        Column of what corrected beliefs sum to.
    key : str
        By which workers know what they keep.
    """

    columns: Columns
    labels: Labels
    design: MultinomialDesign
    specimens: pd.DataFrame
    summed: str | None
    key: str

    @property
    def clusters(self) -> tuple[str, ...]:
        """Columns of clusters."""
        return self.columns.clusters

    def whole(self, shard: Numbered) -> Iterator[tuple[Cases, dict[str, Any]]]:
        """Cases as they are, a part at a time, and the cluster of each by column."""
        kept = remembered((self.key, shard[0]), lambda: self._read(shard[1]), _bytes)
        return ((rows.cases, groups) for rows, groups in kept)

    def of(self, shard: Numbered) -> Iterator[tuple[Cases, dict[str, Any]]]:
        """See `llmdemand.modeling.passes.rows.Reader`; regressors are less their mean."""
        return ((centred(cases), groups) for cases, groups in self.whole(shard))

    def _read(self, shard: Data) -> Iterator[tuple[_Rows, dict[str, Any]]]:
        c = self.columns
        size = max(1, _MADE // (len(self.labels.names) * max(len(self.design.terms), 1)))
        for whole, _ in c.parts(shard):
            for first in range(0, len(whole), size):
                frame = whole.iloc[first : first + size]
                _, count, weight = c.counted(frame)
                used = (count > 0) & (weight > 0)
                if not used.any():
                    continue
                if not used.all():
                    frame, count, weight = frame[used], count[used], weight[used]
                summed = None
                if self.summed is not None:
                    summed = frame[self.summed].to_numpy(np.float64)
                y = self.labels.outcomes(frame, summed)
                groups = {name: frame[name].to_numpy() for name in c.clusters}
                x = self.design.part.matrix(frame.reset_index(drop=True))
                yield _Rows(x, y, count, weight, summed), groups


def _bytes(rows: _Rows, groups: Mapping[str, Any]) -> int:
    size = rows.x.nbytes + rows.y.nbytes + 3 * rows.count.nbytes
    return int(size + sum(g.nbytes for g in groups.values()))


def surveyed_labels(shards: list[Numbered], rows: Labelled, session: Session) -> CaseSurvey:
    """See `llmdemand.modeling.passes.cases.surveyed_cases`."""
    return merged_survey(shards, partial(_survey, rows=rows), session)


def _survey(shard: Numbered, rows: Labelled) -> Told:
    found: CaseSurvey | None = None
    # Counted apart: what is read once more, from what was kept, has no gaps.
    dropped = 0
    if rows.columns.na == "drop":
        dropped = sum(lost for _, lost in rows.columns.parts(shard[1]))
    for cases, _ in rows.whole(shard):
        here = told(cases, len(rows.labels.names))
        found = here if found is None else found + here
    return found, dropped
