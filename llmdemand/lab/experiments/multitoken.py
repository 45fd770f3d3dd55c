"""Labels of several tokens: how often belief fails, and what it is worth there."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from llmdemand.core.menu import Alternative, Menu, MenuWarning
from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.lab.ask import Ask, Respondent, study_of
from llmdemand.lab.experiments.equivalence import by_price, chi_square
from llmdemand.lab.repeated import Experiments, wilson
from llmdemand.lab.result import COLOUR, Result, axes, evidence, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MENUS", "MultiTokenResult", "asks", "multi_token", "read"]

#: Rival's label, and whether the known-truth consumer splits labels, by condition.
MENUS = {
    "one token each": ("Huggies", False, None),
    "split labels": ("Huggies", True, None),
    "same first token": ("Pull-Ups", True, None),
    "nested names": ("Pampers Pure", True, None),
    "split, one candidate listed": ("Huggies", True, 1),
}
_LEVEL = 0.01


@dataclass(frozen=True)
class MultiTokenResult(Result):
    """Failures, bias and efficiency by menu.

    Attributes
    ----------
    table : pandas.DataFrame
        By condition: ``condition, runs, failed`` (share of runs without a usable belief) with
        its ``reasons`` (statuses) and 95 % Wilson interval ``lower, upper``, ``pivot`` (mean
        index of the pivot token), ``width`` (mean width of the focal belief's bounds),
        ``rms_difference, rms_mc_error, pvalue`` (belief against choice, as in the equivalence
        experiment), ``se_belief, se_choice`` (robust, of the price coefficient on all runs),
        ``efficiency`` (squared ratio of the two: choice runs that one belief run is worth).
    level : float
        Of the single tests: 1 % divided by the number of conditions.
    """

    table: pd.DataFrame
    level: float

    name: ClassVar[str] = "multi-token"
    title: ClassVar[str] = "Multi-token menus: failure rate and efficiency"
    files: ClassVar[Mapping[str, str]] = {"menus": "table"}

    @property
    def biased(self) -> tuple[str, ...]:
        """Conditions in which mean belief is not mean choice."""
        return tuple(self.table.loc[self.table["pvalue"] < self.level, "condition"])

    @property
    def holds(self) -> bool:
        """Whether no condition is biased and none fails in more than 5 % of runs."""
        return not self.biased and bool((self.table["failed"] <= 0.05).all())

    @property
    def verdict(self) -> str:
        """Failures and efficiency in words."""
        parts = []
        for row in self.table.to_dict("records"):
            bias = ", BIASED" if row["condition"] in self.biased else ""
            parts.append(
                f"{row['condition']}: {percent(row['failed'])} of runs without belief, one belief "
                f"run worth {row['efficiency']:.1f} choice runs{bias}"
            )
        failing = self.table.loc[self.table["failed"] > 0.05, "condition"]
        trouble = sorted({*self.biased, *failing}, key=list(self.table["condition"]).index)
        lead = (
            "Belief stays unbiased and readable on every menu."
            if not trouble
            else f"Belief FAILS or is biased here: {', '.join(trouble)}."
        )
        return f"{lead} {'; '.join(parts)}."

    def plot(self, ax: Axes | None = None) -> Axes:
        """Efficiency by condition, with failures written beside."""
        ax = axes(ax)
        t = self.table.iloc[::-1]
        colours = [
            COLOUR["choice"] if c in self.biased else COLOUR["belief"] for c in t["condition"]
        ]
        ax.barh(t["condition"], t["efficiency"], color=colours)
        for k, row in enumerate(t.to_dict("records")):
            note = f"{row['efficiency']:.1f}, {percent(row['failed'])} failed"
            note += ", biased" if row["condition"] in self.biased else ""
            ax.annotate(
                note,
                (max(row["efficiency"], 0), k),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        ax.axvline(1, color="0.4", lw=0.8)
        ax.margins(x=0.35)
        ax.set(
            xlabel="choice runs that one belief run is worth",
            title="Menus by how their labels begin",
        )
        return ax


def asks(study: Study | str = "pampers", *, runs: int = 200) -> tuple[Ask, ...]:
    """One panel per menu.

    Raises
    ------
    UsageError
        If the study does not have one focal brand, one rival with a price, and an outside
        option.
    """
    chosen = study_of(study)
    rivals = [a for a in chosen.menu.inside if a.id != chosen.focal]
    if len(rivals) != 1 or rivals[0].id not in chosen.prices:
        raise UsageError(
            f"study {chosen.name!r} has {len(rivals)} rivals of {chosen.focal!r}: this experiment "
            "renames the only rival; give a study with one"
        )
    found = []
    for name, (label, split, listed) in MENUS.items():
        asked = _renamed(chosen, rivals[0].id, label)
        if listed is not None:
            asked = replace(asked, sampling=replace(asked.sampling, top_logprobs=listed))
        found.append(Ask(name, asked, runs, {"subwords": split}))
    return tuple(found)


def multi_token(
    backend: Respondent | None = None,
    *,
    study: Study | str = "pampers",
    runs: int = 200,
    seed: int = 1,
) -> MultiTokenResult:
    """Ask the same question with rivals whose labels begin more and more like the focal one.

    The pivot is where labels part. What is decided before it (that a name begins with P) is
    no longer uncertain there, so that belief gets nearer to choice: still unbiased, but worth
    less. With one listed candidate the rivals are not seen at all.

    Parameters
    ----------
    backend : Respondent, optional
        The known-truth consumer by default, which splits labels where a condition says so; a
        model's own tokenizer decides otherwise.
    study : Study or str
        The design.
    runs, seed : int
        Runs per cell for each menu, and the seed of each panel.

    Returns
    -------
    MultiTokenResult

    Raises
    ------
    UsageError
        If the study has not exactly one rival.

    Examples
    --------
    >>> found = multi_token(runs=40).table.set_index("condition")["efficiency"]
    >>> bool(found["split labels"] > found["nested names"])
    True
    """
    return read((backend or Respondent()).panels(asks(study, runs=runs), seed), seed=seed)


def read(panels: Mapping[str, Panel], *, seed: int = 0) -> MultiTokenResult:
    """The comparison on panels by condition; see `multi_token`."""
    table = pd.DataFrame([_row(name, panel) for name, panel in panels.items()])
    return MultiTokenResult(
        evidence(next(iter(panels.values()))), seed, table, _LEVEL / max(len(table), 1)
    )


def _row(name: str, panel: Panel) -> dict[str, Any]:
    from scipy import stats

    usable, focal = panel.usable, panel.study.focal
    failed = len(panel) - len(usable)
    nothing = float("nan")
    row: dict[str, Any] = {
        "condition": name,
        "runs": len(panel),
        "failed": failed / len(panel),
        "reasons": ", ".join(f"{s} {n}" for s, n in panel.statuses.items() if n and s != "ok"),
        **dict(zip(("lower", "upper"), wilson(failed, len(panel)), strict=True)),
    }
    if usable.empty:
        empty = "pivot width rms_difference rms_mc_error pvalue se_belief se_choice efficiency"
        return {**row, **dict.fromkeys(empty.split(), nothing)}
    table = by_price(panel)
    chi2, df = chi_square(table)
    data = Experiments.of(panel)
    se = {o: float(data.fit(o).se_robust[0, 1]) for o in ("belief", "choice")}
    return {
        **row,
        "pivot": float(usable["pivot_index"].mean()),
        "width": float((usable[f"hi_{focal}"] - usable[f"lo_{focal}"]).mean()),
        "rms_difference": float(np.sqrt((table["difference"] ** 2).mean())),
        "rms_mc_error": float(np.sqrt((table["mc_error"] ** 2).mean())),
        "pvalue": float(stats.chi2.sf(chi2, df)) if df else nothing,
        "se_belief": se["belief"],
        "se_choice": se["choice"],
        "efficiency": (se["choice"] / se["belief"]) ** 2 if se["belief"] > 0 else nothing,
    }


def _renamed(study: Study, rival: str, label: str) -> Study:
    """The study with another rival's name."""
    with warnings.catch_warnings():
        # That labels begin alike is what this experiment is about.
        warnings.simplefilter("ignore", MenuWarning)
        menu = Menu(tuple(Alternative(rival, label) if a.id == rival else a for a in study.menu))
        return replace(study, menu=menu)
