"""Who does the work on shards: this process, several, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from llmdemand.errors import UsageError
from llmdemand.scale.cluster import Cluster, connected
from llmdemand.scale.processes import Crew, Processes

__all__ = ["Executor", "Mapper", "opened"]

#: What users give: None (this process), a number of processes, the address of a Dask
#: scheduler (``tcp://...``), a Dask cluster, a ``dask.distributed.Client``, or a
#: `llmdemand.scale.session.Session` of one of them, whose workers stay from one map to the next.
Executor = Any


class Mapper(Protocol):
    """Takes shards, a few at a time, and gives the result of each."""

    @property
    def workers(self) -> int:
        """How many others can be at work at a time."""
        ...

    def submit(self, shard: Any) -> Callable[[], Any]:
        """Begin the work on a shard; what is returned waits for its result."""
        ...

    def close(self, *, now: bool = False) -> None:
        """End; `now`: without what is under way."""
        ...


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
    client = None
    executor = getattr(executor, "at_work", executor)
    if executor is None or (executor == 1 and executor is not True):
        mapper: Mapper = _Here(function)
    elif isinstance(executor, Crew):
        mapper = Processes(function, executor)
    elif isinstance(executor, int) and not isinstance(executor, bool) and executor > 1:
        mapper = Processes(function, Crew(executor), alone=True)
    elif hasattr(executor, "scheduler_info") and hasattr(executor, "submit"):
        mapper = Cluster(function, executor)
    elif isinstance(executor, str) or hasattr(executor, "scheduler_address"):
        client = connected(executor)
        mapper = _theirs(function, client)
    else:
        raise UsageError(
            f"executor={executor!r}: expected None, a number of processes (at least 1), the "
            "address of a Dask scheduler, or a dask.distributed.Client"
        )
    done = False
    try:
        yield mapper
        done = True
    finally:
        mapper.close(now=not done)
        if client is not None:
            client.close()


def _theirs(function: Callable[[Any], Any], client: Any) -> Cluster:
    try:
        return Cluster(function, client)
    except BaseException:
        client.close()
        raise


class _Here:
    workers = 0  # others than this process

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def submit(self, shard: Any) -> Callable[[], Any]:
        return lambda: self.function(shard)

    def close(self, *, now: bool = False) -> None:
        pass
