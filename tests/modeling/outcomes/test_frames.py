"""Outcomes of panels: labels of a sample, and answers that were stopped."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from llmdemand import fit_demand, load_study, simulate
from llmdemand.belief.final.entered import entered
from llmdemand.modeling.outcomes.frames import default_reading, outcomes


@pytest.fixture(scope="module")
def panel():
    return simulate(load_study("pampers"), "synthetic", runs=20, seed=1)


def truth_of(panel, rng, wrong=0.2):
    """What people would say: what the reader says, but for a share of the runs."""
    ids = [*panel.study.menu.ids, None]
    said = panel.frame["final_choice"].to_numpy(object).copy()
    off = rng.random(len(said)) < wrong
    said[off] = rng.choice(np.array(ids, object), int(off.sum()))
    return said


def with_labels(panel, truth, sample):
    label = np.full(len(panel), None, object)
    label[list(sample)] = truth[list(sample)]
    probability = np.full(len(panel), np.nan)
    probability[list(sample)] = len(sample) / len(panel)
    return replace(panel, frame=panel.frame.assign(label=label, label_probability=probability))


def indicator(panel, truth):
    return np.column_stack([truth == a for a in panel.study.menu.ids]).astype(float)


@pytest.mark.parametrize("coefficient", ["one", "tuned"])
def test_over_all_samples_of_labels_outcomes_are_those_of_the_truth(panel, coefficient):
    part = replace(panel, frame=panel.frame.iloc[: 7 if coefficient == "one" else 60])
    truth = truth_of(part, np.random.default_rng(4), 0.5)
    reader = outcomes(part, "final", coefficient=coefficient)
    z = indicator(part, part.frame["final_choice"].to_numpy(object)) - reader.belief
    n = len(part)
    belief, choice, number = np.zeros_like(z), np.zeros_like(z), 0
    # All samples of 3 of 7; of 60 those of one, which are enough by linearity.
    for sample in itertools.combinations(range(n), 3 if n == 7 else 1):
        found = outcomes(with_labels(part, truth, sample), "final", coefficient=coefficient)
        places = [part.frame["run_id"].tolist().index(r) for r in found.frame["run_id"]]
        belief[places] += found.belief
        choice[places] += found.choice
        number += 1
        np.testing.assert_allclose(found.belief.sum(axis=1), found.read, atol=1e-9)
    np.testing.assert_allclose(choice / number, indicator(part, truth), atol=1e-9)
    np.testing.assert_allclose(belief / number, indicator(part, truth) - z, atol=1e-9)


@pytest.mark.parametrize("outcome", ["belief", "choice"])
@pytest.mark.parametrize("model", ["logit", "clogit", "mnlogit"])
def test_labels_of_all_runs_take_the_readers_place(panel, outcome, model):
    truth = truth_of(panel, np.random.default_rng(5))
    all_of_them = with_labels(panel, truth, range(len(panel)))
    runs = panel.frame["run_id"]
    by_people = entered(panel, dict(zip(runs, truth, strict=True)), "label")
    found, wanted = (
        fit_demand(p, outcome, model=model, reading="final") for p in (all_of_them, by_people)
    )
    np.testing.assert_allclose(found.params, wanted.params, atol=1e-6)
    assert any("corrected by the labels of 320 answers" in n for n in fit_notes(found))


def fit_notes(found):
    return " ".join(" ".join(found.notes).split()).split("; note: ")


def test_the_estimate_is_that_of_the_labels_not_of_the_reader(panel):
    # A reader that takes every fifth huggies for pampers.
    wide = simulate(load_study("pampers"), "synthetic", runs=60, seed=2)
    rng = np.random.default_rng(6)
    truth = wide.frame["final_choice"].to_numpy(object)
    said = np.where((truth == "huggies") & (rng.random(len(truth)) < 0.2), "pampers", truth)
    misread = entered(wide, dict(zip(wide.frame["run_id"], said, strict=True)), "rules")
    target, off = (fit_demand(p, "belief").price_sensitivity for p in (wide, misread))
    found = []
    for _ in range(12):
        sample = rng.permutation(len(wide))[:600]
        found.append(fit_demand(with_labels(misread, truth, sample), "belief").price_sensitivity)
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - target) < 4 * error + 0.02
    assert abs(off - target) > 0.15


def test_choices_of_stopped_answers_are_counted_by_their_probability(panel):
    rng = np.random.default_rng(7)
    pampers = (panel.frame["choice"] == "pampers").to_numpy()
    pi = np.where(pampers, 0.25, 1.0)  # what may depend on the pivot would bias plain counts
    stopped = rng.random(len(panel)) >= pi
    frame = panel.frame.assign(whole_probability=pi)
    frame.loc[stopped, "final_status"] = "stopped"
    frame.loc[stopped, ["final_choice", "mismatch"]] = None
    cut = replace(panel, frame=frame)
    assert default_reading(cut) == "final"
    assert default_reading(replace(panel, frame=frame.drop(columns="whole_probability"))) == "pivot"
    whole, part = fit_demand(panel, "choice"), fit_demand(cut, "choice")
    assert abs(part.price_sensitivity - whole.price_sensitivity) < 4 * part.bse["price"]
    half = -whole.params["const"] / whole.params["price"]
    assert abs(-part.params["const"] / part.params["price"] - half) < 1
