"""Scores by hand, calibration, cross-validation without leaks, comparisons that say so."""

import warnings

import numpy as np
import pandas as pd
import pytest

from llmdemand import fit_demand, load_study, simulate
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.estimation.estimate import SeparationWarning, VarianceWarning
from llmdemand.modeling.models.logit import fit, fraclogit, logit
from llmdemand.modeling.models.multinomial import clogit, mnlogit
from llmdemand.modeling.scoring.calibration_curve import calibration
from llmdemand.modeling.scoring.scores import scores
from llmdemand.modeling.scoring.validation import cross_validate
from llmdemand.modeling.tables.comparison import compare_models

pytestmark = pytest.mark.numbers


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(6)
    price = np.tile(np.arange(30, 46.0), 20)
    income = rng.normal(0, 1, len(price))
    p = 1 / (1 + np.exp(-(0.3 * (37 - price) + 0.4 * income)))
    belief = rng.beta(6 * p, 6 * (1 - p))
    return pd.DataFrame(
        {
            "price": price,
            "income": income,
            "belief": belief,
            "choice": (rng.random(len(price)) < belief).astype(float),
            "cell": np.tile(np.arange(16), 20),
            "weight": rng.integers(1, 4, len(price)),
            "brand": rng.choice(["a", "b", "c"], len(price), p=[0.5, 0.3, 0.2]),
        }
    )


@pytest.fixture(scope="module")
def long():
    rng = np.random.default_rng(9)
    cases = 120
    frame = pd.DataFrame(
        {
            "case": np.repeat(np.arange(cases), 3),
            "alternative": np.tile(["x", "y", "z"], cases),
            "price": rng.choice([1.0, 2.0, 3.0], 3 * cases),
            "shop": np.repeat(rng.integers(0, 12, cases), 3),
            "open": 1,
        }
    )
    utility = -0.8 * frame["price"] + rng.gumbel(size=3 * cases)
    chosen = utility.groupby(frame["case"]).transform("max") == utility
    return frame.assign(choice=chosen.astype(float))


def curve_error(price, y, p, w=None):
    w = np.ones(len(y)) if w is None else w
    cells = pd.DataFrame({"price": price, "y": w * y, "p": w * p, "w": w}).groupby("price").sum()
    gap = (cells["y"] - cells["p"]) / cells["w"]
    return np.sqrt(np.average(gap**2, weights=cells["w"]))


