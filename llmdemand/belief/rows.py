"""From answers to the rows of a panel."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmdemand.belief.branching.branches import Branched, Reader, over_branches
from llmdemand.belief.extract import Extractor
from llmdemand.belief.final.column import FinalColumns
from llmdemand.belief.measures.measured import measured
from llmdemand.belief.pivot.found import Belief
from llmdemand.belief.thoughts import over_thoughts, share_cut
from llmdemand.belief.tokens import Response
from llmdemand.core.cell import Cell
from llmdemand.core.experiment.conjoint import holdout
from llmdemand.core.panel import TRIMMED, WHOLE, Panel, columns
from llmdemand.core.study import Study
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answer", "PanelBuilder", "extract_panel"]

_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class Answer:
    """One response and the design point that it answers.

    Attributes
    ----------
    cell : Cell
        The design point.
    replicate : int
        Index of the run within its cell.
    order : tuple of str
        The option order that the prompt showed.
    response : Response
        What came back.
    backend, model : str
        Who answered; a response that names its own model keeps that.
    """

    cell: Cell
    replicate: int
    order: tuple[str, ...]
    response: Response
    backend: str = ""
    model: str = ""


def extract_panel(
    study: Study,
    answers: Iterable[Answer],
    provenance: Mapping[str, Any] | None = None,
    *,
    raw_logprobs: bool = True,
    low_mass: float = 0.05,
    reader: Reader | None = None,
) -> Panel:
    """Extract every answer's belief by the study's own menu and answer format.

    Parameters
    ----------
    study : Study
        The study that was asked: menu, anchors, answer format, temperature.
    answers : iterable of Answer
        Read once; memory holds the rows, not the responses.
    provenance : mapping, optional
        Stored with the panel.
    raw_logprobs : bool
        Whether log-probabilities were recorded before the sampling temperature
        (llama.cpp, vLLM): belief is then converted to it.
    low_mass : float
        See `Extractor`.
    reader : callable, optional
        Reads whole texts of answers that branch: from a text to an alternative's id or
        None. By default what the text decides for last.

    Returns
    -------
    Panel
    """
    builder = PanelBuilder(study, raw_logprobs=raw_logprobs, low_mass=low_mass, reader=reader)
    for answer in answers:
        builder.add(answer)
    return builder.panel(provenance)


class PanelBuilder:
    """A panel that grows answer by answer.

    Memory holds the rows, as data frames of some thousand each, not the responses.

    Parameters
    ----------
    study, raw_logprobs, low_mass, reader
        See `extract_panel`.
    """

    def __init__(
        self,
        study: Study,
        *,
        raw_logprobs: bool = True,
        low_mass: float = 0.05,
        reader: Reader | None = None,
    ) -> None:
        self._study = study
        self._extractor = Extractor(
            study.menu,
            temperature=study.sampling.temperature if raw_logprobs else 1.0,
            low_mass=low_mass,
            listed=study.sampling.top_logprobs,
            **study.reading,
        )
        self._final, self._reader = FinalColumns(study), reader
        self._columns = _Columns(study)
        self._parts: list[pd.DataFrame] = []
        self._rows: list[dict[str, Any]] = []
        self._trimmed = 0

    @property
    def study(self) -> Study:
        """The study that was asked."""
        return self._study

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The last rows, up to 20,000: what `keep` takes."""
        return self._rows

    def row(self, answer: Answer) -> dict[str, Any]:
        """Extract one answer, without keeping its row."""
        return _row(self._study, self._extractor, self._final, answer, self._columns, self._reader)

    def keep(self, row: dict[str, Any]) -> None:
        """One more row of the panel, made by `row` here or in another process."""
        self._rows.append(row)
        self._trimmed += TRIMMED in row
        if len(self._rows) == _CHUNK:
            self._close_part()

    def add(self, answer: Answer) -> str:
        """Extract one answer and keep its row; returns its status."""
        row = self.row(answer)
        self.keep(row)
        return str(row["status"])

    def panel(self, provenance: Mapping[str, Any] | None = None, *, ordered: bool = False) -> Panel:
        """The panel of all answers so far.

        Parameters
        ----------
        provenance : mapping, optional
            Stored with the panel.
        ordered : bool
            Sort the rows by cell and replicate; by default they stay as they came.
        """
        import pandas as pd

        if self._rows or not self._parts:
            self._close_part()
        frame = (
            self._parts[0] if len(self._parts) == 1 else pd.concat(self._parts, ignore_index=True)
        )
        if (frame[WHOLE] == 1).all():
            frame = frame.drop(columns=WHOLE)
        if ordered:
            frame = frame.sort_values(["cell", "replicate"], kind="stable", ignore_index=True)
        known: dict[str, Any] = {"final_reader": "rules"}
        if self._study.thoughts:
            known["thoughts"] = self._study.thoughts
        panel = Panel(frame, self._study, {**known, **(provenance or {})})
        panel.provenance["measure"] = panel.measure
        if self._trimmed:
            panel.provenance[TRIMMED] = self._trimmed
        return panel

    def _close_part(self) -> None:
        import pandas as pd

        part = pd.DataFrame(self._rows, columns=self._columns.names)
        # Of an answer that was stopped or is unread nothing is known: neither yes nor no.
        self._parts.append(part.astype({"mismatch": "boolean", "pivot_listed": "boolean"}))
        self._rows = []


