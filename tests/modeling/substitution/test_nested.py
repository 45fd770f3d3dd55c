"""The nested logit against its generating function, differences, and the plain logit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.kernels import LOGIT
from llmdemand.modeling.likelihood.sets import ChoiceSets
from llmdemand.modeling.substitution.nested import LEAST, NestedCases, NestedKernel
from llmdemand.modeling.substitution.nests import tree_of

pytestmark = pytest.mark.numbers

BRANDS = ["none", "a", "b", "c", "d"]
TREES = {
    "two": {"ab": ["b", "a"], "cd": ["c", "d"]},
    "three": {"brands": {"ab": ["a", "b"], "cd": ["c", "d"]}},
    "mixed": {"brands": ["c", {"abd": ["a", "d", "b"]}]},
    "apart": {"ad": ["a", "d"], "rest": {"cb": ["c", "b"], "out": ["none"]}},
}


def log_sum(nests, value, v, lam=1.0):
    """Log of the generating function, from the mapping itself: no part of the package."""
    terms = []
    for item in [nests] if isinstance(nests, dict) else nests:
        if isinstance(item, dict):
            terms += [log_sum(inside, value, v, value[name]) for name, inside in item.items()]
        elif item in v:
            terms.append(v[item])
    terms = [t for t in terms if t is not None]
    if not terms:
        return None
    top = max(np.real(t) for t in terms)
    return top + lam * np.log(sum(np.exp((t - top) / lam) for t in terms))


def named(nests):
    for item in [nests] if isinstance(nests, dict) else nests:
        if isinstance(item, dict):
            for inside in item.values():
                yield from named(inside)
        else:
            yield item


def shares_by_hand(nests, value, v):
    """``d log G / d v_j`` by a complex step, for the utilities of one case."""
    alone = [j for j in BRANDS if j not in set(named(nests))]
    found = {}
    for j in v:
        moved = {k: u + 1e-30j * (k == j) for k, u in v.items()}
        found[j] = np.imag(log_sum([nests, *alone], value, moved)) / 1e-30
    return found


def market(seed, tree, cases=40, missing=0.2, fractional=True, read=False):
    """Cases with choice sets that differ, in the order of the alternatives' labels."""
    rng = np.random.default_rng(seed)
    there = rng.random((cases, len(BRANDS))) > missing
    there[np.arange(cases), rng.integers(0, len(BRANDS), cases)] = True
    case, labels = np.nonzero(there)
    start = np.flatnonzero(np.diff(case, prepend=-1))
    sets = ChoiceSets(start, len(case))
    x = rng.normal(size=(len(case), 3))
    y = rng.random(len(case)) ** 3
    y = y / sets.spread(sets.sum(y))
    if not fractional:
        best = rng.random(len(case))
        y = (best == sets.spread(sets.max(best))).astype(float)
    r = None
    if read:
        r = (rng.random(cases) > 0.2).astype(float)
        z = rng.normal(size=len(case))
        y = y * sets.spread(r) + 0.3 * (z - sets.spread(sets.sum(z) / sets.sizes))
    data = Cases(
        x,
        y,
        start,
        rng.integers(1, 4, cases).astype(float),
        rng.uniform(0.5, 2, cases),
        {},
        labels,
        rng.normal(size=len(case)),
        r,
    )
    return NestedCases(data, tree)


def differences(value, at, h=1e-5):
    at = np.asarray(at, float)
    columns = []
    for k in range(len(at)):
        step = h * (np.arange(len(at)) == k)
        columns.append(
            (
                8 * (value(at + step) - value(at - step))
                - value(at + 2 * step)
                + value(at - 2 * step)
            )
            / (12 * h)
        )
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("name", TREES)
def test_shares_are_those_of_the_generating_function(name):
    tree, _ = tree_of(TREES[name], BRANDS)
    data = market(3, tree)
    free = np.linspace(0.4, 1.3, len(tree.terms))
    params = np.concatenate([[0.5, -1.0, 0.3], free])
    value = dict(zip(tree.names, tree.dissimilarities(free), strict=False))
    s, v = data.shares(params), data.cases.utilities(params[:3])
    for first, size in zip(data.cases.start, data.cases.sets.sizes, strict=True):
        rows = range(first, first + size)
        by_hand = shares_by_hand(
            TREES[name], value, {BRANDS[data.cases.labels[r]]: v[r] for r in rows}
        )
        for r in rows:
            assert s[r] == pytest.approx(by_hand[BRANDS[data.cases.labels[r]]], abs=1e-13)
    c = data.cases
    w = c.sets.spread(c.count * c.weight)
    assert data.llf(params) == pytest.approx((w * c.y) @ np.log(s), rel=1e-12)


