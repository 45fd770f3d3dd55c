"""The tasks that a choice experiment could ask: factors of each alternative, and what is barred."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from llmdemand.core.experiment.attributes import Attribute, Level
from llmdemand.core.menu import Menu
from llmdemand.errors import StudyError, nearest

__all__ = ["PRICE", "Slot", "Space", "Task"]

PRICE = "price"
#: Index of the level of every slot.
Task = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """One factor of one alternative: its price, or one of its attributes."""

    alternative: str
    factor: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Space:
    """All tasks: one level for each factor of each priced alternative.

    Attributes
    ----------
    menu : Menu
        The choice set, outside options included.
    attributes : tuple of Attribute
        What alternatives differ in besides their price.
    slots : tuple of Slot
        Factors by alternative: its price, then its attributes.
    labelled : bool
        Whether an alternative's name means something (a brand), so that it has a constant of
        its own; else alternatives are "option 1", "option 2", and no two of a task are equal.
    barred : mapping of str to tuple of mapping
        By alternative, levels that never meet in a profile: by slot, the levels.

    Examples
    --------
    >>> menu = Menu.of("A", "B", outside="neither")
    >>> size = Attribute("size", ("small", "large"))
    >>> space = Space.of(menu, {"a": (1.0, 2.0), "b": (1.0, 2.0)}, [size])
    >>> [f"{s.alternative}.{s.factor}" for s in space.slots], space.size
    (['a.price', 'a.size', 'b.price', 'b.size'], 16)
    """

    menu: Menu
    attributes: tuple[Attribute, ...]
    slots: tuple[Slot, ...]
    labelled: bool = True
    barred: Mapping[str, tuple[Mapping[int, frozenset[int]], ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        menu: Menu,
        prices: Mapping[str, Sequence[float]],
        attributes: Iterable[Attribute],
        labelled: bool = True,
        prohibited: Iterable[Mapping[str, Any]] = (),
    ) -> Space:
        """The tasks of a study.

        Parameters
        ----------
        menu, prices, attributes, labelled
            As of a study; prices are grids.
        prohibited : iterable of mapping
            Each names levels that never meet in one alternative, as ``{"size": "1 kg", "price":
            4}``; a list names several levels. The key ``alternative`` confines it to one.

        Raises
        ------
        StudyError
            For names and levels that there are not, and for alternatives that differ where
            their names mean nothing.
        """
        found = tuple(attributes)
        for a, grid in prices.items():
            if not grid or len(set(grid)) < len(grid) or not all(map(math.isfinite, grid)):
                raise StudyError(
                    f"price of {a!r} is {list(grid)[:20]}: give distinct finite numbers"
                )
        slots = tuple(
            slot
            for a, grid in prices.items()
            for slot in (
                Slot(a, PRICE, tuple(map(float, grid))),
                *(Slot(a, x.name, x.levels) for x in found if x.has(a)),
            )
        )
        space = cls(menu, found, slots, labelled)
        if not labelled:
            kinds = {tuple((s.factor, s.levels) for s in space.of_alternative(a)) for a in prices}
            if len(kinds) > 1:
                raise StudyError(
                    "conjoint.labelled is false, so that alternatives are alike but for their "
                    "levels, yet their prices or attributes differ: give all the same, or let "
                    "labelled be true"
                )
        barred: dict[str, list[Mapping[int, frozenset[int]]]] = {}
        for entry in prohibited:
            for a, rule in _rules(space, dict(entry)):
                barred.setdefault(a, []).append(rule)
        return cls(menu, found, slots, labelled, {a: tuple(r) for a, r in barred.items()})

    @cached_property
    def priced(self) -> tuple[str, ...]:
        """The alternatives that have profiles."""
        return tuple(dict.fromkeys(s.alternative for s in self.slots))

    @property
    def size(self) -> int:
        """Number of tasks of the full factorial, those that are barred among them."""
        whole = 1
        for slot in self.slots:
            whole *= len(slot.levels)
        return whole

    def places(self, alternative: str) -> tuple[int, ...]:
        """Slots of an alternative."""
        return self._places[alternative]

    @cached_property
    def _places(self) -> dict[str, tuple[int, ...]]:
        return {
            a: tuple(k for k, s in enumerate(self.slots) if s.alternative == a) for a in self.priced
        }

    def of_alternative(self, alternative: str) -> tuple[Slot, ...]:
        """Factors of an alternative."""
        return tuple(s for s in self.slots if s.alternative == alternative)

    def allowed(self, task: Sequence[int], alternative: str | None = None) -> bool:
        """Whether no barred levels meet in a task, or in one alternative of it."""
        rules = self.barred if alternative is None else {alternative: ()}
        return not any(
            all(task[slot] in levels for slot, levels in rule.items())
            for a in rules
            for rule in self.barred.get(a, ())
        )

    def distinct(self, task: Sequence[int]) -> bool:
        """Whether the task offers a choice: no two alternatives without names are equal."""
        if self.labelled:
            return True
        profiles = self.profiles(task)
        return len(set(profiles)) == len(profiles)

    def profiles(self, task: Sequence[int]) -> list[Task]:
        """Levels by alternative."""
        places = self._places
        return [tuple(task[k] for k in places[a]) for a in self.priced]

    def same(self, task: Sequence[int]) -> tuple[Any, ...]:
        """Equal for tasks that ask the same: without names the order of alternatives is nothing."""
        return tuple(task) if self.labelled else tuple(sorted(self.profiles(task)))

    def values(self, task: Sequence[int]) -> dict[str, dict[str, Level]]:
        """Levels of a task by factor, then alternative."""
        found: dict[str, dict[str, Level]] = {}
        for slot, level in zip(self.slots, task, strict=True):
            found.setdefault(slot.factor, {})[slot.alternative] = slot.levels[level]
        return found


def _rules(
    space: Space, entry: dict[str, Any]
) -> Iterable[tuple[str, Mapping[int, frozenset[int]]]]:
    """What an entry of `prohibited` bars, by alternative."""
    asked = entry.pop("alternative", None)
    shown = {**entry, **({} if asked is None else {"alternative": asked})}
    if asked is not None and asked not in space.priced:
        raise StudyError(
            f"prohibited {shown}: no priced alternative {asked!r}"
            f"{nearest(str(asked), space.priced)}: use one of {', '.join(space.priced)}"
        )
    known = tuple(dict.fromkeys(s.factor for s in space.slots))
    for name in entry:
        if name not in known:
            raise StudyError(
                f"prohibited {shown}: no attribute {name!r}{nearest(name, known)}: use "
                f"{', '.join(known)}"
            )
    if len(entry) < 2:
        raise StudyError(
            f"prohibited {shown}: name levels of two attributes or more that must not meet; a "
            "level that never appears is left out of its attribute"
        )
    found = []
    for a in space.priced if asked is None else (asked,):
        places = {space.slots[k].factor: k for k in space.places(a)}
        if not set(entry) <= set(places):
            continue
        rule = {places[n]: _levels(space.slots[places[n]], v) for n, v in entry.items()}
        if all(rule.values()):
            found.append((a, rule))
    if not found:
        named = {n: v if isinstance(v, list) else [v] for n, v in entry.items()}
        for name, values in named.items():
            levels = {x for s in space.slots if s.factor == name for x in s.levels}
            missing = [v for v in values if v not in levels]
            if missing:
                texts = sorted(map(_short, levels))
                raise StudyError(
                    f"prohibited {shown}: {name!r} has no level {missing[0]!r}"
                    f"{nearest(str(missing[0]), texts)}: levels are {', '.join(texts)}"
                )
        raise StudyError(f"prohibited {shown}: no alternative has these levels together")
    return found


def _levels(slot: Slot, value: Any) -> frozenset[int]:
    values = value if isinstance(value, list | tuple) else [value]
    return frozenset(k for k, level in enumerate(slot.levels) if level in values)


def _short(level: Level) -> str:
    return f"{level:g}" if isinstance(level, float) else level
