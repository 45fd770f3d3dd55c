"""Choice situations respondent by respondent, as arrays of equal shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.substitution.laws import Pairs

__all__ = ["Block", "Panels", "Pieces", "Seen"]


@dataclass(frozen=True)
class Block:
    """Respondents with equally many choice situations, T, of at most J alternatives.

    Attributes
    ----------
    who : (n,) int array
        The respondents.
    x : (n, T * J, K) array
        Regressors; zero in rows that are not there.
    offset : (n, T * J) array or None
        Added to the utilities; -inf for rows that are not there.
    rows : (n, T * J) int array
        Row of the cases; -1 for those that are not there.
    tasks : int
        T.
    """

    who: Codes
    x: Array
    offset: Array | None
    rows: Codes
    tasks: int

    def utilities(self, beta: Array) -> Array:
        """Utilities (n, T * J, S) at tastes (n, K, S); -inf in rows that are not there."""
        v = self.x @ beta
        return np.asarray(v if self.offset is None else v + self.offset[..., None])

    def __getitem__(self, some: slice) -> Block:
        return replace(
            self,
            who=self.who[some],
            x=self.x[some],
            offset=None if self.offset is None else self.offset[some],
            rows=self.rows[some],
        )


@dataclass(frozen=True)
class Pieces:
    """What choices of a block's respondents say at given tastes.

    Attributes
    ----------
    log : (n, M, S) array
        Log-probability of each sequence of choices at each taste.
    first : (n, K, S) array
        ``sum_tj p_tj x_tj``: what the score of a sequence lacks from ``sum_tj y_tj x_tj``.
    second : (n, pairs, S) array
        Minus the sum over situations of the covariance of the regressors under p.
    """

    log: Array
    first: Array
    second: Array


@dataclass(frozen=True)
class Seen:
    """What choice situations show of how respondents differ; of several parts it adds.

    Attributes
    ----------
    people, once : int
        Respondents, and those who answered one situation.
    varying : (K,) int array
        Respondents within whose choice sets each regressor varies.
    reach : (K,) array
        Its largest difference within a choice set.
    """

    people: int
    once: int
    varying: Codes
    reach: Array

    def __add__(self, other: Seen) -> Seen:
        return Seen(
            self.people + other.people,
            self.once + other.once,
            self.varying + other.varying,
            np.maximum(self.reach, other.reach),
        )


@dataclass(frozen=True)
class Panels:
    """Cases in the order of I respondents, those of one side by side.

    Attributes
    ----------
    cases : Cases
        Choice situations.
    respondent : (N,) int array
        Who answered each, 0 to I - 1, in order.
    room : int
        Alternatives that there is room for; more where a choice set has more.
    """

    cases: Cases
    respondent: Codes
    room: int = 0

    @cached_property
    def widest(self) -> int:
        """J, the alternatives that a situation of a block has room for."""
        return max(self.room, int(self.cases.sets.sizes.max()))

    @cached_property
    def people(self) -> int:
        """I, the number of respondents."""
        return int(self.respondent[-1]) + 1

    @property
    def once(self) -> int:
        """Respondents who answered one situation."""
        return int((self.tasks == 1).sum())

    @cached_property
    def heads(self) -> Codes:
        """First case of each respondent, (I,)."""
        return np.flatnonzero(np.diff(self.respondent, prepend=-1))

    @cached_property
    def tasks(self) -> Codes:
        """Choice situations of each respondent, (I,)."""
        return np.diff(self.heads, append=len(self.respondent))

    def seen(self, largest: Array) -> Seen:
        """See `Seen`; `largest` are the largest absolute values of the regressors, (K,)."""
        sets, x = self.cases.sets, self.cases.x
        apart = sets.max(x) - sets.min(x)
        where = np.zeros((self.people, x.shape[1]), bool)
        case, term = np.nonzero(apart > 1e-12 * largest)
        where[self.respondent[case], term] = True
        return Seen(self.people, self.once, where.sum(axis=0), apart.max(axis=0))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The respondents by their number of situations, from the fewest to the most."""
        sets, widest = self.cases.sets, self.widest
        found = []
        for tasks in np.unique(self.tasks):
            who = np.flatnonzero(self.tasks == tasks)
            case = self.heads[who, None] + np.arange(tasks)  # (n, T)
            place = np.arange(widest)
            there = place < sets.sizes[case][..., None]
            rows = np.where(there, self.cases.start[case][..., None] + place, -1)
            rows = rows.reshape(len(who), -1)
            x = self.cases.x[rows]
            offset = None if self.cases.offset is None else self.cases.offset[rows]
            if not there.all():
                x[rows < 0] = 0.0
                offset = np.zeros(rows.shape) if offset is None else offset
                offset[rows < 0] = -np.inf
            found.append(Block(who, x, offset, rows, int(tasks)))
        return tuple(found)

    def at(self, block: Block, beta: Array, chosen: Array, pairs: Pairs | None) -> Pieces:
        """What choices say at tastes ``beta``, (n, K, S) or (K, S).

        Parameters
        ----------
        chosen : (n, M, T * J) array
            M sequences of choices.
        pairs : Pairs or None
            Of K terms; None where second derivatives are not needed.
        """
        n, rows = block.rows.shape
        v = block.utilities(beta)
        size = v.shape[-1]
        cube = v.reshape(n, block.tasks, -1, size)
        top = cube.max(axis=2, keepdims=True)
        cube -= top
        # Rows that are not there are never chosen, but 0 times infinity is not 0.
        log = chosen @ (v if block.offset is None else np.where(np.isneginf(v), 0.0, v))
        p = np.exp(cube, out=cube)
        total = p.sum(axis=2, keepdims=True)
        p /= total
        log -= np.log(total[:, :, 0]).sum(axis=1)[:, None]
        x = block.x.reshape(n, block.tasks, -1, block.x.shape[-1])
        means = np.swapaxes(x, -1, -2) @ p  # (n, T, K, S)
        first = means.sum(axis=1)
        if pairs is None:
            return Pieces(log, first, np.empty((n, 0, size)))
        products = block.x[..., pairs.left] * block.x[..., pairs.right]
        second = np.swapaxes(products, -1, -2) @ p.reshape(n, rows, size)
        for q, (a, b) in enumerate(zip(pairs.left, pairs.right, strict=True)):
            second[:, q] -= np.einsum("nts,nts->ns", means[:, :, a], means[:, :, b])
        return Pieces(log, first, np.negative(second, out=second))

    def probabilities(self, block: Block, beta: Array) -> Array:
        """Probabilities (n, T * J, S) at tastes (n, K, S)."""
        v = block.utilities(beta)
        cube = v.reshape(len(v), block.tasks, -1, v.shape[-1])
        cube -= cube.max(axis=2, keepdims=True)
        np.exp(cube, out=cube)
        cube /= cube.sum(axis=2, keepdims=True)
        return v

    def sums(self, block: Block, chosen: Array) -> Array:
        """``sum_tj y_tj x_tj`` of each sequence, (n, M, K)."""
        return np.asarray(chosen @ block.x)
