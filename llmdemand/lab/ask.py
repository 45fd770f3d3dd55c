"""Who answers the lab's questions, and what it will cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmdemand.belief.readers import compact, to_compact
from llmdemand.belief.rows import Answer, PanelBuilder, extract_panel
from llmdemand.core.panel import Panel
from llmdemand.core.study import Study, load_study
from llmdemand.errors import StoreError, UsageError
from llmdemand.simulation.backend import Backend
from llmdemand.simulation.backends.named import backend_named
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.cost import Budget, Estimate, Prices
from llmdemand.simulation.requests import Asked, answer_to, provenance_of
from llmdemand.simulation.run import estimate, simulate
from llmdemand.simulation.storing.records import Source, key
from llmdemand.simulation.storing.store import Store

__all__ = ["Answerer", "Ask", "Progress", "Respondent", "blocks", "study_of"]

#: A backend's name, a backend, or a function that makes one for a study.
Answerer = str | Backend | Callable[[Study], Backend]
#: Called with the share of the work that is done.
Progress = Callable[[float], None]

_STORE = "llmdemand.responses.sqlite"


@dataclass(frozen=True)
class Ask:
    """One panel that an experiment wants.

    Attributes
    ----------
    name : str
        Under which the experiment finds it.
    study : Study
        What is asked.
    runs : int
        Runs per cell.
    consumer : mapping
        Options of the known-truth consumer, for example an order effect. Real models are what
        they are: nothing of it reaches them.
    recorded : bool
        Whether the log-probabilities are to be read in both ways, as recorded before and after
        the sampling temperature.
    shift : int
        Added to the seed: asks with equal shifts share their randomness, run for run.
    """

    name: str
    study: Study
    runs: int
    consumer: Mapping[str, Any] = field(default_factory=dict)
    recorded: bool = False
    shift: int = 0


@dataclass(frozen=True)
class Respondent:
    """Answers the questions of an experiment with one backend.

    Attributes
    ----------
    backend : str, Backend or function of a study
        ``"synthetic"`` is the known-truth consumer, for which options of asks take effect; a
        function makes a backend for each study.
    consumer : mapping
        Options of the known-truth consumer for all asks; those of an ask go first.
    store : path or None
        Where responses are kept; see `llmdemand.simulation.run.simulate`.
    budget : Budget or None
        The most that each panel may use.
    progress : callable or None
        Called with the share of the runs that are answered.

    Examples
    --------
    >>> from llmdemand.core.study import load_study
    >>> ask = Ask("all", load_study("pampers"), runs=2)
    >>> len(Respondent().panels([ask], seed=1)["all"])
    32
    """

    backend: Answerer = "synthetic"
    consumer: Mapping[str, Any] = field(default_factory=dict)
    store: str | Path | None = None
    budget: Budget | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.consumer and not self.known:
            raise UsageError(
                f"options {', '.join(self.consumer)} are for the known-truth consumer, and "
                "another backend answers: leave them out, or use backend='synthetic'"
            )

    @property
    def known(self) -> bool:
        """Whether the truth behind the answers is known."""
        return isinstance(self.backend, str) and self.backend == "synthetic"

    def answerer(self, ask: Ask) -> Backend:
        """The backend for one ask."""
        if isinstance(self.backend, str):
            if self.known:
                return SyntheticBackend(ask.study, **{**self.consumer, **ask.consumer})
            return backend_named(self.backend, ask.study)
        return self.backend if isinstance(self.backend, Backend) else self.backend(ask.study)

    def truth(self, ask: Ask) -> SyntheticBackend | None:
        """The known-truth consumer of an ask; None where a model answers."""
        found = self.answerer(ask) if self.known else None
        return found if isinstance(found, SyntheticBackend) else None

    def estimate(self, asks: Sequence[Ask], seed: int, prices: Prices | None = None) -> Estimate:
        """What all panels together will take, before anything is asked."""
        parts = [
            estimate(
                ask.study,
                self.answerer(ask),
                runs=ask.runs,
                seed=seed + ask.shift,
                store=self.store,
                prices=prices,
            )
            for ask in asks
        ]
        usd = [part.usd for part in parts if part.usd is not None]
        return Estimate(
            sum(part.asked for part in parts),
            sum(part.stored for part in parts),
            _sum([part.prompt_tokens for part in parts]),
            _sum([part.completion_tokens for part in parts]),
            _sum(usd) if len(usd) == len(parts) else None,
        )

    def panels(self, asks: Sequence[Ask], seed: int) -> dict[str, Panel]:
        """Every panel by its name; one read as recorded is named ``<name> as recorded``.

        Raises
        ------
        UsageError
            For fewer than one run or a negative seed.
        """
        total = sum(len(ask.study.cells()) * ask.runs for ask in asks)
        done, found = 0, dict[str, Panel]()
        for ask in asks:
            if ask.runs < 1 or seed < 0:
                raise UsageError(
                    f"runs={ask.runs}, seed={seed}: give at least one run, and a seed from 0"
                )
            backend = self.answerer(ask)
            if isinstance(backend, SyntheticBackend) and self.store is None:
                found |= self._quickly(ask, backend, seed + ask.shift, done, total)
            else:
                found |= self._asked(ask, backend, seed + ask.shift)
            done += len(ask.study.cells()) * ask.runs
            if self.progress is not None:
                self.progress(done / max(total, 1))
        return found

    def _quickly(
        self, ask: Ask, backend: SyntheticBackend, seed: int, done: int, total: int
    ) -> dict[str, Panel]:
        """The same panel as `simulate` gives, without keeping the answers."""
        raw = {ask.name: backend.raw_logprobs}
        if ask.recorded:
            raw = {ask.name: True, f"{ask.name} as recorded": False}
        builders = {name: PanelBuilder(ask.study, raw_logprobs=r) for name, r in raw.items()}
        asked = Asked(ask.study, ask.runs, seed)
        for position in range(len(asked)):
            request = asked[position]
            # Through the stored form, which rounds log-probabilities.
            response = compact(to_compact(backend.answer(request)))
            answer = answer_to(request, response, backend)
            for builder in builders.values():
                builder.add(answer)
            if self.progress is not None and position % 500 == 0:
                self.progress((done + position) / total)
        provenance = provenance_of(ask.study, backend, ask.runs, seed)
        return {name: builder.panel(provenance) for name, builder in builders.items()}

    def _asked(self, ask: Ask, backend: Backend, seed: int) -> dict[str, Panel]:
        store = self.store
        if store is None and (backend.traits.kept or backend.traits.paid or ask.recorded):
            store = _STORE
        panel = simulate(
            ask.study,
            backend,
            runs=ask.runs,
            seed=seed,
            store=store,
            budget=self.budget,
            progress=self.progress is not None,
        )
        if not ask.recorded or store is None:
            return {ask.name: panel}
        answers = list(_kept(ask, backend, seed, store))
        return {
            name: extract_panel(ask.study, answers, panel.provenance, raw_logprobs=raw)
            for name, raw in ((ask.name, True), (f"{ask.name} as recorded", False))
        }


def _kept(ask: Ask, backend: Backend, seed: int, store: str | Path) -> Iterator[Answer]:
    """The answers of one panel, out of a store that may hold those of other seeds too."""
    asked, source = Asked(ask.study, ask.runs, seed), Source.of(backend)
    with Store(store) as opened:
        for position in range(len(asked)):
            request = asked[position]
            raw = opened.get(key(request, source), request.sampling.top_logprobs)
            if raw is None:
                raise StoreError(
                    f"{store} holds no answer to run {request.run_id} although it was asked: "
                    "this experiment does not work with models that think first"
                )
            yield answer_to(request, backend.parse(raw), backend)


def study_of(study: Study | str) -> Study:
    """A study, or the one of that name."""
    return load_study(study) if isinstance(study, str) else study


def blocks(panel: Panel, size: int) -> Any:
    """Number of the experiment that each row belongs to: `size` consecutive replicates.

    Runs have seeds of their own, so blocks of replicates are independent experiments; no run
    is in two of them.
    """
    return panel.frame["replicate"].to_numpy(int) // size


def _sum(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(low for low, _ in pairs), sum(high for _, high in pairs)
