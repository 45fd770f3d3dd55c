"""Shards become the panel of one machine, bit for bit; what does not fit is named.

What others met is built again here: files that overwrite each other (apache/tvm 12332), shards of
different folders (oriontech-me/langflow-e2e 1726), a column without values in one file
(atlanhq/application-sdk 3086, abigailhaddad/usajobs_historical 593), runs counted twice.
"""

import random
from dataclasses import replace

import pandas as pd
import pytest

from llmdemand import Study, load_study, merge_panels, read_panel, simulate
from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import PanelShards
from llmdemand.errors import PanelError, UsageError

STUDY = load_study("pampers")
RUNS = 3


def asked(folder, k, of=4, *, study=STUDY, backend="synthetic", **options):
    options = {"runs": RUNS, "seed": 5, **options}
    path = folder / f"machine-{k}" / f"{options['seed']}-{k}-of-{of}.parquet"
    simulate(study, backend, shard=(k, of), **options).write(path)
    return path


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    return [asked(folder, k) for k in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.parquet"
    simulate(STUDY, "synthetic", runs=RUNS, seed=5).write(path)
    return path


def test_shards_in_any_order_are_the_file_of_one_machine_byte_for_byte(shards, whole, tmp_path):
    paths = random.Random(1).sample(shards, 4)
    merged = merge_panels(paths, tmp_path / "all.parquet")
    assert (tmp_path / "all.parquet").read_bytes() == whole.read_bytes()
    assert (merged.wanted, merged.missing, merged.doubled, merged.files) == (48, (), 0, 4)
    assert merged.summary() == "48 of 48 runs from 4 files"


def test_a_folder_of_parts_is_the_same_panel(shards, whole, tmp_path):
    merged = merge_panels(shards, tmp_path / "all")
    assert isinstance(merged.panel, PanelShards) and len(merged.panel) == 48
    expected, found = Panel.read(whole), read_panel(tmp_path / "all")
    assert found.provenance == expected.provenance
    frame = found.panel().frame.sort_values(["cell", "replicate"], ignore_index=True)
    pd.testing.assert_frame_equal(frame, expected.frame, check_exact=True)
    again = merge_panels(tmp_path / "all", tmp_path / "again.parquet")
    assert again.missing == () and (tmp_path / "again.parquet").read_bytes() == whole.read_bytes()


def test_missing_runs_are_refused_by_name_and_shard_and_joined_where_that_is_allowed(shards):
    with pytest.raises(PanelError, match=r"of 48 runs are missing: .*no file of shard 2 of 4"):
        merge_panels([shards[0], shards[2], shards[3]])
    merged = merge_panels([shards[0], shards[2], shards[3]], allow_missing=True)
    lost = set(Panel.read(shards[1]).frame["run_id"])
    assert set(merged.missing) == lost and len(merged.panel) == 48 - len(lost)
    assert merged.panel.provenance["missing"] == len(lost)


def test_rows_that_are_there_twice_are_taken_once_and_counted(shards, whole, tmp_path):
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(shards[1].read_bytes())
    merged = merge_panels([*shards, copy], tmp_path / "all.parquet")
    assert merged.doubled == len(Panel.read(copy)) > 0
    assert "twice and taken once" in merged.summary()
    assert (tmp_path / "all.parquet").read_bytes() == whole.read_bytes()
    assert len(merge_panels([*shards, copy], tmp_path / "all").panel) == 48


@pytest.mark.parametrize("column", ["belief_pampers", "text", "choice"])
def test_rows_of_one_run_that_contradict_each_other_are_refused(shards, tmp_path, column):
    panel = Panel.read(shards[1])
    frame = panel.frame.copy()
    if column == "belief_pampers":
        frame.loc[0, ["belief_pampers", "belief_huggies", "belief_neither"]] = [0.25, 0.5, 0.25]
    else:
        frame.loc[0, column] = "other" if column == "text" else "neither"
        if panel.frame.loc[0, column] == frame.loc[0, column]:
            frame.loc[0, column] = "huggies"
    changed = tmp_path / "changed.parquet"
    Panel(frame, panel.study, panel.provenance).write(changed)
    run = frame["run_id"].iloc[0]
    with pytest.raises(PanelError, match=f"1 runs are in .*contradict each other, {run} first"):
        merge_panels([*shards, changed])


def foreign_study():
    return Study.from_dict({**STUDY.to_dict(), "title": "Another title"})


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda folder: asked(folder, 4, seed=6), "seed"),
        (lambda folder: asked(folder, 4, runs=RUNS + 1), "runs"),
        (lambda folder: asked(folder, 4, study=foreign_study()), "study"),
    ],
    ids=["seed", "runs", "title"],
)
def test_foreign_files_are_refused_and_say_in_what(shards, tmp_path, make, word):
    path = make(tmp_path)
    with pytest.raises(PanelError, match=rf"1 of 4 files are foreign.*{path.name}.*{word}"):
        merge_panels([path, *shards[:3]])


