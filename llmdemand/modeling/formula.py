"""From a formula and a data frame to arrays, with every wrong name explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Vcov", "matrices", "split_vcov"]

#: ``"iid"``, ``"HC0"``, ``"HC1"`` or ``{"CRV1": column}``.
Vcov = str | Mapping[str, str]


def split_vcov(vcov: Vcov, data: pd.DataFrame) -> tuple[str, Any]:
    """The covariance's name and its clusters, None where it has none.

    Raises
    ------
    DesignError
        For an unknown cluster column or one with missing values.
    UsageError
        If the mapping names more than one.
    """
    if isinstance(vcov, str):
        return vcov, None
    if len(vcov) != 1:
        raise UsageError(f"vcov={vcov} must name one covariance and one column")
    ((name, column),) = vcov.items()
    if column not in data.columns:
        raise DesignError(
            f"no column {column!r} to cluster by{nearest(column, [str(c) for c in data.columns])}"
        )
    if data[column].isna().any():
        raise DesignError(f"column {column!r} to cluster by has missing values")
    return name, data[column].to_numpy()


def matrices(
    formula: str, data: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str], str]:
    """Outcome, regressors, their names (``const`` for the intercept) and the outcome's name.

    Raises
    ------
    DesignError
        For an unknown column, a missing value or a formula that cannot be read.
    """
    import formulaic
    from formulaic.errors import FormulaicError

    try:
        model = formulaic.model_matrix(formula, data, na_action="raise")
        y, x = model.lhs, model.rhs
    except (FormulaicError, NameError, AttributeError, ValueError) as error:
        known = [str(c) for c in data.columns]
        missing = [v for v in _variables(formula) if v not in known]
        if missing:
            raise DesignError(
                f"formula {formula!r}: no column {missing[0]!r}{nearest(missing[0], known)}"
            ) from None
        raise DesignError(
            f"formula {formula!r} cannot be read: {str(error).splitlines()[0]}"
        ) from None
    if y.shape[1] != 1:
        raise DesignError(f"formula {formula!r}: the outcome must be one numeric column")
    terms = ["const" if t == "Intercept" else str(t) for t in x.columns]
    return y.to_numpy(float)[:, 0], x.to_numpy(float), terms, str(y.columns[0])


def _variables(formula: str) -> list[str]:
    import formulaic
    from formulaic.errors import FormulaicError

    try:
        return sorted(map(str, formulaic.Formula(formula).required_variables))
    except FormulaicError:
        return []
