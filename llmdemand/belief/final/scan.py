"""From a text to its clauses: names, words that matter, and how each clause ends."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from llmdemand.belief.final.lexicon import OPENERS, TOKEN, Lexicon, lexicon
from llmdemand.belief.words import ORDINARY
from llmdemand.core.menu import Menu, fold

__all__ = ["MENTION", "Clause", "Item", "clauses", "plain"]

MENTION = "mention"
_MARKS = str.maketrans(dict.fromkeys('*`~"\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f'))
_DASHES = frozenset("-\u2013\u2014")
_STOPS = frozenset(".!?\u3002\uff01\uff1f\u2026")
_COMMAS = frozenset(",;:\u3001\uff0c\uff1b\uff1a")
_BEFORE_PRICES = frozenset("$\u20ac\u00a3\u00a5.,")
_COPULAS = frozenset("is was has costs seems would".split())
_REASONS = frozenset("because since as for over and".split())
_TRAILING = ",.!\u3002\u3001\uff0c\u2026"
# English, Spanish and French words of one letter, which are labels only where they are pointed at.
_WORDS_OF_ONE_LETTER = frozenset("AIOYE")
_POINTING = frozenset({"pointer", "decide", "verdict", "is", "verb", "intend"})
_BOUNDARY = frozenset({"turn", "split", "scene", "correct"})


class Item(NamedTuple):
    """A phrase that matters: its kind, the alternative that it names (or -1), its place."""

    kind: str
    alternative: int
    start: int


class Clause:
    """A stretch of text between two boundaries.

    Attributes
    ----------
    items : list of Item
        In order.
    unknown, lead : int
        Words that are in no list, in all and before the first name.
    opener, ender : str
        The kind of boundary before it (``turn``, ``scene``, ``correct``, a sign or nothing)
        and the sign after it; nothing at the end of the text.
    first : bool
        Whether a sentence begins with it.
    start, end : int
        Its place in the text.
    """

    __slots__ = ("end", "ender", "first", "items", "lead", "opener", "start", "unknown")

    def __init__(self, opener: str, first: bool, start: int) -> None:
        self.items: list[Item] = []
        self.unknown, self.lead = 0, -1
        self.opener, self.ender = opener, ""
        self.first, self.start, self.end = first, start, start


def plain(text: str) -> tuple[str, str]:
    """A text without markup as it is cased, and folded, character by character alike."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if "\\" in text:
        text = text.replace("\\boxed{", "(").replace("\\text{", "(")
    cased = text.translate(_MARKS)
    folded = fold(cased)
    if len(folded) != len(cased):  # "\u00df" is folded to two letters
        cased = "".join(c if len(fold(c)) == 1 else fold(c) for c in cased)
        folded = "".join(fold(c) for c in cased)
    return cased, folded


def clauses(
    cased: str, folded: str, menu: Menu, language: str, *, answer_first: bool = False
) -> list[Clause]:
    """The clauses of a text; one pass, linear in its length."""
    root, fill = _trie(menu, language), lexicon(language).fill
    tokens = [(match[0], match.start()) for match in TOKEN.finditer(folded)]
    found: list[Clause] = []
    clause = Clause("", True, 0)
    at, many, length = 0, len(tokens), len(folded)
    after_name = -1  # the token right after the last name
    while at < many:
        token, start = tokens[at]
        taken = None
        if token in root:
            node, place, ways = root[token], at + 1, []
            while True:
                ways += node.entries
                following = node.get(tokens[place][0]) if place < many else None
                if following is None:
                    break
                node, place = following, place + 1
            # The longest first; of equals a name.
            ways.sort(key=_rank)
            for size, kind, alternative in reversed(ways):
                if kind in OPENERS and (clause.items or clause.unknown):
                    continue
                if kind == MENTION:
                    last, place = tokens[at + size - 1]
                    stop = place + len(last)
                    around = _Around(cased, folded, start, stop, clause, answer_first)
                    if not _is_named(around, menu, alternative):
                        continue
                taken = kind
                break
        if taken is not None:
            if taken == "topic":  # "A or B, then": where no name comes right before, a condition
                taken = "plain" if at == after_name else "if"
            at += size
            after_name = at if taken == MENTION else after_name
            if taken in _BOUNDARY:
                if clause.items or clause.unknown:
                    clause.end = start
                    found.append(clause)
                    clause = Clause(taken, False, start)
                else:
                    clause.opener = taken
                if taken == "scene":
                    clause.items.append(Item("scene", -1, start))
            elif taken != "plain":
                if taken == MENTION and clause.lead < 0:
                    clause.lead = clause.unknown
                clause.items.append(Item(taken, alternative, start))
            continue
        at += 1
        if token[0].isalnum():
            clause.unknown += token not in fill
            continue
        end = start + len(token)
        ends, sentence = _boundary(token, folded, start, end, length)
        if ends:
            clause.end, clause.ender = start, token
            found.append(clause)
            clause = Clause(token, sentence, end)
    clause.end = length
    found.append(clause)
    return found


