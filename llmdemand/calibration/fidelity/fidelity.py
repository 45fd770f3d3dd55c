"""Everything beyond the mean in which an LLM is held against people, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from llmdemand.calibration.fidelity import figures
from llmdemand.calibration.fidelity.counts import Counts, counts
from llmdemand.calibration.fidelity.held_out import HeldOut, held_out
from llmdemand.calibration.fidelity.individuals import Individuals, individuals
from llmdemand.calibration.fidelity.sides import FEW, Sides
from llmdemand.calibration.fidelity.spread import ANSWER, TASTE, spread
from llmdemand.calibration.fidelity.subgroups import subgroups
from llmdemand.core.line import OneLine
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Fidelity", "fidelity"]

T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class Fidelity(OneLine):
    """Heuristic comparisons of an LLM with people, beyond the mean. They prove nothing.

    Attributes
    ----------
    spread : pandas.DataFrame or None
        Variance of an answer and between respondents, correlation within them, spread of tastes.
    counts : Counts or None
        Respondents by the number of prices that they say yes to.
    subgroups : pandas.DataFrame or None
        Differences of shares by group of respondents.
    individuals : Individuals or None
        Agreement person by person.
    held_out : HeldOut or None
        Each price predicted from the others.
    notes : tuple of str
        What is missing and why; small samples.
    alpha : float
        One minus the confidence level.
    """

    spread: pd.DataFrame | None
    counts: Counts | None
    subgroups: pd.DataFrame | None
    individuals: Individuals | None
    held_out: HeldOut | None
    notes: tuple[str, ...]
    alpha: float

    @property
    def _line(self) -> str:
        return "heuristic: " + ("; ".join(self.found.values()) or "nothing could be compared")

    @property
    def found(self) -> dict[str, str]:
        """What was compared, a sentence each, by the names of `llmdemand.discrepancy`'s table."""
        said = {}
        if self.spread is not None:
            v = self.spread.loc[ANSWER]
            said["variance"] = f"{v['llm']:.3f} against humans' {v['humans']:.3f}"
            said["heterogeneity"] = self._tastes(self.spread.loc[TASTE])
        if self.counts is not None:
            c = self.counts
            said["distribution"] = f"energy distance {c.distance:.3f}, p = {c.p:.2g}"
        if self.subgroups is not None:
            said["subgroups"] = self._groups(self.subgroups)
        if self.individuals is not None:
            k = self.individuals.table.loc["kappa within prices"]
            said["individuals"] = (
                f"kappa within prices {k['estimate']:.2f} ({k['lower']:.2f} to {k['upper']:.2f})"
            )
        if self.held_out is not None:
            row = self.held_out.table.iloc[1]
            said["held_out"] = (
                f"prices missed by {row['rmse']:.3f}; gain over the humans' line through other "
                f"prices {row['gain']:+.3f} ({row['gain_lower']:+.3f} to {row['gain_upper']:+.3f})"
            )
        return said

    def _tastes(self, row: Any) -> str:
        ends = f"{row['lower']:.2f} to {row['upper']:.2f}"
        said = f"sd of tastes {row['llm']:.2f} against humans' {row['humans']:.2f}"
        apart = "more alike than people" if row["upper"] < 0 else "less alike than people"
        told = apart if row["upper"] < 0 or row["lower"] > 0 else "not told apart"
        return f"{said} (difference {ends}): {told}"

    def _groups(self, table: pd.DataFrame) -> str:
        known = table[np.isfinite(table["difference"].to_numpy(np.float64))]
        if known.empty:
            return "no group has enough people"
        gap = known["difference"].to_numpy(np.float64)
        worst = int(np.argmax(np.abs(gap)))
        return f"between {gap.min():+.3f} and {gap.max():+.3f} (most in {known.index[worst]})"

    def summary(self) -> str:
        """All tables."""
        show = lambda v: f"{v:.4g}"  # noqa: E731
        parts = []
        if self.spread is not None:
            parts.append("how respondents differ\n" + self.spread.to_string(float_format=show))
        if (c := self.counts) is not None:
            parts.append(
                f"respondents by number of yeses ({c.humans:,} humans, {c.llm:,} LLM)\n"
                + c.table.to_string(float_format=show)
                + f"\nenergy distance {c.distance:.3f} (by chance {c.by_chance:.3f}), p = {c.p:.2g}"
            )
        if self.subgroups is not None:
            parts.append("subgroups\n" + self.subgroups.to_string(float_format=show, na_rep="-"))
        if (i := self.individuals) is not None:
            parts.append(
                f"person by person ({i.respondents:,} people, {i.answers:,} answers)\n"
                + i.table.to_string(float_format=show, na_rep="-")
            )
        if (o := self.held_out) is not None:
            parts.append(
                "each price predicted from the others\n"
                + o.prices.to_string(float_format=show)
                + "\n"
                + o.table.to_string(float_format=show, na_rep="-")
            )
        return "\n\n".join(f"heuristic: {p}" for p in [*parts, *self.notes])

    def plot_spread(self, ax: Axes | None = None) -> Axes:
        """Ratios of spread, LLM over humans."""
        return figures.spread(self._part(self.spread, "spread"), ax)

    def plot_counts(self, ax: Axes | None = None) -> Axes:
        """Respondents by number of yeses."""
        return figures.counts(self._part(self.counts, "counts").table, ax)

    def plot_subgroups(self, ax: Axes | None = None) -> Axes:
        """Differences of shares by group."""
        return figures.subgroups(self._part(self.subgroups, "subgroups"), ax)

    def plot_individuals(self, ax: Axes | None = None) -> Axes:
        """What belief knows of the person, against what chance and margins give."""
        return figures.individuals(self._part(self.individuals, "individuals").table, ax)

    def plot_held_out(self, ax: Axes | None = None) -> Axes:
        """Humans' shares, and what each predictor says of a price that it was not told."""
        return figures.held_out(self._part(self.held_out, "held_out").prices, ax)

    def _part(self, value: T | None, name: str) -> T:
        if value is None:
            said = "; ".join(self.notes) or "no groups were named: give subgroups=[...]"
            raise DesignError(f"no {name} to draw: {said}")
        return value


def fidelity(
    sides: Sides, groups: dict[str, tuple[Array, Array]], who: tuple[int, int], alpha: float
) -> Fidelity:
    """All comparisons that the data allow.

    Parameters
    ----------
    sides : Sides
        Answers by respondent and price.
    groups : mapping of str to pair of arrays
        Of respondents; empty without subgroups.
    who : pair of int
        Respondents of each side.
    alpha : float
        One minus the confidence level.
    """
    notes: list[str] = []
    if min(who) < FEW:
        notes.append(
            f"{who[0]} humans and {who[1]} LLM respondents: below {FEW} intervals of the "
            "comparisons beyond the mean are too short"
        )

    def tried(make: Callable[[Sides, float], T]) -> T | None:
        try:
            return make(sides, alpha)
        except DesignError as error:
            notes.append(f"{make.__name__} not compared: {error}")
            return None

    table, yeses, people = tried(spread), tried(counts), tried(individuals)
    left_out = tried(held_out)
    by_group = subgroups(sides, groups, alpha) if groups else None
    if people is not None and people.impossible:
        notes.append(
            f"{people.impossible} answers were given no probability at all: the log score is minus "
            "infinity"
        )
    return Fidelity(table, yeses, by_group, people, left_out, tuple(notes), alpha)
