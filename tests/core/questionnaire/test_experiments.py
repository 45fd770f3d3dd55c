"""Studies with attributes and choice tasks: files, cells, prompts, and what is wrong with them."""

import json
import tomllib
from dataclasses import replace

import pytest

import llmdemand as ld
from llmdemand.core.experiment.attributes import Attribute
from llmdemand.core.experiment.conjoint import Conjoint
from llmdemand.errors import StudyError

BASE = {
    "name": "coffee",
    "focal": "aroma",
    "unit": "dollars",
    "user": "{offers}\nWhich?",
    "offer": "- {label}: {size}, {roast}, ${price:.2f}",
    "orders": "rotate",
    "alternatives": [
        {"id": "aroma", "label": "Aroma", "price": [6, 8, 10]},
        {"id": "bosco", "label": "Bosco", "price": [6, 8, 10]},
        {"id": "neither", "label": "neither", "outside": True},
    ],
    "attributes": {
        "size": [250, 500],
        "roast": {"levels": ["light", "dark"], "texts": ["a light roast", "a dark roast"]},
    },
    "conjoint": {"tasks": 12, "method": "random", "holdouts": 2},
}
PEOPLE = [{"id": "ann", "who": "a"}, {"id": "bob", "who": "b"}, {"id": "cy", "who": "c"}]


def study(**changes):
    return ld.Study.from_dict({**BASE, **changes})


def test_a_study_of_tasks_comes_back_from_its_plain_data():
    one = study(conjoint={**BASE["conjoint"], "prior": {"price": -0.3}}, personas=PEOPLE)
    again = ld.Study.from_dict(one.to_dict())
    assert again == one and again.hash == one.hash
    # Stores write tables in another order; factors keep theirs.
    shuffled = json.loads(json.dumps(one.to_dict(), sort_keys=True))
    assert ld.Study.from_dict(shuffled) == one
    assert [x.name for x in one.attributes] == ["size", "roast"]


def test_studies_without_attributes_keep_their_data():
    plain = ld.load_study("pampers").to_dict()
    assert not {"attributes", "conjoint"} & set(plain)


def test_cells_are_personas_by_tasks():
    one = study(personas=PEOPLE)
    cells = one.cells()
    assert len(cells) == 3 * 14 and [c.index for c in cells] == list(range(42))
    assert [c.task for c in cells[:14]] == [*map(str, range(1, 13)), "h1", "h2"]
    tasks = {c.task: (c.prices, c.attributes) for c in cells[:14]}
    assert all(tasks[c.task] == (c.prices, c.attributes) for c in cells)
    assert set(cells[0].attributes) == {"size", "roast"}
    assert set(cells[0].attributes["size"]) == {"aroma", "bosco"}
    assert one.cell(20) == cells[20] == one.full_cell(20)


def test_each_persona_is_asked_its_block_and_all_holdouts():
    one = study(personas=PEOPLE, conjoint={**BASE["conjoint"], "blocks": 2})
    asked = {p["id"]: [c.task for c in one.cells() if c.persona["id"] == p["id"]] for p in PEOPLE}
    assert asked["ann"] == asked["cy"]
    own = {t for t in asked["ann"] if not t.startswith("h")}
    other = {t for t in asked["bob"] if not t.startswith("h")}
    assert not own & other and len(own) == len(other) == 6
    assert {"h1", "h2"} <= set(asked["ann"]) & set(asked["bob"])
    assert all(one.cell(c.index) == c for c in one.cells())


def test_the_prompt_shows_each_alternative_as_it_is():
    one = study()
    for cell in one.cells():
        text = one.prompt(cell, one.order(cell, 0))[1]
        for a, label in (("aroma", "Aroma"), ("bosco", "Bosco")):
            size, roast = (cell.attributes[x][a] for x in ("size", "roast"))
            assert f"- {label}: {size:g}, a {roast} roast, ${cell.prices[a]:.2f}" in text
    own = study(user="{size_aroma:.1f} or {roast_bosco}? {offers}")
    cell = own.cells()[0]
    said = f"{cell.attributes['size']['aroma']:.1f} or a {cell.attributes['roast']['bosco']} roast?"
    assert said in own.prompt(cell, own.order(cell, 0))[1]


def test_attributes_without_tasks_are_factors_of_the_factorial():
    attributes = {"size": [250, 500]}
    one = study(attributes=attributes, offer="{label} {size} {price}")
    data = {k: v for k, v in one.to_dict().items() if k != "conjoint"}
    full = ld.Study.from_dict(data)
    assert len(full.cells()) == full.full_size == 2 * 2 * 3 * 3
    seen = {(*c.prices.values(), *c.attributes["size"].values()) for c in full.cells()}
    assert len(seen) == 36
    assert [c.prices["bosco"] for c in full.cells()[:3]] == [6, 8, 10]  # prices are fastest
    half = replace(full, points=18)
    counts = [c.attributes["size"]["aroma"] for c in half.cells()]
    assert counts.count(250) == counts.count(500) == 9


