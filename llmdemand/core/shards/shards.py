"""A panel on disk that need not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmdemand.core.line import OneLine
from llmdemand.core.panel import STATUSES, TRIMMED, USABLE, Panel
from llmdemand.core.shards.counts import Counts, counts
from llmdemand.core.shards.part import OWN, Part, part_name, part_number, shared, summed
from llmdemand.core.shards.sample import Sample, draw_sample
from llmdemand.core.shards.together import together
from llmdemand.core.study import Study
from llmdemand.core.tables.places import file_system
from llmdemand.errors import DesignError, PanelError, UsageError
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import map_merge
from llmdemand.scale.sums import Sums

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "AnyPanel",
    "PanelShards",
    "Tally",
    "drawn_note",
    "files_of",
    "read_panel",
    "runs_by_cell",
    "sampled",
    "tallied",
    "totalled",
    "write_shards",
]

R = TypeVar("R")

#: What is taken of a panel, or of each of its parts: results add.
Tally = Callable[[Panel], Any]


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
    executor
        Who does the work on parts; see `llmdemand.scale.merging.map_merge`. By default this
        process, one part at a time.

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
    executor: Executor = field(default=None, compare=False)
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def _line(self) -> str:
        return f"{self.study.name}, {len(self)} runs in {len(self.parts)} files"

    @cached_property
    def counts(self) -> Counts:
        """Statuses of all runs, of which none may be in two parts: see `counts`."""
        return counts(self.parts, self.executor)

    @cached_property
    def statuses(self) -> pd.Series[int]:
        """As of a panel: number of runs by status, counted in all parts."""
        import pandas as pd

        found = self.counts.statuses
        if strange := sorted(map(str, set(found) - set(STATUSES))):
            raise PanelError(f"status {strange[0]!r} is not one of {list(STATUSES)}")
        index = pd.Index(STATUSES, name="status")
        return pd.Series([found[name] for name in STATUSES], index, "int64", "count")

    @property
    def usable_runs(self) -> int:
        """Runs whose belief is known."""
        return int(self.statuses[list(USABLE)].sum())

    @property
    def measure(self) -> str:
        """As of a panel."""
        found = self.study.measure
        if found == "logprob" and not self.usable_runs:
            return "choice" if self.statuses["no_logprobs"] else found
        return found

    @cached_property
    def sample(self) -> Sample:
        """Runs of all cells, for what draws runs or shows them: see `draw_sample`."""
        return draw_sample(self.parts, self.study, self.provenance, executor=self.executor)

    def people(self, first: Collection[str] = ()) -> Sample:
        """All runs of some respondents, for what is about each of them; these before others."""
        return draw_sample(
            self.parts,
            self.study,
            self.provenance,
            by="persona_id",
            first=first,
            executor=self.executor,
        )

    def take(self, functions: Iterable[Tally]) -> None:
        """See `tallied`."""
        wanted = {_key(f): f for f in functions}
        wanted = {key: f for key, f in wanted.items() if key not in self._kept}
        if wanted:
            found = map_merge(_OfPart(tuple(wanted.values())), self.parts, self.executor)
            self._kept.update(zip(wanted, found.of, strict=True))

    def tally(self, function: Tally) -> Any:
        """What was taken."""
        found = self._kept[_key(function)]
        if isinstance(found, _Lacking):
            raise found.error
        return found

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __iter__(self) -> Iterator[Panel]:
        return (part.panel() for part in self.parts)

    def frames(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Some columns of each part, a part at a time."""
        return (part.frame(columns) for part in self.parts)

    def panel(self) -> Panel:
        """All of it, in memory: some 4 kB a run with texts of 100 characters."""
        frames = [panel.frame for panel in self]
        return Panel(
            together(frames, [part.path for part in self.parts]), self.study, self.provenance
        )

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
        said = shared(provenance)
        for part, other, own in opened[1:]:
            if other.hash != study.hash or other.to_dict() != study.to_dict():
                raise PanelError(
                    f"{part.path} is of another study ({other.name}, {other.hash}) than "
                    f"{opened[0][0].path} ({study.name}, {study.hash}): a folder holds one panel"
                )
            if shared(own) != said:
                differing = sorted(
                    k for k in {*own, *provenance} - set(OWN) if own.get(k) != provenance.get(k)
                )
                raise PanelError(
                    f"{part.path} is of another run than {opened[0][0].path}: they differ in "
                    f"{', '.join(differing)}; a folder holds one panel"
                )
        _complete(files, path)
        said |= summed([own for _, _, own in opened])
        return cls(tuple(part for part, _, _ in opened), study, said)


