"""How many runs of which status are in the parts of a panel, and that none is there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmdemand.core.panel import WHOLE
from llmdemand.core.shards.part import Part
from llmdemand.errors import PanelError
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import map_merge

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Counts", "counts"]


@dataclass(frozen=True)
class Counts:
    """What parts hold, before anything is known of how they are to be read.

    Attributes
    ----------
    statuses, finals : Counter
        Runs by status, and by final status.
    whole : bool
        Whether probabilities of a whole answer are known.
    labelled : bool
        Whether people have labelled a sample.
    ids : (N,) array
        Of each run's name, 64 bits of a hash; of all parts together none is kept.
    """

    statuses: Counter[str]
    finals: Counter[str]
    whole: bool
    labelled: bool
    ids: NDArray[np.uint64]

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.statuses + other.statuses,
            self.finals + other.finals,
            self.whole or other.whole,
            self.labelled or other.labelled,
            np.concatenate([self.ids, other.ids]),
        )


def counts(parts: Sequence[Part], executor: Executor = None) -> Counts:
    """Statuses of all runs, from three columns of each part; each run is there once.

    Parameters
    ----------
    parts : sequence of Part
        Of one panel.
    executor
        See `llmdemand.scale.merging.map_merge`.

    Raises
    ------
    PanelError
        For a run that is in two parts: it would be counted twice.
    """
    found = map_merge(_counted, parts, executor)
    ids, times = np.unique(found.ids, return_counts=True)
    if (times > 1).any():
        _refuse_twice(parts, set(ids[times > 1].tolist()))
    return replace(found, ids=found.ids[:0])


def _hashes(names: pd.Series[str]) -> NDArray[np.uint64]:
    import pandas as pd

    return np.asarray(pd.util.hash_array(names.to_numpy(object), categorize=False), np.uint64)


def _counted(part: Part) -> Counts:
    known = part.columns()
    frame = part.frame(["run_id", "status"])
    finals: Counter[str] = Counter()
    if "final_status" in known:
        finals.update(part.frame(["final_status"])["final_status"].tolist())
    else:
        finals.update(part.panel().frame["final_status"].tolist())
    return Counts(
        Counter(frame["status"].tolist()),
        finals,
        WHOLE in known,
        "label_probability" in known,
        _hashes(frame["run_id"]),
    )


def _refuse_twice(parts: Sequence[Part], twice: set[int]) -> None:
    seen: dict[str, str] = {}
    for part in parts:
        names = part.frame(["run_id"])["run_id"]
        for name in names[np.isin(_hashes(names), np.array(list(twice), np.uint64))]:
            if name in seen:
                raise PanelError(
                    f"run {name!r} is in {seen[name]} and in {part.path}: every run is one row; "
                    "take one of the files away"
                )
            seen[name] = part.path
