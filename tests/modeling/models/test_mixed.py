"""Mixed logit as users meet it: from a table to estimates, tastes and quantities."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.models.mixed import mixlogit


def market(
    people=150, tasks=6, alternatives=3, seed=1, sd=(0.8, 0.6), mean=(-1.0, 0.5), prices=1.0
):
    """Choices, and the beliefs they are drawn from, of people whose tastes are normal."""
    rng = np.random.default_rng(seed)
    cases = people * tasks
    x = rng.normal(size=(cases, alternatives, 3)) * [prices, 1, 1]
    b = np.column_stack([rng.normal(m, s, people) for m, s in zip(mean, sd, strict=True)])
    b = np.column_stack([b, np.full(people, 0.3)])
    who = np.repeat(np.arange(people), tasks)
    v = np.einsum("njk,nk->nj", x, b[who])
    p = np.exp(v)
    p /= p.sum(axis=1, keepdims=True)
    chosen = (p.cumsum(axis=1) < rng.random((cases, 1))).sum(axis=1)
    frame = pd.DataFrame(x.reshape(-1, 3), columns=["price", "size", "brand"])
    return frame.assign(
        case=np.repeat(np.arange(cases), alternatives),
        alternative=list("abcdef"[:alternatives]) * cases,
        person=np.repeat(who, alternatives),
        household=np.repeat(who // 3, alternatives),
        choice=(np.arange(alternatives) == chosen[:, None]).astype(int).ravel(),
        belief=p.ravel(),
    )


FORMULA = "choice ~ price + size + brand | 0"
RANDOM = {"price": "normal", "size": "normal"}


def fitted(frame, formula=FORMULA, **options):
    given = {"random": RANDOM, "panel": "person", "draws": 64, "starts": 1} | options
    return mixlogit(formula, frame, **given)


@pytest.fixture(scope="module")
def frame():
    return market()


@pytest.fixture(scope="module")
def fit(frame):
    return fitted(frame)


def test_it_recovers_tastes(fit):
    truth = {"price": -1, "size": 0.5, "brand": 0.3, "sd(price)": 0.8, "sd(size)": 0.6}
    assert list(fit.params.index) == list(truth)
    assert (np.abs(fit.params - pd.Series(truth)) / fit.bse).max() < 3
    assert fit.llf > ld.clogit(FORMULA, market()).llf + 15


def test_robust_errors_are_of_respondents(frame, fit):
    assert (fit.vcov, fit.ssc, fit.clusters, fit.df) == (
        "CRV1 (clusters: person)",
        "G/(G-1)",
        150,
        149,
    )
    same = fitted(frame, vcov={"CRV1": "person"})
    pd.testing.assert_frame_equal(same.cov, fit.cov)
    scores = fit.data.scores(fit.params.to_numpy())
    bread = np.linalg.inv(fit.data.information(fit.params.to_numpy()))
    expected = 150 / 149 * bread @ scores.T @ scores @ bread
    np.testing.assert_allclose(fit.cov, expected, rtol=1e-10)
    iid = fitted(frame, vcov="iid")
    np.testing.assert_allclose(iid.cov, bread, rtol=1e-10)
    assert (iid.clusters, iid.df) == (None, np.inf)


def test_errors_clustered_by_more_than_respondents(frame, fit):
    coarse = fitted(frame, vcov={"CRV1": "household"})
    scores = fit.data.scores(fit.params.to_numpy()).reshape(50, 3, -1).sum(axis=1)
    bread = np.linalg.inv(fit.data.information(fit.params.to_numpy()))
    expected = 50 / 49 * bread @ scores.T @ scores @ bread
    np.testing.assert_allclose(coarse.cov, expected, rtol=1e-8)
    with pytest.raises(DesignError, match="varies within a respondent person"):
        fitted(frame, vcov={"CRV1": "case"})


def test_jackknife_and_bootstrap_by_respondent():
    frame = market(people=30, tasks=8, seed=4)
    robust = fitted(frame, random={"price": "normal"})
    jackknife = fitted(frame, random={"price": "normal"}, vcov={"CRV3": "person"})
    pairs = fitted(frame, random={"price": "normal"}, vcov={"pairs": "person", "reps": 60})
    assert pairs.vcov == "pairs bootstrap (clusters: person; 60 draws, seed 1)"
    assert (jackknife.clusters, pairs.clusters, pairs.df) == (30, 30, 29)
    for other in (jackknife, pairs):
        ratio = other.bse / robust.bse
        assert ((ratio > 0.6) & (ratio < 1.9)).all()
        assert (ratio != 1).all()


@pytest.mark.parametrize("vcov", ["HC2", "HC3", {"within": "person"}, {"score": "person"}])
def test_what_only_plain_logits_have_is_refused(frame, vcov):
    with pytest.raises(UsageError, match="is for plain logits"):
        fitted(frame, vcov=vcov)


def test_no_order_of_rows_moves_a_bit(frame, fit):
    mixed = frame.sample(frac=1, random_state=3)
    again = fitted(mixed)
    assert (again.params == fit.params).all() and (again.cov == fit.cov).all(axis=None)
    pd.testing.assert_frame_equal(again.individual(), fit.individual())


def test_cases_may_be_numbered_across_respondents(frame, fit):
    task = frame["case"] % 6
    again = fitted(frame.assign(case=task * 150 + frame["person"]))
    np.testing.assert_allclose(again.params, fit.params, rtol=1e-9)
    assert again.clusters == 150
    with pytest.raises(DesignError, match="varies within case"):
        fitted(frame.assign(person=frame["person"] + (frame["alternative"] == "a")))


def test_a_frequency_weight_is_respondents_like_this_one():
    frame = market(people=40)
    draws = np.random.default_rng(3).uniform(size=(40, 64, 2))
    count = 1 + np.arange(40) % 3
    once = fitted(frame.assign(n=count[frame["person"]]), weights="n", draws=draws, na="raise")
    copies = [
        frame[frame["person"].map(lambda i, k=k: count[i] > k)].assign(copy=k) for k in range(3)
    ]
    long = pd.concat(copies)
    long["case"] = long["case"] * 3 + long["copy"]
    long["person"] = long["person"] * 3 + long["copy"]
    whose = long.drop_duplicates("person").sort_values("person")["person"].to_numpy() // 3
    several = fitted(long, draws=draws[whose])
    np.testing.assert_allclose(once.params, several.params, rtol=1e-9)
    np.testing.assert_allclose(once.cov, several.cov, rtol=1e-7)
    assert (once.clusters, once.nobs) == (several.clusters, several.nobs)


def test_sampling_weights_enter_the_variance_squared(frame, fit):
    doubled = fitted(frame.assign(w=2.0), weights="w", weights_type="sampling")
    np.testing.assert_allclose(doubled.params, fit.params, rtol=1e-8)
    np.testing.assert_allclose(doubled.cov, fit.cov, rtol=1e-7)
    with pytest.raises(UsageError, match="iid standard errors have no meaning"):
        fitted(frame.assign(w=2.0), weights="w", weights_type="sampling", vcov="iid")
    uneven = frame.assign(w=1.0 + frame["case"] % 2)
    with pytest.raises(DesignError, match="belong to the respondent"):
        fitted(uneven, weights="w")


def test_given_draws_are_used_as_they_are(frame):
    draws = np.random.default_rng(1).uniform(size=(150, 50, 2))
    fit = fitted(frame, draws=draws)
    assert "50 draws given" in fit.notes
    np.testing.assert_array_equal(fit.data.standard, fit.kernel.law.standard(draws))


def test_draws_are_doubled_until_nothing_moves(frame):
    fit = fitted(frame, draws=None)
    (note,) = [n for n in fit.notes if "draws" in n]
    assert "no estimate moved by more than" in note
    size = int(note.split()[0])
    assert fit.data.standard.shape[1] == size
    other = fitted(frame, draws=size // 2)
    iid = np.sqrt(np.diag(np.linalg.inv(fit.data.information(fit.params.to_numpy()))))
    assert (np.abs(fit.params - other.params) / iid).max() < 0.1


def test_several_starts_are_compared(frame):
    fit = fitted(frame, starts=4)
    assert any("4 starts end at one maximum" in note for note in fit.notes)


def test_too_few_draws_are_said(frame):
    fit = fitted(frame, draws=8)
    assert any("more are needed, draws=None finds how many" in note for note in fit.notes)


# Tastes ----------------------------------------------------------------------------------------


def test_individual_tastes_are_those_of_the_respondents(frame, fit):
    found = fit.individual()
    assert found.index.name == "person" and found.index.tolist() == list(range(150))
    assert list(found.columns) == ["price", "sd(price)", "size", "sd(size)"]
    # The law of total variance, at the estimates.
    total = found["price"].var() + (found["sd(price)"] ** 2).mean()
    assert total == pytest.approx(fit.params["sd(price)"] ** 2, rel=0.1)
    assert found["price"].mean() == pytest.approx(fit.params["price"], abs=0.05)
    named = fitted(frame.assign(person=frame["person"].map(lambda i: f"p{i:03d}")))
    assert named.individual().index[7] == "p007"
    np.testing.assert_array_equal(named.individual()["price"], found["price"])


def test_moments_of_lognormal_coefficients_are_of_themselves(frame):
    fit = fitted(frame, random={"price": "lognormal-", "size": "normal"}, correlated=True)
    m, s = fit.params["mean(ln -price)"], fit.params["chol(ln -price, ln -price)"]
    found = fit.random_coefficients()
    table = found.table.set_index(["coefficient", "statistic"])
    assert table.loc[("price", "mean"), "estimate"] == pytest.approx(-np.exp(m + s * s / 2))
    assert table.loc[("price", "median"), "estimate"] == pytest.approx(-np.exp(m))
    z = fit.kernel.law.standard(np.random.default_rng(1).uniform(size=(400_000, 2)))
    law, b = fit.kernel.law, fit.params.to_numpy()
    beta = law.tastes(law.index(b, law.features(z[None])[0]))
    sd = table.xs("sd", level="statistic")["estimate"]
    np.testing.assert_allclose(beta[:2].std(axis=1), sd, rtol=0.02)
    correlation = fit.random_coefficients("correlations")
    assert correlation.estimate == pytest.approx(np.corrcoef(beta[:2])[0, 1], abs=0.01)
    assert correlation.se > 0
    below = table.loc[("size", "share below zero"), "estimate"]
    assert below == pytest.approx((beta[1] < 0).mean(), abs=0.005)
    with pytest.raises(UsageError, match="vary independently"):
        fitted(frame).random_coefficients("covariances")


def test_a_law_is_drawn_over_the_individual_means(fit):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    axes = fit.plot_law("size")
    assert axes.get_xlabel() == "size" and len(axes.patches) == 30
    x, y = axes.lines[0].get_data()
    area = float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)))
    assert area == pytest.approx(1, abs=0.02)
    # It is drawn where it lies, also far from zero, and bars have the width of the law.
    far = replace(fit, params=fit.params.replace({fit.params["size"]: 20.0})).plot_law("size")
    assert far.get_xlim()[0] > 10
    wide = sum(p.get_width() for p in far.patches)
    assert wide == pytest.approx(float(np.ptp(far.lines[0].get_xdata())), rel=1e-6)
    with pytest.raises(UsageError, match="no coefficient that varies"):
        fit.plot_law("brand")
    plt.close("all")


def test_skewed_tastes_are_said():
    frame = market(people=400, tasks=12, sd=(0.01, 0.01))
    rng = np.random.default_rng(2)
    slope = -np.exp(rng.normal(-0.5, 1.0, 400))
    v = slope[frame["person"]] * frame["price"] + rng.gumbel(size=len(frame))
    best = v.groupby(frame["case"]).transform("max")
    skewed = frame.assign(choice=(v == best).astype(int))
    notes = fitted(skewed, random={"price": "normal"}).notes
    assert any("skewed: price (-" in note for note in notes)
    assert not any("skewed" in n for n in fitted(market(people=400, tasks=12)).notes)


# Beliefs ---------------------------------------------------------------------------------------


def test_beliefs_tell_spreads_more_precisely_than_choices(frame, fit):
    belief = fitted(frame, "belief ~ price + size + brand | 0")
    assert belief.fractional and "quasi-likelihood" in belief.title
    assert (belief.bse < 0.75 * fit.bse).all()
    assert abs(belief.params["sd(price)"] - 0.8) < 3 * belief.bse["sd(price)"]
    assert any("sequence quasi-likelihood" in note for note in belief.notes)
    for what in ("deviance", "null_deviance"):
        with pytest.raises(UsageError, match="no perfect fit"):
            getattr(belief, what)


def corrected(frame, seed=5, amount=0.4):
    """Beliefs with noise of mean zero that sums to nothing in a case: outside [0, 1] at times."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-amount, amount, len(frame))
    noise -= pd.Series(noise).groupby(frame["case"].to_numpy()).transform("mean").to_numpy()
    return frame.assign(belief=frame["belief"] + noise, read=1.0)


