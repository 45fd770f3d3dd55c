"""Readings of a panel: whose choice it is, or which measure its probabilities are."""

from __future__ import annotations

from typing import Literal

from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.core.study import Study
from llmdemand.errors import DesignError, UsageError, choose

__all__ = ["WHOSE", "Reading", "check_reading", "needs_choices", "own_reading"]

#: Whose choice: that of the ``final`` word of the whole answer, or that of its ``pivot``. Panels of
#: ``stated`` probabilities and of ``similarity`` have no pivot: their reading is their measure.
Reading = Literal["final", "pivot", "stated", "similarity"]
#: In words, by reading.
WHOSE = {
    "final": "the choice of the whole answer",
    "pivot": "the choice at the pivot",
    "stated": "stated probabilities, which are not model belief",
    "similarity": "similarity to anchor statements, which is not model belief",
}


def own_reading(panel: AnyPanel | Study) -> Reading | None:
    """The reading of panels whose probabilities are no log-probabilities; None of others."""
    found: dict[str, Reading] = {"stated": "stated", "similarity": "similarity"}
    return found.get((panel if isinstance(panel, Study) else panel.study).measure)


def check_reading(panel: AnyPanel | Study, reading: str) -> None:
    """Raise for a reading that there is not, or that is not of the panel's measure.

    Raises
    ------
    UsageError
    """
    choose(reading, Reading, "reading")
    own = own_reading(panel)
    if own is None and reading in ("stated", "similarity"):
        raise UsageError(
            f"reading={reading!r} is for panels of that measure, and this one is of "
            f"{panel.measure!r}: leave it out"
        )
    if own is not None and reading != own:
        raise UsageError(
            f"reading={reading!r}: this panel's measure is {own!r}, which is neither corrected "
            "nor read at a pivot: leave it out"
        )


def needs_choices(panel: Panel, what: str) -> None:
    """Raise where a panel of another measure has no choices beside its probabilities.

    Raises
    ------
    DesignError
        For stated probabilities, and texts of which no choice is read.
    """
    if own_reading(panel) is not None and panel.usable["choice"].isna().all():
        raise DesignError(
            f"{what} needs choices, and the panel has none: its measure is {panel.measure!r}; ask "
            "the same study for choices (measure 'choice' or 'logprob') and see check_coherence, "
            "or `llmdemand lab measures`"
        )
