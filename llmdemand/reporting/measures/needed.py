"""How many runs belief and choice need for an answer of a given accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmdemand.core.line import OneLine
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import UsageError
from llmdemand.modeling.batch.batch import BatchFit
from llmdemand.modeling.likelihood.cells import sigmoid
from llmdemand.modeling.outcomes.frames import WHOSE, Reading
from llmdemand.reporting.measures.costs import RunCost, run_cost
from llmdemand.reporting.measures.draws import OUTCOMES, Draws, Pool, draw
from llmdemand.reporting.measures.targets import Target

__all__ = ["RunsNeeded", "check_goal", "needed_of", "reach_of", "runs_needed"]

Array = NDArray[np.float64]

# A closed form beyond so many times the pool is too far off for a price.
_FAR = 20


@dataclass(frozen=True, repr=False)
class RunsNeeded(OneLine):
    """Runs per cell with which an estimate comes close enough, often enough.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per outcome: ``runs`` (smallest number that reaches the confidence in draws
        from the pool; NaN if the pool is too small), ``lowest`` and ``highest`` (those that
        remain possible within two Monte Carlo standard errors), ``closed_form``, ``sigma``
        (the one-run standard error of the target in the closed form).
    ratio : float
        Choice runs per belief run, by the draws; NaN if one of them is unknown.
    reach : pandas.DataFrame
        ``outcome, runs, within``: the share of draws that come close enough.
    target : str
        ``price``, ``elasticity``, ``wtp`` or ``share``.
    at : float or None
        The price at which; None for ``price`` and ``wtp``.
    values : pandas.Series
        The target in the whole pool, by outcome.
    tolerance, confidence : float
        Within ``tolerance * |value|`` with probability `confidence`.
    pool : int
        Runs per cell of the pool.
    replications : int
        Draws.
    cost : pandas.DataFrame or None
        One row per outcome: ``runs, answers, tokens, usd`` of that many runs in all cells, at
        the panel's own tokens per run, and ``source`` of the runs (``draws``; ``closed form``
        where the pool is too small; ``unknown`` where that is over 20 times the pool). None
        when the panel counts no tokens; dollars are NaN where prices are unknown.
    reading : str
        ``final`` or ``pivot``: whose choice it is.
    notes : tuple of str
        What the reader has to know of answers that were stopped.
    """

    table: pd.DataFrame
    ratio: float
    reach: pd.DataFrame
    target: str
    at: float | None
    values: pd.Series[float]
    tolerance: float
    confidence: float
    pool: int
    replications: int
    cost: pd.DataFrame | None = None
    reading: Reading = "pivot"
    notes: tuple[str, ...] = ()

    @property
    def ratio_closed_form(self) -> float:
        """Choice runs per belief run by the closed form, before rounding up: sigma and target."""
        relative = (self.table["sigma"] / self.values.abs()).to_dict()
        return float((relative["choice"] / relative["belief"]) ** 2)

    @property
    def ratio_range(self) -> tuple[float, float]:
        """The ratios that Monte Carlo error leaves open; NaN where an end is unknown."""
        low, high = self.table["lowest"].to_dict(), self.table["highest"].to_dict()
        return float(low["choice"] / high["belief"]), float(high["choice"] / low["belief"])

    @property
    def saved(self) -> pd.Series[float] | None:
        """Answers, tokens and dollars that belief saves; None where tokens are not counted."""
        if self.cost is None:
            return None
        by = self.cost[["answers", "tokens", "usd"]].to_dict("index")
        return pd.Series({k: float(v - by["belief"][k]) for k, v in by["choice"].items()})

    def summary(self) -> str:
        """The numbers in sentences."""
        label = Target(self.target, self.at).label
        lines = [
            f"Runs per cell until the {label} lies within {100 * self.tolerance:g} % of the "
            f"pool's ({self.pool} runs per cell) with probability {100 * self.confidence:g} %, of "
            f"{WHOSE[self.reading]}"
        ]
        for outcome, row in self.table.iterrows():
            own = self.reading in ("stated", "similarity") and math.isnan(self.values[str(outcome)])
            lines.append(f"  {outcome:<6}  {'no choices' if own else _runs(row, self.pool)}")
        low, high = self.ratio_range
        if not math.isnan(self.ratio):
            ends = " to ".join("?" if math.isnan(r) else f"{r:.3g}" for r in (low, high))
            lines.append(
                f"Choice needs {self.ratio:.3g} times the runs of belief ({ends} within Monte "
                f"Carlo error; closed form {self.ratio_closed_form:.3g})."
            )
        elif not math.isnan(self.ratio_closed_form):
            lines.append(
                f"By the closed form choice needs {self.ratio_closed_form:.3g} times the runs of "
                "belief."
            )
        if self.cost is not None:
            lines += [_price_of(str(o), row) for o, row in self.cost.iterrows()]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return str(self.table.to_html())


def runs_needed(
    panel: AnyPanel,
    tolerance: float = 0.10,
    confidence: float = 0.95,
    target: str = "price",
    at: float | None = None,
    replications: int = 1000,
    seed: int = 1,
    progress: Callable[[float], None] | None = None,
    *,
    reading: Reading | None = None,
    prices: Sequence[float] | None = None,
    draws: Draws | None = None,
) -> RunsNeeded:
    """Find the number of runs per cell with which an estimate comes within a tolerance.

    Parameters
    ----------
    panel : Panel or PanelShards
        The pool, R runs per cell; of shards a sample, see `llmdemand.core.shards.sample`.
    tolerance, confidence : float
        Within ``tolerance`` times the size of the pool's own value, with this probability.
    target : str
        ``price`` (the coefficient), ``elasticity`` and ``share`` (at a price), or ``wtp`` (the
        indifference price).
    at : float, optional
        The price of ``elasticity`` and ``share``; the middle of the price grid by default.
    replications, seed, progress
        Draws of runs, their seed, and a function that is told the share done.
    reading : str, optional
        ``final``: corrected belief and the choice of the whole answer; ``pivot``: both at the
        pivot. By default as `llmdemand.fit_demand`.
    prices : pair of float, optional
        US dollars per million tokens read and written. By default those in the panel's
        provenance, else the list prices of its model where there are any.
    draws : Draws, optional
        Those of ``precision(panel, ...).draws``, which are then not drawn again;
        `replications`, `seed` and `reading` are theirs.

    Returns
    -------
    RunsNeeded

    Raises
    ------
    DesignError
        If the pool has one price, no usable runs, or belief is separated in it.
    UsageError
        For impossible arguments.

    Notes
    -----
    Empirically: of the pool's R runs n are drawn without replacement, for both outcomes the
    same; n is enough if ``|g_n - g_R| / sqrt(1 - n/R) <= tolerance |g_R|`` in a share
    `confidence` of the draws. The root corrects for the runs that draw and pool share. Draws
    without an estimate are misses.

    In closed form: ``n = (z sigma / (tolerance |g|))^2``, rounded up, with z the normal
    quantile and ``sigma^2 = h' A^-1 M A^-1 h`` of one run per cell, h the gradient of the
    target (delta method), ``A = sum_c x_c x_c' mu_c (1 - mu_c)`` and ``M = sum_c x_c x_c' v_c``
    over the cells, v_c the variance of the outcome between the runs of a cell.

    Where answers were stopped at their pivot, a run is one of this panel's kind, for choice as
    for belief: only some of them are whole. The draws learn what corrects belief from their own
    runs; the closed form takes it as learnt from the pool, and is a little low for few runs.

    A pool is itself a sample, so that the needed number has a sampling error of its own: that
    of sigma^2, and twice the relative error of the pool's estimate. `lowest` and `highest` are
    about the draws alone and do not include it.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=40, seed=1)
    >>> found = runs_needed(panel, target="elasticity", at=35, replications=200)
    >>> bool(found.table.loc["belief", "runs"] <= 10)
    True
    >>> bool(found.ratio_closed_form > 10)
    True
    """
    check_goal(tolerance, confidence)
    cost = run_cost(panel, prices)
    if draws is None:
        draws = draw(
            panel, reading=reading, replications=replications, seed=seed, progress=progress
        )
    asked = Target.of(target, at, draws.pool.price)
    found = needed_of(draws, asked, tolerance, confidence)
    # To have n readable runs, more have to be asked where some cannot be read.
    asked_for = len(draws.pool.asked) / draws.pool.readable
    return replace(found, cost=_costs(found.table, asked_for, draws.pool.runs, cost))


def check_goal(tolerance: float, confidence: float) -> None:
    """Raise UsageError for a tolerance or confidence that nothing can have."""
    if not (0 < confidence < 1 and 0 < tolerance < math.inf):
        raise UsageError(
            f"tolerance={tolerance}, confidence={confidence}: tolerance and confidence must be "
            "positive, the last below 1"
        )


def needed_of(draws: Draws, target: Target, tolerance: float, confidence: float) -> RunsNeeded:
    """Runs needed, by draws that are there; without cost."""
    reach = reach_of(draws, target, tolerance)
    rows, values = {}, {}
    for outcome in OUTCOMES:
        whole = draws.whole[outcome]
        values[outcome] = float(target.value(whole.const[0], whole.slope[0]))
        rows[outcome] = _empirical(
            reach[reach["outcome"] == outcome], draws.replications, confidence
        ) | _closed_form(draws.pool, outcome, whole, target, tolerance, confidence)
    table = pd.DataFrame(rows).T.rename_axis("outcome")
    runs = {o: rows[o]["runs"] for o in OUTCOMES}
    return RunsNeeded(
        table=table,
        ratio=runs["choice"] / runs["belief"],
        reach=reach,
        target=target.name,
        at=target.at,
        values=pd.Series(values, name=target.name).rename_axis("outcome"),
        tolerance=tolerance,
        confidence=confidence,
        pool=draws.pool.runs,
        replications=draws.replications,
        reading=draws.pool.reading,
        notes=(*_unread(draws.pool), *_lacking(draws.pool), *draws.pool.notes),
    )


def _unread(pool: Pool) -> tuple[str, ...]:
    """That runs are readable ones, where some are not."""
    if pool.readable == 1:
        return ()
    return (
        f"runs are runs that can be read; {100 * (1 - pool.readable):.2g} % of this panel's "
        f"cannot, so {pool.readable**-1:.3g} times as many have to be asked",
    )


def _lacking(pool: Pool) -> tuple[str, ...]:
    """Cells that are in no closed form although answers of them were stopped, not lost."""
    if pool.redrawn is None:
        return ()
    few = int(np.isnan(pool.within("choice")[1]).sum())
    text = (
        f"{few} of {len(pool.asked)} cells have fewer than two whole answers, and the closed form "
        "of choice leaves them out"
    )
    return (text,) if few else ()


def reach_of(draws: Draws, target: Target, tolerance: float) -> pd.DataFrame:
    """Share of draws within the tolerance of the pool's value, by outcome and runs."""
    below = np.asarray([n for n in draws.tried if n < draws.pool.runs], int)
    shrink = np.sqrt(1 - below / draws.pool.runs)
    parts = []
    for outcome in OUTCOMES:
        whole = draws.whole[outcome]
        aim = float(target.value(whole.const[0], whole.slope[0]))
        const, slope = (a[outcome][:, : len(below)] for a in (draws.const, draws.slope))
        # A comparison with NaN, a draw without an estimate, is a miss.
        good = np.abs(target.value(const, slope) - aim) / shrink <= tolerance * abs(aim)
        parts.append(pd.DataFrame({"outcome": outcome, "runs": below, "within": good.mean(axis=0)}))
    return pd.concat(parts, ignore_index=True)


