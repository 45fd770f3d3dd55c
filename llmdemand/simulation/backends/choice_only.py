"""Models without log-probabilities: choices, and no belief."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from llmdemand.belief.readers import compact, to_compact
from llmdemand.belief.tokens import Response
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backend import Request, Traits
from llmdemand.simulation.backends.openai import OpenAIBackend

__all__ = ["ChoiceOnlyBackend", "ChoiceOnlyServer"]


class ChoiceOnlyBackend:
    """Answers in plain text from any function; rows get the status ``no_logprobs``.

    The choice is read from the text, so that choice can be fitted and compared
    with another model's belief.

    Parameters
    ----------
    ask : callable
        From system and user text (and, if it takes a third argument, the `Request`)
        to the answer's text; may be a coroutine function.
    model : str
        What to call it in panels and store keys: another model needs another name.
    concurrency : int
        Calls at a time. A function that is no coroutine runs in threads and must
        then be safe for them.
    paid : bool
        Whether answers cost money; they are then kept on disk whatever is asked.

    Raises
    ------
    UsageError
        If `ask` cannot be called or `model` is empty.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> frugal = ChoiceOnlyBackend(lambda system, user: "Huggies", "always the cheaper one")
    >>> panel = simulate(load_study("pampers"), frugal, runs=1)
    >>> set(panel.frame["status"]), set(panel.frame["choice"])
    ({'no_logprobs'}, {'huggies'})
    """

    name = "choice_only"
    raw_logprobs = True

    def __init__(
        self, ask: Callable[..., Any], model: str, *, concurrency: int = 1, paid: bool = False
    ) -> None:
        if not callable(ask) or not model:
            raise UsageError("a choice_only backend needs a function and a name for its model")
        self.model = model
        self._ask, self._traits = ask, Traits(concurrency, paid=paid, kept=paid)
        self._is_async = inspect.iscoroutinefunction(ask) or inspect.iscoroutinefunction(
            getattr(ask, "__call__", None)  # noqa: B004  # objects whose call is a coroutine
        )
        self._wants_request = len(inspect.signature(ask).parameters) > 2

    @classmethod
    def server(cls, **options: Any) -> ChoiceOnlyServer:
        """An OpenAI-compatible server that is asked for text alone, reasoning models too."""
        return ChoiceOnlyServer(**options)

    @property
    def settings(self) -> Mapping[str, Any]:
        """None: the function is known by its name alone."""
        return {}

    @property
    def traits(self) -> Traits:
        """As given."""
        return self._traits

    async def complete(self, requests: Sequence[Request]) -> AsyncIterator[Mapping[str, Any]]:
        """The function's answer to each request."""
        for request in requests:
            given = (request,) if self._wants_request else ()
            if self._is_async:
                text = await self._ask(request.system, request.user, *given)
            else:
                text = await asyncio.to_thread(self._ask, request.system, request.user, *given)
            if not isinstance(text, str):
                raise BackendError(
                    f"{self.model} answered run {request.run_id} with {type(text).__name__}: "
                    "a choice_only function returns the answer's text"
                )
            yield to_compact(Response((), text, model=self.model))

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """The stored text."""
        return compact(raw)

    async def close(self) -> None:
        """Nothing is open."""


class ChoiceOnlyServer(OpenAIBackend):
    """Chat Completions without log-probabilities."""

    name = "choice_only"
    _logprobs = False
