"""Data of a mixed logit: the probability of each respondent's choices, averaged over tastes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.kernels import LogitKernel, Numbers
from llmdemand.modeling.substitution.laws import Law
from llmdemand.modeling.substitution.panels import Block
from llmdemand.modeling.substitution.respondents import Respondents, in_parallel

__all__ = ["MixedKernel", "MixedPanels"]


@dataclass(frozen=True)
class _Sums:
    """What a piece of the respondents adds to the likelihood and its derivatives."""

    who: Codes
    llf: Array  # (n,)
    scores: Array  # (n, P)
    moments: Array  # (pairs, crossed features)
    outer: Array  # (P, P)


@dataclass(frozen=True)
class MixedPanels(Respondents):
    """Sequences of choices of I respondents whose tastes follow a law.

    The simulated probability of a sequence is ``mean_s prod_t p_(t, y_t)(beta_s)`` over S draws
    of the respondent's tastes (Train 2009, chapter 6), and the log-likelihood ``sum_i w_i sum_m
    1/M log P_i(sequence m)`` over the M sequences of each respondent: one of observed choices, or
    several drawn from beliefs.

    Attributes
    ----------
    chosen : tuple of (n, M, T * J) arrays
        The sequences, block by block.
    """

    chosen: tuple[Array, ...] = field(kw_only=True)

    def alone(self) -> Cases:
        """The choice situations with the frequencies of the sequences for outcomes."""
        return replace(self.cases, y=self._frequencies(self.chosen))

    def saturated(self) -> float:
        """The log-likelihood of a perfect fit, 0, where choices were observed.

        Raises
        ------
        UsageError
            For sequences drawn from beliefs.
        """
        if self.fractional:
            raise UsageError(
                "the sequences that are drawn from beliefs have no perfect fit, and so no "
                "deviance: use the log score of scores()"
            )
        return 0.0

    def _piece(self, params: Array, block: Block, chosen: Array) -> _Sums:
        law, (pairs, crossed) = self.law, self.pairs
        features, eta, beta = self.tastes(params, block)
        found = self.panels.at(block, beta, chosen, pairs)
        n, m, size = found.log.shape
        top = found.log.max(axis=-1, keepdims=True)
        w = np.exp(found.log - top)
        total = w.sum(axis=-1, keepdims=True)
        w /= total
        llf = (top + np.log(total))[..., 0] - np.log(size)  # (n, M)
        sums = self.panels.sums(block, chosen)  # (n, M, K)
        turned = np.swapaxes(features, -1, -2)
        scores = np.empty((n, m, law.size))
        for k in range(m):
            by = law.back(eta, beta, sums[:, k, :, None] - found.first)
            scores[:, k] = law.gathered((by * w[:, k, None, :]) @ turned)
        # The mean over sequences of w, of w g and of w g g', with g = sums - first.
        both = w.mean(axis=1)  # (n, S)
        each = np.swapaxes(sums, 1, 2) @ w / m  # (n, K, S)
        first = each - found.first * both[:, None]
        left, right = pairs.left, pairs.right
        products = np.swapaxes(sums[..., left] * sums[..., right], 1, 2) @ w / m
        # Sum of w (a - p)(a - p)' = w a a' - (w a) p' - p (w a)' + w p p'.
        products -= each[:, left] * found.first[:, right]
        products -= found.first[:, left] * first[:, right]
        products += found.second * both[:, None]
        second = law.back_twice(eta, beta, products, first, pairs)
        squares = features[:, crossed.left] * features[:, crossed.right]
        scale = self.scale[block.who]
        moments = np.einsum(
            "n,nab->ab", scale, second @ np.swapaxes(squares, -1, -2), optimize=True
        )
        flat = scores.reshape(n * m, -1)
        outer = (flat * np.repeat(scale / m, m)[:, None]).T @ flat
        return _Sums(block.who, llf.mean(axis=1), scores.mean(axis=1), moments, outer)

    def summed(self, params: Array) -> tuple[Array, Array, Array]:
        """See `Respondents.summed`."""
        llf, scores = np.empty(self.panels.people), np.empty((self.panels.people, self.size))
        pairs, crossed = self.pairs
        moments = np.zeros((len(pairs.left), len(crossed.left)))
        outer = np.zeros((self.size, self.size))
        sequences = self.chosen[0].shape[1]

        def piece(some: tuple[int, slice, Block]) -> _Sums:
            return self._piece(params, some[2], self.chosen[some[0]][some[1]])

        for part in in_parallel(piece, self.pieces(sequences)):  # added in one order
            llf[part.who], scores[part.who] = part.llf, part.scores
            moments += part.moments
            outer += part.outer
        hessian = self.law.gathered_twice(moments, pairs, crossed) - outer
        return llf, scores, -(hessian + hessian.T) / 2

    def posterior(self, params: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of each respondent's tastes, given what they chose, (I, K).

        Of the coefficients, or in willingness-to-pay space of the willingness to pay: ``E[beta |
        choices] = sum_s beta_s P(choices | beta_s) / sum_s P(choices | beta_s)`` (Train 2009,
        chapter 11), over the respondent's sequences.
        """

        def moments(eta: Array, w: Array) -> Array:
            beta = self.law.values(eta)
            first = np.einsum("nks,ns->nk", beta, w)
            second = np.einsum("nks,ns->nk", (beta - first[..., None]) ** 2, w)
            return np.stack([first, np.sqrt(second)])

        mean, spread = self._given(params, moments)
        return mean, spread

    def skewness(self, params: Array) -> Array:
        """``E[z^3 | choices]`` of each respondent, (I, K), z the standardised ``eta``."""
        mean, loads = self.law.linear_in(params)
        size = np.sqrt((loads**2).sum(axis=1))
        size[size == 0] = 1.0

        def third(eta: Array, w: Array) -> Array:
            z = (eta - mean[:, None]) / size[:, None]
            return np.asarray(np.einsum("nks,ns->nk", z**3, w)[None])

        return np.asarray(self._given(params, third)[0])

    def skewed(self, params: Array) -> Array:
        """Sums over respondents: of w, w t, w^2, w^2 t, w^2 t^2, t their `skewness`, (5, K)."""
        t, w = self.skewness(params), self.scale
        return np.stack([w @ t**0, w @ t, w**2 @ t**0, w**2 @ t, w**2 @ t**2])

    def _given(self, params: Array, of: Callable[[Array, Array], Array]) -> Array:
        """What is made of ``eta`` (n, K, S) and its weights (n, S) given the choices, (., I, K)."""

        def piece(some: tuple[int, slice, Block]) -> tuple[Codes, Array]:
            b, which, block = some
            _, eta, beta = self.tastes(params, block)
            log = self.panels.at(block, beta, self.chosen[b][which], None).log
            w = np.exp(log - log.max(axis=-1, keepdims=True))
            w = (w / w.sum(axis=-1, keepdims=True)).mean(axis=1)
            return block.who, of(eta, w)

        parts = in_parallel(piece, self.pieces())
        order = np.argsort(np.concatenate([who for who, _ in parts]))
        return np.asarray(np.concatenate([found for _, found in parts], axis=1)[:, order])

    def _of(self, used: NDArray[np.bool_]) -> dict[str, Any]:
        """Draws and sequences of these respondents."""
        return {**super()._of(used), "chosen": self._sequences_of(self.chosen, used)}


@dataclass(frozen=True)
class MixedKernel(LogitKernel):
    """Shares averaged over the law of tastes: see `Kernel`.

    Attributes
    ----------
    law : Law
        Of the coefficients.
    features : (1 + Q, D) array
        One and the standard draws of D people drawn from the population.
    """

    law: Law
    features: Array

    plain = False

    @property
    def tastes(self) -> int:
        """D."""
        return int(self.features.shape[1])

    def utilities(self, b: Numbers, x: Numbers) -> Numbers:
        """See `Kernel`."""
        beta = self.law.tastes(self.law.index(b, self.features))  # (K, D)
        return np.asarray(np.moveaxis(x @ beta, -1, 0))

    def mean(self, b: Numbers, values: Numbers, members: Array | None = None) -> Numbers:
        """See `Kernel`."""
        return np.asarray(values.mean(axis=0))
