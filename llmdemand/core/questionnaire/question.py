"""Questions whose answer is a number: how many, or a point of a scale. The menu is made of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from llmdemand.core.menu import NUMBERS, Alternative, Menu, MenuWarning, fold
from llmdemand.core.questionnaire.fields import only_known, texts, typed
from llmdemand.errors import StudyError, nearest

__all__ = ["INTENTION", "KINDS", "Question", "read_question"]

KINDS = ("choice", "quantity", "rating")
#: The usual five points of purchase intention, the lowest first.
INTENTION = (
    "definitely would not buy",
    "probably would not buy",
    "might or might not buy",
    "probably would buy",
    "definitely would buy",
)
# Other word orders of the same, by the words of the scale.
_SAME = {
    "definitely would not buy": ("would definitely not buy", "definitely not"),
    "probably would not buy": ("would probably not buy", "probably not"),
    "might or might not buy": ("might or might not",),
    "probably would buy": ("would probably buy",),
    "definitely would buy": ("would definitely buy",),
}
_MOST = 99
_FIELDS = ["kind", "max", "noun", "labels"]


@dataclass(frozen=True)
class Question:
    """A question whose answer is a number, and the products that it is about.

    Attributes
    ----------
    kind : str
        ``quantity``: how many, 0 to `max`. ``rating``: a point of a scale, 1 to `max`.
    max : int
        The largest answer.
    noun : str
        What is counted, in the plural ("packs"); of ratings nothing.
    labels : tuple of str
        Of ratings: the words of the points, the lowest first; the numbers alone where empty.
    products : tuple of Alternative
        What has a price. The menu of the study is the numbers.

    Examples
    --------
    >>> coffee = Alternative("coffee", "Aroma coffee")
    >>> Question("quantity", 3, "packs", products=(coffee,)).menu().ids
    ('q0', 'q1', 'q2', 'q3')
    >>> Question("rating", 5, labels=INTENTION, products=(coffee,)).menu()["r4"].label
    'probably would buy'
    """

    kind: str
    max: int
    noun: str = ""
    labels: tuple[str, ...] = ()
    products: tuple[Alternative, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "products", tuple(self.products))
        if self.kind not in KINDS[1:]:
            raise StudyError(
                f"question.kind is {self.kind!r}{nearest(self.kind, KINDS)}: use one of "
                f"{', '.join(KINDS)}"
            )
        least = 1 if self.kind == "quantity" else 2
        if not least <= self.max <= _MOST:
            raise StudyError(f"question.max is {self.max}: give a whole number, {least} to {_MOST}")
        if self.kind == "quantity" and self.labels:
            raise StudyError("question.labels are the points of a rating: remove them")
        if self.kind == "rating" and self.noun:
            raise StudyError("question.noun is what a quantity counts: remove it")
        if self.labels and len(self.labels) != self.max:
            raise StudyError(
                f"question.labels are {len(self.labels)}, question.max is {self.max}: give one "
                "label for each point, the lowest first"
            )
        if len({" ".join(fold(text).split()) for text in self.labels}) < len(self.labels):
            raise StudyError(f"question.labels {list(self.labels)}: two points read the same")
        if not self.products or any(a.outside for a in self.products):
            raise StudyError(
                "a question of numbers is about one or more products, which have a price each: "
                "remove outside options, buying none is an answer of its own"
            )

    @property
    def values(self) -> tuple[int, ...]:
        """The number that each alternative of the menu stands for, in its order."""
        return tuple(range(0 if self.kind == "quantity" else 1, self.max + 1))

    @property
    def scale(self) -> str:
        """The possible answers as a prompt lists them: what ``{scale}`` stands for."""
        if self.kind == "quantity":
            return f"0 to {self.max}"
        if not self.labels:
            return f"1 to {self.max}"
        return "\n".join(f"{k} - {label}" for k, label in enumerate(self.labels, 1))

    def product(self, id: str) -> Alternative:
        """A product by its id."""
        return next(a for a in self.products if a.id == id)

    def menu(self) -> Menu:
        """The possible answers, ascending: ids ``q0, q1, ...`` or ``r1, r2, ...``."""
        made = self._quantity if self.kind == "quantity" else self._rating
        with warnings.catch_warnings():
            # "four" and "five": numbers begin alike, and nobody can rename them.
            warnings.simplefilter("ignore", MenuWarning)
            return Menu(tuple(made(k) for k in self.values))

    def _quantity(self, k: int) -> Alternative:
        said = [str(k), *NUMBERS[k : k + 1]]
        nouns = [n for n in dict.fromkeys([*_numbers(self.noun), "units", "unit"]) if n]
        forms = [*said, *(f"{number} {noun}" for number in said for noun in nouns)]
        if k == 0:
            forms += ["none", "nothing", *(f"no {noun}" for noun in nouns)]
        return Alternative(f"q{k}", str(k), tuple(forms), outside=k == 0)

    def _rating(self, k: int) -> Alternative:
        label = self.labels[k - 1] if self.labels else str(k)
        own = _SAME.get(fold(label), ()) if self.labels else ()
        parts = [f"{k}/{self.max}", f"{k} out of {self.max}"]
        forms = dict.fromkeys([label, *own, str(k), *NUMBERS[k : k + 1], *parts])
        return Alternative(f"r{k}", label, tuple(forms))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for TOML and parquet metadata; the products are the alternatives there."""
        found = {"kind": self.kind, "max": self.max, "noun": self.noun, "labels": list(self.labels)}
        return {k: v for k, v in found.items() if v}


def read_question(entry: Any, products: tuple[Alternative, ...]) -> Question | None:
    """The question of plain data; None for a choice between the alternatives.

    Raises
    ------
    StudyError
        For an unknown field or kind, or numbers that make no scale.

    Examples
    --------
    >>> coffee = (Alternative("coffee", "Aroma coffee"),)
    >>> read_question({"kind": "rating"}, coffee).labels[-1]
    'definitely would buy'
    """
    entry = typed(entry, dict, "question")
    only_known(entry, _FIELDS, "question field")
    kind = typed(entry.get("kind", "choice"), str, "question.kind")
    if kind == "choice":
        if len(entry) > 1:
            raise StudyError(
                "question.kind is 'choice', which takes no other field: use 'quantity' or 'rating'"
            )
        return None
    labels = texts(entry.get("labels", ()), "question.labels")
    if kind == "rating" and "labels" not in entry and entry.get("max", 5) == 5:
        labels = INTENTION
    if "max" not in entry and not labels:
        raise StudyError("question.max is missing: give the largest answer, such as max = 5")
    most = typed(entry.get("max", len(labels)), int, "question.max")
    noun = typed(entry.get("noun", ""), str, "question.noun").strip()
    return Question(kind, most, noun, labels, products)


def _numbers(noun: str) -> tuple[str, ...]:
    """Plural and singular of an English noun."""
    if noun.endswith(("xes", "ches", "shes", "sses")):
        return noun, noun[:-2]
    return (noun, noun[:-1]) if noun.endswith("s") and not noun.endswith("ss") else (noun,)
