"""Ordered logits as Stata and R print them."""

import json
from pathlib import Path

import numpy as np
import pytest

from llmdemand.modeling.numbers.likelihoods import Ratings, maximum

pytestmark = pytest.mark.numbers
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "ologit.json").read_text("utf-8"))


def fitted(x, law, cuts):
    n = len(x)
    data = Ratings(x, np.zeros(n), np.ones(n), {}, law)
    return data, maximum(data, np.concatenate([np.zeros(x.shape[1]), cuts]))


def test_graduate_school_applications():
    known = GOLDEN["ucla"]
    x = np.column_stack([known["x"][name] for name in known["coef"]])
    law = np.eye(3)[known["y"]]
    data, found = fitted(x, law, [0.0, 1.0])
    se = np.sqrt(np.diag(np.linalg.inv(found.information)))
    stata = known["stata"]
    odds = np.exp(found.params[:3])
    for ours, theirs in (
        (odds, stata["odds"]),
        (odds * se[:3], stata["odds_se"]),
        (found.params[3:], stata["cuts"]),
        (se[3:], stata["cuts_se"]),
        ([found.llf], [stata["llf"]]),
    ):
        assert ours == pytest.approx([float(v) for v in theirs], rel=7e-7)
    # polr stops a little before the maximum.
    assert found.params[:3] == pytest.approx(list(known["coef"].values()), abs=3e-4)
    assert found.params[3:] == pytest.approx(known["cuts"], abs=1e-3)
    assert se[:3] == pytest.approx(list(known["se"].values()), abs=6e-5)
    some = np.array(known["probabilities"])
    assert data.probabilities(found.params)[: len(some)] == pytest.approx(some, abs=3e-4)
