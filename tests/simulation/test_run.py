"""The runner: nothing lost, nothing asked twice, everything reproducible."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdemand import load_study, simulate
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backend import Backend, Seeds, Traits, run_seed
from llmdemand.simulation.backends.named import backend_named
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.calls.pool import Pace
from llmdemand.simulation.requests import requests
from llmdemand.simulation.storing.records import Source, key
from llmdemand.simulation.storing.store import Store, is_store

STUDY = load_study("pampers")


class Counting(SyntheticBackend):
    """Counts what it is asked, and fails after a number of answers."""

    def __init__(self, study, fail_after=None, **options):
        super().__init__(study, **options)
        self.asked, self.fail_after, self.closed = 0, fail_after, 0

    async def complete(self, asked):
        async for raw in super().complete(asked):
            if self.asked == self.fail_after:
                raise BackendError("the server went away")
            self.asked += 1
            yield raw

    async def close(self):
        self.closed += 1


def test_bundled_backends_follow_the_protocol():
    assert isinstance(backend_named("synthetic", STUDY), Backend)


def test_seeds_are_distinct_over_cells_and_replicates():
    seeds = {run_seed(1, c, r) for c in range(40) for r in range(40)}
    assert len(seeds) == 1600
    assert not seeds & {run_seed(2, c, r) for c in range(40) for r in range(40)}


@given(st.integers(0, 2**140), st.integers(0, 2**96), st.integers(0, 2**33))
def test_seeds_of_many_replicates_are_those_of_each(seed, content, replicate):
    assert Seeds(seed, content)(replicate) == run_seed(seed, content, replicate)
    assert Seeds(seed)(replicate) == run_seed(seed, replicate)


def test_the_same_seed_gives_the_same_panel_and_another_one_does_not():
    first, second, other = (simulate(STUDY, "synthetic", runs=2, seed=s) for s in (5, 5, 6))
    pd.testing.assert_frame_equal(first.frame, second.frame)
    assert not first.frame["belief_pampers"].equals(other.frame["belief_pampers"])


def test_more_runs_extend_a_panel_without_changing_it():
    few = simulate(STUDY, "synthetic", runs=2, seed=5).frame
    many = simulate(STUDY, "synthetic", runs=4, seed=5).frame
    kept = many[many["replicate"] < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(few, kept)


@pytest.fixture(scope="module")
def one_by_one():
    return simulate(STUDY, SyntheticBackend(STUDY), runs=5, seed=5, concurrency=1).frame


class Shuffled(SyntheticBackend):
    """Answers arrive in an order of their own: later questions are often answered first."""

    @property
    def traits(self):
        return Traits(concurrency=64)

    async def complete(self, asked):
        for request in asked:
            await asyncio.sleep(0.004 * (run_seed(9, request.seed) % 5))
            self.arrived.append(request.run_id)
            async for raw in super().complete([request]):
                yield raw


@pytest.mark.parametrize("concurrency", [1, 7, 50])
def test_results_do_not_depend_on_concurrency_or_on_who_answers_first(concurrency, one_by_one):
    backend = Shuffled(STUDY)
    backend.arrived = []
    found = simulate(STUDY, backend, runs=5, seed=5, concurrency=concurrency).frame
    pd.testing.assert_frame_equal(found, one_by_one)
    in_order = backend.arrived == one_by_one["run_id"].tolist()
    assert in_order == (concurrency == 1), "the latencies really shuffle the answers"


def test_latency_changes_no_answer(one_by_one):
    slow = SyntheticBackend(STUDY, latency=0.002)
    pd.testing.assert_frame_equal(simulate(STUDY, slow, runs=5, seed=5).frame, one_by_one)


def test_an_interrupted_run_keeps_what_was_answered_and_resumes(tmp_path):
    path = tmp_path / "responses.sqlite"
    broken = Counting(STUDY, fail_after=11)
    with pytest.raises(BackendError, match="went away"):
        simulate(STUDY, broken, runs=2, seed=5, store=path)
    assert broken.closed == 1
    with Store(path) as store:
        assert len(store) == 11
    rest = Counting(STUDY)
    resumed = simulate(STUDY, rest, runs=2, seed=5, store=path)
    assert rest.asked == 32 - 11 and rest.closed == 1
    again = Counting(STUDY)
    simulate(STUDY, again, runs=2, seed=5, store=path)
    assert again.asked == 0
    whole = simulate(STUDY, "synthetic", runs=2, seed=5)
    pd.testing.assert_frame_equal(resumed.frame, whole.frame)


def test_answers_under_way_when_another_fails_are_kept(tmp_path):
    class OneFails(Counting):
        async def complete(self, asked):
            if asked[0].run_id == "0-0":
                raise BackendError("this one is refused")
            async for raw in super().complete(asked):
                yield raw

    path = tmp_path / "responses.sqlite"
    backend = OneFails(STUDY, latency=0.05)
    with pytest.raises(BackendError, match="this one is refused"):
        simulate(STUDY, backend, runs=1, seed=5, store=path, concurrency=6)
    with Store(path) as store:
        assert len(store) == backend.asked == 5, "five were under way, and none began after"


def test_what_is_stored_can_be_extended_by_another_number_of_runs(tmp_path):
    path = tmp_path / "responses.sqlite"
    simulate(STUDY, "synthetic", runs=2, seed=5, store=path)
    more = Counting(STUDY)
    simulate(STUDY, more, runs=3, seed=5, store=path)
    assert more.asked == 16


def test_keys_tell_replicates_prices_prompts_and_models_apart():
    source = Source.of(SyntheticBackend(STUDY))
    asked = list(requests(STUDY, 3, seed=1))
    assert len({key(r, source) for r in asked}) == len(asked)
    assert key(asked[0], source) != key(asked[0], Source.of(SyntheticBackend(STUDY, icc=0.1)))
    other = next(iter(requests(STUDY, 1, seed=2)))
    assert key(asked[0], source) != key(other, source)


def test_order_is_balanced_and_recorded():
    frame = simulate(STUDY, "synthetic", runs=4, seed=5).frame
    counts = frame.groupby("cell")["order"].value_counts()
    assert set(counts) == {2}


def test_impossible_arguments():
    with pytest.raises(UsageError, match="runs=0"):
        simulate(STUDY, "synthetic", runs=0)
    with pytest.raises(UsageError, match="did you mean 'synthetic'"):
        simulate(STUDY, "syntetic")
    with pytest.raises(UsageError, match="base-url is for the backend openai"):
        backend_named("synthetic", STUDY, base_url="http://127.0.0.1:1/v1")
    with pytest.raises(UsageError, match="icc=0"):
        SyntheticBackend(STUDY, icc=0)
    for options in (
        {"concurrency": 0},
        {"concurrency": "many"},
        {"rpm": 0},
        {"tpm": -1},
        {"patience": -1},
        {"budget": -1.0},
        {"color": "red"},
    ):
        with pytest.raises(UsageError, match=next(iter(options))):
            simulate(STUDY, "synthetic", runs=1, **options)


def test_the_known_truth_has_its_stated_moments():
    study = replace(STUDY, prices={**STUDY.prices, "pampers": (35.0,)})
    panel = simulate(study, "synthetic", runs=400, seed=3)
    truth = SyntheticBackend(study)
    cell = panel.frame
    p = truth.probability(35)
    belief, choice = cell["belief_pampers"], cell["choice"] == "pampers"
    assert abs(belief.mean() - p) < 4 * belief.std() / 20
    assert abs(choice.mean() - p) < 4 * choice.std() / 20
    assert belief.var() / (p * (1 - p)) == pytest.approx(0.054, rel=0.3)
    assert (panel.frame["status"] == "ok").all()


def test_inside_a_running_event_loop_as_in_a_notebook():
    async def notebook():
        return simulate(STUDY, SyntheticBackend(STUDY, latency=0.001), runs=2, seed=5)

    outside = simulate(STUDY, "synthetic", runs=2, seed=5)
    pd.testing.assert_frame_equal(asyncio.run(notebook()).frame, outside.frame)


def test_errors_come_out_of_a_running_event_loop_as_themselves():
    async def notebook():
        simulate(STUDY, Counting(STUDY, fail_after=3), runs=1, seed=5)

    with pytest.raises(BackendError, match="went away"):
        asyncio.run(notebook())


def test_a_backend_that_leaves_a_request_unanswered_is_an_error_that_names_the_run():
    class Silent(SyntheticBackend):
        async def complete(self, asked):
            for raw in ():
                yield raw

    with pytest.raises(BackendError, match="without an answer, run 0-0 first"):
        simulate(STUDY, Silent(STUDY), runs=1)


class Interrupting(Counting):
    """Somebody presses Ctrl-C while its answers are under way."""

    async def complete(self, asked):
        async for raw in super().complete(asked):
            yield raw
        if self.asked == 10:
            self.asked += 1
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("control_c")
def test_control_c_raises_keyboard_interrupt_and_leaves_a_store_to_resume_from(tmp_path):
    path = tmp_path / "responses.sqlite"
    with pytest.raises(KeyboardInterrupt):
        simulate(
            STUDY, Interrupting(STUDY, latency=0.01), runs=4, seed=5, store=path, concurrency=5
        )
    with Store(path) as store:
        kept = len(store)
    assert 10 <= kept < 64
    rest = Counting(STUDY)
    resumed = simulate(STUDY, rest, runs=4, seed=5, store=path)
    assert rest.asked == 64 - kept
    pd.testing.assert_frame_equal(resumed.frame, simulate(STUDY, "synthetic", runs=4, seed=5).frame)


@pytest.mark.usefixtures("control_c")
def test_control_c_ends_the_command_with_130_and_what_was_delivered_is_stored(
    fake_server, complete, tmp_path
):
    def answer(body, call):
        time.sleep(0.02)
        return 200, complete("Pampers", [("Pampers", -0.3, {"Pampers": -0.3, "H": -1.5})]), {}

    fake_server.answer = answer
    command = [
        *(sys.executable, "-c", "from llmdemand.cli import main; main()"),
        *("simulate", "pampers", "--backend", "openai", "--model", "fake-1"),
        *("--base-url", fake_server.url, "--runs", "200", "--out", "panel.parquet"),
    ]
    environment = {**os.environ, "COLUMNS": "400"}
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    try:
        until = time.monotonic() + 30
        while len(fake_server.requests) < 40 and time.monotonic() < until:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err.decode()
    assert b"Traceback" not in err and b"run the same command" in b" ".join(err.split())
    (path,) = (p for p in tmp_path.iterdir() if is_store(p))
    with Store(path) as store:
        # The first three calls were the probe's; nothing that was delivered is lost.
        assert len(store) == len(fake_server.delivered) - 3
        assert len(fake_server.delivered) == len(fake_server.requests) < 3200


def test_two_processes_that_share_a_store_ask_nothing_twice(fake_server, complete, tmp_path):
    def answer(body, call):
        time.sleep(0.01)
        return 200, complete("Pampers", [("Pampers", -0.3, {"Pampers": -0.3, "H": -1.5})]), {}

    fake_server.answer = answer
    script = """
