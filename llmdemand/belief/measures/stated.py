"""Stated probabilities: the percentages that an answer gives for each alternative."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from llmdemand.belief.measures.objects import in_objects
from llmdemand.belief.measures.percentages import BLANK, Number, Unclear, numbers, spelled_out
from llmdemand.belief.mentions import mention_spans
from llmdemand.core.menu import Menu

__all__ = ["Stated", "read_stated"]

_EXACT = 1e-9
_Mention = tuple[int, int, str]
_RULE = re.compile(r"[\s|:+-]*\Z")
_ENUMERATED = re.compile(r"(\s*(?:[-*\u2022]\s*)?)(\(?\d{1,2}[.)])(?=\s+\S.*\d)")
_NUMBERED = re.compile(r"\b(?:option|choice|brand|answer|no\.?|#)\s*\d+\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[;|]|[,.](?!\d)|\b(?:and|while|but|versus|vs)\b", re.IGNORECASE)
_LISTED = re.compile(r"(?:[\s/:,;|&*-]|\b(?:and|or|vs)\b)*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stated:
    """What one answer states.

    Attributes
    ----------
    status : str
        ``ok``: the percentages sum to 100. ``rescaled``: they do up to rounding, and were divided
        by their sum. Else why there are no probabilities: ``not_stated``, ``ambiguous``,
        ``out_of_bounds``, ``bad_sum``; see `llmdemand.core.panel.STATUSES`.
    percent : tuple of float
        As stated, in menu order; NaN where nothing is.
    probability : tuple of float
        Sum 1; NaN unless the status is ``ok`` or ``rescaled``.
    total : float
        Sum of the percentages; NaN where one is missing.
    reason : str
        What was found, and what was done with it; empty where there is nothing to say.
    """

    status: str
    percent: tuple[float, ...]
    probability: tuple[float, ...]
    total: float = math.nan
    reason: str = ""


def read_stated(text: str, menu: Menu, *, tolerance: float | None = None) -> Stated:
    r"""Read the percentage of every alternative from an answer.

    Read are lines (``Pampers: 60%``, bulleted, numbered, in a table), sentences with one name
    and one percentage in each part, lists in the order of the names before them
    (``Pampers/Huggies: 60/40``), and JSON. A percent sign may be missing; shares that sum to 1 are
    taken as such; commas may be decimal. Ranges, bounds, two different numbers for one
    alternative, and numbers without names are not guessed at: see `Stated`.

    Parameters
    ----------
    text : str
        The answer, without thoughts.
    menu : Menu
        The choice set.
    tolerance : float, optional
        Percentage points by which the sum may differ from 100. By default what rounding explains:
        half a unit of the last digit of each number, 1.5 for three whole percentages.

    Returns
    -------
    Stated
        What an alternative is not given is never filled in, and nothing is rescaled beyond the
        tolerance.

    Examples
    --------
    >>> menu = Menu.of("Pampers", "Huggies", outside="neither")
    >>> read_stated("Pampers: 60%\nHuggies: 30%\nneither: 10%", menu).probability
    (0.6, 0.3, 0.1)
    >>> third = read_stated("Pampers 33%, Huggies 33%, neither 33%", menu)
    >>> third.status, third.total, third.reason
    ('rescaled', 99.0, 'stated percentages sum to 99: divided by their sum')
    >>> read_stated("Pampers 50-60%, Huggies 40%", menu).status
    'ambiguous'
    """
    nothing = (math.nan,) * len(menu)
    plain = spelled_out(unicodedata.normalize("NFKC", text))
    try:
        said = in_objects(plain, menu) or list(_in_lines(plain, menu))
        values = _once_each(said)
    except Unclear as error:
        return Stated("ambiguous", nothing, nothing, reason=str(error))
    missing = [a.label for a in menu if a.id not in values]
    percent = tuple(values[a].value if a in values else math.nan for a in menu.ids)
    if missing:
        alone = ": numbers without names" if re.search(r"\d", plain) else ": there is none"
        some = "" if values else alone
        return Stated(
            "not_stated",
            percent,
            nothing,
            reason=f"no percentage for {', '.join(missing)}{some}",
        )
    return _checked(percent, [values[a] for a in menu.ids], tolerance)


def _checked(percent: tuple[float, ...], said: Sequence[Number], tolerance: float | None) -> Stated:
    """Bounds and sums."""
    nothing = (math.nan,) * len(percent)
    rounding = sum(n.unit for n in said) / 2
    allowed, note = rounding if tolerance is None else tolerance, ""
    shares = not any(n.marked for n in said) and max(percent) <= 1 and min(percent) >= 0
    if shares and abs(math.fsum(percent) - 1) <= min(rounding, 0.05) + _EXACT:
        percent = tuple(float(f"{100 * p:.12g}") for p in percent)
        allowed, note = (100 * rounding if tolerance is None else tolerance), "shares of 1"
    total = float(f"{math.fsum(percent):.12g}") if all(map(math.isfinite, percent)) else math.inf
    wrong = [p for p in percent if not 0 <= p <= 100]
    if wrong:
        return Stated("out_of_bounds", percent, nothing, total, f"{wrong[0]:g} is no percentage")
    if abs(total - 100) <= _EXACT:
        return Stated("ok", percent, tuple(p / 100 for p in percent), total, note)
    if abs(total - 100) <= allowed + _EXACT and total > 0:
        done = f"stated percentages sum to {total:g}: divided by their sum"
        reason = f"{note}; {done}" if note else done
        return Stated("rescaled", percent, tuple(p / total for p in percent), total, reason)
    reason = (
        f"stated percentages sum to {total:g}, and rounding explains {allowed:g} points at most"
    )
    return Stated("bad_sum", percent, nothing, total, reason)


def _once_each(said: Iterable[tuple[str, Number]]) -> dict[str, Number]:
    """One number per alternative; what is said again must be the same."""
    found: dict[str, Number] = {}
    for name, number in said:
        before = found.setdefault(name, number)
        if before.value != number.value:
            raise Unclear(f"{name} is given {before.value:g} and {number.value:g}")
    return found


def _in_lines(text: str, menu: Menu) -> Iterator[tuple[str, Number]]:
    """Names and numbers, line by line.

    Where some numbers of an answer say percent, the others count only right after a name.
    """
    lines = [_Line.of(line, menu) for line in text.splitlines() if not _RULE.match(line)]
    marked = any(n.marked for line in lines for n in line.numbers_or_none())
    header: _Line | None = None
    for line in lines:
        if not line.names:
            if header is not None:
                yield from _under(header, line)
            header = None
            continue
        said = list(_of_line(line, marked))
        # Names alone, in a row: what stands below them may be their numbers.
        header = line if not said and len(set(line.ids)) == len(line.ids) > 1 else None
        yield from said


def _under(header: _Line, line: _Line) -> Iterator[tuple[str, Number]]:
    found = numbers(line.text)
    if len(found) == len(header.names):
        yield from zip(header.ids, found, strict=True)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line, the names in it, and its text with the names blanked out."""

    text: str
    names: tuple[_Mention, ...]

    @classmethod
    def of(cls, line: str, menu: Menu) -> _Line:
        names = tuple(mention_spans(line, menu))
        text = line
        for start, end, _ in names:
            text = text[:start] + BLANK * (end - start) + text[end:]
        text = _NUMBERED.sub(lambda m: " " * len(m[0]), text)
        if begun := _ENUMERATED.match(text):
            text = " " * begun.end() + text[begun.end() :]
        return cls(text.replace("*", " ").replace("`", " "), names)

    @property
    def ids(self) -> list[str]:
        return [name for _, _, name in self.names]

    def numbers_or_none(self) -> list[Number]:
        try:
            return numbers(self.text, self._named)
        except Unclear:
            return []

    def numbers(self) -> list[Number]:
        return numbers(self.text, self._named)

    def _named(self, at: int) -> bool:
        return self.text[:at].rstrip().endswith(BLANK)

    def between(self, start: int, end: int) -> _Line:
        """A part of it, with the places of the whole."""
        text = " " * start + self.text[start:end]
        return _Line(text, tuple(m for m in self.names if start <= m[0] < end))


