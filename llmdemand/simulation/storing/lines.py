"""Stored responses as JSON lines, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from llmdemand.core.study import Study
from llmdemand.core.written import json_of
from llmdemand.errors import ResponseError, StudyError
from llmdemand.simulation.storing.records import Source, Stored, exported, imported

__all__ = ["export_lines", "import_lines"]

_AT_ONCE = 1_000


def export_lines(
    entries: Iterable[tuple[Source, Stored]], study_of: Callable[[str], Study | None]
) -> Iterator[dict[str, Any]]:
    """Every response as plain data, the first to each study with that as ``asked``."""
    told: set[str] = set()
    for source, stored in entries:
        entry = exported(source, stored)
        hash_ = entry["study"]
        if hash_ not in told and (study := study_of(hash_)) is not None:
            entry["asked"] = study.to_dict()
        told.add(hash_)
        yield entry


def import_lines(
    path: Path,
    put_all: Callable[[list[tuple[Source, Stored]]], int],
    put_study: Callable[[Study], None],
) -> tuple[int, int]:
    """Give what `export_lines` wrote to a store: lines that were new, and that were there."""
    new = known = 0
    with path.open("rb") as file:
        lines = ((n, line) for n, line in enumerate(file, 1) if line.strip())
        while some := list(islice(lines, _AT_ONCE)):
            found: list[tuple[Source, Stored]] = []
            try:
                for number, line in some:
                    found.append(_read(path, number, line, put_study))
            finally:  # lines before a bad one are in
                stored = put_all(found)
                new, known = new + stored, known + len(found) - stored
    return new, known


def _read(
    path: Path, number: int, line: bytes, put_study: Callable[[Study], None]
) -> tuple[Source, Stored]:
    try:
        entry = json_of(line)
        found = imported(entry)
        asked = entry.get("asked")
        if asked is not None:
            put_study(Study.from_dict(asked, where="asked"))
    except (ValueError, KeyError, TypeError, AttributeError, StudyError) as error:
        raise ResponseError(
            f"{path} line {number}: no line of `llmdemand store export` "
            f"({type(error).__name__}: {error})"
        ) from None
    return found
