"""The embedded engine: llama.cpp in this process, on any GGUF model."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmdemand.belief.readers import compact, to_compact
from llmdemand.belief.tokens import Response, Token
from llmdemand.belief.tree import Score
from llmdemand.errors import BackendError, MissingExtra, UsageError, nearest
from llmdemand.simulation.backend import Request, Traits
from llmdemand.simulation.backends.draw import Candidate, Paths, Stopping, Told
from llmdemand.simulation.backends.engine import (
    PATHS,
    PLAIN_SAMPLING,
    idle_cores,
    invariant,
    loaded,
)
from llmdemand.simulation.backends.weights import embedded_model, sha256
from llmdemand.simulation.branches import where_named, with_ids

__all__ = ["LocalBackend"]

# Calls that wait for a slot, or are in it, where all slots are as busy.
_CALLS = 16
# Listed per position: what is beyond them (about a percent) is drawn by the engine.
_LISTED = 300


# The slot of the engine that a thread asks, which has its prompt.
_of_thread = threading.local()


class _Slot:
    """A place of the engine where one prompt at a time is answered, and the thread that waits."""

    def __init__(self, number: int) -> None:
        self.number, self.calls, self.prompt = number, 0, ""
        self.thread = ThreadPoolExecutor(
            1, "llmdemand-local", lambda: setattr(_of_thread, "slot", number)
        )


class LocalBackend:
    """Answers with a language model in this process; no network, no key.

    All runs of a prompt share what they have in common: the next-token
    probabilities after each beginning of an answer are computed once, however many
    runs begin like that, and every run draws its own path through them.

    Parameters
    ----------
    model : str or Path, optional
        A GGUF file; by default the embedded SmolLM2-135M-Instruct.
    whole : float
        Probability with which an answer is written to its end; the others stop where their
        choice is settled. 1 by default: what is saved on endings is lost in variance unless
        they are long and hardly ever change the choice
        (`llmdemand.modeling.outcomes.stopped.whole_probability`).
    early : int
        Answers whose choice is settled within their first `early` tokens are always whole:
        a name that opens a text is more often its subject than its choice.
    path : str
        The way the engine computes, part of what is asked: see Notes. ``exact`` evaluates tokens
        one by one; ``invariant`` answers 16 prompts at a time; ``batched`` is for graphics
        cards, where numbers depend on what was asked before by up to some tenths of a nat.
    context : int, optional
        Longest prompt and answer together, in tokens: 4096, or 2048 on the invariant path, which
        sets memory aside for 16 such.
    threads : int, optional
        By default the cores that are idle when the backend is made.

    Raises
    ------
    MissingExtra
        If the engine or the embedded model is not installed.
    UsageError
        If `model` is not a GGUF file, `whole` is no probability above zero, or `path` is
        unknown.

    Notes
    -----
    On the exact path (``n_ubatch=1``) and on the invariant one a prompt gives the same
    numbers, bit for bit, alone and in company, with and without a cached beginning, so that
    results do not depend on order, number of calls or resume. The invariant path has that
    from attention with one query at a time on bfloat16 keys and values; whether the
    format of the weights keeps it is tried on loading
    (`llmdemand.simulation.backends.engine.invariant`), and a model that fails is refused.
    Its numbers are not those of the exact path: log-probabilities differ by .1 nats on average,
    up to .3, on the embedded model.
    Log-probabilities are those of the plain softmax, before temperature. Answers
    are drawn from the whole vocabulary at the study's temperature, with every
    truncating sampler off: `llmdemand.simulation.backends.draw`.
    """

    name = "local"
    raw_logprobs = True
    continues = True

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        whole: float = 1.0,
        early: int = 0,
        path: str = "exact",
        context: int | None = None,
        threads: int | None = None,
    ) -> None:
        if find_spec("xllamacpp") is None:
            raise MissingExtra('the local engine is not installed: pip install "llmdemand[local]"')
        if not 0 < whole <= 1:
            raise UsageError(
                f"whole={whole}: give the probability of a whole answer, above 0 and at most 1 (if "
                "none is whole, nothing tells what they would have said)"
            )
        if early < 0 or (early and whole == 1):
            raise UsageError(
                f"early={early}, whole={whole:g}: give a number of tokens from 0, with a "
                "probability of whole answers below 1"
            )
        if path not in PATHS:
            raise UsageError(f"path={path!r}{nearest(path, tuple(PATHS))}: use {', '.join(PATHS)}")
        self._path = embedded_model() if model is None else Path(model)
        if not _is_gguf(self._path):
            raise UsageError(f"{self._path} is not a GGUF file: --model wants the path of one")
        self._whole, self._early = float(whole), early
        self._name_of_path, self._numerics = path, PATHS[path]
        self._context = context or self._numerics.context
        self._threads = threads or idle_cores()
        self._key = os.urandom(16).hex()
        self._loaded: Any = None
        self._lock = threading.Lock()
        self._slots = [_Slot(number) for number in range(self._numerics.slots)]

    @cached_property
    def model(self) -> str:
        """File name and the first 12 hex digits of the file's SHA-256."""
        return f"{self._path.name}@{sha256(self._path)[:12]}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """What fixes the numerical path, and where answers end."""
        import xllamacpp

        found = {
            "engine": f"xllamacpp {xllamacpp.__version__}",
            "path": self._name_of_path,
            "until": "end" if self._whole == 1 else "pivot",
            "shared": self._numerics.shared,
        }
        if self._whole == 1:
            return found
        return {**found, "whole_probability": self._whole, "early": self._early}

    @property
    def traits(self) -> Traits:
        """A call for all runs of a prompt, one at a time for each slot; it may take hours."""
        if len(self._slots) == 1:
            return Traits(concurrency=1, per_call=1000, kept=True)
        # Enough to make up for reading a prompt, few enough to keep slots busy to the end; calls
        # wait for the slot that has read what they begin with.
        most = _CALLS * len(self._slots)
        return Traits(concurrency=most, per_call=32, kept=True, start=most)

    async def complete(self, requests: Sequence[Request]) -> AsyncIterator[Mapping[str, Any]]:
        """One compact response per request, each as soon as its path has ended."""
        loop, slot = asyncio.get_running_loop(), self._slot(requests)
        slot.calls += 1
        try:
            model = await loop.run_in_executor(slot.thread, self._paths, requests[0])
            for request in requests:
                raw = await loop.run_in_executor(slot.thread, self._answer, model, request)
                yield raw
        finally:
            slot.calls -= 1

    def _slot(self, requests: Sequence[Request]) -> _Slot:
        """The least busy slot, of those whose prompt is not too much of another to read.

        Reading a beginning once more, which another slot has, must cost less than what answers
        gain in company, about a third of their tokens' time.
        """
        prompt = "".join(requests[0].prompt)
        known = {
            slot.number: len(os.path.commonprefix([slot.prompt, prompt]))  # noqa: RUF071  # letters
            for slot in self._slots
        }
        # Four letters are about a token; reading one takes half as long again as is gained.
        worth = len(requests) * requests[0].sampling.max_tokens * 4 / 1.5
        least = max(known.values()) - worth
        able = [slot for slot in self._slots if known[slot.number] >= least]
        slot = min(able, key=lambda slot: (slot.calls, -known[slot.number]))
        slot.prompt = prompt
        return slot

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """Tokens and log-probabilities of a stored response."""
        return compact(raw)

    async def close(self) -> None:
        """The engine stays loaded for the next run; it ends with the process."""

    def scorer(self, request: Request) -> Score:
        """Next-token probabilities of one prompt, for `llmdemand.belief.tree.tree`.

        Parameters
        ----------
        request : Request
            The prompt; its sampling settings name the length of the lists.

        Returns
        -------
        callable
            From a tuple of tokens (bytes) to candidates with log-probabilities.

        Raises
        ------
        BackendError
            From the callable, if the engine refuses the prompt.
        """
        prompt = self._prompt(request)
        known: dict[tuple[bytes, ...], tuple[int, ...]] = {(): ()}

        def score(prefix: tuple[bytes, ...]) -> list[tuple[bytes, float]]:
            ids = known[prefix]
            listed = self._listed(prompt, ids, request.sampling.top_logprobs, request.run_id)
            for candidate in listed:
                known.setdefault((*prefix, candidate.data), (*ids, candidate.id))
            return [(candidate.data, candidate.logprob) for candidate in listed]

        return score

    async def rendered(self, request: Request) -> str:
        """The prompt as the model reads it, without a beginning of its answer."""
        loop = asyncio.get_running_loop()
        bare = replace(request, begun="")
        return await loop.run_in_executor(self._slots[0].thread, self._prompt, bare)

    def _answer(self, paths: Paths, request: Request) -> dict[str, Any]:
        branch = request.sampling.branch
        until = None
        if self._whole < 1 and not branch and request.format is not None:
            until = Stopping(request.format, self._whole, self._early)
        response, ids = paths.walked(request, until)
        raw = to_compact(replace(response, model=self.model))
        if not branch or request.ids or request.format is None:
            return raw
        own = [id_ for id_, _ in ids]
        ranked = [
            list(zip(candidates, token.candidates, token.logprobs, strict=True))
            for token, (_, candidates) in zip(response.tokens, ids, strict=True)
        ]
        return with_ids(raw, own, where_named(request.format, response, own, ranked))

    def _paths(self, request: Request) -> Paths:
        prompt = self._prompt(request)
        run, listed = request.run_id, max(request.sampling.top_logprobs, _LISTED)
        return Paths(
            lambda ids, count: self._listed(prompt, ids, count or listed, run),
            lambda ids, excluded, temperature, seed: self._beyond(
                prompt, ids, excluded, temperature, seed, run
            ),
            lambda ids, most, request, seed, told: self._rest(
                prompt, ids, most, request, seed, told
            ),
            self._tokens_of(prompt, run),
            shared=self._numerics.shared,
        )

    def _prompt(self, request: Request) -> str:
        """The text that the engine continues; in a chat, by the model's own template."""
        if request.mode != "chat":
            return request.system + request.user + request.begun
        messages = [{"role": "system", "content": request.system}] if request.system else []
        messages.append({"role": "user", "content": request.user})
        # The engine offers its template over its own port alone.
        call = urllib.request.Request(
            f"{self.address}/apply-template",
            json.dumps({"messages": messages}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(call) as answer:
                return str(json.load(answer)["prompt"]) + request.begun
        except (OSError, ValueError, KeyError) as error:
            raise BackendError(
                f"the chat template of {self._path.name} cannot be filled ({error}): ask in "
                'completion mode (mode = "completion") or use an instruction-tuned model'
            ) from None

    @property
    def address(self) -> str:
        """Where the engine listens on this machine, guarded by a random key."""
        return str(self._server.listening_address)

    def _tokens_of(self, prompt: str, run: str) -> int:
        answer = self._ask({"prompt": [prompt], "logprobs": 1}, run)
        return int(answer["usage"]["prompt_tokens"])

    def _listed(self, prompt: str, ids: tuple[int, ...], count: int, run: str) -> list[Candidate]:
        """The most probable tokens after a prompt and a beginning of its answer."""
        # An end of text or half a character that the engine itself draws would come
        # without a list: ends are forbidden to it, and where a character has begun, so that
        # it would draw the next part of one, it has to draw a full stop. What is listed are
        # the probabilities before that.
        for forced in ({}, {"logit_bias": [[".", 1000.0]]}):
            body = {"prompt": [prompt, *ids], "logprobs": count, "ignore_eos": True, "seed": 0}
            content = _content(self._ask({**body, **forced}, run))
            if content:
                return [
                    Candidate(int(c["id"]), bytes(c["bytes"]), float(c["logprob"]))
                    for c in content[0]["top_logprobs"]
                ]
        raise BackendError(f"the engine gave no probabilities in run {run}: report this model")

    def _beyond(
        self,
        prompt: str,
        ids: tuple[int, ...],
        excluded: Sequence[int],
        temperature: float,
        seed: int,
        run: str,
    ) -> Candidate | None:
        """A token drawn by the engine from those that are not listed; None for an end."""
        body = {
            "prompt": [prompt, *ids],
            "logprobs": 1,
            "logit_bias": [[token, False] for token in excluded],
            "temperature": temperature,
            "seed": seed,
        }
        content = _content(self._ask(body, run))
        if not content:
            return None
        drawn = content[0]
        return Candidate(int(drawn["id"]), bytes(drawn["bytes"]), float(drawn["logprob"]))

    def _rest(
        self,
        prompt: str,
        ids: tuple[int, ...],
        most: int,
        request: Request,
        seed: int,
        told: Told,
    ) -> bool:
        """Let the engine go on by itself, until the text ends or `told` has heard enough."""
        reasons: list[str] = []

        def hear(chunk: dict[str, Any]) -> bool:
            if "error" in chunk:
                reasons.append(str(chunk["error"]))
                return True
            reasons.append(chunk["choices"][0].get("finish_reason") or "")
            return any(
                told(
                    Token(
                        bytes(entry["bytes"]),
                        float(entry["logprob"]),
                        tuple([bytes(c["bytes"]) for c in entry["top_logprobs"]]),
                        tuple([float(c["logprob"]) for c in entry["top_logprobs"]]),
                    ),
                    int(entry["id"]),
                    [int(c["id"]) for c in entry["top_logprobs"]],
                )
                for entry in _content(chunk)
            )

        sampling = request.sampling
        body = {
            "prompt": [prompt, *ids],
            "logprobs": sampling.top_logprobs,
            "temperature": sampling.temperature,
            "seed": seed,
            "max_tokens": most,
            "stream": True,
        }
        self._ask(body, request.run_id, hear)
        return bool(reasons) and reasons[-1] == "stop"

    def _ask(self, body: dict[str, Any], run: str, *hear: Any) -> dict[str, Any]:
        whole = {**PLAIN_SAMPLING, "max_tokens": 1, **body, "cache_prompt": True}
        if (slot := getattr(_of_thread, "slot", None)) is not None and len(self._slots) > 1:
            whole["id_slot"] = slot
        try:
            answer = self._server.handle_completions(whole, *hear)
            answer = {} if hear else answer
        except ValueError as error:
            answer = {"error": {"message": str(error)}}
        if "error" in answer:
            message = answer["error"].get("message", answer["error"])
            raise BackendError(f"the engine refused run {run}: {message}")
        found: dict[str, Any] = answer
        return found

    @property
    def _server(self) -> Any:
        with self._lock:
            if self._loaded is None:
                found = self.engine()
                if self._numerics.rowwise and not invariant(found):
                    raise BackendError(
                        f"with {self._path.name} on this machine the engine gives other numbers in "
                        'company than alone: answer by the exact path (path="exact", --path exact)'
                    )
                self._loaded = found
            return self._loaded

    def engine(self, change: Callable[[Any], None] | None = None) -> Any:
        """The engine with this model, loaded anew; `change` is given its parameters first.

        Raises
        ------
        BackendError
            If it cannot be loaded.
        """
        return loaded(
            self._path,
            self._numerics,
            context=self._context,
            threads=self._threads,
            key=self._key,
            change=change,
        )


def _content(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list((answer["choices"][0].get("logprobs") or {}).get("content") or ())


def _is_gguf(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"
