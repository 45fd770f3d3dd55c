"""Everything beyond the mean in which an LLM is held against people who chose from sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.fidelity.counts import Counts, counts
from llmdemand.calibration.fidelity.fidelity import Attempts, Fidelity
from llmdemand.calibration.fidelity.sets.agreement import individuals
from llmdemand.calibration.fidelity.sets.answers import Both, Sets
from llmdemand.calibration.fidelity.sets.groups import subgroups
from llmdemand.calibration.fidelity.sets.products import held_out
from llmdemand.calibration.fidelity.sides import Sides
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.calibration.fidelity.held_out import HeldOut

__all__ = ["fidelity"]

_VARIANCE = (
    "a choice set is answered once, by one choice: how uncertain it was is not seen apart from a "
    "model of it; the likelihood per task says how far belief was from it"
)


def fidelity(
    both: Both,
    tastes: Callable[[], pd.DataFrame],
    groups: Mapping[str, tuple[Array, Array]],
    price: str,
    focal: str | None,
    alpha: float,
) -> Fidelity:
    """All comparisons of choice sets that the data allow.

    Parameters
    ----------
    both : Both
        Choice sets of both sides.
    tastes : callable
        Makes the table of `llmdemand.calibration.fidelity.sets.tastes.spread`.
    groups : mapping of str to pair of arrays
        Of respondents; empty without subgroups.
    price : str
        The price term, in which groups are compared where alternatives have no constants.
    focal : str or None
        Alternative whose choices are counted.
    alpha : float
        One minus the confidence level.
    """
    tried = Attempts({"variance": _VARIANCE})
    spread = tried("heterogeneity", tastes)
    choices = tried("distribution", lambda: _counts(both, focal, alpha))
    people = tried("individuals", lambda: individuals(both, alpha))
    left_out = tried("held_out", lambda: _held_out(both, alpha))
    slope = None if both.brands or price not in both.terms else both.terms.index(price)
    by_group = subgroups(both, dict(groups), slope, alpha) if groups else None
    side = both.respondents.side
    who = int(np.sum(side & 1 > 0)), int(np.sum(side & 2 > 0))
    what = "share" if slope is None else "price coefficient"
    notes = tried.notes(people, who)
    return Fidelity(spread, choices, by_group, people, left_out, notes, alpha, tried.why, what)


def _held_out(both: Both, alpha: float) -> HeldOut:
    if both.brands:
        raise DesignError(
            "each alternative has a constant of its own, of which people tell nothing where it is "
            "not offered; transport(..., by=...) carries the LLM's error there, by an assumption"
        )
    return held_out(both, alpha)


def _counts(both: Both, focal: str | None, alpha: float) -> Counts:
    """Respondents by the number of tasks in which they take one alternative."""
    if focal is None or focal not in both.alternatives:
        raise DesignError("name the alternative whose number of choices is compared: focal=...")
    a, n = both.alternatives.index(focal), len(both.respondents.side)
    offered = both.humans.offered[:, a]
    tasks = np.bincount(both.humans.who[offered], minlength=n)
    size = int(np.bincount(tasks[tasks > 0]).argmax()) if offered.any() else 0
    asked, mean = zip(*(_table(s, a, n, size) for s in (both.humans, both.llm)), strict=True)
    levels = np.arange(size, dtype=np.float64)
    drawn = both.respondents
    sides = Sides(levels, (asked[0], asked[1]), (mean[0], mean[1]), drawn.reps, drawn.seed)
    return replace(counts(sides, alpha), what=f"tasks of {size} in which {focal} is taken")


def _table(sets: Sets, a: int, n: int, size: int) -> tuple[Array, Array]:
    """Whether each respondent of so many tasks was offered an alternative, and took it."""
    kept = sets.offered[:, a]
    who, took = sets.who[kept], sets.y[kept, a]
    order = np.argsort(who, kind="stable")
    who, took = who[order], took[order]
    each = np.bincount(who, minlength=n)
    place = np.arange(len(who)) - (np.cumsum(each) - each)[who]
    whole = each[who] == size
    asked, mean = np.zeros((n, size)), np.zeros((n, size))
    asked[who[whole], place[whole]], mean[who[whole], place[whole]] = 1, took[whole]
    return asked, mean
