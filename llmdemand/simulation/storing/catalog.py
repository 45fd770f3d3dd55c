"""What a store tells of its answers: who gave them, what was asked, what it cost."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmdemand.core.study import Study
from llmdemand.simulation.storing.records import Source, canonical
from llmdemand.simulation.storing.tables import said

__all__ = ["Catalog"]


class Catalog:
    """Sources, studies, probes and totals of one SQLite file; `Store` has the answers.

    Parameters
    ----------
    db : Connection
        Open, with the tables of a store, in autocommit.
    path : Path
        For messages.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self.path, self._db = path, db
        self._sources: dict[Source, int] = {}
        self._texts: dict[str, int] = {}

    def sources(self) -> dict[Source, int]:
        """Who answered, with the number of responses of each."""
        with self._speaking():
            rows = self._db.execute(
                "SELECT backend, model, settings, raw_logprobs, coalesce(n, 0) FROM sources "
                "LEFT JOIN (SELECT source, count(*) AS n FROM answered GROUP BY source) "
                "ON source = id ORDER BY id"
            ).fetchall()
        return {Source(b, m, s, bool(r)): n for b, m, s, r, n in rows}

    def named_sources(self) -> dict[str, Source]:
        """Sources that have answered, by ``backend:model``, numbered where several share it.

        Such sources differ in their settings: another server, ``n``, request fields.
        """
        answered = [source for source, n in self.sources().items() if n]
        names = [f"{source.backend}:{source.model}" for source in answered]
        found: dict[str, Source] = {}
        for place, (name, source) in enumerate(zip(names, answered, strict=True)):
            number = names[: place + 1].count(name)
            found[f"{name}#{number}" if names.count(name) > 1 else name] = source
        return found

    def put_study(self, study: Study) -> None:
        """Keep what was asked, so that its answers are not taken for those to another study."""
        with self._speaking():
            self._db.execute(
                "INSERT OR IGNORE INTO studies VALUES (?,?)",
                (study.hash, canonical(study.to_dict())),
            )

    def study(self, hash_: str) -> Study | None:
        """The study with a hash, or None where it came without (imported lines)."""
        with self._speaking():
            found = self._db.execute(
                "SELECT study FROM studies WHERE hash = ?", (hash_,)
            ).fetchone()
        return (
            None if found is None else Study.from_dict(json.loads(found[0]), where="stored study")
        )

    def all_studies(self) -> list[Study]:
        """Every study that asked or was to ask."""
        with self._speaking():
            hashes = self._db.execute("SELECT hash FROM studies ORDER BY rowid").fetchall()
        return [study for (hash_,) in hashes if (study := self.study(hash_)) is not None]

    def studies(self, source: Source, *, earlier: bool = False) -> dict[str, int]:
        """Hashes of the studies that asked a source first, with their numbers of responses.

        With `earlier`, responses alone that were stored before seeds came from content.
        """
        which = " AND content = ''" if earlier else ""
        with self._speaking():
            return dict(
                self._db.execute(
                    "SELECT study, count(*) FROM answered "
                    f"WHERE source = ?{which} GROUP BY study ORDER BY study",
                    (self._source_id(source),),
                ).fetchall()
            )

    def totals(self, source: Source) -> dict[str, float]:
        """Tokens and dollars of all responses of a source: what was paid until now."""
        with self._speaking():
            row = self._db.execute(
                "SELECT count(*), total(prompt_tokens), total(completion_tokens), total(usd) "
                "FROM answered WHERE source = ?",
                (self._source_id(source),),
            ).fetchone()
        return dict(
            zip(("responses", "prompt_tokens", "completion_tokens", "usd"), row, strict=True)
        )

    def probe(self, source: Source) -> dict[str, Any] | None:
        """What a probe found out about a source, or None."""
        with self._speaking():
            found = self._db.execute(
                "SELECT probe FROM probes WHERE source = ?", (self._source_id(source),)
            ).fetchone()
        return None if found is None else dict(json.loads(found[0]))

    def put_probe(self, source: Source, probe: Mapping[str, Any]) -> None:
        """Keep what a probe found out; an earlier one is replaced."""
        with self._speaking():
            self._db.execute(
                "INSERT OR REPLACE INTO probes VALUES (?,?)",
                (self._source_id(source, make=True), canonical(probe)),
            )

    def _source_id(self, source: Source, *, make: bool = False) -> int:
        """The row of a source; -1 where it has none and none is to be made."""
        known = self._sources.get(source)
        if known is None:
            values = (source.backend, source.model, source.settings)
            where = "SELECT id FROM sources WHERE backend = ? AND model = ? AND settings = ?"
            found = self._db.execute(where, values).fetchone()
            if found is None and not make:
                return -1
            if found is None:
                self._db.execute(
                    "INSERT OR IGNORE INTO sources VALUES (NULL,?,?,?,?)",
                    (*values, int(source.raw_logprobs)),
                )
                found = self._db.execute(where, values).fetchone()
            known = self._sources[source] = int(found[0])
        return known

    def _text_id(self, text: str) -> int:
        """The row of a text that many responses share; made where there is none."""
        known = self._texts.get(text)
        if known is None:
            self._db.execute("INSERT OR IGNORE INTO texts VALUES (NULL,?)", (text,))
            (known,) = self._db.execute("SELECT id FROM texts WHERE text = ?", (text,)).fetchone()
            self._texts[text] = known
        return known

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """One transaction: all of what is written within, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # What was learnt of rows that are no more is forgotten with them.
            self._sources.clear()
            self._texts.clear()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn the database's errors into one sentence that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise said(error, self.path) from None
