"""Answers of more than one model in one panel: a problem, with the estimate of each."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import pytest

import llmdemand as ld
from llmdemand import audit, compare, fit_demand, load_study, simulate
from llmdemand.belief.auditing.snapshots import snapshots
from llmdemand.reporting.measures.quality import by_snapshot, shortcomings
from llmdemand.simulation.backends.openai import OpenAIBackend

OLD, NEW = "fake-2026-01-01", "fake-2026-06-01"


@pytest.fixture
def drifted(fake_server, complete, tmp_path):
    """Sixteen runs over HTTP, the first six by one snapshot and ten by the next."""

    def answer(body, call):
        text = body["messages"][-1]["content"]
        price = float(re.search(r"Pampers\D*(\d+)", text)[1])
        p = 1 / (1 + math.exp(0.2 * (price - 37) + (1.5 if call > 6 else 0) + 0.1 * (call % 3)))
        listed = {"Pampers": math.log(p), "Huggies": math.log(1 - p)}
        name = "Pampers" if p > 0.5 else "Huggies"
        raw = complete(name, [(name, listed[name], listed)])
        return 200, {**raw, "model": OLD if call <= 6 else NEW}, {}

    fake_server.answer = answer
    backend = OpenAIBackend("fake", base_url=fake_server.url)
    return simulate(
        load_study("pampers"),
        backend,
        runs=1,
        store=tmp_path / "s.sqlite",
        probe=False,
        concurrency=1,
    )


def test_a_snapshot_that_changes_in_the_midst_of_a_run_is_a_problem(drifted):
    found = audit(drifted)
    assert dict(found.snapshots["runs"]) == {NEW: 10, OLD: 6}
    assert f"SNAPSHOT DRIFT, answers are of 2 models: {NEW} 10 runs, mean belief" in found.summary()
    report = compare(drifted, runs=(1,), replications=10)
    (problem,) = [p for p in report.problems if "snapshots" in p]
    table = by_snapshot(drifted)
    for name, row in table.iterrows():
        assert f"{name} {row.runs} runs, price coefficient {row.price_sensitivity:.4f}" in problem


def test_each_estimate_is_that_of_its_runs_alone(drifted):
    table, frame = by_snapshot(drifted), drifted.frame
    for name in (OLD, NEW):
        alone = replace(drifted, frame=frame[frame["model"] == name])
        demand = fit_demand(alone, "belief")
        row = table.loc[name]
        assert row.price_sensitivity == pytest.approx(demand.price_sensitivity)
        low, high = demand.conf_int().loc["price"][["lower", "upper"]]
        assert (row.lower, row.upper) == pytest.approx((low, high))
        rows = frame[frame["model"] == name]
        assert row.belief == pytest.approx(rows["belief_pampers"].mean())
        assert row.chosen == pytest.approx((rows["choice"] == "pampers").mean())


def test_the_command_line_says_it_too(drifted, tmp_path):
    drifted.write(tmp_path / "panel.parquet")
    command = [sys.executable, "-c", "from llmdemand.cli import main; main()", "audit"]
    text, raw = (
        subprocess.run(
            [*command, str(tmp_path / "panel.parquet"), *more],
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
            timeout=120,
        ).stdout
        for more in ([], ["--json"])
    )
    assert "SNAPSHOT DRIFT" in text and "estimates by snapshot" in text
    listed = json.loads(raw)["snapshots"]
    assert [(one["snapshot"], one["runs"]) for one in listed] == [(NEW, 10), (OLD, 6)]
    assert all(one["price_sensitivity"] < 0 for one in listed)


def test_one_snapshot_is_none_and_a_filtered_prompt_is_no_other(synthetic_panel):
    assert not [s for s in shortcomings(synthetic_panel) if "snapshots" in s]
    assert "DRIFT" not in audit(synthetic_panel).summary()
    frame = synthetic_panel.frame.copy()
    frame.loc[:2, ["status", "choice", "model"]] = ["refusal", None, "other"]
    frame.loc[:2, [c for c in frame if c.startswith(("belief_", "lo_", "hi_"))]] = math.nan
    panel = ld.Panel(frame, synthetic_panel.study, synthetic_panel.provenance)
    assert len(snapshots(panel)) == 1


def test_where_a_snapshot_has_one_price_the_reason_is_given(synthetic_panel):
    frame = synthetic_panel.frame.copy()
    one = frame["price_pampers"] == frame["price_pampers"].min()
    frame.loc[one, "model"] = "other"
    panel = ld.Panel(frame, synthetic_panel.study, synthetic_panel.provenance)
    (problem,) = [s for s in shortcomings(panel) if "snapshots" in s]
    assert re.search(r"other 30 runs, no estimate \(.*one value", problem)
    assert by_snapshot(panel).loc["other", "note"] and not by_snapshot(panel)["note"].iloc[0]