#: What reads a panel takes both.
AnyPanel = Panel | PanelShards


def totalled(function: Callable[[Panel], R], panel: AnyPanel) -> R:
    """The sum of what a function gives for each part of a panel; a panel in memory is one part.

    Parameters
    ----------
    function : callable
        Of a panel, with results that add; one that a module defines, or a partial of it.
    panel : Panel or PanelShards
        Read and checked a part at a time.

    Examples
    --------
    >>> import llmdemand as ld
    >>> totalled(len, ld.load_panel("pampers"))
    1792
    """
    if isinstance(panel, Panel):
        return function(panel)
    tallied(panel, [function])
    found: R = panel.tally(function)
    return found


def tallied(panel: AnyPanel, functions: Iterable[Tally]) -> None:
    """Take several totals in one pass over the parts: `totalled` then has them at hand.

    Parameters
    ----------
    panel : Panel or PanelShards
        Nothing is done about a panel in memory.
    functions : iterable of callable
        As of `totalled`, each of which is told apart by what it is and by its arguments. What
        one of them cannot say is raised by `totalled`, when it is asked for.
    """
    if isinstance(panel, PanelShards):
        panel.take(functions)


@dataclass(frozen=True)
class _Lacking:
    """Why a part has no total."""

    error: DesignError


@dataclass(frozen=True)
class _Totals:
    of: tuple[Any, ...]

    def __add__(self, other: _Totals) -> _Totals:
        return _Totals(tuple(starmap(_plus, zip(self.of, other.of, strict=True))))


def _plus(a: Any, b: Any) -> Any:
    return a if isinstance(a, _Lacking) else b if isinstance(b, _Lacking) else a + b


@dataclass(frozen=True)
class _OfPart:
    functions: tuple[Tally, ...]

    def __call__(self, part: Part) -> _Totals:
        panel = part.panel()
        return _Totals(tuple(_tried(function, panel) for function in self.functions))


def _tried(function: Tally, panel: Panel) -> Any:
    try:
        return function(panel)
    except DesignError as error:
        return _Lacking(error)


def _key(function: Any) -> Any:
    """What makes two functions of a part one: a partial's parts."""
    if isinstance(function, partial):
        return _key(function.func), function.args, tuple(sorted(function.keywords.items()))
    return function


def runs_by_cell(panel: AnyPanel) -> pd.Series[int]:
    """Runs of each cell, of whatever status."""
    add = totalled(_by_cell, panel)["runs"]
    found: pd.Series[int] = add.sort_index().astype(int)
    return found


def _by_cell(panel: Panel) -> Sums:
    return Sums(runs=panel.frame.groupby("cell").size())


def sampled(panel: AnyPanel, by: str = "cell") -> Panel:
    """A panel in memory: the panel itself, or a sample of shards (see `draw_sample`).

    Parameters
    ----------
    panel : Panel or PanelShards
        Any.
    by : str
        ``cell``: runs of all cells; ``people``: all runs of some respondents.
    """
    if isinstance(panel, Panel):
        return panel
    return panel.people() if by == "people" else panel.sample


def drawn_note(panel: AnyPanel) -> tuple[str, ...]:
    """That what is said rests on a sample of the runs, in words; nothing where it does not."""
    return (panel.note,) if isinstance(panel, Sample) and panel.note else ()


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
        New, or empty; of this machine, or of a file system that fsspec knows (``s3://...``).
    rows : int
        Most runs in a file.

    Raises
    ------
    UsageError
        If there are parquet files in the folder, or `rows` is no positive number.
    """
    if rows < 1:
        raise UsageError(f"rows={rows}: expected a number of runs for each file, at least 1")
    if files_of(folder):
        raise UsageError(f"there are parquet files in {folder}: name a new folder")
    starts = range(0, max(len(panel), 1), rows)
    for number, start in enumerate(starts, 1):
        part = panel.frame.iloc[start : start + rows].reset_index(drop=True)
        # What parts count adds up: the first has it.
        told = {k: v for k, v in panel.provenance.items() if number == 1 or k != TRIMMED}
        own = replace(panel, frame=part, provenance=told)
        own.write(f"{folder}/{part_name(number, len(starts))}")
    return PanelShards.open(folder)


def files_of(path: str | Path) -> list[str]:
    """The parquet files of a folder, by their names."""
    system, inside = file_system(path)
    if system is None:
        return sorted(str(p) for p in Path(inside).glob("*.parquet"))
    found = system.glob(f"{inside.rstrip('/')}/*.parquet")
    return sorted(system.unstrip_protocol(name) for name in found)


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
