"""``judge`` and ``label`` as a user runs them."""

import functools
import json

import pandas as pd
import pytest

from llmdemand.core.panel import Panel


@pytest.fixture
def run(run_in, tmp_path, synthetic_panel):
    """Run a command in a folder with a panel."""
    synthetic_panel.write(tmp_path / "panel.parquet")
    return functools.partial(run_in, tmp_path)


def test_a_sheet_goes_out_and_comes_back(run, tmp_path):
    code, out, _ = run("label", "export", "panel.parquet", "--sample", 40, "--out", "sheet.csv")
    assert code == 0 and "40 answers in sheet.csv" in out
    sheet = pd.read_csv(tmp_path / "sheet.csv", dtype=str, keep_default_na=False)
    code, _, err = run("label", "import", "panel.parquet", "sheet.csv")
    assert code == 2 and "the label is empty" in err
    code, _, err = run("label", "export", "panel.parquet", "--out", "sheet.csv")
    assert code == 2 and "labels are not overwritten" in err
    # A person who reads as the known-truth consumer writes: its texts name one brand.
    says = ["Pampers" if "Pampers" in text else "Huggies" for text in sheet["text"]]
    sheet.assign(label=says).to_csv(tmp_path / "sheet.csv", index=False, encoding="utf-8-sig")
    code, out, _ = run("label", "import", "panel.parquet", "sheet.csv", "--out", "new.parquet")
    assert code == 0 and "rules: agrees with the labels in" in out and "kappa" in out
    frame = Panel.read(tmp_path / "new.parquet").frame
    assert frame["label_probability"].dropna().eq(40 / 480).all()
    code, out, _ = run("label", "import", "panel.parquet", "sheet.csv", "--json")
    assert code == 0 and json.loads(out)["agreement"][0]["answers"] == 40


def test_a_judge_is_priced_and_then_asked(run, tmp_path, fake_server, complete, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    fake_server.answer = lambda body, call: (
        200,
        complete("Huggies", [("H", -0.1, {"H": -0.1, "P": -3.0}), ("uggies", -0.01, {})]),
        {},
    )
    who = ("--backend", "openai", "--base-url", fake_server.url, "--model", "judge-1")
    code, out, _ = run("judge", "panel.parquet", *who, "--token-prices", "1,1", "--dry-run")
    assert code == 0 and "answers to ask" in out and not fake_server.requests
    code, out, _ = run(
        "judge", "panel.parquet", *who, "--token-prices", "1,1", "--out", "j.parquet"
    )
    assert code == 0 and "480 runs: read 480" in out
    assert "the judge chose the option that it was shown first in" in out
    code, out, _ = run(
        *("judge", "panel.parquet", *who, "--token-prices", "1,1", "--out", "j.parquet", "--json")
    )
    found = json.loads(out)
    assert found["readings"] == {"read": 480} and found["estimate"]["asked"] == 0
    assert found["files"] == {"panel": "j.parquet", "responses": "j.responses.sqlite"}
    panel = Panel.read(tmp_path / "j.parquet")
    assert panel.provenance["final_reader"] == "judge"
    asked = len(fake_server.requests)
    assert 0 < asked < 480, "texts that come again are asked once"
    run("judge", "panel.parquet", *who, "--token-prices", "1,1", "--out", "j.parquet")
    assert len(fake_server.requests) == asked, "nothing is asked twice"
    shown = {r["messages"][1]["content"].split("\n")[1] for r in fake_server.requests}
    assert shown == {"- Pampers", "- Huggies"}
    fixed = ("judge", "panel.parquet", *who, "--token-prices", "1,1", "--orders")
    code, out, _ = run(*fixed, "fixed", "--out", "j.parquet")
    assert code == 0 and "cannot be told" in out
    assert Panel.read(tmp_path / "j.parquet").frame["judged_order"].nunique() == 1
    code, _, err = run(*fixed, "cross")
    assert code == 2 and "use one of rotate, fixed" in err


def test_labels_that_cannot_be_read_are_one_line(run):
    code, _, err = run("label", "import", "panel.parquet", "nowhere.csv")
    assert code == 2 and err.count("\n") == 1 and "label export" in err
