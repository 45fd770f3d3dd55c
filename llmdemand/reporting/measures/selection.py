"""What leaving answers of a status out would do: to shares, and to the price coefficient."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from llmdemand.core.panel import USABLE, WHOLE, Panel
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.models.demand import fit_demand
from llmdemand.modeling.outcomes.frames import Reading, default_reading, outcomes
from llmdemand.reporting.measures.draws import Pool

__all__ = ["MARKED", "selection"]

#: Statuses that enter estimates of the final choice although they are not ``ok``: `low_mass`
#: is known before the pivot token is drawn, so that its belief is unbiased.
MARKED = ("low_mass",)


def selection(panel: Panel, reading: Reading | None = None) -> pd.DataFrame:
    """Whether leaving answers of a status out selects on what they choose.

    Parameters
    ----------
    panel : Panel
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
    reading, frame = reading or default_reading(panel), panel.frame
    entering = set(outcomes(panel, reading).frame["status"])
    known = frame["final_choice"].notna()
    chosen = frame["final_choice"] == panel.study.watched
    weight = 1 / frame[WHOLE].to_numpy(float) if WHOLE in frame else np.ones(len(frame))
    rows = {}
    for status in panel.statuses[panel.statuses > 0].index:
        here = frame["status"] == status
        inside, outside = here & known, ~here & known
        parts = [(chosen[part].to_numpy(float), weight[part]) for part in (inside, outside)]
        shares = [float(np.average(y, weights=w)) if len(y) else math.nan for y, w in parts]
        base = frame if reading == "final" else frame[frame["status"].isin([*USABLE, status])]
        rows[status] = {
            "runs": int(here.sum()),
            "read": int(inside.sum()),
            "share": shares[0],
            "others": shares[1],
            "p": _equal(parts) if inside.any() and outside.any() else math.nan,
            "enters": status in entering,
            "price": _price(panel, base, reading),
            "without": _price(panel, base[base["status"] != status], reading),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("status")


def _equal(parts: Sequence[tuple[Array, Array]]) -> float:
    """p-value of two shares being equal, of choices (0/1) and their weights.

    Of one weight in each part answers are a plain sample of it, and Fisher's test is exact.
    """
    if all(np.ptp(w) == 0 for _, w in parts):
        counts = np.array([[y.sum(), (1 - y).sum()] for y, _ in parts])
        return float(stats.fisher_exact(counts.astype(int)).pvalue)
    n = np.array([w.sum() ** 2 / (w @ w) for _, w in parts])
    share = np.array([np.average(y, weights=w) for y, w in parts])
    pooled = n @ share / n.sum()
    se = np.sqrt(pooled * (1 - pooled) * (1 / n).sum())
    return float(2 * stats.norm.sf(abs(share[0] - share[1]) / se)) if se > 0 else 1.0


def _price(panel: Panel, rows: pd.DataFrame, reading: Reading) -> float:
    """Price coefficient of belief from some rows; NaN where there is none."""
    if reading != "final":  # the belief of any status that has one
        usable = rows[f"belief_{panel.study.watched}"].notna()
        usable &= (reading != "pivot") | rows["choice"].notna()
        rows = rows.assign(status=rows["status"].where(~usable, "ok"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            some = Panel(rows, panel.study, panel.provenance)
            if some.study.question is not None:
                return fit_demand(some, "belief", reading=reading).price_sensitivity
            fit = Pool.of(some, reading).fit("belief")
    except DesignError:
        return math.nan
    return float(np.asarray(fit.slope)[0])
