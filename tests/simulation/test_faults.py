"""A server that misbehaves, a disk that is full, a store that is held: what the runner makes of it.

Every test runs the study against a real server on this machine and checks three things:
the study ends as it should, nothing is asked twice without need, and no answer is lost.
"""

import email.utils
import math
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from llmdemand import load_study, simulate
from llmdemand.errors import BackendError, BudgetReached, StoreError
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.calls.pool import Gate
from llmdemand.simulation.cost import Budget, Prices
from llmdemand.simulation.run import estimate
from llmdemand.simulation.storing import store as store_module
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")
LISTED = {"Pampers": math.log(0.7), "H": math.log(0.2)}
PAMPERS = [("Pampers", LISTED["Pampers"], LISTED)]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def good(complete):
    return complete("Pampers", PAMPERS)


@pytest.fixture
def backend(fake_server, quick_retries):
    return OpenAIBackend("fake-1", base_url=fake_server.url, timeout=5)


def ask(backend, **options):
    return simulate(STUDY, backend, **{"runs": 1, "probe": False, **options})


def first_then(good, *troubles):
    """The first calls meet troubles, the others are answered."""

    def answer(body, call):
        status, content, headers = troubles[call - 1] if call <= len(troubles) else (200, good, {})
        return status, content, dict(headers)

    return answer


def as_if_nothing_had_happened(panel):
    assert len(panel) == 16 and panel.statuses["ok"] == 16
    assert panel.frame["belief_pampers"].tolist() == pytest.approx([0.7 / 0.9] * 16)


SLOW_DOWN = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_passing_troubles_are_repeated(backend, fake_server, good, status):
    fake_server.answer = first_then(good, (status, SLOW_DOWN, {}), (status, b"<html>", {}))
    as_if_nothing_had_happened(ask(backend))
    assert len(fake_server.requests) == 16 + 2


def a_date(seconds):
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        (lambda: {"Retry-After": "0.4"}, 0.4),
        (lambda: {"retry-after-ms": "400"}, 0.4),
        (lambda: {"retry-after-ms": "400", "Retry-After": "100"}, 0.4),
        # A date has whole seconds: of two, at least one is left.
        (lambda: {"Retry-After": a_date(2)}, 0.9),
    ],
    ids=["seconds", "milliseconds", "milliseconds first", "date"],
)
def test_a_server_that_says_how_long_to_wait_is_left_alone_for_so_long(
    backend, fake_server, good, headers, least
):
    told = {}

    def answer(body, call):
        if call == 1:
            told["at"] = time.monotonic()
            return 429, SLOW_DOWN, headers()
        return 200, good, {}

    fake_server.answer = answer
    as_if_nothing_had_happened(ask(backend, concurrency=1))
    assert fake_server.times[1] - told["at"] > least - 0.01
    assert len(fake_server.requests) == 17


@pytest.mark.parametrize(
    "value", ["soon", "", "-5", a_date(-100)], ids=["word", "none", "less", "past"]
)
def test_a_wait_that_makes_no_sense_is_none(backend, fake_server, good, value):
    fake_server.answer = first_then(good, (429, SLOW_DOWN, {"Retry-After": value}))
    as_if_nothing_had_happened(ask(backend))


def test_no_call_begins_while_the_server_wants_to_be_left_alone(backend, fake_server, good):
    told = {}

    def answer(body, call):
        # Answers before and while one is refused: their successors have to wait as well.
        if call == 4:
            told["at"] = time.monotonic()
            return 429, SLOW_DOWN, {"Retry-After": "0.5"}
        time.sleep(0.1)
        return 200, good, {}

    fake_server.answer = answer
    as_if_nothing_had_happened(ask(backend, concurrency=4))
    # What was on its way when the refusal was sent may still arrive.
    during = [t for t in fake_server.times if told["at"] + 0.05 < t < told["at"] + 0.45]
    assert not during and len(fake_server.times) == 17


def test_no_retry_begins_while_the_server_wants_to_be_left_alone(backend, fake_server, good):
    told, together = {}, threading.Barrier(2)

    def answer(body, call):
        if call > 2:
            return 200, good, {}
        together.wait(10)
        told["at"] = time.monotonic()
        return (429, SLOW_DOWN, {"Retry-After": "0.5"}) if call == 1 else (500, b"", {})

    fake_server.answer = answer
    as_if_nothing_had_happened(ask(backend, concurrency=2))
    assert not [t for t in fake_server.times[2:] if t < told["at"] + 0.45]


