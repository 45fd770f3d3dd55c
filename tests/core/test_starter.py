import tomllib
import zipfile
from pathlib import Path

import pytest

from llmdemand.core.questionnaire.reading import DESIGN, PLAIN
from llmdemand.core.starter import new_study
from llmdemand.core.study import load_study
from llmdemand.errors import StudyError


def test_a_new_study_loads_as_it_is(tmp_path):
    path = new_study(tmp_path / "deep" / "water.toml")
    study = load_study(path)
    assert path == tmp_path / "deep" / "water.toml"
    assert study.name == "water" and len(study.menu.inside) == 2 and len(study.cells()) == 8


def test_a_new_study_asks_for_the_choice_first_and_says_why(tmp_path):
    path = new_study(tmp_path / "water.toml")
    study = load_study(path)
    assert study.answer_first
    asked = study.prompt(study.cells()[0], study.option_orders()[0])[1]
    assert 'Begin with its name, or with "neither"' in asked
    assert "what it says first is then not what it\n# chooses" in path.read_text("utf-8")
    assert not load_study("pampers").answer_first, "as it was published"


@pytest.mark.parametrize("name", ['Tea "green"', "a\\b", "Tè 茶", "tab\tline\nend\x7f"])
def test_any_name_is_quoted(tmp_path, name):
    assert load_study(new_study(tmp_path / "x.toml", name)).name == name


def test_the_file_shows_every_field_of_the_format(tmp_path):
    text = new_study(tmp_path / "x.toml").read_text("utf-8")
    for field in [*PLAIN, *DESIGN, "anchors"]:
        assert f"\n{field} = " in text or f"\n# {field} = " in text, field
    for table in ("[[alternatives]]", "[sampling]", "# [[personas]]", "# [[variants]]"):
        assert f"\n{table}\n" in text, table


def test_the_optional_fields_are_valid_too(tmp_path):
    lines = new_study(tmp_path / "x.toml").read_text("utf-8").splitlines()
    start = next(k for k, line in enumerate(lines) if line == "# [[personas]]")
    # What is commented out at the end can be used by removing "# ".
    tables = [x.removeprefix("# ") for x in lines[start:] if not x.startswith("# ---") and x != "#"]
    (tmp_path / "y.toml").write_text("\n".join([*lines[:start], *tables]), "utf-8")
    study = load_study(tmp_path / "y.toml")
    assert len(study.cells()) == 2 * 2 * 8
    dollars = study.prompt(study.cells()[-1], study.option_orders()[0])[1]
    assert "Aquila: $1.30 per bottle" in dollars
    for line in lines[:start]:
        name, _, value = line.removeprefix("# ").partition(" = ")
        if line.startswith("# ") and name in (set(DESIGN) | {"separator", "answer_first"}):
            if value.startswith('"""'):
                continue
            default = tomllib.loads(f"x = {value}")["x"]
            found = getattr(study, name)
            # An example; their default is said.
            stated = name in ("points", "outside_offer", "thinking")
            assert stated or default == (list(found) if isinstance(found, tuple) else found), name


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(StudyError, match=r"x\.toml exists: give another path"):
        new_study(path)
    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("path", "name", "message"),
    [
        ("x.txt", None, r"let it end in \.toml"),
        ("x.toml", " ", "name of the study is empty"),
        ("file/x.toml", None, "cannot be written"),
    ],
)
def test_impossible_paths_and_names(tmp_path, path, name, message):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        new_study(tmp_path / path, name)


def test_the_template_is_in_the_wheel(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    root = Path(__file__).resolve().parents[2]
    (built,) = WheelBuilder(str(root)).build(directory=str(tmp_path), versions=["standard"])
    assert "llmdemand/data/templates/study.toml" in zipfile.ZipFile(built).namelist()
