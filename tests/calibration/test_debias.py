"""Predict, then debias: PPI++ for means, any statistic besides."""

import numpy as np
import pandas as pd
import pytest

from llmdemand import calibrate, debias, fraclogit, paired_panel
from llmdemand.errors import DesignError, UsageError


@pytest.fixture(scope="module")
def data():
    return paired_panel(humans=150, llm=600, answers=1, seed=4)


def mean(rows, outcome):
    return rows[outcome].mean()


def test_for_a_mean_it_is_the_closed_form(data):
    found = debias(mean, data.humans, data.beliefs, groups=10_000)
    humans = data.humans.merge(data.beliefs, on=["respondent_id", "price"])
    pool = data.beliefs[~data.beliefs["respondent_id"].isin(data.humans["respondent_id"])]
    y, f, g = (v.to_numpy() for v in (humans["choice"], humans["belief"], pool["belief"]))
    n, more = len(y), len(g)
    cov = np.cov(y, f)
    lam = cov[0, 1] / n / (cov[1, 1] / n + g.var(ddof=1) / more)
    estimate = y.mean() - lam * (f.mean() - g.mean())
    variance = cov[0, 0] / n - lam * cov[0, 1] / n
    assert found.omega.iloc[0, 0] == pytest.approx(lam)
    assert found.table["estimate"].iloc[0] == pytest.approx(estimate)
    assert found.table["se"].iloc[0] == pytest.approx(np.sqrt(variance * (1 + 2 / n)))
    assert found.df == n - 2


def test_the_influence_function_of_a_mean_gives_the_same(data):
    def influence(rows, outcome):
        return (rows[outcome] - rows[outcome].mean()) / len(rows)

    plain = debias(mean, data.humans, data.beliefs, groups=10_000)
    given = debias(mean, data.humans, data.beliefs, influence=influence)
    pd.testing.assert_frame_equal(plain.table, given.table, rtol=1e-9)
    assert "influence" in given.errors and "jackknife" in plain.errors


def coefficients(rows, outcome):
    return fraclogit(f"{outcome} ~ price", rows).params


def coefficient_errors(rows, outcome):
    """The influence function of the logit, over the number of rows."""
    x = np.column_stack([np.ones(len(rows)), rows["price"]])
    mu = 1 / (1 + np.exp(-x @ coefficients(rows, outcome)))
    information = (x * (mu * (1 - mu))[:, None]).T @ x
    return x * (rows[outcome].to_numpy() - mu)[:, None] @ np.linalg.inv(information)


def test_logit_coefficients_are_nearly_those_of_calibrate(data):
    options = {"influence": coefficient_errors}
    found = debias(coefficients, data.humans, data.beliefs, **options)
    known = calibrate(data.humans, data.beliefs).table.loc["calibrated"]
    row = found.table.loc["price"]
    assert row["estimate"] == pytest.approx(known["estimate"], abs=0.25 * known["se"])
    assert row["se"] == pytest.approx(known["se"], rel=0.08)
    full = debias(coefficients, data.humans, data.beliefs, tune="full", **options)
    # Two weights for each number cost more than one.
    cost = np.sqrt((1 + 4 / 150) / (1 + 2 / 150))
    assert (full.table["se"] <= cost * found.table["se"] + 1e-12).all()
    one = debias(coefficients, data.humans, data.beliefs, tune="none", **options)
    assert np.array_equal(one.omega, np.eye(2))


def test_a_useless_llm_costs_nothing(data):
    flat = data.beliefs.assign(belief=0.5)
    found = debias(mean, data.humans, flat).table.iloc[0]
    assert found["estimate"] == found["humans_only"] and found["n_eff"] == pytest.approx(150)


@pytest.mark.filterwarnings("ignore:the LLM's beliefs for the humans:llmdemand.CalibrationWarning")
def test_intervals_keep_their_promise_roughly():
    """The truth from three million humans; sixty samples of 150."""
    rng, truth = np.random.default_rng(0), 0.0
    z = rng.standard_normal(3_000_000)
    price = rng.choice([30.0, 35.0, 40.0, 45.0], size=len(z))
    truth = (1 / (1 + np.exp(0.25 * (price - 37) - 2 * z))).mean()
    hits = 0
    for seed in range(60):
        data = paired_panel(humans=150, llm=300, answers=1, seed=seed)
        row = debias(mean, data.humans, data.beliefs, groups=20, reps=2).table.iloc[0]
        hits += row["lower"] <= truth <= row["upper"]
    assert 52 <= hits <= 60


def test_what_cannot_be_is_refused(data):
    with pytest.raises(DesignError, match="no belief of their own"):
        debias(mean, data.humans.assign(price=1.0), data.beliefs)
    own = data.beliefs[data.beliefs["respondent_id"].isin(data.humans["respondent_id"])]
    with pytest.raises(DesignError, match="beyond the humans"):
        debias(mean, data.humans, own)
    with pytest.raises(DesignError, match="'prise'"):
        debias(mean, data.humans, data.beliefs, on=["prise"])
    with pytest.raises(DesignError, match="missing or infinite"):
        debias(mean, data.humans.assign(choice=np.nan), data.beliefs)
    with pytest.raises(DesignError, match="not finite"):
        debias(lambda rows, outcome: float("nan"), data.humans, data.beliefs)
    with pytest.raises(DesignError, match="columns"):
        debias(
            mean,
            data.humans,
            data.beliefs,
            influence=lambda rows, outcome: np.zeros((len(rows), 2)),
        )
    for options in ({"tune": "ful"}, {"groups": 3}, {"alpha": 1.0}, {"seed": -1}):
        with pytest.raises(UsageError):
            debias(mean, data.humans, data.beliefs, **options)
