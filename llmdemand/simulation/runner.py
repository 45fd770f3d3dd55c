"""The runner itself: it asks what is missing, within budget, pace and patience."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from llmdemand.belief.rows import PanelBuilder
from llmdemand.belief.tokens import Response
from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import BackendError, BudgetReached, StoreError, TransportError, UsageError
from llmdemand.simulation.backend import Backend, Request
from llmdemand.simulation.calls.call import Call
from llmdemand.simulation.calls.options import Options
from llmdemand.simulation.calls.pool import Gate, Pace, Retries, stream
from llmdemand.simulation.calls.progress import Progress
from llmdemand.simulation.calls.shard import Block, Shard
from llmdemand.simulation.cost import Estimate, Hold, Ledger, Prices
from llmdemand.simulation.missing import Missing
from llmdemand.simulation.requests import answer_to, content_seed, provenance_of
from llmdemand.simulation.storing.records import Source, Stored, key
from llmdemand.simulation.storing.rescued import rescue
from llmdemand.simulation.storing.store import Store
from llmdemand.simulation.storing.trimming import Trimmer

__all__ = ["Runner"]

_TURN, _MOST_CONTENTS = 0.05, 4096
_PROBE = "probe (three calls; --no-probe leaves it out)"

_Pair = tuple[float, float]
_Keep = Callable[[Request, str, Mapping[str, Any], _Pair, Hold], float]


class Runner:
    """One call of `simulate`.

    Parameters
    ----------
    study, backend, runs, seed, store, options
        As `simulate` prepares them.
    block : Block, optional
        The part of the runs that is wanted.
    """

    def __init__(
        self,
        study: Study,
        backend: Backend,
        runs: int,
        seed: int,
        store: Store,
        options: Options,
        block: Block | None = None,
    ) -> None:
        self.study, self.backend, self.runs, self.seed = study, backend, runs, seed
        self.store, self.source = store, Source.of(backend)
        self.shard = Shard.given(options.shard)
        self.missing = Missing(study, backend, runs, seed, store, self.shard, block)
        if options.budget is not None and self.missing.total:
            options = replace(options, budget=options.budget.share(self.missing.share))
        self.options = options
        self.branches, self.total = self.missing.branches, self.missing.total
        self.progress = Progress(self.total)
        traits = backend.traits
        prices = options.prices or getattr(backend, "prices", None)
        if options.budget and options.budget.usd is not None and prices is None and traits.paid:
            raise UsageError(
                f"no price is known for {backend.model}: give it (dollars per million tokens read "
                "and written, on the command line --token-prices 2.5,10), or a budget in tokens"
            )
        self.ledger = Ledger(prices if traits.paid else Prices(0.0, 0.0), options.budget)
        asked = options.concurrency
        auto = (traits.concurrency, traits.start)
        self.gate = Gate(*auto) if asked == "auto" else Gate(asked, asked)
        self.pace = Pace(options.rpm, options.tpm)
        self.retries = Retries(options.patience, say=lambda text: self.progress.say(text))
        # What costs nothing may be lost in the moment before a crash.
        self._put = store.put if traits.paid or traits.kept else store.put_soon
        paced = options.rpm or options.tpm or options.concurrency != "auto"
        limited = paced or options.budget is not None or study.sampling.branch
        self._at_once = traits.instant and not limited
        self._contents: dict[tuple[int, tuple[str, ...]], str] = {}
        self._probe: Mapping[str, Any] | None = None
        self._trim: Trimmer | None = None
        self._rescued: list[Stored] = []
        self._broken_store: StoreError | None = None

    def estimate(self) -> Estimate:
        """What is left to ask."""
        return self.missing.estimate(self.ledger.prices)

    async def panel(self) -> Panel:
        """Ask what is missing; the panel of everything."""
        builder = await self.built()
        return builder.panel(self.provenance(), ordered=True)

    async def built(self) -> PanelBuilder:
        """Ask what is missing; the rows of everything."""
        self.store.put_study(self.study)
        self.missing.look_up()
        raw_logprobs = self.backend.raw_logprobs
        try:
            if self.backend.traits.unknown and self.study.measure == "logprob":
                self._probe = probe = await self._probed()
                if probe is not None and probe["before_temperature"] is not None:
                    raw_logprobs = probe["before_temperature"]
            builder = PanelBuilder(self.study, raw_logprobs=raw_logprobs)
            self.branches.tempered = raw_logprobs
            self._add = self._adder(builder)
            if (keep := self.options.keep_logprobs) is not None and not self.store.passing:
                self._trim = Trimmer(builder, keep)
            await self._ask()
        finally:
            await self.backend.close()
        return builder

    def provenance(self) -> dict[str, Any]:
        """What the panel keeps of how it was asked for."""
        provenance = provenance_of(self.study, self.backend, self.runs, self.seed)
        if self.ledger.prices and self.backend.traits.paid:
            prices = self.ledger.prices
            provenance["usd_per_million_tokens"] = [prices.prompt, prices.completion]
        if self._probe is not None:
            provenance["probe"] = self._probe
        if self.shard is not None:
            provenance["shard"] = [self.shard.number, self.shard.of]
        return provenance

    def _adder(self, builder: PanelBuilder) -> Callable[..., None]:
        def add(request: Request, response: Response, row: dict[str, Any] | None = None) -> None:
            found = row or builder.row(answer_to(request, response, self.backend))
            builder.keep(found)
            self.progress.row(str(found["status"]))

        return add

    async def _probed(self) -> Mapping[str, Any] | None:
        from llmdemand.simulation.probe import LONGEST, Probe, probe

        temperature, known = self.study.sampling.temperature, self.store.probe(self.source)
        if known is None and self.options.probe and len(self.missing):
            first = next(self.missing.calls())
            once = self.ledger.worst(first.bytes, 2 * LONGEST)
            three = (3 * once[0], 3 * once[1])
            if not self.ledger.fits(three):
                raise self._budget_reached(three, _PROBE)
            self.progress.note = "probing"
            self.progress.draw(now=True)

            async def ask(request: Request) -> Mapping[str, Any]:
                raws: list[Mapping[str, Any]] = []

                def keep(
                    _: Request, __: str, raw: Mapping[str, Any], worst: _Pair, hold: Hold
                ) -> float:
                    raws.append(raw)
                    self.ledger.spend(self.backend.parse(raw).usage, worst, hold)
                    return 0.0

                if not self.ledger.fits(once):  # after calls that were cut off
                    raise self._budget_reached(once, _PROBE)
                self.ledger.reserve(once)
                try:
                    await self._until_answered([(request, "")], once, Hold(once), keep)
                finally:
                    self.ledger.settle(once)
                return raws[0]

            found = await probe(self.backend, self.study, seed=self.seed, ask=ask)
            self.ledger.proven = False  # its answers are shorter than those of the study
            known = found.to_dict()
            found.enforce(temperature)
            self.store.put_probe(self.source, known)
            self.progress.note = ""
        elif known is not None:
            Probe.from_dict(known).enforce(temperature)
        return known

    async def _ask(self) -> None:
        def add_stored(request: Request, name: str) -> None:
            self._add(request, self._stored(request, name))

        if len(self.missing) < self.total:
            self.missing.look_up(add_stored)
        try:
            if self._at_once:
                await self._compute()
                return
            await stream(
                self.missing.calls(),
                self._answered,
                self.gate,
                self._admitted,
                interrupted=self.progress.interrupted,
            )
        except BudgetReached:
            # Calls that were under way have ended: their answers are in the account too.
            if self.ledger.broken:
                raise self._bound_broken() from None
            raise
        finally:
            self._flush()
            self._rescue()

    async def _compute(self) -> None:
        """Ask a backend that computes its answers, one by one: nothing is waited for or claimed.

        Should another process compute the same, it finds the same.
        """
        worst: dict[tuple[str, ...], _Pair] = {}
        turn = time.monotonic()
        for call in self.missing.calls():
            (request,) = call.requests
            if (bound := worst.get(request.prompt)) is None:
                worst = worst if len(worst) < _MOST_CONTENTS else {}
                bound = worst[request.prompt] = self._worst(call)
            # Where nobody will look for it, it needs no name.
            name = "" if self.store.passing else key(request, self.source)
            left = [(request, name)]
            with contextlib.suppress(TransportError):
                async for raw in self.backend.complete((request,)):
                    self._keep(*left.pop(), raw, bound, Hold(bound))
            if left:
                await self._until_answered(left, bound, Hold(bound), self._keep)
            if self._broken_store is not None:
                raise self._broken_store
            if time.monotonic() - turn > _TURN:  # an interruption is noticed
                await asyncio.sleep(0)
                turn = time.monotonic()

    def _flush(self) -> None:
        try:
            self.store.flush()
        except StoreError as error:
            self._broken_store = self._broken_store or error

    async def _admitted(self, call: Call) -> None:
        """Wait until a call fits into the budget with certainty."""
        worst, budget = self._worst(call), self.options.budget
        # How a server counts is known from its first answer: with a budget that is waited for.
        while not (fits := self.ledger.fits(worst)) or (
            budget is not None and not self.ledger.proven and self.gate.in_flight
        ):
            if not fits and not self.gate.in_flight:
                raise self._budget_reached(worst)
            self.gate.changed.clear()
            await self.gate.changed.wait()
        self.ledger.reserve(worst)

    def _worst(self, call: Call) -> _Pair:
        return self.ledger.worst(call.bytes, call.completion_tokens, call.calls)

    def _bound_broken(self) -> BudgetReached:
        return BudgetReached(
            f"{self.backend.name} {self.backend.model} {self.ledger.broken}. With a budget the run "
            f"stops here, {self.ledger.excess}: ${self.ledger.usd:.4g} and "
            f"{self.ledger.tokens:,.0f} tokens by its own count, {self.progress.done:,} of "
            f"{self.total:,} runs answered; every answer is in {self.store.path}"
        )

    def _budget_reached(self, worst: _Pair, what: str = "call") -> BudgetReached:
        answered = f"{self.progress.done:,} of {self.total:,} runs are answered"
        return self.ledger.reached(answered, worst, what, self.store.path)

    async def _answered(self, call: Call) -> None:
        worst = self._worst(call)
        hold = Hold(worst, calls=call.calls)
        named = [(request, key(request, self.source)) for request in call.requests]
        try:
            await self._claim([name for _, name in named])
            left = [(request, name) for request, name in named if not self._found(request, name)]
            if left:
                await self._until_answered(left, worst, hold, self._keep)
            if self.study.sampling.branch:
                for request, name in named:
                    await self._branches(request, name, hold)
        finally:
            self.ledger.settle(worst)
            for _, name in named:
                self.store.release(name)

    async def _branches(self, request: Request, name: str, hold: Hold) -> None:
        """Ask what is missing of an answer's branches, then add its row."""
        for branch, branch_name in self.branches.missing(request, name) or ():
            call = Call((branch,))
            worst = self._worst(call)
            await self._until_answered([(branch, branch_name)], worst, hold, self._keep)
        self._add(request, self._stored(request, name))

    def _stored(self, request: Request, name: str) -> Response:
        """An answer that the store holds, with its branches."""
        raw = self.store.get(name, request.sampling.top_logprobs)
        assert raw is not None
        return self.branches.joined(request, name, raw)

    async def _claim(self, names: list[str]) -> None:
        """Wait while another process asks the same."""
        while not all([self.store.claim(name) for name in names]):
            for name in names:
                self.store.release(name)
            self.progress.note = "waiting for another process"
            self.progress.draw()
            await asyncio.sleep(0.2)
            self.progress.note = ""

    def _found(self, request: Request, name: str) -> bool:
        """Whether another process has stored it in the meantime."""
        raw = self.store.get(name, request.sampling.top_logprobs)
        if raw is not None and not request.sampling.branch:
            self._add(request, self.backend.parse(raw))
        return raw is not None

    async def _until_answered(
        self, left: list[tuple[Request, str]], worst: _Pair, hold: Hold, keep: _Keep
    ) -> None:
        attempt, failing_since, many = 0, 0.0, len(left)
        failed: TransportError | None = None
        while left:
            async with self.retries.turn(failed):
                if failed is not None and self.gate.failed:
                    raise failed
                await self.pace.wait(worst[0])
                await self.gate.opened()
                begun = time.monotonic()
                self.progress.in_flight = self.gate.in_flight
                try:
                    used = 0.0
                    async for raw in self.backend.complete([request for request, _ in left]):
                        used += keep(*left.pop(0), raw, (worst[0] / many, worst[1] / many), hold)
                        self.retries.answered()
                    self.pace.correct(worst[0], used)
                    if self._broken_store is not None:
                        raise self._broken_store
                    if self.ledger.broken and self.options.budget is not None:
                        raise self._bound_broken()
                    if left:
                        raise BackendError(
                            f"{self.backend.name} left {len(left)} of its requests without an "
                            f"answer, run {left[0][0].run_id} first"
                        )
                    self.gate.succeeded(time.monotonic() - begun)
                    return
                except TransportError as error:
                    failed = error
            if failed.maybe_billed:
                self.ledger.lose(worst)
                if not self.ledger.fits((0.0, 0.0)):
                    raise self._budget_reached(worst) from None
            failing_since = failing_since or begun
            wait = self.retries.wait(failed, attempt, failing_since)
            if failed.rate_limited or failed.slow:
                self.gate.objected(begun, failed.retry_after)
            attempt += 1
            brief = str(failed).split(":")[0][:60]
            self.progress.note = f"{brief}, waiting {wait:.0f} s"
            self.progress.draw(now=True)
            await self.gate.sleep(wait)
            self.progress.note = ""
            if self.gate.failed:
                raise failed

    def _keep(
        self, request: Request, name: str, raw: Mapping[str, Any], worst: _Pair, hold: Hold
    ) -> float:
        """Store an answer and add its row; returns the tokens it used."""
        response = self.backend.parse(raw)
        raw = self.branches.kept(request, raw, response)
        read, written, usd = self.ledger.spend(response.usage, worst, hold)
        self.progress.usd = self.ledger.usd
        if self._at_once and self.store.passing:  # nobody will look for it
            self._add(request, response)
            return 0.0
        row = None
        if self._trim is not None and not request.sampling.branch:
            raw, row = self._trim(raw, answer_to(request, response, self.backend))
        stored = Stored(
            name,
            request.sampling.top_logprobs,
            request.run_id,
            self.study.hash,
            raw,
            *self._drawn_from(request),
            read,
            written,
            usd,
        )
        try:
            if self._broken_store is not None:  # waiting for it again would only take time
                raise self._broken_store
            self._put(self.source, stored)
        except StoreError as error:
            self._broken_store = self._broken_store or error
            self._rescued.append(stored)
            return 0.0
        if not request.sampling.branch:
            self._add(request, response, row)
        return read + written if read + written > 0 else 0.0

    def _drawn_from(self, request: Request) -> tuple[str, str]:
        """Content and order of a run; nothing of one that was drawn by its place."""
        place = request.cell.index, request.order
        content = self._contents.get(place)
        if content is None:
            if len(self._contents) >= _MOST_CONTENTS:
                self._contents.clear()
            content = self._contents[place] = self.study.shown(request.cell, request.order)
        if not request.parent and request.seed != content_seed(
            self.seed, content, request.replicate
        ):
            content = ""
        return content, ">".join(request.order)

    def _rescue(self) -> None:
        """Save answers that the store did not take; they are paid for."""
        if self._broken_store is not None:
            lost = {s.key: s for s in (*self.store.held, *self._rescued)}.values()
            self.store.forget()
            raise rescue(self.store.path, self.source, list(lost), self._broken_store)
