"""What a language model returned: tokens, log-probabilities, text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import Struct

__all__ = ["Listed", "Response", "Token", "ranked", "shortened"]


#: The bytes of candidates and their log-probabilities.
Listed = tuple[tuple[bytes, ...], tuple[float, ...]]


class Token(Struct, eq=False, gc=False):
    """One generated token and the candidates listed at its position.

    Parameters
    ----------
    data : bytes
        The token's bytes (a token may hold part of a UTF-8 character); empty
        for an end-of-text token.
    logprob : float
        Natural log-probability of the realised token; NaN if it was not given.
    candidates : tuple of bytes
        The bytes of the most probable tokens at this position, whatever was drawn.
        Some servers add the drawn token to them: the readers take it out again, as
        belief must not depend on it.
    logprobs : tuple of float
        Their natural log-probabilities, in the same order.

    Examples
    --------
    >>> Token.of(" Pampers", -0.1, {" Pampers": -0.1, " Huggies": -2.4}).data
    b' Pampers'
    """

    data: bytes
    logprob: float
    candidates: tuple[bytes, ...] = ()
    logprobs: tuple[float, ...] = ()

    @staticmethod
    def unread(
        tokens: Iterable[tuple[bytes, float, Any]], read: Callable[[bytes, Any], Listed]
    ) -> tuple[Token, ...]:
        """Tokens of ``(data, logprob, raw)`` whose candidates are read when they are asked for.

        They are then ``read(data, raw)``.
        """
        new: Any = _Unread
        return tuple([new(data, logprob, raw, read) for data, logprob, raw in tokens])

    @property
    def listed(self) -> Listed:
        """Candidates and their log-probabilities."""
        return self.candidates, self.logprobs

    def _key(self) -> tuple[Any, ...]:
        return self.data, self.logprob, *self.listed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Token{self._key()}"

    def __reduce__(self) -> tuple[type[Token], tuple[Any, ...]]:
        return Token, self._key()

    @classmethod
    def of(cls, text: str, logprob: float, listed: Mapping[str, float] | None = None) -> Token:
        """A token from plain text, for tests and examples."""
        listed = listed or {}
        return cls(
            text.encode(), logprob, tuple(c.encode() for c in listed), tuple(listed.values())
        )


# Where the fields are held, which properties hide below.
_FIRST: Any = Token.candidates
_SECOND: Any = Token.logprobs


class _Unread(Token, eq=False, gc=False):
    """A token that holds, until it is asked for them, its raw candidates and their reader."""

    @property
    def listed(self) -> Listed:
        names, values = _FIRST.__get__(self), _SECOND.__get__(self)
        if callable(values):  # they were not read yet
            names, values = values(self.data, names)
            _FIRST.__set__(self, names)
            _SECOND.__set__(self, values)
        return names, values

    @property  # type: ignore[misc]  # fields are hidden by what reads them
    def candidates(self) -> tuple[bytes, ...]:  # type: ignore[override]
        return self.listed[0]

    @property  # type: ignore[misc]
    def logprobs(self) -> tuple[float, ...]:  # type: ignore[override]
        return self.listed[1]


@dataclass(frozen=True, slots=True)
class Response:
    """One generation.

    Attributes
    ----------
    tokens : tuple of Token
        In order of generation; empty if no log-probabilities were returned.
    text : str
        The whole answer.
    finish_reason : str
        ``"stop"``, ``"length"``, ``"content_filter"`` or what the backend says.
    refusal : str or None
        The refusal text, where a backend reports it apart from the answer.
    model : str
        The model that answered, as the backend names it.
    usage : mapping
        Token counts: ``prompt_tokens``, ``completion_tokens``.
    forced : tuple of Response
        Of a run with several thoughts: the forced answer after each, the first of
        which this response repeats.
    thought : str
        What the model thought, where a backend reports it apart from the answer.
    trouble : str
        What is wrong with the tokens as they were delivered, or, with the finish
        reason ``failed``, why nothing came back.
    cut : bool
        Whether the thought before a forced answer reached the most tokens.
    whole_probability : float
        Probability with which the answer was to be written to its end, given all up to its
        pivot; below 1 where it could have been, or was, stopped there.
    redacted : bool
        Whether a secret that the answer echoed (a key) was taken out of it before it was kept.
    trimmed : bool
        Whether candidates that decided nothing were left out before it was kept.
    """

    tokens: tuple[Token, ...]
    text: str
    finish_reason: str = "stop"
    refusal: str | None = None
    model: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)
    forced: tuple[Response, ...] = ()
    thought: str = ""
    trouble: str = ""
    cut: bool = False
    whole_probability: float = 1.0
    redacted: bool = False
    trimmed: bool = False


def ranked(token: Token, most: int | None) -> Listed:
    """The most probable candidates of a token, no more than `most`, and their values.

    >>> ranked(Token.of("A", -0.1, {"B": -3.0, "A": -0.1}), 1)
    ((b'A',), (-0.1,))
    """
    names, values = token.listed
    if most is None or len(values) <= most:
        return names, values
    kept = sorted(range(len(values)), key=lambda k: -values[k])[:most]
    return tuple([names[k] for k in kept]), tuple([values[k] for k in kept])


def shortened(response: Response, most: int) -> Response:
    """The response as if only this many candidates had been listed per position.

    >>> token = Token.of("A", -0.1, {"B": -3.0, "A": -0.1})
    >>> shortened(Response((token,), "A"), 1).tokens[0].candidates
    (b'A',)
    """
    if response.forced:
        forced = tuple(shortened(answer, most) for answer in response.forced)
        return replace(response, tokens=forced[0].tokens, forced=forced)
    if all(len(token.candidates) <= most for token in response.tokens):
        return response
    tokens = [Token(t.data, t.logprob, *ranked(t, most)) for t in response.tokens]
    return replace(response, tokens=tuple(tokens))
