"""Fitted means, residuals and deviance of the sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.fit import Fit, need_unit_interval
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.scoring.predictions import shares_in_sample
from llmdemand.modeling.substitution.smooth import situations

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["deviance", "fitted_values", "null_deviance", "pred_table", "residuals"]


def fitted_values(fit: Fit) -> pd.Series[float] | pd.DataFrame:
    """Fitted probabilities of the sample's rows, as statsmodels' GLM has them.

    statsmodels' Logit gives the linear predictor by the same name.

    Returns
    -------
    pandas.Series or pandas.DataFrame
        With the index of `Fit.frame`, in which equal rows are merged; of a multinomial logit
        one column per alternative.

    Raises
    ------
    DesignError
        For a separated fit.
    """
    return _by_row(fit, shares_in_sample(fit))


def residuals(fit: Fit) -> pd.Series[float] | pd.DataFrame:
    """Outcomes less fitted probabilities (response residuals), by row of `Fit.frame`.

    Where equal rows were merged it is the residual of their mean outcome; those of single rows
    are ``outcome - fit.predict(data)``.

    Raises
    ------
    DesignError
        For a separated fit.
    """
    need_unit_interval(fit, "a residual")
    data = situations(fit.data)
    return _by_row(fit, (data.mean if isinstance(data, Cells) else data.y) - shares_in_sample(fit))


def _by_row(fit: Fit, values: Array) -> pd.Series[float] | pd.DataFrame:
    import pandas as pd

    index = None if fit.frame is None else fit.frame.index
    if fit.kind == "Multinomial logit" and fit.design is not None:
        names = list(fit.design.alternatives)
        return pd.DataFrame(values.reshape(-1, len(names)), index=index, columns=names)
    return pd.Series(values, index=index, name=fit.outcome)


def deviance(fit: Fit) -> float:
    """``2 (log-likelihood of a perfect fit - llf)``, as of a generalised linear model.

    For outcomes of 0 and 1 it is ``-2 llf``; for fractions ``2 sum w [y log(y / mu) + (1 - y)
    log((1 - y) / (1 - mu))]``, over single observations also where equal rows were merged.
    """
    need_unit_interval(fit, "a deviance")
    return 2 * (fit.data.saturated() - fit.llf)


def null_deviance(fit: Fit) -> float:
    """The `deviance` of constants alone."""
    need_unit_interval(fit, "a deviance")
    return 2 * (fit.data.saturated() - fit.llnull)


def pred_table(fit: Fit, threshold: float = 0.5) -> Array:
    """Observed (rows: 0, 1) by predicted (columns: 0, 1) outcomes, as statsmodels' Logit has it.

    Parameters
    ----------
    fit : Fit
        A binary logit.
    threshold : float
        Probabilities above it are predictions of 1.

    Returns
    -------
    (2, 2) array
        Numbers of observations, frequency weights counted; sampling weights are not.

    Raises
    ------
    UsageError
        For fractions and several alternatives; for a threshold outside [0, 1].
    DesignError
        For a separated fit.
    """
    data = fit.data
    if not isinstance(data, Cells) or fit.fractional:
        raise UsageError(
            f"pred_table counts outcomes of 0 and 1, and {fit.outcome!r} has "
            f"{'fractions' if fit.fractional else 'several alternatives'}: use scores() or "
            "calibration()"
        )
    if not 0 <= threshold <= 1:
        raise UsageError(f"threshold={threshold:g}: give a probability")
    above = shares_in_sample(fit) > threshold
    ones = np.rint(data.count * data.mean)
    table = [[n[~above].sum(), n[above].sum()] for n in (data.count - ones, ones)]
    return np.array(table, np.float64)
