"""Offsets: terms whose coefficient is fixed at 1, in every estimator and all that follows."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import llmdemand as ld
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.models.logit import fit


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(8)
    n = 600
    price = rng.choice(np.arange(30, 46.0), n)
    size = rng.choice([1.0, 2.0, 4.0], n)
    eta = -0.2 * (price - 37) + np.log(size)
    return pd.DataFrame(
        {
            "price": price,
            "size": size,
            "who": rng.integers(0, 40, n),
            "y": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int),
            "belief": 1 / (1 + np.exp(-eta - rng.standard_normal(n))),
        }
    )


@pytest.fixture(scope="module")
def long():
    rng = np.random.default_rng(9)
    n = 250
    frame = pd.DataFrame(
        {
            "case": np.repeat(np.arange(n), 3),
            "alternative": np.tile(["a", "b", "c"], n),
            "price": rng.choice(np.arange(30, 46.0), 3 * n),
            "size": rng.choice([1.0, 2.0, 4.0], 3 * n),
        }
    )
    u = -0.1 * frame["price"] + np.log(frame["size"]) + rng.gumbel(size=3 * n)
    frame["choice"] = (u == u.groupby(frame["case"]).transform("max")).astype(int)
    return frame


def _glm(data, outcome, **options):
    model = sm.GLM(
        data[outcome],
        sm.add_constant(data[["price"]]),
        family=sm.families.Binomial(),
        offset=np.log(data["size"]),
        **options,
    )
    return model.fit(tol=1e-14)


@pytest.mark.parametrize(("door", "outcome"), [(ld.logit, "y"), (ld.fraclogit, "belief")])
def test_as_statsmodels_has_it(data, door, outcome):
    ours = door(f"{outcome} ~ price + offset(log(size))", data, vcov="HC0")
    theirs = _glm(data, outcome)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-9)
    robust = theirs.model.fit(tol=1e-14, cov_type="HC0")
    np.testing.assert_allclose(ours.bse, robust.bse, rtol=1e-7)
    np.testing.assert_allclose(ours.predict(data), theirs.fittedvalues, rtol=1e-9)
    assert list(ours.params.index) == ["const", "price"]
    if outcome == "y":
        assert ours.llf == pytest.approx(theirs.llf, rel=1e-10)
        # The null model keeps the offset, as in statsmodels and R.
        assert ours.llnull == pytest.approx(theirs.llnull, rel=1e-10)
    back = ours.to_statsmodels()
    np.testing.assert_allclose(back.params, theirs.params, rtol=1e-8)


def test_arrays_and_rows(data):
    x = sm.add_constant(data[["price"]]).to_numpy()
    y, offset = data["y"].to_numpy(float), np.log(data["size"].to_numpy())
    by_array = fit(y, x, ["const", "price"], offset=offset)
    by_formula = ld.logit("y ~ price + offset(log(size))", data)
    np.testing.assert_allclose(by_array.params, by_formula.params, rtol=1e-9)
    np.testing.assert_allclose(by_array.cov, by_formula.cov, rtol=1e-7)
    assert by_array.llnull == pytest.approx(by_formula.llnull, rel=1e-10)
    np.testing.assert_allclose(by_array.predict(), by_formula.predict(data), rtol=1e-9)
    with pytest.raises(UsageError, match="says nothing of the offset"):
        by_array.predict(x)
    with pytest.raises(DesignError, match=r"offset has shape \(3,\)"):
        fit(y, x, ["const", "price"], offset=offset[:3])


def test_a_restricted_coefficient_is_an_offset(data):
    """The coefficient of an offset is 1: what a likelihood-ratio test of that value compares."""
    free = ld.logit("y ~ price + log(size)", data, vcov="iid")
    fixed = ld.logit("y ~ price + offset(log(size))", data, vcov="iid")
    low, high = free.conf_int(kind="profile").loc["log(size)"]
    assert low < 1 < high and fixed.llf < free.llf
    scaled = ld.logit("y ~ price + offset(log(size) * 0.37)", data)
    target = ld.logit("y ~ price + offset(0.37 * log(size))", data)
    np.testing.assert_allclose(scaled.params, target.params, rtol=1e-10)
    shifted = ld.logit("y ~ price + offset(log(size) + 5)", data)
    np.testing.assert_allclose(shifted.params, fixed.params - [5, 0], atol=1e-8)
    parts = ld.logit("y ~ price + offset(log(size)) + offset(0 * price)", data)
    np.testing.assert_allclose(parts.params, fixed.params, rtol=1e-10)
    known = ld.logit("y ~ price + offset(0.2 * price)", data)
    plain = ld.logit("y ~ price", data)
    np.testing.assert_allclose(known.params, plain.params - [0, 0.2], atol=1e-9)
    assert known.llf == pytest.approx(plain.llf, rel=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"separation": "firth", "vcov": "iid"},
        {"vcov": {"CRV1": "who"}},
        {"vcov": {"CRV3": "who"}},
        {"vcov": "HC3"},
        {"vcov": {"pairs": "who", "reps": 30, "seed": 1}},
    ],
    ids=str,
)
def test_covariances_know_the_offset(data, options):
    """An offset that is in the span of the regressors moves a coefficient and nothing else."""
    known = ld.logit("y ~ price + offset(0.2 * price)", data, **options)
    plain = ld.logit("y ~ price", data, **options)
    np.testing.assert_allclose(known.params, plain.params - [0, 0.2], atol=1e-7)
    np.testing.assert_allclose(known.cov, plain.cov, rtol=1e-5)


def test_alternatives(long):
    """A generic offset b0 x moves the coefficient of x by b0; an offset that varies is exp's."""
    plain = ld.clogit("choice ~ price", long)
    known = ld.clogit("choice ~ price + offset(-0.05 * price)", long)
    np.testing.assert_allclose(known.params, plain.params + np.array([0.05, 0, 0]), atol=1e-8)
    np.testing.assert_allclose(known.cov, plain.cov, rtol=1e-6)
    found = ld.clogit("choice ~ price + offset(log(size))", long)
    eta = found.params["price"] * long["price"] + np.log(long["size"])
    eta = eta + long["alternative"].map({"a": 0.0, "b": found.params["const:b"],
                                         "c": found.params["const:c"]})  # fmt: skip
    share = np.exp(eta) / np.exp(eta).groupby(long["case"]).transform("sum")
    np.testing.assert_allclose(found.predict(long), share, rtol=1e-10)
    # First-order conditions: observed and predicted totals agree.
    gap = (long["choice"] - share).groupby(long["alternative"]).sum()
    np.testing.assert_allclose(gap, 0, atol=1e-6)
    assert found.llf == pytest.approx(float(np.log(share[long["choice"] == 1]).sum()), rel=1e-12)
    unbalanced = long[~((long["case"] < 50) & (long["alternative"] == "c") & (long["choice"] == 0))]
    known = ld.clogit("choice ~ price + offset(-0.05 * price)", unbalanced)
    plain = ld.clogit("choice ~ price", unbalanced)
    np.testing.assert_allclose(known.params, plain.params + np.array([0.05, 0, 0]), atol=1e-8)
    constants = ld.clogit("choice ~ offset(log(size)) | 1", long)
    assert found.llnull == pytest.approx(constants.llf, rel=1e-9)


