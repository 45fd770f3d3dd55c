"""Commands that read a folder of parts: the same words whoever reads, by workers that stay."""

from dataclasses import replace

import pytest

import llmdemand as ld
from llmdemand.core.shards.part import Part
from llmdemand.core.shards.shards import PanelShards, write_shards
from llmdemand.modeling.sample.sample import _Grouping
from llmdemand.scale import processes

AUDIT = ("audit", "panel")
FIT = ("fit", "panel", "--outcome", "choice", "--price", 30, "--vcov", "HC1")


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
    one = run_in(folder, *FIT, "--json")
    assert one[0] == 0 and one[1] and not started
    assert run_in(folder, *FIT, "--workers", 2, "--json") == one
    (pool,) = started
    assert pool._shutdown_thread  # no process is left behind


def test_a_cluster_says_what_one_process_says(run_in, folder, dask_client):
    # Its workers are in another folder than the command.
    address = dask_client.scheduler.address
    one = run_in(folder, *AUDIT, "--json")
    assert one[0] == 0 and one[1]
    assert run_in(folder, *AUDIT, "--cluster", address, "--json") == one


def test_a_fit_is_read_by_the_workers_of_its_panel(folder, two, monkeypatch):
    shards = PanelShards.open(folder / "panel")
    one = ld.fit_demand(shards, "choice")
    monkeypatch.setattr(Part, "frame", None)  # in this process
    monkeypatch.setattr(_Grouping, "__call__", None)
    both = ld.fit_demand(replace(shards, executor=two), "choice")
    assert both.params.equals(one.params) and both.cov.equals(one.cov)


def test_one_file_has_no_workers(run_in, folder):
    ld.load_panel("pampers").write(folder / "one.parquet")
    for name, option in (("--workers", 2), ("--cluster", "tcp://127.0.0.1:1")):
        code, _, err = run_in(folder, "audit", "one.parquet", name, option)
        assert code == 2 and f"{name} {option}: one.parquet is one file" in err.replace("\n", " ")
    code, _, err = run_in(folder, "compare", "panel", "--workers", 2, "--cluster", "tcp://a")
    assert code == 2 and "give one" in err
