"""Respondents, whose answers go together: what likelihoods of theirs share."""

from __future__ import annotations

import multiprocessing
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from llmdemand.core.processors import processors
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.substitution.draws import Drawn, uniform_draws
from llmdemand.modeling.substitution.draws import Sequence as DrawSequence
from llmdemand.modeling.substitution.laws import Law, Pairs
from llmdemand.modeling.substitution.panels import Block, Panels
from llmdemand.modeling.substitution.smooth import Underlying

__all__ = ["People", "Respondents", "in_parallel", "pieces_of"]

_HELD = 1 << 17  # numbers of one piece of work: what stays in a processor's cache
_Part = TypeVar("_Part")
_Found = TypeVar("_Found")


class People(Underlying):
    """I respondents, whose answers go together: what any likelihood of theirs shares.

    Attributes
    ----------
    panels : Panels
        The choice situations by respondent.
    count, weights : (I,) arrays
        Frequency and sampling weights of the respondents.
    clusters : mapping of str to (I,) int array
        Cluster codes of the respondents.
    """

    panels: Panels
    count: Array
    weights: Array
    clusters: Mapping[str, Codes]

    @property
    @abstractmethod
    def size(self) -> int:
        """P, the number of parameters."""

    @property
    def nobs(self) -> float:
        """Choice situations, each as often as its respondent is counted."""
        return float(self.count @ self.panels.tasks)

    @property
    def observations(self) -> Array:
        """How often each respondent is counted, (I,)."""
        return self.count

    @property
    def weight(self) -> Array:
        """Sampling weight of each respondent, (I,)."""
        return self.weights

    @property
    def weights_vary(self) -> bool:
        """Whether some sampling weight is not 1."""
        return bool((self.weights != 1).any())

    @property
    def groups(self) -> Mapping[str, Codes]:
        """Cluster codes of the respondents, by name."""
        return self.clusters

    @cached_property
    def scale(self) -> Array:
        """What each respondent counts in the likelihood, (I,)."""
        return self.count * self.weights

    @cached_property
    def _kept(self) -> dict[bytes, tuple[Array, Array, Array]]:
        return {}

    @abstractmethod
    def summed(self, params: Array) -> tuple[Array, Array, Array]:
        """Log-likelihoods (I,) and scores (I, P) of single respondents, and the information.

        The information (P, P) is minus the Hessian of the whole, weights included.
        """

    def added(
        self, parts: Iterable[tuple[Codes, Array, Array, Array]]
    ) -> tuple[Array, Array, Array]:
        """What `summed` gives, of respondents, their log-likelihoods, scores and a Hessian."""
        llf, scores = np.empty(self.panels.people), np.empty((self.panels.people, self.size))
        hessian = np.zeros((self.size, self.size))
        for who, value, score, second in parts:  # in one order
            llf[who], scores[who] = value, score
            hessian += second
        return llf, scores, -(hessian + hessian.T) / 2

    def _all(self, params: Array) -> tuple[Array, Array, Array]:
        key = params.tobytes()
        if key not in self._kept:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                found = self.summed(params)
            self._kept.clear()
            self._kept[key] = found
        return self._kept[key]

    def each(self, params: Array) -> Array:
        """Log-likelihood of each respondent, counted once, (I,)."""
        return self._all(params)[0]

    def evaluated(self, params: Array) -> tuple[float, Array, Array]:
        """Log-likelihood, gradient and information."""
        llf, scores, information = self._all(params)
        with np.errstate(invalid="ignore"):
            return float(self.scale @ llf), self.scale @ scores, information

    def llf(self, params: Array) -> float:
        """Log-likelihood of the respondents' answers."""
        return self.evaluated(params)[0]

    def scores(self, params: Array) -> Array:
        """Scores of the respondents, (I, P)."""
        return np.asarray(self.scale[:, None] * self._all(params)[1])

    def information(self, params: Array) -> Array:
        """Minus the Hessian."""
        return self._all(params)[2]

    def rounding(self, params: Array) -> None:
        """Not known: the score of a respondent is no linear function of the outcomes."""

    def _of(self, used: NDArray[np.bool_]) -> dict[str, Any]:
        """What a subclass holds of these respondents besides."""
        return {}

    def _sequences_of(
        self, chosen: tuple[Array, ...], used: NDArray[np.bool_]
    ) -> tuple[Array, ...]:
        """The sequences of these respondents, block by block."""
        found = [
            some[used[block.who]] for block, some in zip(self.panels.blocks, chosen, strict=True)
        ]
        return tuple(some for some in found if len(some))

    def _frequencies(self, chosen: tuple[Array, ...]) -> Array:
        """Outcomes averaged over the sequences, by row."""
        y = np.empty(len(self.cases.y))
        for block, some in zip(self.panels.blocks, chosen, strict=True):
            there = block.rows >= 0
            y[block.rows[there]] = some.mean(axis=1)[there]
        return y

    def weighted(self, factor: Array) -> Self:
        """Each respondent counted `factor` times; those counted 0 times leave."""
        used = factor > 0
        changed: dict[str, Any] = {"count": (self.count * factor)[used], **self._of(used)}
        if not used.all():
            rows = used[self.panels.respondent]
            cases = self.cases.weighted(rows.astype(float))
            respondent = (np.cumsum(used) - 1)[self.panels.respondent[rows]]
            changed |= {
                "cases": cases,
                "panels": Panels(cases, respondent, self.panels.widest),
                "weights": self.weights[used],
                "clusters": {name: codes[used] for name, codes in self.clusters.items()},
            }
        return replace(self, **changed)


