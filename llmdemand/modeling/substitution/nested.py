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

    @cached_property
    def entropy(self) -> Numbers:
        """Of what is taken given each node."""
        return -self.sum(self.p * self.log_p)


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

    branches: _Branches
    sets: ChoiceSets
    x: Array
    offset: Array | None
    y: Array  # weighted outcomes
    total: Array  # what they are expected to sum to, by case
    once: Array  # weight of each case, for `rounding`

    def utilities(self, beta: Array) -> Array:
        v = product(self.x, beta)
        return v if self.offset is None else v + self.offset

    @cached_property
    def sums(self) -> list[Array]:
        """Outcomes of what the nodes of each level hold, then of the cases."""
        found = [self.y]
        for level in self.branches.levels:
            found.append(level.sets.sum(found[-1]))
        return found

    def llf(self, steps: list[_Step]) -> float:
        found = sum(float(s.log_p @ y) for s, y in zip(steps, self.sums[:-1], strict=True))
        return found + float((self.sums[-1] - self.total) @ steps[-1].value)

    def slopes(self, steps: list[_Step]) -> tuple[list[Array], list[Array]]:
        """Derivatives of the log-likelihood, level by level: by what nodes hold, and by theirs.

        Of nodes n it is ``sum_n (sum_c Y_c I_c - Y_n I_n) / l_n``, Y the sums of outcomes. From the
        root, ``by_c = Y_c / l_n + by_n P(c | n)``, less, of a nest's own, ``Y_c / l_c``; and by
        l_n ``by_n`` times the entropy of P(. | n) less ``-sum_c Y_c log P(c | n) / l_n``.
        """
        by, held, own = -self.total, [], []
        for k in range(len(steps) - 1, -1, -1):
            step, y = steps[k], self.sums[k]
            if k < len(steps) - 1:
                by = by - self.sums[k + 1] / step.scale
            own.append(by * step.entropy - step.sum(y * step.log_p) / step.scale)
            by = y / step.spread(step.scale) + step.spread(by) * step.p
            held.append(by)
        return held[::-1], own[::-1]

    def tangents(self, steps: list[_Step], v: Array, lam: Array) -> list[_Tangent]:
        """How each level moves with K + F parameters, by which `lam` (Q + 1, K + F) move."""
        move = np.hstack([self.x, np.zeros((len(self.x), lam.shape[1] - self.x.shape[1]))])
        found, value = [], v
        for step in steps:
            sets, scale = step.level.sets, lam[step.level.nest]
            within = step.spread(step.scale)[:, None]
            move -= (value[:, None] / within) * sets.spread(scale)
            move /= within
            mean = sets.weighted(step.p, move)
            found.append(_Tangent(scale, sets.less(move, mean)))
            value = step.value
            move = step.scale[:, None] * mean + scale * (value / step.scale)[:, None]
        return found

    def curvature(
        self, steps: list[_Step], tangents: list[_Tangent], loadings: Array
    ) -> tuple[Array, Array]:
        """Gradient (K + F,) and information (K + F, K + F)."""
        held, own = self.slopes(steps)
        by, moved = -self.total, np.zeros((len(self.total), tangents[0].scale.shape[1]))
        free = loadings.shape[1]
        first, second = np.zeros(free), np.zeros((free, moved.shape[1]))
        for k in range(len(steps) - 1, -1, -1):
            step, y, tangent = steps[k], self.sums[k], tangents[k]
            sets, scale = step.level.sets, step.scale[:, None]
            if k < len(steps) - 1:
                by = held[k + 1] - self.sums[k + 1] / step.scale
                moved = moved + (self.sums[k + 1] / step.scale**2)[:, None] * tangent.scale
            loads = loadings[step.level.nest]
            surprise = step.sum(y * step.log_p) / step.scale
            turned = moved * step.entropy[:, None]
            turned -= by[:, None] * sets.weighted(step.p * step.log_p, tangent.log_p)
            turned -= sets.weighted(y, tangent.log_p) / scale
            turned += (surprise / step.scale)[:, None] * tangent.scale
            first += own[k] @ loads
            second += loads.T @ turned
            moved = sets.spread(moved) * step.p[:, None]
            moved += (step.spread(by) * step.p)[:, None] * tangent.log_p
            moved -= (y / step.spread(step.scale) ** 2)[:, None] * sets.spread(tangent.scale)
        gradient = np.concatenate([crossed(self.x, held[0][:, None]).ravel(), first])
        return gradient, -np.vstack([crossed(self.x, moved), second])


