"""Binary and fractional logit: from arrays, or from a formula and a table, to a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np

from llmdemand.core.tables.pieces import Pieces
from llmdemand.errors import DesignError, UsageError, warn
from llmdemand.modeling.arrays import Array, Codes, named_codes, triangle
from llmdemand.modeling.estimation.estimate import (
    Source,
    VarianceWarning,
    estimate,
    estimate_spread,
)
from llmdemand.modeling.estimation.fit import Fit, Kind
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.regressors import check_regressors, check_survey, check_variables
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.passes.rows import Columns, Rows, forget, specimens, surveyed
from llmdemand.modeling.passes.spread import GIVEN, OF_ALL, STAYED, Spread
from llmdemand.modeling.sample.columns import opened, sharded
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
    TooDifferent,
    chunks,
    codes,
    column_names,
    grouped,
    in_unit_interval,
    plain,
    require,
)
from llmdemand.scale.session import Session

__all__ = ["fit_binary", "fit_rows"]

MOST = 1 << 22  # groups of equal rows that are held in memory


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
    sample = None
    with suppress(TooDifferent):
        sample = grouped(
            data,
            outcome,
            keys,
            outcome_columns=[outcome] if outcome in known else variables(outcome, known),
            weights=weights,
            weights_type=weights_type,
            na=na,
            bounded=options.read is None,
            # Of a table that is much longer less is held: it is not likely to be reached later.
            most=None if options.read else MOST // (4 if _length(data) > 4 * MOST else 1),
            executor=options.executor,
        )
    # Not while the error is handled, whose traceback holds all that was grouped so far.
    if sample is None:
        try:
            with Session(options.executor) as session:
                return _fit_spread(parts[0], data, known, outcome, options, session, binary=binary)
        finally:
            forget("")
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


def _length(data: Any) -> int:
    return len(data) if isinstance(data, Pieces) else 0


def _fit_spread(
    text: str,
    data: Any,
    known: list[str],
    outcome: str,
    options: Options,
    session: Session,
    *,
    binary: bool,
) -> Fit:
    """A logit of files whose rows do not compress: a pass over them for each step."""
    asked, named = options.asked(), tuple(variables(text, known))
    if asked.kind not in GIVEN:
        raise UsageError(
            f"vcov={asked.kind!r} needs the rows, which are in files and differ from each other: "
            "use 'HC1' or {'CRV1': column}"
        )
    if looks_at_all_rows(text, knots_suffice=True):
        raise DesignError(OF_ALL.format(text))
    outcomes = [outcome] if outcome in known else variables(outcome, known)
    weights = [options.weights] if options.weights else []
    read = tuple(dict.fromkeys([*named, *outcomes, *asked.columns, *weights]))
    columns = Columns(
        outcome, read, asked.columns, options.weights, options.weights_type, options.na
    )
    shards = list(enumerate(data.shards))
    some = specimens(shards, columns, named, session)
    rows = Rows(columns, text, some, uuid4().hex)
    survey = surveyed(shards, rows, session)
    check_variables(some, variables(text, known, offsets=False), survey.nobs)
    if binary and not survey.binary:
        raise DesignError(f"{outcome!r} is not 0/1: use fraclogit for fractions")
    design = BinaryDesign(rows.part, named, outcome)
    whole = Spread(shards, rows, survey, session, np.eye(len(design.terms)))
    z, back = whole.standardised()
    notes = check_survey(survey, triangle(survey.corner @ whole.scale), design.terms)
    kind: Kind = "Binary logit" if binary else "Fractional logit"
    told = (*offset_note(text), *notes, STAYED)
    source = Source(design, None, outcome, kind, survey.dropped, options.weighting, told)
    found = estimate_spread(z, back, design.terms, source, options)
    _warn_of_iid(found, outcome, options)
    return found


def _part(text: str, data: Data, sample: Sample, named: list[str], na: NA) -> Any:
    """The formula's record: from the groups, unless a transform looks at the whole sample."""
    import pandas as pd

    if not looks_at_all_rows(text):
        return part(text, sample.frame)
    if isinstance(data, pd.DataFrame) or not sharded(data):
        rows = pd.concat(chunks(data, named))
        return part(text, plain(rows.dropna()) if na == "drop" else rows)
    if looks_at_all_rows(text, knots_suffice=True):
        raise DesignError(OF_ALL.format(text))
    return part(text, sample.frame)


def _alike(
    sample: Sample, named: list[str], weights: str | None, clusters: Sequence[str]
) -> Codes | None:
    """Which groups differ by their clusters alone; None where none do."""
    if set(clusters) <= set(named):
        return None
    return codes(sample.frame, [*named, *([weights] if weights else [])])[0]


def _codes(frame: Any, column: str) -> Any:
    found, _ = named_codes(frame, [column])
    return found


def _fit(data: Cells, terms: Sequence[str], source: Source, options: Options) -> Fit:
    near = check_regressors(data.distinct, terms, data.nobs)
    source = replace(source, notes=(*source.notes, *near))
    if source.kind == "Binary logit" and data.fractional:
        raise DesignError(f"{source.outcome!r} is not 0/1: use fraclogit for fractions")
    found = estimate(data, terms, source, options)
    _warn_of_iid(found, source.outcome, options)
    return found


def _warn_of_iid(found: Fit, outcome: str, options: Options) -> None:
    if found.fractional and options.asked().kind == "iid":
        warn(
            f"{outcome}: iid standard errors assume the variance of a coin toss, which "
            "fractions do not have (they hide what belief gains); use vcov='HC1' or clusters",
            VarianceWarning,
        )
