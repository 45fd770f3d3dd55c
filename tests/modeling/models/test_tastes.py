"""Tastes from a panel: known truth, every kind of outcome, and what is refused in which words."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import DesignError, UsageError

pytestmark = pytest.mark.numbers

PEOPLE = 150


def households(people=PEOPLE, **fields):
    table = pd.DataFrame({"respondent_id": [f"r{k:03d}" for k in range(people)]} | fields)
    return ld.load_study("pampers").with_respondents(table)


def consumer(study, **options):
    settings = {"persona_slope_sd": 0.15, "persona_sd": 1.5}
    return ld.SyntheticBackend(study, **(settings | options))


def truth(backend, people=PEOPLE):
    """Slopes and indifference prices of the respondents."""
    return np.array([backend.consumer.parameters(f"r{k:03d}") for k in range(people)])


@pytest.fixture(scope="module")
def known():
    study = households()
    backend = consumer(study)
    return ld.simulate(study, backend, runs=1, seed=1), truth(backend)


@pytest.fixture(scope="module")
def found(known):
    return ld.tastes(known[0])


def test_means_spreads_and_respondents_are_found(known, found):
    slope, indifferent = known[1].T
    row = found.table.loc["price"]
    assert row["lower"] < slope.mean() < row["upper"]
    assert row["sd_lower"] < slope.std(ddof=1) < row["sd_upper"]
    assert row["sd"] == pytest.approx(slope.std(ddof=1), rel=0.12)
    assert found.noise == pytest.approx(0.054, rel=0.15)
    assert np.isnan(found.icc)
    assert len(found.individuals) == found.respondents == PEOPLE
    each = found.individuals
    assert np.corrcoef(each["price"], slope)[0, 1] > 0.9
    # Shrunken estimates are nearer to the truth than respondents' own.
    error = {k: np.sqrt(np.mean((each[k] - slope) ** 2)) for k in ("price", "price_own")}
    assert error["price"] < error["price_own"]
    inside = np.abs(each["price"] - slope) < 1.96 * each["price_se"]
    assert 0.88 < inside.mean() < 0.99
    worth = found.willingness_to_pay(replications=40).table.set_index("statistic")
    assert worth.loc["median", "estimate"] == pytest.approx(np.median(indifferent), abs=0.3)
    assert worth.loc["median", "lower"] < np.median(indifferent) < worth.loc["median", "upper"]
    assert worth.loc["share not below 0", "estimate"] <= 0.02


def test_what_it_says_of_itself(found):
    assert repr(found).startswith("<Tastes: 150 respondents' demand for pampers from belief: price")
    assert "\n" not in repr(found)
    text = found.summary()
    for words in (
        "sd_lower",
        "reliability",
        "noise of an answer",
        "cents per diaper",
        "correlations",
    ):
        assert words in text
    assert "<table" in found._repr_html_()
    assert found.params["price"] == found.table.loc["price", "mean"]
    assert found.spread["price"] ** 2 == pytest.approx(found.covariance.loc["price", "price"])


def test_the_order_of_rows_changes_no_bit(known, found):
    panel = known[0]
    order = np.random.default_rng(1).permutation(len(panel))
    mixed = replace(panel, frame=panel.frame.iloc[order].reset_index(drop=True))
    other = ld.tastes(mixed)
    pd.testing.assert_frame_equal(other.table, found.table, check_exact=True)
    pd.testing.assert_frame_equal(other.individuals, found.individuals, check_exact=True)


def test_choices_say_the_same_with_less_certainty(known, found):
    other, slope = ld.tastes(known[0], outcome="choice"), known[1][:, 0]
    assert other.noise == 1
    row, belief = other.table.loc["price"], found.table.loc["price"]
    # An interval of 95 % misses at one seed in twenty: one of twice its length does not.
    length = row["sd_upper"] - row["sd_lower"]
    assert row["sd_lower"] - length / 2 < slope.std(ddof=1) < row["sd_upper"] + length / 2
    assert length > 2 * (belief["sd_upper"] - belief["sd_lower"])
    without = other.individuals["price_own"].isna()
    assert without.any() and np.isfinite(other.individuals["price"]).all()
    notes = " ".join(other.notes)
    assert f"{without.sum()} of 150 respondents have no finite estimate of their own" in notes
    assert other.individuals.index[without][0] in notes
    assert "choices are noisy" in notes and "mixed logit" in notes


def test_all_alternatives(known):
    """Of the ones that are left the synthetic consumer has fixed shares: no noise, no spread."""
    found, slope = ld.tastes(known[0], model="clogit"), known[1][:, 0]
    assert list(found.table.index) == ["price", "const:pampers", "const:huggies"]
    assert found.converged and found.fitted.law.boundary
    assert found.table.loc["price", "sd"] == pytest.approx(slope.std(ddof=1), rel=0.15)


def test_what_differs_from_the_pivot_is_corrected():
    study = households(80)
    backend = consumer(study, mismatch_rate=0.05, no_pivot_rate=0.03)
    panel = ld.simulate(study, backend, runs=3, seed=2)
    found, slope = ld.tastes(panel), truth(backend, 80)[:, 0]
    assert found.data.corrected and found.converged
    # A choice that one in twenty takes back is less sensitive: the same as choices say.
    choice = ld.tastes(panel, outcome="choice")
    assert found.table.loc["price", "mean"] == pytest.approx(
        choice.table.loc["price", "mean"], abs=0.06
    )
    assert found.table.loc["price", "mean"] > slope.mean() + 0.05
    pivot = ld.tastes(panel, reading="pivot")
    assert any("say nothing that enters" in n for n in pivot.notes)
    assert pivot.table.loc["price", "mean"] < found.table.loc["price", "mean"] - 0.05
    with pytest.raises(UsageError, match="use separation='law'"):
        ld.tastes(panel, separation="firth")


def test_runs_of_a_prompt_tell_the_noise_between_them():
    study = households(20)
    panel = ld.simulate(study, consumer(study, icc=0.1), runs=4, seed=3)
    found = ld.tastes(panel)
    assert found.icc == pytest.approx(0.1, rel=0.15)
    assert any("20 respondents: a spread is known roughly" in n for n in found.notes)


def test_firth_enters_everybody_by_an_own_estimate(known):
    found = ld.tastes(known[0], outcome="choice", separation="firth")
    assert len(found.individuals) == PEOPLE
    assert any("by a bias-reduced estimate" in n for n in found.notes)


def test_its_bias_on_data_like_these(known, found):
    made = found.bias(replications=6, seed=2)
    assert 0.9 < made.loc["price", "ratio"] < 1.08
    other = ld.tastes(known[0], outcome="choice").bias(replications=6, seed=2)
    assert other.loc["price", "sd_error"] > 2 * made.loc["price", "sd_error"]
    pd.testing.assert_frame_equal(made, found.bias(replications=6, seed=2))


def test_respondents_that_are_drawn_follow_the_law(found):
    drawn = found.draw(4000, seed=1)
    assert drawn["price"].std() == pytest.approx(found.spread["price"], rel=0.05)
    assert drawn["price"].mean() == pytest.approx(found.params["price"], rel=0.05)


def test_figures(found):
    ax = found.plot()
    assert ax.get_xlabel() == "price (log-odds per unit of price, cents per diaper)"
    assert [t.get_text() for t in ax.get_legend().get_texts()][-1] == "normal law"
    assert len(found.figure().axes) == 2
    with pytest.raises(UsageError, match=r"no coefficient 'prise' \(did you mean 'price'\?\)"):
        found.plot("prise")


def test_a_price_that_is_transformed_has_no_willingness_to_pay(known):
    found = ld.tastes(known[0], "log(price)")
    assert found.price is None
    with pytest.raises(UsageError, match="what things are worth needs one"):
        found.willingness_to_pay()
    named = found.willingness_to_pay(price="log(price)", replications=5)
    assert len(named) == 6


def test_without_respondents():
    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=1, seed=1)
    with pytest.raises(DesignError, match="no respondents: all its answers are one person's"):
        ld.tastes(panel)
    with pytest.raises(UsageError, match="no column 'persona' of respondents"):
        ld.tastes(panel, respondent="persona")
    # Any column may say who answers; here all answers are one respondent's.
    with pytest.raises(DesignError, match="1 of 1 respondents have prices enough"):
        ld.tastes(panel, respondent="replicate")


def test_what_does_not_vary_within_respondents(known):
    study = households(30, income=np.linspace(20, 60, 30))
    panel = ld.simulate(study, consumer(study), runs=1, seed=1)
    with pytest.raises(DesignError, match="'income' does not vary within any respondent"):
        ld.tastes(panel, "price + income")
    frame = panel.frame
    price = np.array([30.0 + hash_ % 16 for hash_ in frame["persona_id"].str[1:].astype(int)])
    own = replace(panel, frame=frame[frame["price_pampers"] == price].reset_index(drop=True))
    with pytest.raises(DesignError, match="'price' does not vary within any respondent"):
        ld.tastes(own)


def test_too_few_respondents():
    study = households(3)
    panel = ld.simulate(study, consumer(study), runs=1, seed=1)
    with pytest.raises(DesignError, match="a spread needs 4 such respondents"):
        ld.tastes(panel)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"outcome": "beliefs"}, "did you mean 'belief'"),
        ({"model": "mnlogit"}, "use 'logit' or 'clogit'"),
        ({"separation": "drop"}, "use 'law' or 'firth'"),
        ({"level": 95}, "between 0 and 1"),
        ({"formula": "price | 1"}, "for model='clogit'"),
        ({"formula": "prise"}, "did you mean 'price'"),
        ({"respondent": "person"}, "no column 'person' of respondents.*such as persona_id"),
        ({"formula": "price + offset(price)"}, "an offset, which tastes does not take"),
    ],
)
def test_what_is_refused(known, asked, words):
    with pytest.raises((DesignError, UsageError), match=words):
        ld.tastes(known[0], **asked)


def test_slopes_alone_and_answers_without_noise():
    """One coefficient; and beliefs that obey the model to the last digit."""
    study = households(40)
    panel = ld.simulate(study, consumer(study, icc=1e-13, persona_sd=0.0), runs=1, seed=1)
    found = ld.tastes(panel)
    slopes = np.array([consumer(study).consumer.parameters(f"r{k:03d}")[0] for k in range(40)])
    assert found.spread["price"] == pytest.approx(slopes.std(ddof=1), rel=1e-3)
    assert found.individuals["price"].to_numpy() == pytest.approx(slopes, abs=1e-3)
    assert any("answers obey the model exactly" in n for n in found.notes)
    one = ld.tastes(panel, "0 + I(price - 34.8)")
    assert one.spread.iloc[0] == pytest.approx(slopes.std(ddof=1), rel=1e-3)
    assert one.correlations.shape == (1, 1) and len(one.figure().axes) == 1


def test_answers_that_were_stopped_at_their_pivot():
    """Whole answers stand for them: the same tastes, with more noise."""
    study = households(60)
    backend = consumer(study, mismatch_rate=0.03)
    panel = ld.simulate(study, backend, runs=3, seed=5)
    whole = np.random.default_rng(6).random(len(panel)) < 0.5
    frame = panel.frame.assign(whole_probability=0.5)
    frame.loc[~whole, "final_status"] = "stopped"
    frame.loc[~whole, ["final_choice", "mismatch"]] = None
    cut = replace(panel, frame=frame)
    every, some = ld.tastes(panel), ld.tastes(cut)
    assert some.reading == "final" and some.data.corrected
    assert some.params["price"] == pytest.approx(every.params["price"], abs=0.06)
    choice = ld.tastes(cut, outcome="choice")
    assert choice.noise == 1 and choice.individuals["runs"].sum() == whole.sum()
    assert any("choice is that of whole answers" in n for n in choice.notes)
    with pytest.raises(UsageError, match="stopped at their pivot, and few runs"):
        ld.spread_needed(cut, reading="final", replications=2)
    assert ld.spread_needed(cut, runs=(1,), replications=2).reading == "pivot"


@pytest.mark.parametrize("often", ["none", "all"])
def test_an_alternative_that_all_or_none_choose_has_no_tastes(known, often):
    panel = known[0]
    frame = panel.frame
    kept = frame[(frame["final_choice"] == "pampers") == (often == "all")]
    alike = replace(panel, frame=kept.reset_index(drop=True))
    with pytest.raises(DesignError, match=f"{often} of the [0-9,]+ answers choose 'pampers'"):
        ld.tastes(alike, outcome="choice")
