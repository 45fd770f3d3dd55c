"""Data of a multinomial or conditional logit: choice situations and their alternatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from llmdemand.modeling.arrays import Array, Codes, xlogx
from llmdemand.modeling.likelihood.conditioning import orthogonal_basis
from llmdemand.modeling.likelihood.separating import separating_differences
from llmdemand.modeling.likelihood.sets import ChoiceSets

__all__ = ["Cases"]


@dataclass(frozen=True)
class Cases:
    """N choice situations with R rows of alternatives in all; choice sets may differ.

    Attributes
    ----------
    x : (R, K) array
        Regressors of each alternative; the rows of a case lie side by side.
    y : (R,) array
        Outcomes in [0, 1]; those of a case sum to 1.
    start : (N,) int array
        First row of each case.
    count : (N,) array
        How often each case is counted (frequency weight).
    weight : (N,) array
        Sampling weight of each case.
    groups : mapping of str to (N,) int array
        Cluster codes of the cases.
    labels : (R,) int array
        Alternative of each row.
    offset : (R,) array or None
        Added to the utilities; None for nothing.
    """

    x: Array
    y: Array
    start: Codes
    count: Array
    weight: Array
    groups: Mapping[str, Codes] = field(default_factory=dict)
    labels: Codes = field(default_factory=lambda: np.zeros(0, np.intp))
    offset: Array | None = None

    @property
    def size(self) -> int:
        """K, the number of coefficients."""
        return int(self.x.shape[1])

    @property
    def observations(self) -> Array:
        """Observations in each case: its count."""
        return self.count

    @property
    def weights_vary(self) -> bool:
        """Whether some sampling weight is not 1."""
        return bool((self.weight != 1).any())

    @cached_property
    def nobs(self) -> float:
        """Choice situations."""
        return float(self.count.sum())

    @cached_property
    def fractional(self) -> bool:
        """Whether some outcome lies strictly between 0 and 1."""
        return bool(((self.y > 0) & (self.y < 1)).any())

    @cached_property
    def sets(self) -> ChoiceSets:
        """The alternatives of each case."""
        return ChoiceSets(self.start, len(self.y))

    @cached_property
    def _row_weight(self) -> Array:
        return self.sets.spread(self.count * self.weight)

    def utilities(self, params: Array) -> Array:
        """Utilities by row, (R,)."""
        eta = self.x @ params
        return eta if self.offset is None else eta + self.offset

    def shares(self, params: Array) -> Array:
        """Fitted probabilities by row, (R,)."""
        return self.sets.shares(self.utilities(params))

    def llf(self, params: Array) -> float:
        """``sum_i w_i [sum_j y_ij v_ij - log sum_j exp(v_ij)]``."""
        eta = self.utilities(params)
        chosen = self.sets.sum(self.y * eta)
        return float((self.count * self.weight) @ (chosen - self.sets.log_sums(eta)))

    def llnull(self) -> float | None:
        """The same with one constant per alternative; None with an offset or unequal sets."""
        alternatives = int(self.labels.max()) + 1
        if self.sets.balanced != alternatives or self.offset is not None:
            return None
        total = np.bincount(self.labels, self._row_weight * self.y, alternatives)
        used = total[total > 0]
        return float(used @ np.log(used / (self.count * self.weight).sum()))

    def constants(self) -> Cases:
        """The same outcomes with one constant per alternative but the first."""
        dummies = self.labels[:, None] == np.arange(1, int(self.labels.max()) + 1)
        return replace(self, x=dummies.astype(float))

    def saturated(self) -> float:
        """The log (quasi-)likelihood of a perfect fit: 0 for outcomes of 0 and 1."""
        return float(self._row_weight @ xlogx(self.y))

    def _centred(self, params: Array) -> tuple[Array, Array]:
        """Probabilities, and regressors less their mean in the case."""
        p = self.shares(params)
        middle = self.sets.sum(p[:, None] * self.x)
        return p, self.x - self.sets.spread(middle)

    def _case_scores(self, params: Array) -> Array:
        """Score of one observation of each case, sampling weight included."""
        residual = self.sets.spread(self.weight) * (self.y - self.shares(params))
        return self.sets.sum(residual[:, None] * self.x)

    def scores(self, params: Array) -> Array:
        """``w_i sum_j x_ij (y_ij - p_ij)``."""
        return np.asarray(self.count[:, None] * self._case_scores(params))

    def information(self, params: Array) -> Array:
        """``sum_ij w_i p_ij (x_ij - xbar_i)(x_ij - xbar_i)'``."""
        p, d = self._centred(params)
        return np.asarray((d * (self._row_weight * p)[:, None]).T @ d)

    def meat(
        self, params: Array, inverse: Array, power: float = 0.0, factor: Array | None = None
    ) -> Array:
        """See `Likelihood.meat`; with power 1 the one-step leave-one-case-out jackknife."""
        s = self._case_scores(params)
        if power:
            p, d = self._centred(params)
            rows = (self.sets.spread(self.weight) * p)[:, None, None] * (
                d[:, :, None] * d[:, None, :]
            )
            # In coordinates where the whole information is 1, a case's is symmetric.
            root = np.linalg.cholesky(inverse)
            part = root.T @ self.sets.sum(rows) @ root
            values, vectors = np.linalg.eigh(part)
            free = np.maximum(1 - values, 1e-12) ** -power
            turned = np.einsum("nij,ni->nj", vectors, s @ root)
            s = np.einsum("nij,nj->ni", vectors, free * turned) @ np.linalg.inv(root)
        w = self.count if factor is None else self.count * factor
        return np.asarray((s * w[:, None]).T @ s)

    def penalty_score(self, params: Array, inverse: Array) -> Array:
        """``1/2 sum_ij w_i p_ij (d_ij' inverse d_ij) d_ij`` with d = x - xbar."""
        p, d = self._centred(params)
        leverage = self._row_weight * p * np.einsum("ij,ij->i", d @ inverse, d)
        return np.asarray(leverage @ d / 2)

    def rounding(self, params: Array) -> Array:
        """See `Likelihood.rounding`."""
        p, d = self._centred(params)
        size = self.sets.spread(self.weight * np.sqrt(self.count)) * p
        d, x = d * size[:, None], self.x * (1e-8 * size)[:, None]
        return np.asarray(d.T @ d + x.T @ x)

    def reach(self, step: Array) -> float:
        """Largest change of a difference of utilities within a case."""
        moved = self.x @ step
        return float((self.sets.max(moved) - self.sets.min(moved)).max())

    def differences(self) -> Array:
        """``x_ij - x_ik`` for each alternative j with a positive outcome and each rival k.

        They are what separation is about: see `separating_differences`.
        """
        case = self.sets.case
        used = (self.y > 0) & (self._row_weight > 0)
        best = np.flatnonzero(used)
        sizes = self.sets.sizes[case[best]]
        first = np.repeat(best, sizes)
        offset = np.arange(len(first)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        second = self.start[case[first]] + offset
        return np.asarray((self.x[first] - self.x[second])[first != second])

    def separating_direction(self) -> Array | None:
        """See `llmdemand.modeling.likelihood.separating.separating_differences`."""
        return separating_differences(self.differences())

    def merged(self) -> Cases:
        """The cases themselves: each has regressors of its own."""
        return self

    def undecided(self, direction: Array) -> Cases | None:
        """The alternatives that tie for the best in the limit, in cases where several do."""
        moved = self.x @ direction
        best = self.sets.spread(self.sets.max(moved))
        rows = best - moved <= 1e-9 * np.abs(moved).max()
        sizes = self.sets.sum(rows.astype(np.intp))
        if (sizes < 2).all():
            return None
        kept = replace(
            self,
            x=self.x[rows],
            y=self.y[rows],
            start=np.cumsum(sizes) - sizes,
            labels=self.labels[rows],
            offset=None if self.offset is None else self.offset[rows],
        )
        return kept.weighted((sizes > 1).astype(float))

    def projected(self, basis: Array) -> Cases:
        """The data in the regressors ``x @ basis``."""
        return replace(self, x=self.x @ basis)

    def weighted(self, factor: Array) -> Cases:
        """Each case counted `factor` times; cases counted 0 times leave."""
        used = factor > 0
        rows, sizes = self.sets.spread(used), self.sets.sizes[used]
        return replace(
            self,
            x=self.x[rows],
            y=self.y[rows],
            start=np.cumsum(sizes) - sizes,
            count=(self.count * factor)[used],
            weight=self.weight[used],
            groups={name: codes[used] for name, codes in self.groups.items()},
            labels=self.labels[rows],
            offset=None if self.offset is None else self.offset[rows],
        )

    def standardised(self) -> tuple[Cases, Array]:
        """Regressors as `scaled` makes them, orthogonal where they are nearly collinear."""
        z, back = self.scaled()
        basis = orthogonal_basis(z.x)
        return (z, back) if basis is None else (z.projected(basis), back @ basis)

    def scaled(self) -> tuple[Cases, Array]:
        """Regressors less their mean in the case (utilities are relative), scaled to [-1, 1]."""
        z = self.x - self.sets.spread(self.sets.sum(self.x) / self.sets.sizes[:, None])
        spread = np.abs(z).max(axis=0)
        # What remains of a regressor of the case is rounding: exactly nothing.
        z[:, spread <= 1e-12 * np.abs(self.x).max(axis=0)] = 0.0
        spread[spread <= 1e-12 * np.abs(self.x).max(axis=0)] = 1.0
        return replace(self, x=z / spread), np.diag(1 / spread)
