"""Each experiment finds a known truth; its verdict flips when the data are made to fail."""

import numpy as np
import pandas as pd
import pytest

from llmdemand.core.panel import Panel
from llmdemand.core.study import load_study
from llmdemand.errors import DesignError, UsageError
from llmdemand.lab.ask import Ask, Respondent
from llmdemand.lab.experiments import (
    downstream,
    equivalence,
    multitoken,
    position,
    rounding,
    spread,
    temperature,
)
from llmdemand.simulation.backends.synthetic import SyntheticBackend

STUDY = load_study("pampers")


@pytest.fixture(scope="module")
def panel():
    return Respondent().panels([Ask("panel", STUDY, 150)], seed=3)["panel"]


def changed(panel, belief):
    """The panel with other beliefs in the focal brand; the rest goes to the rival."""
    frame = panel.frame.assign(belief_pampers=belief, belief_neither=0.0)
    frame["belief_huggies"] = 1 - frame["belief_pampers"]
    return Panel(frame, panel.study, panel.provenance)


def as_choice(panel):
    return (panel.frame["choice"] == "pampers").astype(float)


# -- equivalence ---------------------------------------------------------------------------------
def test_equivalence_holds_and_flips(panel):
    found = equivalence.read(panel)
    assert found.holds and found.verdict.startswith("No difference can be shown")
    assert found.df == 16 and len(found.prices) == 16
    table = found.prices
    # Recomputed from the panel by hand at one price.
    rows = panel.frame[panel.frame["price_pampers"] == 35]
    b, y = rows["belief_pampers"], (rows["choice"] == "pampers")
    at = table.set_index("price").loc[35.0]
    assert at["z"] == pytest.approx((y - b).sum() / np.sqrt((b * (1 - b)).sum()))
    assert found.chi2 == pytest.approx((table["z"] ** 2).sum())
    shifted = equivalence.read(changed(panel, 0.8 * panel.frame["belief_pampers"]))
    assert not shifted.holds and "do NOT have the same mean" in shifted.verdict


def test_equivalence_knows_the_truth_and_differences_shrink():
    found = equivalence.equivalence(runs=300, seed=2)
    truth = SyntheticBackend(STUDY)
    assert found.prices["truth"].tolist() == pytest.approx(
        [truth.probability(p) for p in found.prices["price"]]
    )
    assert np.abs(found.prices["mean_belief"] - found.prices["truth"]).max() < 0.03
    growth = found.growth.set_index("runs")["rms_difference"]
    assert growth[300] < growth[10] / 2


def test_equivalence_without_usable_runs(panel):
    broken = Panel(panel.frame.assign(status="refusal"), panel.study, panel.provenance)
    with pytest.raises(DesignError, match="no usable run"):
        equivalence.read(broken)


def test_certain_beliefs_that_fail_are_infinitely_far(panel):
    wrong = equivalence.read(changed(panel, 1 - as_choice(panel)))
    assert np.isinf(wrong.prices["z"]).any() and not wrong.holds


# -- variance ------------------------------------------------------------------------------------
def test_variance_ratio_is_that_of_the_consumer():
    found = spread.spread(experiments=60, runs=5, seed=2)
    assert found.holds
    # 1 / icc = 18.5 for the share at a price.
    middle = found.shares[found.shares["price"].between(32, 38)]["ratio"]
    assert 12 < middle.median() < 28
    assert found.coefficient["ratio"].iloc[0] > 10


def test_variance_flips_when_belief_is_as_coarse_as_choice(panel):
    found = spread.read(changed(panel, as_choice(panel)), runs=5)
    assert not found.holds and "NOT shown" in found.verdict
    assert found.coefficient["ratio"].iloc[0] == pytest.approx(1)


