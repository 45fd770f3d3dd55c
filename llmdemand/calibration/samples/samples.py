"""Humans and language-model respondents side by side: joined, checked, divided into cells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.samples.asked import Asked, asked_alike
from llmdemand.calibration.samples.choice_sets import CASE
from llmdemand.calibration.samples.entries import (
    TASK,
    Model,
    belief_rows,
    check_beliefs,
    check_outcomes,
    columns_of,
    complete,
    in_memory,
)
from llmdemand.calibration.samples.joining import Joined, join
from llmdemand.calibration.samples.matching import Told, told_of
from llmdemand.calibration.samples.surveyed import Side, Survey, Surveyed, surveyed
from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.models.logit import fraclogit, logit
from llmdemand.modeling.models.multinomial import clogit
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.outcomes.frames import Reading
from llmdemand.modeling.sample.designs import Design
from llmdemand.modeling.sample.formula import split, variables, without_offsets
from llmdemand.modeling.sample.sample import NA, plain, require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Pairs", "Sample", "pair"]


@dataclass(frozen=True)
class Sample:
    """The cases of one side; the rows of a case lie side by side.

    Attributes
    ----------
    respondent : (N,) int array
        Whose case it is, 0 to `respondents` - 1.
    cell : (N,) int array
        Design cell; the same number means the same regressors on both sides.
    start : (N,) int array
        First row of each case.
    f : (R,) array
        Beliefs.
    y : (R,) array or None
        Outcomes; humans have them.
    respondents : int
        Number of respondents.
    first : (N,) int array
        Row of `Pairs.rows` at which a case with the same regressors begins.
    """

    respondent: Codes
    cell: Codes
    start: Codes
    f: Array
    respondents: int
    first: Codes
    y: Array | None = None


@dataclass(frozen=True)
class Pairs:
    """Humans with their own beliefs, further LLM respondents, and the logit of both.

    Attributes
    ----------
    humans, pool : Sample
        The two sides; no respondent is in both.
    rows : pandas.DataFrame
        Variables of each cell: one row, or one per alternative.
    begin : (J,) int array
        First row of each cell in `rows`.
    fit : LogitResults
        Humans alone, clustered by respondent, each observation counted once.
    model : str
        ``logit``, ``fraclogit`` or ``clogit``.
    outcome, cluster : str
        Columns of the outcome and of respondents.
    human_frame, pool_frame : pandas.DataFrame
        The rows, for checks of balance.
    dropped : tuple of str
        What was left out, in sentences.
    told : pair of Told
        What the LLM said as humans and as the pool, as often on either side.
    asked : Asked
        What the records say of how it was asked.
    survey : Surveyed or None
        How the humans were sampled, where that was told.
    """

    humans: Sample
    pool: Sample
    rows: pd.DataFrame
    begin: Codes
    fit: LogitResults
    model: Model
    outcome: str
    cluster: str
    human_frame: pd.DataFrame = field(repr=False)
    pool_frame: pd.DataFrame = field(repr=False)
    dropped: tuple[str, ...]
    told: tuple[Told, Told]
    asked: Asked
    survey: Surveyed | None = None

    @property
    def design(self) -> Design:
        """From data frames to regressors."""
        assert self.fit.design is not None
        return self.fit.design

    @property
    def outside(self) -> bool:
        """Whether a case is one row, bought or not."""
        return self.model != "clogit"

    def with_beliefs(self, humans: Array, pool: Array) -> Pairs:
        """The same people with other beliefs, row by row."""
        sides = replace(self.humans, f=humans), replace(self.pool, f=pool)
        own, other = (told_of(s.respondent, s.first, s.start, s.f) for s in sides)
        return replace(self, humans=sides[0], pool=sides[1], told=(own, other))

    def describe_row(self, row: int) -> str:
        """A row of the cells in words."""
        part = self.rows.iloc[row]
        return ", ".join(
            f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in part.items()
        )

    def describe(self, cell: int) -> str:
        """A cell in words: ``price 35``.

        Of choice sets the variables that are not the same for all alternatives are named.
        """
        end = self.begin[cell + 1] if cell + 1 < len(self.begin) else len(self.rows)
        part = self.rows.iloc[self.begin[cell] : end]
        said = []
        for column in part.columns:
            values = list(dict.fromkeys(part[column]))
            shown = "/".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
            said.append(f"{column} {shown}")
        return ", ".join(said)


def pair(
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | AnyPanel,
    formula: str = "choice ~ price",
    *,
    model: Model = "logit",
    cluster: str = "respondent_id",
    belief: str = "belief",
    case: str | None = None,
    alternative: str = "alternative",
    base: str | None = None,
    focal: str | None = None,
    na: NA = "raise",
    reading: Reading | None = None,
    survey: Survey | None = None,
    corrected: bool = False,
) -> Pairs:
    """Join humans and beliefs; parameters as in `llmdemand.calibration.ppi.calibrate`.

    Raises
    ------
    DesignError
        For data that cannot be calibrated, with the row or respondent.
    UsageError
        For impossible options.
    """
    choose(model, Model, "model")
    choose(na, NA, "na")
    dropped: list[str] = []
    outcome, parts = split(formula)
    without_offsets(parts, "a calibration")
    beliefs = in_memory(humans, beliefs, cluster)
    asked = None if survey is None else survey.weights or ""
    llm = belief_rows(beliefs, model, cluster, focal, reading, dropped, asked)
    left, right = columns_of(humans, llm)
    require([cluster], left, "of respondents among the humans (cluster=...)")
    require([cluster], right, "of respondents among the beliefs (cluster=...)")
    require([outcome], left, "of outcomes among the humans")
    named = list(dict.fromkeys(v for p in parts for v in variables(p, left)))
    # Runs of a panel that differ in prices are tasks, whatever the humans' are called.
    llm_case = TASK if TASK in right else case
    choice, llm_choice = (
        [alternative, *([c] if c else [])] if model == "clogit" else [] for c in (case, llm_case)
    )
    require([*named, *choice], left, "among the humans")
    require([*named, *llm_choice], right, "among the beliefs")
    everyone = survey is not None and survey.probability is not None
    own = belief in left and belief != outcome  # that column is what humans said
    if own and everyone:
        raise UsageError(
            f"probability=... needs the beliefs of everybody in one table, but the humans bring a "
            f"column {belief!r} of their own: leave it out"
        )
    if not own or len(llm):
        require([belief], right, "of beliefs (belief=...)")
    read = dict.fromkeys([cluster, *choice, *named, outcome, *([belief] if own else [])])
    h = plain(humans[list(read)].reset_index(drop=True))
    read = dict.fromkeys([cluster, *llm_choice, *named, belief])
    p = plain(llm[list(read)].reset_index(drop=True))
    sets = [[cluster, *([c] if c else [])] if choice else [] for c in (case, llm_case)]
    h, keep_h = complete(h, "humans", na, dropped, sets[0])
    p, keep_p = complete(p, "beliefs", na, dropped, sets[1])
    check_outcomes(h[outcome], outcome, model)
    for name, frame in (("humans", h), ("beliefs", p)):
        # Corrected beliefs may leave [0, 1], so that their mean is right.
        free = name == "beliefs" and (corrected or isinstance(beliefs, Panel))
        if belief in frame and not free:
            check_beliefs(frame[belief], belief, name)
    joined = join(
        h,
        p,
        named,
        cluster=cluster,
        belief=belief,
        own=own,
        cases=(case, llm_case),
        alternative=alternative if model == "clogit" else None,
        na=na,
        dropped=dropped,
        everyone=everyone,
    )
    (who_h, n_h), (who_p, n_p) = (
        _dense(people[start])
        for people, start in (
            (joined.people_h, joined.start_h),
            (joined.people_p, joined.start_p),
        )
    )
    pool_frame = llm.iloc[keep_p[joined.keep_p]].reset_index(drop=True)
    human_frame = humans.iloc[keep_h[joined.keep_h]].reset_index(drop=True)
    told = None
    if survey:
        sides = [
            Side(frame, start, who, np.unique(people[start]))
            for frame, start, who, people in (
                (human_frame, joined.start_h, who_h, joined.people_h),
                (pool_frame, joined.start_p, who_p, joined.people_p),
            )
        ]
        told = surveyed(survey, *sides)
        dropped.extend(told.notes)
    fit = _human_fit(joined, formula, outcome, model, alternative, base, told)
    as_humans = human_frame if own else llm.iloc[keep_p[joined.keep_as_humans]]
    return Pairs(
        Sample(
            who_h,
            joined.cell_h,
            joined.start_h,
            joined.f,
            n_h,
            joined.first_h,
            joined.h[outcome].to_numpy(np.float64),
        ),
        Sample(
            who_p,
            joined.cell_p,
            joined.start_p,
            joined.p[belief].to_numpy(np.float64),
            n_p,
            joined.first_p,
        ),
        joined.rows,
        joined.begin,
        fit,
        model,
        outcome,
        cluster,
        human_frame,
        pool_frame,
        tuple(dropped),
        joined.told,
        asked_alike(as_humans, pool_frame),
        told,
    )


def _dense(values: Codes) -> tuple[Codes, int]:
    known, inverse = np.unique(values, return_inverse=True)
    return inverse.astype(np.intp), len(known)


def _human_fit(
    joined: Joined,
    formula: str,
    outcome: str,
    model: Model,
    alternative: str,
    base: str | None,
    told: Surveyed | None,
) -> LogitResults:
    """Humans alone by the modeling layer, which also checks formula, outcomes and regressors."""
    frame = joined.h.assign(**{"respondent of calibration": joined.people_h})
    common: Any = {"vcov": {"CRV1": "respondent of calibration"}, "separation": "raise"}
    if told is not None:
        sizes = np.diff(np.append(joined.start_h, len(frame)))
        frame = frame.assign(**{"weight of calibration": np.repeat(told.weights[0], sizes)})
        common |= {"weights": "weight of calibration", "weights_type": "sampling"}
    if len(np.unique(joined.people_h)) < 2:
        raise DesignError("one human: the error between respondents needs at least 2")
    if model == "clogit":
        return clogit(formula, frame, case=CASE, alternative=alternative, base=base, **common)
    return (logit if model == "logit" else fraclogit)(formula, frame, **common)
