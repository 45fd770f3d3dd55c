"""What leaving answers of a status out would do: to shares, and to the price coefficient."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from llmdemand.core.panel import USABLE, WHOLE, Panel
from llmdemand.core.shards.shards import AnyPanel, Tally, sampled, tallied, totalled
from llmdemand.errors import DesignError
from llmdemand.modeling.models.demand import fit_demand
from llmdemand.modeling.outcomes.frames import Reading, apart, default_reading, outcomes
from llmdemand.modeling.outcomes.measured import check_reading
from llmdemand.reporting.tallies.byprice import PriceSums, price_sums, price_tallies
from llmdemand.scale.sums import Moments

__all__ = ["MARKED", "selection", "selection_tallies"]

#: Statuses that enter estimates of the final choice although they are not ``ok``: `low_mass`
#: is known before the pivot token is drawn, so that its belief is unbiased.
MARKED = ("low_mass",)


def selection(panel: AnyPanel, reading: Reading | None = None) -> pd.DataFrame:
    """Whether leaving answers of a status out selects on what they choose.

    Parameters
    ----------
    panel : Panel or PanelShards
        Runs.
    reading : str, optional
        As for `llmdemand.fit_demand`; ``final`` takes runs of every status.

    Returns
    -------
    pandas.DataFrame
        One row per status that occurs: ``runs``; ``read`` (of them, with a final choice);
        ``share`` of the focal alternative among the final choices of these, and ``others``
        among those of all other runs, whole answers counting by one over their probability;
        ``p`` (Fisher's exact test that they are equal; where weights differ among them, a score
        test by the effective numbers of answers);
        ``enters`` (whether some of these runs say something that enters the estimate);
        ``price`` and ``without``, price coefficients of belief from all runs that enter
        together with these, and from all that enter but these; NaN where there is no estimate.

    Raises
    ------
    UsageError
        For an unknown reading.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=5, seed=1)
    >>> selection(panel)[["runs", "read", "enters"]].to_dict("index")
    {'ok': {'runs': 80, 'read': 80, 'enters': True}}
    """
    reading = default_reading(panel) if reading is None else reading
    check_reading(panel, reading)
    # What answers were stopped for is learnt from all runs; numbers have regressions of their own.
    panel = apart(panel, reading) if panel.study.question is None else sampled(panel)
    counts = {str(k): int(v) for k, v in panel.statuses.items() if v}
    if panel.study.question is None:
        tallied(panel, selection_tallies(reading))
    read = totalled(_read, panel)
    sums = None if panel.study.question is not None else price_sums(panel, reading)
    entering = _entering(panel, sums, reading)
    rows = {}
    for status in counts:
        here = read.keys == status
        inside, outside = _Part.of(read, here), _Part.of(read, ~here)
        base = set(counts) if reading == "final" else {*USABLE, status}
        rows[status] = {
            "runs": counts[status],
            "read": inside.n,
            "share": inside.share,
            "others": outside.share,
            "p": _equal(inside, outside) if inside.n and outside.n else math.nan,
            "enters": status in entering,
            "price": _price(panel, sums, base, reading),
            "without": _price(panel, sums, base - {status}, reading),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("status")


def selection_tallies(reading: Reading) -> tuple[Tally, ...]:
    """What `selection` counts in each part, for `tallied`."""
    return (_read, *price_tallies(reading))


def _read(panel: Panel) -> Moments:
    """By status: weights of the final choices that were read, and what they choose."""
    frame = panel.frame[panel.frame["final_choice"].notna()]
    chosen = (frame["final_choice"] == panel.study.watched).to_numpy(float)
    weight = 1 / frame[WHOLE].to_numpy(float) if WHOLE in frame else np.ones(len(frame))
    values = np.column_stack([weight, weight**2, chosen, weight * chosen])
    return Moments.of(frame["status"].to_numpy(str), values)


@dataclass(frozen=True)
class _Part:
    """Final choices of some statuses: their number, sums, and whether all weigh the same."""

    n: int
    weight: float
    squares: float
    chosen: int
    share: float
    alike: bool

    @classmethod
    def of(cls, read: Moments, some: NDArray[np.bool_]) -> _Part:
        n = int(read.n[some].sum())
        weight, squares, chosen, weighted = read.total[some].sum(axis=0)
        each = read.first[some, 0]
        alike = not read.products[some, 0, 0].any() and len(np.unique(each)) < 2
        share = float(weighted / weight) if n else math.nan
        return cls(n, float(weight), float(squares), round(chosen), share, alike)


def _entering(panel: AnyPanel, sums: PriceSums | None, reading: Reading) -> set[str]:
    """Statuses of which some runs say something that enters the estimate."""
    if sums is None:
        return set(outcomes(sampled(panel), reading).frame["status"])
    kept = sums.table["kept"].groupby("status").sum()
    some = set(kept[kept > 0].index)
    return some & {"final": some, "pivot": {"ok"}}.get(reading, set(USABLE))


def _equal(a: _Part, b: _Part) -> float:
    """p-value of two shares being equal.

    Of one weight in each part answers are a plain sample of it, and Fisher's test is exact.
    """
    if a.alike and b.alike:
        counts = [[p.chosen, p.n - p.chosen] for p in (a, b)]
        return float(stats.fisher_exact(np.array(counts)).pvalue)
    n = np.array([p.weight**2 / p.squares for p in (a, b)])
    share = np.array([a.share, b.share])
    pooled = n @ share / n.sum()
    se = np.sqrt(pooled * (1 - pooled) * (1 / n).sum())
    return float(2 * stats.norm.sf(abs(share[0] - share[1]) / se)) if se > 0 else 1.0


def _price(panel: AnyPanel, sums: PriceSums | None, statuses: set[str], reading: Reading) -> float:
    """Price coefficient of belief from runs of some statuses; NaN where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if sums is not None:
                return float(np.asarray(sums.of(statuses).fit().slope)[0])
            whole = sampled(panel)
            rows = whole.frame[whole.frame["status"].isin(list(statuses))]
            if reading != "final":  # the belief of any status that has one
                usable = rows[f"belief_{panel.study.watched}"].notna()
                usable &= (reading != "pivot") | rows["choice"].notna()
                rows = rows.assign(status=rows["status"].where(~usable, "ok"))
            some = Panel(rows, panel.study, panel.provenance)
            return fit_demand(some, "belief", reading=reading).price_sensitivity
    except DesignError:
        return math.nan
