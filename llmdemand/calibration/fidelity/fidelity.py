"""Everything beyond the mean in which an LLM is held against people, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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

__all__ = ["Attempts", "Fidelity", "fidelity"]

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
        Small samples, and what has to be known.
    alpha : float
        One minus the confidence level.
    why : mapping of str to str
        Why something is missing, by the names of `llmdemand.discrepancy`'s table of licences.
    groups : str
        What `subgroups` compares.
    """

    spread: pd.DataFrame | None
    counts: Counts | None
    subgroups: pd.DataFrame | None
    individuals: Individuals | None
    held_out: HeldOut | None
    notes: tuple[str, ...]
    alpha: float
    why: Mapping[str, str] = field(default_factory=dict)
    groups: str = "share of yeses"

    @property
    def _line(self) -> str:
        return "heuristic: " + ("; ".join(self.found.values()) or "nothing could be compared")

    @property
    def found(self) -> dict[str, str]:
        """What was compared, a sentence each, by the names of `llmdemand.discrepancy`'s table."""
        said = {}
        if self.spread is not None:
            if ANSWER in self.spread.index:
                v = self.spread.loc[ANSWER]
                said["variance"] = f"{v['llm']:.3f} against humans' {v['humans']:.3f}"
            tastes = [n for n in self.spread.index if n == TASTE or str(n).startswith("sd(")]
            told = (self._tastes(str(n), self.spread.loc[n]) for n in tastes)
            said["heterogeneity"] = "; ".join(told)
        if self.counts is not None:
            c = self.counts
            said["distribution"] = f"energy distance {c.distance:.3f}, p = {c.p:.2g}"
        if self.subgroups is not None:
            said["subgroups"] = f"{self.groups} {self._groups(self.subgroups)}"
        if self.individuals is not None:
            said["individuals"] = self.individuals.found
        if self.held_out is not None:
            said["held_out"] = self.held_out.found
        return said

    def _tastes(self, name: str, row: Any) -> str:
        ends = f"{row['lower']:.2f} to {row['upper']:.2f}"
        shown = "sd of tastes" if name == TASTE else name
        said = f"{shown} {row['llm']:.2f} against humans' {row['humans']:.2f}"
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
                f"respondents by number of {c.what} ({c.humans:,} humans, {c.llm:,} LLM)\n"
                + c.table.to_string(float_format=show)
                + f"\nenergy distance {c.distance:.3f} (by chance {c.by_chance:.3f}), p = {c.p:.2g}"
            )
        if self.subgroups is not None:
            parts.append(
                f"subgroups, {self.groups}\n"
                + self.subgroups.to_string(float_format=show, na_rep="-")
            )
        if (i := self.individuals) is not None:
            parts.append(
                f"person by person ({i.respondents:,} people, {i.answers:,} answers)\n"
                + i.table.to_string(float_format=show, na_rep="-")
            )
        if (o := self.held_out) is not None:
            parts.append(
                f"each {o.prices.index.name or 'price'} predicted from the others\n"
                + o.prices.to_string(float_format=show)
                + "\n"
                + o.table.to_string(float_format=show, na_rep="-")
            )
        return "\n\n".join(f"heuristic: {p}" for p in [*parts, *self.notes])

    def plot_spread(self, ax: Axes | None = None) -> Axes:
        """Ratios of spread, LLM over humans."""
        return figures.spread(self._part(self.spread, "spread"), ax)

    def plot_counts(self, ax: Axes | None = None) -> Axes:
        """Respondents by number of yeses, or of choices of one alternative."""
        found = self._part(self.counts, "counts")
        return figures.counts(found.table, found.what, ax)

    def plot_subgroups(self, ax: Axes | None = None) -> Axes:
        """Differences of shares, or of price coefficients, by group."""
        return figures.subgroups(self._part(self.subgroups, "subgroups"), self.groups, ax)

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


@dataclass(frozen=True)
class Attempts:
    """Comparisons that were tried, and why some could not be made.

    Attributes
    ----------
    why : mapping of str to str
        By the names of `llmdemand.calibration.fidelity.licences.ROWS`; filled by calls.
    """

    why: dict[str, str] = field(default_factory=dict)

    def __call__(self, names: str, make: Callable[[], T]) -> T | None:
        """What `make` gives; None where the data do not allow it, and why under each name."""
        try:
            return make()
        except DesignError as error:
            self.why.update(dict.fromkeys(names.split(), str(error)))
            return None

    def notes(self, people: Individuals | None, who: tuple[int, int]) -> tuple[str, ...]:
        """Small samples, what was not compared, and what has to be known of the rest."""
        few = (
            f"{who[0]} humans and {who[1]} LLM respondents: below {FEW} intervals of the "
            "comparisons beyond the mean are too short"
        )
        said: dict[str, list[str]] = {}
        for name, reason in self.why.items():
            said.setdefault(reason, []).append(name.replace("_", " "))
        return (
            *([few] if min(who) < FEW else []),
            *(f"{' and '.join(names)} not compared: {reason}" for reason, names in said.items()),
            *(people.notes if people is not None else []),
        )


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
    tried = Attempts()
    table = tried("variance heterogeneity", lambda: spread(sides, alpha))
    yeses = tried("distribution", lambda: counts(sides, alpha))
    people = tried("individuals", lambda: individuals(sides, alpha))
    left_out = tried("held_out", lambda: held_out(sides, alpha))
    by_group = subgroups(sides, groups, alpha) if groups else None
    notes = tried.notes(people, who)
    return Fidelity(table, yeses, by_group, people, left_out, notes, alpha, tried.why)
