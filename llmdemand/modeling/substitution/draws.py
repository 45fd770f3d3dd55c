"""Draws that stand for a continuous law of tastes: quasi-random points by respondent."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from llmdemand.errors import UsageError, choose
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.substitution.laws import Law

__all__ = ["Drawn", "Sequence", "given_draws", "most_draws", "uniform_draws"]

Sequence = Literal["sobol", "halton", "mlhs"]
_LEAST = 2.0**-40  # an open interval: the normal law has no quantile of 0
_MOST_SOBOL = 21201  # dimensions that scipy has direction numbers for
_BITS = 30  # of a coordinate of Sobol's sequence
_TOGETHER = 1 << 13  # points that are made at once
#: Coefficients of the primitive polynomial and first direction numbers of the dimensions after the
#: first: Joe & Kuo (2008), "Constructing Sobol sequences with better two-dimensional projections".
_JOE_KUO = (
    (0, (1,)),
    (1, (1, 3)),
    (1, (1, 3, 1)),
    (2, (1, 1, 1)),
    (1, (1, 1, 3, 3)),
    (4, (1, 3, 5, 13)),
    (2, (1, 1, 5, 5, 17)),
    (4, (1, 1, 5, 5, 5)),
    (7, (1, 1, 7, 11, 19)),
    (11, (1, 1, 5, 1, 1)),
    (13, (1, 1, 1, 3, 11)),
)
_OWN = len(_JOE_KUO) + 1  # dimensions


def uniform_draws(
    people: int | Codes, size: int, dims: int, kind: Sequence = "sobol", seed: int = 1
) -> Array:
    """Points in the open unit cube, (people, size, dims).

    Parameters
    ----------
    people : int or (I,) int array
        Respondents: their number, or the places, from 0, of some among all.
    size, dims : int
        Draws of each, random coefficients.
    kind : str
        ``sobol``: Sobol's sequence, scrambled (Owen), of which each respondent has the next
        `size` points: where that is a power of two they fill the cube evenly. ``halton``:
        Halton's, scrambled, likewise. ``mlhs``: a modified Latin hypercube of each respondent
        (Hess, Train & Polak 2006).
    seed : int
        Of the scrambling, or of the hypercubes.

    Raises
    ------
    UsageError
        For an unknown sequence; for fewer than two draws; for more points than Sobol's sequence
        has; for some respondents of a sequence that is drawn for all of them.

    Examples
    --------
    >>> u = uniform_draws(3, 64, 2)
    >>> u.shape, bool(abs(u.mean() - 0.5) < 0.01)
    ((3, 64, 2), True)
    >>> bool((uniform_draws(np.array([2]), 64, 2)[0] == u[2]).all())
    True
    """
    choose(kind, Sequence, "sequence")
    if size < 2:
        raise UsageError(f"draws={size}: give at least 2, better 500")
    ranks = np.arange(people) if isinstance(people, int | np.integer) else people
    if not dims:
        return np.empty((len(ranks), size, 0))
    if size > most_draws(int(ranks.max(initial=0)) + 1, kind):
        raise UsageError(
            f"{size} draws of {int(ranks.max()) + 1:,} respondents are more points than Sobol's "
            "sequence has: give fewer draws, or sequence='halton'"
        )
    if ranks is people and (kind == "mlhs" or (kind == "sobol" and dims > _OWN)):
        what = "sequence='mlhs'" if kind == "mlhs" else f"sobol of more than {_OWN} coefficients"
        raise UsageError(
            f"{what} is drawn for all respondents one after the other, not for those of a file "
            "apart: use sequence='halton'"
        )
    if kind == "mlhs":
        rng = np.random.default_rng(seed)
        cell = np.tile(np.arange(size, dtype=np.float64)[:, None], (len(ranks), 1, dims))
        points = (rng.permuted(cell, axis=1) + rng.random((len(ranks), 1, dims))) / size
    elif kind == "sobol" and dims <= _OWN:
        points = _sobol(ranks, size, dims, seed)
    else:
        points = _of_scipy(ranks, size, dims, kind, seed)
    return np.clip(points, _LEAST, 1 - 2.0**-53, out=points)


def most_draws(people: int, kind: Sequence) -> int:
    """Draws of each of so many respondents that there are points for.

    >>> most_draws(1 << 21, "sobol")
    512
    """
    return (1 << _BITS) // max(people, 1) if kind == "sobol" else 1 << _BITS


def _of_scipy(ranks: Codes, size: int, dims: int, kind: Sequence, seed: int) -> Array:
    from scipy.stats import qmc

    if kind == "sobol" and dims > _MOST_SOBOL:
        raise UsageError(f"{dims} random coefficients are more than Sobol's sequence has")
    rng = np.random.default_rng(seed)
    engine = (qmc.Sobol if kind == "sobol" else qmc.Halton)(dims, scramble=True, rng=rng)
    points = np.empty((len(ranks), size, dims))
    ends = np.append(np.flatnonzero(np.diff(ranks) != 1) + 1, len(ranks))
    with warnings.catch_warnings():
        # Of numbers that are no power of two Sobol's points are less even, but no less right.
        warnings.filterwarnings("ignore", message="The balance properties")
        for first, last in zip([0, *ends[:-1]], ends, strict=True):
            if kind == "halton":  # whose points are known by their number
                engine.num_generated = int(ranks[first]) * size
            points[first:last] = engine.random((last - first) * size).reshape(-1, size, dims)
    return points


def _sobol(ranks: Codes, size: int, dims: int, seed: int) -> Array:
    """What ``scipy.stats.qmc.Sobol(dims, rng=default_rng(seed))`` gives, bit for bit.

    That class is loaded with all of scipy.stats, which takes more memory than any fit, and goes
    through all points up to those that are asked for.
    """
    directions, shift = _scrambled(dims, seed)
    points = np.empty((len(ranks), size, dims))
    bits, together = np.arange(_BITS), max(1, _TOGETHER // size)
    for first in range(0, len(ranks), together):
        n = ranks[first : first + together, None] * size + np.arange(size)
        # Point n differs from the one before by the direction of its lowest bit (Gray's code).
        steps = directions[np.frexp((n & -n).astype(np.float64))[1] - 1]
        gray = (n[:, 0] ^ n[:, 0] >> 1)[:, None] >> bits & 1
        steps[:, 0] = shift ^ np.bitwise_xor.reduce(gray[..., None] * directions, axis=1)
        points[first : first + together] = np.bitwise_xor.accumulate(steps, axis=1)
    points *= 2.0**-_BITS
    return points


def _directions(dims: int) -> Codes:
    """Direction numbers, (bits, dims)."""
    found = np.ones((_BITS, dims), np.int64)
    for d, (polynomial, numbers) in enumerate(_JOE_KUO[: dims - 1], start=1):
        m, degree = list(numbers), len(numbers)
        for k in range(degree, _BITS):
            new = m[k - degree] ^ (m[k - degree] << degree)
            for i in range(1, degree):
                if polynomial >> (degree - 1 - i) & 1:
                    new ^= m[k - i] << i
            m.append(new)
        found[:, d] = m
    return found << np.arange(_BITS - 1, -1, -1)[:, None]


@lru_cache(maxsize=8)
def _scrambled(dims: int, seed: int) -> tuple[Codes, Codes]:
    """Directions after a random linear scrambling, and a shift (Matousek 1998)."""
    directions, rng = _directions(dims), np.random.default_rng(seed).spawn(1)[0]
    places = np.arange(_BITS - 1, -1, -1)
    shift = rng.integers(2, size=(dims, _BITS), dtype=np.uint32).astype(np.int64) @ (
        1 << np.arange(_BITS)
    )
    matrix = np.tril(rng.integers(2, size=(dims, _BITS, _BITS), dtype=np.uint32).astype(np.int64))
    matrix[:, np.arange(_BITS), np.arange(_BITS)] = 1
    bits = directions.T[:, None, :] >> places[:, None] & 1  # (dims, bits, directions)
    return ((matrix @ bits % 2) << places[:, None]).sum(axis=1).T, shift


def given_draws(draws: Array, people: int, dims: int) -> Array:
    """Uniform draws of the caller's own, such as those of another package.

    Raises
    ------
    UsageError
        For another shape than (people, size, dims), and for numbers outside (0, 1).
    """
    found = np.asarray(draws, np.float64)
    if found.ndim != 3 or found.shape[0] != people or found.shape[2] != dims or found.shape[1] < 2:
        raise UsageError(
            f"draws have shape {found.shape}, expected ({people}, draws, {dims}): respondents in "
            "the order of their ids, and random coefficients in the order of the model's terms"
        )
    if not (np.isfinite(found).all() and (found > 0).all() and (found < 1).all()):
        raise UsageError(
            "draws are points of the uniform law: numbers between 0 and 1, both left out"
        )
    return found


@dataclass(frozen=True)
class Drawn:
    """Standard draws of some respondents, made where they are asked for.

    Respondents have the draws that belong to their place among all, whoever is here with them.

    Attributes
    ----------
    law : Law
        Of the coefficients.
    ranks : (I,) int array
        Places of the respondents among all, from 0.
    size : int
        Draws of each.
    kind, seed
        See `uniform_draws`.

    Examples
    --------
    >>> from llmdemand.modeling.substitution.laws import law_of
    >>> law = law_of(["a"], {"a": "normal"}, {})
    >>> some = Drawn(law, np.array([4, 7]), 16)
    >>> some.shape, bool((some[np.array([1])] == law.standard(uniform_draws(8, 16, 1))[7]).all())
    ((2, 16, 1), True)
    """

    law: Law
    ranks: Codes
    size: int = 0
    kind: Sequence = "sobol"
    seed: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Respondents, draws of each, random coefficients."""
        return len(self.ranks), self.size, len(self.law.random)

    def __getitem__(self, who: Codes) -> Array:
        """Draws of some of them, (n, size, Q)."""
        u = uniform_draws(self.ranks[who], *self.shape[1:], self.kind, self.seed)
        return self.law.standard(u, out=u)