# --- Scores -------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["choice", "belief"])
@pytest.mark.parametrize("formula", ["price", "price + income"])
def test_scores_of_one_alternative_by_hand(data, outcome, formula):
    model = fraclogit(f"{outcome} ~ {formula}", data)
    p, y = model.predict(data).to_numpy(), data[outcome].to_numpy()
    for found in (scores(model), scores(model, data), scores(model, data.sample(frac=1))):
        assert found.log_score == pytest.approx(np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
        assert found.log_score == pytest.approx(model.llf / model.nobs)
        assert found.brier == pytest.approx(np.mean((y - p) ** 2))
        assert found.rmse == pytest.approx(curve_error(data["price"], y, p))
        assert (found.cells, found.nobs) == (16, 320)
        # Maximum likelihood is calibrated in its sample.
        assert found.slope == pytest.approx(1, abs=1e-7)
        assert found.intercept == pytest.approx(0, abs=1e-7)


def test_what_is_attainable(data):
    y = data["belief"].to_numpy()
    entropy = np.mean(y * np.log(y) + (1 - y) * np.log(1 - y))
    model = fraclogit("belief ~ price", data)
    merged, full = scores(model), scores(model, data)
    assert merged.attainable is None and "give data= for it" in merged.notes[0]
    assert full.attainable == pytest.approx(entropy) and not full.notes
    m = data.groupby("price")["belief"].mean()
    best = np.mean(m * np.log(m) + (1 - m) * np.log(1 - m))
    assert merged.saturated == pytest.approx(best) == full.saturated
    assert full.log_score <= full.saturated <= full.attainable
    assert f"of the outcomes themselves {entropy:.5g}" in str(full)
    # Coins can be foreseen without loss by one who knows them.
    assert scores(logit("choice ~ price", data)).attainable == 0
    # Dummies attain what a function of price can.
    dummies = scores(fraclogit("belief ~ C(price)", data))
    assert dummies.log_score == pytest.approx(best) and dummies.rmse == pytest.approx(0, abs=1e-9)
    assert dummies.brier == pytest.approx(
        np.mean((y - data.groupby("price")["belief"].transform("mean")) ** 2)
    )


def test_weights_count(data):
    repeated = data.loc[data.index.repeat(data["weight"])]
    by_weight = scores(fraclogit("belief ~ price", data, weights="weight"))
    by_rows = scores(fraclogit("belief ~ price", repeated))
    model = fraclogit("belief ~ price", repeated)
    for other in (by_rows, scores(model, data, weights="weight")):
        for name in ("nobs", "log_score", "brier", "rmse", "saturated"):
            assert getattr(by_weight, name) == pytest.approx(getattr(other, name)), name
    sampling = fraclogit("belief ~ price", data, weights="weight", weights_type="sampling")
    assert scores(sampling).brier == pytest.approx(by_rows.brier)
    assert scores(sampling).rmse == pytest.approx(by_rows.rmse)


def test_scores_of_several_alternatives_by_hand(data, long):
    model = mnlogit("brand ~ price", data)
    p = model.predict(data).to_numpy()
    y = np.column_stack([(data["brand"] == a).to_numpy(float) for a in model.design.alternatives])
    for found in (scores(model), scores(model, data)):
        assert found.log_score == pytest.approx(np.mean((y * np.log(p)).sum(axis=1)))
        assert found.log_score == pytest.approx(model.llf / 320)
        assert found.brier == pytest.approx(np.mean(((y - p) ** 2).sum(axis=1)))
        cells = [f"{a}{v:g}" for v in data["price"] for a in "abc"]
        assert found.rmse == pytest.approx(curve_error(cells, y.ravel(), p.ravel()))
        assert found.cells == 48 and found.attainable == 0
        assert found.slope == pytest.approx(1, abs=1e-6) and found.intercept is None
    model = clogit("choice ~ price", long)
    p, y = model.predict().to_numpy(), long["choice"].to_numpy()
    for found in (scores(model), scores(model, long.sample(frac=1, random_state=1))):
        assert found.log_score == pytest.approx(np.log(p[y == 1]).mean())
        assert found.brier == pytest.approx(((y - p) ** 2).sum() / 120)
        cells = [f"{a}{v:g}" for a, v in zip(long["alternative"], long["price"], strict=True)]
        assert found.rmse == pytest.approx(curve_error(cells, y, p)) and found.cells == 9


def test_fractions_of_several_alternatives_have_an_entropy(data):
    rng = np.random.default_rng(1)
    shares = pd.DataFrame(rng.dirichlet([2, 2, 2], len(data)), columns=["u", "v", "w"])
    model = mnlogit("u + v + w ~ price", data.join(shares))
    entropy = (shares * np.log(shares)).to_numpy().sum() / len(data)
    for found in (scores(model), scores(model, data.join(shares))):
        assert found.attainable == pytest.approx(entropy)
        assert found.log_score < found.attainable


def test_demands_of_all_models_are_scored():
    panel = simulate(load_study("pampers"), "synthetic", runs=20, seed=1)
    for model in ("logit", "clogit", "mnlogit"):
        demand = fit_demand(panel, "belief", model=model)
        assert scores(demand).log_score == pytest.approx(demand.fit.llf / demand.fit.nobs)


def test_fits_to_arrays_are_scored_by_their_regressors(data):
    x = np.column_stack([np.ones(320), data["price"]])
    model = fit(data["belief"].to_numpy(), x, ["const", "price"])
    assert scores(model).rmse == pytest.approx(scores(fraclogit("belief ~ price", data)).rmse)
    with pytest.raises(UsageError, match="fitted to arrays"):
        scores(model, data)


def test_predictions_of_certainty_have_a_finite_score_where_they_are_right(data):
    model = fraclogit("belief ~ price", data)
    far = pd.DataFrame({"price": [-1e5, 1e5], "belief": [1.0, 0.0]})
    assert scores(model, far).log_score == 0
    assert scores(model, far.assign(belief=1 - far["belief"])).log_score < -1000


def test_equal_predictions_have_no_slope(data):
    found = scores(logit("choice ~ 1", data))
    assert found.slope is None and "all predictions are equal" in found.notes[0]
    assert "slope unknown" in str(found)
    assert scores(mnlogit("brand ~ 1", data)).slope is None


def test_shrunken_estimates_have_a_slope_above_one():
    df = pd.DataFrame({"price": np.arange(10.0), "choice": [1, 1, 0, 1, 1, 0, 0, 1, 0, 0.0]})
    assert scores(logit("choice ~ price", df, separation="firth")).slope > 1.05


def test_what_has_no_scores(data):
    df = pd.DataFrame({"choice": [1, 1, 0, 0.0], "price": [1, 2, 3, 4]})
    with pytest.warns(SeparationWarning):
        model = logit("choice ~ price", df)
    with pytest.raises(DesignError, match="no prediction from a separated fit"):
        scores(model)
    ours = fraclogit("belief ~ price", data)
    with pytest.raises(DesignError, match="data: no column 'price'"):
        scores(ours, data.rename(columns={"price": "prices"}))
    with pytest.raises(DesignError, match=r"must lie in \[0, 1\]"):
        scores(ours, data.assign(belief=2.0))
    with pytest.raises(UsageError, match=r"by='prize' \(did you mean 'price'"):
        scores(ours, by="prize")
    with pytest.raises(UsageError, match="an empty data frame"):
        scores(ours, data.iloc[:0])
    with pytest.raises(UsageError, match="weights= goes with data="):
        scores(ours, weights="weight")
    with pytest.raises(DesignError, match="not negative"):
        scores(ours, data.assign(weight=-1), weights="weight")
    with pytest.raises(DesignError, match="'q' is not in the data that were fitted"):
        scores(mnlogit("brand ~ price", data), data.assign(brand="q"))


# --- Calibration --------------------------------------------------------------------------


def test_the_calibration_table_by_hand(data):
    model = fraclogit("belief ~ price + income", data)
    p, y = model.predict(data).to_numpy(), data["belief"]
    for found in (calibration(model, 5), calibration(model, 5, data)):
        table = found.table
        assert table["n"].sum() == 320
        for row in table.itertuples():
            inside = (p >= row.lower) & (p < row.upper)
            assert row.n == inside.sum()
            assert row.predicted == pytest.approx(p[inside].mean())
            assert row.observed == pytest.approx(y[inside].mean())
    assert "slope 1, intercept 0" in str(found) and "<table" in found._repr_html_()


def test_slope_and_intercept_tell_of_other_data(data):
    model = logit("choice ~ price", data)
    odds = model.design.part.matrix(data) @ model.params.to_numpy()
    rng = np.random.default_rng(0)
    many = pd.concat([data] * 60, ignore_index=True)
    p = 1 / (1 + np.exp(-(0.3 + 0.5 * np.tile(odds, 60))))
    found = calibration(model, data=many.assign(choice=(rng.random(len(p)) < p) * 1.0))
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found.intercept == pytest.approx(0.3, abs=0.08)


def test_every_alternative_has_a_calibration(data, long):
    table = calibration(mnlogit("brand ~ price", data), 10).table
    assert table.groupby("alternative")["n"].sum().to_dict() == {"a": 320, "b": 320, "c": 320}
    observed = (table["n"] * table["observed"]).groupby(table["alternative"]).sum()
    assert observed.round(6).to_dict() == data["brand"].value_counts().to_dict()
    ax = calibration(clogit("choice ~ price", long)).plot()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["calibrated", "x", "y", "z"]
    assert calibration(clogit("choice ~ price", long)).plot(ax) is ax


@pytest.mark.parametrize("bins", [0, 2.5, True])
def test_impossible_bins(data, bins):
    with pytest.raises(UsageError, match="give a number of bins"):
        calibration(logit("choice ~ price", data), bins)


# --- Cross-validation ---------------------------------------------------------------------


def test_leave_one_price_out_by_hand(data):
    found = cross_validate(fraclogit, "belief ~ price + income", data, folds="price")
    predictions = pd.Series(index=data.index, dtype=float)
    for k, price in enumerate(data["price"].unique()):
        out = data["price"] == price
        p = fraclogit("belief ~ price + income", data[~out]).predict(data[out])
        predictions[out] = p
        y = data.loc[out, "belief"]
        row = found.folds.iloc[k]
        assert row["left_out"] == f"price = {price}" and row["nobs"] == 20
        assert row["log_score"] == pytest.approx(np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
        assert row["brier"] == pytest.approx(np.mean((y - p) ** 2))
        assert row["rmse"] == pytest.approx(abs(np.mean(y - p)))
    y, p = data["belief"], predictions
    each = y * np.log(p) + (1 - y) * np.log(1 - p)
    assert found.log_score == pytest.approx(each.mean())
    assert found.brier == pytest.approx(np.mean((y - p) ** 2))
    assert found.rmse == pytest.approx(curve_error(data["price"], y, p))
    by_price = each.groupby(data["price"]).mean()
    assert found.pooled.loc["log_score", "se"] == pytest.approx(by_price.std() / 4)
    squares = (y - p).groupby(data["price"]).mean() ** 2
    assert found.pooled.loc["rmse", "se"] == pytest.approx(squares.std() / 4 / (2 * found.rmse))
    assert (found.units, found.separated, found.failed) == (16, 0, 0) and not found.notes


def test_whole_cells_leave_together_and_seeds_matter(data):
    found = cross_validate(fraclogit, "belief ~ price", data, folds=4, seed=3)
    assert found.folds["nobs"].tolist() == [80, 80, 80, 80]
    assert found.folds["left_out"].tolist() == ["4 values of 'cell'"] * 4
    again = cross_validate(fraclogit, "belief ~ price", data, folds=4, seed=3)
    pd.testing.assert_frame_equal(found.folds, again.folds)
    other = cross_validate(fraclogit, "belief ~ price", data, folds=4, seed=4)
    assert other.log_score != found.log_score
    # All cells one by one is the same as folds of all values.
    ones = cross_validate(fraclogit, "belief ~ price", data, folds=16)
    assert ones.log_score == pytest.approx(
        cross_validate(fraclogit, "belief ~ price", data, folds="cell").log_score
    )
    # Order of rows has no influence on what one fold of one cell is.
    rows = cross_validate(fraclogit, "belief ~ price", data.drop(columns="cell"), folds=10)
    assert rows.unit == "observations" and rows.units == 320


def test_a_model_of_the_cells_noise_is_found_out_only_if_cells_leave_whole(data):
    rng = np.random.default_rng(3)
    names = [f"z{k}" for k in range(9)]
    noise = pd.DataFrame(rng.normal(size=(16, 9)), columns=names)
    p = 1 / (1 + np.exp(-(0.3 * (37 - data["price"]) + rng.normal(size=16)[data["cell"]])))
    noisy = data.assign(
        belief=rng.beta(20 * p, 20 * (1 - p)), **noise.loc[data["cell"]].reset_index(drop=True)
    )
    small, large = "belief ~ price", "belief ~ price + " + " + ".join(names)
    by_cell = [cross_validate(fraclogit, f, noisy, folds=8).log_score for f in (small, large)]
    assert by_cell[1] < by_cell[0]
    noisy = noisy.drop(columns="cell")
    by_run = [cross_validate(fraclogit, f, noisy, folds=8).log_score for f in (small, large)]
    assert by_run[1] > by_run[0]


def test_multinomial_and_conditional_logits(data, long):
    found = cross_validate(mnlogit, "brand ~ price", data, folds="cell")
    each = []
    for cell in data["cell"].unique():
        out = data["cell"] == cell
        model = mnlogit("brand ~ price", data[~out])
        place = [model.design.alternatives.index(b) for b in data.loc[out, "brand"]]
        each.append(np.log(model.predict(data[out]).to_numpy()[np.arange(out.sum()), place]))
    assert found.log_score == pytest.approx(np.mean(each))
    shuffled = long.sample(frac=1, random_state=0)
    found = cross_validate(clogit, "choice ~ price", shuffled, folds="shop")
    each = []
    for shop in long["shop"].unique():
        out = long["shop"] == shop
        held = long[out].reset_index(drop=True)
        p = clogit("choice ~ price", long[~out]).predict(held).to_numpy()
        each.extend(np.log(p[held["choice"] == 1]))
    assert found.log_score == pytest.approx(np.mean(each))
    # By default cases leave as a whole.
    by_case = cross_validate(clogit, "choice ~ price", long, folds=6)
    assert by_case.folds["nobs"].tolist() == [20] * 6 and by_case.units == 120
    with pytest.raises(DesignError, match="'price' varies within case 0"):
        cross_validate(clogit, "choice ~ price", long, folds="price")


def test_availability_and_missing_values_are_settled_before_folds(long, data):
    closed = long.assign(
        open=((long["case"] % 2 == 0) | (long["alternative"] != "z") | (long["choice"] == 1)) * 1
    )
    found = cross_validate(clogit, "choice ~ price", closed, folds=5, availability="open")
    part = long[closed["open"] == 1]
    same = cross_validate(clogit, "choice ~ price", part, folds=5)
    assert found.log_score == pytest.approx(same.log_score)
    assert found.dropped == len(long) - len(part)
    holes = data.assign(price=data["price"].where(data.index > 6))
    with pytest.raises(DesignError, match="7 rows have missing values in 'price'"):
        cross_validate(fraclogit, "belief ~ price", holes)
    found = cross_validate(fraclogit, "belief ~ price", holes, na="drop")
    same = cross_validate(fraclogit, "belief ~ price", data.iloc[7:], na="drop")
    assert found.dropped == 7 and found.log_score == pytest.approx(same.log_score)
    # A case without one alternative would be another choice set.
    holes = long.assign(price=long["price"].where(long.index != 4))
    found = cross_validate(clogit, "choice ~ price", holes, folds="shop", na="drop")
    assert found.dropped == 3


def test_weights_of_those_left_out_count(data):
    found = cross_validate(fraclogit, "belief ~ price", data, folds="cell", weights="weight")
    repeated = data.loc[data.index.repeat(data["weight"])]
    same = cross_validate(fraclogit, "belief ~ price", repeated, folds="cell")
    pd.testing.assert_frame_equal(found.pooled, same.pooled)
    assert found.folds["nobs"].tolist() == same.folds["nobs"].tolist()


def test_separated_folds_are_counted_not_hidden():
    df = pd.DataFrame({"price": np.arange(1, 9.0), "choice": [1, 1, 1, 0, 1, 0, 0, 0.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("error", SeparationWarning)
        found = cross_validate(logit, "choice ~ price", df, folds="price")
    lost = found.folds[found.folds["separated"]]
    assert lost["left_out"].tolist() == ["price = 4.0", "price = 5.0"] and found.separated == 2
    assert lost[["log_score", "brier", "rmse"]].isna().all(axis=None)
    assert (lost["problem"] == "separated: infinite estimates predict nothing").all()
    kept = found.folds[~found.folds["separated"]]
    assert found.log_score == pytest.approx(kept["log_score"].mean()) and found.units == 6
    assert "2 of 8 folds have no scores (2 separated, 0" in str(found)
    firth = cross_validate(logit, "choice ~ price", df, folds="price", separation="firth")
    assert firth.units == 8 and not firth.notes


def test_all_folds_separated():
    df = pd.DataFrame({"price": np.arange(1, 9.0), "choice": [1, 1, 1, 1, 0, 0, 0, 0.0]})
    with pytest.raises(DesignError, match="all 8 folds are separated"):
        cross_validate(logit, "choice ~ price", df, folds="price")


def test_a_level_that_was_not_seen_is_a_problem_of_its_fold(data):
    rare = data.assign(brand=np.where(data["cell"] == 3, "q", data["brand"]))
    found = cross_validate(fraclogit, "belief ~ price + brand", rare, folds="cell")
    assert found.failed == 1 and found.separated == 0
    problem = found.folds.loc[found.folds["problem"] != "", "problem"]
    assert problem.index.tolist() == [3] and "q" in problem.iloc[0]


def test_what_cannot_be_cross_validated(data):
    def ask(**options):
        return cross_validate(fraclogit, "belief ~ price", data, **options)

    for folds in (1, True, 2.5):
        with pytest.raises(UsageError, match="give a number from 2 on"):
            ask(folds=folds)
    with pytest.raises(UsageError, match="folds=17: there are 16 values of 'cell'"):
        ask(folds=17)
    with pytest.raises(DesignError, match=r"no column 'cells' of folds \(did you mean 'cell'"):
        ask(folds="cells")
    with pytest.raises(DesignError, match="no column 'prise'"):
        cross_validate(fraclogit, "belief ~ prise", data)
    with pytest.raises(UsageError, match=r"no file file\.parquet"):
        cross_validate(fraclogit, "belief ~ price", "file.parquet")
    with pytest.raises(UsageError, match="door is 'logit'"):
        cross_validate("logit", "belief ~ price", data)
    with pytest.raises(DesignError, match="has one value"):
        cross_validate(fraclogit, "belief ~ price", data.assign(one=1), folds="one")


# --- Comparison ---------------------------------------------------------------------------


def test_models_are_compared_and_what_is_not_comparable_is_said(data):
    one = logit("choice ~ price", data)
    two = logit("choice ~ price + income", data)
    table = compare_models(one, two, names=["small", "large"])
    assert table.index.tolist() == ["small", "large"] and (table["note"] == "").all()
    for name, model in (("small", one), ("large", two)):
        row = table.loc[name]
        assert (row["aic"], row["bic"], row["llf"]) == (model.aic, model.bic, model.llf)
        assert row["mcfadden"] == model.prsquared and row["terms"] == len(model.params)
        assert row["log_score"] == pytest.approx(model.llf / 320)
        assert row["brier"] == scores(model).brier and row["rmse"] == scores(model).rmse
    belief = fraclogit("belief ~ price", data)
    fewer = logit("choice ~ price", data.iloc[1:])
    moved = logit("choice ~ price", data.assign(choice=1 - data["choice"]))
    firth = logit("choice ~ price", data, separation="firth")
    notes = compare_models(one, belief, fewer, moved, firth)["note"].tolist()
    assert notes[0] == ""
    assert "not comparable with (1): outcomes 'choice' and 'belief'" in notes[1]
    assert "quasi-likelihood" in notes[1]
    assert "not comparable with (1): 320 and 319 observations" in notes[2]
    assert "not comparable with (1): samples with other outcomes" in notes[3]
    assert notes[4] == "Firth: likelihood at the penalised estimate, below the maximum"


def test_separated_models_have_a_note_for_what_is_missing():
    df = pd.DataFrame({"choice": [1, 1, 0, 0.0], "price": [1, 2, 3, 4]})
    with pytest.warns(SeparationWarning):
        model = logit("choice ~ price", df)
    row = compare_models(model).iloc[0]
    assert row["separated"] and np.isnan(row["brier"])
    assert row["note"] == "separated: no estimate, so no predictions to score"


def test_what_cannot_be_compared(data):
    with pytest.raises(UsageError, match="no model to compare"):
        compare_models()
    with pytest.raises(UsageError, match="1 names for 2 fits"):
        one = logit("choice ~ price", data)
        compare_models(one, one, names=["a"])


def test_perfect_beliefs_score_without_noise():
    df = pd.DataFrame({"price": [1.0, 2, 3, 4]})
    df["belief"] = 1 / (1 + np.exp(df["price"] - 2.5))
    with pytest.warns(VarianceWarning):
        model = fraclogit("belief ~ price", df)
    found = scores(model)
    assert found.brier == pytest.approx(0, abs=1e-16)
    assert found.log_score == pytest.approx(found.attainable) == found.saturated