@dataclass(frozen=True)
class Respondents(People):
    """Respondents whose tastes follow a law, with draws of them.

    Attributes
    ----------
    panels, count, weights, clusters
        See `People`.
    law : Law
        Of the coefficients.
    standard : (I, S, Q) array or Drawn
        Standard draws, or what makes them where they are asked for.
    """

    panels: Panels
    law: Law
    standard: Array | Drawn
    count: Array
    weights: Array
    clusters: Mapping[str, Codes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return self.law.size

    def oriented(self, params: Array) -> Array:
        """The same law with spreads that are not negative: see `Law.oriented`."""
        return self.law.oriented(params)

    def drawn(self, kind: DrawSequence, size: int, seed: int) -> Self:
        """Themselves with so many draws of each: see `uniform_draws`."""
        if isinstance(self.standard, Drawn):
            return replace(self, standard=replace(self.standard, size=size, kind=kind, seed=seed))
        u = uniform_draws(self.panels.people, size, len(self.law.random), kind, seed)
        return replace(self, standard=self.law.standard(u, out=u))

    @cached_property
    def pairs(self) -> tuple[Pairs, Pairs]:
        """Pairs of terms, and of what parameters are multiplied with."""
        return Pairs.of(len(self.law.terms)), Pairs.of(self.law.loads.shape[1])

    def pieces(self, wide: int = 0) -> list[tuple[int, slice, Block]]:
        """Some respondents of a block at a time: the block's number, which, and themselves.

        Parameters
        ----------
        wide : int
            Numbers that are held for each draw besides the utilities.
        """
        size = self.standard.shape[1]
        return pieces_of(self.panels.blocks, lambda block: (block.x.shape[1] + wide) * size)

    def tastes(self, params: Array, block: Block) -> tuple[Array, Array, Array]:
        """Features (n, 1 + Q, S), ``eta`` and ``beta`` (n, K, S) of a block's respondents."""
        features = self.law.features(self.standard[block.who])
        eta = self.law.index(params, features)
        return features, eta, self.law.tastes(eta)

    def shares(self, params: Array) -> Array:
        """Fitted probabilities by row: averages over the respondent's draws, before any choice."""
        found = np.empty(len(self.cases.y))

        def piece(some: tuple[int, slice, Block]) -> tuple[Codes, Array]:
            p = self.panels.probabilities(some[2], self.tastes(params, some[2])[2])
            return some[2].rows, np.asarray(p.mean(axis=-1))

        for rows, p in in_parallel(piece, self.pieces()):
            there = rows >= 0
            found[rows[there]] = p[there]
        return found

    def _of(self, used: NDArray[np.bool_]) -> dict[str, Any]:
        """The draws of these respondents."""
        return {"standard": self.standard[np.flatnonzero(used)]}


def pieces_of(
    blocks: Sequence[Block], numbers: Callable[[Block], int]
) -> list[tuple[int, slice, Block]]:
    """Some respondents at a time: the block's number, which of it, and themselves.

    Parameters
    ----------
    blocks : sequence of Block
        All respondents.
    numbers : function of a block
        Numbers that are held for each of its respondents.
    """
    found = []
    for b, block in enumerate(blocks):
        each = max(1, _HELD // numbers(block))
        for first in range(0, len(block.who), each):
            some = slice(first, first + each)
            found.append((b, some, block[some]))
    return found


def in_parallel(work: Callable[[_Part], _Found], parts: list[_Part]) -> list[_Found]:
    """The work on each part, in order, by as many threads as there are processors.

    Workers of shards are as many as processors themselves: in them it is one thread.
    """
    threads = 1 if multiprocessing.parent_process() else min(len(parts), processors())
    if threads < 2:
        return [work(part) for part in parts]
    # A thread begins with numpy's own settings of what is warned of, unless it is given ours.
    ours = [copy_context() for _ in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda own, part: own.run(work, part), ours, parts))
