"""Comparing and showing, for the commands that end in a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from llmdemand.cli.output import err, out

if TYPE_CHECKING:
    from llmdemand.core.panel import Panel
    from llmdemand.reporting.compare import Report


def compared(
    panel: Panel,
    seed: int,
    runs: tuple[int, ...] = (1, 2, 5, 10, 20),
    replications: int = 1000,
) -> Report:
    """Compare with a bar."""
    from rich.progress import Progress

    from llmdemand.reporting.compare import compare as run

    with Progress(console=err(), transient=True) as bar:
        task = bar.add_task("drawing runs and fitting", total=1.0)
        report: Callable[[float], None] = lambda done: bar.update(task, completed=done)  # noqa: E731
        return run(panel, runs, replications=replications, seed=seed, progress=report)


def print_report(report: Report, note: str) -> None:
    """The report on the terminal."""
    from llmdemand.reporting.terminal import print_report as show

    show(report, note, out())


def print_files(folder: Path) -> None:
    """Where the results are."""
    out().print(
        f"results in {folder}/: report.html, panel.parquet, tables/, figures/", highlight=False
    )
