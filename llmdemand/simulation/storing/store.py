"""Raw responses on disk: one SQLite file, one transaction per response."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmdemand.core.study import Study
from llmdemand.core.written import json_of, opened
from llmdemand.errors import ResponseError, StoreError, StudyError
from llmdemand.simulation.backend import Backend
from llmdemand.simulation.storing.claims import Claims
from llmdemand.simulation.storing.records import Source, Stored, canonical, exported, imported

__all__ = ["Store", "is_store", "rescue", "unused"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (
    id INTEGER PRIMARY KEY, backend TEXT, model TEXT, settings TEXT, raw_logprobs INTEGER,
    UNIQUE (backend, model, settings));
CREATE TABLE IF NOT EXISTS responses (
    key TEXT, top_logprobs INTEGER, source INTEGER REFERENCES sources, study TEXT, run_id TEXT,
    raw BLOB, prompt_tokens REAL, completion_tokens REAL, usd REAL, created REAL,
    content TEXT DEFAULT '', shown TEXT DEFAULT '',
    PRIMARY KEY (key, top_logprobs)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS studies (hash TEXT PRIMARY KEY, study TEXT);
CREATE TABLE IF NOT EXISTS probes (source INTEGER PRIMARY KEY REFERENCES sources, probe TEXT);
"""
# Version 1 had neither: its runs had seeds and orders by the place of their cells.
_ADDED = ("content", "shown")
_COLUMNS = (
    "key, top_logprobs, run_id, study, raw, content, shown, "
    "prompt_tokens, completion_tokens, usd, created"
)
_VERSION = 2
_MAGIC = b"SQLite format 3\x00"
# How long another process may hold the file before that is an error, in seconds.
_BUSY = 30.0


