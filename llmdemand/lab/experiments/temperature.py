"""Belief at other temperatures, with and without tempering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.lab.ask import Ask, Respondent, study_of
from llmdemand.lab.experiments.equivalence import by_price, chi_square
from llmdemand.lab.repeated import Experiments
from llmdemand.lab.result import COLOUR, MARKER, Result, axes, evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TEMPERATURES", "TemperatureResult", "asks", "read", "temperature"]

#: 0.1 to 2.0 by 0.1.
TEMPERATURES = tuple(round(0.1 * k, 1) for k in range(1, 21))
READINGS = ("tempered", "as recorded")
_LEVEL = 0.01


@dataclass(frozen=True)
class TemperatureResult(Result):
    """Bias of belief by sampling temperature, in both readings.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per temperature and reading (``tempered``: log-probabilities taken as recorded
        before the temperature and converted to it; ``as recorded``: taken as they are):
        ``temperature, reading, runs, rms_difference`` (belief minus choice, over prices),
        ``rms_mc_error, chi2, df, pvalue, coefficient`` (price, from belief),
        ``choice_coefficient`` and ``excess`` (their ratio minus 1).
    level : float
        Of the single tests: 1 % divided by the number of temperatures.
    """

    table: pd.DataFrame
    level: float

    name: ClassVar[str] = "temperature"
    title: ClassVar[str] = "Temperature: bias of belief with and without tempering"
    files: ClassVar[Mapping[str, str]] = {"temperatures": "table"}

    def rejected(self, reading: str) -> tuple[float, ...]:
        """Temperatures at which a reading's mean is not that of choice."""
        part = self.table[self.table["reading"] == reading]
        return tuple(part.loc[part["pvalue"] < self.level, "temperature"])

    @property
    def holds(self) -> bool:
        """Whether tempered belief shows no bias at any temperature."""
        return not self.rejected("tempered")

    @property
    def verdict(self) -> str:
        """Which reading is unbiased, in words."""
        number = self.table["temperature"].nunique()
        parts = []
        for reading in READINGS:
            found = self.rejected(reading)
            part = self.table[self.table["reading"] == reading]
            worst = part.iloc[int(part["rms_difference"].argmax())]
            where = f" ({', '.join(f'{t:g}' for t in found)})" if 0 < len(found) < number else ""
            parts.append(
                f"{reading}: biased at {len(found)} of {number} temperatures{where}, belief minus "
                f"choice up to {worst['rms_difference']:.3f} (root mean square over prices, Monte "
                f"Carlo error {worst['rms_mc_error']:.3f}) at {worst['temperature']:g}"
            )
        bad = {reading: self.rejected(reading) for reading in READINGS}
        if self.holds and bad["as recorded"]:
            lead = "Tempering is needed, and enough."
        elif self.holds:
            lead = "Tempering does no harm, and nothing shows that it is needed."
        elif not bad["as recorded"]:
            lead = "These log-probabilities are already those of the sampling law: do NOT temper."
        else:
            lead = "NEITHER reading of the log-probabilities gives the mean of choice."
        return f"{lead} " + "; ".join(parts) + "."

    def plot(self, ax: Axes | None = None) -> Axes:
        """Root mean square difference by temperature, with its Monte Carlo error."""
        ax = axes(ax)
        for reading, colour in zip(READINGS, ("belief", "choice"), strict=True):
            part = self.table[self.table["reading"] == reading]
            ax.plot(
                part["temperature"],
                part["rms_difference"],
                MARKER[colour] + "-",
                color=COLOUR[colour],
                ms=4,
                label=f"belief {reading}",
            )
        part = self.table[self.table["reading"] == "tempered"]
        ax.plot(
            part["temperature"],
            part["rms_mc_error"],
            "--",
            color="0.4",
            label="expected from Monte Carlo error alone",
        )
        ax.set(
            xlabel="sampling temperature",
            ylabel="belief minus choice (RMS over prices)",
            title="Bias of belief by temperature",
        )
        ax.set_ylim(bottom=0)
        ax.legend(frameon=False, fontsize=8)
        return ax


def asks(
    study: Study | str = "pampers",
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    runs: int = 50,
) -> tuple[Ask, ...]:
    """One panel per temperature."""
    if not temperatures or not all(t > 0 for t in temperatures):
        raise UsageError(
            f"temperatures={tuple(temperatures)}: give positive ones (at 0 choice is the argmax, "
            "and no belief has its mean)"
        )
    chosen = study_of(study)
    return tuple(
        Ask(
            f"{t:g}",
            replace(chosen, sampling=replace(chosen.sampling, temperature=float(t))),
            runs,
            {"raw_logprobs": True},
            recorded=True,
            shift=k,
        )
        for k, t in enumerate(temperatures)
    )


def temperature(
    backend: Respondent | None = None,
    *,
    study: Study | str = "pampers",
    temperatures: Sequence[float] = TEMPERATURES,
    runs: int = 50,
    seed: int = 1,
) -> TemperatureResult:
    """Ask at several temperatures, and read belief with and without tempering.

    A server that records log-probabilities before the temperature T gives p, and answers are
    sampled from ``q = p^(1/T) / sum p^(1/T)``. The known-truth consumer keeps q and records
    such a p: choices do not change with T, the records do.

    Parameters
    ----------
    backend : Respondent, optional
        The known-truth consumer by default.
    study : Study or str
        The design; its temperature is replaced.
    temperatures : sequence of float
        Positive.
    runs, seed : int
        Runs per cell at each temperature, and the seed of the first panel; each further one
        has the next seed, so that temperatures are independent experiments.

    Returns
    -------
    TemperatureResult

    Raises
    ------
    UsageError
        For a temperature that is not positive.

    Examples
    --------
    >>> temperature(temperatures=[0.3, 1.0], runs=20).rejected("as recorded")
    (0.3,)
    """
    wanted = asks(study, temperatures=temperatures, runs=runs)
    return read((backend or Respondent()).panels(wanted, seed), seed=seed)


def read(panels: Mapping[str, Panel], *, seed: int = 0) -> TemperatureResult:
    """The comparison on panels named ``<T>`` and ``<T> as recorded``; see `temperature`."""
    rows = []
    for name in [n for n in panels if not n.endswith(" as recorded")]:
        rows.append(_row(float(name), "tempered", panels[name]))
        rows.append(_row(float(name), "as recorded", panels[f"{name} as recorded"]))
    table = pd.DataFrame(rows)
    level = _LEVEL / table["temperature"].nunique()
    return TemperatureResult(evidence(next(iter(panels.values()))), seed, table, level)


def _row(value: float, reading: str, panel: Panel) -> dict[str, Any]:
    from scipy import stats

    table = by_price(panel)
    chi2, df = chi_square(table)
    data = Experiments.of(panel)
    slope = {o: float(data.fit(o).slope[0]) for o in ("belief", "choice")}
    return {
        "temperature": value,
        "reading": reading,
        "runs": int(table["runs"].sum()),
        "rms_difference": float(np.sqrt((table["difference"] ** 2).mean())),
        "rms_mc_error": float(np.sqrt((table["mc_error"] ** 2).mean())),
        "chi2": chi2,
        "df": df,
        "pvalue": float(stats.chi2.sf(chi2, df)) if df else float("nan"),
        "coefficient": slope["belief"],
        "choice_coefficient": slope["choice"],
        "excess": slope["belief"] / slope["choice"] - 1 if slope["choice"] else float("nan"),
    }
