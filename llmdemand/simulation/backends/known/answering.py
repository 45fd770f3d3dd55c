"""Answers of a consumer whose demand is known: what is believed, chosen and said in one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmdemand.belief.tokens import Response, Token
from llmdemand.core.study import Study
from llmdemand.simulation.backend import Request
from llmdemand.simulation.backends.known.beliefs import Beliefs
from llmdemand.simulation.backends.known.consumer import Consumer, uniform
from llmdemand.simulation.backends.known.numbers import NumberConsumer
from llmdemand.simulation.backends.known.stating import Stating
from llmdemand.simulation.backends.known.tokens import Pivot, drawn, frame, word_count
from llmdemand.simulation.backends.known.wording import Wording

__all__ = ["Answering"]


@dataclass(frozen=True)
class Answering:
    """From a request to its answer; see `SyntheticBackend` for what the attributes say.

    Attributes
    ----------
    study : Study
        What is asked.
    consumer : Consumer or NumberConsumer
        Who answers.
    beliefs, pivot, stating, wording
        Laws of belief, of the tokens at the pivot, of percentages, and the words.
    rates : (float, float, float)
        Of refusals, answers without a name, and answers that end otherwise.
    subwords : bool
        Whether labels are several tokens.
    model : str
        What answers say of who gave them.
    """

    study: Study
    consumer: Consumer | NumberConsumer
    beliefs: Beliefs
    pivot: Pivot
    stating: Stating
    wording: Wording
    rates: tuple[float, float, float]
    subwords: bool
    model: str
    # Laws by prices, attributes, first option and persona: a grid has few of each.
    # Where respondents have prices of their own, they are as many as the prompts.
    _laws: dict[tuple[Any, ...], tuple[float, Mapping[str, float]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def _first(self) -> str:
        """The alternative of which the law tells the share; the others divide the rest."""
        return self.study.focal if self.study.question is None else self.study.menu.ids[0]

    def answer(self, request: Request) -> Response:
        """The response to one request: a pure function of the request and the options."""
        refusal, no_pivot, mismatch = self.rates
        kind = uniform("kind", request.seed) if any(self.rates) else 1.0
        top, wording = request.sampling.top_logprobs, self.wording
        if kind < refusal + no_pivot:
            tokens = frame(wording.refusal if kind < refusal else wording.no_pivot, top)
        elif self.study.measure == "stated":
            tokens = frame(self._stated(request), top)
        else:
            tokens = self._choosing(request, kind < refusal + no_pivot + mismatch)
        usage = {
            "prompt_tokens": word_count(request.system + request.user),
            "completion_tokens": len(tokens),
        }
        text = b"".join([token.data for token in tokens]).decode()
        return Response(tokens, text, "stop", None, self.model, usage)

    def _stated(self, request: Request) -> tuple[str, ...]:
        """The lines of percentages: of the belief by which the same run would have chosen."""
        import numpy as np

        p, split = self._law(request)
        rng, menu = np.random.default_rng(request.seed), self.study.menu
        beliefs = self.beliefs.drawn(p, split, self.study.focal, rng, request.seed)
        return (self.stating.text(beliefs, {a: menu[a].label for a in request.order}),)

    def _choosing(self, request: Request, mismatch: bool) -> tuple[Token, ...]:
        """Preamble, pivot, and what follows."""
        import numpy as np

        rng = np.random.default_rng(request.seed)
        p, split = self._law(request)
        shares = self.beliefs.drawn(p, split, self._first, rng, request.seed)
        wording, sampling, top = self.wording, request.sampling, request.sampling.top_logprobs
        preamble = wording.preambles[rng.integers(len(wording.preambles))]
        tokens, preceded = list(frame(preamble, top)), bool(preamble)
        # The unlisted probability is never sampled: the answer decides or hesitates.
        while rng.random() < self.pivot.hesitation / (1 - self.pivot.unlisted):
            filler, labels = wording.filler[preceded], wording.labels[preceded]
            tokens.append(self.pivot.token(filler, shares, labels, (), filler, sampling))
            preceded = True
        chosen = drawn(shares, rng.random())
        ending = wording.ending(chosen, mismatch, request.seed)
        filler, labels = wording.filler[preceded], wording.labels[preceded]
        spoken = labels[chosen]
        if self.subwords:
            # Where a longer label may go on, that the answer ends here is the decision.
            longer = any(p[: len(spoken)] == spoken for a, p in labels.items() if a != chosen)
            labels = {a: (*pieces, ending[0]) for a, pieces in labels.items()}
            if longer:
                spoken, ending = labels[chosen], ending[1:]
        for depth, piece in enumerate(spoken):
            tokens.append(self.pivot.token(piece, shares, labels, spoken[:depth], filler, sampling))
        return (*tokens, *frame(ending, top))

    def _law(self, request: Request) -> tuple[float, Mapping[str, float]]:
        cell, order = request.cell, request.order
        persona = cell.persona.get("id")
        levels = cell.attributes
        shown = tuple(tuple(own.values()) for own in levels.values())
        key = tuple(cell.prices.values()), shown, order[0] if order else "", persona
        found = self._laws.get(key)
        if found is None:
            found = self._laws[key] = self.consumer.law(
                cell.prices, order=order, persona=persona, attributes=levels
            )
        return found
