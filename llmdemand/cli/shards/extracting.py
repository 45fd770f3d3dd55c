"""``extract`` of many files into a folder of parts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.cli.output import err, print_json, say
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from llmdemand.belief.files.many import Progress
    from llmdemand.core.study import Study

__all__ = ["extract_parts", "is_folder"]


def is_folder(files: Sequence[Path], out: Path, cluster: str | None) -> bool:
    """Whether a folder of parts is asked for: many files, a cluster, or a folder by its name."""
    from llmdemand.simulation.storing.store import is_store

    first = files[0]
    if len(files) > 1 or cluster is not None or (not first.exists() and set("*?[") & {*str(first)}):
        return True
    return first.is_file() and not out.suffix and not is_store(first)


def extract_parts(
    files: Sequence[Path],
    study: Study,
    out: Path,
    low_mass: float,
    *,
    workers: int | None,
    cluster: str | None,
    as_json: bool,
) -> None:
    """Extract, tell what it will take and how far it is, and what came of it."""
    from llmdemand.belief.files.expected import expected
    from llmdemand.belief.files.many import Extracting, extract_all
    from llmdemand.belief.files.pieces import files_named
    from llmdemand.core.processors import processors
    from llmdemand.simulation.storing.store import is_store

    if workers is not None and cluster is not None:
        raise UsageError("--workers are processes of this machine, --cluster has its own: give one")
    if out.suffix:
        raise UsageError(f"--out {out}: many files become a folder of parts, name it {out.stem}")
    names = files_named(files)
    stores = [name for name in names if is_store(Path(name))]
    if stores:
        raise UsageError(f"{stores[0]} is a response store: extract each store by itself")
    at_work = workers or (1 if cluster else processors())
    told = expected(names, study, low_mass=low_mass)
    err().print(told.told(at_work), markup=False, highlight=False, soft_wrap=True)
    source = " ".join(map(str, files))
    provenance = {"source": source, "study_hash": study.hash}
    start = time.monotonic()
    with _bar() as progress:
        how = Extracting(low_mass=low_mass, executor=cluster or at_work, progress=progress)
        found = extract_all(files, study, out, provenance, how)
    seconds = time.monotonic() - start
    if as_json:
        parts, runs = len(found.panel.parts), len(found.panel)
        facts: dict[str, Any] = {"study": study.name, "runs": runs, "statuses": found.statuses}
        facts |= {"parts": parts, "files": found.files, "bytes": found.bytes}
        facts |= {"kept": found.kept, "pieces": found.pieces, "seconds": seconds}
        print_json({**facts, "panel": str(out), "expected_seconds": told.seconds / at_work})
        return
    counted = ", ".join(f"{status} {n:,}" for status, n in sorted(found.statuses.items()))
    kept = f", {found.kept} of {found.pieces} pieces kept from before" if found.kept else ""
    say(f"{len(found.panel):,} runs: {counted}{kept}")
    say(f"panel: {out}, {len(found.panel.parts)} parts")


@contextmanager
def _bar() -> Iterator[Progress]:
    """Bytes done, and when the end is to be expected."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console, words = err(), TextColumn("{task.fields[runs]:,} runs")
    columns = (words, BarColumn(), TaskProgressColumn(), Remaining())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=None, runs=0)
        yield lambda done, total, runs: bar.update(task, completed=done, total=total, runs=runs)
