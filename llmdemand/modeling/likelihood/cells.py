"""Data of a binary or fractional logit, as cells of equal regressors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes, ends, rescaled, sums, xlogx
from llmdemand.modeling.likelihood.conditioning import orthogonal_basis
from llmdemand.modeling.likelihood.separating import separating_direction, separating_totals

__all__ = ["Cells", "log_likelihood", "scaling", "sigmoid", "standardise"]


def sigmoid(eta: Array) -> Array:
    """``1 / (1 + exp(-eta))``, without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    e = np.exp(-np.abs(eta))
    return np.where(eta >= 0, 1.0, e) / (1.0 + e)


def log_likelihood(eta: Array, n: Array, total: Array) -> float:
    """``sum total eta - n log(1 + exp(eta))``: Bernoulli for 0/1, quasi for fractions."""
    return float(total @ eta - n @ np.logaddexp(0.0, eta))


@dataclass(frozen=True)
class Cells:
    """Observations of an outcome in [0, 1], grouped where their regressors are equal.

    The likelihood depends on the outcomes of a cell through their number and mean alone;
    robust variances need their scatter besides. A cell may be a single observation.

    Attributes
    ----------
    x : (M, K) array
        Regressors, the constant included.
    count : (M,) array
        Observations (frequency weights summed).
    mean : (M,) array
        Mean outcome.
    within : (M,) array
        Sum of squared deviations of the outcomes from their mean.
    weight : (M,) array
        Sampling weight that each observation of the cell has; 1 without weights.
    groups : mapping of str to (M,) int array
        Cluster codes.
    alike : (M,) int array or None
        Cells with the same number, 0 to D - 1, have equal regressors and
        weights: clusters divide them, estimates need them once.
    offset : (M,) array or None
        Added to the log-odds; None for nothing.
    read : (M,) array or None
        For corrected beliefs, which may leave [0, 1]: what the outcomes of all alternatives
        sum to in each observation of the cell, 0 where the answer is unread; None for 1. The
        log-likelihood of an observation is ``y eta - r log(1 + exp(eta))``: concave.
    entropy : (M,) array or None
        Sum of the observations' ``y log y + (1 - y) log(1 - y)``; None where it is not known.
    """

    x: Array
    count: Array
    mean: Array
    within: Array
    weight: Array
    groups: Mapping[str, Codes] = field(default_factory=dict)
    alike: Codes | None = None
    offset: Array | None = None
    entropy: Array | None = None
    read: Array | None = None

    @classmethod
    def of_rows(
        cls,
        x: Array,
        y: Array,
        groups: Mapping[str, Codes] | None = None,
        offset: Array | None = None,
    ) -> Cells:
        """Every observation a cell of its own."""
        one = np.ones(len(y))
        return cls(x, one, y, np.zeros(len(y)), one, groups or {}, offset=offset)

    @property
    def size(self) -> int:
        """K, the number of coefficients."""
        return int(self.x.shape[1])

    @property
    def observations(self) -> Array:
        """Observations in each cell."""
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
        """Observations."""
        return float(self.count.sum())

    @cached_property
    def fractional(self) -> bool:
        """Whether some outcome lies strictly between 0 and 1."""
        if self.read is not None:
            return True
        # 0/1 outcomes with mean m scatter by exactly n m (1 - m), fractions by less.
        scatter = self.count * self.mean * (1 - self.mean)
        return bool((scatter - self.within > 1e-9 * scatter).any())

    @cached_property
    def _n(self) -> Array:
        n = self.count * self.weight
        return n if self.read is None else n * self.read

    @cached_property
    def _total(self) -> Array:
        return self.count * self.weight * self.mean

    def utilities(self, params: Array) -> Array:
        """Log-odds by cell, (M,)."""
        eta = self.x @ params
        return eta if self.offset is None else eta + self.offset

    def shares(self, params: Array) -> Array:
        """Fitted means by cell, (M,)."""
        return sigmoid(self.utilities(params))

    def llf(self, params: Array) -> float:
        """``sum w [y eta - log(1 + exp(eta))]``."""
        return log_likelihood(self.utilities(params), self._n, self._total)

    def llnull(self) -> float | None:
        """The same with a constant alone; None beside an offset."""
        mean = float(self._total.sum() / self._n.sum())
        if not 0 < mean < 1:
            return 0.0
        if self.offset is not None:
            return None
        eta = np.array([np.log(mean) - np.log1p(-mean)])
        n, total = self._n.sum(keepdims=True), self._total.sum(keepdims=True)
        return log_likelihood(eta, n, total)

    def constants(self) -> Cells:
        """The same outcomes with a constant alone."""
        return replace(self, x=np.ones((len(self.mean), 1)))

    def saturated(self) -> float:
        """The log (quasi-)likelihood of a perfect fit: 0 for outcomes of 0 and 1.

        Raises
        ------
        DesignError
            Where fractions were merged and what each of them was is gone.
        """
        if not self.fractional:
            return 0.0
        entropy = self.entropy
        if entropy is None:
            if self.within.any():
                raise DesignError(
                    "fractions were merged and their entropy is not known: fit the rows themselves"
                )
            entropy = self.count * (xlogx(self.mean) + xlogx(1 - self.mean))
        return float(self.weight @ entropy)

    def scores(self, params: Array) -> Array:
        """``w x (sum y - n mu)`` by cell."""
        residual = self.count * self.weight * self._residual(params)
        return residual[:, None] * self.x

    def gradient(self, params: Array) -> Array:
        """The sum of the scores."""
        return np.asarray((self.count * self.weight * self._residual(params)) @ self.x)

    def _residual(self, params: Array) -> Array:
        """Mean outcome less what is expected of it."""
        mu = self.shares(params)
        return np.asarray(self.mean - (mu if self.read is None else self.read * mu))

    def information(self, params: Array) -> Array:
        """``sum w n mu (1 - mu) x x'``."""
        return _weighted_square(self.x, self._variances(params))

    def _variances(self, params: Array) -> Array:
        mu = self.shares(params)
        return np.asarray(self._n * mu * (1 - mu))

    def meat(
        self, params: Array, inverse: Array, power: float = 0.0, factor: Array | None = None
    ) -> Array:
        """``sum w^2 (y - mu)^2 x x' / (1 - h)^(2 power)``, h = w mu (1 - mu) x' inverse x."""
        # About the cell's own mean: no cancellation where the fit is close.
        spread = self.weight**2 * (self.within + self.count * self._residual(params) ** 2)
        if power:
            mu = self.shares(params)
            one = self.weight if self.read is None else self.weight * self.read
            leverage = one * mu * (1 - mu) * _quadratic(self.x, inverse)
            # An observation that alone fixes a coefficient has leverage 1, residual 0.
            free = np.maximum(1 - leverage, 1e-12)
            spread = spread / free ** (2 * power)
        return _weighted_square(self.x, spread if factor is None else spread * factor)

    def penalty_score(self, params: Array, inverse: Array) -> Array:
        """``sum h (1/2 - mu) x`` with h the leverage of the cell."""
        leverage = self._variances(params) * _quadratic(self.x, inverse)
        return np.asarray((leverage * (0.5 - self.shares(params))) @ self.x)

    def rounding(self, params: Array) -> Array:
        """``sum 2 w^2 (mu (1 - mu))^2 x x'``: both outcomes have a log-probability."""
        mu = self.shares(params)
        error = self.weight * mu * (1 - mu + 1e-8)
        return _weighted_square(self.x, 2 * self.count * error**2)

    def reach(self, step: Array) -> float:
        """Largest ``|x' step|``."""
        return float(np.abs(self.x @ step).max())

    def differences(self) -> Array:
        """Regressors where some outcome is positive, and minus them where some is below 1."""
        used, inner = self._n > 0, self.within > 0
        some, other = used & (inner | (self.mean > 0)), used & (inner | (self.mean < 1))
        return np.concatenate([self.x[some], -self.x[other]])

    def separating_direction(self) -> Array | None:
        """See `llmdemand.modeling.likelihood.separating.separating_direction`."""
        used = self._n > 0
        if self.read is not None:
            return separating_totals(self.x, self._total, self._n)
        # A mean of exactly 1 can be rounded from outcomes below 1; the scatter tells.
        mean = np.where(self.within > 0, np.clip(self.mean, 1e-9, 1 - 1e-9), self.mean)
        return separating_direction(self.x[used], mean[used])

    def merged(self) -> Cells:
        """The same observations without clusters, in one cell for each number in `alike`."""
        if self.alike is None:
            return self
        code, last = self.alike, self._last
        size = len(last)
        count = sums(code, self.count, size)
        mean = sums(code, self.count * self.mean, size) / count
        between = self.count * (self.mean - mean[code]) ** 2
        within = sums(code, self.within + between, size)
        last = self._last
        offset, read = (None if v is None else v[last] for v in (self.offset, self.read))
        return Cells(self.x[last], count, mean, within, self.weight[last], offset=offset, read=read)

    @cached_property
    def _last(self) -> Codes:
        """The last of the cells that are alike."""
        assert self.alike is not None
        last = np.zeros(int(self.alike.max()) + 1, np.intp)
        last[self.alike] = np.arange(len(self.alike))
        return last

    @property
    def distinct(self) -> Array:
        """The regressors of cells that differ by more than their clusters."""
        return self.x if self.alike is None else self.x[self._last]

    def undecided(self, direction: Array) -> Cells | None:
        """The cells on the separating plane; the others are fitted perfectly in the limit."""
        if self.read is not None:
            return None  # the likelihood need not be bounded: nothing has a limit
        moved = np.abs(self.x @ direction)
        still = moved <= 1e-9 * moved.max()
        return self.weighted(still.astype(float)) if still.any() else None

    def projected(self, basis: Array) -> Cells:
        """The data in the regressors ``x @ basis``."""
        return replace(self, x=self.x @ basis)

    def weighted(self, factor: Array) -> Cells:
        """Each cell's observations counted `factor` times; cells counted 0 times leave."""
        used = factor > 0
        return replace(
            self,
            x=self.x[used],
            count=(self.count * factor)[used],
            mean=self.mean[used],
            within=(self.within * factor)[used],
            weight=self.weight[used],
            groups={name: codes[used] for name, codes in self.groups.items()},
            alike=None,
            offset=None if self.offset is None else self.offset[used],
            read=None if self.read is None else self.read[used],
            entropy=None,
        )

    def standardised(self) -> tuple[Cells, Array]:
        """Regressors centred and scaled, orthogonal where they are nearly collinear."""
        z, back = standardise(self.x)
        basis = orthogonal_basis(z)
        if basis is None:
            return replace(self, x=z), back
        return replace(self, x=z @ basis), back @ basis


