"""What commands print, and how."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from llmdemand.errors import PanelError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from llmdemand.core.panel import Panel
    from llmdemand.core.shards.shards import AnyPanel
    from llmdemand.core.study import Study

# Set once, by the options before the command.
_quiet = False


def out() -> Console:
    """Standard output."""
    from rich.console import Console

    return Console(soft_wrap=False)


def err() -> Console:
    """Standard error; silent where ``--quiet`` was given."""
    from rich.console import Console

    return Console(stderr=True, quiet=_quiet)


def loudness(*, quiet: bool = False, verbose: bool = False) -> None:
    """How much is told beside results, warnings and errors."""
    import logging

    global _quiet
    if quiet and verbose:
        raise UsageError("--quiet and --verbose: give one of them")
    _quiet = quiet
    handlers: list[logging.Handler] = []
    if verbose:
        from rich.logging import RichHandler

        handlers.append(RichHandler(console=err(), show_path=False))
    for name in ("llmdemand", "httpx"):
        logger = logging.getLogger(name)
        logger.handlers[:] = handlers
        logger.setLevel(logging.INFO if verbose else logging.NOTSET)


def told() -> bool:
    """Whether progress is shown: not under ``--quiet``."""
    return not _quiet


def say(text: str) -> None:
    """Print lines as they are: paths and commands are not broken at a terminal's width."""
    typer.echo(text)


def print_json(value: Any) -> None:
    """Print strict JSON."""
    typer.echo(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    """JSON types: what is missing is null, infinities are the strings inf and -inf."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return None if value != value else value if abs(value) < float("inf") else str(value)
    if hasattr(value, "tolist"):  # numbers and arrays of numpy
        return _plain(value.tolist())
    if str(value) in ("<NA>", "NaT"):
        return None if not isinstance(value, str) else value
    return str(value) if isinstance(value, Path) or hasattr(value, "isoformat") else value


def records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows as dictionaries."""
    return frame.astype(object).to_dict("records")


def panel_facts(panel: AnyPanel, /, **files: Path) -> dict[str, Any]:
    """What ``--json`` says of a panel that was written: its runs by status, and the files."""
    return {
        "study": panel.study.name,
        "measure": panel.study.measure,
        "runs": len(panel),
        "usable": panel.usable_runs,
        "statuses": {str(status): int(n) for status, n in panel.statuses.items()},
        "files": {name: str(path) for name, path in files.items()},
    }


def statuses(panel: AnyPanel) -> str:
    """Numbers of runs by status, those that occur."""
    return ", ".join(f"{status} {n}" for status, n in panel.statuses.items() if n)


def one_panel(path: Path) -> Panel:
    """The panel in a file, for commands that write a panel of every run that they read.

    Raises
    ------
    UsageError
        For a folder of shards.
    """
    from llmdemand.core.panel import Panel
    from llmdemand.core.shards.shards import read_panel

    found = read_panel(path)
    if isinstance(found, Panel):
        return found
    raise UsageError(
        f"{path} is a folder of {len(found.parts)} files, and this command works on one: give one "
        f"of them, or a sample, ld.read_panel({str(path)!r}).sample.write('some.parquet')"
    )


def refuse_overwriting(path: Path, *others: Path) -> None:
    """A panel is one parquet file, and overwrites nothing but a panel."""
    if path.is_dir() or not path.name:
        raise UsageError(f"--out {path} is a folder: give the path of a parquet file")
    if path.suffix.lower() in (".csv", ".json", ".xlsx", ".dta"):
        raise UsageError(f"--out {path}: panels are parquet files, name it {path.stem}.parquet")
    same = [other for other in others if other.resolve() == path.resolve()]
    if same:
        raise UsageError(f"--out {path} and the responses are the same file: give two paths")
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            if file.read(4) != b"PAR1":
                raise UsageError(
                    f"--out {path} exists and is no panel: it is not overwritten, give another path"
                )


def refuse_other_study(path: Path, study: Study, model: str = "") -> None:
    """A panel is overwritten by one of the same study, and of the same model if one is named.

    Two studies under one name would leave one panel, and a store of answers to both.

    Raises
    ------
    UsageError
        If there is a panel of another study or model, or one that cannot be read.
    """
    from llmdemand.core.panel import Panel

    if not path.is_file() or not path.stat().st_size:
        return
    try:
        found = Panel.read(path)
    except PanelError as error:
        raise UsageError(f"{error}: it is not overwritten, give another --out") from None
    by = str(found.provenance.get("model", model)) if model else ""
    if (found.study.name, by) != (study.name, model):
        told, asked = ((f", answered by {m}" if m else "") for m in (by, model))
        raise UsageError(
            f"{path} holds the study {found.study.name}{told}: it is not overwritten by "
            f"{study.name}{asked}, give another --out"
        )


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A bar for work whose end is not known: what it is told is how much is done."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console, words = err(), TextColumn(f"{{task.completed:,.0f}} {what}")
    columns = (words, BarColumn(), TimeElapsedColumn())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=None)
        yield lambda done: bar.update(task, completed=done)


def command_line() -> str:
    """The command as it was typed."""
    import shlex

    return shlex.join(["llmdemand", *sys.argv[1:]])


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show warnings as one line each, without source lines."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        typer.echo(f"warning: {warning.message}", err=True)
