"""What a fitted logit says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError
from llmdemand.modeling.newton import sigmoid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LogitResults"]

_FEW_CLUSTERS = 30


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
        """McFadden's ``1 - llf / llnull``; NaN where the outcome is one constant."""
        return 1 - self.llf / self.llnull if self.llnull else float("nan")

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
