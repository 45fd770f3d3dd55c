"""Runs of a panel that need not fit into memory, as shards of the rows that enter a fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.core.panel import USABLE, Panel
from llmdemand.core.shards.counts import Counts
from llmdemand.core.shards.part import Part
from llmdemand.core.shards.shards import PanelShards
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.modeling.outcomes.corrected import reserved
from llmdemand.modeling.outcomes.frames import (
    Outcomes,
    Reading,
    demand_frame,
    outcomes,
    readings,
)
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import map_merge

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SHARE",
    "Asked",
    "Facts",
    "Market",
    "Runs",
    "facts",
    "refuse_learnt",
    "silent",
    "slim",
]

#: What columns of outcomes of all alternatives begin with.
SHARE = "share_of_"
# Nothing here reads them, and they are most of a panel.
_TEXTS = ("text", "reason", "pivot_token", "later_names")
_SURE = 1e-6


@dataclass(frozen=True)
class Asked:
    """How runs are read: see `llmdemand.modeling.models.demand.fit_demand`.

    `texts` are the fields of personas that are text in some part, and therefore in all.
    """

    study: Study
    outcome: str
    alternative: str
    reading: Reading
    statuses: tuple[str, ...]
    texts: tuple[str, ...] = ()

    def entering(self, panel: Panel) -> tuple[Outcomes, pd.DataFrame]:
        """What the runs say, and the rows that enter the fit."""
        found = outcomes(panel, self.reading, statuses=self.statuses)
        frame = demand_frame(panel, self.alternative, found)
        shares = found.belief if self.outcome == "belief" else found.choice
        own = {f"{SHARE}{a}": shares[:, k] for k, a in enumerate(panel.study.menu.ids)}
        by = {name: _raw(panel.study, frame, name) for name in self.texts}
        frame = frame.assign(**own, **by)
        if self.outcome == "choice":
            frame = frame.iloc[np.flatnonzero(found.choice.any(axis=1))]
        return found, frame


def _raw(study: Study, frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    """A field of the personas as it is written."""
    values = frame["persona_id"].map({p["id"]: p.get(name) for p in study.personas})
    return values.mask(values == "") if study.respondents else values


@dataclass(frozen=True)
class Runs:
    """The rows of a part that enter a fit, made where they are needed."""

    part: Part
    asked: Asked
    first: int

    def frames(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """See `llmdemand.modeling.sample.columns.Frames`."""
        _, frame = self.asked.entering(slim(self.part, self.asked.study))
        yield frame[list(columns)].reset_index(drop=True)


@dataclass(frozen=True)
class Market:
    """The rows of all parts that enter a fit, as a table that is read part by part."""

    shards: tuple[Runs, ...]
    columns: tuple[str, ...]


def slim(part: Part, study: Study) -> Panel:
    """A part without its texts."""
    known = part.columns()
    if not {"final_status", "pivot_listed", *_TEXTS} <= set(known):
        return part.panel()  # of an earlier version: `Panel.read` completes it
    frame = part.frame([name for name in known if name not in _TEXTS])
    return Panel(frame.assign(**dict.fromkeys(_TEXTS, "")), study)


@dataclass(frozen=True)
class Facts:
    """What has to be known of all runs before they are fitted.

    Attributes
    ----------
    entered, believed : int
        Runs that enter, and those whose belief can be used.
    changes, unusable, held : int
        Runs that change their mind; without a belief that can be used; of holdout tasks.
    plain, certain : bool
        Whether belief is what it is at the pivot, and whether it is 0 or 1 in all runs.
    values : dict of str to set
        Of each price column and of ``price``.
    cells : dict of int to (n, mean, M2)
        Number of runs, mean and squared deviations of the outcome by cell.
    columns : tuple of str
        Of the rows.
    texts : frozenset of str
        Fields of personas that are no numbers.
    """

    entered: int
    believed: int
    changes: int
    unusable: int
    held: int
    plain: bool
    certain: bool
    values: Mapping[str, frozenset[float]]
    cells: Mapping[int, tuple[float, float, float]] = field(repr=False)
    columns: tuple[str, ...] = ()
    texts: frozenset[str] = frozenset()

    def __add__(self, other: Facts) -> Facts:
        cells = dict(self.cells)
        for cell, more in other.cells.items():
            cells[cell] = _together(cells[cell], more) if cell in cells else more
        return Facts(
            self.entered + other.entered,
            self.believed + other.believed,
            self.changes + other.changes,
            self.unusable + other.unusable,
            self.held + other.held,
            self.plain and other.plain,
            self.certain and other.certain,
            {name: values | other.values[name] for name, values in self.values.items()},
            cells,
            self.columns or other.columns,
            self.texts | other.texts,
        )

    @property
    def constant(self) -> tuple[bool, float, float]:
        """Whether cells have several runs; variance within cells on average, and in all."""
        n, _, scatter = (np.array(v) for v in zip(*self.cells.values(), strict=True))
        all_ = (0.0, 0.0, 0.0)
        for cell in self.cells.values():
            all_ = _together(all_, cell)
        return bool((n > 1).any()), float((scatter / n).mean()), all_[2] / all_[0]

    @property
    def reservations(self) -> tuple[str, ...]:
        """See `llmdemand.modeling.outcomes.corrected.reservations`."""
        return reserved(self.changes, self.unusable)


def _together(
    one: tuple[float, float, float], two: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Number, mean and squared deviations of two samples (Chan, Golub & LeVeque 1983)."""
    n = one[0] + two[0]
    apart = two[1] - one[1]
    mean = one[1] + apart * two[0] / n
    return n, mean, one[2] + two[2] + apart**2 * one[0] * two[0] / n


