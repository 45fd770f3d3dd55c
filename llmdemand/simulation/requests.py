"""The runs of a study as requests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from llmdemand.belief.rows import Answer
from llmdemand.belief.tokens import Response
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.simulation.backend import AnswerFormat, Backend, Request, Seeds

__all__ = ["Asked", "answer_to", "checked_runs", "content_seed", "provenance_of", "requests"]

# More runs than anybody asks, and what their bookkeeping takes a gigabyte for.
_MOST_RUNS = 100_000_000


def content_seed(seed: int, content: str, replicate: int) -> int:
    """The seed of one run, from what it is shown (`Questionnaire.shown`) and its replicate.

    >>> content_seed(1, "0a", 0) == content_seed(1, "0a", 0) != content_seed(1, "0a", 1)
    True
    """
    return _seeds(seed, content)(replicate)


@lru_cache(maxsize=4096)
def _seeds(seed: int, content: str) -> Seeds:
    return Seeds(seed, int(content, 16))


def checked_runs(study: Study, runs: int | None, seed: int) -> int:
    """The runs per cell asked for, or the study's own number.

    Raises
    ------
    UsageError
        For fewer than one run, more than a hundred million in all, or a negative seed.
    """
    if seed < 0:
        raise UsageError(f"seed={seed}: give a number that is not negative")
    found = study.runs if runs is None else runs
    if found < 1:
        raise UsageError(f"runs={found}: ask for at least one run per cell")
    if found * len(study.cells()) > _MOST_RUNS:
        raise UsageError(
            f"runs={found} in each of {len(study.cells()):,} cells is more than "
            f"{_MOST_RUNS:,} runs: ask for fewer"
        )
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
        Seed of the whole panel; each run's own seed is derived from it and from what the run
        asks (`content_seed`), wherever its cell stands in the design.

    Yields
    ------
    Request
    """
    asked = Asked(study, runs, seed)
    for position in range(len(asked)):
        yield asked[position]


class Asked:
    """All runs of a study by their position in the design; each is made when it is wanted."""

    def __init__(self, study: Study, runs: int, seed: int) -> None:
        self._study, self._runs, self._seed = study, runs, seed
        self._cells = study.cells()
        # Percentages are no choice: an answer that states them is never cut at a name.
        stated = study.measure == "stated"
        self._format = None if stated else AnswerFormat(study.menu, **study.reading)
        # One cell's prompts: neighbours in the design share them.
        self._prompts: dict[tuple[str, ...], tuple[str, str, str]] = {}
        self._of_cell = -1

    def __len__(self) -> int:
        return len(self._cells) * self._runs

    def __getitem__(self, position: int) -> Request:
        at, replicate = divmod(position, self._runs)
        if at != self._of_cell:
            self._prompts, self._of_cell = {}, at
        cell = self._cells[at]
        order = self._study.order(cell, replicate)
        if order not in self._prompts:
            prompt = self._study.prompt(cell, order)
            self._prompts[order] = *prompt, self._study.shown(cell, order)
        system, user, content = self._prompts[order]
        return Request(
            f"{cell.index}-{replicate}",
            system,
            user,
            self._study.mode,
            self._study.sampling,
            content_seed(self._seed, content, replicate),
            cell,
            order,
            replicate,
            self._format,
        )


def answer_to(request: Request, response: Response, backend: Backend) -> Answer:
    """A response with the design point of its request and who gave it."""
    return Answer(
        request.cell, request.replicate, request.order, response, backend.name, backend.model
    )


def provenance_of(study: Study, backend: Backend, runs: int, seed: int) -> dict[str, Any]:
    """What a panel keeps of how it was asked for, and the truth where the backend knows one."""
    from llmdemand import __version__

    known = getattr(backend, "known_truth", None)
    endpoints = getattr(backend, "endpoints", None)
    return {
        "seed": seed,
        "runs": runs,
        "backend": backend.name,
        "model": backend.model,
        "settings": dict(backend.settings),
        "study_hash": study.hash,
        "llmdemand": __version__,
        **({} if known is None else {"truth": known}),
        **({"endpoints": endpoints} if endpoints else {}),
    }
