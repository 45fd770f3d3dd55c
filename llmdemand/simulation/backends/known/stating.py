"""How a consumer whose demand is known states percentages: sharper or duller, and in round ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from llmdemand.errors import UsageError

__all__ = ["Stating"]


@dataclass(frozen=True)
class Stating:
    """From beliefs to the percentages that are stated.

    Beliefs b become ``b^sharpness / sum b^sharpness``, which are rounded to multiples of `step`
    that sum to 100 (largest remainders).

    Attributes
    ----------
    step : float
        What percentages are multiples of; it divides 100.
    sharpness : float
        1: beliefs are stated as they are; above 1 too sure, below 1 too cautious.

    Raises
    ------
    UsageError
        For a step that does not divide 100, or a sharpness that is not positive.

    Examples
    --------
    >>> Stating(5.0).percentages({"a": 0.62, "b": 0.27, "c": 0.11})
    {'a': 60.0, 'b': 30.0, 'c': 10.0}
    """

    step: float = 5.0
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        whole = self.step > 0 and abs(100 / self.step - round(100 / self.step)) < 1e-9
        if not whole or not 0 < self.sharpness < math.inf:
            raise UsageError(
                f"stated_step={self.step}, stated_sharpness={self.sharpness}: give a step that "
                "divides 100, and a positive sharpness"
            )

    def percentages(self, beliefs: Mapping[str, float]) -> dict[str, float]:
        """Percentages by alternative, sum 100."""
        largest = max(beliefs.values())
        powers = {a: (b / largest) ** self.sharpness for a, b in beliefs.items()}
        whole, many = sum(powers.values()), round(100 / self.step)
        exact = {a: many * p / whole for a, p in powers.items()}
        steps = {a: math.floor(x) for a, x in exact.items()}
        by_rest = sorted(exact, key=lambda a: exact[a] - steps[a], reverse=True)
        for a in by_rest[: many - sum(steps.values())]:
            steps[a] += 1
        return {a: round(n * self.step, 9) for a, n in steps.items()}

    def text(self, beliefs: Mapping[str, float], labels: Mapping[str, str]) -> str:
        """A line per label, in their order."""
        said = self.percentages(beliefs)
        return "\n".join(f"{label}: {said[a]:g}%" for a, label in labels.items())
