"""Our numbers against published ones: Stata, R's mlogit, logitr, logistf and brglm2.

The files of ``tests/golden`` hold the numbers as printed, as strings, with their sources; its
README lists them. A printed number is matched within half a unit of its last digit, so the
number of digits is the tolerance. Where a source itself stopped short of the maximum its file
names a relative tolerance (``rtol``) that is added, and the reason. Numbers computed for us by
other packages (``source: computed by ...``) are compared within 1e-6 relative.
"""

import json
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmdemand.modeling.estimation.estimate import SeparationWarning
from llmdemand.modeling.inference import hypotheses
from llmdemand.modeling.models.latent import lclogit
from llmdemand.modeling.models.logit import fraclogit, logit
from llmdemand.modeling.models.multinomial import clogit, mnlogit
from llmdemand.modeling.models.nested import nlogit
from llmdemand.modeling.optimum.ascent import ascend
from llmdemand.modeling.optimum.firth import lr_test
from llmdemand.modeling.quantities.margins import get_margeff
from llmdemand.modeling.quantities.responses import elasticity
from llmdemand.modeling.quantities.worth import willingness_to_pay
from llmdemand.modeling.substitution.latent import reordered

pytestmark = pytest.mark.numbers

GOLDEN = Path(__file__).parents[1] / "golden"
COMPUTED = 1e-6


@cache
def golden(name):
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@cache
def table(name):
    return pd.read_csv(GOLDEN / name)


def half_unit(printed):
    """Half a unit of the last printed digit: 0.005 of 1.23 and 5e-4 of 1.23e-1."""
    if not isinstance(printed, str):
        return 0.0
    return 0.5 * 10.0 ** Decimal(printed).as_tuple().exponent


def check(found, printed, source, rtol=0.0):
    """Every number of `printed` (nested dicts, lists) within its own tolerance."""
    wrong = list(departures(found, printed, rtol, ""))
    assert not wrong, "\n".join([f"source: {source}", *wrong])


def departures(found, printed, rtol, where):
    if isinstance(printed, dict):
        for key, value in printed.items():
            yield from departures(found[key], value, rtol, f"{where} {key}")
    elif isinstance(printed, list):
        for k, value in enumerate(printed):
            row = found.iloc[k] if isinstance(found, pd.Series) else found[k]
            yield from departures(row, value, rtol, f"{where} [{k}]")
    else:
        target = float(printed)
        allowed = half_unit(printed) * (1 + 1e-6) + rtol * abs(target)
        if not abs(float(found) - target) <= allowed:
            yield f"{where.strip()}: found {float(found):.12g}, expected {printed} +- {allowed:.2g}"


def statistics(fit):
    """What result files may ask of a fit, by the name they use."""
    return {
        "params": fit.params,
        "bse": fit.bse,
        "tvalues": fit.tvalues,
        "pvalues": fit.pvalues,
        "llf": fit.llf,
        "llnull": fit.llnull,
        "prsquared": fit.prsquared,
        "llr": 2 * (fit.llf - fit.llnull),
        "aic": fit.aic,
        "bic": fit.bic,
        "nobs": fit.nobs,
        "deviance": -2 * fit.llf,
        "null_deviance": -2 * fit.llnull,
        "cov_params": fit.cov_params(),
    }


def check_fit(fit, expected, source, rtol=0.0):
    known = statistics(fit)
    asked = {key: value for key, value in expected.items() if key in known}
    assert asked
    check(known, asked, source, rtol)


def shares(fit, frame, alternative):
    """Average probabilities by alternative."""
    return frame.assign(p=fit.predict(frame).to_numpy()).groupby(alternative)["p"].sum() / fit.nobs


def probabilities(fit, frame, case, alternative):
    wide = frame.assign(p=fit.predict(frame).to_numpy()).pivot(
        index=case, columns=alternative, values="p"
    )
    return {str(row): wide.loc[row] for row in wide.index}


# Conditional logit ---------------------------------------------------------------------------


def fishing():
    return table("fishing.csv.gz")


def travelmode():
    from statsmodels.datasets import modechoice

    frame = modechoice.load_pandas().data
    frame["individual"] = frame["individual"].astype(int)
    frame["mode"] = frame["mode"].map({1.0: "air", 2.0: "train", 3.0: "bus", 4.0: "car"})
    return frame.assign(incair=frame["hinc"] * (frame["mode"] == "air"))


def heating():
    frame = table("heating.csv.gz")
    return frame.assign(lcc=frame["ic"] + frame["oc"] / 0.12, icinc=frame["ic"] / frame["income"])


def modecanada():
    frame = table("modecanada.csv.gz")
    return frame.assign(time=frame["ivt"] + frame["ovt"])


STUDIES = {
    "fishing": (fishing, "case", "alt"),
    "travelmode": (travelmode, "individual", "mode"),
    "heating": (heating, "case", "alt"),
}


