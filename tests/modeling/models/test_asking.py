"""Fits and demands are asked in the same words."""

import numpy as np
import pandas as pd
import pytest

from llmdemand import LogitResults, clogit, fit_demand, logit
from llmdemand.errors import DesignError, UsageError


@pytest.fixture(scope="module")
def demand(synthetic_panel):
    return fit_demand(synthetic_panel, "belief")


@pytest.fixture(scope="module")
def market(synthetic_panel):
    return fit_demand(synthetic_panel, "belief", model="clogit")


def same(one, other):
    pd.testing.assert_frame_equal(one.table, other.table)
    return True


QUANTITIES = ("elasticity", "marginal_effects", "shares", "diversion")


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_number_is_the_own_price_in_fits_and_demands(demand, name):
    asked = getattr(demand.fit, name)({"price": 35})
    for who in (demand, demand.fit):
        ask = getattr(who, name)
        for found in (ask(35), ask(price=35), ask(at=35), ask(at={"price": 35}), ask([35])):
            assert same(found, asked)
    with pytest.raises(UsageError, match="not both"):
        getattr(demand.fit, name)(35, price=36)
    with pytest.raises(UsageError, match="not both"):
        getattr(demand.fit, name)(price=35, at={"price": 36})


def test_the_elasticity_at_a_price_is_the_logits(demand):
    a, b = demand.params
    expected = b * 35 * (1 - 1 / (1 + np.exp(-(a + b * 35))))
    assert float(demand.fit.elasticity(price=35)) == pytest.approx(expected, rel=1e-12)


def test_text_is_the_name_of_the_price_column():
    rng = np.random.default_rng(1)
    df = pd.DataFrame({"cost": rng.choice([1.0, 2, 3], 200), "z": rng.normal(size=200)})
    df["buy"] = (rng.random(200) < 1 / (1 + np.exp(df["cost"] - 2))).astype(float)
    fit = logit("buy ~ cost + z", df)
    asked = fit.elasticity({"cost": 2}, price="cost")
    assert same(fit.elasticity(2, price="cost"), asked)
    both = fit.elasticity({"cost": 2, "z": 0.5}, price="cost")
    np.testing.assert_allclose(
        float(both),
        fit.params["cost"] * 2 * float(fit.shares({"cost": 2, "z": 0.5}, alternative="outside")),
    )
    with pytest.raises(DesignError, match=r"name the price column with price=\.\.\."):
        fit.elasticity(price=2)


def test_further_variables_stand_beside_a_number():
    rng = np.random.default_rng(1)
    df = pd.DataFrame({"price": rng.choice([1.0, 2, 3], 200), "z": rng.normal(size=200)})
    df["buy"] = (rng.random(200) < 1 / (1 + np.exp(df["price"] - 2))).astype(float)
    fit = logit("buy ~ price + z", df)
    assert same(fit.elasticity(price=2, at={"z": 1}), fit.elasticity({"z": 1, "price": 2}))


def test_with_several_alternatives_a_number_needs_one(market):
    fit = market.fit
    assert same(market.elasticity(35), fit.elasticity(35, alternative="pampers"))
    assert same(market.shares(35), fit.shares({"pampers": 35}))
    matrix = fit.elasticity(35, kind="matrix", alternative="pampers")
    assert same(market.elasticity(35, kind="matrix"), matrix)
    with pytest.raises(UsageError, match=r"whose price is 35\? Name the alternative"):
        fit.elasticity(35)
    with pytest.raises(UsageError, match="'pampers' or of 'huggies'"):
        market.elasticity(35, alternative="huggies")
    assert same(
        market.elasticity(at={"pampers": 35}, alternative="huggies"),
        fit.elasticity({"pampers": 35}, alternative="huggies"),
    )


def test_other_quantities_take_the_same_arguments(demand):
    fit = demand.fit
    assert same(fit.demand_curve(price=[33, 35]), demand.demand_curve([33, 35]))
    assert same(fit.consumer_surplus(30, price=35), demand.consumer_surplus(30, at={"price": 35}))
    assert same(fit.consumer_surplus({"pampers": 30}, at=35), demand.consumer_surplus(30, price=35))
    assert same(fit.optimal_price(18), demand.optimal_price(18))
    assert same(fit.willingness_to_pay(ci="delta"), demand.willingness_to_pay(ci="delta"))
    for ask in (demand.optimal_price, demand.willingness_to_pay):
        with pytest.raises(UsageError, match="name of the price column"):
            ask(price=35)
    with pytest.raises(UsageError, match="give one"):
        demand.demand_curve([33], price=[34])


def test_levels_by_two_names_in_every_quantity(demand):
    for ask in (
        lambda **o: demand.elasticity(35, **o),
        lambda **o: demand.fit.shares(35, **o),
        lambda **o: demand.optimal_price(18, **o),
        lambda **o: demand.fit.willingness_to_pay(**o),
        lambda **o: demand.simulate({"price": [33]}, **o),
        lambda **o: demand.fit.consumer_surplus(30, **o),
        lambda **o: demand.fit.demand_curve([33], **o),
        lambda **o: demand.get_margeff(**o),
    ):
        assert same(ask(level=0.9), ask(alpha=0.1))
        with pytest.raises(UsageError, match="give one"):
            ask(level=0.9, alpha=0.1)


def test_a_demand_has_all_that_a_fit_has(demand):
    fit = demand.fit
    assert (demand.aic, demand.nobs, demand.deviance) == (fit.aic, fit.nobs, fit.deviance)
    pd.testing.assert_frame_equal(demand.tidy(), fit.tidy())
    np.testing.assert_array_equal(demand.predict(), fit.predict())
    assert demand.wald_test("price = -0.5") == fit.wald_test("price = -0.5")
    # Prices are in the study's unit.
    assert "cents" in demand.optimal_price(18).unit and "price" in fit.optimal_price(18).unit


def test_a_demand_is_a_fit_without_its_own_alternative(market):
    assert type(market.fit) is LogitResults and market.fit.params is market.params
    assert isinstance(market, LogitResults)


def test_conditional_logits_of_data_frames_answer_too():
    df = pd.DataFrame(
        {
            "case": np.repeat(np.arange(40), 2),
            "alternative": ["a", "b"] * 40,
            "price": np.tile([1.0, 2, 2, 1, 3, 1, 1, 3], 10),
        }
    )
    # The dearer one is bought once in five times.
    cheap = df["price"] == df.groupby("case")["price"].transform("min")
    df["choice"] = (cheap != (df["case"] % 5 == 0)).astype(float)
    fit = clogit("choice ~ price", df)
    assert same(fit.elasticity(2, alternative="b"), fit.elasticity({"b": 2}, alternative="b"))
    assert same(
        fit.consumer_surplus(1, alternative="b", price=2),
        fit.consumer_surplus({"b": 1}, at={"b": 2}),
    )
