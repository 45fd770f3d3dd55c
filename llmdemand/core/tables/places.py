"""Where a file lies: on this machine, or in a store that fsspec knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmdemand.errors import MissingExtra, PanelError

__all__ = ["file_system"]


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
