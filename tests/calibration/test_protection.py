"""Calibration refuses or names what would make its numbers wrong."""

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand import CalibrationWarning, calibrate, debias, discrepancy, paired_panel
from llmdemand.calibration.samples.samples import pair
from llmdemand.errors import DesignError, UsageError

# One in a hundred data sets is warned of where all is well.
FALSE_ALARMS = pytest.mark.filterwarnings("ignore::llmdemand.CalibrationWarning")


@pytest.fixture(scope="module")
def data():
    found = paired_panel(humans=100, llm=400, answers=1, seed=11)
    return found.humans, found.beliefs


def mean(rows, outcome):
    return rows[outcome].mean()


def share(rows, outcome, weights):
    return np.average(rows[outcome], weights=weights)


# Who is who ---------------------------------------------------------------------------------


def with_own(humans, beliefs):
    """Humans with a column of beliefs, and the pool alone."""
    own = humans.merge(beliefs.drop(columns="income"), on=["respondent_id", "price"])
    return own, beliefs[~beliefs["respondent_id"].isin(humans["respondent_id"])]


@pytest.mark.parametrize(
    "spoil", [lambda i: f"{int(i):03d}", lambda i: f" {i}", lambda i: f"{i}.0", lambda i: f"{i} "]
)
@pytest.mark.parametrize("own", [True, False])
def test_respondents_under_another_spelling_are_refused(data, spoil, own):
    """Humans that bring beliefs share no id with the pool anyway: 400 of 500 would be new."""
    humans, beliefs = (frame.assign(respondent_id=frame["respondent_id"].str[1:]) for frame in data)
    humans = humans.assign(respondent_id=[spoil(i) for i in humans["respondent_id"]])
    if own:
        humans = humans.assign(belief=data[1]["belief"].to_numpy()[: len(humans)])
    calls = [calibrate, ld.recalibrated, discrepancy, lambda h, b: debias(mean, h, b)]
    for call in calls:
        with pytest.raises(DesignError, match=r"not the same name but look like one person's"):
            call(humans, beliefs)


def test_ids_of_other_types_are_the_same_people_to_every_function(data):
    humans, beliefs = (f.assign(respondent_id=f["respondent_id"].str[1:].astype(int)) for f in data)
    floats = humans.assign(respondent_id=humans["respondent_id"].astype(float))
    one, other = debias(mean, humans, beliefs), debias(mean, floats, beliefs)
    assert (one.humans, one.llm) == (other.humans, other.llm) == (100, 400)
    pd.testing.assert_frame_equal(one.table, other.table)


def test_missing_respondents_are_refused_or_left_out(data):
    humans, beliefs = data
    holes = humans.assign(respondent_id=humans["respondent_id"].where(np.arange(100) > 9))
    with pytest.raises(DesignError, match="10 rows have missing or infinite values"):
        debias(mean, holes, beliefs)
    found = debias(mean, holes, beliefs, na="drop")
    assert found.humans == 90
    assert found.table["humans_only"].iloc[0] == humans["choice"][10:].mean()
    assert "10 rows of humans" in found.notes[0]


# One design ---------------------------------------------------------------------------------


def cheap_pool(humans, beliefs):
    """The pool asked mostly at the two low prices."""
    pool = ~beliefs["respondent_id"].isin(humans["respondent_id"])
    few = pool & (beliefs["price"] > 36) & (np.arange(len(beliefs)) % 8 > 3)
    return beliefs[~few]


def test_a_pool_that_was_asked_at_other_prices_is_refused_or_weighted(data):
    humans, beliefs = data
    cheap = cheap_pool(humans, beliefs)
    with pytest.raises(DesignError, match=r"another design than the humans: price .*weights"):
        debias(mean, humans, cheap)
    found = debias(share, humans, cheap)
    # The calibrated mean of a constant alone, with cells by price, is the same estimator.
    same = calibrate(humans, cheap, target="share", reps=2)
    assert found.table["llm_only"].iloc[0] == pytest.approx(
        same.moments.share @ same.moments.means(same.moments.pairs.pool, same.moments.pairs.pool.f)
    )
    assert found.table["humans_only"].iloc[0] == humans["choice"].mean()


