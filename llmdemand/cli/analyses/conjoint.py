"""``llmdemand conjoint``: part-worths from a panel of a choice experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import AsJson, PanelPath, Read, Separation, SmallSample
from llmdemand.cli.output import command_line, out, print_json, records, warnings_as_lines
from llmdemand.cli.reports import files_in, result_folder

if TYPE_CHECKING:
    from llmdemand.modeling.partworths.result import PartWorths


@app.command()
def conjoint(
    panel: PanelPath,
    outcome: Annotated[str, typer.Option(help="[b]belief[/b] or [b]choice[/b].")] = "belief",
    linear: Annotated[
        list[str] | None,
        typer.Option("--linear", help="An attribute of numbers that enters as it is; repeatable."),
    ] = None,
    vcov: Annotated[
        str | None,
        typer.Option(help="As of [b]llmdemand fit[/b]; chosen by the design by default."),
    ] = None,
    ssc: SmallSample = "stata",
    separation: Separation = "warn",
    ci: Annotated[
        str | None,
        typer.Option(help="Intervals: delta, krinsky-robb, bootstrap; fieller for money."),
    ] = None,
    reading: Read = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="A folder for conjoint.html, tables and figures."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Part-worths, importances and willingness to pay of a choice experiment.

    Example: [b]llmdemand conjoint coffee.parquet --out results[/b]
    """
    from llmdemand.core.shards.shards import read_panel, sampled
    from llmdemand.modeling.models.conjoint import conjoint as run
    from llmdemand.reporting.page.experiment import save_experiment, write_experiment

    target = None if folder is None else result_folder(folder)
    read = read_panel(panel)
    options: dict[str, Any] = {"vcov": vcov, "ssc": ssc, "separation": separation, "ci": ci}
    with warnings_as_lines():
        found = run(read, outcome, linear=linear or (), reading=reading, **options)  # type: ignore[arg-type]  # checked there, with a message
    if target is not None:
        write_experiment(found, sampled(read), target / "conjoint.html", command=command_line())
        save_experiment(found, target)
    if as_json:
        print_json(
            {**_plain(found), "files": files_in(target, "conjoint.html", "tables", "figures")}
        )
        return
    # Tables that are too wide for the terminal are better cut by it than folded by us.
    out().print(found.summary(), markup=False, highlight=False, soft_wrap=True)
    if target is not None:
        out().print(f"\nresults in {target}/: conjoint.html, tables/, figures/", highlight=False)


def _plain(found: PartWorths) -> dict[str, Any]:
    """The result as JSON has it."""
    named = ("part_worths", "slopes", "importances", "worth")
    parts: dict[str, Any] = {
        name: records(quantity.table)
        for name in named
        if (quantity := getattr(found, name)) is not None
    }
    parts |= {"tests": records(found.tests), "notes": list(found.notes), "unit": found.unit}
    if found.holdouts is not None:
        table = found.holdouts.table.rename_axis("predictor").reset_index()
        parts["holdouts"] = {"scores": records(table), "shares": records(found.holdouts.shares)}
    if found.truth is not None:
        parts["truth"] = records(found.truth)
    terms = found.fit.tidy().rename_axis("term").reset_index()
    return {"outcome": found.fit.outcome, "nobs": found.fit.nobs, "terms": records(terms), **parts}
