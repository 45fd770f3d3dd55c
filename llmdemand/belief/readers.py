"""Responses as servers write them, read into tokens and log-probabilities."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmdemand.belief.rows import Answer
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.study import Study
from llmdemand.errors import ResponseError, StudyError

__all__ = [
    "answer_of",
    "chat_completion",
    "compact",
    "llama_completion",
    "read_answers",
    "read_response",
    "responses_api",
    "thoughts",
    "to_compact",
]

_RUN_ID = re.compile(r"(?<!\d)(\d{1,9})-(\d{1,9})\Z")
# How byte-level and SentencePiece vocabularies write a space and a new line.
_GLYPHS = str.maketrans({"\u0120": " ", "\u2581": " ", "\u010a": "\n"})


def read_response(raw: Any) -> Response:
    """A response in any of the forms that are known, told apart by their fields.

    Parameters
    ----------
    raw : mapping or SDK object
        Chat Completions (OpenAI, vLLM, llama.cpp), OpenAI Responses, llama.cpp's
        own completion, or llmdemand's short form.

    Returns
    -------
    Response

    Raises
    ------
    ResponseError
        If it is none of these, or a field has another type.

    Examples
    --------
    >>> choice = {"message": {"content": "B"}, "finish_reason": "stop", "logprobs": None}
    >>> read_response({"choices": [choice], "model": "m"}).text
    'B'
    """
    if hasattr(raw, "model_dump"):
        raw = raw.model_dump(mode="json")
    if not isinstance(raw, Mapping):
        raise ResponseError(f"a response is a JSON object, found {type(raw).__name__}")
    for field, reader in (
        ("thoughts", thoughts),
        ("tokens", compact),
        ("choices", chat_completion),
        ("output", responses_api),
        ("completion_probabilities", llama_completion),
    ):
        if field in raw:
            return reader(raw)
    raise ResponseError(
        f"no known form of response, its fields are {sorted(map(str, raw))[:8]}: expected "
        "'choices' (Chat Completions), 'output' (Responses), 'completion_probabilities' "
        "(llama.cpp) or 'tokens'"
    )


def read_answers(path: str | Path, study: Study, *, backend: str = "file") -> Iterator[Answer]:
    """The answers in a JSONL file, one line at a time: memory does not grow with the file.

    Parameters
    ----------
    path : path
        Lines of a response store (``{"run_id", "raw"}``), of a batch output
        (``{"custom_id", "response": {"body"}}``), or responses that carry a
        ``run_id`` or ``custom_id`` themselves. An id is ``<cell>-<replicate>``; a
        field ``order`` (ids joined by ``>``) may name the option order.
    study : Study
        The study that was asked.
    backend : str
        Name for the panel's ``backend`` column.

    Yields
    ------
    Answer

    Raises
    ------
    ResponseError
        If the file is missing or empty, or a line cannot be read; the message
        names line and field.
    """
    path = Path(path)
    if not path.is_file():
        raise ResponseError(f"no file at {path}: give the path of a JSONL file of responses")
    number = 0
    with path.open("rb") as file:
        if file.read(16) == b"SQLite format 3\x00":
            raise ResponseError(
                f"{path} is a response store: read it with stored_answers, or `llmdemand extract`"
            )
        file.seek(0)
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield answer_of(json.loads(line), study, backend=backend)
            except (ValueError, ResponseError, RecursionError) as error:
                reason = str(error)
                if not isinstance(error, ResponseError):
                    reason = f"no JSON ({reason})"
                raise ResponseError(f"{path} line {number}: {reason}") from None
    if not number:
        raise ResponseError(f"{path} is empty: expected one response per line")


def answer_of(entry: Any, study: Study, *, backend: str = "file") -> Answer:
    """The answer in one entry of a JSONL file or a store: see `read_answers`.

    Raises
    ------
    ResponseError
        If it cannot be read or names no run of the study.
    """
    if not isinstance(entry, dict):
        raise ResponseError(f"a line is a JSON object, found {type(entry).__name__}")
    run_id = entry.get("run_id", entry.get("custom_id"))
    found = _RUN_ID.search(str(run_id))
    if run_id is None or found is None:
        raise ResponseError(
            f"field 'run_id' or 'custom_id' is {run_id!r}: expected '<cell>-<replicate>' (ids of "
            "`llmdemand batch write` are read by `llmdemand batch read`)"
        )
    index, replicate = int(found[1]), int(found[2])
    try:
        cell = study.cell(index)
    except StudyError as error:
        raise ResponseError(f"run {run_id!r}: {error}") from None
    order = study.order(cell, replicate)
    if "order" in entry:
        order = tuple(str(entry["order"]).split(">"))
        if sorted(order) != sorted(study.menu.ids):
            raise ResponseError(f"field 'order' is {entry['order']!r}: expected the menu's ids")
    return Answer(cell, replicate, order, read_response(_body(entry)), backend=backend)


def _body(entry: Mapping[str, Any]) -> Any:
    """The response inside a line of a store or a batch output."""
    if "raw" in entry:
        return entry["raw"]
    answered = entry.get("response")
    if isinstance(answered, dict) and "body" in answered:
        if answered.get("status_code", 200) != 200:
            raise ResponseError(
                f"field 'response.status_code' is {answered['status_code']}: this request failed; "
                "ask it again and remove the line"
            )
        return answered["body"]
    if entry.get("error"):
        raise ResponseError(f"field 'error' is set: this request failed ({entry['error']})")
    return entry


def chat_completion(raw: Mapping[str, Any]) -> Response:
    """A Chat Completions object (OpenAI, vLLM, llama.cpp) as a response.

    Text completions of llama.cpp, whose choices hold ``text`` in place of a
    message, are read too.

    Parameters
    ----------
    raw : mapping
        The decoded JSON, with one choice.

    Returns
    -------
    Response
        Without tokens where the server gave no log-probabilities; empty where it
        gave no choice.

    Raises
    ------
    ResponseError
        If it has no field for choices, or one of another type; the message names it.

    Examples
    --------
    >>> choice = {"message": {"content": "B"}, "finish_reason": "stop", "logprobs": None}
    >>> chat_completion({"choices": [choice], "model": "m"}).text
    'B'
    """
    with _reading(
        "Chat Completions object", "choices[0] with message, finish_reason and logprobs.content"
    ):
        if raw["choices"] == []:
            return Response((), "", "stop", None, str(raw.get("model") or ""), _usage(raw))
        if len(raw["choices"]) > 1:
            raise ResponseError(
                f"this object holds {len(raw['choices'])} choices: write one object per choice, "
                "each with an id of its own"
            )
        choice = raw["choices"][0]
        message = choice.get("message") or {"content": choice.get("text")}
        logprobs = choice.get("logprobs") or {}
        content = logprobs.get("content") or _legacy(logprobs)
        text = _text(message.get("content") or "")
        return Response(
            _tokens(content, text),
            text,
            choice.get("finish_reason") or "",
            message.get("refusal"),
            str(raw.get("model") or ""),
            _usage(raw),
            thought=_thought(message),
        )


def _thought(message: Mapping[str, Any]) -> str:
    """A thought in a field of its own: vLLM and llama.cpp, OpenRouter, Ollama."""
    fields = (message.get(k) for k in ("reasoning_content", "reasoning", "thinking"))
    return next((_text(found) for found in fields if isinstance(found, str)), "")


def responses_api(raw: Mapping[str, Any]) -> Response:
    """An OpenAI Responses object; its text blocks are read as one answer.

    Reasoning items hold no log-probabilities and are passed over. Log-probabilities
    must have been asked for (``include=["message.output_text.logprobs"]``).

    Raises
    ------
    ResponseError
        If a field is missing or of another type.
    """
    with _reading(
        "Responses object", "output[].content[] with type output_text, text and logprobs"
    ):
        blocks = [
            block
            for item in raw["output"]
            if item.get("type") == "message"
            for block in item["content"]
        ]
        written = [b for b in blocks if b.get("type") == "output_text"]
        refused = [b["refusal"] for b in blocks if b.get("type") == "refusal"]
        text = "".join(_text(b["text"]) for b in written)
        content = [entry for b in written for entry in b.get("logprobs") or ()]
        usage = raw.get("usage") or {}
        incomplete = (raw.get("incomplete_details") or {}).get("reason")
        reasons = {None: "stop", "max_output_tokens": "length"}
        return Response(
            _tokens(content, text),
            text,
            reasons.get(incomplete, str(incomplete)),
            refused[0] if refused else None,
            str(raw.get("model") or ""),
            {
                "prompt_tokens": usage.get("input_tokens", math.nan),
                "completion_tokens": usage.get("output_tokens", math.nan),
            },
        )


def llama_completion(raw: Mapping[str, Any]) -> Response:
    """An answer of llama.cpp's own ``/completion``.

    Raises
    ------
    ResponseError
        If a field is missing or of another type.
    """
    with _reading(
        "llama.cpp completion", "content and completion_probabilities with logprob and top_logprobs"
    ):
        text = _text(raw["content"])
        return Response(
            _tokens(raw["completion_probabilities"], text),
            text,
            "length" if raw.get("stop_type") == "limit" else "stop",
            None,
            str(raw.get("model") or ""),
            {
                "prompt_tokens": raw.get("tokens_evaluated", math.nan),
                "completion_tokens": raw.get("tokens_predicted", math.nan),
            },
        )


@contextmanager
def _reading(form: str, expected: str) -> Iterator[None]:
    """Turn a missing or mistyped field into one sentence."""
    try:
        yield
    except ResponseError:
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ResponseError(
            f"no {form}: {type(error).__name__} at {error}; expected {expected}"
        ) from None


def _text(value: Any) -> str:
    """A text without the halves of characters that JSON can hold and no file can."""
    if not isinstance(value, str):
        raise TypeError(f"text {value!r}")
    return value.encode("utf-8", "replace").decode()


def _usage(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    usage = raw.get("usage") or {}
    if not isinstance(usage, Mapping):
        raise TypeError(f"usage {usage!r}")
    return usage


def _legacy(logprobs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lists of the old Completions form (vLLM) as entries of the new one."""
    columns = [logprobs.get(k) or [] for k in ("tokens", "token_logprobs", "top_logprobs")]
    if not columns[2]:
        columns[2] = [{}] * len(columns[0])
    return [
        {
            "token": token,
            "logprob": value,
            "top_logprobs": [{"token": t, "logprob": v} for t, v in (listed or {}).items()],
        }
        for token, value, listed in zip(*columns, strict=True)
    ]