def test_a_wait_beyond_all_patience_is_an_error_that_says_so(backend, fake_server):
    fake_server.answer = lambda body, call: (429, SLOW_DOWN, {"Retry-After": "3600"})
    with pytest.raises(BackendError, match=r"429.*asks to wait 3600 s: run the same command"):
        ask(backend, concurrency=1)
    assert len(fake_server.requests) == 1


def test_a_burst_of_429_shrinks_the_gate_once(backend, fake_server, good, monkeypatch):
    gates = []

    class Watched(Gate):
        def __init__(self, *limits):
            super().__init__(*limits)
            gates.append(self)
            self.least = self.limit

        def objected(self, *args):
            super().objected(*args)
            self.least = min(self.least, self.limit)

    monkeypatch.setattr("llmdemand.simulation.runner.Gate", Watched)
    together = threading.Barrier(10)

    def answer(body, call):
        if call <= 10:
            together.wait(10)
            return 429, SLOW_DOWN, {"Retry-After": "0.05"}
        return 200, good, {}

    fake_server.answer = answer
    as_if_nothing_had_happened(ask(backend, concurrency=10))
    (gate,) = gates
    assert gate.least == pytest.approx(8)


def test_a_body_that_drips_past_the_time_limit_is_cut_off_and_asked_again(
    fake_server, good, quick_retries
):
    fake_server.answer = first_then(good, (200, fake_server.drip(good, 30), {}))
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, timeout=0.4)
    begun = time.monotonic()
    as_if_nothing_had_happened(ask(backend))
    # Each byte comes in time; it is the whole that takes too long.
    assert 0.4 < time.monotonic() - begun < 10
    assert len(fake_server.requests) == 17


def test_a_server_that_never_ends_an_answer_is_given_up_in_one_line(fake_server, good):
    fake_server.answer = lambda body, call: (200, fake_server.drip(good, 30), {})
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, timeout=0.2)
    with pytest.raises(BackendError, match=r"did not answer within 0.2 s.*run the same command"):
        ask(backend, patience=0)


@pytest.mark.parametrize("trouble", ["reset", "cut", "shut"])
def test_connections_that_break_are_made_again(backend, fake_server, good, trouble):
    how = {
        "reset": fake_server.reset,
        "cut": fake_server.cut(good, 100),
        "shut": fake_server.cut(good, 0),
    }[trouble]
    fake_server.answer = first_then(good, (200, how, {}), (200, how, {}), (200, how, {}))
    as_if_nothing_had_happened(ask(backend))
    assert len(fake_server.requests) == 16 + 3


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"choices": [{"index": 0, "mess', "application/json"),
        (b"", "application/json"),
        (b"<html>busy</html>", "text/html"),
        (b"\xff\xfe\x00", "application/octet-stream"),
        (b"[]", "application/json"),
    ],
    ids=["truncated", "empty", "html", "binary", "array"],
)
def test_bodies_that_are_no_answer_are_asked_again(backend, fake_server, good, content, kind):
    fake_server.answer = first_then(good, (200, content, {"Content-Type": kind}))
    as_if_nothing_had_happened(ask(backend))
    assert len(fake_server.requests) == 17


def test_an_answer_under_a_wrong_content_type_is_an_answer(backend, fake_server, good):
    fake_server.answer = lambda body, call: (200, good, {"Content-Type": "text/plain"})
    as_if_nothing_had_happened(ask(backend))


def test_an_error_inside_a_success_is_an_error(backend, fake_server, good):
    busy = {"error": {"message": "upstream is busy", "code": 503}}
    fake_server.answer = first_then(good, (200, busy, {}))
    as_if_nothing_had_happened(ask(backend))
    assert len(fake_server.requests) == 17


def with_logprob(complete, value, listed):
    raw = complete("Pampers", [("Pampers", -0.1, {"Pampers": -0.1})])
    entry = raw["choices"][0]["logprobs"]["content"][0]
    entry["logprob"] = value
    entry["top_logprobs"] = [{"token": t, "logprob": v} for t, v in listed.items()]
    return raw


