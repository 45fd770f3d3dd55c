"""Quotas and agents: who is asked, and how many of a kind."""

import json
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmdemand as ld
from llmdemand.core.people.quotas import drawn, margins_of, replicated
from llmdemand.core.questionnaire.respondents import read_respondents
from llmdemand.errors import StudyError

PEOPLE = [{"id": str(k), "sex": "fm"[k % 2], "age": "ymo"[k % 3]} for k in range(60)]
MARGINS = {"sex": {"f": 0.6, "m": 0.4}, "age": {"y": 0.5, "m": 0.25, "o": 0.25}}
STUDY = """
name = "tea"
focal = "tea"
user = "{offers} {who}"
offer = "{label} {price}"
%s
[[alternatives]]
id = "tea"
label = "Tea"
price = [1, 2]
[[alternatives]]
id = "none"
label = "none"
outside = true
"""


def counts(people, field):
    return Counter(p[field] for p in people)


def test_a_sample_meets_all_margins_and_depends_on_its_seed_alone():
    found = drawn(PEOPLE, MARGINS, 20, seed=1)
    assert counts(found, "sex") == {"f": 12, "m": 8}
    assert counts(found, "age") == {"y": 10, "m": 5, "o": 5}
    again = drawn(PEOPLE[::-1], MARGINS, 20, seed=1)
    assert {p["id"] for p in again} == {p["id"] for p in found}
    assert {p["id"] for p in drawn(PEOPLE, MARGINS, 20, seed=2)} != {p["id"] for p in found}


@settings(max_examples=25)
@given(st.integers(1, 30), st.integers(0, 100))
def test_shares_become_whole_numbers_that_sum_to_the_size(size, percent):
    shares = {"f": percent / 100, "m": 1 - percent / 100}
    found = counts(drawn(PEOPLE, {"sex": shares}, size), "sex")
    assert sum(found.values()) == size
    assert abs(found["f"] - percent / 100 * size) < 1


def test_levels_without_a_share_are_not_drawn():
    found = drawn(PEOPLE, {"age": {"y": 0.5, "o": 0.5}}, 10)
    assert counts(found, "age") == {"y": 5, "o": 5}


@pytest.mark.parametrize(
    ("margins", "size", "message"),
    [
        ({"sex": {"f": 1.0}}, 31, "want 31 respondents with sex 'f', and the table has 30"),
        ({"sex": {"f": 0.5}}, 10, "sum to 0.5"),
        ({"gender": {"f": 1.0}}, 10, "margins are of 'gender'"),
        (MARGINS, 61, "give 1 to 60"),
        (MARGINS, 0, "give 1 to 60"),
    ],
)
def test_margins_that_cannot_be_met_say_what_is_lacking(margins, size, message):
    with pytest.raises(StudyError, match=message):
        drawn(PEOPLE, margins, size)


def test_margins_that_exclude_each_other_are_refused():
    people = [{"id": str(k), "sex": "fm"[k % 2], "age": "yo"[k % 2]} for k in range(20)]
    with pytest.raises(StudyError, match="at once"):
        drawn(people, {"sex": {"f": 1.0}, "age": {"o": 1.0}}, 5)


def test_a_quota_column_copies_respondents():
    people = [{"id": "a", "n": "2"}, {"id": "b", "n": "0"}, {"id": "c", "n": "1"}]
    assert [p["id"] for p in replicated(people, "n")] == ["a-1", "a-2", "c-1"]
    for bad, message in (("1.5", "whole number"), ("-1", "whole"), ("999999", "100,000")):
        with pytest.raises(StudyError, match=message):
            replicated([{"id": "a", "n": bad}], "n")
    with pytest.raises(StudyError, match="all quotas"):
        replicated([{"id": "a", "n": "0"}], "n")
    with pytest.raises(StudyError, match="there is none"):
        replicated(people, "quota")
    with pytest.raises(StudyError, match="'a-1' twice"):
        replicated([{"id": "a", "n": "11"}, {"id": "a-1", "n": "0"}, {"id": "a", "n": "1"}], "n")


