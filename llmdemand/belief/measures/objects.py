"""Percentages in JSON: objects by alternative, records, wrapped or in text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from llmdemand.belief.measures.percentages import Number, Unclear, number_of
from llmdemand.core.menu import Menu, fold

__all__ = ["in_objects"]

_MOST = 20  # places where an object may begin
_VALUE = re.compile(
    r"([-+]?)\s*(\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?|\.\d+)\s*(%|percent|per cent|pct)?"
)


class _Digits(str):
    """A JSON number as it was written."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with all of its keys, those that come twice too."""


def in_objects(text: str, menu: Menu) -> list[tuple[str, Number]]:
    """What the JSON in a text says of alternatives, by id; empty without any.

    Raises
    ------
    Unclear
        For a value that is no number ("50-60").

    Examples
    --------
    >>> menu = Menu.of("Pampers", "Huggies")
    >>> found = in_objects('So: {"Pampers": "60 %", "Huggies": 40}', menu)
    >>> [(name, number.value, number.marked) for name, number in found]
    [('pampers', 60.0, True), ('huggies', 40.0, False)]
    """
    names = {fold(form): a.id for a in menu for form in (*a.forms, a.label, a.id)}
    decoder = json.JSONDecoder(
        object_pairs_hook=_Pairs, parse_float=_Digits, parse_int=_Digits, parse_constant=str
    )
    found: list[tuple[str, Number]] = []
    at = 0
    for _ in range(_MOST):
        begun = re.compile(r"[{\[]").search(text, at)
        if begun is None:
            break
        try:
            value, at = decoder.raw_decode(text, begun.start())
        except (ValueError, RecursionError):
            at = begun.start() + 1
            continue
        found += _said(value, names)
    return found


def _said(value: Any, names: dict[str, str]) -> Iterator[tuple[str, Number]]:
    """Depth first; an object whose keys are alternatives, or a record that names one."""
    if isinstance(value, _Pairs):
        keyed = [(names[fold(k).strip()], v) for k, v in value if fold(k).strip() in names]
        if keyed:
            for name, inner in keyed:
                yield name, _number(name, inner)
            return
        named = [names[fold(v).strip()] for _, v in value if _is_name(v, names)]
        if len(named) == 1:
            rest = [v for _, v in value if not _is_name(v, names) and _has_digits(v)]
            if len(rest) != 1:
                raise Unclear(f"{len(rest)} numbers for {named[0]} in one record")
            yield named[0], _number(named[0], rest[0])
            return
        for _, inner in value:
            yield from _said(inner, names)
    elif isinstance(value, list):
        for inner in value:
            yield from _said(inner, names)


def _is_name(value: Any, names: dict[str, str]) -> bool:
    plain = isinstance(value, str) and not isinstance(value, _Digits)
    return plain and fold(value).strip() in names


def _has_digits(value: Any) -> bool:
    return isinstance(value, str) and any(c.isdigit() for c in value)


def _number(name: str, value: Any) -> Number:
    if isinstance(value, _Pairs):
        inner = [v for _, v in value if _has_digits(v)]
        value = inner[0] if len(inner) == 1 else None
    found = _VALUE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise Unclear(f"no single number for {name}: {str(value)[:40]}")
    size, unit = number_of(found[2])
    return Number(0, 0, -size if found[1] == "-" else size, unit, found[3] is not None)
