"""Choice sets beyond the mean: others' software, known truths, real choices of people and GPT."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand import discrepancy
from llmdemand.calibration.fidelity.sets.agreement import others_demand
from llmdemand.calibration.fidelity.sets.answers import both_of
from llmdemand.calibration.fidelity.sides import Respondents
from llmdemand.errors import DesignError, UsageError

FORMULA = "choice ~ price + seat4 + seat5 + trans + convert | 0"
X = ["price", "seat4", "seat5", "trans", "convert"]
GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "cars_sets.json").read_text())
SETS = {"model": "clogit", "case": "task"}


@pytest.fixture(scope="module")
def cars():
    return ld.load_humans("cars")


def told(cars, name="choice_gpt_4o"):
    return cars.drop(columns="choice").rename(columns={name: "belief"})


@pytest.fixture(scope="module")
def found(cars):
    options = {"subgroups": ["segment"], "focal": "2", "tastes": ["trans", "convert"]}
    return discrepancy(cars, told(cars), FORMULA, reps=99, **options, **SETS)


def shares(rows, params):
    v = np.exp(rows[X] @ params)
    return v / v.groupby(rows["task"]).transform("sum")


def test_hits_and_likelihoods_are_those_of_the_table_and_of_statsmodels(cars, found):
    table = found.fidelity.individuals.table
    hit = (cars["choice"] * cars["choice_gpt_4o"]).groupby(cars["task"]).sum()
    assert table.loc["hit rate", "estimate"] == pytest.approx(hit.mean())
    assert table.loc["hit rate", "reference"] == pytest.approx(1 / 3)
    # The error is that of people's means: the usual clustered one.
    person = hit.groupby(cars.drop_duplicates("task")["respondent_id"].to_numpy()).mean()
    assert table.loc["hit rate", "se"] == pytest.approx(person.std() / np.sqrt(120), rel=0.25)
    log = np.log(shares(cars, GOLDEN["statsmodels gpt_4o"])[cars["choice"] == 1]).mean()
    name = "log likelihood per task of the LLM's demand"
    assert table.loc[name, "estimate"] == pytest.approx(log, abs=1e-4)
    assert table.loc[name, "reference"] == pytest.approx(-np.log(3))


def test_the_others_demand_is_that_of_statsmodels_without_a_tenth(cars):
    fit = ld.clogit(FORMULA, cars, case="task")
    who = pd.factorize(cars["respondent_id"])[0]
    drawn = Respondents(np.full(120, 3), 20, 1)
    rows = cars.assign(alternative=cars["alternative"].astype(str))
    params = np.asarray(fit.params)
    both = both_of(
        fit.design, (rows, rows), "choice", (who, who), X, "alternative", drawn, (params, params)
    )
    found = others_demand(both)
    fold = np.empty(120, int)
    fold[np.random.default_rng(1).permutation(120)] = np.arange(120) % 10
    ids = cars["respondent_id"].unique()
    rows = cars[cars["respondent_id"].isin(ids[fold == 7])]
    expected = shares(rows, GOLDEN["without fold 7"]).to_numpy().reshape(-1, 3)
    own = np.isin(both.humans.who, np.flatnonzero(fold == 7))
    assert found[own] == pytest.approx(expected, abs=1e-4)


def test_choices_have_no_likelihood_and_the_result_says_why(found):
    beyond = found.fidelity
    assert beyond.individuals.single
    assert "log likelihood per task" not in beyond.individuals.table.index
    assert any("likelihood person by person is not defined" in n for n in beyond.notes)
    row = found.licences.loc["variance"]
    assert row["done"] == "no" and row["found"].startswith("not compared: a choice set is answered")
    done = found.licences["done"]
    assert (done.drop(["variance", "multiverse", "substitution", "calibration", "transport"])
            == "yes").all()  # fmt: skip
    assert "variance not compared" in found.summary()


def test_groups_are_compared_in_the_price_coefficient_of_statsmodels(cars, found):
    table = found.fidelity.subgroups
    assert found.fidelity.groups == "price coefficient" and len(table) == 3
    for side, column in (("humans", "choice"), ("llm", "choice_gpt_4o")):
        expected = [params[0] for params in GOLDEN["segments"][column]]
        assert table[side].to_numpy() == pytest.approx(expected, abs=1e-4)
    crv = {"CRV1": "respondent_id"}
    alone = discrepancy(
        cars, told(cars).assign(respondent_id="m" + cars["respondent_id"].astype(str)),
        FORMULA, subgroups=["segment"], tastes=(), reps=20, **SETS,
    ).fidelity  # fmt: skip
    apart = [
        ld.clogit(FORMULA.replace("choice", y), cars[cars["segment"] == 1], case="task", vcov=crv)
        for y in ("choice", "choice_gpt_4o")
    ]
    se = np.hypot(*(f.bse["price"] for f in apart))
    assert alone.subgroups["se"].iloc[0] == pytest.approx(se, rel=0.01)
    assert alone.individuals is None and "under their own id" in alone.why["individuals"]


def test_products_are_held_out_of_the_humans_demand(cars, found):
    held = found.fidelity.held_out
    assert len(held.prices) == 36 and held.prices.index.name == "product"
    product = (cars["seat4"] == 1) & (cars["trans"] == 1) & (cars["convert"] == 0)
    product &= cars["price"] == 35
    row = held.prices.loc["seat4 1, seat5 0, trans 1, convert 0, price 35"]
    assert row["humans"] == pytest.approx(cars.loc[product, "choice"].mean())
    assert row["LLM alone"] == pytest.approx(cars.loc[product, "choice_gpt_4o"].mean())
    with_it = cars["task"].isin(cars.loc[product, "task"])
    expected = shares(cars[with_it], GOLDEN["without the product"])[product[with_it]].mean()
    assert row["humans' demand elsewhere"] == pytest.approx(expected, abs=1e-4)
    ends = held.table.loc["LLM alone"]
    assert ends["gain_upper"] < 0 and ends["lower"] < ends["rmse"] < ends["upper"]
    assert "(heuristic)" in found.fidelity.plot_held_out().get_title()


def test_the_number_of_times_that_one_place_is_taken_is_counted(cars, found):
    counts = found.fidelity.counts
    second = cars[cars["alternative"] == 2].groupby("respondent_id")[["choice", "choice_gpt_4o"]]
    for side, column in (("humans", "choice"), ("llm", "choice_gpt_4o")):
        expected = second.sum()[column].value_counts(normalize=True).reindex(range(11)).fillna(0)
        assert counts.table[side].to_numpy() == pytest.approx(expected.to_numpy())
    assert counts.what == "tasks of 10 in which 2 is taken"
    assert found.fidelity.plot_counts().get_xlabel() == counts.what


def people(n=160, tasks=8, sd=1.0, seed=1, repeated=False):
    """Choices between three products at random prices, tastes for `x` that differ by a known sd."""
    rng = np.random.default_rng(seed)
    taste = 0.5 + sd * rng.normal(size=n)
    price = rng.uniform(1.0, 3.0, (n, tasks, 3))
    x = rng.integers(0, 2, (n, tasks, 3)).astype(float)
    if repeated:  # the last task is the first one again
        price[:, -1], x[:, -1] = price[:, 0], x[:, 0]
    v = taste[:, None, None] * x - price
    p = np.exp(v) / np.exp(v).sum(axis=2, keepdims=True)
    chosen = (p.cumsum(axis=2) > rng.random((n, tasks, 1))).argmax(axis=2)
    who, task, car = (k.ravel() for k in np.indices(p.shape))
    return pd.DataFrame({
        "respondent_id": who, "task": task, "alternative": [f"place {c}" for c in car],
        "price": price.ravel(), "x": x.ravel(), "belief": p.ravel(),
        "choice": (np.arange(3) == chosen[..., None]).astype(float).ravel(),
    })  # fmt: skip


def test_the_spread_of_tastes_is_the_known_one_and_collapse_is_seen():
    frame = people()
    human, llm = frame.drop(columns="belief"), frame.drop(columns="choice")
    options = {"tastes": ["x"], "reps": 20, **SETS}
    beyond = discrepancy(human, llm, "choice ~ price + x | 0", **options).fidelity
    row = beyond.spread.loc["sd(x)"]
    assert row["humans"] == pytest.approx(1, abs=0.35) and row["llm"] == pytest.approx(1, abs=0.2)
    assert row["lower"] < 0 < row["upper"]
    # One persona for all: each set has the belief of one and the same taste.
    v = np.exp(0.5 * frame["x"] - frame["price"])
    v /= v.groupby([frame["respondent_id"], frame["task"]]).transform("sum")
    same = llm.assign(belief=0.9 * v + 0.1 / 3)
    beyond = discrepancy(human, same, "choice ~ price + x | 0", **options).fidelity
    assert beyond.spread.loc["sd(x)", "upper"] < 0
    assert "more alike than people" in beyond.found["heterogeneity"]
    table = beyond.individuals.table
    for name in ("kappa within choice sets", "log likelihood per task, gain"):
        assert abs(table.loc[name, "estimate"]) < 3 * table.loc[name, "se"] + 0.01, name


def test_errors_of_spreads_are_those_of_the_mixed_logits_of_two_samples():
    human = people(60, 6).drop(columns="belief")
    other = people(60, 6, seed=2).drop(columns="choice")
    other["respondent_id"] += 999
    found = discrepancy(human, other, "choice ~ price + x | 0", tastes=["x"], reps=20, **SETS)
    row = found.fidelity.spread.loc["sd(x)"]
    law = {"random": {"x": "normal"}, "draws": 200, "panel": "respondent_id"}
    fits = [
        ld.mixlogit(f"{y} ~ price + x | 0", f.assign(case=f["respondent_id"] * 99 + f["task"]),
                    **law, case="case", vcov={"CRV1": "respondent_id"})
        for y, f in (("choice", human), ("belief", other))
    ]  # fmt: skip
    assert row["se"] == pytest.approx(np.hypot(*(f.bse["sd(x)"] for f in fits)), rel=0.1)


def test_belief_that_knows_the_person_beats_the_others_and_people_set_the_ceiling():
    frame = people(n=150, sd=2.0, tasks=9, repeated=True)
    human, llm = frame.drop(columns="belief"), frame.drop(columns="choice")
    options = {"tastes": (), "reps": 99, **SETS}
    found = discrepancy(human, llm, "choice ~ price + x | 0", **options).fidelity
    table = found.individuals.table
    for name in ("kappa within choice sets", "log likelihood per task, gain", "hit rate, gain"):
        assert table.loc[name, "lower"] > 0, name
    chosen = human[human["choice"] == 1].pivot(
        index="respondent_id", columns="task", values="alternative"
    )
    assert found.individuals.retested == 150
    retest = (chosen[0] == chosen[8]).mean()
    assert table.loc["test-retest rate of humans", "estimate"] == pytest.approx(retest)
    ratio = table.loc["hit rate over test-retest", "estimate"]
    assert ratio == pytest.approx(table.loc["hit rate", "estimate"] / retest)
    log = np.log(frame.loc[frame["choice"] == 1, "belief"]).mean()
    assert table.loc["log likelihood per task", "estimate"] == pytest.approx(log)
    assert "no coefficient was named" in found.why["heterogeneity"]
    assert "products were offered to 10 humans" in found.why["held_out"]
    assert "focal" in found.why["distribution"]


def test_travellers_of_one_task_are_told_what_they_cannot_show():
    humans, panel = ld.load_humans("travel-mode"), ld.load_panel("travel-mode")
    found = discrepancy(humans, panel, model="clogit", reading="pivot", reps=20)
    beyond, table = found.fidelity, found.licences
    assert beyond.individuals.respondents == 180
    assert "several tasks" in table.loc["heterogeneity", "found"]
    assert "constant of its own" in table.loc["held_out", "found"]
    assert set(beyond.why) == {"variance", "heterogeneity", "distribution", "held_out"}
    with pytest.raises(DesignError, match="several tasks"):
        beyond.plot_spread()


def test_groups_of_brands_are_compared_in_shares():
    humans = ld.load_humans("travel-mode")
    llm = humans.rename(columns={"choice": "belief"})
    frames = [f.assign(rich=np.where(f["income"] > 35, "yes", "no")) for f in (humans, llm)]
    options = {"model": "clogit", "subgroups": ["rich"], "reps": 20}
    table = discrepancy(*frames, **options).fidelity.subgroups
    assert len(table) == 8 and table["difference"].abs().max() == 0
    rich = frames[0][(frames[0]["rich"] == "yes") & (frames[0]["alternative"] == "air")]
    assert table.loc["rich yes: air", "humans"] == pytest.approx(rich["choice"].mean())


def test_tastes_are_of_choice_sets():
    data = ld.paired_panel(humans=20, llm=20, seed=1)
    with pytest.raises(UsageError, match="model='clogit'"):
        discrepancy(data.humans, data.beliefs, tastes=["price"])
