"""Measures of the final choice, where answers change their mind and some are not read."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import llmdemand as ld
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.outcomes.frames import outcomes
from llmdemand.reporting.figures.figures import _means
from llmdemand.reporting.measures import heldout
from llmdemand.reporting.measures.draws import Pool, draw
from llmdemand.reporting.measures.plan import plan
from llmdemand.reporting.measures.precision import precision
from llmdemand.reporting.tables import tables
from llmdemand.reporting.terminal import print_report

CHANGES, UNREAD = 0.10, 0.05


def changing(panel, seed=1, changes=CHANGES, unread=UNREAD):
    """A tenth of the answers ends with another choice, a twentieth cannot be read."""
    rng, ids = np.random.default_rng(seed), list(panel.study.menu.ids)
    frame = panel.frame
    code = np.array([ids.index(c) for c in frame["choice"]])
    other = np.array([1, 2, 1])  # pampers is left for huggies, and never come to
    code = np.where(rng.random(len(code)) < changes, other[code], code)
    read = rng.random(len(code)) >= unread
    final = pd.Series(np.array(ids, object)[code], frame.index).where(read, None)
    return Panel(
        frame.assign(
            final_choice=final,
            final_status=np.where(read, "read", "unread"),
            mismatch=(final != frame["choice"]).astype("boolean").mask(~read),
        ),
        panel.study,
        panel.provenance,
    )


@pytest.fixture(scope="module")
def many():
    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=300, seed=7)
    return changing(panel)


def truth(price):
    """Chosen at the pivot and kept."""
    p = 1 / (1 + np.exp(-0.535 * (34.8 - price)))
    return (1 - CHANGES) * p


def test_corrected_measures_are_unbiased_where_plain_ones_are_not(many):
    found = {r: ld.variance(many, reading=r) for r in ("final", "pivot")}
    table = found["final"].by_price
    assert table["runs"].sum() == len(many)
    exact = truth(table["price"].to_numpy())
    se = np.sqrt(table["var_belief"] / (table["runs"] * (1 - UNREAD)))
    z = ((table["mean_belief"] - exact) / se).to_numpy()
    assert z @ z < 37  # the 99.9 % quantile of chi2(15)
    plain = found["pivot"].by_price["mean_belief"].to_numpy() - exact
    assert plain.max() > 0.08
    choices = (table["mean_choice"] - exact) / np.sqrt(table["var_choice"] / table["runs"])
    assert choices @ choices < 40
    # Changes are noise for both, so that a belief run is worth less than at the pivot.
    assert 1.5 < found["final"].worth < 6 < found["pivot"].worth
    low, high = found["final"].worth_interval
    assert low < found["final"].worth < high
    assert "whole answer" in found["final"].summary() and "pivot" in found["pivot"].summary()


def test_corrected_beliefs_are_unbiased_in_many_small_panels():
    one = ld.simulate(ld.load_study("pampers"), "synthetic", runs=1200, seed=3)
    pool = Pool.of(changing(one, seed=2), "final")
    # Sixty panels of twenty runs, each a fit of its own; the curve is no logit, so its
    # best fit is what the fit of exact shares gives.
    tries, runs = 60, 20
    sums = []
    for k in range(tries):
        part = slice(k * runs, (k + 1) * runs)
        y, r = pool.values["belief"][:, part], pool.read["belief"][:, part]
        sums.append([r.sum(axis=1) @ pool.member, y.sum(axis=1) @ pool.member])
    share = np.array([t / n for n, t in sums])
    exact = truth(pool.price)
    error = (share.mean(axis=0) - exact) / (share.std(axis=0, ddof=1) / np.sqrt(tries))
    assert error @ error < 45  # t(59) squared, 16 of them
    assert np.abs(share.mean() - exact.mean()) < 0.006


def test_the_pool_is_fitted_as_fit_demand_does(many):
    for outcome in ("belief", "choice"):
        fit = Pool.of(many, "final").fit(outcome)
        rows = ld.fit_demand(many, outcome, reading="final", vcov="HC1")
        assert fit.slope[0] == pytest.approx(rows.price_sensitivity, rel=1e-7)
        assert fit.se_robust[0, 1] == pytest.approx(rows.bse["price"], rel=1e-6)


def test_precision_and_runs_needed_of_the_final_choice(many):
    found = precision(many, runs=(5, 20), replications=300)
    assert found.reading == "final" and "whole answer" in repr(found)
    belief = found.table[found.table["outcome"] == "belief"].set_index("runs")
    aim = found.target["belief"]
    needed = found.runs_needed()
    sigma = needed.table.loc["belief", "sigma"]
    assert belief.loc[20, "spread"] == pytest.approx(sigma / np.sqrt(20), rel=0.15)
    assert belief.loc[20, "se_robust"] == pytest.approx(belief.loc[20, "spread"], rel=0.2)
    assert abs(belief.loc[20, "mean"] - aim) < 0.15 * abs(aim)
    assert belief.loc[20, "coverage"] > 0.9
    pivot = ld.runs_needed(many, reading="pivot", replications=100)
    assert needed.table.loc["belief", "closed_form"] > 3 * pivot.table.loc["belief", "closed_form"]
    assert needed.reading == "final" and "whole answer" in needed.summary()
    # Corrected belief still needs fewer runs than the final choice.
    assert needed.ratio_closed_form > 1.3


def test_predictions_are_of_final_choices(many):
    found = ld.prediction(many, runs=(20,), replications=40)
    assert found.reading == "final" and "whole answer" in found.summary()
    frame = many.frame[many.frame["final_choice"].notna()]
    y = (frame["final_choice"] == "pampers").astype(float)
    share = y.groupby(frame["price_pampers"]).transform("mean")
    best = (y * np.log(share) + (1 - y) * np.log(1 - share)).mean()
    assert found.best["log_score"] == pytest.approx(best)
    other = ld.prediction(many, runs=(20,), replications=40, reading="pivot")
    assert other.best["log_score"] != pytest.approx(best, abs=0.01)


def test_where_no_run_changes_its_mind_nothing_changes(synthetic_panel):
    for measure, options in (
        (precision, {"runs": (2, 5), "replications": 30}),
        (ld.prediction, {"runs": (2, 5), "replications": 30}),
        (ld.variance, {"replications": 50}),
    ):
        one = measure(synthetic_panel, reading="pivot", **options)
        two = measure(synthetic_panel, **options)
        assert (one.reading, two.reading) == ("pivot", "final")
        for name in ("table", "by_price", "fit", "equivalence", "differences", "reach"):
            if hasattr(one, name):
                pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name))
    one, two = (
        ld.runs_needed(synthetic_panel, reading=r, replications=30) for r in ("pivot", None)
    )
    pd.testing.assert_frame_equal(one.table, two.table)
    with pytest.raises(UsageError, match="reading='last'"):
        ld.variance(synthetic_panel, reading="last")


# --- Answers stopped at their pivot ------------------------------------------------------


def stopping(panel, pi, seed):
    """Whole answers with a known probability, by the choice at the pivot."""
    pi = panel.frame["choice"].map(pi).to_numpy(float)
    stopped = np.random.default_rng(seed).random(len(pi)) >= pi
    frame = panel.frame.assign(whole_probability=pi)
    frame.loc[stopped, "final_status"] = "stopped"
    frame.loc[stopped, ["final_choice", "mismatch"]] = None
    return Panel(frame, panel.study, panel.provenance)


@pytest.fixture(scope="module")
def whole():
    """Three in ten change their mind: the pivot's share is .34, the final one .24."""
    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=120, seed=5)
    return changing(panel, changes=0.3)


