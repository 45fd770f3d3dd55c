import numpy as np
import pytest

from llmdemand import fit_demand, load_study, simulate
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, MenuError, UsageError


def test_the_known_truth_is_recovered_by_both_outcomes(synthetic_panel):
    for outcome, slack in (("belief", 0.06), ("choice", 0.25)):
        demand = fit_demand(synthetic_panel, outcome)
        lower, upper = demand.conf_int(0.001).loc["price"]
        assert lower < -0.535 < upper
        assert abs(demand.price_sensitivity + 0.535) < slack


def test_belief_is_several_times_as_precise_as_choice(synthetic_panel):
    belief, choice = (fit_demand(synthetic_panel, o).bse["price"] for o in ("belief", "choice"))
    # One over the square root of the intra-cell correlation of 0.054 is 4.3.
    assert 3 < choice / belief < 6


def test_elasticity_and_its_gradient_equal_numerical_ones(synthetic_panel):
    demand = fit_demand(synthetic_panel, "belief")
    prices = np.array([31.0, 36.0, 44.0])
    value, gradient = demand._elasticity(prices)
    step = 1e-5
    share = lambda a, b, p: 1 / (1 + np.exp(-(a + b * p)))  # noqa: E731
    a, b = demand.params
    slope = (share(a, b, prices + step) - share(a, b, prices - step)) / (2 * step)
    np.testing.assert_allclose(value, slope * prices / share(a, b, prices), rtol=1e-6)
    for k, h in ((0, 1e-4), (1, 1e-6)):
        up, down = np.array([a, b]), np.array([a, b])
        up[k], down[k] = up[k] + h, down[k] - h
        elasticity = [c[1] * prices * (1 - share(*c, prices)) for c in (up, down)]
        np.testing.assert_allclose(
            gradient[:, k], (elasticity[0] - elasticity[1]) / (2 * h), rtol=1e-4
        )


def test_elasticity_interval_is_the_delta_method(synthetic_panel):
    demand = fit_demand(synthetic_panel, "choice", vcov="HC1")
    row = demand.elasticity(35).iloc[0]
    _, gradient = demand._elasticity(np.array([35.0]))
    se = np.sqrt(gradient[0] @ demand.fit.cov.to_numpy() @ gradient[0])
    assert row["se"] == pytest.approx(se)
    assert row["upper"] - row["elasticity"] == pytest.approx(1.959964 * se, rel=1e-6)
    with pytest.raises(UsageError, match="positive"):
        demand.elasticity(0)


def test_covariance_follows_the_design(synthetic_panel):
    assert fit_demand(synthetic_panel, "belief").fit.vcov == "HC1"
    frame = synthetic_panel.frame.copy()
    # One prompt, one belief: 30 copies per cell are no evidence beyond the first.
    for column in frame.filter(like="belief_"):
        frame[column] = frame.groupby("cell")[column].transform("first")
    constant = fit_demand(Panel(frame, synthetic_panel.study), "belief").fit
    assert (constant.vcov, constant.clusters) == ("CRV1", 16)


def test_households_are_clusters():
    panel = simulate(load_study("pampers-households"), "synthetic", runs=1, seed=2)
    assert fit_demand(panel, "belief").fit.clusters == 8


def test_rows_that_are_not_ok_are_left_out_and_counted(synthetic_panel):
    frame = synthetic_panel.frame.copy()
    frame.loc[frame.index[:7], "status"] = "low_mass"
    panel = Panel(frame, synthetic_panel.study)
    demand = fit_demand(panel, "belief")
    assert (demand.fit.nobs, demand.fit.dropped) == (473, 7)
    assert "left out 7" in demand.summary()
    assert fit_demand(panel, "belief", statuses=("ok", "low_mass")).fit.nobs == 480


def test_nothing_usable_wrong_names(synthetic_panel):
    frame = synthetic_panel.frame.assign(status="refusal")
    with pytest.raises(DesignError, match=r"no usable run among 480 .*'refusal': 480"):
        fit_demand(Panel(frame, synthetic_panel.study))
    with pytest.raises(UsageError, match="'belief' or 'choice'"):
        fit_demand(synthetic_panel, "beliefs")
    with pytest.raises(MenuError, match="did you mean 'huggies'"):
        fit_demand(synthetic_panel, alternative="hugies")
    with pytest.raises(UsageError, match="'neither' has no price"):
        fit_demand(synthetic_panel, alternative="neither")
    with pytest.raises(DesignError, match=r"one value \(30\)"):
        fit_demand(synthetic_panel, alternative="huggies")
