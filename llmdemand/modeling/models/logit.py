"""Binary and fractional logit, from arrays or from a formula and a data frame."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.estimation.estimate import (
    Kind,
    Separation,
    Source,
    VarianceWarning,
    Vcov,
    asked_vcov,
    check_regressors,
    check_variables,
    estimate,
    weighting,
)
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.sample.designs import BinaryDesign
from llmdemand.modeling.sample.formula import looks_at_all_rows, part, split, variables
from llmdemand.modeling.sample.sample import (
    NA,
    Data,
    Sample,
    WeightsType,
    chunks,
    codes,
    column_names,
    grouped,
    in_unit_interval,
    require,
)
from llmdemand.modeling.variance.vcov import SSC

__all__ = ["fit", "fraclogit", "logit"]


def fit(
    y: Array,
    x: Array,
    terms: Sequence[str],
    *,
    vcov: Vcov | None = None,
    groups: Mapping[str, Any] | None = None,
    ssc: SSC = "stata",
    separation: Separation = "warn",
    outcome: str = "y",
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
    groups : mapping of str to (N,) array, optional
        Clusters, by the names that `vcov` uses.
    ssc, separation : str
        See `fraclogit`.
    outcome : str
        Name of the outcome in tables.

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
    >>> x = np.column_stack([np.ones(6), [1, 2, 3, 1, 2, 3]])
    >>> y = np.array([0.9, 0.5, 0.2, 0.8, 0.6, 0.1])
    >>> round(float(fit(y, x, ["const", "price"]).params["price"]), 4)
    -1.738
    """
    import pandas as pd

    y, x = np.asarray(y, np.float64), np.asarray(x, np.float64)
    if not len(y):
        raise DesignError("no rows to fit: every run was left out or there were none")
    if x.shape != (len(y), len(terms)):
        raise DesignError(
            f"regressors have shape {x.shape}, {len(y)} outcomes and {len(terms)} terms need "
            f"({len(y)}, {len(terms)})"
        )
    if not np.isfinite(y).all() or not np.isfinite(x).all():
        raise DesignError("outcome and regressors must be finite: drop or mend missing rows first")
    y = in_unit_interval(y)
    known = dict(groups or {})
    kind: Kind = "Binary logit" if np.isin(y, (0.0, 1.0)).all() else "Fractional logit"
    asked = asked_vcov(vcov, separation, fractional=kind == "Fractional logit")
    require(asked.columns, list(known), "among the groups")
    frame = pd.DataFrame(known)
    clusters = {c: _codes(frame, c) for c in asked.columns}
    data = Cells.of_rows(x, y, clusters)
    return _fit(data, terms, Source(None, None, outcome, kind), asked, ssc, separation)


def fraclogit(
    formula: str,
    data: Data,
    *,
    vcov: Vcov | None = None,
    ssc: SSC = "stata",
    weights: str | None = None,
    weights_type: WeightsType = "frequency",
    na: NA = "raise",
    separation: Separation = "warn",
) -> LogitResults:
    """Fractional logit (Papke & Wooldridge 1996) of an outcome in [0, 1].

    Parameters
    ----------
    formula : str
        ``"belief ~ price"`` in the language of formulaic; a constant is added. Beside its
        transforms (``C()``, ``bs()``, ``poly()``, ...) there are ``log()``, which refuses
        values that are not positive, and ``round(price, 5)``, one where the price is a
        multiple of 5.
    data : pandas.DataFrame or path
        One row per observation; or a parquet file, read chunk by chunk and reduced to
        groups of equal regressors, so that it may be larger than memory.
    vcov : str or mapping, optional
        By default HC1; iid for Firth's estimates of 0/1 outcomes. ``"iid"`` (inverse
        information), ``"HC0"`` to ``"HC3"``, ``{"CRV1": "cell"}``, ``{"CRV1": "cell+run"}``
        (two-way), ``{"CRV3": "cell"}`` (leave-one-cluster-out jackknife), ``{"within":
        "cell"}`` (fixed design), ``{"pairs": "cell"}`` or ``{"score": "cell"}`` (bootstraps):
        see `llmdemand.modeling.variance.covariance`.
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
    return _door(formula, data, False, vcov, ssc, weights, weights_type, na, separation)


def logit(
    formula: str,
    data: Data,
    *,
    vcov: Vcov | None = None,
    ssc: SSC = "stata",
    weights: str | None = None,
    weights_type: WeightsType = "frequency",
    na: NA = "raise",
    separation: Separation = "warn",
) -> LogitResults:
    """Binary logit of a 0/1 outcome; arguments as for `fraclogit`.

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
    return _door(formula, data, True, vcov, ssc, weights, weights_type, na, separation)


