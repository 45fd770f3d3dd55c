"""Where the noise of choices comes from, and what a belief is worth against it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from llmdemand.core.line import OneLine
from llmdemand.core.shards.shards import AnyPanel, drawn_note
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.batch.batch import fit_batch
from llmdemand.modeling.batch.sums import Read
from llmdemand.modeling.likelihood.cells import sigmoid
from llmdemand.modeling.outcomes.frames import WHOSE, Reading, apart, default_reading
from llmdemand.modeling.outcomes.measured import check_reading, own_reading
from llmdemand.reporting.measures.spread import (
    in_errors,
    parts,
    share_interval,
)
from llmdemand.reporting.tallies.cells import CellSums, cell_sums

__all__ = ["Variance", "variance", "worth_number"]

_DENSE = 5.0  # binomial variance of a sum of choices from which it is nearly normal
_FEW_CELLS = 10

Array = NDArray[np.float64]


_MANY = 1000.0  # choice runs; beyond it the number means nothing


def worth_number(value: float) -> str:
    """Choice runs for one belief run, as text.

    >>> worth_number(18.8234), worth_number(12705.1), worth_number(float("nan"))
    ('18.8', 'more than 1,000', 'unknown')
    """
    if value != value:
        return "unknown"
    return f"more than {_MANY:,.0f}" if value > _MANY else f"{value:.3g}"


@dataclass(frozen=True, repr=False)
class Variance(OneLine):
    """Variance of choice and belief within cells, and how both agree.

    Attributes
    ----------
    by_price : pandas.DataFrame
        One row per price: ``price``, ``cells``, ``runs`` (usable ones), ``mean_choice,
        mean_belief``; within cells ``var_choice`` (observed), ``var_belief`` (between runs),
        ``var_sampling`` (mean of b (1 - b), within runs), ``within_share`` (of their sum, the
        part of var_sampling) and ``icc`` (the part of var_belief); ``var_cells`` (of the
        shares of cells that have this price, NaN where there is one).
    icc : float
        Intra-cell correlation over all cells; NaN if unknown, see `notes`.
    icc_interval : (float, float)
        Bootstrap interval, cells resampled.
    worth : float
        Choice runs that one belief run is worth, 1 / icc; ``inf`` if beliefs do not vary.
    worth_interval : (float, float)
        One over the ends of `icc_interval`.
    equivalence : pandas.DataFrame
        One row per price: ``price, difference`` (mean choice minus mean belief), ``se``,
        ``lower, upper`` (interval), ``p`` (of no difference), ``margin`` (the smallest one
        within which the means are shown to be equal, by two one-sided tests at 5 %).
    equal : dict
        All prices together: ``difference, se, chi2, df, p`` (of no difference at any price).
    fit : pandas.DataFrame
        Indexed by outcome: ``log_score, r2, rmse`` of the demand curve that is fitted to all
        runs, against mean choice by price.
    confidence : float
        Of the intervals.
    notes : tuple of str
        Why something is missing, and what the reader should know.
    reading : str
        ``final`` or ``pivot``: whose choice it is.
    """

    by_price: pd.DataFrame
    icc: float
    icc_interval: tuple[float, float]
    worth: float
    worth_interval: tuple[float, float]
    equivalence: pd.DataFrame
    equal: dict[str, float]
    fit: pd.DataFrame
    confidence: float
    notes: tuple[str, ...] = ()
    reading: Reading = "pivot"

    @property
    def _line(self) -> str:
        return f"intra-cell correlation {self.icc:.4f}: {self.worth_text}"

    @property
    def worth_text(self) -> str:
        """What a belief run is worth, in words and to the digits that mean anything."""
        low, high = (worth_number(v) for v in self.worth_interval)
        told = (
            f"one belief run is worth {worth_number(self.worth)} choice runs "
            f"({100 * self.confidence:g} % interval {low} to {high})"
        )
        if self.worth > _MANY:
            told += "; belief is nearly one number per prompt, so that one run of each tells it all"
        return told

    def summary(self) -> str:
        """The decomposition by price and what follows from it, as text."""
        shown = self.by_price.drop(columns=["var_cells"] if self._single else [])
        lines = [
            f"Variance within cells, by price, of {WHOSE[self.reading]}",
            shown.to_string(index=False, float_format=lambda v: f"{v:.4g}"),
            f"intra-cell correlation {self.icc:.4f}: {self.worth_text}",
            f"mean choice minus mean belief {self.equal['difference']:.4f} (SE "
            f"{self.equal['se']:.4f}); no difference at any price: chi2({self.equal['df']:.0f}) = "
            f"{self.equal['chi2']:.2f}, p = {self.equal['p']:.3f}",
            "In-sample fit of the demand curves to mean choice by price",
            self.fit.to_string(float_format=lambda v: f"{v:.4g}"),
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    @property
    def _single(self) -> bool:
        return bool(self.by_price["var_cells"].isna().all())


def variance(
    panel: AnyPanel,
    *,
    reading: Reading | None = None,
    confidence: float = 0.95,
    replications: int = 2000,
    seed: int = 1,
) -> Variance:
    """Decompose the variance of choices into that of beliefs and that of sampling an answer.

    Parameters
    ----------
    panel : Panel or PanelShards
        Runs; those that enter are those of `llmdemand.fit_demand`.
    reading : str, optional
        ``final``: corrected belief and the choice of the whole answer; ``pivot``: both at the
        pivot. By default as `llmdemand.fit_demand`.
    confidence : float
        Of all intervals.
    replications, seed : int
        Of the bootstrap over cells.

    Returns
    -------
    Variance

    Raises
    ------
    DesignError
        If no run is usable, or labels correct the choices of a panel with stopped answers.
    UsageError
        For impossible arguments.

    Notes
    -----
    A choice y that is drawn from its run's belief b has, within a cell,
    ``Var(y) = Var(b) + E[b (1 - b)]``: between runs, and within a run. With n_c runs in cell c,
    pooled over cells with at least two,

    - ``var_belief   = sum_c sum_i (b_i - bbar_c)^2        / sum_c (n_c - 1)``,
    - ``var_sampling = sum_c (n_c - 1) mean_c[b_i (1 - b_i)] / sum_c (n_c - 1)``,
    - ``icc = var_belief / (var_belief + var_sampling)``.

    Both parts are unbiased in cells of any size, and their sum is unbiased for Var(y), which
    `var_choice` estimates from choices alone; the ratio's own bias is of the order of one over
    the number of runs. The icc is the correlation of two choices that would be drawn from the
    same run's belief. A mean of beliefs is as precise as that of 1 / icc times as many
    choices. That is about the noise of runs: neither measure repairs a prompt that misleads.

    Corrected beliefs take part of the answers' changes of mind as noise: with E = b~ - r s, s
    the cell's share, ``var_belief`` is the variance of E by the share that was read, and
    ``var_sampling`` what choices vary by beyond that, which may be negative. ``icc`` is still
    what a belief run varies by against a choice run, and may exceed 1; its interval is that of
    its logarithm.

    Where answers were stopped at their pivot, var_choice is that of the choice of a *whole* answer,
    from products of two whole answers of a cell by the probabilities of both, and icc compares a
    belief run, stopped or not, with a whole answer: 1 / icc is how many of those it is worth. (Runs
    needed and precision count runs of the panel for both, of which choice has the whole ones.)

    Cells of one price that differ in persona, order or wording differ in their shares; this
    is `var_cells`, the one-way analysis of variance of beliefs
    ``(MS_between - var_belief) / n_0``, ``n_0 = (N - sum n_c^2 / N) / (C - 1)``, which may come
    out negative. It is no noise of runs and enters neither icc nor worth.

    The interval is the studentised bootstrap of the icc's log-odds, cells drawn with
    replacement. With 16 cells and Beta beliefs, 95 % intervals held the truth in 93 to 94 %
    of simulated panels of 2 to 100 runs per cell; percentile intervals, in 84 to 91 %.

    Choice and belief are compared at the pivot, whatever the reading: the difference is the same.
    Whether the pivot tells the final choice is asked by `llmdemand.check_equivalence`. The
    standard error of a difference of means is ``sqrt(sum b (1 - b)) / n`` (of corrected beliefs,
    ``sqrt(sum (y - b)^2) / n``): if choices are drawn from these beliefs, they scatter about them
    by that. The chi-squared statistic adds squared differences in standard errors over prices;
    prices at which the sum of b (1 - b) is below 5 count together, as one. That p is large proves
    nothing; `margin` says how close the two are.

    In sample no logit of price has a better log score than that of choice itself: that belief
    comes close is the finding. For unseen choices see `llmdemand.reporting.measures.prediction`.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=40, seed=1)
    >>> found = variance(panel)
    >>> bool(0.04 < found.icc < 0.07), bool(found.worth_interval[0] < 1 / 0.054)
    (True, True)
    """
    if not 0 < confidence < 1 or replications < 1 or seed < 0:
        raise UsageError(
            f"confidence={confidence}, replications={replications}, seed={seed}: give a "
            "confidence between 0 and 1, at least one replication, and a seed from 0"
        )
    if (own := own_reading(panel)) is not None:
        raise DesignError(
            f"the panel's measure is {own!r}, and choices are not drawn from such probabilities: "
            "the variance of one says nothing of the other; see check_coherence, or "
            "`llmdemand lab measures`"
        )
    reading = default_reading(panel) if reading is None else reading
    check_reading(panel, reading)
    panel = apart(panel, reading)
    found = cell_sums(panel, reading)
    if found.labels and found.weighted:
        raise DesignError(
            "some answers were stopped at their pivot and the others are corrected by labels: what "
            "choice varies by is then unknown; leave the labels out, or use reading='pivot'"
        )
    if not found.believed:
        raise DesignError(
            f"no usable run among {len(panel)}: there is no variance to explain; see the "
            "answers with panel.frame['text']"
        )
    cells = found.cells
    by_price = pd.DataFrame([_row(p, part) for p, part in cells.groupby("price")])
    icc = parts(cells)["icc"]
    interval = share_interval(cells, confidence, replications, seed, corrected=not found.plain)
    worth = _over(icc)
    equivalence, equal = _equivalence(cells, confidence)
    fit, notes = _fits(cells, found.plain)
    return Variance(
        by_price,
        icc,
        interval,
        worth,
        (_over(interval[1]), _over(interval[0])),
        equivalence,
        equal,
        fit,
        confidence,
        (
            *drawn_note(panel),
            *_notes(len(panel), found, cells, icc, interval[0]),
            *notes,
            *filter(
                None, [panel.study.counted_alike("variances within cells and shares by price")]
            ),
        ),
        found.reading,
    )


def _row(price: object, cells: pd.DataFrame) -> dict[str, object]:
    found = parts(cells)
    return {
        "price": price,
        "cells": len(cells),
        "runs": int(cells["runs"].sum()),
        "mean_choice": _ratio(cells["y"].sum(), cells["m"].sum()),
        "mean_belief": _ratio(cells["b"].sum(), cells["n"].sum()),
        **found,
        "var_cells": _between_cells(cells, found["var_belief"]),
    }


def _between_cells(cells: pd.DataFrame, within: float) -> float:
    """Variance of the cells' shares, by one-way analysis of variance of beliefs."""
    cells = cells[cells["n"] > 0]
    n = cells["n"].to_numpy(float)
    if len(n) < 2 or not math.isfinite(within):
        return math.nan
    mean, total = cells["b"].to_numpy() / n, float(n.sum())
    between = float(n @ (mean - n @ mean / total) ** 2) / (len(n) - 1)
    return (between - within) * (len(n) - 1) / (total - float(n @ n) / total)


