"""Tasks as regressors of a conditional logit, and what is believed of its coefficients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from llmdemand.core.experiment.space import PRICE, Space, Task
from llmdemand.errors import StudyError, nearest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

__all__ = ["CONSTANTS", "Coding", "coding", "prior_draws"]

#: Key of the prior under which utilities of alternatives stand.
CONSTANTS = "alternatives"
_DRAWS = 64  # of a prior with spread


@dataclass(frozen=True, eq=False)
class Coding:
    """How tasks become regressors.

    Constants of the alternatives but one (the outside option, or the first); effects coding of
    each attribute, the first level the one that is -1 in all columns; the price, and attributes
    that are linear, as they are. The D-error depends on this coding by a factor that is the same
    for all designs.

    Attributes
    ----------
    terms : tuple of str
        Names of the K coefficients.
    base : (J, K) array
        What each alternative of the menu has, whatever its levels.
    parts : tuple of (L, K) array
        What each slot adds to its alternative, by level.
    row : tuple of int
        Alternative of each slot, as the menu counts.
    """

    terms: tuple[str, ...]
    base: Array
    parts: tuple[Array, ...]
    row: tuple[int, ...]

    def x(self, tasks: Sequence[Task]) -> Array:
        """Regressors (T, J, K) of tasks."""
        import numpy as np

        found = np.repeat(self.base[None], len(tasks), axis=0)
        for s, (part, row) in enumerate(zip(self.parts, self.row, strict=True)):
            found[:, row] += part[[task[s] for task in tasks]]
        return np.asarray(found, np.float64)


def coding(space: Space) -> Coding:
    """The regressors of a space of tasks.

    Examples
    --------
    >>> from llmdemand.core.experiment.attributes import Attribute
    >>> from llmdemand.core.menu import Menu
    >>> size = Attribute("size", ("small", "large"))
    >>> space = Space.of(Menu.of("A", "B"), {"a": (1.0, 2.0), "b": (1.0, 2.0)}, [size])
    >>> coding(space).terms
    ('const:b', 'size[large]', 'price')
    >>> coding(space).x([(0, 1, 1, 0)])[0].tolist()
    [[0.0, 1.0, 1.0], [1.0, -1.0, 2.0]]
    """
    import numpy as np

    menu = space.menu
    outside = [a.id for a in menu if a.outside]
    base = outside[0] if outside else menu.ids[0]
    # Without names all others have the same constant: zero.
    constants = [a for a in menu.ids if a != base] if space.labelled else outside
    terms = [f"const:{a}" for a in constants]
    start = {}
    for x in space.attributes:
        start[x.name] = len(terms)
        levels = () if x.linear else x.levels[1:]
        terms += [f"{x.name}[{_text(level)}]" for level in levels] or [x.name]
    moved = any(len(s.levels) > 1 for s in space.slots if s.factor == PRICE)
    start[PRICE] = len(terms)
    terms += [PRICE] if moved else []
    k = len(terms)
    fixed = np.zeros((len(menu.ids), k))
    for place, a in enumerate(constants):
        fixed[menu.ids.index(a), place] = 1.0
    linear = {PRICE, *(x.name for x in space.attributes if x.linear)}
    parts = []
    for slot in space.slots:
        part = np.zeros((len(slot.levels), k))
        at = start[slot.factor]
        if slot.factor not in linear:
            part[1:, at : at + len(slot.levels) - 1] = np.eye(len(slot.levels) - 1)
            part[0, at : at + len(slot.levels) - 1] = -1.0
        elif slot.factor != PRICE or moved:
            part[:, at] = [float(level) for level in slot.levels]
        parts.append(part)
    row = tuple(menu.ids.index(s.alternative) for s in space.slots)
    return Coding(tuple(terms), fixed, tuple(parts), row)


def prior_draws(space: Space, prior: Mapping[str, Any]) -> Array:
    """Coefficients (R, K) in the order of `coding`, as a prior has them.

    Parameters
    ----------
    space : Space
        The tasks.
    prior : mapping
        ``price``: utility per unit of price; an attribute: utilities by level (0 where a level is
        not named), or utility per unit of an attribute of numbers; ``alternatives``: utilities by
        alternative. Each is a number, or a list of its mean and standard deviation; without
        any spread R is 1, else draws are a fixed low-discrepancy sequence of the normal law.

    Returns
    -------
    (R, K) array

    Raises
    ------
    StudyError
        For names that there are not, and values that are no numbers.
    """
    import numpy as np

    names = [x.name for x in space.attributes]
    known = [PRICE, CONSTANTS, *names]
    for name in prior:
        if name not in known:
            raise StudyError(
                f"conjoint.prior: no attribute {name!r}{nearest(str(name), known)}: use "
                f"{', '.join(known)}"
            )
    # One utility after the other: means, spreads, and how the coefficients are made of them.
    means: list[float] = []
    spreads: list[float] = []

    def put(value: Any, where: str) -> int:
        mean, sd = _pair(value, where)
        means.append(mean)
        spreads.append(sd)
        return len(means) - 1

    rows: list[dict[int, float]] = []
    terms = coding(space).terms
    ids = space.menu.ids
    levels = _table(prior.get(CONSTANTS, {}), f"conjoint.prior.{CONSTANTS}", ids)
    constant = {a: put(levels.get(a, 0.0), f"conjoint.prior.{CONSTANTS}.{a}") for a in ids}
    fixed = {t.removeprefix("const:") for t in terms if t.startswith("const:")}
    (base, *_) = [a for a in ids if a not in fixed]
    for a in ids:
        if a in fixed:
            rows.append({constant[a]: 1.0, constant[base]: -1.0})
    for x in space.attributes:
        if x.linear:
            rows.append({put(prior.get(x.name, 0.0), f"conjoint.prior.{x.name}"): 1.0})
            continue
        rows += _effects(x.name, x.levels, prior.get(x.name, {}), put)
    if PRICE in terms:
        rows.append({put(prior.get(PRICE, 0.0), "conjoint.prior.price"): 1.0})
    drawn = _draws(np.array(means), np.array(spreads))
    made = np.zeros((len(terms), len(means)))
    for k, row in enumerate(rows):
        for at, weight in row.items():
            made[k, at] += weight
    return np.asarray(drawn @ made.T, np.float64)


def _effects(name: str, levels: Sequence[Any], given: Any, put: Any) -> list[dict[int, float]]:
    """Effects-coded coefficients as sums of utilities of levels: each less their mean."""
    where = f"conjoint.prior.{name}"
    if not isinstance(given, Mapping):
        if not isinstance(levels[0], float):
            raise StudyError(
                f"{where} is {given!r}: give utilities by level, as {{ {levels[-1]!r} = 0.5 }}; "
                "one number is for attributes of numbers"
            )
        middle = sum(levels) / len(levels)
        at = put(given, where)
        return [{at: level - middle} for level in levels[1:]]
    texts = [_text(level) for level in levels]
    table = _table(given, where, texts)
    places = [put(table.get(text, 0.0), f"{where}.{text}") for text in texts]
    return [{p: (1.0 if p == own else 0.0) - 1 / len(places) for p in places} for own in places[1:]]


def _table(given: Any, where: str, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise StudyError(f"{where} is {given!r}: give a table of utilities")
    for name in given:
        if str(name) not in known:
            raise StudyError(
                f"{where}: no {name!r}{nearest(str(name), list(known))}: use {', '.join(known)}"
            )
    return {str(k): v for k, v in given.items()}


def _pair(value: Any, where: str) -> tuple[float, float]:
    pair = list(value) if isinstance(value, list | tuple) else [value, 0.0]
    fit = len(pair) == 2 and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in pair
    )
    if not fit or pair[1] < 0:
        raise StudyError(
            f"{where} is {value!r}: give a utility, or [mean, standard deviation] of what it may be"
        )
    return float(pair[0]), float(pair[1])


def _draws(means: Array, spreads: Array) -> Array:
    """Draws (R, U) of independent normal laws; one where nothing spreads."""
    import numpy as np

    moved = np.flatnonzero(spreads)
    if not len(moved):
        return means[None]
    # The additive recurrence of the generalised golden ratio (Roberts 2018): the same everywhere.
    d = len(moved)
    root = 2.0
    for _ in range(60):
        root = (1 + root) ** (1 / (d + 1))
    inverse = NormalDist().inv_cdf
    drawn = np.repeat(means[None], _DRAWS, axis=0)
    for k, at in enumerate(moved):
        step = root ** -(k + 1)
        points = [(0.5 + (n + 1) * step) % 1.0 for n in range(_DRAWS)]
        drawn[:, at] += spreads[at] * np.array(
            [inverse(min(max(p, 1e-9), 1 - 1e-9)) for p in points]
        )
    return drawn


def _text(level: Any) -> str:
    """A level as a name: ``250`` of 250.0."""
    return f"{level:g}" if isinstance(level, float) else str(level)
