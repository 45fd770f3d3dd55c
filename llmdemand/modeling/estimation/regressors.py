"""Whether regressors can have coefficients at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, peaks, triangle
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import standardise
from llmdemand.modeling.likelihood.conditioning import well_conditioned
from llmdemand.modeling.passes.cases import CaseSurvey
from llmdemand.modeling.passes.rows import Survey

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "check_case_survey",
    "check_differences",
    "check_regressors",
    "check_survey",
    "check_variables",
]

_CANCELS = (
    "{!r} is the same for all alternatives of every case: it cancels; put regressors of the case "
    "after a bar, as in 'choice ~ price | income'"
)
_SAME = 30.0  # errors of rounding: no more is left of a regressor that others make up
_LEAST = 3  # digits of a coefficient
_FULL = 8.0  # digits: nobody misses one beyond
_SHARE = 1e-6  # of the largest weight: others do not make up a regressor


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


def check_regressors(x: Array, terms: Sequence[str], rows: float) -> tuple[str, ...]:
    """Refuse regressors that no estimate can be made from.

    Parameters
    ----------
    x : (M, K) array
        Distinct regressors.
    terms : sequence of str
        Their names.
    rows : float
        Observations.

    Returns
    -------
    tuple of str
        What to say of regressors that are nearly collinear.

    Raises
    ------
    DesignError
        No regressors; constant ones; collinear ones (named); fewer observations than
        coefficients.
    """
    for j, term in enumerate(terms):
        if term != "const" and np.ptp(x[:, j]) == 0:
            raise DesignError(
                f"{term!r} has one value ({x[0, j]:g}) in all {rows:.12g} rows: "
                "its coefficient needs at least two"
            )
    _check_count(terms, rows)
    away = np.linalg.norm(x - x.mean(axis=0), axis=0)
    return _near(standardise(x)[0], np.linalg.norm(x, axis=0), away, terms)


def check_survey(found: Survey, z: Array, terms: Sequence[str]) -> tuple[str, ...]:
    """`check_regressors` of rows in shards.

    Parameters
    ----------
    found : Survey
        Of the regressors.
    z : (K, K) array
        R of the QR factors of the standardised regressors.
    terms : sequence of str
        Their names.
    """
    for j, term in enumerate(terms):
        if term != "const" and found.low[j] == found.high[j]:
            raise DesignError(
                f"{term!r} has one value ({found.low[j]:g}) in all {found.nobs:.12g} rows: "
                "its coefficient needs at least two"
            )
    _check_count(terms, found.nobs)
    size = np.linalg.norm(found.corner, axis=0)
    away = np.sqrt(np.maximum(size**2 - found.total**2 / found.rows, 0.0))
    return _near(z, size, away, terms)


def check_differences(
    cases: Cases, scaled: tuple[Cases, Array], terms: Sequence[str]
) -> tuple[str, ...]:
    """The same for alternatives of cases, whose differences within each case alone count.

    `scaled` is ``cases.scaled()``.
    """
    z, back = scaled
    for term, largest in zip(terms, peaks(z.x), strict=True):
        if not largest:
            raise DesignError(_CANCELS.format(term))
    _check_count(terms, cases.nobs)
    if well_conditioned(z.x):
        return ()
    x = z.x / np.diag(back)
    away = np.linalg.norm(x - x.mean(axis=0), axis=0)
    return _near(z.x, np.linalg.norm(cases.x, axis=0), away, terms)


def check_case_survey(found: CaseSurvey, z: Array, terms: Sequence[str]) -> tuple[str, ...]:
    """`check_differences` of choice situations in shards.

    Parameters
    ----------
    found : CaseSurvey
        Of the regressors.
    z : (K, K) array
        R of the QR factors of the standardised regressors.
    terms : sequence of str
        Their names.
    """
    for term, peak, middle in zip(terms, found.peak, found.middle, strict=True):
        if peak <= 1e-12 * (peak + middle):
            raise DesignError(_CANCELS.format(term))
    _check_count(terms, found.nobs)
    size = np.linalg.norm(found.corner, axis=0)
    away = np.sqrt(np.maximum(size**2 - found.total**2 / found.rows, 0.0))
    return _near(z, np.sqrt(found.squares), away, terms)


def _check_count(terms: Sequence[str], rows: float) -> None:
    if not len(terms):
        raise DesignError(
            "no regressors are left to estimate: name a column, or 1 for a constant alone"
        )
    if rows <= len(terms):
        raise DesignError(
            f"{rows:.12g} rows cannot fit {len(terms)} coefficients: ask for more runs"
        )


def _near(z: Array, size: Array, away: Array, terms: Sequence[str]) -> tuple[str, ...]:
    """What rounding of the data leaves of each regressor that others nearly make up.

    A regressor in doubles is known to about eps times its size. Where the others, each with
    such an error times its weight, leave a remainder of it that is below 1,000 such errors,
    fewer than 3 digits of its coefficient are known.
    """
    if well_conditioned(z):
        return ()
    length = np.linalg.norm(z, axis=0)
    blur = np.finfo(float).eps * np.maximum(size / np.where(away > 0, away, size), 1.0)
    # A triangular factor of few rows has the rank of many.
    few = triangle(z / length)
    lost: tuple[float, str] | None = None
    for j, term in enumerate(terms):
        left = abs(float(few[j, j])) if j < len(few) else 0.0
        weight = np.linalg.solve(few[:j, :j], few[:j, j])
        noise = float(np.hypot(blur[j], np.linalg.norm(weight * blur[:j])))
        made = [repr(terms[k]) for k in range(j) if abs(weight[k]) > _SHARE * abs(weight).max()]
        if left <= _SAME * noise:
            raise DesignError(
                f"collinear regressors: {term!r} is made up of {', '.join(made) or 'none'}; "
                "remove one of them"
            )
        digits = float(np.log10(left / noise))
        if digits < _LEAST:
            raise DesignError(
                f"nearly collinear regressors: {term!r} is made up of {', '.join(made)} but for a "
                f"part of {left:.1g}, of which rounding of the data leaves {max(digits, 0):.1f} "
                f"digits ({_LEAST} are asked for): remove one of them, or give the difference "
                "itself as a column"
            )
        if digits < _FULL and (lost is None or digits < lost[0]):
            lost = digits, f"{term!r} is made up of {', '.join(made)} but for a part of {left:.1g}"
    if lost is None:
        return ()
    values = np.linalg.svd(few, compute_uv=False)
    return (
        f"nearly collinear regressors (condition number {values[0] / values[-1]:.1g}): {lost[1]}; "
        f"rounding of the data leaves about {lost[0]:.0f} of 16 digits in their coefficients",
    )
