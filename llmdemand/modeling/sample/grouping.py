"""Which rows are a case, wherever they stand: the one place that says where a case starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Codes, named_codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cases_of"]


def cases_of(
    frame: pd.DataFrame, case: str, labels: Codes, alternatives: tuple[str, ...]
) -> tuple[Codes, Codes]:
    """Rows in an order that puts those of a case side by side, and where each case starts in it.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per case and alternative, in any order.
    case : str
        Column that names the case; without it the rows are one case.
    labels : (R,) int array
        Alternative of each row, as its place in `alternatives`.
    alternatives : tuple of str
        Their names.

    Returns
    -------
    order : (R,) int array
        The rows, case by case; those of a case as they came.
    start : (N,) int array
        First row of each case, as a place in `order`.

    Raises
    ------
    DesignError
        For rows without a case, and an alternative twice in a case.

    Examples
    --------
    >>> import pandas as pd
    >>> stacked = pd.DataFrame({"case": [1, 2, 1, 2]})
    >>> order, start = cases_of(stacked, "case", np.array([0, 0, 1, 1]), ("a", "b"))
    >>> order.tolist(), start.tolist()
    ([0, 2, 1, 3], [0, 2])
    """
    import pandas as pd

    code = np.zeros(len(frame), np.intp)
    named = case in frame.columns
    if named:
        lost = frame[case].isna().to_numpy()
        if lost.any():
            raise DesignError(
                f"{int(lost.sum())} rows have no value of {case!r} (the first is row "
                f"{int(np.flatnonzero(lost)[0])}), so their case is unknown: mend or leave them out"
            )
        code, _ = named_codes(frame, [case])
    one = code * len(alternatives) + labels
    # A table of all that might be, unless most of it would be empty.
    few = (int(code.max(initial=0)) + 1) * len(alternatives) <= 8 * len(one)
    if (np.count_nonzero(np.bincount(one)) if few else len(pd.unique(one))) < len(one):
        row = int(np.flatnonzero(pd.Series(one).duplicated())[0])
        name = alternatives[labels[row]]
        raise DesignError(
            f"case {frame[case].iloc[row]} has alternative {name!r} twice: one row per case and "
            "alternative is expected"
            if named
            else f"alternative {name!r} is there twice and no column {case!r} divides the rows "
            "into cases: add it"
        )
    sorted_ = bool((np.diff(code) >= 0).all())
    order = np.arange(len(code)) if sorted_ else np.argsort(code, kind="stable")
    return order, np.flatnonzero(np.diff(code[order], prepend=-1))
