"""What results that print themselves share."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["Printed", "with_notes"]


class Printed:
    """Shown in a notebook as it is printed."""

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def with_notes(lines: Iterable[str], notes: Iterable[str]) -> str:
    r"""Lines of text, each note on a line of its own.

    >>> with_notes(["slope 1"], ["in sample"])
    'slope 1\nnote: in sample'
    """
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])
