import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmdemand as ld
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.scoring.scores import scores
from llmdemand.reporting.measures import spread
from llmdemand.reporting.measures.variance import variance

ICC = 0.054  # of the known-truth consumer


def small(panel, beliefs, choices):
    """Prices 33, 36, ... with given beliefs and choices, one row of them per price."""
    beliefs, choices = np.asarray(beliefs, float), np.asarray(choices)
    frame = panel.frame
    prices = [33 + 3 * k for k in range(len(beliefs))]
    kept = frame["price_pampers"].isin(prices) & (frame["replicate"] < beliefs.shape[1])
    b = beliefs.ravel()
    frame = frame[kept].sort_values(["cell", "replicate"])
    frame = frame.assign(
        belief_pampers=b,
        belief_huggies=1 - b,
        belief_neither=0.0,
        choice=(chosen := np.where(choices.ravel() == 1, "pampers", "huggies")),
        final_choice=chosen,
    )
    return Panel(frame, panel.study)


@pytest.fixture(scope="module")
def found(synthetic_panel):
    return variance(synthetic_panel)


# --- By hand ------------------------------------------------------------------------------


def test_the_decomposition_by_hand(synthetic_panel):
    panel = small(synthetic_panel, [[0.6, 0.8, 0.7], [0.2, 0.4, 0.3]], [[1, 1, 0], [0, 1, 0]])
    found = variance(panel)
    first = found.by_price.iloc[0]
    assert first[["price", "cells", "runs"]].tolist() == [33, 1, 3]
    assert first["mean_choice"] == pytest.approx(2 / 3)
    assert first["mean_belief"] == pytest.approx(0.7)
    assert first["var_choice"] == pytest.approx(1 / 3)
    assert first["var_belief"] == pytest.approx(0.01)
    sampling = (0.24 + 0.16 + 0.21) / 3
    assert first["var_sampling"] == pytest.approx(sampling)
    assert first["icc"] == pytest.approx(0.01 / (0.01 + sampling))
    assert first["within_share"] == pytest.approx(1 - first["icc"])
    assert math.isnan(first["var_cells"])
    # Both prices mirror each other, so the pool has the same correlation.
    assert found.icc == pytest.approx(first["icc"])
    assert found.worth == pytest.approx((0.01 + sampling) / 0.01)
    assert all(map(math.isnan, found.icc_interval + found.worth_interval))
    assert found.notes == ("the cells are fewer than three, or all alike: there is no interval",)
    line = found.equivalence.iloc[0]
    se = math.sqrt(0.61) / 3
    assert line["difference"] == pytest.approx(2 / 3 - 0.7)
    assert line["se"] == pytest.approx(se)
    assert line["upper"] - line["lower"] == pytest.approx(2 * 1.959964 * se)
    assert line["margin"] == pytest.approx(0.7 - 2 / 3 + 1.644854 * se)
    # Both prices are too sparse for a test each: together, 3 of 3.0 expected.
    assert found.equal["difference"] == pytest.approx(0)
    assert (found.equal["df"], round(found.equal["chi2"], 9)) == (1, 0)


def test_the_fit_in_sample_by_hand(synthetic_panel):
    # Two prices: logits go through the means, 0.7 and 0.3 against shares 2/3 and 1/3.
    panel = small(synthetic_panel, [[0.6, 0.8, 0.7], [0.2, 0.4, 0.3]], [[1, 1, 0], [0, 1, 0]])
    fit = variance(panel).fit
    third, two = 1 / 3, 2 / 3
    assert fit.loc["choice"].tolist() == pytest.approx(
        [two * math.log(two) + third * math.log(third), 1, 0], abs=1e-7
    )
    assert fit.loc["belief"].tolist() == pytest.approx(
        [two * math.log(0.7) + third * math.log(0.3), 1 - (1 / 30) ** 2 / (1 / 6) ** 2, 1 / 30]
    )


