"""OpenAI, or any server that speaks its protocol, through the `openai` client."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from llmdemand.belief.readers import read_response
from llmdemand.belief.tokens import Response
from llmdemand.errors import BackendError, ResponseError, TransportError, UsageError
from llmdemand.simulation.backend import Request, Traits
from llmdemand.simulation.backends.clients import MOST_CONNECTIONS, Clients
from llmdemand.simulation.cost import Prices, known_prices

__all__ = ["OpenAIBackend", "refuse_reasoning"]

_REASONING = re.compile(r"(?:.*/)?(?:o[134](?:-|$)|gpt-5|.*deep-research)")
# The only reasoning models that can be told not to reason, and then give log-probabilities.
_OPTIONAL_REASONING = re.compile(r"(?:.*/)?gpt-5\.[12](?:-\d|$)")
_USE = (
    "use gpt-4o, gpt-4.1, gpt-5.1 with reasoning effort 'none', a model that you host, or "
    "`--backend choice_only` for choices without belief"
)
_PATHS = {"chat": "/chat/completions", "responses": "/responses", "completions": "/completions"}

# What the budget, the store's keys and extraction rely on.
_OWN_FIELDS = set(
    "model messages prompt input n stream seed stop temperature logprobs top_logprobs max_tokens "
    "max_completion_tokens max_output_tokens".split()
)

Api = Literal["auto", "chat", "responses", "completions"]


class OpenAIBackend:
    """Answers with log-probabilities from OpenAI or a compatible server.

    Parameters
    ----------
    model : str
        Model name, such as ``gpt-4o``.
    base_url : str, optional
        Another server (vLLM, llama.cpp, Ollama, a proxy), usually ending in
        ``/v1``; ``OPENAI_BASE_URL`` or OpenAI itself by default.
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
        Seconds for one call from its beginning to its last byte.
    prices : Prices, optional
        List prices by default, where the server is OpenAI's.
    needs_key : bool
        Whether calls will be made; False only writes requests.

    Raises
    ------
    UsageError
        If ``OPENAI_API_KEY`` is not set and no other server is named, or the model
        is known to return no log-probabilities.

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
        prices: Prices | None = None,
        needs_key: bool = True,
    ) -> None:
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        _check_address(base_url)
        if self._logprobs:
            refuse_reasoning(model, reasoning_effort)
        if needs_key and not os.environ.get("OPENAI_API_KEY") and base_url is None:
            raise UsageError(
                "no OPENAI_API_KEY in the environment: set it, or name a compatible server "
                "with --base-url (local servers accept any key)"
            )
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
        key = os.environ.get("OPENAI_API_KEY")
        if key and key in json.dumps(dict(extra_body or {})):
            raise UsageError("extra_body holds the API key: it would be stored; leave it out")
        self.model = model
        self._base_url, self._api, self._n = base_url, api, n
        self._effort, self._extra = reasoning_effort, dict(extra_body or {})
        self._most, self._timeout = top_logprobs, timeout
        self.prices = prices or (known_prices(model) if self.is_openai else None)
        self._clients = Clients(self._base_url, timeout)

    @property
    def is_openai(self) -> bool:
        """Whether the server is OpenAI's."""
        return self._base_url is None or (urlsplit(self._base_url).hostname or "").endswith(
            "openai.com"
        )

    @property
    def _place(self) -> str:
        return self._base_url or "OpenAI"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Server, interface and further request fields."""
        found: dict[str, Any] = {
            "base_url": self._base_url or "openai",
            "api": self._api,
            "extra_body": self._extra,
        }
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
        answers = _split(raw, len(requests))
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
        if self.is_openai and _REASONING.match(self.model):
            body["max_completion_tokens"] = request.sampling.max_tokens
        else:
            body["max_tokens"] = request.sampling.max_tokens
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
            path = (self._base_url or "").rstrip("/").removesuffix("/v1") + path

        # The client's typed methods would read every answer into objects and write it out
        # again; what is stored is what the server said.
        try:
            async with self._clients.one() as client, asyncio.timeout(self._timeout):
                answer = await client.post(path, body=body, cast_to=self._clients.response)
                content, kind = answer.content, answer.headers.get("content-type", "")
        except openai.APIStatusError as error:
            if plain and error.status_code in (404, 405, 501):
                return {}
            return self._refusal(error)
        except (openai.APITimeoutError, TimeoutError):
            raise TransportError(
                f"{self._place} did not answer within {self._timeout:.0f} s", maybe_billed=True
            ) from None
        except openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else type(error).__name__
            raise TransportError(
                f"{self._place} could not be reached or broke off ({cause})",
                maybe_billed="Connect" not in cause,
            ) from None
        return self._read(content, kind, plain)

    def _read(self, content: bytes, kind: str, plain: bool) -> dict[str, Any]:
        """The answer in a body; a body that is none is a failure on the way."""
        try:
            raw = json.loads(content)
            if not isinstance(raw, dict):
                raise ValueError(f"{type(raw).__name__} in place of an object")
        except ValueError as error:
            raise TransportError(
                f"{self._place} answered {len(content)} bytes of {kind or 'no content type'} that "
                f"are no JSON object ({str(error)[:60]})",
                maybe_billed=True,
            ) from None
        if isinstance(raw.get("error"), dict) and not {"choices", "output"} & set(raw):
            code = raw["error"].get("code")
            message = f"{self._place}: {_clean(str(raw['error'].get('message', code)))}"
            if code in (429, 500, 502, 503, 504):
                raise TransportError(message, rate_limited=code == 429)
            raise BackendError(message)
        if plain:
            return raw
        try:
            self.parse(raw)
        except ResponseError as error:
            # With several choices each is read by itself.
            choices = raw.get("choices")
            if not isinstance(choices, list) or len(choices) < 2:
                raise BackendError(
                    f"{self._place} does not speak the OpenAI protocol at this address ({error}): "
                    "most servers want a base URL that ends in /v1"
                ) from None
        return raw

    def _refusal(self, error: Any) -> dict[str, Any]:
        """An error status: a filtered prompt is an answer, the rest is raised."""
        status, code = error.status_code, getattr(error, "code", None)
        reason = _reason(error)
        if status == 400 and code == "content_filter":
            return self.filtered(reason)
        text = f"{self._place} answered {status} to model {self.model!r}: {reason}"
        if status == 429 and code == "insufficient_quota":
            raise BackendError(f"{text}: add credit, then run the same command to go on")
        if status in (408, 409, 425, 429) or status >= 500:
            raise TransportError(
                text,
                rate_limited=status in (429, 503),
                retry_after=_retry_after(error.response.headers),
            )
        if "logprob" in reason.lower():
            text += f": this model gives no log-probabilities, or fewer; {_USE}"
        raise BackendError(text)

    def filtered(self, reason: str) -> dict[str, Any]:
        """What is stored where a server's filter refused the prompt itself."""
        message = {"role": "assistant", "content": "", "refusal": reason or "filtered"}
        choice = {"index": 0, "finish_reason": "content_filter", "message": message}
        return {"model": self.model, "choices": [choice], "filtered_prompt": True}

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._clients.close()


