import numpy as np
import pytest

from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.models.demand import fit_demand
from llmdemand.reporting.measures.precision import PUBLISHED, precision


@pytest.fixture(scope="module")
def found(synthetic_panel):
    return precision(synthetic_panel, runs=(1, 5, 30), replications=300, seed=2)


def row(found, outcome, runs):
    table = found.table
    return table[(table["outcome"] == outcome) & (table["runs"] == runs)].iloc[0]


def test_the_whole_pool_is_the_fit_itself(found, synthetic_panel):
    for outcome in ("belief", "choice"):
        demand = fit_demand(synthetic_panel, outcome, vcov="HC1")
        whole = row(found, outcome, 30)
        assert whole["mean"] == pytest.approx(demand.price_sensitivity, rel=1e-8)
        assert whole["se_robust"] == pytest.approx(demand.bse["price"], rel=1e-6)
        assert np.isnan(whole["spread"]) and np.isnan(whole["log_score"])


def test_one_run_reconstructs_the_published_belief_error(found):
    one = row(found, "belief", 1)
    assert one["se_model"] == pytest.approx(PUBLISHED["belief"][0], rel=0.05)
    assert one["separated"] == 0
    assert row(found, "choice", 1)["separated"] > 0.05


def test_robust_errors_match_the_spread_over_draws(found):
    for outcome in ("belief", "choice"):
        five = row(found, outcome, 5)
        assert five["se_robust"] == pytest.approx(five["spread"], rel=0.2)


def test_belief_predicts_held_out_choices_better_from_few_runs(found):
    assert row(found, "belief", 1)["log_score"] > row(found, "choice", 1)["log_score"] + 0.02


def test_runs_needed_agree_with_the_closed_form(found):
    belief = found.needed.loc["belief"]
    assert 4 <= belief["runs"] <= 8
    assert abs(belief["runs"] - belief["closed_form"]) <= 2
    assert belief["lowest"] <= belief["runs"] <= belief["highest"]
    choice = found.needed.loc["choice"]
    assert np.isnan(choice["runs"]), "30 runs cannot show what 90 would"
    assert choice["closed_form"] == pytest.approx(93, rel=0.2)


def test_draws_do_not_depend_on_how_they_are_chunked(synthetic_panel, monkeypatch, found):
    import pandas as pd

    from llmdemand.reporting.measures import draws as module

    monkeypatch.setattr(module, "_CHUNK", 5000)
    again = precision(synthetic_panel, runs=(1, 5, 30), replications=300, seed=2)
    pd.testing.assert_frame_equal(found.table, again.table)
    assert not again.table.equals(
        precision(synthetic_panel, runs=(1, 5, 30), replications=300, seed=3).table
    )


def test_the_finite_pool_correction_makes_pools_of_any_size_agree():
    from llmdemand import load_study, simulate

    spreads = []
    for runs in (12, 100):
        panel = simulate(load_study("pampers"), "synthetic", runs=runs, seed=11)
        table = precision(panel, runs=(8,), replications=300).table
        spreads.append(table.loc[table["outcome"] == "choice", "spread"].iloc[0])
    # Uncorrected, 8 of 12 runs would show a spread smaller by the factor 0.58.
    assert spreads[0] == pytest.approx(spreads[1], rel=0.25)


def test_runs_are_drawn_among_those_that_can_be_read(synthetic_panel):
    frame = synthetic_panel.frame.copy()
    frame.loc[frame["replicate"] % 2 == 0, "status"] = "refusal"
    half = precision(Panel(frame, synthetic_panel.study), runs=(5,), replications=200)
    full = precision(synthetic_panel, runs=(5,), replications=200)
    for outcome in ("belief", "choice"):
        ratio = row(half, outcome, 5)["se_robust"] / row(full, outcome, 5)["se_robust"]
        # Half as many runs, or twice, would make it 0.71 or 1.41.
        assert 0.8 < ratio < 1.25


