"""What is true of a consumer over a whole design, as plain data that a panel keeps."""

from __future__ import annotations

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
        ``cells``; ``shares`` by alternative; ``elasticities`` by alternative, then by the one
        whose price it is.

    Examples
    --------
    >>> from llmdemand.core.study import load_study
    >>> study = load_study("pampers")
    >>> found = over_design(study, Consumer(study.menu, "pampers", usual={"huggies": 30.0}))
    >>> round(found["elasticities"]["pampers"]["pampers"], 3)
    -6.137
    """
    cells, ids = study.cells(), study.menu.ids
    shares = dict.fromkeys(ids, 0.0)
    moved = {j: dict.fromkeys(study.prices, 0.0) for j in ids}
    shown = study.option_orders() if consumer.order_effect else (None,)
    for cell in cells:
        persona = cell.persona.get("id")
        orders = shown if cell.order is None else (cell.order,)
        for order in orders:
            found = consumer.shares(cell.prices, order=order, persona=persona)
            responses = consumer.responses(cell.prices, found, persona)
            for j, share in found.items():
                shares[j] += share / len(orders)
                for k, price in cell.prices.items():
                    moved[j][k] += share * price * responses[j][k] / len(orders)
    return {
        "cells": len(cells),
        "shares": {j: s / len(cells) for j, s in shares.items()},
        "elasticities": {
            j: {k: m / shares[j] if shares[j] else 0.0 for k, m in row.items()}
            for j, row in moved.items()
        },
    }


def beyond_logit(consumer: Consumer, mismatch_rate: float = 0.0) -> list[str]:
    """What a logit with the prices as regressors has no room for, in words."""
    said = []
    if consumer.nests is not None:
        named = [n for n in consumer.nests.members if len(n) > 1]
        groups = "; ".join(" and ".join(n) for n in named)
        said.append(f"alternatives of a nest ({groups}) are closer substitutes than others")
    if consumer.persona_sd or consumer.persona_slope_sd or consumer.persona_constant_sd:
        said.append("tastes differ from persona to persona")
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
