"""What a reader has to know of tastes besides their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmdemand.modeling.arrays import Codes
from llmdemand.modeling.batch.newton import Bools
from llmdemand.modeling.tastes.fitting import EXACT, Entering, Fitted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["notes_on"]

_FEW = 30  # respondents
_NAMED = 5  # respondents whose ids a note gives
_UNRELIABLE = 0.6  # below, spreads came out 8 % too small and more in simulations


def notes_on(
    table: pd.DataFrame,
    fitted: Fitted,
    ids: tuple[str, ...],
    able: Bools,
    exists: Bools,
    separation: Entering,
    *,
    toss: bool,
) -> list[str]:
    """What a reader has to know of the numbers."""
    count = len(ids)
    notes: list[str] = []
    if not fitted.converged:
        notes.append("the search did not end: numbers are those of its last step")
    few, lost = np.flatnonzero(~able), np.flatnonzero(able & ~exists)
    how = (
        "by what their answers say at the law's coefficients"
        if separation == "law"
        else "by a bias-reduced estimate"
    )
    if len(lost):
        notes.append(
            f"{len(lost)} of {count} respondents have no finite estimate of their own "
            f"({_listed(ids, lost)}): they enter {how}"
        )
    if len(few):
        notes.append(
            f"{len(few)} of {count} respondents were asked at too few prices for an estimate of "
            f"their own ({_listed(ids, few)}): they enter with what their answers say"
        )
    if fitted.noise <= EXACT:
        notes.append(
            "answers obey the model exactly: what little they scatter by is rounding, and so are "
            "the errors of the respondents' own coefficients"
        )
    if count < _FEW:
        notes.append(f"{count} respondents: a spread is known roughly below {_FEW} or so")
    zero = table.index[table["sd_lower"] == 0].tolist()
    if zero:
        notes.append(
            f"no spread at all of {', '.join(zero)} is among what the data allow: its interval "
            "begins at 0"
        )
    if fitted.law.boundary:
        notes.append("some combination of coefficients has no spread: the law is at its boundary")
    weak = table.index[table["reliability"] < _UNRELIABLE].tolist()
    if weak:
        notes.append(
            f"{'choices' if toss else 'beliefs'} are noisy: less than {100 * _UNRELIABLE:g} % of "
            f"the spread of {', '.join(weak)} rests on the respondents' own answers; means and "
            "spreads come out too small in size then (bias() says by how much): this describes, "
            "for the estimate use a mixed logit"
        )
    skewed = table.index[(table["skewness"].abs() > 3 * table["skewness_se"])].tolist()
    if skewed:
        notes.append(
            f"tastes are skewed ({', '.join(skewed)}): the normal law has their mean and spread, "
            "not their shape"
        )
    return notes


def _listed(ids: tuple[str, ...], which: Codes) -> str:
    named = [ids[int(i)] for i in which[:_NAMED]]
    return ", ".join(named) + (f" and {len(which) - _NAMED} more" if len(which) > _NAMED else "")
