"""What a fitted logit says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from llmdemand.core.line import OneLine
from llmdemand.errors import UsageError
from llmdemand.modeling.estimation.fit import (
    Fit,
    cluster_of,
    concave,
    need_likelihood,
    need_unit_interval,
    place_of,
)
from llmdemand.modeling.inference import hypotheses, overall, score_tests, t_tests
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.models.asking import Asking
from llmdemand.modeling.scoring import calibration_curve, fitted, probabilities
from llmdemand.modeling.scoring import scores as scored
from llmdemand.modeling.tables.summary import Summary, summary
from llmdemand.modeling.variance.noise import refuse_quiet

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.modeling.inference.restrictions import Hypothesis
    from llmdemand.modeling.optimum.firth import LRTest
    from llmdemand.modeling.variance.scored import ScoreInterval, ScoreTest

__all__ = ["LogitResults"]


@dataclass(frozen=True, repr=False)
class LogitResults(OneLine, Asking):
    """A fitted logit: binary, fractional, multinomial or conditional.

    Its attributes are those of `Fit`, its quantities those of `Asking`; its other methods are
    functions of a fit in the rooms below.
    """

    @classmethod
    def of(cls, fit: Fit, **more: Any) -> Self:
        """The same fit, with its methods, and with what a subclass has besides."""
        return cls(**{f.name: getattr(fit, f.name) for f in fields(Fit)}, **more)

    # What is a function of a fit and nothing else: the documentation stands there.
    predict = probabilities.predict
    pred_table = fitted.pred_table
    scores = scored.scores
    calibration = calibration_curve.calibration
    t_test = t_tests.t_test
    wald_test = hypotheses.wald_test
    score_test = score_tests.score_test

    def cov_params(self) -> pd.DataFrame:
        """The covariance matrix."""
        return self.cov

    def coef(self) -> pd.Series[float]:
        """Coefficients, by the name that pyfixest uses."""
        return self.params

    def se(self) -> pd.Series[float]:
        """Standard errors, by the name that pyfixest uses."""
        return self.bse

    @property
    def df_model(self) -> int:
        """Coefficients less constants."""
        return overall.df_model(self)

    @property
    def llr(self) -> float:
        """Likelihood-ratio statistic against constants alone: see `overall.llr`."""
        return overall.llr(self)

    @property
    def llr_pvalue(self) -> float:
        """Its p-value, where it has a known law: see `overall.llr_pvalue`."""
        return overall.llr_pvalue(self)

    @property
    def fittedvalues(self) -> pd.Series[float] | pd.DataFrame:
        """Fitted probabilities by row of `frame`: see `fitted.fitted_values`."""
        return fitted.fitted_values(self)

    @property
    def resid(self) -> pd.Series[float] | pd.DataFrame:
        """Outcomes less fitted probabilities by row of `frame`: see `fitted.residuals`."""
        return fitted.residuals(self)

    @property
    def deviance(self) -> float:
        """Twice what the log-likelihood falls short of a perfect fit: see `fitted.deviance`."""
        return fitted.deviance(self)

    @property
    def null_deviance(self) -> float:
        """The deviance of constants alone."""
        return fitted.null_deviance(self)

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
            ``reps``, ``seed``, ``weights`` (``rademacher``, ``webb``, ``mammen``), ``executor``.
        """
        from llmdemand.modeling.inference.restrictions import restrictions
        from llmdemand.modeling.variance.score_bootstrap import score_bootstrap

        terms = list(self.params.index)
        matrix, value, _ = restrictions(terms, hypothesis)
        group = cluster_of(self, cluster)
        refuse_quiet(self.quiet, matrix, terms)
        data = concave(self, "a score bootstrap")
        return score_bootstrap(data, matrix, value, group, firth=self.firth, **options)

    def score_interval(
        self, term: str, cluster: str | None = None, **options: Any
    ) -> ScoreInterval:
        """Interval with few clusters, by inverting `score_bootstrap`: see its module."""
        from llmdemand.modeling.variance.score_bootstrap import score_interval

        group, index = cluster_of(self, cluster), place_of(self, term)
        refuse_quiet(self.quiet, np.eye(len(self.params))[[index]], list(self.params.index))
        params = self.params.to_numpy()
        data = concave(self, "a score bootstrap")
        return score_interval(data, params, index, group, firth=self.firth, **options)

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
        data = concave(self, "a likelihood ratio of terms left out")
        return lr_test(data, [place_of(self, t) for t in asked], firth=self.firth)

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

        need_unit_interval(self, "statsmodels' estimator")
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

    def summary(self, alpha: float | None = None, *, level: float | None = None) -> Summary:
        """The table that people read first: text, HTML and LaTeX, see `Summary`."""
        return summary(self, alpha, level=level, about=self._about)

    @property
    def _about(self) -> str:
        """What a summary begins with."""
        return ""

    @property
    def _line(self) -> str:
        known = list(self.params.index)
        first = ["price"] if "price" in known else known[:2]
        terms = [f"{t} {self.params[t]:.3g} ({self.bse[t]:.3g})" for t in first]
        more = len(known) - len(first)
        rest = [f"{more} more term{'s' if more > 1 else ''}"] if more else []
        what = f"{self.kind.lower()} of {self.outcome}, {self.nobs:.12g} obs"
        return ", ".join([what, *terms, *rest])

    def _repr_html_(self) -> str:
        return self.summary().to_html()
