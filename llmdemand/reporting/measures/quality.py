"""What the answers are worth before anything is estimated from them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmdemand.belief.audit import MUCH, remedy
from llmdemand.belief.auditing.position import position, positions
from llmdemand.belief.auditing.snapshots import snapshot_tallies, snapshots, thoughts
from llmdemand.belief.equivalence import check_equivalence, equivalence_tallies
from llmdemand.belief.measures.coherence import usable_words
from llmdemand.core.panel import WHOLE, Panel
from llmdemand.core.shards.shards import AnyPanel, Tally, drawn_note, sampled, tallied, totalled
from llmdemand.errors import DesignError
from llmdemand.modeling.models.demand import Outcome, fit_demand
from llmdemand.modeling.outcomes.frames import Reading, apart, default_reading
from llmdemand.reporting.tallies.byprice import price_sums
from llmdemand.scale.sums import Sums

__all__ = [
    "CUT",
    "FEW",
    "Quality",
    "Shift",
    "by_snapshot",
    "quality",
    "quality_tallies",
    "shortcomings",
    "why_nothing",
]

#: Below this share of usable answers, estimates speak for a selected few.
FEW = 0.5
#: Above this share of thoughts that were cut, estimates are of another law than was meant.
CUT = 0.05
_SAME = 1e-9

Array = NDArray[np.float64]


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


def quality(panel: AnyPanel) -> Quality:
    """Summarise a panel's statuses, masses and order effects; never raises on bad rows."""
    statuses = {str(s): int(n) for s, n in panel.statuses.items() if n}
    if not panel.usable_runs:
        nan = float("nan")
        return Quality(statuses, 0.0, nan, nan, nan, 0, nan, nan, False, *thoughts(panel))
    tallied(panel, quality_tallies(panel))
    same = check_equivalence(panel) if panel.measure == "logprob" else None
    found = totalled(_masses, panel)
    hits, _, locked = position(found["positions"])
    first, later = found["first"], found["later"]
    return Quality(
        statuses,
        panel.usable_runs / len(panel),
        _mean(found["decided_mass"]),
        _mean(found["tail_mass"]),
        _mean(found["mismatch"]),
        int(found["settled"]),
        _mean(first) - _mean(later),
        hits / panel.usable_runs,
        locked,
        *thoughts(panel),
        _mean(found["unread"]),
        float("nan") if same is None else same.final_pvalue,
        float("nan") if same is None else same.final_chi2_pvalue,
        _shift(panel),
    )


def quality_tallies(panel: AnyPanel) -> tuple[Tally, ...]:
    """What `quality`, `why_nothing` and `by_snapshot` count in each part, for `tallied`."""
    return (_masses, _ends, *snapshot_tallies(panel), *equivalence_tallies(panel))


def _masses(panel: Panel) -> Sums:
    """Weighted sums and weights of what is averaged over the usable runs."""
    ok, focal = panel.usable, panel.study.focal
    leads = {o: str(o).split(">")[0] == focal for o in ok["order"].unique()}
    front = ok["order"].map(leads).to_numpy(bool)
    belief = ok[f"belief_{focal}"].to_numpy(float)
    whole = ok[ok["final_status"] != "stopped"]
    settled = ok[ok["mismatch"].notna()]
    return Sums(
        positions=positions(ok),
        decided_mass=_sums(ok["decided_mass"].to_numpy(float)),
        tail_mass=_sums(ok["tail_mass"].to_numpy(float)),
        # Whole answers stand for those that were stopped by 1 / pi.
        mismatch=_sums(settled["mismatch"].to_numpy(float), settled),
        settled=len(settled),
        first=_sums(belief[front]),
        later=_sums(belief[~front]),
        unread=_sums((whole["final_status"] == "unread").to_numpy(float), whole),
    )


def _sums(values: Any, rows: pd.DataFrame | None = None) -> Array:
    known = np.isfinite(values)
    weight = np.ones(len(values))
    if rows is not None and WHOLE in rows:
        weight = 1 / rows[WHOLE].to_numpy(float)
    return np.array([(weight * values)[known].sum(), weight[known].sum()])


def _mean(sums: Array) -> float:
    return float(sums[0] / sums[1]) if sums[1] else float("nan")


def _shift(panel: AnyPanel) -> Shift:
    if default_reading(panel) != "final":
        return Shift()
    found = []
    readings: tuple[Reading, ...] = ("pivot", "final")
    for reading in readings:
        try:
            sums = price_sums(apart(panel, reading), reading)
            sums = sums if reading == "final" else sums.of(["ok"])
            fit = sums.fit()
        except DesignError:
            return Shift()
        n, total = sums.parts[:2]
        found.append((float(total.sum() / n.sum()), float(fit.slope[0])))
    (plain, plain_price), (share, price) = found
    return Shift(plain, share, plain_price, price)


