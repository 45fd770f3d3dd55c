"""Belief from branches: each way in which a name may begin, continued to the end of its text.

At the first position whose realised token is in S', the ranked candidates that begin or complete
a name, each token k of S' is continued once and the finished text is read as a whole::

    b_a = sum_k w_k 1{F_k = a},   w_k = p_k / P(S')

The realised continuation is the branch of the realised token; where the realised token is not in
S' the answer goes on. E[b_a] = P(F = a) exactly, whatever S' is, as long as the prefix and the
ranked list alone make it, and whatever the reader of the whole text does.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from llmdemand.belief.automaton import AMBIGUOUS, Automaton, Place
from llmdemand.belief.pivot.found import Belief
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.menu import Menu

__all__ = [
    "LARGE",
    "MOST_BRANCHES",
    "Branch",
    "Branched",
    "Listed",
    "Plan",
    "Reader",
    "branch_belief",
    "branch_weights",
    "last_decision",
    "naming",
    "over_branches",
    "plan_branches",
]

#: Share of S' from which a token always has a branch of its own.
LARGE = 0.1
#: Branches besides the realised one, at most: the large ones, and one of the others.
MOST_BRANCHES = round(1 / LARGE)

#: Reads a whole text: the id of the alternative that it decides for, or None.
Reader = Callable[[str], str | None]
#: One position's ranked candidates: token id, bytes, natural log-probability.
Listed = Sequence[tuple[int, bytes, float]]


@dataclass(frozen=True, slots=True)
class Branch:
    """A token of S' and what its branch counts for.

    Attributes
    ----------
    token : int
        Id of the token in the model's vocabulary.
    data : bytes
        The token's bytes.
    weight : float
        Of its finished text in the run's belief; those of a plan sum to 1.
    """

    token: int
    data: bytes
    weight: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Where an answer branches.

    Attributes
    ----------
    position : int
        Index of the token at which it does.
    prefix : tuple of int
        Ids of the tokens before it.
    begun : bytes
        Their bytes.
    branches : tuple of Branch
        The realised one first.
    """

    position: int
    prefix: tuple[int, ...]
    begun: bytes
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Branched(Response):
    """An answer with its branches.

    Attributes
    ----------
    position : int
        Where it branches; -1 where nothing does.
    weights : tuple of float
        Of the finished texts.
    texts : tuple of str
        Finished texts, beginning included; the answer itself first.
    written : tuple of float
        Tokens written for each.
    """

    position: int = -1
    weights: tuple[float, ...] = (1.0,)
    texts: tuple[str, ...] = ()
    written: tuple[float, ...] = ()


def branch_weights(
    probabilities: Sequence[float], realised: int, uniform: float, large: float = LARGE
) -> dict[int, float]:
    """Which tokens of S' are continued, and what each counts for.

    All that hold at least `large` of P(S') are. Of the rest R one is, drawn with
    ``p_j / P(R)`` and counting for ``P(R) / P(S')``; **if the realised token is in R it is
    that draw**, since it was drawn by this very law. (Renormalising over the large ones and
    the realised one instead is biased.)

    Parameters
    ----------
    probabilities : sequence of float
        Of the tokens of S', positive, up to a common factor; tempered where answers are.
    realised : int
        Index of the realised token.
    uniform : float
        In [0, 1): draws among R.
    large : float
        Share from which a token is large.

    Returns
    -------
    dict
        Weight by index, the realised one first; the weights sum to 1.

    Examples
    --------
    >>> {k: round(w, 3) for k, w in branch_weights([0.6, 0.3, 0.06, 0.04], 0, 0.9).items()}
    {0: 0.6, 1: 0.3, 3: 0.1}
    >>> {k: round(w, 3) for k, w in branch_weights([0.6, 0.3, 0.06, 0.04], 2, 0.9).items()}
    {2: 0.1, 0: 0.6, 1: 0.3}
    """
    whole = math.fsum(probabilities)
    rest = [k for k, p in enumerate(probabilities) if p < large * whole]
    found = {k: p / whole for k, p in enumerate(probabilities) if k not in set(rest)}
    if rest:
        sums = list(accumulate(probabilities[k] for k in rest))
        drawn = rest[min(bisect_right(sums, uniform * sums[-1]), len(rest) - 1)]
        found[realised if realised in rest else drawn] = sums[-1] / whole
    return {realised: found.pop(realised), **found}


def branch_belief(
    weights: Sequence[float], readings: Sequence[str | None], ids: Sequence[str]
) -> tuple[float, ...]:
    """``b_a = sum_k w_k 1{F_k = a}``, one per alternative.

    Texts that were read as nothing (None) count for no alternative: the sum is the weight r
    of those that were read, and shares among readable answers are ``mean(b) / mean(r)``.

    >>> branch_belief([0.6, 0.3, 0.1], ["a", "b", None], ["a", "b"])
    (0.6, 0.3)
    """
    pairs = list(zip(weights, readings, strict=True))
    return tuple([math.fsum(w for w, reading in pairs if reading == a) for a in ids])


