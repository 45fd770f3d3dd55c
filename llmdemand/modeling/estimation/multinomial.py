"""Multinomial logit: from a formula and a table to a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array, named_codes
from llmdemand.modeling.estimation.estimate import Source, estimate
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.regressors import check_regressors, check_variables
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.sample.columns import opened
from llmdemand.modeling.sample.designs import MultinomialDesign
from llmdemand.modeling.sample.formula import apart, part, split, variables
from llmdemand.modeling.sample.language import read
from llmdemand.modeling.sample.sample import Data, column_names, grouped, require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["base_place", "check_sums", "fit_multinomial"]

_SUM_TOLERANCE = 1e-6
_MOST = 100  # alternatives


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
    sample = grouped(
        data,
        None,
        [
            *named,
            *asked.columns,
            *outcomes,
            *(c for c in (options.read, options.count) if c is not None),
        ],
        weights=weights,
        weights_type=weights_type,
        na=na,
        executor=options.executor,
    )
    frame = sample.frame
    check_variables(frame, named, sample.nobs)
    summed = None if options.read is None else frame[options.read].to_numpy(np.float64)
    alternatives, y = _outcomes(frame, outcomes, base, summed)
    design = MultinomialDesign(part(parts[0], frame), tuple(named), alternatives)
    rows = design.expand(frame)
    count = sample.count
    if options.count is not None:
        count = count * frame[options.count].to_numpy(np.float64)
    cases = Cases(
        rows.x,
        y.ravel(),
        rows.start,
        count,
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


def _outcomes(
    frame: pd.DataFrame, outcomes: list[str], base: str | None, summed: Array | None
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
        check_sums(y.sum(axis=1), y, "row", range(len(y)), summed)
    if len(names) < 2:
        raise DesignError(f"outcome {outcomes[0]!r} has one value: a choice needs two alternatives")
    first = base_place(base, names)
    order = [first, *(k for k in range(len(names)) if k != first)]
    return tuple(names[k] for k in order), y[:, order]


def base_place(base: str | None, names: Sequence[str]) -> int:
    """The place of the alternative that is the base; the first by default."""
    if base is None:
        return 0
    if str(base) not in names:
        raise UsageError(
            f"base={base!r}{nearest(str(base), list(names))}: use one of {', '.join(names)}"
        )
    return list(names).index(str(base))


def check_sums(
    totals: Array, y: Array, what: str, names: Sequence[Any], summed: Array | None = None
) -> None:
    """Refuse outcomes outside [0, 1], or that do not sum to 1.

    Corrected beliefs may leave it, but sum to what is known of them.
    """
    if summed is None and (y.min() < 0 or y.max() > 1):
        raise DesignError(f"outcomes must lie in [0, 1], found {y.min():g} to {y.max():g}")
    wanted = 1.0 if summed is None else summed
    bad = np.flatnonzero(np.abs(totals - wanted) > _SUM_TOLERANCE)
    if bad.size:
        aim = "1" if summed is None else "what was read of them"
        raise DesignError(
            f"outcomes of {what} {names[int(bad[0])]} sum to {totals[bad[0]]:g} ({bad.size} such "
            f"{what}s): they must sum to {aim}; nothing is renormalised"
        )
