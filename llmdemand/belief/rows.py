"""From answers to the rows of a panel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmdemand.belief.extract import Extractor
from llmdemand.belief.tokens import Response
from llmdemand.core.panel import Panel, columns
from llmdemand.core.study import Cell, Study

__all__ = ["Answer", "extract_panel"]

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

    Returns
    -------
    Panel
    """
    import pandas as pd

    extractor = Extractor(
        study.menu,
        temperature=study.sampling.temperature if raw_logprobs else 1.0,
        low_mass=low_mass,
        answer_first=study.answer_first,
        anchors=study.anchors,
    )
    names = columns(study)
    parts, rows = [], []
    for answer in answers:
        rows.append(_row(study, extractor, answer))
        if len(rows) == _CHUNK:
            parts.append(pd.DataFrame(rows, columns=names))
            rows = []
    parts.append(pd.DataFrame(rows, columns=names))
    # An empty last part would only blur the types of the others.
    filled = [part for part in parts if len(part)] or parts
    frame = filled[0] if len(filled) == 1 else pd.concat(filled, ignore_index=True)
    return Panel(frame, study, dict(provenance or {}))


def _row(study: Study, extractor: Extractor, answer: Answer) -> dict[str, Any]:
    response, cell = answer.response, answer.cell
    found = extractor(response)
    ids = study.menu.ids
    return {
        "run_id": f"{cell.index}-{answer.replicate}",
        "cell": cell.index,
        "replicate": answer.replicate,
        "persona_id": cell.persona.get("id"),
        "order": ">".join(answer.order),
        **{f"price_{a}": p for a, p in cell.prices.items()},
        "status": found.status,
        "choice": found.choice,
        **{f"belief_{a}": b for a, b in zip(ids, found.belief, strict=True)},
        **{f"lo_{a}": b for a, b in zip(ids, found.lower, strict=True)},
        **{f"hi_{a}": b for a, b in zip(ids, found.upper, strict=True)},
        "decided_mass": found.decided_mass,
        "undecided_mass": found.undecided_mass,
        "tail_mass": found.tail_mass,
        "pivot_index": found.pivot_index,
        "pivot_token": found.pivot_token,
        "final_choice": found.final,
        "mismatch": found.mismatch,
        "text": response.text,
        "model": response.model or answer.model,
        "backend": answer.backend,
        "temperature": study.sampling.temperature,
        "prompt_tokens": response.usage.get("prompt_tokens", math.nan),
        "completion_tokens": response.usage.get("completion_tokens", math.nan),
    }
