"""What is found about one panel: the data of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from llmdemand.belief.audit import MUCH
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import DesignError
from llmdemand.modeling.models.demand import Demand
from llmdemand.modeling.outcomes.frames import WHOSE, Reading
from llmdemand.reporting.measures.quality import FEW, Quality
from llmdemand.reporting.truth import Truth, known_truth

if TYPE_CHECKING:
    from llmdemand.modeling.quantities.quantity import Quantity
    from llmdemand.reporting.measures.needed import RunsNeeded
    from llmdemand.reporting.measures.precision import Precision
    from llmdemand.reporting.measures.prediction import Prediction
    from llmdemand.reporting.measures.variance import Variance
    from llmdemand.reporting.people import People

__all__ = ["Findings"]

# A share that moves by less over the whole price range is called hardly any reaction.
_HARDLY = 0.05
# A slope that moves the log-odds by less over the whole price range is zero.
_ZERO = 1e-9
_ESTIMATES = (
    "price_sensitivity",
    "se",
    "lower",
    "upper",
    "at_price",
    "elasticity",
    "elasticity_lower",
    "elasticity_upper",
    "covariance",
)
_PRICING = ("outcome", "quantity", "at", "estimate", "lower", "upper", "unit", "note")


@dataclass(frozen=True)
class Findings:
    """What tables, figures and page read; `Report` tells its attributes."""

    panel: AnyPanel
    belief: Demand | None
    choice: Demand | None
    precision: Precision | None
    quality: Quality
    needed: RunsNeeded | None = None
    prediction: Prediction | None = None
    variance: Variance | None = None
    problems: tuple[str, ...] = ()
    cost: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    people: People | None = None
    reading: Reading = "pivot"
    selection: pd.DataFrame | None = None

    @cached_property
    def kept(self) -> dict[Any, Any]:
        """What tables, figures and page ask for more than once, by what it is of."""
        return {}

    @property
    def demands(self) -> tuple[Demand, ...]:
        """The fits that there are, belief first."""
        return tuple(d for d in (self.belief, self.choice) if d is not None)

    @property
    def truth(self) -> Truth | None:
        """What is true of the consumer who answered; None of a language model."""
        return known_truth(self.panel)

    @property
    def middle(self) -> float:
        """The middle of the price grid, at which elasticities are reported; NaN without a fit."""
        return float(np.mean(self.demands[0].prices)) if self.demands else float("nan")

    def estimates(self) -> pd.DataFrame:
        """Price sensitivity and elasticity from all usable runs, one row per outcome.

        The elasticity is at the middle of the price grid.
        """
        rows = {}
        for demand in self.demands:
            interval = demand.conf_int().loc["price"]
            nothing = dict.fromkeys(("estimate", "lower", "upper"), float("nan"))
            known = not demand.separated
            elasticity = demand.elasticity(self.middle).table.iloc[0] if known else nothing
            rows[demand.outcome] = {
                "price_sensitivity": demand.price_sensitivity,
                "se": demand.bse["price"],
                "lower": interval["lower"],
                "upper": interval["upper"],
                "at_price": self.middle,
                "elasticity": elasticity["estimate"],
                "elasticity_lower": elasticity["lower"],
                "elasticity_upper": elasticity["upper"],
                "covariance": _covariance_name(demand),
            }
        return pd.DataFrame(rows, index=list(_ESTIMATES)).T.rename_axis("outcome")

    @property
    def _grid(self) -> tuple[float, ...]:
        """Lowest, middle and highest price of the fits."""
        if not self.demands:
            return ()
        prices = self.demands[0].prices
        return min(prices), self.middle, max(prices)

    def pricing(self, cost: float | None = None) -> pd.DataFrame:
        """Elasticities, indifference price and best prices, one row per outcome and quantity.

        Elasticities are at the lowest, middle and highest price; the price of the highest
        profit needs a unit `cost`, that of the report by default. What does not exist is
        NaN, and `note` says why.

        Returns
        -------
        pandas.DataFrame
            ``outcome, quantity, at, estimate, lower, upper, unit, note``; intervals of 95 %.
        """
        cost = self.cost if cost is None else cost
        nowhere = float("nan")
        asked = [("elasticity", price) for price in self._grid]
        asked += [("indifference price", nowhere), ("revenue-maximising price", nowhere)]
        asked += [] if cost is None else [("profit-maximising price", cost)]
        if ("pricing", cost) not in self.kept:
            rows = [_priced(demand, *question) for demand in self.demands for question in asked]
            self.kept["pricing", cost] = pd.DataFrame(rows, columns=list(_PRICING))
        found: pd.DataFrame = self.kept["pricing", cost]
        return found.copy()

    def verdict(self) -> str:
        """What the estimates say about the reaction to price, in words; belief's where there is."""
        if not self.demands:
            return "Nothing can be said about demand from this panel."
        reservations = [self._reaction(self.demands[0])]
        if self.quality.readable < FEW and self.belief is not None:
            usable, runs = self.panel.usable_runs, len(self.panel)
            reservations.append(f"But only {usable:,} of {runs:,} answers could be used.")
        if self.quality.mismatch > MUCH and self.reading == "pivot":
            reservations.append(
                f"But {100 * self.quality.mismatch:.0f} % of the answers choose something else in "
                "the end."
            )
        if self.quality.position_locked:
            reservations.append("But the answers follow the position in which options are named.")
        if self.panel.study.focal in self.panel.study.price_fields:
            reservations.append("But prices are the respondents' own, not set by a design.")
        return " ".join(reservations)

    def _reaction(self, demand: Demand) -> str:
        study = self.panel.study
        name = study.menu[study.focal].label
        alone = "" if demand is self.belief else " (from choice alone: there is no belief)"
        if demand is self.belief and self.reading in ("stated", "similarity"):
            alone = f" (by {WHOSE[self.reading]})"
        if demand.separated:
            return (
                f"No finite reaction to price can be estimated{alone}: {demand.outcome} in {name} "
                "is all or nothing over the prices."
            )
        interval = demand.conf_int().loc["price"]
        low, high = min(demand.prices), max(demand.prices)
        first, last = demand.demand_curve([low, high]).table["estimate"]
        if _flat(demand):
            return (
                f"No reaction to price{alone}: the share of {name} is {first:.2f} at every price."
            )
        numbers = (
            f"price sensitivity {demand.price_sensitivity:.4f} per unit ({study.unit}), 95 % "
            f"interval {interval['lower']:.4f} to {interval['upper']:.4f}; the share of {name} "
            f"goes from {first:.2f} at {low:g} to {last:.2f} at {high:g}"
        )
        if interval["lower"] <= 0 <= interval["upper"]:
            return f"No reaction to price can be shown{alone}: {numbers}."
        moves = "falls" if demand.price_sensitivity < 0 else "rises"
        if abs(first - last) < _HARDLY:
            return (
                f"This model hardly reacts to price{alone} (demand {moves}, but little): {numbers}."
            )
        return f"Demand {moves} with price{alone}: {numbers}."


