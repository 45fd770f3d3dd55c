"""Stores become one: nothing is lost where row numbers overlap, nothing is taken twice.

As others met it: rows ignored because their numbers were in use (ROCm/rocm-systems 4983,
textbrowser/biblioteq 262).
"""

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from llmdemand import load_study, simulate
from llmdemand.core.panel import Panel
from llmdemand.errors import UsageError
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.storing.compression import SAMPLES
from llmdemand.simulation.storing.joining import merge_stores
from llmdemand.simulation.storing.records import Source, Stored
from llmdemand.simulation.storing.store import Store

GOLDEN = Path(__file__).parents[2] / "golden"
STUDY = load_study("pampers")


def source(model):
    return Source("openai", model, '{"api":"chat"}', True)


def fill(path, names, model="m", word="yes", study="study"):
    raws = {name: {"text": f"{word} {name}", "listed": [" a long word"] * 30} for name in names}
    with Store(path) as store:
        store.put_all(
            (source(model), Stored(f"{k:064x}", 20, f"0-{k}", study, raw, "0a" * 8, "a>b"))
            for k, raw in raws.items()
        )
    return raws


class Nobody(SyntheticBackend):
    async def complete(self, asked):
        raise AssertionError("asked again")
        yield


def test_answers_with_the_same_row_numbers_are_all_kept_with_who_gave_them(tmp_path):
    first = fill(tmp_path / "1.sqlite", range(SAMPLES + 2), "m", "one", "a study")
    other = fill(tmp_path / "2.sqlite", range(500, 502 + SAMPLES), "n", "two", "b study")
    merged = merge_stores([tmp_path / "1.sqlite", tmp_path / "2.sqlite"], tmp_path / "all.sqlite")
    assert merged.answers == len(first) + len(other) and merged.doubled == 0
    with Store(tmp_path / "all.sqlite") as store:
        for names in (first, other):
            assert all(store.get(f"{k:064x}", 20) == raw for k, raw in names.items())
        assert store.sources() == {source("m"): len(first), source("n"): len(other)}
        assert store.studies(source("n")) == {"b study": len(other)}
        assert not list(store.damaged()) and len(store.dictionaries()) == 2
        again = next(store.responses(source("m"), "a study"))
        assert (again.order, again.content) == ("a>b", "0a" * 8)


def test_what_is_in_two_stores_is_taken_once_and_another_answer_is_told(tmp_path):
    fill(tmp_path / "1.sqlite", range(4))
    fill(tmp_path / "2.sqlite", range(3, 6))
    fill(tmp_path / "3.sqlite", [0], word="no")
    paths = [tmp_path / f"{k}.sqlite" for k in (1, 2, 3)]
    merged = merge_stores(paths, tmp_path / "all.sqlite")
    assert (merged.answers, merged.doubled, merged.other) == (6, 1, ("0-0",))
    assert "asked twice with another answer" in merged.summary()
    with Store(tmp_path / "all.sqlite") as store:
        assert store.get(f"{0:064x}", 20)["text"] == "yes 0", "the first is kept"
    assert merge_stores(paths, tmp_path / "all.sqlite").answers == 6


def test_stores_of_shards_answer_for_the_whole_study(tmp_path):
    paths = [tmp_path / f"{k}.sqlite" for k in (1, 2, 3)]
    for k, path in enumerate(paths, 1):
        simulate(STUDY, "synthetic", runs=2, seed=4, shard=(k, 3), store=path)
    merge_stores(paths, tmp_path / "all.sqlite")
    found = simulate(STUDY, Nobody(STUDY), runs=2, seed=4, store=tmp_path / "all.sqlite")
    whole = simulate(STUDY, "synthetic", runs=2, seed=4)
    pd.testing.assert_frame_equal(found.frame, whole.frame, check_exact=True)
    with Store(tmp_path / "all.sqlite") as store:
        assert [s.hash for s in store.all_studies()] == [STUDY.hash]


def test_a_store_of_version_2_takes_the_form_of_today(tmp_path):
    old = tmp_path / "old.sqlite"
    old.write_bytes((GOLDEN / "store-version-2.sqlite").read_bytes())
    assert merge_stores([old], tmp_path / "new.sqlite").answers == 32
    with sqlite3.connect(tmp_path / "new.sqlite") as db:
        assert db.execute("SELECT count(*) FROM responses").fetchone() == (0,)
    found = simulate(STUDY, Nobody(STUDY), runs=2, seed=7, store=tmp_path / "new.sqlite")
    was = Panel.read(GOLDEN / "store-version-2.parquet")
    pd.testing.assert_frame_equal(found.frame, was.frame, check_exact=True)


def test_what_is_no_store_or_the_result_itself_is_refused(tmp_path):
    fill(tmp_path / "1.sqlite", [1])
    (tmp_path / "x.sqlite").write_text("no", encoding="utf-8")
    with pytest.raises(UsageError, match=r"x\.sqlite is no response store"):
        merge_stores([tmp_path / "x.sqlite"], tmp_path / "all.sqlite")
    with pytest.raises(UsageError, match="is one of the stores that are read"):
        merge_stores([tmp_path / "1.sqlite"], tmp_path / "1.sqlite")
