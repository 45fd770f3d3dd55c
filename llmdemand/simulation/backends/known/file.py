"""A consumer whose demand is known, as a TOML file describes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmdemand.core.written import toml
from llmdemand.errors import UsageError, nearest

__all__ = ["read_options"]

_TABLES = {
    "constants": "a table of numbers by alternative",
    "part_worths": "a table by attribute, each of numbers by level (or a number per unit)",
    "nests": "a table of lists of alternatives",
    "dissimilarity": "a number, or a table of numbers by nest",
    "preambles": "one of short, long, mixed, none, or lists of token texts",
}


def read_options(path: str | Path, of: Callable[..., Any]) -> dict[str, Any]:
    """The options of a consumer in a TOML file, of the right kinds.

    Parameters
    ----------
    path : path
        Keys are the keyword options of `of`, such as ``icc = 0.1`` and ``[nests]``.
    of : callable
        What takes them; values of what it refuses are its own errors.

    Raises
    ------
    UsageError
        For a file that cannot be read, an unknown option, or a value of another kind.
    """
    path = Path(path)
    try:
        given = toml(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no file {str(path)!r}: give a TOML file of options") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: is not a TOML file that can be read ({error})") from None
    known = {
        k: p.default
        for k, p in inspect.signature(of).parameters.items()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for name, value in given.items():
        if name not in known:
            raise UsageError(
                f"{path}: no option {name!r}{nearest(name, tuple(known))}: use {', '.join(known)}"
            )
        if not _fits(name, value, known[name]):
            wanted = _TABLES.get(name) or (
                "true or false"
                if isinstance(known[name], bool)
                else "a text"
                if isinstance(known[name], str)
                else "a number"
            )
            raise UsageError(f"{path}: {name} = {value!r}: give {wanted}")
    return given


def _fits(name: str, value: object, default: object) -> bool:
    if name in ("constants", "dissimilarity") and isinstance(value, Mapping):
        return all(_number(v) for v in value.values())
    if name == "part_worths" and isinstance(value, Mapping):
        tables = [list(v.values()) if isinstance(v, Mapping) else [v] for v in value.values()]
        return all(_number(v) for table in tables for v in table)
    if name == "nests":
        return isinstance(value, Mapping) and all(_texts(v) for v in value.values())
    if name == "preambles" and isinstance(value, list):
        return all(_texts(words) for words in value)
    if isinstance(default, bool | str):
        return isinstance(value, type(default))
    return name not in ("constants", "part_worths") and _number(value)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)
