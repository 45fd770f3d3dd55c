"""Several models together: normal equations, what they cost, what is refused."""

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.ppi import calibrate
from llmdemand.calibration.proxies.joint import contributions
from llmdemand.calibration.samples.samples import pair
from llmdemand.calibration.target import Target
from llmdemand.errors import DesignError, UsageError


def quick(humans, beliefs, **options):
    return calibrate(humans, beliefs, reps=2, prompt_chosen_on="nobody", **options)


def data(humans=150, llm=600, seed=3):
    """Each of two models knows one half of what people differ by."""
    rng = np.random.default_rng(seed)
    total = humans + llm
    known = rng.standard_normal((2, total))
    price = np.array([30.0, 35.0, 40.0, 45.0])[rng.permutation(total) % 4]
    odds = -0.2 * (price - 37)
    chance = 1 / (1 + np.exp(-odds - 1.5 * known.sum(axis=0)))
    frame = pd.DataFrame(
        {
            "respondent_id": range(total),
            "price": price,
            "choice": (rng.random(total) < chance) * 1.0,
            **{f"m{k}": 1 / (1 + np.exp(-0.5 * odds - 1.5 * known[k])) for k in (0, 1)},
        }
    )
    return frame.iloc[:humans][["respondent_id", "price", "choice"]], frame.drop(columns="choice")


def test_weights_are_the_normal_equations_of_contributions():
    humans, beliefs = data()
    found = quick(humans, beliefs, proxies=["m0", "m1"])
    pairs = [pair(humans, beliefs, belief=m) for m in ("m0", "m1")]
    parts = contributions(pairs, Target("price"), "humans")
    r = parts[0][0]
    q, p = (np.column_stack([part[k] for part in parts]) for k in (1, 2))
    expected = np.linalg.solve(q.T @ q + p.T @ p, q.T @ r)
    np.testing.assert_allclose(found.proxies["lambda"], expected, rtol=1e-9)
    assert found.lam == pytest.approx(expected.sum()) and found.tuning.weights == 2
    n = len(humans)  # answers of 0 or 1: the normal law, but for what two weights cost
    assert found.df == pytest.approx(1 / (1 / (n - 3) - 1 / (n - 1)))
    # The weighted mean of the models with one lambda is the same calibration.
    share = expected / expected.sum()
    mean = beliefs.assign(belief=beliefs["m0"] * share[0] + beliefs["m1"] * share[1])
    one = quick(humans, mean, lam=found.lam)
    np.testing.assert_allclose(found.params, one.params, rtol=1e-9)
    np.testing.assert_allclose(found.cov, one.cov * (1 + 4 / len(humans)), rtol=1e-9)


def test_two_models_that_know_different_things_are_worth_more_together():
    humans, beliefs = data(400, 2000)
    level = {"target": "share", "at": 35}
    alone = [quick(humans, beliefs, belief=m, **level).n_eff for m in ("m0", "m1")]
    both = quick(humans, beliefs, proxies=["m0", "m1"], **level)
    assert both.n_eff > max(alone) + 20
    assert (both.proxies["lambda"] > 2 * both.proxies["se"]).all()


def test_a_model_that_says_nothing_costs_humans():
    """Noise gets a weight of chance; what is said to be had does not grow with it."""
    said = []
    for seed in range(12):
        humans, beliefs = data(60, 300, seed)
        noise = np.random.default_rng(100 + seed).random((3, len(beliefs)))
        more = beliefs.assign(**{f"n{k}": noise[k] for k in range(3)})
        one = quick(humans, beliefs, belief="m0").n_eff
        said.append(quick(humans, more, proxies=["m0", "n0", "n1", "n2"]).n_eff - one)
    # Four weights on 60 humans: about 1 + 3 / 54 of the variance more; in sample it would look
    # like 3 / 59 less. Standard error of the mean of 12: about 1.5 humans.
    assert -12 < np.mean(said) < 3


