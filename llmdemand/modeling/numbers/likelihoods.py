"""Log-likelihoods of counts and of points of a scale, in rows of one observation each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes

__all__ = ["Counts", "Maximum", "Ratings", "Rows", "maximum"]

_ITERATIONS = 200
_PRECISION = 1e-10  # of the gain that a step promises, relative to the log-likelihood


@dataclass(frozen=True)
class Rows(ABC):
    """What the two have in common; a `Likelihood` for sandwich covariances.

    Attributes
    ----------
    x : (N, K) array
        Regressors.
    offset : (N,) array
        Added to their linear predictor.
    weight : (N,) array
        Sampling weights.
    groups : mapping of str to codes
        Clusters.
    """

    x: Array
    offset: Array
    weight: Array
    groups: Mapping[str, Codes]

    @property
    def nobs(self) -> float:
        """Rows."""
        return float(len(self.x))

    @property
    def observations(self) -> Array:
        """One in each row."""
        return np.ones(len(self.x))

    @property
    def fractional(self) -> bool:
        """Whether outcomes are means of beliefs."""
        return True

    @property
    def corrected(self) -> bool:
        """Not asked here: outcomes may leave their range in any case."""
        return True

    @property
    def weights_vary(self) -> bool:
        """Whether there are sampling weights."""
        return bool((self.weight != self.weight[0]).any())

    @property
    def size(self) -> int:
        """The number of coefficients."""
        return int(self.x.shape[1])

    @abstractmethod
    def llf(self, params: Array) -> float:
        """Log (quasi-)likelihood."""

    @abstractmethod
    def scores(self, params: Array) -> Array:
        """The score of each row, (N, K)."""

    @abstractmethod
    def information(self, params: Array) -> Array:
        """Minus the Hessian, (K, K)."""

    def gradient(self, params: Array) -> Array:
        """The sum of all scores, (K,)."""
        return np.asarray(self.scores(params).sum(axis=0))

    def llnull(self) -> float | None:
        """Asked of the fit, which knows whether there is a constant."""
        return None

    def saturated(self) -> float:
        """Not asked here."""
        return float("nan")

    def meat(
        self, params: Array, inverse: Array, power: float = 0.0, factor: Array | None = None
    ) -> Array:
        """Sum of the outer products of the scores, (K, K); HC0 and HC1 only."""
        assert not power
        rows = self.scores(params)
        return np.asarray(rows.T @ (rows if factor is None else rows * factor[:, None]))

    @abstractmethod
    def rounding(self, params: Array) -> Array | None:
        """Covariance of the score if each log-probability had an error of 1, (K, K)."""

    def weighted(self, factor: Array) -> Self:
        """The rows with another weight, those of weight 0 left out."""
        kept = factor > 0
        return replace(
            self,
            x=self.x[kept],
            offset=self.offset[kept],
            weight=(self.weight * factor)[kept],
            groups={k: v[kept] for k, v in self.groups.items()},
        )


@dataclass(frozen=True)
class Counts(Rows):
    r"""Poisson quasi-likelihood of (expected) quantities y, of which a part r was read.

    ``sum_i w_i (y_i eta_i - r_i exp(eta_i))``, eta = x'b + offset; scores
    ``w_i x_i (y_i - r_i mu_i)`` have mean zero whenever ``E y_i = r_i mu_i``, whatever the law of
    y (Gourieroux, Monfort & Trognon 1984).

    >>> data = Counts(np.ones((3, 1)), np.zeros(3), np.ones(3), {}, np.array([1.0, 2, 3]),
    ...     np.ones(3))
    >>> round(float(np.exp(maximum(data, np.zeros(1)).params[0])), 9)
    2.0
    """

    y: Array
    read: Array

    def mu(self, params: Array) -> Array:
        """Expected quantities, (N,)."""
        return np.asarray(np.exp(self.x @ params + self.offset))

    def llf(self, params: Array) -> float:
        """Without the terms that do not depend on the coefficients."""
        eta = self.x @ params + self.offset
        return float(self.weight @ (self.y * eta - self.read * np.exp(eta)))

    def scores(self, params: Array) -> Array:
        """See the class."""
        left = self.weight * (self.y - self.read * self.mu(params))
        return np.asarray(left[:, None] * self.x)

    def information(self, params: Array) -> Array:
        """``sum_i w_i r_i mu_i x_i x_i'``."""
        weight = self.weight * self.read * self.mu(params)
        return np.asarray(self.x.T @ (weight[:, None] * self.x))

    def rounding(self, params: Array) -> Array | None:
        """``sum_i w_i^2 mu_i^2 x_i x_i'``, of the size of an expected quantity's own error."""
        weight = (self.weight * self.read * self.mu(params)) ** 2
        return np.asarray(self.x.T @ (weight[:, None] * self.x))

    def weighted(self, factor: Array) -> Self:
        """See `Rows`."""
        kept = factor > 0
        return replace(super().weighted(factor), y=self.y[kept], read=self.read[kept])


