"""What an automaton remembers of the text so far, and questions about it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "BEFORE_ANCHOR",
    "LIST",
    "LIST_COMMA",
    "LIST_NAMED",
    "NO_FRAME",
    "OPEN",
    "PHRASE",
    "SCENE_CLAUSE",
    "THINKING",
    "Form",
    "State",
    "in_quote",
    "in_word",
    "progress",
]

NO_FRAME, SCENE_CLAUSE, PHRASE, LIST, LIST_NAMED, LIST_COMMA = range(6)
# From THINKING on: one gate for every pair of tags that a thought may stand in.
OPEN, BEFORE_ANCHOR, THINKING = range(3)


class Form(NamedTuple):
    """One way of writing an alternative."""

    text: str
    alternative: int
    whole: bool
    letter: bool
    number: bool  # begins with a number
    bare: bool  # is a number


class State(NamedTuple):
    """Everything that the meaning of the next byte depends on."""

    pending: bytes = b""  # the beginning of a UTF-8 character
    before: str = " "  # the last character, folded
    word: str | None = ""  # the current word while it may be one that matters, else None
    active: tuple[tuple[int, int], ...] = ()  # forms begun: (form, characters matched)
    settled: int = -1  # form that is complete while a longer one is alive
    negated: bool = False
    frame: int = NO_FRAME
    pair: int = 0  # after "instead", "price" or "no", which the next word completes
    pointed: bool = False  # an option word or an opening bracket comes right before
    picked: bool = False  # a word such as "pick" comes right before
    amount: int = 0  # after a currency sign, or within a decimal number
    initial: bool = True  # at the beginning of a sentence
    field: int = 0  # where in a JSON object
    key: str = ""  # the key there, or that its value is not the choice
    gate: int = OPEN  # whether the answer has begun
    seen: str = ""  # how far an anchor or a thinking tag has been read


def in_word(state: State) -> bool:
    """Whether the last character belongs to a word that may still go on."""
    return state.before.isalnum() or in_quote(state)


def in_quote(state: State) -> bool:
    """Whether the last character is an apostrophe within a word ("I'd")."""
    return state.before == "'" and state.word != ""


def progress(text: str, targets: tuple[str, ...]) -> str:
    """The longest end of `text` with which a target begins."""
    for start in range(len(text)):
        if any(target.startswith(text[start:]) for target in targets):
            return text[start:]
    return ""
