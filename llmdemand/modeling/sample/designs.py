"""From data frames to utilities: the sample and any counterfactual by the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from llmdemand.errors import DesignError, nearest
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.sample.formula import Part
from llmdemand.modeling.sample.grouping import cases_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BinaryDesign",
    "ChoiceDesign",
    "Design",
    "MultinomialDesign",
    "Regressors",
    "Rows",
    "expanded",
    "place_of",
]


@dataclass(frozen=True)
class Regressors:
    """What utilities are made of, row by row: of an alternative in a case.

    Attributes
    ----------
    x : (R, K) array
        Regressors.
    offset : (R,) array or None
        Added to the utilities; None for nothing.
    members : (R, Q) array or None
        Regressors of belonging to a class of people; None for models without them.
    """

    x: Array
    offset: Array | None
    members: Array | None = field(default=None, kw_only=True)

    @property
    def wide(self) -> Array:
        """Regressors and, where there is one, the offset as one more column."""
        return self.x if self.offset is None else np.column_stack([self.x, self.offset])

    def utilities(self, params: Array) -> Array:
        """``x @ params`` and the offset, (R,)."""
        found = self.x @ params
        return found if self.offset is None else found + self.offset


@dataclass(frozen=True)
class Rows(Regressors):
    """Regressors case by case: the rows of a case lie side by side.

    Attributes
    ----------
    start : (N,) int array
        First row of each case.
    labels : (R,) int array
        Alternative of each row, as its place in the design's `alternatives`.
    order : (R,) int array
        Row of the data frame that each was made from.
    """

    start: Codes
    labels: Codes
    order: Codes


class Design(Protocol):
    """What turns data into utilities ``x @ params``, plus an offset where there is one.

    Shares are ``exp(v) / sum exp(v)`` within a case; where `outside` is true the sum has one
    more term, 1, for not buying. A binary logit is one alternative beside the outside.
    """

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the coefficients."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns that the regressors are made of."""

    @property
    def alternatives(self) -> tuple[str, ...]:
        """The alternatives that have utilities."""

    @property
    def outside(self) -> bool:
        """Whether not buying is one more alternative, with utility 0."""

    @property
    def offset(self) -> bool:
        """Whether the utilities have a part whose coefficient is fixed at 1."""

    def expand(self, frame: pd.DataFrame) -> Rows:
        """Regressors of these rows, which may stand in any order, case by case."""

    def regressors(self, frame: pd.DataFrame) -> Regressors:
        """Regressors row by row, as the frame has them, of whatever cases."""

    def priced(self, alternative: str, price: str, frame: pd.DataFrame) -> tuple[str, Array]:
        """Where an alternative's price stands: its column, and which rows (R',) of the frame."""


def place_of(alternative: str, known: tuple[str, ...]) -> int:
    """The place of an alternative among those that are known.

    Raises
    ------
    DesignError
        If it is none of them.
    """
    if alternative not in known:
        raise DesignError(
            f"no alternative {alternative!r}{nearest(alternative, known)}: "
            f"this model has {', '.join(known)}"
        )
    return known.index(alternative)


@dataclass(frozen=True)
class BinaryDesign:
    """One alternative, bought or not.

    Attributes
    ----------
    part : Part
        The right-hand side.
    variables : tuple of str
        Columns that it reads.
    name : str
        What the outcome is about.
    """

    part: Part
    variables: tuple[str, ...]
    name: str

    outside = True

    @property
    def offset(self) -> bool:
        """Whether there is one."""
        return self.part.offset

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return self.part.terms

    @property
    def alternatives(self) -> tuple[str, ...]:
        """The one alternative."""
        return (self.name,)

    def expand(self, frame: pd.DataFrame) -> Rows:
        """One row per case."""
        made, each = self.regressors(frame), np.arange(len(frame))
        return Rows(made.x, made.offset, each, np.zeros_like(each), each)

    def regressors(self, frame: pd.DataFrame) -> Regressors:
        """One row per case."""
        return Regressors(*self.part.made(frame))

    def priced(self, alternative: str, price: str, frame: pd.DataFrame) -> tuple[str, Array]:
        """The price column; a rival is named by the column of its price."""
        column = price if alternative in self.alternatives else alternative
        return column, np.ones(len(frame))


@dataclass(frozen=True)
class MultinomialDesign:
    """Several alternatives, regressors of the case, one coefficient per alternative but the base.

    Attributes
    ----------
    part : Part
        The right-hand side.
    variables : tuple of str
        Columns that it reads.
    alternatives : tuple of str
        All of them, the base first.
    """

    part: Part
    variables: tuple[str, ...]
    alternatives: tuple[str, ...]

    outside = False
    offset = False

    @property
    def terms(self) -> tuple[str, ...]:
        """``term:alternative``, alternative by alternative."""
        return tuple(f"{t}:{a}" for a in self.alternatives[1:] for t in self.part.terms)

    def expand(self, frame: pd.DataFrame) -> Rows:
        """J rows per case."""
        n, j = len(frame), len(self.alternatives)
        labels, order = np.tile(np.arange(j), n), np.repeat(np.arange(n), j)
        return Rows(self.regressors(frame).x, None, np.arange(n) * j, labels, order)

    def regressors(self, frame: pd.DataFrame) -> Regressors:
        """J rows per case; those of the base are zero."""
        return Regressors(expanded(self.part.matrix(frame), len(self.alternatives)), None)

    def priced(self, alternative: str, price: str, frame: pd.DataFrame) -> tuple[str, Array]:
        """A column of the case: ``price_<alternative>`` where there is one, else as named."""
        named = f"{price}_{alternative}"
        return (named if named in self.variables else alternative), np.ones(len(frame))


