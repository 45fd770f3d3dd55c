"""What is asked of a server of the OpenAI protocol, interface by interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llmdemand.errors import BackendError
from llmdemand.simulation.backend import Request
from llmdemand.simulation.backends.wire.reasoning import REASONING

__all__ = ["OWN_FIELDS", "PATHS", "Api", "Asking", "TokensField"]

PATHS = {"chat": "/chat/completions", "responses": "/responses", "completions": "/completions"}

#: What the budget, the store's keys and extraction rely on.
OWN_FIELDS = frozenset(
    "model messages prompt input n stream seed stop temperature logprobs top_logprobs max_tokens "
    "max_completion_tokens max_output_tokens".split()
)

Api = Literal["auto", "chat", "responses", "completions"]
TokensField = Literal["auto", "max_tokens", "max_completion_tokens"]


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked.

    Attributes
    ----------
    model, api, effort, extra, most, tokens_field
        As `OpenAIBackend` takes them.
    logprobs : bool
        Whether log-probabilities are asked for.
    is_openai, is_azure : bool
        Whose the server is.
    """

    model: str
    api: Api
    effort: str | None
    extra: Mapping[str, Any]
    most: int
    tokens_field: TokensField
    logprobs: bool
    is_openai: bool
    is_azure: bool

    def body(
        self, request: Request, n: int = 1, ids: Sequence[int] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Path and JSON body of the call that answers a request.

        Parameters
        ----------
        request : Request
            What is asked.
        n : int
            Answers wanted.
        ids : sequence of int, optional
            The prompt as token ids, which goes to Completions whatever the interface.

        Returns
        -------
        (str, dict)

        Raises
        ------
        BackendError
            If the interface cannot ask this.
        """
        api = self.api if ids is None else "completions"
        if api == "auto":
            plain = request.mode == "completion" and not self.is_openai
            api = "completions" if plain else "chat"
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self.model,
            "temperature": sampling.temperature,
            "top_p": 1.0,
        }
        listed = min(sampling.top_logprobs, self.most)
        if api == "responses":
            body |= self._responses(request, listed)
        else:
            body["seed"] = request.seed
            if api == "completions":
                body |= {
                    "prompt": request.system + request.user + request.begun
                    if ids is None
                    else list(ids),
                    "max_tokens": sampling.max_tokens,
                }
                body |= {"logprobs": listed} if self.logprobs else {}
            else:
                body |= self._chat(request, listed)
            if sampling.stop:
                body["stop"] = list(sampling.stop)
            if n > 1:
                body["n"] = n
        return PATHS[api], {**body, **self.extra}

    def _chat(self, request: Request, listed: int) -> dict[str, Any]:
        messages = [{"role": "system", "content": request.system}] if request.system else []
        messages.append({"role": "user", "content": request.user})
        body: dict[str, Any] = {"messages": messages}
        if request.begun:
            if self.is_openai:
                raise BackendError(
                    "OpenAI does not continue a begun answer: use a model that you host"
                )
            messages.append({"role": "assistant", "content": request.begun})
            # vLLM wants to be told; llama.cpp continues a trailing message by itself.
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if self.logprobs:
            body |= {"logprobs": True, "top_logprobs": listed}
        field = self.tokens_field
        if field == "auto":
            own = (self.is_openai or self.is_azure) and REASONING.match(self.model)
            field = "max_completion_tokens" if own else "max_tokens"
        body[field] = request.sampling.max_tokens
        if self.effort is not None:
            body["reasoning_effort"] = self.effort
        return body

    def _responses(self, request: Request, listed: int) -> dict[str, Any]:
        if request.begun or request.sampling.stop:
            raise BackendError(
                "the Responses interface knows no begun answers and no stop strings: use --api chat"
            )
        body: dict[str, Any] = {
            "input": request.user,
            # The interface refuses fewer than 16.
            "max_output_tokens": max(16, request.sampling.max_tokens),
            "store": False,
        }
        if request.system:
            body["instructions"] = request.system
        if self.logprobs:
            body |= {"include": ["message.output_text.logprobs"], "top_logprobs": listed}
        if self.effort is not None:
            body["reasoning"] = {"effort": self.effort}
        return body
