"""Calibration against the modeling layer, the authors' package, closed forms and plain loops."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

import llmdemand as ld
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.moments.rectified import Combined, logit_data
from llmdemand.calibration.moments.tuning import Contributions, effective
from llmdemand.calibration.paired import paired_panel
from llmdemand.calibration.power import effective_n
from llmdemand.calibration.ppi import CalibrationWarning, calibrate
from llmdemand.calibration.samples.samples import pair
from llmdemand.calibration.target import Target
from llmdemand.core.resources import data_file
from llmdemand.errors import DesignError

pytestmark = pytest.mark.numbers

GOLDEN = Path(__file__).parents[1] / "golden"
BY_RESPONDENT = {"CRV1": "respondent_id"}
PRICES = (30.0, 35.0, 40.0, 45.0)


def complete(**options):
    found = paired_panel(**{"humans": 80, "llm": 160, "seed": 2, **options})
    return found.humans, found.beliefs


def ragged(seed=0, humans=70, llm=130):
    """Some prices each, unequally often; humans who answered twice; repeated runs of the LLM."""
    rng = np.random.default_rng(seed)
    h, b = complete(humans=humans, llm=llm, seed=seed + 1)
    kept = rng.random(len(h)) < np.where(h["price"] < 36, 0.8, 0.4)
    kept[:8] = True
    h = h[kept]
    twice = h.sample(frac=0.2, random_state=seed)
    h = pd.concat([h, twice.assign(choice=1 - twice["choice"])], ignore_index=True)
    more = b.sample(frac=0.3, random_state=seed)
    more = more.assign(belief=(more["belief"] + rng.random(len(more))) / 2)
    pool = ~b["respondent_id"].isin(h["respondent_id"])
    b = b[~pool | (rng.random(len(b)) < np.where(b["price"] < 36, 0.5, 0.9))]
    return h, pd.concat([b, more], ignore_index=True)


def agree(one, other, rtol=1e-9):
    np.testing.assert_allclose(one.params, other.params, rtol=rtol)
    np.testing.assert_allclose(one.cov, other.cov, rtol=10 * rtol)


# Humans alone -------------------------------------------------------------------------------


def test_at_lambda_zero_it_is_the_clustered_logit_where_everybody_answers_every_price():
    humans, beliefs = complete()
    found = calibrate(humans, beliefs, lam=0, reps=2)
    agree(found, ld.logit("choice ~ price", humans, vcov=BY_RESPONDENT), 1e-10)
    assert found.n_eff == found.tuning.humans == 80
    assert found.df == pytest.approx(1 / (1 / 79 - 1 / (len(humans) - 1)))
    assert calibrate(humans, beliefs, lam=0, reps=2, law="units").df == 79


def test_one_answer_of_each_is_told_by_the_normal_law():
    """Of 0 and 1 alone: what is stated has a variance that does not follow from its mean."""
    data = ld.paired_panel(humans=60, llm=120, answers=1, seed=2)
    found, before = (
        calibrate(data.humans, data.beliefs, lam=0.5, reps=2, law=law)
        for law in ("answers", "units")
    )
    assert np.isinf(found.df) and before.df == 59 and "normal law" in found.ci
    row, old = (f.table.loc["calibrated"] for f in (found, before))
    assert old["se"] == row["se"]
    assert row["upper"] - row["estimate"] == pytest.approx(stats.norm.ppf(0.975) * row["se"])
    assert old["upper"] - old["estimate"] == pytest.approx(stats.t.ppf(0.975, 59) * row["se"])
    np.testing.assert_allclose(found.conf_int().loc["price"], row[["lower", "upper"]].tolist())
    stated = data.humans.assign(choice=0.2 + 0.6 * data.humans["choice"])
    assert calibrate(stated, data.beliefs, model="fraclogit", lam=0.5, reps=2).df == 59
    with pytest.raises(ld.LLMDemandError, match="law"):
        calibrate(data.humans, data.beliefs, law="t")


def test_at_lambda_zero_incomplete_designs_have_the_logits_estimate():
    humans, beliefs = ragged()
    found = calibrate(humans, beliefs, lam=0, reps=2)
    plain = ld.logit("choice ~ price", humans, vcov=BY_RESPONDENT)
    np.testing.assert_allclose(found.params, plain.params, rtol=1e-10)
    # Sampled rows have its covariance as well; with cells it differs, prices are held fixed.
    agree(calibrate(humans, beliefs, lam=0, design="sampled", reps=2), plain, 1e-10)
    assert not np.allclose(found.cov, plain.cov, rtol=1e-4)


def test_at_lambda_zero_it_is_the_fractional_logit():
    humans, beliefs = complete()
    stated = humans.assign(choice=(0.1 + 0.7 * humans["choice"] + 0.002 * humans["income"]))
    found = calibrate(stated, beliefs, model="fraclogit", lam=0, reps=2)
    agree(found, ld.fraclogit("choice ~ price", stated, vcov=BY_RESPONDENT), 1e-10)


MENUS = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0], [3.0, 2.0, 1.0], [2.0, 2.0, 1.0]])


def markets(humans=60, llm=100, seed=0):
    """Everybody chooses among three alternatives from the same four menus."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(humans + llm):
        taste = rng.normal(size=3)
        for task, price in enumerate(MENUS):
            odds = np.exp(-0.5 * price + [0, 0.3, 0.1] + taste)
            told = np.exp(-0.3 * price + 0.7 * taste)
            chosen = rng.choice(3, p=odds / odds.sum())
            for j in range(3):
                rows.append((i, task, "abc"[j], price[j], float(chosen == j), told[j] / told.sum()))
    names = ["respondent_id", "task", "alternative", "price", "choice", "belief"]
    frame = pd.DataFrame(rows, columns=names)
    people = frame["respondent_id"] < humans
    return frame[people].drop(columns="belief"), frame.drop(columns="choice")


