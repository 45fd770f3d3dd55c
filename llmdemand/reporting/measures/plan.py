"""From a pilot: how many more runs, at which prices, for how much money."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmdemand.core.line import OneLine
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.likelihood.cells import sigmoid
from llmdemand.reporting.measures.allocation import Allocation, Problem, allocate, uniform
from llmdemand.reporting.measures.costs import RunCost, run_cost
from llmdemand.reporting.measures.draws import OUTCOMES, Pool
from llmdemand.reporting.measures.needed import check_goal
from llmdemand.reporting.measures.targets import Target

__all__ = ["Plan", "plan"]

_PRIOR = 30.0  # runs' worth of trust in the smooth variance of belief

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Plan(OneLine):
    """More runs by price, after a pilot.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per price: ``price, pilot_runs`` and ``more_runs`` (per cell of that price),
        ``answers`` (more runs times cells), ``share`` (of the answers to ask), ``variance`` (of
        one run's outcome, as planned with), ``usd``.
    totals : pandas.DataFrame
        One row per outcome, by which belief and choice, and the plan and equal runs at all
        prices, are compared: ``answers, tokens, usd, se_before, se_after, reached`` of the plan;
        ``uniform_runs`` (per cell), ``uniform_answers, uniform_usd, uniform_se,
        uniform_reached`` of equal runs. NaN where the pilot has no estimate.
    outcome : str
        Whose plan `table` is.
    target, at
        As in `RunsNeeded`.
    value : float
        The pilot's estimate of the target.
    goal : float
        The standard error to reach: ``tolerance |value| / z``.
    tolerance, confidence : float
        Within ``tolerance * |value|`` with probability `confidence`.
    usd : float
        Dollars of the plan; NaN if tokens or prices are unknown.
    se_before, se_after : float
        Standard error of the target by the pilot, and by pilot and plan together.
    reached : bool
        Whether the goal is met; a budget may end the plan before.
    budget : float or None
        Dollars that were given.
    unit : str
        Of prices.
    notes : tuple of str
        What the reader has to know of answers that were stopped.
    """

    table: pd.DataFrame
    totals: pd.DataFrame
    outcome: str
    target: str
    at: float | None
    value: float
    goal: float
    tolerance: float
    confidence: float
    usd: float
    se_before: float
    se_after: float
    reached: bool
    budget: float | None
    unit: str
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """The plan in sentences and a table."""
        label = Target(self.target, self.at).label
        lines = [
            f"Plan for the {label} by {self.outcome}: {self.value:.4g} in the pilot, SE "
            f"{self.se_before:.3g}; within {100 * self.tolerance:g} % with probability "
            f"{100 * self.confidence:g} % asks for SE {self.goal:.3g}"
        ]
        total = self.totals.to_dict("index")[self.outcome]
        if not total["answers"] and self.reached:
            return f"{lines[0]}\nThe pilot is enough: no more runs are needed."
        shown = self.table[["price", "pilot_runs", "more_runs", "answers"]]
        if not math.isnan(self.usd):
            shown = shown.assign(usd=[f"{usd:.4f}" for usd in self.table["usd"]])
        lines.append(shown.to_string(index=False, float_format=lambda v: f"{v:g}"))
        lines.append(
            f"Answers to ask: {total['answers']:,.0f}{_money(self.usd)}; SE {self.se_after:.3g}, "
            + ("which reaches the goal" if self.reached else "which the budget does not let lower")
        )
        if not total["uniform_runs"]:
            lines.append("The same number of runs at every price: the budget pays for none.")
        else:
            lines.append(
                f"The same number of runs at every price ({total['uniform_runs']:.0f} per cell): "
                f"{total['uniform_answers']:,.0f} answers{_money(total['uniform_usd'])}, SE "
                f"{total['uniform_se']:.3g}"
            )
        for outcome, row in self.totals.drop(index=self.outcome).to_dict("index").items():
            end = "" if row["reached"] else f" for SE {row['se_after']:.3g}, short of the goal"
            if not math.isnan(row["answers"]):
                lines.append(
                    f"By {outcome} its own plan takes {row['answers']:,.0f} answers"
                    f"{_money(row['usd'])}{end}"
                )
        few = self.table[self.table["more_runs"] > 0]
        if 0 < len(few) < len(self.table):
            lines.append(
                "Runs at few prices are the best only if demand is a logit: they cannot show "
                "where it is not."
            )
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False))


def plan(
    panel: AnyPanel,
    tolerance: float = 0.10,
    target: str = "price",
    at: float | None = None,
    outcome: str = "belief",
    budget: float | None = None,
    *,
    confidence: float = 0.95,
    prices: Sequence[float] | None = None,
) -> Plan:
    """Plan further runs from a pilot: as few as will do, at the prices that tell most.

    Parameters
    ----------
    panel : Panel or PanelShards
        The pilot, at least two usable runs in some cells; of shards a sample, see
        `llmdemand.core.shards.sample`.
    tolerance, confidence : float
        The target is to lie within ``tolerance`` times its size of the truth with this
        probability.
    target, at
        ``price``, ``elasticity``, ``wtp`` or ``share``, and the price of the second and last;
        the middle of the price grid by default.
    outcome : str
        ``belief`` or ``choice``: what is going to be fitted.
    budget : float, optional
        Dollars at most. If they do not suffice, the plan is the most precise that they buy.
    prices : pair of float, optional
        US dollars per million tokens read and written; the panel's own, or list prices, by
        default.

    Returns
    -------
    Plan

    Raises
    ------
    DesignError
        For a pilot with one price, one usable run per cell, no usable run, or separated data;
        a target that is zero.
    UsageError
        For impossible arguments, and a budget without known prices or below one run; for a
        choice experiment.

    Notes
    -----
    The variance of the target after N_j observations at price j is
    ``V = h' A^-1 M A^-1 h`` with ``A = sum_j N_j mu_j (1 - mu_j) x_j x_j'`` and
    ``M = sum_j N_j v_j x_j x_j'``, h the target's gradient at the pilot's estimates (a locally
    c-optimal design; Atkinson, Donev & Tobias 2007, chapter 17). The plan is the cheapest one
    with ``z sqrt(V) <= tolerance |g|``, in whole runs, given the runs that are there, and never
    dearer than equal runs at all prices.

    v_j is the variance of one run's outcome within a cell. With rho the pooled ratio of the
    pilot's variances to ``mu_j (1 - mu_j)``, it is ``rho mu_j (1 - mu_j)`` for choice, the law of
    0/1 outcomes (rho = 1 where the cells of a price agree). For belief, whose rho is the
    intra-cell correlation, it is the pilot's at each price, drawn towards that curve as if
    thirty runs had shown it. Variances of a few runs, used as they are, would send all runs to
    prices at which the pilot happened to see none.

    The error that comes is not quite the planned one: with the known-truth consumer it was, in
    the median, 4 to 9 % above it for belief and 0 to 6 % below it for choice, after pilots of 3
    to 30 runs; after pilots of 5 runs, four in five lay between 20 % below and 26 % above.

    Cells are held fixed: the error is that of the same prompts asked again. Where demand is no
    logit, what the coefficients tend to depends on the number of runs at each price, which a
    plan changes.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> pilot = simulate(load_study("pampers"), "synthetic", runs=5, seed=1)
    >>> found = plan(pilot, tolerance=0.05)
    >>> bool(found.se_after <= found.goal < found.se_before)
    True
    >>> bool(found.totals.loc["belief", "answers"] < found.totals.loc["choice", "answers"])
    True
    """
    check_goal(tolerance, confidence)
    if panel.study.conjoint is not None:
        raise UsageError(
            f"{panel.study.name!r} is a choice experiment, whose tasks are one design: a plan by "
            "price would tear it. Ask more runs of all tasks, or more tasks (conjoint.tasks = "
            "[n, more]); the answers that each coefficient needs are in study.inspect_design()"
        )
    if outcome not in OUTCOMES:
        raise UsageError(f"outcome {outcome!r}: use 'belief' or 'choice'")
    cost = run_cost(panel, prices)
    pool = Pool.of(panel, choice_only=outcome == "choice")
    most = _affordable(budget, cost, pool)
    asked = Target.of(target, at, pool.price)
    found, totals = {}, {}
    for name in (outcome, *(o for o in OUTCOMES if o != outcome)):
        try:
            found[name] = _Solved.of(pool, name, asked, tolerance, confidence, most)
            totals[name] = found[name].totals(cost)
        except DesignError:
            if name == outcome:
                raise
            totals[name] = dict.fromkeys(totals[outcome], math.nan)
    own = found[outcome]
    table = own.table(pool, cost)
    return Plan(
        table=table,
        totals=pd.DataFrame(totals).T.reindex(OUTCOMES).rename_axis("outcome"),
        outcome=outcome,
        target=asked.name,
        at=asked.at,
        value=own.value,
        goal=own.goal,
        tolerance=tolerance,
        confidence=confidence,
        usd=float(table["usd"].sum(skipna=False)),
        se_before=own.before,
        se_after=math.sqrt(own.best.variance),
        reached=own.best.reached,
        budget=budget,
        unit=panel.study.unit,
        notes=pool.notes,
    )


@dataclass(frozen=True)
class _Solved:
    """One outcome's problem and its solutions."""

    problem: Problem
    value: float
    goal: float
    before: float
    best: Allocation
    even: Allocation

    @classmethod
    def of(
        cls,
        pool: Pool,
        outcome: str,
        target: Target,
        tolerance: float,
        confidence: float,
        most: float,
    ) -> _Solved:
        from scipy import stats

        problem, value = _problem(pool, outcome, target)
        goal = tolerance * abs(value) / float(stats.norm.ppf((1 + confidence) / 2))
        best, even = allocate(problem, goal**2, most), uniform(problem, goal**2, most)
        before = math.sqrt(float(problem.spread(np.zeros(len(pool.price)))))
        return cls(problem, value, goal, before, best, even)

    def totals(self, cost: RunCost | None) -> dict[str, float]:
        tokens, usd = (math.nan, math.nan) if cost is None else (cost.tokens, cost.usd)
        return {
            "answers": self.best.answers,
            "tokens": self.best.answers * tokens,
            "usd": self.best.answers * usd,
            "se_before": self.before,
            "se_after": math.sqrt(self.best.variance),
            "reached": self.best.reached,
            "uniform_runs": float(self.even.more[0]),
            "uniform_answers": self.even.answers,
            "uniform_usd": self.even.answers * usd,
            "uniform_se": math.sqrt(self.even.variance),
            "uniform_reached": self.even.reached,
        }

    def table(self, pool: Pool, cost: RunCost | None) -> pd.DataFrame:
        answers = self.best.more * self.problem.answers
        return pd.DataFrame(
            {
                "price": pool.price,
                "pilot_runs": (pool.asked @ pool.member) / pool.member.sum(axis=0),
                "more_runs": self.best.more,
                "answers": answers.astype(int),
                "share": answers / max(1.0, float(answers.sum())),
                "variance": self.problem.variance,
                "usd": answers * (math.nan if cost is None else cost.usd),
            }
        )


