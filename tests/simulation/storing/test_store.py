"""The store by itself: what goes in comes out, once, whoever else has the file open."""

import json
import math
import multiprocessing
import sqlite3
import threading
import time
from dataclasses import replace

import pandas as pd
import pytest

from llmdemand import load_study, simulate
from llmdemand.core.sampling import Sampling
from llmdemand.errors import ResponseError, StoreError
from llmdemand.simulation.backend import Request
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.requests import requests
from llmdemand.simulation.storing import store as module
from llmdemand.simulation.storing.records import Source, Stored, key
from llmdemand.simulation.storing.rescued import rescue
from llmdemand.simulation.storing.store import Store, is_store

STUDY = load_study("pampers")
# The children use no threads of the parent's.
FORKS = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
SOURCE = Source("openai", "m", '{"api":"chat"}', True)


def stored(name, top=20, raw=None, run_id="0-0", **more):
    return Stored(name, top, run_id, "hash", raw or {"text": name, "tokens": []}, **more)


def test_what_was_put_is_there_after_closing(tmp_path):
    path = tmp_path / "a" / "b" / "s.sqlite"
    raw = {"text": "Windeln f\u00fcr \u20ac 1 \U0001f37c", "tokens": [], "n": 1.0000000000000002}
    with Store(path) as store:
        assert store.put(SOURCE, stored("k", raw=raw)) is True
    assert is_store(path)
    with Store(path) as store:
        assert store.get("k", 20) == raw and len(store) == 1
        assert store.get("other", 20) is None and not store.has("other", 1)
        assert store.sources() == {SOURCE: 1}


