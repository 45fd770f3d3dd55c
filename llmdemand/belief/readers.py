"""Responses as servers write them, read into tokens and log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llmdemand.belief.tokens import Response, Token
from llmdemand.errors import ResponseError

__all__ = ["chat_completion", "compact", "to_compact"]


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
        Without tokens where the server gave no log-probabilities.

    Raises
    ------
    ResponseError
        If it has no choice, or a field of another type; the message names it.

    Examples
    --------
    >>> choice = {"message": {"content": "B"}, "finish_reason": "stop", "logprobs": None}
    >>> chat_completion({"choices": [choice], "model": "m"}).text
    'B'
    """
    try:
        choice = raw["choices"][0]
        message = choice.get("message") or {"content": choice.get("text")}
        content = (choice.get("logprobs") or {}).get("content") or ()
        return Response(
            tuple(_token(entry) for entry in content),
            message.get("content") or "",
            choice.get("finish_reason") or "",
            message.get("refusal"),
            raw.get("model") or "",
            raw.get("usage") or {},
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ResponseError(
            f"no Chat Completions object: {type(error).__name__} at {error}; expected "
            "choices[0] with message, finish_reason and logprobs.content"
        ) from None


def _token(entry: Mapping[str, Any]) -> Token:
    listed = entry.get("top_logprobs") or ()
    return Token(
        _bytes(entry),
        _number(entry.get("logprob")),
        tuple(_bytes(candidate) for candidate in listed),
        tuple(_number(candidate.get("logprob")) for candidate in listed),
    )


def _bytes(entry: Mapping[str, Any]) -> bytes:
    """The token's bytes: exact where the server gives them, else its text."""
    given = entry.get("bytes")
    return bytes(given) if given is not None else str(entry["token"]).encode()


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


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
    try:
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
            raw["text"],
            raw.get("finish_reason", "stop"),
            None,
            raw.get("model", ""),
            raw.get("usage", {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ResponseError(
            f"no stored response: {type(error).__name__} at {error}; expected text and tokens"
        ) from None


def _raw_bytes(token: str | list[int]) -> bytes:
    return token.encode() if isinstance(token, str) else bytes(token)


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