def _problem(pool: Pool, outcome: str, target: Target) -> tuple[Problem, float]:
    """The pilot's variance problem for one outcome, and its estimate of the target."""
    if not np.isfinite(pool.values[outcome]).any():
        raise DesignError(
            f"no {outcome} in the pilot: plan for the other outcome, or ask a model that gives "
            "log-probabilities"
        )
    whole = pool.fit(outcome)
    if not whole.exists[0]:
        raise DesignError(
            f"{outcome} is separated in the pilot: one price (or none) divides all that buy from "
            "all that do not, so there is no estimate to plan from. Add runs at the prices where "
            "demand turns" + (", or plan for belief" if outcome == "choice" else "")
        )
    const, slope = float(whole.const[0]), float(whole.slope[0])
    value = float(target.value(const, slope))
    if not value or not math.isfinite(value):
        raise DesignError(
            f"the {target.label} is {value:g} in the pilot: a tolerance in per cent of it asks "
            "for the impossible; choose another target"
        )
    mu = sigmoid(const + slope * pool.price)
    weight = mu * (1 - mu)
    counted, _ = pool.within(outcome)
    cells = pool.member.sum(axis=0)
    problem = Problem(
        price=pool.price,
        weight=weight,
        variance=_variances(pool, outcome, weight),
        gradient=target.gradient(const, slope),
        usable=counted @ pool.member,
        gain=cells * counted.sum() / pool.asked.sum(),
        answers=cells,
    )
    return problem, value


