import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmdemand as ld
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.scoring.scores import scores
from llmdemand.reporting.measures.prediction import prediction

METRICS = ["log_score", "brier", "rmse"]


def small(panel, beliefs, choices):
    """Two prices (33 and 36) with given beliefs and choices, one row per run."""
    beliefs, choices = np.asarray(beliefs, float), np.asarray(choices)
    frame = panel.frame
    kept = frame["price_pampers"].isin([33, 36]) & (frame["replicate"] < beliefs.shape[1])
    frame = frame[kept].sort_values(["cell", "replicate"])
    b = beliefs.ravel()
    frame = frame.assign(
        belief_pampers=b,
        belief_huggies=1 - b,
        belief_neither=0.0,
        choice=(chosen := np.where(choices.ravel() == 1, "pampers", "huggies")),
        final_choice=chosen,
    )
    return Panel(frame, panel.study)


def row(found, outcome, runs):
    table = found.table
    return table[(table["outcome"] == outcome) & (table["runs"] == runs)].iloc[0]


def gap(found, runs, rival, metric):
    part = found.differences
    part = part[(part["runs"] == runs) & (part["metric"] == metric)]
    return part[(part["better"] == rival) | (part["worse"] == rival)].iloc[0]


@pytest.fixture(scope="module")
def truth(synthetic_panel):
    from llmdemand.simulation.backends.synthetic import SyntheticBackend

    study = synthetic_panel.study
    backend = SyntheticBackend(study)
    return {c.index: backend.truth(c)[study.focal] for c in study.cells()}


@pytest.fixture(scope="module")
def held(synthetic_panel):
    return prediction(synthetic_panel, runs=(1, 5, 20), replications=300, seed=2)


@pytest.fixture(scope="module")
def exact(synthetic_panel, truth):
    return prediction(synthetic_panel, (1, 5, 20, 30), replications=300, seed=2, truth=truth)


# --- By hand ------------------------------------------------------------------------------


def test_scores_by_hand(synthetic_panel):
    # Every draw of one of two equal runs fits 0.8 and 0.3, and is scored on a 1 and a 0.
    panel = small(synthetic_panel, [[0.8, 0.8], [0.3, 0.3]], [[1, 1], [0, 0]])
    found = prediction(panel, runs=(1,), replications=4)
    belief, choice, firth = (row(found, o, 1) for o in ("belief", "choice", "firth"))
    score = (math.log(0.8) + math.log(0.7)) / 2
    assert belief["log_score"] == pytest.approx(score, rel=1e-9)
    assert belief["brier"] == pytest.approx((0.04 + 0.09) / 2, rel=1e-9)
    assert belief["rmse"] == pytest.approx(math.sqrt((0.04 + 0.09) / 2), rel=1e-9)
    assert belief["log_score_se"] == pytest.approx(0, abs=1e-12)
    # The best function of price foresees these choices, a constant share is one half.
    assert found.best["log_score"] == 0 and found.best["brier"] == 0
    assert found.best["constant"] == pytest.approx(-math.log(2))
    assert found.best["constant_brier"] == 0.25
    assert found.best["optimism"] == 2 / (2 * 4)
    assert belief["attainable"] == pytest.approx(1 + score / math.log(2))
    assert belief["rmse_floor"] == 0
    # Choice is separated in every draw and predicts nothing; Firth's estimate is there.
    assert (choice["fitted"], choice["draws"]) == (0, 0)
    assert choice[[*METRICS, "attainable", "paired"]].isna().all()
    assert math.isnan(belief["paired"])
    assert firth["fitted"] == 1
    # A point of its own has leverage 1: Firth's share is (1 + 1/2) / (1 + 1) there.
    assert firth["log_score"] == pytest.approx(math.log(0.75), rel=1e-6)
    none, some = gap(found, 1, "choice", "brier"), gap(found, 1, "firth", "brier")
    assert none["draws"] == 0 and math.isnan(none["difference"])
    assert (some["better"], some["worse"]) == ("firth", "belief")
    assert some["difference"] == pytest.approx(0.065 - 0.0625)
    curve = found.calibration[found.calibration["outcome"] == "belief"]
    assert curve[["predicted", "observed", "n"]].to_numpy() == pytest.approx(
        np.array([[0.3, 0, 1], [0.8, 1, 1]])
    )


