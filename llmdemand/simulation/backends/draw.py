"""Answers drawn token by token from next-token probabilities that many runs share."""

from __future__ import annotations

import hashlib
import math
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from llmdemand.belief.automaton import Place
from llmdemand.belief.pivot.found import STOPPED
from llmdemand.belief.tokens import Response, Token
from llmdemand.simulation.backend import AnswerFormat, Request

__all__ = ["SHARED", "Candidate", "Draw", "Paths", "Stopping", "Told", "tail_weights"]

# More than any vocabulary has; see tail_weights for why too many is safe.
_VOCABULARY = 1_000_000
_MOST_NODES = 20_000
#: Tokens after which runs have little left to share. A fixed number: a run must not depend on
#: how many others begin as it does.
SHARED = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token that may come next: id, bytes (empty: end of text), natural log-probability."""

    id: int
    data: bytes
    logprob: float


#: Candidates after token ids, most probable first: as many as usual (None) or asked for.
Listed = Callable[[tuple[int, ...], int | None], Sequence[Candidate]]
#: A draw from the tokens after some ids, without the listed ones: ids, excluded ids,
#: temperature, seed. None is an end of text.
Beyond = Callable[[tuple[int, ...], Sequence[int], float, int], Candidate | None]
#: Told each token with its id and those of its candidates; says whether it is the last.
Told = Callable[[Token, int, Sequence[int]], bool]
#: The rest of an answer by the engine's own sampling: ids, most tokens, request, seed, and what
#: is told each token. Returns whether the text ended by itself.
Rest = Callable[[tuple[int, ...], int, Request, int, Told], bool]


@dataclass(frozen=True, slots=True)
class Stopping:
    """Which answers end at their pivot.

    Attributes
    ----------
    format : AnswerFormat
        How the pivot is found.
    whole : float
        Probability of an answer to the end.
    early : int
        Answers whose pivot is among their first `early` tokens always go on.
    """

    format: AnswerFormat
    whole: float
    early: int = 0

    def spares(self, request: Request) -> bool:
        """Whether a run goes on after an ordinary pivot: drawn from its own seed.

        Nothing else enters, so it does not matter who asks it, in what order and company, and
        the answer's own draws know nothing of it.
        """
        told = f"whole {request.seed} {request.replicate}"
        digest = hashlib.sha256(told.encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.whole * 2**64

    def probability(self, pivot: int) -> float:
        """Of a whole answer, given its pivot's position; -1 where it has none."""
        return 1.0 if pivot < self.early else self.whole


def tail_weights(probabilities: Sequence[float], power: float) -> tuple[float, float]:
    """Bounds of the tempered weight of all tokens that are not listed.

    With tail mass t of at most n tokens, each at most as probable as the last one
    listed, p_k, the sum of q**power lies between t * p_k**(power - 1) and
    n * (t / n)**power, in one order for power > 1 and in the other for power < 1
    (convexity); n may be any number that is too large.

    Parameters
    ----------
    probabilities : sequence of float
        Of the listed tokens, most probable first.
    power : float
        One over the temperature.

    Returns
    -------
    (float, float)
        Lowest and highest.

    Examples
    --------
    >>> low, high = tail_weights([0.5, 0.25], 2.0)
    >>> low < 0.25**2 <= high
    True
    """
    tail = max(0.0, 1.0 - math.fsum(probabilities))
    if not tail:
        return 0.0, 0.0
    if power == 1.0:
        return tail, tail
    last = probabilities[-1] if probabilities else 1.0
    one = tail * last ** (power - 1) if last else 0.0
    other = _VOCABULARY * (tail / _VOCABULARY) ** power
    return min(one, other), max(one, other)


