"""Part-worths and tastes of a panel in parts are those of the whole, where no run is left out."""

from dataclasses import replace

import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.core.experiment.attributes import Attribute
from llmdemand.core.experiment.conjoint import Conjoint
from llmdemand.core.shards.shards import PanelShards, write_shards


def turned(panel, folder):
    """Parts of the rows in another order, as they come from several machines."""
    shards = write_shards(
        replace(panel, frame=panel.frame.iloc[::-1].reset_index(drop=True)),
        folder,
        rows=len(panel) // 3 + 1,
    )
    assert isinstance(shards, PanelShards) and len(shards.parts) == 3
    return shards


def test_conjoint(tmp_path):
    prior = {"price": -0.2, "pads": {"60": 1.0}, "alternatives": {"pampers": 6, "huggies": 6}}
    study = replace(
        ld.load_study("pampers"),
        attributes=(Attribute("pads", (30, 60)),),
        offer="- {label}, {pads} to a pack: {price:.0f} cents",
        prices={"pampers": (25.0, 30.0, 35.0), "huggies": (25.0, 30.0, 35.0)},
        conjoint=Conjoint((12,), prior=prior),
    )
    panel = ld.simulate(study, "synthetic", runs=6, seed=1)
    one, many = ld.conjoint(panel), ld.conjoint(turned(panel, tmp_path))
    pd.testing.assert_series_equal(one.fit.params, many.fit.params, rtol=1e-8)
    pd.testing.assert_frame_equal(one.importances.table, many.importances.table, rtol=1e-6)
    assert not any("drawn" in note for note in many.notes)


@pytest.fixture
def households():
    return ld.simulate(ld.load_study("pampers-households"), "synthetic", runs=1, seed=1)


def test_tastes(households, tmp_path):
    one, many = ld.tastes(households), ld.tastes(turned(households, tmp_path))
    pd.testing.assert_frame_equal(one.table, many.table, rtol=1e-6)
    pd.testing.assert_frame_equal(
        one.individuals.sort_index(), many.individuals.sort_index(), rtol=1e-6
    )
    assert not any("drawn" in note for note in many.notes)


def test_tastes_of_some_people_say_of_whom(households, tmp_path, monkeypatch):
    monkeypatch.setattr("llmdemand.core.shards.sample.MOST", len(households) // 2)
    found = ld.tastes(turned(households, tmp_path))
    some, every = len(found.individuals), len(households.study.personas)
    assert 0 < some < every
    said = f"all those of {some} of {every} persona_ids, drawn by their names"
    assert any(said in note for note in found.notes)