def test_separated_experiments_are_counted_not_averaged():
    found = spread.spread(experiments=40, runs=1, seed=1)
    row = found.coefficient.iloc[0]
    assert row["separated_choice"] > 0 and row["both"] < 40
    assert "separated" in found.verdict and np.isfinite(row["sd_choice"])
    with pytest.raises(UsageError, match="at least 3"):
        spread.spread(experiments=2)


# -- downstream ----------------------------------------------------------------------------------
def test_downstream_finds_the_slope_and_flips(panel):
    found = downstream.downstream(experiments=30, seed=2)
    t = found.table.set_index("estimator")
    assert found.holds and found.target == -0.535
    assert abs(t.loc["belief", "bias"]) < 0.03
    assert t.loc["belief", "rmse"] < t.loc["choice, Firth", "rmse"]
    one = found.estimates.query("estimator == 'belief'")["coefficient"]
    assert t.loc["belief", "rmse"] == pytest.approx(np.sqrt(((one + 0.535) ** 2).mean()))
    flipped = downstream.read(changed(panel, as_choice(panel)), target=-0.535)
    assert not flipped.holds and "NOT shown" in flipped.verdict


def test_downstream_without_a_known_truth_uses_all_runs(panel):
    found = downstream.read(panel)
    assert found.target_is == "the coefficient of belief on all runs"
    assert -0.6 < found.target < -0.47


def test_a_separated_experiment_is_a_miss():
    found = downstream.downstream(experiments=40, runs=1, seed=1)
    t = found.table.set_index("estimator").loc["choice"]
    assert t["separated"] > 0
    known = found.estimates.query("estimator == 'choice'")["coefficient"]
    hits = (np.abs(known + 0.535) <= 0.25 * 0.535).sum()
    assert t["within"] == pytest.approx(hits / 40) and t["fitted"] == known.notna().sum()


# -- temperature ---------------------------------------------------------------------------------
def test_tempering_is_needed_and_enough():
    found = temperature.temperature(temperatures=[0.3, 1.0, 2.0], runs=40, seed=1)
    assert found.holds and found.verdict.startswith("Tempering is needed, and enough.")
    assert found.rejected("as recorded") == (0.3, 2.0)
    at_one = found.table[found.table["temperature"] == 1]
    assert at_one["rms_difference"].nunique() == 1, "at 1 both readings are the same"


def test_tempering_what_is_tempered_already_is_found_out(tmp_path):
    """Backends whose records already follow the temperature: the other reading is right."""
    who = Respondent(SyntheticBackend, store=tmp_path / "s.sqlite")
    found = temperature.temperature(who, temperatures=[0.4, 2.0], runs=25, seed=1)
    assert not found.holds and "do NOT temper" in found.verdict
    assert found.rejected("as recorded") == ()
    with pytest.raises(UsageError, match="positive"):
        temperature.asks(temperatures=[0.0])


# -- multi-token ---------------------------------------------------------------------------------
def test_split_labels_cost_nothing_and_common_beginnings_do():
    found = multitoken.multi_token(runs=60, seed=1)
    t = found.table.set_index("condition")
    assert t.loc["one token each", "efficiency"] == pytest.approx(
        t.loc["split labels", "efficiency"]
    )
    assert t.loc["nested names", "efficiency"] < 0.9 * t.loc["split labels", "efficiency"]
    assert t.loc["nested names", "pivot"] > t.loc["one token each", "pivot"]
    assert found.biased == ("split, one candidate listed",) and not found.holds
    assert "FAILS or is biased here: split, one candidate listed." in found.verdict


def test_a_menu_without_belief_is_a_row_not_a_traceback(panel):
    dead = Panel(panel.frame.assign(status="no_pivot"), panel.study, panel.provenance)
    found = multitoken.read({"good": panel, "dead": dead})
    assert found.table.set_index("condition").loc["dead", "failed"] == 1
    assert not found.holds and "dead" in found.verdict.split(".")[0]
    assert multitoken.read({"good": panel}).holds


