"""Predictions of a fitted logit beside outcomes, in or out of sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.estimation.fit import Fit, need_unit_interval
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells, sigmoid
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.likelihood.protocol import Concave
from llmdemand.modeling.likelihood.sets import ChoiceSets
from llmdemand.modeling.sample.columns import rows_of
from llmdemand.modeling.sample.designs import ChoiceDesign, MultinomialDesign, Rows
from llmdemand.modeling.sample.formula import evaluate
from llmdemand.modeling.sample.given import checked_rows
from llmdemand.modeling.sample.sample import codes, require
from llmdemand.modeling.substitution.smooth import Smooth, situations

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Predicted",
    "distinct",
    "finite_params",
    "predicted",
    "predicted_rows",
    "told_apart",
]


@dataclass(frozen=True)
class Predicted:
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
    first: Codes  # the same, as a row of the data
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

    def means(self) -> dict[str, float]:
        """Log score, Brier score and RMSE of the demand curve."""
        total = float(self.cases.sum())
        n, observed, fitted = self.cells()
        return {
            "log_score": float(self.log_scores().sum()) / total,
            "brier": float(self.brier_scores().sum()) / total,
            "rmse": float(np.sqrt(n @ (observed - fitted) ** 2 / n.sum())),
        }

    def cells(self) -> tuple[Array, Array, Array]:
        """Weight, mean outcome and mean prediction of each cell and alternative."""
        both = self.key * len(self.alternatives) + self.labels
        _, code = np.unique(both, return_inverse=True)
        n = np.bincount(code, self.n).astype(np.float64)
        return n, np.bincount(code, self.n * self.y) / n, np.bincount(code, self.n * self.p) / n


def _times(y: Array, log: Array) -> Array:
    """``y log p``, zero where y is."""
    return np.asarray(np.where(y > 0, y * np.where(y > 0, log, 0.0), 0.0))


def finite_params(fit: Fit) -> Array:
    """The coefficients.

    Raises
    ------
    DesignError
        Where separated.
    """
    if fit.separated:
        raise DesignError(
            f"{fit.outcome}: no prediction from a separated fit, whose estimates are infinite; "
            "fit with separation='firth'"
        )
    return np.asarray(fit.params, np.float64)


def _assembled(
    fit: Fit, data: Cells | Cases, key: Codes | None, merged: bool, p: Array | None = None
) -> Predicted:
    """Predictions for data that have the model's regressors; `p` where it is no plain logit."""
    b = finite_params(fit)
    # Coefficients of the regressors come first.
    w, eta = data.count * data.weight, data.utilities(b[: data.size])
    if isinstance(data, Cells):
        rows = np.arange(len(eta))
        names = fit.design.alternatives if fit.design is not None else (fit.outcome,)
        return Predicted(
            y=data.mean,
            p=sigmoid(eta),
            log_p=-np.logaddexp(0.0, -eta),
            log_q=-np.logaddexp(0.0, eta),
            within=data.weight * data.within,
            n=w,
            start=rows,
            first=rows,
            labels=np.zeros(len(eta), np.intp),
            alternatives=names,
            key=distinct(told_apart(data)) if key is None else key,
            binary=True,
            merged=merged,
        )
    sets = data.sets
    with np.errstate(divide="ignore"):
        log_p = eta - sets.spread(sets.log_sums(eta)) if p is None else np.log(p)
    assert fit.design is not None
    return Predicted(
        y=data.y,
        p=np.exp(log_p),
        log_p=log_p,
        log_q=np.log1p(-np.minimum(np.exp(log_p), 1 - 1e-16)),
        within=np.zeros(len(eta)),
        n=sets.spread(w),
        start=data.start,
        first=data.start,
        labels=data.labels,
        alternatives=fit.design.alternatives,
        key=distinct(told_apart(data)) if key is None else key,
        binary=False,
        merged=False,
    )


def told_apart(data: Cells | Cases | Rows) -> Array:
    """What tells rows apart: regressors, and the offset."""
    return data.x if data.offset is None else np.column_stack([data.x, data.offset])


def distinct(x: Array) -> Codes:
    """A number for each row, the same for equal rows."""
    found = np.unique(x, axis=0, return_inverse=True)[1]
    return np.asarray(found, np.intp).reshape(-1)


