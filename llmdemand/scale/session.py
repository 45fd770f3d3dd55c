"""Several functions of the same shards, by workers that stay from one to the next."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from llmdemand.scale.cluster import connected
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import map_merge
from llmdemand.scale.processes import Crew

__all__ = ["Session"]


class Session:
    """An executor whose workers live as long as the session, and keep what they know.

    It stands wherever an executor does, also that of another session, whose workers it then
    borrows. After its end it is what it was made of.

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
        self._own: Any = None

    @property
    def at_work(self) -> Executor:
        """Who does the work for the moment: processes or a client that stay, while it is open."""
        found = self.executor if self._own is None else self._own
        return getattr(found, "at_work", found)

    def __enter__(self) -> Self:
        given = self.at_work
        if isinstance(given, int) and not isinstance(given, bool) and given > 1:
            self._own = Crew(given)
        elif isinstance(given, str) or _cluster(given):
            self._own = connected(given)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        own, self._own = self._own, None
        if isinstance(own, Crew):
            own.close(now=kind is not None)
        elif own is not None:
            own.close()

    def map_merge(
        self,
        function: Callable[[Any], Any],
        shards: Iterable[Any],
        *,
        merge: Callable[[Any, Any], Any] = operator.add,
    ) -> Any:
        """`llmdemand.scale.merging.map_merge`, by these workers; by new ones after the end."""
        return map_merge(function, shards, self, merge=merge)


def _cluster(given: Any) -> bool:
    """Whether this is a Dask cluster, not a client of one."""
    return hasattr(given, "scheduler_address") and not hasattr(given, "submit")