def test_scores_on_a_truth_by_hand(synthetic_panel):
    panel = small(synthetic_panel, [[0.8, 0.8], [0.3, 0.3]], [[1, 1], [0, 0]])
    truth = {33: 0.9, 36: 0.2}
    found = prediction(panel, runs=(2,), replications=2, truth=truth)
    belief = row(found, "belief", 2)
    expected = [
        (0.9 * math.log(0.8) + 0.1 * math.log(0.2) + 0.2 * math.log(0.3) + 0.8 * math.log(0.7)) / 2,
        (0.9 * 0.1 + 0.1**2 + 0.2 * 0.8 + 0.1**2) / 2,
        0.1,
    ]
    assert belief[METRICS].tolist() == pytest.approx(expected)
    best = (0.9 * math.log(0.9) + 0.1 * math.log(0.1) + 0.2 * math.log(0.2)) / 2
    best += 0.8 * math.log(0.8) / 2
    constant = 0.55 * math.log(0.55) + 0.45 * math.log(0.45)
    assert found.best["log_score"] == pytest.approx(best)
    assert found.best["constant"] == pytest.approx(constant)
    assert found.best["brier"] == pytest.approx((0.09 + 0.16) / 2)
    assert found.best["optimism"] == 0
    assert belief["attainable"] == pytest.approx((expected[0] - constant) / (best - constant))
    assert found.scored_on == "exact probabilities"
    cells = dict(zip(panel.frame["cell"].unique(), (0.9, 0.2), strict=True))
    for other in (cells, pd.Series(truth), pd.Series(cells).rename_axis("cell")):
        again = prediction(panel, runs=(2,), replications=2, truth=other)
        pd.testing.assert_frame_equal(found.table, again.table)


@settings(max_examples=25)
@given(st.lists(st.floats(0.02, 0.98), min_size=2, max_size=2, unique=True))
def test_a_belief_that_is_the_truth_reaches_all_that_is_attainable(synthetic_panel, shares):
    panel = small(synthetic_panel, np.repeat(np.array(shares)[:, None], 3, axis=1), np.eye(2, 3))
    truth = dict(zip((33, 36), shares, strict=True))
    found = prediction(panel, runs=(1,), replications=2, truth=truth)
    belief = row(found, "belief", 1)
    assert belief["rmse"] == pytest.approx(0, abs=1e-6)
    assert belief["log_score"] == pytest.approx(found.best["log_score"], abs=1e-9)
    if abs(shares[0] - shares[1]) > 0.1:
        assert belief["attainable"] == pytest.approx(1, abs=1e-6)


def test_one_draw_is_what_the_front_doors_say_about_its_runs(synthetic_panel):
    found = prediction(synthetic_panel, runs=(10,), replications=1, seed=3)
    frame = synthetic_panel.frame.sort_values(["cell", "replicate"])
    stream = np.random.SeedSequence(3).spawn(1)[0]
    order = np.random.default_rng(stream).random((16, 30)).argsort(axis=1)
    drawn = np.zeros((16, 30), bool)
    np.put_along_axis(drawn, order[:, :10], True, axis=1)
    frame = frame.assign(
        price=frame["price_pampers"],
        belief=frame["belief_pampers"],
        choice=(frame["choice"] == "pampers").astype(float),
    )
    fitted, held = frame[drawn.ravel()], frame[~drawn.ravel()]
    fits = {
        "belief": ld.fraclogit("belief ~ price", fitted),
        "choice": ld.logit("choice ~ price", fitted),
        "firth": ld.logit("choice ~ price", fitted, separation="firth"),
    }
    for outcome, fit in fits.items():
        if outcome == "belief":
            held = held.assign(belief=held["choice"])  # scored on choices, not on beliefs
        expected = scores(fit, held, by="price")
        assert row(found, outcome, 10)[METRICS].tolist() == pytest.approx(
            [expected.log_score, expected.brier, expected.rmse], rel=1e-6
        )
        assert math.isnan(row(found, outcome, 10)["log_score_se"]), "one draw has no spread"


