"""``--json``: every command has it, and prints nothing else on standard output."""

import json

import pytest
import typer

from llmdemand import cli
from llmdemand.cli.output import loudness, print_json

# Commands without --json, each with its reason; none.
WITHOUT = {}


def leaves(command, *names):
    inner = getattr(command, "commands", {})
    for name, one in inner.items():
        yield from leaves(one, *names, name)
    if not inner:
        yield " ".join(names), command


LEAVES = dict(leaves(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_command_speaks_json(name):
    options = [o for p in LEAVES[name].params for o in p.opts]
    assert ("--json" in options) != (name in WITHOUT)


def strict(text):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def told(run):
    """Run a command with --json: what it prints, whole, is one document."""

    def call(*words):
        code, out, err = run(*words, "--json")
        assert code == 0, err
        return strict(out)

    return call


def test_what_a_study_writes_is_said(told, tmp_path):
    new = told("studies", "new", "mine.toml")
    assert new["files"] == {"study": "mine.toml"} and new["cells"] > 1
    dry = told("simulate", "mine.toml", "--backend", "synthetic", "--runs", 3, "--dry-run")
    assert (
        dry["estimate"]["asked"] == 3 * new["cells"] and not (tmp_path / "panel.parquet").exists()
    )
    made = told("simulate", "mine.toml", "--backend", "synthetic", "--runs", 3)
    assert made["runs"] == made["kept"]["responses"] == 3 * new["cells"]
    assert sum(made["statuses"].values()) == made["runs"] and made["truth"]["runs"] == made["runs"]
    assert all((tmp_path / file).is_file() for file in made["files"].values())
    read = told("extract", made["files"]["responses"], "--study", "mine.toml", "--out", "b.parquet")
    assert read["statuses"] == made["statuses"] and read["mismatches"] == 0
    told("audit", "b.parquet")
    kept = told("store", "export", "panel.responses.sqlite", "a.jsonl")
    assert kept["responses"] >= made["runs"] and (tmp_path / "a.jsonl").is_file()
    again = told("store", "import", "new.sqlite", "a.jsonl")
    assert again["read"] == [{"file": "a.jsonl", "new": kept["responses"], "known": 0}]
    (info,) = told("store", "info", "new.sqlite")
    assert info["responses"] == kept["responses"]
    wrote = told("batch", "write", "mine.toml", "--out", "batch", "--runs", 1)
    assert (
        wrote["requests"] == new["cells"] and (tmp_path / wrote["files"]["requests"][0]).is_file()
    )


def test_results_say_where_they_are(told, tmp_path, synthetic_panel):
    synthetic_panel.write(tmp_path / "panel.parquet")
    few = ("--replications", 5, "--runs", 1, "--out", "results")
    found = told("compare", "panel.parquet", *few)
    assert "Demand falls" in found["verdict"] and found["precision"]
    assert all((tmp_path / place).exists() for place in found["files"].values())
    sheet = told("label", "export", "panel.parquet", "--sample", 5)
    assert sheet == {"answers": 5, "files": {"sheet": "sheet.csv"}}


def test_fits_of_tables_say_where_they_are(told, tmp_path):
    rows = [f"{price},{bought}" for price in (1, 2, 3) for bought in (0, 1, price % 2)]
    (tmp_path / "own.csv").write_text("price,bought\n" + "\n".join(rows) + "\n")
    found = told("fit", "own.csv", "bought ~ price", "--out", "results")
    assert found["files"]["report"] == "results/report.html" and found["terms"]
    assert all((tmp_path / place).exists() for place in found["files"].values())


def test_the_weights_are_named_with_their_checksum(told, monkeypatch, tmp_path):
    from llmdemand.simulation.backends import weights

    (tmp_path / "some.gguf").write_bytes(b"weights")
    monkeypatch.setattr(weights, "embedded_model", lambda: tmp_path / "some.gguf")
    monkeypatch.setattr(weights, "fetch_weights", weights.embedded_model)
    for word in ("where", "get"):
        found = told("model", word)
        assert found["bytes"] == 7 and len(found["sha256"]) == 64


def test_lists_are_lists(told):
    assert {"name", "question"} == set(told("lab")[0])
    assert {"name", "title", "cells"} == set(told("studies", "list")[0])
    assert told("lab", "variance", "--dry-run")["estimate"]["asked"] > 0


def test_studies_go_out_and_in(told):
    out = told("studies", "export", "coffee-packs", "--out", "coffee.json")
    assert out["files"] == {"edsl": "coffee.json"} and out["scenarios"] == 6
    back = told("studies", "import", "coffee.json", "--out", "coffee.toml")
    assert back["cells"] == 6 and back["files"] == {"study": "coffee.toml"}


def test_a_mistake_leaves_standard_output_empty(run):
    code, out, err = run("extract", "nothing.sqlite", "--study", "pampers", "--json")
    assert (code, out) == (2, "") and err.startswith("error: ")


def test_what_libraries_count_with_is_json_too(capsys):
    import datetime
    from pathlib import Path

    import numpy as np
    import pandas as pd

    given = [np.int64(1), np.float32("nan"), np.bool_(True), np.array([0.5, np.inf]), pd.NA, pd.NaT]
    print_json([*given, Path("a") / "b", datetime.date(2026, 1, 2), "NaT"])
    found = strict(capsys.readouterr().out)
    assert found[:6] == [1, None, True, [0.5, "inf"], None, None]
    assert found[6:] == [str(Path("a") / "b"), "2026-01-02", "NaT"]


def test_what_is_told_beside_the_document_goes_to_standard_error(run, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    made = ("simulate", "pampers", "--backend", "synthetic", "--runs", 1, "--json")
    code, out, err = run("--verbose", *made)
    loudness()
    assert code == 0 and strict(out)["runs"] == 16 and "answers" in err
