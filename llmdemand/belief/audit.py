"""Whether a panel's beliefs can be believed: what the answers went on to say, and more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmdemand.belief.auditing.position import (
    judge_position,
    judge_tallies,
    position,
    positions,
)
from llmdemand.belief.auditing.snapshots import snapshot_tallies, snapshots, thoughts
from llmdemand.belief.equivalence import (
    Equivalence,
    certain,
    check_equivalence,
    equivalence_tallies,
)
from llmdemand.belief.measures.coherence import usable_words
from llmdemand.core.line import OneLine
from llmdemand.core.panel import WHOLE, Panel
from llmdemand.core.questionnaire.measure import MEASURES
from llmdemand.core.shards.quantiles import quantiles
from llmdemand.core.shards.shards import AnyPanel, Tally, tallied, totalled
from llmdemand.errors import DesignError
from llmdemand.scale.sums import Sums

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MUCH", "Audit", "audit", "audit_tallies", "remedy"]

#: Above this share of answers that say something else in the end, belief at the pivot misleads.
MUCH = 0.05

_QUANTILES = [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]


@dataclass(frozen=True, repr=False)
class Audit(OneLine):
    """Checks of a panel that look ahead, as extraction itself never does.

    Attributes
    ----------
    statuses : pandas.DataFrame
        ``runs, share`` by status, every status listed.
    tokens : pandas.DataFrame
        Rows: pivot tokens, most frequent first; columns: the alternative that the
        whole answer chooses (``none`` where that is unread). A pivot token that
        means one thing has all of its runs in one column.
    mismatches, checked : int
        Runs whose final choice is not that of the pivot, among those checked: runs
        with a pivot whose whole answer was read.
    stopped, unread : int
        Runs with a pivot whose answer was stopped there, and whose reader could not
        tell what the whole answer chooses.
    mismatch : tuple of float
        Share and its 95 % Wilson interval.
    decided_mass : pandas.Series
        Quantiles (0, .05, .25, .5, .75, .95, 1) of the decided mass at the pivot.
    width : float
        Mean width of the belief bounds of the study's focal alternative.
    first_chosen : tuple of float
        Share of choices that fall on the alternative named first, and its 95 %
        Wilson interval; NaN where no run has a choice.
    orders : int
        Alternatives that are named first in some run.
    position_locked : bool
        Whether the first-named alternative is chosen more than 95 % of the time
        although the order varies: no estimate should be read from such a panel.
    measure : str
        What the probabilities are: see `llmdemand.core.questionnaire.measure.MEASURES`.
    note : str
        Sampling weights, which an audit leaves aside;
        why belief says no more than choice, where it is 0 or 1 in every run; the share of all
        answers that change, where whole ones were drawn with unequal probability; how far a
        judge that has read the answers follows the order of its options; how many answers give
        probabilities that are not model belief; else empty.
    thoughts : str
        ``natural`` or ``forced`` where the model thinks first; else empty.
    thought_cut : float
        Share of thoughts that reached the most tokens before they were closed; NaN where
        the model does not think first.
    snapshots : pandas.DataFrame or None
        See `snapshots`; more than one row is a problem.
    equivalence : Equivalence or None
        Belief against the final choice, and against the choice at the pivot; None where no
        run is usable.
    """

    statuses: pd.DataFrame
    tokens: pd.DataFrame
    mismatches: int
    checked: int
    stopped: int
    unread: int
    mismatch: tuple[float, float, float]
    decided_mass: pd.Series[float]
    width: float
    first_chosen: tuple[float, float, float]
    orders: int
    position_locked: bool
    note: str = ""
    measure: str = "logprob"
    thoughts: str = ""
    thought_cut: float = float("nan")
    snapshots: pd.DataFrame | None = None
    equivalence: Equivalence | None = None

    def summary(self) -> str:
        """The audit as text."""
        share, low, high = (100 * v for v in self.mismatch)
        first, first_low, first_high = (100 * v for v in self.first_chosen)
        lock = "; POSITION-LOCKED: read no estimate from this" if self.position_locked else ""
        occurring = self.statuses[self.statuses["runs"] > 0]
        drift = []
        if self.snapshots is not None and len(self.snapshots) > 1:
            told = "; ".join(
                f"{name} {int(r.runs)} runs, mean belief {r.belief:.3f}"
                for name, r in self.snapshots.iterrows()
            )
            drift = [f"SNAPSHOT DRIFT, answers are of {len(self.snapshots)} models: {told}"]
        return "\n".join(
            [
                *drift,
                *([] if self.equivalence is None else [self.equivalence.summary()]),
                f"measure: {self.measure}, {MEASURES[self.measure]}",
                "statuses: " + ", ".join(f"{s} {int(r.runs)}" for s, r in occurring.iterrows()),
                f"the answer goes on to say something else: {self.mismatches} of {self.checked}, "
                f"{share:.1f} % ({low:.1f} to {high:.1f})"
                + (f"; {self.stopped} were stopped at the pivot" if self.stopped else "")
                + (f"; what {self.unread} choose was not read" if self.unread else ""),
                f"decided mass: median {self.decided_mass.loc[0.5]:.3f}, 5 % of runs below "
                f"{self.decided_mass.loc[0.05]:.3f}; mean width of the belief bounds "
                f"{self.width:.3f}",
                *([remedy(self.stopped)] if self.mismatch[0] > MUCH else []),
                f"first-named option chosen: {first:.1f} % ({first_low:.1f} to {first_high:.1f}), "
                f"{self.orders} named first in turn{lock}",
                *(
                    [f"{self.thoughts} thoughts, {100 * self.thought_cut:.1f} % of them cut"]
                    if self.thoughts
                    else []
                ),
                *([self.note] if self.note else []),
                "",
                "pivot token by final choice",
                self.tokens.head(12).to_string(),
            ]
        )


def audit(panel: AnyPanel) -> Audit:
    """Audit a panel: final choices, mismatches, masses, statuses, position lock.

    Parameters
    ----------
    panel : Panel or PanelShards
        Any panel; rows without a pivot are counted by their status alone.

    Returns
    -------
    Audit

    Raises
    ------
    DesignError
        If the panel has no rows.

    Notes
    -----
    Answers that were stopped at the pivot have nothing to go on to: they and unread
    ones are left out of `checked`. The interval is Wilson's (statsmodels).

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> found = audit(simulate(load_study("pampers"), "synthetic", runs=2, seed=1))
    >>> found.mismatches, found.checked
    (0, 32)
    """
    if not len(panel):
        raise DesignError("the panel has no rows: there is nothing to audit")
    tallied(panel, audit_tallies(panel))
    statuses = panel.statuses.to_frame("runs").assign(share=panel.statuses / len(panel))
    found = totalled(_counted, panel)
    tokens = found["tokens"].sort_index().astype(int)
    tokens = tokens.loc[tokens.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    hits, orders, locked = position(found["chosen"])
    mismatches, checked = found["mismatches"], found["checked"]
    by_tokens = panel.study.measure == "logprob"
    notes = (
        _unequal(found),
        certain(panel) if by_tokens else "",
        judge_position(panel),
        usable_words(panel),
        panel.study.counted_alike("the shares of an audit"),
    )
    return Audit(
        statuses,
        tokens,
        mismatches,
        checked,
        found["pivots"] - found["whole"],
        found["whole"] - checked,
        _wilson(mismatches, checked),
        _masses(panel),
        found["width"] / found["bounded"] if found["bounded"] else float("nan"),
        _wilson(hits, found["chosen"]["rows"]),
        orders,
        locked,
        "; ".join(note for note in notes if note),
        panel.measure,
        *thoughts(panel),
        snapshots(panel),
        check_equivalence(panel) if by_tokens and panel.usable_runs else None,
    )


def audit_tallies(panel: AnyPanel) -> tuple[Tally, ...]:
    """What `audit` counts in each part, for `tallied`."""
    both = equivalence_tallies(panel, sure=True)
    return (_counted, *judge_tallies(panel), *snapshot_tallies(panel), *both)


def _counted(panel: Panel) -> Sums:
    """What an audit counts."""
    import pandas as pd

    frame, focal = panel.frame, panel.study.watched
    pivots = frame[frame["pivot_index"] >= 0]
    # An answer that was stopped at its pivot had no chance to say something else.
    whole = pivots[pivots["final_status"] != "stopped"]
    settled = whole[whole["mismatch"].notna()]
    final = whole["final_choice"].astype(object).fillna("none").astype(str)
    tokens = pd.crosstab(whole["pivot_token"].astype(object), final).reindex(
        columns=[*panel.study.menu.ids, "none"], fill_value=0
    )
    width = pivots[f"hi_{focal}"].astype(float) - pivots[f"lo_{focal}"].astype(float)
    changed = settled["mismatch"].astype(float)
    weight = 1 / settled[WHOLE] if WHOLE in settled else changed * 0 + 1
    return Sums(
        tokens=tokens.rename_axis(index="pivot_token", columns="final_choice"),
        mismatches=int(changed.sum()),
        checked=len(settled),
        pivots=len(pivots),
        whole=len(whole),
        width=float(width.sum()),
        bounded=int(width.notna().sum()),
        chosen=positions(frame[frame["choice"].notna()]),
        weights=frozenset((weight.min(), weight.max()) if len(weight) else ()),
        weight=float(weight.sum()),
        weighted=float((weight * changed).sum()),
    )


def _masses(panel: AnyPanel) -> pd.Series[float]:
    """Quantiles of the decided mass at the pivot."""
    import pandas as pd

    if isinstance(panel, Panel):
        return _pivotal(panel.frame).quantile(_QUANTILES)
    columns = ["pivot_index", "decided_mass"]
    found = quantiles(panel.parts, columns, _pivotal, _QUANTILES, panel.executor)
    return pd.Series(found, _QUANTILES, name="decided_mass")


def _pivotal(frame: pd.DataFrame) -> pd.Series[float]:
    return frame.loc[frame["pivot_index"] >= 0, "decided_mass"].astype(float)


def _unequal(found: Sums) -> str:
    """Said where whole answers were drawn with unequal probability: the share in all answers."""
    if len(found["weights"]) < 2:
        return ""
    return (
        "answers are whole with unequal probability; counted by its inverse, "
        f"{100 * found['weighted'] / found['weight']:.1f} % of all change their choice"
    )


def remedy(stopped: int = 0) -> str:
    """What to do where many answers say something else in the end than at their pivot.

    >>> remedy().split(":")[0]
    'belief at the pivot misleads here'
    """
    now = (
        f"{stopped} answers were stopped at their pivot: ask whole ones (`--whole`), from which "
        "corrected belief is made"
        if stopped
        else "demand is by belief corrected by the final choice (reading='final', the default "
        "where whole answers are there)"
    )
    return (
        f"belief at the pivot misleads here: {now}. Next time ask for the choice first "
        "(answer_first), or branch (sampling.branch) on a backend that continues a beginning. "
        "Keep all runs: to leave out those that are marked selects on what they chose."
    )


def _wilson(hits: int, total: int) -> tuple[float, float, float]:
    if not total:
        return float("nan"), float("nan"), float("nan")
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(hits, total, method="wilson")
    return hits / total, float(low), float(high)
