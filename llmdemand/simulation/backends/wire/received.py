"""An answer of HTTP/1.1, read as its bytes arrive."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PACKED", "BrokenOff", "Received", "Receiver", "TooLong"]

_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?\Z")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\n]*)?\r?\n")
_LONGEST_HEAD = 1 << 17
#: How bodies may be packed: what a server is told, and what is unpacked.
PACKED = "gzip, deflate"


class BrokenOff(ConnectionError):
    """A connection that ended within an answer, or bytes that are none."""


class TooLong(Exception):
    """More bytes than any answer has; the argument says how many that is."""


@dataclass(frozen=True, slots=True)
class Received:
    """An answer as it came.

    Attributes
    ----------
    status : int
        Of HTTP.
    headers : mapping of str to str
        Their names in lower case.
    content : bytes
        The body, unpacked.
    again : bool
        Whether the connection can carry another call.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    again: bool = False


class Receiver:
    r"""Reads one answer; what it does not understand is an error, never a guess.

    Parameters
    ----------
    most : int
        The longest body, packed or not.

    Examples
    --------
    >>> receiver = Receiver(100)
    >>> receiver.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
    >>> receiver.feed(b"\r\n{}").content
    b'{}'
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting, self._body = bytearray(), bytearray()
        self._status, self._headers = 0, dict[str, str]()
        self._persists = False
        # Bytes that are still to come of the body or of a chunk; -1 where that is not known.
        self._left, self._chunked, self._last = -1, False, False

    def feed(self, data: bytes) -> Received | None:
        """The answer if these bytes complete it.

        Raises
        ------
        BrokenOff
            If they are no answer.
        TooLong
            If it is longer than any.
        """
        self._waiting += data
        while not self._status:
            if not self._read_head():
                return None
        if len(self._body) + len(self._waiting) > self._most:
            raise TooLong(self._most)
        if self._chunked:
            return self._whole() if self._read_chunks() else None
        if 0 <= self._left <= len(self._waiting):
            self._body = self._waiting[: self._left]
            del self._waiting[: self._left]
            return self._whole()
        return None

    def end(self) -> Received:
        """The answer if the end of the connection completes it.

        Raises
        ------
        BrokenOff
            If it does not.
        """
        if not self._status or self._chunked or self._left >= 0:
            raise BrokenOff("the connection ended within an answer")
        self._body, self._waiting = self._waiting, bytearray()
        self._persists = False
        return self._whole()

    def _read_head(self) -> bool:
        """Read status and headers if they are there; those that only say to wait are passed."""
        found = _HEAD_ENDS.search(self._waiting)
        if found is None:
            if len(self._waiting) > _LONGEST_HEAD:
                raise BrokenOff("a head without end")
            return False
        first, *lines = bytes(self._waiting[: found.start()]).replace(b"\r\n", b"\n").split(b"\n")
        status = _STATUS.match(first)
        if status is None:
            raise BrokenOff("what begins as no answer of HTTP/1.1")
        del self._waiting[: found.end()]
        if status[2].startswith(b"1"):
            return True
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not name or name != name.strip():
                raise BrokenOff("a header that is none")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self._status, self._headers = int(status[2]), headers
        self._persists = status[1] == b"1" and "close" not in headers.get("connection", "").lower()
        self._frame()
        return True

    def _frame(self) -> None:
        """How long the body is."""
        coding = self._headers.get("transfer-encoding", "").lower()
        lengths = set(self._headers.get("content-length", "").replace(" ", "").split(","))
        if self._status in (204, 304):
            self._left = 0
        elif coding:
            if coding != "chunked":
                raise BrokenOff(f"transfer-encoding {coding[:40]!r}")
            self._chunked = True
            # Where a length is told beside chunks, one of the two is wrong.
            self._persists = self._persists and lengths == {""}
        elif lengths != {""}:
            length = lengths.pop()
            if lengths or not (length.isascii() and length.isdigit()):
                raise BrokenOff("a content-length that is none")
            self._left = int(length)
            if self._left > self._most:
                raise TooLong(self._most)

    def _read_chunks(self) -> bool:
        """Move what is complete of the chunks into the body; whether the last has come."""
        while not self._last:
            found = _CHUNK.match(self._waiting)
            if found is None:
                if len(self._waiting) > 4096 or b"\n" in self._waiting:
                    raise BrokenOff("a chunk without its length")
                return False
            start, size = found.end(), int(found[1], 16)
            if len(self._body) + size > self._most:
                raise TooLong(self._most)
            if size:
                after = bytes(self._waiting[start + size : start + size + 2])
                if not after.startswith(b"\n") and after != b"\r\n":
                    if len(after) == 2:
                        raise BrokenOff("a chunk that goes on beyond its length")
                    return False
                self._body += self._waiting[start : start + size]
                size += 1 if after.startswith(b"\n") else 2
            self._last = not size
            del self._waiting[: start + size]
        return self._read_trailers()

    def _read_trailers(self) -> bool:
        while (end := self._waiting.find(b"\n")) >= 0:
            line = bytes(self._waiting[:end])
            del self._waiting[: end + 1]
            if not line.strip():
                return True
        return False

    def _whole(self) -> Received:
        content = bytes(self._body)
        packed = self._headers.get("content-encoding", "identity").lower()
        if packed in ("gzip", "x-gzip", "deflate"):
            content = _unpacked(content, self._most, deflated=packed == "deflate")
        elif packed != "identity":
            raise BrokenOff(f"content-encoding {packed[:40]!r}, which was not asked for")
        # What follows an answer that nobody asked for belongs to none.
        again = self._persists and not self._waiting
        return Received(self._status, self._headers, content, again)


def _unpacked(content: bytes, most: int, *, deflated: bool) -> bytes:
    found = b""
    try:
        while content:
            # What is called deflate begins as zlib does, or with nothing.
            form = (zlib.MAX_WBITS if content[0] & 15 == 8 else -15) if deflated else 31
            unpacker = zlib.decompressobj(form)
            found += unpacker.decompress(content, most + 1 - len(found))
            if len(found) > most:
                raise TooLong(most)
            if not unpacker.eof:
                raise BrokenOff("a packed body without its end")
            content = unpacker.unused_data
    except zlib.error as error:
        raise BrokenOff(f"a body that cannot be unpacked ({error})") from None
    return found
