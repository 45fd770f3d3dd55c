"""The choice set: alternatives and the ways in which they can be written."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmdemand.errors import MenuError

__all__ = ["NUMBERS", "Alternative", "Menu", "MenuWarning", "fold"]

#: Numbers in words, from 0 on.
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
).split()

# Typographic apostrophe and hyphens, as people and models mix them.
_PLAIN = str.maketrans({"\u2019": "'", "\u2010": "-", "\u2011": "-"})
_ID = re.compile(r"[a-z][a-z0-9_]*\Z")


class MenuWarning(UserWarning):
    """A menu that works, but whose forms begin alike, so that pivots come later."""


def fold(text: str) -> str:
    r"""Case- and width-folded text, as forms and answers are compared.

    Full-width letters become plain ones, case is folded, typographic
    apostrophes become ``'``.

    >>> fold("\uff30AMPERS\u2019")    # a full-width P, a typographic apostrophe
    "pampers'"
    """
    return unicodedata.normalize("NFKC", text).casefold().translate(_PLAIN)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One alternative of a choice set.

    Parameters
    ----------
    id : str
        Name in columns (``belief_<id>``): lower-case letters, digits, ``_``.
    label : str
        As it is written in prompts.
    forms : tuple of str
        The ways an answer can write it; the label alone by default. Case,
        width and leading space do not matter and need no forms of their own.
    outside : bool
        Whether this is the outside option (no purchase).
    whole : bool
        Decide only when a form is complete: for phrases such as "none of them".

    Raises
    ------
    MenuError
        For an id that is not a column name or a form without a letter or digit.

    Examples
    --------
    >>> Alternative("pampers", "Pampers").forms
    ('Pampers',)
    """

    id: str
    label: str
    forms: tuple[str, ...] = ()
    outside: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not _ID.match(self.id):
            raise MenuError(
                f"alternative id {self.id!r} is not a column name: "
                "use lower-case letters, digits and '_', beginning with a letter"
            )
        forms = (self.forms,) if isinstance(self.forms, str) else tuple(self.forms)
        object.__setattr__(self, "forms", forms or (self.label,))
        for form in self.forms:
            if form != form.strip() or not any(c.isalnum() for c in form):
                raise MenuError(
                    f"form {form!r} of alternative {self.id!r} needs a letter or digit and no "
                    "surrounding space (leading space is handled for you)"
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for TOML and parquet metadata."""
        return {
            "id": self.id,
            "label": self.label,
            "forms": list(self.forms),
            "outside": self.outside,
            "whole": self.whole,
        }


@dataclass(frozen=True, slots=True)
class Menu:
    """A choice set.

    Parameters
    ----------
    alternatives : tuple of Alternative
        At least two, with distinct ids.

    Raises
    ------
    MenuError
        Fewer than two alternatives, a duplicate id, or one form for two
        alternatives.

    Warns
    -----
    MenuWarning
        Forms of different alternatives begin alike ("Coke" and "Coke Zero", "Pampers"
        and "Pull-Ups"): such menus work, their pivot is where the forms part.

    Examples
    --------
    >>> menu = Menu.of("Pampers", "Huggies", outside="neither")
    >>> menu.ids
    ('pampers', 'huggies', 'neither')
    >>> menu["neither"].outside
    True
    """

    alternatives: tuple[Alternative, ...]
    _index: Mapping[str, int] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        alternatives = tuple(self.alternatives)
        object.__setattr__(self, "alternatives", alternatives)
        if len(alternatives) < 2:
            raise MenuError(f"a menu needs at least two alternatives, found {len(alternatives)}")
        index: dict[str, int] = {}
        owner: dict[str, str] = {}
        for position, alternative in enumerate(alternatives):
            if alternative.id in index:
                raise MenuError(f"alternative id {alternative.id!r} is used twice: rename one")
            index[alternative.id] = position
            for form in alternative.forms:
                # Single letters keep their case: "A" is a label, "a" an article.
                key = form if len(form) == 1 else " ".join(fold(form).split())
                if key in owner:
                    raise MenuError(
                        f"form {form!r} stands for both {owner[key]!r} and {alternative.id!r}: "
                        "each form may belong to one alternative only, once"
                    )
                owner[key] = alternative.id
        object.__setattr__(self, "_index", index)
        begun_alike = _begun_alike(owner)
        if begun_alike:
            warnings.warn(
                f"forms of different alternatives begin alike ({', '.join(begun_alike)}): "
                "the pivot is where they part",
                MenuWarning,
                stacklevel=3,
            )

    @classmethod
    def of(cls, *labels: str, outside: str | None = None) -> Menu:
        """A menu from labels; ids are derived from them.

        >>> Menu.of("Coke", "Pepsi Max").ids
        ('coke', 'pepsi_max')
        """
        everything = [*labels, *([] if outside is None else [outside])]
        return cls(
            tuple(
                Alternative(_as_id(label), label, outside=label == outside) for label in everything
            )
        )

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids in menu order."""
        return tuple(a.id for a in self.alternatives)

    @property
    def inside(self) -> tuple[Alternative, ...]:
        """The alternatives that are bought, without outside options."""
        return tuple(a for a in self.alternatives if not a.outside)

    @property
    def numeric(self) -> bool:
        """Whether the alternatives are numbers, in digits and words: quantities, ratings."""
        return all(map(_is_number, self.alternatives))

    def index(self, id: str) -> int:
        """Position of an alternative.

        Raises
        ------
        MenuError
            If there is no such alternative.
        """
        if id not in self._index:
            from llmdemand.errors import nearest

            asked = (
                ", numbers; what is asked here is of studies that ask for a choice (see "
                "quantity_demand and ologit)"
            )
            raise MenuError(
                f"no alternative {id!r}{nearest(id, self.ids)}: the menu has {', '.join(self.ids)}"
                + (asked if self.numeric else "")
            )
        return self._index[id]

    def __getitem__(self, id: str) -> Alternative:
        return self.alternatives[self.index(id)]

    def __iter__(self) -> Iterator[Alternative]:
        return iter(self.alternatives)

    def __len__(self) -> int:
        return len(self.alternatives)

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain data, for TOML and parquet metadata."""
        return [a.to_dict() for a in self.alternatives]


def _is_number(alternative: Alternative) -> bool:
    """Whether one number, and its word if it has a short one, are among the forms."""
    values = [int(form) for form in alternative.forms if form.isdecimal()]
    return len(values) == 1 and set(NUMBERS[values[0] : values[0] + 1]) <= set(alternative.forms)


def _as_id(label: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "_", fold(label)).strip("_")
    return slug if slug and slug[0].isalpha() else f"alt_{slug}"


def _begun_alike(owner: Mapping[str, str]) -> list[str]:
    """Pairs of forms of different alternatives with the same first letter, written out."""
    keys = sorted(owner)
    return [
        f"{a!r} and {b!r}"
        for k, a in enumerate(keys)
        for b in keys[k + 1 :]
        if a[0] == b[0] and owner[a] != owner[b]
    ]
