"""The panel of what a store holds, complete or not; nothing is asked."""

from __future__ import annotations

from typing import Any

from llmdemand.belief.rows import PanelBuilder
from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.simulation.backend import Backend
from llmdemand.simulation.branches import Branches
from llmdemand.simulation.requests import Asked, answer_to, checked_runs
from llmdemand.simulation.storing.earlier import Earlier
from llmdemand.simulation.storing.records import Source
from llmdemand.simulation.storing.store import Store

__all__ = ["Replayed", "replay"]


class Replayed:
    """The answers of a store to a study, part by part of its design.

    Parameters
    ----------
    study, runs, seed
        What was asked.
    backend : Backend
        Who was asked; its name, model and settings find the answers.
    store : Store
        Where they are.
    """

    def __init__(
        self,
        study: Study,
        backend: Backend,
        store: Store,
        *,
        runs: int | None = None,
        seed: int = 1,
    ) -> None:
        self._study, self._backend, self._store, self._seed = study, backend, store, seed
        self._source = source = Source.of(backend)
        before = (store.probe(source) or {}).get("before_temperature")
        self._raw_logprobs = backend.raw_logprobs if before is None else bool(before)
        self._branches = Branches(store, source, backend)
        self._earlier = Earlier(study, seed, store, source)
        self._asked = Asked(study, checked_runs(study, runs, seed), seed)

    def __len__(self) -> int:
        return len(self._asked)

    def part(self, start: int, end: int) -> tuple[Panel, list[str]]:
        """The panel of the stored runs at some places in the design, and the ids of the others."""
        builder = PanelBuilder(self._study, raw_logprobs=self._raw_logprobs)
        most, missing = self._study.sampling.top_logprobs, []
        for position in range(start, min(end, len(self))):
            request, name = self._earlier.chosen(self._asked[position])
            raw = self._store.get(name, most)
            branching = self._study.sampling.branch
            if raw is None or (branching and self._branches.missing(request, name)):
                missing.append(request.run_id)
                continue
            response = self._branches.joined(request, name, raw)
            builder.add(answer_to(request, response, self._backend))
        return builder.panel(self._provenance), missing

    @property
    def _provenance(self) -> dict[str, Any]:
        return {
            "seed": self._seed,
            "backend": self._backend.name,
            "model": self._backend.model,
            "settings": dict(self._backend.settings),
            "study_hash": self._study.hash,
        }

    def numbered(self, number: int, rows: int) -> tuple[Panel, list[str]]:
        """The part of a number, from 1, of those of so many places in the design.

        What it is missing stands in its provenance under ``shard``.
        """
        panel, missing = self.part((number - 1) * rows, number * rows)
        of = -(-len(self) // rows)
        panel.provenance["shard"] = {"number": number, "of": of, "missing": len(missing)}
        return panel, missing


def replay(
    study: Study, backend: Backend, store: Store, *, runs: int | None = None, seed: int = 1
) -> tuple[Panel, list[str]]:
    """The panel of what a store holds of a study, complete or not; asks nothing.

    Parameters
    ----------
    study, backend, store, runs, seed
        See `Replayed`, which does the same in bounded memory.

    Returns
    -------
    (Panel, list of str)
        One row per stored run, and the ids of the runs that are missing.
    """
    replayed = Replayed(study, backend, store, runs=runs, seed=seed)
    panel, missing = replayed.part(0, len(replayed))
    panel.provenance["missing"] = len(missing)
    return panel, missing
