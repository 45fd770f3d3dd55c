"""Sums of shards are those of one process, whoever works and whoever dies."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import pytest

from llmdemand.errors import UsageError, WorkersLost
from llmdemand.scale.merging import map_merge, mapped

SHARDS = list(range(12))


def tenth(shard):
    time.sleep(random.random() / 50)  # who is done first does not matter
    return 0.1 * (shard + 1)


def killed_once(folder, shard):
    """Of shard 5, whose first worker is killed in the middle."""
    mark = os.path.join(folder, str(shard))
    if shard == 5 and not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return 0.1 * (shard + 1)


def killing(shard):
    if shard == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return shard


def broken(shard):
    if shard == 5:
        raise UsageError("shard 5 is torn")
    return shard


@pytest.fixture(params=[2, "dask"])
def others(request):
    """Who may be killed."""
    return request.getfixturevalue("dask_client") if request.param == "dask" else request.param


@pytest.fixture(params=[None, 2, "dask"])
def executor(request):
    return request.getfixturevalue("dask_client") if request.param == "dask" else request.param


def test_sums_are_equal_to_the_last_bit(executor):
    wanted = 0.0
    for shard in SHARDS:
        wanted += 0.1 * (shard + 1)
    assert map_merge(tenth, SHARDS, executor) == wanted


def test_results_come_in_the_order_of_the_shards(executor):
    assert list(mapped(partial(pow, 2), SHARDS, executor)) == [2**k for k in SHARDS]


def test_a_killed_worker_changes_nothing(others, tmp_path):
    found = list(mapped(partial(killed_once, str(tmp_path)), SHARDS, others))
    assert found == [0.1 * (k + 1) for k in SHARDS]
    assert (tmp_path / "5").exists()


def test_what_kills_every_worker_is_named(others, monkeypatch):
    if others != 2:  # Dask's own three deaths take their time
        monkeypatch.setattr(others.cluster.scheduler, "allowed_failures", 0)
    with pytest.raises(WorkersLost, match="smaller shards"):
        list(mapped(killing, SHARDS, others))


def test_an_error_in_a_shard_is_the_callers(executor):
    with pytest.raises(UsageError, match="shard 5 is torn"):
        map_merge(broken, SHARDS, executor)


def test_few_shards_are_held_at_a_time():
    """Shards may be many, or large: they are taken as there is work for them."""
    taken = []

    def shards():
        for shard in SHARDS:
            taken.append(shard)
            yield shard

    results = mapped(partial(pow, 2), shards(), 2)
    next(results)
    assert len(taken) <= 7
    results.close()


@pytest.mark.parametrize("executor", [0, -1, True, 1.5, "nowhere"])
def test_an_unknown_executor_is_refused(executor):
    with pytest.raises(UsageError, match=r"executor=|no Dask scheduler"):
        map_merge(len, ["a"], executor)


def test_a_function_that_cannot_be_sent_is_refused():
    with pytest.raises(UsageError, match="that a module defines"):
        map_merge(lambda shard: shard, SHARDS, 2)


def test_no_shards_are_refused():
    with pytest.raises(UsageError, match="no shards"):
        map_merge(len, [])


def test_the_package_does_not_load_dask():
    code = textwrap.dedent(
        """
        import sys
        import llmdemand as ld, llmdemand.scale.merging
        llmdemand.scale.merging.map_merge(len, ["a"])
        assert not {"dask", "distributed"} & set(sys.modules)
        """
    )
    subprocess.run([sys.executable, "-c", code], check=True)
