"""Whose choice measures are of: that of the whole answer, or that of its pivot."""

from __future__ import annotations

from llmdemand.core.panel import Panel
from llmdemand.errors import choose
from llmdemand.modeling.outcomes.frames import Reading, default_reading

__all__ = ["NAMES", "whose"]

#: In words, by reading.
NAMES = {"final": "the choice of the whole answer", "pivot": "the choice at the pivot"}


def whose(panel: Panel, reading: Reading | None) -> Reading:
    """The reading that was asked for, or the panel's own.

    Raises
    ------
    UsageError
        For an unknown one.
    """
    if reading is None:
        return default_reading(panel)
    choose(reading, Reading, "reading")
    return reading
