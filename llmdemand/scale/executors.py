"""Who does the work on shards: this process, several, or a cluster."""

from __future__ import annotations

import hashlib
import pickle
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from textwrap import shorten
from typing import Any, Protocol

from llmdemand.errors import MissingExtra, UsageError, WorkersLost

__all__ = ["Executor", "Mapper", "Task", "opened"]

#: What users give: None (this process), a number of processes, the address of a Dask
#: scheduler (``tcp://...``), or a ``dask.distributed.Client``.
Executor = Any

# A shard whose worker dies this often is not tried again: it is likely what kills them.
MOST_DEATHS = 3
_IN_FLIGHT = 3  # shards per worker: one in work, one before it, one done


class Mapper(Protocol):
    """Takes shards, a few at a time, and gives the result of each."""

    at_once: int

    def submit(self, shard: Any) -> Callable[[], Any]:
        """Begin the work on a shard; what is returned waits for its result."""
        ...


class Task:
    """A function, pickled once however many shards it is sent with.

    Parameters
    ----------
    function : callable
        Of one argument, a shard. What it holds, as a partial or the attributes of a callable
        object, lives in each worker as long as the map does.

    Raises
    ------
    UsageError
        If the function cannot be sent to other processes.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        try:
            self.body = pickle.dumps(function)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UsageError(
                f"{function!r} cannot be sent to other processes ({error}): give a function that "
                "a module defines, or work in this process"
            ) from None
        self.key = hashlib.sha256(self.body).digest()

    def __call__(self, shard: Any) -> Any:
        """Do the work, in a worker."""
        found = _KNOWN.get(self.key)
        if found is None:
            _KNOWN.clear()
            found = _KNOWN[self.key] = pickle.loads(self.body)
        return found(shard)


# What a worker process knows: the function of the map under way.
_KNOWN: dict[bytes, Callable[[Any], Any]] = {}


@contextmanager
def opened(executor: Executor, function: Callable[[Any], Any]) -> Iterator[Mapper]:
    """A mapper of a function, closed when the work ends however it ends.

    Raises
    ------
    UsageError
        If `executor` is none of what is named at `Executor`.
    MissingExtra
        If a cluster is named and Dask is not installed.
    """
    with ExitStack() as stack:
        if executor is None or (executor == 1 and executor is not True):
            yield _Here(function)
        elif isinstance(executor, int) and not isinstance(executor, bool) and executor > 1:
            processes = _Processes(function, executor)
            stack.callback(processes.close)
            yield processes
        elif isinstance(executor, str) or hasattr(executor, "scheduler_info"):
            client = executor
            if isinstance(executor, str):
                client = stack.enter_context(_client(executor))
            cluster = _Cluster(function, client)
            stack.callback(cluster.close)
            yield cluster
        else:
            raise UsageError(
                f"executor={executor!r}: expected None, a number of processes (at least 1), the "
                "address of a Dask scheduler, or a dask.distributed.Client"
            )


class _Here:
    at_once = 1

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def submit(self, shard: Any) -> Callable[[], Any]:
        return lambda: self.function(shard)


class _Processes:
    """Processes of this machine. One that is killed is replaced, and its shards done again."""

    def __init__(self, function: Callable[[Any], Any], workers: int) -> None:
        self.task, self.workers = Task(function), workers
        self.at_once = _IN_FLIGHT * workers
        self.pool: ProcessPoolExecutor | None = None
        self.deaths = 0

    def _begin(self, shard: Any) -> tuple[ProcessPoolExecutor, Future[Any]]:
        if self.pool is None:
            # Started anew: threads of this process (BLAS, engines) do not survive a fork.
            self.pool = ProcessPoolExecutor(self.workers, get_context("spawn"), initializer=_deafen)
        with _deaf():  # a process starts with the task for which none is idle
            return self.pool, self.pool.submit(self.task, shard)

    def submit(self, shard: Any) -> Callable[[], Any]:
        begun: list[tuple[ProcessPoolExecutor, Future[Any]] | None] = [None]
        try:
            begun[0] = self._begin(shard)
        except BrokenProcessPool:  # noticed before it was given the shard
            self._bury(self.pool, shard)

        def result() -> Any:
            while True:
                pool, future = begun[0] or self._begin(shard)
                try:
                    found = future.result()
                except BrokenProcessPool:
                    self._bury(pool, shard)
                    begun[0] = None
                else:
                    self.deaths = 0
                    return found

        return result

    def _bury(self, pool: ProcessPoolExecutor | None, shard: Any) -> None:
        """Take leave of a pool, one of whose processes ended by itself."""
        if pool is None or pool is not self.pool:
            return
        self.pool = None
        pool.shutdown(cancel_futures=True)
        self.deaths += 1
        if self.deaths >= MOST_DEATHS:
            raise WorkersLost(
                f"the {self.workers} processes ended by themselves {self.deaths} times, last at "
                f"{shorten(repr(shard), 100)}: in a script, call below `if __name__ == "
                "'__main__':`; or memory is short: take smaller shards, or one process"
            )

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


class _Cluster:
    """Workers of a Dask cluster; its scheduler gives the shards of one that dies to others."""

    def __init__(self, function: Callable[[Any], Any], client: Any) -> None:
        self.client = client
        # Sent to each worker once, not with every shard; and as the result of a call, which is
        # made again where all that hold it die, as scattered data are not.
        self.task = client.submit(_kept, Task(function), pure=False)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        threads = sum(worker["nthreads"] for worker in workers.values())
        self.at_once = _IN_FLIGHT * max(threads, 1)

    def submit(self, shard: Any) -> Callable[[], Any]:
        from distributed import KilledWorker

        future = self.client.submit(_call, self.task, shard, pure=False)

        def result() -> Any:
            try:
                return future.result()
            except KilledWorker as error:
                raise WorkersLost(
                    "workers of the cluster died again and again at "
                    f"{shorten(repr(shard), 100)}: memory is likely short; take smaller shards, or "
                    "give workers more"
                ) from error

        return result

    def close(self) -> None:
        self.task.release()


def _kept(task: Task) -> Task:
    return task


def _call(task: Task, shard: Any) -> Any:
    return task(shard)


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtra(
            "a cluster needs Dask: pip install 'llmdemand[dask]', here and on every worker"
        ) from None
    try:
        return Client(address, timeout="10s")  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address!r} ({error}): give its address, as "
            "tcp://127.0.0.1:8786"
        ) from None


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that start here never hear of an interrupt: the parent does, and ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: `_deafen` comes a little later
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _deafen() -> None:
    """Of a worker's life; see `_deaf`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
