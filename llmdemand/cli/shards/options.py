"""Options of a study that is asked in shards, and where a shard's files go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmdemand.errors import UsageError

__all__ = ["ShardNumber", "Shards", "SimulateWorkers", "path_of", "shard_of"]

Shards = Annotated[
    int | None, typer.Option("--shards", help="Divide the runs into so many shares.")
]
ShardNumber = Annotated[
    int | None, typer.Option("--shard", help="Ask this share alone, from 1 to --shards.")
]

SimulateWorkers = Annotated[
    int,
    typer.Option(
        "--workers",
        help="Processes that compute answers (synthetic) or read them (recorded), equal results.",
    ),
]


def shard_of(shard: int | None, shards: int | None) -> tuple[int, int] | None:
    """The share that is asked; None is the whole study."""
    if (shard is None) != (shards is None):
        raise UsageError("give --shards, how many there are, and --shard, which one: both or none")
    return None if shard is None or shards is None else (shard, shards)


def path_of(out: Path, shard: tuple[int, int] | None) -> Path:
    """Where a shard's panel goes: no two shards have one path.

    >>> path_of(Path("panel"), (7, 64)).as_posix()
    'panel/part-00007-of-00064.parquet'
    >>> path_of(Path("panel.parquet"), (7, 64)).as_posix()
    'panel-00007-of-00064.parquet'
    """
    if shard is None:
        return out
    from llmdemand.core.shards.part import part_name

    name = part_name(*shard)
    if out.suffix == ".parquet" and not out.is_dir():
        return out.with_name(name.replace("part", out.stem, 1))
    return out / name
