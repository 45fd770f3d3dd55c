"""Where no human was asked: the assumption is exact where it holds, the bound where it does not."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from llmdemand import transport
from llmdemand.errors import DesignError, UsageError

PRICES = np.array([2.0, 3.0, 4.0, 5.0, 6.0])
TRUTH = 2.4 - 0.8 * PRICES
HUMANS = PRICES < 5
NOISE = np.random.default_rng(0).normal(0, 0.4, 100_000)


def exact(error, people=40):
    """Everybody of a side says the mean: humans at three prices, the LLM at five."""
    ids = [f"r{k}" for k in range(people)]
    told = pd.DataFrame(
        {
            "respondent_id": np.repeat(ids, 5),
            "price": np.tile(PRICES, people),
            "belief": np.tile(expit(TRUTH - error), people),
        }
    )
    own = told[told["price"] < 5].rename(columns={"belief": "choice"})
    return own.assign(choice=np.tile(expit(TRUTH)[HUMANS], people)), told


def drawn(seed, error=0.7, people=150):
    rng = np.random.default_rng(seed)
    humans, told = exact(error, people)
    answers = (rng.random(len(humans)) < humans["choice"]).astype(float)
    noise = rng.normal(0, 0.4, len(told))
    return humans.assign(choice=answers), told.assign(belief=expit(logit(told["belief"]) + noise))


@pytest.mark.parametrize(
    ("error", "kind"), [(0.7, "constant"), (0.7 + 0.3 * PRICES, "linear"), (0.0, "constant")]
)
def test_where_the_assumption_holds_the_share_is_the_truth(error, kind):
    found = transport(*exact(error), error=kind, delta=0.1, reps=20)
    assert found.table["share"].tolist() == pytest.approx(expit(TRUTH).tolist())
    assert found.held_out["error"].to_numpy() == pytest.approx(0, abs=1e-9)
    slope = found.conclusions.loc["slope of log-odds in price", "estimate"]
    assert slope == pytest.approx(np.polyfit(PRICES, TRUTH, 1)[0])
    assert "Assumed, not shown" in found.verdict() and "Heuristic" in found.verdict()


def test_an_error_that_is_off_by_delta_elsewhere_is_at_the_end_of_the_bound():
    error = np.where(HUMANS, 0.7, 0.7 + 0.5)
    found = transport(*exact(error), delta=0.5, reps=20)
    assert found.table["bound_upper"].to_numpy()[3:] == pytest.approx(expit(TRUTH)[3:])
    assert found.table["share"].to_numpy()[3:] == pytest.approx(expit(TRUTH - 0.5)[3:])
    slope = found.conclusions.loc["slope of log-odds in price"]
    assert slope["bound_lower"] < np.polyfit(PRICES, TRUTH, 1)[0] < slope["bound_upper"]


def test_the_slope_flips_at_the_error_that_is_said():
    flips = transport(*exact(0.7), reps=20).conclusions["flips_at"].iloc[0]
    for factor, sign in ((0.99, -1), (1.01, 1)):
        # Both prices without humans lie above the mean: upward errors raise the slope.
        off = np.where(HUMANS, 0.7, 0.7 - factor * flips)
        found = transport(*exact(off), delta=0.0, reps=20)
        assert np.sign(found.conclusions["estimate"].iloc[0]) == sign


def test_the_best_price_flips_at_the_error_that_is_said():
    profit = (PRICES - 1) * expit(TRUTH)
    row = transport(*exact(0.7), cost=1.0, reps=20).conclusions.loc["best price"]
    assert row["estimate"] == PRICES[np.argmax(profit)] == 3
    for factor, best in ((0.99, 3), (1.01, 5)):
        off = np.where(PRICES == 5, 0.7 - factor * row["flips_at"], 0.7)
        found = transport(*exact(off), cost=1.0, delta=0.0, reps=20)
        assert found.conclusions.loc["best price", "estimate"] == best
    far = transport(*exact(0.7), cost=1.0, moves=2.5, reps=20).conclusions.loc["best price"]
    assert far["flips_at"] > row["flips_at"]


def test_intervals_keep_their_promise_where_the_assumption_holds():
    inside = []
    for seed in range(60):
        humans, told = drawn(seed)
        true = expit(logit(np.mean(expit(TRUTH[3] - 0.7 + NOISE))) + 0.7)
        row = transport(humans, told, reps=99, delta=0.0, seed=seed).table.loc[5.0]
        inside.append(row["lower"] < true < row["upper"])
    assert 0.87 <= np.mean(inside) <= 0.99


def test_an_assumption_that_fails_where_it_can_be_checked_is_warned_of():
    found = transport(*drawn(1, 0.7 - 0.5 * PRICES), reps=99)
    assert any("fails where it can be checked" in n for n in found.notes)
    assert any("lie beyond those of the humans" in n for n in found.notes)
    assert not found.stated and found.delta == found.held_out["error"].abs().max()
    good = transport(*drawn(1), reps=99)
    assert not any("fails" in n for n in good.notes)


def test_products_have_shares_and_no_slope():
    frames = [f.assign(price=[f"product {v:g}" for v in f["price"]]) for f in exact(0.7)]
    found = transport(*frames, reps=20, delta=0.2)
    assert found.table["share"].tolist() == pytest.approx(expit(TRUTH).tolist())
    assert found.conclusions.empty
    words = [text.get_text() for text in found.plot().get_legend().get_texts()]
    assert any("by assumption" in w for w in words)


def test_draws_without_log_odds_make_no_interval():
    humans, told = exact(0.7)
    rare = humans.assign(choice=(humans["respondent_id"] == "r3") * 1.0)
    rare.loc[rare["price"] < 4, "choice"] = humans["choice"]
    found = transport(rare, told, reps=50)
    assert any("draws everybody said the same" in n for n in found.notes)
    assert found.conclusions[["lower", "upper", "flips_lower"]].isna().all(axis=None)
    assert np.isfinite(found.conclusions["estimate"]).all()


def test_few_people_are_warned_of():
    assert any("below 30" in n for n in transport(*exact(0.7, 20), reps=20).notes)


@pytest.mark.parametrize(
    ("change", "options", "error", "said"),
    [
        (lambda h, b: (h, b[b["price"] < 5]), {}, DesignError, "nothing to transport"),
        (lambda h, b: (h[h["price"] < 3], b), {}, DesignError, "held out needs 2"),
        (lambda h, b: (h[h["price"] < 4], b), {"error": "linear"}, DesignError, "needs 3"),
        (lambda h, b: (h, b[b["price"] > 2]), {}, DesignError, "not asked of the LLM"),
        (lambda h, b: (h[:15], b), {}, DesignError, "10 are the least"),
        (lambda h, b: (h.assign(choice=1.0), b), {}, DesignError, "everybody says the same"),
        (lambda h, b: (h, b), {"delta": -1.0}, UsageError, "0 or more"),
        (lambda h, b: (h, b), {"reps": 5}, UsageError, "20 to 10,000"),
        (lambda h, b: (h, b), {"error": "constnat"}, UsageError, "constant"),
    ],
)
def test_what_cannot_be_transported_is_refused(change, options, error, said):
    with pytest.raises(error, match=said):
        transport(*change(*exact(0.7)), **{"reps": 20, **options})
