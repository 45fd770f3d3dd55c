"""A choice experiment from an empty folder, as a user types it."""

import functools
import json
import re

import pytest

from llmdemand.core.panel import Panel


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("coffee")


@pytest.fixture
def run(run_in, folder):
    """Run a command in the folder of all tests."""
    return functools.partial(run_in, folder)


def test_six_commands_lead_from_nothing_to_part_worths_and_a_report(run, folder):
    assert run("studies", "new", "coffee.toml", "--conjoint")[0] == 0
    code, out, _ = run("studies", "show", "coffee.toml")
    assert code == 0
    for words in ("24 choice tasks and 4 holdouts in 2 blocks", "D-error", "level balance"):
        assert words in out
    assert re.search(r"- Aroma: \d+ g, a \w+ roast, \$\d+\.00", out)
    code, out, err = run("simulate", "coffee.toml", "--backend", "synthetic", "--out", "c.parquet")
    assert code == 0 and "320 runs: ok 320" in out
    assert "size 500 g 1.4" in err
    assert run("audit", "c.parquet")[0] == 0
    code, out, _ = run("conjoint", "c.parquet", "--out", "results")
    assert code == 0
    for words in ("willingness to pay", "holdout hit rate", "known truth", "conjoint.html"):
        assert words in out
    page = (folder / "results" / "conjoint.html").read_text("utf-8")
    assert page.count("<svg") == 0 and page.count("data:image/svg+xml;base64,") == 3
    for words in ("Willingness to pay", "Prediction of holdout tasks", "llmdemand conjoint"):
        assert words in page
    names = {p.name for p in (folder / "results").rglob("*.*")}
    assert {"part_worths.csv", "holdouts.md", "importances.png", "worth.svg"} <= names
    code, out, _ = run(
        "compare", "c.parquet", "--out", "report", "--replications", 20, "--runs", 1, "--runs", 2
    )
    assert code == 0
    report = (folder / "report" / "report.html").read_text("utf-8")
    assert "This is a choice experiment" in report and "Levels of roast" in report


def test_the_numbers_are_those_of_python(run, folder):
    import llmdemand as ld

    code, out, _ = run("conjoint", "c.parquet", "--json", "--outcome", "choice", "--vcov", "HC1")
    found = json.loads(out)
    ours = ld.conjoint(Panel.read(folder / "c.parquet"), "choice", vcov="HC1")
    assert code == 0 and found["outcome"] == "choice" and found["nobs"] == 240
    for name, table in (("part_worths", ours.part_worths), ("worth", ours.worth)):
        told = [row["estimate"] for row in found[name]]
        assert told == pytest.approx(table.table["estimate"].tolist())
    assert found["holdouts"]["scores"][0]["hit_rate"] == pytest.approx(ours.holdouts.hit_rate)


def test_the_other_commands_take_the_panel_or_say_why_not(run):
    code, out, _ = run("fit", "c.parquet", "--model", "clogit")
    assert code == 0 and "size[T.500 g]" in out and "runs of holdout tasks" in " ".join(out.split())
    code, out, _ = run("fit", "c.parquet")
    assert code == 0 and "levels of size, roast are not in the formula" in " ".join(out.split())
    code, _, err = run("plan", "c.parquet")
    assert code == 2 and "is a choice experiment, whose tasks are one design" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("conjoint", "no.parquet"), "no panel at no.parquet"),
        (("conjoint", "coffee.toml"), "not a parquet file"),
        (("conjoint", "c.parquet", "--linear", "size"), "levels of 'size' are texts"),
        (("conjoint", "c.parquet", "--linear", "sise"), "did you mean 'size'"),
        (("conjoint", "c.parquet", "--outcome", "beliefs"), "use 'belief' or 'choice'"),
        (("conjoint", "c.parquet", "--ci", "exact"), "ci='exact'"),
        (("conjoint", "c.parquet", "--vcov", "CRV1:nobody"), "nobody"),
        (("conjoint", "c.parquet", "--out", "c.parquet"), "is a file: give a folder"),
        (("studies", "new", "coffee.toml", "--conjoint"), "exists: give another path"),
    ],
)
def test_mistakes_are_one_line(run, arguments, message):
    code, _, err = run(*arguments)
    assert code == 2 and message in err and "Traceback" not in err


def test_a_panel_without_attributes_is_refused(run):
    run("simulate", "pampers", "--backend", "synthetic", "--runs", 1, "--out", "p.parquet")
    code, _, err = run("conjoint", "p.parquet")
    assert code == 2 and "has no attributes" in err
