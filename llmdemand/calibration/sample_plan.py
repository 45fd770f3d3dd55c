"""How many humans, how many language-model respondents, and whether the latter pay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.calibrated import CalibratedDemand
from llmdemand.calibration.choosing.chosen import ChosenSample, chosen_or_none
from llmdemand.calibration.moments.tuning import FEW
from llmdemand.calibration.power import Mix, best_mix, effective_n, least_rho, llm_needed
from llmdemand.core.line import OneLine
from llmdemand.core.panel import Panel
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["SamplePlan", "plan_sample"]

_POINTS = 200  # of the curve in the figure


@dataclass(frozen=True, repr=False)
class SamplePlan(OneLine):
    """Whom to ask.

    Attributes
    ----------
    table : pandas.DataFrame
        Rows ``humans alone`` and ``humans and LLM`` (the best mix); of a pilot, which tells how
        uncertain rho is, also the best mixes at its estimate and at both ends of its interval:
        ``rho, humans, llm, llm_answers_as`` (humans and others whom the LLM answers as), ``cost,
        n_eff, se``.
    best, alone : Mix
        The cheapest (or, on a budget, most precise) mix, and humans alone.
    curve : pandas.DataFrame
        ``humans, llm, cost, n_eff`` over the number of humans: the figure.
    rho, threshold : float
        PPI correlation that is planned with, and the one above which the LLM pays.
    assurance : float or None
        Confidence with which a pilot's rho is at least that; None if rho was given.
    pays : bool
        Whether the best mix has LLM respondents.
    goal : float
        Effective humans that were asked for; of a budget, those that it buys.
    axis : str
        ``cost``, or ``n_eff`` on a budget: what the figure shows.
    reached : bool
        False if the budget does not buy the goal that was given with it.
    se : float
        Standard error of the target by the plan; NaN without a pilot.
    target : str
        What is estimated, in words.
    gamma : float
        Cost of an LLM respondent over that of a human.
    choice : ChosenSample or None
        Whom to ask, where a pool was given to choose from.
    """

    table: pd.DataFrame
    best: Mix
    alone: Mix
    curve: pd.DataFrame
    rho: float
    threshold: float
    pays: bool
    goal: float
    axis: str
    reached: bool
    se: float
    target: str
    gamma: float
    assurance: float | None = None
    choice: ChosenSample | None = None

    def verdict(self) -> str:
        """Whether the LLM pays, in a sentence."""
        compared = (
            f"rho {self.rho:.3g}, and LLM respondents pay above {self.threshold:.3g} "
            f"(one costs {self.gamma:.3g} of a human)"
            if math.isfinite(self.threshold)
            else f"an LLM respondent costs {self.gamma:.3g} humans, and pays at no correlation"
        )
        if self.assurance is not None:
            compared += (
                f"; with {100 * self.assurance:g} % assurance rho is at least that, the pilot's "
                f"estimate is {self.table['rho'].iloc[2]:.3g}"
            )
        short = "" if self.reached else " The budget does not reach the goal."
        if not self.pays:
            return f"Ask humans alone, {self.alone.humans:,}: {compared}.{short}"
        if self.axis == "cost":
            gain = 1 - self.best.cost / self.alone.cost
            word = f"costs {100 * gain:.0f} % less than {self.alone.humans:,} humans alone"
        else:
            gain = self.best.n_eff / self.alone.n_eff - 1
            word = f"is worth {100 * gain:.0f} % more humans than {self.alone.humans:,} alone"
        return (
            f"Ask {self.best.humans:,} humans and the LLM as {self.best.humans + self.best.llm:,} "
            f"respondents (those and {self.best.llm:,} more): that {word}; {compared}.{short}"
        )

    def summary(self) -> str:
        """Verdict and table."""
        shown = self.table.to_string(float_format=lambda v: f"{v:,.5g}", na_rep="-")
        whom = "" if self.choice is None else f"\n{self.choice.verdict()}"
        return f"Sample plan for the {self.target}\n{self.verdict()}{whom}\n\n{shown}"

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from html import escape

        shown = self.table.to_html(float_format=lambda v: f"{v:,.5g}", na_rep="-")
        return f"<p>{escape(self.verdict())}</p>{shown}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Cost (or effective humans, on a budget) by the number of humans."""
        from llmdemand.calibration.figures import respondents

        return respondents(self.curve, self.best, self.alone, self.axis, self.goal, ax)


