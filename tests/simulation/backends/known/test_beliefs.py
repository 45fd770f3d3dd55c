"""Beliefs have the moments that are promised."""

import numpy as np
import pytest
from scipy import stats

from llmdemand.simulation.backends.known.beliefs import Beliefs

P, SPLIT, ICC, RUNS = 0.35, {"huggies": 0.55, "store": 0.25, "neither": 0.2}, 0.12, 20_000


@pytest.fixture(scope="module")
def drawn():
    law = Beliefs(ICC)
    rows = [
        list(law.drawn(P, SPLIT, "pampers", np.random.default_rng(k), k).values())
        for k in range(RUNS)
    ]
    return np.array(rows)


def test_beliefs_are_dirichlet_about_the_shares(drawn):
    shares = np.array([P, *((1 - P) * s for s in SPLIT.values())])
    assert drawn.sum(axis=1) == pytest.approx(1)
    assert drawn.mean(axis=0) == pytest.approx(shares, abs=0.005)
    # Var(b_j) = icc s_j (1 - s_j), Cov(b_j, b_k) = -icc s_j s_k: the intra-cell correlation of
    # the choice of every alternative.
    covariance = ICC * (np.diag(shares) - np.outer(shares, shares))
    assert np.cov(drawn.T) == pytest.approx(covariance, abs=0.0012)
    for k, share in enumerate(shares):
        size = 1 / ICC - 1
        law = stats.beta(size * share, size * (1 - share))
        assert stats.kstest(drawn[:, k], law.cdf).pvalue > 1e-4


def test_the_focal_belief_is_the_beta_draw_of_the_reconstruction_however_the_rest_divides(drawn):
    size = 1 / ICC - 1
    beta = [np.random.default_rng(k).beta(P * size, (1 - P) * size) for k in range(50)]
    assert drawn[:50, 0].tolist() == beta
    for split_icc in (0.0, 0.4):
        law = Beliefs(ICC, split_icc)
        found = [law.drawn(P, SPLIT, "pampers", np.random.default_rng(k), k) for k in range(50)]
        assert [f["pampers"] for f in found] == beta
        fixed = [f["huggies"] / (1 - f["pampers"]) for f in found]
        assert (np.ptp(fixed) < 1e-12) == (split_icc == 0)


@pytest.mark.parametrize("p", [0.0, 1.0, 1 - 1e-16, 1e-300])
def test_certainty_leaves_no_law(p):
    found = Beliefs(ICC).drawn(p, SPLIT, "pampers", np.random.default_rng(1), 1)
    assert found["pampers"] == pytest.approx(p) and sum(found.values()) == pytest.approx(1)
