"""Calibration of panels that are no simple random samples: weights, strata, clusters, margins."""

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.ppi import CalibrationWarning, calibrate
from llmdemand.calibration.samples.samples import pair
from llmdemand.calibration.samples.surveyed import Survey
from llmdemand.errors import DesignError, UsageError

pytestmark = pytest.mark.numbers

PRICES = np.array([30.0, 35.0, 40.0, 45.0])
OTHERS = pytest.mark.filterwarnings("ignore:the LLM's beliefs for the humans:UserWarning")
FEW = pytest.mark.filterwarnings("ignore:.*independent units:UserWarning")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def population(size, seed, first=0):
    """People in two segments, which differ in taste; a model that knows part of it."""
    rng = np.random.default_rng(seed)
    taste, noise = rng.standard_normal((2, size))
    old = taste + rng.standard_normal(size) > 0
    price = PRICES[rng.permutation(size) % 4]
    chance = sigmoid(-0.25 * (price - 37) + 1.5 * taste)
    return pd.DataFrame(
        {
            "respondent_id": first + np.arange(size),
            "price": price,
            "choice": (rng.random(size) < chance) * 1.0,
            "belief": sigmoid(-0.1 * (price - 37) + 1 + 1.5 * (0.8 * taste + 0.6 * noise)),
            "segment": np.where(old, "old", "young"),
            "store": rng.integers(0, 12, size),
            "w": np.where(old, 1.0, 4.0),
        }
    )


def sides(humans=200, llm=600, seed=1):
    """Humans, four times as often old as young people; beliefs of them and of a fair pool."""
    everybody = population(6 * humans, seed)
    kept = np.random.default_rng(seed).random(len(everybody)) < 1 / everybody["w"]
    people = everybody[kept].iloc[:humans]
    pool = population(llm, seed + 1, first=10**6)
    beliefs = pd.concat([people, pool], ignore_index=True).drop(columns=["choice", "w"])
    return people.drop(columns="belief"), beliefs


def quick(humans, beliefs, **options):
    return calibrate(humans, beliefs, reps=2, prompt_chosen_on="nobody", **options)


def agree(one, other, rtol=1e-9):
    np.testing.assert_allclose(one.params, other.params, rtol=rtol)
    np.testing.assert_allclose(one.cov, other.cov, rtol=10 * rtol)


# Weights ------------------------------------------------------------------------------------


@FEW
def test_at_lambda_zero_it_is_the_weighted_logit():
    humans, beliefs = sides()
    plain = ld.logit(
        "choice ~ price",
        humans,
        weights="w",
        weights_type="sampling",
        vcov={"CRV1": "respondent_id"},
    )
    agree(quick(humans, beliefs, weights="w", lam=0, design="sampled"), plain)
    found = quick(humans, beliefs, weights="w", lam=0)
    np.testing.assert_allclose(found.params, plain.params, rtol=1e-9)
    square = humans["w"] ** 2
    free = square.sum() ** 2 / (square**2).sum() - 1
    assert quick(humans, beliefs, weights="w", lam=0, law="units").df == pytest.approx(free)
    assert found.df == pytest.approx(1 / (1 / free - 1 / (len(humans) - 1)))


def test_equal_weights_are_none():
    humans, beliefs = sides()
    equal = quick(humans.assign(w=7.0), beliefs.assign(w=2.0), weights="w")
    none = quick(humans, beliefs)
    agree(equal, none, 1e-8)
    assert equal.n_eff == pytest.approx(none.n_eff, rel=1e-8)
    assert equal.laws.p == none.laws.p  # both sides are still compared


@FEW
def test_weighted_means_and_errors_by_hand():
    """One price: the level is the log-odds of a weighted mean, with its influence function."""
    humans, beliefs = sides(80, 240, seed=3)
    two = {30.0: 1.0, 45.0: 1.0}
    humans, beliefs = (f[f["price"].isin(two)] for f in (humans, beliefs))
    found = quick(humans, beliefs, weights="w", lam=0.5, design=two)
    own = humans.merge(beliefs[["respondent_id", "belief"]], on="respondent_id")
    pool = beliefs[beliefs["respondent_id"] >= 10**6]
    for price in two:
        h, p = own[own["price"] == price], pool[pool["price"] == price]
        a = (h["w"] / h["w"].sum()).to_numpy()
        mean = a @ h["choice"] + 0.5 * (p["belief"].mean() - a @ h["belief"])
        share = found.shares({"price": price}).table.iloc[0]
        assert share["estimate"] == pytest.approx(mean, rel=1e-9)
        left = (h["choice"] - 0.5 * h["belief"]).to_numpy()
        factor = (a @ a) / (a @ a - 2 * (a**3).sum() + (a @ a) ** 2)
        variance = factor * (a**2 @ (left - a @ left) ** 2) + 0.25 * p["belief"].var() / len(p)
        assert share["se"] == pytest.approx(np.sqrt(variance), rel=1e-6)


