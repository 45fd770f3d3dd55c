"""Our numbers against statsmodels', and what statsmodels does not say."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.estimation.estimate import SeparationWarning, VarianceWarning
from llmdemand.modeling.likelihood.separating import separating_direction
from llmdemand.modeling.models.logit import fit, fraclogit, logit

pytestmark = pytest.mark.numbers


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    n = 400
    price = rng.choice(np.arange(30, 46.0), n)
    income = rng.normal(0, 1, n)
    p = 1 / (1 + np.exp(-(0.4 * (37 - price) + 0.3 * income)))
    belief = rng.beta(4 * p, 4 * (1 - p))
    return pd.DataFrame(
        {
            "price": price,
            "income": income,
            "belief": belief,
            "choice": (rng.random(n) < belief).astype(float),
            "household": rng.integers(0, 25, n),
        }
    )


def reference(data, outcome, **fit_options):
    """Reference by statsmodels' GLM: the same quasi-likelihood for choices and fractions."""
    x = sm.add_constant(data[["price", "income"]])
    model = sm.GLM(data[outcome], x, family=sm.families.Binomial())
    return model.fit(tol=1e-14, maxiter=100, **fit_options)


@pytest.mark.parametrize("outcome", ["choice", "belief"])
def test_coefficients_and_classical_covariance_equal_statsmodels(data, outcome):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VarianceWarning)  # iid of fractions: its own test
        ours = fraclogit(f"{outcome} ~ price + income", data, vcov="iid")
    theirs = reference(data, outcome, scale=1.0)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-8)
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-8)
    assert ours.converged and ours.fractional == (outcome == "belief")


@pytest.mark.parametrize("outcome", ["choice", "belief"])
def test_robust_covariances_equal_statsmodels_times_the_stated_factor(data, outcome):
    theirs = reference(data, outcome, cov_type="HC0")
    n = len(data)
    for vcov, ssc, factor in (
        ("HC0", "stata", 1.0),
        ("HC1", "stata", n / (n - 1)),
        ("HC1", "sandwich", n / (n - 3)),
        ("HC1", "none", 1.0),
    ):
        ours = fraclogit(f"{outcome} ~ price + income", data, vcov=vcov, ssc=ssc)
        np.testing.assert_allclose(ours.cov, factor * theirs.cov_params(), rtol=1e-8)


@pytest.mark.parametrize("outcome", ["choice", "belief"])
def test_clustered_covariance_equals_statsmodels_times_the_stated_factor(data, outcome):
    theirs = reference(
        data,
        outcome,
        cov_type="cluster",
        cov_kwds={"groups": data["household"], "use_correction": False},
    )
    groups, n = data["household"].nunique(), len(data)
    for ssc, factor in (
        ("stata", groups / (groups - 1)),
        ("sandwich", groups / (groups - 1) * (n - 1) / (n - 3)),
        ("none", 1.0),
    ):
        ours = fraclogit(f"{outcome} ~ price + income", data, vcov={"CRV1": "household"}, ssc=ssc)
        np.testing.assert_allclose(ours.cov, factor * theirs.cov_params(), rtol=1e-8)
        assert (ours.clusters, ours.df) == (groups, groups - 1)


def test_likelihood_statistics_equal_statsmodels(data):
    ours = logit("choice ~ price + income", data)
    theirs = sm.Logit(data["choice"], sm.add_constant(data[["price", "income"]])).fit(disp=0)
    for name in ("llf", "llnull", "prsquared", "aic", "bic"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-9), name
    np.testing.assert_allclose(ours.predict(), theirs.predict(), atol=1e-9)


def test_intervals_use_t_with_clusters_and_normal_without(data):
    from scipy import stats

    robust = logit("choice ~ price", data)
    clustered = logit("choice ~ price", data, vcov={"CRV1": "household"})
    for found, critical in ((robust, stats.norm.ppf(0.975)), (clustered, stats.t.ppf(0.975, 24))):
        half = found.conf_int().loc["price", "upper"] - found.params["price"]
        assert half == pytest.approx(critical * found.bse["price"])


