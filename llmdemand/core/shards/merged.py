"""Shards of a panel joined to one, which is proved to be complete."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.core.line import OneLine
from llmdemand.core.panel import WHOLE, Panel
from llmdemand.core.shards.part import OWN, Part, part_name, summed
from llmdemand.core.shards.shards import PanelShards, files_of
from llmdemand.core.study import Study
from llmdemand.errors import PanelError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["Merged", "merge_panels"]

# What makes two files parts of one panel; the version that wrote them does not.
_SAME = ("seed", "runs", "backend", "model", "settings", "measure")
_NAMED = 3


@dataclass(frozen=True, repr=False)
class Merged(OneLine):
    """A panel that was joined of shards, and what was found on the way.

    Attributes
    ----------
    panel : Panel or PanelShards
        The whole: in memory, or a folder.
    files : int
        Panels that were joined.
    wanted : int
        Runs of the study.
    missing : tuple of str
        Ids of the runs that no file holds.
    doubled : int
        Rows that were in another file already, to the last digit, and were taken once.
    differing : tuple of str
        What the files say differently of themselves, such as their version: lists in the
        provenance.
    """

    panel: Panel | PanelShards
    files: int
    wanted: int
    missing: tuple[str, ...]
    doubled: int
    differing: tuple[str, ...]

    def summary(self) -> str:
        """In one line."""
        notes = f", {self.doubled:,} rows twice and taken once" if self.doubled else ""
        if self.differing:
            notes += f"; the files differ in {', '.join(self.differing)}"
        found = self.wanted - len(self.missing)
        return f"{found:,} of {self.wanted:,} runs from {self.files:,} files{notes}"


@dataclass(frozen=True, slots=True)
class _Read:
    """A part with its study, provenance, and the positions of its rows."""

    part: Part
    study: Study
    told: Mapping[str, Any]
    places: np.ndarray


def merge_panels(
    paths: str | Path | Iterable[str | Path],
    out: str | Path | None = None,
    *,
    allow_missing: bool = False,
) -> Merged:
    """Join the shards of a panel, and prove that they are all of it.

    The joined panel is, to the last bit, the one that a single machine would have made: its rows
    in the order of the design, its provenance without the number of a shard.

    Parameters
    ----------
    paths : path or iterable of path
        Parquet files, or folders of them, in any order.
    out : path, optional
        A parquet file; or, without that ending, a new folder, to which a part is written for
        each that is read: memory then holds the rows of one at a time.
    allow_missing : bool
        Join what is there. Which runs are missing is in the result, their number in the
        provenance.

    Returns
    -------
    Merged

    Raises
    ------
    PanelError
        If a file is torn, of another study, seed, number of runs, model or settings (foreign);
        if two rows of one run differ (contradicting); if runs are missing.
    UsageError
        If there is no file, or a folder to be written holds panels already.

    Examples
    --------
    >>> import tempfile
    >>> import llmdemand as ld
    >>> study = ld.load_study("pampers")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for k in (1, 2):
    ...         panel = ld.simulate(study, "synthetic", runs=2, shard=(k, 2))
    ...         panel.write(f"{folder}/{k}.parquet")
    ...     merged = ld.merge_panels(folder)
    >>> print(merged.summary())
    32 of 32 runs from 2 files
    >>> whole = ld.simulate(study, "synthetic", runs=2)
    >>> merged.panel.provenance == whole.provenance, merged.panel.frame.equals(whole.frame)
    (True, True)
    """
    files = _files([paths] if isinstance(paths, str | Path) else list(paths))
    folder = _new_folder(out)
    opened = [(*Part.opened(file),) for file in files]
    _refuse_foreign(opened)
    _, study, told = opened[0]
    if not isinstance(told.get("runs"), int):
        raise PanelError(
            f"{files[0]} does not say how many runs were asked, so that nobody can tell what is "
            "missing: merge panels that `llmdemand simulate` wrote"
        )
    read = [_Read(p, s, t, _places(p, study, told["runs"])) for p, s, t in opened]
    wanted = len(study.cells()) * told["runs"]
    first = _firsts(read, wanted)
    missing = [_run(study, told["runs"], int(k)) for k in _where(first < 0)]
    if missing and not allow_missing:
        raise PanelError(_lacking(missing, wanted, read))
    doubled = sum(len(r.places) for r in read) - (wanted - len(missing))
    if doubled:
        _refuse_contradictions(read, first)
    provenance, differing = _joined([r.told for r in read])
    if missing:
        provenance["missing"] = len(missing)
    frames = _Frames(read, first, _any_stopped(read))
    whole: Panel | PanelShards
    if folder is not None:
        for number in range(len(read)):
            part = Panel(frames.own(number), study, provenance | summed([read[number].told]))
            part.write(folder / part_name(number + 1, len(read)))
        whole = PanelShards.open(folder)
    else:
        provenance |= summed([r.told for r in read])
        whole = Panel(frames.all(), study, provenance)
        if out is not None:
            whole.write(out)
    return Merged(whole, len(files), wanted, tuple(missing), doubled, differing)


class _Frames:
    """Rows of parts: each run from the first file that holds it, in the order of the design."""

    def __init__(self, read: Sequence[_Read], first: np.ndarray, stopped: bool) -> None:
        self._read, self._first, self._stopped = read, first, stopped

    def own(self, number: int) -> pd.DataFrame:
        """What one part gives to the whole."""
        read = self._read[number]
        frame = read.part.panel().frame
        if self._stopped and WHOLE not in frame.columns:
            frame = frame.assign(**{WHOLE: 1.0})
        keep = _where(self._first[read.places] == number)
        keep = keep[read.places[keep].argsort(kind="stable")]
        found: pd.DataFrame = frame.iloc[keep].reset_index(drop=True)
        return found

    def all(self) -> pd.DataFrame:
        """Everything."""
        import numpy as np
        import pyarrow as pa

        frames = [self.own(number) for number in range(len(self._read))]
        # A column without a value in one file has no type there.
        tables = [pa.Table.from_pandas(f, preserve_index=False) for f in frames if len(f)]
        if not tables:
            return frames[0]
        places = np.concatenate(
            [np.sort(r.places[self._first[r.places] == k]) for k, r in enumerate(self._read)]
        )
        columns = tables[0].column_names
        whole = pa.concat_tables([t.select(columns) for t in tables], promote_options="permissive")
        found: pd.DataFrame = whole.take(places.argsort(kind="stable")).to_pandas()
        return found


def _files(paths: Sequence[str | Path]) -> list[str]:
    files: list[str] = []
    for path in paths:
        found = files_of(path) if Path(path).is_dir() else [str(path)]
        if not found:
            raise UsageError(f"no parquet file in {path}: give files, or folders of them")
        files += found
    if not files:
        raise UsageError("no file to merge: give parquet files, or folders of them")
    return list(dict.fromkeys(files))


def _new_folder(out: str | Path | None) -> Path | None:
    if out is None or str(out).endswith(".parquet"):
        return None
    folder = Path(out)
    if folder.is_file() or (folder.is_dir() and any(folder.glob("*.parquet"))):
        raise UsageError(f"there are panels in {out} already: name a new folder")
    return folder


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _refuse_foreign(opened: Sequence[tuple[Part, Study, dict[str, Any]]]) -> None:
    """Refuse files of another study or run than most of them."""
    kinds = [
        (study.hash, _plain(study.to_dict()), *(_plain(told.get(k)) for k in _SAME))
        for _, study, told in opened
    ]
    (usual, _), *others = Counter(kinds).most_common()
    if not others:
        return
    names = ("study", "study", *_SAME)
    foreign = []
    for (part, *_), kind in zip(opened, kinds, strict=True):
        differ = [n for n, a, b in zip(names, kind, usual, strict=True) if a != b]
        if differ:
            foreign.append(f"{part.path} ({', '.join(dict.fromkeys(differ))})")
    more = f" and {len(foreign) - _NAMED:,} more" if len(foreign) > _NAMED else ""
    raise PanelError(
        f"{len(foreign):,} of {len(opened):,} files are foreign, of another study or run than the "
        f"others: {'; '.join(foreign[:_NAMED])}{more}; leave them out"
    )


def _places(part: Part, study: Study, runs: int) -> np.ndarray:
    """Where a part's rows stand in the design."""
    import numpy as np

    frame = part.frame(["cell", "replicate"])
    if not len(frame):
        return np.zeros(0, np.int64)
    places = {cell.index: at for at, cell in enumerate(study.cells())}
    at = frame["cell"].map(places)
    strange = at.isna() | ~frame["replicate"].between(0, runs - 1)
    if strange.any():
        cell, replicate = frame.loc[strange].iloc[0]
        raise PanelError(
            f"{part.path}: run {cell}-{replicate} is none of the study's {runs:,} runs in each of "
            f"{len(places):,} cells ({int(strange.sum()):,} such rows): it is of another run"
        )
    found: np.ndarray = (at * runs + frame["replicate"]).to_numpy(np.int64)
    return found


