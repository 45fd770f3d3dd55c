"""llama.cpp's own completion, in its new form and its old."""

from __future__ import annotations

import math
import re
from typing import Any

from msgspec import UNSET, Struct

from llmdemand.belief.readers.chat import parts
from llmdemand.belief.readers.listed import Glyphs, data_of, entries
from llmdemand.belief.readers.shapes import Body, Entry, decode, given
from llmdemand.belief.tokens import Listed, Response, Token
from llmdemand.errors import ResponseError

__all__ = ["llama"]

# The old form writes half a character so.
_HALF = re.compile(r"byte: \\x([0-9a-f]{2})")


class _Candidate(Struct):
    tok_str: str | None = None
    tok: str | None = None
    prob: float | None = None


def llama(body: Body) -> Response:
    r"""An answer of ``/completion``.

    Old versions list probabilities (``probs`` with ``tok_str``), new ones
    log-probabilities, which are the model's own unless they were asked for "after
    sampling".

    Raises
    ------
    ResponseError
        If probabilities are those after sampling.
    """
    assert body.completion_probabilities is not UNSET
    content = body.completion_probabilities
    if any(e.top_probs is not UNSET for e in content):
        raise ResponseError(
            "these probabilities are those after sampling (post_sampling_probs), from which what "
            "top-k and the like cut off is missing: ask with post_sampling_probs=false"
        )
    if body.content is UNSET:
        raise ResponseError("no llama.cpp completion: field 'content' is missing")
    text, _ = parts(body.content)
    old = any(e.probs is not UNSET for e in content)
    limit = body.stop_type == "limit" or body.stopped_limit is True
    return Response(
        _old(content, Glyphs(text)) if old else entries(content, text),
        text,
        "length" if limit else "stop",
        None,
        str(body.model or ""),
        {
            "prompt_tokens": given(body.tokens_evaluated),
            "completion_tokens": given(body.tokens_predicted),
        },
    )


def _old(content: list[Entry], glyphs: Glyphs) -> tuple[Token, ...]:
    made = []
    for entry in content:
        listed = _probabilities(glyphs, entry.probs)
        own = _bytes(entry.content, glyphs)
        value = listed[1][listed[0].index(own)] if own in listed[0] else math.nan
        made.append(Token(own, value, *listed))
    return tuple(made)


def _probabilities(glyphs: Glyphs, raw: Any) -> Listed:
    if raw is UNSET:
        return (), ()
    listed: list[_Candidate] = decode(raw, list[_Candidate], "list of probs with tok_str and prob")
    return (
        tuple([_bytes(c.tok_str if c.tok is None else c.tok, glyphs) for c in listed]),
        tuple([_log(c.prob) for c in listed]),
    )


def _bytes(text: str | None, glyphs: Glyphs) -> bytes:
    half = _HALF.fullmatch(text or "")
    return bytes([int(half[1], 16)]) if half else glyphs(data_of(text))


def _log(probability: float | None) -> float:
    if probability is None or not 0 <= probability <= 1:
        return math.nan
    # Nothing was left of it: not listed, as others say with this number.
    return math.log(probability) if probability else -9999.0
