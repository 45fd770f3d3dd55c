"""The report's figures. Each function draws on `ax` or makes one, and returns it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.core.panel import Panel
from llmdemand.core.questionnaire.measure import CALLED
from llmdemand.core.shards.shards import sampled
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.inference.round_numbers import RoundNumberTest, round_number_test
from llmdemand.modeling.models.demand import Demand
from llmdemand.modeling.outcomes.frames import default_reading, demand_frame, outcomes
from llmdemand.reporting.figures import runplots, style
from llmdemand.reporting.figures.people import PEOPLE_FIGURES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from llmdemand.reporting.findings import Findings

__all__ = [
    "FIGURES",
    "available",
    "beliefs_by_price",
    "demand_curve",
    "elasticity_curve",
    "render",
    "round_prices",
    "save_figures",
]

_MANY = 2000  # points of a strip that are drawn one by one into an SVG; more are an image
_GRID = 81


def demand_curve(report: Findings, ax: Axes | None = None) -> Axes:
    """Share by price: cell means, fitted curves and 95 % bands of both outcomes."""
    ax, panel = style.new_axes(ax), _panel(report)
    for outcome in ("belief", "choice"):
        means, name = _means(report, outcome), _called(panel, outcome)
        colour, marker = style.COLOUR[outcome], style.MARKER[outcome]
        if len(means):
            # Hollow squares around full circles: both are seen where they agree.
            fill: dict[str, Any] = (
                {"mfc": "none", "mew": 1.4, "ms": 7} if outcome == "choice" else {"ms": 4.5}
            )
            ax.plot(
                means.index,
                means,
                marker,
                color=colour,
                label=f"{name}, mean of runs",
                zorder=3,
                **fill,
            )
        demand = getattr(report, outcome)
        if demand is None or demand.separated:
            continue
        curve = demand.demand_curve().table
        ax.plot(
            curve["price"],
            curve["estimate"],
            ls=style.DASH[outcome],
            color=colour,
            label=f"{name}, logit",
        )
        ax.fill_between(
            curve["price"], curve["lower"], curve["upper"], color=colour, alpha=0.18, lw=0
        )
    if not ax.lines:
        style.nothing(ax, "no usable run: there is nothing to draw")
    ax.set_ylim(-0.02, 1.02)
    return style.finish(
        ax, title="Demand, with 95 % bands", x=style.price_label(panel), y=_share(panel)
    )


def beliefs_by_price(report: Findings | Panel, ax: Axes | None = None) -> Axes:
    """Every run's belief by price, with its mean and the share of choices beside it.

    Parameters
    ----------
    report : Report or Panel
        What is drawn.
    ax : matplotlib Axes, optional
        Where; new axes by default.
    """
    ax, panel = style.new_axes(ax), _panel(report)
    frame, plain = _runs(report)
    called = _called(panel, "belief")
    title = f"{called.capitalize()} of every run, and choices"
    if frame.empty:
        style.nothing(ax, "no run with a belief: there is nothing to draw")
        return style.finish(ax, title=title, x=style.price_label(panel), y=_share(panel))
    prices = np.unique(frame["price"].to_numpy(float))
    gap = float(np.diff(prices).min()) if len(prices) > 1 else 1.0
    # Runs are spread evenly in their column, in the order in which they were made.
    place = frame.groupby("price").cumcount().to_numpy()
    beside = 0.5 * gap * (_spread(place) - 0.5) - 0.08 * gap
    ax.plot(
        frame["price"].to_numpy(float) + beside,
        frame["belief"],
        "o",
        color=style.COLOUR["belief"],
        ms=2.4,
        mew=0,
        alpha=0.35,
        rasterized=len(frame) > _MANY,
    )
    run = f"{called}, run" if plain else "corrected, run"
    ax.plot([], [], "o", color=style.COLOUR["belief"], ms=3, mew=0, alpha=0.6, label=run)
    _personas(ax, panel, frame)
    means, shares = _means(report, "belief"), _means(report, "choice")
    edge: dict[str, Any] = {"mec": "w", "mew": 0.7, "zorder": 4}
    dark = style.INK["belief"]
    ax.plot(means.index - 0.08 * gap, means, "D", color=dark, ms=6, label=f"{called}, mean", **edge)
    ax.plot(
        shares.index + 0.36 * gap,
        shares,
        style.MARKER["choice"],
        color=style.COLOUR["choice"],
        ms=5.5,
        label="choice, share",
        **edge,
    )
    # Corrected beliefs may leave [0, 1].
    ax.set_ylim(min(-0.02, frame["belief"].min() - 0.02), max(1.02, frame["belief"].max() + 0.02))
    return style.finish(ax, title=title, x=style.price_label(panel), y=_share(panel), columns=3)


_PERSONAS = 10  # whose means are drawn and named
_APART = 0.055  # between names, of the axis


def _personas(ax: Axes, panel: Panel, frame: pd.DataFrame) -> None:
    """The mean belief of each persona as a line with its name, where they are few."""
    who = panel.frame["persona_id"].reindex(frame.index).fillna("").astype(str)
    known = [p for p in who.unique() if p]
    if not 1 < len(known) <= _PERSONAS:
        return
    means = frame["belief"].groupby([who, frame["price"]]).mean().unstack(level=0)
    ends = means.ffill().iloc[-1].sort_values()
    place = -1.0
    for name in ends.index:
        ax.plot(means.index, means[name], color=style.INK["belief"], lw=0.7, alpha=0.6, zorder=2)
        place = max(float(ends[name]), place + _APART)
        ax.annotate(
            str(name),
            (float(means.index[-1]), place),
            xytext=(12, 0),
            textcoords="offset points",
            fontsize=10.5,
            va="center",
            color=style.INK["belief"],
            annotation_clip=False,
        )


def elasticity_curve(report: Findings | Demand, ax: Axes | None = None) -> Axes:
    """Own-price elasticity by price, with 95 % bands.

    Parameters
    ----------
    report : Report or Demand
        What is drawn; of a report the fits that exist.
    ax
        See `beliefs_by_price`.
    """
    ax = style.new_axes(ax)
    fits = _estimated(report)
    label = "price"
    for demand in fits:
        label = f"price of {demand.alternative} ({demand.unit})"
        grid = np.linspace(min(demand.prices), max(demand.prices), _GRID)
        table = demand.elasticity(grid).table
        colour = style.COLOUR[demand.outcome]
        ax.plot(
            grid,
            table["estimate"],
            ls=style.DASH[demand.outcome],
            color=colour,
            label=f"{demand.outcome}, 95 % band",
        )
        ax.fill_between(grid, table["lower"], table["upper"], color=colour, alpha=0.18, lw=0)
    if not fits:
        style.nothing(ax, "no estimate: there is nothing to draw")
    else:
        ax.axhline(-1, color=style.GUIDE, lw=0.9, zorder=1, label="-1, revenue peaks")
    if hasattr(report, "panel"):
        label = style.price_label(_panel(report))
    return style.finish(
        ax, title="Own-price elasticity", x=label, y="elasticity (% of share per % of price)"
    )


def round_prices(
    report: Findings | RoundNumberTest, ax: Axes | None = None, step: float | None = None
) -> Axes:
    """Whether belief ticks up at round prices: means, the smooth curve, and the upticks.

    Parameters
    ----------
    report : Report or RoundNumberTest
        What is drawn: of a report the test of its belief fit.
    ax
        See `beliefs_by_price`.
    step : float, optional
        Multiples of it are round; by default the finest of 1, 5, 10, 50, ... (and their
        tenths) that is coarser than the grid of prices.

    Notes
    -----
    See `llmdemand.modeling.inference.hypotheses.round_number_test` for the test.
    """
    ax = style.new_axes(ax)
    found = report if isinstance(report, RoundNumberTest) else _round_test(report, step)
    if found is None:
        return style.nothing(
            ax,
            "nothing to draw: a test of round prices needs an estimate, and prices of both kinds",
        )
    found.plot(ax)
    ax.set_ylim(-0.02, 1.02)
    p = found.test.pvalue
    return style.finish(
        ax,
        title=f"Round prices: {found.log_odds:+.2g} log-odds, p = {p:.2g}",
        x=style.price_label(_panel(report)) if hasattr(report, "panel") else found.price,
        y=f"share ({found.fit.outcome})",
        columns=2,
    )


#: Every figure by the name of its file: function, what it shows, whether the report has the parts.
FIGURES: dict[str, tuple[Callable[..., Any], str, Callable[[Any], bool]]] = {
    "demand": (
        demand_curve,
        "Share by price: means of runs and fitted demand of both outcomes.",
        lambda r: any(len(_means(r, o)) for o in ("belief", "choice")),
    ),
    "beliefs": (
        beliefs_by_price,
        "Belief of every run by price, its mean, and the share of choices beside it.",
        lambda r: not _runs(r)[0].empty,
    ),
    "elasticity": (
        elasticity_curve,
        "Own-price elasticity by price, with 95 % bands.",
        lambda r: bool(_estimated(r)),
    ),
    "precision": (
        partial(runplots.se_by_runs, outcome="belief"),
        "Uncertainty of price sensitivity from belief by runs per cell: three answers to three "
        "questions. Spread: how far estimates of other runs of the same prompts lie apart. Robust "
        "SE: what one fit says of itself, as if prompts had been drawn anew, too. Model's SE: as "
        "if every belief were a coin toss, which it is not.",
        lambda r: r.precision is not None,
    ),
    "precision-choice": (
        partial(runplots.se_by_runs, outcome="choice"),
        "The same from choice. With few runs there is often no estimate, and such draws are in no "
        "line: what is left are the lucky ones.",
        lambda r: r.precision is not None,
    ),
    "runs-needed": (
        runplots.within_by_runs,
        "Share of draws within the tolerance by runs per cell; rings mark the runs needed.",
        lambda r: getattr(r, "needed", None) is not None or r.precision is not None,
    ),
    "prediction": (
        runplots.score_by_runs,
        "How well held-out choices are predicted, by runs per cell, with two standard errors: 0 is "
        "a constant share, 1 the best function of price (log scores in nats: the table).",
        lambda r: getattr(r, "prediction", None) is not None,
    ),
    "calibration": (
        runplots.calibration,
        "Observed by predicted shares of held-out choices.",
        lambda r: getattr(r, "prediction", None) is not None and not r.prediction.calibration.empty,
    ),
    "round-prices": (
        round_prices,
        "Mean belief by price, with round prices marked.",
        lambda r: _round_test(r, None) is not None,
    ),
    **PEOPLE_FIGURES,
}


def available(report: Findings) -> tuple[str, ...]:
    """Names of the figures for which the report has the parts, in the order of `FIGURES`."""
    return tuple(name for name in FIGURES if FIGURES[name][2](report))


def save_figures(report: Findings, folder: Path) -> None:
    """Write every figure that is available as SVG and PNG."""
    style.write_figures(available(report), folder, partial(render, report))


def render(report: Findings, name: str, kind: str) -> bytes:
    """One figure as the bytes of an SVG or PNG file, the same in every run."""
    if (name, kind) not in report.kept:
        report.kept[name, kind] = style.image(FIGURES[name][0](report), name, kind)
    found: bytes = report.kept[name, kind]
    return found


def _panel(report: Any) -> Panel:
    """What is drawn: of shards a sample of their runs."""
    return sampled(getattr(report, "panel", report))


def _share(panel: Panel) -> str:
    return f"share of {panel.study.menu[panel.study.focal].label}"


def _estimated(report: Any) -> list[Demand]:
    """The fits of a report that have estimates, belief first."""
    fits = [report] if isinstance(report, Demand) else [report.belief, report.choice]
    return [d for d in fits if d is not None and not d.separated]


def _runs(report: Any) -> tuple[pd.DataFrame, bool]:
    """The rows with a belief that `fit_demand` takes, and whether it is that of the pivot."""
    panel = _panel(report)
    found = outcomes(panel, getattr(report, "reading", None) or default_reading(panel))
    frame = demand_frame(panel, found=found)
    return (frame if found.believed else frame.iloc[:0]), found.plain


def _means(report: Any, outcome: str) -> pd.Series[float]:
    """Mean outcome by price, of the rows that `fit_demand` takes by default."""
    panel = _panel(report)
    reading = getattr(report, "reading", None) or default_reading(panel)
    statuses = ("ok",)
    if outcome == "choice" and panel.usable.empty:
        statuses = ("no_logprobs",)
    found = outcomes(panel, reading, statuses=statuses)
    frame = demand_frame(panel, found=found).assign(read=found.read)
    if outcome == "choice":
        place = panel.study.menu.index(panel.study.focal)
        frame = frame.assign(choice=found.counted[:, place], read=found.counted.sum(axis=1))
    elif not found.believed:
        frame = frame.iloc[:0]
    sums = frame.groupby("price")[[outcome, "read"]].sum(min_count=1)
    return (sums[outcome] / sums["read"].where(sums["read"] > 0)).dropna()


def _called(panel: Panel, outcome: str) -> str:
    """What an outcome is called: that which is no model belief by its measure."""
    return CALLED.get(panel.study.measure, outcome) if outcome == "belief" else outcome


def _spread(place: Any) -> Any:
    """The sequence of van der Corput: any number of points, evenly over the unit interval.

    >>> _spread(np.arange(5))
    array([0.   , 0.5  , 0.25 , 0.75 , 0.125])
    """
    left, found, size = np.asarray(place, dtype=np.int64).copy(), np.zeros(len(place)), 0.5
    while left.any():
        found += size * (left % 2)
        left //= 2
        size /= 2
    return found


def _round_test(report: Any, step: float | None) -> RoundNumberTest | None:
    """The test of the belief fit at the step that suits the grid, or None without one."""
    demand = report.belief
    if demand is None or demand.separated or len(demand.prices) < 3:
        return None
    if step is None:
        gap = float(np.diff(demand.prices).min())
        steps = [d * 10.0**k for k in range(-4, 7) for d in (1, 5)]
        step = next((s for s in steps if s > gap * (1 + 1e-9)), None)
    if ("round prices", step) not in report.kept:
        try:
            test = None if step is None else round_number_test(demand, step)
        except (DesignError, UsageError):
            test = None  # no price is round, or the model does not read one column of prices
        report.kept["round prices", step] = test
    found: RoundNumberTest | None = report.kept["round prices", step]
    return found
