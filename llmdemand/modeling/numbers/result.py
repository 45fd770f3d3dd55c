"""What fits of quantities and ratings have in common: coefficients, their covariance, a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.numbers.answers import Answers, about
from llmdemand.modeling.numbers.likelihoods import Maximum, Rows, maximum
from llmdemand.modeling.printed import Printed, with_notes
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.variance.clusters import cluster_codes
from llmdemand.modeling.variance.covariance import covariance
from llmdemand.modeling.variance.estimated import Estimated
from llmdemand.modeling.variance.noise import noted
from llmdemand.modeling.variance.vcov import SSC, parse_vcov

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NumberFit", "at_the_top", "estimated"]

# Within-cell share of the variance below which runs of a prompt count as one.
_NEARLY_CONSTANT = 0.001
_CUT = 1e-3  # share of belief in the largest quantity that is said


@dataclass(frozen=True, repr=False)
class NumberFit(Printed):
    """A regression of a quantity or a rating.

    Attributes
    ----------
    data : Answers
        What was fitted, and the formula.
    rows : Rows
        The likelihood.
    at : Maximum
        Estimates, in the order of `terms`.
    estimated : Estimated
        Their covariance.
    ssc : str
        Small-sample factor.
    terms : tuple of str
        Names of the estimates.
    llnull : float
        Log-likelihood without regressors.
    extra : tuple of str
        Further notes.
    """

    data: Answers
    rows: Rows
    at: Maximum
    estimated: Estimated
    ssc: SSC
    terms: tuple[str, ...]
    llnull: float
    extra: tuple[str, ...] = ()

    kind = "regression"

    @property
    def alternative(self) -> str:
        """The product whose price it is."""
        return self.data.product

    @property
    def unit(self) -> str:
        """Unit of prices."""
        return self.data.unit

    @property
    def outcome(self) -> str:
        """``belief`` or ``choice``."""
        return self.data.outcome

    @property
    def nobs(self) -> int:
        """Runs that entered."""
        return len(self.data.frame)

    @property
    def dropped(self) -> int:
        """Runs of the panel that did not enter."""
        return self.data.total - self.nobs

    @property
    def vcov(self) -> str:
        """Name of the covariance."""
        return self.estimated.name

    @property
    def df(self) -> float:
        """Degrees of freedom of t; infinite without clusters.

        Of corrected beliefs at most those of the runs that change their mind, less one.
        """
        changes = self.data.changes or 0
        return float(min(self.estimated.df, changes - 1) if changes > 1 else self.estimated.df)

    @property
    def llf(self) -> float:
        """Log (quasi-)likelihood."""
        return self.at.llf

    @cached_property
    def params(self) -> pd.Series[float]:
        """Estimates by name."""
        import pandas as pd

        return pd.Series(self.at.params, index=list(self.terms), name="coef")

    @cached_property
    def bse(self) -> pd.Series[float]:
        """Standard errors by name; NaN where the variance is negative."""
        import pandas as pd

        variance = np.diag(self.estimated.cov)
        se = np.sqrt(np.where(variance >= 0, variance, np.nan))
        return pd.Series(se, index=list(self.terms), name="se")

    @property
    def tvalues(self) -> pd.Series[float]:
        """Estimates over standard errors; NaN where the data hold no noise."""
        return self.params / self.bse.where(self.bse > 0)

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided, by t with `df` degrees of freedom (normal if infinite)."""
        import pandas as pd
        from scipy import stats

        values = 2 * stats.t.sf(np.abs(self.tvalues.to_numpy()), self.df)
        return pd.Series(values, index=list(self.terms), name="p")

    def cov_params(self) -> pd.DataFrame:
        """Covariance of the estimates."""
        import pandas as pd

        return pd.DataFrame(self.estimated.cov, list(self.terms), list(self.terms))

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Intervals of confidence 1 - alpha, columns ``lower`` and ``upper``."""
        import pandas as pd

        reach = self._t(alpha) * self.bse
        return pd.DataFrame({"lower": self.params - reach, "upper": self.params + reach})

    def coef(self) -> pd.Series[float]:
        """The estimates, as pyfixest names them."""
        return self.params

    def se(self) -> pd.Series[float]:
        """The standard errors, as pyfixest names them."""
        return self.bse

    def tidy(self) -> pd.DataFrame:
        """One row per coefficient: ``coef, se, t, p, lower, upper``."""
        import pandas as pd

        parts = [self.params, self.bse, self.tvalues.rename("t"), self.pvalues]
        return pd.concat([*parts, self.conf_int()], axis=1)

    def _t(self, alpha: float = 0.05) -> float:
        from scipy import stats

        if not 0 < alpha < 1:
            raise UsageError(f"alpha={alpha}: give a number between 0 and 1, as 0.05")
        return float(stats.t.ppf(1 - alpha / 2, self.df))

    @property
    def price_sensitivity(self) -> float:
        """The price coefficient, where price enters linearly.

        Raises
        ------
        UsageError
            If it does not: one number does not describe it.
        """
        if "price" not in self.params.index:
            raise UsageError(
                f"no coefficient 'price' among {', '.join(self.terms)}: sensitivity changes with "
                "the price; ask for elasticity()"
            )
        return float(self.params["price"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the numbers."""
        weights = self.data.weights
        said = [f"sampling weights: {weights}"] if weights else []
        if self.dropped:
            said.append(
                f"{self.dropped:,} of {self.data.total:,} runs do not enter: see panel.statuses"
            )
        if self.nobs <= self.rows.size:
            said.append("as many coefficients as runs: standard errors say nothing")
        quiet = noted(self.estimated.quiet, self.terms, self.outcome)
        return (*said, *self.data.notes, *self.extra, *self.estimated.notes, *quiet)

    def _facts(self) -> list[str]:
        """Lines above the table."""
        return []

    def summary(self) -> str:
        """What was fitted, the coefficients, and what they rest on."""
        data = self.data
        lines = [
            f"{self.kind} for {data.product}: {about(data)}",
            f"formula: {data.formula}; price in {data.unit}",
            f"runs: {self.nobs:,}; standard errors: {self.vcov}, factor "
            f"{self.estimated.factor}" + (f", t({self.df:g})" if np.isfinite(self.df) else ""),
            *self._facts(),
            "",
            self.tidy().to_string(float_format=lambda v: f"{v:.5g}"),
        ]
        return with_notes(lines, self.notes)

    def __str__(self) -> str:
        return self.summary()

    def asked(self, price: float | Sequence[float] | None) -> list[float]:
        """The prices that are asked for; those of the data by default."""
        if price is None:
            return [float(p) for p in self.data.prices]
        found = [float(p) for p in np.atleast_1d(np.asarray(price, np.float64))]
        if not found or not all(np.isfinite(p) and p > 0 for p in found):
            raise UsageError(f"price={price}: give positive numbers in {self.unit}")
        return found

    def quantity(
        self,
        name: str,
        at: Mapping[str, Sequence[Any]],
        found: Sequence[tuple[float, Array]],
        unit: str,
        *,
        scale: str = "plain",
        alpha: float = 0.05,
        rule: str | None = None,
        notes: Sequence[str] = (),
    ) -> Quantity:
        """Estimates with intervals by the delta method, from their derivatives.

        `scale` says where intervals are symmetric: ``plain``, ``log`` or ``logit``.
        """
        import pandas as pd

        values = np.array([v for v, _ in found])
        gradient = np.stack([g for _, g in found])
        with np.errstate(invalid="ignore", divide="ignore"):
            se = np.sqrt(np.einsum("mk,kl,ml->m", gradient, self.estimated.cov, gradient))
            forth, back, slope = _SCALES[scale]
            middle, reach = forth(values), self._t(alpha) * se * slope(values)
            lower, upper = back(middle - reach), back(middle + reach)
        table = pd.DataFrame({**at, "estimate": values, "se": se, "lower": lower, "upper": upper})
        if rule is None:
            others = len(self.data.scenes()[0])
            rule = "one price" if others == 1 else f"over {others} kinds of respondents, weighted"
        how = {"plain": "", "log": ", in logarithms", "logit": ", in log-odds"}[scale]
        kind = "t" if np.isfinite(self.df) else "normal"
        ci = f"{100 * (1 - alpha):g} %, delta method{how}, {kind}"
        return Quantity(name, table, rule, ci, unit, tuple(notes), gradient)