def why_nothing(panel: AnyPanel) -> tuple[str, bool]:
    """The reason in the data for which parts of a report cannot exist.

    Parameters
    ----------
    panel : Panel or PanelShards
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
    usable, runs = panel.usable_runs, len(panel)
    if not runs:
        return "the panel has no rows: ask a model with `llmdemand simulate` first", True
    if not usable and panel.study.measure in ("stated", "similarity"):
        return usable_words(panel), True
    if not usable and panel.statuses["no_logprobs"]:
        return (
            f"none of the {runs} answers has log-probabilities, from which belief is read; ask a "
            "model or server that returns them (`llmdemand probe` finds out), or use the demand "
            "from choice"
        ), True
    if not usable:
        counts = ", ".join(f"{s} {n}" for s, n in panel.statuses.items() if n)
        return (
            f"none of the {runs} answers can be used ({counts}); read some of them, then try "
            "another prompt or another model"
        ), True
    found = totalled(_ends, panel)
    if len(found["prices"]) == 1:
        (price,) = found["prices"]
        return (
            f"the usable answers, {usable} of them, have one price ({price:g} "
            f"{panel.study.unit}), and a reaction to price needs at least two; add "
            "prices to the study"
        ), True
    low, high = min(found["beliefs"]), max(found["beliefs"])
    if usable > 1 and high - low < _SAME:
        return (
            f"belief is the same number ({low:.4g}) in all {usable} usable answers, so "
            "there is no reaction that more or fewer runs could find; check that the prompt shows "
            "the price, or try another model"
        ), True
    return "", False


def _ends(panel: Panel) -> Sums:
    """Prices of usable answers, and the least and largest belief."""
    ok, focal = panel.usable, panel.study.focal
    belief = ok[f"belief_{focal}"].astype(float)
    ends = (float(belief.min()), float(belief.max())) if len(ok) else ()
    return Sums(prices=frozenset(ok[f"price_{focal}"].unique()), beliefs=frozenset(ends))


def by_snapshot(panel: AnyPanel) -> pd.DataFrame:
    """The price coefficient by the model that answered: see `llmdemand.belief.auditing.snapshots`.

    Returns
    -------
    pandas.DataFrame
        As `snapshots` gives it, with ``price_sensitivity, lower, upper`` of a 95 % interval from
        the runs of each alone, and in ``note`` why there is none. Of shards those intervals are of
        a sample (`llmdemand.core.shards.sample`), which ``note`` says, and ``runs, belief,
        chosen`` of all runs.
    """
    found, rows = snapshots(panel), []
    panel = sampled(panel)
    names = panel.frame["model"].astype(object).fillna("").astype(str)
    outcome: Outcome = "choice" if panel.usable.empty else "belief"
    said = [f"the price coefficient is {note}" for note in drawn_note(panel)]
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
        rows.append({**row, "note": "; ".join(filter(None, (note, *said)))})
    return found.join(pd.DataFrame(rows, index=found.index))


def _stopped(panel: Panel) -> int:
    return int((panel.frame["final_status"] == "stopped").sum())


def _drift(panel: AnyPanel) -> list[str]:
    """What is said where more than one model has answered."""
    if len(snapshots(panel)) < 2:
        return []
    found = by_snapshot(panel)
    drawn = "".join(f"; price coefficients are {note}" for note in drawn_note(sampled(panel)))
    told = "; ".join(
        f"{name or 'one that is not named'} {int(r.runs)} runs, "
        + (
            f"no estimate ({r.note})"
            if np.isnan(r.price_sensitivity)
            else f"price coefficient {r.price_sensitivity:.4f} ({r.lower:.4f} to {r.upper:.4f})"
        )
        for name, r in found.iterrows()
    )
    return [
        f"The answers are of {len(found)} snapshots of the model ({told}{drawn}): estimates mix "
        "them, and where one answered other prices than another, the difference between them looks "
        "like a reaction to price. Ask one snapshot by its dated name, or estimate from the runs "
        "of one alone."
    ]


def shortcomings(panel: AnyPanel) -> tuple[str, ...]:
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
    if panel.usable_runs and (words := usable_words(panel)):
        said.append(f"The outcome belief is {words}.")
    usable = panel.usable_runs
    if usable and found.readable < FEW:
        said.append(
            f"Only {usable} of {len(panel)} answers can be used: estimates speak for those alone, "
            "which need not be like the others. Look at the statuses and at the answers, then "
            "try another prompt or model."
        )
    if found.mismatch > MUCH:
        stopped = totalled(_stopped, panel)
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
    if study.attributes:
        names = ", ".join(x.name for x in study.attributes)
        said.append(
            f"This is a choice experiment: alternatives differ in {names} besides their price. "
            f"What is said here of {study.menu[study.focal].label} is by its price alone, averaged "
            "over the levels that were shown with it. Part-worths, importances and willingness to "
            "pay by attribute are in `llmdemand conjoint`, ld.conjoint(panel)."
        )
    return tuple(said)