# --- Known truth --------------------------------------------------------------------------


def test_belief_predicts_better_from_the_same_runs(held, exact):
    for found in (held, exact):
        for runs in (1, 5):
            for rival in ("choice", "firth"):
                for metric in METRICS:
                    line = gap(found, runs, rival, metric)
                    assert line["better"] == "belief", (runs, rival, metric)
                    assert line["difference"] > 4 * line["se"]
    # With runs the advantage shrinks.
    for rival in ("choice", "firth"):
        sizes = [gap(exact, n, rival, "log_score")["difference"] for n in (1, 5, 20)]
        assert sizes[0] > 2 * sizes[1] > 4 * sizes[2] > 0


def test_the_attainable_share_grows_towards_one_and_stays_below(exact):
    for outcome in ("belief", "choice", "firth"):
        shares = [row(exact, outcome, n)["attainable"] for n in (1, 5, 20)]
        assert shares[0] < shares[1] < shares[2] < 1
    assert row(exact, "belief", 1)["attainable"] > 0.97
    assert row(exact, "choice", 1)["attainable"] < 0.85


def test_held_out_choices_say_what_the_truth_says_within_their_noise(held, exact):
    for outcome in ("belief", "firth"):
        one, other = row(held, outcome, 5), row(exact, outcome, 5)
        # 400 held-out choices: their mean score has a standard error of about 0.025.
        assert one["log_score"] == pytest.approx(other["log_score"], abs=0.06)
        # What is left of the RMSE after the noise of held-out shares is that of the curve.
        assert one["rmse_floor"] > 0.05 and other["rmse_floor"] == 0
        left = math.sqrt(max(0.0, one["rmse"] ** 2 - one["rmse_floor"] ** 2))
        assert left == pytest.approx(other["rmse"], abs=0.05)


def test_the_floor_is_the_noise_of_held_out_shares(synthetic_panel):
    # Choices of one half in each cell: k held-out ones have a mean of variance 1/4 / k.
    choices = np.tile([0, 1], (2, 15))
    panel = small(synthetic_panel, np.repeat([[0.51], [0.49]], 30, axis=1), choices)
    found = prediction(panel, runs=(10,), replications=2)
    variance = 0.25 * 30 / 29
    assert row(found, "belief", 10)["rmse_floor"] == pytest.approx(math.sqrt(variance / 20))


def test_draws_without_an_estimate_are_counted_and_not_hidden(held):
    belief, choice, firth = (row(held, o, 1) for o in ("belief", "choice", "firth"))
    assert 0.5 < choice["fitted"] < 0.95 and choice["draws"] == round(300 * choice["fitted"])
    assert belief["fitted"] == firth["fitted"] == 1
    assert gap(held, 1, "choice", "brier")["draws"] == choice["draws"]
    assert gap(held, 1, "firth", "brier")["draws"] == 300
    # Choice's own draws are the lucky ones: Firth's estimate does better on them than on all.
    assert choice["paired"] == choice["log_score"]
    assert firth["paired"] > firth["log_score"] + 0.002
    assert gap(held, 1, "choice", "log_score")["difference"] == pytest.approx(
        belief["paired"] - choice["paired"], rel=1e-9
    )
    assert gap(held, 1, "firth", "log_score")["difference"] == pytest.approx(
        belief["log_score"] - firth["log_score"], rel=1e-9
    )


def test_the_attainable_share_can_be_recomputed_from_its_row(held):
    table = held.table
    expected = (table["log_score"] - table["constant"]) / (table["best"] - table["constant"])
    assert table["attainable"].to_numpy() == pytest.approx(expected.to_numpy())
    assert table["best"].iloc[0] == pytest.approx(held.best["log_score"], abs=0.01)


def test_the_calibration_curve_holds_every_held_out_choice(held, exact):
    for found, left in ((held, 16 * 25), (exact, 16 * 30)):
        curve = found.calibration[found.calibration["runs"] == 5]
        for _, part in curve.groupby("outcome"):
            assert part["n"].sum() == pytest.approx(left)
            assert part["predicted"].is_monotonic_increasing
    # From one run, choice is too sure of itself, belief is not.
    one = exact.calibration[exact.calibration["runs"] == 1]
    worst = {
        o: np.average((p["predicted"] - p["observed"]).abs(), weights=p["n"])
        for o, p in one.groupby("outcome")
    }
    assert worst["belief"] < 0.02 < worst["choice"]


