"""Any statistic of humans, their beliefs and the pool's: values and respondents' contributions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Rows",
    "Statistic",
    "Tuning",
    "best_weights",
    "by_influence",
    "by_jackknife",
    "by_name",
    "numbers",
    "weighs",
]

Statistic = Callable[..., Any]
Tuning = Literal["full", "diagonal", "none"]


@dataclass(frozen=True)
class Rows:
    """One side: its rows, whose they are, and which cell of the design.

    Attributes
    ----------
    frame : pandas.DataFrame
        What the statistic is given.
    who, cell : (R,) int arrays
        Respondent, 0 to `people` - 1, and design cell.
    """

    frame: pd.DataFrame
    who: Codes
    cell: Codes

    @cached_property
    def people(self) -> int:
        """Respondents."""
        return int(self.who.max()) + 1

    def kept(self, rows: Any) -> Rows:
        """Some of the rows."""
        return Rows(self.frame[rows], self.who[rows], self.cell[rows])

    def shares(self, cells: int) -> Array:
        """Share of rows in each cell."""
        return np.bincount(self.cell, minlength=cells) / len(self.cell)


def weighs(statistic: Statistic) -> bool:
    """Whether a statistic takes weights: it has an argument of that name."""
    try:
        return "weights" in inspect.signature(statistic).parameters
    except (TypeError, ValueError):  # callables without a signature, as numpy's
        return False


def numbers(
    statistic: Statistic, rows: Rows, column: str, what: str, design: Array | None = None
) -> pd.Series[float]:
    """The statistic's numbers, by name; weighted to a design where one is given."""
    found = by_name(_asked(statistic, rows, column, design))
    if not np.isfinite(found.to_numpy()).all():
        raise DesignError(f"the statistic of the {what} is not finite: {found.to_dict()}")
    return found


def by_name(value: Any) -> pd.Series[float]:
    """What a statistic gave: numbers by name, a single one without a name as ``statistic``.

    Raises
    ------
    UsageError
        For what is no number and no Series of numbers, and two of one name.
    """
    import pandas as pd

    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise UsageError(
            f"the statistic gave {type(value).__name__}: give one number, or a Series of "
            "numbers by name"
        ) from None
    names = list(value.index) if isinstance(value, pd.Series) else list(range(found.size))
    if found.ndim > 1 or len(set(names)) < len(names):
        raise UsageError(
            f"the statistic gave numbers of shape {found.shape}, or two under one name: give "
            "one number, or a Series with a name for each"
        )
    if len(names) == 1 and isinstance(names[0], int | np.integer):
        names = ["statistic"]
    return pd.Series(found.ravel(), names)


def _asked(statistic: Statistic, rows: Rows, column: str, design: Array | None) -> Any:
    if not weighs(statistic):
        return statistic(rows.frame, column)
    if design is None:
        return statistic(rows.frame, column, weights=np.ones(len(rows.cell)))
    own = rows.shares(len(design))
    if ((own == 0) & (design > 0)).any():
        raise DesignError(
            "without a group of respondents the pool has none at some price: ask more of it"
        )
    with np.errstate(invalid="ignore"):
        return statistic(rows.frame, column, weights=(design / own)[rows.cell])


def by_jackknife(
    statistic: Statistic,
    sides: tuple[Rows, Rows],
    columns: tuple[str, str],
    groups: int,
    rng: np.random.Generator,
) -> tuple[Array, Array, Array]:
    """Contributions of groups of respondents: of outcomes, of the correction, of the pool.

    The second is of humans' beliefs less the pool's, which are weighted to the design of those
    humans who are left: a change of the design moves both.
    """
    h, pool = sides
    cells = 1 + int(max(h.cell.max(), pool.cell.max()))
    weighted, (outcome, belief) = weighs(statistic), columns
    own: list[list[Array]] = [[], []]
    what = "rows without a group of respondents"
    for kept in _without(h, groups, rng):
        gap = numbers(statistic, kept, belief, what)
        if weighted:
            gap = gap - numbers(statistic, pool, belief, what, kept.shares(cells))
        own[0].append(np.asarray(numbers(statistic, kept, outcome, what), np.float64))
        own[1].append(np.asarray(gap, np.float64))
    design = h.shares(cells)
    of_pool = [
        numbers(statistic, kept, belief, what, design).to_numpy(np.float64)
        for kept in _without(pool, groups, rng)
    ]
    r, q, p = (_centred(np.array(part)) for part in (own[0], own[1], of_pool))
    return r, q, p


def _without(rows: Rows, groups: int, rng: np.random.Generator) -> Any:
    size = min(groups, rows.people)
    if size < 2:
        raise DesignError(f"{rows.people} respondent: errors need at least 2")
    group = (rng.permutation(rows.people) % size)[rows.who]
    return (rows.kept(group != g) for g in range(size))


def _centred(values: Array) -> Array:
    size = len(values)
    return np.asarray(np.sqrt((size - 1) / size) * (values.mean(axis=0) - values))


def by_influence(
    influence: Statistic, rows: Rows, column: str, size: int, design: Array | None, within: bool
) -> Array:
    """Contributions of respondents from an influence function of rows.

    Parameters
    ----------
    influence : callable
        See `llmdemand.calibration.debias.debias`.
    rows : Rows
        A side.
    column : str
        Of the outcome or of belief.
    size : int
        Numbers of the statistic.
    design : array or None
        To which the pool is weighted.
    within : bool
        Centre within cells: of a correction whose sides have one design.
    """
    given = np.asarray(_asked(influence, rows, column, design), np.float64)
    given = given.reshape(len(rows.who), -1)
    if given.shape[1] != size or not np.isfinite(given).all():
        raise DesignError(
            f"influence gave {given.shape[1]} columns, finite: {bool(np.isfinite(given).all())}; "
            f"the statistic has {size} numbers"
        )
    n = rows.people
    if within:
        count = np.bincount(rows.cell)
        mean = np.column_stack([np.bincount(rows.cell, c) for c in given.T])
        with np.errstate(invalid="ignore"):
            given = given - (mean / count[:, None])[rows.cell]
    found = np.column_stack([np.bincount(rows.who, c, n) for c in given.T])
    return np.asarray((found - found.mean(axis=0)) * np.sqrt(n / (n - 1)))


def best_weights(c: Array, v: Array, tune: Tuning) -> Array:
    """Omega: weights of the statistic's numbers on the LLM's corrections, (P, P)."""
    if tune == "none":
        return np.eye(len(c))
    if tune == "full":
        return np.asarray(c @ np.linalg.pinv(v, hermitian=True))
    spread = np.diag(v)
    known = spread > 0
    weight = np.zeros(len(c))
    weight[known] = np.diag(c)[known] / spread[known]
    return np.diag(weight)
