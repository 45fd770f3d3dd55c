"""The house keeps its floors, and its front door is light."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "llmdemand"

# A room may import from the rooms listed for it, from itself and from errors.
ALLOWED = {
    "errors": set(),
    "scale": set(),
    "core": {"scale"},
    "belief": {"scale", "core"},
    "modeling": {"scale", "core"},
    "simulation": {"scale", "core", "belief"},
    "calibration": {"scale", "core", "modeling"},
    "reporting": {"scale", "core", "belief", "modeling", "calibration"},
    "lab": {"core", "belief", "modeling", "simulation", "reporting"},
    "cli": {"scale", "core", "belief", "modeling", "simulation", "calibration", "reporting", "lab"},
    "__main__": {"cli"},
}


# Inside a room a file imports from lower floors only: bottom to top, files and folders by name,
# those of one line not from each other.
FLOORS = {
    "core": [
        "cell line menu processors resources sampling sheets tables written",
        "experiment people",
        "questionnaire starter",
        "study",
        "exchange rows",
        "panel",
        "glossary panels shards",
    ],
    "belief": [
        "equivalence tokens words",
        "characters mass mentions",
        "prefix",
        "agreement automaton",
        "pivot",
        "extract tree",
        "auditing branching final measures thoughts",
        "audit rows",
        "readers",
        "files",
    ],
    "modeling": [
        "arrays printed spelled verbatim",
        "sample likelihood outcomes",
        "passes runs substitution",
        "optimum",
        "batch",
        "variance",
        "estimation",
        "quantities situations",
        "averages markets numbers tastes",
        "inference",
        "scoring",
        "partworths",
        "tables",
        "models",
        "own",
    ],
    "simulation": [
        "backend cost",
        "calls requests storing",
        "branches",
        "backends probe",
        "batches",
        "batch embeddings missing",
        "runner",
        "workers",
        "doctor run",
        "judge",
    ],
    "calibration": [
        "paired power samples target",
        "moments",
        "checks",
        "estimates",
        "figures fits",
        "fidelity proxies",
        "carried prompts",
        "calibrated debias discrepancy",
        "choosing fitted tuned",
        "ppi sample_plan",
        "recalibrate",
    ],
    "reporting": [
        "people simulator tallies truth",
        "measures",
        "heterogeneity",
        "findings parts",
        "tables",
        "figures",
        "page",
        "compare own",
        "terminal",
    ],
    "lab": [
        "ask cases questions result",
        "enumerated repeated rules",
        "finals",
        "experiments",
        "registry",
    ],
    "cli": [
        "options output",
        "app reports",
        "measures own shards",
        "batches first lab panels people readers runs stores studies",
        "analyses plans",
    ],
}
MOST = 13  # modules in a folder


def name_of(path):
    """The dotted name of a module; of a package's own file that of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(text, modules):
    """Those of the modules that a file imports: above, for types alone, and within functions."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole module"
            for alias in node.names:
                # A name is a module of the package that it comes from, or something inside of it.
                whole = f"{node.module}.{alias.name}"
                yield from {whole if whole in modules else node.module} & modules
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & modules


# The face names everything, lazily, and gives the version: it takes no part.
GRAPH = {
    name: set(imported(path.read_text("utf-8"), set(MODULES))) - {"llmdemand"}
    for name, path in MODULES.items()
    if name != "llmdemand"
}


def circle(graph):
    """The modules along one circle, the first of them again at the end; empty without one."""
    left = {name: used & graph.keys() for name, used in graph.items()}
    while free := {name for name, used in left.items() if not used}:
        left = {name: used - free for name, used in left.items() if name not in free}
    way = []
    while left and (not way or way[-1] not in way[:-1]):
        way.append(min(left[way[-1]] if way else left))
    return way[way.index(way[-1]) :] if way else []


def test_the_finder_of_circles_finds_them():
    house = {"roof": {"wall"}, "wall": {"floor", "nail"}, "floor": {"nail"}, "nail": set()}
    assert circle(house) == []
    assert circle(house | {"nail": {"wall"}}) == ["floor", "nail", "wall", "floor"]
    assert circle({"a": {"a"}}) == ["a", "a"]


def test_imports_are_seen_wherever_they_stand():
    text = """