@pytest.mark.parametrize("design", ["humans", "sampled", "equal"])
def test_at_lambda_zero_it_is_the_conditional_logit(design):
    humans, beliefs = markets()
    found = calibrate(humans, beliefs, model="clogit", case="task", lam=0, design=design, reps=2)
    cases = humans.assign(set=humans["respondent_id"] * 10 + humans["task"])
    plain = ld.clogit("choice ~ price", cases, case="set", vcov=BY_RESPONDENT)
    agree(found, plain, 1e-9)


def test_at_lambda_zero_a_panel_of_travellers_is_the_conditional_logit():
    path = str(data_file("humans", "travel-mode.csv"))
    humans = pd.read_csv(path, dtype={"respondent_id": str})
    half = humans[humans["respondent_id"].astype(int) % 2 == 0]
    panel = ld.load_panel("travel-mode")
    options = {"model": "clogit", "design": "sampled", "prompt_chosen_on": "others", "reps": 2}
    found = calibrate(half, panel, "choice ~ price", lam=0, **options)
    plain = ld.clogit("choice ~ price", half, case="respondent_id", vcov=BY_RESPONDENT)
    order = plain.params.index
    np.testing.assert_allclose(found.params[order], plain.params, rtol=1e-9)
    np.testing.assert_allclose(found.bse[order], plain.bse, rtol=1e-9)
    pivot = calibrate(half, panel, "choice ~ price", lam=0, reading="pivot", **options)
    assert "27 of 720 LLM answers have no belief" in pivot.notes[0]
    assert "belief is corrected by the final choices" in found.notes[0]
    tuned = calibrate(half, panel, "choice ~ price", **options)
    assert tuned.lam >= 0
    assert tuned.n_eff > 84
    assert tuned.tuning.humans == 88


def test_the_llm_alone_and_naive_pooling_are_fractional_logits():
    humans, beliefs = complete()
    found = calibrate(humans, beliefs, reps=2)
    pool = beliefs[~beliefs["respondent_id"].isin(humans["respondent_id"])]
    pool = pool.rename(columns={"belief": "choice"})
    llm = ld.fraclogit("choice ~ price", pool, vcov=BY_RESPONDENT)
    agree(found.fits["LLM only"], llm, 1e-9)
    both = ld.fraclogit("choice ~ price", pd.concat([humans, pool]), vcov=BY_RESPONDENT)
    naive = found.fits["naive pooling"]
    np.testing.assert_allclose(naive.params, both.params, rtol=1e-9)
    # Humans and LLM differ in the mean, which the pooled fit takes for scatter: a few percent.
    np.testing.assert_allclose(naive.bse, both.bse, rtol=0.15)
    assert list(found.table["respondents"]) == [80, 160, 80, 240]
    assert found.table["note"].iloc[3].startswith("WARNING")


# The authors' package -----------------------------------------------------------------------


def golden(name):
    found = json.loads((GOLDEN / "ppi.json").read_text(encoding="utf-8"))[name]
    n, total = found["humans"], len(found["price"])
    frame = pd.DataFrame({"respondent_id": range(total), "belief": found["belief"]})
    for column in ("price", "child"):
        if column in found:
            frame[column] = found[column]
    humans = frame[:n].drop(columns="belief").assign(choice=found["choice"])
    return humans, frame, found


@pytest.mark.parametrize("lam", ["0", "0.35", "0.75", "1"])
def test_estimates_are_those_of_ppi_py(lam):
    humans, beliefs, expected = golden("rows")
    found = calibrate(
        humans, beliefs, "choice ~ price + child", design="sampled", lam=float(lam), reps=2
    )
    np.testing.assert_allclose(found.params, expected["params"][lam], rtol=1e-6)


def test_intervals_are_those_of_ppi_py_where_its_hessian_is_the_objectives():
    """At lambda = N / (n + N), which is also that of augmented inverse probability weighting."""
    humans, beliefs, expected = golden("rows")
    interval = expected["interval"]
    found = calibrate(
        humans, beliefs, "choice ~ price + child", design="sampled", lam="aipw", reps=2
    )
    assert found.lam == interval["lambda"] == 0.75
    half = stats.norm.ppf(1 - interval["alpha"] / 2) * found.bse
    np.testing.assert_allclose(found.params - half, interval["lower"], rtol=1e-6)
    np.testing.assert_allclose(found.params + half, interval["upper"], rtol=1e-6)


@pytest.mark.parametrize("design", ["humans", "equal"])
@pytest.mark.parametrize("lam", ["0", "0.35", "1"])
def test_weighted_estimates_are_those_of_ppi_py(design, lam):
    humans, beliefs, expected = golden("cells")
    found = calibrate(humans, beliefs, design=design, lam=float(lam), reps=2)
    np.testing.assert_allclose(found.params, expected["params"][design][lam], rtol=1e-6)


