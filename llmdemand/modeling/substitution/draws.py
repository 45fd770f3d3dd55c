"""Draws that stand for a continuous law of tastes: quasi-random points by respondent."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from llmdemand.errors import UsageError, choose
from llmdemand.modeling.arrays import Array

__all__ = ["Sequence", "given_draws", "uniform_draws"]

Sequence = Literal["sobol", "halton", "mlhs"]
_LEAST = 2.0**-40  # an open interval: the normal law has no quantile of 0
_MOST_SOBOL = 21201  # dimensions that scipy has direction numbers for


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
