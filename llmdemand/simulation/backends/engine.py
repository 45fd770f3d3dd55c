"""The engine of the local backend: how it is loaded, what path its numbers take."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmdemand.core.processors import processors
from llmdemand.errors import BackendError
from llmdemand.simulation.backends.draw import SHARED

__all__ = ["PATHS", "PLAIN_SAMPLING", "Numerics", "idle_cores", "invariant", "loaded"]

# The law that is sampled from must be the one whose log-probabilities are reported:
# the engine's defaults (top-k 40, top-p .95, min-p .05) would cut its tail.
PLAIN_SAMPLING = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_penalty": 1.0,
    "samplers": ["temperature"],
    "temperature": 1.0,
}


@dataclass(frozen=True, slots=True)
class Numerics:
    """The order in which the engine adds things up, and what goes with it.

    Attributes
    ----------
    slots : int
        Prompts that are answered at a time.
    context : int
        Longest prompt and answer together, in tokens, by default; memory is set aside for that
        many in every slot.
    ubatch : int
        Tokens evaluated at a time; 0 for the engine's own number.
    rowwise : bool
        Attention with one query at a time, on bfloat16 keys and values: the engine has no
        other way for those, whatever their number.
    shared : int
        Tokens of an answer whose probabilities runs share; later ones are drawn by the engine.
    """

    slots: int
    context: int
    ubatch: int
    rowwise: bool = False
    shared: int = SHARED


#: By name. Numbers of two paths differ, so answers of one are never taken for another's.
PATHS: Mapping[str, Numerics] = {
    "exact": Numerics(1, 4096, 1),
    # Below 64 tokens the engine does not tile attention. Runs part at their first tokens, and
    # another call for each costs more than drawing it again among 16.
    "invariant": Numerics(16, 2048, 16, rowwise=True, shared=1),
    "batched": Numerics(1, 4096, 0),
}


def loaded(
    model: Path,
    numerics: Numerics,
    *,
    context: int,
    threads: int,
    key: str,
    change: Callable[[Any], None] | None = None,
) -> Any:
    """The engine with a model; `change` is given its parameters first.

    Parameters
    ----------
    model : Path
        A GGUF file.
    numerics : Numerics
        One of `PATHS`.
    context : int
        Longest prompt and answer together, in tokens.
    threads : int
        Processors it computes on.
    key : str
        What its port asks for.
    change : callable, optional
        Changes the parameters in place.

    Raises
    ------
    BackendError
        If it cannot be loaded.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model.resolve())
    params.n_parallel, params.n_ctx = numerics.slots, numerics.slots * context
    if numerics.ubatch:
        params.n_ubatch = numerics.ubatch
    flash = xllamacpp.llama_flash_attn_type
    params.flash_attn_type = flash.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if numerics.rowwise:
        params.flash_attn_type = flash.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_BF16
        # A slot's place in memory that all share would depend on what the others hold.
        params.kv_unified = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib, params.warmup, params.verbosity = 0, False, -1
    # The engine insists on a port: loopback, a random key, and no pages.
    params.api_keys, params.port = [key], 0
    params.ui = params.endpoint_slots = False
    if change is not None:
        change(params)
    try:
        with _quiet():
            return xllamacpp.Server(params)
    except (RuntimeError, ValueError, OSError) as error:
        raise BackendError(
            f"the engine could not load {model.name} ({error}): it needs the system "
            "library libgomp1, a model that this version knows, and memory for it"
        ) from None


# Long enough: a last bit that differs is seen only where it moves a rounding further on.
_TEXT = (
    "You are a shopper in a store that sells two brands of diapers, Pampers and Huggies. The price "
    "of Pampers is 34 cents apiece, that of Huggies 30 cents, as it was 12 times before: 28, 41, "
    "33, 36, 52, 24, 30, 45, 39, 27, 31 and 48 cents. You may buy one of them, or neither. Which "
    "one do you buy today, and why? Begin with the name. Answer:"
)
_WRITTEN = 12


def invariant(server: Any) -> bool:
    """Whether a prompt's numbers are the same alone, in company, and however it is divided.

    They are where every sum of the engine is over one token's numbers in an order that
    does not depend on how many tokens are evaluated with it. That is so of some formats of
    weights and processors, and not of others: it is found out with a text of 120 tokens.

    Parameters
    ----------
    server : xllamacpp.Server
        A loaded engine of at least four slots.
    """

    def read(slot: int, most: int, *prompt: str | int) -> list[tuple[int, list[Any]]]:
        body = {**PLAIN_SAMPLING, "temperature": 0.0, "prompt": list(prompt), "max_tokens": most}
        answer = server.handle_completions(
            {**body, "logprobs": 50, "id_slot": slot, "cache_prompt": False, "ignore_eos": True}
        )
        content = answer["choices"][0]["logprobs"]["content"]
        return [(c["id"], [(o["id"], o["logprob"]) for o in c["top_logprobs"]]) for c in content]

    alone = read(0, _WRITTEN, _TEXT)
    half = _WRITTEN // 2
    begun = [id_ for id_, _ in alone[:half]]
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(read, k, _WRITTEN, _TEXT[: 30 * k]) for k in (1, 2, 3)]
        # What was written one by one is now read at once, with what others read and write.
        together = read(0, half, _TEXT, *begun)
        for other in others:
            other.result()
    return len(alone) == _WRITTEN and alone[half:] == together


def idle_cores() -> int:
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
