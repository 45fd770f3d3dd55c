"""Calibration: the modeling layer at lambda 0, ppi_py at any, valid intervals, clear refusals."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmdemand import (
    CalibrationWarning,
    calibrate,
    clogit,
    effective_n,
    fraclogit,
    load_panel,
    load_study,
    logit,
    paired_panel,
    simulate,
)
from llmdemand.calibration.power import rho_of_choice
from llmdemand.core.resources import data_file
from llmdemand.errors import DesignError, UsageError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "ppi.json").read_text("utf-8"))
CRV = {"CRV1": "respondent_id"}


@pytest.fixture(scope="module")
def data():
    return paired_panel(humans=120, llm=600, seed=1)


@pytest.fixture(scope="module")
def one_each():
    return paired_panel(humans=120, llm=600, answers=1, seed=1)


def test_lambda_0_is_the_clustered_logit(data, one_each):
    found = calibrate(data.humans, data.beliefs, lam=0.0)
    plain = logit("choice ~ price", data.humans, vcov=CRV)
    assert found.params.to_numpy() == pytest.approx(plain.params.to_numpy(), abs=1e-10)
    assert found.cov.to_numpy() == pytest.approx(plain.cov.to_numpy(), abs=1e-10)
    sampled = calibrate(one_each.humans, one_each.beliefs, lam=0.0, design="sampled")
    plain = logit("choice ~ price", one_each.humans, vcov=CRV)
    assert sampled.cov.to_numpy() == pytest.approx(plain.cov.to_numpy(), abs=1e-10)
    stated = data.humans.assign(choice=0.2 + 0.6 * data.humans["choice"])
    found = calibrate(stated, data.beliefs, model="fraclogit", lam=0.0)
    plain = fraclogit("choice ~ price", stated, vcov=CRV)
    assert found.cov.to_numpy() == pytest.approx(plain.cov.to_numpy(), abs=1e-10)


def frames(part):
    total, n = len(part["price"]), part["humans"]
    rows = pd.DataFrame({"price": part["price"], "belief": part["belief"]})
    rows["respondent_id"] = np.arange(total)
    if "child" in part:
        rows["child"] = part["child"]
    humans = rows[:n].drop(columns="belief").assign(choice=part["choice"])
    return humans, rows


@pytest.mark.parametrize("lam", ["0", "0.35", "1"])
def test_fixed_lambdas_of_sampled_rows_equal_ppi_py(lam):
    part = GOLDEN["rows"]
    humans, rows = frames(part)
    formula = "choice ~ price + child"
    found = calibrate(humans, rows, formula, design="sampled", lam=float(lam))
    assert found.params.to_numpy() == pytest.approx(np.array(part["params"][lam]), abs=1e-6)


@pytest.mark.parametrize("lam", ["0", "0.35", "1"])
@pytest.mark.parametrize("design", ["humans", "equal"])
def test_fixed_lambdas_under_a_common_design_equal_ppi_py(design, lam):
    part = GOLDEN["cells"]
    humans, rows = frames(part)
    found = calibrate(humans, rows, design=design, lam=float(lam))
    assert found.params.to_numpy() == pytest.approx(np.array(part["params"][design][lam]), abs=1e-6)


def test_the_interval_of_sampled_rows_is_that_of_ppi_py_but_for_the_t_law():
    from scipy import stats

    part = GOLDEN["rows"]
    humans, rows = frames(part)
    given = part["interval"]
    found = calibrate(humans, rows, "choice ~ price + child", design="sampled", lam=given["lambda"])
    half = (np.array(given["upper"]) - given["lower"]) / 2
    se = half / stats.norm.ppf(1 - given["alpha"] / 2)
    assert found.bse.to_numpy() == pytest.approx(se, rel=1e-5)


def test_everything_is_the_loss_written_down(one_each):
    """The objective by scipy, the covariance by loops."""
    from scipy.optimize import minimize

    lam = 0.6
    found = calibrate(one_each.humans, one_each.beliefs, lam=lam, design="equal")
    own = one_each.humans.merge(one_each.beliefs, on=["respondent_id", "price"])
    ids = set(own["respondent_id"])
    pool = one_each.beliefs[~one_each.beliefs["respondent_id"].isin(ids)]
    prices = sorted(own["price"].unique())
    x = np.column_stack([np.ones(4), prices])

    def mean(frame, column):
        return frame.groupby("price")[column].mean().to_numpy()

    m = mean(own, "choice") + lam * (mean(pool, "belief") - mean(own, "belief"))

    def loss(b):
        eta = x @ [b[0], b[1] / 10]
        return np.sum(np.logaddexp(0, eta) - m * eta) / 4

    best = minimize(loss, [0, 0], tol=1e-14).x
    assert found.params.to_numpy() == pytest.approx([best[0], best[1] / 10], rel=1e-4)
    mu = 1 / (1 + np.exp(-x @ found.params.to_numpy()))
    bread = np.linalg.inv((x * (mu * (1 - mu) / 4)[:, None]).T @ x)
    meat = np.zeros((2, 2))
    for frame, values in ((own, own["choice"] - lam * own["belief"]), (pool, lam * pool["belief"])):
        for j, p in enumerate(prices):
            v = values[frame["price"] == p]
            meat += np.outer(x[j], x[j]) / 16 * v.var(ddof=1) / len(v)
    assert found.cov.to_numpy() == pytest.approx(bread @ meat @ bread, rel=1e-9)


def test_rectified_means_are_never_clipped(data):
    """A wild LLM pushes cell means beyond 0 and 1, and the estimate is still that of the loss."""
    beliefs = data.beliefs.copy()
    human = beliefs["respondent_id"].isin(data.humans["respondent_id"])
    beliefs["belief"] = np.where(human, 0.05, 0.4) + 0.01 * beliefs["belief"]
    with pytest.warns(CalibrationWarning, match="differ by more than chance"):
        found = calibrate(data.humans, beliefs, lam=1.0)
    shift = 0.35 + 0.01 * (
        data.beliefs[~human]["belief"].mean() - data.beliefs[human]["belief"].mean()
    )
    x = np.column_stack([np.ones(4), [30, 35, 40, 45]])
    m = data.humans.groupby("price")["choice"].mean().to_numpy() + shift
    assert m.max() > 1
    score = x.T @ (1 / (1 + np.exp(-x @ found.params.to_numpy())) - m)
    assert np.abs(score / [1, 40]).max() < 0.02


def test_no_finite_estimate_is_said(data):
    beliefs = data.beliefs.copy()
    human = beliefs["respondent_id"].isin(data.humans["respondent_id"])
    beliefs["belief"] = np.where(human, 0.0, 1.0)
    with (
        pytest.warns(CalibrationWarning, match="does not vary"),
        pytest.raises(DesignError, match="leave the range that a logit can reach"),
    ):
        calibrate(data.humans, beliefs, lam=1.0)


def test_lambda_of_a_perfect_llm_is_the_share_of_the_pool():
    data = paired_panel(humans=100, llm=4000, taste=2.0, seed=3)
    everyone = paired_panel(humans=4100, llm=0, seed=4).humans
    people = everyone[everyone["respondent_id"].isin([f"r{k}" for k in range(100)])]
    beliefs = everyone.rename(columns={"choice": "belief"})
    found = calibrate(people, beliefs, target="share", at=37)
    assert found.lam == pytest.approx(4000 / 4100, abs=0.02) and found.rho == pytest.approx(1)
    assert found.n_eff == pytest.approx(4100, rel=0.15)
    assert len(data.humans) == 400


def test_a_blind_llm_is_worth_nothing_and_costs_nothing():
    data = paired_panel(humans=400, llm=2000, skill=0.0, answers=1, seed=5)
    found = calibrate(data.humans, data.beliefs, target="share", at=37)
    assert 400 <= found.n_eff < 420
    assert found.table.loc["calibrated", "se"] <= 1.02 * found.table.loc["humans only", "se"]


def test_a_price_only_belief_has_lambda_0_and_a_warning(data):
    flat = data.beliefs.assign(belief=1 / (1 + np.exp(0.1 * (data.beliefs["price"] - 37))))
    with pytest.warns(CalibrationWarning, match="does not vary between respondents"):
        found = calibrate(data.humans, flat)
    assert found.lam == 0 and found.n_eff == 120 and "brings nothing" in found.verdict()


def test_effective_humans_by_the_published_example():
    assert int(effective_n(0.353, 1e4, 1e5)) == 11277


def test_sampling_choices_attenuates_rho_as_derived():
    kind = {"humans": 3000, "llm": 3000, "answers": 1, "seed": 8}
    belief = paired_panel(**kind)
    choice = paired_panel(**kind, runs=1)
    found = [calibrate(d.humans, d.beliefs, target="share").rho for d in (belief, choice)]
    f = belief.beliefs["belief"]
    spread = belief.beliefs.groupby("price")["belief"].var().mean()
    expected = rho_of_choice(found[0], spread, (f * (1 - f)).mean())
    assert found[1] == pytest.approx(expected, abs=0.05) and found[1] < 0.8 * found[0]


def test_choices_of_several_alternatives_equal_the_conditional_logit_at_lambda_0():
    path = str(data_file("humans", "travel-mode.csv"))
    humans = pd.read_csv(path, dtype={"respondent_id": str})
    half = humans[humans["respondent_id"].astype(int) % 2 == 0]
    options = {"model": "clogit", "design": "sampled", "prompt_chosen_on": "others"}
    found = calibrate(half, load_panel("travel-mode"), "choice ~ price", lam=0.0, **options)
    plain = clogit("choice ~ price", half, case="respondent_id", vcov=CRV)
    assert found.params[plain.params.index].to_numpy() == pytest.approx(plain.params.to_numpy())
    assert found.bse[plain.params.index].to_numpy() == pytest.approx(plain.bse.to_numpy())
    assert "27 of 720 LLM answers have no belief" in found.notes[0]
    tuned = calibrate(half, load_panel("travel-mode"), "choice ~ price", **options)
    assert 0 <= tuned.lam <= 1 and tuned.n_eff >= tuned.tuning.humans


def test_the_order_of_rows_and_the_type_of_ids_change_nothing(one_each):
    found = calibrate(one_each.humans, one_each.beliefs)
    rng = np.random.default_rng(0)
    humans = one_each.humans.iloc[rng.permutation(len(one_each.humans))]
    beliefs = one_each.beliefs.iloc[rng.permutation(len(one_each.beliefs))]
    as_numbers = [
        f.assign(respondent_id=f["respondent_id"].str[1:].astype(kind))
        for f, kind in ((humans, float), (beliefs, int))
    ]
    again = calibrate(*as_numbers)
    pd.testing.assert_series_equal(found.params, again.params)
    pd.testing.assert_frame_equal(found.cov, again.cov)
    runs = pd.concat([one_each.beliefs, one_each.beliefs])
    pd.testing.assert_series_equal(calibrate(one_each.humans, runs).params, found.params)


def test_a_panel_of_respondents_is_joined_by_their_ids():
    ids = [str(k) for k in range(60)]
    people = pd.DataFrame({"respondent_id": ids, "age": np.arange(60) % 5 + 30})
    study = load_study("pampers").with_respondents(people)
    panel = simulate(study, "synthetic", runs=1, seed=1)
    rng = np.random.default_rng(1)
    rows = panel.frame[panel.frame["respondent_id"].astype(int) < 30]
    humans = pd.DataFrame(
        {
            "respondent_id": rows["respondent_id"].astype(int),
            "price": rows["price_pampers"],
            "choice": (rng.random(len(rows)) < rows["belief_pampers"]).astype(int),
        }
    )
    found = calibrate(humans, panel)
    assert (found.tuning.humans, found.tuning.llm) == (30, 30)


BAD = {
    "-1": (lambda h, b: (h.assign(choice=h["choice"].replace(0, -1)), b), "-1.*no answer"),
    "fraction": (lambda h, b: (h.assign(choice=0.5), b), "model='fraclogit'"),
    "text": (lambda h, b: (h.assign(choice="yes"), b), "not numbers"),
    "belief": (lambda h, b: (h, b.assign(belief=b["belief"] * 100)), "outside \\[0, 1\\]"),
    "nan": (lambda h, b: (h, b.assign(belief=np.nan)), "missing or infinite"),
    "ids": (lambda h, b: (h.assign(respondent_id="x" + h["respondent_id"]), b), "on both sides"),
    "prices": (lambda h, b: (h.assign(price=h["price"] + 1), b), "no belief of their own"),
    "no pool": (lambda h, b: (h, b[b["respondent_id"].isin(h["respondent_id"])]), "beyond"),
    "one human": (lambda h, b: (h[h["respondent_id"] == "r0"], b), "one human"),
    "column": (lambda h, b: (h.rename(columns={"choice": "chioce"}), b), "did you mean"),
    "empty": (lambda h, b: (h[:0], b), "no rows"),
    "separated": (lambda h, b: (h.assign(choice=(h["price"] < 33) * 1), b), "separated"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_calibrated_is_said(data, kind):
    change, said = BAD[kind]
    with pytest.raises(DesignError, match=said):
        calibrate(*change(data.humans, data.beliefs))


def test_cells_need_two_respondents_on_both_sides(one_each):
    few = one_each.humans[(one_each.humans["price"] != 45) | (one_each.humans.index == 3)]
    with pytest.raises(DesignError, match="price 45 has 1 of the humans"):
        calibrate(few, one_each.beliefs)
    pool = one_each.beliefs
    gone = (pool["price"] == 45) & ~pool["respondent_id"].isin(one_each.humans["respondent_id"])
    with pytest.raises(DesignError, match="price 45 has 0 of the LLM respondents"):
        calibrate(one_each.humans, pool[~gone])


def test_humans_without_a_belief_may_be_dropped_and_are_counted(data):
    kept = data.beliefs[data.beliefs["respondent_id"] != "r5"]
    with pytest.raises(DesignError, match="'r5'"):
        calibrate(data.humans, kept)
    found = calibrate(data.humans, kept, na="drop")
    assert found.tuning.humans == 119 and "4 of 480 human answers" in found.notes[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "prize"}, "did you mean 'price'"),
        ({"model": "probit"}, "model"),
        ({"design": "mine"}, "design"),
        ({"design": {30.0: 1.0}}, "other prices"),
        ({"lam": 1.5}, "from 0"),
        ({"lam": "best"}, "tuned"),
        ({"na": "skip"}, "na="),
        ({"at": 30.0}, "at=30"),
        ({"prompt_chosen_on": "these"}, "intervals would be too short"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": "x"}, "alpha='x'"),
        ({"reps": 1}, "reps"),
        ({"reps": 2.5}, "whole numbers"),
        ({"seed": 1.5}, "whole numbers"),
    ],
)
def test_impossible_options_are_refused(data, options, said):
    with pytest.raises(UsageError, match=said):
        calibrate(data.humans, data.beliefs, **options)


def test_quantities_bootstrap_and_figures(one_each):
    found = calibrate(one_each.humans, one_each.beliefs, target="elasticity", at=35)
    assert float(found.elasticity({"price": 35})) == pytest.approx(
        found.table.loc["calibrated", "estimate"]
    )
    drawn = found.elasticity({"price": 35}, ci="bootstrap", reps=60)
    assert float(drawn.se) == pytest.approx(found.table.loc["calibrated", "se"], rel=0.35)
    axes = found.plot_demand()
    labels = [line.get_label() for line in axes.lines]
    assert {"humans only", "LLM only", "calibrated", "humans, share"} <= set(labels)
    assert len(found.plot().get_yticks()) == 4
    for words in ("humans only", "naive pooling", "WARNING", "cannot be checked", "rho"):
        assert words in found.summary()
    assert r"\toprule" in found.to_latex() and "<table" in found._repr_html_()
