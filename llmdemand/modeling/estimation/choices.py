"""Choice situations: from a formula and a long table to rows of alternatives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes, sums
from llmdemand.modeling.estimation.multinomial import base_place, check_sums
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.regressors import check_differences
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.sample.columns import Data, opened, table
from llmdemand.modeling.sample.designs import ChoiceDesign
from llmdemand.modeling.sample.formula import (
    Part,
    apart,
    evaluate,
    offset_note,
    part,
    split,
    variables,
)
from llmdemand.modeling.sample.language import read
from llmdemand.modeling.sample.sample import (
    NA,
    codes,
    column_names,
    complete,
    require,
    used_levels,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Choices", "choices"]

_NO_CONSTANT = re.compile(r"-\s*1\s*$|\+\s*0\s*$|^\s*0\s*\+|^\s*-\s*1\s*\+")
_NOTHING = Part("0", (), None)


@dataclass(frozen=True)
class Choices:
    """Choice situations, and where they come from.

    Attributes
    ----------
    cases : Cases
        The situations, those of a respondent side by side where there are respondents.
    design : ChoiceDesign
        From tables to regressors.
    frame : pandas.DataFrame
        The sample, row by row as in `cases`.
    outcome : str
        Name of the outcome.
    dropped : int
        Rows left out.
    notes : tuple of str
        What to say of the regressors.
    scaled : tuple
        What ``cases.scaled()`` gave.
    respondent : (N,) int array or None
        Who answered each case, 0 to I - 1 in the order of the ids, which is that of the cases.
    """

    cases: Cases
    design: ChoiceDesign
    frame: pd.DataFrame
    outcome: str
    dropped: int
    notes: tuple[str, ...]
    scaled: tuple[Cases, Array]
    respondent: Codes | None = None


def choices(
    formula: str,
    data: Data,
    options: Options,
    *,
    case: str = "case",
    alternative: str = "alternative",
    base: str | None = None,
    availability: str | None = None,
    panel: str | None = None,
    membership: str | None = None,
) -> Choices:
    """The choice situations that a formula makes of a long table.

    Parameters
    ----------
    formula, data, case, alternative, base, availability
        See `llmdemand.modeling.models.multinomial.clogit`.
    options : Options
        Weights, missing values, and what the covariance is clustered by.
    panel : str, optional
        Column that names the respondent, which is that of the case.
    membership : str, optional
        Formula of the regressors of belonging to a class; their columns are those of the
        respondent.

    Raises
    ------
    DesignError, UsageError
        See `clogit`.
    """
    import pandas as pd

    outcome, parts = split(formula)
    if len(parts) > 3:
        raise DesignError(f"formula {formula!r} has {len(parts)} parts divided by |, 3 are known")
    if _NO_CONSTANT.search(parts[0]):
        raise DesignError(
            f"formula {formula!r}: constants belong to the second part; leave them out with | 0"
        )
    generic, of_case, own = [*parts, *["1", "0"][len(parts) - 1 :]]
    data = opened(data)
    known, asked = column_names(data), options.asked()
    weights, weights_type, na = options.weights, options.weights_type, options.na
    require([case], known, "of cases (case=...)")
    require([alternative], known, "of alternatives (alternative=...)")
    require([weights, availability], known, "in the data")
    require([panel], known, "of respondents (panel=...)")
    require([options.read], known, "of what the outcomes of a case sum to (read=...)")
    require(asked.columns, known, "to cluster by")
    apart([outcome], (generic, of_case, own))
    if read(of_case).offsets or read(own).offsets:
        raise DesignError(
            f"formula {formula!r}: an offset belongs to the first part, before any bar: it is "
            "added to the utilities of the alternatives"
        )
    varying = list(dict.fromkeys(v for t in (generic, own) for v in variables(t, known)))
    fixed, personal = variables(of_case, known), variables(membership or "1", known)
    outcome_columns = [outcome] if outcome in known else variables(outcome, known)
    columns = [case, alternative, *varying, *fixed, *outcome_columns, *asked.columns]
    columns += personal
    more = (weights, availability, options.read, options.count, panel)
    columns += [c for c in more if c is not None]
    columns = list(dict.fromkeys(columns))
    frame, dropped = _cases(data, columns, case, alternative, availability, na)
    if panel is not None:
        frame = _arranged(frame, [panel, case, alternative])
    labels = frame[alternative]
    categories = getattr(labels.dtype, "categories", None)
    # Categories that no row has are left out of the sample.
    names = [str(c) for c in (sorted(labels.unique()) if categories is None else categories)]
    place = base_place(base, names)
    names = [names[place], *(n for k, n in enumerate(names) if k != place)]
    design = ChoiceDesign(
        generic=part(generic, frame) if generic not in ("0", "-1", "1") else _NOTHING,
        case=_NOTHING
        if of_case in ("0", "-1")
        else part(of_case, frame.iloc[codes(frame, [case])[1]]),
        own=part(own, frame) if own not in ("0", "-1") else _NOTHING,
        variables=tuple(dict.fromkeys([*varying, *fixed, *personal])),
        alternatives=tuple(names),
        alternative=alternative,
        group=case,
        membership=None
        if membership is None or panel is None
        else part(membership, frame.iloc[codes(frame, [panel])[1]]),
    )
    rows = design.expand(frame)
    if panel is not None and (np.diff(rows.order) < 0).any():
        # By their ids cases of respondents lie mixed: they come as respondents do.
        rows = design.expand(frame.assign(**{case: pd.factorize(frame[case])[0]}))
    first, n = rows.start, len(rows.start)
    if (np.diff(rows.order) < 0).any():
        frame = frame.iloc[rows.order].reset_index(drop=True)
    group = np.repeat(np.arange(n), np.diff(first, append=len(frame)))
    y = evaluate(outcome, frame)
    summed = None if options.read is None else frame[options.read].to_numpy(np.float64)[first]
    check_sums(sums(group, y, n), y, "case", frame[case].iloc[first].array, summed)
    of_cases = [*fixed, *personal, *asked.columns]
    of_cases += [c for c in (weights, panel, options.read) if c is not None]
    _check_constant(frame, of_cases, group, first)
    respondent = None
    if panel is not None:
        whose = frame[panel].iloc[first]
        respondent = np.cumsum(whose.ne(whose.shift()).to_numpy()) - 1
        heads = np.flatnonzero(np.diff(respondent, prepend=-1))
        # Weights, clusters and membership belong to the person whose answers go together.
        _check_constant(
            frame.iloc[first].reset_index(drop=True),
            [*personal, *asked.columns, *([weights] if weights else [])],
            respondent,
            heads,
            f"respondent {panel}",
        )
    count, weight = np.ones(n), np.ones(n)
    if weights is not None:
        w = _weights(frame[weights].iloc[first], weights)
        if weights_type == "frequency" and (w % 1 != 0).any():
            raise DesignError(
                f"frequency weights {weights!r} count cases and must be whole numbers: for inverse "
                "sampling probabilities give weights_type='sampling'"
            )
        count, weight = (w, weight) if weights_type == "frequency" else (count, w)
        if weights_type not in ("frequency", "sampling"):
            raise UsageError(f"weights_type={weights_type!r}: use 'frequency' or 'sampling'")
    if options.count is not None:
        count = count * frame[options.count].to_numpy(np.float64)[first]
    clusters = {c: codes(frame.iloc[first], [c])[0] for c in asked.columns}
    cases = Cases(rows.x, y, rows.start, count, weight, clusters, rows.labels, rows.offset, summed)
    scaled = cases.scaled()
    notes = (*offset_note(generic), *check_differences(cases, scaled, design.terms))
    return Choices(cases, design, frame, outcome, dropped, notes, scaled, respondent)


def _arranged(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Rows in the order of these columns, so that nothing depends on how the table came."""
    import pandas as pd

    ranks = []
    for key in keys:
        try:
            ranks.append(pd.factorize(frame[key], sort=True)[0])
        except TypeError:  # numbers and text
            ranks.append(
                pd.factorize(frame[key].map(lambda v: (str(type(v)), str(v))), sort=True)[0]
            )
    return frame.iloc[np.lexsort(ranks[::-1])].reset_index(drop=True)


