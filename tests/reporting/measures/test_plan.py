import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from llmdemand import load_study, simulate
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.batch.batch import fit_batch
from llmdemand.reporting.measures.allocation import Problem, allocate, uniform
from llmdemand.reporting.measures.plan import plan


@pytest.fixture(scope="module")
def pilot():
    return simulate(load_study("pampers"), "synthetic", runs=6, seed=2)


def by_hand(problem, more):
    """V = h' A^-1 M A^-1 h with plain matrices."""
    n = problem.usable + more * problem.gain
    x = np.column_stack([np.ones(len(n)), problem.price])
    a = np.linalg.inv((x.T * (n * problem.weight)) @ x)
    return problem.gradient @ a @ ((x.T * (n * problem.variance)) @ x) @ a @ problem.gradient


@st.composite
def problems(draw):
    size = draw(st.integers(2, 7))
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    price = np.sort(rng.choice(np.arange(20, 60.0), size, replace=False))
    mu = 1 / (1 + np.exp(0.2 * (price - rng.uniform(25, 55))))
    weight = mu * (1 - mu)
    return Problem(
        price=price,
        weight=weight,
        variance=weight * rng.uniform(0.02, 1, size),
        gradient=np.array([draw(st.sampled_from([0.0, 1.0])), draw(st.floats(0.5, 40))]),
        usable=rng.integers(2, 8, size).astype(float),
        gain=np.full(size, draw(st.floats(0.5, 1.0))),
        answers=np.ones(size),
    )


@settings(max_examples=60)
@given(problems(), st.floats(0.05, 0.9))
def test_the_allocation_reaches_the_goal_with_no_more_answers_than_equal_runs(problem, share):
    none = np.zeros(len(problem.price), int)
    before = by_hand(problem, none)
    assert float(problem.spread(none)) == pytest.approx(before, rel=1e-6)
    goal = share * before
    best, even = allocate(problem, goal), uniform(problem, goal)
    assert best.reached and even.reached
    assert by_hand(problem, best.more) <= goal * (1 + 1e-6)
    assert by_hand(problem, even.more - 1) > goal * (1 - 1e-6) or not even.more.any()
    assert best.answers <= even.answers
    # No run is superfluous.
    for j in np.flatnonzero(best.more):
        fewer = best.more.copy()
        fewer[j] -= 1
        assert by_hand(problem, fewer) > goal * (1 - 1e-6)


@settings(max_examples=25)
@given(problems(), st.integers(30, 200))
def test_what_a_budget_buys_is_nearly_the_best_of_all_real_numbers(problem, answers):
    found = allocate(problem, 0.0, float(answers))
    assert not found.reached and found.answers <= answers
    size = len(problem.price)
    best = np.inf
    for start in [np.full(size, answers / size), *(np.eye(size) * answers)]:
        solved = optimize.minimize(
            lambda r: np.log(by_hand(problem, r)),
            start,
            bounds=[(0, answers)] * size,
            constraints={"type": "ineq", "fun": lambda r: answers - r.sum()},
            method="SLSQP",
        )
        best = min(best, by_hand(problem, np.clip(solved.x, 0, None)))
    assert found.variance == pytest.approx(by_hand(problem, found.more), rel=1e-6)
    assert found.variance <= best * 1.01
    assert found.variance <= uniform(problem, 0.0, float(answers)).variance


def test_large_plans_are_coarse_at_first_and_exact_in_the_end():
    price = np.arange(30, 46.0)
    mu = 1 / (1 + np.exp(0.535 * (price - 34.8)))
    weight, one = mu * (1 - mu), np.ones(16)
    problem = Problem(price, weight, weight, np.array([0.0, 1.0]), 5 * one, one, one)
    found = allocate(problem, 1e-5)
    assert found.answers < 0.62 * uniform(problem, 1e-5).answers
    assert found.variance == pytest.approx(1e-5, rel=1e-4)
    # For a slope: two prices, at log-odds of about 2.4 on both sides.
    assert np.flatnonzero(found.more).tolist() == [0, 9]


@pytest.mark.parametrize(
    ("target", "at"), [("price", None), ("elasticity", 36.0), ("wtp", None), ("share", 40.0)]
)
def test_the_plan_beats_equal_runs(pilot, target, at):
    tolerance = 0.004 if target == "wtp" else 0.05
    found = plan(pilot, tolerance, target, at)
    total = found.totals.loc["belief"]
    assert found.reached and found.se_after <= found.goal < found.se_before
    assert total["answers"] < total["uniform_answers"]
    assert found.table["more_runs"].sum() == total["answers"] > 0
    assert found.table["share"].sum() == pytest.approx(1)
    assert found.totals.loc["choice", "answers"] > 5 * total["answers"]
    assert found.goal == pytest.approx(tolerance * abs(found.value) / 1.959964)


def test_the_planned_error_is_the_error_that_comes(pilot):
    """Fresh choices at the planned runs, at the pilot's estimate, fitted many times."""
    found = plan(pilot, 0.10, outcome="choice")
    rng = np.random.default_rng(1)
    price = found.table["price"].to_numpy()
    n = (found.table["pilot_runs"] + found.table["more_runs"]).to_numpy(int)
    from llmdemand.reporting.measures.draws import Pool

    whole = Pool.of(pilot).fit("choice")
    mu = 1 / (1 + np.exp(-whole.const[0] - whole.slope[0] * price))
    ones = rng.binomial(n, mu, size=(4000, len(price))).astype(float)
    fits = fit_batch(price, np.broadcast_to(n.astype(float), ones.shape), ones)
    assert fits.exists.all()
    assert fits.slope.std() == pytest.approx(found.se_after, rel=0.1)