def test_corrected_beliefs_are_fitted_by_pairs():
    frame = corrected(market(people=300, tasks=8))
    assert frame["belief"].min() < 0
    fit = fitted(frame, "belief ~ price + size + brand | 0", read="read")
    truth = pd.Series({"price": -1, "size": 0.5, "brand": 0.3, "sd(price)": 0.8, "sd(size)": 0.6})
    assert (np.abs(fit.params - truth) / fit.bse).max() < 3.5
    assert (fit.bse < 0.1).all()
    assert any("pairwise quasi-likelihood" in note for note in fit.notes)
    with pytest.raises(UsageError, match="likelihood='pairwise'"):
        fitted(frame, "belief ~ price + size + brand | 0", read="read", likelihood="sequence")
    with pytest.raises(UsageError, match="pairwise likelihood has not"):
        fit.individual()


def test_pairs_agree_with_sequences(frame):
    sequence = fitted(frame, "belief ~ price + size + brand | 0")
    pairs = fitted(frame, "belief ~ price + size + brand | 0", likelihood="pairwise")
    assert (np.abs(sequence.params - pairs.params) / sequence.bse).max() < 2
    assert pairs.llnull == pytest.approx(ld.clogit("belief ~ price | 0", frame).llnull, rel=1e-12)


@pytest.mark.slow
def test_beliefs_are_three_times_as_precise_as_choices_of_known_truth():
    """Price sd .80 of 300 people x 8 situations x 3 alternatives, drawn anew 40 times."""
    found = {"belief": [], "choice": []}
    for seed in range(40):
        frame = market(people=300, tasks=8, seed=seed, sd=(0.8, 0.0), prices=0.45)
        for outcome, values in found.items():
            one = fitted(
                frame,
                f"{outcome} ~ price + size + brand | 0",
                random={"price": "normal"},
                draws=256,
            )
            values.append((one.params["sd(price)"], one.bse["sd(price)"]))
    belief, choice = (np.array(v) for v in found.values())
    for values in (belief, choice):
        assert abs(values[:, 0].mean() - 0.8) < 3 * values[:, 0].std() / np.sqrt(40) + 0.01
        covered = np.abs(values[:, 0] - 0.8) < 1.97 * values[:, 1]
        assert covered.mean() > 0.8
    # Found: .041 and .123.
    assert choice[:, 0].std() > 2.2 * belief[:, 0].std()
    assert belief[:, 0].std() < 0.055