@OTHERS
@FEW
def test_a_quota_sample_is_biased_and_weights_or_margins_mend_it():
    """3,000 people: the raw estimate is many standard errors off, weighted ones are not."""
    humans, beliefs = sides(3000, 9000, seed=5)
    everybody = pd.concat([population(200_000, seed) for seed in (90, 91)])
    truth = everybody.groupby("price")["choice"].mean()[35.0]
    shares = everybody["segment"].value_counts(normalize=True)
    level = {"formula": "choice ~ C(price)", "target": "share", "at": 35.0, "design": "equal"}
    off = {
        name: (row["estimate"] - truth) / row["se"]
        for name, row in (
            ("raw", quick(humans, beliefs, lam=0, **level).table.loc["humans only"]),
            ("weights", quick(humans, beliefs, weights="w", **level).table.loc["calibrated"]),
            (
                "margins",
                quick(humans, beliefs, margins={"segment": shares.to_dict()}, **level).table.loc[
                    "calibrated"
                ],
            ),
        )
    }
    assert abs(off["raw"]) > 5
    assert abs(off["weights"]) < 3
    assert abs(off["margins"]) < 3


@FEW
def test_margins_that_explain_answers_make_errors_smaller():
    """Raked by what tastes hang on; the same weights taken for given know nothing of it."""
    humans, beliefs = sides(400, 1200)
    raked = ld.rake(humans, {"segment": {"old": 0.5, "young": 0.5}})
    level = {"lam": 0, "target": "share", "at": 35, "design": "equal"}
    known = quick(humans, beliefs, margins={"segment": {"old": 0.5, "young": 0.5}}, **level)
    given = quick(humans.assign(w=raked.weights), beliefs, weights="w", **level)
    assert known.table.loc["calibrated", "estimate"] == pytest.approx(
        given.table.loc["calibrated", "estimate"], rel=1e-9
    )
    assert known.table.loc["calibrated", "se"] < 0.99 * given.table.loc["calibrated", "se"]
    assert any("raked to margins of segment" in n for n in known.notes)
    evidence = known.assumptions.set_index("assumption")["evidence"]
    assert "raked" in evidence["the humans are a random sample of those the study is about"]


def test_what_weights_do_not_allow_is_refused():
    humans, beliefs = sides(60, 120)
    for broken, words in (
        (humans.assign(w=0.0), "not above zero"),
        (humans.assign(w=np.nan), "missing"),
        (humans.drop(columns="w"), "'w'"),
    ):
        with pytest.raises(DesignError, match=words):
            quick(broken, beliefs, weights="w")
    with pytest.raises(UsageError, match="give one"):
        quick(humans, beliefs, probability="w", margins={"segment": {"old": 0.5, "young": 0.5}})
    with pytest.raises(UsageError, match="data with cells"):
        quick(humans, beliefs, strata="segment", design="sampled")
    found = quick(*sides(), weights="w")
    with pytest.raises(UsageError, match="linearisation"):
        found.draws(2)
    assert not found.laws.tested and found.leak.p == 1
    assert "not compared" in " ".join(found.assumptions["evidence"])


# Strata -------------------------------------------------------------------------------------


