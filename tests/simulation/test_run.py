"""The runner and its store: nothing lost, nothing asked twice, everything reproducible."""

import json

import pandas as pd
import pytest

from llmdemand import load_study, simulate
from llmdemand.errors import BackendError, ResponseError, UsageError
from llmdemand.simulation.backend import Backend, run_seed
from llmdemand.simulation.run import backend_named, requests
from llmdemand.simulation.store import Store, key
from llmdemand.simulation.synthetic import SyntheticBackend

STUDY = load_study("pampers")


class Counting(SyntheticBackend):
    """Counts what it is asked, and fails after a number of answers."""

    def __init__(self, study, fail_after=None):
        super().__init__(study)
        self.asked, self.fail_after = 0, fail_after

    def complete(self, asked):
        for raw in super().complete(asked):
            if self.asked == self.fail_after:
                raise BackendError("the server went away")
            self.asked += 1
            yield raw


def test_bundled_backends_follow_the_protocol():
    assert isinstance(backend_named("synthetic", STUDY), Backend)


def test_seeds_are_distinct_over_cells_and_replicates():
    seeds = {run_seed(1, c, r) for c in range(40) for r in range(40)}
    assert len(seeds) == 1600
    assert not seeds & {run_seed(2, c, r) for c in range(40) for r in range(40)}


def test_the_same_seed_gives_the_same_panel_and_another_one_does_not():
    first, second, other = (simulate(STUDY, "synthetic", runs=2, seed=s) for s in (5, 5, 6))
    pd.testing.assert_frame_equal(first.frame, second.frame)
    assert not first.frame["belief_pampers"].equals(other.frame["belief_pampers"])


def test_more_runs_extend_a_panel_without_changing_it():
    few = simulate(STUDY, "synthetic", runs=2, seed=5).frame
    many = simulate(STUDY, "synthetic", runs=4, seed=5).frame
    kept = many[many["replicate"] < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(few, kept)


def test_an_interrupted_run_keeps_what_was_answered_and_resumes(tmp_path):
    path = tmp_path / "responses.jsonl"
    with pytest.raises(BackendError):
        simulate(STUDY, Counting(STUDY, fail_after=11), runs=2, seed=5, store=path)
    assert len(path.read_text().splitlines()) == 11
    rest = Counting(STUDY)
    resumed = simulate(STUDY, rest, runs=2, seed=5, store=path)
    assert rest.asked == 32 - 11
    again = Counting(STUDY)
    simulate(STUDY, again, runs=2, seed=5, store=path)
    assert again.asked == 0
    whole = simulate(STUDY, "synthetic", runs=2, seed=5)
    pd.testing.assert_frame_equal(resumed.frame, whole.frame)


def test_a_line_cut_by_a_crash_is_set_aside_and_asked_again(tmp_path):
    path = tmp_path / "responses.jsonl"
    simulate(STUDY, "synthetic", runs=1, seed=5, store=path)
    text = path.read_text()
    path.write_text(text[:-20])
    backend = Counting(STUDY)
    panel = simulate(STUDY, backend, runs=1, seed=5, store=path)
    assert backend.asked == 1 and len(panel) == 16
    assert path.read_text() == text
    assert path.with_suffix(".cut").exists()


def test_a_broken_line_in_the_middle_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "responses.jsonl"
    simulate(STUDY, "synthetic", runs=1, seed=5, store=path)
    lines = path.read_text().splitlines()
    lines[3] = '{"key": 1'
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ResponseError, match="line 4 is no stored response"):
        Store(path)


def test_keys_tell_replicates_prices_prompts_and_models_apart():
    backend = SyntheticBackend(STUDY)
    asked = list(requests(STUDY, 3, seed=1))
    assert len({key(r, backend) for r in asked}) == len(asked)
    assert key(asked[0], backend) != key(asked[0], SyntheticBackend(STUDY, icc=0.1))
    other = next(iter(requests(STUDY, 1, seed=2)))
    assert key(asked[0], backend) != key(other, backend)


def test_a_store_keeps_raw_responses(tmp_path):
    path = tmp_path / "responses.jsonl"
    simulate(STUDY, "synthetic", runs=1, seed=5, store=path)
    entry = json.loads(path.read_text().splitlines()[0])
    assert set(entry) == {"key", "run_id", "raw"}
    assert entry["raw"]["tokens"]


def test_order_is_balanced_and_recorded():
    frame = simulate(STUDY, "synthetic", runs=4, seed=5).frame
    counts = frame.groupby("cell")["order"].value_counts()
    assert set(counts) == {2}


def test_impossible_arguments():
    with pytest.raises(UsageError, match="runs=0"):
        simulate(STUDY, "synthetic", runs=0)
    with pytest.raises(UsageError, match="did you mean 'synthetic'"):
        simulate(STUDY, "syntetic")
    with pytest.raises(UsageError, match="base-url is for the openai"):
        backend_named("synthetic", STUDY, base_url="http://127.0.0.1:1/v1")
    with pytest.raises(UsageError, match="icc=0"):
        SyntheticBackend(STUDY, icc=0)


def test_the_known_truth_has_its_stated_moments():
    panel = simulate(STUDY, "synthetic", runs=400, seed=3)
    truth = SyntheticBackend(STUDY)
    cell = panel.frame[panel.frame["price_pampers"] == 35]
    p = truth.probability(35)
    belief, choice = cell["belief_pampers"], cell["choice"] == "pampers"
    assert abs(belief.mean() - p) < 4 * belief.std() / 20
    assert abs(choice.mean() - p) < 4 * choice.std() / 20
    assert belief.var() / (p * (1 - p)) == pytest.approx(0.054, rel=0.3)
    assert (panel.frame["status"] == "ok").all()
