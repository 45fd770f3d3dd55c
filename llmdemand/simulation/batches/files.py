"""Numbered files of requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmdemand.core.written import opened

__all__ = ["MOST_BYTES", "MOST_REQUESTS", "RequestFiles"]

#: OpenAI takes 50,000 requests and 200 MB a file.
MOST_REQUESTS, MOST_BYTES = 50_000, 190_000_000


class RequestFiles:
    """Files that begin anew when one is full.

    Parameters
    ----------
    folder : Path
        Where they are; those that are there are not overwritten.
    most : int
        Most requests in each.
    most_bytes : int, optional
        Most bytes in each.
    """

    def __init__(self, folder: Path, most: int, most_bytes: int | None = None) -> None:
        self._folder, self._most, self._most_bytes = folder, most, most_bytes
        self.files: list[Path] = []
        self.requests = 0
        self._open: Any = None
        self._lines = self._bytes = 0
        # Shards of an earlier writing may be under way somewhere: they are not overwritten.
        used = [int(p.stem.rpartition("-")[2]) for p in folder.glob("requests-*.jsonl")]
        self._number = max(used, default=0)

    def add(self, line: str) -> None:
        """One more request."""
        size = len(line.encode())
        full = self._most_bytes is not None and self._bytes + size > self._most_bytes
        if self._open is None or self._lines == self._most or full:
            self.next()
            self._number += 1
            self.files.append(self._folder / f"requests-{self._number:03d}.jsonl")
            self._open = opened(self.files[-1])
        self._open.write(line)
        self._lines, self._bytes = self._lines + 1, self._bytes + size
        self.requests += 1

    def next(self) -> None:
        """End the file that is open; the next request begins another."""
        if self._open is not None:
            self._open.close()
            self._open, self._lines, self._bytes = None, 0, 0
