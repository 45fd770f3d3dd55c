"""Weights of cells, cases and people of both sides under one design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from llmdemand.calibration.moments.weighted import case_weights, within_cells
from llmdemand.calibration.samples.raking import kish
from llmdemand.calibration.samples.samples import Pairs, Sample
from llmdemand.calibration.samples.surveyed import Surveyed
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes

__all__ = ["DESIGNS", "Designed"]

#: Common price designs by name; a mapping of price to weight is another.
DESIGNS = ("humans", "equal", "beliefs", "sampled")

_TABLE = 1 << 27  # respondents times cells that are marked in a table, not sorted


@dataclass(frozen=True)
class Designed:
    """Humans and pool, weighted to one design.

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

    @cached_property
    def answers(self) -> int | None:
        """Human answers (choices) of 0 or 1, whose variance follows from their mean; else None."""
        y = self.pairs.humans.y
        assert y is not None
        return len(self.pairs.humans.cell) if ((y == 0) | (y == 1)).all() else None

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


def _people(side: Sample, cell: Codes, cells: int) -> Array:
    size = cells * side.respondents
    key = cell.astype(np.int64) * side.respondents + side.respondent
    if size > _TABLE:
        known = np.unique(key) // side.respondents
        return np.asarray(np.bincount(known, minlength=cells), np.float64)
    seen = np.zeros(size, bool)
    seen[key] = True
    return np.asarray(seen.reshape(cells, -1).sum(axis=1), np.float64)
