"""One response, told by its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from msgspec import UNSET, Raw, Struct

from llmdemand.belief.pivot.found import FAILED
from llmdemand.belief.readers.chat import chat, usage_of
from llmdemand.belief.readers.gemini import gemini
from llmdemand.belief.readers.llama import llama
from llmdemand.belief.readers.openai_responses import responses
from llmdemand.belief.readers.servers import ollama, sglang, tgi
from llmdemand.belief.readers.shapes import FORM, Body, as_json, decode
from llmdemand.belief.readers.short import short
from llmdemand.belief.tokens import Response
from llmdemand.errors import ResponseError

__all__ = ["compact", "failed", "read_body", "read_response", "thoughts", "unknown"]

_EXAMPLE = (
    '{"choices": [{"message": {"content": "Huggies"}, "finish_reason": "stop", "logprobs": '
    '{"content": [{"token": "H", "logprob": -0.5, "top_logprobs": [...]}, ...]}}]}'
)


def read_response(raw: Any) -> Response:
    """A response in any of the forms that are known, told apart by their fields.

    Parameters
    ----------
    raw : mapping, bytes or SDK object
        Chat Completions and text completions (OpenAI, vLLM, llama.cpp, SGLang, TGI,
        Mistral), OpenAI Responses, the own forms of llama.cpp (old and new), Ollama,
        Gemini and Vertex AI, Text Generation Inference and SGLang, the output of an
        inspect_ai sample, or llmdemand's short form; decoded, or as bytes of JSON.

    Returns
    -------
    Response
        Of an answer that is an error, one with the finish reason ``failed``.

    Raises
    ------
    ResponseError
        If it is none of these, or a field has another type: the message names it.

    Examples
    --------
    >>> choice = {"message": {"content": "B"}, "finish_reason": "stop", "logprobs": None}
    >>> read_response({"choices": [choice], "model": "m"}).text
    'B'
    """
    if hasattr(raw, "model_dump"):
        raw = raw.model_dump(mode="json")
    # Some servers answer a batch of one.
    if isinstance(raw, list) and len(raw) == 1:
        raw = raw[0]
    if not isinstance(raw, (Mapping, bytes, Raw)):
        raise ResponseError(f"a response is a JSON object, found {type(raw).__name__}")
    data = as_json(dict(raw)) if isinstance(raw, Mapping) else raw
    body: Body = decode(data, Body, FORM)
    found = read_body(body)
    if found is None:
        raise unknown(data)
    return found


def read_body(body: Body) -> Response | None:
    """The response that a decoded object is, or None."""
    found = _read(body)
    return found if found is None else _marked(found, body)


def _marked(found: Response, body: Body) -> Response:
    """What was done to an answer before it was kept."""
    redacted, trimmed = body.redacted is not UNSET, body.candidates_kept is not UNSET
    return replace(found, redacted=redacted, trimmed=trimmed) if redacted or trimmed else found


def _read(body: Body) -> Response | None:
    if body.thoughts is not UNSET:
        return _thoughts(body)
    if body.meta_info is not UNSET:
        return sglang(body)
    if body.choices is not UNSET:
        return chat(body)
    if body.completion_probabilities is not UNSET:
        return llama(body)
    if body.generated_text is not UNSET:
        return tgi(body)
    if body.candidates is not UNSET or body.promptFeedback or body.prompt_feedback:
        return gemini(body)
    if body.output is not UNSET:
        return responses(body)
    if body.done is not UNSET and (body.message is not UNSET or body.response is not UNSET):
        return ollama(body)
    if body.tokens is not UNSET and body.text is not UNSET:
        return short(body)
    if body.content is not UNSET and body.tokens_predicted is not None:
        body.completion_probabilities = []  # nothing was asked of it
        return llama(body)
    return failed(body.error) if body.error else None


def failed(error: Any) -> Response:
    """What stands for the answer to a request that failed."""
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("code") or error
    return Response((), "", FAILED, trouble=f"{error}"[:200])


def unknown(data: Any) -> ResponseError:
    """The error of an object of an unknown form, with its keys and an example of a known one."""
    keys = sorted(decode(data, dict[str, Raw], FORM))
    return ResponseError(
        f"no known form of response, its keys are {keys[:12]}: expected, for example, {_EXAMPLE}; "
        "OpenAI Responses, text completions, the own forms of llama.cpp, Ollama, Gemini, Text "
        "Generation Inference and SGLang and logs of inspect_ai and EDSL are read too"
    )


def compact(raw: Mapping[str, Any]) -> Response:
    """Our own short form, in which computed and in-process answers are stored.

    Parameters
    ----------
    raw : mapping
        ``{"text", "finish_reason", "model", "usage", "tokens"}``; a token is
        ``[token, logprob, [[candidate, logprob], ...]]``, where a token that is
        no whole text is a list of its bytes.

    Returns
    -------
    Response

    Raises
    ------
    ResponseError
        If a field is missing or of another type.

    Examples
    --------
    >>> compact({"text": "B", "tokens": [["B", -0.1, [["B", -0.1], ["A", -2.4]]]]}).tokens[0].data
    b'B'
    """
    body: Body = decode(as_json(raw), Body, "stored response")
    if body.tokens is UNSET or body.text is UNSET:
        raise ResponseError("no stored response: expected text and tokens")
    return _marked(short(body), body)


class _Thought(Struct):
    answer: Raw
    thought: str = ""
    ended: bool = True


def thoughts(raw: Mapping[str, Any]) -> Response:
    """A run of several thoughts: the first forced answer, with all of them in `forced`.

    Parameters
    ----------
    raw : mapping
        ``{"thoughts": [{"thought", "answer"}, ...], "usage"}``, where ``answer`` is a
        response in any form that `read_response` knows.

    Raises
    ------
    ResponseError
        If a field is missing or of another type.
    """
    return _thoughts(decode(as_json(raw), Body, "run of thoughts"))


def _thoughts(body: Body) -> Response:
    form = "run of thoughts, expected thoughts[] with thought and answer"
    listed = [] if body.thoughts is UNSET else decode(body.thoughts, list[_Thought], form)
    if not listed:
        raise ResponseError(f"no {form}")
    forced = tuple(
        replace(read_response(entry.answer), thought=entry.thought, cut=not entry.ended)
        for entry in listed
    )
    return replace(forced[0], usage=usage_of(body.usage), forced=forced)
