"""What tuning costs, and how uncertain it is: lambda, rho, effective humans of a small sample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.modeling.arrays import Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FEW",
    "FLAT",
    "Contributions",
    "RhoLaw",
    "effective",
    "intervals",
    "lost",
    "widened",
]

#: Humans, or independent units, below which intervals of a tuned calibration are a hope: those of
#: 24 humans cover up to .968, of twenty stores or heavy weights .945 to .973.
FEW = 40
#: Of the humans' variance: below it belief does not move with respondents.
FLAT = 1e-12
_PERFECT = 1e-9
_NONE = 1e-12  # of one over degrees of freedom: rounding


def widened(n: float, tuned: int = 1) -> float:
    """What the variance of an estimate is multiplied by where weights were tuned on its data.

    ``1 + 2 k / n`` for k weights: a part for residuals that were made small, a part for the error
    of the weights. Measured by ``benchmarks/coverage.py``.

    >>> widened(24), widened(24, 0)
    (1.0833333333333333, 1.0)
    """
    return 1 + 2 * tuned / n


def lost(n: float, tuned: int = 1, answers: float | None = None) -> float:
    """Degrees of freedom: humans less one, less the weights that were tuned; at least 1.

    Parameters
    ----------
    n : float
        Humans, or independent units.
    tuned : int
        Weights that were tuned.
    answers : float, optional
        Answers of 0 or 1 that they gave. ``1 / (1 / free - 1 / (answers - 1))`` is then returned,
        inf where each unit gave one answer that counts alike.

    Notes
    -----
    A t law is for a variance that is estimated with noise of its own (Satterthwaite 1946). That of
    a 0 or 1 follows from its mean: one of n such answers, alike, leaves nothing of the noise ``2 /
    (n - 1)`` beyond what moves with the estimate itself, and there the log-odds bring more
    coverage than a normal law says (at p = 1/2 Wald's statistic is ``z (1 - z^2 / 6n)``: .2 / n
    more at 95 %), where t(n - 1) adds .3 / n again. What unequal weights, clusters and several
    answers of a person leave is the difference of ``1 / free`` and ``1 / (answers - 1)``. Measured
    by ``benchmarks/coverage.py`` and ``benchmarks/calibration.py``.

    Examples
    --------
    >>> lost(40), lost(40, 0, 40), round(lost(40, 0, 160), 1)
    (38.0, inf, 51.7)
    """
    free = float(max(n - 1 - tuned, 1))
    if answers is None:
        return free
    rest = 1 / free - 1 / max(answers - 1, 1)
    return 1 / rest if rest > _NONE else float("inf")


def effective(n: float, ratio: float, tuned: int = 1) -> float:
    """Effective humans of a tuned calibration, from the ratio of variances that the data show.

    Parameters
    ----------
    n : int
        Humans.
    ratio : float
        Variance of humans alone over the least that weights can reach, both in sample.
    tuned : int
        Weights that were tuned.

    Returns
    -------
    float
        ``n (1 + theta) / (1 + k / (n - k - 2))``, theta the gain without the part that k weights
        gain from noise, ``((n - k - 3)(ratio - 1) - k) / (n - 1)`` (the unbiased estimate under
        normal laws), over what an estimated weight adds to the variance. It may be below n.

    Examples
    --------
    >>> round(effective(24, 1.8), 1), round(effective(24, 1.0), 1)
    (37.8, 21.9)
    """
    if n < tuned + 4:
        return float("nan")
    theta = ((n - tuned - 3) * (ratio - 1) - tuned) / (n - 1)
    return n * (1 + theta) / (1 + tuned / (n - tuned - 2))


@dataclass(frozen=True)
class RhoLaw:
    """The sampling law of a correlation: Fisher's z, with a jackknife's error and a t law.

    Attributes
    ----------
    z, se, df : float
        z, its standard error, degrees of freedom: few where few respondents carry the moments.
    """

    z: float
    se: float
    df: float

    def quantile(self, p: float) -> float:
        """The correlation below which the truth lies with confidence p."""
        from scipy import stats

        if self.se == 0 or p == 0.5:
            return float(np.tanh(self.z))
        return float(np.tanh(self.z + stats.t.ppf(p, self.df) * self.se))


@dataclass(frozen=True)
class Contributions:
    """Contributions of respondents to one number, centred: what lambda is tuned on.

    Attributes
    ----------
    r, q : (n,) arrays
        Of humans, with outcomes and with beliefs.
    pool : (N,) array
        Of LLM respondents.
    """

    r: Array
    q: Array
    pool: Array

    @cached_property
    def sums(self) -> tuple[float, float, float, float]:
        """``S, C, V_n, V_N``."""
        r, q = self.r, self.q
        return float(r @ r), float(r @ q), float(q @ q), float(self.pool @ self.pool)

    @property
    def n(self) -> int:
        """Humans."""
        return len(self.r)

    @property
    def flat(self) -> bool:
        """Whether belief does not vary between respondents."""
        s, _, v, v_pool = self.sums
        return not (v + v_pool > FLAT * s and v > 0)

    @property
    def best(self) -> float:
        """The best lambda, NaN where belief does not vary."""
        _, c, v, v_pool = self.sums
        return float("nan") if self.flat else c / (v + v_pool)

    @property
    def rho(self) -> float:
        """Correlation of outcome and belief, as it is in the sample."""
        s, c, v, _ = self.sums
        return 0.0 if self.flat or s == 0 else float(np.clip(c / np.sqrt(s * v), -1, 1))

    @property
    def corrected_rho(self) -> float:
        """Without what a fitted weight gains from noise: ``1 - (1 - rho^2)(n - 1)/(n - 2)``."""
        if self.n < 3:
            return 0.0
        square = 1 - (1 - self.rho**2) * (self.n - 1) / (self.n - 2)
        return float(np.copysign(np.sqrt(max(square, 0.0)), self.rho)) if square > 0 else 0.0

    def ratio(self, lam: float) -> float:
        """Variance of humans alone over the calibrated one."""
        s, c, v, v_pool = self.sums
        left = s - 2 * lam * c + lam**2 * (v + v_pool)
        return s / left if left > 0 else float("inf")

    @cached_property
    def law(self) -> RhoLaw:
        """Of the correlation: each respondent left out once."""
        n, (s, c, v, _) = self.n, self.sums
        if self.flat or s == 0 or n < 5:
            return RhoLaw(0.0, float("inf"), 1.0)
        rho = self.rho
        z = float(np.arctanh(np.clip(rho, -1 + 1e-15, 1 - 1e-15)))
        if 1 - rho**2 < _PERFECT:
            return RhoLaw(z, 0.0, 1.0)
        r, q, f = self.r, self.q, n / (n - 1)
        without = (c - f * r * q) / np.sqrt((s - f * r * r) * (v - f * q * q))
        zs = np.arctanh(np.clip(without, -1 + 1e-12, 1 - 1e-12))
        # Few respondents may carry the moments: degrees of freedom are those of their weights.
        weight = (r * r / s + q * q / v) / 2
        df = max(1 / float(weight @ weight) - 2, 1.0)
        se = float(np.sqrt((n - 1) / (n - 4) * np.sum((zs - zs.mean()) ** 2)))
        return RhoLaw(z, se, df)

    def effective_at(self, rho: float) -> float:
        """Effective humans at the best lambda, were the correlation `rho`: ``n / (1 - rho^2 g)``.

        g is V_n over V_n + V_N; tuning costs what `effective` says.
        """
        _, _, v, v_pool = self.sums
        share = 0.0 if self.flat else v / (v + v_pool)
        left = 1 - max(rho, 0.0) ** 2 * share
        cost = 1 + 1 / (self.n - 3) if self.n > 3 else float("inf")
        return self.n / left / cost if left > 0 else float("inf")

    def lambda_se(self) -> float:
        """Standard error of the best lambda: each human's influence on it."""
        if self.flat:
            return float("nan")
        _, _, v, v_pool = self.sums
        lam = self.best
        own = self.q * (self.r - lam * self.q) / (v + v_pool)
        pool = lam * self.pool**2 / (v + v_pool)
        own, pool = _centred(own), _centred(pool)
        return float(np.sqrt(own @ own + pool @ pool))

    def ratio_se(self, lam: float) -> float:
        """Standard error of the logarithm of `ratio` at a given lambda."""
        s, *_ = self.sums
        left = self.r - lam * self.q
        rest = float(left @ left) + lam**2 * self.sums[3]
        if not (s > 0 and rest > 0):
            return float("nan")
        own = self.r**2 / s - left**2 / rest
        pool = lam**2 * self.pool**2 / rest
        own, pool = _centred(own), _centred(pool)
        return float(np.sqrt(own @ own + pool @ pool))