def test_nothing_to_compare(synthetic_panel):
    study, frame = synthetic_panel.study, synthetic_panel.frame
    with pytest.raises(DesignError, match="no usable run"):
        precision(Panel(frame.assign(status="refusal"), study))
    one = Panel(frame[frame["price_pampers"] == 35], study)
    with pytest.raises(DesignError, match=r"all runs have one price \(35\)"):
        precision(one)
    with pytest.raises(UsageError, match="begin at 1"):
        precision(synthetic_panel, runs=(0,))
    with pytest.raises(UsageError, match="must be positive"):
        precision(synthetic_panel, confidence=1.0)


def test_runs_needed_of_choice_are_found_in_pools_hardly_larger_than_they_are():
    from llmdemand import load_study, simulate

    # Judged against belief's target the finite-pool correction would blow up the gap
    # between the two pools, and no number of runs would be enough.
    for seed in (1, 2, 4):
        panel = simulate(load_study("pampers"), "synthetic", runs=130, seed=seed)
        found = precision(panel, runs=(1,), replications=1000)
        choice = found.needed.loc["choice"]
        assert choice["runs"] == pytest.approx(choice["closed_form"], rel=0.15)
        reach = found.reach[found.reach["outcome"] == "choice"]
        assert reach["within"].iloc[-1] > 0.9


def test_more_runs_than_the_pool_has_are_named(synthetic_panel):
    found = precision(synthetic_panel, runs=(5, 99, 200), replications=20)
    assert found.table["runs"].tolist() == [5, 5]
    assert found.left_out == (99, 200)
    (note,) = found.notes
    assert "30 runs per cell" in note and "99, 200" in note
    assert precision(synthetic_panel, runs=(5,), replications=20).notes == ()
    only = precision(synthetic_panel, runs=(99,), replications=20)
    assert only.table["runs"].tolist() == [30, 30] and only.left_out == (99,)


def test_errors_against_the_pool_are_computed_from_the_draws(found):
    left = 1 - 5 / 30
    for outcome in ("belief", "choice"):
        five, k = row(found, outcome, 5), found.draws.tried.index(5)
        slope, error = found.draws.slope[outcome][:, k], found.draws.se_robust[outcome][:, k]
        aim = found.target[outcome]
        assert five["bias"] == pytest.approx((np.nanmean(slope) - aim) / left)
        assert five["spread"] == pytest.approx(np.nanstd(slope, ddof=1) / np.sqrt(left))
        assert five["rmse"] ** 2 == pytest.approx(five["bias"] ** 2 + five["spread"] ** 2)
        low, high = slope - 1.96 * np.sqrt(left) * error, slope + 1.96 * np.sqrt(left) * error
        assert five["coverage"] == pytest.approx(((low <= aim) & (aim <= high)).mean(), abs=0.002)
        assert np.isnan(row(found, outcome, 30)[["bias", "rmse", "coverage"]].to_numpy(float)).all()


def test_intervals_of_several_runs_cover_and_separated_draws_are_misses(found):
    for outcome in ("belief", "choice"):
        assert 0.90 < row(found, outcome, 5)["coverage"] < 0.985
    one = row(found, "choice", 1)
    assert one["coverage"] <= 1 - one["separated"]
    k = found.draws.tried.index(1)
    fitted = np.isfinite(found.draws.slope["choice"][:, k])
    # A mean over infinities or over what an optimiser left behind would be larger.
    assert one["se_robust"] == pytest.approx(found.draws.se_robust["choice"][fitted, k].mean())


def test_choice_is_biased_away_from_zero_and_belief_hardly(found):
    assert row(found, "choice", 1)["bias"] < -0.05
    assert abs(row(found, "belief", 1)["bias"]) < 0.03


def test_one_run_per_cell():
    from llmdemand import compare, load_study, simulate

    panel = simulate(load_study("pampers"), "synthetic", runs=1, seed=1)
    report = compare(panel, runs=(5,), replications=20)
    assert np.isnan(report.precision.needed.loc["belief", "runs"])
    assert report.precision.reach.empty