@cache
def choice_fit(study, model):
    load, case, alternative = STUDIES[study]
    asked = golden(study)["models"][model]
    frame = load()
    for row, gone in asked.get("drop", []):
        frame = frame[(frame[case] != row) | (frame[alternative] != gone)]
    if "drop_rows" in asked:
        frame = frame.drop(frame.index[np.array(asked["drop_rows"]) - 1])
    return clogit(
        asked["formula"],
        frame,
        case=case,
        alternative=alternative,
        base=asked["base"],
        vcov="iid",
    )


@pytest.mark.parametrize(
    ("study", "model"),
    [
        (study, model)
        for study in STUDIES
        for model in golden(study)["models"]
        if model != "multinom"
    ],
)
def test_conditional_logit_as_printed_by_mlogit(study, model):
    reference = golden(study)
    expected = reference["models"][model]
    source = f"{expected.get('source', reference['source'])}: {expected['command']}"
    rtol = expected.get("rtol", reference["rtol"])
    fit = choice_fit(study, model)
    if {"params", "llf"} & set(expected):
        check_fit(fit, expected, source, rtol)
    load, case, alternative = STUDIES[study]
    if "shares" in expected:
        check(shares(fit, load(), alternative), expected["shares"], source, rtol)
    if "predict" in expected:
        found = probabilities(fit, load(), case, alternative)
        check(found, expected["predict"], source, rtol)


@pytest.mark.parametrize(
    ("study", "model"),
    [(s, m) for s in STUDIES for m, e in golden(s)["models"].items() if "params" in e],
)
def test_no_printed_estimate_is_more_likely_than_ours(study, model):
    fit = choice_fit(study, model)
    outcome = fit.frame[fit.outcome].to_numpy(float)
    printed = pd.Series(golden(study)["models"][model]["params"], dtype=float)
    theirs = replace(fit, params=printed[fit.params.index])
    assert np.log(theirs.predict()) @ outcome < fit.llf + 1e-9
    assert np.log(fit.predict()) @ outcome == pytest.approx(fit.llf, abs=1e-8)


def test_probabilities_without_constants_as_printed_by_mlogit():
    expected = golden("fishing")["simple"]
    fit = clogit(
        expected["formula"],
        fishing(),
        case="case",
        alternative="alt",
        base=expected["base"],
        vcov="iid",
    )
    check_fit(fit, expected, expected["source"], expected["rtol"])
    found = probabilities(fit, fishing(), "case", "alt")
    check(found, expected["predict"], expected["source"], expected["rtol"])


def test_tests_between_heating_models_as_printed_by_mlogit():
    models, source = golden("heating")["models"], golden("heating")["source"]
    bare, lcc = choice_fit("heating", "bare"), choice_fit("heating", "lcc")
    check(2 * (bare.llf - lcc.llf), models["lcc"]["lr_bare"], source)
    full, part = choice_fit("heating", "income"), choice_fit("heating", "constants")
    check(2 * (full.llf - part.llf), models["income"]["lr_constants"], source)
    terms = [name for name in full.params.index if name.startswith("income:")]
    b, v = full.params[terms].to_numpy(), full.cov_params().loc[terms, terms].to_numpy()
    check(float(b @ np.linalg.solve(v, b)), models["income"]["wald_constants"], source)


def test_willingness_to_pay_and_new_shares_of_heating_as_printed_by_mlogit():
    reference = golden("heating")
    models, source, rtol = reference["models"], reference["source"], reference["rtol"]
    for model in ("bare", "constants"):
        b = choice_fit("heating", model).params
        check(b["oc"] / b["ic"], models[model]["wtp"], source, rtol)
        if "discount_rate" in models[model]:
            check(b["ic"] / b["oc"], models[model]["discount_rate"], source, rtol)
    fit, frame = choice_fit("heating", "constants"), heating()
    cheaper = frame.assign(ic=frame["ic"].where(frame["alt"] != "hp", 0.9 * frame["ic"]))
    check(shares(fit, cheaper, "alt"), reference["rebate"]["shares"], source, rtol)

    # A system that the model has not seen: its utility differs from that of ec by known costs.
    old = frame.assign(p=fit.predict(frame).to_numpy())
    ec = old[old["alt"] == "ec"].set_index("case")
    change = fit.params["ic"] * 200 - fit.params["oc"] * 0.25 * ec["oc"]
    added = ec["p"] * np.exp(change)
    p = old["p"] / (1 + old["case"].map(added))
    found = p.groupby(old["alt"]).sum() / fit.nobs
    found["new"] = (added / (1 + added)).mean()
    check(found, reference["new_system"]["shares"], source, rtol)


@cache
def canada_fit():
    expected = golden("modecanada")
    return clogit(
        expected["formula"],
        modecanada(),
        case="case",
        alternative="alt",
        base=expected["base"],
        vcov="iid",
    )


def test_modecanada_as_printed_by_mlogit():
    expected = golden("modecanada")
    source, rtol = expected["source"], expected["rtol"]
    fit, frame = canada_fit(), modecanada()
    check_fit(fit, {k: v for k, v in expected.items() if k != "predict"}, source, rtol)
    check(probabilities(fit, frame, "case", "alt"), expected["predict"], source, rtol)
    hour = 60 * fit.params / fit.params["cost"]
    check(hour, {k: v for k, v in expected["wtp"].items() if k != "command"}, source, rtol)


