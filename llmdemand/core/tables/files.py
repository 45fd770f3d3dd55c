"""The one reader of tables: CSV, parquet, Excel, Stata and Arrow files, as data frames."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.errors import MissingExtra, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KINDS", "is_panel", "read_table"]

#: Endings of files that hold tables, and what reads them.
KINDS = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "excel",
    ".dta": "stata",
    ".feather": "arrow",
    ".arrow": "arrow",
    ".ipc": "arrow",
}
# Not "None", which pandas takes for a gap: it is what not buying is called in many a table.
_MISSING = ["", ".", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "<NA>"]
_COMMA = re.compile(r"(?:^|;)-?\d+,\d+(?:;|$)", re.MULTILINE)


def is_panel(path: Path) -> bool:
    """Whether a parquet file says in its metadata that it is a panel of a study.

    A file that cannot be read is none; a folder is what its first file is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.is_dir():
        path = min(path.glob("*.parquet"), default=path)
    if KINDS.get(path.suffix.lower()) != "parquet" or not path.is_file():
        return False
    try:
        return b"llmdemand" in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def read_table(
    path: str | Path,
    *,
    text: Sequence[str] = (),
    sheet: str | None = None,
    what: str = "a table",
) -> pd.DataFrame:
    r"""Read a table, a row per observation.

    Parameters
    ----------
    path : path
        ``.csv``, ``.txt`` or ``.tsv`` (with commas, semicolons or tabs; ``.gz`` too),
        ``.parquet``, ``.xlsx``, Stata's ``.dta``, or Arrow's ``.feather`` and ``.arrow``.
    text : sequence of str
        Columns that name something: in a CSV file 007 stays 007, and of a Stata file they
        have value labels in place of codes. Other columns of a Stata file keep their codes, as
        they do in Stata's own estimates. Columns that the file has not are passed over.
    sheet : str, optional
        Of a workbook; needed where it has several.
    what : str
        What the file should hold, for messages.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    UsageError
        For no file, an empty one, one of another kind, or one that cannot be read; for two
        columns of one name and rows that are longer than the header.
    MissingExtra
        For a workbook without openpyxl.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "own.csv")
    >>> _ = path.write_text("brand;price\nnone;0\n007;2,5\n")
    >>> read_table(path, text=["brand"]).to_dict("list")
    {'brand': ['none', '007'], 'price': [0.0, 2.5]}
    """
    path = Path(path)
    kind = _kind(path, what)
    if sheet is not None and kind != "excel":
        raise UsageError(f"sheet {sheet!r} is of a workbook, and {path} is none: leave it out")
    try:
        frame = _READERS[kind](path, text, sheet)
    except (UsageError, MissingExtra):
        raise
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no UTF-8 text: save it as CSV (UTF-8)") from None
    # The errors of pandas and pyarrow are ValueErrors or OSErrors, those of broken archives not.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"{path} cannot be read ({reason})") from None
    names = [str(c) for c in frame.columns]
    _refuse_twice(path, names)
    if not len(frame):
        raise UsageError(f"{path} cannot be read as {what}: it has no rows below its header")
    return frame.set_axis(names, axis=1)


def _kind(path: Path, what: str) -> str:
    whole = path.name.lower().removesuffix(".gz")
    kind = KINDS.get(Path(whole).suffix)
    if not path.is_file():
        near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UsageError(
            f"no file {path} of {what}{nearest(path.name, near)}: give a CSV, parquet, Excel, "
            "Stata or Arrow file"
        )
    if kind is None or (whole != path.name.lower() and kind != "csv"):
        raise UsageError(
            f"{path} is no file of {what}: give a .csv or .parquet, a .tsv, .xlsx, .dta, .feather "
            "or .arrow file"
        )
    if not path.stat().st_size:
        raise UsageError(f"{path} cannot be read as {what}: the file is empty")
    return kind


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UsageError(f"{path}: column {name!r} is there twice: rename one of them")


def _csv(path: Path, text: Sequence[str], sheet: str | None) -> pd.DataFrame:
    import gzip

    import pandas as pd

    read = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    # Spreadsheets begin their files with a byte order mark.
    whole = read.decode("utf-8-sig")
    if not whole.strip():
        raise UsageError(f"{path} cannot be read: the file is empty")
    head = whole.lstrip("\r\n").partition("\n")[0]
    sign = max("\t,;", key=head.count)
    names = next(csv.reader([head.rstrip("\r")], delimiter=sign))
    # pandas would name the second of two columns anew.
    _refuse_twice(path, [n for n in names if n])
    how: dict[str, Any] = {"sep": sign, "keep_default_na": False, "na_values": _MISSING}
    how |= {"low_memory": False, "index_col": False}
    if sign == ";" and _COMMA.search(whole):
        how["decimal"] = ","
    with warnings.catch_warnings():
        # A row that is longer than the header would lose its end.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame: pd.DataFrame = pd.read_csv(io.StringIO(whole), **how)
        except pd.errors.ParserWarning:
            raise UsageError(
                f"{path} cannot be read: rows have more values than the header has names; quote "
                "values that hold the separator"
            ) from None
    for column in text:
        if column in frame.columns and frame[column].dtype.kind in "iuf":
            asis = {**how, "usecols": [column], "dtype": str, "index_col": None}
            labels = pd.read_csv(io.StringIO(whole), **asis)[column]
            if labels.str.fullmatch("0[0-9]+").any():
                frame[column] = labels
    return frame


def _parquet(path: Path, text: Sequence[str], sheet: str | None) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(path)


def _arrow(path: Path, text: Sequence[str], sheet: str | None) -> pd.DataFrame:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        try:
            table = pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            table = pa.ipc.open_stream(source).read_all()
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _stata(path: Path, text: Sequence[str], sheet: str | None) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = pd.read_stata(path, convert_categoricals=False)
    for column in text:
        if column not in frame.columns:
            continue
        try:
            named = pd.read_stata(path, columns=[column])[column]
        except ValueError:  # two codes with one label
            continue
        if isinstance(named.dtype, pd.CategoricalDtype):
            labels = named.astype(object)
            # Codes without a label are left as numbers: then all are.
            if all(isinstance(v, str) for v in labels.dropna().unique()):
                frame[column] = labels
    return frame


def _excel(path: Path, text: Sequence[str], sheet: str | None) -> pd.DataFrame:
    import pandas as pd

    try:
        import openpyxl  # noqa: F401  # pandas would say this in three lines
    except ImportError:
        raise MissingExtra(
            f"{path} is a workbook, which openpyxl reads: pip install 'llmdemand[xlsx]'"
        ) from None
    with pd.ExcelFile(path, engine="openpyxl") as book:
        names = [str(n) for n in book.sheet_names]
        if sheet is None and len(names) > 1:
            raise UsageError(f"{path} has the sheets {', '.join(names)}: name one of them")
        if sheet is not None and sheet not in names:
            raise UsageError(
                f"{path} has no sheet {sheet!r}{nearest(sheet, names)}: it has {', '.join(names)}"
            )
        chosen = sheet or names[0]
        how: dict[str, Any] = {"keep_default_na": False, "na_values": _MISSING}
        first = pd.read_excel(book, sheet_name=chosen, header=None, nrows=1)
        if len(first):
            _refuse_twice(path, [str(v) for v in first.iloc[0] if v == v])
        frame: pd.DataFrame = pd.read_excel(book, sheet_name=chosen, **how)
        return frame


_READERS = {
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
    "stata": _stata,
    "excel": _excel,
}
