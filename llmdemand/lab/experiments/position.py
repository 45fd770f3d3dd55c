"""Position and label bias: what fixed orders add, and which average balanced orders give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from llmdemand.core.menu import Alternative, Menu
from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import DesignError, UsageError
from llmdemand.lab.ask import Ask, Respondent, study_of
from llmdemand.lab.result import COLOUR, Result, axes, evidence
from llmdemand.modeling.batch.batch import fit_batch
from llmdemand.modeling.outcomes.frames import demand_frame
from llmdemand.simulation.backends.synthetic import published

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PositionResult", "asks", "position", "read"]

# The focal brand is shown first or second, and is called A or B.
ARMS = ("first A", "first B", "second A", "second B")
_ASK_LETTER = " Answer with its letter alone."
_LEVEL = 0.05


@dataclass(frozen=True)
class PositionResult(Result):
    """Order and label effects, and two averages over them.

    Attributes
    ----------
    effects : pandas.DataFrame
        By effect (``position``: focal brand shown first against second; ``label``: called A
        against B) and outcome: ``effect, outcome, estimate`` (log-odds), ``se`` (HC1),
        ``lower, upper`` (95 %), ``pvalue``.
    averages : pandas.DataFrame
        By price, from beliefs: ``price``, the share in every arm, ``probability`` (mean of the
        four shares), ``log_odds`` (share at the mean of the four log-odds), ``gap`` (the
        first minus the second) and its standard error ``gap_se`` (delta method).
    designs : pandas.DataFrame
        By design (each arm alone, and the balanced one): ``design, runs, mean_share``
        (over prices), ``against_balanced, indifference`` (price at which the share is one
        half, by the logit of that design).
    """

    effects: pd.DataFrame
    averages: pd.DataFrame
    designs: pd.DataFrame

    name: ClassVar[str] = "position"
    title: ClassVar[str] = "Position and label bias: fixed against balanced orders"
    files: ClassVar[Mapping[str, str]] = {
        "effects": "effects",
        "averages": "averages",
        "designs": "designs",
    }

    @property
    def holds(self) -> bool:
        """Whether neither position nor label changes belief (5 %, Bonferroni over the two)."""
        part = self.effects[self.effects["outcome"] == "belief"]
        return bool((part["pvalue"] >= _LEVEL / len(part)).all())

    @property
    def verdict(self) -> str:
        """Effects, and what they do to designs, in words."""
        part = self.effects[self.effects["outcome"] == "belief"]
        found = "; ".join(
            f"{r['effect']} {r['estimate']:+.2f} log-odds (95 % {r['lower']:.2f} to "
            f"{r['upper']:.2f})"
            for r in part.to_dict("records")
        )
        fixed = self.designs[self.designs["design"] != "balanced"]
        worst = fixed.iloc[int(fixed["against_balanced"].abs().to_numpy().argmax())]
        gap = self.averages.iloc[int(self.averages["gap"].abs().to_numpy().argmax())]
        lead = (
            "Neither position nor label is shown to matter."
            if self.holds
            else "Position or label MATTERS: balance both."
        )
        return (
            f"{lead} Effect on belief: {found}. Asking only '{worst['design']}' moves the mean "
            f"share by {worst['against_balanced']:+.3f} against the balanced design. Averages in "
            f"probability and in log-odds are different numbers: they differ by up to "
            f"{abs(gap['gap']):.3f} (at {gap['price']:g}, SE {gap['gap_se']:.3f})."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Share by price in every arm, and both averages."""
        ax = axes(ax)
        t = self.averages
        styles = (
            (COLOUR["belief"], "o"),
            (COLOUR["other"], "^"),
            (COLOUR["choice"], "s"),
            (COLOUR["fourth"], "D"),
        )
        for arm, (colour, marker) in zip(ARMS, styles, strict=True):
            ax.plot(
                t["price"],
                t[arm],
                marker,
                color=colour,
                ms=4,
                mfc="none",
                label=f"focal {arm.replace(' ', ', called ')}",
            )
        ax.plot(t["price"], t["probability"], "-", color="0.1", label="average in probability")
        ax.plot(t["price"], t["log_odds"], "--", color="0.45", label="average in log-odds")
        ax.set(
            xlabel="price",
            ylabel="share of the focal brand (belief)",
            ylim=(0, 1),
            title="Position and label bias",
        )
        ax.legend(frameon=False, fontsize=8)
        return ax


