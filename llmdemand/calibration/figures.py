"""Figures of calibration, one function each: given axes are drawn on and returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import UsageError
from llmdemand.modeling.quantities.quantity import COLOURS
from llmdemand.modeling.verbatim import verbatim

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from llmdemand.calibration.estimates import Calibrated
    from llmdemand.calibration.power import Mix

__all__ = [
    "LEGEND",
    "demand",
    "differences",
    "estimates",
    "laws",
    "named",
    "new_axes",
    "respondents",
]

#: Humans, LLM, both, and what is no estimate: colours that the colour-blind tell apart.
COLOUR = {
    "humans only": COLOURS[6],
    "LLM only": COLOURS[1],
    "calibrated": COLOURS[0],
    "naive pooling": COLOURS[3],
}
#: The legend, above the data, where it hides nothing.
LEGEND: dict[str, Any] = {
    "loc": "lower left",
    "bbox_to_anchor": (-0.02, 1.0),
    "frameon": False,
    "fontsize": 10,
    "borderaxespad": 0.2,
    "handlelength": 1.9,
    "columnspacing": 1.2,
    "labelspacing": 0.3,
}
_CELLS = 12
_DASH = {"humans only": ":", "LLM only": "--", "calibrated": "-", "naive pooling": "-."}


def new_axes(ax: Axes | None) -> Axes:
    """The given axes, or new ones that leave pyplot's state alone, in one style."""
    if ax is None:
        from matplotlib.figure import Figure

        # Made small and scaled up: at 390 pixels the smallest letters keep 10 of them.
        ax = Figure(figsize=(4.8, 3.9), layout="constrained").subplots()
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, lw=0.5)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=10)
    return ax