def _centred(values: Array) -> Array:
    # Where all units are on both sides nothing is left of the pool beside the humans.
    return values - values.mean() if len(values) else values


def intervals(
    found: Contributions,
    value: float,
    rule: str,
    n_eff: float,
    rho: float,
    most: float,
    alpha: float,
    *,
    humans: int | None = None,
    tuned: int = 1,
) -> pd.DataFrame:
    """lambda, rho, n_eff and humans saved, with intervals: see `calibrate`.

    Of clusters `humans` are more than the units of `found`, each of which stands for as many.
    """
    import pandas as pd
    from scipy import stats

    n, ends = humans or found.n, (alpha / 2, 1 - alpha / 2)
    between = [found.law.quantile(p) for p in ends]
    if rule == "tuned":
        half = float(stats.t.ppf(ends[1], lost(found.n))) * found.lambda_se()
        lams = [float(np.clip(found.best + k * half, 0, most)) for k in (-1, 1)]
        worth = [n / found.n * found.effective_at(r) for r in between]
    else:
        lams = [value, value]
        df = lost(found.n, 0 if rule in ("aipw", "fixed") else tuned)
        half = float(stats.t.ppf(ends[1], df)) * found.ratio_se(value)
        worth = [n_eff * float(np.exp(k * half)) for k in (-1, 1)]
    # Noise may say less than no correlation does; a lambda of 0 does not cost what tuning costs.
    worth = [min(worth[0], n_eff), max(worth[1], n_eff)]
    if found.flat:
        lams, between, worth = [value] * 2, [rho] * 2, [n_eff] * 2
    rows = {
        "lambda": [value, *lams],
        "rho": [rho, *between],
        "n_eff": [n_eff, *worth],
        "humans saved": [n_eff - n, *(w - n for w in worth)],
    }
    return pd.DataFrame(rows, index=["estimate", "lower", "upper"]).T
