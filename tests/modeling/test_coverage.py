"""Intervals cover the truth as often as they say: the ones that other files do not check."""

import numpy as np
import pytest

from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.models.latent import lclogit
from llmdemand.modeling.models.logit import fit
from llmdemand.modeling.optimum.firth import profile_intervals
from llmdemand.modeling.optimum.newton import newton

PRICE = np.tile(np.arange(30, 46.0), 3)
X = np.column_stack([np.ones(len(PRICE)), PRICE - 37])
TRUTH = np.array([0.2, -0.25])
SLOPE = np.array([[0.0, 1.0]])


def draws(replications, seed):
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-X @ TRUTH))
    return rng, (rng.random((replications, len(p))) < p).astype(float)


def within_monte_carlo_error(hits, replications):
    return abs(hits / replications - 0.95) < 3 * np.sqrt(0.95 * 0.05 / replications)


@pytest.mark.slow
def test_penalised_profile_intervals_cover():
    replications, hits = 1000, 0
    for y in draws(replications, 1)[1]:
        data = Cells.of_rows(X, y)
        low, high = profile_intervals(data, newton(data, firth=True).params, rows=SLOPE)[0]
        hits += low < TRUTH[1] < high
    assert within_monte_carlo_error(hits, replications), hits / replications


@pytest.mark.slow
def test_pairs_bootstrap_of_clusters_covers():
    """Households with tastes of their own, 40 of them; percentile intervals."""
    rng, _ = draws(1, 2)
    replications, households, hits = 400, 40, 0
    price = np.tile(np.arange(30, 46.0, 3), households)
    who = np.repeat(np.arange(households), 6)
    x = np.column_stack([np.ones(len(price)), price - 37])
    # The population coefficient of a logit that leaves tastes out is not the one that made
    # them: it is that of a very large sample.
    grid = rng.normal(0, 0.5, 40_000)
    mean = (1 / (1 + np.exp(-(x[:6] @ TRUTH)[:, None] - grid))).mean(axis=1)
    target = fit(mean, x[:6], ["const", "price"], vcov="HC0").params["price"]
    for k in range(replications):
        taste = rng.normal(0, 0.5, households)[who]
        y = (rng.random(len(price)) < 1 / (1 + np.exp(-x @ TRUTH - taste))).astype(float)
        found = fit(y, x, ["const", "price"], vcov={"CRV1": "who"}, groups={"who": who})
        low, high = np.quantile(found.draws(reps=399, seed=k)[:, 1], [0.025, 0.975])
        hits += low < target < high
    assert within_monte_carlo_error(hits, replications), hits / replications


@pytest.mark.slow
@pytest.mark.parametrize("beliefs", [False, True])
def test_intervals_of_latent_classes_cover(segments, beliefs):
    """Tastes and membership of two classes, clustered by respondent, of choices and of beliefs.

    The sandwich takes 150 respondents for many; what it lacks is within 3 points.
    """
    replications, truth = 200, np.array([-0.8, 1.0, -2.5, -0.5, -0.8, 1.0])
    hits = np.zeros(len(truth))
    for k in range(replications):
        frame = segments.market(150, beliefs=beliefs, seed=100 + k)
        options = {"membership": "income", "panel": "person", "starts": 3, "sequences": 10}
        interval = lclogit(segments.formula, frame, **options).conf_int()
        hits += (interval["lower"] < truth) & (truth < interval["upper"])
    error = 3 * np.sqrt(0.95 * 0.05 / replications)
    assert (np.abs(hits / replications - 0.95) < error + 0.03).all(), hits / replications


@pytest.mark.slow
def test_intervals_of_latent_classes_by_pairs_cover(segments):
    """As above, of beliefs corrected by noise: outside [0, 1] in one case of four."""
    replications, truth = 200, np.array([-0.8, 1.0, -2.5, -0.5])
    hits, ends = np.zeros(len(truth)), []
    for k in range(replications):
        frame = segments.corrected(segments.market(150, beliefs=True, seed=100 + k), seed=k)
        options = {"membership": "income", "panel": "person", "starts": 3, "read": "read"}
        fit = lclogit(segments.formula, frame, **options)
        interval, ends = fit.conf_int().iloc[:4], [*ends, fit.params.to_numpy()[:4]]
        hits += (interval["lower"] < truth) & (truth < interval["upper"])
    error = 3 * np.sqrt(0.95 * 0.05 / replications)
    assert (np.abs(hits / replications - 0.95) < error + 0.03).all(), hits / replications
    middle = np.median(ends, axis=0)
    assert (np.abs(middle - truth) < 0.1 * np.abs(truth)).all(), middle
