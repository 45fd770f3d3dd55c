"""Which belief belongs to which human answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.samples.choice_sets import CASE
from llmdemand.calibration.samples.entries import shown
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["own_beliefs", "unmatched"]


def own_beliefs(
    h: pd.DataFrame,
    p: pd.DataFrame,
    people_h: Codes,
    people_p: Codes,
    cell_h: Codes,
    cell_p: Codes,
    start_h: Codes,
    start_p: Codes,
    is_human: Any,
    belief: str,
) -> tuple[Array, Any]:
    """Each human row's mean belief over the LLM's answers as that human, and who has one."""
    own = np.flatnonzero(is_human[people_p])
    cells = int(max(cell_h.max(), cell_p.max())) + 1
    key_h = _row_keys(people_h, cell_h, start_h, cells, h)
    key_p = _row_keys(people_p, cell_p, start_p, cells, p)[own]
    known, inverse, count = np.unique(key_p, return_inverse=True, return_counts=True)
    total = np.bincount(inverse, p[belief].to_numpy(np.float64)[own], len(known))
    place = np.searchsorted(known, key_h)
    inside = place < len(known)
    hit = np.zeros(len(h), bool)
    hit[inside] = known[place[inside]] == key_h[inside]
    f = np.full(len(h), np.nan)
    f[hit] = (total / count)[place[hit]]
    return f, np.logical_and.reduceat(hit, start_h)


def _row_keys(people: Codes, cell: Codes, start: Codes, cells: int, frame: pd.DataFrame) -> Any:
    sizes = np.diff(np.append(start, len(frame)))
    key = people.astype(np.int64) * cells + np.repeat(cell, sizes)
    # Within a cell the alternatives of a case always stand in the same order.
    place = np.arange(len(frame)) - np.repeat(start, sizes)
    return key * (int(sizes.max()) + 1) + place if CASE in frame.columns else key


def unmatched(
    h: pd.DataFrame,
    h_ids: Any,
    p_ids: Any,
    is_human: Any,
    people_p: Codes,
    found: Any,
    start: Codes,
    cluster: str,
    rows: pd.DataFrame,
    begin: Codes,
    cell: Codes,
    na: str,
) -> tuple[pd.DataFrame, str]:
    """What to say of humans without a belief of their own; under ``drop`` they leave."""
    first = int(np.flatnonzero(~found)[0])
    who = shown(h_ids[start[first]])
    if not is_human[people_p].any():
        raise DesignError(
            f"no {cluster!r} is on both sides: the humans have {who!r}, the beliefs "
            f"{shown(p_ids[0])!r}, ...; the LLM has to answer as each human, under the same id"
        )
    missing = int((~found).sum())
    if na == "raise" or missing == len(found):
        asked = is_human[people_p] & (p_ids == who)
        end = begin[cell[first] + 1] if cell[first] + 1 < len(begin) else len(rows)
        part = rows.iloc[begin[cell[first]] : end]
        at = "; ".join(
            ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in r.items())
            for r in part.to_dict("records")
        )
        why = (
            "the LLM answered as that respondent only with other values"
            if asked.any()
            else "the LLM did not answer as that respondent"
        )
        raise DesignError(
            f"{missing:,} of {len(found):,} human answers have no belief of their own (the first: "
            f"respondent {who!r}, {at}; {why}): ask it, or leave those answers out with na='drop'"
        )
    sizes = np.diff(np.append(start, len(h)))
    return (
        h[np.repeat(found, sizes)].reset_index(drop=True),
        f"{missing:,} of {len(found):,} human answers without a belief of their own left out",
    )
