"""Humans and beliefs joined: who is who, which belief belongs to which answer, who is the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.calibration.samples.choice_sets import case_starts, check_sums, sorted_cases
from llmdemand.calibration.samples.entries import respondent_ids
from llmdemand.calibration.samples.matching import Told, as_often, own_beliefs, unmatched
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.sample.sample import codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Joined", "join"]


@dataclass(frozen=True)
class Joined:
    """Rows of humans, each with a belief, and rows of the pool; respondents and cells as numbers.

    Attributes
    ----------
    h, p : pandas.DataFrame
        Humans and pool; the rows of a case lie side by side.
    f : (R,) array
        Belief of each row of `h`: the mean of the LLM's answers as that respondent, in that cell.
    people_h, people_p : int arrays
        Respondent of each row, one numbering for both sides.
    start_h, start_p : int arrays
        First row of each case.
    cell_h, cell_p : int arrays
        Cell of each case: equal numbers mean equal variables.
    first_h, first_p : int arrays
        Row of `rows` at which a case of that cell begins.
    rows : pandas.DataFrame
        The variables of all cells.
    begin : int array
        First row of each cell in `rows`.
    keep_h, keep_p : int arrays
        Where the rows stood in the frames that were joined.
    keep_as_humans : int array
        Of the LLM's answers as humans.
    whole : bool
        Whether every human answer is here.
    told : pair of Told
        What the LLM said as humans and as the pool, as often on either side.
    """

    h: pd.DataFrame
    p: pd.DataFrame
    f: Array
    people_h: Codes
    people_p: Codes
    start_h: Codes
    start_p: Codes
    cell_h: Codes
    cell_p: Codes
    first_h: Codes
    first_p: Codes
    rows: pd.DataFrame
    begin: Codes
    keep_h: Codes
    keep_p: Codes
    keep_as_humans: Codes
    whole: bool
    told: tuple[Told, Told]


def join(
    h: pd.DataFrame,
    p: pd.DataFrame,
    variables: Sequence[str],
    *,
    cluster: str,
    belief: str,
    own: bool,
    cases: tuple[str | None, str | None] = (None, None),
    alternative: str | None = None,
    na: Literal["raise", "drop"] = "raise",
    dropped: list[str] | None = None,
    everyone: bool = False,
) -> Joined:
    """Join complete rows of humans and of beliefs; all of `calibration` does it here.

    Parameters
    ----------
    h, p : pandas.DataFrame
        Humans and the LLM's answers, without missing values.
    variables : sequence of str
        What, with the respondent, says which belief belongs to which answer: equal values are a
        cell.
    cluster, belief : str
        Columns of respondents and of beliefs.
    own : bool
        Whether the humans bring their beliefs in a column of that name.
    cases : pair of str or None
        Columns of the choice tasks of humans and LLM, of choice sets.
    alternative : str, optional
        Column of alternatives, of choice sets.
    na : str
        ``raise``, or ``drop`` human answers without a belief.
    dropped : list of str, optional
        What is left out is said here.
    everyone : bool
        Whether the pool are all of the LLM's rows, those of the humans included.

    Raises
    ------
    DesignError
        Respondents under other names on the two sides, humans without a belief of their own,
        no LLM respondents beyond the humans.
    """
    h_ids, p_ids = respondent_ids(h[cluster], p[cluster])
    keep_h, keep_p = np.arange(len(h)), np.arange(len(p))
    if alternative is not None:
        h, h_ids, keep_h = sorted_cases(h, h_ids, cases[0], alternative)
        p, p_ids, keep_p = sorted_cases(p, p_ids, cases[1], alternative)
        for name, frame in (("humans", h), ("beliefs", p)):
            if belief in frame:
                check_sums(frame, belief, name)
    both, first = codes(_frame(np.concatenate([h_ids, p_ids])), ["id"])
    people_h, people_p = both[: len(h)], both[len(h) :]
    start_h, start_p = case_starts(h), case_starts(p)
    cell_h, cell_p, rows, begin, first_h, first_p = _cells(
        h, p, start_h, start_p, variables, alternative
    )
    is_human = np.zeros(len(first), bool)
    is_human[people_h] = True
    row_h, row_p = _rows(first_h, start_h, len(h)), _rows(first_p, start_p, len(p))
    f, found = own_beliefs(
        (people_h, row_h, start_h), (people_p, row_p), p[belief], h[belief] if own else None
    )
    if not found.all():
        h, lost = unmatched(
            h, h_ids, p_ids, is_human, people_p, found, start_h, cluster, rows, begin, cell_h, na
        )
        if dropped is not None:
            dropped.append(lost)
        kept = np.repeat(found, np.diff(np.append(start_h, len(f))))
        f, people_h, keep_h, row_h = f[kept], people_h[kept], keep_h[kept], row_h[kept]
        cell_h, first_h, start_h = cell_h[found], first_h[found], case_starts(h)
    pool = ~is_human[people_p] | everyone
    if not pool.any():
        raise DesignError(
            "no LLM respondents beyond the humans: the LLM answered as those alone, and there is "
            f"nothing to gain from. Ask it as further respondents, each with a {cluster!r} of "
            "their own"
        )
    told = as_often((people_h, row_h), f if own else None, (people_p, row_p), p[belief], pool)
    of_pool = pool[start_p]
    p = p[pool].reset_index(drop=True)
    return Joined(
        h,
        p,
        f,
        people_h,
        people_p[pool],
        start_h,
        case_starts(p),
        cell_h,
        cell_p[of_pool],
        first_h,
        first_p[of_pool],
        rows,
        begin,
        keep_h,
        keep_p[pool],
        keep_p[is_human[people_p]],
        bool(found.all()),
        told,
    )


def _frame(ids: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"id": ids})


def _rows(first: Codes, start: Codes, size: int) -> Codes:
    """Row of the cells that each row of a side belongs to."""
    sizes = np.diff(np.append(start, size))
    # Within a cell the alternatives of a case always stand in the same order.
    return np.asarray(np.repeat(first - start, sizes) + np.arange(size), np.intp)


def _cells(
    h: pd.DataFrame,
    p: pd.DataFrame,
    start_h: Codes,
    start_p: Codes,
    named: Sequence[str],
    alternative: str | None,
) -> tuple[Codes, Codes, pd.DataFrame, Codes, Codes, Codes]:
    """Cells of equal variables: their numbers on both sides, their rows, where these begin."""
    import pandas as pd

    columns = [*([alternative] if alternative else []), *named]
    both = pd.concat([h[columns], p[columns]], ignore_index=True)
    start = np.concatenate([start_h, len(h) + start_p])
    row_code, _ = codes(both, columns)
    if alternative is None:
        cell, first = codes(both, columns)
    else:
        sizes = np.diff(np.append(start, len(both)))
        place = np.arange(len(both)) - np.repeat(start, sizes)
        wide = np.full((len(start), int(sizes.max())), -1, np.int64)
        wide[np.repeat(np.arange(len(start)), sizes), place] = row_code
        names = [f"r{k}" for k in range(wide.shape[1])]
        cell, first = codes(pd.DataFrame(wide, columns=names), names)
    # Cells in the order of their variables, so that tables read well.
    begin_all = start[first]
    ends = np.append(start, len(both))
    pieces = [np.arange(ends[c], ends[c + 1]) for c in first] if alternative else []
    order = (
        np.lexsort([both[v].iloc[begin_all].to_numpy() for v in reversed(named)])
        if named and not alternative and all(both[v].dtype.kind in "fiub" for v in named)
        else np.arange(len(first))
    )
    rank = np.empty(len(first), np.intp)
    rank[order] = np.arange(len(first))
    cell = rank[cell]
    if alternative:
        chosen = np.concatenate([pieces[c] for c in order])
        begin = np.cumsum([0, *(len(pieces[c]) for c in order)])[:-1].astype(np.intp)
    else:
        chosen, begin = begin_all[order], np.arange(len(first))
    rows = both.iloc[chosen].reset_index(drop=True)
    at = begin[cell]
    n = len(start_h)
    return cell[:n], cell[n:], rows, begin, at[:n], at[n:]
