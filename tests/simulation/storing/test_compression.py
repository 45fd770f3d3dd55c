"""Dictionaries in stores: small answers, readable for ever, damage named.

What others met is built again here: dictionaries mixed up between connections
(phiresky/sqlite-zstd 43), a dictionary that is gone taken for damage (pmcfadin/cqlite 1414),
written and never read back (zchunk/zchunk 43), training that fails on too little
(phiresky/sqlite-zstd 11).
"""

import math
import random
import sqlite3
import struct
from pathlib import Path

import pandas as pd
import pytest

from llmdemand import load_study, simulate
from llmdemand.core.panel import Panel
from llmdemand.errors import StoreError
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.storing.compression import SAMPLES, trained
from llmdemand.simulation.storing.records import Source, Stored
from llmdemand.simulation.storing.store import Store

GOLDEN = Path(__file__).parents[2] / "golden"
STUDY = load_study("pampers")
SOURCE = Source("openai", "m", '{"api":"chat"}', True)
WORDS = [f" word{k}" for k in range(60)]


def entry(word, value):
    return {"token": word, "logprob": value, "bytes": list(word.encode())}


def answer(k, positions=8, candidates=20):
    """A chat completion of a server whose log-probabilities are 32-bit floats."""
    chance, content = random.Random(k), []
    for position in range(positions):
        likely = random.Random(position).sample(WORDS, 40)
        scores = {w: chance.gauss(-0.5 * i, 1.2) for i, w in enumerate(likely)}
        whole = math.log(sum(map(math.exp, scores.values())))
        listed = sorted(
            (struct.unpack("f", struct.pack("f", s - whole))[0], w) for w, s in scores.items()
        )[-candidates:]
        top = [entry(w, v) for v, w in reversed(listed)]
        content.append({**top[0], "top_logprobs": top})
    text = "".join(t["token"] for t in content)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": {"content": content},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 70, "completion_tokens": positions}
    return {"id": f"chatcmpl-{k:032x}", "choices": [choice], "usage": usage}


def short(k):
    return answer(k, positions=1)


def stored(k, raw):
    return Stored(f"{k:064x}", 20, f"0-{k}", "study", raw, "0a" * 8, "a>b")


def fill(path, number, first=0, make=answer, source=SOURCE):
    raws = {k: make(k) for k in range(first, first + number)}
    with Store(path) as store:
        assert store.put_all((source, stored(k, raw)) for k, raw in raws.items()) == number
    return raws


def rows(path, statement, *values):
    with sqlite3.connect(path) as db:
        return db.execute(statement, values).fetchall()


def test_twenty_candidates_at_eight_tokens_take_less_than_1200_bytes(tmp_path):
    path = tmp_path / "s.sqlite"
    raws = fill(path, 300)
    (size,) = rows(path, "SELECT avg(length(raw)) FROM raws")[0]
    assert size < 1200
    with Store(path) as store:
        assert all(store.get(f"{k:064x}", 20) == raw for k, raw in raws.items())
        sizes = store.sizes(sample=50)
        assert sizes["answers"] == 300 and sizes["sampled"] >= 50 and sizes["ratio"] > 6


def test_the_answers_that_a_dictionary_was_trained_on_are_compressed_with_it(tmp_path):
    path = tmp_path / "s.sqlite"
    fill(path, SAMPLES - 1)
    assert not rows(path, "SELECT * FROM dictionaries")
    fill(tmp_path / "t.sqlite", SAMPLES)
    before, after = (
        rows(tmp_path / p, "SELECT avg(length(raw)) FROM raws")[0][0]
        for p in ("s.sqlite", "t.sqlite")
    )
    assert after < 0.75 * before


def test_a_second_process_uses_the_dictionary_that_is_there(tmp_path):
    path = tmp_path / "s.sqlite"
    fill(path, SAMPLES)
    raws = fill(path, 3, first=SAMPLES)
    assert len(rows(path, "SELECT * FROM dictionaries")) == 1
    (size,) = rows(path, "SELECT max(length(raw)) FROM raws WHERE place > ?", SAMPLES)[0]
    assert size < 1300
    with Store(path) as store:
        assert all(store.get(f"{k:064x}", 20) == raw for k, raw in raws.items())


def test_two_open_stores_do_not_mix_their_dictionaries(tmp_path):
    one = fill(tmp_path / "1.sqlite", SAMPLES, make=short)
    other = fill(tmp_path / "2.sqlite", SAMPLES, make=lambda k: {"text": f"{k} other" * 20})
    with Store(tmp_path / "1.sqlite") as first, Store(tmp_path / "2.sqlite") as second:
        for k in (0, 1, 5):
            assert first.get(f"{k:064x}", 20) == one[k]
            assert second.get(f"{k:064x}", 20) == other[k]


@pytest.mark.parametrize("make", [lambda k: {"text": ""}, lambda k: {"text": str(k)}])
def test_answers_that_no_dictionary_can_be_trained_on_are_stored_all_the_same(tmp_path, make):
    raws = fill(tmp_path / "s.sqlite", SAMPLES + 1, make=make)
    with Store(tmp_path / "s.sqlite") as store:
        assert all(store.get(f"{k:064x}", 20) == raw for k, raw in raws.items())
    assert trained([b"", b"x"]) is None


