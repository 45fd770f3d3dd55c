"""Mixed logits against printed ones, with the very draws of the packages that printed them.

mlogit, xlogit and logitr draw from Halton's sequence without scrambling. With their points our
simulated likelihood is theirs, so that numbers are compared digit by digit: see
``tests/golden/mixed.json``.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmdemand.modeling.inference.hypotheses import lr_test
from llmdemand.modeling.models.mixed import mixlogit
from llmdemand.modeling.models.multinomial import clogit
from llmdemand.modeling.substitution.laws import law_of
from llmdemand.modeling.substitution.mixed import MixedPanels
from llmdemand.modeling.substitution.panels import Panels
from llmdemand.modeling.substitution.sequences import observed_sequences

pytestmark = pytest.mark.numbers

GOLDEN = Path(__file__).parents[1] / "golden"
PRINTED = json.loads((GOLDEN / "mixed.json").read_text(encoding="utf-8"))


def half_unit(printed):
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def check(found, printed, rtol=0.0):
    wrong = [
        f"{key}: found {float(found[key]):.10g}, printed {value}"
        for key, value in printed.items()
        if abs(float(found[key]) - float(value)) > half_unit(value) + rtol * abs(float(value))
    ]
    assert not wrong, "\n".join(wrong)


def halton(people, size, primes, drop):
    """Points of Halton's sequence as it is, (people, size, primes)."""
    columns = []
    for prime in primes:
        n = np.arange(drop, drop + people * size)
        x, digit = np.zeros(len(n)), 1 / prime
        while n.any():
            x, n, digit = x + digit * (n % prime), n // prime, digit / prime
        columns.append(x)
    return np.stack(columns, axis=-1).reshape(people, size, len(primes))


def by_respondent(people, size, coefficients):
    """Those of mlogit and xlogit."""
    return halton(people, size, [2, 3, 5, 7, 11, 13][:coefficients], 100)


@cache
def train():
    frame = pd.read_csv(GOLDEN / "train.csv.gz")
    return frame.assign(
        price=-frame["price"] / 100 * 2.20371,
        time=-frame["time"] / 60,
        change=-frame["change"],
        comfort=-frame["comfort"],
    )


@cache
def train_fit(correlated):
    asked = PRINTED["train"]
    return mixlogit(
        asked["formula"],
        train(),
        random=asked["random"],
        correlated=correlated,
        panel="id",
        alternative="alt",
        draws=by_respondent(235, asked["draws"], 3),
    )


def test_correlated_tastes_of_train_as_printed_by_mlogit():
    asked, fit = PRINTED["train"], train_fit(True)
    moments = fit.random_coefficients().table.set_index(["statistic", "coefficient"])["estimate"]
    check(moments["sd"], asked["sd"], asked["rtol"])
    for what in ("correlations", "covariances"):
        table = fit.random_coefficients(what).table
        found = dict(
            zip(table["coefficient"] + " " + table["with"], table["estimate"], strict=True)
        )
        check(found, asked[what], asked["rtol"])
    quartile = moments["mean", "time"] - 0.674489750196 * moments["sd", "time"]
    found = {"median": moments["median", "time"], "first quartile": quartile}
    check(found, asked["time"], asked["rtol"])


def test_likelihood_ratios_of_train_as_printed_by_mlogit():
    asked = PRINTED["train"]
    plain = clogit(asked["formula"], train(), alternative="alt")
    for small, name in ((plain, "lr_against_plain"), (train_fit(False), "lr_against_uncorrelated")):
        test = lr_test(small, train_fit(True))
        check({"lr": test.statistic}, {"lr": asked[name]}, 5e-4)
    assert test.df == 3


@cache
def electricity():
    return pd.read_csv(GOLDEN / "electricity.csv.gz")


@pytest.mark.parametrize("name", ["normal", "fixed price", "uniform", "lognormal", "xlogit"])
def test_electricity_as_printed_by_mlogit_and_xlogit(name):
    whole = PRINTED["electricity"]
    asked = whole[name]
    fit = mixlogit(
        whole["formula"],
        electricity(),
        random=asked["random"],
        panel="id",
        alternative="alt",
        draws=by_respondent(361, asked["draws"], len(asked["random"])),
        starts=1,
    )
    check({"llf": fit.llf}, {"llf": asked["llf"]})
    check(fit.params, asked["params"], whole["rtol"])
    moments = fit.random_coefficients().table.set_index(["statistic", "coefficient"])["estimate"]
    for statistic in ("mean", "median", "share below zero"):
        check(moments.get(statistic, {}), asked.get(statistic, {}), 2 * whole["rtol"])


def test_fishing_as_printed_by_xlogit():
    asked = PRINTED["fishing"]
    draws = by_respondent(1182, asked["draws"], 2)
    draws[:, :, 1] = 1 - draws[:, :, 1]
    fit = mixlogit(
        asked["formula"],
        pd.read_csv(GOLDEN / "fishing.csv.gz"),
        random={"price": "normal", "catch": "normal"},
        alternative="alt",
        draws=draws,
        starts=1,
    )
    check({"llf": fit.llf}, {"llf": asked["llf"]})
    check(fit.params, asked["params"], asked["rtol"])