@pytest.mark.parametrize(
    ("value", "listed", "status"),
    [
        (0.3, {"Pampers": 0.3, "H": -1.0}, "invalid_logprobs"),
        (-0.5, {"Pampers": -0.5, "H": 0.2}, "invalid_logprobs"),
        (math.nan, {"Pampers": math.nan}, "invalid_logprobs"),
        (None, {"Pampers": None, "H": -1.0}, "invalid_logprobs"),
        (-0.1, {"Pampers": -0.1, "H": -0.2}, "invalid_logprobs"),
        # A sentinel for the realised token says that it was not computed.
        (-9999.0, {"Pampers": -9999.0}, "invalid_logprobs"),
        # Among other candidates it is as good as a probability of zero.
        (-0.5, {"Pampers": -0.5, "H": -9999.0}, "ok"),
        # Fewer candidates than asked for are what they are.
        (-0.5, {"Pampers": -0.5}, "ok"),
        (-0.5, {}, "no_logprobs"),
    ],
    ids=[
        *("positive", "positive rival", "nan", "null", "sum above one"),
        *("sentinel", "sentinel rival", "one candidate", "no candidates"),
    ],
)
def test_log_probabilities_that_are_none_give_a_status_and_are_not_asked_again(
    backend, fake_server, complete, value, listed, status
):
    fake_server.answer = lambda body, call: (200, with_logprob(complete, value, listed), {})
    panel = ask(backend)
    assert panel.statuses[status] == 16, panel.frame["status"].unique()
    assert len(fake_server.requests) == 16
    beliefs = panel.frame["belief_pampers"]
    if status == "ok":
        assert beliefs.tolist() == pytest.approx([1.0] * 16)
        # What is not listed may belong to anybody: the bounds say so.
        assert (panel.frame["lo_pampers"] < 0.7).all()
    else:
        assert beliefs.isna().all() and set(panel.frame["choice"]) == {"pampers"}


@pytest.mark.parametrize(
    "raw",
    [
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0}},
        {"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": None}}]},
    ],
    ids=["no choices", "no content"],
)
def test_an_answer_that_holds_nothing_is_a_row_that_says_so(backend, fake_server, raw):
    fake_server.answer = lambda body, call: (200, raw, {})
    panel = ask(backend)
    assert panel.statuses["no_output"] == 16 and len(fake_server.requests) == 16


def test_a_filtered_answer_is_a_refusal(backend, fake_server, complete):
    raw = complete("", finish="content_filter")
    fake_server.answer = lambda body, call: (200, raw, {})
    assert ask(backend).statuses["refusal"] == 16


def test_a_filtered_prompt_is_a_refusal_that_is_stored_and_not_asked_again(
    backend, fake_server, good, tmp_path
):
    filtered = {
        "error": {
            "code": "content_filter",
            "message": "The response was filtered",
            "innererror": {"code": "ResponsibleAIPolicyViolation"},
        }
    }
    fake_server.answer = first_then(good, (400, filtered, {}))
    panel = ask(backend, store=tmp_path / "s.sqlite", concurrency=1)
    assert panel.statuses["refusal"] == 1 and panel.statuses["ok"] == 15
    ask(backend, store=tmp_path / "s.sqlite")
    assert len(fake_server.requests) == 16


def test_one_bad_row_leaves_the_others_as_they_are(backend, fake_server, good, complete):
    bad = with_logprob(complete, 0.5, {"Pampers": 0.5})
    fake_server.answer = first_then(good, (200, bad, {}))
    panel = ask(backend)
    assert panel.statuses["invalid_logprobs"] == 1 and panel.statuses["ok"] == 15


def test_a_server_that_dies_and_comes_back_is_waited_for(backend, fake_server, good):
    died = threading.Event()

    def answer(body, call):
        if call == 8:
            died.set()
            time.sleep(0.05)
        return 200, good, {}

    def die_and_come_back():
        died.wait(10)
        fake_server.stop()
        time.sleep(0.3)
        fake_server.start()

    fake_server.answer = answer
    thread = threading.Thread(target=die_and_come_back)
    thread.start()
    panel = ask(backend, concurrency=3)
    thread.join()
    as_if_nothing_had_happened(panel)
    # What was answered before it died is not asked again.
    assert len(fake_server.delivered) <= 16 + 3


