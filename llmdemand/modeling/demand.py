"""Demand for one alternative from a panel: price sensitivity and elasticity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.covariance import SSC
from llmdemand.modeling.formula import Vcov
from llmdemand.modeling.logit import fraclogit, logit
from llmdemand.modeling.newton import sigmoid
from llmdemand.modeling.results import LogitResults

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Demand", "demand_frame", "fit_demand"]

Outcome = Literal["belief", "choice"]

# Within-cell share of the variance below which runs of a prompt count as one.
_NEARLY_CONSTANT = 0.001


@dataclass(frozen=True)
class Demand:
    """A fitted demand curve ``share = 1 / (1 + exp(-(const + b * price)))``.

    Attributes
    ----------
    fit : LogitResults
        The logit underneath.
    outcome : str
        ``belief`` or ``choice``.
    alternative : str
        Whose demand it is.
    unit : str
        Unit of prices.
    prices : tuple of float
        The price grid of the data.
    """

    fit: LogitResults
    outcome: str
    alternative: str
    unit: str
    prices: tuple[float, ...]

    @property
    def params(self) -> pd.Series[float]:
        """Coefficients by term."""
        return self.fit.params

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors by term."""
        return self.fit.bse

    @property
    def separated(self) -> bool:
        """Whether the maximum does not exist."""
        return self.fit.separated

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Intervals by term."""
        return self.fit.conf_int(alpha)

    @property
    def price_sensitivity(self) -> float:
        """The price coefficient: change in log-odds per unit of price."""
        return float(self.params["price"])

    def curve(self, prices: ArrayLike | None = None, alpha: float = 0.05) -> pd.DataFrame:
        """Share and its interval by price (delta method on the log-odds).

        Returns
        -------
        pandas.DataFrame
            Columns ``price, share, lower, upper``; NaN where separated.
        """
        import pandas as pd
        from scipy import stats

        p = np.linspace(min(self.prices), max(self.prices), 61) if prices is None else prices
        grid = np.atleast_1d(np.asarray(p, np.float64))
        if self.separated:
            nothing = np.full(len(grid), np.nan)
            return pd.DataFrame(
                {"price": grid, "share": nothing, "lower": nothing, "upper": nothing}
            )
        x = np.column_stack([np.ones(len(grid)), grid]).astype(np.float64)
        eta = np.asarray(x @ self.params.to_numpy(), np.float64)
        half = stats.t.ppf(1 - alpha / 2, self.fit.df) * np.sqrt(
            np.einsum("ij,jk,ik->i", x, self.fit.cov.to_numpy(), x)
        )
        return pd.DataFrame(
            {
                "price": grid,
                "share": sigmoid(eta),
                "lower": sigmoid(eta - half),
                "upper": sigmoid(eta + half),
            }
        )

    def elasticity(self, price: ArrayLike, alpha: float = 0.05) -> pd.DataFrame:
        """Own-price elasticity of the share, with a delta-method interval.

        ``e(p) = b p (1 - s(p))``; gradient ``de/dconst = -b p s (1 - s)``,
        ``de/db = p (1 - s) - b p^2 s (1 - s)``.

        Parameters
        ----------
        price : float or array
            Positive prices, in the study's unit.
        alpha : float
            One minus the confidence level.

        Returns
        -------
        pandas.DataFrame
            Columns ``price, elasticity, se, lower, upper``; NaN where separated.

        Raises
        ------
        UsageError
            For a price that is not positive.
        """
        import pandas as pd
        from scipy import stats

        p = np.atleast_1d(np.asarray(price, float))
        if not ((p > 0) & np.isfinite(p)).all():
            raise UsageError(f"elasticity at price {p.min():g}: give positive finite prices")
        if self.separated:
            value = se = np.full(len(p), np.nan)
        else:
            value, gradient = self._elasticity(p)
            se = np.sqrt(np.einsum("ij,jk,ik->i", gradient, self.fit.cov.to_numpy(), gradient))
        half = stats.t.ppf(1 - alpha / 2, self.fit.df) * se
        return pd.DataFrame(
            {
                "price": p,
                "elasticity": value,
                "se": se,
                "lower": value - half,
                "upper": value + half,
            }
        )

    def _elasticity(
        self, p: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        a, b = self.params.to_numpy()
        s = sigmoid(a + b * p)
        gradient = np.column_stack([-b * p * s * (1 - s), p * (1 - s) - b * p**2 * s * (1 - s)])
        return b * p * (1 - s), gradient

    def summary(self) -> str:
        """The logit's table, with what it is about."""
        return (
            f"Demand for {self.alternative}, outcome {self.outcome}, price in {self.unit}\n"
            + self.fit.summary()
        )

    def _repr_html_(self) -> str:
        return self.fit._repr_html_()


