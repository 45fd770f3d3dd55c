"""From one response to its pivot token, choice and belief."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from llmdemand.belief.agreement import agreement
from llmdemand.belief.automaton import AMBIGUOUS, Automaton, Place
from llmdemand.belief.mass import bounds, listed_once, tempered_tail
from llmdemand.belief.mentions import mentions
from llmdemand.belief.pivot.found import FAILED, STOPPED, Belief
from llmdemand.belief.pivot.masses import SUM_TOLERANCE, Masses
from llmdemand.belief.pivot.unsettled import Unsettled, declines
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.menu import Menu, fold
from llmdemand.errors import UsageError

__all__ = ["Extractor", "extract"]

_NUMBER = re.compile(r"[\W_]*(\d+(?:[.,]\d+)*)")


class Extractor:
    """Extracts beliefs from many responses to one menu and answer format.

    Parameters
    ----------
    menu : Menu
        The choice set.
    temperature : float
        At which answers were sampled, where log-probabilities are recorded before
        it applies; 1 where they already are those of the sampling law.
    low_mass : float
        Below this decided mass a run gets the status ``low_mass``.
    listed : int, optional
        Candidates per position that were asked for. Of a longer list the most
        probable ones are read: servers add the realised token to what was asked.
    answer_first : bool
        Whether the prompt's format makes the first word the choice.
    anchors : sequence of str
        Texts after the first of which the answer begins ("Answer:").
    last_anchor : bool
        Begin after the last anchor of the text instead. This looks ahead: right
        only where the format forces a single anchor.
    thinking : (str, str)
        Tags between which nothing is read.
    thinking_open : bool
        Whether responses begin inside a thinking block.

    Raises
    ------
    UsageError
        For a `low_mass` outside [0, 1], a `temperature` that is not positive, an
        empty anchor, or `last_anchor` without anchors.

    Examples
    --------
    >>> extractor = Extractor(Menu.of("Pampers", "Huggies"), anchors=["Answer:"])
    >>> words = ["Pampers", " cost", " more", ".", " Answer", ":", " H"]
    >>> listed = {" H": -0.223, " P": -1.609}
    >>> tokens = [Token.of(w, -0.223, listed if w == " H" else {w: -0.223}) for w in words]
    >>> found = extractor(Response(tuple(tokens), "".join(words) + "uggies"))
    >>> found.choice, found.pivot_index
    ('huggies', 6)
    """

    def __init__(
        self,
        menu: Menu,
        *,
        temperature: float = 1.0,
        low_mass: float = 0.05,
        listed: int | None = None,
        answer_first: bool = False,
        anchors: Iterable[str] = (),
        last_anchor: bool = False,
        thinking: tuple[str, str] = ("<think>", "</think>"),
        thinking_open: bool = False,
    ) -> None:
        anchors = (anchors,) if isinstance(anchors, str) else tuple(anchors)
        if not 0 <= low_mass <= 1:
            raise UsageError(f"low_mass={low_mass} is no probability: give a number from 0 to 1")
        if not (temperature > 0 and math.isfinite(temperature)):
            raise UsageError(
                f"temperature={temperature}: belief at temperature 0 is that of temperature 1; "
                "give the positive temperature at which answers were sampled"
            )
        if not all(a.strip() for a in anchors) or (last_anchor and not anchors):
            raise UsageError("anchors must be texts such as 'Answer:', and last_anchor needs them")
        self.menu = menu
        self._low_mass, self._masses = low_mass, Masses(len(menu), 1 / temperature, listed)
        self._last_anchors = tuple(fold(a) for a in anchors) if last_anchor else ()
        self._automaton = Automaton(
            menu,
            answer_first=answer_first,
            anchors=anchors,
            thinking=thinking,
            thinking_open=thinking_open,
        )
        self._unsettled = Unsettled(menu, self._automaton)
        self._pairs = self._automaton.thoughts
        self._ids = menu.ids
        self._nothing = (math.nan,) * len(menu)
        self._pivots: dict[bytes, tuple[str, str]] = {}
        self._complete = tuple({fold(f) for f in a.forms} for a in menu)

    @property
    def automaton(self) -> Automaton:
        """The matcher of the menu and answer format."""
        return self._automaton

    def __call__(self, response: Response) -> Belief:
        """The belief of one response; trouble is a status, never an exception."""
        tokens = response.tokens
        if response.finish_reason == FAILED:
            return replace(self._unsettled.without_pivot("failed"), reason=response.trouble)
        if response.refusal:
            return self._unsettled.without_pivot("refusal")
        if not tokens:
            return self._unsettled.from_text(response)
        agreed = agreement(response, self._pairs)
        if agreed.reason and not agreed.last:
            return self._unsettled.torn(agreed.reason)
        place, begun, first = self._automaton.start, -1, agreed.first
        if self._last_anchors:
            first = max(first, self._after_last_anchor(tokens))
        for index, token in enumerate(tokens[first : agreed.last], first):
            if not token.data and any(t.data for t in tokens[index + 1 :]):
                continue  # in mid-text an empty token ends nothing
            after, outcome = place[token.data]
            if outcome >= 0:
                begun = index if begun < 0 else begun
                return self._at_pivot(place, after, index, outcome, begun, response)
            begun = (index if begun < 0 else begun) if outcome == AMBIGUOUS else -1
            place = after
        if agreed.reason and not declines(response.text):
            return self._unsettled.torn(agreed.reason)
        return self._unsettled.at_end(place, response)

    def _at_pivot(
        self, place: Place, after: Place, index: int, chosen: int, begun: int, response: Response
    ) -> Belief:
        token = response.tokens[index]
        choice = self._ids[chosen]
        final, later = self._final(after, index, chosen, begun, response)
        whole = response.finish_reason != STOPPED
        mismatch = final != choice if whole else None
        text, _ = self._read_pivot(token.data)
        names, values, status = listed_once(token, self._masses.listed)
        if status:
            return self._no_belief(status, choice, index, text, final, mismatch)
        power = self._masses.power
        # Where an empty token has not ended the text, it is half a character or a tag.
        hollow = b"" in names and any(not t.data for t in response.tokens[:index])
        mass, tempered, total, lost, unlisted = self._masses.of(place, names, values, hollow)
        decided, tail = sum(mass), max(0.0, 1.0 - total)
        weight = sum(tempered)
        if total > 1.0 + SUM_TOLERANCE:
            return self._no_belief("invalid_logprobs", choice, index, text, final, mismatch)
        if not weight > 0:
            return self._unlisted(choice, index, text, total - lost, final, mismatch)
        unlisted += tail if power == 1 else tempered_tail(tail, names, values, token.data, power)
        lower, upper = bounds(tempered, weight, unlisted)
        status = "ok" if decided >= self._low_mass else "low_mass"
        another = self._another_number(begun, chosen, response)
        return Belief(
            "unread" if another else status,
            choice,
            tuple([m / weight for m in tempered]),
            lower,
            upper,
            index,
            text,
            decided,
            max(0.0, total - lost - decided),
            tail + lost,
            final,
            mismatch,
            token.data in names,
            another,
            later=later,
        )

    def _another_number(self, begun: int, chosen: int, response: Response) -> str:
        """What is wrong where the number at the pivot goes on: "10" on a scale to 5, "2.5"."""
        if not self._automaton.counts or response.finish_reason == STOPPED:
            return ""
        text = b"".join([t.data for t in response.tokens[begun:]]).decode(errors="replace")
        found = _NUMBER.match(text)
        if found is None or found[1] in self.menu.alternatives[chosen].forms:
            return ""
        return f"the number that begins at the pivot goes on to {found[1]}, which is no answer"

    def _read_pivot(self, data: bytes) -> tuple[str, str]:
        """A pivot token's text, and the word in it; few tokens are ever pivots."""
        found = self._pivots.get(data)
        if found is None:
            text = data.decode(errors="replace")
            found = self._pivots[data] = (text, fold(text.strip()))
        return found

    def _no_belief(
        self,
        status: str,
        choice: str,
        index: int,
        text: str,
        final: str | None,
        mismatch: bool | None,
    ) -> Belief:
        """The pivot is known, its probabilities are not."""
        nothing = self._nothing
        return Belief(
            status,
            choice,
            nothing,
            nothing,
            nothing,
            index,
            text,
            final=final,
            mismatch=mismatch,
        )

    def _unlisted(
        self,
        choice: str,
        index: int,
        text: str,
        total: float,
        final: str | None,
        mismatch: bool | None,
    ) -> Belief:
        """The pivot token is not in the list, and nothing in the list decides."""
        known = self._no_belief("unlisted", choice, index, text, final, mismatch)
        count, tail = len(self._ids), max(0.0, 1.0 - total)
        return replace(
            known,
            lower=(0.0,) * count,
            upper=(1.0,) * count,
            decided_mass=0.0,
            undecided_mass=min(1.0, total),
            tail_mass=tail,
            pivot_listed=False,
        )

    def _final(
        self, after: Place, index: int, chosen: int, begun: int, response: Response
    ) -> tuple[str | None, tuple[tuple[int, tuple[float, ...]], ...]]:
        """The last decision of the whole text, for the audit, and the names on the way to it."""
        if response.finish_reason == STOPPED:
            return None, ()
        tokens, automaton = response.tokens, self._automaton
        final: int | None = chosen
        # The pivot may be the beginning of a word that turned out to be another one.
        word = self._read_pivot(tokens[index].data)[1]
        if word not in self._complete[chosen] and not self._was_completed(begun, chosen, response):
            final = None
        later = []
        if index + 1 < len(tokens):
            place = automaton.resume(after)
            for token in tokens[index + 1 :]:
                here, (place, outcome) = place, place[token.data]
                if outcome >= 0:
                    final = outcome
                    belief = self._masses.at_name(here, token)
                    if belief is not None:
                        later.append((outcome, belief))
                    place = automaton.resume(place)
        return None if final is None else self._ids[final], tuple(later)

    def _was_completed(self, begun: int, chosen: int, response: Response) -> bool:
        """Whether the mention that a token began is there in full, or was cut within."""
        text = b"".join([t.data for t in response.tokens[begun:]]).decode(errors="replace")
        found = mentions(text, self.menu)
        if found and found[0][1] == self._ids[chosen]:
            return True
        if response.finish_reason == "stop":
            return False
        rest = fold(text.lstrip(" \t\n*_`\"'([{"))
        return any(form.startswith(rest) for form in self._complete[chosen])

    def _after_last_anchor(self, tokens: tuple[Token, ...]) -> int:
        """The token with which the last anchor begins."""
        starts, text = [], ""
        for token in tokens:
            starts.append(len(text))
            text += fold(token.data.decode(errors="replace"))
        place = max(text.rfind(anchor) for anchor in self._last_anchors)
        return max((k for k, start in enumerate(starts) if start <= place), default=0)