def test_units_of_price_do_not_matter(data):
    plain = fraclogit("belief ~ price", data)
    for unit in (1e-6, 1e6):
        scaled = fraclogit("belief ~ price", data.assign(price=data["price"] * unit))
        assert scaled.params["price"] * unit == pytest.approx(plain.params["price"], rel=1e-8)
        assert scaled.bse["price"] * unit == pytest.approx(plain.bse["price"], rel=1e-6)


def brute_force(x, y):
    """Whether some threshold of one regressor splits ones from zeros."""
    cuts = np.unique(np.concatenate([x, (x[:, None] + x[None, :]).ravel() / 2, [x.min() - 1]]))
    for sign in (1, -1):
        for cut in cuts:
            z = sign * (x - cut)
            good = ((y == 1) & (z >= 0)) | ((y == 0) & (z <= 0)) | ((y > 0) & (y < 1) & (z == 0))
            if good.all() and (z != 0).any():
                return True
    return y.min() == 1 or y.max() == 0


def test_separation_is_found_exactly_when_a_threshold_splits_the_data():
    rng = np.random.default_rng(0)
    found = {True: 0, False: 0}
    for _ in range(400):
        x = rng.integers(0, 4, 5).astype(float)
        if np.ptp(x) == 0:
            continue
        y = rng.choice([0.0, 1.0, 0.5], 5, p=[0.45, 0.45, 0.1])
        design = np.column_stack([np.ones(5), x])
        closed = separating_direction(design, y) is not None
        assert closed == brute_force(x, y), (x, y)
        # The linear programme, reached with the columns swapped, agrees.
        assert (separating_direction(design[:, ::-1], y) is not None) == closed, (x, y)
        found[closed] += 1
    assert min(found.values()) > 50


def test_separated_data_are_reported_as_infinite_with_a_direction():
    data = pd.DataFrame({"choice": [1.0] * 8 + [0.0] * 8, "price": np.arange(30, 46.0)})
    with pytest.warns(SeparationWarning, match="const to \\+inf, price to -inf"):
        found = logit("choice ~ price", data)
    with pytest.warns(SeparationWarning, match="const to \\+inf, price to -inf"):
        logit("choice ~ price", data.assign(price=data["price"] * 1e10))
    assert found.separated and not found.converged
    assert found.params["price"] == -np.inf and found.bse["price"] == np.inf
    assert found.llf == pytest.approx(0, abs=1e-6)
    assert "SEPARATED" in found.summary()
    with pytest.raises(DesignError, match="no prediction"):
        found.predict()


@pytest.mark.parametrize(
    ("change", "formula", "message"),
    [
        ({"price": 35.0}, "belief ~ price", r"'price' has one value \(35\)"),
        ({"twice": lambda d: 2 * d["price"]}, "belief ~ price + twice", "collinear.*twice"),
        ({"belief": lambda d: d["belief"] + 1}, "belief ~ price", r"must lie in \[0, 1\]"),
        ({"belief": np.nan}, "belief ~ price", "400 rows have missing values"),
        ({"price": np.inf}, "belief ~ price", "'price' is infinite in row 0"),
        ({"price": "cheap"}, "belief ~ price", "one value|no level|cannot be read"),
        ({"belief": "much"}, "belief ~ price", "not numbers"),
        (
            {"price": lambda d: d["price"] - 35},
            "belief ~ log(price)",
            "logarithms need positive values",
        ),
        ({}, "belief ~ prise", r"no column 'prise' \(did you mean 'price'\?\)"),
        ({}, "belief ~ (", "cannot be read"),
    ],
)
def test_impossible_data_are_named(data, change, formula, message):
    with pytest.raises(DesignError, match=message):
        fraclogit(formula, data.assign(**change))


