"""The seam between a study and whatever answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

from llmdemand.belief.automaton import Automaton
from llmdemand.belief.tokens import Response
from llmdemand.core.cell import Cell
from llmdemand.core.menu import Menu
from llmdemand.core.sampling import Sampling

__all__ = ["AnswerFormat", "Backend", "Request", "Seeds", "Traits", "run_seed"]


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """How a choice is read from an answer, for backends that stop once it is settled.

    Attributes
    ----------
    menu : Menu
        The choice set.
    answer_first : bool
        Whether the first word is the choice.
    anchors : tuple of str
        Texts after the first of which the answer begins.
    thinking : (str, str)
        Tags between which nothing is read.
    thinking_open : bool
        Whether answers begin within a thought.
    """

    menu: Menu
    answer_first: bool = False
    anchors: tuple[str, ...] = ()
    thinking: tuple[str, str] = ("<think>", "</think>")
    thinking_open: bool = False

    @property
    def automaton(self) -> Automaton:
        """The matcher of this format."""
        return _automaton(self)


@lru_cache(maxsize=64)
def _automaton(format_: AnswerFormat) -> Automaton:
    return Automaton(
        format_.menu,
        answer_first=format_.answer_first,
        anchors=format_.anchors,
        thinking=format_.thinking,
        thinking_open=format_.thinking_open,
    )


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
    format : AnswerFormat or None
        How the choice will be read; None where there is none to be read.
    begun : str
        Beginning of the answer, which the model continues; empty by default.
    ids : tuple of int
        Token ids with which the answer begins (after `begun`); what comes back is what
        follows them. For backends that continue a beginning.
    parent : str
        Key of the stored answer that this is a branch of; empty for an answer.
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
    format: AnswerFormat | None = None
    begun: str = ""
    ids: tuple[int, ...] = ()
    parent: str = ""

    @property
    def prompt(self) -> tuple[str, str, str, str]:
        """What the model reads: requests that share it may be answered by one call."""
        return self.mode, self.system, self.user, self.begun


@dataclass(frozen=True, slots=True)
class Traits:
    """What the runner must know of a backend, and no answer depends on.

    Attributes
    ----------
    concurrency : int
        Most calls in flight at a time.
    start : int
        Calls in flight at the beginning, of a server that may take more.
    per_call : int
        Most requests with the same prompt that one call may answer.
    paid : bool
        Whether answers cost money.
    kept : bool
        Whether answers are worth keeping on disk even if nobody names a store: they
        cost money, or hours.
    unknown : bool
        Whether it must be found out (`llmdemand.simulation.probe`) what it returns.
    instant : bool
        Whether answers are computed here and now, for nothing: they are asked for one after the
        other, and nothing is waited for.
    """

    concurrency: int = 1
    per_call: int = 1
    paid: bool = False
    kept: bool = False
    unknown: bool = False
    start: int = 4
    instant: bool = False


@runtime_checkable
class Backend(Protocol):
    """Anything that answers requests with tokens and log-probabilities.

    A backend keeps one numerical path for all of its answers and never drops,
    repeats or improves one. What `complete` yields is what is stored: `parse` of
    it gives the response, now and at any later time.
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
        """Everything else that changes answers, as plain data, without secrets."""
        ...

    @property
    def raw_logprobs(self) -> bool:
        """Whether log-probabilities are recorded before the sampling temperature."""
        ...

    @property
    def traits(self) -> Traits:
        """What the runner must know."""
        ...

    def complete(self, requests: Sequence[Request]) -> AsyncIterator[Mapping[str, Any]]:
        """One raw response per request, in order, each as soon as it is there.

        The requests share one prompt and are at most ``traits.per_call``.

        Raises
        ------
        TransportError
            If a call failed on its way and may be repeated.
        BackendError
            If the model refuses the request, so that repeating it is useless.
        """
        ...

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """A stored raw response as tokens and log-probabilities."""
        ...

    async def close(self) -> None:
        """Give back what was opened; called at the end of every run."""
        ...


def run_seed(seed: int, *keys: int) -> int:
    """The seed of one run: 31 bits from a `SeedSequence` keyed by what tells the run apart.

    Runs whose keys differ share nothing, and a run keeps its seed whatever else is run.

    >>> run_seed(1, 0, 0) != run_seed(1, 0, 1)
    True
    """
    import numpy as np

    sequence = np.random.SeedSequence(seed, spawn_key=keys)
    return int(sequence.generate_state(1)[0]) & 0x7FFFFFFF


class Seeds:
    """`run_seed` of keys whose last one alone differs, at a tenth of its cost.

    A `SeedSequence` mixes the words of its keys into its pool one after the other (O'Neill 2015,
    `seed_seq_fe`): all but the last are mixed once, by NumPy, and only the first word of the
    pool is needed.

    Parameters
    ----------
    seed : int
        As of `run_seed`.
    *keys : int
        All but the last.

    Examples
    --------
    >>> Seeds(1, 10)(3) == run_seed(1, 10, 3)
    True
    """

    __slots__ = ("_given", "_next", "_number", "_pool")

    def __init__(self, seed: int, *keys: int) -> None:
        import numpy as np

        self._given = (seed, *keys)
        self._pool = int(np.random.SeedSequence(seed, spawn_key=keys).pool[0]) * _LEFT
        words = max(4, _words(seed)) + sum(map(_words, keys))
        self._number = _FIRST * pow(_STEP, 4 * words, _WORD + 1) & _WORD
        self._next = self._number * _STEP & _WORD

    def __call__(self, key: int) -> int:
        """The seed of the run with this last key."""
        if not 0 <= key <= _WORD:
            return run_seed(*self._given, key)
        mixed = (key ^ self._number) * self._next & _WORD
        mixed = self._pool - (mixed ^ mixed >> 16) * _RIGHT & _WORD
        drawn = (mixed ^ mixed >> 16 ^ _FIRST_OUT) * _NEXT_OUT & _WORD
        return (drawn ^ drawn >> 16) & 0x7FFFFFFF


# What `numpy.random.SeedSequence` multiplies by; tests hold the two together.
_WORD = 0xFFFFFFFF
_FIRST, _STEP, _LEFT, _RIGHT = 0x43B0D7E5, 0x931E8875, 0xCA01F9DD, 0x4973F715
_FIRST_OUT = 0x8B51F9DD
_NEXT_OUT = _FIRST_OUT * 0x58F38DED & _WORD


def _words(number: int) -> int:
    return max(1, -(-number.bit_length() // 32))
