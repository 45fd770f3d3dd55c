"""The rows of a panel that enter a fit, with what they say of the choices."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from llmdemand.core.panel import USABLE, WHOLE, Panel, levels_of
from llmdemand.core.shards.shards import AnyPanel, PanelShards, sampled
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.outcomes.corrected import (
    Coefficient,
    Corrected,
    Readings,
    corrected,
    indicators,
)
from llmdemand.modeling.outcomes.labelled import corrected_final
from llmdemand.modeling.outcomes.measured import WHOSE, Reading, check_reading, own_reading
from llmdemand.modeling.outcomes.stopped import augmented

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "READ",
    "WHOSE",
    "Outcomes",
    "Reading",
    "Studied",
    "apart",
    "default_reading",
    "demand_frame",
    "market_frame",
    "outcomes",
    "readings",
]

#: The column that says what the corrected beliefs of a run sum to.
READ = "read"
_NAMES = 4  # after the pivot: later ones correct next to nothing
_SILENT = ["refusal", "no_output", "failed"]  # nothing was said


@dataclass(frozen=True)
class Outcomes:
    """What runs say of the choices.

    Attributes
    ----------
    frame : pandas.DataFrame
        The rows of the panel that enter, with the fields of their personas.
    belief : (N, A) array
        Belief, or corrected belief, in menu order.
    choice : (N, A) array
        The choice of the same reading: 0/1, or what labels make of it.
    read : (N,) array
        What each row of `belief` sums to: 1, or less where the final choice is unread.
    reading : str
        ``final`` or ``pivot``.
    believed : int
        Runs whose belief at the pivot can be used.
    changes : int or None
        Runs that change their mind or are unread; None for ``pivot``.
    notes : tuple of str
        What the reader has to know of the correction.
    labels : str
        What the final choices were corrected by, where people have labelled a sample.
    weight : (N,) array or None
        One over the probability of a whole answer, 0 for stopped ones; None where all are whole.
    readings : Readings or None
        Of all runs of the panel, where some were stopped: what a part of them would have taught.
    """

    frame: pd.DataFrame
    belief: Array
    choice: Array
    read: Array
    reading: Reading
    believed: int = 0
    changes: int | None = None
    notes: tuple[str, ...] = ()
    labels: str = ""
    weight: Array | None = None
    readings: Readings | None = None

    @property
    def counted(self) -> Array:
        """Choices whose sums are those of all answers: stopped ones are stood for by others."""
        return self.choice if self.weight is None else self.weight[:, None] * self.choice

    @property
    def effective(self) -> Array:
        """Counted choices, in answers: weights sum to their number, ``(sum w)^2 / sum w^2``.

        (Kish 1965.) Where all whole answers were drawn with one probability they are 0/1 again.
        """
        if self.weight is None:
            return self.choice
        scale = self.weight.sum() / (self.weight @ self.weight)
        return np.asarray((self.counted * scale).round(12))

    @property
    def stopping(self) -> tuple[str, ...]:
        """What choices are of, in a sentence, where answers were stopped; else nothing."""
        if self.readings is None or self.readings.stopped is None:
            return ()
        share = 1 - float(self.readings.stopped.mean())
        return (
            f"choice is that of whole answers, {100 * share:.3g} % of all, weighted by one over "
            f"their probability: n runs hold {share:.3g} n of them, by which belief is corrected",
        )

    @property
    def plain(self) -> bool:
        """Whether belief is what it is at the pivot: none changes its mind, all are read whole."""
        changed = self.changes or self.weight is not None or (self.read != 1).any()
        return self.reading != "final" or not changed


def default_reading(panel: AnyPanel) -> Reading:
    """``final`` where whole answers exist, all or with a known probability; else ``pivot``.

    Of stated probabilities and of similarity that measure.

    >>> from llmdemand import load_study, simulate
    >>> default_reading(simulate(load_study("pampers"), "synthetic", runs=1, seed=1))
    'final'
    """
    if (own := own_reading(panel)) is not None:
        return own
    ends: Mapping[Any, int]
    if isinstance(panel, PanelShards):
        ends, whole = panel.counts.finals, panel.counts.whole
    else:
        ends = panel.frame["final_status"].value_counts().to_dict()
        whole = WHOLE in panel.frame.columns
    known = not ends.get("stopped") or whole
    return "final" if known and ends.get("read") else "pivot"


def apart(panel: AnyPanel, reading: Reading) -> AnyPanel:
    """What can be read a part at a time: the panel, or a sample of shards where it cannot.

    Where answers were stopped at their pivot or people have labelled some, what corrects belief
    is learnt from all runs together.
    """
    if not isinstance(panel, PanelShards) or reading != "final":
        return panel
    found = panel.counts
    return sampled(panel) if found.finals["stopped"] or found.labelled else panel


def readings(panel: Panel) -> Readings:
    """What was read of each run of a panel, in its order."""
    frame, ids = panel.frame, panel.study.menu.ids
    pivot, final = _codes(frame["choice"], ids), _codes(frame["final_choice"], ids)
    silent = frame["status"].isin(_SILENT).to_numpy()
    listed = frame["pivot_listed"].astype("boolean").fillna(True).to_numpy(bool)
    whole = None
    if WHOLE in frame.columns:
        whole = frame[WHOLE].to_numpy(np.float64)
    return Readings(
        frame[[f"belief_{a}" for a in ids]].to_numpy(np.float64),
        np.where((frame["pivot_index"].to_numpy() >= 0) & ~silent, pivot, -1),
        np.where(silent, -1, final),
        listed,
        _later(frame["later_names"], ids),
        whole=whole,
        stopped=(frame["final_status"] == "stopped").to_numpy(bool),
        written=frame["completion_tokens"].to_numpy(np.float64),
        labelled=_labelled(panel),
    )


def _labelled(panel: Panel) -> Array | None:
    """The final choices that labels correct; None where nobody labelled."""
    if "label_probability" not in panel.frame.columns:
        return None
    # Of an answer that was stopped nothing is known.
    return np.asarray(corrected_final(panel).fillna(0.0), np.float64)


def _later(column: pd.Series[str], ids: Sequence[str]) -> tuple[tuple[Array, Codes], ...]:
    """Belief and choice at the names after the pivot, the first few of each run."""
    n = len(column)
    found: list[tuple[Array, Codes]] = []
    for row, text in enumerate(column.tolist()):
        for place, (name, *belief) in enumerate(
            json.loads(text)[:_NAMES] if isinstance(text, str) and text else []
        ):
            if place == len(found):
                found.append((np.full((n, len(ids)), np.nan), np.full(n, -1, np.intp)))
            found[place][0][row] = belief
            found[place][1][row] = ids.index(name)
    return tuple(found)


def _codes(column: pd.Series[str], ids: Sequence[str]) -> Codes:
    import pandas as pd

    return np.asarray(pd.Categorical(column, list(ids)).codes, np.intp)


def outcomes(
    panel: Panel,
    reading: Reading | None = "pivot",
    *,
    statuses: Sequence[str] = ("ok",),
    coefficient: Coefficient = "one",
    silent: bool = False,
) -> Outcomes:
    """What the runs of a panel say of the choices.

    Parameters
    ----------
    panel : Panel
        Runs.
    reading : str, optional
        None: the panel's own, see `default_reading`.
        ``pivot``: belief and choice at the pivot, of the rows with these `statuses`.
        ``final``: corrected belief and the choice of the whole answer, as the panel's reader
        read it or, where people have labelled a sample, as they would; of all rows, as leaving
        some out would select on what they say: those without a pivot or a usable belief enter
        by their choice, those whose final choice is unread by what their belief corrects.
        ``stated``, ``similarity``: what that measure says of the runs that can be used, with the
        choice of their text, where one is read; nothing is corrected. The only reading of such
        panels, and none of others.
    statuses : sequence of str
        Rows that enter under ``pivot``, of those that have a choice.
    coefficient : str
        See `corrected.corrected`.
    silent : bool
        Keep runs that say nothing at all, at their pivot or at their end, under ``final``; they
        move no estimate.

    Raises
    ------
    UsageError
        For an unknown reading; for ``final`` where answers were stopped with an unknown
        probability; for one that the panel's measure does not have.
    """
    reading = default_reading(panel) if reading is None else reading
    check_reading(panel, reading)
    frame, ids = panel.frame, panel.study.menu.ids
    if reading != "final":
        own = reading != "pivot"
        kept = frame["status"].isin(list(USABLE if own else statuses)).to_numpy()
        kept = kept & (own | frame["choice"].notna().to_numpy())
        rows = frame[kept]
        return Outcomes(
            _with_fields(panel, rows),
            rows[[f"belief_{a}" for a in ids]].to_numpy(np.float64),
            indicators(_codes(rows["choice"], ids), len(ids)),
            np.ones(len(rows)),
            reading,
            int(rows[f"belief_{ids[0]}"].notna().sum()),
        )
    read = readings(panel)
    found, choice = _corrected(panel, read, coefficient)
    weight = None
    if read.stopped is not None and read.stopped.any() and read.whole is not None:
        weight = np.where(read.stopped, 0.0, 1 / read.whole)
    kept = silent | (found.outcomes != 0).any(axis=1) | (found.read != 0)
    return Outcomes(
        _with_fields(panel, frame[kept]),
        found.outcomes[kept],
        choice[kept],
        found.read[kept],
        reading,
        int(read.usable.sum()),
        found.changes,
        found.notes,
        _of_labels(panel) if read.labelled is not None else "",
        None if weight is None else weight[kept],
        None if weight is None else read,
    )


def _of_labels(panel: Panel) -> str:
    """What the reader's choices were corrected by."""
    sample = panel.frame[panel.frame["label_probability"].notna()]
    wrong = (
        sample["label"].astype(object).fillna("")
        != sample["final_choice"].astype(object).fillna("")
    ).sum()
    return (
        f"final choices are those of {panel.provenance.get('final_reader', 'rules')}, corrected by "
        f"the labels of {len(sample):,} answers, {wrong:,} of which differ"
    )


