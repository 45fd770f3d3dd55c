"""``llmdemand transport`` and ``llmdemand multiverse``: the numbers of the functions."""

import json

import pandas as pd
import pytest

from llmdemand import load_humans, multiverse, paired_panel, transport


@pytest.fixture
def told(run, tmp_path):
    """Tables of people and beliefs where the commands run, and what a command says."""
    data = paired_panel(humans=100, llm=60, seed=1)
    some = data.humans[data.humans["price"] < 45]
    beliefs = pd.concat(
        [data.beliefs, data.beliefs.assign(belief=1 - data.beliefs["belief"])],
        keys=["short", "long"],
        names=["prompt"],
    ).reset_index("prompt")
    some.to_csv(tmp_path / "humans.csv", index=False)
    data.beliefs.to_parquet(tmp_path / "beliefs.parquet")
    beliefs.to_parquet(tmp_path / "prompts.parquet")
    return some, data.beliefs, beliefs, run


def test_transport_says_what_the_function_says(told):
    humans, beliefs, _, run = told
    words = ("transport", "humans.csv", "beliefs.parquet", "--delta", 0.3, "--error", "linear")
    code, out, err = run(*words, "--cost", 5, "--json")
    assert code == 0, err
    found = transport(humans, beliefs, delta=0.3, error="linear", cost=5)
    said = json.loads(out)
    assert said["verdict"] == found.verdict() and said["stated"] is True
    assert [r["share"] for r in said["shares"]] == pytest.approx(found.table["share"].tolist())
    assert {r["conclusion"] for r in said["conclusions"]} == set(found.conclusions.index)
    assert said["shares"][-1]["answers"] == 0
    code, out, _ = run(*words)
    assert code == 0 and "Assumed, not shown" in out


def test_multiverse_says_what_the_function_says(told):
    humans, _, beliefs, run = told
    words = ("multiverse", "prompts.parquet", "--by", "prompt", "--humans", "humans.csv")
    code, out, err = run(*words, "--json")
    assert code == 0, err
    found = multiverse(beliefs, ["prompt"], humans=humans)
    said = json.loads(out)
    assert said["verdict"] == found.verdict() and said["negative"]["number"] == 1
    assert [r["prompt"] for r in said["specifications"]] == ["short", "long"]
    estimates = [r["estimate"] for r in said["specifications"]]
    assert estimates == pytest.approx(found.table["estimate"].tolist())
    assert said["humans"]["estimate"] == pytest.approx(found.humans[0])
    code, out, _ = run(*words)
    assert code == 0 and "what its variance is of" in out


def test_a_panel_is_no_table_of_beliefs(told, synthetic_panel, tmp_path):
    *_, run = told
    synthetic_panel.write(tmp_path / "panel.parquet")
    for words in (("transport", "humans.csv"), ("multiverse", "--by", "prompt")):
        code, _, err = run(*words, "panel.parquet")
        assert code == 2 and "panel.parquet is a panel; give a table" in err


@pytest.mark.filterwarnings("ignore::llmdemand.CalibrationWarning")
def test_choice_sets_are_compared_beyond_the_mean(run, tmp_path):
    cars = load_humans("cars")
    some = cars[cars["respondent_id"].isin(cars["respondent_id"].unique()[:60])]
    asked = some["respondent_id"].isin(some["respondent_id"].unique()[:40])
    belief = some.drop(columns="choice").rename(columns={"choice_gpt_4o": "belief"})
    some[asked].to_csv(tmp_path / "humans.csv", index=False)
    belief.to_csv(tmp_path / "beliefs.csv", index=False)
    words = ("calibrate", "humans.csv", "beliefs.csv", "--model", "clogit", "--case", "task")
    words += ("--formula", "choice ~ price + seat4 + seat5 + trans + convert | 0")
    code, out, err = run(*words, "--design", "sampled", "--taste", "convert",
                         "--subgroup", "segment", "--json")  # fmt: skip
    assert code == 0, err
    said = json.loads(out)["discrepancy"]["heuristic"]
    assert [row["what"] for row in said["spread"]] == ["sd(convert)"]
    hits = {row["what"]: row["estimate"] for row in said["individuals"]["table"]}
    chosen = some[asked]
    assert hits["hit rate"] == pytest.approx(
        (chosen["choice"] * chosen["choice_gpt_4o"]).sum() / chosen["choice"].sum()
    )
    assert set(said["not_compared"]) == {"variance", "distribution"}
