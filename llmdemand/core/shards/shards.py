"""A panel on disk that need not fit into memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.core.line import OneLine
from llmdemand.core.panel import Panel
from llmdemand.core.shards.part import Part, part_name, part_number
from llmdemand.core.study import Study
from llmdemand.core.tables.places import file_system
from llmdemand.errors import PanelError, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OWN", "PanelShards", "files_of", "read_panel", "write_shards"]

#: What parts of one panel may say of themselves differently.
OWN = ("shard",)


@dataclass(frozen=True, repr=False)
class PanelShards(OneLine):
    """A panel as a folder of parquet files, each of which is a panel of the same study.

    What reads a panel takes it, a part at a time.

    Attributes
    ----------
    parts : tuple of Part
        Its files, in the order of their names.
    study : Study
        The design that was run.
    provenance : dict
        As of a panel; what differs between parts (``shard``) is left out.

    Examples
    --------
    >>> import tempfile
    >>> import llmdemand as ld
    >>> from llmdemand.core.shards.shards import PanelShards, write_shards
    >>> panel = ld.load_panel("pampers")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     shards = write_shards(panel, folder, rows=1000)
    ...     again = shards.panel()
    >>> len(shards.parts), len(shards) == len(panel), again.frame.equals(panel.frame)
    (2, True, True)
    """

    parts: tuple[Part, ...]
    study: Study
    provenance: dict[str, Any]

    @property
    def _line(self) -> str:
        return f"{self.study.name}, {len(self)} runs in {len(self.parts)} files"

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __iter__(self) -> Iterator[Panel]:
        return (part.panel() for part in self.parts)

    def frames(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Some columns of each part, a part at a time."""
        return (part.frame(columns) for part in self.parts)

    def panel(self) -> Panel:
        """All of it, in memory: some 4 kB a run with texts of 100 characters."""
        import pandas as pd

        frames = [panel.frame for panel in self]
        # Columns of a part without rows have no types, and would take them from the others.
        frames = [frame for frame in frames if len(frame)] or frames[:1]
        return Panel(pd.concat(frames, ignore_index=True), self.study, self.provenance)

    @classmethod
    def open(cls, path: str | Path) -> PanelShards:
        """Read the ends of a folder's parquet files: no row is read.

        Parameters
        ----------
        path : path
            A folder of this machine, or of a file system that fsspec knows (``s3://...``).

        Raises
        ------
        PanelError
            No parquet file there; a torn file, one without a study, of another study or
            another run; a part that is missing by the numbers in the names.
        """
        files = files_of(path)
        if not files:
            raise PanelError(f"no parquet file in {path}: give a folder of panels")
        opened = [Part.opened(file) for file in files]
        _, study, provenance = opened[0]
        shared = _shared(provenance)
        for part, other, own in opened[1:]:
            if other.hash != study.hash or other.to_dict() != study.to_dict():
                raise PanelError(
                    f"{part.path} is of another study ({other.name}, {other.hash}) than "
                    f"{opened[0][0].path} ({study.name}, {study.hash}): a folder holds one panel"
                )
            if _shared(own) != shared:
                differing = sorted(
                    k for k in {*own, *provenance} - set(OWN) if own.get(k) != provenance.get(k)
                )
                raise PanelError(
                    f"{part.path} is of another run than {opened[0][0].path}: they differ in "
                    f"{', '.join(differing)}; a folder holds one panel"
                )
        _complete(files, path)
        return cls(tuple(part for part, _, _ in opened), study, shared)


def read_panel(path: str | Path) -> Panel | PanelShards:
    """A panel from a parquet file, or from a folder of them (`PanelShards`), wherever it lies.

    Raises
    ------
    PanelError
        As `Panel.read` and `PanelShards.open` do.
    """
    system, inside = file_system(path)
    folder = Path(inside).is_dir() if system is None else system.isdir(inside)
    return PanelShards.open(path) if folder else Panel.read(path)


def write_shards(panel: Panel, folder: str | Path, *, rows: int) -> PanelShards:
    """Write a panel as a folder of parts, in the order of its rows.

    Parameters
    ----------
    panel : Panel
        In memory.
    folder : path
        New, or empty.
    rows : int
        Most runs in a file.

    Raises
    ------
    UsageError
        If there are parquet files in the folder, or `rows` is no positive number.
    """
    if rows < 1:
        raise UsageError(f"rows={rows}: expected a number of runs for each file, at least 1")
    folder = Path(folder)
    if folder.is_dir() and any(folder.glob("*.parquet")):
        raise UsageError(f"there are parquet files in {folder}: name a new folder")
    starts = range(0, max(len(panel), 1), rows)
    for number, start in enumerate(starts, 1):
        part = panel.frame.iloc[start : start + rows].reset_index(drop=True)
        replace(panel, frame=part).write(folder / part_name(number, len(starts)))
    return PanelShards.open(folder)


def files_of(path: str | Path) -> list[str]:
    """The parquet files of a folder, by their names."""
    system, inside = file_system(path)
    if system is None:
        return sorted(str(p) for p in Path(inside).glob("*.parquet"))
    found = system.glob(f"{inside.rstrip('/')}/*.parquet")
    return sorted(system.unstrip_protocol(name) for name in found)


def _shared(provenance: dict[str, Any]) -> dict[str, Any]:
    """What all parts say, as files hold it."""
    kept = {k: v for k, v in provenance.items() if k not in OWN}
    return dict(json.loads(json.dumps(kept)))


def _complete(files: list[str], path: str | Path) -> None:
    """Refuse where the names say that parts are missing, or of two sets."""
    numbers = [n for n in map(part_number, files) if n is not None]
    if not numbers:
        return
    totals = {of for _, of in numbers}
    if len(totals) > 1 or len(numbers) < len(files):
        raise PanelError(
            f"{path} holds files of several writings (parts of {', '.join(map(str, totals))}, and "
            f"{len(files) - len(numbers)} others): keep those of one"
        )
    (of,) = totals
    missing = sorted(set(range(1, of + 1)) - {k for k, _ in numbers})
    if missing:
        raise PanelError(
            f"{path}: {len(missing)} of {of} parts are missing, the first "
            f"{part_name(missing[0], of)}: write them, or name the others without numbers to do "
            "without"
        )
