"""What of a panel enters a fit, whether the panel is in memory or in shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import PanelShards
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.outcomes.corrected import Coefficient
from llmdemand.modeling.outcomes.frames import (
    READ,
    Outcomes,
    Reading,
    default_reading,
    demand_frame,
    market_frame,
    outcomes,
)
from llmdemand.modeling.outcomes.measured import check_reading
from llmdemand.modeling.outcomes.shards import (
    SHARE,
    Asked,
    Facts,
    Market,
    Runs,
    facts,
    refuse_learnt,
    silent,
)
from llmdemand.modeling.runs.markets import long_market, long_rows, wide_market
from llmdemand.modeling.sample.columns import Data, table
from llmdemand.modeling.sample.formula import variables
from llmdemand.modeling.sample.sample import TooDifferent, grouped
from llmdemand.scale.executors import Executor

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COUNT", "TASTES", "Sampled", "sampled", "whose"]

#: How many equal runs a row stands for.
COUNT = "equal_runs"
#: Models of respondents, whose answers belong together.
TASTES = ("mixed", "latent")
_STATUSES = (
    "statuses=... selects runs by what they say, which corrected belief does not need: leave it "
    "out, or use reading='pivot'"
)
# Beliefs this close to 0 or 1 in all runs say no more than choices.
_SURE = 1e-6


@dataclass(frozen=True)
class Sampled:
    """The runs that enter a fit, and what has to be said of them.

    Attributes
    ----------
    panel : Panel or PanelShards
        Where they come from.
    name, outcome, reading : str
        Whose demand, by which outcome and reading.
    rows : Data
        For a binary fit, as `demand_frame` gives them.
    entered, believed, held : int
        Runs that enter, with a usable belief, and of holdout tasks.
    counted : bool
        Whether choices are weighted counts.
    read : str or None
        Column of what outcomes sum to, where that is not 1.
    certain : bool
        Whether the outcome is 0 or 1 in every run.
    values : dict
        Different values of each price column.
    constant : tuple of bool, float, float
        See `Facts.constant`.
    changes : int
        Runs that change their mind.
    notes, labels, stopping
        See `Outcomes`.
    found : Outcomes or None
        Of a panel in memory.
    """

    panel: Panel | PanelShards
    name: str
    outcome: str
    reading: Reading
    rows: Data
    entered: int
    believed: int
    held: int
    counted: bool
    read: str | None
    certain: bool
    values: dict[str, Array]
    constant: tuple[bool, float, float]
    changes: int
    notes: tuple[str, ...]
    labels: str
    stopping: tuple[str, ...]
    statuses: dict[str, int]
    columns: tuple[str, ...]
    found: Outcomes | None = None
    executor: Executor = None

    def wide(self) -> Data:
        """Runs with the share of each alternative."""
        ids = self.panel.study.menu.ids
        if self.found is not None:
            found, frame = self.found, self.rows
            kept = found.frame["run_id"].isin(frame["run_id"]).to_numpy()
            shares = found.belief if self.outcome == "belief" else found.choice
            return frame.assign(**{a: shares[kept, k] for k, a in enumerate(ids)})
        return wide_market(self.rows, ids)

    def long(
        self, model: str, formula: str, more: Sequence[str], most: int | None = None
    ) -> tuple[Data, str | None]:
        """Runs as choice situations, and the column that counts equal ones.

        What tells respondents apart needs every run: then no two are taken for equal. Where
        more than `most` differ they stay in their files, as a table that is read part by part;
        but not of latent classes, which are fitted in memory.
        """
        if self.found is not None:
            rows = market_frame(self.panel, self.found)
            return rows.loc[rows["run_id"].isin(self.rows["run_id"])], None
        if model in TASTES:
            kept = self._kept(formula, [*more, "run_id", whose(self.panel.study)])
            if model == "mixed" and most is not None and self.entered > most:
                return long_market(self.rows.shards, self.reading, kept), None
            frame, count = table(self.rows, kept), None
        else:
            try:
                frame, count = self._condensed(formula, more, most), COUNT
            except TooDifferent:
                kept = self._kept(formula, more)
                return long_market(self.rows.shards, self.reading, kept), None
        return long_rows(self.panel, frame, self.reading), count

    def _kept(self, formula: str, more: Sequence[str]) -> list[str]:
        study, known = self.panel.study, list(self.columns)
        named = [v for part in formula.split("|") for v in variables(part.strip(), known)]
        wanted = [
            *(f"price_{a}" for a in study.prices),
            *study.attribute_columns,
            *(f"{SHARE}{a}" for a in study.menu.ids),
            *([READ] if READ in known else []),
            *named,
            *more,
        ]
        return [c for c in dict.fromkeys(wanted) if c in known]

    def _condensed(
        self, formula: str, more: Sequence[str], most: int | None = None
    ) -> pd.DataFrame:
        kept = self._kept(formula, more)
        sample = grouped(self.rows, None, kept, most=most, executor=self.executor)
        return sample.frame.assign(**{COUNT: sample.count})


def sampled(
    panel: Panel | PanelShards,
    outcome: str,
    alternative: str | None,
    reading: Reading | None,
    statuses: Sequence[str] | None,
    coefficient: Coefficient,
    executor: Executor,
) -> Sampled:
    """What enters a fit: see `llmdemand.modeling.models.demand.fit_demand`.

    Raises
    ------
    UsageError
        For an unknown reading, or statuses of a reading that takes all runs.
    """
    name = panel.study.focal if alternative is None else alternative
    if isinstance(panel, PanelShards):
        return _of_shards(panel, outcome, name, reading, statuses, coefficient, executor)
    reading = default_reading(panel) if reading is None and statuses is None else reading
    reading = reading or "pivot"
    check_reading(panel, reading)
    given = _statuses(outcome, reading, statuses, nothing=panel.usable.empty)
    found = outcomes(panel, reading, statuses=given, coefficient=coefficient)
    # Labels and stopped answers make choices weighted counts, which sum to something else than 1.
    counted = outcome == "choice" and not np.isin(found.counted, (0.0, 1.0)).all()
    if counted:
        found = replace(found, choice=found.counted, read=found.counted.sum(axis=1).round(12))
    frame = demand_frame(panel, name, found)
    if outcome == "choice":
        frame = frame.iloc[np.flatnonzero(found.choice.any(axis=1))]
    y = frame[outcome]
    prices = ["price", *(f"price_{a}" for a in panel.study.prices)]
    by = frame.groupby("cell")[outcome].var(ddof=0).mean() if len(frame) else 0.0
    return Sampled(
        panel,
        name,
        outcome,
        reading,
        frame,
        len(frame),
        found.believed,
        int(frame["holdout"].sum()) if "holdout" in frame.columns else 0,
        counted,
        READ if counted or (outcome == "belief" and not found.plain) else None,
        bool((np.minimum(y, 1 - y) < _SURE).all()),
        {c: np.unique(frame[c].to_numpy(np.float64)) for c in prices},
        (bool(frame["cell"].duplicated().any()), float(by), float(y.var(ddof=0))),
        found.changes or 0,
        found.notes,
        found.labels,
        found.stopping,
        {str(k): int(n) for k, n in panel.statuses.items()},
        tuple(map(str, frame.columns)),
        found,
    )


def _statuses(
    outcome: str, reading: Reading, statuses: Sequence[str] | None, *, nothing: bool
) -> tuple[str, ...]:
    if statuses is None:
        alone = outcome == "choice" and reading == "pivot" and nothing
        return ("no_logprobs",) if alone else ("ok",)
    if reading == "final":
        raise UsageError(_STATUSES)
    return tuple(statuses)


def _of_shards(
    panel: PanelShards,
    outcome: str,
    name: str,
    reading: Reading | None,
    statuses: Sequence[str] | None,
    coefficient: Coefficient,
    executor: Executor,
) -> Sampled:
    executor = panel.executor if executor is None else executor
    there = panel.counts
    if reading is None and statuses is None:
        reading = default_reading(panel)
    reading = reading or "pivot"
    check_reading(panel.study, reading)
    given = _statuses(outcome, reading, statuses, nothing=silent(there))
    refuse_learnt(there, reading, coefficient)
    asked = Asked(panel.study, outcome, name, reading, given)
    told: Facts = facts(panel, asked, executor)
    asked = replace(asked, texts=tuple(sorted(told.texts)))
    starts = np.cumsum([0, *(len(part) for part in panel.parts)]).tolist()
    rows = Market(
        tuple(Runs(p, asked, k) for p, k in zip(panel.parts, starts, strict=False)), told.columns
    )
    final = reading == "final"
    return Sampled(
        panel,
        name,
        outcome,
        reading,
        rows,
        told.entered,
        told.believed,
        told.held,
        False,
        READ if final and outcome == "belief" and not told.plain else None,
        told.certain,
        {c: np.array(sorted(values)) for c, values in told.values.items()},
        told.constant if told.entered else (False, 0.0, 0.0),
        told.changes,
        told.reservations if final and not panel.study.sampling.branch else (),
        "",
        (),
        dict(there.statuses),
        told.columns,
        None,
        executor,
    )


def whose(study: Study) -> str:
    """The column that says who answered."""
    return "respondent_id" if study.respondents else "persona_id"
