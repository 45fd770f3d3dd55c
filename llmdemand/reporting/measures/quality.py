"""What the answers are worth before anything is estimated from them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from llmdemand.belief.audit import MUCH, position, remedy, snapshots, thoughts
from llmdemand.belief.equivalence import check_equivalence
from llmdemand.belief.measures.coherence import usable_words
from llmdemand.core.panel import WHOLE, Panel
from llmdemand.errors import DesignError
from llmdemand.modeling.models.demand import Outcome, fit_demand
from llmdemand.modeling.outcomes.frames import default_reading
from llmdemand.reporting.measures.draws import Pool

__all__ = [
    "CUT",
    "FEW",
    "Quality",
    "Shift",
    "by_snapshot",
    "quality",
    "shortcomings",
    "why_nothing",
]

#: Below this share of usable answers, estimates speak for a selected few.
FEW = 0.5
#: Above this share of thoughts that were cut, estimates are of another law than was meant.
CUT = 0.05
_SAME = 1e-9


@dataclass(frozen=True)
class Shift:
    """What correcting belief by the final choice moves; NaN where that cannot be done.

    Attributes
    ----------
    plain_share, share : float
        Share of the focal alternative by belief at the pivot, and by corrected belief.
    plain_price, price : float
        The same of the price coefficient.
    """

    plain_share: float = float("nan")
    share: float = float("nan")
    plain_price: float = float("nan")
    price: float = float("nan")


@dataclass(frozen=True)
class Quality:
    """Data quality of a panel.

    Attributes
    ----------
    statuses : dict of str to int
        Runs by status, those that occur.
    readable : float
        Share of runs with status ``ok``.
    decided_mass, tail_mass : float
        Mean over ok runs of the probability that decides at the pivot, and of
        that outside the listed candidates.
    mismatch : float
        Share of the ok runs with a final choice in which that is not the choice.
    whole : int
        Ok runs with a final choice: answers that were not stopped at their pivot, and of
        which the reader of the whole text could tell what they choose.
    order_effect : float
        Mean belief in the focal alternative when it is named first, minus when
        it is not; NaN where the order does not vary.
    first_chosen : float
        Share of ok runs that choose the alternative named first.
    position_locked : bool
        Whether that share exceeds 95 % although the order varies.
    thoughts : str
        ``natural`` or ``forced`` where the model thinks first; else empty.
    thought_cut : float
        Share of thoughts that reached the most tokens before they were closed.
    unread : float
        Share of the ok runs with a whole answer of which the reader could not tell what they
        choose; NaN where all were stopped.
    final_p, final_p_cells : float
        p-values of belief at the pivot having the mean of the final choice: overall, where
        changes of mind may cancel, and by cell.
    shift : Shift
        What correcting belief by the final choice moves.
    """

    statuses: dict[str, int]
    readable: float
    decided_mass: float
    tail_mass: float
    mismatch: float
    whole: int
    order_effect: float
    first_chosen: float
    position_locked: bool
    thoughts: str = ""
    thought_cut: float = float("nan")
    unread: float = float("nan")
    final_p: float = float("nan")
    final_p_cells: float = float("nan")
    shift: Shift = Shift()


def quality(panel: Panel) -> Quality:
    """Summarise a panel's statuses, masses and order effects; never raises on bad rows."""
    ok = panel.usable
    statuses = {str(s): int(n) for s, n in panel.statuses.items() if n}
    if ok.empty:
        nan = float("nan")
        return Quality(statuses, 0.0, nan, nan, nan, 0, nan, nan, False, *thoughts(panel))
    same = check_equivalence(panel) if panel.measure == "logprob" else None
    first = ok["order"].str.split(">").str[0]
    hits, _, locked = position(ok)
    focal_first = (first == panel.study.focal).to_numpy()
    belief = ok[f"belief_{panel.study.focal}"].to_numpy(float)
    varies = 0 < focal_first.mean() < 1
    whole = ok[ok["final_status"] != "stopped"]
    settled = ok[ok["mismatch"].notna()]
    effect = belief[focal_first].mean() - belief[~focal_first].mean() if varies else np.nan
    return Quality(
        statuses,
        len(ok) / len(panel),
        float(ok["decided_mass"].mean()),
        float(ok["tail_mass"].mean()),
        _average(settled["mismatch"], settled),
        len(settled),
        float(effect),
        hits / len(ok),
        locked,
        *thoughts(panel),
        _average(whole["final_status"] == "unread", whole),
        float("nan") if same is None else same.final_pvalue,
        float("nan") if same is None else same.final_chi2_pvalue,
        _shift(panel),
    )


def _shift(panel: Panel) -> Shift:
    if default_reading(panel) != "final":
        return Shift()
    found = []
    for reading in ("pivot", "final"):
        try:
            pool = Pool.of(panel, reading)
        except DesignError:
            return Shift()
        n, total = pool.sums("belief")[:2]
        found.append((float(total.sum() / n.sum()), float(pool.fit("belief").slope[0])))
    (plain, plain_price), (share, price) = found
    return Shift(plain, share, plain_price, price)


def _average(values: pd.Series[bool], rows: pd.DataFrame) -> float:
    """Share among whole answers, which stand for those that were stopped by 1 / pi."""
    if rows.empty:
        return float("nan")
    weight = 1 / rows[WHOLE].to_numpy(float) if WHOLE in rows else None
    return float(np.average(values.astype(float), weights=weight))


