"""Binary and fractional logit, from arrays or from a formula and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.binary import fit_binary, fit_rows
from llmdemand.modeling.estimation.options import Options, Separation, Vcov
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.sample.sample import NA, Data, WeightsType
from llmdemand.modeling.spelled import spelled
from llmdemand.modeling.variance.vcov import SSC
from llmdemand.scale.executors import Executor

__all__ = ["FitOptions", "fit", "fraclogit", "logit"]


class FitOptions(TypedDict, total=False):
    """Options of every estimator from a formula and a table: see `fraclogit`."""

    vcov: Vcov | None
    cov_type: str | None
    cov_kwds: Mapping[str, Any] | None
    ssc: SSC
    weights: str | None
    weights_type: WeightsType
    na: NA
    separation: Separation
    executor: Executor


def fit(
    y: Array,
    x: Array,
    terms: Sequence[str],
    *,
    vcov: Vcov | None = None,
    cov_type: str | None = None,
    cov_kwds: Mapping[str, Any] | None = None,
    groups: Mapping[str, Any] | None = None,
    ssc: SSC = "stata",
    separation: Separation = "warn",
    outcome: str = "y",
    offset: Array | None = None,
) -> LogitResults:
    """Fit a logit to arrays.

    Parameters
    ----------
    y : (N,) array
        Outcomes in [0, 1].
    x : (N, K) array
        Regressors, the constant included.
    terms : sequence of str
        Names of the columns of `x`.
    vcov : str or mapping, optional
        See `fraclogit`.
    cov_type, cov_kwds : str and mapping, optional
        See `fraclogit`; here ``cov_kwds={"groups": values}`` may hold the (N,) array itself.
    groups : mapping of str to (N,) array, optional
        Clusters, by the names that `vcov` uses.
    ssc, separation : str
        See `fraclogit`.
    outcome : str
        Name of the outcome in tables.
    offset : (N,) array, optional
        Added to the log-odds: its coefficient is fixed at 1.

    Returns
    -------
    LogitResults

    Raises
    ------
    DesignError
        No rows, outcomes outside [0, 1] or not finite, constant or collinear
        regressors (named), no more rows than coefficients, one cluster.
    UsageError
        For an unknown option.

    Warns
    -----
    SeparationWarning
        If the maximum does not exist: estimates are then reported as infinite.
    VarianceWarning
        See `fraclogit`.

    Notes
    -----
    ``sum y log mu + (1 - y) log(1 - mu)`` with ``mu = 1 / (1 + exp(-x'b))`` is the
    likelihood of 0/1 outcomes and the quasi-likelihood of fractions (Papke &
    Wooldridge 1996): one estimator, whose sandwich covariance is valid for both.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.column_stack([np.ones(6), [1, 2, 3, 1, 2, 3]])
    >>> y = np.array([0.9, 0.5, 0.2, 0.8, 0.6, 0.1])
    >>> round(float(fit(y, x, ["const", "price"]).params["price"]), 4)
    -1.738
    """
    groups, cov_kwds = _clusters(groups, cov_kwds)
    options = Options.of(vcov, cov_type=cov_type, cov_kwds=cov_kwds, ssc=ssc, separation=separation)
    return LogitResults.of(fit_rows(y, x, terms, options, groups, outcome, offset))


@spelled(FitOptions, Options())
def fraclogit(formula: str, data: Data, **options: Unpack[FitOptions]) -> LogitResults:
    """Fractional logit (Papke & Wooldridge 1996) of an outcome in [0, 1].

    Parameters
    ----------
    formula : str
        ``"belief ~ price"`` in the language of formulaic; a constant is added. Beside its
        transforms (``C()``, ``bs()``, ``poly()``, ...) there are ``log()``, which refuses
        values that are not positive, and ``round(price, 5)``, one where the price is a
        multiple of 5; and ``offset()``, whose coefficient is fixed at 1. Nothing else runs:
        see "Formulas" in the guide to demand models.
    data : table or path
        One row per observation, of pandas, polars or pyarrow; or a parquet file, a folder of
        them or a list of files, read piece by piece and reduced to groups of equal regressors,
        so that they may be larger than memory.
    vcov : str or mapping, optional
        By default HC1; iid for Firth's estimates of 0/1 outcomes. ``"iid"`` (inverse
        information), ``"HC0"`` to ``"HC3"``, ``{"CRV1": "cell"}``, ``{"CRV1": "cell+run"}``
        (two-way; three-way likewise), ``{"CRV3": "cell"}`` (leave-one-cluster-out jackknife, also
        two-way), ``{"within": "cell"}`` (fixed design), ``{"pairs": "cell"}`` or ``{"score":
        "cell"}`` (bootstraps): see `llmdemand.modeling.variance.covariance`.
    cov_type, cov_kwds : str and mapping, optional
        The covariance by statsmodels' names: see `options.named_vcov`.
    ssc : str
        Small-sample factor by the package that uses it: ``stata``, ``sandwich``,
        ``fixest``, ``none``.
    weights : str, optional
        Column of weights.
    weights_type : str
        ``frequency`` (a weight of 3 is three equal rows) or ``sampling`` (inverse
        probabilities of being sampled: they enter robust variances squared).
    na : str
        ``raise`` for missing values, or ``drop``: the number left out is reported.
    separation : str
        Where the maximum does not exist: ``warn`` (infinite estimates), ``raise``, or
        ``firth`` (penalised estimates, for every data set).
    executor : None, int, str or dask.distributed.Client
        Who reads parquet files: this process, so many processes, or a Dask cluster by its
        address (``tcp://...``): see `llmdemand.scale.merging.map_merge`. No number depends
        on it.

    Returns
    -------
    LogitResults

    Raises
    ------
    DesignError
        Unknown columns (with the nearest name), missing values, outcomes outside [0, 1],
        constant or collinear regressors (named), one cluster, impossible weights.
    UsageError
        For an unknown option.

    Warns
    -----
    SeparationWarning
        If the maximum does not exist.
    VarianceWarning
        For ``iid`` with fractions, whose variance is not that of a coin; for an outcome
        without any variation about the fit.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"belief": [.9, .7, .2, .8, .4, .1], "price": [1, 2, 3, 1, 2, 3]})
    >>> list(fraclogit("belief ~ price", df).params.index)
    ['const', 'price']
    """
    asked = Options.of(data=data, **options)
    return LogitResults.of(fit_binary(formula, data, asked, binary=False))


@spelled(FitOptions, Options())
def logit(formula: str, data: Data, **options: Unpack[FitOptions]) -> LogitResults:
    """Binary logit of a 0/1 outcome; arguments and options as for `fraclogit`.

    Raises
    ------
    DesignError
        See `fraclogit`; also if the outcome is not 0/1.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"choice": [1, 0, 1, 0, 1, 0], "price": [1, 1, 2, 2, 3, 3]})
    >>> bool(abs(logit("choice ~ price", df).params["price"]) < 1e-8)
    True
    """
    asked = Options.of(data=data, **options)
    return LogitResults.of(fit_binary(formula, data, asked, binary=True))


def _clusters(
    groups: Mapping[str, Any] | None, kwds: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Clusters by name, where statsmodels' keywords hold their values."""
    given = (kwds or {}).get("groups")
    if given is None or isinstance(given, str) or np.ndim(given) != 1:
        return groups or {}, kwds
    if all(isinstance(name, str) and name in (groups or {}) for name in given):
        return groups or {}, kwds  # a list of names
    name = str(getattr(given, "name", None) or "groups")
    return {**(groups or {}), name: np.asarray(given)}, {**(kwds or {}), "groups": name}
