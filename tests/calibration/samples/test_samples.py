"""Joining humans and beliefs: types of columns, order of rows, and what is refused."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.paired import paired_panel
from llmdemand.calibration.ppi import calibrate
from llmdemand.calibration.samples.samples import pair
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.outcomes.frames import demand_frame


@pytest.fixture(scope="module")
def data():
    """60 humans with two of four prices each, the LLM as them and as 90 others."""
    found = paired_panel(humans=60, llm=90, answers=2, seed=5)
    return found.humans, found.beliefs


@pytest.fixture(scope="module")
def fit(data):
    return calibrate(*data, reps=2)


def number(frame, kind):
    return frame.assign(respondent_id=kind(frame["respondent_id"].str[1:].astype(int)))


def as_type(name):
    return lambda ids: ids.astype(name)


def as_objects(kind):
    return lambda ids: pd.Series([kind(i) for i in ids], dtype=object)


IDS = {
    "int": as_type("int64"),
    "uint8": as_type("uint8"),
    "float": as_type("float64"),
    "text": as_type(str),
    "arrow text": as_type("string[pyarrow]"),
    "nullable": as_type("Int64"),
    "nullable float": as_type("Float64"),
    "arrow int": as_type("int64[pyarrow]"),
    "categories": as_type("category"),
    "categories of floats": lambda ids: ids.astype(float).astype("category"),
    "objects": as_objects(int),
    "floats as objects": as_objects(float),
}


def agree(one, other):
    np.testing.assert_allclose(one.params, other.params, rtol=1e-9)
    np.testing.assert_allclose(one.cov, other.cov, rtol=1e-7)
    assert one.lam == pytest.approx(other.lam)
    assert (one.tuning.humans, one.tuning.llm) == (other.tuning.humans, other.tuning.llm)


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("other", ["int", "text", "categories of floats"])
def test_the_same_respondent_is_found_whatever_type_ids_have(data, fit, kind, other):
    humans, beliefs = data
    agree(calibrate(number(humans, IDS[kind]), number(beliefs, IDS[other]), reps=2), fit)


def test_ids_beyond_the_precision_of_floats_stay_apart(data, fit):
    large = lambda ids: ids + 2**53  # noqa: E731
    humans, beliefs = (number(frame, large) for frame in data)
    agree(calibrate(humans, beliefs, reps=2), fit)
    agree(calibrate(humans, beliefs.astype({"respondent_id": str}), reps=2), fit)


@pytest.mark.parametrize("kind", [int, "float32", "Int64", "Float64", "float64[pyarrow]"])
def test_prices_of_both_sides_may_have_different_types(data, fit, kind):
    humans, beliefs = data
    agree(calibrate(humans.astype({"price": kind}), beliefs, reps=2), fit)
    agree(calibrate(humans, beliefs.astype({"price": kind}), reps=2), fit)


def test_decimals_of_a_database_are_numbers(data, fit):
    humans, beliefs = (
        frame.assign(price=[Decimal(f"{p:.2f}") for p in frame["price"]]) for frame in data
    )
    agree(calibrate(humans, data[1], reps=2), fit)
    agree(calibrate(data[0], beliefs, reps=2), fit)
    exact = beliefs.assign(belief=[Decimal(repr(f)) for f in beliefs["belief"]])
    agree(
        calibrate(humans.assign(choice=[Decimal(int(y)) for y in humans["choice"]]), exact, reps=2),
        fit,
    )


@pytest.mark.parametrize("kind", [bool, "boolean", "int8", "Int64", "double[pyarrow]"])
def test_outcomes_may_be_booleans_or_counts(data, fit, kind):
    humans, beliefs = data
    agree(calibrate(humans.astype({"choice": kind}), beliefs, reps=2), fit)


def test_a_repeated_index_does_not_matter(data, fit):
    humans, beliefs = (frame.set_axis(np.zeros(len(frame), int)) for frame in data)
    agree(calibrate(humans, beliefs, reps=2), fit)


def test_own_beliefs_may_be_a_column_of_the_humans(data, fit):
    humans, beliefs = data
    own = humans.merge(beliefs[["respondent_id", "price", "belief"]], how="left")
    pool = beliefs[~beliefs["respondent_id"].isin(humans["respondent_id"])]
    agree(calibrate(own, pool, reps=2), fit)
    agree(calibrate(own, beliefs, reps=2), fit)


def test_a_nullable_column_of_own_beliefs_keeps_its_type_when_rows_are_left_out(data):
    humans, beliefs = data
    own = humans.merge(beliefs[["respondent_id", "price", "belief"]], how="left")
    gap = own.astype({"belief": "Float64"})
    gap.loc[3, "belief"] = pd.NA
    agree(calibrate(gap, beliefs, na="drop", reps=2), calibrate(own.drop(3), beliefs, reps=2))


def test_an_outcome_that_has_the_name_of_beliefs_is_no_belief_of_the_llm(data, fit):
    humans, beliefs = data
    agree(calibrate(humans.rename(columns={"choice": "belief"}), beliefs, "belief ~ price"), fit)


def test_rows_of_the_data_keep_their_people_after_sorting(data):
    """The frames that balance is checked on lie beside the beliefs, row by row."""
    humans, beliefs = (frame.sample(frac=1, random_state=2) for frame in data)
    found = pair(humans, beliefs)
    side = found.pool
    np.testing.assert_array_equal(found.pool_frame["belief"], side.f)
    np.testing.assert_array_equal(
        found.pool_frame["price"], found.rows["price"].to_numpy()[side.cell]
    )
    both = found.human_frame.merge(beliefs, on=["respondent_id", "price"], how="left")
    np.testing.assert_array_equal(both["belief"], found.humans.f)
    np.testing.assert_array_equal(both["choice"], found.humans.y)


# Choice sets --------------------------------------------------------------------------------


MENUS = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0], [3.0, 2.0, 1.0], [2.0, 2.0, 1.0]])


def markets(humans=60, llm=100, tasks=2, seed=0, unbalanced=False):
    """Choices among three alternatives in some tasks each; if asked without c for a half."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(humans + llm):
        taste = rng.normal(size=3)
        for task in range(tasks):
            price = MENUS[rng.integers(len(MENUS))]
            open_ = np.array([True, True, not unbalanced or (i + task) % 2 == 0])
            odds = np.exp(-0.5 * price + [0, 0.3, 0.1] + taste) * open_
            told = np.exp(-0.3 * price + 0.7 * taste) * open_
            chosen = rng.choice(3, p=odds / odds.sum())
            for j in np.flatnonzero(open_):
                rows.append((i, task, "abc"[j], price[j], float(chosen == j), told[j] / told.sum()))
    names = ["respondent_id", "task", "alternative", "price", "choice", "belief"]
    frame = pd.DataFrame(rows, columns=names)
    people = frame["respondent_id"] < humans
    return frame[people].drop(columns="belief"), frame.drop(columns="choice")


