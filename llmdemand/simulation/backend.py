"""The seam between a study and whatever answers it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from llmdemand.belief.tokens import Response
from llmdemand.core.study import Cell, Sampling

__all__ = ["Backend", "Request", "run_seed"]


@dataclass(frozen=True, slots=True)
class Request:
    """One run to be answered.

    Attributes
    ----------
    run_id : str
        Names the run in responses and panels.
    system, user : str
        The prompt.
    mode : str
        ``chat``, or ``completion``: `user` is text to be continued. Backends that
        can only chat send it as a message.
    sampling : Sampling
        How the answer is drawn.
    seed : int
        31-bit seed of this run alone.
    cell : Cell
        The design point, for backends that compute an answer.
    order : tuple of str
        The option order that the prompt shows.
    replicate : int
        Index of the run within its cell.
    """

    run_id: str
    system: str
    user: str
    mode: str
    sampling: Sampling
    seed: int
    cell: Cell
    order: tuple[str, ...]
    replicate: int


@runtime_checkable
class Backend(Protocol):
    """Anything that answers requests with tokens and log-probabilities.

    A backend keeps one numerical path for all of its answers and never drops,
    repeats or improves one. `raw` is what is stored: `parse` of it gives the
    response, now and at any later time.
    """

    @property
    def name(self) -> str:
        """Kind of backend: ``local``, ``openai``, ``synthetic``, ..."""
        ...

    @property
    def model(self) -> str:
        """The model that answers, precise enough to ask it again."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything else that changes answers, as plain data."""
        ...

    @property
    def raw_logprobs(self) -> bool:
        """Whether log-probabilities are recorded before the sampling temperature."""
        ...

    def complete(self, requests: Iterable[Request]) -> Iterator[dict[str, Any]]:
        """One raw response per request, in order, as each arrives.

        Raises
        ------
        BackendError
            If the model cannot be reached or refuses the request as malformed.
        """
        ...

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """A stored raw response as tokens and log-probabilities."""
        ...


def run_seed(seed: int, cell: int, replicate: int) -> int:
    """The seed of one run: 31 bits from a `SeedSequence` keyed by cell and replicate.

    Neighbouring runs share nothing, and a run keeps its seed whatever else is run.

    >>> run_seed(1, 0, 0) != run_seed(1, 0, 1)
    True
    """
    import numpy as np

    sequence = np.random.SeedSequence(seed, spawn_key=(cell, replicate))
    return int(sequence.generate_state(1)[0]) & 0x7FFFFFFF
