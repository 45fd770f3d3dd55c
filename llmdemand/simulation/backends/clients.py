"""Connections of the `openai` client, many at a time."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["MOST_CONNECTIONS", "Clients"]

MOST_CONNECTIONS = 1000
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
    base_url : str or None
        The server; OpenAI itself by default.
    timeout : float
        Seconds.
    """

    def __init__(self, base_url: str | None, timeout: float) -> None:
        self._base_url, self._timeout = base_url, timeout
        self._open: list[_Client] = []
        self._trust: ssl.SSLContext | None = None

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
        import openai

        if self._trust is None:
            self._trust = ssl.create_default_context()
        limits = _http().Limits(max_connections=_PER_CLIENT, max_keepalive_connections=_PER_CLIENT)
        return openai.AsyncOpenAI(
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            base_url=self._base_url,
            timeout=self._timeout,
            # The runner repeats what failed on its way, and counts it.
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(limits=limits, verify=self._trust),
        )

    async def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        clients, self._open = self._open, []
        for client in clients:
            await client.client.close()


def _http() -> Any:
    """The HTTP library under the client; it changed its name between versions."""
    import openai

    base = next(c for c in openai.DefaultAsyncHttpxClient.__mro__ if c.__name__ == "AsyncClient")
    return sys.modules[base.__module__.partition(".")[0]]
