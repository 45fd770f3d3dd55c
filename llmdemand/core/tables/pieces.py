"""Tables in parquet files, of any number and size, as pieces that are read one at a time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, runtime_checkable

from llmdemand.core.tables.places import file_system
from llmdemand.errors import DesignError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Frames", "Piece", "Pieces", "Sharded", "opened", "sharded", "stacked"]

_ROWS = 1 << 22  # of a piece, more or less: row groups are not divided
_BATCH = 1 << 20  # rows at a time


@runtime_checkable
class Frames(Protocol):
    """Rows that are made when they are asked for: a shard that workers can be sent."""

    first: int  # number of its first row in all, from 0

    def frames(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The columns, a part at a time, of plain types."""


class Sharded(Protocol):
    """A table that need not fit into memory: its shards, `Piece` or `Frames`, and its columns."""

    shards: Sequence[Any]
    columns: Sequence[str]


def sharded(data: Any) -> TypeGuard[Sharded]:
    """Whether it is a table in shards; its columns are not asked for, which lazy tables compute.

    >>> sharded(3)
    False
    """
    return hasattr(data, "shards")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some row groups of a parquet file. It holds no rows: workers of a cluster are sent it.

    Attributes
    ----------
    path : str
        Of this machine, or with a scheme (``s3://...``).
    groups : tuple of int
        Row groups of the file.
    first, rows : int
        Number of its first row in the whole table, from 0, and how many it has.
    """

    path: str
    groups: tuple[int, ...]
    first: int
    rows: int

    def __len__(self) -> int:
        return self.rows

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns, a million rows at a time: no other column is read.

        Raises
        ------
        UsageError
            For a file that is torn, or gone.
        """
        import pyarrow as pa

        file = _opened(self.path)
        try:
            yield from file.iter_batches(
                batch_size=_BATCH, row_groups=list(self.groups), columns=list(columns)
            )
        except (pa.ArrowInvalid, OSError) as error:
            raise _torn(self.path, error) from None


@dataclass(frozen=True)
class Pieces:
    """A table in one parquet file or several.

    Attributes
    ----------
    shards : tuple of Piece
        In the order of the files' names, or of the list that was given.
    columns : tuple of str
        Those of the first file.
    flaws : dict of str to str
        Columns that not all files have, or of another kind in one of them, with what is wrong.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> folder = Path(tempfile.mkdtemp())
    >>> for k in (0, 1):
    ...     pd.DataFrame({"price": [k, k + 1.5]}).to_parquet(folder / f"{k}.parquet")
    >>> found = Pieces.open(folder)
    >>> len(found), found.columns, [piece.first for piece in found.shards]
    (4, ('price',), [0, 2])
    """

    shards: tuple[Piece, ...]
    columns: tuple[str, ...]
    flaws: dict[str, str]

    def __len__(self) -> int:
        return sum(len(piece) for piece in self.shards)

    def require(self, columns: Sequence[str]) -> None:
        """Refuse columns that some file lacks, or holds otherwise.

        Raises
        ------
        DesignError
        """
        for name in columns:
            if name in self.flaws:
                raise DesignError(f"column {name!r} {self.flaws[name]}")

    @classmethod
    def open(cls, path: str | Path | Sequence[str | Path]) -> Pieces:
        """Read the ends of the files: no row is read.

        Parameters
        ----------
        path : path, or sequence of paths
            A parquet file, a folder of them, or a list of files.

        Raises
        ------
        UsageError
            No such file, one that is not parquet or is torn, one that is listed twice or is a copy
            of another; a folder without parquet files, or with folders that hold some.
        """
        shards, first, start = [], None, 0
        flaws: dict[str, str] = {}
        ends: dict[tuple[int, ...], str] = {}
        for name in _files(path):
            file = _opened(name)
            _refuse_copy(name, file, ends)
            kinds = {str(field.name): _kind(field.type) for field in file.schema_arrow}
            if first is None:
                first = name, kinds, [str(n) for n in file.schema_arrow.names]
            flaws = {**_flaws(first[0], first[1], name, kinds), **flaws}
            for groups, rows in _divided(file.metadata):
                shards.append(Piece(name, groups, start, rows))
                start += rows
        assert first is not None
        return cls(tuple(shards), tuple(first[2]), flaws)


def opened(data: Any) -> Any:
    """The table; of paths its `Pieces`.

    Raises
    ------
    UsageError
        For no file, and what is no parquet file.
    """
    paths = isinstance(data, list | tuple) and all(isinstance(p, str | Path) for p in data)
    return Pieces.open(data) if paths or isinstance(data, str | Path) else data


def stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of parts that were read apart, with columns of one kind.

    Categories that are the same in all parts keep their order; else they are put together in
    sorted order, which no order of the parts changes.

    >>> import pandas as pd
    >>> parts = [pd.DataFrame({"a": pd.Categorical(some)}) for some in ([20, 7], [7, 3])]
    >>> stacked(parts)["a"].cat.categories.tolist()
    [3, 7, 20]
    """
    import pandas as pd
    from pandas.api.types import union_categoricals

    if len(parts) == 1:
        return parts[0]
    frame = pd.concat(parts, ignore_index=True)
    for column in frame.columns:
        kinds = [part[column].dtype for part in parts]
        if frame[column].dtype not in kinds and all(
            isinstance(kind, pd.CategoricalDtype) for kind in kinds
        ):
            bare = [part[column].cat.as_unordered() for part in parts]
            frame[column] = union_categoricals(bare, sort_categories=True)
    return frame


def _divided(metadata: Any) -> Iterator[tuple[tuple[int, ...], int]]:
    """Row groups of a file, so many together as make a piece, and their rows."""
    some: list[int] = []
    rows = 0
    for group in range(metadata.num_row_groups):
        some.append(group)
        rows += metadata.row_group(group).num_rows
        if rows >= _ROWS:
            yield tuple(some), rows
            some, rows = [], 0
    if some or not metadata.num_row_groups:
        yield tuple(some), rows


def _files(path: str | Path | Sequence[str | Path]) -> list[str]:
    if not isinstance(path, str | Path):
        names = [str(p) for p in path]
        if not names:
            raise UsageError("an empty list of files: name the parquet files of the table")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise UsageError(f"{twice[0]} is listed twice: its rows would be counted twice")
        return names
    system, inside = file_system(path)
    if system is None:
        if not Path(inside).is_dir():
            return [inside]
        found = sorted(str(p) for p in Path(inside).glob("**/*.parquet"))
        depth = len(Path(inside).parts) + 1
        deeper = [name for name in found if len(Path(name).parts) > depth]
    else:
        if not system.isdir(inside):
            return [str(path)]
        top = inside.rstrip("/")
        names = sorted(system.glob(f"{top}/**/*.parquet"))
        deeper = [name for name in names if "/" in name[len(top) + 1 :]]
        found = [system.unstrip_protocol(name) for name in names]
    if deeper:
        raise UsageError(
            f"{path} holds folders of parquet files ({deeper[0]}): what their names say (as "
            "year=2026) is in no file, so write it as a column, and give a list of all files"
        )
    if not found:
        raise UsageError(f"no parquet file in {path}: give a folder of parquet files")
    return found


def _opened(path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    system, inside = file_system(path)
    if system is None and not Path(inside).is_file():
        raise UsageError(
            f"no file {path}: give a table of pandas, polars or pyarrow, or the path of a parquet "
            "file, or of a folder of them"
        )
    try:
        # Not mapped: what is read of a file of many gigabytes would count as this process's.
        return pq.ParquetFile(inside if system is None else system.open(inside))
    except (pa.ArrowInvalid, OSError) as error:
        raise _torn(path, error) from None


def _torn(path: str, error: Exception) -> UsageError:
    reason = str(error).partition("\n")[0]
    return UsageError(f"{path} is not a parquet file that can be read ({reason})")


def _refuse_copy(name: str, file: Any, ends: dict[tuple[int, ...], str]) -> None:
    """Refuse rows that are there twice: a file whose bytes are another's, read only if alike."""
    about = file.metadata
    groups = [about.row_group(k) for k in range(about.num_row_groups)]
    if not about.num_rows:
        return
    columns = [groups[0].column(k) for k in range(about.num_columns)]
    # Sizes that are hardly ever all alike unless the bytes are.
    end = (about.num_rows, about.serialized_size, *(group.total_byte_size for group in groups))
    end += tuple(column.total_compressed_size for column in columns)
    other = ends.setdefault(end, name)
    if other != name and _digest(other) == _digest(name):
        raise UsageError(
            f"{name} holds the same bytes as {other}: its rows would be counted twice; take one of "
            "the two away"
        )


def _digest(path: str) -> bytes:
    system, inside = file_system(path)
    with open(inside, "rb") if system is None else system.open(inside) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _kind(kind: Any) -> str:
    """What a column holds, as far as files must agree on it."""
    import pyarrow as pa

    t = pa.types
    if t.is_dictionary(kind):
        inner = _kind(kind.value_type)
        return inner if inner == "text" else f"categories of {inner}"
    if t.is_boolean(kind):
        return "flags"
    if t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind):
        return "numbers"
    if t.is_string(kind) or t.is_large_string(kind) or "string_view" in str(kind):
        return "text"
    return "" if t.is_null(kind) else str(kind)


def _flaws(first: str, kinds: dict[str, str], name: str, others: dict[str, str]) -> dict[str, str]:
    """What is wrong with the columns of another file."""
    found = {}
    for column in {*kinds, *others}:
        if column not in others or column not in kinds:
            has, lacks = (first, name) if column in kinds else (name, first)
            found[column] = f"is in {has} but not in {lacks}: write all files alike"
        elif kinds[column] and others[column] and kinds[column] != others[column]:
            found[column] = (
                f"holds {kinds[column]} in {first}, and {others[column]} in {name}: write all "
                "files alike"
            )
    return found
