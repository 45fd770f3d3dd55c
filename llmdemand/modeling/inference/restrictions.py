"""Linear hypotheses on coefficients, read from text: ``"price = -0.5, income = 0"``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from llmdemand.errors import UsageError, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.fit import synonyms

__all__ = ["Hypothesis", "equation", "restrictions"]

#: An equation or several, a term, a list of them, R, or (R, r).
Hypothesis = str | Sequence[str] | Array | tuple[Any, Any]

_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(?![\w.])")
_OPERATOR = re.compile(r"==|[-+*/=(),]")


def restrictions(terms: Sequence[str], hypothesis: Hypothesis) -> tuple[Array, Array, str]:
    """``R b = r`` from a hypothesis.

    Parameters
    ----------
    terms : sequence of str
        Names of the K coefficients.
    hypothesis : str, list of str, array, or (R, r)
        Equations divided by commas, linear in the terms: ``"price = -0.5, income = 0"``,
        ``"price - 2 * cost = 0"``, ``"a = b = 0"``; an expression without ``=`` is equal to
        zero. Names are matched as they stand, the longest first, so that brackets, colons,
        commas and operators within a name need no quotes: ``"round(price, 5) = 0"``; quotes
        of the kind `````` ` `````` may be used. ``Intercept`` is another name of ``const``. A
        list joins its hypotheses. R has a row for each restriction and a column for each
        coefficient; r is zero unless given.

    Returns
    -------
    R : (q, K) array
    r : (q,) array
    text : str
        The hypothesis in words.

    Raises
    ------
    UsageError
        For a name that is no term, for what is not linear, or a wrong shape.

    Examples
    --------
    >>> R, r, text = restrictions(["const", "price", "round(price, 5)"], "round(price, 5) = 0.2")
    >>> R.tolist(), r.tolist()
    ([[0.0, 0.0, 1.0]], [0.2])
    """
    names = list(terms)
    if isinstance(hypothesis, str):
        if hypothesis in _places(names):
            hypothesis = [hypothesis]
        else:
            matrix, value = _Equations(names, hypothesis).read()
            return matrix, value, " ".join(hypothesis.split())
    if isinstance(hypothesis, list | tuple) and all(isinstance(h, str) for h in hypothesis):
        if not hypothesis:
            raise UsageError("no hypothesis: name a term, or write 'price = 0'")
        parts = [
            (_unit(names, h), np.zeros(1), f"{h} = 0")
            if h in _places(names)
            else restrictions(names, h)
            for h in hypothesis
        ]
        text = ", ".join(p[2] for p in parts)
        return np.vstack([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), text
    right: Any = 0.0
    left: Any = hypothesis
    if isinstance(hypothesis, tuple) and len(hypothesis) == 2:
        left, right = hypothesis
    try:
        matrix = np.atleast_2d(np.asarray(left, np.float64))
        value = np.broadcast_to(np.asarray(right, np.float64), (len(matrix),)).copy()
    except (ValueError, TypeError):
        matrix, value = np.empty((0, 0)), np.empty(0)
    if matrix.ndim != 2 or not len(matrix) or matrix.shape[1] != len(names):
        raise UsageError(
            f"the hypothesis is neither text nor a pair (R, r) with R of shape (q, {len(names)}), "
            f"a column for each of {', '.join(names)}: write for example '{names[-1]} = 0'"
        )
    if not np.isfinite(matrix).all() or not np.isfinite(value).all():
        raise UsageError("the hypothesis (R, r) must hold finite numbers")
    lines = zip(matrix, value, strict=True)
    return matrix, value, ", ".join(equation(names, row, v) for row, v in lines)


def _unit(names: Sequence[str], name: str) -> Array:
    return np.eye(len(names))[[_places(names)[name]]]


def _places(names: Sequence[str]) -> dict[str, int]:
    """Places of the terms, by all their names."""
    own = {name: k for k, name in enumerate(names)}
    return own | {other: own[name] for other, name in synonyms(names).items()}


def equation(names: Sequence[str], row: Array, value: float) -> str:
    """A restriction in words.

    >>> equation(["const", "price"], np.array([1.0, -2.0]), 0.5)
    'const - 2 * price = 0.5'
    """
    text = ""
    for name, weight in zip(names, row, strict=True):
        if weight:
            size = "" if abs(weight) == 1 else f"{abs(weight):g} * "
            sign = ("- " if weight < 0 else "+ ") if text else ("-" if weight < 0 else "")
            text += f"{' ' if text else ''}{sign}{size}{name}"
    return f"{text or '0'} = {value + 0.0:g}"


class _Equations:
    """Reader of linear equations in terms; forms are (K + 1,), the constant last."""

    def __init__(self, names: Sequence[str], text: str) -> None:
        self.names, self.text = names, text
        self.tokens: list[tuple[str, Any]] = []
        self.at = 0
        # A term whose name reads as a number is no name within a text.
        places = self.places = _places(names)
        order = sorted((n for n in places if n and not _NUMBER.fullmatch(n)), key=len, reverse=True)
        patterns = [(places[n], _pattern(n)) for n in order]
        while text := text.lstrip():
            text = text[self._token(text, patterns) :]

    def _token(self, text: str, patterns: list[tuple[int, re.Pattern[str]]]) -> int:
        """Read one token and return its length."""
        # A name does not begin within a word: 2price is neither.
        for k, pattern in patterns:
            if found := pattern.match(text):
                self.tokens.append(("term", k))
                return found.end()
        if quoted := re.match(r"`([^`]*)`", text):
            if quoted[1] not in self.places:
                raise self._unknown(quoted[1])
            self.tokens.append(("term", self.places[quoted[1]]))
            return quoted.end()
        if number := _NUMBER.match(text):
            self.tokens.append(("number", float(number[0])))
            return number.end()
        if operator := _OPERATOR.match(text):
            self.tokens.append(("=" if operator[0] == "==" else operator[0], None))
            return operator.end()
        word = re.match(r"[\w.]+(\(.*?\))?(\[.*?\])?", text)
        raise self._unknown(word[0] if word else text.split()[0])

    def _unknown(self, name: str) -> UsageError:
        return UsageError(
            f"hypothesis {self.text!r}: {name!r} is no term{nearest(name, list(self.names))}; "
            f"this model has {', '.join(self.names)}"
        )

    def _wrong(self, why: str) -> UsageError:
        return UsageError(
            f"hypothesis {self.text!r}: {why}; write equations linear in the terms, such as "
            f"'{self.names[-1]} = 0' or 'a - 2 * b = 0.5, c = 0'"
        )

    @property
    def _next(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else "its end"

    def _take(self, kinds: str) -> str:
        """The next token if it is one of these operators, else nothing."""
        kind = self._next
        if len(kind) != 1 or kind not in kinds:
            return ""
        self.at += 1
        return kind

    def read(self) -> tuple[Array, Array]:
        rows: list[Array] = []
        while True:
            sides = [self._sum()]
            while self._take("="):
                sides.append(self._sum())
            if len(sides) == 1:
                sides.append(np.zeros(len(self.names) + 1))
            rows += [a - b for a, b in pairwise(sides)]
            if self.at == len(self.tokens):
                break
            if not self._take(","):
                raise self._wrong(f"found {self._shown()} where an operator was expected")
        found = np.array(rows)
        return found[:, :-1], -found[:, -1]

    def _shown(self) -> str:
        kind, value = self.tokens[self.at]
        return repr(self.names[value]) if kind == "term" else repr(kind if value is None else value)

    def _sum(self) -> Array:
        total = self._product()
        while sign := self._take("+-"):
            total = total + (1 if sign == "+" else -1) * self._product()
        return total

    def _product(self) -> Array:
        left = self._factor()
        while operator := self._take("*/"):
            right = self._factor()
            if operator == "*" and not left[:-1].any():
                left, right = right, left
            if right[:-1].any():
                raise self._wrong("it multiplies terms, or divides by one")
            if operator == "/" and right[-1] == 0:
                raise self._wrong("it divides by zero")
            left = left * (right[-1] if operator == "*" else 1 / right[-1])
        return left

    def _factor(self) -> Array:
        if sign := self._take("+-"):
            return (1 if sign == "+" else -1) * self._factor()
        if self._take("("):
            inner = self._sum()
            if not self._take(")"):
                raise self._wrong("a bracket is not closed")
            return inner
        if self._next not in ("term", "number"):
            raise self._wrong(f"found {self._next} where a term or number was expected")
        kind, value = self.tokens[self.at]
        self.at += 1
        form = np.zeros(len(self.names) + 1)
        form[value if kind == "term" else -1] = 1.0 if kind == "term" else value
        return form


def _pattern(name: str) -> re.Pattern[str]:
    """The name with any spacing between its pieces, and not as part of a longer word."""
    pieces = re.findall(r"\w+|[^\w\s]", name)
    text = re.escape(pieces[0])
    for a, b in pairwise(pieces):
        both = re.match(r"\w", a) and re.match(r"\w", b)
        text += (r"\s+" if both else r"\s*") + re.escape(b)
    return re.compile(text + (r"(?!\w)" if re.match(r"\w", pieces[-1]) else ""))
