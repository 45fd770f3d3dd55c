"""Prices left out: the LLM is held against what people at other prices tell already."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from llmdemand import discrepancy, paired_panel
from llmdemand.calibration.fidelity.held_out import errors_of

PRICES = (30.0, 33.0, 36.0, 39.0, 42.0, 45.0)


@pytest.fixture(scope="module")
def data():
    return paired_panel(humans=300, llm=300, prices=PRICES, seed=1)


def test_predictors_are_those_of_numpy(data):
    found = discrepancy(data.humans, data.beliefs, reps=20).fidelity.held_out
    y = data.humans.groupby("price")["choice"].mean()
    f = data.beliefs.groupby("price")["belief"].mean()
    for price in PRICES:
        rest = y.index != price
        line = np.polyval(np.polyfit(y.index[rest], logit(y[rest]), 1), price)
        error = (logit(y[rest]) - logit(f[rest])).mean()
        expected = [y[price], f[price], expit(logit(f[price]) + error), expit(line)]
        assert found.prices.loc[price].to_numpy() == pytest.approx(expected)
    alone = np.sqrt(((f - y) ** 2).mean())
    assert found.table.loc["LLM alone", "rmse"] == pytest.approx(alone)


def test_a_model_with_a_slope_of_its_own_tells_less_than_people_at_other_prices(data):
    beyond = discrepancy(data.humans, data.beliefs, reps=99).fidelity
    assert beyond.held_out.table.loc["LLM and its error elsewhere", "gain_upper"] < 0
    assert "gain over the humans' line" in beyond.found["held_out"]
    assert "(heuristic)" in beyond.plot_held_out().get_title()


def test_a_model_that_knows_a_bend_tells_more():
    rng = np.random.default_rng(3)
    price = np.array(PRICES)
    truth = 1.5 - 3.0 * (price > 38)
    frame = pd.DataFrame(
        {
            "respondent_id": np.repeat([f"r{k}" for k in range(200)], 6),
            "price": np.tile(price, 200),
            "belief": np.tile(expit(truth + 0.8), 200),
        }
    )
    answers = (rng.random(1200) < np.tile(expit(truth), 200)).astype(float)
    table = discrepancy(frame.assign(choice=answers), frame, reps=99).fidelity.held_out.table
    assert table.loc["LLM and its error elsewhere", "gain_lower"] > 0
    assert table.loc["LLM alone", "rmse"] > table.loc["LLM and its error elsewhere", "rmse"]


def test_three_prices_are_too_few_and_said_so(data):
    few = [f[f["price"] < 37] for f in (data.humans, data.beliefs)]
    beyond = discrepancy(*few, reps=20).fidelity
    assert beyond.held_out is None and any("takes four" in n for n in beyond.notes)


def test_an_error_is_not_below_nought_and_ends_lie_about_it():
    """Of 200 draws whose error is a hundred times their estimate's, as of a line that fits."""
    rng = np.random.default_rng(2)
    y = 0.5 + np.vstack([np.zeros(4), 0.05 * rng.standard_normal((200, 4))])
    said = {"near": np.full((201, 4), 0.5005), "far": np.full((201, 4), 0.7)}
    found = errors_of(y, said, "near", 0.05)
    for name, right in (("near", 0.0005), ("far", 0.2)):
        row = found.loc[name]
        assert row["rmse"] == pytest.approx(right)
        assert 0 < row["lower"] < row["rmse"] < row["upper"]
    assert found.loc["far", "gain_upper"] < 0
