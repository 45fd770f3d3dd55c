"""Many files of responses, extracted into a panel that is a folder of parts."""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from llmdemand.belief.files.extraction import PLAN, Extracted, Extraction, run_of
from llmdemand.belief.files.pieces import Piece, files_named, pieces_of
from llmdemand.core.panel import WHOLE, Panel
from llmdemand.core.shards.part import part_name
from llmdemand.core.shards.shards import PanelShards
from llmdemand.core.study import Study
from llmdemand.errors import ResponseError, UsageError
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import mapped

__all__ = ["Extracting", "Extractions", "Progress", "extract_all", "extract_files"]

#: Folder of work inside of the panel's, which is gone when all is done.
WORK = ".pieces"
#: File that tells which piece a part was: of what bytes, by what study and options.
NOTE = ".extraction.json"

_ROWS = 10_000
_SIZE = 64 * 2**20
_AHEAD = 8  # results are small, and files that cannot be divided differ much

#: Told bytes done and in all, and runs so far.
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Extractions:
    """What became of many files.

    Attributes
    ----------
    panel : PanelShards
        All of them.
    files : int
        Files that were read.
    bytes : int
        Their size.
    statuses : dict
        Number of runs by status.
    kept, pieces : int
        Pieces of work that were done before, and in all.
    """

    panel: PanelShards
    files: int
    bytes: int
    statuses: dict[str, int]
    kept: int
    pieces: int


@dataclass(frozen=True)
class Extracting:
    """How files are extracted.

    Attributes
    ----------
    raw_logprobs, low_mass, executor, rows, size, progress
        See `extract_files`.

    Raises
    ------
    UsageError
        For parts or pieces of nothing.
    """

    raw_logprobs: bool = True
    low_mass: float = 0.05
    executor: Executor = None
    rows: int = _ROWS
    size: int = _SIZE
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.rows < 1 or self.size < 1:
            raise UsageError(f"rows={self.rows}, size={self.size}: expected numbers of at least 1")


_AS_USUAL = Extracting()


def extract_files(
    files: str | Path | Sequence[str | Path],
    study: Study,
    out: str | Path,
    provenance: Mapping[str, Any] | None = None,
    *,
    raw_logprobs: bool = True,
    low_mass: float = 0.05,
    executor: Executor = None,
    rows: int = _ROWS,
    size: int = _SIZE,
    progress: Progress | None = None,
) -> PanelShards:
    """Extract files of responses, however many and large, into a folder of parts of a panel.

    Workers read the files and write the parts; memory holds the parts in work, and eight bytes a
    run. The folder is the same to the last byte whatever the executor. What was done before a
    break, by the same study, options and version, is not done again: pieces are known by the
    bytes that they were read from. Until all is done the folder holds no part, so that it is
    never taken for the whole.

    Parameters
    ----------
    files : path, pattern (``raw/*.jsonl.gz``), or several
        See `read_answers`. Their order is that of the rows; files of a pattern are sorted by name.
    study, provenance, raw_logprobs, low_mass
        See `extract_panel`.
    out : path
        A folder: new, empty, or of the same extraction.
    executor : None, int, str or dask.distributed.Client
        See `llmdemand.scale.merging.map_merge`. Workers of a cluster must see the files and `out`
        by the same paths.
    rows : int
        Most runs in a part.
    size : int
        Least bytes of a file, if it can be divided, that are read at a time: UTF-8, not
        compressed, an object on each line.
    progress : callable, optional
        Told bytes done, bytes in all, and runs so far.

    Returns
    -------
    PanelShards

    Raises
    ------
    ResponseError
        Of the first line that cannot be read, as with one process; for a run that is answered
        twice, with the files that answer it; if there is no answer at all.
    UsageError
        If `out` holds something else, or a worker does not see it or a file.
    WorkersLost
        If workers die again and again. What is done is kept.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> import llmdemand as ld
    >>> raw = {"text": " Huggies", "tokens": [[" Huggies", -0.5, [[" Huggies", -0.5]]]]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for k in range(3):
    ...         line = json.dumps({"run_id": f"3-{k}", "raw": raw})
    ...         _ = pathlib.Path(folder, f"{k}.jsonl").write_text(line)
    ...     panel = extract_files(f"{folder}/*.jsonl", ld.load_study("pampers"), f"{folder}/panel")
    ...     found = panel.panel()
    >>> found.frame["run_id"].tolist()
    ['3-0', '3-1', '3-2']
    """
    how = Extracting(raw_logprobs, low_mass, executor, rows, size, progress)
    return extract_all(files, study, out, provenance, how).panel


