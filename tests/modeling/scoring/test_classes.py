"""How many classes there are."""

import numpy as np
import pytest

import llmdemand as ld
from llmdemand.errors import UsageError
from llmdemand.modeling.estimation.conditional import fit_conditional
from llmdemand.modeling.estimation.options import Options


@pytest.fixture(scope="module")
def found(segments):
    options = {"membership": "income", "panel": "person", "starts": 4}
    return ld.class_numbers(segments.formula, segments.choices, classes=2, **options)


def test_the_table_by_hand(segments, found):
    plain = ld.clogit(segments.formula, segments.choices)
    one, two = found.table.loc[1], found.table.loc[2]
    assert one["llf"] == pytest.approx(plain.llf, rel=1e-12)
    assert two["llf"] == pytest.approx(segments.fit.llf, rel=1e-12)
    assert two["parameters"] == 6 and two["agreed"] == 1
    assert two["aic"] == pytest.approx(segments.fit.aic, rel=1e-12)
    assert two["bic"] == pytest.approx(6 * np.log(200) - 2 * segments.fit.llf, rel=1e-12)
    assert two["caic"] == pytest.approx(two["bic"] + 6, rel=1e-12)
    assert two["entropy_r2"] == pytest.approx(segments.fit.entropy_r2, rel=1e-9)
    assert two["smallest"] == pytest.approx(min(segments.fit.class_shares().estimate), rel=1e-9)
    assert np.isnan(one["entropy_r2"]) and one["smallest"] == 1


def test_held_out_scores_by_hand(segments, found):
    """Fit without each fold, and the log-probability of all choices of those left out."""
    place = np.empty(200, int)
    place[np.random.default_rng(1).permutation(200)] = np.arange(200) % 5
    fold = place[segments.choices["person"]]
    plain, classes = 0.0, 0.0
    for k in range(5):
        rest, out = segments.choices[fold != k], segments.choices[fold == k]
        p = ld.clogit(segments.formula, rest).predict(out).to_numpy()
        plain += np.log(p[out["choice"] == 1]).sum()
        fit = ld.lclogit(segments.formula, rest, membership="income", panel="person", starts=3)
        logs = []
        for c in (1, 2):
            x = out[["price", "quality"]].to_numpy() @ fit.params.to_numpy()[2 * c - 2 : 2 * c]
            e = np.exp(x)
            share = e / out.assign(e=e).groupby("case")["e"].transform("sum")
            logs.append(np.log(share)[out["choice"] == 1].groupby(out["person"]).sum())
        income = out.groupby("person")["income"].first()
        odds = np.exp(fit.params.iloc[4] + fit.params.iloc[5] * income)
        each = np.exp(logs[0]) / (1 + odds) + np.exp(logs[1]) * odds / (1 + odds)
        classes += np.log(each).sum()
    assert found.table.loc[1, "log_score"] == pytest.approx(plain / 1600, rel=1e-6)
    assert found.table.loc[2, "log_score"] == pytest.approx(classes / 1600, rel=1e-6)
    assert found.best == {"bic": 2, "caic": 2, "log_score": 2}


def test_one_class_is_enough_where_there_is_one(segments):
    frame = segments.market(150, truth=np.array([[-1.0, 0.5], [-1.0, 0.5]]))
    found = ld.class_numbers(segments.formula, frame, classes=[2, 1], panel="person", starts=3)
    assert list(found.table.index) == [1, 2]
    assert found.best["bic"] == 1
    if np.isnan(found.table.loc[2, "llf"]):
        assert "no maximum" in found.problems[2]


def test_it_prints_and_is_drawn(found):
    assert "best by bic 2, caic 2, log_score 2" in str(found)
    ax = found.plot()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), found.table["bic"])
    assert ax.get_legend() is not None


def test_beliefs_and_too_many_classes_are_told(segments):
    frame = segments.market(40, 4, beliefs=True)
    found = ld.class_numbers(segments.formula, frame, classes=[1, 14], panel="person", folds=2)
    assert any("quasi-likelihood" in note for note in found.notes)
    assert "40 respondents for the 41 parameters of 14 classes" in found.problems[14]
    assert np.isnan(found.table.loc[14, "bic"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "classes=0"),
        ({"classes": [1, 2.5]}, "classes="),
        ({"folds": 1}, "folds=1: give a number from 2 to that of the respondents, 200"),
        ({"folds": 201}, "folds=201"),
        ({"vcov": "iid"}, "no option 'vcov'"),
    ],
)
def test_impossible_options(segments, options, message):
    with pytest.raises(UsageError, match=message):
        ld.class_numbers(segments.formula, segments.choices, panel="person", **options)


def test_corrected_beliefs_have_a_held_out_score_and_no_criteria(segments):
    frame = segments.corrected(segments.market(100, beliefs=True))
    found = ld.class_numbers(
        segments.formula, frame, classes=2, panel="person", folds=2, starts=2, read="read"
    )
    assert found.table[["aic", "bic", "caic", "entropy_r2"]].isna().all(axis=None)
    assert found.best == {"log_score": 2}
    assert "no criteria" in str(found) and len(found.plot().containers) == 1
    # One class by pairs: the log score of single situations, of the people left out.
    place = np.empty(100, int)
    place[np.random.default_rng(1).permutation(100)] = np.arange(100) % 2
    fold, total = place[frame["person"]], 0.0
    for k in range(2):
        rest, out = frame[fold != k], frame[fold == k]
        fit = fit_conditional(segments.formula, rest, Options(read="read"))
        p = ld.LogitResults.of(fit).predict(out).to_numpy()
        total += (out["choice"] * np.log(p)).sum()
    assert found.table.loc[1, "log_score"] == pytest.approx(total / 800, rel=1e-6)