def plan_sample(
    pilot: CalibratedDemand | None = None,
    *,
    rho: float | None = None,
    cost_human: float,
    cost_llm: float,
    target_se: float | None = None,
    n_eff: float | None = None,
    budget: float | None = None,
    assurance: float = 0.8,
    fewest: int = FEW,
    choose: pd.DataFrame | Panel | None = None,
    seed: int = 1,
) -> SamplePlan:
    """Plan a sample of humans and language-model respondents.

    Parameters
    ----------
    pilot : CalibratedDemand, optional
        A calibration on a few humans: it tells rho, its interval, and the variance per human.
    rho : float, optional
        PPI correlation of the target, in place of a pilot, or of the pilot's estimate.
    cost_human, cost_llm : float
        Of one respondent with all their answers, in one currency.
    target_se : float, optional
        Standard error to reach; needs a pilot.
    n_eff : float, optional
        Or: the number of humans to whose precision it should come.
    budget : float, optional
        What may be spent. Alone: as precise as it allows. With a goal: whether it suffices.
    assurance : float
        Of a pilot: the confidence with which the plan reaches what it promises. Its rho is an
        estimate; the plan takes the one that rho is at least with this confidence, and for
        `target_se` the variance per human that it is at most. At 0.5 it plans with the middle of
        what is likely, and falls short half of the time.
    fewest : int
        Humans at the least: with fewer, 40 by default, a calibration warns that its intervals are a
        hope.
    choose : Panel or pandas.DataFrame, optional
        Beliefs of those who may be asked, a row for each respondent and price: the plan's humans
        are chosen from it (`llmdemand.calibration.choosing.chosen.choose_sample`), with the
        probabilities that ``calibrate(..., probability=...)`` needs.
    seed : int
        Of that choice.

    Returns
    -------
    SamplePlan

    Raises
    ------
    UsageError
        Without pilot or rho, without a goal or budget, for impossible numbers.

    Notes
    -----
    n humans cost ``n (cost_human + cost_llm)``, as the LLM has to answer for each of them too, and
    N more LLM respondents ``N cost_llm``; they are worth ``n (n + N) / (n + (1 - rho^2) N)`` humans
    (see `power.effective_n`). The worth of a mix grows with rho, so that the plan for a rho which
    the truth exceeds with confidence a reaches its effective humans with confidence a. Published
    correlations of LLMs with people gave gains of 0 to 14 per cent: a pilot of 50 to 100 humans is
    worth more than a guess.

    Examples
    --------
    >>> plan = plan_sample(rho=0.5, cost_human=5.0, cost_llm=0.02, n_eff=500)
    >>> plan.pays, plan.best.humans < 500, round(plan.threshold, 3)
    (True, True, 0.126)
    >>> plan_sample(rho=0.1, cost_human=5.0, cost_llm=0.5, n_eff=500).pays
    False
    """
    import pandas as pd

    if pilot is None and rho is None:
        raise UsageError("give a pilot (a calibration on some humans) or rho=...")
    if not 0 < assurance < 1:
        raise UsageError(f"assurance={assurance}: give a number between 0 and 1, as 0.8")
    assured = None
    if rho is None:
        assert pilot is not None
        assured = assurance
        rho = _assured_rho(pilot, assurance)
    if target_se is not None and n_eff is not None:
        raise UsageError("give target_se or n_eff, not both")
    if target_se is not None and pilot is None:
        raise UsageError("target_se needs a pilot, which tells the variance per human; give n_eff")
    if target_se is None and n_eff is None and budget is None:
        raise UsageError("give target_se, n_eff or budget")
    if target_se is not None and not (target_se > 0 and math.isfinite(target_se)):
        raise UsageError(f"target_se={target_se}: give a positive number")
    if fewest < 2:
        raise UsageError(f"fewest={fewest}: at least 2 humans are needed")
    one = math.nan
    if pilot is not None:
        one = float(pilot.table["se"].iloc[0]) * math.sqrt(pilot.tuning.humans)
        one *= _upper_scale(pilot.tuning.humans, assurance)
    goal = (one / target_se) ** 2 if target_se is not None else n_eff
    common = {"cost_human": cost_human, "cost_llm": cost_llm, "fewest": fewest}

    def solve(r: float) -> Mix:
        spent = budget if goal is None else None
        found = best_mix(r, **common, n_eff=goal, budget=spent)  # type: ignore[arg-type]
        if found.llm and r <= least_rho(cost_llm / cost_human):
            # Nothing but the rounding to whole humans speaks for the LLM.
            return best_mix(0.0, **common, n_eff=goal, budget=spent)  # type: ignore[arg-type]
        return found

    best, alone = solve(rho), solve(0.0)
    rows = [("humans alone", math.nan, alone), ("humans and LLM", rho, best)]
    if pilot is not None:
        low, high = (float(v) for v in pilot.tuning.table.to_numpy(float)[1, 1:])
        rows += [("  at the pilot's rho", pilot.rho, solve(max(pilot.rho, 0.0)))]
        rows += [("  if rho is lower", low, solve(max(low, 0.0)))]
        rows += [("  if rho is higher", high, solve(max(high, 0.0)))]
    table = pd.DataFrame(
        {
            name: {
                "rho": r,
                "humans": mix.humans,
                "llm": mix.llm,
                "llm_answers_as": mix.humans + mix.llm if mix.llm else 0,
                "cost": mix.cost,
                "n_eff": mix.n_eff,
                "se": one / math.sqrt(mix.n_eff),
            }
            for name, r, mix in rows
        }
    ).T
    whole = ["humans", "llm", "llm_answers_as"]
    axis = "n_eff" if goal is None else "cost"
    return SamplePlan(
        table.astype(dict.fromkeys(whole, int)),
        best,
        alone,
        _curve(rho, goal, budget, best, alone, cost_human, cost_llm, fewest),
        rho,
        least_rho(cost_llm / cost_human),
        best.llm > 0,
        best.n_eff if goal is None else goal,
        axis,
        budget is None or best.cost <= budget * (1 + 1e-12),
        one / math.sqrt(best.n_eff),
        "target" if pilot is None else pilot.target.label,
        cost_llm / cost_human,
        assured,
        chosen_or_none(pilot, choose, best.humans, seed),
    )


