"""Choice situations: from a formula and a long table to rows of alternatives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes, named_codes, sums
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.regressors import check_differences
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.passes.labelled import base_place, check_sums
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
    column_names,
    complete,
    require,
    used_levels,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Choices", "Described", "Wanted", "choices", "places", "wanted"]

_NO_CONSTANT = re.compile(r"-\s*1\s*$|\+\s*0\s*$|^\s*0\s*\+|^\s*-\s*1\s*\+")
_NOTHING = Part("0", (), None)
_NO_ROWS = "there are none, or no alternative is available"


@dataclass(frozen=True)
class Described:
    """Where choice situations come from.

    Attributes
    ----------
    design : ChoiceDesign
        From tables to regressors.
    frame : pandas.DataFrame or None
        The sample, row by row as in the cases; None where it is in files.
    outcome : str
        Name of the outcome.
    dropped : int
        Rows left out.
    notes : tuple of str
        What to say of the regressors.
    """

    design: ChoiceDesign
    frame: pd.DataFrame | None
    outcome: str
    dropped: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Choices(Described):
    """Choice situations, and where they come from.

    Attributes
    ----------
    cases : Cases
        The situations, those of a respondent side by side where there are respondents.
    scaled : tuple
        What ``cases.scaled()`` gave.
    respondent : (N,) int array or None
        Who answered each case, 0 to I - 1 in the order of the ids, which is that of the cases.
    """

    frame: pd.DataFrame
    cases: Cases
    scaled: tuple[Cases, Array]
    respondent: Codes | None = None


@dataclass(frozen=True)
class Wanted:
    """What a formula wants of a long table.

    Attributes
    ----------
    outcome, generic, of_case, own : str
        The outcome, and the parts of the formula.
    varying, fixed, personal, columns : tuple of str
        Variables of alternatives, of cases, of respondents; all columns that are read.
    case, alternative, base, availability, panel, membership, options
        See `choices`.
    """

    outcome: str
    generic: str
    of_case: str
    own: str
    varying: tuple[str, ...]
    fixed: tuple[str, ...]
    personal: tuple[str, ...]
    columns: tuple[str, ...]
    case: str
    alternative: str
    base: str | None
    availability: str | None
    panel: str | None
    membership: str | None
    options: Options

    def rows(self, data: Data, first: int = 0) -> tuple[pd.DataFrame, int]:
        """Available rows without missing values, and the number of rows left out.

        `first` is the number of the first row, for messages.
        """
        frame = table(data, self.columns).reset_index(drop=True)
        if self.availability is not None:
            open_ = frame[self.availability]
            if not open_.isin([0, 1]).all():
                raise DesignError(f"availability {self.availability!r} must be 0 or 1 in every row")
            frame = frame[open_.astype(bool)].reset_index(drop=True)
        whole = complete(frame, self.options.na, first)
        if len(whole) < len(frame):
            # A case without one of its alternatives would be another choice set.
            broken = frame[self.case].isin(frame.loc[~frame.index.isin(whole.index), self.case])
            broken |= frame[self.case].isna()
            whole = frame[~broken]
        return whole.reset_index(drop=True), len(frame) - len(whole)

    def arranged(self, frame: pd.DataFrame, rank: Codes | None = None) -> pd.DataFrame:
        """Rows by respondent, case and alternative, so that nothing depends on how they came.

        `rank` is the place of each row's respondent, where that is known.
        """
        if self.panel is None:
            return frame
        by = places(frame[self.panel]) if rank is None else rank
        within = [places(frame[key]) for key in (self.case, self.alternative)]
        return frame.iloc[np.lexsort([*within[::-1], by])].reset_index(drop=True)

    def design(self, frame: pd.DataFrame) -> ChoiceDesign:
        """From rows, which hold all levels of all variables, to the regressors of any."""
        labels = frame[self.alternative]
        categories = getattr(labels.dtype, "categories", None)
        # Categories that no row has are left out of the sample.
        names = [str(c) for c in (sorted(labels.unique()) if categories is None else categories)]
        place = base_place(self.base, names)
        names = [names[place], *(n for k, n in enumerate(names) if k != place)]
        of_case = self.of_case
        return ChoiceDesign(
            generic=_NOTHING if self.generic in ("0", "-1", "1") else part(self.generic, frame),
            case=_NOTHING
            if of_case in ("0", "-1")
            else part(of_case, frame.iloc[named_codes(frame, [self.case])[1]]),
            own=part(self.own, frame) if self.own not in ("0", "-1") else _NOTHING,
            variables=tuple(dict.fromkeys([*self.varying, *self.fixed, *self.personal])),
            alternatives=tuple(names),
            alternative=self.alternative,
            group=self.case,
            membership=None
            if self.membership is None or self.panel is None
            else part(self.membership, frame.iloc[named_codes(frame, [self.panel])[1]]),
        )

    def situations(
        self, frame: pd.DataFrame, design: ChoiceDesign
    ) -> tuple[Cases, pd.DataFrame, Codes | None]:
        """The cases of these rows, the rows in their order, and who answered each case."""
        import pandas as pd

        options, asked, case, panel = self.options, self.options.asked(), self.case, self.panel
        rows = design.expand(frame)
        if panel is not None and (np.diff(rows.order) < 0).any():
            # By their ids cases of respondents lie mixed: they come as respondents do.
            rows = design.expand(frame.assign(**{case: pd.factorize(frame[case])[0]}))
        first, n = rows.start, len(rows.start)
        if (np.diff(rows.order) < 0).any():
            frame = frame.iloc[rows.order].reset_index(drop=True)
        group = np.repeat(np.arange(n), np.diff(first, append=len(frame)))
        y = evaluate(self.outcome, frame)
        summed = None if options.read is None else frame[options.read].to_numpy(np.float64)[first]
        check_sums(sums(group, y, n), y, "case", frame[case].iloc[first].array, summed)
        weights = [options.weights] if options.weights else []
        more = [c for c in (panel, options.read) if c is not None]
        of_cases = [*self.fixed, *self.personal, *asked.columns, *weights, *more]
        _check_constant(frame, of_cases, group, first)
        respondent = None
        if panel is not None:
            whose = frame[panel].iloc[first]
            respondent = np.cumsum(whose.ne(whose.shift()).to_numpy()) - 1
            heads = np.flatnonzero(np.diff(respondent, prepend=-1))
            # Weights, clusters and membership belong to the person whose answers go together.
            _check_constant(
                frame.iloc[first].reset_index(drop=True),
                [*self.personal, *asked.columns, *weights],
                respondent,
                heads,
                f"respondent {panel}",
            )
        count, weight = _counts(frame.iloc[first], options)
        clusters = {c: named_codes(frame.iloc[first], [c])[0] for c in asked.columns}
        cases = Cases(rows.x, y, rows.start, count, weight, clusters, rows.labels, rows.offset)
        return replace(cases, read=summed), frame, respondent


def choices(formula: str, data: Data, options: Options, **columns: Any) -> Choices:
    """The choice situations that a formula makes of a long table.

    Parameters
    ----------
    formula, data, options, **columns
        See `wanted`.

    Raises
    ------
    DesignError, UsageError
        See `llmdemand.modeling.models.multinomial.clogit`.
    """
    data = opened(data)
    asked = wanted(formula, column_names(data), options, **columns)
    frame, dropped = asked.rows(data)
    if not len(frame):
        why = "every case has missing values" if dropped else _NO_ROWS
        raise DesignError(f"no rows to fit: {why}")
    frame = used_levels(frame)
    frame = asked.arranged(frame)
    design = asked.design(frame)
    cases, frame, respondent = asked.situations(frame, design)
    if not (cases.count * cases.weight).sum() > 0:
        raise DesignError(f"weights {options.weights!r} are all zero: nothing is left to fit")
    scaled = cases.scaled()
    notes = (*offset_note(asked.generic), *check_differences(cases, scaled, design.terms))
    return Choices(
        design,
        frame,
        asked.outcome,
        dropped,
        notes,
        cases=cases,
        scaled=scaled,
        respondent=respondent,
    )


def wanted(
    formula: str,
    known: Sequence[str],
    options: Options,
    *,
    case: str = "case",
    alternative: str = "alternative",
    base: str | None = None,
    availability: str | None = None,
    panel: str | None = None,
    membership: str | None = None,
) -> Wanted:
    """What a formula wants of a long table.

    Parameters
    ----------
    formula, case, alternative, base, availability
        See `llmdemand.modeling.models.multinomial.clogit`.
    known : sequence of str
        Columns of the table.
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
    outcome, parts = split(formula)
    if len(parts) > 3:
        raise DesignError(f"formula {formula!r} has {len(parts)} parts divided by |, 3 are known")
    if _NO_CONSTANT.search(parts[0]):
        raise DesignError(
            f"formula {formula!r}: constants belong to the second part; leave them out with | 0"
        )
    generic, of_case, own = [*parts, *["1", "0"][len(parts) - 1 :]]
    known, asked = list(known), options.asked()
    require([case], known, "of cases (case=...)")
    require([alternative], known, "of alternatives (alternative=...)")
    require([options.weights, availability], known, "in the data")
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
    more = (options.weights, availability, options.read, options.count, panel)
    columns += [c for c in more if c is not None]
    return Wanted(
        outcome,
        generic,
        of_case,
        own,
        tuple(varying),
        tuple(fixed),
        tuple(personal),
        tuple(dict.fromkeys(columns)),
        case,
        alternative,
        base,
        availability,
        panel,
        membership,
        replace(options, executor=None),  # workers are sent this, and no client can be
    )


