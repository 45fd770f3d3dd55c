"""Files of responses, read into the answers of a study."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import UNSET, Raw

from llmdemand.belief.files.documents import documents
from llmdemand.belief.files.events import Streamed
from llmdemand.belief.files.logs import expanded
from llmdemand.belief.readers.response import failed, read_body, read_response, unknown
from llmdemand.belief.readers.shapes import (
    FORM,
    Batched,
    Body,
    Envelope,
    Line,
    as_json,
    decode,
    is_null,
    line_of,
)
from llmdemand.belief.rows import Answer
from llmdemand.belief.tokens import Response
from llmdemand.core.cell import Cell
from llmdemand.core.questionnaire.earlier import earlier_order
from llmdemand.core.study import Study
from llmdemand.errors import ResponseError, StudyError

__all__ = ["answer_of", "answers_in", "read_answers"]

_RUN_ID = re.compile(r"(?<!\d)(\d{1,9})-(\d{1,9})\Z")


def read_answers(path: str | Path, study: Study, *, backend: str = "file") -> Iterator[Answer]:
    """The answers in a file, one at a time: memory does not grow with a file of lines.

    Parameters
    ----------
    path : path
        Lines of a response store (``{"run_id", "raw"}``), of a batch output
        (``{"custom_id", "response": {"body"}}``), or responses that carry a
        ``run_id``, ``custom_id`` or ``key`` themselves; logs of inspect_ai and EDSL;
        one object per line, an array, or objects over several lines; server-sent
        events; UTF-8 or UTF-16; as they are, or compressed (gzip, Zstandard). An id is
        ``<cell>-<replicate>``, and may be the name of a file that holds one response;
        a field ``order`` (ids joined by ``>``) may name the option order.
    study : Study
        The study that was asked.
    backend : str
        Name for the panel's ``backend`` column.

    Yields
    ------
    Answer
        Of a request that failed, one whose response has the finish reason ``failed``.

    Raises
    ------
    ResponseError
        If the file is missing, empty or damaged, or an object cannot be read; the
        message names place and field.
    """
    path = Path(path)
    yield from answers_in(documents(path), path, study, backend=backend)


def answers_in(
    found: Iterable[tuple[str, bytes]], path: Path, study: Study, *, backend: str = "file"
) -> Iterator[Answer]:
    """The answers in some of a file's documents, one after another: see `read_answers`."""
    streamed = Streamed()
    named = _RUN_ID.search(path.name.split(".")[0])
    for where, data in found:
        try:
            line = line_of(data)
            if line.done is False or streamed:
                made = streamed.add(data)
                if made is None:
                    continue
                data, line = made, line_of(made)
            if line.samples is not UNSET or line.data is not UNSET:
                for inner, name, raw in expanded(line):
                    where = inner
                    run = _run(study, name, UNSET)
                    yield Answer(*run, read_response(raw), backend=backend)
                continue
            name = _name(line)
            if name is None and named:
                name = named[0]
            exported = line.key is not UNSET and _exported(line)
            told = _exported_run(study, name, line) if exported else None
            run = told or _run(study, name, line.order)
            yield Answer(*run, _response(line, data), backend=backend)
        except ResponseError as error:
            raise ResponseError(f"{path} {where}: {error}") from None
    if streamed:
        raise ResponseError(f"{path} ends before its last answer does: no line of it says done")


def answer_of(entry: Any, study: Study, *, backend: str = "file") -> Answer:
    """The answer in one entry of a JSONL file or a store: see `read_answers`.

    Raises
    ------
    ResponseError
        If it cannot be read or names no run of the study.
    """
    if not isinstance(entry, dict):
        raise ResponseError(f"a line is a JSON object, found {type(entry).__name__}")
    data = as_json(entry)
    line = line_of(data)
    run = _run(study, _name(line), line.order)
    return Answer(*run, _response(line, data), backend=backend)