def _firsts(read: Sequence[_Read], wanted: int) -> np.ndarray:
    """The first part that holds each run; -1 where none does."""
    import numpy as np

    first = np.full(wanted, -1, np.int64)
    for number in reversed(range(len(read))):
        first[read[number].places] = number
    return first


def _where(condition: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.flatnonzero(condition)


def _run(study: Study, runs: int, place: int) -> str:
    at, replicate = divmod(place, runs)
    return f"{study.cells()[at].index}-{replicate}"


def _lacking(missing: Sequence[str], wanted: int, read: Sequence[_Read]) -> str:
    """What is missing, and which shards were not handed in."""
    named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
    told = [r.told["shard"] for r in read if r.told.get("shard")]
    shards = ""
    if told and len({of for _, of in told}) == 1:
        absent = sorted(set(range(1, told[0][1] + 1)) - {number for number, _ in told})
        some = ", ".join(map(str, absent[:10])) + (", ..." if len(absent) > 10 else "")
        shards = f" (no file of shard {some} of {told[0][1]})" if absent else ""
    return (
        f"{len(missing):,} of {wanted:,} runs are missing: {named}{shards}; run those again, or "
        "join what is there with --allow-missing (in Python allow_missing=True)"
    )


def _refuse_contradictions(read: Sequence[_Read], first: np.ndarray) -> None:
    """Refuse two rows of one run that are not the same."""
    import pandas as pd

    known: dict[int, Any] = {}
    for number, own in enumerate(read):
        again = own.places[first[own.places] != number]
        for earlier in sorted(set(first[again].tolist())):
            if earlier not in known:
                known[earlier] = _by_run(read[earlier].part)
            runs = again[first[again] == earlier]
            ids = [_run(own.study, own.told["runs"], int(place)) for place in runs]
            mine, theirs = _by_run(own.part).loc[ids], known[earlier].loc[ids]
            columns = sorted({*mine.columns, *theirs.columns})
            mine, theirs = mine.reindex(columns=columns), theirs.reindex(columns=columns)
            same = (mine == theirs) | (pd.isna(mine) & pd.isna(theirs))
            if not same.all(axis=None):
                bad = same.index[~same.all(axis=1)]
                where = same.columns[~same.loc[bad[0]]]
                raise PanelError(
                    f"{len(bad):,} runs are in {own.part.path} and in {read[earlier].part.path} "
                    f"and contradict each other, {bad[0]} first (in {', '.join(where[:_NAMED])}): "
                    "one of the files is of another run; leave it out"
                )


def _by_run(part: Part) -> pd.DataFrame:
    frame = part.panel().frame
    whole = frame if WHOLE in frame.columns else frame.assign(**{WHOLE: 1.0})
    return whole.astype(object).set_index("run_id")


def _any_stopped(read: Sequence[_Read]) -> bool:
    import pyarrow.parquet as pq

    return any(WHOLE in pq.read_schema(r.part.path).names for r in read)


def _joined(told: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """One provenance: what all say, lists of what they say differently, and the names of that."""
    found: dict[str, Any] = {}
    differing = []
    for name in dict.fromkeys(k for own in told for k in own if k not in OWN):
        values = list({_plain(own.get(name)): own.get(name) for own in told}.values())
        found[name] = values[0] if len(values) == 1 else values
        if len(values) > 1:
            differing.append(name)
    return found, tuple(differing)
