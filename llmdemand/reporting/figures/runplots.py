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
    "attainable": "share of the attainable\n(0: constant share, 1: best by price)",
    "log_score": "log score of a choice\n(mean log-likelihood, nats)",
    "brier": "Brier score of a choice\n(mean squared error)",
    "rmse": "RMSE of the demand curve\n(share)",
}


def se_by_runs(
    report: Findings | Precision, ax: Axes | None = None, outcome: str | None = None
) -> Axes:
    """Uncertainty of the price sensitivity by runs per cell, on log axes.

    Three kinds of it answer three questions. The *spread* is how far the estimates of draws
    really lie apart. The *robust standard error* (HC1) is what a fit of one draw says of itself
    on average. The *model's* (inverse information) takes every outcome for a coin toss: right for
    choices, far too large for beliefs. The grey line is ``sigma / sqrt(n)``, ``sigma`` the one-run
    standard error in the closed form. Draws without an estimate are in none of them.

    Parameters
    ----------
    report : Report or Precision
        What is drawn.
    ax : matplotlib Axes, optional
        Where; new axes by default.
    outcome : str, optional
        ``belief`` or ``choice``: all three kinds of one outcome. By default spread and robust
        standard error of both.
    """
    ax, found = style.new_axes(ax), _part(report, "precision")
    if found is None:
        return style.nothing(ax, "no precision: there is nothing to draw")
    table, seen, guided = found.table, [], False
    if outcome is not None:
        table = table[table["outcome"] == outcome]
    for name, part in table.groupby("outcome", sort=False):
        seen += _uncertainties(ax, part, str(name), outcome is not None)
        sigma = float(found.needed["sigma"].get(str(name), np.nan))
        if np.isfinite(sigma) and sigma > 0:
            ends = np.array([part["runs"].min(), part["runs"].max()], float)
            ax.plot(ends, sigma / np.sqrt(ends), color=style.GUIDE, lw=0.9, zorder=1)
            guided = True
    y = "SE of price sensitivity\n" + _per_unit(report)
    title = "Precision by runs" + ("" if outcome is None else f", {outcome}")
    if not seen:
        style.nothing(ax, "no spread: one draw is all there is, or nothing varies")
        return style.finish(ax, title=title, x="runs per cell", y=y)
    if guided:
        ax.plot([], [], color=style.GUIDE, lw=0.9, label="closed form")
    style.run_axis(ax, table["runs"])
    ax.set_yscale("log")
    style.decimal_axis(ax.yaxis, min(seen), max(seen))
    return style.finish(ax, title=title, x="runs per cell", y=y)


def _uncertainties(ax: Axes, part: pd.DataFrame, name: str, alone: bool) -> list[float]:
    """Lines of one outcome; the values drawn."""
    kinds: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("spread", "spread", {}),
        ("se_robust", "robust SE", {"ls": ":", "mfc": "w"}),
    )
    if alone:
        look = {"ls": "-.", "marker": "x", "color": style.GUIDE}
        kinds = (
            ("spread", "spread", {}),
            ("se_robust", "robust SE", {"ls": ":", "mfc": "w"}),
            ("se_model", "model's SE", look),
        )
    seen: list[float] = []
    for column, words, more in kinds:
        here = part[(part[column] > 0) & np.isfinite(part[column])]
        if here.empty:
            continue
        seen += here[column].tolist()
        label = words if alone else f"{name}, {words}"
        ax.plot(here["runs"], here[column], label=label, **style.line(name) | more)
    return seen


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
        word = f"{enough:.0f} run{'s' * (enough > 1)}"
        if not np.isfinite(enough):
            word = f"more than {found.pool - 1} runs"
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
    report: Findings | Prediction, ax: Axes | None = None, metric: str = "attainable"
) -> Axes:
    """A predictive score by runs, with two standard errors, and what is attainable.

    Parameters
    ----------
    report, ax
        See `se_by_runs`.
    metric : str
        ``attainable``: the log score as a share of the way from that of a constant share to that
        of the best function of price; ``log_score`` (nats), ``brier`` or ``rmse``.
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
        error = 2 * _error(part, found, metric)
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


def _error(part: pd.DataFrame, found: Prediction, metric: str) -> pd.Series[float]:
    """Monte Carlo standard errors; those of a share are those of the score, to its scale."""
    if metric != "attainable":
        return part[f"{metric}_se"].fillna(0.0)
    return part["log_score_se"].fillna(0.0) / _scale(found)


def _scale(found: Prediction) -> float:
    return float(found.best["log_score"] - found.best["constant"])


def _limit(ax: Axes, found: Prediction, metric: str) -> None:
    """The best that any function of price could reach."""
    if metric == "rmse":
        # What is held out shrinks as more runs are fitted, and its noise grows.
        floor = found.table[found.table["outcome"] == "belief"]
        ax.plot(floor["runs"], floor["rmse_floor"], color=style.GUIDE, lw=1.1, label="attainable")
    elif metric == "attainable":
        ax.axhline(1.0, color=style.GUIDE, lw=1.1, zorder=1, label="attainable")
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
