"""Our own short form, in which computed and in-process answers are stored."""

from __future__ import annotations

import math
from typing import Any

from llmdemand.belief.readers.chat import parts, usage_of
from llmdemand.belief.readers.listed import LOST
from llmdemand.belief.readers.shapes import Body, decode
from llmdemand.belief.tokens import Listed, Response, Token
from llmdemand.errors import ResponseError

__all__ = ["short", "to_compact"]

_Candidates = list[tuple[str | list[int], float | None]]


def short(body: Body) -> Response:
    """Tokens that are ``[token, logprob, [[candidate, logprob], ...]]``."""
    if not isinstance(body.text, str):
        raise ResponseError(f"no stored response: text is {body.text!r}")
    tokens = [t for t in body.tokens or () if not isinstance(t, int)]
    return Response(
        Token.unread(
            [
                (
                    data.encode() if isinstance(data, str) else _bytes(data),
                    math.nan if value is None else value,
                    listed,
                )
                for data, value, listed in tokens
            ],
            _read,
        ),
        parts(body.text)[0],
        str(body.finish_reason or "stop"),
        None,
        str(body.model or ""),
        usage_of(body.usage),
        whole_probability=body.whole_probability,
    )


def _read(_: bytes, raw: Any) -> Listed:
    try:
        listed: _Candidates = decode(raw, _Candidates, "list of candidates")
    except ResponseError:
        return (LOST,), (math.nan,)
    return (
        tuple([c.encode() if isinstance(c, str) else _bytes(c) for c, _ in listed]),
        tuple([math.nan if v is None else v for _, v in listed]),
    )


def _bytes(token: list[int]) -> bytes:
    try:
        return bytes(token)
    except ValueError:
        return LOST


def to_compact(response: Response) -> dict[str, Any]:
    """The short form that `compact` reads; log-probabilities keep six decimals."""
    whole = response.whole_probability
    return {
        **({} if whole == 1 else {"whole_probability": whole}),
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
