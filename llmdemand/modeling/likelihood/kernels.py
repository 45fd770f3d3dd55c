"""From utilities to shares: all that a demand quantity needs to know of a choice model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.sets import ChoiceSets

__all__ = ["LOGIT", "Kernel", "LogitKernel", "Numbers"]

#: Real, or complex where a derivative is taken.
Numbers = NDArray[Any]


class Kernel(Protocol):
    """A choice model at given tastes, and the mean over tastes.

    Arrays of utilities have the D tastes along the first axis (one where tastes do not vary)
    and the R rows of alternatives along the last; axes between are carried along. Shares,
    log-sums and ratios are formed taste by taste and then averaged by `mean`: a mixed logit is a
    mean of logits. Coefficients `b` are all those of the fit, of which the first are those of
    the K regressors. Complex ones pass through, which is how derivatives are exact.
    """

    @property
    def tastes(self) -> int:
        """D."""

    @property
    def plain(self) -> bool:
        """Whether shares are those of a plain logit, for which closed forms are known."""

    def utilities(self, b: Numbers, x: Numbers) -> Numbers:
        """``x_ij' beta_d``, (D, ..., R); of derivatives of regressors, those of the utilities."""

    def shares(self, b: Numbers, v: Numbers, sets: ChoiceSets, labels: Codes) -> Numbers:
        """Shares within each case, in the shape of `v`."""

    def responses(
        self, b: Numbers, v: Numbers, moved: Numbers, sets: ChoiceSets, labels: Codes
    ) -> tuple[Numbers, Numbers]:
        """Shares, and the derivative of their logarithms where utilities move by `moved`."""

    def log_sums(self, b: Numbers, v: Numbers, sets: ChoiceSets, labels: Codes) -> Numbers:
        """Expected utility of the best alternative of each case, (D, ..., N)."""

    def mean(self, b: Numbers, values: Numbers, members: Array | None = None) -> Numbers:
        """The mean over tastes, without the first axis.

        `members` (P, Q) are the regressors of belonging to a class, of the P values along the
        last axis, in models that have them.
        """


@dataclass(frozen=True)
class LogitKernel:
    """``s_j = exp(v_j) / sum_k exp(v_k)``: McFadden's logit, with one taste for all.

    ``d ln s_j = dv_j - sum_k s_k dv_k``, and the log-sum is ``log sum_k exp(v_k)`` (Train
    2009, chapter 3).

    Examples
    --------
    >>> sets, labels = ChoiceSets(np.array([0]), 2), np.array([0, 1])
    >>> v = LOGIT.utilities(np.array([2.0]), np.array([[0.0], [1.0]]))
    >>> LOGIT.shares(np.array([2.0]), v, sets, labels)[0].round(4).tolist()
    [0.1192, 0.8808]
    """

    @property
    def plain(self) -> bool:
        """Whether shares are those of a plain logit: of one taste."""
        return True

    @property
    def tastes(self) -> int:
        """D: one taste for all."""
        return 1

    def utilities(self, b: Numbers, x: Numbers) -> Numbers:
        """See `Kernel`."""
        return np.asarray(x @ b)[None]

    def shares(self, b: Numbers, v: Numbers, sets: ChoiceSets, labels: Codes) -> Numbers:
        """See `Kernel`."""
        return sets.shares(v, v.ndim - 1)

    def responses(
        self, b: Numbers, v: Numbers, moved: Numbers, sets: ChoiceSets, labels: Codes
    ) -> tuple[Numbers, Numbers]:
        """See `Kernel`."""
        s, axis = sets.shares(v, v.ndim - 1), v.ndim - 1
        return s, np.asarray(moved - sets.spread(sets.sum(s * moved, axis), axis))

    def log_sums(self, b: Numbers, v: Numbers, sets: ChoiceSets, labels: Codes) -> Numbers:
        """See `Kernel`."""
        return sets.log_sums(v, v.ndim - 1)

    def mean(self, b: Numbers, values: Numbers, members: Array | None = None) -> Numbers:
        """See `Kernel`."""
        return np.asarray(values[0])


LOGIT = LogitKernel()
