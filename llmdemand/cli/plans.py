"""``llmdemand plan``: from a pilot to the runs that are still missing."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import AsJson, PanelPath, PriceList, price_list
from llmdemand.cli.output import print_json, records, say


@app.command()
def plan(
    panel: PanelPath,
    outcome: Annotated[str, typer.Option(help="[b]belief[/b] or [b]choice[/b].")] = "belief",
    target: Annotated[
        str,
        typer.Option(
            help="[b]price[/b] (the coefficient), [b]elasticity[/b], [b]wtp[/b] (indifference "
            "price) or [b]share[/b]."
        ),
    ] = "price",
    at: Annotated[
        float | None,
        typer.Option(help="Price of an elasticity or share; the middle of the grid by default."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="How close, as a share of the target: 0.1 is 10 %.")
    ] = 0.10,
    confidence: Annotated[float, typer.Option(help="With which probability.")] = 0.95,
    budget: Annotated[
        float | None, typer.Option(help="The most that the plan may cost, in dollars.")
    ] = None,
    prices: PriceList = None,
    as_json: AsJson = False,
) -> None:
    """Plan how many more runs a pilot needs, at which prices, for how much money.

    Example: [b]llmdemand plan pilot.parquet --tolerance 0.05 --prices 2.5,10[/b]
    """
    from llmdemand.core.panel import Panel
    from llmdemand.reporting.plan import plan as solve

    listed = price_list(prices)
    found = solve(
        Panel.read(panel),
        tolerance,
        target,
        at,
        outcome,
        budget,
        confidence=confidence,
        prices=None if listed is None else (listed.prompt, listed.completion),
    )
    if not as_json:
        say(found.summary())
        return
    plain = {
        f.name: getattr(found, f.name)
        for f in dataclasses.fields(found)
        if f.name not in ("table", "totals")
    }
    print_json(
        plain | {"table": records(found.table), "totals": records(found.totals.reset_index())}
    )