def facts(shards: PanelShards, asked: Asked, executor: Executor = None) -> Facts:
    """See `Facts`.

    Raises
    ------
    UsageError
        For answers that were stopped, and labels: what corrects them is learnt from all runs.
    """
    return map_merge(partial(_facts, asked=asked), shards.parts, executor)


def _facts(part: Part, asked: Asked) -> Facts:
    panel = slim(part, asked.study)
    found, frame = asked.entering(panel)
    final = asked.reading == "final"
    read = readings(panel) if final else None
    y = frame[asked.outcome].to_numpy(np.float64)
    own = {k for p in asked.study.personas for k in p} & {str(c) for c in frame.columns}
    by = frame.groupby("cell")[asked.outcome].agg(["size", "mean", "var"])
    scatter = by["var"].fillna(0.0) * (by["size"] - 1)
    rows = zip(by.index, by["size"], by["mean"], scatter, strict=True)
    prices = ["price", *(f"price_{a}" for a in asked.study.prices)]
    return Facts(
        len(frame),
        found.believed,
        found.changes or 0,
        0 if read is None else int((~read.usable & (read.final >= 0)).sum()),
        int(frame["holdout"].sum()) if "holdout" in frame.columns else 0,
        found.plain,
        bool((np.minimum(y, 1 - y) < _SURE).all()),
        {name: frozenset(map(float, frame[name].unique())) for name in prices},
        {int(cell): (float(n), float(m), float(s)) for cell, n, m, s in rows},
        tuple(map(str, frame.columns)),
        frozenset(k for k in own if len(frame) and frame[k].dtype.kind not in "fiub"),
    )


def refuse_learnt(found: Counts, reading: Reading, coefficient: str) -> None:
    """Refuse corrections that are made of all runs at once.

    Raises
    ------
    UsageError
    """
    what = None
    if reading == "final" and found.finals["stopped"]:
        what = "answers that were stopped at their pivot"
    elif reading == "final" and found.labelled:
        what = "final choices that people have labelled"
    elif coefficient != "one":
        what = f"coefficient={coefficient!r}"
    if what is not None:
        raise UsageError(
            f"{what}: that correction is made of all runs at once; fit shards.panel(), which takes "
            "them into memory, or use reading='pivot'"
        )


def silent(found: Counts) -> bool:
    """Whether no run is usable."""
    return not any(found.statuses[status] for status in USABLE)
