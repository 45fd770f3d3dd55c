"""The consumer's utilities, as the formula says them."""

import itertools
import math

import numpy as np
import pytest

from llmdemand.core.menu import Menu
from llmdemand.errors import UsageError
from llmdemand.simulation.backends.known.consumer import Consumer
from llmdemand.simulation.backends.known.nests import Nests

MENU = Menu.of("Pampers", "Huggies", "Store", outside="neither")
USUAL = {"huggies": 30.0, "store": 22.0}
PRICES = {"pampers": 33.0, "huggies": 28.0, "store": 25.0}
CONSTANTS = {"pampers": 9.0, "huggies": 8.0, "store": 6.0}
BRANDS = Nests.of(MENU.ids, {"brands": ("pampers", "huggies")}, 0.4)
OTHERS = Nests.of(MENU.ids, {"others": ("huggies", "store", "neither")}, 0.4)


def consumer(**options):
    return Consumer(MENU, "pampers", -0.3, 32.0, **{"usual": USUAL, **options})


def softmax(utilities):
    weights = {a: math.exp(v) for a, v in utilities.items()}
    return {a: w / sum(weights.values()) for a, w in weights.items()}


def logit(p):
    return math.log(p / (1 - p))


def test_rivals_at_their_usual_prices_leave_the_published_curve():
    for x in (25.0, 32.0, 41.0):
        fixed = consumer().law({"pampers": x, **USUAL})
        assert fixed == consumer(usual={}).law({"pampers": x, **USUAL}), "to the last digit"
        near = consumer().law({"pampers": x, **USUAL, "store": 22.0 + 1e-9})
        assert near[0] == pytest.approx(fixed[0]) and near[1] == pytest.approx(fixed[1])
        assert logit(fixed[0]) == pytest.approx(-0.3 * (x - 32.0))


def test_every_price_is_in_its_own_utility():
    utilities = {
        "pampers": -0.3 * (33.0 - 32.0),
        "huggies": math.log(0.4) - 0.3 * (28.0 - 30.0),
        "store": math.log(0.4) - 0.3 * (25.0 - 22.0),
        "neither": math.log(0.2),
    }
    found = consumer().shares(PRICES)
    assert found == pytest.approx(softmax(utilities)) and list(found) == list(MENU.ids)
    # The intercept of the focal alternative's log-odds is less the rivals' log-sum.
    rest = math.log(sum(math.exp(v) for a, v in utilities.items() if a != "pampers"))
    assert logit(found["pampers"]) == pytest.approx(utilities["pampers"] - rest)
    shown = consumer(order_effect=0.7, round_price_uptick=0.2, round_to=11)
    raised = {**utilities, "pampers": utilities["pampers"] + 0.2, "store": utilities["store"] + 0.7}
    assert shown.shares(PRICES, order=("store", "pampers")) == pytest.approx(softmax(raised))


def test_constants_are_utilities_at_price_nought():
    found = consumer(constants={**CONSTANTS, "neither": -0.5}).shares(PRICES)
    utilities = {a: CONSTANTS[a] - 0.3 * p for a, p in PRICES.items()} | {"neither": -0.5}
    assert found == pytest.approx(softmax(utilities))
    assert consumer(constants=CONSTANTS).shares(PRICES)["neither"] > found["neither"]


