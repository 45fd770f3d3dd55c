"""Belief against choice on one panel: the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.models.demand import Demand, fit_demand
from llmdemand.reporting.measures.precision import Precision, precision
from llmdemand.reporting.measures.quality import FEW, Quality, quality
from llmdemand.reporting.parts import BELIEF, CHOICE, Parts

if TYPE_CHECKING:
    from llmdemand.belief.tokens import Response
    from llmdemand.calibration.calibrated import CalibratedDemand
    from llmdemand.calibration.discrepancy import Discrepancy
    from llmdemand.calibration.sample_plan import SamplePlan
    from llmdemand.modeling.quantities.quantity import Quantity
    from llmdemand.reporting.measures.needed import RunsNeeded
    from llmdemand.reporting.measures.prediction import Prediction
    from llmdemand.reporting.measures.variance import Variance
    from llmdemand.reporting.people import People

__all__ = ["Report", "compare"]

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
class Report:
    """Everything that is said about one panel. What the panel cannot give is None.

    Attributes
    ----------
    panel : Panel
        The runs.
    belief, choice : Demand or None
        The fits on all usable runs.
    precision : Precision or None
        What n runs would have given.
    quality : Quality
        Statuses, masses, order effects.
    needed : RunsNeeded or None
        Runs for a given accuracy.
    prediction : Prediction or None
        How fits on n runs predict the choices that they have not seen.
    variance : Variance or None
        Where the variance of belief and of choice lies, and what a belief run is worth.
    problems : tuple of str
        Sentences: what is missing or should not be trusted, why, and what to do.
    cost : float or None
        Unit cost, for the price of the highest profit.
    settings : mapping
        The arguments of `compare` that reproduce the report.
    people : People or None
        Human data and what they say: see `with_people`.
    """

    panel: Panel
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

    def with_people(
        self,
        calibration: CalibratedDemand,
        discrepancy: Discrepancy | None = None,
        plan: SamplePlan | None = None,
    ) -> Report:
        """The report with a section on people: tables, figures and page show it.

        Parameters
        ----------
        calibration : CalibratedDemand
            From `llmdemand.calibrate`.
        discrepancy : Discrepancy, optional
            From `llmdemand.discrepancy`.
        plan : SamplePlan, optional
            From `llmdemand.plan_sample`.
        """
        from llmdemand.reporting.people import People

        return replace(self, people=People(calibration, discrepancy, plan))

    @property
    def demands(self) -> tuple[Demand, ...]:
        """The fits that there are, belief first."""
        return tuple(d for d in (self.belief, self.choice) if d is not None)

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
        rows = [_priced(demand, *question) for demand in self.demands for question in asked]
        return pd.DataFrame(rows, columns=list(_PRICING))

    def verdict(self) -> str:
        """What the estimates say about the reaction to price, in words; belief's where there is."""
        if not self.demands:
            return "Nothing can be said about demand from this panel."
        reservations = [self._reaction(self.demands[0])]
        if self.quality.readable < FEW and self.belief is not None:
            usable, runs = len(self.panel.usable), len(self.panel)
            reservations.append(f"But only {usable:,} of {runs:,} answers could be used.")
        if self.quality.position_locked:
            reservations.append("But the answers follow the position in which options are named.")
        if self.panel.study.focal in self.panel.study.price_fields:
            reservations.append("But prices are the respondents' own, not set by a design.")
        return " ".join(reservations)

    def _reaction(self, demand: Demand) -> str:
        study = self.panel.study
        name = study.menu[study.focal].label
        alone = "" if demand is self.belief else " (from choice alone: there is no belief)"
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

    def to_html(
        self,
        path: str | Path,
        *,
        note: str = "",
        command: str = "",
        cost: float | None = None,
        responses: Mapping[str, Response] | None = None,
    ) -> None:
        """Write one self-contained page.

        Parameters
        ----------
        path : path
            The file.
        note : str
            A sentence on what kind of evidence this is, shown on top.
        command : str
            The command that made it, shown at the end.
        cost : float, optional
            Unit cost for the price of the highest profit; the report's own by default.
        responses : mapping of str to Response, optional
            Responses by run id. With them the page shows sampled answers token by token
            with their candidates; else text, pivot and belief as the panel has them.

        Raises
        ------
        UsageError
            If the path is a folder.
        """
        from llmdemand.reporting.page.html import write_page

        write_page([(self, note)], path, command=command, cost=cost, responses=[responses])

    def save(self, folder: str | Path) -> None:
        """Write ``panel.parquet``, ``tables/`` (CSV, markdown) and ``figures/`` (SVG, PNG)."""
        from llmdemand.reporting.figures.figures import save_figures
        from llmdemand.reporting.tables.tables import save_tables

        folder = Path(folder)
        self.panel.write(folder / "panel.parquet")
        save_tables(self, folder / "tables")
        save_figures(self, folder / "figures")

    def _repr_html_(self) -> str:
        from html import escape

        from llmdemand.reporting.tables.tables import estimates_table, precision_table

        said = "".join(f"<p>{escape(text)}</p>" for text in (self.verdict(), *self.problems))
        parts = [estimates_table(self)] if self.demands else []
        parts += [precision_table(self)] if self.precision is not None else []
        return said + "".join(part.to_html(index=False) for part in parts)