@pytest.fixture(scope="module")
def cut(whole):
    """A quarter whole, more of those that say Pampers first."""
    return stopping(whole, {"pampers": 0.5, "huggies": 0.2, "neither": 0.25}, seed=2)


def both(measure, whole, cut, **options):
    """By what all whole answers say, by those that are whole, and by the pivot."""
    return [
        measure(p, reading=r, **options) for p, r in ((whole, "final"), (cut, None), (cut, "pivot"))
    ]


# Errors of the differences between a panel and its stopped part, over eight such panels: shares
# .009, price coefficients .03, entropies .016.
def test_variances_of_stopped_answers_are_those_of_whole_ones(whole, cut):
    all_whole, found, pivot = both(ld.variance, whole, cut, replications=200)
    assert found.reading == "final"
    for column in ("mean_choice", "mean_belief"):
        mean = [v.by_price[column].mean() for v in (all_whole, found, pivot)]
        assert abs(mean[1] - mean[0]) < 0.035 < 0.08 < mean[2] - mean[0]
    # Plain shares of the whole answers would be those that were drawn more often.
    read = cut.frame[cut.frame["final_status"] == "read"]
    assert (read["final_choice"] == "pampers").mean() > all_whole.by_price[
        "mean_choice"
    ].mean() + 0.08
    # The variance of a choice is that of a whole answer whatever was stopped, that of belief not.
    variance = [v.by_price["var_choice"].mean() for v in (all_whole, found)]
    assert variance[1] == pytest.approx(variance[0], abs=0.05)
    assert 1.3 < found.icc / all_whole.icc < 2.6
    assert found.icc_interval[0] < found.icc < found.icc_interval[1]
    assert found.worth == pytest.approx(1 / found.icc) and all_whole.worth > 1.2 > found.worth
    told = " ".join(found.notes)
    assert "% of the answers are whole" in told and "weighted by one over their" in told
    assert "varies more than the choice of a whole answer" in told