def extract(response: Response, menu: Menu, **options: Any) -> Belief:
    """Pivot token, choice and belief of one response.

    The pivot is the first token after which only one alternative is left. The
    belief in alternative a is the probability of all listed tokens that would
    have decided for a at that position, divided by that of all listed tokens
    that would have decided at all::

        b_a = m_a / sum_c m_c,   m_a = sum over deciding tokens of p^(1/T)

    Parameters
    ----------
    response : Response
        A generation with its log-probabilities.
    menu : Menu
        The choice set.
    **options
        Those of `Extractor`: ``temperature``, ``low_mass``, ``listed``, ``answer_first``,
        ``anchors``, ``last_anchor``, ``thinking``, ``thinking_open``.

    Returns
    -------
    Belief
        Trouble is a status, never an exception.

    Raises
    ------
    UsageError
        For impossible options; see `Extractor`.

    Notes
    -----
    With exact candidate sets and no look-ahead, E[b_a] = P(choice = a) and
    Var(b_a) <= Var(1{choice = a}). Source: Sun & Zhang (arXiv 2512.23184) for
    pivot and belief; the argument is in ``docs/belief.md``.

    Examples
    --------
    >>> pivot = Token.of(" H", -0.223, {" H": -0.223, " P": -1.609})
    >>> belief = extract(Response((pivot,), " Huggies"), Menu.of("Pampers", "Huggies"))
    >>> belief.choice, [round(b, 3) for b in belief.belief]
    ('huggies', [0.2, 0.8])
    """
    frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return _extractor(menu, **frozen)(response)


@lru_cache(maxsize=64)
def _extractor(menu: Menu, **options: Any) -> Extractor:
    """One extractor per menu and options, so that its steps stay cached between calls."""
    return Extractor(menu, **options)
