"""Tables of people as whom the model answers, their attributes and their prices."""

import copy
import json
import runpy
import tomllib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from llmdemand import simulate
from llmdemand.core.panel import Panel, columns
from llmdemand.core.questionnaire.respondents import read_respondents
from llmdemand.core.resources import data_file
from llmdemand.core.study import Study, load_study
from llmdemand.errors import PanelError, StudyError, UsageError
from llmdemand.modeling.models.demand import fit_demand
from llmdemand.modeling.outcomes.frames import demand_frame, market_frame

TRIP = """
name = "trip"
focal = "air"
orders = "cross"
runs = 1
personas = "people.csv"
user = "Income {income}.\\n{offers}\\nWhich?"
offer = "{label}: {price:.0f} dollars, {minutes} minutes"

[[alternatives]]
id = "air"
label = "Air"
price = { field = "cost_air" }

[[alternatives]]
id = "train"
label = "Train"
price = { field = "cost_train" }
"""
PEOPLE = """respondent_id,income,cost_air,cost_train,minutes_air,minutes_train,region
1,35,59,31,100,372,north
2,42.5,58.5,25,68,354,
3,70,115,98,125,892,NA
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "trip.toml").write_text(TRIP, encoding="utf-8")
    (tmp_path / "people.csv").write_text(PEOPLE, encoding="utf-8")
    return tmp_path


def trip(folder, **changes):
    data = {**tomllib.loads((folder / "trip.toml").read_text(encoding="utf-8")), **changes}
    return Study.from_dict(data, folder=folder)


def people(number):
    """Respondents whose two prices vary independently of each other."""
    ids = range(1, number + 1)
    return pd.DataFrame(
        {
            "respondent_id": list(ids),
            "income": [20 + i % 7 for i in ids],
            "cost_air": [float(40 + 7 * i % 60) for i in ids],
            "cost_train": [float(20 + 11 * i % 50) for i in ids],
            "minutes_air": 90,
            "minutes_train": 300,
        }
    )


# --- reading


def test_a_table_beside_the_study_becomes_its_personas(folder, monkeypatch):
    monkeypatch.chdir("/")  # the path is relative to the file, not to where one stands
    study = load_study(folder / "trip.toml")
    assert study.respondents and study.cluster == "persona_id"
    assert [p["id"] for p in study.personas] == ["1", "2", "3"]
    assert study.personas[1]["income"] == "42.5" and study.personas[1]["region"] == ""
    assert study.personas[2]["region"] == "", "NA is a gap"
    assert len(study.cells()) == 3 * 2


def test_a_stated_cluster_is_kept(folder):
    assert trip(folder, cluster="cell").cluster == "cell"
    assert trip(folder, cluster="respondent_id").cluster == "respondent_id"
    with pytest.raises(StudyError, match=r"use one of cell, order$"):
        replace(load_study("pampers"), cluster="respondent_id")


def test_another_id_column(folder):
    text = PEOPLE.replace("respondent_id", "person")
    (folder / "people.csv").write_text(text, encoding="utf-8")
    study = trip(folder, personas={"file": "people.csv", "id": "person"})
    assert study.personas[0]["id"] == "1" and "person" not in study.personas[0]
    with pytest.raises(StudyError, match="unknown field of personas 'idd'"):
        trip(folder, personas={"file": "people.csv", "idd": "person"})
    with pytest.raises(StudyError, match="names no table"):
        trip(folder, personas={"id": "person"})


def test_values_are_written_as_a_person_writes_them(tmp_path):
    frame = pd.DataFrame(
        {
            "respondent_id": [1.0, 2.0],
            "whole": [35.0, None],
            "single": pd.Series([0.1, 2.0], dtype="float32"),
            "large": [1e15, 2.5e-5],
            "text": ["007", " 1.0 "],
            "flag": [True, False],
        }
    )
    found = read_respondents(frame)
    assert found[0] == {
        "id": "1",
        "whole": "35",
        "single": "0.1",
        "large": "1000000000000000",
        "text": "007",
        "flag": "True",
    }
    assert (found[1]["whole"], found[1]["single"], found[1]["large"]) == ("", "2", "0.000025")
    assert found[1]["text"] == " 1.0 ", "texts are as they are"
    frame.to_parquet(tmp_path / "people.parquet")
    assert read_respondents(tmp_path / "people.parquet") == found
    (tmp_path / "people.csv").write_text("respondent_id,zip,paid\n1.0,007,1.50\n", encoding="utf-8")
    assert read_respondents(tmp_path / "people.csv") == ({"id": "1", "zip": "007", "paid": "1.50"},)


def test_byte_order_marks_commas_and_lines_in_quotes(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text('\ufeffrespondent_id,said\n1,"cheap, and\nfast"\n\n', encoding="utf-8")
    assert read_respondents(path) == ({"id": "1", "said": "cheap, and\nfast"},)


def test_a_study_file_that_needs_people_is_given_them(folder):
    (folder / "people.csv").unlink()
    with pytest.raises(StudyError, match=r"trip\.toml: .*people\.csv: no such file"):
        load_study(folder / "trip.toml")
    study = load_study(folder / "trip.toml", respondents=people(4))
    assert len(study.personas) == 4 and study.respondents and study.cluster == "persona_id"
    again = study.with_respondents(people(2).rename(columns={"respondent_id": "who"}), id="who")
    assert [p["id"] for p in again.personas] == ["1", "2"]
    assert again.prices["air"] == (47.0, 54.0), "prices follow the people"


# --- what is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("respondent_id,income\n", "the table has no rows"),
        ("respondentid,income\n1,2\n", r"no column 'respondent_id' \(did you mean 'respondentid'"),
        ("respondent_id;income\n1;2\n", r"no column 'respondent_id' \(it is not separated by com"),
        ("respondent_id,income\n1,2\n,3\n", "row 2 has no 'respondent_id'"),
        ("respondent_id,income\n1,2\nNA,3\n", "row 2 has no 'respondent_id'"),
        ("respondent_id,income\n7,2\n8,2\n7.0,3\n", "'respondent_id' '7' is in row 1 and in row 3"),
        ("respondent_id,income\n1,2\n2,3,4\n", "row 2 has 3 values, the header 2"),
        ("respondent_id,income\n1,2\n2\n", "row 2 has 1 values, the header 2"),
        ("respondent_id,income,income\n1,2,3\n", "a column 'income' is there twice"),
        ("respondent_id,\n1,2\n", "a column has no name"),
        ("respondent_id,id\n1,2\n", "a column 'id' besides 'respondent_id'"),
        ('respondent_id,income\n1,"2\n', "is not CSV that can be read"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / "people.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        read_respondents(path)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(StudyError, match=r"absent\.csv: no such file"):
        read_respondents(tmp_path / "absent.csv")
    for name in ("people.xlsx", "people"):
        (tmp_path / name).write_text("respondent_id\n1\n", encoding="utf-8")
        with pytest.raises(StudyError, match=r"is a \.csv or a \.parquet file"):
            read_respondents(tmp_path / name)
    (tmp_path / "people.parquet").write_text("respondent_id\n1\n", encoding="utf-8")
    with pytest.raises(StudyError, match="is not a parquet file"):
        read_respondents(tmp_path / "people.parquet")
    (tmp_path / "people.csv").write_bytes(b"respondent_id\n\xff\n")
    with pytest.raises(StudyError, match="is not UTF-8"):
        read_respondents(tmp_path / "people.csv")
    with pytest.raises(StudyError, match="a path or a data frame, found int"):
        read_respondents(5)
    with pytest.raises(StudyError, match="the table has no rows"):
        read_respondents(pd.DataFrame({"respondent_id": []}))
    with pytest.raises(StudyError, match="the id column is ''"):
        read_respondents(people(2), id="")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1,35,", "1,,", "respondent '1' has no value in the column 'income', which the prompt"),
        ("1,35,", "1,nan,", "respondent '1' has no value in the column 'income'"),
        ("68,354", "68, ", "respondent '2' has no value in the column 'minutes_train'"),
        ("income", "incomes", r"uses \{income\} \(did you mean 'incomes'\?\), which nothing"),
        ("region", "unit", "a field 'unit', which the design fills"),
        ("region", "price_air", "a field 'price_air', which the design fills"),
        ("region", "choice", "a column 'choice', which is a column of every panel"),
        ("region", "belief_air", "a column 'belief_air', which is a column of every panel"),
        ("59,31", "59,", "the price of 'train' for '1' is ''"),
        ("59,31", "59,cheap", "the price of 'train' for '1' is 'cheap'.*a number in every row"),
        ("58.5,25", "inf,25", "the price of 'air' for '2' is 'inf'"),
        ("cost_air", "costair", r"'cost_air' \(did you mean 'costair'\?\), which persona '1'"),
        (
            "minutes_train",
            "mins_train",
            r"uses \{minutes\}, which alternative 'train' takes from the persona field "
            "'minutes_train', and there is none",
        ),
    ],
)
def test_people_who_lack_what_the_study_needs(folder, old, new, message):
    (folder / "people.csv").write_text(PEOPLE.replace(old, new), encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        load_study(folder / "trip.toml")


def test_an_attribute_that_no_one_has_is_told_from_a_slip(folder):
    with pytest.raises(StudyError, match="persona field 'comfort_air', and there is none"):
        trip(folder, offer="{label} {price} {comfort}")
    with pytest.raises(StudyError, match=r"uses \{minuts\} \(did you mean 'minutes'\?\)"):
        trip(folder, offer="{label} {price} {minuts}")


def test_a_field_that_only_a_variant_shows_may_not_be_missing(folder):
    assert trip(folder).personas[1]["region"] == ""
    with pytest.raises(StudyError, match="respondent '2' has no value in the column 'region'"):
        trip(folder, variants=[{"id": "own"}, {"id": "far", "user": "{region} {offers}"}])


def test_prices_by_persona_need_personas(folder):
    with pytest.raises(StudyError, match="from the field 'cost_air' of personas, but the study"):
        trip(folder, personas=[])
    with pytest.raises(StudyError, match="respondents is true, but there are no personas"):
        replace(load_study("pampers"), respondents=True)
    with pytest.raises(StudyError, match="unknown price field 'start'"):
        data = tomllib.loads(TRIP)
        data["alternatives"][0]["price"] = {"field": "cost_air", "start": 1}
        Study.from_dict(data, folder=folder)


# --- the design


def test_round_trip(folder):
    study = load_study(folder / "trip.toml")
    again = Study.from_dict(json.loads(json.dumps(study.to_dict())))
    assert again == study and again.hash == study.hash and again.cells() == study.cells()
    assert study.to_dict()["alternatives"][0]["price"] == {"field": "cost_air"}
    inline = copy.deepcopy(study.to_dict())
    del inline["respondents"]
    assert not Study.from_dict(inline).respondents
    assert Study.from_dict(inline).hash != study.hash


def test_studies_without_respondents_keep_their_hashes():
    assert load_study("pampers").hash == "611345b9a772"
    assert load_study("pampers-households").hash == "145be53a35f0"
    data = load_study("pampers-households").to_dict()
    assert "respondents" not in data and "price_fields" not in data


def test_prompts_show_each_persona_its_own_attributes_and_prices(folder):
    study = load_study(folder / "trip.toml")
    cell = next(c for c in study.cells() if c.persona["id"] == "2" and c.order[0] == "train")
    assert cell.prices == {"air": 58.5, "train": 25.0}
    assert study.prompt(cell, cell.order)[1] == (
        "Income 42.5.\nTrain: 25 dollars, 354 minutes\nAir: 58 dollars, 68 minutes\nWhich?"
    )
    scaled = replace(study, price_scale=100, user="{price_air} {offers}")
    assert scaled.prompt(cell, cell.order)[1].startswith("5850.0 Train: 2500 dollars")


def test_one_price_by_persona_beside_a_grid(folder):
    data = tomllib.loads(TRIP)
    data["alternatives"][1]["price"] = [20, 30, 40]
    study = Study.from_dict(data, folder=folder)
    assert study.prices == {"air": (59.0, 58.5, 115.0), "train": (20.0, 30.0, 40.0)}
    assert study.full_size == len(study.cells()) == 3 * 2 * 3
    assert [c.prices for c in study.cells()[:3]] == [
        {"air": 59.0, "train": 20.0},
        {"air": 59.0, "train": 30.0},
        {"air": 59.0, "train": 40.0},
    ]
    half = replace(study, points=6)
    assert [half.cell(c.index) for c in half.cells()] == [study.cell(c.index) for c in half.cells()]


def test_attributes_of_the_outside_option(folder):
    data = tomllib.loads(TRIP)
    data["alternatives"].append({"id": "home", "label": "Home", "outside": True})
    data["outside_offer"] = "{label}: {fun}"
    with pytest.raises(StudyError, match=r"'outside_offer' uses \{fun\}, which alternative 'home'"):
        Study.from_dict(data, folder=folder)
    text = PEOPLE.replace("region", "fun_home").replace("354,", "354,tv").replace("NA", "book")
    (folder / "people.csv").write_text(text, encoding="utf-8")
    study = Study.from_dict(data, folder=folder)
    assert "Home: north" in study.prompt(study.cells()[0], ("home", "air", "train"))[1]


def test_inline_personas_may_have_attributes_and_prices_too():
    data = tomllib.loads(TRIP)
    rows = [dict(zip(PEOPLE.split("\n")[0].split(","), "1,35,59,31,9,8,x".split(","), strict=True))]
    data["personas"] = [{"id" if k == "respondent_id" else k: v for k, v in rows[0].items()}]
    study = Study.from_dict(data)
    assert study.cells()[0].prices == {"air": 59.0, "train": 31.0} and not study.respondents
    assert "respondent_id" not in columns(study)


# --- panels


def test_panels_name_the_respondent(folder, tmp_path):
    study = load_study(folder / "trip.toml")
    panel = simulate(study, "synthetic", runs=2, seed=1)
    assert columns(study)[3:6] == ["persona_id", "respondent_id", "order"]
    assert list(panel.frame["respondent_id"].unique()) == ["1", "2", "3"]
    assert (panel.frame["respondent_id"] == panel.frame["persona_id"]).all()
    own = panel.frame.groupby("respondent_id")["price_air"].unique()
    assert [list(prices) for prices in own] == [[59.0], [58.5], [115.0]]
    assert list(panel.long()["respondent_id"].unique()) == ["1", "2", "3"]
    panel.write(tmp_path / "panel.parquet")
    again = Panel.read(tmp_path / "panel.parquet")
    assert again.study == study
    pd.testing.assert_frame_equal(again.frame, panel.frame)
    for broken, message in (
        (panel.frame.drop(columns="respondent_id"), "'respondent_id' is missing"),
        (panel.frame.assign(respondent_id=[None, *["1"] * 11]), "the respondent_id is missing"),
        (panel.frame.assign(respondent_id=1), "none of the study's"),
    ):
        with pytest.raises(PanelError, match=message):
            Panel(broken, study)


def test_covariates_enter_fits_and_gaps_are_missing(folder):
    frame = demand_frame(simulate(load_study(folder / "trip.toml"), "synthetic", runs=1, seed=1))
    assert frame["income"].dtype.kind == "f"
    assert frame["region"].isna().sum() == 4, "two respondents in two orders have none"
    with_gap = people(3).assign(age=[30, None, 50])
    study = load_study(folder / "trip.toml", respondents=with_gap)
    ages = demand_frame(simulate(study, "synthetic", runs=1, seed=1))["age"]
    assert ages.dtype.kind == "f" and ages.isna().sum() == 2


def test_conditional_logit_on_prices_by_respondent(folder):
    from llmdemand.simulation.backends.synthetic import SyntheticBackend

    study = load_study(folder / "trip.toml", respondents=people(300))
    # The consumer's law has one slope for the own price and one for the rival's.
    truth = SyntheticBackend(study, slope=-0.08, indifference=60.0, rival_slope=0.08)
    panel = simulate(study, truth, runs=1, seed=1)
    long = market_frame(panel)
    assert list(long["price"][:2]) == list(panel.frame.loc[0, ["price_air", "price_train"]])
    demand = fit_demand(panel, model="clogit")
    assert demand.fit.clusters == 300
    low, high = demand.conf_int().loc["price"]
    assert low < -0.08 < high and high - low < 0.02


def test_resuming_and_extracting_keep_the_respondent(folder, tmp_path):
    from llmdemand.belief.rows import extract_panel
    from llmdemand.simulation.backends.recorded import stored_answers

    study = load_study(folder / "trip.toml")
    store = tmp_path / "responses.sqlite"
    first = simulate(study, "synthetic", runs=1, seed=1, store=store)
    more = simulate(study, "synthetic", runs=2, seed=1, store=store)
    assert list(first.frame["respondent_id"]) == ["1", "1", "2", "2", "3", "3"]
    again = extract_panel(study, stored_answers(store, study))
    assert sorted(again.frame["respondent_id"]) == sorted(more.frame["respondent_id"])
    # Other people are other questions, even where ids and prices agree.
    others = load_study(
        folder / "trip.toml", respondents=pd.read_csv(folder / "people.csv").assign(income=1)
    )
    with pytest.raises(UsageError, match="asked something else"):
        list(stored_answers(store, others))


# --- the bundled study


def test_travellers_are_asked_without_their_own_answers():
    study = load_study("travel-mode")
    assert study.respondents and len(study.personas) == 180 and len(study.cells()) == 720
    assert set(study.price_fields) == set(study.menu.ids) == {"air", "train", "bus", "car"}
    assert study.cells()[0].prices == {"air": 59.0, "train": 31.0, "bus": 25.0, "car": 10.0}
    humans = pd.read_csv(data_file("humans", "travel-mode.csv"), dtype={"respondent_id": str})
    assert list(humans["respondent_id"].unique()) == [p["id"] for p in study.personas]
    assert (humans.groupby("respondent_id")["choice"].sum() == 1).all()
    wide = humans.pivot(index="respondent_id", columns="alternative", values="price")
    examples = set()
    for persona in study.personas:
        assert [wide.loc[persona["id"], a] for a in study.menu.ids] == [
            float(persona[f"cost_{a}"]) for a in study.menu.ids
        ]
        examples |= set(persona["record"].splitlines())
    assert len(examples) <= 30, "examples are of the 30 travellers who are not asked"


def test_the_travel_study_is_what_its_script_writes(tmp_path, monkeypatch):
    pytest.importorskip("statsmodels")
    script = Path(__file__).resolve().parents[3] / "data" / "studies" / "make_travel_mode.py"
    (tmp_path / "studies").mkdir()
    (tmp_path / "humans").mkdir()
    monkeypatch.chdir(tmp_path / "studies")
    runpy.run_path(str(script), run_name="__main__")
    assert load_study(tmp_path / "studies" / "travel-mode.toml") == load_study("travel-mode")
    written = (tmp_path / "humans" / "travel-mode.csv").read_bytes()
    assert written == data_file("humans", "travel-mode.csv").read_bytes()
