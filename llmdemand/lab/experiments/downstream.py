"""What a small study concludes: the price coefficient from three runs, fifty times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import DesignError
from llmdemand.lab.ask import Ask, Respondent
from llmdemand.lab.experiments import spread
from llmdemand.lab.repeated import Experiments
from llmdemand.lab.result import COLOUR, MARKER, Result, axes, evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["DownstreamResult", "asks", "downstream", "read"]

ESTIMATORS = ("belief", "choice", "choice, Firth")
_COLOURS = {"belief": "belief", "choice": "choice", "choice, Firth": "other"}


@dataclass(frozen=True)
class DownstreamResult(Result):
    """Price coefficients over small experiments.

    Attributes
    ----------
    table : pandas.DataFrame
        By estimator: ``estimator, experiments, fitted`` (number with an estimate),
        ``separated`` (share without), ``mean, median, sd, bias, rmse, lowest, highest`` (of
        those that exist), ``within`` (share within the tolerance of the target; a separated
        experiment is a miss).
    estimates : pandas.DataFrame
        ``experiment, estimator, coefficient`` (NaN where separated).
    advantage, advantage_se : float
        ``within`` of belief minus that of choice, and its paired standard error.
    target : float
        The true coefficient where it is known, else that of belief on all runs.
    target_is : str
        Which of the two it is.
    tolerance : float
        A hit is within ``tolerance * |target|``.
    size : int
        Runs per price in an experiment.
    """

    table: pd.DataFrame
    estimates: pd.DataFrame
    advantage: float
    advantage_se: float
    target: float
    target_is: str
    tolerance: float
    size: int

    name: ClassVar[str] = "downstream"
    title: ClassVar[str] = "Downstream robustness: the price coefficient of small studies"
    files: ClassVar[Mapping[str, str]] = {"estimators": "table", "estimates": "estimates"}

    @property
    def holds(self) -> bool:
        """Whether belief hits more often than choice, by more than two standard errors."""
        return bool(self.advantage > 2 * self.advantage_se and self.advantage > 0)

    @property
    def verdict(self) -> str:
        """Who comes near the target, in words."""
        t = self.table.set_index("estimator")
        lead = (
            "Small studies are steadier on belief."
            if self.holds
            else "It is NOT shown that small studies are steadier on belief."
        )
        parts = [
            f"{name}: {100 * float(r['within']):.0f} % within {100 * self.tolerance:g} % of the "
            f"target, RMSE {r['rmse']:.3f}, {int(r['experiments'] - r['fitted'])} of "
            f"{int(r['experiments'])} separated"
            for name, r in t.iterrows()
        ]
        return (
            f"{lead} Of {int(t['experiments'].iloc[0])} experiments with {self.size} runs per "
            f"price and {self.target_is} {self.target:.3f}: {'; '.join(parts)}. Belief minus "
            f"choice: {100 * self.advantage:.0f} points (SE {100 * self.advantage_se:.0f})."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Every experiment's estimate, by estimator."""
        ax = axes(ax)
        rng = np.random.default_rng(0)
        for k, name in enumerate(ESTIMATORS):
            values = self.estimates.loc[self.estimates["estimator"] == name, "coefficient"]
            known = values.dropna()
            colour = _COLOURS[name]
            ax.plot(
                known,
                k + rng.uniform(-0.22, 0.22, len(known)),
                MARKER[colour],
                color=COLOUR[colour],
                ms=4,
                alpha=0.6,
                lw=0,
            )
            missing = len(values) - len(known)
            note = f"{missing} of {len(values)} separated: no estimate"
            if missing:
                ax.annotate(
                    note,
                    (0.01, k + 0.33),
                    xycoords=("axes fraction", "data"),
                    fontsize=8,
                    color=COLOUR[colour],
                )
        ax.axvline(self.target, color="0.3", lw=1, label=self.target_is)
        reach = self.tolerance * abs(self.target)
        ax.axvspan(
            self.target - reach,
            self.target + reach,
            color="0.6",
            alpha=0.25,
            lw=0,
            label=f"within {100 * self.tolerance:g} %",
        )
        ax.set_yticks(range(len(ESTIMATORS)), ESTIMATORS)
        ax.set(
            xlabel="price coefficient (log-odds per unit of price)",
            title=f"{self.table['experiments'].iloc[0]} experiments of {self.size} runs per price",
            ylim=(-0.5, len(ESTIMATORS) - 0.3),
        )
        ax.legend(frameon=False, fontsize=8, loc="lower left")
        return ax


