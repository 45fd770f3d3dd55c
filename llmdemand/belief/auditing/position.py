"""Whether choices follow the place in which options stand, of a panel and of its judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmdemand.core.panel import JUDGED, Panel
from llmdemand.core.shards.shards import AnyPanel, Tally, totalled
from llmdemand.scale.sums import Sums

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["judge_position", "judge_tallies", "position", "positions"]

_LOCK = 0.95
_UNTOLD = "whether it reads the answer or follows that order cannot be told"


def positions(chosen: pd.DataFrame) -> Sums:
    """What `position` is made of: ``hits, rows, first``, of rows that have a choice.

    Parameters
    ----------
    chosen : pandas.DataFrame
        With ``order`` and ``choice``.
    """
    first = chosen["order"].map({o: str(o).split(">")[0] for o in chosen["order"].unique()})
    hits = int((chosen["choice"] == first).sum())
    return Sums(hits=hits, rows=len(chosen), first=frozenset(first))


def position(found: Sums) -> tuple[int, int, bool]:
    """How far choices follow the position in which alternatives are named.

    Parameters
    ----------
    found : Sums
        See `positions`.

    Returns
    -------
    hits, orders : int, int
        Choices of the alternative named first, and alternatives that are ever first.
    locked : bool
        Whether hits exceed 95 % of the rows although more than one is named first.
    """
    hits, orders = found["hits"], len(found["first"])
    return hits, orders, orders > 1 and hits > _LOCK * found["rows"]


def judge_position(panel: AnyPanel) -> str:
    """How often a judge chose the option that it was shown first, in words; empty without one.

    Counted are different texts that it reads as a choice: each is asked once, however many
    runs have it. That it is locked to the first place follows the rule of `position`, and
    cannot be told where the same option was first in every text.
    """
    if panel.provenance.get("final_reader") != "judge":
        return ""
    read = totalled(_judged, panel)
    if read.unshown:
        return "the judge was shown the options in the menu's order in every text: " + _UNTOLD
    hits, first, locked = position(positions(read.rows.assign(choice=read.rows["final_choice"])))
    said = f"the judge chose the option that it was shown first in {hits} of {len(read.rows)} texts"
    if first < 2:
        return f"{said}, the same option in all of them: {_UNTOLD}"
    lock = "; POSITION-LOCKED: read no estimate from its readings" if locked else ""
    return f"{said}, {first} shown first in turn{lock}"


def judge_tallies(panel: AnyPanel) -> tuple[Tally, ...]:
    """What `judge_position` counts in each part, for `tallied`."""
    return (_judged,) if panel.provenance.get("final_reader") == "judge" else ()


@dataclass(frozen=True)
class _Judged:
    """Different texts that a judge has read: not the texts, but what tells them apart."""

    rows: pd.DataFrame
    unshown: bool = False

    def __add__(self, other: _Judged) -> _Judged:
        import pandas as pd

        rows = pd.concat([self.rows, other.rows]).drop_duplicates(["text", "order"])
        return _Judged(rows, self.unshown or other.unshown)


def _judged(panel: Panel) -> _Judged:
    import pandas as pd

    frame = panel.frame.dropna(subset=["final_choice"])
    if JUDGED not in frame:
        return _Judged(pd.DataFrame(columns=["text", "order", "final_choice"]), len(frame) > 0)
    rows = pd.DataFrame(
        {
            "text": pd.util.hash_array(frame["text"].astype(object).to_numpy(), categorize=False),
            "order": frame[JUDGED].astype(object).to_numpy(),
            "final_choice": frame["final_choice"].astype(object).to_numpy(),
        }
    )
    return _Judged(rows.drop_duplicates(["text", "order"]))
