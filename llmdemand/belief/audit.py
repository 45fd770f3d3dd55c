"""Whether a panel's beliefs can be believed: what the answers went on to say, and more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmdemand.belief.equivalence import (
    Equivalence,
    certain,
    check_equivalence,
    equivalence_tallies,
)
from llmdemand.belief.measures.coherence import usable_words
from llmdemand.core.line import OneLine
from llmdemand.core.panel import JUDGED, WHOLE, Panel
from llmdemand.core.questionnaire.measure import MEASURES
from llmdemand.core.shards.quantiles import quantiles
from llmdemand.core.shards.shards import AnyPanel, Tally, tallied, totalled
from llmdemand.errors import DesignError
from llmdemand.scale.sums import Sums

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MUCH",
    "Audit",
    "audit",
    "audit_tallies",
    "judge_position",
    "position",
    "positions",
    "remedy",
    "snapshot_tallies",
    "snapshots",
    "thoughts",
]

#: Above this share of answers that say something else in the end, belief at the pivot misleads.
MUCH = 0.05

_LOCK = 0.95
_QUANTILES = [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]
_UNTOLD = "whether it reads the answer or follows that order cannot be told"


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
    judged = (_judged,) if panel.provenance.get("final_reader") == "judge" else ()
    both = equivalence_tallies(panel, sure=True)
    return (_counted, *judged, *snapshot_tallies(panel), *both)


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


def thoughts(panel: AnyPanel) -> tuple[str, float]:
    """Which law belief is of where the model thinks first, and the share of thoughts cut."""
    kind = panel.study.thoughts
    if not kind or not len(panel):
        return kind, float("nan")
    found = totalled(_cut, panel)
    return kind, float(found["cut"] / found["runs"]) if found["runs"] else float("nan")


def _cut(panel: Panel) -> Sums:
    cut = panel.frame["thought_cut"].astype(float)
    return Sums(cut=float(cut.sum()), runs=int(cut.notna().sum()))


def snapshots(panel: AnyPanel) -> pd.DataFrame:
    """The models that say they have answered, those of most runs first.

    Providers change what is behind a name, in the midst of a run too: then a panel is of two
    models, and where cells are asked in turn the difference between them looks like one between
    prices. Counted are runs with a choice: a filtered prompt is answered by none.

    Returns
    -------
    pandas.DataFrame
        ``runs``, ``belief`` (mean in the focal alternative) and ``chosen`` (share of choices that
        fall on it), by ``snapshot``.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> len(snapshots(simulate(load_study("pampers"), "synthetic", runs=1)))
    1
    """
    sums = totalled(_by_model, panel)["table"].sort_index()
    found: pd.DataFrame = (
        sums[["runs"]]
        .astype(int)
        .assign(
            belief=(sums["belief"] / sums["known"]).where(sums["known"] > 0),
            chosen=sums["chosen"] / sums["runs"],
        )
    )
    return found.rename_axis("snapshot").sort_values("runs", ascending=False, kind="stable")


def snapshot_tallies(panel: AnyPanel) -> tuple[Tally, ...]:
    """What `snapshots` and `thoughts` count in each part, for `tallied`."""
    return (_by_model, *((_cut,) if panel.study.thoughts else ()))


def _by_model(panel: Panel) -> Sums:
    chosen, focal = panel.frame[panel.frame["choice"].notna()], panel.study.watched
    belief = chosen[f"belief_{focal}"].astype(float)
    rows = chosen[[]].assign(
        model=chosen["model"].astype(object).fillna("").astype(str),
        runs=1,
        belief=belief,
        known=belief.notna().astype(int),
        chosen=(chosen["choice"] == focal).astype(float),
    )
    return Sums(table=rows.groupby("model").sum())


def positions(chosen: pd.DataFrame) -> Sums:
    """What `position` is made of: ``hits, rows, first``, of rows that have a choice.

    Parameters
    ----------
    chosen : pandas.DataFrame
        With ``order`` and ``choice``.
    """
    first = chosen["order"].map({o: str(o).split(">")[0] for o in chosen["order"].unique()})
    hits = int((chosen["choice"] == first).sum())
    return Sums(hits=hits, rows=len(chosen), first=frozenset(first))


def position(found: Sums) -> tuple[int, int, bool]:
    """How far choices follow the position in which alternatives are named.

    Parameters
    ----------
    found : Sums
        See `positions`.

    Returns
    -------
    hits, orders : int, int
        Choices of the alternative named first, and alternatives that are ever first.
    locked : bool
        Whether hits exceed 95 % of the rows although more than one is named first.
    """
    hits, orders = found["hits"], len(found["first"])
    return hits, orders, orders > 1 and hits > _LOCK * found["rows"]


def judge_position(panel: AnyPanel) -> str:
    """How often a judge chose the option that it was shown first, in words; empty without one.

    Counted are different texts that it reads as a choice: each is asked once, however many
    runs have it. That it is locked to the first place follows the rule of `position`, and
    cannot be told where the same option was first in every text.
    """
    if panel.provenance.get("final_reader") != "judge":
        return ""
    read = totalled(_judged, panel)
    if read.unshown:
        return "the judge was shown the options in the menu's order in every text: " + _UNTOLD
    hits, first, locked = position(positions(read.rows.assign(choice=read.rows["final_choice"])))
    said = f"the judge chose the option that it was shown first in {hits} of {len(read.rows)} texts"
    if first < 2:
        return f"{said}, the same option in all of them: {_UNTOLD}"
    lock = "; POSITION-LOCKED: read no estimate from its readings" if locked else ""
    return f"{said}, {first} shown first in turn{lock}"


@dataclass(frozen=True)
class _Judged:
    """Different texts that a judge has read: not the texts, but what tells them apart."""

    rows: pd.DataFrame
    unshown: bool = False

    def __add__(self, other: _Judged) -> _Judged:
        import pandas as pd

        rows = pd.concat([self.rows, other.rows]).drop_duplicates(["text", "order"])
        return _Judged(rows, self.unshown or other.unshown)


def _judged(panel: Panel) -> _Judged:
    import pandas as pd

    frame = panel.frame.dropna(subset=["final_choice"])
    if JUDGED not in frame:
        return _Judged(pd.DataFrame(columns=["text", "order", "final_choice"]), len(frame) > 0)
    rows = pd.DataFrame(
        {
            "text": pd.util.hash_array(frame["text"].astype(object).to_numpy(), categorize=False),
            "order": frame[JUDGED].astype(object).to_numpy(),
            "final_choice": frame["final_choice"].astype(object).to_numpy(),
        }
    )
    return _Judged(rows.drop_duplicates(["text", "order"]))


def _wilson(hits: int, total: int) -> tuple[float, float, float]:
    if not total:
        return float("nan"), float("nan"), float("nan")
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(hits, total, method="wilson")
    return hits / total, float(low), float(high)
