"""Closed forms of effective sample size, thresholds and mixes against enumeration and data."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.paired import paired_panel
from llmdemand.calibration.power import (
    best_mix,
    effective_n,
    least_rho,
    llm_needed,
    rho_of_choice,
)
from llmdemand.calibration.ppi import calibrate_moments
from llmdemand.calibration.samples.samples import pair
from llmdemand.calibration.target import Target
from llmdemand.errors import UsageError

RHOS = st.floats(0.0, 0.99)


def test_effective_n_of_a_worked_example():
    """Ten thousand humans and ten times as many LLM respondents at a correlation of 0.353."""
    assert int(effective_n(0.353, 1e4, 1e5)) == 11277


@given(rho=st.floats(-1, 1), n=st.integers(1, 10_000), llm=st.integers(0, 10**7))
def test_effective_n_is_the_least_variance_over_lambda(rho, n, llm):
    """``(1 - 2 lam rho + lam^2) / n + lam^2 / N`` with unit variances, minimised by hand."""
    assume(llm > 0)
    lam = max(rho, 0.0) * llm / (n + llm)
    variance = (1 - 2 * lam * rho + lam**2) / n + lam**2 / llm
    assert effective_n(rho, n, llm) == pytest.approx(1 / variance, rel=1e-6)


def test_more_llm_respondents_than_any_number_have_a_limit():
    assert effective_n(0.6, 100, math.inf) == pytest.approx(100 / (1 - 0.36))
    assert effective_n(0.6, 100, 1e12) == pytest.approx(effective_n(0.6, 100, math.inf), rel=1e-6)
    assert effective_n(1.0, 100, math.inf) == math.inf


@given(rho=st.floats(0.05, 0.99), n=st.floats(1, 1e4), gain=st.floats(1.0, 50.0))
def test_llm_needed_inverts_effective_n(rho, n, gain):
    goal = n * gain
    found = llm_needed(rho, n, goal)
    assume(found < 1e9)
    assert effective_n(rho, n, found) == pytest.approx(goal, rel=1e-6)


def test_llm_needed_is_infinite_beyond_the_limit():
    assert llm_needed(0.6, 100, 100 / (1 - 0.36) + 0.01) == math.inf
    assert math.isfinite(llm_needed(0.6, 100, 100 / (1 - 0.36) - 0.01))
    assert llm_needed(-0.9, 100, 101) == math.inf


@pytest.mark.parametrize("gamma", [0.001, 0.01, 0.1, 0.4])
def test_least_rho_is_where_the_best_mix_starts_to_ask_the_llm(gamma):
    border, humans = least_rho(gamma), 10**7
    assert best_mix(border + 0.003, 1.0, gamma, n_eff=humans).llm > 0
    assert best_mix(border - 0.003, 1.0, gamma, n_eff=humans).llm == 0
    assert best_mix(border + 0.003, 1.0, gamma, budget=float(humans)).llm > 0
    assert best_mix(border - 0.003, 1.0, gamma, budget=float(humans)).llm == 0


def test_an_llm_as_dear_as_a_human_never_pays():
    assert least_rho(1.0) == math.inf
    assert best_mix(0.99, 1.0, 1.0, n_eff=50).llm == 0


def enumerated(rho, cost_human, cost_llm, goal, fewest):
    """The least cost over all numbers of humans and of LLM respondents that can matter."""
    alone = max(math.ceil(goal), fewest)
    least = alone * cost_human
    llm = np.arange(1, int(least / cost_llm) + 2)
    square = max(rho, 0.0) ** 2
    for n in range(fewest, alone + 1):
        enough = n * (n + llm) / (n + (1 - square) * llm) >= goal * (1 - 1e-12)
        if enough.any():
            least = min(least, n * (cost_human + cost_llm) + llm[enough][0] * cost_llm)
    return least


@settings(max_examples=150)
@given(
    rho=st.floats(-0.5, 1.0), gamma=st.floats(0.02, 1.5), goal=st.integers(1, 60), two=st.booleans()
)
def test_the_cheapest_mix_is_that_of_enumeration(rho, gamma, goal, two):
    fewest = 2 if two else 5
    found = best_mix(rho, 10.0, 10 * gamma, n_eff=goal, fewest=fewest)
    assert found.humans >= fewest
    assert found.n_eff >= goal * (1 - 1e-9)
    assert found.cost == pytest.approx(enumerated(rho, 10.0, 10 * gamma, goal, fewest), rel=1e-9)


@settings(max_examples=150)
@given(rho=st.floats(-0.5, 1.0), gamma=st.floats(0.02, 1.5), budget=st.floats(20.0, 600.0))
def test_the_most_precise_mix_is_that_of_enumeration(rho, gamma, budget):
    found = best_mix(rho, 10.0, 10 * gamma, budget=budget)
    best = float(math.floor(budget / 10 + 1e-9))
    for n in range(2, int(budget / 10) + 1):
        llm = math.floor((budget - n * 10 * (1 + gamma)) / (10 * gamma) + 1e-9)
        if llm > 0:
            best = max(best, effective_n(rho, n, llm))
    assert found.cost <= budget * (1 + 1e-9)
    assert found.n_eff == pytest.approx(best, rel=1e-9)
    assert found.n_eff == pytest.approx(effective_n(rho, found.humans, found.llm))


@settings(max_examples=100)
@given(rhos=st.tuples(RHOS, RHOS), gamma=st.floats(0.001, 0.9), humans=st.integers(2, 3000))
def test_a_better_llm_is_never_dearer_nor_less_precise(rhos, gamma, humans):
    low, high = sorted(rhos)
    costs = [best_mix(r, 10.0, 10 * gamma, n_eff=humans).cost for r in (low, high)]
    assert costs[1] <= costs[0] * (1 + 1e-9)
    worth = [best_mix(r, 10.0, 10 * gamma, budget=10.0 * humans).n_eff for r in (low, high)]
    assert worth[1] >= worth[0] * (1 - 1e-9)


@pytest.mark.parametrize("name", ["price", "share"])
def test_sampled_choices_have_the_attenuated_correlation(name):
    """One draw of each belief, 2,000 humans, 12 times.

    The mean of the correlations' departures from `rho_of_choice` lies within 3 of its standard
    errors, that from belief's own far off.
    """
    target = Target(name, 35.0 if name == "share" else None, "price", "choice")
    gaps, drop = [], []
    for seed in range(12):
        common = {"humans": 2000, "llm": 2000, "answers": 1, "seed": seed}
        belief, choice = paired_panel(**common), paired_panel(**common, runs=1)
        assert belief.humans.equals(choice.humans)
        pairs = pair(belief.humans, belief.beliefs)
        moments = Moments(pairs)
        sure = calibrate_moments(moments, target, reps=2)
        drawn = calibrate_moments(Moments(pair(choice.humans, choice.beliefs)), target, reps=2)
        # Contributions to the target of belief, and of what drawing choices adds to it.
        alone = sure.fits["humans only"]
        params = alone.params.to_numpy()
        direction = moments.bread(moments.parts(0.0), params) @ target.gradient(alone)
        q, f = moments.scores(params).q @ direction, pairs.humans.f
        weight = moments.regressors(pairs.humans) @ direction / len(f)
        v_belief, v_sampling = q @ q, np.sum(weight**2 * f * (1 - f))
        expected = rho_of_choice(sure.rho, v_belief, v_sampling)
        gaps.append(drawn.rho - expected)
        drop.append(drawn.rho - sure.rho)
    error = np.std(gaps, ddof=1) / np.sqrt(len(gaps))
    assert abs(np.mean(gaps)) < 3 * error, (np.mean(gaps), error)
    assert np.mean(drop) < -10 * error


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: effective_n(1.1, 10, 10), "between -1 and 1"),
        (lambda: effective_n(math.nan, 10, 10), "between -1 and 1"),
        (lambda: effective_n(0.5, 0, 10), "positive number of humans"),
        (lambda: effective_n(0.5, 10, -1), "N >= 0"),
        (lambda: least_rho(-0.1), "costs are not negative"),
        (lambda: least_rho(math.nan), "costs are not negative"),
        (lambda: rho_of_choice(0.5, -1.0, 1.0), "give variances"),
        (lambda: rho_of_choice(0.5, 0.0, 0.0), "give variances"),
        (lambda: best_mix(2.0, 1.0, 0.1, n_eff=10), "between -1 and 1"),
        (lambda: best_mix(0.5, 0.0, 0.1, n_eff=10), "above zero"),
        (lambda: best_mix(0.5, 1.0, -0.1, n_eff=10), "above zero"),
        (lambda: best_mix(0.5, 1.0, 0.1), "one of them"),
        (lambda: best_mix(0.5, 1.0, 0.1, n_eff=10, budget=10), "one of them"),
        (lambda: best_mix(0.5, 1.0, 0.1, n_eff=-5), "positive number"),
        (lambda: best_mix(0.5, 1.0, 0.1, n_eff=math.inf), "positive number"),
        (lambda: best_mix(0.5, 10.0, 0.1, budget=15), "at least 2 humans"),
        (lambda: best_mix(0.5, 10.0, 0.0, budget=100), "free"),
    ],
)
def test_impossible_numbers_are_refused(call, said):
    with pytest.raises(UsageError, match=said):
        call()
