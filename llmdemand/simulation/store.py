"""Raw responses on disk, one line each, kept as they arrive."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from llmdemand.errors import ResponseError
from llmdemand.simulation.backend import Backend, Request

__all__ = ["Store", "key"]


def key(request: Request, backend: Backend) -> str:
    """SHA-256 over everything that changes the answer, the replicate index included."""
    sampling = request.sampling
    content = {
        "backend": backend.name,
        "model": backend.model,
        "settings": backend.settings,
        "system": request.system,
        "user": request.user,
        "mode": request.mode,
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "top_logprobs": sampling.top_logprobs,
        "stop": sampling.stop,
        "seed": request.seed,
        "prices": dict(request.cell.prices),
        "replicate": request.replicate,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


class Store:
    """A JSONL file of responses: ``{"key", "run_id", "raw"}`` per line.

    Each line is handed to the operating system before the next request is made,
    so that a killed run loses nothing that was answered; the disk is synchronised
    once a second and on closing. A line that was cut short by a crash can only be
    the last one; it is set aside in ``<name>.cut``.

    Parameters
    ----------
    path : Path
        The file; made with its folder where it does not exist.

    Raises
    ------
    ResponseError
        If a line that is not the last is no stored response; the message names it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._raw: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._load()
        self._file: IO[str] | None = None
        self._synced = time.monotonic()

    def _load(self) -> None:
        good = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    entry = json.loads(line)
                    self._raw[entry["key"]] = entry["raw"]
                except (ValueError, KeyError, TypeError):
                    raise ResponseError(
                        f"{self.path} line {number} is no stored response: mend or remove that "
                        "line, or move the file away to ask anew"
                    ) from None
                good += len(line)
        if good < self.path.stat().st_size:
            data = self.path.read_bytes()
            self.path.with_suffix(".cut").write_bytes(data[good:])
            os.truncate(self.path, good)

    def __len__(self) -> int:
        return len(self._raw)

    def get(self, key: str) -> Mapping[str, Any] | None:
        """The raw response stored under a key, or None."""
        return self._raw.get(key)

    def put(self, key: str, run_id: str, raw: dict[str, Any]) -> None:
        """Store one response; a process killed after this returns has kept it."""
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8")
        entry = {"key": key, "run_id": run_id, "raw": raw}
        self._file.write(json.dumps(entry, separators=(",", ":"), ensure_ascii=False) + "\n")
        self._file.flush()
        self._raw[key] = raw
        if time.monotonic() - self._synced > 1:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Close the file; reading goes on to work."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