@cache
def yogurt():
    frame = pd.read_csv(GOLDEN / "yogurt.csv.gz")
    for brand in ("hiland", "weight", "yoplait"):
        frame[brand] = (frame["brand"] == brand).astype(int)
    return frame


def yogurt_fit(terms, draws, **options):
    return mixlogit(
        f"choice ~ price + {' + '.join(terms)} | 0",
        yogurt(),
        random=dict.fromkeys(terms, "normal"),
        panel="id",
        alternative="brand",
        draws=draws,
        starts=1,
        **options,
    )


@pytest.mark.parametrize("name", ["preference", "wtp", "correlated"])
def test_yogurt_as_printed_by_logitr(name):
    asked = PRINTED["yogurt"][name]
    terms = ["feat", "hiland", "weight", "yoplait"]
    # A point for every coefficient, that of the price unused; the same ones for all.
    points = halton(1, PRINTED["yogurt"]["draws"], [3, 5, 7, 11], 1).repeat(100, axis=0)
    if name == "correlated":  # see its note
        terms, points = terms[::-1], points[:, :, ::-1]
    more = {"wtp": {"space": "wtp"}, "correlated": {"correlated": True}}.get(name, {})
    data = yogurt_fit(terms, points, **more).data
    llf, score, information = data.evaluated(np.array(asked["params"], float))
    assert llf == pytest.approx(float(asked["llf"]), abs=1e-6)
    inverse = np.linalg.inv(information)
    assert score @ inverse @ score < 2e-3  # squared distance to the maximum, in SEs
    np.testing.assert_allclose(
        np.sqrt(np.diag(inverse)), np.array(asked["bse"], float), rtol=asked["rtol"]
    )


def test_yogurt_has_a_higher_maximum_than_the_one_printed_by_xlogit():
    asked = PRINTED["yogurt"]["xlogit"]
    terms = ["feat", "yoplait", "hiland", "weight"]
    fit = yogurt_fit(terms, by_respondent(100, asked["draws"], 4))
    llf, score, information = fit.data.evaluated(np.array(asked["params"], float))
    assert llf == pytest.approx(float(asked["llf"]), abs=5e-4)
    assert score @ np.linalg.solve(information, score) < 1e-3
    higher = fit.data.evaluated(np.array(asked["higher"], float))[0]
    assert higher > llf + 0.9


# Electricity as Stata has it ---------------------------------------------------------------------


def test_willingness_to_pay_of_electricity_as_printed_by_stata():
    asked = PRINTED["traindata"]
    rows = electricity()
    rows = rows[rows["id"] <= 100]
    assert rows["case"].nunique() == 1195 and len(rows) == 4780
    points = halton(100, asked["draws"], [5, 2, 3], asked["burn"] + 1)
    points[:, :, 1:] = 1 - points[:, :, 1:]
    fit = mixlogit(
        PRINTED["electricity"]["formula"],
        rows,
        random={"pf": "lognormal-", "tod": "normal", "seas": "normal"},
        space="wtp",
        price="pf",
        panel="id",
        alternative="alt",
        draws=points,
        starts=1,
    )
    check(fit.params, asked["printed"])


# Swissmetro --------------------------------------------------------------------------------------


@cache
def swissmetro():
    """The choice situations, each as of one respondent."""
    frame = pd.read_csv(GOLDEN / "swissmetro.csv.gz")
    frame[["time", "cost"]] /= 100
    formula = PRINTED["swissmetro"]["formula"]
    fit = clogit(formula, frame, alternative="alt", base="swissmetro")
    return list(fit.params.index), Panels(fit.data, np.arange(6768))


@pytest.mark.parametrize("name", ["normal", "triangular", "uniform", "lognormal"])
def test_a_coefficient_of_time_as_estimated_by_biogeme(name):
    whole = PRINTED["swissmetro"]
    asked, (terms, panels) = whole["laws"][name], swissmetro()
    law, one = law_of(terms, {"time": asked["random"]}, {}), np.ones(6768)
    # Equally spaced quantiles, the same for all.
    standard = law.standard(np.tile((np.arange(128)[:, None] + 0.5) / 128, (6768, 1, 1)))
    chosen = observed_sequences(panels)
    data = MixedPanels(panels.cases, panels, law, standard, one, one, chosen=chosen)
    theirs = {k: pd.Series(asked[k])[list(law.names)].to_numpy() for k in ("params", "iid", "HC0")}
    llf, score, information = data.evaluated(theirs["params"])
    assert llf == pytest.approx(asked["llf"], abs=asked["llf_atol"])
    inverse = np.linalg.inv(information)
    assert (np.abs(inverse @ score) < whole["step"] * theirs["iid"]).all()
    sandwich = inverse @ data.meat(theirs["params"], inverse) @ inverse
    for found, expected in ((inverse, theirs["iid"]), (sandwich, theirs["HC0"])):
        np.testing.assert_allclose(np.sqrt(np.diag(found)), expected, rtol=whole["rtol"])
