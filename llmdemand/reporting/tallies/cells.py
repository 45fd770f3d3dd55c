"""Beliefs and choices as sums and squares within cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel, Tally, totalled
from llmdemand.modeling.outcomes.corrected import reserved, surprise
from llmdemand.modeling.outcomes.frames import Reading, demand_frame, outcomes, readings
from llmdemand.scale.sums import Moments, Sums

__all__ = ["CellSums", "cell_sums", "cell_tallies"]

_COLUMNS = ["b", "y", "n", "m", "gap", "noise", "z", "zz", "whole", "price"]


@dataclass(frozen=True)
class CellSums:
    """Sums by cell, and what is known of all runs together.

    Attributes
    ----------
    cells : pandas.DataFrame
        By cell: ``price``; ``runs``; ``n`` and ``m`` (what beliefs and choices sum to); sums
        ``b, y`` of beliefs and choices; squared deviations ``ss_b, ss_y``, and ``ss_within``,
        what sampling an answer adds to the former; ``gap`` and ``noise``, the sum of choice less
        belief at the pivot and its variance; where answers were stopped, ``whole``, whole ones
        that were read.
    reading, plain, believed, weighted
        As of `Outcomes`: whether answers were stopped, and belief is that at the pivot.
    labels : bool
        Whether labels corrected choices.
    notes : tuple of str
        What the reader has to know of the correction.
    """

    cells: pd.DataFrame
    reading: Reading
    plain: bool
    believed: int
    weighted: bool
    labels: bool
    notes: tuple[str, ...]


def cell_sums(panel: AnyPanel, reading: Reading) -> CellSums:
    """Sums by cell.

    Notes
    -----
    Of corrected beliefs ``ss_b`` is of ``b~ - r sum b~ / sum r``, by the share that was read:
    what the ratio of the sums varies by; ``ss_within`` is what choice varies by beyond that.

    Where answers were stopped, y and m are sums of weights w, and with N runs in a cell
    ``y (m - y) / (N (N - 1))``, which has no product of an answer with itself, is unbiased for
    p (1 - p), the variance of a choice, whichever answers were whole; the share that was read is
    that of all cells of a price. Such a panel is to be in memory: what corrects its beliefs is
    learnt from all runs together.
    """
    found = totalled(partial(_tally, reading=reading), panel)
    plain = not found["apart"]
    notes = found["notes"]
    if found["corrected"]:
        notes = reserved(found["changes"], found["unusable"])
    return CellSums(
        _cells(found["moments"], plain=plain, weighted=bool(found["weighted"])),
        reading,
        plain,
        found["believed"],
        bool(found["weighted"]),
        bool(found["labels"]),
        notes,
    )


def cell_tallies(reading: Reading) -> tuple[Tally, ...]:
    """What `cell_sums` takes of each part, for `tallied`."""
    return (partial(_tally, reading=reading),)


def _tally(panel: Panel, reading: Reading) -> Sums:
    found = outcomes(panel, reading)
    frame, focal = demand_frame(panel, found=found), panel.study.menu.index(panel.study.focal)
    b, y = frame["belief"].to_numpy(float), found.counted[:, focal]
    rows = pd.DataFrame({"b": b, "y": y, "n": found.read, "m": found.counted.sum(axis=1)})
    rows["gap"], rows["noise"], rows["z"], rows["zz"] = y - b, b * (1 - b), 0.0, 0.0
    rows["whole"], rows["price"] = (rows["m"] != 0).astype(float), frame["price"].to_numpy(float)
    changes = unusable = 0
    if reading == "final":
        asked = readings(panel)
        z = surprise(asked.belief, asked.pivot, asked.usable)
        rows["z"] = z[panel.frame.index.isin(frame.index), focal]
        rows["zz"] = rows["z"] ** 2
        changes = int(asked.changed.sum())
        unusable = int((~asked.usable & (asked.final >= 0)).sum())
    return Sums(
        moments=Moments.of(frame["cell"].to_numpy(), rows[_COLUMNS].to_numpy(float)),
        apart=int(not found.plain),
        believed=found.believed,
        weighted=int(found.weight is not None),
        labels=int(bool(found.labels)),
        notes=(*found.stopping, *found.notes) if found.weight is not None else (),
        corrected=int(
            reading == "final" and found.weight is None and not panel.study.sampling.branch
        ),
        changes=changes,
        unusable=unusable,
    )


def _cells(found: Moments, *, plain: bool, weighted: bool) -> pd.DataFrame:
    cells = pd.DataFrame(found.total, pd.Index(found.keys, name="cell"), _COLUMNS)
    cells["runs"], cells["price"] = found.n.astype(int), found.first[:, -1]
    squares = found.products
    if plain:
        cells["m"], cells["ss_b"], cells["ss_y"] = found.n, squares[:, 0, 0], squares[:, 1, 1]
        cells["ss_within"] = (cells["n"] - 1) * cells["noise"] / cells["n"]
        return cells.drop(columns=["z", "zz", "whole"])
    cells["gap"], cells["noise"] = cells["z"], cells["zz"]
    # Where cells have few whole answers, the share that was read is known by price alone.
    alike = cells.groupby("price")[["n", "runs"]].transform("sum") if weighted else cells
    rate = alike["n"] / alike["runs"]
    for k, column in enumerate(("b", "y")):
        share = (cells[column] / cells["runs"] / rate.where(rate > 0)).fillna(0.0).to_numpy(float)
        of, cross, own = (squares[:, i, j] for i, j in ((k, k), (k, k + 2), (k + 2, k + 2)))
        cells[f"ss_{column}"] = np.maximum(of - 2 * share * cross + share**2 * own, 0.0)
    if weighted:
        cells["ss_y"] = cells["y"] * (cells["m"] - cells["y"]) / (cells["runs"] * rate)
    for column in ("ss_b", "ss_y"):
        cells[column] = (cells[column] / rate).where(rate > 0, 0.0)
    cells["ss_within"] = cells["ss_y"] - cells["ss_b"]
    return cells.drop(columns=["z", "zz", *([] if weighted else ["whole"])])
