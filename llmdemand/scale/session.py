"""Several functions of the same shards, by workers that stay from one to the next."""

from __future__ import annotations

import itertools
import operator
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from llmdemand.errors import UsageError
from llmdemand.scale.executors import Executor, Mapper, opened
from llmdemand.scale.merging import map_merge

__all__ = ["Session"]

_AHEAD = 64  # shards that are begun and whose results are not taken


class Session:
    """An executor whose workers live as long as the session, and keep what they know.

    Parameters
    ----------
    executor : None, int, str or dask.distributed.Client
        See `map_merge`.

    Examples
    --------
    >>> with Session(None) as session:
    ...     session.map_merge(len, ["a", "bb"]), session.map_merge(max, ["az", "ab"], merge=max)
    (3, 'z')
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self._stack = ExitStack()
        self._mapper: Mapper | None = None

    def __enter__(self) -> Self:
        self._mapper = self._stack.enter_context(opened(self.executor, _done))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._mapper = None
        self._stack.close()

    def map_merge(
        self,
        function: Callable[[Any], Any],
        shards: Iterable[Any],
        *,
        merge: Callable[[Any, Any], Any] = operator.add,
    ) -> Any:
        """`llmdemand.scale.merging.map_merge`, by these workers; by new ones after the end."""
        if self._mapper is None:
            return map_merge(function, shards, self.executor, merge=merge)
        left, waiting = iter(shards), deque[Callable[[], Any]]()
        found: list[Any] = []
        while True:
            for shard in itertools.islice(left, _AHEAD - len(waiting)):
                waiting.append(self._mapper.submit((function, shard)))
            if not waiting:
                break
            result = waiting.popleft()()
            found = [merge(found[0], result) if found else result]
        if not found:
            raise UsageError("there are no shards: expected at least one")
        return found[0]


def _done(asked: tuple[Callable[[Any], Any], Any]) -> Any:
    function, shard = asked
    return function(shard)
