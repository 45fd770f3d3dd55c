"""What is asked: choice set, prices, wordings and the design, as data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from llmdemand.core.cell import Cell
from llmdemand.core.menu import Menu
from llmdemand.core.questionnaire.design import fraction, shuffled, williams
from llmdemand.core.questionnaire.prompts import (
    DISCLOSURE,
    Variant,
    disclosed,
    names,
    offered,
    scaled,
)
from llmdemand.core.questionnaire.respondents import prices_of
from llmdemand.core.sampling import Sampling
from llmdemand.errors import StudyError

__all__ = ["Questionnaire"]


@dataclass(frozen=True)
class Questionnaire:
    """The data of a `Study`, which tells the attributes, and the design that they make."""

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "arms", tuple(self.arms))
        object.__setattr__(self, "variants", tuple(self.variants))
        object.__setattr__(self, "thinking", tuple(self.thinking))
        object.__setattr__(self, "pinned", tuple(self.pinned))
        if self.price_fields:
            own = {a: prices_of(self.personas, f, a) for a, f in self.price_fields.items()}
            object.__setattr__(self, "prices", {**self.prices, **own})

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

        A price by persona is one level, None: it is known when the persona is.
        """
        variants: Sequence[str | None] = [v.id for v in self.variants] or [None]
        crossed = self.option_orders() if self.orders == "cross" else [None]
        grids = [[None] if a in self.price_fields else g for a, g in self.prices.items()]
        return self.arms, variants, self.personas or [{}], crossed, *grids

    @property
    def full_size(self) -> int:
        """Number of points of the full factorial."""
        return math.prod(map(len, self._factors))

    def full_cell(self, index: int) -> Cell:
        """The point of the full factorial at an index, in the fraction or not."""
        levels: list[Any] = []
        rest = index
        for factor in reversed(self._factors):
            rest, level = divmod(rest, len(factor))
            levels.append(factor[level])
        return self._point(index, levels[::-1])

    def _point(self, index: int, levels: Sequence[Any]) -> Cell:
        arm, variant, persona, order, *prices = levels
        by_id = {
            a: float(persona[self.price_fields[a]]) if price is None else price
            for a, price in zip(self.prices, prices, strict=True)
        }
        return Cell(index, by_id, persona, order, variant, arm)

    def cells(self) -> tuple[Cell, ...]:
        """The design: arms x variants x personas x orders (if crossed) x prices, prices fastest.

        All points, or the balanced fraction of `points` of them, by ascending index.

        >>> import llmdemand as ld
        >>> from dataclasses import replace
        >>> half = replace(ld.load_study("pampers"), points=8)
        >>> len(half.cells()), half.cells()[-1].index < 16
        (8, True)
        """
        return self._cells

    @cached_property
    def _cells(self) -> tuple[Cell, ...]:
        if self.points is None:
            points = itertools.product(*self._factors)
            return tuple(itertools.starmap(self._point, enumerate(points)))
        sizes = tuple(len(factor) for factor in self._factors)
        return tuple(map(self.full_cell, fraction(sizes, self.points, self.design_seed)))

    @cached_property
    def _places(self) -> dict[int, int]:
        return {cell.index: place for place, cell in enumerate(self._cells)}

    def _place(self, index: int) -> int:
        if index not in self._places:
            raise StudyError(
                f"the design of {self.name!r} has no cell {index}: it keeps {len(self._cells)} of "
                f"{self.full_size} points; use the study with which the runs were made"
            )
        return self._places[index]

    def cell(self, index: int) -> Cell:
        """The cell with an index of the full factorial.

        Raises
        ------
        StudyError
            If the design has no such cell.

        Examples
        --------
        >>> import llmdemand as ld
        >>> ld.load_study("pampers").cell(5).prices["pampers"]
        35.0
        """
        return self._cells[self._place(index)]

    def order(self, cell: Cell, replicate: int) -> tuple[str, ...]:
        """The option order that one run sees: a pure function of study, cell and replicate.

        With ``rotate``, m orders and m consecutive replicates (a block), a cell sees every
        order once; in one replicate, m consecutive cells of the design see every order
        once. Where they begin is shuffled for every block and every m cells: otherwise the
        order of a replicate would alternate with the price.

        Examples
        --------
        >>> import llmdemand as ld
        >>> study = ld.load_study("pampers")
        >>> {study.order(study.cell(3), r)[0] for r in (0, 1)} == {"pampers", "huggies"}
        True
        """
        if cell.order is not None:
            return cell.order
        orders = self._orders
        m = len(orders)
        if m == 1:
            return orders[0]
        group, member = divmod(self._place(cell.index), m)
        block, turn = divmod(replicate, m)
        begin = shuffled(m, self.design_seed, "cells", group)[member]
        return orders[shuffled(m, self.design_seed, "block", block)[(begin + turn) % m]]

    def wording(self, variant: str | None) -> Variant:
        """The templates in force for a variant, or the study's own for None.

        Raises
        ------
        StudyError
            If there is no such variant.
        """
        if variant not in self._wordings:
            known = [v.id for v in self.variants]
            raise StudyError(f"no variant {variant!r}: known are {', '.join(known) or 'none'}")
        return self._wordings[variant]

    @cached_property
    def _wordings(self) -> dict[str | None, Variant]:
        own = {k: getattr(self, k) for k in ("system", "user", "offer", "price_scale")}
        return {
            None: Variant("", **own),
            **{v.id: Variant(**{**own, **v.to_dict()}) for v in self.variants},
        }

    def prompt(self, cell: Cell, order: tuple[str, ...]) -> tuple[str, str]:
        """System and user text of one run.

        >>> import llmdemand as ld
        >>> study = ld.load_study("pampers")
        >>> cell = study.cells()[5]
        >>> "35.0 cents" in study.prompt(cell, study.order(cell, 0))[1]
        True
        """
        wording = self.wording(cell.variant)
        system, user, offer = wording.system or "", wording.user or "", wording.offer or ""
        shown = {a: scaled(p, wording.price_scale) for a, p in cell.prices.items()}
        offers = [
            offered(offer, a, cell.persona, label=self.menu[a].label, price=shown[a])
            if a in shown
            else offered(self.outside_offer, a, cell.persona, label=self.menu[a].label)
            for a in order
            if a in shown or (self.outside_offer and self.menu[a].outside)
        ]
        disclosure = self.disclosure if cell.arm == "unblinded" else ""
        fields: dict[str, Any] = {
            "offers": self.separator.join(offers),
            "unit": self.unit,
            "disclosure": disclosure,
            **{f"price_{a}": p for a, p in shown.items()},
            **{k: v for k, v in cell.persona.items() if k != "id"},
        }
        texts = system.format(**fields), user.format(**fields)
        if not disclosure or "disclosure" in (*names(system), *names(user)):
            return texts
        return disclosed(*texts, disclosure, self.mode)
