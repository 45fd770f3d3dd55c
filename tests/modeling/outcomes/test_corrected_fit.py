"""Fits of corrected beliefs: the maximum, its covariance, and when there is none."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from llmdemand import load_study, simulate
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.estimation.binary import fit_binary
from llmdemand.modeling.estimation.conditional import fit_conditional
from llmdemand.modeling.estimation.estimate import SeparationWarning
from llmdemand.modeling.estimation.multinomial import fit_multinomial
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.likelihood.separating import separating_sums, separating_totals
from llmdemand.modeling.models.demand import fit_demand
from llmdemand.modeling.outcomes.frames import default_reading, outcomes


@pytest.fixture(scope="module")
def runs():
    """Corrected beliefs of a: outside [0, 1] where the answer changes its mind, some unread."""
    rng = np.random.default_rng(4)
    n = 600
    price = rng.choice([1.0, 2.0, 3.0, 4.0], n)
    b = 1 / (1 + np.exp(price - 2.5 + 0.6 * rng.normal(size=n)))
    pivot = rng.random(n) < b
    final = np.where(rng.random(n) < 0.1, ~pivot, pivot)
    read = (rng.random(n) > 0.08) * 1.0
    y = b + read * final - pivot
    return pd.DataFrame({"price": price, "a": y, "b": read - y, "read": read})


def by_hand(frame):
    """Estimate and HC1 of ``sum y eta - r log(1 + exp(eta))`` by scipy and numpy."""
    x = np.column_stack([np.ones(len(frame)), frame["price"]])
    y, r = frame["a"].to_numpy(), frame["read"].to_numpy()

    def loss(c):
        eta = x @ c
        return -(y @ eta - r @ np.logaddexp(0, eta)), -((y - r / (1 + np.exp(-eta))) @ x)

    found = optimize.minimize(loss, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-10})
    mu = 1 / (1 + np.exp(-x @ found.x))
    bread = np.linalg.inv((x * (r * mu * (1 - mu))[:, None]).T @ x)
    scores = (y - r * mu)[:, None] * x
    cov = bread @ scores.T @ scores @ bread * len(frame) / (len(frame) - 1)
    return found.x, np.sqrt(np.diag(cov)), -found.fun


OPTIONS = Options(read="read")


def test_binary_fits_have_the_maximum_and_its_sandwich(runs):
    assert runs["a"].min() < 0 and runs["a"].max() > 1
    fit = fit_binary("a ~ price", runs, OPTIONS, binary=False)
    params, se, llf = by_hand(runs)
    np.testing.assert_allclose(fit.params, params, rtol=1e-6)
    np.testing.assert_allclose(fit.bse, se, rtol=1e-6)
    assert fit.llf == pytest.approx(llf, rel=1e-9)


def test_all_models_agree_where_there_are_two_alternatives(runs):
    binary = fit_binary("a ~ price", runs, OPTIONS, binary=False)
    wide = fit_multinomial("b + a ~ price", runs, OPTIONS)
    long = pd.concat(
        [runs.assign(case=range(len(runs)), alternative=name, y=runs[name]) for name in ("b", "a")]
    )
    choice = fit_conditional("y ~ 1 | price", long, OPTIONS, base="b")
    for other in (wide, choice):
        np.testing.assert_allclose(other.params, binary.params, rtol=1e-7)
        np.testing.assert_allclose(other.bse, binary.bse, rtol=1e-6)
        assert other.llf == pytest.approx(binary.llf, rel=1e-9)


@pytest.mark.parametrize("vcov", ["HC0", "HC3", {"CRV1": "price"}, {"pairs": "run"}])
def test_every_covariance_takes_corrected_beliefs(runs, vcov):
    """HC0 against numpy, row by row; the others stand near it."""
    runs = runs.assign(run=range(len(runs)))
    fit = fit_binary("a ~ price", runs, Options(vcov, read="read"), binary=False)
    x = np.column_stack([np.ones(len(runs)), runs["price"]])
    plain = fit_binary("a ~ price", runs, Options("HC0", read="read"), binary=False)
    if "price" not in str(vcov):  # four clusters are too few to be near anything
        np.testing.assert_allclose(fit.bse, plain.bse, rtol=0.15)
    assert (fit.bse > 0).all()
    if vcov == "HC0":
        mu = 1 / (1 + np.exp(-x @ fit.params.to_numpy()))
        r = runs["read"].to_numpy()
        bread = np.linalg.inv((x * (r * mu * (1 - mu))[:, None]).T @ x)
        scores = (runs["a"].to_numpy() - r * mu)[:, None] * x
        expected = np.sqrt(np.diag(bread @ scores.T @ scores @ bread))
        np.testing.assert_allclose(fit.bse, expected, rtol=1e-9)


def test_without_a_maximum_it_is_said():
    """At price 2 the mean is beyond 1 and at price 1 below 0: the slope rises for ever."""
    frame = pd.DataFrame({"price": [1.0, 1, 1, 2, 2, 2], "a": [-0.2, -0.1, 0.1, 1.2, 1.1, 0.9]})
    with pytest.warns(SeparationWarning):
        fit = fit_binary("a ~ price", frame.assign(read=1.0), OPTIONS, binary=False)
    assert fit.separated and fit.params["price"] == np.inf and fit.llf == np.inf
    with pytest.raises(DesignError, match="does not exist"):
        fit_binary(
            "a ~ price",
            frame.assign(read=1.0),
            Options(read="read", separation="raise"),
            binary=False,
        )
    with pytest.raises(UsageError, match="Firth's penalty is for outcomes in"):
        Options(read="read", separation="firth")


def test_existence_is_that_of_the_tangent_cone():
    """Against the condition itself, on a fine circle of directions."""
    rng = np.random.default_rng(8)
    angles = np.linspace(0, 2 * np.pi, 4001)
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    seen = set()
    for _ in range(60):
        x = np.column_stack([np.ones(4), np.arange(4.0)])
        n = rng.integers(1, 6, 4).astype(float)
        total = n / (1 + np.exp(x[:, 1] - 1.5)) + rng.normal(size=4)
        gain = (directions @ x.T) @ total - np.maximum(directions @ x.T, 0) @ n
        if abs(gain.max()) < 1e-2:
            continue  # the circle is too coarse to tell
        found = separating_totals(x, total, n) is not None
        assert found == (gain.max() > 0)
        wide = np.zeros((8, 2))
        wide[::2] = x
        y = np.column_stack([total, n - total]).ravel()
        if (y < 0).any():
            assert (separating_sums(wide, y, 2 * np.arange(4), n) is not None) == found
        seen.add(found)
    assert seen == {True, False}


@pytest.fixture(scope="module")
def changed():
    """Synthetic answers of which some go on to another brand, and some cannot be read."""
    panel = simulate(load_study("pampers"), "synthetic", runs=60, seed=3)
    rng, frame = np.random.default_rng(9), panel.frame.copy()
    turned = rng.random(len(frame)) < 0.15
    frame.loc[turned & (frame["choice"] == "pampers"), "final_choice"] = "huggies"
    unread = rng.random(len(frame)) < 0.06
    frame.loc[unread, "final_choice"] = None
    frame.loc[unread, "final_status"] = "unread"
    known = frame["final_choice"].notna()
    frame["mismatch"] = (frame["final_choice"] != frame["choice"]).astype("boolean").where(known)
    return Panel(frame, panel.study, panel.provenance)


@pytest.mark.parametrize("coefficient", ["one", "tuned"])
def test_demand_is_that_of_the_final_choice(changed, coefficient):
    """15 % of those who say Pampers first take Huggies: .85 of the share at every price."""
    final = fit_demand(changed, "belief", coefficient=coefficient)
    found = outcomes(changed, "final", coefficient=coefficient)
    share = found.belief[:, 0].sum() / found.read.sum()
    pivot = changed.frame["belief_pampers"].mean()
    assert share == pytest.approx(0.85 * pivot, abs=0.02)
    fitted = float(final.shares(alternative="pampers"))
    assert fitted == pytest.approx(share, abs=0.01)
    plain = fit_demand(changed, "belief", reading="pivot")
    assert float(plain.shares(alternative="pampers")) == pytest.approx(pivot, abs=0.01)
    choice = fit_demand(changed, "choice")
    assert choice.bse["price"] > final.bse["price"]
    assert final.df == found.changes - 1
    assert "corrected by the final choice" in str(final.summary())


def test_a_panel_without_changes_has_the_numbers_of_the_pivot():
    panel = simulate(load_study("pampers"), "synthetic", runs=10, seed=1)
    assert default_reading(panel) == "final"
    final, pivot = (fit_demand(panel, reading=reading) for reading in ("final", "pivot"))
    np.testing.assert_array_equal(final.params, pivot.params)
    np.testing.assert_array_equal(final.bse, pivot.bse)
    assert any("the correction is zero" in note for note in final.notes)


def test_answers_stopped_with_an_unknown_probability_are_refused(changed):
    frame = changed.frame.copy()
    frame.loc[::2, ["final_choice", "mismatch"]] = None
    frame.loc[::2, "final_status"] = "stopped"
    panel = Panel(frame, changed.study)
    assert default_reading(panel) == "pivot"
    with pytest.raises(UsageError, match="were stopped at their pivot and have no final choice"):
        fit_demand(panel, reading="final")
    with pytest.raises(UsageError, match=r"statuses=.* selects runs by what they say"):
        fit_demand(changed, reading="final", statuses=("ok",))


def test_what_compares_single_outcomes_with_shares_is_refused(runs):
    from llmdemand.modeling.models.results import LogitResults

    fit = LogitResults.of(fit_binary("a ~ price", runs, OPTIONS, binary=False))
    for ask in (fit.scores, fit.calibration, fit.to_statsmodels, lambda: fit.deviance):
        with pytest.raises(UsageError, match="which corrected beliefs leave"):
            ask()
    assert np.isfinite(float(fit.elasticity(price=2)))
