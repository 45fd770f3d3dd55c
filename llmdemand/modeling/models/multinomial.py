"""Multinomial and conditional logit, with 0/1 or fractional outcomes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array, Codes, sums
from llmdemand.modeling.estimation.estimate import (
    Separation,
    Source,
    Vcov,
    asked_vcov,
    check_regressors,
    check_variables,
    estimate,
    weighting,
)
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.sample.designs import ChoiceDesign, MultinomialDesign
from llmdemand.modeling.sample.formula import Part, evaluate, part, split, variables
from llmdemand.modeling.sample.sample import (
    NA,
    Data,
    WeightsType,
    codes,
    column_names,
    complete,
    grouped,
    plain,
    require,
    used_levels,
)
from llmdemand.modeling.variance.vcov import SSC

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["clogit", "mnlogit"]

_SUM_TOLERANCE = 1e-6
_NO_CONSTANT = re.compile(r"-\s*1\s*$|\+\s*0\s*$|^\s*0\s*\+|^\s*-\s*1\s*\+")
_MOST = 100  # alternatives
_NOTHING = Part("0", (), None)


def mnlogit(
    formula: str,
    data: Data,
    *,
    base: str | None = None,
    vcov: Vcov | None = None,
    ssc: SSC = "stata",
    weights: str | None = None,
    weights_type: WeightsType = "frequency",
    na: NA = "raise",
    separation: Separation = "warn",
) -> LogitResults:
    """Multinomial logit: regressors of the case, a coefficient for each alternative but the base.

    Parameters
    ----------
    formula : str
        ``"mode ~ income"`` with a column of labels; or ``"belief_a + belief_b + belief_c ~
        price_a"`` with one column of fractions per alternative, which sum to 1 in each row.
    data : pandas.DataFrame or path
        One row per case, or a parquet file.
    base : str, optional
        Alternative whose utility is zero; the first category (of a categorical column, else
        in sorted order) or the first column of fractions by default.
    vcov, ssc, weights, weights_type, na, separation
        See `llmdemand.modeling.models.logit.fraclogit`.

    Returns
    -------
    LogitResults
        Terms are named ``const:boat``, ``income:boat``.

    Raises
    ------
    DesignError
        See `fraclogit`; also for fewer than two alternatives, fractions that do not sum to 1.

    Notes
    -----
    ``P(j) = exp(x'b_j) / sum_k exp(x'b_k)``, b of the base zero (Train 2009, chapter 3). With
    fractions it is the multivariate fractional logit (Mullahy 2015).

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"mode": list("abcabcab"), "income": [1, 2, 3, 2, 1, 5, 3, 4]})
    >>> list(mnlogit("mode ~ income", df).params.index)
    ['const:b', 'income:b', 'const:c', 'income:c']
    """
    left, parts = split(formula)
    if len(parts) != 1:
        raise DesignError(f"formula {formula!r}: parts divided by | are for clogit")
    known, asked = column_names(data), asked_vcov(vcov, separation)
    outcomes = [name.strip().strip("`") for name in left.split("+")]
    require(outcomes, known, "of outcomes")
    require([weights], known, "of weights")
    require(asked.columns, known, "to cluster by")
    named = variables(parts[0], known)
    sample = grouped(
        data,
        None,
        [*named, *asked.columns, *outcomes],
        weights=weights,
        weights_type=weights_type,
        na=na,
    )
    frame = sample.frame
    check_variables(frame, named, sample.nobs)
    alternatives, y = _outcomes(frame, outcomes, base)
    design = MultinomialDesign(part(parts[0], frame), tuple(named), alternatives)
    rows = design.expand(frame)
    cases = Cases(
        rows.x,
        y.ravel(),
        rows.start,
        sample.count,
        sample.weight,
        {c: codes(frame, [c])[0] for c in asked.columns},
        rows.labels,
    )
    check_regressors(design.part.matrix(frame), design.part.terms, sample.nobs)
    source = Source(
        design,
        frame,
        " + ".join(outcomes),
        "Multinomial logit",
        sample.dropped,
        weighting(weights, weights_type),
    )
    return estimate(cases, design.terms, source, asked=asked, ssc=ssc, separation=separation)


def _outcomes(
    frame: pd.DataFrame, outcomes: list[str], base: str | None
) -> tuple[tuple[str, ...], Array]:
    """Alternatives, the base first, and outcomes (N, J)."""
    import pandas as pd

    if len(outcomes) == 1:
        column = frame[outcomes[0]]
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = [c for c in column.cat.categories if (column == c).any()]
        else:
            levels = sorted(column.unique())
        if column.dtype.kind == "f" and (column % 1 != 0).any():
            raise DesignError(
                f"outcome {outcomes[0]!r} holds fractions: a column of labels, or one column of "
                "fractions per alternative (a + b + c ~ ...), is expected"
            )
        if len(levels) > _MOST:
            raise DesignError(
                f"outcome {outcomes[0]!r} has {len(levels)} values: is it the alternative that was "
                f"chosen? At most {_MOST} are taken"
            )
        names = [f"{level:g}" if isinstance(level, float) else str(level) for level in levels]
        y = np.column_stack([(column == level).to_numpy(float) for level in levels])
    else:
        names = outcomes
        y = frame[outcomes].to_numpy(np.float64)
        _check_sums(y.sum(axis=1), y, "row", range(len(y)))
    if len(names) < 2:
        raise DesignError(f"outcome {outcomes[0]!r} has one value: a choice needs two alternatives")
    first = _place(base, names)
    order = [first, *(k for k in range(len(names)) if k != first)]
    return tuple(names[k] for k in order), y[:, order]


def _place(base: str | None, names: Sequence[str]) -> int:
    if base is None:
        return 0
    if str(base) not in names:
        raise UsageError(
            f"base={base!r}{nearest(str(base), list(names))}: use one of {', '.join(names)}"
        )
    return list(names).index(str(base))


def _check_sums(totals: Array, y: Array, what: str, names: Sequence[Any]) -> None:
    if y.min() < 0 or y.max() > 1:
        raise DesignError(f"outcomes must lie in [0, 1], found {y.min():g} to {y.max():g}")
    bad = np.flatnonzero(np.abs(totals - 1) > _SUM_TOLERANCE)
    if bad.size:
        raise DesignError(
            f"outcomes of {what} {names[int(bad[0])]} sum to {totals[bad[0]]:g} ({bad.size} such "
            f"{what}s): they must sum to 1; nothing is renormalised"
        )


def clogit(
    formula: str,
    data: pd.DataFrame,
    *,
    case: str = "case",
    alternative: str = "alternative",
    base: str | None = None,
    availability: str | None = None,
    vcov: Vcov | None = None,
    ssc: SSC = "stata",
    weights: str | None = None,
    weights_type: WeightsType = "frequency",
    na: NA = "raise",
    separation: Separation = "warn",
) -> LogitResults:
    """Conditional logit: prices and attributes of each alternative, in long format.

    Parameters
    ----------
    formula : str
        ``"choice ~ price + catch | income | wait"``: attributes with one coefficient; then
        regressors of the case, with a coefficient for each alternative but the base, a
        constant included (``| 0`` leaves it out); then attributes with a coefficient for
        each alternative. The outcome is 0/1, or fractions that sum to 1 in each case.
    data : pandas.DataFrame
        One row per case and alternative; choice sets may differ between cases.
    case, alternative : str
        Columns that name the choice situation and the alternative.
    base : str, optional
        Alternative whose constant is zero; the first category (of a categorical column,
        else in sorted order) by default.
    availability : str, optional
        0/1 column: rows with 0 are not in the choice set.
    vcov, ssc, weights, weights_type, na, separation
        See `llmdemand.modeling.models.logit.fraclogit`; weights and clusters are those of cases.
        ``na="drop"`` leaves out whole cases.

    Returns
    -------
    LogitResults
        Terms are named ``price``, ``const:boat``, ``income:boat``.

    Raises
    ------
    DesignError
        See `fraclogit`; also for outcomes that do not sum to 1 in a case, an alternative twice
        in a case, a regressor of the case that varies within it, a chosen alternative that is
        not available.

    Notes
    -----
    ``P_i(j) = exp(v_ij) / sum_k exp(v_ik)`` over the alternatives of case i (McFadden 1974);
    formulas in the manner of R's mlogit (Croissant 2020).

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({
    ...     "case": [1, 1, 2, 2, 3, 3, 4, 4], "alternative": list("abababab"),
    ...     "price": [1, 2, 2, 1, 3, 1, 1, 2], "choice": [1, 0, 0, 1, 1, 0, 0, 1]})
    >>> list(clogit("choice ~ price", df).params.index)
    ['price', 'const:b']
    """
    outcome, parts = split(formula)
    if len(parts) > 3:
        raise DesignError(f"formula {formula!r} has {len(parts)} parts divided by |, 3 are known")
    if _NO_CONSTANT.search(parts[0]):
        raise DesignError(
            f"formula {formula!r}: constants belong to the second part; leave them out with | 0"
        )
    generic, of_case, own = [*parts, *["1", "0"][len(parts) - 1 :]]
    known, asked = column_names(data), asked_vcov(vcov, separation)
    require([case], known, "of cases (case=...)")
    require([alternative], known, "of alternatives (alternative=...)")
    require([weights, availability], known, "in the data")
    require(asked.columns, known, "to cluster by")
    varying = list(dict.fromkeys(v for t in (generic, own) for v in variables(t, known)))
    fixed = variables(of_case, known)
    outcome_columns = [outcome] if outcome in known else variables(outcome, known)
    read = [case, alternative, *varying, *fixed, *outcome_columns, *asked.columns]
    read += [c for c in (weights, availability) if c is not None]
    frame, dropped = _cases(data, list(dict.fromkeys(read)), case, alternative, availability, na)
    y = evaluate(outcome, frame)
    group, first = codes(frame, [case])
    totals = sums(group, y, len(first))
    _check_sums(totals, y, "case", frame[case].iloc[first].to_list())
    _check_constant(frame, [*fixed, *asked.columns, *([weights] if weights else [])], group, first)
    labels = frame[alternative]
    categories = getattr(labels.dtype, "categories", None)
    present = set(labels.astype(str))
    names = [str(c) for c in (sorted(labels.unique()) if categories is None else categories)]
    names = [n for n in names if n in present]
    place = _place(base, names)
    names = [names[place], *(n for k, n in enumerate(names) if k != place)]
    design = ChoiceDesign(
        generic=part(generic, frame) if generic not in ("0", "-1", "1") else _NOTHING,
        case=part(of_case, frame.iloc[first]),
        own=part(own, frame) if own not in ("0", "-1") else _NOTHING,
        variables=tuple(dict.fromkeys([*varying, *fixed])),
        alternatives=tuple(names),
        alternative=alternative,
        group=case,
    )
    rows = design.expand(frame)
    n = len(first)
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
    clusters = {c: codes(frame.iloc[first], [c])[0] for c in asked.columns}
    cases = Cases(rows.x, y, rows.start, count, weight, clusters, rows.labels)
    differences, _ = cases.standardised()
    check_regressors(differences.x, design.terms, cases.nobs, within=True)
    source = Source(
        design, frame, outcome, "Conditional logit", dropped, weighting(weights, weights_type)
    )
    return estimate(cases, design.terms, source, asked=asked, ssc=ssc, separation=separation)


def _cases(
    data: pd.DataFrame,
    read: list[str],
    case: str,
    alternative: str,
    availability: str | None,
    na: NA,
) -> tuple[pd.DataFrame, int]:
    """Available rows, the rows of a case side by side, and the number of rows left out."""
    frame = plain(data[read].reset_index(drop=True))
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
    group, _ = codes(whole, [case])
    sorted_ = whole.iloc[np.argsort(group, kind="stable")].reset_index(drop=True)
    twice = sorted_.duplicated([case, alternative])
    if twice.any():
        row = sorted_[twice].iloc[0]
        raise DesignError(
            f"case {row[case]} has alternative {row[alternative]!r} twice: one row per case and "
            "alternative is expected"
        )
    return used_levels(sorted_), len(frame) - len(sorted_)


def _check_constant(frame: pd.DataFrame, columns: list[str], group: Codes, first: Codes) -> None:
    for column in dict.fromkeys(columns):
        values = frame[column].to_numpy()
        moved = np.flatnonzero(values != values[first][group])
        if moved.size:
            raise DesignError(
                f"column {column!r} varies within case {frame.iloc[moved[0], 0]}: regressors "
                "after the bar, weights and clusters belong to the case"
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
