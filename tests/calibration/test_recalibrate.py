"""Recalibrated beliefs: cross-fitted, and never told the answer that they predict."""

import numpy as np
import pytest

from llmdemand import calibrate, fraclogit, paired_panel, recalibrated
from llmdemand.calibration.recalibrate import cross_fitted
from llmdemand.calibration.samples.samples import pair
from llmdemand.errors import DesignError, UsageError


@pytest.fixture(scope="module")
def data():
    return paired_panel(humans=240, llm=1200, answers=1, seed=5)


def test_aipw_weighs_the_pool_by_its_share(data):
    found = recalibrated(data.humans, data.beliefs)
    assert found.tuning.rule == "aipw" and found.lam == pytest.approx(1200 / 1440)
    assert "recalibrated" in found.notes[0]


def test_a_biased_llm_becomes_a_nearly_unbiased_one(data):
    plain = calibrate(data.humans, data.beliefs, target="share", at=37)
    found = recalibrated(data.humans, data.beliefs, target="share", at=37)
    human = plain.table.loc["humans only", "estimate"]
    before = abs(plain.table.loc["LLM only", "estimate"] - human)
    after = abs(found.table.loc["LLM only", "estimate"] - human)
    assert before > 0.1 and after < 0.03


def test_the_answers_of_a_fold_do_not_enter_its_own_predictions(data):
    """Turn one person's answer around: only the predictions for other folds may move."""
    pairs = pair(data.humans, data.beliefs)
    before, _ = cross_fitted(pairs, [], 5, "logit", 1)
    turned = data.humans.copy()
    turned.loc[0, "choice"] = 1 - turned.loc[0, "choice"]
    after, _ = cross_fitted(pair(turned, data.beliefs), [], 5, "logit", 1)
    fold = np.random.default_rng(1).permutation(240) % 5
    same = fold == fold[0]
    assert np.array_equal(before[same], after[same])
    assert not np.allclose(before[~same], after[~same])


def test_the_regression_is_the_logit_that_the_docstring_names(data):
    """Without shrinkage to speak of it is the logit on 1, x, l, x l, income; here by fraclogit."""
    pairs = pair(data.humans, data.beliefs)
    _, pool = cross_fitted(pairs, ["income"], 2, "logit", 3)
    frame = pairs.human_frame.assign(f=pairs.humans.f)
    frame["l"] = np.log(frame["f"] / (1 - frame["f"]))
    fold = np.random.default_rng(3).permutation(240) % 2
    people = pairs.pool_frame.assign(f=pairs.pool.f)
    people["l"] = np.log(people["f"] / (1 - people["f"]))
    mean = 0.0
    for k in range(2):
        fit = fraclogit(
            "choice ~ price + l + price:l + income",
            frame[fold[pairs.humans.respondent] != k],
            separation="firth",
        )
        mean = mean + fit.predict(people) / 2
    assert pool == pytest.approx(mean, abs=1e-6)


def test_covariates_that_tell_of_tastes_help(data):
    without = recalibrated(data.humans, data.beliefs, target="share", at=37, lam="tuned")
    with_it = recalibrated(
        data.humans, data.beliefs, target="share", at=37, lam="tuned", covariates=["income"]
    )
    assert with_it.table.loc["calibrated", "estimate"] == pytest.approx(
        without.table.loc["calibrated", "estimate"], abs=0.03
    )


def test_seeds_divide_the_folds_and_nothing_else(data):
    one, again, other = (recalibrated(data.humans, data.beliefs, seed=s) for s in (1, 1, 2))
    assert one.params.equals(again.params) and not one.params.equals(other.params)


def test_choices_have_no_log_odds_and_can_enter_as_they_are():
    data = paired_panel(humans=200, llm=800, answers=1, runs=1, seed=1)
    with pytest.raises(DesignError, match="no log-odds"):
        recalibrated(data.humans, data.beliefs)
    found = recalibrated(data.humans, data.beliefs, link="identity")
    assert np.isfinite(found.table["se"]).all()


def test_price_only_beliefs_have_collinear_features_and_still_are_fitted():
    """With two prices l is a function of price: the regression uses the directions that exist."""
    data = paired_panel(humans=200, llm=800, prices=(30.0, 40.0), skill=0.0, seed=1)
    beliefs = data.beliefs.assign(belief=np.where(data.beliefs["price"] == 30, 0.7, 0.4))
    with pytest.warns(UserWarning, match="does not vary"):
        found = recalibrated(data.humans, beliefs, lam="tuned")
    assert found.lam == 0


def test_covariates_and_folds_are_checked(data):
    with pytest.raises(DesignError, match="'age' is not a column"):
        recalibrated(data.humans, data.beliefs, covariates=["age"])
    holes = data.humans.assign(income=np.nan)
    with pytest.raises(DesignError, match="missing values"):
        recalibrated(holes, data.beliefs, covariates=["income"])
    for folds in (1, 121):
        with pytest.raises(UsageError, match="folds"):
            recalibrated(data.humans, data.beliefs, folds=folds)
    with pytest.raises(UsageError, match="link"):
        recalibrated(data.humans, data.beliefs, link="probit")
    with pytest.raises(UsageError, match="these"):
        recalibrated(data.humans, data.beliefs, prompt_chosen_on="these")


# In a hundred samples some differ by more than chance in one.
@pytest.mark.filterwarnings("ignore::llmdemand.calibration.ppi.CalibrationWarning")
def test_intervals_keep_their_promise_roughly():
    """A hundred samples of 100 humans: the slow study of calibrate() has the precise version."""
    hits = 0
    for seed in range(100):
        data = paired_panel(humans=100, llm=500, answers=1, bias=1.5, seed=1000 + seed)
        row = recalibrated(data.humans, data.beliefs, folds=4, reps=2).table.loc["calibrated"]
        hits += row["lower"] <= data.slope <= row["upper"]
    assert 88 <= hits <= 100
