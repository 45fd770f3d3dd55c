"""What one run says about the choice."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["FAILED", "STOPPED", "Belief"]

#: Finish reason of answers that a backend ended where their choice was settled.
STOPPED = "pivot"
#: Finish reason of requests that failed: nothing came back.
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Belief:
    """What one run says about the choice, and how sure it was.

    Attributes
    ----------
    status : str
        One of `llmdemand.core.panel.STATUSES`.
    choice : str or None
        Id of the alternative that the pivot token settles; for status
        ``unresolved_at_end`` the one that the end of the text settles.
    belief : tuple of float
        Probability of each alternative at the pivot, in menu order, sum 1;
        NaN where there is no pivot.
    lower, upper : tuple of float
        Bounds of each belief when candidates outside the list are counted for
        or against it.
    pivot_index : int
        Position of the pivot token, -1 where there is none.
    pivot_token : str
        The pivot token's text.
    decided_mass, undecided_mass, tail_mass : float
        Probability at the pivot that decides for any alternative, that is
        listed but decides nothing, and that is not listed or cannot be placed
        (half a character without its bytes, a vocabulary's glyphs); sum 1. They
        are the reported probabilities, before any change of temperature.
    pivot_listed : bool or None
        Whether the pivot token is itself among the listed candidates; None where
        there is no pivot or no list. Belief is that of the list in either case.
    reason : str
        Why there is no belief, in words, where the status does not say it all.
    later : tuple of (int, tuple of float)
        The names after the pivot in a whole answer: the alternative that each settles, by its
        place in the menu, and belief there, as at a pivot; only those that are listed.
    final : str or None
        The alternative that the whole text decides for last; None if the word
        that began at the pivot became another one and nothing else was named, or
        if the answer was stopped at the pivot.
    mismatch : bool or None
        Whether `final` is not `choice`; None if the answer was stopped at the
        pivot, so that nothing is known of it.
    """

    status: str
    choice: str | None
    belief: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    pivot_index: int = -1
    pivot_token: str = ""
    decided_mass: float = math.nan
    undecided_mass: float = math.nan
    tail_mass: float = math.nan
    final: str | None = None
    mismatch: bool | None = False
    pivot_listed: bool | None = None
    reason: str = ""
    later: tuple[tuple[int, tuple[float, ...]], ...] = ()
