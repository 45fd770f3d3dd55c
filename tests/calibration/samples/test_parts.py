"""Calibration by a panel in parts: the humans' runs are all there, others as far as they fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.calibration.discrepancy import discrepancy
from llmdemand.calibration.ppi import calibrate
from llmdemand.core.shards.shards import write_shards


@pytest.fixture(scope="module")
def panel():
    """126 households see two prices."""
    study = ld.load_study("pampers-households")
    people = tuple({**study.personas[k % 8], "id": f"h{k}"} for k in range(126))
    prices = {name: values[-1:] for name, values in study.prices.items()}
    prices["pampers"] = (30.0, 40.0)
    study = replace(study, personas=people, prices=prices)
    return ld.simulate(study, "synthetic", runs=1, seed=1)


@pytest.fixture(scope="module")
def humans(panel):
    """A third of the households, 42; what they choose is drawn anew."""
    rows = panel.frame[panel.frame["persona_id"].isin(panel.frame["persona_id"].unique()[::3])]
    chosen = np.random.default_rng(0).random(len(rows)) < 0.3 + 0.4 * rows["belief_pampers"]
    columns = {"respondent_id": rows["persona_id"], "price": rows["price_pampers"]}
    return pd.DataFrame({**columns, "choice": chosen.astype(int)}).reset_index(drop=True)


@pytest.fixture(scope="module")
def shards(panel, tmp_path_factory):
    rows = panel.frame.iloc[::-1].reset_index(drop=True)
    return write_shards(
        replace(panel, frame=rows), tmp_path_factory.mktemp("parts"), rows=len(panel) // 3 + 1
    )


def test_all_of_it_gives_what_the_panel_gives(panel, humans, shards):
    one, many = (calibrate(humans, beliefs, reps=2) for beliefs in (panel, shards))
    pd.testing.assert_frame_equal(one.tidy(), many.tidy(), rtol=1e-6)
    one, many = (discrepancy(humans, beliefs) for beliefs in (panel, shards))
    assert one.summary() == many.summary()


def test_humans_come_before_others(panel, humans, shards, monkeypatch):
    monkeypatch.setattr("llmdemand.core.shards.sample.MOST", 2 * len(panel) // 3)
    found = replace(shards).people(humans["respondent_id"].unique())
    people = set(found.frame["persona_id"])
    assert set(humans["respondent_id"]) < people < set(panel.frame["persona_id"])
    some = calibrate(humans, shards, reps=2)
    assert any("drawn by their names" in note for note in some.notes)
