"""Labels of a sample correct a reader: over all samples the mean is that of the labels."""

import itertools

import numpy as np
import pytest

import llmdemand as ld
from llmdemand.belief.final.entered import entered
from llmdemand.core.panel import Panel
from llmdemand.errors import PanelError
from llmdemand.modeling.outcomes.labelled import corrected_final


@pytest.fixture(scope="module")
def panel():
    return ld.simulate(ld.load_study("pampers"), "synthetic", runs=1, seed=1)


def with_labels(panel, readings, labels, probability):
    """A panel whose first rows have these readings and labels."""
    frame = panel.frame.head(len(readings)).reset_index(drop=True)
    part = Panel(frame, panel.study, panel.provenance)
    part = entered(part, dict(zip(frame["run_id"], readings, strict=True)), "judge")
    return Panel(
        part.frame.assign(label=np.array(labels, object), label_probability=probability),
        panel.study,
        part.provenance,
    )


def test_labels_on_a_random_part_correct_a_reader_without_bias(panel):
    readings = ["pampers", "huggies", None, "huggies", "neither", "pampers"]
    labels = ["huggies", "huggies", "pampers", "neither", None, "pampers"]
    total = np.zeros(3)
    draws = list(itertools.combinations(range(6), 2))
    for drawn in draws:
        known = [labels[k] if k in drawn else None for k in range(6)]
        probability = [2 / 6 if k in drawn else np.nan for k in range(6)]
        part = with_labels(panel, readings, known, probability)
        total += corrected_final(part).mean().to_numpy()
    shares = [labels.count(a) / 6 for a in ("pampers", "huggies", "neither")]
    assert total / len(draws) == pytest.approx(shares, abs=1e-12)


def test_a_panel_without_labels_says_how_to_get_them(panel):
    with pytest.raises(PanelError, match="label export"):
        corrected_final(panel)
