"""What a fitted logit says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.fit import Fit, cluster_of, need_likelihood, place_of
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.quantities import curves, margins, pricing, responses, welfare, worth
from llmdemand.modeling.scoring import probabilities

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.modeling.inference.hypotheses import TestResult
    from llmdemand.modeling.inference.restrictions import Hypothesis
    from llmdemand.modeling.optimum.firth import LRTest
    from llmdemand.modeling.scoring.calibration_curve import Calibration
    from llmdemand.modeling.scoring.scores import Scores
    from llmdemand.modeling.variance.score_bootstrap import ScoreInterval, ScoreTest

__all__ = ["LogitResults"]


@dataclass(frozen=True)
class LogitResults(Fit):
    """A fitted logit: binary, fractional, multinomial or conditional.

    Its attributes are those of `Fit`; its methods are functions of a fit in the rooms below.
    """

    @classmethod
    def of(cls, fit: Fit) -> LogitResults:
        """The same fit, with its methods."""
        return cls(**{f.name: getattr(fit, f.name) for f in fields(Fit)})

    # Demand quantities: functions of a fit, here as its methods.
    shares = responses.shares
    elasticity = responses.elasticity
    marginal_effects = margins.marginal_effects
    diversion = responses.diversion
    demand_curve = curves.demand_curve
    simulate = curves.simulate
    willingness_to_pay = worth.willingness_to_pay
    consumer_surplus = welfare.consumer_surplus
    optimal_price = pricing.optimal_price
    get_margeff = margins.get_margeff
    predict = probabilities.predict

    def cov_params(self) -> pd.DataFrame:
        """The covariance matrix."""
        return self.cov

    def coef(self) -> pd.Series[float]:
        """Coefficients, by the name that pyfixest uses."""
        return self.params

    def se(self) -> pd.Series[float]:
        """Standard errors, by the name that pyfixest uses."""
        return self.bse

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
        from llmdemand.modeling.variance.noise import refuse_quiet
        from llmdemand.modeling.variance.score_bootstrap import score_bootstrap

        terms = list(self.params.index)
        matrix, value, _ = restrictions(terms, hypothesis)
        group = cluster_of(self, cluster)
        refuse_quiet(self.quiet, matrix, terms)
        return score_bootstrap(self.data, matrix, value, group, firth=self.firth, **options)

    def score_interval(
        self, term: str, cluster: str | None = None, **options: Any
    ) -> ScoreInterval:
        """Interval with few clusters, by inverting `score_bootstrap`: see its module."""
        from llmdemand.modeling.variance.noise import refuse_quiet
        from llmdemand.modeling.variance.score_bootstrap import score_interval

        group, index = cluster_of(self, cluster), place_of(self, term)
        refuse_quiet(self.quiet, np.eye(len(self.params))[[index]], list(self.params.index))
        params = self.params.to_numpy()
        return score_interval(self.data, params, index, group, firth=self.firth, **options)

    def lr_test(self, terms: str | Sequence[str]) -> LRTest:
        """(Penalised) likelihood-ratio test that coefficients are zero: see `firth.lr_test`.

        Raises
        ------
        UsageError
            For an unknown term, or a fractional outcome.
        """
        from llmdemand.modeling.optimum.firth import lr_test

        need_likelihood(self, "a likelihood ratio")
        asked = [terms] if isinstance(terms, str) else list(terms)
        return lr_test(self.data, [place_of(self, t) for t in asked], firth=self.firth)

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
        model = sm.GLM(
            y, x, family=sm.families.Binomial(), freq_weights=data.count, offset=data.offset
        )
        return model.fit(tol=1e-14, maxiter=200, scale=1.0)

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
