"""Files: TOML and JSON that others wrote, and what is written for its owner alone."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import IO, Any

__all__ = ["json_of", "opened", "toml"]


def toml(text: str) -> dict[str, Any]:
    """The tables of a TOML document.

    Raises
    ------
    ValueError
        Saying what is wrong: also for a number of thousands of digits and for arrays within
        arrays beyond every depth, which Python's own reader ends with errors of other kinds.

    Examples
    --------
    >>> toml("a = [1]")
    {'a': [1]}
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _said(error) from None


def json_of(text: str | bytes) -> Any:
    """The value that a JSON document is.

    Raises
    ------
    ValueError
        As of `toml`.

    Examples
    --------
    >>> json_of("[1]")
    [1]
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _said(error) from None


def _said(error: Exception) -> ValueError:
    if isinstance(error, RecursionError):
        return ValueError("it is nested too deeply to be read")
    if "integer string conversion" in str(error):
        return ValueError("it holds a number of thousands of digits")
    return ValueError(str(error).splitlines()[0])


def opened(path: str | Path, mode: str = "w") -> IO[str]:
    """A text file for writing that, where it is new, nobody else may read (mode 0600).

    A file that is there keeps its mode: whoever opened it to others meant it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, opened(f"{folder}/a.jsonl") as file:
    ...     oct(os.stat(file.name).st_mode & 0o777)
    '0o600'
    """

    def own(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600)

    return open(path, mode, encoding="utf-8", opener=own)