def choose(humans, beliefs, **options):
    return calibrate(humans, beliefs, **{"model": "clogit", "case": "task", "reps": 2, **options})


@pytest.fixture(scope="module")
def market():
    return markets()


@pytest.fixture(scope="module")
def market_fit(market):
    return choose(*market)


@pytest.mark.parametrize(
    "kind", ["category", "string[pyarrow]", pd.CategoricalDtype(["a", "b", "c", "unused"])]
)
def test_alternatives_may_be_categories_or_text_of_any_kind(market, market_fit, kind):
    humans, beliefs = market
    agree(choose(humans.astype({"alternative": kind}), beliefs), market_fit)
    agree(choose(humans, beliefs.astype({"alternative": kind})), market_fit)


def test_the_order_of_rows_and_alternatives_does_not_matter(market, market_fit):
    humans, beliefs = (frame.sample(frac=1, random_state=3) for frame in market)
    agree(choose(humans, beliefs), market_fit)


def test_tasks_need_no_common_names_on_the_two_sides(market, market_fit):
    humans, beliefs = market
    agree(choose(humans, beliefs.assign(task=beliefs["task"] + 7)), market_fit)


def test_further_runs_of_a_task_are_averaged(market, market_fit):
    humans, beliefs = market
    again = pd.concat([beliefs, beliefs.assign(task=beliefs["task"] + 2)])
    found = choose(humans, again)
    np.testing.assert_allclose(found.params, market_fit.params, rtol=1e-8)
    np.testing.assert_allclose(found.cov, market_fit.cov, rtol=1e-8)


