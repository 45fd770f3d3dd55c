"""Workers of a Dask cluster that work on shards."""

from __future__ import annotations

import pickle
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from textwrap import shorten
from typing import Any

from llmdemand.errors import MissingExtra, UsageError, WorkersLost
from llmdemand.scale.task import Task, received, source

__all__ = ["Cluster", "connected"]

#: Seconds that a cluster may be without any worker, at the start and later.
PATIENCE = 60.0
_GLANCE = 1.0  # seconds between looks at who is there
# Of Python's own words: a worker that is sent what it cannot load, as functions of a package that
# it does not have, ends without a word, and then the next one; where code fails, it says why.
_LOADED = "(loads := __import__('pickle').loads)(task)(loads(shard))"


class Cluster:
    """Its scheduler gives the shards of a worker that dies to others.

    Parameters
    ----------
    function : callable
        See `Task`.
    client : dask.distributed.Client
        Of the cluster; it stays open.

    Raises
    ------
    UsageError
        For a client that is asynchronous or closed.
    WorkersLost
        If the cluster has no worker, and none comes within a minute.
    """

    def __init__(self, function: Callable[[Any], Any], client: Any) -> None:
        if client.asynchronous or client.status != "running":
            found = "asynchronous" if client.asynchronous else client.status
            raise UsageError(
                f"the Dask client is {found}: give one that runs and is not asynchronous"
            )
        self.client = client
        #: What Dask's dashboard calls the work.
        self.name = getattr(function, "__name__", type(function).__name__)
        self.open: set[Any] = set()
        self._threads, self._seen, self._alive = 0, -_GLANCE, time.monotonic()
        while not self.workers:
            self._wait()
        # Sent to each worker once, not with every shard; and as the result of a call, which is
        # made again where all that hold it die, as scattered data are not.
        self.task = client.submit(bytes, pickle.dumps(Task(function, source())), pure=False)

    @property
    def workers(self) -> int:
        """Threads of all workers as they are now: workers come and go."""
        now = time.monotonic()
        if now - self._seen >= _GLANCE:
            self._seen = now
            try:
                self._threads = sum(self.client.nthreads().values())
            except (OSError, AttributeError, CancelledError) as error:
                raise _no_scheduler(error) from None
            if self._threads:
                self._alive = now
        return self._threads

    def _wait(self) -> None:
        """A little, unless there has been nobody for too long."""
        alone = time.monotonic() - self._alive
        if not self.workers and alone >= PATIENCE:
            raise WorkersLost(
                f"the cluster at {self.client.scheduler.address} has had no worker for "
                f"{alone:.0f} seconds: start some (`dask worker ADDRESS`), or wait for them with "
                "client.wait_for_workers(1)"
            )
        time.sleep(_GLANCE / 10)

    def submit(self, shard: Any) -> Callable[[], Any]:
        """Begin the work on a shard; what is returned waits for its result."""
        from distributed import KilledWorker
        from distributed import TimeoutError as Waited

        given = {"task": self.task, "shard": pickle.dumps(shard)}
        future = self.client.submit(eval, _LOADED, given, key=f"{self.name}-{uuid.uuid4().hex}")
        self.open.add(future)

        def result() -> Any:
            while True:
                try:
                    found = future.result(timeout=10 * _GLANCE)
                    break
                except Waited:
                    self._wait()
                except KilledWorker as error:
                    raise WorkersLost(
                        "workers of the cluster died again and again at "
                        f"{shorten(repr(shard), 100)}: memory is likely short, take smaller shards "
                        "or give workers more; or a queue takes workers away, then raise Dask's "
                        "distributed.scheduler.allowed-failures"
                    ) from error
                except CancelledError as error:
                    raise _no_scheduler(error) from None
                except (ImportError, AttributeError) as error:  # before the function is called
                    raise UsageError(
                        f"a worker cannot load what it is sent ({error}): install the same "
                        "llmdemand on every worker"
                    ) from None
            self.open.discard(future)
            return received(found)

        return result

    def close(self, *, now: bool = False) -> None:
        """Take back what is not done; the client stays open."""
        left, self.open = list(self.open), set()
        if left:
            with suppress(OSError, CancelledError):
                self.client.cancel(left, force=now)
        self.task.release()


def _no_scheduler(error: BaseException) -> WorkersLost:
    said = str(error).splitlines()
    return WorkersLost(
        f"the Dask scheduler does not answer any more ({said[0] if said else type(error).__name__})"
        ": what is written is kept, run it again when the scheduler does"
    )


def connected(where: Any) -> Any:
    """A client of a scheduler at an address, or of a Dask cluster; it is the caller's to close.

    Raises
    ------
    MissingExtra
        If Dask is not installed.
    UsageError
        If nobody answers there.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtra(
            "a cluster needs Dask: pip install 'llmdemand[dask]', here and on every worker"
        ) from None
    try:
        # It stays ours: what users compute with Dask meanwhile is not sent to it.
        return Client(where, timeout="10s", set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {where!r} ({error}): give its address, as "
            "tcp://127.0.0.1:8786"
        ) from None
