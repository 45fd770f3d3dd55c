"""Connections to one address, kept for the calls that follow."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from typing import Any

from llmdemand.simulation.backends.wire.received import BrokenOff, Received, Receiver, TooLong

__all__ = ["Connections", "NotConnected"]

# The server under vLLM drops what has been idle for 5 s: it would be gone while it is asked.
_IDLE = 4.0
# Seconds of silence after which a sign of life is sent; translated addresses are forgotten
# from 60 s on.
_SILENT = 45
# Of one address in several families, the next is tried after this.
_NEXT_ADDRESS = 0.25


class NotConnected(Exception):
    """No connection came about, so that nothing was asked; its cause says why."""


class Connections:
    """As many connections as calls are under way, and those that wait for the next.

    Parameters
    ----------
    host, port
        The address.
    tls : SSLContext or None
        What certificates are trusted; None where nothing is encrypted.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()

    async def exchange(self, data: bytes, most: int) -> Received:
        """Send one request and read its answer, of no more than `most` bytes.

        Raises
        ------
        NotConnected
            If nothing was sent.
        BrokenOff, OSError
            If the connection ended before the answer did.
        TooLong
            If the answer is.
        """
        connection = self._waiting() or await self._opened()
        received = await connection.exchange(data, most)
        if received.again and not connection.ended:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.end()
        return received

    def _waiting(self) -> _Connection | None:
        """The connection that was used last, if it is still good."""
        oldest, loop = time.monotonic() - _IDLE, asyncio.get_running_loop()
        while self._idle:
            found = self._idle.pop()
            if found.idle_since > oldest and not found.ended and found.loop is loop:
                return found
            found.end()
        return None

    async def _opened(self) -> _Connection:
        loop = asyncio.get_running_loop()
        # Other loops have no such option.
        both = (
            {"happy_eyeballs_delay": _NEXT_ADDRESS}
            if isinstance(loop, asyncio.BaseEventLoop)
            else {}
        )
        options: dict[str, Any] = {"ssl": self._tls, **both}
        try:
            _, made = await loop.create_connection(
                lambda: _Connection(loop, self._all), self._host, self._port, **options
            )
        except (OSError, ssl.SSLError, UnicodeError) as error:
            raise NotConnected from error
        return made

    async def close(self) -> None:
        """Close all connections; calls that are under way end with an error."""
        self._idle.clear()
        for connection in list(self._all):
            connection.end()
        await asyncio.sleep(0)  # they take leave of the loop


class _Connection(asyncio.Protocol):
    """One connection, which carries one call at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, among: set[_Connection]) -> None:
        self.loop, self._among = loop, among
        self.ended, self.idle_since = False, 0.0
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._answer: asyncio.Future[Received] | None = None

    async def exchange(self, data: bytes, most: int) -> Received:
        assert self._transport is not None
        self._receiver, self._answer = Receiver(most), self.loop.create_future()
        self._transport.write(data)
        try:
            return await self._answer
        except BaseException:  # whatever comes now would be taken for the next answer
            self.end()
            raise
        finally:
            self._receiver = self._answer = None

    def end(self) -> None:
        """Close at once."""
        self.ended = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._among.add(self)
        # What forgets silent connections on the way would leave us waiting for an answer.
        own: socket.socket | None = transport.get_extra_info("socket")
        if own is not None:
            with contextlib.suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option in {"TCP_KEEPIDLE", "TCP_KEEPALIVE"} & set(dir(socket)):  # by system
                    own.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), _SILENT)

    def data_received(self, data: bytes) -> None:
        if self._receiver is None or self._answer is None or self._answer.done():
            self.end()  # nobody asked
            return
        try:
            received = self._receiver.feed(data)
        except (BrokenOff, TooLong) as error:
            self._answer.set_exception(error)
            return
        if received is not None:
            self._answer.set_result(received)

    def eof_received(self) -> None:
        self.ended = True
        if self._receiver is not None and self._answer is not None and not self._answer.done():
            try:
                self._answer.set_result(self._receiver.end())
            except (BrokenOff, TooLong) as error:
                self._answer.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._among.discard(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or BrokenOff("the connection was closed"))
