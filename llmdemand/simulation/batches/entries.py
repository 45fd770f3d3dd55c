"""Lines of output and error files: which request each answers, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmdemand.belief.files.documents import lines_between
from llmdemand.belief.readers import read_response
from llmdemand.core.written import json_of
from llmdemand.errors import ResponseError
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.wire.bodies import Parsed
from llmdemand.simulation.backends.wire.troubles import Trouble

__all__ = ["answer_in", "entries"]


def entries(path: Path, start: int, end: int) -> Iterator[dict[str, Any] | None]:
    """Lines of a part of a file as objects; None for one that cannot be read."""
    for _, line in lines_between(path, start, end):
        try:
            entry = json_of(line)
        except ValueError:
            yield None
            continue
        yield entry if isinstance(entry, dict) else None


def answer_in(entry: Mapping[str, Any], backend: OpenAIBackend) -> tuple[Parsed | None, str]:
    """The response object in an output line, or None and the reason why there is none."""
    response = entry.get("response")
    response = response if isinstance(response, dict) else {}
    # Some servers put the answer where others put its envelope.
    body = response if {"choices", "output"} & set(response) else response.get("body")
    error = entry.get("error") or (body.get("error") if isinstance(body, dict) else None)
    status = response.get("status_code", 200)
    if error or status != 200 or not isinstance(body, dict):
        detail = error if isinstance(error, dict) else {"message": str(error or f"status {status}")}
        said = Trouble.of(detail, status if isinstance(status, int) else 200)
        if said.filtered:
            raw = backend.filtered(backend.cleaned(said.words))
            return Parsed(raw, read_response(raw)), ""
        reason = str(detail.get("code") or detail.get("message") or f"status {status}")
        return None, backend.cleaned(reason).splitlines()[0][:100]
    body = backend.redacted(body)
    try:
        return Parsed(body, read_response(body)), ""
    except ResponseError as problem:
        return None, str(problem)[:100]
