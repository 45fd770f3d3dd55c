"""Complete mentions of alternatives in a whole text: for audits, which may look ahead."""

from __future__ import annotations

import re
from functools import lru_cache

from llmdemand.core.menu import Menu

__all__ = ["mention_spans", "mentions"]


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
    return [(start, owner) for start, _, owner in mention_spans(text, menu)]


def mention_spans(text: str, menu: Menu) -> list[tuple[int, int, str]]:
    """The mentions of a text with where they begin and end: see `mentions`.

    >>> mention_spans("Huggies, not Pampers.", Menu.of("Pampers", "Huggies"))
    [(0, 7, 'huggies'), (13, 20, 'pampers')]
    """
    pattern, owners = _pattern(menu)
    return [(m.start(), m.end(), owners[m.lastgroup or ""]) for m in pattern.finditer(text)]


@lru_cache(maxsize=64)
def _pattern(menu: Menu) -> tuple[re.Pattern[str], dict[str, str]]:
    forms = sorted(((f, a.id) for a in menu for f in a.forms), key=lambda pair: -len(pair[0]))
    owners = {f"f{i}": owner for i, (_, owner) in enumerate(forms)}
    parts = []
    for i, (form, _) in enumerate(forms):
        words = r"\s+".join(re.escape(word) for word in form.split())
        parts.append(f"(?P<f{i}>{words if len(form) == 1 else f'(?i:{words})'})")
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(parts)})(?![^\W_])"), owners