def named(ax: Axes, title: str, x: str, y: str, columns: int = 2) -> Axes:
    """Names and legend."""
    ax.set_xlabel(x, fontsize=11)
    ax.set_ylabel(y, fontsize=11)
    entries = len(ax.get_legend_handles_labels()[1])
    rows = -(-entries // columns)
    if entries:
        ax.legend(ncols=columns, **LEGEND)
    ax.set_title(title, fontsize=11.5, pad=9 + rows * 14.2)
    return verbatim(ax)


def estimates(found: Calibrated, ax: Axes | None = None) -> Axes:
    """The target by all four estimators, with intervals.

    Parameters
    ----------
    found : CalibratedDemand
        What is drawn.
    ax : matplotlib Axes, optional
        Where; new axes by default.
    """
    ax = new_axes(ax)
    names = list(found.table.index)
    for place, (name, row) in enumerate(zip(names, found.table.to_dict("records"), strict=True)):
        warning = name == "naive pooling"
        ends = np.array([row["lower"], row["upper"]])
        colour = COLOUR[name]
        if np.isfinite(ends).all():
            ax.plot(ends, [place, place], color=colour, lw=1.8, ls=":" if warning else "-")
        face = "w" if warning else colour
        ax.plot([row["estimate"]], [place], "o", ms=7, color=colour, mfc=face)
    human = found.table["estimate"].to_numpy(np.float64)[0]
    ax.axvline(human, color="#6B6B6B", lw=0.9, ls=":", zorder=0, label="humans' estimate")
    ax.set_yticks(range(len(names)), [_words(n, found) for n in names])
    ax.locator_params(axis="x", nbins=5)
    ax.set_ylim(len(names) - 0.5, -0.5)
    level = f"{100 * (1 - found.alpha):g} %"
    return named(
        ax, "Humans, LLM, and both", f"{found.target.label} ({level} intervals)", "estimated from"
    )


def _words(name: str, found: Calibrated) -> str:
    count = {"humans only": found.tuning.humans, "LLM only": found.tuning.llm}
    if name in count:
        return f"{name}\n(n = {count[name]:,})"
    return f"{name}\n(λ = {found.lam:.2f})" if name == "calibrated" else f"{name}\n(biased)"


def demand(found: Calibrated, ax: Axes | None = None) -> Axes:
    """Demand curves with bands, and the shares of humans and LLM at each price.

    Parameters
    ----------
    found : CalibratedDemand
        Of a binary or fractional logit.
    ax : matplotlib Axes, optional
        Where; new axes by default.

    Raises
    ------
    UsageError
        For a conditional logit: ask ``demand_curve`` for one alternative.
    """
    ax, pairs, price = new_axes(ax), found.moments.pairs, found.target.price
    if not pairs.outside:
        raise UsageError(
            "the demand figure is for binary logits: use demand_curve(alternative=...).plot()"
        )
    for name in ("humans only", "LLM only", "calibrated"):
        table = found.fits[name].demand_curve(price=price).table
        x = table[price].to_numpy(np.float64)
        ax.plot(x, table["estimate"], color=COLOUR[name], ls=_DASH[name], lw=1.7, label=name)
        ends = table[["lower", "upper"]].to_numpy(np.float64)
        ax.fill_between(x, ends[:, 0], ends[:, 1], color=COLOUR[name], alpha=0.12, lw=0)
    at = pairs.rows[price].to_numpy(np.float64)
    levels, inverse = np.unique(at, return_inverse=True)
    if not found.moments.sampled and len(levels) < 40:
        sides = ((pairs.humans, pairs.humans.y, "humans only", "o"),)
        for side, values, name, marker in (*sides, (pairs.pool, pairs.pool.f, "LLM only", "s")):
            assert values is not None
            place = inverse[side.first]
            mean = np.bincount(place, values, len(levels)) / np.bincount(
                place, minlength=len(levels)
            )
            label = "humans, share" if name == "humans only" else "LLM, mean belief"
            ax.plot(levels, mean, marker, ms=5, color=COLOUR[name], mfc="w", label=label)
    ax.set_ylim(0, 1)
    return named(ax, "Demand, calibrated", price, "share")


def differences(
    shares: pd.DataFrame, by: str, margin: float | None, ax: Axes | None = None
) -> Axes:
    """LLM minus humans by price or alternative, with intervals, and the margin of equivalence.

    Parameters
    ----------
    shares : pandas.DataFrame
        With columns `by`, ``difference``, ``lower`` and ``upper``.
    by : str
        Prices or alternatives.
    margin : float or None
        Of equivalence.
    ax : matplotlib Axes, optional
        Where; new axes by default.
    """
    ax = new_axes(ax)
    x = shares[by].to_numpy()
    y = shares["difference"].to_numpy(np.float64)
    ends = np.abs(shares[["lower", "upper"]].to_numpy(np.float64).T - y)
    ax.errorbar(x, y, ends, fmt="o", color=COLOURS[1], capsize=3, label="LLM minus humans")
    ax.axhline(0, color="k", lw=0.8)
    if margin is not None:
        ax.axhspan(-margin, margin, color=COLOURS[2], alpha=0.12, lw=0, label="margin")
    return named(ax, "Discrepancy of shares", by, "difference of shares")


def respondents(
    curve: pd.DataFrame, best: Mix, alone: Mix, axis: str, goal: float, ax: Axes | None = None
) -> Axes:
    """Cost of the goal by the number of humans, with the cheapest mix and humans alone.

    Parameters
    ----------
    curve : pandas.DataFrame
        By ``humans``: ``cost`` and ``n_eff``.
    best, alone : Mix
        The cheapest mix, and humans alone.
    axis : str
        The column of `curve` that is drawn: ``cost``, or ``n_eff`` on a budget.
    goal : float
        Effective humans.
    ax : matplotlib Axes, optional
        Where; new axes by default.
    """
    ax = new_axes(ax)
    if len(curve):
        ax.plot(curve["humans"], curve[axis], color=COLOURS[0], lw=1.7, label="humans and LLM")
    for mix, colour, marker, label in (
        (best, COLOURS[0], "o", "best mix"),
        (alone, COLOURS[6], "s", "humans alone"),
    ):
        value = mix.cost if axis == "cost" else mix.n_eff
        ax.plot([mix.humans], [value], marker, ms=8, color=colour, label=f"{label}, {mix.humans:,}")
    y = "cost" if axis == "cost" else "effective humans"
    said = f"for {goal:,.0f} effective humans" if axis == "cost" else "for the budget"
    return named(ax, f"Whom to ask {said}", "humans", y)


def laws(table: pd.DataFrame, p: float, ax: Axes | None = None) -> Axes:
    """Belief by cell as humans and as further respondents: medians, quartiles, outer tenths.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `llmdemand.calibration.checks.laws.SameLaw`. Of more than 12 cells those with the
        largest gaps are drawn.
    p : float
        p-value of equal laws.
    ax : matplotlib Axes, optional
        Where; new axes by default.
    """
    ax = new_axes(ax)
    if len(table) > _CELLS:
        table = table.loc[table["largest_gap"].nlargest(_CELLS).index.sort_values()]
    for shift, side, colour, label in (
        (-0.13, "humans", COLOURS[6], "as the humans"),
        (0.13, "pool", COLOURS[1], "as further respondents"),
    ):
        for place, row in enumerate(table.to_dict("records")):
            x = [place + shift] * 2
            ax.plot(x, [row[f"{side}_0.1"], row[f"{side}_0.9"]], color=colour, lw=1)
            ax.plot(x, [row[f"{side}_0.25"], row[f"{side}_0.75"]], color=colour, lw=4, alpha=0.6)
            ax.plot(
                x[:1], [row[f"{side}_0.5"]], "o", color=colour, ms=6, mfc="w",
                label=label if place == 0 else None,
            )  # fmt: skip
    ax.set_xticks(range(len(table)), [str(c) for c in table.index])
    if len(table) > 4:
        ax.tick_params(axis="x", rotation=60)
    title = f"Beliefs of both sides (equal laws: p = {p:.2g})"
    return named(ax, title, "cell", "belief: median, quartiles, tenths")
