"""Probabilities that a fitted logit gives to rows, with standard errors where asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.options import alpha_of
from llmdemand.modeling.likelihood.cells import Cells, sigmoid
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.likelihood.sets import ChoiceSets
from llmdemand.modeling.quantities.intervals import gradient
from llmdemand.modeling.sample.columns import rows_of
from llmdemand.modeling.sample.designs import (
    ChoiceDesign,
    Design,
    MultinomialDesign,
    Regressors,
    Rows,
)
from llmdemand.modeling.sample.given import checked_rows, columns_read
from llmdemand.modeling.sample.sample import NA
from llmdemand.modeling.scoring.predictions import finite_params, probabilities_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["predict"]


def predict(
    fit: Fit, data: Any = None, *, se: bool = False, alpha: float = 0.05, na: NA = "raise"
) -> Any:
    """Probabilities, by the caller's rows.

    Parameters
    ----------
    fit : Fit
        A fitted logit.
    data : table or array, optional
        New rows, of which those of a case may stand anywhere; an array holds the regressors of
        a binary logit. By default the sample, with equal rows merged (``fit.frame``).
    se : bool
        Add standard errors and bounds.
    alpha : float
        One minus the confidence level of the bounds.
    na : str
        ``raise``, or ``drop``: rows with a missing value (in a conditional logit their whole
        case, whose choice set is not known) have NaN.

    Returns
    -------
    pandas.Series, pandas.DataFrame or array
        Binary: a series (N,) with the index of `data`. Multinomial: a frame (N, J), a column
        for each alternative in the design's order. Conditional: a series (R,) in the order of
        the rows, its index their case and alternative. Arrays give an array.
        With `se` a frame with columns ``predicted, se, lower, upper``, in a multinomial logit
        a row for each row of `data` and alternative.

    Raises
    ------
    DesignError
        Where separated: the probabilities are 0, 1 or unknown. For columns that are not there,
        missing values under ``raise``, text where numbers were, unknown alternatives or levels,
        an alternative twice in a case.
    UsageError
        For impossible options, and what is no table.

    Notes
    -----
    Standard errors by the delta method: ``se_j = p_j (1 - p_j) sqrt(g_j' V g_j)`` with ``g_j = d
    log(p_j / (1 - p_j)) / db``. Bounds are those of the log-odds by the fit's t law, so they lie
    in (0, 1). They are of the probability, not of an outcome.

    To put predictions beside the rows of a conditional logit take their numbers:
    ``data.assign(p=fit.predict(data).to_numpy())``, for pandas would look for equal indices.

    Examples
    --------
    Rows may be stacked by alternative:

    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({
    ...     "case": [1, 2, 3, 4] * 2, "alternative": list("aaaabbbb"),
    ...     "price": [1, 2, 3, 1, 2, 1, 1, 2], "choice": [1, 0, 1, 0, 0, 1, 0, 1]})
    >>> fit = ld.clogit("choice ~ price", df)
    >>> fit.predict(df[df["case"] < 3]).round(4)
    case  alternative
    1     a              0.4073
    2     a              0.5565
    1     b              0.5927
    2     b              0.4435
    Name: predicted, dtype: float64
    """
    b = finite_params(fit)
    alpha = alpha_of(alpha)
    choose(na, NA, "na")
    if fit.design is None or fit.frame is None or isinstance(data, np.ndarray):
        return _of_arrays(fit, b, data, se, alpha)
    import pandas as pd

    design, rows = fit.design, fit.frame if data is None else rows_of(data)
    lost = np.zeros(len(rows), bool) if na == "raise" else _incomplete(design, rows)
    made = design.expand(checked_rows(design, fit.frame, rows[~lost], "predict"))
    numbers = _probabilities(fit, b, made, None if design.outside else made, se, alpha)
    if isinstance(design, ChoiceDesign):
        numbers[made.order] = numbers.copy()
    each = 1 if isinstance(design, ChoiceDesign) else len(design.alternatives)
    table = np.full((len(rows) * each, numbers.shape[1]), np.nan)
    table[np.repeat(~lost, each)] = numbers
    if isinstance(design, MultinomialDesign) and not se:
        names = pd.Index(design.alternatives, name="alternative")
        return pd.DataFrame(table.reshape(len(rows), each), index=rows.index, columns=names)
    index = _index(design, rows)
    return _framed(table, index) if se else pd.Series(table[:, 0], index, name="predicted")


def _of_arrays(fit: Fit, b: Array, data: Any, se: bool, alpha: float) -> Any:
    if not isinstance(fit.data, Cells):
        raise UsageError("predict: give a data frame for a model of several alternatives")
    if data is None:
        made = Regressors(fit.data.x, fit.data.offset)
    elif fit.data.offset is not None:
        raise UsageError(
            "predict: an array of regressors says nothing of the offset: fit by formula, with "
            "offset(), to predict for other rows"
        )
    else:
        made = Regressors(np.asarray(data, np.float64), None)
    numbers = _probabilities(fit, b, made, None, se, alpha)
    return _framed(numbers, None) if se else numbers[:, 0]


def _framed(numbers: Array, index: pd.Index[Any] | None) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(numbers, index, ["predicted", "se", "lower", "upper"])


def _incomplete(design: Design, rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows lack a value, or are of a case that does."""
    known = [c for c in columns_read(design) if c in rows.columns]
    lost = rows[known].isna().any(axis=1)
    if isinstance(design, ChoiceDesign):
        case = rows.get(design.group, lost & False)  # without their column: one case
        lost |= case.isin(case[lost]) | case.isna()
    if lost.all():
        raise UsageError("predict: every row (or case) has a missing value; mend them first")
    return lost.to_numpy()


def _index(design: Design, rows: pd.DataFrame) -> pd.Index[Any]:
    """What rows are called: as the caller does; by case and alternative; by both."""
    import pandas as pd

    if isinstance(design, ChoiceDesign):
        read = [c for c in (design.group, design.alternative) if c in rows.columns]
        return pd.MultiIndex.from_frame(rows[read]) if len(read) > 1 else pd.Index(rows[read[0]])
    if not isinstance(design, MultinomialDesign):
        return rows.index
    j = len(design.alternatives)
    repeated = rows.index.repeat(j)
    levels = [repeated.get_level_values(k) for k in range(repeated.nlevels)]
    names: list[Any] = [*repeated.names, "alternative"]
    return pd.MultiIndex.from_arrays([*levels, list(design.alternatives) * len(rows)], names=names)


def _probabilities(
    fit: Fit, b: Array, made: Regressors, rows: Rows | None, se: bool, alpha: float
) -> Array:
    """Probabilities by row, (R, 1), or with SE and bounds, (R, 4); a binary logit has no `rows`."""
    if rows is None:
        v = made.utilities(b)
        p, q = sigmoid(v), sigmoid(-v)
    else:
        p, q = _of_sets(fit, b, rows)
    if not se:
        return p[:, None]
    from scipy import stats

    cov = np.asarray(fit.cov, np.float64)
    if not np.isfinite(cov).all():
        raise DesignError(f"{fit.outcome}: no SE of a prediction, the covariance is not finite")
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = np.log(p) - np.log(q)
        slope = made.x if rows is None else gradient(lambda c: _log_odds(fit, c, rows), b)
    slope = np.where(np.isfinite(odds)[:, None], slope, 0.0)  # p is 0 or 1, whatever b is
    error = np.sqrt(np.maximum(((slope @ cov) * slope).sum(axis=1), 0))
    half = float(stats.t.ppf(1 - alpha / 2, fit.df)) * error
    return np.column_stack([p, p * q * error, sigmoid(odds - half), sigmoid(odds + half)])


def _of_sets(fit: Fit, b: Numbers, rows: Rows) -> tuple[Numbers, Numbers]:
    """Probabilities by row, and one minus them; complex coefficients pass through."""
    p, sets = probabilities_of(fit, b, rows), ChoiceSets(rows.start, len(rows.x))
    # Above one half 1 - p is summed from the others: near 1 it would be rounding.
    above = np.real(p) > 0.5
    return p, np.where(above, sets.spread(sets.sum(np.where(above, 0, p))), 1 - p)


def _log_odds(fit: Fit, b: Numbers, rows: Rows) -> Numbers:
    p, q = _of_sets(fit, b, rows)
    return np.asarray(np.log(p) - np.log(q))
