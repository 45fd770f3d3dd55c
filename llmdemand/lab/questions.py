"""Whole answers with their labels: questions in six languages, and how answers are cut."""

from __future__ import annotations

import re
import tomllib
import warnings
from dataclasses import dataclass

from llmdemand.core.menu import Alternative, Menu, MenuWarning
from llmdemand.core.resources import data_file
from llmdemand.errors import DesignError

__all__ = ["Answer", "Question", "load_questions", "pieces"]

# A letter that is a word part by itself, up to four letters of a word, a number, anything else;
# a space goes with what follows it, as in byte-pair vocabularies.
_ALONE = "\u3040-\u30ff\u3400-\u9fff\uff00-\uffef"
_PIECE = re.compile(rf" ?(?:[{_ALONE}]|[^\W\d_{_ALONE}]{{1,4}}|\d{{1,3}}|[^\w\s]|_)|\s")
_OUTSIDE = "neither"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer and what it chooses.

    Attributes
    ----------
    text : str
        The whole answer.
    probability : float
        Among the answers to its question.
    label, second : str or None
        What its author, and a second reader who saw the text alone, say that it chooses; None
        for nothing.
    unsure : bool
        Whether whoever read it second hesitated.
    """

    text: str
    probability: float
    label: str | None
    second: str | None
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the answers that it may get.

    Attributes
    ----------
    id, feature : str
        Which one, its language first, and the difficulty it stands for.
    menu : Menu
        The choice set.
    answers : tuple of Answer
        At least two; their probabilities sum to 1.

    Raises
    ------
    DesignError
        If probabilities do not sum to 1, or a label is not on the menu.
    """

    id: str
    feature: str
    menu: Menu
    answers: tuple[Answer, ...]

    def __post_init__(self) -> None:
        whole = sum(answer.probability for answer in self.answers)
        if abs(whole - 1) > 1e-9:
            raise DesignError(
                f"question {self.id}: the probabilities of its answers sum to {whole:g}, not to 1"
            )
        for name in {a.label for a in self.answers} | {a.second for a in self.answers}:
            if name is not None:
                self.menu.index(name)

    @property
    def language(self) -> str:
        """The first two letters of `id`."""
        return self.id[:2]


def load_questions() -> tuple[Question, ...]:
    """The shipped questions.

    >>> found = load_questions()
    >>> len(found), sum(len(q.answers) for q in found)
    (74, 150)
    """
    data = tomllib.loads(data_file("pivots", "answers.toml").read_text("utf-8"))
    with warnings.catch_warnings():
        # Names that begin alike are among what is tested.
        warnings.simplefilter("ignore", MenuWarning)
        menus = {
            name: Menu(
                tuple(
                    Alternative(id, forms[0], tuple(forms), outside=id == _OUTSIDE)
                    for id, *forms in entries
                )
            )
            for name, entries in data["menus"].items()
        }
    return tuple(
        Question(
            q["id"],
            q["feature"],
            menus[q["menu"]],
            tuple(
                Answer(
                    a["text"],
                    a["p"],
                    a["label"] or None,
                    a["second"] or None,
                    a.get("unsure", False),
                )
                for a in q["answers"]
            ),
        )
        for q in data["question"]
    )


def pieces(text: str) -> tuple[str, ...]:
    """The parts of a text as tokens might be: up to four letters of a word, one Chinese character.

    >>> pieces("I choose Pampers.")
    ('I', ' choo', 'se', ' Pamp', 'ers', '.')
    >>> "".join(pieces("我选好奇。"))
    '我选好奇。'
    """
    return tuple(_PIECE.findall(text))