def test_consumer_surplus_of_modecanada_as_printed_by_mlogit():
    expected = golden("modecanada")
    source, rtol = expected["source"], expected["rtol"]
    fit, frame = canada_fit(), modecanada()
    train = frame["alt"] == "train"
    faster = frame.assign(time=frame["time"].where(~train, 0.8 * frame["time"]))
    check(shares(fit, frame, "alt"), expected["shares"]["old"], source, rtol)
    check(shares(fit, faster, "alt"), expected["shares"]["new"], source, rtol)
    # The utility of the car stays, so its probability tells how much the log-sum grows.
    old = frame.assign(p=fit.predict(frame).to_numpy()).loc[frame["alt"] == "car", "p"].to_numpy()
    new = frame.assign(p=fit.predict(faster).to_numpy()).loc[frame["alt"] == "car", "p"].to_numpy()
    surplus = np.log(old / new) / -fit.params["cost"]
    found = {
        "min": surplus.min(),
        "q25": np.quantile(surplus, 0.25),
        "median": np.median(surplus),
        "mean": surplus.mean(),
        "q75": np.quantile(surplus, 0.75),
        "max": surplus.max(),
    }
    check(found, {k: v for k, v in expected["surplus"].items() if k != "command"}, source, rtol)


def at_means(frame, columns, of_case):
    """One case whose attributes are the averages of each alternative."""
    mean = frame.groupby("alt")[columns].mean().reset_index()
    return mean.assign(case=1, **{name: frame[name].mean() for name in of_case})


def cross_effects(fit, frame, column, scale):
    """``scale(P, dP)`` of every alternative's probability in every alternative's `column`."""
    labels = frame["alt"].tolist()
    base = fit.predict(frame).set_axis(labels)
    found = {}
    for k, changed in enumerate(labels):
        step = 1e-4 * frame[column].iloc[k]
        up, down = frame.copy(), frame.copy()
        up.loc[up.index[k], column] += step
        down.loc[down.index[k], column] -= step
        slope = (fit.predict(up) - fit.predict(down)) / (2 * step)
        found[changed] = scale(base, slope.set_axis(labels), frame[column].iloc[k])
    return found


def point_elasticity(p, slope, value):
    return slope * value / p


def semi_elasticity(p, slope, value):
    return slope * value


def of_case_effect(fit, frame, column):
    labels = frame["alt"].tolist()
    step = 1e-4 * frame[column].iloc[0]
    up = fit.predict(frame.assign(**{column: frame[column] + step}))
    down = fit.predict(frame.assign(**{column: frame[column] - step}))
    return ((up - down) / (2 * step)).set_axis(labels)


def test_effects_and_elasticities_of_fishing_as_printed_by_mlogit():
    reference = golden("fishing")
    expected, source, rtol = reference["effects"], reference["source"], reference["effects"]["rtol"]
    fit = clogit(
        expected["formula"],
        fishing(),
        case="case",
        alternative="alt",
        base=expected["base"],
        vcov="iid",
    )
    frame = at_means(fishing(), ["price", "catch"], ["income"])
    check(
        cross_effects(fit, frame, "price", point_elasticity),
        expected["price_elasticity"],
        source,
        rtol,
    )
    check(cross_effects(fit, frame, "catch", semi_elasticity), expected["catch_semi"], source, rtol)
    # The manual marks these digits as platform dependent: within 1e-4.
    found = of_case_effect(fit, frame, "income")
    check(found, expected["income"], source, rtol=1e-4)


def test_effects_and_elasticities_of_modecanada_as_printed_by_mlogit():
    reference = golden("modecanada")
    expected, source, rtol = reference["effects"], reference["source"], reference["rtol"]
    fit = canada_fit()
    frame = at_means(modecanada(), ["cost", "freq", "time"], ["income"])
    check(
        cross_effects(fit, frame, "cost", point_elasticity),
        expected["cost_elasticity"],
        source,
        rtol,
    )
    found = of_case_effect(fit, frame, "income") * frame["income"].iloc[0]
    check(found, expected["income"], source, rtol)


# Nested logit --------------------------------------------------------------------------------


@cache
def hc_fit(model):
    asked = golden("hc")["models"][model]
    return nlogit(
        golden("hc")["formula"],
        table("hc.csv.gz"),
        alternative="alt",
        nests=asked["nests"],
        dissimilarity=asked["dissimilarity"],
        vcov="iid",
    )