if TYPE_CHECKING:
    from room.types import Noun
def late():
    from room import late_one, __version__
    import room.plain
"""
    modules = {"room", "room.types", "room.late_one", "room.plain", "room.other"}
    assert set(imported(text, modules)) == modules - {"room.other"}


def test_no_file_is_above_and_below_another():
    found = circle(GRAPH)
    assert not found, f"a circle of imports: {' -> '.join(found)}"


@pytest.mark.parametrize("name", GRAPH)
def test_rooms_import_only_from_lower_floors(name):
    room, *inner = name.split(".")[1:]
    floor = {n: k for k, line in enumerate(FLOORS.get(room, ())) for n in line.split()}
    for module in GRAPH[name]:
        used, *place = module.split(".")[1:]
        if used != room:
            assert used in ALLOWED[room] | {"errors"}, f"{room} must not import {module}"
        elif floor and inner and place[0] != inner[0]:
            assert floor[place[0]] < floor[inner[0]], f"{name} must not import {module}"


def test_every_part_of_a_divided_room_has_its_floor():
    for room in ALLOWED:
        parts = {name.split(".")[2] for name in GRAPH if name.startswith(f"llmdemand.{room}.")}
        if any((PACKAGE / room / part).is_dir() for part in parts):
            assert parts == {n for line in FLOORS[room] for n in line.split()}, room


def folders():
    return sorted({path.parent for path in PACKAGE.rglob("*.py")})


def files(folder):
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def test_no_folder_is_a_corridor():
    for folder in folders():
        assert len(files(folder)) <= MOST, f"{folder.relative_to(ROOT)} wants rooms"


def row(folder):
    """What CONTRIBUTING.md says of a folder: the first line of its own file, and its files."""
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))).split("\n")[0]
    return f"| `{folder.relative_to(ROOT).as_posix()}/` | {said} | {' '.join(files(folder))} |"


def test_the_table_of_folders_is_true():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()
    told = {line for line in text if line.startswith("| `llmdemand/")}
    true = {row(folder) for folder in folders()}
    assert told == true, "\n".join(["put in", *(true - told), "take out", *(told - true)])


def test_the_tests_stand_where_what_they_test_does():
    own = {"tests", "tests/golden", "tests/properties"}
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = path.parent.relative_to(ROOT)
        where = PACKAGE / folder.relative_to("tests")
        assert folder.as_posix() in own or where.is_dir(), f"{path}: there is no {where}"


def test_every_room_is_in_the_plan():
    rooms = {p.name.removesuffix(".py") for p in PACKAGE.iterdir() if p.suffix == ".py"}
    rooms |= {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert rooms - {"__init__"} <= set(ALLOWED)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, llmdemand; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout.split()
    heavy = {"numpy", "pandas", "scipy", "statsmodels", "matplotlib", "openai", "pyarrow"}
    heavy |= {"msgspec", "zstandard"}
    assert not heavy & set(found)


def test_every_public_name_resolves():
    import llmdemand

    for name in llmdemand.__all__:
        assert getattr(llmdemand, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'demandx'"):
        _ = llmdemand.demandx


def test_the_wheel_holds_the_studies_and_the_page_template(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(built).namelist()
    assert "llmdemand/data/studies/pampers.toml" in names
    assert "llmdemand/reporting/page/templates/report.html" in names


def test_nothing_points_at_one_machine():
    import re

    machine = re.compile(r"(?<![\w.])/(?:home|root|tmp|Users)/\w")
    for path in [*PACKAGE.rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "data").rglob("*.toml")]:
        assert not machine.search(path.read_text("utf-8")), path
