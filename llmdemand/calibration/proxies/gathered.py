"""Beliefs of several models, from a table or panel of each, as columns of one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmdemand.calibration.samples.entries import Model, belief_rows, columns_of, in_memory
from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.outcomes.frames import Reading
from llmdemand.modeling.sample.formula import split, variables
from llmdemand.modeling.sample.sample import NA, column_names, require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gathered"]


def gathered(
    beliefs: Mapping[str, pd.DataFrame | AnyPanel],
    humans: pd.DataFrame,
    formula: str,
    says: list[str],
    *,
    model: Model,
    cluster: str,
    belief: str,
    case: str | None,
    alternative: str,
    focal: str | None,
    na: NA,
    reading: Reading | None,
    weights: str | None,
) -> pd.DataFrame:
    """One row for each respondent and question, one column of mean beliefs for each model.

    Other columns are those of the first model's table.

    Raises
    ------
    DesignError
        For questions that some model was not asked.
    UsageError
        For fewer than two models, or panels of choices among several alternatives.
    """
    import pandas as pd

    if len(beliefs) < 2:
        raise UsageError("beliefs by model: give at least two")
    _, parts = split(formula)
    read = {name: in_memory(humans, one, cluster) for name, one in beliefs.items()}
    some = next(iter(read.values()))
    known, _ = columns_of(humans, some.frame if isinstance(some, Panel) else some)
    named = list(dict.fromkeys(v for p in parts for v in variables(p, known)))
    keys = [cluster, *([case] if case else []), *([alternative] if model == "clogit" else [])]
    keys = list(dict.fromkeys([*keys, *named]))
    columns, first = [], None
    for name, one in read.items():
        if isinstance(one, Panel) and model == "clogit":
            raise UsageError(
                "several panels of choices among alternatives: make one table of them, with a "
                "column of beliefs for each, and name these with proxies=[...]"
            )
        notes: list[str] = []
        rows = belief_rows(one, model, cluster, focal, reading, notes, weights or "")
        says.extend(f"{name}: {n}" for n in notes)
        require([*keys, belief], column_names(rows), f"among the beliefs of {name!r}")
        columns.append(rows.groupby(keys, observed=True)[belief].mean().rename(str(name)))
        if first is None:
            first = rows.drop(columns=[belief]).drop_duplicates(keys).set_index(keys)
    assert first is not None
    found = pd.concat(columns, axis=1)
    lost = found.isna().any(axis=1)
    if lost.any():
        told = f"{int(lost.sum()):,} of {len(found):,} questions were not answered by every model"
        if na == "raise":
            where = ", ".join(
                f"{k} {v}" for k, v in zip(keys, _tuple(found.index[lost][0]), strict=True)
            )
            raise DesignError(
                f"{told} (the first: {where}): ask all of them, or leave those out with na='drop'"
            )
        says.append(f"{told} and are left out")
    rest = [c for c in first.columns if c not in found.columns]
    return found[~lost].join(first[rest]).reset_index()


def _tuple(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple) else (value,)
