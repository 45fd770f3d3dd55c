"""The answers of a panel, respondent by respondent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.batch.newton import Bools
from llmdemand.modeling.estimation.regressors import check_variables
from llmdemand.modeling.outcomes.frames import Outcomes, demand_frame, market_frame, readings
from llmdemand.modeling.sample.designs import ChoiceDesign
from llmdemand.modeling.sample.formula import apart, part, variables, without_offsets
from llmdemand.modeling.tastes.people import People

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Model", "Outcome", "people_of"]

Outcome = Literal["belief", "choice"]
Model = Literal["logit", "clogit"]


def people_of(
    panel: Panel,
    said: Outcomes,
    formula: str,
    *,
    outcome: Outcome,
    alternative: str,
    model: Model,
    respondent: str | None,
) -> People:
    """The answers of a panel by respondent, labelled by their places in it: see `tastes`.

    Raises
    ------
    DesignError
        See `tastes`.
    """
    counted = said.effective
    values = counted if outcome == "choice" else said.belief
    read = said.read if outcome == "belief" else counted.sum(axis=1).round(12)
    kept: Bools = np.asarray(np.isfinite(values).all(axis=1))
    if outcome == "choice":
        kept &= values.any(axis=1)
    if not kept.any() or (outcome == "belief" and not said.believed):
        raise DesignError(
            f"no usable {outcome} in any of {len(panel)} runs: see panel.statuses, or fit the "
            "other outcome"
        )
    rows = replace(
        said,
        frame=said.frame.iloc[np.flatnonzero(kept)],
        belief=said.belief[kept],
        choice=said.choice[kept],
        read=said.read[kept],
        weight=None if said.weight is None else said.weight[kept],
    )
    who = _who(panel, rows.frame, respondent)
    values, read = values[kept], read[kept]
    _chosen(values, read, panel.study.menu.ids, outcome, alternative if model == "logit" else None)
    label = panel.frame.index.get_indexer(rows.frame.index).astype(np.intp)
    guide = None
    if outcome == "belief" and not said.plain:
        guide = _guide(panel, rows, label)
    if model == "clogit":
        x, terms = _market(panel, rows, formula, alternative)
    else:
        place = panel.study.menu.index(alternative)
        x, terms = _bought(panel, rows, formula, alternative)
        values = np.column_stack([values[:, place], read - values[:, place]])
        if guide is not None:
            guide = np.column_stack([guide[:, place], 1 - guide[:, place]])
    return People.of(x, values, read, who, terms, label, guide)


def _chosen(
    values: Array, read: Array, ids: Sequence[str], outcome: Outcome, alternative: str | None
) -> None:
    """Refuse answers in which an alternative never occurs, or nothing else does."""
    total, whole = values.sum(axis=0), float(read.sum())
    asked = ids if alternative is None else (alternative,)
    for name in asked:
        found = float(total[list(ids).index(name)])
        if found == 0 or found == whole:
            often = "none" if found == 0 else "all"
            raise DesignError(
                f"{often} of the {len(values):,} answers choose {name!r} (outcome {outcome}): no "
                "coefficients are finite then, nor is there a spread of them; ask at other prices, "
                "or more often"
            )


def _guide(panel: Panel, said: Outcomes, label: Codes) -> Array:
    """What corrected beliefs correct: belief at the pivot; without it the choice, or nothing."""
    at = readings(panel)
    choice = np.clip(said.choice, 0.0, None)
    whole = choice.sum(axis=1, keepdims=True)
    even = np.full_like(choice, 1 / choice.shape[1])
    choice = np.where(whole > 0, choice / np.where(whole > 0, whole, 1.0), even)
    return np.where(at.usable[label, None], at.belief[label], choice)


def _who(panel: Panel, frame: pd.DataFrame, respondent: str | None) -> Any:
    """Who answered each row."""
    if respondent is None:
        if not panel.study.personas:
            raise DesignError(
                "this study has no respondents: all its answers are one person's. Give it personas "
                "or a table of them (study.with_respondents), or name a column: respondent=..."
            )
        respondent = "persona_id"
    if respondent not in frame.columns:
        raise UsageError(
            f"no column {respondent!r} of respondents{nearest(respondent, list(frame.columns))}: "
            "name one of the panel's, such as persona_id"
        )
    column = frame[respondent]
    empty = column.isna() | (column.astype(str) == "")
    if empty.any():
        raise DesignError(
            f"{int(empty.sum())} answers have no {respondent}: whose they are must be known; leave "
            "them out of the panel, or name another column"
        )
    return np.asarray(column.astype(str), str)


def _bought(
    panel: Panel, said: Outcomes, formula: str, alternative: str
) -> tuple[Array, tuple[str, ...]]:
    """Regressors of buying and, all zero, of not buying."""
    frame = demand_frame(panel, alternative, said).reset_index(drop=True)
    if "|" in formula:
        raise DesignError(f"formula {formula!r}: parts divided by | are for model='clogit'")
    named = _variables([formula], frame)
    check_variables(frame, named, len(frame))
    made = part(formula, frame)
    x = made.matrix(frame)
    return np.stack([x, np.zeros_like(x)], axis=1), made.terms


def _market(
    panel: Panel, said: Outcomes, formula: str, alternative: str
) -> tuple[Array, tuple[str, ...]]:
    """Regressors of all alternatives, in menu order."""
    menu = panel.study.menu
    frame = market_frame(panel, said)
    texts = [t.strip() for t in formula.split("|")]
    if len(texts) > 3:
        raise DesignError(f"formula {formula!r} has {len(texts)} parts divided by |, 3 are known")
    generic, of_case, own_part = [*texts, *["1", "0"][len(texts) - 1 :]]
    named = _variables([generic, of_case, own_part], frame)
    base = next((a.id for a in menu.alternatives if a.outside), None)
    base = base or next(a for a in menu.ids if a != alternative)
    nothing = part("0", frame)
    design = ChoiceDesign(
        generic=nothing if generic in ("0", "-1", "1") else part(generic, frame),
        case=nothing if of_case in ("0", "-1") else part(of_case, frame),
        own=nothing if own_part in ("0", "-1") else part(own_part, frame),
        variables=tuple(named),
        alternatives=(base, *(a for a in menu.ids if a != base)),
        alternative="alternative",
        group="case",
    )
    rows = design.expand(frame)
    return rows.x.reshape(-1, len(menu.ids), rows.x.shape[1]), design.terms


def _variables(texts: list[str], frame: pd.DataFrame) -> list[str]:
    """The columns that a formula names, without gaps."""
    without_offsets(texts, "tastes")
    apart(["belief", "choice"], texts)
    known = [str(c) for c in frame.columns]
    named = list(dict.fromkeys(v for t in texts for v in variables(t, known)))
    gaps = [c for c in named if frame[c].isna().any()]
    if gaps:
        raise DesignError(
            f"{int(frame[gaps].isna().any(axis=1).sum())} answers have no value of "
            f"{', '.join(map(repr, gaps))}: mend them, or leave it out of the formula"
        )
    return named