@pytest.mark.parametrize(
    ("door", "name", "arguments", "options"),
    [
        *(
            (door, name, (), {})
            for door in ("logit", "clogit")
            for name in ("elasticity", "marginal_effects", "shares", "diversion", "get_margeff")
        ),
        ("logit", "demand_curve", (), {}),
        ("logit", "optimal_price", (20,), {}),
        ("logit", "willingness_to_pay", (), {}),
        ("logit", "consumer_surplus", ({"y": 40},), {}),
        ("logit", "simulate", ({"y": 40},), {}),
        ("clogit", "optimal_price", (20,), {"alternative": "a"}),
        ("clogit", "willingness_to_pay", ("size",), {}),
        ("clogit", "consumer_surplus", ({"a": 40},), {}),
        ("clogit", "simulate", ({"a": 40},), {}),
    ],
)
def test_a_price_inside_an_offset_counts(data, long, door, name, arguments, options):
    """A part of the slope in an offset: every quantity is that of the whole slope."""
    frame, outcome = (data, "y") if door == "logit" else (long, "choice")
    right = "price" if door == "logit" else "price + size"
    plain = getattr(ld, door)(f"{outcome} ~ {right}", frame)
    known = getattr(ld, door)(f"{outcome} ~ {right} + offset(-0.05 * price)", frame)
    expected = getattr(plain, name)(*arguments, **options)
    found = getattr(known, name)(*arguments, **options)
    np.testing.assert_allclose(found.estimate, expected.estimate, rtol=1e-8)
    np.testing.assert_allclose(found.se, expected.se, rtol=1e-7, atol=1e-12)


