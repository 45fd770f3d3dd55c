"""Values of a study's fields, checked as they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llmdemand.errors import StudyError, nearest

__all__ = ["only_known", "price_grid", "texts", "typed"]


def typed(value: Any, kind: type, where: str) -> Any:
    """A value of the wanted kind; whole numbers pass for floats, nothing else for anything."""
    fits = isinstance(value, kind) and not (kind is not bool and isinstance(value, bool))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not fits:
        names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
        wanted = names.get(kind, "a table" if kind is dict else "a list")
        raise StudyError(f"{where} is {value!r}: give {wanted}")
    return value


def texts(value: Any, where: str) -> tuple[str, ...]:
    """A tuple of texts from a list or a single one."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise StudyError(f"{where} is {value!r}: give a list of texts")
    return tuple(value)


def only_known(data: Mapping[str, Any], known: list[str], what: str) -> None:
    """Raise for a field that is not known, with the nearest that is."""
    for key in data:
        if key not in known:
            raise StudyError(f"unknown {what} {key!r}{nearest(key, known)}; known: {known}")


def price_grid(price: Any, id: str) -> tuple[float, ...]:
    """A price grid: a number, a list of numbers, or {start, stop, step} with both ends."""
    if isinstance(price, Mapping):
        only_known(price, ["start", "stop", "step", "field"], "price field")
        if set(price) != {"start", "stop", "step"}:
            raise StudyError(
                f"price of {id!r}: give start, stop and a positive step, or the persona's field"
            )
        parts = [typed(price[k], float, f"price.{k} of {id!r}") for k in ("start", "stop", "step")]
        if not all(map(math.isfinite, parts)):
            raise StudyError(f"price of {id!r} is {dict(price)}: give distinct finite numbers")
        start, stop, step = parts
        if not step > 0:
            raise StudyError(f"price of {id!r}: give start, stop and a positive step")
        count = math.floor((stop - start) / step + 1e-9) + 1
        values = [start + k * step for k in range(count)]
    else:
        values = list(price) if isinstance(price, list | tuple) else [price]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise StudyError(f"price of {id!r} is {price!r}: give a number or a list of numbers")
    grid = tuple(float(v) for v in values)
    if not grid or len(set(grid)) < len(grid) or not all(map(math.isfinite, grid)):
        raise StudyError(f"price of {id!r} is {price!r}: give distinct finite numbers")
    return grid
