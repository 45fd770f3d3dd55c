"""Consumers whose quantities or ratings are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from llmdemand.core.menu import Menu
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.simulation.backends.known.consumer import Levels, uniform

__all__ = ["NumberConsumer"]

_MOST, _LEAST = 0.8, 0.15  # of the largest quantity, at the lowest and the highest price
_SPACE = 1.2  # between two cuts of a rating, in log-odds
_RANGE = 4.0  # by which a rating's utility falls over the price grid


@dataclass(frozen=True)
class NumberConsumer:
    """A consumer who answers with a number whose law is known at all prices.

    Quantities from 0 to n are binomial with a mean that is log-linear in the price x, and ratings
    from 1 to n an ordered logit::

        E q  = (n / 2) exp(slope (x - indifference)),    q ~ Binomial(n, E q / n)
        logit P(y <= k) = 1.2 (k - n / 2) - slope (x - indifference)

    so that a Poisson regression of expected quantities and an ordered logit of ratings have the
    price coefficient `slope`. At the price `indifference` half of n is bought, or the middle is
    as likely to be reached as not.

    Attributes
    ----------
    kind : str
        ``quantity`` or ``rating``.
    menu : Menu
        The possible answers.
    values : tuple of int
        The number of each.
    product : str
        Whose price it is.
    slope, indifference : float
        See above; per unit of price, and a price.
    persona_sd, persona_slope_sd : float
        Standard deviations of both over personas (normal laws).
    persona_seed : int
        Another seed gives other people.

    Raises
    ------
    UsageError
        When asked for a quantity whose mean would be beyond the largest answer.

    Examples
    --------
    >>> from llmdemand.core.questionnaire.question import Question
    >>> from llmdemand.core.menu import Alternative
    >>> menu = Question("quantity", 4, "packs", products=(Alternative("tea", "Tea"),)).menu()
    >>> consumer = NumberConsumer("quantity", menu, (0, 1, 2, 3, 4), "tea", -0.5, 6.0)
    >>> consumer.mean({"tea": 6.0}), round(consumer.mean({"tea": 7.0}), 3)
    (2.0, 1.213)
    """

    kind: str
    menu: Menu
    values: tuple[int, ...]
    product: str
    slope: float
    indifference: float
    persona_sd: float = 0.0
    persona_slope_sd: float = 0.0
    persona_seed: int = 0
    usual: Mapping[str, float] = field(default_factory=dict)
    constants: None = None

    @classmethod
    def of(cls, study: Study, options: Mapping[str, Any]) -> NumberConsumer:
        """The consumer of a study, with the options of `SyntheticBackend` that apply.

        Raises
        ------
        UsageError
            For options of choices, and for numbers that are none.
        """
        assert study.question is not None
        slope, indifference = options.get("slope"), options.get("indifference")
        low, high = min(study.prices[study.focal]), max(study.prices[study.focal])
        width = high - low or 1.0
        if study.kind == "quantity":
            steep = math.log(_LEAST / _MOST) / width
            middle = low + math.log(2 * _MOST) / -(steep if slope is None else slope or steep)
        else:
            steep, middle = -_RANGE / width, (low + high) / 2
        people = {k: options.get(k, 0) for k in ("persona_sd", "persona_slope_sd", "persona_seed")}
        found = cls(
            study.kind,
            study.menu,
            study.question.values,
            study.focal,
            round(steep if slope is None else slope, 12),
            round(middle if indifference is None else indifference, 12),
            **people,
        )
        numbers = [found.slope, found.indifference, found.persona_sd, found.persona_slope_sd]
        if not all(map(math.isfinite, numbers)) or min(numbers[2:]) < 0:
            raise UsageError(
                f"slope={found.slope}, indifference={found.indifference}, persona_sd="
                f"{found.persona_sd}, persona_slope_sd={found.persona_slope_sd}: give finite "
                "numbers, and standard deviations of 0 or more"
            )
        for cell in study.cells():
            found.shares(cell.prices, persona=cell.persona.get("id"))
        return found

    def parameters(self, persona: str | None = None) -> tuple[float, float]:
        """Slope and indifference price of one persona; of the average one by default."""
        from statistics import NormalDist

        found = [self.slope, self.indifference]
        for k, (what, sd) in enumerate(
            (("slope", self.persona_slope_sd), ("indifference", self.persona_sd))
        ):
            if persona is not None and sd:
                drawn = uniform(self.persona_seed, what, persona)
                found[k] += sd * NormalDist().inv_cdf(drawn)
        return found[0], found[1]

    def shares(
        self,
        prices: Mapping[str, float],
        *,
        order: Sequence[str] | None = None,
        persona: str | None = None,
        attributes: Levels | None = None,
    ) -> dict[str, float]:
        """The probability of every answer, ascending; sum 1. Such studies have no attributes."""
        slope, indifference = self.parameters(persona)
        utility = slope * (prices[self.product] - indifference)
        n = self.values[-1]
        if self.kind == "rating":
            cuts = [_logistic(_SPACE * (k - n / 2) - utility) for k in range(1, n)]
            ends = [0.0, *cuts, 1.0]
            found = [b - a for a, b in pairwise(ends)]
        else:
            p = math.exp(utility) / 2
            if p > 1:
                whose = f" of persona {persona!r}" if persona else ""
                raise UsageError(
                    f"the mean quantity{whose} at a price of {prices[self.product]:g} is "
                    f"{n * p:.4g}, and the largest answer {n}: give a lower indifference price or "
                    "a flatter slope, or a smaller spread of both"
                )
            found = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in self.values]
        return dict(zip(self.menu.ids, found, strict=True))

    def mean(self, prices: Mapping[str, float], persona: str | None = None) -> float:
        """The expected number."""
        shares = self.shares(prices, persona=persona)
        return math.fsum(v * s for v, s in zip(self.values, shares.values(), strict=True))

    def law(
        self,
        prices: Mapping[str, float],
        *,
        order: Sequence[str] | None = None,
        persona: str | None = None,
        attributes: Levels | None = None,
    ) -> tuple[float, Mapping[str, float]]:
        """The probability of the first answer, and how the others divide the rest."""
        first, *others = self.shares(prices, persona=persona).items()
        rest = math.fsum(s for _, s in others)
        return first[1], {a: s / rest for a, s in others}

    def over_design(self, study: Study) -> dict[str, Any]:
        """What is true of a study's design, as panels keep it."""
        means = [self.mean(c.prices, c.persona.get("id")) for c in study.cells()]
        return {
            "kind": self.kind,
            "slope": self.slope,
            "indifference": self.indifference,
            "mean": math.fsum(means) / len(means),
            "cells": len(means),
        }


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))
