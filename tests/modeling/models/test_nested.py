"""`nlogit` from the formula to quantities: truth recovered, closed forms, other optimisers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from statsmodels.tools.numdiff import approx_hess3

from llmdemand import clogit, compare_models, etable, lr_test, nlogit
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.estimation.estimate import VarianceWarning
from llmdemand.modeling.estimation.smooth import Maxima
from llmdemand.modeling.likelihood.sets import ChoiceSets
from llmdemand.modeling.optimum.newton import NewtonFit
from llmdemand.modeling.substitution.nested import NestedKernel
from llmdemand.modeling.substitution.nests import tree_of

pytestmark = pytest.mark.numbers

BRANDS = ["none", "a", "b", "c"]
NESTS = {"diapers": ["a", "b"]}
DEEP = {"brands": ["c", {"diapers": ["a", "b"]}]}
TRUTH = pd.Series({"price": -1.0, "const:a": 2.0, "const:b": 2.2, "const:c": 1.5})


def market(lam, nests=NESTS, n=500, seed=1, missing=False):
    """Shares of a nested logit, choices and noisy beliefs drawn from them; 4 cases a person."""
    rng = np.random.default_rng(seed)
    tree, _ = tree_of(nests, BRANDS)
    long = pd.DataFrame(
        {
            "case": np.repeat(np.arange(n), 4),
            "alternative": np.tile(BRANDS, n),
            "price": rng.uniform(1, 4, 4 * n),
            "who": np.repeat(np.arange(n) // 4, 4),
            "twice": np.repeat(rng.integers(1, 4, n), 4),
        }
    )
    long.loc[long["alternative"] == "none", "price"] = 0.0
    long["open"] = 1
    if missing:
        long.loc[(long["case"] % 3 == 0) & (long["alternative"] == "b"), "open"] = 0
    constants = {"none": 0.0, **{b: TRUTH[f"const:{b}"] for b in BRANDS[1:]}}
    v = long["alternative"].map(constants) - long["price"]
    seen = long["open"] == 1
    start = np.flatnonzero(np.diff(long["case"][seen], prepend=-1))
    sets, labels = ChoiceSets(start, int(seen.sum())), np.tile(np.arange(4), n)[seen]
    s = NestedKernel(tree).shares(np.array(lam), v[seen].to_numpy()[None], sets, labels)[0]
    long["share"] = 0.0
    long.loc[seen, "share"] = s
    p = long["share"].to_numpy().reshape(n, 4)
    drawn = rng.random(n)[:, None] < p.cumsum(axis=1)
    long["choice"] = (np.arange(4) == drawn.argmax(axis=1)[:, None]).ravel() * 1.0
    g = rng.gamma(4 * p + (p == 0)) * (p > 0)
    long["belief"] = (g / g.sum(axis=1, keepdims=True)).ravel()
    return long


@pytest.fixture(scope="module")
def choices():
    return market([0.5])


def by_scipy(long, start):
    """Maximum of the two-level likelihood written out case by case, without the package."""
    wide = long.pivot(index="case", columns="alternative", values="price")
    y = long.pivot(index="case", columns="alternative", values="choice")

    def loss(t):
        v = {b: t[0] * wide[b] + (t[k] if k else 0) for k, b in enumerate(BRANDS)}
        v["none"] = 0 * wide["none"]
        a, b = np.exp(v["a"] / t[4]), np.exp(v["b"] / t[4])
        nest = (a + b) ** t[4]
        total = 1 + np.exp(v["c"]) + nest
        p = {"none": 1 / total, "c": np.exp(v["c"]) / total}
        p |= {"a": nest / total * a / (a + b), "b": nest / total * b / (a + b)}
        return -sum((y[j] * np.log(p[j])).sum() for j in BRANDS)

    found = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-6})
    return found.x, -found.fun, approx_hess3(found.x, loss)


def test_the_maximum_and_its_errors_are_those_of_another_optimiser(choices):
    fit = nlogit("choice ~ price", choices, nests=NESTS, base="none", vcov="iid")
    params, llf, hessian = by_scipy(choices, np.array([-0.8, 1.0, 1.0, 1.0, 0.8]))
    np.testing.assert_allclose(fit.params, params, rtol=2e-4)
    assert fit.llf == pytest.approx(llf, abs=1e-6) and fit.llf >= llf - 1e-9
    np.testing.assert_allclose(fit.bse, np.sqrt(np.diag(np.linalg.inv(hessian))), rtol=1e-3)
    assert fit.kind == "Nested logit" and fit.nobs == 500
    assert list(fit.params.index) == [*TRUTH.index, "dissimilarity(diapers)"]


@pytest.mark.filterwarnings("ignore::llmdemand.modeling.estimation.estimate.VarianceWarning")
@pytest.mark.parametrize(
    ("nests", "lam"), [(NESTS, [0.5]), (DEEP, [0.8, 0.4]), (NESTS, [1.6]), (NESTS, [0.05])]
)
@pytest.mark.parametrize("missing", [False, True])
def test_fractions_that_are_the_models_shares_give_its_parameters(nests, lam, missing):
    frame = market(lam, nests, n=200, missing=missing)
    fit = nlogit("share ~ price", frame, nests=nests, base="none", availability="open")
    np.testing.assert_allclose(fit.params, [*TRUTH, *lam], rtol=1e-7)
    np.testing.assert_allclose(
        fit.predict(frame[frame["open"] == 1]), frame["share"][frame["open"] == 1], atol=1e-9
    )


def test_fractions_without_noise_say_so():
    with pytest.warns(VarianceWarning, match="does not vary about the fit"):
        nlogit("share ~ price", market([0.5], n=60), nests=NESTS, base="none")


def test_dissimilarities_of_one_are_a_conditional_logit(choices):
    plain = clogit("choice ~ price", choices, base="none", vcov={"CRV1": "who"})
    fit = nlogit(
        "choice ~ price",
        choices,
        nests=NESTS,
        dissimilarity={"diapers": 1},
        base="none",
        vcov={"CRV1": "who"},
    )
    np.testing.assert_allclose(fit.params, plain.params, rtol=1e-10)
    np.testing.assert_allclose(fit.cov_params(), plain.cov_params(), rtol=1e-8)
    assert fit.llf == pytest.approx(plain.llf, rel=1e-12)
    np.testing.assert_allclose(fit.predict(choices), plain.predict(choices), atol=1e-12)
    ours, theirs = fit.elasticity(alternative="a"), plain.elasticity(alternative="a")
    np.testing.assert_allclose(ours.table["estimate"], theirs.table["estimate"], rtol=1e-9)
    np.testing.assert_allclose(ours.table["se"], theirs.table["se"], rtol=1e-7)


def test_row_order_and_names_of_nests_change_nothing(choices):
    fit = nlogit("choice ~ price", choices, nests=DEEP, base="none")
    mixed = choices.sample(frac=1, random_state=1)
    other = nlogit("choice ~ price", mixed, nests={"x": [{"y": ["b", "a"]}, "c"]}, base="none")
    np.testing.assert_allclose(other.params, fit.params, rtol=1e-7)
    np.testing.assert_allclose(other.bse, fit.bse, rtol=1e-6)


def test_the_scale_of_regressors_changes_nothing(choices):
    """Prices of millionths, and years in place of their differences."""
    year = choices["case"] % 5 * (choices["alternative"] == "a")
    small = nlogit("choice ~ price + year", choices.assign(year=year), nests=NESTS, base="none")
    frame = choices.assign(year=2026 + year, price=choices["price"] * 1e-6)
    large = nlogit("choice ~ price + year", frame, nests=NESTS, base="none")
    scale = np.array([1e-6, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(large.params * scale, small.params, rtol=1e-6)
    np.testing.assert_allclose(large.bse * scale, small.bse, rtol=1e-6)
    drawn = nlogit(
        "choice ~ price + year", frame, nests=NESTS, base="none", vcov={"pairs": "who", "reps": 20}
    )
    assert np.isfinite(drawn.bse).all() and not any("no estimate" in n for n in drawn.notes)


def test_frequency_weights_are_repeated_rows(choices):
    some = choices[choices["case"] < 150]
    repeated = [
        some[some["twice"] > k].assign(case=lambda d, k=k: d["case"] + 1000 * k) for k in range(3)
    ]
    options = {"nests": NESTS, "base": "none"}
    fit = nlogit("choice ~ price", some, weights="twice", **options)
    long = nlogit("choice ~ price", pd.concat(repeated), **options)
    np.testing.assert_allclose(fit.params, long.params, rtol=1e-7)
    np.testing.assert_allclose(fit.bse, long.bse, rtol=1e-7)
    assert fit.llf == pytest.approx(long.llf) and fit.nobs == long.nobs
    sampled = nlogit(
        "choice ~ price", some, weights="twice", weights_type="sampling", ssc="none", **options
    )
    np.testing.assert_allclose(sampled.params, fit.params, rtol=1e-7)
    scores = sampled.data.scores(sampled.params.to_numpy())
    bread = np.linalg.inv(sampled.data.information(sampled.params.to_numpy()))
    np.testing.assert_allclose(sampled.cov_params(), bread @ scores.T @ scores @ bread, rtol=1e-9)
    with pytest.raises(UsageError, match="sampling weights say nothing"):
        nlogit(
            "choice ~ price", some, weights="twice", weights_type="sampling", vcov="iid", **options
        )


def test_an_offset_is_a_part_of_utility(choices):
    frame = choices.assign(known=-0.4 * choices["price"])
    fit = nlogit("choice ~ price", choices, nests=NESTS, base="none")
    held = nlogit("choice ~ price + offset(known)", frame, nests=NESTS, base="none")
    assert held.params["price"] == pytest.approx(fit.params["price"] + 0.4, rel=1e-6)
    np.testing.assert_allclose(held.params.iloc[1:], fit.params.iloc[1:], rtol=1e-6)
    np.testing.assert_allclose(held.predict(frame), fit.predict(choices), atol=1e-8)


def test_corrected_beliefs_may_leave_the_unit_interval():
    """Nine in ten say what they said at the pivot, the others anything; one in ten is unread."""
    n, rng = 2000, np.random.default_rng(5)
    frame = market([0.5], n=n)

    def drawn(p):
        places = (rng.random(n)[:, None] < p.cumsum(axis=1)).argmax(axis=1)
        return np.eye(4)[places]

    b, s = (frame[name].to_numpy().reshape(n, 4) for name in ("belief", "share"))
    pivot = drawn(b)
    final = np.where(rng.random((n, 1)) < 0.9, pivot, drawn(s))
    read = (rng.random((n, 1)) < 0.9) * 1.0
    y = (b + read * final - pivot).ravel()
    frame = frame.assign(y=y, read=np.repeat(read, 4))
    fit = nlogit("y ~ price", frame, nests=NESTS, base="none", read="read")
    assert y.min() < 0 and y.max() > 1 and fit.data.corrected
    assert (np.abs(fit.params - [*TRUTH, 0.5]) < 3 * fit.bse).all()
    # Of an alternative under the root the score is the sum of x (b~ - r s).
    alone = (frame["alternative"] == "c").to_numpy()
    expected = frame["read"] * fit.data.shares(fit.params.to_numpy())
    assert (y - expected)[alone].sum() == pytest.approx(0, abs=1e-6)
    with pytest.raises(DesignError):
        nlogit("y ~ price", frame, nests=NESTS, base="none")


@pytest.mark.parametrize(
    "vcov",
    ["HC0", "HC1", {"CRV1": "who"}, {"CRV1": "who+city"}, {"CRV3": "who"}],
    ids=str,
)
def test_covariances_by_the_formulas(choices, vcov):
    frame = choices[choices["case"] < 240].assign(city=choices["case"] % 11)
    asked = {"formula": "belief ~ price", "nests": NESTS, "base": "none", "ssc": "none"}
    formula = asked.pop("formula")
    fit = nlogit(formula, frame, vcov=vcov, **asked)
    b = fit.params.to_numpy()
    bread = np.linalg.inv(fit.data.information(b))
    score = fit.data.scores(b)
    cases = frame.groupby("case")[["who", "city"]].first()

    def meat(codes):
        sums = pd.DataFrame(score).groupby(np.asarray(codes)).sum().to_numpy()
        return sums.T @ sums

    if vcov == {"CRV3": "who"}:
        left = [
            nlogit(formula, frame[frame["who"] != g], **asked).params - fit.params
            for g in cases["who"].unique()
        ]
        expected = (len(left) - 1) / len(left) * np.transpose(left) @ np.array(left)
        np.testing.assert_allclose(fit.cov_params(), expected, rtol=1e-5)
        return
    middle = meat(np.arange(len(score)))
    if isinstance(vcov, dict):
        middle = meat(cases["who"])
        if "city" in vcov["CRV1"]:
            both = cases["who"] * 100 + cases["city"]
            middle = middle + meat(cases["city"]) - meat(both)
    np.testing.assert_allclose(fit.cov_params(), bread @ middle @ bread, rtol=1e-8)


def test_the_pairs_bootstrap_is_about_as_wide_as_the_sandwich(choices):
    sandwich = nlogit("belief ~ price", choices, nests=NESTS, base="none", vcov={"CRV1": "who"})
    drawn = nlogit(
        "belief ~ price", choices, nests=NESTS, base="none", vcov={"pairs": "who", "reps": 60}
    )
    assert "pairs bootstrap" in drawn.vcov
    np.testing.assert_allclose(drawn.bse, sandwich.bse, rtol=0.35)


@pytest.mark.parametrize("vcov", ["HC2", "HC3", {"within": "who"}, {"score": "who"}], ids=str)
def test_covariances_of_plain_logits_alone_are_refused(choices, vcov):
    with pytest.raises(UsageError, match="is for plain logits: of a nested logit use 'HC1'"):
        nlogit("choice ~ price", choices, nests=NESTS, vcov=vcov)


# What it says -----------------------------------------------------------------------------


def test_t_and_p_of_a_dissimilarity_are_of_one_and_labelled(choices):
    fit = nlogit("choice ~ price", choices, nests=NESTS, base="none")
    lam, se = fit.params.iloc[-1], fit.bse.iloc[-1]
    assert fit.tvalues.iloc[-1] == pytest.approx((lam - 1) / se)
    assert fit.tvalues["price"] == pytest.approx(fit.params["price"] / fit.bse["price"])
    wald = fit.wald_test("dissimilarity(diapers) = 1")
    assert wald.pvalue == pytest.approx(fit.pvalues.iloc[-1])
    assert fit.tidy()["t value"].iloc[-1] == fit.tvalues.iloc[-1]
    text = fit.summary().to_text()
    assert "Nested logit of choice" in text and "nests: diapers (a, b)" in text
    assert "t and p of a dissimilarity are those of the hypothesis that it is 1" in text
    assert "alone under the root: none, c" in text and "3 starts end at one maximum" in text
    assert "p of a dissimilarity: of the hypothesis that it is 1" in etable(fit, stars=True)
    assert "nested logit" in etable(fit) and "dissimilarity(diapers)" in etable(fit)


def test_estimates_above_one_are_reported_as_they_are():
    fit = nlogit("belief ~ price", market([1.8]), nests=NESTS, base="none")
    assert fit.params.iloc[-1] > 1.2
    (note,) = [n for n in fit.notes if n.startswith("not consistent")]
    assert "'diapers' 1." in note and "> 1" in note and "prices observed" in note


def test_a_likelihood_that_rises_towards_zero_is_refused_in_one_sentence():
    """The cheaper of two brands is always taken: they are perfect substitutes."""
    rng = np.random.default_rng(2)
    n = 300
    p = rng.uniform(1, 4, (n, 2))
    inside = rng.random(n) < 1 / (1 + np.exp(p.min(axis=1) - 2.5))
    best = p.argmin(axis=1)
    chosen = np.where(inside, 1 + best, 0)
    frame = pd.DataFrame(
        {
            "case": np.repeat(np.arange(n), 3),
            "alternative": np.tile(["none", "a", "b"], n),
            "price": np.column_stack([np.zeros(n), p]).ravel(),
            "brand": np.tile([0, 1, 1], n),
            "choice": (np.arange(3) == chosen[:, None]).ravel() * 1,
        }
    )
    with pytest.raises(DesignError, match=r"rises as dissimilarity\(d\) falls to 0") as error:
        nlogit("choice ~ price + brand | 0", frame, nests={"d": ["a", "b"]}, base="none")
    assert "\n" not in str(error.value) and "hold it fixed" in str(error.value)
    fit = nlogit(
        "choice ~ price + brand | 0", frame, nests={"d": ["a", "b"]}, dissimilarity={"d": 0.2}
    )
    assert fit.converged and "held fixed: dissimilarity(d) = 0.2" in fit.notes


def test_alternatives_that_never_meet_tell_nothing_of_their_nest(choices):
    """Of a and b one is always missing: the nest's dissimilarity is any number."""
    odd = choices["case"] % 2 == 1
    gone = (odd & (choices["alternative"] == "a")) | (~odd & (choices["alternative"] == "b"))
    frame = choices.assign(open=(~gone) * 1)
    whole = frame[frame["open"] == 1].groupby("case")["choice"].transform("sum") == 1
    frame = frame[frame["open"] == 1][whole]
    with pytest.raises(DesignError, match="the data do not tell all coefficients apart"):
        nlogit("choice ~ price", frame, nests=NESTS, base="none")


