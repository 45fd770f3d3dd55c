"""Figures over the number of runs: precision, runs needed, predictive score, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.reporting.figures import style
from llmdemand.reporting.measures.precision import Precision
from llmdemand.reporting.measures.targets import Target

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from llmdemand.reporting.findings import Findings
    from llmdemand.reporting.measures.needed import RunsNeeded
    from llmdemand.reporting.measures.prediction import Prediction

__all__ = ["calibration", "score_by_runs", "se_by_runs", "within_by_runs"]

# What is good of a score, and the words for it.
_METRIC = {
    "log_score": "log score of a choice\n(mean log-likelihood, nats)",
    "brier": "Brier score of a choice\n(mean squared error)",
    "rmse": "RMSE of the demand curve\n(share)",
}


def se_by_runs(report: Findings | Precision, ax: Axes | None = None) -> Axes:
    """Standard error of the price sensitivity by runs per cell, on log axes.

    Full markers are the spread of the estimates over draws, hollow ones the mean robust
    standard error that a fit reports; the grey lines are ``sigma / sqrt(n)``, ``sigma`` the
    one-run standard error in the closed form. Draws without an estimate are in none of them.

    Parameters
    ----------
    report : Report or Precision
        What is drawn.
    ax : matplotlib Axes, optional
        Where; new axes by default.
    """
    ax, found = style.new_axes(ax), _part(report, "precision")
    if found is None:
        return style.nothing(ax, "no precision: there is nothing to draw")
    table, seen, guided = found.table, [], False
    for outcome, part in table.groupby("outcome", sort=False):
        name = str(outcome)
        for column, words in (("spread", "spread"), ("se_robust", "robust SE")):
            here = part[(part[column] > 0) & np.isfinite(part[column])]
            if here.empty:
                continue
            seen += here[column].tolist()
            look = style.line(name) | ({} if column == "spread" else {"ls": ":", "mfc": "w"})
            ax.plot(here["runs"], here[column], label=f"{name}, {words}", **look)
        sigma = float(found.needed["sigma"].get(name, np.nan))
        if np.isfinite(sigma) and sigma > 0:
            ends = np.array([part["runs"].min(), part["runs"].max()], float)
            ax.plot(ends, sigma / np.sqrt(ends), color=style.GUIDE, lw=0.9, zorder=1)
            guided = True
    y = "SE of price sensitivity\n" + _per_unit(report)
    if not seen:
        style.nothing(ax, "no spread: one draw is all there is")
        return style.finish(ax, title="Precision by runs", x="runs per cell", y=y)
    if guided:
        ax.plot([], [], color=style.GUIDE, lw=0.9, label="one-run SE / √n, closed form")
    style.run_axis(ax, table["runs"])
    ax.set_yscale("log")
    style.decimal_axis(ax.yaxis, min(seen), max(seen))
    return style.finish(ax, title="Precision by runs", x="runs per cell", y=y)


def within_by_runs(report: Findings | RunsNeeded | Precision, ax: Axes | None = None) -> Axes:
    """Probability of an estimate within the tolerance, by runs, with both crossings marked.

    Parameters
    ----------
    report : Report, RunsNeeded or Precision
        What is drawn; of a report the runs needed, else its precision.
    ax : matplotlib Axes, optional
        Where; new axes by default.
    """
    ax = style.new_axes(ax)
    found = _part(report, "needed") or _part(report, "precision")
    if found is None:
        return style.nothing(ax, "no runs needed: there is nothing to draw")
    simple = isinstance(found, Precision)
    table, aims = (found.needed, found.target) if simple else (found.table, found.values)
    target = Target("price").label if simple else Target(found.target, found.at).label
    reach, confidence = found.reach, found.confidence
    for place, (outcome, part) in enumerate(reach.groupby("outcome", sort=False)):
        name, enough = str(outcome), float(table["runs"].get(outcome, np.nan))
        word = f"{enough:.0f} runs" if np.isfinite(enough) else f"more than {found.pool - 1} runs"
        if np.isnan(aims[name]):
            word = "no estimate to reach"
        ax.plot(
            part["runs"],
            part["within"],
            color=style.COLOUR[name],
            ls=style.DASH[name],
            lw=1.6,
            label=f"{name}, {word}",
        )
        if np.isfinite(enough):
            _mark_crossing(ax, part, enough, name, word, 0.04 + 0.09 * place)
    ax.axhline(confidence, color=style.GUIDE, lw=0.9, zorder=1)
    ax.set_ylim(0, 1.03)
    if reach.empty:
        style.nothing(ax, "one run per cell: there is nothing to draw")
    else:
        style.run_axis(ax, reach["runs"])
        ticks = [t for t in (0, 0.2, 0.4, 0.6, 0.8, 1.0) if abs(t - confidence) > 0.07]
        ax.set_yticks(sorted([*ticks, confidence]))
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    return style.finish(
        ax,
        title=f"Runs needed for {100 * found.tolerance:g} % at {100 * confidence:g} %",
        x="runs per cell",
        y=f"share of draws whose {target}\nis within {100 * found.tolerance:g} % of the pool's",
    )


def _mark_crossing(
    ax: Axes, part: pd.DataFrame, runs: float, name: str, word: str, height: float
) -> None:
    """A ring where the curve reaches the confidence, a line down, and the number beside it."""
    at = part.loc[part["runs"] == runs, "within"]
    ink = style.INK[name]
    if len(at):
        ax.plot([runs], [float(at.iloc[0])], "o", ms=10, mfc="none", mec=ink, mew=1.6, zorder=4)
    ax.axvline(runs, color=style.COLOUR[name], lw=0.9, ls=":", zorder=1)
    low, high = np.log(part["runs"].min()), np.log(max(part["runs"].max(), 2))
    right = (np.log(runs) - low) / max(high - low, 1e-9) > 0.6
    ax.annotate(
        word,
        (runs, height),
        color=ink,
        fontsize=10.5,
        ha="right" if right else "left",
        xytext=(-4 if right else 4, 0),
        textcoords="offset points",
        bbox={"boxstyle": "square,pad=0.1", "fc": "w", "ec": "none"},
    )


def score_by_runs(
    report: Findings | Prediction, ax: Axes | None = None, metric: str = "log_score"
) -> Axes:
    """A predictive score by runs, with two standard errors, and what is attainable.

    Parameters
    ----------
    report, ax
        See `se_by_runs`.
    metric : str
        ``log_score``, ``brier`` or ``rmse``.
    """
    ax, found = style.new_axes(ax), _part(report, "prediction")
    if found is None:
        return style.nothing(ax, "no prediction: there is nothing to draw")
    for place, (outcome, part) in enumerate(found.table.groupby("outcome", sort=False)):
        name = str(outcome)
        part = part[np.isfinite(part[metric])]
        if part.empty:
            ax.plot([], [], label=f"{name}, no estimate", **style.line(name))
            continue
        beside = part["runs"] * 1.03 ** (place - 1)  # bars of equal scores stay apart
        error = 2 * part[f"{metric}_se"].fillna(0.0)
        ax.errorbar(beside, part[metric], error, label=name, lw=1.4, capsize=2, **style.line(name))
        some = part["fitted"] < 1
        if some.any():
            hollow = style.line(name) | {"ls": "none", "mfc": "w", "zorder": 4}
            ax.plot(beside[some], part[metric][some], **hollow)
    _limit(ax, found, metric)
    if (found.table["fitted"] < 1).any():
        empty: dict[str, Any] = {
            "marker": "s",
            "mfc": "w",
            "mec": style.GUIDE,
            "ls": "none",
            "ms": 5,
        }
        ax.plot([], [], label="not all draws", **empty)
    style.run_axis(ax, found.table["runs"])
    title = "Error of the demand curve" if metric == "rmse" else f"Prediction of {found.scored_on}"
    return style.finish(ax, title=title, x="runs per cell", y=_METRIC[metric], columns=3)


def _limit(ax: Axes, found: Prediction, metric: str) -> None:
    """The best that any function of price could reach."""
    if metric == "rmse":
        # What is held out shrinks as more runs are fitted, and its noise grows.
        floor = found.table[found.table["outcome"] == "belief"]
        ax.plot(floor["runs"], floor["rmse_floor"], color=style.GUIDE, lw=1.1, label="attainable")
    elif np.isfinite(best := float(found.best.get(metric, np.nan))):
        ax.axhline(best, color=style.GUIDE, lw=1.1, zorder=1, label="attainable")


def calibration(
    report: Findings | Prediction, ax: Axes | None = None, runs: int | None = None
) -> Axes:
    """Observed shares by predicted shares of held-out choices; on the diagonal both agree.

    Parameters
    ----------
    report, ax
        See `se_by_runs`.
    runs : int, optional
        Runs per cell that were fitted; the fewest by default.
    """
    ax, found = style.new_axes(ax), _part(report, "prediction")
    if found is None or found.calibration.empty:
        return style.nothing(ax, "no prediction: there is nothing to draw")
    fewest = int(found.calibration["runs"].min()) if runs is None else runs
    table = found.calibration[found.calibration["runs"] == fewest]
    ax.plot([0, 1], [0, 1], color=style.GUIDE, lw=0.9, zorder=1)
    for outcome, part in table.groupby("outcome", sort=False):
        name = str(outcome)
        part = part[part["n"] > 0].sort_values("predicted")
        ax.plot(part["predicted"], part["observed"], label=name, lw=1.2, **style.line(name))
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return style.finish(
        ax,
        title=f"Calibration, fitted to {fewest} run{'s' if fewest > 1 else ''} per cell",
        x="predicted share",
        y=f"observed share\n({found.scored_on})",
        columns=3,
    )


def _part(report: Any, name: str) -> Any:
    """A part of a report, or the part itself where that was given."""
    return getattr(report, name, None) if hasattr(report, "panel") else report


def _per_unit(report: Any) -> str:
    panel = getattr(report, "panel", None)
    return "(log-odds per unit of price)" if panel is None else f"(log-odds / {_unit(panel)})"


def _unit(panel: Any) -> str:
    unit = str(panel.study.unit)
    return f"({unit})" if " " in unit else unit