import sys
from llmdemand import load_study, simulate
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.storing.store import Store
print("ready", flush=True)
sys.stdin.readline()
panel = simulate(load_study("pampers"), OpenAIBackend("fake-1", base_url=sys.argv[1]), runs=4,
    seed=5, store="shared.sqlite", probe=False)
panel.write(sys.argv[2])
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, fake_server.url, name],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("one.parquet", "two.parquet")
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == b"ready\n"
        for process in processes:
            process.stdin.write(b"\n")
            process.stdin.flush()
        for process in processes:
            process.communicate(timeout=60)
            assert process.returncode == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
    seeds = [body["seed"] for body in fake_server.requests]
    assert len(seeds) == len(set(seeds)) == 64
    one, two = (pd.read_parquet(tmp_path / f"{n}.parquet") for n in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)
    with Store(tmp_path / "shared.sqlite") as store:
        assert len(store) == 64


def test_calls_are_paced_to_so_many_a_minute(monkeypatch):
    began, asked, wait = [], [], Pace.wait

    def timed(self, tokens):
        asked.append(time.monotonic())
        return wait(self, tokens)

    monkeypatch.setattr(Pace, "wait", timed)

    class Timed(SyntheticBackend):
        async def complete(self, requests):
            began.append(time.monotonic())
            async for raw in super().complete(requests):
                yield raw

    simulate(STUDY, Timed(STUDY, latency=0.001), runs=1, rpm=60 / 0.02, concurrency=16)
    assert len(began) == 16
    # 20 ms apart from when the first may begin: timers may be late, never early by more than
    # their resolution.
    assert all(began[k] - asked[0] > 0.02 * k - 0.005 for k in range(16))


