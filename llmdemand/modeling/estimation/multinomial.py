"""Multinomial logit: from a formula and a table to a fit."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import uuid4

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import named_codes, triangle
from llmdemand.modeling.estimation.estimate import Source, estimate, estimate_spread
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.regressors import (
    check_case_survey,
    check_regressors,
    check_variables,
)
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.passes.cases import SpreadCases
from llmdemand.modeling.passes.labelled import Labelled, Labels, surveyed_labels
from llmdemand.modeling.passes.rows import Columns, forget, specimens
from llmdemand.modeling.passes.spread import GIVEN, OF_ALL, STAYED
from llmdemand.modeling.sample.columns import opened
from llmdemand.modeling.sample.designs import MultinomialDesign
from llmdemand.modeling.sample.formula import apart, looks_at_all_rows, part, split, variables
from llmdemand.modeling.sample.language import read
from llmdemand.modeling.sample.sample import (
    Data,
    TooDifferent,
    column_names,
    grouped,
    require,
    used_levels,
)
from llmdemand.scale.session import Session

__all__ = ["MOST", "fit_multinomial"]

MOST = 1 << 21  # groups of equal rows that are held in memory


def fit_multinomial(formula: str, data: Data, options: Options, *, base: str | None = None) -> Fit:
    """A multinomial logit: see `llmdemand.modeling.models.multinomial.mnlogit`."""
    left, parts = split(formula)
    if len(parts) != 1:
        raise DesignError(f"formula {formula!r}: parts divided by | are for clogit")
    data = opened(data)
    known, asked = column_names(data), options.asked()
    weights, weights_type, na = options.weights, options.weights_type, options.na
    outcomes = list(read(left).bare)
    if not outcomes or len(outcomes) < len(read(left).names):
        raise DesignError(
            f"outcome {left!r}: name a column of labels, or one column of fractions per "
            "alternative, as in a + b + c"
        )
    require(outcomes, known, "of outcomes")
    require([weights], known, "of weights")
    require(asked.columns, known, "to cluster by")
    named = variables(parts[0], known)
    apart(outcomes, parts)
    if read(parts[0]).offsets:
        raise DesignError(
            f"formula {formula!r}: an offset of the case is the same for all alternatives and "
            "cancels; use clogit, where each alternative has its own"
        )
    extra = [] if options.read is None else [options.read]
    held = list(dict.fromkeys([*named, *asked.columns, *outcomes, *extra]))
    sample = None
    with suppress(TooDifferent):
        sample = grouped(
            data,
            None,
            held,
            weights=weights,
            weights_type=weights_type,
            na=na,
            # Covariances that fit samples of the rows need them in memory.
            most=MOST if asked.kind in GIVEN else None,
            executor=options.executor,
        )
    # Not while the error is handled, whose traceback holds all that was grouped so far.
    if sample is None:
        columns = Columns(
            left,
            tuple([*held, *([weights] if weights else [])]),
            asked.columns,
            weights,
            weights_type,
            na,
        )
        try:
            with Session(options.executor) as session:
                return _fit_spread(parts[0], data, columns, outcomes, options, base, session)
        finally:
            forget("")
    frame = sample.frame
    check_variables(frame, named, sample.nobs)
    summed = None if options.read is None else frame[options.read].to_numpy(np.float64)
    labels = Labels.of(frame, outcomes, base)
    y = labels.outcomes(frame, summed)
    design = MultinomialDesign(part(parts[0], frame), tuple(named), labels.names)
    rows = design.expand(frame)
    cases = Cases(
        rows.x,
        y.ravel(),
        rows.start,
        sample.count,
        sample.weight,
        {c: named_codes(frame, [c])[0] for c in asked.columns},
        rows.labels,
        read=summed,
    )
    notes = check_regressors(design.part.matrix(frame), design.part.terms, cases.nobs)
    source = Source(
        design,
        frame,
        " + ".join(outcomes),
        "Multinomial logit",
        sample.dropped,
        options.weighting,
        notes,
    )
    return estimate(cases, design.terms, source, options)


def _fit_spread(
    text: str,
    data: Any,
    columns: Columns,
    outcomes: list[str],
    options: Options,
    base: str | None,
    session: Session,
) -> Fit:
    """A logit of files whose rows do not compress: a pass over them for each step."""
    if looks_at_all_rows(text, knots_suffice=True):
        raise DesignError(OF_ALL.format(text))
    named = tuple(variables(text, list(columns.read)))
    shards = list(enumerate(data.shards))
    kept = tuple(dict.fromkeys([*named, *(outcomes if len(outcomes) == 1 else [])]))
    some = used_levels(specimens(shards, columns, kept, session))
    labels = Labels.of(some, outcomes, base)
    design = MultinomialDesign(part(text, some), named, labels.names)
    rows = Labelled(columns, labels, design, some[list(named)], options.read, uuid4().hex)
    survey = surveyed_labels(shards, rows, session)
    check_variables(some, named, survey.nobs)
    whole = SpreadCases(shards, rows, survey, session, np.eye(len(design.terms)))
    z, back = whole.standardised()
    notes = check_case_survey(survey, triangle(survey.corner @ whole.scale), design.terms)
    source = Source(
        design,
        None,
        " + ".join(outcomes),
        "Multinomial logit",
        survey.dropped,
        options.weighting,
        (*notes, STAYED),
    )
    return estimate_spread(z, back, design.terms, source, options)