def test_a_start_that_rises_above_every_maximum_is_told():
    best = NewtonFit(np.zeros(1), np.eye(1), -10.0, -10.0, 3, True)
    assert Maxima(best, np.array([-10.0, -10.0]), -10.0).note == "2 starts end at one maximum"
    told = Maxima(best, np.array([-10.0, np.nan, -12.0]), -9.0).note
    assert "of 3 starts 1 end at the highest maximum found (-10), 1 at no maximum" in told
    assert Maxima(best, np.array([-10.0, np.nan]), -10.0).note == (
        "of 2 starts 1 end at the highest maximum found (-10), 1 at no maximum"
    )
    assert "one of them higher, at -9" in told and "the lowest of the others is -12" in told


def test_separated_data_and_firth_are_refused(choices):
    with pytest.raises(UsageError, match="Firth's penalty is for plain logits"):
        nlogit("choice ~ price", choices, nests=NESTS, separation="firth")
    never = choices.assign(choice=np.where(choices["alternative"] == "a", 1.0, 0.0))
    with pytest.raises(DesignError, match=r"separated.*; .*'b'.* never chosen"):
        nlogit("choice ~ price", never, nests=NESTS, base="none")


def test_a_term_that_is_called_like_a_dissimilarity_is_refused(choices):
    frame = choices.assign(dissimilarity=choices["price"] ** 2)
    with pytest.raises(UsageError, match="called like a dissimilarity"):
        nlogit("choice ~ price + dissimilarity", frame, nests=NESTS, dissimilarity="common")


