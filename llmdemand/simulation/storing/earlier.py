"""Answers that were stored before seeds came from content: found under the keys of then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

from llmdemand.core.cell import Cell
from llmdemand.core.questionnaire.earlier import earlier_cells, earlier_order
from llmdemand.core.study import Study
from llmdemand.simulation.backend import Request, run_seed
from llmdemand.simulation.storing.records import Source, key
from llmdemand.simulation.storing.store import Store

__all__ = ["Earlier"]


class Earlier:
    """The runs of a study as they were asked when a cell's place made its seed and order.

    A run is found if the store holds it under the key that it had: the prompt of then has to
    be the prompt of now, and its study (the same, or one that has grown since) to be in the
    store. It keeps its seed and its option order.

    Parameters
    ----------
    study : Study
        What is asked now.
    seed : int
        Of the panel.
    store : Store
        Whose answers are looked through.
    source : Source
        Who answered.
    always : bool
        Whether to look even if the store holds no answer of then; batch files may be under
        way when the store is still empty.
    """

    def __init__(
        self, study: Study, seed: int, store: Store, source: Source, *, always: bool = False
    ) -> None:
        self._study, self._seed, self._store, self._source = study, seed, store, source
        there = store.studies(source, earlier=True)
        self._was: list[Study] = []
        if there or always:
            known = [s for hash_ in there if hash_ != study.hash if (s := store.study(hash_))]
            self._was = [study, *known]

    @cached_property
    def _cells(self) -> list[dict[str, Cell]]:
        return [{was.content(c): c for c in earlier_cells(was)} for was in self._was]

    def requests(self, request: Request) -> Iterator[Request]:
        """A run as each of the studies of then would have asked it."""
        if not self._was:
            return
        content = self._study.content(request.cell)
        for was, cells in zip(self._was, self._cells, strict=True):
            cell = cells.get(content)
            order = None if cell is None else earlier_order(was, cell, request.replicate)
            if cell is None or order is None or set(order) != set(request.order):
                continue
            system, user = self._study.prompt(request.cell, order)
            seed = run_seed(self._seed, cell.index, request.replicate)
            yield replace(request, system=system, user=user, seed=seed, order=order)

    def asked(self, request: Request) -> Request:
        """The run as it is to be asked: `chosen`, for whom the key is of no use."""
        return self.chosen(request)[0] if self._was else request

    def chosen(self, request: Request) -> tuple[Request, str]:
        """The run as it is to be asked or was answered, with its key: as of then if stored so."""
        name = key(request, self._source)
        most = request.sampling.top_logprobs
        if self._was and not self._store.has(name, most):
            for earlier in self.requests(request):
                known = key(earlier, self._source)
                if self._store.has(known, most):
                    return earlier, known
        return request, name
