"""Calls through a proxy, by the HTTP library under the `openai` client."""

from __future__ import annotations

import sys
import urllib.request
from dataclasses import dataclass
from typing import Any

from llmdemand.errors import UsageError
from llmdemand.simulation.backends.wire.connections import NotConnected
from llmdemand.simulation.backends.wire.received import BrokenOff, Received, TooLong

__all__ = ["Proxied", "http_library", "proxy_for"]

# A connection pool looks through all of its connections for every request: a few
# small pools take a tenth of the time of a large one.
_PER_CLIENT = 40


def proxy_for(host: str) -> bool:
    """Whether the environment may name a proxy on the way to a host."""
    return bool(urllib.request.getproxies()) and not urllib.request.proxy_bypass(host)


def http_library() -> Any:
    """The HTTP library under the client; it changed its name between versions."""
    import openai

    base = next(c for c in openai.DefaultAsyncHttpxClient.__mro__ if c.__name__ == "AsyncClient")
    return sys.modules[base.__module__.partition(".")[0]]


@dataclass(slots=True)
class _Client:
    """A client and the number of its calls under way."""

    client: Any
    busy: int = 0


class Proxied:
    """Clients of one server, opened as calls come in, each with a few connections.

    Parameters
    ----------
    options : dict
        Of the clients: certificates, proxy.

    Raises
    ------
    UsageError
        If there is no way through the proxy that is named.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        limits = {"max_connections": _PER_CLIENT, "max_keepalive_connections": _PER_CLIENT}
        self._options = {**options, "limits": http_library().Limits(**limits), "timeout": None}
        self._open = [self._made()]

    def _made(self) -> _Client:
        try:
            return _Client(http_library().AsyncClient(**self._options))
        except (ImportError, ValueError) as error:  # of a proxy that the environment names
            raise UsageError(f"the proxy cannot be used: {error}") from None

    async def exchange(
        self, address: str, headers: list[tuple[bytes, bytes]], content: bytes, most: int
    ) -> Received:
        """As of `Connections`, which see: one request and its answer."""
        found = next((c for c in self._open if c.busy < _PER_CLIENT), None)
        if found is None:
            found = self._made()
            self._open.append(found)
        found.busy += 1
        http = http_library()
        try:
            request = http.Request("POST", address, headers=headers, content=content)
            response = await found.client.send(request, stream=True)
            try:
                parts, size = [], 0
                async for part in response.aiter_bytes():
                    size += len(part)
                    if size > most:
                        raise TooLong(most)
                    parts.append(part)
            finally:
                await response.aclose()
            return Received(response.status_code, response.headers, b"".join(parts))
        except (http.ConnectError, http.ProxyError) as error:
            raise NotConnected from error
        except (http.TransportError, http.DecodingError) as error:
            raise BrokenOff(type(error).__name__) from error
        finally:
            found.busy -= 1

    async def close(self) -> None:
        """Close all connections."""
        clients, self._open = self._open, []
        for each in clients:
            await each.client.aclose()
