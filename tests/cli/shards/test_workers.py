"""Commands that read a folder of parts: the same words whoever reads, by workers that stay."""

import pytest

import llmdemand as ld
from llmdemand.core.shards.shards import write_shards
from llmdemand.scale import processes

AUDIT = ("audit", "panel")
FIT = ("fit", "panel", "--outcome", "choice", "--price", 30, "--vcov", "HC1")
COMPARE = ("compare", "panel", "--runs", 1, "--replications", 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=4, seed=1)
    write_shards(panel, folder / "panel", rows=22)
    return folder


def test_processes_start_once_and_say_what_one_says(run_in, folder, monkeypatch):
    started = []

    class Counted(processes.ProcessPoolExecutor):
        def __init__(self, *arguments, **options):
            started.append(self)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Counted)
    one = run_in(folder, *COMPARE, "--json")
    assert one[0] == 0 and one[1] and not started
    assert run_in(folder, *COMPARE, "--workers", 2, "--json") == one
    (pool,) = started
    assert pool._shutdown_thread  # no process is left behind


@pytest.mark.parametrize("command", [AUDIT, FIT], ids=lambda c: c[0])
def test_a_cluster_says_what_one_process_says(run_in, folder, dask_client, command):
    # Its workers are in another folder than the command.
    one = run_in(folder, *command, "--json")
    assert one[0] == 0 and one[1]
    address = dask_client.scheduler.address
    assert run_in(folder, *command, "--cluster", address, "--json") == one


def test_one_file_has_no_workers(run_in, folder):
    ld.load_panel("pampers").write(folder / "one.parquet")
    for name, option in (("--workers", 2), ("--cluster", "tcp://127.0.0.1:1")):
        code, _, err = run_in(folder, "audit", "one.parquet", name, option)
        assert code == 2 and f"{name} {option}: one.parquet is one file" in err.replace("\n", " ")
    code, _, err = run_in(folder, "compare", "panel", "--workers", 2, "--cluster", "tcp://a")
    assert code == 2 and "give one" in err
