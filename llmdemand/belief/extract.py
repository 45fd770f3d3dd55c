"""From one response to its pivot token, choice and belief."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from llmdemand.belief.agreement import agreement
from llmdemand.belief.automaton import AMBIGUOUS, UNPLACED, Automaton, Place
from llmdemand.belief.mass import bounds, listed_once, tempered_tail
from llmdemand.belief.mentions import mentions
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.menu import Menu, fold
from llmdemand.errors import UsageError

__all__ = ["FAILED", "STOPPED", "Belief", "Extractor", "extract"]

#: Finish reason of answers that a backend ended where their choice was settled.
STOPPED = "pivot"
#: Finish reason of requests that failed: nothing came back.
FAILED = "failed"
_SUM_TOLERANCE = 1e-3
_NUMBER = re.compile(r"[\W_]*(\d+(?:[.,]\d+)*)")
_WORDS = re.compile(r"\s*\S+")
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
        listed but decides nothing, and that is not listed or cannot be placed
        (half a character without its bytes, a vocabulary's glyphs); sum 1. They
        are the reported probabilities, before any change of temperature.
    pivot_listed : bool or None
        Whether the pivot token is itself among the listed candidates; None where
        there is no pivot or no list. Belief is that of the list in either case.
    reason : str
        Why there is no belief, in words, where the status does not say it all.
    later : tuple of (int, tuple of float)
        The names after the pivot in a whole answer: the alternative that each settles, by its
        place in the menu, and belief there, as at a pivot; only those that are listed.
    final : str or None
        The alternative that the whole text decides for last; None if the word
        that began at the pivot became another one and nothing else was named, or
        if the answer was stopped at the pivot.
    mismatch : bool or None
        Whether `final` is not `choice`; None if the answer was stopped at the
        pivot, so that nothing is known of it.
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
    final: str | None = None
    mismatch: bool | None = False
    pivot_listed: bool | None = None
    reason: str = ""
    later: tuple[tuple[int, tuple[float, ...]], ...] = ()


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
        self._power, self._low_mass, self._listed = 1 / temperature, low_mass, listed
        self._last_anchors = tuple(fold(a) for a in anchors) if last_anchor else ()
        self._automaton = Automaton(
            menu,
            answer_first=answer_first,
            anchors=anchors,
            thinking=thinking,
            thinking_open=thinking_open,
        )
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
            return replace(self._without_pivot("failed"), reason=response.trouble)
        if response.refusal:
            return self._without_pivot("refusal")
        if not tokens:
            return self._from_text(response)
        agreed = agreement(response, self._pairs)
        if agreed.reason and not agreed.last:
            return self._torn(agreed.reason)
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
        if agreed.reason and not _REFUSAL.search(response.text):
            return self._torn(agreed.reason)
        return self._at_end(place, response)

    def _at_pivot(
        self, place: Place, after: Place, index: int, chosen: int, begun: int, response: Response
    ) -> Belief:
        token = response.tokens[index]
        choice = self._ids[chosen]
        final, later = self._final(after, index, chosen, begun, response)
        whole = response.finish_reason != STOPPED
        mismatch = final != choice if whole else None
        text, _ = self._read_pivot(token.data)
        names, values, status = listed_once(token, self._listed)
        if status:
            return self._no_belief(status, choice, index, text, final, mismatch)
        power = self._power
        # Where an empty token has not ended the text, it is half a character or a tag.
        hollow = b"" in names and any(not t.data for t in response.tokens[:index])
        mass, tempered, total, lost, unlisted = self._masses(place, names, values, hollow)
        decided, tail = sum(mass), max(0.0, 1.0 - total)
        weight = sum(tempered)
        if total > 1.0 + _SUM_TOLERANCE:
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

    def _masses(
        self, place: Place, names: Sequence[bytes], values: Sequence[float], hollow: bool
    ) -> tuple[list[float], list[float], float, float, float]:
        """What decides for each alternative, all, what cannot be placed.

        The first and the last as reported and tempered.
        """
        exp, power = math.exp, self._power
        mass = [0.0] * len(self._ids)
        tempered = mass if power == 1 else [0.0] * len(self._ids)
        total = lost = unlisted = 0.0
        for data, value in zip(names, values, strict=True):
            probability = exp(value)
            total += probability
            outcome = UNPLACED if hollow and not data else place[data][1]
            if outcome >= 0:
                mass[outcome] += probability
                if power != 1:
                    tempered[outcome] += exp(power * value)
            elif outcome == UNPLACED:
                lost += probability
                unlisted += exp(power * value)
        return mass, tempered, total, lost, unlisted

    def _at_name(self, place: Place, token: Token) -> tuple[float, ...] | None:
        """Belief at a later name; None where its token is not listed or the list is no law."""
        names, values, status = listed_once(token, self._listed)
        if status or token.data not in names:
            return None
        _, tempered, total, _, _ = self._masses(place, names, values, False)
        weight = sum(tempered)
        if total > 1.0 + _SUM_TOLERANCE or not weight > 0:
            return None
        return tuple([m / weight for m in tempered])

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
                    belief = self._at_name(here, token)
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

    def _at_end(self, place: Place, response: Response) -> Belief:
        """No token settled the choice: say what is known, and why nothing more is."""
        outcome = self._automaton.end(place) if response.finish_reason == "stop" else -1
        if outcome >= 0:
            return replace(
                self._without_pivot("unresolved_at_end", self._ids[outcome]),
                reason="a longer name could go on here, and no end of the text is listed",
            )
        if response.finish_reason == "content_filter":
            return self._without_pivot("refusal")
        if not response.text.strip():
            return self._without_pivot("no_output")
        if not self._automaton.begun(place):
            return self._without_pivot("no_pivot")
        named = {alternative for _, alternative in mentions(response.text, self.menu)}
        if len(named) > 1:
            return self._without_pivot("conflicting_mentions")
        if _REFUSAL.search(response.text):
            return self._without_pivot("refusal")
        return self._without_pivot("unresolved_at_end" if named else "no_pivot")

    def _from_text(self, response: Response) -> Belief:
        """Without log-probabilities: the choice of the text, read word by word."""
        if response.finish_reason == "content_filter":
            return self._without_pivot("refusal")
        if not response.text.strip():
            return self._without_pivot("no_output")
        place, found = self._automaton.start, -1
        for word in _WORDS.findall(response.text):
            place, found = place[word.encode()]
            if found >= 0:
                break
        else:
            found = self._automaton.end(place) if response.finish_reason == "stop" else -1
        if found < 0 and _REFUSAL.search(response.text):
            return self._without_pivot("refusal")
        return self._without_pivot("no_logprobs", self._ids[found] if found >= 0 else None)

    def _torn(self, reason: str) -> Belief:
        return replace(self._without_pivot("torn_tokens"), reason=reason)

    def _without_pivot(self, status: str, choice: str | None = None) -> Belief:
        nothing = self._nothing
        return Belief(status, choice, nothing, nothing, nothing, final=choice)


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
