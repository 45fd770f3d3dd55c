"""Beliefs as sums by status and price: all that a logit of the price needs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel, Tally, totalled
from llmdemand.errors import DesignError
from llmdemand.modeling.batch.batch import BatchFit, fit_batch
from llmdemand.modeling.batch.sums import Read
from llmdemand.modeling.outcomes.frames import Reading, outcomes, readings
from llmdemand.scale.sums import Sums

__all__ = ["PriceSums", "price_sums", "price_tallies"]

_PARTS = ["r", "y", "yy", "n", "yr", "rr"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PriceSums:
    """Sums of the focal alternative's beliefs.

    Attributes
    ----------
    table : pandas.DataFrame
        By status and price: ``rows`` (runs), ``kept`` (of them, those that say something),
        ``believed`` (with a usable belief), ``apart`` (that change their mind, or do not sum to
        1), and the sums ``r, y, yy, n, yr, rr`` of what beliefs sum to, beliefs, their squares,
        1, and products.
    """

    table: pd.DataFrame

    def of(self, statuses: Collection[str]) -> PriceSums:
        """Those of some statuses."""
        status = self.table.index.get_level_values("status")
        return PriceSums(self.table[status.isin(list(statuses))])

    @property
    def by_price(self) -> pd.DataFrame:
        """All statuses together."""
        return self.table.groupby("price").sum()

    @property
    def parts(self) -> list[Array]:
        """What `llmdemand.modeling.batch.batch.fit_batch` takes: (1, J) each, n and total first."""
        by = self.by_price
        columns = [by[c].to_numpy(float)[None] for c in _PARTS]
        return columns if by["apart"].any() else columns[:3]

    def fit(self) -> BatchFit:
        """The logit of the price.

        Raises
        ------
        DesignError
            Without a usable belief, or with one price.
        """
        by, parts = self.by_price, self.parts
        if not by["kept"].sum() or not by["believed"].sum():
            raise DesignError("no usable run: there is nothing to compare")
        if len(by) < 2:
            raise DesignError("all runs have one price: price sensitivity needs at least two")
        read = Read(*parts[3:]) if len(parts) > 3 else None
        return fit_batch(by.index.to_numpy(float), *parts[:3], read=read)


def price_sums(panel: AnyPanel, reading: Reading) -> PriceSums:
    """Beliefs of a panel by status and price, whatever the statuses; ``final`` corrects them.

    Answers that were stopped at their pivot are corrected by what all runs together teach: give
    a panel in memory.
    """
    found = totalled(partial(_sums, reading=reading), panel)
    return PriceSums(found["table"].sort_index())


def price_tallies(*readings: Reading) -> tuple[Tally, ...]:
    """What `price_sums` of these readings takes of each part, for `tallied`."""
    return tuple(partial(_sums, reading=reading) for reading in readings)


def _sums(panel: Panel, reading: Reading) -> Sums:
    focal = panel.study.menu.index(panel.study.focal)
    rows = panel.frame[["status", f"price_{panel.study.focal}"]].set_axis(
        ["status", "price"], axis=1
    )
    rows = rows.astype({"status": object, "price": float}).assign(rows=1, kept=0, believed=0)
    if reading == "final":
        asked = readings(panel)
        found = outcomes(panel, reading)
        changed = np.zeros(len(rows), bool) if panel.study.sampling.branch else asked.changed
        rows["believed"] = asked.usable.astype(int)
        rows["apart"] = changed.astype(int)
    else:
        usable = panel.frame[f"belief_{panel.study.focal}"].notna()
        usable &= (reading != "pivot") | panel.frame["choice"].notna()
        found = outcomes(panel, reading, statuses=sorted(set(panel.frame.loc[usable, "status"])))
        rows["apart"] = 0
    at = rows.index.isin(found.frame.index)
    if reading != "final":
        rows.loc[at, "believed"] = found.frame[f"belief_{panel.study.focal}"].notna().astype(int)
    y, r = found.belief[:, focal], found.read
    rows.loc[at, "kept"] = 1
    rows.loc[at, "apart"] = rows.loc[at, "apart"].to_numpy() + (r != 1)
    values = np.column_stack([r, y, y**2, np.ones(len(y)), y * r, r**2])
    rows = rows.join(pd.DataFrame(values, found.frame.index, _PARTS)).fillna(
        dict.fromkeys(_PARTS, 0.0)
    )
    return Sums(table=rows.groupby(["status", "price"]).sum())