def _door(
    formula: str,
    data: Data,
    binary: bool,
    vcov: Vcov | None,
    ssc: SSC,
    weights: str | None,
    weights_type: WeightsType,
    na: NA,
    separation: Separation,
) -> LogitResults:
    outcome, parts = split(formula)
    if len(parts) != 1:
        raise DesignError(f"formula {formula!r}: parts divided by | are for clogit")
    known, asked = column_names(data), asked_vcov(vcov, separation, fractional=not binary)
    require([weights], known, "of weights")
    require(asked.columns, known, "to cluster by")
    named = variables(parts[0], known)
    keys = list(dict.fromkeys([*named, *asked.columns]))
    sample = grouped(
        data,
        outcome,
        keys,
        outcome_columns=[outcome] if outcome in known else variables(outcome, known),
        weights=weights,
        weights_type=weights_type,
        na=na,
    )
    check_variables(sample.frame, named, sample.nobs)
    design = BinaryDesign(_part(parts[0], data, sample, named, na), tuple(named), outcome)
    x = design.part.matrix(sample.frame)
    cells = Cells(
        x,
        sample.count,
        sample.mean,
        sample.within,
        sample.weight,
        {c: _codes(sample.frame, c) for c in asked.columns},
        _alike(sample, named, weights if weights_type == "sampling" else None, asked.columns),
    )
    kind: Kind = "Binary logit" if binary else "Fractional logit"
    source = Source(
        design, sample.frame, outcome, kind, sample.dropped, weighting(weights, weights_type)
    )
    return _fit(cells, design.terms, source, asked, ssc, separation)


def _part(text: str, data: Data, sample: Sample, named: list[str], na: NA) -> Any:
    """The formula's record: from the groups, unless a transform looks at the whole sample."""
    import pandas as pd

    if not looks_at_all_rows(text):
        return part(text, sample.frame)
    if isinstance(data, pd.DataFrame):
        rows = pd.concat(chunks(data, named))
        return part(text, rows.dropna() if na == "drop" else rows)
    if looks_at_all_rows(text, knots_suffice=True):
        raise DesignError(
            f"formula {text!r} needs quantiles or means of all rows, which a file read in chunks "
            "does not give: name them, as in bs(price, knots=[33, 37])"
        )
    return part(text, sample.frame)


def _alike(
    sample: Sample, named: list[str], weights: str | None, clusters: Sequence[str]
) -> Codes | None:
    """Which groups differ by their clusters alone; None where none do."""
    if set(clusters) <= set(named):
        return None
    return codes(sample.frame, [*named, *([weights] if weights else [])])[0]


def _codes(frame: Any, column: str) -> Any:
    found, _ = codes(frame, [column])
    return found


def _fit(
    data: Cells,
    terms: Sequence[str],
    source: Source,
    asked: Any,
    ssc: SSC,
    separation: Separation,
) -> LogitResults:
    check_regressors(data.x, terms, data.nobs)
    if source.kind == "Binary logit" and data.fractional:
        raise DesignError(f"{source.outcome!r} is not 0/1: use fraclogit for fractions")
    found = estimate(data, terms, source, asked=asked, ssc=ssc, separation=separation)
    if data.fractional and asked.kind == "iid":
        warnings.warn(
            f"{source.outcome}: iid standard errors assume the variance of a coin toss, which "
            "fractions do not have (they hide what belief gains); use vcov='HC1' or clusters",
            VarianceWarning,
            stacklevel=4,
        )
    if not found.separated and np.all(found.bse.to_numpy() < 1e-10):
        warnings.warn(
            f"{source.outcome} does not vary about the fit: standard errors are zero because the "
            "data hold no noise, not because they are precise",
            VarianceWarning,
            stacklevel=4,
        )
    return found