def _empirical(reach: pd.DataFrame, replications: int, confidence: float) -> dict[str, float]:
    """The first number of runs that is enough, and how far Monte Carlo error moves it."""
    error = 2 * math.sqrt(confidence * (1 - confidence) / replications)
    return {
        "runs": _first(reach, confidence),
        "lowest": _first(reach, confidence - error),
        "highest": _first(reach, confidence + error),
    }


def _first(reach: pd.DataFrame, share: float) -> float:
    enough = reach.loc[reach["within"] >= share, "runs"]
    return float(enough.min()) if len(enough) else math.nan


def _closed_form(
    pool: Pool,
    outcome: str,
    whole: BatchFit,
    target: Target,
    tolerance: float,
    confidence: float,
) -> dict[str, float]:
    """``(z sigma / (tolerance |g|))^2`` with sigma from the within-cell variances."""
    from scipy import stats

    unknown = {"closed_form": math.nan, "sigma": math.nan}
    counted, variance = pool.within(outcome)
    usable = np.isfinite(variance)  # a cell with fewer runs says nothing about its noise
    price = pool.member[usable] @ pool.price
    if not whole.exists[0] or len(np.unique(price)) < 2:
        return unknown
    const, slope = float(whole.const[0]), float(whole.slope[0])
    value = float(target.value(const, slope))
    if not value or not math.isfinite(value):
        return unknown
    # Of readable runs; choice of stopped answers has one in a part of them only.
    share = counted[usable] / np.maximum(1, pool.usable.sum(axis=1)[usable])
    mu = sigmoid(const + slope * price)
    x = np.column_stack([np.ones(len(price)), price])
    bread = np.linalg.inv((x * (share * mu * (1 - mu))[:, None]).T @ x)
    meat = (x * (share * variance[usable])[:, None]).T @ x
    reaction = bread @ target.gradient(const, slope)
    sigma = math.sqrt(max(0.0, float(reaction @ meat @ reaction)))
    z = float(stats.norm.ppf((1 + confidence) / 2))
    n = max(1, math.ceil((z * sigma / (tolerance * abs(value))) ** 2))
    return {"closed_form": float(n), "sigma": sigma}


