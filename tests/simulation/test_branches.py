"""Branches: planned with the answer, stored one by one, the same whatever the order."""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmdemand import load_study, simulate
from llmdemand.belief.branching.branches import MOST_BRANCHES
from llmdemand.belief.final.column import FinalColumns
from llmdemand.belief.readers import compact, to_compact
from llmdemand.belief.rows import extract_panel
from llmdemand.belief.tokens import Token
from llmdemand.core.sampling import Sampling
from llmdemand.core.study import Study
from llmdemand.errors import BackendError, BudgetReached, StudyError, UsageError
from llmdemand.simulation.backend import Traits
from llmdemand.simulation.backends.draw import Candidate, Paths
from llmdemand.simulation.backends.recorded import RecordedBackend, stored_answers
from llmdemand.simulation.backends.replayed import replay
from llmdemand.simulation.branches import where_named, with_ids
from llmdemand.simulation.cost import LOOKS, Budget, Prices
from llmdemand.simulation.requests import requests
from llmdemand.simulation.run import estimate
from llmdemand.simulation.storing.store import Store

LONGEST = 6
PLAIN = load_study("pampers")
DATA = PLAIN.to_dict() | {"sampling": {"max_tokens": LONGEST, "top_logprobs": 4, "branch": True}}
STUDY = Study.from_dict(DATA)
# A name, a reason against it as often as not, and then another name.
WORDS = [b"", b" I", b" pick", b" Pampers", b" Huggies", b" are", b" dear.", b" Neither"]
LAWS = {
    None: {1: 0.5, 3: 0.3, 4: 0.15, 7: 0.05},
    1: {2: 1.0},
    2: {3: 0.55, 4: 0.38, 7: 0.05, 1: 0.02},
    3: {5: 0.4, 0: 0.6},
    4: {5: 0.2, 0: 0.8},
    5: {6: 1.0},
    6: {4: 0.6, 3: 0.2, 7: 0.2},
    7: {0: 1.0},
}


def law(ids, power=1.0):
    weights = {k: p**power for k, p in LAWS[ids[-1] if ids else None].items()}
    return {k: w / sum(weights.values()) for k, w in weights.items()}


def texts(ids=(), power=1.0):
    """Every text and its probability."""
    if len(ids) == LONGEST:
        yield ids, 1.0
        return
    for k, p in law(ids, power).items():
        if not WORDS[k]:
            yield ids, p
            continue
        for text, q in texts((*ids, k), power):
            yield text, p * q


def said(ids):
    return b"".join(WORDS[k] for k in ids).decode()


def by_id(response, ids):
    """Ids of the tokens, and the candidates at each."""
    ranked = [
        list(zip(candidates, token.candidates, token.logprobs, strict=True))
        for token, (_, candidates) in zip(response.tokens, ids, strict=True)
    ]
    return [id_ for id_, _ in ids], ranked


class Talker:
    """A language model over eight words that continues any beginning."""

    name, model, settings, raw_logprobs, continues = "talker", "t", {}, True, True

    def __init__(self, concurrency=1, per_call=1, wait=0.0, fail_at=None):
        self.traits = Traits(concurrency, per_call, paid=True, kept=True)
        self.prices = Prices(1.0, 1.0)
        self.asked, self.wait, self.fail_at = [], wait, fail_at

    async def complete(self, asked):
        for request in asked:
            self.asked.append(request)
            if len(self.asked) == self.fail_at:
                raise BackendError("the server went away")
            await asyncio.sleep(self.wait * random.random())
            yield self.answer(request)

    def answer(self, request):
        def listed(ids, count):
            found = [Candidate(k, WORDS[k], float(np.log(p))) for k, p in law(ids).items()]
            return sorted(found, key=lambda c: -c.logprob)

        response, ids = Paths(listed, lambda *_: None, prompt_tokens=9).walked(request)
        raw = to_compact(response)
        if request.ids:
            return raw
        own, ranked = by_id(response, ids)
        return with_ids(raw, own, where_named(request.format, response, own, ranked))

    def parse(self, raw):
        return compact(raw)

    async def close(self):
        pass


@pytest.fixture(scope="module")
def panel():
    return simulate(STUDY, Talker(per_call=8), runs=60, seed=3)


def test_the_mean_is_that_of_the_whole_texts(panel):
    read = by_rules()
    truth = Counter()
    for ids, p in texts():
        truth[read(said(ids))] += p
    frame, n = panel.frame, len(panel)
    for alternative in ("pampers", "huggies"):
        belief = frame[f"belief_{alternative}"]
        chosen = (frame["final_choice"] == alternative).astype(float)
        plain = frame[f"pivot_belief_{alternative}"]
        share = truth[alternative]
        assert belief.mean() == pytest.approx(share, abs=4 * belief.std() / n**0.5)
        assert chosen.mean() == pytest.approx(share, abs=4 * chosen.std() / n**0.5)
        assert abs(plain.mean() - share) > 8 * plain.std() / n**0.5, "the pivot is fooled"
        assert belief.var() < 0.7 * chosen.var()


