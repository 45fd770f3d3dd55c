"""How precisely belief and choice measure price sensitivity, run for run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.batch import BatchFit, fit_batch
from llmdemand.modeling.binary import sigmoid
from llmdemand.modeling.demand import demand_frame

__all__ = ["OUTCOMES", "PUBLISHED", "Precision", "precision"]

OUTCOMES = ("belief", "choice")

#: What arXiv 2512.23184 reports for GPT-4o: one-run SE, and runs for 10 % at 95 %.
PUBLISHED = {"belief": (0.264, 5), "choice": (138.090, 93)}

_ALL_UP_TO = 160  # beyond this many runs only every tenth number is tried
_CHUNK = 4_000_000  # permuted elements held at a time

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Precision:
    """Price sensitivity from n runs, for both outcomes on the same runs.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per outcome and number of runs: ``outcome, runs, mean, median``
        (of the price coefficient over draws whose fit exists), ``se_model``
        (inverse information), ``se_robust`` (HC1), ``spread`` (standard deviation
        over draws), ``separated`` (share of draws without an estimate), ``within``
        (share of draws within the tolerance), ``log_score`` (mean log-likelihood
        of a held-out choice; existing fits only).
    needed : pandas.DataFrame
        One row per outcome: ``runs`` (smallest number that reaches the confidence;
        NaN if the pool is too small), ``lowest`` and ``highest`` (those that
        remain possible within two Monte Carlo standard errors), ``closed_form``,
        ``sigma`` (the one-run SE in the closed form).
    reach : pandas.DataFrame
        ``outcome, runs, within`` for every number of runs tried.
    target : pandas.Series
        Each outcome's price coefficient in the pool, against which its draws are
        judged; NaN where the pool has none.
    tolerance, confidence : float
        What "needed" means: within tolerance * |target| with this probability.
    replications, pool : int
        Draws per number of runs, and runs per cell in the pool.
    """

    table: pd.DataFrame
    needed: pd.DataFrame
    reach: pd.DataFrame
    target: pd.Series[float]
    tolerance: float
    confidence: float
    replications: int
    pool: int


def precision(
    panel: Panel,
    runs: Sequence[int] = (1, 2, 5, 10, 20),
    *,
    replications: int = 1000,
    tolerance: float = 0.10,
    confidence: float = 0.95,
    seed: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Precision:
    """Draw n of a panel's runs per cell many times and fit both demand models to each draw.

    Parameters
    ----------
    panel : Panel
        The pool, R runs per cell.
    runs : sequence of int
        Numbers of runs for the table; those above R are left out (R stands in for all).
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
    not ``ok`` is drawn like any other and contributes nothing. A draw of n from R
    runs differs from the pool by less than n fresh runs differ from the truth, by
    the factor ``sqrt(1 - n/R)``: deviations and spread are divided by it. Draws
    whose fit does not exist count as misses and enter no average. The closed form
    is ``n = (z sigma / (tolerance |b|))^2`` with sigma the fixed-design one-run SE.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=40, seed=1)
    >>> found = precision(panel, runs=(1, 5), replications=200)
    >>> bool(found.needed.loc["belief", "runs"] < 10)
    True
    """
    if replications < 1 or not 0 < confidence < 1 or not tolerance > 0:
        raise UsageError(
            "replications, tolerance and confidence must be positive, the last below 1"
        )
    if seed < 0:
        raise UsageError(f"seed={seed}: give a number that is not negative")
    if any(n < 1 for n in runs):
        raise UsageError(f"runs={tuple(runs)}: numbers of runs begin at 1")
    pool = _Pool.of(panel)
    whole = {o: pool.fit(o, pool.sums(o)) for o in OUTCOMES}
    if not whole["belief"].exists[0]:
        raise DesignError(
            "belief is separated in the whole pool, so there is no estimate to reach: "
            "collect more runs, or prices at which the model is less sure"
        )
    target = pd.Series({o: float(whole[o].slope[0]) for o in OUTCOMES}, name="price")
    shown = [n for n in runs if n <= pool.runs] or [pool.runs]
    tried = sorted({*shown, *_grid(pool.runs)})
    draws = _draw(pool, tried, replications, seed, progress)
    table, reach = _tables(pool, draws, shown, tried, target, tolerance)
    needed = pd.DataFrame(
        {
            o: _needed(reach[reach["outcome"] == o], replications, confidence)
            | _closed_form(pool, o, whole[o], float(target[o]), tolerance, confidence)
            for o in OUTCOMES
        }
    ).T
    return Precision(table, needed, reach, target, tolerance, confidence, replications, pool.runs)


@dataclass(frozen=True)
class _Pool:
    """Outcomes by cell and run, NaN where a run is not usable, and prices of cells."""

    values: dict[str, Array]  # (C, R) each
    price: Array  # (J,) distinct prices
    member: Array  # (C, J) one where a cell has a price

    @property
    def runs(self) -> int:
        return int(self.values["belief"].shape[1])

    @classmethod
    def of(cls, panel: Panel) -> _Pool:
        usable = demand_frame(panel)
        if usable.empty:
            raise DesignError(f"no usable run among {len(panel)}: there is nothing to compare")
        frame = panel.frame
        cells, index = np.unique(frame["cell"], return_inverse=True)
        runs = int(frame.groupby("cell").size().max())
        place = frame.groupby("cell").cumcount().to_numpy()
        values = {}
        for outcome in OUTCOMES:
            values[outcome] = np.full((len(cells), runs), np.nan)
            column = usable[outcome].reindex(frame.index).to_numpy(float)
            values[outcome][index, place] = column
        prices = frame.groupby("cell")[f"price_{panel.study.focal}"].first().to_numpy(float)
        price = np.unique(prices)
        if len(price) < 2:
            raise DesignError(
                f"all runs have one price ({price[0]:g}): price sensitivity needs at least two"
            )
        return cls(values, price, (prices[:, None] == price).astype(float))

    def sums(self, outcome: str) -> tuple[Array, Array, Array]:
        """n, sum and sum of squares by price of the whole pool, one row each."""
        y = self.values[outcome]
        parts = (np.isfinite(y).sum(axis=1), np.nansum(y, axis=1), np.nansum(y**2, axis=1))
        n, total, squares = ((p @ self.member)[None, :] for p in parts)
        return n, total, squares

    def fit(self, outcome: str, sums: tuple[Array, Array, Array]) -> BatchFit:
        return fit_batch(self.price, *sums)


@dataclass(frozen=True)
class _Draws:
    """By outcome: slope, SEs and log score, each (replications, len(tried))."""

    slope: dict[str, Array]
    se_model: dict[str, Array]
    se_robust: dict[str, Array]
    log_score: dict[str, Array]


def _grid(runs: int) -> list[int]:
    """Numbers of runs below the pool's, at which `within` is computed."""
    return [n for n in range(1, runs) if n <= _ALL_UP_TO or n % 10 == 0]


