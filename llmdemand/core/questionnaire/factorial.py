"""What a study is made of, as data, and its cells: the points of its factors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llmdemand.core.cell import Cell
from llmdemand.core.experiment.attributes import Attribute, Level, check_attributes, columns_of
from llmdemand.core.experiment.conjoint import Conjoint, designed
from llmdemand.core.experiment.inspection import DesignReport, inspected
from llmdemand.core.experiment.listed import listed
from llmdemand.core.experiment.space import PRICE, Space
from llmdemand.core.menu import Alternative, Menu
from llmdemand.core.questionnaire.design import williams
from llmdemand.core.questionnaire.fields import decimal
from llmdemand.core.questionnaire.fractions import kept
from llmdemand.core.questionnaire.prompts import DISCLOSURE, Variant
from llmdemand.core.questionnaire.question import Question
from llmdemand.core.questionnaire.respondents import prices_of
from llmdemand.core.sampling import Sampling
from llmdemand.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Factorial"]


@dataclass(frozen=True)
class Factorial:
    """The data of a `Study`, which tells the attributes, and the cells that they make."""

    name: str
    menu: Menu
    prices: Mapping[str, tuple[float, ...]]
    focal: str
    user: str
    offer: str
    title: str = ""
    description: str = ""
    unit: str = "currency units"
    system: str = ""
    separator: str = "\n"
    orders: str = "fixed"
    mode: str = "chat"
    runs: int = 20
    cluster: str = "cell"
    label: str = ""
    anchors: tuple[str, ...] = ()
    answer_first: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    personas: tuple[Mapping[str, str], ...] = ()
    variants: tuple[Variant, ...] = ()
    price_scale: float = 1.0
    outside_offer: str = ""
    outside_last: bool = True
    arms: tuple[str, ...] = ("blind",)
    disclosure: str = DISCLOSURE
    points: int | None = None
    design_seed: int = 0
    price_fields: Mapping[str, str] = field(default_factory=dict)
    respondents: bool = False
    thinking: tuple[str, ...] = ()
    thinking_open: bool = False
    pinned: tuple[str, ...] = ()
    question: Question | None = None
    weights: str = ""
    measure: str = "logprob"
    attributes: tuple[Attribute, ...] = ()
    conjoint: Conjoint | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", tuple(self.attributes))
        object.__setattr__(self, "arms", tuple(self.arms))
        object.__setattr__(self, "variants", tuple(self.variants))
        object.__setattr__(self, "thinking", tuple(self.thinking))
        object.__setattr__(self, "pinned", tuple(self.pinned))
        prices = {a: tuple(map(decimal, grid)) for a, grid in self.prices.items()}
        own = {a: prices_of(self.personas, f, a) for a, f in self.price_fields.items()}
        object.__setattr__(self, "prices", {**prices, **own})
        if self.attributes or self.conjoint is not None:
            fields = self.personas[0] if self.personas else ()
            check_attributes(self.attributes, tuple(self.prices), fields)
        if self.conjoint is not None:
            if self.price_fields:
                raise StudyError(
                    "a conjoint design has prices of its own, and those of "
                    f"{', '.join(self.price_fields)} come from the personas: give grids instead"
                )
            object.__setattr__(self, "conjoint", designed(self.conjoint, self.space))

    @cached_property
    def space(self) -> Space:
        """The choice tasks that prices and attributes make."""
        given = self.conjoint or Conjoint((1,))
        return Space.of(self.menu, self.prices, self.attributes, given.labelled, given.prohibited)

    @property
    def reading(self) -> dict[str, Any]:
        """How answers are read: options of extractors and of backends that stop at the pivot."""
        tags = {"thinking": self.thinking} if self.thinking else {}
        return {
            "answer_first": self.answer_first,
            "anchors": self.anchors,
            **tags,
            "thinking_open": self.thinking_open,
        }

    @property
    def kind(self) -> str:
        """What is asked: ``choice``, or a number: ``quantity`` or ``rating``."""
        return "choice" if self.question is None else self.question.kind

    @property
    def watched(self) -> str:
        """The alternative in which belief is audited: the focal one, or the largest number."""
        return self.focal if self.question is None else self.menu.ids[-1]

    def priced(self, id: str) -> Alternative:
        """What has this id and a price: of the menu, or a product that the question is about."""
        return self.menu[id] if self.question is None else self.question.product(id)

    @property
    def thoughts(self) -> str:
        """Which law belief is of where the model thinks first: ``natural``, ``forced``, or none.

        Natural: it thinks, closes the thought and answers. Forced: the answer is made to
        follow each of several thoughts, ended or not.
        """
        if self.sampling.thinking is not None:
            return "forced"
        return "natural" if self.thinking or self.thinking_open else ""

    def option_orders(self) -> tuple[tuple[str, ...], ...]:
        """The option orders of the design; outside options stay last unless told otherwise.

        Every alternative that is not pinned stands equally often at every place, and equally
        often right after every other one (a Williams design).

        >>> import llmdemand as ld
        >>> ld.load_study("pampers").option_orders()
        (('pampers', 'huggies', 'neither'), ('huggies', 'pampers', 'neither'))
        """
        return self._orders

    @cached_property
    def _orders(self) -> tuple[tuple[str, ...], ...]:
        pinned = [
            a.id for a in self.menu if a.id in self.pinned or (a.outside and self.outside_last)
        ]
        moved = [a for a in self.menu.ids if a not in pinned]
        rows = williams(len(moved))
        used = rows[:1] if self.orders == "fixed" else rows
        return tuple((*(moved[k] for k in row), *pinned) for row in used)

    @cached_property
    def _factors(self) -> tuple[Sequence[Any], ...]:
        """Levels of every factor, slowest first; the last ones are the price grids.

        A price by persona is one level, None: it is known when the persona is. Attributes stand
        before the prices, by name, then alternative. In a conjoint design tasks take the place
        of both.
        """
        variants: Sequence[str | None] = [v.id for v in self.variants] or [None]
        crossed = self.option_orders() if self.orders == "cross" else [None]
        people: Sequence[Mapping[str, str]] = self.personas or [{}]
        if self.conjoint is not None:
            return self.arms, variants, people, crossed, range(len(self.conjoint.design))
        levels = [x.levels for x in self.attribute_columns.values()]
        grids = [[None] if a in self.price_fields else g for a, g in self.prices.items()]
        return self.arms, variants, people, crossed, *levels, *grids

    def inspect_design(self) -> DesignReport:
        """D-error, level balance, overlap and expected precision of a conjoint design.

        Raises
        ------
        StudyError
            If the study has no choice tasks.
        """
        if self.conjoint is None:
            raise StudyError(
                f"{self.name!r} has no choice tasks to inspect: add [conjoint], see "
                "`llmdemand studies new --conjoint`"
            )
        return inspected(self.conjoint, self.space)

    def tasks(self) -> pd.DataFrame:
        """The choice tasks as a table, as ``conjoint.file`` reads it: see `listed.listed`.

        Raises
        ------
        StudyError
            If the study has no choice tasks.
        """
        if self.conjoint is None:
            raise StudyError(f"{self.name!r} has no choice tasks: add [conjoint]")
        return listed(self.conjoint, self.space)

    @cached_property
    def attribute_columns(self) -> Mapping[str, Attribute]:
        """Columns of panels that hold levels of attributes, and the attribute of each."""
        return columns_of(self.attributes, self.prices)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of levels of each factor, slowest first."""
        return tuple(map(len, self._factors))

    @property
    def full_size(self) -> int:
        """Number of points of the full factorial."""
        return math.prod(self.sizes)

    def full_cell(self, index: int) -> Cell:
        """The point of the full factorial at an index, in the fraction or not."""
        levels: list[Any] = []
        rest = index
        for factor in reversed(self._factors):
            rest, level = divmod(rest, len(factor))
            levels.append(factor[level])
        return self._point(index, levels[::-1])

    def _point(self, index: int, levels: Sequence[Any]) -> Cell:
        arm, variant, persona, order, *rest = levels
        if self.conjoint is not None:
            values = self._values[rest[0]]
            name = self.conjoint.names[rest[0]]
            attributes = {x.name: values[x.name] for x in self.attributes}
            return Cell(index, values[PRICE], persona, order, variant, arm, attributes, name)
        own, prices = rest[: len(self.attribute_columns)], rest[len(self.attribute_columns) :]
        by_id = {
            a: decimal(float(persona[self.price_fields[a]])) if price is None else price
            for a, price in zip(self.prices, prices, strict=True)
        }
        places = [(x.name, a) for x in self.attributes for a in self.prices if x.has(a)]
        found: dict[str, dict[str, Level]] = {x.name: {} for x in self.attributes}
        for (name, a), level in zip(places, own, strict=True):
            found[name][a] = level
        return Cell(index, by_id, persona, order, variant, arm, found)

    @cached_property
    def _values(self) -> tuple[Mapping[str, Mapping[str, Any]], ...]:
        """Levels of every task by factor, then alternative."""
        tasks = self.conjoint.design if self.conjoint is not None else ()
        return tuple(self.space.values(task) for task in tasks)

    def cells(self) -> tuple[Cell, ...]:
        """The design: arms x variants x personas x orders (if crossed) x prices, prices fastest.

        All points, or the balanced fraction of `points` of them, by ascending index. Levels of
        attributes are factors before the prices. Of a conjoint design the last factor is the
        task, and each persona is asked the tasks of its block, and the holdouts.

        >>> import llmdemand as ld
        >>> from dataclasses import replace
        >>> half = replace(ld.load_study("pampers"), points=8)
        >>> len(half.cells()), half.cells()[-1].index < 16
        (8, True)
        """
        return self._cells

    @cached_property
    def _cells(self) -> tuple[Cell, ...]:
        if self.conjoint is not None and self.conjoint.blocks > 1:
            return tuple(map(self.full_cell, self._of_blocks()))
        if self.points is None:
            points = itertools.product(*self._factors)
            return tuple(itertools.starmap(self._point, enumerate(points)))
        levels = [[self._named(k, level) for level in f] for k, f in enumerate(self._factors)]
        return tuple(map(self.full_cell, kept(levels, self.points, self.design_seed)))

    def _of_blocks(self) -> Iterator[int]:
        """Indices of the points whose task is in the persona's block."""
        assert self.conjoint is not None
        sizes = [len(factor) for factor in self._factors]
        mine = [set(self.conjoint.seen_by(k)) for k in range(self.conjoint.blocks)]
        points = itertools.product(*map(range, sizes))
        for index, (_, _, persona, _, task) in enumerate(points):
            if task in mine[persona % len(mine)]:
                yield index

    def _named(self, factor: int, level: Any) -> str:
        """A level of a factor by what it is, wherever the study lists it."""
        if factor == 1:
            return str(self._own_variant(level))
        if factor == 2:
            return str(level.get("id"))
        return repr(level)

    def cell(self, index: int) -> Cell:
        """The cell with an index of the full factorial, in the fraction or not.

        Raises
        ------
        StudyError
            If the full factorial has no such cell.

        Examples
        --------
        >>> import llmdemand as ld
        >>> ld.load_study("pampers").cell(5).prices["pampers"]
        35.0
        """
        if not 0 <= index < self.full_size:
            raise StudyError(
                f"the design of {self.name!r} has no cell {index}: it has {self.full_size} "
                "points; use the study with which the runs were made"
            )
        # Cells of the whole are made once.
        whole = self.points is None and (self.conjoint is None or self.conjoint.blocks == 1)
        return self._cells[index] if whole else self.full_cell(index)

    def _own_variant(self, variant: str | None) -> str | None:
        """The id of a variant; None for the one that replaces nothing."""
        plain = [v.id for v in self.variants if len(v.to_dict()) == 1]
        return None if plain == [variant] else variant
