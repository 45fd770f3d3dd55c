"""Studies as batch files: half the price at OpenAI, or `vllm run-batch` on a cluster."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmdemand.core.line import OneLine
from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import PanelShards
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.scale.session import Session
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.replayed import replay
from llmdemand.simulation.batches.asked import AskedKeys
from llmdemand.simulation.batches.files import MOST_BYTES, MOST_REQUESTS, RequestFiles
from llmdemand.simulation.batches.manifest import backend_of, keep_manifest, read_manifest
from llmdemand.simulation.batches.reading import Answers, write_parts
from llmdemand.simulation.requests import Asked, checked_runs
from llmdemand.simulation.storing.earlier import Earlier
from llmdemand.simulation.storing.records import Source
from llmdemand.simulation.storing.store import Store

__all__ = ["BatchRead", "BatchWritten", "read_batch", "write_batch"]

_MANIFEST, _STORE = "batch.json", "responses.sqlite"
# Runs of a part: some 80 MB while it is made.
_ROWS = 20_000


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
    interfaces : tuple of str
        Where the requests go: ``/v1/chat/completions`` alone is what `vllm run-batch` knows.
    """

    files: tuple[Path, ...]
    requests: int
    stored: int
    interfaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class BatchRead(OneLine):
    """What output files held.

    Attributes
    ----------
    panel : Panel or PanelShards
        All runs that have been answered so far, this time or before; as files where `out`
        was given.
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

    panel: Panel | PanelShards
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
    shard: int = MOST_REQUESTS,
    shards: int | None = None,
    **options: Any,
) -> BatchWritten:
    """Write the requests of a study, but those whose answers the folder's store holds.

    Memory holds one request at a time.

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
    shards : int, optional
        Files in place of a number of requests: each has an equal part of the design, but for
        what is answered already. OpenAI takes 50,000 requests a file, other servers any number.
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
    backend = backend_of(study, model, given)
    asked = Asked(study, per_cell, seed)
    each = shard if shards is None else _each(len(asked), shards, backend)
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
    keep_manifest(folder / _MANIFEST, manifest)
    # Of a number of files, none is divided by its size.
    written = RequestFiles(folder, each, MOST_BYTES if shards is None else None)
    source, stored, interfaces = Source.of(backend), 0, set()
    with Store(folder / _STORE) as store:
        store.put_study(study)
        earlier = Earlier(study, seed, store, source)
        for position in range(len(asked)):
            if shards is not None and position % each == 0:
                written.next()
            request, name = earlier.chosen(asked[position])
            if store.has(name, request.sampling.top_logprobs):
                stored += 1
                continue
            path, body = backend.body(request)
            interfaces.add(f"/v1{path}")
            entry = {"custom_id": name, "method": "POST", "url": f"/v1{path}", "body": body}
            written.add(json.dumps(entry, separators=(",", ":")) + "\n")
    written.next()
    return BatchWritten(tuple(written.files), written.requests, stored, tuple(sorted(interfaces)))


def _each(requests: int, shards: int, backend: OpenAIBackend) -> int:
    """Requests in each of some files.

    Raises
    ------
    UsageError
        If that is none, or more than OpenAI takes.
    """
    if not 1 <= shards <= requests:
        raise UsageError(
            f"shards={shards}: give a number of files from 1 to the {requests:,} requests"
        )
    each = -(-requests // shards)
    if backend.is_openai and each > MOST_REQUESTS:
        raise UsageError(
            f"shards={shards}: each file would hold {each:,} requests, and OpenAI takes "
            f"{MOST_REQUESTS:,}: give at least {-(-requests // MOST_REQUESTS)}"
        )
    return each


def read_batch(
    folder: str | Path,
    files: Iterable[str | Path],
    *,
    out: str | Path | None = None,
    rows: int = _ROWS,
    workers: int | None = None,
) -> BatchRead:
    """Bring the answers in output and error files into the folder's store.

    Files may be partial, in any order, and read again: an answer that is there is
    kept, and nothing is lost to a line that cannot be read.

    Parameters
    ----------
    folder : path
        Where `write_batch` wrote.
    files : iterable of path
        Output and error files of OpenAI or of ``vllm run-batch``.
    out : path, optional
        Write the panel as a folder of parquet files, each a panel of its own. Memory then
        holds one of them, and 16 bytes a request. What each is missing stands in its
        provenance (``shard``).
    rows : int
        Places of the design in each of these files.
    workers : int, optional
        Processes of this machine that read the files and write the parts; store and panel are
        the same, whatever their number. One by default.

    Returns
    -------
    BatchRead

    Raises
    ------
    UsageError
        If the folder holds no batch, or `out` another panel.
    ResponseError
        If a file is missing, or not one line of it is known.
    """
    folder = Path(folder)
    manifest = read_manifest(folder / _MANIFEST)
    study = Study.from_dict(manifest["study"], where=str(folder / _MANIFEST))
    backend = backend_of(study, manifest["model"], manifest["options"])
    runs, seed = manifest["runs"], manifest["seed"]
    path = folder / _STORE
    panel: Panel | PanelShards
    with Session(workers) as session:
        with Store(path) as store:
            asked = AskedKeys(study, runs, seed, store, Source.of(backend))
            reading = Answers(backend, store, asked)
            reading.read(list(map(Path, files)), folder, session)
            del reading.asked, asked
            if out is None:
                panel, missing = replay(study, backend, store, runs=runs, seed=seed)
        if out is not None:
            panel, missing = write_parts(
                study,
                backend,
                path,
                runs=runs,
                seed=seed,
                out=Path(out),
                rows=rows,
                session=session,
            )
    counts = reading.counts
    return BatchRead(
        panel,
        counts["answered"],
        counts["known"],
        reading.failed,
        counts["foreign"],
        counts["unreadable"],
        tuple(missing),
    )