def test_what_is_for_concave_likelihoods_says_so(choices):
    fit = nlogit("choice ~ price", choices, nests=NESTS, base="none")
    for ask in (
        lambda: fit.score_test("share", choices),
        lambda: fit.lr_test("price"),
        lambda: fit.conf_int(kind="profile"),
    ):
        with pytest.raises(UsageError, match="for plain logits"):
            ask()


# Tests ------------------------------------------------------------------------------------


def test_likelihood_ratios_between_trees(choices):
    frame = choices.assign(time=choices["price"] ** 2)
    asked = {"base": "none", "vcov": "iid"}
    plain = clogit("choice ~ price", frame, **asked)
    fit = nlogit("choice ~ price", frame, nests=NESTS, **asked)
    found = lr_test(plain, fit)
    assert found.statistic == pytest.approx(2 * (fit.llf - plain.llf)) and found.df == 1
    assert found.hypothesis == "dissimilarity(diapers) = 1"
    assert any("1 is no edge" in note and "half" in note for note in found.notes)
    deep = nlogit("choice ~ price", frame, nests=DEEP, **asked)
    assert lr_test(fit, deep).hypothesis == "dissimilarity(brands) = 1"
    common = nlogit("choice ~ price", frame, nests=DEEP, dissimilarity="common", **asked)
    assert lr_test(common, deep).df == 1
    held = nlogit("choice ~ price", frame, nests=NESTS, dissimilarity={"diapers": 0.5}, **asked)
    assert lr_test(held, fit).hypothesis == "dissimilarity(diapers) = 0.5"
    more = nlogit("choice ~ price + time", frame, nests=NESTS, **asked)
    assert lr_test(plain, more).hypothesis == "time = 0, dissimilarity(diapers) = 1"
    other = nlogit("choice ~ price", frame, nests={"bc": ["b", "c"], "an": ["a", "none"]}, **asked)
    with pytest.raises(DesignError, match="does not lie within the nested logit: no dissim"):
        lr_test(fit, other)
    with pytest.raises(DesignError, match="it has 'time' besides"):
        lr_test(clogit("choice ~ time", frame, **asked), fit)
    dearer = clogit("choice ~ price", frame.assign(price=2 * frame["price"]), **asked)
    with pytest.raises(DesignError, match="other regressors of the same names"):
        lr_test(dearer, fit)
    wide = clogit("choice ~ price + time + twice:price + who:price", frame, **asked)
    with pytest.raises(DesignError, match="a nested logit does not lie within a conditional logit"):
        lr_test(fit, wide)
    table = compare_models(plain, fit, names=["plain", "nested"])
    assert "Nested logit" in str(table)


