"""Data of a mixed logit: the probability of each respondent's choices, averaged over tastes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.kernels import LOGIT, Numbers
from llmdemand.modeling.likelihood.sets import ChoiceSets
from llmdemand.modeling.substitution.laws import Law, Pairs
from llmdemand.modeling.substitution.panels import Block, Panels
from llmdemand.modeling.substitution.smooth import Underlying

__all__ = ["MixedKernel", "MixedPanels"]

_HELD = 1 << 17  # utilities of one piece of work: what stays in a processor's cache
_Part = TypeVar("_Part")
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class _Sums:
    """What a piece of the respondents adds to the likelihood and its derivatives."""

    who: Codes
    llf: Array  # (n,)
    scores: Array  # (n, P)
    moments: Array  # (pairs, crossed features)
    outer: Array  # (P, P)


@dataclass(frozen=True)
class MixedPanels(Underlying):
    """Sequences of choices of I respondents whose tastes follow a law.

    The simulated probability of a sequence is ``mean_s prod_t p_(t, y_t)(beta_s)`` over S draws
    of the respondent's tastes (Train 2009, chapter 6), and the log-likelihood ``sum_i w_i sum_m
    1/M log P_i(sequence m)`` over the M sequences of each respondent: one of observed choices, or
    several drawn from beliefs.

    Attributes
    ----------
    panels : Panels
        The choice situations by respondent.
    law : Law
        Of the coefficients.
    chosen : tuple of (n, M, T * J) arrays
        The sequences, block by block.
    standard : (I, S, Q) array
        Standard draws.
    count, weights : (I,) arrays
        Frequency and sampling weights of the respondents.
    clusters : mapping of str to (I,) int array
        Cluster codes of the respondents.
    """

    panels: Panels
    law: Law
    chosen: tuple[Array, ...]
    standard: Array
    count: Array
    weights: Array
    clusters: Mapping[str, Codes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return self.law.size

    @property
    def observations(self) -> Array:
        """How often each respondent is counted, (I,)."""
        return self.count

    @property
    def weight(self) -> Array:
        """Sampling weight of each respondent, (I,)."""
        return self.weights

    @property
    def groups(self) -> Mapping[str, Codes]:
        """Cluster codes of the respondents, by name."""
        return self.clusters

    @cached_property
    def _pairs(self) -> tuple[Pairs, Pairs]:
        return Pairs.of(len(self.law.terms)), Pairs.of(self.law.loads.shape[1])

    @cached_property
    def _kept(self) -> dict[bytes, tuple[Array, Array, Array]]:
        return {}

    def _pieces(self) -> list[tuple[Block, Array]]:
        size = self.standard.shape[1]
        found = []
        for block, chosen in zip(self.panels.blocks, self.chosen, strict=True):
            wide = (block.x.shape[1] + chosen.shape[1]) * size
            each = max(1, _HELD // wide)
            for first in range(0, len(block.who), each):
                some = slice(first, first + each)
                found.append((block[some], chosen[some]))
        return found

    def _piece(self, params: Array, block: Block, chosen: Array) -> _Sums:
        law, (pairs, crossed) = self.law, self._pairs
        features = law.features(self.standard[block.who])
        eta = law.index(params, features)
        beta = law.tastes(eta)
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
        scale = self._scale[block.who]
        moments = np.einsum(
            "n,nab->ab", scale, second @ np.swapaxes(squares, -1, -2), optimize=True
        )
        flat = scores.reshape(n * m, -1)
        outer = (flat * np.repeat(scale / m, m)[:, None]).T @ flat
        return _Sums(block.who, llf.mean(axis=1), scores.mean(axis=1), moments, outer)

    @cached_property
    def _scale(self) -> Array:
        return self.count * self.weights

    def _all(self, params: Array) -> tuple[Array, Array, Array]:
        """Log-likelihoods (I,) and scores (I, P) of the respondents, and the information."""
        key = params.tobytes()
        if key not in self._kept:
            llf, scores = np.empty(self.panels.people), np.empty((self.panels.people, self.size))
            pairs, crossed = self._pairs
            moments = np.zeros((len(pairs.left), len(crossed.left)))
            outer = np.zeros((self.size, self.size))
            with np.errstate(over="ignore", invalid="ignore"):
                parts = _together(lambda piece: self._piece(params, *piece), self._pieces())
            for part in parts:  # in one order, whatever worked on them
                llf[part.who], scores[part.who] = part.llf, part.scores
                moments += part.moments
                outer += part.outer
            hessian = self.law.gathered_twice(moments, pairs, crossed) - outer
            self._kept.clear()
            self._kept[key] = llf, scores, -(hessian + hessian.T) / 2
        return self._kept[key]

    def evaluated(self, params: Array) -> tuple[float, Array, Array]:
        """Log-likelihood, gradient and information."""
        llf, scores, information = self._all(params)
        return float(self._scale @ llf), self._scale @ scores, information

    def llf(self, params: Array) -> float:
        """Simulated log-likelihood."""
        return self.evaluated(params)[0]

    def scores(self, params: Array) -> Array:
        """Scores of the respondents, (I, P)."""
        return np.asarray(self._scale[:, None] * self._all(params)[1])

    def information(self, params: Array) -> Array:
        """Minus the Hessian."""
        return self._all(params)[2]

    def rounding(self, params: Array) -> None:
        """Not known: the score of a sequence is no linear function of beliefs."""

    def shares(self, params: Array) -> Array:
        """Fitted probabilities by row: averages over the respondent's draws, before any choice."""
        found = np.empty(len(self.cases.y))

        def piece(some: tuple[Block, Array]) -> tuple[Codes, Array]:
            block = some[0]
            features = self.law.features(self.standard[block.who])
            beta = self.law.tastes(self.law.index(params, features))
            return block.rows, _means(block, beta)

        for rows, p in _together(piece, self._pieces()):
            there = rows >= 0
            found[rows[there]] = p[there]
        return found

    def posterior(self, params: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of each respondent's tastes, given what they chose, (I, K).

        ``E[beta | choices] = sum_s beta_s P(choices | beta_s) / sum_s P(choices | beta_s)`` (Train
        2009, chapter 11), over the respondent's sequences.
        """
        shape = (self.panels.people, len(self.law.terms))
        mean, spread = np.empty(shape), np.empty(shape)

        def piece(some: tuple[Block, Array]) -> tuple[Codes, Array, Array]:
            block, chosen = some
            features = self.law.features(self.standard[block.who])
            beta = self.law.tastes(self.law.index(params, features))
            log = self.panels.at(block, beta, chosen, None).log
            w = np.exp(log - log.max(axis=-1, keepdims=True))
            w = (w / w.sum(axis=-1, keepdims=True)).mean(axis=1)
            first = np.einsum("nks,ns->nk", beta, w)
            second = np.einsum("nks,ns->nk", (beta - first[..., None]) ** 2, w)
            return block.who, first, np.sqrt(second)

        for who, first, second in _together(piece, self._pieces()):
            mean[who], spread[who] = first, second
        return mean, spread

    def weighted(self, factor: Array) -> MixedPanels:
        """Each respondent counted `factor` times; those counted 0 times leave."""
        used = factor > 0
        rows = used[self.panels.respondent]
        cases = self.cases.weighted(rows.astype(float))
        respondent = (np.cumsum(used) - 1)[self.panels.respondent[rows]]
        chosen = [
            some[used[block.who]]
            for block, some in zip(self.panels.blocks, self.chosen, strict=True)
        ]
        return replace(
            self,
            cases=cases,
            panels=Panels(cases, respondent),
            chosen=tuple(some for some in chosen if len(some)),
            standard=self.standard[used],
            count=(self.count * factor)[used],
            weights=self.weights[used],
            clusters={name: codes[used] for name, codes in self.clusters.items()},
        )


def _means(block: Block, beta: Array) -> Array:
    """Probabilities averaged over tastes, (n, T * J)."""
    v = block.x @ beta
    if block.offset is not None:
        v += block.offset[..., None]
    cube = v.reshape(len(v), block.tasks, -1, v.shape[-1])
    cube -= cube.max(axis=2, keepdims=True)
    np.exp(cube, out=cube)
    cube /= cube.sum(axis=2, keepdims=True)
    return np.asarray(v.mean(axis=-1))


def _together(work: Callable[[_Part], _Found], parts: list[_Part]) -> list[_Found]:
    """The work on each part, in order, by as many threads as there are processors."""
    threads = min(len(parts), len(os.sched_getaffinity(0)))
    if threads < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


@dataclass(frozen=True)
class MixedKernel:
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

    def shares(self, b: Numbers, v: Numbers, sets: ChoiceSets, labels: Codes) -> Numbers:
        """See `Kernel`."""
        return LOGIT.shares(b, v, sets, labels)

    def responses(
        self, b: Numbers, v: Numbers, moved: Numbers, sets: ChoiceSets, labels: Codes
    ) -> tuple[Numbers, Numbers]:
        """See `Kernel`."""
        return LOGIT.responses(b, v, moved, sets, labels)

    def log_sums(self, b: Numbers, v: Numbers, sets: ChoiceSets, labels: Codes) -> Numbers:
        """See `Kernel`."""
        return LOGIT.log_sums(b, v, sets, labels)

    def mean(self, b: Numbers, values: Numbers, members: Array | None = None) -> Numbers:
        """See `Kernel`."""
        return np.asarray(values.mean(axis=0))
