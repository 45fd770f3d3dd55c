"""The normal law of coefficients over respondents, from estimates with known noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array

__all__ = ["Noisy", "NormalLaw", "normal_law", "shrunken", "spread_interval"]

_LEAST = 0.05  # share of the estimates' variance that a search begins with
_NONE = 1e-4  # share of the largest variance that may as well be none
_SAME = 1e-6  # of a log-likelihood
_FAR = 1e4  # how many times the estimate an end is looked for
_ROUNDING = 1e-12  # share of the estimates' variance
_BEYOND = 1e8  # variance, in units of the estimates
_REACH = 4.5  # median deviations: three standard deviations of a normal law


@dataclass(frozen=True)
class Noisy:
    """Estimates of B respondents' K coefficients.

    Attributes
    ----------
    estimate : (B, K) array
        Coefficients.
    precision : (B, K, K) array
        Inverse covariances of their noise; singular where data leave a direction open.
    count : (B,) array or None
        How often each respondent counts, in a bootstrap; None for once.
    """

    estimate: Array
    precision: Array
    count: Array | None = None

    @property
    def counts(self) -> Array:
        """How often each respondent counts."""
        return np.ones(len(self.estimate)) if self.count is None else self.count

    def seen(self, way: Array) -> Noisy:
        """The same of the coefficients ``way @ theta``, `way` (K, K)."""
        back = np.linalg.inv(way)
        return Noisy(self.estimate @ way.T, back.T @ self.precision @ back, self.count)


@dataclass(frozen=True)
class NormalLaw:
    """``theta_i ~ N(mean, covariance)``.

    Attributes
    ----------
    mean : (K,) array
        Mean coefficients.
    covariance : (K, K) array
        Of coefficients over respondents.
    mean_cov : (K, K) array
        Covariance of `mean`, inverse of the sum of the weights.
    factor : float
        Knapp and Hartung's, for `mean_cov`.
    llf : float
        Restricted (or full) log-likelihood, less that of estimates without any spread.
    boundary : bool
        Whether some combination of coefficients has no spread.
    converged : bool
        Whether the search ended at a maximum.
    """

    mean: Array
    covariance: Array
    mean_cov: Array
    factor: float
    llf: float
    boundary: bool
    converged: bool

    @cached_property
    def sd(self) -> Array:
        """Spread of each coefficient, (K,)."""
        return np.sqrt(np.diag(self.covariance))


@dataclass(frozen=True)
class _At:
    """The likelihood of one covariance."""

    value: float
    slope: Array  # (K, K), by the covariance
    mean: Array
    mean_cov: Array
    quadratic: float

    @classmethod
    def of(cls, data: Noisy, covariance: Array, restricted: bool) -> _At:
        k, count = len(covariance), data.counts
        noisy = np.eye(k) + data.precision @ covariance
        weight = np.linalg.solve(noisy, data.precision)
        weight = (weight + weight.transpose(0, 2, 1)) / 2
        total = np.einsum("b,bkl->kl", count, weight)
        mean_cov = np.linalg.inv(total)
        mean = mean_cov @ np.einsum("b,bkl,bl->k", count, weight, data.estimate)
        apart = data.estimate - mean
        pull = np.einsum("bkl,bl->bk", weight, apart)
        quadratic = float(np.einsum("b,bk,bk->", count, pull, apart))
        value = float(count @ np.linalg.slogdet(noisy)[1]) + quadratic
        slope = np.einsum("b,bk,bl->kl", count, pull, pull) - total
        if restricted:
            value += float(np.linalg.slogdet(total)[1])
            slope = slope + np.einsum("b,bkl,lm,bmn->kn", count, weight, mean_cov, weight)
        return cls(-value / 2, slope / 2, mean, mean_cov, quadratic)


def normal_law(data: Noisy, *, restricted: bool = True, start: Array | None = None) -> NormalLaw:
    """Fit ``estimate_i | theta_i ~ N(theta_i, V_i)``, ``theta_i ~ N(mean, covariance)``.

    Parameters
    ----------
    data : Noisy
        Estimates and the inverses of V_i.
    restricted : bool
        Restricted maximum likelihood (REML), which counts the degrees of freedom of the mean;
        otherwise full maximum likelihood.
    start : (K, K) array, optional
        A covariance to begin with; by default that of the estimates less their noise.

    Returns
    -------
    NormalLaw

    Raises
    ------
    DesignError
        If there are no more respondents than coefficients, or none that says something of a
        coefficient.

    Notes
    -----
    With ``W_i = (V_i + Omega)^-1``, written ``(I + V_i^-1 Omega)^-1 V_i^-1`` so that V_i^-1 may
    be singular, the mean is ``(sum W_i)^-1 sum W_i e_i`` and, r_i the residuals, the likelihood

        -1/2 [ sum log det(I + V_i^-1 Omega) + sum r_i' W_i r_i + log det sum W_i ],

    the last term for REML alone. It is maximised over the Cholesky factor of Omega with its
    exact gradient (BFGS). Combinations whose spread is none within rounding are set to none.
    The factor of Knapp & Hartung (2003) is ``sum r_i' W_i r_i / (K (B - 1))``.

    Examples
    --------
    >>> found = normal_law(Noisy(np.array([[1.0], [2.0], [4.5]]), np.full((3, 1, 1), 10.0)))
    >>> found.mean.round(4).tolist(), found.covariance.round(4).tolist()   # variance less 0.1
    ([2.5], [[3.15]])
    """
    size, people = data.estimate.shape[1], float(data.counts.sum())
    if people <= size:
        raise DesignError(
            f"{people:g} respondents for {size} coefficients: their spread needs more respondents "
            "than coefficients"
        )
    total = np.einsum("b,bkl->kl", data.counts, data.precision)
    if np.linalg.matrix_rank(total) < size:
        raise DesignError(
            "some coefficient is not identified for any respondent: leave it out of the formula"
        )
    scale, begin, least = _beginning(data)
    seen = data.seen(np.diag(1 / scale))
    if start is not None:
        # From no spread at all there is no way up: the slope by the factor is zero there.
        begin = _raised(start / np.outer(scale, scale), least / 5)
    covariance, ended = _search(seen, begin, restricted, None)
    at = _At.of(seen, covariance, restricted)
    values, vectors = np.linalg.eigh(covariance)
    none = values < _NONE * max(values[-1], _NONE)
    boundary = False
    if none.any():
        rest = (vectors[:, ~none] * values[~none]) @ vectors[:, ~none].T
        less = _At.of(seen, rest, restricted)
        if less.value >= at.value - _SAME * (1 + abs(at.value)):
            covariance, at, boundary = rest, less, True
    nothing = _At.of(seen, np.zeros((size, size)), restricted)
    return NormalLaw(
        at.mean * scale,
        covariance * np.outer(scale, scale),
        at.mean_cov * np.outer(scale, scale),
        at.quadratic / (size * (people - 1)),
        at.value - nothing.value,
        boundary,
        ended,
    )


def spread_interval(
    data: Noisy, law: NormalLaw, way: Array, level: float, *, restricted: bool = True
) -> tuple[float, float]:
    """Profile likelihood interval of the standard deviation of ``way @ theta``.

    Parameters
    ----------
    data, law : Noisy, NormalLaw
        What was fitted, and the fit.
    way : (K,) array
        Weights of the coefficients.
    level : float
        Of confidence.

    Returns
    -------
    tuple of float
        All s whose likelihood, the rest of the covariance at its best, is within half the
        chi-squared quantile of the highest; from 0 where that is among them.
    """
    from scipy import stats

    basis = _completed(way)
    seen = data.seen(basis)
    inner = basis @ law.covariance @ basis.T
    sd = np.sqrt(np.maximum(np.diag(inner), 0))
    cut = float(stats.chi2.ppf(level, 1)) / 2
    top = _At.of(seen, inner, restricted).value
    typical, _, least = _beginning(seen)
    inner = _raised(inner / np.outer(typical, typical), least / 5) * np.outer(typical, typical)

    def short(s: float) -> float:
        return top - cut - _profile(seen, s, inner, restricted)

    low = 0.0
    if sd[0] > 0 and short(0.0) > 0:
        low = _crossing(short, 0.0, float(sd[0]))
    high = max(float(sd[0]), float(typical[0]) / 10)
    far = _FAR * high
    while short(high) < 0:
        if high > far:
            return low, np.inf
        high *= 1.5
    return low, _crossing(short, max(float(sd[0]), 0.0), high)


def _crossing(short: Callable[[float], float], a: float, b: float) -> float:
    from scipy import optimize

    return float(optimize.brentq(short, a, b, xtol=1e-6 * b, rtol=1e-8))


def _profile(data: Noisy, s: float, covariance: Array, restricted: bool) -> float:
    """The highest likelihood where the first coefficient has the spread s."""
    size = len(covariance)
    if size == 1:
        return _At.of(data, np.array([[s * s]]), restricted).value
    return _At.of(data, _search(data, covariance, restricted, s)[0], restricted).value


def _search(data: Noisy, begin: Array, restricted: bool, first: float | None) -> tuple[Array, bool]:
    """The best covariance, and whether the search ended; the first spread may be fixed.

    In coordinates in which the search begins at the identity: spreads may be of any sizes.
    """
    from scipy import optimize

    size = len(begin)
    factor = np.asarray(np.linalg.cholesky(begin), np.float64)
    white = data.seen(np.asarray(np.linalg.inv(factor), np.float64))
    rows, columns = np.tril_indices(size)
    if first is not None:
        rows, columns = rows[1:], columns[1:]

    def lower(free: Array) -> Array:
        found = np.zeros((size, size))
        found[rows, columns] = free
        if first is not None:
            found[0, 0] = first / factor[0, 0]
        return found

    def loss(free: Array) -> tuple[float, Array]:
        omega = lower(free) @ lower(free).T
        if not np.isfinite(omega).all() or np.abs(omega).max() > _BEYOND:
            return np.inf, np.zeros_like(free)  # a step that was too long
        at = _At.of(white, omega, restricted)
        return -at.value, -2 * (at.slope @ lower(free))[rows, columns]

    found = optimize.minimize(
        loss, np.eye(size)[rows, columns], jac=True, method="BFGS", options={"gtol": 1e-6}
    )
    # BFGS says that it lost precision where rounding of the likelihood is all that is left.
    ended = bool(found.success or np.abs(found.jac).max() < 1e-3 * len(data.estimate) ** 0.5)
    best = factor @ lower(found.x)
    return best @ best.T, ended


def _beginning(data: Noisy) -> tuple[Array, Array, float]:
    """Standard deviations of the estimates, a covariance in their units, and its least value.

    What a search begins with has at least the spread of the noise, or some if noise is large.
    """
    values = np.linalg.eigvalsh(data.precision)
    known = values[:, 0] > 1e-10 * values[:, -1]
    if known.sum() < 2:
        # Nobody's own: what a respondent's information says of itself is all there is.
        scale = 1 / np.sqrt(np.einsum("bkk->bk", data.precision).mean(axis=0))
        return scale, np.eye(len(scale)), _LEAST
    # Estimates from next to no information may lie anywhere: they shall not set the scale.
    seen = np.repeat(data.estimate[known], np.ceil(data.counts[known]).astype(np.intp), axis=0)
    middle = np.median(seen, axis=0)
    reach = _REACH * np.median(np.abs(seen - middle), axis=0)
    noise = np.median(np.linalg.inv(data.precision[known]), axis=0)
    reach = np.where(reach > 0, reach, np.ptp(seen, axis=0))
    reach = np.where(reach > 0, reach, np.sqrt(np.diag(noise)))
    covariance = np.atleast_2d(np.cov(np.clip(seen, middle - reach, middle + reach).T))
    scale = reach / _REACH * 1.5
    noise = noise / np.outer(scale, scale)
    least = float(np.clip(np.linalg.eigvalsh(noise)[0], _ROUNDING, _LEAST))
    return scale, _raised(covariance / np.outer(scale, scale) - noise, least), least


def _raised(matrix: Array, least: float) -> Array:
    """The matrix with no eigenvalue below the least."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, least)) @ vectors.T)


def _completed(way: Array) -> Array:
    """A well-conditioned square matrix whose first row is `way`."""
    q, _ = np.linalg.qr(np.column_stack([way, np.eye(len(way))]))
    return np.vstack([way, q.T[1:] * np.linalg.norm(way)])


def shrunken(data: Noisy, law: NormalLaw) -> tuple[Array, Array]:
    """Best linear unbiased predictions of each respondent's coefficients, and their covariance.

    Returns
    -------
    (B, K) array, (B, K, K) array
        ``mean + Omega W_i (e_i - mean)``, and the covariance of its error, ``Omega - Omega W_i
        Omega + R_i C R_i'`` with ``R_i = I - Omega W_i`` and C that of the mean: the uncertainty
        of Omega is not in it.
    """
    size, omega = len(law.mean), law.covariance
    weight = np.linalg.solve(np.eye(size) + data.precision @ omega, data.precision)
    pull = omega @ weight
    found = law.mean + np.einsum("bkl,bl->bk", pull, data.estimate - law.mean)
    rest = np.eye(size) - pull
    error = rest @ omega + rest @ law.mean_cov @ rest.transpose(0, 2, 1)
    return found, (error + error.transpose(0, 2, 1)) / 2
