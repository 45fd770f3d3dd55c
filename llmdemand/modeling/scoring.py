"""How well a fitted logit predicts: scores, calibration, cross-validation, comparison."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.binary import Cells, sigmoid
from llmdemand.modeling.choice import Cases, log_sums
from llmdemand.modeling.designs import ChoiceDesign, MultinomialDesign
from llmdemand.modeling.estimate import SeparationWarning
from llmdemand.modeling.formula import evaluate, split, variables
from llmdemand.modeling.hypotheses import Fitted, differing_sample, results_of
from llmdemand.modeling.likelihood import Array, Codes, Likelihood
from llmdemand.modeling.logit import VarianceWarning
from llmdemand.modeling.newton import newton
from llmdemand.modeling.results import LogitResults
from llmdemand.modeling.sample import codes, complete, require
from llmdemand.modeling.separation import exists

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "Calibration",
    "CrossValidation",
    "Scores",
    "calibration",
    "compare_models",
    "cross_validate",
    "scores",
]


# --- Predictions beside outcomes ----------------------------------------------------------


@dataclass(frozen=True)
class _Predicted:
    """Predictions and outcomes by row: of an alternative in a case, or of a binary cell.

    `y` is the mean outcome of a row's observations and `within` their squared deviations
    from it, times the sampling weight; `log_p` and `log_q` are log p and log(1 - p).
    """

    y: Array
    p: Array
    log_p: Array
    log_q: Array
    within: Array
    n: Array  # weight of each row
    start: Codes  # first row of each case
    labels: Codes
    alternatives: tuple[str, ...]
    key: Codes  # cells of the demand curve
    binary: bool
    merged: bool  # whether single outcomes are gone

    @property
    def cases(self) -> Array:
        """Weight of each case."""
        return self.n[self.start]

    def log_scores(self) -> Array:
        """Sum of the observations' log scores by case."""
        own = _times(self.y, self.log_p)
        if self.binary:
            return np.asarray(self.n * (own + _times(1 - self.y, self.log_q)))
        return np.asarray(self.cases * np.add.reduceat(own, self.start), np.float64)

    def brier_scores(self) -> Array:
        """Sum of the observations' squared errors by case."""
        return np.asarray(
            np.add.reduceat(self.within + self.n * (self.y - self.p) ** 2, self.start)
        )

    def cells(self) -> tuple[Array, Array, Array]:
        """Weight, mean outcome and mean prediction of each cell and alternative."""
        both = self.key * len(self.alternatives) + self.labels
        _, code = np.unique(both, return_inverse=True)
        n = np.bincount(code, self.n).astype(np.float64)
        return n, np.bincount(code, self.n * self.y) / n, np.bincount(code, self.n * self.p) / n


def _times(y: Array, log: Array) -> Array:
    """``y log p``, zero where y is."""
    return np.asarray(np.where(y > 0, y * np.where(y > 0, log, 0.0), 0.0))


def _entropy(y: Array) -> Array:
    """``y log y``."""
    return np.asarray(y * np.log(np.where(y > 0, y, 1.0)), np.float64)


def _no_infinite(fit: LogitResults) -> Array:
    if fit.separated:
        raise DesignError(
            f"{fit.outcome}: no prediction from a separated fit, whose estimates are infinite; "
            "fit with separation='firth'"
        )
    return np.asarray(fit.params, np.float64)


def _assembled(fit: LogitResults, data: Likelihood, key: Codes | None, merged: bool) -> _Predicted:
    """Predictions for data that have the model's regressors."""
    b = _no_infinite(fit)
    assert isinstance(data, Cells | Cases)
    w, eta = data.count * data.weight, data.x @ b
    if isinstance(data, Cells):
        rows = np.arange(len(eta))
        names = fit.design.alternatives if fit.design is not None else (fit.outcome,)
        return _Predicted(
            y=data.mean,
            p=sigmoid(eta),
            log_p=-np.logaddexp(0.0, -eta),
            log_q=-np.logaddexp(0.0, eta),
            within=data.weight * data.within,
            n=w,
            start=rows,
            labels=np.zeros(len(eta), np.intp),
            alternatives=names,
            key=_distinct(data.x) if key is None else key,
            binary=True,
            merged=merged,
        )
    sizes = np.diff(np.append(data.start, len(eta)))
    log_p = eta - np.repeat(log_sums(eta, data.start), sizes)
    assert fit.design is not None
    return _Predicted(
        y=data.y,
        p=np.exp(log_p),
        log_p=log_p,
        log_q=np.log1p(-np.minimum(np.exp(log_p), 1 - 1e-16)),
        within=np.zeros(len(eta)),
        n=np.repeat(w, sizes),
        start=data.start,
        labels=data.labels,
        alternatives=fit.design.alternatives,
        key=_distinct(data.x) if key is None else key,
        binary=False,
        merged=False,
    )


