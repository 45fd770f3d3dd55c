"""Binary and fractional logit with honest covariances."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.covariance import SSC, cluster_meat, sandwich, small_sample_factor
from llmdemand.modeling.formula import Vcov, matrices, split_vcov
from llmdemand.modeling.newton import log_likelihood, newton, sigmoid
from llmdemand.modeling.results import LogitResults
from llmdemand.modeling.separation import separating_direction

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SeparationWarning", "fit", "fraclogit", "logit"]


class SeparationWarning(UserWarning):
    """The maximum of the likelihood does not exist; estimates are infinite."""


def fit(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    terms: Sequence[str],
    *,
    vcov: str = "HC1",
    groups: Any = None,
    ssc: SSC = "stata",
    outcome: str = "y",
    dropped: int = 0,
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
    vcov : str
        ``iid`` (inverse information), ``HC0``, ``HC1``, or ``CRV1`` with `groups`.
    groups : (N,) array, optional
        Clusters for ``CRV1``.
    ssc : str
        Small-sample factor of ``HC1`` and ``CRV1``: see `small_sample_factor`.
    outcome : str
        Name of the outcome in tables.
    dropped : int
        Rows that the caller left out, to be shown.

    Returns
    -------
    LogitResults

    Raises
    ------
    DesignError
        No rows, outcomes outside [0, 1] or not finite, constant or collinear
        regressors (named), no more rows than coefficients, one cluster.
    UsageError
        For an unknown covariance.

    Warns
    -----
    SeparationWarning
        If the maximum does not exist: estimates are then reported as infinite.

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
    y, x = np.asarray(y, float), np.asarray(x, float)
    _check(y, x, list(terms))
    direction = separating_direction(x, y)
    common: dict[str, Any] = {
        "outcome": outcome,
        "fractional": bool(((y > 0) & (y < 1)).any()),
        "llnull": log_likelihood(np.full(len(y), _logit(y.mean())), y) if 0 < y.mean() < 1 else 0.0,
        "nobs": len(y),
        "dropped": dropped,
        "exog": x,
        "endog": y,
    }
    if direction is not None:
        return _separated(direction, x, y, list(terms), vcov, common)
    # Prices of 3e-6 or years of 2026: all is computed in standardised regressors.
    z, back = standardise(x)
    found = newton(z, y)
    bread = np.asarray(np.linalg.inv(found.information), np.float64)
    scores = z * (y - sigmoid(z @ found.params))[:, None]
    cov, name, clusters = _covariance(bread, scores, vcov, groups, ssc)
    cov = back @ cov @ back.T
    import pandas as pd

    return LogitResults(
        params=pd.Series(back @ found.params, index=list(terms)),
        cov=pd.DataFrame(cov, index=list(terms), columns=list(terms)),
        llf=found.llf,
        vcov=vcov,
        ssc=name,
        clusters=clusters,
        df=clusters - 1 if clusters is not None else np.inf,
        converged=found.converged,
        separated=False,
        iterations=found.iterations,
        **common,
    )


def _separated(
    direction: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    terms: list[str],
    vcov: str,
    common: dict[str, Any],
) -> LogitResults:
    import pandas as pd

    pairs = list(zip(terms, direction, strict=True))
    going = ", ".join(f"{t} to {'+' if d > 0 else '-'}inf" for t, d in pairs if d)
    warnings.warn(
        f"{common['outcome']}: the data are separated, the maximum does not exist ({going}); "
        "collect more runs, or use belief in place of choice",
        SeparationWarning,
        stacklevel=4,
    )
    with np.errstate(invalid="ignore"):
        params = np.where(direction == 0, np.nan, np.sign(direction) * np.inf)
    infinite = np.where(np.eye(len(terms), dtype=bool), np.inf, np.nan)
    return LogitResults(
        params=pd.Series(params, index=terms),
        cov=pd.DataFrame(infinite, index=terms, columns=terms),
        llf=_supremum(direction, x, y),
        vcov=vcov,
        ssc="none",
        clusters=None,
        df=np.inf,
        converged=False,
        separated=True,
        iterations=0,
        **common,
    )


def _supremum(
    direction: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> float:
    """The likelihood's least upper bound: only points on the separating plane cost anything."""
    eta = x @ direction
    on = np.abs(eta) < 1e-9 * max(1.0, float(np.abs(eta).max()))
    if not on.any():
        return 0.0
    mean = float(y[on].mean())
    return log_likelihood(np.full(int(on.sum()), _logit(mean)), y[on]) if 0 < mean < 1 else 0.0


