"""Tests of hypotheses against statsmodels, golden numbers and sums by hand."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from llmdemand import fit_demand, load_study, simulate
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.estimation.estimate import SeparationWarning, VarianceWarning
from llmdemand.modeling.estimation.fit import fit_of
from llmdemand.modeling.inference.hypotheses import lr_test, wald_test
from llmdemand.modeling.inference.restrictions import restrictions
from llmdemand.modeling.inference.round_numbers import round_number_test
from llmdemand.modeling.inference.score_tests import score_test
from llmdemand.modeling.models.logit import fit, fraclogit, logit
from llmdemand.modeling.models.multinomial import clogit, mnlogit

pytestmark = pytest.mark.numbers

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    n = 400
    price = rng.choice(np.arange(30, 46.0), n)
    income = rng.normal(0, 1, n)
    p = 1 / (1 + np.exp(-(0.3 * (37 - price) + 0.3 * income)))
    belief = rng.beta(4 * p, 4 * (1 - p))
    return pd.DataFrame(
        {
            "price": price,
            "income": income,
            "noise": rng.normal(0, 1, n),
            "belief": belief,
            "choice": (rng.random(n) < belief).astype(float),
            "brand": rng.choice(["a", "b, c", "d:e"], n),
            "household": rng.integers(0, 25, n),
        }
    )


def glm(data, outcome, names, **options):
    x = sm.add_constant(data[list(names)])
    return sm.GLM(data[outcome], x, family=sm.families.Binomial()).fit(tol=1e-14, **options)


# --- Hypotheses as text -------------------------------------------------------------------

TERMS = [
    "const",
    "price",
    "price_b",
    "cost",
    "round(price, 5)",
    "C(brand)[T.b, c]",
    "income:C(brand)[T.d:e]",
    "I(price - cost)",
    "Pull Ups",
    "2",
]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("price", [{"price": 1}]),
        ("price = 0", [{"price": 1}]),
        ("price == -0.5, cost = 0", [{"price": 1, "": -0.5}, {"cost": 1}]),
        ("price - cost = 0", [{"price": 1, "cost": -1}]),
        ("price = cost = 2 * price_b", [{"price": 1, "cost": -1}, {"cost": 1, "price_b": -2}]),
        ("round(price, 5) = 0", [{"round(price, 5)": 1}]),
        ("round(price,5) - price=1e-1", [{"round(price, 5)": 1, "price": -1, "": 0.1}]),
        (
            "C(brand)[T.b, c] = income:C(brand)[T.d:e], price",
            [{"C(brand)[T.b, c]": 1, "income:C(brand)[T.d:e]": -1}, {"price": 1}],
        ),
        ("I(price - cost) - price", [{"I(price - cost)": 1, "price": -1}]),
        ("Pull Ups / 2 = 1", [{"Pull Ups": 0.5, "": 1}]),
        ("`Pull Ups` = 2", [{"Pull Ups": 1, "": 2}]),
        ("-(price - 3*(cost + 1)) = 4", [{"price": -1, "cost": 3, "": 1}]),
        ("2", [{"2": 1}]),
        ("2 * price = 1", [{"price": 2, "": 1}]),
        (["price", "cost"], [{"price": 1}, {"cost": 1}]),
        (["price", "cost = 1"], [{"price": 1}, {"cost": 1, "": 1}]),
    ],
)
def test_hypotheses_are_read_whatever_names_hold(text, rows):
    matrix, value, _ = restrictions(TERMS, text)
    wanted = [[row.get(t, 0) for t in TERMS] for row in rows]
    np.testing.assert_allclose(matrix, wanted)
    np.testing.assert_allclose(value, [row.get("", 0) for row in rows])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prise = 0", "'prise' is no term.*did you mean 'price'"),
        ("price_bc = 0", "'price_bc' is no term"),
        ("log(price) = 0", r"'log\(price\)' is no term"),
        ("price cost = 0", "found 'cost' where an operator was expected"),
        ("price * cost = 0", "multiplies terms"),
        ("1 / price = 0", "multiplies terms, or divides"),
        ("price / 0 = 0", "divides by zero"),
        ("(price = 0", "bracket is not closed"),
        ("price = ", "found its end"),
        ("", "found its end"),
        ("`nothing` = 0", "'nothing' is no term"),
        (["price", "prise"], "did you mean 'price'"),
        ([], "no hypothesis"),
        ((np.ones((1, 3)), 0), r"shape \(q, 10\)"),
        (np.full((1, 10), np.nan), "finite"),
        (3, "neither text nor"),
    ],
)
def test_what_is_no_hypothesis_is_explained(text, message):
    with pytest.raises(UsageError, match=message):
        restrictions(TERMS, text)


def test_arrays_are_written_out():
    text = restrictions(["a", "b"], ([[1, -2], [0, 1]], [0.5, 0]))[2]
    assert text == "a - 2 * b = 0.5, b = 0"


# --- Wald ---------------------------------------------------------------------------------


def test_wald_equals_statsmodels(data):
    ours = logit("choice ~ price + income", data, vcov="HC0")
    theirs = glm(data, "choice", ["price", "income"], cov_type="HC0")
    for text in ("price = -0.25", "price = -0.25, income = 0.2", "price + income = 0"):
        wanted = theirs.wald_test(text, use_f=False, scalar=True)
        found = wald_test(ours, text)
        assert found.statistic == pytest.approx(wanted.statistic, rel=1e-8)
        assert found.pvalue == pytest.approx(wanted.pvalue, rel=1e-7)
        assert found.law == f"chi-squared({found.df})"


def test_with_clusters_it_is_F_and_for_one_restriction_the_square_of_t(data):
    ours = fraclogit("belief ~ price + income", data, vcov={"CRV1": "household"})
    one = wald_test(ours, "income")
    assert one.statistic == pytest.approx(ours.tvalues["income"] ** 2)
    assert one.pvalue == pytest.approx(ours.pvalues["income"])
    both = wald_test(ours, ["price", "income"])
    b, v = ours.params.to_numpy()[1:], ours.cov.to_numpy()[1:, 1:]
    assert both.statistic == pytest.approx(b @ np.linalg.inv(v) @ b / 2)
    assert both.df == (2, 24) and both.law == "F(2, 24)"
    assert both.pvalue == pytest.approx(stats.f.sf(both.statistic, 2, 24))


def test_equivalent_hypotheses_and_other_units_have_one_statistic(data):
    ours = logit("choice ~ price + income", data)
    a = wald_test(ours, "price = -0.3, income = 0.2")
    b = wald_test(ours, "price + income = -0.1, price - income = -0.5")
    assert a.statistic == pytest.approx(b.statistic)
    small = logit("choice ~ price + income", data.assign(price=data["price"] * 1e-6))
    c = wald_test(small, "price = -300000, income = 0.2")
    assert a.statistic == pytest.approx(c.statistic, rel=1e-6)


def test_a_test_prints_itself(data):
    found = wald_test(fraclogit("belief ~ price + income", data), "income = 0")
    lines = str(found).splitlines()
    assert lines[0] == "Wald test of income = 0"
    assert lines[1].startswith("chi-squared(1) = ") and ", p = " in lines[1]
    assert "&lt;" in wald_test(logit("choice ~ price", data), "price = -50")._repr_html_()


def test_iid_on_fractions_is_noted(data):
    with pytest.warns(UserWarning, match="iid"):
        found = fraclogit("belief ~ price", data, vcov="iid")
    assert "wrong for fractions" in wald_test(found, "price").notes[0]
    assert not wald_test(fraclogit("belief ~ price", data), "price").notes


def test_restrictions_that_depend_on_each_other_are_refused(data):
    ours = logit("choice ~ price + income", data)
    with pytest.raises(DesignError, match="2 restrictions of which 1 are independent: some repeat"):
        wald_test(ours, "price = -0.3, 2 * price = -0.6")
    with pytest.raises(DesignError, match="contradict"):
        wald_test(ours, "price = -0.3, price = 0")
    with pytest.raises(DesignError, match="holds no coefficient"):
        wald_test(ours, "price = price")


def test_no_more_restrictions_than_clusters_allow(data):
    few = data.assign(region=data["household"] % 3)
    ours = fraclogit("belief ~ price + income + noise", few, vcov={"CRV1": "region"})
    assert wald_test(ours, ["price", "income"]).df == (2, 2)
    with pytest.raises(DesignError, match="with 3 clusters at most 2"):
        wald_test(ours, ["price", "income", "noise"])


def test_infinite_estimates_have_no_wald_test():
    df = pd.DataFrame({"choice": [1, 1, 0, 0.0], "price": [1, 2, 3, 4]})
    with pytest.warns(SeparationWarning):
        ours = logit("choice ~ price", df)
    with pytest.raises(DesignError, match="separated"):
        wald_test(ours, "price")


def test_only_fits_are_tested():
    with pytest.raises(UsageError, match="DataFrame is no fitted logit"):
        fit_of(pd.DataFrame())


# --- Likelihood ratio ---------------------------------------------------------------------


def test_lr_equals_statsmodels(data):
    x = sm.add_constant(data[["price", "income", "noise"]])
    large = sm.Logit(data["choice"], x).fit(disp=0)
    small = sm.Logit(data["choice"], x[["const", "price"]]).fit(disp=0)
    found = lr_test(logit("choice ~ price", data), logit("choice ~ price + income + noise", data))
    assert found.statistic == pytest.approx(2 * (large.llf - small.llf), rel=1e-8)
    assert found.df == 2 and found.pvalue == pytest.approx(stats.chi2.sf(found.statistic, 2))
    assert found.hypothesis == "income = 0, noise = 0"
    assert "HC1 covariance plays no part" in found.notes[0]


def test_a_model_lies_within_another_that_spans_it(data):
    data = data.assign(band=data["price"] // 4)
    small = logit("choice ~ band", data, vcov="iid")
    found = lr_test(small, logit("choice ~ C(band)", data, vcov="iid"))
    assert found.df == 3 and found.hypothesis == "3 restrictions" and not found.notes
    with pytest.raises(DesignError, match="not within the full one: 'income' is no combination"):
        lr_test(
            logit("choice ~ income", data),
            logit("choice ~ I((income > 0) * 1.0) + I(income**2) + noise", data),
        )
    with pytest.raises(DesignError, match="reads 'income'"):
        lr_test(logit("choice ~ income", data), logit("choice ~ price + noise", data))


def test_lr_refuses_what_has_no_chi_squared_law(data):
    small, large = "~ price", "~ price + income"
    pairs = {
        "a quasi-likelihood and a likelihood ratio": [
            fraclogit(f"belief {f}", data) for f in (small, large)
        ],
        "clustered by household": [
            logit(f"choice {f}", data, vcov={"CRV1": "household"}) for f in (small, large)
        ],
        "sampling weights": [
            logit(f"choice {f}", data.assign(w=1.5), weights="w", weights_type="sampling")
            for f in (small, large)
        ],
    }
    for message, pair in pairs.items():
        with pytest.raises(UsageError, match=message):
            lr_test(*pair)


def test_lr_refuses_other_samples_and_the_wrong_order(data):
    small, large = logit("choice ~ price", data), logit("choice ~ price + income", data)
    with pytest.raises(UsageError, match="give the smaller model first"):
        lr_test(large, small)
    with pytest.raises(DesignError, match="399 and 400 observations"):
        lr_test(logit("choice ~ price", data.iloc[1:]), large)
    with pytest.raises(DesignError, match="other outcomes"):
        lr_test(logit("choice ~ price", data.assign(choice=1 - data["choice"])), large)
    # The same number of ones, elsewhere.
    moved = data.assign(choice=np.roll(data["choice"], 7))
    with pytest.raises(DesignError, match="different samples"):
        lr_test(logit("choice ~ price", moved), large)
    with pytest.raises(DesignError, match="outcomes 'other' and 'choice'"):
        lr_test(logit("other ~ price", data.assign(other=data["choice"])), large)
    with pytest.raises(UsageError, match="one fit has Firth's penalty"):
        lr_test(logit("choice ~ price", data, separation="firth"), large)


def test_lr_between_fits_to_arrays(data):
    x = np.column_stack([np.ones(400), data["price"], data["income"]])
    y = data["choice"].to_numpy()
    large = fit(y, x, ["const", "price", "income"])
    small = fit(y, x[:, :2], ["const", "price"])
    by_formula = lr_test(logit("choice ~ price", data), logit("choice ~ price + income", data))
    assert lr_test(small, large).statistic == pytest.approx(by_formula.statistic, rel=1e-9)
    with pytest.raises(UsageError, match="from arrays and the other from a formula"):
        lr_test(
            small,
            logit("choice ~ price + income", data, vcov="HC1").__class__(
                **{**logit("choice ~ price + income", data).__dict__, "outcome": "y"}
            ),
        )


def test_penalised_lr_equals_logistf():
    golden = json.loads((GOLDEN / "sex2.json").read_text(encoding="utf-8"))
    df = pd.read_csv(GOLDEN / golden["data"])
    terms = golden["formula"].partition("~")[2].split("+")
    terms = [t.strip() for t in terms]
    large = logit(golden["formula"], df, separation="firth")
    for term, chi2 in golden["snapshot"]["chi2"].items():
        if term == "const":
            continue
        small = logit("case ~ " + " + ".join(t for t in terms if t != term), df, separation="firth")
        found = lr_test(small, large)
        assert f"{found.statistic:.2f}" == chi2, term
        assert found.name == "Penalised likelihood-ratio test"
    # Not what the two fits' own penalised likelihoods would say in other units.
    metres = df.assign(age=df["age"] * 1000)
    again = lr_test(
        logit("case ~ oc + vic + vicl + vis + dia", metres, separation="firth"),
        logit(golden["formula"], metres, separation="firth"),
    )
    assert f"{again.statistic:.2f}" == golden["snapshot"]["chi2"]["age"]


def test_separated_likelihoods_are_limits():
    df = pd.DataFrame({"choice": [1, 1, 0, 1, 0, 0.0], "z": [1, 1, 1, 1, 0, 0]})
    with pytest.warns(SeparationWarning):
        large = logit("choice ~ z", df)
    found = lr_test(logit("choice ~ 1", df), large)
    by_hand = 2 * ((3 * np.log(3 / 4) + np.log(1 / 4)) - 6 * np.log(1 / 2))
    assert found.statistic == pytest.approx(by_hand, rel=1e-5)
    assert "the full model is separated" in found.notes[0]


def test_lr_between_multinomial_logits_of_any_base(data):
    small = mnlogit("brand ~ price", data)
    for base in ("a", "d:e"):
        large = mnlogit("brand ~ price + income", data, base=base)
        found = lr_test(small, large)
        assert found.df == 2
        assert found.statistic == pytest.approx(2 * (large.llf - small.llf), rel=1e-9)


@pytest.fixture(scope="module")
def long():
    rng = np.random.default_rng(8)
    cases, names = 150, np.array(["x", "y", "z"])
    frame = pd.DataFrame(
        {
            "case": np.repeat(np.arange(cases), 3),
            "alternative": np.tile(names, cases),
            "price": rng.uniform(1, 5, 3 * cases),
            "size": rng.normal(0, 1, 3 * cases),
            "income": np.repeat(rng.normal(0, 1, cases), 3),
            "shop": np.repeat(rng.integers(0, 20, cases), 3),
        }
    )
    utility = -0.8 * frame["price"] + rng.gumbel(size=3 * cases)
    chosen = utility.groupby(frame["case"]).transform("max") == utility
    return frame.assign(choice=chosen.astype(float))


def test_lr_between_conditional_logits(long):
    small = clogit("choice ~ price", long)
    large = clogit("choice ~ price + size | income", long, base="z")
    found = lr_test(small, large)
    assert found.df == 3
    assert found.statistic == pytest.approx(2 * (large.llf - small.llf), rel=1e-9)


# --- Score --------------------------------------------------------------------------------


def test_classical_score_test_equals_statsmodels(data):
    ours = logit("choice ~ price", data, vcov="iid")
    theirs = glm(data, "choice", ["price"])
    extra = data[["income", "noise"]].to_numpy()
    statistic, pvalue, _ = theirs.model.score_test(theirs.params, exog_extra=extra, observed=False)
    found = score_test(ours, "income + noise", data)
    assert found.statistic == pytest.approx(np.asarray(statistic).item(), rel=1e-7)
    assert found.pvalue == pytest.approx(np.asarray(pvalue).item(), rel=1e-6)
    assert found.hypothesis == "income = 0, noise = 0" and found.df == 2


def test_it_is_pearsons_chi_squared_of_a_table(data):
    one = data.assign(rich=(data["income"] > 0) * 1.0)
    table = pd.crosstab(one["rich"], one["brand"])
    wanted = stats.chi2_contingency(table, correction=False)
    found = score_test(mnlogit("brand ~ 1", one, vcov="iid"), "rich", one)
    assert found.statistic == pytest.approx(wanted.statistic, rel=1e-9)
    assert found.df == wanted.dof == 2


@pytest.mark.parametrize("outcome", ["choice", "belief"])
def test_robust_and_clustered_score_tests_equal_gee(data, outcome):
    x = sm.add_constant(data[["price", "income", "noise"]])
    family = sm.families.Binomial()
    for groups, vcov, factor in (
        (np.arange(400), "HC0", 1.0),
        (np.arange(400), "HC1", 399 / 400),
        (data["household"], {"CRV1": "household"}, 24 / 25),
    ):
        large = sm.GEE(data[outcome], x, groups=groups, family=family)
        small = sm.GEE(data[outcome], x[["const", "price"]], groups=groups, family=family)
        wanted = large.compare_score_test(small.fit(ctol=1e-8, maxiter=200))
        found = score_test(fraclogit(f"{outcome} ~ price", data, vcov=vcov), "income + noise", data)
        q = 2 if isinstance(vcov, dict) else 1
        assert q * found.statistic == pytest.approx(factor * wanted["statistic"], rel=1e-6)
        assert found.law == ("F(2, 24)" if q == 2 else "chi-squared(2)")


def test_added_columns_and_added_text_are_one_test(data):
    ours = fraclogit("belief ~ price", data)
    by_text = score_test(ours, "I(price**2) + round(price, 5)")
    price = ours.frame["price"].to_numpy()
    columns = np.column_stack([price**2, price % 5 == 0])
    by_columns = score_test(ours, columns)
    with_data = score_test(ours, "I(price**2) + round(price, 5)", data)
    for other in (by_columns, with_data):
        assert other.statistic == pytest.approx(by_text.statistic, rel=1e-7)
    assert by_text.hypothesis == "I(price ** 2) = 0, round(price, 5) = 0"


def test_score_tests_of_conditional_logits(long):
    by_hand = clogit("choice ~ price + size | income", long)
    for vcov in ("iid", "HC0", {"CRV1": "shop"}):
        small = clogit("choice ~ price", long, vcov=vcov)
        found = score_test(small, "size | income", long)
        at = np.zeros(6)
        names = list(by_hand.params.index)
        for term, value in small.params.items():
            at[names.index(term)] = value
        s, a = by_hand.data.scores(at), by_hand.data.information(at)
        new = [k for k, t in enumerate(names) if t not in small.params.index]
        d = np.linalg.solve(a, s.sum(axis=0))[new]
        inverse = np.linalg.inv(a)
        if isinstance(vcov, dict):
            shop = long["shop"].to_numpy()[::3]
            s = np.array([s[shop == g].sum(axis=0) for g in np.unique(shop)])
            s *= np.sqrt(len(s) / (len(s) - 1))
        middle = inverse if vcov == "iid" else inverse @ s.T @ s @ inverse
        wanted = d @ np.linalg.solve(middle[np.ix_(new, new)], d)
        q = 3 if isinstance(vcov, dict) else 1
        assert q * found.statistic == pytest.approx(wanted, rel=1e-6)
    # Without the rows: what the model read suffices.
    small = clogit("choice ~ price", long)
    assert score_test(small, "I(price**2)").statistic == pytest.approx(
        score_test(small, "I(price**2)", long).statistic, rel=1e-7
    )


def test_refits_are_replaced_by_sandwiches_and_said_so(data):
    crv1 = score_test(fraclogit("belief ~ price", data, vcov={"CRV1": "household"}), "I(price**2)")
    crv3 = score_test(fraclogit("belief ~ price", data, vcov={"CRV3": "household"}), "I(price**2)")
    assert crv3.statistic == pytest.approx(crv1.statistic)
    assert crv3.notes == ("CRV3 refits the model: CRV1 takes its place in a score test",)
    assert not crv1.notes


def test_a_score_test_needs_no_maximum_of_the_larger_model():
    df = pd.DataFrame({"choice": [1, 1, 0, 1, 0, 0.0] * 4, "z": [1, 1, 1, 1, 0, 0] * 4})
    found = score_test(logit("choice ~ 1", df, vcov="iid"), "z", df)
    table = pd.crosstab(df["choice"], df["z"])
    assert found.statistic == pytest.approx(stats.chi2_contingency(table, correction=False)[0])


def test_what_a_score_test_refuses(data):
    ours = logit("choice ~ price", data)
    with pytest.raises(UsageError, match=r"no column 'income'.*give the rows with data="):
        score_test(ours, "income")
    with pytest.raises(UsageError, match="looks at all rows"):
        score_test(ours, "bs(price, df=4)")
    with pytest.raises(DesignError, match="collinear"):
        score_test(ours, "I(2 * price)")
    with pytest.raises(DesignError, match="different samples"):
        score_test(ours, "income", data.iloc[1:])
    with pytest.raises(UsageError, match=r"shape \(400, 1\), expected"):
        score_test(ours, data["income"].to_numpy())
    with pytest.raises(UsageError, match="without Firth"):
        score_test(logit("choice ~ price", data, separation="firth"), "income", data)
    with pytest.raises(UsageError, match="na: options go with data="):
        score_test(ours, "I(price**2)", na="drop")


@pytest.mark.slow
def test_the_robust_score_test_keeps_its_level_where_the_classical_one_does_not():
    rng = np.random.default_rng(2)
    rejected = {"iid": 0, "HC0": 0}
    reps = 1000
    for _ in range(reps):
        x, z = rng.normal(size=300), rng.normal(size=300)
        p = 1 / (1 + np.exp(-0.5 * x))
        y, regressors = rng.beta(3 * p, 3 * (1 - p)), np.column_stack([np.ones(300), x])
        for vcov in rejected:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", VarianceWarning)
                small = fit(y, regressors, ["const", "x"], vcov=vcov)
            rejected[vcov] += score_test(small, z).pvalue < 0.05
    assert abs(rejected["HC0"] / reps - 0.05) < 3 * np.sqrt(0.05 * 0.95 / reps)
    assert rejected["iid"] / reps < 0.01


# --- Round prices -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bumped():
    rng = np.random.default_rng(4)
    price = np.tile(np.arange(30, 46.0), 30)
    income = rng.normal(0, 1, len(price))
    eta = 0.4 * (37 - price) + 0.5 * income + 0.6 * (price % 5 == 0)
    p = 1 / (1 + np.exp(-eta))
    return pd.DataFrame(
        {
            "price": price,
            "income": income,
            "belief": rng.beta(20 * p, 20 * (1 - p)),
            "cell": np.tile(np.arange(16), 30),
            "person": np.repeat(np.arange(30), 16),
            "shop": rng.integers(0, 40, len(price)),
        }
    )


@pytest.mark.parametrize(
    ("vcov", "ssc"),
    [
        ("HC1", "stata"),
        ("HC1", "sandwich"),
        ("HC3", "stata"),
        ({"CRV1": "person"}, "sandwich"),
        ({"CRV1": "person"}, "none"),
        ({"CRV1": ("person", "shop")}, "fixest"),
        ({"CRV3": "person"}, "stata"),
        ({"within": "cell"}, "stata"),
        ({"pairs": "person", "reps": 60, "seed": 7}, "stata"),
        ({"score": "person", "reps": 60, "seed": 7}, "stata"),
    ],
)
def test_the_refit_is_the_model_with_the_term_and_the_same_covariance(bumped, vcov, ssc):
    data = bumped.sort_values("cell")
    found = round_number_test(fraclogit("belief ~ price + income", data, vcov=vcov, ssc=ssc))
    direct = fraclogit("belief ~ price + income + round(price, 5)", data, vcov=vcov, ssc=ssc)
    np.testing.assert_allclose(found.fit.params, direct.params)
    np.testing.assert_allclose(found.fit.cov, direct.cov, rtol=1e-6, atol=1e-12)
    assert (found.fit.vcov, found.fit.ssc) == (direct.vcov, direct.ssc)
    assert found.log_odds == pytest.approx(direct.params["round(price, 5)"])
    assert found.test.statistic == pytest.approx(wald_test(direct, "round(price, 5)").statistic)
    # A model that has the term is not fitted again.
    assert round_number_test(direct).fit is direct


def test_a_planted_uptick_is_found_and_measured(bumped):
    found = round_number_test(fraclogit("belief ~ price + income", bumped))
    assert abs(found.log_odds - 0.6) < 3 * found.se and found.test.pvalue < 1e-8
    assert found.points["price"].tolist() == [30, 35, 40, 45]
    model = found.fit
    at = bumped[bumped["price"] == 35]
    x = np.column_stack([np.ones(len(at)), at["price"], at["income"], np.ones(len(at))])

    def gain(b):
        up, down = x @ b, x[:, :3] @ b[:3]
        return np.mean(1 / (1 + np.exp(-up)) - 1 / (1 + np.exp(-down)))

    b = model.params.to_numpy()
    steps = np.eye(4) * 1e-6
    gradient = np.array([(gain(b + h) - gain(b - h)) / 2e-6 for h in steps])
    row = found.points.set_index("price").loc[35]
    assert row["uptick"] == pytest.approx(gain(b))
    assert row["se"] == pytest.approx(np.sqrt(gradient @ model.cov @ gradient), rel=1e-5)
    assert row["upper"] - row["uptick"] == pytest.approx(1.959964 * row["se"], rel=1e-5)
    assert row["observed"] == pytest.approx(at["belief"].mean()) and row["n"] == 30
    assert f"at 35: {100 * gain(b):+.2f} percentage points" in str(found)
    assert "uptick of belief where price is a multiple of 5" in str(found)
    # The curve goes on without the uptick, averaged over incomes.
    grid = found.curve.set_index("price")["share"]
    everybody = b[0] + 35 * b[1] + bumped["income"] * b[2]
    assert grid[35.0] == pytest.approx(np.mean(1 / (1 + np.exp(-everybody))))


def test_no_uptick_is_found_where_there_is_none(data):
    found = round_number_test(fraclogit("belief ~ price", data))
    assert found.test.pvalue > 0.05
    assert round_number_test(fraclogit("belief ~ price", data), step=2).step == 2


def test_splines_keep_their_knots_in_the_refit(bumped):
    formula = "belief ~ bs(price, df=4)"
    found = round_number_test(fraclogit(formula, bumped))
    direct = fraclogit(formula + " + round(price, 5)", bumped)
    assert found.log_odds == pytest.approx(direct.params["round(price, 5)"], rel=1e-6)


def test_demands_and_odd_column_names_are_accepted(bumped):
    demand = fit_demand(simulate(load_study("pampers"), "synthetic", runs=20, seed=1), "belief")
    found = round_number_test(demand)
    assert found.test.law.startswith(("chi", "F"))
    odd = bumped.rename(columns={"price": "my price"})
    named = round_number_test(fraclogit("belief ~ `my price`", odd), price="my price")
    plain = round_number_test(fraclogit("belief ~ price", bumped))
    assert named.log_odds == pytest.approx(plain.log_odds)


def test_the_plot_shows_data_curve_and_round_prices(bumped):
    found = round_number_test(fraclogit("belief ~ price", bumped))
    ax = found.plot()
    lines = {line.get_label(): line for line in ax.get_lines()}
    plain, marked = lines["mean outcome"], lines["mean outcome, multiples of 5"]
    assert marked.get_xdata().tolist() == [30, 35, 40, 45]
    means = bumped.groupby("price")["belief"].mean()
    np.testing.assert_allclose(marked.get_ydata(), means[[30, 35, 40, 45]])
    assert len(plain.get_xdata()) == 12 and "smooth curve" in lines
    assert found.plot(ax) is ax
    assert "&lt;" in found._repr_html_() or "p = " in found._repr_html_()


def test_firth_stays_firth():
    df = pd.DataFrame({"price": np.arange(31, 41.0), "choice": [1, 1, 1, 1, 1, 0, 0, 0, 0, 0.0]})
    with pytest.warns(SeparationWarning):
        plain = logit("choice ~ price", df)
    with pytest.raises(DesignError, match="separated without the indicator already"):
        round_number_test(plain)
    found = round_number_test(logit("choice ~ price", df, separation="firth"))
    direct = logit("choice ~ price + round(price, 5)", df, separation="firth")
    assert found.fit.firth and found.log_odds == pytest.approx(direct.params["round(price, 5)"])


def test_what_has_no_round_number_test(bumped, long):
    ours = fraclogit("belief ~ price", bumped)
    with pytest.raises(
        DesignError, match=r"no price of 16 between 30 and 45 is a multiple of 7\.7"
    ):
        round_number_test(ours, step=7.7)
    with pytest.raises(DesignError, match="every price"):
        round_number_test(ours, step=1)
    with pytest.raises(UsageError, match="step=0"):
        round_number_test(ours, step=0)
    with pytest.raises(UsageError, match="alpha=1"):
        round_number_test(ours, alpha=1)
    with pytest.raises(UsageError, match="did you mean 'price'"):
        round_number_test(ours, price="prise")
    with pytest.raises(DesignError, match="collinear"):
        round_number_test(fraclogit("belief ~ C(price)", bumped))
    with pytest.raises(UsageError, match="several alternatives"):
        round_number_test(clogit("choice ~ price", long))
    with pytest.raises(UsageError, match="to arrays"):
        x = np.column_stack([np.ones(480), bumped["price"]])
        round_number_test(fit(bumped["belief"].to_numpy(), x, ["const", "price"]))
