"""``llmdemand plan``: from a pilot to the runs that are still missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import AsJson, PriceList, price_list
from llmdemand.cli.output import print_json, records, say
from llmdemand.cli.people.planned import plan_of_people
from llmdemand.cli.reports import files_in
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from llmdemand.calibration.sample_plan import SamplePlan


@app.command()
def plan(
    panel: Annotated[
        Path | None,
        typer.Argument(help="A pilot panel.parquet; with --humans the beliefs, with --rho none."),
    ] = None,
    humans: Annotated[
        Path | None,
        typer.Option(help="Human answers of a pilot: plan humans and LLM respondents."),
    ] = None,
    rho: Annotated[
        float | None, typer.Option(help="Or their PPI correlation, without a pilot.")
    ] = None,
    cost_human: Annotated[
        float | None, typer.Option(help="Of one human with all their answers.")
    ] = None,
    cost_llm: Annotated[float | None, typer.Option(help="Of one LLM respondent.")] = None,
    target_se: Annotated[
        float | None, typer.Option(help="Standard error to reach; needs --humans.")
    ] = None,
    n_eff: Annotated[
        float | None, typer.Option(help="Or: humans to whose precision it should come.")
    ] = None,
    assurance: Annotated[
        float | None,
        typer.Option(help="Of --humans: confidence that the plan keeps its promise; 0.8."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for table and figure of a sample plan.")
    ] = None,
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
        float | None,
        typer.Option(
            help="The most that the plan may cost: dollars, or the money of --cost-human."
        ),
    ] = None,
    prices: PriceList = None,
    as_json: AsJson = False,
) -> None:
    """Plan whom or what to ask next: runs of a model, or humans and LLM respondents.

    Example: [b]llmdemand plan pilot.parquet --tolerance 0.05 --token-prices 2.5,10[/b]
    [b]llmdemand plan --rho 0.3 --cost-human 4 --cost-llm 0.01 --n-eff 500[/b]
    [b]llmdemand plan panel.parquet --humans pilot.csv --cost-human 4 --cost-llm 0.01
    --target share --at 35 --target-se 0.02[/b]
    """
    if humans is not None or rho is not None:
        if cost_human is None or cost_llm is None:
            raise UsageError("a plan of respondents needs --cost-human and --cost-llm")
        chosen = plan_of_people(
            panel,
            humans,
            rho=rho,
            target=target,
            at=at,
            folder=folder,
            cost_human=cost_human,
            cost_llm=cost_llm,
            target_se=target_se,
            n_eff=n_eff,
            budget=budget,
            **({} if assurance is None else {"assurance": assurance}),
        )
        _print_sample_plan(chosen, folder, as_json)
        return
    given = {
        "--cost-human": cost_human,
        "--cost-llm": cost_llm,
        "--target-se": target_se,
        "--n-eff": n_eff,
        "--assurance": assurance,
        "--out": folder,
    }
    odd = [name for name, value in given.items() if value is not None]
    if odd:
        raise UsageError(f"{odd[0]} is for a plan of respondents: give --humans or --rho too")
    if panel is None:
        raise UsageError("give a pilot panel, or --rho for a plan of respondents")
    from llmdemand.core.shards.shards import read_panel
    from llmdemand.reporting.measures.plan import plan as solve

    listed = price_list(prices)
    found = solve(
        read_panel(panel),
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


def _print_sample_plan(found: SamplePlan, folder: Path | None, as_json: bool) -> None:
    if not as_json:
        say(found.summary())
        return
    plain = {"verdict": found.verdict(), "pays": found.pays, "threshold": found.threshold}
    plain["files"] = files_in(folder, "sample_plan.csv", "sample-plan.svg")
    print_json(plain | {"table": records(found.table.rename_axis("plan").reset_index())})
