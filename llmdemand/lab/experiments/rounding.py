"""Round prices: how often a tick in demand is found, where there is one and where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import DesignError, UsageError
from llmdemand.lab.ask import Ask, Respondent
from llmdemand.lab.experiments import spread
from llmdemand.lab.repeated import Experiments, wilson
from llmdemand.lab.result import COLOUR, MARKER, Result, axes, evidence, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["UPTICKS", "RoundPricesResult", "asks", "read", "round_prices"]

#: Log-odds by which the known-truth consumer likes round prices more.
UPTICKS = (0.0, 0.1, 0.2, 0.4, 0.8)
_AS_IS = "as it answers"
_LEVEL = 0.05


@dataclass(frozen=True)
class RoundPricesResult(Result):
    """Tests of upticks at round prices, over independent experiments.

    Attributes
    ----------
    table : pandas.DataFrame
        By uptick and outcome: ``uptick`` (log-odds; NaN where a model answers), ``outcome,
        experiments, tested`` (number in which the test exists), ``mean`` and ``sd`` of the
        estimated uptick, ``rejected`` (share of those tested, at 5 %) with its 95 % Wilson
        interval ``lower, upper``; ``pooled, pooled_se, pooled_p`` from all runs together.
    size : int
        Runs per price in an experiment.
    step : float
        Prices that are multiples of it are round.
    """

    table: pd.DataFrame
    size: int
    step: float

    name: ClassVar[str] = "round-prices"
    title: ClassVar[str] = "Round prices: upticks tested"
    files: ClassVar[Mapping[str, str]] = {"tests": "table"}

    @property
    def null(self) -> pd.DataFrame:
        """Rows of a consumer without an uptick: there the share rejected is the test's size."""
        return self.table[self.table["uptick"] == 0]

    @property
    def holds(self) -> bool:
        """Size: the intervals of the rejections under the null hold 5 %.

        Where a model answers: whether both outcomes agree that there is an uptick or none.
        """
        null = self.null
        if len(null):
            return bool(((null["lower"] <= _LEVEL) & (null["upper"] >= _LEVEL)).all())
        return bool((self.table["pooled_p"] < _LEVEL).nunique() == 1)

    @property
    def verdict(self) -> str:
        """Size and power in words."""
        if not len(self.null):
            return self._of_a_model()
        parts = []
        for row in self.null.to_dict("records"):
            parts.append(
                f"{row['outcome']} {percent(row['rejected'])} ({percent(max(row['lower'], 0.0))} "
                f"to {percent(row['upper'])})"
            )
        lead = "The test keeps its size" if self.holds else "The test does NOT keep its size"
        power = []
        for value, part in self.table[self.table["uptick"] > 0].groupby("uptick"):
            shares = ", ".join(
                f"{r['outcome']} {percent(r['rejected'])}" for r in part.to_dict("records")
            )
            power.append(f"{value:g}: {shares}")
        return (
            f"{lead}: without an uptick it rejects at 5 % in {' and '.join(parts)} of experiments "
            f"with {self.size} runs per price. Power by uptick in log-odds: {'; '.join(power)}."
        )

    def _of_a_model(self) -> str:
        parts = [
            f"{r['outcome']}: {r['pooled']:.3f} (SE {r['pooled_se']:.3f}, p = {r['pooled_p']:.3g})"
            for r in self.table.to_dict("records")
        ]
        found = bool((self.table["pooled_p"] < _LEVEL).any())
        lead = "Demand ticks at round prices" if found else "No tick at round prices can be shown"
        agree = "" if self.holds else " The two outcomes do NOT agree."
        return (
            f"{lead} (log-odds at multiples of {self.step:g}, all runs): {'; '.join(parts)}.{agree}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Share of experiments that reject, by uptick."""
        ax = axes(ax)
        for outcome, part in self.table.groupby("outcome"):
            x = part["uptick"].fillna(0.0)
            error = np.abs(part[["lower", "upper"]].to_numpy().T - part["rejected"].to_numpy())
            ax.errorbar(
                x,
                part["rejected"],
                error,
                fmt=MARKER[str(outcome)] + "-",
                color=COLOUR[str(outcome)],
                ms=5,
                capsize=3,
                label=str(outcome),
            )
        ax.axhline(_LEVEL, color="0.4", lw=0.8, ls="--", label="nominal 5 %")
        ax.set(
            xlabel="true uptick at round prices (log-odds)",
            ylabel="share of experiments that reject",
            title=f"{self.table['experiments'].iloc[0]} experiments of {self.size} runs per price",
            ylim=(-0.02, 1.05),
        )
        ax.legend(frameon=False, fontsize=8)
        return ax


def asks(
    study: Study | str = "pampers",
    *,
    experiments: int = 100,
    runs: int = 5,
    upticks: Sequence[float] = UPTICKS,
    step: float = 5.0,
    known: bool = True,
) -> tuple[Ask, ...]:
    """One panel per uptick, or one panel where a model answers."""
    if not upticks:
        raise UsageError("upticks is empty: give log-odds, 0 for the size of the test")
    (ask,) = spread.asks(study, experiments=experiments, runs=runs)
    if not known:
        return (Ask(_AS_IS, ask.study, ask.runs),)
    return tuple(
        Ask(f"{u:g}", ask.study, ask.runs, {"round_price_uptick": u, "round_to": step})
        for u in upticks
    )


def round_prices(
    backend: Respondent | None = None,
    *,
    study: Study | str = "pampers",
    experiments: int = 100,
    runs: int = 5,
    upticks: Sequence[float] = UPTICKS,
    step: float = 5.0,
    seed: int = 1,
) -> RoundPricesResult:
    """Test for a tick at round prices in many small experiments: size and power.

    Each experiment fits ``logit E[y] = a + b price + g [price is round]`` and rejects
    ``g = 0`` at 5 % (Wald, HC1, normal law).

    Parameters
    ----------
    backend : Respondent, optional
        The known-truth consumer by default, with one panel for each uptick. Another model is
        asked once, and tested as it is.
    study : Study or str
        The design.
    experiments, runs : int
        Number of experiments, and runs per cell in each. No run is used twice.
    upticks : sequence of float
        Log-odds; 0 gives the size.
    step : float
        Multiples of it are round.
    seed : int
        Of each panel: the panels of all upticks share their randomness, run for run.

    Returns
    -------
    RoundPricesResult

    Raises
    ------
    UsageError
        For fewer than 3 experiments, 1 run, or no uptick.
    DesignError
        If no price is round, or every price is.

    Examples
    --------
    >>> found = round_prices(experiments=20, runs=5, upticks=[2])
    >>> rejected = dict(zip(found.table["outcome"], found.table["rejected"]))
    >>> bool(rejected["belief"] > rejected["choice"])
    True
    """
    who = backend or Respondent()
    wanted = asks(
        study, experiments=experiments, runs=runs, upticks=upticks, step=step, known=who.known
    )
    return read(who.panels(wanted, seed), runs=runs, step=step, seed=seed)


def read(
    panels: Mapping[str, Panel], *, runs: int = 5, step: float = 5.0, seed: int = 0
) -> RoundPricesResult:
    """The tests on panels by uptick; see `round_prices`."""
    rows = []
    for name, panel in panels.items():
        uptick = float("nan") if name == _AS_IS else float(name)
        parts, whole = Experiments.of(panel, runs), Experiments.of(panel)
        x = _regressors(whole.price, step)
        rows += [_row(uptick, o, parts, whole, x) for o in ("belief", "choice")]
    return RoundPricesResult(
        evidence(next(iter(panels.values()))), seed, pd.DataFrame(rows), runs, step
    )


def _regressors(price: np.ndarray, step: float) -> np.ndarray:
    if not (np.isfinite(step) and step > 0):
        raise UsageError(f"step={step:g}: give a positive number in the study's unit, such as 5")
    # Prices are decimal fractions: 3.3 is a multiple of 0.1, though not in binary.
    is_round = np.abs(price / step - np.round(price / step)) < 1e-9
    if is_round.all() or not is_round.any():
        raise DesignError(
            f"{int(is_round.sum())} of {len(price)} prices are multiples of {step:g}: there must "
            "be some that are and some that are not; give another step"
        )
    return np.column_stack([np.ones(len(price)), price, is_round])


def _row(
    uptick: float, outcome: str, parts: Experiments, whole: Experiments, x: np.ndarray
) -> dict[str, Any]:
    from scipy import stats

    fit, all_ = parts.fit(outcome, x=x), whole.fit(outcome, x=x)
    tested = np.isfinite(fit.se_robust[:, 2]) & (fit.se_robust[:, 2] > 0)
    estimate = fit.params[tested, 2]
    critical = stats.norm.ppf(1 - _LEVEL / 2)
    hits = int((np.abs(estimate) > critical * fit.se_robust[tested, 2]).sum())
    count = int(tested.sum())
    pooled, se = float(all_.params[0, 2]), float(all_.se_robust[0, 2])
    return {
        "uptick": uptick,
        "outcome": outcome,
        "experiments": len(tested),
        "tested": count,
        "mean": float(estimate.mean()) if count else float("nan"),
        "sd": float(estimate.std(ddof=1)) if count > 1 else float("nan"),
        "rejected": hits / count if count else float("nan"),
        **dict(zip(("lower", "upper"), wilson(hits, count), strict=True)),
        "pooled": pooled,
        "pooled_se": se,
        "pooled_p": float(2 * stats.norm.sf(abs(pooled / se))) if se > 0 else float("nan"),
    }
