"""Part-worths, importances, willingness to pay and holdouts of known consumers."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import llmdemand as ld
from llmdemand.core.experiment.attributes import Attribute
from llmdemand.core.experiment.conjoint import Conjoint
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.partworths.holdouts import scored


@pytest.fixture(scope="module")
def coffee(tmp_path_factory):
    return ld.load_study(
        ld.new_study(tmp_path_factory.mktemp("coffee") / "coffee.toml", conjoint=True)
    )


@pytest.fixture(scope="module")
def panel(coffee):
    return ld.simulate(coffee, "synthetic", runs=40, seed=7)


@pytest.fixture(scope="module")
def found(panel):
    return ld.conjoint(panel)


def options_study(**made):
    """Alternatives without names: brand is an attribute."""
    labels = ("First", "Second", "Third")
    return ld.Study.from_dict(
        {
            "name": "options",
            "focal": "first",
            "unit": "dollars",
            "user": "{offers}\nWhich?",
            "offer": "- {label}: {brand}, {grams} g, ${price:.2f}",
            "orders": "rotate",
            "alternatives": [
                *({"id": x.lower(), "label": x, "price": [6, 8, 10]} for x in labels),
                {"id": "none", "label": "neither", "outside": True},
            ],
            "attributes": {
                "brand": ["Aroma", "Bosco", "Cima"],
                "grams": {"levels": [250, 500, 1000], "linear": True},
            },
            "conjoint": {
                "tasks": 20,
                "method": "balanced-overlap",
                "labelled": False,
                "prior": {
                    "price": -0.3,
                    "grams": 0.002,
                    "brand": {"Bosco": 0.4},
                    "alternatives": {"none": -1.0},
                },
                **made,
            },
        }
    )


def test_known_part_worths_are_recovered_within_their_intervals(found):
    """All coefficients at once: the truth is in their joint confidence region."""
    truth = found.truth
    assert list(truth["truth"]) == [1.4, 0.5, 0.2, -0.35]
    assert (truth["z"].abs() < 4).all()
    params, cov = found.fit.params, found.fit.cov
    known = {"price": -0.35, "size[T.500 g]": 1.4, "roast[T.medium]": 0.5, "roast[T.dark]": 0.2}
    known |= {"const:aroma": 3.0, "const:bosco": 2.7, "const:cima": 2.4}
    away = np.array([params[t] - known[t] for t in params.index])
    assert away @ np.linalg.solve(cov.to_numpy(), away) < stats.chi2.isf(1e-4, len(away))


def test_part_worths_are_centred_differences(found):
    table = found.part_worths.table
    assert np.allclose(table.groupby("attribute")["estimate"].sum(), 0, atol=1e-12)
    own = table[table["attribute"] == "roast"].set_index("level")["estimate"]
    params = found.fit.params
    assert own["dark"] - own["light"] == pytest.approx(params["roast[T.dark]"])
    # Their standard errors are those of the contrast.
    names = ["roast[T.medium]", "roast[T.dark]"]
    cov = found.fit.cov.loc[names, names].to_numpy()
    weights = np.array([-1 / 3, 2 / 3])
    row = table[(table["attribute"] == "roast") & (table["level"] == "dark")].iloc[0]
    assert row["se"] == pytest.approx(np.sqrt(weights @ cov @ weights))
    assert set(table.loc[table["attribute"] == "alternative", "level"]) == {
        "aroma",
        "bosco",
        "cima",
    }


def test_importances_are_ranges(found):
    table = found.importances.table.set_index("attribute")
    assert table["estimate"].sum() == pytest.approx(100)
    params = found.fit.params
    roast = [0.0, params["roast[T.medium]"], params["roast[T.dark]"]]
    brand = [params[f"const:{a}"] for a in ("aroma", "bosco", "cima")]
    ranges = {
        "price": 6 * abs(params["price"]),
        "size": abs(params["size[T.500 g]"]),
        "roast": max(roast) - min(roast),
        "alternative": max(brand) - min(brand),
    }
    for name, reach in ranges.items():
        assert table.loc[name, "estimate"] == pytest.approx(100 * reach / sum(ranges.values()))
    # The delta method agrees with draws of the coefficients.
    drawn = np.random.default_rng(1).multivariate_normal(params, found.fit.cov, size=4000)
    place = {t: k for k, t in enumerate(params.index)}
    parts = np.column_stack(
        [
            np.ptp(drawn[:, [place[f"const:{a}"] for a in ("aroma", "bosco", "cima")]], axis=1),
            np.abs(drawn[:, place["size[T.500 g]"]]),
            np.ptp(
                np.column_stack(
                    [
                        np.zeros(4000),
                        drawn[:, place["roast[T.medium]"]],
                        drawn[:, place["roast[T.dark]"]],
                    ]
                ),
                axis=1,
            ),
            6 * np.abs(drawn[:, place["price"]]),
        ]
    )
    spread = (100 * parts / parts.sum(axis=1, keepdims=True)).std(axis=0)
    order = ["alternative", "size", "roast", "price"]
    assert np.allclose(table.loc[order, "se"], spread, rtol=0.1)


def test_worth_is_that_of_the_fit(found):
    table = found.worth.table.set_index(["attribute", "level"])
    for level, term in (("500 g", "size[T.500 g]"),):
        own = found.fit.willingness_to_pay(term)
        row = table.loc[("size", level)]
        assert row["estimate"] == pytest.approx(float(own))
        assert (row["lower"], row["upper"]) == pytest.approx((own.lower, own.upper))
    params = found.fit.params
    aroma = -(params["const:bosco"] - params["const:aroma"]) / params["price"]
    assert table.loc[("alternative", "bosco"), "estimate"] == pytest.approx(aroma)


def test_the_fit_is_a_plain_conditional_logit_of_the_panel(panel, found):
    rows = panel.long(filled=True)
    rows = rows[~rows["holdout"]]
    plain = ld.clogit("belief ~ price + size + roast", rows, case="run_id", base="neither")
    # Belief is corrected by final choices, none of which differs here.
    assert np.allclose(plain.params, found.fit.params[plain.params.index], atol=1e-8)
    by_default = ld.fit_demand(
        replace(panel, frame=panel.frame[~panel.frame["holdout"]]), model="clogit"
    )
    assert np.allclose(by_default.params, found.fit.params)
    assert found.fit.nobs == (~panel.frame["holdout"]).sum()


def test_unfilled_rows_say_what_an_outside_option_has_not(panel):
    rows = panel.long()
    outside = rows[rows["alternative"] == "neither"]
    assert outside[["price", "size", "roast"]].isna().all().all()
    assert rows["roast"].cat.categories.tolist() == ["light", "medium", "dark"]
    filled = panel.long(filled=True)
    assert (filled.loc[filled["alternative"] == "neither", "roast"] == "light").all()


def test_holdouts_are_predicted_and_not_fitted(panel, found):
    scores = found.holdouts.table
    assert found.holdouts.tasks == 4 and found.holdouts.runs == panel.frame["holdout"].sum()
    assert scores.loc["ceiling", "log_loss"] <= scores.loc["model", "log_loss"]
    assert scores.loc["model", "log_loss"] < scores.loc["chance", "log_loss"]
    assert found.holdouts.mean_error < 0.05
    # By hand.
    held = panel.frame[panel.frame["holdout"]]
    rows = panel.long(filled=True)
    rows = rows[rows["holdout"]].assign(case=lambda d: d["run_id"])
    p = rows.assign(p=found.fit.predict(rows).to_numpy()).pivot(
        index="run_id", columns="alternative", values="p"
    )
    ids = list(panel.study.menu.ids)
    p = p.loc[held["run_id"], ids].to_numpy()
    belief = held[[f"belief_{a}" for a in ids]].to_numpy()
    assert found.holdouts.log_loss == pytest.approx(-(belief * np.log(p)).sum(axis=1).mean())
    hits = held["choice"].to_numpy() == np.array(ids)[p.argmax(axis=1)]
    assert found.holdouts.hit_rate == pytest.approx(hits.mean())
    # A fit with the holdouts is another one, and says so.
    whole = ld.fit_demand(panel, model="clogit")
    assert not np.allclose(whole.params, found.fit.params)
    assert any("runs of holdout tasks are in this fit" in n for n in whole.notes)


def test_choice_says_the_same_less_sharply(panel, found):
    choice = ld.conjoint(panel, "choice")
    se = choice.part_worths.table["se"] / found.part_worths.table["se"]
    assert se.median() > 2
    away = choice.part_worths.table["estimate"] - found.part_worths.table["estimate"]
    assert (away.abs() < 5 * choice.part_worths.table["se"]).all()


def test_alternatives_without_names_have_one_constant_together():
    study = options_study()
    panel = ld.simulate(study, "synthetic", runs=40, seed=3)
    found = ld.conjoint(panel)
    assert set(found.fit.params.index) == {
        "price",
        "brand[T.Bosco]",
        "brand[T.Cima]",
        "grams",
        "outside",
    }
    assert list(found.importances.table["attribute"]) == ["brand", "grams", "price"]
    slopes = found.slopes.table.set_index("attribute")
    assert abs(slopes.loc["grams", "estimate"] - 0.002) < 5 * slopes.loc["grams", "se"]
    worth = found.worth.table.set_index(["attribute", "level"])
    own = worth.loc[("grams", "one unit")]
    assert own["estimate"] == pytest.approx(
        -slopes.loc["grams", "estimate"] / slopes.loc["price", "estimate"]
    )
    assert abs(own["estimate"] - 0.002 / 0.3) < 5 * own["se"]


def test_numbers_may_be_levels_or_enter_as_they_are():
    one = options_study()
    free = replace(
        one,
        attributes=(one.attributes[0], replace(one.attributes[1], linear=False)),
        conjoint=replace(
            one.conjoint,
            design=(),
            block=(),
            prior={"price": -0.3, "grams": 0.002, "alternatives": {"none": -1.0}},
        ),
    )
    panel = ld.simulate(free, "synthetic", runs=20, seed=3)
    by_level = ld.conjoint(panel).part_worths.table
    assert by_level.loc[by_level["attribute"] == "grams", "level"].tolist() == [
        "250",
        "500",
        "1000",
    ]
    straight = ld.conjoint(panel, linear=["grams"])
    assert "grams" in straight.fit.params.index
    assert "grams" not in set(straight.part_worths.table["attribute"])


def test_an_attribute_of_no_worth_is_said_to_be_noise():
    study = options_study(prior={"price": -0.3, "alternatives": {"none": -1.0}})
    said = 0
    for seed in (1, 2, 3):
        panel = ld.simulate(study, "synthetic", runs=10, seed=seed)
        found = ld.conjoint(panel)
        notes = " ".join(found.notes)
        told = found.tests.set_index("attribute")["pvalue"]
        for name in ("brand", "grams"):
            assert (f"the levels of {name} may all be worth the same" in notes) == (
                told[name] > 0.05
            )
            said += told[name] > 0.05
        assert told["price"] < 1e-4 and "levels of price" not in notes
    assert said >= 3  # of six; each with probability 0.95


def test_without_prices_that_vary_there_is_no_worth():
    one = options_study()
    prices = dict.fromkeys(one.prices, (8.0,))
    fixed = replace(
        one,
        prices=prices,
        conjoint=replace(one.conjoint, design=(), block=(), prior={"grams": 0.002}),
    )
    found = ld.conjoint(ld.simulate(fixed, "synthetic", runs=20, seed=3))
    assert found.worth is None and "price" not in found.fit.params.index
    assert "worth" not in found.to_frame()
    assert len(found.plot().axes) == 2


def test_figures_and_words(found):
    from matplotlib import pyplot as plt

    figure = found.plot()
    assert [ax.get_title() for ax in figure.axes] == [
        "Part-worths",
        "Importances",
        "Willingness to pay",
    ]
    plt.close("all")
    with pytest.raises(UsageError, match="did you mean 'importances'"):
        found.plot("importance")
    assert repr(found).startswith("<PartWorths: importances price ")
    frame = found.to_frame()
    assert frame.loc[frame["level"] == "250 g", "worth"].item() == 0
    assert {"importance", "worth"} <= set(frame.columns)
    for words in ("Part-worths of belief", "holdout hit rate", "known truth", "Wald tests"):
        assert words in found.summary()


def test_what_has_no_part_worths_is_refused(panel):
    with pytest.raises(UsageError, match="has no attributes"):
        ld.conjoint(ld.simulate(ld.load_study("pampers"), "synthetic", runs=2, seed=1))
    with pytest.raises(UsageError, match="levels of 'size' are texts"):
        ld.conjoint(panel, linear=["size"])
    with pytest.raises(UsageError, match="no attribute 'sise'"):
        ld.conjoint(panel, linear=["sise"])
    with pytest.raises(UsageError, match="give a list of attributes"):
        ld.conjoint(panel, linear="size")
    held = replace(panel, frame=panel.frame[panel.frame["holdout"]])
    with pytest.raises(DesignError, match="every run is of a holdout task"):
        ld.conjoint(held)


def test_one_run_of_each_task_is_enough():
    study = options_study()
    found = ld.conjoint(ld.simulate(study, "synthetic", runs=1, seed=2))
    assert np.isfinite(found.part_worths.table["se"]).all() and found.holdouts is None


def test_separated_choices_are_said_and_not_divided_by():
    """Everyone takes the cheapest: the maximum does not exist."""
    study = options_study(prior={"price": -60.0, "alternatives": {"none": -900.0}})
    panel = ld.simulate(study, "synthetic", runs=1, seed=2)
    with (
        pytest.warns(ld.SeparationWarning),
        pytest.raises(DesignError, match="part-worths of 'choice' does not exist"),
    ):
        ld.conjoint(panel, "choice")


def test_scores_by_hand():
    import pandas as pd

    predicted = np.array([[0.6, 0.4], [0.6, 0.4], [0.5, 0.5]])
    outcome = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    choice = outcome.copy()
    choice[1] = 0.0  # unread
    found = scored(
        predicted,
        outcome,
        choice,
        pd.Series(["h1", "h1", "h2"]),
        np.array([0.3, 0.7]),
        ("a", "b"),
        "x",
    )
    assert found.table.loc["model", "hit_rate"] == pytest.approx((1 + 0.5) / 2)
    assert found.log_loss == pytest.approx(-np.log([0.6, 0.4, 0.5]).mean())
    assert found.table.loc["shares", "hit_rate"] == 0
    assert found.table.loc["chance", "log_loss"] == pytest.approx(np.log(2))
    assert found.table.loc["ceiling", "log_loss"] == pytest.approx(2 * np.log(2) / 3)
    assert any("1 runs without a choice" in n for n in found.notes)


def test_attributes_are_in_formulas_of_one_alternative_too(panel):
    plain = ld.fit_demand(panel)
    assert any("levels of size, roast are not in the formula" in n for n in plain.notes)
    own = ld.fit_demand(panel, formula="price + size + roast + price_bosco + size_bosco")
    assert "size[T.500 g]" in own.params.index and "size_bosco[T.500 g]" in own.params.index
    assert not any("levels of" in n for n in own.notes)
    assert own.params["size[T.500 g]"] > 0 > own.params["price"]


@pytest.mark.parametrize("model", ["nested", "mnlogit"])
def test_other_models_take_attributes(panel, model):
    fit = ld.fit_demand(panel, model=model)
    assert fit.converged
    assert ("size[T.500 g]" in fit.params.index) == (model == "nested")


def test_a_pads_study_in_python_has_brands_as_alternatives():
    study = replace(
        ld.load_study("pampers"),
        attributes=(Attribute("pads", (30, 60), linear=True),),
        offer="- {label}, {pads} to a pack: {price:.0f} cents",
        prices={"pampers": (25.0, 30.0, 35.0), "huggies": (25.0, 30.0, 35.0)},
        conjoint=Conjoint((12,), "balanced-overlap"),
    )
    found = ld.conjoint(ld.simulate(study, "synthetic", runs=20, seed=1))
    assert set(found.importances.table["attribute"]) == {"alternative", "pads", "price"}