def test_impossible_covariances_are_named(data):
    with pytest.raises(UsageError, match="did you mean 'HC1'"):
        fraclogit("belief ~ price", data, vcov="HC11")
    with pytest.raises(DesignError, match="did you mean 'household'"):
        fraclogit("belief ~ price", data, vcov={"CRV1": "houshold"})
    with pytest.raises(DesignError, match="at least two clusters"):
        fraclogit("belief ~ price", data.assign(one=1), vcov={"CRV1": "one"})
    with pytest.raises(DesignError, match="not 0/1"):
        logit("belief ~ price", data)


def test_too_few_rows():
    with pytest.raises(DesignError, match="no rows"):
        fit(np.array([]), np.empty((0, 2)), ["const", "price"])
    with pytest.raises(DesignError, match="2 rows cannot fit 2"):
        fit(np.array([0.2, 0.7]), np.array([[1, 1.0], [1, 2.0]]), ["const", "price"])


@pytest.mark.parametrize("level", [1e-6, 1e-9, 1e-12])
def test_tiny_shares_are_fitted_as_exactly_as_large_ones(level):
    price = np.arange(30, 46.0)
    odds = level * np.exp(-0.1 * (price - 30))
    data = pd.DataFrame({"belief": odds / (1 + odds), "price": price})
    with pytest.warns(VarianceWarning, match="does not vary about the fit"):
        found = fraclogit("belief ~ price", data)
    assert found.converged
    assert found.params["price"] == pytest.approx(-0.1, rel=1e-8)


@pytest.mark.parametrize("shift", [1e5, 1e7, 1e9])
def test_a_shift_of_prices_changes_the_constant_alone(data, shift):
    plain = fraclogit("belief ~ price", data)
    moved = fraclogit("belief ~ price", data.assign(price=data["price"] + shift))
    assert moved.params["price"] == pytest.approx(plain.params["price"], rel=1e-7)
    assert moved.bse["price"] == pytest.approx(plain.bse["price"], rel=1e-7)


def test_one_constant_outcome_has_a_summary():
    data = pd.DataFrame({"choice": [1.0] * 6, "price": [1.0, 2, 3] * 2})
    with pytest.warns(SeparationWarning):
        found = logit("choice ~ price", data)
    assert "SEPARATED" in found.summary() and np.isnan(found.prsquared)


SEPARATED = pd.DataFrame({"price": np.arange(30, 46.0), "choice": [1.0] * 8 + [0.0] * 8})


def test_firth_on_separated_data_is_not_made_to_look_precise():
    found = logit("choice ~ price", SEPARATED, separation="firth")
    assert found.vcov == "iid" and found.bse["price"] == pytest.approx(0.4606, abs=1e-4)
    assert "conf_int(kind='profile')" in found.summary()
    low, high = found.conf_int(kind="profile").loc["price"]
    assert (low, high) == (pytest.approx(-5.357, abs=0.01), pytest.approx(-0.257, abs=0.001))
    with pytest.warns(VarianceWarning, match="look far too precise"):
        robust = logit("choice ~ price", SEPARATED, separation="firth", vcov="HC1")
    assert robust.bse["price"] < 0.2
    # With fractions there is no binomial information: robust stays the default.
    halves = SEPARATED.assign(choice=[0.9] * 8 + [0.2] * 8)
    assert fraclogit("choice ~ price", halves, separation="firth").vcov == "HC1"