@dataclass(frozen=True)
class _Tangent:
    """Derivatives by K + F parameters: of nodes' dissimilarities, of what they hold's log P."""

    scale: Array
    log_p: Array


@dataclass(frozen=True)
class NestedCases(Underlying):
    """Choice situations with the (quasi-)likelihood of a nested logit.

    ``sum_i w_i sum_j y_ij log s_ij``: the likelihood of 0/1 outcomes, the quasi-likelihood of
    fractions, and with corrected beliefs, which sum to r_i, that whose score is ``sum_j (y_ij -
    r_i s_ij) dI`` in place of ``(y_ij - s_ij)``. The K + F parameters are those of
    `NestedKernel`; first derivatives go back down the tree, second ones are those of the first.

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
        weight, once = c.count * c.weight, c.weight * np.sqrt(c.count)
        for rows, sets in c.sets.pieces(_PIECE):
            mine = slice(first, first + len(sets.start))
            first = mine.stop
            branches = _Branches.of(sets, c.labels[rows], self.tree)
            order = slice(None) if branches.order is None else branches.order
            w = weight[mine]
            # Utilities are relative: years of 2026 would be differences of large numbers.
            x = sets.less(c.x[rows], sets.sum(c.x[rows]) / sets.sizes[:, None])
            found.append(
                _Piece(
                    branches,
                    sets,
                    x[order],
                    None if c.offset is None else c.offset[rows][order],
                    c.y[rows][order] * sets.spread(w),
                    w if c.read is None else w * c.read[mine],
                    once[mine],
                )
            )
        return found

    @cached_property
    def _loadings(self) -> Array:
        """Free dissimilarities of the nests and of the root, which has none, (Q + 1, F)."""
        return np.vstack([self.tree.loadings, np.zeros(len(self.tree.terms))])

    def _parts(self, params: Array) -> tuple[Array, Array]:
        """Coefficients, and the dissimilarities of all nests and the root."""
        beta, free = params[: self.cases.size], params[self.cases.size :]
        return beta, np.asarray(self.tree.dissimilarities(free), np.float64)

    def _climbed(self, piece: _Piece, params: Array) -> list[_Step]:
        beta, lam = self._parts(params)
        return piece.branches.climb(piece.utilities(beta), lam)

    def _moved(self, piece: _Piece, params: Array) -> tuple[list[_Step], list[_Tangent]]:
        beta, lam = self._parts(params)
        v = piece.utilities(beta)
        steps = piece.branches.climb(v, lam)
        wide = np.hstack([np.zeros((len(lam), len(beta))), self._loadings])
        return steps, piece.tangents(steps, v, wide)

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
            held, own = piece.slopes(self._climbed(piece, params))
            by_nest = np.zeros((len(piece.total), len(self.tree.names) + 1))
            for level, values in zip(piece.branches.levels, own, strict=True):
                by_nest[level.case, level.nest] = values
            found.append(
                np.hstack([piece.sets.weighted(held[0], piece.x), by_nest @ self._loadings])
            )
        return np.concatenate(found)

    def _derivatives(self, params: Array) -> tuple[float, Array, Array]:
        llf, gradient = 0.0, np.zeros(self.size)
        information = np.zeros((self.size, self.size))
        for piece in self._pieces:
            steps, tangents = self._moved(piece, params)
            first, second = piece.curvature(steps, tangents, self._loadings)
            llf += piece.llf(steps)
            gradient += first
            information += second
        return llf, gradient, (information + information.T) / 2

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
        found = np.zeros((self.size, self.size))
        beta, lam = self._parts(params)
        for piece in self._pieces:
            steps, tangents = self._moved(piece, params)
            log_s = tangents[-1].log_p
            for step, tangent in zip(reversed(steps[:-1]), reversed(tangents[:-1]), strict=True):
                log_s = step.level.sets.spread(log_s) + tangent.log_p
            size = (piece.sets.spread(piece.once) * piece.branches.shares(steps))[:, None]
            g = log_s * size
            # What the scores are made of, whose own rounding counts where all but cancels.
            v = np.abs(piece.utilities(beta))[:, None]
            made = np.hstack([piece.x, (v / lam**2) @ self._loadings]) * (1e-8 * size)
            found += crossed(g, g) + crossed(made, made)
        return found

    def weighted(self, factor: Array) -> NestedCases:
        """Each case counted `factor` times; cases counted 0 times leave."""
        return NestedCases(self.cases.weighted(factor), self.tree)