def test_each_stratum_has_the_lambda_of_its_own_covariance():
    humans, beliefs = sides(300, 900)
    # Belief is right among the young, and noise among the old.
    rng = np.random.default_rng(1)
    noise = pd.Series(rng.random(len(beliefs)), beliefs.index)
    beliefs["belief"] = beliefs["belief"].where(beliefs["segment"] == "young", noise)
    level = {"target": "share", "at": 35, "design": "equal"}
    found = quick(humans, beliefs, strata="segment", **level)
    assert found.tuning.rule == "by stratum"
    lam = found.proxies["lambda"]
    assert lam["young"] > 0.2 > abs(lam["old"])
    assert found.tuning.weights == int((lam > 0).sum())
    # Beliefs of one stratum alone, the other's set to zero, are tuned to the same lambda.
    for name in ("old", "young"):
        alone = beliefs.assign(belief=beliefs["belief"].where(beliefs["segment"] == name, 0.0))
        moments = Moments(pair(humans, alone, survey=Survey(strata="segment")), "equal")
        params = moments.solve(moments.parts(0.0), "")
        gradient = found.target.gradient(found.fits["humans only"])
        r, q, p = moments.scores(params).along(moments.bread(moments.parts(0.0), params) @ gradient)
        assert lam[name] == pytest.approx(max(r @ q / (q @ q + p @ p), 0.0), rel=1e-8)


def test_strata_weight_the_pool_to_the_humans():
    """A pool of other proportions is not shifted: strata are compared, each with itself."""
    humans, beliefs = sides(400, 1600)
    pool = beliefs["respondent_id"] >= 10**6
    rng = np.random.default_rng(2)
    thinned = beliefs[~pool | (beliefs["segment"] == "young") | (rng.random(len(beliefs)) < 0.3)]
    level = {"lam": 1.0, "target": "share", "at": 35, "design": "equal"}
    one, other = (quick(humans, b, strata="segment", **level) for b in (beliefs, thinned))
    gap = abs(one.table.loc["calibrated", "estimate"] - other.table.loc["calibrated", "estimate"])
    assert gap < 2 * other.table.loc["calibrated", "se"]
    assert one.imbalance > 0.01 and other.imbalance > 0.01
    with pytest.raises(DesignError, match="has nobody among the pool"):
        quick(humans, beliefs[~pool | (beliefs["segment"] == "old")], strata="segment")
    with pytest.raises(DesignError, match="in stratum"):
        quick(*sides(24, 100), strata="segment")


# Clusters -----------------------------------------------------------------------------------


def test_errors_are_clustered_by_stores_with_as_many_degrees_of_freedom():
    humans, beliefs = sides(240, 480)
    plain = ld.logit("choice ~ price", humans, vcov={"CRV1": "store"})
    with pytest.warns(CalibrationWarning, match="errors of 240 humans rest on 1"):
        found = quick(humans, beliefs.drop(columns="store"), psu="store", lam=0, design="sampled")
    # Both have G / (G - 1); people add theirs.
    np.testing.assert_allclose(found.params, plain.params, rtol=1e-9)
    np.testing.assert_allclose(found.cov, plain.cov * 240 / 239, rtol=1e-7)
    sizes = humans["store"].value_counts().to_numpy()
    free = sizes.sum() ** 2 / (sizes**2).sum() - 1
    assert found.df == pytest.approx(1 / (1 / free - 1 / 239))
    assert any("no 'store'" in n for n in found.notes)


@FEW
def test_stores_on_both_sides_are_one_cluster_each():
    """Both sides share what a store adds; the correction's own part of it cancels."""
    humans, beliefs = sides(240, 480)
    effect = np.random.default_rng(4).normal(0, 0.3, 12)
    beliefs["belief"] = (beliefs["belief"] / 2 + 0.25 + effect[beliefs["store"]]).clip(0, 1)
    together = quick(humans, beliefs, psu="store", lam=1.0, target="share", at=35)
    apart = quick(
        humans,
        beliefs.assign(
            store=np.where(
                beliefs["respondent_id"] >= 10**6, beliefs["store"] + 100, beliefs["store"]
            )
        ),
        psu="store",
        lam=1.0,
        target="share",
        at=35,
    )
    assert together.table.loc["calibrated", "estimate"] == pytest.approx(
        apart.table.loc["calibrated", "estimate"]
    )
    assert together.table.loc["calibrated", "se"] < apart.table.loc["calibrated", "se"]
    assert not together.laws.tested and apart.laws.tested


def test_clusters_of_one_person_are_no_clusters():
    humans, beliefs = sides(120, 240)
    own = quick(humans.assign(house=humans["respondent_id"]), beliefs, psu="house")
    agree(own, quick(humans, beliefs), 1e-8)