def test_the_parts_are_unbiased_for_two_runs_a_cell(synthetic_panel):
    # All pairs of runs from three beliefs: their mean is the variance of the three.
    b = np.array([0.1, 0.4, 0.9])
    pairs = [(x, y) for x in b for y in b]
    parts = [
        variance(small(synthetic_panel, [pair, pair], [[0, 1]] * 2)).by_price.iloc[0]
        for pair in pairs
    ]
    assert np.mean([p["var_belief"] for p in parts]) == pytest.approx(b.var())
    assert np.mean([p["var_sampling"] for p in parts]) == pytest.approx(np.mean(b * (1 - b)))


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_shares_add_up_and_stay_shares(synthetic_panel, beliefs):
    b = np.array(beliefs).reshape(2, 3)
    found = variance(small(synthetic_panel, b, np.zeros((2, 3))), replications=20)
    for icc, within in found.by_price[["icc", "within_share"]].to_numpy():
        assert math.isnan(icc) or (0 <= icc <= 1 and icc + within == pytest.approx(1))
    if math.isfinite(found.worth):
        assert found.worth >= 1


# --- Known truth --------------------------------------------------------------------------


def test_the_known_correlation_is_found(found):
    low, high = found.icc_interval
    assert low < ICC < high and high - low < 0.04
    assert found.icc == pytest.approx(ICC, abs=0.012)
    assert found.worth == 1 / found.icc
    assert found.worth_interval == pytest.approx((1 / high, 1 / low))
    assert found.worth_interval[0] < 18.5 < found.worth_interval[1]


def test_both_sides_of_the_decomposition_agree(found):
    table = found.by_price
    whole = table["var_belief"] + table["var_sampling"]
    # Of 480 runs the left side has a Monte Carlo error of 5 %.
    assert table["var_choice"].mean() == pytest.approx(whole.mean(), rel=0.2)


def test_a_belief_run_is_worth_what_runs_needed_say():
    # The published reconstruction: 93 choice runs against 5 belief runs.
    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=100, seed=1)
    assert variance(panel).worth == pytest.approx(93 / 5, rel=0.12)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng, held = np.random.default_rng(4), 0
    p = 1 / (1 + np.exp(0.535 * (np.arange(30, 46) - 34.8)))[:, None]
    law = 1 / ICC - 1
    for seed in range(100):
        b = rng.beta(p * law, (1 - p) * law, size=(16, 10))
        within = 9 * (b * (1 - b)).mean(axis=1)
        cells = pd.DataFrame({"ss_b": 10 * b.var(axis=1), "ss_within": within})
        low, high = spread.share_interval(cells, 0.95, 500, seed, corrected=False)
        held += low < ICC < high
    assert 0.86 <= held / 100 <= 0.99


def test_mean_choice_is_mean_belief_where_choices_come_from_beliefs(found):
    assert found.equal["p"] > 0.01
    assert abs(found.equal["difference"]) < 3 * found.equal["se"]
    table = found.equivalence
    inside = (table["lower"] <= 0) & (table["upper"] >= 0)
    assert inside.mean() >= 0.8
    assert (table["margin"] > table["difference"].abs()).all()


def test_choices_that_do_not_follow_belief_are_noticed(synthetic_panel):
    frame = synthetic_panel.frame
    b = frame["belief_pampers"]
    moved = 1 / (1 + np.exp(-np.log(b.clip(1e-9, 1 - 1e-9) / (1 - b).clip(1e-9)) - 1))
    rest = (1 - moved) / (1 - b).clip(1e-12)
    frame = frame.assign(
        belief_pampers=moved,
        belief_huggies=frame["belief_huggies"] * rest,
        belief_neither=1 - moved - frame["belief_huggies"] * rest,
    )
    frame["belief_neither"] = frame["belief_neither"].clip(0)
    assert variance(Panel(frame, synthetic_panel.study)).equal["p"] < 1e-6