@dataclass(frozen=True)
class Ratings(Rows):
    r"""Ordered logit, each log-probability weighted by belief.

    ``sum_i w_i sum_j b_ij log(F(c_j - eta_i) - F(c_{j-1} - eta_i))``, F logistic, eta = x'b +
    offset without a constant, c_0 = -inf, c_J = inf. The coefficients are b, then the cuts c. Of
    0/1 outcomes it is the likelihood of Stata's ologit and MASS::polr; of beliefs a
    quasi-likelihood whose scores have the same mean, being linear in them.
    """

    law: Array

    @property
    def size(self) -> int:
        """Coefficients and cuts."""
        return int(self.x.shape[1] + self.law.shape[1] - 1)

    def _ends(self, params: Array) -> tuple[Array, Array, Array]:
        """F at both ends of each level, and the probability between, (N, J) each."""
        from scipy.special import expit

        k = self.x.shape[1]
        eta = self.x @ params[:k] + self.offset
        cuts = np.concatenate([[-np.inf], params[k:], [np.inf]])
        low, high = cuts[None, :-1] - eta[:, None], cuts[None, 1:] - eta[:, None]
        with np.errstate(invalid="ignore"):
            gap = -np.expm1(-(high - low))
        gap = np.where(np.isnan(gap), 1.0, gap)
        return expit(low), expit(high), expit(high) * expit(-low) * gap

    def probabilities(self, params: Array) -> Array:
        """Of each level, (N, J)."""
        return self._ends(params)[2]

    def llf(self, params: Array) -> float:
        """-inf where cuts are not ascending."""
        if (np.diff(params[self.x.shape[1] :]) <= 0).any():
            return -np.inf
        p = self.probabilities(params)
        with np.errstate(divide="ignore"):
            logs = np.where(self.law != 0, np.log(p), 0.0)
        return float(self.weight @ (self.law * logs).sum(axis=1))

    def _pieces(self, params: Array) -> tuple[Array, Array, Array]:
        """Weighted derivatives: by eta (N,), by the upper and the lower cut of levels (N, J)."""
        low, high, p = self._ends(params)
        law = self.weight[:, None] * self.law
        by_eta = -(law * (1 - low - high)).sum(axis=1)
        upper, lower = high * (1 - high), low * (1 - low)
        with np.errstate(divide="ignore", invalid="ignore"):
            ups = np.where(law != 0, law * upper / p, 0.0)
            downs = np.where(law != 0, -law * lower / p, 0.0)
        return by_eta, ups, downs

    def scores(self, params: Array) -> Array:
        """See the class."""
        by_eta, ups, downs = self._pieces(params)
        return np.hstack([by_eta[:, None] * self.x, ups[:, :-1] + downs[:, 1:]])

    def information(self, params: Array) -> Array:
        """Minus the second derivatives, exactly."""
        low, high, p = self._ends(params)
        k, levels = self.x.shape[1], self.law.shape[1]
        law = self.weight[:, None] * self.law
        upper, lower = high * (1 - high), low * (1 - low)
        found = np.zeros((self.size, self.size))
        found[:k, :k] = self.x.T @ ((law * (upper + lower)).sum(axis=1)[:, None] * self.x)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(law != 0, law / p, 0.0)
            square = np.where(law != 0, law / p**2, 0.0)
        of_upper = -(ratio * upper * (1 - 2 * high) - square * upper**2)
        of_lower = -(-ratio * lower * (1 - 2 * low) - square * lower**2)
        across = -(square * upper * lower)
        for j in range(levels - 1):
            cut = k + j
            mixed = (law[:, j] * upper[:, j] + law[:, j + 1] * lower[:, j + 1]) @ self.x
            found[cut, :k] = found[:k, cut] = -mixed
            found[cut, cut] = of_upper[:, j].sum() + of_lower[:, j + 1].sum()
            if j:
                found[cut, cut - 1] = found[cut - 1, cut] = across[:, j].sum()
        return found

    def rounding(self, params: Array) -> Array | None:
        """``sum_i sum_j p_ij^2 (s_ij - sbar_i)(s_ij - sbar_i)'``, s_ij the score of level j."""
        p = self.probabilities(params)
        each = [
            replace(self, law=np.broadcast_to(one, self.law.shape)).scores(params)
            for one in np.eye(p.shape[1])
        ]
        mean = np.sum([p[:, j, None] * s for j, s in enumerate(each)], axis=0)
        found = np.zeros((self.size, self.size))
        for j, s in enumerate(each):
            away = p[:, j, None] * (s - mean)
            found += away.T @ away
        return found

    def weighted(self, factor: Array) -> Self:
        """See `Rows`."""
        return replace(super().weighted(factor), law=self.law[factor > 0])