# Limits -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:belief may know the answers:llmdemand.CalibrationWarning")
@pytest.mark.parametrize("more", [1, 4, 40])
def test_an_llm_that_knows_the_answers_has_the_lambda_of_pooling(more):
    """F = y: ``V_n / (V_n + V_N)`` of the humans' own variance, which tends to 1."""
    n = 1000
    people, _ = complete(humans=n * (1 + more), llm=0, answers=1)
    beliefs = people.rename(columns={"choice": "belief"})
    humans = people[people["respondent_id"].isin([f"r{k}" for k in range(n)])]
    found = calibrate(humans, beliefs, reps=2)
    moments = found.moments
    alone = found.fits["humans only"]
    bread = moments.bread(moments.parts(0.0), alone.params.to_numpy())
    r, q, pool = moments.scores(alone.params.to_numpy()).along(bread @ [0.0, 1.0])
    np.testing.assert_array_equal(r, q)
    assert found.lam == pytest.approx(q @ q / (q @ q + pool @ pool), rel=1e-9)
    assert found.rho == pytest.approx(1.0)
    assert found.lam == pytest.approx(more / (1 + more), abs=0.15 / (1 + more))
    assert found.n_eff == pytest.approx(effective(n, 1 / (1 - found.lam)), rel=1e-9)
    assert found.tuning.table.loc["rho"].tolist() == pytest.approx([1, 1, 1])


def test_an_llm_that_knows_nothing_of_people_is_worth_no_humans():
    humans, beliefs = complete(humans=3000, llm=6000, skill=0.0, answers=1)
    found = calibrate(humans, beliefs, reps=2)
    assert abs(found.rho) < 3 / np.sqrt(3000)
    assert 1 <= found.n_eff / 3000 < 1.005
    se = found.table["se"]
    assert se["calibrated"] <= 1.02 * se["humans only"]


def test_a_belief_that_depends_on_price_alone_changes_nothing_and_says_so():
    humans, beliefs = complete()
    flat = beliefs.assign(belief=0.9 - 0.01 * (beliefs["price"] - 30))
    with pytest.warns(CalibrationWarning, match=r"cannot stand in for any human.*personas"):
        found = calibrate(humans, flat, reps=2)
    assert found.lam == 0.0
    assert np.isnan(found.tuning.lam_raw)
    assert (found.rho, found.n_eff, found.humans_saved) == (0.0, 80.0, 0.0)
    agree(found, found.fits["humans only"], 1e-14)
    assert "brings nothing" in found.verdict()
    assert "it saves no humans" in " ".join(found.notes)
    assert found.assumptions["verdict"][2] == "in doubt"
    assert found.imbalance == 1.0
    with pytest.warns(CalibrationWarning, match="cannot stand in"):
        assert calibrate(humans, flat, lam="aipw", reps=2).lam == 160 / 240
    # Another price-only belief for the pool is no sample of the same.
    pool = ~beliefs["respondent_id"].isin(humans["respondent_id"])
    with pytest.warns(CalibrationWarning) as caught:
        other = calibrate(humans, flat.assign(belief=flat["belief"] - 0.1 * pool), reps=2)
    assert other.imbalance == 0.0
    assert "hardly samples of one population" in str(caught[1].message)


def test_an_llm_that_contradicts_people_is_left_out():
    humans, beliefs = complete(answers=1)
    found = calibrate(humans, beliefs.assign(belief=1 - beliefs["belief"]), reps=2)
    assert found.tuning.lam_raw < 0
    assert found.lam == 0.0
    assert "is brought to 0" in " ".join(found.notes)
    agree(found, found.fits["humans only"], 1e-14)


def test_further_respondents_of_another_kind_are_warned_of():
    humans, beliefs = complete(humans=300, llm=600)
    pool = ~beliefs["respondent_id"].isin(humans["respondent_id"])
    shifted = beliefs.assign(belief=beliefs["belief"] * np.where(pool, 0.6, 1.0))
    with pytest.warns(CalibrationWarning, match="hardly samples of one population"):
        found = calibrate(humans, shifted, reps=2)
    assert found.imbalance < 1e-6
    assert found.assumptions["verdict"][3] == "in doubt"
    assert calibrate(humans, beliefs, reps=2).imbalance > 0.001


# The formulas, in loops ---------------------------------------------------------------------


