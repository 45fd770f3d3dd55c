"""What a number of runs is judged by: price coefficient, elasticity, indifference price, share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import UsageError, nearest
from llmdemand.modeling.likelihood.cells import sigmoid

__all__ = ["TARGETS", "Target"]

Array = NDArray[np.float64]

#: Names of targets, and what they are.
TARGETS = {
    "price": "price coefficient",
    "elasticity": "price elasticity",
    "wtp": "indifference price",
    "share": "share",
}


@dataclass(frozen=True)
class Target:
    """A function of the constant a and the slope b of ``logit E[y] = a + b price``.

    Attributes
    ----------
    name : str
        ``price`` (b), ``elasticity`` (``b p (1 - mu)`` at price p, with
        ``mu = 1 / (1 + exp(-a - b p))``), ``wtp`` (``-a / b``, the price at which the
        share is one half) or ``share`` (mu at price p).
    at : float or None
        The price p; None for ``price`` and ``wtp``.

    Examples
    --------
    >>> float(Target("wtp").value(20.0, -0.5))
    40.0
    >>> Target("elasticity", 40.0).value(20.0, -0.5).item()
    -10.0
    """

    name: str
    at: float | None = None

    @classmethod
    def of(cls, name: str, at: float | None, prices: Array) -> Target:
        """The target that is asked for; the mean of the price grid where `at` is needed and None.

        Raises
        ------
        UsageError
            For an unknown name, a price that is not positive and finite, and a price for a
            target that has none.
        """
        if name not in TARGETS:
            raise UsageError(
                f"target {name!r}{nearest(str(name), tuple(TARGETS))}: use "
                f"{', '.join(repr(t) for t in TARGETS)}"
            )
        if name in ("price", "wtp"):
            if at is not None:
                raise UsageError(
                    f"at={at} with target {name!r}: the {TARGETS[name]} is the same at every "
                    "price; leave at out, or ask for 'elasticity' or 'share'"
                )
            return cls(name)
        at = float(np.mean(prices)) if at is None else float(at)
        if not (math.isfinite(at) and (at > 0 or name == "share")):
            raise UsageError(f"at={at}: give a finite price, positive for an elasticity")
        return cls(name, at)

    @property
    def label(self) -> str:
        """In words, with its price."""
        return TARGETS[self.name] + ("" if self.at is None else f" at {self.at:g}")

    def value(self, const: Any, slope: Any) -> Array:
        """The target of arrays of constants and slopes; NaN where these are."""
        a, b = np.asarray(const, float), np.asarray(slope, float)
        if self.name == "price":
            return b
        if self.name == "wtp":
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray(-a / b)
        price = self._price
        mu = sigmoid(a + b * price)
        return np.asarray(mu if self.name == "share" else b * price * (1 - mu))

    def gradient(self, const: float, slope: float) -> Array:
        """Derivatives by the constant and by the slope, for the delta method."""
        if self.name == "price":
            return np.array([0.0, 1.0])
        if self.name == "wtp":
            return np.array([-1 / slope, const / slope**2])
        price = self._price
        mu = float(sigmoid(np.asarray(const + slope * price)))
        weight = mu * (1 - mu)
        if self.name == "share":
            return weight * np.array([1.0, price])
        bend = slope * price * weight
        return np.array([-bend, price * (1 - mu) - bend * price])

    @property
    def _price(self) -> float:
        if self.at is None:
            raise UsageError(f"target {self.name!r} needs a price: give at=...")
        return self.at
