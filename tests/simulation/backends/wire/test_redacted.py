"""Answers that echo a key, over real HTTP: it is nowhere afterwards, and belief is as it was."""

import json
import math
import os
import stat
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from llmdemand import load_study, simulate
from llmdemand.belief.readers import read_response
from llmdemand.belief.rows import Answer, extract_panel
from llmdemand.cli import app
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.recorded import stored_answers
from llmdemand.simulation.backends.wire.redacted import MARK, redacted
from llmdemand.simulation.batch import read_batch, write_batch
from llmdemand.simulation.storing.store import Store

STUDY = replace(load_study("pampers"), prices={"pampers": (30.0, 35.0), "huggies": (30.0,)})
KEY, SECRET = "sk-proj-a1b2c3d4e5", "team-secret-0123"
PIVOT = {"Pampers": -0.4, "H": -1.6, "x": -3.0}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch, quick_retries):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("TEAM", SECRET)


def pieces(secret, size):
    """A secret as tokens of so many characters, the first and last glued to other text."""
    cut = [secret[k : k + size] for k in range(0, len(secret), size)]
    return [f" ({cut[0]}", *cut[1:-1], f"{cut[-1]})."] if len(cut) > 1 else [f" ({secret})."]


def echoing(complete, *secrets, size=3):
    said = [("Pampers", -0.4, PIVOT), (".", -0.1, {".": -0.1})]
    for secret in secrets:
        said += [(p, -0.2, {p: -0.2, "no": -2.0}) for p in pieces(secret, size)]
    said.append((" Bye", -0.3, {" Bye": -0.3}))
    return complete("".join(token for token, _, _ in said), said)


def held(folder):
    """Everything that is on disk."""
    return b"".join(p.read_bytes() for p in Path(folder).rglob("*") if p.is_file())


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("secrets", [(KEY,), (SECRET,), (KEY, SECRET, KEY)])
def test_an_echoed_key_is_nowhere_and_belief_is_as_it_was(
    fake_server, complete, tmp_path, size, secrets
):
    fake_server.answer = lambda body, call: (200, echoing(complete), {})
    options = {"runs": 1, "probe": False}
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, headers={"X-Team": "TEAM"})
    plain = simulate(STUDY, backend, store=":memory:", **options).frame
    answer = echoing(complete, *secrets, size=size)
    # A server may name it anywhere, candidates and its own fields included.
    answer["system_fingerprint"] = f"fp {secrets[0]}"
    fake_server.answer = lambda body, call: (200, answer, {"X-Echo": secrets[0]})
    panel = simulate(STUDY, backend, store="s.sqlite", **options)
    panel.write("panel.parquet")
    found = panel.frame
    assert (found["status"] == "ok").all()
    for column in ("choice", "belief_pampers", "lo_pampers", "hi_pampers", "final_choice"):
        pd.testing.assert_series_equal(found[column], plain[column])
    assert found["text"][0] == f"Pampers.{f' ({MARK}).' * len(secrets)} Bye"
    assert found["reason"].str.contains("held a key, which was taken out").all()
    assert not plain["reason"].any()
    # Read again from the store, to the last column.
    again = extract_panel(STUDY, stored_answers("s.sqlite", STUDY)).frame
    pd.testing.assert_frame_equal(again.sort_values("run_id", ignore_index=True), found)
    with Store("s.sqlite") as store:
        written = json.dumps(list(store.export()))
    for secret in secrets:
        assert secret not in written and secret not in found.to_json()
        assert secret.encode() not in held(tmp_path)
        # Not even as the tokens that make it up.
        raw = json.loads(written)[0]["raw"]
        entries = raw["choices"][0]["logprobs"]["content"]
        assert "".join(e["token"] for e in entries) == raw["choices"][0]["message"]["content"]
        assert b"".join(bytes(e["bytes"]) for e in entries).decode() == found["text"][0]


