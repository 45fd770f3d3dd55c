"""How much estimates of belief and of choice vary between experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.lab.ask import Ask, Respondent, study_of
from llmdemand.lab.repeated import Experiments, jackknife_ratio
from llmdemand.lab.result import COLOUR, Result, axes, evidence, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SpreadResult", "asks", "read", "spread"]


@dataclass(frozen=True)
class SpreadResult(Result):
    """Variances over independent experiments, choice against belief.

    Attributes
    ----------
    shares : pandas.DataFrame
        By price: ``price, experiments, mean_choice, mean_belief, var_choice, var_belief,
        ratio`` (choice / belief) with its 95 % interval ``lower, upper``.
    coefficient : pandas.DataFrame
        One row for the price coefficient: ``experiments, both`` (in which both estimates
        exist), ``separated_choice, separated_belief`` (shares), ``sd_choice, sd_belief,
        ratio, lower, upper``.
    size : int
        Runs per price in an experiment.
    """

    shares: pd.DataFrame
    coefficient: pd.DataFrame
    size: int

    name: ClassVar[str] = "variance"
    title: ClassVar[str] = "Variance: estimates over independent experiments"
    files: ClassVar[Mapping[str, str]] = {"shares": "shares", "coefficient": "coefficient"}

    @property
    def holds(self) -> bool:
        """Whether choice varies more: the interval of the coefficient's ratio lies above 1."""
        return bool(self.coefficient["lower"].iloc[0] > 1)

    @property
    def verdict(self) -> str:
        """The ratios in words."""
        row = self.coefficient.iloc[0]
        ratios = self.shares["ratio"].dropna()
        by_price = (
            f" The variance of the share at a price is {ratios.median():.1f} times as large from "
            f"choice (median of the {len(ratios)} of {len(self.shares)} prices with a ratio, "
            f"{ratios.min():.1f} to {ratios.max():.1f})."
            if len(ratios)
            else ""
        )
        lead = "Belief varies less." if self.holds else "It is NOT shown that belief varies less."
        out = (
            f"{lead} Over {int(row['experiments'])} experiments of {self.size} runs, the variance "
            f"of the price coefficient from choice is {row['ratio']:.1f} times that from belief "
            f"(95 % interval {row['lower']:.1f} to {row['upper']:.1f}).{by_price}"
        )
        if row["separated_choice"] > 0:
            out += (
                f" Choice is separated in {percent(row['separated_choice'])} of the experiments; "
                "they are left out of the ratio, which flatters choice."
            )
        return out

    def plot(self, ax: Axes | None = None) -> Axes:
        """Ratio of the variances of the share by price, and of the coefficient."""
        ax = axes(ax)
        t, row = self.shares.dropna(subset="ratio"), self.coefficient.iloc[0]
        error = np.abs(t[["lower", "upper"]].to_numpy().T - t["ratio"].to_numpy())
        ax.errorbar(
            t["price"],
            t["ratio"],
            error,
            fmt="o",
            color=COLOUR["belief"],
            lw=1,
            label="share at a price, 95 % interval",
        )
        if np.isfinite(row["ratio"]):
            ax.axhline(row["ratio"], color=COLOUR["choice"], label="price coefficient")
            ax.axhspan(row["lower"], row["upper"], color=COLOUR["choice"], alpha=0.15, lw=0)
        ax.axhline(1, color="0.4", lw=0.8)
        ax.set(
            xlabel="price",
            ylabel="variance from choice / variance from belief",
            title=f"{int(row['experiments'])} experiments of {self.size} runs",
            yscale="log",
        )
        # Where choices are rare an interval may leave the figure; it is in the table.
        ax.set_ylim(0.5, 4 * max(2.0, float(np.nanmax([*t["ratio"], row["upper"], 1.0]))))
        ax.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
        ax.minorticks_off()
        ax.legend(frameon=False, fontsize=8)
        return ax


def asks(
    study: Study | str = "pampers", *, experiments: int = 100, runs: int = 5
) -> tuple[Ask, ...]:
    """One panel that holds all experiments, as blocks of replicates."""
    if experiments < 3 or runs < 1:
        raise UsageError(
            f"experiments={experiments}, runs={runs}: give at least 3 experiments of 1 run"
        )
    return (Ask("panel", study_of(study), experiments * runs),)


def spread(
    backend: Respondent | None = None,
    *,
    study: Study | str = "pampers",
    experiments: int = 100,
    runs: int = 5,
    seed: int = 1,
) -> SpreadResult:
    """Repeat a small experiment with fresh runs and compare how estimates vary.

    Parameters
    ----------
    backend, study, seed
        See `llmdemand.lab.experiments.equivalence.equivalence`.
    experiments, runs : int
        Number of experiments, and runs per cell in each. No run is used twice.

    Returns
    -------
    SpreadResult

    Raises
    ------
    UsageError
        For fewer than 3 experiments or 1 run.
    DesignError
        If no run is usable, or there is one price only.

    Examples
    --------
    >>> spread(experiments=20).holds
    True
    """
    (ask,) = asks(study, experiments=experiments, runs=runs)
    panel = (backend or Respondent()).panels([ask], seed)["panel"]
    return read(panel, runs=runs, seed=seed)


def read(panel: Panel, *, runs: int = 5, seed: int = 0) -> SpreadResult:
    """The comparison on a panel of many runs; see `spread`."""
    data = Experiments.of(panel, runs)
    means = {o: data.means(o) for o in ("choice", "belief")}
    rows = []
    for k, price in enumerate(data.price):
        there = data.n[:, k] > 0
        y, b = means["choice"][there, k], means["belief"][there, k]
        ratio = jackknife_ratio(y, b)
        rows.append(
            {
                "price": float(price),
                "experiments": int(there.sum()),
                "mean_choice": _mean(y),
                "mean_belief": _mean(b),
                "var_choice": _var(y),
                "var_belief": _var(b),
                **dict(zip(("ratio", "lower", "upper"), ratio, strict=True)),
            }
        )
    fits = {o: data.fit(o) for o in ("choice", "belief")}
    both = fits["choice"].exists & fits["belief"].exists
    slope = {o: fits[o].slope[both] for o in fits}
    ratio = jackknife_ratio(slope["choice"], slope["belief"])
    coefficient = {
        "experiments": len(both),
        "both": int(both.sum()),
        **{f"separated_{o}": float(1 - fits[o].exists.mean()) for o in fits},
        **{f"sd_{o}": float(np.sqrt(_var(slope[o]))) for o in fits},
        **dict(zip(("ratio", "lower", "upper"), ratio, strict=True)),
    }
    return SpreadResult(
        evidence(panel), seed, pd.DataFrame(rows), pd.DataFrame([coefficient]), runs
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _var(values: np.ndarray) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else float("nan")