class Draw:
    """The law of the next token at one temperature, known up to its tail.

    Parameters
    ----------
    candidates : sequence of Candidate
        Most probable first.
    temperature : float
        Of the draw.
    tail : (float, float), optional
        Bounds of the tempered weight of what is not listed; `tail_weights` by default.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        temperature: float,
        tail: tuple[float, float] | None = None,
    ) -> None:
        power = 1 / temperature
        probabilities = [math.exp(c.logprob) for c in candidates]
        self._sums = list(accumulate(p**power for p in probabilities))
        self._tail = tail_weights(probabilities, power) if tail is None else tail

    def index(self, uniform: float) -> int | None:
        """Which candidate a uniform number in [0, 1) draws.

        Returns
        -------
        int or None
            The candidate's index; the number of candidates for one beyond the list;
            None where that depends on the tail's unknown weight.
        """
        found = {bisect_right(self._sums, uniform * (self._sums[-1] + tail)) for tail in self._tail}
        return found.pop() if len(found) == 1 else None


@dataclass(slots=True)
class _Node:
    """What may follow one beginning of an answer."""

    candidates: Sequence[Candidate]
    draw: Draw


class _Written:
    """An answer as it grows; says of each token whether it is the last."""

    def __init__(self, stops: tuple[str, ...], place: Place | None, earliest: float) -> None:
        self._stops, self._place, self._earliest = stops, place, earliest
        self.pivot = -1
        self._data = b""
        self.tokens: list[Token] = []
        self.ids: list[tuple[int, Sequence[int]]] = []
        self.last = ""

    def __call__(self, token: Token, id_: int, candidates: Sequence[int]) -> bool:
        self.tokens.append(token)
        self.ids.append((id_, candidates))
        self._data += token.data
        if any(stop.encode() in self._data for stop in self._stops):
            self.last = "stop"
        elif self._place is not None:
            self._place, outcome = self._place[token.data]
            if outcome >= 0:
                self._place, self.pivot = None, len(self.tokens) - 1
                self.last = STOPPED if self.pivot >= self._earliest else ""
        return bool(self.last)

    def response(self, ended: bool, prompt_tokens: int) -> Response:
        text = self._data.decode(errors="replace")
        for stop in self._stops:
            text = text.partition(stop)[0]
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(self.tokens)}
        reason = self.last or ("stop" if ended else "length")
        return Response(tuple(self.tokens), text, reason, None, "", usage)


def _written(request: Request, until: Stopping | None) -> _Written:
    if until is None:
        return _Written(request.sampling.stop, None, math.inf)
    earliest = math.inf if until.spares(request) else until.early
    return _Written(request.sampling.stop, until.format.automaton.start, earliest)


class Paths:
    """Answers to one prompt; each beginning is evaluated once, whoever begins so.

    The answers have the law of plain sampling at the request's temperature,
    exactly: where the listed candidates do not settle a draw, more are asked for,
    or the draw is made among the others.

    Parameters
    ----------
    listed : callable
        The candidates after some token ids.
    beyond : callable
        Draws among those that are not listed.
    rest : callable, optional
        Continues an answer after its first `shared` tokens; by default it goes on as
        it began.
    prompt_tokens : int
        Length of the prompt.
    shared : int
        Tokens whose probabilities are kept for all runs, where `rest` goes on after them.
    """

    def __init__(
        self,
        listed: Listed,
        beyond: Beyond,
        rest: Rest | None = None,
        prompt_tokens: int = 0,
        *,
        shared: int = SHARED,
    ) -> None:
        self._listed, self._beyond, self._rest = listed, beyond, rest
        self._prompt_tokens, self._shared = prompt_tokens, shared
        self._nodes: dict[tuple[tuple[int, ...], float], _Node] = {}

    def walk(self, request: Request, until: Stopping | None = None) -> Response:
        """One answer: see `walked`."""
        return self.walked(request, until)[0]

    def walked(
        self, request: Request, until: Stopping | None = None
    ) -> tuple[Response, list[tuple[int, Sequence[int]]]]:
        """One answer, and the ids of its tokens and of their candidates.

        Parameters
        ----------
        request : Request
            Its seed draws the path; its sampling settings end it. Of a beginning by ids
            it is what follows.
        until : Stopping, optional
            Which answers end where their choice is settled; by default all go on to the end
            of their text.

        Returns
        -------
        (Response, list)
            With finish reason ``stop``, ``length``, or ``pivot``; and for each token its id and
            those of its candidates.
        """
        sampling, rng = request.sampling, random.Random(request.seed)
        written = _written(request, until)
        ids, begun = request.ids, len(request.ids)
        most = begun + sampling.max_tokens
        ended = False
        shared = most if self._rest is None else self._shared
        while not written.last and len(ids) < min(shared, most):
            node = self._node(ids, sampling.temperature)
            drawn = self._drawn(node, ids, sampling.temperature, rng)
            if drawn is None or not drawn.data:
                ended = True
                break
            shown = node.candidates[: sampling.top_logprobs]
            written(
                Token(
                    drawn.data,
                    drawn.logprob,
                    tuple([c.data for c in shown]),
                    tuple([c.logprob for c in shown]),
                ),
                drawn.id,
                [c.id for c in shown],
            )
            ids = (*ids, drawn.id)
        left = most - len(ids)
        if self._rest is not None and left > 0 and not (ended or written.last):
            ended = self._rest(ids, left, request, rng.getrandbits(31), written)
        response = written.response(ended, self._prompt_tokens + begun)
        if until is not None:
            response = replace(response, whole_probability=until.probability(written.pivot))
        return response, written.ids

    def _node(self, ids: tuple[int, ...], temperature: float) -> _Node:
        node = self._nodes.get((ids, temperature))
        if node is None:
            # Long answers that share nothing would fill the memory for no gain.
            if len(self._nodes) >= _MOST_NODES:
                self._nodes.clear()
            candidates = self._listed(ids, None)
            node = self._nodes[ids, temperature] = _Node(candidates, Draw(candidates, temperature))
        return node

    def _drawn(
        self, node: _Node, ids: tuple[int, ...], temperature: float, rng: random.Random
    ) -> Candidate | None:
        uniform, seed = rng.random(), rng.getrandbits(31)
        index = node.draw.index(uniform)
        candidates = node.candidates
        if index is None:
            # The whole vocabulary tells the tail's weight, for this run and all after it.
            whole = self._listed(ids, _VOCABULARY)[len(candidates) :]
            weight = math.fsum(math.exp(c.logprob) ** (1 / temperature) for c in whole)
            node.draw = Draw(candidates, temperature, (weight, weight))
            index = node.draw.index(uniform)
            assert index is not None, "a known weight settles every draw"
        if index < len(candidates):
            return candidates[index]
        return self._beyond(ids, [c.id for c in candidates], temperature, seed)
