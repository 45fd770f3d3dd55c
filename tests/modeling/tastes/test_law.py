"""The law of tastes: against metafor, statsmodels and plain arithmetic."""

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.meta_analysis import combine_effects

from llmdemand.errors import DesignError
from llmdemand.modeling.tastes.law import Noisy, normal_law, shrunken, spread_interval

pytestmark = pytest.mark.numbers

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "golden" / "random_effects.json").read_text("utf-8")
)


def near(found, printed):
    """Within half a unit of the last printed digit."""
    for one, text in zip(np.ravel(found), np.ravel(printed), strict=True):
        unit = 10.0 ** Decimal(str(text)).as_tuple().exponent
        assert abs(one - float(text)) <= 0.5 * unit * (1 + 1e-6), (one, text)


def bcg():
    """Log risk ratios of 13 trials."""
    a, b, c, d = np.array(GOLDEN["bcg"]["rows"], float).T
    effect = np.log(a / (a + b)) - np.log(c / (c + d))
    return one_outcome(effect, 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))


def one_outcome(effect, variance):
    return Noisy(effect[:, None], (1 / variance)[:, None, None])


def collins():
    """Log odds ratios of 9 trials."""
    x1, n1, x0, n0 = np.array(GOLDEN["collins"]["rows"], float).T
    effect = np.log(x1 / (n1 - x1)) - np.log(x0 / (n0 - x0))
    return one_outcome(effect, 1 / x1 + 1 / (n1 - x1) + 1 / x0 + 1 / (n0 - x0))


def berkey():
    rows = np.array(GOLDEN["berkey"]["rows"])
    noise = np.stack([rows[:, [2, 3]], rows[:, [3, 4]]], axis=1)
    return Noisy(rows[:, :2], np.linalg.inv(noise))


def correlation(law):
    return law.covariance[0, 1] / np.prod(law.sd)


def test_one_outcome_is_that_of_metafor():
    law = normal_law(bcg())
    near(law.covariance, [[GOLDEN["bcg"]["reml"]["variance"]]])
    near(law.sd, [GOLDEN["bcg"]["reml"]["sd"]])
    assert law.converged and not law.boundary


@pytest.mark.parametrize("kind", ["reml", "ml"])
def test_profile_intervals_are_those_of_metafor(kind):
    data, restricted = collins(), kind == "reml"
    law = normal_law(data, restricted=restricted)
    near(law.covariance, [[GOLDEN["collins"][kind]["variance"]]])
    ends = spread_interval(data, law, np.ones(1), 0.95, restricted=restricted)
    near(np.square(ends), GOLDEN["collins"][kind]["profile"])


def test_two_outcomes_are_those_of_metafor():
    law, told = normal_law(berkey(), restricted=False), GOLDEN["berkey"]["ml"]
    near(law.mean, told["mean"])
    near(np.sqrt(np.diag(law.mean_cov)), told["se"])
    near(np.diag(law.covariance), told["variance"])
    near([correlation(law)], [told["correlation"]])


def test_nearly_collinear_tastes_are_those_of_metafor():
    a, b, c, d = np.array(GOLDEN["bcg"]["rows"], float).T
    precision = np.zeros((13, 2, 2))
    precision[:, 0, 0], precision[:, 1, 1] = 1 / (1 / a + 1 / b), 1 / (1 / c + 1 / d)
    effects = np.stack([np.log(a / b), np.log(c / d)], axis=1)
    law, told = normal_law(Noisy(effects, precision), restricted=False), GOLDEN["vanhouwelingen"]
    near(law.mean, told["ml"]["mean"])
    near(np.diag(law.covariance), told["ml"]["variance"])
    near([correlation(law)], [told["ml"]["correlation"]])


def test_the_error_of_the_mean_is_that_of_knapp_and_hartung():
    """Statsmodels has their factor; at the REML variance its weights are ours."""
    data = bcg()
    law = normal_law(data)
    # Noise that holds the spread already, and no further spread, gives the same weights.
    total = 1 / data.precision[:, 0, 0] + law.covariance[0, 0]
    other = combine_effects(data.estimate[:, 0], total, method_re="chi2", use_t=True)
    assert law.mean[0] == pytest.approx(other.mean_effect_fe, rel=1e-10)
    hartung = np.sqrt(law.factor * law.mean_cov[0, 0])
    assert hartung == pytest.approx(other.sd_eff_w_fe_hksj, rel=1e-8)


def test_the_profile_of_two_outcomes_is_the_best_over_the_others():
    """By another optimiser, over another parametrisation."""
    data = berkey()
    law = normal_law(data)

    def value(omega):
        noise = np.linalg.inv(data.precision) + omega
        weight = np.linalg.inv(noise)
        total = weight.sum(axis=0)
        mean = np.linalg.solve(total, np.einsum("bkl,bl->k", weight, data.estimate))
        rest = data.estimate - mean
        return -0.5 * (
            np.linalg.slogdet(noise)[1].sum()
            + np.einsum("bk,bkl,bl->", rest, weight, rest)
            + np.linalg.slogdet(total)[1]
        )

    def best(s):
        def loss(free):
            other, r = np.exp(free[0]), np.tanh(free[1])
            return -value(np.array([[s * s, r * s * other], [r * s * other, other**2]]))

        return -optimize.minimize(loss, [-1.5, 0.5], method="Nelder-Mead").fun

    top = value(law.covariance)
    for s in spread_interval(data, law, np.array([1.0, 0.0]), 0.95):
        assert top - best(s) == pytest.approx(stats.chi2.ppf(0.95, 1) / 2, abs=2e-3)


