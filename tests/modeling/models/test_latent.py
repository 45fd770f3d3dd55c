"""What a latent class logit answers."""

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import LLMDemandError, UsageError


@pytest.fixture(scope="module")
def iid(segments):
    options = {"vcov": "iid", **segments.options}
    return ld.lclogit(segments.formula, segments.choices, membership="income", **options)


@pytest.fixture(scope="module")
def plain(segments):
    return ld.lclogit(segments.formula, segments.choices, vcov="iid", **segments.options)


def by_class(segments, price=0.0):
    """Probabilities of classes a, b, c and (row, class) shares, by hand."""
    b = segments.fit.params.to_numpy()
    x = segments.choices[["price", "quality"]].to_numpy(float)
    x = x + np.outer(segments.choices["alternative"] == "a", [price, 0.0])
    e = np.exp(x @ b[:4].reshape(2, 2).T)
    p = e / pd.DataFrame(e).groupby(segments.choices["case"]).transform("sum").to_numpy()
    odds = np.exp(b[4] + b[5] * segments.choices["income"].to_numpy())
    pi = np.column_stack([1 / (1 + odds), odds / (1 + odds)])
    return p, pi


def test_predictions_are_means_over_classes(segments):
    p, pi = by_class(segments)
    np.testing.assert_allclose(
        segments.fit.predict(segments.choices), (p * pi).sum(axis=1), rtol=1e-10
    )
    np.testing.assert_allclose(
        np.sort(segments.fit.predict()), np.sort(segments.fit.predict(segments.choices)), rtol=1e-12
    )
    rows = segments.fit.predict(segments.choices.iloc[::-1], se=True)
    np.testing.assert_allclose(rows["predicted"][::-1], (p * pi).sum(axis=1), rtol=1e-10)
    assert (rows["se"] > 0).all()


def test_scores_in_and_out_of_sample_agree(segments):
    p, pi = by_class(segments)
    chosen = segments.choices["choice"] == 1
    log_score = np.log((p * pi).sum(axis=1)[chosen]).mean()
    assert segments.fit.scores().log_score == pytest.approx(log_score, rel=1e-10)
    assert segments.fit.scores(segments.choices).log_score == pytest.approx(log_score, rel=1e-10)
    plain = ld.clogit(segments.formula, segments.choices)
    table = ld.compare_models(plain, segments.fit)
    assert table["log_score"].iloc[1] > table["log_score"].iloc[0]


def test_elasticities_by_finite_differences(segments):
    a = (segments.choices["alternative"] == "a").to_numpy()
    h = 1e-6
    (up, pi), (down, _), (p, _) = by_class(segments, h), by_class(segments, -h), by_class(segments)
    slope = ((up - down) * pi).sum(axis=1)[a] / (2 * h)
    price, s = segments.choices["price"][a].to_numpy(), (p * pi).sum(axis=1)[a]
    found = segments.fit.elasticity(alternative="a")
    assert float(found) == pytest.approx((slope * price / s).mean(), rel=1e-6)
    assert found.se > 0
    matrix = segments.fit.elasticity(kind="matrix").matrix()
    assert (np.diag(matrix) < 0).all() and matrix.loc["b", "a"] > 0


def test_surplus_by_hand(segments):
    """The gain of each class in its own money, averaged by its share."""
    b, (_, pi) = segments.fit.params.to_numpy()[:4].reshape(2, 2), by_class(segments)
    first = ~segments.choices["case"].duplicated().to_numpy()

    def log_sums(change):
        a = segments.choices["alternative"] == "a"
        price = segments.choices["price"].mask(a & change, 1.5)
        e = np.exp(np.column_stack([price, segments.choices["quality"]]) @ b.T)
        return np.log(pd.DataFrame(e).groupby(segments.choices["case"].to_numpy()).sum())

    gain = ((log_sums(True) - log_sums(False)) / -b[:, 0]).to_numpy()
    expected = (gain * pi[first]).sum(axis=1).mean()
    assert float(segments.fit.consumer_surplus({"a": 1.5})) == pytest.approx(expected, rel=1e-9)


def test_willingness_to_pay_of_all_and_by_class(segments):
    b = segments.fit.params.to_numpy()
    _, pi = by_class(segments)
    worth = -b[[1, 3]] / b[[0, 2]]
    assert float(segments.fit.willingness_to_pay("quality")) == pytest.approx(
        float((pi @ worth).mean())
    )
    for c in (1, 2):
        found = segments.fit.of_class(c).willingness_to_pay("quality")
        assert float(found) == pytest.approx(worth[c - 1], rel=1e-10)
        v = segments.fit.cov.to_numpy()[2 * c - 2 : 2 * c, 2 * c - 2 : 2 * c]
        g = np.array([b[2 * c - 1] / b[2 * c - 2] ** 2, -1 / b[2 * c - 2]])
        assert found.se == pytest.approx(np.sqrt(g @ v @ g), rel=1e-9)
    elastic = [float(segments.fit.of_class(c).elasticity(alternative="a")) for c in (1, 2)]
    assert elastic[1] < elastic[0] < 0
    again = segments.fit.of_class(2).willingness_to_pay("quality", ci="bootstrap", reps=8)
    assert again.se > 0 and again.lower < worth[1] < again.upper
    with pytest.raises(UsageError, match="no class 3: they are numbered 1 to 2"):
        segments.fit.of_class(3)