def _variances(pool: Pool, outcome: str, weight: Array) -> Array:
    """v_j: see the notes of `plan`."""
    counted, variance = pool.within(outcome)
    freedom = np.where(np.isfinite(variance), np.maximum(counted - 1, 0), 0)
    if not freedom.any():
        raise DesignError(
            f"one usable run per cell: how much {outcome} varies between the runs of a prompt is "
            "unknown; make a pilot of at least 2 runs per cell, better 5"
        )
    squares = (freedom * np.nan_to_num(variance)) @ pool.member
    freedom = freedom @ pool.member
    smooth = squares.sum() / (freedom @ weight) * weight
    if outcome == "choice":
        return np.asarray(smooth)
    return np.asarray((_PRIOR * smooth + squares) / (_PRIOR + freedom))


def _affordable(budget: float | None, cost: RunCost | None, pool: Pool) -> float:
    """Answers that the budget pays for; inf without one."""
    if budget is None:
        return math.inf
    if not (budget > 0 and math.isfinite(budget)):
        raise UsageError(f"budget={budget}: give a positive number of dollars")
    if cost is None or math.isnan(cost.usd):
        missing = "counts no tokens" if cost is None else "does not know the prices of its model"
        raise UsageError(
            f"a budget of ${budget:g}, and the panel {missing}: "
            + (
                "plan without a budget"
                if cost is None
                else "give prices=(read, written) in dollars per million tokens"
            )
        )
    if not cost.usd:
        return math.inf
    most, least = math.floor(budget / cost.usd * (1 + 1e-12)), pool.member.sum(axis=0).min()
    if most < least:
        raise UsageError(
            f"a budget of ${budget:g} pays for no run: one at a single price is {least:.0f} "
            f"answers, ${least * cost.usd:.2g}"
        )
    return float(most)


def _money(usd: float) -> str:
    if math.isnan(usd):
        return ""
    return f" (${usd:,.2f})" if usd >= 0.005 or not usd else " (less than a cent)"
