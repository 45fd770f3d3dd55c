"""Levels of attributes as combinations of the coefficients of a conditional logit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmdemand.core.study import Study
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Numbers

__all__ = ["ALTERNATIVE", "LevelMap", "formula_of", "level_map", "linear_in"]

#: The attribute that an alternative's own name is.
ALTERNATIVE = "alternative"
_PRICE = "price"


@dataclass(frozen=True, eq=False)
class LevelMap:
    """Utilities of levels, linear in the coefficients.

    Attributes
    ----------
    attribute, level : tuple of str
        Names of the M levels; attributes that enter linearly are not among them.
    matrix : (M, K) array
        Utilities ``matrix @ b``, of the first level of each attribute zero.
    centred : (M, K) array
        The same less their mean over the levels of the attribute.
    slopes : mapping of str to (int, float)
        Attributes that enter linearly: place of the coefficient, and the range of their levels.
    price : int or None
        Place of the price coefficient.
    """

    attribute: tuple[str, ...]
    level: tuple[str, ...]
    matrix: Array
    centred: Array
    slopes: dict[str, tuple[int, float]]
    price: int | None

    @property
    def names(self) -> tuple[str, ...]:
        """All attributes, those that enter linearly last."""
        return tuple(dict.fromkeys((*self.attribute, *self.slopes)))

    def rows(self, attribute: str) -> list[int]:
        """Places of the levels of an attribute."""
        return [k for k, name in enumerate(self.attribute) if name == attribute]

    def importances(self, b: Numbers) -> Numbers:
        """Shares of the ranges of utility, in the order of `names`, which sum to 1.

        Which levels are best and worst is that of the real parts, so that derivatives by complex
        steps are those where no two levels change places.
        """
        worth = self.matrix @ b
        ranges = []
        for name in self.names:
            if name in self.slopes:
                place, reach = self.slopes[name]
                ranges.append(b[place] * (reach if np.real(b[place]) >= 0 else -reach))
                continue
            own = worth[self.rows(name)]
            ranges.append(own[np.real(own).argmax()] - own[np.real(own).argmin()])
        found = np.array(ranges)
        shares: Numbers = found / found.sum()
        return shares


def linear_in(study: Study, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Attributes that enter as they are: those of the study, and `more`."""
    return tuple(x.name for x in study.attributes if x.linear or x.name in more)


def formula_of(study: Study, linear: Sequence[str] = ()) -> str:
    """The conditional logit of a conjoint study: the price, and its attributes.

    Those that the study has as linear, and those named, enter as numbers.

    >>> from llmdemand import load_study
    >>> formula_of(load_study("pampers"))
    'price'
    """
    terms = [_PRICE] if _moved(study) or not study.attributes else []
    straight = linear_in(study, linear)
    for x in study.attributes:
        terms.append(x.name if not x.numeric or x.name in straight else f"C({x.name})")
    labelled = study.conjoint is None or study.conjoint.labelled
    if labelled:
        return " + ".join(terms)
    outside = ["outside"] if any(a.outside for a in study.menu) else []
    return " + ".join([*terms, *outside]) + " | 0"


def _moved(study: Study) -> bool:
    return any(len(set(grid)) > 1 for grid in study.prices.values())


def level_map(study: Study, terms: Sequence[str], linear: Sequence[str] = ()) -> LevelMap:
    """How the levels of a study's attributes are made of the terms of a fit.

    Raises
    ------
    DesignError
        If the fit lacks a term of the study's attributes.
    """
    known = list(terms)
    names: list[str] = []
    levels: list[str] = []
    rows: list[Array] = []
    slopes: dict[str, tuple[int, float]] = {}

    def row(term: str | None) -> Array:
        found = np.zeros(len(known))
        if term is not None:
            if term not in known:
                raise DesignError(
                    f"no coefficient {term!r} among {', '.join(known)}: fit with the study's own "
                    "attributes"
                )
            found[known.index(term)] = 1.0
        return found

    if study.conjoint is None or study.conjoint.labelled:
        for a in study.menu.inside:
            names.append(ALTERNATIVE)
            levels.append(a.id)
            rows.append(row(f"const:{a.id}" if f"const:{a.id}" in known else None))
    for x in study.attributes:
        if x.name in linear_in(study, linear):
            numbers = [float(v) for v in x.levels]
            slopes[x.name] = known.index(x.name), max(numbers) - min(numbers)
            continue
        for k, level in enumerate(x.levels):
            names.append(x.name)
            levels.append(f"{level:g}" if isinstance(level, float) else level)
            stem = f"C({x.name})" if x.numeric else x.name
            rows.append(row(f"{stem}[T.{level}]" if k else None))
    matrix = np.array(rows).reshape(len(rows), len(known))
    centred = matrix.copy()
    for name in dict.fromkeys(names):
        mine = [k for k, n in enumerate(names) if n == name]
        # The first level of all is zero, and with it what others are worth is relative to it.
        matrix[mine] = matrix[mine] - matrix[mine[0]]
        centred[mine] = matrix[mine] - matrix[mine].mean(axis=0)
    price = None
    if _moved(study):
        price = known.index(_PRICE)
        shown = [p for grid in study.prices.values() for p in grid]
        slopes[_PRICE] = price, max(shown) - min(shown)
    return LevelMap(tuple(names), tuple(levels), matrix, centred, slopes, price)
