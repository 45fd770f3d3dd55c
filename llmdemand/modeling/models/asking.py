"""What a fitted demand can be asked: its quantities, as methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from llmdemand.errors import UsageError
from llmdemand.modeling.averages.parts import over_parts, summed
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.markets.prices import nash_prices
from llmdemand.modeling.quantities import (
    curves,
    effects,
    margins,
    pricing,
    responses,
    welfare,
    worth,
)
from llmdemand.modeling.quantities.intervals import Drawn, Intervals
from llmdemand.modeling.quantities.pricing import Goal
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.responses import Kind
from llmdemand.modeling.quantities.scenes import Average
from llmdemand.modeling.spelled import spelled

__all__ = ["Asked", "Asking", "Price", "Questions"]

#: Names of price columns (see `prices.Price`), or own prices at which to evaluate.
Price = str | Mapping[str, str] | ArrayLike | None


class Asked(Drawn, total=False):
    """Options that quantities take: see `llmdemand.modeling.quantities.responses.shares`."""

    average: Average


class Questions:
    """Quantities as methods, of whatever has coefficients, their covariance and a design.

    Quantities are told where by their first argument, by `at` or by `price`. `at` is a mapping
    of variables or alternatives to values, or a data frame: see `scenes`. Numbers, by any of
    the three, are own prices at which to evaluate: those of `alternative` (needed where there
    are several), so that ``elasticity(35)``, ``elasticity(price=35)`` and
    ``elasticity(at={"price": 35})`` are the same; further variables may stand in `at` beside a
    number as `price`. Text as `price` is the name of the price column, ``price`` by default, and
    a mapping names those of the alternatives.
    """

    design: Any

    @property
    def _own(self) -> str | None:
        """Whose price a number is, where the caller does not name an alternative."""
        return None

    def _named(self, found: Quantity) -> Quantity:
        return found

    @spelled(Asked, Intervals())
    def elasticity(
        self,
        where: Any = None,
        /,
        *,
        at: Any = None,
        price: Price = None,
        kind: Kind = "own",
        alternative: str | None = None,
        rival: str | None = None,
        **options: Unpack[Asked],
    ) -> Quantity:
        """Price elasticity of shares: see `responses.elasticity`; where: see `Questions`."""
        return self._respond(
            responses.elasticity, (where, at, price), alternative, options, kind=kind, rival=rival
        )

    @spelled(Asked, Intervals())
    def marginal_effects(
        self,
        where: Any = None,
        /,
        *,
        variable: str | None = None,
        at: Any = None,
        price: Price = None,
        kind: Kind = "own",
        alternative: str | None = None,
        rival: str | None = None,
        **options: Unpack[Asked],
    ) -> Quantity:
        """Change of shares per unit of price or of a variable: see `effects.marginal_effects`.

        Text as the first argument or as `variable` is the name of the variable that moves.
        """
        if isinstance(where, str):
            where, variable = None, where
        if variable is not None:
            column, at, _ = self._where((where, at, price), alternative or self._own)
            if column != "price":
                raise UsageError(f"variable={variable!r} moves: price={column!r} has no part in it")
            return self._ask(
                effects.marginal_effects,
                options,
                variable,
                at=at,
                kind=kind,
                alternative=alternative,
                rival=rival,
            )
        return self._respond(
            effects.marginal_effects,
            (where, at, price),
            alternative,
            options,
            kind=kind,
            rival=rival,
        )

    @spelled(Asked, Intervals())
    def diversion(
        self,
        where: Any = None,
        /,
        *,
        at: Any = None,
        price: Price = None,
        alternative: str | None = None,
        rival: str | None = None,
        **options: Unpack[Asked],
    ) -> Quantity:
        """Where lost demand goes: see `responses.diversion`."""
        return self._respond(
            responses.diversion, (where, at, price), alternative, options, rival=rival
        )

    @spelled(Asked, Intervals())
    def shares(
        self,
        where: Any = None,
        /,
        *,
        at: Any = None,
        price: Price = None,
        alternative: str | None = None,
        **options: Unpack[Asked],
    ) -> Quantity:
        """Mean probabilities: see `responses.shares`."""
        column, at, _ = self._where((where, at, price), self._own or alternative)
        return self._ask(responses.shares, options, at=at, price=column, alternative=alternative)

    @spelled(Asked, Intervals())
    def demand_curve(
        self,
        grid: ArrayLike | None = None,
        *,
        price: Price = None,
        alternative: str | None = None,
        at: Mapping[str, Any] | None = None,
        **options: Unpack[Asked],
    ) -> Quantity:
        """Share by own price, with a band: see `curves.demand_curve`.

        Numbers as `price` are the grid.
        """
        if price is not None and not isinstance(price, str | Mapping):
            if grid is not None:
                raise UsageError("grid and price are both prices of the curve: give one")
            grid, price = price, None
        return self._ask(
            curves.demand_curve,
            options,
            grid,
            price=price or "price",
            alternative=alternative or self._own,
            at=at,
        )

    @spelled(Asked, Intervals())
    def simulate(
        self,
        prices: Any,
        *,
        price: str | Mapping[str, str] | None = None,
        at: Mapping[str, Any] | None = None,
        **options: Unpack[Asked],
    ) -> Quantity:
        """Shares and revenue under scenarios: see `curves.simulate`."""
        column = _column(price, "scenarios are the rows of prices=...")
        return self._ask(curves.simulate, options, prices, price=column, at=at)

    @spelled(Asked, Intervals())
    def willingness_to_pay(
        self,
        attribute: str | None = None,
        *,
        price: Price = None,
        alternative: str | None = None,
        at: Any = None,
        **options: Unpack[Asked],
    ) -> Quantity:
        """Indifference price, or the worth of an attribute: see `worth.willingness_to_pay`."""
        if attribute is None:
            price = _column(price, "the indifference price is itself a price, and holds at any")
        column, at, _ = self._where((None, at, price), alternative or self._own)
        return self._ask(
            worth.willingness_to_pay,
            options,
            attribute,
            price=column,
            alternative=alternative,
            at=at,
        )

    @spelled(Asked, Intervals())
    def consumer_surplus(
        self,
        change: Mapping[str, float] | float,
        *,
        price: Price = None,
        alternative: str | None = None,
        at: Any = None,
        **options: Unpack[Asked],
    ) -> Quantity:
        """Expected surplus of a change of prices, per choice: see `welfare.consumer_surplus`.

        A number as `change` is the new price of `alternative`, numbers as `price` are the old
        ones.
        """
        whose = alternative or self._own
        if not isinstance(change, Mapping):
            if whose is None and self.design is not None and self.design.outside:
                whose = self.design.alternatives[0]
            change = {self._whose(whose, change): change}
        column, at, _ = self._where((None, at, price), whose)
        return self._ask(welfare.consumer_surplus, options, change, price=column, at=at)

    @spelled(Asked, Intervals())
    def optimal_price(
        self,
        cost: float | Mapping[str, float] = 0.0,
        kind: Goal = "profit",
        *,
        alternative: str | Sequence[str] | None = None,
        price: str | Mapping[str, str] | None = None,
        bounds: tuple[float, float] | None = None,
        at: Any = None,
        **options: Unpack[Asked],
    ) -> Quantity:
        """The price of the highest profit, or revenue: see `pricing.optimal_price`.

        Several alternatives are those of one owner, priced together: see `markets.prices`.
        """
        if isinstance(cost, Mapping) and alternative is None:
            alternative = list(cost)
        if isinstance(cost, Mapping) or not isinstance(alternative, str | None):
            if bounds is not None:
                raise UsageError("bounds=... is for one price: leave it out for several")
            if kind == "revenue" and cost:
                raise UsageError(f"kind='revenue' has no cost, found {cost}: use kind='profit'")
            own = [alternative] if isinstance(alternative, str) else list(alternative or ())
            return self.nash_prices({"owner": own}, cost, price=price, at=at, **options)
        return self._ask(
            pricing.optimal_price,
            options,
            cost,
            kind,
            price=_column(price, "the price is what is searched for"),
            alternative=alternative or self._own,
            bounds=bounds,
            at=at,
        )

    @spelled(Asked, Intervals())
    def nash_prices(
        self,
        owners: Mapping[str, Sequence[str]],
        cost: float | Mapping[str, float] = 0.0,
        *,
        price: str | Mapping[str, str] | None = None,
        at: Any = None,
        **options: Unpack[Asked],
    ) -> Quantity:
        """Prices that no owner would change: see `markets.prices.nash_prices`."""
        column = _column(price, "prices are what is searched for")
        return self._ask(nash_prices, options, owners, cost, price=column, at=at)

    @spelled(Drawn, Intervals())
    def get_margeff(
        self,
        at: margins.MarginsAt = "overall",
        method: margins.Method = "dydx",
        *,
        dummy: bool | None = None,
        by: str | None = None,
        **options: Unpack[Drawn],
    ) -> Quantity:
        """Marginal effects of all variables: see `margins.get_margeff`."""
        return self._ask(margins.get_margeff, options, at, method, dummy=dummy, by=by)

    def _respond(
        self,
        quantity: Callable[..., Quantity],
        where: tuple[Any, Any, Price],
        alternative: str | None,
        options: Asked,
        **more: Any,
    ) -> Quantity:
        """A response to a price: of this demand's alternative unless it is about all."""
        everyone = more.get("kind") == "matrix"
        whose = alternative or self._own
        column, at, numbers = self._where(where, whose)
        if self._own is not None and whose != self._own and numbers:
            raise UsageError(
                f"is the price that of {self._own!r} or of {whose!r}? Write at={{{whose!r}: ...}}"
            )
        if everyone and (alternative is None or numbers):
            whose = None
        return self._ask(quantity, options, at=at, price=column, alternative=whose, **more)

    def _ask(
        self, quantity: Callable[..., Quantity], options: Drawn, *asked: Any, **more: Any
    ) -> Quantity:
        if summed(self, quantity):
            return self._named(over_parts(self, quantity, asked, {**more, **options}))
        return self._named(quantity(self, *asked, **more, **options))

    def _where(
        self, asked: tuple[Any, Any, Price], alternative: str | None
    ) -> tuple[str | Mapping[str, str], Any, bool]:
        """The price column, where to evaluate, and whether numbers, own prices, said so."""
        first, at, price = asked
        column = price if isinstance(price, str | Mapping) else "price"
        own = [p for p in (first, at, price) if _numbers(p)]
        rest = [a for a in (first, at) if a is not None and not _numbers(a)]
        if len(own) > 1 or len(rest) > 1:
            raise UsageError("give price=... or at=..., not both")
        found = rest[0] if rest else None
        if not own:
            return column, found, False
        outside = self.design is not None and self.design.outside
        key = column if outside and isinstance(column, str) else self._whose(alternative, own[0])
        if found is None:
            return column, {key: own[0]}, True
        if not isinstance(found, Mapping) or {key, column, alternative} & set(found):
            raise UsageError("give price=... or at=..., not both: they name the same price")
        return column, {**found, key: own[0]}, True

    def _whose(self, alternative: str | None, price: Any) -> str:
        if alternative is None and self.design is not None:
            known = self.design.alternatives
            raise UsageError(
                f"whose price is {price}? Name the alternative, as in alternative={known[0]!r}: "
                f"this model has {', '.join(known)}"
            )
        return alternative or "price"


@dataclass(frozen=True, repr=False)
class Asking(Questions, Fit):
    """A fit that answers: see `Questions`."""


def _numbers(where: Any) -> bool:
    """Whether this is a number or an array of them, rather than names or rows."""
    if where is None or isinstance(where, str | Mapping) or hasattr(where, "columns"):
        return False
    return isinstance(where, Sequence) or np.ndim(where) < 2


def _column(price: Any, why: str) -> str | Mapping[str, str]:
    if price is not None and not isinstance(price, str | Mapping):
        raise UsageError(f"price={price!r} is for the name of the price column here: {why}")
    return price or "price"