# Quantities -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fit(choices):
    return nlogit("belief ~ price", choices, nests=NESTS, base="none", vcov={"CRV1": "who"})


def moved(fit, frame, alternative, h=1e-6):
    """Change of mean shares by alternative per unit of an alternative's price."""
    step = h * (frame["alternative"] == alternative)
    up = fit.predict(frame.assign(price=frame["price"] + step))
    down = fit.predict(frame.assign(price=frame["price"] - step))
    return ((up - down) / (2 * h)).groupby(frame["alternative"].to_numpy()).mean()


def test_elasticities_are_those_of_the_closed_form(fit, choices):
    """Train (2009), chapter 4, and Greene: own, within the nest, and across nests."""
    one = choices[choices["case"] == 3]
    s = fit.predict(one).set_axis(one["alternative"])
    lam, by = fit.params.iloc[-1], fit.params["price"] * one.set_index("alternative")["price"]
    within = {j: s[j] / (s["a"] + s["b"]) for j in "ab"}
    found = fit.elasticity(kind="matrix", at=one).matrix()
    for j in "ab":
        other = "b" if j == "a" else "a"
        own = by[j] * ((1 - s[j]) + (1 / lam - 1) * (1 - within[j]))
        assert found.loc[j, j] == pytest.approx(own, rel=1e-10)
        inside = -by[j] * (s[j] + (1 / lam - 1) * within[j])
        assert found.loc[other, j] == pytest.approx(inside, rel=1e-10)
        for outside in ("c", "none"):
            assert found.loc[outside, j] == pytest.approx(-by[j] * s[j], rel=1e-10)
    assert found.loc["c", "c"] == pytest.approx(by["c"] * (1 - s["c"]), rel=1e-10)
    assert found.loc["a", "c"] == pytest.approx(-by["c"] * s["c"], rel=1e-10)


