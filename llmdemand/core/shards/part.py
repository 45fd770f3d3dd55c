"""One parquet file of a panel, wherever it lies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmdemand.core.panel import TRIMMED, Panel, told
from llmdemand.core.study import Study
from llmdemand.core.tables.places import file_system
from llmdemand.errors import PanelError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OWN", "Part", "part_name", "part_number", "shared", "summed"]

#: What parts of one panel may say of themselves differently.
OWN = ("shard", TRIMMED)

_NAME = re.compile(r"part-(\d+)-of-(\d+)\.parquet")


def part_name(number: int, of: int) -> str:
    """The file name of a part, so that names sort as numbers and tell what is missing.

    Parameters
    ----------
    number : int
        From 1.
    of : int
        Parts in all.

    >>> part_name(7, 64)
    'part-00007-of-00064.parquet'
    """
    return f"part-{number:05}-of-{of:05}.parquet"


def part_number(path: str) -> tuple[int, int] | None:
    """Number and parts in all, of a file that `part_name` named.

    >>> part_number("panel/part-00007-of-00064.parquet")
    (7, 64)
    """
    found = _NAME.fullmatch(path.rpartition("/")[2])
    return None if found is None else (int(found[1]), int(found[2]))


def shared(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What all parts of a panel say, as files hold it."""
    kept = {k: v for k, v in provenance.items() if k not in OWN}
    return dict(json.loads(json.dumps(kept)))


def summed(provenances: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """What parts count each for itself, for the whole; nothing where none counts any.

    >>> summed([{"trimmed_answers": 2, "seed": 1}, {"seed": 1}, {"trimmed_answers": 3}])
    {'trimmed_answers': 5}
    """
    whole = sum(int(own.get(TRIMMED, 0)) for own in provenances)
    return {TRIMMED: whole} if whole else {}


@dataclass(frozen=True, slots=True)
class Part:
    """One parquet file of a panel. It holds no rows: workers of a cluster are sent it.

    Attributes
    ----------
    path : str
        Of this machine, or with a scheme (``s3://...``).
    rows : int
        Runs in it.
    """

    path: str
    rows: int

    def __len__(self) -> int:
        return self.rows

    def panel(self) -> Panel:
        """Read and check the whole part."""
        return Panel.read(self.path)

    def frame(self, columns: Sequence[str]) -> pd.DataFrame:
        """Some columns of it, unchecked: `panel` checks."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        system, path = file_system(self.path)
        try:
            found = pq.read_table(path, columns=list(columns), filesystem=system)
        except (pa.ArrowInvalid, OSError) as error:
            raise PanelError(
                f"{self.path} cannot be read ({str(error).splitlines()[0]}): write it again"
            ) from None
        missing = [c for c in columns if c not in found.column_names]
        if missing:
            raise PanelError(f"{self.path}: column {missing[0]!r} is missing")
        frame: pd.DataFrame = found.to_pandas()
        return frame

    def columns(self) -> list[str]:
        """What its columns are called."""
        import pyarrow.parquet as pq

        system, inside = file_system(self.path)
        return [str(name) for name in pq.read_schema(inside, filesystem=system).names]

    @classmethod
    def opened(cls, path: str) -> tuple[Part, Study, dict[str, Any]]:
        """A part, its study and provenance, from the end of its file alone."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        system, inside = file_system(path)
        try:
            found = pq.read_metadata(inside, filesystem=system)
        except (pa.ArrowInvalid, OSError) as error:
            raise PanelError(
                f"{path} is torn, or no parquet file ({str(error).splitlines()[0]}): write that "
                "part again"
            ) from None
        return cls(path, found.num_rows), *told(found.metadata or {}, path)
