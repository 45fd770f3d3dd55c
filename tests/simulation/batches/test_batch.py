"""Batch files: written, run somewhere, read in any state, written again."""

import json
import math

import pandas as pd
import pytest

from llmdemand import load_study, read_batch, simulate, write_batch
from llmdemand.errors import ResponseError, UsageError
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.requests import requests
from llmdemand.simulation.storing.records import Source, key
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")
PAMPERS = [("Pampers", math.log(0.7), {"Pampers": math.log(0.7), "H": math.log(0.2)})]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def written(folder):
    return [entry for file in sorted(folder.glob("requests-*.jsonl")) for entry in lines(file)]


def output(entries, complete):
    return [
        {
            "id": f"batch_{k}",
            "custom_id": entry["custom_id"],
            "response": {"status_code": 200, "body": complete("Pampers", PAMPERS)},
            "error": None,
        }
        for k, entry in enumerate(entries)
    ]


def dump(path, entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    return path


def test_requests_are_those_of_the_openai_backend_and_ids_are_store_keys(tmp_path):
    found = write_batch(STUDY, tmp_path, model="gpt-4o", runs=2, seed=3)
    assert (found.requests, found.stored) == (32, 0)
    backend = OpenAIBackend("gpt-4o", needs_key=False)
    for entry, request in zip(written(tmp_path), requests(STUDY, 2, 3), strict=True):
        assert entry["custom_id"] == key(request, Source.of(backend))
        assert (entry["method"], entry["url"]) == ("POST", "/v1/chat/completions")
        assert entry["body"] == backend.body(request)[1]
        assert entry["body"]["logprobs"] is True and entry["body"]["top_logprobs"] == 20


def test_shards_hold_no_more_than_asked_and_all_requests_once(tmp_path):
    found = write_batch(STUDY, tmp_path, runs=2, shard=10)
    assert [len(lines(file)) for file in found.files] == [10, 10, 10, 2]
    assert len({entry["custom_id"] for entry in written(tmp_path)}) == 32


def test_a_batch_read_is_the_panel_that_the_server_would_have_given(
    tmp_path, fake_server, complete
):
    fake_server.answer = lambda body, call: (200, complete("Pampers", PAMPERS), {})
    # The same server for both: its address is part of what was asked.
    live = simulate(
        STUDY,
        OpenAIBackend("fake-1", base_url=fake_server.url),
        runs=2,
        seed=1,
        store=":memory:",
        probe=False,
    )
    folder = tmp_path / "batch"
    write_batch(STUDY, folder, model="fake-1", base_url=fake_server.url, runs=2, seed=1)
    out = dump(tmp_path / "out.jsonl", output(written(folder)[::-1], complete))
    found = read_batch(folder, [out])
    assert (found.answered, found.missing) == (32, ())
    pd.testing.assert_frame_equal(found.panel.frame, live.frame)


def test_partial_files_are_read_and_what_is_missing_is_written_again(tmp_path, complete):
    folder = tmp_path / "batch"
    write_batch(STUDY, folder, runs=2, seed=1)
    asked = written(folder)
    good = output(asked[:20], complete)
    bad = [
        {"custom_id": asked[20]["custom_id"], "response": None, "error": {"code": "batch_expired"}},
        {
            "custom_id": asked[21]["custom_id"],
            "response": {"status_code": 500, "body": {"error": {"message": "oops"}}},
            "error": None,
        },
        {
            "custom_id": asked[22]["custom_id"],
            "response": {
                "status_code": 400,
                "body": {"error": {"code": "content_filter", "message": "filtered"}},
            },
            "error": None,
        },
        {"custom_id": "somebody else's", "response": {"status_code": 200, "body": {}}},
    ]
    first = dump(tmp_path / "out.jsonl", good)
    first.write_text(first.read_text(encoding="utf-8") + '{"custom_id": "cut', encoding="utf-8")
    found = read_batch(folder, [dump(tmp_path / "errors.jsonl", bad), first])
    assert (found.answered, found.foreign, found.unreadable) == (21, 1, 1)
    assert dict(found.failed) == {"batch_expired": 1, "oops": 1}
    assert len(found.missing) == 11 and len(found.panel) == 21
    # A filtered prompt is an answer: asking again would be filtered again.
    assert found.panel.statuses["refusal"] == 1
    again = write_batch(STUDY, folder, runs=2, seed=1)
    assert (again.requests, again.stored) == (11, 21)
    assert [file.name for file in again.files] == ["requests-002.jsonl"]
    rest = lines(again.files[0])
    assert {e["custom_id"] for e in rest} == {
        e["custom_id"] for e in asked[20:] if e is not asked[22]
    }
    whole = read_batch(folder, [dump(tmp_path / "rest.jsonl", output(rest, complete)), first])
    assert (whole.answered, whole.known, whole.missing) == (11, 20, ())
    assert len(whole.panel) == 32
    assert write_batch(STUDY, folder, runs=2, seed=1).files == ()


def test_a_batch_grows_by_runs_and_asks_only_for_the_new_ones(tmp_path, complete):
    write_batch(STUDY, tmp_path, runs=1)
    first = dump(tmp_path / "out1.jsonl", output(written(tmp_path), complete))
    assert read_batch(tmp_path, [first]).missing == ()
    more = write_batch(STUDY, tmp_path, runs=3)
    assert (more.requests, more.stored) == (32, 16)
    assert len(read_batch(tmp_path, [first]).missing) == 32


def test_a_body_without_the_protocols_form_is_a_failure_with_its_reason(tmp_path, complete):
    write_batch(STUDY, tmp_path, runs=1)
    asked = output(written(tmp_path), complete)
    asked[0]["response"]["body"] = {"choices": 3}
    asked[1]["response"] = asked[1]["response"]["body"]  # without an envelope: an answer
    found = read_batch(tmp_path, [dump(tmp_path / "out.jsonl", asked)])
    assert found.answered == 15
    ((reason, number),) = found.failed.items()
    assert number == 1 and "Chat Completions" in reason


def test_mistakes_are_said(tmp_path, complete):
    with pytest.raises(UsageError, match="no batch in"):
        read_batch(tmp_path, [])
    write_batch(STUDY, tmp_path, runs=1)
    with pytest.raises(UsageError, match="another study, model, seed or server"):
        write_batch(STUDY, tmp_path, runs=1, seed=2)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="is a file"):
        write_batch(STUDY, tmp_path / "file")
    with pytest.raises(ResponseError, match="no file at"):
        read_batch(tmp_path, [tmp_path / "absent.jsonl"])
    foreign = dump(tmp_path / "x.jsonl", [{"custom_id": "x"}])
    with pytest.raises(ResponseError, match="none of them answers the batch"):
        read_batch(tmp_path, [foreign])
    with pytest.raises(UsageError, match="shard=0"):
        write_batch(STUDY, tmp_path / "b", shard=0)
    with pytest.raises(UsageError, match="no log-probabilities"):
        write_batch(STUDY, tmp_path / "b", model="o3-mini")
    (tmp_path / "batch.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="is no manifest"):
        read_batch(tmp_path, [])


def test_no_key_is_needed_and_none_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0987654321")
    write_batch(STUDY, tmp_path, runs=1)
    for path in tmp_path.iterdir():
        assert b"canary" not in path.read_bytes()


def test_the_stores_cost_is_half_the_list_price(tmp_path, complete):
    write_batch(STUDY, tmp_path, runs=1)
    read_batch(tmp_path, [dump(tmp_path / "out.jsonl", output(written(tmp_path), complete))])
    with Store(tmp_path / "responses.sqlite") as store:
        (source,) = store.sources()
        assert store.totals(source)["usd"] == pytest.approx(16 * (7 * 2.5 + 2 * 10) / 1e6 / 2)