@pytest.mark.parametrize("model", golden("hc")["models"])
def test_nested_logit_of_hc_as_printed_by_mlogit(model):
    reference = golden("hc")
    expected, fit = reference["models"][model], hc_fit(model)
    source = f"{reference['source']}: {expected['command']}"
    asked = {name: expected[name] for name in ("params", "llf") if name in expected}
    check_fit(fit, asked, source, reference["rtol"])
    if "bse" in expected:
        scores = fit.data.scores(fit.params.to_numpy())
        outer = np.sqrt(np.diag(np.linalg.inv(scores.T @ scores)))
        bse = pd.Series(outer, fit.params.index)
        check(bse, expected["bse"], source, 2 * reference["rtol"])
        t = (fit.params["dissimilarity"] - 1) / bse["dissimilarity"]
        check(t, expected["t_of_one"], source, 2e-3)
        plain = clogit(reference["formula"], table("hc.csv.gz"), alternative="alt", vcov="iid")
        check(hypotheses.lr_test(plain, fit).statistic, expected["lr_plain"], source, 1e-3)
    if "lr_common" in expected:
        found = hypotheses.lr_test(hc_fit("cooling"), fit)
        check(found.statistic, expected["lr_common"], source, 1e-3)


@pytest.mark.parametrize("model", ["cooling", "rooms"])
def test_no_printed_nested_logit_is_more_likely_than_ours(model):
    fit = hc_fit(model)
    printed = pd.Series(golden("hc")["models"][model]["params"], dtype=float)
    assert fit.data.llf(printed[fit.params.index].to_numpy()) < fit.llf + 1e-9


@pytest.mark.parametrize("vcov", ["iid", "HC0"])
def test_nested_logit_of_swissmetro_as_by_biogeme_and_larch(vcov):
    reference = golden("swissmetro")
    fit = nlogit(
        reference["formula"],
        table("swissmetro.csv.gz"),
        alternative="alt",
        base="swissmetro",
        nests=reference["nests"],
        vcov=vcov,
    )
    check(fit.llf, reference["llf"]["value"], reference["llf"]["source"])
    larch = reference["larch"]
    for found, name in ((fit.params, "params"), (fit.bse, vcov)):
        printed = pd.Series(larch[name])
        np.testing.assert_allclose(
            found[printed.index], printed, atol=larch[f"{name}_atol"], rtol=0
        )


@pytest.mark.skipif(
    not (GOLDEN / "restaurant.csv").exists(),
    reason="the data of Stata's restaurants are not shipped",
)
def test_nested_logit_of_restaurants_as_printed_by_stata():
    expected = golden("restaurant")
    frame = pd.read_csv(GOLDEN / "restaurant.csv")
    nest = {r: name for name, members in expected["nests"].items() for r in members}
    for name in ("fast", "fancy"):
        there = frame["restaurant"].map(nest) == name
        for trait in ("income", "kids"):
            frame[f"{trait}_{name}"] = frame[trait] * there
    options = {"case": "family_id", "alternative": "restaurant", "vcov": "iid"}
    fit = nlogit(expected["formula"], frame, nests=expected["nests"], **options)
    source = expected["source"]
    check(fit.llf, expected["llf"], source, 1e-8)
    for name, printed in expected["dissimilarity"].items():
        term = f"dissimilarity({name})"
        error = expected["dissimilarity_atol_se"] * fit.bse[term]
        assert fit.params[term] == pytest.approx(printed, abs=error)
    test = hypotheses.lr_test(clogit(expected["formula"], frame, **options), fit)
    check(test.statistic, expected["lr"], source)
    check(test.pvalue, expected["p"], source)


# Scanner panel -------------------------------------------------------------------------------


@cache
def panel_fit(vcov):
    asked = golden("yogurt")
    return clogit(
        asked["formula"],
        table("yogurt.csv.gz"),
        case="case",
        alternative="brand",
        base=asked["base"],
        vcov={"CRV1": "id"} if vcov == "CRV1 id" else vcov,
        ssc="none",
    )


def yogurt_fit():
    return panel_fit("iid")


def test_yogurt_as_printed_by_logitr():
    expected = golden("yogurt")
    source = expected["source"]
    fit = yogurt_fit()
    check(fit.llf, expected["llf"], source)
    check(fit.aic, expected["aic"], source)
    check(fit.bic, expected["bic"], source)
    equal = fit.nobs * np.log(1 / 4)
    check(equal, expected["llnull"], source)
    check(1 - fit.llf / equal, expected["prsquared"], source)
    for name, printed in expected["params"].items():
        assert abs(fit.params[name] - float(printed)) < expected["atol"], source
    for name, printed in expected["bse"].items():
        assert abs(fit.bse[name] - float(printed)) < expected["atol"], source
    for name, printed in expected["wtp"].items():
        if name not in ("command", "price"):
            found = fit.params[name] / -fit.params["price"]
            assert abs(found - float(printed)) < expected["atol"], source


@pytest.mark.parametrize("vcov", ["iid", "HC0", "CRV1 id"])
def test_covariances_of_yogurt_by_the_formulas(vcov):
    expected = golden("yogurt_computed")
    fit = panel_fit(vcov)
    check(fit.params, expected["params"], expected["source"], COMPUTED)
    check(fit.bse, expected[vcov], expected["source"], COMPUTED)
    check(fit.llf, expected["llf"], expected["source"], 1e-10)


