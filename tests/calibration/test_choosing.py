"""Whom to ask next and when to stop: exact probabilities, what choosing brings, valid intervals."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import llmdemand as ld
from llmdemand.calibration.choosing.chosen import _capped, _systematic, choose_sample
from llmdemand.calibration.choosing.sequence import always_valid, looks
from llmdemand.errors import DesignError, UsageError

pytestmark = pytest.mark.numbers


def quick(humans, beliefs, **options):
    return ld.calibrate(humans, beliefs, reps=2, prompt_chosen_on="nobody", **options)


def pilot(**options):
    data = ld.paired_panel(humans=120, llm=600, answers=1, seed=1)
    return quick(data.humans, data.beliefs, **options)


def test_probabilities_sum_to_the_interviews_and_are_capped():
    size = np.array([0.0, 1.0, 1.0, 2.0, 100.0])
    found = _capped(size, 3)
    assert found[-1] == 1 and found.sum() == pytest.approx(3) and found[0] < 1e-9
    assert found[3] == pytest.approx(2 * found[1]) == 1.0


def test_rows_are_drawn_with_the_probabilities_that_are_said():
    """4,000 draws: a probability is seen within 4 standard errors of .8 points."""
    rng = np.random.default_rng(1)
    pi = _capped(rng.random(30), 9)
    drawn = np.zeros(30)
    for _ in range(4000):
        picked = _systematic(pi, rng.permutation(30), rng)
        assert len(set(picked.tolist())) == 9
        drawn[picked] += 1 / 4000
    assert np.abs(drawn - pi).max() < 4 * 0.008


def test_prices_and_people_that_move_the_target_are_asked_more():
    """The slope hangs on the ends of the prices; people of whom belief is sure tell little."""
    data = ld.paired_panel(humans=2, llm=2000, seed=5)
    found = choose_sample(pilot(), data.beliefs, 300, explore=0.1)
    frame = data.beliefs.reset_index(drop=True).assign(p=found.probabilities)
    by_price = frame.groupby("price")["p"].mean()
    assert by_price[[30.0, 45.0]].min() > 1.2 * by_price[[35.0, 40.0]].min()
    assert found.probabilities.sum() == pytest.approx(300)
    assert found.probabilities.min() >= 0.1 * 300 / len(frame)
    assert 1.05 < found.gain < 3
    assert "calibrate them with probability='probability'" in str(found)
    share = choose_sample(pilot(target="share", at=35), data.beliefs, 300)
    assert share.target == "share at 35"
    again = choose_sample(pilot(), data.beliefs, 300, explore=0.1)
    pd.testing.assert_frame_equal(found.table, again.table)


def test_a_plan_chooses_its_humans():
    data = ld.paired_panel(humans=2, llm=2000, seed=5)
    plan = ld.plan_sample(pilot(), cost_human=5.0, cost_llm=0.01, n_eff=300, choose=data.beliefs)
    assert len(plan.choice.table) == plan.best.humans
    assert "expected to be worth" in plan.summary()
    with pytest.raises(UsageError, match="needs a pilot"):
        ld.plan_sample(rho=0.5, cost_human=5.0, cost_llm=0.01, n_eff=300, choose=data.beliefs)


def test_what_cannot_be_chosen():
    data = ld.paired_panel(humans=2, llm=20, seed=5)
    for options, words in (
        ({"humans": 1}, "at least 2"),
        ({"humans": 10, "explore": 0.0}, "above 0"),
    ):
        with pytest.raises(UsageError, match=words):
            choose_sample(pilot(), data.beliefs, **options)
    with pytest.raises(DesignError, match="missing"):
        choose_sample(pilot(), data.beliefs.assign(price=np.nan), 10)


def interviewed(everybody, choice):
    """The answers of those who were chosen."""
    return (
        everybody.loc[choice.table.index]
        .drop(columns="belief")
        .assign(probability=choice.table["probability"])
    )


def test_chosen_people_give_the_truth_with_their_probabilities():
    """One large study: 1,500 chosen of 12,000; without probabilities it is many errors off."""
    data = ld.paired_panel(humans=12_000, llm=2, answers=1, seed=8)
    beliefs = data.beliefs[data.beliefs["respondent_id"].isin(data.humans["respondent_id"])]
    everybody = data.humans.assign(belief=beliefs["belief"].to_numpy()).reset_index(drop=True)
    choice = choose_sample(pilot(), everybody.drop(columns="choice"), 1500, explore=0.1)
    found = quick(
        interviewed(everybody, choice), everybody.drop(columns="choice"), probability="probability"
    )
    truth = ld.logit("choice ~ price", everybody).params["price"]
    row = found.table.loc["calibrated"]
    assert abs(row["estimate"] - truth) < 3 * row["se"]
    assert found.tuning.llm == 12_000 - 1500


@pytest.mark.slow
def test_chosen_interviews_beat_random_ones_and_intervals_cover():
    """200 studies of 200 interviews: coverage within 3 standard errors of 1.5 points."""
    first, truth, found = pilot(), ld.paired_panel(humans=2, llm=2).slope, []
    for seed in range(200):
        data = ld.paired_panel(humans=1500, llm=2, answers=1, seed=100 + seed)
        own = data.beliefs["respondent_id"].isin(data.humans["respondent_id"])
        everybody = data.humans.assign(belief=data.beliefs[own]["belief"].to_numpy())
        everybody = everybody.reset_index(drop=True)
        for explore in (0.1, 1.0):
            pool = everybody.drop(columns="choice")
            choice = choose_sample(first, pool, 200, explore=explore, seed=seed)
            row = quick(interviewed(everybody, choice), pool, probability="probability").table.loc[
                "calibrated"
            ]
            inside = row["lower"] < truth < row["upper"]
            found.append((explore, row["estimate"], row["se"], inside))
    rows = pd.DataFrame(found, columns=["explore", "estimate", "se", "inside"])
    spread = rows.groupby("explore")["estimate"].std()
    assert (rows.groupby("explore")["inside"].mean() > 0.95 - 0.046).all()
    # 150 such studies: .96 and .95 of the spread of random ones, known within .05.
    assert spread[0.1] < 1.08 * spread[1.0]


# Stopping -----------------------------------------------------------------------------------


def test_the_sequence_holds_at_all_looks_of_a_random_walk():
    """2,000 walks of 400 steps: exact for normal laws; seen within 3 errors of .5 points."""
    rng = np.random.default_rng(2)
    steps = rng.standard_normal((2000, 400)).cumsum(axis=1)
    n = np.arange(1, 401)
    z = np.abs(steps) / np.sqrt(n)
    bound = np.array([always_valid(k, 200) for k in n])
    assert 0.005 < (z > bound).any(axis=1).mean() < 0.05
    assert (z > stats.norm.ppf(0.975)).any(axis=1).mean() > 0.3
    assert bound.argmin() == pytest.approx(199, abs=20)  # narrowest in standard errors near there


def test_looking_until_it_pleases():
    data = ld.paired_panel(humans=240, llm=960, answers=1, seed=3)
    found = [
        quick(data.humans.iloc[:n], data.beliefs.drop(index=range(n, 240))) for n in (60, 120, 240)
    ]
    wide = looks(found, planned=240, half_width=1e-6)
    assert wide.stop is None and wide.verdict().startswith("Go on asking")
    assert (wide.table["lower"] < wide.table["once_lower"]).all()
    first = (wide.table["upper"] - wide.table["lower"]) / 2
    enough = looks(found, planned=240, half_width=float(first.iloc[1]) * 1.0001)
    assert enough.stop == 1 and "Stop at 120 humans" in str(enough)
    assert looks(found, planned=240, excludes=0.0).stop in (0, 1)
    for options, words in (({}, "one of them"), ({"half_width": -1.0}, "positive")):
        with pytest.raises(UsageError, match=words):
            looks(found, planned=240, **options)
    with pytest.raises(DesignError, match="more than the last"):
        looks(found[::-1], planned=240, excludes=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ld.CalibrationWarning)
        small = quick(data.humans.iloc[:20], data.beliefs.drop(index=range(20, 240)), lam=0)
    with pytest.raises(DesignError, match="at least 40"):
        looks([small, *found], planned=240, excludes=0.0)


# Of 1,200 comparisons some are false alarms, and of 40 humans some hardly ever say yes.
@pytest.mark.filterwarnings("ignore::llmdemand.CalibrationWarning")
@pytest.mark.slow
def test_stopping_when_it_excludes_zero_does_so_in_one_of_twenty_at_most():
    """150 studies of a true slope, eight looks each, asked whether all intervals hold it."""
    truth, missed, once = ld.paired_panel(humans=2, llm=2).slope, 0, 0
    for seed in range(150):
        data = ld.paired_panel(humans=320, llm=800, answers=1, seed=500 + seed)
        found = [
            quick(data.humans.iloc[:n], data.beliefs.drop(index=range(n, 320)))
            for n in (40, 60, 80, 120, 160, 200, 260, 320)
        ]
        table = looks(found, planned=200, excludes=0.0).table
        missed += not ((table["lower"] < truth) & (truth < table["upper"])).all()
        once += not ((table["once_lower"] < truth) & (truth < table["once_upper"])).all()
    assert missed / 150 < 0.05 + 3 * 0.018
    assert once > missed