def test_an_attribute_may_be_of_some_alternatives_alone():
    attributes = {"gift": {"levels": ["mug", "spoon"], "alternatives": ["aroma"], "absent": "none"}}
    one = study(attributes=attributes, offer="{label} {price} gift: {gift}")
    cell = one.cells()[0]
    assert set(cell.attributes["gift"]) == {"aroma"}
    assert (
        "Bosco 10.0 gift: none"
        in one.prompt(replace(cell, prices={**cell.prices, "bosco": 10.0}), one.order(cell, 0))[1]
    )
    assert list(one.attribute_columns) == ["gift_aroma"]
    with pytest.raises(StudyError, match="say with absent"):
        study(
            attributes={"gift": {"levels": ["mug", "spoon"], "alternatives": ["aroma"]}},
            offer="{label} {price} {gift}",
        )


def test_the_design_is_kept_and_not_made_anew():
    one = study()
    data = one.to_dict()
    data["conjoint"]["seed"] = 99  # would draw other tasks
    assert ld.Study.from_dict(data).conjoint.design == one.conjoint.design


def test_inspection_is_a_method_of_the_study():
    assert study().inspect_design().tasks == 12
    with pytest.raises(StudyError, match="no choice tasks to inspect"):
        ld.load_study("pampers").inspect_design()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attributes": {"size": [250]}}, "levels of attribute 'size' are .* two or more"),
        ({"attributes": {"size": [250, 250]}}, "two or more different"),
        ({"attributes": {"size": [250, "large"]}}, "all texts .* or all finite numbers"),
        ({"attributes": {"size": [" a", "b"]}}, "without space around"),
        ({"attributes": {"Size": ["a", "b"]}}, "no column name"),
        ({"attributes": {"price": ["a", "b"]}}, "has the name of something else"),
        ({"attributes": {"task": ["a", "b"]}}, "has the name of something else"),
        ({"attributes": {"size": {"levels": ["a", "b"], "texts": ["x"]}}}, "2 levels and 1 texts"),
        ({"attributes": {"size": {"levels": ["a", "b"], "texts": ["x", "x"]}}}, "read alike"),
        ({"attributes": {"size": {"levels": ["a", "b"], "linear": True}}}, "levels are texts"),
        ({"attributes": {"size": {"texts": ["a"]}}}, "attributes.size has no levels"),
        ({"attributes": {"size": {"levles": ["a"]}}}, "did you mean 'levels'"),
        ({"attributes": {"size": 5}}, "attributes.size is 5"),
        ({"attributes": [{"levels": ["a", "b"]}]}, "attributes: the name of one"),
        ({"offer": "- {label}: {size} ${price}"}, "shows the attribute 'roast' of 'aroma'"),
        ({"user": "{price_aroma} {price_bosco} {size_aroma}"}, "shows the attribute 'size'"),
        ({"conjoint": {"tasks": 0}}, "conjoint.tasks"),
        ({"conjoint": {"tasks": "many"}}, "conjoint.tasks is 'many': give a whole number"),
        ({"conjoint": {"method": "random"}}, "conjoint.tasks is missing"),
        ({"conjoint": {"tasks": 4, "taks": 3}}, "did you mean 'tasks'"),
        ({"conjoint": {"tasks": 4, "method": "random", "blocks": 2}}, "there are 0 personas"),
        ({"points": 5}, "remove points"),
        ({"personas": [{"id": "a", "size_aroma": "x"}]}, "size_aroma"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(StudyError, match=message):
        study(**changes)


def test_two_attributes_do_not_share_a_column():
    alternatives = [
        {"id": "b", "label": "B", "price": [1, 2]},
        {"id": "a_b", "label": "AB", "price": [1, 2]},
    ]
    with pytest.raises(StudyError, match="both fill 'size_a_b'"):
        study(
            alternatives=alternatives,
            focal="b",
            offer="{label} {price} {size} {size_a}",
            attributes={"size": [1, 2], "size_a": [1, 2]},
        )


def test_prices_of_personas_are_no_factor_of_a_design():
    alternatives = [
        {**BASE["alternatives"][0], "price": {"field": "paid"}},
        *BASE["alternatives"][1:],
    ]
    people = [{"id": "ann", "paid": "7"}]
    with pytest.raises(StudyError, match="conjoint design has prices of its own"):
        study(alternatives=alternatives, personas=people)


def test_a_factorial_that_nobody_can_ask_is_refused_before_it_is_made():
    attributes = {f"x{k}": [f"l{n}" for n in range(5)] for k in range(14)}
    offer = "{label} {price} " + " ".join(f"{{{x}}}" for x in attributes)
    data = {k: v for k, v in BASE.items() if k != "conjoint"}
    for more in ({}, {"points": 20}):
        with pytest.raises(StudyError, match=r"add \[conjoint\] with a number of tasks"):
            ld.Study.from_dict({**data, "attributes": attributes, "offer": offer, **more})
    drawn = study(attributes=attributes, offer=offer)
    assert len(drawn.cells()) == 14


def test_the_starter_runs_as_it_is(tmp_path):
    path = ld.new_study(tmp_path / "coffee.toml", conjoint=True)
    one = ld.load_study(path)
    assert one.name == "coffee" and one.conjoint.total == 24 and one.conjoint.holdouts == 4
    assert tomllib.loads(path.read_text("utf-8"))["conjoint"]["prohibited"]
    for task in one.conjoint.design:
        levels = one.space.values(task)
        assert all(
            not (levels["size"][a] == "500 g" and levels["price"][a] == 6) for a in one.prices
        )


def test_python_makes_studies_of_tasks_too():
    plain = ld.load_study("pampers")
    one = replace(
        plain,
        attributes=(Attribute("pads", (30, 60)),),
        offer="- {label}, {pads} to a pack: {price:.1f} cents",
        prices={"pampers": (30.0, 35.0, 40.0), "huggies": (30.0, 35.0)},
        conjoint=Conjoint((10,), "balanced-overlap"),
    )
    assert len(one.cells()) == 10
    assert "30 to a pack" in "".join(one.prompt(c, one.order(c, 0))[1] for c in one.cells())


def test_tasks_are_written_and_read(tmp_path):
    one = study(personas=PEOPLE, conjoint={**BASE["conjoint"], "blocks": 2})
    table = one.tasks()
    assert list(table.columns) == [
        *("task", "block", "price_aroma", "size_aroma", "roast_aroma"),
        *("price_bosco", "size_bosco", "roast_bosco"),
    ]
    cell = next(c for c in one.cells() if c.task == "3")
    row = table.set_index("task").loc["3"]
    assert row["price_bosco"] == cell.prices["bosco"]
    assert row["roast_aroma"] == cell.attributes["roast"]["aroma"]
    table.to_csv(tmp_path / "tasks.csv", index=False)
    given = {"file": "tasks.csv"}
    again = ld.Study.from_dict({**BASE, "personas": PEOPLE, "conjoint": given}, folder=tmp_path)
    assert again.conjoint.design == one.conjoint.design
    assert again.conjoint.block == one.conjoint.block
    assert [(c.task, c.persona["id"]) for c in again.cells()] == [
        (c.task, c.persona["id"]) for c in one.cells()
    ]
    # What is kept does not need the file.
    assert ld.Study.from_dict(again.to_dict()) == again
    # Tasks of another program: levels alone.
    table.iloc[:5, 2:].to_csv(tmp_path / "few.csv", index=False)
    few = ld.Study.from_dict({**BASE, "conjoint": {"file": "few.csv"}}, folder=tmp_path)
    assert few.conjoint.design == one.conjoint.design[:5] and few.conjoint.blocks == 1


def test_levels_that_a_spreadsheet_would_run_come_back(tmp_path):
    from llmdemand.core.sheets import write_csv

    changes = {"attributes": {"deal": ["=1+1", "-5 %"], "size": [250, 500]}}
    changes["offer"] = "{label} {price} {deal} {size}"
    one = study(**changes)
    write_csv(one.tasks(), tmp_path / "t.csv")
    assert "'=1+1" in (tmp_path / "t.csv").read_text("utf-8")
    data = {**BASE, **changes, "conjoint": {"file": "t.csv"}}
    assert ld.Study.from_dict(data, folder=tmp_path).conjoint.design == one.conjoint.design


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no tasks"),
        ("price_aroma\n6\n", "there is no column 'size_aroma'"),
        ("HEAD,colour\nROW,1\n", "column 'colour' is not known"),
        ("HEAD,price_aroma\nROW,6\n", "column 'price_aroma' is twice"),
        ("HEAD\n7,250,light,6,250,dark\n", "row 1, column 'price_aroma': no level '7'"),
        ("HEAD\n6,250,lihgt,6,250,dark\n", "no level 'lihgt' \\(did you mean 'light'\\?\\)"),
        ("HEAD\n6,250,light\n", "row 1 has 3 values"),
        ("HEAD,block\nROW,x\n", "block is 'x'"),
        ("HEAD,task\nROW,h1\n", "all tasks are holdouts"),
        ("HEAD\nROW\nROW\n", "task 2 of conjoint.design asks what task 1 asks"),
        ('HEAD\n"6\n', "is not CSV"),
    ],
)
def test_tables_of_tasks_that_are_wrong_are_named(tmp_path, text, message):
    head = "price_aroma,size_aroma,roast_aroma,price_bosco,size_bosco,roast_bosco"
    text = text.replace("HEAD", head).replace("ROW", "6,250,light,8,500,dark")
    (tmp_path / "t.csv").write_text(text, "utf-8")
    with pytest.raises(StudyError, match=message):
        ld.Study.from_dict({**BASE, "conjoint": {"file": "t.csv"}}, folder=tmp_path)


def test_a_file_of_tasks_stands_alone(tmp_path):
    for conjoint, message in (
        ({"file": "t.csv", "tasks": 3}, "tasks and a file"),
        ({"file": "t.csv", "seed": 3}, "conjoint.seed says how to make others"),
        ({"file": "no.csv"}, "no.csv: no such file"),
        ({"file": "../t.csv"}, "lies outside of the study's folder"),
        ({"file": "/t.csv"}, "lies outside of the study's folder"),
    ):
        with pytest.raises(StudyError, match=message):
            ld.Study.from_dict({**BASE, "conjoint": conjoint}, folder=tmp_path)
