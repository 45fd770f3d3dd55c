"""Options of a fit of one's own table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from llmdemand.core.shards.shards import AnyPanel
    from llmdemand.scale.session import Session

__all__ = [
    "Availability",
    "Base",
    "CaseColumn",
    "ChoiceColumn",
    "Cluster",
    "Focal",
    "Folder",
    "FormulaText",
    "Membership",
    "Missing",
    "PriceColumn",
    "Respondent",
    "Sheet",
    "Table",
    "Title",
    "Unit",
    "Weights",
    "WeightsType",
    "Workers",
    "executor",
    "panel_by",
    "processes",
    "session",
]

_OWN = "Own table"

Table = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE",
        help="A panel.parquet, or a table of your own: .csv, .parquet, .xlsx, .dta, .feather; or a "
        "folder of .parquet files.",
    ),
]
FormulaText = Annotated[
    str | None,
    typer.Argument(metavar="FORMULA", help="Of an own table: 'bought ~ price + size'."),
]
CaseColumn = Annotated[
    str | None,
    typer.Option(
        "--case",
        help="Column of choice situations; a row per alternative.",
        rich_help_panel=_OWN,
    ),
]
ChoiceColumn = Annotated[
    str | None,
    typer.Option(
        "--choice",
        help="Column of the outcome, 0/1 or a share; may stand in the formula.",
        rich_help_panel=_OWN,
    ),
]
Focal = Annotated[
    str | None,
    typer.Option("--focal", help="Your alternative; all without.", rich_help_panel=_OWN),
]
Base = Annotated[
    str | None,
    typer.Option("--base", help="Alternative whose constant is zero.", rich_help_panel=_OWN),
]
Availability = Annotated[
    str | None,
    typer.Option(
        "--availability",
        help="0/1 column: rows with 0 could not be chosen.",
        rich_help_panel=_OWN,
    ),
]
Respondent = Annotated[
    str | None,
    typer.Option(
        "--panel",
        help="Column of who chose more than once: the panel of mixed and latent, clusters of "
        "all other models.",
        rich_help_panel=_OWN,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", help="Column of weights.", rich_help_panel=_OWN),
]
WeightsType = Annotated[
    str | None,
    typer.Option("--weights-type", help="frequency or sampling.", rich_help_panel=_OWN),
]
Missing = Annotated[
    str | None,
    typer.Option("--na", help="Missing values: raise, or drop (counted).", rich_help_panel=_OWN),
]
Membership = Annotated[
    str | None,
    typer.Option(
        "--membership",
        help="For latent: what classes depend on, as income.",
        rich_help_panel=_OWN,
    ),
]
PriceColumn = Annotated[
    str | None,
    typer.Option(
        "--price-column", help="The price column; price by default.", rich_help_panel=_OWN
    ),
]
Unit = Annotated[
    str | None,
    typer.Option("--unit", help="Of prices, for words.", rich_help_panel=_OWN),
]
Title = Annotated[str | None, typer.Option("--title", help="Of the page.", rich_help_panel=_OWN)]
Sheet = Annotated[
    str | None,
    typer.Option("--sheet", help="Of a workbook with several.", rich_help_panel=_OWN),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Folder for report.html, tables.xlsx, tables/ (CSV, LaTeX, markdown).",
        rich_help_panel=_OWN,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Processes that read a folder of files; one by default."),
]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", help="Dask scheduler whose workers read it, as tcp://10.0.0.1:8786."),
]


def panel_by(
    context: typer.Context, path: Path, workers: int | None, cluster: str | None
) -> AnyPanel:
    """A panel; parts of a folder are read by workers that stay until the command ends.

    Raises
    ------
    UsageError
        For processes or a cluster where there is one file, or none of them.
    """
    from dataclasses import replace

    from llmdemand.core.shards.shards import PanelShards, read_panel

    asked = executor(workers, cluster)
    read = read_panel(path if cluster is None else path.absolute())
    if isinstance(read, PanelShards):
        return replace(read, executor=session(context, asked))
    if asked not in (None, 1):
        name = "--workers" if cluster is None else "--cluster"
        raise UsageError(f"{name} {asked}: {path} is one file, leave it out")
    return read


def session(context: typer.Context, asked: int | str | None) -> Session | None:
    """Workers that stay until the command ends; None is this process."""
    from llmdemand.scale.session import Session

    if asked in (None, 1):
        return None
    return context.with_resource(Session(asked))


def executor(workers: int | None, cluster: str | None) -> int | str | None:
    """Who reads files.

    Raises
    ------
    UsageError
        For both at once, or no process.
    """
    if processes(workers) is not None and cluster is not None:
        raise UsageError("--workers are of this machine, --cluster has its own: give one")
    return workers if cluster is None else cluster


def processes(workers: int | None) -> int | None:
    """How many processes; none of them are refused."""
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: give a number of processes, at least 1")
    return workers
