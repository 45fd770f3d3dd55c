"""Fractions of a full factorial that keep most of their points when the factorial grows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmdemand.core.questionnaire.design import fraction

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

__all__ = ["kept"]

# Pairs of a point and a level that are ranked for one factor: about a second.
_MOST_PAIRS = 1_000_000
# Points that are drawn together. Each such batch is balanced, so that more points add to it.
_BATCH = 32


def kept(levels: Sequence[Sequence[str]], points: int, seed: int) -> tuple[int, ...]:
    """A balanced part of a full factorial, drawn from what its levels are.

    Guaranteed: the points are distinct; each level of a factor with L levels occurs
    ``floor(points / L)`` or ``ceil(points / L)`` times; the part does not depend on the order
    in which levels are listed. Aimed at, not guaranteed: pairs of levels of two factors occur
    about equally often; and if a level is added or removed, or `points` changes, most points
    stay. (Balance alone asks for changes: of 24 points at 4 prices, 4 or 5 have to move to a
    fifth price.) Of the smaller half: what is left out is drawn where `points` is more than
    half of the factorial.

    Parameters
    ----------
    levels : sequence of sequence of str
        The levels of each factor by what they are, slowest factor first; distinct within it.
    points : int
        Number of points, from 1 to the product of the numbers of levels.
    seed : int
        Equal seeds give equal fractions.

    Returns
    -------
    tuple of int
        Positions in the full factorial (last factor fastest), ascending.

    Notes
    -----
    Every place in the fraction ranks every level of a factor by a hash of both, and pairs of
    place and level are taken by ascending hash while the place is free and the level is not
    full: first only where the level does not yet meet the place's earlier levels more often
    than its share. What is hashed never changes, so that a new level takes places from the
    others and leaves the rest where they are (rendezvous hashing with bounded loads). Where a
    factor has too many levels to rank them all, `design.fraction` draws the part, which keeps
    nothing.

    Examples
    --------
    >>> kept([["a", "b"], ["10", "20", "35"]], 3, seed=0) == kept(
    ...     [["a", "b"], ["10", "20", "35"]], 3, seed=0
    ... )
    True
    """
    sizes = tuple(map(len, levels))
    total = math.prod(sizes)
    if not 1 <= points <= total:
        raise ValueError(f"points is {points}: give 1 to {total}")
    if points == total:
        return tuple(range(total))
    if 4 * points > 3 * total:
        left_out = set(kept(levels, total - points, seed))
        return tuple(k for k in range(total) if k not in left_out)
    if points * max(sizes) > _MOST_PAIRS:
        return fraction(sizes, points, seed)
    import numpy as np

    places = _hashes([f"{seed}/{k}" for k in range(points)])
    rows = np.zeros((points, len(sizes)), np.int64)
    drawn: list[int] = []
    for factor, names in enumerate(levels):
        if len(names) > 1:
            own = _hashes([f"{factor}/{name}" for name in names])
            _fill(rows, factor, drawn, sizes, _mixed(places[:, None] ^ own), np.argsort(own))
            drawn.append(factor)
    if not _made_distinct(rows, drawn, places):
        return fraction(sizes, points, seed)
    strides = np.array([math.prod(sizes[k + 1 :]) for k in range(len(sizes))])
    return tuple(sorted((rows @ strides).tolist()))


def _hashes(names: Sequence[str]) -> Any:
    import numpy as np

    found = [hashlib.sha256(name.encode()).digest()[:8] for name in names]
    return np.array([int.from_bytes(digest, "big") for digest in found], np.uint64)


def _mixed(value: Any) -> Any:
    """Scrambled 64-bit numbers (the finaliser of SplitMix64, Steele, Lea & Flood 2014)."""
    import numpy as np

    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    return value ^ (value >> np.uint64(31))


def _fill(
    rows: Ints, factor: int, drawn: list[int], sizes: Sequence[int], ranks: Any, first: Any
) -> None:
    """Give every place a level of one factor, in place."""
    import numpy as np

    points, size = len(rows), sizes[factor]
    met = {g: np.zeros((sizes[g], size), int).tolist() for g in drawn}
    place_of = np.argsort(first, kind="stable")  # in the order in which levels get one more
    filled = np.zeros(size, np.int64)
    for begin in range(0, points, _BATCH):
        end = min(begin + _BATCH, points)
        target = end // size + (place_of < end % size)
        left = (target - filled).tolist()
        filled = target
        free = [True] * (end - begin)
        pairs = np.argsort(ranks[begin:end].ravel(), kind="stable").tolist()
        for slack in (0, 1, points):
            for pair in pairs:
                place, level = divmod(pair, size)
                if not free[place] or not left[level]:
                    continue
                own = rows[begin + place]
                if all(met[g][own[g]][level] < -(-end // (sizes[g] * size)) + slack for g in drawn):
                    free[place] = False
                    left[level] -= 1
                    rows[begin + place, factor] = level
                    for g in drawn:
                        met[g][own[g]][level] += 1
            if not any(free):
                break


def _made_distinct(rows: Ints, factors: list[int], places: Any) -> bool:
    """Exchange levels between places until no two are the same point; False if that fails."""
    taken: dict[tuple[int, ...], int] = {}
    again = []
    for place, row in enumerate(map(tuple, rows.tolist())):
        if row in taken:
            again.append(place)
        taken.setdefault(row, place)
    for place in again:
        partners = _mixed(places ^ places[place]).argsort(kind="stable").tolist()
        if not any(
            _exchanged(rows, taken, place, other, factor)
            for other in partners
            for factor in factors
        ):
            return False
    return True


def _exchanged(
    rows: Ints, taken: dict[tuple[int, ...], int], place: int, other: int, factor: int
) -> bool:
    """Exchange one level of a repeated point with another's where both become new."""
    one, two = rows[place].tolist(), rows[other].tolist()
    if taken.get(tuple(two)) != other or one[factor] == two[factor]:
        return False
    before = tuple(two)
    one[factor], two[factor] = two[factor], one[factor]
    if tuple(one) in taken or tuple(two) in taken or one == two:
        return False
    rows[place, factor], rows[other, factor] = one[factor], two[factor]
    del taken[before]
    taken[tuple(one)], taken[tuple(two)] = place, other
    return True
