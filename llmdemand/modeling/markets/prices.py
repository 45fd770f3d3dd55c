"""Best prices of several products: joint ones of an owner, and those of rivals in equilibrium."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.markets.market import Market, owners_of
from llmdemand.modeling.quantities.intervals import Drawn, Fit, coefficients, infer, ready
from llmdemand.modeling.quantities.prices import Price, extrapolations, free_price, price_name
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.scenes import At, Average, scenes

__all__ = ["nash_prices"]


def nash_prices(
    fit: Fit,
    owners: Mapping[str, Sequence[str]],
    cost: float | Mapping[str, float] = 0.0,
    *,
    price: Price = "price",
    at: At = None,
    average: Average = "mean",
    **drawn: Unpack[Drawn],
) -> Quantity:
    """Prices that no owner would change: a Bertrand-Nash equilibrium.

    Owner f sets the prices of its products F so that ``sum_(k in F) (p_k - c_k) S_k(p)`` is the
    highest, given those of the others: ``S_j + sum_(k in F) (p_k - c_k) dS_k / dp_j = 0`` for
    every product. With one owner they are its best prices of several products together; prices
    of alternatives that nobody is named for stay as they are.

    Parameters
    ----------
    fit, price, at, average, **drawn
        See `llmdemand.modeling.quantities.pricing.optimal_price`.
    owners : mapping of str to sequence of str
        Owners, and the alternatives whose prices they set.
    cost : float or mapping of str to float
        Marginal cost, one for all or by alternative, in units of price.

    Returns
    -------
    Quantity
        One row per value of `at` and product. Notes state shares and margins there, whether
        other starts lead elsewhere, whether an owner would earn more far from there, and which
        prices lie outside the observed ones.

    Raises
    ------
    DesignError
        If demand for a product does not fall with its price, or no equilibrium is found.
    UsageError
        For unknown alternatives and options.

    Notes
    -----
    With plain and mixed logits of single-product owners an equilibrium is unique under wide
    conditions (Caplin & Nalebuff 1991); otherwise there may be several, and the one found is
    what the iteration of Morrow & Skerlos (2011) leads to. Intervals by the delta method take
    implicit derivatives of the first-order conditions.

    Examples
    --------
    Two alike, with a utility of -1 per unit of price: the margin is ``1 / (1 - share)``.

    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({
    ...     "case": [1, 1, 2, 2, 3, 3, 4, 4], "alternative": list("abababab"),
    ...     "price": [1, 2, 2, 1, 3, 1, 1, 2], "choice": [1, 0, 0, 1, 0, 1, 0, 1]})
    >>> fit = ld.clogit("choice ~ price | 0", df)
    >>> found = nash_prices(fit, {"one": ["a"], "two": ["b"]}, cost=1.0)
    >>> margin = found.estimate - 1.0
    >>> bool(np.allclose(margin, 2 / -fit.params["price"]))
    True
    """
    design, sample = ready(fit, "prices in equilibrium")
    price = price_name(design, price)
    owned = owners_of(design, owners, cost)
    for name in owned.products:
        free_price(design, sample, at, name, price, "nash_prices")
    where = scenes(fit, at, what="prices in equilibrium", average=average, price=price, apart=True)
    markets = [Market.of(scene, owned, price) for scene in where.blocks]
    params = coefficients(fit)
    notes: list[str] = []
    solved, curvatures = [], []
    for market in markets:
        found, more = _solved(market, params)
        curvature = market.slopes(found, params)
        if not market.maximal(curvature):
            more.append(
                "the first-order conditions hold, but profit is not at a maximum in an owner's "
                "prices: it is no equilibrium"
            )
        solved.append(found)
        curvatures.append(curvature)
        notes += more

    def value(b: Numbers) -> Numbers:
        if not np.iscomplexobj(b):
            exact = np.array_equal(b, params)
            return np.concatenate(
                [p if exact else m.solve(b, p) for m, p in zip(markets, solved, strict=True)]
            )
        return np.concatenate(
            [m.implicit(p, b, c) for m, p, c in zip(markets, solved, curvatures, strict=True)]
        )

    one = len(set(owned.owner)) == 1
    return infer(
        fit,
        value,
        name="profit-maximising prices" if one else "prices in Bertrand-Nash equilibrium",
        keys=where.labelled({"owner": list(owned.owner), "alternative": list(owned.products)}),
        rule="of mean profit; " + where.rule,
        unit=f"units of {price}",
        notes=notes,
        drawn=drawn,
    )


def _solved(market: Market, b: Array) -> tuple[Array, list[str]]:
    """Prices in equilibrium, and what to say of them."""
    cost = market.owners.cost
    low, high = np.array(market.seen).T
    starts = [np.maximum(s, cost) for s in ((low + high) / 2, low, high)]
    found, errors = [], []
    for start in starts:
        try:
            found.append(market.solve(b, start))
        except DesignError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    prices = found[0]
    shares = np.real(market.demand(prices, b)[0])
    notes = [
        f"{name} at {p:.5g}: share {s:.4g}, margin {p - c:.5g}, profit {(p - c) * s:.5g} per "
        "observation"
        for name, p, s, c in zip(market.owners.products, prices, shares, cost, strict=True)
    ]
    for name, p, seen in zip(market.owners.products, prices, market.seen, strict=True):
        notes += [f"{name}: {text}" for text in extrapolations([p], *seen)]
    tempted = market.tempting(prices, b)
    if tempted is not None:
        notes.append(
            f"the owner of {tempted[0]} would earn more with it at {tempted[1]:.5g}: the "
            "first-order conditions hold, but it is no equilibrium (a law of the price coefficient "
            "may have people who like high prices)"
        )
    if any(market.apart(other, prices) for other in found[1:]):
        notes.append("other starts lead to other prices: there is more than one solution")
    return prices, notes
