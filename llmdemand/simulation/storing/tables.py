"""The tables of a response store, and how a file comes to have them."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from llmdemand.errors import StoreError

__all__ = ["COLUMNS", "VERSION", "held", "known", "prepare", "said"]

VERSION = 3
#: What the view `answered` says of a response, in the order of `records.Stored` but for the raw.
COLUMNS = (
    "key, top_logprobs, run_id, study, content, shown, "
    "prompt_tokens, completion_tokens, usd, created"
)
_SOURCES = """
CREATE TABLE IF NOT EXISTS sources (
    id INTEGER PRIMARY KEY, backend TEXT, model TEXT, settings TEXT, raw_logprobs INTEGER,
    UNIQUE (backend, model, settings));
CREATE TABLE IF NOT EXISTS studies (hash TEXT PRIMARY KEY, study TEXT);
CREATE TABLE IF NOT EXISTS probes (source INTEGER PRIMARY KEY REFERENCES sources, probe TEXT);
"""
# Until version 2: a row of more than a kilobyte fills a page of four without a row id. Version 1
# had neither of the last two: its runs had seeds and orders by the place of their cells.
_UNTIL_2 = """
CREATE TABLE IF NOT EXISTS responses (
    key TEXT, top_logprobs INTEGER, source INTEGER REFERENCES sources, study TEXT, run_id TEXT,
    raw BLOB, prompt_tokens REAL, completion_tokens REAL, usd REAL, created REAL,
    content TEXT DEFAULT '', shown TEXT DEFAULT '',
    PRIMARY KEY (key, top_logprobs)) WITHOUT ROWID;
"""
# In four kilobytes three answers of 1.1 fit, and a fifth of the page is left over.
_PAGE = 8192
_ADDED = ("content", "shown")
# Keys are digests and come in no order: what is looked up is apart from what is large.
_SINCE_3 = """
CREATE TABLE IF NOT EXISTS texts (id INTEGER PRIMARY KEY, text TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS dictionaries (
    id INTEGER PRIMARY KEY, source INTEGER REFERENCES sources, dictionary BLOB);
CREATE TABLE IF NOT EXISTS raws (place INTEGER PRIMARY KEY, raw BLOB);
CREATE TABLE IF NOT EXISTS answers (
    key BLOB, top_logprobs INTEGER, source INTEGER REFERENCES sources,
    study INTEGER REFERENCES texts, run_id TEXT, place INTEGER REFERENCES raws,
    prompt_tokens REAL, completion_tokens REAL, usd REAL, created REAL,
    content BLOB, shown INTEGER REFERENCES texts,
    PRIMARY KEY (key, top_logprobs)) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS answered AS
    SELECT key, top_logprobs, source,
        (SELECT text FROM texts WHERE id = answers.study) AS study, run_id, place,
        prompt_tokens, completion_tokens, usd, created, content,
        (SELECT text FROM texts WHERE id = answers.shown) AS shown FROM answers
    UNION ALL
    SELECT key, top_logprobs, source, study, run_id, NULL AS place,
        prompt_tokens, completion_tokens, usd, created, content, shown FROM responses;
"""


def prepare(db: sqlite3.Connection, path: Path, busy: float) -> None:
    """Make the tables of a new file, or those that a store of an earlier version lacks.

    What earlier versions stored stays as it is. A file that is no store of ours is left alone.

    Parameters
    ----------
    db : Connection
        Open, in autocommit.
    path : Path
        For messages.
    busy : float
        Seconds to wait for other processes.
    """
    db.execute(f"PRAGMA page_size={_PAGE}")  # of a new file
    if _version(db, path) < VERSION:
        # Another process may be doing the same: look again with the file locked.
        db.execute("BEGIN IMMEDIATE")
        version = _version(db, path)
        if not version and db.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise StoreError(f"{path} is an SQLite file of something else: it was left")
        if version == 1:
            for column in _ADDED:
                db.execute(f"ALTER TABLE responses ADD COLUMN {column} TEXT DEFAULT ''")
        for statement in (_SOURCES + _UNTIL_2 + _SINCE_3).split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version={VERSION}")
        db.execute("COMMIT")
    # SQLite does not wait by itself while another process makes the same change.
    until = time.monotonic() + busy
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
    # Every commit survives the process; the store's checkpoints hand it to the disk.
    db.execute("PRAGMA synchronous=NORMAL")


def _version(db: sqlite3.Connection, path: Path) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= VERSION:
        raise StoreError(
            f"{path} is a response store of version {version}, this llmdemand reads up "
            f"to {VERSION}: install a later llmdemand"
        )
    return int(version)


def held(text: str) -> str | bytes:
    r"""A text as a column holds it: digests take half the bytes as such.

    >>> held("00ff"), held("00FF")
    (b'\x00\xff', '00FF')
    """
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return text
    return found if found and found.hex() == text else text


def known(value: str | bytes) -> str:
    """What `held` was given."""
    return value.hex() if isinstance(value, bytes) else value


def said(error: sqlite3.Error, path: Path) -> StoreError:
    """The database's error as one sentence that says what to do."""
    text = str(error)
    advice = {
        "locked": "another program holds it; wait for it or stop it",
        "readonly": "allow writing, or give another path",
        "malformed": "copy it away; `llmdemand store export` saves what can be read",
        "disk": "free some space",
        "unable to open": "give a path in a folder that can be written",
    }
    what = next((v for k, v in advice.items() if k in text), "give another path")
    return StoreError(f"response store {path}: {text}: {what}")
