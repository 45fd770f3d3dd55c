"""What is true of a consumer over a whole design, as plain data that a panel keeps."""

from __future__ import annotations

import math
from typing import Any

from llmdemand.core.study import Study
from llmdemand.simulation.backends.known.consumer import Consumer

__all__ = ["beyond_logit", "over_design"]


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