def test_choice_sets_may_differ_between_cases():
    humans, beliefs = markets(humans=150, llm=200, unbalanced=True)
    pairs = pair(humans, beliefs, model="clogit", case="task")
    sizes = np.diff(np.append(pairs.begin, len(pairs.rows)))
    assert sorted(set(sizes)) == [2, 3]
    shuffled = (frame.sample(frac=1, random_state=1) for frame in (humans, beliefs))
    agree(choose(*shuffled), choose(humans, beliefs))
    # Shares within each cell add up to one, on both sides and of outcomes and beliefs.
    moments = Moments(pairs)
    for side, values in ((pairs.humans, pairs.humans.y), (pairs.pool, pairs.pool.f)):
        total = np.add.reduceat(moments.means(side, values), pairs.begin)
        np.testing.assert_allclose(total, 1.0)


def test_without_its_missing_row_a_choice_set_is_left_out_whole(market):
    humans, beliefs = (frame.reset_index(drop=True) for frame in market)
    gone = (humans["respondent_id"] == 3) & (humans["task"] == 1)
    gap = humans.copy()
    gap.loc[np.flatnonzero(gone)[1], "price"] = np.nan
    found = choose(gap, beliefs, na="drop")
    agree(found, choose(humans[~gone], beliefs))
    assert found.notes[0] == (
        "1 rows of humans with missing values in 'price' left out, with 2 more rows of the same "
        "choice sets"
    )
    pool = (beliefs["respondent_id"] == 120) & (beliefs["task"] == 0)
    gap = beliefs.copy()
    gap.loc[np.flatnonzero(pool)[2], "belief"] = np.nan
    agree(choose(humans, gap, na="drop"), choose(humans, beliefs[~pool]))


def test_beliefs_of_a_choice_set_must_sum_to_one(market):
    humans, beliefs = market
    with pytest.raises(DesignError, match=r"of 320 choice sets of the beliefs do not sum to 1"):
        choose(humans, beliefs.assign(belief=0.9 * beliefs["belief"]))
    own = humans.merge(beliefs, how="left")
    own.loc[own["alternative"] == "c", "belief"] = 0.0
    with pytest.raises(DesignError, match=r"of 120 choice sets of the humans do not sum to 1"):
        choose(own, beliefs)


def test_an_alternative_twice_in_a_task_is_refused(market):
    humans, beliefs = market
    with pytest.raises(DesignError, match="'a' twice; if respondents answered several tasks"):
        choose(humans, beliefs, case=None)
    with pytest.raises(DesignError, match=r"respondent 0 has alternative 'a' twice$"):
        choose(humans, pd.concat([beliefs, beliefs.iloc[:1]]))


def test_choice_sets_without_exactly_one_choice_are_refused(market):
    humans, beliefs = market
    with pytest.raises(DesignError, match="sum to 3"):
        choose(humans.assign(choice=1.0), beliefs)


# Panels -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people():
    """40 humans and 60 further respondents, whose indifference price the consumer knows."""
    ids = [f"p{k}" for k in range(100)]
    rng = np.random.default_rng(3)
    humans = pd.DataFrame({"respondent_id": np.repeat(ids[:40], 4)})
    humans["price"] = np.tile([30.0, 34.0, 38.0, 42.0], 40)
    odds = 0.3 * (36 - humans["price"])
    humans["choice"] = (rng.random(len(humans)) < 1 / (1 + np.exp(-odds))).astype(int)
    return ids, humans


def asked(ids, respondents, **options):
    study = ld.load_study("pampers")
    study = replace(study, prices={**study.prices, "pampers": (30.0, 34.0, 38.0, 42.0)})
    if respondents:
        study = study.with_respondents(pd.DataFrame({"respondent_id": ids}))
    else:
        study = replace(study, personas=tuple({"id": i} for i in ids))
    backend = ld.SyntheticBackend(study, persona_sd=3.0, **options)
    return ld.simulate(study, backend, runs=1, seed=3)


