"""The data of a calibration: four estimates of one target, and what the LLM was worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.checks.laws import SameLaw
from llmdemand.calibration.checks.leakage import Leak
from llmdemand.calibration.checks.options import Prompt
from llmdemand.calibration.checks.unseen import Unseen
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.moments.tuning import RhoLaw
from llmdemand.calibration.target import Target
from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import LOGIT
from llmdemand.modeling.models.asking import Questions
from llmdemand.modeling.sample.designs import Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Calibrated", "Calibration", "LogitFit"]


@dataclass(frozen=True)
class LogitFit(Questions):
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
    quiet = ()

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
        Before it was brought to 0 or more, and to where the objective stays concave; NaN where
        belief does not vary.
    rule : str
        ``tuned``, ``aipw``, ``fixed``; ``jointly`` or ``by stratum``, with several weights.
    rho : float
        PPI correlation of the target (of the humans' contributions to it with outcome and with
        belief), less what tuning gains from noise: ``1 - (1 - rho_raw^2)(n - 1)/(n - 2)``.
    rho_raw : float
        As it is in the sample.
    humans, llm : int
        n and N, respondents.
    n_eff : float
        Humans that would be as precise: ``n`` times the variance of humans alone over the
        calibrated one, both with the derivative of the target at the humans' estimate, less what
        tuning costs (`llmdemand.calibration.moments.tuning.effective`). It may be below n.
    weights : int
        How many weights were tuned to these humans: 1, or 0 where lambda is 0 or was given; of
        several models or strata as many as have one.
    table : pandas.DataFrame
        ``lambda``, ``rho``, ``n_eff`` and ``humans saved``, with ``estimate, lower, upper``. The
        interval of rho is Fisher's, with a jackknife's error and a t law; that of n_eff follows
        from it.
    law : RhoLaw
        The sampling law of rho, for plans.
    """

    lam: float
    lam_raw: float
    rule: str
    rho: float
    rho_raw: float
    humans: int
    llm: int
    n_eff: float
    weights: int
    table: pd.DataFrame
    law: RhoLaw

    @property
    def saved(self) -> float:
        """Humans saved, ``n_eff - n``."""
        return self.n_eff - self.humans


@dataclass(frozen=True)
class Calibrated(LogitFit):
    """What figures read of a calibration; `CalibratedDemand` tells its attributes."""

    table: pd.DataFrame
    target: Target
    tuning: Calibration
    fits: dict[str, LogitFit] = field(repr=False)
    assumptions: pd.DataFrame = field(repr=False)
    imbalance: float
    laws: SameLaw
    leak: Leak
    notes: tuple[str, ...]
    ci: str
    alpha: float
    prompt: Prompt | None
    moments: Moments = field(repr=False)
    proxies: pd.DataFrame | None = None
    unseen: Unseen | None = None

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