def _in_sample(fit: Fit, by: str | None) -> Predicted:
    need_unit_interval(fit, "a score")
    data = situations(fit.data)
    merged = isinstance(data, Cells) and bool(data.within.any()) and fit.fractional
    key = _cells_of(fit.frame, by)
    if key is not None:
        key = np.repeat(key, len(data.x) // len(key))
    p = None if fit.kernel.plain else shares_in_sample(fit)
    return _assembled(fit, data, key, merged, p)


def shares_in_sample(fit: Fit) -> Array:
    """Fitted probabilities of the sample, (R,).

    Raises
    ------
    DesignError
        Where separated.
    """
    return cast(Concave | Smooth, fit.data).shares(finite_params(fit))


def _cells_of(frame: pd.DataFrame | None, by: str | None) -> Codes | None:
    """Cell of each row of the data by a column; None for distinct regressors."""
    known = [] if frame is None else [str(c) for c in frame.columns]
    if by is not None and by not in known:
        raise UsageError(
            f"by={by!r}{nearest(by, known)}: the data have {', '.join(known) or 'no columns'}"
        )
    column = by or ("price" if "price" in known else None)
    return None if column is None or frame is None else codes(frame, [column])[0]


def predicted_rows(
    fit: Fit, frame: pd.DataFrame, weights: str | None, key: Codes | None
) -> Predicted:
    """Predictions for other rows, which hold the outcome too; `key` by row of the frame."""
    design = fit.design
    if design is None or fit.frame is None:
        raise UsageError("the model was fitted to arrays: it cannot read a data frame")
    frame = checked_rows(design, fit.frame, frame, "data")
    require([weights], [str(c) for c in frame.columns], "of weights")
    w = np.ones(len(frame)) if weights is None else frame[weights].to_numpy(np.float64)
    if not (np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise DesignError(f"weights {weights!r} must be finite, not negative and not all zero")
    rows = design.expand(frame)
    first, w = rows.order[rows.start], w[rows.order]
    if (w != np.repeat(w[rows.start], np.diff(rows.start, append=len(w)))).any():
        raise DesignError(f"weights {weights!r} vary within a case: weights are those of cases")
    w, one = w[rows.start], np.ones(len(rows.start))
    key = None if key is None else key[rows.order]
    if isinstance(design, MultinomialDesign):
        y = _labels_or_shares(fit, design, frame)
    else:
        y = evaluate(fit.outcome, frame)[rows.order]
        if y.min() < 0 or y.max() > 1:
            raise DesignError(f"outcomes must lie in [0, 1], found {y.min():g} to {y.max():g}")
    if isinstance(design, ChoiceDesign):
        sums = np.add.reduceat(y, rows.start)
        bad = int(np.argmax(np.abs(sums - 1)))
        if abs(sums[bad] - 1) > 1e-6:
            raise DesignError(
                f"outcomes of case {frame[design.group].iloc[first[bad]]} sum to {sums[bad]:g}: "
                "give whole cases, whose outcomes sum to 1"
            )
    data: Cells | Cases
    p = None
    if design.outside:
        data = replace(Cells.of_rows(rows.x, y, offset=rows.offset), weight=w)
    else:
        data = Cases(rows.x, y, rows.start, w, one, {}, rows.labels, rows.offset)
        p = None if fit.kernel.plain else probabilities_of(fit, finite_params(fit), rows)
    return replace(_assembled(fit, data, key, False, p), first=first)


def probabilities_of(fit: Fit, b: Numbers, rows: Rows) -> Numbers:
    """Probabilities by row, (R,); complex coefficients pass through."""
    sets, kernel = ChoiceSets(rows.start, len(rows.x)), fit.kernel
    v = kernel.utilities(b, rows.x)
    v = v if rows.offset is None else v + rows.offset
    return kernel.mean(b, kernel.shares(b, v, sets, rows.labels), rows.members)


def _labels_or_shares(fit: Fit, design: MultinomialDesign, frame: pd.DataFrame) -> Array:
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


def _new_rows(fit: Fit, data: Any) -> pd.DataFrame:

    frame = rows_of(data)
    if not len(frame):
        raise UsageError("data is an empty data frame: give rows with the model's columns")
    if isinstance(fit.design, ChoiceDesign):
        require([fit.design.group], [str(c) for c in frame.columns], "of cases")
    return frame


def predicted(fit: Fit, data: Any, by: str | None = None, weights: str | None = None) -> Predicted:
    """Predictions beside outcomes; what it takes and raises: see `scores.scores`."""
    if data is None:
        if weights is not None:
            raise UsageError("weights= goes with data=: a fit has its own weights")
        return _in_sample(fit, by)
    frame = _new_rows(fit, data)
    return predicted_rows(fit, frame, weights, _cells_of(frame, by))