# What is said after a key by the token that ends it, and what else could have been said there.
ENDS = {
    "with the brand": ("d4e5 Pam", {"d4e5 Pam": -0.5, "d4e5 H": -1.2, "x": -4.0}),
    "apart from it": ("d4e5", {"d4e5": -0.1}),
    "glued to it": ("d4e5Pam", {"d4e5Pam": -0.5, "d4e5H": -1.2}),
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("end", ENDS)
def test_belief_behind_a_key_is_read_as_if_it_stood_there(complete, end, old):
    """The token that ends a key may begin a brand: its candidates count, not those of the key."""
    last, listed = ENDS[end]
    said = [("sk-proj", -0.1, {"sk-proj": -0.1, "Pampers": -2.5}), ("-a1b2c3", -0.1, {})]
    said += [(last, -0.5, listed), ("pers" if "P" in last else " Pampers", -0.1, {})]
    if end == "apart from it":
        said[-1] = (" Pampers", -0.5, {" Pampers": -0.5, " H": -1.2})
    raw = complete("".join(token for token, _, _ in said), said)
    if old:
        choice = raw["choices"][0]
        tokens = {
            "tokens": [t for t, _, _ in said],
            "token_logprobs": [v for _, v, _ in said],
            "top_logprobs": [{t: v, **others} for t, v, others in said],
        }
        raw["choices"] = [{**choice, "text": choice.pop("message")["content"], "logprobs": tokens}]
    cell = STUDY.cells()[0]

    def row(raw):
        answer = Answer(cell, 0, STUDY.order(cell, 0), read_response(raw), backend="b")
        return extract_panel(STUDY, [answer]).frame.drop(columns=["text", "reason"])

    kept = redacted(json.loads(json.dumps(raw)), [KEY])
    assert KEY not in json.dumps(kept) and kept["redacted"] == 0
    was, now = row(raw), row(kept)
    # A position in the text moves with it, and dropped tokens are no positions.
    same = [c for c in was if not c.startswith("pivot_")]
    pd.testing.assert_frame_equal(now[same], was[same])
    assert (was["status"][0] == "ok") == (end != "glued to it")


def test_candidates_that_become_one_text_are_told_as_either():
    logprobs = {
        "tokens": ["sk-abcdefghij", "k Pam"],
        "token_logprobs": [-1.0, math.log(0.25)],
        "top_logprobs": [{}, {"k Pam": math.log(0.25), " Pam": math.log(0.5), "k": -3.0}],
    }
    raw = {"choices": [{"text": "sk-abcdefghijk Pam", "logprobs": logprobs}]}
    kept = redacted(raw, ["sk-abcdefghijk"])["choices"][0]["logprobs"]
    assert kept["tokens"] == ["REDACTED", " Pam"]
    assert kept["top_logprobs"][1] == {" Pam": pytest.approx(math.log(0.75)), "k": -3.0}


def test_ids_of_a_key_are_not_kept_either():
    content = [
        {"token": t, "logprob": -0.1, "top_logprobs": []}
        for t in ("Pampers", " sk-12", "345678", ".")
    ]
    choice = {"logprobs": {"content": content}, "token_ids": [7, 8, 9, 10]}
    found = redacted({"choices": [choice]}, ["sk-12345678"])
    assert found["redacted"] == 1 and found["choices"][0]["token_ids"] == [7]


def test_a_key_that_json_has_to_escape_is_found(fake_server, complete, monkeypatch):
    monkeypatch.setenv("TEAM", 'a"secret\\word')
    fake_server.answer = lambda body, call: (200, echoing(complete, 'a"secret\\word', size=99), {})
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, headers={"X-Team": "TEAM"})
    frame = simulate(STUDY, backend, runs=1, probe=False, store=":memory:").frame
    assert frame["text"].str.contains("REDACTED").all()
    assert not frame["text"].str.contains("secret").any()


def test_short_keys_are_words_and_stay(fake_server, complete, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "Pampers")
    fake_server.answer = lambda body, call: (200, echoing(complete), {})
    backend = OpenAIBackend("fake-1", base_url=fake_server.url)
    frame = simulate(STUDY, backend, runs=1, probe=False, store=":memory:").frame
    assert (frame["choice"] == "pampers").all() and not frame["reason"].any()


def test_a_key_spelled_in_escapes_is_found_too(fake_server, complete):
    told = json.dumps(echoing(complete, KEY, size=100))
    escaped = told.replace(KEY, "".join(f"\\u{ord(c):04x}" for c in KEY)).encode()
    assert KEY.encode() not in escaped
    fake_server.answer = lambda body, call: (200, escaped, {"Content-Type": "application/json"})
    backend = OpenAIBackend("fake-1", base_url=fake_server.url)
    frame = simulate(STUDY, backend, runs=1, probe=False, store=":memory:").frame
    assert KEY not in frame.to_json() and frame["text"].str.contains(MARK).all()


def test_errors_that_echo_a_key_do_not_show_it(fake_server):
    error = {"error": {"message": f"bad header {SECRET} or key {KEY}", "code": "x"}}
    fake_server.answer = lambda body, call: (400, error, {})
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, headers={"X-Team": "TEAM"})
    with pytest.raises(BackendError) as raised:
        simulate(STUDY, backend, runs=1, probe=False, store=":memory:")
    assert KEY not in str(raised.value) and SECRET not in str(raised.value)


