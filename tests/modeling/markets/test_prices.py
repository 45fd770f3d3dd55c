"""Prices of several products: against their definition, maximised by brute force."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import llmdemand as ld
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.markets.market import Market, owners_of
from llmdemand.modeling.quantities.scenes import scenes

COST = {"a": 0.5, "b": 0.7, "c": 0.4}


@pytest.fixture(scope="module")
def frame():
    """Three products and an outside option, 200 choices."""
    rng = np.random.default_rng(3)
    n = 200
    price = rng.uniform(1, 4, (n, 4))
    income = rng.uniform(0, 1, n)
    v = np.array([0, 1.2, 0.6, 0.9]) - 1.3 * price
    v[:, 0] = income
    price[:, 0] = 0
    u = v + rng.gumbel(size=v.shape)
    return pd.DataFrame(
        {
            "case": np.repeat(np.arange(n), 4),
            "alternative": np.tile(list("oabc"), n),
            "price": price.ravel(),
            "income": np.repeat(income, 4),
            "choice": (u == u.max(axis=1, keepdims=True)).astype(int).ravel(),
        }
    )


@pytest.fixture(scope="module", params=["choice ~ price", "choice ~ price | income"])
def fit(request, frame):
    return ld.clogit(request.param, frame, base="o")


def profit(fit, frame, prices, products):
    """Mean profit of some products, from predictions for the sample at these prices."""
    new = frame.assign(
        price=[prices.get(a, p) for a, p in zip(frame["alternative"], frame["price"], strict=True)]
    )
    share = fit.predict(new).to_numpy()
    total = 0.0
    for a in products:
        mine = (frame["alternative"] == a).to_numpy()
        total += (prices[a] - COST[a]) * share[mine].mean()
    return total


def best(fit, frame, prices, products):
    """The owner's best prices given the others, by a general maximiser."""

    def loss(p):
        return -profit(fit, frame, {**prices, **dict(zip(products, p, strict=True))}, products)

    start = [prices[a] for a in products]
    return minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12})


@pytest.mark.parametrize(
    "owners",
    [
        {"one": ["a", "b"]},
        {"one": ["a"], "two": ["b"], "three": ["c"]},
        {"one": ["a", "c"], "two": ["b"]},
    ],
)
def test_no_owner_can_gain(fit, frame, owners):
    products = [a for some in owners.values() for a in some]
    found = fit.nash_prices(owners, {a: COST[a] for a in products})
    prices = dict(zip(found.table["alternative"], found.table["estimate"], strict=True))
    for some in owners.values():
        top = best(fit, frame, prices, some)
        np.testing.assert_allclose(top.x, [prices[a] for a in some], rtol=1e-5)
        assert -top.fun <= profit(fit, frame, prices, some) * (1 + 1e-9)


def test_products_of_one_owner_have_one_margin(frame):
    """With one price coefficient and no differences between cases (Anderson & de Palma 1992)."""
    fit = ld.clogit("choice ~ price", frame, base="o")
    at = frame[frame["case"] == 0]
    found = fit.optimal_price(COST, at=at)
    margins = found.table["estimate"].to_numpy() - [COST[a] for a in found.table["alternative"]]
    np.testing.assert_allclose(margins, margins[0], rtol=1e-9)


def test_one_product_is_optimal_price(fit):
    one = fit.optimal_price(0.5, alternative="a")
    same = fit.nash_prices({"x": ["a"]}, 0.5)
    assert float(same) == pytest.approx(float(one), rel=1e-9)
    assert same.se == pytest.approx(one.se, rel=1e-6)


def test_standard_errors_are_of_the_solution(fit):
    """The delta method against solutions at coefficients moved by hand."""
    owners, cost = {"one": ["a", "b"], "two": ["c"]}, COST
    found = fit.nash_prices(owners, cost)
    b, columns = fit.params, []
    for term in b.index:
        h = 1e-4
        ends = []
        for sign in (-1, 1):
            moved = b.copy()
            moved[term] += sign * h
            ends.append(replace(fit, params=moved).nash_prices(owners, cost).estimate)
        columns.append((ends[1] - ends[0]) / (2 * h))
    slopes = np.column_stack(columns)
    se = np.sqrt(np.einsum("ij,jk,ik->i", slopes, fit.cov.to_numpy(), slopes))
    np.testing.assert_allclose(found.se, se, rtol=1e-5)


def test_a_price_war_lowers_prices(fit):
    """Rivals price below an owner of both, and above the cost."""
    apart = fit.nash_prices({"one": ["a"], "two": ["b"]}, 0.5).estimate
    together = fit.nash_prices({"one": ["a", "b"]}, 0.5).estimate
    assert (apart < together).all() and (apart > 0.5).all()


