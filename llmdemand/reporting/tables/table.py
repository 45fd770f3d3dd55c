"""A table to read: text cells, rendered as text, markdown, LaTeX, HTML or a data frame."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal, get_args, overload

import pandas as pd

from llmdemand.core.sheets import write_csv
from llmdemand.errors import UsageError, nearest
from llmdemand.modeling.models.demand import Demand
from llmdemand.modeling.tables.etable import etable
from llmdemand.modeling.tables.tex import celled, escaped, lined

__all__ = ["Format", "Table", "render", "write_tables"]

Format = Literal["text", "markdown", "latex", "html", "frame"]
_Words = Literal["text", "markdown", "latex", "html"]


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes
    ----------
    name : str
        Of its files.
    title : str
        What it shows.
    frame : pandas.DataFrame
        Its cells as text.
    numbers : pandas.DataFrame
        The same with full numbers, for a CSV file.
    notes : tuple of str
        What a reader has to know besides.
    fits : tuple of Demand
        Of a table of coefficients: it is rendered by `llmdemand.modeling.tables.etable.etable`.
    """

    name: str
    title: str
    frame: pd.DataFrame
    numbers: pd.DataFrame
    notes: tuple[str, ...] = ()
    fits: tuple[Demand, ...] = ()


@overload
def render(table: Table | pd.DataFrame, format: Literal["frame"]) -> pd.DataFrame: ...


@overload
def render(table: Table | pd.DataFrame, format: _Words = ...) -> str: ...


def render(table: Table | pd.DataFrame, format: Format = "markdown") -> str | pd.DataFrame:
    """A table in another form. Of a `Table` its title and notes come along.

    Parameters
    ----------
    table : Table or pandas.DataFrame
        Cells as text; a bare frame has neither title nor notes.
    format : str
        ``text``, ``markdown``, ``latex`` (booktabs; a `Table` is a float with caption and
        label), ``html`` (captioned, heads with scope) or ``frame``.

    Returns
    -------
    str or pandas.DataFrame

    Raises
    ------
    UsageError
        For an unknown format.

    Examples
    --------
    >>> frame = pd.DataFrame({"outcome": ["belief", "choice"], "price": ["-0.53", "-0.6"]})
    >>> print(render(frame, "markdown"))
    | outcome | price |
    |---|---:|
    | belief | -0.53 |
    | choice | -0.6 |
    """
    if format not in get_args(Format):
        raise UsageError(
            f"format={format!r}{nearest(str(format), list(get_args(Format)))}: use one of "
            f"{', '.join(get_args(Format))}"
        )
    whole = isinstance(table, Table)
    frame = table.frame if isinstance(table, Table) else table
    if format == "frame":
        return frame.copy()
    if isinstance(table, Table) and table.fits:
        names = [d.outcome for d in table.fits]
        body = etable(*table.fits, names=names, format=format)
    else:
        body = {"text": _text, "markdown": _markdown, "latex": _latex, "html": _html}[format](frame)
    if not whole:
        return body
    assert isinstance(table, Table)
    return _framed(table, body, format)


def write_tables(tables: Iterable[Table], folder: Path) -> None:
    """Write tables into a folder: as CSV with full numbers, as markdown and as LaTeX."""
    folder.mkdir(parents=True, exist_ok=True)
    words: tuple[tuple[str, _Words], ...] = (("md", "markdown"), ("tex", "latex"))
    for table in tables:
        write_csv(table.numbers, folder / f"{table.name}.csv")
        for kind, format in words:
            text = render(table, format) + "\n"
            (folder / f"{table.name}.{kind}").write_text(text, encoding="utf-8")


def _framed(table: Table, body: str, format: _Words) -> str:
    """A rendered body with its title and notes."""
    if format == "text":
        return "\n".join([table.title, "", body, *table.notes])
    if format == "markdown":
        return "\n\n".join([f"## {table.title}", body, *map(_clean, table.notes)])
    if format == "html":
        # The caption is the first child of its table, where screen readers look for it.
        head = body.replace("<table>", f"<table>\n<caption>{escape(table.title)}</caption>", 1)
        return "\n".join([head, *(f"<p>{escape(note)}</p>" for note in table.notes)])
    label = table.name.replace("_", "-")
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(table.title)}}}",
        rf"\label{{tab:{label}}}",
        body,
    ]
    if table.notes:
        lines += [r"\par\smallskip\begin{minipage}{\linewidth}\footnotesize"]
        lines += [escaped(note) + r"\par" for note in table.notes]
        lines += [r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}"])


def _cells(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    return [str(c).strip() for c in frame.columns], frame.astype(str).to_numpy().tolist()


def _numeric(frame: pd.DataFrame) -> list[bool]:
    """Columns of numbers: most of their cells begin like one. They stand right."""
    _, rows = _cells(frame)
    found = []
    for k in range(frame.shape[1]):
        cells = [row[k] for row in rows if row[k] not in ("", "-")]
        like = sum(bool(re.match(r"-?(\d|inf)", cell)) for cell in cells)
        found.append(bool(cells) and 2 * like > len(cells))
    return found


def _text(frame: pd.DataFrame) -> str:
    head, rows = _cells(frame)
    right = _numeric(frame)
    widths = [max(len(line[k]) for line in [head, *rows]) for k in range(len(head))]

    def show(line: list[str]) -> str:
        parts = (
            c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)
        )
        return "  ".join(parts).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([show(head), rule, *map(show, rows)])


def _clean(text: str) -> str:
    """Text in which markdown reads no marks."""
    return re.sub(r"([\\`*_|<>])", r"\\\1", text)


def _markdown(frame: pd.DataFrame) -> str:
    head, rows = _cells(frame)
    rule = ["---:" if right else "---" for right in _numeric(frame)]
    lines = [f"| {' | '.join(map(_clean, line))} |" for line in (head, *rows)]
    return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:]])


def _html(frame: pd.DataFrame) -> str:
    head, rows = _cells(frame)
    heads = "".join(f'<th scope="col">{escape(h)}</th>' for h in head)
    lines = [
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    ]
    return "\n".join(
        ["<table>", f"<thead><tr>{heads}</tr></thead>", "<tbody>", *lines, "</tbody>", "</table>"]
    )


def _latex(frame: pd.DataFrame) -> str:
    head, rows = _cells(frame)
    columns = "".join("r" if right else "l" for right in _numeric(frame))
    lines = [lined(map(celled, row)) for row in rows]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lined(map(escaped, head)),
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )
