"""The fields that are read of the objects which servers write.

Lists of candidates stay undecoded (`msgspec.Raw`): they are needed at the pivot only.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llmdemand.errors import ResponseError

__all__ = [
    "FORM",
    "Batched",
    "Body",
    "Candidate",
    "Choice",
    "Entry",
    "Envelope",
    "Line",
    "Logprobs",
    "MaybeRaw",
    "Message",
    "Short",
    "as_json",
    "decode",
    "given",
    "is_null",
    "line_of",
]

MaybeRaw = Raw | UnsetType

#: What is said of an object whose fields are of other types.
FORM = "known form of response (as Chat Completions: choices[0] with message, logprobs.content)"


# Tokens of one answer and its prompt: beyond what any model reads.
_MOST = 1e8

#: A token of our own short form: itself, its log-probability and its candidates.
Short = tuple[str | list[int], float | None, Raw]


class Candidate(Struct, gc=False):
    """A candidate of Chat Completions, of their relatives and of llama.cpp."""

    token: str | None = None
    logprob: float | None = None
    bytes: list[int] | None = None


class Entry(Struct, gc=False):
    """A generated token with its candidates; the fields of all versions of llama.cpp too."""

    token: str | None = None
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: MaybeRaw = UNSET
    content: str | None = None
    probs: MaybeRaw = UNSET
    top_probs: MaybeRaw = UNSET


class Logprobs(Struct):
    """Of one choice: entries, or the lists of the old Completions form."""

    content: list[Entry] | None = None
    tokens: list[str | None] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None


class Message(Struct):
    """A message; its content is a text or a list of parts."""

    content: Any = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None


class Choice(Struct):
    """One answer of Chat Completions, text completions or inspect_ai."""

    message: Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: Any = UNSET
    logprobs: Logprobs | None = None


class Body(Struct):
    """A response: whichever of these fields it has says what it is."""

    model: Any = None
    usage: Any = None
    error: Any = None
    finish_reason: Any = None
    choices: list[Choice] | UnsetType = UNSET
    prompt_logprobs: Any = UNSET
    thoughts: MaybeRaw = UNSET
    tokens: list[Short | int] | UnsetType = UNSET
    text: Any = UNSET
    whole_probability: float = 1.0
    redacted: Any = UNSET
    candidates_kept: Any = UNSET
    output: MaybeRaw = UNSET
    incomplete_details: Any = None
    completion_probabilities: list[Entry] | UnsetType = UNSET
    content: Any = UNSET
    stop_type: Any = None
    stopped_limit: Any = None
    tokens_evaluated: Any = None
    tokens_predicted: Any = None
    message: Message | UnsetType = UNSET
    response: Any = UNSET
    thinking: Any = None
    logprobs: MaybeRaw = UNSET
    done: Any = UNSET
    done_reason: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    candidates: MaybeRaw = UNSET
    promptFeedback: Any = None
    prompt_feedback: Any = None
    usageMetadata: Any = None
    usage_metadata: Any = None
    modelVersion: Any = None
    model_version: Any = None
    generated_text: Any = UNSET
    details: MaybeRaw = UNSET
    meta_info: MaybeRaw = UNSET


class Line(Body):
    """A line of a file: a response, or what stands around one."""

    run_id: Any = UNSET
    custom_id: Any = UNSET
    key: Any = UNSET
    id: Any = UNSET
    metadata: Any = None
    order: Any = UNSET
    raw: Body | UnsetType = UNSET
    response: MaybeRaw = UNSET
    status: Any = None
    samples: MaybeRaw = UNSET
    data: MaybeRaw = UNSET


class Envelope(Body):
    """What a batch output puts around a response; without that, the response itself."""

    status_code: Any = None
    body: Body | UnsetType | None = UNSET


class Batched(Line):
    """A line of a batch output, whose response is decoded along with it."""

    response: Envelope | UnsetType = UNSET  # type: ignore[assignment]  # narrower than Raw


@lru_cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(data: Any, kind: Any, form: str) -> Any:
    """Bytes of JSON as `kind`; Python's own dialect (NaN, half characters) is read too.

    Raises
    ------
    ResponseError
        If it is no JSON, or a field has another type: the message names the field.
    """
    decoder = _decoder(kind)
    data = b"null" if data is UNSET else data
    try:
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            return decoder.decode(_cleaned(bytes(data)))
    except msgspec.ValidationError as error:
        raise ResponseError(f"no {form}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ResponseError(f"no JSON ({error})") from None


def line_of(data: bytes) -> Line:
    """A line of a file: `Batched` where that fits it, else a `Line`.

    Raises
    ------
    ResponseError
        As `decode` does.
    """
    try:
        found: Line = _decoder(Batched).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = decode(data, Line, FORM)
    return found


def _cleaned(data: bytes) -> bytes:
    """What Python writes as JSON and reads again, as JSON."""
    values = json.loads(data.decode("utf-8", "replace"), parse_constant=lambda _: None)
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "replace")


def as_json(raw: Any) -> bytes:
    """A response that was decoded already, as bytes of JSON.

    Raises
    ------
    ResponseError
        If it holds what JSON does not.
    """
    try:
        return msgspec.json.encode(raw)
    except (UnicodeEncodeError, OverflowError):  # half characters; integers beyond 64 bits
        return json.dumps(raw, ensure_ascii=False).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as error:
        raise ResponseError(f"a response is JSON, and this is none ({error})") from None


def is_null(raw: Raw | UnsetType) -> bool:
    """Whether a field is missing or null."""
    return raw is UNSET or bytes(raw) == b"null"


def given(value: Any) -> float:
    """A number of tokens that a server gave, else NaN: no answer has fewer than none or millions.

    >>> given(7), given(-7), given("7"), given(10**400)
    (7.0, nan, nan, nan)
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _MOST:
        return float(value)
    return math.nan