# -- round prices --------------------------------------------------------------------------------
def test_size_and_power():
    found = rounding.round_prices(experiments=60, runs=5, upticks=[0, 0.6], seed=1)
    t = found.table.set_index(["uptick", "outcome"])
    assert found.holds and found.verdict.startswith("The test keeps its size")
    assert t.loc[(0.6, "belief"), "rejected"] > t.loc[(0.6, "choice"), "rejected"]
    assert t.loc[(0.6, "belief"), "mean"] == pytest.approx(0.6, abs=0.1)


def test_a_null_that_rejects_always_is_no_null():
    wanted = rounding.asks(experiments=20, runs=4, upticks=[1.5])
    panels = Respondent().panels(wanted, seed=1)
    found = rounding.read({"0": panels["1.5"]}, runs=4)
    assert not found.holds and "does NOT keep its size" in found.verdict


def test_a_model_is_tested_as_it_is():
    who = Respondent(lambda s: SyntheticBackend(s, round_price_uptick=1.0))
    found = rounding.round_prices(who, experiments=12, runs=8)
    assert found.verdict.startswith("Demand ticks at round prices") and len(found.table) == 2
    with pytest.raises(DesignError, match=r"multiples of 7\.3"):
        rounding.round_prices(experiments=3, runs=2, step=7.3)


# -- position ------------------------------------------------------------------------------------
def test_position_and_label_effects_are_recovered():
    found = position.position(runs=80, order_effect=0.8, label_effect=0.4, seed=1)
    e = found.effects.set_index(["effect", "outcome"])["estimate"]
    # First against second: d, and log(1 + c (exp(d) - 1)) against the rival, c = 0.8 its share.
    expected = 0.8 + np.log1p(0.8 * np.expm1(0.8))
    assert e["position", "belief"] == pytest.approx(expected, abs=0.12)
    assert e["label", "belief"] == pytest.approx(0.4, abs=0.1)
    assert not found.holds and "MATTERS" in found.verdict
    truth = SyntheticBackend(STUDY)
    near = found.averages[found.averages["price"].between(32, 38)]
    own = np.array([truth.probability(p) for p in near["price"]])
    # Balanced in log-odds: nearly the consumer without effects. In probability: nearer to 1/2.
    assert np.abs(near["log_odds"] - own).max() < 0.05
    low = near[near["log_odds"] < 0.35]
    assert len(low) and (low["gap"] > 2 * low["gap_se"]).all()


def test_without_effects_nothing_matters():
    found = position.position(runs=50, order_effect=0, label_effect=0, seed=2)
    assert found.holds and found.verdict.startswith("Neither position nor label")
    assert found.designs["against_balanced"].abs().max() < 0.02


def test_position_needs_all_arms(panel):
    with pytest.raises(DesignError, match="no panel for first B"):
        position.read({"first A": panel})
    with pytest.raises(UsageError, match="mode"):
        position.asks("pampers-households")


# -- all -----------------------------------------------------------------------------------------
def test_seeds_and_files(tmp_path):
    one, again = (spread.spread(experiments=10, seed=5) for _ in range(2))
    pd.testing.assert_frame_equal(one.shares, again.shares)
    other = spread.spread(experiments=10, seed=6)
    assert not one.shares["mean_belief"].equals(other.shares["mean_belief"])
    written = {p.name: p for p in one.save(tmp_path)}
    assert set(written) == {
        "variance.md",
        "variance.svg",
        "variance.png",
        "variance-shares.csv",
        "variance-coefficient.csv",
    }
    text = written["variance.md"].read_text("utf-8")
    assert one.verdict in text and "not a language model" in text
    back = pd.read_csv(written["variance-shares.csv"])
    assert back["ratio"].to_numpy() == pytest.approx(one.shares["ratio"].to_numpy(), nan_ok=True)
    assert one.render("svg") == again.render("svg")


def test_plots_draw_on_given_axes():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert spread.spread(experiments=5, seed=1).plot(ax) is ax and ax.get_xlabel()