def test_prices_that_enter_by_their_logarithm(frame):
    fit = ld.clogit("choice ~ log(price + 1)", frame, base="o")
    found = fit.nash_prices({"one": ["a"], "two": ["b"]}, {a: COST[a] for a in "ab"})
    prices = dict(zip(found.table["alternative"], found.table["estimate"], strict=True))
    for a in "ab":
        grid = np.linspace(prices[a] * 0.98, prices[a] * 1.02, 41)
        gains = [profit(fit, frame, {**prices, a: p}, [a]) for p in grid]
        assert abs(int(np.argmax(gains)) - 20) <= 1


def test_what_is_refused(fit, frame):
    with pytest.raises(UsageError, match="'a' is owned twice"):
        fit.nash_prices({"one": ["a"], "two": ["a", "b"]}, 0.5)
    with pytest.raises(UsageError, match=r"cost: 'b' has none"):
        fit.nash_prices({"one": ["a"], "two": ["b"]}, {"a": 0.5})
    with pytest.raises(UsageError, match=r"cost: 'c' is not among the products"):
        fit.nash_prices({"one": ["a"]}, {"a": 0.5, "c": 1})
    with pytest.raises(DesignError, match="no alternative 'aa'"):
        fit.nash_prices({"one": ["aa"]}, 0.5)
    with pytest.raises(UsageError, match="list of alternatives"):
        fit.nash_prices({"one": "ab"}, 0.5)
    for nothing in ({}, ["a"], None):
        with pytest.raises(UsageError, match="whose prices each owner sets"):
            fit.nash_prices(nothing, 0.5)
    for cost in ("20", None, {"a": "x"}, float("nan")):
        with pytest.raises(UsageError, match="give finite numbers"):
            fit.nash_prices({"one": ["a"]}, cost)
    with pytest.raises(DesignError, match="'o' costs 0 in all cases: it is no product"):
        fit.nash_prices({"one": ["o"]}, 0.5)
    with pytest.raises(UsageError, match="is the price of 'a'"):
        fit.nash_prices({"one": ["a"]}, 0.5, at={"a": 2})
    with pytest.raises(UsageError, match="bounds"):
        fit.optimal_price(0.5, alternative=["a", "b"], bounds=(1, 2))
    liked = ld.clogit("choice ~ price | 0", frame.assign(price=-frame["price"]))
    with pytest.raises(DesignError, match="does not fall"):
        liked.nash_prices({"one": ["a"]}, 0.5)


def test_nests_and_tastes_have_their_own_equilibrium(frame):
    """Prices of a nested and of a mixed logit, maximised by brute force through predictions."""
    rows = frame[frame["case"] < 80].assign(person=lambda rows: rows["case"] // 4)
    nested = ld.nlogit(
        "choice ~ price", rows, nests={"near": ["a", "b"]}, dissimilarity={"near": 0.5}, base="o"
    )
    mixed = ld.mixlogit(
        "choice ~ price", rows, random={"price": "lognormal-"}, panel="person", draws=32, base="o"
    )
    for fit in (nested, mixed):
        found = fit.nash_prices({"one": ["a"], "two": ["b"]}, {a: COST[a] for a in "ab"})
        prices = dict(zip(found.table["alternative"], found.table["estimate"], strict=True))
        for a in "ab":
            grid = np.linspace(prices[a] * 0.98, prices[a] * 1.02, 11)
            gains = [profit(fit, rows, {**prices, a: p}, [a]) for p in grid]
            assert abs(int(np.argmax(gains)) - 5) <= 1
        assert (found.se > 0).all()


@pytest.mark.parametrize("formula", ["choice ~ price", "choice ~ price | income"])
def test_cases_that_differ_in_the_products_own_prices_are_one(frame, formula):
    """A market whose other prices are given is solved once, not once for every case."""
    rows = frame.assign(income=(frame["income"] > 0.5) * 1.0)
    fit = ld.clogit(formula, rows, base="o")
    products = list("abc")
    found = scenes(fit, None, what="prices", average="mean", price="price", apart=True).blocks[0]
    market = Market.of(found, owners_of(fit.design, {"one": products}, 0.5), "price")
    assert len(found.weight) == 200
    assert len(market.scene.weight) == (2 if "income" in formula else 1)
    assert market.scene.weight.sum() == pytest.approx(200)


def test_an_equilibrium_that_someone_would_leave_is_said(frame):
    """A normal law has people who like high prices: far off they pay more than all others here."""
    rows = frame[frame["case"] < 80].assign(person=lambda rows: rows["case"] // 4)
    fit = ld.mixlogit(
        "choice ~ price", rows, random={"price": "normal"}, panel="person", draws=32, base="o"
    )
    owners = {"one": ["a"], "two": ["b"]}
    params = fit.params.copy()
    params["price"], params["sd(price)"] = -2.0, 0.1
    nobody = replace(fit, params=params).nash_prices(owners, 0.5)
    params["sd(price)"] = 1.0
    some = replace(fit, params=params).nash_prices(owners, 0.5)
    assert any("the owner of a would earn more" in n and "no equilibrium" in n for n in some.notes)
    assert not any("no equilibrium" in n for n in nobody.notes)