class _Columns:
    """Columns of a study's rows by what they hold, and what all runs of a cell share."""

    def __init__(self, study: Study) -> None:
        self._study, self.names = study, [*columns(study), WHOLE]
        self.ids = study.menu.ids
        self.laws = tuple(f"{kind}_{a}" for kind in ("belief", "lo", "hi") for a in self.ids)
        self._known: dict[int, tuple[Cell, dict[str, Any]]] = {}

    def of(self, cell: Cell) -> dict[str, Any]:
        """The columns of a cell; a new object every time."""
        known = self._known.get(cell.index)
        # Cells of one number are not the same where they come from several studies.
        if known is None or known[0] is not cell:
            known = self._known[cell.index] = cell, self._made(cell)
        return known[1].copy()

    def _made(self, cell: Cell) -> dict[str, Any]:
        study, names = self._study, self.names
        # What most studies do not vary, they have no column for.
        varied: dict[str, Any] = {
            k: getattr(cell, k) for k in ("variant", "arm", "task") if k in names
        }
        if "holdout" in names:
            varied["holdout"] = holdout(cell.task)
        return {
            "cell": cell.index,
            "persona_id": cell.persona.get("id"),
            **({"respondent_id": cell.persona["id"]} if study.respondents else {}),
            **varied,
            **{f"price_{a}": p for a, p in cell.prices.items()},
            **{f"{x}_{a}": v for x, own in cell.attributes.items() for a, v in own.items()},
            "temperature": study.sampling.temperature,
        }


def _row(
    study: Study,
    extractor: Extractor,
    final: FinalColumns,
    answer: Answer,
    shared: _Columns,
    reader: Reader | None,
) -> dict[str, Any]:
    response, cell, ids = answer.response, answer.cell, shared.ids
    between: dict[str, Any] = {}
    if study.measure == "logprob":
        found = extractor(response)
    else:
        found, between = measured(study, extractor, response)
    if study.sampling.thinking:
        found, variance = over_thoughts([extractor(r) for r in response.forced or (response,)])
        between = {f"between_{a}": v for a, v in zip(ids, variance, strict=True)}
        between["thoughts"] = len(response.forced or (response,))
    chosen, status, mismatch = final(response, answer.order, cell.prices, found.choice)
    if study.measure == "stated":  # percentages are no choice, whatever they begin with
        chosen, status, mismatch = None, "unread", None
    if study.thoughts:
        opened, tags = study.thinking_open, extractor.automaton.thinking
        between["thought_cut"] = share_cut(response, tags, opened=opened)
    if study.sampling.branch:
        if not isinstance(response, Branched):
            raise UsageError(
                f"run {cell.index}-{answer.replicate} has no branches, which the study asks for: "
                "read its response store, or set sampling.branch to false"
            )
        read = reader or final.reader(answer.order, cell.prices)
        found, more = over_branches(found, response, read, study.menu)
        between.update(more)
        # The final choice and the branches are read by one reader, or belief is not exact.
        chosen, mismatch = found.choice, found.mismatch
        status = "unread" if chosen is None else "read"
    row = shared.of(cell)
    row.update(zip(shared.laws, (*found.belief, *found.lower, *found.upper), strict=True))
    if between:
        row.update(between)
    usage = response.usage
    row |= {
        "run_id": f"{cell.index}-{answer.replicate}",
        "replicate": answer.replicate,
        "order": ">".join(answer.order),
        "status": found.status,
        "choice": chosen if study.measure == "similarity" else found.choice,
        "decided_mass": found.decided_mass,
        "undecided_mass": found.undecided_mass,
        "tail_mass": found.tail_mass,
        "pivot_index": found.pivot_index,
        "pivot_token": found.pivot_token,
        "pivot_listed": found.pivot_listed,
        "final_choice": chosen,
        "final_status": status,
        "mismatch": mismatch,
        "later_names": "" if study.sampling.thinking else _named(found.later, ids),
        "reason": _reason(found, response),
        "text": response.text,
        "model": response.model or answer.model,
        "backend": answer.backend,
        "prompt_tokens": usage.get("prompt_tokens", math.nan),
        "completion_tokens": usage.get("completion_tokens", math.nan),
        WHOLE: response.whole_probability,
    }
    if response.trimmed:  # said of the panel: the row is as it was
        row[TRIMMED] = True
    return row


def _reason(found: Belief, response: Response) -> str:
    if not (response.redacted or any(answer.redacted for answer in response.forced)):
        return found.reason
    redacted = "the answer held a key, which was taken out before it was kept"
    return f"{found.reason}; {redacted}" if found.reason else redacted


def _named(later: Sequence[tuple[int, tuple[float, ...]]], ids: Sequence[str]) -> str:
    """The names after the pivot as a panel holds them: JSON, or nothing.

    >>> _named([(1, (0.25, 0.75))], ["pampers", "huggies"])
    '[["huggies", 0.25, 0.75]]'
    """
    return json.dumps([[ids[k], *belief] for k, belief in later]) if later else ""
