"""Data of a latent class logit: the probability of each respondent's choices, class by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.modeling.arrays import Array, Codes, xlogx
from llmdemand.modeling.likelihood.kernels import LogitKernel, Numbers
from llmdemand.modeling.substitution.laws import Pairs
from llmdemand.modeling.substitution.panels import Block, Panels
from llmdemand.modeling.substitution.respondents import People

__all__ = [
    "ClassPanels",
    "LatentKernel",
    "LatentPanels",
    "class_shares",
    "divided",
    "reordered",
]

_HELD = 1 << 20  # numbers of one piece of work


def divided(params: Numbers, classes: int, terms: int) -> tuple[Numbers, Numbers]:
    """Coefficients by class (C, K), and those of membership (C - 1, Q), which follow them.

    >>> beta, gamma = divided(np.arange(5.0), 2, 2)
    >>> beta.tolist(), gamma.tolist()
    ([[0.0, 1.0], [2.0, 3.0]], [[4.0]])
    """
    beta, gamma = params[: classes * terms], params[classes * terms :]
    covariates = len(gamma) // (classes - 1) if classes > 1 else 0
    return beta.reshape(classes, terms), gamma.reshape(classes - 1, covariates)


def class_shares(gamma: Numbers, members: Array) -> Numbers:
    """``exp(z' gamma_c) / sum_d exp(z' gamma_d)``, gamma of the first class zero, (P, C).

    Parameters
    ----------
    gamma : (C - 1, Q) array
        Real or complex.
    members : (P, Q) array
        Regressors of belonging to a class.

    Examples
    --------
    >>> class_shares(np.array([[np.log(3.0)]]), np.ones((1, 1))).round(6).tolist()
    [[0.25, 0.75]]
    """
    first = np.zeros((len(members), 1), gamma.dtype)
    if not len(gamma):
        return np.exp(first)
    eta = np.hstack([first, members @ gamma.T])
    e = np.exp(eta - np.real(eta).max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def reordered(params: Array, classes: int, terms: int, order: Codes) -> Array:
    """The same model with its classes in another order.

    >>> reordered(np.array([1.0, 2.0, -0.5]), 2, 1, np.array([1, 0])).tolist()
    [2.0, 1.0, 0.5]
    """
    beta, gamma = divided(params, classes, terms)
    whole = np.vstack([np.zeros(gamma.shape[1]), gamma])[order]
    return np.concatenate([beta[order].ravel(), (whole[1:] - whole[0]).ravel()])


@dataclass(frozen=True)
class ClassPanels(People):
    """Choice situations of I respondents, each of whom belongs to one of C classes.

    The parameters are the K coefficients of each class, class by class, then the Q of belonging
    to each class but the first.

    Attributes
    ----------
    panels : Panels
        The choice situations by respondent.
    classes : int
        C.
    members : (I, Q) array
        Regressors of belonging to a class, the constant among them.
    count, weights : (I,) arrays
        Frequency and sampling weights of the respondents.
    clusters : mapping of str to (I,) int array
        Cluster codes of the respondents.
    """

    panels: Panels
    classes: int
    members: Array
    count: Array
    weights: Array
    clusters: Mapping[str, Codes] = field(default_factory=dict)

    @property
    def terms(self) -> int:
        """K, the coefficients of a class."""
        return self.cases.size

    @property
    def size(self) -> int:
        """``C K + (C - 1) Q``, the number of parameters."""
        return self.classes * self.terms + (self.classes - 1) * int(self.members.shape[1])

    def shares_of_classes(self, params: Numbers) -> Numbers:
        """``pi_c(z_i)``, (I, C)."""
        return class_shares(divided(params, self.classes, self.terms)[1], self.members)

    def mean_shares(self, params: Numbers) -> Numbers:
        """Class shares averaged over the respondents, (C,)."""
        return np.asarray(self.scale @ self.shares_of_classes(params) / self.scale.sum())

    def shares(self, params: Array) -> Array:
        """Fitted probabilities by row: averages over the classes, before any choice."""
        beta, _ = divided(params, self.classes, self.terms)
        v = self.cases.x @ beta.T
        if self.cases.offset is not None:
            v += self.cases.offset[:, None]
        row = self.panels.respondent[self.cases.sets.case]
        return np.asarray((self.cases.sets.shares(v) * self.shares_of_classes(params)[row]).sum(1))

    def outcomes(self) -> Array:
        """Outcomes by row, (R,), that starts are made of."""
        return self.cases.y

    def _of(self, used: NDArray[np.bool_]) -> dict[str, Any]:
        """Covariates of these respondents."""
        return {"members": self.members[used]}


@dataclass(frozen=True)
class LatentPanels(ClassPanels):
    """Sequences of choices of respondents in classes.

    ``P_i(seq) = sum_c pi_c(z_i) prod_t p_(t, y_t)(beta_c)`` with ``pi_c`` a multinomial logit in
    the respondent's covariates (Bhat 1997; Greene & Hensher 2003), and the log-likelihood is
    ``sum_i w_i sum_m 1/M log P_i(sequence m)`` over the M sequences of each respondent: one of
    observed choices, or several drawn from beliefs.

    Attributes
    ----------
    chosen : tuple of (n, M, T * J) arrays
        The sequences, block by block.
    """

    chosen: tuple[Array, ...] = field(kw_only=True)

    def outcomes(self) -> Array:
        """Outcomes averaged over the sequences, by row."""
        return self._frequencies(self.chosen)

    def _pieces(self) -> Iterator[tuple[Block, Array]]:
        wide = len(Pairs.of(self.terms).left) + 4 * self.classes
        for block, chosen in zip(self.panels.blocks, self.chosen, strict=True):
            each = max(1, _HELD // ((block.x.shape[1] + chosen.shape[1]) * wide))
            for first in range(0, len(block.who), each):
                some = slice(first, first + each)
                yield block[some], chosen[some]

    def _joint(self, params: Array, block: Block, log: Array) -> tuple[Array, Array]:
        """Log-probability of each sequence, (n, M), and of each class given it, (n, M, C)."""
        with np.errstate(divide="ignore"):  # a share that underflows is none
            log = log + np.log(self.shares_of_classes(params)[block.who])[:, None]
        top = log.max(axis=-1, keepdims=True)
        w = np.exp(log - top)
        total = w.sum(axis=-1, keepdims=True)
        return (top + np.log(total))[..., 0], w / total

    def _piece(self, params: Array, block: Block, chosen: Array) -> tuple[Array, Array, Array]:
        """Log-likelihoods (n,) and scores (n, P) of some respondents, and their Hessian."""
        k, c, pairs = self.terms, self.classes, Pairs.of(self.terms)
        beta, _ = divided(params, c, k)
        found = self.panels.at(block, beta.T, chosen, pairs)
        llf, w = self._joint(params, block, found.log)
        (n, m), z = llf.shape, self.members[block.who]
        pi, scale = self.shares_of_classes(params)[block.who], self.scale[block.who]
        away = (
            self.panels.sums(block, chosen)[..., None, :] - np.swapaxes(found.first, 1, 2)[:, None]
        )
        more = (w - pi[:, None])[..., 1:]  # (n, m, c - 1)
        scores = np.concatenate(
            [
                (w[..., None] * away).reshape(n, m, c * k),
                (more[..., None] * z[:, None, None]).reshape(n, m, -1),
            ],
            axis=-1,
        )
        # The mean over classes of the Hessian of the complete data and of the outer product of
        # its score, less the outer product of the mean score (Louis 1982).
        each = np.broadcast_to(scale[:, None] / m, (n, m))
        hessian = -np.einsum("nm,nma,nmb->ab", each, scores, scores, optimize=True)
        weighted = each[..., None] * w
        for one in range(c):
            mine = slice(one * k, (one + 1) * k)
            curved = weighted[..., one].sum(axis=1) @ found.second[..., one]
            a = away[:, :, one]
            hessian[mine, mine] += curved[pairs.table]
            hessian[mine, mine] += np.einsum(
                "nm,nma,nmb->ab", weighted[..., one], a, a, optimize=True
            )
        q = z.shape[1]
        for d in range(1, c):
            at = slice(c * k + (d - 1) * q, c * k + d * q)
            for one in range(c):
                mine = slice(one * k, (one + 1) * k)
                by = weighted[..., one] * (float(one == d) - pi[:, None, d])
                cross = np.einsum("nm,nma,nb->ab", by, away[:, :, one], z, optimize=True)
                hessian[mine, at] += cross
                hessian[at, mine] += cross.T
            for e in range(1, c):
                other = slice(c * k + (e - 1) * q, c * k + e * q)
                # sum_c w_c (1{c=d} - pi_d)(1{c=e} - pi_e) - pi_d (1{d=e} - pi_e)
                both = float(d == e) * (w[..., d] - pi[:, None, d])
                both = both - w[..., d] * pi[:, None, e] - pi[:, None, d] * w[..., e]
                both = both + 2 * (pi[:, d] * pi[:, e])[:, None]
                hessian[at, other] += (z * (each * both).sum(axis=1)[:, None]).T @ z
        return llf.mean(axis=1), scores.mean(axis=1), hessian

    def summed(self, params: Array) -> tuple[Array, Array, Array]:
        """See `People.summed`."""
        llf, scores = np.empty(self.panels.people), np.empty((self.panels.people, self.size))
        hessian = np.zeros((self.size, self.size))
        for block, chosen in self._pieces():
            llf[block.who], scores[block.who], part = self._piece(params, block, chosen)
            hessian += part
        return llf, scores, -(hessian + hessian.T) / 2

    def posterior(self, params: Array) -> Array:
        """Probability of each class given what each respondent chose, (I, C).

        ``pi_c(z_i) P_i(choices | beta_c) / sum_d pi_d(z_i) P_i(choices | beta_d)``, averaged over
        the respondent's sequences.
        """
        return self.expected(params)[1]

    def entropy_r2(self, params: Array) -> float:
        """``1 - sum_ic -p log p / (I log C)`` of the posterior p; NaN with one class."""
        if self.classes == 1:
            return float("nan")
        lost = -float(self.scale @ xlogx(self.posterior(params)).sum(axis=1))
        return 1 - lost / float(self.scale.sum() * np.log(self.classes))

    def expected(self, params: Array) -> tuple[float, Array, Array]:
        """Log-likelihood, classes of the respondents and outcomes by class: an E step.

        Returns
        -------
        llf : float
        posterior : (I, C) array
        outcomes : (R, C) array
            Outcomes by row times the probability of each class given the sequence, averaged over
            the respondent's sequences.
        """
        beta, _ = divided(params, self.classes, self.terms)
        llf, classes = np.empty(self.panels.people), np.empty((self.panels.people, self.classes))
        outcomes = np.zeros((len(self.cases.y), self.classes))
        for block, chosen in self._pieces():
            log = self.panels.at(block, beta.T, chosen, None).log
            each, w = self._joint(params, block, log)
            llf[block.who], classes[block.who] = each.mean(axis=1), w.mean(axis=1)
            there = block.rows >= 0
            y = np.swapaxes(chosen, 1, 2) @ w / w.shape[1]
            outcomes[block.rows[there]] = y[there]
        return float(self.scale @ llf), classes, outcomes

    def _of(self, used: NDArray[np.bool_]) -> dict[str, Any]:
        """Covariates and sequences of these respondents."""
        return {**super()._of(used), "chosen": self._sequences_of(self.chosen, used)}


@dataclass(frozen=True)
class LatentKernel(LogitKernel):
    """Shares averaged over classes of tastes: see `Kernel`.

    Attributes
    ----------
    classes, terms : int
        C and K.
    """

    classes: int
    terms: int

    plain = False

    @property
    def tastes(self) -> int:
        """C."""
        return self.classes

    def utilities(self, b: Numbers, x: Numbers) -> Numbers:
        """See `Kernel`."""
        return np.asarray(np.moveaxis(x @ divided(b, self.classes, self.terms)[0].T, -1, 0))

    def mean(self, b: Numbers, values: Numbers, members: Array | None = None) -> Numbers:
        """See `Kernel`: each class weighs its share among people with these regressors."""
        assert members is not None
        pi = class_shares(divided(b, self.classes, self.terms)[1], members).T  # (C, P)
        return np.asarray((values * pi.reshape(len(pi), *[1] * (values.ndim - 2), -1)).sum(axis=0))
