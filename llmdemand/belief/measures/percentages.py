"""Numbers in a text that may be percentages, with the place of their last digit."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["BLANK", "Number", "Unclear", "number_of", "numbers", "spelled_out"]

#: Stands for the name of an alternative in a text that is read for numbers.
BLANK = "\u00b7"
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_WORDS = {word: k for k, word in enumerate(_ONES)}
_WORDS |= {ten: 20 + 10 * k for k, ten in enumerate(_TENS)}
_PERCENT = r"(?:%|percent\b|per\s?cent\b|pct\b)"
_SPELLED = re.compile(
    rf"\b(?:(?P<hundred>(?:a|one)\s+hundred)|(?P<tens>{'|'.join(_TENS)})"
    rf"(?:[\s-]+(?P<ones>{'|'.join(_ONES[1:10])}))?|(?P<one>{'|'.join(_ONES)}))"
    rf"(?P<after>\s*{_PERCENT})",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-+\u2212])?(?P<digits>\d+(?:[.,]\d+)*|\.\d+)"
    rf"(?:\s*(?P<percent>{_PERCENT}))?(?!\w)",
    re.IGNORECASE,
)
# Of one percentage: both ends, or only one.
_RANGE = re.compile(
    rf"\d\s*{_PERCENT}?\s*(?:-|\u2013|\u2014|\u2212|~|\bto\b|\bor\b|\u00b1|\+/-)\s*\.?\d[\d.,]*\s*{_PERCENT}?",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\b(?:between|from)\s+\d", re.IGNORECASE)
_BOUND = re.compile(
    r"(?:[<>\u2264\u2265]=?|\b(?:less|more|fewer|greater|lower|higher)\s+than|\bunder|\bover|"
    r"\bat\s+(?:least|most)|\bup\s+to|\babove|\bbelow)\s*$",
    re.IGNORECASE,
)
_CURRENCY = re.compile(r"[$\u20ac\u00a3\u00a5\u00a2]\s*$")
# Words after a number that do not make it a quantity of something else.
_FREE = {"for", "and", "on", "to", "or", "vs", "out", "points", "chance", "probability", "is"}
_WORD_AFTER = re.compile(r"\s*([^\W\d_]+|[$\u20ac\u00a3\u00a5\u00a2])")
_SIGN_AFTER = re.compile(r"(?:[:=(|]|^)\s*$")


class Unclear(Exception):
    """A number that can be read in several ways: why, in words."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number.

    Attributes
    ----------
    start, end : int
        Where it stands, its percent sign included.
    value : float
        As written.
    unit : float
        What its last digit counts: 1 for ``60``, 0.1 for ``60.5``.
    marked : bool
        Whether it says percent.
    """

    start: int
    end: int
    value: float
    unit: float
    marked: bool


def spelled_out(text: str) -> str:
    """Number words before "percent" as digits; other words for shares ("half") stay words.

    >>> spelled_out("Sixty-five percent, or half")
    '65 percent, or half'
    """

    def digits(found: re.Match[str]) -> str:
        if found["hundred"]:
            value = 100
        else:
            names = (found["tens"], found["ones"], found["one"])
            value = sum(_WORDS[name.lower()] for name in names if name)
        return f"{value}{found['after']}"

    return _SPELLED.sub(digits, text)


def numbers(text: str, before: Callable[[int], bool] = lambda at: False) -> list[Number]:
    """The numbers of a line that can be percentages, in order.

    Parameters
    ----------
    text : str
        A line, what is not to be read blanked out.
    before : callable
        Whether a name ends where a number's sign begins: what looks like a minus may then
        only separate the two.

    Raises
    ------
    Unclear
        For a range, a bound, a comma that may part thousands, a minus that may be a dash.

    Notes
    -----
    What counts something else is no percentage: a number with a currency or a noun
    (``30 cents``) that does not say percent.

    Examples
    --------
    >>> [(n.value, n.unit, n.marked) for n in numbers("35.0 cents: 33,3 %")]
    [(33.3, 0.1, True)]
    """
    if _RANGE.search(text) or _BETWEEN.search(text):
        raise Unclear(f"a range: {_brief(text)}")
    found = []
    for match in _NUMBER.finditer(text):
        marked = match["percent"] is not None
        after = _WORD_AFTER.match(text, match.end())
        counts = after is not None and after[1].lower() not in _FREE
        if not marked and (counts or _CURRENCY.search(text, 0, match.start())):
            continue
        if _BOUND.search(text, 0, match.start()):
            raise Unclear(f"a bound: {_brief(text)}")
        value, unit = number_of(match["digits"])
        if match["sign"] in ("-", "\u2212"):
            if before(match.start()) or not _SIGN_AFTER.search(text, 0, match.start()):
                raise Unclear(f"a minus, or a dash: {_brief(text)}")
            if not text[: match.start()].strip():
                raise Unclear(f"a minus, or a bullet: {_brief(text)}")
            value = -value
        found.append(Number(match.start(), match.end(), value, unit, marked))
    return found


def number_of(digits: str) -> tuple[float, float]:
    """A number and what its last digit counts; a single comma is a decimal one.

    Raises
    ------
    Unclear
        For several separators, or a comma before three digits.

    Examples
    --------
    >>> number_of("33,5"), number_of("60"), number_of("6e1")
    ((33.5, 0.1), (60.0, 1.0), (60.0, 1.0))
    """
    if re.fullmatch(r"\d+,\d{3}", digits) or len(re.findall("[.,]", digits)) > 1:
        raise Unclear(f"thousands, or decimals: {digits[:40]}")
    plain = digits.replace(",", ".")
    places = len(plain.lower().partition("e")[0].partition(".")[2])
    value = float(plain)
    return (value, 10.0**-places) if math.isfinite(value) else (math.inf, 1.0)


def _brief(text: str) -> str:
    shown = " ".join(text.replace(BLANK, " ").split()).strip(" :|")
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
