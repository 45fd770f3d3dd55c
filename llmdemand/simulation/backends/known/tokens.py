"""Tokens with the probabilities that a consumer whose demand is known gives them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from llmdemand.belief.tokens import Token
from llmdemand.core.sampling import Sampling
from llmdemand.errors import UsageError

__all__ = ["Pivot", "drawn", "frame", "word_count"]


@dataclass(frozen=True)
class Pivot:
    """Candidates at the pivot: see `SyntheticBackend` for the attributes."""

    hesitation: float
    unlisted: float
    raw_logprobs: bool

    def __post_init__(self) -> None:
        doubtful, unlisted = self.hesitation, self.unlisted
        if not (doubtful >= 0 and unlisted >= 0 and doubtful + unlisted < 1):
            raise UsageError(
                f"hesitation={doubtful} and unlisted={unlisted} must be shares that leave some "
                "probability to the choice: give two numbers from 0 whose sum is below 1"
            )

    def token(
        self,
        realised: str,
        shares: Mapping[str, float],
        labels: Mapping[str, tuple[str, ...]],
        begun: tuple[str, ...],
        filler: str,
        sampling: Sampling,
    ) -> Token:
        """One token, among what may follow the pieces of a label that are there."""
        depth, masses = len(begun), dict[str, float]()
        for a, share in shares.items():
            pieces = labels[a]
            if not depth or pieces[:depth] == begun:
                masses[pieces[depth]] = masses.get(pieces[depth], 0.0) + share
        if depth:  # given the beginning of the word, within which nobody hesitates
            whole = sum(masses.values())
            decided = (1 - self.unlisted) / whole
        else:
            decided = 1 - self.hesitation - self.unlisted
        listed = {piece: _log(mass * decided) for piece, mass in masses.items()}
        if not depth and self.hesitation:
            listed[filler] = math.log(self.hesitation)
        if self.raw_logprobs and sampling.temperature != 1:
            listed = _before_temperature(listed, sampling.temperature, self.unlisted)
        own = listed[realised]
        if len(listed) > sampling.top_logprobs:
            listed = dict(sorted(listed.items(), key=_by_size)[: sampling.top_logprobs])
        return Token.of(realised, own, listed)


def _before_temperature(
    listed: Mapping[str, float], temperature: float, unlisted: float
) -> dict[str, float]:
    """``p(s) = (1 - unlisted) q(s)^T / sum_t q(t)^T``, in logarithms."""
    scores = {piece: temperature * value for piece, value in listed.items()}
    largest = max(scores.values())
    whole = largest + math.log(sum(math.exp(v - largest) for v in scores.values()))
    whole -= math.log1p(-unlisted)
    return {piece: value - whole for piece, value in scores.items()}


def drawn(shares: Mapping[str, float], u: float) -> str:
    """The alternative at `u`: what ``Generator.choice`` does with the same draw."""
    # Added up one by one as NumPy does: `sum` rounds otherwise from Python 3.12 on.
    bounds = list(accumulate(shares.values()))
    return list(shares)[bisect_right([bound / bounds[-1] for bound in bounds], u)]


def frame(words: tuple[str, ...], top: int) -> tuple[Token, ...]:
    """Words around the pivot, of which each is nearly certain."""
    return tuple([_certain(word, top > 1) for word in words])


@lru_cache(maxsize=4096)
def _certain(word: str, rival: bool) -> Token:
    """A word of the frame: nearly certain, with one listed rival that names nothing."""
    listed = {word: math.log(0.95), **({" well": math.log(0.04)} if rival else {})}
    return Token.of(word, math.log(0.95), listed)


@lru_cache(maxsize=4096)
def word_count(text: str) -> int:
    """What a prompt is charged for."""
    return len(text.split())


def _by_size(item: tuple[str, float]) -> float:
    return -item[1]


def _log(probability: float) -> float:
    return math.log(max(probability, 1e-300))
