"""The columns of a panel, by what its study asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmdemand.core.study import Study

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "branch_columns",
    "columns",
    "completed",
    "head",
    "levels_of",
    "measure_columns",
    "varied",
    "with_final_status",
]

_PLAIN_COLUMNS = [
    "run_id",
    "cell",
    "replicate",
    "persona_id",
    "order",
    "status",
    "choice",
    "decided_mass",
    "undecided_mass",
    "tail_mass",
    "pivot_index",
    "pivot_token",
    "pivot_listed",
    "final_choice",
    "final_status",
    "mismatch",
    "later_names",
    "reason",
    "text",
    "model",
    "backend",
    "temperature",
    "prompt_tokens",
    "completion_tokens",
]


def columns(study: Study) -> list[str]:
    """The columns of a panel of this study, in order."""
    ids = study.menu.ids
    tail = _PLAIN_COLUMNS[7:]
    thoughts = [*(f"between_{a}" for a in ids), "thoughts"] if study.sampling.thinking else []
    thoughts += ["thought_cut"] if study.thoughts else []
    return [
        *head(study),
        *varied(study),
        *(f"price_{a}" for a in study.prices),
        *study.attribute_columns,
        "status",
        "choice",
        *(f"{kind}_{a}" for kind in ("belief", "lo", "hi") for a in ids),
        *thoughts,
        *(branch_columns(ids) if study.sampling.branch else []),
        *tail,
        *measure_columns(study),
    ]


def measure_columns(study: Study) -> list[str]:
    """What a panel says of a measure other than log-probabilities."""
    stated = ["stated_sum"] if study.measure == "stated" else []
    return [*(["measure"] if study.measure != "logprob" else []), *stated]


def branch_columns(ids: Sequence[str]) -> list[str]:
    """What a panel says of branches besides belief."""
    return ["branches", "branch_tokens", "pivot_choice", *(f"pivot_belief_{a}" for a in ids)]


def head(study: Study) -> list[str]:
    """Columns that say which run it is."""
    *head, order = _PLAIN_COLUMNS[:5]
    return [*head, *(["respondent_id"] if study.respondents else []), order]


def varied(study: Study) -> list[str]:
    """Columns of the factors that a study need not have."""
    variant = ["variant"] if study.variants else []
    task = ["task", "holdout"] if study.conjoint is not None else []
    return [*variant, *(["arm"] if study.arms != ("blind",) else []), *task]


def levels_of(
    study: Study, frame: pd.DataFrame, alternative: str, *, filled: bool
) -> dict[str, pd.Series[Any]]:
    """Levels of an alternative's attributes, by attribute; see `Panel.long`."""
    import pandas as pd

    found = {}
    for x in study.attributes:
        own = frame.get(x.column(alternative)) if alternative in study.prices else None
        if own is None:
            missing: Any = float("nan") if x.numeric else None
            own = pd.Series([x.levels[0] if filled else missing] * len(frame), frame.index)
        kind = float if x.numeric else pd.CategoricalDtype(list(x.levels), ordered=False)
        found[x.name] = own.astype(kind)
    return found


def completed(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with the columns that panels of earlier versions do not have."""
    import pandas as pd

    if "pivot_listed" not in frame.columns:
        frame = frame.assign(pivot_listed=pd.array([pd.NA] * len(frame), dtype="boolean"))
    if "thoughts" in frame.columns and "thought_cut" not in frame.columns:
        frame = frame.assign(thought_cut=float("nan"))
    missing = [c for c in ("reason", "later_names") if c not in frame.columns]
    return frame.assign(**dict.fromkeys(missing, ""))


def with_final_status(frame: pd.DataFrame) -> pd.DataFrame:
    """Frames of earlier versions, which told stopped from whole answers by `mismatch`.

    Their final choice is the last decision of the automaton that finds pivots.
    """
    if not {"final_choice", "mismatch"} <= set(frame.columns):
        return frame
    status = frame["final_choice"].notna().map({True: "read", False: "unread"})
    status = status.mask(frame["mismatch"].isna(), "stopped")
    known = frame["final_choice"].notna() & frame["choice"].notna()
    mismatch = frame["mismatch"].astype("boolean").where(known)
    frame = frame.assign(mismatch=mismatch)
    frame.insert(list(frame.columns).index("final_choice") + 1, "final_status", status)
    return frame
