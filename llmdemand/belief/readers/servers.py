"""The own forms of Ollama, Text Generation Inference and SGLang."""

from __future__ import annotations

import math
from typing import Any

from msgspec import UNSET, Raw, Struct

from llmdemand.belief.readers.chat import parts
from llmdemand.belief.readers.listed import data_of, entries, paired, value_of
from llmdemand.belief.readers.shapes import Body, Entry, decode, given
from llmdemand.belief.tokens import Response
from llmdemand.errors import ResponseError

__all__ = ["ollama", "sglang", "tgi"]

_ENDS = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}


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


class _Token(Struct):
    text: str | None = None
    logprob: float | None = None

    def pair(self) -> tuple[bytes, float]:
        return data_of(self.text), value_of(self.logprob)


class _Details(Struct):
    finish_reason: Any = None
    generated_tokens: Any = None
    tokens: list[_Token] | None = None
    top_tokens: list[list[_Token]] | None = None
    prefill: Any = None


def tgi(body: Body) -> Response:
    """An answer of Text Generation Inference, asked with ``details`` and ``top_n_tokens``."""
    form = "Text Generation Inference answer, details.tokens[] and details.top_tokens[][]"
    details: _Details = decode(body.details, _Details | None, form) or _Details()
    text, _ = parts(body.generated_text)
    tokens = [t.pair() for t in details.tokens or ()]
    lists = [[t.pair() for t in listed] for listed in details.top_tokens or [[]] * len(tokens)]
    _same(form, tokens, lists)
    prompt = len(details.prefill) if isinstance(details.prefill, list) else 0
    return Response(
        paired(tokens, lists, text),
        text,
        _ENDS.get(str(details.finish_reason), "stop"),
        None,
        str(body.model or ""),
        {
            "prompt_tokens": float(prompt) if prompt else math.nan,
            "completion_tokens": given(details.generated_tokens),
        },
    )


_Scored = tuple[float | None, Any, str | None]


class _Meta(Struct):
    finish_reason: Any = None
    prompt_tokens: Any = None
    completion_tokens: Any = None
    output_token_logprobs: list[_Scored] | None = None
    output_top_logprobs: list[list[_Scored] | None] | None = None


def sglang(body: Body) -> Response:
    """An answer of SGLang, asked with ``return_logprob`` and ``top_logprobs_num``."""
    form = "SGLang answer, meta_info.output_token_logprobs[] and output_top_logprobs[][]"
    meta: _Meta = decode(body.meta_info, _Meta, form)
    text, _ = parts(body.text)
    own = meta.output_token_logprobs or []
    top = meta.output_top_logprobs or [None] * len(own)
    tokens = [(data_of(t), value_of(v)) for v, _, t in own]
    lists = [[(data_of(t), value_of(v)) for v, _, t in listed or ()] for listed in top]
    _same(form, tokens, lists)
    reason = meta.finish_reason
    reason = reason.get("type") if isinstance(reason, dict) else reason
    ids = bool(own) and all(t is None for _, _, t in own)
    return Response(
        paired(tokens, lists, text),
        text,
        str(reason or "stop"),
        None,
        str(body.model or ""),
        {
            "prompt_tokens": given(meta.prompt_tokens),
            "completion_tokens": given(meta.completion_tokens),
        },
        trouble="there are ids in place of tokens: ask with return_text_in_logprobs=true"
        if ids
        else "",
    )


def _same(form: str, tokens: list[Any], lists: list[Any]) -> None:
    if len(tokens) != len(lists):
        raise ResponseError(f"no {form}: {len(tokens)} tokens and {len(lists)} lists")
