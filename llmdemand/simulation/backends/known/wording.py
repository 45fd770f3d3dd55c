"""The words in which a consumer whose demand is known says what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from llmdemand.belief.automaton import Automaton, Place
from llmdemand.core.study import Study
from llmdemand.errors import UsageError, nearest
from llmdemand.simulation.backends.known.consumer import uniform

__all__ = ["Wording"]

_SHORT = ((), ("I", "'d", " choose"), ("I", " would", " go", " with"), ("My", " choice", ":"))
_NUMBERS = ((), ("I", "'d", " choose"), ("My", " choice", ":"), ("I", " pick"))
_LONG = (
    "Looking at the shelf and thinking about what my family needs this week , I 'd go for",
    "Thanks for asking ! Diapers or not , I compare prices first . Having done that , I pick",
    "Both prices are clear to me , and I have no strong habit . So today I will take",
)
# Mentions that decide nothing: in them a naive reader finds the pivot too early.
_OFFERED = "Between {offers} , I would go with"
_REFUSAL = "I 'm sorry , but I can 't make that decision for anyone ."
_NO_PIVOT = "It depends on what else is on the list that day ."
_ON = (
    ", because it suits us better than {other} at that price .",
    ". The price of {other} is not what matters most to me this time .",
    ", which has always worked for us and will last for the whole week , I hope .",
)
_MISMATCH = "On second thought , I 'd take {other} ."
_FILLERS = ("maybe", "perhaps", "hmm")


class Wording:
    """The words of a `Consumer`, checked to be read as they are meant.

    Parameters
    ----------
    study : Study
        Whose labels are spoken, after its first anchor.
    preambles : str or sequence of sequences of str
        ``"short"``, ``"long"``, ``"mixed"``, ``"none"`` or token texts.
    verbose : bool
        Whether answers go on after the label, and name other alternatives.
    subwords : bool
        Whether labels are split over several tokens.

    Attributes
    ----------
    preambles : tuple of tuple of str
        Token texts; the anchor, if there is one, at the end of each.
    filler : (str, str)
        A word that decides nothing, as it begins an answer and within one.
    labels : (mapping, mapping)
        Token texts of each label, as it begins an answer and within one.
    refusal, no_pivot : tuple of str
        Answers that decline, and that name nothing.

    Raises
    ------
    UsageError
        For unknown or empty preambles, and where the menu's labels would be
        misread after one.

    Examples
    --------
    >>> from llmdemand.core.study import load_study
    >>> wording = Wording(load_study("pampers"), preambles=[["So", ":"]], subwords=True)
    >>> wording.preambles, wording.labels[1]["huggies"]
    ((('So', ':'),), (' H', 'ugg', 'ies'))
    """

    def __init__(
        self,
        study: Study,
        *,
        preambles: str | Sequence[Sequence[str]] = "short",
        verbose: bool = False,
        subwords: bool = False,
    ) -> None:
        self._study, self._menu, self._verbose = study, study.menu, verbose
        self.preambles = _preambles(preambles, study)
        self.labels = tuple(
            {a.id: _pieces(space + _spoken(study, k), subwords) for k, a in enumerate(study.menu)}
            for space in ("", " ")
        )
        self.refusal, self.no_pivot = _words(_REFUSAL, True), _words(_NO_PIVOT, True)
        automaton = Automaton(study.menu, answer_first=study.answer_first, anchors=study.anchors)
        places = [self._checked(automaton, words) for words in self.preambles]
        self.filler = _filler(places)

    def ending(self, chosen: str, mismatch: bool, seed: int) -> tuple[str, ...]:
        """The words after the label. The first of them does not depend on the choice."""
        if not (self._verbose or mismatch):
            return (".",)
        others = [a for a in self._menu.ids if a != chosen]
        other = others[int(uniform("other", seed) * len(others))]
        other = _spoken(self._study, self._menu.index(other))
        ending: tuple[str, ...] = (".",)
        if self._verbose:
            ending = _words(_ON[int(uniform("verbose", seed) * len(_ON))], False, other)
        return ending + _words(_MISMATCH, False, other) if mismatch else ending

    def _checked(self, automaton: Automaton, words: tuple[str, ...]) -> tuple[Place, bool]:
        """Where a reader is after a preamble, every label being readable from there."""
        place = automaton.start
        for word in words:
            place, outcome = place[word.encode()]
            if outcome >= 0:
                raise UsageError(
                    f"preamble {''.join(words)!r} decides for {self._menu.ids[outcome]!r} at "
                    f"{word!r}: give preambles that decide nothing, or preambles='none'"
                )
        for index, (id, pieces) in enumerate(self.labels[bool(words)].items()):
            after, outcome = place, -1
            for piece in (*pieces, "."):
                if outcome < 0:
                    after, outcome = after[piece.encode()]
            if outcome != index:
                raise UsageError(
                    f"the label {''.join(pieces)!r} does not decide for {id!r} after the "
                    f"preamble {''.join(words)!r}: give other preambles, or preambles='none'"
                )
        return place, bool(words)


def _spoken(study: Study, place: int) -> str:
    """How an alternative is called: by its first form, or by its number."""
    if study.question is not None:
        return str(study.question.values[place])
    return study.menu.alternatives[place].forms[0]


def _preambles(given: str | Sequence[Sequence[str]], study: Study) -> tuple[tuple[str, ...], ...]:
    """The preambles as token texts, the study's anchor at the end of each."""
    offers = " , ".join(a.forms[0] for a in study.menu.inside)
    texts = [*_LONG, _OFFERED.format(offers=" and ".join(offers.rsplit(" , ", 1)))]
    if len(study.menu.inside) < 2:
        texts = texts[:-1]
    long = tuple(_words(text, True) for text in texts)
    short = _SHORT if study.question is None else _NUMBERS
    named = {"short": short, "long": long, "mixed": short + long, "none": ((),)}
    if isinstance(given, str):
        if given not in named:
            raise UsageError(
                f"preambles={given!r}{nearest(given, tuple(named))}: use one of "
                f"{', '.join(named)}, or give token texts"
            )
        found = named[given]
    else:
        found = tuple(tuple(words) for words in given)
        if not found or any(isinstance(words, str) for words in given) or not all(map(all, found)):
            raise UsageError(
                f"preambles={given!r}: give at least one sequence of token texts, none of them "
                "empty, such as [['I', ' choose']]"
            )
    anchors = study.anchors[:1]
    return tuple((*w, *((" " if w else "") + anchor for anchor in anchors)) for w in found)


