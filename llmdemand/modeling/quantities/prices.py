"""Which column is the price of an alternative, and how it enters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.sample.designs import Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OUTSIDE", "asked_for", "names", "price_column", "priced", "with_price"]

#: What not buying is called.
OUTSIDE = "outside"


def names(design: Design) -> tuple[str, ...]:
    """All alternatives, not buying included."""
    return (*design.alternatives, OUTSIDE) if design.outside else tuple(design.alternatives)


def asked_for(design: Design, alternative: str | None) -> list[str]:
    """One alternative, or all of them."""
    known = names(design)
    if alternative is None:
        return list(known)
    if alternative not in known:
        raise DesignError(
            f"no alternative {alternative!r}{nearest(alternative, known)}: this model has "
            f"{', '.join(known)}"
        )
    return [alternative]


def price_column(
    design: Design, alternative: str, price: str, frame: pd.DataFrame
) -> tuple[str, Array]:
    """Column and rows of an alternative's price.

    Raises
    ------
    DesignError
        If no variable of the model is that price.
    """
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
