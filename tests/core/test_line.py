"""What stands at the prompt is one line, however much a result holds."""

import numpy as np
import pytest

import llmdemand as ld
from llmdemand.modeling.batch.batch import fit_batch


@pytest.fixture(scope="module")
def results(synthetic_panel):
    demand = ld.fit_demand(synthetic_panel, "belief")
    n, total = np.full((2, 3), 9.0), np.array([[7, 4, 2.0], [9, 9, 9]])
    return {
        "Study": synthetic_panel.study,
        "Panel": synthetic_panel,
        "Equivalence": ld.check_equivalence(synthetic_panel),
        "Demand": demand,
        "LogitResults": demand.fit,
        "Quantity": demand.elasticity(35),
        "TestResult": demand.wald_test("price = -0.5"),
        "TTests": demand.t_test("price = -0.5, const = 0"),
        "Scores": demand.scores(),
        "Calibration": demand.calibration(),
        "BatchFit": fit_batch([1.0, 2, 3], n, total),
        "Precision": ld.precision(synthetic_panel, runs=(1, 2), replications=20),
        "Variance": ld.variance(synthetic_panel),
        "Plan": ld.plan(synthetic_panel, tolerance=0.05),
        "PairedPanel": ld.paired_panel(20, 30),
        "Audit": ld.audit(synthetic_panel),
    }


def test_every_result_is_one_line(results):
    for name, found in results.items():
        text = repr(found)
        assert text.startswith(f"<{name}: ") and text.endswith(">"), text
        assert "\n" not in text and len(text) < 230


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Study", "pampers, menu pampers, huggies, neither, 16 cells"),
        ("Panel", "480 runs, 480 usable"),
        ("Quantity", "own-price elasticity -"),
        ("TestResult", "Wald test of price = -0.5, chi-squared(1) = "),
        ("TTests", "const = 0: "),
        ("BatchFit", "2 fits of 2 coefficients, 1 with an estimate"),
        ("Variance", "one belief run is worth"),
    ],
)
def test_it_says_what_was_found(results, name, words):
    assert words in repr(results[name])