def refuse_reasoning(model: str, effort: str | None) -> None:
    """Refuse models that reason before they answer, and so give no log-probabilities.

    Raises
    ------
    UsageError
        With the reason and the alternatives.
    """
    if _OPTIONAL_REASONING.match(model) and effort == "none":
        return
    if effort not in (None, "none"):
        raise UsageError(
            f"reasoning effort {effort!r} leaves no log-probabilities, so no belief: use 'none'"
        )
    if _OPTIONAL_REASONING.match(model):
        raise UsageError(
            f"{model} gives log-probabilities only when it does not reason: add "
            "--reasoning-effort none"
        )
    if _REASONING.match(model):
        raise UsageError(
            f"{model} reasons before it answers and returns no log-probabilities, so it has no "
            f"belief: {_USE}"
        )


def _check_address(base_url: str | None) -> None:
    if base_url is None:
        return
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--base-url {base_url!r} is no web address: http://host:port/v1")
    if parts.username or parts.password or parts.query:
        raise UsageError(
            "--base-url holds a user name, password or query, which would be stored: put the key "
            "into OPENAI_API_KEY and give the plain address"
        )


def _split(raw: dict[str, Any], wanted: int) -> list[dict[str, Any]]:
    """One object per choice; what the prompt cost is shared among them."""
    choices = raw.get("choices")
    if wanted == 1 or not isinstance(choices, list):
        return [raw]
    usage = raw.get("usage") or {}
    prompt = float(usage.get("prompt_tokens") or 0.0) / max(1, len(choices))
    lengths = [len(((c.get("logprobs") or {}).get("content")) or ()) for c in choices]
    whole = float(usage.get("completion_tokens") or 0.0)
    # Servers count the tokens of all choices together, or of one only; shares are by length.
    share = [n / sum(lengths) if sum(lengths) else 1 / len(choices) for n in lengths]
    return [
        {
            **raw,
            "choices": [{**choice, "index": 0}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": whole * part},
            "of_n": len(choices),
        }
        for choice, part in zip(choices[:wanted], share, strict=False)
    ]


def _retry_after(headers: Any) -> float:
    """Seconds that a server asks to wait; 0 where it does not say."""
    from email.utils import parsedate_to_datetime
    from time import time

    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            return max(0.0, float(value) * unit)
        except ValueError:
            try:
                return max(0.0, parsedate_to_datetime(value).timestamp() - time())
            except (TypeError, ValueError):
                continue
    return 0.0


def _reason(error: Any) -> str:
    """The server's own words, in one line."""
    body = error.body if isinstance(error.body, dict) else {}
    lines = str(body.get("message") or error.message).splitlines() or [""]
    return _clean(lines[0][:200])


def _clean(words: str) -> str:
    """Words without anything that looks like a key."""
    key = os.environ.get("OPENAI_API_KEY")
    if key:
        words = words.replace(key, "<key>")
    return re.sub(r"sk-[\w*-]+", "<key>", words)
