"""Studies as batch files: half the price at OpenAI, or `vllm run-batch` on a cluster."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmdemand.core.line import OneLine
from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.core.written import json_of, opened
from llmdemand.errors import ResponseError, TransportError, UsageError
from llmdemand.simulation.backend import Request
from llmdemand.simulation.backends.choice_only import ChoiceOnlyBackend
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.recorded import replay
from llmdemand.simulation.backends.wire.troubles import Trouble
from llmdemand.simulation.requests import checked_runs, requests
from llmdemand.simulation.storing.earlier import Earlier
from llmdemand.simulation.storing.records import Source, Stored, key
from llmdemand.simulation.storing.store import Store

__all__ = ["BatchRead", "BatchWritten", "read_batch", "write_batch"]

_MANIFEST, _STORE = "batch.json", "responses.sqlite"
# Fields of a study in which it may grow.
_LEVELS = "title description personas variants arms disclosure orders points runs".split()
# OpenAI takes 50,000 requests and 200 MB a file.
_MOST_REQUESTS, _MOST_BYTES = 50_000, 190_000_000


@dataclass(frozen=True, slots=True)
class BatchWritten:
    """Files to be run.

    Attributes
    ----------
    files : tuple of Path
        JSONL shards, one request per line.
    requests : int
        Requests in them.
    stored : int
        Requests left out, as their answers are in the folder's store.
    """

    files: tuple[Path, ...]
    requests: int
    stored: int


@dataclass(frozen=True, slots=True, repr=False)
class BatchRead(OneLine):
    """What output files held.

    Attributes
    ----------
    panel : Panel
        All runs that have been answered so far, this time or before.
    answered, known : int
        Answers that were new, and that the store held already.
    failed : Counter of str
        Requests that failed, by the server's reason.
    foreign : int
        Lines whose ``custom_id`` is no request of this study.
    unreadable : int
        Lines that are cut or no JSON.
    missing : tuple of str
        Ids of the runs without an answer: `write_batch` writes them again.
    """

    panel: Panel
    answered: int
    known: int
    failed: Counter[str]
    foreign: int
    unreadable: int
    missing: tuple[str, ...]

    @property
    def _line(self) -> str:
        failed = sum(self.failed.values())
        missing = len(self.missing)
        return (
            f"{self.answered} new answers, {self.known} known, {failed} failed, {missing} missing"
        )


def write_batch(
    study: Study,
    folder: str | Path,
    *,
    model: str = "gpt-4o",
    runs: int | None = None,
    seed: int = 1,
    shard: int = _MOST_REQUESTS,
    **options: Any,
) -> BatchWritten:
    """Write the requests of a study, but those whose answers the folder's store holds.

    Parameters
    ----------
    study : Study
        What is asked.
    folder : path
        Holds the shards, a manifest and the store of answers.
    model : str
        Model name.
    runs, seed
        As for `llmdemand.simulate`.
    shard : int
        Most requests per file.
    **options
        Of `OpenAIBackend`: ``base_url`` (so that answers are told from those of
        OpenAI), ``api``, ``reasoning_effort``, ``extra_body``, ``top_logprobs``.

    Returns
    -------
    BatchWritten

    Raises
    ------
    UsageError
        If the folder holds a batch of something else, or an option is impossible.
    """
    if shard < 1:
        raise UsageError(f"shard={shard}: give a number of requests from 1")
    if study.sampling.thinking is not None:
        raise UsageError("a batch asks each run once: studies with thinking are asked live")
    if study.sampling.branch:
        raise UsageError("a batch asks each run once: studies that branch are asked live")
    folder, per_cell = Path(folder), checked_runs(study, runs, seed)
    given = {k: v for k, v in options.items() if v is not None}
    backend = _backend(study, model, given)
    manifest = {
        "study": study.to_dict(),
        "runs": per_cell,
        "seed": seed,
        "model": model,
        "options": given,
    }
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file: give a folder for the batch")
    folder.mkdir(parents=True, exist_ok=True)
    _keep_manifest(folder / _MANIFEST, manifest)
    written, source = _Shards(folder, shard), Source.of(backend)
    stored = 0
    with Store(folder / _STORE) as store:
        store.put_study(study)
        earlier = Earlier(study, seed, store, source)
        for asked in requests(study, per_cell, seed):
            request, name = earlier.chosen(asked)
            if store.has(name, request.sampling.top_logprobs):
                stored += 1
                continue
            path, body = backend.body(request)
            entry = {"custom_id": name, "method": "POST", "url": f"/v1{path}", "body": body}
            written.add(json.dumps(entry, separators=(",", ":")) + "\n")
    written.close()
    return BatchWritten(tuple(written.files), written.requests, stored)


def read_batch(folder: str | Path, files: Iterable[str | Path]) -> BatchRead:
    """Bring the answers in output and error files into the folder's store.

    Files may be partial, in any order, and read again: an answer that is there is
    kept, and nothing is lost to a line that cannot be read.

    Parameters
    ----------
    folder : path
        Where `write_batch` wrote.
    files : iterable of path
        Output and error files of OpenAI or of ``vllm run-batch``.

    Returns
    -------
    BatchRead

    Raises
    ------
    UsageError
        If the folder holds no batch.
    ResponseError
        If a file is missing, or not one line of it is known.
    """
    folder = Path(folder)
    manifest = _manifest(folder / _MANIFEST)
    study = Study.from_dict(manifest["study"], where=str(folder / _MANIFEST))
    backend = _backend(study, manifest["model"], manifest["options"])
    source, runs, seed = Source.of(backend), manifest["runs"], manifest["seed"]
    failed: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    with Store(folder / _STORE) as store:
        asked = _asked(study, runs, seed, store, source)
        for file in map(Path, files):
            if not file.is_file():
                raise ResponseError(f"no file at {file}: give the batch's output or error file")
            lines = known = 0
            for entry in _entries(file):
                lines += 1
                if entry is None:
                    counts["unreadable"] += 1
                    continue
                found = asked.get(str(entry.get("custom_id")))
                if found is None:
                    counts["foreign"] += 1
                    continue
                request, content, hash_ = found
                known += 1
                raw, reason = _answer(entry, backend)
                if raw is None:
                    failed[reason] += 1
                    continue
                usage = backend.parse(raw).usage
                read, wrote = (
                    float(usage.get(k) or 0.0) for k in ("prompt_tokens", "completion_tokens")
                )
                usd = backend.prices.usd(read, wrote) / 2 if backend.prices else float("nan")
                stored = Stored(
                    str(entry["custom_id"]),
                    request.sampling.top_logprobs,
                    request.run_id,
                    hash_,
                    raw,
                    content,
                    ">".join(request.order),
                    read,
                    wrote,
                    usd,
                )
                counts["answered" if store.put(source, stored) else "known"] += 1
            if lines and not known:
                raise ResponseError(
                    f"{file} holds {lines} lines and none of them answers the batch in {folder}: "
                    "give the output or error file of its shards"
                )
        panel, missing = replay(study, backend, store, runs=runs, seed=seed)
    return BatchRead(
        panel,
        counts["answered"],
        counts["known"],
        failed,
        counts["foreign"],
        counts["unreadable"],
        tuple(missing),
    )


def _asked(
    study: Study, runs: int, seed: int, store: Store, source: Source
) -> dict[str, tuple[Request, str, str]]:
    """Requests by their keys, with the content of their cells and the hash of their study.

    Those of all that the study was are among them, since their answers may still be under
    way; the content is empty of a request that an earlier version wrote.
    """
    found: dict[str, tuple[Request, str, str]] = {}
    for was in (*(s for s in store.all_studies() if s.hash != study.hash), study):
        earlier = Earlier(was, seed, store, source, always=True)
        for request in requests(was, runs, seed):
            found |= {key(r, source): (r, "", was.hash) for r in earlier.requests(request)}
            content = was.shown(request.cell, request.order)
            found[key(request, source)] = request, content, was.hash
    return found


class _Shards:
    """Numbered files that begin anew when one is full."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self.files: list[Path] = []
        self.requests = 0
        self._open: Any = None
        self._lines = self._bytes = 0
        # Shards of an earlier writing may be under way somewhere: they are not overwritten.
        used = [int(p.stem.rpartition("-")[2]) for p in folder.glob("requests-*.jsonl")]
        self._number = max(used, default=0)

    def add(self, line: str) -> None:
        size = len(line.encode())
        if self._open is None or self._lines == self._most or self._bytes + size > _MOST_BYTES:
            self.close()
            self._number += 1
            self.files.append(self._folder / f"requests-{self._number:03d}.jsonl")
            self._open = opened(self.files[-1])
        self._open.write(line)
        self._lines, self._bytes = self._lines + 1, self._bytes + size
        self.requests += 1

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open, self._lines, self._bytes = None, 0, 0


