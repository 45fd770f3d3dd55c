"""What a calibration says: four estimates of one target, and what the LLM was worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.target import Target
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import LOGIT
from llmdemand.modeling.quantities import curves, pricing, responses, welfare, worth
from llmdemand.modeling.sample.designs import Design

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["CalibratedDemand", "Calibration", "LogitFit"]


@dataclass(frozen=True)
class LogitFit:
    """Coefficients of a logit with their covariance, of which every demand quantity can be asked.

    Attributes
    ----------
    params : pandas.Series, (K,)
        Coefficients by term.
    cov : pandas.DataFrame, (K, K)
        Their covariance.
    df : float
        Degrees of freedom of the reference t law.
    design : Design
        From data frames to regressors.
    frame : pandas.DataFrame
        The cases over which quantities are averaged.
    weights : array
        Their weights.
    outcome : str
        Name of the outcome.
    """

    params: pd.Series[float]
    cov: pd.DataFrame
    df: float
    design: Design = field(repr=False)
    frame: pd.DataFrame = field(repr=False)
    weights: Array = field(repr=False)
    outcome: str

    separated = False
    kernel = LOGIT
    converged = True

    shares = responses.shares
    elasticity = responses.elasticity
    marginal_effects = responses.marginal_effects
    diversion = responses.diversion
    demand_curve = curves.demand_curve
    simulate = curves.simulate
    willingness_to_pay = worth.willingness_to_pay
    consumer_surplus = welfare.consumer_surplus
    optimal_price = pricing.optimal_price

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors by term."""
        import pandas as pd

        return pd.Series(np.sqrt(np.diag(self.cov)), index=self.params.index)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Intervals by term, with columns ``lower`` and ``upper``."""
        import pandas as pd
        from scipy import stats

        if not 0 < alpha < 1:
            raise UsageError(f"alpha={alpha:g}: give one minus the confidence level, as 0.05")
        half = stats.t.ppf(1 - alpha / 2, self.df) * self.bse
        return pd.DataFrame({"lower": self.params - half, "upper": self.params + half})

    def cov_params(self) -> pd.DataFrame:
        """The covariance matrix."""
        return self.cov

    def draws(self, reps: int = 999, seed: int = 1) -> Array:
        """Only a calibration knows its respondents."""
        raise UsageError(
            "bootstrap refits are made by the CalibratedDemand itself; use ci='delta' here"
        )


@dataclass(frozen=True)
class Calibration:
    """How lambda was chosen, and what it brought.

    Attributes
    ----------
    lam : float
        Weight on the LLM's correction; 0 ignores the LLM.
    lam_raw : float
        Before it was brought into [0, 1]; NaN where belief does not vary.
    rule : str
        ``tuned``, ``aipw`` or ``fixed``.
    rho : float
        PPI correlation of the target: of the humans' contributions to it with outcome and
        with belief.
    humans, llm : int
        n and N, respondents.
    n_eff : float
        ``n`` times the variance of humans alone over the calibrated one, both with the
        derivative of the target at the humans' estimate: humans that would be as precise.
    table : pandas.DataFrame
        ``lambda``, ``rho``, ``n_eff`` and ``humans saved``, with ``estimate, lower,
        upper``: percentiles of a bootstrap of respondents, the derivative of the target held.
    """

    lam: float
    lam_raw: float
    rule: str
    rho: float
    humans: int
    llm: int
    n_eff: float
    table: pd.DataFrame

    @property
    def saved(self) -> float:
        """Humans saved, ``n_eff - n``."""
        return self.n_eff - self.humans


@dataclass(frozen=True)
class CalibratedDemand(LogitFit):
    """Demand of humans, sharpened by a language model and valid whatever that model does.

    Every quantity of a fitted logit is here as a method (``elasticity``, ``demand_curve``,
    ``willingness_to_pay``, ...), and ``ci="bootstrap"`` refits on drawn respondents.

    Attributes
    ----------
    table : pandas.DataFrame
        The target by ``humans only``, ``LLM only``, ``calibrated`` and ``naive pooling`` (a
        warning: humans and LLM taken for one sample): ``estimate, se, lower, upper,
        respondents, note``.
    target : Target
        What lambda was tuned to.
    tuning : Calibration
        lambda, rho, n_eff, humans saved.
    fits : mapping of str to LogitFit
        All four fits by the table's names.
    assumptions : pandas.DataFrame
        What was checked and what cannot be: ``assumption, verdict, evidence``.
    imbalance : float
        p-value of the test that both sides' beliefs have the same mean scores.
    notes : tuple of str
        What a reader has to know besides.
    ci : str
        How the table's intervals were made.
    alpha : float
        One minus their level.
    moments : Moments
        The data.
    """

    table: pd.DataFrame
    target: Target
    tuning: Calibration
    fits: dict[str, LogitFit] = field(repr=False)
    assumptions: pd.DataFrame = field(repr=False)
    imbalance: float
    notes: tuple[str, ...]
    ci: str
    alpha: float
    moments: Moments = field(repr=False)

    @property
    def lam(self) -> float:
        """Weight on the LLM's correction."""
        return self.tuning.lam

    @property
    def rho(self) -> float:
        """PPI correlation of the target."""
        return self.tuning.rho

    @property
    def n_eff(self) -> float:
        """Humans alone that would be as precise."""
        return self.tuning.n_eff

    @property
    def humans_saved(self) -> float:
        """``n_eff - n``."""
        return self.tuning.saved

    def tidy(self, alpha: float = 0.05) -> pd.DataFrame:
        """One row per term: estimate, SE, t, p and interval of the calibrated coefficients."""
        import pandas as pd
        from scipy import stats

        t = self.params / self.bse
        return pd.DataFrame(
            {
                "Estimate": self.params,
                "Std. Error": self.bse,
                "t value": t,
                "Pr(>|t|)": 2 * stats.t.sf(np.abs(t), self.df),
                **self.conf_int(alpha),
            }
        )

    def coefficients(self) -> pd.DataFrame:
        """Coefficients and standard errors of all four fits, by term."""
        import pandas as pd

        return pd.concat(
            {k: pd.DataFrame({"coef": f.params, "se": f.bse}) for k, f in self.fits.items()}, axis=1
        )

    def draws(self, reps: int = 999, seed: int = 1) -> Array:
        """Calibrated coefficients of drawn respondents, lambda held, (reps, K).

        Both sides are drawn with replacement, respondent by respondent. Samples without an
        estimate are rows of NaN.
        """
        rng, rows = np.random.default_rng(seed), []
        for _ in range(reps):
            try:
                drawn = self.moments.resampled(rng)
                rows.append(drawn.solve(drawn.parts(self.lam), "of a drawn sample"))
            except DesignError:
                rows.append(np.full(len(self.params), np.nan))
        return np.array(rows)

    def verdict(self) -> str:
        """What calibration brought, in a sentence."""
        t = self.tuning
        if t.lam == 0:
            return (
                f"The LLM brings nothing for the {self.target.label}: the calibrated estimate is "
                f"that of the {t.humans:,} humans."
            )
        low, high = (float(v) for v in self.tuning.table.to_numpy(float)[3, 1:])
        return (
            f"{t.humans:,} humans and {t.llm:,} LLM respondents are as precise for the "
            f"{self.target.label} as {t.n_eff:,.0f} humans: {t.saved:,.0f} saved "
            f"({100 * (1 - self.alpha):g} % interval {low:,.0f} to {high:,.0f})."
        )

    def summary(self) -> str:
        """Verdict, the four estimates, lambda and its kin, coefficients and assumptions."""
        show = lambda v: f"{v:.5g}"  # noqa: E731
        design = self.moments.design if isinstance(self.moments.design, str) else "given"
        head = [
            f"Calibration of the {self.target.label} of {self.outcome}, design {design}, lambda "
            f"{self.tuning.rule}",
            self.verdict(),
            f"intervals: {self.ci}",
        ]
        parts = [
            "\n".join(head),
            self.table.to_string(float_format=show),
            self.tuning.table.to_string(float_format=show),
            "calibrated coefficients\n" + self.tidy(self.alpha).to_string(float_format=show),
            "assumptions\n"
            + "\n".join(
                f"  {r['verdict']:<17} {r['assumption']}: {r['evidence']}"
                for r in self.assumptions.to_dict("records")
            ),
        ]
        notes = "\n".join(f"note: {n}" for n in self.notes)
        return "\n\n".join([*parts, *([notes] if notes else [])])

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from html import escape

        show = lambda v: f"{v:.5g}"  # noqa: E731
        notes = "".join(f"<p>note: {escape(n)}</p>" for n in self.notes)
        tables = "".join(
            t.to_html(float_format=show) for t in (self.table, self.tuning.table, self.tidy())
        )
        return f"<p>{escape(self.verdict())}</p>{tables}{notes}"

    def to_latex(self) -> str:
        """The table of the four estimates, for booktabs."""
        shown = self.table[["estimate", "se", "lower", "upper", "respondents"]]
        lines = [
            rf"{name} & {r.estimate:.4f} & {r.se:.4f} & [{r.lower:.4f}, {r.upper:.4f}] & "
            rf"{int(r.respondents)} \\"
            for name, r in shown.iterrows()
        ]
        return "\n".join(
            [
                r"\begin{tabular}{lrrrr}",
                r"\toprule",
                rf" & estimate & SE & {100 * (1 - self.alpha):g}\,\% interval & respondents \\",
                r"\midrule",
                *lines,
                r"\bottomrule",
                r"\end{tabular}",
            ]
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """The four estimates with their intervals; naive pooling, a warning, is hollow."""
        from llmdemand.calibration.figures import estimates

        return estimates(self, ax)

    def plot_demand(self, ax: Axes | None = None) -> Axes:
        """Demand curves of humans, LLM and calibration, with the humans' shares by price."""
        from llmdemand.calibration.figures import demand

        return demand(self, ax)