def _over(share: float) -> float:
    """One over a share; infinite for none."""
    return math.inf if share == 0 else 1 / share


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else math.nan


# --- Agreement of the two measures --------------------------------------------------------


def _equivalence(cells: pd.DataFrame, confidence: float) -> tuple[pd.DataFrame, dict[str, float]]:
    by = cells.groupby("price")[["runs", "gap", "noise"]].sum()
    n, gap, noise = by["runs"].to_numpy(float), by["gap"].to_numpy(float), by["noise"]
    difference, se = gap / n, np.sqrt(noise.to_numpy()) / n
    reach = float(stats.norm.ppf((1 + confidence) / 2)) * se
    table = pd.DataFrame(
        {
            "price": by.index.to_numpy(),
            "difference": difference,
            "se": se,
            "lower": difference - reach,
            "upper": difference + reach,
            "p": 2 * stats.norm.sf(np.abs(in_errors(difference, se))),
            "margin": np.abs(difference) + float(stats.norm.ppf(0.95)) * se,
        }
    )
    dense = (noise >= _DENSE).to_numpy()
    rest = [(float(gap[~dense].sum()), float(noise[~dense].sum()))] if not dense.all() else []
    groups = np.array([*zip(gap[dense], noise[dense], strict=True), *rest])
    z = in_errors(groups[:, 0], np.sqrt(groups[:, 1]))
    chi2, df = float(z @ z), float(len(z))
    whole = {"difference": float(gap.sum() / n.sum()), "se": math.sqrt(noise.sum()) / n.sum()}
    return table, {**whole, "chi2": chi2, "df": df, "p": float(stats.chi2.sf(chi2, df))}


