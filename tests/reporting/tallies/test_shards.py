"""What is said of a panel in parts is what is said of the whole, however it is divided."""

import pickle
from dataclasses import fields, is_dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import llmdemand as ld
from llmdemand.belief.audit import audit
from llmdemand.core.shards.part import Part
from llmdemand.core.shards.shards import PanelShards, write_shards
from llmdemand.errors import PanelError
from llmdemand.reporting.measures.costs import run_cost
from llmdemand.reporting.measures.quality import by_snapshot, quality, shortcomings, why_nothing
from llmdemand.reporting.measures.selection import selection
from llmdemand.reporting.measures.variance import variance
from llmdemand.scale.merging import map_merge

MEASURES = [audit, quality, partial(variance, replications=50), selection, run_cost]


def same(one, two, where=""):
    """To 1e-10, field by field."""
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, two, rtol=1e-10, atol=1e-12, check_dtype=False)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, two, rtol=1e-10, check_index_type=False)
    elif is_dataclass(one):
        for f in fields(one):
            same(getattr(one, f.name), getattr(two, f.name), f"{where}.{f.name}")
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for key, value in one.items():
            same(value, two[key], f"{where}.{key}")
    elif isinstance(one, tuple) and not all(isinstance(x, str) for x in one):
        for k, (a, b) in enumerate(zip(one, two, strict=True)):
            same(a, b, f"{where}[{k}]")
    elif isinstance(one, float):
        assert one == pytest.approx(two, rel=1e-10, abs=1e-13, nan_ok=True), where
    else:
        assert one == two, where


@pytest.fixture(scope="module")
def panel():
    """Some answers change their mind, some are refused, some are of another snapshot."""
    found = ld.simulate(ld.load_study("pampers"), "synthetic", runs=8, seed=1)
    rng, frame = np.random.default_rng(0), found.frame.copy()
    turned = rng.choice(len(frame), 9, replace=False)
    frame.loc[turned, "final_choice"] = "huggies"
    frame["mismatch"] = (frame["final_choice"] != frame["choice"]).astype("boolean")
    out = rng.choice(len(frame), 12, replace=False)
    frame.loc[out, ["choice", "final_choice", "pivot_token"]] = None
    frame.loc[out, [c for c in frame if c.startswith(("belief_", "lo_", "hi_"))]] = np.nan
    frame.loc[out, "decided_mass"] = np.nan
    frame.loc[out, "status"], frame.loc[out, "final_status"] = "refusal", "unread"
    frame.loc[out, "mismatch"], frame.loc[out, "pivot_index"] = pd.NA, -1
    low = rng.choice(np.setdiff1d(np.arange(len(frame)), out), 15, replace=False)
    frame.loc[low, "status"] = "low_mass"
    return replace(found, frame=frame)


@pytest.fixture(scope="module")
def whole(panel):
    return {measure: measure(panel) for measure in MEASURES}


def divided(panel, folder, parts):
    for k, rows in enumerate(parts):
        part = panel.frame.iloc[rows].reset_index(drop=True)
        replace(panel, frame=part).write(folder / f"{k}.parquet")
    return PanelShards.open(folder)


@settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**6), st.integers(2, 3))
def test_random_parts_in_random_order(panel, whole, tmp_path_factory, seed, parts):
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, len(panel) + 1, parts - 1))  # some may be empty
    rows = np.split(rng.permutation(len(panel)), cuts)
    shards = divided(panel, tmp_path_factory.mktemp("parts"), rows)
    for measure, wanted in whole.items():
        same(wanted, measure(shards), str(measure))
    assert why_nothing(shards) == ("", False)


def test_parts_that_lack_cells_and_one_of_refusals_alone(panel, whole, tmp_path, monkeypatch):
    def elsewhere(function, shards, executor=None, **options):
        """What other processes would be sent."""
        return map_merge(pickle.loads(pickle.dumps(function)), shards, **options)

    monkeypatch.setattr("llmdemand.core.shards.shards.map_merge", elsewhere)
    frame = panel.frame
    refused = np.flatnonzero(frame["status"] == "refusal")
    low = np.flatnonzero((frame["status"] != "refusal") & (frame["cell"] < 5))
    rest = np.setdiff1d(np.arange(len(frame)), [*refused, *low])
    shards = divided(panel, tmp_path, [refused, low, rest, []])
    for measure, wanted in whole.items():
        same(wanted, measure(shards), str(measure))


