"""A response store, replayed: the same study again, or another menu, without a call."""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmdemand.belief.files import answer_of
from llmdemand.belief.readers import read_response
from llmdemand.belief.rows import Answer, PanelBuilder
from llmdemand.belief.tokens import Response
from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backend import Backend, Request, Traits
from llmdemand.simulation.branches import Branches, branched, open_tokens, plan_in
from llmdemand.simulation.requests import answer_to, checked_runs, requests
from llmdemand.simulation.storing.records import Source, key
from llmdemand.simulation.storing.store import Store, is_store

__all__ = ["RecordedBackend", "replay", "stored_answers"]


class RecordedBackend:
    """Answers from a store with what one of its sources said; asks nothing.

    It takes the source's name, model and settings for its own, so that the same
    study with the same seed finds the same answers, and a study whose menu alone
    is another one extracts them anew.

    Parameters
    ----------
    store : path
        A `llmdemand.simulation.storing.store.Store` file.
    model : str, optional
        Which source, by model or ``backend:model``; needed where the store holds
        several.

    Raises
    ------
    UsageError
        If there is no such store, or the source is unknown or not the only one.
    """

    def __init__(self, store: str | Path, *, model: str | None = None) -> None:
        if not is_store(store):
            raise UsageError(f"no response store at {store}: --store wants one to replay")
        self.store = Path(store)
        with Store(store) as opened:
            named = opened.named_sources()
            fitting = [
                s
                for name, s in named.items()
                if model is None or model in (name, s.model, f"{s.backend}:{s.model}")
            ]
            if len(fitting) != 1:
                names = ", ".join(named) or "none"
                raise UsageError(
                    f"{store} holds {len(fitting)} sources{f' for {model}' if model else ''}: "
                    f"choose one with --model among {names}"
                )
            self._source = fitting[0]
            found = opened.probe(self._source) or {}
        # What a probe found out of a server holds for its answers too.
        before = found.get("before_temperature")
        self._raw_logprobs = self._source.raw_logprobs if before is None else bool(before)

    @property
    def source(self) -> Source:
        """Whose answers are replayed."""
        return self._source

    @property
    def name(self) -> str:
        """The recorded backend's name."""
        return self._source.backend

    @property
    def model(self) -> str:
        """The recorded model."""
        return self._source.model

    @property
    def settings(self) -> Mapping[str, Any]:
        """The recorded settings."""
        found: dict[str, Any] = json.loads(self._source.settings)
        return found

    @property
    def raw_logprobs(self) -> bool:
        """As recorded, or as a probe found it."""
        return self._raw_logprobs

    @property
    def traits(self) -> Traits:
        """Nothing is asked."""
        return Traits()

    async def complete(self, requests: Sequence[Request]) -> AsyncIterator[Mapping[str, Any]]:
        """Raises: what the store does not hold was never recorded."""
        raise BackendError(
            f"{self.store} holds no answer to run {requests[0].run_id} of {self.model}: ask for "
            "the study, runs and seed that were recorded"
        )
        yield {}  # an asynchronous generator, as the protocol wants

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """Tokens and log-probabilities, in any of the known forms."""
        return read_response(raw)

    async def close(self) -> None:
        """Nothing is open."""


def replay(
    study: Study, backend: Backend, store: Store, *, runs: int | None = None, seed: int = 1
) -> tuple[Panel, list[str]]:
    """The panel of what a store holds of a study, complete or not; asks nothing.

    Parameters
    ----------
    study, runs, seed
        What was asked.
    backend : Backend
        Who was asked; its name, model and settings find the answers.
    store : Store
        Where they are.

    Returns
    -------
    (Panel, list of str)
        One row per stored run, and the ids of the runs that are missing.
    """
    source, most = Source.of(backend), study.sampling.top_logprobs
    known = store.probe(source) or {}
    before = known.get("before_temperature")
    builder = PanelBuilder(study, raw_logprobs=backend.raw_logprobs if before is None else before)
    branches, missing = Branches(store, source, backend), []
    for request in requests(study, checked_runs(study, runs, seed), seed):
        name = key(request, source)
        raw = store.get(name, most)
        if raw is None or (study.sampling.branch and branches.missing(request, name)):
            missing.append(request.run_id)
            continue
        builder.add(answer_to(request, branches.joined(request, name, raw), backend))
    provenance = {
        "seed": seed,
        "backend": backend.name,
        "model": backend.model,
        "settings": dict(backend.settings),
        "study_hash": study.hash,
        "missing": len(missing),
    }
    return builder.panel(provenance), missing


def stored_answers(path: str | Path, study: Study, *, model: str | None = None) -> Iterator[Answer]:
    """The answers in a store by their run ids, whatever menu the study now has.

    Answers to the study itself are taken where the store holds any; else those to
    the one other study that it holds, whose menu or reading may have been another.

    Parameters
    ----------
    path : path
        A store file.
    study : Study
        How the answers are to be read; cells must be those of the study asked.
    model : str, optional
        Which source, where the store holds several: see `RecordedBackend`.

    Yields
    ------
    Answer

    Raises
    ------
    UsageError
        If it cannot be told which answers are meant.
    """
    source = RecordedBackend(path, model=model).source
    with Store(path) as store:
        there = store.studies(source)
        if study.hash not in there and len(there) != 1:
            raise UsageError(
                f"{path} holds answers to {len(there)} studies ({', '.join(sorted(there))}), none "
                f"of them this one ({study.hash}): give one of those studies"
            )
        asked = study.hash if study.hash in there else next(iter(there))
        _same_questions(study, store.study(asked), path)
        sampling, incomplete = study.sampling, 0
        rests: dict[str, dict[int, Response]] = {}
        for stored in store.responses(source, asked) if sampling.branch else ():
            if "branch_of" in stored.raw:
                own = rests.setdefault(str(stored.raw["branch_of"]), {})
                own[int(stored.raw["token"])] = read_response(stored.raw)
        for stored in store.responses(source, asked):
            if "branch_of" in stored.raw:
                continue
            answer = answer_of(
                {"run_id": stored.run_id, "raw": stored.raw}, study, backend=source.backend
            )
            if "plan" in stored.raw and sampling.branch:
                plan, found = plan_in(stored.raw), rests.get(stored.key, {})
                if not found.keys() >= set(open_tokens(plan, sampling)):
                    incomplete += 1
                    continue
                joined = branched(answer.response, plan, found, sampling)
                answer = replace(answer, response=joined)
            yield replace(answer, model=source.model)
    if incomplete:
        warnings.warn(
            f"{incomplete} answers in {path} are left out, as their branches are not all there: "
            "run the same simulation again to ask for the rest",
            stacklevel=2,
        )


def _same_questions(study: Study, asked: Study | None, path: str | Path) -> None:
    """Refuse to read answers by a study that asked something else; its menu may differ."""
    if asked is None or asked.hash == study.hash:
        return
    cells = asked.cells()
    differs = next(
        (
            cell.index
            for cell, other in zip(cells, study.cells(), strict=False)
            if cell != other
            or asked.order(cell, 0) != study.order(other, 0)
            or asked.prompt(cell, asked.order(cell, 0))
            != study.prompt(other, study.order(other, 0))
        ),
        None,
    )
    if differs is not None or len(cells) != len(study.cells()):
        raise UsageError(
            f"{path} holds answers to the study {asked.name!r} ({len(cells)} cells), which asked "
            f"something else than {study.name!r}"
            + (f", first in cell {differs}" if differs is not None else "")
            + ": prices, prompts, personas and orders must be those that were asked"
        )
