"""The final choice of a study's answers, as panels hold it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from llmdemand.belief.final.reading import FinalChoice, Setting
from llmdemand.belief.final.rules import Rules
from llmdemand.belief.pivot.found import STOPPED
from llmdemand.belief.tokens import Response
from llmdemand.core.study import Study

__all__ = ["FinalColumns"]

_SHORT = 300  # characters; longer texts hardly ever come twice


class FinalColumns:
    """Reads whole answers of one study by rules; short texts that come again only once.

    Parameters
    ----------
    study : Study
        Its menu and answer format.

    Examples
    --------
    >>> from llmdemand.core.study import load_study
    >>> columns = FinalColumns(load_study("pampers"))
    >>> columns(Response((), "Pampers? No, I'd take Huggies."), (), {}, "pampers")
    ('huggies', 'read', True)
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._read = lru_cache(maxsize=4096)(self._now)

    def __call__(
        self,
        response: Response,
        order: tuple[str, ...],
        prices: Mapping[str, float],
        choice: str | None,
    ) -> tuple[str | None, str, bool | None]:
        """``final_choice, final_status, mismatch`` of one answer.

        Parameters
        ----------
        response : Response
            The answer.
        order, prices
            What the prompt showed.
        choice : str or None
            The choice at the pivot, with which the final one is compared.
        """
        if response.finish_reason == STOPPED:
            return None, "stopped", None
        read = self._read if len(response.text) < _SHORT else self._now
        cut = response.finish_reason == "length"
        final = read(response.text, order, tuple(prices.items()), cut).choice
        if final is None or response.refusal:
            return None, "unread", None
        return final, "read", None if choice is None else final != choice

    def reader(
        self, order: tuple[str, ...], prices: Mapping[str, float]
    ) -> Callable[[str], str | None]:
        """Reads the whole texts that may follow one prompt."""
        return lambda text: self._read(text, order, tuple(prices.items()), False).choice

    def _now(
        self,
        text: str,
        order: tuple[str, ...],
        prices: tuple[tuple[str, float], ...],
        cut: bool,
    ) -> FinalChoice:
        study = self._study
        setting = Setting("", order, dict(prices), study.anchors, study.answer_first, cut)
        return Rules().read(text, study.menu, setting)
