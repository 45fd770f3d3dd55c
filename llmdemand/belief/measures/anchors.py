"""Anchor statements: what a text that chooses an alternative would say."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmdemand.core.menu import Menu, fold
from llmdemand.errors import UsageError, nearest

__all__ = ["TEMPLATES", "Anchors", "read_anchors"]

#: Statements by default, a set each; the label of each alternative fills them.
TEMPLATES = (
    "I choose {label}.",
    "My choice is {label}.",
    "I would go with {label}.",
    "I put {label} into my cart.",
)


@dataclass(frozen=True, slots=True)
class Anchors:
    """Statements by alternative: the m-th ones of all alternatives are one set.

    Attributes
    ----------
    statements : mapping of str to tuple of str
        By id, in menu order; as many for each.

    Raises
    ------
    UsageError
        For an alternative without statements, different numbers of them, an empty one, or one
        statement for two alternatives of a set.

    Examples
    --------
    >>> Anchors.of(Menu.of("Tea", "Coffee"), ["I want {label}."]).statements
    {'tea': ('I want Tea.',), 'coffee': ('I want Coffee.',)}
    """

    statements: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        sizes = {name: len(some) for name, some in self.statements.items()}
        if len(set(sizes.values())) != 1 or not all(sizes.values()):
            told = ", ".join(f"{name} {n}" for name, n in sizes.items())
            raise UsageError(
                f"numbers of anchor statements differ or are 0 ({told}): give each alternative as "
                "many, the first ones of all being one set"
            )
        for m, together in enumerate(zip(*self.statements.values(), strict=True)):
            if not all(s.strip() for s in together):
                raise UsageError(f"an anchor statement of set {m + 1} is empty: write it")
            if len({" ".join(fold(s).split()) for s in together}) < len(together):
                raise UsageError(
                    f"set {m + 1} of the anchor statements says the same of two alternatives: "
                    "a text cannot be nearer to one of them"
                )

    @classmethod
    def of(
        cls, menu: Menu, given: Mapping[str, Sequence[str] | str] | Sequence[str] | None = None
    ) -> Anchors:
        """Anchors from statements by alternative, or from templates with ``{label}``.

        Parameters
        ----------
        menu : Menu
            The choice set.
        given : mapping or sequence of str, optional
            Statements by id; or templates, each a set; by default `TEMPLATES`.
        """
        if isinstance(given, Mapping):
            for name in given:
                if name not in menu.ids:
                    raise UsageError(
                        f"anchor statements for {name!r}{nearest(name, menu.ids)}, which is no "
                        f"alternative: give them for {', '.join(menu.ids)}"
                    )
            found = {a: given.get(a, ()) for a in menu.ids}
            return cls({a: _texts(some, a) for a, some in found.items()})
        templates = _texts(TEMPLATES if given is None else given, "all alternatives")
        for template in templates:
            if "{label}" not in template:
                raise UsageError(
                    f"the template {template!r} lacks {{label}}: it would say the same of all "
                    "alternatives"
                )
        return cls({a.id: tuple(t.replace("{label}", a.label) for t in templates) for a in menu})

    @property
    def sets(self) -> int:
        """M, the number of sets."""
        return len(next(iter(self.statements.values())))


def read_anchors(path: str | Path, menu: Menu) -> Anchors:
    """Anchors of a TOML file: a list of statements for each id, or ``templates = [...]``.

    Raises
    ------
    UsageError
        If the file cannot be read, or what it says makes no sense.
    """
    try:
        data = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"--anchors {path} cannot be read as TOML ({error}): write a list of statements for "
            f"each of {', '.join(menu.ids)}"
        ) from None
    if set(data) == {"templates"}:
        return Anchors.of(menu, data["templates"])
    return Anchors.of(menu, data)


def _texts(some: Sequence[str] | str, whose: str) -> tuple[str, ...]:
    found = (some,) if isinstance(some, str) else some
    if not isinstance(found, list | tuple) or not all(isinstance(s, str) for s in found):
        raise UsageError(f"anchor statements of {whose} are {found!r}: give a list of texts")
    return tuple(found)
