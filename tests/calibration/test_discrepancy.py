"""Heuristic validation: differences with honest errors, and no agreement without a margin."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from llmdemand import clogit, fraclogit, load_panel, logit, paired_panel
from llmdemand import discrepancy as compared
from llmdemand.calibration.fidelity.differences import shares
from llmdemand.core.resources import data_file
from llmdemand.errors import DesignError, UsageError

# Means alone: what is compared beyond them is tested in its own room.
discrepancy = partial(compared, reps=0)


@pytest.fixture(scope="module")
def data():
    return paired_panel(humans=200, llm=800, seed=6)


@pytest.fixture(scope="module")
def found(data):
    return discrepancy(data.humans, data.beliefs, covariates=["income"], margin=0.05)


def test_both_sides_are_the_fits_of_the_modeling_layer(data, found):
    crv = {"CRV1": "respondent_id"}
    human = logit("choice ~ price", data.humans, vcov=crv)
    llm = fraclogit("belief ~ price", data.beliefs, vcov=crv)
    row = found.table.loc["price coefficient"]
    assert row["humans"] == pytest.approx(human.params["price"])
    assert row["llm"] == pytest.approx(llm.params["price"])
    assert found.table.loc["own-price elasticity at 37.5", "humans"] == pytest.approx(
        float(human.elasticity({"price": 37.5}))
    )


def test_without_common_respondents_errors_add_up(data):
    alone = data.beliefs[~data.beliefs["respondent_id"].isin(data.humans["respondent_id"])]
    found = discrepancy(data.humans, alone)
    crv = {"CRV1": "respondent_id"}
    human = logit("choice ~ price", data.humans, vcov=crv)
    llm = fraclogit("belief ~ price", alone, vcov=crv)
    apart = np.hypot(human.bse["price"], llm.bse["price"])
    assert found.table.loc["price coefficient", "se"] == pytest.approx(apart)
    assert found.both == 0 and found.assumptions["verdict"].tolist().count("in doubt") == 1


def test_the_same_people_are_compared_within_persons(data):
    """A belief equal to the answer differs in nothing, without any error."""
    same = data.humans.assign(belief=data.humans["choice"])
    found = discrepancy(data.humans, same[["respondent_id", "price", "belief"]], margin=0.01)
    assert np.abs(found.curve["difference"]).max() == 0 and found.curve["se"].max() < 1e-12
    assert found.equivalent is True and found.both == 200


def test_shares_by_price_are_means_with_clustered_errors(data, found):
    means = data.humans.groupby("price")["choice"].mean()
    assert found.curve["humans"].tolist() == pytest.approx(means.tolist())
    llm = data.beliefs.groupby("price")["belief"].mean()
    assert found.curve["difference"].tolist() == pytest.approx((llm - means).tolist())


def test_equivalence_needs_every_price_and_a_margin(data, found):
    assert found.equivalent is False
    wide = discrepancy(data.humans, data.beliefs, margin=0.6)
    assert wide.equivalent is True and "is shown" in wide.verdict()
    none = discrepancy(data.humans, data.beliefs)
    assert none.equivalent is None and "margin" not in none.curve
    assert "heuristic" in none.verdict()
    margins = {"price": 0.5, "elasticity": 10.0, "wtp": 50.0, "share": 0.6}
    each = discrepancy(data.humans, data.beliefs, margin=margins)
    assert each.table["equivalent"].all()


def test_the_size_of_the_equivalence_test_is_nominal_at_the_margin():
    """At a true difference of exactly the margin it is rejected in no more than 5 %."""
    rng, rejected, draws = np.random.default_rng(1), 0, 400
    who = np.arange(200), np.arange(200, 600)
    for _ in range(draws):
        humans = pd.DataFrame(
            {
                "respondent_id": np.arange(200),
                "price": np.tile([1.0, 2.0], 100),
                "choice": (rng.random(200) < 0.5).astype(float),
            }
        )
        llm = pd.DataFrame(
            {
                "respondent_id": np.arange(1000, 1400),
                "price": np.tile([1.0, 2.0], 200),
                "belief": np.clip(0.6 + 0.05 * rng.standard_normal(400), 0, 1),
            }
        )
        found = shares((humans, llm), ("choice", "belief"), "price", who, 600, 0.1, 0.05)
        rejected += bool(found["equivalent"].iloc[0])
    assert rejected / draws < 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)
    # The share table of a comparison is this one.
    whole = discrepancy(humans, llm, margin=0.1).curve
    pd.testing.assert_frame_equal(whole, found)


def test_balance_shows_designs_and_covariates(data, found):
    assert found.balance.loc["price 30, share of answers", "humans"] == 0.25
    human = data.humans.drop_duplicates("respondent_id")["income"].mean()
    assert found.balance.loc["income", "humans"] == pytest.approx(human)
    other = data.beliefs.assign(income=data.beliefs["income"] + 10)
    shifted = discrepancy(data.humans, other, covariates=["income"])
    assert shifted.balance.loc["income", "p"] < 1e-6
    verdicts = dict(
        zip(shifted.assumptions["assumption"], shifted.assumptions["verdict"], strict=True)
    )
    assert verdicts["the two samples are alike in covariates"] == "in doubt"


def test_constants_that_differ_are_not_alike(data):
    """Without any spread a difference of means is no chance."""
    frames = data.humans.assign(wave=1), data.beliefs.assign(wave=2)
    found = discrepancy(*frames, covariates=["wave"])
    assert found.balance.loc["wave", ["standardised_difference", "p"]].tolist() == [np.inf, 0]
    assert found.assumptions["verdict"][1] == "in doubt"
    same = discrepancy(frames[0], data.beliefs.assign(wave=1), covariates=["wave"])
    assert same.balance.loc["wave", ["standardised_difference", "p"]].tolist() == [0, 1]


def test_the_figure_has_every_price_and_the_margin(found):
    axes = found.plot()
    assert axes.get_xlabel() == "price" and axes.get_title()
    (bars,) = axes.containers
    assert len(bars.lines[0].get_xdata()) == 4


def test_what_cannot_be_compared_is_refused(data):
    with pytest.raises(DesignError, match="no 'price' in common"):
        discrepancy(data.humans, data.beliefs.assign(price=data.beliefs["price"] + 0.5))
    with pytest.raises(DesignError, match="'age'"):
        discrepancy(data.humans, data.beliefs, covariates=["age"])
    with pytest.raises(UsageError, match=r"model='clogit'"):
        discrepancy(data.humans, data.beliefs, "choice ~ price | income")
    with pytest.raises(UsageError, match="positive number"):
        discrepancy(data.humans, data.beliefs, margin=-1.0)
    with pytest.raises(UsageError, match="'shares'"):
        discrepancy(data.humans, data.beliefs, margin={"shares": 0.1})
    with pytest.raises(DesignError, match="give numbers"):
        text = {"income": "high"}
        discrepancy(data.humans.assign(**text), data.beliefs.assign(**text), covariates=["income"])


def test_summary_and_notebook_name_all_tables(found):
    for words in ("Discrepancy of an LLM", "shares by price", "balance", "cannot be checked"):
        assert words in found.summary()
    assert "<table" in found._repr_html_()


# Choice sets --------------------------------------------------------------------------------


def menu(frame, outcome):
    """The same answers as choices between buying and not buying."""
    frame = frame.assign(task=range(len(frame)), alternative="yes")
    no = frame.assign(price=0.0, alternative="no", **{outcome: 1 - frame[outcome]})
    return pd.concat([frame, no], ignore_index=True)


@pytest.fixture(scope="module")
def travel():
    path = data_file("humans", "travel-mode.csv")
    return pd.read_csv(str(path), dtype={"respondent_id": str}), load_panel("travel-mode")


def test_choice_sets_of_buying_or_not_are_the_binary_logit(data):
    options = {"at": 36.0, "margin": {"share": 0.1, "price": 0.05}}
    one = discrepancy(data.humans, data.beliefs, **options)
    sets = menu(data.humans, "choice"), menu(data.beliefs, "belief")
    options |= {"model": "clogit", "case": "task", "base": "no", "focal": "yes"}
    both = discrepancy(*sets, attribute="yes", **options)
    names = {
        "price coefficient": "price coefficient",
        "own-price elasticity at 36": "own-price elasticity at 36, yes",
        "share at 36": "share at 36, yes",
        "indifference price": "willingness to pay for yes",
    }
    assert set(names) == set(one.table.index) and set(names.values()) == set(both.table.index)
    found = both.table.loc[list(names.values())].to_numpy(float)
    np.testing.assert_allclose(found, one.table.loc[list(names)].to_numpy(float), rtol=1e-5)


def test_both_sides_of_a_panel_are_conditional_logits(travel):
    humans, panel = travel
    found = discrepancy(*travel, model="clogit", reading="pivot")
    plain = clogit("choice ~ price", humans, case="respondent_id")
    assert found.table.loc["price coefficient", "humans"] == pytest.approx(plain.params["price"])
    air = float(plain.elasticity(alternative="air"))
    assert found.table.loc["own-price elasticity over the design, air", "humans"] == (
        pytest.approx(air)
    )
    # Shares are plain means; runs of a respondent at the same prices are one choice set.
    shares = found.curve.set_index("alternative")
    chosen = humans[humans["choice"] == 1]["alternative"].value_counts(normalize=True)
    assert shares["humans"].to_dict() == pytest.approx(chosen.to_dict())
    told = panel.usable.groupby("respondent_id")[[f"belief_{a}" for a in shares.index]].mean()
    assert shares["llm"].to_numpy() == pytest.approx(told.mean().to_numpy())
    assert (found.humans, found.llm, found.both) == (180, 180, 180)
    assert "of car" in found.verdict() and "shares by alternative" in found.summary()
    assert [t.get_text() for t in found.plot().get_xticklabels()] == list(shares.index)


def test_errors_of_choice_sets_without_common_respondents_add_up(travel):
    humans, _ = travel
    half = humans[humans["respondent_id"].astype(int) % 2 == 0]
    others = humans[humans["respondent_id"].astype(int) % 2 == 1]
    found = discrepancy(half, others.rename(columns={"choice": "belief"}), model="clogit")
    options = {"case": "respondent_id", "vcov": {"CRV1": "respondent_id"}}
    fits = [clogit("choice ~ price", f, **options) for f in (half, others)]
    apart = np.hypot(*(f.bse["price"] for f in fits))
    assert found.table.loc["price coefficient", "se"] == pytest.approx(apart)
    same = discrepancy(half, half.assign(belief=half["choice"]), model="clogit", margin=0.01)
    assert same.equivalent is True and same.table["se"].max() < 1e-9


def test_the_two_sides_are_asked_about_the_humans_cases(travel):
    """A quantity that is a mean over cases does not differ because the cases do."""
    humans, _ = travel
    llm = humans.rename(columns={"choice": "belief"})
    dear = llm[llm["respondent_id"].isin(llm[llm["price"] > 100]["respondent_id"])]
    options = {"model": "clogit", "case": "task"}
    more = pd.concat([llm.assign(task=0), dear.assign(task=1), dear.assign(task=2)])
    found = discrepancy(humans.assign(task=0), more, **options)
    cases = more["respondent_id"] + "-" + more["task"].astype(str)
    own = clogit("belief ~ price", more.assign(set=cases), case="set")
    each = own.elasticity(humans.assign(set=humans["respondent_id"]), alternative="air")
    air = float(np.mean(each.estimate))
    elsewhere = float(own.elasticity(alternative="air"))
    told = found.table.loc["own-price elasticity over the design, air", "llm"]
    assert told == pytest.approx(air) and abs(told - elsewhere) > 0.01


def test_balance_of_choice_sets_has_attributes_offers_and_what_belongs_to_the_case(travel):
    humans, _ = travel
    llm = humans.rename(columns={"choice": "belief"})
    plane = (llm["alternative"] == "air").astype(float)
    dear = llm.assign(price=llm["price"] + 30 * plane)
    found = discrepancy(humans, dear, "choice ~ price | income", model="clogit")
    air = humans[humans["alternative"] == "air"]["price"]
    row = found.balance.loc["price of air, mean"]
    assert row["llm"] - row["humans"] == pytest.approx(30)
    assert row["standardised_difference"] == pytest.approx(30 / air.std(ddof=0))
    assert found.balance.loc["income, mean", "humans"] == pytest.approx(
        humans.drop_duplicates("respondent_id")["income"].mean()
    )
    assert "income of air, mean" not in found.balance.index
    assert found.assumptions.loc[0, ["assumption", "verdict"]].tolist() == [
        "both sides were asked about alike choice sets",
        "in doubt",
    ]
    gone = (llm["alternative"] == "bus") & (llm["belief"] == 0) & (llm["respondent_id"] < "2")
    less = discrepancy(humans, llm[~gone], model="clogit").balance
    row = less.loc["bus offered, share of choice sets"]
    assert row["humans"] == 1 and row["llm"] == pytest.approx(1 - gone.sum() / 180)


def test_choice_sets_that_cannot_be_compared_are_refused(travel):
    humans, panel = travel
    llm = humans.rename(columns={"choice": "belief"})
    for error, said, frames, options in (
        (DesignError, "the LLM among air, bus, coach, train",
         (humans, llm.replace({"car": "coach"})), {}),
        (DesignError, "do not sum to 1", (humans, llm.assign(belief=0.2)), {}),
        (DesignError, "twice; if respondents answered several tasks",
         (humans, pd.concat([llm, llm])), {}),
        (DesignError, "'air' has no constant", (humans, panel), {"attribute": "air"}),
        (DesignError, "no column 'task' among the humans", (humans, llm), {"case": "task"}),
        (DesignError, r"outside \[0, 1\]", (humans, llm.assign(belief=2.0)), {}),
        (UsageError, "needs focal", (humans, panel), {"at": 50.0}),
        (UsageError, "base='plane'", (humans, panel), {"base": "plane"}),
        (UsageError, "did you mean 'clogit'", (humans, panel), {"model": "clogits"}),
        (UsageError, "humans is a panel", (panel, panel), {}),
    ):  # fmt: skip
        with pytest.raises(error, match=said):
            discrepancy(*frames, **{"model": "clogit", **options})
