"""Data of a mixed logit by pairs of situations: for outcomes that are no probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.substitution.panels import Block
from llmdemand.modeling.substitution.respondents import Respondents, in_parallel

__all__ = ["PairwisePanels"]


@dataclass(frozen=True)
class PairwisePanels(Respondents):
    """Pairs of choice situations of I respondents whose tastes follow a law.

    With outcomes ``b_ta``, beliefs or corrected ones, of separate calls ``E[b_sa b_tc] = P(a in
    s, c in t)``, so that ``sum_(s<t) sum_(a, c) b_sa b_tc log P_st(a, c)``, with ``P_st(a, c) =
    mean_d p_sa(beta_d) p_tc(beta_d)`` over S draws of the respondent's tastes, has a score of mean
    zero: the pairwise (composite) likelihood (Lindsay 1988; Varin, Reid & Firth 2011), which
    outcomes outside [0, 1] leave as it is. It is divided by T - 1, the pairs that each of the
    respondent's T situations is in: without spread it is then the log-likelihood of single
    situations. Who answered one situation carries nothing.
    """

    @cached_property
    def products(self) -> tuple[Array, ...]:
        """``b_r b_q / (T - 1)`` for rows of different situations, block by block (n, TJ, TJ)."""
        found = []
        for block in self.panels.blocks:
            b = np.where(block.rows >= 0, self.cases.y[block.rows], 0.0)
            task = np.repeat(np.arange(block.tasks), b.shape[1] // block.tasks)
            other = (task[:, None] != task) / max(block.tasks - 1, 1)
            found.append(b[:, :, None] * b[:, None, :] * other)
        return tuple(found)

    def llnull(self) -> float | None:
        """The same with one constant per alternative and no spread."""
        read = np.ones(len(self.cases.start)) if self.cases.read is None else self.cases.read
        total = np.bincount(self.panels.respondent, read)[self.panels.respondent]
        others = (total - read) / np.maximum(self.panels.tasks[self.panels.respondent] - 1, 1)
        y = self.cases.y * self.cases.sets.spread(others)
        return replace(self.cases, y=y, read=read * others).llnull()

    def saturated(self) -> float:
        """Unknown.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(
            "a pairwise likelihood has no perfect fit, and so no deviance: use the log score of "
            "scores()"
        )

    def summed(self, params: Array) -> tuple[Array, Array, Array]:
        """See `Respondents.summed`."""
        llf, scores = np.empty(self.panels.people), np.empty((self.panels.people, self.size))
        hessian = np.zeros((self.size, self.size))
        wide = max(block.x.shape[1] for block in self.panels.blocks) * (1 + 3 * self.size)

        def piece(some: tuple[int, slice, Block]) -> tuple[Codes, Array, Array, Array]:
            return self._piece(params, some[2], self.products[some[0]][some[1]])

        for who, value, score, second in in_parallel(piece, self.pieces(wide)):  # in one order
            llf[who], scores[who] = value, score
            hessian += second
        return llf, scores, -(hessian + hessian.T) / 2

    def _piece(
        self, params: Array, block: Block, products: Array
    ) -> tuple[Codes, Array, Array, Array]:
        """Log-likelihoods (n,), scores (n, P), and the Hessian (P, P) of some respondents."""
        law, (pairs, crossed) = self.law, self.pairs
        features, eta, beta = self.tastes(params, block)
        p = self.panels.probabilities(block, beta)  # (n, R, S), R = T J
        n, rows, size = p.shape
        scale = self.scale[block.who]
        together = p @ np.swapaxes(p, -1, -2) / size
        # Rows that are not there have no products, and no probability either.
        known = np.where(products != 0, together, 1.0)
        llf = (products * np.log(known)).sum(axis=(1, 2)) / 2
        ratio = products / known
        # c_rk = x_rk less its mean in the situation, and dp_r / dbeta_k = p_r c_rk.
        shape = (n, block.tasks, rows // block.tasks)
        x = block.x.reshape(*shape, -1)
        means = np.swapaxes(x, -1, -2) @ p.reshape(*shape, size)  # (n, T, K, S)
        centred = (x[..., None] - means[:, :, None]).reshape(n, rows, -1, size)
        slopes = p[:, :, None] * centred  # (n, R, K, S)
        own = law.back(eta[:, None], beta[:, None], slopes)  # by eta
        turned = np.swapaxes(p, -1, -2)
        moved = np.empty((self.size, n, rows, rows))  # how the pairs' probabilities move
        for a in range(self.size):
            f = law.loads[a] @ features  # (n, S)
            half = (own[:, :, law.place[a]] * f[:, None]) @ turned / size
            moved[a] = half + np.swapaxes(half, -1, -2)
        scores = (moved * ratio).sum(axis=(2, 3)).T / 2
        flat = moved.reshape(self.size, -1)
        bend = (ratio / known * scale[:, None, None]).ravel()
        hessian = -(flat * bend) @ flat.T / 2
        # Draw by draw the sum is a quadratic form of probabilities, p' ratio p / (2 S).
        pull = ratio @ p * p / size
        first = np.einsum("nrs,nrks->nks", pull, centred)
        whole = pull.reshape(*shape, size).sum(axis=2, keepdims=True)
        rest = pull - (whole * p.reshape(*shape, size)).reshape(p.shape)
        crosswise = (ratio @ slopes.reshape(n, rows, -1)).reshape(slopes.shape) / size
        twice = np.empty((n, len(pairs.left), size))
        for q, (k, m) in enumerate(zip(pairs.left, pairs.right, strict=True)):
            twice[:, q] = (rest * centred[:, :, k] * centred[:, :, m]).sum(axis=1)
            twice[:, q] += (slopes[:, :, k] * crosswise[:, :, m]).sum(axis=1)
        second = law.back_twice(eta, beta, twice, first, pairs)
        squares = features[:, crossed.left] * features[:, crossed.right]
        sums = np.einsum("n,nab->ab", scale, second @ np.swapaxes(squares, -1, -2), optimize=True)
        return block.who, llf, scores, hessian + law.gathered_twice(sums, pairs, crossed)
