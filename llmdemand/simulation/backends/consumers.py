"""Consumers whose demand is known: what they want, and the words in which they say it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache

from llmdemand.belief.automaton import Automaton, Place
from llmdemand.core.menu import Menu
from llmdemand.core.study import Study
from llmdemand.errors import UsageError, nearest

__all__ = ["Consumer", "Wording", "uniform"]

_SHORT = ((), ("I", "'d", " choose"), ("I", " would", " go", " with"), ("My", " choice", ":"))
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

# exp() of more than this overflows; the share is then 0 to every digit anyway.
_LARGEST_EXPONENT = 700.0
# Prices are decimal fractions: 3.3 is a multiple of 0.1, though not in binary.
_MULTIPLE = 1e-9


@dataclass(frozen=True)
class Consumer:
    """A logit consumer of one focal alternative.

    The focal share in the mind of persona i at price x, with the alternative f
    shown first, is ``p = 1 / (1 + exp(-z))`` with::

        z = s_i (x - m_i) + g w + u [x is a multiple of r] + d_f
        s_i = slope + persona_slope_sd * N(0, 1),  m_i = indifference + persona_sd * N(0, 1)

    where g is `rival_slope`, w by how much rivals' mean price exceeds its own mean over the
    design, u is `round_price_uptick`, r is `round_to`, and d_f the order effect: with
    d = `order_effect` the log-odds of the first alternative against all others
    together change by d. That is ``d_f = d`` if it is the focal one, and
    ``d_f = -log(1 + c_f (exp(d) - 1))`` if it is another one whose fixed share of
    the others' probability is c_f.

    Parameters
    ----------
    menu : Menu
        The choice set.
    focal : str
        The alternative whose price matters.
    slope : float
        Price sensitivity, log-odds per unit of price.
    indifference : float
        Price at which the focal share is one half.
    outside : float
        Share of the other alternatives' probability that outside options take.
    order_effect : float
        Log-odds for the alternative that is shown first.
    round_price_uptick : float
        Log-odds for the focal alternative at round prices.
    round_to : float
        Prices that are multiples of this are round, in the study's unit.
    persona_sd : float
        Standard deviation of the indifference price over personas, price units.
    persona_slope_sd : float
        Standard deviation of the slope over personas. The law is normal: with a
        large value some personas like high prices.
    persona_seed : int
        Another seed gives other people; a persona depends on this and its id alone.
    rival_slope : float
        Log-odds of the focal alternative per unit of the rivals' mean price.

    Raises
    ------
    UsageError
        For a value that is no number, a negative standard deviation or a share
        outside [0, 1].

    Examples
    --------
    >>> menu = Menu.of("Pampers", "Huggies", outside="neither")
    >>> consumer = Consumer(menu, "pampers", slope=-0.5, indifference=35, order_effect=0.4)
    >>> consumer.probability(35), round(consumer.probability(35, order=("pampers",)), 3)
    (0.5, 0.599)
    """

    menu: Menu
    focal: str
    slope: float = -0.535
    indifference: float = 34.8
    outside: float = 0.2
    order_effect: float = 0.0
    round_price_uptick: float = 0.0
    round_to: float = 5.0
    persona_sd: float = 0.0
    persona_slope_sd: float = 0.0
    persona_seed: int = 0
    rival_slope: float = 0.0
    _split: Mapping[str, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for option in fields(self)[2:-1]:
            value = getattr(self, option.name)
            if not math.isfinite(value):
                raise UsageError(f"{option.name}={value} is no number: give a finite one")
        if abs(self.order_effect) > _LARGEST_EXPONENT:
            raise UsageError(f"order_effect={self.order_effect} is beyond numbers: give log-odds")
        if not 0 <= self.outside <= 1:
            raise UsageError(f"outside={self.outside} is no share: give a number from 0 to 1")
        for name in ("persona_sd", "persona_slope_sd"):
            if getattr(self, name) < 0:
                raise UsageError(
                    f"{name}={getattr(self, name)} is no standard deviation: give 0 or more"
                )
        if not self.round_to > 0:
            raise UsageError(
                f"round_to={self.round_to}: give a positive step in the study's unit, such as 5"
            )
        object.__setattr__(self, "_split", _split(self.menu, self.focal, self.outside))

    def parameters(self, persona: str | None = None) -> tuple[float, float]:
        """Slope and indifference price of one persona; of the average one by default."""
        slope, indifference = self.slope, self.indifference
        if persona is not None and self.persona_sd:
            indifference += self.persona_sd * _normal(self.persona_seed, "indifference", persona)
        if persona is not None and self.persona_slope_sd:
            slope += self.persona_slope_sd * _normal(self.persona_seed, "slope", persona)
        return slope, indifference

    def probability(
        self,
        price: float,
        *,
        order: Sequence[str] | None = None,
        persona: str | None = None,
        rivals: float = 0.0,
    ) -> float:
        """The focal share at a price; without an order effect where no order is given."""
        return self.law(price, order=order, persona=persona, rivals=rivals)[0]

    def law(
        self,
        price: float,
        *,
        order: Sequence[str] | None = None,
        persona: str | None = None,
        rivals: float = 0.0,
    ) -> tuple[float, Mapping[str, float]]:
        """The focal share, and how the others divide what is left (summing to one).

        `rivals` is by how much the rivals' mean price exceeds its mean over the design.
        """
        slope, indifference = self.parameters(persona)
        odds = slope * (price - indifference) + self.rival_slope * rivals
        if self.round_price_uptick and self._is_round(price):
            odds += self.round_price_uptick
        split = self._split
        if self.order_effect and order:
            first = order[0]
            if first == self.focal:
                odds += self.order_effect
            else:
                raised = {**split, first: split[first] * math.exp(self.order_effect)}
                whole = sum(raised.values())
                odds -= math.log(whole)
                split = {a: weight / whole for a, weight in raised.items()}
        return 1 / (1 + math.exp(min(-odds, _LARGEST_EXPONENT))), split

    def _is_round(self, price: float) -> bool:
        steps = price / self.round_to
        return abs(steps - round(steps)) < _MULTIPLE


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
        self._menu, self._verbose = study.menu, verbose
        self.preambles = _preambles(preambles, study)
        self.labels = tuple(
            {a.id: _pieces(space + a.forms[0], subwords) for a in study.menu} for space in ("", " ")
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
        other = self._menu[others[int(uniform("other", seed) * len(others))]].forms[0]
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


def uniform(*keys: object) -> float:
    """A number in (0, 1) that depends on its keys alone, on every machine.

    Unlike a further draw from a run's generator it leaves all other draws as they
    were, so that switching one option on changes nothing else of an answer.

    >>> uniform("refusal", 1) == uniform("refusal", 1) != uniform("refusal", 2)
    True
    """
    digest = hashlib.blake2b(":".join(map(str, keys)).encode(), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 11) + 0.5) / 2**53


def _normal(*keys: object) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(uniform(*keys))


def _split(menu: Menu, focal: str, outside: float) -> dict[str, float]:
    """Shares of the probability that the focal alternative leaves, summing to one."""
    rivals = [a.id for a in menu.inside if a.id != focal]
    outsides = [a.id for a in menu if a.outside]
    if not rivals or not outsides:
        return {a: 1 / len(rivals + outsides) for a in rivals + outsides}
    return {
        **{a: (1 - outside) / len(rivals) for a in rivals},
        **{a: outside / len(outsides) for a in outsides},
    }


def _preambles(given: str | Sequence[Sequence[str]], study: Study) -> tuple[tuple[str, ...], ...]:
    """The preambles as token texts, the study's anchor at the end of each."""
    offers = " , ".join(a.forms[0] for a in study.menu.inside)
    texts = [*_LONG, _OFFERED.format(offers=" and ".join(offers.rsplit(" , ", 1)))]
    if len(study.menu.inside) < 2:
        texts = texts[:-1]
    long = tuple(_words(text, True) for text in texts)
    named = {"short": _SHORT, "long": long, "mixed": _SHORT + long, "none": ((),)}
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
