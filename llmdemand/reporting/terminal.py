"""Reports in a terminal."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from llmdemand.reporting.tables import tables

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from llmdemand.reporting.compare import Report
    from llmdemand.reporting.tables.table import Table

__all__ = ["print_report"]

# What is read in a terminal; the rest is in the files.
_SHOWN = (
    "quality",
    "selection",
    "estimates",
    "pricing",
    "precision",
    "runs_needed",
    "cost",
    "prediction",
    "worth",
)
# Columns that a narrow terminal goes without, the first one first.
_SPARED = {
    "estimates": ("covariance",),
    "pricing": ("unit",),
    "precision": ("SE model", "log score", "bias", "spread", "within"),
    "prediction": ("Brier score", "attainable"),
    "runs_needed": ("closed form",),
}
_LONG = 24  # cells beyond this many characters may be wrapped
_GAP = 2  # between columns
# "-0.53", "93 (81 to 102)", "0.1 to 0.4"; not "320: ok 250, refusal 70", which is a list of words.
_NUMBER = r"[-~$]?\d[\d.,e%-]*( %)?( to -?\d\S*| [(\[].*[)\]])*"


def print_report(
    report: Report, note: str, console: Console, *, folder: str | Path | None = None
) -> None:
    """Tell the story of a report: answers, estimates, precision, prediction, verdict, files.

    Parameters
    ----------
    report : Report
        What is told.
    note : str
        What kind of evidence it is; nothing if empty.
    console : rich.console.Console
        Where; tables go without some columns where it is narrow, and say so.
    folder : path, optional
        Where the files are; said at the end.
    """
    if note:
        console.print(note, highlight=False, markup=False)
    _print_head(report, console)
    for problem in report.problems:
        console.print(f"! {problem}", style="yellow", highlight=False, markup=False)
    if report.problems:
        console.print()
    every, said = {table.name: table for table in tables.all_tables(report)}, set(report.problems)
    for name in _SHOWN:
        if name in every:
            _print_table(console, every[name], said)
            said.update(every[name].notes)
    console.print(report.verdict(), style="bold", highlight=False, markup=False)
    if folder is not None:
        console.print(
            f"\nFiles in {folder}/: report.html (the page to open), panel.parquet, tables/ (CSV, "
            "markdown, LaTeX), figures/ (SVG, PNG)",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    console.print()


def _print_head(report: Report, console: Console) -> None:
    from rich.text import Text

    label, model = tables.label(report), report.panel.provenance.get("model", "")
    parts = [Text(label, style="bold")] if label else []
    parts += [Text(f"answered by {model}")] if model else []
    if parts:
        console.print(Text(", ").join(parts), highlight=False)
    if report.truth is not None:
        console.print(report.truth.summary(), highlight=False, markup=False)
    console.print()


def _print_table(console: Console, table: Table, said: Collection[str]) -> None:
    """The table, and those of its notes that are not said yet."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Grid

    spared, text = _fitting(table, console.width)
    console.print(table.title, style="bold", highlight=False, markup=False)
    shown = Grid(
        header_style="dim", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False
    )
    for column in text.columns:
        # Heads wrap between words, and so do long cells; numbers never do.
        wide = _width(text[column])
        head = str(column) if len(str(column)) <= wide else "\n".join(str(column).split())
        shown.add_column(head, no_wrap=not _wraps(text[column]), min_width=_needs(text, column))
    for row in text.itertuples(index=False):
        shown.add_row(*row)
    console.print(shown, markup=False, highlight=False)
    for note in (n for n in table.notes if n not in said):
        console.print(note, style="dim", highlight=False, markup=False)
    if spared:
        console.print(
            f"Not shown in {console.width} columns: {', '.join(spared)}; see "
            f"tables/{table.name}.csv.",
            style="dim",
            highlight=False,
            markup=False,
        )
    console.print()


def _fitting(table: Table, width: int) -> tuple[list[str], pd.DataFrame]:
    """The columns that fit, and the names of those that are spared."""
    text, spared = table.frame.astype(str), []
    for column in _SPARED.get(table.name, ()):
        if sum(_needs(text, c) + _GAP for c in text.columns) <= width:
            break
        if column in text.columns:
            text = text.drop(columns=column)
            spared.append(column)
    return spared, text


def _needs(text: pd.DataFrame, column: str) -> int:
    wide = _LONG if _wraps(text[column]) else _width(text[column])
    return max(wide, *(len(word) for word in str(column).split()))


def _wraps(cells: pd.Series[str]) -> bool:
    """Sentences may be wrapped; numbers with their intervals never."""
    return _width(cells) > _LONG and not cells.str.fullmatch(_NUMBER).all()


def _width(cells: pd.Series[str]) -> int:
    return int(cells.str.len().max()) if len(cells) else 0