def by_rules():
    """By the rules of whole answers, which leave some unread."""
    return FinalColumns(STUDY).reader((), {})


def test_what_a_row_says(panel):
    # Now and then a text names nothing at all.
    assert set(panel.frame["status"]) - {"no_pivot"} == {"ok", "unread"}
    frame = panel.frame[panel.frame["status"] != "no_pivot"]
    assert len(frame) > 0.9 * len(panel)
    read = frame[frame["choice"].notna()]
    assert (read["choice"] == read["final_choice"]).all()
    assert (read["mismatch"] == (read["pivot_choice"] != read["choice"])).all()
    assert read["mismatch"].mean() > 0.1
    summed = frame[[f"belief_{a}" for a in STUDY.menu.ids]].sum(axis=1)
    assert np.allclose(summed[frame["status"] == "ok"], 1)
    assert (summed[frame["status"] == "unread"] < 1 - 1e-9).all()
    assert set(frame["branches"]) == {3}
    assert 0.1 < (frame["branch_tokens"] > 0).mean() < 0.9


def test_weights_and_branches_are_tempered_alike():
    hot = replace(STUDY, sampling=replace(STUDY.sampling, temperature=2.0))
    frame = simulate(hot, Talker(per_call=8), runs=60, seed=3).frame
    read, share = by_rules(), 0.0
    for ids, p in texts(power=0.5):
        share += p * (read(said(ids)) == "huggies")
    belief = frame["belief_huggies"]
    assert belief.mean() == pytest.approx(share, abs=4 * belief.std() / len(frame) ** 0.5)


def test_nothing_depends_on_order_or_number_of_calls(panel):
    for options in ({"concurrency": 16, "wait": 0.002}, {"per_call": 5}):
        again = simulate(STUDY, Talker(**options), runs=4, seed=3).frame
        first = panel.frame[panel.frame["replicate"] < 4].reset_index(drop=True)
        pd.testing.assert_frame_equal(again, first)


def test_after_a_failure_only_what_is_missing_is_asked(tmp_path, panel):
    store, asked, ended = tmp_path / "s.sqlite", 0, []
    for fail_at in (7, 3, 20, None):
        talker = Talker(fail_at=fail_at)
        try:
            ended.append(simulate(STUDY, talker, runs=2, seed=3, store=store))
        except BackendError:
            asked -= 1  # the call that failed was not answered
        asked += len(talker.asked)
    with Store(store) as kept:
        assert len(kept) == asked
        rows = [row for row in kept.export() if "branch_of" in row["raw"]]
        keys = {row["key"]: row for row in kept.export()}
    assert rows
    for row in rows:
        parent = keys[row["raw"]["branch_of"]]
        assert row["run_id"].startswith(parent["run_id"] + " branch ")
        assert row["raw"]["token"] in [b[0] for b in parent["raw"]["plan"]["branches"]]
    first = panel.frame[panel.frame["replicate"] < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(ended[0].frame, first)


KILLED = """
import sys; sys.path.insert(0, sys.argv[1])
import test_branches as t
t.simulate(t.STUDY, t.Talker(concurrency=4, wait=0.02), runs=6, seed=3, store=sys.argv[2])
"""


def test_kill_9_loses_at_most_the_calls_under_way(tmp_path, panel):
    store = tmp_path / "s.sqlite"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(Path(__file__).parent), str(store)])
    until = time.monotonic() + 60
    while time.monotonic() < until and child.poll() is None:
        if store.exists() and store.stat().st_size:
            with Store(store) as opened:
                if len(opened) > 40:
                    break
        time.sleep(0.02)
    child.kill()
    child.wait()
    with Store(store) as opened:
        kept = len(opened)
    assert kept > 40
    talker = Talker(concurrency=4)
    done = simulate(STUDY, talker, runs=6, seed=3, store=store).frame
    first = panel.frame[panel.frame["replicate"] < 6].reset_index(drop=True)
    pd.testing.assert_frame_equal(done, first)
    with Store(store) as opened:
        assert len(opened) == kept + len(talker.asked)


