"""Spreads that are known: what comes out of simulated respondents."""

import numpy as np
import pytest

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.batch.choices import Choices
from llmdemand.modeling.tastes.fitting import fit, identified, own, within_noise
from llmdemand.modeling.tastes.law import Noisy
from llmdemand.modeling.tastes.shape import matched, skewness

pytestmark = pytest.mark.numbers

SD = np.array([1.0, 0.8])


def respondents(rng, kind, noise, *, people=300, prices=8, runs=1, theta=None):
    """Binary demand of normal tastes, mean (0, -2); and the tastes."""
    price = np.linspace(-1, 1, prices)
    if theta is None:
        theta = rng.normal(size=(people, 2)) * SD + [0.0, -2.0]
    mean = 1 / (1 + np.exp(-(theta[:, :1] + theta[:, 1:] * price)))
    x = np.zeros((people, prices, 2, 2))
    x[:, :, 0, 0], x[:, :, 0, 1] = 1.0, price
    shape = (people, prices, runs)
    belief = np.broadcast_to(mean[..., None], shape)
    if noise:
        size = 1 / noise - 1
        belief = np.clip(rng.beta(belief * size, (1 - belief) * size), 1e-12, 1 - 1e-12)
    y = (rng.random(shape) < belief) * 1.0 if kind == "choice" else belief
    total, n = y.sum(axis=2), np.full((people, prices), float(runs))
    squares = 2 * ((y - y.mean(axis=2, keepdims=True)) ** 2).sum(axis=2)
    return Choices(x, np.stack([total, n - total], axis=2), n, squares, n), theta


@pytest.mark.parametrize(
    ("kind", "noise", "runs", "low", "high"),
    [
        ("belief", 0.0, 1, 0.97, 1.03),
        ("belief", 0.05, 1, 0.92, 1.04),
        ("belief", 0.33, 1, 0.82, 1.05),
        ("choice", 0.2, 20, 0.88, 1.04),
    ],
)
def test_spreads_are_found(kind, noise, runs, low, high):
    ratios, noises = [], []
    for seed in range(3):
        data, theta = respondents(np.random.default_rng(seed), kind, noise, runs=runs)
        found = fit(data, noise=1.0 if kind == "choice" else None)
        assert found.converged and not found.law.boundary
        ratios.append(found.law.sd / theta.std(axis=0, ddof=1))
        noises.append(found.noise)
    assert (np.mean(ratios, axis=0) > low).all() and (np.mean(ratios, axis=0) < high).all()
    if kind == "belief":
        assert np.mean(noises) == pytest.approx(noise, rel=0.1, abs=1e-6)


def test_one_choice_at_each_price_leaves_more_error_than_one_belief():
    errors = {"belief": [], "choice": []}
    for seed in range(4):
        for kind, noise in (("belief", None), ("choice", 1.0)):
            data, theta = respondents(np.random.default_rng(seed), kind, 0.054)
            sd = fit(data, noise=noise).law.sd[1]
            errors[kind].append(sd / theta[:, 1].std(ddof=1) - 1)
    rmse = {k: np.sqrt(np.mean(np.square(v))) for k, v in errors.items()}
    assert rmse["choice"] > 3 * rmse["belief"]


def test_nobody_is_left_out_and_leaving_out_would_select():
    """Those who nearly always or never buy have no own maximum from choices: they are extreme."""
    data, theta = respondents(np.random.default_rng(5), "choice", 0.2, runs=3)
    _, _, exists = own(data, identified(data), 1.0)
    assert 0.02 < 1 - exists.mean() < 0.6
    every, some = fit(data, noise=1.0), fit(data.take(exists), noise=1.0)
    assert len(every.predicted) == len(theta)
    truth = theta.std(axis=0, ddof=1)[0]
    assert abs(every.law.sd[0] / truth - 1) < abs(some.law.sd[0] / truth - 1)


def test_own_estimates_exist_for_inner_beliefs_and_not_for_separated_choices():
    belief, _ = respondents(np.random.default_rng(6), "belief", 0.1, people=30)
    params, inverse, exists = own(belief, identified(belief), 0.1)
    assert exists.all() and np.isfinite(params).all() and np.isfinite(inverse).all()
    choice, _ = respondents(np.random.default_rng(6), "choice", 0.1, people=30)
    params, _, exists = own(choice, identified(choice), 1.0)
    assert not exists.all() and np.isnan(params[~exists]).all()
    assert [choice.separated(i) for i in range(30)] == (~exists).tolist()


