"""How often a respondent says yes: the whole distribution, on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.fidelity.sides import LEAST, Sides, interval
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Counts", "counts", "energy", "yes_counts"]


@dataclass(frozen=True)
class Counts:
    """Respondents by the number of prices that they say yes to.

    Attributes
    ----------
    table : pandas.DataFrame
        By number of yeses: ``humans, llm, difference, se, lower, upper``.
    distance : float
        Energy distance of the two distributions, in shares of yeses: `energy`.
    by_chance : float
        Its median if both were one distribution, from the bootstrap.
    p : float
        Of one distribution, by the bootstrap.
    humans, llm : int
        Respondents who answered at every common price.
    what : str
        What is counted.
    """

    table: pd.DataFrame
    distance: float
    by_chance: float
    p: float
    humans: int
    llm: int
    what: str = "prices that are said yes to"


def counts(sides: Sides, alpha: float) -> Counts:
    """Compare the distributions of the number of yeses.

    Parameters
    ----------
    sides, alpha
        See `llmdemand.calibration.fidelity.spread.spread`.

    Raises
    ------
    DesignError
        If the humans' answers are not 0 or 1, or too few respondents answered at all prices.

    Notes
    -----
    A human says yes k times; an LLM respondent does so with the probability that follows from its
    beliefs, drawn independently (Poisson-binomial). What differs beyond the mean is seen here: a
    model whose respondents are all alike has too few who never and who always say yes. The test
    compares the energy distance with its law under the bootstrap, whose draws are centred at what
    was found.
    """
    import pandas as pd

    size = len(sides.levels)
    whole = [a.all(axis=1) for a in sides.asked]
    n = [int(w.sum()) for w in whole]
    if size < 2 or min(n) < LEAST:
        raise DesignError(
            f"{n[0]} humans and {n[1]} LLM respondents answered at all {size} common prices: the "
            f"number of yeses needs two prices or more, and {LEAST} people on each side"
        )
    said = sides.mean[0][whole[0]]
    if not np.isin(said, (0.0, 1.0)).all():
        raise DesignError("humans' answers are not 0 or 1: there are no yeses to count")
    shares = []
    for kept, mean in zip(whole, sides.mean, strict=True):
        rows = np.zeros((len(mean), size + 2))
        rows[kept, 0], rows[kept, 1:] = 1, yes_counts(mean[kept])
        sums = sides.sums(rows)
        shares.append(sums[:, 1:] / sums[:, :1])
    gap = shares[1] - shares[0]
    found = {}
    for k in range(size + 1):
        se, lower, upper = interval(gap[:, k], alpha)
        found[k] = {
            "humans": float(shares[0][0, k]),
            "llm": float(shares[1][0, k]),
            "difference": float(gap[0, k]),
            "se": se,
            "lower": lower,
            "upper": upper,
        }
    distance = energy(gap)
    chance = energy(gap[1:] - gap[0])
    p = float((1 + np.sum(chance >= distance[0] - 1e-12)) / (1 + len(chance)))
    table = pd.DataFrame(found).T.rename_axis("yeses")
    return Counts(table, float(distance[0]), float(np.median(chance)), p, n[0], n[1])


def energy(gap: Array) -> Array:
    """Energy distance of two distributions of k = 0..K over K, from differences of their shares.

    ``sqrt(2 sum_k (F_k - G_k)^2 / K)`` (Szekely and Rizzo 2013), for every row.

    Examples
    --------
    >>> float(energy(np.array([[-0.5, 0.0, 0.5]]))[0])
    0.7071067811865476
    """
    steps = np.cumsum(gap, axis=1)[:, :-1]
    return np.asarray(np.sqrt(2 * (steps**2).sum(axis=1) / steps.shape[1]))


def yes_counts(p: Array) -> Array:
    """Distribution of the number of yeses of independent answers, (n, T + 1).

    Examples
    --------
    >>> yes_counts(np.array([[0.5, 0.5]])).tolist()
    [[0.25, 0.5, 0.25]]
    """
    found = np.zeros((len(p), p.shape[1] + 1))
    found[:, 0] = 1
    for one in p.T:
        found[:, 1:] = found[:, 1:] * (1 - one[:, None]) + found[:, :-1] * one[:, None]
        found[:, 0] *= 1 - one
    return found
