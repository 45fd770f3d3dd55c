"""What is true of a consumer over a whole design, as plain data that a panel keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from llmdemand.core.cell import Cell
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.simulation.backends.known.consumer import Consumer, Levels
from llmdemand.simulation.backends.known.numbers import NumberConsumer

__all__ = ["Truths", "beyond_logit", "over_design"]


def over_design(study: Study, consumer: Consumer) -> dict[str, Any]:
    """Mean shares over the cells of a design, and the elasticities of the mean shares.

    ``S_j = sum_c s_cj / C`` and ``E_jk = sum_c p_ck ds_cj / dp_ck / sum_c s_cj``: by how many per
    cent the mean share of j changes when the price of k rises by one per cent in every cell. A
    cell in which orders take turns counts as the mean of its orders.

    Parameters
    ----------
    study : Study
        The design.
    consumer : Consumer
        Who meets it.

    Returns
    -------
    dict
        ``cells``; where alternatives have attributes the utilities ``part_worths`` of their levels
        and of a unit of ``price``; ``shares`` by alternative; ``elasticities`` by alternative,
        then by the one whose price it is; ``spread``, the standard deviation over cells of
        ``(p_ck ds_cj / dp_ck - E_jk s_cj) / S_j``, which tells how far E is of n cells drawn
        at random: spread / sqrt(n).

    Examples
    --------
    >>> from llmdemand.core.study import load_study
    >>> study = load_study("pampers")
    >>> found = over_design(study, Consumer(study.menu, "pampers", usual={"huggies": 30.0}))
    >>> round(found["elasticities"]["pampers"]["pampers"], 3)
    -6.137
    """
    shown = study.option_orders() if consumer.order_effect else (None,)
    rows: list[tuple[dict[str, float], dict[str, dict[str, float]]]] = []
    for cell in study.cells():
        persona = cell.persona.get("id")
        orders = shown if cell.order is None else (cell.order,)
        shares = dict.fromkeys(study.menu.ids, 0.0)
        moved = {j: dict.fromkeys(study.prices, 0.0) for j in shares}
        for order in orders:
            found = consumer.shares(
                cell.prices, order=order, persona=persona, attributes=cell.attributes
            )
            responses = consumer.responses(cell.prices, found, persona)
            for j, share in found.items():
                shares[j] += share / len(orders)
                for k, price in cell.prices.items():
                    moved[j][k] += share * price * responses[j][k] / len(orders)
        rows.append((shares, moved))
    mean = {j: sum(s[j] for s, _ in rows) / len(rows) for j in study.menu.ids}
    elasticities = {j: dict.fromkeys(study.prices, 0.0) for j in mean}
    spread = {j: dict.fromkeys(study.prices, 0.0) for j in mean}
    for j in mean:
        for k in study.prices if mean[j] else ():
            e = sum(m[j][k] for _, m in rows) / len(rows) / mean[j]
            squares = sum((m[j][k] - e * s[j]) ** 2 for s, m in rows) / len(rows)
            elasticities[j][k], spread[j][k] = e, math.sqrt(squares) / mean[j]
    told = {"cells": len(rows), "shares": mean, "elasticities": elasticities, "spread": spread}
    if study.attributes:
        told |= {"price": consumer.slope, "part_worths": part_worths(study, consumer)}
    return told


def part_worths(study: Study, consumer: Consumer) -> dict[str, list[float]]:
    """True utilities by attribute, in the order of its levels."""
    known = consumer.part_worths
    return {x.name: [known.get(x.name, {}).get(v, 0.0) for v in x.levels] for x in study.attributes}


def beyond_logit(consumer: Consumer, mismatch_rate: float = 0.0) -> list[str]:
    """What a logit with the prices as regressors has no room for, in words."""
    said = []
    if consumer.nests is not None:
        named = [n for n in consumer.nests.members if len(n) > 1]
        groups = "; ".join(" and ".join(n) for n in named)
        said.append(f"alternatives of a nest ({groups}) are closer substitutes than others")
    if consumer.persona_sd or consumer.persona_slope_sd or consumer.persona_constant_sd:
        said.append("tastes differ from persona to persona")
    if any(any(worths.values()) for worths in consumer.part_worths.values()):
        said.append("levels of attributes move utilities, which a fit without them leaves out")
    if consumer.order_effect:
        said.append("the option that is shown first is favoured")
    if consumer.round_price_uptick:
        said.append(f"prices that are multiples of {consumer.round_to:g} are favoured")
    if consumer.rival_slope is not None:
        said.append(
            "prices of rivals move the focal share alone (rival_slope), not how the others divide "
            "the rest"
        )
    if mismatch_rate:
        said.append(
            f"{100 * mismatch_rate:g} % of the answers change their mind after the pivot, where "
            "the truth is told"
        )
    return said


class Truths:
    """What is true at any prices of a consumer, `SyntheticBackend`, who answers a study."""

    _study: Study
    consumer: Consumer | NumberConsumer
    _mismatch: float

    def probability(
        self, price: float, *, order: Sequence[str] | None = None, persona: str | None = None
    ) -> float:
        """The true share of the focal alternative at a price.

        Parameters
        ----------
        price : float
            Of the focal alternative, in the study's unit.
        order : sequence of str, optional
            The option order that is shown; without one there is no order effect.
        persona : str, optional
            A persona's id; the average persona by default. (That is not the average
            over personas, which is nearer to one half.)

        Returns
        -------
        float
            The mean of belief and of choice in such a cell.
        """
        if isinstance(self.consumer, NumberConsumer):
            raise UsageError("probability is of a choice; of numbers see truth(prices)")
        return self.consumer.probability(price, order=order, persona=persona)

    def expected(self, at: Cell | Mapping[str, float]) -> float:
        """The true mean of a quantity or rating; `at` as in `truth`.

        Raises
        ------
        UsageError
            For a study of choices.
        """
        prices, _, persona, _ = self._where(at, None)
        if not isinstance(self.consumer, NumberConsumer):
            raise UsageError("expected is of quantities and ratings; of choices see truth(prices)")
        return self.consumer.mean(prices, persona)

    def truth(
        self, at: Cell | Mapping[str, float], order: Sequence[str] | None = None
    ) -> dict[str, float]:
        """The true share of every alternative, by id in menu order.

        Parameters
        ----------
        at : Cell or mapping of str to float
            The design point; or prices, at which the average persona answers and rivals that
            are not named cost their mean over the design.
        order : sequence of str, optional
            The option order that is shown; by default that of the cell, and where
            the design does not cross orders the truth without an order effect.

        Returns
        -------
        dict of str to float
            Sum 1: the mean of belief and of choice over runs that choose.

        Raises
        ------
        UsageError
            For prices of alternatives that have none, or without the focal one's.
        """
        prices, order, persona, levels = self._where(at, order)
        return self.consumer.shares(prices, order=order, persona=persona, attributes=levels)

    def elasticities(
        self, at: Cell | Mapping[str, float], order: Sequence[str] | None = None
    ) -> dict[str, dict[str, float]]:
        """The true own and cross elasticities, ``d log s_j / d log p_k``, by j, then k.

        Parameters
        ----------
        at, order
            As in `truth`. Of what jumps at round prices there is no derivative.

        Examples
        --------
        >>> from llmdemand.core.study import load_study
        >>> from llmdemand.simulation.backends.synthetic import SyntheticBackend
        >>> truth = SyntheticBackend(load_study("pampers"))
        >>> found = truth.elasticities({"pampers": 35, "huggies": 30})
        >>> {a: round(e, 2) for a, e in found["pampers"].items()}
        {'pampers': -9.86, 'huggies': 6.76}
        """
        prices, order, persona, levels = self._where(at, order)
        if isinstance(self.consumer, NumberConsumer):
            raise UsageError("elasticities are of shares; of numbers see backend.expected(prices)")
        shares = self.consumer.shares(prices, order=order, persona=persona, attributes=levels)
        responses = self.consumer.responses(prices, shares, persona)
        return {j: {k: prices[k] * r for k, r in row.items()} for j, row in responses.items()}

    @cached_property
    def known_truth(self) -> dict[str, Any]:
        """What is true over the whole design, as panels keep it: see `known.truth.over_design`.

        Besides, ``beyond_logit`` says what this consumer has that a plain logit has not.
        """
        if isinstance(self.consumer, NumberConsumer):
            return self.consumer.over_design(self._study)
        words = beyond_logit(self.consumer, self._mismatch)
        return {**over_design(self._study, self.consumer), "beyond_logit": words}

    def _where(
        self, at: Cell | Mapping[str, float], order: Sequence[str] | None
    ) -> tuple[Mapping[str, float], Sequence[str] | None, str | None, Levels | None]:
        """Prices, option order, persona and attributes of a design point."""
        if isinstance(at, Cell):
            shown = at.order if order is None else order
            return at.prices, shown, at.persona.get("id"), at.attributes
        known, focal = self._study.prices, self._study.focal
        if focal not in at or not set(at) <= set(known):
            raise UsageError(
                f"prices of {', '.join(at) or 'nothing'}: give that of {focal}, and of "
                f"{', '.join(self.consumer.usual) or 'no other'} where they are not the mean"
            )
        return {**self.consumer.usual, **at}, order, None, None
