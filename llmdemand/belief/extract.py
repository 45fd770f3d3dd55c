"""From one response to its pivot token, choice and belief."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from llmdemand.belief.automaton import Automaton
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.menu import Menu
from llmdemand.errors import UsageError

__all__ = ["Belief", "extract", "mentions"]

_SUM_TOLERANCE = 1e-3
# Some servers write this for "not in the list"; it is no probability.
_SENTINEL = -9999.0
_REFUSAL = re.compile(
    r"""(?ix) ^\W* (?: sorry\b
    | i(?:['\u2019]m|\ am) \ (?: (?:very\ )?sorry | unable | not\ able )
    | i\ (?: can(?:no|['\u2019])t | cannot | apologi[sz]e )
    | as\ an?\ (?: ai | language\ model ) \b
    | unfortunately,\ i )"""
)


@dataclass(frozen=True, slots=True)
class Belief:
    """What one run says about the choice, and how sure it was.

    Attributes
    ----------
    status : str
        One of `llmdemand.core.panel.STATUSES`.
    choice : str or None
        Id of the alternative that the pivot token settles; for status
        ``unresolved_at_end`` the one that the end of the text settles.
    belief : tuple of float
        Probability of each alternative at the pivot, in menu order, sum 1;
        NaN where there is no pivot.
    lower, upper : tuple of float
        Bounds of each belief when candidates outside the list are counted for
        or against it.
    pivot_index : int
        Position of the pivot token, -1 where there is none.
    pivot_token : str
        The pivot token's text.
    decided_mass, undecided_mass, tail_mass : float
        Probability at the pivot that decides for any alternative, that is
        listed but decides nothing, and that is not listed; sum 1.
    mismatch : bool
        Whether the words after the pivot do not bear the choice out: the last
        alternative that the text names in full is another one, or none is.
    """

    status: str
    choice: str | None
    belief: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    pivot_index: int = -1
    pivot_token: str = ""
    decided_mass: float = math.nan
    undecided_mass: float = math.nan
    tail_mass: float = math.nan
    mismatch: bool = False


def extract(
    response: Response,
    menu: Menu,
    *,
    low_mass: float = 0.05,
    answer_first: bool = False,
) -> Belief:
    """Pivot token, choice and belief of one response.

    The pivot is the first token after which only one alternative is left. The
    belief in alternative a is the probability of all listed tokens that would
    have decided for a at that position, divided by that of all listed tokens
    that would have decided at all::

        b_a = m_a / sum_c m_c

    Parameters
    ----------
    response : Response
        A generation with log-probabilities of the law that it was sampled from.
    menu : Menu
        The choice set.
    low_mass : float
        Below this decided mass a run gets the status ``low_mass``.
    answer_first : bool
        Whether the prompt's format makes the first word the choice.

    Returns
    -------
    Belief
        Trouble is a status, never an exception.

    Raises
    ------
    UsageError
        If `low_mass` lies outside [0, 1].

    Notes
    -----
    With exact candidate sets and no look-ahead, E[b_a] = P(choice = a) and
    Var(b_a) <= Var(1{choice = a}). Source: Sun & Zhang (arXiv 2512.23184) for
    pivot and belief; the argument is in ``docs/belief.md``.

    Examples
    --------
    >>> from llmdemand.core.menu import Menu
    >>> pivot = Token.of(" H", -0.223, {" H": -0.223, " P": -1.609})
    >>> belief = extract(Response((pivot,), " Huggies"), Menu.of("Pampers", "Huggies"))
    >>> belief.choice, [round(b, 3) for b in belief.belief]
    ('huggies', [0.2, 0.8])
    """
    if not 0 <= low_mass <= 1:
        raise UsageError(f"low_mass={low_mass} is no probability: give a number from 0 to 1")
    if not response.text.strip() and not response.tokens:
        return _without_pivot("refusal" if response.refusal else "no_output", menu)
    if response.refusal:
        return _without_pivot("refusal", menu)
    if not response.tokens:
        return _without_pivot("no_logprobs", menu)
    automaton = _automaton(menu, answer_first)
    state = automaton.start
    for index, token in enumerate(response.tokens):
        after, outcome = automaton.step(state, token.data)
        if outcome >= 0:
            return _at_pivot(automaton, state, index, outcome, response, menu, low_mass)
        state = after
    return _at_end(automaton, state, response, menu)


def _at_pivot(
    automaton: Automaton,
    state: int,
    index: int,
    chosen: int,
    response: Response,
    menu: Menu,
    low_mass: float,
) -> Belief:
    token = response.tokens[index]
    choice = menu.alternatives[chosen].id
    mismatch = index + 1 < len(response.tokens) and _last_mention(response.text, menu) != choice
    text = token.data.decode(errors="replace")
    listed = _listed(token)
    if isinstance(listed, str):
        nothing = (math.nan,) * len(menu)
        return Belief(listed, choice, nothing, nothing, nothing, index, text, mismatch=mismatch)
    mass = [0.0] * len(menu)
    total = 0.0
    for data, probability in listed.items():
        total += probability
        outcome = automaton.step(state, data)[1]
        if outcome >= 0:
            mass[outcome] += probability
    decided = sum(mass)
    tail = max(0.0, 1.0 - total)
    status = "ok" if decided >= low_mass else "low_mass"
    return Belief(
        status,
        choice,
        tuple(m / decided for m in mass),
        # All of the tail against the alternative, and all of it for the alternative.
        tuple(m / (decided + tail) for m in mass),
        tuple((m + tail) / (decided + tail) for m in mass),
        index,
        text,
        decided,
        max(0.0, total - decided),
        tail,
        mismatch,
    )


def _listed(token: Token) -> dict[bytes, float] | str:
    """Probability of each distinct listed token, the realised one included, or a status."""
    if not token.candidates and math.isnan(token.logprob):
        return "no_logprobs"
    listed: dict[bytes, float] = {}
    pairs = [*zip(token.candidates, token.logprobs, strict=True), (token.data, token.logprob)]
    for data, logprob in pairs:
        if not logprob <= 0.0:  # positive or NaN
            return "invalid_logprobs"
        if logprob > _SENTINEL:
            # The realised token stands in the list too: the same token counts once.
            listed.setdefault(data, math.exp(logprob))
    if token.data not in listed or sum(listed.values()) > 1.0 + _SUM_TOLERANCE:
        return "invalid_logprobs"
    return listed


def _at_end(automaton: Automaton, state: int, response: Response, menu: Menu) -> Belief:
    """No token settled the choice: say what is known, and why nothing more is."""
    outcome = automaton.end(state) if response.finish_reason == "stop" else -1
    if outcome >= 0:
        return _without_pivot("unresolved_at_end", menu, menu.alternatives[outcome].id)
    if not response.text.strip():
        return _without_pivot("no_output", menu)
    named = {alternative for _, alternative in mentions(response.text, menu)}
    if len(named) > 1:
        return _without_pivot("conflicting_mentions", menu)
    if _REFUSAL.search(response.text):
        return _without_pivot("refusal", menu)
    return _without_pivot("unresolved_at_end" if named else "no_pivot", menu)


def _without_pivot(status: str, menu: Menu, choice: str | None = None) -> Belief:
    nothing = (math.nan,) * len(menu)
    return Belief(status, choice, nothing, nothing, nothing)


def mentions(text: str, menu: Menu) -> list[tuple[int, str]]:
    """Every complete mention of an alternative in a text, for audits (it looks ahead).

    Parameters
    ----------
    text : str
        The whole answer.
    menu : Menu
        The choice set.

    Returns
    -------
    list of (int, str)
        Character offset and alternative id, in order; of overlapping forms the
        longest.

    Examples
    --------
    >>> mentions("Huggies, not Pampers.", Menu.of("Pampers", "Huggies"))
    [(0, 'huggies'), (13, 'pampers')]
    """
    pattern, owners = _pattern(menu)
    return [(m.start(), owners[m.lastgroup or ""]) for m in pattern.finditer(text)]


def _last_mention(text: str, menu: Menu) -> str | None:
    found: Sequence[tuple[int, str]] = mentions(text, menu)
    return found[-1][1] if found else None


@lru_cache(maxsize=64)
def _pattern(menu: Menu) -> tuple[re.Pattern[str], dict[str, str]]:
    forms = sorted(((f, a.id) for a in menu for f in a.forms), key=lambda pair: -len(pair[0]))
    owners = {f"f{i}": owner for i, (_, owner) in enumerate(forms)}
    parts = []
    for i, (form, _) in enumerate(forms):
        words = r"\s+".join(re.escape(word) for word in form.split())
        parts.append(f"(?P<f{i}>{words if len(form) == 1 else f'(?i:{words})'})")
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(parts)})(?![^\W_])"), owners


@lru_cache(maxsize=64)
def _automaton(menu: Menu, answer_first: bool) -> Automaton:
    return Automaton(menu, answer_first=answer_first)