def _fits(cells: pd.DataFrame, plain: bool) -> tuple[pd.DataFrame, list[str]]:
    """Fit of both demand curves to mean choice by price."""
    by = cells.groupby("price")[["n", "m", "y", "b"]].sum()
    by = by[by["m"] > 0]
    price, n, y = by.index.to_numpy(float), by["m"].to_numpy(float), by["y"].to_numpy()
    sums = {"belief": (by["n"].to_numpy(float), by["b"].to_numpy()), "choice": (n, y)}
    rows, notes = {}, []
    if len(price) < 2:
        one = f"all runs have one price ({price[0]:g})" if len(price) else "no choice was read"
        notes.append(f"{one}: there is no demand curve to fit")
    for outcome, (read, total) in sums.items():
        rows[outcome] = dict.fromkeys(("log_score", "r2", "rmse"), math.nan)
        if len(price) < 2:
            continue
        if outcome == "choice" or plain:
            fit = fit_batch(price, read[None], np.minimum(total, read)[None])
        else:
            fit = fit_batch(price, read[None], total[None], read=Read())
        if not fit.exists[0]:
            notes.append(f"{outcome} is separated in all runs together: it has no demand curve")
            continue
        rows[outcome] = _fit_of(fit.const[0] + fit.slope[0] * price, n, y)
    return pd.DataFrame(rows).T.rename_axis("outcome"), notes