def _name(line: Line) -> Any:
    """What the line says of its run, wherever it says so."""
    for name in (line.run_id, line.custom_id, line.key):
        if name is not UNSET:
            return name
    if isinstance(line.metadata, dict):
        for key in ("run_id", "custom_id"):
            if key in line.metadata:
                return line.metadata[key]
    # Servers number their answers too: theirs are no pairs of numbers.
    found = isinstance(line.id, str) and _RUN_ID.fullmatch(line.id)
    return line.id if found else None


def _exported(line: Line) -> bool:
    """Whether a line is of `llmdemand store export`."""
    digest = isinstance(line.key, str) and re.fullmatch("[0-9a-f]{64}", line.key) is not None
    return digest and line.raw is not UNSET


def _exported_run(study: Study, name: Any, line: Line) -> tuple[Cell, int, tuple[str, ...]] | None:
    """The run that a line of a store tells, which may be of the study before it grew.

    Stores of now write what a run was shown, and its order. Before that option orders were
    drawn by other rules.
    """
    if not isinstance(line.content, str) or not line.content:
        return _run(study, name, line.order, earlier=True) if line.order is UNSET else None
    cell = study.cell_shown(line.content)
    if cell is None:
        raise ResponseError(
            f"run {name!r} asked what {study.name!r} does not ask: use the study that was asked, "
            "or bring the file into a store (`llmdemand store import`) and extract from that, "
            "which leaves such answers out"
        )
    replicate = str(name).rpartition("-")[2]
    return _run(study, f"{cell.index}-{replicate}", line.order)


def _run(
    study: Study, name: Any, order: Any, *, earlier: bool = False
) -> tuple[Cell, int, tuple[str, ...]]:
    """Cell, replicate and option order of a run; the order of `earlier` rules where asked."""
    found = _RUN_ID.search(str(name))
    if name is None or found is None:
        raise ResponseError(
            f"field 'run_id' or 'custom_id' is {name!r}: expected '<cell>-<replicate>' (ids of "
            "`llmdemand batch write` are read by `llmdemand batch read`)"
        )
    index, replicate = int(found[1]), int(found[2])
    try:
        cell = study.cell(index)
    except StudyError as error:
        raise ResponseError(f"run {name!r}: {error}") from None
    if order is UNSET and earlier and (was := earlier_order(study, cell, replicate)) is not None:
        return cell, replicate, was
    if order is UNSET:
        return cell, replicate, study.order(cell, replicate)
    shown = tuple(str(order).split(">"))
    if sorted(shown) != sorted(study.menu.ids):
        raise ResponseError(f"field 'order' is {order!r}: expected the menu's ids")
    return cell, replicate, shown


def _response(line: Line, data: Any) -> Response:
    """The response in a line of a store, of a batch output, or that the line is."""
    if line.raw is not UNSET:
        found = read_body(line.raw)
        if found is None:
            raise unknown(decode(data, dict[str, Raw], FORM)["raw"])
        return found
    if isinstance(line, Batched) and isinstance(line.response, Envelope):
        found = _enveloped(line.response)
        if found is not None:
            return found
        line = decode(data, Line, FORM)
    found = None if line.response is UNSET else _unopened(bytes(line.response))
    found = found or read_body(line)
    if found is None and (line.error or line.status):
        found = failed(line.error or line.status)
    if found is None:
        raise unknown(data if is_null(line.response) else line.response)
    return found


def _unopened(data: bytes) -> Response | None:
    """`_enveloped` of bytes; None where they are no object."""
    return _enveloped(decode(data, Envelope, FORM)) if data.startswith(b"{") else None


def _enveloped(around: Envelope) -> Response | None:
    """What a batch output calls the response; None where that says nothing."""
    code = around.status_code
    if code not in (None, 200, "200"):
        said = around.body.error if isinstance(around.body, Body) else around.error
        return failed(f"status {code}: {said}" if said else f"status {code}")
    return read_body(around.body if isinstance(around.body, Body) else around)
