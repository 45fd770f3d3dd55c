"""What rows of a panel may not hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmdemand.core.rows.columns import columns, varied
from llmdemand.core.rows.statuses import FINAL_STATUSES, STATUSES, USABLE, WHOLE
from llmdemand.core.study import Study
from llmdemand.errors import PanelError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["validate"]

_NUMBERS = (
    "price_",
    "belief_",
    "lo_",
    "hi_",
    "decided_mass",
    "undecided_mass",
    "tail_mass",
    "cell",
    "stated_sum",
)
_SUM_TOLERANCE = 1e-6


def validate(frame: pd.DataFrame, study: Study) -> None:
    """Check that a frame is a panel of a study.

    Raises
    ------
    PanelError
        For a missing column or an impossible value, with its row.
    """
    import numpy as np
    import pandas as pd

    wanted = columns(study)
    for column in wanted:
        if column not in frame.columns:
            raise PanelError(
                f"column {column!r} is missing{nearest(column, list(map(str, frame.columns)))}"
            )
    _one_measure(frame, study)
    if frame["run_id"].duplicated().any():
        run = frame.loc[frame["run_id"].duplicated(), "run_id"].iloc[0]
        raise PanelError(f"run {run!r} is in the panel twice: every run is one row")
    _all(frame, frame["status"].isin(list(STATUSES)), f"status is not one of {list(STATUSES)}")
    known = frame["choice"].isna() | frame["choice"].isin(list(study.menu.ids))
    _all(frame, known, f"choice is not one of {list(study.menu.ids)}")
    _all(
        frame,
        frame["final_status"].isin(list(FINAL_STATUSES)),
        f"final_status is not one of {list(FINAL_STATUSES)}",
    )
    read = frame["final_choice"].isin(list(study.menu.ids)) == (frame["final_status"] == "read")
    _all(frame, read, f"final_choice is not one of {list(study.menu.ids)} where it is read")
    tasks = [] if study.conjoint is None else list(study.conjoint.names)
    levels: dict[str, list[Any]] = {
        "variant": [v.id for v in study.variants],
        "arm": list(study.arms),
        "task": tasks,
        "holdout": [True, False],
    }
    for column in varied(study):
        found = frame[column].isin(levels[column])
        _all(frame, found, f"{column} is not one of {levels[column]}")
    for column, attribute in study.attribute_columns.items():
        known = frame[column].isin(list(attribute.levels))
        _all(frame, known, f"{column} is not one of {list(attribute.levels)}")
    if study.respondents:
        _all(frame, frame["respondent_id"].notna(), "the respondent_id is missing")
        asked = frame["respondent_id"].isin([p["id"] for p in study.personas])
        _all(frame, asked, "the respondent_id is none of the study's (ids are text)")
    for column in wanted:
        # A column with nothing in it (no pivots at all) is read back without a type.
        filled = column.startswith(_NUMBERS) and frame[column].notna().any()
        if filled and not pd.api.types.is_numeric_dtype(frame[column]):
            raise PanelError(f"column {column!r} holds {frame[column].dtype}, not numbers")
    _all(frame, frame["cell"].notna(), "the cell is missing")
    prices = frame[[f"price_{a}" for a in study.prices]].to_numpy(float)
    _all(frame, np.isfinite(prices).all(axis=1), "a price is not a finite number")
    beliefs = frame[[f"belief_{a}" for a in study.menu.ids]].to_numpy(float)
    inside = np.isnan(beliefs) | ((beliefs >= 0) & (beliefs <= 1))
    _all(frame, inside.all(axis=1), "a belief lies outside [0, 1]")
    summed = np.abs(beliefs.sum(axis=1) - 1) < _SUM_TOLERANCE
    bad = frame["status"].isin([*USABLE, "low_mass"]).to_numpy() & ~summed
    _all(frame, ~bad, "the beliefs of a run with a pivot do not sum to 1")
    if study.measure == "logprob":
        silent = (frame["status"] == "ok") & frame["choice"].isna()
        _all(frame, ~silent, "an ok run has no choice")
    if WHOLE in frame.columns:
        _check_whole(frame)


def _one_measure(frame: pd.DataFrame, study: Study) -> None:
    """Probabilities of several kinds are never in one panel."""
    if study.measure == "logprob" and "measure" not in frame.columns:
        return
    found = sorted(set(frame["measure"].fillna("logprob").astype(str)))
    if found and found != [study.measure]:
        raise PanelError(
            f"the study's measure is {study.measure!r}, and the runs have {', '.join(found)}: "
            "probabilities of several kinds do not go into one panel; keep a panel for each"
        )


def _check_whole(frame: pd.DataFrame) -> None:
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(frame[WHOLE]):
        raise PanelError(f"column {WHOLE!r} holds {frame[WHOLE].dtype}, not numbers")
    pi = frame[WHOLE].to_numpy(float)
    _all(frame, (pi > 0) & (pi <= 1), f"{WHOLE} lies outside (0, 1]")
    stopped = (frame["final_status"] == "stopped").to_numpy()
    _all(frame, ~stopped | (pi < 1), f"an answer was stopped although its {WHOLE} is 1")


def _all(frame: pd.DataFrame, good: Sequence[bool] | Any, problem: str) -> None:
    """Raise with the first offending row."""
    import numpy as np

    bad = np.flatnonzero(~np.asarray(good, bool))
    if bad.size:
        run = frame["run_id"].iloc[int(bad[0])]
        raise PanelError(f"row {int(bad[0])} (run {run!r}) of {bad.size} bad: {problem}")
