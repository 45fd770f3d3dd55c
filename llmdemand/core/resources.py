"""The files that are shipped with the package."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

__all__ = ["data_file", "data_names"]


def _root() -> Traversable:
    installed = files("llmdemand") / "data"
    if installed.is_dir():
        return installed
    # An editable install reads the checkout's own folder.
    return Path(__file__).resolve().parents[2] / "data"


def data_file(*parts: str) -> Traversable:
    """One shipped file.

    >>> data_file("studies", "pampers.toml").is_file()
    True
    """
    return _root().joinpath(*parts)


def data_names(folder: str) -> tuple[str, ...]:
    """Names of the shipped files in one folder."""
    return tuple(entry.name for entry in data_file(folder).iterdir())