def _filler(places: Sequence[tuple[Place, bool]]) -> tuple[str, str]:
    for filler in _FILLERS:
        pair = filler.capitalize(), " " + filler
        if all(place[pair[preceded].encode()][1] < 0 for place, preceded in places):
            return pair
    raise UsageError(
        f"each of {', '.join(_FILLERS)} begins a label of the menu: rename an alternative"
    )


@lru_cache(maxsize=1024)
def _words(text: str, initial: bool, other: str = "") -> tuple[str, ...]:
    """Token texts of a sentence whose punctuation and clitics stand apart."""
    words: list[str] = []
    for part in text.split():
        word = other if part == "{other}" else part
        space = "" if word[0] in ",.!'" or (initial and not words) else " "
        words.append(space + word)
    return tuple(words)


def _pieces(word: str, split: bool) -> tuple[str, ...]:
    """A label as tokens: whole, or its first letter and then three letters at a time.

    >>> _pieces(" Pull Ups", True)
    (' P', 'ull', ' U', 'ps')
    """
    if not split:
        return (word,)
    found: list[str] = []
    for index, part in enumerate(word.split(" ")):
        if part:
            head = (" " if index else "") + part[0]
            found += [head, *(part[k : k + 3] for k in range(1, len(part), 3))]
    return tuple(found)