def _assured_rho(pilot: CalibratedDemand, assurance: float) -> float:
    """The correlation that a pilot's is at least, with that confidence; 0 if none is."""
    return max(pilot.tuning.law.quantile(1 - assurance), 0.0) if pilot.rho else 0.0


def _upper_scale(n: int, assurance: float) -> float:
    """How much larger than a pilot's the standard deviation of a human may be, at most."""
    from scipy import stats

    return math.sqrt((n - 1) / float(stats.chi2.ppf(1 - assurance, n - 1)))


def _curve(
    rho: float,
    goal: float | None,
    budget: float | None,
    best: Mix,
    alone: Mix,
    cost_human: float,
    cost_llm: float,
    fewest: int,
) -> pd.DataFrame:
    """Every number of humans with the LLM respondents that go with it."""
    import pandas as pd

    low = max(fewest, math.floor(goal * (1 - max(rho, 0.0) ** 2)) if goal is not None else fewest)
    high = max(alone.humans, best.humans, low + 1)
    rows = []
    for n in np.unique(np.linspace(low, high, _POINTS).round().astype(int)).tolist():
        if goal is not None:
            llm = llm_needed(rho, n, goal)
        else:
            assert budget is not None
            llm = (budget - n * (cost_human + cost_llm)) / cost_llm
        if math.isfinite(llm) and llm >= 0:
            cost = n * cost_human + ((n + llm) * cost_llm if llm else 0.0)
            rows.append((n, llm, cost, effective_n(rho, n, llm)))
    found = pd.DataFrame(rows, columns=["humans", "llm", "cost", "n_eff"])
    if goal is not None and len(found):
        # Near the fewest humans the cost runs away and would flatten the rest of the picture.
        found = found[found["cost"] <= 2 * alone.cost]
    return found.reset_index(drop=True)