def extract_all(
    files: str | Path | Sequence[str | Path],
    study: Study,
    out: str | Path,
    provenance: Mapping[str, Any] | None = None,
    how: Extracting = _AS_USUAL,
) -> Extractions:
    """`extract_files`, and what became of them."""
    names = files_named([files] if isinstance(files, str | Path) else files)
    pieces = [piece for name in names for piece in pieces_of(name, how.size)]
    folder = _folder(out)
    work = folder / WORK
    _taken_apart(folder, work)
    token = uuid.uuid4().hex
    (work / PLAN).write_text(token, "utf-8")
    told = {"backend": "file", **(provenance or {}), "low_mass": how.low_mass}
    where = str(work.resolve())
    task = Extraction(study, told, how.raw_logprobs, how.low_mass, where, token, how.rows)
    found: list[Extracted] = []
    total, done, runs = sum(map(len, pieces)), 0, 0
    with closing(mapped(task, pieces, how.executor, ahead=_AHEAD)) as results:
        for piece, result in zip(pieces, results, strict=True):
            found.append(result)
            done, runs = done + len(piece), runs + len(result.keys)
            if how.progress is not None:
                how.progress(done, total, runs)
    _refuse_doubled(pieces, found)
    if not runs:
        raise ResponseError(f"{names[0]} and {len(names) - 1} others hold no answer")
    _even(work, found)
    _put_together(folder, work, [name for result in found for name in result.parts])
    statuses: Counter[str] = Counter()
    for result in found:
        statuses.update(result.statuses)
    kept = sum(result.kept for result in found)
    panel = PanelShards.open(folder)
    return Extractions(panel, len(names), total, dict(statuses), kept, len(pieces))


def _folder(out: str | Path) -> Path:
    if "://" in str(out):
        raise UsageError(
            f"{out}: parts are written to a folder that is mounted; copy it there when it is done, "
            "panels are read from anywhere"
        )
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{out} is a file: the parts of a panel need a folder, name another")
    return folder


def _taken_apart(folder: Path, work: Path) -> None:
    """Parts that an extraction has put together are pieces again, so that they can be kept."""
    note = folder / NOTE
    pieces: dict[str, str] = json.loads(note.read_text("utf-8")) if note.is_file() else {}
    before = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    for path in before:
        if path.name not in pieces:
            raise UsageError(
                f"{path} is no part that an extraction wrote: name another folder for the panel"
            )
    work.mkdir(parents=True, exist_ok=True)
    for path in before:
        path.replace(work / pieces[path.name])
    note.unlink(missing_ok=True)


def _refuse_doubled(pieces: Sequence[Piece], found: Sequence[Extracted]) -> None:
    """Every run is answered once, in all files together."""
    keys = np.sort(np.concatenate([result.keys for result in found]))
    twice = np.unique(keys[1:][keys[1:] == keys[:-1]])
    if not len(twice):
        return
    run = twice[0]
    inside = [
        piece.path
        for piece, result in zip(pieces, found, strict=True)
        for _ in range(int((result.keys == run).sum()))
    ]
    raise ResponseError(
        f"{len(twice):,} runs are answered twice, the first {run_of(int(run))} in "
        f"{' and '.join(dict.fromkeys(inside))}: leave one of the files out, or merge their stores"
    )


def _even(work: Path, found: Sequence[Extracted]) -> None:
    """All parts have the same columns, also if some hold no answer that was stopped."""
    if len({s for result in found for s in result.shortened}) < 2:
        return
    for result in found:
        for name, shortened in zip(result.parts, result.shortened, strict=True):
            if not shortened:
                panel = Panel.read(work / name)
                replace(panel, frame=panel.frame.assign(**{WHOLE: 1.0})).write(work / name)


def _put_together(folder: Path, work: Path, names: Sequence[str]) -> None:
    parts = {part_name(k, len(names)): name for k, name in enumerate(names, 1)}
    # Before the first is moved: a break between them loses nothing.
    (folder / NOTE).write_text(json.dumps(parts, indent=0), "utf-8")
    for part, name in parts.items():
        (work / name).replace(folder / part)
    shutil.rmtree(work)