def test_a_server_that_dies_for_good_leaves_a_store_to_go_on_from(
    backend, fake_server, good, tmp_path
):
    died = threading.Event()

    def answer(body, call):
        if call == 8:
            died.set()
            time.sleep(0.05)
        return 200, good, {}

    fake_server.answer = answer
    thread = threading.Thread(target=lambda: (died.wait(10), fake_server.stop()))
    thread.start()
    path = tmp_path / "s.sqlite"
    with pytest.raises(BackendError, match=r"could not be reached.*run the same command"):
        ask(backend, concurrency=1, patience=0.3, store=path)
    thread.join()
    with Store(path) as store:
        kept = len(store)
    assert 7 <= kept <= 8
    fake_server.start()
    fake_server.answer = lambda body, call: (200, good, {})
    before = len(fake_server.requests)
    as_if_nothing_had_happened(ask(backend, store=path))
    assert len(fake_server.requests) - before == 16 - kept


def rescued(folder, message):
    (file,) = folder.glob("*.rescued-*.jsonl")
    assert str(file) in message and f"llmdemand store import {folder / 's.sqlite'}" in message
    return file


def import_and_go_on(path, file, fake_server, backend):
    """Bring rescued answers in; then only what was never answered is asked."""
    with Store(path) as store:
        new, known = store.import_lines(file)
        kept = len(store)
    before = len(fake_server.delivered)
    assert kept == before, "every answer that was delivered is in the store or was rescued"
    as_if_nothing_had_happened(ask(backend, store=path))
    assert len(fake_server.delivered) == 16
    return new, known


def padded(good, body, size):
    """An answer that fills pages: numbers that do not compress."""
    chance = random.Random(body["seed"])
    return {**good, "pad": [chance.getrandbits(60) for _ in range(size)]}


def test_answers_that_a_full_disk_does_not_take_are_rescued(
    backend, fake_server, good, tmp_path, monkeypatch
):
    # The store may have so many pages and no more, as on a disk without space.
    prepare = store_module.prepare

    def small(db, path, busy):
        prepare(db, path, busy)
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count={pages + 1}")

    fake_server.answer = lambda body, call: (200, padded(good, body, 60), {})
    path = tmp_path / "s.sqlite"
    with monkeypatch.context() as patched:
        patched.setattr(store_module, "prepare", small)
        with pytest.raises(StoreError, match="full: free some space") as caught:
            ask(backend, store=path, concurrency=4)
    assert len(fake_server.requests) < 16, "it stops asking"
    file = rescued(tmp_path, str(caught.value))
    new, _ = import_and_go_on(path, file, fake_server, backend)
    assert new >= 1


def test_a_limit_on_file_sizes_is_met_as_a_full_disk_is(fake_server, good, tmp_path):
    fake_server.answer = lambda body, call: (200, padded(good, body, 200), {})
    script = """
import resource, sys
from llmdemand import load_study, simulate
from llmdemand.errors import StoreError
from llmdemand.simulation.backends.openai import OpenAIBackend
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
backend = OpenAIBackend("fake-1", base_url=sys.argv[1])
try:
    simulate(load_study("pampers"), backend, runs=1, store="s.sqlite", probe=False, concurrency=2)
except StoreError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, fake_server.url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        encoding="utf-8",
    )
    assert "free some space" in done.stdout
    (file,) = tmp_path.glob("*.rescued-*.jsonl")
    backend = OpenAIBackend("fake-1", base_url=fake_server.url)
    new, known = import_and_go_on(tmp_path / "s.sqlite", file, fake_server, backend)
    assert new + known >= 1


def test_answers_that_a_held_store_does_not_take_are_rescued(
    backend, fake_server, good, tmp_path, monkeypatch
):
    monkeypatch.setattr(store_module, "_BUSY", 0.05)
    path = tmp_path / "s.sqlite"
    Store(path).close()
    holders = []

    def answer(body, call):
        if call == 6:
            holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
            holder.execute("BEGIN IMMEDIATE")
            holders.append(holder)
        return 200, good, {}

    fake_server.answer = answer
    with pytest.raises(StoreError, match="locked: another program holds it") as caught:
        ask(backend, store=path, concurrency=2)
    for holder in holders:
        holder.execute("ROLLBACK")
        holder.close()
    file = rescued(tmp_path, str(caught.value))
    new, known = import_and_go_on(path, file, fake_server, backend)
    assert new >= 1 and known == 0


def test_a_store_that_broke_is_not_tried_again_by_answers_under_way(
    backend, fake_server, good, monkeypatch
):
    tried = []

    def put(self, source, stored):
        tried.append(stored.key)
        raise StoreError("locked")

    monkeypatch.setattr(Store, "put", put)
    together = threading.Barrier(5)

    def answer(body, call):
        together.wait(10)
        return 200, good, {}

    fake_server.answer = answer
    with pytest.raises(StoreError, match="5 answers that it did not take"):
        ask(backend, store="s.sqlite", concurrency=5)
    assert len(tried) == 1


# Budgets. The server counts as OpenAI does and lies about nothing.
PRICES = Prices(1000.0, 4000.0)


def counting(complete, spent):
    """Answers whose tokens are a quarter of the prompt's bytes and eight to be written."""

    def answer(body, call):
        raw = complete("Pampers", PAMPERS)
        read = 8 + sum(len(m["content"].encode()) for m in body["messages"]) // 4
        raw["usage"] = {"prompt_tokens": read, "completion_tokens": 8}
        spent.append((read, 8))
        time.sleep(0.002)
        return 200, raw, {}

    return answer