def _priced(demand: Demand, quantity: str, at: float) -> dict[str, Any]:
    """One row of `Report.pricing`."""
    nan = float("nan")
    row = {"outcome": demand.outcome, "quantity": quantity, "at": at}
    empty = {"estimate": nan, "lower": nan, "upper": nan, "unit": demand.unit}
    if demand.separated:
        return {**row, **empty, "note": "no finite estimate: separated"}
    if quantity != "elasticity" and _flat(demand):
        return {**row, **empty, "note": "none: demand does not react to price"}
    try:
        found = _asked(demand, quantity, at)
    except DesignError as error:
        return {**row, **empty, "note": str(error)}
    values = {k: float(getattr(found, k)) for k in ("estimate", "lower", "upper")}
    return {**row, **values, "unit": found.unit, "note": "; ".join(found.notes)}


def _asked(demand: Demand, quantity: str, at: float) -> Quantity:
    if quantity == "elasticity":
        return demand.elasticity(at)
    if quantity == "indifference price":
        return demand.willingness_to_pay()
    if quantity == "revenue-maximising price":
        return demand.optimal_price(kind="revenue")
    return demand.optimal_price(at)


def _flat(demand: Demand) -> bool:
    """Whether demand is the same at all prices, up to rounding."""
    reach = max(demand.prices) - min(demand.prices)
    return abs(demand.price_sensitivity) * reach < _ZERO


def _covariance_name(demand: Demand) -> str:
    fit, cluster = demand.fit, ""
    if fit.clusters is not None:
        cluster = f", {fit.clusters} clusters, t({fit.df:.0f})"
    return f"{fit.vcov}{cluster}"
