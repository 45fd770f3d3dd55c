"""Runs that are drawn from a panel, and the choices that are left to score a fit on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel, drawn_note, sampled
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.outcomes.frames import Reading, outcomes
from llmdemand.modeling.outcomes.redrawn import Redrawn
from llmdemand.reporting.measures.spread import within

__all__ = ["Aim", "Drawn", "Pool", "by_price", "draw"]

_CHUNK = 4_000_000  # permuted elements held at a time
_SUMS = 16  # that are held of a run where what corrects belief is learnt anew

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Aim:
    """What predictions are scored on, one row per draw."""

    n: Array  # (B, J) weight of each price, in answers
    ones: Array  # (B, J) of it, chosen
    noise: Array  # (B,) mean squared error of the observed shares themselves

    @property
    def shares(self) -> Array:
        """Share of each price, 0 where there is nothing, (B, J)."""
        return np.asarray(self.ones / np.where(self.n > 0, self.n, 1))

    @property
    def rows(self) -> Array:
        """Weight of all prices together, (B,)."""
        return np.asarray(self.n.sum(axis=1))

    def repeated(self, times: int) -> Aim:
        """The same for each of several draws."""
        return Aim(*(np.repeat(a, times, axis=0) for a in (self.n, self.ones, self.noise)))


@dataclass(frozen=True)
class Pool:
    """Outcomes by cell and run, NaN where a run is not usable, and prices of cells."""

    values: dict[str, Array]  # (C, R) each
    absent: Bools  # (C, R) where a cell has fewer runs than others
    cells: NDArray[np.int64]  # (C,) numbers of the cells
    price: Array  # (J,) distinct prices
    member: Array  # (C, J) one where a cell has a price
    read: dict[str, Array] = field(default_factory=dict)  # (C, R) sums of outcomes that are not 1
    reading: Reading = "pivot"
    redrawn: Redrawn | None = None  # corrected beliefs that are learnt anew in each draw
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, panel: AnyPanel, reading: Reading | None = None) -> Pool:
        """Cells and runs in their own order, whatever that of the panel's rows.

        Raises
        ------
        DesignError
            No usable run, one price, or choices that labels correct.
        """
        panel = sampled(panel)
        panel.study.unweighted("prediction of held-out choices")
        frame = panel.frame.sort_values(["cell", "replicate"], kind="stable", ignore_index=True)
        ordered, focal = Panel(frame, panel.study, panel.provenance), panel.study.focal
        found = outcomes(ordered, reading)
        if not found.believed:
            raise DesignError(
                f"no usable run among {len(panel)}: nothing can be fitted or scored; see the "
                "answers with panel.frame['text']"
            )
        if found.labels and not np.isin(found.choice, (0.0, 1.0)).all():
            raise DesignError(
                "final choices that labels correct may leave [0, 1], so that none can be held out "
                "and predicted: leave the labels out, or use reading='pivot'"
            )
        cells, index = np.unique(frame["cell"].to_numpy(), return_inverse=True)
        place = frame.groupby("cell").cumcount().to_numpy().astype(np.intp)
        absent = np.ones((len(cells), int(place.max()) + 1), bool)
        absent[index, place] = False
        kept, column = found.frame.index.to_numpy(), panel.study.menu.index(focal)
        chosen = found.effective
        some = chosen.any(axis=1)

        def placed(of_runs: Array) -> Array:
            array = np.full(absent.shape, np.nan)
            array[index[kept], place[kept]] = of_runs
            return array

        values = {
            "belief": placed(found.belief[:, column]),
            "choice": placed(np.where(some, chosen[:, column], np.nan)),
        }
        read = {} if found.plain else {"belief": placed(found.read)}
        if not np.isin(chosen, (0.0, 1.0)).all():
            read["choice"] = placed(np.where(some, chosen.sum(axis=1).round(12), np.nan))
        redrawn = None
        if found.readings is not None:
            known = frame.index.isin(kept)
            redrawn = Redrawn.of(found.readings, column, index.astype(np.intp), place, known)
        prices = frame.groupby("cell")[f"price_{focal}"].first().to_numpy(float)
        price = np.unique(prices)
        if len(price) < 2:
            raise DesignError(
                f"all runs have one price ({price[0]:g}): a demand curve needs at least two"
            )
        member = (prices[:, None] == price).astype(float)
        notes = (*drawn_note(panel), *found.stopping)
        return cls(values, absent, cells, price, member, read, found.reading, redrawn, notes)

    @property
    def runs(self) -> int:
        """Runs of the cell that has most."""
        return int(self.absent.shape[1])

    @property
    def scored(self) -> Array:
        """What each choice counts for, (C, R); 0 where none is known."""
        known = np.isfinite(self.values["choice"]).astype(float)
        return np.nan_to_num(self.read.get("choice", known))

    @property
    def whole(self) -> Aim:
        """All usable choices."""
        n, ones = self.scored.sum(axis=1), np.nansum(self.values["choice"], axis=1)
        return Aim((n @ self.member)[None], (ones @ self.member)[None], np.zeros(1))

    def variances(self) -> Array:
        """Variance of a choice in each cell, NaN where fewer than two are known."""
        return within(self.values["choice"], self.read.get("choice"))[1]


@dataclass(frozen=True)
class Drawn:
    """Sums over the runs of each draw: (B, number of `tried`, J) each."""

    n: dict[str, Array]
    sums: dict[str, Array]
    noise: Array  # (B, number of `tried`): of held-out shares by price

    def held_out(self, k: int, pool: Pool) -> Aim:
        """The choices that the draws of the k-th number of runs leave out."""
        whole, ones = pool.whole, self.sums["choice"][:, k]
        # Weights add up to nothing where all of them were drawn, rounding apart.
        n = (whole.n - self.n["choice"][:, k]).round(9)
        return Aim(n, (whole.ones - ones).round(9), self.noise[:, k])


def draw(
    pool: Pool, tried: list[int], replications: int, seed: int, tell: Callable[[float], None]
) -> Drawn:
    """Runs of every cell without replacement: the first n of a random order, for each n tried.

    Parameters
    ----------
    pool : Pool
        Where runs are drawn from.
    tried : list of int
        Numbers of runs, all of them of the same orders.
    replications, seed : int
        Number of orders, and where they come from.
    tell : callable
        Called with the share of the work that is done, up to one half.
    """
    cells, runs = pool.absent.shape
    size = max(1, _CHUNK // (cells * runs * (1 if pool.redrawn is None else _SUMS)))
    # One stream per draw: results do not depend on how draws are chunked.
    streams = np.random.SeedSequence(seed).spawn(replications)
    parts = []
    for start in range(0, replications, size):
        keys = np.stack(
            [np.random.default_rng(s).random((cells, runs)) for s in streams[start : start + size]]
        )
        keys[:, pool.absent] = 2.0  # a cell with fewer runs gives what it has
        parts.append(_sums(pool, keys.argsort(axis=2), tried))
        tell(0.5 * min(1.0, (start + len(keys)) / replications))
    n, read, belief, choice, noise = (np.concatenate(p) for p in zip(*parts, strict=True))
    return Drawn({"belief": read, "choice": n}, {"belief": belief, "choice": choice}, noise)


def _sums(pool: Pool, order: NDArray[np.intp], tried: list[int]) -> tuple[Array, ...]:
    """By price, of the first n of each order: choices, what beliefs sum to, sums of both."""
    last = np.asarray(tried) - 1

    def first(values: Array) -> Array:
        ordered = np.take_along_axis(values[None], order, axis=2)
        return np.asarray(np.cumsum(ordered, axis=2)[:, :, last])  # (b, C, number of tried)

    drawn = first(pool.scored)
    if pool.redrawn is not None:
        belief = pool.redrawn.sums(order, last, squares=False)
    else:
        y = pool.values["belief"]
        belief = [first(np.nan_to_num(v)) for v in (pool.read.get("belief", np.isfinite(y)), y)]
    parts = [drawn, *belief, first(np.nan_to_num(pool.values["choice"]))]
    added = [np.einsum("bct,cj->btj", p, pool.member, optimize=True) for p in parts]
    n, read, of_belief, of_choice = added
    # The mean over held-out choices of Var(ybar_j), runs being drawn within cells.
    held = pool.scored.sum(axis=1)[:, None] - drawn
    by_price = np.einsum("bct,cj->btj", held, pool.member, optimize=True)
    per_cell = np.einsum("btj,cj->bct", by_price, pool.member, optimize=True)
    variance = np.where(held > 0, pool.variances()[:, None], 0.0)
    noise = (held * variance / np.where(per_cell > 0, per_cell, 1)).sum(axis=1)
    return (
        n,
        read,
        of_belief,
        of_choice,
        noise / np.where((rows := by_price.sum(axis=2)) > 0, rows, 1),
    )


def by_price(pool: Pool, truth: Mapping[Any, float] | pd.Series[float]) -> Aim:
    """A truth by cell or by price as shares by price, each cell weighing by its runs.

    Raises
    ------
    UsageError
        If a cell has none, its keys can be read both ways, or it is no probability.
    """
    keys, given = _items(truth)
    wanted = {"cell": pool.cells.astype(float), "price": pool.member @ pool.price}
    named = getattr(getattr(truth, "index", None), "name", None)
    if named in wanted:
        wanted = {str(named): wanted[str(named)]}
    middles = (keys[1:] + keys[:-1]) / 2
    places = {k: np.searchsorted(middles, v) for k, v in wanted.items()}  # of the nearest key
    whole = {k: np.isclose(keys[p], wanted[k], rtol=1e-9, atol=0) for k, p in places.items()}
    fitting = [k for k, found in whole.items() if found.all()]
    if not fitting:
        kind = max(whole, key=lambda k: int(whole[k].sum()))
        missing = np.unique(wanted[kind][~whole[kind]])
        raise UsageError(
            f"truth has {len(keys)} keys, and none for {kind} {missing[0]:g} (one of "
            f"{len(missing)} that lack): give a probability for every cell, or for every price"
        )
    if len(fitting) == 2 and not np.array_equal(places["cell"], places["price"]):
        raise UsageError(
            "the keys of truth can be read as cells and as prices: give a pandas Series whose "
            "index is named 'cell' or 'price'"
        )
    q = given[places[fitting[0]]]
    bad = ~((q >= 0) & (q <= 1))
    if bad.any():
        raise UsageError(f"truth of cell {pool.cells[bad][0]} is {q[bad][0]:g}, no probability")
    weight = (~pool.absent).sum(axis=1).astype(float)
    return Aim((weight @ pool.member)[None], ((weight * q) @ pool.member)[None], np.zeros(1))


def _items(truth: Mapping[Any, float] | pd.Series[float]) -> tuple[Array, Array]:
    """Keys in ascending order, and their values."""
    try:
        items: Iterable[tuple[Any, Any]] = truth.items()
        pairs = sorted((float(k), float(v)) for k, v in items)
    except (TypeError, ValueError, AttributeError):
        raise UsageError(
            "truth is no mapping of numbers: give a probability for every cell or price"
        ) from None
    keys, values = np.array(pairs, float).reshape(-1, 2).T
    if not len(keys):
        raise UsageError("truth is empty: give a probability for every cell or price")
    if (np.diff(keys) == 0).any():
        raise UsageError(f"truth has key {keys[:-1][np.diff(keys) == 0][0]:g} twice: give one")
    return keys, values
