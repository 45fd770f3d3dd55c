from dataclasses import replace

import numpy as np
import pytest

from llmdemand import SyntheticBackend, fit_demand, load_study, simulate
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, MenuError, UsageError

pytestmark = pytest.mark.numbers


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


def test_elasticity_is_that_of_the_logit_with_a_delta_interval(synthetic_panel):
    demand = fit_demand(synthetic_panel, "choice", vcov="HC1")
    found = demand.elasticity([31, 35]).table
    (a, b), p = demand.params, found["price"].to_numpy()
    s = 1 / (1 + np.exp(-(a + b * p)))
    np.testing.assert_allclose(found["estimate"], b * p * (1 - s), rtol=1e-12)
    gradient = np.column_stack([-b * p * s * (1 - s), p * (1 - s) - b * p**2 * s * (1 - s)])
    se = np.sqrt(np.einsum("ij,jk,ik->i", gradient, demand.fit.cov.to_numpy(), gradient))
    np.testing.assert_allclose(found["se"], se, rtol=1e-9)
    np.testing.assert_allclose(found["upper"] - found["estimate"], 1.959964 * se, rtol=1e-6)
    with pytest.raises(DesignError, match="positive"):
        demand.elasticity(0)
    with pytest.raises(UsageError, match="not both"):
        demand.elasticity(35, at={"price": 35})


def test_all_models_agree_where_only_one_price_moves(synthetic_panel):
    """The others' shares are fixed parts of what is left: IIA holds in these consumers."""
    binary, conditional, multinomial = (
        fit_demand(synthetic_panel, "belief", model=m) for m in ("logit", "clogit", "mnlogit")
    )
    assert conditional.price_sensitivity == pytest.approx(binary.price_sensitivity, abs=1e-3)
    for ours in (conditional, multinomial):
        np.testing.assert_allclose(
            ours.elasticity([33, 36]).estimate, binary.elasticity([33, 36]).estimate, rtol=1e-3
        )
        assert ours.shares(35).table["estimate"].sum() == pytest.approx(1)
        assert float(ours.optimal_price(18)) == pytest.approx(
            float(binary.optimal_price(18)), abs=0.01
        )
    matrix = conditional.elasticity(35, kind="matrix").matrix()
    assert matrix.loc["pampers", "pampers"] == pytest.approx(float(binary.elasticity(35)), rel=1e-3)
    assert list(multinomial.params.index)[1] == "price_pampers:pampers"


def test_prices_enter_in_other_ways(synthetic_panel):
    log = fit_demand(synthetic_panel, "belief", formula="log(price)")
    # Constant in the log-odds: e = b (1 - s).
    share = float(log.demand_curve([35]))
    assert float(log.elasticity(35)) == pytest.approx(log.params["log(price)"] * (1 - share))
    with pytest.raises(DesignError, match="no coefficient 'price'"):
        _ = log.price_sensitivity
    dummies = fit_demand(synthetic_panel, "belief", formula="C(price)")
    means = synthetic_panel.frame.groupby("price_pampers")["belief_pampers"].mean()
    np.testing.assert_allclose(dummies.demand_curve().estimate, means, atol=1e-9)
    with pytest.raises(DesignError):
        dummies.elasticity(35)


def test_variants_arms_and_personas_are_columns():
    study = load_study("pampers-households")
    # Numbers in all personas are numbers in formulas.
    panel = simulate(study, SyntheticBackend(study, persona_sd=2.0), runs=1, seed=2)
    found = fit_demand(panel, "belief", formula="price + reservation_price")
    assert "reservation_price" in found.params.index
    arms = replace(load_study("pampers"), arms=("blind", "unblinded"))
    panel = simulate(arms, "synthetic", runs=3, seed=2)
    found = fit_demand(panel, "belief", formula="price * C(arm)", vcov={"CRV1": "cell"})
    assert found.fit.clusters == 32 and "C(arm)[T.unblinded]" in found.params.index


def test_a_rival_s_price_gives_a_cross_elasticity():
    study = load_study("pampers")
    study = replace(study, prices={**study.prices, "huggies": (26.0, 30.0, 34.0)})
    panel = simulate(study, SyntheticBackend(study, rival_slope=0.2), runs=20, seed=3)
    found = fit_demand(panel, "belief", formula="price + price_huggies")
    lower, upper = found.conf_int(0.001).loc["price_huggies"]
    assert lower < 0.2 < upper
    at = {"price": 35, "price_huggies": 30}
    cross = found.elasticity(kind="cross", rival="price_huggies", at=at)
    share = float(found.shares(at=at, alternative="pampers"))
    assert float(cross) == pytest.approx(found.params["price_huggies"] * 30 * (1 - share))
    with pytest.raises((DesignError, UsageError), match=r"rival|price_huggies"):
        fit_demand(panel, "belief").elasticity(kind="cross", rival="price_huggies")