@pytest.mark.parametrize("name", ["stated", "nothing"])
def test_other_measures_and_panels_of_nothing(name, tmp_path):
    study = ld.load_study("pampers")
    if name == "stated":
        study = replace(study, measure="stated")
        panel = ld.simulate(study, "synthetic", runs=3, seed=1)
    else:
        mute = ld.ChoiceOnlyBackend(lambda system, user: "Pampers.", "mute")
        panel = ld.simulate(study, mute, runs=2)
    shards = write_shards(panel, tmp_path, rows=13)
    for measure in (audit, quality, selection, why_nothing, shortcomings):
        same(measure(panel), measure(shards), str(measure))
    assert shards.measure == panel.measure and shards.usable_runs == panel.usable_runs


def test_draws_are_those_of_the_whole_up_to_the_bound(panel, tmp_path):
    shards = write_shards(panel, tmp_path, rows=37)
    few = {"replications": 5, "seed": 3}
    same(ld.precision(panel, (1, 3), **few).table, ld.precision(shards, (1, 3), **few).table)
    same(ld.prediction(panel, (1, 3), **few), ld.prediction(shards, (1, 3), **few))
    one, two = (ld.runs_needed(p, **few) for p in (panel, shards))
    same(replace(one, notes=()), replace(two, notes=()))
    same(ld.plan(panel).table, ld.plan(shards).table)


def test_what_rests_on_a_sample_says_so(panel, tmp_path, monkeypatch):
    import llmdemand.core.shards.sample as bound

    monkeypatch.setattr(bound, "MOST", 64)
    monkeypatch.setattr(bound, "_LEAST", 2)
    shards = write_shards(panel, tmp_path, rows=37)
    said = "from 64 of 128 runs, at most 4 of each of 16 cells, drawn by their ids"
    few = {"replications": 5, "seed": 3}
    assert ld.precision(shards, (1,), **few).pool == 4
    assert ld.precision(shards, (1,), **few).notes == (f"{said.capitalize()}.",)
    assert said in ld.runs_needed(shards, **few).notes
    assert said in ld.prediction(shards, (1,), **few).notes
    assert said in ld.plan(shards).notes


def test_estimates_by_snapshot_of_a_sample_say_so(panel, tmp_path, monkeypatch):
    import llmdemand.core.shards.sample as bound

    monkeypatch.setattr(bound, "MOST", 64)
    monkeypatch.setattr(bound, "_LEAST", 2)
    names = np.where(panel.frame["replicate"] < 4, "one", "two")
    shards = write_shards(replace(panel, frame=panel.frame.assign(model=names)), tmp_path, rows=70)
    said = "from 64 of 128 runs"
    assert by_snapshot(shards)["note"].str.contains(said).all()
    assert any("snapshots" in text and said in text for text in shortcomings(shards))


def test_a_run_in_two_parts_is_refused(panel, tmp_path):
    once = replace(panel, frame=panel.frame.iloc[:40])
    once.write(tmp_path / "a.parquet")
    replace(panel, frame=panel.frame.iloc[39:].reset_index(drop=True)).write(tmp_path / "b.parquet")
    for of in (audit, ld.compare):
        with pytest.raises(PanelError, match=r"is in .*a\.parquet and in .*b\.parquet"):
            of(PanelShards.open(tmp_path))


def test_a_report_reads_the_parts_a_few_times(panel, tmp_path, monkeypatch):
    shards, read = write_shards(panel, tmp_path, rows=64), []
    whole = Part.panel
    monkeypatch.setattr(Part, "panel", lambda part: read.append(part.path) or whole(part))
    ld.compare(shards, runs=(1,), replications=5)
    assert len(read) <= 5 * len(shards.parts)
