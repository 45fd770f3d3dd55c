"""Attributes: what alternatives differ in besides their price, level by level."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llmdemand.errors import StudyError, nearest

__all__ = ["Attribute", "Level", "check_attributes", "columns_of"]

#: A level as panels hold it: a number, or a text.
Level = float | str

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
# Columns of panels, of the frames that models are fitted to, and what templates are filled with.
_TAKEN = frozenset(
    "price belief lo hi between pivot pivot_belief id run_id cell replicate order variant arm "
    "task holdout status choice chosen final_choice final_status alternative alternatives case "
    "const read label unit offers disclosure text model backend temperature thoughts mismatch "
    "reason persona_id respondent_id".split()
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of the alternatives, a factor of the design.

    Attributes
    ----------
    name : str
        Name in columns (``size_<alternative>``) and templates (``{size}``).
    levels : tuple of str, or of float
        Its values, two at least, the first of which is the base of part-worths.
    texts : tuple of str
        What the prompt says for each level; the level itself by default.
    alternatives : tuple of str
        The priced alternatives that have it; empty for all of them.
    absent : str or None
        What the prompt says for a priced alternative that has it not; None where all have it.
    linear : bool
        Whether utility is a number times the level, of levels that are numbers; else each level
        has a utility of its own.

    Raises
    ------
    StudyError
        For a name that is no column or taken, or levels that cannot be told apart.

    Examples
    --------
    >>> size = Attribute("size", ("250 g", "500 g"), ("a small bag", "a large bag"))
    >>> size.text("500 g"), size.column("a")
    ('a large bag', 'size_a')
    """

    name: str
    levels: tuple[Level, ...]
    texts: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    absent: str | None = None
    linear: bool = False

    def __post_init__(self) -> None:
        name = self.name
        if not isinstance(name, str) or not _NAME.match(name):
            raise StudyError(
                f"attribute {name!r} is no column name: use lower-case letters, digits and '_', "
                "beginning with a letter"
            )
        if name in _TAKEN:
            raise StudyError(f"attribute {name!r} has the name of something else: rename it")
        levels = tuple(self.levels)
        numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in levels]
        if all(numbers):
            levels = tuple(float(v) for v in levels)
            fit = all(math.isfinite(v) for v in levels if isinstance(v, float))
        else:
            fit = all(isinstance(v, str) and v.strip() == v != "" for v in levels)
        if not fit or len(levels) < 2 or len(set(levels)) < len(levels):
            raise StudyError(
                f"levels of attribute {name!r} are {list(levels)}: give two or more different "
                "ones, all texts (without space around them) or all finite numbers"
            )
        if self.texts and len(self.texts) != len(levels):
            raise StudyError(
                f"attribute {name!r} has {len(levels)} levels and {len(self.texts)} texts: give "
                "one text for each level, or none"
            )
        if len(set(self.texts)) < len(self.texts):
            raise StudyError(
                f"texts of attribute {name!r} are {list(self.texts)}: two levels that read alike "
                "cannot be told apart; change one"
            )
        if self.linear and isinstance(levels[0], str):
            raise StudyError(
                f"attribute {name!r} is linear, and its levels are texts: give numbers, or remove "
                "linear"
            )
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "texts", tuple(self.texts))
        object.__setattr__(self, "alternatives", tuple(self.alternatives))

    @property
    def numeric(self) -> bool:
        """Whether levels are numbers."""
        return isinstance(self.levels[0], float)

    def has(self, alternative: str) -> bool:
        """Whether a priced alternative has it."""
        return not self.alternatives or alternative in self.alternatives

    def column(self, alternative: str) -> str:
        """The panel's column of its level of an alternative."""
        return f"{self.name}_{alternative}"

    def text(self, level: Level | None) -> Any:
        """What fills the template: a text, or a number that a format may shape.

        Whole numbers are shown without ``.0`` where the template has no format.
        """
        if level is None:
            return self.absent or ""
        if self.texts:
            return self.texts[self.levels.index(level)]
        return int(level) if isinstance(level, float) and level.is_integer() else level

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what is not there by default.

        >>> Attribute("size", (250, 500)).to_dict()
        {'levels': [250.0, 500.0]}
        """
        found: dict[str, Any] = {"levels": list(self.levels)}
        found |= {k: list(getattr(self, k)) for k in ("texts", "alternatives") if getattr(self, k)}
        found |= {} if self.absent is None else {"absent": self.absent}
        return {**found, "linear": True} if self.linear else found


def columns_of(attributes: Iterable[Attribute], priced: Iterable[str]) -> dict[str, Attribute]:
    """The panel's columns of attributes and whose levels they hold, in order.

    >>> list(columns_of([Attribute("size", (1, 2)), Attribute("dark", (0, 1))], ["a", "b"]))
    ['size_a', 'size_b', 'dark_a', 'dark_b']
    """
    ids = list(priced)
    return {a.column(i): a for a in attributes for i in ids if a.has(i)}


def check_attributes(
    attributes: Sequence[Attribute], priced: Sequence[str], persona: Iterable[str]
) -> None:
    """Raise for attributes that do not fit the menu, or one another.

    Parameters
    ----------
    attributes : sequence of Attribute
        All of a study's.
    priced : sequence of str
        Alternatives that have a price.
    persona : iterable of str
        Fields of the personas.

    Raises
    ------
    StudyError
        Saying which, and what to do.
    """
    names = [a.name for a in attributes]
    if len(set(names)) < len(names):
        raise StudyError(f"attributes are {names}: an attribute is there twice; rename one")
    fields, seen = set(persona), {f"{kind}_{i}": kind for kind in ("price",) for i in priced}
    for attribute in attributes:
        wrong = [i for i in attribute.alternatives if i not in priced]
        if wrong:
            raise StudyError(
                f"attribute {attribute.name!r} is of {wrong[0]!r}"
                f"{nearest(wrong[0], list(priced))}, which has no price: priced alternatives are "
                f"{', '.join(priced)}"
            )
        lacking = [i for i in priced if not attribute.has(i)]
        if lacking and attribute.absent is None:
            raise StudyError(
                f"attribute {attribute.name!r} is of {', '.join(attribute.alternatives)} alone: "
                f"say with absent = '...' what the prompt shows for {', '.join(lacking)}"
            )
        for column in (attribute.name, *(attribute.column(i) for i in priced)):
            other = seen.get(column, "the personas" if column in fields else None)
            if other is not None and other != attribute.name:
                raise StudyError(
                    f"attribute {attribute.name!r} and {other} both fill {column!r}: rename one"
                )
            seen[column] = attribute.name
