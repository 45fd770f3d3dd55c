"""Tasks as a table: written for surveys and spreadsheets, read from other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmdemand.core.experiment.conjoint import Conjoint, holdout
from llmdemand.core.experiment.space import Slot, Space, Task
from llmdemand.errors import StudyError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["listed", "read_tasks"]

_TASK, _BLOCK = "task", "block"


def listed(given: Conjoint, space: Space) -> pd.DataFrame:
    """One row per task: ``task``, ``block`` (from 1; missing for holdouts), levels by column.

    Columns are those of a panel: ``price_<alternative>``, ``<attribute>_<alternative>``.
    """
    import pandas as pd

    rows = []
    for k, task in enumerate(given.design):
        block = given.block[k] + 1 if k < given.total else None
        levels = zip(space.slots, task, strict=True)
        shown = {_column(slot): slot.levels[level] for slot, level in levels}
        rows.append({_TASK: given.names[k], _BLOCK: block, **shown})
    return pd.DataFrame(rows).astype({_BLOCK: "Int64"})


def read_tasks(text: str, where: str, space: Space) -> dict[str, Any]:
    """The tasks of a CSV table as `listed` writes it, whoever made it.

    Parameters
    ----------
    text : str
        Of the file. Columns ``task`` and ``block`` may be missing: tasks are then numbered, and
        of one block. Tasks whose name begins with ``h`` are holdouts.
    where : str
        Name of the file in messages.
    space : Space
        The factors, each of which has a column.

    Returns
    -------
    dict
        Fields of `Conjoint`: ``tasks, holdouts, blocks, design, block``.

    Raises
    ------
    StudyError
        For a table that cannot be read, missing or unknown columns, and levels that there are
        not; rows are counted from 1, the header left out.
    """
    try:
        lines = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise StudyError(f"{where}: is not CSV that can be read ({error})") from None
    if len(lines) < 2:
        raise StudyError(f"{where}: the table has no tasks: give a header and one row per task")
    names, *rows = lines
    columns = [_column(slot) for slot in space.slots]
    _check_names(names, columns, where)
    tasks: list[Task] = []
    held: list[Task] = []
    blocks: list[int] = []
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise StudyError(
                f"{where}: row {number} has {len(row)} values, the header {len(names)}"
            )
        by_name = dict(zip(names, (value.strip() for value in row), strict=True))
        task = tuple(
            _level(slot, by_name[column], f"{where}: row {number}, column {column!r}")
            for slot, column in zip(space.slots, columns, strict=True)
        )
        if holdout(by_name.get(_TASK)):
            held.append(task)
        else:
            tasks.append(task)
            blocks.append(_block(by_name, f"{where}: row {number}"))
    if not tasks:
        raise StudyError(f"{where}: all tasks are holdouts: there is none to fit to")
    return {
        "tasks": (len(tasks),),
        "holdouts": len(held),
        "blocks": max(blocks) + 1,
        "design": (*tasks, *held),
        "block": tuple(blocks),
    }


def _column(slot: Slot) -> str:
    return f"{slot.factor}_{slot.alternative}"


def _check_names(names: Sequence[str], columns: Sequence[str], where: str) -> None:
    known = [_TASK, _BLOCK, *columns]
    for name in names:
        if name not in known or names.count(name) > 1:
            what = "twice" if name in known else f"not known{nearest(name, known)}"
            raise StudyError(f"{where}: column {name!r} is {what}: columns are {', '.join(known)}")
    missing = [c for c in columns if c not in names]
    if missing:
        raise StudyError(
            f"{where}: there is no column {missing[0]!r}: columns are {', '.join(known)}"
        )


def _level(slot: Slot, value: str, where: str) -> int:
    # The mark by which tables keep spreadsheets from running a text.
    value = value.removeprefix("'") if value not in slot.levels else value
    texts = [f"{v:g}" if isinstance(v, float) else v for v in slot.levels]
    if not isinstance(slot.levels[0], str):
        try:
            return slot.levels.index(float(value))
        except ValueError:
            pass
    elif value in texts:
        return texts.index(value)
    raise StudyError(f"{where}: no level {value!r}{nearest(value, texts)}: use {', '.join(texts)}")


def _block(row: Mapping[str, str], where: str) -> int:
    value = row.get(_BLOCK, "1")
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise StudyError(f"{where}: block is {value!r}: give a whole number from 1")
    return int(value) - 1
