"""Probability mass of the alternatives at one position."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmdemand.belief.automaton import UNPLACED, Place
from llmdemand.belief.mass import listed_once
from llmdemand.belief.tokens import Token

__all__ = ["SUM_TOLERANCE", "Masses"]

#: Sums of probabilities are at most one up to this.
SUM_TOLERANCE = 1e-3


class Masses:
    """Sums what decides for each alternative.

    Parameters
    ----------
    alternatives : int
        Of the menu.
    power : float
        One over the temperature at which answers were sampled.
    listed : int or None
        Candidates that are read.
    """

    def __init__(self, alternatives: int, power: float, listed: int | None) -> None:
        self._alternatives, self.power, self.listed = alternatives, power, listed

    def of(
        self, place: Place, names: Sequence[bytes], values: Sequence[float], hollow: bool
    ) -> tuple[list[float], list[float], float, float, float]:
        """What decides for each alternative, all, what cannot be placed.

        The first and the last as reported and tempered.
        """
        exp, power = math.exp, self.power
        mass = [0.0] * self._alternatives
        tempered = mass if power == 1 else [0.0] * self._alternatives
        total = lost = unlisted = 0.0
        for data, value in zip(names, values, strict=True):
            probability = exp(value)
            total += probability
            outcome = UNPLACED if hollow and not data else place[data][1]
            if outcome >= 0:
                mass[outcome] += probability
                if power != 1:
                    tempered[outcome] += exp(power * value)
            elif outcome == UNPLACED:
                lost += probability
                unlisted += exp(power * value)
        return mass, tempered, total, lost, unlisted

    def at_name(self, place: Place, token: Token) -> tuple[float, ...] | None:
        """Belief at a later name; None where its token is not listed or the list is no law."""
        names, values, status = listed_once(token, self.listed)
        if status or token.data not in names:
            return None
        _, tempered, total, _, _ = self.of(place, names, values, False)
        weight = sum(tempered)
        if total > 1.0 + SUM_TOLERANCE or not weight > 0:
            return None
        return tuple([m / weight for m in tempered])
