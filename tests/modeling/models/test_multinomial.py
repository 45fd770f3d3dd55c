"""Models of several alternatives against statsmodels, each other, and their own derivatives."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.estimation.estimate import SeparationWarning, VarianceWarning
from llmdemand.modeling.models.logit import fraclogit
from llmdemand.modeling.models.multinomial import clogit, mnlogit

pytestmark = pytest.mark.numbers

ALTERNATIVES = ["bus", "car", "train"]


@pytest.fixture(scope="module")
def trips():
    """400 cases of three alternatives; one in five has no train."""
    rng = np.random.default_rng(8)
    n = 400
    long = pd.DataFrame(
        {
            "case": np.repeat(np.arange(n), 3),
            "alternative": np.tile(ALTERNATIVES, n),
            "price": rng.uniform(1, 5, 3 * n),
            "time": rng.uniform(10, 60, 3 * n),
            "income": np.repeat(rng.normal(3, 1, n), 3),
            "household": np.repeat(rng.integers(0, 30, n), 3),
        }
    )
    constant = long["alternative"].map({"bus": 0.0, "car": 1.0, "train": 0.5})
    utility = constant - 0.8 * long["price"] - 0.03 * long["time"]
    utility += 0.3 * long["income"] * (long["alternative"] == "car")
    long["open"] = 1 - ((long["case"] % 5 == 0) & (long["alternative"] == "train")).astype(int)
    noisy = utility + rng.gumbel(size=len(long)) - 1e9 * (1 - long["open"])
    best = noisy.groupby(long["case"]).transform("max")
    long["choice"] = (noisy == best).astype(int)
    weight = np.exp(utility) * long["open"]
    long["belief"] = weight / weight.groupby(long["case"]).transform("sum")
    return long


def wide(trips):
    chosen = trips[trips["choice"] == 1].set_index("case")
    return chosen[["alternative", "income", "household"]].reset_index()


def test_multinomial_equals_statsmodels(trips):
    frame = wide(trips)
    ours = mnlogit("alternative ~ income", frame, vcov="iid")
    theirs = sm.MNLogit(
        pd.Categorical(frame["alternative"]).codes, sm.add_constant(frame[["income"]])
    ).fit(disp=0, method="newton", tol=1e-14)
    np.testing.assert_allclose(ours.params, theirs.params.to_numpy().T.ravel(), rtol=1e-8)
    np.testing.assert_allclose(ours.bse, theirs.bse.to_numpy().T.ravel(), rtol=1e-8)
    for name in ("llf", "llnull", "aic", "prsquared"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-7), name
    np.testing.assert_allclose(ours.predict(frame), theirs.predict(), atol=1e-9)


def test_multinomial_clusters_equal_statsmodels(trips):
    frame = wide(trips)
    ours = mnlogit("alternative ~ income", frame, vcov={"CRV1": "household"}, ssc="none")
    model = sm.MNLogit(
        pd.Categorical(frame["alternative"]).codes, sm.add_constant(frame[["income"]])
    )
    theirs = model.fit(
        disp=0,
        method="newton",
        cov_type="cluster",
        cov_kwds={"groups": frame["household"].to_numpy(), "use_correction": False},
    )
    np.testing.assert_allclose(ours.cov, theirs.cov_params(), rtol=1e-6)


def test_conditional_equals_statsmodels(trips):
    ours = clogit("choice ~ price + time | 0", trips, vcov="iid")
    theirs = sm.ConditionalLogit(
        trips["choice"], trips[["price", "time"]], groups=trips["case"]
    ).fit(method="newton", disp=0)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-7)
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-6)
    assert ours.llf == pytest.approx(theirs.llf, rel=1e-9)


def test_regressors_of_the_case_alone_are_the_multinomial_logit(trips):
    conditional = clogit("choice ~ 0 | income", trips, base="bus")
    multinomial = mnlogit("alternative ~ income", wide(trips), base="bus")
    for term in multinomial.params.index:
        assert conditional.params[term] == pytest.approx(multinomial.params[term], rel=1e-8)
        assert conditional.bse[term] == pytest.approx(multinomial.bse[term], rel=1e-7)
    assert conditional.llnull == pytest.approx(multinomial.llnull)


def test_two_alternatives_are_the_binary_logit(trips):
    pair = trips[trips["alternative"] != "train"]
    pair = pair.assign(belief=pair["belief"] / pair.groupby("case")["belief"].transform("sum"))
    conditional = clogit("belief ~ price | income", pair, base="bus", vcov={"CRV1": "household"})
    car, bus = (pair[pair["alternative"] == a].reset_index() for a in ("car", "bus"))
    frame = car.assign(difference=car["price"] - bus["price"])
    binary = fraclogit("belief ~ difference + income", frame, vcov={"CRV1": "household"})
    np.testing.assert_allclose(
        conditional.params[["const:car", "price", "income:car"]], binary.params, rtol=1e-8
    )
    np.testing.assert_allclose(
        conditional.bse[["const:car", "price", "income:car"]], binary.bse, rtol=1e-7
    )
    assert conditional.llnull == pytest.approx(binary.llnull)


def test_exact_shares_give_the_truth_back(trips):
    open_ = trips[trips["open"] == 1]
    with pytest.warns(VarianceWarning, match="belief does not vary about the fit"):
        found = clogit("belief ~ price + time | income", open_, base="bus")
    assert (found.bse == 0).all() and found.tvalues.isna().all() and found.pvalues.isna().all()
    assert found.params["price"] == pytest.approx(-0.8, abs=1e-8)
    assert found.params["time"] == pytest.approx(-0.03, abs=1e-9)
    assert found.params["income:car"] == pytest.approx(0.3, abs=1e-8)
    np.testing.assert_allclose(found.predict(), open_["belief"], atol=1e-9)
    with pytest.warns(VarianceWarning):
        both = clogit("belief ~ price + time | income", trips, base="bus", availability="open")
    np.testing.assert_allclose(both.params, found.params, rtol=1e-12)


def test_row_order_does_not_matter(trips):
    shuffled = trips.sample(frac=1, random_state=0)
    a = clogit("choice ~ price | income | time", trips, vcov={"CRV1": "household"})
    b = clogit("choice ~ price | income | time", shuffled, vcov={"CRV1": "household"})
    assert list(a.params.index)[-3:] == ["time:bus", "time:car", "time:train"]
    np.testing.assert_allclose(a.params, b.params, rtol=1e-9)
    np.testing.assert_allclose(a.cov, b.cov, rtol=1e-8)


def test_fractional_vectors_are_columns(trips):
    complete = trips[trips.groupby("case")["open"].transform("min") == 1]
    shares = complete.pivot(index="case", columns="alternative", values="belief").reset_index()
    shares = shares.merge(wide(trips)[["case", "income"]], on="case")
    found = mnlogit("bus + car + train ~ income", shares)
    assert found.fractional and "quasi" in found.summary()
    assert found.params.index[0] == "const:car"
    # Moment conditions of the quasi-likelihood: mean shares are fitted exactly.
    np.testing.assert_allclose(found.predict().mean(axis=0), shares[ALTERNATIVES].mean(), atol=1e-9)


def test_derivatives_equal_numerical_ones(trips):
    data = clogit("choice ~ price | income", trips, availability="open").data
    rng = np.random.default_rng(0)
    b = rng.normal(0, 0.3, data.size)
    step = 1e-5
    numeric = np.array(
        [(data.llf(b + step * e) - data.llf(b - step * e)) / (2 * step) for e in np.eye(data.size)]
    )
    np.testing.assert_allclose(data.scores(b).sum(axis=0), numeric, rtol=1e-5, atol=1e-5)
    hessian = np.array(
        [
            (data.scores(b - step * e).sum(0) - data.scores(b + step * e).sum(0)) / (2 * step)
            for e in np.eye(data.size)
        ]
    )
    np.testing.assert_allclose(data.information(b), hessian, rtol=1e-5, atol=1e-5)
    half = lambda c: np.linalg.slogdet(data.information(c))[1] / 2  # noqa: E731
    penalty = [(half(b + step * e) - half(b - step * e)) / (2 * step) for e in np.eye(data.size)]
    inverse = np.linalg.inv(data.information(b))
    np.testing.assert_allclose(data.penalty_score(b, inverse), penalty, rtol=1e-5, atol=1e-6)


def test_null_likelihood_of_unbalanced_choice_sets(trips):
    found = clogit("choice ~ price", trips, availability="open")
    constants = clogit("choice ~ 0 | 1", trips, availability="open")
    assert found.llnull == pytest.approx(constants.llf, rel=1e-10)
    assert constants.prsquared == pytest.approx(0, abs=1e-9)


def test_weights_count_cases(trips):
    doubled = pd.concat([trips, trips.assign(case=trips["case"] + 1000)])
    a = clogit("choice ~ price", trips.assign(w=2.0), weights="w")
    b = clogit("choice ~ price", doubled)
    np.testing.assert_allclose(a.params, b.params, rtol=1e-9)
    np.testing.assert_allclose(a.cov, b.cov, rtol=1e-8)
    assert a.nobs == b.nobs == 800


def test_separated_choices_say_so(trips):
    always = trips.assign(choice=(trips["alternative"] == "car").astype(int))
    with pytest.warns(SeparationWarning, match="const:car to"):
        found = clogit("choice ~ 0 | 1", always, base="bus")
    assert found.separated and found.llf == pytest.approx(0, abs=1e-8)
    firth = clogit("choice ~ 0 | 1", always, base="bus", separation="firth")
    assert np.isfinite(firth.params).all() and firth.params["const:car"] > 3


@pytest.mark.parametrize(
    ("change", "formula", "options", "message"),
    [
        ({}, "choice ~ price", {"case": "trip"}, "no column 'trip' of cases"),
        ({}, "choice ~ price", {"alternative": "mode"}, "of alternatives"),
        ({}, "choice ~ price", {"base": "trian"}, "did you mean 'train'"),
        ({}, "choice ~ price + income", {}, "cancels; put regressors of the case after a bar"),
        ({}, "choice ~ price | time", {}, "'time' varies within case 0"),
        ({}, "choice ~ price | income | time | 1", {}, "4 parts"),
        ({"choice": 1}, "choice ~ price", {}, "sum to 3 .*nothing is renormalised"),
        ({"choice": 0.3}, "choice ~ price", {}, "sum to 0.9"),
        ({"alternative": "bus"}, "choice ~ price", {}, "'?bus'? twice"),
        ({"price": np.nan}, "choice ~ price", {}, "missing values in 'price'"),
        ({"price": np.nan}, "choice ~ price", {"na": "drop"}, "no rows"),
        ({"open": 2}, "choice ~ price", {"availability": "open"}, "must be 0 or 1"),
        ({"open": 0}, "choice ~ price", {"availability": "open"}, "no rows"),
        ({"w": -1}, "choice ~ price", {"weights": "w"}, "negative"),
        ({"twice": lambda d: 2 * d["price"]}, "choice ~ price + twice", {}, "collinear.*'twice'"),
        ({"price": 3.0}, "choice ~ price", {}, "'price' is the same for all alternatives"),
    ],
)
def test_impossible_choices_are_named(trips, change, formula, options, message):
    with pytest.raises((DesignError, UsageError), match=message):
        clogit(formula, trips.assign(**change), **options)


def test_rows_without_cases_are_one_choice_set_or_refused(trips):
    found = clogit("choice ~ price", trips)
    one = trips.iloc[:3].drop(columns="case")
    assert found.predict(one).sum() == pytest.approx(1)
    with pytest.raises(DesignError, match="twice and no column 'case'"):
        found.predict(trips.iloc[:6].drop(columns="case"))
    with pytest.raises(DesignError, match=r"\| 0"):
        clogit("choice ~ price - 1", trips)
    with pytest.raises(DesignError, match="whole numbers"):
        clogit("choice ~ price", trips.assign(w=0.5), weights="w")


def test_a_chosen_alternative_must_be_available(trips):
    closed = trips.assign(open=1 - trips["choice"])
    with pytest.raises(DesignError, match="sum to 0"):
        clogit("choice ~ price", closed, availability="open")


def test_cases_leave_whole(trips):
    holed = trips.assign(price=trips["price"].where(trips.index != 4))
    found = clogit("choice ~ price", holed, na="drop")
    assert (found.nobs, found.dropped) == (399, 3)


@pytest.mark.parametrize(
    ("change", "formula", "options", "message"),
    [
        ({}, "mode ~ income", {}, "no column 'mode'"),
        ({"alternative": "bus"}, "alternative ~ income", {}, "has one value"),
        ({"income": 3.0}, "alternative ~ income", {}, r"'income' has one value \(3\)"),
        ({}, "alternative ~ income | 1", {}, "are for clogit"),
        ({"a": 0.5, "b": 0.6}, "a + b ~ income", {}, "sum to 1.1"),
        ({"a": 1.5, "b": -0.5}, "a + b ~ income", {}, r"must lie in \[0, 1\]"),
        ({"alternative": 0.5}, "alternative ~ income", {}, "holds fractions"),
        ({"alternative": range(400)}, "alternative ~ income", {}, "has 400 values"),
        ({}, "alternative ~ income", {"base": "tram"}, "did you mean 'train'"),
    ],
)
def test_impossible_multinomials_are_named(trips, change, formula, options, message):
    with pytest.raises((DesignError, UsageError), match=message):
        mnlogit(formula, wide(trips).assign(**change), **options)