def test_the_fit_is_that_of_the_front_doors(found, synthetic_panel):
    frame = synthetic_panel.frame.assign(
        price=synthetic_panel.frame["price_pampers"],
        choice=(synthetic_panel.frame["choice"] == "pampers").astype(float),
    )
    for outcome, values in (("choice", frame["choice"]), ("belief", frame["belief_pampers"])):
        fit = ld.fraclogit("y ~ price", frame.assign(y=values), vcov="HC1")
        expected = scores(fit, frame.assign(y=frame["choice"]), by="price")
        assert found.fit.loc[outcome, "log_score"] == pytest.approx(expected.log_score, rel=1e-8)
        assert found.fit.loc[outcome, "rmse"] == pytest.approx(expected.rmse, rel=1e-6)
    assert found.fit.loc["choice", "log_score"] >= found.fit.loc["belief", "log_score"]
    assert (found.fit["r2"] > 0.9).all()


def test_personas_differ_in_share_and_that_is_no_noise_of_runs():
    from llmdemand.simulation.backends.synthetic import SyntheticBackend

    study = ld.load_study("pampers-households")
    panel = ld.simulate(study, SyntheticBackend(study, persona_sd=2.0), runs=5, seed=3)
    found = variance(panel)
    assert found.icc_interval[0] < ICC < found.icc_interval[1]
    assert found.icc == pytest.approx(ICC, abs=0.01)
    middle = found.by_price[found.by_price["price"].between(32, 37)]
    assert (middle["cells"] > 1).all()
    assert (middle["var_cells"] > 3 * middle["var_belief"]).all()
    # A correlation over all runs of a price would take personas for noise of runs.
    naive = panel.frame.groupby("price_pampers")["belief_pampers"].var().mean()
    assert naive > 3 * found.by_price["var_belief"].mean()


def test_the_variance_between_cells_by_hand(synthetic_panel):
    # Two cells of one price, shares 0.2 and 0.6, two runs each: MS between 0.16, within 0.02.
    panel = small(synthetic_panel, [[0.1, 0.3], [0.5, 0.7]], [[0, 1], [0, 1]])
    panel = Panel(panel.frame.assign(price_pampers=33.0), panel.study)
    found = variance(panel)
    assert found.by_price["var_belief"].iloc[0] == pytest.approx(0.02)
    assert found.by_price["var_cells"].iloc[0] == pytest.approx((0.16 - 0.02) / 2)
    assert found.fit.isna().all(axis=None)
    assert "all runs have one price (33): there is no demand curve to fit" in found.notes


# --- Edges --------------------------------------------------------------------------------


def test_one_run_per_cell_leaves_the_correlation_unknown(synthetic_panel):
    frame = synthetic_panel.frame
    found = variance(Panel(frame[frame["replicate"] == 0], synthetic_panel.study))
    assert math.isnan(found.icc) and math.isnan(found.worth)
    assert all(map(math.isnan, found.icc_interval + found.worth_interval))
    assert found.by_price[["var_choice", "var_belief", "icc", "var_cells"]].isna().all(axis=None)
    assert any("ask each cell at least twice" in note for note in found.notes)
    assert np.isfinite(found.equal["p"]) and "one usable run per cell" in found.summary()


def test_beliefs_that_never_vary_are_worth_any_number_of_choices(synthetic_panel):
    # 0.1 in three runs: a variance from sums of squares would be a rounding error, not 0.
    panel = small(synthetic_panel, [[0.1] * 3, [0.3] * 3], [[0, 1, 0], [1, 0, 0]])
    found = variance(panel)
    assert found.icc == 0 and found.worth == math.inf
    assert all(map(math.isnan, found.icc_interval))
    assert any("more runs of the same prompt add nothing" in note for note in found.notes)


