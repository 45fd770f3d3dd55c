"""Rows may come in any order: no result changes, and what is returned comes in that order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmdemand as ld
from llmdemand.errors import LLMDemandError
from llmdemand.modeling.scoring.validation import cross_validate

CASES = 40
CLOSE = {"rtol": 1e-7, "atol": 1e-10}


def binary_rows():
    rng = np.random.default_rng(2)
    price = rng.integers(1, 9, CASES).astype(float)
    income = rng.normal(size=CASES)
    p = 1 / (1 + np.exp(price / 2 - 2 - income))
    return pd.DataFrame(
        {
            "price": price,
            "income": income,
            "buy": (rng.random(CASES) < p).astype(float),
            "fold": np.arange(CASES) % 3,
        }
    )


def wide_rows():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({f"price_{a}": rng.uniform(1, 3, CASES) for a in "abc"})
    u = -frame.to_numpy() + rng.gumbel(size=(CASES, 3))
    return frame.assign(brand=np.array(list("abc"))[u.argmax(axis=1)], fold=np.arange(CASES) % 3)


def long_rows(cases=CASES):
    """Stacked by alternative; every third case lacks c, and cases have names."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "case": [f"case {k:02d}" for k in range(cases)] * 3,
            "alternative": np.repeat(list("abc"), cases),
            "price": rng.uniform(1, 3, 3 * cases),
            "income": np.tile(rng.normal(size=cases), 3),
            "fold": np.tile(np.arange(cases) % 4, 3),
            "weight": np.tile(rng.integers(1, 4, cases), 3),
        }
    )
    u = -frame["price"] + rng.gumbel(size=3 * cases)
    frame = frame[~((frame["alternative"] == "c") & (np.arange(3 * cases) % 3 == 0))]
    u = u[frame.index]
    best = u.groupby(frame["case"]).transform("max") == u
    return frame.assign(choice=best.astype(float)).reset_index(drop=True)


ROWS = {"binary": binary_rows(), "multinomial": wide_rows(), "conditional": long_rows()}
DOORS = {
    "binary": (ld.logit, "buy ~ price + income"),
    "multinomial": (ld.mnlogit, "brand ~ price_a + price_b + price_c"),
    "conditional": (ld.clogit, "choice ~ price | income"),
}
FITS = {kind: door(formula, ROWS[kind]) for kind, (door, formula) in DOORS.items()}
CHANGE = {"binary": {"price": 2.0}, "multinomial": {"b": 1.5}, "conditional": {"b": 1.5}}


def keyed(found):
    """A table whose rows are named by all that is no number of its own."""
    keys = [c for c in found if c not in ("estimate", "se", "lower", "upper")]
    return found.set_index(keys).sort_index()


def results(kind, rows):
    """All that takes rows, apart from predictions."""
    fit, (door, formula) = FITS[kind], DOORS[kind]
    weights = "weight" if kind == "conditional" else None
    scored = fit.scores(rows, weights=weights)
    refitted = door(formula, rows)
    after = {
        "scores": [scored.log_score, scored.brier, scored.rmse, scored.slope, scored.cells],
        "curve": fit.calibration(5, rows).table.select_dtypes("number"),
        "folds": cross_validate(door, formula, rows, folds="fold").pooled,
        "estimate": refitted.params,
        "covariance": refitted.cov,
        "llf": refitted.llf,
        "simulated": refitted.simulate({k: [v] for k, v in CHANGE[kind].items()}).estimate,
    }
    own = rows.drop(columns="fold")
    after["shares"] = keyed(fit.shares(own).table)
    if kind != "multinomial":
        after["elasticity"] = keyed(fit.elasticity(own).table)
        after["surplus"] = keyed(fit.consumer_surplus(CHANGE[kind], at=own).table)
    return after


BEFORE = {kind: results(kind, rows) for kind, rows in ROWS.items()}


