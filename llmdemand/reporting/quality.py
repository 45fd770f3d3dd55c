"""What the answers are worth before anything is estimated from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmdemand.belief.audit import position
from llmdemand.core.panel import Panel

__all__ = ["Quality", "quality"]


@dataclass(frozen=True)
class Quality:
    """Data quality of a panel.

    Attributes
    ----------
    statuses : dict of str to int
        Runs by status, those that occur.
    readable : float
        Share of runs with status ``ok``.
    decided_mass, tail_mass : float
        Mean over ok runs of the probability that decides at the pivot, and of
        that outside the listed candidates.
    mismatch : float
        Share of the whole ok answers whose text names another alternative last, or
        none.
    whole : int
        Ok runs whose answer was not stopped at its pivot.
    order_effect : float
        Mean belief in the focal alternative when it is named first, minus when
        it is not; NaN where the order does not vary.
    first_chosen : float
        Share of ok runs that choose the alternative named first.
    position_locked : bool
        Whether that share exceeds 95 % although the order varies.
    """

    statuses: dict[str, int]
    readable: float
    decided_mass: float
    tail_mass: float
    mismatch: float
    whole: int
    order_effect: float
    first_chosen: float
    position_locked: bool


def quality(panel: Panel) -> Quality:
    """Summarise a panel's statuses, masses and order effects; never raises on bad rows."""
    ok = panel.usable
    statuses = {str(s): int(n) for s, n in panel.statuses.items() if n}
    if ok.empty:
        nan = float("nan")
        return Quality(statuses, 0.0, nan, nan, nan, 0, nan, nan, False)
    first = ok["order"].str.split(">").str[0]
    hits, _, locked = position(ok)
    focal_first = (first == panel.study.focal).to_numpy()
    belief = ok[f"belief_{panel.study.focal}"].to_numpy(float)
    varies = 0 < focal_first.mean() < 1
    effect = belief[focal_first].mean() - belief[~focal_first].mean() if varies else np.nan
    return Quality(
        statuses,
        len(ok) / len(panel),
        float(ok["decided_mass"].mean()),
        float(ok["tail_mass"].mean()),
        float(ok["mismatch"].dropna().astype(float).mean()),
        int(ok["mismatch"].notna().sum()),
        float(effect),
        hits / len(ok),
        locked,
    )