def plan_branches(
    automaton: Automaton,
    response: Response,
    ids: Sequence[int],
    listed: Mapping[int, Listed],
    uniform: float,
    *,
    power: float = 1.0,
) -> Plan | None:
    """Where an answer branches, and into what.

    Parameters
    ----------
    automaton : Automaton
        Of the study's menu and answer format.
    response : Response
        The realised answer.
    ids : sequence of int
        Its tokens' ids.
    listed : mapping of int to Listed
        Ranked candidates by position; only those of `naming` are used.
    uniform : float
        See `branch_weights`.
    power : float
        One over the temperature, where log-probabilities are recorded before it.

    Returns
    -------
    Plan or None
        None where no realised token is a ranked candidate that begins or completes a name.

    Notes
    -----
    A token that ends the text is left out of S', as are candidates without a finite
    log-probability. Where the tokens before a position do not begin the text, none there is
    continued. Each is a matter of prefix and list, so that belief stays exact.
    """
    text = response.text.encode("utf-8", "replace")
    for position, place, begun in _naming(automaton, response.tokens):
        if not text.startswith(begun):
            return None
        members = [
            (id_, data, math.exp(power * value))
            for id_, data, value in listed.get(position, ())
            if data and -math.inf < value <= 0 and _names(place[data][1])
        ]
        members = [member for member in members if member[2] > 0]
        places = [k for k, (id_, _, _) in enumerate(members) if id_ == ids[position]]
        if places:
            weights = branch_weights([m[2] for m in members], places[0], uniform)
            branches = [Branch(*members[k][:2], w) for k, w in weights.items()]
            return Plan(position, tuple(ids[:position]), begun, tuple(branches))
    return None


def naming(automaton: Automaton, tokens: Sequence[Token]) -> dict[int, list[bytes]]:
    """Where an answer may branch: positions whose realised token begins or completes a name.

    Each with the listed candidates that do.

    >>> automaton = Automaton(Menu.of("Pampers", "Huggies"))
    >>> tokens = [Token.of("I'd", -1.0), Token.of(" P", -0.1, {" P": -0.1, " H": -2.5, "!": -4.0})]
    >>> naming(automaton, tokens)
    {1: [b' P', b' H']}
    """
    return {
        position: [c for c in tokens[position].candidates if c and _names(place[c][1])]
        for position, place, _ in _naming(automaton, tokens)
    }


def _naming(automaton: Automaton, tokens: Sequence[Token]) -> Iterator[tuple[int, Place, bytes]]:
    """Each such position, the place before it, and the bytes before it."""
    place, begun = automaton.start, b""
    for position, token in enumerate(tokens):
        after, outcome = place[token.data]
        if token.data and _names(outcome):
            yield position, place, begun
        place = automaton.resume(after) if outcome >= 0 else after
        begun += token.data


def _names(outcome: int) -> bool:
    """Whether a token begins a name or completes one."""
    return outcome >= 0 or outcome == AMBIGUOUS


def last_decision(automaton: Automaton) -> Reader:
    """A reader of whole texts by the pivot's own rules: what they decide for last.

    >>> read = last_decision(Automaton(Menu.of("Pampers", "Huggies")))
    >>> read("Pampers are too dear. I'll buy Huggies."), read("Neither of them.")
    ('huggies', None)
    """
    ids = automaton.menu.ids

    def read(text: str) -> str | None:
        place, found = automaton.start, -1
        for letter in [*text, ""]:
            # Letter by letter a form is known only once it is complete.
            place, _ = place[letter.encode("utf-8", "replace")]
            decided = automaton.end(place)
            found = decided if decided >= 0 else found
        return None if found < 0 else ids[found]

    return read


def over_branches(
    found: Belief, response: Branched, read: Reader, menu: Menu
) -> tuple[Belief, dict[str, object]]:
    """One run's belief from its branches, and what its row says of them.

    Parameters
    ----------
    found : Belief
        As the pivot alone gives it.
    response : Branched
        The answer with its branches.
    read : callable
        Reads a whole text.
    menu : Menu
        The choice set.

    Returns
    -------
    (Belief, dict)
        The belief of the branches, whose choice is that of the realised whole text, with
        status ``unread`` where some text decides for nothing (its belief then sums to the
        weight of the others; of an answer that neither branches nor is read the pivot's
        status stands); and the columns ``branches``, ``branch_tokens``,
        ``pivot_choice`` and ``pivot_belief_<alternative>``.
    """
    readings = [read(text) for text in response.texts]
    belief, final = branch_belief(response.weights, readings, menu.ids), readings[0]
    status = "unread" if None in readings else "ok"
    # The pivot's rule knows more of an answer that names nothing than that it is unread.
    known = bool(response.tokens) and (readings != [None] or found.status in ("ok", "low_mass"))
    status = status if known else found.status
    nothing = (math.nan,) * len(menu)
    values = belief if known else nothing
    return (
        replace(
            found,
            status=status,
            choice=final,
            belief=values,
            # Exact under truncation: what is not listed is drawn, not guessed.
            lower=values,
            upper=values,
            final=final,
            mismatch=None if found.choice is None else final != found.choice,
        ),
        {
            "branches": len(response.texts),
            "branch_tokens": math.fsum(response.written[1:]),
            "pivot_choice": found.choice,
            **{f"pivot_belief_{a}": b for a, b in zip(menu.ids, found.belief, strict=True)},
        },
    )
