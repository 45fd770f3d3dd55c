"""Rules that find the pivot of an answer: ours, and three that look simpler."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from llmdemand.belief.extract import Extractor
from llmdemand.belief.final.reading import Setting
from llmdemand.belief.final.rules import Rules
from llmdemand.belief.mentions import mentions
from llmdemand.belief.tokens import Response
from llmdemand.core.menu import Menu, fold
from llmdemand.lab.cases import Case

__all__ = [
    "RULES",
    "Found",
    "extractor",
    "first_mention",
    "flagged",
    "last_mention",
    "matches_answer",
]

#: Pivot token (-1: none), choice, and belief by alternative in menu order (None: none).
Found = tuple[int, str | None, tuple[float, ...] | None]


def extractor(case: Case, response: Response, final: str | None) -> Found:
    """The package's own: each prefix read by itself, nothing that follows."""
    found = _extractor(case.menu, case.answer_first, case.anchors)(response)
    known = not math.isnan(found.belief[0])
    return found.pivot_index, found.choice, found.belief if known else None


def flagged(case: Case, response: Response) -> bool:
    """Whether the answer goes on to say something else than its pivot: the audit's mismatch."""
    _, choice, _ = extractor(case, response, None)
    setting = Setting(anchors=case.anchors, answer_first=case.answer_first)
    final = Rules().read(response.text, case.menu, setting).choice
    return None not in (final, choice) and final != choice


def first_mention(case: Case, response: Response, final: str | None) -> Found:
    """The token with which the first label in the text begins."""
    return _at(case, response, 0)


def last_mention(case: Case, response: Response, final: str | None) -> Found:
    """The token with which the last label in the text begins; it looks ahead."""
    return _at(case, response, -1)


def matches_answer(case: Case, response: Response, final: str | None) -> Found:
    """The first token that names the final answer; it looks ahead.

    The final answer is taken as known, as if a judge had read it without error.
    """
    return _at(case, response, 0, final)


#: Rules by name. Each takes a case, a response and the answer's true choice.
RULES: dict[str, Callable[[Case, Response, str | None], Found]] = {
    "extractor": extractor,
    "first mention": first_mention,
    "last mention": last_mention,
    "matches the final answer": matches_answer,
}


def _at(case: Case, response: Response, which: int, wanted: str | None = None) -> Found:
    found = mentions(response.text, case.menu)
    if wanted is not None:
        found = [(place, a) for place, a in found if a == wanted]
    if not found:
        return -1, None, None
    place, choice = found[which]
    end = 0
    for index, token in enumerate(response.tokens):
        end += len(token.data.decode())
        if end > place:
            return index, choice, _naive_belief(case.menu, response, index)
    return -1, choice, None


def _naive_belief(menu: Menu, response: Response, index: int) -> tuple[float, ...] | None:
    """Probabilities of candidates that are, or begin, the label of one alternative."""
    token, mass = response.tokens[index], [0.0] * len(menu)
    for data, value in zip(token.candidates, token.logprobs, strict=True):
        owner = _owner(menu, data)
        if owner >= 0:
            mass[owner] += math.exp(value)
    whole = sum(mass)
    return tuple(m / whole for m in mass) if whole > 0 else None


@lru_cache(maxsize=4096)
def _owner(menu: Menu, data: bytes) -> int:
    word = fold(data.decode(errors="replace").strip())
    if not word:
        return -1
    forms = [(fold(form), k) for k, a in enumerate(menu) for form in a.forms]
    same = {k for form, k in forms if form == word}
    begun = same or {k for form, k in forms if form.startswith(word)}
    return begun.pop() if len(begun) == 1 else -1


@lru_cache(maxsize=256)
def _extractor(menu: Menu, answer_first: bool, anchors: tuple[str, ...]) -> Extractor:
    return Extractor(menu, answer_first=answer_first, anchors=anchors)