# Quantities and tests -----------------------------------------------------------------------------


def test_quantities_average_over_tastes(frame, fit):
    one = frame[frame["case"] == 0]
    share = fit.shares(at=one).estimate
    law, b = fit.kernel.law, fit.params.to_numpy()
    z = law.standard(np.random.default_rng(1).uniform(size=(200_000, 2)))
    v = one[["price", "size", "brand"]].to_numpy() @ law.tastes(
        law.index(b, law.features(z[None])[0])
    )
    p = np.exp(v) / np.exp(v).sum(axis=0)
    np.testing.assert_allclose(share, p.mean(axis=1), atol=2e-3)
    np.testing.assert_allclose(fit.predict(one), share, rtol=1e-12)
    with_price = one.assign(price=one["price"] + 1e-6 * (one["alternative"] == "a"))
    slope = (fit.predict(with_price).to_numpy() - share)[0] / 1e-6
    own = fit.marginal_effects(at=one).table
    own = own[(own["alternative"] == "a") & (own.get("rival", "a") == "a")]["estimate"].iloc[0]
    assert own == pytest.approx(slope, rel=1e-4)


def test_a_mean_of_ratios_that_does_not_exist_is_refused(frame, fit):
    with pytest.raises(DesignError, match="has no mean"):
        fit.willingness_to_pay("size")
    fixed = fitted(frame, random={"size": "normal"})
    worth = fixed.willingness_to_pay("size")
    ratio = -fixed.params["size"] / fixed.params["price"]
    assert worth.estimate == pytest.approx(ratio, rel=1e-2)
    space = fitted(frame, random={"size": "normal"}, space="wtp")
    assert space.llf == pytest.approx(fixed.llf, abs=1e-6)
    assert space.params["size"] == pytest.approx(ratio, rel=1e-6)
    table = space.random_coefficients().table
    assert table["estimate"][0] == pytest.approx(ratio, rel=1e-6)
    assert fitted(frame, random={"price": "lognormal-"}).willingness_to_pay("size").se > 0


