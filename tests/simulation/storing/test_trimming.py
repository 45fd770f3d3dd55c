"""Trimmed stores: fewer bytes, the same rows to the last bit, and what was kept whole told."""

import json
import math

import pandas as pd
import pytest

from llmdemand import Panel, extract_panel, load_study, merge_panels, read_panel, simulate
from llmdemand.belief.readers import read_response
from llmdemand.core.panel import TRIMMED
from llmdemand.core.shards.shards import write_shards
from llmdemand.errors import UsageError
from llmdemand.simulation.backend import Traits
from llmdemand.simulation.backends.recorded import RecordedBackend, stored_answers
from llmdemand.simulation.storing.records import MARK
from llmdemand.simulation.storing.store import Store
from llmdemand.simulation.storing.trimming import trim_store, trimmed

STUDY = load_study("pampers")
FEW = [(" Pampers", 0.5), (" Huggies", 0.3), (" neither", 0.05)]
REST = [(f" w{k}", 0.02 / (2 + k)) for k in range(17)]


def entry(word, chance):
    return {"token": word, "logprob": math.log(chance), "bytes": list(word.encode())}


def position(word, listed):
    top = [entry(*one) for one in sorted(listed, key=lambda one: -one[1])]
    drawn = next(e for e in top if e["token"] == word)
    return {**drawn, "top_logprobs": top}


def completion(after):
    """Eight tokens of twenty candidates; the pivot is the third."""
    words = ["I", " choose", " Pampers", *after]
    content = []
    for word in words:
        named = any(word == name for name, _ in FEW)
        own = [*REST, *FEW] if named else [*REST, (word, 0.001)]
        content.append(position(word, own))
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(words)},
        "finish_reason": "stop",
        "logprobs": {"content": content},
    }
    return {"id": "x", "model": "m", "choices": [choice], "usage": {"completion_tokens": 8}}


class Server:
    name, model, settings, raw_logprobs, traits = "server", "m", {}, True, Traits()

    def __init__(self, *after):
        self.raw = completion(after)

    async def complete(self, requests):
        for _ in requests:
            yield self.raw

    def parse(self, raw):
        return read_response(raw)

    async def close(self):
        pass


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "kept.sqlite"
    return path, simulate(STUDY, Server(" for", " my", " baby", "."), runs=1, store=path)


def lists(path):
    with Store(path) as store:
        raw = next(store.entries())[1].raw
    return raw, [len(e["top_logprobs"]) for e in raw["choices"][0]["logprobs"]["content"]]


def test_rows_stay_and_only_the_pivots_list_is_whole(kept, tmp_path):
    path, panel = kept
    before = path.read_bytes()
    found = trim_store(path, tmp_path / "small.sqlite", 3)
    assert (found.answers, found.trimmed, found.whole) == (16, 16, 0)
    raw, lengths = lists(tmp_path / "small.sqlite")
    # The drawn token is the least likely, and stays.
    assert lengths == [4, 4, 20, 4, 4, 4, 4]
    assert raw[MARK] == 3
    again = simulate(STUDY, RecordedBackend(tmp_path / "small.sqlite"), runs=1)
    assert again.frame.equals(panel.frame)
    assert path.read_bytes() == before


def test_an_answer_whose_row_would_change_is_kept_whole(tmp_path):
    # What is listed at a name after the pivot is in the row too.
    path, out = tmp_path / "kept.sqlite", tmp_path / "small.sqlite"
    panel = simulate(STUDY, Server(" over", " Huggies"), runs=1, store=path)
    assert (panel.frame["later_names"] != "").all()
    found = trim_store(path, out, 1)
    assert (found.trimmed, found.whole) == (0, 16)
    assert MARK not in lists(out)[0]
    assert simulate(STUDY, RecordedBackend(out), runs=1).frame.equals(panel.frame)


