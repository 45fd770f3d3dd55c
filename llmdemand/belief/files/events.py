"""Answers that were recorded as they came: server-sent events, and Ollama's lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llmdemand.belief.readers.shapes import as_json, decode
from llmdemand.errors import ResponseError

__all__ = ["Streamed", "server_sent"]

_MARKS = (b"data:", b"event:", b"id:", b"retry:", b":")


def is_event(line: bytes) -> bool:
    """Whether a file that begins with this line is a stream of server-sent events."""
    return line.startswith(_MARKS)


def server_sent(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The responses of a stream of server-sent events, each put together of its chunks."""
    whole: dict[str, Any] = {}
    for line in lines:
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if not data or data == b"[DONE]":
            continue
        chunk = decode(data, dict[str, Any], "server-sent event")
        if chunk.get("type") == "response.completed":  # OpenAI Responses say it all again
            yield as_json(chunk.get("response"))
            continue
        if str(chunk.get("type", "")).startswith("response."):
            continue
        if whole and chunk.get("id") != whole.get("id"):
            yield as_json(whole)
            whole = {}
        _join(whole, chunk)
    if whole:
        yield as_json(whole)


class Streamed:
    """Puts together the lines of one streamed answer of Ollama."""

    def __init__(self) -> None:
        self._whole: dict[str, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._whole)

    def add(self, data: bytes) -> bytes | None:
        """One more line; the whole answer if it is the last."""
        chunk = decode(data, dict[str, Any], "Ollama answer")
        _join(self._whole, chunk)
        if not chunk.get("done"):
            return None
        whole, self._whole = as_json(self._whole), {}
        return whole


def _join(whole: dict[str, Any], chunk: Mapping[str, Any]) -> None:
    """Add a chunk to what came before: texts and lists grow, all else is replaced."""
    for key, value in chunk.items():
        before = whole.get(key)
        if key == "choices" and isinstance(value, list):
            whole.setdefault(key, [])
            for choice in value:
                _join_choice(whole[key], choice)
        elif isinstance(before, dict) and isinstance(value, Mapping):
            _join(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            before.extend(value)
        elif isinstance(before, str) and isinstance(value, str) and key in _TEXTS:
            whole[key] = before + value
        elif value is not None or key not in whole:
            whole[key] = value


_TEXTS = frozenset(
    {"content", "text", "response", "thinking", "reasoning", "reasoning_content", "refusal"}
)


def _join_choice(choices: list[Any], chunk: Any) -> None:
    if not isinstance(chunk, Mapping):
        raise ResponseError(f"no server-sent event: a choice is {type(chunk).__name__}")
    chunk = {("message" if k == "delta" else k): v for k, v in chunk.items()}
    for choice in choices:
        if choice.get("index") == chunk.get("index"):
            _join(choice, chunk)
            return
    choices.append({})
    _join(choices[-1], chunk)
