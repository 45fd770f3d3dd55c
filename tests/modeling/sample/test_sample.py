"""Rows are reduced to groups without changing any number."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.models.logit import fit, fraclogit, logit
from llmdemand.modeling.sample import sample as module
from llmdemand.modeling.sample.sample import codes, grouped


@pytest.fixture(scope="module")
def runs():
    rng = np.random.default_rng(5)
    n = 3000
    price = rng.choice(np.arange(30, 46.0), n)
    p = 1 / (1 + np.exp(0.3 * (price - 37)))
    belief = rng.beta(5 * p, 5 * (1 - p))
    return pd.DataFrame(
        {
            "price": price,
            "persona": rng.choice(list("abcdefgh"), n),
            "run": rng.integers(0, 40, n),
            "belief": belief,
            "choice": (rng.random(n) < belief).astype(int),
            "weight": rng.choice([1.0, 2.0, 5.0], n),
        }
    )


KINDS = [
    "iid",
    "HC0",
    "HC1",
    "HC2",
    "HC3",
    {"CRV1": "persona"},
    {"CRV1": "persona+run"},
    {"CRV3": "persona"},
    {"within": "cell"},
]


@pytest.mark.filterwarnings("ignore::llmdemand.modeling.estimation.estimate.VarianceWarning")
@pytest.mark.filterwarnings("ignore::llmdemand.modeling.variance.estimated.CovarianceWarning")
@pytest.mark.parametrize("vcov", KINDS, ids=str)
@pytest.mark.parametrize("outcome", ["belief", "choice"])
def test_groups_of_equal_rows_give_what_rows_give(runs, vcov, outcome):
    frame = runs.assign(cell=runs["price"].astype(int))
    whole = fraclogit(f"{outcome} ~ price", frame, vcov=vcov)
    x = np.column_stack([np.ones(len(frame)), frame["price"]])
    rows = fit(
        frame[outcome].to_numpy(float),
        x,
        ["const", "price"],
        vcov=vcov,
        groups={c: frame[c] for c in ("persona", "run", "cell")},
    )
    assert len(whole.frame) < len(frame)
    np.testing.assert_allclose(whole.params, rows.params, rtol=1e-10)
    np.testing.assert_allclose(whole.cov, rows.cov, rtol=1e-8)
    for name in ("llf", "llnull", "nobs", "df", "clusters", "vcov", "ssc"):
        ours, theirs = getattr(whole, name), getattr(rows, name)
        assert ours == (pytest.approx(theirs, rel=1e-10) if isinstance(ours, float) else theirs)


@pytest.mark.parametrize("size", [7, 100, 999, 5000])
def test_chunks_do_not_matter(runs, size, monkeypatch):
    options = {"vcov": {"CRV1": "persona"}, "weights": "weight", "weights_type": "sampling"}
    whole = fraclogit("belief ~ price", runs, **options)
    monkeypatch.setattr(module, "_CHUNK", size)
    cut = fraclogit("belief ~ price", runs, **options)
    np.testing.assert_allclose(cut.params, whole.params, rtol=1e-12)
    np.testing.assert_allclose(cut.cov, whole.cov, rtol=1e-10)
    assert cut.nobs == whole.nobs


def test_a_parquet_file_gives_what_its_rows_give(runs, tmp_path):
    path = tmp_path / "runs.parquet"
    runs.to_parquet(path, row_group_size=500)
    for formula in ("choice ~ price", "choice ~ C(persona) + bs(price, knots=[35, 40])"):
        from_file = logit(formula, path, vcov={"CRV1": "run"})
        from_rows = logit(formula, runs, vcov={"CRV1": "run"})
        np.testing.assert_allclose(from_file.params, from_rows.params, rtol=1e-10)
        np.testing.assert_allclose(from_file.cov, from_rows.cov, rtol=1e-10)
    # Quantiles of the rows are not known to somebody who reads a file in pieces.
    logit("choice ~ bs(price, df=4)", runs)
    with pytest.raises(DesignError, match=r"knots=\[33, 37\]"):
        logit("choice ~ bs(price, df=4)", path)


def test_files_that_are_not_data(runs, tmp_path):
    with pytest.raises(UsageError, match="no file"):
        logit("choice ~ price", tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("price", encoding="utf-8")
    with pytest.raises(UsageError, match="not a parquet file"):
        logit("choice ~ price", tmp_path / "text.parquet")
    with pytest.raises(UsageError, match="data is list"):
        logit("choice ~ price", [1, 2])
    runs.iloc[:0].to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(DesignError, match="no rows"):
        logit("choice ~ price", tmp_path / "empty.parquet")


def test_frequency_weights_are_repeated_rows(runs):
    weighted = fraclogit("belief ~ price", runs, weights="weight", vcov={"CRV1": "persona"})
    repeated = runs.loc[runs.index.repeat(runs["weight"].astype(int))]
    plain = fraclogit("belief ~ price", repeated, vcov={"CRV1": "persona"})
    assert weighted.nobs == plain.nobs == runs["weight"].sum()
    np.testing.assert_allclose(weighted.params, plain.params, rtol=1e-10)
    np.testing.assert_allclose(weighted.cov, plain.cov, rtol=1e-9)
    np.testing.assert_allclose(
        fraclogit("belief ~ price", runs, weights="weight").cov,
        fraclogit("belief ~ price", repeated).cov,
        rtol=1e-9,
    )


def test_sampling_weights_enter_robust_variances_squared(runs):
    import statsmodels.api as sm

    ours = fraclogit("belief ~ price", runs, weights="weight", weights_type="sampling", vcov="HC0")
    x = sm.add_constant(runs[["price"]])
    family = sm.families.Binomial()
    theirs = sm.GLM(runs["belief"], x, family=family, freq_weights=runs["weight"]).fit(tol=1e-14)
    residual = np.asarray(runs["belief"] - theirs.mu)
    w = runs["weight"].to_numpy()
    scores = x.to_numpy() * (w * residual)[:, None]
    bread = np.linalg.inv((x * np.asarray(w * theirs.mu * (1 - theirs.mu))[:, None]).T @ x)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-9)
    np.testing.assert_allclose(ours.cov, bread @ scores.T @ scores @ bread, rtol=1e-8)
    assert ours.nobs == len(runs)


def test_missing_values_are_refused_or_counted(runs):
    holed = runs.assign(price=runs["price"].where(runs.index >= 5))
    with pytest.raises(DesignError, match=r"5 rows have missing values in 'price' .*row 0"):
        fraclogit("belief ~ price", holed)
    found = fraclogit("belief ~ price", holed, na="drop")
    assert (found.nobs, found.dropped) == (2995, 5)
    assert "left out 5" in found.summary()
    np.testing.assert_array_equal(found.params, fraclogit("belief ~ price", runs.iloc[5:]).params)
    nullable = runs.assign(price=runs["price"].astype("Float64"))
    np.testing.assert_array_equal(
        fraclogit("belief ~ price", nullable).params, fraclogit("belief ~ price", runs).params
    )
    with pytest.raises(UsageError, match="na='omit'"):
        fraclogit("belief ~ price", holed, na="omit")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"weight": -1.0}, {}, "negative"),
        ({"weight": 0.0}, {}, "all zero"),
        ({"weight": 0.0}, {"weights_type": "sampling"}, "all zero"),
        ({"weight": "heavy"}, {}, "not numbers"),
        ({"weight": np.nan}, {}, "missing values in 'weight'"),
        ({"weight": np.inf}, {}, "infinite"),
        ({}, {"weights": "wait"}, "did you mean 'weight'"),
        ({}, {"weights_type": "importance"}, "'frequency' or 'sampling'"),
    ],
)
def test_impossible_weights(runs, change, options, message):
    with pytest.raises((DesignError, UsageError), match=message):
        fraclogit("belief ~ price", runs.assign(**change), **{"weights": "weight", **options})


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.sampled_from("xyz"), st.integers(0, 10**12)), max_size=30
    )
)
@settings(max_examples=60)
def test_codes_number_groups(rows):
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    frame = frame.astype({"a": "int64", "c": "int64"})
    found, place = codes(frame, ["a", "b", "c"])
    assert sorted(set(found.tolist())) == list(range(len(set(rows)))) == list(range(len(place)))
    for row, code in zip(rows, found, strict=True):
        assert rows[place[code]] == row


def test_large_numbers_of_groups_are_hashed(runs, monkeypatch):
    keys = ["price", "run", "persona"]
    expected, _ = codes(runs, keys)
    monkeypatch.setattr("llmdemand.modeling.arrays.TABLE", 10)
    found, place = codes(runs, keys)
    assert len(set(zip(found, expected, strict=True))) == len(place) == expected.max() + 1
    assert (runs[keys].iloc[place[found]].to_numpy() == runs[keys].to_numpy()).all()


def test_moments_are_those_of_numpy(runs):
    found = grouped(runs, "belief", ["price"], outcome_columns=["belief"])
    by = runs.groupby("price")["belief"]
    price = found.frame["price"]
    np.testing.assert_allclose(found.mean, by.mean()[price], rtol=1e-12)
    np.testing.assert_allclose(found.within, (by.var(ddof=0) * by.size())[price], rtol=1e-9)
    np.testing.assert_array_equal(found.count, by.size()[price])
