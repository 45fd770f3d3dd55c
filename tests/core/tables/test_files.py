"""Tables from files of every kind, and what is refused in one line."""

import gzip

import numpy as np
import pandas as pd
import pytest

from llmdemand.core.panels import load_panel
from llmdemand.core.tables.files import is_panel, read_table
from llmdemand.errors import MissingExtra, UsageError

FRAME = pd.DataFrame(
    {"brand": ["none", "tea", "NA-ish"], "price": [0.0, 2.5, np.nan], "n": [1, 2, 3]}
)


def write(frame, path):
    kind = path.suffix
    if kind == ".parquet":
        frame.to_parquet(path)
    elif kind in (".feather", ".arrow"):
        frame.to_feather(path)
    elif kind == ".dta":
        frame.to_stata(path, write_index=False)
    elif kind == ".xlsx":
        pytest.importorskip("openpyxl")
        frame.to_excel(path, index=False)
    elif path.name.endswith(".csv.gz"):
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == ".tsv" else ",")
    return path


KINDS = ("csv", "csv.gz", "tsv", "parquet", "feather", "arrow", "dta", "xlsx")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_holds_the_same_table(tmp_path, kind):
    read = read_table(write(FRAME, tmp_path / f"own.{kind}"))
    pd.testing.assert_frame_equal(read, FRAME, check_dtype=False)
    assert read["price"].dtype == np.float64 and read["n"].dtype.kind == "i"


def test_an_arrow_stream_is_read_too(tmp_path):
    import pyarrow as pa

    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    path = tmp_path / "own.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    pd.testing.assert_frame_equal(read_table(path), FRAME, check_dtype=False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b\n1,2\n", {"a": [1], "b": [2]}),
        ("\ufeffa,b\r\n1,2\r\n", {"a": [1], "b": [2]}),  # a mark, and ends of lines of Windows
        ("a;b\n1,5;2\n", {"a": [1.5], "b": [2]}),  # as spreadsheets write in half of Europe
        ("a;b\n1.5;x,y\n", {"a": [1.5], "b": ["x,y"]}),
        ("brand,b\nNone,2\n", {"brand": ["None"], "b": [2]}),  # not buying, no gap
        ('brand,b\n"x, y",2\n', {"brand": ["x, y"], "b": [2]}),
    ],
)
def test_what_spreadsheets_write(tmp_path, text, found):
    path = tmp_path / "own.csv"
    path.write_bytes(text.encode())
    assert read_table(path).to_dict("list") == found


def test_gaps_are_missing_and_a_column_of_numbers_stays_one(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("a,b\n1,2\n.,3\nNA,4\n")
    read = read_table(path)
    assert read["a"].isna().tolist() == [False, True, True] and read["a"].dtype == np.float64


def test_ids_keep_their_zeros(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("who,price\n007,1\n012,2\n")
    assert read_table(path, text=["who", "other"])["who"].tolist() == ["007", "012"]
    assert read_table(path)["who"].tolist() == [7, 12]


def test_stata_labels_name_alternatives_and_codes_stay_numbers(tmp_path):
    frame = pd.DataFrame({"mode": [1, 2, 1], "chosen": [0, 1, 0], "half": [1, 2, 3]})
    path = tmp_path / "own.dta"
    labels = {"mode": {1: "car", 2: "bus"}, "chosen": {0: "no", 1: "yes"}, "half": {1: "one"}}
    frame.to_stata(path, write_index=False, value_labels=labels)
    read = read_table(path, text=["mode", "half", "none"])
    assert read["mode"].tolist() == ["car", "bus", "car"]
    assert read["chosen"].tolist() == [0, 1, 0]
    assert read["half"].tolist() == [1, 2, 3]  # one of them has no label


def test_a_workbook_of_several_sheets_is_asked_for_one(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "own.xlsx"
    with pd.ExcelWriter(path, engine="openpyxl") as book:
        FRAME.to_excel(book, sheet_name="data", index=False)
        FRAME.head(1).to_excel(book, sheet_name="notes", index=False)
    with pytest.raises(UsageError, match="has the sheets data, notes: name one"):
        read_table(path)
    with pytest.raises(UsageError, match="did you mean 'data'"):
        read_table(path, sheet="dta")
    assert len(read_table(path, sheet="data")) == 3


def test_without_openpyxl_one_line_says_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "openpyxl", None)
    path = tmp_path / "own.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(MissingExtra, match=r"pip install 'llmdemand\[xlsx\]'"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("own.csv", b"", "the file is empty"),
        ("own.csv", b"\n\n", "the file is empty"),
        ("own.csv", b"a,b\n", "no rows below its header"),
        ("own.csv", b"a,a\n1,2\n", "column 'a' is there twice"),
        ("own.csv", b"a,b\n1,2,3\n", "more values than the header"),
        ("own.csv", b"a,b\n1,2\n3,4,5\n", "cannot be read"),
        ("own.csv", b"a,b\n\xff\xfe,2\n", "no UTF-8 text"),
        ("own.csv.gz", b"a,b\n1,2\n", "cannot be read"),
        ("own.parquet", b"PAR1", "cannot be read"),
        ("own.dta", b"nothing", "cannot be read"),
        ("own.arrow", b"nothing", "cannot be read"),
        ("own.sas7bdat", b"nothing", "give a .csv or .parquet"),
        ("own.parquet.gz", b"nothing", "give a .csv or .parquet"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words) as found:
        read_table(path)
    assert "\n" not in str(found.value)


def test_a_wrong_path_names_its_neighbour(tmp_path):
    write(FRAME, tmp_path / "sales.csv")
    with pytest.raises(UsageError, match=r"did you mean 'sales.csv'"):
        read_table(tmp_path / "sale.csv")
    with pytest.raises(UsageError, match="no file"):
        read_table(tmp_path / "nowhere" / "sale.csv")
    with pytest.raises(UsageError, match="no file"):
        read_table(tmp_path)
    with pytest.raises(UsageError, match="leave it out"):
        read_table(tmp_path / "sales.csv", sheet="data")


def test_a_panel_is_told_from_a_table(tmp_path):
    load_panel("pampers").write(tmp_path / "panel.parquet")
    FRAME.to_parquet(tmp_path / "own.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    assert is_panel(tmp_path / "panel.parquet")
    for name in ("own.parquet", "broken.parquet", "none.parquet", "own.csv"):
        assert not is_panel(tmp_path / name)