def test_scores_and_folds_know_the_offset(data):
    plain = ld.logit("y ~ price", data)
    known = ld.logit("y ~ price + offset(0.2 * price)", data)
    assert known.scores().log_score == pytest.approx(plain.scores().log_score, rel=1e-10)
    assert known.scores(data).brier == pytest.approx(plain.scores(data).brier, rel=1e-10)
    folds = [
        ld.cross_validate(ld.logit, f, data, folds=5).log_score
        for f in ("y ~ price", "y ~ price + offset(0.2 * price)")
    ]
    assert folds[0] == pytest.approx(folds[1], rel=1e-9)
    added = known.score_test("log(size)", data)
    assert added.statistic == pytest.approx(plain.score_test("log(size)", data).statistic, rel=1e-7)


def test_predictions_need_the_columns_of_the_offset(data):
    """Predictions that leave the offset out are wrong without a word: fixest 309."""
    found = ld.logit("y ~ price + offset(log(size))", data)
    with pytest.raises(DesignError, match="no column 'size'"):
        found.predict(data[["price"]])
    twice = found.predict(data.assign(size=2 * data["size"]))
    once = found.predict(data)
    np.testing.assert_allclose(twice / (1 - twice), 2 * once / (1 - once), rtol=1e-10)
    assert "offset(log(size)): the coefficient is fixed at 1" in found.summary()


@pytest.mark.parametrize(
    ("door", "formula", "message"),
    [
        ("logit", "y ~ price + offset(size) + offset(size)", "there twice"),
        ("logit", "y ~ price * offset(size)", "add it to the terms"),
        ("logit", "y ~ offset(size):price", "add it to the terms"),
        ("logit", "y ~ price + I(offset(size))", "add it to the terms"),
        ("logit", "y ~ price - offset(size)", "add it to the terms"),
        ("logit", "y ~ 0 + offset(size)", "no regressors are left"),
        ("logit", "y ~ price + offset(kind)", "computes with 'kind', which is text"),
        ("logit", "y ~ price + offset(log(0 * size))", "log of 0"),
        ("mnlogit", "kind ~ price + offset(size)", "use clogit"),
        ("clogit", "choice ~ price | offset(size)", "an offset belongs to the first part"),
        ("clogit", "choice ~ price | 0 | price + offset(size)", "belongs to the first part"),
    ],
)
def test_offsets_that_mean_nothing(data, long, door, formula, message):
    frame = long if door == "clogit" else data.assign(kind=np.array(list("xyz"))[data["who"] % 3])
    with pytest.raises(DesignError, match=message):
        getattr(ld, door)(formula, frame)


def test_models_with_other_offsets_are_not_nested(data):
    small = ld.logit("y ~ price + offset(log(size))", data, vcov="iid")
    large = ld.logit("y ~ price + size", data, vcov="iid")
    with pytest.raises(DesignError, match="other offsets"):
        ld.lr_test(small, large)
