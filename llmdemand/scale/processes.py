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

__all__ = ["Processes"]

# A shard whose worker dies this often is not tried again: it is likely what kills them.
_MOST_DEATHS = 3

_Begun = tuple[ProcessPoolExecutor, Future[bytes]]


class Processes:
    """One that is killed is replaced, and its shards done again.

    Parameters
    ----------
    function : callable
        See `Task`.
    workers : int
        How many, at least 2.
    """

    def __init__(self, function: Callable[[Any], Any], workers: int) -> None:
        self.task, self.workers = Task(function), workers
        self.pool: ProcessPoolExecutor | None = None
        self.deaths = 0

    def _begin(self, shard: Any) -> _Begun:
        if self.pool is None:
            # Started anew: threads of this process (BLAS, engines) do not survive a fork.
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(self.workers, context, initializer=_begin)
        with _deaf():  # a process starts with the task for which none is idle
            return self.pool, self.pool.submit(self.task, shard)

    def submit(self, shard: Any) -> Callable[[], Any]:
        """Begin the work on a shard; what is returned waits for its result."""
        begun: list[_Begun | None] = [None]
        try:
            begun[0] = self._begin(shard)
        except BrokenProcessPool:  # noticed before it was given the shard
            self._bury(self.pool, shard)

        def result() -> Any:
            while True:
                pool, future = begun[0] or self._begin(shard)
                try:
                    found = received(future.result())
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
