"""Heuristic validation: differences with honest errors, and no agreement without a margin."""

import numpy as np
import pytest

from llmdemand import discrepancy, fraclogit, logit, paired_panel
from llmdemand.errors import DesignError, UsageError


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
    rng, rejected = np.random.default_rng(1), 0
    import pandas as pd

    for _ in range(120):
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
        rejected += bool(discrepancy(humans, llm, margin=0.1).curve["equivalent"].iloc[0])
    assert rejected / 120 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 120)


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
    with pytest.raises(UsageError, match=r"without \|"):
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
