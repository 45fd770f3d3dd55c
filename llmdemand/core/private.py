"""Files that hold what was paid for, or was said in confidence: for their owner alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

__all__ = ["opened"]


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
