"""Every table and every type that a user's frame may have gives the same numbers."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import llmdemand as ld
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.models.logit import fit
from llmdemand.modeling.sample.columns import column_names, plain, table

N = 240


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(2)
    # Quarters: exact in every binary and decimal type; squares beyond 127, 255 and 32767.
    price = rng.integers(8, 120, N).astype(float)
    arm = rng.choice(["high", "low", "mid"], N)
    utility = 2 - 0.05 * price + (arm == "low")
    return pd.DataFrame(
        {
            "price": price,
            "arm": arm,
            "flag": rng.random(N) < 0.5,
            "y": (rng.random(N) < 1 / (1 + np.exp(-utility))).astype(int),
        }
    )


FORMULA = "y ~ I(price**2 / 1000) + I(price - 120) + arm + flag"


@pytest.fixture(scope="module")
def expected(rows):
    """By hand: regressors in floats, through the door of arrays."""
    p = rows["price"].to_numpy()
    x = np.column_stack(
        [
            np.ones(N),
            rows["arm"] == "low",
            rows["arm"] == "mid",
            p**2 / 1000,
            p - 120,
            rows["flag"],
        ]
    ).astype(float)
    found = fit(rows["y"].to_numpy(float), x, ["const", "low", "mid", "square", "less", "flag"])
    return found.params.to_numpy()


def _params(data, **options):
    fit = ld.logit(FORMULA, data, **options)
    order = ["const", "arm[T.low]", "arm[T.mid]", "I(price ** 2 / 1000)", "I(price - 120)", "flag"]
    return fit.params[order].to_numpy()


NUMBERS = [
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("float32", "float64", "Int8", "UInt8", "Int64", "Float32", "Float64", "object"),
    "Sparse[float64]",
    "int8[pyarrow]",
    "uint64[pyarrow]",
    "float[pyarrow]",
    "double[pyarrow]",
]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_of_every_type(rows, expected, dtype, tmp_path):
    given = rows.assign(price=rows["price"].astype(int).astype(dtype))
    np.testing.assert_allclose(_params(given), expected, rtol=1e-10)
    if "Sparse" not in dtype:
        given.to_parquet(tmp_path / "rows.parquet")
        np.testing.assert_allclose(_params(tmp_path / "rows.parquet"), expected, rtol=1e-10)


LEVELS = ["high", "low", "mid"]
ORDERED = pd.CategoricalDtype(LEVELS, ordered=True)
DECIMAL = pd.ArrowDtype(pa.decimal128(9, 2))


def _decimal(values):
    return [Decimal(int(v)) for v in values]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: {"price": pd.Series(_decimal(d["price"]), dtype=object)},
        lambda d: {"price": pd.Series(_decimal(d["price"]), dtype=DECIMAL)},
        lambda d: {"price": pd.Series([*_decimal(d["price"][:9]), *d["price"][9:]], dtype=object)},
        lambda d: {"arm": d["arm"].astype("string")},
        lambda d: {"arm": d["arm"].astype(object)},
        lambda d: {"arm": d["arm"].astype("string[pyarrow]")},
        lambda d: {"arm": d["arm"].astype(pd.ArrowDtype(pa.string()))},
        lambda d: {"arm": d["arm"].astype(pd.ArrowDtype(pa.large_string()))},
        lambda d: {"arm": d["arm"].astype("category")},
        lambda d: {"arm": d["arm"].astype("category").cat.add_categories(["absent"])},
        lambda d: {"arm": d["arm"].astype(ORDERED)},
        lambda d: {"arm": pd.Series(pa.array(d["arm"]).dictionary_encode().to_pandas())
                   .cat.reorder_categories(LEVELS)},
        lambda d: {"flag": d["flag"].astype("boolean"), "y": d["y"].astype("boolean")},
        lambda d: {"flag": d["flag"].astype("bool[pyarrow]"), "y": d["y"].astype(bool)},
        lambda d: {"flag": d["flag"].astype(object), "y": d["y"].astype(object)},
        lambda d: {"flag": d["flag"].astype(int), "y": d["y"].astype("Int8")},
    ],
)  # fmt: skip
def test_text_categories_flags_and_decimals(rows, expected, change, tmp_path):
    given = rows.assign(**change(rows))
    np.testing.assert_allclose(_params(given), expected, rtol=1e-10)
    mixed = given["price"].dtype == object and "float" in str({type(v) for v in given["price"]})
    if not mixed:  # which parquet itself refuses
        given.to_parquet(tmp_path / "rows.parquet")
        np.testing.assert_allclose(_params(tmp_path / "rows.parquet"), expected, rtol=1e-10)


@pytest.mark.parametrize(
    "table_of",
    [
        pl.from_pandas,
        lambda d: pl.from_pandas(d).with_columns(pl.col("price").cast(pl.Int16)),
        lambda d: pl.from_pandas(d).with_columns(pl.col("price").cast(pl.Decimal(9, 2))),
        lambda d: pl.from_pandas(d).with_columns(pl.col("arm").cast(pl.Categorical)),
        lambda d: pl.from_pandas(d).with_columns(pl.col("arm").cast(pl.Enum(LEVELS))),
        pa.Table.from_pandas,
        lambda d: pa.Table.from_pandas(d.assign(price=d["price"].astype("uint8"))),
        lambda d: pa.concat_tables([pa.Table.from_pandas(d[:50]), pa.Table.from_pandas(d[50:])]),
    ],
)  # fmt: skip
def test_tables_of_polars_and_pyarrow(rows, expected, table_of):
    given = table_of(rows)
    np.testing.assert_allclose(_params(given), expected, rtol=1e-10)
    fit = ld.logit(FORMULA, rows)
    np.testing.assert_allclose(fit.predict(given), fit.predict(rows), rtol=1e-12)
    assert fit.scores(given).log_score == pytest.approx(fit.scores(rows).log_score, rel=1e-12)


def test_the_session_does_not_choose_the_base_of_a_polars_categorical(rows):
    """Polars numbers categories by when the process first saw them: polars 22349."""
    _ = pl.Series(["mid", "low", "high"], dtype=pl.Categorical)
    given = pl.from_pandas(rows).with_columns(pl.col("arm").cast(pl.Categorical))
    assert list(ld.logit("y ~ arm", given).params.index) == ["const", "arm[T.low]", "arm[T.mid]"]
    enum = pl.from_pandas(rows).with_columns(pl.col("arm").cast(pl.Enum(["mid", "low", "high"])))
    assert list(ld.logit("y ~ arm", enum).params.index) == ["const", "arm[T.low]", "arm[T.high]"]


def test_every_estimator_takes_every_table(rows, tmp_path):
    long = pd.DataFrame(
        {
            "case": np.repeat(np.arange(60), 3),
            "alternative": np.tile(["a", "b", "c"], 60),
            "price": np.tile(rows["price"][:60], 3)[:180],
            "choice": np.eye(3)[np.random.default_rng(1).integers(0, 3, 60)].ravel(),
        }
    )
    long.to_parquet(tmp_path / "long.parquet")
    rows.to_parquet(tmp_path / "rows.parquet")
    for door, formula, data, path in (
        (ld.clogit, "choice ~ price", long, tmp_path / "long.parquet"),
        (ld.mnlogit, "arm ~ price", rows, tmp_path / "rows.parquet"),
        (ld.fraclogit, "y ~ bs(price, df=4)", rows, None),
    ):
        by_pandas = door(formula, data)
        for other in (pl.from_pandas(data), pa.Table.from_pandas(data), path):
            if other is not None:
                np.testing.assert_allclose(door(formula, other).params, by_pandas.params, rtol=1e-9)
        np.testing.assert_allclose(
            by_pandas.predict(pl.from_pandas(data)), by_pandas.predict(data), rtol=1e-12
        )
    folds = ld.cross_validate(ld.logit, "y ~ price", pl.from_pandas(rows), folds=4)
    assert folds.log_score == ld.cross_validate(ld.logit, "y ~ price", rows, folds=4).log_score
    tested = ld.logit("y ~ price", rows).score_test("arm", pl.from_pandas(rows))
    assert tested.statistic == pytest.approx(
        ld.logit("y ~ price", rows).score_test("arm", rows).statistic, rel=1e-9
    )


def test_large_ids_stay_exact(rows):
    """Above 2^53 neighbours are one float: as clusters they are not numbers but names."""
    ids = 2**60 + np.arange(N) // 2
    for given in (ids, pd.array(ids, "Int64"), pd.array(ids, "int64[pyarrow]"), ids.astype(object)):
        found = ld.logit("y ~ price", rows.assign(id=given), vcov={"CRV1": "id"})
        assert found.clusters == N // 2
    holed = pd.array(ids, "Int64")
    holed[:2] = pd.NA
    found = ld.logit("y ~ price", rows.assign(id=holed), vcov={"CRV1": "id"}, na="drop")
    assert (found.clusters, found.dropped) == (N // 2 - 1, 2)
    with pytest.raises(DesignError, match="'id' holds whole numbers beyond 2\\^53"):
        ld.logit("y ~ id", rows.assign(id=ids))


@pytest.mark.parametrize(
    "holed",
    [
        lambda s: s.where(s.index > 4),
        lambda s: s.astype("Int64").where(s.index > 4),
        lambda s: s.astype("Float64").where(s.index > 4),
        lambda s: s.astype("int64[pyarrow]").where(s.index > 4),
        lambda s: pd.Series([None] * 5 + s[5:].tolist(), dtype=object),
        lambda s: pd.Series([pd.NA] * 5 + s[5:].tolist(), dtype=object),
    ],
)
def test_missing_values_of_every_kind(rows, holed):
    given = rows.assign(price=holed(rows["price"]))
    with pytest.raises(DesignError, match="5 rows have missing values in 'price'"):
        ld.logit("y ~ price", given)
    found = ld.logit("y ~ price", given, na="drop")
    np.testing.assert_allclose(found.params, ld.logit("y ~ price", rows[5:]).params, rtol=1e-12)
    with pytest.raises(DesignError, match="'price' is missing in 5 of 240 rows"):
        found.predict(given)


def test_missing_text_is_no_category(rows):
    """A row of zero dummies would be predicted as if it were the base."""
    fit = ld.logit("y ~ arm", rows)
    for none in (None, np.nan, pd.NA):
        with pytest.raises(DesignError, match="'arm' is missing in 1 of 2 rows"):
            fit.predict(pd.DataFrame({"arm": pd.Series(["low", none], dtype=object)}))
    with pytest.raises(DesignError, match="another kind"):
        ld.logit("y ~ price", rows).predict(pd.DataFrame({"price": ["a", "b"]}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)], "holds dates"),
        (pd.to_datetime(["2026-01-01", "2026-01-02"]), "make it a number"),
        (pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True), "holds dates"),
        (pd.to_timedelta([1, 2], "s"), "holds durations"),
        (pd.period_range("2026-01", periods=2, freq="M"), "period"),
        ([[1], [2]], "holds list objects"),
        ([{"a": 1}, {"a": 2}], "holds dict objects"),
        ([1, "x"], "a mixture of int and str"),
        ([True, 1.5], "a mixture of bool and float"),
        ([1j, 2j], "complex"),
        (pd.array([b"a", b"b"], pd.ArrowDtype(pa.binary())), "binary values"),
        (pd.array([[1], [2]], pd.ArrowDtype(pa.list_(pa.int64()))), "list<"),
        (pd.array(["2026-01-01", "2026-01-02"], pd.ArrowDtype(pa.timestamp("us"))), "holds dates"),
    ],
)
def test_what_is_no_number_is_refused_in_words(rows, values, message):
    held = rows.assign(x=pd.Series(values).repeat(N // 2).reset_index(drop=True))
    with pytest.raises(DesignError, match=message) as caught:
        ld.logit("y ~ x", held)
    assert "'x'" in str(caught.value) and "make it" in str(caught.value)
    # A column that no formula reads is nobody's business.
    assert ld.logit("y ~ price", held).converged


def test_dates_can_be_clusters(rows):
    days = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(N) % 40, "D")
    assert ld.logit("y ~ price", rows.assign(day=days), vcov={"CRV1": "day"}).clusters == 40


def test_names_of_columns():
    twice = pd.DataFrame([[1, 2, 3]], columns=["y", "x", "x"])
    with pytest.raises(DesignError, match="column 'x' is in the data twice"):
        ld.logit("y ~ x", twice)
    with pytest.raises(DesignError, match="column '1' is in the data twice"):
        column_names(pd.DataFrame([[1, 2]], columns=[1, "1"]))
    numbered = pd.DataFrame(
        {0: [0, 1, 0, 1], 1: [1, 2, 3, 4], "y": [0, 1, 1, 0], "x": [1, 2, 3, 5]}
    )
    assert list(ld.logit("y ~ x", numbered).params.index) == ["const", "x"]
    with pytest.raises(DesignError, match="column '1' has a number for a name"):
        ld.logit("y ~ `1`", numbered)
    with pytest.raises(UsageError, match="collect\\(\\) it first"):
        ld.logit("y ~ x", pl.LazyFrame({"x": [1], "y": [1]}))
    with pytest.raises(UsageError, match="data is dict: give a table of pandas, polars or pyarrow"):
        ld.logit("y ~ x", {"x": [1], "y": [1]})


def test_labels_that_are_written_the_same_are_told_apart():
    """1 and "1" of one category become one label where labels are made text: balance 525."""
    both = pd.DataFrame({"x": pd.Categorical([1, "1", 1, "1"])})
    with pytest.raises(DesignError, match="labels that differ but are written the same"):
        plain(both)


def test_plain_columns_are_not_copied():
    frame = pd.DataFrame({"a": np.arange(5.0), "b": np.arange(5), "c": list("abcde")})
    assert plain(frame) is frame
    assert table(frame).equals(frame)
    empty = table(pq_empty := pa.table({"a": pa.array([], pa.int8())}))
    assert list(empty.columns) == pq_empty.column_names and not len(empty)


def test_codes_of_dictionaries_with_holes(tmp_path):
    """A missing code is no last category."""
    array = pa.array(["b", None, "a", "b"]).dictionary_encode()
    for data in (pa.table({"x": array}),):
        pq.write_table(data, tmp_path / "x.parquet")
        for given in (data, tmp_path / "x.parquet"):
            found = table(given)["x"]
            assert found.isna().tolist() == [False, True, False, False]
            assert found.dropna().tolist() == ["b", "a", "b"]
