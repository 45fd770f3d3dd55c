"""The parts of the variance that lie within cells."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmdemand.modeling.likelihood.cells import sigmoid

__all__ = [
    "in_errors",
    "parts",
    "share_interval",
    "within",
]

_CHUNK = 2_000_000  # weights of resampled cells held at a time
_LEAST_CELLS = 3
_ALIKE = 1e-6  # standard error of a log-odds that is none: all cells are alike

Array = NDArray[np.float64]


def within(y: Array, r: Array | None = None) -> tuple[Array, Array]:
    """Observations of each cell, and their variance; NaN for fewer than two. (C,) each.

    Of outcomes y (C, R) that sum to r, not 1, an observation is an answer that was read, and its
    variance, that of the ratio ``sum y / sum r`` times their number, is that of
    ``y - r sum y / sum r``.
    """
    known = np.isfinite(y)
    runs = counted = known.sum(axis=1).astype(float)
    if r is not None:
        counted = np.nansum(r, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.nansum(y, axis=1) / counted
            y = (y - r * mean[:, None]) * np.sqrt(runs / counted)[:, None]
    variance = np.full(len(y), np.nan)
    several = (runs > 1) & (counted > 0)
    if several.any():
        variance[several] = np.nanvar(y[several], axis=1, ddof=1)
    return counted, variance


def parts(cells: pd.DataFrame) -> dict[str, float]:
    """Variances within cells, pooled over cells; NaN where none has two runs."""
    free = float((cells["runs"] - 1).sum())
    names = ("var_choice", "var_belief", "var_sampling", "within_share", "icc")
    if free == 0:
        return dict.fromkeys(names, math.nan)
    if "whole" in cells and (cells["whole"] < 2).all():  # products of two choices are unknown
        return dict.fromkeys(names, math.nan) | {"var_belief": float(cells["ss_b"].sum()) / free}
    sums = (cells[k].sum() for k in ("ss_y", "ss_b", "ss_within"))
    choice, between, within = (float(s) / free for s in sums)
    whole = between + within
    shares = (within / whole, between / whole) if whole > 0 else (math.nan, math.nan)
    return dict(zip(names, (choice, between, within, *shares), strict=True))


def share_interval(
    cells: pd.DataFrame, confidence: float, replications: int, seed: int, *, corrected: bool
) -> tuple[float, float]:
    """Studentised bootstrap interval of the icc, cells resampled.

    Of its log-odds; of its logarithm for corrected beliefs, which may vary more than choices.
    """
    between = cells["ss_b"].to_numpy(float)
    whole = between + cells["ss_within"].to_numpy(float)
    # Cells without any variance say nothing about how it is divided.
    some = (whole > 0) | (between > 0)
    between, whole = between[some], whole[some]
    most = math.inf if corrected else whole.sum()
    if len(whole) < _LEAST_CELLS or not whole.sum() or not 0 < between.sum() < most:
        return math.nan, math.nan
    moments = np.stack([between, whole, between**2, between * whole, whole**2], axis=1)
    odds, error = _log_odds(moments.sum(axis=0), len(whole), corrected)
    if error < _ALIKE:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    size, found = max(1, _CHUNK // len(whole)), []
    for start in range(0, replications, size):
        equal = np.full(len(whole), 1 / len(whole))
        weight = rng.multinomial(len(whole), equal, size=min(size, replications - start))
        drawn, errors = _log_odds(weight @ moments, len(whole), corrected)
        found.append(in_errors(drawn - odds, errors))
    tails = (1 + confidence) / 2, (1 - confidence) / 2
    t = np.quantile(np.concatenate(found), tails, method="inverted_cdf")
    ends = odds - t * error
    low, high = np.exp(ends) if corrected else sigmoid(ends)
    return float(low), float(high)


def _log_odds(moments: Array, cells: int, corrected: bool) -> tuple[Array, Array]:
    """Log-odds of a ratio of sums over cells, or its log, and the delta method's error."""
    a, w, aa, aw, ww = moments.T
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = a / w
        scatter = np.maximum(aa - 2 * ratio * aw + ratio**2 * ww, 0) * cells / (cells - 1)
        if corrected:
            return np.log(ratio), np.where(ratio > 0, np.sqrt(scatter) / a, 0)
        # A ratio of 0 or 1 is infinitely far away, by any error.
        odds = np.log(a) - np.log(w - a)
        error = np.where((ratio > 0) & (ratio < 1), np.sqrt(scatter) / w / ratio / (1 - ratio), 0)
    return odds, error


def in_errors(difference: Array, se: Array) -> Array:
    """Differences in standard errors; 0 for none, and infinite where there is no error."""
    none = np.where(difference == 0, 0.0, np.copysign(math.inf, difference))
    return np.where(se > 0, difference / np.where(se > 0, se, 1), none)