def test_beliefs_of_zero_and_one_are_choices(synthetic_panel):
    both = variance(small(synthetic_panel, [[1, 0, 1], [0, 1, 0]], [[1, 0, 1], [0, 1, 0]]))
    assert both.icc == 1 and both.worth == 1
    assert any("says no more than the choice does" in note for note in both.notes)
    assert (both.equivalence["p"] == 1).all() and both.equal["p"] == 1
    sure = variance(small(synthetic_panel, [[1, 1, 1], [0, 0, 0]], [[1, 1, 1], [0, 0, 1]]))
    assert math.isnan(sure.icc) and math.isnan(sure.worth)
    assert any("nothing varies" in note for note in sure.notes)
    assert any("belief is separated in all runs" in note for note in sure.notes)
    assert sure.fit.loc["belief"].isna().all()
    # A choice that its belief rules out: no scatter explains it.
    assert sure.equivalence["p"].tolist() == [1, 0] and sure.equal["p"] == 0


def test_few_cells_say_that_their_interval_is_rough(synthetic_panel):
    frame = synthetic_panel.frame
    found = variance(Panel(frame[frame["price_pampers"].between(34, 37)], synthetic_panel.study))
    assert found.notes == ("4 cells have two usable runs: intervals over cells are rough",)
    low, high = found.icc_interval
    assert 0 < low < found.icc < high < 1
    alike = variance(small(synthetic_panel, [[0.4, 0.5]] * 4, [[0, 1]] * 4))
    assert all(map(math.isnan, alike.icc_interval)) and alike.icc > 0


def test_unusable_runs_are_left_out_and_counted(synthetic_panel, found):
    frame = synthetic_panel.frame.copy()
    odd = frame["replicate"] % 2 == 1
    frame.loc[odd, "status"] = "refusal"
    half = variance(Panel(frame, synthetic_panel.study))
    same = variance(Panel(frame[~odd], synthetic_panel.study))
    pd.testing.assert_frame_equal(half.by_price, same.by_price)
    assert half.icc == same.icc != found.icc
    assert "240 of 480 runs are not usable and left out" in half.notes and not same.notes


def test_the_interval_depends_on_its_seed_alone(synthetic_panel, found, monkeypatch):
    monkeypatch.setattr(spread, "_CHUNK", 100)
    shuffled = Panel(synthetic_panel.frame.sample(frac=1, random_state=2), synthetic_panel.study)
    again = variance(shuffled)
    assert again.icc_interval == pytest.approx(found.icc_interval, rel=1e-9)
    assert variance(synthetic_panel, seed=2).icc_interval != found.icc_interval
    wide = variance(synthetic_panel, confidence=0.99).icc_interval
    assert wide[0] < found.icc_interval[0] and wide[1] > found.icc_interval[1]


def test_the_summary_tells_it(found):
    text = found.summary()
    assert "one belief run is worth" in text and "var_cells" not in text
    assert "95 % interval" in text and "chi2(" in text


def test_errors(synthetic_panel):
    study, frame = synthetic_panel.study, synthetic_panel.frame
    with pytest.raises(DesignError, match="no usable run among 480"):
        variance(Panel(frame.assign(status="refusal"), study))
    for options in ({"confidence": 1.0}, {"replications": 0}, {"seed": -1}):
        with pytest.raises(UsageError, match="confidence between 0 and 1"):
            variance(synthetic_panel, **options)


def test_sampling_weights_that_are_left_aside_are_said():
    people = pd.DataFrame({"respondent_id": ["a", "b"], "w": [1, 3]})
    study = ld.load_study("pampers").with_respondents(people)
    panel = ld.simulate(study, "synthetic", runs=3, seed=1)
    weighted = Panel(panel.frame, replace(study, weights="w"))
    for found, plain in (
        (variance(weighted, replications=5).notes[-1], variance(panel, replications=5).notes),
        (ld.audit(weighted).note, [ld.audit(panel).note]),
    ):
        assert "sampling weights 'w'" in found and "every run counts as one" in found
        assert not any("sampling weights" in note for note in plain)
