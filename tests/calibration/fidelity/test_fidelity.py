"""Beyond the mean: known spread is found, agreement is that of others' software, gaps are said."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import energy_distance, poisson_binom
from statsmodels.stats.inter_rater import cohens_kappa

from llmdemand import discrepancy, paired_panel
from llmdemand.calibration.fidelity.counts import energy, yes_counts
from llmdemand.calibration.fidelity.licences import ROWS, licences
from llmdemand.errors import DesignError, UsageError

TASTE = "standard deviation of tastes, log-odds"


@pytest.fixture(scope="module")
def data():
    return paired_panel(humans=400, llm=400, taste=1.5, seed=4)


@pytest.fixture(scope="module")
def found(data):
    return discrepancy(data.humans, data.beliefs, subgroups=["income"], reps=99)


def test_the_spread_of_tastes_is_the_known_one_on_both_sides(found):
    row = found.fidelity.spread.loc[TASTE]
    assert row["humans"] == pytest.approx(1.5, abs=0.3) and row["llm"] == pytest.approx(
        1.5, abs=0.2
    )
    assert row["lower"] < 0 < row["upper"] and row["ratio_lower"] < 1 < row["ratio_upper"]
    assert "not told apart" in found.fidelity.found["heterogeneity"]


def test_answers_drawn_from_beliefs_have_the_spread_of_the_beliefs(data):
    """Noise of single answers is no spread of tastes: the same law gives the same numbers."""
    drawn = np.random.default_rng(1).random(len(data.beliefs)) < data.beliefs["belief"]
    humans = data.beliefs.assign(choice=drawn.astype(float)).drop(columns="belief")
    table = discrepancy(humans, data.beliefs, reps=99).fidelity.spread
    assert (table["difference"].abs() < 3 * table["se"]).all()
    # The plain variance of what was said differs by far.
    assert np.var(humans["choice"]) > 1.8 * np.var(data.beliefs["belief"])


def test_a_model_of_one_persona_is_seen_to_collapse(data):
    one = data.beliefs.assign(belief=data.beliefs.groupby("price")["belief"].transform("mean"))
    beyond = discrepancy(data.humans, one, reps=99).fidelity
    row = beyond.spread.loc[TASTE]
    assert row["llm"] < 0.05 and row["upper"] < -1
    assert "more alike than people" in beyond.found["heterogeneity"]
    assert beyond.individuals.table.loc["kappa within prices", "estimate"] == pytest.approx(0)
    assert beyond.individuals.table.loc["kappa", "estimate"] > 0
    # All think alike: too few say yes to none and to all.
    assert (beyond.counts.table["difference"].to_numpy()[[0, -1]] < 0).any()


def test_kappa_is_that_of_statsmodels_and_its_error_too(data):
    people = data.humans["respondent_id"].unique()
    told = data.beliefs[data.beliefs["respondent_id"].isin(people)]
    one = told["price"] == 35.0
    humans, told = data.humans[data.humans["price"] == 35.0], told[one]
    told = told.assign(belief=(told["belief"] > 0.5).astype(float), price=35.0)
    extra = (f.assign(price=40.0, respondent_id="x" + f["respondent_id"]) for f in (humans, told))
    frames = [pd.concat(pair) for pair in zip((humans, told), extra, strict=True)]
    table = discrepancy(*frames, reps=399).fidelity.individuals.table
    both = pd.merge(frames[0], frames[1], on=["respondent_id", "price"])
    reference = cohens_kappa(pd.crosstab(both["choice"], both["belief"]).to_numpy())
    row = table.loc["kappa"]
    assert row["estimate"] == pytest.approx(reference.kappa)
    assert row["se"] == pytest.approx(reference.std_kappa, rel=0.2)


def test_scores_are_against_the_other_humans_and_nothing_is_clipped(data, found):
    table = found.fidelity.individuals.table
    both = data.humans.merge(data.beliefs, on=["respondent_id", "price"])
    y, f = both["choice"], both["belief"]
    assert table.loc["Brier score", "estimate"] == pytest.approx(((y - f) ** 2).mean())
    log = (y * np.log(f) + (1 - y) * np.log(1 - f)).mean()
    assert table.loc["log score", "estimate"] == pytest.approx(log)
    group = both.groupby("price")["choice"]
    other = (group.transform("sum") - y + 0.5) / group.transform("size")
    own = (y * np.log(other) + (1 - y) * np.log(1 - other)).mean()
    assert table.loc["log score", "reference"] == pytest.approx(own)
    sure = data.beliefs.assign(belief=(data.beliefs["belief"] > 0.5).astype(float))
    beyond = discrepancy(data.humans, sure, reps=20).fidelity
    assert beyond.individuals.table.loc["log score", "estimate"] == -np.inf
    assert any("no probability at all" in n for n in beyond.notes)


def test_numbers_of_yeses_are_those_of_scipy(data):
    p = np.random.default_rng(2).random((5, 4))
    expected = [poisson_binom.pmf(np.arange(5), row) for row in p]
    assert yes_counts(p) == pytest.approx(np.array(expected))
    f, g = yes_counts(p[:2])
    k = np.arange(5) / 4
    assert energy((g - f)[None])[0] == pytest.approx(energy_distance(k, k, f, g))


def test_the_distribution_is_told_apart_only_where_it_differs(data):
    drawn = np.random.default_rng(3).random(len(data.beliefs)) < data.beliefs["belief"]
    humans = data.beliefs.assign(choice=drawn.astype(float)).drop(columns="belief")
    same = discrepancy(humans, data.beliefs, reps=99).fidelity.counts
    assert same.p > 0.05 and same.humans == same.llm == 800
    other = discrepancy(data.humans, data.beliefs, reps=99).fidelity.counts
    assert other.p == pytest.approx(0.01) and other.distance > 2 * other.by_chance


def test_groups_are_compared_at_their_humans_prices(data, found):
    table = found.fidelity.subgroups
    assert len(table) == 3 and table["n_humans"].sum() == 400
    low = data.humans["income"] <= np.quantile(data.humans["income"], 1 / 3)
    assert table["humans"].iloc[0] == pytest.approx(data.humans.loc[low, "choice"].mean())
    assert (table["p_holm"] >= table["p"]).all()
    # A group of which the LLM was not asked all prices has no difference.
    sex = [f.assign(sex=np.where(f["respondent_id"].str[-1] < "5", "f", "m"))
           for f in (data.humans, data.beliefs)]  # fmt: skip
    less = sex[1][(sex[1]["sex"] == "f") | (sex[1]["price"] > 30)]
    table = discrepancy(sex[0], less, subgroups=["sex"], reps=20).fidelity.subgroups
    assert np.isfinite(table.loc["sex f", "difference"])
    assert np.isnan(table.loc["sex m", "difference"]) and table.loc["sex m", "note"]


def test_what_cannot_be_compared_is_said(data):
    one = paired_panel(humans=60, llm=100, answers=1, seed=1)
    beyond = discrepancy(one.humans, one.beliefs, reps=20).fidelity
    assert beyond.spread is None and beyond.counts is None and beyond.individuals is not None
    assert any("several answers" in n for n in beyond.notes)
    with pytest.raises(DesignError, match="several answers"):
        beyond.plot_spread()
    few = data.humans[data.humans["respondent_id"].isin([f"r{k}" for k in range(20)])]
    assert any("below 30" in n for n in discrepancy(few, data.beliefs, reps=20).fidelity.notes)
    strangers = data.beliefs.assign(respondent_id="m" + data.beliefs["respondent_id"])
    beyond = discrepancy(data.humans, strangers, reps=20).fidelity
    assert beyond.individuals is None and any("their own id" in n for n in beyond.notes)
    assert discrepancy(data.humans, data.beliefs, reps=0).fidelity is None


@pytest.mark.parametrize(
    ("options", "said"),
    [({"reps": 5}, "20 to 10,000"), ({"subgroups": ["income"], "reps": 0}, "reps above 0")],
)
def test_impossible_options_are_refused(data, options, said):
    with pytest.raises(UsageError, match=said):
        discrepancy(data.humans, data.beliefs, **options)


def test_a_group_that_changes_within_a_person_is_refused(data):
    frames = [f.assign(wave=f["price"] > 36) for f in (data.humans, data.beliefs)]
    with pytest.raises(DesignError, match="in some rows and not in others"):
        discrepancy(*frames, subgroups=["wave"], reps=20)


def test_the_table_says_what_was_done_and_licenses_no_claim_by_heuristics(found):
    table = found.licences
    assert list(table.index) == list(ROWS)
    done = table[table["done"] == "yes"]
    assert len(done) == 7 and done["licenses"].str.startswith("exploratory only").all()
    also = found.beside(calibration="slope -0.2").licences
    assert also.loc["calibration", "done"] == "yes"
    assert also.loc["calibration", "licenses"].startswith("valid estimates under")
    with pytest.raises(UsageError, match="calibrations"):
        licences({"calibrations": ""})
    for words in ("heuristic: how respondents differ", "exploratory only", "Hullman"):
        assert words in found.summary()


def test_figures_name_themselves_heuristic(found):
    for name in ("spread", "counts", "subgroups", "individuals", "held_out"):
        ax = getattr(found.fidelity, f"plot_{name}")()
        assert "(heuristic)" in ax.get_title() and (ax.lines or ax.patches)