def test_study_files_name_quotas(tmp_path):
    frame = pd.DataFrame(PEOPLE).rename(columns={"id": "respondent_id"}).assign(who="x", n=1)
    frame.to_csv(tmp_path / "people.csv", index=False)
    rows = [(f, level, s) for f, levels in MARGINS.items() for level, s in levels.items()]
    margins = pd.DataFrame(rows, columns=["field", "level", "share"])
    margins.to_csv(tmp_path / "margins.csv", index=False)
    for entry, size in (
        ('{ file = "people.csv", margins = "margins.csv", size = 20, seed = 3 }', 20),
        ('{ file = "people.csv", quota = "n" }', 60),
    ):
        (tmp_path / "s.toml").write_text(STUDY % f"personas = {entry}", "utf-8")
        study = ld.load_study(tmp_path / "s.toml")
        assert len(study.personas) == size and study.respondents
    (tmp_path / "s.toml").write_text(
        STUDY % 'personas = { file = "people.csv", size = 3 }', "utf-8"
    )
    with pytest.raises(StudyError, match="given together"):
        ld.load_study(tmp_path / "s.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("field,level\nsex,f\n", "field, level and share"),
        ("field,level,share\nsex,f,a\n", "'a': give 0 or more"),
        ("field,level,share\nsex,f,1\nsex,f,0\n", "twice"),
        ("field,level,share\n", "name no field"),
        ("", "field, level and share"),
    ],
)
def test_tables_of_margins_are_checked(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text, "utf-8")
    with pytest.raises(StudyError, match=message):
        margins_of(tmp_path / "m.csv")
    with pytest.raises(StudyError, match="no such file"):
        margins_of(tmp_path / "none.csv")


AGENTS = {
    "agent_list": [
        {"traits": {"age": 30, "job": "cook"}, "name": "ann", "instruction": "Shop."},
        {"traits": {"age": 41.0, "likes": ["tea", "cake"]}, "edsl_class_name": "Agent"},
    ],
    "edsl_class_name": "AgentList",
}


def test_agents_of_edsl_are_respondents(tmp_path):
    found = read_respondents(AGENTS)
    assert found == (
        {"id": "ann", "age": "30", "job": "cook", "instruction": "Shop.", "likes": ""},
        {"id": "agent-2", "age": "41", "job": "", "instruction": "", "likes": "tea, cake"},
    )
    (tmp_path / "agents.json").write_text(json.dumps(AGENTS), "utf-8")
    assert read_respondents(tmp_path / "agents.json") == found
    assert read_respondents({"agents": AGENTS["agent_list"]}) == found
    assert read_respondents([{"respondent_id": "x", "age": 3}]) == ({"id": "x", "age": "3"},)
    (tmp_path / "s.toml").write_text(STUDY % 'personas = "agents.json"', "utf-8")
    with pytest.raises(StudyError, match="who"):
        ld.load_study(tmp_path / "s.toml")


@pytest.mark.parametrize(
    ("agents", "message"),
    [
        ({"agent_list": "x"}, "no list of agents"),
        ([3], "no list of agents"),
        ([{"traits": {"home": {"city": "x"}}}], "agent 1, 'home' is dict"),
        ([], "no rows"),
        ([{"name": "a", "traits": {}}, {"name": "a", "traits": {}}], "one row per respondent"),
    ],
)
def test_what_is_no_agent_is_refused(agents, message):
    with pytest.raises(StudyError, match=message):
        read_respondents(agents)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\udcff"])
def test_files_that_hold_no_agents_are_refused(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StudyError, match="is not JSON"):
        read_respondents(tmp_path / "a.json")


def test_rows_of_a_table_without_ids_can_be_numbered(tmp_path):
    (tmp_path / "a.csv").write_text("age,income\n30,low\n31,high\n", "utf-8")
    found = read_respondents(tmp_path / "a.csv", "row")
    assert [p["id"] for p in found] == ["1", "2"] and found[1]["income"] == "high"