def test_alone_in_its_nest_the_focal_alternative_has_log_odds_linear_in_its_price():
    others = consumer(nests=OTHERS)
    odds = [logit(others.law({**PRICES, "pampers": x})[0]) for x in (30.0, 33.0, 36.0)]
    assert np.diff(odds) == pytest.approx([-0.9, -0.9])
    # With a close rival it is no logit of its own price any more.
    brands = consumer(nests=BRANDS)
    odds = [logit(brands.law({**PRICES, "pampers": x})[0]) for x in (30.0, 33.0, 36.0)]
    assert abs(odds[2] - 2 * odds[1] + odds[0]) > 0.1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rival_slope": 0.2},
        {"constants": CONSTANTS},
        {"nests": BRANDS},
        {"nests": OTHERS, "persona_constant_sd": 1.0, "persona_slope_sd": 0.1},
        {"persona_slope_sd": 0.1, "persona_slope_law": "lognormal", "order_effect": 0.8},
    ],
    ids=lambda options: "-".join(options) or "default",
)
def test_responses_are_the_derivatives_of_log_shares(options):
    who, step = consumer(**options), 1e-6
    how = {"persona": "p1", "order": ("huggies", "pampers")}
    responses = who.responses(PRICES, who.shares(PRICES, **how), "p1")
    for j, k in itertools.product(MENU.ids, PRICES):
        high, low = (
            math.log(who.shares({**PRICES, k: PRICES[k] + d}, **how)[j]) for d in (step, -step)
        )
        assert responses[j][k] == pytest.approx((high - low) / (2 * step), abs=1e-7), (j, k)


@pytest.mark.parametrize("law", ["normal", "lognormal"])
def test_slopes_over_personas_have_the_stated_mean_and_deviation(law):
    who = consumer(persona_slope_sd=0.12, persona_slope_law=law)
    slopes = np.array([who.parameters(f"p{k}")[0] for k in range(6000)])
    assert slopes.mean() == pytest.approx(-0.3, abs=0.006)
    assert slopes.std() == pytest.approx(0.12, rel=0.05)
    assert (slopes < 0).all() == (law == "lognormal")
    if law == "lognormal":
        logs = np.log(-slopes)
        assert ((logs - logs.mean()) ** 3).mean() / logs.std() ** 3 == pytest.approx(0, abs=0.15)


def test_constants_over_personas_have_the_stated_deviation_and_no_correlation():
    who = consumer(persona_constant_sd=0.8)
    plain = consumer().shares(PRICES)
    against = {a: math.log(plain[a] / plain["neither"]) for a in MENU.ids}
    rows = []
    for k in range(3000):
        found = who.shares(PRICES, persona=f"p{k}")
        rows.append([math.log(found[a] / found["neither"]) - against[a] for a in PRICES])
    spread = np.array(rows)
    assert spread.mean(axis=0) == pytest.approx([0, 0, 0], abs=0.06)
    assert spread.std(axis=0) == pytest.approx([0.8, 0.8, 0.8], rel=0.05)
    assert np.abs(np.corrcoef(spread.T) - np.eye(3)).max() < 0.06
    assert who.shares(PRICES) == pytest.approx(plain), "nobody in particular is the average one"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constants": {"pampers": 1.0, "huggies": 1.0}}, "give one for each of pampers, huggies"),
        ({"constants": {**CONSTANTS, "huggie": 1.0}}, "did you mean 'huggies'"),
        ({"constants": {**CONSTANTS, "store": math.inf}}, r"constants\['store'\]=inf"),
        ({"constants": {**CONSTANTS, "store": "low"}}, r"constants\['store'\]=low"),
        ({"constants": CONSTANTS, "persona_sd": 1.0}, "give persona_constant_sd"),
        ({"constants": CONSTANTS, "rival_slope": 0.1}, "leave it out"),
        ({"nests": BRANDS, "rival_slope": 0.1}, "leave it out"),
        ({"persona_constant_sd": -0.1}, "persona_constant_sd=-0.1"),
        ({"rival_slope": math.nan}, "rival_slope=nan"),
        ({"persona_slope_law": "log-normal"}, "did you mean 'lognormal'"),
    ],
)
def test_impossible_consumers(options, message):
    with pytest.raises(UsageError, match=message):
        consumer(**options)


def test_lognormal_slopes_of_nought_do_not_exist():
    with pytest.raises(UsageError, match="slope of 0"):
        Consumer(MENU, "pampers", 0.0, persona_slope_law="lognormal")
