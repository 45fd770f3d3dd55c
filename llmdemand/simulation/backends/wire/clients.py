"""Calls of one server: the `openai` client writes the first of a kind, connections carry all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from llmdemand.errors import UsageError
from llmdemand.simulation.backends.wire.connections import Connections
from llmdemand.simulation.backends.wire.proxied import Proxied, http_library, proxy_for
from llmdemand.simulation.backends.wire.received import PACKED, Received
from llmdemand.simulation.backends.wire.server import Server

__all__ = ["MOST_BYTES", "MOST_CONNECTIONS", "Clients", "Form"]

MOST_CONNECTIONS = 1000
#: The longest body that is read: far beyond every answer, and far below a machine's memory.
MOST_BYTES = 64 << 20
_OF_EACH_CALL = {b"content-length", b"transfer-encoding", b"accept-encoding", b"connection"}


@dataclass(frozen=True, slots=True)
class Form:
    """What calls of one interface share.

    Attributes
    ----------
    address : str
        Where they go.
    headers : list of (bytes, bytes)
        But for those that depend on the body.
    head : bytes
        The beginning of each, up to the body's length.
    """

    address: str
    headers: list[tuple[bytes, bytes]]
    head: bytes

    @classmethod
    def of(cls, request: Any) -> Self:
        """What a request has that is not its body's."""
        headers = [(k, v) for k, v in request.headers.raw if k.lower() not in _OF_EACH_CALL]
        headers.append((b"Accept-Encoding", PACKED.encode()))
        for name, value in headers:
            if set(name + value) & {0, 10, 13}:
                raise UsageError(
                    f"the header {name[:40]!r} holds a line break, so it cannot be sent: look at "
                    "OPENAI_CUSTOM_HEADERS and the variables that hold headers"
                )
        lines = [b"POST %s HTTP/1.1" % request.url.raw_path, *(b"%s: %s" % h for h in headers)]
        return cls(str(request.url), headers, b"\r\n".join([*lines, b"Content-Length: "]))


class Clients:
    """Makes calls of one server.

    The `openai` client knows what a server of its protocol wants to be told (keys, versions,
    deployments, organisations). It writes the first call of each interface to nobody; its
    address and headers are then those of all, whose bodies alone differ.

    Parameters
    ----------
    server : Server
        Who is asked, and how it is reached.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._forms: dict[str, Form] = {}
        self._way: Connections | Proxied | None = None

    async def form(self, path: str, model: str) -> Form:
        """What calls of an interface share, written when the first is made.

        Parameters
        ----------
        path : str
            Of the interface under the base URL, or a whole address.
        model : str
            Who is asked; for some servers it is part of the address.
        """
        found = self._forms.get(path)
        if found is None:
            found = self._forms[path] = await self._written(path, model)
        if self._way is None:
            self._way = self._way_to(found.address)
        return found

    async def post(self, form: Form, content: bytes) -> Received:
        """The answer to one call, whatever its status.

        Raises
        ------
        NotConnected, BrokenOff, OSError, TooLong
            See `Connections.exchange`.
        """
        if self._way is None:  # closed meanwhile
            self._way = self._way_to(form.address)
        if isinstance(self._way, Proxied):
            return await self._way.exchange(form.address, form.headers, content, MOST_BYTES)
        data = b"%s%d\r\n\r\n%s" % (form.head, len(content), content)
        return await self._way.exchange(data, MOST_BYTES)

    async def _written(self, path: str, model: str) -> Form:
        """A call as the `openai` client writes it."""
        import openai

        kept: list[Any] = []

        class Writer(openai.DefaultAsyncHttpxClient):
            async def send(self, request: Any, **_: Any) -> Any:
                kept.append(request)
                return http_library().Response(200, json={}, request=request)

        client = self._server.client(Writer(trust_env=False, verify=False))
        try:
            await client.post(path, body={"model": model}, cast_to=http_library().Response)
        finally:
            await client.close()
        return Form.of(kept[0])

    def _way_to(self, address: str) -> Connections | Proxied:
        parts, options = urlsplit(address), self._server.connection()
        host = parts.hostname or ""
        if "proxy" in options or proxy_for(host):
            return Proxied(options)
        secure = parts.scheme == "https"
        if secure:
            options["verify"].set_alpn_protocols(["http/1.1"])
        port = parts.port or (443 if secure else 80)
        return Connections(host, port, options["verify"] if secure else None)

    async def close(self) -> None:
        """Close all connections; the next call opens new ones, with the key of then."""
        self._forms.clear()
        way, self._way = self._way, None
        if way is not None:
            await way.close()