def _distinct(x: Array) -> Codes:
    found = np.unique(x, axis=0, return_inverse=True)[1]
    return np.asarray(found, np.intp).reshape(-1)


def _in_sample(fit: LogitResults, by: str | None) -> _Predicted:
    data, frame = fit.data, fit.frame
    merged = isinstance(data, Cells) and bool(data.within.any()) and fit.fractional
    return _assembled(fit, data, _cells_of(fit, frame, by), merged)


def _cells_of(fit: LogitResults, frame: pd.DataFrame | None, by: str | None) -> Codes | None:
    """Cell of each row of predictions by a column; None for distinct regressors."""
    known = [] if frame is None else [str(c) for c in frame.columns]
    if by is not None and by not in known:
        raise UsageError(
            f"by={by!r}{nearest(by, known)}: the data have {', '.join(known) or 'no columns'}"
        )
    column = by or ("price" if "price" in known else None)
    if column is None or frame is None:
        return None
    found = codes(frame, [column])[0]
    wide = isinstance(fit.design, MultinomialDesign)
    return np.repeat(found, len(fit.design.alternatives)) if wide and fit.design else found


def _of_rows(
    fit: LogitResults, frame: pd.DataFrame, weights: str | None, key: Codes | None
) -> _Predicted:
    """Predictions for other rows, which hold the outcome too."""
    design = fit.design
    if design is None:
        raise UsageError("the model was fitted to arrays: it cannot read a data frame")
    known = [str(c) for c in frame.columns]
    require(design.variables, known, "in the data")
    require([weights], known, "of weights")
    w = np.ones(len(frame)) if weights is None else frame[weights].to_numpy(np.float64)
    if not (np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise DesignError(f"weights {weights!r} must be finite, not negative and not all zero")
    rows = design.expand(frame)
    one = np.ones(len(rows.start))
    if isinstance(design, MultinomialDesign):
        y = _labels_or_shares(fit, design, frame)
        return _assembled(fit, Cases(rows.x, y, rows.start, w, one, {}, rows.labels), key, False)
    y = evaluate(fit.outcome, frame)
    if y.min() < 0 or y.max() > 1:
        raise DesignError(f"outcomes must lie in [0, 1], found {y.min():g} to {y.max():g}")
    if isinstance(design, ChoiceDesign):
        sums = np.add.reduceat(y, rows.start)
        if (np.abs(sums - 1) > 1e-6).any():
            bad = frame[design.group].iloc[rows.start[int(np.argmax(np.abs(sums - 1)))]]
            raise DesignError(
                f"outcomes of case {bad} sum to {sums[np.argmax(np.abs(sums - 1))]:g}: give "
                "whole cases, whose outcomes sum to 1"
            )
        data: Likelihood = Cases(rows.x, y, rows.start, w[rows.start], one, {}, rows.labels)
    else:
        data = replace(Cells.of_rows(rows.x, y), weight=w)
    return _assembled(fit, data, key, False)


def _labels_or_shares(fit: LogitResults, design: MultinomialDesign, frame: pd.DataFrame) -> Array:
    """Outcomes (N * J,), from columns of fractions or from one of labels."""
    known, names = [str(c) for c in frame.columns], design.alternatives
    read = [] if fit.frame is None else [str(c) for c in fit.frame.columns]
    if set(names) <= set(read):
        require(names, known, "of outcomes")
        y = frame[list(names)].to_numpy(np.float64)
        if y.min() < 0 or (np.abs(y.sum(axis=1) - 1) > 1e-6).any():
            raise DesignError(
                f"outcomes {', '.join(names)} must be fractions that sum to 1 in every row"
            )
        return y.ravel()
    require([fit.outcome], known, "of outcomes")
    labels = np.array(
        [f"{v:g}" if isinstance(v, float) else str(v) for v in frame[fit.outcome].to_list()]
    )
    strange = sorted(set(labels) - set(names))
    if strange:
        raise DesignError(
            f"alternative {str(strange[0])!r} is not in the data that were fitted: this model has "
            f"{', '.join(names)}"
        )
    return np.column_stack([(labels == a).astype(float) for a in names]).ravel()


def _side_by_side(frame: pd.DataFrame, case: str) -> pd.DataFrame:
    """The rows of each case together."""
    order = np.argsort(codes(frame, [case])[0], kind="stable")
    return frame.iloc[order].reset_index(drop=True)


def _new_rows(fit: LogitResults, data: Any) -> pd.DataFrame:
    import pandas as pd

    if not isinstance(data, pd.DataFrame) or not len(data):
        what = "an empty data frame" if isinstance(data, pd.DataFrame) else type(data).__name__
        raise UsageError(f"data is {what}: give a pandas DataFrame with the model's columns")
    if isinstance(fit.design, ChoiceDesign):
        require([fit.design.group], [str(c) for c in data.columns], "of cases")
        return _side_by_side(data, fit.design.group)
    return data


def _predicted(fit: LogitResults, data: Any, by: str | None, weights: str | None) -> _Predicted:
    if data is None:
        if weights is not None:
            raise UsageError("weights= goes with data=: a fit has its own weights")
        return _in_sample(fit, by)
    frame = _new_rows(fit, data)
    return _of_rows(fit, frame, weights, _cells_of(fit, frame, by))


# --- Scores -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
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
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


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
        For arrays where a data frame is needed.

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
    >>> from llmdemand.modeling.logit import fraclogit
    >>> df = pd.DataFrame({"belief": [.9, .7, .2, .8, .4, .1], "price": [1, 2, 3, 1, 2, 3]})
    >>> print(scores(fraclogit("belief ~ price", df), df))
    Scores of belief, 6 observations
    log score -0.51203 (of shares by regressors -0.51119, of the outcomes themselves -0.48914)
    Brier score 0.009485
    RMSE of the demand curve 0.017842 (3 cells)
    calibration slope 1, intercept 0
    """
    found = results_of(fit)
    rows = _predicted(found, data, by, weights)
    total = float(rows.cases.sum())
    n, observed, fitted = rows.cells()
    slope, intercept, note = _recalibrated(rows)
    saturated = attainable = None
    if rows.binary:
        assert isinstance(found.data, Cells)
        saturated = _saturated(rows, found, data)
        if not rows.merged:
            own = _entropy(rows.y) + _entropy(1 - rows.y)
            coin = rows.within > 0  # zeros and ones, counted together
            attainable = float(rows.n @ np.where(coin, 0.0, own)) / total
    else:
        attainable = float(rows.n @ _entropy(rows.y)) / total
    notes = [note] if note else []
    if rows.merged:
        notes.append(
            "single outcomes were merged, so their entropy is unknown here; give data= for it"
        )
    return Scores(
        outcome=found.outcome,
        nobs=total,
        log_score=float(rows.log_scores().sum()) / total,
        saturated=saturated,
        attainable=attainable,
        brier=float(rows.brier_scores().sum()) / total,
        rmse=float(np.sqrt(n @ (observed - fitted) ** 2 / n.sum())),
        cells=len(n),
        slope=slope,
        intercept=intercept,
        notes=tuple(notes),
    )


def _saturated(rows: _Predicted, fit: LogitResults, data: Any) -> float:
    """Log score of the mean outcome at each set of regressors."""
    # Predictions are equal where regressors are, and nearly never elsewhere.
    if data is None:
        assert isinstance(fit.data, Cells)
        code = _distinct(fit.data.x)
    else:
        assert fit.design is not None
        code = _distinct(fit.design.expand(data).x)
    n = np.bincount(code, rows.n)
    mean = np.bincount(code, rows.n * rows.y) / np.where(n > 0, n, 1)
    return float(n @ (_entropy(mean) + _entropy(np.maximum(1 - mean, 0)))) / float(n.sum())


def _recalibrated(rows: _Predicted) -> tuple[float | None, float | None, str]:
    """Slope and intercept of the outcome on the predicted log-odds, and why not."""
    one = np.ones(len(rows.start))
    if rows.binary:
        odds = rows.log_p - rows.log_q
        if np.ptp(odds) <= 1e-9 * max(1.0, float(np.abs(odds).max())):
            return None, None, "all predictions are equal: they have no calibration slope"
        x = np.column_stack([np.ones(len(odds)), odds])
        data: Likelihood = Cells(x, rows.n, rows.y, rows.within, np.ones(len(odds)), {})
    else:
        if not np.isfinite(rows.log_p).all():
            return None, None, "predictions of exactly 0: the calibration slope is unknown"
        dummies = rows.labels[:, None] == np.arange(1, len(rows.alternatives))
        x = np.column_stack([rows.log_p, dummies])
        data = Cases(x, rows.y, rows.start, rows.cases, one, {}, rows.labels)
    z, back = data.standardised()
    assert isinstance(z, Cells | Cases)
    if np.linalg.matrix_rank(z.x, tol=1e-8 * len(z.x) ** 0.5) < z.size:
        return None, None, "predictions do not vary between cases: they have no calibration slope"
    try:
        found = newton(z)
        settled = exists(z, found) and found.converged
    except np.linalg.LinAlgError:
        settled = False
    if not settled:
        return None, None, "outcomes are separated by the predictions: the slope is infinite"
    params = back @ found.params
    if rows.binary:
        return _tidy(params[1]), _tidy(params[0]), ""
    return _tidy(params[0]), None, ""


def _tidy(value: float) -> float:
    """Without the rounding error of an estimate that is exactly 0 in theory."""
    return 0.0 if abs(value) < 1e-9 else float(value)


# --- Calibration --------------------------------------------------------------------------


@dataclass(frozen=True)
class Calibration:
    """Observed against predicted shares.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per alternative and bin that holds predictions: ``alternative, lower, upper,
        n`` (by weight), ``predicted`` and ``observed`` (means).
    slope : float or None
        Of the logit of the outcome on the predictions' log-odds (Cox 1958): 1 if
        calibrated, below 1 if predictions are too extreme. For several alternatives the
        coefficient of log p in a conditional logit with a constant for each alternative.
        None where it is not identified or infinite.
    intercept : float or None
        Of the same logit: 0 if calibrated. None for several alternatives.
    outcome : str
        What was predicted.
    notes : tuple of str
        What the reader should know.
    """

    table: pd.DataFrame
    slope: float | None
    intercept: float | None
    outcome: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        slope = "unknown" if self.slope is None else f"{self.slope:.4g}"
        level = "" if self.intercept is None else f", intercept {self.intercept:.4g}"
        text = self.table.to_string(index=False, float_format=lambda v: f"{v:.4g}")
        lines = [f"Calibration of {self.outcome}: slope {slope}{level}", text]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        head, _, _ = str(self).partition("\n")
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        table = self.table.to_html(index=False, float_format=lambda v: f"{v:.4g}")
        return f"<p>{escape(head)}</p>{table}{notes}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Observed against predicted shares, and the diagonal.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; new axes by default.
        """
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(4.5, 4.5), layout="constrained").subplots()
        colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
        ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="calibrated")
        for k, (name, rows) in enumerate(self.table.groupby("alternative", sort=False)):
            colour, marker = colours[k % len(colours)], "os^vDPX"[k % 7]
            ax.plot(
                rows["predicted"], rows["observed"], marker + "-", color=colour, label=str(name)
            )
        slope = "unknown" if self.slope is None else f"{self.slope:.3g}"
        ax.set(
            xlabel="predicted share",
            ylabel=f"observed share ({self.outcome})",
            title=f"Calibration, slope {slope}",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        ax.legend(frameon=False, fontsize=8)
        return ax


def calibration(
    fit: Fitted, bins: int = 10, data: Any = None, *, weights: str | None = None
) -> Calibration:
    """Observed mean outcomes where about as much was predicted.

    Parameters
    ----------
    fit : LogitResults or Demand
        A model with an estimate.
    bins : int
        Bins of equal width on [0, 1]; those without a prediction are left out.
    data : pandas.DataFrame, optional
        Other rows, outcome included; the sample by default.
    weights : str, optional
        Column of weights in `data`.

    Returns
    -------
    Calibration

    Raises
    ------
    UsageError
        For an impossible number of bins.
    DesignError
        See `scores`.

    Notes
    -----
    In sample, a maximum-likelihood logit with its constants has slope 1 and intercept 0
    by construction: what it tells is in other data, or in the table's shape.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.logit import fraclogit
    >>> df = pd.DataFrame({"belief": [.9, .7, .2, .8, .4, .1], "price": [1, 2, 3, 1, 2, 3]})
    >>> print(calibration(fraclogit("belief ~ price", df), bins=4))
    Calibration of belief: slope 1, intercept 0
    alternative  lower  upper  n  predicted  observed
         belief      0   0.25  2     0.1626      0.15
         belief    0.5   0.75  2     0.5248      0.55
         belief   0.75      1  2     0.8626      0.85
    """
    import pandas as pd

    if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or bins < 1:
        raise UsageError(f"bins={bins!r}: give a number of bins, such as 10")
    found = results_of(fit)
    rows = _predicted(found, data, None, weights)
    place = np.minimum((rows.p * bins).astype(np.intp), bins - 1)
    both = rows.labels * bins + place
    used, code = np.unique(both[rows.n > 0], return_inverse=True)
    n = np.bincount(code, rows.n[rows.n > 0])
    table = pd.DataFrame(
        {
            "alternative": [rows.alternatives[k] for k in used // bins],
            "lower": used % bins / bins,
            "upper": (used % bins + 1) / bins,
            "n": n,
            "predicted": np.bincount(code, (rows.n * rows.p)[rows.n > 0]) / n,
            "observed": np.bincount(code, (rows.n * rows.y)[rows.n > 0]) / n,
        }
    )
    slope, intercept, note = _recalibrated(rows)
    return Calibration(table, slope, intercept, found.outcome, (note,) if note else ())


# --- Cross-validation ---------------------------------------------------------------------


@dataclass(frozen=True)
class CrossValidation:
    """Scores of predictions for observations that a model was not fitted to.

    Attributes
    ----------
    folds : pandas.DataFrame
        One row per fold: ``fold``, ``left_out`` (what), ``nobs``, ``log_score``, ``brier``,
        ``rmse``, ``separated``, ``problem`` (why it has no scores; empty if it has).
    pooled : pandas.DataFrame
        Rows ``log_score, brier, rmse``; columns ``estimate, se``: over all observations
        that were predicted.
    formula : str
        The model.
    unit : str
        What leaves together.
    units : int
        How many of them were predicted.
    separated, failed : int
        Folds without scores: separated, and without an estimate for another reason.
    dropped : int
        Rows left out for missing values or availability.
    seed : int
        Seed of the folds.
    """

    folds: pd.DataFrame
    pooled: pd.DataFrame
    formula: str
    unit: str
    units: int
    separated: int
    failed: int
    dropped: int
    seed: int

    @property
    def log_score(self) -> float:
        """Mean out-of-sample log score."""
        return float(self.pooled.loc["log_score", "estimate"])  # type: ignore[arg-type]

    @property
    def brier(self) -> float:
        """Out-of-sample Brier score."""
        return float(self.pooled.loc["brier", "estimate"])  # type: ignore[arg-type]

    @property
    def rmse(self) -> float:
        """Out-of-sample RMSE of the demand curve."""
        return float(self.pooled.loc["rmse", "estimate"])  # type: ignore[arg-type]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know."""
        lost = self.separated + self.failed
        if not lost:
            return ()
        return (
            f"{lost} of {len(self.folds)} folds have no scores ({self.separated} separated, "
            f"{self.failed} without an estimate or prediction): the pooled scores are of the "
            "others only, and not comparable with a model that predicts all",
        )

    def __str__(self) -> str:
        table = self.pooled.to_string(float_format=lambda v: f"{v:.5g}")
        head = (
            f"Cross-validation of {self.formula}: {len(self.folds)} folds, {self.units} "
            f"{self.unit} predicted"
        )
        return "\n".join([head, table, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def cross_validate(
    door: Callable[..., LogitResults],
    formula: str,
    data: pd.DataFrame,
    folds: int | str = 10,
    seed: int = 1,
    *,
    group: str | None = None,
    by: str | None = None,
    **options: Any,
) -> CrossValidation:
    """Fit without some observations and predict them, until each was predicted.

    Parameters
    ----------
    door : function
        ``logit``, ``fraclogit``, ``mnlogit`` or ``clogit``.
    formula : str
        As for the door.
    data : pandas.DataFrame
        As for the door.
    folds : int or str
        A number of folds, made at random of whole groups; or a column, each of whose
        values leaves once: ``"cell"``, ``"price"`` (leave one price out).
    seed : int
        Seed of random folds.
    group : str, optional
        For a number of folds: column whose rows leave together; ``cell`` where there is one.
        Otherwise single rows leave, for a conditional logit single cases.
    by : str, optional
        Column whose values are the cells of the demand curve; ``price`` where there is one,
        otherwise every set of the formula's columns.
    **options
        For the door. A covariance makes no difference and is not computed.

    Returns
    -------
    CrossValidation

    Raises
    ------
    UsageError
        For a number of folds that is impossible, data that are no data frame.
    DesignError
        For unknown columns, a column of folds that varies within a case; if no fold at all
        can be fitted and predicted, with the reason of the first.

    Notes
    -----
    Runs of one cell share the prompt. With folds of single runs a model is scored on
    cells that it has seen, so whole cells leave together by default.

    A fold whose training data are separated, or lack a category of those left out, has no
    prediction. Its scores are NaN, it is counted with the reason, and nothing takes its
    place: ``separation="firth"`` predicts all folds.

    Pooled means are over the observations predicted. With S_g and n_g the sums of scores and
    of weights in unit g (what leaves together) and m the mean, their standard error is
    ``sqrt(G / (G - 1) sum (S_g - n_g m)^2) / sum n_g``; for the RMSE, whose units are
    the cells of the curve, by the delta method. All folds share most of their training data,
    which these standard errors do not know: no unbiased one exists (Bengio & Grandvalet
    2004).

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.logit import fraclogit
    >>> df = pd.DataFrame({"belief": [.9, .7, .4, .2, .8, .6, .4, .1], "price": [1, 2, 3, 4] * 2})
    >>> found = cross_validate(fraclogit, "belief ~ price", df, folds="price")
    >>> len(found.folds), round(found.log_score, 4)
    (4, -0.5434)
    """
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        raise UsageError(
            f"data is {type(data).__name__}: cross-validation needs a pandas DataFrame"
        )
    case = _case_column(door, options)
    frame, read, dropped = _usable(formula, data, case, options, group, folds, by)
    known = [str(c) for c in frame.columns]
    unit, unit_code, fold, left_out = _folds(frame, folds, seed, group, case)
    by = by or ("price" if "price" in known else None)
    cells = [by] if by else read
    key = codes(frame, cells)[0] if cells else np.zeros(len(frame), np.intp)
    weights = options.get("weights")
    rows: list[dict[str, Any]] = []
    parts: list[_Predicted] = []
    units: list[Codes] = []
    errors: list[DesignError] = []
    for k, what in enumerate(left_out):
        out = fold == k
        row: dict[str, Any] = {"fold": k + 1, "left_out": what}
        empty = {"log_score": np.nan, "brier": np.nan, "rmse": np.nan, "separated": False}
        held = frame[out].reset_index(drop=True)
        w = np.ones(len(held)) if weights is None else held[weights].to_numpy(np.float64)
        first = np.arange(len(held)) if case is None else codes(held, [case])[1]
        row["nobs"] = float(w[first].sum())
        try:
            with warnings.catch_warnings():
                for category in (SeparationWarning, VarianceWarning):
                    warnings.simplefilter("ignore", category)
                fit = door(formula, frame[~out].reset_index(drop=True), **options)
            if fit.separated:
                problem = "separated: infinite estimates predict nothing"
                rows.append({**row, **empty, "separated": True, "problem": problem})
                continue
            wide = isinstance(fit.design, MultinomialDesign)
            own = np.repeat(key[out], len(fit.design.alternatives)) if wide else key[out]  # type: ignore[union-attr]
            found = _of_rows(fit, held, weights, own)
        except DesignError as error:
            errors.append(error)
            rows.append({**row, **empty, "problem": str(error)})
            continue
        total = found.cases.sum()
        n, observed, fitted = found.cells()
        rows.append(
            {
                **row,
                "log_score": found.log_scores().sum() / total,
                "brier": found.brier_scores().sum() / total,
                "rmse": np.sqrt(n @ (observed - fitted) ** 2 / n.sum()),
                "separated": False,
                "problem": "",
            }
        )
        parts.append(found)
        units.append(unit_code[out][first])
    if not parts:
        if errors:
            raise DesignError(f"no fold can be predicted; the first: {errors[0]}") from errors[0]
        raise DesignError(
            f"all {len(rows)} folds are separated: nothing can be predicted; collect more runs, "
            "or use Firth's estimates (separation='firth')"
        )
    table = pd.DataFrame(rows)
    columns = ["fold", "left_out", "nobs", "log_score", "brier", "rmse", "separated", "problem"]
    separated = int(table["separated"].sum())
    return CrossValidation(
        folds=table[columns],
        pooled=_pooled(parts, np.concatenate(units)),
        formula=formula,
        unit=unit,
        units=len(np.unique(np.concatenate(units))),
        separated=separated,
        failed=len(errors),
        dropped=dropped,
        seed=seed,
    )


def _case_column(door: Callable[..., LogitResults], options: dict[str, Any]) -> str | None:
    """The column of cases, for a door that takes one."""
    try:
        default = inspect.signature(door).parameters.get("case")
    except (TypeError, ValueError):
        default = None
    if not callable(door):
        raise UsageError(f"door is {door!r}: give logit, fraclogit, mnlogit or clogit")
    return None if default is None else str(options.get("case", default.default))


def _usable(
    formula: str,
    data: pd.DataFrame,
    case: str | None,
    options: dict[str, Any],
    group: str | None,
    folds: int | str,
    by: str | None,
) -> tuple[pd.DataFrame, list[str], int]:
    """Rows that the door would use, the formula's columns, and the number of rows left out.

    Takes from `options` what is settled here: missing values, availability, the covariance.
    """
    known = [str(c) for c in data.columns]
    outcome, parts = split(formula)
    named = list(dict.fromkeys(v for text in parts for v in variables(text, known)))
    left = [outcome] if outcome in known else variables(outcome, known)
    weights, na = options.get("weights"), options.pop("na", "raise")
    if na not in ("raise", "drop"):
        raise UsageError(f"na={na!r}: use 'raise' or 'drop'")
    column = folds if isinstance(folds, str) else group
    require([weights], known, "of weights")
    require([column], known, "of folds")
    require([by], known, "of cells (by=...)")
    require([case], known, "of cases (case=...)")
    frame = data
    availability = options.pop("availability", None)
    if availability is not None:
        require([availability], known, "of availability")
        if not data[availability].isin([0, 1]).all():
            raise DesignError(f"availability {availability!r} must be 0 or 1 in every row")
        frame = data[data[availability].astype(bool)]
    read = [*named, *left, *(c for c in (weights, column, by, case) if c is not None)]
    if case is not None:
        read.append(str(options.get("alternative", "alternative")))
        require([read[-1]], known, "of alternatives (alternative=...)")
    frame = frame.reset_index(drop=True)
    whole = complete(frame[list(dict.fromkeys(read))], na, 0).index
    if case is not None and len(whole) < len(frame):
        broken = frame.loc[~frame.index.isin(whole), case]
        whole = frame.index[~frame[case].isin(broken) & frame[case].notna()]
    frame = frame.loc[whole].reset_index(drop=True)
    if not len(frame):
        raise DesignError("no rows to fit: there are none, or every one has missing values")
    if case is not None:
        frame = _side_by_side(frame, case)
    options["vcov"] = "HC0"
    return frame, named, len(data) - len(frame)


def _folds(
    frame: pd.DataFrame, folds: int | str, seed: int, group: str | None, case: str | None
) -> tuple[str, Codes, Codes, list[str]]:
    """What leaves together, its codes, the fold of each row, and what each fold leaves out."""
    column = folds if isinstance(folds, str) else group
    if column is None and "cell" in frame.columns:
        column = "cell"
    if column is not None and case is not None:
        group_code, first = codes(frame, [case])
        values = frame[column].to_numpy()
        if (values != values[first][group_code]).any():
            row = int(np.flatnonzero(values != values[first][group_code])[0])
            raise DesignError(
                f"column {column!r} varies within case {frame[case].iloc[row]}: cases leave as "
                "a whole; name a column of the case"
            )
    column = column or case
    unit = "observations" if column is None else f"values of {column!r}"
    code, first = codes(frame, [column]) if column else (np.arange(len(frame)),) * 2
    count = len(first)
    if isinstance(folds, str):
        if count < 2:
            raise DesignError(f"{folds!r} has one value: nothing would be left to fit")
        return unit, code, code, [f"{folds} = {v}" for v in frame[folds].iloc[first]]
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or folds < 2:
        raise UsageError(f"folds={folds!r}: give a number from 2 on, or a column such as 'cell'")
    if folds > count:
        raise UsageError(f"folds={folds}: there are {count} {unit}, and none leaves in two folds")
    place = np.empty(count, np.intp)
    place[np.random.default_rng(seed).permutation(count)] = np.arange(count) % folds
    sizes = np.bincount(place)
    return unit, code, place[code], [f"{s} {unit}" for s in sizes]


def _pooled(parts: list[_Predicted], units: Codes) -> pd.DataFrame:
    """Scores over all predictions, with standard errors."""
    import pandas as pd

    n = np.concatenate([p.cases for p in parts])
    found = {}
    for name in ("log_score", "brier"):
        method = "log_scores" if name == "log_score" else "brier_scores"
        found[name] = _mean(np.concatenate([getattr(p, method)() for p in parts]), n, units)
    # A cell may be predicted in several folds; its curve is the mean prediction.
    alternatives = sorted({a for p in parts for a in p.alternatives})
    place = {a: k for k, a in enumerate(alternatives)}
    label = np.concatenate([np.array([place[a] for a in p.alternatives])[p.labels] for p in parts])
    key = np.concatenate([p.key for p in parts]) * len(alternatives) + label
    _, code = np.unique(key, return_inverse=True)
    w, y, p = (np.concatenate([getattr(part, f) for part in parts]) for f in ("n", "y", "p"))
    size = np.bincount(code, w).astype(np.float64)
    gap = np.bincount(code, w * (y - p)) / size
    mse, se = _mean(size * gap**2, size, np.arange(len(size)))
    root = np.sqrt(mse)
    found["rmse"] = (root, se / (2 * root) if root > 0 else 0.0)
    return pd.DataFrame(found, index=["estimate", "se"]).T


def _mean(sums: Array, n: Array, units: Codes) -> tuple[float, float]:
    """A ratio of sums and its standard error by unit; NaN for a single unit."""
    _, code = np.unique(units, return_inverse=True)
    s, w = np.bincount(code, sums), np.bincount(code, n)
    mean = float(s.sum() / w.sum())
    g = len(s)
    if g < 2:
        return mean, float("nan")
    return mean, float(np.sqrt(g / (g - 1) * ((s - w * mean) ** 2).sum()) / w.sum())


# --- Models side by side ------------------------------------------------------------------


def compare_models(*fits: Fitted, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Fit statistics and in-sample scores of several models.

    Parameters
    ----------
    *fits : LogitResults or Demand
        One row each.
    names : sequence of str, optional
        Names of the rows; ``(1)``, ``(2)``, ... by default.

    Returns
    -------
    pandas.DataFrame
        Columns ``outcome, model, terms`` (number of coefficients), ``nobs, llf, mcfadden, aic,
        bic, log_score, brier, rmse, separated, note``. AIC, BIC and log-likelihoods can be
        compared only between models of one outcome on one sample: `note` says which rows
        are not comparable with the first. It also says where likelihoods are
        quasi-likelihoods, where Firth's penalty moved the estimate away from the maximum,
        and why a score is missing.

    Raises
    ------
    UsageError
        Without fits, or with another number of names.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.logit import logit
    >>> df = pd.DataFrame({"choice": [1, 1, 0, 1, 0, 0, 1, 0], "price": [1, 1, 1, 2, 2, 3, 3, 3]})
    >>> table = compare_models(logit("choice ~ 1", df), logit("choice ~ price", df))
    >>> table["aic"].round(2).tolist()
    [13.09, 14.41]
    """
    import pandas as pd

    if not fits:
        raise UsageError("no model to compare: compare_models(fit, another, ...)")
    found = [results_of(fit) for fit in fits]
    rows = [f"({k + 1})" for k in range(len(found))] if names is None else list(names)
    if isinstance(names, str) or len(rows) != len(found):
        raise UsageError(f"{len(rows)} names for {len(found)} fits: give one name for each")
    table = [_compared(fit, found[0], str(rows[0])) for fit in found]
    return pd.DataFrame(table, index=pd.Index([str(r) for r in rows], name="name"))


def _compared(fit: LogitResults, first: LogitResults, name: str) -> dict[str, Any]:
    notes = []
    if why := differing_sample(first, fit):
        notes.append(f"llf, AIC and BIC not comparable with {name}: {why}")
    if fit.fractional:
        notes.append("quasi-likelihood: AIC and BIC are descriptive")
    if fit.firth:
        notes.append("Firth: likelihood at the penalised estimate, below the maximum")
    assert isinstance(fit.data, Cells | Cases)
    if (fit.data.weight != 1).any():
        notes.append("sampling weights: AIC and BIC have no meaning")
    values = {"log_score": np.nan, "brier": np.nan, "rmse": np.nan}
    if fit.separated:
        notes.append("separated: no estimate, so no predictions to score")
    else:
        own = scores(fit)
        values = {"log_score": own.log_score, "brier": own.brier, "rmse": own.rmse}
    if np.isnan(fit.prsquared):
        notes.append("constant outcome: no McFadden R2")
    return {
        "outcome": fit.outcome,
        "model": fit.kind,
        "terms": len(fit.params),
        "nobs": fit.nobs,
        "llf": fit.llf,
        "mcfadden": fit.prsquared,
        "aic": fit.aic,
        "bic": fit.bic,
        **values,
        "separated": fit.separated,
        "note": "; ".join(notes),
    }