def test_what_does_not_diverge_keeps_its_estimate():
    rng = np.random.default_rng(4)
    price = rng.choice(np.arange(1.0, 6.0), 80)
    choice = (rng.random(80) < 1 / (1 + np.exp(price - 3))).astype(float)
    data = pd.DataFrame({"price": price, "choice": choice, "who": np.arange(80) % 12})
    data["always"] = ((choice == 1) & (price == 3)).astype(float)
    rest = data[data["always"] == 0]
    for vcov in ("HC1", "iid", {"CRV1": "who"}):
        with pytest.warns(SeparationWarning, match=r"\(always to \+inf\)"):
            found = logit("choice ~ price + always", data, vcov=vcov)
        limit = logit("choice ~ price", rest, vcov=vcov)
        terms = ["const", "price"]
        np.testing.assert_allclose(found.params[terms], limit.params, rtol=1e-8)
        np.testing.assert_allclose(found.cov.loc[terms, terms], limit.cov, rtol=1e-7)
        np.testing.assert_allclose(found.conf_int().loc[terms], limit.conf_int(), rtol=1e-7)
        assert found.llf == pytest.approx(limit.llf, rel=1e-9)
        assert found.params["always"] == np.inf
        assert list(found.conf_int().loc["always"]) == [-np.inf, np.inf]
    # A constant that merges with an infinite one is not determined.
    with pytest.warns(SeparationWarning):
        apart = logit("choice ~ price", SEPARATED)
    assert apart.params.abs().eq(np.inf).all()


def test_likelihoods_are_not_asked_of_weights_or_clusters(data):
    weighted = data.assign(w=1.5)
    options = {"weights": "w", "weights_type": "sampling"}
    found = logit("choice ~ price", weighted, **options)
    assert "weights w (sampling)" in found.summary()
    clustered = logit("choice ~ price", data, vcov={"CRV1": "household"})
    for fit_, reason in ((found, "sampling weights"), (clustered, "clusters")):
        with pytest.raises(UsageError, match=reason):
            fit_.lr_test("price")
        with pytest.raises(UsageError, match=reason):
            fit_.conf_int(kind="profile")
    for wrong in ({"vcov": "iid"}, {"separation": "firth"}):
        with pytest.raises(UsageError, match="how much information there is"):
            logit("choice ~ price", weighted, **options, **wrong)
    # The scale of sampling weights is nobody's business.
    again = logit("choice ~ price", weighted.assign(w=150.0), **options)
    np.testing.assert_allclose(again.cov, found.cov, rtol=1e-9)
    plain = logit("choice ~ price", data)
    assert "p = " in str(plain.lr_test("price")) or "p <" in str(plain.lr_test("price"))
    with pytest.raises(UsageError, match="needs clusters, and the fit has none"):
        plain.score_bootstrap("price = 0")


def test_columns_as_they_come_from_elsewhere(data):
    from decimal import Decimal

    plain = logit("choice ~ price", data)
    decimals = data.assign(price=[Decimal(str(p)) for p in data["price"]])
    np.testing.assert_allclose(logit("choice ~ price", decimals).params, plain.params)
    some = data.assign(kind=pd.Categorical(["u", "v"] * 200, categories=["zz", "u", "v"]))
    assert list(logit("choice ~ kind", some).params.index) == ["const", "kind[T.v]"]
    rounded = data.assign(belief=np.where(data["choice"] == 1, 1 + 2.3e-16, 0.0))
    np.testing.assert_allclose(fraclogit("belief ~ price", rounded).params, plain.params)


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        ("choice ~ np.log(price - 30)", {}, "not finite in"),
        ("choice ~ np.exp(price * 1000)", {}, "not finite in 16 rows"),
        ("choice ~ price + 'x'", {}, "'x' stands for a term"),
        ("choice ~ __import__('os').getpid()", {}, "not of the language of formulas"),
        (7, {}, "give text"),
        ("choice ~ round(price)", {}, "marks prices that are multiples"),
        ("choice ~ price", {"weights": np.ones(400)}, "give the name of a column"),
        ("choice ~ price", {"weights": "income"}, "negative|no whole number"),
    ],
)
def test_formulas_and_options_of_the_wrong_kind(data, formula, options, message):
    with pytest.raises((DesignError, UsageError), match=message):
        logit(formula, data, **options)
    twice = pd.concat([data, data[["price"]]], axis=1)
    with pytest.raises(DesignError, match="'price' is in the data twice"):
        logit("choice ~ price", twice)