def test_an_old_completion_is_redacted_token_by_token():
    tokens = ["Pampers", " sk-a", "bcdefghij", "k. Bye"]
    logprobs = {
        "tokens": tokens,
        "token_logprobs": [-1.0, -2.0, -3.0, -4.0],
        "top_logprobs": [{"Pampers": -1.0}, {" sk-a": -2.0, "y": -3.0}, {"z": -1.0}, {}],
        "text_offset": [0, 7, 12, 21],
    }
    raw = {"choices": [{"text": "".join(tokens), "logprobs": logprobs}]}
    found = redacted(raw, ["sk-abcdefghijk"])
    assert found["redacted"] == 1
    assert found["choices"][0] == {
        "text": "Pampers REDACTED. Bye",
        "logprobs": {
            "tokens": ["Pampers", " REDACTED", ". Bye"],
            "token_logprobs": [-1.0, -2.0, -4.0],
            "top_logprobs": [{"Pampers": -1.0}, {" REDACTED": -2.0, "y": -3.0}, {}],
            "text_offset": [0, 7, 21],
        },
    }
    assert redacted(raw, ["another-key"]) is raw


def test_batches_are_redacted_and_for_their_owner_alone(complete, tmp_path):
    written = write_batch(STUDY, "batch", model="gpt-4o", runs=1)
    (shard,) = written.files
    lines = [json.loads(line) for line in shard.read_text("utf-8").splitlines()]
    answers = [
        {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}}
        for line, body in zip(lines, [echoing(complete, KEY)] * len(lines), strict=True)
    ]
    answers[0] = {"custom_id": lines[0]["custom_id"], "error": {"message": f"no {KEY}"}}
    Path("out.jsonl").write_text("".join(json.dumps(a) + "\n" for a in answers), "utf-8")
    found = read_batch("batch", ["out.jsonl"])
    assert KEY not in str(found.failed) and KEY not in found.panel.frame.to_json()
    assert KEY.encode() not in held("batch")
    for path in Path("batch").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_stores_their_logs_and_their_copies_are_for_their_owner_alone(tmp_path):
    from typer.testing import CliRunner

    old = os.umask(0)
    try:
        store = Store("s.sqlite")
        store.put_study(STUDY)
        assert store.claim("0" * 64)
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in Path().iterdir()}
        assert {"s.sqlite", "s.sqlite-wal", "s.sqlite-shm"} <= set(modes)
        assert set(modes.values()) == {0o600}
        claims = store._claims._path
        assert stat.S_IMODE(claims.stat().st_mode) == 0o600
        store.close()
        assert CliRunner().invoke(app, ["store", "export", "s.sqlite", "s.jsonl"]).exit_code == 0
        assert stat.S_IMODE(Path("s.jsonl").stat().st_mode) == 0o600
        # Whoever opened a store to a group meant it.
        Path("s.sqlite").chmod(0o660)
        Store("s.sqlite").close()
        assert stat.S_IMODE(Path("s.sqlite").stat().st_mode) == 0o660
    finally:
        os.umask(old)


@pytest.mark.parametrize("scheme", ["Bearer ", "token ", ""])
def test_a_token_is_secret_without_its_scheme(fake_server, complete, monkeypatch, scheme):
    monkeypatch.setenv("TEAM", f"{scheme}{SECRET}")
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, headers={"X-Team": "TEAM"})
    fake_server.answer = lambda body, call: (200, echoing(complete, SECRET), {})
    frame = simulate(STUDY, backend, runs=1, probe=False, store=":memory:").frame
    assert SECRET not in frame.to_json() and frame["text"].str.contains(MARK).all()
    fake_server.answer = lambda body, call: (400, {"error": {"message": f"no {SECRET}"}}, {})
    with pytest.raises(BackendError) as raised:
        simulate(STUDY, backend, runs=1, probe=False, store=":memory:")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"  {KEY}\r\n", f"{KEY}\t"])
def test_a_key_with_the_blanks_of_its_file_is_sent_without_them(
    fake_server, complete, monkeypatch, key
):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    fake_server.answer = lambda body, call: (200, echoing(complete, KEY), {})
    backend = OpenAIBackend("fake-1", base_url=fake_server.url)
    frame = simulate(STUDY, backend, runs=1, probe=False, store=":memory:").frame
    assert {sent["authorization"] for sent in fake_server.headers} == {f"Bearer {KEY}"}
    assert KEY not in frame.to_json()


@pytest.mark.parametrize("key", [f"sk-1\n{KEY}", f"{KEY}\u201d", f"{KEY}\x7f"])
def test_a_key_that_no_header_can_hold_is_refused_before_a_call(fake_server, monkeypatch, key):
    """And it is not shown: of most libraries the error holds the header, and it is retried."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UsageError, match="OPENAI_API_KEY holds what no key may") as raised:
        simulate(STUDY, OpenAIBackend("fake-1", base_url=fake_server.url), runs=1, probe=False)
    assert KEY not in str(raised.value) and not fake_server.requests
