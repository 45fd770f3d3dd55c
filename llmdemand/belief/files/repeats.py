"""Answers that a file holds again and again, word for word and number for number."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from llmdemand.belief.readers.shapes import Line
from llmdemand.belief.tokens import Response

__all__ = ["Repeats"]

# So many lines say whether it pays; and bytes that are held.
_TRIED, _WORTH = 128, 0.25
_MOST = 4 << 20


class _Wrapped(Line):
    raw: Raw | UnsetType = UNSET  # type: ignore[assignment]  # unread


_DECODER = msgspec.json.Decoder(_Wrapped)


class Repeats:
    """Finds answers that were read before by their bytes; nothing is read of them again.

    A model that computes the same numbers for the same beginning gives few answers to a prompt,
    each many times. Where they do not repeat, which the first lines show, nothing is kept.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Response] = {}
        self._lines = self._found = self._bytes = 0
        self._raw = b""
        self.on = True

    def line(self, data: bytes) -> tuple[Line, Response] | None:
        """A line around an answer that is known, and that; None where it has to be read."""
        self._raw, self._lines, found = b"", self._lines + 1, None
        try:
            line = _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if line.raw is not UNSET and line.done is line.samples is line.data is UNSET:
            self._raw = bytes(line.raw)
            found = self._known.get(self._raw)
        self._found += found is not None
        if line.raw is UNSET or (self._lines == _TRIED and self._found < _WORTH * _TRIED):
            self.on, self._raw = False, b""
            self._known.clear()
        return None if found is None else (line, found)

    def keep(self, response: Response) -> None:
        """What the line that `line` did not know was read as."""
        if self._raw and self._bytes < _MOST:
            self._known[self._raw] = response
            self._bytes += len(self._raw)
