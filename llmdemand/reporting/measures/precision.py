"""How precisely belief and choice measure price sensitivity, run for run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmdemand.core.line import OneLine
from llmdemand.core.shards.shards import AnyPanel, sampled
from llmdemand.errors import UsageError
from llmdemand.modeling.outcomes.frames import WHOSE, Reading
from llmdemand.reporting.measures.draws import OUTCOMES, Draws, draw
from llmdemand.reporting.measures.needed import RunsNeeded, check_goal, needed_of, reach_of
from llmdemand.reporting.measures.targets import Target

__all__ = ["OUTCOMES", "PUBLISHED", "Precision", "precision"]

#: What arXiv 2512.23184 reports for GPT-4o: one-run SE, and runs for 10 % at 95 %.
PUBLISHED = {"belief": (0.264, 5), "choice": (138.090, 93)}

_NORMAL_95 = 1.959963984540054
_PRICE = Target("price")

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Precision(OneLine):
    """Price sensitivity from n runs, for both outcomes on the same runs.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per outcome and number of runs. Of the price coefficient b_n, over the draws
        whose fit exists: ``mean, median``; ``bias`` and ``rmse`` against the pool's own
        estimate; ``se_model`` (mean inverse-information SE), ``se_robust`` (mean HC1 SE),
        ``spread`` (standard deviation). Of all draws: ``coverage`` (share whose interval
        b_n +- 1.96 HC1 SE holds the pool's estimate), ``separated`` (share without an
        estimate) and ``within`` (share within the tolerance of the pool's estimate).
        ``log_score`` is the mean log-likelihood of a held-out choice; existing fits only.
    reach : pandas.DataFrame
        ``outcome, runs, within`` for every number of runs tried.
    target : pandas.Series
        Each outcome's price coefficient in the pool, against which its draws are
        judged; NaN where the pool has none.
    tolerance, confidence : float
        What "needed" means: within tolerance * |target| with this probability.
    replications, pool : int
        Draws per number of runs, and runs per cell in the pool.
    left_out : tuple of int
        Numbers of runs that were asked for and that the pool does not have.
    draws : Draws
        The fits; give them to `runs_needed` for other targets of the same runs.
    """

    table: pd.DataFrame
    reach: pd.DataFrame
    target: pd.Series[float]
    tolerance: float
    confidence: float
    replications: int
    pool: int
    left_out: tuple[int, ...]
    draws: Draws = field(repr=False, compare=False)

    @property
    def _line(self) -> str:
        return (
            f"{len(self.table)} rows, {self.replications} draws from {self.pool} runs per cell, "
            f"within {100 * self.tolerance:g} % with probability {100 * self.confidence:g} %, of "
            f"{WHOSE[self.reading]}"
        )

    @property
    def reading(self) -> Reading:
        """``final`` or ``pivot``: whose choice it is."""
        return self.draws.pool.reading

    @property
    def needed(self) -> pd.DataFrame:
        """Runs needed for the price coefficient: the table of `runs_needed`, by outcome."""
        return self.runs_needed().table

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what is not in the table, and why."""
        of_pool = tuple(f"{n[:1].upper()}{n[1:]}." for n in self.draws.pool.notes)
        if not self.left_out:
            return of_pool
        asked = ", ".join(str(n) for n in self.left_out)
        return (
            *of_pool,
            f"The panel has {self.pool} runs per cell: nothing can be said of {asked} runs. "
            "Simulate more runs, or ask for fewer.",
        )

    def runs_needed(self, target: str = "price", at: float | None = None) -> RunsNeeded:
        """Runs needed by the same draws, for any target; see `llmdemand.runs_needed`."""
        asked = Target.of(target, at, self.draws.pool.price)
        return needed_of(self.draws, asked, self.tolerance, self.confidence)


def precision(
    panel: AnyPanel,
    runs: Sequence[int] = (1, 2, 3, 5, 10, 20),
    *,
    reading: Reading | None = None,
    replications: int = 1000,
    tolerance: float = 0.10,
    confidence: float = 0.95,
    seed: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Precision:
    """Draw n of a panel's runs per cell many times and fit both demand models to each draw.

    Parameters
    ----------
    panel : Panel or PanelShards
        The pool, R runs per cell; of shards a sample, see `llmdemand.core.shards.sample`.
    runs : sequence of int
        Numbers of runs for the table. Those above R cannot be drawn: they are named in
        `Precision.left_out` and `Precision.notes`. If all are, R itself is shown.
    reading : str, optional
        ``final``: corrected belief and the choice of the whole answer; ``pivot``: both at the
        pivot. By default as `llmdemand.fit_demand`.
    replications : int
        Draws.
    tolerance, confidence : float
        An estimate is good if it lies within ``tolerance`` of the same outcome's in the
        whole pool, and n is enough if a share ``confidence`` of the draws is good.
    seed : int
        Of the draws.
    progress : callable, optional
        Called with the share of the work that is done.

    Returns
    -------
    Precision

    Raises
    ------
    DesignError
        If the pool has one price, no usable runs, or no estimate of its own.
    UsageError
        For impossible arguments.

    Notes
    -----
    Draws are without replacement, the same runs for both outcomes; a run that is
    not ``ok`` is drawn like any other and contributes nothing (of final choices: what it says).
    A draw of n from R
    runs differs from the pool by less than n fresh runs differ from the truth, by
    the factor ``s = sqrt(1 - n/R)``: deviations (for ``within`` and ``coverage``) and
    spread are divided by s, the bias, which falls with 1/n, by s squared, and
    ``rmse = sqrt(bias^2 + spread^2)``. For n = R nothing is left to compare and these are NaN.
    Draws whose fit does not exist count as misses in ``coverage`` and ``within`` and enter no
    average. Cells are held fixed: coverage is that of the same prompts asked again, for which
    HC1 intervals are too wide where a logit does not fit the mean outcomes of the cells.

    Where answers were stopped at their pivot, choices are those of whole answers, weighted by
    one over their probability (weights sum to the effective number of answers, for `se_model`),
    and what corrects belief is learnt anew in each draw, as in a panel of its runs alone: learnt
    once from the pool, it would be known better than n runs can tell. Draws in which one half of
    the runs has no whole answer to learn from have no estimate.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=40, seed=1)
    >>> found = precision(panel, runs=(1, 5), replications=200)
    >>> bool(found.needed.loc["belief", "runs"] < 10)
    True
    """
    check_goal(tolerance, confidence)
    if any(n < 1 for n in runs):
        raise UsageError(f"runs={tuple(runs)}: numbers of runs begin at 1")
    panel = sampled(panel)
    most = int(panel.frame.groupby("cell").size().max()) if len(panel) else 0
    shown = tuple(sorted({n for n in runs if n <= most})) or (most,)
    found = draw(
        panel, shown, reading=reading, replications=replications, seed=seed, progress=progress
    )
    target = pd.Series({o: float(found.whole[o].slope[0]) for o in OUTCOMES}, name="price")
    reach = reach_of(found, _PRICE, tolerance)
    table = pd.DataFrame(
        [_row(found, o, n, float(target[o]), tolerance) for o in OUTCOMES for n in shown]
    )
    left_out = tuple(sorted({n for n in runs if n > most}))
    return Precision(
        table, reach, target, tolerance, confidence, replications, most, left_out, found
    )


def _row(draws: Draws, outcome: str, n: int, target: float, tolerance: float) -> dict[str, object]:
    """One row of the table."""
    k = draws.tried.index(n)
    slope, robust = draws.slope[outcome][:, k], draws.se_robust[outcome][:, k]
    fitted = slope[np.isfinite(slope)]
    left = 1 - n / draws.pool.runs  # share of the pool that a draw does not hold
    spread = bias = coverage = within = math.nan
    if left > 0:
        spread = _sd(fitted) / math.sqrt(left)
        bias = (_mean(fitted) - target) / left
        # A comparison with NaN is a miss.
        deviation = np.abs(slope - target) / math.sqrt(left)
        if not math.isnan(target):
            coverage = float((deviation <= _NORMAL_95 * robust).mean())
        within = float((deviation <= tolerance * abs(target)).mean())
    return {
        "outcome": outcome,
        "runs": n,
        "mean": _mean(fitted),
        "median": float(np.median(fitted)) if len(fitted) else math.nan,
        "bias": bias,
        "rmse": math.hypot(bias, spread),
        "se_model": _mean(draws.se_model[outcome][:, k]),
        "se_robust": _mean(robust),
        "spread": spread,
        "coverage": coverage,
        "separated": 1 - len(fitted) / len(slope),
        "within": within,
        "log_score": _mean(draws.log_score[outcome][:, k]),
    }


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


def _sd(values: Array) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan
