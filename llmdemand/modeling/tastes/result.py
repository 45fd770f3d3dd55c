"""How tastes differ between respondents: what users hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llmdemand.core.line import OneLine
from llmdemand.errors import UsageError, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.batch.choices import Choices
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.tastes.figure import distribution
from llmdemand.modeling.tastes.fitting import Entering, Fitted
from llmdemand.modeling.tastes.simulated import refitted
from llmdemand.modeling.tastes.worth import worth
from llmdemand.scale.executors import Executor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Tastes"]


@dataclass(frozen=True, repr=False, kw_only=True)
class Tastes(OneLine):
    """The law of demand coefficients over respondents, and each respondent's own.

    Attributes
    ----------
    table : pandas.DataFrame
        By coefficient: ``mean``, its ``se`` and ``lower, upper`` (t with B - 1; with Knapp and
        Hartung's factor where that is above 1); ``sd``, the spread over respondents, and
        ``sd_lower, sd_upper`` (profile of the restricted likelihood; from 0 where no spread is
        among what the data allow); ``skewness`` and its ``skewness_se``; ``reliability``, the
        share of the variance of tastes that the respondents' own answers settle, on average.
    correlations : pandas.DataFrame
        Of the coefficients over respondents.
    individuals : pandas.DataFrame
        By respondent: of each coefficient the shrunken estimate (``price``), its standard error
        (``price_se``), the own estimate and its standard error (``price_own, price_own_se``;
        NaN where there is none), and ``points, runs``, the choice sets and answers behind them.
    outcome, reading, model, alternative, formula, unit
        What was fitted; see `llmdemand.tastes`.
    price : str or None
        The price coefficient, if price enters linearly.
    noise : float
        phi: the variance of an answer, as a share of that of a toss of a coin.
    icc : float
        The same of the runs of a prompt among each other; NaN without such runs.
    level : float
        Confidence of the intervals.
    separation : str
        How respondents entered: ``law`` or ``firth``.
    converged : bool
        Whether the search ended.
    notes : tuple of str
        What a reader has to know besides.
    """

    table: pd.DataFrame
    correlations: pd.DataFrame
    individuals: pd.DataFrame
    outcome: str
    reading: str
    model: str
    alternative: str
    formula: str
    unit: str
    price: str | None
    noise: float
    icc: float
    level: float
    separation: Entering
    converged: bool
    notes: tuple[str, ...]
    fitted: Fitted = field(repr=False, compare=False)
    data: Choices = field(repr=False, compare=False)
    back: Array = field(repr=False, compare=False)
    toss: bool = False

    @property
    def respondents(self) -> int:
        """Respondents, all of whom enter."""
        return len(self.individuals)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return tuple(map(str, self.table.index))

    @property
    def params(self) -> pd.Series[float]:
        """Mean coefficients."""
        return self.table["mean"].rename(None)

    @property
    def bse(self) -> pd.Series[float]:
        """Their standard errors."""
        return self.table["se"].rename(None)

    @property
    def spread(self) -> pd.Series[float]:
        """Standard deviations of the coefficients over respondents."""
        return self.table["sd"].rename(None)

    @cached_property
    def covariance(self) -> pd.DataFrame:
        """Covariance of the coefficients over respondents."""
        found = self.back @ self.fitted.law.covariance @ self.back.T
        return pd.DataFrame(found, self.terms, self.terms)

    @property
    def _line(self) -> str:
        term = self.price or self.terms[-1]
        mean, sd = self.table.loc[term, ["mean", "sd"]]
        return (
            f"{self.respondents} respondents' demand for {self.alternative} from {self.outcome}: "
            f"{term} {mean:.4g}, spread {sd:.3g}"
        )

    def summary(self) -> str:
        """Table, correlations and notes."""
        whose = {
            "final": "of the whole answer",
            "pivot": "at the pivot",
            "stated": "as stated, which is not model belief",
            "similarity": "by similarity to anchor statements, which is not model belief",
        }[self.reading]
        lines = [
            f"Tastes of {self.respondents:,} respondents: demand for {self.alternative}, "
            f"{self.outcome} {whose}, price in {self.unit}",
            f"{self.model} of {self.formula}, each respondent's own; law by restricted maximum "
            f"likelihood, {100 * self.level:g} % intervals",
            f"noise of an answer: {self.noise:.3g} of a toss of a coin"
            + ("" if np.isnan(self.icc) else f"; between runs of a prompt {self.icc:.3g}"),
            "",
            self.table.to_string(float_format=lambda v: f"{v:.4g}"),
        ]
        if len(self.terms) > 1:
            lines += ["", "correlations", self.correlations.to_string(float_format="{:.3f}".format)]
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from html import escape

        notes = "".join(f"<p>note: {escape(n)}</p>" for n in self.notes)
        return (
            f"<p>{escape(self._line)}</p>{self.table.to_html(float_format='{:.4g}'.format)}{notes}"
        )

    def draw(self, n: int, seed: int) -> pd.DataFrame:
        """Coefficients of new respondents, drawn from the normal law.

        Parameters
        ----------
        n : int
            Respondents.
        seed : int
            Of the draws.
        """
        if n < 1:
            raise UsageError(f"n={n}: draw one respondent or more")
        values = np.random.default_rng(seed).multivariate_normal(
            self.table["mean"].to_numpy(), self.covariance.to_numpy(), n, method="eigh"
        )
        return pd.DataFrame(values, columns=list(self.terms))

    def willingness_to_pay(
        self,
        *,
        price: str | None = None,
        replications: int = 200,
        seed: int = 1,
        level: float | None = None,
        executor: Executor = None,
    ) -> Quantity:
        """The distribution over respondents of what things are worth to them.

        Parameters
        ----------
        price : str, optional
            The price coefficient; by default that of ``price``.
        replications, seed : int
            Bootstraps of respondents, and their seed.
        level : float, optional
            Of the intervals; that of the fit by default.
        executor : None, int, str or dask.distributed.Client
            Who fits the bootstraps: see `llmdemand.scale.merging.map_merge`.

        Returns
        -------
        Quantity
            Of ``-beta_k / beta_price``, for the constant of a binary logit the price at which
            the respondent is indifferent, quantiles over respondents; and the share of them
            whose price coefficient is not negative.

        Raises
        ------
        UsageError
            Without a price coefficient, or fewer than 2 replications.

        Notes
        -----
        Individual coefficients are predictions matched to the law (`shape.matched`): own
        estimates vary too much, shrunken ones too little. In each bootstrap the law is fitted
        again; what is known of each respondent stays.
        """
        price = self.price if price is None else price
        if price not in self.terms:
            raise UsageError(
                f"no price coefficient {price!r}{nearest(str(price), self.terms)} among "
                f"{', '.join(self.terms)}: what things are worth needs one; name it with price=..."
            )
        if replications < 2:
            raise UsageError(f"replications={replications}: an interval needs 2 or more, as 200")
        return worth(
            self.fitted,
            self.back,
            self.terms,
            price,
            replications=replications,
            seed=seed,
            level=self.level if level is None else level,
            unit=self.unit,
            executor=executor,
        )

    def bias(
        self, *, replications: int = 20, seed: int = 1, executor: Executor = None
    ) -> pd.DataFrame:
        """How far this estimator is off on data like these, by simulation.

        The fitted law is taken for the truth: as many respondents are drawn from it, asked at
        the same prices, answer with the same noise, and are fitted in the same way.

        Parameters
        ----------
        replications, seed : int
            Simulations, and their seed.
        executor : None, int, str or dask.distributed.Client
            Who does them: see `llmdemand.scale.merging.map_merge`.

        Returns
        -------
        pandas.DataFrame
            By coefficient: ``mean`` and ``sd`` of the law, ``mean_found`` and ``sd_found`` (the
            averages over the simulations), their Monte Carlo errors ``mean_error, sd_error``,
            and ``ratio``, sd_found / sd: below 1 the spread comes out too small.
        """
        if replications < 2:
            raise UsageError(f"replications={replications}: give 2 or more, as 20")
        means, spreads = refitted(
            self.data,
            self.fitted,
            self.back,
            choice=self.toss,
            noise=1.0 if self.toss else None,
            entering=self.separation,
            replications=replications,
            seed=seed,
            executor=executor,
        )
        error = replications**0.5
        found = self.table[["mean", "sd"]].assign(
            mean_found=means.mean(axis=0),
            mean_error=means.std(axis=0, ddof=1) / error,
            sd_found=spreads.mean(axis=0),
            sd_error=spreads.std(axis=0, ddof=1) / error,
        )
        return found.assign(ratio=found["sd_found"] / found["sd"].where(found["sd"] > 0))

    def plot(self, term: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw one coefficient: own estimates, shrunken ones, and the normal law.

        Parameters
        ----------
        term : str, optional
            The price coefficient by default.
        ax : matplotlib Axes, optional
            Where; new axes by default.
        """
        term = term or self.price or self.terms[-1]
        if term not in self.terms:
            raise UsageError(
                f"no coefficient {term!r}{nearest(term, self.terms)}: this fit has "
                f"{', '.join(self.terms)}"
            )
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(4.8, 3.6), layout="constrained").subplots()
        scale = "log-odds" if self.model == "logit" else "utility"
        return distribution(
            ax,
            term,
            self.individuals[f"{term}_own"].to_numpy(np.float64),
            self.individuals[term].to_numpy(np.float64),
            float(self.table["mean"].to_dict()[term]),
            float(self.table["sd"].to_dict()[term]),
            f"{scale} per unit of price, {self.unit}" if term == self.price else "",
        )

    def figure(self) -> Figure:
        """All coefficients, one beside the other."""
        from matplotlib.figure import Figure

        made = Figure(figsize=(4.8 * len(self.terms), 3.6), layout="constrained")
        for term, ax in zip(self.terms, np.ravel(made.subplots(1, len(self.terms))), strict=True):
            self.plot(term, ax)
        return made