@FALSE_ALARMS
def test_a_weighted_statistic_covers_where_an_unweighted_one_did_not():
    """60 data sets: 95 % is seen within 8.4 points; plain means of the pool covered half."""
    truth = 1 / (1 + np.exp(0.25 * (np.repeat([30.0, 35.0, 40.0, 45.0], 10**5) - 37)
                            - 2 * np.random.default_rng(0).standard_normal(4 * 10**5)))  # fmt: skip
    hits = 0
    for seed in range(60):
        made = paired_panel(humans=100, llm=400, answers=1, seed=seed)
        cheap = cheap_pool(made.humans, made.beliefs)
        row = debias(share, made.humans, cheap, groups=20, reps=2).table.iloc[0]
        hits += row["lower"] < truth.mean() < row["upper"]
    assert hits > 51


def test_the_influence_function_and_the_jackknife_of_a_weighted_mean_agree(data):
    humans, beliefs = data

    def influence(rows, outcome, weights):
        return weights * (rows[outcome] - share(rows, outcome, weights)) / weights.sum()

    cheap = cheap_pool(humans, beliefs)
    plain = debias(share, humans, cheap, groups=10_000).table
    given = debias(share, humans, cheap, influence=influence).table
    np.testing.assert_allclose(plain["se"], given["se"], rtol=0.05)
    with pytest.raises(UsageError, match="both statistic and influence"):
        debias(mean, humans, beliefs, influence=influence)


def test_prices_of_one_side_alone_are_refused(data):
    humans, beliefs = data
    pool = ~beliefs["respondent_id"].isin(humans["respondent_id"])
    without = beliefs[~(pool & (beliefs["price"] == 45))]
    for statistic in (mean, share):
        with pytest.raises(DesignError, match="price 45 has 0 of the LLM respondents"):
            debias(statistic, humans, without)


# Asked alike --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("model", ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06")),
        ("variant", ("short", "long")),
        ("temperature", (1.0, 0.7)),
        ("reading", ("final", "pivot")),
        ("measure", ("belief", "choice")),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_an_llm_that_was_asked_in_two_ways_is_refused(data, column, values, own):
    humans, beliefs = data
    told = beliefs.assign(
        **{column: np.where(beliefs["respondent_id"].isin(humans["respondent_id"]), *values)}
    )
    sides = with_own(humans, told) if own else (humans, told)
    for call in (calibrate, ld.recalibrated, lambda h, b: debias(mean, h, b)):
        with pytest.raises(DesignError, match=rf"asked differently .*{column}.*{values[0]}"):
            call(*sides)


@FALSE_ALARMS
def test_ways_of_asking_that_overlap_are_named_and_equal_ones_hold(data):
    humans, beliefs = data

    def verdict(told):
        table = calibrate(humans, told, reps=19).assumptions.set_index("assumption")
        return table.loc["the LLM was asked alike on both sides"]

    own = beliefs["respondent_id"].isin(humans["respondent_id"])
    assert verdict(beliefs)["verdict"] == "not stated"
    assert verdict(beliefs.assign(model="a"))["verdict"] == "holds"
    odd = verdict(beliefs.assign(model=np.where(own | (np.arange(len(own)) % 2 == 0), "a", "b")))
    assert odd["verdict"] == "in doubt"
    assert "model: 100 % 'a' as the humans, 50" in odd["evidence"]


def test_runs_that_are_unequally_many_are_compared_as_often():
    """Means of ten runs scatter less than single ones: that is no difference of the sides."""
    made = paired_panel(humans=150, llm=600, answers=1, runs=10, seed=3)
    rng, people = np.random.default_rng(1), set(made.humans["respondent_id"])
    own = made.beliefs["respondent_id"].isin(people)
    pool = made.beliefs[~own]
    one = pool.assign(belief=rng.binomial(1, pool["belief"]) * 1.0)
    # Nine runs of the humans besides the first, which is drawn as the pool's are.
    ten = made.beliefs[own]
    runs = [ten.assign(belief=rng.binomial(1, ten["belief"]) * 1.0) for _ in range(10)]
    pairs = pair(made.humans, pd.concat([*runs, one]))
    assert [t.answers for t in pairs.told] == [1, 1]
    assert set(pairs.told[0].belief) == {0.0, 1.0}
    assert len(set(pairs.humans.f)) > 4


# Leaks and other populations ----------------------------------------------------------------


def log_odds(p):
    return np.log(p / (1 - p))


