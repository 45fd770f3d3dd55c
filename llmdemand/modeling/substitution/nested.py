"""Nested logit: shares, likelihood and their derivatives on a tree of alternatives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes, crossed, product
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.likelihood.sets import ChoiceSets
from llmdemand.modeling.substitution.nests import Tree
from llmdemand.modeling.substitution.smooth import Underlying

__all__ = ["LEAST", "MOST", "NestedCases", "NestedKernel"]

#: Free dissimilarities are searched between these.
LEAST, MOST = 0.01, 100.0
_PIECE = 4096  # rows
_STEP = 1e-30  # of a derivative by complex numbers: it has no rounding


@dataclass(frozen=True)
class _Level:
    """From what lies at one depth to what holds it at the next.

    Attributes
    ----------
    sets : ChoiceSets
        What each node holds.
    nest : (M,) int array
        Nest of each node; Q for the root, and for an alternative that is its own node there.
    case : (M,) int array
        Case of each node.
    """

    sets: ChoiceSets
    nest: Codes
    case: Codes


@dataclass(frozen=True)
class _Step:
    """A level at given utilities, along the last axis: what nodes hold, then the nodes."""

    level: _Level
    p: Numbers  # probability of each child given its node
    log_p: Numbers
    scale: Numbers  # dissimilarity of each node
    value: Numbers  # inclusive utility of each node

    def spread(self, values: Numbers) -> Numbers:
        return self.level.sets.spread(values, values.ndim - 1)

    def sum(self, values: Numbers) -> Numbers:
        return self.level.sets.sum(values, values.ndim - 1)


@dataclass(frozen=True)
class _Branches:
    """The tree of each case, as far as its choice set has it.

    `order` puts the alternatives of a nest side by side; None where they are.
    """

    order: Codes | None
    levels: tuple[_Level, ...]

    @classmethod
    def of(cls, sets: ChoiceSets, labels: Codes, tree: Tree) -> _Branches:
        key = sets.case * len(tree.alternatives) + tree.rank[labels]
        order = None if (np.diff(key) > 0).all() else np.argsort(key)
        at = labels if order is None else labels[order]
        case, levels, none = sets.case, [], len(tree.names)
        for depth in range(tree.paths.shape[1] - 1, -1, -1):
            node = tree.paths[at, depth]
            first = np.diff(node, prepend=-1).astype(bool) | np.diff(case, prepend=-1).astype(bool)
            start = np.flatnonzero(first)
            grouped = ChoiceSets(start, len(at))
            at, case = at[start], case[start]
            levels.append(_Level(grouped, np.minimum(node[start], none), case))
        start = np.flatnonzero(np.diff(case, prepend=-1))
        root = np.full(len(start), none)
        levels.append(_Level(ChoiceSets(start, len(case)), root, np.arange(len(start))))
        return cls(order, tuple(levels))

    def sorted(self, values: Any) -> Any:
        return values if self.order is None else values[..., self.order]

    def back(self, values: Numbers) -> Numbers:
        if self.order is None:
            return values
        found = np.empty_like(values)
        found[..., self.order] = values
        return found

    def climb(self, v: Numbers, lam: Numbers) -> list[_Step]:
        """From utilities (..., R), sorted, to the root."""
        steps, value = [], v
        for level in self.levels:
            scale = lam[..., level.nest]
            axis = value.ndim - 1
            eta = value / level.sets.spread(scale, scale.ndim - 1)
            # The largest only keeps exp in range: no derivative goes through it.
            top = level.sets.max(np.real(eta), axis)
            below = eta - level.sets.spread(top, axis)
            e = np.exp(below)
            total = level.sets.sum(e, axis)
            log_total = np.log(total)
            value = scale * (top + log_total)
            p = e / level.sets.spread(total, axis)
            steps.append(_Step(level, p, below - level.sets.spread(log_total, axis), scale, value))
        return steps

    def shares(self, steps: list[_Step]) -> Numbers:
        found = steps[-1].p
        for step in reversed(steps[:-1]):
            found = step.spread(found) * step.p
        return found

    def log_shares(self, steps: list[_Step]) -> Numbers:
        found = steps[-1].log_p
        for step in reversed(steps[:-1]):
            found = step.spread(found) + step.log_p
        return found


@dataclass(frozen=True)
class NestedKernel:
    """``s_j = prod_n P(c_n | n)`` along the nests n of alternative j, with one taste for all.

    The coefficients are those of the regressors and then the tree's F free dissimilarities.
    An alternative's inclusive utility is its utility, a nest's ``I_n = l_n log sum_c exp(I_c /
    l_n)`` over what it holds, and ``P(c | n) = exp((I_c - I_n) / l_n)``; at the root l = 1, and
    its I is the log-sum (McFadden 1978; Train 2009, chapter 4).

    Attributes
    ----------
    tree : Tree
        The nests.

    Raises
    ------
    DesignError
        By its methods, for dissimilarities that are not positive, as draws may hold them.

    Examples
    --------
    >>> from llmdemand.modeling.substitution.nests import tree_of
    >>> kernel = NestedKernel(tree_of({"bus": ["red", "blue"]}, ["car", "red", "blue"])[0])
    >>> sets, labels = ChoiceSets(np.array([0]), 3), np.array([0, 1, 2])
    >>> v = np.zeros((1, 3))
    >>> kernel.shares(np.array([1.0]), v, sets, labels)[0].round(4).tolist()
    [0.3333, 0.3333, 0.3333]
    >>> kernel.shares(np.array([0.01]), v, sets, labels)[0].round(4).tolist()
    [0.4983, 0.2509, 0.2509]
    """

    tree: Tree

    plain = False
    tastes = 1

    def utilities(self, b: Numbers, x: Numbers) -> Numbers:
        """See `Kernel`."""
        return np.asarray(x @ b[: x.shape[-1]])[None]

    def _climbed(
        self, b: Numbers, v: Numbers, sets: ChoiceSets, labels: Codes
    ) -> tuple[_Branches, list[_Step]]:
        branches = _Branches.of(sets, labels, self.tree)
        lam = self.tree.dissimilarities(b[len(b) - len(self.tree.terms) :])
        if not (np.real(lam) > 0).all():
            raise DesignError(
                f"no shares with a dissimilarity of {np.real(lam).min():.3g}: it must be positive"
            )
        return branches, branches.climb(branches.sorted(v), lam)

    def shares(self, b: Numbers, v: Numbers, sets: ChoiceSets, labels: Codes) -> Numbers:
        """See `Kernel`."""
        branches, steps = self._climbed(b, v, sets, labels)
        return branches.back(branches.shares(steps))

    def responses(
        self, b: Numbers, v: Numbers, moved: Numbers, sets: ChoiceSets, labels: Codes
    ) -> tuple[Numbers, Numbers]:
        """See `Kernel`: ``d ln P(c | n) = (dI_c - dI_n) / l_n`` and ``dI_n = sum_c P dI_c``."""
        branches, steps = self._climbed(b, v, sets, labels)
        moves, move = [], branches.sorted(moved)
        for step in steps:
            mean = step.sum(step.p * move)
            moves.append((move - step.spread(mean)) / step.spread(step.scale))
            move = mean
        found = moves[-1]
        for step, own in zip(reversed(steps[:-1]), reversed(moves[:-1]), strict=True):
            found = step.spread(found) + own
        return branches.back(branches.shares(steps)), branches.back(found)

    def log_sums(self, b: Numbers, v: Numbers, sets: ChoiceSets, labels: Codes) -> Numbers:
        """See `Kernel`."""
        return self._climbed(b, v, sets, labels)[1][-1].value

    def mean(self, b: Numbers, values: Numbers, members: Array | None = None) -> Numbers:
        """See `Kernel`."""
        return np.asarray(values[0])


@dataclass(frozen=True)
class _Piece:
    """Some neighbouring cases, their rows in the order of the branches."""

    rows: slice
    branches: _Branches
    sets: ChoiceSets
    x: Array
    offset: Array | None
    y: Array  # weighted outcomes
    total: Array  # what they are expected to sum to, by case

    def utilities(self, beta: Array) -> Array:
        v = product(self.x, beta)
        return v if self.offset is None else v + self.offset

    def llf(self, steps: list[_Step]) -> float:
        found, y = 0.0, self.y
        for step in steps:
            found += float(np.real(step.log_p) @ y)
            y = step.sum(y)
        return found + float((y - self.total) @ np.real(steps[-1].value))

    def slopes(self, steps: list[_Step], nests: int) -> tuple[Numbers, Numbers]:
        """Derivatives of the log-likelihood by utilities (..., R) and dissimilarities (..., N, Q).

        By nodes n, from the root: the log-likelihood is ``sum_n (sum_c Y_c I_c - Y_n I_n) / l_n``
        with Y the sums of outcomes, so that ``by_c = Y_c / l_n + by_n P(c | n)`` less, of a
        nest's own, ``Y_c / l_c``.
        """
        sums = [self.y]
        for step in steps[:-1]:
            sums.append(step.sum(sums[-1]))
        by: Numbers = -np.broadcast_to(self.total, steps[-1].value.shape)
        shape = (*by.shape[:-1], len(self.total), nests + 1)
        by_nest = np.zeros(shape, np.result_type(steps[-1].value))
        for k in range(len(steps) - 1, -1, -1):
            step, y = steps[k], sums[k]
            if k < len(steps) - 1:
                by = by - sums[k + 1] / step.scale
                surprise = step.sum(y * step.log_p) / step.scale
                entropy = -step.sum(step.p * step.log_p)
                by_nest[..., step.level.case, step.level.nest] = by * entropy - surprise
            by = y / step.spread(step.scale) + step.spread(by) * step.p
        return by, by_nest[..., :nests]


@dataclass(frozen=True)
class NestedCases(Underlying):
    """Choice situations with the (quasi-)likelihood of a nested logit.

    ``sum_i w_i sum_j y_ij log s_ij``: the likelihood of 0/1 outcomes, the quasi-likelihood of
    fractions, and with corrected beliefs, which sum to r_i, that whose score is ``sum_j (y_ij -
    r_i s_ij) dI`` in place of ``(y_ij - s_ij)``. The K + F parameters are those of
    `NestedKernel`; first derivatives go back down the tree, second ones are those of the first
    by complex steps, exact to rounding.

    Attributes
    ----------
    tree : Tree
        The nests.
    """

    tree: Tree

    @property
    def size(self) -> int:
        """K + F, coefficients and free dissimilarities."""
        return self.cases.size + len(self.tree.terms)

    @cached_property
    def _pieces(self) -> list[_Piece]:
        c, found, first = self.cases, [], 0
        weight = c.count * c.weight
        for rows, sets in c.sets.pieces(_PIECE):
            mine = slice(first, first + len(sets.start))
            first = mine.stop
            branches = _Branches.of(sets, c.labels[rows], self.tree)
            order = slice(None) if branches.order is None else branches.order
            w = weight[mine]
            found.append(
                _Piece(
                    rows,
                    branches,
                    sets,
                    c.x[rows][order],
                    None if c.offset is None else c.offset[rows][order],
                    c.y[rows][order] * sets.spread(w),
                    w if c.read is None else w * c.read[mine],
                )
            )
        return found

    def _parts(self, params: Array) -> tuple[Array, Array]:
        """Coefficients, and the dissimilarities of all nests and the root."""
        beta, free = params[: self.cases.size], params[self.cases.size :]
        return beta, np.asarray(self.tree.dissimilarities(free), np.float64)

    def _climbed(self, piece: _Piece, params: Array) -> list[_Step]:
        beta, lam = self._parts(params)
        return piece.branches.climb(piece.utilities(beta), lam)

    def llf(self, params: Array) -> float:
        """The log (quasi-)likelihood; -inf where a dissimilarity is not positive."""
        if not (self._parts(params)[1] > 0).all():
            return -np.inf
        return sum(piece.llf(self._climbed(piece, params)) for piece in self._pieces)

    def shares(self, params: Array) -> Array:
        """Fitted probabilities by row of `cases`, (R,)."""
        found = []
        for piece in self._pieces:
            steps = self._climbed(piece, params)
            found.append(piece.branches.back(piece.branches.shares(steps)))
        return np.concatenate(found)

    def scores(self, params: Array) -> Array:
        """Sum of the scores of each case's observations, (N, K + F)."""
        found = []
        for piece in self._pieces:
            by, by_nest = piece.slopes(self._climbed(piece, params), len(self.tree.names))
            own = by_nest @ self.tree.loadings
            found.append(np.hstack([piece.sets.weighted(by, piece.x), own]))
        return np.concatenate(found)

    def _directions(self, piece: _Piece, params: Array) -> list[_Step]:
        """The piece where each parameter in turn, along the first axis, takes a complex step."""
        beta, lam = self._parts(params)
        v = piece.utilities(beta) + 0j
        moved = np.repeat(v[None], self.size, axis=0)
        moved[: self.cases.size] += 1j * _STEP * piece.x.T
        wide = np.repeat(lam[None] + 0j, self.size, axis=0)
        wide[self.cases.size :, :-1] += 1j * _STEP * self.tree.loadings.T
        return piece.branches.climb(moved, wide)

    def _derivatives(self, params: Array) -> tuple[float, Array, Array]:
        llf, rows = 0.0, np.zeros((self.size, self.size), np.complex128)
        for piece in self._pieces:
            steps = self._directions(piece, params)
            first = [_Step(s.level, s.p[0], s.log_p[0], s.scale[0], s.value[0]) for s in steps]
            llf += piece.llf(first)
            by, by_nest = piece.slopes(steps, len(self.tree.names))
            rows += np.hstack([by @ piece.x, by_nest.sum(axis=1) @ self.tree.loadings])
        information = -np.imag(rows) / _STEP
        return llf, np.real(rows[0]).copy(), (information + information.T) / 2

    def information(self, params: Array) -> Array:
        """Minus the Hessian, (K + F, K + F)."""
        return self._derivatives(params)[2]

    def evaluated(self, params: Array) -> tuple[float, Array, Array]:
        """See `Smooth`; -inf where a free dissimilarity leaves what is searched."""
        free = params[self.cases.size :]
        if not ((free >= LEAST) & (free <= MOST)).all():
            return -np.inf, np.zeros(self.size), np.eye(self.size)
        return self._derivatives(params)

    def rounding(self, params: Array) -> Array:
        """See `Likelihood.rounding`: ``sum_i w_i^2 sum_j s_ij^2 g_ij g_ij'``, g of log s_ij."""
        found, first = np.zeros((self.size, self.size)), 0
        c = self.cases
        once = c.weight * np.sqrt(c.count)
        for piece in self._pieces:
            w = once[first : first + len(piece.total)]
            first += len(piece.total)
            steps = self._directions(piece, params)
            log_s = piece.branches.log_shares(steps)
            size = piece.sets.spread(w) * np.exp(np.real(log_s[0]))
            g = (np.imag(log_s) / _STEP).T * size[:, None]
            # What the scores are made of, whose own rounding counts where all but cancels.
            lam = self._parts(params)[1][:-1]
            v = np.abs(piece.utilities(params[: c.size]))[:, None]
            made = np.hstack([piece.x, (v / lam**2) @ self.tree.loadings])
            made *= (1e-8 * size)[:, None]
            found += crossed(g, g) + crossed(made, made)
        return found

    def weighted(self, factor: Array) -> NestedCases:
        """Each case counted `factor` times; cases counted 0 times leave."""
        return NestedCases(self.cases.weighted(factor), self.tree)
