"""Probability mass at the pivot: what is listed, what is not, and the bounds that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmdemand.belief.tokens import Token, ranked

__all__ = ["bounds", "listed_once", "tempered_tail"]

# Some servers write this for "not in the list"; it is no probability.
_SENTINEL = -9999.0


def listed_once(
    token: Token, most: int | None = None
) -> tuple[Sequence[bytes], Sequence[float], str]:
    """Each listed candidate once; or the status that forbids to read them.

    The realised token is one of them only where the list has it. Counted from outside
    the list it would make belief depend on what was drawn, and biased.
    """
    # A list that is longer than what was asked for has the realised token at its end.
    names, values = ranked(token, most)
    if token.logprob > 0.0:
        return (), (), "invalid_logprobs"
    # One probability says how likely the choice was, and nothing of the others.
    if not values:
        return (), (), "no_logprobs"
    whole, largest = sum(values), max(values)
    if largest > 0.0 or whole != whole:  # positive, or NaN somewhere
        return (), (), "invalid_logprobs"
    if largest <= _SENTINEL:
        return (), (), "invalid_logprobs" if token.logprob <= _SENTINEL else "no_logprobs"
    if min(values) <= _SENTINEL or len(set(names)) < len(names):
        kept = dict.fromkeys((n, v) for n, v in zip(names, values, strict=True) if v > _SENTINEL)
        names, values = (tuple(part) for part in zip(*kept, strict=True))
    return names, values, ""


def tempered_tail(
    tail: float, names: Sequence[bytes], values: Sequence[float], realised: bytes, power: float
) -> float:
    """The most that unlisted tokens can weigh after tempering by ``p -> p^power``.

    None of them is more probable than the least probable listed candidate. The realised
    token does not count for this: some servers add it to the list wherever it stands.
    Sharpening (power > 1) shrinks them by at least ``smallest^(power - 1)``; flattening
    can blow them up without limit, as their number is unknown.
    """
    if tail <= 0:
        return 0.0
    if power < 1:
        return math.inf
    others = [v for c, v in zip(names, values, strict=True) if c != realised]
    smallest = math.exp(min(others)) if others else 1.0
    return float(tail * smallest ** (power - 1))


def bounds(
    mass: list[float], decided: float, unlisted: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """All of the unlisted weight against an alternative, and all of it for it."""
    if unlisted == math.inf:
        return (0.0,) * len(mass), (1.0,) * len(mass)
    whole = decided + unlisted
    return tuple([m / whole for m in mass]), tuple([(m + unlisted) / whole for m in mass])