# --- Draws --------------------------------------------------------------------------------


def test_draws_do_not_depend_on_chunks_or_on_the_order_of_rows(synthetic_panel, held, monkeypatch):
    from llmdemand.reporting.measures import heldout

    shuffled = synthetic_panel.frame.sample(frac=1, random_state=1)
    panel = Panel(shuffled, synthetic_panel.study)
    monkeypatch.setattr(heldout, "_CHUNK", 5000)
    again = prediction(panel, runs=(20, 1, 5, 5), replications=300, seed=2)
    for name in ("table", "differences", "calibration"):
        pd.testing.assert_frame_equal(getattr(held, name), getattr(again, name), check_exact=True)
    other = prediction(panel, runs=(1, 5, 20), replications=300, seed=4)
    assert not other.table.equals(held.table)


def test_unusable_runs_say_nothing_and_are_drawn_all_the_same(synthetic_panel):
    frame = synthetic_panel.frame.copy()
    frame.loc[frame["replicate"] % 2 == 0, "status"] = "refusal"
    half = prediction(Panel(frame, synthetic_panel.study), runs=(10,), replications=200)
    for outcome in ("belief", "firth"):
        some = prediction(synthetic_panel, runs=(5,), replications=200)
        one, other = row(half, outcome, 10)["rmse"], row(some, outcome, 5)["rmse"]
        assert one > other  # as noisy a fit, scored on fewer choices
        assert row(half, outcome, 10)["log_score"] == pytest.approx(
            row(some, outcome, 5)["log_score"], abs=0.05
        )
    curve = half.calibration[half.calibration["outcome"] == "belief"]
    assert curve["n"].sum() == pytest.approx(16 * 10, abs=0.5)


def test_a_cell_with_fewer_runs_gives_what_it_has(synthetic_panel):
    frame = synthetic_panel.frame
    kept = (frame["replicate"] < 4) | (frame["price_pampers"] != 36)
    found = prediction(Panel(frame[kept], synthetic_panel.study), runs=(5,), replications=3)
    curve = found.calibration[found.calibration["outcome"] == "belief"]
    assert curve["n"].sum() == pytest.approx(15 * 25)


def test_cells_of_one_price_share_a_prediction():
    panel = ld.simulate(ld.load_study("pampers-households"), "synthetic", runs=4, seed=3)
    found = prediction(panel, runs=(1, 3), replications=50)
    assert gap(found, 1, "firth", "rmse")["better"] == "belief"
    # Personas differ at a price: the truth by cell counts as its mean by price.
    focal = f"price_{panel.study.focal}"
    cells = panel.frame.groupby("cell")[focal].first()
    by_cell = pd.Series(np.linspace(0.9, 0.1, len(cells)), index=cells.index)
    one = prediction(panel, runs=(1,), replications=5, truth=by_cell.rename_axis("cell"))
    mean = by_cell.groupby(cells).mean().rename_axis("price")
    other = prediction(panel, runs=(1,), replications=5, truth=mean)
    pd.testing.assert_frame_equal(one.table, other.table)


