"""Answers of both sides by respondent and price, and respondents drawn anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from llmdemand.modeling.arrays import Array, Codes

__all__ = ["FEW", "LEAST", "MOST", "Respondents", "Sides", "interval", "sides"]

#: Respondents below which a number is warned of, and below which there is none.
FEW, LEAST = 30, 10
#: Prices above which products of answers are not kept.
MOST = 20
_BATCH = 4_000_000  # weights in memory at once


@dataclass(frozen=True)
class Respondents:
    """Respondents of both sides, drawn anew.

    Attributes
    ----------
    side : (n,) int array
        1 on the humans' side alone, 2 on the LLM's, 3 on both; 0 on neither.
    reps, seed : int
        Of the bootstrap.
    """

    side: Codes
    reps: int
    seed: int

    def sums(self, values: Array) -> Array:
        """Sums over respondents, as they are and drawn anew: (1 + reps, ...).

        Parameters
        ----------
        values : (n, ...) array
            Contributions of respondents.

        Notes
        -----
        People are drawn with replacement among those on both sides, the humans alone and the LLM
        alone, each as often as they are: what one person said on both sides stays together. Every
        call draws the same people.
        """
        flat = values.reshape(len(values), -1)
        found = [flat.sum(axis=0)[None], *(w @ flat for w in self._weights())]
        return np.concatenate(found).reshape(1 + self.reps, *values.shape[1:])

    def _weights(self) -> Iterator[Array]:
        rng = np.random.default_rng(self.seed)
        strata: list[Codes] = [np.flatnonzero(self.side == k) for k in (1, 2, 3)]
        size = max(1, _BATCH // self.side.size)
        for begin in range(0, self.reps, size):
            weights = np.zeros((min(size, self.reps - begin), self.side.size))
            for row in weights:
                for who in (s for s in strata if len(s)):
                    drawn = rng.integers(len(who), size=len(who))
                    row[who] = np.bincount(drawn, minlength=len(who))
            yield weights


@dataclass(frozen=True)
class Sides:
    """Mean answers by respondent and price.

    Attributes
    ----------
    levels : (T,) array
        Prices that both sides were asked.
    asked : pair of (n, T) arrays
        1 where a respondent answered, humans and LLM; a respondent of one side has no row of
        ones on the other.
    mean : pair of (n, T) arrays
        Mean answer there, 0 where there is none.
    reps, seed : int
        Of the bootstrap.
    """

    levels: Array
    asked: tuple[Array, Array]
    mean: tuple[Array, Array]
    reps: int
    seed: int

    @property
    def humans_mix(self) -> Array:
        """Share of the humans' answers at each price."""
        return np.asarray(self.asked[0].sum(axis=0) / self.asked[0].sum())

    @property
    def respondents(self) -> Respondents:
        """Who is on which side."""
        own, told = (a.any(axis=1).astype(np.intp) for a in self.asked)
        return Respondents(np.asarray(own + 2 * told, np.intp), self.reps, self.seed)

    def sums(self, values: Array) -> Array:
        """Sums over respondents: `Respondents.sums`."""
        return self.respondents.sums(values)


def sides(
    price: tuple[Array, Array],
    values: tuple[Array, Array],
    who: tuple[Codes, Codes],
    size: int,
    reps: int,
    seed: int,
    *,
    every: bool = False,
) -> Sides:
    """Rows of both sides as `Sides`, at the prices that both were asked, or at all of the LLM's.

    Examples
    --------
    >>> rows = (np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    >>> found = sides(rows, rows, (np.array([0, 0]), np.array([0, 1])), 2, 9, 1)
    >>> found.levels, found.asked[1].ravel()
    (array([1.]), array([1., 0.]))
    """
    levels = np.unique(price[1]) if every else np.intersect1d(*price)
    asked, mean = [], []
    for p, y, w in zip(price, values, who, strict=True):
        kept = np.isin(p, levels)
        cell = w[kept] * len(levels) + np.searchsorted(levels, p[kept])
        count = np.bincount(cell, minlength=size * len(levels))
        total = np.bincount(cell, y[kept], minlength=size * len(levels))
        shape = (size, len(levels))
        asked.append((count > 0).astype(np.float64).reshape(shape))
        mean.append((total / np.maximum(count, 1)).reshape(shape))
    return Sides(levels, (asked[0], asked[1]), (mean[0], mean[1]), reps, seed)


def interval(values: Array, alpha: float) -> tuple[float, float, float]:
    """Standard deviation and percentile interval over draws; missing if one draw has none."""
    drawn = values[1:]
    if not np.isfinite(drawn).all():
        return float("nan"), float("nan"), float("nan")
    lower, upper = np.quantile(drawn, [alpha / 2, 1 - alpha / 2])
    return float(drawn.std(ddof=1)), float(lower), float(upper)
