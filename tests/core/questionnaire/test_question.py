"""Questions whose answer is a number, in study files."""

import tomllib
from dataclasses import replace

import pytest

import llmdemand as ld
from llmdemand.core.menu import Alternative
from llmdemand.core.questionnaire.question import INTENTION, Question
from llmdemand.core.resources import data_file
from llmdemand.errors import StudyError


def plain(name="coffee-packs"):
    return tomllib.loads(data_file("studies", f"{name}.toml").read_text("utf-8"))


def study(question, **fields):
    return ld.Study.from_dict({**plain(), "question": question, **fields})


@pytest.mark.parametrize("name", ["coffee-packs", "coffee-intention"])
def test_a_study_of_numbers_is_its_plain_data(name, tmp_path):
    found = ld.load_study(name)
    again = ld.Study.from_dict(found.to_dict())
    assert again == found and again.hash == found.hash
    panel = ld.simulate(found, "synthetic", runs=1, seed=1)
    panel.write(tmp_path / "p.parquet")
    read = ld.Panel.read(tmp_path / "p.parquet")
    assert read.study == found and read.study.kind == found.kind != "choice"
    assert (read.long()["price"] >= 4).all()


def test_the_menu_is_made_of_the_question():
    found = study({"kind": "quantity", "max": 12, "noun": "boxes"})
    assert found.menu.ids == tuple(f"q{k}" for k in range(13))
    assert found.menu["q0"].outside and not found.menu["q1"].outside
    assert {"12", "twelve", "12 boxes", "12 box", "twelve boxes"} <= set(found.menu["q12"].forms)
    assert {"none", "nothing", "no boxes"} <= set(found.menu["q0"].forms)
    rated = study({"kind": "rating", "max": 3, "labels": ["no", "perhaps", "yes"]})
    assert [a.label for a in rated.menu] == ["no", "perhaps", "yes"]
    assert study({"kind": "rating"}).question.labels == INTENTION
    assert study({"kind": "rating", "max": 7}).question.labels == ()


def test_prompts_show_products_and_the_scale():
    two = plain()["alternatives"] + [{"id": "other", "label": "Borea", "price": [5, 6]}]
    found = study({"kind": "quantity", "max": 3}, alternatives=two)
    assert len(found.cells()) == 12
    text = found.prompt(found.cells()[0], found.order(found.cells()[0], 0))[1]
    assert "Aroma coffee: 4.00" in text and "Borea: 5.00" in text and "0 to 3" in text
    panel = ld.simulate(found, "synthetic", runs=2, seed=1)
    fit = ld.fit_demand(panel, formula="price + price_other")
    assert list(fit.terms) == ["const", "price", "price_other"]
    assert abs(fit.params["price_other"]) < 5 * fit.bse["price_other"]


def test_a_choice_is_what_it_was():
    found = ld.load_study("pampers")
    assert found.kind == "choice" and found.question is None
    assert "question" not in found.to_dict() and "weights" not in found.to_dict()
    same = ld.Study.from_dict({**found.to_dict(), "question": {"kind": "choice"}})
    assert same.hash == found.hash


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"kind": "quantities", "max": 3}, "did you mean 'quantity'"),
        ({"kind": "quantity"}, "question.max is missing"),
        ({"kind": "quantity", "max": 0}, "1 to 99"),
        ({"kind": "quantity", "max": 1000}, "1 to 99"),
        ({"kind": "quantity", "max": 2.5}, "question.max is 2.5: give a whole number"),
        ({"kind": "quantity", "max": 3, "labels": ["a"]}, "points of a rating"),
        ({"kind": "rating", "max": 3, "noun": "packs"}, "what a quantity counts"),
        ({"kind": "rating", "max": 3, "labels": ["a", "b"]}, "one label for each point"),
        ({"kind": "rating", "max": 2, "labels": ["Yes", "yes"]}, "two points read the same"),
        ({"kind": "rating", "maximum": 5}, "unknown question field 'maximum'"),
        ({"kind": "choice", "max": 5}, "takes no other field"),
        ("quantity", "question is 'quantity': give a table"),
    ],
)
def test_what_is_no_question_is_refused(question, message):
    with pytest.raises(StudyError, match=message):
        study(question)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"orders": "rotate"}, "ascending order"),
        ({"pinned": ["q1"]}, "ascending order"),
        ({"alternatives": [{"id": "aroma", "label": "Aroma"}]}, "no price"),
        (
            {
                "alternatives": [
                    *plain()["alternatives"],
                    {"id": "none", "label": "none", "outside": True},
                ]
            },
            "remove outside options",
        ),
        (
            {"alternatives": [*plain()["alternatives"], {"id": "b", "label": "B"}]},
            "give one for each product",
        ),
    ],
)
def test_fields_that_do_not_go_with_numbers_are_refused(fields, message):
    with pytest.raises(StudyError, match=message):
        study({"kind": "quantity", "max": 3}, **fields)


def test_the_menu_cannot_be_another_one():
    found = ld.load_study("coffee-packs")
    with pytest.raises(StudyError, match="question's own"):
        replace(found, menu=ld.Menu.of("a", "b"))
    with pytest.raises(StudyError, match="use one of"):
        Question("count", 3, products=(Alternative("a", "A"),))


@pytest.mark.parametrize("value", ["0", "-1", "x", "", "nan", "inf"])
def test_weights_are_positive_numbers(value):
    personas = ({"id": "a", "w": "2"}, {"id": "b", "w": value})
    with pytest.raises(StudyError, match="persona 'b' has the weight"):
        replace(ld.load_study("coffee-packs"), personas=personas, weights="w")


def test_weights_name_a_field():
    people = ({"id": "a", "weight": "2"},)
    with pytest.raises(StudyError, match="did you mean 'weight'"):
        replace(ld.load_study("coffee-packs"), personas=people, weights="wieght")
    with pytest.raises(StudyError, match="no fields"):
        replace(ld.load_study("coffee-packs"), weights="w")
