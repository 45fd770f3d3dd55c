"""The panel: one row per run, and all that passes from simulation to estimation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.core.line import OneLine
from llmdemand.core.study import Study
from llmdemand.core.tables.places import file_system, whole_file
from llmdemand.errors import PanelError, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FINAL_STATUSES", "JUDGED", "STATUSES", "USABLE", "WHOLE", "Panel"]

#: Column of panels in which answers may have been stopped at their pivot.
WHOLE = "whole_probability"

#: Column of panels whose answers a judge has read: the order in which it was shown the options.
JUDGED = "judged_order"

#: What can be said of a run. Only those of `USABLE` enter fits unless asked otherwise.
STATUSES = {
    "ok": "choice and belief are known",
    "low_mass": "few of the listed candidates at the pivot decide anything",
    "unlisted": "no listed candidate at the pivot decides anything: the choice alone is known",
    "no_pivot": "the answer names no alternative",
    "unresolved_at_end": "the answer settles the choice only by ending, or not at all",
    "conflicting_mentions": "the answer names several alternatives and decides for none",
    "unread": "the answer, or one of its branches, is read as no choice when it is finished",
    "refusal": "the model declined to answer",
    "no_output": "the answer is empty",
    "invalid_logprobs": "log-probabilities are positive, missing or sum to more than one",
    "no_logprobs": "the backend returned no log-probabilities",
    "torn_tokens": "the tokens do not tell the story of the text: see the run's reason",
    "failed": "the request failed and was not answered",
    "rescaled": "the stated percentages sum to 100 up to rounding, and were divided by their sum",
    "not_stated": "no percentage is stated for some alternative, or none that is a number",
    "ambiguous": "a stated percentage can be read in several ways: see the run's reason",
    "out_of_bounds": "a stated percentage is below 0 or above 100",
    "bad_sum": "the stated percentages do not sum to 100, and rounding does not explain it",
    "unmeasured": "the text has not been compared with anchor statements yet",
    "indistinct": "the text is equally similar to the anchor statements of all alternatives",
}
#: Statuses of runs whose probabilities are known.
USABLE = ("ok", "rescaled")

#: What can be said of the final choice: the choice that a reader finds in the whole answer.
FINAL_STATUSES = {
    "read": "the whole answer chooses an alternative",
    "unread": "it chooses none or several, or its reader cannot tell",
    "stopped": "it was stopped at its pivot: there is no whole answer",
}

_PLAIN_COLUMNS = [
    "run_id",
    "cell",
    "replicate",
    "persona_id",
    "order",
    "status",
    "choice",
    "decided_mass",
    "undecided_mass",
    "tail_mass",
    "pivot_index",
    "pivot_token",
    "pivot_listed",
    "final_choice",
    "final_status",
    "mismatch",
    "later_names",
    "reason",
    "text",
    "model",
    "backend",
    "temperature",
    "prompt_tokens",
    "completion_tokens",
]
_METADATA = b"llmdemand"
_NUMBERS = (
    "price_",
    "belief_",
    "lo_",
    "hi_",
    "decided_mass",
    "undecided_mass",
    "tail_mass",
    "cell",
    "stated_sum",
)
_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, repr=False)
class Panel(OneLine):
    """Runs of one study by one model.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per run: ``run_id, cell, replicate, persona_id, order, variant, arm,
        price_<alt>..., <attribute>_<alt>..., status, choice, belief_<alt>..., lo_<alt>...,
        hi_<alt>..., decided_mass, undecided_mass, tail_mass, pivot_index, pivot_token,
        pivot_listed, final_choice, final_status, mismatch, later_names, reason, text, model,
        backend, temperature, prompt_tokens, completion_tokens``. ``pivot_listed`` says whether the
        pivot token is among the listed candidates, by which belief is made; ``reason`` says in
        words why a run has no belief, where its status does not say it all. Beliefs are NaN where
        a run has none. ``cell`` is the index in the full factorial, ``order`` the option order
        that the run saw. ``variant`` (id of the prompt variant) is there only if the study has
        variants; ``arm`` (``blind`` or ``unblinded``) only if not all runs are blind;
        ``respondent_id``, after ``persona_id``, only if the personas are respondents: text, and
        the key by which data on the same people are joined. ``<attribute>_<alt>`` is the level of
        an attribute (a text or a number), there only where alternatives have attributes; ``task``
        (its name) and ``holdout`` only in a conjoint design. Of models that think first,
        ``between_<alt>...`` is the variance of belief between a run's ``thoughts``, and belief is
        their mean. ``final_choice`` is what the reader named in ``provenance["final_reader"]``
        finds in the whole answer (``final_status``: one of `FINAL_STATUSES`), ``mismatch``
        whether that is not ``choice``, missing where either is unknown; ``later_names`` are the
        names after the pivot with belief at each, as JSON. Panels that people have labelled have
        ``label``, and ``label_probability`` with which a run was drawn to be labelled, missing
        for runs that were not. ``whole_probability``, there only if some answers may have been
        stopped at their pivot, is the probability with which a run's was to be written to its
        end. ``thought_cut`` is the share of a run's thoughts that reached the
        most tokens before they were closed (natural: 0 or 1); the provenance says whether
        ``thoughts`` are ``natural`` or ``forced``. Of studies with ``sampling.branch`` belief,
        ``lo`` and ``hi`` are the branches' (of a run that is ``unread`` they sum to the weight of
        the branches that were read), ``choice`` is that of the whole text, ``pivot_choice`` and
        ``pivot_belief_<alt>...`` are what its pivot says; ``branches`` is their number,
        ``branch_tokens`` what they took besides the answer. Of studies with another measure than
        ``logprob`` there is a column ``measure``, the same in all rows; of stated probabilities
        ``stated_sum`` besides, in percent, before anything was done about it. Belief is then what
        the measure says (`llmdemand.core.questionnaire.measure.MEASURES`), ``lo`` and ``hi`` are
        missing, and an ``ok`` run need not have a choice.
    study : Study
        The design that was run.
    provenance : mapping
        Seed, versions, model file and whatever else reproduces the panel.

    Raises
    ------
    PanelError
        For a missing column or an impossible value, with its row.
    """

    frame: pd.DataFrame
    study: Study
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def _line(self) -> str:
        return f"{self.study.name}, {len(self)} runs, {len(self.usable)} usable"

    def __post_init__(self) -> None:
        _validate(self.frame, self.study)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def usable(self) -> pd.DataFrame:
        """The rows with a status of `USABLE`: belief is known, and (``logprob``) choice too."""
        return self.frame[self.frame["status"].isin(USABLE)]

    @property
    def measure(self) -> str:
        """What its probabilities are, one of `llmdemand.core.questionnaire.measure.MEASURES`.

        That of the study; ``choice`` too where log-probabilities were wanted and none came.
        """
        found = self.study.measure
        if found == "logprob" and self.usable.empty:
            return "choice" if (self.frame["status"] == "no_logprobs").any() else found
        return found

    @property
    def statuses(self) -> pd.Series[int]:
        """Number of runs by status, every status listed."""
        return self.frame["status"].value_counts().reindex(list(STATUSES), fill_value=0)

    def unweighted(self, what: str) -> None:
        """Refuse what makes nothing of the study's sampling weights.

        Raises
        ------
        UsageError
            If the study has weights.
        """
        if self.study.weights:
            raise UsageError(
                f"{what} makes nothing of sampling weights, and the study has "
                f"{self.study.weights!r}: to look at its respondents as they are, take them off by "
                "replace(panel, study=replace(panel.study, weights=''))"
            )

    def long(self, *, filled: bool = False) -> pd.DataFrame:
        """One row per run and alternative: ``run_id, cell, alternative, price, belief, chosen``.

        The design's columns ``replicate, persona_id, order`` and, where the panel has
        them, ``respondent_id``, ``variant``, ``arm``, ``task`` and ``holdout`` are repeated;
        attributes stand after the price, texts as categories in the order of their levels.
        The price of an outside option is NaN, as are its attributes; ``chosen`` is 0/1 and
        belief is NaN where the run has none.

        Parameters
        ----------
        filled : bool
            Give alternatives without a price the price 0, and without an attribute its first
            level, as ``clogit`` takes them: their constants hold the rest.
        """
        import pandas as pd

        parts = []
        for alternative in self.study.menu.ids:
            # Of a question of numbers the price is the product's, whatever the answer.
            of = alternative if self.study.question is None else self.study.focal
            price = self.frame.get(f"price_{of}")
            part = self.frame[[*_head(self.study), *_varied(self.study)]].assign(
                alternative=alternative,
                price=(0.0 if filled else float("nan")) if price is None else price,
                **levels_of(self.study, self.frame, alternative, filled=filled),
                belief=self.frame[f"belief_{alternative}"],
                chosen=(self.frame["choice"] == alternative).astype(int),
            )
            parts.append(part)
        return pd.concat(parts).sort_values("run_id", kind="stable", ignore_index=True)

    def write(self, path: str | Path) -> None:
        """Write a parquet file with the study inside its metadata.

        Parameters
        ----------
        path : path
            Of this machine, or of a file system that fsspec knows (``s3://...``).
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        inside = json.dumps({"study": self.study.to_dict(), "provenance": self.provenance})
        metadata = {**(table.schema.metadata or {}), _METADATA: inside.encode()}
        with whole_file(path) as file:
            pq.write_table(table.replace_schema_metadata(metadata), file)

    @classmethod
    def read(cls, path: str | Path) -> Panel:
        """Read and validate a panel that `write` wrote.

        Raises
        ------
        PanelError
            No such file, not parquet, not a panel, or a broken one.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        where, source = str(path), path
        if "://" in where:
            system, source = file_system(where)
        else:
            system = None
            if not Path(path).is_file():
                raise PanelError(f"no panel at {path}: give the path of a parquet file")
        try:
            table = pq.read_table(source, filesystem=system)
        except (pa.ArrowInvalid, OSError) as error:
            reason = str(error).splitlines()[0]
            raise PanelError(f"{path} is not a parquet file that can be read ({reason})") from None
        study, provenance = told(table.schema.metadata or {}, where)
        frame = _completed(table.to_pandas())
        if "final_status" not in frame.columns:
            frame = _with_final_status(frame)
            provenance.setdefault("final_reader", "automaton")
        return cls(frame, study, provenance)


def told(metadata: Mapping[bytes, bytes], where: str) -> tuple[Study, dict[str, Any]]:
    """The study and provenance inside the metadata of a parquet file.

    Raises
    ------
    PanelError
        If they hold none.
    """
    if _METADATA not in metadata:
        raise PanelError(
            f"{where} is parquet, but no panel: it holds no study. "
            "`llmdemand simulate` writes panels"
        )
    try:
        inside = json.loads(metadata[_METADATA])
        parts = inside["study"], dict(inside["provenance"])
    except (ValueError, KeyError, TypeError):
        raise PanelError(f"{where}: its metadata hold no study and provenance") from None
    return Study.from_dict(parts[0], where=where), parts[1]


def _with_final_status(frame: pd.DataFrame) -> pd.DataFrame:
    """Frames of earlier versions, which told stopped from whole answers by `mismatch`.

    Their final choice is the last decision of the automaton that finds pivots.
    """
    if not {"final_choice", "mismatch"} <= set(frame.columns):
        return frame
    status = frame["final_choice"].notna().map({True: "read", False: "unread"})
    status = status.mask(frame["mismatch"].isna(), "stopped")
    known = frame["final_choice"].notna() & frame["choice"].notna()
    mismatch = frame["mismatch"].astype("boolean").where(known)
    frame = frame.assign(mismatch=mismatch)
    frame.insert(list(frame.columns).index("final_choice") + 1, "final_status", status)
    return frame


def _completed(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with the columns that panels of earlier versions do not have."""
    import pandas as pd

    if "pivot_listed" not in frame.columns:
        frame = frame.assign(pivot_listed=pd.array([pd.NA] * len(frame), dtype="boolean"))
    if "thoughts" in frame.columns and "thought_cut" not in frame.columns:
        frame = frame.assign(thought_cut=float("nan"))
    missing = [c for c in ("reason", "later_names") if c not in frame.columns]
    return frame.assign(**dict.fromkeys(missing, ""))


def levels_of(
    study: Study, frame: pd.DataFrame, alternative: str, *, filled: bool
) -> dict[str, pd.Series[Any]]:
    """Levels of an alternative's attributes, by attribute; see `Panel.long`."""
    import pandas as pd

    found = {}
    for x in study.attributes:
        own = frame.get(x.column(alternative)) if alternative in study.prices else None
        if own is None:
            missing: Any = float("nan") if x.numeric else None
            own = pd.Series([x.levels[0] if filled else missing] * len(frame), frame.index)
        kind = float if x.numeric else pd.CategoricalDtype(list(x.levels), ordered=False)
        found[x.name] = own.astype(kind)
    return found


def columns(study: Study) -> list[str]:
    """The columns of a panel of this study, in order."""
    ids = study.menu.ids
    tail = _PLAIN_COLUMNS[7:]
    thoughts = [*(f"between_{a}" for a in ids), "thoughts"] if study.sampling.thinking else []
    thoughts += ["thought_cut"] if study.thoughts else []
    return [
        *_head(study),
        *_varied(study),
        *(f"price_{a}" for a in study.prices),
        *study.attribute_columns,
        "status",
        "choice",
        *(f"{kind}_{a}" for kind in ("belief", "lo", "hi") for a in ids),
        *thoughts,
        *(branch_columns(ids) if study.sampling.branch else []),
        *tail,
        *measure_columns(study),
    ]


def measure_columns(study: Study) -> list[str]:
    """What a panel says of a measure other than log-probabilities."""
    stated = ["stated_sum"] if study.measure == "stated" else []
    return [*(["measure"] if study.measure != "logprob" else []), *stated]


def branch_columns(ids: Sequence[str]) -> list[str]:
    """What a panel says of branches besides belief."""
    return ["branches", "branch_tokens", "pivot_choice", *(f"pivot_belief_{a}" for a in ids)]


def _head(study: Study) -> list[str]:
    """Columns that say which run it is."""
    *head, order = _PLAIN_COLUMNS[:5]
    return [*head, *(["respondent_id"] if study.respondents else []), order]


def _varied(study: Study) -> list[str]:
    """Columns of the factors that a study need not have."""
    variant = ["variant"] if study.variants else []
    task = ["task", "holdout"] if study.conjoint is not None else []
    return [*variant, *(["arm"] if study.arms != ("blind",) else []), *task]


def _validate(frame: pd.DataFrame, study: Study) -> None:
    import numpy as np
    import pandas as pd

    wanted = columns(study)
    for column in wanted:
        if column not in frame.columns:
            raise PanelError(
                f"column {column!r} is missing{nearest(column, list(map(str, frame.columns)))}"
            )
    _one_measure(frame, study)
    if frame["run_id"].duplicated().any():
        run = frame.loc[frame["run_id"].duplicated(), "run_id"].iloc[0]
        raise PanelError(f"run {run!r} is in the panel twice: every run is one row")
    _all(frame, frame["status"].isin(list(STATUSES)), f"status is not one of {list(STATUSES)}")
    known = frame["choice"].isna() | frame["choice"].isin(list(study.menu.ids))
    _all(frame, known, f"choice is not one of {list(study.menu.ids)}")
    _all(
        frame,
        frame["final_status"].isin(list(FINAL_STATUSES)),
        f"final_status is not one of {list(FINAL_STATUSES)}",
    )
    read = frame["final_choice"].isin(list(study.menu.ids)) == (frame["final_status"] == "read")
    _all(frame, read, f"final_choice is not one of {list(study.menu.ids)} where it is read")
    tasks = [] if study.conjoint is None else list(study.conjoint.names)
    levels: dict[str, list[Any]] = {
        "variant": [v.id for v in study.variants],
        "arm": list(study.arms),
        "task": tasks,
        "holdout": [True, False],
    }
    for column in _varied(study):
        found = frame[column].isin(levels[column])
        _all(frame, found, f"{column} is not one of {levels[column]}")
    for column, attribute in study.attribute_columns.items():
        known = frame[column].isin(list(attribute.levels))
        _all(frame, known, f"{column} is not one of {list(attribute.levels)}")
    if study.respondents:
        _all(frame, frame["respondent_id"].notna(), "the respondent_id is missing")
        asked = frame["respondent_id"].isin([p["id"] for p in study.personas])
        _all(frame, asked, "the respondent_id is none of the study's (ids are text)")
    for column in wanted:
        # A column with nothing in it (no pivots at all) is read back without a type.
        filled = column.startswith(_NUMBERS) and frame[column].notna().any()
        if filled and not pd.api.types.is_numeric_dtype(frame[column]):
            raise PanelError(f"column {column!r} holds {frame[column].dtype}, not numbers")
    _all(frame, frame["cell"].notna(), "the cell is missing")
    prices = frame[[f"price_{a}" for a in study.prices]].to_numpy(float)
    _all(frame, np.isfinite(prices).all(axis=1), "a price is not a finite number")
    beliefs = frame[[f"belief_{a}" for a in study.menu.ids]].to_numpy(float)
    inside = np.isnan(beliefs) | ((beliefs >= 0) & (beliefs <= 1))
    _all(frame, inside.all(axis=1), "a belief lies outside [0, 1]")
    summed = np.abs(beliefs.sum(axis=1) - 1) < _SUM_TOLERANCE
    bad = frame["status"].isin([*USABLE, "low_mass"]).to_numpy() & ~summed
    _all(frame, ~bad, "the beliefs of a run with a pivot do not sum to 1")
    if study.measure == "logprob":
        silent = (frame["status"] == "ok") & frame["choice"].isna()
        _all(frame, ~silent, "an ok run has no choice")
    if WHOLE in frame.columns:
        _check_whole(frame)


def _one_measure(frame: pd.DataFrame, study: Study) -> None:
    """Probabilities of several kinds are never in one panel."""
    if study.measure == "logprob" and "measure" not in frame.columns:
        return
    found = sorted(set(frame["measure"].fillna("logprob").astype(str)))
    if found and found != [study.measure]:
        raise PanelError(
            f"the study's measure is {study.measure!r}, and the runs have {', '.join(found)}: "
            "probabilities of several kinds do not go into one panel; keep a panel for each"
        )


def _check_whole(frame: pd.DataFrame) -> None:
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(frame[WHOLE]):
        raise PanelError(f"column {WHOLE!r} holds {frame[WHOLE].dtype}, not numbers")
    pi = frame[WHOLE].to_numpy(float)
    _all(frame, (pi > 0) & (pi <= 1), f"{WHOLE} lies outside (0, 1]")
    stopped = (frame["final_status"] == "stopped").to_numpy()
    _all(frame, ~stopped | (pi < 1), f"an answer was stopped although its {WHOLE} is 1")


def _all(frame: pd.DataFrame, good: Sequence[bool] | Any, problem: str) -> None:
    """Raise with the first offending row."""
    import numpy as np

    bad = np.flatnonzero(~np.asarray(good, bool))
    if bad.size:
        run = frame["run_id"].iloc[int(bad[0])]
        raise PanelError(f"row {int(bad[0])} (run {run!r}) of {bad.size} bad: {problem}")
