"""OpenAI Responses."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from llmdemand.belief.readers.chat import parts, usage_of
from llmdemand.belief.readers.listed import entries
from llmdemand.belief.readers.shapes import Body, Entry, decode
from llmdemand.belief.tokens import Response
from llmdemand.errors import ResponseError

__all__ = ["responses"]

_ENDS = {None: "stop", "max_output_tokens": "length"}


class _Block(Struct):
    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    logprobs: list[Entry] | None = None


class _Item(Struct):
    type: str | None = None
    content: list[_Block] | None = None
    summary: Any = None


def responses(body: Body) -> Response:
    """A Responses object; its text blocks are read as one answer.

    Reasoning items hold no log-probabilities and are the thought. Log-probabilities
    must have been asked for (``include=["message.output_text.logprobs"]``).
    """
    items: list[_Item] = decode(
        body.output, list[_Item], "Responses object, output[].content[] with text and logprobs"
    )
    if any(i.type == "message" and i.content is None for i in items):
        raise ResponseError("no Responses object: a message has no content")
    messages = [b for item in items if item.type == "message" for b in item.content or ()]
    written = [b for b in messages if b.type == "output_text"]
    refused = [b.refusal for b in messages if b.type == "refusal"]
    text = "".join(b.text or "" for b in written)
    thought = "".join(
        [b.text or "" for item in items if item.type == "reasoning" for b in item.content or ()]
    ) or "".join("".join(parts(i.summary)) for i in items if i.type == "reasoning")
    details = body.incomplete_details
    incomplete = details.get("reason") if isinstance(details, dict) else None
    return Response(
        entries([entry for b in written for entry in b.logprobs or ()], text),
        text,
        _ENDS.get(incomplete, str(incomplete)),
        (refused[0] or "refused") if refused else None,
        str(body.model or ""),
        usage_of(body.usage),
        thought=thought,
    )
