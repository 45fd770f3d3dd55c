"""Options of a fit of one's own table."""

from __future__ import annotations

from functools import partial
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

_own = partial(typer.Option, rich_help_panel="Own table")

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
    str | None, _own("--case", help="Column of choice situations; a row per alternative.")
]
ChoiceColumn = Annotated[
    str | None,
    _own("--choice", help="Column of the outcome, 0/1 or a share; may stand in the formula."),
]
Focal = Annotated[str | None, _own("--focal", help="Your alternative; all without.")]
Base = Annotated[str | None, _own("--base", help="Alternative whose constant is zero.")]
Availability = Annotated[
    str | None, _own("--availability", help="0/1 column: rows with 0 could not be chosen.")
]
Respondent = Annotated[
    str | None,
    _own(
        "--panel",
        help="Column of who chose more than once: the panel of mixed and latent, clusters of "
        "all other models.",
    ),
]
Weights = Annotated[str | None, _own("--weights", help="Column of weights.")]
WeightsType = Annotated[str | None, _own("--weights-type", help="frequency or sampling.")]
Missing = Annotated[str | None, _own("--na", help="Missing values: raise, or drop (counted).")]
Membership = Annotated[
    str | None, _own("--membership", help="For latent: what classes depend on, as income.")
]
PriceColumn = Annotated[
    str | None, _own("--price-column", help="The price column; price by default.")
]
Unit = Annotated[str | None, _own("--unit", help="Of prices, for words.")]
Title = Annotated[str | None, _own("--title", help="Of the page.")]
Sheet = Annotated[str | None, _own("--sheet", help="Of a workbook with several.")]
Folder = Annotated[
    Path | None,
    _own("--out", help="Folder for report.html, tables.xlsx, tables/ (CSV, LaTeX, markdown)."),
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