def test_elasticities_of_yogurt_by_the_formulas():
    expected = golden("yogurt_computed")
    fit, frame = yogurt_fit(), table("yogurt.csv.gz")
    p = frame.assign(p=fit.predict(frame).to_numpy()).pivot(
        index="case", columns="brand", values="p"
    )
    average, share = {}, {}
    for changed in p.columns:
        step = 1e-4 * (frame["brand"] == changed)
        up = frame.assign(price=frame["price"] * (1 + step))
        down = frame.assign(price=frame["price"] * (1 - step))
        change = frame.assign(p=(fit.predict(up) - fit.predict(down)).to_numpy() / 2e-4)
        wide = change.pivot(index="case", columns="brand", values="p")
        average[changed] = (wide / p).mean()
        share[changed] = wide.sum() / p.sum()
    check(average, expected["elasticity_average"], expected["source"], COMPUTED)
    check(share, expected["elasticity_share"], expected["source"], COMPUTED)


@pytest.mark.parametrize("average", ["mean", "share_weighted"])
def test_elasticity_of_yogurt(average):
    expected = golden("yogurt_computed")
    name = {"mean": "elasticity_average", "share_weighted": "elasticity_share"}[average]
    found = elasticity(yogurt_fit(), kind="matrix", average=average, ci="delta")
    check(by_rival(found), expected[name], expected["source"], COMPUTED)


def by_rival(quantity):
    """Outer key the alternative whose price changes, inner the one whose share does."""
    rows = quantity.table.groupby("rival")
    return {rival: part.set_index("alternative")["estimate"] for rival, part in rows}


def test_elasticity_at_the_means_as_printed_by_mlogit():
    reference = golden("modecanada")
    found = elasticity(canada_fit(), kind="matrix", price="cost", average="at_means", ci="delta")
    expected = reference["effects"]["cost_elasticity"]
    check(by_rival(found), expected, reference["source"], reference["rtol"])


@pytest.mark.parametrize("attribute", ["feat", "hiland", "weight", "yoplait"])
def test_willingness_to_pay_for_yogurt_as_printed_by_logitr(attribute):
    expected = golden("yogurt")
    name = attribute if attribute == "feat" else f"const:{attribute}"
    found = willingness_to_pay(yogurt_fit(), attribute, ci="delta")
    value, error = found.table.iloc[0][["estimate", "se"]]
    assert value == pytest.approx(float(expected["wtp"][name]), abs=expected["atol"])
    assert error == pytest.approx(float(expected["wtp_se"][name]), abs=expected["atol"])


@pytest.mark.parametrize("model", ["bare", "constants"])
def test_willingness_to_pay_for_operating_costs_as_printed_by_mlogit(model):
    reference = golden("heating")
    found = willingness_to_pay(choice_fit("heating", model), "oc", price="ic", ci="delta")
    # A cost is a burden: what a lower one is worth is minus what a higher one is.
    worth = -found.table["estimate"].iloc[0]
    check(worth, reference["models"][model]["wtp"], reference["source"], reference["rtol"])


# Multinomial logit ---------------------------------------------------------------------------


def single(frame):
    """The values as Stata keeps them, in single precision."""
    return frame.astype(np.float32).astype(float)


@cache
def anes():
    from statsmodels.datasets import anes96

    frame = anes96.load_pandas().data
    return single(frame).assign(PID=frame["PID"].astype(int))


@cache
def anes_fit():
    expected = golden("anes96")
    return mnlogit(expected["formula"], anes(), base=str(expected["base"]), vcov="iid")


def test_party_identification_as_printed_by_stata():
    expected = golden("anes96")
    check_fit(anes_fit(), expected, expected["source"], expected["rtol"])


def test_marginal_effects_of_party_identification_as_printed_by_stata():
    expected = golden("anes96")
    fit, frame = anes_fit(), anes()
    mean = frame.mean().to_frame().T
    for at, rows in (("overall", frame), ("mean", mean)):
        found = {str(k): {} for k in range(7)}
        for name in expected["margeff_dydx_overall"]["0"]:
            step = 1e-4 * max(1.0, float(rows[name].abs().mean()))
            up = fit.predict(rows.assign(**{name: rows[name] + step}))
            down = fit.predict(rows.assign(**{name: rows[name] - step}))
            for k, slope in enumerate(((up - down) / (2 * step)).mean(axis=0)):
                found[str(k)][name] = slope
        # Stata differentiates numerically too: its effects are matched within 1e-5 relative
        # or 1e-8 absolute.
        for k, effects in expected[f"margeff_dydx_{at}"].items():
            for name, printed in effects.items():
                target = float(printed)
                assert found[k][name] == pytest.approx(target, rel=1e-5, abs=1e-8), (
                    f"{expected['source']}: dP({k})/d{name} at {at}"
                )


