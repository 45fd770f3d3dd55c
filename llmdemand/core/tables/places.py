"""Where a file lies: on this machine, or in a store that fsspec knows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from llmdemand.errors import MissingExtra, PanelError

__all__ = ["file_system", "whole_file"]


def file_system(path: str | Path) -> tuple[Any, str]:
    """The file system of a path and the path within it; None for files of this machine.

    Raises
    ------
    MissingExtra
        If a scheme (``s3://``) needs a package that is not installed.
    """
    where = str(path)
    if "://" not in where:
        return None, where
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        found: tuple[Any, str] = url_to_fs(where)
    except ImportError as error:
        raise MissingExtra(
            f"{where} lies elsewhere ({error}): pip install fsspec, and s3fs, gcsfs or adlfs"
        ) from None
    except ValueError as error:
        raise PanelError(f"{where}: {error}") from None
    return found


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its name when it is whole: a reader never meets half of it.

    Its folder is made. After an error nothing is left.
    """
    system, inside = file_system(path)
    folder, slash, name = Path(inside).as_posix().rpartition("/")
    # Writers on several machines may have one number of process.
    unfinished = f"{folder}{slash}.{name}.{uuid.uuid4().hex[:12]}"
    if system is None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        there = Path(unfinished)
        try:
            with there.open("wb") as file:
                yield file
            there.replace(path)
        finally:
            there.unlink(missing_ok=True)
        return
    system.makedirs(folder, exist_ok=True)
    try:
        with system.open(unfinished, "wb") as file:
            yield file
    except BaseException:
        if system.exists(unfinished):
            system.rm(unfinished)
        raise
    system.mv(unfinished, inside)
