"""OpenAI, or any server that speaks its protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmdemand.belief.readers import read_response
from llmdemand.belief.tokens import Response
from llmdemand.errors import BackendError, UsageError, choose
from llmdemand.simulation.backend import Request, Traits
from llmdemand.simulation.backends.wire.asking import (
    OWN_FIELDS,
    PATHS,
    Api,
    Asking,
    TokensField,
)
from llmdemand.simulation.backends.wire.bodies import Parsed, split
from llmdemand.simulation.backends.wire.clients import MOST_CONNECTIONS
from llmdemand.simulation.backends.wire.endpoints import Endpoints
from llmdemand.simulation.backends.wire.reasoning import refuse_reasoning
from llmdemand.simulation.backends.wire.server import Server, read_server
from llmdemand.simulation.cost import Prices, known_prices

__all__ = ["OpenAIBackend", "refuse_reasoning"]


class OpenAIBackend:
    """Answers with log-probabilities from OpenAI or a compatible server.

    Parameters
    ----------
    model : str
        Model name, such as ``gpt-4o``.
    base_url : str or sequence of str, optional
        Another server (vLLM, llama.cpp, Ollama, Azure, a proxy), usually ending in
        ``/v1``; ``OPENAI_BASE_URL`` or OpenAI itself by default. It may end in
        ``?api-version=``. Several servers of one model, in a sequence or with commas between
        them, share the calls: those of one that does not answer go to the others. The first
        names the source in the store.
    api : {"auto", "chat", "responses", "completions"}
        Which of the protocol's interfaces. ``auto`` is Chat Completions, and
        Completions for studies in completion mode on servers other than OpenAI's.
    n : int
        Answers per call: the prompt is then paid for once. Not every server knows
        it (Responses and Ollama do not; llama.cpp up to its slots).
    reasoning_effort : str, optional
        For models that may reason; only ``none`` leaves log-probabilities.
    extra_body : mapping, optional
        Further fields of the request. A server with sampling defaults of its own
        (llama.cpp: top-k 40, top-p .95, min-p .05) must be told to drop them, or
        the samples do not follow the probabilities that it reports.
    top_logprobs : int
        The most candidates that the server lists; OpenAI and vLLM list 20.
    timeout : float
        Seconds for one call from its beginning to its last byte, at first: a server that takes
        longer is given twice as long the next time.
    max_tokens_field : {"auto", "max_tokens", "max_completion_tokens"}
        What the chat's field for the most tokens is called; by default by model.
    api_version, deployment : str, optional
        Of Azure and the like; see `llmdemand.simulation.backends.server.Server`.
    headers : mapping of str to str, optional
        Further headers: from names to the environment variables that hold the values.
    key_env : str, optional
        The environment variable that holds the key: ``OPENAI_API_KEY`` by default, and
        ``AZURE_OPENAI_API_KEY`` for Azure.
    ca_file, proxy : optional
        Certificates to trust beside the system's, and an HTTP proxy beside the environment's.
    prices : Prices, optional
        List prices by default, where the server is OpenAI's.
    needs_key : bool
        Whether calls will be made; False only writes requests.

    Raises
    ------
    UsageError
        If ``OPENAI_API_KEY`` is not set and no other server is named, the model is known to
        return no log-probabilities, or an option is impossible.

    Notes
    -----
    The key is read from the environment and appears in no file, error or panel.
    The client's own retries are off: the runner repeats what failed on its way.
    """

    name = "openai"
    raw_logprobs = True
    _logprobs = True

    def __init__(
        self,
        model: str = "gpt-4o",
        *,
        base_url: str | Sequence[str] | None = None,
        api: Api = "auto",
        n: int = 1,
        reasoning_effort: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        top_logprobs: int = 20,
        timeout: float = 120.0,
        max_tokens_field: TokensField = "auto",
        api_version: str | None = None,
        deployment: str | None = None,
        headers: Mapping[str, str] | None = None,
        key_env: str | None = None,
        ca_file: str | Path | None = None,
        proxy: str | None = None,
        prices: Prices | None = None,
        needs_key: bool = True,
    ) -> None:
        servers = Server.all_at(
            base_url,
            timeout=timeout,
            api_version=api_version,
            deployment=deployment,
            headers=headers,
            key_env=key_env,
            ca_file=ca_file,
            proxy=proxy,
        )
        server = servers[0]
        if self._logprobs:
            refuse_reasoning(model, reasoning_effort)
        if needs_key and not server.key and (server.is_openai or server.is_azure):
            raise UsageError(
                f"no {server.key_name} in the environment: set it, or name a compatible server "
                "with --base-url (local servers accept any key)"
            )
        choose(max_tokens_field, TokensField, "max_tokens_field")
        if api not in ("auto", *PATHS):
            raise UsageError(f"api={api!r}: use auto, {', '.join(PATHS)}")
        if n < 1 or (n > 1 and api == "responses"):
            raise UsageError(f"n={n}: give a number from 1, and 1 for the Responses interface")
        taken = sorted(OWN_FIELDS & set(extra_body or {}))
        if taken:
            raise UsageError(
                f"extra_body sets {taken[0]!r}, which the study or an option of its own sets: "
                "change it there"
            )
        written = json.dumps(dict(extra_body or {}))
        if any(secret in written for secret in server.secrets):
            raise UsageError("extra_body holds the API key: it would be stored; leave it out")
        self.model, self._n = model, n
        self._server, self._endpoints = server, Endpoints(servers, model)
        self._asking = Asking(
            model,
            api,
            reasoning_effort,
            dict(extra_body or {}),
            top_logprobs,
            max_tokens_field,
            self._logprobs,
            server.is_openai,
            server.is_azure,
        )
        self.prices = prices or (known_prices(model) if self.is_openai else None)

    @classmethod
    def from_toml(cls, path: str | Path, **options: Any) -> OpenAIBackend:
        """A backend whose options are in a TOML file, those given here first.

        Raises
        ------
        UsageError
            If the file cannot be read, or names an option that there is none of.
        """
        return cls(**{**read_server(path), **options})

    @property
    def is_openai(self) -> bool:
        """Whether the server is OpenAI's."""
        return self._server.is_openai

    @property
    def place(self) -> str:
        """How the server is called in messages."""
        return self._server.place

    @property
    def settings(self) -> Mapping[str, Any]:
        """Server, interface and further request fields."""
        asking = self._asking
        found: dict[str, Any] = {
            **self._server.settings,
            "api": asking.api,
            "extra_body": asking.extra,
        }
        if asking.tokens_field != "auto":
            found["max_tokens_field"] = asking.tokens_field
        if asking.effort is not None:
            found["reasoning_effort"] = asking.effort
        if self._n > 1:
            found["n"] = self._n
        return found

    @property
    def traits(self) -> Traits:
        """Many calls at a time, each paid for; what comes back must be found out."""
        return Traits(MOST_CONNECTIONS, self._n, paid=True, kept=True, unknown=self._logprobs)

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """Tokens and log-probabilities of a stored response."""
        return raw.response if isinstance(raw, Parsed) else read_response(raw)

    async def complete(self, requests: Sequence[Request]) -> AsyncIterator[Mapping[str, Any]]:
        """One call for all requests: they share a prompt, and differ in what is drawn."""
        path, body = self.body(requests[0], len(requests))
        raw = await self.post(path, body)
        answers = split(raw, len(requests))
        for answer in answers:
            yield answer
        if len(answers) < len(requests):
            raise BackendError(
                f"{self.place} gave {len(answers)} of n={len(requests)} answers, so it does not "
                "know n: run the same command with --n 1; what came is stored"
            )

    def body(
        self, request: Request, n: int = 1, ids: Sequence[int] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Path and JSON body of the call that answers a request: see `Asking.body`."""
        return self._asking.body(request, n, ids)

    @property
    def extra_body(self) -> Mapping[str, Any]:
        """Further fields of every request."""
        return self._asking.extra

    @property
    def listed(self) -> int:
        """The most candidates that the server lists."""
        return self._asking.most

    async def post(
        self, path: str, body: dict[str, Any], *, plain: bool = False, wanted: int | None = None
    ) -> dict[str, Any]:
        """What the server answers.

        Parameters
        ----------
        path : str
            Of an interface under the base URL; with `plain` beside it.
        body : dict
            The request.
        plain : bool
            No answer of a model is expected, but any object; an empty one where the server
            does not know the path.
        wanted : int, optional
            Answers of a model that are expected, by default as many as are asked for; 0 where
            any object will do.
        """
        if wanted is None:
            wanted = 0 if plain else int(body.get("n", 1))
        return await self._endpoints.post(path, body, plain=plain, wanted=wanted)

    def redacted(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A response without the key and the values of secret headers, if it echoes them."""
        return self._endpoints.first.redacted(raw)

    def cleaned(self, words: str) -> str:
        """Words of a server without secrets."""
        return self._endpoints.first.cleaned(words)

    def filtered(self, reason: str) -> dict[str, Any]:
        """What is stored where a server's filter refused the prompt itself."""
        return self._endpoints.first.filtered(reason)

    @property
    def endpoints(self) -> Mapping[str, Mapping[str, int]]:
        """Answers and failed calls of each server, where there are several."""
        counts = self._endpoints.counts
        return counts if len(counts) > 1 else {}

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._endpoints.close()
