"""Marginal effects of every kind against statsmodels; Stata's are among the golden references."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from llmdemand import clogit, fraclogit, logit, mnlogit
from llmdemand.errors import DesignError, UsageError


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    n = 300
    price = rng.choice([1.0, 2, 3, 4], n)
    old = rng.integers(0, 2, n)
    p = 1 / (1 + np.exp(0.8 * (price - 2.5) - 0.5 * old))
    return pd.DataFrame(
        {
            "price": price,
            "old": old,
            "buy": (rng.random(n) < p).astype(float),
            "belief": rng.beta(4 * p, 4 * (1 - p)),
            "brand": rng.choice(list("abc"), n),
            "home": rng.integers(0, 3, n),
        }
    )


@pytest.fixture(scope="module")
def both(data):
    x = sm.add_constant(data[["price", "old"]])
    theirs = sm.Logit(data["buy"], x).fit(disp=0, tol=1e-13, maxiter=100)
    return logit("buy ~ price + old", data, vcov="iid"), theirs


@pytest.mark.parametrize("dummy", [True, False])
@pytest.mark.parametrize("method", ["dydx", "eyex", "dyex", "eydx"])
@pytest.mark.parametrize("at", ["overall", "mean", "median", "zero"])
def test_effects_and_their_errors_equal_statsmodels(both, at, method, dummy):
    ours, theirs = both
    if dummy and "ex" in method:
        with pytest.raises(UsageError, match="relative changes"):
            ours.get_margeff(at, method, dummy=True)
        return
    found = ours.get_margeff(at, method, dummy=dummy)
    if dummy and at in ("median", "zero"):  # statsmodels has no discrete changes there
        b = theirs.params
        price = np.median(theirs.model.exog[:, 1]) if at == "median" else 0.0
        low, high = (
            1 / (1 + np.exp(-(b["const"] + b["price"] * price + b["old"] * o))) for o in (0, 1)
        )
        change = np.log(high / low) if method == "eydx" else high - low
        assert found.estimate[1] == pytest.approx(change, rel=1e-8)
        return
    expected = theirs.get_margeff(at, method, dummy=dummy)
    np.testing.assert_allclose(found.estimate, expected.margeff, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(found.se, expected.margeff_se, rtol=1e-7, atol=1e-12)


def test_without_a_word_relative_changes_take_0_1_variables_as_numbers(both):
    found = both[0].get_margeff(method="eyex")
    assert found.table["change"].tolist() == ["dlny/dlnx", "dlny/dlnx"]
    assert both[0].get_margeff(method="eydx").table["change"].tolist() == ["dlny/dx", "0 to 1"]


@pytest.mark.parametrize("method", ["dydx", "eydx"])
def test_a_multinomial_logit_equals_statsmodels(data, method):
    ours = mnlogit("brand ~ price", data, vcov="iid")
    x = sm.add_constant(data[["price"]])
    model = sm.MNLogit(data["brand"].map({"a": 0, "b": 1, "c": 2}), x)
    theirs = model.fit(disp=0, method="newton", tol=1e-13).get_margeff(method=method)
    found = ours.get_margeff(method=method)
    np.testing.assert_allclose(found.estimate, theirs.margeff.ravel(), rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(found.se, theirs.margeff_se.ravel(), rtol=1e-6)
    # statsmodels has no elasticities of a multinomial logit: z (b_j - sum_k s_k b_k).
    b = np.array([0, *ours.params.filter(like="price:")])
    s, w = np.asarray(ours.predict()), ours.weights
    e = ours.frame["price"].to_numpy()[:, None] * (b - (s @ b)[:, None])
    found = ours.get_margeff(method="eyex")
    np.testing.assert_allclose(found.estimate, np.average(e, axis=0, weights=w), rtol=1e-9)


def test_an_elasticity_is_that_of_the_price(data):
    fit = fraclogit("belief ~ price", data)
    table = fit.get_margeff(method="eyex").table
    assert table["estimate"][0] == pytest.approx(float(fit.elasticity()), rel=1e-10)
    assert table["se"][0] == pytest.approx(fit.elasticity().se, rel=1e-10)


def test_by_a_column_effects_are_those_within_its_values(both, data):
    ours, theirs = both
    found = ours.get_margeff(by="old").table
    x = sm.add_constant(data[["price", "old"]]).to_numpy()
    b = theirs.params.to_numpy()
    for level in (0, 1):
        rows = x[data["old"] == level]
        s = 1 / (1 + np.exp(-rows @ b))
        effect = found[(found["old"] == level) & (found["variable"] == "price")].iloc[0]
        assert effect["estimate"] == pytest.approx(b[1] * (s * (1 - s)).mean(), rel=1e-9)
        slope = (s * (1 - s) * (1 - 2 * s))[:, None] * rows * b[1]
        slope[:, 1] += s * (1 - s)
        gradient = slope.mean(axis=0)
        se = np.sqrt(gradient @ theirs.cov_params().to_numpy() @ gradient)
        assert effect["se"] == pytest.approx(se, rel=1e-6)
    # A cluster column is in the sample too.
    clustered = logit("buy ~ price", data, vcov={"CRV1": "home"}).get_margeff(by="home").table
    assert clustered["home"].tolist() == [0, 1, 2] and clustered["estimate"].nunique() == 3
    with pytest.raises(UsageError, match="add it to the formula"):
        ours.get_margeff(by="home")


def test_medians_count_frequency_weights(data):
    merged = data.groupby(["price", "old", "buy"], as_index=False).agg(w=("home", "size"))
    one = logit("buy ~ price + old", data).get_margeff("median")
    other = logit("buy ~ price + old", merged, weights="w").get_margeff("median")
    np.testing.assert_allclose(one.estimate, other.estimate, rtol=1e-9)


def test_a_conditional_logit_has_a_case_of_medians_and_parts(data):
    long = pd.DataFrame(
        {
            "case": np.repeat(np.arange(300), 2),
            "alternative": ["a", "b"] * 300,
            "price": np.column_stack([data["price"], 5 - data["price"]]).ravel(),
            "buy": np.column_stack([data["buy"], 1 - data["buy"]]).ravel(),
            "old": np.repeat(data["old"], 2).to_numpy(),
        }
    )
    fit = clogit("buy ~ price | old", long)
    b = fit.params
    medians = [data["price"].median(), 5 - data["price"].median()]
    v = medians[1] * b["price"] + b["const:b"] + data["old"].median() * b["old:b"]
    s = 1 / (1 + np.exp(medians[0] * b["price"] - v))
    found = fit.get_margeff("median").table.query("variable == 'price'")
    np.testing.assert_allclose(found["estimate"], b["price"] * s * (1 - s), rtol=1e-9)
    parts = fit.get_margeff(by="old").table
    whole = fit.get_margeff().table
    share = data["old"].mean()
    price = [t[t["variable"] == "price"]["estimate"].to_numpy() for t in (parts, whole)]
    np.testing.assert_allclose((1 - share) * price[0][:2] + share * price[0][2:], price[1])


def test_what_has_no_such_effect(data):
    fit = logit("buy ~ price + C(brand)", data)
    found = fit.get_margeff(method="eyex")
    assert found.table["variable"].tolist() == ["price"] and "brand has levels" in found.notes[0]
    for at in ("median", "zero"):
        with pytest.raises(DesignError, match="'brand' holds"):
            fit.get_margeff(at)
    with pytest.raises(DesignError, match="no variable has a relative change"):
        logit("buy ~ brand", data).get_margeff(method="eyex")
    with pytest.raises(UsageError, match="eyex"):
        fit.get_margeff(method="elasticity")