def why_nothing(panel: Panel) -> tuple[str, bool]:
    """The reason in the data for which parts of a report cannot exist.

    Parameters
    ----------
    panel : Panel
        Any panel.

    Returns
    -------
    reason : str
        Why, and what to do; empty where nothing stands in the way.
    hopeless : bool
        Whether there is no reaction of belief to price that draws could look for.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> why_nothing(simulate(load_study("pampers"), "synthetic", runs=2, seed=1))
    ('', False)
    """
    ok, runs = panel.usable, len(panel)
    if not runs:
        return "the panel has no rows: ask a model with `llmdemand simulate` first", True
    if ok.empty and panel.study.measure in ("stated", "similarity"):
        return usable_words(panel), True
    if ok.empty and (panel.frame["status"] == "no_logprobs").any():
        return (
            f"none of the {runs} answers has log-probabilities, from which belief is read; ask a "
            "model or server that returns them (`llmdemand probe` finds out), or use the demand "
            "from choice"
        ), True
    if ok.empty:
        counts = ", ".join(f"{s} {n}" for s, n in panel.statuses.items() if n)
        return (
            f"none of the {runs} answers can be used ({counts}); read some of them, then try "
            "another prompt or another model"
        ), True
    price = ok[f"price_{panel.study.focal}"]
    if price.nunique() == 1:
        return (
            f"the usable answers, {len(ok)} of them, have one price ({price.iloc[0]:g} "
            f"{panel.study.unit}), and a reaction to price needs at least two; add "
            "prices to the study"
        ), True
    belief = ok[f"belief_{panel.study.focal}"]
    if len(ok) > 1 and float(belief.max() - belief.min()) < _SAME:
        return (
            f"belief is the same number ({belief.iloc[0]:.4g}) in all {len(ok)} usable answers, so "
            "there is no reaction that more or fewer runs could find; check that the prompt shows "
            "the price, or try another model"
        ), True
    return "", False


def by_snapshot(panel: Panel) -> pd.DataFrame:
    """The price coefficient by the model that answered: see `llmdemand.belief.audit.snapshots`.

    Returns
    -------
    pandas.DataFrame
        As `snapshots` gives it, with ``price_sensitivity, lower, upper`` of a 95 % interval from
        the runs of each alone, and in ``note`` why there is none.
    """
    found, rows = snapshots(panel), []
    names = panel.frame["model"].fillna("").astype(str)
    outcome: Outcome = "choice" if panel.usable.empty else "belief"
    for name in found.index:
        row: dict[str, Any] = dict.fromkeys(("price_sensitivity", "lower", "upper"), float("nan"))
        note = ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the whole panel they are said elsewhere
                part = replace(panel, frame=panel.frame[names == name])
                demand = fit_demand(part, outcome, separation="raise")
            row |= {"price_sensitivity": demand.price_sensitivity}
            row |= dict(demand.conf_int().loc["price"][["lower", "upper"]])
        except DesignError as error:
            note = str(error).split(":")[0]
        rows.append({**row, "note": note})
    return found.join(pd.DataFrame(rows, index=found.index))


def _drift(panel: Panel) -> list[str]:
    """What is said where more than one model has answered."""
    if len(snapshots(panel)) < 2:
        return []
    found = by_snapshot(panel)
    told = "; ".join(
        f"{name or 'one that is not named'} {int(r.runs)} runs, "
        + (
            f"no estimate ({r.note})"
            if r.note
            else f"price coefficient {r.price_sensitivity:.4f} ({r.lower:.4f} to {r.upper:.4f})"
        )
        for name, r in found.iterrows()
    )
    return [
        f"The answers are of {len(found)} snapshots of the model ({told}): estimates mix them, and "
        "where one answered other prices than another, the difference between them looks like a "
        "reaction to price. Ask one snapshot by its dated name, or estimate from the runs of one "
        "alone."
    ]


def shortcomings(panel: Panel) -> tuple[str, ...]:
    """Sentences on what makes the estimates of a panel doubtful although they exist.

    Parameters
    ----------
    panel : Panel
        Any panel.

    Returns
    -------
    tuple of str
        What was found, what it means and what to do; empty for a sound panel.
    """
    found, said = quality(panel), _drift(panel)
    if not panel.usable.empty and (words := usable_words(panel)):
        said.append(f"The outcome belief is {words}.")
    usable = len(panel.usable)
    if usable and found.readable < FEW:
        said.append(
            f"Only {usable} of {len(panel)} answers can be used: estimates speak for those alone, "
            "which need not be like the others. Look at the statuses and at the answers, then "
            "try another prompt or model."
        )
    if found.mismatch > MUCH:
        stopped = int((panel.frame["final_status"] == "stopped").sum())
        said.append(
            f"{100 * found.mismatch:.1f} % of the answers choose something else in the end than at "
            f"their pivot: {remedy(stopped)}"
        )
    if found.position_locked:
        said.append(
            f"The alternative that is named first is chosen in {100 * found.first_chosen:.1f} % of "
            "the runs, whichever it is: the model answers by position, and no estimate should be "
            "read from this panel. Try another prompt or model."
        )
    if found.thought_cut > CUT:
        said.append(
            f"{100 * found.thought_cut:.1f} % of the thoughts reached the most tokens before they "
            "were closed: "
            + (
                "those runs have no answer, and the others are of those that thought shortly. "
                if found.thoughts == "natural"
                else "their answers are forced after half a thought. "
            )
            + "Allow more tokens."
        )
    study = panel.study
    if study.focal in study.price_fields:
        said.append(
            f"Prices of {study.menu[study.focal].label} are those of the respondents, not drawn by "
            "the design: whatever goes with a price (a longer trip, another need) counts as its "
            "effect, and demand may seem to rise with it. Compare alternatives and their "
            "attributes by fit_demand(..., model='clogit'), or give all respondents the same "
            "prices."
        )
    return tuple(said)
