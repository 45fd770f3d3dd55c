"""Connections of the `openai` client, many at a time."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backends.wire.server import Server

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["MOST_BYTES", "MOST_CONNECTIONS", "Clients"]

MOST_CONNECTIONS = 1000
#: The longest body that is read: far beyond every answer, and far below a machine's memory.
MOST_BYTES = 64 << 20
# A connection pool looks through all of its connections for every request: a few
# small pools take a tenth of the time of a large one.
_PER_CLIENT = 40


@dataclass(slots=True)
class _Client:
    """A client and the number of its calls under way."""

    client: AsyncOpenAI
    busy: int = 0


class Clients:
    """Clients of one server, opened as calls come in, each with a few connections.

    Parameters
    ----------
    server : Server
        Who is asked, and how it is reached.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._open: list[_Client] = []
        self._connection: dict[str, Any] | None = None

    @asynccontextmanager
    async def one(self) -> AsyncIterator[AsyncOpenAI]:
        """A client for one call, the first that has a free connection."""
        client = next((c for c in self._open if c.busy < _PER_CLIENT), None)
        if client is None:
            client = _Client(self._made())
            self._open.append(client)
        client.busy += 1
        try:
            yield client.client
        finally:
            client.busy -= 1

    @property
    def response(self) -> Any:
        """The type that makes the client hand over what the server said, unread."""
        return _http().Response

    def _made(self) -> AsyncOpenAI:
        if self._connection is None:
            self._connection = self._server.connection()
        limits = _http().Limits(max_connections=_PER_CLIENT, max_keepalive_connections=_PER_CLIENT)
        try:
            http_client = _bounded()(limits=limits, **self._connection)
        except (ImportError, ValueError) as error:  # of a proxy that the environment names
            raise UsageError(f"the proxy cannot be used: {error}") from None
        found: AsyncOpenAI = self._server.client(http_client)
        return found

    async def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        clients, self._open = self._open, []
        for client in clients:
            await client.client.close()


@lru_cache(maxsize=1)
def _bounded() -> Any:
    """The client's own HTTP client, which stops reading before memory is gone."""
    import openai

    class Bounded(openai.DefaultAsyncHttpxClient):
        async def send(self, request: Any, *, stream: bool = False, **how: Any) -> Any:
            response = await super().send(request, stream=True, **how)
            parts, size = [], 0
            try:
                async for part in response.aiter_bytes():
                    size += len(part)
                    if size > MOST_BYTES:
                        raise BackendError(
                            f"{request.url.host} sent more than {MOST_BYTES >> 20} MB in place of "
                            "an answer: look at what answers at this address"
                        )
                    parts.append(part)
            finally:
                await response.aclose()
            # What was packed is unpacked.
            kept = [(k, v) for k, v in response.headers.multi_items() if k not in _OF_THE_WAY]
            return _http().Response(
                response.status_code, headers=kept, content=b"".join(parts), request=request
            )

    return Bounded


_OF_THE_WAY = {"content-encoding", "content-length", "transfer-encoding"}


def _http() -> Any:
    """The HTTP library under the client; it changed its name between versions."""
    import openai

    base = next(c for c in openai.DefaultAsyncHttpxClient.__mro__ if c.__name__ == "AsyncClient")
    return sys.modules[base.__module__.partition(".")[0]]
