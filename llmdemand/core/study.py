"""The study: choice set, prices, personas, prompts and sampling, in one TOML file."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.core.cell import Cell
from llmdemand.core.menu import Menu
from llmdemand.core.questionnaire.checks import check
from llmdemand.core.questionnaire.design import fraction, shuffled, williams
from llmdemand.core.questionnaire.prompts import (
    DISCLOSURE,
    Variant,
    disclosed,
    names,
    offered,
    scaled,
)
from llmdemand.core.questionnaire.reading import arguments, plain_data
from llmdemand.core.questionnaire.respondents import ID, prices_of, read_respondents
from llmdemand.core.resources import data_file, data_names
from llmdemand.core.sampling import Sampling
from llmdemand.errors import MenuError, StudyError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "Sampling", "Study", "Variant", "load_study", "studies"]


@dataclass(frozen=True)
class Study:
    """A design that a language model can answer.

    Attributes
    ----------
    name, title, description, unit : str
        What it is called and the unit of prices.
    menu : Menu
        The choice set.
    prices : mapping of str to tuple of float
        Price grid by alternative id, in `unit`; one value means fixed. Of an alternative
        whose price comes from the personas (see `price_fields`), the price of each persona
        in turn: no factor of the design, since a persona meets its own price only.
    focal : str
        The alternative whose demand is estimated.
    user, system, offer : str
        Prompt templates. ``{offers}`` holds one `offer` per priced alternative in
        the run's option order; ``{price_<id>}``, ``{unit}``, ``{disclosure}`` and
        persona fields may be used; `offer` knows ``{label}`` and ``{price}``, and fills
        any other ``{x}`` for alternative a from the persona field ``x_<a>``.
    separator : str
        Between two offers.
    orders : str
        ``fixed``; ``rotate`` (the order changes from replicate to replicate,
        balanced within a cell); ``cross`` (each order is a cell).
    mode : str
        ``chat``, or ``completion``: the prompt is text that the model continues.
    runs : int
        Runs per cell unless asked otherwise.
    cluster : str
        Panel column by which standard errors are clustered; in a study file whose personas
        are respondents ``persona_id`` unless it says otherwise.
    anchors : tuple of str
        Texts after the first of which the answer begins ("Answer:"); none by default.
    answer_first : bool
        Whether the prompt asks for the choice as the first word.
    label : str
        What kind of demand this is, printed with every result.
    sampling : Sampling
        How answers are drawn.
    personas : tuple of mapping
        One mapping of template fields per persona, each with an ``id``.
    variants : tuple of Variant
        Wordings of the prompt, a factor of the design; none by default. The study's own
        templates are what variants inherit, and a level only as ``Variant("own")``.
    price_scale : float
        Factor on prices when templates are filled, in shown units per `unit`: 0.01
        shows a study in cents as dollars. Panel prices stay in `unit`.
    outside_offer : str
        How an outside option is listed among the offers, such as ``- {label}``; empty: it
        is not. Other placeholders are filled as in `offer`.
    outside_last : bool
        Whether outside options stand last in every option order, as opposed to taking
        turns with the others (which needs `outside_offer`).
    arms : tuple of str
        ``blind``, ``unblinded`` or both, a factor of the design. Blind, a model takes a
        price for a sign of what usually comes with it (quality, season, competitors), so
        that unstated factors vary with the price and confound its effect. Unblinded, the
        prompt says that prices were randomised: the remedy of Gui & Toubia,
        arXiv 2312.15524.
    disclosure : str
        What the unblinded arm says, literally. It stands where a template has
        ``{disclosure}`` (empty in the blind arm); else as the last paragraph of the system
        text, or before the user text in completion mode.
    points : int or None
        Number of design points kept of the full factorial, balanced as `design.fraction`
        guarantees; None keeps all.
    design_seed : int
        Seeds the fraction and the option orders of ``rotate``; at least 0.
    price_fields : mapping of str to str
        Persona field by alternative id, for alternatives that have a price of its own for
        each persona: numbers in `unit`. They take the place of a grid in `prices`.
    respondents : bool
        Whether the personas are respondents, rows of a table of people: panels then have a
        column ``respondent_id``, by which data on the same people are joined.

    Raises
    ------
    StudyError
        For an unknown or missing field, placeholder, price or persona; the
        message names it.

    Examples
    --------
    >>> study = load_study("pampers")
    >>> len(study.cells()), study.focal, study.unit
    (16, 'pampers', 'cents per diaper')
    """

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "arms", tuple(self.arms))
        object.__setattr__(self, "variants", tuple(self.variants))
        if self.price_fields:
            own = {a: prices_of(self.personas, f, a) for a, f in self.price_fields.items()}
            object.__setattr__(self, "prices", {**self.prices, **own})
        check(self)

    def option_orders(self) -> tuple[tuple[str, ...], ...]:
        """The option orders of the design; outside options stay last unless told otherwise.

        Every alternative stands equally often at every place, and equally often right
        after every other one (a Williams design).

        >>> load_study("pampers").option_orders()
        (('pampers', 'huggies', 'neither'), ('huggies', 'pampers', 'neither'))
        """
        return self._orders

    @cached_property
    def _orders(self) -> tuple[tuple[str, ...], ...]:
        moved = [a.id for a in self.menu if not (a.outside and self.outside_last)]
        pinned = [a.id for a in self.menu if a.outside and self.outside_last]
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

        >>> from dataclasses import replace
        >>> half = replace(load_study("pampers"), points=8)
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
        >>> load_study("pampers").cell(5).prices["pampers"]
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
        >>> study = load_study("pampers")
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

        >>> study = load_study("pampers")
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

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes an equal study."""
        return plain_data(self)

    def with_respondents(self, table: str | Path | pd.DataFrame, id: str = ID) -> Study:
        """The same study, answered by the model as each of these respondents.

        Parameters
        ----------
        table : path or DataFrame
            A CSV or parquet file or a data frame, one row per respondent: see
            `llmdemand.core.questionnaire.respondents.read_respondents`. Columns fill the templates.
        id : str
            The column that identifies respondents.

        Returns
        -------
        Study
            With these in place of all personas; standard errors that were clustered by cell
            are clustered by persona. A study file that needs the table in order to be read
            is given it by ``load_study(file, respondents=table)``.

        Raises
        ------
        StudyError
            For a table that cannot be read, or lacks what the study needs.

        Examples
        --------
        >>> import pandas as pd
        >>> people = pd.DataFrame({"respondent_id": [1, 2], "income": [35, 60]})
        >>> study = load_study("pampers").with_respondents(people)
        >>> len(study.cells()), study.cells()[0].persona["income"]
        (32, '35')
        """
        cluster = "persona_id" if self.cluster == "cell" else self.cluster
        people = read_respondents(table, id)
        return replace(self, personas=people, respondents=True, cluster=cluster)

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        *,
        where: str = "study",
        folder: str | Path | Traversable = ".",
    ) -> Study:
        """A study from plain data, as TOML gives it.

        `folder` is where a table of respondents lies that the data name.

        Raises
        ------
        StudyError
            Naming the field and, through `where`, the file.
        """
        try:
            return cls(**arguments(data, Path(folder) if isinstance(folder, str) else folder))
        except (StudyError, MenuError) as error:
            raise StudyError(f"{where}: {error}") from error

    @cached_property
    def hash(self) -> str:
        """First 12 hex digits of the SHA-256 of the study's canonical JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def studies() -> tuple[str, ...]:
    """Names of the bundled studies."""
    return tuple(
        sorted(n.removesuffix(".toml") for n in data_names("studies") if n.endswith(".toml"))
    )


def load_study(
    name: str | Path, respondents: str | Path | pd.DataFrame | None = None, id: str = ID
) -> Study:
    """A bundled study by name, or any study by path.

    Parameters
    ----------
    name : str or Path
        ``"pampers"``, ``"pampers-households"``, or the path of a TOML file.
    respondents : path or DataFrame, optional
        A table of people as whom the model answers, in place of the study's own personas:
        see `Study.with_respondents`.
    id : str
        The column that identifies them.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        No such study or file, or what is wrong inside it.

    Examples
    --------
    >>> load_study("pampers-households").label
    'in-context demand'
    """
    folder: Path | Traversable
    if str(name) in studies():
        folder = data_file("studies")
        where, text = f"study {name}", data_file("studies", f"{name}.toml").read_text("utf-8")
    else:
        path = Path(name)
        if path.suffix != ".toml" or not path.is_file():
            raise StudyError(
                f"no study {str(name)!r}{nearest(str(name), studies())}: bundled are "
                f"{', '.join(studies())}; or give the path of a TOML file"
            )
        where, folder = str(path), path.parent
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            raise StudyError(f"{where}: is not UTF-8 text; a study is a TOML file") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{where}: is not valid TOML ({error})") from None
    if respondents is not None:
        data |= {"personas": list(read_respondents(respondents, id)), "respondents": True}
    return Study.from_dict(data, where=where, folder=folder)
