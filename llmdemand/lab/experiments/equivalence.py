"""Whether the mean of choice converges to the mean of belief."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import DesignError
from llmdemand.lab.ask import Ask, Respondent, study_of
from llmdemand.lab.result import COLOUR, Result, axes, evidence
from llmdemand.modeling.outcomes.frames import demand_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["EquivalenceResult", "asks", "by_price", "chi_square", "equivalence", "read"]

_LEVEL = 0.01


@dataclass(frozen=True)
class EquivalenceResult(Result):
    """Mean choice against mean belief.

    Attributes
    ----------
    prices : pandas.DataFrame
        ``price, runs, mean_choice, mean_belief, difference, mc_error`` (standard deviation of
        the difference if beliefs are right: ``sqrt(sum b (1 - b)) / runs``), ``z`` and, where
        it is known, ``truth``.
    growth : pandas.DataFrame
        ``runs, rms_difference, rms_mc_error, max_difference`` over prices, of the first runs.
    chi2, pvalue : float
        Sum of z^2 over prices with any randomness, and its p-value.
    df : int
        Those prices.
    max_pvalue : float
        Of the largest ``|z|`` among so many.
    """

    prices: pd.DataFrame
    growth: pd.DataFrame
    chi2: float
    df: int
    pvalue: float
    max_pvalue: float

    name: ClassVar[str] = "equivalence"
    title: ClassVar[str] = "Asymptotic equivalence: mean choice against mean belief"
    files: ClassVar[Mapping[str, str]] = {"prices": "prices", "growth": "growth"}

    @property
    def holds(self) -> bool:
        """Whether no difference is shown at the 1 % level."""
        return bool(self.pvalue >= _LEVEL)

    @property
    def verdict(self) -> str:
        """The test in words."""
        table = self.prices
        k = int(np.argmax(table["difference"].abs().to_numpy()))
        row = table.iloc[k]
        said = (
            f"With {int(table['runs'].max()):,} runs at each of {len(table)} prices, mean choice "
            f"and mean belief differ by at most {abs(row['difference']):.4f} (at "
            f"{row['price']:g}), {abs(row['z']):.2f} times its Monte Carlo error of "
            f"{row['mc_error']:.4f}; chi-square {self.chi2:.1f} on {self.df} degrees of freedom, "
            f"p = {self.pvalue:.3g}. The largest |z| of {self.df} has p = {self.max_pvalue:.3g}."
        )
        if self.holds:
            return f"No difference can be shown at the 1 % level. {said}"
        return f"Belief and choice do NOT have the same mean. {said}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Difference by price, with 95 % Monte Carlo bands."""
        ax = axes(ax)
        t = self.prices
        ax.axhline(0, color="0.4", lw=0.8)
        band = 1.96 * t["mc_error"]
        ax.fill_between(
            t["price"], -band, band, color="0.6", alpha=0.3, lw=0, label="95 % Monte Carlo band"
        )
        ax.plot(
            t["price"],
            t["difference"],
            "o",
            color=COLOUR["belief"],
            label="mean choice minus mean belief",
        )
        ax.set(
            xlabel="price",
            ylabel="difference of shares",
            title=f"{int(t['runs'].max()):,} runs per price: p = {self.pvalue:.2g}",
        )
        ax.legend(frameon=False, fontsize=8)
        return ax


def asks(study: Study | str = "pampers", *, runs: int = 1000) -> tuple[Ask, ...]:
    """One panel of many runs per price."""
    return (Ask("panel", study_of(study), runs),)


