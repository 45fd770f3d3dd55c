"""The runs of a study, divided over processes of this machine."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from llmdemand.belief.rows import PanelBuilder
from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.scale.merging import mapped
from llmdemand.simulation.backend import Backend
from llmdemand.simulation.backends.recorded import RecordedBackend
from llmdemand.simulation.calls.options import Options
from llmdemand.simulation.calls.shard import Block
from llmdemand.simulation.calls.sync import run_async
from llmdemand.simulation.runner import Runner
from llmdemand.simulation.storing.store import Store

__all__ = ["by_workers", "opened_store"]

_DEFAULT = "llmdemand.responses.sqlite"
# Runs of a block: a second of work at most.
_BLOCK = 1_000


def by_workers(run: Runner) -> Panel:
    """`Runner.panel` by as many processes as its options say, to the last bit the same.

    They write into one store; those that are killed are replaced, and their blocks done again.

    Raises
    ------
    UsageError
        If answers are asked of somebody, or a budget or pace is to be kept: one process does.
    """
    options, backend = run.options, run.backend
    recorded = isinstance(backend, RecordedBackend)
    if not (recorded or backend.traits.instant):
        raise UsageError(
            f"workers={options.workers}: {backend.name} answers one process, which keeps calls in "
            "flight (`concurrency`): leave workers out; `shard` divides a study over machines"
        )
    if options.budget is not None or options.rpm or options.tpm or options.concurrency != "auto":
        raise UsageError(
            f"workers={options.workers}: a budget, rpm, tpm and concurrency are kept by one "
            "process: leave them out, or workers"
        )
    fresh = not recorded and len(run.store) == 0
    work = _Work(run.study, backend, run.runs, run.seed, replace(options, progress=False))
    size = max(1, min(_BLOCK, -(-run.total // (4 * options.workers))))
    blocks = (Block(k, min(k + size, run.total), fresh) for k in range(0, run.total, size))
    builder = PanelBuilder(run.study, raw_logprobs=backend.raw_logprobs)
    for rows in mapped(work, blocks, options.workers):
        for row in rows:
            builder.keep(row)
            run.progress.row(str(row["status"]))
    return builder.panel(run.provenance(), ordered=True)


def opened_store(path: str | Path | None, backend: Backend, stack: ExitStack) -> Store:
    """The store of a run, until the stack ends."""
    if path is not None:
        return stack.enter_context(Store(path))
    if (own := getattr(backend, "store", None)) is not None:
        return stack.enter_context(Store(own))
    if backend.traits.kept:
        return stack.enter_context(Store(_DEFAULT))
    folder = stack.enter_context(TemporaryDirectory(prefix="llmdemand-"))
    return stack.enter_context(Store(Path(folder, "responses.sqlite"), shared=False))


@dataclass(frozen=True, slots=True)
class _Work:
    study: Study
    backend: Backend
    runs: int
    seed: int
    options: Options

    def __call__(self, block: Block) -> list[dict[str, Any]]:
        with ExitStack() as stack:
            store = opened_store(self.options.store, self.backend, stack)
            run = Runner(self.study, self.backend, self.runs, self.seed, store, self.options, block)
            return run_async(run.built).rows