def by_hand(humans, beliefs, lam, share=None, direction=(0.0, 1.0)):
    """Estimate, covariance, tuned lambda and rho: row by row, from the docstring of calibrate."""
    own = defaultdict(list)
    people = set(humans["respondent_id"])
    pool = []
    for row in beliefs.itertuples():
        if row.respondent_id in people:
            own[row.respondent_id, row.price].append(row.belief)
        else:
            pool.append((row.respondent_id, row.price, row.belief))
    told = [
        (r.respondent_id, r.price, r.choice, np.mean(own[r.respondent_id, r.price]))
        for r in humans.itertuples()
    ]
    cells = sorted({t[1] for t in told})
    n = {c: sum(t[1] == c for t in told) for c in cells}
    if share is None:
        share = {c: n[c] / len(told) for c in cells}
    ybar = {c: np.mean([t[2] for t in told if t[1] == c]) for c in cells}
    fbar = {c: np.mean([t[3] for t in told if t[1] == c]) for c in cells}
    pbar = {c: np.mean([p[2] for p in pool if p[1] == c]) for c in cells}
    big_n = {c: sum(p[1] == c for p in pool) for c in cells}
    heads = {c: len({t[0] for t in told if t[1] == c}) for c in cells}
    pool_heads = {c: len({p[0] for p in pool if p[1] == c}) for c in cells}

    def estimate(lam):
        m = {c: ybar[c] + lam * (pbar[c] - fbar[c]) for c in cells}

        def equations(b):
            return sum(
                share[c]
                * np.array([1, c - 37])
                * (1 / (1 + np.exp(-b[0] - b[1] * (c - 37))) - m[c])
                for c in cells
            )

        a, b = optimize.root(equations, [0.0, 0.0], tol=1e-13).x
        return np.array([a - 37 * b, b])

    def bread(params):
        total = np.zeros((2, 2))
        for c in cells:
            x = np.array([1, c])
            mu = 1 / (1 + np.exp(-x @ params))
            total += share[c] * mu * (1 - mu) * np.outer(x, x)
        return np.linalg.inv(total)

    r, q, p = (defaultdict(lambda: np.zeros(2)) for _ in range(3))
    for who, c, y, f in told:
        factor = share[c] / n[c] * np.sqrt(heads[c] / (heads[c] - 1)) * np.array([1, c])
        r[who] = r[who] + factor * (y - ybar[c])
        q[who] = q[who] + factor * (f - fbar[c])
    for who, c, f in pool:
        factor = share[c] / big_n[c] * np.sqrt(pool_heads[c] / (pool_heads[c] - 1))
        p[who] = p[who] + factor * np.array([1, c]) * (f - pbar[c])
    s = sum(np.outer(r[i], r[i]) for i in r)
    c_ = sum(np.outer(r[i], q[i]) for i in r)
    v_n = sum(np.outer(q[i], q[i]) for i in q)
    v_pool = sum(np.outer(p[i], p[i]) for i in p)
    g = bread(estimate(0.0)) @ np.asarray(direction)
    tuned = (g @ c_ @ g) / (g @ (v_n + v_pool) @ g)
    rho = (g @ c_ @ g) / np.sqrt((g @ s @ g) * (g @ v_n @ g))
    fitted, lam = lam == "tuned", max(tuned, 0.0) if lam == "tuned" else lam
    params = estimate(lam)
    a, n = bread(params), len(people)
    meat = s - lam * (c_ + c_.T) + lam**2 * (v_n + v_pool)
    cov = a @ meat @ a * (1 + 2 / n if fitted else 1)
    ratio = (g @ s @ g) / (g @ meat @ g)
    # Without what one fitted weight gains from noise, and with what it adds to the variance.
    gain = ((n - 4) * (ratio - 1) - 1) / (n - 1)
    n_eff = n * (1 + gain) / (1 + 1 / (n - 3)) if fitted else n * ratio
    return params, cov, tuned, rho, n_eff


@pytest.mark.parametrize("lam", ["tuned", 0.0, 0.6, 1.0])
@pytest.mark.parametrize("design", ["humans", "equal", "beliefs", "given"])
def test_it_is_what_the_docstring_says(lam, design):
    humans, beliefs = ragged()
    pool = beliefs[~beliefs["respondent_id"].isin(humans["respondent_id"])]
    share = {
        "humans": None,
        "equal": dict.fromkeys(PRICES, 0.25),
        "beliefs": (pool["price"].value_counts() / len(pool)).to_dict(),
        "given": dict(zip(PRICES, (0.4, 0.3, 0.2, 0.1), strict=True)),
    }[design]
    params, cov, tuned, rho, n_eff = by_hand(humans, beliefs, lam, share)
    assert 0 < tuned < 1
    asked = {p: 10 * w for p, w in share.items()} if design == "given" else design
    found = calibrate(humans, beliefs, design=asked, lam=lam, reps=2)
    np.testing.assert_allclose(found.params, params, rtol=1e-8)
    np.testing.assert_allclose(found.cov, cov, rtol=1e-7)
    assert found.tuning.lam_raw == pytest.approx(tuned, rel=1e-8)
    assert found.tuning.rho_raw == pytest.approx(rho, rel=1e-8)
    n = found.tuning.humans
    assert found.rho**2 == pytest.approx(1 - (1 - rho**2) * (n - 1) / (n - 2), rel=1e-8)
    assert found.n_eff == pytest.approx(n_eff, rel=1e-8)
    table = found.table.loc["calibrated"]
    assert table["se"] == pytest.approx(np.sqrt(cov[1, 1]), rel=1e-7)
    free = n - 2 if lam == "tuned" else n - 1
    df = 1 / (1 / free - 1 / (len(humans) - 1))
    half = stats.t.ppf(0.975, df) * np.sqrt(cov[1, 1])
    assert table["upper"] - table["estimate"] == pytest.approx(half, rel=1e-7)


