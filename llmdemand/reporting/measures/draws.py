"""Draws of n runs per cell from a panel, and the logits of each draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.batch.batch import BatchFit, fit_batch
from llmdemand.modeling.batch.sums import Read
from llmdemand.modeling.outcomes.frames import (
    Reading,
    default_reading,
    demand_frame,
    outcomes,
    whose,
)

__all__ = ["OUTCOMES", "Draws", "Pool", "draw"]

OUTCOMES = ("belief", "choice")

_ALL_UP_TO = 160  # beyond this many runs only every tenth number is tried
_CHUNK = 4_000_000  # permuted elements held at a time

Array = NDArray[np.float64]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Pool:
    """Outcomes by cell and run, and the prices of the cells.

    Attributes
    ----------
    values : mapping
        By outcome, (C, R) arrays; NaN where a run is not usable. Corrected beliefs may leave
        [0, 1].
    price : (J,) array
        Distinct prices of the focal alternative.
    member : (C, J) array
        One where a cell has a price.
    asked : (C,) array
        Runs of each cell, usable or not.
    read : (C, R) array or None
        What corrected beliefs sum to in each run; None for beliefs in [0, 1].
    reading : str
        ``final`` or ``pivot``: whose choice it is.
    """

    values: dict[str, Array]
    price: Array
    member: Array
    asked: Array
    read: Array | None = None
    reading: Reading = "pivot"

    @property
    def runs(self) -> int:
        """R, the most runs that a cell has."""
        return int(self.values["belief"].shape[1])

    @classmethod
    def of(
        cls,
        panel: Panel,
        reading: Reading | None = None,
        *,
        choice_only: bool = False,
        alone: bool = False,
    ) -> Pool:
        """The pool of a panel.

        Parameters
        ----------
        panel : Panel
            The runs.
        reading : str, optional
            As for `llmdemand.fit_demand`.
        choice_only : bool
            Whether a panel without a single belief will do; its beliefs are NaN.
        alone : bool
            Whether belief stands alone, so that answers may have been stopped.

        Raises
        ------
        DesignError
            Without usable runs, or with one price.
        """
        of = reading or default_reading(panel) if alone else whose(panel, reading)
        found = outcomes(panel, of)
        if not found.believed and choice_only and found.reading == "pivot":
            found = outcomes(panel, statuses=("no_logprobs",))
        usable = demand_frame(panel, found=found)
        if usable.empty or not (found.believed or choice_only):
            counts = panel.statuses[panel.statuses > 0].to_dict()
            raise DesignError(
                f"no usable run among {len(panel)}: there is nothing to compare "
                f"(statuses: {counts}); see the answers with panel.frame['text']"
            )
        usable["choice"] = usable["choice"].where(np.asarray(found.choice.any(axis=1)))
        if not found.believed:
            usable["belief"] = np.nan
        frame = panel.frame
        cells, index = np.unique(frame["cell"], return_inverse=True)
        place = frame.groupby("cell").cumcount().to_numpy()
        values = {}
        for outcome in (*OUTCOMES, *([] if found.plain else ["read"])):
            values[outcome] = np.full((len(cells), int(place.max()) + 1), np.nan)
            column = usable[outcome].reindex(frame.index).to_numpy(float)
            values[outcome][index, place] = column
        read = values.pop("read", None)
        prices = frame.groupby("cell")[f"price_{panel.study.focal}"].first().to_numpy(float)
        price = np.unique(prices)
        if len(price) < 2:
            raise DesignError(
                f"all runs have one price ({price[0]:g}): price sensitivity needs at least two"
            )
        asked = np.bincount(index, minlength=len(cells)).astype(float)
        member = (prices[:, None] == price).astype(float)
        return cls(values, price, member, asked, read, found.reading)

    def sums(self, outcome: str) -> list[Array]:
        """The sums by price of the whole pool, one row each: see `_parts`."""
        r = self.read if outcome == "belief" else None
        return [(p.sum(axis=1) @ self.member)[None] for p in _parts(self.values[outcome], r)]

    def fit(self, outcome: str) -> BatchFit:
        """The logit of the whole pool."""
        return self.fit_sums(self.sums(outcome))

    def fit_sums(self, sums: Sequence[Array]) -> BatchFit:
        """The logits of sums by price, (B, J) each."""
        read = Read(*sums[3:]) if len(sums) > 3 else None
        return fit_batch(self.price, *sums[:3], read=read)

    def within(self, outcome: str) -> tuple[Array, Array]:
        """Observations of each cell, and their variance; NaN for fewer than two. (C,) each.

        Of corrected beliefs an observation is an answer that was read, and its variance, that of
        the ratio ``sum b~ / sum r`` times their number, is that of ``b~ - r sum b~ / sum r``.
        """
        y = self.values[outcome]
        known = np.isfinite(y)
        runs = counted = known.sum(axis=1).astype(float)
        if self.read is not None and outcome == "belief":
            r, counted = self.read, np.nansum(self.read, axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                mean = np.nansum(y, axis=1) / counted
                y = (y - r * mean[:, None]) * np.sqrt(runs / counted)[:, None]
        variance = np.full(len(y), np.nan)
        several = (runs > 1) & (counted > 0)
        if several.any():
            variance[several] = np.nanvar(y[several], axis=1, ddof=1)
        return counted, variance


@dataclass(frozen=True, eq=False, repr=False)
class Draws:
    """Fits of n = tried[k] runs per cell, for both outcomes on the same runs.

    Attributes
    ----------
    pool : Pool
        What was drawn from.
    whole : mapping
        The fit of the whole pool, by outcome.
    tried : tuple of int
        Numbers of runs, rising.
    const, slope, se_model, se_robust, log_score : mapping
        By outcome, (replications, len(tried)) arrays; NaN where a draw has no estimate. The
        errors are those of the slope (inverse information, HC1); the score is the mean
        log-likelihood of the choices that the draw leaves out.
    seed, replications : int
        Of the draws.
    """

    pool: Pool
    whole: dict[str, BatchFit]
    tried: tuple[int, ...]
    const: dict[str, Array]
    slope: dict[str, Array]
    se_model: dict[str, Array]
    se_robust: dict[str, Array]
    log_score: dict[str, Array]
    seed: int
    replications: int


def draw(
    panel: Panel,
    runs: Sequence[int] = (),
    *,
    reading: Reading | None = None,
    replications: int = 1000,
    seed: int = 1,
    progress: Progress | None = None,
) -> Draws:
    """Draw n of a panel's runs per cell many times and fit both demand models to each draw.

    Draws are without replacement; those of n + 1 runs hold those of n. Each draw has a random
    stream of its own, so that results do not depend on how the work is cut up.

    Parameters
    ----------
    panel : Panel
        R runs per cell.
    runs : sequence of int
        Numbers of runs to try beside 1, 2, ..., R - 1 (every tenth above 160); those above R
        cannot be drawn and are left out.
    reading : str, optional
        As for `llmdemand.fit_demand`.
    replications, seed : int
        Of the draws.
    progress : callable, optional
        Called with the share of the work that is done.

    Raises
    ------
    DesignError
        One price, no usable run, or belief separated in the whole pool.
    UsageError
        For impossible arguments.
    """
    if replications < 1:
        raise UsageError(f"replications={replications}: replications must be positive")
    if seed < 0:
        raise UsageError(f"seed={seed}: give a number that is not negative")
    pool = Pool.of(panel, reading)
    whole = {o: pool.fit(o) for o in OUTCOMES}
    if not whole["belief"].exists[0]:
        raise DesignError(
            "belief is separated in the whole pool, so there is no estimate to reach: "
            "collect more runs, or prices at which the model is less sure"
        )
    grid = (n for n in range(1, pool.runs) if n <= _ALL_UP_TO or n % 10 == 0)
    tried = tuple(sorted({*grid, *(n for n in runs if n <= pool.runs)}))
    const, slope, se_model, se_robust, log_score = _draw(pool, tried, replications, seed, progress)
    return Draws(
        pool=pool,
        whole=whole,
        tried=tried,
        const=const,
        slope=slope,
        se_model=se_model,
        se_robust=se_robust,
        log_score=log_score,
        seed=seed,
        replications=replications,
    )


def _draw(
    pool: Pool, tried: tuple[int, ...], replications: int, seed: int, progress: Progress | None
) -> list[dict[str, Array]]:
    """Constants, slopes, their two errors and log scores: arrays by outcome."""
    shape = (replications, len(tried))
    found = [{o: np.full(shape, np.nan) for o in OUTCOMES} for _ in range(5)]
    cells, runs = pool.values["belief"].shape
    size = max(1, _CHUNK // (cells * runs))
    if progress is not None:  # a bar that moves, at no price
        size = min(size, max(1, replications // 50))
    streams = np.random.SeedSequence(seed).spawn(replications)
    for start in range(0, replications if tried else 0, size):
        chunk = streams[start : start + size]
        order = np.stack(
            [np.random.default_rng(s).random((cells, runs)).argsort(axis=1) for s in chunk]
        )
        sums = {o: _cumulated(pool, o, order, tried) for o in OUTCOMES}
        held = _held_out(pool, sums["choice"])
        for outcome in OUTCOMES:
            fit = pool.fit_sums(sums[outcome])
            score = _log_score(pool, fit, held)
            parts = (fit.const, fit.slope, fit.se_iid[:, 1], fit.se_robust[:, 1], score)
            for array, part in zip(found, parts, strict=True):
                array[outcome][start : start + len(chunk)] = part.reshape(len(chunk), -1)
        if progress is not None:
            progress(min(1.0, (start + len(chunk)) / replications))
    return found


def _parts(y: Array, r: Array | None) -> list[Array]:
    """What is added up: 1, y, y^2; of corrected beliefs r, y, y^2 and 1, y r, r^2.

    Zero for runs that are not usable.
    """
    known, filled = np.isfinite(y).astype(float), np.nan_to_num(y)
    if r is None:
        return [known, filled, filled**2]
    r = np.nan_to_num(r)
    return [r, filled, filled**2, known, filled * r, r**2]


def _cumulated(
    pool: Pool, outcome: str, order: NDArray[np.intp], tried: tuple[int, ...]
) -> list[Array]:
    """Sums by price of the first n runs of each order; (draws * tried, J) each."""
    index = np.asarray(tried) - 1
    y = np.take_along_axis(pool.values[outcome][None], order, axis=2)
    r = pool.read if outcome == "belief" else None
    return [
        np.einsum(
            "bcn,cj->bnj", np.cumsum(p, axis=2)[:, :, index], pool.member, optimize=True
        ).reshape(-1, len(pool.price))
        for p in _parts(y, None if r is None else np.take_along_axis(r[None], order, axis=2))
    ]


def _held_out(pool: Pool, sums: Sequence[Array]) -> tuple[Array, Array]:
    """Number and sum of the choices that each draw leaves out, by price."""
    n, total = pool.sums("choice")[:2]
    return n - sums[0], total - sums[1]


def _log_score(pool: Pool, fit: BatchFit, held: tuple[Array, Array]) -> Array:
    """Mean log-likelihood of a held-out choice; NaN without fit or held-out choices."""
    n, ones = held
    eta = np.nan_to_num(fit.const)[:, None] + np.nan_to_num(fit.slope)[:, None] * pool.price
    score = (ones * eta - n * np.logaddexp(0.0, eta)).sum(axis=1)
    rows = n.sum(axis=1)
    return np.where((rows > 0) & fit.exists, score / np.maximum(rows, 1), np.nan)