def asks(
    study: Study | str = "pampers", *, experiments: int = 50, runs: int = 3
) -> tuple[Ask, ...]:
    """One panel that holds all experiments, as blocks of replicates."""
    return spread.asks(study, experiments=experiments, runs=runs)


def downstream(
    backend: Respondent | None = None,
    *,
    study: Study | str = "pampers",
    experiments: int = 50,
    runs: int = 3,
    tolerance: float = 0.25,
    seed: int = 1,
) -> DownstreamResult:
    """Repeat a study of few runs with fresh runs, and look at its price coefficients.

    Parameters
    ----------
    backend, study, seed
        See `llmdemand.lab.experiments.equivalence.equivalence`.
    experiments, runs : int
        Number of experiments, and runs per cell in each.
    tolerance : float
        A coefficient is a hit within this share of the target.

    Returns
    -------
    DownstreamResult

    Raises
    ------
    UsageError
        For fewer than 3 experiments or 1 run.
    DesignError
        If there is nothing to fit.

    Examples
    --------
    >>> found = downstream(experiments=30)
    >>> found.holds, found.target
    (True, -0.535)
    """
    who = backend or Respondent()
    (ask,) = asks(study, experiments=experiments, runs=runs)
    panel = who.panels([ask], seed)["panel"]
    truth = who.truth(ask)
    target = None if truth is None else truth.consumer.slope
    return read(panel, runs=runs, tolerance=tolerance, target=target, seed=seed)


def read(
    panel: Panel,
    *,
    runs: int = 3,
    tolerance: float = 0.25,
    target: float | None = None,
    seed: int = 0,
) -> DownstreamResult:
    """The comparison on a panel of many runs; see `downstream`.

    Raises
    ------
    DesignError
        If the target is not known and belief is separated in all runs together.
    """
    target_is = "the true coefficient"
    if target is None:
        whole = Experiments.of(panel).fit("belief")
        if not whole.exists[0]:
            raise DesignError(
                "belief is separated in all runs together, so there is no target: give target="
            )
        target, target_is = float(whole.slope[0]), "the coefficient of belief on all runs"
    data = Experiments.of(panel, runs)
    slopes = {
        "belief": data.fit("belief").slope,
        "choice": data.fit("choice").slope,
        "choice, Firth": data.fit("choice", firth=True).slope,
    }
    hits = {k: np.abs(v - target) <= tolerance * abs(target) for k, v in slopes.items()}
    gain = hits["belief"].astype(float) - hits["choice"]
    estimates = pd.concat(
        [
            pd.DataFrame({"experiment": np.arange(len(v)), "estimator": k, "coefficient": v})
            for k, v in slopes.items()
        ],
        ignore_index=True,
    )
    return DownstreamResult(
        evidence(panel),
        seed,
        pd.DataFrame([_row(k, v, hits[k], target) for k, v in slopes.items()]),
        estimates,
        float(gain.mean()),
        float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else float("nan"),
        target,
        target_is,
        tolerance,
        runs,
    )


def _row(name: str, slope: np.ndarray, hit: np.ndarray, target: float) -> dict[str, Any]:
    known = slope[np.isfinite(slope)]
    nothing = float("nan")
    return {
        "estimator": name,
        "experiments": len(slope),
        "fitted": len(known),
        "separated": 1 - len(known) / len(slope),
        "mean": float(known.mean()) if len(known) else nothing,
        "median": float(np.median(known)) if len(known) else nothing,
        "sd": float(known.std(ddof=1)) if len(known) > 1 else nothing,
        "bias": float(known.mean() - target) if len(known) else nothing,
        "rmse": float(np.sqrt(((known - target) ** 2).mean())) if len(known) else nothing,
        "lowest": float(known.min()) if len(known) else nothing,
        "highest": float(known.max()) if len(known) else nothing,
        "within": float(hit.mean()),
    }
