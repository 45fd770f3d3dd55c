"""A function of shards, mapped over them and merged."""

from __future__ import annotations

import itertools
import operator
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from llmdemand.errors import UsageError
from llmdemand.scale.executors import Executor, opened

__all__ = ["map_merge", "mapped"]

S = TypeVar("S")
R = TypeVar("R")


def map_merge(
    function: Callable[[S], R],
    shards: Iterable[S],
    executor: Executor = None,
    *,
    merge: Callable[[R, R], R] = operator.add,
    progress: Callable[[int], None] | None = None,
) -> R:
    """The merged results of a function of shards.

    They are merged in the order of the shards, whoever is done first: sums of floating-point
    numbers do not depend on the executor, to the last bit. A worker that is killed changes
    nothing: its shards are done again, which is why `function` must depend on its shard alone.

    Parameters
    ----------
    function : callable
        Of a shard. For other processes it must be one that a module defines, or a partial or
        an instance of what a module defines; it is sent to each worker once.
    shards : iterable
        What the function is applied to, read as far as there is work: paths, ranges, tables.
    executor : None, int, str or dask.distributed.Client
        None or 1: this process. A number: so many processes of this machine, started anew
        (``spawn``): a script that asks for several must do so below
        ``if __name__ == "__main__":``. A text: the address of a Dask scheduler. On a cluster
        the same llmdemand must be installed, and paths are those that workers see.
    merge : callable
        Of two results, associative; default is their sum.
    progress : callable, optional
        Told how many shards are merged, after each.

    Raises
    ------
    UsageError
        For no shard at all, an unknown executor, or a function that cannot be sent.
    WorkersLost
        If workers die again and again without a result between, a cluster has none for a
        minute, or its scheduler is gone.

    Examples
    --------
    >>> from llmdemand.scale.merging import map_merge
    >>> map_merge(len, ["a", "bb", "ccc"])
    6
    """
    found: list[R] = []
    for done, result in enumerate(mapped(function, shards, executor), 1):
        found = [merge(found[0], result) if found else result]
        if progress is not None:
            progress(done)
    if not found:
        raise UsageError("there are no shards: expected at least one")
    return found[0]


def mapped(
    function: Callable[[S], R],
    shards: Iterable[S],
    executor: Executor = None,
    *,
    ahead: int = 3,
) -> Generator[R, None, None]:
    """The results of a function of shards, in their order; a few of them are held at a time.

    Parameters
    ----------
    function, shards, executor
        See `map_merge`.
    ahead : int
        Shards for each worker that are begun and whose results are not taken: one in work, one
        before it, one done. More keep workers busy where shards differ much and results are small.

    >>> list(mapped(len, ["a", "bb"]))
    [1, 2]
    """
    left = iter(shards)
    with opened(executor, function) as mapper:
        waiting: deque[Callable[[], R]] = deque()
        while True:
            # A cluster may have lost all workers for the moment: what there is waits for others.
            most = max(ahead * mapper.workers, 1)
            for shard in itertools.islice(left, max(most - len(waiting), 0)):
                waiting.append(mapper.submit(shard))
            if not waiting:
                return
            yield waiting.popleft()()
