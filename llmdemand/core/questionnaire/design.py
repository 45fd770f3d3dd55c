"""Numbers of a design: option orders, seeded permutations and balanced fractions.

Everything is drawn from SHA-256 or from the raw output of one bit generator. Those never
change, while the methods of numpy's generators may from version to version; a panel written
today has to find its design again in ten years.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

__all__ = ["fraction", "shuffled", "williams"]

_CANDIDATES = 256  # partners of an exchange that are looked at before one is taken
_EXCHANGES = 25_000  # pairs of factors tried in the exchange phase: about a second


def williams(count: int) -> tuple[tuple[int, ...], ...]:
    """Rows of a Latin square that is balanced for carry-over (Williams 1949).

    Every item stands equally often at every place, and every ordered pair of items
    stands equally often side by side. A cyclic square has the first property only: in
    it, each item always follows the same other one.

    Parameters
    ----------
    count : int
        Number of items, at least 0.

    Returns
    -------
    tuple of tuple of int
        `count` rows if it is even or 1, twice as many if it is odd; the first row is
        ``0, 1, 2, ...``.

    Examples
    --------
    >>> williams(2)
    ((0, 1), (1, 0))
    >>> len(williams(3)), len(williams(4))
    (6, 4)
    """
    if count < 2:
        return (tuple(range(count)),)
    # 0, 1, -1, 2, -2, ...: its neighbours differ by every number once.
    zigzag = [(k + 1) // 2 if k % 2 else -(k // 2) % count for k in range(count)]
    rows = [[(z + shift) % count for z in zigzag] for shift in range(count)]
    if count % 2:
        rows += [row[::-1] for row in rows]
    # Renaming the items keeps both properties, and makes the first row the plain one.
    renamed = {item: place for place, item in enumerate(rows[0])}
    return tuple(tuple(renamed[item] for item in row) for row in rows)


@lru_cache(maxsize=1 << 16)
def shuffled(count: int, seed: int, purpose: str, number: int) -> tuple[int, ...]:
    """A permutation of ``range(count)`` that depends on the arguments alone.

    Parameters
    ----------
    count : int
        Number of items.
    seed : int
        Of the whole design.
    purpose, number : str, int
        What the permutation is for, and which one of that kind.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> sorted(shuffled(3, 0, "block", 5))
    [0, 1, 2]
    """
    return tuple(
        sorted(
            range(count),
            key=lambda k: hashlib.sha256(f"{seed}/{purpose}/{number}/{k}".encode()).digest(),
        )
    )


@lru_cache(maxsize=16)
def fraction(sizes: tuple[int, ...], points: int, seed: int) -> tuple[int, ...]:
    """A balanced part of a full factorial.

    Guaranteed for every size and seed: the points are distinct, and each level of a
    factor with L levels occurs ``floor(points / L)`` or ``ceil(points / L)`` times.
    Aimed at, not guaranteed: pairs of levels of two factors occur about equally often.

    Parameters
    ----------
    sizes : tuple of int
        Number of levels of each factor, slowest first.
    points : int
        Number of points kept, from 1 to the product of `sizes`.
    seed : int
        At least 0; equal seeds give equal fractions.

    Returns
    -------
    tuple of int
        Positions in the full factorial (last factor fastest), ascending.

    Raises
    ------
    ValueError
        If there are not that many points.

    Notes
    -----
    Stepping all factors by one at a time visits lcm(sizes) points, in which each level
    of each factor occurs equally often; the factorial falls apart into such blocks. Whole
    blocks and one run of consecutive steps are balanced and distinct by construction.
    Then rows exchange the level of one factor, which leaves all main effects as they are,
    wherever that evens out the pairs.
    For more than half of the factorial, the points left out are chosen in this way: what
    remains of a balanced whole is balanced too.

    Examples
    --------
    >>> kept = fraction((2, 2, 2), 4, seed=0)
    >>> len(kept), [sum(k // 2**f % 2 for k in kept) for f in range(3)]
    (4, [2, 2, 2])
    """
    total = math.prod(sizes)
    if not 1 <= points <= total:
        raise ValueError(f"points is {points}: give 1 to {total}")
    if points == total:
        return tuple(range(total))
    if 2 * points > total:
        left_out = set(fraction(sizes, total - points, seed))
        return tuple(k for k in range(total) if k not in left_out)
    import numpy as np

    bits = np.random.PCG64(np.random.SeedSequence(seed))
    # A factor with one level has nothing to balance, and does not move the position.
    levels = [size for size in sizes if size > 1]
    rows = _blocks(levels, points, bits)
    for k, size in enumerate(levels):
        rows[:, k] = _permutation(bits, size)[rows[:, k]]
    strides = np.array([math.prod(levels[k + 1 :]) for k in range(len(levels))])
    _exchange(rows, levels, strides, bits)
    return tuple(sorted((rows @ strides).tolist()))


def _permutation(bits: np.random.PCG64, count: int) -> Ints:
    import numpy as np

    return np.argsort(bits.random_raw(count), kind="stable")


def _blocks(levels: list[int], points: int, bits: np.random.PCG64) -> Ints:
    """Rows of levels: whole blocks drawn at random, and a part of one more."""
    import numpy as np

    # A block is known by the shift of each factor. Shifts below gcd(length so far, levels)
    # name every block once.
    length, radices = 1, []
    for size in levels:
        radices.append(math.gcd(length, size))
        length = math.lcm(length, size)
    count = math.prod(radices)
    whole, rest = divmod(points, length)
    wanted = whole + (rest > 0)
    size = max(1 << 16, 4 * wanted)
    if count <= size:
        pool = np.arange(count)
    else:  # far more blocks than are needed: a sample of them is as good
        pool = np.unique(bits.random_raw(size) % count).astype(np.int64)
    shifts = np.stack(np.unravel_index(pool, radices), axis=1)
    taken = shifts[_permutation(bits, len(shifts))[:wanted]]
    start = int(bits.random_raw() % length)
    steps = np.concatenate([np.arange(whole * length) % length, start + np.arange(rest)])
    block = np.concatenate([np.repeat(np.arange(whole), length), np.full(rest, whole)])
    rows: Ints = (taken[block] + steps[:, None]) % np.array(levels)
    return rows


def _exchange(rows: Ints, levels: list[int], strides: Ints, bits: np.random.PCG64) -> None:
    """Exchange levels of one factor between rows, in place, while that evens out the pairs."""
    import numpy as np

    points, factors = rows.shape
    counts = {
        (j, k): np.zeros((levels[j], levels[k]), np.int64)
        for j, k in itertools.permutations(range(factors), 2)
    }
    for (j, k), table in counts.items():
        np.add.at(table, (rows[:, j], rows[:, k]), 1)
    position = (rows @ strides).tolist()
    taken = set(position)
    tries, most = 0, _EXCHANGES // factors
    while tries < most:
        crowded = _crowded(rows, counts, levels)
        gained = False
        for r, j in crowded[_permutation(bits, len(crowded))].tolist():
            if tries >= most:
                return
            tries += 1
            partners = (bits.random_raw(min(points, _CANDIDATES)) % points).astype(np.int64)
            for s in _partners(rows, counts, r, j, partners):
                step = int(rows[s, j] - rows[r, j]) * int(strides[j])
                moved = {position[r] + step, position[s] - step}
                if not moved & taken:
                    taken -= {position[r], position[s]}
                    taken |= moved
                    position[r], position[s] = position[r] + step, position[s] - step
                    _swap(rows, counts, r, s, j)
                    gained = True
                    break
        if not gained:
            return


def _crowded(rows: Ints, counts: dict[Any, Ints], levels: list[int]) -> Ints:
    """Row and factor of every level that meets another one too often in its row."""
    import numpy as np

    points, factors = rows.shape
    over = np.zeros((points, factors), bool)
    for (j, k), table in counts.items():
        least, rest = divmod(points, levels[j] * levels[k])
        # Where a pair is short of its share, what is above the lower share can be given.
        most = least if table.min() < least else least + (rest > 0)
        over[:, j] |= table[rows[:, j], rows[:, k]] > most
    return np.argwhere(over)


def _partners(rows: Ints, counts: dict[Any, Ints], r: int, j: int, partners: Ints) -> list[int]:
    """The few rows whose level of factor `j` row `r` gains most by exchanging for."""
    import numpy as np

    own, theirs = rows[r, j], rows[partners, j]
    change = np.zeros(len(partners), np.int64)
    for k in range(rows.shape[1]):
        if k == j:
            continue
        table, u, v = counts[j, k], rows[r, k], rows[partners, k]
        # Half the change of the sum of squared pair counts.
        moved = 2 + table[theirs, u] + table[own, v] - table[own, u] - table[theirs, v]
        change += np.where(u == v, 0, moved)
    change[theirs == own] = 0
    order = np.argsort(change, kind="stable")[:4]
    return [int(partners[s]) for s in order if change[s] < 0]


def _swap(rows: Ints, counts: dict[Any, Ints], r: int, s: int, j: int) -> None:
    for sign in (-1, 1):
        if sign == 1:
            rows[r, j], rows[s, j] = rows[s, j], rows[r, j]
        for row in (r, s):
            for k in range(rows.shape[1]):
                if k != j:
                    counts[j, k][rows[row, j], rows[row, k]] += sign
                    counts[k, j][rows[row, k], rows[row, j]] += sign
