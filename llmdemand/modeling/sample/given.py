"""Rows that a user gives to a fitted model: all its columns, whole and of the right kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.sample.columns import plain
from llmdemand.modeling.sample.designs import ChoiceDesign, Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["checked_rows", "columns_read"]


def columns_read(design: Design) -> list[str]:
    """The columns without which a model knows no utilities."""
    own = [design.alternative] if isinstance(design, ChoiceDesign) else []
    return [*design.variables, *own]


def checked_rows(
    design: Design, sample: pd.DataFrame, rows: pd.DataFrame, where: str
) -> pd.DataFrame:
    """The rows, numbered anew, if the model can read them.

    Parameters
    ----------
    design : Design
        Of the fit.
    sample : pandas.DataFrame
        What was fitted: where it holds numbers, so must the rows.
    rows : pandas.DataFrame
        What was given.
    where : str
        The argument, for messages.

    Raises
    ------
    DesignError
        For a column that is not there; missing or infinite values, and text where numbers were.
    UsageError
        For no rows; for such values in an option (``at``).
    """
    needed, columns = columns_read(design), [str(c) for c in rows.columns]
    for name in needed:
        if name not in columns:
            raise DesignError(
                f"{where}: no column {name!r}{nearest(name, columns)}: the model needs "
                f"{', '.join(needed)}"
            )
    if not len(rows):
        raise UsageError(f"{where}: the data frame has no rows")
    frame = rows.reset_index(drop=True)
    frame = frame.assign(**plain(frame[needed]))
    error = UsageError if where == "at" else DesignError  # an option, or data
    for name in needed:
        values = frame[name]
        lost = values.isna()
        if lost.any():
            raise error(
                f"{where}: column {name!r} is missing in {int(lost.sum())} of {len(lost)} rows "
                f"(the first is row {int(lost.argmax())}): mend them or leave them out"
            )
        if name not in sample.columns or sample[name].dtype.kind not in "fiub":
            continue
        if values.dtype.kind not in "fiub":
            raise error(
                f"{where}: column {name!r} is of another kind ({values.dtype}) than in the data "
                "that were fitted: give finite numbers"
            )
        if not np.isfinite(values.to_numpy(np.float64)).all():
            raise error(f"{where}: column {name!r} must hold finite numbers, has inf")
    return frame
