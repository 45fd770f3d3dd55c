"""Whether regressors can have coefficients at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cells import standardise

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_regressors", "check_variables"]


def check_variables(frame: pd.DataFrame, variables: Sequence[str], rows: float) -> None:
    """Refuse variables with a single value, whose terms would be constant or vanish.

    Raises
    ------
    DesignError
        Naming the variable and its value.
    """
    for name in variables:
        if frame[name].nunique() == 1:
            value = frame[name].iloc[0]
            shown = f"{value:g}" if isinstance(value, float) else f"{value}"
            raise DesignError(
                f"{name!r} has one value ({shown}) in all {rows:.12g} rows: its coefficient needs "
                "at least two"
            )


def check_regressors(x: Array, terms: Sequence[str], rows: float, *, within: bool = False) -> None:
    """Refuse regressors that no estimate can be made from.

    Parameters
    ----------
    x : (M, K) array
        Distinct regressors; with `within`, less their means in each case.
    terms : sequence of str
        Their names.
    rows : float
        Observations.
    within : bool
        Whether only differences between the alternatives of a case count.

    Raises
    ------
    DesignError
        Constant regressors, collinear ones (named), fewer observations than coefficients.
    """
    for j, term in enumerate(terms):
        if within and not x[:, j].any():
            raise DesignError(
                f"{term!r} is the same for all alternatives of every case: it cancels; "
                "put regressors of the case after a bar, as in 'choice ~ price | income'"
            )
        if not within and term != "const" and np.ptp(x[:, j]) == 0:
            raise DesignError(
                f"{term!r} has one value ({x[0, j]:g}) in all {rows:.12g} rows: "
                "its coefficient needs at least two"
            )
    if rows <= len(terms):
        raise DesignError(
            f"{rows:.12g} rows cannot fit {len(terms)} coefficients: ask for more runs"
        )
    scaled = x if within else standardise(x)[0]
    scale = np.abs(scaled).max(axis=0)
    # A triangular factor of few rows has the rank of many.
    triangle: Array = np.linalg.qr(scaled / np.where(scale > 0, scale, 1.0)).R
    for j in range(len(terms)):
        if np.linalg.matrix_rank(triangle[:, : j + 1]) <= j:
            makers = _makers(triangle, terms, j)
            raise DesignError(
                f"collinear regressors: {terms[j]!r} is made up of {', '.join(makers) or 'none'}; "
                "remove one of them"
            )


def _makers(triangle: Array, terms: Sequence[str], redundant: int) -> list[str]:
    """The terms that a redundant one is a combination of."""
    weight, *_ = np.linalg.lstsq(triangle[:, :redundant], triangle[:, redundant], rcond=None)
    return [repr(terms[j]) for j in range(redundant) if abs(weight[j]) > 1e-8]