def test_answers_are_trimmed_as_they_come_and_every_panel_of_them_is_the_same(tmp_path, run):
    path, server = tmp_path / "s.sqlite", Server(" for", " my", " baby", ".")
    whole = simulate(STUDY, server, runs=1)
    panel = simulate(STUDY, server, runs=1, store=path, keep_logprobs=3)
    pd.testing.assert_frame_equal(panel.frame, whole.frame, check_exact=True)
    raw, lengths = lists(path)
    assert (lengths, raw[MARK]) == ([4, 4, 20, 4, 4, 4, 4], 3)
    assert TRIMMED not in whole.provenance and panel.provenance[TRIMMED] == 16
    taken_up = simulate(STUDY, server, runs=1, store=path)
    replayed = simulate(STUDY, RecordedBackend(path), runs=1)
    for again in (taken_up, replayed, extract_panel(STUDY, stored_answers(path, STUDY))):
        pd.testing.assert_frame_equal(again.frame, panel.frame, check_exact=True)
        assert again.provenance[TRIMMED] == 16
    sizes = json.loads(run("store", "info", path, "--json")[1])[0]["store"]
    assert (sizes["trimmed"], sizes["sampled"]) == (16, 16)
    assert "16 of these 16 were trimmed" in run("store", "info", path)[1]


def test_as_they_come_an_answer_whose_row_would_change_is_kept_whole(tmp_path):
    path = tmp_path / "s.sqlite"
    panel = simulate(
        STUDY, Server(" over", " Huggies"), runs=1, store=path, keep_logprobs=1, concurrency=3
    )
    assert TRIMMED not in panel.provenance and MARK not in lists(path)[0]
    for keep in (0, 1.5, True):
        with pytest.raises(UsageError, match="at least one"):
            simulate(STUDY, "synthetic", runs=1, keep_logprobs=keep)


def test_parts_of_a_panel_count_their_trimmed_answers_together(tmp_path, run):
    def made(name, *options):
        path = tmp_path / name
        common = ("--backend", "synthetic", "--runs", 2, "--keep-logprobs", 1, "--out", path)
        assert run("simulate", "pampers", *common, *options)[0] == 0
        return path

    whole = Panel.read(made("whole.parquet"))
    found = whole.provenance[TRIMMED]
    assert 0 < found <= 32
    parts = [made("parts", "--shards", 2, "--shard", k) for k in (1, 2)]
    assert read_panel(parts[0]).provenance[TRIMMED] == found
    for out in (None, tmp_path / "folder"):
        merged = merge_panels(parts[0], out).panel
        assert merged.provenance == whole.provenance
    shards = write_shards(whole, tmp_path / "three", rows=11)
    assert shards.provenance == whole.provenance


@pytest.mark.parametrize("name", ["tokens", "completion_probabilities"])
def test_other_forms(name):
    if name == "tokens":
        raw = {
            "choices": [
                {"logprobs": {"tokens": ["a"], "top_logprobs": [{"b": -1, "c": -2, "a": -3}]}}
            ]
        }
        less = {"b": -1, "a": -3}
    else:
        listed = [{"id": k, "prob": 0.5 / (k + 1)} for k in range(3)]
        raw, less = {name: [{"id": 2, "prob": 0.1, "top_probs": listed}]}, [listed[0], listed[2]]
    found, positions = trimmed(raw, 1, -1)
    assert positions == 1
    assert json.dumps(less) in json.dumps(found)
    assert trimmed(raw, 1, 0)[0] == raw


def test_the_command_and_what_it_refuses(kept, tmp_path, run):
    path, _ = kept
    out = tmp_path / "small.sqlite"
    code, said, _ = run("store", "trim", path, "--out", out, "--keep", 2, "--json")
    assert code == 0
    assert json.loads(said)["trimmed"] == 16
    code, _, error = run("store", "trim", path, "--out", out)
    assert code == 2
    assert "nothing is overwritten" in error
    with pytest.raises(UsageError, match="at least one"):
        trim_store(path, tmp_path / "none.sqlite", 0)
    with pytest.raises(UsageError, match="no response store"):
        trim_store(tmp_path / "none.sqlite", tmp_path / "other.sqlite", 1)
    assert not (tmp_path / "other.sqlite").exists()
