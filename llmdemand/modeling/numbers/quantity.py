"""Demand in quantities: expected packs at every price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.numbers.answers import Answers
from llmdemand.modeling.numbers.likelihoods import Counts, maximum
from llmdemand.modeling.numbers.result import NumberFit, at_the_top, estimated
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.variance.vcov import SSC, parse_vcov

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["QuantityDemand", "fit_quantity"]

_POINTS = 200  # prices among which the best one is looked for


@dataclass(frozen=True, repr=False)
class QuantityDemand(NumberFit):
    """Quasi-Poisson regression of quantities, or of their means by belief.

    ``E q = exp(x'b)``. Belief over 0..n has the mean ``sum_k k b_k``, which has the same
    expectation as the quantity that is drawn from it and less variance, so that one regression
    serves both (`outcome`). Standard errors do not take the variance for the mean (quasi-Poisson).

    Attributes
    ----------
    dispersion : float
        Pearson's statistic over n - k: 1 for Poisson counts.
    """

    dispersion: float = float("nan")

    kind = "Quasi-Poisson demand"

    def _facts(self) -> list[str]:
        return [f"dispersion: {self.dispersion:.4g} (Poisson counts: 1)"]

    def _mean(self, price: float) -> tuple[float, Array]:
        """Expected quantity at a price, and its derivatives by the coefficients."""
        x, offset, weight = self.data.at(price)
        mu = weight * np.exp(x @ self.at.params + offset)
        return float(mu.sum()), mu @ x

    def _elasticity(self, price: float) -> tuple[float, Array]:
        x, offset, weight = self.data.at(price)
        dx, doffset = self.data.slope(price)
        mu = weight * np.exp(x @ self.at.params + offset)
        mu /= mu.sum()
        each = dx @ self.at.params + doffset
        value = float(mu @ each)
        return value, mu @ dx + (mu * (each - value)) @ x

    def expected(
        self, price: float | Sequence[float] | None = None, alpha: float = 0.05
    ) -> Quantity:
        """Expected quantity per respondent at these prices, those of the data by default.

        Examples
        --------
        >>> import llmdemand as ld
        >>> panel = ld.simulate(ld.load_study("coffee-packs"), "synthetic", runs=5, seed=1)
        >>> ld.quantity_demand(panel).expected(6).unit
        'packs'
        """
        prices = self.asked(price)
        return self.quantity(
            f"expected quantity of {self.alternative}",
            {"price": prices},
            [self._mean(p) for p in prices],
            self.data.noun,
            scale="log",
            alpha=alpha,
        )

    def demand_curve(self, points: int = 50, alpha: float = 0.05) -> Quantity:
        """Expected quantity at `points` prices over the range of the data."""
        if points < 2:
            raise UsageError(f"points={points}: give 2 or more")
        low, high = self.data.prices[[0, -1]]
        return self.expected(np.linspace(low, high, points).tolist(), alpha)

    def elasticity(
        self, price: float | Sequence[float] | None = None, alpha: float = 0.05
    ) -> Quantity:
        """Elasticity of the expected quantity by the price: d log E q / d log p.

        Over respondents it is that of their sum.
        """
        prices = self.asked(price)
        return self.quantity(
            f"price elasticity of the quantity of {self.alternative}",
            {"price": prices},
            [self._elasticity(p) for p in prices],
            "% per %",
            alpha=alpha,
        )

    def optimal_price(self, cost: float, alpha: float = 0.05) -> Quantity:
        """The price of the highest profit (p - cost) E q(p), within the prices of the data.

        Parameters
        ----------
        cost : float
            Of a unit, in the study's unit.
        alpha : float
            One minus the confidence of the interval.

        Returns
        -------
        Quantity
            Where the best price is an end of the range that is said, and it has no standard
            error: beyond it nobody was asked.

        Raises
        ------
        DesignError
            If the cost is above all prices.
        """
        from scipy.optimize import minimize_scalar

        if not (np.isfinite(cost) and cost >= 0):
            raise UsageError(f"cost={cost}: give a unit cost of 0 or more in {self.unit}")
        low, high = self.data.prices[[0, -1]]
        low = max(low, cost)
        if not low < high:
            raise DesignError(
                f"the cost {cost:g} is not below the highest price that was asked, {high:g} "
                f"{self.unit}: no price in the range earns anything"
            )

        def profit(p: float) -> float:
            return (p - cost) * self._mean(p)[0]

        grid = np.linspace(low, high, _POINTS)
        best = int(np.argmax([profit(p) for p in grid]))
        near = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _POINTS - 1)])
        price = float(minimize_scalar(lambda p: -profit(p), bounds=near, method="bounded").x)
        ends = [p for p in (low, high) if p > cost and profit(p) >= profit(price)]
        if ends or abs(price - cost) < 1e-9:
            price, gradient = float(ends[0] if ends else price), np.full(len(self.terms), np.nan)
            side = "rises up to" if price == high else "falls from"
            notes = [f"profit {side} the end of the prices that were asked: no interval"]
        else:
            gradient, notes = self._of_price(price, cost), []
        return self.quantity(
            f"price of the highest profit at a unit cost of {cost:g}",
            {"cost": [float(cost)], "quantity": [self._mean(price)[0]]},
            [(price, gradient)],
            self.unit,
            alpha=alpha,
            notes=notes,
        )

    def _of_price(self, price: float, cost: float) -> Array:
        """Derivatives of the best price: 1 / (p - c) + E(p) / p = 0 holds at all coefficients."""
        step = 1e-4 * price

        def slack(p: float) -> float:
            return 1 / (p - cost) + self._elasticity(p)[0] / p

        by_price = (slack(price + step) - slack(price - step)) / (2 * step)
        return -self._elasticity(price)[1] / price / by_price

    def plot(self, ax: Axes | None = None) -> Axes:
        """The demand curve with its band, and the mean quantity that was answered by price."""
        from llmdemand.modeling.numbers.figure import curve

        return curve(
            ax, self.data, self.data.number, self.demand_curve(), f"{self.data.noun} per respondent"
        )


def fit_quantity(data: Answers, vcov: Any, ssc: SSC, cluster: str) -> QuantityDemand:
    """The regression of these answers; see `llmdemand.quantity_demand`."""
    total = float(data.weight @ data.read)
    whole = float(data.weight @ data.number)
    if not (whole > 0 and total > 0):
        raise DesignError(
            f"the mean quantity is {whole / total if total else 0:g}: nobody buys anything, and "
            "demand cannot be fitted"
        )
    rows = Counts(data.x, data.offset, data.weight, {}, data.number, data.read)
    start = np.zeros(rows.size)
    if "const" in data.part.terms:
        start[data.part.terms.index("const")] = np.log(whole / total)
    at = maximum(rows, start)
    mu = rows.mu(at.params)
    free = len(mu) - rows.size
    pearson = float(data.weight @ ((data.number - data.read * mu) ** 2 / mu))
    dispersion = pearson / free * len(mu) / float(data.weight.sum()) if free > 0 else float("nan")
    found = estimated(data, rows, at, vcov, ssc, cluster)
    if vcov is not None and parse_vcov(vcov).kind == "iid":
        # Quasi-Poisson: the variance is proportional to the mean.
        found = replace(found, cov=found.cov * dispersion, name="iid (quasi-Poisson)")
    null = Counts(np.ones((len(mu), 1)), data.offset, data.weight, {}, data.number, data.read)
    llnull = maximum(null, np.log([whole / total])).llf
    return QuantityDemand(
        data=data,
        rows=rows,
        at=at,
        estimated=found,
        ssc=ssc,
        terms=data.part.terms,
        llnull=llnull,
        extra=at_the_top(data),
        dispersion=dispersion,
    )
