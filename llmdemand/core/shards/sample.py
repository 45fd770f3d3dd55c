"""A sample of a panel's runs that fits into memory, the same however they are divided."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.core.panel import Panel
from llmdemand.core.shards.part import Part
from llmdemand.core.shards.together import together
from llmdemand.core.study import Study
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import map_merge, mapped

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST", "Sample", "draw_sample"]

#: Runs that are drawn at most; panels up to it are used whole.
MOST = 20_000

# Where there are more cells than leave each so many runs, cells are drawn too.
_LEAST = 8

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, repr=False)
class Sample(Panel):
    """Some runs of a larger panel, in memory.

    Attributes
    ----------
    note : str
        How many of how many, and how they were drawn; empty where they are all.
    """

    note: str = ""


def draw_sample(
    parts: Sequence[Part],
    study: Study,
    provenance: dict[str, Any],
    *,
    by: str = "cell",
    most: int | None = None,
    seed: int = 1,
    first: Collection[str] = (),
    executor: Executor = None,
) -> Sample:
    """A sample of the runs of all parts, by cell, replicate and id.

    Which runs are drawn depends on their ids and the seed alone: neither on the parts nor on
    their order.

    Parameters
    ----------
    parts : sequence of Part
        Of one panel.
    study, provenance
        Of that panel.
    by : str
        ``cell``: equally many runs of every cell, as far as it has them; of more cells than
        leave each eight, some cells. Another column, as ``persona_id``: all runs of some of its
        values.
    most : int, optional
        Runs at most; `MOST` by default.
    seed : int
        Of the draw.
    first : collection of str
        Values of `by` that are drawn before others, all of them, as the people whose own answers
        are at hand.
    executor
        Who does the work; see `llmdemand.scale.merging.map_merge`.

    Returns
    -------
    Sample

    Raises
    ------
    PanelError
        As parts do that cannot be read.
    """
    most = MOST if most is None else most
    total, keep, note = sum(len(part) for part in parts), None, ""
    by = by if any(p.get("id") for p in study.personas) else "cell"
    if total > most:
        keep, note = _plan(parts, by, most, seed, frozenset(first), executor)
        note = f"from {{:,}} of {total:,} runs, {note}"
    frames = list(mapped(partial(_rows, by=by, keep=keep, seed=seed), parts, executor))
    order = ["cell", "replicate", "run_id"]
    files = [part.path for part in parts]
    frame = together(frames, files).sort_values(order, kind="stable", ignore_index=True)
    return Sample(frame, study, provenance, note.format(len(frame)))


def _plan(
    parts: Sequence[Part],
    by: str,
    most: int,
    seed: int,
    first: frozenset[str],
    executor: Executor,
) -> tuple[pd.Series[Any], str]:
    """The largest hash that is kept, by cell (or another value), and that in words."""
    import pandas as pd

    add = lambda a, b: a.add(b, fill_value=0)  # noqa: E731
    counts = map_merge(partial(_counts, by=by), parts, executor, merge=add).sort_index()
    number, each = counts.to_numpy(np.int64), np.inf if by != "cell" else _LEAST
    known = np.array([name in first for name in counts.index], bool)
    turn = np.lexsort((_hashes(counts.index, seed), ~known))
    inside = (np.cumsum(np.minimum(number, each)[turn]) <= most) | known[turn]
    some = np.sort(turn[inside])
    of = f"{len(some):,}" + (f" of {len(counts):,}" if len(some) < len(counts) else "")
    if by != "cell":
        everything = np.iinfo(np.uint64).max
        keep = pd.Series(everything, counts.index[some], np.uint64)
        return keep, f"all those of {of} {by}s, drawn by their names"
    number = number[some]
    grid = np.arange(1, int(number.max(initial=1)) + 1)
    rising = np.sort(number)
    below = np.append(0, np.cumsum(rising))
    place = np.searchsorted(rising, grid)
    quota = int(grid[below[place] + (len(rising) - place) * grid <= most].max(initial=1))
    smallest = _Smallest(counts.index[some], quota, seed)
    found = map_merge(smallest, parts, executor, merge=smallest.merged)
    text = f"at most {quota:,} of each of {of} cells, drawn by their ids"
    return found.groupby("cell")["hash"].max(), text


def _counts(part: Part, by: str) -> pd.Series[int]:
    return part.frame([by])[by].value_counts()


@dataclass(frozen=True)
class _Smallest:
    """The runs of smallest hash in each of some cells."""

    cells: Any
    quota: int
    seed: int

    def __call__(self, part: Part) -> pd.DataFrame:
        frame = part.frame(["cell", "run_id"])
        frame = frame[frame["cell"].isin(self.cells)]
        return self._first(frame.assign(hash=_hashes(frame["run_id"], self.seed))[["cell", "hash"]])

    def merged(self, a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        return self._first(pd.concat([a, b]))

    def _first(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.sort_values("hash").groupby("cell").head(self.quota)


def _rows(part: Part, by: str, keep: pd.Series[Any] | None, seed: int) -> pd.DataFrame:
    frame = part.panel().frame
    if keep is None:
        return frame
    frame = frame[frame[by].isin(keep.index)]
    most = keep.reindex(frame[by]).to_numpy(np.uint64)
    return frame[_hashes(frame["run_id"], seed) <= most]


def _hashes(values: Any, seed: int) -> Hashes:
    import pandas as pd

    text = np.asarray([str(v) for v in values], object)
    return pd.util.hash_array(text, hash_key=f"{seed:016d}"[-16:], categorize=False)
