"""Several products, who owns them, and what their prices earn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Self

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.prices import not_falling
from llmdemand.modeling.quantities.scene import Scene, linear_in_price, price_range
from llmdemand.modeling.quantities.scenes import distinct
from llmdemand.modeling.sample.designs import Design, place_of

__all__ = ["Market", "Owners", "owners_of"]

_STEPS, _CLOSE = 2000, 1e-12  # of the iteration, and relative to prices
_APART = 1e-5  # relative: two equilibria are one
_WITHIN, _BEYOND, _MORE = 4, (2.0, 4.0), 1e-6  # prices an owner is tempted by, and by how much


@dataclass(frozen=True)
class Owners:
    """Products whose prices are set, and by whom.

    Attributes
    ----------
    products : tuple of str
        The alternatives, owner by owner.
    owner : tuple of str
        Owner of each.
    cost : (m,) array
        Marginal cost of each.
    """

    products: tuple[str, ...]
    owner: tuple[str, ...]
    cost: Array

    @cached_property
    def together(self) -> Array:
        """Which products have one owner, (m, m) of 0 and 1."""
        return np.array([[float(a == b) for b in self.owner] for a in self.owner])


def owners_of(
    design: Design,
    owners: Mapping[str, Sequence[str]],
    cost: float | Mapping[str, float],
) -> Owners:
    """Products and their costs, checked.

    Raises
    ------
    DesignError
        For an alternative that the model does not have.
    UsageError
        For one that is owned twice, costs of other products or that are no numbers.
    """
    if not isinstance(owners, Mapping) or not owners:
        raise UsageError(
            f"owners={owners!r}: give the alternatives whose prices each owner sets, as in "
            f"{{'owner': [{design.alternatives[0]!r}]}}"
        )
    products: list[str] = []
    whose: list[str] = []
    for owner, some in owners.items():
        if isinstance(some, str) or not isinstance(some, Sequence) or not some:
            raise UsageError(f"owners[{owner!r}]={some!r}: give a list of alternatives")
        for name in some:
            place_of(name, design.alternatives)
            if name in products:
                raise UsageError(f"owners: {name!r} is owned twice")
            products.append(name)
            whose.append(str(owner))
    if isinstance(cost, Mapping):
        strange = [name for name in cost if name not in products]
        missing = [name for name in products if name not in cost]
        if strange or missing:
            raise UsageError(
                f"cost: {', '.join(map(repr, strange or missing))} "
                f"{'is not among the products' if strange else 'has none'}: give one number, or "
                f"that of each of {', '.join(products)}"
            )
        given = [cost[name] for name in products]
    else:
        given = [cost] * len(products)
    if not all(isinstance(c, Real) and np.isfinite(float(c)) for c in given):
        raise UsageError(f"cost={cost!r}: give finite numbers")
    return Owners(tuple(products), tuple(whose), np.array([float(c) for c in given]))


@dataclass(frozen=True)
class Market:
    """Demand for the products by their prices, in the cases of one answer.

    Attributes
    ----------
    scene : Scene
        The cases; the products' own prices in them play no part.
    owners : Owners
        Who sets which prices.
    price : str
        What the price is called.
    """

    scene: Scene
    owners: Owners
    price: str

    @classmethod
    def of(cls, scene: Scene, owners: Owners, price: str) -> Self:
        """The market of a scene: cases that differ in the products' own prices alone are one.

        Raises
        ------
        DesignError
            For an alternative that never costs anything, such as buying nothing.
        """
        for name in owners.products:
            low, high = price_range(scene, name, price)
            if low == high == 0:
                raise DesignError(
                    f"{name!r} costs 0 in all cases: it is no product whose price could be set"
                )
            scene = scene.at_price(name, price, low)
        return cls(distinct(scene), owners, price)

    @cached_property
    def seen(self) -> list[tuple[float, float]]:
        """Range of each product's price in the sample."""
        return [price_range(self.scene, a, self.price) for a in self.owners.products]

    @cached_property
    def _lines(self) -> tuple[Array, list[Array], Array] | None:
        """Regressors at the lowest prices and their slopes, if all are linear in the prices."""
        products = self.owners.products
        if not all(linear_in_price(self.scene, a, self.price) for a in products):
            return None
        low = np.array([low for low, _ in self.seen])
        first = self._scene(low)
        return first.x, [first.pull(a, self.price).x for a in products], low

    def _scene(self, prices: Array) -> Scene:
        found = self.scene
        for name, p in zip(self.owners.products, prices, strict=True):
            found = found.at_price(name, self.price, float(p))
        return found

    def demand(self, prices: Array, b: Numbers) -> tuple[Numbers, Numbers]:
        """Mean shares (m,), and their derivatives (m, m): row j by the price of j."""
        products, scene = self.owners.products, self.scene
        if self._lines is not None:
            first, slopes, low = self._lines
            x = first + sum(s * (p - q) for s, p, q in zip(slopes, prices, low, strict=True))
        else:
            there = self._scene(prices)
            x, slopes = there.x, [there.pull(a, self.price).x for a in products]
        rows = []
        for slope in slopes:
            s, by = scene.responses(b, slope, x)
            rows.append([scene.summed(s * by, a)[0] for a in products])
        shares = [scene.summed(s, a)[0] for a in products]
        everyone = scene.everyone[0]
        return np.array(shares) / everyone, np.array(rows) / everyone

    def first_order(self, prices: Array, b: Numbers) -> Numbers:
        """``S_j + sum_k owned with j (p_k - c_k) dS_k / dp_j``, (m,)."""
        shares, slopes = self.demand(prices, b)
        margin = prices - self.owners.cost
        return np.asarray(shares + (self.owners.together * slopes) @ margin)

    def profits(self, prices: Array, b: Array) -> Array:
        """What each product earns per observation, (m,)."""
        shares, _ = self.demand(prices, b)
        return np.asarray((prices - self.owners.cost) * np.real(shares))

    def solve(self, b: Array, start: Array) -> Array:
        """Prices at which every owner's first-order conditions hold.

        Notes
        -----
        The iteration of Morrow & Skerlos (2011), Operations Research 59: with ``L_j = dS_j /
        dp_j / (1 - S_j)`` conditions are ``p = c + [-S + (O * G)(p - c)] / L``, ``G = diag(L) -
        dS / dp``; its fixed points are the solutions whatever L is. Newton's method ends it.

        Raises
        ------
        DesignError
            If demand for a product does not fall with its price, or no solution is found.
        """
        from scipy.optimize import root

        cost, together, prices = self.owners.cost, self.owners.together, start
        for _ in range(_STEPS):
            shares, slopes = self.demand(prices, b)
            own = np.diag(slopes) / (1 - shares)
            if not (own < 0).all():
                worst = int(np.argmax(own))
                if own[worst] > 0:
                    name = self.owners.products[worst]
                    raise DesignError(
                        not_falling(name, self.price, float(own[worst])) + ": no price is the best"
                    )
                break  # nobody buys: Newton's method may lead back
            rest = np.diag(own) - slopes
            ahead = cost + (-shares + (together * rest) @ (prices - cost)) / own
            if not np.isfinite(ahead).all():
                break
            moved, prices = float(np.abs(ahead - prices).max()), ahead
            if moved <= _CLOSE * float(np.abs(prices).max()):
                break

        def conditions(p: Array) -> Array:
            return np.asarray(np.real(self.first_order(p, b)))

        found = root(conditions, prices, tol=1e-13)
        scale = float(np.abs(self.demand(prices, b)[0]).max())
        if not np.abs(found.fun).max() <= 1e-8 * scale or (found.x < cost).any():
            raise DesignError(
                "no prices found at which every owner earns the most it can: profits may rise "
                "without end, or costs lie far from the observed prices; give costs near them, or "
                "ask for one price with optimal_price(bounds=...)"
            )
        return np.asarray(found.x, np.float64)

    def slopes(self, prices: Array, b: Array) -> Array:
        """Derivatives of the first-order conditions by the prices, (m, m): row j of condition j."""
        columns = []
        for j, p in enumerate(prices):
            h = 2.0**-12 * (abs(p) or 1.0)
            f = []
            for k in (-2, -1, 1, 2):
                moved = prices.copy()
                moved[j] += k * h
                f.append(np.real(self.first_order(moved, b)))
            columns.append((8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h))
        return np.array(columns).T

    def implicit(self, prices: Array, b: Numbers, curvature: Array) -> Numbers:
        """Solutions at coefficients a complex step from the real ones, to first order."""
        moved = np.imag(self.first_order(prices, b))
        return np.asarray(prices - 1j * np.linalg.solve(curvature, moved))

    def maximal(self, curvature: Array) -> bool:
        """Whether each owner's profit has a maximum in its own prices there."""
        for name in dict.fromkeys(self.owners.owner):
            own = [k for k, owner in enumerate(self.owners.owner) if owner == name]
            part = curvature[np.ix_(own, own)]
            if np.linalg.eigvalsh((part + part.T) / 2).max() >= 0:
                return False
        return True

    def tempting(self, prices: Array, b: Array) -> tuple[str, float] | None:
        """A product, and a price of it far from here, at which its owner earns more; if any.

        Some prices within the observed range are tried, and some up to four times the highest:
        first-order conditions also hold where profit has a lower maximum than elsewhere.
        """
        here = self.owners.together @ self.profits(prices, b)
        for k, (low, high) in enumerate(self.seen):
            for p in (*np.linspace(low, high, _WITHIN), *(high * np.array(_BEYOND))):
                if p <= self.owners.cost[k]:
                    continue
                moved = prices.copy()
                moved[k] = p
                there = self.owners.together[k] @ self.profits(moved, b)
                if there > here[k] * (1 + _MORE):
                    return self.owners.products[k], float(p)
        return None

    def apart(self, some: Array, other: Array) -> bool:
        """Whether two solutions differ."""
        return bool(np.abs(some - other).max() > _APART * np.abs(other).max())