def test_the_variances_of_belief_and_of_choice_differ(pilot):
    belief, choice = plan(pilot).table, plan(pilot, outcome="choice").table
    ratio = belief["variance"] / choice["variance"]
    assert 0.03 < ratio.median() < 0.12 and ratio.std() > 0.001
    assert (choice["variance"] > 0).all(), "a short pilot's zeros must not draw all runs"
    assert choice["variance"].idxmax() in (4, 5), "at prices where half buy"


def test_a_budget_ends_the_plan(pilot):
    free = plan(pilot, 0.02, prices=(2.5, 10.0))
    assert free.usd == pytest.approx(free.totals.loc["belief", "usd"])
    half = plan(pilot, 0.02, budget=free.usd / 2, prices=(2.5, 10.0))
    assert half.usd <= free.usd / 2 and not half.reached
    assert free.se_after < half.se_after < half.se_before
    assert half.totals.loc["belief", "uniform_usd"] <= free.usd / 2
    assert half.se_after < half.totals.loc["belief", "uniform_se"]
    assert "budget" in half.summary()
    ample = plan(pilot, 0.02, budget=10 * free.usd, prices=(2.5, 10.0))
    assert ample.table.equals(free.table)
    with pytest.raises(UsageError, match="does not know the prices"):
        plan(pilot, budget=1.0)
    with pytest.raises(UsageError, match="pays for no run"):
        plan(pilot, budget=1e-9, prices=(2.5, 10.0))
    with pytest.raises(UsageError, match="positive number of dollars"):
        plan(pilot, budget=-1.0, prices=(2.5, 10.0))
    uncounted = Panel(pilot.frame.assign(prompt_tokens=np.nan), pilot.study)
    with pytest.raises(UsageError, match="counts no tokens"):
        plan(uncounted, budget=1.0, prices=(2.5, 10.0))
    assert np.isnan(plan(uncounted, 0.02).usd)


def test_unusable_runs_cost_and_give_nothing(pilot):
    frame = pilot.frame.copy()
    frame.loc[frame["replicate"] % 2 == 0, "status"] = "refusal"
    half, full = plan(Panel(frame, pilot.study), 0.02), plan(pilot, 0.02)
    ratio = half.totals.loc["belief", "answers"] / full.totals.loc["belief", "answers"]
    assert 1.3 < ratio < 3, "twice the answers, up to the noise of a halved pilot"


def test_a_pilot_that_is_enough_asks_for_nothing(pilot):
    found = plan(pilot, 0.5)
    assert not found.table["more_runs"].any() and found.reached
    assert "no more runs are needed" in found.summary()
    assert found.se_after == found.se_before


def test_pilots_that_no_plan_can_be_made_from(pilot):
    frame, study = pilot.frame, pilot.study
    with pytest.raises(DesignError, match="one price"):
        plan(Panel(frame[frame["price_pampers"] == 35], study))
    with pytest.raises(DesignError, match="one usable run per cell: how much belief varies"):
        plan(Panel(frame[frame["replicate"] == 0], study))
    with pytest.raises(DesignError, match="no usable run"):
        plan(Panel(frame.assign(status="refusal"), study))
    bought = np.where(frame["price_pampers"] < 35, "pampers", "huggies")
    apart = Panel(frame.assign(choice=bought, final_choice=bought), study)
    with pytest.raises(DesignError, match=r"choice is separated in the pilot.*plan for belief"):
        plan(apart, outcome="choice")
    other = plan(apart)
    assert other.totals.loc["choice"].isna().all() and other.totals.loc["belief"].notna().any()
    assert "choice" not in other.summary()
    with pytest.raises(UsageError, match="outcome 'both'"):
        plan(pilot, outcome="both")
    with pytest.raises(UsageError, match="must be positive"):
        plan(pilot, tolerance=-0.1)
    with pytest.raises(UsageError, match="leave at out"):
        plan(pilot, at=35)


def test_choices_without_log_probabilities_can_be_planned(pilot):
    frame = pilot.frame.assign(status="no_logprobs")
    beliefs = [c for c in frame if c.startswith("belief_")]
    panel = Panel(frame.assign(**dict.fromkeys(beliefs, np.nan)), pilot.study)
    found = plan(panel, outcome="choice")
    assert found.totals.loc["choice", "answers"] > 0
    assert found.totals.loc["belief"].isna().all()
    with pytest.raises(DesignError, match="no usable run"):
        plan(panel)


def test_the_command(pilot, tmp_path, run):
    pilot.write(tmp_path / "pilot.parquet")
    code, out, _ = run("plan", "pilot.parquet", "--tolerance", "0.03", "--token-prices", "2.5,10")
    assert code == 0 and "more_runs" in out and "$" in out and "logit" in out
    code, out, _ = run("plan", "pilot.parquet", "--target", "share", "--at", "36", "--json")
    read = json.loads(out)
    assert code == 0 and read["at"] == 36 and len(read["table"]) == 16
    assert {row["outcome"] for row in read["totals"]} == {"belief", "choice"}
    code, _, err = run("plan", "pilot.parquet", "--budget", "1")
    assert code == 2 and err.startswith("error: a budget of $1") and "Traceback" not in err
