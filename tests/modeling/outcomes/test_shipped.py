"""Plain and corrected belief of the shipped runs, with whole answers and with one in seven."""

from dataclasses import replace

import numpy as np
import pytest

from llmdemand import fit_demand, load_panel
from llmdemand.modeling.outcomes.frames import default_reading, outcomes


@pytest.fixture(scope="module")
def whole():
    return load_panel("pampers-whole")


def share(found):
    return found.belief[:, 0].sum() / found.read.sum()


def test_corrected_belief_takes_out_what_began_a_brand_and_was_none(whole):
    plain, final = outcomes(whole, "pivot"), outcomes(whole, "final")
    assert share(plain) == pytest.approx(0.5121, abs=5e-5)
    assert share(final) == pytest.approx(0.5055, abs=5e-5)
    assert final.changes == 54 and default_reading(whole) == "final"
    chosen = final.choice.sum(axis=0)
    assert chosen[0] / chosen.sum() == pytest.approx(0.5103, abs=5e-5)


def test_coefficients_as_the_readme_says(whole):
    said = {
        ("belief", "pivot"): (-0.0129, 0.0038),
        ("belief", "final"): (-0.0134, 0.0049),
        ("choice", "final"): (-0.0169, 0.0128),
    }
    for (outcome, reading), (value, error) in said.items():
        fit = fit_demand(whole, outcome, reading=reading)
        assert fit.params["price"] == pytest.approx(value, abs=6e-5)
        assert fit.bse["price"] == pytest.approx(error, abs=6e-5)


def test_whole_answers_of_first_runs_alone_can_be_extended():
    panel = load_panel("pampers")
    frame = panel.frame
    # Runs without a pivot are never stopped; of the others the first of seven is whole.
    pi = np.where(frame["pivot_index"] < 0, 1.0, 1 / 7)
    asked = replace(panel, frame=frame.assign(whole_probability=pi))
    assert share(outcomes(asked, "final")) == pytest.approx(0.5050, abs=5e-5)
    fit = fit_demand(asked, "belief", reading="final")
    assert fit.params["price"] == pytest.approx(-0.0096, abs=6e-5)
