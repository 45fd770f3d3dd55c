"""OpenAI, or any server that speaks its protocol, through the `openai` client."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from llmdemand.belief.readers import read_response
from llmdemand.belief.tokens import Response
from llmdemand.errors import BackendError, ResponseError, TransportError, UsageError, choose
from llmdemand.simulation.backend import Request, Traits
from llmdemand.simulation.backends.wire.bodies import error_in, spelled, split
from llmdemand.simulation.backends.wire.clients import MOST_CONNECTIONS, Clients
from llmdemand.simulation.backends.wire.reasoning import REASONING, USE, refuse_reasoning
from llmdemand.simulation.backends.wire.redacted import redacted, suspected
from llmdemand.simulation.backends.wire.server import Server, read_server
from llmdemand.simulation.backends.wire.troubles import Trouble, cleaned, retry_after
from llmdemand.simulation.cost import Prices, known_prices

__all__ = ["OpenAIBackend", "refuse_reasoning"]

_PATHS = {"chat": "/chat/completions", "responses": "/responses", "completions": "/completions"}

# What the budget, the store's keys and extraction rely on.
_OWN_FIELDS = set(
    "model messages prompt input n stream seed stop temperature logprobs top_logprobs max_tokens "
    "max_completion_tokens max_output_tokens".split()
)

Api = Literal["auto", "chat", "responses", "completions"]
TokensField = Literal["auto", "max_tokens", "max_completion_tokens"]


class OpenAIBackend:
    """Answers with log-probabilities from OpenAI or a compatible server.

    Parameters
    ----------
    model : str
        Model name, such as ``gpt-4o``.
    base_url : str, optional
        Another server (vLLM, llama.cpp, Ollama, Azure, a proxy), usually ending in
        ``/v1``; ``OPENAI_BASE_URL`` or OpenAI itself by default. It may end in
        ``?api-version=``.
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
        base_url: str | None = None,
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
        server = Server.at(
            base_url,
            timeout=timeout,
            api_version=api_version,
            deployment=deployment,
            headers=headers,
            key_env=key_env,
            ca_file=ca_file,
            proxy=proxy,
        )
        if self._logprobs:
            refuse_reasoning(model, reasoning_effort)
        if needs_key and not server.key and (server.is_openai or server.is_azure):
            raise UsageError(
                f"no {server.key_name} in the environment: set it, or name a compatible server "
                "with --base-url (local servers accept any key)"
            )
        choose(max_tokens_field, TokensField, "max_tokens_field")
        if api not in ("auto", *_PATHS):
            raise UsageError(f"api={api!r}: use auto, {', '.join(_PATHS)}")
        if n < 1 or (n > 1 and api == "responses"):
            raise UsageError(f"n={n}: give a number from 1, and 1 for the Responses interface")
        taken = sorted(_OWN_FIELDS & set(extra_body or {}))
        if taken:
            raise UsageError(
                f"extra_body sets {taken[0]!r}, which the study or an option of its own sets: "
                "change it there"
            )
        written = json.dumps(dict(extra_body or {}))
        if any(secret in written for secret in server.secrets):
            raise UsageError("extra_body holds the API key: it would be stored; leave it out")
        self.model = model
        self._server, self._api, self._n = server, api, n
        self._effort, self._extra = reasoning_effort, dict(extra_body or {})
        self._most, self._deadline = top_logprobs, timeout
        self._tokens_field = max_tokens_field
        self.prices = prices or (known_prices(model) if self.is_openai else None)
        self._clients = Clients(server)

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
    def _place(self) -> str:
        return self._server.place

    @property
    def settings(self) -> Mapping[str, Any]:
        """Server, interface and further request fields."""
        found: dict[str, Any] = {
            **self._server.settings,
            "api": self._api,
            "extra_body": self._extra,
        }
        if self._tokens_field != "auto":
            found["max_tokens_field"] = self._tokens_field
        if self._effort is not None:
            found["reasoning_effort"] = self._effort
        if self._n > 1:
            found["n"] = self._n
        return found

    @property
    def traits(self) -> Traits:
        """Many calls at a time, each paid for; what comes back must be found out."""
        return Traits(MOST_CONNECTIONS, self._n, paid=True, kept=True, unknown=self._logprobs)

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """Tokens and log-probabilities of a stored response."""
        return read_response(raw)

    async def complete(self, requests: Sequence[Request]) -> AsyncIterator[Mapping[str, Any]]:
        """One call for all requests: they share a prompt, and differ in what is drawn."""
        path, body = self.body(requests[0], len(requests))
        raw = await self.post(path, body)
        answers = split(raw, len(requests))
        for answer in answers:
            yield answer
        if len(answers) < len(requests):
            raise BackendError(
                f"{self._place} gave {len(answers)} of n={len(requests)} answers, so it does not "
                "know n: run the same command with --n 1; what came is stored"
            )

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
        api = self._api if ids is None else "completions"
        if api == "auto":
            plain = request.mode == "completion" and not self.is_openai
            api = "completions" if plain else "chat"
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self.model,
            "temperature": sampling.temperature,
            "top_p": 1.0,
        }
        listed = min(sampling.top_logprobs, self._most)
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
                body |= {"logprobs": listed} if self._logprobs else {}
            else:
                body |= self._chat(request, listed)
            if sampling.stop:
                body["stop"] = list(sampling.stop)
            if n > 1:
                body["n"] = n
        return _PATHS[api], {**body, **self._extra}

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
        if self._logprobs:
            body |= {"logprobs": True, "top_logprobs": listed}
        field = self._tokens_field
        if field == "auto":
            own = (self.is_openai or self._server.is_azure) and REASONING.match(self.model)
            field = "max_completion_tokens" if own else "max_tokens"
        body[field] = request.sampling.max_tokens
        if self._effort is not None:
            body["reasoning_effort"] = self._effort
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
        if self._logprobs:
            body |= {"include": ["message.output_text.logprobs"], "top_logprobs": listed}
        if self._effort is not None:
            body["reasoning"] = {"effort": self._effort}
        return body

    @property
    def extra_body(self) -> Mapping[str, Any]:
        """Further fields of every request."""
        return self._extra

    @property
    def listed(self) -> int:
        """The most candidates that the server lists."""
        return self._most

    async def post(self, path: str, body: dict[str, Any], *, plain: bool = False) -> dict[str, Any]:
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
        """
        import openai

        if plain:
            path = (self._server.base_url or "").rstrip("/").removesuffix("/v1") + path
        deadline = self._deadline
        # The client's typed methods would read every answer into objects and write it out
        # again; what is stored is what the server said.
        try:
            async with self._clients.one() as client, asyncio.timeout(deadline):
                kind = self._clients.response
                answer = await client.post(
                    path, body=body, cast_to=kind, options={"timeout": deadline}
                )
                content, kind = answer.content, answer.headers.get("content-type", "")
        except openai.APIStatusError as error:
            if plain and error.status_code in (404, 405, 501):
                return {}
            return self._refusal(error)
        except (openai.APITimeoutError, TimeoutError):
            # Of calls that were under way together, the first to be late makes it longer.
            self._deadline = max(self._deadline, 2 * deadline)
            raise TransportError(
                f"{self._place} did not answer within {deadline:g} s (--timeout)",
                maybe_billed=True,
                slow=True,
            ) from None
        except openai.APIConnectionError as error:
            raise self._unreachable(error) from None
        return self._read(content, kind, 0 if plain else body.get("n", 1))

    def _unreachable(self, error: BaseException) -> BackendError:
        """What broke the connection; a certificate that is not trusted will not be later."""
        cause, deeper = error.__cause__, error.__cause__
        while deeper is not None:
            if isinstance(deeper, ssl.SSLCertVerificationError):
                return BackendError(
                    f"{self._place} has a certificate that is not trusted "
                    f"({deeper.verify_message}): name the authority's file with --ca-file"
                )
            deeper = deeper.__cause__ or deeper.__context__
        name = type(cause or error).__name__
        return TransportError(
            f"{self._place} could not be reached or broke off ({name})",
            maybe_billed="Connect" not in name and "Proxy" not in name,
        )

    def _read(self, content: bytes, kind: str, wanted: int) -> dict[str, Any]:
        """The answer in a body; a body that is none is a failure on the way."""
        try:
            raw = json.loads(content)
            if not isinstance(raw, dict):
                raise ValueError(f"{type(raw).__name__} in place of an object")
        except (ValueError, RecursionError) as error:
            raise TransportError(
                f"{self._place} answered {len(content)} bytes of "
                f"{self.cleaned(kind) or 'no content type'} that are no JSON object "
                f"({str(error)[:60]})",
                maybe_billed=True,
            ) from None
        if (told := error_in(raw)) is not None:
            return self._trouble(Trouble.of(told), 0.0)
        if wanted and suspected(content, self._server.secrets):
            raw = self.redacted(raw)
        raw = spelled(raw)
        try:
            for answer in split(raw, wanted) if wanted else ():
                self.parse(answer)
        except ResponseError as error:
            raise BackendError(
                f"{self._place} does not speak the OpenAI protocol at this address "
                f"({str(error)[:300]}): most servers want a base URL that ends in /v1"
            ) from None
        return raw

    def _refusal(self, error: Any) -> dict[str, Any]:
        """An error status: a filtered prompt is an answer, the rest is raised."""
        status, headers = error.status_code, error.response.headers
        if 300 <= status < 400:
            to = self.cleaned(str(headers.get("location", "")))[:200]
            raise BackendError(
                f"{self._place} answered {status}: it is at {to or 'another address'!r}, and no "
                "key is sent where it was not meant to go: if that is right, give it as --base-url"
            )
        body = error.body if isinstance(error.body, Mapping) else None
        return self._trouble(Trouble.of(body or error.message, status), retry_after(headers))

    def _trouble(self, said: Trouble, wait: float) -> dict[str, Any]:
        """What a server's error means for the run: a filtered prompt is an answer."""
        words = self.cleaned(said.words)
        if said.filtered:
            return self.filtered(words)
        text = f"{self._place} answered {said.status} to model {self.model!r}: {words}"
        if said.exhausted(wait):
            raise BackendError(f"{text}: add credit, then run the same command to go on")
        if said.passing:
            raise TransportError(text, rate_limited=said.crowded, retry_after=wait)
        if "max_completion_tokens" in words:
            text += ": add --max-tokens-field max_completion_tokens"
        elif "logprob" in words.lower():
            text += f": this model gives no log-probabilities, or fewer; {USE}"
        raise BackendError(text)

    def redacted(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A response without the key and the values of secret headers, if it echoes them."""
        return redacted(raw, self._server.secrets)

    def cleaned(self, words: str) -> str:
        """Words of a server without secrets."""
        return cleaned(words, self._server.secrets)

    def filtered(self, reason: str) -> dict[str, Any]:
        """What is stored where a server's filter refused the prompt itself."""
        message = {"role": "assistant", "content": "", "refusal": reason or "filtered"}
        choice = {"index": 0, "finish_reason": "content_filter", "message": message}
        return {"model": self.model, "choices": [choice], "filtered_prompt": True}

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._clients.close()