def expanded(x: Array, alternatives: int) -> Array:
    """Regressors (N, K) of cases as those of J alternatives, (N J, (J - 1) K); the first has none.

    >>> expanded(np.array([[1.0, 5.0]]), 3).tolist()
    [[0.0, 0.0, 0.0, 0.0], [1.0, 5.0, 0.0, 0.0], [0.0, 0.0, 1.0, 5.0]]
    """
    (n, k), j = x.shape, alternatives
    wide = np.zeros((n, j, (j - 1) * k))
    for a in range(1, j):
        wide[:, a, (a - 1) * k : a * k] = x
    return wide.reshape(n * j, -1)


@dataclass(frozen=True)
class ChoiceDesign:
    """One row per case and alternative; choice sets may differ between cases.

    Attributes
    ----------
    generic, case, own : Part
        Regressors with one coefficient; those of the case with a coefficient per
        alternative but the base; those of alternatives with a coefficient for each.
    variables : tuple of str
        Columns that they read.
    alternatives : tuple of str
        All of them, the base first.
    alternative, group : str
        Columns that name the alternative and the case.
    membership : Part or None
        Regressors of belonging to a class of people, where there are classes.
    """

    generic: Part
    case: Part
    own: Part
    variables: tuple[str, ...]
    alternatives: tuple[str, ...]
    alternative: str
    group: str
    membership: Part | None = None

    outside = False

    @property
    def offset(self) -> bool:
        """Whether there is one."""
        return self.generic.offset

    @property
    def terms(self) -> tuple[str, ...]:
        """Generic terms first, then ``term:alternative``."""
        return (
            *(t for t in self.generic.terms if t != "const"),
            *(f"{t}:{a}" for t in self.case.terms for a in self.alternatives[1:]),
            *(f"{t}:{a}" for t in self.own.terms if t != "const" for a in self.alternatives),
        )

    def alone(self, variable: str) -> tuple[str, ...]:
        """The terms that are made of one variable and of no other; ``const`` has the constants."""
        if variable == "const":
            return tuple(t for t in self.terms if t.startswith("const:"))
        return (
            *self.generic.alone(variable),
            *(f"{t}:{a}" for t in self.case.alone(variable) for a in self.alternatives[1:]),
            *(f"{t}:{a}" for t in self.own.alone(variable) for a in self.alternatives),
        )

    def labels(self, frame: pd.DataFrame) -> Codes:
        """Alternative of each row."""
        import pandas as pd

        code, found = pd.factorize(frame[self.alternative])
        if (code < 0).any():
            raise DesignError(
                f"row {int(np.argmax(code < 0))} names no alternative: column "
                f"{self.alternative!r} is missing there"
            )
        place = [place_of(str(a), self.alternatives) for a in found]
        return np.array(place, np.intp)[code]

    def cases(self, frame: pd.DataFrame) -> tuple[Codes, Codes]:
        """The rows case by case, and where each case starts among them: see `cases_of`."""
        return cases_of(frame, self.group, self.labels(frame), self.alternatives)

    def expand(self, frame: pd.DataFrame) -> Rows:
        """The rows, case by case; without a column of cases they are one case."""
        labels = self.labels(frame)
        order, start = cases_of(frame, self.group, labels, self.alternatives)
        made = self._made(frame, labels)
        if (np.diff(order) > 0).all():  # they lie case by case
            return Rows(made.x, made.offset, start, labels, order, members=made.members)
        offset = None if made.offset is None else made.offset[order]
        members = None if made.members is None else made.members[order]
        return Rows(made.x[order], offset, start, labels[order], order, members=members)

    def regressors(self, frame: pd.DataFrame) -> Regressors:
        """One row per row of the frame."""
        return self._made(frame, self.labels(frame))

    def _made(self, frame: pd.DataFrame, labels: Codes) -> Regressors:
        generic, offset = self.generic.made(frame)
        case, own = self.case.matrix(frame), _without_constant(self.own, self.own.matrix(frame))
        blocks = [_without_constant(self.generic, generic)]
        if case.shape[1] + own.shape[1]:
            dummies = (labels[:, None] == np.arange(len(self.alternatives))).astype(float)
            blocks += [case[:, [k]] * dummies[:, 1:] for k in range(case.shape[1])]
            blocks += [own[:, [k]] * dummies for k in range(own.shape[1])]
        members = None if self.membership is None else self.membership.matrix(frame)
        x = np.hstack(blocks) if len(blocks) > 1 else blocks[0]
        return Regressors(x, offset, members=members)

    def priced(self, alternative: str, price: str, frame: pd.DataFrame) -> tuple[str, Array]:
        """The price column, in the rows of the alternative."""
        at = self.labels(frame) == place_of(alternative, self.alternatives)
        return price, at.astype(float)


def _without_constant(part: Part, x: Array) -> Array:
    # Made with a constant, so that categories are coded against a base: utilities are relative.
    keep = [k for k, t in enumerate(part.terms) if t != "const"]
    # The constant comes first: what follows need not be copied.
    return x[:, 1:] if keep == list(range(1, x.shape[1])) else x[:, keep]
