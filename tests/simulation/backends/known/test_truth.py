"""The truth over a design, by averaging and by moving prices."""

from dataclasses import replace

import numpy as np
import pytest

from llmdemand.core.study import load_study
from llmdemand.simulation.backends.known.truth import beyond_logit
from llmdemand.simulation.backends.synthetic import SyntheticBackend

STUDY = load_study("pampers")
HOUSEHOLDS = load_study("pampers-households")
VARYING = replace(STUDY, prices={**STUDY.prices, "huggies": (28.0, 30.0, 32.0)})


@pytest.mark.parametrize(
    ("study", "options"),
    [
        (STUDY, {}),
        (VARYING, {"nests": {"brands": ("pampers", "huggies")}, "dissimilarity": 0.5}),
        (VARYING, {"order_effect": 1.0}),
        (replace(VARYING, orders="cross"), {"order_effect": 1.0}),
        (HOUSEHOLDS, {"persona_slope_sd": 0.2, "persona_constant_sd": 0.5}),
        (VARYING, {"rival_slope": 0.2}),
    ],
    ids=["published", "nests", "orders", "crossed", "tastes", "rival_slope"],
)
def test_the_truth_over_a_design_is_the_mean_and_its_elasticity(study, options):
    backend, step = SyntheticBackend(study, **options), 1e-5

    def mean(**dearer):
        rows = []
        for cell in study.cells():
            prices = {a: p * dearer.get(a, 1.0) for a, p in cell.prices.items()}
            orders = [cell.order] if cell.order else study.option_orders()
            moved = [backend.truth(replace(cell, prices=prices), order) for order in orders]
            rows.append(np.mean([list(shares.values()) for shares in moved], axis=0))
        return np.mean(rows, axis=0)

    known = backend.known_truth
    assert list(known["shares"].values()) == pytest.approx(mean())
    for k in study.prices:
        rise = np.log(mean(**{k: 1 + step})) - np.log(mean(**{k: 1 - step}))
        found = [known["elasticities"][j][k] for j in study.menu.ids]
        assert found == pytest.approx(rise / (2 * step), abs=1e-5), k


def test_what_a_logit_has_no_room_for_is_named():
    assert beyond_logit(SyntheticBackend(VARYING).consumer) == []
    rich = SyntheticBackend(
        STUDY,
        nests={"rest": ("huggies", "neither")},
        dissimilarity=0.5,
        persona_sd=1.0,
        order_effect=0.3,
        round_price_uptick=0.3,
        mismatch_rate=0.25,
    )
    said = " / ".join(rich.known_truth["beyond_logit"])
    for words in ("huggies and neither", "persona to persona", "first", "multiples of 5", "25 %"):
        assert words in said
    focal = SyntheticBackend(VARYING, rival_slope=0.0)
    assert "rival_slope" in focal.known_truth["beyond_logit"][0]
