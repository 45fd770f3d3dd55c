"""Reports in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmdemand.reporting import tables

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from llmdemand.reporting.compare import Report

__all__ = ["print_report"]


def print_report(report: Report, note: str, console: Console) -> None:
    """Print every table of a report, and its verdict."""
    if note:
        console.print(note, highlight=False)
    label = tables.label(report)
    if label:
        console.print(
            f"[b]{label}[/b], answered by {report.panel.provenance['model']}", highlight=False
        )
    published = report.panel.provenance.get("backend") == "synthetic"
    found = report.precision
    _print_table(console, "Data quality", tables.quality_table(report))
    estimates = tables.estimates_table(report)
    covariance = "; ".join(estimates["outcome"] + " " + estimates["covariance"])
    _print_table(
        console,
        f"Demand from all usable runs (covariance: {covariance})",
        estimates.drop(columns="covariance"),
    )
    _print_table(
        console,
        f"Precision by runs per cell, {found.replications} draws",
        tables.precision_table(report),
    )
    _print_table(
        console,
        f"Runs needed for {100 * found.tolerance:g} % at {100 * found.confidence:g} %"
        + (" (published: arXiv 2512.23184, GPT-4o)" if published else ""),
        tables.needed_table(report, published=published),
    )
    console.print(f"[b]{report.verdict()}[/b]\n", highlight=False)


def _print_table(console: Console, title: str, table: pd.DataFrame) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    text = table.astype(str)
    for column in text.columns:
        # In a narrow terminal headers wrap between words, and numbers never do.
        width = int(text[column].str.len().max())
        head = str(column) if len(str(column)) <= width else "\n".join(str(column).split())
        shown.add_column(head, min_width=min(40, width))
    for row in text.itertuples(index=False):
        shown.add_row(*row)
    console.print(shown)
    console.print()
