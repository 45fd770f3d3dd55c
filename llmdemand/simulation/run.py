"""The runner: a study and a backend in, a panel out."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.simulation.backend import Backend
from llmdemand.simulation.backends.named import backend_named
from llmdemand.simulation.backends.recorded import RecordedBackend
from llmdemand.simulation.backends.rendered import by_id
from llmdemand.simulation.backends.thinking import ThinkingBackend
from llmdemand.simulation.calls.options import Options
from llmdemand.simulation.calls.progress import progress_bar
from llmdemand.simulation.calls.shard import Shard
from llmdemand.simulation.calls.sync import run_async
from llmdemand.simulation.cost import Budget, Estimate, Prices
from llmdemand.simulation.requests import checked_runs
from llmdemand.simulation.runner import Runner
from llmdemand.simulation.storing.store import Store
from llmdemand.simulation.workers import by_workers, opened_store

__all__ = ["estimate", "simulate"]


def simulate(
    study: Study,
    backend: Backend | str = "local",
    *,
    runs: int | None = None,
    seed: int = 1,
    store: str | Path | None = None,
    budget: Budget | float | None = None,
    concurrency: int | Literal["auto"] = "auto",
    whole: float | None = None,
    **options: Any,
) -> Panel:
    """Ask a language model a study and return the panel of its choices and beliefs.

    Answers are stored as they arrive, one transaction each; what a store holds is
    not asked again. Only calls that failed on their way are repeated, never an
    answer. The function may be called inside a running event loop (Jupyter).

    Parameters
    ----------
    study : Study
        What is asked.
    backend : Backend or str
        Who answers: an object, or ``local``, ``openai``, ``synthetic``.
    runs : int, optional
        Runs per cell; the study's own number by default.
    seed : int
        Makes the panel reproducible; a run's seed depends on nothing but this, what its cell
        asks (`Questionnaire.content`) and its replicate index: levels and runs can be added,
        moved and taken out, and what is kept is not asked again.
    store : path, optional
        The file that keeps every raw response (`llmdemand.simulation.storing.store`). By
        default ``llmdemand.responses.sqlite`` in the current folder where answers
        cost money or hours, and a temporary one otherwise; ``":memory:"`` keeps
        nothing.
    budget : Budget or float, optional
        The most that this call may use; a number is US dollars. No call is made
        that could exceed it.
    concurrency : int or "auto"
        Calls in flight; by default as many as the server takes.
    whole : float, optional
        Of a backend that is named and stops answers (``local``): the probability with which an
        answer is written to its end; 1 by default. See `llmdemand.LocalBackend`.
    **options
        Further fields of `Options`: ``prices``, ``rpm``, ``tpm``, ``patience``,
        ``probe``, ``progress``, ``keep_logprobs``; and ``shard=(7, 64)``, the seventh of 64 shares
        of the runs (`llmdemand.simulation.calls.shard.Shard`), which `llmdemand.merge_panels`
        joins again;
        and ``workers=2``, processes that share the work where answers are computed or read from
        a store (``synthetic``, ``recorded``), with equal results.

    Returns
    -------
    Panel
        One row per run, in the design's order.

    Raises
    ------
    UsageError
        If `runs` is below 1, or an option is impossible for the backend.
    BackendError
        If the model stops answering, or returns no log-probabilities.
    BudgetReached
        If the budget ends first.
    StoreError
        If the store cannot be written; answers under way are saved beside it.

    In all cases what was answered before is in the store: the same call goes on.

    Examples
    --------
    >>> from llmdemand.core.study import load_study
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=2, seed=1)
    >>> len(panel), int(panel.statuses["ok"])
    (32, 32)
    """
    if isinstance(budget, int | float):
        budget = Budget(usd=float(budget))
    try:
        chosen = Options(store=store, budget=budget, concurrency=concurrency, **options)
    except TypeError as error:
        raise UsageError(f"simulate: {str(error).split('__()')[-1].strip()}") from None
    per_cell = checked_runs(study, runs, seed)
    if whole is not None and not isinstance(backend, str):
        raise UsageError(
            f"whole={whole:g} is an option of the backend, which is made already: give it there, "
            f"as LocalBackend(whole={whole:g})"
        )
    answerer = _prepared(
        study, backend_named(backend, study, whole=whole) if isinstance(backend, str) else backend
    )
    with ExitStack() as stack:
        opened = opened_store(chosen.store, answerer, stack)
        run = Runner(study, answerer, per_cell, seed, opened, chosen)
        with progress_bar(
            f"{answerer.name}: {study.name}", run.total, chosen.progress
        ) as run.progress:
            return by_workers(run) if chosen.workers > 1 else run_async(run.panel)


def estimate(
    study: Study,
    backend: Backend,
    *,
    runs: int | None = None,
    seed: int = 1,
    store: str | Path | None = None,
    prices: Prices | None = None,
    shard: Shard | tuple[int, int] | None = None,
) -> Estimate:
    """What `simulate` would ask for and what that would cost; asks nothing.

    Parameters
    ----------
    study, backend, runs, seed, store, prices, shard
        As for `simulate`.

    Returns
    -------
    Estimate
        Prompts are counted in bytes, of which tokens have 2.5 to 5; answers have
        between one token and the study's most. Where the store holds answers of
        the same model, their mean length is the upper end.
    """
    per_cell = checked_runs(study, runs, seed)
    with ExitStack() as stack:
        there = store is not None and Path(store).is_file()
        opened = stack.enter_context(Store(store if there and store is not None else ":memory:"))
        options = Options(prices=prices, shard=shard)
        asked = Runner(study, _prepared(study, backend), per_cell, seed, opened, options)
        return asked.estimate()


def _prepared(study: Study, backend: Backend) -> Backend:
    """The backend, made to continue beginnings and asked for thoughts where the study wants."""
    thinking = study.sampling.thinking
    # What is replayed was recorded with its thoughts and branches.
    if isinstance(backend, ThinkingBackend | RecordedBackend):
        return backend
    if study.sampling.branch or thinking is not None:
        backend = by_id(backend)
    if study.sampling.branch and not getattr(backend, "continues", False):
        raise UsageError(
            f"{backend.name} does not continue a beginning by its token ids, which "
            "sampling.branch needs: use the local backend, vLLM or a llama.cpp server, or set it "
            "to false"
        )
    return backend if thinking is None else ThinkingBackend(backend, thinking)