@dataclass(frozen=True)
class Maximum:
    """Where Newton's method ended: coefficients, minus the Hessian there, log-likelihood."""

    params: Array
    information: Array
    llf: float
    iterations: int


def maximum(data: Rows, start: Array) -> Maximum:
    """The maximum of a log-likelihood, by Newton's method with halved steps.

    Raises
    ------
    DesignError
        Where there is none: coefficients grow without end, or cannot be told apart.
    """
    beta, value = np.array(start, np.float64), data.llf(start)
    for iteration in range(1, _ITERATIONS + 1):
        information, gradient = data.information(beta), data.gradient(beta)
        scale = np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
        try:
            step = np.linalg.solve(information / np.outer(scale, scale), gradient / scale) / scale
        except np.linalg.LinAlgError:
            break
        promised = float(gradient @ step) / 2
        if not np.isfinite(promised):
            break
        if abs(promised) <= _PRECISION * (1 + abs(value)) * 1e-4:
            final = beta + step
            kept = final if data.llf(final) >= value - 1e-9 * (1 + abs(value)) else beta
            return _checked(data, kept, iteration)
        length, new = 1.0, data.llf(beta + step)
        while not new >= value and length > 1e-12:
            length /= 2
            new = data.llf(beta + length * step)
        if not new >= value:
            break
        beta, value = beta + length * step, new
    raise DesignError(
        "the likelihood has no maximum that can be found: some coefficients grow without end (an "
        "outcome that is all zero, or the same, for a value of a regressor) or cannot be told "
        "apart; leave regressors out, or add prices"
    )


def _checked(data: Rows, params: Array, iterations: int) -> Maximum:
    information = data.information(params)
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values = np.linalg.eigvalsh(information / np.outer(scale, scale))
    if not values[0] > 1e-10:
        raise DesignError(
            "regressors cannot be told apart (one is a sum of others), or the likelihood rises "
            "without end: leave one out"
        )
    return Maximum(params, information, data.llf(params), iterations)