def _corrected(panel: Panel, read: Readings, coefficient: Coefficient) -> tuple[Corrected, Array]:
    import pandas as pd

    choice = read.choices
    cell: Codes = pd.factorize(panel.frame["cell"])[0].astype(np.intp)
    # In turn within each cell: the two halves of a cell know nothing of each other. Every other
    # cell begins with the other half: where the first run alone is whole, both have some.
    fold: Codes = (panel.frame.groupby("cell").cumcount().to_numpy() + cell) % 2
    if panel.study.sampling.branch:
        # Branches are read to their ends: their belief is that of the final choice already.
        used = np.isfinite(read.belief).all(axis=1, keepdims=True)
        by_reader = indicators(read.final, choice.shape[1])
        branched = np.where(used, read.belief, by_reader) + choice - by_reader
        return Corrected(branched, branched.sum(axis=1), 0, "branches"), choice
    if read.stopped is not None and read.stopped.any():
        if read.whole is None:
            raise UsageError(
                f"{int(read.stopped.sum())} of {len(panel)} answers were stopped at their pivot "
                "and have no final choice: use reading='pivot', or ask again with whole answers "
                "(or a known probability of them, `--whole`)"
            )
        return augmented(read, cell, fold), choice
    return corrected(read, coefficient, fold), choice