def test_likelihood_ratios_where_respondents_are_the_units(frame, fit):
    plain = ld.clogit(FORMULA, frame)
    test = ld.lr_test(plain, fit)
    assert test.statistic == pytest.approx(2 * (fit.llf - plain.llf)) and test.df == 2
    assert any("edge" in note for note in test.notes)
    with pytest.raises(UsageError, match="clustered by household"):
        ld.lr_test(plain, fitted(frame, vcov={"CRV1": "household"}))
    with pytest.raises(UsageError, match="quasi-likelihood"):
        ld.lr_test(plain, fitted(frame, "belief ~ price + size + brand | 0"))
    correlated = fitted(frame, correlated=True)
    assert ld.lr_test(fit, correlated).df == 1
    lognormal = fitted(frame, random={"price": "lognormal-", "size": "normal"})
    assert ld.lr_test(plain, lognormal).df == 2
    uniform = fitted(frame, random={"price": "uniform"})
    with pytest.raises(DesignError, match="other laws of tastes"):
        ld.lr_test(uniform, fitted(frame, random={"price": "triangular", "size": "normal"}))


def test_tables_and_scores(frame, fit):
    plain = ld.clogit(FORMULA, frame)
    table = ld.compare_models(plain, fit, names=["plain", "mixed"])
    assert table.loc["mixed", "aic"] == pytest.approx(10 - 2 * fit.llf)
    assert table.loc["mixed", "log_score"] == pytest.approx(fit.scores().log_score)
    assert "sd(price)" in str(ld.etable(plain, fit))
    assert "CRV1 (clusters: person)" in str(fit.summary())
    assert fit.deviance == pytest.approx(-2 * fit.llf)
    assert fit.fittedvalues.groupby(fit.frame["case"]).sum().round(9).eq(1).all()
    assert fit.llnull == pytest.approx(plain.llnull)


