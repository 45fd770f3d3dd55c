"""Calibration as it is used from the command line, and as it stands in a page."""

import json
import re
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from llmdemand import (
    CalibrationWarning,
    calibrate,
    compare,
    discrepancy,
    load_panel,
    paired_panel,
    plan_sample,
)
from llmdemand.cli import main
from llmdemand.core.resources import data_file
from llmdemand.reporting.page.people import write_people
from llmdemand.reporting.people import People
from llmdemand.reporting.tables.people import people_tables
from llmdemand.reporting.tables.tables import all_tables


@pytest.fixture(scope="module")
def data():
    return paired_panel(humans=120, llm=500, answers=1, seed=3)


@pytest.fixture(scope="module")
def people(data):
    found = calibrate(data.humans, data.beliefs, target="share", at=37)
    return People(
        found,
        discrepancy(data.humans, data.beliefs, covariates=["income"], margin=0.1),
        plan_sample(found, cost_human=4.0, cost_llm=0.01, target_se=0.02),
    )


@pytest.fixture
def files(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data.humans.to_csv("humans.csv", index=False)
    data.beliefs.to_parquet("beliefs.parquet")
    return tmp_path


def run(monkeypatch, capsys, *words):
    """Exit code, output and errors of a command."""
    monkeypatch.setattr(sys, "argv", ["llmdemand", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    return stop.value.code or 0, said.out, said.err


def test_the_command_gives_the_numbers_of_the_function(files, monkeypatch, capsys, people):
    words = ["calibrate", "humans.csv", "beliefs.parquet", "--target", "share", "--at", "37"]
    code, out, _ = run(monkeypatch, capsys, *words, "--json")
    found = json.loads(out)
    assert code == 0
    estimates = {row["estimator"]: row["estimate"] for row in found["estimates"]}
    assert estimates == pytest.approx(people.calibration.table["estimate"].to_dict())
    assert found["verdict"] == people.calibration.verdict()
    assert len(found["assumptions"]) == 9
    assert found["beliefs"]["p"] == people.calibration.laws.p
    licences = {row["what"]: row for row in found["discrepancy"]["licences"]}
    assert licences["calibration"]["found"] == people.calibration.verdict()
    assert licences["heterogeneity"]["done"] == "no"  # one answer each
    heuristic = found["discrepancy"]["heuristic"]
    assert heuristic["individuals"]["respondents"] == 120 and heuristic["notes"]
    assert "it is not stated whose answers chose" in found["warnings"][-1]
    code, out, _ = run(monkeypatch, capsys, *words, "--prompt-chosen-on", "nobody", "--json")
    assert not any("not stated" in w for w in json.loads(out)["warnings"])


def test_zeros_in_front_of_respondents_stay(files, monkeypatch, capsys, data):
    spelled = [
        f.assign(respondent_id=f["respondent_id"].str[1:].str.zfill(4))
        for f in (data.humans, data.beliefs)
    ]
    spelled[0].to_csv("humans.csv", index=False)
    words = ["calibrate", "humans.csv", "beliefs.csv", "--json"]
    spelled[1].to_csv("beliefs.csv", index=False)
    code, out, _ = run(monkeypatch, capsys, *words)
    assert code == 0 and json.loads(out)["estimates"]
    # An export that lost them is refused, in a line.
    spelled[1].assign(respondent_id=spelled[1]["respondent_id"].astype(int)).to_csv(
        "beliefs.csv", index=False
    )
    code, _, err = run(monkeypatch, capsys, *words)
    assert code == 2 and "look like one person's" in err and "Traceback" not in err


def test_surveys_from_the_command_line(files, monkeypatch, capsys, data):
    half = (data.humans["income"] > 40).astype(int)
    humans = data.humans.assign(w=1.0 + half, part=half, house=half.index // 8)
    humans.to_csv("humans.csv", index=False)
    beliefs = data.beliefs.assign(part=(data.beliefs["income"] > 40).astype(int))
    beliefs.to_csv("beliefs.csv", index=False)
    pd.DataFrame({"column": "part", "value": [0, 1], "share": [0.4, 0.6]}).to_csv("margins.csv")
    words = ["calibrate", "humans.csv", "beliefs.csv", "--prompt-chosen-on", "nobody", "--json"]
    for options, given in (
        (["--weights", "w", "--psu", "house"], {"weights": "w", "psu": "house"}),
        (["--strata", "part"], {"strata": "part"}),
        (["--margins", "margins.csv"], {"margins": {"part": {0: 0.4, 1: 0.6}}}),
    ):
        code, out, err = run(monkeypatch, capsys, *words, *options)
        assert code == 0, err
        assert "no comparison of shares: it makes nothing of weights" in err
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CalibrationWarning)
            ours = calibrate(humans, beliefs, prompt_chosen_on="nobody", reps=2, **given)
        assert json.loads(out)["estimates"][2]["se"] == pytest.approx(
            float(ours.table.loc["calibrated", "se"])
        )
    strata = json.loads(run(monkeypatch, capsys, *words, "--strata", "part")[1])
    assert [row["proxy"] for row in strata["proxies"]] == ["0", "1"]
    assert strata["unseen"]["shift"] > 0
    code, _, err = run(monkeypatch, capsys, *words, "--weights", "w", "--margin", "0.05")
    assert code == 2 and "makes nothing of weights" in err
    code, _, err = run(monkeypatch, capsys, *words, "--weights", "w", "--recalibrate")
    assert code == 2 and "without --recalibrate" in err
    pd.DataFrame({"column": ["part"]}).to_csv("margins.csv")
    code, _, err = run(monkeypatch, capsys, *words, "--margins", "margins.csv")
    assert code == 2 and "column, value, share" in err


def test_several_models_from_the_command_line(files, monkeypatch, capsys, data):
    noise = np.random.default_rng(1).random(len(data.beliefs))
    data.beliefs.assign(belief=noise).to_csv("other.csv", index=False)
    data.beliefs.assign(other=noise).to_csv("both.csv", index=False)
    words = ["--prompt-chosen-on", "nobody", "--json"]
    told = {
        "files": ["calibrate", "humans.csv", "beliefs.parquet", "--beliefs", "other.csv"],
        "columns": ["calibrate", "humans.csv", "both.csv", "--proxy", "belief", "--proxy", "other"],
    }
    found = {k: json.loads(run(monkeypatch, capsys, *v, *words)[1]) for k, v in told.items()}
    weights = {k: [row["lambda"] for row in v["proxies"]] for k, v in found.items()}
    assert weights["files"] == pytest.approx(weights["columns"])
    assert [row["proxy"] for row in found["files"]["proxies"]] == ["beliefs", "other"]
    code, _, err = run(
        monkeypatch, capsys, *told["files"], "--beliefs", "beliefs.parquet", "--json"
    )
    assert code == 2 and "different names" in err


def test_prompts_from_the_command_line(files, monkeypatch, capsys, data):
    noise = np.random.default_rng(1).random(len(data.beliefs))
    data.beliefs.assign(other=noise).to_parquet("beliefs.parquet")
    words = ["calibrate", "humans.csv", "beliefs.parquet", "--prompt", "belief"]
    code, out, _ = run(monkeypatch, capsys, *words, "--prompt", "other")
    assert code == 0 and "chosen by the other humans" in out
    code, _, err = run(monkeypatch, capsys, *words)
    assert code == 2 and "at least two" in err


def test_out_writes_page_tables_and_figures(files, monkeypatch, capsys):
    words = ["calibrate", "humans.csv", "beliefs.parquet", "--out", "results"]
    code, out, _ = run(monkeypatch, capsys, *words, "--subgroup", "income", "--margin", "0.1")
    assert code == 0 and "naive pooling" in out and "Discrepancy" in out
    assert "heuristic: subgroups" in out and "yes calibration: calibration" in out
    page = (files / "results" / "report.html").read_text("utf-8")
    assert "Assumptions of the calibration" in page and page.count("<figure") >= 3
    table = pd.read_csv(files / "results" / "tables" / "people.csv")
    assert list(table["estimator"])[2] == "calibrated" and np.isfinite(table["se"]).all()
    assert (files / "results" / "figures" / "people.svg").exists()


def test_choices_among_several_alternatives_are_compared_too(monkeypatch, capsys, tmp_path):
    humans = pd.read_csv(str(data_file("humans", "travel-mode.csv")))
    humans[humans["respondent_id"] % 2 == 0].to_csv(tmp_path / "half.csv", index=False)
    monkeypatch.chdir(tmp_path)
    load_panel("travel-mode").write(tmp_path / "panel.parquet")
    words = ["calibrate", "half.csv", "panel.parquet", "--model", "clogit", "--design", "sampled"]
    code, out, _ = run(monkeypatch, capsys, *words, "--margin", "0.05", "--json")
    found = json.loads(out)["discrepancy"]
    assert code == 0 and [row["alternative"] for row in found["shares"]] == [
        "air", "bus", "car", "train"
    ]  # fmt: skip
    assert found["table"][0]["quantity"] == "price coefficient"
    code, out, _ = run(monkeypatch, capsys, *words, "--margin", "0.05")
    assert code == 0 and "shares by alternative" in out and "is not shown" in out


def test_recalibration_from_the_command_line(files, monkeypatch, capsys):
    words = ["calibrate", "humans.csv", "beliefs.parquet", "--recalibrate", "--covariate", "income"]
    code, out, _ = run(monkeypatch, capsys, *words, "--lambda", "tuned")
    assert code == 0 and "lambda tuned" in out
    code, out, _ = run(monkeypatch, capsys, *words)
    assert (
        code == 0
        and "lambda aipw" in out
        and "recalibrated to humans in 5 folds with income" in out
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["humans.csv", "nothing.csv"], "no file nothing.csv"),
        (["humans.csv", "humans.csv"], "no column 'belief'"),
        (["humans.csv", "beliefs.parquet", "--lambda", "best"], "--lambda 'best'"),
        (["humans.csv", "beliefs.parquet", "--formula", "choice ~ prize"], "did you mean 'price'"),
        (["humans.csv", "beliefs.parquet", "--prompt-chosen-on", "these"], "too short"),
        (["text.md", "beliefs.parquet"], ".csv or .parquet"),
        (["humans.csv", "broken.parquet"], "cannot be read"),
        (["empty.csv", "beliefs.parquet"], "cannot be read"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(files, monkeypatch, capsys, words, said):
    (files / "text.md").write_text("no table", encoding="utf-8")
    (files / "broken.parquet").write_text("no parquet", encoding="utf-8")
    (files / "empty.csv").write_text("", encoding="utf-8")
    code, _, err = run(monkeypatch, capsys, "calibrate", *words)
    assert code == 2 and said in err and len(err.strip().splitlines()) == 1


def test_plan_of_respondents_with_a_pilot_and_without(files, monkeypatch, capsys, people):
    costs = ["--cost-human", "4", "--cost-llm", "0.01"]
    pilot = ["beliefs.parquet", "--humans", "humans.csv", "--target", "share", "--at", "37"]
    words = ["plan", *pilot, *costs, "--target-se", "0.02", "--out", "plan"]
    code, out, _ = run(monkeypatch, capsys, *words)
    assert code == 0 and people.plan.verdict() in out
    assert (files / "plan" / "sample-plan.png").exists()
    code, out, _ = run(
        monkeypatch, capsys, "plan", "--rho", "0.3", *costs, "--n-eff", "500", "--json"
    )
    assert code == 0 and json.loads(out)["pays"] is True
    for words, said in (
        (["--rho", "0.3"], "--cost-human"),
        ([], "give a pilot panel"),
        (["--n-eff", "10"], "give --humans or --rho"),
        (["--humans", "humans.csv", *costs, "--n-eff", "9"], "needs the beliefs"),
    ):
        code, _, err = run(monkeypatch, capsys, "plan", *words)
        assert code == 2 and said in err


def test_a_report_with_people_has_their_section(people, synthetic_panel, tmp_path):
    report = compare(synthetic_panel, runs=(1, 2), replications=20)
    plain = {t.name for t in all_tables(report)}
    whole = report.with_people(people.calibration, people.discrepancy, people.plan)
    names = {t.name for t in all_tables(whole)}
    assert names - plain == {t.name for t in people_tables(people)}
    whole.to_html(tmp_path / "with.html")
    report.to_html(tmp_path / "without.html")
    page = (tmp_path / "with.html").read_text("utf-8")
    assert 'id="people"' in page and people.calibration.verdict() in page
    # Whoever sees the heuristics sees that a calibration was done, too.
    assert whole.people.discrepancy.licences.loc["calibration", "done"] == "yes"
    assert "Heuristic validation." in page and "Statistical calibration." in page
    plain = (tmp_path / "without.html").read_text("utf-8")
    assert 'id="people"' not in plain and "prediction-powered" not in plain


def test_the_page_on_people_alone_is_whole_and_loads_nothing(people, tmp_path):
    write_people(people, tmp_path / "people.html", command="llmdemand calibrate a b")
    page = (tmp_path / "people.html").read_text("utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for words in ("What is the share at 37 of people?", "naive pooling", "llmdemand calibrate a b"):
        assert words in page
    assert page.count("<img") == 7 and "prediction-powered inference" in page
    for id_ in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{id_}"' in page