@pytest.mark.parametrize("respondents", [True, False])
def test_a_panel_of_respondents_or_personas_is_joined_by_their_ids(people, respondents):
    ids, humans = people
    panel = asked(ids, respondents)
    found = calibrate(humans, panel, reps=2)
    frame = demand_frame(panel).rename(columns={"persona_id": "who"})
    by_hand = frame.assign(respondent_id=frame["who"])[["respondent_id", "price", "belief"]]
    agree(found, calibrate(humans, by_hand, reps=2))
    assert (found.tuning.humans, found.tuning.llm) == (40, 60)
    (note,) = found.notes
    assert "by the final choices of rules (0 of 400 LLM answers change it)" in note


def test_answers_of_a_panel_without_a_belief_are_counted(people):
    ids, humans = people
    panel = asked(ids, True, refusal_rate=0.1)
    lost = len(panel) - len(panel.usable)
    assert lost > 10
    with pytest.raises(DesignError, match=r"the LLM did not answer as|only with other values"):
        calibrate(humans, panel, reading="pivot")
    found = calibrate(humans, panel, na="drop", reps=2, reading="pivot")
    assert found.notes[0] == f"{lost} of 400 LLM answers have no belief and are left out"
    own = demand_frame(panel)["respondent_id"].isin(humans["respondent_id"]).sum()
    said = f"{160 - own} of 160 human answers without a belief of their own left out"
    assert found.notes[1] == said


def test_a_panel_without_personas_has_no_respondents(synthetic_panel):
    humans = paired_panel(humans=20, llm=20).humans
    with pytest.raises(DesignError, match="respondent_id"):
        calibrate(humans, synthetic_panel)


# Refusals -----------------------------------------------------------------------------------


def changed(frame, row, **values):
    frame = frame.copy()
    for column, value in values.items():
        frame[column] = frame[column].astype(object) if isinstance(value, str) else frame[column]
        frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.2, r"1 beliefs of the beliefs lie outside \[0, 1\] \(row 4: 1.2\).*percentages"),
        (-0.1, r"outside \[0, 1\] \(row 4: -0.1\)"),
        (np.nan, r"beliefs: 1 rows have missing or infinite values in 'belief' .*row 4.*na='drop'"),
        (np.inf, r"missing or infinite values in 'belief'"),
        ("yes", r"column 'belief' holds a mixture of float and str"),
    ],
)
def test_beliefs_that_are_no_probabilities_are_refused(data, value, said):
    humans, beliefs = data
    with pytest.raises(DesignError, match=said):
        calibrate(humans, changed(beliefs, 4, belief=value))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-1.0, r"the codes -1 in 1 rows \(the first is row 4\); 0 or 1 .*'no answer'"),
        (2.0, r"the codes 2 in 1 rows .*'no answer'"),
        (0.5, r"the codes 0.5 in 1 rows .*model='fraclogit'"),
        (np.nan, r"humans: 1 rows have missing or infinite values in 'choice'"),
        ("yes", r"column 'choice' holds a mixture of float and str"),
    ],
)
def test_outcomes_that_are_no_choices_are_refused(data, value, said):
    humans, beliefs = data
    with pytest.raises(DesignError, match=said):
        calibrate(changed(humans, 4, choice=value), beliefs)


def test_fractions_are_for_the_fractional_logit(data):
    humans, beliefs = data
    stated = humans.assign(choice=0.25 + 0.5 * humans["choice"])
    assert calibrate(stated, beliefs, model="fraclogit", reps=2).lam > 0
    with pytest.raises(DesignError, match=r"the codes 1.5 .*in \[0, 1\] is expected"):
        calibrate(changed(stated, 0, choice=1.5), beliefs, model="fraclogit")


