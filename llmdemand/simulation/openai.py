"""Chat Completions with log-probabilities, at OpenAI or any compatible server."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from llmdemand.belief.readers import chat_completion
from llmdemand.belief.tokens import Response
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backend import Request

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["OpenAIBackend"]

# Models that reason return no log-probabilities of the answer they then write.
_REASONING = ("o1", "o3", "o4", "gpt-5")


class OpenAIBackend:
    """Answers through the `openai` client.

    Parameters
    ----------
    model : str
        Model name, such as ``gpt-4o``.
    base_url : str, optional
        Another server that speaks Chat Completions (vLLM, llama.cpp, a proxy);
        ``OPENAI_BASE_URL`` or OpenAI itself by default.
    extra_body : mapping, optional
        Further fields of the request. A server with sampling defaults of its own
        (llama.cpp: top-k 40, top-p .95, min-p .05) must be told to drop them, or
        the samples do not follow the probabilities that it reports.
    timeout : float
        Seconds per request.

    Raises
    ------
    UsageError
        If ``OPENAI_API_KEY`` is not set and no other server is named.

    Notes
    -----
    The key is read from the environment and appears in no file, error or panel.
    """

    name = "openai"
    raw_logprobs = True

    def __init__(
        self,
        model: str = "gpt-4o",
        *,
        base_url: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: float = 120.0,
    ) -> None:
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        if not os.environ.get("OPENAI_API_KEY") and base_url is None:
            raise UsageError(
                "no OPENAI_API_KEY in the environment: set it, or name a compatible server "
                "with --base-url (local servers accept any key)"
            )
        if base_url is None and model.startswith(_REASONING):
            raise UsageError(
                f"{model} reasons before it answers and returns no log-probabilities, so it has "
                "no belief: use gpt-4o, gpt-4.1 or a model that you host"
            )
        self.model = model
        self._base_url = base_url
        self._extra = dict(extra_body or {})
        self._timeout = timeout
        self._client: OpenAI | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """Server and further request fields."""
        return {"base_url": self._base_url or "openai", "extra_body": self._extra}

    def complete(self, requests: Iterable[Request]) -> Iterator[dict[str, Any]]:
        """One Chat Completion per request."""
        for request in requests:
            yield self._ask(request)

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """Tokens and log-probabilities of a stored completion."""
        return chat_completion(raw)

    def _ask(self, request: Request) -> dict[str, Any]:
        import openai

        if self._client is None:
            # Transport errors are retried by the client; answers never are.
            self._client = openai.OpenAI(
                api_key=os.environ.get("OPENAI_API_KEY") or "none",
                base_url=self._base_url,
                timeout=self._timeout,
                max_retries=5,
            )
        sampling = request.sampling
        messages = [{"role": "system", "content": request.system}] if request.system else []
        messages.append({"role": "user", "content": request.user})
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "temperature": sampling.temperature,
            "top_p": 1.0,
            "max_tokens": sampling.max_tokens,
            "logprobs": True,
            "top_logprobs": min(sampling.top_logprobs, 20),
            "seed": request.seed,
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        try:
            answer = self._client.chat.completions.create(**body, extra_body=self._extra)
        except openai.APIStatusError as error:
            raise BackendError(
                f"{self.settings['base_url']} answered {error.status_code} to model "
                f"{self.model!r}: {_reason(error)}"
            ) from None
        except (openai.APIError, ValueError) as error:  # ValueError: a body that is no JSON
            raise BackendError(
                f"{self.settings['base_url']} could not be reached or did not answer in "
                f"Chat Completions form ({type(error).__name__}): check --base-url and the network"
            ) from None
        if not hasattr(answer, "model_dump") or not getattr(answer, "choices", None):
            raise BackendError(
                f"{self.settings['base_url']} answered without choices: it does not speak "
                "Chat Completions at this address (most servers want a base URL ending in /v1)"
            )
        raw: dict[str, Any] = answer.model_dump(mode="json")
        return raw


def _reason(error: Any) -> str:
    """The server's own words, without anything that looks like a key."""
    import re

    body = error.body if isinstance(error.body, dict) else {}
    words = str(body.get("message") or error.message).splitlines()[0][:200]
    key = os.environ.get("OPENAI_API_KEY")
    if key:
        words = words.replace(key, "<key>")
    return re.sub(r"sk-[\w*-]+", "<key>", words)