# What is asked of it ---------------------------------------------------------------------------


def test_a_variable_names_its_own_terms_alone(frame):
    named = frame.assign(price_sq=frame["price"] ** 2, kind=frame["alternative"].map(str.upper))
    fit = fitted(named, "choice ~ price + price_sq + size + price:size | 0")
    assert "sd(price_sq)" not in fit.params.index
    assert {"sd(price)", "sd(size)"} < set(fit.params.index)
    fit = fitted(named, "choice ~ price + C(kind) | 0", random={"kind": "normal"})
    assert {"sd(C(kind)[T.B])", "sd(C(kind)[T.C])"} < set(fit.params.index)
    fit = fitted(named, "choice ~ price", random={"const": "zero-normal"})
    assert list(fit.params.index) == ["price", "sd(const:b)", "sd(const:c)"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"random": {}}, "name the coefficients that vary"),
        ({"random": "price"}, "give the law of each coefficient"),
        ({"random": {"price": "lognormal"}}, "name the sign"),
        ({"random": {"price": "gaussian"}}, "use normal"),
        ({"random": {"prise": "normal"}}, "did you mean 'price'"),
        ({"correlated": True, "random": {"price": "normal"}}, "need two normal"),
        ({"correlated": ["size"], "random": {"size": "uniform"}}, "no normal or lognormal"),
        ({"space": "wtp"}, "one sign"),
        ({"space": "wtp", "price": "cost"}, "is no term"),
        ({"space": "money"}, "space"),
        ({"draws": 1}, "at least 2"),
        ({"draws": 2.5}, "draws=2.5"),
        ({"starts": 0}, "starts=0"),
        ({"sequences": 1}, "sequences=1"),
        ({"sequence": "random"}, "sequence"),
        ({"likelihood": "marginal"}, "likelihood"),
        ({"separation": "firth"}, "Firth"),
    ],
)
def test_impossible_options_are_met_in_words(frame, options, text):
    with pytest.raises(UsageError, match=text):
        fitted(frame, **options)


