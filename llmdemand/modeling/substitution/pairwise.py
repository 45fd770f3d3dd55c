"""Data of mixed and latent class logits by pairs of situations, which corrected beliefs allow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.substitution.latent import ClassPanels, divided
from llmdemand.modeling.substitution.laws import Pairs
from llmdemand.modeling.substitution.panels import Block, Panels
from llmdemand.modeling.substitution.respondents import (
    People,
    Respondents,
    in_parallel,
    pieces_of,
)

__all__ = [
    "Answers",
    "Paired",
    "PairwiseClasses",
    "PairwisePanels",
    "by_pairs",
    "check_pairs",
    "counted",
    "said_of",
]

#: How the answers of one respondent go together.
Answers = Literal["sequence", "pairwise"]

_FROM_BELIEFS = (
    "sequence quasi-likelihood: sequences of choices drawn from beliefs of separate calls; several "
    "questions in one conversation break it"
)
_FROM_PAIRS = "pairwise quasi-likelihood: its value is no log-likelihood of whole sequences"


class Paired(People):
    """Pairs of choice situations of I respondents whose tastes differ.

    With outcomes ``b_ta``, beliefs or corrected ones, of separate calls ``E[b_sa b_tc] = P(a in
    s, c in t)``, so that ``sum_(s<t) sum_(a, c) b_sa b_tc log P_st(a, c)`` has a score of mean
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

    paired = True

    def alone(self) -> Cases:
        """What the likelihood without spread is of: single situations."""
        read = np.ones(len(self.cases.start)) if self.cases.read is None else self.cases.read
        total = np.bincount(self.panels.respondent, read)[self.panels.respondent]
        others = (total - read) / np.maximum(self.panels.tasks[self.panels.respondent] - 1, 1)
        y = self.cases.y * self.cases.sets.spread(others)
        return replace(self.cases, y=y, read=read * others)

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


@dataclass(frozen=True)
class _Said:
    """What pairs of rows say of n respondents, and how it moves with S tastes of theirs.

    ``f_s = p_s' ratio p_s / 2`` is what the log-likelihood gains with the weight of taste s.
    """

    llf: Array  # (n,)
    ratio: Array  # (n, R, R): products over probabilities
    bend: Array  # (n, R, R): ratio over probabilities
    slopes: Array  # (n, R, K, S): of p by the tastes
    first: Array  # (n, K, S): of f
    second: Array  # (n, pairs, S): of f


