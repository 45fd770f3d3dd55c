"""Where the LLM is off in choice sets: shares or price coefficients by groups of respondents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.fidelity.sets.answers import Both, Sets, cases_of, fitted
from llmdemand.calibration.fidelity.subgroups import compared
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, sums

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["subgroups"]

#: A number of one side's group, and respondents' contributions to its error.
_Number = Callable[[Sets, Any, int], tuple[float, Array]]


def subgroups(
    both: Both, groups: dict[str, tuple[Array, Array]], price: int | None, alpha: float
) -> pd.DataFrame:
    """LLM minus humans by group: the price coefficient, or the share of each alternative.

    Parameters
    ----------
    both : Both
        Choice sets of both sides.
    groups : mapping of str to pair of (n,) arrays
        0/1 by respondent.
    price : int or None
        Place of the price coefficient; None for shares, where alternatives are brands with
        constants of their own.
    alpha : float
        One minus the confidence level.

    Returns
    -------
    pandas.DataFrame
        As `llmdemand.calibration.fidelity.subgroups.subgroups`; a row for each group, or for each
        of its alternatives. A group in which a side has no finite demand has no difference.
    """

    def rows() -> Iterator[tuple[str, tuple[Any, Any], _Number]]:
        for label, member in groups.items():
            inside = tuple(
                m[s.who] > 0 for m, s in zip(member, (both.humans, both.llm), strict=True)
            )
            if price is not None:
                yield label, (inside[0], inside[1]), _slope(price)
                continue
            for a, name in enumerate(both.alternatives):
                yield f"{label}: {name}", (inside[0], inside[1]), _share(a)

    n = len(both.respondents.side)
    found = {}
    for label, inside, number in rows():
        people = [
            len(np.unique(s.who[i])) for s, i in zip((both.humans, both.llm), inside, strict=True)
        ]
        sides, note = None, ""
        if min(people) < 2:
            note = "too few"
        else:
            try:
                sides = [
                    number(s, i, n) for s, i in zip((both.humans, both.llm), inside, strict=True)
                ]
            except DesignError:
                note = "no finite demand of this group on one side"
        found[label] = sides, people, note
    return compared(found, alpha)


def _share(a: int) -> _Number:
    def number(sets: Sets, kept: Any, n: int) -> tuple[float, Array]:
        y, who = sets.y[kept, a], sets.who[kept]
        mean = float(y.mean())
        return mean, sums(who, (y - mean) / len(y), n)

    return number


def _slope(k: int) -> _Number:
    def number(sets: Sets, kept: Any, n: int) -> tuple[float, Array]:
        params = fitted(sets, kept, "in a group")
        cases = cases_of(sets, kept)
        own = cases.scores(params) @ np.linalg.inv(cases.information(params))[:, k]
        return float(params[k]), sums(sets.who[kept], own, n)

    return number