@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("name", TREES)
def test_derivatives_are_those_of_differences(name, read):
    tree, _ = tree_of(TREES[name], BRANDS)
    data = market(4, tree, read=read)
    params = np.concatenate([[0.5, -1.0, 0.3], np.linspace(0.5, 1.2, len(tree.terms))])
    llf, gradient, information = data.evaluated(params)
    assert llf == pytest.approx(data.llf(params), rel=1e-13)
    np.testing.assert_allclose(gradient, differences(data.llf, params), rtol=1e-8, atol=1e-7)
    np.testing.assert_allclose(data.scores(params).sum(axis=0), gradient, rtol=1e-10, atol=1e-10)
    numerical = -differences(data.gradient, params)
    np.testing.assert_allclose(information, numerical, rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(data.information(params), information)


def test_scores_of_corrected_beliefs_count_what_was_read():
    """With r = 0 the outcomes sum to zero, and shares are expected of nobody."""
    tree, _ = tree_of(TREES["two"], BRANDS, {"ab": 1.0, "cd": 1.0})
    data = market(5, tree, read=True)
    b = np.array([0.5, -1.0, 0.3])
    np.testing.assert_allclose(data.scores(b), data.cases.scores(b), atol=1e-10)
    assert data.corrected and data.fractional


def test_many_cases_are_done_piece_by_piece():
    tree, _ = tree_of(TREES["three"], BRANDS)
    data = market(6, tree, cases=3000)
    assert len(data._pieces) > 2
    params = np.array([0.5, -1.0, 0.3, 0.9, 0.5, 0.6])
    parts = [data.weighted((np.arange(3000) % 3 == k).astype(float)) for k in range(3)]
    sums = [np.sum([p.evaluated(params)[k] for p in parts], axis=0) for k in range(3)]
    for found, expected in zip(data.evaluated(params), sums, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert data.scores(params).shape == (3000, 6)
    assert data.shares(params).shape == data.cases.y.shape


@pytest.mark.parametrize("name", TREES)
def test_rounding_is_the_covariance_under_errors_of_log_probabilities(name):
    tree, _ = tree_of(TREES[name], BRANDS)
    data = market(7, tree, cases=10)
    params = np.concatenate([[0.5, -1.0, 0.3], np.linspace(0.5, 1.2, len(tree.terms))])
    c, s, expected = data.cases, data.shares(params), 0.0

    def scores(y):
        held = Cases(c.x, y, c.start, c.count, c.weight, {}, c.labels, c.offset)
        return NestedCases(held, tree).scores(params)

    for r in range(len(s)):
        # y_k moves by s_k (1{k = r} - s_r) within the case; once, not `count` times.
        move = np.where(c.sets.case == c.sets.case[r], s * ((np.arange(len(s)) == r) - s[r]), 0)
        g = (scores(s + move) - scores(s)).sum(axis=0) / np.sqrt(c.count[c.sets.case[r]])
        expected = expected + np.outer(g, g)
    np.testing.assert_allclose(data.rounding(params), expected, rtol=1e-7, atol=1e-9)


def test_utilities_that_differ_by_thousands_do_not_overflow():
    tree, _ = tree_of(TREES["three"], BRANDS)
    data = market(8, tree, fractional=False)
    params = np.array([3000.0, -9000.0, 2000.0, 0.9, 0.02, 0.5])
    llf, gradient, information = data.evaluated(params)
    assert np.isfinite(llf) and np.isfinite(gradient).all() and np.isfinite(information).all()
    s = data.shares(params)
    np.testing.assert_allclose(data.cases.sets.sum(s), 1, atol=1e-12)


def test_no_likelihood_beyond_what_is_searched():
    tree, _ = tree_of(TREES["two"], BRANDS)
    data = market(9, tree)
    assert data.llf(np.array([0.5, -1.0, 0.3, -0.1, 0.5])) == -np.inf
    assert data.evaluated(np.array([0.5, -1.0, 0.3, LEAST / 2, 0.5]))[0] == -np.inf


@pytest.mark.parametrize("name", TREES)
def test_the_kernel_agrees_with_the_data_and_with_differences(name):
    tree, _ = tree_of(TREES[name], BRANDS)
    data, kernel = market(10, tree), NestedKernel(tree)
    c = data.cases
    b = np.concatenate([[0.5, -1.0, 0.3], np.linspace(0.5, 1.2, len(tree.terms))])
    v = kernel.utilities(b, c.x) + c.offset
    s = kernel.shares(b, v, c.sets, c.labels)
    np.testing.assert_allclose(kernel.mean(b, s), data.shares(b), atol=1e-14)
    moved = np.random.default_rng(0).normal(size=v.shape)
    found, by = kernel.responses(b, v, moved, c.sets, c.labels)
    np.testing.assert_allclose(found, s)
    stepped = kernel.shares(b, v + 1e-30j * moved, c.sets, c.labels)
    np.testing.assert_allclose(s * by, np.imag(stepped) / 1e-30, atol=1e-13)
    # The log-sum's derivative by a utility is the share: Williams, Daly and Zachary.
    stepped = kernel.log_sums(b, v + 1e-30j * moved, c.sets, c.labels)
    np.testing.assert_allclose(np.imag(stepped) / 1e-30, c.sets.sum(s * moved, 1), atol=1e-12)
    cube = np.stack([v, v + 1.0, v * 2], axis=1)  # axes between are carried along
    wide = kernel.responses(b, cube, np.stack([moved] * 3, axis=1), c.sets, c.labels)
    np.testing.assert_allclose(wide[0][:, 1], s)
    np.testing.assert_allclose(wide[1][:, 0], by)


numbers = st.floats(-4, 4)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    name=st.sampled_from(sorted(TREES)),
    b=st.tuples(numbers, numbers, numbers),
    lam=st.floats(0.1, 2),
    fractional=st.booleans(),
)
def test_properties_of_every_tree(seed, name, b, lam, fractional):
    nests = TREES[name]
    ones = tree_of(nests, BRANDS, dict.fromkeys(tree_of(nests, BRANDS)[0].names, 1.0))[0]
    plain = market(seed, ones, cases=8, fractional=fractional)
    b = np.array(b)
    c, tol = plain.cases, {"rtol": 1e-10, "atol": 1e-10}
    # Dissimilarities of one: a plain logit.
    np.testing.assert_allclose(plain.shares(b), c.shares(b), **tol)
    np.testing.assert_allclose(plain.llf(b), c.llf(b), **tol)
    np.testing.assert_allclose(plain.scores(b), c.scores(b), **tol)
    np.testing.assert_allclose(plain.information(b), c.information(b), **tol)
    v = LOGIT.utilities(b, c.x)
    np.testing.assert_allclose(
        NestedKernel(ones).log_sums(b, v, c.sets, c.labels),
        LOGIT.log_sums(b, v, c.sets, c.labels),
        **tol,
    )
    # Shares sum to one; frequency weights are repeated rows.
    tree = tree_of(nests, BRANDS)[0]
    data = NestedCases(c, tree)
    params = np.concatenate([b, np.full(len(tree.terms), lam)])
    np.testing.assert_allclose(c.sets.sum(data.shares(params)), 1, atol=1e-12)
    twice = data.weighted(np.full(len(c.start), 2.0))
    assert twice.llf(params) == pytest.approx(2 * data.llf(params), rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(twice.scores(params), 2 * data.scores(params), **tol)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(5)))
def test_the_order_of_alternatives_and_the_names_of_nests_change_nothing(seed, order):
    data = market(seed, tree_of(TREES["three"], BRANDS)[0], cases=8)
    params = np.array([0.5, -1.0, 0.3, 0.9, 0.5, 0.7])
    other = {"B": {"y": ["d", "c"], "x": ["b", "a"]}}
    brands = [BRANDS[k] for k in order]
    place = np.argsort(order)
    c = data.cases
    renamed = Cases(c.x, c.y, c.start, c.count, c.weight, {}, place[c.labels], c.offset)
    turned = NestedCases(renamed, tree_of(other, brands)[0])
    moved = params[[0, 1, 2, 3, 5, 4]]
    np.testing.assert_allclose(turned.shares(moved), data.shares(params), rtol=1e-12)
    assert turned.llf(moved) == pytest.approx(data.llf(params), rel=1e-12)
    back = turned.scores(moved)[:, [0, 1, 2, 3, 5, 4]]
    np.testing.assert_allclose(back, data.scores(params), rtol=1e-9, atol=1e-11)
