"""Predictions keep the caller's index; their standard errors are statsmodels' and the truth's."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from llmdemand import clogit, fraclogit, logit, mnlogit
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.models.logit import fit


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(12)
    n = 300
    frame = pd.DataFrame({"price": rng.uniform(1, 4, n), "income": rng.normal(size=n)})
    u = np.column_stack([np.zeros(n), 2 - frame["price"], 1 + frame["income"] - frame["price"]])
    best = (u + rng.gumbel(size=(n, 3))).argmax(axis=1)
    return frame.assign(buy=(best == 1) * 1.0, brand=np.array(["none", "own", "rival"])[best])


@pytest.fixture(scope="module")
def market(people):
    n = len(people)
    rng = np.random.default_rng(13)
    long = pd.DataFrame(
        {
            "case": np.tile(np.arange(n), 3),
            "alternative": np.repeat(["none", "own", "rival"], n),
            "price": np.concatenate([np.zeros(n), people["price"], rng.uniform(1, 4, n)]),
            "income": np.tile(people["income"], 3),
        }
    )
    u = -long["price"] + rng.gumbel(size=3 * n)
    return long.assign(choice=(u.groupby(long["case"]).transform("max") == u) * 1.0)


def by_differences(model, rows, alpha=0.05):
    """Delta method on the log-odds, derivatives from refits of nothing but shifted coefficients."""
    from dataclasses import replace

    def odds(params):
        p = np.asarray(replace(model, params=params).predict(rows)).ravel()
        return np.log(p / (1 - p)), p

    middle, p = odds(model.params)
    slope = []
    for term, value in model.params.items():
        h = 1e-4 * max(1, abs(value))
        up, down = (odds(model.params + s * h * (model.params.index == term))[0] for s in (1, -1))
        slope.append((up - down) / (2 * h))
    slope = np.array(slope)
    se = np.sqrt(np.einsum("kr,kl,lr->r", slope, model.cov.to_numpy(), slope))
    half = stats.t.ppf(1 - alpha / 2, model.df) * se
    bounds = [1 / (1 + np.exp(-(middle + s * half))) for s in (-1, 1)]
    return np.column_stack([p, p * (1 - p) * se, *bounds])


def test_a_binary_prediction_has_the_standard_error_of_statsmodels(people):
    ours = logit("buy ~ price + income", people, vcov="iid")
    design = sm.add_constant(people[["price", "income"]])
    theirs = sm.GLM(people["buy"], design, family=sm.families.Binomial()).fit(tol=1e-12)
    frame = theirs.get_prediction(design).summary_frame(alpha=0.1)
    named = people.set_axis([f"person {k}" for k in range(len(people))])
    found = ours.predict(named, se=True, alpha=0.1)
    assert list(found) == ["predicted", "se", "lower", "upper"]
    assert found.index.equals(named.index)
    np.testing.assert_allclose(found, frame, rtol=1e-6)
    # A coefficient of HC1 and another law: the same formula with the fit's own.
    few = logit("buy ~ price", people.assign(g=np.arange(300) % 6), vcov={"CRV1": "g"})
    assert few.df == 5
    np.testing.assert_allclose(few.predict(people, se=True), by_differences(few, people), rtol=1e-6)


@pytest.mark.parametrize("kind", ["multinomial", "conditional"])
def test_errors_of_several_alternatives_are_those_of_numerical_derivatives(people, market, kind):
    if kind == "multinomial":
        model, rows = mnlogit("brand ~ price + income", people), people.iloc[:40]
    else:
        # Unbalanced, stacked by alternative.
        some = market[market["case"] < 40]
        model, rows = clogit("choice ~ price | income", market), some[some.index % 7 > 0]
    found = model.predict(rows, se=True)
    np.testing.assert_allclose(found, by_differences(model, rows), rtol=1e-6)
    assert ((found["lower"] > 0) & (found["upper"] < 1)).all()
    np.testing.assert_allclose(np.asarray(model.predict(rows)).ravel(), found["predicted"])


def test_certain_alternatives_have_no_error(market):
    model = clogit("choice ~ price", market)
    alone = market.iloc[:1]
    np.testing.assert_array_equal(model.predict(alone, se=True), [[1, 0, 1, 1]])
    # 1 - p is far below the rounding of 1: the bounds of p / (1 - p) are right still.
    apart = market[market["case"] == 0].assign(price=[0.0, 60.0, 60.0])
    found = model.predict(apart, se=True).to_numpy()
    rivals = found[1:, 1].sum()  # both move by the common price, nearly
    assert 1e-40 < found[0, 1] <= rivals * (1 + 1e-9)


def test_what_predictions_are_called(people, market):
    labelled = people.iloc[[5, 3]].set_axis(["x", "y"])
    found = logit("buy ~ price", people).predict(labelled)
    assert isinstance(found, pd.Series) and list(found.index) == ["x", "y"]
    model = mnlogit("brand ~ price", people)
    wide = model.predict(labelled)
    assert list(wide) == ["none", "own", "rival"] and list(wide.index) == ["x", "y"]
    np.testing.assert_allclose(wide.sum(axis=1), 1)
    long = model.predict(labelled, se=True)
    assert long.index.names == [None, "alternative"]
    np.testing.assert_array_equal(long["predicted"].unstack()[list(wide)].loc[["x", "y"]], wide)
    chosen = clogit("choice ~ price", market).predict(market)
    assert chosen.index.names == ["case", "alternative"]
    assert chosen.loc[(7, "own")] == chosen.iloc[300 + 7]
    # The sample: equal rows are one.
    assert len(logit("buy ~ 1", people).predict()) == 1


def test_arrays_give_arrays(people):
    x = np.column_stack([np.ones(300), people["price"]])
    model = fit(people["buy"].to_numpy(), x, ["const", "price"])
    named = logit("buy ~ price", people)
    for found in (model.predict(x), model.predict(), named.predict(x)):
        assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(model.predict(x), named.predict(people), rtol=1e-8)
    np.testing.assert_allclose(model.predict(x, se=True), named.predict(people, se=True), rtol=1e-6)


def test_missing_values_are_refused_or_come_back(people, market):
    model = logit("buy ~ price + income", people)
    holed = people.iloc[:4].assign(price=[1.0, np.nan, 2.0, 3.0])
    with pytest.raises(DesignError, match=r"'price' is missing in 1 of 4 rows .* row 1"):
        model.predict(holed)
    found = model.predict(holed, na="drop")
    assert found.isna().tolist() == [False, True, False, False]
    np.testing.assert_array_equal(found.dropna(), model.predict(holed.dropna()))
    assert model.predict(holed, se=True, na="drop").isna().all(axis=1).tolist() == [
        *[False, True, False, False]
    ]
    wide = mnlogit("brand ~ price", people).predict(holed, na="drop")
    assert wide.isna().all(axis=1).tolist() == [False, True, False, False]
    # The other alternatives of the case: its choice set is not known.
    stacked = market[market["case"] < 3].reset_index(drop=True)
    stacked.loc[4, "price"] = np.nan
    found = clogit("choice ~ price", market).predict(stacked, na="drop")
    assert found[found.isna()].index.get_level_values("case").tolist() == [1, 1, 1]
    with pytest.raises(UsageError, match="every row"):
        model.predict(people.assign(price=np.nan), na="drop")


def test_what_cannot_be_predicted_is_said(people):
    model = fraclogit("buy ~ price + income", people)
    for rows, message in [
        (people.drop(columns="price"), "no column 'price'"),
        (people.assign(price="a"), "'price' is of another kind .* finite numbers"),
        (people.assign(price=np.inf), "'price' must hold finite numbers"),
        (people.iloc[:0], "no rows"),
    ]:
        with pytest.raises((DesignError, UsageError), match=message):
            model.predict(rows)
    for options in ({"alpha": 1.5}, {"na": "omit"}):
        with pytest.raises(UsageError):
            model.predict(people, **options)
    with pytest.raises(UsageError, match="give a table"):
        model.predict([1, 2])
