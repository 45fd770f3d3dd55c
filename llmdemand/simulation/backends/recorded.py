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
from llmdemand.belief.rows import Answer
from llmdemand.belief.tokens import Response
from llmdemand.core.cell import Cell
from llmdemand.core.questionnaire.earlier import earlier_order
from llmdemand.core.study import Study
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backend import Request, Traits
from llmdemand.simulation.branches import branched, open_tokens, plan_in
from llmdemand.simulation.storing.records import Source, Stored
from llmdemand.simulation.storing.store import Store, is_store

__all__ = ["RecordedBackend", "stored_answers"]


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


def stored_answers(path: str | Path, study: Study, *, model: str | None = None) -> Iterator[Answer]:
    """The answers in a store by their run ids, whatever menu the study now has.

    A study that has grown was asked as several: answers to cells that ask the same are taken
    from all of them, those to the study itself first. Its menu or reading may have been
    another; what asked something else is left out, with a warning.

    Parameters
    ----------
    path : path
        A store file.
    study : Study
        How the answers are to be read.
    model : str, optional
        Which source, where the store holds several: see `RecordedBackend`.

    Yields
    ------
    Answer

    Raises
    ------
    UsageError
        If no answer in the store is one to this study.
    """
    source = RecordedBackend(path, model=model).source
    with Store(path) as store:
        there = sorted(store.studies(source), key=lambda hash_: hash_ != study.hash)
        same = _Same(study, {hash_: store.study(hash_) for hash_ in there})
        sampling, incomplete, left_out = study.sampling, 0, 0
        for asked in there:
            rests: dict[str, dict[int, Response]] = {}
            for stored in store.responses(source, asked) if sampling.branch else ():
                if "branch_of" in stored.raw:
                    own = rests.setdefault(str(stored.raw["branch_of"]), {})
                    own[int(stored.raw["token"])] = read_response(stored.raw)
            for stored in store.responses(source, asked):
                if "branch_of" in stored.raw:
                    continue
                run = same.run(asked, stored)
                if run is None:
                    left_out += 1
                    continue
                answer = answer_of({**run, "raw": stored.raw}, study, backend=source.backend)
                if "plan" in stored.raw and sampling.branch:
                    plan, found = plan_in(stored.raw), rests.get(stored.key, {})
                    if not found.keys() >= set(open_tokens(plan, sampling)):
                        incomplete += 1
                        continue
                    joined = branched(answer.response, plan, found, sampling)
                    answer = replace(answer, response=joined)
                yield replace(answer, model=source.model)
    if left_out and not same.found:
        raise UsageError(
            f"{path} holds answers to {', '.join(same.names)}, which asked something else than "
            f"{study.name!r} ({study.hash}): prices, prompts, personas and orders must be those "
            "that were asked"
        )
    if same.foreign:
        warnings.warn(
            f"{same.foreign} answers in {path} are to questions that {study.name!r} does not ask, "
            "and are left out",
            stacklevel=2,
        )
    if same.assumed:
        warnings.warn(
            f"{same.assumed} answers in {path} came without what was asked, and are read as "
            f"answers to {study.name!r} as it is now: if prices, personas or variants have changed "
            "since, give the study that was asked",
            stacklevel=2,
        )
    if incomplete:
        warnings.warn(
            f"{incomplete} answers in {path} are left out, as their branches are not all there: "
            "run the same simulation again to ask for the rest",
            stacklevel=2,
        )


class _Same:
    """Stored runs of some studies as runs of one: where a cell asks the same, word for word.

    Parameters
    ----------
    study : Study
        The one.
    asked : mapping of str to Study or None
        The studies that were asked, by hash; None where it is not known what was asked: then
        a run is what it is stored to have shown, and one of before that was stored is taken for
        one of the study itself.
    """

    def __init__(self, study: Study, asked: Mapping[str, Study | None]) -> None:
        self._study = study
        self._asked = {hash_: study if hash_ == study.hash else s for hash_, s in asked.items()}
        self._known: dict[Any, bool] = {}
        self._taken: dict[tuple[int, int], str] = {}
        self.found = self.foreign = self.assumed = 0

    @property
    def names(self) -> list[str]:
        """What the store holds answers to."""
        return [
            f"the study {hash_ if s is None else repr(s.name)}" for hash_, s in self._asked.items()
        ]

    def run(self, hash_: str, stored: Stored) -> dict[str, str] | None:
        """Run id and order as fields of a line, or None if the study has no such run."""
        own, replicate, order = self._found(self._asked[hash_], stored)
        # The orders of before are no longer drawn: a run keeps the one that it saw.
        if own is None or (stored.order and self._study.order(own, replicate) != order):
            self.foreign += 1
            return None
        # One answer to a run from one study; of several seeds the study's own are all told.
        if self._taken.setdefault((own.index, replicate), hash_) != hash_:
            return None
        self.found += 1
        return {"run_id": f"{own.index}-{replicate}", "order": ">".join(order)}

    def _found(
        self, asked: Study | None, stored: Stored
    ) -> tuple[Cell | None, int, tuple[str, ...]]:
        """The study's own cell that asks what a stored run asked, its replicate and order."""
        index, replicate = map(int, stored.run_id.rsplit("-", 1))
        order = tuple(stored.order.split(">")) if stored.order else None
        if asked is None and stored.content and order:
            # Of what was asked it is known what each run was shown.
            return self._study.cell_shown(stored.content), replicate, order
        was = asked or self._study
        self.assumed += asked is None
        cell = was.cell(index)
        order = order or earlier_order(was, cell, replicate) or was.order(cell, replicate)
        own = cell if was is self._study else self._study.cell_shown(was.shown(cell, order))
        same = own is not None and self._asks_the_same(was, cell, own, order)
        return own if same else None, replicate, order

    def _asks_the_same(self, was: Study, cell: Cell, own: Cell, order: tuple[str, ...]) -> bool:
        study = self._study
        if was is study:
            return True
        place = (was.hash, cell.index, order)
        if place not in self._known:
            self._known[place] = (
                set(order) == set(study.menu.ids)
                and _how(was) == _how(study)
                and was.prompt(cell, order) == study.prompt(own, order)
            )
        return self._known[place]


def _how(study: Study) -> tuple[Any, ...]:
    """How a study is asked: what an answer depends on besides the prompt."""
    sampling = study.sampling
    drawn = sampling.temperature, sampling.max_tokens, sampling.stop, sampling.thinking
    return study.mode, *drawn
