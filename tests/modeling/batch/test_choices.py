"""Conditional logits of many respondents at once, against those fitted one by one."""

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.modeling.batch.batch import fit_batch
from llmdemand.modeling.batch.choices import Choices, modes

pytestmark = pytest.mark.numbers

PRICE = np.linspace(-1.0, 1.0, 6)


def binary(y, runs):
    """(B, P) sums of outcomes of so many runs at the prices."""
    x = np.zeros((*y.shape, 2, 2))
    x[:, :, 0, 0], x[:, :, 0, 1] = 1.0, PRICE
    n = np.full(y.shape, float(runs))
    return Choices(x, np.stack([y, n - y], axis=2), n, 0 * n, n)


def test_of_buying_or_not_they_are_those_of_the_binary_batch():
    rng = np.random.default_rng(1)
    y = rng.beta(2, 3, size=(40, 6)) * 3
    found, other = modes(binary(y, 3)), fit_batch(PRICE, np.full(y.shape, 3.0), y)
    assert found.converged.all()
    assert found.params == pytest.approx(other.params, rel=1e-8, abs=1e-9)
    inverse = np.linalg.inv(found.information)
    assert np.sqrt(np.einsum("bkk->bk", inverse)) == pytest.approx(other.se_iid, rel=1e-7)


def test_firths_penalty_is_that_of_the_binary_batch_separated_or_not():
    y = np.vstack([np.tril(np.ones((6, 6))), np.random.default_rng(2).integers(0, 3, (20, 6))])
    found = modes(binary(y, 2), firth=True)
    other = fit_batch(PRICE, np.full(y.shape, 2.0), y, firth=True)
    assert found.converged.all() and not other.exists.all()
    assert found.params == pytest.approx(other.params, rel=1e-5, abs=1e-6)


def test_firths_penalty_for_a_noise_is_that_of_so_many_fewer_observations():
    y = np.random.default_rng(3).beta(2, 3, size=(10, 6))
    found = modes(binary(y, 1), firth=True, noise=0.25)
    other = fit_batch(PRICE, np.full(y.shape, 4.0), 4 * y, firth=True)
    assert found.params == pytest.approx(other.params, rel=1e-5, abs=1e-6)


@pytest.fixture(scope="module")
def shares():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(5, 7, 3, 2))
    y = rng.dirichlet([1, 2, 3], size=(5, 7))
    one = np.ones((5, 7))
    return Choices(x, y, one, 0 * one, one)


def test_of_three_alternatives_they_are_those_of_clogit(shares):
    found = modes(shares)
    for i in range(5):
        frame = pd.DataFrame(shares.x[i].reshape(-1, 2), columns=["a", "b"]).assign(
            case=np.repeat(np.arange(7), 3),
            alternative=np.tile(["u", "v", "w"], 7),
            choice=shares.total[i].ravel(),
        )
        fit = ld.clogit("choice ~ a + b | 0", frame, case="case", alternative="alternative")
        assert found.params[i] == pytest.approx(fit.params.to_numpy(), rel=1e-6)


def penalised(data, params, noise):
    """The objective with Firth's penalty, of the first respondent."""
    eta = data.x[0] @ params
    share = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    middle = np.einsum("pa,pak->pk", share, data.x[0])
    square = np.einsum("pa,pak,pal->kl", share, data.x[0], data.x[0]) - middle.T @ middle
    value = (data.total[0] * eta).sum() - np.log(np.exp(eta).sum(axis=1)).sum()
    return value + noise / 2 * np.linalg.slogdet(square)[1]


def test_firths_penalty_of_three_alternatives_is_at_its_maximum(shares):
    best = modes(shares, firth=True, noise=0.7).params[0]
    top = penalised(shares, best, 0.7)
    assert not np.allclose(best, modes(shares).params[0], rtol=1e-2)
    for step in 1e-3 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]):
        assert penalised(shares, best + step, 0.7) < top


def test_beside_a_law_there_is_a_maximum_whatever_the_totals():
    data = binary(np.array([[1.4, 1, 1, 1, 0, -0.3]]), 1)
    root = np.array([[1.0, 0.0], [0.5, 2.0]])
    found = modes(data, law=(np.array([0.2, -1.0]), root), noise=0.5)
    assert found.converged.all()
    pull = 0.5 * root.T @ root @ (found.params[0] - [0.2, -1.0])
    assert found.score[0] == pytest.approx(pull, abs=1e-7)


def test_separation_is_found_for_choices_and_for_corrected_beliefs():
    y = np.array(
        [[1, 1, 1, 0, 0, 0], [1, 0, 1, 0, 1, 0], [1.2, 1, 1, 0, 0, 0], [1.2, 0, 1, 0, 1, 0]]
    )
    data = binary(y, 1)
    assert [data.separated(i) for i in range(4)] == [True, False, True, False]
