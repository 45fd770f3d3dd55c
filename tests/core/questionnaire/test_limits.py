"""What would fill memory or be no text is refused in one sentence before anything is built."""

import warnings
from dataclasses import replace

import pandas as pd
import pytest

from llmdemand import PriceWarning, Study, load_study, simulate
from llmdemand.cli import main
from llmdemand.core.resources import data_file
from llmdemand.errors import LLMDemandError, StudyError

TEA = {
    "name": "tea",
    "focal": "green",
    "user": "{offers}\nWhich?",
    "offer": "{label} at {price}",
    "alternatives": [
        {"id": "green", "label": "Green", "price": [10, 20]},
        {"id": "black", "label": "Black", "price": 20},
    ],
}
HALF = "\ud83d"


def tea(price=(10, 20), **changes):
    green = {**TEA["alternatives"][0], "price": price}
    return Study.from_dict({**TEA, "alternatives": [green, TEA["alternatives"][1]], **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": {"start": 1, "stop": 40, "step": 1e-7}}, "390,000,001 prices"),
        ({"price": {"start": 0, "stop": 1e308, "step": 1e-300}}, "a grid of"),
        ({"price": list(range(10_001))}, "10,001 prices: give at most 10,000"),
        ({"price": 10**400}, "beyond every float"),
        ({"price": [1, 10**400]}, "beyond every float"),
        ({"price_scale": 10**400}, "price_scale is a whole number that is beyond every float"),
        ({"price": [0.3, 0.1 + 0.2]}, "give distinct finite numbers"),
        ({"offer": "{label} {price:>1999999999}"}, "the format '>1999999999' for {price}"),
        ({"offer": "{label} {price:.1999999999f}"}, "the format"),
        ({"offer": "{label:>99999} {price}"}, "the format"),
        ({"offer": "{label} {price:{label}}"}, "the format '{label}'"),
        ({"user": "{offers:>1999999999}"}, "the format"),
        ({"user": f"{{offers}} {HALF}"}, "user holds half a character"),
        ({"name": HALF}, "name holds half a character"),
        ({"personas": [{"id": "a", "who": HALF}]}, "personas, 'who' holds half a character"),
        ({"personas": [{"id": HALF}]}, "half a character"),
        ({"variants": [{"id": "a", "system": HALF}]}, "half a character"),
        ({"anchors": [HALF]}, "anchors holds half a character"),
        ({"points": 3}, "points is 3"),
    ],
)
def test_it_is_refused_in_one_sentence(changes, message):
    with pytest.raises(LLMDemandError) as raised:
        tea(**changes)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    str(raised.value).encode()


@pytest.mark.parametrize("field", ["label", "forms"])
def test_half_a_character_in_a_label_or_form_is_refused(field):
    value = HALF + "a" if field == "label" else [HALF + "a"]
    green = {**TEA["alternatives"][0], field: value}
    with pytest.raises(StudyError, match="half a character"):
        Study.from_dict({**TEA, "alternatives": [green, TEA["alternatives"][1]]})


def test_half_a_character_in_a_table_of_people_is_refused():
    people = pd.DataFrame({"respondent_id": [1], "who": [HALF]}, dtype=object)
    with pytest.raises(StudyError, match="half a character"):
        tea().with_respondents(people)


def test_a_design_of_billions_is_refused_before_it_is_built():
    grid = {"start": 1, "stop": 40, "step": 1}
    six = [{"id": f"b{k}", "label": f"{chr(66 + k)}rand", "price": grid} for k in range(6)]
    with pytest.raises(StudyError, match="4,096,000,000 cells, more than 1,000,000: set points"):
        Study.from_dict({**TEA, "focal": "b0", "alternatives": six})
    some = Study.from_dict({**TEA, "focal": "b0", "alternatives": six, "points": 50})
    assert len(some.cells()) == 50


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = " + "9" * 5000, "a number of thousands of digits"),
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("x = 0x", "is not valid TOML"),
    ],
)
def test_files_that_no_reader_can_read_are_said_in_one_sentence(text, message, tmp_path):
    path = tmp_path / "tea.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(StudyError, match=message) as raised:
        load_study(path)
    assert "\n" not in str(raised.value)


# --- prices are decimals


