"""A fit: numbers, data and design; what tests, scores, quantities and tables are functions of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from llmdemand.errors import UsageError, choose, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.options import alpha_of
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.likelihood.kernels import LOGIT, Kernel
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.sample.designs import Design
from llmdemand.modeling.substitution.smooth import situations
from llmdemand.modeling.variance.noise import Quiet
from llmdemand.modeling.variance.vcov import SSC, Covariance
from llmdemand.scale.executors import Executor

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Fit",
    "Fitted",
    "HasFit",
    "Kind",
    "cluster_of",
    "concave",
    "fit_of",
    "listed",
    "need_likelihood",
    "need_unit_interval",
    "place_of",
    "synonyms",
]

Kind = Literal[
    "Binary logit",
    "Fractional logit",
    "Multinomial logit",
    "Conditional logit",
    "Nested logit",
    "Mixed logit",
    "Latent class logit",
]
Interval = Literal["wald", "profile"]


@dataclass(frozen=True)
class Fit:
    """Coefficients of a demand model, their covariance, and what they were estimated from.

    Attributes
    ----------
    params : pandas.Series, (K,)
        Coefficients by term, ``const`` for the intercept, ``term:alternative`` where each
        alternative has its own; -inf or inf along a separating direction.
    cov : pandas.DataFrame, (K, K)
        Covariance of `params`; infinite on the diagonal where separated.
    kind : str
        ``Binary logit``, ``Conditional logit``, ``Nested logit``, ...: see `Kind`.
    outcome : str
        Name of the outcome.
    llf, llnull : float
        Log (quasi-)likelihood at the estimate and with constants alone. With sampling
        weights it is the weighted sum.
    nobs : float
        Observations (choice situations), frequency weights counted.
    dropped : int
        Rows left out by the caller's rule.
    vcov, ssc : str
        Names of the covariance and of its small-sample factor, for print.
    clusters : int or None
        Number of clusters, G; the smaller one of two ways.
    df : float
        Degrees of freedom of the reference t law: G - 1 with clusters, else inf.
    weighting : str
        Column and type of the weights, or ``none``.
    notes : tuple of str
        What the reader should know of the covariance.
    converged, separated : bool
        Whether the maximum was found, and whether it fails to exist.
    firth : bool
        Whether Firth's penalty was used.
    iterations : int
        Newton steps.
    data : Likelihood
        What was fitted.
    design : Design or None
        From data frames to regressors; None if fitted from arrays.
    frame : pandas.DataFrame or None
        The sample's variables, equal rows merged.
    asked : Covariance
        The covariance that was asked for, to be asked for once more.
    asked_ssc : str
        Its small-sample factor: ``stata``, ``sandwich``, ``fixest`` or ``none``.
    quiet : tuple of Quiet
        Directions in which the data vary less than rounding about the fit.
    kernel : Kernel
        From utilities to shares: all that quantities need to know of the model.
    """

    params: pd.Series[float]
    cov: pd.DataFrame
    kind: str
    outcome: str
    llf: float
    llnull: float
    nobs: float
    dropped: int
    vcov: str
    ssc: str
    clusters: int | None
    df: float
    weighting: str
    notes: tuple[str, ...]
    converged: bool
    separated: bool
    firth: bool
    iterations: int
    data: Likelihood = field(repr=False)
    design: Design | None = field(repr=False)
    frame: pd.DataFrame | None = field(repr=False)
    asked: Covariance = field(repr=False)
    asked_ssc: SSC = field(repr=False)
    quiet: tuple[Quiet, ...] = field(default=(), repr=False)
    kernel: Kernel = field(default=LOGIT, repr=False)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors by term."""
        import pandas as pd

        with np.errstate(invalid="ignore"):
            return pd.Series(np.sqrt(np.diag(self.cov)), index=self.params.index)

    @property
    def against(self) -> pd.Series[float]:
        """What t and p test the coefficients against: 0; of a dissimilarity 1, a plain logit."""
        import pandas as pd

        found = pd.Series(0.0, index=self.params.index)
        if self.kind == "Nested logit" and self.design is not None:
            found.iloc[len(self.design.terms) :] = 1.0
        return found

    @property
    def tvalues(self) -> pd.Series[float]:
        """``(params - against) / bse``; NaN where separated or where the SE is 0 (no noise)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = (self.params - self.against) / self.bse
        return found.where(np.isfinite(found))

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values by the t law with `df` degrees of freedom."""
        import pandas as pd
        from scipy import stats

        return pd.Series(2 * stats.t.sf(np.abs(self.tvalues), self.df), index=self.params.index)

    def conf_int(
        self,
        alpha: float | None = None,
        kind: Interval = "wald",
        *,
        level: float | None = None,
    ) -> pd.DataFrame:
        """Intervals with columns ``lower`` and ``upper``.

        Parameters
        ----------
        alpha, level : float, optional
            One minus the confidence level, or the level itself; 95 % by default.
        kind : str
            ``wald``: estimate -+ t * SE, the whole line where separated. ``profile``: the
            values that a (penalised) likelihood-ratio test at `alpha` does not reject; it
            is the likelihood's own, so it knows nothing of robust covariances.

        Raises
        ------
        UsageError
            For an impossible level or `kind`; profiles of fractional outcomes, whose
            likelihood ratios have no known law.
        """
        import pandas as pd
        from scipy import stats

        alpha = alpha_of(alpha, level)
        choose(kind, Interval, "kind")
        if kind == "profile":
            return self._profiles(alpha)
        half = stats.t.ppf(1 - alpha / 2, self.df) * self.bse
        if self.separated:
            infinite = pd.Series(np.inf, index=self.params.index)
            finite = np.isfinite(half)
            lower = (self.params - half).where(finite, -infinite)
            return pd.DataFrame(
                {"lower": lower, "upper": (self.params + half).where(finite, infinite)}
            )
        return pd.DataFrame({"lower": self.params - half, "upper": self.params + half})

    def _profiles(self, alpha: float) -> pd.DataFrame:
        import pandas as pd

        from llmdemand.modeling.optimum.firth import profile_intervals

        need_likelihood(self, "a profile interval")
        data = concave(self, "a profile interval")
        rows = profile_intervals(data, self.params.to_numpy(), alpha, firth=self.firth)
        return pd.DataFrame(rows, columns=["lower", "upper"], index=self.params.index)

    @property
    def fractional(self) -> bool:
        """Whether the outcome takes values strictly between 0 and 1."""
        return self.data.fractional

    @property
    def weights(self) -> Array:
        """Observations times sampling weight of each case of `frame`, (N,)."""
        data = situations(self.data)
        return data.count * data.weight

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

    def tidy(self, alpha: float | None = None, *, level: float | None = None) -> pd.DataFrame:
        """One row per term: estimate, SE, t, p and interval (of the level of `conf_int`)."""
        import pandas as pd

        interval = self.conf_int(alpha, level=level)
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

    @property
    def df_resid(self) -> float:
        """Observations less coefficients."""
        return self.nobs - len(self.params)

    def draws(
        self,
        reps: int = 999,
        seed: int = 1,
        cluster: str | None = None,
        executor: Executor = None,
    ) -> Array:
        """Coefficients of bootstrap samples (pairs, by cluster where there is one), (reps, K).

        Samples without an estimate are rows of NaN.

        Parameters
        ----------
        reps, seed : int
            Number of samples, and their seed.
        cluster : str, optional
            A cluster column of the fit; the first one by default.
        executor : None, int, str or dask.distributed.Client
            Who fits the samples, which do not depend on it.
        """
        from llmdemand.modeling.variance.bootstrap import pairs_bootstrap

        group = cluster_of(self, cluster) if cluster or self.data.groups else None
        return pairs_bootstrap(
            self.data,
            self.params.to_numpy(),
            group,
            reps=reps,
            seed=seed,
            firth=self.firth,
            executor=executor,
        ).params

    @property
    def title(self) -> str:
        """What the model is, in words."""
        firth = ", Firth's penalised likelihood" if self.firth else ""
        quasi = " (quasi-likelihood)" if self.fractional else ""
        return f"{self.kind}{quasi} of {self.outcome}{firth}"


