"""Scores by respondent, cell means and design weights: all that estimates and errors need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from llmdemand.calibration.moments.drawing import drawn
from llmdemand.calibration.moments.rectified import logit_data, solve
from llmdemand.calibration.moments.weighted import (
    by_unit,
    case_weights,
    spread_factor,
    within_cells,
)
from llmdemand.calibration.samples.matching import Told, by_place
from llmdemand.calibration.samples.raking import kish
from llmdemand.calibration.samples.samples import Pairs, Sample
from llmdemand.calibration.samples.surveyed import Surveyed
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

    @property
    def _survey(self) -> Surveyed | None:
        return self.pairs.survey

    def _told(self, side: Sample) -> tuple[Codes, Array, Codes]:
        """Stratum and sampling weight of each case, and unit of each person; of a survey."""
        assert self._survey is not None
        k = int(side is not self.pairs.humans)
        return self._survey.strata[k], self._survey.weights[k], self._survey.units[k]

    @cached_property
    def size(self) -> float:
        """Independent units on which variances of the humans rest, for t laws and tuning.

        ``(sum v)^2 / sum v^2``, v the sum of squared weights of a unit's people: the degrees of
        freedom of a weighted sum of squares (Satterthwaite), fewer than Kish's humans; less one for
        each stratum beyond the first.
        """
        if self._survey is None:
            return float(self.pairs.humans.respondents)
        h = self.pairs.humans
        weight = np.bincount(h.respondent, self._weights(h), h.respondents)
        spread = np.bincount(self._survey.units[0], weight**2)
        return kish(np.asarray(spread, np.float64)) - (len(self._survey.names) - 1)

    @property
    def further(self) -> int:
        """Respondents of the pool who are no humans of the sample."""
        count = self.pairs.pool.respondents
        if not self._everyone:
            return count
        assert self._survey is not None
        return int(count - np.isin(self._survey.labels[0], self._survey.labels[1]).sum())

    def people(self, side: Sample) -> Array:
        """Respondents in each cell, (J,); in each cell and stratum, (J S,), of a survey."""
        return self._people[0] if side is self.pairs.humans else self._people[1]

    @cached_property
    def _people(self) -> tuple[Array, Array]:
        h, p = self.pairs.humans, self.pairs.pool
        if self._survey is None:
            return _people(h, h.cell, self._cells), _people(p, p.cell, self._cells)
        strata = len(self._survey.names)
        own, other = (_people(s, self._key(s), self._cells * strata) for s in (h, p))
        return own, other

    def _key(self, side: Sample) -> Codes:
        """Cell and stratum of each case, as one number."""
        if self._survey is None:
            return side.cell
        return side.cell * len(self._survey.names) + self._told(side)[0]

    def check_cells(self) -> None:
        """Refuse cells that are empty, or have one respondent, on either side.

        Raises
        ------
        DesignError
            Naming the cell.
        """
        h, p = self.people(self.pairs.humans), self.people(self.pairs.pool)
        names = ("all",) if self._survey is None else self._survey.names
        for key in range(len(h)):
            for name, count in (("humans", h[key]), ("LLM respondents", p[key])):
                if count >= 2:
                    continue
                lone = int(((h < 2) | (p < 2)).sum())
                cell, stratum = divmod(key, len(names))
                where = f" in stratum {names[stratum]}" if len(names) > 1 else ""
                raise DesignError(
                    f"the cell {self.pairs.describe(cell)}{where} has {count:.0f} of the {name}, "
                    f"at least 2 are needed ({lone} of {len(h)} cells are so): ask both sides the "
                    "same prices, put regressors of respondents into classes, or, if each case has "
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
        side = self.pairs.pool if design == "beliefs" or self._everyone else self.pairs.humans
        weight = None if self._survey is None else self._told(side)[1]
        count = np.bincount(side.cell, weight, cells).astype(np.float64)
        return np.full(cells, 1 / cells) if design == "equal" else count / count.sum()

    @property
    def _everyone(self) -> bool:
        """Whether the pool is everybody from whom humans were selected: its cells are known."""
        return self._survey is not None and self._survey.everyone

    @cached_property
    def _shares(self) -> Array:
        """Weight of each cell and stratum, (J, S), of a survey; strata as among the humans."""
        assert self._survey is not None
        side = self.pairs.pool if self._everyone else self.pairs.humans
        stratum, weight, _ = self._told(side)
        strata = len(self._survey.names)
        return self.share[:, None] * within_cells(side.cell, stratum, weight, self._cells, strata)

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
        if self._survey is not None:
            stratum, weight, _ = self._told(side)
            if self.sampled:
                return np.asarray(weight / weight.sum())
            return case_weights(side.cell, stratum, weight, self._shares)
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


def _people(side: Sample, cell: Codes, cells: int) -> Array:
    size = cells * side.respondents
    key = cell.astype(np.int64) * side.respondents + side.respondent
    if size > _TABLE:
        known = np.unique(key) // side.respondents
        return np.asarray(np.bincount(known, minlength=cells), np.float64)
    seen = np.zeros(size, bool)
    seen[key] = True
    return np.asarray(seen.reshape(cells, -1).sum(axis=1), np.float64)