def test_a_regressor_of_respondents_makes_cells_of_its_own():
    """Saturated in price and class: the classes are calibrated as if there was no other."""
    humans, beliefs = complete(humans=200, llm=400)
    rich = [f.assign(rich=(f["income"] > 40) * 1.0) for f in (humans, beliefs)]
    both = calibrate(*rich, "choice ~ price * rich", lam=0.5, reps=2)
    poor = calibrate(*(f[f["rich"] == 0] for f in rich), lam=0.5, reps=2)
    np.testing.assert_allclose(both.params[["const", "price"]], poor.params, rtol=1e-7)
    np.testing.assert_allclose(both.cov.iloc[:2, :2], poor.cov, rtol=1e-6)


def test_a_constant_alone_is_the_calibrated_mean():
    """The estimate of prediction-powered inference for a mean, with clusters."""
    humans, beliefs = complete(humans=200, llm=400)
    found = calibrate(humans, beliefs, "choice ~ 1", target="share", lam=0.7, reps=2)
    own = beliefs["respondent_id"].isin(humans["respondent_id"])
    y = humans.groupby("respondent_id")["choice"].mean()
    f = beliefs[own].groupby("respondent_id")["belief"].mean()
    pool = beliefs[~own].groupby("respondent_id")["belief"].mean()
    row = found.table.loc["calibrated"]
    assert row["estimate"] == pytest.approx(y.mean() + 0.7 * (pool.mean() - f.mean()))
    variance = (y - 0.7 * f).var() / 200 + 0.49 * pool.var() / 400
    assert row["se"] == pytest.approx(np.sqrt(variance), rel=1e-6)


@pytest.mark.parametrize("design", ["humans", "sampled", "equal"])
def test_a_conditional_logit_of_buying_or_not_is_the_logit(design):
    """Everything agrees: incomplete designs, repeated answers, runs, targets."""
    humans, beliefs = ragged()

    def menu(frame, outcome):
        frame = frame.assign(task=range(len(frame)))
        no = frame.assign(price=0.0, alternative="no", **{outcome: 1 - frame[outcome]})
        return pd.concat([frame.assign(alternative="yes"), no])

    sets = menu(humans, "choice"), menu(beliefs, "belief")
    options = {"model": "clogit", "case": "task", "base": "no", "design": design, "reps": 2}
    for target, one, other in (
        ("price", {}, {}),
        ("wtp", {}, {"attribute": "yes"}),
        ("share", {"at": 38.0}, {"focal": "yes", "at": 38.0}),
    ):
        binary = calibrate(humans, beliefs, target=target, design=design, reps=2, **one)
        found = calibrate(*sets, target=target, **options, **other)
        assert found.lam == pytest.approx(binary.lam, rel=1e-6)
        assert found.rho == pytest.approx(binary.rho, rel=1e-6)
        order = ["const:yes", "price"]
        np.testing.assert_allclose(found.params[order], binary.params, rtol=1e-7)
        np.testing.assert_allclose(found.cov.loc[order, order], binary.cov, rtol=1e-6)
        np.testing.assert_allclose(
            found.table[["estimate", "se"]], binary.table[["estimate", "se"]], rtol=1e-6
        )
        assert found.imbalance == pytest.approx(binary.imbalance, rel=1e-6)


def test_n_eff_is_the_closed_form_where_both_sides_have_one_variance():
    """The pool's beliefs are those of the humans three times over."""
    humans, beliefs = complete(humans=400, llm=0, answers=1)
    copies = [
        beliefs.assign(respondent_id=f"copy{k} " + beliefs["respondent_id"]) for k in (1, 2, 3)
    ]
    found = calibrate(humans, pd.concat([beliefs, *copies]), reps=2)
    assert 0 < found.tuning.lam_raw < 1
    ratio = effective_n(found.tuning.rho_raw, 400, 1200) / 400
    assert found.n_eff == pytest.approx(effective(400, ratio), rel=2e-3)
    low, high = found.tuning.table.loc["n_eff", ["lower", "upper"]]
    ends = found.tuning.table.loc["rho", ["lower", "upper"]]
    assert [low, high] == pytest.approx(
        [effective_n(r, 400, 1200) / (1 + 1 / 397) for r in ends], rel=2e-3
    )


@pytest.mark.parametrize("target", ["price", "share", "elasticity", "wtp"])
def test_the_tuned_lambda_makes_the_variance_of_its_target_least(target):
    humans, beliefs = ragged(seed=4, humans=200, llm=400)
    at = 38.0 if target in ("share", "elasticity") else None
    tuned = calibrate(humans, beliefs, target=target, at=at, reps=2)
    assert 0.05 < tuned.lam < 1
    grid = np.linspace(0, 1, 11)
    others = [calibrate(humans, beliefs, target=target, at=at, lam=v, reps=2) for v in grid]
    same = calibrate(humans, beliefs, target=target, at=at, lam=tuned.lam, reps=2)
    assert all(o.n_eff <= same.n_eff * (1 + 1e-12) for o in others)
    assert tuned.n_eff < same.n_eff  # what is tuned costs
    # Where estimates move with lambda so do the derivatives that errors are made of.
    se = [o.table.loc["calibrated", "se"] for o in others]
    assert same.table.loc["calibrated", "se"] <= min(se) * 1.03
    assert same.table.loc["calibrated", "se"] < max(se) / 1.02
    np.testing.assert_allclose(tuned.bse / same.bse, np.sqrt(1 + 2 / tuned.tuning.humans))


