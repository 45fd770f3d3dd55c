"""What each run of a study is shown: its content, the order of options, the words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llmdemand.core.cell import Cell
from llmdemand.core.questionnaire.content import digest
from llmdemand.core.questionnaire.design import shuffled
from llmdemand.core.questionnaire.factorial import Factorial
from llmdemand.core.questionnaire.measure import asked_to_state
from llmdemand.core.questionnaire.prompts import Variant, disclosed, names, offered, scaled
from llmdemand.errors import StudyError

__all__ = ["Questionnaire"]


@dataclass(frozen=True)
class Questionnaire(Factorial):
    """The data of a `Study`, its cells, and what a run of each is shown."""

    def content(self, cell: Cell) -> str:
        """What a cell asks, as a digest: prices, attributes, persona, variant, arm, order.

        A cell's place in the design is no part of it, nor is the study's name: whatever is
        drawn for a run (its seed, its option order) is drawn from this, so that a study to
        which levels are added, or in which they change their places, keeps the runs that it
        had. Personas and variants count by their ids; the one variant that replaces no
        template is the study without variants. (What the templates say counts too: the key
        of a stored answer holds the prompt.)

        Parameters
        ----------
        cell : Cell
            Of this study.

        Returns
        -------
        str
            24 hexadecimal digits, different for every cell of a study.

        Examples
        --------
        >>> import llmdemand as ld
        >>> from dataclasses import replace
        >>> study = ld.load_study("pampers")
        >>> dearer = replace(study, prices={**study.prices, "pampers": (20.0, 35.0)})
        >>> study.content(study.cell(5)) == dearer.content(dearer.cell(1))
        True
        """
        known = self._contents.get(cell.index)
        if known is None or known[0] is not cell:
            known = cell, digest(**self._asked_by(cell), order=cell.order)
            self._contents[cell.index] = known
        return known[1]

    def shown(self, cell: Cell, order: tuple[str, ...]) -> str:
        """What one run is shown, as a digest: the content of its cell with its option order.

        It is the same whether the order is fixed, takes turns or is a factor.
        """
        return digest(**self._asked_by(cell), order=order)

    def cell_shown(self, content: str) -> Cell | None:
        """The cell of the design with a run that is shown a content (`shown`), if there is one."""
        return self._shown.get(content)

    @cached_property
    def _shown(self) -> dict[str, Cell]:
        return {
            self.shown(cell, order): cell
            for cell in self._cells
            for order in ([cell.order] if cell.order else self._orders)
        }

    def _asked_by(self, cell: Cell) -> dict[str, Any]:
        return {
            "prices": cell.prices,
            "persona": cell.persona.get("id"),
            "variant": self._own_variant(cell.variant),
            "arm": cell.arm,
            "attributes": cell.attributes or None,
        }

    @cached_property
    def _contents(self) -> dict[int, tuple[Cell, str]]:
        return {}

    def order(self, cell: Cell, replicate: int) -> tuple[str, ...]:
        """The option order that one run sees: a pure function of content and replicate.

        With ``rotate``, m orders and m consecutive replicates (a block), a cell sees every
        order once in each block. In which turn is drawn for every cell and block, from what
        the cell asks (`content`) and the seed of the design: no other cell has a part in it,
        so that over cells the orders of one replicate are balanced on average, not exactly.

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
        if len(orders) == 1:
            return orders[0]
        block, turn = divmod(replicate, len(orders))
        drawn = shuffled(len(orders), self.design_seed, self.content(cell), block)
        return orders[drawn[turn]]

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
        if self.question is not None:
            order = tuple(a.id for a in self.question.products)
        offers = [
            offered(
                offer,
                a,
                cell.persona,
                label=self.priced(a).label,
                price=shown[a],
                **self._levels_of(cell, a),
            )
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
            **({} if self.question is None else {"scale": self.question.scale}),
            **{f"price_{a}": p for a, p in shown.items()},
            **{f"{x}_{a}": v for a in shown for x, v in self._levels_of(cell, a).items()},
            **{k: v for k, v in cell.persona.items() if k != "id"},
        }
        texts = system.format(**fields), user.format(**fields)
        if self.measure == "stated":
            suffix = asked_to_state([self.menu[a].label for a in order])
            texts = texts[0], f"{texts[1].rstrip()}\n\n{suffix}\n"
        if not disclosure or "disclosure" in (*names(system), *names(user)):
            return texts
        return disclosed(*texts, disclosure, self.mode)

    def _levels_of(self, cell: Cell, alternative: str) -> dict[str, Any]:
        """What the prompt says of an alternative's attributes."""
        return {x.name: x.text(cell.attributes[x.name].get(alternative)) for x in self.attributes}
