"""Nested and mixed logits by influence functions, and every quantity of a calibration."""

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.calibration.fitted.debiased import debias_fit
from llmdemand.errors import DesignError, UsageError

pytestmark = pytest.mark.numbers

BY = {"CRV1": "respondent_id"}
MENUS = np.array([[1.0, 2.0, 2.0], [2.0, 1.0, 2.0], [2.0, 2.0, 1.0], [1.0, 1.0, 2.0]])


def markets(humans=120, llm=400, seed=1):
    """Three alternatives, two of them close; a biased model that knows how people differ."""
    rng = np.random.default_rng(seed)
    total = humans + llm
    taste = 0.8 * rng.standard_normal((total, 3))
    parts = []
    for task, price in enumerate(MENUS):
        utility = -price + np.array([0.5, 0.3, 0.0]) + taste
        within = np.exp(utility[:, :2] / 0.6)
        nest = within.sum(axis=1) ** 0.6
        chance = within / within.sum(axis=1, keepdims=True)
        outer = np.exp(utility[:, 2])
        share = np.column_stack([chance * (nest / (nest + outer))[:, None], outer / (nest + outer)])
        told = np.exp(-0.5 * price + taste + 0.3 * rng.standard_normal((total, 3)))
        chosen = (rng.random(total)[:, None] > share.cumsum(axis=1)).sum(axis=1)
        parts.extend(
            pd.DataFrame(
                {
                    "respondent_id": np.arange(total),
                    "task": task,
                    "case": 10 * np.arange(total) + task,
                    "alternative": "abc"[j],
                    "price": price[j],
                    "choice": (chosen == j) * 1.0,
                    "belief": told[:, j] / told.sum(axis=1),
                }
            )
            for j in range(3)
        )
    frame = pd.concat(parts).sort_values(["respondent_id", "task", "alternative"])
    people = frame["respondent_id"] < humans
    return frame[people].drop(columns="belief"), frame.drop(columns="choice")


def nested(rows, column):
    nests = {"ab": ["a", "b"]}
    return ld.nlogit(f"{column} ~ price", rows, nests=nests, case="case", vcov=BY)


def mixed(rows, column):
    return ld.mixlogit(
        f"{column} ~ price",
        rows,
        random={"price": "normal"},
        panel="respondent_id",
        case="case",
        draws=64,
        sequences=5,
        starts=1,
    )


def test_it_is_debias_of_the_coefficients():
    """Its influence functions against the jackknife's refits, without knowing the model."""
    data = ld.paired_panel(humans=50, llm=200, seed=4)

    def fit(rows, column):
        return ld.fraclogit(f"{column} ~ price", rows, vcov=BY)

    ours = debias_fit(fit, data.humans, data.beliefs, prompt_chosen_on="nobody", reps=2)
    refits = ld.debias(
        lambda rows, y: fit(rows, y).params,
        data.humans,
        data.beliefs,
        groups=50,
        prompt_chosen_on="nobody",
        reps=2,
    )
    np.testing.assert_allclose(ours.table["estimate"], refits.table["estimate"], rtol=0.03)
    np.testing.assert_allclose(ours.table["se"], refits.table["se"], rtol=0.06)
    plain = ld.fraclogit("choice ~ price", data.humans, vcov=BY)
    np.testing.assert_allclose(ours.table["humans_only_se"], plain.bse, rtol=1e-6)


def test_a_nested_logit_keeps_its_quantities():
    humans, beliefs = markets()
    on = ("task", "alternative")
    found = debias_fit(nested, humans, beliefs, on=on, prompt_chosen_on="nobody", reps=2)
    assert found.table.loc["const:b", "se"] < 0.9 * found.table.loc["const:b", "humans_only_se"]
    # Nests make a and b the closer substitutes; a plain logit's matrix would have equal columns.
    matrix = found.elasticity({"a": 1.5, "b": 1.5, "c": 1.5}, kind="matrix").matrix()
    assert matrix.loc["b", "a"] > matrix.loc["c", "a"] + 0.02
    price = found.optimal_price(0.2, alternative="a")
    assert price.table["se"].iloc[0] > 0
    none = debias_fit(
        nested, humans, beliefs, on=on, tune="none", prompt_chosen_on="nobody", reps=2
    )
    gap = found.fits["LLM as humans"].params - found.fits["LLM only"].params
    np.testing.assert_allclose(none.params, found.fits["humans only"].params - gap, rtol=1e-9)
    with pytest.raises(UsageError, match="no bootstrap"):
        found.draws()
    assert "Nested logit of 120 humans" in str(found) and "se" in found._repr_html_()


def test_a_mixed_logit_by_respondents():
    humans, beliefs = markets(60, 120)
    on = ("task", "alternative")
    found = debias_fit(mixed, humans, beliefs, on=on, prompt_chosen_on="nobody", reps=2)
    assert list(found.params.index)[:1] == ["price"] and "sd(price)" in found.params
    plain = mixed(humans, "choice")
    np.testing.assert_allclose(found.table["humans_only"], plain.params, rtol=1e-9)
    np.testing.assert_allclose(found.table["humans_only_se"], plain.bse, rtol=1e-4)
    assert np.isfinite(found.shares().table["se"]).all()


def test_fits_that_tell_nothing_of_respondents_are_refused():
    data = ld.paired_panel(humans=40, llm=80, seed=4)
    with pytest.raises(UsageError, match="knows no 'respondent_id'"):
        debias_fit(
            lambda rows, y: ld.fraclogit(f"{y} ~ price", rows), data.humans, data.beliefs, reps=2
        )
    with pytest.raises(DesignError, match="same answers"):
        debias_fit(
            lambda rows, y: ld.fraclogit(f"{y} ~ price", rows.iloc[int(y == "choice") :], vcov=BY),
            data.humans,
            data.beliefs,
            reps=2,
        )


def test_every_quantity_of_a_calibration_has_an_error_and_an_interval():
    """Asked as of any fit; the delta method against the respondents' bootstrap."""
    data = ld.paired_panel(humans=150, llm=600, answers=1, seed=2)
    found = ld.calibrate(data.humans, data.beliefs, reps=2, prompt_chosen_on="nobody")
    for quantity in (
        found.elasticity(35),
        found.elasticity(35, kind="matrix"),
        found.marginal_effects(),
        found.shares(price=[30, 40]),
        found.consumer_surplus(30),
        found.optimal_price(20),
        found.willingness_to_pay(),
        found.diversion(),
        found.demand_curve(),
        found.simulate({"price": [30, 45]}),
    ):
        table = quantity.table
        assert (table["se"] >= 0).all() and (table["lower"] <= table["upper"]).all()
    for ask in (lambda **o: found.elasticity(35, **o), lambda **o: found.shares(price=35, **o)):
        delta, drawn = ask(), ask(ci="bootstrap", reps=99)
        ratio = drawn.table["se"].iloc[0] / delta.table["se"].iloc[0]
        assert 0.75 < ratio < 1.35  # 99 draws: a standard deviation within 7 %, and n = 150
