"""The figure of quantities and ratings: a curve with its band, and what was answered by price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.numbers.answers import Answers
from llmdemand.modeling.quantities.quantity import COLOURS, Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curve"]


def curve(ax: Axes | None, data: Answers, number: Array, drawn: Quantity, ylabel: str) -> Axes:
    """Draw a fitted curve over the mean answers.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Where; new axes for None.
    data : Answers
        What was answered at which prices.
    number : (N,) array
        What each run says, such that it sums to the mean times what was read.
    drawn : Quantity
        The curve over ``price``.
    ylabel : str
        What both are.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(5.2, 3.8), layout="constrained").subplots()
    table = drawn.table
    ax.fill_between(table["price"], table["lower"], table["upper"], color=COLOURS[0], alpha=0.2)
    ax.plot(table["price"], table["estimate"], color=COLOURS[0], lw=1.6, label="fitted")
    price = data.frame["price"].to_numpy(np.float64)
    means = []
    for p in data.prices:
        at = price == p
        means.append(float(data.weight[at] @ number[at] / (data.weight[at] @ data.read[at])))
    said = "mean of belief" if data.outcome == "belief" else "mean answer"
    ax.plot(data.prices, means, "o", color=COLOURS[1], ms=5, label=said)
    ax.set(xlabel=f"price ({data.unit})", ylabel=ylabel)
    ax.set_ylim(bottom=min(0.0, min(means)))
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
