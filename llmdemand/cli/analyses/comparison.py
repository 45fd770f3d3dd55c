"""``llmdemand compare``: belief and choice on the runs of one panel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import AsJson, PanelPath, Read, Seed, StorePath
from llmdemand.cli.output import command_line, print_json, refuse_other_study
from llmdemand.cli.own import options as own
from llmdemand.cli.reports import (
    compared,
    files_in,
    kept_responses,
    print_report,
    report_facts,
    result_folder,
)


@app.command()
def compare(
    context: typer.Context,
    panel: PanelPath,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for tables, figures and report.html.")
    ] = None,
    runs: Annotated[
        list[int] | None, typer.Option("--runs", help="A number of runs; may be repeated.")
    ] = None,
    replications: Annotated[int, typer.Option(help="Draws per number of runs.")] = 1000,
    seed: Seed = 1,
    cost: Annotated[
        float | None, typer.Option(help="Unit cost, for the price of the highest profit.")
    ] = None,
    reading: Read = None,
    store: StorePath = None,
    workers: own.Workers = None,
    cluster: own.Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Compare belief and choice on the runs of one panel.

    What a panel is too poor for is left out, and said. Answers are shown token by
    token if the response store lies beside the panel, or is given.

    Example: [b]llmdemand compare panel.parquet --out results[/b]
    [b]llmdemand compare panel-folder/ --out results --workers 2[/b]
    """
    read = own.panel_by(context, panel, workers, cluster)
    if folder is not None:
        refuse_other_study(result_folder(folder) / "panel.parquet", read.study)
    responses = kept_responses(read, panel, store) if folder or store else None
    report = compared(
        read, seed, tuple(runs or (1, 2, 3, 5, 10, 20)), replications, cost=cost, reading=reading
    )
    if folder is not None:
        report.save(folder)
        report.to_html(folder / "report.html", command=command_line(), responses=responses)
    if as_json:
        files = files_in(folder, "report.html", "panel.parquet", "tables", "figures")
        print_json({**report_facts(report), "files": files})
        return
    print_report(report, "", folder=folder)
