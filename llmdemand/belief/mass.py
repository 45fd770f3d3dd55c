"""Probability mass at the pivot: what is listed, what is not, and the bounds that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmdemand.belief.tokens import Token

__all__ = ["bounds", "listed_once", "tempered_tail"]

# Some servers write this for "not in the list"; it is no probability.
_SENTINEL = -9999.0


def listed_once(token: Token) -> tuple[Sequence[bytes], Sequence[float], str]:
    """Each listed token once, the realised one included; or the status that forbids it."""
    names, values, own = token.candidates, token.logprobs, token.logprob
    if own > 0.0 or own <= _SENTINEL:
        return (), (), "invalid_logprobs"
    # One probability says how likely the choice was, and nothing of the others.
    if not values:
        return (), (), "no_logprobs"
    whole, largest = sum(values), max(values)
    if largest > 0.0 or whole != whole:  # positive, or NaN somewhere
        return (), (), "invalid_logprobs"
    if largest <= _SENTINEL:
        return (), (), "no_logprobs"
    if min(values) <= _SENTINEL or len(set(names)) < len(names):
        kept = dict.fromkeys((n, v) for n, v in zip(names, values, strict=True) if v > _SENTINEL)
        names, values = (tuple(part) for part in zip(*kept, strict=True))
    if token.data not in names:
        if own != own:
            return (), (), "invalid_logprobs"
        return (*names, token.data), (*values, own), ""
    return names, values, ""


def tempered_tail(tail: float, token: Token, power: float) -> float:
    """The most that unlisted tokens can weigh after tempering by ``p -> p^power``.

    None of them is more probable than the least probable listed candidate. The realised
    token does not count for this: servers add it to the list wherever it stands.
    Sharpening (power > 1) shrinks them by at least ``smallest^(power - 1)``; flattening
    can blow them up without limit, as their number is unknown.
    """
    if tail <= 0:
        return 0.0
    if power < 1:
        return math.inf
    pairs = zip(token.candidates, token.logprobs, strict=True)
    others = [v for c, v in pairs if v > _SENTINEL and c != token.data]
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
