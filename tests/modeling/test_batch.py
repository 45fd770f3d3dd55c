import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.modeling.batch import fit_batch
from llmdemand.modeling.logit import fit
from llmdemand.modeling.separation import separating_direction

PRICES = np.arange(30, 46.0)


def sums(y):
    """One fit's sufficient statistics from (J, R) outcomes."""
    n = np.full(len(y), float(y.shape[1]))
    return n[None], y.sum(axis=1)[None], (y**2).sum(axis=1)[None]


def test_each_fit_of_a_batch_equals_the_single_fit():
    rng = np.random.default_rng(1)
    p = 1 / (1 + np.exp(0.535 * (PRICES - 34.8)))
    outcomes = [rng.beta(5 * p, 5 * (1 - p), (4, 16)).T for _ in range(20)]
    outcomes += [(rng.random((16, 4)) < p[:, None]).astype(float) for _ in range(20)]
    parts = [sums(y) for y in outcomes]
    batch = fit_batch(PRICES, *(np.concatenate(s) for s in zip(*parts, strict=True)))
    x = np.column_stack([np.ones(64), np.repeat(PRICES, 4)])
    for k, y in enumerate(outcomes):
        for vcov, field in (("iid", "se_iid"), ("HC1", "se_robust")):
            single = fit(y.ravel(), x, ["const", "price"], vcov=vcov)
            assert batch.slope[k] == pytest.approx(single.params["price"], rel=1e-9)
            assert batch.const[k] == pytest.approx(single.params["const"], rel=1e-9)
            assert getattr(batch, field)[k] == pytest.approx(single.bse["price"], rel=1e-8)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=5, max_size=5), st.integers(0, 10**6))
def test_existence_is_what_the_row_wise_check_says(values, seed):
    x = np.random.default_rng(seed).integers(0, 3, 5).astype(float)
    y = np.array(values)
    price = np.unique(x)
    n = np.array([[(x == p).sum() for p in price]], float)
    total = np.array([[y[x == p].sum() for p in price]])
    squares = np.array([[(y[x == p] ** 2).sum() for p in price]])
    found = fit_batch(price, n, total, squares).exists[0]
    separated = len(price) < 2 or (
        separating_direction(np.column_stack([np.ones(5), x]), y) is not None
    )
    assert found == (not separated)


def test_fits_that_do_not_exist_are_nan_and_leave_their_neighbours_alone():
    n = np.full((2, 16), 5.0)
    total = np.stack([np.where(PRICES < 38, 5.0, 0.0), np.linspace(4, 1, 16)])
    found = fit_batch(PRICES, n, total, total)
    assert found.exists.tolist() == [False, True]
    assert np.isnan(found.slope[0]) and np.isnan(found.se_robust[0])
    alone = fit_batch(PRICES, n[1:], total[1:], total[1:])
    assert found.slope[1] == alone.slope[0]
