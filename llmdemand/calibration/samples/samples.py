"""Humans and language-model respondents side by side: joined, checked, divided into cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.samples.choice_sets import CASE, case_starts, check_sums, sorted_cases
from llmdemand.calibration.samples.entries import (
    TASK,
    Model,
    belief_rows,
    check_beliefs,
    check_outcomes,
    columns_of,
    complete,
    respondent_ids,
)
from llmdemand.calibration.samples.matching import own_beliefs, unmatched
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, choose
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.models.logit import fraclogit, logit
from llmdemand.modeling.models.multinomial import clogit
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.outcomes.frames import Reading
from llmdemand.modeling.sample.designs import Design
from llmdemand.modeling.sample.formula import split, variables, without_offsets
from llmdemand.modeling.sample.sample import NA, codes, plain, require

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
    dropped: tuple[str, ...] = ()

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
        return replace(self, humans=replace(self.humans, f=humans), pool=replace(self.pool, f=pool))

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
    beliefs: pd.DataFrame | Panel,
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
    llm = belief_rows(beliefs, model, cluster, focal, reading, dropped)
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
    own = belief in left and belief != outcome  # that column is what humans said
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
        if belief in frame and not (name == "beliefs" and isinstance(beliefs, Panel)):
            check_beliefs(frame[belief], belief, name)
    h_ids, p_ids = respondent_ids(h[cluster], p[cluster])
    if model == "clogit":
        h, h_ids, order_h = sorted_cases(h, h_ids, case, alternative)
        p, p_ids, order_p = sorted_cases(p, p_ids, llm_case, alternative)
        for name, frame in (("humans", h), ("beliefs", p)):
            if belief in frame:
                check_sums(frame, belief, name)
        keep_h, keep_p = keep_h[order_h], keep_p[order_p]
    everyone, first = codes(_frame(np.concatenate([h_ids, p_ids])), ["id"])
    people_h, people_p = everyone[: len(h)], everyone[len(h) :]
    start_h, start_p = case_starts(h), case_starts(p)
    cell_h, cell_p, rows, begin, first_h, first_p = _cells(
        h, p, start_h, start_p, named, alternative if model == "clogit" else None
    )
    is_human = np.zeros(len(first), bool)
    is_human[people_h] = True
    if own:
        f = h[belief].to_numpy(np.float64)
    else:
        f, found = own_beliefs(
            h,
            p,
            people_h,
            people_p,
            cell_h,
            cell_p,
            start_h,
            start_p,
            is_human,
            belief,
        )
        if not found.all():
            h, lost = unmatched(
                h,
                h_ids,
                p_ids,
                is_human,
                people_p,
                found,
                start_h,
                cluster,
                rows,
                begin,
                cell_h,
                na,
            )
            dropped.append(lost)
            kept = np.repeat(found, np.diff(np.append(start_h, len(f))))
            f, people_h, keep_h = f[kept], people_h[kept], keep_h[kept]
            cell_h, first_h, start_h = cell_h[found], first_h[found], case_starts(h)
    pool_rows = ~is_human[people_p]
    if not pool_rows.any():
        raise DesignError(
            "the LLM answered as the humans alone: calibration gains from LLM respondents beyond "
            f"them. Ask it as further respondents, each with a {cluster!r} of their own"
        )
    pool_cases = pool_rows[start_p]
    pool_frame = p[pool_rows].reset_index(drop=True)
    fit = _human_fit(
        h, h_ids if na == "raise" else None, people_h, formula, outcome, model, alternative, base
    )
    resp_h, n_h = _dense(people_h[start_h])
    resp_p, n_p = _dense(people_p[start_p][pool_cases])
    y = h[outcome].to_numpy(np.float64)
    return Pairs(
        Sample(resp_h, cell_h, start_h, f, n_h, first_h, y),
        Sample(
            resp_p,
            cell_p[pool_cases],
            case_starts(pool_frame),
            pool_frame[belief].to_numpy(np.float64),
            n_p,
            first_p[pool_cases],
        ),
        rows,
        begin,
        fit,
        model,
        outcome,
        cluster,
        humans.iloc[keep_h].reset_index(drop=True),
        llm.iloc[keep_p[pool_rows]].reset_index(drop=True),
        tuple(dropped),
    )


def _frame(ids: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"id": ids})


def _cells(
    h: pd.DataFrame,
    p: pd.DataFrame,
    start_h: Codes,
    start_p: Codes,
    named: Sequence[str],
    alternative: str | None,
) -> tuple[Codes, Codes, pd.DataFrame, Codes, Codes, Codes]:
    """Cells of equal regressors: their numbers on both sides, their rows, where these begin."""
    import pandas as pd

    columns = [*([alternative] if alternative else []), *named]
    both = pd.concat([h[columns], p[columns]], ignore_index=True)
    start = np.concatenate([start_h, len(h) + start_p])
    row_code, _ = codes(both, columns)
    if alternative is None:
        cell, first = codes(both, columns)
    else:
        sizes = np.diff(np.append(start, len(both)))
        place = np.arange(len(both)) - np.repeat(start, sizes)
        wide = np.full((len(start), int(sizes.max())), -1, np.int64)
        wide[np.repeat(np.arange(len(start)), sizes), place] = row_code
        names = [f"r{k}" for k in range(wide.shape[1])]
        cell, first = codes(pd.DataFrame(wide, columns=names), names)
    # Cells in the order of their variables, so that tables read well.
    begin_all = start[first]
    ends = np.append(start, len(both))
    pieces = [np.arange(ends[c], ends[c + 1]) for c in first] if alternative else []
    order = (
        np.lexsort([both[v].iloc[begin_all].to_numpy() for v in reversed(named)])
        if named and not alternative and all(both[v].dtype.kind in "fiub" for v in named)
        else np.arange(len(first))
    )
    rank = np.empty(len(first), np.intp)
    rank[order] = np.arange(len(first))
    cell = rank[cell]
    if alternative:
        chosen = np.concatenate([pieces[c] for c in order])
        begin = np.cumsum([0, *(len(pieces[c]) for c in order)])[:-1].astype(np.intp)
    else:
        chosen, begin = begin_all[order], np.arange(len(first))
    rows = both.iloc[chosen].reset_index(drop=True)
    at = begin[cell]
    n = len(start_h)
    return cell[:n], cell[n:], rows, begin, at[:n], at[n:]


def _dense(values: Codes) -> tuple[Codes, int]:
    known, inverse = np.unique(values, return_inverse=True)
    return inverse.astype(np.intp), len(known)


def _human_fit(
    h: pd.DataFrame,
    ids: Any,
    people: Codes,
    formula: str,
    outcome: str,
    model: Model,
    alternative: str,
    base: str | None,
) -> LogitResults:
    """Humans alone by the modeling layer, which also checks formula, outcomes and regressors."""
    frame = h.assign(**{"respondent of calibration": people})
    common: Any = {"vcov": {"CRV1": "respondent of calibration"}, "separation": "raise"}
    if len(np.unique(people)) < 2:
        raise DesignError("one human: the error between respondents needs at least 2")
    if model == "clogit":
        return clogit(formula, frame, case=CASE, alternative=alternative, base=base, **common)
    return (logit if model == "logit" else fraclogit)(formula, frame, **common)
