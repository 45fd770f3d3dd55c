"""Ordered logits as R prints them."""

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
    for ours, theirs, digits in (
        (found.params[:3], stata["coef"], 7),
        (found.params[3:], stata["cuts"], 6),
        (se[:3], stata["se"], 7),
        ([found.llf], [stata["llf"]], 5),
    ):
        assert ours == pytest.approx([float(v) for v in theirs], abs=0.6 * 10**-digits, rel=1e-6)
    # polr stops a little before the maximum.
    assert found.params[:3] == pytest.approx(list(known["coef"].values()), abs=3e-4)
    assert found.params[3:] == pytest.approx(known["cuts"], abs=1e-3)
    assert se[:3] == pytest.approx(list(known["se"].values()), abs=6e-5)
    some = np.array(known["probabilities"])
    assert data.probabilities(found.params)[: len(some)] == pytest.approx(some, abs=3e-4)
