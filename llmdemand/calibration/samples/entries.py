"""The two sides as they come: beliefs as rows, complete, in [0, 1], with ids that can be joined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import PanelShards, drawn_note, sampled
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Codes
from llmdemand.modeling.outcomes.frames import (
    Outcomes,
    Reading,
    default_reading,
    demand_frame,
    market_frame,
    outcomes,
)
from llmdemand.modeling.outcomes.measured import WHOSE
from llmdemand.modeling.outcomes.readable import among_readable
from llmdemand.modeling.sample.sample import codes, column_names

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "TASK",
    "Model",
    "belief_rows",
    "check_beliefs",
    "check_outcomes",
    "columns_of",
    "complete",
    "respondent_ids",
    "shown",
]

Model = Literal["logit", "fraclogit", "clogit"]
#: Column that numbers the choice situations of a panel's respondents.
TASK = "task of calibration"


def in_memory(humans: Any, beliefs: Any, cluster: str) -> Any:
    """The beliefs; of shards all runs of the humans, and those of some further respondents.

    The others are drawn by their names alone, so that what is estimated stays valid; that there
    are fewer of them than were asked is said.
    """
    import pandas as pd

    if not isinstance(beliefs, PanelShards):
        return beliefs
    if not isinstance(humans, pd.DataFrame) or cluster not in humans.columns:
        return sampled(beliefs, "people")  # what is wrong is said where humans are read
    names = [str(p["id"]) for p in beliefs.study.personas]
    own, llm = respondent_ids(humans[cluster], pd.Series(names, dtype=object))
    asked = set(own.tolist())
    return beliefs.people([n for n, i in zip(names, llm.tolist(), strict=True) if i in asked])


def belief_rows(
    beliefs: Any,
    model: Model,
    cluster: str,
    focal: str | None,
    reading: Reading | None,
    dropped: list[str],
    weights: str | None = None,
) -> pd.DataFrame:
    """The beliefs as rows; of a panel with the respondents' column.

    At the pivot the rows that have one; of final choices all rows, belief corrected and, where
    some answers are unread, as the share among those that are read (`among_readable`), by the
    prices that were asked. A study's sampling weights stand in the column `weights`; with ``""``
    they are left aside, and with None they are refused.
    """
    import pandas as pd

    if not isinstance(beliefs, Panel):
        if not isinstance(beliefs, pd.DataFrame):
            raise UsageError(
                f"beliefs is {type(beliefs).__name__}: give a Panel or a pandas DataFrame"
            )
        if reading is not None:
            raise UsageError(
                f"reading={reading!r} is for a Panel, which knows what its answers say: of a table "
                "name the column with belief=..."
            )
        return beliefs
    own = beliefs.study.weights
    if weights is None:
        beliefs.study.unweighted("this use of beliefs (calibrate takes them)")
    dropped.extend(f"the LLM answers are {note}" for note in drawn_note(beliefs))
    found = outcomes(beliefs, reading or default_reading(beliefs), silent=True)
    if found.reading == "final":
        found = _readable(found, beliefs, dropped)
    elif lost := len(beliefs) - len(beliefs.usable):
        dropped.append(f"{lost:,} of {len(beliefs):,} LLM answers have no belief and are left out")
    if found.reading in ("stated", "similarity"):
        dropped.append(f"the LLM answers are {WHOSE[found.reading]}")
    frame = (
        market_frame(beliefs, found) if model == "clogit" else demand_frame(beliefs, focal, found)
    )
    if cluster not in frame.columns and cluster == "respondent_id":
        # Panels of studies with personas in place of respondents.
        frame = frame.assign(respondent_id=frame["persona_id"])
    if own and weights:
        frame = frame.assign(**{weights: frame[own].astype(np.float64)})
    return _tasks(frame, beliefs, cluster) if model == "clogit" else frame


def _readable(found: Outcomes, panel: Panel, said: list[str]) -> Outcomes:
    """Corrected beliefs of all runs, that sum to 1."""
    told = f"belief is corrected by the final choices of {panel.provenance.get('final_reader')}"
    said.append(f"{told} ({found.changes:,} of {len(panel):,} LLM answers change it)")
    if found.labels:
        said.append(found.labels)
    if (found.read == 1).all():
        return found
    cell, first = codes(found.frame, _shown(panel))
    if (np.bincount(cell, found.read, len(first)) <= 0).any():
        # Prices of each respondent's own: there are no answers to compare with.
        cell = np.zeros(len(cell), np.intp)
    unread = 1 - float(found.read.mean())
    said.append(
        f"{100 * unread:.2g} % of the LLM answers are read as no choice: shares are those among "
        f"the others, {'at equal prices' if cell.any() else 'over all prices'}"
    )
    belief = among_readable(found.belief, found.read, cell)
    return replace(found, belief=belief, read=np.ones(len(belief)))


def _shown(panel: Panel) -> list[str]:
    """Columns of what alternatives differ in: prices and attributes."""
    return [*(f"price_{a}" for a in panel.study.prices), *panel.study.attribute_columns]


def _tasks(frame: pd.DataFrame, panel: Panel, cluster: str) -> pd.DataFrame:
    """Mean belief over the runs of a respondent who is shown the same: one case each."""
    task, _ = codes(frame, [cluster, *_shown(panel)])
    found = frame.assign(**{TASK: task})
    keys = [TASK, "alternative"]
    mean = found.groupby(keys, observed=True, sort=False)["belief"].transform("mean")
    return found.assign(belief=mean).drop_duplicates(keys).reset_index(drop=True)


def complete(
    frame: pd.DataFrame, name: str, na: str, dropped: list[str], whole: Sequence[str] = ()
) -> tuple[pd.DataFrame, Codes]:
    """Rows without missing or infinite values, and which they are.

    Of choice sets, which the columns `whole` tell apart, all rows or none.
    """
    bad = frame.isna()
    for column in frame.columns:
        if frame[column].dtype.kind == "f":
            bad[column] |= np.isinf(frame[column].to_numpy(np.float64))
    rows = bad.any(axis=1).to_numpy()
    if not rows.any():
        return frame, np.arange(len(frame))
    where = ", ".join(repr(str(c)) for c in frame.columns[bad.any()])
    if na == "raise":
        raise DesignError(
            f"{name}: {int(rows.sum())} rows have missing or infinite values in {where} (the first "
            f"is row {int(np.flatnonzero(rows)[0])}): mend them, or leave them out with na='drop'"
        )
    said = f"{int(rows.sum()):,} rows of {name} with missing values in {where} left out"
    if whole:
        # A set without one of its alternatives is another set.
        keys = [frame[c] for c in whole]
        sets = bad.any(axis=1).groupby(keys, dropna=False, observed=True).transform("any")
        said += f", with {int(sets.sum() - rows.sum()):,} more rows of the same choice sets"
        rows = sets.to_numpy()
    dropped.append(said)
    return frame[~rows].reset_index(drop=True), np.flatnonzero(~rows)


def columns_of(humans: Any, llm: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Columns of both sides, which must be frames with rows."""
    import pandas as pd

    if isinstance(humans, Panel):
        raise UsageError(
            "humans is a panel of a language model: give the humans' answers as a data frame "
            "first, the beliefs second"
        )
    if not isinstance(humans, pd.DataFrame):
        raise UsageError(f"humans is {type(humans).__name__}: give a pandas DataFrame")
    for name, frame in (("humans", humans), ("beliefs", llm)):
        if frame.empty:
            raise DesignError(f"{name} has no rows: there is nothing to compare or to calibrate")
    return column_names(humans), column_names(llm)