def test_multinomial_logit_of_fishing_as_printed_by_mlogit_and_nnet():
    reference = golden("fishing")
    models, source, rtol = reference["models"], reference["source"], reference["rtol"]
    long = fishing()
    frame = long[long["choice"] == 1].rename(columns={"alt": "mode"})
    fit = mnlogit("mode ~ income", frame, base="beach", vcov="iid")
    check_fit(fit, models["multinomial"], source, rtol)
    check_fit(fit, models["multinom"], source)
    same = choice_fit("fishing", "multinomial")
    np.testing.assert_allclose(fit.params, same.params[fit.params.index], rtol=1e-7)
    np.testing.assert_allclose(fit.bse, same.bse[fit.bse.index], rtol=1e-7)


def test_bank_wages_as_printed_by_mlogit_and_nnet():
    expected = golden("bankwages")
    frame = table("bankwages.csv")
    frame = frame.assign(minorityyes=(frame["minority"] == "yes").astype(int))
    fit = mnlogit(expected["formula"], frame, base=expected["base"], vcov="iid")
    check_fit(fit, expected, expected["source"], expected["rtol"])
    check_fit(fit, expected["multinom"], expected["source"])


# Binary and fractional logit -----------------------------------------------------------------


@cache
def spector_fit():
    from statsmodels.datasets import spector

    return logit(golden("spector")["formula"], single(spector.load_pandas().data), vcov="iid")


def test_spector_as_printed_by_stata():
    expected = golden("spector")
    fit = spector_fit()
    check_fit(fit, expected, expected["source"], expected["rtol"])
    interval = fit.conf_int()
    found = {name: interval.loc[name] for name in interval.index}
    check(found, expected["conf_int"], expected["source"], expected["rtol"])


@pytest.mark.parametrize("kind", sorted(golden("spector")["margeff"]))
def test_marginal_effects_of_spector_of_every_kind(kind):
    expected = golden("spector")
    fit = spector_fit()
    dummy, _, what = kind.partition("_")
    at = next((a for a in ("mean", "median") if what.endswith(a)), None)
    method = what.removesuffix(at) if at else what
    found = get_margeff(fit, at or "overall", method, dummy=dummy == "dummy")
    printed = expected["margeff"][kind]
    # Stata differentiates numerically: the tolerance of statsmodels' own test of these numbers.
    effects, errors = found.estimate, found.se
    np.testing.assert_allclose(
        effects, [float(v) for v in printed["effect"].values()], atol=1e-4, err_msg=kind
    )
    np.testing.assert_allclose(
        errors, [float(v) for v in printed["se"].values()], atol=1e-3, err_msg=kind
    )


@pytest.mark.parametrize("at", ["overall", "mean"])
def test_marginal_effects_of_spector_as_printed_by_stata(at):
    reference = golden("spector")
    expected = reference["margeff"]["dummy_dydx" + at.removeprefix("overall")]
    found = get_margeff(spector_fit(), at, ci="delta").table.set_index("variable")
    # Stata differentiates numerically: within 1e-5.
    check(found["estimate"], expected["effect"], reference["source"], 1e-5)
    check(found["se"], expected["se"], reference["source"], 1e-5)


@pytest.mark.parametrize("at", ["overall", "mean"])
def test_marginal_effects_of_party_identification_with_errors(at):
    expected = golden("anes96")
    found = get_margeff(anes_fit(), at, ci="delta").table
    for column, name in (("estimate", f"dydx_{at}"), ("se", f"dydx_{at}_se")):
        wide = found.pivot(index="alternative", columns="variable", values=column)
        rows = {alternative: wide.loc[alternative] for alternative in wide.index}
        # Stata differentiates numerically: within 1e-4.
        check(rows, expected[f"margeff_{name}"], expected["source"], 1e-4)


@pytest.mark.parametrize("model", list(golden("k401k")["models"]))
def test_fractional_logit_of_401k_plans_as_computed_by_statsmodels(model):
    reference = golden("k401k")
    expected, source = reference["models"][model], reference["source"]
    frame = table("k401k.csv")
    fit = fraclogit(expected["formula"], frame, vcov="HC1", ssc="stata")
    check(fit.params, expected["params"], source, COMPUTED)
    check(fit.bse, expected["HC1 stata"], source, COMPUTED)
    check(fit.llf, expected["quasi_llf"], source, 1e-10)
    check(fit.llnull, expected["quasi_llnull"], source, 1e-10)
    plain = fraclogit(expected["formula"], frame, vcov="HC0")
    check(plain.bse, expected["HC0"], source, COMPUTED)
    effects = get_margeff(fit, ci="delta").table.set_index("variable")
    numeric = [name for name in expected["ame"] if name != "sole"]  # sole: from 0 to 1 there
    check(effects["estimate"], {k: expected["ame"][k] for k in numeric}, source, COMPUTED)
    check(effects["se"], {k: expected["ame_se"][k] for k in numeric}, source, COMPUTED)


