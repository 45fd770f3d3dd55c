"""Text in LaTeX."""

from __future__ import annotations

__all__ = ["escaped"]

_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{c: f"\\{c}" for c in "_%&#${}"},
}


def escaped(text: str) -> str:
    r"""Text in which LaTeX reads no marks.

    >>> escaped("a_b & 5 %")
    'a\\_b \\& 5 \\%'
    """
    return "".join(_SIGNS.get(c, c) for c in text)
