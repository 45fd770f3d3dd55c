"""How regressors move with a column, whatever the formula: log, spline, interaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.sample.designs import ChoiceDesign, Design
from llmdemand.modeling.sample.language import read

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Slopes", "numbers", "slopes"]

# Five-point differences (exact for cubics, so for cubic splines), as weights of the four steps
# between the points; by where the value itself stands: in the middle, first or last.
_STENCILS = {
    0: np.array([-1, 7, 7, -1]),
    2: np.array([25, -23, 13, -3]),
    -2: np.array([-3, 13, -23, 25]),
}
_EXPONENT = -11  # a step is about 1/2000 of the price
_JUMP = 0.05  # of a column's largest value


@dataclass(frozen=True)
class Slopes:
    """Derivatives of the regressors.

    Attributes
    ----------
    x : (R, K) array
        ``dx / dcolumn``, each row by its own value of the column.
    jumps : bool
        Whether a regressor jumps at one of the values; jumps are left out.
    """

    x: Array
    jumps: bool


def numbers(frame: pd.DataFrame, column: str, what: str) -> Array:
    """A column as numbers.

    Raises
    ------
    DesignError
        For text or categories.
    """
    values = frame[column]
    if values.dtype.kind not in "fiub":
        raise DesignError(
            f"{what} {column!r} holds {values.dtype}, not numbers: it has levels and no "
            "derivative; compare levels with shares() or simulate()"
        )
    return values.to_numpy(np.float64)


def slopes(design: Design, frame: pd.DataFrame, column: str, sample: pd.DataFrame) -> Slopes:
    """Derivatives of ``design.regressors(frame).wide`` by a column, by five-point differences.

    Exact to rounding where a regressor is linear or a cubic spline in the column, and to
    about 1e-12 for logarithms and powers. At the ends of the sample, where a spline ends,
    the differences look inward. Where a regressor jumps (an indicator of round prices) the
    derivative is that of the side without the jump.

    Parameters
    ----------
    design : Design
        Of the fit.
    frame : pandas.DataFrame
        Where.
    column : str
        By what.
    sample : pandas.DataFrame
        The fitted sample: the range of the column and the scale of the regressors.

    Raises
    ------
    DesignError
        Where the column enters by levels only, or not at all; where belonging to a class
        depends on it.
    """
    members = design.membership if isinstance(design, ChoiceDesign) else None
    if members is not None and column in read(members.text).names:
        raise DesignError(
            f"no derivative by {column!r}: who belongs to which class depends on it, and utilities "
            "are not all that moves; compare values with shares() or simulate(), or ask one class "
            "by of_class(1)"
        )
    value = numbers(frame, column, "column")
    known = numbers(sample, column, "column")
    scale = float(np.abs(known).mean()) or 1.0
    size = np.where(value == 0, scale, np.abs(value))
    # Powers of two: a price plus a step is then exact.
    h = np.exp2(np.floor(np.log2(size)) + _EXPONENT)
    x = design.regressors(frame).wide
    repeat = len(x) // max(len(frame), 1)
    wide = np.repeat(h, repeat)
    centre = np.zeros(len(value), np.intp)
    try:
        points = _points(design, frame, column, value, h, centre)
    except DesignError:
        centre = np.where(value - 2 * h < known.min(), 2, 0)
        centre = np.where(value + 2 * h > known.max(), -2, centre)
        try:
            points = _points(design, frame, column, value, h, centre)
        except DesignError as error:
            raise DesignError(
                f"no derivative by {column!r}: it enters by its levels only or ends at "
                f"{known.min():g} and {known.max():g} ({error}); compare levels with shares() "
                "or simulate(), or let it enter as a number"
            ) from None
    weights = np.array([_STENCILS[c] for c in centre.tolist()]).T
    steps = np.diff(points, axis=0)
    found = np.einsum("pr,prk->rk", np.repeat(weights, repeat, axis=1), steps) / 12
    top = np.abs(design.regressors(sample).wide).max(axis=0)
    jump = (np.ptp(steps, axis=0) > _JUMP * top) & (np.repeat(centre, repeat) == 0)[:, None]
    if jump.any():
        found = np.where(jump, _beside(steps, _JUMP * top), found)
    found /= wide[:, None]
    if not found.any() and (sample is frame or not slopes(design, sample, column, sample).x.any()):
        raise DesignError(
            f"no derivative by {column!r}: the regressors do not move with it, because it enters "
            "by indicators only or not at all; compare prices with shares() or simulate()"
        )
    return Slopes(found, bool(jump.any()))


def _points(
    design: Design,
    frame: pd.DataFrame,
    column: str,
    value: Array,
    h: Array,
    centre: NDArray[np.intp],
) -> Array:
    """Regressors at five values, h apart, around each row's own; (5, R, K)."""
    at = np.concatenate([value + (centre + k) * h for k in (-2, -1, 0, 1, 2)])
    # One long frame: reading a formula costs more than a few rows.
    five = frame.iloc[np.tile(np.arange(len(frame)), 5)].reset_index(drop=True)
    x = design.regressors(five.assign(**{column: at})).wide
    return x.reshape(5, -1, x.shape[1])


def _beside(steps: Array, jump: Array) -> Array:
    """The step on a side without a jump; the mean of the outer ones if both sides jump."""
    left, right = steps[1], steps[2]
    outer = (steps[0] + steps[3]) / 2
    beside = np.where(np.abs(right) > jump, outer, right)
    return np.asarray(np.where(np.abs(left) > jump, beside, left))