def test_beliefs_without_doubt_or_noise_are_told(synthetic_panel):
    from llmdemand.modeling.estimation.estimate import VarianceWarning

    frame = synthetic_panel.frame.copy()
    sure = (frame["choice"] == "pampers").astype(float)
    frame = frame.assign(
        belief_pampers=sure,
        belief_huggies=(frame["choice"] == "huggies").astype(float),
        belief_neither=(frame["choice"] == "neither").astype(float),
    )
    panel = Panel(frame, synthetic_panel.study)
    with pytest.warns(VarianceWarning, match="belief says what choice says"):
        belief = fit_demand(panel, "belief")
    assert belief.price_sensitivity == pytest.approx(fit_demand(panel, "choice").price_sensitivity)
    frame[["belief_pampers", "belief_huggies", "belief_neither"]] = [0.4, 0.4, 0.2]
    with pytest.warns(VarianceWarning, match="does not vary about the fit"):
        flat = fit_demand(Panel(frame, synthetic_panel.study), "belief")
    assert flat.price_sensitivity == pytest.approx(0, abs=1e-12)


def test_covariance_follows_the_design(synthetic_panel):
    assert fit_demand(synthetic_panel, "belief").fit.vcov == "HC1"
    frame = synthetic_panel.frame.copy()
    # One prompt, one belief: 30 copies per cell are no evidence beyond the first.
    for column in frame.filter(like="belief_"):
        frame[column] = frame.groupby("cell")[column].transform("first")
    constant = fit_demand(Panel(frame, synthetic_panel.study), "belief").fit
    assert (constant.vcov, constant.clusters) == ("CRV1 (clusters: cell)", 16)


def test_firth_of_choices_has_the_errors_of_its_information(synthetic_panel):
    assert fit_demand(synthetic_panel, "choice", separation="firth").fit.vcov == "iid"
    assert fit_demand(synthetic_panel, "belief", separation="firth").fit.vcov == "HC1"


def test_households_are_clusters():
    panel = simulate(load_study("pampers-households"), "synthetic", runs=1, seed=2)
    assert fit_demand(panel, "belief").fit.clusters == 8


def test_rows_with_little_mass_stay_in_unless_the_pivot_is_asked_for(synthetic_panel):
    frame = synthetic_panel.frame.copy()
    frame.loc[frame.index[:7], "status"] = "low_mass"
    panel = Panel(frame, synthetic_panel.study)
    assert fit_demand(panel, "belief").nobs == 480
    demand = fit_demand(panel, "belief", reading="pivot")
    assert (demand.nobs, demand.dropped) == (473, 7)
    assert "left out 7" in demand.summary()
    assert fit_demand(panel, "belief", statuses=("ok", "low_mass")).nobs == 480


def test_nothing_usable_wrong_names(synthetic_panel):
    frame = synthetic_panel.frame.assign(status="refusal")
    with pytest.raises(DesignError, match=r"no usable run among 480 .*'refusal': 480"):
        fit_demand(Panel(frame, synthetic_panel.study))
    with pytest.raises(UsageError, match="'belief' or 'choice'"):
        fit_demand(synthetic_panel, "beliefs")
    with pytest.raises(UsageError, match="did you mean 'clogit'"):
        fit_demand(synthetic_panel, model="cloggit")
    with pytest.raises(MenuError, match="did you mean 'huggies'"):
        fit_demand(synthetic_panel, alternative="hugies")
    with pytest.raises(UsageError, match="'neither' has no price"):
        fit_demand(synthetic_panel, alternative="neither")
    with pytest.raises(DesignError, match=r"one value \(30\)"):
        fit_demand(synthetic_panel, alternative="huggies")


def test_two_personas_are_clustered_as_documented():

    study = load_study("pampers")
    people = ({"id": "p1", "who": "young"}, {"id": "p2", "who": "old"})
    asked = replace(study, personas=people, user=study.user + " You are {who}.")
    panel = simulate(asked, "synthetic", runs=4, seed=1)
    fit = fit_demand(panel, "choice")
    assert "CRV1" in fit.vcov and "cell" in fit.vcov
    assert fit.clusters == panel.frame["cell"].nunique()
    plain = fit_demand(simulate(study, "synthetic", runs=4, seed=1), "choice")
    assert plain.clusters is None