def test_progress_ends_at_one(synthetic_panel):
    seen = []
    prediction(synthetic_panel, runs=(1, 2), replications=5, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 1


# --- What cannot be done ------------------------------------------------------------------


def test_runs_that_leave_nothing_are_noted(synthetic_panel, exact):
    found = prediction(synthetic_panel, runs=(1, 30, 99), replications=2)
    assert set(found.table["runs"]) == {1}
    assert found.notes == ("30, 99 runs of 30 per cell leave nothing to score",)
    assert "30, 99 runs" in found.summary()
    assert set(exact.table["runs"]) == {1, 5, 20, 30} and not exact.notes


def test_the_summary_says_what_its_errors_mean(held):
    text = held.summary()
    assert text.startswith("Prediction of held-out choices: 300 draws of n from 30 runs per cell")
    assert "Monte Carlo errors" in text and "another panel would differ by more" in text


def test_without_anything_to_predict_there_is_no_share_of_it(synthetic_panel):
    flat = dict.fromkeys(range(30, 46), 0.4)
    found = prediction(synthetic_panel, runs=(1,), replications=3, truth=flat)
    assert found.table["attainable"].isna().all()
    sure = small(synthetic_panel, [[1.0] * 4, [1.0] * 4], np.ones((2, 4)))
    found = prediction(sure, runs=(2,), replications=3)
    assert row(found, "belief", 2)["fitted"] == row(found, "choice", 2)["fitted"] == 0
    assert row(found, "firth", 2)["fitted"] == 1
    assert math.isnan(row(found, "firth", 2)["attainable"])


def test_held_out_runs_without_a_choice_score_nothing(synthetic_panel):
    panel = small(synthetic_panel, [[0.8, 0.7], [0.3, 0.4]], [[1, 1], [0, 0]])
    frame = panel.frame.assign(status=np.where(panel.frame["replicate"] == 1, "refusal", "ok"))
    found = prediction(Panel(frame, panel.study), runs=(1,), replications=40)
    belief = row(found, "belief", 1)
    # Both good runs are drawn in a quarter of the draws: a fit, and nothing to score it on.
    assert 0 < belief["fitted"] < 0.6 and belief["draws"] == 0
    assert math.isnan(belief["log_score"])


def test_errors(synthetic_panel):
    study, frame = synthetic_panel.study, synthetic_panel.frame
    with pytest.raises(DesignError, match="no usable run among 480"):
        prediction(Panel(frame.assign(status="refusal"), study))
    with pytest.raises(DesignError, match=r"all runs have one price \(35\)"):
        prediction(Panel(frame[frame["price_pampers"] == 35], study))
    with pytest.raises(DesignError, match="one run per cell: nothing is left"):
        prediction(Panel(frame[frame["replicate"] == 0], study))
    with pytest.raises(DesignError, match="ask for 29 or fewer, or give truth="):
        prediction(synthetic_panel, runs=(30,))
    for runs in ((), (0,), (1.5,)):
        with pytest.raises(UsageError, match="whole ones from 1"):
            prediction(synthetic_panel, runs=runs)
    with pytest.raises(UsageError, match="replications=0"):
        prediction(synthetic_panel, replications=0)
    with pytest.raises(UsageError, match="not negative"):
        prediction(synthetic_panel, seed=-1)


def test_errors_of_the_truth(synthetic_panel):
    prices = dict.fromkeys(range(30, 46), 0.5)

    def asked(truth, panel=synthetic_panel):
        return prediction(panel, runs=(1,), replications=2, truth=truth)

    with pytest.raises(UsageError, match=r"15 keys, and none for price 36 \(one of 1"):
        asked({k: v for k, v in prices.items() if k != 36})
    with pytest.raises(UsageError, match=r"truth of cell 6 is 1\.5, no probability"):
        asked({**prices, 36: 1.5})
    with pytest.raises(UsageError, match="is nan, no probability"):
        asked({**prices, 36: math.nan})
    with pytest.raises(UsageError, match="truth is empty"):
        asked({})
    with pytest.raises(UsageError, match="no mapping of numbers"):
        asked({"low": 0.5})
    with pytest.raises(UsageError, match="no mapping of numbers"):
        asked([0.5] * 16)
    with pytest.raises(UsageError, match="key 30 twice"):
        asked(pd.Series([0.5, 0.6], index=[30, 30]))
    both = dict.fromkeys(range(46), 0.5)
    with pytest.raises(UsageError, match="can be read as cells and as prices"):
        asked(both)
    assert len(asked(pd.Series(both).rename_axis("price")).table) == 3


def test_one_run_per_cell_can_be_scored_on_a_truth(synthetic_panel, truth):
    frame = synthetic_panel.frame
    one = Panel(frame[frame["replicate"] == 3], synthetic_panel.study)
    found = prediction(one, runs=(1,), replications=2, truth=truth)
    assert row(found, "belief", 1)["log_score_se"] == 0, "one run can be drawn in one way only"
