"""A table in files is all of its rows, each once, or is refused."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

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