def _said(block: Block, p: Array, together: Array, products: Array, pairs: Pairs) -> _Said:
    """See `_Said`.

    Parameters
    ----------
    p : (n, R, S) array
        Probabilities at the tastes.
    together : (n, R, R) array
        Of pairs of rows.
    products : (n, R, R) array
        Of the outcomes: see `Paired.products`.
    pairs : Pairs
        Of the K terms.
    """
    n, rows, size = p.shape
    # Rows that are not there have no products, and no probability either.
    known = np.where(products != 0, together, 1.0)
    llf = (products * np.log(known)).sum(axis=(1, 2)) / 2
    ratio = products / known
    # c_rk = x_rk less its mean in the situation, and dp_r / dbeta_k = p_r c_rk.
    shape = (n, block.tasks, rows // block.tasks)
    x = block.x.reshape(*shape, -1)
    means = np.swapaxes(x, -1, -2) @ p.reshape(*shape, size)  # (n, T, K, S)
    centred = (x[..., None] - means[:, :, None]).reshape(n, rows, -1, size)
    slopes = p[:, :, None] * centred
    pull = ratio @ p * p
    first = np.einsum("nrs,nrks->nks", pull, centred)
    whole = pull.reshape(*shape, size).sum(axis=2, keepdims=True)
    rest = pull - (whole * p.reshape(*shape, size)).reshape(p.shape)
    crosswise = (ratio @ slopes.reshape(n, rows, -1)).reshape(slopes.shape)
    second = np.empty((n, len(pairs.left), size))
    for q, (k, m) in enumerate(zip(pairs.left, pairs.right, strict=True)):
        second[:, q] = (rest * centred[:, :, k] * centred[:, :, m]).sum(axis=1)
        second[:, q] += (slopes[:, :, k] * crosswise[:, :, m]).sum(axis=1)
    return _Said(llf, ratio, ratio / known, slopes, first, second)


@dataclass(frozen=True)
class PairwisePanels(Paired, Respondents):
    """Pairs of situations of respondents whose tastes follow a law.

    ``P_st(a, c) = mean_d p_sa(beta_d) p_tc(beta_d)`` over S draws of the respondent's tastes: see
    `Paired`.
    """

    def summed(self, params: Array) -> tuple[Array, Array, Array]:
        """See `Respondents.summed`."""
        wide = max(block.x.shape[1] for block in self.panels.blocks) * (1 + 3 * self.size)

        def piece(some: tuple[int, slice, Block]) -> tuple[Codes, Array, Array, Array]:
            return self._piece(params, some[2], self.products[some[0]][some[1]])

        return self.added(in_parallel(piece, self.pieces(wide)))

    def _piece(
        self, params: Array, block: Block, products: Array
    ) -> tuple[Codes, Array, Array, Array]:
        """Log-likelihoods (n,), scores (n, P), and the Hessian (P, P) of some respondents."""
        law, (pairs, crossed) = self.law, self.pairs
        features, eta, beta = self.tastes(params, block)
        p = self.panels.probabilities(block, beta)  # (n, R, S), R = T J
        n, rows, size = p.shape
        scale, turned = self.scale[block.who], np.swapaxes(p, -1, -2)
        found = _said(block, p, p @ turned / size, products, pairs)
        own = law.back(eta[:, None], beta[:, None], found.slopes)  # by eta
        moved = np.empty((self.size, n, rows, rows))  # how the pairs' probabilities move
        for a in range(self.size):
            f = law.loads[a] @ features  # (n, S)
            half = (own[:, :, law.place[a]] * f[:, None]) @ turned / size
            moved[a] = half + np.swapaxes(half, -1, -2)
        scores = (moved * found.ratio).sum(axis=(2, 3)).T / 2
        second = law.back_twice(eta, beta, found.second / size, found.first / size, pairs)
        squares = features[:, crossed.left] * features[:, crossed.right]
        sums = np.einsum("n,nab->ab", scale, second @ np.swapaxes(squares, -1, -2), optimize=True)
        hessian = law.gathered_twice(sums, pairs, crossed) - _outer(moved, found.bend, scale)
        return block.who, found.llf, scores, hessian


@dataclass(frozen=True)
class PairwiseClasses(Paired, ClassPanels):
    """Pairs of situations of respondents in classes.

    ``P_st(a, c) = sum_k pi_k(z_i) p_sa(beta_k) p_tc(beta_k)``, ``pi_k`` a multinomial logit in the
    respondent's covariates: see `Paired`. With outcomes outside [0, 1] it has no upper bound: the
    estimate is a maximum inside, and a run to infinity, however high, is none.
    """

    def summed(self, params: Array) -> tuple[Array, Array, Array]:
        """See `People.summed`."""
        wide = 4 * self.classes * (1 + self.terms) * (1 + self.classes)

        def numbers(block: Block) -> int:
            rows = int(block.x.shape[1])
            return rows * (6 * rows + wide)

        def piece(some: tuple[int, slice, Block]) -> tuple[Codes, Array, Array, Array]:
            return self._piece(params, some[2], self.products[some[0]][some[1]])

        return self.added(in_parallel(piece, pieces_of(self.panels.blocks, numbers)))

    def _piece(
        self, params: Array, block: Block, products: Array
    ) -> tuple[Codes, Array, Array, Array]:
        """Log-likelihoods (n,), scores (n, P), and the Hessian (P, P) of some respondents."""
        k, c, pairs = self.terms, self.classes, Pairs.of(self.terms)
        z, scale = self.members[block.who], self.scale[block.who]
        pi = self.shares_of_classes(params)[block.who]
        p = self.panels.probabilities(block, divided(params, c, k)[0].T)  # (n, R, C), R = T J
        together = (p * pi[:, None]) @ np.swapaxes(p, -1, -2)
        found = _said(block, p, together, products, pairs)
        # Belonging moves the shares of the classes: dpi_c / dgamma_d = pi_c (1{c=d} - pi_d) z.
        value = (p * (found.ratio @ p)).sum(axis=1) / 2  # (n, C)
        away = np.eye(c)[:, 1:] - pi[:, None, 1:]  # (n, C, C - 1)
        turns = pi[..., None] * away
        own = np.swapaxes(pi[:, None] * found.first, 1, 2).reshape(len(z), -1)
        belonging = np.einsum("ncd,nc,nq->ndq", turns, value, z).reshape(len(z), -1)
        hessian = -_bent(p, np.swapaxes(found.slopes, 2, 3), found.bend, pi, turns, z, scale)
        by_class = np.einsum("n,npc->pc", scale, pi[:, None] * found.second)
        for one in range(c):
            mine = slice(one * k, (one + 1) * k)
            hessian[mine, mine] += by_class[:, one][pairs.table]
            weighted = scale[:, None] * turns[:, one]
            cross = np.einsum("nd,nk,nq->kdq", weighted, found.first[..., one], z).reshape(k, -1)
            hessian[mine, c * k :] += cross
            hessian[c * k :, mine] += cross.T
        # d2pi_c / dgamma_d dgamma_e = (pi_c (1{c=d} - pi_d)(1{c=e} - pi_e) - pi_c pi_d (1{d=e} -
        # pi_e)) z z'.
        curved = turns[..., None] * away[:, :, None]
        curved -= pi[..., None, None] * turns[:, None, 1:]
        both = np.einsum("n,nc,ncde->nde", scale, value, curved)
        twice = np.einsum("nde,nq,nr->dqer", both, z, z)
        hessian[c * k :, c * k :] += twice.reshape(2 * [(c - 1) * z.shape[1]])
        return block.who, found.llf, np.hstack([own, belonging]), hessian


def _bent(
    p: Array, slopes: Array, bend: Array, pi: Array, turns: Array, z: Array, scale: Array
) -> Array:
    """``sum_i w_i dP bend dP' / 2`` of classes, (P, P): see `_outer`.

    By the coefficients of class c the probabilities of pairs move by ``pi_c (u p_c' + p_c u')``, u
    the slopes (n, R, C, K), by belonging to d by ``sum_e turns_ed p_e p_e' z``, so that products
    of rows are all that `bend` is multiplied with.
    """
    n, rows, c, k = slopes.shape
    q, at = z.shape[1], c * k
    squares = p[..., :, None] * p[..., None, :]  # (n, R, C, C)
    mixed = p[..., :, None, None] * slopes[:, :, None]  # p_c u_dm: (n, R, C, C, K)
    bent = (bend @ squares.reshape(n, rows, -1)).reshape(squares.shape)
    turned = (bend @ mixed.reshape(n, rows, -1)).reshape(mixed.shape)
    found = np.zeros((at + turns.shape[2] * q, at + turns.shape[2] * q))
    for one in range(c):
        mine = slice(one * k, (one + 1) * k)
        for other in range(c):
            u = slopes[:, :, one] * bent[:, :, one, other, None]
            both = np.swapaxes(u, 1, 2) @ slopes[:, :, other]
            both += np.swapaxes(mixed[:, :, other, one], 1, 2) @ turned[:, :, one, other]
            w = scale * pi[:, one] * pi[:, other]
            found[mine, other * k : (other + 1) * k] = np.einsum("n,nkm->km", w, both)
        # (n, K, C): of the classes that belonging moves.
        against = np.einsum("nrek,nre->nke", mixed[:, :, :, one], bent[:, :, one])
        moved = (against * (scale * pi[:, one])[:, None, None]) @ turns
        found[mine, at:] = np.einsum("nkd,nq->kdq", moved, z).reshape(k, -1)
        found[at:, mine] = found[mine, at:].T
    own = np.swapaxes(turns, 1, 2) @ (squares * bent).sum(axis=1) @ turns  # (n, C - 1, C - 1)
    twice = np.einsum("n,nde,nq,nr->dqer", scale / 2, own, z, z)
    found[at:, at:] = twice.reshape(found[at:, at:].shape)
    return found


def _outer(moved: Array, bend: Array, scale: Array) -> Array:
    """``sum_i w_i dP bend dP' / 2`` over pairs of rows, (P, P)."""
    flat = moved.reshape(len(moved), -1)
    return np.asarray((flat * (bend * scale[:, None, None]).ravel()) @ flat.T / 2)


def by_pairs(data: Likelihood, likelihood: Answers | None) -> bool:
    """Whether pairs are asked for; without a word, where outcomes are corrected beliefs.

    Raises
    ------
    UsageError
        For an unknown likelihood; for sequences of corrected beliefs.
    """
    if likelihood is not None:
        choose(likelihood, Answers, "likelihood")
    if data.corrected and likelihood == "sequence":
        raise UsageError(
            "corrected beliefs leave [0, 1], so that no sequences of choices can be drawn from "
            "them: use likelihood='pairwise'"
        )
    return data.corrected if likelihood is None else likelihood == "pairwise"


def check_pairs(people: int, once: int, size: int) -> list[str]:
    """What to say of respondents who have no pair of situations.

    Parameters
    ----------
    people, once : int
        Respondents, and those who answered one situation.
    size : int
        Number of parameters.

    Raises
    ------
    DesignError
        Where too few have one.
    """
    if people - once <= size:
        raise DesignError(
            f"{people - once} of {people} respondents answered two situations or more, and there "
            f"are {size} parameters: a pairwise likelihood sees how respondents differ in pairs of "
            "answers of one respondent; ask each of them several times"
        )
    if not once:
        return []
    return [f"{once} of {people} respondents answered one situation and carry nothing"]


def counted(panels: Panels, pairwise: bool) -> Array:
    """How often each respondent is counted, (I,): who has no pair of situations, for nobody."""
    count = panels.cases.count[panels.heads]
    return np.where(panels.tasks > 1, count, 0.0) if pairwise else count


def said_of(data: Likelihood, pairwise: bool) -> list[str]:
    """What kind of likelihood it is, where it is none of observed choices."""
    if pairwise:
        return [_FROM_PAIRS]
    return [_FROM_BELIEFS] if data.fractional else []