def test_a_second_answer_to_the_same_key_is_not_taken(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        assert store.put(SOURCE, stored("k", raw={"text": "first"}))
        assert not store.put(SOURCE, stored("k", raw={"text": "second"}))
        assert store.get("k", 20) == {"text": "first"} and len(store) == 1


def test_a_longer_list_serves_a_shorter_one_and_not_the_other_way(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.put(SOURCE, stored("k", 20, {"text": "20"}))
        assert store.get("k", 5) == {"text": "20"} and store.has("k", 5)
        assert store.get("k", 21) is None and not store.has("k", 21)
        store.put(SOURCE, stored("k", 5, {"text": "5"}))
        assert store.get("k", 3) == {"text": "5"}, "the nearest that is long enough"
        assert store.get("k", 6) == {"text": "20"}


def test_every_put_is_seen_by_another_connection_at_once(tmp_path):
    path = tmp_path / "s.sqlite"
    with Store(path) as one, Store(path) as other:
        for k in range(5):
            one.put(SOURCE, stored(f"k{k}"))
            assert len(other) == k + 1


def test_totals_are_what_was_paid_unknown_counts_left_out(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.put(SOURCE, stored("a", prompt_tokens=10, completion_tokens=2, usd=0.5))
        store.put(SOURCE, stored("b", prompt_tokens=7, completion_tokens=math.nan, usd=math.nan))
        store.put(replace(SOURCE, model="other"), stored("c", prompt_tokens=1000))
        expected = {"responses": 2, "prompt_tokens": 17, "completion_tokens": 2, "usd": 0.5}
        assert store.totals(SOURCE) == expected


def request(user, replicate, **more):
    template = next(iter(requests(STUDY, 1, 1)))
    return replace(template, user=user, replicate=replicate, **more)


def test_texts_and_numbers_cannot_run_into_each_other_in_a_key():
    one, other = request("at $1", 12), request("at $11", 2)
    assert key(one, SOURCE) != key(other, SOURCE)
    assert key(request("ab", 1, system="c"), SOURCE) != key(request("b", 1, system="ca"), SOURCE)
    assert key(request("a", 1, begun="b"), SOURCE) != key(request("ab", 1), SOURCE)


@pytest.mark.parametrize(
    "change",
    [
        {"user": "other"},
        {"system": "other"},
        {"mode": "completion"},
        {"begun": "I choose"},
        {"seed": 12345},
        {"replicate": 1},
        {"sampling": Sampling(temperature=0.5, max_tokens=40, top_logprobs=20)},
        {"sampling": Sampling(max_tokens=41, top_logprobs=20)},
        {"sampling": Sampling(max_tokens=40, top_logprobs=20, stop=("\n",))},
        {"cell": STUDY.cells()[3]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_the_answer_changes_the_key(change):
    base = next(iter(requests(STUDY, 1, 1)))
    assert isinstance(base, Request)
    assert key(replace(base, **change), SOURCE) != key(base, SOURCE)


def test_what_changes_only_the_record_keeps_the_key():
    base = next(iter(requests(STUDY, 1, 1)))
    few = replace(base, sampling=replace(base.sampling, top_logprobs=5))
    assert key(few, SOURCE) == key(base, SOURCE)
    assert key(replace(base, run_id="other"), SOURCE) == key(base, SOURCE)


@pytest.mark.parametrize("field", ["backend", "model", "settings"])
def test_another_source_has_other_keys(field):
    base = next(iter(requests(STUDY, 1, 1)))
    assert key(base, replace(SOURCE, **{field: '{"x":1}'})) != key(base, SOURCE)


def test_export_and_import_bring_everything_back(tmp_path):
    first = tmp_path / "a.sqlite"
    panel = simulate(STUDY, "synthetic", runs=2, seed=5, store=first)
    with Store(first) as store, (tmp_path / "lines.jsonl").open("w") as out:
        store.put(SOURCE, stored("k", 7, usd=math.nan))
        lines = list(store.export())
        out.writelines(json.dumps(line) + "\n" for line in lines)
    with Store(tmp_path / "b.sqlite") as store:
        assert store.import_lines(tmp_path / "lines.jsonl") == (33, 0)
        assert store.import_lines(tmp_path / "lines.jsonl") == (0, 33)
        assert store.get("k", 7) == {"text": "k", "tokens": []}
        again = list(store.export())
    assert again == lines
    assert all(line["created"] > 1.6e9 for line in lines)

    class Nobody(SyntheticBackend):
        async def complete(self, asked):
            raise AssertionError("asked again")
            yield

    served = simulate(STUDY, Nobody(STUDY), runs=2, seed=5, store=tmp_path / "b.sqlite")
    pd.testing.assert_frame_equal(served.frame, panel.frame)


@pytest.mark.parametrize(
    "line", ["hello", "[1]", '{"key": "a"}', '{"key": "", "raw": {}, "source": {}}', '"text"']
)
def test_a_line_that_is_no_export_is_named_and_lines_before_it_are_in(tmp_path, line):
    with Store(tmp_path / "a.sqlite") as store:
        store.put(SOURCE, stored("k"))
        good = json.dumps(next(store.export()))
    (tmp_path / "lines.jsonl").write_text(f"{good}\n\n{line}\n", encoding="utf-8")
    with Store(tmp_path / "b.sqlite") as store:
        with pytest.raises(ResponseError, match="line 3: no line of `llmdemand store export`"):
            store.import_lines(tmp_path / "lines.jsonl")
        assert len(store) == 1


def test_rescued_answers_go_to_another_folder_where_the_first_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    lost = [stored("a", created=5.0), stored("b", usd=math.nan)]
    found = rescue(tmp_path / "no-such-folder" / "s.sqlite", SOURCE, lost, StoreError("full"))
    (file,) = tmp_path.glob("s.rescued-*.jsonl")
    assert str(file) in str(found) and "2 answers" in str(found)
    with Store(tmp_path / "s.sqlite") as store:
        assert store.import_lines(file) == (2, 0)
        assert store.get("a", 20) == {"text": "a", "tokens": []}


def test_a_folder_is_no_store(tmp_path):
    with pytest.raises(StoreError, match="is a folder: give the path of a file"):
        Store(tmp_path)


def test_a_store_in_a_folder_that_cannot_be_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="its folder cannot be made"):
        Store(tmp_path / "file" / "s.sqlite")


@pytest.mark.parametrize("content", [b"hello", b'{"key": 1}\n', b"SQLite format 4\x00" * 10])
def test_another_file_is_no_store_and_stays_as_it_is(tmp_path, content):
    path = tmp_path / "s.sqlite"
    path.write_bytes(content)
    assert not is_store(path)
    with pytest.raises(StoreError, match="is no response store"):
        Store(path)
    assert path.read_bytes() == content


def sqlite_file(path, *statements):
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()
    return path.read_bytes()


def test_another_programs_database_is_no_store_and_stays_as_it_is(tmp_path):
    path = tmp_path / "s.sqlite"
    content = sqlite_file(path, "CREATE TABLE mail (body)", "INSERT INTO mail VALUES ('hi')")
    with pytest.raises(StoreError, match="something else: it was left"):
        Store(path)
    assert path.read_bytes() == content and len(list(tmp_path.iterdir())) == 1


def test_a_store_of_a_later_version_is_refused_and_stays_as_it_is(tmp_path):
    path = tmp_path / "s.sqlite"
    content = sqlite_file(path, "CREATE TABLE responses (x)", "PRAGMA user_version=99")
    with pytest.raises(
        StoreError, match="version 99, this llmdemand reads up to 3: install a later"
    ):
        Store(path)
    assert path.read_bytes() == content


def test_a_damaged_store_is_said_in_one_line(tmp_path):
    path = tmp_path / "s.sqlite"
    simulate(STUDY, "synthetic", runs=2, seed=5, store=path)
    content = bytearray(path.read_bytes())
    content[100:] = b"\x00" * (len(content) - 100)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="malformed: copy it away"), Store(path) as store:
        len(store)


def test_a_store_that_another_program_holds_is_said_after_the_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BUSY", 0.05)
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(StoreError, match="locked: another program holds it; wait"):
                store.put(SOURCE, stored("k"))
        finally:
            holder.execute("ROLLBACK")
            holder.close()
        assert store.put(SOURCE, stored("k")), "and it goes on when the other is done"


def test_a_store_that_is_held_for_a_moment_is_waited_for(tmp_path):
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.1, lambda: holder.execute("COMMIT"))
        timer.start()
        assert store.put(SOURCE, stored("k"))
        timer.join()
        holder.close()


def _open_and_put(path, barrier, number, failures):
    barrier.wait()
    try:
        with Store(path) as store:
            store.put(SOURCE, stored(f"k{number}"))
    except StoreError as error:
        failures.put(str(error))


@FORKS
def test_processes_that_open_a_new_store_at_the_same_moment_all_get_it(tmp_path):
    context = multiprocessing.get_context("fork")
    failures = context.SimpleQueue()
    for attempt in range(12):
        path = tmp_path / f"{attempt}.sqlite"
        barrier = context.Barrier(6)
        processes = [
            context.Process(target=_open_and_put, args=(path, barrier, k, failures))
            for k in range(6)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert failures.empty(), failures.get()
        with Store(path) as store:
            assert len(store) == 6


def _claim(path, names, answers):
    with Store(path) as store:
        answers.put([store.claim(name) for name in names])
        time.sleep(60)


@FORKS
def test_a_claimed_key_is_refused_to_other_processes_until_released_or_dead(tmp_path):
    path, (a, b) = tmp_path / "s.sqlite", ("a" * 64, "b" * 64)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with Store(path) as store:
        assert store.claim(a)
        other = context.Process(target=_claim, args=(path, [a, b], answers))
        other.start()
        assert answers.get() == [False, True]
        assert not store.claim(b)
        store.release(a)
        third = context.Process(target=_claim, args=(path, [a], answers))
        third.start()
        assert answers.get() == [True]
        other.kill()
        other.join()
        assert store.claim(b), "nothing has to clean up after a process that was killed"
        third.kill()
        third.join()


def test_a_store_in_memory_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store(":memory:") as store:
        assert store.claim("a" * 64) and store.put(SOURCE, stored("k"))
        store.release("a" * 64)
    assert not list(tmp_path.iterdir())


def test_a_probe_is_kept_and_replaced(tmp_path):
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        assert store.probe(SOURCE) is None
        store.put_probe(SOURCE, {"a": 1})
        store.put_probe(SOURCE, {"a": 2})
    with Store(path) as store:
        assert store.probe(SOURCE) == {"a": 2}
        assert store.probe(replace(SOURCE, model="other")) is None


def test_the_claims_leave_no_file_behind(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    one, other = Store(tmp_path / "s.sqlite"), Store(tmp_path / "s.sqlite")
    assert one.claim("a" * 64) and other.claim("b" * 64)
    assert len(list((tmp_path / "t").iterdir())) == 1
    one.close()
    # Still in use by the other.
    assert len(list((tmp_path / "t").iterdir())) == 1
    other.close()
    assert not list((tmp_path / "t").iterdir())
