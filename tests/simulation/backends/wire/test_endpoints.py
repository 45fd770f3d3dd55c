"""Several servers of one model, one of which dies, returns, is busy, or is another's."""

import threading
import time
import warnings

import pandas as pd
import pytest

from llmdemand import load_study, simulate
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.wire import endpoints
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")


@pytest.fixture
def told(complete):
    """An answer that depends on what is asked alone, as a server's does for a seed."""

    def answer(body, call):
        value = -0.5 - (body["seed"] % 997) / 1000
        word = "Pampers" if body["seed"] % 2 else "H"
        listed = {"Pampers": value, "H": value - 1.0}
        return 200, complete(word, [(word, listed[word], listed)]), {}

    return answer


@pytest.fixture
def pair(fake_server, told, monkeypatch, tmp_path, quick_retries):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(endpoints, "_FIRST", 0.05)
    other = type(fake_server)()
    fake_server.answer = other.answer = told
    yield fake_server, other
    other.stop()
    assert not other.errors


def ask(*servers, runs=4, **options):
    backend = OpenAIBackend("fake-1", base_url=[s.url for s in servers])
    options = {"probe": False, "store": ":memory:", "concurrency": 8, **options}
    return simulate(STUDY, backend, runs=runs, seed=1, **options)


def test_two_share_the_calls_and_the_panel_is_that_of_one(pair):
    first, second = pair
    panel = ask(*pair)
    # Which of them answers first is chance; that both do is not.
    assert min(len(first.requests), len(second.requests)) >= 16
    assert len(first.requests) + len(second.requests) == 64
    counts = panel.provenance["endpoints"]
    assert [counts[s.url]["answers"] for s in pair] == [len(s.requests) for s in pair]
    pd.testing.assert_frame_equal(panel.frame, ask(first).frame)
    assert "endpoints" not in ask(first).provenance


@pytest.mark.parametrize("dying", [0, 1])
def test_one_dies_in_mid_run_and_no_answer_is_lost_or_doubled(pair, tmp_path, told, dying):
    alone = ask(pair[0])
    for server in pair:
        server.requests.clear()
        server.delivered.clear()
    victim, survivor = pair[dying], pair[1 - dying]
    killer = []

    def answer(body, call):
        if call == 7:
            killer.append(threading.Thread(target=victim.stop))
            killer[0].start()
            time.sleep(0.2)
        return told(body, call)

    victim.answer = answer
    with pytest.warns(UserWarning, match=rf"{victim.url} could not.*go to the other until"):
        panel = ask(*pair, store=tmp_path / "s.sqlite")
    killer[0].join()
    pd.testing.assert_frame_equal(panel.frame, alone.frame)
    assert panel.frame["run_id"].is_unique and len(panel) == 64
    with Store(tmp_path / "s.sqlite") as store:
        assert len(store) == 64
    counts = panel.provenance["endpoints"]
    assert sum(c["answers"] for c in counts.values()) == 64
    assert counts[victim.url]["failed_calls"] >= 1
    # What the dead one was asked in vain, and only that, was asked again.
    assert len(survivor.requests) == counts[survivor.url]["answers"]
    asked = [body["seed"] for s in pair for body in s.requests]
    assert len(set(asked)) == 64 and len(asked) <= 64 + counts[victim.url]["failed_calls"]


def test_one_that_was_never_there_is_tried_now_and_then(pair):
    first, second = pair
    first.stop()
    with pytest.warns(UserWarning, match="go to the other"):
        panel = ask(*pair)
    assert panel.statuses["ok"] == 64 and len(second.requests) == 64
    # 8 at once found it out, and then one at a time.
    assert panel.provenance["endpoints"][first.url]["failed_calls"] < 24


def test_one_that_returns_is_asked_again(pair, told):
    first, second = pair
    first.stop()

    def answer(body, call):
        if call == 20:
            first.start()
        if call > 20:
            time.sleep(0.02)
        return told(body, call)

    second.answer = answer
    with pytest.warns(UserWarning, match="go to the other"):
        panel = ask(*pair, runs=16)
    assert panel.statuses["ok"] == 256 and len(first.requests) > 20


def test_a_busy_one_is_not_waited_for(pair):
    first, second = pair
    busy = {"error": {"message": "slow down"}}
    first.answer = lambda body, call: (429, busy, {"Retry-After": "60"})
    begun = time.monotonic()
    with pytest.warns(UserWarning, match="answered 429.*go to the other"):
        panel = ask(*pair)
    assert panel.statuses["ok"] == 64 and len(second.requests) == 64
    assert time.monotonic() - begun < 50, "it asked to be left alone for 60 s"


def test_where_none_is_left_the_run_ends_as_with_one(pair):
    for server in pair:
        server.stop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(BackendError, match=r"could not be reached.*run the same command"):
            ask(*pair, patience=0)


def test_servers_of_two_models_are_not_mixed(pair, told):
    second = pair[1]

    def answer(body, call):
        status, raw, headers = told(body, call)
        return status, {**raw, "model": "/models/other.gguf"}, headers

    second.answer = answer
    with pytest.raises(BackendError, match="one model; ask each by a run of its own"):
        ask(*pair)
    # One file in two folders is one model.
    for server, folder in zip(pair, ("a", "b"), strict=True):
        server.answer = lambda body, call, folder=folder: (
            200,
            {**told(body, call)[1], "model": f"/{folder}/m.gguf"},
            {},
        )
    assert ask(*pair).statuses["ok"] == 64


def test_what_one_has_answered_another_is_not_asked(pair, tmp_path):
    first, second = pair
    ask(first, store=tmp_path / "s.sqlite")
    ask(*pair, store=tmp_path / "s.sqlite")
    assert len(first.requests) == 64 and not second.requests


def test_addresses_of_several(pair):
    first, second = pair
    backend = OpenAIBackend("m", base_url=f"{first.url}, {second.url}")
    assert list(backend.endpoints) == [first.url, second.url]
    assert backend.settings["base_url"] == first.url
    for urls in (f"{first.url},{first.url}", f"{first.url},https://api.openai.com/v1"):
        with pytest.raises(UsageError, match="different addresses, and are reached alike"):
            OpenAIBackend("m", base_url=urls, needs_key=False)
    with pytest.raises(UsageError, match="is no web address"):
        OpenAIBackend("m", base_url=f"{first.url},127.0.0.1")
