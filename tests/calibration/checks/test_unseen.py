"""What the comparison of beliefs could not see: its power as said, and what is left to fear."""

import warnings

import numpy as np
import pytest

import llmdemand as ld
from llmdemand.calibration.checks.laws import compare_laws
from llmdemand.calibration.checks.unseen import unseen
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.samples.samples import pair


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def prepared(seed, humans=100):
    data = ld.paired_panel(humans=humans, llm=5 * humans, answers=1, seed=seed)
    pairs = pair(data.humans, data.beliefs)
    moments = Moments(pairs)
    plain = moments.solve(moments.parts(0.0), "")
    direction = moments.bread(moments.parts(0.0), plain) @ np.array([0.0, 1.0])
    found = unseen(moments, moments.scores(plain), direction, 1.0, 1.0)
    odds = np.log(pairs.pool.f) - np.log1p(-pairs.pool.f)
    return pairs, direction, found, odds


def test_a_shift_of_the_size_that_is_said_is_seen_about_four_times_of_five():
    """25 samples: .8 is seen within 3 standard errors of .08; half of the shift is seldom seen."""
    seen = {1.0: 0, 0.5: 0}
    for seed in range(25):
        pairs, direction, found, odds = prepared(seed)
        for part in seen:
            shifted = pairs.with_beliefs(pairs.humans.f, sigmoid(odds + part * found.shift))
            moments = Moments(shifted)
            laws = compare_laws(
                *moments.told,
                moments.row_names,
                direction=moments.moves(direction),
                reps=199,
                seed=seed,
            )
            seen[part] += laws.p < 0.0101
    assert seen[1.0] / 25 > 0.8 - 3 * 0.08
    assert seen[0.5] / 25 < 0.6


def test_the_estimate_moves_as_far_as_is_said():
    data = ld.paired_panel(humans=100, llm=500, answers=1, seed=4)
    options = {"target": "share", "at": 35, "reps": 2, "prompt_chosen_on": "nobody"}
    found = ld.calibrate(data.humans, data.beliefs, **options)
    hidden = found.unseen
    pool = ~data.beliefs["respondent_id"].isin(data.humans["respondent_id"])
    f = data.beliefs["belief"]
    odds, moved = np.log(f) - np.log1p(-f), []
    for sign in (-1, 1):
        belief = f.where(~pool, sigmoid(odds + sign * hidden.shift))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ld.CalibrationWarning)
            other = ld.calibrate(
                data.humans, data.beliefs.assign(belief=belief), **{**options, "lam": found.lam}
            )
        gap = other.table.loc["calibrated", "estimate"] - found.table.loc["calibrated", "estimate"]
        moved.append(abs(gap))
    assert max(moved) == pytest.approx(hidden.moved, rel=1e-6)
    assert hidden.errors == pytest.approx(hidden.moved / found.table.loc["calibrated", "se"])
    evidence = found.assumptions.set_index("assumption")["evidence"]
    assert hidden.sentence in evidence["humans and LLM respondents come from one population"]


def test_more_humans_see_smaller_shifts_and_sampled_rows_have_none():
    shifts = [prepared(1, n)[2].shift for n in (40, 100, 400)]
    assert shifts == sorted(shifts, reverse=True) and shifts[0] > 2 * shifts[2]
    data = ld.paired_panel(humans=60, llm=120, answers=1, seed=4)
    found = ld.calibrate(
        data.humans, data.beliefs, design="sampled", reps=2, prompt_chosen_on="nobody"
    )
    assert found.unseen is None
