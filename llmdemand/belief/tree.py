"""Exact choice probabilities, by expanding what a model may still say."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from llmdemand.belief.automaton import Automaton, Place
from llmdemand.core.menu import Menu
from llmdemand.errors import ResponseError, UsageError

__all__ = ["Score", "TreeBelief", "tree"]

#: Next-token candidates after a prefix: pairs of bytes (empty: end of text) and log-probability.
Score = Callable[[tuple[bytes, ...]], Sequence[tuple[bytes, float]]]

_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class TreeBelief:
    """Choice probabilities of one prompt, exact up to an interval.

    Attributes
    ----------
    belief : tuple of float
        P(choice = a | the answer resolves), in menu order, on what was expanded.
    lower, upper : tuple of float
        Bounds of P(choice = a), the share of all answers that decide for a: the
        mass found, and that plus all that is unresolved.
    none : float
        Probability of answers that end without a choice.
    unresolved : float
        Probability that was not expanded or not listed.
    calls : int
        Prefixes that were scored.
    """

    belief: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    none: float
    unresolved: float
    calls: int


def tree(
    score: Score,
    menu: Menu,
    *,
    tolerance: float = 1e-3,
    budget: int = 200,
    temperature: float = 1.0,
    answer_first: bool = False,
    anchors: Iterable[str] = (),
) -> TreeBelief:
    """Choice probabilities by best-first expansion of the answers of one prompt.

    Prefixes that have not settled the choice are expanded, the most probable
    first; each continuation that settles it adds its probability to its
    alternative. The sum is exact: it needs no pivot, solves menus with shared
    beginnings, and is the truth against which sampled beliefs are tested.

    Parameters
    ----------
    score : callable
        Gives the candidates that may follow a tuple of tokens, as pairs of bytes
        and natural log-probability; the empty bytes stand for the end of the text.
    menu : Menu
        The choice set.
    tolerance : float
        Stop when no more than this probability is unresolved.
    budget : int
        Stop after this many calls of `score`.
    temperature : float
        Sampling temperature; other than 1 it needs complete lists of candidates,
        as each list is tempered and normalised by itself.
    answer_first, anchors
        See `llmdemand.belief.extract.Extractor`.

    Returns
    -------
    TreeBelief

    Raises
    ------
    UsageError
        For a negative tolerance or a budget below 1.
    ResponseError
        If `score` returns probabilities that are none.

    Examples
    --------
    >>> def score(prefix):
    ...     return [(b" P", math.log(0.6)), (b" H", math.log(0.3)), (b"", math.log(0.1))]
    >>> found = tree(score, Menu.of("Pampers", "Huggies"))
    >>> [round(b, 3) for b in found.belief], round(found.none, 3), found.calls
    ([0.667, 0.333], 0.1, 1)
    """
    if tolerance < 0 or budget < 1 or not temperature > 0:
        raise UsageError("tolerance must not be negative, budget at least 1, temperature positive")
    automaton = Automaton(menu, answer_first=answer_first, anchors=tuple(anchors))
    mass = [0.0] * len(menu)
    none = unlisted = 0.0
    # Negative probability first; the counter keeps ties in the order of their discovery.
    open_: list[tuple[float, int, tuple[bytes, ...], Place]] = [(-1.0, 0, (), automaton.start)]
    calls = found = 0
    while open_ and calls < budget and unlisted - sum(p for p, *_ in open_) > tolerance:
        weight, _, prefix, place = heapq.heappop(open_)
        candidates = _checked(score(prefix), prefix, temperature)
        calls += 1
        unlisted += -weight * max(0.0, 1.0 - math.fsum(p for _, p in candidates))
        for data, probability in candidates:
            after, outcome = place[data]
            joint = -weight * probability
            if outcome >= 0:
                mass[outcome] += joint
            elif not data:
                none += joint
            elif joint > 0:
                found += 1
                heapq.heappush(open_, (-joint, found, (*prefix, data), after))
    unresolved = unlisted - sum(p for p, *_ in open_)
    decided = sum(mass)
    return TreeBelief(
        tuple(m / decided if decided else math.nan for m in mass),
        tuple(mass),
        tuple(min(1.0, m + unresolved) for m in mass),
        none,
        unresolved,
        calls,
    )


def _checked(
    scored: Sequence[tuple[bytes, float]], prefix: tuple[bytes, ...], temperature: float
) -> list[tuple[bytes, float]]:
    """Candidates as probabilities, tempered; raises where they are none."""
    if any(not value <= 0.0 for _, value in scored):
        raise ResponseError(f"score of {prefix}: a log-probability is positive or missing")
    plain = [(data, math.exp(value)) for data, value in scored]
    total = math.fsum(p for _, p in plain)
    if total > 1 + _SUM_TOLERANCE:
        raise ResponseError(f"score of {prefix}: probabilities sum to {total:.4f}")
    if temperature == 1.0 or total == 0:
        return plain
    powered = [(data, p ** (1 / temperature)) for data, p in plain]
    whole = math.fsum(p for _, p in powered)
    return [(data, p / whole) for data, p in powered]
