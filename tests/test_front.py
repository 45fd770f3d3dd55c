"""The front door: version, help, quiet and verbose, as a shell runs them."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import llmdemand
from llmdemand.cli import app
from llmdemand.cli.output import loudness
from llmdemand.simulation.calls.pool import Gate


@pytest.fixture(autouse=True)
def as_before():
    yield
    loudness()


def test_the_module_is_the_command_line():
    found = subprocess.run(
        [sys.executable, "-m", "llmdemand", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout == f"llmdemand {llmdemand.__version__}\n"


def simulated(tmp_path, *options):
    command = ("simulate", "pampers", "--backend", "synthetic", "--runs", "1")
    return CliRunner().invoke(app, [*options, *command, "--out", str(tmp_path / "panel.parquet")])


def test_quiet_leaves_the_results(tmp_path):
    told, quiet = simulated(tmp_path), simulated(tmp_path, "--quiet")
    assert told.exit_code == quiet.exit_code == 0
    assert told.stderr and not quiet.stderr
    assert told.stdout == quiet.stdout


@pytest.mark.parametrize("option", ["--verbose", "--quiet"])
def test_verbose_shows_what_happens(option, capsys):
    assert CliRunner().invoke(app, [option, "explain", "pivot"]).exit_code == 0
    Gate(4).objected(begun=0.0, wait=0.0)
    told = "the server asks for fewer calls: 3 at a time now" in capsys.readouterr().err
    assert told == (option == "--verbose")


def test_quiet_and_verbose_exclude_each_other():
    assert "give one of them" in str(CliRunner().invoke(app, ["-q", "-v", "studies"]).exception)


def test_words_are_listed_and_explained():
    run = lambda *arguments: CliRunner().invoke(app, ["explain", *arguments])  # noqa: E731
    assert "own-price elasticity" in run().stdout.splitlines()
    (found,) = json.loads(run("wtp", "--json").stdout)
    assert found["name"] == "willingness to pay"
    assert run("nothing of this kind").exit_code == 1  # the exception that main turns into 2
