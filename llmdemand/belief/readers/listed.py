"""Tokens and their candidates as bytes, in the ranked list that belief is made of."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

from msgspec import UNSET

from llmdemand.belief.readers.shapes import Candidate, Entry, decode
from llmdemand.belief.tokens import Listed, Token
from llmdemand.errors import ResponseError

__all__ = ["LOST", "Glyphs", "data_of", "entries", "paired", "pairs", "value_of"]

#: A token without text: it can be anything.
LOST = "\ufffd".encode()
_GLYPHS = re.compile("[\u0120\u010a\u2581]|<0x[0-9A-Fa-f]{2}>")
_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")
_UNREADABLE: Listed = ((LOST,), (math.nan,))


class Glyphs:
    """How one response's vocabulary writes spaces and bytes, undone where they leaked."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, data: bytes) -> bytes:
        """The token's own bytes."""
        # A glyph that the text itself has is a character, not a vocabulary's space.
        if not _may_leak(data) or _has_glyphs(self._text):
            return data
        text = data.decode(errors="replace")
        if not _GLYPHS.search(text):
            return data
        byte = _BYTE.fullmatch(text)
        if byte:
            return bytes([int(byte[1], 16)])
        alphabet = _byte_alphabet()
        if all(c in alphabet for c in text):
            return bytes([alphabet[c] for c in text])
        return text.replace("\u2581", " ").encode()

    def of_each(self, tokens: list[bytes]) -> list[bytes]:
        """Of several tokens: most responses have no glyph anywhere, and one look says so."""
        return [self(data) for data in tokens] if _may_leak(b"".join(tokens)) else tokens


@lru_cache(maxsize=16)
def _has_glyphs(text: str) -> bool:
    return _GLYPHS.search(text) is not None


def _may_leak(data: bytes) -> bool:
    return b"\xc4" in data or b"\xe2\x96\x81" in data or b"<0x" in data


@lru_cache
def _byte_alphabet() -> dict[str, int]:
    """The characters in which byte-level vocabularies write the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + k): b for k, b in enumerate(others)}


def data_of(text: str | None, given: Sequence[int] | None = None) -> bytes:
    """A token's bytes: exact where the server gives them, else its text."""
    if given is not None:
        try:
            return bytes(given)
        except ValueError:
            return LOST
    return LOST if text is None else text.encode("utf-8", "replace")


def value_of(logprob: float | None) -> float:
    """A log-probability, NaN where it is not given."""
    return math.nan if logprob is None else logprob


def entries(content: Sequence[Entry], text: str, *, drawn_first: bool = False) -> tuple[Token, ...]:
    """Tokens of Chat Completions and their relatives; candidates are read at need.

    Parameters
    ----------
    content : sequence of Entry
        As the server gave it.
    text : str
        The whole answer.
    drawn_first : bool
        Whether the list is the drawn token and then the most probable ones, cut to
        what was asked (vLLM): all but its last are there whatever was drawn.
    """
    glyphs = Glyphs(text)
    read = partial(_candidates, glyphs, drawn_first)
    names, values = glyphs.of_each(_data(content)), _values(content)
    return Token.unread(zip(names, values, [e.top_logprobs for e in content], strict=True), read)


def _data(listed: Sequence[Entry | Candidate]) -> list[bytes]:
    """`data_of` each."""
    try:
        return [bytes(c.bytes) for c in listed]  # type: ignore[arg-type]  # None is caught
    except (TypeError, ValueError):  # without bytes, or they are none
        return [data_of(c.token, c.bytes) for c in listed]


def _values(listed: Sequence[Entry | Candidate]) -> list[float]:
    """`value_of` each."""
    return [math.nan if (v := c.logprob) is None else v for c in listed]


def _candidates(glyphs: Glyphs, drawn_first: bool, realised: bytes, raw: Any) -> Listed:
    if raw is UNSET:
        return (), ()
    try:
        listed = decode(raw, list[Candidate] | None, "list of candidates") or ()
    except ResponseError:
        return _UNREADABLE
    names = glyphs.of_each(_data(listed))
    return _ranked(tuple(names), tuple(_values(listed)), realised, drawn_first)


def _ranked(
    names: tuple[bytes, ...], values: tuple[float, ...], realised: bytes, drawn_first: bool
) -> Listed:
    """Without a drawn token that may be there only because it was drawn."""
    if not values:
        return names, values
    whole = sum(values)
    if whole != whole and any(v != v for v in values):
        return names, values
    # Ranked lists fall; in one that does not, the least probable is there because drawn.
    added = names[0] == realised and values[0] < min(values[1:], default=values[0])
    if not (drawn_first or added):
        return names, values
    smallest = values.index(min(values))
    return names[:smallest] + names[smallest + 1 :], values[:smallest] + values[smallest + 1 :]


def paired(
    tokens: Sequence[tuple[bytes, float]],
    lists: Sequence[Sequence[tuple[bytes, float]]],
    text: str,
    *,
    grows: bool = False,
) -> tuple[Token, ...]:
    """Tokens whose lists are columns beside them.

    Parameters
    ----------
    tokens, lists
        Bytes and log-probabilities: what was drawn, and the candidates.
    text : str
        The whole answer.
    grows : bool
        Whether a list holds the drawn token in addition to what was asked (text
        completions): the shortest list says how many that were.
    """
    glyphs = Glyphs(text)
    most = min((len(listed) for listed in lists if listed), default=0)
    made = []
    for (data, value), listed in zip(tokens, lists, strict=True):
        own, names = glyphs(data), tuple([glyphs(name) for name, _ in listed])
        values = tuple([v for _, v in listed])
        if grows:
            longer = len(values) == most + 1 and names[values.index(min(values))] == own
            names, values = _ranked(names, values, own, longer)
        made.append(Token(own, value, names, values))
    return tuple(made)


def pairs(listed: Any) -> list[tuple[bytes, float]]:
    """A dictionary of candidates as pairs."""
    return [(data_of(t), value_of(v)) for t, v in (listed or {}).items()]