def equivalence(
    backend: Respondent | None = None,
    *,
    study: Study | str = "pampers",
    runs: int = 1000,
    seed: int = 1,
) -> EquivalenceResult:
    """Ask many runs at every price and compare the means of choice and of belief.

    Given its belief b a run's choice is Bernoulli(b), so that differences have mean 0 and
    variance ``b (1 - b)`` whatever the law of b: ``z = sum(y - b) / sqrt(sum b (1 - b))``.

    Parameters
    ----------
    backend : Respondent, optional
        The known-truth consumer by default.
    study : Study or str
        The design.
    runs, seed : int
        Runs per cell, and the seed of the panel.

    Returns
    -------
    EquivalenceResult

    Raises
    ------
    DesignError
        If no run is usable.

    Examples
    --------
    >>> equivalence(runs=50).holds
    True
    """
    who = backend or Respondent()
    (ask,) = asks(study, runs=runs)
    panel = who.panels([ask], seed)["panel"]
    truth = who.truth(ask)
    found = read(panel, seed=seed)
    if truth is not None:
        focal = panel.study.focal
        shares = pd.Series(
            {c.prices[focal]: truth.truth(c)[focal] for c in panel.study.cells()}, name="truth"
        )
        if len(shares) == len(panel.study.cells()):  # one cell per price: no averaging to do
            found.prices.insert(4, "truth", found.prices["price"].map(shares))
    return found


def read(panel: Panel, *, seed: int = 0) -> EquivalenceResult:
    """The comparison on a panel that is there already; see `equivalence`."""
    from scipy import stats

    table = by_price(panel)
    chi2, df = chi_square(table)
    worst = float(np.nanmax(table["z"].abs())) if df else float("nan")
    frame = panel.frame
    growth = []
    most = int(frame["replicate"].max()) + 1
    for runs in sorted({n for n in (10, 30, 100, 300, 1000, 3000) if n < most} | {most}):
        part = by_price(panel, frame["replicate"].to_numpy() < runs)
        growth.append(
            {
                "runs": runs,
                "rms_difference": float(np.sqrt((part["difference"] ** 2).mean())),
                "rms_mc_error": float(np.sqrt((part["mc_error"] ** 2).mean())),
                "max_difference": float(part["difference"].abs().max()),
            }
        )
    return EquivalenceResult(
        evidence(panel),
        seed,
        table,
        pd.DataFrame(growth),
        chi2,
        df,
        float(stats.chi2.sf(chi2, df)) if df else float("nan"),
        float(-np.expm1(df * np.log1p(-2 * stats.norm.sf(worst)))) if df else float("nan"),
    )


def by_price(panel: Panel, rows: Sequence[bool] | np.ndarray | None = None) -> pd.DataFrame:
    """Means of choice and belief by price, their difference and its Monte Carlo error.

    Parameters
    ----------
    panel : Panel
        Runs; those with status ``ok`` enter.
    rows : mask, optional
        Which rows of the panel to use.

    Returns
    -------
    pandas.DataFrame
        ``price, runs, mean_choice, mean_belief, difference, mc_error, z``; z is infinite
        where certain beliefs did not come true, NaN where they did.

    Raises
    ------
    DesignError
        If no run is usable.
    """
    frame = demand_frame(panel)
    if rows is not None:
        kept = pd.Series(np.asarray(rows, bool), index=panel.frame.index)
        frame = frame[kept.reindex(frame.index)]
    if frame.empty:
        raise DesignError(f"no usable run among {len(panel)}: there is nothing to compare")
    noise = frame["belief"] * (1 - frame["belief"])
    data = frame.assign(noise=noise).groupby("price")
    runs = data.size()
    gap = (data["choice"].sum() - data["belief"].sum()).to_numpy()
    sd = np.sqrt(data["noise"].sum().to_numpy())
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(np.abs(gap) < 1e-9, np.where(sd > 0, 0.0, np.nan), gap / sd)
    return pd.DataFrame(
        {
            "price": runs.index.to_numpy(float),
            "runs": runs.to_numpy(),
            "mean_choice": data["choice"].mean().to_numpy(),
            "mean_belief": data["belief"].mean().to_numpy(),
            "difference": gap / runs.to_numpy(),
            "mc_error": sd / runs.to_numpy(),
            "z": z,
        }
    )


def chi_square(table: pd.DataFrame) -> tuple[float, int]:
    """Sum of squared z over prices with any randomness, and how many these are."""
    z = table["z"].dropna().to_numpy(float)
    return float((z**2).sum()), len(z)