class HasFit(Protocol):
    """A fitted demand: it has a fit underneath."""

    @property
    def fit(self) -> Fit:
        """The fit."""


Fitted = Fit | HasFit


def fit_of(fitted: Fitted) -> Fit:
    """The fit itself, or that of a demand.

    Raises
    ------
    UsageError
        For anything else.
    """
    found = fitted if isinstance(fitted, Fit) else getattr(fitted, "fit", None)
    if not isinstance(found, Fit):
        raise UsageError(
            f"{type(fitted).__name__} is no fitted logit: give what logit, fraclogit, mnlogit, "
            "clogit, nlogit or fit_demand returned"
        )
    return found


def listed(
    fits: Sequence[Fitted | Sequence[Fitted]], names: Sequence[str] | None, nothing: str
) -> tuple[list[Fit], list[str]]:
    """Fits that were given one by one or in lists, and their names: ``(1)``, ... by default.

    Raises
    ------
    UsageError
        Saying `nothing` without fits; for another number of names.
    """
    given = [f for some in fits for f in (some if isinstance(some, Sequence) else [some])]
    found = [fit_of(fit) for fit in given]
    if not found:
        raise UsageError(nothing)
    own = [f"({k + 1})" for k in range(len(found))] if names is None else list(names)
    if isinstance(names, str) or len(own) != len(found):
        raise UsageError(f"{len(own)} names for {len(found)} fits: give one name for each")
    return found, [str(name) for name in own]