def _draw(
    pool: _Pool,
    tried: list[int],
    replications: int,
    seed: int,
    progress: Callable[[float], None] | None,
) -> _Draws:
    kept = ("slope", "se_model", "se_robust", "log_score")
    found: dict[str, dict[str, list[Array]]] = {k: {o: [] for o in OUTCOMES} for k in kept}
    cells, runs = pool.values["belief"].shape
    size = max(1, _CHUNK // (cells * runs))
    # One stream per draw: results do not depend on how draws are chunked.
    streams = np.random.SeedSequence(seed).spawn(replications)
    for start in range(0, replications, size):
        chunk = streams[start : start + size]
        order = np.stack(
            [np.random.default_rng(s).random((cells, runs)).argsort(axis=1) for s in chunk]
        )
        held = _held_out(pool, order, tried)
        for outcome in OUTCOMES:
            sums = _cumulated(pool, outcome, order, tried)
            flat = tuple(s.reshape(-1, len(pool.price)) for s in sums)
            fit = pool.fit(outcome, (flat[0], flat[1], flat[2]))
            shape = (len(chunk), len(tried))
            found["slope"][outcome].append(fit.slope.reshape(shape))
            found["se_model"][outcome].append(fit.se_iid[:, 1].reshape(shape))
            found["se_robust"][outcome].append(fit.se_robust[:, 1].reshape(shape))
            found["log_score"][outcome].append(_log_score(pool, fit, held).reshape(shape))
        if progress is not None:
            progress(min(1.0, (start + len(chunk)) / replications))
    return _Draws(**{k: {o: np.concatenate(v) for o, v in found[k].items()} for k in kept})


def _cumulated(
    pool: _Pool, outcome: str, order: NDArray[np.intp], tried: list[int]
) -> tuple[Array, Array, Array]:
    """n, sum, sum of squares by price of the first n runs of each order."""
    y = np.take_along_axis(pool.values[outcome][None], order, axis=2)
    index = np.asarray(tried) - 1
    parts = (np.isfinite(y).astype(float), np.nan_to_num(y), np.nan_to_num(y) ** 2)
    n, total, squares = (
        np.einsum("bcn,cj->bnj", np.cumsum(p, axis=2)[:, :, index], pool.member, optimize=True)
        for p in parts
    )
    return n, total, squares


def _held_out(pool: _Pool, order: NDArray[np.intp], tried: list[int]) -> tuple[Array, Array]:
    """Number and sum of the choices that each draw leaves out, by price."""
    n, total, _ = _cumulated(pool, "choice", order, tried)
    all_n, all_total, _ = pool.sums("choice")
    return (all_n - n).reshape(-1, len(pool.price)), (all_total - total).reshape(
        -1, len(pool.price)
    )


def _log_score(pool: _Pool, fit: BatchFit, held: tuple[Array, Array]) -> Array:
    """Mean log-likelihood of a held-out choice; NaN without fit or held-out choices."""
    n, ones = held
    eta = np.nan_to_num(fit.const)[:, None] + np.nan_to_num(fit.slope)[:, None] * pool.price
    score = (ones * eta - n * np.logaddexp(0.0, eta)).sum(axis=1)
    rows = n.sum(axis=1)
    return np.where((rows > 0) & fit.exists, score / np.maximum(rows, 1), np.nan)


def _tables(
    pool: _Pool,
    draws: _Draws,
    shown: list[int],
    tried: list[int],
    target: pd.Series[float],
    tolerance: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, reach = [], []
    for outcome in OUTCOMES:
        for k, n in enumerate(tried):
            slope = draws.slope[outcome][:, k]
            fitted = slope[np.isfinite(slope)]
            shrink = math.sqrt(1 - n / pool.runs)
            good = float("nan")
            if n < pool.runs:
                aim = float(target[outcome])
                deviation = np.abs(fitted - aim) / shrink
                good = float((deviation <= tolerance * abs(aim)).sum() / len(slope))
                reach.append({"outcome": outcome, "runs": n, "within": good})
            if n in shown:
                spread = _sd(fitted) / shrink if n < pool.runs else float("nan")
                rows.append(
                    {
                        "outcome": outcome,
                        "runs": n,
                        "mean": _mean(fitted),
                        "median": float(np.median(fitted)) if len(fitted) else float("nan"),
                        "se_model": _mean(draws.se_model[outcome][:, k]),
                        "se_robust": _mean(draws.se_robust[outcome][:, k]),
                        "spread": spread,
                        "separated": 1 - len(fitted) / len(slope),
                        "within": good,
                        "log_score": _mean(draws.log_score[outcome][:, k]),
                    }
                )
    return pd.DataFrame(rows), pd.DataFrame(reach, columns=["outcome", "runs", "within"])


def _needed(reach: pd.DataFrame, replications: int, confidence: float) -> dict[str, float]:
    """The first number of runs that is enough, and how far Monte Carlo error moves it."""
    error = 2 * math.sqrt(confidence * (1 - confidence) / replications)
    return {
        "runs": _first(reach, confidence),
        "lowest": _first(reach, confidence - error),
        "highest": _first(reach, confidence + error),
    }


def _first(reach: pd.DataFrame, share: float) -> float:
    enough = reach.loc[reach["within"] >= share, "runs"]
    return float(enough.min()) if len(enough) else float("nan")


def _closed_form(
    pool: _Pool,
    outcome: str,
    whole: BatchFit,
    target: float,
    tolerance: float,
    confidence: float,
) -> dict[str, float]:
    """``(z sigma / (tolerance |b|))^2`` with sigma from the within-cell variances."""
    from scipy import stats

    y = pool.values[outcome]
    # Variances need two runs; a cell with fewer says nothing about its noise.
    counted = np.isfinite(y).sum(axis=1)
    usable = counted > 1
    if not whole.exists[0] or not usable.any() or not target:
        return {"closed_form": float("nan"), "sigma": float("nan")}
    variance = np.nanvar(y[usable], axis=1, ddof=1)
    price = pool.member[usable] @ pool.price
    share = counted[usable] / y.shape[1]  # an unusable run adds neither noise nor information
    mu = sigmoid(whole.const[0] + whole.slope[0] * price)
    x = np.column_stack([np.ones(len(price)), price])
    bread = np.linalg.inv((x * (share * mu * (1 - mu))[:, None]).T @ x)
    meat = (x * (share * variance)[:, None]).T @ x
    sigma = math.sqrt(max(0.0, (bread @ meat @ bread)[1, 1]))
    z = float(stats.norm.ppf((1 + confidence) / 2))
    n = max(1, math.ceil((z * sigma / (tolerance * abs(target))) ** 2))
    return {"closed_form": float(n), "sigma": sigma}


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _sd(values: Array) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