# Selection probabilities --------------------------------------------------------------------


def test_equal_selection_is_a_pool_without_the_humans():
    """``f_all - f_humans`` is ``N / (n + N) (f_pool - f_humans)``: one lambda is the other's."""
    data = ld.paired_panel(humans=60, llm=180, seed=2)
    humans = data.humans.assign(p=0.25)
    known = quick(humans, data.beliefs, probability="p", lam=1.0)
    plain = quick(humans, data.beliefs, lam=0.75)
    np.testing.assert_allclose(known.params, plain.params, rtol=1e-8)
    np.testing.assert_allclose(known.cov, plain.cov, rtol=1e-3)  # (n + N) / (n + N - 1)
    assert known.tuning.llm == plain.tuning.llm == 180
    assert quick(humans, data.beliefs, probability="p").n_eff == pytest.approx(
        quick(humans, data.beliefs).n_eff, rel=1e-3
    )


@OTHERS
@FEW
def test_people_selected_by_their_beliefs_are_weighted_back():
    everybody = population(4000, 7)
    p = np.where(everybody["belief"] > 0.8, 0.5, 0.05)
    picked = np.random.default_rng(3).random(4000) < p
    humans = everybody[picked].assign(p=p[picked]).drop(columns="belief")
    beliefs = everybody.drop(columns="choice")
    truth = everybody.groupby("price")["choice"].mean()[35.0]
    level = {"formula": "choice ~ C(price)", "target": "share", "at": 35.0}
    known = quick(humans, beliefs, probability="p", **level).table
    # The same people taken for a fair sample, with the rest as a pool.
    raw = quick(humans, beliefs, lam=0, **level).table
    assert abs(known.loc["calibrated", "estimate"] - truth) < 3 * known.loc["calibrated", "se"]
    assert raw.loc["humans only", "estimate"] - truth > 3 * raw.loc["humans only", "se"]
    assert known.loc["calibrated", "se"] < known.loc["humans only", "se"]
    with pytest.raises(DesignError, match="above 1"):
        quick(humans.assign(p=2.0), beliefs, probability="p")
    with pytest.raises(UsageError, match="of their own"):
        quick(humans.assign(belief=0.5), beliefs, probability="p")


# Coverage -----------------------------------------------------------------------------------


def truth():
    """Of two million people, each price asked alike."""
    everybody = pd.concat([population(500_000, seed) for seed in range(90, 94)])
    shares = everybody.groupby("price")["choice"].mean().reset_index()
    return ld.fraclogit("choice ~ price", shares).params["price"]


def strata(seed):
    humans, beliefs = sides(200, 1000, seed)
    return humans, beliefs, {"strata": "segment", "weights": "w"}


def selected(seed):
    everybody = population(1000, seed)
    p = np.where(everybody["belief"] * (1 - everybody["belief"]) > 0.15, 0.25, 0.1)
    picked = np.random.default_rng(seed).random(1000) < p
    humans = everybody[picked].assign(p=p[picked]).drop(columns="belief")
    return humans, everybody.drop(columns="choice"), {"probability": "p"}


def twice(seed):
    """Everybody answers at two prices, and twice at each: 4 answers of a person."""
    data = ld.paired_panel(humans=100, llm=400, answers=2, seed=seed)
    again = data.humans.assign(choice=data.humans["choice"])
    return pd.concat([data.humans, again]), data.beliefs, {}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("made", [strata, selected, twice])
def test_intervals_cover(made):
    """150 samples: a coverage of 95 % is seen within 5.4 points (3 standard errors)."""
    known = ld.paired_panel(humans=2, llm=2).slope if made is twice else truth()
    inside = []
    for seed in range(150):
        humans, beliefs, options = made(seed)
        row = quick(humans, beliefs, design="equal", **options).table.loc["calibrated"]
        inside.append(row["lower"] < known < row["upper"])
    assert np.mean(inside) > 0.95 - 0.054


def test_answers_that_are_repeated_count_once():
    """Every answer given twice tells nothing new: equal errors, though twice the rows."""
    humans, beliefs, _ = twice(1)
    once = quick(humans.iloc[: len(humans) // 2], beliefs)
    again = quick(humans, beliefs)
    agree(once, again)
    assert again.n_eff == pytest.approx(once.n_eff)
