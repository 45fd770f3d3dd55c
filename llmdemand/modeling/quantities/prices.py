"""Which column is the price of an alternative, and how it enters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.sample.designs import Design, place_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "OUTSIDE",
    "Price",
    "asked_for",
    "extrapolations",
    "free_price",
    "names",
    "not_falling",
    "price_column",
    "price_name",
    "priced",
    "with_price",
]

#: What not buying is called.
OUTSIDE = "outside"
#: The price column, or that of each alternative, as ``{"pampers": "p_pampers"}``.
Price = str | Mapping[str, str]


class _Columns(str):
    """``price``, with the column of each alternative that has one."""

    columns: dict[str, str]


def price_name(design: Design, price: Price) -> str:
    """What the price is called; columns by alternative go with it.

    Raises
    ------
    UsageError
        For a mapping that names no alternative of the model, or no column of it.
    """
    if isinstance(price, str):
        return price
    if not isinstance(price, Mapping) or not price:
        raise UsageError(
            f"price={price!r}: give the name of a column, or that of each alternative, as in "
            f"price={{{design.alternatives[0]!r}: 'price_of_it'}}"
        )
    found = _Columns("price")
    found.columns = {str(a): str(c) for a, c in price.items()}
    for role, given, known in (
        ("alternative", found.columns, design.alternatives),
        ("column", found.columns.values(), design.variables),
    ):
        for name in given:
            if name not in known:
                raise UsageError(
                    f"price: no {role} {name!r} in the model{nearest(name, known)}: it has "
                    f"{', '.join(known)}"
                )
    return found


def names(design: Design) -> tuple[str, ...]:
    """All alternatives, not buying included."""
    return (*design.alternatives, OUTSIDE) if design.outside else tuple(design.alternatives)


def asked_for(design: Design, alternative: str | None) -> list[str]:
    """One alternative, or all of them."""
    known = names(design)
    return list(known) if alternative is None else [known[place_of(alternative, known)]]


def price_column(
    design: Design, alternative: str, price: str, frame: pd.DataFrame
) -> tuple[str, Array]:
    """Column and rows of an alternative's price.

    Raises
    ------
    DesignError
        If no variable of the model is that price.
    """
    if isinstance(price, _Columns):
        own = price.columns.get(alternative, alternative)
        if own not in price.columns.values():
            raise DesignError(
                f"price names no column for {alternative!r}: it has {', '.join(price.columns)}"
            )
        known_as = alternative if alternative in design.alternatives else own
        return own, design.priced(known_as, own, frame)[1]
    column, rows = design.priced(alternative, price, frame)
    if column in design.variables:
        return column, rows
    if f"{price}_{column}" in design.variables:
        return f"{price}_{column}", rows
    known = ", ".join(design.variables) or "none"
    if column == price:
        raise DesignError(
            f"no price {price!r} in the model{nearest(price, design.variables)}: its variables "
            f"are {known}; name the price column with price=..., or add it to the formula"
        )
    raise DesignError(
        f"the price of {alternative!r} is not in the model"
        f"{nearest(alternative, design.variables)}: neither '{price}_{alternative}' nor "
        f"{alternative!r} is among its variables ({known}); add it to the formula"
    )


def priced(design: Design, sample: pd.DataFrame, price: str) -> list[str]:
    """The alternatives that have a price: a column, and one that is not always zero."""
    found, errors = [], []
    for name in design.alternatives:
        try:
            column, rows = price_column(design, name, price, sample)
        except DesignError as error:
            errors.append(error)
            continue
        values = sample[column]
        if values.dtype.kind not in "fiub" or (values.to_numpy()[rows > 0] != 0).any():
            found.append(name)
    if not found and errors:
        raise errors[-1]
    return found


def with_price(
    design: Design, frame: pd.DataFrame, alternative: str, price: str, value: Any
) -> pd.DataFrame:
    """The frame with another price of an alternative."""
    column, rows = price_column(design, alternative, price, frame)
    old = frame[column]
    if old.dtype.kind not in "fiub":
        return frame.assign(**{column: value})
    return frame.assign(**{column: np.where(rows > 0, value, old.to_numpy(np.float64))})


def free_price(
    design: Design, sample: pd.DataFrame, at: Any, alternative: str, price: str, what: str
) -> None:
    """Refuse values of a price that is looked for, or runs over a grid.

    Raises
    ------
    UsageError
        If `at` sets it, under whatever name.
    """
    column, _ = price_column(design, alternative, price, sample)
    for key in at if isinstance(at, Mapping) else ():
        if key in (alternative, column, column.removeprefix(f"{price}_")):
            raise UsageError(
                f"at: {key!r} is the price of {alternative!r}, and {what} sets it itself: leave it "
                "out of at=..."
            )


def not_falling(alternative: str, price: str, slope: float) -> str:
    """That a higher price is liked, in words."""
    return (
        f"demand for {alternative!r} does not fall with {price!r} (utility changes by {slope:.3g} "
        "per unit)"
    )


def extrapolations(
    values: Iterable[float], low: float, high: float, *, differences: bool = False
) -> list[str]:
    """What to know of prices outside those seen, or of amounts larger than they differ by."""
    rests = "an extrapolation that rests on the formula alone"
    if differences:
        said = f"is more than the observed prices differ by ({low:g} to {high:g}): {rests}"
        return [f"{v:.5g} {said}" for v in values if abs(v) > high - low]
    said = f"lies outside the observed prices, {low:g} to {high:g}: {rests}"
    return [f"{v:.5g} {said}" for v in values if not low <= v <= high]
