"""Quantities of a demand on both sides, and their differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from llmdemand.calibration.estimates import LogitFit
from llmdemand.calibration.moments.rectified import logit_data
from llmdemand.calibration.target import Target
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.models.results import LogitResults

__all__ = ["OF_ONE", "QUANTITIES", "influence", "targets", "values"]

QUANTITIES = ("price", "elasticity", "wtp", "share")
OF_ONE = ("elasticity", "share")  # of one alternative


def targets(
    fit: LogitResults,
    at: float | None,
    price: str,
    focal: str | None,
    attribute: str | None,
) -> Iterator[Target]:
    """What two demands are compared in: those of the quantities that they have."""
    design = fit.design
    assert design is not None
    terms = list(fit.params.index)
    for name in QUANTITIES:
        if name in ("price", "wtp") and price not in terms:
            continue
        if name == "wtp" and not design.outside and attribute is None:
            continue
        whose: Sequence[str | None] = (focal,)
        if focal is None and name == "elasticity" and at is None:
            whose = design.alternatives
        elif focal is None and not design.outside and name == "share" and at is None:
            continue  # they are in the curve
        where = at if name in OF_ONE else None
        for one in whose:
            yield Target.of(name, where, price, one, attribute, design, terms)


def values(
    target: Target, fits: tuple[LogitResults, ...], *, asked: bool
) -> tuple[tuple[float, Array], tuple[float, Array]] | None:
    """Estimate and derivatives on both sides, over the humans' cases; None if there are none."""
    frame, weights = fits[0].frame, fits[0].weights
    found = []
    for fit in fits:
        assert frame is not None and fit.design is not None
        here = LogitFit(fit.params, fit.cov, fit.df, fit.design, frame, weights, fit.outcome)
        try:
            # A slope of exactly zero has no indifference price.
            with np.errstate(divide="ignore", invalid="ignore"):
                quantity = target.quantity(here)
        except DesignError:
            if asked:
                raise
            return None
        value, slopes = float(quantity), quantity.gradient
        if slopes is None or not np.isfinite([value, *slopes[0]]).all():
            return None
        found.append((value, slopes[0]))
    return found[0], found[1]


def influence(fit: LogitResults, rows: pd.DataFrame, y: str, who: Codes, size: int) -> Array:
    """Contributions of respondents to the error of the coefficients, (size, K)."""
    assert fit.design is not None
    made = fit.design.expand(rows)
    x, start, order = made.x, made.start, made.order
    b, outcome = np.asarray(fit.params, np.float64), np.asarray(rows[y], np.float64)[order]
    cases = logit_data(x, outcome, start, np.ones(len(start)), outside=fit.design.outside)
    score = np.column_stack([np.bincount(who[order[start]], c, size) for c in cases.scores(b).T])
    n = len(np.unique(who))
    return np.asarray(score @ np.linalg.inv(cases.information(b)) * np.sqrt(n / (n - 1)))
