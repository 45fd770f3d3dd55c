"""Ollama's own chat and generate."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Raw

from llmdemand.belief.readers.chat import parts
from llmdemand.belief.readers.listed import entries
from llmdemand.belief.readers.shapes import Body, Entry, decode, given
from llmdemand.belief.tokens import Response

__all__ = ["ollama"]


def ollama(body: Body) -> Response:
    """An answer of ``/api/chat`` or ``/api/generate``.

    A thought is in a field of its own; the log-probabilities are those of both.
    """
    written, thought = body.response, body.thinking
    if isinstance(written, Raw):  # of a line, where others put an object
        written = decode(written, Any, "Ollama answer")
    if body.message is not UNSET:
        written, thought = body.message.content, body.message.thinking
    text, _ = parts(written)
    content = (
        []
        if body.logprobs is UNSET
        else decode(body.logprobs, list[Entry] | None, "Ollama answer, logprobs[] with token")
    )
    return Response(
        entries(content or (), text),
        text,
        str(body.done_reason or "stop"),
        None,
        str(body.model or ""),
        {
            "prompt_tokens": given(body.prompt_eval_count),
            "completion_tokens": given(body.eval_count),
        },
        thought=thought if isinstance(thought, str) else "",
    )
