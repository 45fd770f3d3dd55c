"""What others' users ran into, rebuilt small: the right values, or a refusal that says why.

The reports: questions and bugs of packages for prediction-powered inference, raking and inverse
probability weights. Each test names the one it is after.
"""

import numpy as np
import pandas as pd
import pytest

from llmdemand import calibrate, debias, debias_fit, fraclogit, paired_panel, rake
from llmdemand.errors import DesignError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::llmdemand.CalibrationWarning")
FAST = {"prompt_chosen_on": "nobody", "reps": 2}


@pytest.fixture(scope="module")
def data():
    return paired_panel(humans=60, llm=200, answers=1, seed=1)


def test_an_interval_holds_the_mean_of_people_and_not_that_of_predictions():
    """ppi_py issue 13: predictions 2 too high throughout; the mean of people is 0."""
    y = np.random.default_rng(1).normal(size=100)
    noise = np.random.default_rng(2).normal(size=(2, 1000)) * 0.1
    humans = pd.DataFrame({"respondent_id": np.arange(100), "choice": y})
    humans["belief"] = y + 2 + noise[0, :100]
    fresh = np.random.default_rng(3).normal(size=1000)
    pool = pd.DataFrame({"respondent_id": np.arange(1000) + 500, "belief": fresh + 2 + noise[1]})
    found = debias(
        lambda r, c: r[c].mean(),
        humans,
        pool,
        on=(),
        tune="none",
        influence=lambda r, c: (r[c] - r[c].mean()) / len(r),
        **FAST,
    ).table.iloc[0]
    expected = pool["belief"].mean() - (humans["belief"] - y).mean()
    assert found["estimate"] == pytest.approx(expected)
    error = np.sqrt(pool["belief"].var() / 1000 + (humans["belief"] - y).var() / 100)
    assert found["se"] == pytest.approx(error)
    assert found["lower"] < 0 < found["upper"] < 1 and found["llm_only"] > 1.9


def test_a_statistic_gives_numbers_and_not_the_rows(data):
    """The same issue: a function that returns its rows met arrays of unlike length."""
    for wrong, error, said in (
        (lambda r, c: r[c], DesignError, "rows.outcome..mean.."),
        (lambda r, c: r[c].to_numpy(), DesignError, "60 numbers of the humans"),
        (lambda r, c: r[[c]], UsageError, r"of shape \(60, 1\)"),
        (lambda r, c: pd.concat([r[c], r[c]]), UsageError, "two under one name"),
        (lambda r, c: "high", UsageError, "gave str"),
        (lambda r, c: pd.Series({f"of {len(r)}": r[c].mean()}), DesignError, "on one side alone"),
    ):
        with pytest.raises(error, match=said):
            debias(wrong, data.humans, data.beliefs, **FAST)


def test_numbers_are_matched_by_name_in_whatever_order_they_come(data):
    """Sorted or counted by frequency, the order of a Series is another one on every side."""
    plain = debias(lambda r, c: r.groupby("price")[c].mean(), data.humans, data.beliefs, **FAST)
    other = debias(
        lambda r, c: r.groupby("price")[c].mean().sort_values(), data.humans, data.beliefs, **FAST
    )
    assert other.table.index.tolist() != plain.table.index.tolist()
    pd.testing.assert_frame_equal(other.table.sort_index(), plain.table, check_index_type=False)


def test_fits_with_other_categories_on_one_side_are_not_matched_by_place(data):
    frames = [f.assign(part=np.where(np.arange(len(f)) % 2, "a", "b"))
              for f in (data.humans, data.beliefs)]  # fmt: skip
    alone = ~frames[1]["respondent_id"].isin(frames[0]["respondent_id"])
    frames[1].loc[alone, "part"] = frames[1].loc[alone, "part"].map({"a": "a", "b": "c"})

    def fit(rows, column):
        vcov = {"CRV1": "respondent_id"}
        return fraclogit(f"{column} ~ price + part", rows, vcov=vcov)

    with pytest.raises(DesignError, match=r"part\[T.b\], part\[T.c\]"):
        debias_fit(fit, *frames, **FAST)


def test_raked_weights_are_design_weights_times_a_factor_of_the_cell():
    """facebookresearch/balance issue 431: design weights within a cell were levelled."""
    rng = np.random.default_rng(1)
    people = pd.DataFrame({"sex": rng.choice(["f", "m"], 200), "age": rng.choice(["o", "y"], 200)})
    people["w"] = rng.uniform(0.5, 3, 200)
    margins = {"sex": {"f": 0.52, "m": 0.48}, "age": {"o": 0.3, "y": 0.7}}
    raked = rake(people, margins, weights="w")
    factor = (raked.weights / people["w"]).groupby([people["sex"], people["age"]])
    assert (factor.max() - factor.min()).max() < 1e-12 and factor.mean().nunique() == 4
    for name, shares in margins.items():
        found = raked.weights.groupby(people[name]).sum() / raked.weights.sum()
        assert found.to_dict() == pytest.approx(shares)


def test_a_category_without_people_is_refused_before_any_round():
    """Crunch-io/rcrunch issue 184: raking to it never ends."""
    people = pd.DataFrame({"age": ["young", "old"] * 10})
    with pytest.raises(DesignError, match="nobody has 'middle'"):
        rake(people, {"age": {"young": 0.4, "middle": 0.2, "old": 0.4}})


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_no_weight_is_missing_infinite_or_nought(data, bad):
    """Issue 9 of causallib, CausalPy issue 645: 1/0 and 0 * inf went on as inf and NaN."""
    weights = np.ones(60)
    weights[7] = bad
    humans = data.humans.assign(w=weights)
    for given in ({"weights": "w"}, {"probability": "w"}):
        with pytest.raises(DesignError, match="row 7"):
            calibrate(humans, data.beliefs, **given, **FAST)
    with pytest.raises(DesignError, match="row 7"):
        rake(humans.assign(a=["x", "y"] * 30), {"a": {"x": 0.5, "y": 0.5}}, weights="w")
    alone = ~data.beliefs["respondent_id"].isin(humans["respondent_id"])
    pool = data.beliefs.assign(w=1.0)
    pool.loc[alone[alone].index[5], "w"] = bad
    with pytest.raises(DesignError, match="row 5"):
        calibrate(humans.assign(w=1.0), pool, weights="w", **FAST)


def test_people_who_were_not_asked_are_no_noes(data):
    """EmertonData/glide pull request 102: missing answers were counted as 0."""
    whole = data.beliefs.merge(data.humans, "left", on=["respondent_id", "price"])
    whole = whole[["respondent_id", "price", "choice"]]
    with pytest.raises(DesignError, match="200 rows have missing"):
        calibrate(whole, data.beliefs, **FAST)
    found = calibrate(whole, data.beliefs, na="drop", **FAST).table
    expected = calibrate(data.humans, data.beliefs, **FAST).table
    pd.testing.assert_frame_equal(found, expected)
