"""Batches in many files, read into panels in many files."""

import json
import tracemalloc

import pandas as pd
import pytest

from llmdemand import load_study, read_batch, write_batch
from llmdemand.core.shards.shards import PanelShards
from llmdemand.errors import UsageError
from llmdemand.simulation.batches import reading
from llmdemand.simulation.batches.asked import AskedKeys
from llmdemand.simulation.batches.manifest import backend_of
from llmdemand.simulation.requests import requests
from llmdemand.simulation.storing.records import Source, key
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")
LISTED = {"Pampers": -0.4, "H": -1.3}


@pytest.fixture
def answered(complete):
    """An output file of what is asked in a folder, the requests whose place it is left out of."""

    def make(folder, path, without=()):
        entries = [
            json.loads(line)
            for file in sorted(folder.glob("requests-*.jsonl"))
            for line in file.read_text("utf-8").splitlines()
        ]
        with path.open("w") as out:
            for k, entry in enumerate(entries):
                if k in without:
                    continue
                word = ("Pampers", "H")[entry["body"]["seed"] % 2]
                body = complete(word, [(word, LISTED[word], LISTED)])
                response = {"status_code": 200, "request_id": "r", "body": body}
                line = {"custom_id": entry["custom_id"], "response": response, "error": None}
                out.write(json.dumps(line) + "\n")
        return path

    return make


def numbers(files):
    return [len(file.read_text("utf-8").splitlines()) for file in files]


def test_a_number_of_files_divides_the_design(tmp_path, answered):
    found = write_batch(STUDY, tmp_path, runs=3, shards=5)
    assert numbers(found.files) == [10, 10, 10, 10, 8]
    assert found.interfaces == ("/v1/chat/completions",)
    # What is answered is left out of its own file: the others are as they were.
    read_batch(tmp_path, [answered(tmp_path, tmp_path / "out.jsonl", set(range(18, 48)))])
    again = write_batch(STUDY, tmp_path, runs=3, shards=5)
    assert numbers(again.files) == [2, 10, 10, 8] and again.stored == 18
    assert again.files[0].name == "requests-006.jsonl"


def test_a_number_of_files_that_cannot_be(tmp_path):
    for shards in (0, 17):
        with pytest.raises(UsageError, match="from 1 to the 16 requests"):
            write_batch(STUDY, tmp_path, runs=1, shards=shards)
    with pytest.raises(UsageError, match=r"OpenAI takes 50,000: give at least 3"):
        write_batch(STUDY, tmp_path, runs=7_000, shards=2)


@pytest.mark.parametrize("without", [(), range(5, 30)], ids=["whole", "with an empty part"])
def test_the_parts_are_the_panel(tmp_path, answered, without):
    write_batch(STUDY, tmp_path / "b", runs=3)
    out = answered(tmp_path / "b", tmp_path / "out.jsonl", set(without))
    whole = read_batch(tmp_path / "b", [out])
    found = read_batch(tmp_path / "b", [out], out=tmp_path / "panel", rows=10)
    assert isinstance(found.panel, PanelShards) and len(found.panel.parts) == 5
    assert (found.known, found.missing) == (48 - len(without), whole.missing)
    pd.testing.assert_frame_equal(found.panel.panel().frame, whole.panel.frame, check_dtype=False)
    told = [part.panel().provenance["shard"] for part in found.panel.parts]
    assert [t["number"] for t in told] == [1, 2, 3, 4, 5]
    assert sum(t["missing"] for t in told) == whole.panel.provenance["missing"] == len(without)
    # Once more, with the rest: parts are written anew, and no other panel is.
    rest = answered(tmp_path / "b", tmp_path / "rest.jsonl")
    assert read_batch(tmp_path / "b", [rest], out=tmp_path / "panel", rows=10).missing == ()
    assert len(PanelShards.open(tmp_path / "panel")) == 48
    with pytest.raises(UsageError, match=r"part-00001-of-00005.parquet, which is no part of"):
        read_batch(tmp_path / "b", [rest], out=tmp_path / "panel", rows=12)


