"""Conditional logit: from a formula and a long table to a fit."""

from __future__ import annotations

from typing import Any

from llmdemand.modeling.estimation.choices import choices
from llmdemand.modeling.estimation.estimate import Source, estimate
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.sample.columns import Data

__all__ = ["fit_conditional"]


def fit_conditional(formula: str, data: Data, options: Options, **columns: Any) -> Fit:
    """A conditional logit: see `llmdemand.modeling.models.multinomial.clogit`.

    Parameters
    ----------
    formula, data, options, **columns
        See `llmdemand.modeling.estimation.choices.choices`.
    """
    found = choices(formula, data, options, **columns)
    source = Source(
        found.design,
        found.frame,
        found.outcome,
        "Conditional logit",
        found.dropped,
        options.weighting,
        found.notes,
    )
    standardised = found.cases.standardised(found.scaled)
    return estimate(found.cases, found.design.terms, source, options, standardised)