def _fit_of(eta: Array, n: Array, y: Array) -> dict[str, float]:
    share, rows = y / n, float(n.sum())
    error = float(n @ (share - sigmoid(eta)) ** 2)
    whole = float(n @ (share - y.sum() / rows) ** 2)
    return {
        "log_score": float(y @ eta - n @ np.logaddexp(0.0, eta)) / rows,
        "r2": 1 - error / whole if whole > 0 else math.nan,
        "rmse": math.sqrt(error / rows),
    }


def _notes(runs: int, found: CellSums, cells: pd.DataFrame, icc: float, low: float) -> list[str]:
    notes: list[str] = []
    left = runs - int(cells["runs"].sum())
    informative = int((cells["runs"] > 1).sum())
    if not found.plain:
        notes += found.notes
        if icc > 1:
            whole = not found.weighted
            notes.append(
                "corrected belief varies more than choice does, as many answers change their mind: "
                "fit_demand(..., coefficient='tuned') does not"
                if whole
                else "corrected belief varies more than the choice of a whole answer does: too few "
                "are whole for so many changes of mind"
            )
    if left:
        notes.append(f"{left} of {runs} runs are not usable and left out")
    if not informative:
        notes.append(
            "one usable run per cell: the variance within cells, the intra-cell correlation and "
            "what a belief is worth are unknown; ask each cell at least twice"
        )
    elif "whole" in cells and (cells["whole"] < 2).all():
        notes.append(
            "no cell has two whole answers: what choices vary by within a cell, the intra-cell "
            "correlation and what a belief is worth are unknown; ask for more whole answers"
        )
    elif math.isnan(icc):
        notes.append(
            "belief is 0 in all runs of a cell, or 1 in all: nothing varies, and the intra-cell "
            "correlation is unknown"
        )
    elif icc == 1 and found.plain:
        notes.append(
            "belief is 0 or 1 in every run: it says no more than the choice does, and a belief "
            "run is worth one choice run"
        )
    elif icc == 0 and found.plain:
        notes.append(
            "belief is the same in all runs of a cell: one run says all that belief can say, "
            "and more runs of the same prompt add nothing to it"
        )
    elif math.isnan(low):
        notes.append("the cells are fewer than three, or all alike: there is no interval")
    elif informative < _FEW_CELLS:
        notes.append(f"{informative} cells have two usable runs: intervals over cells are rough")
    return notes
