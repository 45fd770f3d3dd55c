"""Answers that are JSON: the choice stands under a key, whatever the reason beside it says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from llmdemand.belief.final.lexicon import choice_keys
from llmdemand.belief.final.reading import FinalChoice
from llmdemand.core.menu import fold

__all__ = ["read_object"]

_PAIR = re.compile(r'"([^"\\]{1,40})"\s*:\s*(?:"([^"\\]{0,80})"|(\d{1,3})(?![\d.]))')


def read_object(text: str, read: Callable[[str], FinalChoice]) -> FinalChoice | None:
    """The choice of a JSON object in an answer, by a function that reads its value.

    Returns
    -------
    FinalChoice or None
        None if the text is no object with a choice in it, so that it is read as any text.
        Values under several keys for choices must agree.
    """
    start = text.find("{")
    pairs = list(_pairs(text, start))
    values = [value for key, value in pairs if _name(key) in choice_keys()]
    # Under keys that nobody has listed the choice is the one value that is a name alone.
    values = values or [value for _, value in pairs if _is_name(read(value), value)]
    if not values:
        # An object without a choice decides nothing: its reasons are no answer.
        return FinalChoice(None, "undecided") if text.lstrip("` \njson").startswith("{") else None
    found = [read(value) for value in values]
    choices = {f.choice for f in found}
    if len(choices) > 1:
        return FinalChoice(None, "conflict", ", ".join(values))
    return FinalChoice(found[0].choice, "json" if found[0].choice else found[0].reason, values[0])


def _pairs(text: str, start: int) -> Iterator[tuple[str, str]]:
    """Keys and short values, of a whole object at its top, of a cut one as far as it goes."""
    try:
        whole: Any = json.loads(text[start : text.rfind("}") + 1])
    except (ValueError, RecursionError):
        for match in _PAIR.finditer(text, start):
            yield match[1], match[2] if match[2] is not None else match[3]
        return
    for key, value in whole.items() if isinstance(whole, dict) else ():
        if isinstance(value, str | int) and not isinstance(value, bool):
            yield str(key), str(value)


def _is_name(found: FinalChoice, value: str) -> bool:
    return found.reason == "name" and fold(found.evidence) == fold(value.strip())


def _name(key: str) -> str:
    return " ".join(fold(key).replace("_", " ").replace("-", " ").split())