@pytest.mark.parametrize("nests", [NESTS, DEEP], ids=["two", "three"])
def test_responses_are_those_of_differences(choices, nests):
    fit = nlogit("belief ~ price", choices, nests=nests, base="none")
    by = moved(fit, choices, "a")
    own = fit.marginal_effects(alternative="a")
    assert own.table["estimate"].iloc[0] == pytest.approx(by["a"], rel=1e-7)
    diverted = fit.diversion(alternative="a").table.set_index("rival")["estimate"]
    for rival in ("none", "b", "c"):
        assert diverted[rival] == pytest.approx(-by[rival] / by["a"], rel=1e-6)
    assert diverted.sum() == pytest.approx(1, rel=1e-10)
    # Half the nest's closeness: the plain logit sends fewer buyers to the other diaper.
    plain = clogit("belief ~ price", choices, base="none").diversion(alternative="a")
    assert diverted["b"] > 1.3 * plain.table.set_index("rival")["estimate"]["b"]


def test_shares_curves_and_predictions_agree(fit, choices):
    p = fit.predict(choices)
    means = p.groupby(choices["alternative"]).mean()
    found = fit.shares().table.set_index("alternative")["estimate"]
    np.testing.assert_allclose(found[means.index], means, rtol=1e-12)
    curve = fit.demand_curve([1.5, 3.0], alternative="b").table
    for price, estimate in zip(curve["price"], curve["estimate"], strict=True):
        at = choices["price"].where(choices["alternative"] != "b", price)
        there = fit.predict(choices.assign(price=at))[(choices["alternative"] == "b").to_numpy()]
        assert estimate == pytest.approx(there.mean(), rel=1e-12)
    scores = fit.scores()
    assert scores.log_score == pytest.approx(
        choices["belief"].to_numpy() @ np.log(p.to_numpy()) / 500, rel=1e-9
    )


