"""Scores by respondent, cell means and design weights: all that estimates and errors need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from llmdemand.calibration.moments.drawing import drawn
from llmdemand.calibration.moments.rectified import logit_data, solve
from llmdemand.calibration.moments.weighing import DESIGNS, Designed
from llmdemand.calibration.moments.weighted import (
    by_unit,
    spread_factor,
)
from llmdemand.calibration.samples.matching import Told, by_place
from llmdemand.calibration.samples.samples import Sample
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells, sigmoid
from llmdemand.modeling.likelihood.sets import ChoiceSets

__all__ = ["DESIGNS", "Moments", "Scores"]


Parts = list[tuple[float, Cells | Cases]]


@dataclass(frozen=True)
class Scores:
    """Contributions of respondents to the estimating equations, centred.

    Attributes
    ----------
    r, q : (n, K) arrays
        Of humans: with their outcomes, and with their beliefs.
    pool : (N, K) array
        Of LLM respondents.
    """

    r: Array
    q: Array
    pool: Array

    def along(self, direction: Array) -> tuple[Array, Array, Array]:
        """The contributions to one linear function of the coefficients."""
        return self.r @ direction, self.q @ direction, self.pool @ direction

    def meat(self, lam: float) -> Array:
        """``S - lam (C + C') + lam^2 (V_n + V_N)``, (K, K)."""
        own = self.r - lam * self.q
        return np.asarray(own.T @ own + lam**2 * self.pool.T @ self.pool)


@dataclass(frozen=True)
class Moments(Designed):
    """Humans and pool under one design: see `Designed` for its attributes."""

    # --- what the LLM said ------------------------------------------------------------------

    @property
    def told(self) -> tuple[Told, Told]:
        """What the LLM said as either side, by cell; of sampled rows by place in the choice set."""
        told = self.pairs.told
        if self._survey is not None:
            # Units are permuted as a whole: clusters, where there are such.
            told = tuple(  # type: ignore[assignment]
                replace(t, respondent=unit[np.searchsorted(label, t.respondent)])
                for t, unit, label in zip(
                    told, self._survey.units, self._survey.labels, strict=True
                )
            )
        if not self.sampled:
            return told
        sizes = np.diff(np.append(self.pairs.begin, len(self.pairs.rows)))
        place = np.arange(len(self.pairs.rows)) - np.repeat(self.pairs.begin, sizes)
        one, other = (by_place(t, place) for t in told)
        return one, other

    def moves(self, direction: Array) -> Array | None:
        """How much one belief of a human in each row of `told` moves a target."""
        if self.sampled:
            return None
        count = np.bincount(self.pairs.humans.cell, minlength=self._cells)
        sizes = np.diff(np.append(self.pairs.begin, len(self.pairs.rows)))
        return np.asarray((self._x @ direction) * np.repeat(self.share / count, sizes))

    def pull(self, direction: Array) -> Array:
        """How much the mean of each row of the cells moves a target, before its weight, (R,)."""
        return np.asarray(self._x @ direction)

    @property
    def row_names(self) -> list[str]:
        """Of the rows of `told`."""
        if self.sampled:
            sizes = np.diff(np.append(self.pairs.begin, len(self.pairs.rows)))
            return [f"alternative {k + 1}" for k in range(int(sizes.max()))]
        return [self.pairs.describe_row(k) for k in range(len(self.pairs.rows))]

    # --- means and likelihoods --------------------------------------------------------------

    @cached_property
    def _x(self) -> Array:
        """Regressors of the rows of all cells."""
        return self.pairs.design.regressors(self.pairs.rows).x

    def _place(self, side: Sample) -> Codes:
        """Row of the cells that each row of a side belongs to, (R,)."""
        if self.pairs.outside:
            return side.first
        sizes = np.diff(np.append(side.start, len(side.f)))
        offset = np.arange(len(side.f)) - np.repeat(side.start, sizes)
        return np.asarray(np.repeat(side.first, sizes) + offset)

    def means(self, side: Sample, values: Array) -> Array:
        """Mean outcome by row of the cells."""
        place, rows = self._place(side), len(self.pairs.rows)
        weight = None
        if self._survey is not None:
            weight = np.repeat(self._weights(side), np.diff(np.append(side.start, len(values))))
            values = weight * values
        total = np.bincount(place, values, rows)
        count = np.bincount(place, weight, rows)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / count)

    def _likelihood(self, side: Sample, values: Array) -> Cells | Cases:
        outside = self.pairs.outside
        if self.sampled:
            x = self.regressors(side)
            return logit_data(x, values, side.start, self._weights(side), outside=outside)
        return logit_data(
            self._x, self.means(side, values), self.pairs.begin, self.share, outside=outside
        )

    def regressors(self, side: Sample) -> Array:
        """Regressors of every row of a side, (R, K)."""
        key = "humans" if side is self.pairs.humans else "pool"
        if key not in self._matrices:
            self._matrices[key] = self._x[self._place(side)]
        return self._matrices[key]

    @cached_property
    def _matrices(self) -> dict[str, Array]:
        return {}

    @cached_property
    def _three(self) -> tuple[Cells | Cases, Cells | Cases, Cells | Cases]:
        h, p = self.pairs.humans, self.pairs.pool
        assert h.y is not None
        return self._likelihood(h, h.y), self._likelihood(h, h.f), self._likelihood(p, p.f)

    def parts(self, lam: float) -> Parts:
        """``l_n(y) + lam [l_N(f) - l_n(f)]``."""
        y, f, pool = self._three
        return [(1.0, y), (-lam, f), (lam, pool)] if lam else [(1.0, y)]

    @property
    def llm_parts(self) -> Parts:
        """LLM respondents alone."""
        return [(1.0, self._three[2])]

    @property
    def pooled_parts(self) -> Parts:
        """Everybody as if all were human."""
        share = self.human_share
        return [(share, self._three[0]), (1 - share, self._three[2])]

    @property
    def human_share(self) -> float:
        """Humans' cases among all cases."""
        h, p = len(self.pairs.humans.cell), len(self.pairs.pool.cell)
        return h / (h + p)

    # --- estimates and scores ---------------------------------------------------------------

    def solve(self, parts: Parts, what: str) -> Array:
        """Coefficients at the maximum, from the humans' own as a start."""
        return solve(parts, np.asarray(self.pairs.fit.params, np.float64), what)

    def bread(self, parts: Parts, params: Array) -> Array:
        """Inverse of minus the Hessian, (K, K)."""
        information = np.sum([c * p.information(params) for c, p in parts], axis=0)
        return np.asarray(np.linalg.inv(information))

    def most(self, params: Array) -> float:
        """The lambda up to which the objective is surely concave.

        Where both sides share cells its second derivatives do not depend on lambda: inf. Of
        sampled rows they are ``(1 - lambda) H_n + lambda H_N``: half of the lambda at which that
        is singular at these coefficients, and at least 1.
        """
        if not self.sampled:
            return float("inf")
        _, f, pool = self._three
        root = np.linalg.inv(np.linalg.cholesky(f.information(params)))
        least = float(np.linalg.eigvalsh(root @ pool.information(params) @ root.T).min())
        return max(1.0, 0.5 / (1 - least)) if least < 1 else float("inf")

    def scores(self, params: Array) -> Scores:
        """Contributions by respondent at these coefficients.

        With cells, residuals are deviations from the cell's mean on the same side, times
        ``sqrt(n_j / (n_j - 1))`` for n_j respondents: prices are held fixed, and the variance of
        every cell mean is unbiased. Sampled rows have their scores, less the mean over
        respondents, times ``sqrt(n / (n - 1))``. Of a survey means are weighted, within strata,
        and contributions are those of its units: see `llmdemand.calibration.moments.weighted`.
        """
        h, p = self.pairs.humans, self.pairs.pool
        assert h.y is not None
        r, q, pool = (
            self._by_respondent(h, h.y, params),
            self._by_respondent(h, h.f, params),
            self._by_respondent(p, p.f, params),
        )
        if self._survey is not None:
            r, q, pool = by_unit(self._survey, r, q, pool)
        return Scores(r, q, pool)

    def _by_respondent(self, side: Sample, values: Array, params: Array) -> Array:
        sizes = np.diff(np.append(side.start, len(values)))
        weight, who = self._weights(side), side.respondent
        if not self.pairs.outside:
            weight, who = np.repeat(weight, sizes), np.repeat(who, sizes)
        place, n = self._place(side), side.respondents
        if self.sampled:
            x = self.regressors(side)
            eta = x @ params
            sets = ChoiceSets(side.start, len(eta))
            mu = sigmoid(eta) if self.pairs.outside else sets.shares(eta)
            residual = weight * (values - mu)
        else:
            factor, mean = self._within(side, values, sizes)
            cell = self._key(side) if self.pairs.outside else np.repeat(self._key(side), sizes)
            residual = weight * factor[cell] * (values - mean)
        # Regressors are those of a cell: each column is looked up, not built for all rows.
        found = np.column_stack(
            [np.bincount(who, residual * column[place], n) for column in self._x.T]
        )
        if self.sampled:
            share = np.full(n, 1 / n)
            if self._survey is not None:
                share = np.bincount(side.respondent, self._weights(side), n)
            found = (found - share[:, None] * found.sum(axis=0)) * np.sqrt(n / (n - 1))
        return np.asarray(found, np.float64)

    def _within(self, side: Sample, values: Array, sizes: Codes) -> tuple[Array, Array]:
        """Factor of each cell's deviations, and the mean of each row's cell (and stratum)."""
        place, survey = self._place(side), self._survey
        if survey is None:
            people = self.people(side)
            return np.sqrt(people / (people - 1)), self.means(side, values)[place]
        strata, rows = len(survey.names), len(self.pairs.rows)
        weight, stratum = (np.repeat(v, sizes) for v in (self._weights(side), self._told(side)[0]))
        at = place * strata + stratum
        total, whole = (np.bincount(at, v, rows * strata) for v in (weight * values, weight))
        factor = spread_factor(
            self._key(side),
            side.respondent,
            self._weights(side),
            self._cells * strata,
            side.respondents,
        )
        return np.sqrt(factor), (total / np.where(whole > 0, whole, 1))[at]

    def imbalance(self, params: Array) -> Array:
        """Difference of the two sides' mean scores of belief, (K,): zero in expectation."""
        _, f, pool = self._three
        both = pool.scores(params).sum(axis=0) - f.scores(params).sum(axis=0)
        return np.asarray(both)

    def spread(self, side: Sample) -> float:
        """Variance of belief between respondents of equal regressors, mean over rows.

        Of sampled rows, which hardly ever share regressors, the variance by alternative.
        """
        if self.sampled:
            sizes = np.diff(np.append(side.start, len(side.f)))
            place = np.arange(len(side.f)) - np.repeat(side.start, sizes)
            mean = np.bincount(place, side.f) / np.bincount(place)
            return float(np.mean((side.f - mean[place]) ** 2))
        return float(np.mean((side.f - self.means(side, side.f)[self._place(side)]) ** 2))

    def resampled(self, rng: np.random.Generator) -> Moments:
        """The same with respondents drawn anew, with replacement, on both sides."""
        pairs = self.pairs
        if self._survey is not None:
            raise UsageError(
                "no bootstrap of a survey: weights, strata and clusters have errors by "
                "linearisation here; use ci='delta'"
            )
        new = replace(pairs, humans=drawn(pairs.humans, rng), pool=drawn(pairs.pool, rng))
        design = self.design
        if not self.sampled:
            # The common design stays what it was.
            empty = [
                (np.bincount(s.cell, minlength=self._cells) == 0).any()
                for s in (new.humans, new.pool)
            ]
            if any(empty):
                raise DesignError("a drawn sample has no respondent in some cell")
        found = Moments(new, design)
        if not self.sampled:
            found.__dict__["share"] = self.share
        return found
