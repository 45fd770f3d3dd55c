"""The figure of a choice experiment: part-worths, importances, willingness to pay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import UsageError, nearest
from llmdemand.modeling.quantities.quantity import COLOURS, Quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PARTS", "drawn"]

_LONGEST = 28  # characters of a level's name


#: Panels of the figure.
PARTS = ("part-worths", "importances", "worth")


def drawn(
    parts: Sequence[str],
    part_worths: Quantity,
    importances: Quantity,
    worth: Quantity | None,
    unit: str,
) -> Figure:
    """Draw the levels of all attributes below each other, with their intervals.

    Parameters
    ----------
    parts : sequence of str
        Which of `PARTS`, side by side; all by default. Without a price there is no ``worth``.
    part_worths, importances, worth : Quantity
        See `result.PartWorths`.
    unit : str
        Of prices.

    Raises
    ------
    UsageError
        For an unknown part.
    """
    from matplotlib import pyplot as plt

    for part in parts:
        if part not in PARTS:
            raise UsageError(f"plot: no part {part!r}{nearest(part, PARTS)}: {', '.join(PARTS)}")
    asked = [part for part in parts or PARTS if part != "worth" or worth is not None]
    height = max(2.6, 0.32 * len(part_worths.table) + 1.2)
    size = (4.4 * max(1, len(asked)), height)
    figure, axes = plt.subplots(1, len(asked), figsize=size, layout="constrained", squeeze=False)
    for ax, part in zip(axes[0], asked, strict=True):
        if part == "importances":
            _bars(ax, importances.table)
        elif part == "worth" and worth is not None:
            _points(ax, worth.table, f"{unit}, instead of the first level", "Willingness to pay")
        else:
            label = "utility, of each attribute with mean 0"
            _points(ax, part_worths.table, label, "Part-worths")
    return figure


def _points(ax: Any, table: Any, label: str, title: str) -> None:
    """Estimates with intervals, the first row on top, attributes apart."""
    place = np.arange(len(table), dtype=float)
    names = table["attribute"].tolist()
    for k in range(1, len(names)):
        if names[k] != names[k - 1]:
            place[k:] += 0.6
            ax.axhline(-(place[k] - 0.8), color="0.85", lw=0.8)
    order = list(dict.fromkeys(names))
    for row, y in zip(table.itertuples(), -place, strict=True):
        colour = COLOURS[order.index(row.attribute) % len(COLOURS)]
        if np.isfinite([row.lower, row.upper]).all():
            ax.plot([row.lower, row.upper], [y, y], color=colour, lw=1.6)
        ax.plot([row.estimate], [y], "o", color=colour, ms=5)
    ax.axvline(0, color="k", lw=0.7)
    texts = [_short(f"{r.attribute}: {r.level}") for r in table.itertuples()]
    ax.set_yticks(-place, texts, fontsize=8)
    ax.set_xlabel(label, fontsize=8)
    ax.set_title(title)
    ax.spines[["top", "right"]].set_visible(False)


def _bars(ax: Any, table: Any) -> None:
    table = table.sort_values("estimate", kind="stable")
    place = np.arange(len(table))
    ax.barh(place, table["estimate"], color=COLOURS[0], alpha=0.55)
    ax.hlines(place, table["lower"], table["upper"], color="k", lw=1.2)
    ax.set_yticks(place, [_short(str(a)) for a in table["attribute"]], fontsize=8)
    ax.set_xlabel("per cent of the sum of ranges", fontsize=8)
    ax.set_xlim(left=0)
    ax.set_title("Importances")
    ax.spines[["top", "right"]].set_visible(False)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
