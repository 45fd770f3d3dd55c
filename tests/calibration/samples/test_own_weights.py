"""A study's own sampling weights are those of its calibration, as if they were given by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from llmdemand import calibrate, debias, discrepancy, load_study, paired_panel, simulate
from llmdemand.calibration.samples.own_weights import own_weights
from llmdemand.core.study import Study
from llmdemand.errors import DesignError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::llmdemand.CalibrationWarning")

FAST = {"target": "share", "at": 37, "prompt_chosen_on": "nobody", "reps": 2}
HUMANS, ALL = 60, 240


@pytest.fixture(scope="module")
def sides():
    """Humans, a weighted panel that answered as them and as others, and its beliefs as a table."""
    data = paired_panel(humans=HUMANS, llm=ALL - HUMANS, seed=3)
    names = data.beliefs["respondent_id"].unique()
    weight = dict(zip(names, np.random.default_rng(1).uniform(0.5, 4, len(names)), strict=True))
    table = pd.DataFrame({"respondent_id": names, "w": [weight[n] for n in names]})
    study = load_study("pampers").with_respondents(table).to_dict() | {"weights": "w"}
    study["alternatives"][0]["price"] = sorted(data.beliefs["price"].unique().tolist())
    panel = simulate(Study.from_dict(study), "synthetic", runs=1, seed=1)
    frame = panel.frame.copy()
    belief = data.beliefs.set_index(["respondent_id", "price"])["belief"]
    keys = pd.MultiIndex.from_frame(frame[["respondent_id", "price_pampers"]])
    frame["belief_pampers"] = belief.reindex(keys).to_numpy()
    frame["belief_huggies"] = 1 - frame["belief_pampers"]
    frame["belief_neither"] = 0.0
    panel = replace(panel, frame=frame)
    beliefs = data.beliefs.assign(w=data.beliefs["respondent_id"].map(weight))
    return data.humans, panel, beliefs


def by_hand(humans, beliefs):
    own = beliefs.drop_duplicates("respondent_id").set_index("respondent_id")["w"]
    return humans.assign(w=humans["respondent_id"].map(own))


def test_the_weights_of_a_study_are_those_that_are_given_by_hand(sides):
    humans, panel, beliefs = sides
    expected = calibrate(by_hand(humans, beliefs), beliefs, weights="w", **FAST)
    plain = calibrate(humans, beliefs.drop(columns="w"), **FAST)
    found = calibrate(humans, panel, reading="pivot", **FAST)
    columns = ["estimate", "se"]
    np.testing.assert_allclose(
        found.table[columns].to_numpy(float), expected.table[columns].to_numpy(float), rtol=1e-9
    )
    moved = abs(found.table.loc["LLM only", "estimate"] - plain.table.loc["LLM only", "estimate"])
    assert moved > 1e-4
    assert any("those of their personas" in n for n in found.notes)
    # Their own column counts for humans, and what it says otherwise is said.
    other = by_hand(humans, beliefs).assign(w=1.0)
    expected = calibrate(other, beliefs, weights="w", **FAST)
    found = calibrate(other, panel, reading="pivot", **FAST)
    assert found.table.loc["calibrated", "se"] == pytest.approx(
        expected.table.loc["calibrated", "se"], rel=1e-9
    )
    assert any("not in proportion" in n for n in found.notes)


def test_weights_are_left_aside_where_that_is_asked(sides):
    humans, panel, beliefs = sides
    expected = calibrate(humans, beliefs.drop(columns="w"), **FAST)
    found = calibrate(humans, panel, reading="pivot", weights="", **FAST)
    assert found.table.loc["calibrated", "estimate"] == pytest.approx(
        expected.table.loc["calibrated", "estimate"], rel=1e-9
    )
    assert any("left aside" in n for n in found.notes)


def test_humans_by_a_column_of_another_name_and_the_pool_by_the_study(sides):
    humans, panel, beliefs = sides
    humans = by_hand(humans, beliefs).rename(columns={"w": "v"})
    expected = calibrate(humans, beliefs.rename(columns={"w": "v"}), weights="v", **FAST)
    found = calibrate(humans, panel, reading="pivot", weights="v", **FAST)
    assert found.table.loc["calibrated", "se"] == pytest.approx(
        expected.table.loc["calibrated", "se"], rel=1e-9
    )


def test_several_models_take_the_weights_that_they_share(sides):
    humans, panel, beliefs = sides
    noise = np.random.default_rng(2).uniform(size=len(panel.frame))
    other = replace(panel, frame=panel.frame.assign(belief_pampers=noise, belief_huggies=1 - noise))
    found = calibrate(humans, {"a": panel, "b": other}, reading="pivot", **FAST)
    keys = pd.MultiIndex.from_frame(panel.frame[["respondent_id", "price_pampers"]])
    noise = pd.Series(noise, keys).reindex(pd.MultiIndex.from_frame(beliefs.iloc[:, :2]))
    told = beliefs.rename(columns={"belief": "a"}).assign(b=noise.to_numpy())
    expected = calibrate(by_hand(humans, beliefs), told, weights="w", proxies=["a", "b"], **FAST)
    assert found.table.loc["calibrated", "se"] == pytest.approx(
        expected.table.loc["calibrated", "se"], rel=1e-9
    )
    renamed = panel.study.to_dict() | {"weights": "v"}
    renamed["personas"] = [dict(p, v=p["w"]) for p in renamed["personas"]]
    with pytest.raises(UsageError, match="sampling weights v, w"):
        own_weights(
            None, humans, {"a": panel, "b": replace(other, study=Study.from_dict(renamed))},
            "respondent_id", [],
        )  # fmt: skip


def test_what_takes_no_weights_says_what_does(sides):
    humans, panel, _ = sides
    for call in (
        lambda: debias(lambda rows, y: rows[y].mean(), humans, panel),
        lambda: discrepancy(humans, panel),
    ):
        with pytest.raises(UsageError, match="calibrate takes them"):
            call()
    stranger = humans.assign(respondent_id="x" + humans["respondent_id"])
    with pytest.raises(DesignError):
        calibrate(stranger, panel, reading="pivot", **FAST)
