"""Raking against R's survey, and against what raking is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmdemand as ld
from llmdemand.calibration.moments.weighted import margin_residuals, spread_factor
from llmdemand.calibration.samples.raking import indicators, kish, rake
from llmdemand.errors import DesignError, UsageError

GOLDEN = Path(__file__).parents[2] / "golden"
SCHOOLS = {"stype": {"E": 4421, "H": 755, "M": 1018}, "sch.wide": {"No": 1072, "Yes": 5122}}


def schools():
    return pd.read_csv(GOLDEN / "api_districts.csv")


def test_raked_means_totals_and_standard_errors_are_those_of_r():
    """R survey 3.6: ``dclus1r <- rake(...)``, printed 641.23 (23.704) and 3647280 (400603).

    Its sequential raking stops earlier than ours; calibrate(calfun="raking") prints the total.
    """
    frame = schools()
    raked = rake(frame, SCHOOLS)
    weight = raked.weights.to_numpy()
    known = indicators(frame, SCHOOLS, np.arange(len(frame)), np.arange(len(frame)))[0]
    district = np.unique(frame["dnum"], return_inverse=True)[1]
    found = {}
    for column, mean in (("api00", True), ("enroll", False)):
        value = frame[column].to_numpy(float)
        total = weight.sum() if mean else 1.0
        estimate = weight @ value / total
        own = weight * (value - (estimate if mean else 0.0)) / total
        left = margin_residuals(own[:, None], known, np.ones(len(frame)), weight)[:, 0]
        sums = np.bincount(district, left)
        clusters = len(sums)
        variance = clusters / (clusters - 1) * sums @ sums * (1 - 15 / 757)  # R's fpc
        found[column] = estimate, np.sqrt(variance)
    assert found["api00"] == pytest.approx((641.23, 23.704), abs=0.006)
    assert found["enroll"][0] == pytest.approx(3647280, abs=1)
    assert found["enroll"][1] == pytest.approx(400603, rel=2e-5)


def test_margins_hold_and_equal_rows_of_a_person_count_once():
    frame = schools()
    raked = rake(frame, SCHOOLS)
    for column, levels in SCHOOLS.items():
        totals = raked.weights.groupby(frame[column]).sum()
        np.testing.assert_allclose(totals[list(levels)], list(levels.values()), rtol=1e-9)
    twice = pd.concat([frame.assign(id=range(len(frame)))] * 2, ignore_index=True)
    np.testing.assert_allclose(
        rake(twice, SCHOOLS, cluster="id").weights[: len(frame)], raked.weights, rtol=1e-12
    )
    shares = {c: {k: v / 6194 for k, v in m.items()} for c, m in SCHOOLS.items()}
    np.testing.assert_allclose(rake(frame, shares).weights * 6194, raked.weights, rtol=1e-8)
    assert raked.effective == pytest.approx(kish(raked.weights.to_numpy()))
    assert raked.table.loc[("stype", "E"), "after"] == pytest.approx(4421 / 6194)
    assert "183 people" in repr(raked)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_raking_is_the_nearest_weights_product_form(seed):
    """log(weight / start) is a sum of one term for each column's value."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": list("xyz") * 20, "b": rng.integers(0, 2, 60), "w": rng.random(60)})
    frame["w"] += 0.1
    if frame["b"].nunique() < 2:
        return
    share = rng.dirichlet([5, 5, 5])
    margins = {"a": dict(zip("xyz", share / share.sum(), strict=True)), "b": {0: 0.4, 1: 0.6}}
    weight = rake(frame, margins, weights="w").weights
    known = indicators(frame, margins, np.arange(60), np.arange(60))[0]
    ratio = np.log(weight / frame["w"])
    left = ratio - known @ np.linalg.lstsq(known, ratio, rcond=None)[0]
    assert np.abs(left).max() < 1e-7


def test_spread_is_unbiased_for_people_of_one_variance():
    """By the formula's own expectation: a'(I - 1a')' (I - 1a') a, with unequal weights."""
    weight = np.array([1.0, 2.0, 3.0, 4.0, 0.5])
    a = weight / weight.sum()
    left = np.eye(5) - np.outer(np.ones(5), a)
    expected = (a**2) @ np.diag(left @ left.T)
    factor = spread_factor(np.zeros(5, int), np.arange(5), weight, 1, 5)[0]
    assert factor * expected == pytest.approx(a @ a)


@pytest.mark.parametrize(
    ("margins", "words"),
    [
        ({}, "give what is known"),
        ({"stype": {"E": 1.0}}, "at least two values"),
        ({"stype": {"E": 1, "H": 2, "M": 3}, "sch.wide": {"No": 1, "Yes": 1}}, "one population"),
        ({"sch.wide": {"No": 0.3, "Yes": 0.3}}, "not to 1"),
        ({"sch.wide": {"No": 0.3, "Yes": -0.3}}, "above zero"),
    ],
)
def test_margins_that_are_none(margins, words):
    with pytest.raises(UsageError, match=words):
        rake(schools(), margins)


def test_people_whom_no_weight_can_bring_to_the_margins():
    frame = schools()
    with pytest.raises(DesignError, match="no share for 'M'"):
        rake(frame, {"stype": {"E": 0.5, "H": 0.5}})
    with pytest.raises(DesignError, match="nobody has 'X'"):
        rake(frame, {"sch.wide": {"No": 0.3, "Yes": 0.3, "X": 0.4}})
    with pytest.raises(DesignError, match="'nothing'"):
        rake(frame, {"nothing": {"a": 0.5, "b": 0.5}})
    with pytest.raises(DesignError, match="not above zero"):
        rake(frame.assign(w=0.0), SCHOOLS, weights="w")
    both = pd.DataFrame({"a": ["x", "y"] * 5, "b": ["x", "y"] * 5})
    with pytest.raises(DesignError, match="together"):
        rake(both, {"a": {"x": 0.5, "y": 0.5}, "b": {"x": 0.2, "y": 0.8}})
    assert ld.rake is rake
