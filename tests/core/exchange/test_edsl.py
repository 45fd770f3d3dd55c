"""Studies to EDSL and back; what EDSL itself makes of them is in tests/golden/edsl.json."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import llmdemand as ld
from llmdemand.core.exchange.edsl import VERSION, to_edsl
from llmdemand.core.exchange.imported import from_edsl
from llmdemand.core.exchange.toml import to_toml, write_study
from llmdemand.core.questionnaire.prompts import Variant
from llmdemand.errors import StudyError

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "edsl.json").read_text("utf-8"))
OWN = GOLDEN["own"]


def studies():
    packs = ld.load_study("coffee-packs")
    people = replace(
        packs,
        personas=({"id": "ann", "who": "a student"}, {"id": "bob", "who": "a parent"}),
        system="You are {who}.",
        user="{offers}\n\nAs {who}, how many do you buy ({scale})?",
    )
    cents = replace(packs, price_scale=0.01, offer="{label} at ${price:.2f}", unit="cents")
    names = "coffee-packs", "coffee-intention", "pampers"
    return {**{n: ld.load_study(n) for n in names}, "people": people, "cents": cents}


def same(ours, theirs):
    """Equal where both say something: EDSL adds what it derives."""
    if isinstance(ours, dict):
        return all(same(v, theirs.get(k)) for k, v in ours.items() if k != "models")
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs


@pytest.mark.parametrize("name", list(GOLDEN["exported"]))
def test_edsl_reads_what_is_exported_and_asks_the_same(name):
    study = studies()[name]
    made, known = to_edsl(study).data, GOLDEN["exported"][name]
    assert GOLDEN["edsl"] == VERSION
    assert same(made["scenarios"], known["job"]["scenarios"])
    if made["agents"]:
        assert same(made["agents"], known["job"]["agents"])
    assert same(made["survey"]["questions"], known["job"]["survey"]["questions"])
    asked = []
    for cell in study.cells():
        for order in study.option_orders():
            asked.append(study.prompt(cell, order))
    assert len(asked) == len(known["prompts"])
    # Whatever order EDSL asks in.
    for system, user in asked:
        assert any(
            user.strip() in theirs and system.strip() in instruction
            for instruction, theirs in known["prompts"]
        ), user


@pytest.mark.parametrize("name", ["coffee-packs", "coffee-intention", "people"])
def test_what_goes_out_comes_back(name):
    study = studies()[name]
    found = from_edsl(to_edsl(study).data)
    again = found.study
    assert again.question.to_dict() | {"noun": ""} == study.question.to_dict() | {"noun": ""}
    assert again.prices == study.prices
    cell, other = study.cells()[0], again.cells()[0]
    user = study.prompt(cell, study.option_orders()[0])[1]
    assert again.prompt(other, again.option_orders()[0])[1].startswith(user.strip())
    assert len(again.personas) == len(study.personas)


def test_surveys_of_edsl_become_studies():
    common = {"scenarios": OWN["scenarios"], "agents": OWN["agents"]}
    brand = from_edsl(OWN["survey"], question="brand", **common)
    study = brand.study
    assert study.menu.ids == ("pampers", "huggies", "neither") and study.menu["neither"].outside
    assert study.prices == {"pampers": (30.0, 35.0, 40.0)} and len(study.personas) == 2
    assert study.cluster == "persona_id"
    system, user = study.prompt(study.cells()[0], study.option_orders()[0])
    assert user.startswith("Pampers: 30 cents. Huggies: 30 cents. Which one?")
    assert system == "Shop.\nYour traits: age: 30, who: a student"
    assert any("'neither' is taken for the outside option" in n for n in brand.notes)
    assert any("likert, packs, why" in n for n in brand.notes)
    likert = from_edsl(OWN["survey"], question="likert", **common).study
    assert likert.question.labels[0] == "Strongly disagree"
    assert likert.prompt(likert.cells()[0], ())[1].startswith("At 30 I, a student, would buy it.")
    packs = from_edsl(OWN["survey"], question="packs", **common).study
    assert (packs.kind, packs.question.max) == ("quantity", 5)
    rated = from_edsl(
        OWN["survey"], question="brand", kind="rating", prices={"product": "price"}, **common
    ).study
    assert rated.question.labels == ("Pampers", "Huggies", "neither")
    job = from_edsl(OWN["job"])
    assert any("labels of the ends" in n for n in job.notes)
    assert "Aroma at 4.50 in town" in job.study.prompt(job.study.cells()[0], ())[1]
    panel = ld.simulate(job.study, "synthetic", runs=2, seed=1)
    assert ld.fit_demand(panel).price_sensitivity < 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "3 questions that can be asked of 4"),
        ({"question": "why"}, "of type 'free_text'"),
        ({"question": "brands"}, "did you mean 'brand'"),
        ({"question": "brand", "prices": {"coke": "price"}}, "prices are of coke"),
        ({"question": "brand", "prices": {"pampers": "cost"}}, "which is no price"),
        ({"question": "brand", "outside": "nobody"}, "no option 'nobody'"),
        ({"question": "brand", "scenarios": []}, "no scenarios"),
        ({"question": "brand", "agents": 3}, "no AgentList"),
        ({"question": "brand", "scenarios": [{"price": "a"}, {"price": 2}]}, "is no price"),
        ({"question": "brand", "scenarios": [{"cost": 1}, {"cost": 2}]}, "name the field"),
    ],
)
def test_what_cannot_be_imported_is_refused(options, message):
    options = {"scenarios": OWN["scenarios"], **options}
    with pytest.raises(StudyError, match=message):
        from_edsl(OWN["survey"], **options)


def test_templates_and_designs_that_have_no_form_here_are_refused():
    def survey(text):
        question = {**OWN["survey"]["questions"][0], "question_text": text}
        return {"questions": [question]}

    two = [{"price": p, "mood": m} for p, m in ((1, "a"), (2, "b"))]
    with pytest.raises(StudyError, match="'mood', which is no price and has 2 values"):
        from_edsl(survey("{{ scenario.price }} {{ scenario.mood }}"), scenarios=two)
    with pytest.raises(StudyError, match="not a plain field"):
        from_edsl(survey("{{ scenario.price * 2 }}"), scenarios=two)
    with pytest.raises(StudyError, match="which no scenario or agent has"):
        from_edsl(survey("{{ scenario.price }} {{ agent.age }}"), scenarios=two)
    both = [{"price_pampers": a, "price_huggies": b} for a, b in ((1, 1), (2, 2))]
    with pytest.raises(StudyError, match="2 combinations of prices, a full factorial"):
        from_edsl(survey("{{ price_pampers }} {{ price_huggies }}"), scenarios=both)
    with pytest.raises(StudyError, match="not a plain field"):
        from_edsl(to_edsl(studies()["cents"]).data)
    for bad in ([1, 2], {"questions": "x"}, {}):
        with pytest.raises(StudyError):
            from_edsl(bad)
    found = from_edsl(survey("Set {a}: {{ price }}"), scenarios=two).study
    assert found.prompt(found.cells()[0], ())[1].startswith("Set {a}: 1")


def test_what_edsl_cannot_ask_is_refused():
    pampers = ld.load_study("pampers")
    with pytest.raises(StudyError, match="variants"):
        to_edsl(replace(pampers, variants=(Variant("own"),)))
    with pytest.raises(StudyError, match="completion mode"):
        to_edsl(ld.load_study("pampers-households"))
    with pytest.raises(StudyError, match="which EDSL would read as a template"):
        to_edsl(replace(pampers, user=pampers.user + " {{{{x}}}}"))
    people = ({"id": "a", "x": "1"}, {"id": "b", "x": "2"})
    with pytest.raises(StudyError, match="fraction of the design"):
        to_edsl(replace(pampers, personas=people, points=8))
    with pytest.raises(StudyError, match="not of personas"):
        to_edsl(replace(pampers, system="At {price_pampers}"))
    offers = replace(
        pampers, personas=({"id": "a", "size_pampers": "1", "size_huggies": "2"},),
        offer="{label} {size} {price}",
    )  # fmt: skip
    with pytest.raises(StudyError, match="prices or attributes from personas"):
        to_edsl(offers)
    said = to_edsl(pampers).notes
    assert any("log-probabilities" in n for n in said) and any("rotate" in n for n in said)


@pytest.mark.parametrize("name", ld.studies())
def test_toml_is_the_study(name, tmp_path):
    study = ld.load_study(name)
    path = write_study(study, tmp_path / "deep" / "x.toml")
    assert ld.load_study(path) == study
    with pytest.raises(StudyError, match="exists"):
        write_study(study, path)
    with pytest.raises(StudyError, match=r"end in \.toml"):
        write_study(study, tmp_path / "x.json")


@pytest.mark.parametrize("text", ['a"b', "a\\nb\nc", "tab\tend\x7f", "\n", '"""\nx"""', "é\u2028"])
def test_any_text_is_the_same_in_toml(text):
    import tomllib

    data = {"x": text, "t": {"a b": text}, "l": [{"y": text, "z": [True, 1.5, text]}]}
    assert tomllib.loads(to_toml(data)) == data