def _backend(study: Study, model: str, options: Mapping[str, Any]) -> OpenAIBackend:
    given = {"model": model, "needs_key": False, **options}
    if study.measure == "logprob":
        return OpenAIBackend(**given)
    return ChoiceOnlyBackend.server(**given)


def _keep_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write what is asked; a folder's batch may grow by runs and by levels of its factors."""
    written = json.loads(json.dumps(manifest))
    if path.exists():
        before = _manifest(path)
        if _but_for_levels(before) != _but_for_levels(written):
            raise UsageError(
                f"{path.parent} holds the batch of another study, model, seed or server: give "
                "another folder with --out"
            )
        written["runs"] = max(before["runs"], written["runs"])
    with opened(path) as file:
        file.write(json.dumps(written, indent=1))


def _but_for_levels(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a batch has to keep: answers to other levels are told by their ids."""
    study = {k: v for k, v in manifest["study"].items() if k not in _LEVELS}
    alternatives = [
        {k: v for k, v in alternative.items() if k != "price"}
        for alternative in study.get("alternatives", ())
    ]
    return {**manifest, "runs": 0, "study": {**study, "alternatives": alternatives}}


def _manifest(path: Path) -> dict[str, Any]:
    try:
        found = json_of(path.read_text("utf-8"))
        if not {"study", "runs", "seed", "model", "options"} <= set(found):
            raise ValueError("fields are missing")
    except FileNotFoundError:
        raise UsageError(
            f"no batch in {path.parent}: `llmdemand batch write STUDY --out {path.parent}` first"
        ) from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no manifest of a batch ({error}): write it again") from None
    return dict(found)


def _entries(path: Path) -> Iterator[dict[str, Any] | None]:
    """Lines as objects; None for one that cannot be read."""
    with path.open("rb") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                entry = json_of(line)
            except ValueError:
                yield None
                continue
            yield entry if isinstance(entry, dict) else None


def _answer(entry: Mapping[str, Any], backend: OpenAIBackend) -> tuple[dict[str, Any] | None, str]:
    """The response object in an output line, or None and the reason why there is none."""
    response = entry.get("response")
    response = response if isinstance(response, dict) else {}
    # Some servers put the answer where others put its envelope.
    body = response if {"choices", "output"} & set(response) else response.get("body")
    error = entry.get("error") or (body.get("error") if isinstance(body, dict) else None)
    status = response.get("status_code", 200)
    if error or status != 200 or not isinstance(body, dict):
        detail = error if isinstance(error, dict) else {"message": str(error or f"status {status}")}
        said = Trouble.of(detail, status if isinstance(status, int) else 200)
        if said.filtered:
            return backend.filtered(backend.cleaned(said.words)), ""
        reason = str(detail.get("code") or detail.get("message") or f"status {status}")
        return None, backend.cleaned(reason).splitlines()[0][:100]
    body = backend.redacted(body)
    try:
        backend.parse(body)
    except (ResponseError, TransportError) as problem:
        return None, str(problem)[:100]
    return body, ""