def total(spent):
    tokens = sum(map(sum, spent))
    return tokens, PRICES.usd(*map(sum, zip(*spent, strict=True))) if spent else 0.0


def priced(fake_server):
    return OpenAIBackend("fake-1", base_url=fake_server.url, prices=PRICES, timeout=5)


@pytest.mark.parametrize("concurrency", [1, 7, "auto"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.31, 0.77])
@pytest.mark.parametrize("unit", ["usd", "tokens"])
def test_a_budget_is_never_exceeded_and_the_rest_can_be_asked_later(
    fake_server, complete, tmp_path, unit, share, concurrency
):
    spent = []
    fake_server.answer = counting(complete, spent)
    backend, path = priced(fake_server), tmp_path / "s.sqlite"
    ask(backend, runs=2)
    whole = dict(zip(("tokens", "usd"), total(spent), strict=True))[unit]
    spent.clear()
    cap = max(share * whole, whole * 1e-6)
    with pytest.raises(BudgetReached) as caught:
        ask(backend, runs=2, budget=Budget(**{unit: cap}), concurrency=concurrency, store=path)
    used = dict(zip(("tokens", "usd"), total(spent), strict=True))[unit]
    assert used <= cap
    # It is used, too: what is left is less than the worst case of a call.
    if share > 0.1:
        assert used > cap - 0.2 * whole
    with Store(path) as store:
        assert len(store) == len(spent)
    answered = re.search(r"(\d+) of 32 runs are answered", str(caught.value))
    assert int(answered[1]) == len(spent)
    assert str(path) in str(caught.value) and "give a higher budget" in str(caught.value)
    asked = len(spent)
    panel = ask(backend, runs=2, budget=Budget(**{unit: 10 * whole}), store=path)
    assert len(panel) == 32 and len(spent) == 32 > asked


def test_a_number_is_a_budget_in_dollars(fake_server, complete):
    spent = []
    fake_server.answer = counting(complete, spent)
    with pytest.raises(BudgetReached, match="the budget ends here"):
        ask(priced(fake_server), budget=1.0)
    assert 0 < total(spent)[1] <= 1.0


def test_a_budget_in_dollars_needs_prices_and_one_in_tokens_does_not(fake_server, good, backend):
    from llmdemand.errors import UsageError

    with pytest.raises(UsageError, match="no price is known for fake-1"):
        ask(backend, budget=1.0)
    assert not fake_server.requests
    fake_server.answer = lambda body, call: (200, good, {})
    as_if_nothing_had_happened(ask(backend, budget=Budget(tokens=1e6)))


def test_what_is_stored_costs_nothing(fake_server, complete, tmp_path):
    spent = []
    fake_server.answer = counting(complete, spent)
    ask(priced(fake_server), store=tmp_path / "s.sqlite")
    again = ask(priced(fake_server), store=tmp_path / "s.sqlite", budget=1e-9)
    assert len(again) == 16 and len(spent) == 16


def test_free_backends_have_no_dollars_to_spend():
    panel = simulate(STUDY, SyntheticBackend(STUDY), runs=1, budget=1e-9)
    assert len(panel) == 16