@pytest.mark.skipif(
    not (GOLDEN / "pw401k.csv").exists(), reason="the data of Papke and Wooldridge are not shipped"
)
def test_fractional_logit_of_papke_and_wooldridge():
    expected = golden("papke_wooldridge")
    frame = pd.read_csv(GOLDEN / "pw401k.csv")
    size = np.log(frame["totemp"])
    frame = frame.assign(
        ltotemp=size, ltotemp2=size**2, mrate2=frame["mrate"] ** 2, age2=frame["age"] ** 2
    )
    fit = fraclogit(expected["formula"], frame, vcov="HC1", ssc="stata")
    check_fit(fit, expected, expected["source"])


# Robust covariances --------------------------------------------------------------------------

N, K = 900, 3
FACTORS = {
    "none": (1.0, 1.0),
    "stata": (N / (N - 1), 40 / 39),
    "sandwich": (N / (N - K), 40 / 39 * (N - 1) / (N - K)),
}


def binary_fit(vcov, ssc):
    return logit(golden("covariance")["formula"], table("binary.csv"), vcov=vcov, ssc=ssc)


def check_covariance(fit, expected, source, factor=1.0):
    order = golden("covariance")["names"]
    found = fit.cov_params().loc[order, order].to_numpy()
    np.testing.assert_allclose(found, factor * np.array(expected), rtol=COMPUTED, err_msg=source)


@pytest.mark.parametrize("vcov", ["iid", "HC0", "HC2", "HC3"])
def test_covariances_without_factor_by_the_formulas(vcov):
    expected = golden("covariance")
    check_covariance(binary_fit(vcov, "none"), expected[vcov], expected["source"])


@pytest.mark.parametrize("ssc", list(FACTORS))
def test_small_sample_factors_of_hc1_and_crv1(ssc):
    expected = golden("covariance")
    source = expected["source"]
    robust, clustered = FACTORS[ssc]
    check_covariance(binary_fit("HC1", ssc), expected["HC0"], source, robust)
    fit = binary_fit({"CRV1": "firm"}, ssc)
    assert fit.clusters == expected["clusters"]["firm"]
    check_covariance(fit, expected["CRV1 firm"], source, clustered)


def test_two_way_clusters_without_factor_by_the_formulas():
    expected = golden("covariance")
    fit = binary_fit({"CRV1": "firm+year"}, "none")
    check_covariance(fit, expected["CRV1 firm+year"], expected["source"])


@pytest.mark.parametrize(
    ("vcov", "name"),
    [
        ("HC1", "hetero"),
        ({"CRV1": "firm"}, "CRV1 firm"),
        ({"CRV1": "firm+year"}, "CRV1 firm+year"),
    ],
)
def test_covariances_as_computed_by_pyfixest(vcov, name):
    expected = golden("covariance")
    check_covariance(binary_fit(vcov, "fixest"), expected[f"fixest {name}"], expected["source"])


def test_jackknife_over_clusters_by_refitting():
    expected = golden("covariance")
    # The factor (G - 1) / G is the jackknife's own, whatever the others are.
    found = binary_fit({"CRV3": "firm"}, "stata")
    check_covariance(found, expected["CRV3 firm"], expected["source"])


@pytest.mark.parametrize("vcov", ["HC0", "HC2", "HC3"])
def test_covariances_of_equal_rows_by_the_formulas(vcov):
    expected = golden("covariance")["grouped"]
    fit = logit(expected["formula"], table(expected["data"]), vcov=vcov, ssc="none")
    order = expected["names"]
    found = fit.cov_params().loc[order, order].to_numpy()
    np.testing.assert_allclose(found, np.array(expected[vcov]), rtol=COMPUTED)


# Separation ----------------------------------------------------------------------------------


@cache
def firth_fit(study):
    return logit(golden(study)["formula"], table(f"{study}.csv"), vcov="iid", separation="firth")


def test_separation_of_endometrial_as_reported_by_detectseparation():
    expected = golden("endometrial")["ml"]
    with pytest.warns(SeparationWarning, match="NV"):
        fit = logit(golden("endometrial")["formula"], table("endometrial.csv"), vcov="iid")
    assert fit.separated
    assert fit.params["NV"] == np.inf
    check(-2 * fit.llf, expected["deviance"], expected["source"])
    check(-2 * fit.llnull, expected["null_deviance"], expected["source"])


def test_firth_estimates_of_endometrial_as_printed_by_brglm2():
    expected = golden("endometrial")["firth"]
    fit = firth_fit("endometrial")
    asked = {k: expected[k] for k in ("params", "bse", "tvalues", "pvalues")}
    check_fit(fit, asked, expected["source"], expected["rtol"])


@pytest.mark.parametrize("study", ["endometrial", "sex2"])
def test_firth_estimates_as_printed_by_logistf(study):
    expected = golden(study)["logistf"]
    check_fit(firth_fit(study), {"params": expected["params"]}, expected["source"], 1e-5)
    if study == "sex2":
        other = golden(study)["firthlogist"]
        check_fit(firth_fit(study), {"bse": other["bse"]}, other["source"], 1e-5)


