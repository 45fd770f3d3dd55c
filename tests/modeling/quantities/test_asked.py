"""What may be asked of a price, and what an answer must say: closed forms of the plain logit."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from llmdemand import clogit, fit_demand, load_study, logit, mnlogit, simulate
from llmdemand.errors import DesignError, UsageError


@pytest.fixture(scope="module")
def market():
    """Three brands, a few of them free, stacked by alternative."""
    rng = np.random.default_rng(21)
    n = 400
    long = pd.DataFrame(
        {
            "case": np.tile(np.arange(n), 3),
            "alternative": np.repeat(["a", "b", "c"], n),
            "price": rng.uniform(1, 4, 3 * n),
            "wait": rng.uniform(0, 1, 3 * n),
            "income": np.tile(rng.normal(size=n), 3),
        }
    )
    long.loc[[0, 5, 450], "price"] = 0.0
    u = -0.9 * long["price"] - 0.5 * long["wait"] + rng.gumbel(size=3 * n)
    return long.assign(choice=(u.groupby(long["case"]).transform("max") == u) * 1.0)


@pytest.fixture(scope="module")
def wide(market):
    prices = market.pivot(index="case", columns="alternative", values="price")
    frame = prices.set_axis(["p_a", "cost of b", "p_c"], axis=1).rename(
        columns={"cost of b": "cost_b"}
    )
    chosen = market.loc[market["choice"] == 1].set_index("case")
    return frame.assign(brand=chosen["alternative"], income=chosen["income"]).reset_index(drop=True)


@pytest.fixture(scope="module")
def buyers():
    rng = np.random.default_rng(22)
    price = rng.choice([1.0, 2.0, 3.0, 4.0], 300)
    income = rng.normal(size=300)
    p = 1 / (1 + np.exp(price - 2.5 - 0.5 * income))
    town = np.where(income > 0, "north", "south")
    buy = (rng.random(300) < p) * 1.0
    return pd.DataFrame({"price": price, "income": income, "town": town, "buy": buy})


# --- prices of zero -----------------------------------------------------------------------


@pytest.mark.parametrize("average", ["mean", "share_weighted"])
def test_a_price_of_zero_has_an_elasticity_of_zero(market, average):
    fit = clogit("choice ~ price", market)
    s, b = fit.predict(market).to_numpy(), fit.params["price"]
    found = fit.elasticity(alternative="a", average=average)
    a = (market["alternative"] == "a").to_numpy()
    e = b * market["price"].to_numpy()[a] * (1 - s[a])
    by = np.ones(a.sum()) if average == "mean" else s[a]
    assert float(found) == pytest.approx(np.average(e, weights=by), rel=1e-9)
    assert found.notes[0].startswith("2 of 400 prices are zero")
    assert any("3 of 1200 prices" in note for note in fit.elasticity(average=average).notes)
    # The elasticity of the mean share to a uniform relative change, by differences.
    if average == "share_weighted":
        up, down = (
            fit.predict(market.assign(price=market["price"] * np.where(a, 1 + h, 1)))[a].mean()
            for h in (1e-5, -1e-5)
        )
        assert float(found) == pytest.approx((up - down) / 2e-5 / s[a].mean(), rel=1e-6)


def test_prices_without_a_relative_change_are_refused(market, buyers):
    below = market.assign(price=market["price"] - 0.5)
    with pytest.raises(DesignError, match="need positive prices"):
        clogit("choice ~ price", below).elasticity()
    with pytest.raises(DesignError, match="need positive prices"):
        logit("buy ~ price", buyers).elasticity(at={"price": 0.0})
    both = logit("buy ~ price", buyers).elasticity(at={"price": [0.0, 2.0]})
    assert both.estimate[0] == 0 > both.estimate[1]
    with pytest.raises(DesignError, match="not finite"):
        logit("buy ~ np.log(price)", buyers).elasticity(at={"price": 0.0})


# --- prices that a quantity sets itself ---------------------------------------------------


def test_the_price_that_is_looked_for_cannot_be_given(market, wide, buyers):
    binary = logit("buy ~ price + income", buyers)
    choice = clogit("choice ~ price", market)
    several = mnlogit("brand ~ p_a + cost_b + p_c", wide)
    columns = {"a": "p_a", "b": "cost_b", "c": "p_c"}
    for ask in [
        lambda: binary.optimal_price(18, at={"price": 44}),
        lambda: binary.optimal_price(18, at={"buy": 44}),
        lambda: binary.willingness_to_pay(at={"price": 3}),
        lambda: binary.demand_curve(at={"price": 3}),
        lambda: choice.optimal_price(0.5, alternative="b", at={"b": 2}),
        lambda: choice.optimal_price(0.5, alternative="b", at={"price": 2}),
        lambda: choice.demand_curve(alternative="b", at={"b": 2}),
        lambda: several.optimal_price(0.5, alternative="b", price=columns, at={"b": 2}),
        lambda: several.optimal_price(0.5, alternative="b", price=columns, at={"cost_b": 2}),
    ]:
        with pytest.raises(UsageError, match=r"is the price of .* sets it itself"):
            ask()
    # Other conditions hold: the rule (p - c) (1 - s) = 1 / -b at the given rival's price.
    p = float(choice.optimal_price(0.5, alternative="b", at={"a": 1.0, "c": 2.0}))
    v = np.array([1.0, p, 2.0]) * choice.params["price"]
    v += [0, choice.params["const:b"], choice.params["const:c"]]
    s = np.exp(v) / np.exp(v).sum()
    assert (p - 0.5) * (1 - s[1]) == pytest.approx(-1 / choice.params["price"], rel=1e-8)


# --- what a willingness to pay says -------------------------------------------------------


def test_a_willingness_to_pay_says_where_it_means_little(market, buyers):
    liked = clogit("choice ~ price + wait", market.assign(price=-market["price"] + 5))
    found = liked.willingness_to_pay("wait")
    assert float(found) == pytest.approx(-liked.params["wait"] / liked.params["price"])
    assert "does not fall with 'price'" in found.notes[0]
    assert "this is no willingness to pay" in found.notes[0]
    plain = clogit("choice ~ price + wait", market)
    assert not plain.willingness_to_pay("wait").notes
    # A unit of seconds is worth little, one of days more than prices differ by.
    days = clogit("choice ~ price + wait", market.assign(wait=market["wait"] / 100))
    note = days.willingness_to_pay("wait").notes[-1]
    assert "is more than the observed prices differ by (0 to " in note
    assert note.endswith("rests on the formula alone")
    rich = logit("buy ~ price", buyers.assign(price=buyers["price"] / 4))
    few = logit("buy ~ price", buyers[buyers["price"] > 2])
    assert not rich.willingness_to_pay().notes
    assert "lies outside the observed prices, 3 to 4" in few.willingness_to_pay().notes[0]


# --- one column for the price of each alternative -----------------------------------------


def test_prices_of_a_wide_table_may_have_any_name(wide):
    columns = {"a": "p_a", "b": "cost_b", "c": "p_c"}
    fit = mnlogit("brand ~ p_a + cost_b + p_c", wide)
    usual = wide.rename(columns={c: f"price_{a}" for a, c in columns.items()})
    named = mnlogit("brand ~ price_a + price_b + price_c", usual)
    for name, options in {
        "shares": {"at": {"b": 2.0}},
        "elasticity": {"kind": "matrix"},
        "marginal_effects": {"kind": "matrix"},
        "diversion": {},
        "optimal_price": {"cost": 0.5, "alternative": "b"},
        "consumer_surplus": {"change": {"b": 1.5}},
        "simulate": {"prices": {"b": [1.5, 2.5]}},
        "demand_curve": {"grid": [1.0, 2.0], "alternative": "b"},
        "willingness_to_pay": {"attribute": "const:b", "alternative": "b"},
    }.items():
        mine = getattr(fit, name)(price=columns, **options)
        theirs = getattr(named, name)(**options)
        np.testing.assert_allclose(mine.estimate, theirs.estimate, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(mine.se, theirs.se, rtol=1e-6, err_msg=name)
        assert mine.unit == theirs.unit
    assert len(fit.elasticity(price={"a": "p_a"})) == 1
    for wrong in ({"d": "p_a"}, {"a": "p_d"}, {}, 3):
        with pytest.raises(UsageError, match="price"):
            fit.elasticity(price=wrong)
    with pytest.raises(DesignError, match="price names no column for 'b'"):
        fit.elasticity(price={"a": "p_a"}, alternative="b")


# --- effects of what is no price ----------------------------------------------------------


def test_effects_of_a_variable_need_no_price(buyers, wide):
    fit = logit("buy ~ income", buyers, vcov="iid")
    theirs = sm.Logit(buyers["buy"], sm.add_constant(buyers[["income"]])).fit(disp=0)
    margins = theirs.get_margeff()
    found = fit.marginal_effects("income")
    assert float(found) == pytest.approx(margins.margeff[0], rel=1e-6)
    assert found.se == pytest.approx(margins.margeff_se[0], rel=1e-6)
    whole = fit.marginal_effects("income", alternative="outside")
    assert float(whole) == pytest.approx(-float(found))
    several = mnlogit("brand ~ income", wide, vcov="iid")
    codes = pd.Categorical(wide["brand"]).codes
    model = sm.MNLogit(codes, sm.add_constant(wide[["income"]])).fit(disp=0, tol=1e-12)
    found = several.marginal_effects(variable="income")
    np.testing.assert_allclose(found.estimate, model.get_margeff().margeff[0], rtol=1e-5)
    np.testing.assert_allclose(found.se, model.get_margeff().margeff_se[0], rtol=1e-5)
    assert found.table["alternative"].tolist() == ["a", "b", "c"]


def test_effects_in_a_conditional_logit_are_of_the_case_or_of_an_alternative(market):
    fit = clogit("choice ~ price + wait | income", market)
    p = fit.predict(market)
    h = 1e-5
    up, down = (fit.predict(market.assign(income=market["income"] + s)) for s in (h, -h))
    slopes = ((up - down) / (2 * h)).groupby("alternative").mean()
    found = fit.marginal_effects("income").table.set_index("alternative")["estimate"]
    np.testing.assert_allclose(found[slopes.index], slopes, rtol=1e-7)
    own = fit.marginal_effects("wait", alternative="b")
    s = p.xs("b", level="alternative").to_numpy()
    assert float(own) == pytest.approx(fit.params["wait"] * (s * (1 - s)).mean(), rel=1e-9)
    with pytest.raises(UsageError, match="moves all shares at once"):
        fit.marginal_effects("income", kind="matrix")


def test_effects_of_what_has_none_are_refused(buyers):
    fit = logit("buy ~ price + town", buyers)
    with pytest.raises(DesignError, match="compare levels with shares"):
        fit.marginal_effects("town")
    with pytest.raises(DesignError, match=r"no variable 'twon' .*did you mean 'town'"):
        fit.marginal_effects("twon")
    at = fit.marginal_effects({"price": 2.0})
    assert float(at) == pytest.approx(float(fit.marginal_effects(at={"price": 2.0})))
    with pytest.raises(UsageError, match="not both"):
        fit.marginal_effects({"price": 2.0}, at={"price": 3.0})


def test_a_demand_has_them_too():
    panel = simulate(load_study("pampers"), "synthetic", runs=10, seed=1)
    demand = fit_demand(panel, "belief")
    found = float(demand.marginal_effects("price"))
    assert found == pytest.approx(float(demand.marginal_effects()))
    assert found == pytest.approx(float(demand.marginal_effects(variable="price")))


# --- where rows come from -----------------------------------------------------------------


def test_long_tables_may_be_parquet_files(market, tmp_path):
    path = tmp_path / "long.parquet"
    market.to_parquet(path)
    for where in (path, str(path)):
        found = clogit("choice ~ price | income", where)
        pd.testing.assert_series_equal(
            found.params, clogit("choice ~ price | income", market).params
        )