def test_another_version_that_wrote_a_shard_is_told_and_not_refused(shards, tmp_path):
    panel = Panel.read(shards[0])
    other = tmp_path / "other.parquet"
    Panel(panel.frame, panel.study, {**panel.provenance, "llmdemand": "0.0.9"}).write(other)
    merged = merge_panels([other, *shards[1:]])
    assert merged.differing == ("llmdemand",) and "differ in llmdemand" in merged.summary()
    assert merged.panel.provenance["llmdemand"][0] == "0.0.9"


def test_a_torn_shard_is_named(shards, tmp_path):
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(shards[0].read_bytes()[:-200])
    with pytest.raises(PanelError, match=r"torn\.parquet is torn"):
        merge_panels([torn, *shards[1:]])


@pytest.mark.parametrize("first", [0, 1])
def test_a_column_without_a_value_in_one_shard_takes_its_type_from_the_others(tmp_path, first):
    paths = []
    for k in (1, 2):
        panel = simulate(STUDY, "synthetic", runs=2, seed=5, shard=(k, 2))
        frame = panel.frame.copy()
        if k == 1 + first:
            frame["persona_id"] = "p1"
        panel = Panel(frame, STUDY, panel.provenance)
        paths.append(tmp_path / f"{k}.parquet")
        panel.write(paths[-1])
    merged = merge_panels(paths, tmp_path / "all.parquet")
    told = Panel.read(tmp_path / "all.parquet").frame["persona_id"]
    assert set(told.dropna()) == {"p1"} and 0 < told.isna().sum() < 32
    assert merged.missing == ()


def test_empty_shards_and_answers_that_were_stopped_in_one_shard_alone(tmp_path):
    paths = []
    for k in range(1, 13):
        panel = simulate(STUDY, "synthetic", runs=1, seed=5, shard=(k, 12))
        if k % 2 and len(panel):
            panel = replace(panel, frame=panel.frame.assign(whole_probability=0.5))
        paths.append(tmp_path / f"{k:02}.parquet")
        panel.write(paths[-1])
    frame = merge_panels(paths).panel.frame
    assert len(frame) == 16 and set(frame["whole_probability"]) == {0.5, 1.0}
    assert list(frame["cell"]) == sorted(frame["cell"])


def test_nothing_to_merge_and_places_that_are_taken_are_refused(shards, tmp_path):
    with pytest.raises(UsageError, match="no file to merge"):
        merge_panels([])
    with pytest.raises(UsageError, match="no parquet file in"):
        merge_panels(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "a.parquet").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"there are panels in .*taken already"):
        merge_panels(shards, tmp_path / "taken")


def test_a_panel_that_does_not_say_how_many_runs_were_asked_cannot_be_proved(shards, tmp_path):
    panel = Panel.read(shards[0])
    told = {k: v for k, v in panel.provenance.items() if k != "runs"}
    Panel(panel.frame, panel.study, told).write(tmp_path / "p.parquet")
    with pytest.raises(PanelError, match="does not say how many runs"):
        merge_panels(tmp_path / "p.parquet")