def test_missing_values_are_left_out_and_counted_when_asked(data):
    humans, beliefs = data
    holes = changed(humans, 7, choice=np.nan)
    found = calibrate(holes, beliefs, na="drop", reps=2)
    agree(found, calibrate(humans.drop(7), beliefs, reps=2))
    assert found.notes == ("1 rows of humans with missing values in 'choice' left out",)
    # A belief of a human is missing: that answer leaves too.
    found = calibrate(humans, changed(beliefs, 0, belief=np.nan), na="drop", reps=2)
    agree(found, calibrate(humans.drop(0), beliefs, reps=2))
    assert "1 of 120 human answers without a belief of their own left out" in found.notes
    doubt = found.assumptions.iloc[0]
    assert doubt["verdict"] == "in doubt"


def test_no_common_respondent_is_said_with_both_ids(data):
    humans, beliefs = data
    other = humans.assign(respondent_id="x" + humans["respondent_id"])
    for na in ("raise", "drop"):
        with pytest.raises(DesignError, match=r"on both sides: the humans have 'xr0'.*'r0'"):
            calibrate(other, beliefs, na=na)


def test_some_humans_without_a_belief_are_counted_and_the_first_named(data):
    humans, beliefs = data
    less = beliefs[beliefs["respondent_id"] != "r7"]
    with pytest.raises(
        DesignError,
        match=r"2 of 120 .* respondent 'r7', price 40; the LLM did not answer as that respondent",
    ):
        calibrate(humans, less)
    agree(
        calibrate(humans, less, na="drop", reps=2),
        calibrate(humans[humans["respondent_id"] != "r7"], less, reps=2),
    )


def test_humans_who_were_asked_another_price_than_the_llm_are_named(data):
    humans, beliefs = data
    moved = beliefs.assign(price=beliefs["price"] + (beliefs["respondent_id"] == "r2") * 0.5)
    with pytest.raises(
        DesignError, match=r"respondent 'r2', price .*as that respondent only with other values"
    ):
        calibrate(humans, moved)


def test_a_cell_with_one_respondent_is_refused_by_its_price_and_side(data):
    humans, beliefs = data
    at = humans["price"] == 45
    with pytest.raises(DesignError, match=r"price 45 has 0 of the humans"):
        calibrate(humans[~at], beliefs)
    with pytest.raises(DesignError, match=r"price 45 has 1 of the humans"):
        calibrate(humans[~at | (np.cumsum(at) < 2)], beliefs)
    pool = ~beliefs["respondent_id"].isin(humans["respondent_id"])
    gone = pool & (beliefs["price"] == 30)
    with pytest.raises(DesignError, match=r"price 30 has 0 of the LLM respondents.*1 of 4 cells"):
        calibrate(humans, beliefs[~gone])
    twice = pd.concat([beliefs[~gone], *[beliefs[gone].iloc[:1]] * 3])
    with pytest.raises(DesignError, match=r"price 30 has 1 of the LLM respondents"):
        calibrate(humans, twice)


def test_an_llm_that_answered_as_the_humans_alone_is_refused(data):
    humans, beliefs = data
    with pytest.raises(DesignError, match="no LLM respondents beyond the humans"):
        calibrate(humans, beliefs[beliefs["respondent_id"].isin(humans["respondent_id"])])


def test_one_human_is_refused(data):
    _, beliefs = data
    humans = pd.DataFrame(
        {"respondent_id": "r0", "price": [30.0, 35.0] * 3, "choice": [1, 0, 0, 1, 1, 0]}
    )
    with pytest.raises(DesignError, match="one human"):
        calibrate(humans, beliefs[beliefs["price"] <= 35])


def test_separated_humans_are_refused(data):
    humans, beliefs = data
    with pytest.raises(DesignError, match="separated"):
        calibrate(humans.assign(choice=(humans["price"] < 40) * 1.0), beliefs)


@pytest.mark.parametrize(
    ("side", "change", "said"),
    [
        (0, {"respondent_id": "respondent"}, "'respondent_id' of respondents among the humans"),
        (1, {"respondent_id": "respondentid"}, "among the beliefs.*did you mean 'respondentid'"),
        (0, {"choice": "choices"}, "'choice' of outcomes among the humans.*'choices'"),
        (0, {"price": "prices"}, "no column 'price'.*'prices'"),
        (1, {"price": "prices"}, "'price' among the beliefs.*'prices'"),
        (1, {"belief": "beliefs"}, "'belief' of beliefs .*'beliefs'"),
    ],
)
def test_missing_columns_are_named_with_the_nearest(data, side, change, said):
    frames = list(data)
    frames[side] = frames[side].rename(columns=change)
    with pytest.raises(DesignError, match=said):
        calibrate(*frames)


