"""Shares of a study: all of it, once, whatever grows; nothing an answer depends on."""

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand import Budget, estimate, load_study, simulate
from llmdemand.errors import BudgetReached, UsageError
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.calls.options import Options
from llmdemand.simulation.calls.shard import Shard
from llmdemand.simulation.requests import Asked
from llmdemand.simulation.runner import Runner
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")


def runs_of(shard, study, runs):
    """Content and replicate of a shard's runs: what a run is wherever it stands."""
    cells = study.cells()
    pairs = (divmod(p, runs) for p in shard.positions(study, runs))
    return {(study.content(cells[at]), replicate) for at, replicate in pairs}


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 40))
def test_every_run_is_in_one_shard_and_cells_are_dealt_out_evenly(runs, of):
    shards = [list(Shard(k, of).positions(STUDY, runs)) for k in range(1, of + 1)]
    assert sorted(p for own in shards for p in own) == list(range(16 * runs))
    for own in shards:
        assert own == sorted(own)
        per_cell = Counter(p // runs for p in own)
        assert {per_cell[at] for at in range(16)} <= {runs // of, -(-runs // of)}


def test_a_run_stays_in_its_shard_when_the_study_grows():
    prices = {**STUDY.prices, "pampers": (29.5, *STUDY.prices["pampers"])}
    grown = replace(STUDY, prices=prices)
    for k in range(1, 6):
        before = runs_of(Shard(k, 5), STUDY, 4)
        assert before <= runs_of(Shard(k, 5), grown, 7)


@pytest.mark.parametrize("given_", [(0, 4), (5, 4), (1.0, 4), (True, 4), "7", 7, (1, 2, 3), (1, 0)])
def test_what_is_no_shard_is_refused(given_):
    with pytest.raises(UsageError, match="shard"):
        Options(shard=given_)


def test_of_an_array_of_jobs_from_0_one_more_is_wanted():
    # As in RILAB/lab-docs 2: arrays from 0 and from 1 are taken for each other.
    with pytest.raises(UsageError, match="from 0, give one more"):
        Shard(0, 9)


def test_a_shard_has_the_rows_of_the_whole_panel_and_says_which_it_is(tmp_path):
    whole = simulate(STUDY, "synthetic", runs=3, seed=2)
    panel = simulate(STUDY, "synthetic", runs=3, seed=2, shard=(2, 3), store=tmp_path / "s.sqlite")
    own = whole.frame[whole.frame["run_id"].isin(panel.frame["run_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(panel.frame, own, check_exact=True)
    assert panel.provenance == {**whole.provenance, "shard": [2, 3]}
    with Store(tmp_path / "s.sqlite") as store:
        assert len(store) == len(panel) == len(Shard(2, 3).positions(STUDY, 3))
    backend = SyntheticBackend(STUDY)
    left = estimate(STUDY, backend, runs=3, seed=2, shard=(2, 3), store=tmp_path / "s.sqlite")
    assert left.asked == 0 and left.stored == len(panel)
    # Another shard finds nothing of its own there.
    other = estimate(STUDY, backend, runs=3, seed=2, shard=(1, 3), store=tmp_path / "s.sqlite")
    assert other.stored == 0


def test_more_shards_than_runs_leave_some_empty_and_all_together_whole():
    # As in frostney/GocciaScript 1042.
    panels = [simulate(STUDY, "synthetic", runs=1, shard=(k, 20)) for k in range(1, 21)]
    assert sum(map(len, panels)) == 16 and any(len(p) == 0 for p in panels)


def test_the_budget_is_divided_as_the_runs_are():
    budget = Budget(usd=3.0, tokens=9_000, overhead=10)
    shares = []
    for k in (1, 2, 3):
        with Store(":memory:") as store:
            options = Options(budget=budget, shard=(k, 3))
            run = Runner(STUDY, SyntheticBackend(STUDY), 5, 1, store, options)
            own = len(Shard(k, 3).positions(STUDY, 5)) / 80
            assert run.options.budget.usd == pytest.approx(3.0 * own)
            assert run.options.budget.overhead == 10
            shares.append(run.options.budget)
    assert sum(b.usd for b in shares) == pytest.approx(3.0)
    assert sum(b.tokens for b in shares) == pytest.approx(9_000)
    with pytest.raises(BudgetReached):
        simulate(STUDY, "synthetic", runs=5, shard=(1, 8), budget=Budget(tokens=8))


def test_shards_may_share_a_store(tmp_path):
    path = tmp_path / "s.sqlite"
    for k in (1, 2):
        simulate(STUDY, "synthetic", runs=2, shard=(k, 2), store=path)

    class Nobody(SyntheticBackend):
        async def complete(self, asked):
            raise AssertionError("asked again")
            yield

    assert len(simulate(STUDY, Nobody(STUDY), runs=2, store=path)) == 32


def test_positions_are_those_of_the_requests():
    asked = Asked(STUDY, 2, 1)
    ids = [asked[p].run_id for k in (1, 2) for p in Shard(k, 2).positions(STUDY, 2)]
    assert len(set(ids)) == 32
