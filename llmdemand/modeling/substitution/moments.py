"""What a law says of the coefficients themselves: moments, shares below zero, covariances."""

from __future__ import annotations

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.substitution.laws import Law

__all__ = ["covariances", "density", "described", "linked", "moments", "vanishes"]

_SIGN = {"lognormal+": 1.0, "lognormal-": -1.0}
_SPREAD = {"triangular": 6**-0.5, "uniform": 3**-0.5}
#: Laws whose coefficients have values on both sides of zero.
_BOTH = ("normal", "zero-normal", "triangular", "uniform")


def described(law: Law) -> list[tuple[str, str, str]]:
    """Term, law and statistic of each number that `moments` gives.

    >>> from llmdemand.modeling.substitution.laws import law_of
    >>> law = law_of(["price", "size"], {"price": "lognormal-"}, {})
    >>> [row[2] for row in described(law)]
    ['mean', 'median', 'sd']
    """
    return [
        (law.terms[k], law.laws[k], statistic)
        for k in law.random
        for statistic in (
            "mean",
            "median",
            "sd",
            *(["share below zero"] if law.laws[k] in _BOTH else []),
        )
    ]


def moments(law: Law, params: Numbers) -> Numbers:
    """The statistics that `described` names; complex parameters pass through.

    They are of the coefficients ``h_k(eta_k)``: of lognormal ones not of their logarithms, and in
    willingness-to-pay space of the willingness to pay.

    >>> from llmdemand.modeling.substitution.laws import law_of
    >>> law = law_of(["price"], {"price": "lognormal-"}, {})
    >>> moments(law, np.array([0.0, 1.0])).round(4).tolist()
    [-1.6487, -1.0, 2.1612]
    """
    mean, loads = law.linear_in(params)
    found: list[Numbers] = []
    for k in law.random:
        kind, m = law.laws[k], mean[k]
        variance = loads[k] @ loads[k]
        if kind in _SIGN:
            first = np.exp(m + variance / 2)
            sign = _SIGN[kind]
            found += [sign * first, sign * np.exp(m), first * np.sqrt(np.exp(variance) - 1)]
            continue
        length = np.sqrt(variance)
        found += [m, m, length * _SPREAD.get(kind.removeprefix("zero-"), 1.0)]
        if kind in _BOTH:
            found.append(_below(kind, -m / length))
    return np.array(found)


def linked(law: Law) -> list[tuple[int, int]]:
    """Pairs of terms whose coefficients share a draw."""
    loads = np.zeros((len(law.terms), law.loads.shape[1]), bool)
    np.logical_or.at(loads, law.place, law.loads != 0)
    shared = loads[:, 1:].astype(int) @ loads[:, 1:].T.astype(int)
    return [(a, b) for a in law.random for b in law.random if a < b and shared[a, b]]


def covariances(law: Law, params: Numbers, *, correlations: bool = False) -> Numbers:
    """Covariances (or correlations) of the pairs that `linked` gives.

    With V that of ``eta``: V for two normal coefficients, ``E[b_1] V`` where the first is
    lognormal, ``E[b_1] E[b_2] (exp(V) - 1)`` where both are.

    >>> from llmdemand.modeling.substitution.laws import law_of
    >>> law = law_of(["a", "b"], {"a": "normal", "b": "normal"}, {}, correlated=True)
    >>> covariances(law, np.array([1.0, 1.0, 2.0, 0.5, 3.0])).tolist()
    [1.0]
    """
    mean, loads = law.linear_in(params)
    v = loads @ loads.T
    found = []
    for a, b in linked(law):
        grown = [k for k in (a, b) if law.laws[k] in _SIGN]
        value = np.exp(v[a, b]) - 1 if len(grown) == 2 else v[a, b]
        for k in grown:
            value = value * _SIGN[law.laws[k]] * np.exp(mean[k] + v[k, k] / 2)
        if correlations:
            for k in (a, b):
                size = np.sqrt(v[k, k])
                if k in grown:
                    size = np.exp(mean[k] + v[k, k] / 2) * np.sqrt(np.exp(v[k, k]) - 1)
                value = value / size
        found.append(value)
    return np.array(found)


def density(law: Law, params: Array, term: int, at: Array) -> Array:
    """Density of a coefficient that varies, (n,), at (n,) values.

    >>> from llmdemand.modeling.substitution.laws import law_of
    >>> law = law_of(["price"], {"price": "uniform"}, {})
    >>> density(law, np.array([0.0, 2.0]), 0, np.array([-3.0, 1.0])).tolist()
    [0.0, 0.25]
    """
    from scipy import stats

    mean, loads = law.linear_in(params)
    kind, m = law.laws[term], float(mean[term])
    s = max(float(np.sqrt(loads[term] @ loads[term])), np.finfo(float).tiny)
    if kind in _SIGN:
        return np.asarray(stats.lognorm.pdf(_SIGN[kind] * at, s, scale=np.exp(m)))
    if kind.endswith("uniform"):
        return np.asarray(stats.uniform.pdf(at, m - s, 2 * s))
    if kind.endswith("triangular"):
        return np.asarray(stats.triang.pdf(at, 0.5, m - s, 2 * s))
    return np.asarray(stats.norm.pdf(at, m, s))


def vanishes(law: Law, params: Array, x: Array) -> bool:
    """Whether ``x' beta`` has values about zero, so that one over it has no mean.

    The mean of a ratio with a coefficient below that may be zero does not exist (Daly, Hess &
    Train 2012), however rare zero is among draws.

    >>> from llmdemand.modeling.substitution.laws import law_of
    >>> one = np.array([1.0])
    >>> vanishes(law_of(["price"], {"price": "normal"}, {}), np.array([-9.0, 0.1]), one)
    True
    >>> vanishes(law_of(["price"], {"price": "lognormal-"}, {}), np.array([0.0, 1.0]), one)
    False
    """
    used = np.flatnonzero(x)
    if law.money is not None and (used == law.money).all():
        return False  # every utility has its factor
    mean, loads = law.linear_in(params)
    low = high = 0.0
    for k in used:
        kind, m, s = law.laws[k], float(mean[k]), float(np.abs(loads[k]).sum())
        if kind == "zero-uniform":
            return True  # zero itself is as likely as any other value
        if kind in ("normal", "zero-normal"):
            ends = (-np.inf, np.inf)
        elif kind in _SIGN:
            ends = (0.0, _SIGN[kind] * np.inf)
        else:
            ends = (m - s, m + s)
        a, b = sorted(x[k] * e for e in ends)
        low, high = low + a, high + b
    return bool(low < 0 < high)


def _below(kind: str, u: Numbers) -> Numbers:
    """Distribution function of a standard draw; a complex step passes through."""
    from scipy.special import ndtr

    at = float(np.real(u))
    value: float
    if kind in ("normal", "zero-normal"):
        value, slope = float(ndtr(at)), float(np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi))
    elif abs(at) >= 1:
        value, slope = float(at > 0), 0.0
    elif kind == "uniform":
        value, slope = (1 + at) / 2, 0.5
    else:
        low = at < 0
        value = (1 + at) ** 2 / 2 if low else 1 - (1 - at) ** 2 / 2
        slope = 1 - abs(at)
    return np.asarray(value + slope * (u - at))
