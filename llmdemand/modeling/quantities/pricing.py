"""The price that earns most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Unpack

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.intervals import Drawn, Fit, coefficients, infer, ready
from llmdemand.modeling.quantities.prices import (
    Price,
    extrapolations,
    free_price,
    not_falling,
    price_name,
)
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.scene import Scene, linear_in_price, price_range
from llmdemand.modeling.quantities.scenes import At, Average, distinct, scenes

__all__ = ["Goal", "optimal_price"]

Goal = Literal["profit", "revenue"]

_GRID, _FINE = 161, 33
_CELLS = 1 << 20  # utilities that are held at a time
_REACH = 4.0  # a non-linear price is searched up to so many times the highest one seen


def optimal_price(
    fit: Fit,
    cost: float = 0.0,
    kind: Goal = "profit",
    *,
    alternative: str | None = None,
    price: Price = "price",
    bounds: tuple[float, float] | None = None,
    at: At = None,
    average: Average = "mean",
    **drawn: Unpack[Drawn],
) -> Quantity:
    """One price for all observations that maximises ``(p - cost) S(p)``, rivals' prices given.

    With a linear price and one kind of observation, ``p = c + [1 + W(exp(a + b c - 1))] / -b``,
    ``W`` Lambert's function and ``a`` the utility at price zero less the log-sum of the
    other alternatives. Otherwise the maximum is searched on a grid and refined to the root of ``S +
    (p - c) dS/dp``, which is the inverse-elasticity rule ``(p - c) / p = -1 / e``.

    Parameters
    ----------
    fit, price, at, average, **drawn
        See `responses.shares`; the alternative's own price in the sample plays no part, and
        `at` must not set it (rows of a data frame have one, which is not used). The delta method
        takes implicit derivatives of the first-order condition; draws in which demand does not
        fall count as an infinite price.
    cost : float
        Marginal cost, in units of price.
    kind : str
        ``profit``, or ``revenue``, for which there is no cost.
    alternative : str, optional
        Whose price; needed where there are several alternatives.
    bounds : pair of float, optional
        Lowest and highest price; required only where profit rises without end.

    Returns
    -------
    Quantity
        One row per value of `at`. A note says when the optimum lies outside the observed prices,
        where nothing but the formula speaks for it, or at a bound.

    Raises
    ------
    DesignError
        If demand does not fall with the price, or profit rises up to the end of the search.
    UsageError
        For unknown options.

    Notes
    -----
    A derivation of the Lambert form for logit demand: Aravindakshan & Ratchford (2011),
    Review of Marketing Science 9.

    Examples
    --------
    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({"price": [1, 2, 3, 4] * 2, "buy": [1, 1, 0, 0, 1, 0, 1, 0]})
    >>> fit = ld.logit("buy ~ price", df)
    >>> p = float(optimal_price(fit, cost=0.5))
    >>> s = 1 / (1 + np.exp(-(fit.params["const"] + fit.params["price"] * p)))
    >>> bool(abs((p - 0.5) * -fit.params["price"] * (1 - s) - 1) < 1e-9)
    True
    """
    choose(kind, Goal, "kind")
    if not np.isfinite(cost):
        raise UsageError(f"cost={cost!r}: give a finite number")
    if kind == "revenue" and cost:
        raise UsageError(f"kind='revenue' has no cost, found {cost:g}: use kind='profit'")
    if bounds is not None and not -np.inf < bounds[0] < bounds[1] < np.inf:
        raise UsageError(f"bounds={bounds!r}: give a lower and a higher price")
    design, sample = ready(fit, "an optimal price")
    if alternative is None:
        if len(design.alternatives) > 1:
            raise UsageError(
                f"optimal_price: name the alternative, one of {', '.join(design.alternatives)}"
            )
        alternative = design.alternatives[0]
    price = price_name(design, price)
    free_price(design, sample, at, alternative, price, "optimal_price")
    where = scenes(
        fit,
        at,
        what="an optimal price",
        average=average,
        price=price,
        alternative=alternative,
        apart=True,
    )
    problems = [_Problem(scene, alternative, price, cost, bounds) for scene in where.blocks]
    params = coefficients(fit)
    optima = [problem.solve(params) for problem in problems]
    notes = _notes(problems, optima, params, kind)

    def value(b: Numbers) -> Numbers:
        if not np.iscomplexobj(b):
            exact = bool(np.array_equal(b, params))
            return np.array([_or_infinite(problem, b, exact) for problem in problems])
        # Complex steps are taken about the estimates: one Newton step from their optimum.
        return np.array(
            [problem.implicit(p, b, params) for problem, p in zip(problems, optima, strict=True)]
        )

    return infer(
        fit,
        value,
        name=f"{kind}-maximising price of {alternative}"
        + (f" at cost {cost:g}" if kind == "profit" else ""),
        keys=where.keys,
        rule=f"of mean {kind}; " + where.rule,
        unit=f"units of {price}",
        notes=notes,
        drawn=drawn,
    )


def _or_infinite(problem: _Problem, b: Array, exact: bool) -> float:
    try:
        return problem.solve(b, exact=exact)
    except _Rising:
        return np.inf


def _notes(problems: list[_Problem], optima: list[float], params: Array, kind: str) -> list[str]:
    notes = []
    for problem, p in zip(problems, optima, strict=True):
        share, slope = problem.demand(p, params)
        s, d = float(np.real(share)), float(np.real(slope))
        notes.append(
            f"at {p:.5g} the share is {s:.4g}, its elasticity "
            f"{d * p / s if s else float('nan'):.4g} and {kind} "
            f"{(p - problem.cost) * s:.5g} per observation"
        )
        notes += extrapolations([p], *problem.seen)
        if problem.bound(p):
            notes.append(
                f"{p:.5g} is at a bound of the search: the optimum may lie beyond it, and it has "
                "no standard error"
            )
    return notes


class _Rising(DesignError):
    """Profit rises without end."""


class _Problem:
    """Mean profit of one alternative by its price."""

    def __init__(
        self,
        scene: Scene,
        alternative: str,
        price: str,
        cost: float,
        bounds: tuple[float, float] | None,
    ) -> None:
        self.alternative, self.price = alternative, price
        self.cost, self.bounds = cost, bounds
        self.seen = price_range(scene, alternative, price)
        # At the lowest price: cases that differ in this price alone are one.
        self.scene = scene = distinct(scene.at_price(alternative, price, self.seen[0]))
        self.linear = linear_in_price(scene, alternative, price)
        self._first = scene
        self._slope = self._first.pull(alternative, price).x
        self._rows = scene.rows(alternative)
        self._kept: dict[tuple[float, float], Array] = {}
        self._ends = (np.nan, np.nan)
        # Plain logits with a linear price have a bracket that is known.
        self._closed = self.linear and scene.kernel.plain
        if not self._closed:
            self._ends = self._reach()

    def _reach(self) -> tuple[float, float]:
        """Where a non-linear price is searched: the bounds, as far as the formula goes."""
        low, high = self.seen
        if self.bounds is not None:
            return self.bounds
        wide = (max(self.cost, low / _REACH), high * _REACH) if low > 0 else self.seen
        try:
            for p in wide:
                self._at(p)
        except DesignError:
            return self.seen
        return wide

    def _at(self, p: float) -> tuple[Array, Array]:
        """Regressors and their derivatives."""
        if self.linear:
            return self._first.x + self._slope * (p - self.seen[0]), self._slope
        there = self.scene.at_price(self.alternative, self.price, p)
        return there.x, there.pull(self.alternative, self.price).x

    def demand(self, p: float, b: Numbers, at: tuple[Array, Array] | None = None) -> Numbers:
        """Mean share and its derivative by the price."""
        x, slope = self._at(p) if at is None else at
        s, by = self.scene.responses(b, slope, x)
        sums = [self.scene.summed(values, self.alternative) for values in (s, s * by)]
        return np.asarray(np.concatenate(sums) / self.scene.everyone[0])

    def _first_order(self, p: float, b: Numbers) -> Numbers:
        share, slope = self.demand(p, b)
        return np.asarray(share + (p - self.cost) * slope)

    def solve(self, b: Array, exact: bool = True) -> float:
        """The best price."""
        low, high = self._ends
        if self._closed:
            low, high = self._bracket(b)
            if self.bounds is not None:
                low, high = (float(np.clip(p, *self.bounds)) for p in (low, high))
            if high - low <= 1e-12 * abs(high):
                return (low + high) / 2
            return self._refine(*self._best(np.linspace(low, high, _GRID), b), b)
        grid = np.linspace(low, high, _GRID)
        best = int(np.argmax(self._profits(grid, b)))
        if best in (0, _GRID - 1):
            if best and self.bounds is None and self._ends != self.seen:
                raise _Rising(
                    f"profit still rises at {self.price} {high:g}, {_REACH:g} times the highest "
                    "observed: no optimum can be told; give bounds=(low, high)"
                )
            return float(grid[best])
        low, high = float(grid[best - 1]), float(grid[best + 1])
        if exact:
            return self._refine(low, high, b)
        # For draws a parabola through the best of a finer grid is precise enough.
        grid = np.linspace(low, high, _FINE)
        profit = self._profits(grid, b)
        best = min(max(int(np.argmax(profit)), 1), _FINE - 2)
        left, top, right = profit[best - 1 : best + 2]
        bend = left - 2 * top + right
        shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
        return float(grid[best] + np.clip(shift, -1, 1) * (grid[1] - grid[0]))

    def _best(self, grid: Array, b: Array) -> tuple[float, float]:
        """The neighbours of the best price of a grid."""
        best = int(np.argmax(self._profits(grid, b)))
        return float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])

    def _profits(self, grid: Array, b: Array) -> Array:
        """Profit on a grid; regressors of a non-linear price are kept, they serve every draw."""
        scene = self.scene
        key = (float(grid[0]), float(grid[-1]))
        if not self.linear and key not in self._kept:
            self._kept[key] = scene.priced(self.alternative, self.price, grid)
        base, slope = scene.utilities(b, self._first.x), scene.utilities(b, self._slope)
        weight = scene.weight[scene.case[self._rows]] / scene.everyone[0]
        share = np.empty(len(grid))
        size = max(1, _CELLS // base.size)
        for first in range(0, len(grid), size):
            some = slice(first, first + size)
            if self.linear:
                v = base[:, None] + (grid[some, None] - self.seen[0]) * slope[:, None]
            else:
                v = scene.utilities(b, self._kept[key][some])
            share[some] = scene.shares_of(b, v)[:, self._rows] @ weight
        return np.asarray((grid - self.cost) * share)

    def _refine(self, low: float, high: float, b: Array) -> float:
        from scipy.optimize import brentq

        f: Callable[[float], float] = lambda p: float(self._first_order(p, b))  # noqa: E731
        if f(low) <= 0 or f(high) >= 0:
            # A kink, or a bound of the search.
            return low if f(low) <= 0 else high
        return float(brentq(f, low, high, xtol=1e-13 * max(abs(high), 1e-300), rtol=1e-14))

    def _bracket(self, b: Array) -> tuple[float, float]:
        """The optima of the single observations hold that of their sum between them."""
        from scipy.special import wrightomega

        v = self.scene.utilities(b, self._slope)[0]
        own = v[self._rows]
        if (own >= 0).any() or not len(own):
            raise _Rising(
                not_falling(self.alternative, self.price, own.max(initial=0))
                + ": no price is the best"
            )
        others = v.copy()
        others[self._rows] = 0
        if others.any():
            # The price moves rivals' utilities, too: no closed form, but a range that is wide.
            span = 1 / np.abs(own).min()
            top = max(self.cost, self.seen[1]) + 50 * span
            return min(self.cost, self.seen[0]), top
        scene, c = self.scene, self.cost
        eta = scene.utilities(b, self._at(c)[0])[0]
        rest = eta.copy()
        rest[self._rows] = -np.inf
        case = scene.case[self._rows]
        top = scene.sets.max(rest)
        with np.errstate(invalid="ignore"):
            sums = scene.sets.sum(np.exp(rest - top[scene.case]))
        if np.isinf(top[case]).any():
            raise _Rising(
                f"{self.alternative!r} is the only alternative in a choice set: its demand does "
                "not fall with the price"
            )
        a = eta[self._rows] - (top + np.log(sums))[case]
        best = c + (1 + np.real(wrightomega(a - 1))) / -own
        return float(best.min()), float(best.max())

    def bound(self, p: float) -> bool:
        """Whether a price is an end of the search."""
        ends = self._ends if self.bounds is None else self.bounds
        return any(abs(p - e) <= 1e-12 * max(abs(e), 1e-300) for e in ends)

    def implicit(self, p: float, b: Numbers, real: Array) -> complex:
        """Optimum at coefficients a complex step from the real ones, to first order."""
        if self.bound(p):
            return complex(p, np.nan)
        h = 2.0**-12 * (abs(p) or 1.0)
        f = [float(self._first_order(p + k * h, real)) for k in (-2, -1, 1, 2)]
        curvature = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h)
        moved = self._first_order(p, b)
        return complex(p - 1j * np.imag(moved) / curvature)