def demand_frame(
    panel: Panel, alternative: str | None = None, found: Outcomes | None = None
) -> pd.DataFrame:
    """The rows of a binary fit: ``belief, choice`` (0/1), ``price``, and the panel's columns.

    Attributes of the alternative are columns by their own name, as its price is; texts are
    categories in the order of their levels.

    Fields of personas are columns of their own, numeric where all their values are
    numbers, so that a formula may use them; what a respondent has no value of is missing.

    Parameters
    ----------
    panel : Panel
        Runs.
    alternative : str, optional
        Whose demand; the study's focal alternative by default.
    found : Outcomes, optional
        What the runs say; by default at the pivot, of the runs with status ``ok``. Of final
        choices there is a column ``read`` besides: what corrected beliefs sum to.

    Raises
    ------
    UsageError
        If the alternative is not on the menu or has no price.
    """
    name = panel.study.focal if alternative is None else alternative
    place = panel.study.menu.index(name)
    if name not in panel.study.prices:
        raise UsageError(
            f"alternative {name!r} has no price: use one of {', '.join(panel.study.prices)}"
        )
    found = outcomes(panel, own_reading(panel) or "pivot") if found is None else found
    more = {READ: found.read} if found.reading == "final" else {}
    return found.frame.assign(
        belief=found.belief[:, place],
        choice=found.choice[:, place],
        price=found.frame[f"price_{name}"],
        **levels_of(panel.study, found.frame, name, filled=True),
        **more,
    )


class Studied(Protocol):
    """What has a study: a panel, in memory or in files."""

    @property
    def study(self) -> Study:
        """The study."""


def market_frame(panel: Studied, found: Outcomes | None = None) -> pd.DataFrame:
    """The rows that enter a conditional logit: one per run and alternative.

    Columns ``belief, choice`` (0/1), ``price`` (0 for alternatives without one), attributes (the
    first level for alternatives without them), ``alternative``, ``case`` (the run), and those of
    the panel; see `demand_frame`. Where alternatives are no brands also ``outside`` (0/1).
    """
    import pandas as pd

    menu = panel.study.menu
    if found is None:
        assert isinstance(panel, Panel)
        found = outcomes(panel, own_reading(panel) or "pivot")
    more = {READ: found.read} if found.reading == "final" else {}
    # Alternatives without names have one constant together, which is that of buying none.
    unnamed = panel.study.conjoint is not None and not panel.study.conjoint.labelled
    parts = [
        found.frame.assign(
            case=np.arange(len(found.frame)),
            alternative=a,
            belief=found.belief[:, k],
            choice=found.choice[:, k],
            price=found.frame[f"price_{a}"] if a in panel.study.prices else 0.0,
            **levels_of(panel.study, found.frame, a, filled=True),
            **({"outside": float(menu[a].outside)} if unnamed else {}),
            **more,
        )
        for k, a in enumerate(menu.ids)
    ]
    long = pd.concat(parts).sort_values("case", kind="stable", ignore_index=True)
    return long.assign(alternative=pd.Categorical(long["alternative"], list(menu.ids)))


def _with_fields(panel: Panel, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with the fields of their personas."""
    import pandas as pd

    fields = {k for p in panel.study.personas for k in p} - {"id", *map(str, frame.columns)}
    for name in sorted(fields):
        values = frame["persona_id"].map({p["id"]: p.get(name) for p in panel.study.personas})
        if panel.study.respondents:
            values = values.mask(values == "")
        with contextlib.suppress(ValueError, TypeError):
            values = pd.to_numeric(values)
        frame = frame.assign(**{name: values})
    return frame
