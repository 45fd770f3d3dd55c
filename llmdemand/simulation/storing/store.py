"""Raw responses on disk: one SQLite file, compressed, safe as soon as `put` returns."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmdemand.core.written import opened
from llmdemand.errors import StoreError
from llmdemand.simulation.backend import Backend
from llmdemand.simulation.storing.claims import Claims
from llmdemand.simulation.storing.lines import export_lines, import_lines
from llmdemand.simulation.storing.records import MARK, Source, Stored
from llmdemand.simulation.storing.rows import Rows
from llmdemand.simulation.storing.tables import COLUMNS, held, known, prepare

__all__ = ["Store", "is_store", "unused"]

_MAGIC = b"SQLite format 3\x00"
# How long another process may hold the file before that is an error, in seconds.
_BUSY = 30.0
# What `put_soon` may hold back: answers, and seconds.
_MOST_HELD, _LONGEST_HELD = 256, 0.05


class Store(Rows):
    """Responses in one SQLite file that several processes may share.

    Every `put` is a transaction of its own in a write-ahead log: a process that is killed after
    it returned has kept the answer. `put_soon` is for answers that cost nothing: they share a
    transaction, and a killed process loses those of its last 0.05 seconds of answers, 256 at
    most. The disk is synchronised about once a second, so that a loss of power costs at most
    that second.

    Responses are compressed by Zstandard, without loss. Of each source a dictionary is trained
    on the first 128 answers that one process stores, and kept in the file; they are compressed
    again with it. What earlier versions stored is read as it is; `llmdemand merge OLD.sqlite
    --out NEW.sqlite` makes the form of today of it.

    Parameters
    ----------
    path : path
        The file; made with its folder where it does not exist, readable for its owner
        alone (a file that is there keeps its mode). ``":memory:"`` keeps
        responses for this process alone.
    shared : bool
        Whether other processes may use it at the same time. A file that is not shared goes with
        its process: nothing in it is compressed.

    Raises
    ------
    StoreError
        If the file is no response store, or one of a later version.

    Examples
    --------
    >>> with Store(":memory:") as store:
    ...     len(store)
    0
    """

    def __init__(self, path: str | Path, *, shared: bool = True) -> None:
        self._claims: Claims | None = None
        self._memory, self._shared = str(path) == ":memory:", shared
        if not self._memory:
            _check(Path(path))
        self.path = Path(path)
        with self._speaking():
            db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
            try:
                prepare(db, self.path, _BUSY)
                super().__init__(db, self.path, compress=shared and not self._memory)
            except BaseException:
                db.close()
                raise
        self._held_since = 0.0

    def __len__(self) -> int:
        with self._speaking():
            found = self._db.execute(
                "SELECT (SELECT count(*) FROM answers) + (SELECT count(*) FROM responses)"
            ).fetchone()
        return int(found[0]) + len(self._held)

    def get(self, key: str, top_logprobs: int) -> Mapping[str, Any] | None:
        """The response stored under a key with at least that many candidates, or None.

        Raises
        ------
        StoreError
            If it is there and damaged.
        """
        found = self._nearest(key, top_logprobs)
        if found is None:
            return None
        if (waiting := self._held.get((key, found[0]))) is not None:
            return waiting[1].raw
        return self._raw(key, *found)

    def has(self, key: str, top_logprobs: int) -> bool:
        """Whether `get` would find a response."""
        return self._nearest(key, top_logprobs) is not None

    def put(self, source: Source, stored: Stored) -> bool:
        """Store one response; False if there was one already, which is then kept.

        Raises
        ------
        StoreError
            If the disk is full or the file locked for too long.
        """
        return bool(self.put_all([(source, stored)]))

    def put_all(self, answers: Iterable[tuple[Source, Stored]]) -> int:
        """Store several in one transaction: all of them, or after an error none.

        Returns
        -------
        int
            Those that were not there already.
        """
        with self._speaking():
            self.flush()
            new = self._put_all(answers)
            self._sync()
        return new

    def put_soon(self, source: Source, stored: Stored) -> None:
        """Store one response with others, 0.05 seconds later at most if more of them follow.

        It is found at once by this process. `flush` and `close` store what is held back.
        """
        if not self._held:
            self._held_since = time.monotonic()
        self._held.setdefault((stored.key, stored.top_logprobs), (source, stored))
        late = time.monotonic() - self._held_since > _LONGEST_HELD
        if late or len(self._held) >= _MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Store what `put_soon` holds back; after an error it is still held."""
        if self._held:
            with self._speaking():
                self._put_all(self._held.values())
                self._sync()
            self._held.clear()

    @property
    def held(self) -> list[Stored]:
        """What `put_soon` holds back."""
        return [stored for _, stored in self._held.values()]

    def forget(self) -> None:
        """Hold nothing back: it has been saved elsewhere."""
        self._held.clear()

    @property
    def passing(self) -> bool:
        """Whether it goes with its process, so that nobody will look into it."""
        return not self._shared

    def claim(self, key: str) -> bool:
        """Take a key for this process, so that no other asks the same; False if taken.

        The claim ends with `release`, or with the process however it ends.
        """
        if self._memory or not self._shared:
            return True
        if self._claims is None:
            self._claims = Claims(self.path)
        return self._claims.take(key)

    def release(self, key: str) -> None:
        """Give a claimed key back."""
        if self._claims is not None:
            self._claims.give(key)

    def responses(self, source: Source, study: str) -> Iterator[Stored]:
        """What a study got from a source, in the order of arrival.

        Raises
        ------
        StoreError
            At one that is damaged.
        """
        self.flush()
        with self._speaking():
            rows = self._db.execute(
                f"SELECT place, {COLUMNS} FROM answered WHERE source = ? AND study = ? "
                "ORDER BY created, run_id",
                (self._source_id(source), study),
            )
            for place, *row in rows:
                yield self._stored(place, row)

    def entries(self) -> Iterator[tuple[Source, Stored]]:
        """Every response, by source, study, run and key.

        Raises
        ------
        StoreError
            At one that is damaged.
        """
        self.flush()
        sources = {self._source_id(source): source for source in self.sources()}
        with self._speaking():
            rows = self._db.execute(
                f"SELECT source, place, {COLUMNS} FROM answered ORDER BY source, study, run_id, key"
            )
            for source, place, *row in rows:
                yield sources[source], self._stored(place, row)

    def names(self) -> Iterator[tuple[str, int, str]]:
        """Key, candidates per position and run of every response."""
        self.flush()
        with self._speaking():
            rows = self._db.execute("SELECT key, top_logprobs, run_id FROM answered")
            for key, top, run_id in rows:
                yield known(key), top, run_id

    def has_exactly(self, key: str, top_logprobs: int) -> bool:
        """Whether there is a response of just that many candidates."""
        found = self._nearest(key, top_logprobs)
        return found is not None and found[0] == top_logprobs

    def dictionaries(self) -> dict[int, bytes]:
        """Dictionaries that its answers are compressed with, by number."""
        with self._speaking():
            return dict(self._db.execute("SELECT id, dictionary FROM dictionaries").fetchall())

    @property
    def earlier(self) -> bool:
        """Whether it holds answers in the form of an earlier version."""
        return self._old

    def damaged(self) -> Iterator[tuple[Source, str, str, str]]:
        """Reads every response; source, key, run and trouble of those that cannot be read."""
        self.flush()
        sources = {self._source_id(source): source for source in self.sources()}
        with self._speaking():
            rows = self._db.execute("SELECT source, key, top_logprobs, run_id, place FROM answered")
            for source, key, top, run_id, place in rows:
                try:
                    self._raw(known(key), top, place)
                except StoreError as error:
                    yield sources[source], known(key), run_id, str(error)

    def drop(self, key: str) -> None:
        """Take an answer out, of whatever length: the next run asks for it again."""
        with self._speaking(), self._together():
            self._db.execute(
                "DELETE FROM raws WHERE place IN (SELECT place FROM answers WHERE key = ?)",
                (held(key),),
            )
            self._db.execute("DELETE FROM answers WHERE key = ?", (held(key),))
            self._db.execute("DELETE FROM responses WHERE key = ?", (key,))

    def sizes(self, sample: int = 500) -> dict[str, float]:
        """Answers, their bytes as JSON (from a sample of the readable ones), bytes of the file.

        Besides, ``ratio`` of the two, ``sampled``, the answers that were looked at, and
        ``trimmed``, those among them that say that candidates were left out.
        """
        self.flush()
        count, lengths, trimmed = len(self), [], 0
        step = max(1, count // sample)
        with self._speaking():
            select = "SELECT key, top_logprobs, place FROM answered"
            for number, (key, top, place) in enumerate(self._db.execute(select)):
                if number % step == 0:
                    with contextlib.suppress(StoreError):
                        raw = self._raw(known(key), top, place)
                        lengths.append(len(json.dumps(raw, separators=(",", ":"))))
                        trimmed += MARK in raw
            (pages,) = self._db.execute("PRAGMA page_count").fetchone()
            (page,) = self._db.execute("PRAGMA page_size").fetchone()
        whole = count * sum(lengths) / len(lengths) if lengths else 0.0
        stored = pages * page
        found = {"answers": count, "raw": whole, "stored": stored}
        return {**found, "ratio": whole / stored, "sampled": len(lengths), "trimmed": trimmed}

    def export(self) -> Iterator[dict[str, Any]]:
        """Every response as plain data for one JSON line, in the order of their keys.

        The first to each study holds that too, as ``asked``: what a run asked is read from it.
        """
        return export_lines(self.entries(), self.study)

    def import_lines(self, path: str | Path) -> tuple[int, int]:
        """Bring in what `export` wrote; responses that are there already are kept.

        Returns
        -------
        (int, int)
            Lines that were new, and lines that were there already.

        Raises
        ------
        ResponseError
            If a line is not an exported response; lines before it are in.
        """
        return import_lines(Path(path), self.put_all, self.put_study)

    def close(self) -> None:
        """Store what is held back, synchronise with the disk and close."""
        try:
            self.flush()
        finally:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._db.close()
            if self._claims is not None:
                self._claims.close()
                self._claims = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def unused(path: str | Path, backend: Backend) -> int:
    """Responses of a backend's model that a store holds under other settings."""
    if not is_store(path):
        return 0
    own = Source.of(backend)
    with Store(path) as store:
        return sum(
            number
            for source, number in store.sources().items()
            if (source.backend, source.model) == (own.backend, own.model) and source != own
        )


def is_store(path: str | Path) -> bool:
    """Whether a file is an SQLite file, as response stores are."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _check(path: Path) -> None:
    """Refuse what cannot be a store; make the file for its owner alone."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder: give the path of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"response store {path}: its folder cannot be made "
            f"({error.strerror}): give another path"
        ) from None
    if path.exists() and path.stat().st_size and not is_store(path):
        raise StoreError(
            f"{path} is no response store (an SQLite file): give another path, or "
            "bring its lines in with `llmdemand store import`"
        )
    # SQLite gives its log and its journal the mode of the file.
    with contextlib.suppress(OSError):
        opened(path, "a").close()
