"""What results that print themselves share."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from shutil import get_terminal_size

import pandas as pd

from llmdemand.core.line import OneLine

__all__ = ["Printed", "Whole", "with_notes"]


class Printed(OneLine):
    """Shown in a notebook as it is printed, and as one line at the prompt."""

    @property
    def _line(self) -> str:
        return ", ".join(str(self).splitlines())

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


class Whole(pd.DataFrame):
    """A data frame that prints all its columns, those below that a terminal has no room for.

    What is cut or computed from it is a plain data frame.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        return self.to_string(line_width=get_terminal_size().columns)


def with_notes(lines: Iterable[str], notes: Iterable[str]) -> str:
    r"""Lines of text, each note on a line of its own.

    >>> with_notes(["slope 1"], ["in sample"])
    'slope 1\nnote: in sample'
    """
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])
