"""Sums of numeric columns: what needs no formula engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.modeling.arrays import EXACT, Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PlainSum"]


@dataclass(frozen=True)
class PlainSum:
    """``a + b + c`` of different columns of numbers, and a constant before them.

    Attributes
    ----------
    columns : tuple of str
        In the order of the formula.
    """

    columns: tuple[str, ...]

    @classmethod
    def of(cls, text: str, frame: pd.DataFrame) -> PlainSum | None:
        """The sum that a formula's part is, or None where it is anything else.

        >>> import pandas as pd
        >>> frame = pd.DataFrame({"price": [1.0], "size": [2], "brand": ["a"]})
        >>> PlainSum.of("price + size", frame)
        PlainSum(columns=('price', 'size'))
        >>> [PlainSum.of(t, frame) for t in ("price + brand", "price:size", "price + price")]
        [None, None, None]
        """
        names = [name.strip() for name in text.split("+")]
        plain = all(n.isidentifier() and n in frame.columns and _number(frame[n]) for n in names)
        return cls(tuple(names)) if plain and len(set(names)) == len(names) else None

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the regressors."""
        return ("const", *self.columns)

    def matrix(self, frame: pd.DataFrame) -> Array | None:
        """A column of ones, and the columns, (R, 1 + K).

        None where a column is not there or not of plain numbers that floats hold exactly: the
        reader of columns knows what to make of it, or to say.
        """
        x = np.empty((len(frame), len(self.terms)))
        x[:, 0] = 1.0
        for k, name in enumerate(self.columns, 1):
            column = frame.get(name)
            if column is None or not _number(column):
                return None
            x[:, k] = column
            if column.dtype.kind != "f" and not (np.abs(x[:, k]) < EXACT).all():
                return None
        return x if np.isfinite(x.sum()) else None


def _number(column: pd.Series) -> bool:
    return isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiu"
