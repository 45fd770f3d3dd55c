"""The embedded engine: llama.cpp in this process, on any GGUF model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmdemand.belief.readers import compact, to_compact
from llmdemand.belief.tokens import Response, Token
from llmdemand.belief.tree import Score
from llmdemand.core.processors import processors
from llmdemand.errors import BackendError, MissingExtra, UsageError
from llmdemand.simulation.backend import Request, Traits
from llmdemand.simulation.backends.draw import SHARED, Candidate, Paths, Stopping, Told
from llmdemand.simulation.backends.weights import embedded_model, sha256
from llmdemand.simulation.branches import where_named, with_ids

__all__ = ["LocalBackend"]

# Listed per position: what is beyond them (about a percent) is drawn by the engine.
_LISTED = 300

# The law that is sampled from must be the one whose log-probabilities are reported:
# the engine's defaults (top-k 40, top-p .95, min-p .05) would cut its tail.
_PLAIN_SAMPLING = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_penalty": 1.0,
    "samplers": ["temperature"],
}


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
    exact : bool
        Evaluate tokens one by one: see Notes. False is faster on long prompts, and
        on graphics cards by far; numbers then depend on what was asked before by
        up to some hundredths of a nat.
    context : int
        Longest prompt and answer together, in tokens.
    threads : int, optional
        By default the cores that are idle when the backend is made.

    Raises
    ------
    MissingExtra
        If the engine or the embedded model is not installed.
    UsageError
        If `model` is not a GGUF file, or `whole` is no probability above zero.

    Notes
    -----
    On the exact path (``n_ubatch=1``, slower by a third than batches on this
    hardware) a prompt gives the same numbers, bit for bit, with and without a
    cached beginning, so that results do not depend on order or resume. Batching
    runs together would give that up, and gains less than sharing does.
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
        exact: bool = True,
        context: int = 4096,
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
        self._path = embedded_model() if model is None else Path(model)
        if not _is_gguf(self._path):
            raise UsageError(f"{self._path} is not a GGUF file: --model wants the path of one")
        self._whole, self._early, self._exact = float(whole), early, exact
        self._context = context
        self._threads = threads or _idle_cores()
        self._key = os.urandom(16).hex()
        # The engine answers one call at a time; a second thread would only wait.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmdemand-local")

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
            "path": "exact" if self._exact else "batched",
            "until": "end" if self._whole == 1 else "pivot",
            "shared": SHARED,
        }
        if self._whole == 1:
            return found
        return {**found, "whole_probability": self._whole, "early": self._early}

    @property
    def traits(self) -> Traits:
        """One call at a time, for all runs of a prompt; it may take hours."""
        return Traits(concurrency=1, per_call=1000, kept=True)

    async def complete(self, requests: Sequence[Request]) -> AsyncIterator[Mapping[str, Any]]:
        """One compact response per request, each as soon as its path has ended."""
        loop = asyncio.get_running_loop()
        model = await loop.run_in_executor(self._thread, self._paths, requests[0])
        for request in requests:
            raw = await loop.run_in_executor(self._thread, self._answer, model, request)
            yield raw

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
        return await loop.run_in_executor(self._thread, self._prompt, bare)

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
        whole = {**_PLAIN_SAMPLING, "temperature": 1.0, "max_tokens": 1, **body}
        try:
            answer = self._server.handle_completions({**whole, "cache_prompt": True}, *hear)
            answer = {} if hear else answer
        except ValueError as error:
            answer = {"error": {"message": str(error)}}
        if "error" in answer:
            message = answer["error"].get("message", answer["error"])
            raise BackendError(f"the engine refused run {run}: {message}")
        found: dict[str, Any] = answer
        return found

    @cached_property
    def _server(self) -> Any:
        return self.engine()

    def engine(self, change: Callable[[Any], None] | None = None) -> Any:
        """The engine with this model; `change` is given its parameters first.

        Raises
        ------
        BackendError
            If it cannot be loaded.
        """
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(self._path.resolve())
        params.n_ctx, params.n_parallel = self._context, 1
        if self._exact:
            params.n_ubatch = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_ram_mib, params.warmup, params.verbosity = 0, False, -1
        # The engine insists on a port: loopback, a random key, and no pages.
        params.api_keys, params.port = [self._key], 0
        params.ui = params.endpoint_slots = False
        if change is not None:
            change(params)
        try:
            with _quiet():
                return xllamacpp.Server(params)
        except (RuntimeError, ValueError, OSError) as error:
            raise BackendError(
                f"the engine could not load {self._path.name} ({error}): it needs the system "
                "library libgomp1, a model that this version knows, and memory for it"
            ) from None


def _content(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list((answer["choices"][0].get("logprobs") or {}).get("content") or ())


def _is_gguf(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _idle_cores() -> int:
    """Cores that nothing else keeps busy right now, at least one.

    The engine's threads wait for each other by spinning: on a core that another
    process uses, one thread too many makes answers ten times as slow, and one too
    few at most twice. The number of threads changes no result.
    """
    cores = processors()
    try:
        before = _cpu_times()
        time.sleep(0.25)
        after = _cpu_times()
    except OSError:  # no /proc: not Linux
        return max(1, cores // 2)
    total = sum(after) - sum(before)
    # Fields 3 and 4 are idle and waiting for disks.
    idle = (sum(after[3:5]) - sum(before[3:5])) / total if total else 1.0
    return max(1, min(cores, round(idle * (os.cpu_count() or 1))))


def _cpu_times() -> list[int]:
    return [
        int(field)
        for field in Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:]
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the engine's loading messages, written below Python, off the terminal."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