def _weighted_square(x: Array, weight: Array) -> Array:
    return np.asarray((x * weight[:, None]).T @ x)


def _quadratic(x: Array, matrix: Array) -> Array:
    return np.asarray(np.einsum("ij,ij->i", x @ matrix, x))


def standardise(x: Array) -> tuple[Array, Array]:
    """Regressors centred (where there is a constant) and scaled to [-1, 1], and the way back.

    Parameters
    ----------
    x : (N, K) array
        Regressors.

    Returns
    -------
    z : (N, K) array
        Standardised regressors that span the same space.
    back : (K, K) array
        ``params = back @ params_of_z``, so that ``x @ params == z @ params_of_z``.
    """
    middle, spread, back = scaling(*ends(x), x.mean(axis=0))
    return rescaled(x, middle, spread), back


def scaling(low: Array, high: Array, mean: Array) -> tuple[Array, Array, Array]:
    """Middle and spread by which `standardise` moves regressors with these ends, and the way back.

    >>> [v.tolist() for v in scaling(np.array([1.0, 2]), np.array([1.0, 6]), np.array([1.0, 4]))]
    [[0.0, 4.0], [1.0, 2.0], [[1.0, -2.0], [0.0, 0.5]]]
    """
    constant = np.flatnonzero((low == high) & (low != 0))
    middle = mean.copy() if len(constant) else np.zeros(len(low))
    middle[constant] = 0.0
    spread = np.maximum(high - middle, middle - low)
    spread[spread == 0] = 1.0
    back = np.diag(1 / spread)
    if len(constant):
        back[constant[0]] -= middle / spread / low[constant[0]]
        back[constant[0], constant[0]] = 1 / spread[constant[0]]
    return middle, spread, back