def test_lambda_is_tuned_to_what_is_asked_for():
    """With all prices answered a taste cancels from the slope: the LLM helps with shares."""
    humans, beliefs = complete(humans=300, llm=900)
    slope = calibrate(humans, beliefs, reps=2)
    share = calibrate(humans, beliefs, target="share", at=37.0, reps=2)
    assert slope.n_eff < 330 < 400 < share.n_eff


@pytest.mark.parametrize(
    ("name", "at", "analytic"),
    [
        ("price", None, lambda a, b, s: [0, 1]),
        ("share", 36.0, lambda a, b, s: [s * (1 - s), 36 * s * (1 - s)]),
        ("elasticity", 36.0, lambda a, b, s: [
            -b * 36 * s * (1 - s), 36 * (1 - s) - b * 36 * s * (1 - s) * 36
        ]),
        ("wtp", None, lambda a, b, s: [-1 / b, a / b**2]),
    ],
)  # fmt: skip
def test_derivatives_of_targets_are_the_analytic_ones(name, at, analytic):
    humans, beliefs = complete()
    fit = calibrate(humans, beliefs, reps=2)
    a, b = fit.params
    s = 1 / (1 + np.exp(-a - b * 36))
    found = Target(name, at, "price", "choice").gradient(fit)
    np.testing.assert_allclose(found, analytic(a, b, s), rtol=1e-6)


def test_the_derivative_of_a_mean_share_is_weighted_by_the_design():
    humans, beliefs = ragged()
    fit = calibrate(humans, beliefs, design=dict(zip(PRICES, (4, 3, 2, 1), strict=True)), reps=2)
    x = np.column_stack([np.ones(4), PRICES])
    mu = 1 / (1 + np.exp(-x @ fit.params))
    expected = (np.array([0.4, 0.3, 0.2, 0.1]) * mu * (1 - mu)) @ x
    found = Target("share", None, "price", "choice").gradient(fit)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_derivatives_of_a_conditional_logit_are_the_analytic_ones():
    humans, beliefs = markets()
    fit = calibrate(humans, beliefs, model="clogit", case="task", reps=2)
    b = fit.params
    found = Target("wtp", None, "price", None, "b").gradient(fit)
    np.testing.assert_allclose(
        found, [b["const:b"] / b["price"] ** 2, -1 / b["price"], 0], rtol=1e-6, atol=1e-9
    )
    eta = b["price"] * MENUS + np.array([0, b["const:b"], b["const:c"]])
    p = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    pb = p[:, 1]
    expected = [
        np.mean(pb * (MENUS[:, 1] - (p * MENUS).sum(axis=1))),
        np.mean(pb * (1 - pb)),
        np.mean(-pb * p[:, 2]),
    ]
    found = Target("share", None, "price", "b").gradient(fit)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_sampled_rows_have_the_sandwich_of_the_rows():
    """Regressors of each respondent's own; scores centred over respondents."""
    humans, beliefs = ragged(seed=5)
    lam = 0.4
    found = calibrate(humans, beliefs, design="sampled", lam=lam, reps=2)
    own = beliefs.groupby(["respondent_id", "price"])["belief"].mean().rename("f").reset_index()
    h = humans.merge(own, how="left")
    pool = beliefs[~beliefs["respondent_id"].isin(humans["respondent_id"])]
    b = found.params.to_numpy()

    def parts(frame, residual):
        x = np.column_stack([np.ones(len(frame)), frame["price"]])
        mu = 1 / (1 + np.exp(-x @ b))
        scores = pd.DataFrame(x * np.asarray(residual)[:, None] / len(frame))
        sums = scores.groupby(frame["respondent_id"].to_numpy()).sum().to_numpy()
        n = len(sums)
        centred = (sums - sums.mean(axis=0)) * np.sqrt(n / (n - 1))
        return centred.T @ centred, (x * (mu * (1 - mu))[:, None]).T @ x / len(frame), sums

    mu_h = 1 / (1 + np.exp(-b[0] - b[1] * h["price"].to_numpy()))
    mu_p = 1 / (1 + np.exp(-b[0] - b[1] * pool["price"].to_numpy()))
    own_meat, own_hessian, left = parts(h, h["choice"] - mu_h - lam * (h["f"] - mu_h))
    pool_meat, pool_hessian, right = parts(pool, lam * (pool["belief"].to_numpy() - mu_p))
    np.testing.assert_allclose(left.sum(axis=0) + right.sum(axis=0), 0, atol=1e-9)
    bread = np.linalg.inv((1 - lam) * own_hessian + lam * pool_hessian)
    np.testing.assert_allclose(found.cov, bread @ (own_meat + pool_meat) @ bread, rtol=1e-8)


def test_bootstrap_refits_spread_as_the_covariance_says():
    """Half of the variance is that of the few further respondents."""
    humans, beliefs = complete(humans=300, llm=100, answers=1)
    found = calibrate(humans, beliefs, target="share", at=37.0, lam=1.0, reps=2)
    draws = found.draws(reps=200, seed=1)
    spread = np.std(draws, axis=0)
    np.testing.assert_allclose(spread, found.bse, rtol=0.15)  # Monte Carlo: 5 %


