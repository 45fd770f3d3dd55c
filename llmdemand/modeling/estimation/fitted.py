"""What counts as a fitted model: a logit, or a demand that has one."""

from __future__ import annotations

from typing import Protocol

from llmdemand.errors import UsageError
from llmdemand.modeling.models.results import LogitResults

__all__ = ["Fitted", "HasFit", "results_of"]


class HasFit(Protocol):
    """A fitted demand: it has a logit underneath."""

    @property
    def fit(self) -> LogitResults:
        """The logit."""


Fitted = LogitResults | HasFit


def results_of(fit: Fitted) -> LogitResults:
    """The logit results themselves, or those of a demand.

    Raises
    ------
    UsageError
        For anything else.
    """
    found = fit if isinstance(fit, LogitResults) else getattr(fit, "fit", None)
    if not isinstance(found, LogitResults):
        raise UsageError(
            f"{type(fit).__name__} is no fitted logit: give what logit, fraclogit, mnlogit, "
            "clogit or fit_demand returned"
        )
    return found
