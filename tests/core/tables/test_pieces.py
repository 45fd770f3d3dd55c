"""A table in files is all of its rows, each once, or is refused."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import llmdemand as ld
from llmdemand.core.tables.pieces import Pieces
from llmdemand.errors import DesignError, UsageError


@pytest.fixture
def folder(tmp_path):
    for k in range(3):
        pd.DataFrame({"a": [k, k + 1], "b": ["x", "y"]}).to_parquet(tmp_path / f"{k}.parquet")
    return tmp_path


def test_only_the_columns_that_are_asked_for_are_read(folder):
    found = Pieces.open(folder)
    batches = [batch for piece in found.shards for batch in piece.batches(["a"])]
    assert [batch.schema.names for batch in batches] == [["a"]] * 3
    assert [piece.first for piece in found.shards] == [0, 2, 4]


def test_row_groups_of_a_long_file_are_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("llmdemand.core.tables.pieces._ROWS", 25)
    pd.DataFrame({"a": np.arange(100)}).to_parquet(tmp_path / "a.parquet", row_group_size=10)
    found = Pieces.open(tmp_path / "a.parquet")
    assert [piece.groups for piece in found.shards] == [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9,)]
    rows = [n for p in found.shards for b in p.batches(["a"]) for n in b["a"].to_pylist()]
    assert rows == list(range(100))


def test_files_elsewhere_are_read_as_here(folder):
    import fsspec

    there = fsspec.filesystem("memory")
    there.put(str(folder), "/rows", recursive=True)
    found = Pieces.open("memory://rows")
    assert len(found) == len(Pieces.open(folder)) == 6
    assert next(found.shards[2].batches(["a"]))["a"].to_pylist() == [2, 3]
    there.rm("/rows", recursive=True)


def test_rows_that_would_be_lost_or_doubled_are_refused(folder):
    one = folder / "0.parquet"
    with pytest.raises(UsageError, match="listed twice"):
        Pieces.open([one, folder / "1.parquet", one])
    with pytest.raises(UsageError, match="empty list"):
        Pieces.open([])
    copy = folder / "0 (1).parquet"
    copy.write_bytes(one.read_bytes())
    with pytest.raises(UsageError, match=r"0.parquet holds the same bytes as .*0 \(1\).parquet"):
        Pieces.open(folder)
    copy.unlink()
    (folder / "year=2026").mkdir()
    one.rename(folder / "year=2026" / "0.parquet")
    with pytest.raises(UsageError, match="year=2026"):
        Pieces.open(folder)
    (folder / "nothing").mkdir()
    with pytest.raises(UsageError, match="no parquet file in"):
        Pieces.open(folder / "nothing")


def test_a_torn_file_is_named(folder):
    with open(folder / "1.parquet", "r+b") as file:
        file.truncate(100)
    with pytest.raises(UsageError, match=r"1\.parquet is not a parquet file"):
        Pieces.open(folder)


@pytest.mark.parametrize(
    ("column", "other", "problem"),
    [("a", ["1", "2"], "numbers.*text"), ("b", [True, False], "text.*flags"), ("c", [1, 2], "not")],
)
def test_a_column_that_files_hold_differently_is_refused_where_it_is_asked_for(
    folder, column, other, problem
):
    frame = pq.read_table(folder / "2.parquet").to_pandas().assign(**{column: other})
    frame.to_parquet(folder / "2.parquet")
    found = Pieces.open(folder)
    with pytest.raises(DesignError, match=problem):
        found.require(["a", "b", column])
    found.require([name for name in ("a", "b") if name != column])


# Questions of users of folders of parquet elsewhere (arrow 8741, 11967 and 12416, dask 3454, 5418
# and 5759, NVTabular 429): what is right is what the rows say, read as one table.


def _rows(n=400):
    rng = np.random.default_rng(1)
    price = rng.choice([30.0, 35, 40, 45], n)
    return pd.DataFrame(
        {
            "y": (rng.random(n) < 1 / (1 + np.exp(0.1 * (price - 38)))).astype(int),
            "price": price,
            "id": np.arange(n) // 2,
            "brand": rng.choice(["a", "b"], n),
        }
    )


def _null(first, second):
    return first, second.assign(brand=pd.Series(None, second.index, dtype=object))


def _gaps(first, second):
    return first, second.assign(id=second["id"].astype(float))


def _orders(first, second):
    return tuple(
        part.assign(brand=pd.Categorical(part["brand"], order))
        for part, order in ((first, ["a", "b"]), (second, ["b", "a"]))
    )


def _columns(first, second):
    return first, second[["brand", "id", "price", "y"]]


def _empty(first, second):
    return first, second, second.iloc[:0]


def _single(first, second):
    rows = pd.concat([first, second])
    return tuple(
        part.assign(brand=pd.Categorical(part["brand"])) for _, part in rows.groupby("brand")
    )


@pytest.mark.parametrize("parts", [_null, _gaps, _orders, _columns, _empty, _single])
def test_parts_that_were_written_differently_are_the_same_table(parts, tmp_path):
    rows = _rows()
    for k, part in enumerate(parts(rows.iloc[:200], rows.iloc[200:])):
        part.to_parquet(tmp_path / f"{k}.parquet")
    for name in ("_SUCCESS", ".0.parquet.crc"):
        (tmp_path / name).write_bytes(b"crc")
    formula = "y ~ price" if parts is _null else "y ~ price + brand"
    found, right = (ld.logit(formula, d, vcov={"CRV1": "id"}) for d in (tmp_path, rows))
    np.testing.assert_allclose(found.params, right.params, rtol=1e-9)
    np.testing.assert_allclose(found.bse, right.bse, rtol=1e-9)


def test_ids_that_floats_have_merged_are_refused(tmp_path):
    rows = _rows().assign(id=2**53 + np.arange(400))
    for k, part in enumerate((rows.iloc[:200], rows.iloc[200:].astype({"id": float}))):
        part.to_parquet(tmp_path / f"{k}.parquet")
    ld.logit("y ~ price", rows, vcov={"CRV1": "id"})
    with pytest.raises(DesignError, match="'id' names rows by floats"):
        ld.logit("y ~ price", tmp_path, vcov={"CRV1": "id"})
    with pytest.raises(DesignError, match="'id' names rows by floats"):
        ld.logit("y ~ price", rows.astype({"id": float}), vcov={"CRV1": "id"})