def _boundary(token: str, folded: str, start: int, end: int, length: int) -> tuple[bool, bool]:
    """Whether a sign ends a clause, and whether it ends a sentence."""
    after = folded[end] if end < length else "\n"
    if token == "\n":
        return True, True
    if token in _STOPS:
        return (
            (True, True)
            if token != "." or not after.isalnum() or after >= "\u3040"
            else (False, False)
        )
    if token in _COMMAS:
        between_digits = after.isdigit() and folded[start - 1].isdigit() if start else False
        return not between_digits, token in ";\uff1b"
    if token in _DASHES:
        before = folded[start - 1] if start else "\n"
        return (token != "-" or (before.isspace() and after.isspace())), False
    if token == "(":
        close = folded.find(")", end, end + 16)
        return close < 0, False
    return False, False


def _rank(way: tuple[int, str, int]) -> tuple[int, bool, bool]:
    return way[0], way[1] == MENTION, way[1] in OPENERS


class _Around(NamedTuple):
    """A form and what stands around it."""

    cased: str
    folded: str
    start: int
    stop: int
    clause: Clause
    answer_first: bool

    @property
    def pointed(self) -> bool:
        """Whether the word before points at it."""
        items = self.clause.items
        return bool(items) and items[-1].kind in _POINTING

    @property
    def opening(self) -> bool:
        """Whether a bracket or a quote opens right before it."""
        return self.start > 0 and self.folded[self.start - 1] in "([{'\u2018"

    @property
    def first(self) -> bool:
        """Whether its clause begins with it."""
        return not self.clause.items and not self.clause.unknown

    @property
    def following(self) -> str:
        """The next token, empty at the end."""
        match = TOKEN.search(self.folded, self.stop)
        return match[0] if match else ""


def _is_named(around: _Around, menu: Menu, alternative: int) -> bool:
    """Whether the form at a place is a name there, and not an ordinary word or a number."""
    form = around.cased[around.start : around.stop]
    if len(form) == 1:
        return _is_label(around, form, menu.alternatives[alternative].forms)
    if menu.alternatives[alternative].outside:
        return True
    key = around.folded[around.start : around.stop]
    ordinary = key in ORDINARY or key in _overlap(menu)
    return not ordinary or around.first or around.pointed or around.opening


def _is_label(around: _Around, form: str, forms: tuple[str, ...]) -> bool:
    """Whether a letter or digit is a label: no article, pronoun, price, unit or count."""
    if form not in forms:
        return False  # a label keeps its case
    if form.isdigit():
        return _is_numbered(around)
    if form not in _WORDS_OF_ONE_LETTER or around.opening:
        return True
    following = around.following
    if (around.answer_first and not around.start) or not following[:1].isalnum():
        return True
    if form == "A" and following in _COPULAS:
        return True
    return around.pointed and following in _REASONS


def _is_numbered(around: _Around) -> bool:
    if around.start and around.folded[around.start - 1] in _BEFORE_PRICES:
        return False
    after = around.folded[around.stop : around.stop + 2]
    if after[:1] == "%" or (after[:1] in ".,:" and after[1:].isdigit()):
        return False
    following = around.following
    alone = not following[:1].isalnum() or following >= "\u3005"
    placed = around.pointed or around.opening or around.first
    return placed and (alone or following in _REASONS or following in _COPULAS)


@lru_cache(maxsize=256)
def _overlap(menu: Menu) -> frozenset[str]:
    """Forms that are also words of a list in some language."""
    words = set().union(*(lexicon(code).phrases for code in ("en", "de", "es", "fr")))
    return frozenset(words & {fold(form) for a in menu for form in a.forms})


class _Node(dict[str, "_Node"]):
    """Phrases by their tokens, and those that end here."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        # Tokens that a phrase takes, its kind, the alternative that it names.
        self.entries: list[tuple[int, str, int]] = []


@lru_cache(maxsize=256)
def _trie(menu: Menu, language: str) -> _Node:
    root = _Node()
    for phrase, kind, alternative in _entries(menu, lexicon(language)):
        node, tokens = root, TOKEN.findall(phrase)
        for token in tokens:
            node = node.setdefault(token, _Node())
        # Of "no," the comma is a condition and no part.
        size = len(tokens) - (len(tokens) > 1 and tokens[-1] in _TRAILING)
        node.entries.append((size, kind, alternative))
    return root


def _entries(menu: Menu, words: Lexicon) -> Iterable[tuple[str, str, int]]:
    """Phrases, kinds and alternatives, names last."""
    for phrase, kind in words.phrases.items():
        yield phrase, kind, -1
    for phrase, kind in words.openers.items():
        yield phrase, kind, -1
    for phrase in words.fill - words.phrases.keys():
        if len(phrase) > 1 and phrase >= "\u3005":  # words of more than one such character
            yield phrase, "plain", -1
    for index, alternative in enumerate(menu):
        for form in alternative.forms:
            yield fold(form), MENTION, index
