"""Processes of this machine that work on shards."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from llmdemand.errors import WorkersLost
from llmdemand.scale.task import Task, received

__all__ = ["Crew", "Processes"]

# A shard whose worker dies this often is not tried again: it is likely what kills them.
_MOST_DEATHS = 3

_Begun = tuple[ProcessPoolExecutor, Future[bytes]]


class Crew:
    """Processes that start with the first shard; one that is killed is replaced.

    Parameters
    ----------
    workers : int
        How many, at least 2.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.pool: ProcessPoolExecutor | None = None
        self.deaths = 0

    def begin(self, task: Task, shard: Any) -> _Begun:
        """Give a shard to a process."""
        if self.pool is None:
            # Started anew: threads of this process (BLAS, engines) do not survive a fork.
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(self.workers, context, initializer=_begin)
        with _deaf():  # a process starts with the task for which none is idle
            return self.pool, self.pool.submit(task, shard)

    def bury(self, pool: ProcessPoolExecutor | None, shard: Any) -> None:
        """Take leave of a pool, one of whose processes ended by itself.

        Raises
        ------
        WorkersLost
            If that happens again and again.
        """
        if pool is None or pool is not self.pool:
            return
        self.pool = None
        pool.shutdown(cancel_futures=True)
        self.deaths += 1
        if self.deaths >= _MOST_DEATHS:
            raise WorkersLost(
                f"the {self.workers} processes ended by themselves {self.deaths} times, last at "
                f"{shorten(repr(shard), 100)}: in a script, call below `if __name__ == "
                "'__main__':`; or memory is short: take smaller shards, or one process"
            )

    def close(self, *, now: bool = False) -> None:
        """End the processes; `now`: also those at work, whose results nobody waits for."""
        pool, self.pool = self.pool, None
        if pool is None:
            return
        working = list((pool._processes or {}).values()) if now else []
        pool.shutdown(wait=not now, cancel_futures=True)
        for process in working:
            process.terminate()
        for process in working:
            process.join()


class Processes:
    """A function of shards, by a crew; the shards of one that is killed are done again.

    Parameters
    ----------
    function : callable
        See `Task`.
    crew : Crew
        Who works.
    alone : bool
        Whether the crew ends with the map.
    """

    def __init__(self, function: Callable[[Any], Any], crew: Crew, *, alone: bool = False) -> None:
        self.task, self.crew, self.alone = Task(function), crew, alone
        self.open: set[Future[bytes]] = set()

    @property
    def workers(self) -> int:
        """How many others can be at work at a time."""
        return self.crew.workers

    def _begin(self, shard: Any) -> _Begun:
        begun = self.crew.begin(self.task, shard)
        self.open.add(begun[1])
        return begun

    def submit(self, shard: Any) -> Callable[[], Any]:
        """Begin the work on a shard; what is returned waits for its result."""
        begun: list[_Begun | None] = [None]
        try:
            begun[0] = self._begin(shard)
        except BrokenProcessPool:  # noticed before it was given the shard
            self.crew.bury(self.crew.pool, shard)

        def result() -> Any:
            while True:
                pool, future = begun[0] or self._begin(shard)
                self.open.discard(future)
                try:
                    found = received(future.result())
                except BrokenProcessPool:
                    self.crew.bury(pool, shard)
                    begun[0] = None
                else:
                    self.crew.deaths = 0
                    return found

        return result

    def close(self, *, now: bool = False) -> None:
        """End; `now`: without what is under way."""
        if self.alone:
            self.crew.close(now=now)
        for future in self.open:  # those at work are left to end: the crew has more to do
            future.cancel()


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that start here never hear of an interrupt: the parent does, and ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: `_begin` comes a little later
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """Of a worker's life: it hears of no interrupt (see `_deaf`), and ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_orphaned, daemon=True).start()


def _orphaned() -> None:
    """A parent that is killed ends nobody: workers would wait for its shards for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