def test_intervals_of_lambda_rho_and_n_eff_hold_their_estimates():
    humans, beliefs = complete(answers=1)
    found = calibrate(humans, beliefs, reps=2)
    table, n = found.tuning.table, found.tuning.humans
    assert (table["lower"] < table["estimate"]).all()
    assert (table["estimate"] < table["upper"]).all()
    np.testing.assert_allclose(table.loc["humans saved"], table.loc["n_eff"] - n, rtol=1e-12)
    wide = calibrate(humans, beliefs, alpha=0.5, reps=2).tuning.table
    assert (wide["upper"] - wide["lower"] < table["upper"] - table["lower"]).all()


def test_the_error_of_rho_is_that_of_leaving_each_human_out():
    """Fisher's z again and again without one of the humans."""
    rng = np.random.default_rng(3)
    r = rng.normal(size=40)
    q = r + rng.normal(size=40) ** 2
    r, q, pool = r - r.mean(), q - q.mean(), rng.normal(size=200)
    law = Contributions(r, q, pool).law
    zs = [np.arctanh(np.corrcoef(np.delete(r, i), np.delete(q, i))[0, 1]) for i in range(40)]
    assert law.z == pytest.approx(np.arctanh(np.corrcoef(r, q)[0, 1]))
    assert law.se == pytest.approx(np.sqrt(39 / 36 * np.sum((zs - np.mean(zs)) ** 2)))
    assert 0 < law.df < 38
    assert law.quantile(0.975) == pytest.approx(
        np.tanh(law.z + stats.t.ppf(0.975, law.df) * law.se)
    )


def test_a_lambda_above_one_stretches_beliefs_that_vary_too_little():
    """The same beliefs drawn to the middle: the same estimate with a larger lambda."""
    humans, beliefs = complete(humans=200, llm=400, answers=1)
    flat = beliefs.assign(belief=0.5 + 0.05 * (beliefs["belief"] - 0.5))
    one, other = calibrate(humans, beliefs, reps=2), calibrate(humans, flat, reps=2)
    assert other.lam == pytest.approx(20 * one.lam)
    agree(one, other, 1e-8)
    assert other.n_eff == pytest.approx(one.n_eff) and one.n_eff > 210
    assert "vary less than the answers" in " ".join(other.notes)
    fixed = calibrate(humans, flat, lam=other.lam, reps=2)
    np.testing.assert_allclose(fixed.params, other.params, rtol=1e-9)


def test_of_sampled_rows_lambda_stays_where_a_maximum_is_guaranteed():
    humans, beliefs = complete(humans=200, llm=400, answers=1)
    flat = beliefs.assign(belief=beliefs["belief"].mean() + 0.1 * (beliefs["belief"] - 0.5))
    found = calibrate(humans, flat, design="sampled", reps=2)
    most = found.moments.most(found.fits["humans only"].params.to_numpy())
    assert 1 <= most < np.inf
    assert found.lam == min(max(found.tuning.lam_raw, 0), most)
    assert found.moments.bread(found.moments.parts(most), found.params.to_numpy())[1, 1] > 0


# What must not matter -----------------------------------------------------------------------


RAGGED = ragged(seed=7)
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def base():
    return calibrate(*RAGGED, reps=2)


@settings(max_examples=15)
@given(seed=SEEDS)
def test_the_order_of_rows_does_not_matter(base, seed):
    humans, beliefs = (f.sample(frac=1, random_state=seed) for f in RAGGED)
    agree(calibrate(humans, beliefs, reps=2), base)


@settings(max_examples=15)
@given(seed=SEEDS)
def test_names_of_respondents_do_not_matter(base, seed):
    ids = sorted(set(RAGGED[1]["respondent_id"]))
    other = dict(zip(ids, np.random.default_rng(seed).permutation(ids), strict=True))
    humans, beliefs = (f.assign(respondent_id=f["respondent_id"].map(other)) for f in RAGGED)
    agree(calibrate(humans, beliefs, reps=2), base)


@settings(max_examples=15)
@given(factor=st.floats(0.01, 1000.0))
def test_the_unit_of_prices_scales_the_coefficient(base, factor):
    humans, beliefs = (f.assign(price=f["price"] * factor) for f in RAGGED)
    found = calibrate(humans, beliefs, reps=2)
    scale = np.array([1.0, factor])
    np.testing.assert_allclose(found.params * scale, base.params, rtol=1e-7)
    np.testing.assert_allclose(found.cov * np.outer(scale, scale), base.cov, rtol=1e-6)
    assert found.lam == pytest.approx(base.lam, rel=1e-6)
    assert found.n_eff == pytest.approx(base.n_eff, rel=1e-6)
    assert found.imbalance == pytest.approx(base.imbalance, rel=1e-5)


@settings(max_examples=6)
@given(times=st.integers(2, 5))
def test_equal_runs_of_the_llm_are_no_further_respondents(base, times):
    humans, beliefs = RAGGED
    found = calibrate(humans, pd.concat([beliefs] * times), reps=2)
    agree(found, base)
    assert (found.tuning.llm, found.n_eff) == (base.tuning.llm, pytest.approx(base.n_eff))


def test_the_beliefs_of_other_people_do_matter(base):
    """The join is by respondent: the same beliefs dealt to other humans are worth less."""
    humans, beliefs = RAGGED
    people = sorted(set(humans["respondent_id"]))
    next_one = dict(zip(people, people[1:] + people[:1], strict=True))
    own = beliefs["respondent_id"].isin(people)
    dealt = beliefs.assign(
        respondent_id=beliefs["respondent_id"].map(next_one).where(own, beliefs["respondent_id"])
    )
    assert calibrate(humans, dealt, na="drop", reps=2).rho < 0.3 < base.rho


