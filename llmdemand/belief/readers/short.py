"""Our own short form, in which computed and in-process answers are stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from llmdemand.belief.readers.chat import parts, usage_of
from llmdemand.belief.readers.listed import LOST
from llmdemand.belief.readers.shapes import Body, decode
from llmdemand.belief.tokens import Listed, Response, Token
from llmdemand.errors import ResponseError

__all__ = ["short", "short_token", "to_compact"]

_Candidates = list[tuple[str | list[int], float | None]]


def short(body: Body) -> Response:
    """Tokens that are ``[token, logprob, [[candidate, logprob], ...]]``."""
    if not isinstance(body.text, str):
        raise ResponseError(f"no stored response: text is {body.text!r}")
    tokens = [t for t in body.tokens or () if not isinstance(t, int)]
    texts, values, lists = zip(*tokens, strict=True) if tokens else ((), (), ())
    return Response(
        Token.unread(zip(_data(texts), _values(values), lists, strict=True), _read),
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
    if not listed:
        return (), ()
    names, values = zip(*listed, strict=True)
    return tuple(_data(names)), tuple(_values(values))


def _data(tokens: Sequence[str | list[int]]) -> list[bytes]:
    try:
        return list(map(str.encode, tokens))  # type: ignore[arg-type]  # bytes are caught
    except TypeError:
        return [t.encode() if isinstance(t, str) else _bytes(t) for t in tokens]


def _values(given: Sequence[float | None]) -> Sequence[float]:
    if None not in given:
        return given  # type: ignore[return-value]  # no None is in it
    return [math.nan if value is None else value for value in given]


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
        "tokens": list(map(short_token, response.tokens)),
    }


def short_token(token: Token) -> list[Any]:
    """A token in the short form: itself, its log-probability, its candidates with theirs."""
    listed = [[_short(c), _rounded(v)] for c, v in zip(*token.listed, strict=True)]
    return [_short(token.data), _rounded(token.logprob), listed]


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _short(data: bytes) -> str | list[int]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return list(data)
