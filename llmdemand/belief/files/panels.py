"""A file of responses, extracted into a panel by one process or by several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from llmdemand.belief.files.answers import answers_in
from llmdemand.belief.files.documents import (
    documents,
    is_lines,
    lines_before,
    lines_between,
    spans,
)
from llmdemand.belief.rows import PanelBuilder
from llmdemand.core.panel import Panel
from llmdemand.core.processors import processors
from llmdemand.core.study import Study
from llmdemand.errors import LLMDemandError, UsageError
from llmdemand.scale.merging import mapped

__all__ = ["extract_file"]

Row = dict[str, Any]

# Below this a file is read before other processes have started.
_LARGE = 128 * 2**20
_PART = 2 * 2**20


def extract_file(
    path: str | Path,
    study: Study,
    provenance: Mapping[str, Any] | None = None,
    *,
    raw_logprobs: bool = True,
    low_mass: float = 0.05,
    workers: int | None = 1,
    progress: Callable[[int], None] | None = None,
) -> Panel:
    """Read a file of responses and extract every answer's belief.

    The panel is that of ``extract_panel(study, read_answers(path, study))``, bit for bit,
    whatever the number of workers. Memory holds its rows, and little of the file.

    Parameters
    ----------
    path : path
        See `read_answers`.
    study, provenance, raw_logprobs, low_mass
        See `extract_panel`.
    workers : int or None
        Processes that read and extract, beside this one if they are several. They are
        started anew (``spawn``): a script that asks for several must do so below
        ``if __name__ == "__main__":``. None: as many as there are cores for files of 128 MB
        and more, else one. Only files with an object on each line, in UTF-8 and not
        compressed, are divided; all others are read by one process, and so are the lines
        of streamed answers (Ollama), which belong together.
    progress : callable, optional
        Told the number of rows so far, again and again.

    Returns
    -------
    Panel

    Raises
    ------
    ResponseError
        As `read_answers` does: of the first line that cannot be read.
    UsageError
        If `workers` is no positive number.
    WorkersLost
        If they end by themselves, again and again.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> import llmdemand as ld
    >>> pivot = [" Huggies", -0.5, [[" Huggies", -0.5], [" Pampers", -1.0]]]
    >>> raw = {"text": " Huggies", "tokens": [pivot]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "answers.jsonl"
    ...     _ = path.write_text(json.dumps({"run_id": "3-0", "raw": raw}))
    ...     panel = extract_file(path, ld.load_study("pampers"))
    >>> panel.frame["choice"].tolist(), panel.frame["belief_huggies"].round(3).tolist()
    (['huggies'], [0.622])
    """
    path = Path(path)
    if workers is None:
        workers = _worth(path)
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise UsageError(f"workers={workers!r}: expected a number of processes, at least 1")
    make = partial(PanelBuilder, study, raw_logprobs=raw_logprobs, low_mass=low_mass)
    builder = make()
    for done, row in enumerate(extracted(path, make, workers), 1):
        builder.keep(row)
        if progress is not None and done % 1000 == 0:
            progress(done)
    return builder.panel(provenance)


def extracted(path: Path, make: Callable[[], PanelBuilder], workers: int) -> Iterator[Row]:
    """The rows of a file, in its order; none of them is kept."""
    if workers == 1 or not is_lines(path):
        yield from _rows(documents(path), path, make())
        return
    parts = list(spans(path, _PART))
    with closing(mapped(_Part(path, make), parts, workers)) as found:
        for (start, _), rows in zip(parts, found, strict=True):
            if rows is None:
                # It has an error, or ends within an answer: here both end as with one process.
                rest = lines_between(path, start, number=lines_before(path, start) + 1)
                yield from _rows(rest, path, make())
                return
            yield from rows


def _rows(found: Iterable[tuple[str, bytes]], path: Path, builder: PanelBuilder) -> Iterator[Row]:
    for answer in answers_in(found, path, builder.study):
        yield builder.row(answer)


def _worth(path: Path) -> int:
    """How many processes a file is worth."""
    if not path.is_file() or path.stat().st_size < _LARGE:
        return 1
    return processors()


class _Part:
    """The rows of a part, in a worker; None if it cannot be read by itself."""

    def __init__(self, path: Path, make: Callable[[], PanelBuilder]) -> None:
        self.path, self.make = path, make
        self.builder: PanelBuilder | None = None

    def __call__(self, part: tuple[int, int]) -> list[Row] | None:
        self.builder = self.builder or self.make()
        try:
            return list(_rows(lines_between(self.path, *part), self.path, self.builder))
        except LLMDemandError:
            return None