def _same(v: Array) -> Array:
    return v


def _logit(v: Array) -> Array:
    return np.log(v) - np.log1p(-v)


def _expit(v: Array) -> Array:
    from scipy.special import expit

    return np.asarray(expit(v))


_Transform = Callable[[Array], Array]
_SCALES: dict[str, tuple[_Transform, _Transform, _Transform]] = {
    "plain": (_same, _same, np.ones_like),
    "log": (np.log, np.exp, lambda v: 1 / v),
    "logit": (_logit, _expit, lambda v: 1 / (v * (1 - v))),
}


def estimated(
    data: Answers, rows: Rows, at: Maximum, vcov: Any, ssc: SSC, cluster: str
) -> Estimated:
    """The covariance that was asked for, or the design's own.

    By default clustered by the study's own column where it has personas, else by cell where the
    outcome hardly varies between the runs of a prompt, and HC1 otherwise: as `fit_demand`.

    Raises
    ------
    UsageError
        For kinds that need a refit or leverages.
    """
    asked = parse_vcov(_default(data, cluster) if vcov is None else vcov)
    one_way = asked.kind == "CRV3" and len(asked.columns) == 1
    if not one_way and asked.kind not in ("iid", "HC0", "HC1", "CRV1", "within", "score"):
        raise UsageError(
            f"vcov {asked.kind} is not there for quantities and ratings: use iid, HC0, HC1, "
            "{'CRV1': column}, {'CRV3': column} (one), {'within': 'cell'} or {'score': column}"
        )
    rows = replace(rows, groups=data.codes(asked.columns))
    if one_way:
        return _jackknifed(rows, at, asked.columns[0])
    return covariance(rows, at.params, at.information, asked, ssc)