def _costs(
    table: pd.DataFrame, cells: float, pool: int, cost: RunCost | None
) -> pd.DataFrame | None:
    if cost is None:
        return None
    closed = table["closed_form"].where(table["closed_form"] <= _FAR * pool)
    runs = table["runs"].fillna(closed)
    answers = np.ceil((runs * cells).round(6))
    return pd.DataFrame(
        {
            "runs": runs,
            "answers": answers,
            "tokens": answers * cost.tokens,
            "usd": answers * cost.usd,
            "source": np.select(
                [table["runs"].notna(), closed.notna()], ["draws", "closed form"], "unknown"
            ),
        }
    )


def _runs(row: pd.Series[float], pool: int) -> str:
    closed = "no closed form" if math.isnan(row["closed_form"]) else f"{row['closed_form']:.0f}"
    closed = closed if closed.startswith("no") else f"closed form {closed}"
    if math.isnan(row["runs"]):
        return f"more than {max(1, pool - 1)} ({closed})"
    low, high = ("?" if math.isnan(row[k]) else f"{row[k]:.0f}" for k in ("lowest", "highest"))
    return f"{row['runs']:.0f} ({low} to {high} within Monte Carlo error; {closed})"


def _price_of(outcome: str, row: pd.Series[float]) -> str:
    if math.isnan(row["runs"]):
        return f"{outcome}: cost unknown, as is the number of runs"
    money = "" if math.isnan(row["usd"]) else f", ${row['usd']:,.2f}"
    if 0 < row["usd"] < 0.005:
        money = ", less than a cent"
    return (
        f"{outcome}: runs {row['runs']:.0f} ({row['source']}), answers {row['answers']:,.0f}, "
        f"tokens {row['tokens']:,.0f}{money}"
    )
