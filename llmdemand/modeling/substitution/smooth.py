"""What the data of nested and mixed logits share: choice situations underneath, and a Hessian."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array, Codes, crossed
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.likelihood.protocol import Likelihood

__all__ = ["Smooth", "Underlying", "situations"]


class Smooth(Likelihood, Protocol):
    """Data with a likelihood that has derivatives, and perhaps several maxima."""

    @property
    def cases(self) -> Cases:
        """The choice situations underneath."""

    @property
    def paired(self) -> bool:
        """Whether what counts once is a pair of situations, which is no observation."""

    def evaluated(self, params: Array) -> tuple[float, Array, Array]:
        """Log-likelihood, gradient (K,) and information (K, K) at once."""

    def oriented(self, params: Array) -> Array:
        """The same model in the one of several equal forms that is reported."""

    def shares(self, params: Array) -> Array:
        """Fitted probabilities by row of `cases`, (R,)."""


@dataclass(frozen=True)
class Underlying(ABC):
    """What is known of choice situations whatever the model.

    Attributes
    ----------
    cases : Cases
        The choice situations, in the order of the sample's rows.
    """

    cases: Cases

    #: Whether what counts once is a pair of situations, no observation.
    paired = False

    @property
    def nobs(self) -> float:
        """Choice situations."""
        return self.cases.nobs

    @property
    def observations(self) -> Array:
        """Observations in each row, (M,)."""
        return self.cases.count

    @property
    def weight(self) -> Array:
        """Sampling weight of each row, (M,)."""
        return self.cases.weight

    @property
    def groups(self) -> Mapping[str, Codes]:
        """Cluster codes of the rows, by name."""
        return self.cases.groups

    @property
    def fractional(self) -> bool:
        """Whether some outcome lies strictly between 0 and 1."""
        return self.cases.fractional

    @property
    def corrected(self) -> bool:
        """Whether outcomes are corrected beliefs, which may leave [0, 1]."""
        return self.cases.corrected

    @property
    def weights_vary(self) -> bool:
        """Whether some sampling weight is not 1."""
        return self.cases.weights_vary

    def oriented(self, params: Array) -> Array:
        """The same model in the one of several equal forms that is reported."""
        return params

    def alone(self) -> Cases:
        """The choice situations that a plain logit would be fitted to."""
        return self.cases

    def llnull(self) -> float | None:
        """Log-likelihood of a plain logit with constants alone; None without a closed form."""
        return self.alone().llnull()

    def saturated(self) -> float:
        """The log (quasi-)likelihood of a perfect fit."""
        return self.cases.saturated()

    @abstractmethod
    def scores(self, params: Array) -> Array:
        """Sum of the scores of each row's observations, (M, K)."""

    def gradient(self, params: Array) -> Array:
        """The sum of all scores, (K,)."""
        return np.asarray(self.scores(params).sum(axis=0))

    def meat(
        self, params: Array, inverse: Array, power: float = 0.0, factor: Array | None = None
    ) -> Array:
        """See `Likelihood.meat`; `power` is 0, as rows have no leverage that is known."""
        assert not power
        each = self.scores(params) / np.sqrt(self.observations)[:, None]
        return crossed(each if factor is None else each * factor[:, None], each)


def situations(data: Likelihood) -> Cells | Cases:
    """The cells or choice situations that a model was fitted to, whatever the model."""
    found = getattr(data, "cases", data)
    if not isinstance(found, Cells | Cases):
        raise UsageError(
            "this needs the rows, which are in files, differ from each other and were not kept: "
            "give at=..., leave out what makes every row different, or fit a sample of them"
        )
    return found
