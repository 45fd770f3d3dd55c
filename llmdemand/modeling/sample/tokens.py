"""Formulas as they are written: sides, parts, and the way to Python and to formulaic."""

from __future__ import annotations

import re

from llmdemand.errors import DesignError, UsageError

__all__ = ["parts", "two_ways"]

_TOKEN = re.compile(
    r"""(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<quoted>`[^`]+`)
      | Q\s*\(\s*(?:'(?P<single>[^'\\`]+)'|"(?P<double>[^"\\`]+)")\s*\)
      | (?P<word>[^\W\d]\w*)
      | (?P<number>\d[\w.]*)
      | (?P<power>\*\*)
      | (?P<space>\s+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


def parts(formula: str) -> list[list[str]]:
    """The sides of a formula, and their parts, divided by ``~`` and ``|`` outside of brackets.

    >>> parts("choice ~ price + I((arm == 'a') | (arm == 'b')) | income")
    [['choice'], ["price + I((arm == 'a') | (arm == 'b'))", 'income']]
    """
    if not isinstance(formula, str):
        raise UsageError(f"formula {formula!r}: give text, as in 'choice ~ price'")
    sides, depth = [[""]], 0
    for match in _TOKEN.finditer(formula):
        piece = match.group()
        depth += (piece in "([") - (piece in ")]")
        if depth == 0 and piece in "~|":
            if piece == "~":
                sides.append([""])
            else:
                sides[-1].append("")
            continue
        sides[-1][-1] += piece
    return [[one.strip() for one in side] for side in sides]


def two_ways(text: str) -> tuple[str, str, dict[str, str]]:
    """The text for formulaic, and as Python with columns in backticks by stand-ins."""
    plain, python = "", ""
    quoted: dict[str, str] = {}
    inside: list[bool] = []  # whether each open bracket is that of a call
    previous = ""
    for match in _TOKEN.finditer(text):
        piece, kind = match.group(), match.lastgroup
        name = match["single"] or match["double"] or (kind == "quoted" and piece[1:-1])
        if kind == "space":
            plain, python = plain + " ", python + " "
            continue
        if name:
            if name[0].isdigit() and name.isalnum():
                raise DesignError(
                    f"formula {text!r}: column {name!r} has a number for a name, which a formula "
                    "takes for the number: rename the column"
                )
            stand = f"_quoted{len(quoted)}_"
            quoted[stand] = name
            plain, python, previous = f"{plain}`{name}`", python + stand, "name"
            continue
        if kind == "other" and piece in "([":
            call = previous in ("name", ")")
            if call:  # formulaic takes `log (x)` for two things, Python for one
                plain, python = plain.rstrip(), python.rstrip()
            inside.append(call)
        elif kind == "other" and piece in ")]" and inside:
            inside.pop()
        elif kind == "other" and piece in "#@{}\\;`!?$":
            raise DesignError(f"formula {text!r}: {piece!r} is no sign of formulas: leave it out")
        swapped = piece if any(inside) else {":": "@", "^": "**"}.get(piece, piece)
        plain, python = plain + piece, python + swapped
        closes = kind == "other" and piece in ")]"
        previous = ")" if closes else "name" if kind == "word" else ""
    return plain.strip(), python.strip(), quoted