def _of_line(line: _Line, marked: bool) -> Iterator[tuple[str, Number]]:
    """Pairs of a line that names alternatives."""
    if len(set(line.ids)) == 1:
        yield from _of_one(line, marked)
        return
    if pairs := _lists(line):
        yield from pairs
        return
    start = 0
    for cut in [*_CLAUSE.finditer(line.text), None]:
        end = len(line.text) if cut is None else cut.start()
        clause = line.between(start, end)
        start = len(line.text) if cut is None else cut.end()
        if len(set(clause.ids)) == 1:
            yield from _of_one(clause, marked)
        elif clause.names and (found := clause.numbers()):
            yield from _in_turn(clause, found)


def _of_one(line: _Line, marked: bool) -> Iterator[tuple[str, Number]]:
    """What a line says of the one alternative that it names."""
    found = line.numbers()
    telling = [n for n in found if n.marked]
    if not telling and marked:
        last = line.names[-1][1]
        telling = [n for n in found if re.fullmatch(r"\s*[:=|-]\s*", line.text[last : n.start])]
    elif not telling:
        telling = found
    if len({n.value for n in telling}) > 1:
        raise Unclear(f"{line.ids[0]} is given {' and '.join(f'{n.value:g}' for n in telling)}")
    if telling:
        yield line.ids[0], telling[0]


def _lists(line: _Line) -> list[tuple[str, Number]]:
    """``Pampers/Huggies: 60/40``: a list of names, then a list of as many numbers."""
    try:
        found = line.numbers()
    except Unclear:
        return []
    spans = [(m[0], m[1]) for m in line.names]
    if len(found) != len(spans) or len(set(line.ids)) < len(spans) or not found:
        return []
    if spans[-1][1] > found[0].start:
        return []
    spans += [(n.start, n.end) for n in found]
    gaps = [line.text[a[1] : b[0]] for a, b in itertools.pairwise(spans)]
    if not all(_LISTED.match(gap) for gap in gaps):
        return []
    return list(zip(line.ids, found, strict=True))


def _in_turn(line: _Line, found: Sequence[Number]) -> Iterator[tuple[str, Number]]:
    """``Pampers 60% Huggies 40%``, or numbers first: names and numbers take turns."""
    places = sorted(
        [(m[0], m[2], None) for m in line.names] + [(n.start, None, n) for n in found],
        key=lambda one: one[0],
    )
    kinds = [name is not None for _, name, _ in places]
    if len(places) % 2 or any(a == b for a, b in itertools.pairwise(kinds)):
        raise Unclear(f"names and numbers do not go together: {' '.join(line.text.split())[:60]}")
    for first, second in zip(places[::2], places[1::2], strict=True):
        name, number = first[1] or second[1], first[2] or second[2]
        assert name is not None and number is not None
        yield name, number
