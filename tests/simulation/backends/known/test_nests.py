"""Shares of nests against the generating function that they derive from."""

import math

import numpy as np
import pytest

from llmdemand.errors import UsageError
from llmdemand.simulation.backends.known.nests import Nests

IDS = ("air", "bus", "car", "train", "none")
GROUPS = {"ground": ("bus", "train"), "own": ("car", "none")}
UTILITIES = {"air": 0.4, "bus": -0.3, "car": 1.1, "train": 0.9, "none": -2.0}


def generated(utilities, groups, values):
    """McFadden (1978): s_j = y_j G_j / G, G = sum_m (sum_k y_k^(1/l))^l, by complex steps."""
    alone = [(a,) for a in utilities if not any(a in g for g in groups)]

    def of(y):
        pairs = [*zip(groups, values, strict=True), *((g, 1.0) for g in alone)]
        return sum(sum(y[k] ** (1 / value) for k in g) ** value for g, value in pairs)

    y = {a: np.exp(v) + 0j for a, v in utilities.items()}
    whole = of(y).real
    return {
        a: (y[a].real * of({**y, a: y[a] + 1e-30j}).imag / 1e-30 / whole).item() for a in utilities
    }


@pytest.mark.parametrize("values", [(0.3, 0.8), (0.05, 1.0), (1.0, 1.0)])
def test_shares_are_those_of_the_generating_function(values):
    nests = Nests.of(IDS, GROUPS, dict(zip(GROUPS, values, strict=True)))
    found = {a: math.exp(s) for a, s in nests.log_shares(UTILITIES).items()}
    assert found == pytest.approx(generated(UTILITIES, list(GROUPS.values()), values), rel=1e-10)
    assert list(found) == list(UTILITIES) and sum(found.values()) == pytest.approx(1)


def test_one_value_for_all_nests_and_none_is_the_logit():
    assert Nests.of(IDS, GROUPS, 0.5) == Nests.of(IDS, GROUPS, {"ground": 0.5, "own": 0.5})
    weights = {a: math.exp(v) for a, v in UTILITIES.items()}
    logit = {a: w / sum(weights.values()) for a, w in weights.items()}
    for nests in (Nests.of(IDS), Nests.of(IDS, GROUPS, 1)):
        found = {a: math.exp(s) for a, s in nests.log_shares(UTILITIES).items()}
        assert found == pytest.approx(logit, rel=1e-12)


def test_responses_are_the_derivatives():
    nests, step = Nests.of(IDS, GROUPS, {"ground": 0.3, "own": 0.8}), 1e-6
    shares = {a: math.exp(s) for a, s in nests.log_shares(UTILITIES).items()}
    responses = nests.responses(shares)
    for k in IDS:
        high, low = (nests.log_shares({**UTILITIES, k: UTILITIES[k] + d}) for d in (step, -step))
        slopes = {j: (high[j] - low[j]) / (2 * step) for j in IDS}
        assert {j: responses[j][k] for j in IDS} == pytest.approx(slopes, abs=1e-7)


def test_what_nobody_buys_takes_nothing_and_large_utilities_do_not_overflow():
    nests = Nests.of(IDS, GROUPS, 0.01)
    found = nests.log_shares({**UTILITIES, "bus": -math.inf, "train": -math.inf, "air": 1e6})
    assert found["bus"] == found["train"] == -math.inf and found["air"] == pytest.approx(0)
    nowhere = {a: math.exp(s) for a, s in found.items()}
    assert nests.responses(nowhere)["bus"]["bus"] == pytest.approx(1 + 99 / 2)


@pytest.mark.parametrize(
    ("nests", "dissimilarity", "message"),
    [
        ({"ground": ("bus", "trian")}, 0.5, "did you mean 'train'"),
        ({"ground": ("bus",)}, 0.5, "two or more"),
        ({"ground": "bus"}, 0.5, "two or more"),
        ({"a": ("bus", "car"), "b": ("car", "air")}, 0.5, "'car' is in nest 'a' and in 'b'"),
        (GROUPS, None, "give dissimilarity too"),
        (None, 0.5, "give nests too"),
        (GROUPS, 0.0, "dissimilarity 0.0 of nest 'ground'"),
        (GROUPS, 1.2, "at most 1"),
        (GROUPS, math.nan, "dissimilarity nan"),
        (GROUPS, "half", "dissimilarity half"),
        (GROUPS, {"ground": 0.5}, "give one for each nest"),
    ],
)
def test_impossible_nests(nests, dissimilarity, message):
    with pytest.raises(UsageError, match=message):
        Nests.of(IDS, nests, dissimilarity)
