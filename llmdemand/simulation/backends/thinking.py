"""Models that think before they answer: sampled thoughts, forced answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from llmdemand.belief.readers import thoughts
from llmdemand.belief.tokens import Response
from llmdemand.core.sampling import Sampling, Thinking
from llmdemand.errors import BackendError
from llmdemand.simulation.backend import Backend, Request, Traits, run_seed

__all__ = ["ThinkingBackend"]


class ThinkingBackend:
    """Another backend, asked for K thoughts per run and for the answer after each.

    A thought is drawn at the study's temperature and closed; the text that it and
    the prompt make is then continued by the answer, whose first tokens hold the
    belief given that thought. `llmdemand.belief.thoughts.over_thoughts` takes the
    mean. The runner uses it for studies with ``sampling.thinking``.

    Parameters
    ----------
    backend : Backend
        One that continues a begun answer: ``local``, or a server of your own
        (vLLM, llama.cpp) through `RenderedBackend`: as a message of a chat, a thought would
        be closed, deleted or refused by the model's template. OpenAI's models hide theirs.
    thinking : Thinking
        Number of thoughts, and what stands around them.

    Notes
    -----
    The run is what is stored: if a call fails on its way, the thoughts of that run
    that are complete are kept in memory and not drawn again.
    """

    def __init__(self, backend: Backend, thinking: Thinking) -> None:
        self._backend, self._thinking = backend, thinking
        # By run: what is drawn and answered already, should a later call of it fail.
        self._drawn: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self._done: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self._opened: bool | None = None

    @property
    def name(self) -> str:
        """That of the backend."""
        return self._backend.name

    @property
    def model(self) -> str:
        """That of the backend."""
        return self._backend.model

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of the backend, and how it thinks."""
        return {**self._backend.settings, "thinking": asdict(self._thinking)}

    @property
    def raw_logprobs(self) -> bool:
        """That of the backend."""
        return self._backend.raw_logprobs

    @property
    def traits(self) -> Traits:
        """One run per call: its thoughts are what is asked together."""
        return replace(self._backend.traits, per_call=1, unknown=False)

    @property
    def prices(self) -> Any:
        """Those of the backend, where it has any."""
        return getattr(self._backend, "prices", None)

    async def complete(self, requests: Sequence[Request]) -> AsyncIterator[Mapping[str, Any]]:
        """K thoughts and K answers per request."""
        for request in requests:
            drawn = await self._thoughts(request)
            done = self._done.setdefault((request.run_id, request.seed), [])
            for number in range(len(done), len(drawn)):
                done.append(await self._answer(request, number, drawn[number]))
            run = (request.run_id, request.seed)
            del self._done[run], self._drawn[run]
            usages = [u for entry in done for u in (entry["usage"], entry["answer_usage"])]
            yield {
                "thoughts": [
                    {"thought": e["thought"], "ended": e["ended"], "answer": e["answer"]}
                    for e in done
                ],
                "usage": {
                    kind: sum(float(u.get(kind) or 0.0) for u in usages)
                    for kind in ("prompt_tokens", "completion_tokens")
                },
            }

    async def _open(self, request: Request) -> str:
        """What opens a thought: nothing where the model's chat template has done it.

        The end of a template is the same whatever the prompt is.
        """
        rendered = getattr(self._backend, "rendered", None)
        if self._opened is None:
            end = (await rendered(request)).rstrip() if rendered is not None else ""
            if end.endswith(self._thinking.close.strip()):
                raise BackendError(
                    f"the chat template of {self.model} ends with a thought that is closed: let it "
                    "think (enable_thinking in chat_template_kwargs is true)"
                )
            opening = self._thinking.open.strip()
            self._opened = bool(opening) and end.endswith(opening)
        return "" if self._opened else self._thinking.open

    async def _thoughts(self, request: Request) -> list[dict[str, Any]]:
        """The run's thoughts, drawn once even if a call after them fails."""
        thinking, opening = self._thinking, await self._open(request)
        done = self._drawn.setdefault((request.run_id, request.seed), [])
        sampling = Sampling(request.sampling.temperature, thinking.max_tokens, 1, (thinking.close,))
        asked = [
            replace(
                request,
                run_id=f"{request.run_id} thought {k}",
                seed=run_seed(request.seed, k, 0),
                sampling=sampling,
                format=None,
                begun=opening,
            )
            for k in range(len(done), thinking.thoughts)
        ]
        most = max(1, self._backend.traits.per_call)
        for first in range(0, len(asked), most):
            async for raw in self._backend.complete(asked[first : first + most]):
                response = self._backend.parse(raw)
                text = response.text.removeprefix(opening).partition(thinking.close)[0]
                ended = response.finish_reason == "stop"
                done.append({"thought": text, "ended": ended, "usage": dict(response.usage)})
        return done

    async def _answer(
        self, request: Request, number: int, thought: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The answer that follows a thought, forced if the thought was cut."""
        thinking = self._thinking
        opening = await self._open(request)
        begun = opening + thought["thought"] + thinking.close + thinking.answer
        forced = replace(
            request,
            run_id=f"{request.run_id} answer {number}",
            seed=run_seed(request.seed, number, 1),
            sampling=replace(request.sampling, thinking=None),
            begun=begun,
        )
        async for raw in self._backend.complete([forced]):
            response = self._backend.parse(raw)
            return {**thought, "answer": raw, "answer_usage": dict(response.usage)}
        raise AssertionError("a backend yields one response per request or raises")

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """The forced answers, in whatever form the backend stored them."""
        return thoughts(raw)

    async def close(self) -> None:
        """Close the backend."""
        await self._backend.close()
