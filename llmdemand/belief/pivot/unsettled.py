"""Responses without a pivot: what is known of them, and why it is no more."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from llmdemand.belief.automaton import Automaton, Place
from llmdemand.belief.mentions import mentions
from llmdemand.belief.pivot.found import Belief
from llmdemand.belief.tokens import Response
from llmdemand.core.menu import Menu

__all__ = ["Unsettled", "declines"]

_WORDS = re.compile(r"\s*\S+")
_REFUSAL = re.compile(
    r"""(?ix) ^\W* (?: sorry\b
    | i(?:['\u2019]m|\ am) \ (?: (?:very\ )?sorry | unable | not\ able )
    | i\ (?: can(?:no|['\u2019])t | cannot | apologi[sz]e )
    | as\ an?\ (?: ai | language\ model ) \b
    | unfortunately,\ i )"""
)


def declines(text: str) -> bool:
    """Whether a text begins as refusals do."""
    return _REFUSAL.search(text) is not None


class Unsettled:
    """Beliefs of responses of which no token settles the choice.

    Parameters
    ----------
    menu : Menu
        The choice set.
    automaton : Automaton
        Its matcher.
    """

    def __init__(self, menu: Menu, automaton: Automaton) -> None:
        self._menu, self._ids, self._automaton = menu, menu.ids, automaton
        self._nothing = (math.nan,) * len(menu)

    def at_end(self, place: Place, response: Response) -> Belief:
        """No token settled the choice: say what is known, and why nothing more is."""
        outcome = self._automaton.end(place) if response.finish_reason == "stop" else -1
        if outcome >= 0:
            return replace(
                self.without_pivot("unresolved_at_end", self._ids[outcome]),
                reason="a longer name could go on here, and no end of the text is listed",
            )
        if response.finish_reason == "content_filter":
            return self.without_pivot("refusal")
        if not response.text.strip():
            return self.without_pivot("no_output")
        if not self._automaton.begun(place):
            return self.without_pivot("no_pivot")
        named = {alternative for _, alternative in mentions(response.text, self._menu)}
        if len(named) > 1:
            return self.without_pivot("conflicting_mentions")
        if declines(response.text):
            return self.without_pivot("refusal")
        return self.without_pivot("unresolved_at_end" if named else "no_pivot")

    def from_text(self, response: Response) -> Belief:
        """Without log-probabilities: the choice of the text, read word by word."""
        if response.finish_reason == "content_filter":
            return self.without_pivot("refusal")
        if not response.text.strip():
            return self.without_pivot("no_output")
        place, found = self._automaton.start, -1
        for word in _WORDS.findall(response.text):
            place, found = place[word.encode()]
            if found >= 0:
                break
        else:
            found = self._automaton.end(place) if response.finish_reason == "stop" else -1
        if found < 0 and declines(response.text):
            return self.without_pivot("refusal")
        return self.without_pivot("no_logprobs", self._ids[found] if found >= 0 else None)

    def torn(self, reason: str) -> Belief:
        """Tokens that do not tell the story of the text."""
        return replace(self.without_pivot("torn_tokens"), reason=reason)

    def without_pivot(self, status: str, choice: str | None = None) -> Belief:
        """Nothing but a status, and the choice if the text tells it."""
        nothing = self._nothing
        return Belief(status, choice, nothing, nothing, nothing, final=choice)
