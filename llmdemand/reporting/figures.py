"""The report's figures. Each function draws on `ax` or makes one, and returns it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.modeling.demand import demand_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llmdemand.reporting.compare import Report

__all__ = ["FIGURES", "demand_curve", "render", "save_figures", "se_by_runs", "within_by_runs"]

# Okabe-Ito blue and vermilion: told apart with any colour vision, and by marker.
_COLOUR = {"belief": "#0072B2", "choice": "#D55E00"}
_MARKER = {"belief": "o", "choice": "s"}


def demand_curve(report: Report, ax: Axes | None = None) -> Axes:
    """Share by price: cell means, fitted curves and 95 % bands of both outcomes."""
    ax = _axes(ax)
    panel = report.panel
    frame = demand_frame(panel)
    for demand in report.demands:
        colour = _COLOUR[demand.outcome]
        means = frame.groupby("price")[demand.outcome].mean()
        ax.plot(
            means.index,
            means,
            _MARKER[demand.outcome],
            color=colour,
            ms=5,
            alpha=0.8,
            label=f"{demand.outcome}, mean of runs",
        )
        if demand.separated:
            continue
        curve = demand.demand_curve().table
        ax.plot(curve["price"], curve["estimate"], color=colour, label=f"{demand.outcome}, logit")
        ax.fill_between(
            curve["price"], curve["lower"], curve["upper"], color=colour, alpha=0.15, lw=0
        )
    ax.set(
        xlabel=f"price of {panel.study.menu[panel.study.focal].label} ({panel.study.unit})",
        ylabel="share",
        title="Demand, with 95 % bands",
        ylim=(0, 1),
    )
    ax.legend(frameon=False, fontsize=8)
    return ax


def se_by_runs(report: Report, ax: Axes | None = None) -> Axes:
    """Spread of the price sensitivity over draws, by runs per cell, on log axes."""
    ax = _axes(ax)
    table = report.precision.table
    for outcome, part in table.groupby("outcome"):
        part = part[part["spread"] > 0]
        colour, marker = _COLOUR[str(outcome)], _MARKER[str(outcome)]
        ax.plot(
            part["runs"], part["spread"], marker + "-", color=colour, label=f"{outcome}, spread"
        )
        ax.plot(
            part["runs"],
            part["se_robust"],
            marker + ":",
            color=colour,
            mfc="none",
            label=f"{outcome}, robust SE",
        )
    ax.set(
        xlabel="runs per cell",
        ylabel=f"SE of price sensitivity (per {report.panel.study.unit})",
        title="Precision by runs",
    )
    if (table["spread"] > 0).any():
        ax.set(xscale="log", yscale="log")
        ticks = sorted(table["runs"].unique())
        ax.set_xticks(ticks, [f"{t}" for t in ticks])
        ax.minorticks_off()
        ax.legend(frameon=False, fontsize=8)
    else:
        ax.text(
            0.5, 0.5, "no spread: one draw is all there is", ha="center", transform=ax.transAxes
        )
    return ax


def within_by_runs(report: Report, ax: Axes | None = None) -> Axes:
    """Probability of an estimate within the tolerance, by runs, with both crossings."""
    ax = _axes(ax)
    found = report.precision
    for outcome, part in found.reach.groupby("outcome"):
        colour = _COLOUR[str(outcome)]
        ax.plot(
            part["runs"],
            part["within"],
            color=colour,
            marker=_MARKER[str(outcome)],
            ms=3,
            lw=1.2,
            label=str(outcome),
        )
        enough = float(found.needed["runs"].loc[str(outcome)])
        if np.isfinite(enough):
            ax.axvline(enough, color=colour, lw=0.8, ls=":")
            ax.annotate(
                f"{enough:.0f} runs",
                (enough, 0.03),
                color=colour,
                fontsize=9,
                xytext=(3, 0),
                textcoords="offset points",
            )
    ax.axhline(found.confidence, color="0.5", lw=0.8)
    ax.set(
        xlabel="runs per cell",
        ylabel=f"share of draws within {100 * found.tolerance:g} % of the pool",
        title=f"Runs needed for {100 * found.tolerance:g} % at {100 * found.confidence:g} %",
        ylim=(0, 1.02),
    )
    most = int(found.reach["runs"].max()) if len(found.reach) else 1
    if most > 20:
        ax.set_xscale("log")
    ticks = [t for t in (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500, 1000) if t <= max(most, 5)]
    shown = [t for t in ticks if most <= 20 or t not in (3, 4)]
    ax.set_xticks(shown, [f"{t}" for t in shown])
    ax.minorticks_off()
    if len(found.reach):
        ax.legend(frameon=False, fontsize=8, loc="center right")
    else:
        ax.text(0.5, 0.5, "one run per cell: nothing to draw", ha="center", transform=ax.transAxes)
    return ax


#: File name, function and what it shows, for every figure of the report.
FIGURES = {
    "demand": (demand_curve, "Share by price: means of runs and fitted demand of both outcomes."),
    "precision": (se_by_runs, "Standard error of price sensitivity by runs per cell."),
    "runs-needed": (within_by_runs, "Share of draws within the tolerance by runs per cell."),
}


def save_figures(report: Report, folder: Path) -> None:
    """Write every figure as SVG and PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FIGURES:
        for kind in ("svg", "png"):
            (folder / f"{name}.{kind}").write_bytes(render(report, name, kind))


def render(report: Report, name: str, kind: str) -> bytes:
    """One figure as the bytes of an SVG or PNG file, the same in every run."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure = FIGURES[name][0](report).get_figure(root=True)
        assert figure is not None  # the functions above have just made it
        dated = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=150, metadata=dated)
    return buffer.getvalue()


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    # A bare Figure needs no display and leaves pyplot's state alone.
    from matplotlib.figure import Figure

    axes = Figure(figsize=(6.0, 4.0), layout="constrained").subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, lw=0.5)
    return axes