def test_a_folder_that_is_none(tmp_path, answered):
    write_batch(STUDY, tmp_path / "b", runs=1)
    out = answered(tmp_path / "b", tmp_path / "out.jsonl")
    with pytest.raises(UsageError, match="is a file: give a folder"):
        read_batch(tmp_path / "b", [out], out=out)
    with pytest.raises(UsageError, match="rows=0"):
        read_batch(tmp_path / "b", [out], out=tmp_path / "p", rows=0)


def test_requests_are_found_by_their_keys_in_a_few_bytes_each():
    source = Source.of(backend_of(STUDY, "m", {"base_url": "http://x/v1"}))
    with Store(":memory:") as store:

        def held(runs):
            tracemalloc.start()
            asked = AskedKeys(STUDY, runs, 1, store, source)
            size, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return asked, size

        held(60)
        asked, few = held(20)
        _, many = held(60)
        for request in requests(STUDY, 2, 1):
            found = asked.get(key(request, source))
            assert found.request == request and found.study == STUDY.hash
            assert found.content == STUDY.shown(request.cell, request.order)
        first, other = (next(iter(requests(STUDY, 1, seed))) for seed in (1, 2))
        name = key(first, source)
        for absent in (key(other, source), name[:-1] + "x", name[:16], "", "None", "zz" * 32):
            assert asked.get(absent) is None
    # Of a run its key, and the one that an earlier version gave it; a request weighs kilobytes.
    assert (many - few) / (40 * 16) < 200


def test_the_command_line(run_in, tmp_path, answered):
    folder, model = tmp_path / "b", ("--model", "m", "--base-url", "http://x/v1")
    code, out, _ = run_in(
        tmp_path, "batch", "write", "pampers", "--out", "b", *model, "--runs", 2, "--shards", 12
    )
    assert code == 0 and "requests-008.jsonl, ... requests-011.jsonl" in out, out
    answered(folder, tmp_path / "out.jsonl", {3})
    code, out, _ = run_in(tmp_path, "batch", "read", "b", "out.jsonl", "--out", "panel")
    assert code == 0 and "31 runs in 1 files: ok 31" in out and "1 runs are missing" in out
    assert len(PanelShards.open(tmp_path / "panel")) == 31
    code, _, err = run_in(tmp_path, "batch", "read", "b", "out.jsonl", "--out", "out.jsonl")
    assert code == 2 and "is a file" in err
    code, out, _ = run_in(
        tmp_path, "batch", "write", "pampers-households", "--out", "c", *model, "--runs", 1
    )
    assert code == 0 and "`vllm run-batch` knows no /v1/completions" in out


def test_processes_read_what_one_reads(tmp_path, answered, two, monkeypatch):
    monkeypatch.setattr(reading, "_PIECE", 5_000)  # a dozen lines
    told = []
    for name, workers in (("one", None), ("two", two)):
        folder = tmp_path / name
        write_batch(STUDY, folder, runs=3)
        first = answered(folder, folder / "a.jsonl", set(range(30, 48)))
        # Later files say other things of the same runs: what came first is kept.
        late = answered(folder, folder / "b.jsonl", set(range(10)))
        late.write_text(late.read_text("utf-8").replace("-1.3", "-1.4") + "not a line\n")
        files = [first, late]
        found = read_batch(folder, files, out=folder / "panel", rows=10, workers=workers)
        assert (found.answered, found.known, found.unreadable) == (48, 20, 1)
        parts = sorted((folder / "panel").glob("*.parquet"))
        with Store(folder / "responses.sqlite") as store:
            kept = [dict(store.get(k, 20)) for k in ids(first) + ids(late)]
        told.append((kept, [part.read_bytes() for part in parts]))
    assert told[0] == told[1]


def ids(path):
    lines = path.read_text("utf-8").splitlines()
    return [json.loads(line)["custom_id"] for line in lines if line.startswith("{")]
