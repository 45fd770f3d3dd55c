"""Many files of responses as pieces of work."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmdemand.belief.files.documents import (
    documents,
    is_lines,
    lines_before,
    lines_between,
    spans,
)
from llmdemand.belief.readers.shapes import line_of
from llmdemand.errors import ResponseError, UsageError

__all__ = ["Piece", "files_named", "pieces_of"]

_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Piece:
    """A file of responses, or some whole lines of it; workers are sent it.

    Attributes
    ----------
    path : str
        As it was given.
    place : str
        The same from the root of the file system, which workers of other folders need.
    start, end : int
        Its bytes.
    size : int
        Bytes of the file.
    """

    path: str
    place: str
    start: int
    end: int
    size: int

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def whole(self) -> bool:
        """Whether it is the whole file."""
        return len(self) == self.size

    def documents(self, *, numbered: bool = False) -> Iterator[tuple[str, bytes]]:
        """Where and what its objects are; `numbered`: lines as those of the file."""
        if not self.whole:
            path = Path(self.place)
            number = lines_before(path, self.start) + 1 if numbered else 1
            yield from lines_between(path, self.start, self.end, number=number)
            return
        where = ""
        try:
            for where, data in documents(Path(self.place)):
                yield where, data
        except ResponseError as error:
            raise ResponseError(f"{error}{where and f', after {where}'}") from None

    def digest(self) -> str:
        """Of its bytes: SHA-256."""
        found, left = hashlib.sha256(), len(self)
        with open(self.place, "rb") as file:
            file.seek(self.start)
            while left and (block := file.read(min(_BLOCK, left))):
                found.update(block)
                left -= len(block)
        return found.hexdigest()


def files_named(names: Sequence[str | Path]) -> list[str]:
    """The files that paths and patterns (``raw/*.jsonl.gz``) name: these in alphabetical order.

    Raises
    ------
    UsageError
        If one names no file, or a file is named twice.
    """
    found: list[str] = []
    for name in map(str, names):
        matched = [name] if Path(name).is_file() else sorted(glob.glob(name, recursive=True))
        matched = [path for path in matched if Path(path).is_file()]
        if not matched:
            raise UsageError(f"no file at {name}: give paths or patterns of files of responses")
        found += matched
    places: dict[Path, str] = {}
    for path in found:
        if (before := places.setdefault(Path(path).resolve(), path)) is not path:
            raise UsageError(f"{path} is {before}, which is named already: name each file once")
    return found


def pieces_of(path: str, size: int) -> list[Piece]:
    """A file as pieces of at least `size` bytes where it can be divided, else as one.

    Files with an object on each line, in UTF-8 and not compressed, can be; streamed answers
    (Ollama) lie on several lines, which belong together.
    """
    place = Path(path).resolve()
    bytes_ = place.stat().st_size
    ends = [(0, bytes_)]
    if bytes_ > size and is_lines(place) and not _streamed(place):
        ends = list(spans(place, size))
    return [Piece(path, str(place), start, end, bytes_) for start, end in ends]


def _streamed(path: Path) -> bool:
    _, first = next(iter(lines_between(path, 0)), ("", b"{}"))
    try:
        return line_of(first).done is False
    except ResponseError:  # its reader says so
        return False
