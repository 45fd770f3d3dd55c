"""Data of a multinomial or conditional logit: choice situations and their alternatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from llmdemand.modeling.arrays import (
    Array,
    Codes,
    crossed,
    peaks,
    product,
    rescaled,
    sums,
    xlogx,
)
from llmdemand.modeling.likelihood.conditioning import orthogonal_basis
from llmdemand.modeling.likelihood.separating import separating_differences, separating_sums
from llmdemand.modeling.likelihood.sets import ChoiceSets

__all__ = ["Cases", "llf_of_constants"]

_PIECE = 4096  # rows


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
    read : (N,) array or None
        For corrected beliefs: what the outcomes of each case sum to, as in `Cells`.
    """

    x: Array
    y: Array
    start: Codes
    count: Array
    weight: Array
    groups: Mapping[str, Codes] = field(default_factory=dict)
    labels: Codes = field(default_factory=lambda: np.zeros(0, np.intp))
    offset: Array | None = None
    read: Array | None = None

    @property
    def size(self) -> int:
        """K, the number of coefficients."""
        return int(self.x.shape[1])

    @property
    def observations(self) -> Array:
        """Observations in each case: its count."""
        return self.count

    @property
    def corrected(self) -> bool:
        """Whether outcomes are corrected beliefs, which may leave [0, 1]."""
        return self.read is not None

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
        return self.corrected or bool(((self.y > 0) & (self.y < 1)).any())

    @cached_property
    def sets(self) -> ChoiceSets:
        """The alternatives of each case."""
        return ChoiceSets(self.start, len(self.y))

    @cached_property
    def _row_weight(self) -> Array:
        return self.sets.spread(self.count * self.weight)

    @cached_property
    def _read(self) -> Array:
        """Weight of each case in what is expected of it."""
        w = self.count * self.weight
        return w if self.read is None else w * self.read

    def utilities(self, params: Array) -> Array:
        """Utilities by row, (R,)."""
        eta = product(self.x, params)
        return eta if self.offset is None else eta + self.offset

    @cached_property
    def _chosen(self) -> tuple[Array, Array]:
        """Weighted outcomes by row, and what they exceed the weight of their case by."""
        chosen = self._row_weight * self.y
        return chosen, self.sets.sum(chosen) - self._read

    @cached_property
    def _kept(self) -> dict[bytes, tuple[float, Array]]:
        return {}

    def _point(self, params: Array) -> tuple[float, Array]:
        """Log-likelihood and probabilities, kept for the coefficients asked for last."""
        key = params.tobytes()
        found = self._kept.get(key)
        if found is None:
            eta = self.utilities(params)
            top = self.sets.max(eta)
            below = eta - self.sets.spread(top)
            p = np.exp(below)
            total = self.sets.sum(p)
            p /= self.sets.spread(total)
            p.flags.writeable = False
            chosen, excess = self._chosen
            w = self._read
            by_case = excess * top - w * np.log(total)
            found = float((chosen * below).sum() + by_case.sum()), p
            self._kept.clear()
            self._kept[key] = found
        return found

    def shares(self, params: Array) -> Array:
        """Fitted probabilities by row, (R,)."""
        return self._point(params)[1]

    def llf(self, params: Array) -> float:
        """``sum_i w_i [sum_j y_ij v_ij - log sum_j exp(v_ij)]``."""
        return self._point(params)[0]

    def llnull(self) -> float | None:
        """The same with one constant per alternative; None with an offset or unequal sets."""
        alternatives = int(self.labels.max()) + 1
        if self.sets.balanced != alternatives or self.offset is not None:
            return None
        total = sums(self.labels, self._row_weight * self.y, alternatives)
        return llf_of_constants(total, float(self._read.sum()), corrected=self.corrected)

    def constants(self) -> Cases:
        """The same outcomes with one constant per alternative but the first.

        Without an offset cases with the same choice set are then alike, and are merged.
        """
        if self.offset is not None:
            dummies = self.labels[:, None] == np.arange(1, int(self.labels.max()) + 1)
            return replace(self, x=dummies.astype(float))
        size, w = int(self.labels.max()) + 1, self.count * self.weight
        alike = np.arange(len(w))
        if size < 63:  # a choice set is then a binary number
            alike = np.unique(self.sets.sum(1 << self.labels), return_inverse=True)[1]
        key = self.sets.spread(alike) * size + self.labels
        held = np.flatnonzero(np.bincount(key))
        pattern, label = np.divmod(held, size)
        total = sums(alike, w, int(alike.max()) + 1)
        y = np.bincount(key, self._chosen[0])[held] / np.where(total > 0, total, 1)[pattern]
        dummies = (label[:, None] == np.arange(1, size)).astype(float)
        start = np.flatnonzero(np.diff(pattern, prepend=-1))
        return Cases(dummies, y, start, total, np.ones(len(start)), {}, label)

    def saturated(self) -> float:
        """The log (quasi-)likelihood of a perfect fit: 0 for outcomes of 0 and 1."""
        return float(self._row_weight @ xlogx(self.y))

    def _centred(self, params: Array) -> tuple[Array, Array]:
        """Probabilities, and regressors less their mean in the case."""
        p = self.shares(params)
        return p, self.sets.less(self.x, self.sets.weighted(p, self.x))

    def _case_scores(self, params: Array) -> Array:
        """Score of one observation of each case, sampling weight included."""
        expected = self.shares(params)
        if self.read is not None:
            expected = expected * self.sets.spread(self.read)
        residual = self.sets.spread(self.weight) * (self.y - expected)
        return self.sets.weighted(residual, self.x)

    def scores(self, params: Array) -> Array:
        """``w_i sum_j x_ij (y_ij - p_ij)``."""
        return np.asarray(self.count[:, None] * self._case_scores(params))

    def gradient(self, params: Array) -> Array:
        """The sum of the scores."""
        residual = self._chosen[0] - self.sets.spread(self._read) * self.shares(params)
        return crossed(residual[:, None], self.x).ravel()

    def information(self, params: Array) -> Array:
        """``sum_ij w_i p_ij (x_ij - xbar_i)(x_ij - xbar_i)'``."""
        p = self.shares(params)
        w, found = self.sets.spread(self._read) * p, np.zeros((self.size, self.size))
        # Piece by piece, so that what is made on the way stays in the processor's cache.
        for rows, sets in self.sets.pieces(_PIECE):
            x = self.x[rows]
            d = sets.less(x, sets.weighted(p[rows], x))
            found += crossed(d * w[rows, None], d)
        return found

    def meat(
        self, params: Array, inverse: Array, power: float = 0.0, factor: Array | None = None
    ) -> Array:
        """See `Likelihood.meat`; with power 1 the one-step leave-one-case-out jackknife."""
        s = self._case_scores(params)
        if power:
            p, d = self._centred(params)
            one = self.weight if self.read is None else self.weight * self.read
            rows = (self.sets.spread(one) * p)[:, None, None] * (d[:, :, None] * d[:, None, :])
            # In coordinates where the whole information is 1, a case's is symmetric.
            root = np.linalg.cholesky(inverse)
            part = root.T @ self.sets.sum(rows) @ root
            values, vectors = np.linalg.eigh(part)
            free = np.maximum(1 - values, 1e-12) ** -power
            turned = np.einsum("nij,ni->nj", vectors, s @ root)
            s = np.einsum("nij,nj->ni", vectors, free * turned) @ np.linalg.inv(root)
        w = self.count if factor is None else self.count * factor
        return crossed(s * w[:, None], s)

    def penalty_score(self, params: Array, inverse: Array) -> Array:
        """``1/2 sum_ij w_i p_ij (d_ij' inverse d_ij) d_ij`` with d = x - xbar."""
        p, d = self._centred(params)
        leverage = self.sets.spread(self._read) * p * np.einsum("ij,ij->i", d @ inverse, d)
        return np.asarray(leverage @ d / 2)

    def rounding(self, params: Array) -> Array:
        """See `Likelihood.rounding`."""
        p, d = self._centred(params)
        size = self.sets.spread(self.weight * np.sqrt(self.count)) * p
        d, x = d * size[:, None], self.x * (1e-8 * size)[:, None]
        return np.asarray(d.T @ d + x.T @ x)

    def reach(self, step: Array) -> float:
        """Largest change of a difference of utilities within a case."""
        moved = product(self.x, step)
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
        if self.read is not None and (self.y < 0).any():
            return separating_sums(self.x, self._chosen[0], self.start, self._read)
        return separating_differences(self.differences())

    def merged(self) -> Cases:
        """The cases themselves: each has regressors of its own."""
        return self

    def undecided(self, direction: Array) -> Cases | None:
        """The alternatives that tie for the best in the limit, in cases where several do."""
        if self.corrected:
            return None  # see Cells
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
        return self._regressed(self.x @ basis)

    def _regressed(self, x: Array) -> Cases:
        """The same cases with other regressors; what does not depend on them is kept."""
        found = replace(self, x=x)
        kept = ("sets", "_row_weight", "_read", "_chosen")
        found.__dict__.update({name: self.__dict__[name] for name in kept if name in self.__dict__})
        return found

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
            read=None if self.read is None else self.read[used],
        )

    def standardised(self, scaled: tuple[Cases, Array] | None = None) -> tuple[Cases, Array]:
        """Regressors as `scaled` makes them, orthogonal where they are nearly collinear."""
        z, back = scaled or self.scaled()
        basis = orthogonal_basis(z.x)
        return (z, back) if basis is None else (z.projected(basis), back @ basis)

    def scaled(self) -> tuple[Cases, Array]:
        """Regressors less their mean in the case (utilities are relative), scaled to [-1, 1]."""
        middle = self.sets.sum(self.x) / self.sets.sizes[:, None]
        z = self.sets.less(self.x, middle)
        spread = peaks(z)
        # What remains of a regressor of the case is rounding: exactly nothing.
        nothing = spread <= 1e-12 * (spread + peaks(middle))
        z[:, nothing] = 0.0
        spread[nothing] = 1.0
        rescaled(z, np.zeros(self.size), spread, out=z)
        return self._regressed(z), np.diag(1 / spread)


def llf_of_constants(chosen: Array, read: float, *, corrected: bool) -> float:
    """Log-likelihood with a constant for each alternative, where all are in all choice sets.

    Parameters
    ----------
    chosen : (J,) array
        Weighted outcomes of each alternative.
    read : float
        What they are expected to sum to.
    corrected : bool
        Whether they may be negative: then there may be no maximum, which is NaN.

    Examples
    --------
    >>> round(llf_of_constants(np.array([3.0, 1.0]), 4.0, corrected=False), 6)
    -2.249341
    """
    if corrected and (chosen <= 0).any():
        return float("nan")
    used = chosen[chosen > 0]
    return float(used @ np.log(used / read))
