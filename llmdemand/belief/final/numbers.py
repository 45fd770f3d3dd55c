"""Whole answers to a question of numbers: amounts that are no answer, headings that announce it."""

from __future__ import annotations

import re

from llmdemand.belief.mentions import mentions
from llmdemand.core.menu import Menu

__all__ = ["only_number", "prepared"]

_MONEY = re.compile(
    r"(?i)(?:[$\u20ac\u00a3\u00a5]\s?\d+(?:[.,]\d+)*"
    r"|\b\d+(?:[.,]\d+)*\s?(?:%|(?:percent|cents?|dollars?|euros?|pounds?|usd|eur|gbp)\b))"
    r"(?:\s+(?:each|apiece)\b)?"
)
_HEADING = re.compile(
    r"(?i)\b(?:rating|score|quantity|amount|number of \w+)(?:\*\*)?\s*(?::|=|is\b)(?:\*\*)?"
)
_GIVEN = re.compile(r"(?i)\b(?:give|rate) (?:it|this|that|them)(?: an?)?\s(?=\W{0,2}\w+)")
_BOUGHT = re.compile(r"(?i)\bbuy (?:it|this|that|them|these)\b")


def prepared(text: str) -> str:
    """The text as a reader of choices understands it: the numbers left are possible answers.

    >>> prepared("Quantity: 2 at $3 each"), prepared("I would give it a 3.")
    ('Answer: 2 at ', 'I would choose 3.')
    """
    text = _MONEY.sub("", text)
    text = _HEADING.sub("Answer:", text)
    return _BOUGHT.sub("buy", _GIVEN.sub("choose ", text))


def only_number(text: str, menu: Menu) -> str | None:
    """The number with which an answer begins, if it names no other: the rest is its reason.

    >>> from llmdemand.core.questionnaire.question import INTENTION, Question
    >>> from llmdemand.core.menu import Alternative
    >>> menu = Question("rating", 5, labels=INTENTION, products=(Alternative("a", "A"),)).menu()
    >>> only_number("2 - it is too dear for me.", menu), only_number("2.5, too dear", menu)
    ('r2', None)
    """
    found = mentions(text, menu)
    named = {alternative for _, alternative in found}
    begins = re.match(r"[\W_]*\d+(?![.,]?\d)", text)
    if len(named) != 1 or begins is None or found[0][0] >= begins.end():
        return None
    return found[0][1]
