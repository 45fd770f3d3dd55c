"""Files of responses as people have them: compressed, in any Unicode, one per line or not."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from llmdemand.belief.files.events import is_event, server_sent
from llmdemand.belief.readers.shapes import as_json
from llmdemand.errors import ResponseError

__all__ = ["documents", "is_lines", "lines_before", "lines_between", "spans"]

_ARCHIVE, _GZIP, _ZSTANDARD = b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Lines of responses are longer than what is read of a file at a time by default.
_BUFFER = 2**20
_MARKED = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def documents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Where, and the bytes of JSON, of every object in a file; memory holds one at a time.

    Objects stand one per line, or in an array, or over several lines; server-sent
    events are put together; gzip, Zstandard and the archives of inspect_ai are opened.
    An array and objects over several lines are read at once.

    Raises
    ------
    ResponseError
        If the file is missing, empty, a response store, or damaged.
    """
    if not path.is_file():
        raise ResponseError(f"no file at {path}: give the path of a JSONL file of responses")
    with _reading(path) as file:
        head = file.read(16)
        file.seek(0)
        if head == b"SQLite format 3\x00":
            raise ResponseError(
                f"{path} is a response store: read it with stored_answers, or `llmdemand extract`"
            )
        if head.startswith(_ARCHIVE):
            yield from _archived(file)
            return
        yield from _objects(path, _plain(_opened(file, head)))


def is_lines(path: Path) -> bool:
    """Whether `documents` are the lines of a file as they are, so that it can be divided."""
    if not path.is_file():
        return False
    with _reading(path) as file:
        head = file.peek(16)
        if head.startswith((b"SQLite", _ARCHIVE, _GZIP, _ZSTANDARD)) or _encoding(head):
            return False
        return _is_line(next((line for line in file if line.strip()), b""))


def spans(path: Path, size: int) -> Iterator[tuple[int, int]]:
    """Where parts of a file of lines begin and end, each of at least `size` bytes but the last."""
    # Here little more than the ends of lines is read: in small pieces.
    with _reading(path, io.DEFAULT_BUFFER_SIZE) as file:
        start = 0
        while True:
            file.seek(start + size - 1)
            file.readline()
            end = min(file.tell(), path.stat().st_size)
            if end <= start:
                return
            yield start, end
            start = end


def lines_between(
    path: Path, start: int, end: int | None = None, *, number: int = 1
) -> Iterator[tuple[str, bytes]]:
    """The `documents` of a part of a file of lines, the first of which has this number."""
    with _reading(path) as file:
        file.seek(start)
        for place, line in enumerate(file, number):
            if line.strip():
                yield f"line {place}", line
            start += len(line)
            if start == end:
                return


def lines_before(path: Path, end: int) -> int:
    """How many lines end before a place in a file."""
    count = 0
    with _reading(path) as file:
        while end > 0 and (block := file.read(min(end, _BUFFER))):
            count, end = count + block.count(b"\n"), end - len(block)
    return count


@contextmanager
def _reading(path: Path, buffer: int = _BUFFER) -> Iterator[io.BufferedReader[io.FileIO]]:
    """The open file; what is wrong with it is an error of one sentence."""
    try:
        with io.BufferedReader(path.open("rb", buffering=0), buffer) as file:
            yield file
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, UnicodeError) as error:
        raise ResponseError(f"{path} cannot be read: {error}") from None


def _opened(file: IO[bytes], head: bytes) -> Any:
    """The file, decompressed if need be."""
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)
    return io.BufferedReader(_Zstandard(file), _BUFFER) if head.startswith(_ZSTANDARD) else file