@pytest.mark.parametrize("several", [1, 3])
def test_an_estimate_brackets_what_is_then_spent(fake_server, complete, tmp_path, several):
    spent = []
    single = counting(complete, spent)

    def answer(body, call):
        status, raw, headers = single(body, call)
        count = body.get("n", 1)
        raw["choices"] = [{**raw["choices"][0], "index": k} for k in range(count)]
        raw["usage"]["completion_tokens"] *= count
        spent[-1] = (spent[-1][0], 8 * count)
        return status, raw, headers

    fake_server.answer = answer
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, prices=PRICES, n=several)
    found = estimate(STUDY, backend, runs=6)
    assert not fake_server.requests, "it asks nothing"
    assert found.asked == 96 and found.stored == 0
    ask(backend, runs=6, store=tmp_path / "s.sqlite")
    read, written = (sum(side) for side in zip(*spent, strict=True))
    assert found.prompt_tokens[0] <= read <= found.prompt_tokens[1]
    assert found.completion_tokens[0] <= written <= found.completion_tokens[1]
    assert found.usd[0] <= total(spent)[1] <= found.usd[1]
    # Bounds that are never wrong may be useless: these are within a factor of a few.
    assert found.prompt_tokens[1] < 4 * found.prompt_tokens[0]
    # With answers at hand the length of the others is known better.
    more = estimate(STUDY, backend, runs=12, store=tmp_path / "s.sqlite")
    assert more.stored == 96 and more.asked == 96
    assert more.completion_tokens[1] == pytest.approx(1.5 * 8 * 96)
    assert "96 answers to ask (96 are stored)" in str(more)


def test_the_probe_is_within_the_budget(fake_server, complete):
    spent = []
    fake_server.answer = counting(complete, spent)
    with pytest.raises(BudgetReached):
        ask(priced(fake_server), budget=0.01, probe=True)
    assert total(spent)[1] <= 0.01


def test_calls_that_were_cut_off_and_may_be_charged_count_against_the_budget(
    fake_server, complete, quick_retries
):
    charged = []
    count = counting(complete, charged)

    def answer(body, call):
        count(body, call)
        return 200, fake_server.cut(complete("Pampers", PAMPERS), 50), {}

    fake_server.answer = answer
    # Enough for the worst case of one call, not of two.
    words = len((STUDY.system + STUDY.user).encode())
    cap = PRICES.usd(words + 200, STUDY.sampling.max_tokens)
    with pytest.raises((BudgetReached, BackendError)):
        ask(priced(fake_server), budget=cap, concurrency=1)
    assert 0 < total(charged)[1] <= cap


def test_a_server_that_does_not_count_is_booked_at_the_worst(fake_server, good):
    del good["usage"]
    fake_server.answer = lambda body, call: (200, good, {})
    with pytest.raises(BudgetReached):
        ask(priced(fake_server), budget=Budget(tokens=2000), concurrency=1)


def test_the_panel_is_the_same_whatever_went_wrong(fake_server, complete, quick_retries, tmp_path):
    def content(body):
        value = -0.1 - (body["seed"] % 89) / 100
        return complete("Pampers", [("Pampers", value, {"Pampers": value, "H": -2.5})])

    fake_server.answer = lambda body, call: (200, content(body), {})
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, timeout=5)
    calm = ask(backend, runs=4, store=":memory:")

    def stormy(body, call):
        trouble = {
            1: (500, b"", {}),
            2: (429, SLOW_DOWN, {"Retry-After": "0.01"}),
            3: (200, fake_server.reset, {}),
            4: (200, fake_server.cut(content(body), 60), {}),
            5: (200, b"{", {}),
        }.get(call % 9)
        return trouble or (200, content(body), {})

    fake_server.answer = stormy
    found = ask(backend, runs=4, store=tmp_path / "s.sqlite")
    pd.testing.assert_frame_equal(found.frame, calm.frame, check_exact=True)
    assert not list(Path(tmp_path).glob("*rescued*"))


def test_all_of_a_study_can_be_asked_at_another_temperature_of_the_same_store(
    backend, fake_server, good, tmp_path
):
    fake_server.answer = lambda body, call: (200, good, {})
    cool = replace(STUDY, sampling=replace(STUDY.sampling, temperature=0.5))
    ask(backend, store=tmp_path / "s.sqlite")
    simulate(cool, backend, runs=1, store=tmp_path / "s.sqlite", probe=False)
    assert [b["temperature"] for b in fake_server.requests] == [1.0] * 16 + [0.5] * 16