def _jackknifed(rows: Rows, at: Maximum, column: str) -> Estimated:
    """``(G-1)/G sum_g (b_g - b)(b_g - b)'``, b_g the estimate without cluster g."""
    codes, clusters = cluster_codes(rows, column)
    found = np.array(
        [maximum(rows.weighted((codes != g) * 1.0), at.params).params for g in range(clusters)]
    )
    away = found - at.params
    cov = (clusters - 1) / clusters * (away.T @ away)
    name = f"CRV3 (clusters: {column})"
    return Estimated(cov, name, "(G-1)/G", clusters, clusters - 1, ())


def _default(data: Answers, cluster: str) -> Any:
    if cluster != "cell":
        return {"CRV1": cluster}
    number = data.number
    grouped = data.frame.assign(_number=number).groupby("cell")["_number"]
    replicated = bool(data.frame["cell"].duplicated().any())
    within = float(grouped.var(ddof=0).mean())
    constant = within < _NEARLY_CONSTANT * float(np.var(number))
    return {"CRV1": "cell"} if replicated and constant else "HC1"


def at_the_top(data: Answers) -> tuple[str, ...]:
    """What is said where quantities are cut at the largest answer."""
    share = float(data.weight @ data.law[:, -1] / (data.weight @ data.read))
    if share < _CUT:
        return ()
    top = int(data.values[-1])
    return (
        f"{100 * share:.3g} % of the answers are the largest one, {top}: quantities beyond are "
        f"cut there, and what is fitted is the mean of min(quantity, {top}); where that is much, "
        "ask again with a larger question.max",
    )