def test_a_fixed_concurrency_is_used_and_never_exceeded(fake_server, complete):
    gate = threading.Event()

    def answer(body, call):
        # The first three wait until the third is there: fewer in flight would hang them.
        if call == 3:
            gate.set()
        gate.wait(10)
        time.sleep(0.005)
        return 200, complete("Pampers", [("Pampers", -0.3, {"Pampers": -0.3, "H": -1.5})]), {}

    fake_server.answer = answer
    backend = backend_named("openai", STUDY, model="fake-1", base_url=fake_server.url)
    simulate(STUDY, backend, runs=2, store=":memory:", concurrency=3, probe=False)
    assert fake_server.most_in_flight == 3


def test_a_stored_top_20_serves_a_later_top_2_which_equals_one_asked_with_2(tmp_path):
    # Four candidates are listed at a pivot: with a list of two some of them are cut off.
    path = tmp_path / "responses.sqlite"
    few = replace(STUDY, sampling=replace(STUDY.sampling, top_logprobs=2))
    simulate(STUDY, "synthetic", runs=3, seed=5, store=path)
    later = Counting(few)
    served = simulate(few, later, runs=3, seed=5, store=path)
    assert later.asked == 0
    asked = simulate(few, "synthetic", runs=3, seed=5)
    pd.testing.assert_frame_equal(served.frame, asked.frame)
    whole = simulate(STUDY, "synthetic", runs=3, seed=5)
    assert (served.frame["tail_mass"] > whole.frame["tail_mass"] + 0.01).any()


def test_a_stored_top_2_does_not_serve_a_later_top_20(tmp_path):
    path = tmp_path / "responses.sqlite"
    few = replace(STUDY, sampling=replace(STUDY.sampling, top_logprobs=2))
    simulate(few, "synthetic", runs=1, seed=5, store=path)
    later = Counting(STUDY)
    panel = simulate(STUDY, later, runs=1, seed=5, store=path)
    assert later.asked == 16
    pd.testing.assert_frame_equal(panel.frame, simulate(STUDY, "synthetic", runs=1, seed=5).frame)
