"""The claim, carried to heterogeneity: belief needs fewer runs than choice for the spread."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import UsageError

PEOPLE, RUNS = 60, 8


@pytest.fixture(scope="module")
def pool():
    table = pd.DataFrame({"respondent_id": [f"r{k:02d}" for k in range(PEOPLE)]})
    study = ld.load_study("pampers").with_respondents(table)
    backend = ld.SyntheticBackend(study, persona_slope_sd=0.15)
    slopes = [backend.consumer.parameters(f"r{k:02d}")[0] for k in range(PEOPLE)]
    return ld.simulate(study, backend, runs=RUNS, seed=1), float(np.std(slopes, ddof=1))


def test_belief_needs_fewer_runs_than_choice(pool):
    found = ld.spread_needed(
        pool[0], truth=pool[1], runs=(1, 2, 4, 8), tolerance=0.15, confidence=0.8, replications=12
    )
    by = found.table.set_index(["outcome", "runs"])
    assert found.needed["belief"] <= 2
    assert not found.ratio <= 2  # NaN: choice needs more than the pool has
    rmse, sd = by["rmse"], by["sd"]
    assert rmse["choice", 1] > 2 * rmse["belief", 1]
    # One run of belief leaves less chance than four of choice.
    assert sd["belief", 1] < sd["choice", 4]
    assert (by["failed"] == 0).all()
    assert abs(by.loc[("belief", 8), "bias"]) < 0.1
    ax = found.plot()
    assert ax.get_legend_handles_labels()[1] == ["truth", "belief", "choice"]
    text = found.summary()
    assert "of the known one with probability 80 %" in text and "spread of price over 60" in text


def test_against_the_pool_itself(pool):
    found = ld.spread_needed(pool[0], runs=(2, 4), replications=4, seed=2)
    fit = ld.tastes(pool[0])
    assert found.aim["belief"] == pytest.approx(fit.spread["price"], rel=1e-3)
    assert "the pool's (8 runs per prompt)" in found.summary()
    again = ld.spread_needed(pool[0], runs=(2, 4), replications=4, seed=2)
    pd.testing.assert_frame_equal(found.table, again.table)
    other = ld.spread_needed(pool[0], runs=(2, 4), replications=4, seed=3)
    assert not np.allclose(found.table["mean"], other.table["mean"])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"term": "prise"}, "did you mean 'price'"),
        ({"runs": (8,)}, "1 to 7 can be drawn and compared with it"),
        ({"runs": (9,), "truth": 0.1}, "1 to 8 can be drawn"),
        ({"truth": 0.0}, "a positive number"),
        ({"replications": 0}, "draw once or more"),
        ({"tolerance": 0}, "must be positive"),
    ],
)
def test_what_is_refused(pool, asked, words):
    with pytest.raises(UsageError, match=words):
        ld.spread_needed(pool[0], **asked)


def test_a_pool_of_one_run_and_the_pool_as_the_only_draw(pool):
    panel = pool[0]
    one = replace(panel, frame=panel.frame[panel.frame["replicate"] == 0].reset_index(drop=True))
    with pytest.raises(UsageError, match="the pool has 1 run per prompt"):
        ld.spread_needed(one, replications=1)
    found = ld.spread_needed(one, truth=pool[1], replications=2)
    assert "of 1 runs the pool is the only draw" in found.summary()