def test_respondents_with_one_price_enter_with_what_they_say():
    data, _ = respondents(np.random.default_rng(7), "belief", 0.05, people=60)
    rows, n, total = (v.copy() for v in (data.rows, data.n, data.total))
    rows[:20, 1:] = n[:20, 1:] = 0.0
    total[:20, 1:] = 0.0
    part = Choices(data.x, total, n, data.squares, rows)
    assert identified(part).sum() == 40
    found, rest = fit(part), fit(data.take(np.arange(60) >= 20))
    assert found.converged and len(found.predicted) == 60
    assert found.law.mean != pytest.approx(rest.law.mean, abs=1e-4)
    assert (found.error[:20, 1, 1] > found.error[20:, 1, 1].max()).all()


def test_firth_enters_by_own_estimates():
    data, theta = respondents(np.random.default_rng(8), "belief", 0.05)
    found = fit(data, entering="firth")
    truth = theta.std(axis=0, ddof=1)
    assert found.law.sd == pytest.approx(truth, rel=0.15)
    assert found.noise == pytest.approx(0.05, rel=0.15)


def test_beliefs_that_leave_the_unit_interval():
    rng = np.random.default_rng(9)
    data, theta = respondents(rng, "belief", 0.05, people=200)
    # What correction adds where one in twenty changes the mind: mean zero, of size one.
    jump = rng.choice([-1.0, 0.0, 1.0], p=[0.025, 0.95, 0.025], size=data.n.shape)
    total = data.total + np.stack([jump, -jump], axis=2)
    corrected = Choices(data.x, total, data.n, data.squares, data.rows, data.total)
    found = fit(corrected)
    assert found.converged
    assert found.law.sd == pytest.approx(theta.std(axis=0, ddof=1), rel=0.25)
    assert not own(corrected, identified(corrected), found.noise)[2].all()
    with pytest.raises(UsageError, match="corrected beliefs leave it; use separation='law'"):
        fit(corrected, entering="firth")


def test_noise_between_the_runs_of_a_prompt():
    data, theta = respondents(np.random.default_rng(10), "belief", 0.2, runs=4)
    assert within_noise(data, theta) == pytest.approx(0.2, rel=0.05)
    single, theta = respondents(np.random.default_rng(10), "belief", 0.2)
    assert np.isnan(within_noise(single, theta))


def test_too_few_respondents_and_too_few_prices():
    data, _ = respondents(np.random.default_rng(11), "belief", 0.1, people=3)
    with pytest.raises(
        DesignError, match=r"3 of 3 respondents have prices enough for 2 .* needs 4"
    ):
        fit(data)
    data, _ = respondents(np.random.default_rng(11), "belief", 0.1, prices=2)
    with pytest.raises(DesignError, match="noise of beliefs cannot be told from tastes"):
        fit(data)
    assert fit(data, noise=0.1).noise == 0.1


def test_predictions_matched_to_the_law_have_its_spread():
    data, theta = respondents(np.random.default_rng(12), "belief", 0.33)
    found = fit(data)
    each = matched(found.predicted, found.law)
    assert np.cov(each.T) == pytest.approx(found.law.covariance)
    assert (found.predicted.std(axis=0, ddof=1) < found.law.sd).all()
    assert np.corrcoef(each[:, 1], theta[:, 1])[0, 1] > 0.6


def test_skewness_is_that_of_tastes_not_of_their_noise():
    rng = np.random.default_rng(13)
    for draw, truth in ((rng.normal, 0.0), (rng.standard_exponential, 2.0)):
        theta = draw(size=4000)
        variance = np.exp(0.3 * theta)  # those with larger coefficients say less of them
        seen = theta + np.sqrt(variance) * rng.normal(size=4000)
        data = Noisy(seen[:, None], (1 / variance)[:, None, None])
        found, error = skewness(data, np.ones(1), 200, 1)
        assert abs(found - truth) < 3 * error and error < 0.6