def test_grids_are_built_in_decimals_and_shown_in_their_shortest_form():
    study = tea({"start": 0.1, "stop": 0.7, "step": 0.1})
    assert study.prices["green"] == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    shown = [study.prompt(c, study.order(c, 0))[1].splitlines()[0] for c in study.cells()]
    assert shown == [f"Green at 0.{k}" for k in range(1, 8)]
    summed = [0.1 + 0.1 * k for k in range(7)]
    assert 0.30000000000000004 in summed and tea(summed).prices == study.prices
    made = replace(study, prices={**study.prices, "green": tuple(summed)})
    assert made.prices == study.prices and made.hash == study.hash
    # Prices as they always were.
    assert tea([19.99, 35, 1e-6, 123456.789012345]).prices["green"] == (
        *(19.99, 35.0, 1e-6),
        123456.789012345,
    )


def test_prices_of_personas_are_decimals_too():
    green = {**TEA["alternatives"][0], "price": {"field": "cost"}}
    people = [{"id": "a", "cost": "0.30000000000000004"}, {"id": "b", "cost": "0.5"}]
    study = Study.from_dict(
        {**TEA, "alternatives": [green, TEA["alternatives"][1]], "personas": people}
    )
    assert study.prices["green"] == (0.3, 0.5) and study.cells()[0].prices["green"] == 0.3


@pytest.mark.parametrize("grid", [[0, 10], [-5, 10], [-0.0, 1]])
def test_prices_of_nothing_or_less_are_said(grid):
    with pytest.warns(PriceWarning, match="'green' has the price .*zero and negative"):
        study = tea(grid)
    assert str(study.prices["green"][0]) != "-0.0"


def test_a_price_that_is_not_shown_is_no_price():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tea([0], offer="{label}{price!s:.0}", user="{offers} {price_black}")


# --- tables elsewhere


def test_a_table_outside_of_the_studys_folder_is_read_only_where_that_is_allowed(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    (tmp_path / "people.csv").write_text("respondent_id,who\n1,Ann\n", "utf-8")
    (folder / "own.csv").write_text("respondent_id,who\n1,Ann\n", "utf-8")
    (folder / "linked.csv").symlink_to(tmp_path / "people.csv")

    def load(file, **options):
        text = "\n".join(
            [
                f"personas = '{file}'",
                'name = "t"\nfocal = "a"\nuser = "{offers}"\noffer = "{label} {price}"',
                '[[alternatives]]\nid = "a"\nlabel = "A1"\nprice = 1',
                '[[alternatives]]\nid = "b"\nlabel = "B1"\nprice = 1',
            ]
        )
        (folder / "t.toml").write_text(text, "utf-8")
        return load_study(folder / "t.toml", **options)

    assert len(load("own.csv").personas) == len(load("../study/own.csv").personas) == 1
    for file in ("../people.csv", tmp_path / "people.csv", "linked.csv"):
        with pytest.raises(StudyError, match=r"outside of the study's folder .*--allow-outside"):
            load(file)
        assert load(file, allow_outside=True).personas[0]["who"] == "Ann"


@pytest.mark.parametrize(
    "command",
    [
        ["studies", "show", "STUDY"],
        ["studies", "export", "STUDY", "--out", "study.json"],
        ["simulate", "STUDY", "--backend", "synthetic", "--dry-run"],
        ["replicate", "pampers", "--study", "STUDY", "--backend", "synthetic", "--runs", "1"],
        ["probe", "--study", "STUDY", "--backend", "synthetic"],
        ["lab", "position", "--study", "STUDY", "--dry-run"],
        ["batch", "write", "STUDY", "--out", "batch"],
        ["extract", "s.sqlite", "--study", "STUDY"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_every_command_that_reads_a_study_lets_a_table_lie_elsewhere(
    command, tmp_path, monkeypatch, capsys
):
    """Each refuses the table of a foreign study in one line, and reads it where it is told to."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    (tmp_path / "people.csv").write_text("respondent_id,who\n1,Ann\n2,Bob\n", "utf-8")
    text = 'personas = "../people.csv"\n' + data_file("studies", "pampers.toml").read_text("utf-8")
    file = tmp_path / "study" / "t.toml"
    file.write_text(text, "utf-8")
    arguments = [str(file) if word == "STUDY" else word for word in command]
    if "extract" in command:
        simulate(load_study(file, allow_outside=True), "synthetic", runs=1, store="s.sqlite")

    def called(*words):
        monkeypatch.setattr("sys.argv", ["llmdemand", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    code, said = called(*arguments)
    assert code == 2 and "lies outside of the study's folder" in " ".join(said.split())
    code, said = called(*arguments, "--allow-outside")
    assert code in (0, None), said