def _cases(
    data: Data,
    columns: list[str],
    case: str,
    alternative: str,
    availability: str | None,
    na: NA,
) -> tuple[pd.DataFrame, int]:
    """Available rows without missing values, and the number of rows left out."""
    frame = table(data, columns).reset_index(drop=True)
    if availability is not None:
        open_ = frame[availability]
        if not open_.isin([0, 1]).all():
            raise DesignError(f"availability {availability!r} must be 0 or 1 in every row")
        frame = frame[open_.astype(bool)].reset_index(drop=True)
    if not len(frame):
        raise DesignError("no rows to fit: there are none, or no alternative is available")
    whole = complete(frame, na, 0)
    if len(whole) < len(frame):
        # A case without one of its alternatives would be another choice set.
        broken = frame[case].isin(frame.loc[~frame.index.isin(whole.index), case])
        broken |= frame[case].isna()
        whole = frame[~broken]
    if not len(whole):
        raise DesignError("no rows to fit: every case has missing values")
    return used_levels(whole.reset_index(drop=True)), len(frame) - len(whole)


def _check_constant(
    frame: pd.DataFrame, columns: list[str], group: Codes, first: Codes, what: str = "case"
) -> None:
    for column in dict.fromkeys(columns):
        values = frame[column].to_numpy()
        moved = np.flatnonzero(values != values[first][group])
        if moved.size:
            raise DesignError(
                f"column {column!r} varies within case {frame.iloc[moved[0], 0]}: regressors "
                "after the bar, weights and clusters belong to the case"
                if what == "case"
                else f"column {column!r} varies within a {what}: weights, clusters and membership "
                "belong to the respondent"
            )


def _weights(values: Any, name: str) -> Array:
    if values.dtype.kind not in "fiub":
        raise DesignError(f"weights {name!r} hold {values.dtype}, not numbers")
    w = values.to_numpy(np.float64)
    if (w < 0).any():
        raise DesignError(f"weights {name!r} are negative ({w.min():g}): give weights >= 0")
    if not w.sum() > 0:
        raise DesignError(f"weights {name!r} are all zero: nothing is left to fit")
    return np.asarray(w, np.float64)