def concave(fit: Fit, what: str) -> Cells | Cases:
    """The data of a plain logit.

    Raises
    ------
    UsageError
        For a nested or a mixed logit, whose likelihood is not concave.
    """
    if not isinstance(fit.data, Cells | Cases):
        raise UsageError(
            f"{what} is for plain logits, whose likelihood is concave: of a {fit.kind.lower()} use "
            "wald_test, or compare fits with compare_models and lr_test"
        )
    return fit.data


def need_likelihood(fit: Fit, what: str) -> None:
    """Refuse a likelihood ratio where it has no known law.

    Raises
    ------
    UsageError
        For fractional outcomes, clusters and sampling weights.
    """
    wald = "use wald_test with a robust or clustered covariance"
    if fit.fractional:
        raise UsageError(
            f"{fit.outcome!r} is fractional, so its likelihood is a quasi-likelihood and {what} "
            f"has no known law: {wald}, or score_test"
        )
    if fit.data.groups:
        raise UsageError(
            f"the fit is clustered by {', '.join(fit.data.groups)}, and {what} takes its "
            f"observations for independent: {wald}, or refit without clusters if they are"
        )
    if fit.data.weights_vary:
        raise UsageError(
            f"with sampling weights the likelihood is no likelihood of the sample, so {what} has "
            f"no known law: {wald}"
        )


def need_unit_interval(fit: Fit, what: str) -> None:
    """Refuse what compares single outcomes with shares where outcomes are corrected beliefs.

    Raises
    ------
    UsageError
        If they are.
    """
    if fit.data.corrected:
        raise UsageError(
            f"{what} is of outcomes in [0, 1], which corrected beliefs leave: fit the final choice "
            "(outcome 'choice'), or belief with reading='pivot'"
        )


def cluster_of(fit: Fit, name: str | None) -> str:
    """A cluster column of the fit; the first one by default.

    Raises
    ------
    UsageError
        If the fit has no such clusters.
    """
    known = list(fit.data.groups)
    if name is None and known:
        return known[0]
    if name is None or name not in known:
        found = f"has the clusters {', '.join(known)}, not {name!r}" if known else "has none"
        raise UsageError(f"this needs clusters, and the fit {found}: use vcov={{'CRV1': column}}")
    return name


def place_of(fit: Fit, term: str) -> int:
    """The place of a term among the coefficients.

    Raises
    ------
    UsageError
        For an unknown term.
    """
    known = list(fit.params.index)
    term = synonyms(known).get(term, term)
    if term not in known:
        raise UsageError(f"no term {term!r}{nearest(term, known)}: use {', '.join(known)}")
    return known.index(term)


def synonyms(terms: Sequence[str]) -> dict[str, str]:
    """Other names of terms: ``Intercept`` for ``const``, unless a term is called so.

    >>> synonyms(["price", "const:boat"])
    {'Intercept:boat': 'const:boat'}
    """
    constants = [t for t in terms if t == "const" or t.startswith("const:")]
    named = {"Intercept" + t.removeprefix("const"): t for t in constants}
    return {other: t for other, t in named.items() if other not in terms}
