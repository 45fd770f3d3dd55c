"""Where a search for the maximum of a mixed logit begins."""

from __future__ import annotations

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.substitution.laws import Law

__all__ = ["starts_of"]


def starts_of(law: Law, plain: Array, largest: Array, number: int, seed: int) -> list[Array]:
    """Where a search for the maximum begins.

    Parameters
    ----------
    law : Law
        Of the coefficients.
    plain : (K,) array
        Coefficients of the plain logit.
    largest : (K,) array
        Largest absolute values of the regressors.
    number, seed : int
        How many starts, and the seed of the third and later ones.

    Returns
    -------
    list of (P,) arrays
        The plain logit's coefficients with small spreads; with larger ones; and jittered.

    Examples
    --------
    >>> from llmdemand.modeling.substitution.laws import law_of
    >>> law = law_of(["a"], {"a": "normal"}, {})
    >>> starts = starts_of(law, np.array([-2.0]), np.array([2.0]), 2, 1)
    >>> [start.tolist() for start in starts]
    [[-2.0, 0.6], [-2.0, 2.0]]
    """
    unit = np.maximum(np.abs(plain), 0.1 / np.where(largest > 0, largest, 1.0))
    value = plain.copy()
    if law.money is not None:
        money = max(abs(plain[law.money]), 1e-3 * unit[law.money])
        others = np.arange(len(plain)) != law.money
        value[others] /= money
        unit[others] /= money
    rng = np.random.default_rng(seed)
    starts = []
    for k, share in enumerate([0.3, 1.0, *([0.6] * number)][:number]):
        theta = np.zeros(law.size)
        jitter = rng.normal(size=law.size) * (0.3 if k > 1 else 0.0)
        for p, (place, spread) in enumerate(zip(law.place, law.spreads, strict=True)):
            kind = law.laws[place]
            if spread:
                theta[p] = share * (1.0 if kind.startswith("log") else unit[place])
            elif law.loads[p, 0]:
                theta[p] = _location(kind, value[place], unit[place])
        starts.append(theta * (1 + jitter))
    return starts


def _location(kind: str, b: float, unit: float) -> float:
    if kind == "lognormal+":
        return float(np.log(max(b, 0.1 * unit)))
    if kind == "lognormal-":
        return float(np.log(max(-b, 0.1 * unit)))
    return float(b)
