"""A cluster that is not what it should be is an error of one sentence."""

import os
import sys
import types
from concurrent.futures import CancelledError

import pytest

from llmdemand.errors import UsageError, WorkersLost
from llmdemand.scale import cluster
from llmdemand.scale.merging import map_merge, mapped


class Future:
    def __init__(self, outcome):
        self.outcome = outcome

    def result(self, timeout=None):
        raise self.outcome

    def release(self):
        pass


class Client:
    """What is asked of a client; nobody works."""

    asynchronous, status = False, "running"
    scheduler = types.SimpleNamespace(address="tcp://127.0.0.1:1")

    def __init__(self, workers=(1,), outcome=None):
        self.workers, self.outcome, self.cancelled = list(workers), outcome, []

    def scheduler_info(self):
        raise AssertionError("differs from version to version")

    def nthreads(self):
        return {"a": self.workers.pop(0) if len(self.workers) > 1 else self.workers[0]}

    def submit(self, *_, **__):
        return Future(self.outcome)

    def cancel(self, futures, **_):
        self.cancelled += futures


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    monkeypatch.setattr(cluster, "_GLANCE", 0.01)


def test_a_cluster_without_workers_is_not_waited_for_for_ever():
    with pytest.raises(WorkersLost, match="no worker for"):
        map_merge(len, ["a"], Client([0]))


def test_workers_that_come_late_are_waited_for():
    client = Client([0, 0, 3], CancelledError("x"))
    with pytest.raises(WorkersLost, match="scheduler does not answer"):
        map_merge(len, ["a"], client)
    assert client.workers == [3]


def test_workers_that_leave_for_ever_are_told():
    from distributed import TimeoutError as Waited

    with pytest.raises(WorkersLost, match="no worker for"):
        map_merge(len, ["a"], Client([1, 0], Waited()))


def test_a_scheduler_that_goes_away_is_told_and_what_is_left_taken_back():
    client = Client(outcome=CancelledError("lost"))
    with pytest.raises(WorkersLost, match=r"does not answer any more \(lost\)"):
        map_merge(len, ["a", "b"], client)
    assert len(client.cancelled) == 2


@pytest.mark.parametrize("told", [{"asynchronous": True}, {"status": "closed"}])
def test_a_client_that_cannot_be_waited_for_is_refused(told):
    client = Client()
    vars(client).update(told)
    with pytest.raises(UsageError, match=r"Dask client is (asynchronous|closed)"):
        map_merge(len, ["a"], client)


def pid(shard):
    return os.getpid()


def test_what_workers_cannot_load_is_told_and_leaves_them_alive(dask_client, monkeypatch):
    before = set(dask_client.run(os.getpid).values())
    module = types.ModuleType("only_here")
    exec("def work(shard):\n    return shard", vars(module))
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(UsageError, match=r"cannot load what it is to do \(No module named 'only"):
        map_merge(module.work, [1, 2], dask_client)
    exec("class Shard:\n    pass", vars(module))
    with pytest.raises(UsageError, match=r"cannot load what it is sent \(No module named 'only"):
        map_merge(len, [module.Shard()], dask_client)
    assert set(mapped(pid, range(20), dask_client)) <= before


def test_an_address_or_a_cluster_is_connected_to_and_left_again(dask_client):
    from distributed import default_client

    for where in (dask_client.scheduler.address, dask_client.cluster):
        assert map_merge(len, ["a", "bb"], where) == 3
        assert default_client() is dask_client and dask_client.status == "running"
