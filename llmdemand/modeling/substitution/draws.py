"""Draws that stand for a continuous law of tastes: quasi-random points by respondent."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from llmdemand.errors import UsageError, choose
from llmdemand.modeling.arrays import Array, Codes

__all__ = ["Sequence", "given_draws", "uniform_draws"]

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


def uniform_draws(
    people: int, size: int, dims: int, kind: Sequence = "sobol", seed: int = 1
) -> Array:
    """Points in the open unit cube, (people, size, dims).

    Parameters
    ----------
    people, size, dims : int
        Respondents, draws of each, random coefficients.
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
        For an unknown sequence; for fewer than two draws.

    Examples
    --------
    >>> u = uniform_draws(3, 64, 2)
    >>> u.shape, bool(abs(u.mean() - 0.5) < 0.01)
    ((3, 64, 2), True)
    """
    choose(kind, Sequence, "sequence")
    if size < 2:
        raise UsageError(f"draws={size}: give at least 2, better 500")
    if not dims:
        return np.empty((people, size, 0))
    if kind == "mlhs":
        rng = np.random.default_rng(seed)
        cell = np.tile(np.arange(size, dtype=np.float64)[:, None], (people, 1, dims))
        points = (rng.permuted(cell, axis=1) + rng.random((people, 1, dims))) / size
    elif kind == "sobol" and dims <= len(_JOE_KUO) + 1:
        points = _sobol(people * size, dims, seed)
    else:
        from scipy.stats import qmc

        if kind == "sobol" and dims > _MOST_SOBOL:
            raise UsageError(f"{dims} random coefficients are more than Sobol's sequence has")
        make = qmc.Sobol if kind == "sobol" else qmc.Halton
        with warnings.catch_warnings():
            # Of numbers that are no power of two Sobol's points are less even, but no less right.
            warnings.filterwarnings("ignore", message="The balance properties")
            points = make(dims, scramble=True, rng=np.random.default_rng(seed)).random(
                people * size
            )
    points = points.reshape(people, size, dims)
    return np.clip(points, _LEAST, 1 - 2.0**-53, out=points)


def _sobol(size: int, dims: int, seed: int) -> Array:
    """What ``scipy.stats.qmc.Sobol(dims, rng=default_rng(seed)).random(size)`` is, bit for bit.

    That class is loaded with all of scipy.stats, which takes more memory than any fit.
    """
    directions, shift = _scrambled(_directions(dims), np.random.default_rng(seed).spawn(1)[0])
    points = np.empty((size, dims))
    points[0], last = shift, shift
    for first in range(1, size, _TOGETHER):
        n = np.arange(first, min(first + _TOGETHER, size))
        # Point n differs from the one before by the direction of its lowest bit (Gray's code).
        steps = directions[np.frexp((n & -n).astype(np.float64))[1] - 1]
        steps[0] ^= last
        found = np.bitwise_xor.accumulate(steps, axis=0)
        points[first : first + len(n)], last = found, found[-1]
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


def _scrambled(directions: Codes, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """Directions after a random linear scrambling, and a shift (Matousek 1998)."""
    dims, places = directions.shape[1], np.arange(_BITS - 1, -1, -1)
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
