"""What leaving answers of a status out would do: to shares, and to the price coefficient."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
from scipy import stats

from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError
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
        among those of all other runs; ``p`` (Fisher's exact test that they are equal);
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
    chosen = frame["final_choice"] == panel.study.focal
    rows = {}
    for status in panel.statuses[panel.statuses > 0].index:
        here = frame["status"] == status
        inside, outside = here & known, ~here & known
        counts = [
            [int((chosen & part).sum()), int((~chosen & part).sum())] for part in (inside, outside)
        ]
        tested = all(map(sum, counts))
        base = frame if reading == "final" else frame[frame["status"].isin(["ok", status])]
        rows[status] = {
            "runs": int(here.sum()),
            "read": sum(counts[0]),
            "share": counts[0][0] / sum(counts[0]) if sum(counts[0]) else math.nan,
            "others": counts[1][0] / sum(counts[1]) if sum(counts[1]) else math.nan,
            "p": float(stats.fisher_exact(np.array(counts)).pvalue) if tested else math.nan,
            "enters": status in entering,
            "price": _price(panel, base, reading),
            "without": _price(panel, base[base["status"] != status], reading),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("status")


def _price(panel: Panel, rows: pd.DataFrame, reading: Reading) -> float:
    """Price coefficient of belief from some rows; NaN where there is none."""
    if reading == "pivot":  # the belief of any status that has one
        usable = rows[f"belief_{panel.study.focal}"].notna() & rows["choice"].notna()
        rows = rows.assign(status=rows["status"].where(~usable, "ok"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            some = Panel(rows, panel.study, panel.provenance)
            fit = Pool.of(some, reading).fit("belief")
    except DesignError:
        return math.nan
    return float(np.asarray(fit.slope)[0])