def test_shares_of_classes(segments, plain):
    found = segments.fit.class_shares()
    _, pi = by_class(segments)
    np.testing.assert_allclose(found.estimate, pi.mean(axis=0), rtol=1e-10)
    assert found.se[0] == pytest.approx(found.se[1], rel=1e-9)
    one = plain.class_shares()
    s = 1 / (1 + np.exp(-plain.params["share[2]:const"]))
    assert one.estimate[1] == pytest.approx(s, rel=1e-12)
    assert one.se[1] == pytest.approx(s * (1 - s) * plain.bse["share[2]:const"], rel=1e-9)
    ax = found.plot()
    assert len(ax.patches) == 2
    assert 0 < segments.fit.entropy_r2 < 1


def test_terms_can_be_named(segments):
    assert segments.fit.wald_test("price[1] = price[2]").pvalue < 1e-3
    assert "price[2]" in str(ld.etable(segments.fit))
    text = str(segments.fit.summary())
    assert "2 classes of" in text and "share[2]:income" in text
    assert segments.fit.t_test("price[1] - price[2] = 0") is not None


def test_covariances_agree_roughly(segments, iid):
    """The same sampling error by other ways: the model is true here."""
    choices = segments.choices[segments.choices["person"] < 100]
    options = {"membership": "income", "panel": "person", "starts": 2}
    fit = ld.lclogit(segments.formula, choices, **options)
    tastes = list(fit.params.index[:4])
    for vcov in ({"CRV3": "person"}, {"pairs": "person", "reps": 50}):
        other = ld.lclogit(segments.formula, choices, vcov=vcov, **options)
        assert (other.params == fit.params).all()
        assert (other.bse / fit.bse)[tastes].between(0.6, 1.6).all()
    assert (iid.bse / segments.fit.bse)[tastes].between(0.7, 1.4).all()
    coarse = choices.assign(town=choices["person"] // 5)
    town = ld.lclogit(segments.formula, coarse, vcov={"CRV1": "town"}, **options)
    assert town.clusters == 20 and (town.params == fit.params).all()


def test_likelihood_ratios_within_a_number_of_classes_only(segments, iid, plain):
    found = ld.lr_test(plain, iid)
    assert found.df == 1 and found.pvalue < 1e-4
    assert "share[2]:income = 0" in str(found)
    one = ld.clogit(segments.formula, segments.choices, vcov="iid")
    with pytest.raises(UsageError, match=r"models of 1 and 2 classes.*class_numbers"):
        ld.lr_test(one, iid)
    with pytest.raises(UsageError, match="class_numbers"):
        _ = iid.llr_pvalue
    with pytest.raises(LLMDemandError, match="for plain logits"):
        iid.score_test("price[1] = 0")


def test_a_price_that_membership_depends_on_has_no_derivative_but_in_a_class(segments):
    """Each person has seen one price of a: utilities alone would tell half of the answer."""
    rng = np.random.default_rng(4)
    mine = pd.Series(rng.uniform(1, 3, 200))
    frame = segments.choices.assign(mine=segments.choices["person"].map(mine).to_numpy())
    frame["price"] = frame["price"].mask(frame["alternative"] == "a", frame["mine"])
    options = {"panel": "person", "starts": 1}
    fit = ld.lclogit("choice ~ price + mine:quality | 0", frame, membership="mine", **options)
    for ask in (
        lambda: fit.marginal_effects("mine", alternative="a"),
        lambda: fit.willingness_to_pay("mine"),
    ):
        with pytest.raises(LLMDemandError, match="who belongs to which class depends on it"):
            ask()
    assert fit.elasticity(alternative="a").se > 0
    moved = fit.simulate({"a": [1.5]}, at={"mine": 2.0})
    assert len(moved.table)
    assert fit.of_class(1).marginal_effects("mine", alternative="a").se > 0
    assert "class 1 of 2, choice, price" in repr(fit.of_class(1))


def test_respondents_who_answered_once_are_said(segments):
    options = {**segments.options, "panel": None}
    fit = ld.lclogit(segments.formula, segments.choices, **options)
    cases = segments.choices["case"].nunique()
    assert any(f"{cases} of {cases} respondents answered one situation" in n for n in fit.notes)
    assert not any("answered one situation" in n for n in segments.fit.notes)


def test_what_pairs_answer_and_what_they_do_not(segments):
    frame = segments.corrected(segments.market(80, beliefs=True))
    fit = ld.lclogit(segments.formula, frame, panel="person", starts=2, read="read")
    assert fit.class_shares().estimate.sum() == pytest.approx(1)
    assert fit.elasticity(alternative="a").se > 0
    assert fit.of_class(2).willingness_to_pay("quality").se > 0
    assert "entropy" not in str(fit.summary())
    for ask in (fit.posterior, fit.individual, lambda: fit.entropy_r2):
        with pytest.raises(UsageError, match="which a pairwise likelihood has not"):
            ask()
