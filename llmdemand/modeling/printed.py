"""What results that print themselves share."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from llmdemand.core.line import OneLine

__all__ = ["Printed", "with_notes"]


class Printed(OneLine):
    """Shown in a notebook as it is printed, and as one line at the prompt."""

    @property
    def _line(self) -> str:
        return ", ".join(str(self).splitlines())

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def with_notes(lines: Iterable[str], notes: Iterable[str]) -> str:
    r"""Lines of text, each note on a line of its own.

    >>> with_notes(["slope 1"], ["in sample"])
    'slope 1\nnote: in sample'
    """
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])
