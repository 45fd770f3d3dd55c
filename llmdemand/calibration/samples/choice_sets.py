"""Choice sets in long format: sorted, numbered, complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.samples.entries import shown
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Codes
from llmdemand.modeling.sample.sample import codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CASE", "case_starts", "check_sums", "sorted_cases"]

#: Column that numbers the choice sets of sorted rows.
CASE = "case of calibration"
_SUM = 1e-6


def sorted_cases(
    frame: pd.DataFrame, ids: Any, case: str | None, alternative: str
) -> tuple[pd.DataFrame, Any, Codes]:
    """Rows sorted by case and alternative, with a column that numbers the cases.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per case and alternative.
    ids : (R,) array
        Respondent of each row.
    case : str or None
        Column of the tasks of a respondent; without one there is one case per respondent.
    alternative : str
        Column of alternatives.

    Returns
    -------
    pandas.DataFrame, array, int array
        The rows with `CASE` and text labels, their respondents, and where they stood.

    Raises
    ------
    DesignError
        If an alternative is in a case twice.
    """
    import pandas as pd

    keys = pd.DataFrame({"id": ids})
    keys["case"] = frame[case].to_numpy() if case else 0
    group, _ = codes(keys, ["id", "case"])
    labels = frame[alternative].astype(str).to_numpy(object)
    order = np.lexsort((labels, group))
    found = frame.iloc[order].reset_index(drop=True).assign(**{CASE: group[order]})
    found[alternative] = labels[order]
    twice = found.duplicated([CASE, alternative])
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        hint = "" if case else "; if respondents answered several tasks, name them with case=..."
        raise DesignError(
            f"respondent {shown(np.asarray(ids)[order][row])!r} has alternative "
            f"{found[alternative].iloc[row]!r} twice{hint}"
        )
    return found, np.asarray(ids)[order], order


def case_starts(frame: pd.DataFrame) -> Codes:
    """First row of each case; each row is one where cases have no numbers."""
    if CASE not in frame.columns:
        return np.arange(len(frame))
    group = frame[CASE].to_numpy()
    return np.flatnonzero(np.append(True, group[1:] != group[:-1])).astype(np.intp)


def check_sums(frame: pd.DataFrame, belief: str, where: str) -> None:
    """Refuse choice sets whose beliefs do not sum to 1."""
    total = np.add.reduceat(frame[belief].to_numpy(np.float64), case_starts(frame))
    bad = np.flatnonzero(np.abs(total - 1) > _SUM)
    if bad.size:
        raise DesignError(
            f"beliefs of {bad.size:,} of {len(total):,} choice sets of the {where} do not sum to 1 "
            f"(one sums to {total[bad[0]]:g}): give one belief for each alternative of the set, "
            "not buying included; nothing is renormalised"
        )
