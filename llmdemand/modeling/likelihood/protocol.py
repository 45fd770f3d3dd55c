"""What an estimator asks of data: a log-likelihood, its derivatives, its pieces.

Covariances, bootstraps and results are written once, against `Likelihood`. The data of plain
logits, `cells.Cells` (binary and fractional) and `cases.Cases` (multinomial and conditional),
answer more: their likelihood is `Concave`, so that its maximum is unique, can be told from a
supremum, and has a penalty. Nested and mixed logits are data of the first kind alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from llmdemand.modeling.arrays import Array, Codes

__all__ = ["Concave", "Likelihood"]


class Likelihood(Protocol):
    """Data with a log (quasi-)likelihood in K coefficients, held in M rows.

    A row is what a bootstrap can leave out: a group of equal observations of a binary
    outcome, one choice situation, or all those of a respondent.
    """

    @property
    def nobs(self) -> float:
        """Observations; a frequency weight of 3 counts as three."""

    @property
    def observations(self) -> Array:
        """Observations in each row, (M,)."""

    @property
    def fractional(self) -> bool:
        """Whether some outcome lies strictly between 0 and 1: a quasi-likelihood then."""

    @property
    def corrected(self) -> bool:
        """Whether outcomes are corrected beliefs, which may leave [0, 1]."""

    @property
    def weights_vary(self) -> bool:
        """Whether there are sampling weights: the likelihood is then no likelihood."""

    @property
    def weight(self) -> Array:
        """Sampling weight of each row, (M,)."""

    @property
    def size(self) -> int:
        """K, the number of coefficients."""

    @property
    def groups(self) -> Mapping[str, Codes]:
        """Cluster codes of the rows, 0 to G - 1, by name; each (M,)."""

    def llf(self, params: Array) -> float:
        """Log (quasi-)likelihood."""

    def llnull(self) -> float | None:
        """Log-likelihood of the model with constants alone; None without a closed form."""

    def saturated(self) -> float:
        """Log-likelihood of a perfect fit."""

    def scores(self, params: Array) -> Array:
        """Sum of the scores of each row's observations, (M, K)."""

    def gradient(self, params: Array) -> Array:
        """The sum of all scores, (K,)."""

    def information(self, params: Array) -> Array:
        """Minus the Hessian, (K, K)."""

    def meat(
        self, params: Array, inverse: Array, power: float = 0.0, factor: Array | None = None
    ) -> Array:
        """Sum over observations of the outer product of adjusted scores, (K, K).

        With A_i the information of observation i, its score is taken times
        ``(1 - A_i inverse)^-power``: 0 for HC0, 1/2 for HC2, 1 for HC3. `factor` (M,)
        multiplies the contribution of each row.
        """

    def rounding(self, params: Array) -> Array | None:
        """Covariance of the score if each log-probability had an independent error of 1, (K, K).

        ``sum_i w_i^2 sum_j p_ij^2 (x_ij - xbar_i)(x_ij - xbar_i)'``; with it the rounding of
        the numbers themselves, which counts where a probability is one but for 1e-8. None
        where scores are not linear in the outcomes.
        """

    def weighted(self, factor: Array) -> Self:
        """The same data with each row's observations counted `factor` times, (M,)."""


class Concave(Likelihood, Protocol):
    """Data of a plain logit: concave in its coefficients, linear in its regressors."""

    def shares(self, params: Array) -> Array:
        """Fitted probabilities, by row of the regressors."""

    def constants(self) -> Concave:
        """The same outcomes with constants alone."""

    def penalty_score(self, params: Array, inverse: Array) -> Array:
        """Gradient of ``1/2 log det information``, (K,): Firth's modified score adds it."""

    def reach(self, step: Array) -> float:
        """The largest change of a log-odds that `step` makes."""

    def differences(self) -> Array:
        """Regressors of what happened less those of what might have happened, (D, K).

        See `llmdemand.modeling.likelihood.separating.separating_differences`.
        """

    def separating_direction(self) -> Array | None:
        """A direction in which the likelihood rises for ever, or None: see `separating`."""

    def merged(self) -> Concave:
        """The same likelihood in fewer rows, where clusters alone tell rows apart."""

    def undecided(self, direction: Array) -> Concave | None:
        """What is still uncertain infinitely far along a separating direction; None if nothing."""

    def projected(self, basis: Array) -> Concave:
        """The data in the regressors ``x @ basis``, basis (K, F)."""

    def standardised(self) -> tuple[Concave, Array]:
        """The data in regressors of comparable scale, and `back` (K, K).

        ``params = back @ params_of_standardised``.
        """
