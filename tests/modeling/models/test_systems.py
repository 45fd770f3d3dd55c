"""Nested, mixed and latent class logits of a panel are those of its rows."""

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import UsageError
from llmdemand.modeling.outcomes.frames import market_frame, outcomes
from llmdemand.simulation.backends.synthetic import SyntheticBackend

PEOPLE = 40


@pytest.fixture(scope="module")
def panel():
    """Forty respondents who differ in how they mind the price."""
    people = pd.DataFrame({"respondent_id": range(PEOPLE), "income": np.arange(PEOPLE)})
    study = ld.load_study("pampers").with_respondents(people)
    consumer = SyntheticBackend(study, persona_slope_sd=0.15)
    return ld.simulate(study, consumer, runs=1, seed=1)


@pytest.fixture(scope="module")
def rows(panel):
    return market_frame(panel, outcomes(panel, "pivot"))


def same(demand, fit):
    pd.testing.assert_series_equal(demand.params, fit.params, rtol=1e-12)
    pd.testing.assert_frame_equal(demand.cov, fit.cov, rtol=1e-9)
    assert demand.alternative == "pampers" and demand.unit == "cents per diaper"


def test_nested(panel, rows):
    demand = ld.fit_demand(panel, model="nested", reading="pivot")
    nests = {"inside": ["pampers", "huggies"]}
    fit = ld.nlogit(
        "belief ~ price", rows, nests=nests, base="neither", vcov={"CRV1": "persona_id"}
    )
    same(demand, fit)
    held = ld.fit_demand(
        panel, model="nested", reading="pivot", nests=nests, dissimilarity={"inside": 0.5}
    )
    assert list(held.params.index) == list(fit.params.index)[:-1]


@pytest.mark.parametrize("outcome", ["belief", "choice"])
def test_mixed(panel, rows, outcome):
    demand = ld.fit_demand(panel, outcome, model="mixed", reading="pivot", draws=64)
    fit = ld.mixlogit(
        f"{outcome} ~ price",
        rows,
        random={"price": "normal"},
        panel="respondent_id",
        case="run_id",
        base="neither",
        draws=64,
    )
    same(demand, fit)
    assert demand.clusters == PEOPLE
    pd.testing.assert_frame_equal(demand.fit.individual(), fit.individual())
    # Who minds the price more in truth does so by what they answer.
    assert np.isfinite(demand.elasticity(35).estimate)


def test_latent(panel, rows):
    demand = ld.fit_demand(panel, model="latent", reading="pivot", classes=2, starts=3)
    fit = ld.lclogit(
        "belief ~ price",
        rows,
        classes=2,
        starts=3,
        panel="respondent_id",
        case="run_id",
        base="neither",
    )
    same(demand, fit)
    assert demand.fit.posterior().shape == (PEOPLE, 2)


def test_latent_classes_of_beliefs_corrected_by_the_final_choice(panel):
    changing = SyntheticBackend(panel.study, mismatch_rate=0.1, persona_slope_sd=0.15)
    demand = ld.fit_demand(
        ld.simulate(panel.study, changing, runs=1, seed=1), model="latent", classes=2, starts=2
    )
    assert demand.reading == "final" and demand.fit.data.corrected
    assert "pairwise" in " ".join(demand.notes)
    assert demand.fit.class_shares().estimate.sum() == pytest.approx(1)


def test_rows_of_a_panel_may_stand_in_any_order(panel):
    from llmdemand import Panel

    turned = Panel(panel.frame.sample(frac=1, random_state=3), panel.study, panel.provenance)
    one, other = (
        ld.fit_demand(p, model="mixed", reading="pivot", draws=32, starts=1)
        for p in (panel, turned)
    )
    assert one.params.tolist() == other.params.tolist()


def test_what_is_refused(panel):
    with pytest.raises(UsageError, match=r"nests=... goes with model='nested', not with 'clogit'"):
        ld.fit_demand(panel, model="clogit", nests={})
    with pytest.raises(UsageError, match=r"no option 'clases' \(did you mean 'classes'"):
        ld.fit_demand(panel, model="latent", clases=3)
    with pytest.raises(UsageError, match=r"no option 'colour'; 'logit' has none of its own"):
        ld.fit_demand(panel, colour="red")
    alone = ld.simulate(ld.load_study("pampers"), "synthetic", runs=2, seed=1)
    for model in ("mixed", "latent"):
        with pytest.raises(UsageError, match="this study has none: give it personas"):
            ld.fit_demand(alone, model=model)
    changing = ld.simulate(
        panel.study, SyntheticBackend(panel.study, mismatch_rate=0.1), runs=1, seed=1
    )
    assert "pairwise" in " ".join(ld.fit_demand(changing, model="mixed", draws=32).notes)