class _Zstandard(io.RawIOBase):
    """Frames of Zstandard, unpacked; the library's own reader ends where a cut file does."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._frame = file, None
        self._packed, self._plain = b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            packed = self._packed or self._file.read(_BUFFER)
            if not packed and self._frame is not None:
                raise EOFError("it ends within a frame of Zstandard")
            if not packed:
                return 0
            self._unpack(packed)
        size = min(len(buffer), len(self._plain))
        buffer[:size], self._plain = self._plain[:size], self._plain[size:]
        return size

    def _unpack(self, packed: bytes) -> None:
        import zstandard

        try:
            frame: Any = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._plain = memoryview(frame.decompress(packed))
        except zstandard.ZstdError as error:
            raise OSError(str(error)) from None
        self._packed = frame.unused_data if frame.eof else b""
        self._frame = None if frame.eof else frame


def _plain(file: Any) -> Iterator[bytes]:
    """Lines in UTF-8, whatever they were in."""
    buffered = file if hasattr(file, "peek") else io.BufferedReader(file)
    encoding = _encoding(buffered.peek(4))
    if encoding is None:
        yield from buffered
        return
    text = io.TextIOWrapper(buffered, encoding, errors="replace", newline="\n")
    try:
        for line in text:
            yield line.encode("utf-8", "replace")
    finally:
        text.detach()


def _encoding(head: bytes) -> str | None:
    """How a file is written if it is not UTF-8 without a mark."""
    found = next((e for mark, e in _MARKED if head.startswith(mark)), None)
    wide = len(head) >= 4 and head[0] and not head[1] and head[2] and not head[3]
    return "utf-16-le" if wide else found


def _objects(path: Path, lines: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    numbered = enumerate(lines, 1)
    number, first = next(((n, line) for n, line in numbered if line.strip()), (0, b""))
    if not number:
        raise ResponseError(f"{path} is empty: expected one response per line")
    if is_event(first):
        for place, made in enumerate(server_sent(itertools.chain([first], lines)), 1):
            yield f"event {place}", made
        return
    if not _is_line(first):
        # No object on a line of its own: an array, or written over several lines.
        rest = b"".join(lines)
        found = _several(first + rest)
        if found is None:
            yield f"line {number}", first
            for later, line in enumerate(rest.splitlines(), number + 1):
                if line.strip():
                    yield f"line {later}", line
        else:
            yield from found
        return
    yield f"line {number}", first
    for later, line in enumerate(lines, number + 1):
        if line.strip():
            yield f"line {later}", line


def _is_line(first: bytes) -> bool:
    """Whether a file that begins with this line has an object on each; others read them."""
    if not first or is_event(first) or first.lstrip()[:1] == b"[":
        return False
    return first.rstrip().endswith(b"}") or first.lstrip()[:1] != b"{"


def _several(data: bytes) -> list[tuple[str, bytes]] | None:
    """The objects of an array, or of a text that holds one after another."""
    text, place, found = data.decode("utf-8", "replace").strip(), 0, []
    decoder = json.JSONDecoder()
    try:
        while place < len(text):
            value, place = decoder.raw_decode(text, place)
            found.append(value)
            while place < len(text) and text[place] in " \t\r\n,":
                place += 1
    except (ValueError, RecursionError):
        return None
    if len(found) == 1 and isinstance(found[0], list):
        return [(f"element {k}", as_json(value)) for k, value in enumerate(found[0], 1)]
    return [(f"object {k}", as_json(value)) for k, value in enumerate(found, 1)]


def _archived(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """The samples of an archive of inspect_ai."""
    with zipfile.ZipFile(file) as archive:
        names = [n for n in archive.namelist() if n.startswith("samples/") and n.endswith(".json")]
        if not names:
            raise ResponseError("this archive holds no samples/*.json: expected one of inspect_ai")
        for name in names:
            try:
                sample = archive.read(name)
            except RuntimeError as error:  # of what is encrypted, or packed in an unknown way
                raise ResponseError(
                    f"{name} cannot be opened ({error}): write the log as JSON, with `inspect log "
                    "convert --to json`"
                ) from None
            yield name, b'{"samples":[' + sample + b"]}"