def asks(
    study: Study | str = "pampers",
    *,
    runs: int = 100,
    order_effect: float = 0.5,
    label_effect: float = 0.3,
) -> tuple[Ask, ...]:
    """Four panels: the focal brand first or second, called A or B.

    Raises
    ------
    UsageError
        If the study has not exactly one rival, or does not chat.
    """
    chosen = study_of(study)
    rivals = [a.id for a in chosen.menu.inside if a.id != chosen.focal]
    if len(rivals) != 1 or chosen.mode != "chat":
        raise UsageError(
            f"study {chosen.name!r} has {len(rivals)} rivals of {chosen.focal!r} and mode "
            f"{chosen.mode!r}: this experiment letters two brands in a chat; give such a study"
        )
    slope, middle = published(chosen.prices[chosen.focal])
    found = []
    for name in ARMS:
        place, letter = name.split()
        # A label that is worth d log-odds moves the indifference price by d / |slope|.
        worth = (0.5 if letter == "A" else -0.5) * label_effect
        consumer = {"order_effect": order_effect, "indifference": middle - worth / slope}
        found.append(Ask(name, _lettered(chosen, rivals[0], place, letter), runs, consumer))
    return tuple(found)


def position(
    backend: Respondent | None = None,
    *,
    study: Study | str = "pampers",
    runs: int = 100,
    order_effect: float = 0.5,
    label_effect: float = 0.3,
    seed: int = 1,
) -> PositionResult:
    """Ask with both orders and both labels, and see what each of them does.

    Parameters
    ----------
    backend : Respondent, optional
        The known-truth consumer by default, which is given the two effects below.
    study : Study or str
        The design; brands get letters, which are the answer.
    runs : int
        Runs per cell in each of the four arms.
    order_effect : float
        Of the known-truth consumer: log-odds of whatever is shown first, against all others.
    label_effect : float
        Of the known-truth consumer: log-odds of the focal brand when called A, minus when B.
    seed : int
        Of each panel.

    Returns
    -------
    PositionResult

    Raises
    ------
    UsageError
        If the study has not exactly one rival, or does not chat.

    Notes
    -----
    With q arms of log-odds ``v_k`` the average in probability is ``mean F(v_k)`` and that in
    log-odds ``F(mean v_k)``, F the logistic function. The first is the share over people who
    see the arms in turn, the second the share of someone without the effects; they are
    different estimands.

    Examples
    --------
    >>> position(runs=20).holds, position(runs=20, order_effect=0, label_effect=0).holds
    (False, True)
    """
    wanted = asks(study, runs=runs, order_effect=order_effect, label_effect=label_effect)
    return read((backend or Respondent()).panels(wanted, seed), seed=seed)


def read(panels: Mapping[str, Panel], *, seed: int = 0) -> PositionResult:
    """The comparison on the four panels; see `position`.

    Raises
    ------
    DesignError
        If a panel is missing, or no run of it is usable.
    """
    missing = [arm for arm in ARMS if arm not in panels]
    if missing:
        raise DesignError(f"no panel for {', '.join(missing)}: the comparison needs {ARMS}")
    parts = []
    for arm in ARMS:
        frame = demand_frame(panels[arm])
        if frame.empty:
            raise DesignError(f"no usable run in arm {arm!r}: there is nothing to compare")
        parts.append(frame[["price", "belief", "choice"]].assign(arm=arm))
    data = pd.concat(parts, ignore_index=True)
    return PositionResult(
        evidence(panels[ARMS[0]]), seed, _effects(data), _averages(data), _designs(data)
    )


