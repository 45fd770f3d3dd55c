"""The runner: a study and a backend in, a panel out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from llmdemand.belief.rows import Answer, extract_panel
from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import UsageError, nearest
from llmdemand.simulation.backend import Backend, Request, run_seed
from llmdemand.simulation.store import Store, key

__all__ = ["BACKENDS", "backend_named", "checked_runs", "requests", "simulate"]

BACKENDS = ("local", "openai", "synthetic")


def backend_named(
    name: str, study: Study, *, model: str | None = None, base_url: str | None = None
) -> Backend:
    """One of the backends that come with the package.

    Parameters
    ----------
    name : str
        ``local``, ``openai`` or ``synthetic``.
    study : Study
        The study that will be asked.
    model : str, optional
        A GGUF file for ``local``, a model name for ``openai``.
    base_url : str, optional
        A compatible server, for ``openai``.

    Raises
    ------
    UsageError
        For an unknown name or an option that the backend does not have.
    """
    if name not in BACKENDS:
        raise UsageError(f"no backend {name!r}{nearest(name, BACKENDS)}: use {', '.join(BACKENDS)}")
    if base_url and name != "openai":
        raise UsageError(f"--base-url is for the openai backend, not for {name}")
    if name == "local":
        from llmdemand.simulation.local import LocalBackend

        return LocalBackend(model)
    if name == "openai":
        from llmdemand.simulation.openai import OpenAIBackend

        return OpenAIBackend(model or "gpt-4o", base_url=base_url)
    if model:
        raise UsageError("--model is for the local and openai backends; synthetic computes")
    from llmdemand.simulation.synthetic import SyntheticBackend

    return SyntheticBackend(study)


def checked_runs(study: Study, runs: int | None, seed: int) -> int:
    """The runs per cell asked for, or the study's own number.

    Raises
    ------
    UsageError
        For fewer than one run or a negative seed.
    """
    if seed < 0:
        raise UsageError(f"seed={seed}: give a number that is not negative")
    found = study.runs if runs is None else runs
    if found < 1:
        raise UsageError(f"runs={found}: ask for at least one run per cell")
    return found


def requests(study: Study, runs: int, seed: int) -> Iterator[Request]:
    """Every run of a study, cell by cell, so that prompts that begin alike follow each other.

    Parameters
    ----------
    study : Study
        The design.
    runs : int
        Runs per cell.
    seed : int
        Seed of the whole panel; each run's own seed is derived from it.

    Yields
    ------
    Request
    """
    for cell in study.cells():
        for replicate in range(runs):
            order = study.order(cell, replicate)
            system, user = study.prompt(cell, order)
            yield Request(
                f"{cell.index}-{replicate}",
                system,
                user,
                study.mode,
                study.sampling,
                run_seed(seed, cell.index, replicate),
                cell,
                order,
                replicate,
            )


def simulate(
    study: Study,
    backend: Backend | Literal["local", "openai", "synthetic"] = "local",
    *,
    runs: int | None = None,
    seed: int = 1,
    store: str | Path | None = None,
    progress: bool = False,
) -> Panel:
    """Ask a language model a study and return the panel of its choices and beliefs.

    Parameters
    ----------
    study : Study
        What is asked.
    backend : Backend or str
        Who answers.
    runs : int, optional
        Runs per cell; the study's own number by default.
    seed : int
        Makes the panel reproducible; a run's seed depends on nothing but this,
        its cell and its replicate index.
    store : path, optional
        A JSONL file that keeps every raw response as it arrives. What it holds
        already is not asked again.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Panel
        One row per run, in the design's order.

    Raises
    ------
    UsageError
        If `runs` is below 1.
    BackendError
        If the model stops answering; what it answered before is in `store`.

    Examples
    --------
    >>> from llmdemand.core.study import load_study
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=2, seed=1)
    >>> len(panel), int(panel.statuses["ok"])
    (32, 32)
    """
    runs = checked_runs(study, runs, seed)
    answerer = backend_named(backend, study) if isinstance(backend, str) else backend
    from llmdemand import __version__

    total = len(study.cells()) * runs
    provenance = {
        "seed": seed,
        "runs": runs,
        "backend": answerer.name,
        "model": answerer.model,
        "settings": dict(answerer.settings),
        "study_hash": study.hash,
        "llmdemand": __version__,
    }

    def answers() -> Iterator[Answer]:
        for request, raw in _raw_answers(study, answerer, runs, seed, store):
            yield Answer(
                request.cell,
                request.replicate,
                request.order,
                answerer.parse(raw),
                answerer.name,
                answerer.model,
            )
            advance()

    with _bar(f"{answerer.name}: {study.name}", total, progress) as advance:
        return extract_panel(study, answers(), provenance, raw_logprobs=answerer.raw_logprobs)


def _raw_answers(
    study: Study, backend: Backend, runs: int, seed: int, path: str | Path | None
) -> Iterator[tuple[Request, Any]]:
    """Requests with their raw answers: stored ones first-hand, others asked and stored."""
    if path is None:
        asked = list(requests(study, runs, seed))
        yield from zip(asked, backend.complete(iter(asked)), strict=True)
        return
    with Store(Path(path)) as store:
        for request in requests(study, runs, seed):
            name = key(request, backend)
            raw = store.get(name)
            if raw is None:
                (raw,) = backend.complete([request])
                store.put(name, request.run_id, dict(raw))
            yield request, raw


@contextmanager
def _bar(title: str, total: int, show: bool) -> Iterator[Any]:
    """A progress bar with rate and time left, on standard error."""
    if not show:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    ]
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
