"""The likelihood of latent classes, and its derivatives."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest

from llmdemand.errors import UsageError
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.sets import ChoiceSets
from llmdemand.modeling.substitution.latent import (
    LatentKernel,
    LatentPanels,
    class_shares,
    divided,
    reordered,
)
from llmdemand.modeling.substitution.pairwise import PairwiseClasses
from llmdemand.modeling.substitution.panels import Panels
from llmdemand.modeling.substitution.sequences import observed_sequences, sequences_of_beliefs

pytestmark = pytest.mark.numbers
PEOPLE, TERMS = 9, 2


def panels(beliefs=False, classes=3, seed=1, offset=False):
    """Respondents with 2 to 4 situations of 2 or 3 alternatives, weights of both kinds."""
    rng = np.random.default_rng(seed)
    tasks = 2 + np.arange(PEOPLE) % 3
    respondent = np.repeat(np.arange(PEOPLE), tasks)
    sizes = 2 + np.arange(len(respondent)) % 2
    start = np.cumsum(sizes) - sizes
    x = rng.normal(size=(sizes.sum(), TERMS))
    sets = ChoiceSets(start, len(x))
    if beliefs:
        y = sets.shares(rng.normal(size=len(x)))
    else:
        y = np.zeros(len(x))
        y[start + (rng.random(len(start)) * sizes).astype(int)] = 1.0
    count = (1.0 + np.arange(PEOPLE) % 2)[respondent]
    weight = rng.uniform(0.5, 2, PEOPLE)[respondent]
    more = rng.normal(size=len(x)) if offset else None
    labels = np.arange(len(x)) - sets.spread(start)
    cases = Cases(x, y, start, count, weight, {}, labels, more)
    found = Panels(cases, respondent)
    chosen = sequences_of_beliefs(found, 5) if beliefs else observed_sequences(found)
    members = np.column_stack([np.ones(PEOPLE), rng.normal(size=PEOPLE)])
    heads = found.heads
    return LatentPanels(cases, found, classes, members, count[heads], weight[heads], chosen=chosen)


def by_hand(data, params):
    """``sum_i w_i mean_m log sum_c pi_c prod_t p``, situation by situation."""
    beta, gamma = divided(params, data.classes, data.terms)
    total = 0.0
    for block, chosen in zip(data.panels.blocks, data.chosen, strict=True):
        for n, person in enumerate(block.who):
            eta = np.concatenate([[0.0], gamma @ data.members[person]])
            pi = np.exp(eta) / np.exp(eta).sum()
            logs = []
            for sequence in chosen[n]:
                p = pi.copy()
                for case in np.flatnonzero(data.panels.respondent == person):
                    rows = data.cases.sets.case == case
                    where = np.isin(block.rows[n], np.flatnonzero(rows))
                    for c in range(data.classes):
                        v = data.cases.x[rows] @ beta[c]
                        if data.cases.offset is not None:
                            v = v + data.cases.offset[rows]
                        p[c] *= np.exp(v)[sequence[where] == 1][0] / np.exp(v).sum()
                logs.append(np.log(p.sum()))
            total += data.count[person] * data.weights[person] * np.mean(logs)
    return total


def parameters(data, seed=2):
    return np.random.default_rng(seed).normal(size=data.size)


def derivatives_are_exact(data):
    params, h = parameters(data), 1e-5
    steps = np.eye(data.size) * h
    first = [(data.llf(params + s) - data.llf(params - s)) / (2 * h) for s in steps]
    np.testing.assert_allclose(data.gradient(params), first, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(data.scores(params).sum(axis=0), first, rtol=1e-6, atol=1e-7)
    second = [(data.gradient(params + s) - data.gradient(params - s)) / (2 * h) for s in steps]
    np.testing.assert_allclose(data.information(params), -np.array(second), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("beliefs", [False, True])
@pytest.mark.parametrize("offset", [False, True])
def test_the_likelihood_by_hand(beliefs, offset):
    data = panels(beliefs, offset=offset)
    params = parameters(data)
    assert data.llf(params) == pytest.approx(by_hand(data, params), rel=1e-12)


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("beliefs", [False, True])
def test_exact_derivatives(beliefs, classes):
    derivatives_are_exact(panels(beliefs, classes))


def test_equal_classes_are_a_plain_logit():
    data = panels()
    beta = np.array([0.4, -0.7])
    params = np.concatenate([np.tile(beta, 3), np.random.default_rng(3).normal(size=4)])
    assert data.llf(params) == pytest.approx(data.cases.llf(beta), rel=1e-12)
    np.testing.assert_allclose(data.shares(params), data.cases.shares(beta), rtol=1e-12)
    assert panels(classes=1).llf(beta) == pytest.approx(data.cases.llf(beta), rel=1e-12)


def test_probabilities_of_all_sequences_sum_to_one():
    """Enumeration: of two situations of a respondent every sequence, class by class."""
    data = panels()
    who = data.panels.blocks[0].who[0]
    one = data.weighted((np.arange(PEOPLE) == who).astype(float))
    sizes = one.cases.sets.sizes
    assert len(sizes) == 2
    total, posterior, params = 0.0, 0.0, parameters(data)
    widest = sizes.max()
    for sequence in product(*(range(s) for s in sizes)):
        chosen = np.zeros((1, 1, 2 * widest))
        chosen[0, 0, [widest * t + a for t, a in enumerate(sequence)]] = 1.0
        there = LatentPanels(
            one.cases, one.panels, 3, one.members, one.count, one.weights, chosen=(chosen,)
        )
        p = np.exp(there.each(params)[0])
        total += p
        posterior = posterior + p * there.posterior(params)[0]
    assert total == pytest.approx(1.0, rel=1e-12)
    # Before any choice people belong where the model says.
    np.testing.assert_allclose(posterior, one.shares_of_classes(params)[0], rtol=1e-12)


def test_a_frequency_is_a_respondent_twice():
    data, params = panels(True), parameters(panels(True))
    twice = data.weighted(np.full(PEOPLE, 2.0))
    assert twice.llf(params) == pytest.approx(2 * data.llf(params), rel=1e-12)
    assert twice.nobs == 2 * data.nobs
    some = np.array([1.0, 0, 2, 1, 0, 0, 3, 1, 1])
    each = data.count * data.weights * data.each(params)
    assert data.weighted(some).llf(params) == pytest.approx(some @ each, rel=1e-12)


def test_names_of_classes_mean_nothing():
    data = panels()
    params = parameters(data)
    for order in ([1, 0, 2], [2, 0, 1]):
        moved = reordered(params, 3, TERMS, np.array(order))
        assert data.llf(moved) == pytest.approx(data.llf(params), rel=1e-12)
        np.testing.assert_allclose(data.posterior(moved), data.posterior(params)[:, order])


def test_the_kernel_has_the_shares_of_the_data():
    data = panels()
    params, cases = parameters(data), data.cases
    kernel = LatentKernel(3, TERMS)
    row = data.panels.respondent[cases.sets.case]
    v = kernel.utilities(params, cases.x)
    assert v.shape == (3, len(cases.y))
    found = kernel.mean(
        params, kernel.shares(params, v, cases.sets, cases.labels), data.members[row]
    )
    np.testing.assert_allclose(found, data.shares(params), rtol=1e-12)
    h = 1e-30
    moved = params.astype(complex)
    moved[-1] += 1j * h
    slope = np.imag(class_shares(divided(moved, 3, TERMS)[1], data.members)) / h
    step = np.zeros_like(params)
    step[-1] = 1e-6
    ends = [data.shares_of_classes(params + s) for s in (step, -step)]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, atol=1e-9)


# By pairs of situations ---------------------------------------------------------------------------


def pairs(classes=3, offset=False, y=None):
    """Those of `panels`; by default with outcomes outside [0, 1]."""
    data = panels(True, classes, offset=offset)
    if y is None:
        noise = np.random.default_rng(5).uniform(-0.6, 0.6, len(data.cases.y))
        y = (
            data.cases.y
            + noise
            - data.cases.sets.spread(data.cases.sets.sum(noise) / data.cases.sets.sizes)
        )
        assert y.min() < 0
    cases = replace(data.cases, y=y, read=np.ones(len(data.cases.start)))
    found = Panels(cases, data.panels.respondent)
    return PairwiseClasses(cases, found, classes, data.members, data.count, data.weights)


def pairs_by_hand(data, params):
    """``sum_i w_i sum_(s<t) sum_(a, c) b_sa b_tc log P_st(a, c) / (T - 1)``, pair by pair."""
    beta, _ = divided(params, data.classes, data.terms)
    v = data.cases.x @ beta.T
    if data.cases.offset is not None:
        v += data.cases.offset[:, None]
    p, pi = data.cases.sets.shares(v), data.shares_of_classes(params)
    total = 0.0
    for person in range(PEOPLE):
        cases = np.flatnonzero(data.panels.respondent == person)
        for one, other in combinations(cases, 2):
            rows, more = (np.flatnonzero(data.cases.sets.case == case) for case in (one, other))
            together = np.einsum("ac,bc,c->ab", p[rows], p[more], pi[person])
            said = np.outer(data.cases.y[rows], data.cases.y[more]) * np.log(together)
            w = data.count[person] * data.weights[person]
            total += w * said.sum() / (len(cases) - 1)
    return total


@pytest.mark.parametrize("offset", [False, True])
def test_pairs_by_hand(offset):
    data = pairs(offset=offset)
    params = parameters(data)
    assert data.llf(params) == pytest.approx(pairs_by_hand(data, params), rel=1e-12)


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("offset", [False, True])
def test_exact_derivatives_of_pairs(classes, offset):
    derivatives_are_exact(pairs(classes, offset))


def test_pairs_of_equal_classes_are_a_plain_logit():
    data, beta = pairs(), np.array([0.4, -0.7])
    params = np.concatenate([np.tile(beta, 3), np.random.default_rng(3).normal(size=4)])
    assert data.llf(params) == pytest.approx(data.cases.llf(beta), rel=1e-12)
    np.testing.assert_allclose(data.shares(params), data.cases.shares(beta), rtol=1e-12)
    some = np.array([1.0, 0, 2, 1, 0, 0, 3, 1, 1])
    each = data.count * data.weights * data.each(params)
    assert data.weighted(some).llf(params) == pytest.approx(some @ each, rel=1e-12)


def test_pairs_hold_for_the_truth_whatever_noise_beliefs_carry():
    """The mean score over classes, and over noise that is independent from call to call, is 0."""
    data = panels(True, classes=2)
    params = parameters(data)
    beta, _ = divided(params, 2, TERMS)
    p, pi = data.cases.sets.shares(data.cases.x @ beta.T), data.shares_of_classes(params)
    rng, total = np.random.default_rng(7), np.zeros((PEOPLE, data.size))
    for c in range(2):
        noise = rng.uniform(0.5, 1.0, len(data.cases.start))
        # Up in the first alternative of a case, down in the second: one situation's sign at a time.
        for signs in product((-1, 1), repeat=4):
            turn = np.concatenate([signs[: int(t)] for t in data.panels.tasks])
            y = p[:, c].copy()
            y[data.cases.start] += turn * noise
            y[data.cases.start + 1] -= turn * noise
            one = pairs(2, y=y)
            total += pi[:, c, None] * one.scores(params) / 16
    np.testing.assert_allclose(total, 0, atol=1e-12)


def test_pairs_have_no_perfect_fit():
    with pytest.raises(UsageError, match="no perfect fit"):
        pairs().saturated()