def compare(
    panel: Panel,
    runs: Sequence[int] = (1, 2, 3, 5, 10, 20),
    *,
    replications: int = 1000,
    tolerance: float = 0.10,
    confidence: float = 0.95,
    seed: int = 1,
    cost: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> Report:
    """Compare what belief and choice of the same runs say about demand.

    A panel that is too poor for a part gives a report without that part: it is None, and
    ``problems`` says what is missing, why, and what to do.

    Parameters
    ----------
    panel : Panel
        Runs of one study.
    runs, replications, tolerance, confidence, seed
        See `llmdemand.reporting.measures.precision.precision`. Predictions take at most 200
        replications: each is a fit and its scores.
    cost : float, optional
        Unit cost, in the study's unit, for the price of the highest profit.
    progress : callable, optional
        Called with the share of the work that is done.

    Returns
    -------
    Report
        With `to_html`, `save` and the tables.

    Raises
    ------
    UsageError
        For impossible arguments; never for what is in the panel.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=20, seed=1)
    >>> report = compare(panel, runs=(1, 5), replications=100)
    >>> report.verdict().startswith("Demand falls with price")
    True
    >>> report.problems
    ()
    """
    from llmdemand.reporting.measures.needed import runs_needed
    from llmdemand.reporting.measures.prediction import prediction
    from llmdemand.reporting.measures.variance import variance

    given = {
        "runs": tuple(runs),
        "replications": replications,
        "tolerance": tolerance,
        "confidence": confidence,
        "seed": seed,
    }
    _check(given, cost)
    parts, bar = Parts(panel), _steps(progress)
    belief = parts.make(BELIEF, lambda: fit_demand(panel, "belief"))
    choice = parts.make(CHOICE, lambda: fit_demand(panel, "choice"))
    drawn = parts.make(
        "precision",
        lambda: precision(
            panel,
            runs,
            tolerance=tolerance,
            confidence=confidence,
            replications=replications,
            seed=seed,
            progress=bar(0.0, 0.6),
        ),
        drawn=True,
    )
    needed = parts.make(
        "runs needed",
        lambda: runs_needed(
            panel,
            tolerance=tolerance,
            confidence=confidence,
            replications=replications,
            seed=seed,
            draws=None if drawn is None else drawn.draws,
        ),
        drawn=True,
    )
    predicted = parts.make(
        "prediction",
        lambda: prediction(
            panel, runs, replications=min(200, replications), seed=seed, progress=bar(0.6, 1.0)
        ),
        drawn=True,
    )
    spread = parts.make("what a belief run is worth", lambda: variance(panel))
    return Report(
        panel,
        belief,
        choice,
        drawn,
        quality(panel),
        needed,
        predicted,
        spread,
        parts.problems(),
        cost,
        given | ({} if cost is None else {"cost": cost}),
    )


def _check(given: Mapping[str, Any], cost: float | None) -> None:
    """Impossible arguments are said whatever is in the panel."""
    if any(n < 1 for n in given["runs"]) or not given["runs"]:
        raise UsageError(f"runs={given['runs']}: numbers of runs begin at 1")
    if given["replications"] < 1 or not 0 < given["confidence"] < 1 or not given["tolerance"] > 0:
        raise UsageError(
            "replications, tolerance and confidence must be positive, the last below 1"
        )
    if given["seed"] < 0:
        raise UsageError(f"seed={given['seed']}: give a number that is not negative")
    if cost is not None and not np.isfinite(cost):
        raise UsageError(f"cost={cost}: give a finite number, in the study's unit of price")


def _steps(
    progress: Callable[[float], None] | None,
) -> Callable[[float, float], Callable[[float], None] | None]:
    """Progress of a part as progress of the whole."""

    def within(start: float, end: float) -> Callable[[float], None] | None:
        if progress is None:
            return None
        return lambda done: progress(start + (end - start) * done)

    return within


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
