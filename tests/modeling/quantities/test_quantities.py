"""Demand quantities against closed forms, numerical derivatives and other packages."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.likelihood.kernels import LOGIT
from llmdemand.modeling.models.logit import logit
from llmdemand.modeling.models.multinomial import clogit, mnlogit
from llmdemand.modeling.quantities.curves import demand_curve, simulate
from llmdemand.modeling.quantities.effects import marginal_effects
from llmdemand.modeling.quantities.intervals import fieller, gradient
from llmdemand.modeling.quantities.margins import get_margeff
from llmdemand.modeling.quantities.pricing import optimal_price
from llmdemand.modeling.quantities.responses import diversion, elasticity, shares
from llmdemand.modeling.quantities.scenes import scenes
from llmdemand.modeling.quantities.slopes import slopes
from llmdemand.modeling.quantities.welfare import consumer_surplus
from llmdemand.modeling.quantities.worth import willingness_to_pay
from llmdemand.modeling.sample.designs import BinaryDesign, ChoiceDesign
from llmdemand.modeling.sample.formula import part


@dataclass(frozen=True)
class Stand:
    """A fit with coefficients of our choice."""

    design: object
    frame: pd.DataFrame
    params: pd.Series
    cov: pd.DataFrame
    weights: np.ndarray
    df: float = np.inf
    separated: bool = False
    converged: bool = True
    outcome: str = "buy"
    kernel: object = LOGIT
    quiet: tuple = ()
    refits: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    def draws(self, reps=999, seed=1):
        return self.refits[:reps]


def stand(design, frame, params, cov=None, weights=None, **more):
    k = len(design.terms)
    assert len(params) == k
    terms = list(design.terms)
    cov = 0.01 * np.eye(k) if cov is None else cov
    cases = len(design.expand(frame).start)
    return Stand(
        design,
        frame,
        pd.Series(params, terms, dtype=float),
        pd.DataFrame(cov, terms, terms),
        np.ones(cases) if weights is None else weights,
        **more,
    )


def binary(text, frame, params, **more):
    names = [c for c in frame.columns if c in text]
    return stand(BinaryDesign(part(text, frame), tuple(names), "buy"), frame, params, **more)


PRICES = pd.DataFrame({"price": np.arange(30.0, 46.0)})
ROWS = pd.DataFrame(
    {
        "price": np.tile([30.0, 34.0, 35.0, 38.0, 41.0, 45.0], 2),
        "rival": np.repeat([28.0, 33.0], 6),
        "income": np.linspace(-1, 1, 12),
    }
)


def plain(b=-0.5, a=18.0, **more):
    return binary("price", PRICES, [a, b], **more)


def market(**more):
    """Three alternatives; b and c have constants, one price coefficient."""
    rng = np.random.default_rng(4)
    n = 6
    frame = pd.DataFrame(
        {
            "case": np.repeat(np.arange(n), 3),
            "alternative": ["a", "b", "c"] * n,
            "price": rng.uniform(1, 3, 3 * n),
            "quality": rng.uniform(0, 1, 3 * n),
            "income": np.repeat(rng.normal(size=n), 3),
        }
    )
    design = ChoiceDesign(
        generic=part("price + quality", frame),
        case=part("income", frame.iloc[::3]),
        own=part("0", frame),
        variables=("price", "quality", "income"),
        alternatives=("a", "b", "c"),
        alternative="alternative",
        group="case",
    )
    weights = np.arange(1.0, n + 1)
    return stand(design, frame, [-1.2, 0.8, 0.3, -0.4, 0.2, 0.1], weights=weights, **more)


def by_hand(fit):
    """Shares of the market (cases by alternatives)."""
    eta = fit.design.expand(fit.frame).x @ fit.params.to_numpy()
    e = np.exp(eta.reshape(-1, 3))
    return e / e.sum(axis=1, keepdims=True)


def numerical(function, fit, h=1e-5, directions=None):
    """Derivatives of a quantity's estimates by the coefficients, fourth order.

    Or in directions of them, one in a row.
    """
    columns = []
    for d in np.eye(len(fit.params)) if directions is None else directions:
        f = [
            np.atleast_1d(function(replace(fit, params=fit.params + s * h * d)).estimate)
            for s in (-2, -1, 1, 2)
        ]
        columns.append((8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h))
    return np.column_stack(columns)


# --- closed forms -------------------------------------------------------------------------


def test_own_elasticity_of_a_linear_binary_logit():
    fit = plain()
    p = np.array([31.0, 36.0, 44.0])
    s = 1 / (1 + np.exp(-(18 - 0.5 * p)))
    found = elasticity(fit, {"price": p})
    np.testing.assert_allclose(found.estimate, -0.5 * p * (1 - s), rtol=1e-13)
    slope = np.column_stack([0.5 * p * s * (1 - s), p * (1 - s) + 0.5 * p**2 * s * (1 - s)])
    np.testing.assert_allclose(found.se, np.sqrt(0.01 * (slope**2).sum(axis=1)), rtol=1e-12)
    np.testing.assert_allclose(found.upper - found.estimate, 1.959963984540054 * found.se)


def test_averages_of_elasticities_are_as_computed_by_hand():
    weights = np.arange(1.0, 13.0)
    fit = binary("price + rival + income", ROWS, [5.0, -0.4, 0.25, 0.7], weights=weights)
    s = 1 / (1 + np.exp(-(5 - 0.4 * ROWS["price"] + 0.25 * ROWS["rival"] + 0.7 * ROWS["income"])))
    own = -0.4 * ROWS["price"] * (1 - s)
    cross = 0.25 * ROWS["rival"] * (1 - s)

    def both(**options):
        return [
            float(elasticity(fit, **options)),
            float(elasticity(fit, kind="cross", rival="rival", **options)),
        ]

    expected = [np.average(own, weights=weights), np.average(cross, weights=weights)]
    np.testing.assert_allclose(both(), expected, rtol=1e-12)
    np.testing.assert_allclose(
        both(average="share_weighted"),
        [np.average(own, weights=weights * s), np.average(cross, weights=weights * s)],
        rtol=1e-12,
    )
    mean = {c: np.average(ROWS[c], weights=weights) for c in ROWS}
    v = 5 - 0.4 * mean["price"] + 0.25 * mean["rival"] + 0.7 * mean["income"]
    rest = 1 / (1 + np.exp(v))
    np.testing.assert_allclose(
        both(average="at_means"), [-0.4 * mean["price"] * rest, 0.25 * mean["rival"] * rest]
    )


def test_share_weighted_is_the_elasticity_of_the_mean_share():
    fit = market()

    def log_share(scale):
        frame = fit.frame.copy()
        frame.loc[frame["alternative"] == "a", "price"] *= scale
        found = shares(replace(fit, frame=frame), alternative="b")
        return np.log(float(found))

    h = 1e-4
    slope = (log_share(np.exp(h)) - log_share(np.exp(-h))) / (2 * h)
    options = {"alternative": "b", "rival": "a", "average": "share_weighted"}
    found = elasticity(fit, kind="cross", **options)
    assert abs(float(found) - slope) < 1e-7


def test_elasticities_of_a_conditional_logit():
    fit = market()
    s, p = by_hand(fit), fit.frame["price"].to_numpy().reshape(-1, 3)
    found = elasticity(fit, kind="matrix").matrix()
    assert list(found.index) == list(found.columns) == ["a", "b", "c"]
    w = fit.weights
    for k in range(3):
        cross = np.average(1.2 * p[:, k] * s[:, k], weights=w)
        own = np.average(-1.2 * p[:, k] * (1 - s[:, k]), weights=w)
        expected = [own if j == k else cross for j in range(3)]  # independence of irrelevant ones
        np.testing.assert_allclose(found.iloc[:, k], expected, rtol=1e-12)


def test_effects_of_one_price_sum_to_zero_and_diversion_to_one():
    for fit in (market(), plain()):
        effects = marginal_effects(fit, kind="matrix").matrix()
        np.testing.assert_allclose(effects.sum(), 0, atol=1e-15)
        ratios = diversion(fit).table
        np.testing.assert_allclose(ratios.groupby("alternative")["estimate"].sum(), 1)


def test_diversion_in_one_market_is_proportional_to_shares():
    fit = market()
    one = fit.frame.iloc[:3].drop(columns="case")
    s = by_hand(fit)[0]
    found = diversion(fit, one, alternative="b").table.set_index("rival")["estimate"]
    np.testing.assert_allclose(found[["a", "c"]], s[[0, 2]] / (1 - s[1]), rtol=1e-12)


def test_shares_are_mean_probabilities_of_all_cases():
    fit = market()
    expected = np.average(by_hand(fit), axis=0, weights=fit.weights)
    np.testing.assert_allclose(shares(fit).estimate, expected, rtol=1e-13)
    found = shares(plain(), {"price": 20.0})
    assert (found.lower > 0).all() and (found.upper < 1).all()


def test_unbalanced_choice_sets():
    fit = market()
    frame = fit.frame.drop(index=[2, 8]).reset_index(drop=True)
    fit = replace(fit, frame=frame)
    x = fit.design.expand(frame).x @ fit.params.to_numpy()
    e = pd.Series(np.exp(x))
    s = (e / e.groupby(frame["case"]).transform("sum")).to_numpy()
    w = fit.weights[frame["case"]]
    of_c = (frame["alternative"] == "c").to_numpy()
    total = fit.weights.sum()
    assert float(shares(fit, alternative="c")) == pytest.approx((w * s)[of_c].sum() / total)
    e_cross = -fit.params["price"] * frame["price"].to_numpy() * s
    found = elasticity(fit, kind="cross", alternative="a", rival="c")
    assert float(found) == pytest.approx(np.average(e_cross[of_c], weights=w[of_c]))
    assert "choice sets differ" in str(found)


def test_indifference_price_and_its_intervals():
    cov = np.array([[4.0, -0.11], [-0.11, 0.0031]])
    fit = plain(cov=cov)
    found = willingness_to_pay(fit)
    assert float(found) == pytest.approx(36.0) and "delta" in found.ci
    g = np.array([1 / 0.5, 18 / 0.25])
    assert found.se == pytest.approx(np.sqrt(g @ cov @ g))
    exact = willingness_to_pay(fit, ci="fieller")
    t = stats.norm.ppf(0.975)
    for end in (exact.lower, exact.upper):
        z = np.array([1.0, end])
        assert abs(z @ [18, -0.5]) == pytest.approx(t * np.sqrt(z @ cov @ z), rel=1e-8)
    assert exact.lower < 36 < exact.upper


def test_fieller_by_default_where_the_price_is_weak_and_unbounded_sets_are_told():
    weak = plain(cov=np.diag([0.01, 0.25**2]))
    found = willingness_to_pay(weak)
    assert "Fieller" in found.ci and "standard errors" in found.notes[0]
    assert np.isfinite([found.lower, found.upper]).all()
    very = plain(cov=np.diag([0.01, 0.5**2]))
    found = willingness_to_pay(very)
    assert (found.lower, found.upper) == (-np.inf, np.inf)
    assert "everything outside" in str(found)
    nothing = plain(a=0.01, b=-0.01, cov=np.diag([1.0, 1.0]))
    assert "the whole line" in str(willingness_to_pay(nothing))


def test_fieller_sets():
    cov = np.diag([1.0, 1.0])
    for b, shape in (([5.0, 4.0], "interval"), ([5.0, 1.0], "outside"), ([0.1, 0.1], "line")):
        b = np.array(b)
        low, high, found = fieller(np.array([1.0, 0]), np.array([0, 1.0]), b, cov, 1.96)
        assert found.startswith(shape)
        r = np.linspace(-60, 60, 24001)
        inside = np.abs(b[0] + r * b[1]) <= 1.96 * np.sqrt(1 + r**2)
        if shape == "interval":
            np.testing.assert_allclose([r[inside][0], r[inside][-1]], [low, high], atol=0.006)
        elif shape == "outside":
            ends = [float(w) for w in found.split() if w[-1].isdigit()]
            np.testing.assert_allclose([r[~inside][0], r[~inside][-1]], ends, atol=0.006)
        else:
            assert inside.all()


def test_willingness_to_pay_for_attributes_and_constants():
    fit = market()
    assert float(willingness_to_pay(fit, "quality")) == pytest.approx(0.8 / 1.2)
    assert float(willingness_to_pay(fit, "c")) == pytest.approx(-0.4 / 1.2)
    assert float(willingness_to_pay(fit, "income:b")) == pytest.approx(0.2 / 1.2)
    g = np.zeros(6)
    g[[0, 1]] = 0.8 / 1.2**2, 1 / 1.2
    found = willingness_to_pay(fit, "quality", ci="delta")
    assert found.se == pytest.approx(0.1 * np.sqrt(g @ g))
    logged = binary("log(price) + income", ROWS, [10.0, -3.0, 0.6])
    p = ROWS["price"]
    found = willingness_to_pay(logged, "income")
    assert float(found) == pytest.approx((0.6 / 3 * p).mean(), rel=1e-10)
    with pytest.raises(UsageError, match="none here"):
        willingness_to_pay(logged, "income", ci="fieller")


def test_indifference_price_by_root():
    fit = binary("log(price) + income", ROWS, [10.8, -3.0, 0.6])
    expected = np.exp((10.8 + 0.6 * ROWS["income"]) / 3)
    found = willingness_to_pay(fit)
    assert float(found) == pytest.approx(expected.mean(), rel=1e-12)
    slopes_ = gradient_of(willingness_to_pay, fit)
    by_b = [
        (expected / 3).mean(),
        (expected * (10.8 + 0.6 * ROWS["income"]) / 9).mean(),
        (expected * ROWS["income"] / 3).mean(),
    ]
    np.testing.assert_allclose(slopes_[0], by_b, rtol=1e-9)
    with pytest.raises(DesignError, match="no indifference price"):
        willingness_to_pay(binary("bs(price, knots=(36,))", PRICES, [9.0, -1, -2, -1, -2]))


def gradient_of(function, fit, *args, **options):
    """The derivatives that the delta method uses, read off unit covariances."""
    k = len(fit.params)
    first = function(fit, *args, **options)
    out = np.empty((len(first), k))
    terms = fit.cov.index
    for i in range(k):
        for sign in (0,):
            unit = np.zeros((k, k))
            unit[i, i] = 1e-30 if sign else 1.0
            one = replace(fit, cov=pd.DataFrame(unit, terms, terms))
            out[:, i] = np.atleast_1d(function(one, *args, ci="delta", **options).se)
    # Signs from differences: a unit covariance gives magnitudes.
    rough = numerical(lambda f: function(f, *args, ci="delta", **options), fit)
    return out * np.where(rough < 0, -1, 1)


def test_surplus_of_a_linear_price_is_the_log_sum():
    fit = plain()
    found = consumer_surplus(fit, {"price": 33.0}, at={"price": 36.0})
    expected = (np.log1p(np.exp(18 - 0.5 * 33)) - np.log1p(np.exp(18 - 0.5 * 36))) / 0.5
    assert float(found) == pytest.approx(expected, rel=1e-13)
    assert "log-sum" in found.name


def test_surplus_obeys_roys_identity():
    h = 1e-3
    for fit in (
        plain(),
        binary("log(price) + income", ROWS, [10.8, -3.0, 0.6]),
        binary("price + price:income", ROWS, [14.0, -0.4, 0.05]),
    ):
        name = "buy"
        for p in (33.0, 39.0):
            up, down = (
                float(consumer_surplus(fit, {"price": p + d}, at={"price": 35.0})) for d in (h, -h)
            )
            s = float(shares(fit, {"price": p}, alternative=name))
            assert (up - down) / (2 * h) == pytest.approx(-s, rel=1e-6)
    fit = market()
    p = 2.0
    up, down = (float(consumer_surplus(fit, {"b": p + d})) for d in (h, -h))
    s = float(shares(fit, {"b": p}, alternative="b"))
    assert (up - down) / (2 * h) == pytest.approx(-s, rel=1e-6)


def test_marshallian_surplus_is_the_area_under_the_demand_curve():
    fit = binary("log(price) + income", ROWS, [10.8, -3.0, 0.6])
    found = consumer_surplus(fit, {"price": 42.0}, at={"price": 33.0})
    assert "Marshallian" in found.name
    from scipy.integrate import quad

    area, _ = quad(lambda p: float(shares(fit, {"price": p}, alternative="buy")), 33, 42)
    assert float(found) == pytest.approx(-area, rel=1e-9)


def test_surplus_of_several_prices_by_log_sum():
    fit = market()
    found = consumer_surplus(fit, {"a": 1.0, "c": 1.5})
    frame = fit.frame.copy()
    frame.loc[frame["alternative"] == "a", "price"] = 1.0
    frame.loc[frame["alternative"] == "c", "price"] = 1.5

    def log_sums(rows):
        v = fit.design.expand(rows).x @ fit.params.to_numpy()
        return np.log(np.exp(v.reshape(-1, 3)).sum(axis=1))

    gain = (log_sums(frame) - log_sums(fit.frame)) / 1.2
    assert float(found) == pytest.approx(np.average(gain, weights=fit.weights), rel=1e-12)


@pytest.mark.parametrize("cost", [0.0, 20.0, 33.0])
def test_optimal_price_of_a_linear_logit(cost):
    fit = plain()
    found = optimal_price(fit, cost)
    p = float(found)
    e = float(elasticity(fit, {"price": p}))
    assert (p - cost) / p == pytest.approx(-1 / e, rel=1e-12)
    search = optimize.minimize_scalar(
        lambda q: -(q - cost) / (1 + np.exp(-(18 - 0.5 * q))),
        bounds=(cost, 60),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert p == pytest.approx(search.x, abs=1e-5)
    assert ("extrapolation" in str(found)) == (not 30 <= p <= 45)


def test_optimal_price_over_differing_observations_and_other_models():
    mixed = binary("price + income", ROWS, [16.0, -0.45, 2.5])
    logged = binary("log(price) + income", ROWS, [60.0, -17.0, 0.6])
    choice = market()
    for fit, who, cost, key in (
        (mixed, "buy", 10, "price"),
        (logged, "buy", 10, "price"),
        (choice, "b", 0.7, "b"),
    ):
        found = optimal_price(fit, cost, alternative=who)
        p = float(found)
        e = elasticity(fit, {key: p}, alternative=who, average="share_weighted")
        assert (p - cost) / p == pytest.approx(-1 / float(e), rel=1e-9)

        def profit(q, fit=fit, who=who, key=key, cost=cost):
            return (q - cost) * float(shares(fit, {key: q}, alternative=who))

        best = profit(p)
        assert all(best >= profit(q) for q in np.linspace(0.8 * p, 1.2 * p, 21))


def test_optimal_price_stops_at_bounds_and_says_so():
    found = optimal_price(plain(), bounds=(31, 40))
    assert float(found) == 31.0 and "bound" in str(found) and np.isnan(found.se)
    flat = binary("log(price)", PRICES, [1.0, -0.5])
    with pytest.raises(DesignError, match="still rises"):
        optimal_price(flat)
    assert float(optimal_price(flat, bounds=(30, 60))) == 60
    with pytest.raises(DesignError, match="does not fall"):
        optimal_price(plain(b=0.1))


def test_scenarios():
    fit = market()
    found = simulate(fit, {"a": [1.0, 2.0], "b": [1.5, 1.5]}).table
    assert found["scenario"].unique().tolist() == [1, 2]
    first = found[found["scenario"] == 1]
    share = first[first["measure"] == "share"].set_index("alternative")["estimate"]
    expected = shares(fit, {"a": 1.0, "b": 1.5}).table.set_index("alternative")["estimate"]
    np.testing.assert_allclose(share, expected, rtol=1e-13)
    change = first[first["measure"] == "change"]["estimate"].to_numpy()
    np.testing.assert_allclose(change, share.to_numpy() - shares(fit).estimate, atol=1e-14)
    revenue = first[first["measure"] == "revenue"].set_index("alternative")["estimate"]
    np.testing.assert_allclose(revenue[["a", "b"]], share[["a", "b"]] * [1.0, 1.5], rtol=1e-12)


# --- derivatives --------------------------------------------------------------------------

SPLINE = binary("bs(price, knots=(35, 40)) + income", ROWS, [2.0, -0.5, -1.0, -2.5, -3.0, -4, 0.6])
FITS = {
    "linear": binary("price + rival + income", ROWS, [5.0, -0.4, 0.25, 0.7]),
    "log": binary("log(price) + income", ROWS, [38.5, -11.0, 0.6]),
    "spline": SPLINE,
    "interaction": binary("price * income", ROWS, [14.0, -0.4, 0.5, 0.03]),
    "market": market(),
}
QUANTITIES = {
    "shares": lambda f: shares(f),
    "own": lambda f: elasticity(f),
    "share-weighted": lambda f: elasticity(f, kind="matrix", average="share_weighted"),
    "effects": lambda f: marginal_effects(f, kind="matrix"),
    "diversion": lambda f: diversion(f),
    "curve": lambda f: demand_curve(f, [f.frame["price"].min(), f.frame["price"].median()]),
    "surplus": lambda f: consumer_surplus(
        f, {f.design.alternatives[0]: float(f.frame["price"].median())}
    ),
    "optimum": lambda f: optimal_price(
        f,
        0.5 * f.frame["price"].min(),
        alternative=f.design.alternatives[0],
    ),
    "margins": lambda f: get_margeff(f),
    "scenario": lambda f: simulate(
        f, {f.design.alternatives[0]: [float(f.frame["price"].median())]}
    ),
}


@pytest.mark.parametrize("model", FITS)
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_standard_errors_use_the_right_derivatives(model, quantity):
    """In two directions that move all coefficients, which no wrong derivative leaves alone."""
    fit, function = FITS[model], QUANTITIES[quantity]
    found = function(fit)
    if np.isnan(np.atleast_1d(found.se)).any():
        assert "bound" in str(found)
        return
    k = np.arange(len(fit.params))
    directions = np.stack([np.ones(len(k)), np.where(k % 2, -1, 1) * (1 + 0.3 * k)])
    slope = numerical(function, fit, directions=directions)
    along = found.gradient @ directions.T
    scale = np.abs(found.gradient).max()
    np.testing.assert_allclose(along, slope, rtol=2e-6, atol=max(1e-7 * scale, 1e-9))
    se = np.sqrt(0.01 * (found.gradient**2).sum(axis=1))  # as if coefficients had SEs of .1
    np.testing.assert_allclose(np.atleast_1d(found.se), se, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("model", FITS)
def test_price_effects_are_derivatives_of_shares(model):
    fit = FITS[model]
    who = fit.design.alternatives[0]
    key = "price" if fit.design.outside else who
    p, h = (36.3, 1e-3) if fit.design.outside else (2.1, 1e-4)
    f = [float(shares(fit, {key: p + k * h}, alternative=who)) for k in (-2, -1, 1, 2)]
    slope = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h)
    assert float(marginal_effects(fit, {key: p}, alternative=who)) == pytest.approx(slope, rel=1e-9)


def test_slopes_of_regressors():
    x = slopes(FITS["linear"].design, ROWS, "price", ROWS).x
    np.testing.assert_array_equal(x, np.tile([0, 1.0, 0, 0], (12, 1)))
    found = slopes(FITS["log"].design, ROWS, "price", ROWS).x
    np.testing.assert_allclose(found[:, 1], 1 / ROWS["price"], rtol=1e-11)
    # A cubic spline is differentiated exactly, at knots and at its ends, too.
    design = SPLINE.design
    found = slopes(design, ROWS, "price", ROWS).x
    h = 1e-4
    inner = ROWS["price"].between(31, 44)
    up, down = (design.expand(ROWS[inner].assign(price=ROWS["price"] + s * h)).x for s in (1, -1))
    np.testing.assert_allclose(found[inner.to_numpy()], (up - down) / (2 * h), atol=1e-8)
    assert np.isfinite(found).all() and found[ROWS["price"] == 30].any()


def test_jumps_at_round_prices_are_left_out_of_derivatives():
    fit = binary("price + round(price, 5)", PRICES, [18.0, -0.5, 0.4])
    found = elasticity(fit, {"price": [35.0, 36.0]})
    p = np.array([35.0, 36.0])
    s = shares(fit, {"price": p}, alternative="buy").estimate
    np.testing.assert_allclose(found.estimate, -0.5 * p * (1 - s), rtol=1e-12)
    assert "jumps" in str(found)
    step = binary("price + I((price > 35) * 1.0)", PRICES, [18.0, -0.5, 0.4])
    found = slopes(step.design, PRICES, "price", PRICES)
    assert found.jumps
    np.testing.assert_array_equal(found.x[:, 1:], np.tile([1.0, 0.0], (16, 1)))


def test_complex_steps_are_exact():
    found = gradient(lambda b: np.array([np.exp(b[0]) / b[1]]), np.array([1.0, 3.0]))
    np.testing.assert_allclose(found, [[np.e / 3, -np.e / 9]], rtol=1e-15)


# --- intervals ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def big():
    rng = np.random.default_rng(11)
    n = 12000
    data = pd.DataFrame(
        {"price": rng.choice(np.arange(30, 46.0), n), "income": rng.choice([-1.0, 0.0, 1.0], n)}
    )
    p = 1 / (1 + np.exp(-(14 - 0.4 * data["price"] + 0.5 * data["income"])))
    return data.assign(buy=(rng.random(n) < p).astype(float))


@pytest.mark.parametrize(
    "quantity",
    [
        lambda f, **o: elasticity(f, **o),
        lambda f, **o: shares(f, alternative="buy", **o),
        lambda f, **o: willingness_to_pay(f, **o),
        lambda f, **o: optimal_price(f, 20, **o),
        lambda f, **o: consumer_surplus(f, {"price": 33}, **o),
    ],
)
def test_intervals_agree_on_a_large_sample(big, quantity):
    fit = logit("buy ~ price + income", big)
    delta = quantity(fit, ci="delta")
    width = delta.upper - delta.lower
    for ci in ("krinsky-robb", "bootstrap"):
        other = quantity(fit, ci=ci, reps=600)
        assert other.estimate == delta.estimate
        assert other.se == pytest.approx(delta.se, rel=0.12)
        assert abs(other.lower - delta.lower) < 0.1 * width
        assert abs(other.upper - delta.upper) < 0.1 * width
        assert "600" in other.ci and "seed 1" in other.ci
        again = quantity(fit, ci=ci, reps=600)
        pd.testing.assert_frame_equal(again.table, other.table)


def test_krinsky_robb_draws_and_failed_refits_are_counted():
    cov = np.array([[4.0, -0.11], [-0.11, 0.0031]])
    fit = plain(cov=cov)
    found = willingness_to_pay(fit, ci="krinsky-robb", reps=20000)
    draws = np.random.default_rng(0).multivariate_normal([18, -0.5], cov, 200000)
    expected = np.quantile(-draws[:, 0] / draws[:, 1], [0.025, 0.975])
    np.testing.assert_allclose([found.lower, found.upper], expected, rtol=5e-3)
    refits = draws[:100].copy()
    refits[:7] = np.nan
    failed = willingness_to_pay(replace(fit, refits=refits), ci="bootstrap", reps=100)
    assert "percentiles of 93" in failed.ci and "7 of 100" in str(failed)
    with pytest.raises(DesignError, match="fewer than 2"):
        willingness_to_pay(replace(fit, refits=refits[:7]), ci="bootstrap")
    with pytest.raises(DesignError, match="not positive definite"):
        shares(plain(cov=np.diag([1.0, -1.0])), ci="krinsky-robb")
    with pytest.raises(DesignError, match="negative variance"):
        shares(plain(cov=np.diag([1.0, -1.0])))


def test_draws_have_no_derivatives():
    assert shares(FITS["linear"]).gradient is not None
    assert shares(FITS["linear"], ci="krinsky-robb", reps=20).gradient is None


def test_intervals_use_the_t_law_of_the_fit():
    wide, narrow = elasticity(plain(df=4.0)), elasticity(plain())
    ratio = (wide.upper - wide.estimate) / (narrow.upper - narrow.estimate)
    assert ratio == pytest.approx(stats.t.ppf(0.975, 4) / stats.norm.ppf(0.975))
    assert "t with 4 degrees of freedom" in wide.ci


def test_infinite_optima_have_a_place_among_the_percentiles():
    weak = plain(cov=np.diag([0.0, 0.25**2]))
    found = optimal_price(weak, 20, ci="krinsky-robb", reps=400)
    assert found.upper == np.inf or np.isfinite(found.upper)
    assert "infinite" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize("ci", ["delta", "fieller", "krinsky-robb"])
def test_coverage_of_the_indifference_price(ci):
    rng = np.random.default_rng(5)
    price = np.repeat(np.arange(30, 46.0), 20)
    p = 1 / (1 + np.exp(-(0.3 * (37 - price))))
    hits, reps = 0, 1000
    for _ in range(reps):
        data = pd.DataFrame({"price": price, "buy": (rng.random(len(price)) < p) * 1.0})
        found = willingness_to_pay(logit("buy ~ price", data), ci=ci, reps=400)
        hits += found.lower <= 37 <= found.upper
    assert abs(hits / reps - 0.95) < 3 * np.sqrt(0.95 * 0.05 / reps)


@pytest.mark.slow
def test_coverage_of_elasticities_shares_and_optima():
    rng = np.random.default_rng(6)
    price = np.repeat(np.arange(30, 46.0), 25)
    p = 1 / (1 + np.exp(-(0.3 * (37 - price))))
    truth = binary("price", PRICES, [0.3 * 37, -0.3])
    functions = [
        lambda f: elasticity(f, {"price": 38.0}),
        lambda f: shares(f, {"price": 32.0}, alternative="buy"),
        lambda f: optimal_price(f, 20),
        lambda f: consumer_surplus(f, {"price": 33.0}, at={"price": 37.0}),
    ]
    target = [float(f(truth)) for f in functions]
    hits, reps = np.zeros(len(functions)), 1000
    for _ in range(reps):
        data = pd.DataFrame({"price": price, "buy": (rng.random(len(price)) < p) * 1.0})
        fit = logit("buy ~ price", data)
        found = [f(fit) for f in functions]
        hits += [q.lower <= t <= q.upper for q, t in zip(found, target, strict=True)]
    assert (np.abs(hits / reps - 0.95) < 3 * np.sqrt(0.95 * 0.05 / reps)).all(), hits


# --- margins ------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["overall", "mean"])
def test_margins_equal_statsmodels(big, at):
    import statsmodels.api as sm

    data = big.sample(900, random_state=3).reset_index(drop=True)
    data["member"] = (np.arange(900) % 3 == 0).astype(float)
    ours = logit("buy ~ price + income + member", data, vcov="iid")
    x = sm.add_constant(data[["price", "income", "member"]])
    theirs = sm.Logit(data["buy"], x).fit(disp=0, tol=1e-13, maxiter=100)
    margins = theirs.get_margeff(at=at, dummy=True)
    found = get_margeff(ours, at)
    assert found.table["variable"].tolist() == ["price", "income", "member"]
    assert found.table["change"].tolist() == ["d/dx", "d/dx", "0 to 1"]
    np.testing.assert_allclose(found.estimate, margins.margeff, rtol=1e-8)
    np.testing.assert_allclose(found.se, margins.margeff_se, rtol=1e-8)


def test_margins_of_a_multinomial_logit_equal_statsmodels(big):
    import statsmodels.api as sm

    rng = np.random.default_rng(2)
    data = big.sample(700, random_state=3).reset_index(drop=True)
    u = rng.gumbel(size=(700, 3)) + np.outer(data["price"] - 38, [0, 0.1, -0.1])
    data["brand"] = np.array(["a", "b", "c"])[u.argmax(axis=1)]
    ours = mnlogit("brand ~ price + income", data, vcov="iid")
    x = sm.add_constant(data[["price", "income"]])
    fitted = sm.MNLogit(data["brand"].map({"a": 0, "b": 1, "c": 2}), x).fit(
        disp=0, method="newton", tol=1e-12
    )
    margins = fitted.get_margeff()
    found = get_margeff(ours)
    np.testing.assert_allclose(found.estimate, margins.margeff[[0, 1]].ravel(), rtol=1e-7)
    np.testing.assert_allclose(found.se, margins.margeff_se[[0, 1]].ravel(), rtol=1e-7)


def test_margins_of_categories_are_changes_from_the_first_level():
    frame = ROWS.assign(region=["east", "north", "west"] * 4)
    fit = binary("price + C(region)", frame, [14.0, -0.4, 0.5, -0.3])
    found = get_margeff(fit).table.set_index("change")["estimate"]

    def mean(effect):
        return (1 / (1 + np.exp(-(14 - 0.4 * frame["price"] + effect)))).mean()

    assert found["east to north"] == pytest.approx(mean(0.5) - mean(0))
    assert found["east to west"] == pytest.approx(mean(-0.3) - mean(0))
    with pytest.raises(DesignError, match="has no mean"):
        get_margeff(fit, "mean")


def test_margins_of_a_conditional_logit_are_own_effects():
    fit = market()
    s = by_hand(fit)
    table = get_margeff(fit).table
    own = table[table["variable"] == "quality"].set_index("alternative")["estimate"]
    expected = np.average(0.8 * s * (1 - s), axis=0, weights=fit.weights)
    np.testing.assert_allclose(own, expected, rtol=1e-11)
    income = table[table["variable"] == "income"]["estimate"]
    assert abs(income.sum()) < 1e-14


# --- from the estimators ------------------------------------------------------------------


def test_quantities_of_fitted_models_of_several_alternatives():
    rng = np.random.default_rng(8)
    n = 400
    long = market().frame.iloc[:3].drop(columns="case")
    frame = pd.concat([long] * n, ignore_index=True).assign(case=np.repeat(np.arange(n), 3))
    frame["price"] = rng.uniform(1, 3, 3 * n)
    u = (-1.2 * frame["price"].to_numpy() + rng.gumbel(size=3 * n)).reshape(n, 3)
    frame["choice"] = (u == u.max(axis=1, keepdims=True)).ravel() * 1.0
    fit = clogit("choice ~ price", frame)
    b = fit.params["price"]
    s = fit.predict()
    price = frame["price"].to_numpy()
    is_a = (frame["alternative"] == "a").to_numpy()
    found = elasticity(fit, alternative="a")
    assert float(found) == pytest.approx((b * price * (1 - s))[is_a].mean(), rel=1e-10)
    wide = frame.pivot(index="case", columns="alternative", values="price").add_prefix("price_")
    wide["brand"] = np.array(["a", "b", "c"])[u.argmax(axis=1)]
    other = mnlogit("brand ~ price_a + price_b + price_c", wide)
    own = elasticity(other, kind="matrix").matrix()
    assert (np.diag(own) < 0).all() and own.shape == (3, 3)
    assert float(optimal_price(other, 0.5, alternative="b")) > 0.5
    assert "Marshallian" in consumer_surplus(other, {"price_b": 1.5}).name
    at = {"price_a": 2.0, "price_b": 2.0, "price_c": 2.0}
    p = other.predict(pd.DataFrame(at, index=[0])).iloc[0]
    found = shares(other, at)
    np.testing.assert_allclose(found.estimate, p, rtol=1e-12)


def test_levels_have_curves_but_no_derivatives(big):
    fit = logit("buy ~ C(price) + income", big)
    curve = demand_curve(fit)
    assert len(curve) == 16
    with pytest.raises(DesignError, match="levels"):
        elasticity(fit)
    found = shares(fit, {"price": [30, 45]}, alternative="buy").estimate
    assert found[0] > found[1]


# --- what is printed and drawn ------------------------------------------------------------


def test_rule_interval_and_unit_are_always_printed():
    fit = market()
    for average, words in (
        ("mean", "sample enumeration"),
        ("at_means", "at the sample means"),
        ("share_weighted", "share-weighted"),
    ):
        found = elasticity(fit, average=average)
        assert words in str(found) and words in found._repr_html_()
        assert "delta method" in str(found) and "% per %" in str(found)


def test_rows_as_numbers_and_matrices():
    found = elasticity(plain(), {"price": 35.0})
    assert float(found) == found.estimate and isinstance(found.se, float) and len(found) == 1
    many = elasticity(plain(), {"price": [33.0, 35.0]})
    assert many.table["price"].tolist() == [33.0, 35.0] and many.upper.shape == (2,)
    with pytest.raises(UsageError, match="2 rows"):
        float(many)
    with pytest.raises(UsageError, match="kind='matrix'"):
        many.matrix()
    copy = many.to_frame()
    copy["estimate"] = 0
    assert many.estimate.any()
    matrix = elasticity(plain(), kind="matrix").matrix()
    assert list(matrix.index) == ["buy", "outside"] and list(matrix.columns) == ["buy"]
    with pytest.raises(UsageError, match="several values"):
        elasticity(market(), {"a": [1.0, 2.0]}, kind="matrix").matrix()


def test_figures():
    from matplotlib import pyplot as plt

    for found, label in (
        (demand_curve(plain()), "price"),
        (demand_curve(market()), "price"),
        (elasticity(market(), kind="matrix"), "price of"),
        (shares(market()), "alternative"),
        (willingness_to_pay(plain()), ""),
    ):
        ax = found.plot()
        assert ax.get_title() == found.name and ax.get_xlabel() == label
        assert found.unit in ax.get_ylabel() or label == "price of"
        plt.close(ax.figure)


# --- where rows are given -----------------------------------------------------------------


def test_a_data_frame_gives_one_answer_per_row_or_case():
    fit = FITS["linear"]
    rows = ROWS.iloc[[0, 5]]
    found = shares(fit, rows, alternative="buy")
    eta = 5 - 0.4 * rows["price"] + 0.25 * rows["rival"] + 0.7 * rows["income"]
    np.testing.assert_allclose(found.estimate, 1 / (1 + np.exp(-eta)), rtol=1e-13)
    assert found.keys == ("price", "rival", "income", "alternative")
    choice = market()
    found = shares(choice, choice.frame.iloc[3:9], alternative="b")
    np.testing.assert_allclose(found.estimate, by_hand(choice)[1:3, 1], rtol=1e-13)
    assert found.table["case"].tolist() == [1, 2]


# --- errors -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda f: elasticity(f, price="prise"), DesignError, "did you mean 'price'"),
        (lambda f: elasticity(f, kind="cross"), DesignError, "rival's price"),
        (lambda f: elasticity(f, kind="cross", rival="x"), DesignError, "rival's price"),
        (lambda f: elasticity(f, kind="owm"), UsageError, "did you mean 'own'"),
        (lambda f: elasticity(f, average="median"), UsageError, "share_weighted"),
        (lambda f: elasticity(f, ci="wald"), UsageError, "krinsky-robb"),
        (lambda f: elasticity(f, ci="fieller"), UsageError, "ratios"),
        (lambda f: elasticity(f, {"price": 0.0}), DesignError, "positive"),
        (lambda f: elasticity(f, {"price": -3.0}), DesignError, "positive"),
        (lambda f: elasticity(f, {"price": np.nan}), UsageError, "finite"),
        (lambda f: elasticity(f, {"price": "cheap"}), UsageError, "finite"),
        (lambda f: elasticity(f, {"price": []}), UsageError, "no values"),
        (lambda f: elasticity(f, {"prce": 35}), DesignError, "did you mean 'price'"),
        (lambda f: elasticity(f, 35.0), UsageError, "mapping"),
        (lambda f: elasticity(f, alternative="sell"), DesignError, "no alternative 'sell'"),
        (lambda f: elasticity(f, alternative="outside"), UsageError, "has no price"),
        (lambda f: elasticity(f, alpha=5), UsageError, "alpha"),
        (lambda f: shares(f, ci="bootstrap", reps=1), UsageError, "reps"),
        (lambda f: shares(f, average="share_weighted"), UsageError, "elasticities"),
        (lambda f: shares(f, pd.DataFrame({"cost": [3.0]})), DesignError, "no column 'price'"),
        (lambda f: shares(f, pd.DataFrame({"price": [np.nan]})), UsageError, "missing"),
        (lambda f: shares(f, pd.DataFrame({"price": ["x"]})), UsageError, "finite numbers"),
        (lambda f: shares(f, pd.DataFrame({"price": []})), UsageError, "no rows"),
        (lambda f: willingness_to_pay(f, "size"), DesignError, "no attribute 'size'"),
        (lambda f: consumer_surplus(f, {}), UsageError, "new prices"),
        (lambda f: consumer_surplus(f, {"price": np.inf}), UsageError, "finite"),
        (lambda f: consumer_surplus(f, {"rival": 3.0}), DesignError, "no alternative 'rival'"),
        (lambda f: optimal_price(f, kind="profits"), UsageError, "did you mean 'profit'"),
        (lambda f: optimal_price(f, 3, kind="revenue"), UsageError, "no cost"),
        (lambda f: optimal_price(f, bounds=(3, 2)), UsageError, "bounds"),
        (lambda f: simulate(f, {}), UsageError, "at least one scenario"),
        (lambda f: simulate(f, 3), UsageError, "mapping"),
        (lambda f: get_margeff(f, at="medians"), UsageError, "did you mean 'median'"),
    ],
)
def test_mistakes_are_explained(call, error, words):
    with pytest.raises(error, match=words):
        call(plain())


def test_mistakes_with_several_alternatives():
    fit = market()
    with pytest.raises(UsageError, match="whose 'price'"):
        elasticity(fit, {"price": 2.0})
    with pytest.raises(UsageError, match="name the alternative"):
        optimal_price(fit)
    with pytest.raises(UsageError, match="its own rival"):
        elasticity(fit, kind="cross", alternative="a", rival="a")
    with pytest.raises(UsageError, match="name an attribute"):
        willingness_to_pay(fit)
    with pytest.raises(DesignError, match="it is the base"):
        willingness_to_pay(fit, "a")
    rival = FITS["linear"]
    with pytest.raises(DesignError, match="not in a binary logit"):
        consumer_surplus(rival, {"rival": 30.0})
    with pytest.raises(DesignError, match="fall with"):
        consumer_surplus(plain(b=0.2), {"price": 30.0})
    text = ROWS.assign(region=["east", "west"] * 6)
    with pytest.raises(DesignError, match="has no mean"):
        shares(binary("price + C(region)", text, [1.0, -0.1, 0.2]), average="at_means")


@pytest.mark.parametrize(
    "call",
    [
        shares,
        elasticity,
        marginal_effects,
        diversion,
        demand_curve,
        willingness_to_pay,
        optimal_price,
        get_margeff,
        lambda f: consumer_surplus(f, {"price": 3.0}),
        lambda f: simulate(f, {"price": [3.0]}),
    ],
)
def test_separated_fits_and_arrays_have_no_quantities(call):
    fit = replace(plain(), separated=True, params=pd.Series({"const": np.inf, "price": -np.inf}))
    with pytest.raises(DesignError, match="Firth"):
        call(fit)
    with pytest.raises(DesignError, match="from arrays"):
        call(replace(plain(), design=None))
    # Firth's estimates of separated data are finite, and have quantities.
    call(replace(plain(), separated=True))


def test_a_fit_that_did_not_converge_is_marked():
    assert "did not converge" in str(shares(replace(plain(), converged=False)))


def test_the_stand_in_has_what_results_have():
    fit = logit("buy ~ price", PRICES.assign(buy=[1, 1, 0, 1] * 2 + [0, 1, 0, 0] * 2))
    for name in ("params", "cov", "df", "separated", "converged", "design", "frame", "weights"):
        assert hasattr(fit, name)
    assert SimpleNamespace(**vars(plain())).outcome == "buy"


def test_equal_cases_are_averaged_over_once():
    """Averages are those over all cases, though equal ones are evaluated once."""
    rng = np.random.default_rng(5)
    n, kinds = 240, 4
    kind = rng.integers(0, kinds, n)
    grid = rng.uniform(1, 3, (kinds, 3))
    price, u = grid[kind], -1.2 * grid[kind] + rng.gumbel(size=(n, 3))
    rows = pd.DataFrame(
        {
            "case": np.repeat([f"c{k}" for k in rng.permutation(n)], 3),
            "alternative": ["x", "y", "z"] * n,
            "price": price.ravel(),
            "n": np.repeat(rng.integers(1, 4, n), 3),
            "choice": (u == u.max(axis=1, keepdims=True)).astype(int).ravel(),
        }
    )
    # Choice sets differ, and neither cases nor alternatives lie in any order.
    rows = rows[(rows["alternative"] != "z") | (rows["choice"] == 1) | (np.repeat(kind, 3) > 0)]
    rows = rows.sample(frac=1, random_state=1, ignore_index=True)
    fit = clogit("choice ~ price", rows, weights="n")
    held = len(scenes(fit, what="shares").blocks[0].start)
    assert held <= 2 * kinds < n
    p, cases = fit.predict(rows).to_numpy(), rows.drop_duplicates("case")["n"].sum()
    found = fit.shares().table.set_index("alternative")["estimate"]
    for name in "xyz":
        mine = (rows["alternative"] == name).to_numpy()
        assert found[name] == pytest.approx((p * rows["n"])[mine].sum() / cases, rel=1e-12)
    raised = rows.assign(price=rows["price"].where(rows["alternative"] != "y", 2.5))
    mine = (rows["alternative"] == "x").to_numpy()
    after = (fit.predict(raised).to_numpy() * rows["n"])[mine].sum() / cases
    assert float(fit.shares(at={"y": 2.5}, alternative="x")) == pytest.approx(after, rel=1e-12)
