"""``llmdemand fit``: a demand model of a panel, or of a table of one's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import AsJson, Read, Separation, SmallSample, pairs
from llmdemand.cli.output import err, out, print_json, records, warnings_as_lines
from llmdemand.cli.own import options as own
from llmdemand.cli.own.fits import facts, fit_table, is_own
from llmdemand.cli.reports import print_numbers


@app.command()
def fit(
    context: typer.Context,
    panel: own.Table,
    formula_text: own.FormulaText = None,
    outcome: Annotated[
        str | None, typer.Option(help="Of a panel: [b]belief[/b] (the default) or [b]choice[/b].")
    ] = None,
    alternative: Annotated[
        str | None,
        typer.Option(
            help="Of a panel, whose demand (the focal one by default); of an own table, the column "
            "of alternatives."
        ),
    ] = None,
    formula: Annotated[
        str | None,
        typer.Option(help="Right-hand side, as 'log(price)' or 'price + round(price, 5)'."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="logit (bought or not; the default); of all alternatives clogit (the default with "
            "--case), mnlogit, nested, mixed, latent; fraclogit of own shares; quantities and "
            "ratings have their own, count and ordered."
        ),
    ] = None,
    vcov: Annotated[
        str | None,
        typer.Option(
            help="iid, HC0 to HC3, CRV1:column, CRV1:a+b, CRV3:column, within:cell, pairs:column, "
            "score:column; chosen by the design by default."
        ),
    ] = None,
    ssc: SmallSample = "stata",
    separation: Separation = "warn",
    price: Annotated[
        list[float] | None, typer.Option("--price", help="Print the elasticity at this price.")
    ] = None,
    cost: Annotated[
        float | None, typer.Option(help="Print the price of the highest profit at this unit cost.")
    ] = None,
    nest: Annotated[
        list[str] | None, typer.Option("--nest", help="For nested: NAME=a,b, once for each nest.")
    ] = None,
    random: Annotated[
        list[str] | None,
        typer.Option("--random", help="For mixed: TERM=LAW, as price=lognormal-, once for each."),
    ] = None,
    classes: Annotated[int | None, typer.Option(help="For latent: how many classes.")] = None,
    reading: Read = None,
    case: own.CaseColumn = None,
    choice: own.ChoiceColumn = None,
    focal: own.Focal = None,
    base: own.Base = None,
    availability: own.Availability = None,
    respondent: own.Respondent = None,
    weights: own.Weights = None,
    weights_type: own.WeightsType = None,
    na: own.Missing = None,
    membership: own.Membership = None,
    price_column: own.PriceColumn = None,
    unit: own.Unit = None,
    title: own.Title = None,
    sheet: own.Sheet = None,
    folder: own.Folder = None,
    workers: own.Workers = None,
    cluster: own.Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Fit a demand model to a panel, or to a table of your own; either may be a folder.

    Example: [b]llmdemand fit panel.parquet --outcome belief --price 35 --cost 18[/b]
    [b]llmdemand fit own.csv --model clogit --case id --alternative brand --choice bought
    "bought ~ price + size" --cost 2 --out results[/b]
    [b]llmdemand fit panel-folder/ --workers 2[/b]
    [b]llmdemand fit panel-folder/ --cluster tcp://127.0.0.1:8786[/b]
    """
    from llmdemand.core.panel import Panel
    from llmdemand.core.shards.shards import PanelShards, read_panel
    from llmdemand.modeling.models.demand import fit_demand
    from llmdemand.reporting.truth import known_truth

    options: dict[str, Any] = {"ssc": ssc, "separation": separation, "vcov": vcov}
    if nest:
        options["nests"] = {name: some.split(",") for name, some in pairs(nest, "nest").items()}
    if random:
        options["random"] = pairs(random, "random")
    if classes is not None:
        options["classes"] = classes
    of_tables: dict[str, Any] = {"case": case, "choice": choice, "focal": focal, "base": base}
    of_tables |= {"availability": availability, "panel": respondent, "weights": weights}
    of_tables |= {"weights_type": weights_type, "na": na, "membership": membership}
    of_tables |= {"price_column": price_column, "unit": unit, "title": title, "sheet": sheet}
    of_tables["out"] = folder
    executor = own.session(context, own.executor(workers, cluster))
    # Workers of a cluster may be in another folder.
    panel = panel if cluster is None else panel.absolute()
    if is_own(panel, formula_text, of_tables):
        if executor is not None:
            options["executor"] = executor
        fit_table(
            panel,
            formula_text if formula is None else formula,
            model=model,
            alternative=alternative,
            refused={"outcome": outcome, "reading": reading},
            own=of_tables,
            price=price,
            cost=cost,
            as_json=as_json,
            **options,
        )
        return
    read, outcome, model = read_panel(panel), outcome or "belief", model or "logit"
    options["model"] = model
    if isinstance(read, PanelShards):
        read = replace(read, executor=executor)
    if read.study.question is not None:
        read = read if isinstance(read, Panel) else read.panel()
        known = {"alternative": alternative, "formula": formula, "reading": reading, **options}
        with warnings_as_lines():
            print_numbers(read, outcome, known, price, cost, as_json=as_json)
        return
    with warnings_as_lines():
        demand = fit_demand(
            read,
            outcome,  # type: ignore[arg-type]  # checked there, with a message
            alternative=alternative,
            formula=formula,
            reading=reading,  # type: ignore[arg-type]  # checked there too
            executor=executor,
            **options,
        )
        found = {}
        if price:
            found["elasticity"] = demand.elasticity(price)
        if cost is not None:
            found["optimal_price"] = demand.optimal_price(cost)
    truth = known_truth(read) if isinstance(read, Panel) else None
    measure = read.measure if isinstance(read, Panel) else read.study.measure
    against = truth.contradiction(demand, f"{model} of {outcome}") if truth is not None else ""
    if as_json:
        parts = {name: records(q.table) for name, q in found.items()}
        terms = records(demand.fit.tidy().rename_axis("term").reset_index())
        named: dict[str, Any] = {"outcome": outcome, "alternative": demand.alternative}
        named |= {"unit": demand.unit, "measure": measure}
        if truth is not None:
            named |= {"truth": vars(truth), "contradiction": against}
        print_json({**named, "fit": facts(demand.fit), "terms": terms, **parts})
        return
    for text in [demand.summary(), *(q.summary() for q in found.values())]:
        # A table that is too wide for the terminal is better cut by it than folded by us.
        out().print(f"{text}\n", markup=False, highlight=False, soft_wrap=True)
    if against:
        err().print(against, markup=False, highlight=False)
