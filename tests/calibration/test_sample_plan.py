"""Plans of humans and LLM respondents: they meet their goal, cheaply, and say when not to ask."""

import math

import numpy as np
import pytest
from scipy import stats

from llmdemand import calibrate, paired_panel, plan_sample
from llmdemand.calibration.power import effective_n, least_rho
from llmdemand.errors import UsageError

pytestmark = pytest.mark.numbers

COSTS = {"cost_human": 4.0, "cost_llm": 0.01}


@pytest.fixture(scope="module")
def pilot():
    data = paired_panel(humans=100, llm=400, answers=1, seed=2)
    return calibrate(data.humans, data.beliefs, target="share", at=37)


def test_the_plan_reaches_its_standard_error_and_no_cheaper_number_of_humans_does(pilot):
    plan = plan_sample(pilot, **COSTS, target_se=0.02)
    spread = math.sqrt(99 / stats.chi2.ppf(0.2, 99))  # of a pilot: with 80 % assurance
    one = pilot.table.loc["humans only", "se"] * math.sqrt(100) * spread
    assert plan.se == pytest.approx(0.02, rel=1e-3)
    assert plan.goal == pytest.approx((one / 0.02) ** 2)
    assert plan.table.loc["humans alone", "se"] <= 0.02
    for humans in range(30, plan.alone.humans + 1):
        for llm in {0, plan.best.llm // 2, plan.best.llm, 2 * plan.best.llm}:
            cost = humans * 4.0 + ((humans + llm) * 0.01 if llm else 0)
            if cost < plan.best.cost - 1e-9:
                assert effective_n(plan.rho, humans, llm) < plan.goal


def test_a_pilot_has_rows_for_both_ends_of_its_rho(pilot):
    table = plan_sample(pilot, **COSTS, target_se=0.02).table
    ends = pilot.tuning.table.loc["rho", ["lower", "upper"]]
    assert table["rho"].iloc[3:].tolist() == pytest.approx(ends.tolist())
    assert table["cost"].iloc[3] > table["cost"].iloc[1] > table["cost"].iloc[4]


def test_a_budget_is_spent_and_never_exceeded():
    plan = plan_sample(rho=0.6, **COSTS, budget=2000)
    assert 1990 < plan.best.cost <= 2000 and plan.axis == "n_eff"
    assert plan.best.n_eff > plan.alone.n_eff == 500
    assert plan.reached


def test_a_budget_that_does_not_reach_the_goal_is_said():
    plan = plan_sample(rho=0.6, **COSTS, n_eff=1000, budget=100)
    assert not plan.reached and "does not reach" in plan.verdict()
    assert plan_sample(rho=0.6, **COSTS, n_eff=1000, budget=1e6).reached


@pytest.mark.parametrize("rho", [0.0, 0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("gamma", [0.0025, 0.05, 0.3, 1.0, 2.0])
def test_the_llm_pays_exactly_above_the_threshold(rho, gamma):
    plan = plan_sample(rho=rho, cost_human=1.0, cost_llm=gamma, n_eff=100_000)
    margin = abs(rho - least_rho(gamma))
    if margin > 0.01:
        assert plan.pays == (rho > least_rho(gamma))
    assert plan.best.cost <= plan.alone.cost
    assert plan.verdict().startswith("Ask humans alone") == (not plan.pays)


def test_the_figure_shows_both_plans_and_a_curve_above_the_best(pilot):
    plan = plan_sample(pilot, **COSTS, target_se=0.02)
    axes = plan.plot()
    assert axes.get_xlabel() == "humans" and axes.get_title()
    assert plan.curve["cost"].min() >= plan.best.cost * 0.999
    points = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert {int(p.get_xdata()[0]) for p in points} == {plan.best.humans, plan.alone.humans}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "pilot"),
        ({"rho": 0.3}, "target_se, n_eff or budget"),
        ({"rho": 0.3, "target_se": 0.1}, "needs a pilot"),
        ({"rho": 1.3, "n_eff": 10}, "between -1 and 1"),
        ({"rho": 0.3, "n_eff": -1}, "positive number of humans"),
        ({"rho": 0.3, "budget": 4.0}, "at least 40 humans"),
        ({"rho": 0.3, "n_eff": 10, "fewest": 1}, "at least 2"),
    ],
)
def test_impossible_plans_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        plan_sample(**COSTS, **options)


def test_both_goals_are_refused(pilot):
    with pytest.raises(UsageError, match="not both"):
        plan_sample(pilot, **COSTS, target_se=0.1, n_eff=10)
    with pytest.raises(UsageError, match="above zero"):
        plan_sample(pilot, cost_human=0.0, cost_llm=0.1, n_eff=10)


def test_the_page_of_a_notebook_shows_the_verdict(pilot):
    plan = plan_sample(pilot, **COSTS, target_se=0.02)
    assert "humans alone" in plan._repr_html_()
    assert np.isnan(plan_sample(rho=0.3, **COSTS, n_eff=100).se)