def _tokens(content: Iterable[Mapping[str, Any]], text: str) -> tuple[Token, ...]:
    # A glyph that the text itself has is a character, not a vocabulary's space.
    glyphs = not any(chr(glyph) in text for glyph in _GLYPHS)
    return tuple(_token(entry, glyphs) for entry in content)


def _token(entry: Mapping[str, Any], glyphs: bool) -> Token:
    listed = entry.get("top_logprobs") or ()
    return Token(
        _bytes(entry, glyphs),
        _number(entry.get("logprob")),
        tuple(_bytes(candidate, glyphs) for candidate in listed),
        tuple(_number(candidate.get("logprob")) for candidate in listed),
    )


def _bytes(entry: Mapping[str, Any], glyphs: bool) -> bytes:
    """The token's bytes: exact where the server gives them, else its text."""
    given = entry.get("bytes")
    if given is not None:
        return bytes(given)
    text = str(entry["token"])
    return (text.translate(_GLYPHS) if glyphs else text).encode("utf-8", "replace")


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


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
    with _reading("run of thoughts", "thoughts[] with thought and answer"):
        forced = tuple(
            replace(
                read_response(entry["answer"]),
                thought=_text(entry["thought"]),
                cut=not entry.get("ended", True),
            )
            for entry in raw["thoughts"]
        )
        return replace(forced[0], usage=_usage(raw), forced=forced)


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
    with _reading("stored response", "text and tokens"):
        return Response(
            tuple(
                Token(
                    _raw_bytes(token),
                    _number(logprob),
                    tuple(_raw_bytes(candidate) for candidate, _ in listed),
                    tuple(_number(value) for _, value in listed),
                )
                for token, logprob, listed in raw["tokens"]
            ),
            _text(raw["text"]),
            str(raw.get("finish_reason", "stop")),
            None,
            str(raw.get("model", "")),
            _usage(raw),
        )


def _raw_bytes(token: str | list[int]) -> bytes:
    return token.encode("utf-8", "replace") if isinstance(token, str) else bytes(token)


def to_compact(response: Response) -> dict[str, Any]:
    """The short form that `compact` reads; log-probabilities keep six decimals."""
    return {
        "text": response.text,
        "finish_reason": response.finish_reason,
        "model": response.model,
        "usage": dict(response.usage),
        "tokens": [
            [
                _short(token.data),
                _rounded(token.logprob),
                [
                    [_short(c), _rounded(v)]
                    for c, v in zip(token.candidates, token.logprobs, strict=True)
                ],
            ]
            for token in response.tokens
        ],
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _short(data: bytes) -> str | list[int]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return list(data)
