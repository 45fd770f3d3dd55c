"""Binary and fractional logit with honest covariances."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.covariance import SSC, cluster_meat, sandwich, small_sample_factor
from llmdemand.modeling.newton import log_likelihood, newton, sigmoid
from llmdemand.modeling.separation import separating_direction

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FewClustersWarning", "LogitResults", "SeparationWarning", "fit", "fraclogit", "logit"]

Vcov = str | Mapping[str, str]
_FEW_CLUSTERS = 30


class SeparationWarning(UserWarning):
    """The maximum of the likelihood does not exist; estimates are infinite."""


class FewClustersWarning(UserWarning):
    """A clustered covariance rests on few clusters."""


@dataclass(frozen=True)
class LogitResults:
    """A fitted binary or fractional logit.

    Attributes
    ----------
    params : pandas.Series, (K,)
        Coefficients by term, ``const`` for the intercept; -inf or inf along a
        separating direction.
    cov : pandas.DataFrame, (K, K)
        Covariance of `params`; infinite on the diagonal where separated.
    outcome : str
        Name of the outcome.
    fractional : bool
        Whether the outcome takes values strictly between 0 and 1.
    llf, llnull : float
        Log (quasi-)likelihood at the estimate and with a constant alone.
    nobs, dropped : int
        Rows used, and rows left out by the caller's rule.
    vcov, ssc : str
        Names of the covariance and of its small-sample factor.
    clusters : int or None
        Number of clusters, G.
    df : float
        Degrees of freedom of the reference t law: G - 1 with clusters, else inf.
    converged, separated : bool
        Whether the maximum was found, and whether it fails to exist.
    iterations : int
        Newton steps.
    """

    params: pd.Series[float]
    cov: pd.DataFrame
    outcome: str
    fractional: bool
    llf: float
    llnull: float
    nobs: int
    dropped: int
    vcov: str
    ssc: str
    clusters: int | None
    df: float
    converged: bool
    separated: bool
    iterations: int
    exog: NDArray[np.float64] = field(repr=False)
    endog: NDArray[np.float64] = field(repr=False)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors by term."""
        import pandas as pd

        return pd.Series(np.sqrt(np.diag(self.cov)), index=self.params.index)

    @property
    def tvalues(self) -> pd.Series[float]:
        """``params / bse``; NaN where separated."""
        with np.errstate(invalid="ignore"):
            return self.params / self.bse

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values by the t law with `df` degrees of freedom."""
        import pandas as pd
        from scipy import stats

        return pd.Series(2 * stats.t.sf(np.abs(self.tvalues), self.df), index=self.params.index)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Intervals with columns ``lower`` and ``upper``; the whole line where separated."""
        import pandas as pd
        from scipy import stats

        half = stats.t.ppf(1 - alpha / 2, self.df) * self.bse
        if self.separated:
            infinite = np.full(len(self.params), np.inf)
            return pd.DataFrame({"lower": -infinite, "upper": infinite}, index=self.params.index)
        return pd.DataFrame({"lower": self.params - half, "upper": self.params + half})

    def cov_params(self) -> pd.DataFrame:
        """The covariance matrix."""
        return self.cov

    @property
    def prsquared(self) -> float:
        """McFadden's ``1 - llf / llnull``."""
        return 1 - self.llf / self.llnull

    @property
    def aic(self) -> float:
        """``2 K - 2 llf``."""
        return 2 * len(self.params) - 2 * self.llf

    @property
    def bic(self) -> float:
        """``K log N - 2 llf``."""
        return float(len(self.params) * np.log(self.nobs) - 2 * self.llf)

    def coef(self) -> pd.Series[float]:
        """Coefficients, by the name that pyfixest uses."""
        return self.params

    def se(self) -> pd.Series[float]:
        """Standard errors, by the name that pyfixest uses."""
        return self.bse

    def tidy(self, alpha: float = 0.05) -> pd.DataFrame:
        """One row per term: estimate, SE, t, p and interval."""
        import pandas as pd

        interval = self.conf_int(alpha)
        return pd.DataFrame(
            {
                "Estimate": self.params,
                "Std. Error": self.bse,
                "t value": self.tvalues,
                "Pr(>|t|)": self.pvalues,
                "lower": interval["lower"],
                "upper": interval["upper"],
            }
        )

    def predict(self, exog: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Probabilities at rows of regressors, constant included; the sample's by default.

        Raises
        ------
        DesignError
            Where separated: the probabilities are 0, 1 or unknown.
        """
        if self.separated:
            raise DesignError("no prediction from a separated fit: its estimates are infinite")
        x = self.exog if exog is None else np.asarray(exog, float)
        return sigmoid(x @ self.params.to_numpy())

    def summary(self) -> str:
        """The table that people read first."""
        kind = "Fractional logit (quasi-likelihood)" if self.fractional else "Binary logit"
        head = [
            f"{kind} of {self.outcome}",
            f"runs {self.nobs} (left out {self.dropped})   log-likelihood {self.llf:.4f}   "
            f"pseudo R2 {self.prsquared:.4f}",
            f"covariance {self.vcov}, small-sample factor {self.ssc}",
        ]
        if self.clusters is not None:
            few = " (few: intervals are approximate)" if self.clusters < _FEW_CLUSTERS else ""
            head.append(f"clusters {self.clusters}{few}, t with {self.df:.0f} degrees of freedom")
        if self.separated:
            head.append(
                "SEPARATED: the maximum does not exist; infinite estimates are shown as inf"
            )
        return "\n".join([*head, "", self.tidy().to_string(float_format=lambda v: f"{v:.5g}")])

    def _repr_html_(self) -> str:
        head, _, _ = self.summary().partition("\n\n")
        return f"<pre>{head}</pre>{self.tidy().to_html(float_format=lambda v: f'{v:.5g}')}"


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
    FewClustersWarning
        With fewer than 10 clusters.

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
    found = newton(x, y)
    bread = np.asarray(np.linalg.inv(found.information), np.float64)
    scores = x * (y - sigmoid(x @ found.params))[:, None]
    cov, name, clusters = _covariance(bread, scores, vcov, groups, ssc)
    import pandas as pd

    return LogitResults(
        params=pd.Series(found.params, index=list(terms)),
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
    raise UsageError(
        f"no covariance {vcov!r}{nearest(vcov, ('iid', 'HC0', 'HC1', 'CRV1'))}: use 'iid', 'HC0', "
        "'HC1' or {'CRV1': column}"
    )


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
    scaled = x / np.maximum(np.abs(x).max(axis=0), 1e-300)
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
    y, x, terms, outcome = _matrices(formula, data)
    name, groups = _split_vcov(vcov, data)
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
    y, x, terms, outcome = _matrices(formula, data)
    if not np.isin(y, (0.0, 1.0)).all():
        raise DesignError(f"{outcome!r} is not 0/1: use fraclogit for fractions")
    name, groups = _split_vcov(vcov, data)
    return fit(y, x, terms, vcov=name, groups=groups, ssc=ssc, outcome=outcome)


def _split_vcov(vcov: Vcov, data: pd.DataFrame) -> tuple[str, Any]:
    if isinstance(vcov, str):
        return vcov, None
    if len(vcov) != 1:
        raise UsageError(f"vcov={vcov} must name one covariance and one column")
    ((name, column),) = vcov.items()
    if column not in data.columns:
        raise DesignError(
            f"no column {column!r} to cluster by{nearest(column, [str(c) for c in data.columns])}"
        )
    if data[column].isna().any():
        raise DesignError(f"column {column!r} to cluster by has missing values")
    return name, data[column].to_numpy()


def _matrices(
    formula: str, data: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str], str]:
    import formulaic
    from formulaic.errors import FormulaicError

    try:
        model = formulaic.model_matrix(formula, data, na_action="raise")
        y, x = model.lhs, model.rhs
    except (FormulaicError, NameError, AttributeError, ValueError) as error:
        known = [str(c) for c in data.columns]
        missing = [v for v in _variables(formula) if v not in known]
        if missing:
            raise DesignError(
                f"formula {formula!r}: no column {missing[0]!r}{nearest(missing[0], known)}"
            ) from None
        raise DesignError(
            f"formula {formula!r} cannot be read: {str(error).splitlines()[0]}"
        ) from None
    if y.shape[1] != 1:
        raise DesignError(f"formula {formula!r}: the outcome must be one numeric column")
    terms = ["const" if t == "Intercept" else str(t) for t in x.columns]
    return y.to_numpy(float)[:, 0], x.to_numpy(float), terms, str(y.columns[0])


def _variables(formula: str) -> list[str]:
    import formulaic
    from formulaic.errors import FormulaicError

    try:
        return sorted(map(str, formulaic.Formula(formula).required_variables))
    except FormulaicError:
        return []