def test_surplus_is_the_change_of_the_log_sum(fit, choices):
    def log_sum(frame):
        b, lam = fit.params, fit.params.iloc[-1]
        constant = frame["alternative"].map(lambda j: b.get(f"const:{j}", 0.0))
        v = (constant + b["price"] * frame["price"]).to_numpy().reshape(-1, 4)
        nest = (np.exp(v[:, 1] / lam) + np.exp(v[:, 2] / lam)) ** lam
        return np.log(np.exp(v[:, 0]) + nest + np.exp(v[:, 3]))

    cheap = choices["price"].where(choices["alternative"] != "a", 1.0)
    gain = (log_sum(choices.assign(price=cheap)) - log_sum(choices)) / -fit.params["price"]
    found = fit.consumer_surplus({"a": 1.0})
    assert found.estimate == pytest.approx(gain.mean(), rel=1e-10)


def test_worth_is_the_ratio_of_coefficients(choices):
    frame = choices.assign(wait=choices["case"] % 7 * (choices["alternative"] != "none"))
    fit = nlogit("belief ~ price + wait", frame, nests=NESTS, base="none", vcov="HC1")
    found = fit.willingness_to_pay("wait")
    b, v = fit.params, fit.cov_params()
    assert found.estimate == pytest.approx(-b["wait"] / b["price"], rel=1e-10)
    g = np.array([b["wait"] / b["price"] ** 2, -1 / b["price"]])
    some = v.loc[["price", "wait"], ["price", "wait"]].to_numpy()
    assert found.se == pytest.approx(np.sqrt(g @ some @ g), rel=1e-8)


