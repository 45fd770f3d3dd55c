"""Answers of respondents, and what a fit of each of them needs to know of those."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.batch.choices import Choices
from llmdemand.modeling.batch.newton import Bools
from llmdemand.modeling.estimation.regressors import check_differences, check_regressors
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import standardise

__all__ = ["People"]


@dataclass(frozen=True)
class People:
    """N answers of B respondents to choice sets of A alternatives, in the order of respondents.

    Attributes
    ----------
    ids : tuple of str
        Respondents, sorted.
    terms : tuple of str
        Names of the K coefficients.
    who : (N,) int array
        Respondent of each answer.
    point : (N,) int array
        Choice set of each answer, as its place in `sets`.
    outcome : (N, A) array
        Beliefs, corrected beliefs or choices.
    read : (N,) array
        What those of an answer sum to.
    sets : (D, A, K) array
        Distinct choice sets, in regressors that are centred and scaled.
    back : (K, K) array
        Coefficients are ``back`` times those of `sets`.
    label : (N,) int array
        What the caller calls each answer.
    guide : (N, A) array or None
        What corrected beliefs correct: see `Choices`.
    """

    ids: tuple[str, ...]
    terms: tuple[str, ...]
    who: Codes
    point: Codes
    outcome: Array
    read: Array
    sets: Array
    back: Array
    label: Codes
    guide: Array | None = None

    @classmethod
    def of(
        cls,
        x: Array,
        outcome: Array,
        read: Array,
        who: Any,
        terms: tuple[str, ...],
        label: Codes | None = None,
        guide: Array | None = None,
    ) -> People:
        """From rows in any order: (N, A, K) regressors and (N, A) outcomes.

        Raises
        ------
        DesignError
            For regressors that are collinear, or whose values differ between respondents alone.
        """
        n, alternatives, size = x.shape
        known, code = np.unique(np.asarray(who, str), return_inverse=True)
        flat, point = np.unique(x.reshape(n, -1), axis=0, return_inverse=True)
        code, point = code.reshape(-1), point.reshape(-1)
        # What is added up is in one order, whatever the order of the rows.
        more = () if guide is None else tuple(guide.T)
        order = np.lexsort((*more, read, *outcome.T, point, code))
        sets = flat.reshape(-1, alternatives, size)
        code, point = code[order], point[order]
        _check(sets, code, point, terms)
        scaled, back = _scaled(sets, terms, n)
        return cls(
            tuple(str(k) for k in known),
            terms,
            code,
            point,
            np.asarray(outcome, np.float64)[order],
            np.asarray(read, np.float64)[order],
            scaled,
            back,
            order if label is None else label[order],
            None if guide is None else guide[order],
        )

    @cached_property
    def choices(self) -> Choices:
        """All answers, added up by respondent and choice set."""
        return self.some(np.ones(len(self.who), bool))

    def some(self, which: Bools) -> Choices:
        """Some of the answers, added up; respondents without any have no choice set."""
        y = self.outcome[which]
        who, point, read = self.who[which], self.point[which], self.read[which]
        new = np.append(True, (np.diff(who) != 0) | (np.diff(point) != 0))[: len(who)]
        first = np.flatnonzero(new)
        rows = np.diff(first, append=len(who)).astype(float)
        total = np.add.reduceat(y, first) if len(first) else y
        mean = np.repeat(total / rows[:, None], rows.astype(np.intp), axis=0)
        squares = np.add.reduceat(((y - mean) ** 2).sum(axis=1), first) if len(first) else rows
        n = np.add.reduceat(read, first) if len(first) else rows
        b = len(self.ids)
        number = np.bincount(who[first], minlength=b)
        place = np.arange(len(first)) - np.repeat(np.cumsum(number) - number, number)
        at = who[first], place
        most = max(int(number.max(initial=0)), 1)
        x = np.zeros((b, most, *self.sets.shape[1:]))
        x[at] = self.sets[point[first]]
        wide = np.zeros((b, most, y.shape[1]))
        wide[at] = total
        flat = np.zeros((3, b, most))
        flat[:, at[0], at[1]] = n, squares, rows
        guide = None
        if self.guide is not None:
            guide = np.zeros_like(wide)
            some = self.guide[which]
            guide[at] = np.add.reduceat(some, first) if len(first) else some
        return Choices(x, wide, flat[0], flat[1], flat[2], guide)


def _check(sets: Array, who: Codes, point: Codes, terms: tuple[str, ...]) -> None:
    """Raise for coefficients that no respondent's answers say anything of."""
    differences = sets[:, :1] - sets[:, 1:]
    new = np.append(True, (np.diff(who) != 0) | (np.diff(point) != 0))
    people, places = who[new], point[new]
    first = np.flatnonzero(np.append(True, np.diff(people) != 0))
    stays = []
    for k, term in enumerate(terms):
        one = differences[..., k]
        if (one == one[:1]).all() and one.any():
            continue  # a constant
        one = one[places]
        if not np.any(np.maximum.reduceat(one, first) - np.minimum.reduceat(one, first)):
            stays.append(term)
    if stays:
        raise DesignError(
            f"{', '.join(map(repr, stays))} does not vary within any respondent, so that nobody's "
            "own coefficient exists: ask each respondent at several values, or leave it out (what "
            "differs between respondents alone is no taste)"
        )


def _scaled(sets: Array, terms: tuple[str, ...], rows: int) -> tuple[Array, Array]:
    """Choice sets whose regressors are centred and scaled, and the way back."""
    number, alternatives, size = sets.shape
    if alternatives == 2 and not sets[:, 1].any():
        check_regressors(sets[:, 0], terms, rows)
        z, back = standardise(sets[:, 0])
        return np.stack([z, np.zeros_like(z)], axis=1), back
    one, even = np.full(number, rows / number), np.full(number * alternatives, 1 / alternatives)
    cases = Cases(sets.reshape(-1, size), even, np.arange(number) * alternatives, one, one)
    scaled = cases.scaled()
    check_differences(cases, scaled, terms)
    return scaled[0].x.reshape(sets.shape), scaled[1]
