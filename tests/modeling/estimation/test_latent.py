"""Latent classes from a formula and a table: what is found, in what order, and what is refused."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.estimation.estimate import SeparationWarning


@pytest.fixture(scope="module")
def corrected(segments):
    """Beliefs of 200 people corrected by what is 0 in the mean, and a fit of them."""
    frame = segments.corrected(segments.beliefs)
    assert frame["choice"].min() < 0
    options = {"membership": "income", **segments.options}
    fit = ld.lclogit(segments.formula, frame, read="read", **options)
    return SimpleNamespace(frame=frame, options=options, fit=fit)


@pytest.mark.parametrize("kind", ["fit", "belief"])
def test_the_truth_is_within_its_intervals(segments, kind):
    """Classes come from the largest to the smallest, as in the truth here."""
    fit = getattr(segments, kind)
    assert list(fit.params.index) == [
        "price[1]",
        "quality[1]",
        "price[2]",
        "quality[2]",
        "share[2]:const",
        "share[2]:income",
    ]
    truth = np.concatenate([segments.truth.ravel(), [-0.8, 1.0]])
    assert (np.abs(fit.params - truth) < 3.3 * fit.bse).all()
    assert fit.vcov == "CRV1 (clusters: person)" and fit.clusters == 200


def test_beliefs_tell_more_of_tastes_than_choices(segments):
    tastes = list(segments.fit.params.index[:4])
    assert (segments.belief.bse[tastes] < 0.6 * segments.fit.bse[tastes]).all()
    assert segments.belief.fractional and not segments.fit.fractional


def test_respondents_are_put_where_they_belong(segments):
    found = segments.fit.posterior()
    assert found.index.tolist() == list(range(200))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    member = segments.choices.groupby("person")["member"].first()
    right = (found[2] > 0.5) == (member == 1)
    assert right.mean() > 0.85
    tastes = segments.fit.individual()
    assert list(tastes.columns) == ["price", "quality"]
    expected = found.to_numpy() @ segments.fit.params.to_numpy()[:4].reshape(2, 2)
    np.testing.assert_allclose(tastes, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["choices", "beliefs"])
def test_the_order_of_rows_changes_nothing_bit_for_bit(segments, kind):
    frame = getattr(segments, kind)
    moved = frame.sample(frac=1, random_state=5)
    first = ld.lclogit(segments.formula, frame, membership="income", panel="person", starts=2)
    again = ld.lclogit(segments.formula, moved, membership="income", panel="person", starts=2)
    assert (first.params == again.params).all()
    assert (first.cov == again.cov).all(axis=None)
    assert first.llf == again.llf
    assert (first.posterior() == again.posterior()).all(axis=None)


def test_the_start_changes_nothing(segments):
    other = ld.lclogit(
        segments.formula, segments.choices, membership="income", seed=9, **segments.options
    )
    np.testing.assert_allclose(other.params, segments.fit.params, rtol=1e-6)
    assert "4 starts end at one maximum" in segments.fit.notes


def test_a_frequency_weight_is_a_respondent_again(segments):
    choices = segments.choices[segments.choices["person"] < 80]
    n = choices["person"] % 2 + 1
    weighed = ld.lclogit(
        segments.formula, choices.assign(n=n), weights="n", vcov="iid", **segments.options
    )
    again = choices[n == 2]
    twice = pd.concat([choices, again.assign(person=again["person"] + 1000, case=again.case + 1e6)])
    repeated = ld.lclogit(segments.formula, twice, vcov="iid", **segments.options)
    np.testing.assert_allclose(weighed.params, repeated.params, rtol=1e-7)
    np.testing.assert_allclose(weighed.bse, repeated.bse, rtol=1e-7)
    assert weighed.llf == pytest.approx(repeated.llf, rel=1e-12)
    assert weighed.nobs == repeated.nobs
    assert weighed.class_shares().estimate == pytest.approx(repeated.class_shares().estimate)


def test_units_and_constants_of_alternatives(segments):
    fit = ld.lclogit("choice ~ price", segments.choices, panel="person", starts=3, vcov="iid")
    cents = segments.choices.assign(price=100 * segments.choices["price"])
    same = ld.lclogit("choice ~ price", cents, panel="person", starts=3, vcov="iid")
    assert fit.params.index[:3].tolist() == ["price[1]", "const:b[1]", "const:c[1]"]
    assert same.llf == pytest.approx(fit.llf, rel=1e-10)
    np.testing.assert_allclose(100 * same.params.iloc[0], fit.params.iloc[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "from 2 on .for one class use clogit"),
        ({"classes": 2.5}, "classes=2.5"),
        ({"starts": 0}, "starts=0"),
        ({"sequences": 0}, "sequences=0"),
        ({"membership": "0"}, "leaves out the constant"),
        ({"membership": "income - 1"}, "leaves out the constant"),
        ({"membership": "offset(income)"}, "offset"),
        ({"membership": "incme"}, "incme"),
        ({"membership": "price"}, "'price' varies within"),
        ({"membership": "case"}, "'case' varies within a respondent person"),
        ({"membership": "flat"}, "'flat' has one value"),
        ({"membership": "income + twice"}, "collinear"),
        ({"panel": "lost"}, "3 rows have missing values in 'lost'"),
        ({"panel": "persn"}, "persn"),
        ({"separation": "firth"}, "Firth's penalty is for plain logits"),
        ({"vcov": "HC3"}, "for plain logits"),
        ({"classes": 80}, "200 respondents for the 239 parameters of 80 classes"),
    ],
)
def test_what_cannot_be_fitted_is_told(segments, options, message):
    lost = segments.choices["person"].astype(float).mask(segments.choices["case"] == 4)
    frame = segments.choices.assign(flat=1.5, twice=2 * segments.choices["income"], lost=lost)
    with pytest.raises((DesignError, UsageError), match=message):
        ld.lclogit(segments.formula, frame, **{"panel": "person", "starts": 1, **options})


def test_corrected_beliefs_are_fitted_by_pairs(segments, corrected):
    fit = corrected.fit
    truth = np.concatenate([segments.truth.ravel(), [-0.8, 1.0]])
    assert (np.abs(fit.params - truth) < 3.5 * fit.bse).all()
    assert fit.vcov == "CRV1 (clusters: person)" and fit.bse["price[1]"] < 0.2
    assert any("pairwise quasi-likelihood" in note for note in fit.notes)
    for options, match in (
        ({"likelihood": "sequence"}, "use likelihood='pairwise'"),
        ({"likelihood": "tripel"}, "likelihood"),
        ({"panel": "person", "starts": 1, "vcov": "iid"}, "no independent observations"),
        ({"read": "raed"}, "no column 'raed'.*read="),
    ):
        with pytest.raises((DesignError, UsageError), match=match):
            ld.lclogit(segments.formula, corrected.frame, **{"read": "read", **options})


def test_noise_that_leaves_no_maximum_is_told(segments):
    """Four situations of forty people, each belief blurred by three times what it can be."""
    found = 0
    for seed in range(4):
        frame = segments.corrected(segments.market(40, 4, beliefs=True, seed=seed), seed, 3.0)
        try:
            fit = ld.lclogit(segments.formula, frame, read="read", panel="person", starts=2)
            assert np.isfinite(fit.bse).all()
        except DesignError as error:
            found += "no maximum with 2 classes" in str(error)
    assert found


def test_pairs_agree_with_sequences(segments):
    options = {"membership": "income", "likelihood": "pairwise", **segments.options}
    pairs = ld.lclogit(segments.formula, segments.beliefs, **options)
    assert (np.abs(pairs.params - segments.belief.params) < 3.3 * pairs.bse).all()
    assert pairs.llnull == pytest.approx(
        ld.clogit(segments.formula, segments.beliefs).llnull, rel=1e-12
    )


def test_the_order_of_rows_changes_no_bit_of_pairs(segments, corrected):
    moved = corrected.frame.sample(frac=1, random_state=5)
    again = ld.lclogit(segments.formula, moved, read="read", **corrected.options)
    assert (corrected.fit.params == again.params).all()
    assert (corrected.fit.cov == again.cov).all(axis=None)
    assert corrected.fit.llf == again.llf


def test_who_answered_once_carries_nothing_to_pairs(segments, corrected):
    frame, options = corrected.frame, {**corrected.options, "starts": 1}
    first = frame["person"].lt(20) & frame["case"].mod(8).ne(0)
    fit = ld.lclogit(segments.formula, frame[~first], read="read", **options)
    rest = ld.lclogit(segments.formula, frame[frame["person"] >= 20], read="read", **options)
    np.testing.assert_allclose(fit.params, rest.params, rtol=1e-6)
    assert any("20 of 200 respondents answered one situation" in n for n in fit.notes)
    with pytest.raises(DesignError, match="pairs of answers of one respondent"):
        ld.lclogit(segments.formula, frame[frame["case"] % 8 == 0], read="read", **options)


def test_a_membership_that_runs_to_infinity_is_told(segments, corrected):
    """Income tells who belongs where without fail."""
    sure = corrected.frame["member"] - 0.5
    frame = corrected.frame.assign(income=sure)
    frame["choice"] = segments.beliefs["choice"]
    with pytest.raises(DesignError, match=r"share\[2\]:income to [+-]inf"):
        ld.lclogit(segments.formula, frame, read="read", **corrected.options)


def test_separated_data_are_refused(segments):
    best = segments.choices["price"] == segments.choices.groupby("case")["price"].transform("min")
    with pytest.raises(DesignError, match=r"separated \(price\)"):
        ld.lclogit(
            "choice ~ price | 0",
            segments.choices.assign(choice=best.astype(float)),
            **segments.options,
        )


def test_a_class_that_runs_to_infinity_is_told(segments):
    """A quarter of the people always take the cheapest: no slope is steep enough for them."""
    frame = segments.market(120)
    cheap = frame["price"] == frame.groupby("case")["price"].transform("min")
    frame["choice"] = np.where(frame["person"] % 4 == 0, cheap.astype(float), frame["choice"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit = ld.lclogit("choice ~ price | 0", frame, classes=2, **segments.options)
        except DesignError as error:
            assert "price of a class to -inf" in str(error)
            return
    assert any(issubclass(w.category, SeparationWarning) for w in caught)
    assert any("ran to infinity at a higher log-likelihood" in note for note in fit.notes)
    assert np.isfinite(fit.params).all()
    with pytest.raises(DesignError, match="ran to infinity"):
        ld.lclogit("choice ~ price | 0", frame, separation="raise", **segments.options)


def test_classes_of_few_respondents_are_told(segments):
    frame = segments.market(60, 30, trait=0.0)
    few = frame.loc[frame["member"] == 1, "person"].unique()[6:]
    fit = ld.lclogit(segments.formula, frame[~frame["person"].isin(few)], **segments.options)
    assert any("fewer than 10 respondents belong to class 2 (" in n for n in fit.notes)


def test_without_a_panel_each_case_is_a_respondent(segments):
    options = {"starts": 1, "membership": "income"}
    frame = segments.choices.assign(person=segments.choices["case"])
    fit = ld.lclogit(segments.formula, frame, panel="person", **options)
    alone = ld.lclogit(segments.formula, segments.choices, **options)
    assert (fit.params == alone.params).all()
    assert (fit.bse == alone.bse).all() and alone.vcov == "CRV1 (clusters: case)"
