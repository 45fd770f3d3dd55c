"""The likelihood of choice situations in shards: sums over them, as of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, peaks, sums, triangle
from llmdemand.modeling.likelihood.cases import Cases, llf_of_constants
from llmdemand.modeling.likelihood.separating import separating_differences
from llmdemand.modeling.passes.rows import Numbered
from llmdemand.modeling.passes.spread import NEEDS, ROUNDS, WORST, Spread, beside, projected
from llmdemand.scale.session import Session

__all__ = [
    "CaseSurvey",
    "SpreadCases",
    "Told",
    "Whole",
    "centred",
    "merged_survey",
    "surveyed_cases",
    "told",
]

_SAMPLE = 1 << 11  # cases


@dataclass(frozen=True)
class CaseSurvey:
    """What one pass tells of all choice situations; regressors are less their mean in the case.

    Attributes
    ----------
    nobs, dropped : float
        Choice situations, and rows left out.
    peak, middle, largest : (K,) arrays
        Largest absolute values of the regressors, of the means that were taken off, and of what
        they were.
    total, squares : (K,) arrays
        Sums of the regressors, and of the squares of what they were.
    corner : (K, K) array
        R of their QR factors: see `llmdemand.modeling.arrays.triangle`.
    rows : int
        Rows of alternatives.
    balanced, binary, offset, corrected, negative : bool
        Whether all alternatives are in all choice sets, all outcomes 0 or 1; whether there is an
        offset; whether outcomes are corrected beliefs, and some of them negative.
    chosen : (J,) array
        Weighted outcomes of each alternative.
    read, whole : float
        Sums of the weights, with `Cases.read` and without.
    entropy : float
        See `Cases.saturated`.
    heaviest, lightest : float
        Sampling weights.
    some : Cases
        A few thousand.
    """

    nobs: float
    dropped: int
    peak: Array
    middle: Array
    largest: Array
    total: Array
    squares: Array
    corner: Array
    rows: int
    balanced: bool
    binary: bool
    offset: bool
    corrected: bool
    negative: bool
    chosen: Array
    read: float
    whole: float
    entropy: float
    heaviest: float
    lightest: float
    some: Cases = field(repr=False)

    def __add__(self, other: CaseSurvey) -> CaseSurvey:
        return CaseSurvey(
            self.nobs + other.nobs,
            self.dropped + other.dropped,
            np.maximum(self.peak, other.peak),
            np.maximum(self.middle, other.middle),
            np.maximum(self.largest, other.largest),
            self.total + other.total,
            self.squares + other.squares,
            triangle(np.concatenate([self.corner, other.corner])),
            self.rows + other.rows,
            self.balanced and other.balanced,
            self.binary and other.binary,
            self.offset or other.offset,
            self.corrected or other.corrected,
            self.negative or other.negative,
            self.chosen + other.chosen,
            self.read + other.read,
            self.whole + other.whole,
            self.entropy + other.entropy,
            max(self.heaviest, other.heaviest),
            min(self.lightest, other.lightest),
            self.some if len(self.some.start) >= _SAMPLE else _joined(self.some, other.some),
        )


def _joined(one: Cases, two: Cases) -> Cases:
    """Cases of both."""

    def both(name: str) -> Any:
        a, b = getattr(one, name), getattr(two, name)
        return None if a is None or b is None else np.concatenate([a, b])

    start = np.concatenate([one.start, two.start + len(one.y)])
    names = ("x", "y", "count", "weight", "labels", "offset", "read")
    return replace(one, start=start, **{name: both(name) for name in names})


def centred(cases: Cases) -> Cases:
    """Regressors less their mean in the case, for utilities are relative."""
    middle = cases.sets.sum(cases.x) / cases.sets.sizes[:, None]
    return replace(cases, x=cases.sets.less(cases.x, middle), groups={})


#: Reads the cases of a shard as they are, a part at a time, and counts the rows that are left out.
Whole = Callable[[Numbered], Iterator[tuple[Cases | None, int]]]


def surveyed_cases(
    shards: list[Numbered], whole: Whole, alternatives: int, session: Session
) -> CaseSurvey:
    """See `CaseSurvey`.

    Raises
    ------
    DesignError
        If no case is left, or weights are all zero.
    """
    return merged_survey(shards, partial(_survey, whole=whole, alternatives=alternatives), session)


#: What a shard tells, and its rows that are left out.
Told = tuple[CaseSurvey | None, int]


def merged_survey(
    shards: list[Numbered], work: Callable[[Numbered], Told], session: Session
) -> CaseSurvey:
    """What all shards tell, by a function of each: see `surveyed_cases`."""
    merged: Told = session.map_merge(work, shards, merge=_surveys)
    found, dropped = merged
    if found is None or not found.whole > 0:
        raise DesignError(
            "no rows to fit: there are none, all have missing values, or weights are all zero"
        )
    return replace(found, dropped=dropped)


def _surveys(one: Told, two: Told) -> Told:
    a, b = one[0], two[0]
    both = a + b if a is not None and b is not None else (b if a is None else a)
    return both, one[1] + two[1]


def _survey(shard: Numbered, whole: Whole, alternatives: int) -> Told:
    found: Told = None, 0
    for cases, dropped in whole(shard):
        here = None if cases is None else told(cases, alternatives)
        found = _surveys(found, (here, dropped))
    return found


def told(cases: Cases, alternatives: int) -> CaseSurvey:
    """What some choice situations tell, of a number of alternatives in all."""
    z, w = centred(cases), cases.count * cases.weight
    few = np.zeros(len(w))
    few[:: max(1, len(w) // _SAMPLE)] = 1.0
    middle = cases.sets.sum(cases.x) / cases.sets.sizes[:, None]
    return CaseSurvey(
        cases.nobs,
        0,
        peaks(z.x),
        peaks(middle),
        peaks(cases.x),
        z.x.sum(axis=0),
        (cases.x**2).sum(axis=0),
        triangle(z.x),
        len(z.y),
        cases.sets.balanced == alternatives,
        not cases.fractional,
        cases.offset is not None,
        cases.corrected,
        bool((cases.y < 0).any()),
        sums(cases.labels, cases.sets.spread(w) * cases.y, alternatives),
        float((w if cases.read is None else w * cases.read).sum()),
        float(w.sum()),
        cases.saturated(),
        float(cases.weight.max()),
        float(cases.weight.min()),
        z.weighted(few),
    )


@dataclass(frozen=True, eq=False)
class SpreadCases(Spread):
    """Choice situations in shards, as a `Likelihood`: see `Spread`.

    Attributes
    ----------
    made : function, optional
        From the cases of a part to what has the likelihood; None for a conditional logit.
    more : int
        Coefficients that it has besides those of the regressors.
    """

    made: Callable[[Cases], Any] | None = None
    more: int = 0

    @property
    def size(self) -> int:
        """K, the number of coefficients."""
        return int(self.basis.shape[1]) + self.more

    @property
    def corrected(self) -> bool:
        """Whether outcomes are corrected beliefs."""
        return bool(self.survey.corrected)

    @property
    def _made_by(self) -> Callable[[Any], Any]:
        return partial(projected, basis=self.basis, made=self.made)

    def oriented(self, params: Array) -> Array:
        """Itself: of nested logits there is one form."""
        return params

    def llnull(self) -> float | None:
        """See `Cases.llnull`."""
        found: CaseSurvey = self.survey
        if not found.balanced or found.offset:
            return None
        return llf_of_constants(found.chosen, found.read, corrected=found.corrected)

    def constants(self) -> SpreadCases:
        """The same outcomes with one constant per alternative but the first."""
        size = len(self.survey.chosen)
        made = partial(_dummies, size=size)
        # Of the regressors themselves nothing is kept.
        none = self.basis[:, :0]
        return replace(self, basis=none, made=made, more=size - 1, _known={})

    def reach(self, step: Array) -> float:
        """No less than the largest change of a difference of utilities, without a pass."""
        if not self.basis.shape[1]:  # constants
            return float(2 * np.abs(step).max())
        return float(2 * np.abs(np.linalg.solve(self.scale, self.basis @ step)).sum())

    @property
    def scale(self) -> Array:
        """See `Cases.scaled`."""
        found: CaseSurvey = self.survey
        nothing = found.peak <= 1e-12 * (found.peak + found.middle)
        return np.diag(1 / np.where(nothing, 1.0, found.peak))

    def separating_direction(self) -> Array | None:
        """A direction that no choice contradicts, or None: see `Spread.separating_direction`."""
        if self.survey.negative:
            raise UsageError(NEEDS.format("the question whether corrected beliefs are separated"))
        x = self.survey.some.projected(self.basis).differences()
        for _ in range(ROUNDS):
            null = not len(x) or bool(np.linalg.matrix_rank(x) < self.size)
            d = np.linalg.svd(x)[2][-1] if null else separating_differences(x)
            if d is None:
                return None
            (more,) = self._asked(partial(_against, direction=d, both=null), beside)
            if not len(more):
                return np.asarray(d)
            x = np.concatenate([x, more])
        raise UsageError(NEEDS.format("the question whether the data are separated"))


def _dummies(cases: Cases, size: int) -> Cases:
    return replace(cases, x=(cases.labels[:, None] == np.arange(1, size)).astype(float))


def _against(cases: Cases, direction: Array, both: bool) -> tuple[Array]:
    """The differences that contradict a direction most."""
    x = cases.differences()
    moved = x @ direction
    wrong = np.abs(moved) if both else -moved
    few = np.argsort(wrong)[-WORST:]
    return (x[few[wrong[few] > 1e-9 * np.abs(direction).sum()]],)
