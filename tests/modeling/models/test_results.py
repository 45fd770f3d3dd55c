"""What statsmodels' users ask of a fit: their names, their numbers."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from llmdemand import clogit, fraclogit, logit, mnlogit
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.estimation.estimate import SeparationWarning
from llmdemand.modeling.models.logit import fit


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(11)
    n = 240
    price = rng.choice([1.0, 2, 3, 4], n)
    old = rng.integers(0, 2, n)
    p = 1 / (1 + np.exp(0.8 * (price - 2.5) - 0.5 * old))
    belief = rng.beta(4 * p, 4 * (1 - p))
    belief[:20] = np.where(belief[:20] > 0.5, 1.0, 0.0)
    return pd.DataFrame(
        {
            "price": price,
            "old": old,
            "belief": belief,
            "choice": (rng.random(n) < p).astype(float),
            "mode": rng.choice(list("abc"), n),
            "home": rng.integers(0, 20, n),
        }
    )


@pytest.fixture(scope="module")
def x(data):
    return sm.add_constant(data[["price", "old"]])


@pytest.fixture(scope="module")
def choice(data):
    return logit("choice ~ price + old", data, vcov="iid")


@pytest.fixture(scope="module")
def sm_logit(data, x):
    return sm.Logit(data["choice"], x).fit(disp=0)


def test_numbers_of_the_fit_equal_statsmodels_logit(choice, sm_logit):
    for name in ("df_model", "df_resid", "llr", "llr_pvalue", "nobs"):
        assert getattr(choice, name) == pytest.approx(getattr(sm_logit, name), rel=1e-9), name
    for threshold in (0.3, 0.5):
        np.testing.assert_array_equal(choice.pred_table(threshold), sm_logit.pred_table(threshold))


@pytest.mark.parametrize("outcome", ["choice", "belief"])
def test_deviances_equal_statsmodels_glm_though_rows_are_merged(data, x, outcome):
    theirs = sm.GLM(data[outcome], x, family=sm.families.Binomial()).fit(tol=1e-14)
    ours = fraclogit(f"{outcome} ~ price + old", data)
    assert len(ours.frame) == 8
    assert ours.deviance == pytest.approx(theirs.deviance, rel=1e-9)
    assert ours.null_deviance == pytest.approx(theirs.null_deviance, rel=1e-9)
    # The same from a file that is read in chunks and from rows that are not merged.
    apart = fraclogit(f"{outcome} ~ price + old + noise", data.assign(noise=np.arange(240) / 240))
    assert apart.null_deviance == pytest.approx(theirs.null_deviance, rel=1e-9)


def test_deviance_of_a_multinomial_logit_is_minus_twice_its_log_likelihood(data):
    found = mnlogit("mode ~ price", data)
    assert found.deviance == pytest.approx(-2 * found.llf)
    assert found.null_deviance - found.deviance == pytest.approx(found.llr)


def test_multinomial_degrees_of_freedom_equal_statsmodels(data):
    ours = mnlogit("mode ~ price + old", data)
    theirs = sm.MNLogit(data["mode"], sm.add_constant(data[["price", "old"]])).fit(disp=0)
    for name in ("df_model", "df_resid", "llr", "llr_pvalue"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-8), name


def test_constants_may_be_hidden_in_indicators(data):
    levels = logit("choice ~ 0 + C(price)", data)
    assert (levels.df_model, levels.df_resid) == (3, 236)
    plain = logit("choice ~ C(price)", data)
    assert levels.llr == pytest.approx(plain.llr)


def test_fitted_values_and_residuals_equal_statsmodels_glm(data, x):
    theirs = sm.GLM(data["choice"], x, family=sm.families.Binomial()).fit(tol=1e-14)
    rows = data.assign(noise=np.arange(240.0))
    ours = logit("choice ~ price + old", rows[["choice", "price", "old"]])
    merged = ours.frame.set_index(["price", "old"]).index
    fitted = pd.Series(theirs.fittedvalues.to_numpy(), index=[data["price"], data["old"]])
    np.testing.assert_allclose(ours.fittedvalues, fitted.groupby(level=[0, 1]).mean()[merged])
    resid = pd.Series(theirs.resid_response.to_numpy(), index=fitted.index)
    np.testing.assert_allclose(
        ours.resid, resid.groupby(level=[0, 1]).mean()[merged], rtol=1e-6, atol=1e-12
    )
    assert ours.resid.index.equals(ours.frame.index)
    wide = mnlogit("mode ~ price", data)
    assert list(wide.fittedvalues.columns) == ["a", "b", "c"]
    np.testing.assert_allclose(wide.fittedvalues.sum(axis=1), 1)
    np.testing.assert_allclose(wide.resid.sum(axis=1), 0, atol=1e-12)


def test_t_tests_equal_statsmodels(choice, sm_logit):
    for text in ("price = -0.5", "price - 2 * old = 0.1, const = 0"):
        ours, theirs = choice.t_test(text), sm_logit.t_test(text)
        for name in ("effect", "sd", "tvalue", "pvalue"):
            np.testing.assert_allclose(
                getattr(ours, name), np.ravel(getattr(theirs, name)), rtol=1e-6, err_msg=name
            )
        np.testing.assert_allclose(ours.conf_int(0.1), theirs.conf_int(0.1), rtol=1e-6)
    matrix = np.array([[0, 1, 0], [0, 1, 1.0]])
    np.testing.assert_allclose(
        choice.t_test(matrix).tvalue, sm_logit.t_test(matrix).tvalue, rtol=1e-6
    )
    assert "const = 0" in str(choice.t_test("const")) and "normal law" in str(choice.t_test("old"))


def test_a_t_test_of_a_clustered_fit_is_the_root_of_its_wald_test(data):
    found = logit("choice ~ price + old", data, vcov={"CRV1": "home"})
    test, wald = found.t_test("price + old = 0"), found.wald_test("price + old = 0")
    assert test.tvalue[0] ** 2 == pytest.approx(wald.statistic)
    assert test.pvalue[0] == pytest.approx(wald.pvalue) and test.df == found.clusters - 1


def test_intercept_is_another_name_of_const(data, choice):
    assert choice.wald_test("Intercept = 0").pvalue == choice.wald_test("const = 0").pvalue
    for hypothesis in ("Intercept", ["Intercept", "old"], "`Intercept` + price = 0"):
        other = str(hypothesis).replace("Intercept", "const")
        same = eval(other) if isinstance(hypothesis, list) else other
        assert choice.wald_test(hypothesis).statistic == choice.wald_test(same).statistic
    assert choice.t_test("Intercept").effect[0] == choice.params["const"]
    assert choice.lr_test("Intercept").statistic == choice.lr_test("const").statistic
    wide = mnlogit("mode ~ price", data)
    assert wide.t_test("Intercept:b").effect[0] == wide.params["const:b"]
    # A term of that name is itself.
    arrays = sm.add_constant(data["price"]).to_numpy()
    own = fit(data["choice"].to_numpy(), arrays, ["const", "Intercept"])
    assert own.t_test("Intercept").effect[0] == own.params["Intercept"]


def test_levels_of_intervals(choice):
    wide, narrow = choice.conf_int(level=0.99), choice.conf_int(0.5)
    pd.testing.assert_frame_equal(wide, choice.conf_int(alpha=0.01))
    assert (wide["lower"] < narrow["lower"]).all()
    assert choice.tidy(level=0.5)["upper"].equals(narrow["upper"])
    with pytest.raises(UsageError, match="give one"):
        choice.conf_int(0.05, level=0.95)


def test_numbers_without_a_law_are_refused(data, choice):
    belief = fraclogit("belief ~ price", data)
    assert belief.llr == pytest.approx(2 * (belief.llf - belief.llnull))
    with pytest.raises(UsageError, match="quasi-likelihood"):
        _ = belief.llr_pvalue
    with pytest.raises(UsageError, match="clustered by home"):
        _ = logit("choice ~ price", data, vcov={"CRV1": "home"}).llr_pvalue
    with pytest.raises(UsageError, match="not at the maximum"):
        _ = logit("choice ~ price", data, separation="firth").llr
    with pytest.raises(DesignError, match="no constants"):
        _ = logit("choice ~ 0 + price", data).llr
    with pytest.raises(UsageError, match="fractions"):
        belief.pred_table()
    with pytest.raises(UsageError, match="threshold=2"):
        choice.pred_table(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeparationWarning)
        apart = logit("choice ~ price", data.assign(choice=(data["price"] > 2).astype(float)))
    for ask in ("llr_pvalue", "fittedvalues", "resid"):
        with pytest.raises(DesignError, match="separated"):
            getattr(apart, ask)
    with pytest.raises(DesignError, match="no t test"):
        apart.t_test("price")


def test_a_conditional_logit_without_constants_has_none(data):
    long = pd.DataFrame(
        {
            "case": np.repeat(np.arange(240), 2),
            "alternative": ["a", "b"] * 240,
            "price": np.column_stack([data["price"], 5 - data["price"]]).ravel(),
            "choice": np.column_stack([data["choice"], 1 - data["choice"]]).ravel(),
        }
    )
    assert clogit("choice ~ price", long).df_model == 1
    bare = clogit("choice ~ price | 0", long)
    assert (bare.df_model, bare.df_resid) == (1, 239)
    with pytest.raises(DesignError, match="no constants"):
        _ = bare.llr
