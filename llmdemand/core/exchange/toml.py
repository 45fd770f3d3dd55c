"""A study's plain data as a TOML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmdemand.core.study import Study
from llmdemand.errors import StudyError

__all__ = ["to_toml", "write_study"]

_FIRST = "name title description unit label focal mode answer_first system user offer".split()


def to_toml(data: Mapping[str, Any]) -> str:
    """TOML of a study's plain data: fields, then tables, then lists of tables.

    >>> print(to_toml({"name": "tea", "alternatives": [{"id": "a", "price": [1.0, 2.0]}]}))
    name = "tea"
    <BLANKLINE>
    [[alternatives]]
    id = "a"
    price = [1.0, 2.0]
    <BLANKLINE>
    """
    order = sorted(data, key=lambda k: _FIRST.index(k) if k in _FIRST else len(_FIRST))
    plain, tables, lists = [], [], []
    for key in order:
        value = data[key]
        if isinstance(value, Mapping):
            tables.append(f"\n[{_key(key)}]\n{_lines(value)}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lists += [f"\n[[{_key(key)}]]\n{_lines(one)}" for one in value]
        elif value != []:
            plain.append(f"{_key(key)} = {_value(value)}")
    return "\n".join([*plain, *tables, *lists]) + "\n"


def write_study(study: Study, path: str | Path) -> Path:
    """Write a study as a TOML file, which `load_study` reads as an equal study.

    Raises
    ------
    StudyError
        If the path does not end in ``.toml``, is taken or cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import llmdemand as ld
    >>> with TemporaryDirectory() as folder:
    ...     path = write_study(ld.load_study("coffee-packs"), f"{folder}/mine.toml")
    ...     ld.load_study(path) == ld.load_study("coffee-packs")
    True
    """
    path = Path(path)
    if path.suffix != ".toml":
        raise StudyError(f"{str(path)!r} is no name of a study file: let it end in .toml")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(to_toml(study.to_dict()))
    except FileExistsError:
        raise StudyError(f"{path} exists: give another path, or remove it first") from None
    except OSError as error:
        raise StudyError(
            f"{path} cannot be written ({error.strerror}): give another path"
        ) from None
    return path


def _lines(table: Mapping[str, Any]) -> str:
    return "\n".join(f"{_key(k)} = {_value(v)}" for k, v in table.items())


def _key(key: str) -> str:
    bare = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if bare else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)


def _text(text: str) -> str:
    # JSON's texts are TOML's, but for the one control character that JSON leaves bare.
    quoted = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    if "\n" not in text:
        return quoted
    inner = quoted[1:-1].replace("\\n", "\n")
    # A backslash before "n" was escaped itself: the exact form is the safe one.
    return quoted if "\\" in text else f'"""\n{inner}"""'
