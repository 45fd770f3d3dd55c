"""How respondents differ from each other, on both sides: variance, and spread of tastes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.fidelity.sides import LEAST, MOST, Sides, interval
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cells import sigmoid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["spread", "taste_sd"]

ANSWER, BETWEEN, INTRA, TASTE = (
    "variance of an answer",
    "variance between respondents",
    "intra-respondent correlation",
    "standard deviation of tastes, log-odds",
)
_NODES = 24
_WIDEST = 8.0  # log-odds
_STEPS = 8


def spread(sides: Sides, alpha: float) -> pd.DataFrame:
    """Variances of both sides, from products of a respondent's answers at different prices.

    Parameters
    ----------
    sides : Sides
        Answers by respondent and price.
    alpha : float
        One minus the confidence level.

    Returns
    -------
    pandas.DataFrame
        By quantity: ``humans, llm, difference, se, lower, upper, ratio, ratio_lower,
        ratio_upper``; ratios are LLM over humans.

    Raises
    ------
    DesignError
        If too few respondents of a side answered at two prices, or prices are too many.

    Notes
    -----
    With mean m_t at price t, the variance of an answer is ``m_t (1 - m_t)`` averaged over the
    humans' prices. The variance between respondents is the mean over pairs of prices of
    ``Cov(y_t, y_s)``, which is ``Cov(p_t, p_s)`` of what people are inclined to where answers are
    independent given the person: so zeros and ones of humans and beliefs of an LLM estimate the
    same, and noise of single answers and runs drops out. Over the variance of an answer it is the
    intra-respondent correlation. The spread of tastes is the sd of a normal intercept that gives
    that covariance in a logit (see `taste_sd`): zero where answers of a person are not alike.
    Intervals are percentiles of a bootstrap over respondents.

    Examples
    --------
    >>> from llmdemand.calibration.paired import paired_panel
    >>> from llmdemand.calibration.discrepancy import discrepancy
    >>> data = paired_panel(humans=300, llm=300, taste=2.0, seed=2)
    >>> beyond = discrepancy(data.humans, data.beliefs, reps=20).fidelity
    >>> beyond.found["heterogeneity"].endswith("not told apart")
    True
    """
    import pandas as pd

    if len(sides.levels) > MOST:
        raise DesignError(
            f"{len(sides.levels)} prices: how people differ is compared at up to {MOST} prices; "
            "round them, or compare some"
        )
    n, sums = [], []
    for asked, mean in zip(sides.asked, sides.mean, strict=True):
        n.append(int(np.sum(asked.sum(axis=1) > 1)))
        sums.append(_sums(sides, asked, mean))
    if min(n) < LEAST:
        raise DesignError(
            f"{n[0]} humans and {n[1]} LLM respondents answered at two or more common prices: how "
            f"people differ shows in several answers of {LEAST} or more people on each side"
        )
    t, s = np.triu_indices(len(sides.levels), 1)
    both = [found[2][0][t, s] for found in sums]
    mix = both[0] * (both[1] > 0)
    pairs, mix = (mix > 0), mix / max(mix.sum(), 1e-300)
    if not pairs.any():
        raise DesignError(
            "no two prices were asked of the same people on both sides: how people differ shows "
            "in pairs of answers; ask each respondent at several prices"
        )
    t, s, mix = t[pairs], s[pairs], mix[pairs] / mix[pairs].sum()
    rows: dict[str, list[Array]] = {}
    for mean, _, pair, cov in sums:
        with np.errstate(divide="ignore", invalid="ignore"):
            covariance = cov[:, t, s] / pair[:, t, s]
        v = mean * (1 - mean)
        between = (covariance * mix).sum(axis=1)
        scale = (np.sqrt(np.maximum(v[:, t] * v[:, s], 0)) * mix).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            intra = between / scale
        for name, value in (
            (ANSWER, v @ sides.humans_mix),
            (BETWEEN, between),
            (INTRA, intra),
            (TASTE, taste_sd(mean, between, t, s, mix)),
        ):
            rows.setdefault(name, []).append(value)
    return pd.DataFrame({k: _row(own, told, alpha) for k, (own, told) in rows.items()}).T


def _sums(sides: Sides, m: Array, x: Array) -> tuple[Array, Array, Array, Array]:
    """Mean answers and their number, pairs of answers, and sums of centred products."""
    crossed = (u[:, :, None] * v[:, None, :] for u, v in ((m, m), (x, x), (x, m)))
    parts = np.concatenate([x[:, None], m[:, None], *crossed], axis=1)
    whole = sides.sums(parts)
    total, count = whole[:, 0], whole[:, 1]
    pair, product, mixed = np.split(whole[:, 2:], 3, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / count
    own, other = mean[:, :, None], mean[:, None, :]
    cov = product - own * np.swapaxes(mixed, 1, 2) - other * mixed + own * other * pair
    n = max(int(np.sum(m.sum(axis=1) > 1)), 2)
    return mean, count, pair, cov * n / (n - 1)


def _row(own: Array, told: Array, alpha: float) -> dict[str, float]:
    se, lower, upper = interval(told - own, alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = told / own
    found = {
        "humans": float(own[0]),
        "llm": float(told[0]),
        "difference": float(told[0] - own[0]),
        "se": se,
        "lower": lower,
        "upper": upper,
    }
    # A denominator that may be nought has no ratio.
    if not ((own > 0).all() and np.isfinite(ratio).all()):
        return found | dict.fromkeys(("ratio", "ratio_lower", "ratio_upper"), float("nan"))
    _, low, high = interval(ratio, alpha)
    return found | {"ratio": float(ratio[0]), "ratio_lower": low, "ratio_upper": high}


def taste_sd(mean: Array, between: Array, t: Array, s: Array, mix: Array) -> Array:
    """Standard deviation of a normal intercept of a logit, from means and covariances.

    Solves ``sum_ts mix_ts Cov_z(p_t, p_s) = between`` for sigma, ``p_t = sigmoid(a_t + sigma z)``
    with ``E_z p_t = mean_t``, z standard normal. Every row is a data set.

    Parameters
    ----------
    mean : (B, T) array
        Mean answers by price.
    between : (B,) array
        Mean covariance over pairs of prices.
    t, s, mix : (P,) arrays
        Pairs of prices and their weights.

    Returns
    -------
    (B,) array
        Zero where the covariance is not positive; infinite above 8; missing where a mean is 0
        or 1.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    used = np.unique(np.concatenate([t, s]))
    place = np.searchsorted(used, np.stack([t, s]))
    mean = mean[:, used]
    known = ((mean > 0) & (mean < 1)).all(axis=1)
    found = np.where(known, 0.0, np.nan)
    at = np.flatnonzero(known & (between > 0))
    m, goal = mean[at], between[at]

    def covariance(sigma: Array) -> Array:
        at_nodes = sigma[:, None, None] * nodes
        # The logit of a mean is close to this share of the mean logit; Newton's method from there.
        a = np.log(m / (1 - m)) * np.sqrt(1 + 0.35 * sigma[:, None] ** 2)
        for _ in range(_STEPS):
            p = sigmoid(a[:, :, None] + at_nodes)
            step = (p @ weights - m) / ((p * (1 - p)) @ weights)
            a -= np.clip(step, -1, 1)
        p = sigmoid(a[:, :, None] + at_nodes) - m[:, :, None]
        return np.asarray(((p[:, place[0]] * p[:, place[1]]) @ weights) @ mix)

    lower, upper = np.zeros(len(at)), np.full(len(at), _WIDEST)
    beyond = covariance(upper) < goal
    for _ in range(20):
        middle = (lower + upper) / 2
        above = covariance(middle) > goal
        lower, upper = np.where(above, lower, middle), np.where(above, middle, upper)
    found[at] = np.where(beyond, np.inf, (lower + upper) / 2)
    return np.asarray(found)
