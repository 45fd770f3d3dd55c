"""Values of a study's fields, checked as they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from llmdemand.errors import StudyError, nearest

__all__ = ["MOST_PRICES", "decimal", "only_known", "price_grid", "texts", "typed"]

#: Prices of one alternative: more is a slip of the pen, such as a step of 1e-7.
MOST_PRICES = 10_000


def decimal(price: float) -> float:
    """The price as a decimal of up to 15 digits, as people write prices.

    Two numbers that are the same decimal are the same price: 0.1 + 0.2 is 0.3. Every decimal
    of up to 15 digits is kept as it is.

    >>> decimal(0.1 + 0.2), decimal(35), decimal(19.99)
    (0.3, 35.0, 19.99)
    """
    return float(f"{price:.15g}") + 0.0  # no negative zero


def typed(value: Any, kind: type, where: str) -> Any:
    """A value of the wanted kind; whole numbers pass for floats, nothing else for anything."""
    fits = isinstance(value, kind) and not (kind is not bool and isinstance(value, bool))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return _as_float(value, where)
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


def _as_float(value: int, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise StudyError(
            f"{where} is a whole number that is beyond every float (above 1e308): give a number"
        ) from None


def price_grid(price: Any, id: str) -> tuple[float, ...]:
    """A price grid: a number, a list of numbers, or {start, stop, step} with both ends.

    >>> price_grid({"start": 0.1, "stop": 0.7, "step": 0.2}, "tea")
    (0.1, 0.3, 0.5, 0.7)
    """
    if isinstance(price, Mapping):
        only_known(price, ["start", "stop", "step", "field"], "price field")
        if set(price) != {"start", "stop", "step"}:
            raise StudyError(
                f"price of {id!r}: give start, stop and a positive step, or the persona's field"
            )
        parts = [typed(price[k], float, f"price.{k} of {id!r}") for k in ("start", "stop", "step")]
        if not all(map(math.isfinite, parts)):
            raise StudyError(f"price of {id!r} is {dict(price)}: give distinct finite numbers")
        if not parts[2] > 0:
            raise StudyError(f"price of {id!r}: give start, stop and a positive step")
        values = _stepped(parts[0], parts[1], parts[2], id)
    else:
        values = list(price) if isinstance(price, list | tuple) else [price]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise StudyError(f"price of {id!r} is {price!r}: give a number or a list of numbers")
    grid = tuple(decimal(typed(v, float, f"price of {id!r}")) for v in values)
    if not grid or len(set(grid)) < len(grid) or not all(map(math.isfinite, grid)):
        raise StudyError(f"price of {id!r} is {price!r}: give distinct finite numbers")
    return grid


def _stepped(start: float, stop: float, step: float, id: str) -> list[float]:
    """The grid in decimal arithmetic, counted before it is built."""
    first, last, by = (Decimal(repr(decimal(v))) for v in (start, stop, step))
    count = int(((last - first) / by).to_integral_value(ROUND_FLOOR)) + 1
    if count > MOST_PRICES:
        raise StudyError(
            f"price of {id!r} from {start:g} to {stop:g} by {step:g} is a grid of {count:,} "
            f"prices: give a step that makes at most {MOST_PRICES:,}"
        )
    return [float(first + k * by) for k in range(count)]