def places(values: pd.Series[Any]) -> Codes:
    """The place of each value among all, in their order.

    >>> import pandas as pd
    >>> places(pd.Series(["b", "a", "b"])).tolist()
    [1, 0, 1]
    """
    import pandas as pd

    try:
        return pd.factorize(values, sort=True)[0]
    except TypeError:  # numbers and text
        return pd.factorize(values.map(lambda v: (str(type(v)), str(v))), sort=True)[0]


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


def _counts(heads: pd.DataFrame, options: Options) -> tuple[Array, Array]:
    """How often each case counts, and its sampling weight."""
    count, weight = np.ones(len(heads)), np.ones(len(heads))
    if options.weights is not None:
        w = _weights(heads[options.weights], options.weights)
        if options.weights_type == "frequency" and (w % 1 != 0).any():
            raise DesignError(
                f"frequency weights {options.weights!r} count cases and must be whole numbers: for "
                "inverse sampling probabilities give weights_type='sampling'"
            )
        count, weight = (w, weight) if options.weights_type == "frequency" else (count, w)
    if options.count is not None:
        count = count * heads[options.count].to_numpy(np.float64)
    return count, weight


def _weights(values: Any, name: str) -> Array:
    if values.dtype.kind not in "fiub":
        raise DesignError(f"weights {name!r} hold {values.dtype}, not numbers")
    w = values.to_numpy(np.float64)
    if (w < 0).any():
        raise DesignError(f"weights {name!r} are negative ({w.min():g}): give weights >= 0")
    return np.asarray(w, np.float64)
