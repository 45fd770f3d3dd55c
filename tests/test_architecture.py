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
    "core": set(),
    "belief": {"core"},
    "modeling": {"core"},
    "simulation": {"core", "belief"},
    "calibration": {"core", "modeling"},
    "reporting": {"core", "belief", "modeling", "calibration"},
    "lab": {"core", "belief", "modeling", "simulation", "reporting"},
    "cli": {"core", "belief", "modeling", "simulation", "calibration", "reporting", "lab"},
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def room(module):
    parts = module.split(".")
    return parts[1] if parts[0] == "llmdemand" and len(parts) > 1 else None


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_rooms_import_only_from_lower_floors(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return  # the face names everything, lazily
    for module in imports(path):
        used = room(module)
        if used not in (None, own, "errors", "__version__"):
            assert used in ALLOWED[own], f"{own} must not import {module}"


def test_every_room_is_in_the_plan():
    rooms = {p.name.removesuffix(".py") for p in PACKAGE.iterdir() if p.suffix == ".py"}
    rooms |= {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert rooms - {"__init__"} <= set(ALLOWED)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, llmdemand; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"numpy", "pandas", "scipy", "statsmodels", "matplotlib", "openai", "pyarrow"}
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