# Means outside [0, 1] -----------------------------------------------------------------------


def saturated(shares, human_beliefs, pool_beliefs, prices, n=20):
    """People at some prices with given shares and beliefs, one row each, exact in the mean."""
    rows, pool = [], []
    for k, price in enumerate(prices):
        ones = round(shares[k] * n)
        for i in range(n):
            lean = 0.02 * (-1) ** i
            rows.append((f"h{k}-{i}", price, float(i < ones), human_beliefs[k] + lean))
            pool.append((f"p{k}-{i}", price, pool_beliefs[k] + lean))
    humans = pd.DataFrame(rows, columns=["respondent_id", "price", "choice", "belief"])
    return humans, pd.DataFrame(pool, columns=["respondent_id", "price", "belief"])


@pytest.mark.filterwarnings("ignore:the LLM's beliefs:llmdemand.calibration.ppi.CalibrationWarning")
def test_means_outside_zero_and_one_are_not_clipped():
    """The estimate is the maximum of the loss written down row by row."""
    prices = (1.0, 2.0, 3.0, 4.0)
    humans, beliefs = saturated(
        (0.95, 0.4, 0.6, 0.05), (0.6, 0.5, 0.5, 0.6), (0.8, 0.5, 0.5, 0.4), prices
    )
    pairs = pair(humans, beliefs)
    moments = Moments(pairs)
    y, f = (moments.means(pairs.humans, v) for v in (pairs.humans.y, pairs.humans.f))
    m = y + moments.means(pairs.pool, pairs.pool.f) - f
    assert m.max() > 1.1
    assert m.min() < -0.1
    found = calibrate(humans, beliefs, lam=1.0, reps=2)

    def loss(b):
        def part(frame, outcome):
            eta = b[0] + b[1] * frame["price"]
            return np.mean(np.logaddexp(0, eta) - outcome * eta)

        return (
            part(humans, humans["choice"])
            - part(humans, humans["belief"])
            + part(beliefs, beliefs["belief"])
        )

    best = optimize.minimize(loss, [0.0, 0.0], method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(found.params, best.x, rtol=1e-5)
    clipped = np.clip(m, 0, 1)
    other = ld.fraclogit("m ~ price", pd.DataFrame({"m": clipped, "price": prices}))
    assert not np.allclose(found.params, other.params, rtol=0.05)


@pytest.mark.filterwarnings("ignore:the LLM's beliefs:llmdemand.calibration.ppi.CalibrationWarning")
def test_without_a_maximum_there_is_no_estimate():
    humans, beliefs = saturated((0.9, 0.3), (0.5, 0.5), (0.7, 0.5), (1.0, 2.0))
    with pytest.raises(
        DesignError, match=r"from the calibrated cell means: .* no finite coefficient fits them"
    ):
        calibrate(humans, beliefs, lam=1.0)
    # A smaller lambda has one: 0.9 + 0.4 * 0.2 < 1.
    found = calibrate(humans, beliefs, lam=0.4, reps=2)
    a, b = found.params
    assert 1 / (1 + np.exp(-a - b)) == pytest.approx(0.98)


def combined(rng, outside):
    """Cells of two regressors, once with outcomes and once more, negatively, with beliefs."""
    cases = 5
    sizes = np.ones(cases, int) if outside else rng.integers(2, 4, cases)
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    x = rng.normal(size=(sizes.sum(), 2))
    weight = rng.dirichlet(np.ones(cases))

    def outcomes():
        if outside:
            return rng.random(cases)
        raw = rng.random(sizes.sum())
        return raw / np.repeat(np.add.reduceat(raw, start), sizes)

    spread = rng.choice([0.3, 1.0, 4.0])
    parts = []
    for coefficient in (1.0, -spread, spread):
        y = outcomes()
        if coefficient == 1.0 and rng.random() < 0.3 and outside:
            y = np.round(y)
        parts.append((coefficient, logit_data(x, y, start, weight, outside=outside)))
    return Combined(parts), x, start, sizes, weight


@pytest.mark.parametrize("outside", [True, False])
def test_directions_without_a_maximum_are_those_of_brute_force(outside):
    """The slope of the objective far out, in 4,000 directions around the circle."""
    rng, with_one, without = np.random.default_rng(1), 0, 0
    angle = np.linspace(0, 2 * np.pi, 4001)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    for _ in range(100):
        data, x, start, _, weight = combined(rng, outside)
        total = sum(
            c * ((weight * p.mean) @ p.x if outside else
                 (np.repeat(weight, np.diff(np.append(start, len(x)))) * p.y) @ p.x)
            for c, p in data.parts
        )  # fmt: skip
        along = x @ circle.T
        top = np.maximum(along, 0) if outside else np.maximum.reduceat(along, start)
        slope = circle @ total - weight @ top
        if abs(slope.max()) < 1e-3:
            continue  # too close for a grid
        direction = data.separating_direction()
        assert (direction is not None) == (slope.max() > 0)
        if direction is None:
            with_one += 1
            continue
        without += 1
        far = 100 * direction / np.linalg.norm(direction)
        assert data.llf(2 * far) > data.llf(far) > data.llf(0 * far)
    assert with_one > 5
    assert without > 5