def test_a_column_that_is_there_twice_is_refused(data):
    humans, beliefs = data
    with pytest.raises(DesignError, match="'price' is in the data twice"):
        calibrate(pd.concat([humans, humans[["price"]]], axis=1), beliefs)


def test_frames_in_the_wrong_place_are_refused(data, synthetic_panel):
    humans, beliefs = data
    with pytest.raises(UsageError, match="humans is a panel of a language model"):
        calibrate(synthetic_panel, beliefs)
    with pytest.raises(UsageError, match="humans is list"):
        calibrate([1], beliefs)
    with pytest.raises(UsageError, match="beliefs is list"):
        calibrate(humans, [1])
    with pytest.raises(UsageError, match="beliefs by model: give at least two"):
        calibrate(humans, {})
    with pytest.raises(UsageError, match="humans is list"):
        calibrate([1], {"a": beliefs, "b": beliefs})
    with pytest.raises(DesignError, match="beliefs has no rows"):
        calibrate(humans, beliefs[:0])
    with pytest.raises(DesignError, match="humans has no rows"):
        calibrate(humans[:0], beliefs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "logits"}, "model='logits'.*'logit'"),
        ({"na": "ignore"}, "na='ignore'"),
        ({"target": "prices"}, "target='prices'.*'price'"),
        ({"target": "wtp", "at": 35.0}, "at=35 is for target='share' or 'elasticity'"),
        ({"at": 35.0}, "at=35 is for target='share' or 'elasticity'"),
        ({"design": "human"}, "design='human'"),
        ({"design": {30: 1, 35: 1, 40: 1}}, "design has other prices than the data"),
        ({"design": {30: 1, 35: 1, 40: 1, 45: 0}}, "weights must be positive"),
        ({"design": {30: 1, 35: 1, 40: 1, 45: np.nan}}, "weights must be positive"),
        ({"formula": "choice ~ price + late", "design": {30: 1}}, "models with the price alone"),
        ({"design": {"30": 1, "35": 1, "40": 1, "45": 1}}, r"\('30' is on one side only\)"),
        ({"design": {30: 1, 35: 1, 40: 1, 45: "1"}}, "weights must be numbers"),
        ({"lam": "best"}, "lam='best'"),
        ({"lam": None}, "lam=None"),
        ({"lam": np.inf}, "lam=inf"),
        ({"lam": -0.1}, "lam=-0.1"),
        ({"lam": np.nan}, "lam=nan"),
        ({"alpha": 0.0}, "alpha=0"),
        ({"alpha": 95}, "alpha=95"),
        ({"alpha": "x"}, "alpha='x'"),
        ({"reps": 1}, "reps=1"),
        ({"reps": 2.5}, "whole numbers"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, "whole numbers"),
        ({"prompt_chosen_on": "these"}, "split them first"),
        ({"prompt_chosen_on": "all"}, "prompt_chosen_on='all'"),
    ],
)
def test_impossible_options_are_refused(data, options, said):
    late = [frame.assign(late=frame["price"] > 37) for frame in data]
    with pytest.raises(UsageError, match=said):
        calibrate(*late, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "share"}, "needs focal=...: one of a, b, c"),
        ({"target": "elasticity", "focal": "d"}, "needs focal"),
        ({"target": "wtp"}, "needs attribute"),
        ({"design": {1.0: 1}}, "models with the price alone"),
        ({"base": "d"}, "base='d'"),
    ],
)
def test_impossible_options_of_choice_sets_are_refused(market, options, said):
    with pytest.raises(UsageError, match=said):
        choose(*market, **options)


def test_a_price_that_is_no_coefficient_is_refused(data):
    with pytest.raises(DesignError, match=r"no coefficient 'price' among const, log\(price\)"):
        calibrate(*data, "choice ~ log(price)")
    assert calibrate(*data, "choice ~ log(price)", target="elasticity", at=35.0, reps=2).lam >= 0
