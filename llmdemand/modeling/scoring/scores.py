"""How well a fitted logit predicts: log score, Brier score, RMSE of the demand curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmdemand.modeling.arrays import xlogx
from llmdemand.modeling.estimation.fit import Fit, Fitted, fit_of
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.printed import Printed, with_notes
from llmdemand.modeling.sample.columns import rows_of
from llmdemand.modeling.scoring.calibration_curve import recalibrated
from llmdemand.modeling.scoring.predictions import Predicted, distinct, predicted, told_apart

__all__ = ["Scores", "scores"]


@dataclass(frozen=True, repr=False)
class Scores(Printed):
    """How well a model predicts a sample.

    Attributes
    ----------
    outcome : str
        What was predicted.
    nobs : float
        Observations (choice situations), by weight.
    log_score : float
        Mean log-likelihood of an observation; for fractions the quasi-log-likelihood,
        minus the cross entropy of outcome and prediction. The larger the better.
    saturated : float or None
        The largest log score that a function of the same regressors could have on this
        sample: that of the mean outcome at each set of regressors. None for models of several
        alternatives.
    attainable : float or None
        The largest log score of all: of predictions equal to the outcomes, minus their
        mean entropy; 0 for outcomes of 0 and 1. None where equal rows were merged and the
        single fractions are gone; scores with ``data=`` have it.
    brier : float
        Mean squared error: (y - p)^2, summed over alternatives if there are several (Brier
        1950); for one alternative bought or not it is not doubled.
    rmse : float
        Root mean squared error of the demand curve: of fitted against observed mean shares
        by cell, weighted by observations.
    cells : int
        How many cells (and alternatives) those are.
    slope, intercept : float or None
        Of a logit of the outcome on the predictions' log-odds: 1 and 0 if calibrated. See
        `Calibration`.
    notes : tuple of str
        What the reader should know.
    """

    outcome: str
    nobs: float
    log_score: float
    saturated: float | None
    attainable: float | None
    brier: float
    rmse: float
    cells: int
    slope: float | None
    intercept: float | None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        known = {
            "of shares by regressors": self.saturated,
            "of the outcomes themselves": self.attainable,
        }
        limits = [f"{name} {value:.5g}" for name, value in known.items() if value is not None]
        lines = [
            f"Scores of {self.outcome}, {self.nobs:g} observations",
            f"log score {self.log_score:.5g}" + (f" ({', '.join(limits)})" if limits else ""),
            f"Brier score {self.brier:.5g}",
            f"RMSE of the demand curve {self.rmse:.5g} ({self.cells} cells)",
            "calibration "
            + ("slope unknown" if self.slope is None else f"slope {self.slope:.4g}")
            + ("" if self.intercept is None else f", intercept {self.intercept:.4g}"),
        ]
        return with_notes(lines, self.notes)


def scores(
    fit: Fitted, data: Any = None, *, by: str | None = None, weights: str | None = None
) -> Scores:
    """Log score, Brier score, RMSE of the demand curve, and calibration.

    Parameters
    ----------
    fit : LogitResults or Demand
        A model with an estimate.
    data : pandas.DataFrame, optional
        Other rows, outcome included; the sample by default.
    by : str, optional
        Column whose values are the cells of the demand curve; ``price`` where there is
        one, else every set of regressors is a cell.
    weights : str, optional
        Column of weights in `data`.

    Returns
    -------
    Scores

    Raises
    ------
    DesignError
        For a separated fit, which has no predictions; for columns or outcomes that are
        missing or impossible.
    UsageError
        For arrays where a data frame is needed, and for an unknown `by`.

    Notes
    -----
    Log score ``1/n sum w [y log p + (1 - y) log(1 - p)]``, with several alternatives ``1/n
    sum w sum_j y_j log p_j`` (Good 1952); both it and the Brier score are proper, for
    fractions too, for they are linear in y up to what no prediction changes (Gneiting &
    Raftery 2007). In sample the log score is ``llf / n``. ``brier >= rmse^2``, equal if
    observations do not vary within cells.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.models.logit import fraclogit
    >>> df = pd.DataFrame({"belief": [.9, .7, .2, .8, .4, .1], "price": [1, 2, 3, 1, 2, 3]})
    >>> print(scores(fraclogit("belief ~ price", df), df))
    Scores of belief, 6 observations
    log score -0.51203 (of shares by regressors -0.51119, of the outcomes themselves -0.48914)
    Brier score 0.009485
    RMSE of the demand curve 0.017842 (3 cells)
    calibration slope 1, intercept 0
    """
    found = fit_of(fit)
    rows = predicted(found, data, by, weights)
    total = float(rows.cases.sum())
    slope, intercept, note = recalibrated(rows)
    saturated = attainable = None
    if rows.binary:
        assert isinstance(found.data, Cells)
        saturated = _saturated(rows, found, data)
        if not rows.merged:
            own = xlogx(rows.y) + xlogx(1 - rows.y)
            coin = rows.within > 0  # zeros and ones, counted together
            attainable = float(rows.n @ np.where(coin, 0.0, own)) / total
    else:
        attainable = float(rows.n @ xlogx(rows.y)) / total
    notes = [note] if note else []
    if rows.merged:
        notes.append(
            "single outcomes were merged, so their entropy is unknown here; give data= for it"
        )
    return Scores(
        outcome=found.outcome,
        nobs=total,
        saturated=saturated,
        attainable=attainable,
        cells=len(rows.cells()[0]),
        slope=slope,
        intercept=intercept,
        notes=tuple(notes),
        **rows.means(),
    )


def _saturated(rows: Predicted, fit: Fit, data: Any) -> float:
    """Log score of the mean outcome at each set of regressors."""
    # Predictions are equal where regressors are, and nearly never elsewhere.
    if data is None:
        assert isinstance(fit.data, Cells)
        code = distinct(told_apart(fit.data))
    else:
        assert fit.design is not None
        code = distinct(told_apart(fit.design.expand(rows_of(data))))
    n = np.bincount(code, rows.n)
    mean = np.bincount(code, rows.n * rows.y) / np.where(n > 0, n, 1)
    return float(n @ (xlogx(mean) + xlogx(np.maximum(1 - mean, 0)))) / float(n.sum())
