"""The default reader of whole answers: rules and word lists, no model."""

from __future__ import annotations

import re
from dataclasses import replace

from llmdemand.belief.final.lexicon import language_of
from llmdemand.belief.final.numbers import only_number, prepared
from llmdemand.belief.final.objects import read_object
from llmdemand.belief.final.reading import FinalChoice, Setting
from llmdemand.belief.final.scan import clauses, plain
from llmdemand.belief.final.weighing import weigh
from llmdemand.core.menu import Menu, fold

__all__ = ["Rules"]

_CLOSED = re.compile(
    r"</think(?:ing)?>|\[/think\]|<\|channel\|>final<\|message\|>|assistantfinal|\u25c1/think\u25b7",
    re.I,
)
_OPENED = re.compile(r"<think(?:ing)?>|\[think\]|<\|channel\|>analysis|\u25c1think\u25b7", re.I)
_SPECIAL = re.compile(r"<\|[^|<>]{1,40}\|>|</s>\s*\Z")
_NOTHING = Setting()


class Rules:
    """Reads the choice of a whole answer by rules, in six languages.

    The text is cut into clauses. A clause decides if its own words say so ("I'd go with",
    "ich nehme", "\u6211\u9009"), if it follows a heading ("Answer:"), or if it is the name alone.
    Conditions, concessions, reasons, questions, other people's tastes, wishes, comparisons and
    negations decide nothing. Of several decisions the later counts where words say that it
    takes the other back ("no wait", "but", "in the end"); where they do not, the answer is
    unread. The language is found from the text.

    Examples
    --------
    >>> menu = Menu.of("Pampers", "Huggies", outside="neither")
    >>> Rules().read("Pampers are better, but I'll take Huggies.", menu)
    FinalChoice(choice='huggies', reason='decision', evidence="but I'll take Huggies")
    >>> Rules().read("I'd buy Pampers if they were cheaper.", menu).choice is None
    True
    """

    name = "rules"

    def read(self, text: str, menu: Menu, setting: Setting = _NOTHING) -> FinalChoice:
        """The choice of one answer; unread where the rules cannot tell.

        Parameters
        ----------
        text : str
            The whole answer; of thoughts in it nothing is read.
        menu : Menu
            The choice set.
        setting : Setting, optional
            What else is known: option order, prices, anchors, whether it was cut.

        Returns
        -------
        FinalChoice
        """
        found = self._read(text, menu, setting)
        if found.choice is None and menu.numeric and "{" not in text:
            number = only_number(prepared(_answer(text) or ""), menu)
            found = found if number is None else FinalChoice(number, "name", text.strip())
        return found

    def _read(self, text: str, menu: Menu, setting: Setting) -> FinalChoice:
        answer = _answer(text)
        if answer is None:
            return FinalChoice(None, "thought")
        if not answer.strip():
            return FinalChoice(None, "empty")
        if menu.numeric:
            answer = prepared(answer)
        if "{" in answer:
            value_setting = replace(setting, anchors=(), cut=False)
            found = read_object(answer, lambda value: self._read(value, menu, value_setting))
            if found is not None:
                return found
        cased, folded = plain(answer)
        begin = _after_anchor(folded, setting.anchors)
        heading = begin > 0
        cased, folded = cased[begin:], folded[begin:]
        language = language_of(folded)
        parts = clauses(cased, folded, menu, language, answer_first=setting.answer_first or heading)
        choice, reason, (start, end) = weigh(parts, menu, language, setting, heading=heading)
        known = None if choice is None else menu.alternatives[choice].id
        return FinalChoice(known, reason, cased[start:end].strip(" \n,;:.-"))


def _after_anchor(folded: str, anchors: tuple[str, ...]) -> int:
    """Where the last anchor of a text ends; 0 where there is none."""
    ends = [folded.rfind(anchor) + len(anchor) for anchor in map(fold, anchors) if anchor in folded]
    return max(ends, default=0)


def _answer(text: str) -> str | None:
    """The text after its thoughts; None if a thought never ends."""
    if "<" in text or "[" in text or "assistantfinal" in text or "\u25c1" in text:
        closed = list(_CLOSED.finditer(text))
        if closed:
            text = text[closed[-1].end() :]
        if _OPENED.search(text):
            return None
        text = _SPECIAL.sub("", text)
    return text