def test_data_that_tell_no_spread_are_met_in_words(frame):
    with pytest.raises(DesignError, match="5 respondents for 5 parameters"):
        fitted(frame[frame["person"] < 5])
    few = frame.assign(rare=frame["brand"].where(frame["person"] < 1, 0.0))
    with pytest.raises(DesignError, match="'rare' varies within the choice sets of 1 of 150"):
        fitted(few, "choice ~ price + rare | 0", random={"rare": "normal"})
    with pytest.raises(DesignError, match="missing values in 'person'"):
        fitted(frame.assign(person=frame["person"].where(frame["person"] > 0)))
    with pytest.raises(DesignError, match="no column 'someone' of respondents"):
        fitted(frame, panel="someone")


def test_single_situations_are_said(frame):
    first = frame[frame.groupby("person")["case"].transform("min") == frame["case"]]
    note = "150 of 150 respondents answered one situation"
    assert any(note in n for n in fitted(first, random={"price": "normal"}).notes)
    with pytest.raises(DesignError, match="0 of 150 respondents answered two situations"):
        fitted(first, "belief ~ price + size + brand | 0", likelihood="pairwise")


def test_a_spread_at_the_edge_is_said():
    frame = market(people=120, sd=(0.0, 0.6), seed=2)
    notes = {seed: fitted(market(people=120, sd=(0.0, 0.6), seed=seed)).notes for seed in (2, 3, 5)}
    assert any("at the edge, no spread is seen" in n for some in notes.values() for n in some)
    assert (fitted(frame).params[["sd(price)", "sd(size)"]] >= 0).all()


def test_a_lognormal_law_of_the_wrong_sign_is_refused():
    """Its coefficients would run to zero, and be reported as an estimate."""
    liked = market(people=80, mean=(1.0, 0.5), sd=(0.2, 0.2))
    with pytest.raises(DesignError, match=r"'price': its negative lognormal .* 'lognormal\+'"):
        mixlogit(FORMULA, liked, random={"price": "lognormal-"}, panel="person", draws=64)
    right = mixlogit(FORMULA, liked, random={"price": "lognormal+"}, panel="person", draws=64)
    assert right.params["mean(ln price)"] == pytest.approx(0.0, abs=0.3)
