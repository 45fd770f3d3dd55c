"""Which belief belongs to which human answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.samples.entries import shown
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Told", "as_often", "by_place", "own_beliefs", "told_of", "unmatched"]


_COMPARED = 20_000  # respondents of a pool that are compared with the humans


@dataclass(frozen=True)
class Told:
    """What the LLM said as each respondent in each cell, from equally many answers everywhere.

    Means of many answers scatter less than single ones: of sides that were asked unequally often
    only the first answers can be compared.

    Attributes
    ----------
    respondent : (M,) int array
        As whom.
    row : (M,) int array
        Row of the cells (of a choice set its alternative has one of its own).
    belief : (M,) array
        Mean belief.
    answers : int
        Of how many answers; 0 where humans bring their own beliefs, and nobody knows.
    """

    respondent: Codes
    row: Codes
    belief: Array
    answers: int


def own_beliefs(
    humans: tuple[Codes, Codes, Codes],
    llm: tuple[Codes, Codes],
    belief: pd.Series[float],
    given: pd.Series[float] | None,
) -> tuple[Array, Any]:
    """Each human row's mean belief over the LLM's answers as that human, and which cases have one.

    Parameters
    ----------
    humans : three int arrays
        Respondent and cell row of each row, first row of each case.
    llm : two int arrays
        Respondent and cell row of each of the LLM's.
    belief : pandas.Series
        The LLM's.
    given : pandas.Series or None
        Beliefs that the humans bring: they are taken as they are.
    """
    (people, row, start), size = humans, _size(humans[1], llm[1])
    if given is not None:
        return np.asarray(given, np.float64), np.ones(len(start), bool)
    key = people.astype(np.int64) * size + row
    known, mean = _means(llm[0], llm[1], np.asarray(belief, np.float64), size)
    place = np.searchsorted(known, key)
    hit = known[np.minimum(place, len(known) - 1)] == key
    f = np.full(len(key), np.nan)
    f[hit] = mean[place[hit]]
    return f, np.logical_and.reduceat(hit, start)


def as_often(
    humans: tuple[Codes, Codes],
    given: Array | None,
    llm: tuple[Codes, Codes],
    belief: pd.Series[float],
    pool: Any,
) -> tuple[Told, Told]:
    """What the LLM said as humans and as the pool, each the mean of its first few answers.

    Parameters
    ----------
    humans, llm : two int arrays each
        Respondent and cell row.
    given : array or None
        Beliefs that humans bring.
    belief : pandas.Series
        The LLM's.
    pool : bool array
        Which of its rows are of no human.
    """
    size, values = _size(humans[1], llm[1]), np.asarray(belief, np.float64)
    pool = pool & _some(llm[0], pool)
    human = np.zeros(1 + int(max(llm[0].max(), humans[0].max())), bool)
    human[humans[0]] = True
    near = pool | human[llm[0]]
    llm, values, pool = (llm[0][near], llm[1][near]), values[near], pool[near]
    keys = llm[0].astype(np.int64) * size + llm[1]
    asked = np.isin(keys, humans[0].astype(np.int64) * size + humans[1])
    turn = _turns(keys)
    if given is None:
        # The turn of the last answer of each key is one less than their number.
        fewest = min(int(_last(keys[rows], turn[rows]).min()) for rows in (asked, pool)) + 1
    else:
        fewest = 0
    first = turn < fewest if fewest else np.ones(len(turn), bool)
    sides = []
    for rows in (asked & first, pool & first):
        known, mean = _means(llm[0][rows], llm[1][rows], values[rows], size)
        sides.append(Told(*_split(known, size), mean, fewest))
    if given is not None:
        # As the pool's: means over the answers in a cell, which scatter less than the answers do.
        known, mean = _means(*humans, given, size)
        sides[0] = Told(*_split(known, size), mean, 0)
    return sides[0], sides[1]


def told_of(respondent: Codes, first: Codes, start: Codes, f: Array) -> Told:
    """Beliefs by case as what was told once: of one side, from its cases."""
    sizes = np.diff(np.append(start, len(f)))
    row = np.repeat(first - start, sizes) + np.arange(len(f))
    people, size = np.repeat(respondent, sizes), _size(row)
    known, mean = _means(people, row, f, size)
    return Told(*_split(known, size), mean, 1)


def by_place(told: Told, place: Codes) -> Told:
    """Means over all cells, by the place that a row of the cells has in its choice set."""
    size = _size(place)
    known, mean = _means(told.respondent, place[told.row], told.belief, size)
    return Told(*_split(known, size), mean, told.answers)


def _some(people: Codes, pool: Any) -> Any:
    """Rows of every so manyeth respondent of the pool, where there are very many."""
    known = int(np.count_nonzero(np.bincount(people[pool], minlength=1)))
    step = max(known // _COMPARED, 1)
    return people % step == 0


def _size(*rows: Codes) -> int:
    return max(int(r.max(initial=0)) for r in rows) + 1


def _means(people: Codes, row: Codes, values: Array, size: int) -> tuple[Any, Array]:
    """Respondents' cell rows in order, as one number each, and the means of their values."""
    known, inverse, count = np.unique(
        people.astype(np.int64) * size + row, return_inverse=True, return_counts=True
    )
    return known, np.asarray(np.bincount(inverse, values, len(known)) / count)


def _split(keys: Any, size: int) -> tuple[Codes, Codes]:
    return np.asarray(keys // size, np.intp), np.asarray(keys % size, np.intp)


def _turns(keys: Any) -> Any:
    """How many rows before have the same key."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begin = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    turn = np.empty(len(keys), np.intp)
    turn[order] = np.arange(len(keys)) - np.repeat(begin, np.diff(np.append(begin, len(keys))))
    return turn


def _last(keys: Any, turn: Any) -> Any:
    """The highest turn of each key."""
    known, inverse = np.unique(keys, return_inverse=True)
    found = np.zeros(len(known), np.intp)
    np.maximum.at(found, inverse, turn)
    return found


def unmatched(
    h: pd.DataFrame,
    h_ids: Any,
    p_ids: Any,
    is_human: Any,
    people_p: Codes,
    found: Any,
    start: Codes,
    cluster: str,
    rows: pd.DataFrame,
    begin: Codes,
    cell: Codes,
    na: str,
) -> tuple[pd.DataFrame, str]:
    """What to say of humans without a belief of their own; under ``drop`` they leave."""
    first = int(np.flatnonzero(~found)[0])
    who = shown(h_ids[start[first]])
    if not is_human[people_p].any():
        raise DesignError(
            f"no {cluster!r} is on both sides: the humans have {who!r}, the beliefs "
            f"{shown(p_ids[0])!r}, ...; the LLM has to answer as each human, under the same id"
        )
    missing = int((~found).sum())
    if na == "raise" or missing == len(found):
        asked = is_human[people_p] & (p_ids == who)
        end = begin[cell[first] + 1] if cell[first] + 1 < len(begin) else len(rows)
        part = rows.iloc[begin[cell[first]] : end]
        at = "; ".join(
            ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in r.items())
            for r in part.to_dict("records")
        )
        why = (
            "the LLM answered as that respondent only with other values"
            if asked.any()
            else "the LLM did not answer as that respondent"
        )
        raise DesignError(
            f"{missing:,} of {len(found):,} human answers have no belief of their own (the first: "
            f"respondent {who!r}, {at}; {why}): ask it, or leave those answers out with na='drop'"
        )
    sizes = np.diff(np.append(start, len(h)))
    return (
        h[np.repeat(found, sizes)].reset_index(drop=True),
        f"{missing:,} of {len(found):,} human answers without a belief of their own left out",
    )