def test_without_noise_the_law_is_mean_and_covariance():
    theta = np.random.default_rng(1).normal(size=(40, 3)) @ np.array(
        [[1, 0.5, 0], [0, 1, 0.2], [0, 0, 2]]
    )
    law = normal_law(Noisy(theta, np.tile(1e9 * np.eye(3), (40, 1, 1))))
    assert law.mean == pytest.approx(theta.mean(axis=0), abs=1e-6)
    assert law.covariance == pytest.approx(np.cov(theta.T), rel=1e-4, abs=1e-5)


def test_units_and_combinations_of_coefficients_change_nothing():
    data, way = berkey(), np.array([[100.0, 0.0], [3.0, 0.5]])
    law, seen = normal_law(data), normal_law(data.seen(way))
    assert seen.mean == pytest.approx(way @ law.mean, rel=1e-5)
    assert seen.covariance == pytest.approx(way @ law.covariance @ way.T, rel=1e-4)
    ends = spread_interval(data, law, way[1], 0.9)
    same = spread_interval(data.seen(way), seen, np.array([0.0, 1.0]), 0.9)
    assert ends == pytest.approx(same, rel=1e-3)


def test_respondents_whose_data_leave_a_direction_open_say_what_they_say():
    """In the limit of a noise without end in one direction."""
    rng = np.random.default_rng(2)
    estimate = rng.normal(size=(30, 2))
    closed = np.tile(4 * np.eye(2), (30, 1, 1))
    open_ = closed.copy()
    open_[:10] = np.outer([1.0, 0.5], [1.0, 0.5])
    nearly = open_.copy()
    nearly[:10] += 1e-7 * np.eye(2)
    one, other = normal_law(Noisy(estimate, open_)), normal_law(Noisy(estimate, nearly))
    assert one.covariance == pytest.approx(other.covariance, rel=1e-4, abs=1e-6)
    assert one.mean != pytest.approx(normal_law(Noisy(estimate, closed)).mean, rel=1e-3)


def test_no_more_variance_than_noise_is_no_spread():
    estimate = np.array([[1.0], [1.1], [0.9], [1.05], [0.95]])
    data = Noisy(estimate, np.ones((5, 1, 1)))
    law = normal_law(data)
    assert law.boundary and law.sd[0] == 0 and law.llf == 0
    low, high = spread_interval(data, law, np.ones(1), 0.95)
    assert low == 0 and 0 < high < 3
    predicted, error = shrunken(data, law)
    assert predicted == pytest.approx(np.ones((5, 1))) and error == pytest.approx(0.2)


def test_shrunken_estimates_are_posterior_means():
    law = normal_law(bcg())
    tau2, noise = law.covariance[0, 0], 1 / bcg().precision[:, 0, 0]
    share = tau2 / (tau2 + noise)
    predicted, error = shrunken(bcg(), law)
    expected = law.mean[0] + share * (bcg().estimate[:, 0] - law.mean[0])
    assert predicted[:, 0] == pytest.approx(expected)
    # Kackar and Harville's two parts.
    parts = share * noise + (1 - share) ** 2 * law.mean_cov[0, 0]
    assert error[:, 0, 0] == pytest.approx(parts)


def test_a_count_is_a_repetition():
    data, count = collins(), np.array([2, 1, 1, 3, 1, 0, 1, 1, 1.0])
    repeated = np.repeat(np.arange(9), count.astype(int))
    one = normal_law(Noisy(data.estimate, data.precision, count))
    other = normal_law(Noisy(data.estimate[repeated], data.precision[repeated]))
    assert one.covariance == pytest.approx(other.covariance, rel=1e-5)
    assert one.factor == pytest.approx(other.factor, rel=1e-5)


def test_intervals_cover():
    """Of the spread, from 40 respondents whose noise is as large as it."""
    rng, inside = np.random.default_rng(3), []
    for _ in range(200):
        variance = rng.uniform(0.5, 1.5, 40)
        effect = rng.normal(size=40) + np.sqrt(variance) * rng.normal(size=40)
        data = one_outcome(effect, variance)
        low, high = spread_interval(data, normal_law(data), np.ones(1), 0.9)
        inside.append(low <= 1 <= high)
    assert 0.84 < np.mean(inside) < 0.96


def test_too_few_respondents():
    with pytest.raises(DesignError, match="2 respondents for 2 coefficients"):
        normal_law(Noisy(np.zeros((2, 2)), np.tile(np.eye(2), (2, 1, 1))))
    with pytest.raises(DesignError, match="not identified for any"):
        normal_law(Noisy(np.zeros((9, 2)), np.tile(np.diag([1.0, 0.0]), (9, 1, 1))))
