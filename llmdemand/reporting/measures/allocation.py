"""Where more runs reduce a variance most."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError

__all__ = ["Allocation", "Problem", "allocate", "uniform"]

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

_STEPS = 400  # about as many steps to a solution, each of several runs if it is large


@dataclass(frozen=True)
class Problem:
    """The variance of a target by runs at each price, all else fixed.

    With ``N_j = usable_j + r_j gain_j`` observations at price j, r_j more runs there:
    ``V(r) = h' A^-1 M A^-1 h``, ``A = sum_j N_j w_j x_j x_j'``, ``M = sum_j N_j v_j x_j x_j'``.

    Attributes
    ----------
    price : (J,) array
        Prices; ``x_j = (1, price_j)``.
    weight, variance : (J,) arrays
        ``w_j = mu_j (1 - mu_j)``, and ``v_j``, the variance of one observation.
    gradient : (2,) array
        h, the target's derivatives by constant and slope.
    usable, gain : (J,) arrays
        Observations that are there, and observations that one more run is expected to give.
    answers : (J,) array
        What one more run costs: answers, one for each cell of that price.
    parts : (J, 6) array
        What one observation adds to the elements of A and M, with prices centred.
    tilt : (2,) array
        The gradient, with prices centred.

    Examples
    --------
    >>> one = np.ones(3)
    >>> p = Problem(np.array([1.0, 2, 3]), one, one, np.array([0.0, 1]), 2 * one, one, one)
    >>> float(p.spread(np.zeros(3, int)))        # 1 / (2 + 0 + 2)
    0.25
    >>> allocate(p, goal=0.11).more.tolist()     # 1 / (2 + 3 + 2 + 3) = 0.1
    [3, 0, 3]
    """

    price: Array
    weight: Array
    variance: Array
    gradient: Array
    usable: Array
    gain: Array
    answers: Array
    parts: Array = field(init=False, repr=False)
    tilt: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Around the mean price the sums keep their digits.
        middle = float(self.price.mean())
        z = self.price - middle
        parts = [self.weight * z**k for k in range(3)] + [self.variance * z**k for k in range(3)]
        object.__setattr__(self, "parts", np.column_stack(parts))
        h = self.gradient
        object.__setattr__(self, "tilt", np.array([h[0], h[1] - middle * h[0]]))

    def sums(self, more: NDArray[np.number]) -> Array:
        """The elements of A and M: (..., J) runs to (..., 6)."""
        return np.asarray((self.usable + more * self.gain) @ self.parts)

    def of_sums(self, sums: Array) -> Array:
        """V of the elements of A and M; inf where A is singular."""
        a, b, c, m, n, o = np.moveaxis(sums, -1, 0)
        first, second = self.tilt
        with np.errstate(divide="ignore", invalid="ignore"):
            det = a * c - b * b
            left, right = (c * first - b * second) / det, (a * second - b * first) / det
            value = left**2 * m + 2 * left * right * n + right**2 * o
        return np.where(det > 1e-12 * a * c, np.maximum(value, 0.0), np.inf)

    def spread(self, more: NDArray[np.number]) -> Array:
        """V after `more` runs, (..., J) to (...)."""
        return self.of_sums(self.sums(more))


@dataclass(frozen=True)
class Allocation:
    """More runs by price.

    Attributes
    ----------
    more : (J,) int array
        Runs, per cell of the price.
    variance : float
        The target's variance with them.
    answers : float
        What they cost.
    reached : bool
        Whether the goal is met.
    """

    more: Counts
    variance: float
    answers: float
    reached: bool


def uniform(problem: Problem, goal: float, most: float = np.inf) -> Allocation:
    """The smallest equal number of runs at all prices with ``V <= goal``.

    At most as many as `most` answers allow.
    """
    each = float(problem.answers.sum())
    ones = np.ones(len(problem.price), np.int64)
    limit = int(most // each) if most < np.inf else 1 << 40

    def good(runs: int) -> bool:
        return bool(problem.spread(runs * ones) <= goal)

    high = 1
    while high < limit and not good(high):
        high *= 2
    low, high = 0, min(high, limit)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle + 1, high)
    return _allocation(problem, low * ones, goal)


def allocate(problem: Problem, goal: float, most: float = np.inf) -> Allocation:
    """Fewest more answers with ``V <= goal``, or the least V that `most` answers buy.

    Runs are added where they reduce V most per answer, then moved between prices as long as
    that helps, and then taken back while the goal is still met; from nothing, from equal
    runs, and from all runs at each of the prices, because V has local minima where `variance`
    is far from proportional to `weight`. The best one is taken, never worse than `uniform`.

    Raises
    ------
    DesignError
        If the goal is beyond what any number of runs can reach.
    """
    plain = uniform(problem, goal, most)
    if np.isinf(most) and not plain.reached:
        raise DesignError(
            f"a variance of {goal:g} is out of reach of any number of runs: widen the tolerance"
        )
    step = max(1, int(plain.more.sum()) // _STEPS)
    starts = (np.zeros_like(plain.more), *_starts(problem, plain))
    found = (_allocation(problem, _refine(problem, s, goal, most, step), goal) for s in starts)
    return max(*found, plain, key=_merit)


def _starts(problem: Problem, plain: Allocation) -> list[Counts]:
    """Equal runs and all runs at one price, after some coarse moves: the best two."""
    alone = np.diag((plain.answers // problem.answers).astype(np.int64))
    coarse = max(1, int(plain.more.sum()) // 20)
    moved = [_exchange(problem, start, coarse) for start in (plain.more, *alone)]
    return sorted(np.unique(moved, axis=0), key=lambda m: float(problem.spread(m)))[:2]


def _refine(problem: Problem, more: Counts, goal: float, most: float, step: int) -> Counts:
    """Grow, exchange and shrink in steps that become finer."""
    while True:
        # Coarse steps overshoot; finer ones take back what was too much.
        more = _exchange(problem, _grow(problem, more, goal, most, step), step)
        more = _shrink(problem, more, goal, step)
        if step == 1:
            break
        step = max(1, step // 4)
    for _ in range(20):
        before, more = more, _shrink(problem, _exchange(problem, more, 1), goal, 1)
        if (before == more).all():
            break
    return more


def _merit(found: Allocation) -> tuple[bool, float]:
    return found.reached, -found.answers if found.reached else -found.variance


def _allocation(problem: Problem, more: Counts, goal: float) -> Allocation:
    variance = float(problem.spread(more))
    return Allocation(more, variance, float(more @ problem.answers), variance <= goal)


def _grow(problem: Problem, more: Counts, goal: float, most: float, step: int) -> Counts:
    """Add runs one price at a time until the goal is met or the answers are used up."""
    more, sums = more.copy(), problem.sums(more)
    added = step * problem.gain[:, None] * problem.parts
    left = most - float(more @ problem.answers)
    while (now := float(problem.of_sums(sums))) > goal:
        after = problem.of_sums(sums + added)
        fewer = np.where(np.isfinite(after), now - after, -np.inf) if np.isfinite(now) else -after
        worth = fewer / problem.answers
        worth[step * problem.answers > left + 1e-9] = -np.inf
        best = int(np.argmax(worth))
        if not np.isfinite(worth[best]) or fewer[best] <= 0 < now < np.inf:
            break
        more[best] += step
        left -= step * problem.answers[best]
        sums = sums + added[best]
    return more


def _exchange(problem: Problem, more: Counts, step: int) -> Counts:
    """Move runs between prices, at no more answers, as long as that reduces V."""
    more = more.copy()
    dearer = problem.answers[None, :] > problem.answers[:, None]  # [from, to]
    moved = step * problem.gain[:, None] * problem.parts
    change = moved[None, :, :] - moved[:, None, :]
    while True:
        sums = problem.sums(more)
        value = problem.of_sums(sums + change)
        value[(more < step)[:, None] | dearer] = np.inf
        start, end = np.unravel_index(int(np.argmin(value)), value.shape)
        now = float(problem.of_sums(sums))
        if not value[start, end] < now * (1 - 1e-12):
            return more
        more[start] -= step
        more[end] += step


def _shrink(problem: Problem, more: Counts, goal: float, step: int) -> Counts:
    """Take runs away while the goal is still met, from where they are missed least."""
    more = more.copy()
    if float(problem.spread(more)) > goal:
        return more
    taken = step * problem.gain[:, None] * problem.parts
    while True:
        value = problem.of_sums(problem.sums(more) - taken)
        value[(more < step) | (value > goal)] = np.inf
        best = int(np.argmin(value))
        if not np.isfinite(value[best]):
            return more
        more[best] -= step
