"""What a reader decides by: the numbers on the first screen, and those that stand below."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.reporting.measures.costs import run_cost
from llmdemand.reporting.measures.variance import worth_number
from llmdemand.reporting.tables.cells import number, percent

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.modeling.models.demand import Demand
    from llmdemand.reporting.findings import Findings

__all__ = ["first_numbers", "further_numbers", "usual_price"]

Tile = dict[str, Any]

_LITTLE = 0.05  # a share that moves less over all prices hardly reacts
_MARKET = 1000


def usual_price(demand: Demand) -> float:
    """The price of the study closest to the middle of its grid, the lower one of two."""
    grid = np.asarray(demand.prices)
    return float(grid[np.abs(grid - grid.mean()).argmin()])


def first_numbers(report: Findings, cost: float | None) -> list[Tile]:
    """Share, best price, what it earns, elasticity, whether price matters, cost, how sure.

    Parameters
    ----------
    report : Findings
        Of belief where there is one, else of choice.
    cost : float or None
        Unit cost; without one the price of the highest revenue is named.
    """
    known = [d for d in report.demands if not d.separated]
    tiles = []
    if known:
        demand = known[0]
        tiles = [*_at_usual(report, demand), *_best(demand, cost), _reaction(demand)]
    return [*tiles, _spent(report), _usable(report)]


def _interval(row: Any, form: Any) -> str:
    return f"95 % interval {form(float(row['lower']))} to {form(float(row['upper']))}"


def _at_usual(report: Findings, demand: Demand) -> list[Tile]:
    price = usual_price(demand)
    share = demand.shares(price, alternative=demand.alternative).table.iloc[0]
    slope = demand.elasticity(price).table.iloc[0]
    name = report.panel.study.menu[demand.alternative].label
    return [
        {
            "name": f"Share of {name} at {price:g}",
            "value": percent(float(share["estimate"])),
            "note": f"{_interval(share, percent)}; {demand.outcome}, the study's middle price",
        },
        {
            "name": f"Elasticity at {price:g}, where the share is "
            f"{percent(float(share['estimate']))}",
            "value": number(float(slope["estimate"]), 2),
            "note": _interval(slope, lambda v: number(v, 2)) + "; % of share per % of price",
        },
    ]


def _best(demand: Demand, cost: float | None) -> list[Tile]:
    """The price that earns most, and what it earns."""
    goal = "revenue" if cost is None else f"profit at unit cost {cost:g}"
    name = f"Price of the highest {goal}"
    try:
        found = demand.optimal_price(kind="revenue") if cost is None else demand.optimal_price(cost)
        price = float(found.estimate)
        row = found.table.iloc[0]
    except DesignError as error:
        return [{"name": name, "value": "none", "note": str(error).partition(":")[0]}]
    share = demand.shares(price, alternative=demand.alternative).table.iloc[0]
    margin = _MARKET * (price - (cost or 0.0))
    earned = {k: margin * float(share[k]) for k in ("estimate", "lower", "upper")}
    low, high = min(demand.prices), max(demand.prices)
    far = "" if low <= price <= high else f"; beyond the observed {low:g} to {high:g}"
    return [
        {
            "name": name,
            "value": number(price, 2),
            "note": _interval(row, lambda v: number(v, 2)) + f"; {demand.unit}{far}",
        },
        {
            "name": f"{goal.partition(' at')[0].capitalize()} there, of {_MARKET:,} choices",
            "value": f"{earned['estimate']:,.0f}",
            "note": _interval(earned, lambda v: f"{v:,.0f}") + ", at that price",
        },
    ]


def _reaction(demand: Demand) -> Tile:
    """Whether the model reacts to price at all."""
    interval = demand.conf_int().loc["price"] if "price" in demand.params.index else None
    low, high = min(demand.prices), max(demand.prices)
    first, last = (float(v) for v in demand.demand_curve([low, high]).table["estimate"])
    moves = f"from {percent(first)} at {low:g} to {percent(last)} at {high:g}"
    if interval is not None and interval["lower"] <= 0 <= interval["upper"]:
        word = "not shown"
    elif abs(first - last) < _LITTLE:
        word = "hardly"
    else:
        word = "yes" if last < first else "yes, the wrong way"
    return {"name": "Does it react to price?", "value": word, "note": f"its share goes {moves}"}


def _spent(report: Findings) -> Tile:
    cost = run_cost(report.panel)
    answers = len(report.panel)
    if cost is None or not math.isfinite(cost.tokens):
        note = "no tokens counted"
        return {"name": "What it cost", "value": f"{answers:,} answers", "note": note}
    tokens, asked = f"{answers * cost.tokens:,.0f} tokens", f"in {answers:,} answers"
    if math.isfinite(cost.usd):
        money = f"${answers * cost.usd:,.2f}"
        return {"name": "What it cost", "value": money, "note": f"{tokens} {asked}"}
    return {"name": "What it cost", "value": tokens, "note": f"{asked}; no price is recorded"}


def _usable(report: Findings) -> Tile:
    usable, runs = report.panel.usable_runs, len(report.panel)
    return {
        "name": "How much could be used",
        "value": percent(report.quality.readable),
        "note": f"{usable:,} of {runs:,} answers; intervals are this sample's noise alone, and say "
        "nothing of people",
    }


def further_numbers(report: Findings) -> list[Tile]:
    """Log-odds, runs needed, and what a belief run is worth."""
    tiles = []
    estimates = report.estimates()
    for demand in report.demands:
        row: Any = estimates.loc[demand.outcome]
        tiles.append(
            {
                "name": f"Price sensitivity, {demand.outcome}",
                "value": "none" if demand.separated else number(row["price_sensitivity"]),
                "note": "separated: no finite estimate"
                if demand.separated
                else f"log-odds per unit of price; {_interval(row, number)}",
            }
        )
    found = report.needed
    if found is not None and found.table[["runs", "closed_form"]].notna().any(axis=None):
        closed = found.table["runs"].isna() & found.table["closed_form"].notna()
        mark = f"; ~ by the closed form, beyond this panel's {found.pool}" if closed.any() else ""
        tiles.append(
            {
                "name": "Runs needed, belief against choice",
                "value": " against ".join(_runs(found.table, o) for o in ("belief", "choice")),
                "note": f"per cell, for {100 * found.tolerance:g} % at "
                f"{100 * found.confidence:g} %{mark}",
            }
        )
    if report.variance is not None and math.isfinite(report.variance.worth):
        tiles.append(
            {
                "name": "One belief run is worth",
                "value": f"{worth_number(report.variance.worth)} choice runs",
                "note": f"intra-cell correlation {report.variance.icc:.3f}",
            }
        )
    return tiles


def _runs(table: pd.DataFrame, outcome: str) -> str:
    """Runs needed by the draws; else by the closed form, marked; else unknown."""
    runs, closed = (float(table[k][outcome]) for k in ("runs", "closed_form"))
    if not math.isnan(runs):
        return f"{runs:.0f}"
    return "unknown" if math.isnan(closed) else f"~{closed:.0f}"
