"""`kill -9` at random moments: what was acknowledged is kept, and the rest is asked once."""

import os
import subprocess
import sys
import time

import pandas as pd

from llmdemand import load_study, simulate
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.requests import requests
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")
RUNS, SEED = 40, 5
RUNS_OVER_HTTP = 15

# Forks a child that runs the study, kills it after a random time, and again. The parent stays
# warm and has no threads, so that each child costs milliseconds. A child acknowledges an answer
# once `put` has returned. Half of the kills come early, while it opens the store and looks up; the
# others after some answers, however slow the machine is today.
KILLER = """
import os, random, signal, sys, time
from llmdemand import load_study, simulate
from llmdemand.errors import BackendError
from llmdemand.simulation.backend import Traits
from llmdemand.simulation.backends import openai, synthetic
from llmdemand.simulation.storing import store
kind, kills, longest, runs, seed, url = sys.argv[1:]
study = load_study("pampers")
acknowledged = os.open("acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
put = store.Store.put

def acknowledging(self, source, stored):
    new = put(self, source, stored)
    os.write(acknowledged, f"{stored.run_id}\\n".encode())
    return new

class Kept(synthetic.SyntheticBackend):
    # Answers that took hours: each is stored before the next thing happens.
    traits = Traits(concurrency=64, kept=True)

# Warm: whatever is imported or built on first use is there before the first fork.
simulate(study, synthetic.SyntheticBackend(study), runs=1, seed=99, store=":memory:")
if kind == "http":
    try:
        nobody = openai.OpenAIBackend("fake-1", base_url="http://127.0.0.1:9/v1")
        simulate(study, nobody, runs=1, store=":memory:", probe=False, patience=0)
    except BackendError:
        pass
store.Store.put = acknowledging
chance = random.Random(20251)
complete = 0
for k in range(int(kills)):
    child = os.fork()
    if not child:
        if kind == "http":
            backend = openai.OpenAIBackend("fake-1", base_url=url)
        else:
            backend = Kept(study, latency=0.02)
        simulate(study, backend, runs=int(runs), seed=int(seed), store="store.sqlite",
            concurrency=4, probe=False)
        os._exit(0)
    if k % 2:
        time.sleep(chance.random() * float(longest))
    else:
        size = os.fstat(acknowledged).st_size + 4 * chance.randint(1, 8)
        end = time.monotonic() + 20
        while os.fstat(acknowledged).st_size < size and time.monotonic() < end:
            time.sleep(0.0005)
        time.sleep(chance.random() * 0.02)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    complete += not os.WIFSIGNALED(status)
print(complete)
"""


def kill(folder, kind, kills, longest, runs, url=""):
    """Run the killer; the number of children that came to their end before their kill."""
    arguments = [kind, kills, longest, runs, SEED, url]
    done = subprocess.run(
        [sys.executable, "-c", KILLER, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("OPENAI")},
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return int(done.stdout)


def stored_runs(path):
    with Store(path) as store:
        return [line["run_id"] for line in store.export()]


class Counting(SyntheticBackend):
    asked = ()

    async def complete(self, asked):
        self.asked = (*self.asked, *(request.run_id for request in asked))
        async for raw in super().complete(asked):
            yield raw


def test_after_sixty_kills_nothing_acknowledged_is_lost_or_doubled_and_the_panel_is_the_same(
    tmp_path,
):
    finished = kill(tmp_path, "synthetic", kills=60, longest=0.08, runs=RUNS)
    acknowledged = (tmp_path / "acknowledged").read_text(encoding="utf-8").split()
    kept = stored_runs(tmp_path / "store.sqlite")
    assert finished == 0 and 50 <= len(kept) < 16 * RUNS, "the kills met a run under way"
    assert len(kept) == len(set(kept))
    assert len(acknowledged) == len(set(acknowledged)), "none was stored by two children"
    # An answer may be stored by a child that died before it could say so.
    assert set(acknowledged) <= set(kept)
    assert len(set(kept) - set(acknowledged)) <= 60
    rest = Counting(STUDY)
    resumed = simulate(STUDY, rest, runs=RUNS, seed=SEED, store=tmp_path / "store.sqlite")
    assert len(rest.asked) == 16 * RUNS - len(kept)
    assert not set(rest.asked) & set(kept)
    whole = simulate(STUDY, "synthetic", runs=RUNS, seed=SEED)
    pd.testing.assert_frame_equal(resumed.frame, whole.frame, check_exact=True)


def test_over_http_what_was_delivered_and_acknowledged_is_kept_and_not_asked_again(
    fake_server, complete, tmp_path
):
    run_of = {r.seed: r.run_id for r in requests(STUDY, RUNS_OVER_HTTP, SEED)}
    acknowledged, repeated = tmp_path / "acknowledged", []

    def content(body):
        value = -0.1 - (body["seed"] % 7) / 10
        return complete("Pampers", [("Pampers", value, {"Pampers": value, "H": -2.5})])

    def answer(body, call):
        known = acknowledged.read_text(encoding="utf-8").split() if acknowledged.exists() else []
        if run_of[body["seed"]] in known:
            repeated.append(body["seed"])
        time.sleep(0.02)
        return 200, content(body), {}

    fake_server.answer = answer
    kills = 12
    kill(tmp_path, "http", kills, 0.1, RUNS_OVER_HTTP, fake_server.url)
    known = acknowledged.read_text(encoding="utf-8").split()
    kept = stored_runs(tmp_path / "store.sqlite")
    assert kills // 2 <= len(kept) < 16 * RUNS_OVER_HTTP
    assert len(known) == len(set(known)) and set(known) <= set(kept)
    assert set(kept) <= {run_of[body["seed"]] for body in fake_server.delivered}
    assert not repeated
    # Only what was on its way when a child died can have been asked for twice.
    assert len(fake_server.requests) <= len(kept) + 4 * kills
    before = len(fake_server.requests)
    backend = OpenAIBackend("fake-1", base_url=fake_server.url)
    path = tmp_path / "store.sqlite"
    resumed = simulate(STUDY, backend, runs=RUNS_OVER_HTTP, seed=SEED, store=path, probe=False)
    assert len(fake_server.requests) - before == 16 * RUNS_OVER_HTTP - len(kept)
    assert not repeated
    whole = simulate(STUDY, backend, runs=RUNS_OVER_HTTP, seed=SEED, store=":memory:", probe=False)
    pd.testing.assert_frame_equal(resumed.frame, whole.frame, check_exact=True)
