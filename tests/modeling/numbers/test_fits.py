"""Fits of quantities and ratings, against statsmodels and the known truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.miscmodels.ordinal_model import OrderedModel

import llmdemand as ld
from llmdemand.errors import DesignError, MenuError, UsageError

pytestmark = pytest.mark.numbers


def asked(name, runs=30, seed=1, **options):
    study = ld.load_study(name)
    return ld.simulate(study, ld.SyntheticBackend(study, **options), runs=runs, seed=seed)


@pytest.fixture(scope="module")
def packs():
    return asked("coffee-packs")


@pytest.fixture(scope="module")
def ratings():
    return asked("coffee-intention")


def number(panel):
    return panel.frame["choice"].str[1:].astype(int)


@pytest.mark.parametrize("vcov", ["HC0", {"CRV1": "cell"}, "iid"])
def test_counts_are_statsmodels_poisson(packs, vcov):
    x = sm.add_constant(packs.frame["price_aroma"])
    how = {
        "HC0": {"cov_type": "HC0"},
        "iid": {"scale": "X2"},
    }.get(vcov if isinstance(vcov, str) else "")
    if how is None:
        groups = packs.frame["cell"].to_numpy()
        how = {"cov_type": "cluster", "cov_kwds": {"groups": groups, "use_correction": False}}
    family = sm.families.Poisson()
    known = sm.GLM(number(packs), x, family=family).fit(**how)
    found = ld.quantity_demand(packs, "choice", vcov=vcov, ssc="none")
    assert found.params.to_numpy() == pytest.approx(known.params.to_numpy(), rel=1e-8)
    assert found.bse.to_numpy() == pytest.approx(known.bse.to_numpy(), rel=1e-7)
    assert found.dispersion == pytest.approx(known.pearson_chi2 / known.df_resid, rel=1e-8)


def test_means_of_belief_are_statsmodels_poisson_too(packs):
    mean = packs.frame[[f"belief_q{k}" for k in range(6)]] @ np.arange(6)
    x = sm.add_constant(packs.frame["price_aroma"])
    known = sm.GLM(mean, x, family=sm.families.Poisson()).fit(cov_type="HC0")
    found = ld.quantity_demand(packs, vcov="HC0")
    assert found.params.to_numpy() == pytest.approx(known.params.to_numpy(), rel=1e-8)
    assert found.bse.to_numpy() == pytest.approx(known.bse.to_numpy(), rel=1e-7)


def test_choices_are_statsmodels_ordered_model(ratings):
    model = OrderedModel(number(ratings), ratings.frame[["price_aroma"]], distr="logit")
    known = model.fit(method="newton", disp=0, maxiter=200)
    cuts = model.transform_threshold_params(known.params)[1:-1]
    found = ld.ologit(ratings, "choice", vcov="iid")
    assert found.llf == pytest.approx(known.llf, rel=1e-9)
    assert found.params["price"] == pytest.approx(known.params.iloc[0], rel=1e-5)
    assert found.params.iloc[1:].to_numpy() == pytest.approx(cuts, rel=1e-4)
    assert found.bse["price"] == pytest.approx(known.bse.iloc[0], rel=1e-4)
    assert list(found.terms) == ["price", "1|2", "2|3", "3|4", "4|5"]


def test_a_belief_is_as_many_choices_in_proportion(ratings):
    """Beliefs in tenths are ten choices each: the same estimate."""
    from llmdemand.modeling.numbers.likelihoods import Ratings, maximum

    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 2))
    parts = rng.multinomial(10, [0.2, 0.3, 0.4, 0.1], size=40)
    start = np.array([0.0, 0.0, -1.0, 0.0, 1.0])
    belief = Ratings(x, np.zeros(40), np.ones(40), {}, parts / 10)
    rows = np.repeat(np.arange(40), 10)
    chosen = np.concatenate([np.repeat(np.arange(4), row) for row in parts])
    each = Ratings(x[rows], np.zeros(400), np.ones(400), {}, np.eye(4)[chosen])
    assert maximum(belief, start).params == pytest.approx(maximum(each, start).params, abs=1e-7)


@pytest.mark.parametrize("what", ["counts", "ratings"])
def test_scores_and_information_are_derivatives(what):
    from llmdemand.modeling.numbers.likelihoods import Counts, Ratings

    rng = np.random.default_rng(5)
    x, weight, offset = rng.normal(size=(30, 2)), rng.uniform(1, 2, 30), rng.normal(size=30) / 5
    if what == "counts":
        data = Counts(x, offset, weight, {}, rng.uniform(0, 3, 30), rng.uniform(0.8, 1.2, 30))
        at = np.array([0.3, -0.4])
    else:
        # Corrected beliefs leave [0, 1].
        law = rng.dirichlet(np.ones(4), 30) + rng.normal(size=(30, 4)) / 10
        data = Ratings(x, offset, weight, {}, law)
        at = np.array([0.3, -0.4, -1.2, 0.1, 0.9])
    step = 1e-5
    for k, one in enumerate(np.eye(len(at)) * step):
        slope = (data.llf(at + one) - data.llf(at - one)) / (2 * step)
        assert data.gradient(at)[k] == pytest.approx(slope, abs=1e-6)
        bend = (data.gradient(at + one) - data.gradient(at - one)) / (2 * step)
        assert -data.information(at)[k] == pytest.approx(bend, abs=1e-5)


def test_the_truth_is_found_and_belief_says_more_than_choice():
    """Over many samples: no bias, honest standard errors, and the variance law."""
    for name, door in (("coffee-packs", ld.quantity_demand), ("coffee-intention", ld.ologit)):
        truth = ld.SyntheticBackend(ld.load_study(name)).consumer.slope
        z, spread = [], {"belief": [], "choice": []}
        for seed in range(8):
            panel = asked(name, runs=8, seed=seed)
            for outcome in spread:
                found = door(panel, outcome)
                spread[outcome].append(found.price_sensitivity)
                z.append((found.price_sensitivity - truth) / found.bse["price"])
        assert abs(np.mean(z)) < 1.0 and np.mean(np.square(z)) < 2.5
        assert np.std(spread["choice"]) > 2 * np.std(spread["belief"])


def test_precision_counts_runs(packs, ratings):
    for panel in (packs, ratings):
        found = ld.number_precision(panel)
        assert found.table.loc["price", "worth"] > 4
        needed = found.runs_needed(tolerance=0.1)
        assert needed["choice"] > 4 * needed["belief"] >= 4
        assert "runs per cell" in str(found) and "within" in found.belief.vcov
        tight = found.runs_needed(tolerance=0.05)
        assert tight["choice"] == pytest.approx(4 * needed["choice"], rel=0.05)
    with pytest.raises(UsageError, match="no coefficient 'prise'"):
        found.runs_needed("prise")
    with pytest.raises(UsageError, match="compare"):
        ld.number_precision(ld.simulate(ld.load_study("pampers"), "synthetic", runs=1, seed=1))


def test_quantities_of_demand(packs):
    found = ld.fit_demand(packs)
    assert isinstance(found, ld.QuantityDemand)
    b = found.params["price"]
    elasticity = found.elasticity([5, 8])
    assert elasticity.estimate == pytest.approx([5 * b, 8 * b], rel=1e-6)
    assert elasticity.se == pytest.approx(np.array([5, 8]) * found.bse["price"], rel=1e-6)
    assert found.expected(6).estimate == pytest.approx(np.exp(found.params["const"] + 6 * b))
    best = found.optimal_price(3)
    assert best.estimate == pytest.approx(3 - 1 / b, rel=1e-5)
    assert best.se == pytest.approx(found.bse["price"] / b**2, rel=1e-3)
    curve = found.demand_curve(points=5)
    assert len(curve) == 5 and (np.diff(curve.estimate) < 0).all()
    constant = ld.quantity_demand(packs, formula="log(price)").elasticity([5, 8])
    assert np.ptp(constant.estimate) < 1e-6
    edge = found.optimal_price(8.9)
    assert edge.estimate == 9 and np.isnan(edge.se) and "end of the prices" in edge.notes[0]
    with pytest.raises(DesignError, match="not below the highest price"):
        found.optimal_price(12)
    with pytest.raises(UsageError, match="cost=-1"):
        found.optimal_price(-1)
    with pytest.raises(UsageError, match="positive numbers"):
        found.elasticity(-4)


def test_splines_have_elasticities_up_to_their_ends_and_categories_none(packs, ratings):
    for panel in (packs, ratings):
        found = ld.fit_demand(panel, formula="bs(price, df=4)")
        assert np.isfinite(found.elasticity([4, 6, 9]).estimate).all()
        kinds = ld.fit_demand(panel, formula="C(price)")
        assert np.isfinite(kinds.expected().estimate).all()
        with pytest.raises(DesignError, match="prices as categories have no elasticity"):
            kinds.elasticity(6)
    assert any("iid standard errors" in n for n in ld.ologit(ratings, vcov="iid").notes)


def test_censoring_is_said(packs):
    assert any("are the largest one, 5" in note for note in ld.fit_demand(packs).notes)
    few = asked("coffee-packs", runs=3, indifference=1.0)
    assert not any("largest one" in note for note in ld.fit_demand(few).notes)


def test_quantities_of_ratings(ratings):
    found = ld.fit_demand(ratings)
    assert isinstance(found, ld.RatingDemand)
    from scipy.special import expit

    p = 1 - expit(found.params["3|4"] - 6 * found.params["price"])
    top = found.top_box(6)
    assert top.estimate == pytest.approx(p, rel=1e-9)
    assert top.lower < p < top.upper and top.name.startswith("share of ratings of 4 and more")
    one, two = found.top_box(6, boxes=1).estimate, top.estimate
    bought = found.purchases({5: 0.7, 4: 0.3}, 6)
    assert bought.estimate == pytest.approx(0.7 * one + 0.3 * (two - one), rel=1e-9)
    slope = np.log(found.top_box(6.001).estimate / found.top_box(5.999).estimate) / np.log(
        6.001 / 5.999
    )
    assert found.elasticity(6).estimate == pytest.approx(slope, rel=1e-4)
    assert 1 < found.expected(6).estimate < 5
    for weights in ({6: 0.5}, {}, {5: 1.2}):
        with pytest.raises(UsageError):
            found.purchases(weights, 6)
    with pytest.raises(UsageError, match="boxes=5"):
        found.top_box(6, boxes=5)


def test_the_delta_method_agrees_with_redrawn_coefficients(ratings, packs):
    rng = np.random.default_rng(1)
    for fit, ask in (
        (ld.fit_demand(ratings), lambda f: f.top_box(6)),
        (ld.fit_demand(packs), lambda f: f.elasticity(6)),
        (ld.quantity_demand(packs, formula="log(price) + price"), lambda f: f.elasticity(6)),
        (ld.fit_demand(ratings), lambda f: f.elasticity(6)),
    ):
        drawn = [
            ask(replace(fit, at=replace(fit.at, params=params))).estimate
            for params in rng.multivariate_normal(fit.at.params, fit.estimated.cov, 100)
        ]
        assert np.std(drawn) == pytest.approx(ask(fit).se, rel=0.35)


def test_points_that_nobody_chooses_are_said_and_have_no_cut():
    panel = asked("coffee-intention", runs=2)
    frame = panel.frame.assign(
        choice=panel.frame["choice"].replace("r3", "r4"),
        final_choice=panel.frame["final_choice"].replace("r3", "r4"),
    )
    found = ld.ologit(replace(panel, frame=frame), "choice", reading="pivot")
    assert "2|4" in found.terms and any("no answer is 3" in note for note in found.notes)
    same = panel.frame.assign(choice="r2", final_choice="r2")
    with pytest.raises(DesignError, match="needs two"):
        ld.ologit(replace(panel, frame=same), "choice", reading="pivot")


def test_nobody_buys_and_one_price_are_refused(packs):
    nothing = packs.frame.assign(choice="q0", final_choice="q0")
    with pytest.raises(DesignError, match="nobody buys anything"):
        ld.quantity_demand(replace(packs, frame=nothing), "choice", reading="pivot")
    one = packs.frame[packs.frame["price_aroma"] == 4]
    with pytest.raises(DesignError, match="two prices"):
        ld.fit_demand(replace(packs, frame=one))
    bad = packs.frame.assign(status="refusal", choice=None, final_choice=None)
    bad["final_status"] = "unread"
    with pytest.raises(DesignError, match="no usable run"):
        ld.fit_demand(replace(packs, frame=bad), reading="pivot")


def test_other_models_and_options_are_refused_in_words(packs, ratings):
    with pytest.raises(UsageError, match="whose model is 'count'"):
        ld.fit_demand(packs, model="clogit")
    with pytest.raises(UsageError, match="asks for a choice"):
        choice = ld.simulate(ld.load_study("pampers"), "synthetic", runs=1, seed=1)
        ld.fit_demand(choice, model="ordered")
    with pytest.raises(UsageError, match="use quantity_demand"):
        ld.ologit(packs)
    with pytest.raises(UsageError, match="no option 'nests'"):
        ld.fit_demand(ratings, nests={})
    with pytest.raises(UsageError, match="HC3 is not there"):
        ld.fit_demand(packs, vcov="HC3")
    for door in (ld.compare, ld.precision, ld.plan, ld.prediction, ld.runs_needed):
        with pytest.raises((UsageError, MenuError), match=r"ask for a choice|asks for a"):
            door(packs)


def test_changes_of_mind_are_corrected():
    panel = asked("coffee-packs", runs=60, mismatch_rate=0.3)
    pivot = ld.fit_demand(panel, reading="pivot")
    final, choice = ld.fit_demand(panel), ld.fit_demand(panel, "choice")
    assert pivot.price_sensitivity < final.price_sensitivity - 4 * pivot.bse["price"]
    gap = final.price_sensitivity - choice.price_sensitivity
    assert abs(gap) < 4 * choice.bse["price"]


def test_sampling_weights_are_used_and_said():
    people = pd.DataFrame({"respondent_id": ["a", "b"], "w": [1, 3], "sex": ["f", "m"]})
    study = ld.load_study("coffee-packs").with_respondents(people)
    panel = ld.simulate(study, ld.SyntheticBackend(study, persona_sd=1.0), runs=3, seed=1)
    weighted = replace(panel, study=replace(study, weights="w"))
    found = ld.fit_demand(weighted, vcov="HC0", ssc="none")
    assert "sampling weights: w" in found.summary()
    copies = [panel.frame] + [
        panel.frame[panel.frame["persona_id"] == "b"].assign(
            run_id=lambda f, k=k: f["run_id"] + f"-{k}"
        )
        for k in range(2)
    ]
    copied = ld.fit_demand(replace(panel, frame=pd.concat(copies, ignore_index=True)))
    assert found.params.to_numpy() == pytest.approx(copied.params.to_numpy(), rel=1e-9)
    plain = ld.fit_demand(weighted, weights="", vcov="HC0")
    assert plain.price_sensitivity != pytest.approx(found.price_sensitivity, rel=1e-6)
    both = ld.quantity_demand(weighted, formula="price + C(sex)")
    assert "over 2 kinds" in both.expected(6).rule
    at = both.params["const"] + 6 * both.params["price"]
    shift = next(both.params[t] for t in both.terms if "sex" in t)
    mean = (np.exp(at) + 3 * np.exp(at + shift)) / 4
    assert both.expected(6).estimate == pytest.approx(mean, rel=1e-9)
    with pytest.raises(UsageError, match="no column 'weigth'"):
        ld.fit_demand(panel, weights="weigth")


def test_weights_of_choices_enter_every_model_and_other_measures_refuse_them():
    people = pd.DataFrame({"respondent_id": ["a", "b", "c"], "w": [1, 3, 2]})
    study = replace(ld.load_study("pampers").with_respondents(people), weights="w")
    panel = ld.simulate(study, "synthetic", runs=1, seed=1)
    assert ld.fit_demand(panel).weighting == "w (sampling)"
    assert ld.fit_demand(panel, weights="").weighting == "none"
    assert ld.fit_demand(panel, model="clogit").weighting == "w (sampling)"
    for door in (ld.compare, ld.precision, ld.tastes, ld.prediction, ld.runs_needed):
        with pytest.raises(UsageError, match="makes nothing of sampling weights"):
            door(panel)
    assert ld.known_truth(panel) is None


def test_directions_without_noise_have_no_t_value():
    """Two clusters that a covariate tells apart: their scores sum to zero."""
    people = pd.DataFrame({"respondent_id": ["a", "b"], "age": [30, 31]})
    study = ld.load_study("coffee-packs").with_respondents(people)
    panel = ld.simulate(study, "synthetic", runs=2, seed=1)
    found = ld.quantity_demand(panel, formula="price + age")
    assert found.bse["age"] == 0 and np.isnan(found.tvalues["age"])
    assert np.isnan(found.pvalues["age"]) and found.pvalues["price"] >= 0
    assert any("only rounding is left there" in note for note in found.notes)


def test_the_jackknife_leaves_out_one_cluster_at_a_time(packs, ratings):
    for panel in (packs, ratings):
        found = ld.fit_demand(panel, "choice", vcov={"CRV3": "cell"})
        cells = sorted(panel.frame["cell"].unique())
        without = [
            ld.fit_demand(
                replace(panel, frame=panel.frame[panel.frame["cell"] != c]), "choice"
            ).price_sensitivity
            for c in cells
        ]
        away = np.array(without) - found.price_sensitivity
        variance = (len(cells) - 1) / len(cells) * (away @ away)
        assert found.bse["price"] == pytest.approx(variance**0.5, rel=1e-6)
        assert found.df == len(cells) - 1


def test_figures_show_the_curve_and_what_was_said(packs, ratings):
    for panel in (packs, ratings):
        ax = ld.fit_demand(panel).plot()
        assert len(ax.lines) == 2 and len(ax.lines[1].get_xdata()) == 6
        assert "price (euros per pack)" in ax.get_xlabel()
