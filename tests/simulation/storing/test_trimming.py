"""Trimmed stores: fewer bytes, the same rows to the last bit, and what was kept whole told."""

import json
import math

import pytest

from llmdemand import load_study, simulate
from llmdemand.belief.readers import read_response
from llmdemand.errors import UsageError
from llmdemand.simulation.backend import Traits
from llmdemand.simulation.backends.recorded import RecordedBackend
from llmdemand.simulation.storing.store import Store
from llmdemand.simulation.storing.trimming import MARK, trim_store, trimmed

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
