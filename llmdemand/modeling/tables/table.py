"""Tables that print well: at the prompt, in a notebook, in markdown, LaTeX and HTML."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from llmdemand.modeling.tables.tex import celled, escaped, lined

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "Row", "Table"]


@dataclass(frozen=True)
class Cell:
    """A number in words, and its stars."""

    text: str
    stars: str = ""


#: A label and its cells.
Row = tuple[str, Sequence[Cell]]


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of cells in blocks, between lines of text.

    At the prompt it is text as wide as the terminal, in a notebook a table.

    Attributes
    ----------
    names : sequence of str
        Heads of the columns; the first column holds labels and has none.
    blocks : sequence of sequence of (str, sequence of Cell)
        Rows, divided by rules.
    above, notes : sequence of str
        Lines over and under the table.
    numbers : pandas.DataFrame, optional
        What the cells are made of, in full.
    ruled : bool
        Whether text has rules between the blocks.

    Examples
    --------
    >>> table = Table(["one", "two"], [[("price", [Cell("-0.5", "*"), Cell("-0.40")])]])
    >>> table
            one     two
    -------------------
    price  -0.5*  -0.40
    -------------------
    >>> print(table.to_text(width=14))
            one
    ------------
    price  -0.5*
    ------------
    <BLANKLINE>
             two
    ------------
    price  -0.40
    ------------
    >>> "price" in table
    True
    """

    names: Sequence[str]
    blocks: Sequence[Sequence[Row]]
    above: Sequence[str] = ()
    notes: Sequence[str] = ()
    numbers: pd.DataFrame | None = field(default=None, compare=False)
    ruled: bool = True

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers; without them the cells as text."""
        import pandas as pd

        if self.numbers is not None:
            return self.numbers.copy()
        rows = [row for block in self.blocks for row in block]
        cells = [[c.text + c.stars for c in row] for _, row in rows]
        return pd.DataFrame(cells, index=[label for label, _ in rows], columns=list(self.names))

    def to_text(self, width: int | None = None) -> str:
        """Plain text.

        Parameters
        ----------
        width : int, optional
            Longer lines are broken, and columns that have no room are shown below the others;
            whole by default.
        """
        lines = [] if width is None else [textwrap.wrap(line, width) for line in self.above]
        above = [part for line in lines for part in line] if lines else list(self.above)
        parts = [_text(self, columns) for columns in _fitting(self, width)]
        notes = [
            part
            for note in self.notes
            for part in ([note] if width is None else textwrap.wrap(note, width))
        ]
        head = ["\n".join([*above, ""])] if above else []
        return "\n".join([*head, "\n\n".join(parts), *notes])

    def to_markdown(self) -> str:
        """A pipe table."""
        return _markdown(self)

    def to_latex(self) -> str:
        """A tabular with the rules of booktabs."""
        return _latex(self)

    def to_html(self) -> str:
        """An HTML table."""
        return _html(self)

    as_text, as_latex, as_html = to_text, to_latex, to_html

    def __str__(self) -> str:
        return self.to_text(get_terminal_size().columns)

    def __repr__(self) -> str:
        return str(self)

    def __contains__(self, text: str) -> bool:
        return text in self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()


def _marks(table: Table) -> list[int]:
    """Width of the stars in each column: they stand beside the numbers, which stay in line."""
    rows = [row for block in table.blocks for _, row in block]
    return [max((len(row[k].stars) for row in rows), default=0) for k in range(len(table.names))]


def _lines(table: Table) -> tuple[list[str], list[list[list[str]]]]:
    """The head and the blocks as cells of text."""
    marks = _marks(table)
    head = ["", *(name + " " * m for name, m in zip(table.names, marks, strict=True))]
    blocks = [
        [
            [label, *(c.text + c.stars.ljust(m) for c, m in zip(row, marks, strict=True))]
            for label, row in block
        ]
        for block in table.blocks
    ]
    return head, blocks


def _widths(table: Table) -> list[int]:
    head, blocks = _lines(table)
    lines = [head, *(line for block in blocks for line in block)]
    return [max(len(line[k]) for line in lines) for k in range(len(head))]


def _fitting(table: Table, width: int | None) -> list[list[int]]:
    """Columns that fit side by side, at least one at a time."""
    label, *widths = _widths(table)
    found: list[list[int]] = [[]]
    used = label
    for k, own in enumerate(widths):
        if width is not None and found[-1] and used + 2 + own > width:
            found.append([])
            used = label
        found[-1].append(k)
        used += 2 + own
    return found


def _text(table: Table, columns: list[int]) -> str:
    head, blocks = _lines(table)
    places = [0, *(k + 1 for k in columns)]
    widths = [_widths(table)[k] for k in places]

    def show(line: list[str]) -> str:
        rest = (line[k].rjust(w) for k, w in zip(places[1:], widths[1:], strict=True))
        return "  ".join([line[0].ljust(widths[0]), *rest]).rstrip()

    rule = ["-" * (sum(widths) + 2 * (len(widths) - 1))] if table.ruled else []
    lines = [show(head)]
    for block in blocks:
        lines += [*rule, *(show(line) for line in block)]
    return "\n".join([*lines, *rule])


def _markdown(table: Table) -> str:
    def clean(text: str) -> str:
        return re.sub(r"([\\`*_|<>])", r"\\\1", text)

    def show(label: str, cells: Sequence[str]) -> str:
        return f"| {' | '.join([clean(label), *map(clean, cells)])} |"

    above = [line for part in table.above for line in (clean(part), "")]
    lines = [*above, show("", table.names), "|---|" + "---:|" * len(table.names)]
    for block in table.blocks:
        lines += [show(label, [c.text + c.stars for c in row]) for label, row in block]
    notes = [line for note in table.notes for line in ("", clean(note))]
    return "\n".join([*lines, *notes])


def _latex(table: Table) -> str:
    def show(label: str, row: Sequence[Cell]) -> str:
        cells = [celled(c.text) + (f"$^{{{c.stars}}}$" if c.stars else "") for c in row]
        return lined([escaped(label), *cells])

    head = lined(["", *map(escaped, table.names)])
    width = len(table.names) + 1

    def across(lines: Sequence[str]) -> list[str]:
        return [rf"\multicolumn{{{width}}}{{l}}{{{escaped(line)}}} \\" for line in lines]

    lines = [rf"\begin{{tabular}}{{l{'r' * len(table.names)}}}", r"\toprule"]
    lines += [*across(table.above), *([r"\midrule"] if table.above else []), head.lstrip()]
    for block in table.blocks:
        lines += [r"\midrule", *(show(label, row) for label, row in block)]
    lines.append(r"\bottomrule")
    return "\n".join([*lines, *across(table.notes), r"\end{tabular}"])


def _html(table: Table) -> str:
    def show(label: str, row: Sequence[Cell]) -> str:
        cells = "".join(
            f"<td>{escape(c.text)}{f'<sup>{c.stars}</sup>' if c.stars else ''}</td>" for c in row
        )
        return f"<tr><th>{escape(label)}</th>{cells}</tr>"

    head = "".join(f"<th>{escape(n)}</th>" for n in table.names)
    above = "<br>".join(map(escape, table.above))
    lines = [f"<p>{above}</p>"] if above else []
    lines += ["<table>", f"<thead><tr><th></th>{head}</tr></thead>"]
    for block in table.blocks:
        lines += ["<tbody>", *(show(label, row) for label, row in block), "</tbody>"]
    width = len(table.names) + 1
    notes = "".join(f'<tr><td colspan="{width}">{escape(n)}</td></tr>' for n in table.notes)
    return "\n".join([*lines, *([f"<tfoot>{notes}</tfoot>"] if notes else []), "</table>"])
