"""Likelihood, scores and information of choices, against the definitions case by case."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from llmdemand.modeling.likelihood.cases import Cases


def cases(sizes, fractions, seed=3):
    rng = np.random.default_rng(seed)
    sizes = np.asarray(sizes)
    start, rows = np.cumsum(sizes) - sizes, int(sizes.sum())
    x = rng.normal(size=(rows, 3))
    y = np.concatenate([rng.dirichlet(np.ones(n)) for n in sizes])
    if not fractions:
        best = start + np.array([int(rng.integers(n)) for n in sizes])
        y = np.isin(np.arange(rows), best).astype(float)
    labels = np.concatenate([rng.permutation(6)[:n] for n in sizes])
    count, weight = rng.integers(1, 4, len(sizes)).astype(float), rng.uniform(0.5, 2, len(sizes))
    return Cases(x, y, start, count, weight, {}, labels)


SIZES = {"balanced": [4] * 3000, "unbalanced": [2, 5, 3, 6, 4] * 600}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("fractions", [False, True])
def test_all_sums_are_those_of_the_cases_one_by_one(sizes, fractions):
    data, b = cases(sizes, fractions), np.array([0.7, -1.1, 0.3])
    w = data.count * data.weight
    llf, scores, information = 0.0, [], np.zeros((3, 3))
    for k, (begin, n) in enumerate(zip(data.start, sizes, strict=True)):
        x, y = data.x[begin : begin + n], data.y[begin : begin + n]
        p = softmax(x @ b)
        llf += w[k] * (y @ (x @ b) - logsumexp(x @ b))
        scores.append(w[k] * (y - p) @ x)
        d = x - p @ x
        information += w[k] * (d * p[:, None]).T @ d
    assert data.llf(b) == pytest.approx(llf, rel=1e-12)
    np.testing.assert_allclose(data.scores(b), scores, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(data.gradient(b), np.sum(scores, axis=0), rtol=1e-9)
    np.testing.assert_allclose(data.information(b), information, rtol=1e-10)
    # Another point is not answered with what is kept of the last.
    assert data.llf(-b) != pytest.approx(llf, rel=1e-3)
    assert data.llf(b) == pytest.approx(llf, rel=1e-12)


def test_outcomes_that_do_not_sum_to_one_count_by_the_definition():
    data, b = cases([3] * 50, True), np.array([0.7, -1.1, 0.3])
    short = Cases(data.x, 0.6 * data.y, data.start, data.count, data.weight)
    w, eta = data.count * data.weight, (data.x @ b).reshape(50, 3)
    expected = w @ ((short.y.reshape(50, 3) * eta).sum(axis=1) - logsumexp(eta, axis=1))
    assert short.llf(b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("alternatives", [6, 70])
def test_constants_merge_equal_choice_sets_without_changing_the_likelihood(alternatives):
    data = cases(SIZES["unbalanced"], False)
    if alternatives > 6:  # more than fit a binary number: nothing is merged
        data = Cases(data.x, data.y, data.start, data.count, data.weight, {}, 14 * data.labels)
    merged = data.constants()
    size = int(data.labels.max())
    assert data.llnull() is None and merged.size == size
    assert (len(merged.start) < 63) == (alternatives == 6)
    full = (data.labels[:, None] == np.arange(1, size + 1)).astype(float)
    whole = Cases(full, data.y, data.start, data.count, data.weight)
    for b in (np.zeros(size), np.linspace(-1, 1, size)):
        assert merged.llf(b) == pytest.approx(whole.llf(b), rel=1e-12)
        np.testing.assert_allclose(merged.gradient(b), whole.gradient(b), rtol=1e-8, atol=1e-9)
