"""Measures of the final choice, where answers change their mind and some are not read."""

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.core.panel import Panel
from llmdemand.errors import UsageError
from llmdemand.modeling.models.demand import fit_demand
from llmdemand.modeling.outcomes.frames import whose
from llmdemand.reporting.measures.draws import Pool
from llmdemand.reporting.measures.precision import precision

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
        y, r = pool.values["belief"][:, part], pool.read[:, part]
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


def test_stopped_answers_have_no_final_choice_to_set_beside_belief(synthetic_panel):
    """Known with probability 1/2: fit_demand weights them, draws of single runs cannot."""
    frame = synthetic_panel.frame.assign(whole_probability=0.5)
    frame.loc[::2, ["final_choice", "mismatch"]] = None
    frame.loc[::2, "final_status"] = "stopped"
    panel = Panel(frame, synthetic_panel.study)
    assert whose(panel, None) == "pivot" and whose(synthetic_panel, None) == "final"
    assert fit_demand(panel, "choice").reading == "final"
    with pytest.raises(UsageError, match="cannot stand beside belief"):
        ld.precision(panel, reading="final")