def demand_frame(
    panel: Panel, alternative: str | None = None, statuses: Sequence[str] = ("ok",)
) -> pd.DataFrame:
    """The rows that enter a fit: ``belief, choice`` (0/1), ``price`` and the panel's columns.

    Parameters
    ----------
    panel : Panel
        Runs.
    alternative : str, optional
        Whose demand; the study's focal alternative by default.
    statuses : sequence of str
        Rows to keep, of those that have a choice.

    Raises
    ------
    UsageError
        If the alternative is not on the menu or has no price.
    """
    name = panel.study.focal if alternative is None else alternative
    panel.study.menu.index(name)
    if name not in panel.study.prices:
        raise UsageError(
            f"alternative {name!r} has no price: use one of {', '.join(panel.study.prices)}"
        )
    kept = panel.frame["status"].isin(list(statuses)) & panel.frame["choice"].notna()
    frame = panel.frame[kept]
    return frame.assign(
        belief=frame[f"belief_{name}"],
        choice=(frame["choice"] == name).astype(float),
        price=frame[f"price_{name}"],
    )


def fit_demand(
    panel: Panel,
    outcome: Outcome = "belief",
    *,
    alternative: str | None = None,
    vcov: Vcov | None = None,
    ssc: SSC = "stata",
    statuses: Sequence[str] | None = None,
) -> Demand:
    """Fit the demand for one alternative on its own price.

    Parameters
    ----------
    panel : Panel
        Runs.
    outcome : str
        ``belief`` (fractional logit) or ``choice`` (binary logit).
    alternative : str, optional
        The study's focal alternative by default.
    vcov : str or mapping, optional
        By default clustered by the study's own cluster column where it has personas;
        else by cell where the outcome hardly varies between the runs of a prompt
        (they are then no independent evidence), and HC1 otherwise.
    ssc : str
        Small-sample factor: see `small_sample_factor`.
    statuses : sequence of str, optional
        Rows that enter; what is left out is counted in the summary. By default
        ``ok``; for choice in a panel without a single belief (a model that gives no
        log-probabilities) ``no_logprobs``.

    Returns
    -------
    Demand

    Raises
    ------
    DesignError
        No usable rows, one price, one cluster.
    UsageError
        For an unknown outcome or alternative.

    Warns
    -----
    SeparationWarning
        If the maximum does not exist.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=20, seed=1)
    >>> demand = fit_demand(panel, "belief")
    >>> bool(-0.65 < demand.price_sensitivity < -0.45)
    True
    """
    from dataclasses import replace

    if outcome not in ("belief", "choice"):
        raise UsageError(f"outcome {outcome!r}: use 'belief' or 'choice'")
    if statuses is None:
        statuses = ("ok",)
        if outcome == "choice" and panel.usable.empty:
            statuses = ("no_logprobs",)
    frame = demand_frame(panel, alternative, statuses)
    name = panel.study.focal if alternative is None else alternative
    if frame.empty:
        counts = panel.statuses[panel.statuses > 0].to_dict()
        raise DesignError(
            f"no usable run among {len(panel)} (statuses: {counts}): demand cannot be fitted; "
            "see the answers with panel.frame['text'], or try another prompt or model"
            + (
                "; without log-probabilities only choice can be fitted (outcome 'choice')"
                if counts.get("no_logprobs")
                else ""
            )
        )
    model = fraclogit if outcome == "belief" else logit
    found = model(
        f"{outcome} ~ price",
        frame,
        vcov=_default_vcov(frame, outcome, panel.study.cluster) if vcov is None else vcov,
        ssc=ssc,
    )
    found = replace(found, dropped=len(panel) - len(frame))
    return Demand(found, outcome, name, panel.study.unit, tuple(np.unique(frame["price"])))


def _default_vcov(frame: pd.DataFrame, outcome: str, cluster: str) -> Vcov:
    """See `fit_demand`: replicated prompts whose outcome is a constant are one observation."""
    if cluster != "cell":
        return {"CRV1": cluster}
    within = frame.groupby("cell")[outcome].var(ddof=0).mean()
    replicated = frame["cell"].duplicated().any()
    constant = within < _NEARLY_CONSTANT * frame[outcome].var(ddof=0)
    return {"CRV1": "cell"} if replicated and constant else "HC1"
