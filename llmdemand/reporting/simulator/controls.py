"""What can be moved in a simulator: prices and attributes, and what they do to regressors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.quantities.intervals import Fit, ready
from llmdemand.modeling.quantities.prices import price_column, priced, with_price
from llmdemand.modeling.quantities.scene import Scene
from llmdemand.modeling.sample.designs import ChoiceDesign

__all__ = ["Control", "Moves", "controls", "moves", "moves_of"]

_POINTS = 121  # at which a control that enters by a curve is tabulated
_REACH = 0.25  # sliders go so far beyond what was seen, in its widths
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Control:
    """A price or an attribute, of one alternative or of the whole case.

    Attributes
    ----------
    alternative : str
        Whose; empty for a variable of the case.
    column : str
        Its column; for prices what the price is called.
    price : bool
        Whether it is a price.
    seen : pair of float
        Lowest and highest value in the sample.
    start : float
        The observed value closest to the median.
    """

    alternative: str
    column: str
    price: bool
    seen: tuple[float, float]
    start: float

    @property
    def reach(self) -> tuple[float, float]:
        """How far a slider goes: a quarter of the range beyond it, and not below zero."""
        low, high = self.seen
        more = _REACH * (high - low) or _REACH * abs(high)
        least = low - more
        return (max(0.0, least) if low >= 0 else least), high + more


@dataclass(frozen=True)
class Moves:
    """What a control does to the regressors of each row.

    Attributes
    ----------
    base : (R,) array
        Its value by row in the scene.
    rows : (M,) int array
        The rows that it moves.
    slope : (M, K) array or None
        Change of the regressors per unit; None where they do not move along a line.
    grid, x : (G,) and (G, M, K) arrays or None
        Values and the regressors at them, where they move along a curve.
    """

    base: Array
    rows: Codes
    slope: Array | None
    grid: Array | None = None
    x: Array | None = None


def controls(fit: Fit, price: str = "price") -> list[Control]:
    """Every price of a fit, then every other number that it reads.

    Parameters
    ----------
    fit : Fit
        A fitted demand.
    price : str
        What the price column is called.

    Returns
    -------
    list of Control
        An attribute that differs between the alternatives of a case is one for each of them.

    Raises
    ------
    DesignError
        If there is no price in the model.
    """
    design, sample = ready(fit, "a market simulator")
    found, used = [], set()
    for name in priced(design, sample, price):
        column, rows = price_column(design, name, price, sample)
        used.add(column)
        found.append(_control(name, price, True, sample[column][np.asarray(rows) > 0]))
    for column in design.variables:
        values = sample[column]
        if column in used or values.dtype.kind not in "fiu":
            continue
        if not isinstance(design, ChoiceDesign) or _of_case(design, sample, column):
            found.append(_control("", column, False, values))
            continue
        for name in design.alternatives:
            own = values[design.labels(sample) == design.alternatives.index(name)]
            if own.nunique() > 1:
                found.append(_control(name, column, False, own))
    return found


def _control(alternative: str, column: str, price: bool, values: object) -> Control:
    seen = np.sort(np.asarray(values, np.float64))
    ends = float(seen[0]), float(seen[-1])
    return Control(alternative, column, price, ends, float(seen[(len(seen) - 1) // 2]))


def _of_case(design: ChoiceDesign, sample: object, column: str) -> bool:
    return bool((sample.groupby(design.group)[column].nunique() <= 1).all())  # type: ignore[attr-defined]


def moved(scene: Scene, control: Control, value: float) -> Scene:
    """The same cases with another value of a control."""
    if not control.alternative:
        return scene.changed(scene.frame.assign(**{control.column: value}))
    made = with_price(scene.design, scene.frame, control.alternative, control.column, value)
    return scene.changed(made)


def moves(scene: Scene, control: Control) -> Moves:
    """What a control does: along a line if it does, else tabulated over what was seen.

    Raises
    ------
    DesignError
        If who belongs to which class depends on it.
    """
    low, high = control.reach
    try:
        ends = moved(scene, control, low), moved(scene, control, high)
    except DesignError:  # a spline has an end, a logarithm none at zero
        low, high = control.seen
        ends = moved(scene, control, low), moved(scene, control, high)
    for end in ends:
        same = scene.members is None or np.array_equal(np.asarray(end.members), scene.members)
        if not same:
            raise DesignError(f"membership of classes depends on {control.column!r}")
    first, last = (end.x for end in ends)
    touched = np.flatnonzero((first != last).any(axis=1) | (first != scene.x).any(axis=1))
    base = _base(scene, control)
    levels = False
    if high > low:
        slope = (last - first)[touched] / (high - low)
        there = first[touched] + slope * (base[touched, None] - low)
        line = _close(scene.x[touched], there)
        try:
            for value in (low + part * (high - low) for part in (0.19, 0.5, 0.78)):
                there = first[touched] + slope * (value - low)
                line = _close(moved(scene, control, value).x[touched], there) and line
        except DesignError:  # it enters by its levels
            line, levels = False, True
        if line:
            return Moves(base, touched, slope)
    grid = _grid(scene, control, low, high, levels)
    table = [moved(scene, control, float(v)).x[touched] for v in grid]
    return Moves(base, touched, None, grid, np.stack(table))


def _close(x: Array, line: Array) -> bool:
    return bool((np.abs(x - line) <= _ROUNDING * (1 + np.abs(line).max(initial=0))).all())


def _grid(scene: Scene, control: Control, low: float, high: float, alone: bool) -> Array:
    """Values at which a control is tabulated: those of the sample, and others between them."""
    _, sample = ready(scene.fit, "a market simulator")
    column = control.column
    if control.alternative:
        column = price_column(scene.design, control.alternative, column, sample)[0]
    levels = np.unique(sample[column].to_numpy(np.float64))
    levels = levels[(levels >= low) & (levels <= high)]
    if alone:
        return levels
    even = np.linspace(low, high, _POINTS)
    return np.unique(np.concatenate([even, levels]).round(9)) if len(levels) <= 60 else even


def _base(scene: Scene, control: Control) -> Array:
    """The value of a control by row of the scene; zero where it has none."""
    design, frame = scene.design, scene.frame
    column = control.column
    if control.alternative:
        column = price_column(design, control.alternative, column, frame)[0]
    return scene.own(frame[column].to_numpy(np.float64))


def moves_of(scene: Scene, known: Sequence[Control]) -> list[Moves]:
    """What each control does, checked to add up when several are moved at once.

    Raises
    ------
    DesignError
        If what one does depends on another.
    """
    found = [moves(scene, control) for control in known]
    draw = np.random.default_rng(1)
    for _ in range(3):
        there, x = scene, scene.x.copy()
        for control, move in zip(known, found, strict=True):
            if move.grid is not None and move.x is not None:
                k = int(draw.integers(len(move.grid)))
                value = float(move.grid[k])
                x[move.rows] += move.x[k] - scene.x[move.rows]
            else:
                assert move.slope is not None
                value = float(draw.uniform(*control.seen))
                x[move.rows] += move.slope * (value - move.base[move.rows])[:, None]
            there = moved(there, control, value)
        if not np.allclose(there.x, x, rtol=_ROUNDING, atol=_ROUNDING * (1 + np.abs(x).max())):
            names = ", ".join(dict.fromkeys(control.column for control in known))
            raise DesignError(f"what {names} do to utility does not add up: they interact")
    return found