def test_the_variance_of_a_choice_is_unbiased_with_one_or_no_whole_answer_in_a_cell(many):
    """Five runs a cell, a quarter whole, some unread: p (1 - p) over 960 cells."""
    frame = many.frame.assign(cell=many.frame["cell"] + 100 * (many.frame["replicate"] // 5))
    few = Panel(frame, many.study)
    few = stopping(few, dict.fromkeys(few.study.menu.ids, 0.25), seed=3)
    found = ld.variance(few, replications=2).by_price
    p = truth(found["price"])
    assert found["var_choice"].mean() == pytest.approx((p * (1 - p)).mean(), abs=0.025)


def test_one_whole_answer_in_each_cell_says_nothing_of_what_choices_vary_by(whole):
    frame = whole.frame.assign(whole_probability=1 / 120)
    later = frame["replicate"] > 0
    frame.loc[later, "final_status"] = "stopped"
    frame.loc[later, ["final_choice", "mismatch"]] = None
    found = ld.variance(Panel(frame, whole.study), replications=10)
    assert np.isnan(found.icc) and found.by_price["var_choice"].isna().all()
    assert found.by_price["var_belief"].notna().all()
    assert "no cell has two whole answers" in found.summary()


def test_the_pool_of_stopped_answers_is_fitted_as_fit_demand_does(whole, cut):
    pool = Pool.of(cut)
    for outcome in ("belief", "choice"):
        fit, rows = pool.fit(outcome), ld.fit_demand(cut, outcome, vcov="HC1")
        assert fit.slope[0] == pytest.approx(rows.price_sensitivity, rel=1e-7)
        assert fit.se_robust[0, 1] == pytest.approx(rows.bse["price"], rel=1e-6)
    assert any("weighted by one over" in note for note in rows.notes)
    # Weights sum to the answers that they are worth, so that errors by the model mean something.
    w = 1 / cut.frame.loc[cut.frame["final_status"] != "stopped", "whole_probability"]
    # Those that are unread are no choices.
    assert pool.sums("choice")[0].sum() == pytest.approx(
        0.95 * w.sum() ** 2 / (w**2).sum(), rel=0.05
    )
    # Drawn with one probability, whole answers are ordinary choices again.
    even = stopping(whole, dict.fromkeys(whole.study.menu.ids, 0.3), seed=1)
    assert list(Pool.of(even).read) == ["belief"]


def test_precision_and_runs_needed_of_stopped_answers(whole, cut):
    all_whole, found, pivot = both(precision, whole, cut, runs=(20, 40), replications=200)
    assert found.reading == "final" and "weighted by one over" in found.notes[0]
    for outcome in ("belief", "choice"):
        near, far = (abs(v.target[outcome] - all_whole.target[outcome]) for v in (found, pivot))
        assert near < 0.07 < 0.1 < far
        row = found.table.set_index(["outcome", "runs"]).loc[(outcome, 40)]
        sigma = found.needed.loc[outcome, "sigma"]
        assert row["spread"] == pytest.approx(sigma / np.sqrt(40), rel=0.3)
        assert row["se_robust"] == pytest.approx(row["spread"], rel=0.25)
        assert row["coverage"] > 0.9
        # Stopping costs both outcomes runs.
        assert sigma > 1.15 * all_whole.needed.loc[outcome, "sigma"]
    told = found.runs_needed().summary()
    assert "the choice of the whole answer" in told and "n runs hold 0.3" in told


def test_a_draw_says_what_a_panel_of_its_runs_would(cut):
    """What corrects belief is learnt anew in it."""
    keys = np.random.default_rng(np.random.SeedSequence(4).spawn(1)[0]).random((16, 120))
    taken = keys.argsort(axis=1)[:, :20]
    rows = (np.arange(16)[:, None] * 120 + taken).ravel()
    frame = cut.frame.sort_values(["cell", "replicate"], kind="stable").iloc[rows]
    again = frame.assign(replicate=np.tile(np.arange(20), 16)).reset_index(drop=True)
    own = Panel(again, cut.study)
    fits = draw(cut, replications=1, seed=4)
    for outcome in ("belief", "choice"):
        fit = ld.fit_demand(own, outcome, vcov="HC1")
        place = fits.tried.index(20)
        assert fits.slope[outcome][0, place] == pytest.approx(fit.price_sensitivity, rel=1e-6)
        assert fits.se_robust[outcome][0, place] == pytest.approx(fit.bse["price"], rel=1e-5)
    pool = heldout.Pool.of(cut)
    found = heldout.draw(pool, [20], 1, 4, lambda share: None)
    frame = outcomes(own, "final")
    price = frame.frame["price_pampers"].to_numpy()
    sums = [frame.belief[price == p, 0].sum() for p in pool.price]
    np.testing.assert_allclose(found.sums["belief"][0, 0], sums, atol=1e-8)


def test_stopped_answers_are_no_part_of_what_is_predicted(whole, cut):
    all_whole, found, pivot = both(ld.prediction, whole, cut, runs=(20, 60), replications=30)
    score = [v.best["constant"] for v in (all_whole, found, pivot)]
    assert abs(score[1] - score[0]) < 0.06 < 0.075 < score[0] - score[2]
    table = [v.table.set_index(["outcome", "runs"]) for v in (all_whole, found, pivot)]
    for key in (("belief", 60), ("choice", 60), ("firth", 60)):
        brier = [t.loc[key, "brier"] for t in table]
        assert abs(brier[1] - brier[0]) < 0.02
        assert table[1].loc[key, "fitted"] == 1
    # The curve is that of final choices, by what was held out and by the truth.
    exact = dict(zip((p := Pool.of(whole).price), 0.7 / 0.9 * truth(p), strict=True))
    known = [
        ld.prediction(cut, runs=(60,), replications=20, truth=exact, reading=r).table["rmse"]
        for r in ("final", "pivot")
    ]
    assert known[0][0] < 0.06 < 0.1 < known[1][0]
    assert "weighted by one over" in found.summary()
    # Choices count by what they are worth: four whole answers of different weights are fewer.
    held = found.calibration.query("outcome == 'firth' and runs == 60")["n"].sum()
    read = (cut.frame["final_status"] == "read").sum()
    assert 0.35 * read < held < 0.5 * read


def test_a_plan_counts_runs_of_which_some_are_stopped(whole, cut):
    asked = [plan(p, 0.02, outcome="choice").totals.loc["choice"] for p in (whole, cut)]
    assert 1.6 < asked[1]["uniform_answers"] / asked[0]["uniform_answers"] < 4.5
    assert "weighted by one over" in plan(cut, 0.02).summary()


def test_what_stopped_answers_cannot_give_is_refused(whole, cut):
    unknown = Panel(cut.frame.drop(columns="whole_probability"), cut.study)
    assert ld.variance(unknown, replications=2).reading == "pivot"
    for measure in (ld.variance, ld.prediction, precision, ld.runs_needed, ld.compare):
        with pytest.raises(UsageError, match="stopped at their pivot and have no final choice"):
            measure(unknown, reading="final")
    labelled = cut.frame.assign(label_probability=np.nan, label=None)
    some = labelled.index[labelled["final_status"] == "read"][:60]
    labelled.loc[some, "label_probability"] = 0.5
    labelled.loc[some, "label"] = labelled.loc[some, "choice"]
    labelled = Panel(labelled, cut.study)
    with pytest.raises(DesignError, match="what choice varies by is then unknown"):
        ld.variance(labelled)
    with pytest.raises(DesignError, match="none can be held out"):
        ld.prediction(labelled)


def test_the_report_says_whose_choices_they_are(cut):
    report = ld.compare(cut, runs=(20, 60), replications=50)
    assert report.reading == "final" and report.problems and report.selection is not None
    assert all((report.precision, report.needed, report.prediction, report.variance))
    for table in tables.all_tables(report):
        if table.name in ("estimates", "precision", "runs_needed", "prediction", "worth"):
            assert any("weighted by one over" in note for note in table.notes), table.name
    console = Console(width=200, file=io.StringIO())
    print_report(report, "", console)
    assert console.file.getvalue().count("weighted by one over") == 1


def test_observed_shares_of_figures_are_those_of_all_answers(whole, cut):
    shares = [_means(p, "choice").mean() for p in (whole, cut)]
    assert abs(shares[1] - shares[0]) < 0.035
