"""Binary and fractional logit: from arrays, or from a formula and a table, to a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llmdemand.errors import DesignError, warn
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.estimation.estimate import Source, VarianceWarning, estimate
from llmdemand.modeling.estimation.fit import Fit, Kind
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.regressors import check_regressors, check_variables
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.sample.columns import Sharded, opened
from llmdemand.modeling.sample.designs import BinaryDesign
from llmdemand.modeling.sample.formula import (
    apart,
    looks_at_all_rows,
    offset_note,
    part,
    split,
    variables,
)
from llmdemand.modeling.sample.sample import (
    NA,
    Data,
    Sample,
    chunks,
    codes,
    column_names,
    grouped,
    in_unit_interval,
    plain,
    require,
)

__all__ = ["fit_binary", "fit_rows"]


def fit_rows(
    y: Array,
    x: Array,
    terms: Sequence[str],
    options: Options,
    groups: Mapping[str, Any] | None = None,
    outcome: str = "y",
    offset: Array | None = None,
) -> Fit:
    """A logit of arrays: see `llmdemand.modeling.models.logit.fit`."""
    import pandas as pd

    y, x = np.asarray(y, np.float64), np.asarray(x, np.float64)
    if not len(y):
        raise DesignError("no rows to fit: every run was left out or there were none")
    if x.shape != (len(y), len(terms)):
        raise DesignError(
            f"regressors have shape {x.shape}, {len(y)} outcomes and {len(terms)} terms need "
            f"({len(y)}, {len(terms)})"
        )
    if not np.isfinite(y).all() or not np.isfinite(x).all():
        raise DesignError("outcome and regressors must be finite: drop or mend missing rows first")
    if offset is not None:
        offset = np.asarray(offset, np.float64)
        if offset.shape != y.shape or not np.isfinite(offset).all():
            raise DesignError(
                f"offset has shape {offset.shape}: give one finite number for each of the "
                f"{len(y)} outcomes"
            )
    y = in_unit_interval(y)
    known = dict(groups or {})
    for name, values in known.items():
        if len(values) != len(y):
            raise DesignError(f"groups {name!r} have {len(values)} values for {len(y)} outcomes")
    kind: Kind = "Binary logit" if np.isin(y, (0.0, 1.0)).all() else "Fractional logit"
    options = options.resolved(fractional=kind == "Fractional logit")
    asked = options.asked()
    require(asked.columns, list(known), "among the groups")
    frame = pd.DataFrame(known)
    clusters = {c: _codes(frame, c) for c in asked.columns}
    data = Cells.of_rows(x, y, clusters, offset)
    return _fit(data, terms, Source(None, None, outcome, kind), options)


def fit_binary(formula: str, data: Data, options: Options, *, binary: bool) -> Fit:
    """A logit of a formula and a table: see `llmdemand.modeling.models.logit.fraclogit`."""
    outcome, parts = split(formula)
    if len(parts) != 1:
        raise DesignError(f"formula {formula!r}: parts divided by | are for clogit")
    data = opened(data)
    known, options = column_names(data), options.resolved(fractional=not binary)
    asked = options.asked()
    weights, weights_type, na = options.weights, options.weights_type, options.na
    require([weights], known, "of weights")
    require(asked.columns, known, "to cluster by")
    named = variables(parts[0], known)
    apart([outcome], parts)
    extra = [] if options.read is None else [options.read]
    keys = list(dict.fromkeys([*named, *asked.columns, *extra]))
    sample = grouped(
        data,
        outcome,
        keys,
        outcome_columns=[outcome] if outcome in known else variables(outcome, known),
        weights=weights,
        weights_type=weights_type,
        na=na,
        bounded=options.read is None,
        executor=options.executor,
    )
    check_variables(sample.frame, variables(parts[0], known, offsets=False), sample.nobs)
    design = BinaryDesign(_part(parts[0], data, sample, named, na), tuple(named), outcome)
    x, offset = design.part.made(sample.frame)
    cells = Cells(
        x,
        sample.count,
        sample.mean,
        sample.within,
        sample.weight,
        {c: _codes(sample.frame, c) for c in asked.columns},
        _alike(
            sample,
            [*named, *extra],
            weights if weights_type == "sampling" else None,
            asked.columns,
        ),
        offset,
        None if extra else sample.entropy,
        None if not extra else sample.frame[extra[0]].to_numpy(np.float64),
    )
    kind: Kind = "Binary logit" if binary else "Fractional logit"
    source = Source(
        design,
        sample.frame,
        outcome,
        kind,
        sample.dropped,
        options.weighting,
        offset_note(parts[0]),
    )
    return _fit(cells, design.terms, source, options)


def _part(text: str, data: Data, sample: Sample, named: list[str], na: NA) -> Any:
    """The formula's record: from the groups, unless a transform looks at the whole sample."""
    import pandas as pd

    if not looks_at_all_rows(text):
        return part(text, sample.frame)
    if isinstance(data, pd.DataFrame) or not isinstance(data, Sharded):
        rows = pd.concat(chunks(data, named))
        return part(text, plain(rows.dropna()) if na == "drop" else rows)
    if looks_at_all_rows(text, knots_suffice=True):
        raise DesignError(
            f"formula {text!r} needs quantiles or means of all rows, which a file read in chunks "
            "does not give: name them, as in bs(price, knots=[33, 37])"
        )
    return part(text, sample.frame)


def _alike(
    sample: Sample, named: list[str], weights: str | None, clusters: Sequence[str]
) -> Codes | None:
    """Which groups differ by their clusters alone; None where none do."""
    if set(clusters) <= set(named):
        return None
    return codes(sample.frame, [*named, *([weights] if weights else [])])[0]


def _codes(frame: Any, column: str) -> Any:
    found, _ = codes(frame, [column])
    return found


def _fit(data: Cells, terms: Sequence[str], source: Source, options: Options) -> Fit:
    near = check_regressors(data.distinct, terms, data.nobs)
    source = replace(source, notes=(*source.notes, *near))
    if source.kind == "Binary logit" and data.fractional:
        raise DesignError(f"{source.outcome!r} is not 0/1: use fraclogit for fractions")
    found = estimate(data, terms, source, options)
    if data.fractional and options.asked().kind == "iid":
        warn(
            f"{source.outcome}: iid standard errors assume the variance of a coin toss, which "
            "fractions do not have (they hide what belief gains); use vcov='HC1' or clusters",
            VarianceWarning,
        )
    return found