def _covariance(
    bread: NDArray[np.float64],
    scores: NDArray[np.float64],
    vcov: str,
    groups: Any,
    ssc: SSC,
) -> tuple[NDArray[np.float64], str, int | None]:
    n, k = scores.shape
    if vcov == "iid":
        return bread, "none", None
    if vcov in ("HC0", "HC1"):
        factor, name = small_sample_factor(ssc if vcov == "HC1" else "none", n, k)
        return factor * sandwich(bread, scores.T @ scores), name, None
    if vcov == "CRV1" and groups is not None:
        meat, clusters = cluster_meat(scores, groups)
        factor, name = small_sample_factor(ssc, n, k, clusters)
        return factor * sandwich(bread, meat), name, clusters
    if vcov == "CRV1":
        raise UsageError("CRV1 needs its clusters: give {'CRV1': column} (CRV1:column in a shell)")
    raise UsageError(
        f"no covariance {vcov!r}{nearest(vcov, ('iid', 'HC0', 'HC1', 'CRV1'))}: use 'iid', 'HC0', "
        "'HC1' or {'CRV1': column}"
    )


def standardise(
    x: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Regressors centred (where there is a constant) and scaled to [-1, 1], and the way back.

    Parameters
    ----------
    x : (N, K) array
        Regressors.

    Returns
    -------
    z : (N, K) array
        Standardised regressors that span the same space.
    back : (K, K) array
        ``params = back @ params_of_z``, so that ``x @ params == z @ params_of_z``.
    """
    constant = np.flatnonzero((np.ptp(x, axis=0) == 0) & (x[0] != 0))
    middle = x.mean(axis=0) if len(constant) else np.zeros(x.shape[1])
    middle[constant] = 0.0
    spread = np.abs(x - middle).max(axis=0)
    spread[spread == 0] = 1.0
    back = np.diag(1 / spread)
    if len(constant):
        back[constant[0]] -= middle / spread / x[0, constant[0]]
        back[constant[0], constant[0]] = 1 / spread[constant[0]]
    return (x - middle) / spread, back


def _check(y: NDArray[np.float64], x: NDArray[np.float64], terms: list[str]) -> None:
    if not len(y):
        raise DesignError("no rows to fit: every run was left out or there were none")
    if not np.isfinite(y).all() or not np.isfinite(x).all():
        raise DesignError("outcome and regressors must be finite: drop or mend missing rows first")
    if y.min() < 0 or y.max() > 1:
        raise DesignError(f"outcomes must lie in [0, 1], found {y.min():g} to {y.max():g}")
    for j, term in enumerate(terms):
        if term != "const" and np.ptp(x[:, j]) == 0:
            raise DesignError(
                f"{term!r} has one value ({x[0, j]:g}) in all {len(y)} rows: "
                "its coefficient needs at least two"
            )
    if len(y) <= x.shape[1]:
        raise DesignError(f"{len(y)} rows cannot fit {x.shape[1]} coefficients: ask for more runs")
    scaled, _ = standardise(x)
    if np.linalg.matrix_rank(scaled) < x.shape[1]:
        redundant = [
            t for j, t in enumerate(terms) if np.linalg.matrix_rank(scaled[:, : j + 1]) < j + 1
        ]
        raise DesignError(f"collinear regressors, remove one of: {', '.join(redundant)}")


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def fraclogit(
    formula: str, data: pd.DataFrame, *, vcov: Vcov = "HC1", ssc: SSC = "stata"
) -> LogitResults:
    """Fractional logit from a formula and a data frame.

    Parameters
    ----------
    formula : str
        ``"belief ~ price"``, in the language of formulaic; a constant is added.
    data : pandas.DataFrame
        One row per observation, without missing values in the columns used.
    vcov : str or mapping
        ``"iid"``, ``"HC0"``, ``"HC1"`` or ``{"CRV1": column}``.
    ssc : str
        Small-sample factor: see `small_sample_factor`.

    Returns
    -------
    LogitResults

    Raises
    ------
    DesignError
        See `fit`; also for missing values and unknown columns.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"belief": [.9, .7, .2, .8, .4, .1], "price": [1, 2, 3, 1, 2, 3]})
    >>> list(fraclogit("belief ~ price", df).params.index)
    ['const', 'price']
    """
    y, x, terms, outcome = matrices(formula, data)
    name, groups = split_vcov(vcov, data)
    return fit(y, x, terms, vcov=name, groups=groups, ssc=ssc, outcome=outcome)


def logit(
    formula: str, data: pd.DataFrame, *, vcov: Vcov = "HC1", ssc: SSC = "stata"
) -> LogitResults:
    """Binary logit from a formula and a data frame; arguments as for `fraclogit`.

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
    y, x, terms, outcome = matrices(formula, data)
    if not np.isin(y, (0.0, 1.0)).all():
        raise DesignError(f"{outcome!r} is not 0/1: use fraclogit for fractions")
    name, groups = split_vcov(vcov, data)
    return fit(y, x, terms, vcov=name, groups=groups, ssc=ssc, outcome=outcome)
