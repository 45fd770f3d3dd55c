"""Draws of n runs per cell from a panel, and the logits of each draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmdemand.core.shards.shards import AnyPanel, drawn_note, sampled
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.batch.batch import BatchFit, fit_batch
from llmdemand.modeling.batch.sums import Read
from llmdemand.modeling.outcomes.frames import Reading, demand_frame, outcomes
from llmdemand.modeling.outcomes.redrawn import Redrawn
from llmdemand.reporting.measures.spread import within

__all__ = ["OUTCOMES", "Draws", "Pool", "draw"]

OUTCOMES = ("belief", "choice")

_ALL_UP_TO = 160  # beyond this many runs only every tenth number is tried
_CHUNK = 4_000_000  # permuted elements held at a time
_SUMS = 40  # that are held of a run where what corrects belief is learnt anew

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
    read : mapping
        By outcome, (C, R) arrays of what it sums to in each run; none for those that sum to 1 and
        lie in [0, 1].
    reading : str
        ``final`` or ``pivot``: whose choice it is.
    redrawn : Redrawn or None
        Corrected beliefs of stopped answers, which are learnt anew in each draw.
    notes : tuple of str
        What the reader has to know of answers that were stopped.
    """

    values: dict[str, Array]
    price: Array
    member: Array
    asked: Array
    read: dict[str, Array] = field(default_factory=dict)
    reading: Reading = "pivot"
    redrawn: Redrawn | None = None
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> int:
        """R, the most runs that a cell has."""
        return int(self.values["belief"].shape[1])

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(C, R): runs that say something, of belief or of choice."""
        return np.isfinite(self.values["belief"]) | np.isfinite(self.values["choice"])

    @property
    def readable(self) -> float:
        """Share of the runs asked that say something."""
        return float(self.usable.sum() / self.asked.sum())

    @classmethod
    def of(
        cls,
        panel: AnyPanel,
        reading: Reading | None = None,
        *,
        choice_only: bool = False,
    ) -> Pool:
        """The pool of a panel.

        Parameters
        ----------
        panel : Panel or PanelShards
            The runs; of shards a sample, see `llmdemand.core.shards.sample`.
        reading : str, optional
            As for `llmdemand.fit_demand`.
        choice_only : bool
            Whether a panel without a single belief will do; its beliefs are NaN.

        Raises
        ------
        DesignError
            Without usable runs, or with one price.
        """
        panel = sampled(panel)
        panel.study.unweighted("drawing runs")
        found = outcomes(panel, reading)
        if not found.believed and choice_only and found.reading == "pivot":
            found = outcomes(panel, statuses=("no_logprobs",))
        usable = demand_frame(panel, found=found)
        if usable.empty or not (found.believed or choice_only):
            counts = panel.statuses[panel.statuses > 0].to_dict()
            raise DesignError(
                f"no usable run among {len(panel)}: there is nothing to compare "
                f"(statuses: {counts}); see the answers with panel.frame['text']"
            )
        chosen, focal = found.effective, panel.study.menu.index(panel.study.focal)
        usable["choice"] = np.where(chosen.any(axis=1), chosen[:, focal], np.nan)
        if not found.believed:
            usable["belief"] = np.nan
        frame = panel.frame
        cells, index = np.unique(frame["cell"], return_inverse=True)
        place = frame.groupby("cell").cumcount().to_numpy().astype(np.intp)

        def placed(column: pd.Series[float]) -> Array:
            array = np.full((len(cells), int(place.max()) + 1), np.nan)
            array[index, place] = column.reindex(frame.index).to_numpy(float)
            return array

        read = {} if found.plain else {"belief": placed(usable["read"])}
        if not np.isin(chosen, (0.0, 1.0)).all():
            sums = pd.Series(chosen.sum(axis=1).round(12), usable.index)
            read["choice"] = placed(sums.where(usable["choice"].notna()))
        redrawn = None
        if found.readings is not None:
            known = frame.index.isin(usable.index)
            redrawn = Redrawn.of(found.readings, focal, index.astype(np.intp), place, known)
        prices = frame.groupby("cell")[f"price_{panel.study.focal}"].first().to_numpy(float)
        price = np.unique(prices)
        if len(price) < 2:
            raise DesignError(
                f"all runs have one price ({price[0]:g}): price sensitivity needs at least two"
            )
        asked = np.bincount(index, minlength=len(cells)).astype(float)
        member = (prices[:, None] == price).astype(float)
        values = {o: placed(usable[o]) for o in OUTCOMES}
        notes = found.stopping
        if np.isnan(values["choice"]).all() and found.reading in ("stated", "similarity"):
            notes = (f"the panel has no choices: its measure is {panel.measure!r}",)
        notes = (*drawn_note(panel), *notes)
        return cls(values, price, member, asked, read, found.reading, redrawn, notes)

    def sums(self, outcome: str) -> list[Array]:
        """The sums by price of the whole pool, one row each: see `_parts`."""
        parts = _parts(self.values[outcome], self.read.get(outcome))
        return [(p.sum(axis=1) @ self.member)[None] for p in parts]

    def fit(self, outcome: str) -> BatchFit:
        """The logit of the whole pool."""
        return self.fit_sums(self.sums(outcome))

    def fit_sums(self, sums: Sequence[Array]) -> BatchFit:
        """The logits of sums by price, (B, J) each."""
        read = Read(*sums[3:]) if len(sums) > 3 else None
        return fit_batch(self.price, *sums[:3], read=read)

    def within(self, outcome: str) -> tuple[Array, Array]:
        """Observations of each cell, and their variance: see `spread.within`. (C,) each."""
        return within(self.values[outcome], self.read.get(outcome))


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
    panel: AnyPanel,
    runs: Sequence[int] = (),
    *,
    reading: Reading | None = None,
    replications: int = 1000,
    seed: int = 1,
    progress: Progress | None = None,
) -> Draws:
    """Draw n of a panel's runs per cell many times and fit both demand models to each draw.

    Draws are without replacement, from the runs that can be read; those of n + 1 runs hold those
    of n, and a cell with fewer readable runs gives all that it has. Each draw has a random
    stream of its own, so that results do not depend on how the work is cut up.

    Parameters
    ----------
    panel : Panel or PanelShards
        R runs per cell; of shards a sample, see `llmdemand.core.shards.sample`.
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
    size = max(1, _CHUNK // (cells * runs * (1 if pool.redrawn is None else _SUMS)))
    if progress is not None:  # a bar that moves, at no price
        size = min(size, max(1, replications // 50))
    streams = np.random.SeedSequence(seed).spawn(replications)
    lost = ~pool.usable
    for start in range(0, replications if tried else 0, size):
        chunk = streams[start : start + size]
        # Runs that say nothing come last: n runs of a cell are n that can be read.
        order = np.stack(
            [(np.random.default_rng(s).random((cells, runs)) + lost).argsort(axis=1) for s in chunk]
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
    """What is added up: 1, y, y^2; of what does not sum to 1, r, y, y^2 and 1, y r, r^2.

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
    last = np.asarray(tried) - 1
    if outcome == "belief" and pool.redrawn is not None:
        by_cell = pool.redrawn.sums(order, last)
    else:
        y, r = pool.values[outcome], pool.read.get(outcome)
        by_cell = [
            np.cumsum(np.take_along_axis(p[None], order, axis=2), axis=2)[:, :, last]
            for p in _parts(y, r)
        ]
    return [
        np.einsum("bcn,cj->bnj", p, pool.member, optimize=True).reshape(-1, len(pool.price))
        for p in by_cell
    ]


def _held_out(pool: Pool, sums: Sequence[Array]) -> tuple[Array, Array]:
    """Number and sum of the choices that each draw leaves out, by price."""
    n, total = pool.sums("choice")[:2]
    # Weights add up to nothing where all of them were drawn, rounding apart.
    return (n - sums[0]).round(9), (total - sums[1]).round(9)


def _log_score(pool: Pool, fit: BatchFit, held: tuple[Array, Array]) -> Array:
    """Mean log-likelihood of a held-out choice; NaN without fit or held-out choices."""
    n, ones = held
    eta = np.nan_to_num(fit.const)[:, None] + np.nan_to_num(fit.slope)[:, None] * pool.price
    score = (ones * eta - n * np.logaddexp(0.0, eta)).sum(axis=1)
    rows = n.sum(axis=1)
    return np.where((rows > 0) & fit.exists, score / np.maximum(rows, 1), np.nan)
