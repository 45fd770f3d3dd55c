"""What a store does not hold of a study: the runs that are left to ask."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence

from llmdemand.core.study import Study
from llmdemand.simulation.backend import Backend, Request
from llmdemand.simulation.branches import Branches
from llmdemand.simulation.calls.call import Call
from llmdemand.simulation.calls.shard import Block, Shard
from llmdemand.simulation.cost import Estimate, Prices, prompt_range
from llmdemand.simulation.requests import Asked
from llmdemand.simulation.storing.earlier import Earlier
from llmdemand.simulation.storing.records import Source
from llmdemand.simulation.storing.store import Store

__all__ = ["Missing"]


class Missing:
    """The runs of a study without an answer in a store.

    Parameters
    ----------
    study : Study
        What is asked.
    backend : Backend
        Who is asked.
    runs, seed : int
        Runs per cell, and the seed of the panel.
    store : Store
        Where answers are.
    shard : Shard, optional
        Whose runs alone are wanted.
    block : Block, optional
        Which of these are.

    Attributes
    ----------
    total : int
        Runs that are wanted.
    share : float
        Their share of the study's runs.
    branches : Branches
        Of their answers.
    """

    def __init__(
        self,
        study: Study,
        backend: Backend,
        runs: int,
        seed: int,
        store: Store,
        shard: Shard | None = None,
        block: Block | None = None,
    ) -> None:
        self._store, self._source = store, Source.of(backend)
        self._per_call = max(1, backend.traits.per_call)
        self.branches = Branches(store, self._source, backend)
        self._asked = Asked(study, runs, seed)
        self._earlier = Earlier(study, seed, store, self._source)
        whole = len(self._asked)
        self._wanted: Sequence[int] = range(whole)
        if shard is not None:
            self._wanted = shard.positions(study, runs)
        self._empty = block is not None and block.fresh
        if block is not None:
            self._wanted = self._wanted[block.first : block.end]
        self.total = len(self._wanted)
        self.share = self.total / whole
        self._positions = array("q")

    def __len__(self) -> int:
        return len(self._positions)

    def look_up(self, stored: Callable[[Request, str], None] | None = None) -> None:
        """Find out what the store does not hold; what it holds goes to `stored`."""
        empty = self._empty or len(self._store) == 0
        self._positions = array("q")
        for position in self._wanted:
            if empty:
                self._positions.append(position)
                continue
            request, name = self._earlier.chosen(self._asked[position])
            if not self._complete(request, name):
                self._positions.append(position)
            elif stored is not None:
                stored(request, name)

    def _complete(self, request: Request, name: str) -> bool:
        """Whether the store holds an answer, with all of its branches."""
        if not request.sampling.branch:
            return self._store.has(name, request.sampling.top_logprobs)
        missing = self.branches.missing(request, name)
        return missing is not None and not missing

    def calls(self) -> Iterator[Call]:
        """What is missing, as calls: neighbours that share a prompt, up to the backend's most."""
        groups: dict[tuple[str, ...], list[Request]] = {}
        cell = -1

        def of_cell() -> Iterator[Call]:
            for group in groups.values():
                for first in range(0, len(group), self._per_call):
                    yield Call(tuple(group[first : first + self._per_call]))
            groups.clear()

        for position in self._positions:
            # Of an answer of earlier that lacks branches, those are asked for.
            request = self._earlier.asked(self._asked[position])
            if request.cell.index != cell or self._per_call == 1:
                yield from of_cell()
                cell = request.cell.index
            groups.setdefault(request.prompt, []).append(request)
        yield from of_cell()

    def estimate(self, prices: Prices | None) -> Estimate:
        """What is left to ask, and what that may cost."""
        requests_ = branches = 0
        low = high = write = 0.0
        self.look_up()
        for call in self.calls():
            requests_ += len(call.requests)
            branches += call.branches
            least = call.once if call.branches else call.bytes
            low, high = low + prompt_range(least)[0], high + prompt_range(call.bytes)[1]
            write += call.completion_tokens
        paid = self._store.totals(self._source)
        if paid["responses"] >= 10 and requests_:
            mean = paid["completion_tokens"] / paid["responses"]
            write = min(write, 1.5 * (requests_ + branches) * mean)
        return Estimate(
            requests_,
            self.total - requests_,
            (low, high),
            (float(requests_), write),
            (prices.usd(low, requests_), prices.usd(high, write)) if prices else None,
            branches,
        )
