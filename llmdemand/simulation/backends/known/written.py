"""Computed answers as they are stored, and as they are read again."""

from __future__ import annotations

from typing import Any

from llmdemand.belief.readers import compact, to_compact
from llmdemand.belief.readers.short import short_token
from llmdemand.belief.tokens import Response, Token

__all__ = ["Written"]

_MOST = 8192


class Written:
    """Answers in the short form together with what `compact` reads in it.

    Most words are said again and again: each token is written and read once.

    Examples
    --------
    >>> answer = Response((Token.of("Yes", -0.1234567, {"Yes": -0.1234567}),), "Yes")
    >>> raw, response = Written().told(answer)
    >>> raw == to_compact(answer), response == compact(raw)
    (True, True)
    """

    def __init__(self) -> None:
        # By the object: tokens of a frame are made once. It is held, so that no other has its id.
        self._known: dict[int, tuple[Token, list[Any], Token]] = {}
        self._usages: dict[tuple[Any, ...], dict[str, Any]] = {}

    def told(self, answer: Response) -> tuple[dict[str, Any], Response]:
        """What is stored of an answer with tokens alone, and the response in it."""
        found = [self._token(token) for token in answer.tokens]
        raw = {
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "model": answer.model,
            "usage": dict(answer.usage),
            "tokens": [short for _, short, _ in found],
        }
        tokens = tuple([token for _, _, token in found])
        usage = dict(self._usage(answer.usage))
        return raw, Response(tokens, answer.text, answer.finish_reason, None, answer.model, usage)

    def _token(self, token: Token) -> tuple[Token, list[Any], Token]:
        known = self._known.get(id(token))
        if known is None:
            short = short_token(token)
            listed = short[2]
            read = Token(
                token.data, short[1], token.candidates, tuple([value for _, value in listed])
            )
            if len(self._known) >= _MOST:
                self._known.clear()
            known = self._known[id(token)] = token, short, read
        return known

    def _usage(self, usage: Any) -> dict[str, Any]:
        known = tuple(usage.items())
        found = self._usages.get(known)
        if found is None:
            if len(self._usages) >= _MOST:
                self._usages.clear()
            read = compact(to_compact(Response((), "", usage=usage))).usage
            found = self._usages[known] = dict(read)
        return found