def test_a_store_is_replayed_and_extracted_again(tmp_path, panel):
    store = tmp_path / "s.sqlite"
    asked = simulate(STUDY, Talker(), runs=2, seed=3, store=store).frame
    again = simulate(STUDY, RecordedBackend(store), runs=2, seed=3).frame
    pd.testing.assert_frame_equal(again, asked)
    columns = [c for c in asked if c not in ("backend", "model")]
    order = {"by": ["cell", "replicate"], "ignore_index": True}
    found = extract_panel(STUDY, stored_answers(store, STUDY)).frame.sort_values(**order)
    pd.testing.assert_frame_equal(found[columns], asked[columns])
    # By another menu branches stay what they are; without branching, answers alone are read.
    plain = replace(STUDY, sampling=replace(STUDY.sampling, branch=False))
    assert len(extract_panel(plain, stored_answers(store, plain))) == len(asked)
    with Store(store) as opened:
        opened._db.execute("DELETE FROM answers WHERE run_id LIKE '0-0 branch%'")
        panel, missing = replay(STUDY, Talker(), opened, runs=2, seed=3)
    assert missing == ["0-0"] and len(panel) == len(asked) - 1
    with pytest.warns(UserWarning, match="1 answers .* are left out"):
        assert len(extract_panel(STUDY, stored_answers(store, STUDY))) == len(asked) - 1


def test_another_reader_reads_the_same_branches(tmp_path):
    store = tmp_path / "s.sqlite"
    simulate(STUDY, Talker(), runs=1, seed=3, store=store)
    silent = extract_panel(STUDY, stored_answers(store, STUDY), reader=lambda text: None).frame
    assert set(silent["status"]) == {"unread"}
    assert (silent["belief_pampers"] == 0).all() and silent["final_choice"].isna().all()


def test_the_estimate_counts_branches_and_the_budget_holds(tmp_path):
    plain = replace(STUDY, sampling=replace(STUDY.sampling, branch=False))
    without, found = (estimate(s, Talker(), runs=2) for s in (plain, STUDY))
    assert found.branches == 32 * MOST_BRANCHES and not without.branches
    assert f"up to {32 * MOST_BRANCHES} branches" in str(found)
    most = without.completion_tokens[1] * (1 + MOST_BRANCHES) + 32 * LOOKS
    assert found.completion_tokens[1] == most
    assert found.prompt_tokens[1] > MOST_BRANCHES * without.prompt_tokens[1]
    store, spent = tmp_path / "s.sqlite", 0.0
    with pytest.raises(BudgetReached):
        simulate(STUDY, Talker(), runs=20, store=store, budget=Budget(tokens=8_000))
    with Store(store) as opened:
        rows = list(opened.export())
        spent = sum(r["prompt_tokens"] + r["completion_tokens"] for r in rows)
    assert 1000 < spent <= 8_000


def test_small_branches_are_drawn_and_stopped_ones_are_not_asked(panel):
    frame = simulate(STUDY, Talker(), runs=3, seed=3).frame
    assert set(frame["branches"]) <= {2, 3}
    stop = replace(STUDY, sampling=replace(STUDY.sampling, stop=("Hug",)))
    talker = Talker()
    stopped = simulate(stop, talker, runs=3, seed=3).frame
    assert not any(said(r.ids).endswith("Huggies") for r in talker.asked)
    assert (stopped["belief_pampers"] > 0).any()


def test_what_cannot_branch_says_so(tmp_path):
    with pytest.raises(UsageError, match="synthetic does not continue a beginning"):
        simulate(STUDY, "synthetic", runs=1)
    with pytest.raises(StudyError, match=r"sampling.branch and sampling.thinking"):
        Study.from_dict(DATA | {"sampling": {"branch": True, "thinking": {}}})
    with pytest.raises(StudyError, match=r"sampling.branch is 1: give true or false"):
        Study.from_dict(DATA | {"sampling": {"branch": 1}})

    class Silent(Talker):
        def answer(self, request):
            return {k: v for k, v in super().answer(request).items() if k != "ids"}

    with pytest.raises(BackendError, match="came without token ids"):
        simulate(STUDY, Silent(), runs=1)


def test_a_study_without_it_keeps_its_hash_and_its_data():
    assert PLAIN.sampling == Sampling(
        PLAIN.sampling.temperature, PLAIN.sampling.max_tokens, PLAIN.sampling.top_logprobs
    )
    assert "branch" not in json.dumps(PLAIN.to_dict())
    assert STUDY.to_dict()["sampling"]["branch"] is True
    assert Study.from_dict(STUDY.to_dict()).hash == STUDY.hash


def test_merged_entries_of_split_characters_end_what_may_branch():
    format_ = next(iter(requests(STUDY, 1, 1))).format
    talker = Talker()
    response = compact(talker.answer(replace(next(iter(requests(STUDY, 1, 1))), seed=5)))
    tokens = list(response.tokens)
    # The first entry is a character of two tokens, under the id of the second.
    merged = Token("é".encode(), -1.0, tokens[0].candidates, tokens[0].logprobs)
    known = by_id(response, [(0, range(len(t.candidates))) for t in tokens])
    assert where_named(format_, response, *known)
    assert not where_named(format_, replace(response, tokens=(merged, *tokens[1:])), *known)
