import copy
import pickle
from dataclasses import replace

import pytest

from llmdemand.core.study import Study, load_study, studies
from llmdemand.errors import StudyError

PLAIN = {
    "name": "tea",
    "focal": "green",
    "user": "{offers}\nWhich?",
    "offer": "{label} at {price:.2f}",
    "alternatives": [
        {"id": "green", "label": "Green", "price": [1.0, 2.0, 3.0]},
        {"id": "black", "label": "Black", "price": 2.0},
        {"id": "none", "label": "none", "outside": True},
    ],
}


def plain(**changes):
    return {**copy.deepcopy(PLAIN), **changes}


def test_a_study_is_one_after_pickling_and_replacing():
    study = Study.from_dict(plain())
    again = pickle.loads(pickle.dumps(study))
    assert type(again) is Study and again == study and again.hash == study.hash
    assert type(replace(study, runs=3)) is Study
    with pytest.raises(StudyError, match="at least 1"):
        replace(study, runs=0)


def test_the_published_design():
    study = load_study("pampers")
    cells = study.cells()
    assert [c.prices["pampers"] for c in cells] == [float(p) for p in range(30, 46)]
    assert {c.prices["huggies"] for c in cells} == {30.0}
    assert study.menu["neither"].outside and "neither" not in study.prices
    assert study.sampling.temperature == 1.0


def test_households_have_records_orders_and_price_last():
    study = load_study("pampers-households")
    cells = study.cells()
    assert len(cells) == 8 * 2 * 16
    for persona in study.personas:
        assert 10 <= persona["record"].count("Trip") <= 12
    assert len({p["reservation_price"] for p in study.personas}) == 8
    _, first = study.prompt(cells[0], cells[0].order)
    _, second = study.prompt(cells[1], cells[1].order)
    shared = len(next(iter(first.rsplit("\n", 1))))
    assert first[:shared] == second[:shared], "prompts of neighbouring cells differ early"


def test_rotation_uses_every_order_equally_within_a_cell():
    study = load_study("pampers")
    for cell in study.cells():
        orders = [study.order(cell, r) for r in range(10)]
        assert orders.count(("pampers", "huggies", "neither")) == 5


def test_the_order_shows_in_the_prompt():
    study = load_study("pampers")
    cell = study.cells()[0]
    _, text = study.prompt(cell, ("huggies", "pampers", "neither"))
    assert text.index("Huggies:") < text.index("Pampers:")


def test_a_study_survives_its_own_plain_data():
    for name in studies():
        study = load_study(name)
        assert Study.from_dict(study.to_dict()).hash == study.hash


def test_a_change_in_the_prompt_changes_the_hash():
    assert Study.from_dict(plain()).hash != Study.from_dict(plain(user="{offers} Well?")).hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user": "{offer}"}, r"\{offer\} \(did you mean 'offers'\?\), which nothing fills"),
        ({"user": "Which?"}, "no prompt shows the price"),
        ({"user": "{offers"}, "unbalanced braces"),
        ({"offer": "{label}"}, "needs both"),
        ({"focal": "none"}, "focal alternative 'none' has no price"),
        ({"orders": "cros"}, "did you mean 'cross'"),
        ({"mode": "talk"}, "use one of chat, completion"),
        ({"runs": 0}, "at least 1"),
        ({"sampling": {"temperature": 0}}, "temperature is 0"),
        ({"sampling": {"temprature": 1}}, "did you mean 'temperature'"),
        ({"prize": 1}, "unknown field 'prize'"),
        ({"personas": [{"name": "x"}]}, "'id' of its own"),
        ({"personas": [{"id": "x", "a": "1"}, {"id": "y"}]}, "differ in fields: \\['a'\\]"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(StudyError, match=message):
        Study.from_dict(plain(**changes))


@pytest.mark.parametrize(
    ("price", "message"),
    [
        ("cheap", "give a number or a list"),
        ([], "distinct finite"),
        ([1, 1], "distinct finite"),
        ([float("nan")], "distinct finite"),
        ({"start": 1, "stop": 2}, "positive step"),
        ({"start": 1, "stop": 2, "step": 0}, "positive step"),
        ({"start": 3, "stop": 2, "step": 1}, "distinct finite"),
    ],
)
def test_impossible_prices(price, message):
    data = plain()
    data["alternatives"][0]["price"] = price
    with pytest.raises(StudyError, match=message):
        Study.from_dict(data)


def test_a_decimal_grid_holds_both_ends():
    data = plain()
    data["alternatives"][0]["price"] = {"start": 0.1, "stop": 0.7, "step": 0.1}
    assert len(Study.from_dict(data).prices["green"]) == 7


def test_unknown_studies_and_broken_files(tmp_path):
    with pytest.raises(StudyError, match="did you mean 'pampers'"):
        load_study("pamper")
    path = tmp_path / "bad.toml"
    path.write_text("name = ", encoding="utf-8")
    with pytest.raises(StudyError, match=r"bad\.toml: is not valid TOML"):
        load_study(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="not UTF-8"):
        load_study(path)
    with pytest.raises(StudyError, match="no study"):
        load_study(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": "x"}, "runs is 'x': give a whole number"),
        ({"runs": 2.5}, "runs is 2.5: give a whole number"),
        ({"answer_first": "no"}, "answer_first is 'no': give true or false"),
        ({"user": 5}, "user is 5: give a text"),
        ({"anchors": [1]}, "anchors is \\[1\\]: give a list of texts"),
        ({"sampling": 3}, "sampling is 3: give a table"),
        ({"sampling": {"temperature": "hot"}}, "sampling.temperature is 'hot': give a number"),
        ({"personas": 3}, "personas is 3: give a list"),
        ({"personas": "x"}, "x: a table of respondents is a .csv or a .parquet file"),
        ({"personas": [1]}, "personas is 1: give a table"),
        ({"alternatives": 3}, "alternatives is 3: give a list"),
        ({"offer": "{label} {price:d}"}, "a template cannot be filled"),
        ({"user": "{offers:zz}"}, "a template cannot be filled"),
        ({"cluster": "zzz"}, "cluster is 'zzz': use one of cell, order"),
    ],
)
def test_values_of_another_type_are_named(changes, message):
    with pytest.raises(StudyError, match=message):
        Study.from_dict(plain(**changes))


def test_a_single_text_stands_for_a_list_of_one():
    data = plain(anchors="Answer:", sampling={"stop": "END"})
    data["alternatives"][0]["forms"] = "Alpha"
    study = Study.from_dict(data)
    assert (study.anchors, study.sampling.stop) == (("Answer:",), ("END",))
    assert study.menu["green"].forms == ("Alpha",)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("price", True, "give a number or a list"),
        ("price", {"start": "a", "stop": 1, "step": 1}, "give a number"),
        ("price", {"start": 1, "stop": float("inf"), "step": 1}, "distinct finite"),
        ("label", 5, "field label is 5: give a text"),
        ("forms", [1], "field forms is \\[1\\]"),
        ("outside", True, "outside option and has a price"),
    ],
)
def test_alternatives_of_another_type_are_named(field, value, message):
    data = plain()
    data["alternatives"][0][field] = value
    with pytest.raises(StudyError, match=message):
        Study.from_dict(data)
