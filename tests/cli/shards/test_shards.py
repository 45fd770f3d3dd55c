"""Commands that take a panel take a folder of them, or say what to give."""

import json

import pytest

import llmdemand as ld
from llmdemand.core.shards.shards import write_shards


@pytest.fixture
def folder(tmp_path):
    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=2, seed=1)
    panel.write(tmp_path / "one.parquet")
    write_shards(panel, tmp_path / "many", rows=12)
    return tmp_path


def test_an_audit_and_a_plan_of_a_folder_are_those_of_the_file(folder, run):
    for command in (["audit"], ["plan"]):
        told = [run(*command, name, "--json") for name in ("one.parquet", "many")]
        assert [code for code, *_ in told] == [0, 0]
        # Sums of parts differ from the sum of all by their last digits.
        one, many = (
            json.loads(out, parse_float=lambda x: round(float(x), 9)) for _, out, _ in told
        )
        assert one == many
    code, _, err = run("audit", "many", "--workers", "0")
    assert code == 2 and "--workers 0" in err


def test_a_report_of_a_folder(folder, run):
    code, _, err = run("compare", "many", "--replications", "10", "--runs", "1", "--out", "found")
    assert code == 0, err
    page = (folder / "found" / "report.html").read_text("utf-8")
    assert "ld.read_panel(" in page and "32 answers" in page
    assert (folder / "found" / "panel.parquet").is_file()


@pytest.mark.parametrize("words", [("label", "export"), ("judge",), ("similarity",)])
def test_what_writes_one_panel_says_what_to_give(folder, run, words):
    code, _, err = run(*words, "many")
    assert code == 2 and "folder of 3 files" in err and "sample" in err
