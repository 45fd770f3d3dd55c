"""The parts of a report that a panel allows, and sentences on those that it does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import DesignError
from llmdemand.modeling.estimation.estimate import SeparationWarning, VarianceWarning
from llmdemand.reporting.measures.quality import shortcomings, why_nothing

__all__ = ["BELIEF", "CHOICE", "Parts"]

#: Names of the two fits in a report's problems.
BELIEF, CHOICE = "demand from belief", "demand from choice"

Part = TypeVar("Part")


class Parts:
    """Makes the parts that a panel allows, and remembers what it does not allow."""

    def __init__(self, panel: AnyPanel) -> None:
        self._panel = panel
        self._why, self._hopeless = why_nothing(panel)
        self._no_belief = bool(panel.statuses["no_logprobs"])
        self._missing: dict[str, list[str]] = {}  # names of parts by reason
        self._told: list[str] = []

    def make(self, name: str, build: Callable[[], Part], *, drawn: bool = False) -> Part | None:
        """The part, or None; parts that are `drawn` many times need a reaction to look for."""
        if drawn and self._hopeless:
            self._without(name, self._why)
            return None
        caught: list[warnings.WarningMessage] = []
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                return build()
        except (DesignError, np.linalg.LinAlgError) as error:
            if name == BELIEF and not self._hopeless:
                self._why, self._hopeless = str(error), True
            # Of choice alone the lack of log-probabilities is no reason.
            own = name == CHOICE and self._no_belief
            self._without(name, str(error) if own else self._why or str(error))
            return None
        finally:
            self._tell(caught)  # outside: what is warned of again is not caught once more

    def _without(self, name: str, reason: str) -> None:
        self._missing.setdefault(reason, []).append(name)

    def _tell(self, caught: list[warnings.WarningMessage]) -> None:
        for warning in caught:
            if issubclass(warning.category, SeparationWarning | VarianceWarning):
                text = _sentence(str(warning.message))
                self._told += [] if text in self._told else [text]
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )

    def problems(self) -> tuple[str, ...]:
        """Sentences: what is missing, then what should not be trusted."""
        both = {CHOICE: "choice"}  # "demand from belief, choice" where both are missing
        missing = [
            f"No {listed([both.get(n, n) if BELIEF in names else n for n in names])}: "
            f"{_sentence(reason, capital=False)}"
            for reason, names in self._missing.items()
        ]
        return (*missing, *self._told, *shortcomings(self._panel))


def listed(names: Sequence[str]) -> str:
    """``a, b or c``.

    >>> listed(["a", "b", "c"])
    'a, b or c'
    """
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _sentence(text: str, *, capital: bool = True) -> str:
    """With a full stop, and a capital letter if asked."""
    text = text[:1].upper() + text[1:] if capital else text
    return text if text.endswith((".", "!", "?")) else f"{text}."
