"""Cases at given values: shares, log-sums, and what a price does to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.kernels import Kernel, Numbers
from llmdemand.modeling.likelihood.sets import ChoiceSets
from llmdemand.modeling.quantities.intervals import Fit, ready
from llmdemand.modeling.quantities.prices import names, price_column, with_price
from llmdemand.modeling.quantities.slopes import numbers, slopes
from llmdemand.modeling.sample.designs import Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Pull", "Scene", "linear_in_price", "price_range"]

_ROWS = 1 << 17  # of regressors that are made at a time
_HELD = 1 << 22  # utilities that are held at a time, where tastes vary


@dataclass(frozen=True)
class Pull:
    """What an alternative's price does.

    Attributes
    ----------
    x : (R, K) array
        ``dx / dprice``; zero in rows that the price does not touch.
    price : (N,) array
        The price by case; NaN where the alternative is not in the choice set.
    column : str
        Its column.
    jumps : bool
        Whether a regressor jumps at one of the prices.
    """

    x: Array
    price: Array
    column: str
    jumps: bool


@dataclass(frozen=True)
class Scene:
    """Cases, not buying made explicit as a row of zeros, and the answers they belong to.

    Attributes
    ----------
    fit : Fit
        The demand.
    frame : pandas.DataFrame
        The rows that the regressors are made of.
    weight : (N,) array
        Weight of each case.
    answer : (N,) int array
        Which answer each case is averaged into.
    answers : int
        Their number.
    x : (R, K) array
        Regressors by case and alternative, an offset as one more column.
    start : (N,) int array
        First row of each case.
    labels : (R,) int array
        Place of each row's alternative in `names`.
    members : (R, Q) array or None
        Regressors of belonging to a class of people, in models that have them.
    """

    fit: Fit
    frame: pd.DataFrame
    weight: Array
    answer: Codes
    answers: int
    x: Array
    start: Codes
    labels: Codes
    members: Array | None = None
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def design(self) -> Design:
        """The design of the fit."""
        return ready(self.fit, "a quantity")[0]

    @property
    def sets(self) -> ChoiceSets:
        """The alternatives of each case."""
        if "sets" not in self._kept:
            self._kept["sets"] = ChoiceSets(self.start, len(self.labels))
        found = self._kept["sets"]
        assert isinstance(found, ChoiceSets)
        return found

    @property
    def case(self) -> Codes:
        """Case of each row."""
        return self.sets.case

    @property
    def kernel(self) -> Kernel:
        """From utilities to shares."""
        return self.fit.kernel

    def rows(self, alternative: str) -> Codes:
        """The rows of an alternative."""
        key = ("rows", alternative)
        if key not in self._kept:
            place = names(self.design).index(alternative)
            self._kept[key] = np.flatnonzero(self.labels == place)
        return np.asarray(self._kept[key])

    def utilities(self, b: Numbers, x: Array | None = None) -> Numbers:
        """Utilities by taste and row, (D, ..., R)."""
        x = self.x if x is None else x
        if not self.design.offset:
            return self.kernel.utilities(b, x)
        # The offset is the last column: its coefficient is 1, whatever the tastes.
        return self.kernel.utilities(b, x[..., :-1]) + x[..., -1]

    def shares(self, b: Numbers, x: Array | None = None) -> Numbers:
        """Probabilities by row; complex coefficients pass through."""
        parts = [
            self.mean(b, self.kernel.shares(b, v, sets, self.labels[rows]), rows)
            for rows, sets, v in self._pieces(b, x)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def shares_of(self, b: Numbers, v: Numbers) -> Numbers:
        """Probabilities by row at given utilities."""
        return self.mean(b, self.kernel.shares(b, v, self.sets, self.labels))

    def log_sums(self, b: Numbers) -> Numbers:
        """Expected utility of the best alternative, by taste and case, (D, N)."""
        parts = [
            self.kernel.log_sums(b, v, sets, self.labels[rows]) for rows, sets, v in self._pieces(b)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def mean(self, b: Numbers, values: Numbers, rows: Codes | slice = slice(None)) -> Numbers:
        """The mean over tastes of values that belong to these rows; of cases, to their first."""
        members = None if self.members is None else self.members[rows]
        return self.kernel.mean(b, values, members)

    def _pieces(
        self, b: Numbers, x: Array | None = None
    ) -> Iterator[tuple[slice, ChoiceSets, Numbers]]:
        """Neighbouring cases, and their utilities: of many tastes not all rows at once."""
        x = self.x if x is None else x
        if self.kernel.tastes * len(self.labels) <= _HELD:
            yield slice(0, len(self.labels)), self.sets, self.utilities(b, x)
            return
        for rows, sets in self.sets.pieces(max(1, _HELD // self.kernel.tastes)):
            yield rows, sets, self.utilities(b, x[..., rows, :])

    def spread(self, x: Array) -> Array:
        """Regressors as the design makes them, with the rows for not buying."""
        if not self.design.outside:
            return x
        wide = np.zeros((2 * len(x), x.shape[1]))
        wide[::2] = x
        return wide

    def own(self, values: Array) -> Array:
        """Values of the frame's rows, by row of `x`; zero for not buying."""
        if self.design.outside:
            wide = np.zeros(2 * len(values))
            wide[::2] = values
            return wide
        return np.repeat(values, len(self.x) // len(values))

    def pull(self, alternative: str, price: str) -> Pull:
        """What the price of an alternative does; `alternative` may be a price column."""
        key = ("pull", alternative, price)
        if key not in self._kept:
            column, rows = price_column(self.design, alternative, price, self.frame)
            by_column = ("slopes", column)
            if by_column not in self._kept:
                sample = ready(self.fit, "a derivative")[1]
                self._kept[by_column] = slopes(self.design, self.frame, column, sample)
            moved = self._kept[by_column]
            touched = self.own(rows) > 0
            value = np.full(len(self.start), np.nan)
            value[self.case[touched]] = self.own(numbers(self.frame, column, "price"))[touched]
            x = self.spread(moved.x) * touched[:, None]
            self._kept[key] = Pull(x, value, column, moved.jumps)
        found = self._kept[key]
        assert isinstance(found, Pull)
        return found

    def responses(self, b: Numbers, pull: Array, x: Array | None = None) -> tuple[Numbers, Numbers]:
        """Shares, and derivatives of their logarithms where regressors move by `pull`, by row."""
        parts = []
        for (rows, sets, v), (_, _, moved) in zip(
            self._pieces(b, x), self._pieces(b, pull), strict=True
        ):
            s, by = self.kernel.responses(b, v, moved, sets, self.labels[rows])
            if len(s) == 1:  # shares that underflow have a derivative, too
                parts.append((self.mean(b, s, rows), self.mean(b, by, rows)))
                continue
            mean = self.mean(b, s, rows)
            parts.append((mean, self.mean(b, s * by, rows) / mean))
        if len(parts) == 1:
            return parts[0]
        shares, logs = zip(*parts, strict=True)
        return np.concatenate(shares, axis=-1), np.concatenate(logs, axis=-1)

    def total(self, values: Numbers, case: Codes | slice = slice(None)) -> Numbers:
        """Weighted sums by answer, of values that belong to these cases."""
        answer, weighted = self.answer[case], values * self.weight[case]
        found = np.bincount(answer, np.real(weighted), self.answers)
        if np.iscomplexobj(weighted):
            return found + 1j * np.bincount(answer, np.imag(weighted), self.answers)
        return found

    @property
    def everyone(self) -> Array:
        """The weight of all cases, by answer."""
        return np.asarray(self.total(np.ones(len(self.start))))

    def summed(self, values: Numbers, alternative: str) -> Numbers:
        """Weighted sums by answer of what rows of an alternative have, from values of all rows."""
        rows = self.rows(alternative)
        return self.total(values[rows], self.case[rows])

    def means(self, values: Numbers, asked: Sequence[str]) -> Numbers:
        """The same by answer and alternative, over all cases, also those without it."""
        return np.column_stack([self.summed(values, a) for a in asked]) / self.everyone[:, None]

    def changed(self, frame: pd.DataFrame) -> Scene:
        """The same cases with other values."""
        made = self.design.regressors(frame)
        return replace(self, frame=frame, x=self.spread(made.wide), members=made.members, _kept={})

    def regressors(self, frames: Sequence[pd.DataFrame]) -> Array:
        """Regressors (G, R, K) of the same cases with other values, G times."""
        import pandas as pd

        size = max(1, _ROWS // len(self.x))
        parts = []
        for first in range(0, len(frames), size):
            some = frames[first : first + size]
            # One long frame: reading a formula costs more than a few rows.
            x = self.design.regressors(pd.concat(some, ignore_index=True)).wide
            parts.append(self.spread(x).reshape(len(some), *self.x.shape))
        return np.concatenate(parts)

    def priced(self, alternative: str, price: str, values: Array) -> Array:
        """Regressors (G, R, K) with each of G prices of an alternative."""
        return self.regressors(
            [with_price(self.design, self.frame, alternative, price, float(v)) for v in values]
        )

    def at_price(self, alternative: str, price: str, value: Any) -> Scene:
        """The same cases with another price, one for all or one by row of the frame."""
        return self.changed(with_price(self.design, self.frame, alternative, price, value))


def price_range(scene: Scene, alternative: str, price: str) -> tuple[float, float]:
    """The lowest and the highest price of an alternative in the sample."""
    _, sample = ready(scene.fit, "a price range")
    column, rows = price_column(scene.design, alternative, price, sample)
    seen = numbers(sample, column, "price")[np.asarray(rows) > 0]
    return float(seen.min()), float(seen.max())


def linear_in_price(scene: Scene, alternative: str, price: str) -> bool:
    """Whether all regressors are linear in the price, over its range in the sample."""
    low, high = price_range(scene, alternative, price)
    first = scene.at_price(alternative, price, low)
    slope = first.pull(alternative, price)
    if slope.jumps:
        return False
    scale = np.abs(first.x).max(axis=0) + (high - low + abs(low)) * np.abs(slope.x).max(axis=0)
    _, sample = ready(scene.fit, "a price range")
    column, _ = price_column(scene.design, alternative, price, sample)
    # Levels that were seen, and two between them.
    levels = np.unique(numbers(sample, column, "price"))
    levels = levels[(levels >= low) & (levels <= high)]
    chosen = levels[np.linspace(0, len(levels) - 1, min(len(levels), 24)).astype(int)]
    between = [low + 0.381966 * (high - low), low + 0.7236 * (high - low)]
    some = np.append(chosen, between)
    try:
        there = scene.priced(alternative, price, some)
    except DesignError:
        return False
    line = first.x + slope.x * (some - low)[:, None, None]
    return bool((np.abs(there - line) <= 1e-9 * scale).all())
