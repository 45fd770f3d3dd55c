"""Scores by respondent, cell means and design weights: all that estimates and errors need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from llmdemand.calibration.moments.drawing import drawn
from llmdemand.calibration.moments.rectified import logit_data, solve
from llmdemand.calibration.samples.matching import Told, by_place
from llmdemand.calibration.samples.samples import Pairs, Sample
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells, sigmoid
from llmdemand.modeling.likelihood.sets import ChoiceSets

__all__ = ["DESIGNS", "Moments", "Scores"]

#: Common price designs by name; a mapping of price to weight is another.
DESIGNS = ("humans", "equal", "beliefs", "sampled")

_TABLE = 1 << 27  # respondents times cells that are marked in a table, not sorted

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
class Moments:
    """Humans and pool under one design.

    Attributes
    ----------
    pairs : Pairs
        The data.
    design : str or mapping
        ``humans``, ``equal``, ``beliefs``, weights by price, or ``sampled``.
    """

    pairs: Pairs
    design: str | Mapping[Any, float] = "humans"

    @property
    def sampled(self) -> bool:
        """Whether rows enter as they were sampled, without cells."""
        return self.design == "sampled"

    # --- the design -------------------------------------------------------------------------

    @cached_property
    def _cells(self) -> int:
        return len(self.pairs.begin)

    def people(self, side: Sample) -> Array:
        """Respondents in each cell, (J,)."""
        return self._people[0] if side is self.pairs.humans else self._people[1]

    @cached_property
    def _people(self) -> tuple[Array, Array]:
        return _people(self.pairs.humans, self._cells), _people(self.pairs.pool, self._cells)

    def check_cells(self) -> None:
        """Refuse cells that are empty, or have one respondent, on either side.

        Raises
        ------
        DesignError
            Naming the cell.
        """
        h, p = self.people(self.pairs.humans), self.people(self.pairs.pool)
        for cell in range(self._cells):
            for name, count in (("humans", h[cell]), ("LLM respondents", p[cell])):
                if count >= 2:
                    continue
                lone = int(((h < 2) | (p < 2)).sum())
                raise DesignError(
                    f"the cell {self.pairs.describe(cell)} has {count:.0f} of the {name}, at least "
                    f"2 are needed ({lone} of {self._cells} cells are so): ask both sides the same "
                    "prices, put regressors of respondents into classes, or, if each case has "
                    "attributes of its own, use design='sampled'"
                )

    @cached_property
    def share(self) -> Array:
        """Weight of each cell in the common design, (J,); sums to 1."""
        design, cells = self.design, self._cells
        if isinstance(design, Mapping):
            return self._given(design)
        if design not in DESIGNS:
            raise UsageError(
                f"design={design!r}: use {', '.join(map(repr, DESIGNS))}, or weights by price"
            )
        side = self.pairs.pool if design == "beliefs" else self.pairs.humans
        count = np.bincount(side.cell, minlength=cells).astype(np.float64)
        return np.full(cells, 1 / cells) if design == "equal" else count / count.sum()

    def _given(self, design: Mapping[Any, float]) -> Array:
        rows = self.pairs.rows
        if not self.pairs.outside or rows.shape[1] != 1:
            raise UsageError(
                "design as weights by price is for models with the price alone; use 'humans', "
                "'equal' or 'beliefs'"
            )
        prices = rows.iloc[:, 0].tolist()
        if set(design) != set(prices):
            odd = sorted(set(design) ^ set(prices), key=str)
            raise UsageError(
                f"design has other prices than the data ({odd[0]!r} is on one side only): give a "
                f"weight for each of {', '.join(f'{p:g}' for p in prices)}"
            )
        if not all(isinstance(w, Real) for w in design.values()):
            raise UsageError("design: weights must be numbers")
        weight = np.array([float(design[p]) for p in prices])
        if not (np.isfinite(weight).all() and (weight > 0).all()):
            raise UsageError("design: weights must be positive; leave out rows of other prices")
        return np.asarray(weight / weight.sum())

    def _weights(self, side: Sample) -> Array:
        """Weight of each case, (N,): cells add up to the design."""
        if self.sampled:
            return np.full(len(side.cell), 1 / len(side.cell))
        count = np.bincount(side.cell, minlength=self._cells)
        return np.asarray((self.share / count)[side.cell])

    @property
    def asked_design(self) -> tuple[str, str]:
        """Verdict and evidence of one price design on both sides."""
        if self.sampled:
            return (
                "not stated",
                "design='sampled': regressors are taken for draws from one law on both sides",
            )
        fewest = int(min(side.min() for side in self._people))
        return (
            "holds",
            f"{self._cells} cells, weighted alike; at least {fewest} respondents in each",
        )

    # --- what the LLM said ------------------------------------------------------------------

    @property
    def told(self) -> tuple[Told, Told]:
        """What the LLM said as either side, by cell; of sampled rows by place in the choice set."""
        if not self.sampled:
            return self.pairs.told
        sizes = np.diff(np.append(self.pairs.begin, len(self.pairs.rows)))
        place = np.arange(len(self.pairs.rows)) - np.repeat(self.pairs.begin, sizes)
        one, other = (by_place(t, place) for t in self.pairs.told)
        return one, other

    def moves(self, direction: Array) -> Array | None:
        """How much one belief of a human in each row of `told` moves a target."""
        if self.sampled:
            return None
        count = np.bincount(self.pairs.humans.cell, minlength=self._cells)
        sizes = np.diff(np.append(self.pairs.begin, len(self.pairs.rows)))
        return np.asarray((self._x @ direction) * np.repeat(self.share / count, sizes))

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
        total = np.bincount(place, values, rows)
        count = np.bincount(place, minlength=rows)
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
        respondents, times ``sqrt(n / (n - 1))``.
        """
        h, p = self.pairs.humans, self.pairs.pool
        assert h.y is not None
        return Scores(
            self._by_respondent(h, h.y, params),
            self._by_respondent(h, h.f, params),
            self._by_respondent(p, p.f, params),
        )

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
            people = self.people(side)
            factor = np.sqrt(people / (people - 1))
            cell = side.cell if self.pairs.outside else np.repeat(side.cell, sizes)
            residual = weight * factor[cell] * (values - self.means(side, values)[place])
        # Regressors are those of a cell: each column is looked up, not built for all rows.
        found = np.column_stack(
            [np.bincount(who, residual * column[place], n) for column in self._x.T]
        )
        if self.sampled:
            found = (found - found.mean(axis=0)) * np.sqrt(n / (n - 1))
        return np.asarray(found, np.float64)

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
        from dataclasses import replace

        pairs = self.pairs
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


def _people(side: Sample, cells: int) -> Array:
    size = cells * side.respondents
    key = side.cell.astype(np.int64) * side.respondents + side.respondent
    if size > _TABLE:
        known = np.unique(key) // side.respondents
        return np.asarray(np.bincount(known, minlength=cells), np.float64)
    seen = np.zeros(size, bool)
    seen[key] = True
    return np.asarray(seen.reshape(cells, -1).sum(axis=1), np.float64)
