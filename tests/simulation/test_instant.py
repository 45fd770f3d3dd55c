"""Answers that are computed at once are those that are asked for one by one."""

import asyncio

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand import Budget, SyntheticBackend, load_study, simulate
from llmdemand.belief.readers import compact, to_compact
from llmdemand.errors import BudgetReached, StoreError
from llmdemand.simulation.backends.known.written import Written
from llmdemand.simulation.requests import requests
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")
ODD = {
    "verbose": True,
    "preambles": "mixed",
    "refusal_rate": 0.1,
    "no_pivot_rate": 0.1,
    "mismatch_rate": 0.1,
    "subwords": True,
    "raw_logprobs": True,
}


def lines(path):
    """What a store holds, but for when it came."""
    with Store(path) as store:
        entries = [{**line, "created": 0} for line in store.export()]
    return sorted(entries, key=lambda line: line["key"])


@pytest.mark.parametrize("options", [{}, ODD], ids=["plain", "odd"])
def test_computed_at_once_or_call_by_call_panel_and_store_are_the_same(tmp_path, options):
    backend = SyntheticBackend(STUDY, **options)
    at_once = simulate(STUDY, backend, runs=3, seed=2, store=tmp_path / "1.sqlite")
    one_by_one = simulate(
        STUDY, backend, runs=3, seed=2, store=tmp_path / "2.sqlite", concurrency=3
    )
    waiting = SyntheticBackend(STUDY, latency=1e-4, **options)
    slow = simulate(STUDY, waiting, runs=3, seed=2, store=tmp_path / "3.sqlite")
    kept_nowhere = simulate(STUDY, backend, runs=3, seed=2)
    for other in (one_by_one, slow, kept_nowhere):
        pd.testing.assert_frame_equal(at_once.frame, other.frame, check_exact=True)
    assert lines(tmp_path / "1.sqlite") == lines(tmp_path / "2.sqlite")
    assert lines(tmp_path / "1.sqlite") == lines(tmp_path / "3.sqlite")


def test_what_is_told_of_an_answer_is_what_is_read_of_it():
    backend, written = SyntheticBackend(STUDY, **ODD), Written()
    for request in requests(STUDY, 4, 1):
        answer = backend.answer(request)
        raw, response = written.told(answer)
        assert raw == to_compact(answer) and response == compact(raw)


@settings(max_examples=20)
@given(st.integers(0, 2**31 - 1))
def test_the_last_answer_alone_is_known_without_reading(seed):
    backend = SyntheticBackend(STUDY)
    first, second = list(requests(STUDY, 1, seed))[:2]

    async def raws():
        return [raw async for raw in backend.complete([first, second])]

    one, two = asyncio.run(raws())
    assert backend.parse(two) == compact(two) and backend.parse(one) == compact(one)
    assert backend.parse(dict(two)) == compact(two)


def test_a_budget_holds_for_computed_answers_too():
    assert len(simulate(STUDY, "synthetic", runs=1, budget=Budget(tokens=10**6))) == 16
    with pytest.raises(BudgetReached, match="of 16 runs are answered"):
        simulate(STUDY, "synthetic", runs=1, budget=Budget(tokens=900))


def test_a_store_that_takes_nothing_ends_the_computing_with_the_answers_saved(
    tmp_path, monkeypatch
):
    computed = []

    class Counting(SyntheticBackend):
        async def complete(self, asked):
            computed.extend(asked)
            async for raw in super().complete(asked):
                yield raw

    def full(self, answers):
        raise StoreError("full: free some space")

    monkeypatch.setattr("llmdemand.simulation.storing.store._MOST_HELD", 5)
    monkeypatch.setattr("llmdemand.simulation.storing.rows.Rows._put_all", full)
    with pytest.raises(StoreError, match=r"5 answers that it did not take are in"):
        simulate(STUDY, Counting(STUDY), runs=2, store=tmp_path / "s.sqlite")
    assert len(computed) == 5
    monkeypatch.undo()
    (file,) = tmp_path.glob("*.rescued-*.jsonl")
    with Store(tmp_path / "s.sqlite") as store:
        assert store.import_lines(file) == (5, 0)
