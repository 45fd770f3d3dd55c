"""What a choice experiment says of its attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmdemand.core.line import OneLine
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.partworths.figure import drawn
from llmdemand.modeling.partworths.holdouts import Holdouts
from llmdemand.modeling.quantities.quantity import Quantity

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["PartWorths"]


@dataclass(frozen=True, repr=False)
class PartWorths(OneLine):
    """Part-worths, importances and willingness to pay, from a conditional logit.

    Attributes
    ----------
    fit : Demand
        The conditional logit, with all its quantities.
    part_worths : Quantity
        Utilities by ``attribute, level``, of each attribute with mean zero, as Sawtooth Software
        reports them; an ``alternative`` is an attribute where alternatives are brands.
    slopes : Quantity or None
        Utility per unit of the price and of attributes that enter linearly.
    importances : Quantity
        By ``attribute``: its range of utility, in per cent of the sum of all ranges. It belongs
        to the levels that were shown: a wider price range makes price more important.
    worth : Quantity or None
        Willingness to pay by ``attribute, level`` instead of its first level, or for a unit of a
        linear attribute, in the study's unit; None where the price does not vary.
    tests : pandas.DataFrame
        By attribute the Wald test that all its levels are worth the same: ``statistic, df,
        pvalue``.
    holdouts : Holdouts or None
        How well tasks are predicted that were not fitted to; None without any.
    truth : pandas.DataFrame or None
        Of a known-truth consumer ``attribute, level, estimate, se, truth, z``.
    unit : str
        Of prices.
    notes : tuple of str
        What a reader has to know besides.
    """

    fit: Fit
    part_worths: Quantity
    slopes: Quantity | None
    importances: Quantity
    worth: Quantity | None
    tests: pd.DataFrame
    holdouts: Holdouts | None
    truth: pd.DataFrame | None
    unit: str
    notes: tuple[str, ...] = ()

    @property
    def _line(self) -> str:
        table = self.importances.table.sort_values("estimate", ascending=False, kind="stable")
        named = [f"{r.attribute} {r.estimate:.0f} %" for r in table.itertuples()]
        return f"importances {', '.join(named)} of {self.fit.outcome}, {self.fit.nobs:.12g} answers"

    def summary(self) -> str:
        """Everything as text."""
        parts = [
            f"Part-worths of {self.fit.outcome}, {self.fit.nobs:,.12g} answers, covariance "
            f"{self.fit.vcov}",
            *(
                q.summary()
                for q in (self.part_worths, self.slopes, self.importances, self.worth)
                if q
            ),
            "are the levels of an attribute worth the same? (Wald tests)\n"
            + self.tests.to_string(index=False, float_format=lambda v: f"{v:.4g}"),
        ]
        if self.holdouts is not None:
            parts.append(self.holdouts.summary())
        if self.truth is not None:
            shown = self.truth.to_string(index=False, float_format=lambda v: f"{v:.3g}")
            parts.append(f"against the known truth (z: standard errors away)\n{shown}")
        return "\n\n".join([*parts, *(f"note: {n}" for n in self.notes)])

    def __str__(self) -> str:
        return self.summary()

    def to_frame(self) -> pd.DataFrame:
        """Part-worths with the importance of their attribute and what they are worth in money."""
        table = self.part_worths.to_frame()
        importance = self.importances.table.set_index("attribute")["estimate"]
        table["importance"] = table["attribute"].map(importance)
        if self.worth is not None:
            worth = self.worth.table.set_index(["attribute", "level"])["estimate"]
            keys = list(zip(table["attribute"], table["level"], strict=True))
            table["worth"] = [worth.get(key, 0.0) for key in keys]
        return table

    def plot(self, *parts: str) -> Figure:
        """Draw ``part-worths``, ``importances`` and ``worth``, those named or all."""
        return drawn(parts, self.part_worths, self.importances, self.worth, self.unit)
