"""TOML and JSON that others wrote: what is wrong with them in one sentence, whatever it is."""

from __future__ import annotations

import json
import tomllib
from typing import Any

__all__ = ["json_of", "toml"]


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