def _effects(data: pd.DataFrame) -> pd.DataFrame:
    from scipy import stats

    rows: list[dict[str, Any]] = []
    for outcome in ("belief", "choice"):
        sums = data.assign(square=data[outcome] ** 2).groupby(["arm", "price"])
        table = sums.agg(
            n=(outcome, "size"), total=(outcome, "sum"), square=("square", "sum")
        ).reset_index()
        first = np.where(table["arm"].str.startswith("first"), 0.5, -0.5)
        called = np.where(table["arm"].str.endswith("A"), 0.5, -0.5)
        x = np.column_stack([np.ones(len(table)), table["price"], first, called])
        n, total, square = (table[[c]].to_numpy(float).T for c in ("n", "total", "square"))
        fit = fit_batch(x, n, total, square)
        for k, effect in ((2, "position"), (3, "label")):
            estimate, se = float(fit.params[0, k]), float(fit.se_robust[0, k])
            rows.append(
                {
                    "effect": effect,
                    "outcome": outcome,
                    "estimate": estimate,
                    "se": se,
                    "lower": estimate - 1.959964 * se,
                    "upper": estimate + 1.959964 * se,
                    "pvalue": float(2 * stats.norm.sf(abs(estimate) / se))
                    if se > 0
                    else float("nan"),
                }
            )
    return pd.DataFrame(rows)


def _averages(data: pd.DataFrame) -> pd.DataFrame:
    """Both averages over arms and the standard error of their difference."""
    grouped = data.groupby(["price", "arm"])["belief"]
    share = grouped.mean().unstack("arm")[list(ARMS)]
    error: pd.DataFrame = (grouped.std(ddof=1) / np.sqrt(grouped.size())).unstack("arm")[list(ARMS)]
    s, e = share.to_numpy(), error.to_numpy()
    with np.errstate(divide="ignore"):
        odds = np.log(s) - np.log1p(-s)
    centre = 1 / (1 + np.exp(-odds.mean(axis=1)))
    # d F(mean v) / d s_k = centre (1 - centre) / (4 s_k (1 - s_k)).
    slope = 0.25 - (centre * (1 - centre))[:, None] / (4 * s * (1 - s))
    table = share.reset_index()
    table.columns.name = None
    return table.assign(
        probability=s.mean(axis=1),
        log_odds=centre,
        gap=s.mean(axis=1) - centre,
        gap_se=np.sqrt(((slope * e) ** 2).sum(axis=1)),
    )


def _designs(data: pd.DataFrame) -> pd.DataFrame:
    rows = []
    balanced = float(data.groupby(["arm", "price"])["belief"].mean().mean())
    for name in (*ARMS, "balanced"):
        part = data if name == "balanced" else data[data["arm"] == name]
        sums = part.groupby("price")["belief"].agg(["size", "sum"])
        fit = fit_batch(
            sums.index.to_numpy(float),
            sums[["size"]].to_numpy(float).T,
            sums[["sum"]].to_numpy(float).T,
        )
        share = float(part.groupby(["arm", "price"])["belief"].mean().mean())
        rows.append(
            {
                "design": name,
                "runs": len(part),
                "mean_share": share,
                "against_balanced": share - balanced,
                "indifference": float(-fit.const[0] / fit.slope[0]),
            }
        )
    return pd.DataFrame(rows)


def _lettered(study: Study, rival: str, place: str, letter: str) -> Study:
    """The study with lettered brands in a fixed order, the letter being the answer."""
    letters = {study.focal: letter, rival: "B" if letter == "A" else "A"}
    brands = [study.focal, rival] if place == "first" else [rival, study.focal]
    inside = [
        Alternative(a, f"{letters[a]}: {study.menu[a].label}", (letters[a], *study.menu[a].forms))
        for a in brands
    ]
    outside = [a for a in study.menu if a.outside]
    return replace(
        study,
        menu=Menu((*inside, *outside)),
        user=study.user.rstrip() + _ASK_LETTER,
        orders="fixed",
        answer_first=True,
    )