def test_tables_by_model_are_columns_of_one():
    humans, beliefs = data()
    tables = {
        m: beliefs[["respondent_id", "price", m]].rename(columns={m: "belief"})
        for m in ("m0", "m1")
    }
    one, other = quick(humans, tables), quick(humans, beliefs, proxies=["m0", "m1"])
    np.testing.assert_allclose(one.params, other.params, rtol=1e-9)
    assert list(one.proxies.index) == ["m0", "m1"]
    fewer = {**tables, "m1": tables["m1"].iloc[:-7]}
    with pytest.raises(DesignError, match="7 of 750 questions"):
        quick(humans, fewer)
    dropped = quick(humans, fewer, na="drop")
    assert dropped.tuning.llm == 593 and any("7 of 750" in n for n in dropped.notes)
    with pytest.raises(UsageError, match="at least two"):
        quick(humans, {"m0": tables["m0"]})


def test_proxies_by_stratum():
    humans, beliefs = data(400, 1600)
    where = {"segment": np.where(np.arange(2000) % 2, "a", "b")}
    humans = humans.assign(segment=where["segment"][:400])
    found = quick(humans, beliefs.assign(**where), proxies=["m0", "m1"], strata="segment")
    assert list(found.proxies.index) == ["m0, a", "m0, b", "m1, a", "m1, b"]
    assert found.tuning.weights == 4 and found.tuning.rule == "by stratum"


def test_models_that_say_the_same_are_refused_and_those_that_nearly_do_are_named():
    humans, beliefs = data()
    same = beliefs.assign(again=0.5 * beliefs["m0"] + 0.2)
    with pytest.raises(DesignError, match=r"'m0' and 'again', correlation 1\.000000"):
        quick(humans, same, proxies=["m0", "m1", "again"])
    rng = np.random.default_rng(1)
    near = beliefs.assign(near=(beliefs["m0"] + rng.normal(0, 0.02, len(beliefs))).clip(0, 1))
    found = quick(humans, near, proxies=["m0", "near"])
    assert any("nearly say the same" in n for n in found.notes)
    flat = quick(humans, beliefs.assign(flat=0.5), proxies=["m0", "flat"])
    assert flat.proxies.loc["flat", "lambda"] == 0 and flat.tuning.weights == 1
    assert any("'flat' does not vary" in n for n in flat.notes)
    with pytest.raises(DesignError, match="at least 10"):
        quick(humans.iloc[:19], beliefs, proxies=["m0", "m1"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"proxies": ["m0"]}, "at least two"),
        ({"proxies": "m0"}, "as a list"),
        ({"proxies": ["m0", "m1"], "lam": 0.5}, "are tuned"),
        ({"proxies": ["m0", "m1"], "prompts": ["m0", "m1"]}, "one of them"),
    ],
)
def test_what_proxies_are_not(options, words):
    humans, beliefs = data(40, 80)
    with pytest.raises(UsageError, match=words):
        calibrate(humans, beliefs, reps=2, **options)


def test_sampled_rows_and_choice_sets():
    """Nine set-ups of a model on cars: the three best together, on people drawn as a pool."""
    cars = ld.load_humans("cars")
    setups = [c for c in cars if c.startswith("choice_")][:2]
    who = cars["respondent_id"].unique()
    humans = cars[cars["respondent_id"].isin(who[:60])]
    pool = cars[~cars["respondent_id"].isin(who[:60])]
    found = quick(
        humans,
        pd.concat([humans, pool]),
        formula="choice ~ price + seat4 + seat5 + trans + convert | 0",
        model="clogit",
        case="task",
        design="sampled",
        proxies=setups,
    )
    assert len(found.proxies) == 2 and np.isfinite(found.table["se"]).all()
    moments = found.moments
    assert isinstance(moments, Moments) and moments.most(found.params.to_numpy()) >= found.lam
