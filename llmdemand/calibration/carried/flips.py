"""Conclusions, and how wrong the LLM has to be where no human was asked for them to flip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llmdemand.calibration.fidelity.sides import interval
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cells import sigmoid

__all__ = ["best_price", "conclusion"]

_FAR = 20.0  # log-odds beyond which no error is looked for


def conclusion(
    value: Array,
    within: Callable[[float], tuple[Array, Array]],
    flips: Array,
    bound: float,
    alpha: float,
) -> dict[str, float]:
    """A number with its interval, both within the bound, and the error at which it flips.

    Parameters
    ----------
    value : (1 + reps,) array
        As it is, and of people drawn anew.
    within : callable
        Its least and largest value if errors are off by so much.
    flips : (1 + reps,) array
        The error at which its sign changes.
    bound, alpha : float
        The bound; one minus the confidence level.
    """
    _, lower, upper = interval(value, alpha)
    low, high = within(bound)
    _, flips_low, flips_high = interval(flips, alpha)
    # A draw on the other side of nought has flipped already.
    other = np.sign(value[1:]) != np.sign(value[0])
    if np.isfinite(flips_low) and other.mean() > alpha / 2:
        flips_low = 0.0
    return {
        "estimate": float(value[0]),
        "lower": lower,
        "upper": upper,
        "bound_lower": interval(low, alpha)[1],
        "bound_upper": interval(high, alpha)[2],
        "flips_at": float(flips[0]),
        "flips_lower": flips_low,
        "flips_upper": flips_high,
    }


def best_price(
    odds: Array, at: Array, own: Any, cost: float, moves: float, bound: float, alpha: float
) -> dict[str, float]:
    """Best price of those asked, and the error at which another that is far enough is best."""
    free = np.where(own, 0.0, 1.0)
    best = at[np.argmax((at - cost) * sigmoid(odds), axis=1)]
    # Prices are in reach of delta if they are best with their own error up and others' down.
    gain = _reach(odds, at, free, cost)
    far = np.abs(at - best[0]) > moves
    flips = gain[:, far].min(axis=1) if far.any() else np.full(len(odds), np.inf)
    reachable = gain <= bound
    low = np.where(reachable, at, np.inf).min(axis=1)
    high = np.where(reachable, at, -np.inf).max(axis=1)
    tails = (alpha / 2, 1 - alpha / 2)
    pairs = [(v, q) for v in ((best, best), (low, high), (flips, flips)) for q in (0, 1)]
    whole = np.isfinite(odds).all()
    ends = [
        np.quantile(v[k][1:], tails[k], method="nearest") if whole else np.nan for v, k in pairs
    ]
    names = ("lower", "upper", "bound_lower", "bound_upper", "flips_lower", "flips_upper")
    found = dict(zip(names, map(float, ends), strict=True))
    return {"estimate": float(best[0]), **found, "flips_at": float(flips[0])}


def _reach(odds: Array, at: Array, free: Array, cost: float) -> Array:
    """The least error that makes each price the best, (B, T); infinite where none does."""
    low, high = np.zeros_like(odds), np.full_like(odds, _FAR)
    itself = np.eye(len(at), dtype=bool)

    def wins(delta: Array) -> Array:
        up = (at - cost) * sigmoid(odds + delta * free)
        down = (at - cost) * sigmoid(odds[:, None, :] - delta[:, :, None] * free)
        return np.asarray(up >= np.where(itself, -np.inf, down).max(axis=2))

    at_once, never = wins(low), np.logical_not(wins(high))
    for _ in range(30):
        middle = (low + high) / 2
        won = wins(middle)
        low, high = np.where(won, low, middle), np.where(won, middle, high)
    return np.where(at_once, 0.0, np.where(never, np.inf, high))
