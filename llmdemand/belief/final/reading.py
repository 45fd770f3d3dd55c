"""What every reader of whole answers takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from llmdemand.core.menu import Menu

__all__ = ["FinalChoice", "Reader", "Setting"]


@dataclass(frozen=True, slots=True)
class FinalChoice:
    """What a reader makes of a whole answer.

    Attributes
    ----------
    choice : str or None
        Id of the alternative that the answer chooses; None if it is unread: the answer
        chooses nothing, several, or the reader cannot tell.
    reason : str
        Why, in a word: ``decision`` (a sentence that decides), ``verdict`` ("Answer: ..."),
        ``name`` (the name by itself), ``json``, ``judge``, ``label``; of an unread answer
        ``undecided``, ``conflict``, ``refusal``, ``cut``, ``thought`` or ``empty``.
    evidence : str
        The words that say so; empty where there are none.
    """

    choice: str | None
    reason: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a reader may know of an answer besides its text.

    Attributes
    ----------
    run_id : str
        The run, for readers that look it up.
    order : tuple of str
        Ids in the order in which the prompt named them ("the first option").
    prices : mapping of str to float, optional
        Prices by id ("the cheaper one").
    anchors : tuple of str
        Texts after the last of which the answer stands ("Answer:").
    answer_first : bool
        Whether the prompt asks for the choice as the first word.
    cut : bool
        Whether the answer was cut off, at the most tokens for instance.
    """

    run_id: str = ""
    order: tuple[str, ...] = ()
    prices: Mapping[str, float] | None = None
    anchors: tuple[str, ...] = ()
    answer_first: bool = False
    cut: bool = False


class Reader(Protocol):
    """Anything that reads the choice of a whole answer: rules, a model, a person.

    A reader may look ahead, and may be wrong: corrected belief is the reader's own share of
    choices, without bias. It abstains rather than guesses.
    """

    @property
    def name(self) -> str:
        """``rules``, ``judge`` or ``label``."""
        ...

    def read(self, text: str, menu: Menu, setting: Setting) -> FinalChoice:
        """The choice of one answer."""
        ...
