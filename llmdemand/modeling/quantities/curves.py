"""Demand over prices: curves and scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.intervals import Drawn, Fit, infer, ready
from llmdemand.modeling.quantities.prices import (
    Price,
    asked_for,
    free_price,
    names,
    price_column,
    price_name,
    priced,
)
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.responses import mean_shares
from llmdemand.modeling.quantities.scene import Scene
from llmdemand.modeling.quantities.scenes import Average, scenes
from llmdemand.modeling.quantities.slopes import numbers
from llmdemand.modeling.sample.designs import Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["demand_curve", "simulate"]

_GRID = 61


def demand_curve(
    fit: Fit,
    grid: Any = None,
    *,
    price: Price = "price",
    alternative: str | None = None,
    at: Mapping[str, Any] | None = None,
    average: Average = "mean",
    **drawn: Unpack[Drawn],
) -> Quantity:
    """Mean share of an alternative by its own price, with pointwise bands.

    Parameters
    ----------
    fit, price, average, **drawn
        See `llmdemand.modeling.quantities.responses.shares`.
    grid : array, optional
        Prices; 61 over the observed range, and the observed ones (these alone where the price
        enters by its levels), by default.
    alternative : str, optional
        Whose demand; each that has a price by default.
    at : mapping, optional
        Values of other variables; as in the sample by default.

    Returns
    -------
    Quantity
        Rows by ``price`` and ``alternative``.
    """
    import pandas as pd

    design, sample = ready(fit, "a demand curve")
    price = price_name(design, price)
    if at is not None and not isinstance(at, Mapping):
        raise UsageError("at: give a mapping of other variables, such as {'income': 50}")
    if alternative is None:
        asked = priced(design, sample, price)
    else:
        asked = asked_for(design, alternative)
        price_column(design, alternative, price, sample)
    curves = []
    for name in asked:
        free_price(design, sample, at, name, price, "its demand curve")
        column, rows = price_column(design, name, price, sample)
        seen = sample.loc[np.asarray(rows) > 0, column]
        values = _grid(design, sample, column, seen) if grid is None else np.atleast_1d(grid)
        key = column if design.outside or column != price else name
        curve = scenes(
            fit,
            {**(at or {}), key: list(values)},
            what="a demand curve",
            average=average,
            price=price,
            alternative=name,
        )
        heads = {key: "price", f"{price}_{key}": "price"}
        curves.append(replace(curve, keys=curve.keys.rename(columns=heads)))
    keys = pd.concat(
        [c.labelled({"alternative": [a]}) for c, a in zip(curves, asked, strict=True)],
        ignore_index=True,
    )

    def value(b: Numbers) -> Numbers:
        parts = [
            mean_shares(scene, b, [name])
            for c, name in zip(curves, asked, strict=True)
            for scene in c.blocks
        ]
        return np.concatenate(parts).ravel()

    return infer(
        fit,
        value,
        name="share",
        keys=keys,
        rule=curves[0].rule,
        unit="mean probability",
        notes=["bands are pointwise"],
        shares=True,
        drawn=drawn,
    )


def _grid(design: Design, sample: pd.DataFrame, column: str, seen: Any) -> Any:
    levels = np.unique(seen.to_numpy())
    if seen.dtype.kind not in "fiub":
        return levels
    fine = np.linspace(float(levels[0]), float(levels[-1]), _GRID)
    try:
        one = sample.iloc[np.zeros(_GRID, np.intp)].reset_index(drop=True)
        design.regressors(one.assign(**{column: fine}))
    except DesignError:
        return levels
    # To nine digits, or 31 and 31.000000000000004 would be two prices.
    both = np.concatenate([levels, fine]) if len(levels) <= _GRID else fine
    return np.unique(np.round(both.astype(float), 9))


def simulate(
    fit: Fit,
    prices: Any,
    *,
    price: Price = "price",
    at: Mapping[str, Any] | None = None,
    average: Average = "mean",
    **drawn: Unpack[Drawn],
) -> Quantity:
    """Shares, changes of quantity and revenue under scenarios of prices.

    Parameters
    ----------
    fit, price, average, **drawn
        See `llmdemand.modeling.quantities.responses.shares`.
    prices : data frame or mapping of lists
        One scenario per row; columns are price columns or alternatives. Prices that are not
        named stay as in the sample.
    at : mapping, optional
        Values of other variables, one each, in the scenarios and in the baseline.

    Returns
    -------
    Quantity
        Rows by ``scenario`` (from 1), its prices, ``measure`` and ``alternative``. Measures:
        ``share``; ``change``, the share less that of the baseline, which is the sample's own
        prices; ``revenue``, the mean of ``p_ij s_ij``, in units of price per observation.
    """
    import pandas as pd

    if not isinstance(prices, pd.DataFrame | Mapping):
        raise UsageError("prices: give a data frame or a mapping, one scenario per row")
    design, sample = ready(fit, "a simulation")
    price = price_name(design, price)
    asked = {str(c): np.atleast_1d(prices[c]).tolist() for c in prices}
    if not asked or not all(asked.values()):
        raise UsageError("prices: give at least one scenario")
    alone = design.alternatives[0] if design.outside else None
    base = scenes(
        fit, dict(at or {}), what="a simulation", average=average, price=price, alternative=alone
    )
    if len(base.keys) > 1:
        raise UsageError("at: give one value for each variable; scenarios are rows of prices")
    where = scenes(
        fit,
        {**(at or {}), **asked},
        what="a simulation",
        average=average,
        price=price,
        alternative=alone,
    )
    everything = list(names(design))
    sold = priced(design, sample, price)

    def of_block(scene: Scene, b: Numbers, before: Numbers) -> Numbers:
        s = mean_shares(scene, b, everything)
        return np.hstack([s, s - before, _revenue(scene, b, sold, price)])

    def value(b: Numbers) -> Numbers:
        before = mean_shares(base.blocks[0], b, everything)
        return np.concatenate([of_block(scene, b, before).ravel() for scene in where.blocks])

    measures = ["share", "change"]
    labels = {
        "measure": [m for m in measures for _ in everything] + ["revenue"] * len(sold),
        "alternative": everything * 2 + sold,
    }
    keys = where.labelled(labels)
    keys.insert(0, "scenario", np.repeat(np.arange(len(where.keys)) + 1, len(labels["measure"])))
    return infer(
        fit,
        value,
        name="scenarios",
        keys=keys,
        rule=where.rule,
        unit="",
        notes=[
            f"share and change in mean probability, revenue in units of {price} per observation"
        ],
        shares=(keys["measure"] == "share").to_numpy(),
        drawn=drawn,
    )


def _revenue(scene: Scene, b: Numbers, sold: list[str], price: str) -> Numbers:
    s, columns = scene.shares(b), []
    for name in sold:
        column, rows = price_column(scene.design, name, price, scene.frame)
        paid: Array = scene.own(np.asarray(rows) * numbers(scene.frame, column, "price"))
        columns.append(scene.summed(s * paid, name) / scene.everyone)
    return np.column_stack(columns)
