"""A server's own model, asked by token ids: prompts that it rendered, beginnings to continue."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmdemand.belief.branching.branches import Listed, naming
from llmdemand.belief.readers import given
from llmdemand.belief.tokens import Response
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backend import Backend, Request, Traits
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.branches import where_named, with_ids
from llmdemand.simulation.cost import LOOKS

__all__ = ["RenderedBackend", "by_id"]

_MOST_PROMPTS = 4096
# Tokens at a prompt's end that show whether its template opens a thought.
_TAIL = 32
_ID = "token_id:"
_COUNTED = {"prompt_tokens", "completion_tokens"}
_NEEDS = (
    "use vLLM from 0.10.2 on or a current llama.cpp server, and give the address under which "
    "its other paths are too (--base-url http://host:port/v1)"
)


class RenderedBackend:
    """vLLM or a llama.cpp server, asked through ``/v1/completions`` with token ids.

    The server renders the chat once (llama.cpp: ``/apply-template`` and ``/tokenize``; vLLM:
    ``/tokenize`` with messages); what follows is sent as ids, so that no template closes,
    opens or deletes anything in an answer that is begun, and no text is cut into other tokens.

    Parameters
    ----------
    backend : OpenAIBackend
        The server.

    Notes
    -----
    Of answers that may branch, candidates are known by id. llama.cpp lists the ids. vLLM lists
    texts, of which several ids may share one: at the first positions that begin a name (3 at
    most) it is asked once more for a single token, with ids in place of texts, and the texts
    that name something are turned into ids by ``/tokenize``. What is not found in this way is
    no candidate, which costs precision and no bias.
    """

    continues = True

    def __init__(self, backend: OpenAIBackend) -> None:
        self._backend = backend
        self._prompts: dict[tuple[str, ...], list[int]] = {}
        self._tokens: dict[str, int | None] = {}
        # Answers whose candidates are still looked for, should a call of that fail.
        self._drawn: dict[tuple[str, int], dict[str, Any]] = {}

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
        """Those of the backend, and that prompts are ids."""
        return {**self._backend.settings, "prompt": "rendered"}

    @property
    def raw_logprobs(self) -> bool:
        """That of the backend."""
        return self._backend.raw_logprobs

    @property
    def traits(self) -> Traits:
        """One answer per call."""
        return replace(self._backend.traits, per_call=1)

    @property
    def prices(self) -> Any:
        """Those of the backend."""
        return self._backend.prices

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """Tokens and log-probabilities of a stored response."""
        return self._backend.parse(raw)

    async def close(self) -> None:
        """Close the connections."""
        await self._backend.close()

    async def complete(self, requests: Sequence[Request]) -> AsyncIterator[Mapping[str, Any]]:
        """One call per request, and those that find candidates by id."""
        for request in requests:
            ids = [*await self._prompt(request), *request.ids]
            run = (request.run_id, request.seed)
            raw = self._drawn.get(run)
            if raw is None:
                path, body = self._backend.body(request, ids=ids)
                raw = await self._backend.post(path, {"return_token_ids": True, **body})
                self._check(raw, len(ids))
            if request.sampling.branch and not request.ids:
                self._drawn[run] = raw
                raw = await self._by_id(request, ids, raw)
                del self._drawn[run]
            yield raw

    async def rendered(self, request: Request) -> str:
        """The end of the prompt as the model reads it."""
        ids = await self._prompt(replace(request, begun=""))
        answer = await self._plain("/detokenize", {"tokens": ids[-_TAIL:]})
        text = answer.get("prompt", answer.get("content"))
        if not isinstance(text, str):
            raise self._lacks("/detokenize", "a text")
        return text

    def _check(self, raw: Mapping[str, Any], sent: int) -> None:
        """The prompt that was read must be the one that was sent."""
        if raw.get("filtered_prompt"):
            return
        counted = (raw.get("usage") or {}).get("prompt_tokens")
        if counted is not None and counted != sent:
            raise BackendError(
                f"{self.model} read {counted} tokens of a prompt of {sent}: the server cuts "
                "prompts or adds to them; turn that off"
            )

    async def _by_id(
        self, request: Request, prompt: list[int], raw: dict[str, Any]
    ) -> dict[str, Any]:
        """The answer with its token ids, and the candidates where it may branch."""
        response = self.parse(raw)
        if not response.tokens or request.format is None:
            return raw
        # What follows a secret that was taken out is no longer known by its ids.
        before = raw.get("redacted", -1)
        before = len(response.tokens) if before < 0 else before
        choice = raw["choices"][0]
        content = (choice.get("logprobs") or {}).get("content")
        if content and all("id" in entry for entry in content):
            ids = [entry["id"] for entry in content]
            ranked = [
                [(c["id"], bytes(c["bytes"]), c["logprob"]) for c in e.get("top_logprobs") or ()]
                for e in content
            ]
            listed: dict[int, Listed] = where_named(request.format, response, ids, ranked)
            return with_ids(raw, ids, {k: v for k, v in listed.items() if k < before})
        own = choice.get("token_ids")
        if not isinstance(own, list) or len(own) != before:
            raise BackendError(
                f"{self.model} gave {len(own) if isinstance(own, list) else 'no'} ids for "
                f"{before} tokens, and sampling.branch needs one for each: {_NEEDS}"
            )
        listed = {}
        usage = dict(raw.get("usage") or {})
        named = naming(request.format.automaton, response.tokens)
        named = {k: found for k, found in named.items() if k < before}
        for position in list(named)[:LOOKS]:
            look = await self._look(request, [*prompt, *own[:position]])
            for kind in _COUNTED & usage.keys():
                more = look["usage"].get(kind) or 0
                odd = [n for n in (usage[kind], more) if math.isnan(given(n))]
                # What is no number of tokens stays what it is, to be found out later.
                usage[kind] = odd[0] if odd else usage[kind] + more
            found = [(await self._token(text), text) for text in named[position]]
            listed[position] = [
                (id_, text, look["listed"][id_])
                for id_, text in found
                if id_ is not None and id_ in look["listed"]
            ]
            if own[position] in {id_ for id_, _, _ in listed[position]}:
                break
        return with_ids({**raw, "usage": usage}, own, listed)

    async def _look(self, request: Request, ids: list[int]) -> dict[str, Any]:
        """The most probable tokens after a beginning, by id."""
        sampling = replace(request.sampling, temperature=1.0, max_tokens=1, stop=())
        path, body = self._backend.body(replace(request, sampling=sampling), ids=ids)
        raw = await self._backend.post(path, {"return_tokens_as_token_ids": True, **body})
        choice = (raw.get("choices") or [{}])[0]
        lists = (choice.get("logprobs") or {}).get("top_logprobs") or [{}]
        found = {
            int(name.removeprefix(_ID)): float(value)
            for name, value in (lists[0] or {}).items()
            if name.startswith(_ID)
        }
        if not found:
            raise BackendError(f"{self.model} lists no candidates by id: {_NEEDS}")
        # The drawn token is listed wherever it stands: only the most probable are ranked.
        most = min(sampling.top_logprobs, self._backend.listed)
        ranked = dict(sorted(found.items(), key=lambda one: -one[1])[:most])
        return {"listed": ranked, "usage": raw.get("usage") or {}}

    async def _token(self, data: bytes) -> int | None:
        """The id of the one token that a text is; None if it is several, or no text."""
        text = data.decode(errors="replace")
        if text not in self._tokens:
            ids = [] if "\ufffd" in text else await self._ids(text, special=False)
            self._tokens[text] = ids[0] if len(ids) == 1 else None
        return self._tokens[text]

    async def _prompt(self, request: Request) -> list[int]:
        """A prompt's ids, and those of the beginning of its answer."""
        name = request.prompt[:3]
        if name not in self._prompts:
            if len(self._prompts) >= _MOST_PROMPTS:
                self._prompts.clear()
            self._prompts[name] = await self._asked(request)
        begun = await self._ids(request.begun, special=False) if request.begun else []
        return [*self._prompts[name], *begun]

    async def _asked(self, request: Request) -> list[int]:
        if request.mode != "chat":
            return await self._ids(request.system + request.user, special=True)
        messages = [{"role": "system", "content": request.system}] if request.system else []
        chat: dict[str, Any] = {
            "messages": [*messages, {"role": "user", "content": request.user}],
            "add_generation_prompt": True,
        }
        if "chat_template_kwargs" in self._backend.extra_body:
            chat["chat_template_kwargs"] = self._backend.extra_body["chat_template_kwargs"]
        text = (await self._plain("/apply-template", chat)).get("prompt")
        if isinstance(text, str):
            return await self._ids(text, special=True)
        return self._read_ids(await self._plain("/tokenize", chat))

    async def _ids(self, text: str, *, special: bool) -> list[int]:
        """Ids of a text; `special` ones at its beginning where the model has such."""
        # vLLM reads the first two fields, llama.cpp the others; tags are tokens for both.
        body = {"prompt": text, "add_special_tokens": special}
        body |= {"content": text, "add_special": special, "parse_special": True}
        return self._read_ids(await self._plain("/tokenize", body))

    async def _plain(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._backend.post(path, {"model": self.model, **body}, plain=True)

    def _read_ids(self, answer: Mapping[str, Any]) -> list[int]:
        ids = answer.get("tokens")
        if not isinstance(ids, list) or not ids or not all(type(i) is int for i in ids):
            raise self._lacks("/tokenize", "token ids")
        return ids

    def _lacks(self, path: str, what: str) -> BackendError:
        return BackendError(
            f"the server of {self.model} gives no {what} at {path}, so its prompts cannot be "
            f"continued: {_NEEDS}"
        )


def by_id(backend: Backend) -> Backend:
    """The backend, asked by token ids where it is a server of one's own.

    Raises
    ------
    UsageError
        If it is OpenAI's, which continues nothing.
    """
    if type(backend) is not OpenAIBackend:
        return backend
    if backend.is_openai:
        raise UsageError(
            "OpenAI continues no answer that is begun, which branches and forced answers need: "
            "use the local backend, or a server of your own with --base-url"
        )
    return RenderedBackend(backend)
