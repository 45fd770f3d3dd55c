"""Firth's penalised logit, and profile-likelihood intervals and tests with or without it.

Firth (1993) adds Jeffreys' penalty ``1/2 log det information`` to the log-likelihood. It
removes the first-order bias of the estimates of a binary logit, and keeps them finite where
the data are separated (Heinze & Schemper 2002). For a fractional outcome the same penalty is
added to the quasi-likelihood, and for a choice among alternatives to the conditional logit
likelihood: the estimates are finite there, too, but the bias correction is derived for
likelihoods, and intervals and tests here take the quasi-likelihood for one.

An estimator without the penalty has no answer where the data are separated, whatever it
prints: the same 16 separated points give standard errors from 0.29 to 16,807 in other tools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.protocol import Concave
from llmdemand.modeling.optimum.newton import NewtonFit, newton
from llmdemand.modeling.optimum.separation import divergence, unbounded

__all__ = ["LRTest", "lr_test", "profile_intervals"]

_EXPANSIONS = 200  # until a bound is taken for infinite; each goes at least 10 % further
_GAIN = 1e-12  # of a log-likelihood, to which profiles are computed


@dataclass(frozen=True, slots=True)
class LRTest:
    """A likelihood-ratio test.

    Attributes
    ----------
    statistic : float
        Twice the difference of the maxima.
    df : int
        Restrictions.
    pvalue : float
        From the chi-square distribution.
    """

    statistic: float
    df: int
    pvalue: float

    def __str__(self) -> str:
        p = "< 1e-300" if self.pvalue < 1e-300 else f"= {self.pvalue:.4g}"
        return f"likelihood-ratio test: chi-squared({self.df}) = {self.statistic:.4f}, p {p}"


def lr_test(data: Concave, restrictions: Sequence[int] | Array, *, firth: bool = True) -> LRTest:
    """Likelihood-ratio test of linear restrictions, penalised or not.

    Parameters
    ----------
    data : Concave
        Regressors of full rank, in any units.
    restrictions : sequence of int, or (q, K) array of float
        Coefficients that are zero under the hypothesis, or R with ``R b = 0``.
    firth : bool
        Whether to penalise.

    Returns
    -------
    LRTest

    Notes
    -----
    ``2 (full - restricted)``, chi-square with q degrees of freedom. With the penalty, that of
    the restricted model is ``1/2 log det`` of the information of all K coefficients at the
    restricted estimates, as in Heinze & Schemper (2002) and logistf: the two maxima are of
    the same function. Without it, and with separated data, the suprema are compared.

    Examples
    --------
    >>> from llmdemand.modeling.likelihood.cells import Cells
    >>> x = np.column_stack([np.ones(8), np.arange(8.0)])
    >>> found = lr_test(Cells.of_rows(x, (x[:, 1] > 3).astype(float)), [1])
    >>> found.df, round(found.statistic, 3), round(found.pvalue, 4)
    (1, 5.736, 0.0166)
    """
    z, back = data.standardised()
    rows = np.asarray(restrictions)
    if rows.ndim == 1:
        rows = np.eye(z.size)[rows.astype(np.intp)]
    df = int(np.linalg.matrix_rank(rows))
    full = newton(z, firth=firth, gain=_GAIN)
    restricted = newton(z, firth=firth, free=_null_space(rows @ back), gain=_GAIN)
    statistic = max(0.0, 2 * (full.objective - restricted.objective))
    from scipy.stats import chi2

    return LRTest(statistic, df, float(chi2.sf(statistic, df)))


def profile_intervals(
    data: Concave,
    params: NDArray[np.floating[Any]],
    alpha: float = 0.05,
    *,
    rows: Array | None = None,
    firth: bool = True,
) -> Array:
    """Profile-likelihood intervals of coefficients, or of combinations of them.

    Parameters
    ----------
    data : Concave
        Regressors of full rank, in any units.
    params : (K,) array
        The estimates, from which the search starts; they may be infinite.
    alpha : float
        One less the coverage.
    rows : (M, K) array, optional
        Weights of the combinations; each coefficient by default.
    firth : bool
        Whether to penalise.

    Returns
    -------
    (M, 2) array
        Lower and upper bounds; infinite where the profile never falls below the cut.

    Notes
    -----
    The values c at which ``2 (max - profile(c))`` is at most the chi-square quantile with one
    degree of freedom, where the profile maximises over all other coefficients (the penalty
    being that of the whole model: Heinze & Schemper 2002). Without penalty the interval of
    separated data is half a line, or the whole: its finite bound is a result, as every value
    beyond it is compatible with the data.

    The penalised likelihood of few, separated observations can have several local maxima at
    values far from the estimate. The profile follows the one that it reaches continuously
    from the estimate, as logistf's does.

    Examples
    --------
    >>> from llmdemand.modeling.likelihood.cells import Cells
    >>> x = np.column_stack([np.ones(8), np.arange(8.0)])
    >>> cells = Cells.of_rows(x, (x[:, 1] > 3).astype(float))
    >>> profile_intervals(cells, np.zeros(2))[1].round(3).tolist()
    [0.134, 5.746]
    >>> profile_intervals(cells, np.zeros(2), firth=False)[1].round(3).tolist()
    [0.802, inf]
    """
    profiles = _Profiles(data, params, firth)
    weights = np.eye(data.size) if rows is None else rows
    return np.array([profiles.interval(row, alpha) for row in weights])


class _Profiles:
    """A fit in standardised regressors and what its profiles need."""

    def __init__(self, data: Concave, params: NDArray[np.floating[Any]], firth: bool) -> None:
        self.firth = firth
        self.z, self.back = data.standardised()
        known = np.zeros(data.size)
        if np.isfinite(params).all():
            known = np.asarray(np.linalg.solve(self.back, params), np.float64)
        self.top = newton(self.z, firth=firth, start=known)
        self.separated = not firth and divergence(self.z, self.top) is not None
        if self.separated:
            self.top = newton(self.z, gain=_GAIN)
        self.maximum = self.top.objective

    def interval(self, weights: Array, alpha: float) -> tuple[float, float]:
        from scipy.stats import chi2

        cut = float(np.sqrt(chi2.ppf(1 - alpha, 1)))
        if self.separated:
            # From within the interval, but where the information is still worth something.
            self.top = newton(self.z, gain=cut**2 / 20)
        row = weights @ self.back
        return -self._distance(-row, cut), self._distance(row, cut)

    def _distance(self, row: Array, cut: float) -> float:
        """The bound above in ``row @ params``."""
        separated = self.separated
        if separated and unbounded(self.z, row):
            return float(np.inf)
        profile = _profile(self.z, self.top, row, self.maximum, self.firth)
        centre = float(row @ self.top.params)
        way = _tangent(self.top.information, row)
        reach = self.z.reach(way)
        variance = float(row @ np.linalg.pinv(self.top.information) @ row)
        step = cut * float(np.sqrt(max(variance, 0.0)))
        step = min(step, 4.0 / reach) if separated else step
        low, high, gap = centre, centre + step, -cut
        for _ in range(_EXPANSIONS):
            if (new := profile(high) - cut) >= 0:
                break
            # The root of the deviance is nearly linear; log-likelihoods are so far out.
            slope = (new - gap) / (high - low)
            ahead = 1.1 * -new / slope if slope > 0 else np.inf
            low, gap = high, new
            most = max(4.0 / reach, (high - centre) / 4) if separated else 2 * (high - centre)
            high += min(max(ahead, 0.1 * (high - centre)), most)
        else:
            return float(np.inf)
        from scipy.optimize import brentq

        if profile(low) - cut >= 0:
            return low
        return float(
            brentq(lambda c: profile(c) - cut, low, high, xtol=1e-10 * (high - centre), rtol=1e-12)
        )


def _profile(
    z: Concave, top: NewtonFit, row: Array, maximum: float, firth: bool
) -> Callable[[float], float]:
    """Root of the deviance of ``row @ params = c``; starts from the last answer."""
    last, free = [top], _null_space(row[None, :])
    seen: dict[float, float] = {}

    def root(c: float) -> float:
        if c not in seen:
            fit = last[0]
            start = fit.params + _tangent(fit.information, row) * (c - float(row @ fit.params))
            last[0] = newton(z, firth=firth, start=start, free=free, gain=_GAIN)
            seen[c] = float(np.sqrt(max(0.0, 2 * (maximum - last[0].objective))))
        return seen[c]

    return root


def _tangent(information: Array, row: Array) -> Array:
    """How the other coefficients move, to first order, per unit of ``row @ params``."""
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    inverse = np.linalg.pinv(information / np.outer(scale, scale), rcond=1e-10, hermitian=True)
    way = inverse @ (row / scale) / scale
    along = float(row @ way)
    if np.isfinite(along) and along > 1e-12 * float(np.linalg.norm(way)):
        return way / along
    return row / float(row @ row)


def _null_space(rows: Array) -> Array:
    _, values, right = np.linalg.svd(rows)
    return np.asarray(right[int((values > 1e-12 * values.max(initial=0.0)).sum()) :].T)
