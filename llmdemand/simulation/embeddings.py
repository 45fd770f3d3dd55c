"""Embeddings of texts: from the embedded engine, or from a server of the OpenAI protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import BackendError, TransportError, UsageError, nearest
from llmdemand.simulation.backends.choice_only import ChoiceOnlyServer
from llmdemand.simulation.backends.local import LocalBackend
from llmdemand.simulation.calls.pool import Retries
from llmdemand.simulation.calls.sync import run_async

__all__ = ["EMBEDDERS", "LocalEmbedder", "ServerEmbedder", "embedder_named"]

Floats = NDArray[np.float64]

EMBEDDERS = ("local", "openai")
_PER_CALL = 256  # texts; OpenAI takes 2048, with 300,000 tokens


class LocalEmbedder:
    """Embeds texts with a model in this process: the mean of its last hidden states.

    The embedded SmolLM2 is a language model, not one that was trained to embed: its similarities
    are all high and tell names better than meanings. A GGUF file of an embedding model does better.

    Parameters
    ----------
    model : str or Path, optional
        A GGUF file; by default the embedded SmolLM2-135M-Instruct.
    context : int
        Longest text, in tokens.
    threads : int, optional
        By default the cores that are idle.

    Raises
    ------
    MissingExtra
        If the engine or the embedded model is not installed.
    UsageError
        If `model` is not a GGUF file.
    BackendError
        When called, if a text is too long or the engine fails.
    """

    def __init__(
        self, model: str | Path | None = None, *, context: int = 2048, threads: int | None = None
    ) -> None:
        # Its checks of engine and file are those of the backend.
        self._of = LocalBackend(model, context=context, threads=threads)

    @property
    def name(self) -> str:
        """Engine, model file and its hash."""
        return f"local {self._of.model}, mean pooling"

    def __call__(self, texts: list[str]) -> Floats:
        """One vector per text, (N, D)."""
        return np.array([self._one(text) for text in texts], np.float64)

    def _one(self, text: str) -> list[float]:
        body = {"input": [text], "encoding_format": "float"}
        try:
            answer = self._server.handle_embeddings(body)
        except ValueError as error:
            answer = {"error": {"message": str(error)}}
        if "error" in answer:
            said = answer["error"]
            told = said.get("message", said) if isinstance(said, Mapping) else said
            raise BackendError(f"the engine cannot embed {text[:60]!r}: {told}")
        return list(answer["data"][0]["embedding"])

    @cached_property
    def _server(self) -> Any:
        import xllamacpp

        def embedding(params: Any) -> None:
            # A text that is pooled is evaluated at once.
            params.n_batch = params.n_ubatch = params.n_ctx
            params.embedding = True
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN

        return self._of.engine(embedding)


class ServerEmbedder:
    """Embeds texts by ``/v1/embeddings`` of OpenAI or a compatible server.

    Parameters
    ----------
    model : str
        Model name, such as ``text-embedding-3-small``.
    patience : float
        Seconds of silence after which the server is gone; calls that failed on their way are
        repeated until then, as those of a simulation are.
    **server
        How it is reached: ``base_url``, ``timeout``, ``key_env`` and the others of
        `llmdemand.OpenAIBackend`.

    Raises
    ------
    UsageError
        If there is no key for OpenAI, or an option is impossible.
    BackendError
        When called, if the server refuses, or does not give one vector per text.
    """

    def __init__(self, model: str, *, patience: float = 300.0, **server: Any) -> None:
        self._server = ChoiceOnlyServer(model, **server)
        self._patience = patience

    @property
    def name(self) -> str:
        """Model and server."""
        return f"openai {self._server.model} at {self._server.place}"

    def __call__(self, texts: list[str]) -> Floats:
        """One vector per text, (N, D)."""

        async def asked() -> list[list[float]]:
            try:
                retries = Retries(self._patience)
                return [v for some in _parts(texts) for v in await self._vectors(some, retries)]
            finally:
                await self._server.close()

        return np.array(run_async(asked), np.float64)

    async def _vectors(self, texts: list[str], retries: Retries) -> list[list[float]]:
        body = {"model": self._server.model, "input": texts, "encoding_format": "float"}
        attempt, failing_since = 0, 0.0
        while True:
            begun = time.monotonic()
            try:
                raw = await self._server.post("/embeddings", dict(body), wanted=0)
                retries.answered()
                return _read(raw, len(texts), self._server.place)
            except TransportError as error:
                failing_since = failing_since or begun
                await asyncio.sleep(retries.wait(error, attempt, failing_since))
                attempt += 1


def embedder_named(name: str, model: str | None = None, **server: Any) -> Any:
    """An embedder that comes with the package: ``local`` or ``openai``.

    Raises
    ------
    UsageError
        For another name, an option that it does not have, or a server without a model.
    """
    given = {k: v for k, v in server.items() if v is not None}
    if name not in EMBEDDERS:
        raise UsageError(f"no embedder {name!r}{nearest(name, EMBEDDERS)}: use local or openai")
    if name == "local":
        if given:
            option = next(iter(given)).replace("_", "-")
            raise UsageError(f"--{option} is for the embedder openai, not for local")
        return LocalEmbedder(model)
    if model is None and "base_url" in given:
        raise UsageError(
            f"no --model for {given['base_url']}: give the name of its embedding model"
        )
    return ServerEmbedder(model or "text-embedding-3-small", **given)


def _parts(texts: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), _PER_CALL):
        yield texts[start : start + _PER_CALL]


def _read(raw: Mapping[str, Any], many: int, place: str) -> list[list[float]]:
    """The vectors of an answer in the order of the texts."""
    try:
        data = raw["data"]
        if sorted(int(entry["index"]) for entry in data) != list(range(many)):
            raise ValueError(f"{len(data)} vectors")
        ordered = sorted(data, key=lambda entry: int(entry["index"]))
        vectors = [[float(x) for x in entry["embedding"]] for entry in ordered]
    except (KeyError, TypeError, ValueError) as error:
        raise BackendError(
            f"{place} did not give one vector for each of {many} texts ({str(error)[:80]}): does "
            "it serve an embedding model at /v1/embeddings?"
        ) from None
    if len({len(v) for v in vectors}) != 1 or not vectors[0]:
        raise BackendError(f"{place} gave vectors of different lengths: use another model")
    return vectors
