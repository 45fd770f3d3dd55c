"""Response stores brought together into one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from llmdemand.core.line import OneLine
from llmdemand.errors import UsageError
from llmdemand.simulation.storing.store import Store, is_store
from llmdemand.simulation.storing.tables import said

__all__ = ["StoresMerged", "merge_stores"]

_NEW = (
    "NOT EXISTS (SELECT 1 FROM main.answers m WHERE m.key = o.key "
    "AND m.top_logprobs = o.top_logprobs)"
)
# Numbers of rows mean nothing in another file: sources and texts are told by what they say.
_COPY = f"""
INSERT OR IGNORE INTO main.studies SELECT * FROM other.studies;
INSERT OR IGNORE INTO main.texts (text) SELECT text FROM other.texts;
INSERT OR IGNORE INTO main.sources (backend, model, settings, raw_logprobs)
    SELECT backend, model, settings, raw_logprobs FROM other.sources;
CREATE TEMP TABLE source_of AS SELECT o.id AS old, m.id AS new FROM other.sources o
    JOIN main.sources m USING (backend, model, settings);
CREATE TEMP TABLE text_of AS SELECT o.id AS old, m.id AS new FROM other.texts o
    JOIN main.texts m USING (text);
INSERT OR IGNORE INTO main.probes
    SELECT new, probe FROM other.probes JOIN source_of ON old = source;
INSERT OR IGNORE INTO main.dictionaries
    SELECT d.id, new, dictionary FROM other.dictionaries d JOIN source_of ON old = source;
CREATE TEMP TABLE beyond AS SELECT coalesce(max(place), 0) AS n FROM main.raws;
INSERT INTO main.raws SELECT r.place + n, raw FROM other.raws r, beyond
    WHERE r.place IN (SELECT o.place FROM other.answers o WHERE {_NEW});
INSERT INTO main.answers
    SELECT o.key, o.top_logprobs, s.new, a.new, o.run_id, o.place + n, o.prompt_tokens,
        o.completion_tokens, o.usd, o.created, o.content, b.new
    FROM other.answers o, beyond JOIN source_of s ON s.old = o.source
    JOIN text_of a ON a.old = o.study JOIN text_of b ON b.old = o.shown WHERE {_NEW};
"""


@dataclass(frozen=True, slots=True, repr=False)
class StoresMerged(OneLine):
    """What came of it.

    Attributes
    ----------
    stores : int
        That were read.
    answers : int
        In the store that was written.
    doubled : int
        Answers that were there already, the same.
    other : tuple of str
        Runs of answers that were there already and said something else: a model was asked
        twice. The first is kept.
    """

    stores: int
    answers: int
    doubled: int
    other: tuple[str, ...]

    def summary(self) -> str:
        """In one line."""
        text = f"{self.answers:,} answers from {self.stores:,} stores"
        text += f", {self.doubled:,} of them twice" if self.doubled else ""
        if self.other:
            text += (
                f"; {len(self.other):,} were asked twice with another answer, of which the first "
                f"is kept (run {self.other[0]} first)"
            )
        return text


def merge_stores(paths: Iterable[str | Path], out: str | Path) -> StoresMerged:
    """Bring the answers of several stores into one, which may be there already.

    Compressed answers are copied as they are, with the dictionaries that they need; those that
    earlier versions stored take the form of today.

    Parameters
    ----------
    paths : iterable of path
        Stores.
    out : path
        A store, made where there is none.

    Raises
    ------
    UsageError
        If a path is no store, or is `out` itself.
    StoreError
        If an answer of an earlier version or one that is in two stores is damaged.
    """
    files = [Path(path) for path in paths]
    for path in files:
        if not is_store(path):
            raise UsageError(f"{path} is no response store: give .sqlite files")
        if path.resolve() == Path(out).resolve():
            raise UsageError(f"--out {out} is one of the stores that are read: give a new path")
    doubled, other = 0, list[str]()
    with Store(out) as target:
        for path in files:
            with Store(path) as source:
                same, differing = _known(target, source)
                doubled, other = doubled + same, other + differing
                if source.earlier or _clash(target, source):
                    _one_by_one(target, source)
                    continue
            _copied(target, path)
        answers = len(target)
    return StoresMerged(len(files), answers, doubled, tuple(other))


def _known(target: Store, source: Store) -> tuple[int, list[str]]:
    """Answers of a store that another has: how many are the same, and runs of the others."""
    same, other = 0, list[str]()
    if not len(target):
        return same, other
    for key, top, run_id in source.names():
        if target.has_exactly(key, top):
            if target.get(key, top) == source.get(key, top):
                same += 1
            else:
                other.append(run_id)
    return same, other


def _clash(target: Store, source: Store) -> bool:
    """Whether two dictionaries have one number: one in two billion."""
    own = source.dictionaries()
    return any(own.get(n, d) != d for n, d in target.dictionaries().items())


def _one_by_one(target: Store, source: Store) -> None:
    for study in source.all_studies():
        target.put_study(study)
    for who in source.sources():
        if (found := source.probe(who)) is not None and target.probe(who) is None:
            target.put_probe(who, found)
    target.put_all(source.entries())


def _copied(target: Store, path: Path) -> None:
    target.flush()
    db = sqlite3.connect(target.path, timeout=30.0, isolation_level=None)
    try:
        db.execute("ATTACH ? AS other", (str(path),))
        db.execute("BEGIN IMMEDIATE")
        for statement in _COPY.split(";"):
            db.execute(statement)
        db.execute("COMMIT")
    except sqlite3.Error as error:
        raise said(error, target.path) from None
    finally:
        db.close()