def check_outcomes(values: Any, name: str, model: Model) -> None:
    """Refuse outcomes other than 0/1 (fractions in a fractional logit), with their codes."""
    if values.dtype.kind not in "fiub":
        raise DesignError(f"outcome {name!r} holds {values.dtype}, not numbers: give 0 and 1")
    y = values.to_numpy(np.float64)
    inside = (y >= 0) & (y <= 1) if model == "fraclogit" else (y == 0) | (y == 1)
    if inside.all():
        return
    strange = sorted(set(y[~inside].tolist()))
    shown = ", ".join(f"{v:g}" for v in strange[:3]) + (", ..." if len(strange) > 3 else "")
    row = int(np.flatnonzero(~inside)[0])
    hint = (
        "if that means 'no answer', leave the rows out and say how many: they are no choices of 0"
        if any(v < 0 or v > 1 for v in strange)
        else "probabilities that humans state are fitted with model='fraclogit'"
    )
    wanted = "in [0, 1]" if model == "fraclogit" else "0 or 1"
    raise DesignError(
        f"outcome {name!r} has the codes {shown} in {int((~inside).sum())} rows (the first is row "
        f"{row}); {wanted} is expected: {hint}"
    )


def check_beliefs(values: Any, name: str, where: str) -> None:
    """Refuse beliefs that are no probabilities."""
    if values.dtype.kind not in "fiub":
        raise DesignError(f"{name!r} of the {where} holds {values.dtype}, not numbers in [0, 1]")
    f = values.to_numpy(np.float64)
    bad = np.flatnonzero((f < 0) | (f > 1))
    if bad.size:
        raise DesignError(
            f"{bad.size} beliefs of the {where} lie outside [0, 1] (row {int(bad[0])}: "
            f"{f[bad[0]]:g}): a belief is a probability; percentages are divided by 100 first"
        )


def respondent_ids(humans: Any, llm: Any) -> tuple[Any, Any]:
    """Respondents of both sides in one type: numbers if both are whole numbers, else text.

    Raises
    ------
    DesignError
        If a human and an LLM respondent are named alike but not the same, as ``007`` and 7:
        they would be taken for two people.
    """
    whole = [s.dtype.kind in "iu" for s in (humans, llm)]
    if all(whole):
        return humans.to_numpy(), llm.to_numpy()
    found = _text(humans), _text(llm)
    own, other = (dict.fromkeys(ids.tolist()) for ids in found)
    lone = [name for name in own if name not in other]
    strangers = {_plain_id(i): i for i in other if i not in own} if lone else {}
    for name in lone:
        if (twin := strangers.get(_plain_id(name))) is not None:
            raise DesignError(
                f"respondent {name!r} of the humans and {twin!r} of the beliefs are not the same "
                "name but look like one person's (zeros in front, spaces, capitals): write "
                "respondents alike on both sides, or different ones differently; read_csv(..., "
                "dtype={'respondent_id': str}) keeps zeros in front"
            )
    return found


def _text(ids: Any) -> Any:
    # 7.0, as a CSV file with a gap gives it, is respondent 7; also among objects or categories.
    whole = ids.map(lambda v: int(v) if isinstance(v, float) and v % 1 == 0 else v)
    return whole.astype(str).to_numpy(object)


def _plain_id(name: str) -> str:
    """What is left of a name when spreadsheets have had their way with it."""
    plain = name.strip().casefold()
    number = re.fullmatch(r"0*([0-9]+)(\.0*)?", plain)
    return number[1] if number else plain


def shown(value: Any) -> Any:
    """A number of numpy's as one of Python's, for messages."""
    return value.item() if isinstance(value, np.generic) else value
