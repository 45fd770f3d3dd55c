"""Tables as CSV and workbooks that spreadsheets open as what they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.errors import MissingExtra

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["write_csv", "write_xlsx"]

# What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(table: pd.DataFrame, path: Path, *, index: bool = False, mark: bool = False) -> None:
    """Write a table as CSV in which no text is run as a formula.

    Labels and answers are other people's text: what would begin a formula gets an apostrophe
    before it, which spreadsheets do not show. Numbers, also those written as text, stay.

    Parameters
    ----------
    table : pandas.DataFrame
        Any table; it is not changed.
    path : Path
        The file.
    index : bool
        Whether the row names are a column.
    mark : bool
        Begin with a mark by which spreadsheets know UTF-8.

    Examples
    --------
    >>> import pandas as pd, tempfile
    >>> path = Path(tempfile.mkdtemp(), "x.csv")
    >>> write_csv(pd.DataFrame({"label": ["=1+1", "-0.5", "tea"], "x": [-1, 2, 3]}), path)
    >>> path.read_text().split()
    ['label,x', "'=1+1,-1", '-0.5,2', 'tea,3']
    """
    safe = table.reset_index() if index else table.copy()
    safe.columns = [_plain(name) for name in safe.columns]
    for place in range(safe.shape[1]):
        column = safe.iloc[:, place]
        if column.dtype.kind not in "biufcmM":
            safe.isetitem(place, [_plain(value) for value in column])
    # RFC 4180; with it a text that holds the one or the other end of line is quoted.
    ends, encoding = "\r\n", "utf-8-sig" if mark else "utf-8"
    safe.to_csv(path, index=False, encoding=encoding, lineterminator=ends)


def write_xlsx(tables: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Write a workbook, a sheet for each table, in which no text is run as a formula.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        By the name of the sheet.
    path : Path
        The file.

    Raises
    ------
    MissingExtra
        Without openpyxl.
    """
    try:
        from openpyxl import Workbook
        from openpyxl.cell import WriteOnlyCell
    except ImportError:
        raise MissingExtra(
            f"no {path.name}: openpyxl writes workbooks, pip install 'llmdemand[xlsx]'"
        ) from None
    book = Workbook(write_only=True)
    for name, table in tables.items():
        # What Excel refuses in the name of a sheet.
        sheet = book.create_sheet(re.sub(r"[\[\]:*?/\\]", "_", name)[:31])
        for row in ([str(c) for c in table.columns], *table.astype(object).to_numpy().tolist()):
            cells = []
            for value in row:
                number = isinstance(value, int | float) and abs(value) < float("inf")
                cell = WriteOnlyCell(sheet, value if number else _word(value))
                if not number:
                    cell.data_type = "s"
                cells.append(cell)
            sheet.append(cells)
    book.save(path)


def _word(value: Any) -> str:
    """A cell that is no finite number: a gap where a number is missing, signs that XML has."""
    if value is None or value != value:
        return ""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", str(value))


def _plain(value: Any) -> Any:
    """A cell as it is, with an apostrophe before what would begin a formula."""
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
