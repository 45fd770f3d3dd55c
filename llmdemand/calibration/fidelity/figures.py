"""Figures of what is compared beyond the mean; each says that it is heuristic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.figures import COLOUR, named, new_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from llmdemand.modeling.arrays import Array

__all__ = [
    "counts",
    "held_out",
    "individuals",
    "specifications",
    "spread",
    "subgroups",
    "transported",
]


def _whiskers(ax: Axes, names: list[str], value: Array, lower: Array, upper: Array) -> None:
    """A row each, top to bottom, with intervals."""
    at = np.arange(len(names))
    for place in at:
        if np.isfinite([lower[place], upper[place]]).all():
            ax.plot([lower[place], upper[place]], [place] * 2, color=COLOUR["LLM only"], lw=1.8)
    ax.plot(value, at, "o", color=COLOUR["LLM only"], ms=7)
    ax.set_yticks(at, names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.locator_params(axis="x", nbins=5)


def spread(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Ratios of spread, LLM over humans."""
    ax = new_axes(ax)
    columns = ("ratio", "ratio_lower", "ratio_upper")
    names = [str(n).replace(" between", "\nbetween").replace(" of ", "\nof ") for n in table.index]
    names = [n.replace(" correlation", "\ncorrelation") for n in names]
    _whiskers(ax, names, *(table[c].to_numpy(np.float64) for c in columns))
    ax.axvline(1, color=COLOUR["humans only"], lw=1.2, ls=":", label="humans")
    return named(ax, "How respondents differ (heuristic)", "LLM over humans", "")


def counts(table: pd.DataFrame, what: str, ax: Axes | None = None) -> Axes:
    """Share of respondents by number of yeses, humans and LLM, with intervals of the difference."""
    ax = new_axes(ax)
    x, own = table.index.to_numpy(np.float64), table["humans"].to_numpy(np.float64)
    ax.bar(x - 0.19, own, 0.36, color=COLOUR["humans only"], alpha=0.7, label="humans")
    ends = np.abs(table[["lower", "upper"]].to_numpy(np.float64) - table[["difference"]].to_numpy())
    ax.bar(
        x + 0.19, table["llm"], 0.36, yerr=ends.T, capsize=3, color=COLOUR["LLM only"], alpha=0.7,
        label="LLM (interval: of the difference)",
    )  # fmt: skip
    ax.set_xticks(x, [f"{v:g}" for v in x])
    title = "Respondents by number (heuristic)"
    return named(ax, title, what, "share of respondents")


def subgroups(table: pd.DataFrame, what: str, ax: Axes | None = None) -> Axes:
    """LLM minus humans by group."""
    ax = new_axes(ax)
    names = [f"{g}\n({n:,} humans)" for g, n in zip(table.index, table["n_humans"], strict=True)]
    columns = ("difference", "lower", "upper")
    _whiskers(ax, names, *(table[c].to_numpy(np.float64) for c in columns))
    ax.axvline(0, color=COLOUR["humans only"], lw=1.2, ls=":", label="humans")
    return named(ax, "Subgroups (heuristic)", f"LLM minus humans, {what}", "")


def individuals(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What belief knows of the person: measures that are 0 for a belief that knows nobody."""
    ax = new_axes(ax)
    shown = table[(table["reference"] == 0) & np.isfinite(table["estimate"])]
    shown = shown.drop("kappa", errors="ignore")
    names = [str(n).replace(" within", "\nwithin").replace(", ", ",\n") for n in shown.index]
    names = [n.replace(" per task", "\nper task") for n in names]
    columns = ("estimate", "lower", "upper")
    _whiskers(ax, names, *(shown[c].to_numpy(np.float64) for c in columns))
    ax.axvline(0, color=COLOUR["humans only"], lw=1.2, ls=":", label="knows nobody")
    return named(ax, "Person by person (heuristic)", "LLM's belief against that answer", "")


def held_out(prices: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Humans' shares by price, and what is said of each without those humans."""
    ax = new_axes(ax)
    colours = (COLOUR["LLM only"], COLOUR["calibrated"], COLOUR["naive pooling"])
    if prices.index.dtype.kind not in "iuf":
        for name, colour, mark in zip(prices.columns[1:], colours, "s^v", strict=True):
            said = prices[name]
            ax.plot(prices["humans"], said, mark, ms=5, mfc="w", color=colour, label=name)
        top = 1.05 * float(prices.to_numpy().max())
        ax.plot([0, top], [0, top], color=COLOUR["humans only"], lw=1.2, ls=":", label="humans")
        title = "Products held out (heuristic)"
        return named(ax, title, "share of humans", "share that is predicted")
    x = prices.index.to_numpy(np.float64)
    ax.plot(x, prices["humans"], "o", ms=7, color=COLOUR["humans only"], label="humans")
    for name, colour, mark in zip(prices.columns[1:], colours, "s^v", strict=True):
        ax.plot(x, prices[name], f"{mark}:", ms=6, mfc="w", color=colour, label=name)
    ax.set_ylim(0, 1)
    return named(ax, "Prices held out (heuristic)", "price", "share", 1)


def specifications(
    table: pd.DataFrame,
    humans: tuple[float, float] | None,
    term: str,
    alpha: float,
    ax: Axes | None = None,
) -> Axes:
    """Estimates of all specifications in order, with intervals, and the humans' band."""
    from scipy import stats

    ax = new_axes(ax)
    at = np.arange(1, len(table) + 1)
    columns = ("estimate", "lower", "upper")
    value, lower, upper = (table[c].to_numpy(np.float64) for c in columns)
    ends = np.array([value - lower, upper - value])
    ax.errorbar(at, value, ends, fmt="o", ms=4, color=COLOUR["LLM only"], label="LLM")
    if humans is not None:
        half = float(stats.norm.ppf(1 - alpha / 2)) * humans[1]
        band = (humans[0] - half, humans[0] + half)
        ax.axhspan(*band, color=COLOUR["humans only"], alpha=0.15, lw=0, label="humans")
    ax.axhline(0, color="k", lw=0.8)
    title = "Every specification (heuristic)"
    return named(ax, title, "specification, by estimate", f"coefficient of {term}")


def transported(table: pd.DataFrame, by: str, delta: float, ax: Axes | None = None) -> Axes:
    """Shares with intervals; where no human was asked, what they are within the bound."""
    ax = new_axes(ax)
    labels = [str(v) if isinstance(v, str) else f"{v:g}" for v in table.index]
    number = table.index.dtype.kind in "iuf"
    x = table.index.to_numpy(np.float64) if number else np.arange(len(table))
    value, own = table["share"].to_numpy(np.float64), table["answers"].to_numpy() > 0
    for mask, colour, label in (
        (own, COLOUR["humans only"], "humans"),
        (~own, COLOUR["calibrated"], "transported, by assumption"),
    ):
        ends = np.abs(table[["lower", "upper"]].to_numpy(np.float64).T - value)[:, mask]
        ax.errorbar(x[mask], value[mask], ends, fmt="o", capsize=3, color=colour, label=label)
    low, high = (table[f"bound_{e}"].to_numpy(np.float64)[~own] for e in ("lower", "upper"))
    said = f"error off by ±{delta:.2g} log-odds"
    ax.vlines(x[~own], low, high, color=COLOUR["calibrated"], lw=9, alpha=0.2, label=said)
    ax.plot(x, table["llm"], "s", ms=5, mfc="w", color=COLOUR["LLM only"], label="LLM")
    ax.set_xticks(x, labels)
    ax.set_ylim(0, 1)
    return named(ax, f"Where no human was asked, by {by}", by, "share", 1)
