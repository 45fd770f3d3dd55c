from dataclasses import replace

import pytest

import llmdemand as ld
from llmdemand.errors import UsageError
from llmdemand.simulation.backend import Traits
from llmdemand.simulation.backends.recorded import RecordedBackend
from llmdemand.simulation.storing.store import Store

STUDY = ld.load_study("pampers")


def same(one, other):
    assert one.frame.equals(other.frame)
    assert (one.frame.dtypes == other.frame.dtypes).all()
    assert one.provenance == other.provenance
    return True


def stored(path):
    with Store(path) as store:
        # A NaN is no equal of itself, its text is.
        return [repr((source, replace(s, created=0.0))) for source, s in store.entries()]


def test_two_processes_store_and_return_what_one_does(tmp_path):
    one, two = tmp_path / "one.sqlite", tmp_path / "two.sqlite"
    whole = ld.simulate(STUDY, "synthetic", runs=10, store=one)
    assert same(whole, ld.simulate(STUDY, "synthetic", runs=10, store=two, workers=2))
    assert stored(one) == stored(two)


def test_a_share_is_divided_further_and_what_is_stored_is_read_by_both(tmp_path):
    kept = tmp_path / "kept.sqlite"
    part = ld.simulate(STUDY, "synthetic", runs=3, shard=(2, 3), store=kept)
    before = stored(kept)
    with Store(kept) as store:
        store.drop(next(store.names())[0])
    asked = {"runs": 3, "shard": (2, 3), "workers": 2}
    assert same(part, ld.simulate(STUDY, "synthetic", store=kept, **asked))
    assert stored(kept) == before
    assert ld.simulate(STUDY, RecordedBackend(kept), **asked).frame.equals(part.frame)


class Server:
    name, model, settings, raw_logprobs, traits = "server", "m", {}, True, Traits()
    parse = None


@pytest.mark.parametrize(
    ("backend", "more", "said"),
    [
        (Server(), {}, "answers one process"),
        ("synthetic", {"budget": 1.0}, "kept by one process"),
        ("synthetic", {"rpm": 60}, "kept by one process"),
        ("synthetic", {"concurrency": 4}, "kept by one process"),
    ],
)
def test_what_one_process_must_do_is_not_divided(tmp_path, backend, more, said):
    store = tmp_path / "kept.sqlite"
    with pytest.raises(UsageError, match=said):
        ld.simulate(STUDY, backend, runs=1, workers=2, store=store, **more)


@pytest.mark.parametrize("workers", [0, True, 1.5])
def test_no_number_of_processes(workers):
    with pytest.raises(UsageError, match="a number of processes from 1"):
        ld.simulate(STUDY, "synthetic", runs=1, workers=workers)


def test_the_command_passes_it_on(run):
    asked = "simulate", "pampers", "--backend", "synthetic", "--runs", "1", "--workers"
    assert run(*asked, 1)[0] == 0
    for more, said in (((0,), "from 1"), ((2, "--rpm", "60", "--out", "b.parquet"), "workers=2:")):
        code, _, error = run(*asked, *more)
        assert code == 2
        assert said in error
