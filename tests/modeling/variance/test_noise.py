"""Directions without noise: found in any model and covariance, and only where there is none."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmdemand.errors import DesignError
from llmdemand.modeling.estimation.estimate import VarianceWarning
from llmdemand.modeling.inference.score_tests import score_test
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.models.demand import fit_demand
from llmdemand.modeling.models.logit import fraclogit, logit
from llmdemand.modeling.models.multinomial import clogit, mnlogit
from llmdemand.modeling.variance.estimated import CovarianceWarning
from llmdemand.modeling.variance.score_bootstrap import score_bootstrap

pytestmark = pytest.mark.numbers

VCOVS = ["HC0", "HC1", "HC2", "HC3", {"CRV1": "home"}, {"CRV1": "home+week"}, {"CRV3": "home"}]
VCOVS += [{"within": "home"}, {"score": "home"}, {"pairs": "home"}, {"pairs": None, "reps": 50}]


def shares(seed=0, rows=120, ratio=4.0, noise=0.0, decimals=None):
    """Three fractions; b and c in a fixed proportion but for noise in log-probabilities."""
    rng = np.random.default_rng(seed)
    price = rng.uniform(1, 5, rows)
    a = 1 / (1 + np.exp(price - 3 + rng.normal(0, 0.4, rows)))
    logs = np.log([a, (1 - a) * ratio / (1 + ratio), (1 - a) / (1 + ratio)])
    logs += noise * rng.standard_normal((3, rows))
    p = np.exp(logs if decimals is None else logs.round(decimals))
    p = p / p.sum(axis=0)
    home, week = np.arange(rows) % 12, np.arange(rows) // 12
    return pd.DataFrame(
        {"b": p[1], "a": p[0], "c": p[2], "price": price, "home": home, "week": week}
    )


def model(data, vcov="HC1", base="b"):
    if vcov == {"pairs": None, "reps": 50}:
        vcov = "pairs"
    return mnlogit("b + a + c ~ price", data, vcov=vcov, base=base)


@pytest.mark.parametrize("vcov", VCOVS, ids=str)
@pytest.mark.parametrize("decimals", [None, 6])
@pytest.mark.filterwarnings(f"ignore::{CovarianceWarning.__module__}.CovarianceWarning")
def test_proportional_shares_have_no_standard_error_in_any_covariance(vcov, decimals):
    found = model(shares(decimals=decimals), vcov)
    still, moving = ["const:c", "price:c"], ["const:a", "price:a"]
    assert (found.bse[still] == 0).all() and (found.bse[moving] > 1e-3).all()
    assert found.tvalues[still].isna().all() and found.pvalues[still].isna().all()
    assert found.tvalues[moving].notna().all()
    assert "do not vary about the fit in const:c, price:c:" in found.summary()


def test_a_difference_of_coefficients_is_named_where_no_single_one_is_without_noise():
    found = model(shares(), base="a")
    assert (found.bse > 1e-3).all()
    assert "in const:b - const:c, price:b - price:c:" in found.notes[-1]
    with pytest.raises(DesignError, match=r"in price:b - price:c, .* 2 restrictions 1 can be"):
        found.wald_test("price:b = 0, price:c = 0")
    with pytest.raises(DesignError, match="no test: the data do not vary"):
        found.wald_test("price:b = price:c")
    assert found.wald_test("price:b = 0").statistic == pytest.approx(found.tvalues["price:b"] ** 2)


def test_every_test_refuses():
    found = model(shares(), {"CRV1": "home"})
    refused = "no test: the data do not vary about the fit in price:c"
    for hypothesis in ("price:c = 0", "price:a = 0, price:c = 0", "price:c - 3 * const:c = 1"):
        with pytest.raises(DesignError, match="no test: the data do not vary"):
            found.wald_test(hypothesis)
    with pytest.raises(DesignError, match=refused):
        found.score_bootstrap("price:c = 0")
    with pytest.raises(DesignError, match=refused):
        found.score_interval("price:c")
    with pytest.raises(DesignError, match="no test: the data do not vary"):
        score_test(mnlogit("b + a + c ~ 1", shares(), vcov={"CRV1": "home"}), "price", shares())


def test_quantities_say_why_they_have_no_width(synthetic_panel):
    found = fit_demand(synthetic_panel, "belief", model="mnlogit")
    flow = found.diversion(at={"pampers": 35})
    assert (flow.table["se"] == 0).all() and (flow.table["lower"] == flow.table["upper"]).all()
    assert "because the data hold no noise there" in str(flow)
    share = found.shares(at={"pampers": 35})
    assert (share.table["se"] > 1e-4).all() and "no noise" not in str(share)


def test_a_score_bootstrap_of_several_restrictions_drops_none_in_silence():
    data = shares()
    found = model(data, {"CRV1": "home"})
    params = found.params.to_numpy()
    with pytest.raises(DesignError, match="of 2 restrictions 1 can be tested"):
        score_bootstrap(found.data, np.eye(4)[[1, 3]], params[[1, 3]], "home")


def test_sums_by_cluster_that_vanish_are_told_apart_from_data_without_noise():
    # A constant for each home: the scores of a home sum to zero, its observations vary.
    data = shares()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fraclogit("a ~ C(home)", data, vcov={"CRV1": "home"})
    assert (found.bse == 0).all() and found.tvalues.isna().all()
    assert "the scores do not vary once summed by 'home' in const" in found.notes[-1]
    assert (fraclogit("a ~ C(home)", data).bse > 1e-3).all()


def test_robust_scores_of_choices_may_have_no_noise_where_the_likelihood_has_information():
    # The middle one of three is always chosen: every score is zero at b = 0.
    rows = 40
    data = pd.DataFrame(
        {
            "case": np.repeat(np.arange(rows), 3),
            "alternative": list("abc") * rows,
            "x": np.tile([-1.0, 0.0, 1.0], rows),
            "chosen": np.tile([0, 1, 0], rows),
        }
    )
    with pytest.warns(VarianceWarning, match="does not vary about the fit"):
        found = clogit("chosen ~ x | 0", data)
    assert found.bse["x"] == 0 and np.isnan(found.pvalues["x"])
    iid = clogit("chosen ~ x | 0", data, vcov="iid")
    assert iid.bse["x"] == pytest.approx(1 / np.sqrt(rows * 2 / 3)) and not iid.quiet


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(60, 300), st.floats(0.01, 100))
@example(0, 60, 1.0)
def test_noise_of_a_millionth_is_noise_and_proportions_never_are(seed, rows, ratio):
    assert not model(shares(seed, rows, ratio, noise=1e-6)).quiet
    for decimals in (None, 6):
        (quiet,) = model(shares(seed, rows, ratio, decimals=decimals)).quiet
        assert quiet.named(["const:a", "price:a", "const:c", "price:c"]) == ("const:c", "price:c")


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([1e-8, 1e8]), st.sampled_from([0.0, 1e-6]))
def test_units_of_regressors_and_weights_change_nothing(seed, unit, noise):
    data = shares(seed, noise=noise)
    plain = model(data)
    scaled = model(data.assign(price=data["price"] * unit))
    heavy = mnlogit(
        "b + a + c ~ price", data.assign(w=unit), base="b", weights="w", weights_type="sampling"
    )
    assert [q.named(list(plain.params.index)) for q in plain.quiet] == [
        q.named(list(plain.params.index)) for q in scaled.quiet
    ]
    assert len(heavy.quiet) == len(plain.quiet) == (0 if noise else 1)
    factor = np.array([1, unit, 1, unit])
    np.testing.assert_allclose(scaled.bse * factor, plain.bse, rtol=1e-2 if noise else 1e-5)


@pytest.mark.parametrize("level", [1e-12, 1e-6, 0.5, 1 - 1e-6, 1 - 1e-8])
def test_small_and_large_shares_alike(level):
    rng = np.random.default_rng(1)
    price = np.arange(30, 46.0)
    odds = level / (1 - level) * np.exp(-0.1 * (price - 30))
    exact = pd.DataFrame({"y": odds / (1 + odds), "price": price})
    with pytest.warns(VarianceWarning):
        assert (fraclogit("y ~ price", exact).bse == 0).all()
    odds = odds * np.exp(1e-3 * rng.standard_normal(16))
    found = fraclogit("y ~ price", exact.assign(y=odds / (1 + odds)))
    assert not found.quiet and found.bse["price"] > 1e-6


def test_choices_are_never_without_noise():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"y": rng.integers(0, 2, 80), "price": rng.uniform(1, 5, 80)})
    data["home"] = np.arange(80) % 10
    for vcov in ("iid", "HC1", "HC3", {"CRV1": "home"}, {"CRV3": "home"}):
        assert not logit("y ~ price", data, vcov=vcov).quiet


@pytest.mark.parametrize("kind", ["cells", "cases"])
def test_rounding_is_the_covariance_of_scores_under_errors_of_log_probabilities(kind):
    """Against simulated errors of size 1e-3 in the logarithms of both probabilities."""
    rng = np.random.default_rng(3)
    x = np.column_stack([np.ones(5), rng.normal(size=5)])
    b, weight = np.array([0.3, -0.8]), rng.uniform(1, 2, 5)
    mu = 1 / (1 + np.exp(-x @ b))
    total = np.zeros((2, 2))
    for _ in range(20_000):
        p = np.stack([mu, 1 - mu]) * np.exp(1e-3 * rng.standard_normal((2, 5)))
        s = (weight * (p[0] / p.sum(axis=0) - mu)) @ x / 1e-3
        total += np.outer(s, s) / 20_000
    one = np.ones(5)
    if kind == "cells":
        data = Cells(x, one, mu, 0 * one, weight)
    else:
        wide = np.stack([x, 0 * x], axis=1).reshape(10, 2)
        y = np.stack([mu, 1 - mu], axis=1).ravel()
        data = Cases(wide, y, np.arange(0, 10, 2), one, weight)
    np.testing.assert_allclose(data.rounding(b), total, rtol=0.1, atol=0.02)


def test_t_tests_refuse_a_direction_without_noise_by_its_name():
    rng = np.random.default_rng(3)
    price = rng.uniform(1, 5, 200)
    share = 1 / (1 + np.exp(price - 3))
    frame = pd.DataFrame({"price": price, "share": share})
    with pytest.warns(VarianceWarning):
        fit = fraclogit("share ~ price", frame)
    with pytest.raises(DesignError, match=r"no test: .* in"):
        fit.t_test("price = -1")