class Store:
    """Responses in one SQLite file that several processes may share.

    Every response is a transaction of its own in a write-ahead log: a process that
    is killed after `put` returned has kept it. The disk is synchronised about once
    a second, so that a loss of power costs at most that second.

    Parameters
    ----------
    path : path
        The file; made with its folder where it does not exist, readable for its owner
        alone (a file that is there keeps its mode). ``":memory:"`` keeps
        responses for this process alone.
    shared : bool
        Whether other processes may use it at the same time.

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
        self.path = Path(path)
        self._claims: Claims | None = None
        self._sources: dict[Source, int] = {}
        self._synced = time.monotonic()
        self._memory, self._shared = str(path) == ":memory:", shared
        if not self._memory:
            if self.path.is_dir():
                raise StoreError(f"{self.path} is a folder: give the path of a file")
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"response store {self.path}: its folder cannot be made "
                    f"({error.strerror}): give another path"
                ) from None
            if self.path.exists() and self.path.stat().st_size and not is_store(self.path):
                raise StoreError(
                    f"{self.path} is no response store (an SQLite file): give another path, or "
                    "bring its lines in with `llmdemand store import`"
                )
            # For its owner alone; SQLite gives its log and its journal the mode of the file.
            with contextlib.suppress(OSError):
                opened(self.path, "a").close()
        with self._speaking():
            self._db = sqlite3.connect(
                path, timeout=_BUSY, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        """Make the tables of a new file; one that is no store of ours is left as it is."""
        if self._version() < _VERSION:
            # Another process may be doing the same: look again with the file locked.
            self._db.execute("BEGIN IMMEDIATE")
            version = self._version()
            if version == 1:
                for column in _ADDED:
                    self._db.execute(f"ALTER TABLE responses ADD COLUMN {column} TEXT DEFAULT ''")
            elif not version:
                if self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                    raise StoreError(
                        f"{self.path} is an SQLite file of something else: it was left"
                    )
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={_VERSION}")
            self._db.execute("COMMIT")
        # SQLite does not wait by itself while another process makes the same change.
        until = time.monotonic() + _BUSY
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.01)
        # Every commit survives the process; see _sync for the machine.
        self._db.execute("PRAGMA synchronous=NORMAL")

    def _version(self) -> int:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= _VERSION:
            raise StoreError(
                f"{self.path} is a response store of version {version}, this llmdemand reads up "
                f"to {_VERSION}: install a later llmdemand"
            )
        return int(version)

    def __len__(self) -> int:
        with self._speaking():
            return int(self._db.execute("SELECT count(*) FROM responses").fetchone()[0])

    def get(self, key: str, top_logprobs: int) -> Mapping[str, Any] | None:
        """The response stored under a key with at least that many candidates, or None."""
        with self._speaking():
            found = self._db.execute(
                "SELECT raw FROM responses WHERE key = ? AND top_logprobs >= ? "
                "ORDER BY top_logprobs LIMIT 1",
                (key, top_logprobs),
            ).fetchone()
        return None if found is None else _unpacked(found[0])

    def has(self, key: str, top_logprobs: int) -> bool:
        """Whether `get` would find a response."""
        with self._speaking():
            return bool(
                self._db.execute(
                    "SELECT 1 FROM responses WHERE key = ? AND top_logprobs >= ?",
                    (key, top_logprobs),
                ).fetchone()
            )

    def put(self, source: Source, stored: Stored) -> bool:
        """Store one response; False if there was one already, which is then kept.

        Raises
        ------
        StoreError
            If the disk is full or the file locked for too long.
        """
        with self._speaking():
            new = self._db.execute(
                "INSERT OR IGNORE INTO responses VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    stored.key,
                    stored.top_logprobs,
                    self._source_id(source, make=True),
                    stored.study,
                    stored.run_id,
                    zlib.compress(_json(stored.raw).encode(), 1),
                    stored.prompt_tokens,
                    stored.completion_tokens,
                    stored.usd,
                    stored.created or time.time(),
                    stored.content,
                    stored.order,
                ),
            ).rowcount
            self._sync()
        return bool(new)

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

    def sources(self) -> dict[Source, int]:
        """Who answered, with the number of responses of each."""
        with self._speaking():
            rows = self._db.execute(
                "SELECT backend, model, settings, raw_logprobs, count(key) FROM sources "
                "LEFT JOIN responses ON source = id GROUP BY id ORDER BY id"
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
                    f"SELECT study, count(*) FROM responses WHERE source = ?{which} GROUP BY study",
                    (self._source_id(source),),
                ).fetchall()
            )

    def responses(self, source: Source, study: str) -> Iterator[Stored]:
        """What a study got from a source, in the order of arrival."""
        with self._speaking():
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM responses WHERE source = ? AND study = ? "
                "ORDER BY created, run_id",
                (self._source_id(source), study),
            )
            for row in rows:
                yield _stored(row)

    def totals(self, source: Source) -> dict[str, float]:
        """Tokens and dollars of all responses of a source: what was paid until now."""
        with self._speaking():
            row = self._db.execute(
                "SELECT count(*), total(prompt_tokens), total(completion_tokens), total(usd) "
                "FROM responses WHERE source = ?",
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

    def export(self) -> Iterator[dict[str, Any]]:
        """Every response as plain data for one JSON line, in the order of their keys.

        The first to each study holds that too, as ``asked``: what a run asked is read from it.
        """
        told: set[str] = set()
        with self._speaking():
            rows = self._db.execute(
                f"SELECT {_COLUMNS}, backend, model, settings, raw_logprobs FROM responses "
                "JOIN sources ON source = id ORDER BY id, study, run_id, key"
            )
            for row in rows:
                entry = exported(Source(row[11], row[12], row[13], bool(row[14])), _stored(row))
                hash_ = entry["study"]
                if hash_ not in told and (study := self.study(hash_)) is not None:
                    entry["asked"] = study.to_dict()
                told.add(hash_)
                yield entry

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
        new = known = 0
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    entry = json_of(line)
                    source, stored = imported(entry)
                    asked = entry.get("asked")
                    if asked is not None:
                        self.put_study(Study.from_dict(asked, where="asked"))
                except (ValueError, KeyError, TypeError, AttributeError, StudyError) as error:
                    raise ResponseError(
                        f"{path} line {number}: no line of `llmdemand store export` "
                        f"({type(error).__name__}: {error})"
                    ) from None
                if self.put(source, stored):
                    new += 1
                else:
                    known += 1
        return new, known

    def close(self) -> None:
        """Synchronise with the disk and close; a closed store cannot be used."""
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

    def _sync(self) -> None:
        # A checkpoint is what hands the log to the disk when commits do not.
        if time.monotonic() - self._synced > 1:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._synced = time.monotonic()

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn the database's errors into one sentence that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            advice = {
                "locked": "another program holds it; wait for it or stop it",
                "readonly": "allow writing, or give another path",
                "malformed": "copy it away; `llmdemand store export` saves what can be read",
                "disk": "free some space",
                "unable to open": "give a path in a folder that can be written",
            }
            what = next((v for k, v in advice.items() if k in text), "give another path")
            raise StoreError(f"response store {self.path}: {text}: {what}") from None


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


def _stored(row: Sequence[Any]) -> Stored:
    return Stored(row[0], row[1], row[2], row[3], _unpacked(row[4]), *row[5:11])


def _json(raw: Mapping[str, Any]) -> str:
    return json.dumps(raw, separators=(",", ":"), ensure_ascii=True)


def _unpacked(blob: bytes) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(zlib.decompress(blob))
    return found


def rescue(path: Path, source: Source, lost: Sequence[Stored], reason: StoreError) -> StoreError:
    """Save answers that a store did not take where there is space; the error that says so."""
    folders = [path.parent, Path(tempfile.gettempdir()), Path.home()]
    for folder in folders:
        file = folder / f"{path.stem}.rescued-{os.getpid()}.jsonl"
        try:
            with opened(file, "a") as out:
                for stored in lost:
                    out.write(json.dumps(exported(source, stored)) + "\n")
                out.flush()
                os.fsync(out.fileno())
        except OSError:
            continue
        return StoreError(
            f"{reason}; {len(lost)} answers that it did not take are in {file}: bring them in "
            f"with `llmdemand store import {path} {file}`, then run the same command"
        )
    return StoreError(f"{reason}; {len(lost)} answers could be written nowhere and are lost")
