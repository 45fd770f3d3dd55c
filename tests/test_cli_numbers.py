"""Quantities, ratings and EDSL as a user runs them, from an empty folder."""

import json

import pytest

from llmdemand.core.study import load_study


@pytest.mark.parametrize("name", ["coffee-packs", "coffee-intention"])
def test_from_a_question_to_demand(run, name):
    code, out, _ = run("studies", "show", name)
    assert code == 0 and "price of Aroma coffee 4 to 9" in out
    how = ("--backend", "synthetic", "--runs", 4, "--out", "p.parquet")
    assert run("simulate", name, *how)[0] == 0
    code, out, _ = run("fit", "p.parquet", "--price", 6)
    assert code == 0 and "price elasticity" in out and "belief against choice" in out
    code, out, _ = run("fit", "p.parquet", "--outcome", "choice", "--json")
    found = json.loads(out)
    assert code == 0 and found["terms"][-1]["term"] in ("price", "4|5")
    assert len(found["expected"]) == 6 and found["precision"]
    assert run("audit", "p.parquet")[0] == 0
    code, _, err = run("compare", "p.parquet")
    assert code == 2 and "asks for a" in err and "Traceback" not in err
    code, _, err = run("fit", "p.parquet", "--model", "mixed")
    assert code == 2 and "whose model is" in err
    code, out, err = run("fit", "p.parquet", "--cost", 3)
    assert (code == 0) == (name == "coffee-packs")
    assert "price of the highest profit" in out if code == 0 else "--cost is of quantities" in err


def test_studies_go_to_edsl_and_come_back(run, tmp_path):
    code, out, _ = run("studies", "export", "coffee-packs", "--to", "edsl", "--out", "job.json")
    assert code == 0 and "6 scenarios, 1 agents" in out and "note:" in out
    assert run("studies", "export", "coffee-packs", "--out", "job.json")[0] == 2
    assert run("studies", "export", "pampers-households", "--out", "x.json")[0] == 2
    assert not (tmp_path / "x.json").exists()
    code, _, err = run("studies", "export", "coffee-packs", "--to", "qualtrics", "--out", "x.json")
    assert code == 2 and "the one format is edsl" in err
    code, out, _ = run("studies", "import", "job.json", "--out", "back.toml", "--unit", "euros")
    assert code == 0 and "6 cells" in out
    study = load_study(tmp_path / "back.toml")
    assert (study.name, study.kind, study.unit) == ("back", "quantity", "euros")
    assert run("studies", "import", "job.json", "--out", "back.toml")[0] == 2
    assert run("studies", "import", "none.json", "--out", "b.toml")[0] == 2
    (tmp_path / "bad.json").write_text("{", "utf-8")
    code, _, err = run("studies", "import", "bad.json", "--out", "b.toml")
    assert code == 2 and "is not JSON" in err and "Traceback" not in err
