"""Belief against choice on one panel: the report."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from llmdemand.core.panel import Panel
from llmdemand.modeling.demand import Demand, fit_demand
from llmdemand.modeling.estimate import SeparationWarning
from llmdemand.reporting.precision import Precision, precision
from llmdemand.reporting.quality import Quality, quality

__all__ = ["Report", "compare"]

# A share that moves by less over the whole price range is called hardly any reaction.
_HARDLY = 0.05


@dataclass(frozen=True)
class Report:
    """Everything that is said about one panel.

    Attributes
    ----------
    panel : Panel
        The runs.
    belief, choice : Demand
        The fits on all usable runs.
    precision : Precision
        What n runs would have given.
    quality : Quality
        Statuses, masses, order effects.
    """

    panel: Panel
    belief: Demand
    choice: Demand
    precision: Precision
    quality: Quality

    @property
    def demands(self) -> tuple[Demand, Demand]:
        """Both fits, belief first."""
        return self.belief, self.choice

    def estimates(self) -> pd.DataFrame:
        """Price sensitivity and elasticity from all usable runs, one row per outcome.

        The elasticity is at the middle of the price grid.
        """
        middle = float(np.mean(self.belief.prices))
        rows = {}
        for demand in self.demands:
            interval = demand.conf_int().loc["price"]
            nothing = dict.fromkeys(("estimate", "lower", "upper"), float("nan"))
            known = not demand.separated
            elasticity = demand.elasticity(middle).table.iloc[0] if known else nothing
            rows[demand.outcome] = {
                "price_sensitivity": demand.price_sensitivity,
                "se": demand.bse["price"],
                "lower": interval["lower"],
                "upper": interval["upper"],
                "at_price": middle,
                "elasticity": elasticity["estimate"],
                "elasticity_lower": elasticity["lower"],
                "elasticity_upper": elasticity["upper"],
                "covariance": _covariance_name(demand),
            }
        return pd.DataFrame(rows).T.rename_axis("outcome")

    def verdict(self) -> str:
        """What the belief estimate says about the reaction to price, in words."""
        study, demand = self.panel.study, self.belief
        interval = demand.conf_int().loc["price"]
        shares = demand.demand_curve([min(demand.prices), max(demand.prices)]).table["estimate"]
        name = study.menu[study.focal].label
        numbers = (
            f"price sensitivity {demand.price_sensitivity:.4f} per unit ({study.unit}), 95 % "
            f"interval {interval['lower']:.4f} to {interval['upper']:.4f}; the share of {name} "
            f"goes from {shares.iloc[0]:.2f} at {min(demand.prices):g} to {shares.iloc[1]:.2f} at "
            f"{max(demand.prices):g}"
        )
        if interval["lower"] <= 0 <= interval["upper"]:
            return f"No reaction to price can be shown: {numbers}."
        moves = "falls" if demand.price_sensitivity < 0 else "rises"
        if abs(shares.iloc[0] - shares.iloc[1]) < _HARDLY:
            return f"This model hardly reacts to price (demand {moves}, but little): {numbers}."
        return f"Demand {moves} with price: {numbers}."

    def to_html(self, path: str | Path, *, note: str = "", command: str = "") -> None:
        """Write one self-contained page.

        Parameters
        ----------
        path : path
            The file.
        note : str
            A sentence on what kind of evidence this is, shown on top.
        command : str
            The command that made it, shown at the end.
        """
        from llmdemand.reporting.html import write_page

        write_page([(self, note)], path, command=command)

    def save(self, folder: str | Path) -> None:
        """Write ``panel.parquet``, ``tables/`` (CSV, markdown) and ``figures/`` (SVG, PNG)."""
        from llmdemand.reporting.figures import save_figures
        from llmdemand.reporting.tables import save_tables

        folder = Path(folder)
        self.panel.write(folder / "panel.parquet")
        save_tables(self, folder / "tables")
        save_figures(self, folder / "figures")

    def _repr_html_(self) -> str:
        from llmdemand.reporting.tables import estimates_table, precision_table

        return estimates_table(self).to_html(index=False) + precision_table(self).to_html(
            index=False
        )


def compare(
    panel: Panel,
    runs: Sequence[int] = (1, 2, 5, 10, 20),
    *,
    replications: int = 1000,
    tolerance: float = 0.10,
    confidence: float = 0.95,
    seed: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Report:
    """Compare what belief and choice of the same runs say about demand.

    Parameters
    ----------
    panel : Panel
        Runs of one study.
    runs, replications, tolerance, confidence, seed, progress
        See `llmdemand.reporting.precision.precision`.

    Returns
    -------
    Report
        With `to_html`, `save` and the tables.

    Raises
    ------
    DesignError
        If there is nothing to compare: no usable runs, one price.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=20, seed=1)
    >>> report = compare(panel, runs=(1, 5), replications=100)
    >>> report.verdict().startswith("Demand falls with price")
    True
    """
    with warnings.catch_warnings():
        # The report says it in the table; a warning on top would say it twice.
        warnings.simplefilter("ignore", SeparationWarning)
        belief, choice = fit_demand(panel, "belief"), fit_demand(panel, "choice")
    found = precision(
        panel,
        runs,
        replications=replications,
        tolerance=tolerance,
        confidence=confidence,
        seed=seed,
        progress=progress,
    )
    return Report(panel, belief, choice, found, quality(panel))


def _covariance_name(demand: Demand) -> str:
    fit, cluster = demand.fit, ""
    if fit.clusters is not None:
        cluster = f", {fit.clusters} clusters, t({fit.df:.0f})"
    return f"{fit.vcov}{cluster}"
