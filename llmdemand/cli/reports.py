"""Comparing and showing, for the commands that end in a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.cli.output import err, out
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from llmdemand.belief.tokens import Response
    from llmdemand.core.panel import Panel
    from llmdemand.reporting.compare import Report


def compared(
    panel: Panel,
    seed: int,
    runs: tuple[int, ...] = (1, 2, 3, 5, 10, 20),
    replications: int = 1000,
    **options: Any,
) -> Report:
    """Compare with a bar."""
    from rich.progress import Progress

    from llmdemand.reporting.compare import compare as run

    with Progress(console=err(), transient=True) as bar:
        task = bar.add_task("drawing runs and fitting", total=1.0)
        report: Callable[[float], None] = lambda done: bar.update(task, completed=done)  # noqa: E731
        return run(panel, runs, replications=replications, seed=seed, progress=report, **options)


def print_report(report: Report, note: str, *, folder: Path | None = None) -> None:
    """The report on the terminal, and where its files are."""
    from llmdemand.reporting.terminal import print_report as show

    show(report, note, out(), folder=folder)


def result_folder(folder: Path) -> Path:
    """The folder for results; a file, or a place where none can be made, is refused."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file: give a folder, which is made if it is missing")
    if any(parent.exists() and not parent.is_dir() for parent in folder.parents):
        raise UsageError(f"--out {folder} lies below a file: give another folder")
    return folder


def kept_responses(
    panel: Panel, path: Path, store: Path | None = None
) -> Mapping[str, Response] | None:
    """The responses that the page shows, from the store beside a panel; None without one.

    Parameters
    ----------
    panel : Panel
        Whose answers.
    path : path
        Its file: the store is ``<name>.responses.sqlite`` or ``responses.sqlite`` beside it.
    store : path, optional
        The store, if it lies elsewhere.

    Raises
    ------
    UsageError
        If a store was named that is none, or holds other answers.
    """
    from llmdemand.reporting.page.inspector import matcher, sample
    from llmdemand.simulation.backends.recorded import stored_answers
    from llmdemand.simulation.storing.store import is_store

    beside = (path.with_suffix(".responses.sqlite"), path.with_name("responses.sqlite"))
    chosen = store or next((p for p in beside if is_store(p)), None)
    if chosen is None:
        return None
    if not is_store(chosen):
        raise UsageError(f"--store {chosen} is no response store")
    rows = {row["run_id"]: row for row in sample(panel).to_dict("records")}
    fits = matcher(panel.study)
    found: dict[str, Response] = {}
    try:
        for answer in stored_answers(
            chosen, panel.study, model=panel.provenance.get("model") or None
        ):
            run = f"{answer.cell.index}-{answer.replicate}"
            # A store may hold the same runs under several seeds.
            if run in rows and fits(rows[run], answer.response):
                found[run] = answer.response
    except UsageError:
        if store is not None:
            raise
        return None
    return found


def print_files(folder: Path) -> None:
    """Where the results are."""
    out().print(
        f"results in {folder}/: report.html, panel.parquet, tables/, figures/", highlight=False
    )