def spoil(path, place, change):
    with sqlite3.connect(path) as db:
        (raw,) = db.execute("SELECT raw FROM raws WHERE place = ?", (place,)).fetchone()
        db.execute("UPDATE raws SET raw = ? WHERE place = ?", (change(raw), place))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda raw: raw[:-9], "damaged"),
        (lambda raw: b"", "damaged"),
        (lambda raw: raw[:90] + bytes([raw[90] ^ 1]) + raw[91:], "damaged"),
        (lambda raw: None, "damaged"),
    ],
    ids=["torn", "empty", "one bit", "gone"],
)
def test_a_damaged_answer_is_named_and_the_others_are_read(tmp_path, run_in, change, words):
    path = tmp_path / "s.sqlite"
    raws = fill(path, SAMPLES, make=short)
    spoil(path, 8, change)
    with Store(path) as store:
        with pytest.raises(StoreError, match=f"run 0-7 .*{words}.*llmdemand store check"):
            store.get(f"{7:064x}", 20)
        with pytest.raises(StoreError, match="run 0-7 "):
            list(store.export())
        with pytest.raises(StoreError, match="run 0-7 "):
            list(store.responses(SOURCE, "study"))
        assert store.get(f"{8:064x}", 20) == raws[8]
    code, out, _ = run_in(tmp_path, "store", "check", "s.sqlite")
    assert code == 1 and "run 0-7 " in out and f"{SAMPLES} answers read, 1 damaged" in out
    assert run_in(tmp_path, "store", "check", "s.sqlite", "--drop")[0] == 1
    assert run_in(tmp_path, "store", "check", "s.sqlite")[0] == 0
    with Store(path) as store:
        assert len(store) == SAMPLES - 1 and not store.has(f"{7:064x}", 20)


def test_a_dictionary_that_is_gone_is_named_as_such(tmp_path):
    path = tmp_path / "s.sqlite"
    fill(path, SAMPLES, make=short)
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM dictionaries")
    with Store(path) as store, pytest.raises(StoreError, match=r"its dictionary \d+ is missing"):
        store.get(f"{3:064x}", 20)


def test_a_store_of_version_2_is_read_grows_and_is_asked_nothing_again(tmp_path):
    path = tmp_path / "s.sqlite"
    path.write_bytes((GOLDEN / "store-version-2.sqlite").read_bytes())

    class Rest(SyntheticBackend):
        asked = 0

        async def complete(self, asked):
            Rest.asked += len(asked)
            async for raw in super().complete(asked):
                yield raw

    panel = simulate(STUDY, Rest(STUDY), runs=2, seed=7, store=path)
    was = Panel.read(GOLDEN / "store-version-2.parquet")
    pd.testing.assert_frame_equal(panel.frame, was.frame, check_exact=True)
    assert Rest.asked == 0
    grown = simulate(STUDY, Rest(STUDY), runs=3, seed=7, store=path)
    assert Rest.asked == 16 and len(grown) == 48
    with Store(path) as store:
        assert len(store) == 48 and len(list(store.export())) == 48
        assert sum(store.sources().values()) == 48
        ((_, number),) = store.studies(Source.of(SyntheticBackend(STUDY))).items()
        assert number == 48
        old = next(line for line in store.export() if line["run_id"] == "0-0")
        again = Stored(old["key"], old["top_logprobs"], "0-0", old["study"], {"text": "new"})
        assert not store.put(Source.of(SyntheticBackend(STUDY)), again), "the first is kept"
        assert len(store) == 48
    assert len(rows(path, "SELECT * FROM responses")) == 32


def test_an_old_answer_that_is_damaged_is_named(tmp_path):
    path = tmp_path / "s.sqlite"
    path.write_bytes((GOLDEN / "store-version-2.sqlite").read_bytes())
    with sqlite3.connect(path) as db:
        db.execute("UPDATE responses SET raw = substr(raw, 1, 30) WHERE run_id = '3-1'")
    with Store(path) as store:
        assert [run for _, _, run, _ in store.damaged()] == ["3-1"]


def test_what_is_put_soon_is_found_at_once_and_stored_in_time(tmp_path, monkeypatch):
    path = tmp_path / "s.sqlite"
    with Store(path) as store, Store(path) as other:
        store.put_soon(SOURCE, stored(1, {"text": "a"}))
        store.put_soon(SOURCE, stored(1, {"text": "b"}))
        assert store.get(f"{1:064x}", 5) == {"text": "a"} and len(store) == 1
        assert not other.has(f"{1:064x}", 5)
        store.flush()
        assert other.get(f"{1:064x}", 5) == {"text": "a"}
        for k in range(2, 258):
            store.put_soon(SOURCE, stored(k, {"text": "c"}))
        assert len(other) == 257, "so many are not held back"
        monkeypatch.setattr("llmdemand.simulation.storing.store._LONGEST_HELD", 0.0)
        store.put_soon(SOURCE, stored(300, {"text": "d"}))
        assert len(other) == 258, "nor for so long"


def test_what_a_held_store_does_not_take_in_one_go_is_taken_in_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("llmdemand.simulation.storing.store._BUSY", 0.05)
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        store.put_soon(SOURCE, stored(1, {"text": "a"}))
        with pytest.raises(StoreError, match="locked"):
            store.flush()
        assert [s.run_id for s in store.held] == ["0-1"]
        holder.execute("ROLLBACK")
        holder.close()
    with Store(path) as store:
        assert len(store) == 1
