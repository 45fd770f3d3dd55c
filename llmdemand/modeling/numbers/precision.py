"""Belief against choice in questions of numbers: standard errors, and the runs that each needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmdemand.errors import UsageError
from llmdemand.modeling.numbers.result import NumberFit
from llmdemand.modeling.printed import Printed, with_notes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NumberPrecision"]


@dataclass(frozen=True, repr=False)
class NumberPrecision(Printed):
    """The same regression of beliefs and of choices, side by side.

    Attributes
    ----------
    belief, choice : NumberFit
        The fits.
    runs : float
        Runs per cell, on average.
    notes : tuple of str
        What is to be said besides.
    """

    belief: NumberFit
    choice: NumberFit
    runs: float
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """By coefficient: both estimates and standard errors, and ``worth``.

        ``worth`` is the variance by choice over that by belief: how many runs of choice one run
        of belief is worth.
        """
        import pandas as pd

        a, b = self.belief, self.choice
        shared = [t for t in a.terms if t in b.terms]
        found = pd.DataFrame(
            {
                "belief": a.params[shared],
                "se_belief": a.bse[shared],
                "choice": b.params[shared],
                "se_choice": b.bse[shared],
            }
        )
        return found.assign(worth=(found["se_choice"] / found["se_belief"]) ** 2)

    def runs_needed(
        self, term: str = "price", tolerance: float = 0.10, confidence: float = 0.95
    ) -> pd.Series[float]:
        """Runs per cell until an estimate is within `tolerance` of what many runs would give.

        ``n = R (z se / (tolerance |estimate|))^2``, with z of the normal law and R the runs of
        the panel, rounded up; of each outcome by its own estimate and standard error.

        Raises
        ------
        UsageError
            For an unknown coefficient, and numbers that are none.
        """
        import pandas as pd
        from scipy import stats

        table = self.table
        if term not in table.index:
            raise UsageError(f"no coefficient {term!r}: both fits have {', '.join(table.index)}")
        if not (tolerance > 0 and 0 < confidence < 1):
            raise UsageError(
                f"tolerance={tolerance}, confidence={confidence}: give a positive share, and a "
                "number between 0 and 1"
            )
        z, row, found = float(stats.norm.ppf((1 + confidence) / 2)), table.loc[term], {}
        for outcome in ("belief", "choice"):
            reach = z * row[f"se_{outcome}"] / (tolerance * abs(row[outcome]))
            found[outcome] = math.ceil(self.runs * reach**2) if math.isfinite(reach) else math.nan
        return pd.Series(found, name=f"runs per cell for {term}")

    def __str__(self) -> str:
        lines = [
            f"{self.belief.kind}: belief against choice, {self.runs:g} runs per cell, standard "
            f"errors {self.belief.vcov}",
            self.table.to_string(float_format=lambda v: f"{v:.4g}"),
        ]
        if "price" in self.table.index:
            needed = self.runs_needed()
            lines.append(
                f"runs per cell for a price coefficient within 10 % (95 %): belief "
                f"{needed['belief']:g}, choice {needed['choice']:g}"
            )
        return with_notes(lines, self.notes)
