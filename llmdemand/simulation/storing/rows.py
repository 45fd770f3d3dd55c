"""Responses as rows of tables: written, found, and compressed by dictionaries that they train."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmdemand.errors import StoreError
from llmdemand.simulation.storing.catalog import Catalog
from llmdemand.simulation.storing.compression import SAMPLES, Compression, dictionary_id, trained
from llmdemand.simulation.storing.packing import packed
from llmdemand.simulation.storing.records import Source, Stored
from llmdemand.simulation.storing.tables import held, known

__all__ = ["Rows"]


class Rows(Catalog):
    """How `Store` reads and writes; of what it holds back, that it is there.

    Parameters
    ----------
    db, path
        As of `Catalog`.
    compress : bool
        Whether to compress, and to train dictionaries.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, *, compress: bool) -> None:
        super().__init__(db, path)
        self._old = bool(db.execute("SELECT 1 FROM responses LIMIT 1").fetchone())
        self._compress = compress
        self._compression = Compression(self._dictionary, compress=compress)
        self._dictionaries: dict[int, bytes | None] = {}
        self._samples: dict[int, list[tuple[int, bytes]]] = {}
        self._held: dict[tuple[str, int], tuple[Source, Stored]] = {}
        self._synced = time.monotonic()

    def _nearest(self, key: str, top_logprobs: int) -> tuple[int, int | None] | None:
        """Of the shortest list that is long enough: its length, and where the response is."""
        where = "WHERE key = ? AND top_logprobs >= ? ORDER BY top_logprobs LIMIT 1"
        select = f"SELECT top_logprobs, place FROM answers {where}"
        with self._speaking():
            rows = [self._db.execute(select, (held(key), top_logprobs)).fetchone()]
            if self._old:
                select = f"SELECT top_logprobs, NULL FROM responses {where}"
                rows.append(self._db.execute(select, (key, top_logprobs)).fetchone())
        rows += [(n, None) for k, n in self._held if k == key and n >= top_logprobs]
        return min((row for row in rows if row), key=lambda row: int(row[0]), default=None)

    def _raw(self, key: str, top_logprobs: int, place: int | None) -> Mapping[str, Any]:
        if place is None:
            select = "SELECT raw FROM responses WHERE key = ? AND top_logprobs = ?"
            at: tuple[Any, ...] = (key, top_logprobs)
        else:
            select, at = "SELECT raw FROM raws WHERE place = ?", (place,)
        with self._speaking():
            found = self._db.execute(select, at).fetchone()
        try:
            if found is None or not isinstance(found[0], bytes):
                raise ValueError("its response is missing")
            return self._compression.response(found[0])
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(key, error) from None

    def _damaged(self, key: str, error: Exception) -> StoreError:
        find = "SELECT run_id FROM answered WHERE key IN (?, ?)"
        found = self._db.execute(find, (held(key), key)).fetchone()
        return StoreError(
            f"response store {self.path}: the answer to run {found[0]} (key {key[:12]}...) is "
            f"damaged ({error}): take a copy of the store, or see `llmdemand store check`"
        )

    def _stored(self, place: int | None, row: Sequence[Any]) -> Stored:
        key, top, run_id, study, content, *rest = row
        key = known(key)
        raw = self._raw(key, top, place)
        return Stored(key, top, run_id, study, raw, known(content), *rest)

    def _put_all(self, answers: Iterable[tuple[Source, Stored]]) -> int:
        new = 0
        with self._together():
            (place,) = self._db.execute("SELECT coalesce(max(place), 0) FROM raws").fetchone()
            for source, stored in answers:
                if self._put(source, stored, place + 1):
                    new, place = new + 1, place + 1
        for name in [s for s, own in self._samples.items() if len(own) >= SAMPLES]:
            self._train(name)
        return new

    def _put(self, source: Source, stored: Stored, place: int) -> bool:
        old = "SELECT 1 FROM responses WHERE key = ? AND top_logprobs = ?"
        execute, name = self._db.execute, self._source_id(source, make=True)
        if self._old and execute(old, (stored.key, stored.top_logprobs)).fetchone():
            return False
        new = execute(
            "INSERT OR IGNORE INTO answers VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                held(stored.key),
                stored.top_logprobs,
                name,
                self._text_id(stored.study),
                stored.run_id,
                place,
                stored.prompt_tokens,
                stored.completion_tokens,
                stored.usd,
                stored.created or time.time(),
                held(stored.content),
                self._text_id(stored.order),
            ),
        ).rowcount
        if new:
            data, dictionary = packed(stored.raw), self._learnt(name)
            blob = self._compression.shrunk(data, dictionary)
            execute("INSERT INTO raws VALUES (?,?)", (place, blob))
            if name in self._samples:
                self._samples[name].append((place, data))
        return bool(new)

    def _dictionary(self, number: int) -> bytes | None:
        find = "SELECT dictionary FROM dictionaries WHERE id = ?"
        found = self._db.execute(find, (number,)).fetchone()
        return None if found is None else bytes(found[0])

    def _learnt(self, source: int) -> bytes | None:
        """The dictionary for answers of a source; where it has none yet, samples are kept."""
        if source not in self._dictionaries:
            find = "SELECT dictionary FROM dictionaries WHERE source = ? ORDER BY rowid LIMIT 1"
            found = self._db.execute(find, (source,)).fetchone()
            self._dictionaries[source] = None if found is None else bytes(found[0])
            if found is None and self._compress:
                self._samples[source] = []
        return self._dictionaries[source]

    def _train(self, source: int) -> None:
        """Train a source's dictionary, and compress again what it was trained on."""
        samples = self._samples.pop(source)
        dictionary = trained([data for _, data in samples[:SAMPLES]])
        if dictionary is None:
            return
        with self._together():
            self._db.execute(
                "INSERT OR IGNORE INTO dictionaries VALUES (?,?,?)",
                (dictionary_id(dictionary), source, dictionary),
            )
            for place, data in samples:
                blob = self._compression.shrunk(data, dictionary)
                self._db.execute("UPDATE raws SET raw = ? WHERE place = ?", (blob, place))
        self._dictionaries[source] = dictionary

    def _sync(self) -> None:
        # A checkpoint is what hands the log to the disk when commits do not.
        if time.monotonic() - self._synced > 1:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._synced = time.monotonic()