def test_the_best_price_is_where_profit_is_highest(fit, choices):
    found = fit.optimal_price(0.5, alternative="a")
    best = (choices["alternative"] == "a").to_numpy()

    def loss(p):
        at = choices["price"].where(~best, p)
        return -(p - 0.5) * fit.predict(choices.assign(price=at))[best].mean()

    by_hand = optimize.minimize_scalar(loss, bounds=(0.6, 5), method="bounded")
    assert found.estimate == pytest.approx(by_hand.x, abs=1e-4)


def test_delta_intervals_are_those_of_numerical_derivatives(fit, choices):
    found = fit.elasticity(alternative="a", at=choices[choices["case"] < 40])
    frame, b = choices[choices["case"] < 40], fit.params.to_numpy()
    mine = (frame["alternative"] == "a").to_numpy()

    def value(b):
        frame_ = frame[["case", "alternative", "price"]]
        s = fit.__class__.predict(with_params(fit, b), frame_)[mine].to_numpy()
        nest = (
            s
            + with_params(fit, b)
            .predict(frame_)[(frame["alternative"] == "b").to_numpy()]
            .to_numpy()
        )
        own = (1 - s) + (1 / b[-1] - 1) * (1 - s / nest)
        return b[0] * frame["price"].to_numpy()[mine] * own

    np.testing.assert_allclose(found.table["estimate"], value(b), rtol=1e-10)
    h = 1e-5 * np.eye(len(b))
    g = np.array([(value(b + k) - value(b - k)) / 2e-5 for k in h]).T
    se = np.sqrt(np.einsum("ij,jk,ik->i", g, fit.cov_params().to_numpy(), g))
    np.testing.assert_allclose(found.table["se"], se, rtol=1e-6)


def with_params(fit, b):
    return replace(fit, params=pd.Series(b, fit.params.index))


def test_draws_with_an_impossible_dissimilarity_are_counted_out(choices):
    few = choices[choices["case"] < 30]
    fit = nlogit("choice ~ price", few, nests=NESTS, dissimilarity="free", base="none")
    wide = replace(fit, cov=fit.cov * 9)
    found = wide.elasticity(alternative="a", ci="krinsky-robb", reps=200)
    assert any("draws have no estimate and are left out" in note for note in found.notes)


# In the long run --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("outcome", ["choice", "belief"])
def test_intervals_cover_the_truth(outcome):
    truth = np.array([*TRUTH, 0.8, 0.4])
    hits, estimates = [], []
    for seed in range(200):
        fit = nlogit(
            f"{outcome} ~ price", market([0.8, 0.4], DEEP, seed=100 + seed), nests=DEEP, base="none"
        )
        interval = fit.conf_int().to_numpy()
        hits.append((interval[:, 0] < truth) & (truth < interval[:, 1]))
        estimates.append(fit.params.to_numpy())
    covered, middle = np.mean(hits, axis=0), np.mean(estimates, axis=0)
    assert (covered > 0.9).all() and (covered < 0.99).all(), covered
    np.testing.assert_allclose(middle, truth, rtol=0.05)
