"""How a run is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llmdemand.errors import UsageError
from llmdemand.simulation.calls.shard import Shard
from llmdemand.simulation.cost import Budget, Prices

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is carried out; no answer depends on it.

    Attributes
    ----------
    store, budget, concurrency
        See `llmdemand.simulate`.
    prices : Prices or None
        Of the model; list prices where it is a known one.
    rpm, tpm : float or None
        Most requests and tokens per minute.
    patience : float
        Seconds without any answer after which the server counts as gone.
    probe : bool
        Ask a few test questions first where it is unknown what a server returns.
    progress : bool
        Show a progress bar.
    shard : Shard or (int, int), optional
        Ask this share of the runs alone, with the same share of the budget.
    workers : int
        Processes that compute answers, or read them from a store; a script that asks for several
        must do so below ``if __name__ == "__main__":``.
    keep_logprobs : int or None
        Candidates that are stored at each position but the pivot's, beside the drawn token; all
        by default. The panel is the same to the last bit, now and when it is extracted anew:
        see `llmdemand.simulation.storing.trimming.trim_store`.
    """

    store: str | Path | None = None
    budget: Budget | None = None
    prices: Prices | None = None
    concurrency: int | Literal["auto"] = "auto"
    rpm: float | None = None
    tpm: float | None = None
    patience: float = 300.0
    probe: bool = True
    progress: bool = False
    shard: Shard | tuple[int, int] | None = None
    workers: int = 1
    keep_logprobs: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shard", Shard.given(self.shard))
        if self.concurrency != "auto" and not (
            isinstance(self.concurrency, int) and self.concurrency >= 1
        ):
            raise UsageError(
                f"concurrency={self.concurrency!r}: give a number of calls from 1, or 'auto'"
            )
        if type(self.workers) is not int or self.workers < 1:
            raise UsageError(f"workers={self.workers!r}: give a number of processes from 1")
        keep = self.keep_logprobs
        if keep is not None and (type(keep) is not int or keep < 1):
            raise UsageError(f"keep_logprobs={keep!r}: keep at least one candidate")
        for name in ("rpm", "tpm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name}={value}: give a positive number per minute")
        if not self.patience >= 0:
            raise UsageError(f"patience={self.patience}: give a number of seconds")