@FALSE_ALARMS
def test_a_belief_that_has_seen_the_answers_is_warned_of():
    made = paired_panel(humans=200, llm=800, answers=1, taste=1.0, bias=0.0, seed=5)
    own = len(made.humans)
    seen = log_odds(made.beliefs["belief"].to_numpy())
    seen[:own] += 2 * (2 * made.humans["choice"].to_numpy() - 1)
    beliefs = made.beliefs.assign(belief=1 / (1 + np.exp(-seen)))
    with pytest.warns(CalibrationWarning) as caught:
        found = calibrate(made.humans, beliefs)
    assert any("may know the answers" in str(w.message) for w in caught)
    row = found.assumptions.set_index("assumption").loc["the LLM has not seen these answers"]
    assert row["verdict"] == "in doubt"
    assert "spread as in the pool it would explain" in row["evidence"]
    assert "may know the answers" in found.verdict()


@FALSE_ALARMS
def test_a_shifted_pool_is_warned_of_and_shown():
    made = paired_panel(humans=200, llm=800, answers=1, seed=6)
    pool = np.arange(len(made.beliefs)) >= len(made.humans)
    told = log_odds(made.beliefs["belief"].to_numpy()) + 1.5 * pool
    beliefs = made.beliefs.assign(belief=1 / (1 + np.exp(-told)))
    with pytest.warns(CalibrationWarning, match="differ in distribution"):
        found = calibrate(made.humans, beliefs)
    assert found.laws.p < 0.01
    assert "beliefs differ between humans and pool" in found.verdict()
    axes = found.plot_beliefs()
    assert [t.get_text() for t in axes.get_xticklabels()] == list(found.laws.table.index)
    with pytest.warns(CalibrationWarning, match="differ in distribution"):
        debias(mean, made.humans, beliefs)


@FALSE_ALARMS
@pytest.mark.parametrize("humans", [12, 36])
def test_few_humans_are_told_so_loudly(humans):
    made = paired_panel(humans=humans, llm=60, seed=2)
    with pytest.warns(CalibrationWarning, match=rf"^{humans} humans: so few"):
        found = calibrate(made.humans, made.beliefs, prompt_chosen_on="nobody", reps=20)
    assert f"WARNING: {humans} humans" in found.verdict()


@FALSE_ALARMS
def test_forty_humans_are_not_few():
    made = paired_panel(humans=40, llm=60, seed=2)
    assert "so few" not in calibrate(made.humans, made.beliefs, reps=20).verdict()


# Whose answers chose ------------------------------------------------------------------------


@FALSE_ALARMS
def test_a_prompt_of_unknown_origin_is_a_warning_in_the_verdict(data):
    assert "WARNING: it is not stated" in calibrate(*data).verdict()
    assert "WARNING" not in calibrate(*data, prompt_chosen_on="others").verdict()
    assert "WARNING: it is not stated" in debias(mean, *data).summary()


@FALSE_ALARMS
def test_prompts_are_chosen_by_other_humans(data):
    humans, beliefs = data
    rng = np.random.default_rng(1)
    told = beliefs.assign(good=beliefs["belief"], bad=rng.random(len(beliefs)))
    found = calibrate(humans, told, prompts=["bad", "good"])
    assert "'good' in 5 of 5 folds" in found.notes[0]
    assert found.n_eff == pytest.approx(calibrate(humans, beliefs).n_eff)
    assert "not stated" not in found.verdict()
    for options, said in (
        ({"prompts": ["good"]}, "at least two"),
        ({"prompts": "good"}, "as a list"),
        ({"prompts": ["good", "good"]}, "each once"),
        ({"prompts": ["good", "bad"], "prompt_chosen_on": "others"}, "chosen here"),
    ):
        with pytest.raises(UsageError, match=said):
            calibrate(humans, told, **options)


@FALSE_ALARMS
def test_the_best_of_many_useless_prompts_saves_nobody():
    """Eight data sets, six prompts of noise: the best in sample seems to save."""
    honest, naive = [], []
    for seed in range(8):
        made = paired_panel(humans=60, llm=300, answers=1, seed=seed)
        rng = np.random.default_rng(seed)
        names = [f"p{k}" for k in range(6)]
        told = made.beliefs.assign(**{n: rng.random(len(made.beliefs)) for n in names})
        honest.append(calibrate(made.humans, told, prompts=names, reps=2).n_eff)
        naive.append(max(calibrate(made.humans, told, belief=n, reps=2).n_eff for n in names))
    assert np.mean(honest) < np.mean(naive)