@pytest.mark.parametrize("study", ["endometrial", "sex2"])
def test_firth_estimates_as_computed_by_firthmodels(study):
    source, expected = golden("firth")["source"], golden("firth")[study]
    fit = firth_fit(study)
    check(fit.params, expected["params"], source, COMPUTED)
    check(fit.bse, expected["bse"], source, COMPUTED)


@pytest.mark.parametrize("study", ["endometrial", "sex2"])
def test_profile_intervals_as_printed_by_logistf(study):
    interval = firth_fit(study).conf_int(kind="profile")
    found = {name: interval.loc[name] for name in interval.index}
    expected = golden(study)["logistf"]
    check(found, expected["profile"], expected["source"], 1e-5)
    computed = golden("firth")[study]["profile"]
    check(found, computed, golden("firth")["source"], COMPUTED)
    if study == "sex2":
        snapshot = golden(study)["snapshot"]
        check(found, snapshot["profile"], snapshot["source"])


@pytest.mark.parametrize("study", ["endometrial", "sex2"])
def test_penalised_likelihood_ratios_as_printed_by_logistf(study):
    fit = firth_fit(study)
    source, expected = golden("firth")["source"], golden("firth")[study]
    found = {name: lr_test(fit.data, [k]) for k, name in enumerate(fit.params.index)}
    chi2 = {name: test.statistic for name, test in found.items()}
    p = {name: test.pvalue for name, test in found.items()}
    check(chi2, expected["chi2"], source, 1e-5)
    check(p, expected["lr_pvalues"], source, 1e-5)
    if study == "sex2":
        snapshot = golden(study)["snapshot"]
        check(chi2, snapshot["chi2"], snapshot["source"])
        check(p, snapshot["lr_pvalues"], snapshot["source"])


@pytest.mark.parametrize("study", ["endometrial", "sex2"])
def test_penalised_likelihood_ratios_between_two_fits(study):
    source, expected = golden("firth")["source"], golden("firth")[study]
    formula = golden(study)["formula"]
    outcome, _, right = formula.partition(" ~ ")
    terms = right.split(" + ")
    full = firth_fit(study)
    for name in terms:
        kept = " + ".join(term for term in terms if term != name)
        small = logit(f"{outcome} ~ {kept}", table(f"{study}.csv"), vcov="iid", separation="firth")
        found = hypotheses.lr_test(small, full)
        check(found.statistic, expected["chi2"][name], f"{source}, {name}", 1e-5)


CONTRACTS = ("pf", "cl", "loc", "wk", "tod", "seas")


def contract_classes(rows, **options):
    formula = "choice ~ " + " + ".join(CONTRACTS) + " | 0"
    return lclogit(formula, rows, panel="id", alternative="alt", **options)


def test_latent_classes_as_printed_by_gmnl():
    """At the local maximum where gmnl ended; the highest one is higher."""
    expected = golden("electricity_latent")["gmnl"]
    fit = contract_classes(table("electricity.csv.gz").iloc[:3000], vcov="iid", starts=6)
    printed = [[float(c[t]) for t in CONTRACTS] for c in expected["params"].values()]
    start = np.concatenate([np.ravel(printed), [float(expected["share"])]])
    there = ascend(fit.data, start)
    assert there.converged and fit.llf > there.llf + 1
    assert fit.nobs == float(expected["nobs"])
    source = expected["source"]
    # What is printed is short of the maximum by less than its log-likelihood shows.
    check(fit.data.llf(start), expected["llf"], source)
    assert 0 < there.llf - fit.data.llf(start) < 0.002
    se = np.sqrt(np.diag(np.linalg.inv(there.information)))
    for k, name in enumerate(expected["params"]):
        mine = slice(6 * k, 6 * k + 6)
        found, errors = (dict(zip(CONTRACTS, v[mine], strict=True)) for v in (there.params, se))
        check(found, expected["params"][name], source, expected["rtol"])
        check(errors, expected["bse"][name], source, expected["bse_rtol"])


def test_latent_classes_as_computed_by_lcl():
    expected = golden("electricity_latent")["computed"]
    rows = table("electricity.csv.gz")
    rows = rows[rows["id"] <= 100].assign(odd=rows["id"] % 2)
    fit = contract_classes(rows, classes=3, membership="odd", starts=3)
    source = expected["source"]
    check(fit.llf, expected["llf"], source, 1e-9)
    # The other package's order of classes.
    own = fit.params.to_numpy()[:18].reshape(3, 6)[:, 0]
    order = np.array([int(np.argmin(np.abs(own - pf))) for pf in expected["params"]["pf"]])
    moved = reordered(fit.params.to_numpy(), 3, 6, order)
    tastes, share = moved[:18].reshape(3, 6).T, moved[18:].reshape(2, 2).T.ravel()
    check(dict(zip(CONTRACTS, tastes, strict=True)), expected["params"], source, 1e-5)
    check(share, expected["membership"], source, 1e-5)
    se = fit.bse.to_numpy()[:18].reshape(3, 6)[order].T
    check(dict(zip(CONTRACTS, se, strict=True)), expected["bse"], source, 1e-5)
