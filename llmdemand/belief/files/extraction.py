"""A piece of the files of responses, extracted into parts of a panel by whoever works."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.belief.files.answers import answers_in
from llmdemand.belief.files.pieces import Piece
from llmdemand.belief.rows import PanelBuilder
from llmdemand.core.panel import WHOLE, Panel
from llmdemand.core.shards.part import Part
from llmdemand.core.study import Study
from llmdemand.errors import LLMDemandError, PanelError, ResponseError, UsageError
from llmdemand.scale.task import source

__all__ = ["PLAN", "Extracted", "Extraction", "key_of", "run_of"]

#: File by which workers know the folder that they write to.
PLAN = "plan"

Row = dict[str, Any]
# Answers after which a reader is made anew: what it remembers grows with the words it meets.
_LEARNT = 100_000
Keys = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Extracted:
    """What became of a piece.

    Attributes
    ----------
    parts : tuple of str
        File names in the folder of work, in the order of the rows.
    keys : array of int64
        `key_of` its runs, sorted.
    statuses : dict
        Number of runs by status.
    kept : bool
        Whether all of it was there from before.
    shortened : tuple of bool
        Of each part, whether some answers were stopped at their pivot.
    """

    parts: tuple[str, ...]
    keys: Keys
    statuses: dict[str, int]
    kept: bool
    shortened: tuple[bool, ...]


def key_of(cell: Any, replicate: Any) -> Any:
    """A run as one number: ids of runs have at most nine digits on each side.

    >>> key_of(3, 1), run_of(key_of(3, 1))
    (12884901889, '3-1')
    """
    return (cell << 32) | replicate


def run_of(key: int) -> str:
    """The run of a `key_of`."""
    return f"{key >> 32}-{key & 0xFFFFFFFF}"


@dataclass
class Extraction:
    """Extracts pieces, each into files of its own, which are found again by what they are of.

    Attributes
    ----------
    study, provenance, raw_logprobs, low_mass
        See `llmdemand.belief.rows.extract_panel`.
    folder : str
        Where parts are written, which every worker sees.
    token : str
        What the folder's plan says.
    rows : int
        Most runs in a part.
    """

    study: Study
    provenance: dict[str, Any]
    raw_logprobs: bool
    low_mass: float
    folder: str
    token: str
    rows: int
    _settings: bytes = field(default=b"", repr=False)
    _reader: PanelBuilder | None = field(default=None, repr=False)
    _read: int = field(default=0, repr=False)

    def __call__(self, piece: Piece) -> Extracted:
        """Read a piece and write its parts, unless they are there."""
        self._see(piece)
        key, folder = self._key(piece), Path(self.folder)
        names = _whole(folder, key)
        if names is not None:
            try:
                return _again(folder, names)
            except PanelError:  # torn: done again
                pass
        parts: list[Path] = []
        found: list[tuple[Keys, dict[str, int], bool]] = []
        for panel in self._panels(piece):
            at = {"file": piece.path, "start": piece.start, "end": piece.end}
            panel.provenance["shard"] = at
            # Of the runs of a part alone; whoever reads the panel asks all.
            del panel.provenance["measure"]
            parts.append(folder / f"{key}.{len(parts)}")
            panel.write(parts[-1])
            found.append(_said(panel.frame))
        named = [f"{key}-{k}-of-{len(parts)}.parquet" for k in range(len(parts))]
        for part, name in zip(parts, named, strict=True):
            part.replace(folder / name)
        return _extracted(named, found, kept=False)

    def _see(self, piece: Piece) -> None:
        """Whether this machine sees what it is to read and where it is to write."""
        host, seen = socket.gethostname(), Path(self.folder, PLAN)
        if not seen.is_file() or seen.read_text("utf-8") != self.token:
            raise UsageError(
                f"a worker on {host} does not see {self.folder} as it is here (or another "
                "extraction writes there): name a folder that all workers share"
            )
        try:
            size = Path(piece.place).stat().st_size
        except OSError as error:
            raise UsageError(
                f"a worker on {host} does not see {piece.place} ({error.strerror}): put the files "
                "where all workers see them, by the same path"
            ) from None
        if size != piece.size:
            raise UsageError(
                f"{piece.path} has {size:,} bytes on {host}, and had {piece.size:,} here: it "
                "changes, or is another file; run it again when it is written"
            )

    def _key(self, piece: Piece) -> str:
        """By what its parts depend on: the bytes, the study, the options, and this package."""
        if not self._settings:
            options = [self.provenance, self.raw_logprobs, self.low_mass, self.rows, source()]
            known = [self.study.to_dict(), *options]
            self._settings = json.dumps(known, sort_keys=True, default=str).encode()
        place = f"{piece.path} {piece.start} {piece.end} {piece.size} {piece.digest()}"
        return hashlib.sha256(self._settings + place.encode()).hexdigest()[:32]

    def _builder(self) -> PanelBuilder:
        return PanelBuilder(self.study, raw_logprobs=self.raw_logprobs, low_mass=self.low_mass)

    def _panels(self, piece: Piece) -> Iterator[Panel]:
        """Its rows as panels of `rows` each, at most."""
        builder = self._builder()
        # What was learnt of one piece serves the next; in the end it would be too much.
        if self._reader is None or self._read > _LEARNT:
            self._reader, self._read = self._builder(), 0
        seen: set[str] = set()  # of a part; those of others are compared at the end
        for row in self._rows(piece, self._reader):
            self._read += 1
            if row["run_id"] in seen:
                raise ResponseError(f"{piece.path}: run {row['run_id']!r} is answered twice")
            seen.add(row["run_id"])
            builder.keep(row)
            if len(seen) == self.rows:
                yield builder.panel(self.provenance)
                builder, seen = self._builder(), set()
        if seen:
            yield builder.panel(self.provenance)

    def _rows(self, piece: Piece, builder: PanelBuilder) -> Iterator[Row]:
        path = Path(piece.path)
        try:
            for answer in answers_in(piece.documents(), path, self.study):
                yield builder.row(answer)
        except LLMDemandError:
            if piece.whole:
                raise
            # Once more, for the number of the line in its file.
            for answer in answers_in(piece.documents(numbered=True), path, self.study):
                builder.row(answer)
            raise


def _whole(folder: Path, key: str) -> list[str] | None:
    """The parts of a piece that are there, if all are."""
    named = {path.name for path in folder.glob(f"{key}-*.parquet")}
    of = {name.rpartition("-of-")[2] for name in named}
    if len(of) != 1 or not (count := of.pop().partition(".")[0]).isdigit():
        return None
    wanted = [f"{key}-{k}-of-{count}.parquet" for k in range(int(count))]
    return wanted if named == set(wanted) else None


def _again(folder: Path, names: list[str]) -> Extracted:
    found = []
    for name in names:
        path = str(folder / name)
        wanted = ["cell", "replicate", "status"]
        part, _, _ = Part.opened(path)
        found.append(_said(part.frame(wanted), whole=_shortened(path)))
    return _extracted(names, found, kept=True)


def _shortened(path: str) -> bool:
    import pyarrow.parquet as pq

    return WHOLE in pq.read_schema(path).names


def _said(frame: Any, *, whole: bool | None = None) -> tuple[Keys, dict[str, int], bool]:
    keys = key_of(frame["cell"].to_numpy(np.int64), frame["replicate"].to_numpy(np.int64))
    counts = {str(k): int(n) for k, n in frame["status"].value_counts().items()}
    return keys, counts, WHOLE in frame.columns if whole is None else whole


def _extracted(
    names: list[str], found: list[tuple[Keys, dict[str, int], bool]], *, kept: bool
) -> Extracted:
    statuses: dict[str, int] = {}
    for _, counts, _ in found:
        for status, n in counts.items():
            statuses[status] = statuses.get(status, 0) + n
    keys = np.concatenate([np.empty(0, np.int64), *(k for k, _, _ in found)])
    return Extracted(tuple(names), np.sort(keys), statuses, kept, tuple(s for *_, s in found))
