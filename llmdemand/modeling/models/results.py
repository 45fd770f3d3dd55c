"""What a fitted logit says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells, sigmoid
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.likelihood.sets import ChoiceSets
from llmdemand.modeling.quantities import curves, margins, pricing, responses, welfare, worth
from llmdemand.modeling.sample.designs import Design

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.modeling.inference.hypotheses import TestResult
    from llmdemand.modeling.inference.restrictions import Hypothesis
    from llmdemand.modeling.optimum.firth import LRTest
    from llmdemand.modeling.scoring.calibration_curve import Calibration
    from llmdemand.modeling.scoring.scores import Scores
    from llmdemand.modeling.variance.score_bootstrap import ScoreInterval, ScoreTest
    from llmdemand.modeling.variance.vcov import SSC, Covariance

__all__ = ["LogitResults"]


@dataclass(frozen=True)
class LogitResults:
    """A fitted logit: binary, fractional, multinomial or conditional.

    Attributes
    ----------
    params : pandas.Series, (K,)
        Coefficients by term, ``const`` for the intercept, ``term:alternative`` where each
        alternative has its own; -inf or inf along a separating direction.
    cov : pandas.DataFrame, (K, K)
        Covariance of `params`; infinite on the diagonal where separated.
    kind : str
        ``Binary logit``, ``Fractional logit``, ``Multinomial logit``, ``Conditional logit``.
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

    # Demand quantities: functions of a fit, here as its methods.
    shares = responses.shares
    elasticity = responses.elasticity
    marginal_effects = responses.marginal_effects
    diversion = responses.diversion
    demand_curve = curves.demand_curve
    simulate = curves.simulate
    willingness_to_pay = worth.willingness_to_pay
    consumer_surplus = welfare.consumer_surplus
    optimal_price = pricing.optimal_price
    get_margeff = margins.get_margeff

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors by term."""
        import pandas as pd

        with np.errstate(invalid="ignore"):
            return pd.Series(np.sqrt(np.diag(self.cov)), index=self.params.index)

    @property
    def tvalues(self) -> pd.Series[float]:
        """``params / bse``; NaN where separated or where the SE is zero."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = self.params / self.bse
        return found.where(np.isfinite(found))

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values by the t law with `df` degrees of freedom."""
        import pandas as pd
        from scipy import stats

        return pd.Series(2 * stats.t.sf(np.abs(self.tvalues), self.df), index=self.params.index)

    def conf_int(
        self, alpha: float = 0.05, kind: Literal["wald", "profile"] = "wald"
    ) -> pd.DataFrame:
        """Intervals with columns ``lower`` and ``upper``.

        Parameters
        ----------
        alpha : float
            One minus the confidence level.
        kind : str
            ``wald``: estimate -+ t * SE, the whole line where separated. ``profile``: the
            values that a (penalised) likelihood-ratio test at `alpha` does not reject; it
            is the likelihood's own, so it knows nothing of robust covariances.

        Raises
        ------
        UsageError
            For an impossible `alpha` or `kind`; profiles of fractional outcomes, whose
            likelihood ratios have no known law.
        """
        import pandas as pd
        from scipy import stats

        if not 0 < alpha < 1:
            raise UsageError(f"alpha={alpha:g}: give one minus the confidence level, as 0.05")
        if kind == "profile":
            return self._profiles(alpha)
        if kind != "wald":
            raise UsageError(f"kind={kind!r}: use 'wald' or 'profile'")
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

        self._need_likelihood("a profile interval")
        rows = profile_intervals(self.data, self.params.to_numpy(), alpha, firth=self.firth)
        return pd.DataFrame(rows, columns=["lower", "upper"], index=self.params.index)

    def _need_likelihood(self, what: str) -> None:
        if self.fractional:
            raise UsageError(
                f"{self.outcome!r} is fractional, so its likelihood is a quasi-likelihood and "
                f"{what} has no known law: use Wald statistics with a robust covariance"
            )
        if self.data.weights_vary or self.clusters is not None:
            reason = "clusters" if self.clusters is not None else "sampling weights"
            raise UsageError(
                f"{what} takes observations for independent and equally informative, which "
                f"{reason} deny: use wald_test, or score_bootstrap with clusters"
            )

    @property
    def fractional(self) -> bool:
        """Whether the outcome takes values strictly between 0 and 1."""
        return self.data.fractional

    @property
    def weights(self) -> Array:
        """Observations times sampling weight of each case of `frame`, (N,)."""
        data = self.data
        assert isinstance(data, Cells | Cases)
        return data.count * data.weight

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

    def predict(self, data: Any = None) -> Array:
        """Probabilities.

        Parameters
        ----------
        data : pandas.DataFrame or array, optional
            New rows; a data frame goes through the formula. By default the sample, with
            equal rows merged (`frame`).

        Returns
        -------
        array
            Binary: (N,). Conditional: one per row. Multinomial: (N, J), the alternatives
            in the design's order.

        Raises
        ------
        DesignError
            Where separated: the probabilities are 0, 1 or unknown.
        """
        if self.separated:
            raise DesignError(
                "no prediction from a separated fit: its estimates are infinite; "
                "fit with separation='firth'"
            )
        b = self.params.to_numpy()
        if self.design is None or isinstance(data, np.ndarray):
            own = self.data
            if not isinstance(own, Cells):
                raise UsageError("predict: give a data frame for a model of several alternatives")
            return sigmoid((own.x if data is None else np.asarray(data, float)) @ b)
        frame = self.frame if data is None else data
        assert frame is not None
        rows = self.design.expand(frame)
        if self.design.outside:
            return sigmoid(rows.x @ b)
        found = ChoiceSets(rows.start, len(rows.x)).shares(rows.x @ b)
        wide = self.kind == "Multinomial logit"
        return found.reshape(-1, len(self.design.alternatives)) if wide else found

    def wald_test(self, hypothesis: Hypothesis) -> TestResult:
        """Wald test of linear hypotheses, as ``"price = -0.5"``: see `hypotheses.wald_test`."""
        from llmdemand.modeling.inference.hypotheses import wald_test

        return wald_test(self, hypothesis)

    def score_bootstrap(
        self, hypothesis: Hypothesis, cluster: str | None = None, **options: Any
    ) -> ScoreTest:
        """Test linear hypotheses with few clusters: see `score_bootstrap.score_bootstrap`.

        Parameters
        ----------
        hypothesis : str, list of str, array, or (R, r)
            As in `wald_test`.
        cluster : str, optional
            A cluster column of the fit; the first one by default.
        **options
            ``reps``, ``seed``, ``weights`` (``rademacher``, ``webb``, ``mammen``).
        """
        from llmdemand.modeling.inference.restrictions import restrictions
        from llmdemand.modeling.variance.score_bootstrap import score_bootstrap

        matrix, value, _ = restrictions(list(self.params.index), hypothesis)
        group = self._cluster(cluster)
        return score_bootstrap(self.data, matrix, value, group, firth=self.firth, **options)

    def score_interval(
        self, term: str, cluster: str | None = None, **options: Any
    ) -> ScoreInterval:
        """Interval with few clusters, by inverting `score_bootstrap`: see its module."""
        from llmdemand.modeling.variance.score_bootstrap import score_interval

        group, index = self._cluster(cluster), self._index(term)
        params = self.params.to_numpy()
        return score_interval(self.data, params, index, group, firth=self.firth, **options)

    def _cluster(self, name: str | None) -> str:
        known = list(self.data.groups)
        if name is None and known:
            return known[0]
        if name is None or name not in known:
            found = f"has the clusters {', '.join(known)}, not {name!r}" if known else "has none"
            raise UsageError(
                f"this needs clusters, and the fit {found}: use vcov={{'CRV1': column}}"
            )
        return name

    def _index(self, term: str) -> int:
        known = list(self.params.index)
        if term not in known:
            raise UsageError(f"no term {term!r}{nearest(term, known)}: use {', '.join(known)}")
        return known.index(term)

    def lr_test(self, terms: str | Sequence[str]) -> LRTest:
        """(Penalised) likelihood-ratio test that coefficients are zero: see `firth.lr_test`.

        Raises
        ------
        UsageError
            For an unknown term, or a fractional outcome.
        """
        from llmdemand.modeling.optimum.firth import lr_test

        self._need_likelihood("a likelihood ratio")
        asked = [terms] if isinstance(terms, str) else list(terms)
        return lr_test(self.data, [self._index(t) for t in asked], firth=self.firth)

    def score_test(self, added: str | Array, data: Any = None) -> TestResult:
        """Score test of terms that are left out: see `score_tests.score_test`."""
        from llmdemand.modeling.inference.score_tests import score_test

        return score_test(self, added, data)

    def scores(self, data: Any = None, **options: Any) -> Scores:
        """Log score, Brier score and the like, in or out of sample: see `scoring.scores`."""
        from llmdemand.modeling.scoring.scores import scores

        return scores(self, data, **options)

    def calibration(self, bins: int = 10, data: Any = None) -> Calibration:
        """Observed shares by predicted share: see `calibration_curve.calibration`."""
        from llmdemand.modeling.scoring.calibration_curve import calibration

        return calibration(self, bins, data)

    def draws(self, reps: int = 999, seed: int = 1, cluster: str | None = None) -> Array:
        """Coefficients of bootstrap samples (pairs, by cluster where there is one), (reps, K).

        Samples without an estimate are rows of NaN.

        Parameters
        ----------
        reps, seed : int
            Number of samples, and their seed.
        cluster : str, optional
            A cluster column of the fit; the first one by default.
        """
        from llmdemand.modeling.variance.bootstrap import pairs_bootstrap

        group = self._cluster(cluster) if cluster or self.data.groups else None
        return pairs_bootstrap(
            self.data, self.params.to_numpy(), group, reps=reps, seed=seed, firth=self.firth
        ).params

    def to_statsmodels(self) -> Any:
        """The same fit by statsmodels, for its toolbox.

        Returns
        -------
        statsmodels results
            ``GLM`` with the binomial family, its covariance the classical one; estimates
            agree with ours to 1e-8. Cells of equal rows enter with frequency weights.

        Raises
        ------
        UsageError
            For models of several alternatives, Firth's estimates, sampling weights, and
            separated data.
        """
        import statsmodels.api as sm

        data = self.data
        if not isinstance(data, Cells) or self.firth or self.separated or (data.weight != 1).any():
            raise UsageError(
                "statsmodels has this estimator for binary and fractional outcomes only, "
                "without Firth's penalty, sampling weights or separation"
            )
        import pandas as pd

        x = pd.DataFrame(data.x, columns=self.params.index)
        y = pd.Series(data.mean, name=self.outcome)
        model = sm.GLM(y, x, family=sm.families.Binomial(), freq_weights=data.count)
        return model.fit(tol=1e-14, maxiter=200, scale=1.0)

    @property
    def title(self) -> str:
        """What the model is, in words."""
        firth = ", Firth's penalised likelihood" if self.firth else ""
        quasi = " (quasi-likelihood)" if self.fractional else ""
        return f"{self.kind}{quasi} of {self.outcome}{firth}"

    def summary(self, alpha: float = 0.05) -> str:
        """The table that people read first."""
        head = [
            self.title,
            f"observations {self.nobs:.12g} (left out {self.dropped})   "
            f"log-likelihood {self.llf:.4f}   pseudo R2 {self.prsquared:.4f}",
            f"covariance {self.vcov}, small-sample factor {self.ssc}"
            + ("" if self.clusters is not None else ", normal law"),
        ]
        if self.weighting != "none":
            head.append(f"weights {self.weighting}")
        if self.clusters is not None:
            head.append(f"clusters {self.clusters}, t with {self.df:.0f} degrees of freedom")
        if self.separated:
            head.append(
                "SEPARATED: the maximum does not exist; infinite estimates are shown as inf"
            )
        head += [f"note: {note}" for note in self.notes]
        table = self.tidy(alpha).to_string(float_format=lambda v: f"{v:.5g}")
        return "\n".join([*head, "", table])

    def _repr_html_(self) -> str:
        from html import escape

        head, _, _ = self.summary().partition("\n\n")
        return f"<pre>{escape(head)}</pre>{self.tidy().to_html(float_format=lambda v: f'{v:.5g}')}"