@pytest.mark.parametrize("kind", ROWS)
@settings(max_examples=4)
@given(data=st.data())
def test_a_permutation_of_the_rows_changes_no_result(kind, data):
    rows, fit = ROWS[kind], FITS[kind]
    order = np.array(data.draw(st.permutations(range(len(rows)))))
    # Labels of rows mean nothing, not even where they are there twice.
    moved = rows.iloc[order].set_axis(np.arange(len(rows)) // 2)
    for name, found in results(kind, moved).items():
        np.testing.assert_allclose(found, BEFORE[kind][name], err_msg=name, **CLOSE)
    before, after = fit.predict(rows), fit.predict(moved)
    np.testing.assert_allclose(after, np.asarray(before)[order], rtol=1e-12)
    errors = fit.predict(moved, se=True)
    whole = fit.predict(rows, se=True).to_numpy().reshape(len(rows), -1)
    np.testing.assert_allclose(errors.to_numpy().reshape(len(rows), -1), whole[order], rtol=1e-8)


def test_stacked_data_have_the_softmax_of_their_cases():
    d = pd.DataFrame({"case": [1, 2, 1, 2], "alternative": list("aabb"), "price": [1, 9, 9, 1]})
    fit = FITS["conditional"]
    v = {"a": 0.0, "b": float(fit.params["const:b"])}
    b = float(fit.params["price"])
    odds = np.exp(b * (1 - 9) - v["b"]), np.exp(b * (9 - 1) - v["b"])  # of a against b
    first, second = (o / (1 + o) for o in odds)
    found = fit.predict(d.assign(income=0.0))
    np.testing.assert_allclose(found, [first, second, 1 - first, 1 - second], rtol=1e-10)
    assert found.index.names == ["case", "alternative"]
    assert found.index.to_list() == [(1, "a"), (2, "a"), (1, "b"), (2, "b")]


@pytest.mark.parametrize(
    "ids",
    [
        [7, 3],
        [-1.5, 2.0],
        ["x", "y"],
        [True, False],
        pd.to_datetime(["2024-05-01", "2023-05-01"]),
        pd.Categorical(["u", "t"], ["t", "u", "never"]),
        pd.array([2**62, 5], "Int64"),
        [("shop", 1), ("shop", 2)],
    ],
    ids=str,
)
def test_cases_may_be_called_anything(ids):
    fit = FITS["conditional"]
    ids = pd.Series(ids)
    d = pd.DataFrame(
        {
            "case": ids.iloc[[0, 1, 0, 1]].reset_index(drop=True),
            "alternative": list("aabb"),
            "price": [1.0, 2.0, 2.5, 1.0],
            "income": [0.0, 1.0, 0.0, 1.0],
        }
    )
    apart = [fit.predict(d.iloc[rows]).to_numpy() for rows in ([0, 2], [1, 3])]
    assert [p.sum() for p in apart] == pytest.approx([1, 1])
    expected = [apart[0][0], apart[1][0], apart[0][1], apart[1][1]]
    np.testing.assert_allclose(fit.predict(d), expected, rtol=1e-12)


def test_answers_come_as_the_callers_cases_do():
    rows = ROWS["conditional"]
    chosen = rows[rows["case"].isin(["case 05", "case 11", "case 02"])].iloc[::-1]
    found = FITS["conditional"].shares(chosen, alternative="a").table
    assert found["case"].tolist() == ["case 11", "case 05", "case 02"]
    p = FITS["conditional"].predict(chosen).xs("a", level="alternative")
    np.testing.assert_allclose(found["estimate"], p.loc[found["case"]], rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: pd.concat([d, d.iloc[[3]]]), "case case 03 has alternative 'a' twice"),
        (lambda d: d.assign(case=d["case"].mask(d.index == 4)), "1 rows have no value of 'case'"),
        (lambda d: d.assign(alternative=d["alternative"].replace("b", "q")), "no alternative 'q'"),
        (lambda d: d.drop(columns="case"), "no column 'case'"),
        (lambda d: d.drop(columns="alternative"), "no column 'alternative'"),
    ],
)
def test_rows_whose_case_is_not_clear_are_refused_everywhere(change, message):
    fit, rows = FITS["conditional"], change(ROWS["conditional"])
    takers = [
        fit.predict,
        fit.scores,
        lambda d: fit.calibration(5, d),
        fit.shares,
        fit.elasticity,
        lambda d: fit.consumer_surplus({"b": 2.0}, at=d),
    ]
    for taker in takers:
        with pytest.raises(LLMDemandError, match=message):
            taker(rows)


def test_weights_belong_to_the_case():
    rows = ROWS["conditional"].assign(w=np.arange(len(ROWS["conditional"])))
    with pytest.raises(LLMDemandError, match="weights 'w' vary within a case"):
        FITS["conditional"].scores(rows, weights="w")


def test_random_folds_of_stacked_cases_by_hand():
    """Cases leave as a whole, wherever their rows stand."""
    rows = ROWS["conditional"]
    door, formula = DOORS["conditional"]
    found = cross_validate(door, formula, rows, folds="fold")
    total = 0.0
    for k in range(4):
        out = rows["fold"] == k
        p = door(formula, rows[~out]).predict(rows[out])
        total += np.log(p.to_numpy()[rows.loc[out, "choice"] == 1]).sum()
    assert found.log_score == pytest.approx(total / CASES, rel=1e-9)
    assert found.units == 4
    assert cross_validate(door, formula, rows, folds=5).units == CASES


def test_an_offset_goes_with_its_row():
    rows = ROWS["conditional"].assign(size=np.linspace(1, 3, len(ROWS["conditional"])))
    fit = ld.clogit("choice ~ price + offset(log(size)) | 0", rows)
    e = rows["size"] * np.exp(fit.params["price"] * rows["price"])
    expected = e / e.groupby(rows["case"]).transform("sum")
    np.testing.assert_allclose(fit.predict(rows), expected, rtol=1e-10)
    np.testing.assert_allclose(fit.predict(rows[::-1], se=True)["predicted"], expected[::-1])
    one = rows["case"] == "case 00"
    market = fit.shares(rows[one][::-1]).table.set_index("alternative")["estimate"]
    np.testing.assert_allclose(market[rows.loc[one, "alternative"]], expected[one], rtol=1e-10)
