import numpy as np
import pytest
from scipy import stats

from llmdemand.core.panel import Panel
from llmdemand.modeling.models.demand import fit_demand
from llmdemand.reporting.measures.selection import selection


def low_where_huggies(panel):
    """A tenth of the runs is low_mass, half of those that choose Huggies at low prices."""
    frame = panel.frame
    low = (frame["choice"] == "huggies") & (frame["replicate"] % 2 == 0)
    low &= frame["price_pampers"] < 38
    return Panel(frame.assign(status=np.where(low, "low_mass", "ok")), panel.study), low


def test_a_status_that_selects_is_found(synthetic_panel):
    panel, low = low_where_huggies(synthetic_panel)
    found = selection(panel)
    assert list(found.index) == ["ok", "low_mass"] and found["enters"].all()
    row = found.loc["low_mass"]
    chosen = synthetic_panel.frame["choice"] == "pampers"
    assert (row["runs"], row["read"], row["share"]) == (low.sum(), low.sum(), 0)
    assert row["others"] == pytest.approx(chosen[~low].mean())
    counts = [[0, low.sum()], [(chosen & ~low).sum(), (~chosen & ~low).sum()]]
    assert row["p"] == pytest.approx(stats.fisher_exact(np.array(counts)).pvalue)
    assert row["p"] < 1e-4
    # With them: all runs. Without: what is left.
    whole = fit_demand(synthetic_panel, "belief").price_sensitivity
    left = Panel(panel.frame[~low], panel.study)
    assert row["price"] == pytest.approx(whole, rel=1e-6)
    assert row["without"] == pytest.approx(fit_demand(left, "belief").price_sensitivity, rel=1e-6)
    assert not np.isclose(row["price"], row["without"], rtol=1e-3)


def test_at_the_pivot_other_statuses_stay_out_and_are_shown_with(synthetic_panel):
    panel, _ = low_where_huggies(synthetic_panel)
    found = selection(panel, "pivot")
    assert found["enters"].to_dict() == {"ok": True, "low_mass": False}
    assert found.loc["low_mass", "price"] == pytest.approx(
        fit_demand(synthetic_panel, "belief", reading="pivot").price_sensitivity, rel=1e-6
    )
    assert found.loc["low_mass", "without"] == pytest.approx(
        fit_demand(panel, "belief", reading="pivot").price_sensitivity, rel=1e-6
    )


def test_what_is_not_read_has_no_share(synthetic_panel):
    frame = synthetic_panel.frame
    silent = frame["replicate"] == 0
    made = frame.assign(
        status=np.where(silent, "refusal", "ok"),
        final_choice=frame["final_choice"].where(~silent, None),
        final_status=np.where(silent, "unread", "read"),
    )
    row = selection(Panel(made, synthetic_panel.study)).loc["refusal"]
    assert row["read"] == 0 and np.isnan(row["share"]) and np.isnan(row["p"])
    assert row["price"] == pytest.approx(row["without"])


def test_whole_answers_stand_for_stopped_ones(synthetic_panel):
    """All low ones are whole, of the others those that choose Pampers more often."""
    panel, low = low_where_huggies(synthetic_panel)
    frame = panel.frame
    rng = np.random.default_rng(1)
    pi = np.where(low, 1.0, np.where(frame["choice"] == "pampers", 0.9, 0.3))
    stopped = rng.random(len(frame)) >= pi
    cut = frame.assign(whole_probability=pi)
    cut.loc[stopped, "final_status"] = "stopped"
    cut.loc[stopped, ["final_choice", "mismatch"]] = None
    row = selection(Panel(cut, panel.study)).loc["low_mass"]
    read = ~stopped & ~low
    chosen = (frame["choice"] == "pampers").astype(float)
    assert row["others"] == pytest.approx(np.average(chosen[read], weights=1 / pi[read]))
    assert abs(row["others"] - chosen[~low].mean()) < 0.08 < chosen[read].mean() - row["others"]
    n = np.array([low.sum(), (1 / pi[read]).sum() ** 2 / (1 / pi[read] ** 2).sum()])
    p = n[1] * row["others"] / n.sum()
    z = row["others"] / np.sqrt(p * (1 - p) * (1 / n).sum())
    assert row["p"] == pytest.approx(2 * stats.norm.sf(z))
    assert row["read"] == low.sum()
