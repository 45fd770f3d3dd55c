"""The branches of an answer as requests, and the answer with what came of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from llmdemand.belief.branching.branches import (
    Branch,
    Branched,
    Listed,
    Plan,
    naming,
    plan_branches,
)
from llmdemand.belief.tokens import Response
from llmdemand.core.sampling import Sampling
from llmdemand.errors import BackendError
from llmdemand.simulation.backend import AnswerFormat, Backend, Request, run_seed
from llmdemand.simulation.storing.records import Source, key
from llmdemand.simulation.storing.store import Store

__all__ = [
    "Branches",
    "branched",
    "branches_of",
    "known_ids",
    "open_tokens",
    "plan_in",
    "where_named",
    "with_ids",
]

# Keys under a run's own seed: the draw among small branches, and one for each branch.
_DRAW, _BRANCH = 0, 1


def where_named(
    format_: AnswerFormat, response: Response, ids: Sequence[int], ranked: Sequence[Listed]
) -> dict[int, Listed]:
    """Ranked candidates by id at the positions where an answer of llama.cpp may branch.

    The engine merges tokens that split a character into one entry, under the last one's id.
    Halves of characters are therefore no candidates here, and nothing branches behind an entry
    that may be a merged one: what came before it is not known by id.

    Parameters
    ----------
    format_ : AnswerFormat
        By which names are recognised.
    response : Response
        The answer.
    ids : sequence of int
        Of its tokens.
    ranked : sequence of Listed
        The candidates at each.
    """
    found: dict[int, Listed] = {}
    named = naming(format_.automaton, response.tokens)
    entries = zip(response.tokens, ids, ranked, strict=True)
    for position, (token, id_, candidates) in enumerate(entries):
        listed = [(i, data, value) for i, data, value in candidates if _whole(data)]
        if not token.data.isascii() and (id_, token.data) not in {(i, d) for i, d, _ in listed}:
            break
        if position in named:
            found[position] = listed
    return found


def _whole(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def with_ids(
    raw: Mapping[str, Any], ids: Sequence[int], listed: Mapping[int, Listed]
) -> dict[str, Any]:
    """A raw answer with its token ids, and the ranked candidates of some positions by id."""
    places = {
        str(position): [[id_, list(data), value] for id_, data, value in candidates]
        for position, candidates in listed.items()
    }
    return {**raw, "ids": list(ids), "listed": places}


def known_ids(raw: Mapping[str, Any]) -> tuple[list[int], dict[int, Listed]]:
    """What `with_ids` wrote.

    Raises
    ------
    BackendError
        If there are no ids.
    """
    ids, listed = raw.get("ids"), raw.get("listed")
    if not isinstance(ids, list) or not isinstance(listed, Mapping):
        raise BackendError(
            "the answer came without token ids, which sampling.branch needs: use the local "
            "backend, vLLM from 0.10.2 on, or a current llama.cpp server"
        )
    places: dict[int, Listed] = {
        int(position): [(int(id_), bytes(data), float(value)) for id_, data, value in candidates]
        for position, candidates in listed.items()
    }
    return [int(id_) for id_ in ids], places


def plan_in(raw: Mapping[str, Any]) -> Plan | None:
    """The plan that is stored with a raw answer."""
    found = raw.get("plan")
    if found is None:
        return None
    return Plan(
        int(found["position"]),
        tuple(found["prefix"]),
        bytes(found["begun"]),
        tuple(Branch(int(t), bytes(d), float(w)) for t, d, w in found["branches"]),
    )


def _planned(
    raw: Mapping[str, Any], response: Response, request: Request, power: float
) -> dict[str, Any]:
    """A raw answer with its plan: where it branches, into what, and what each counts for."""
    if not response.tokens:  # refused, or filtered
        return {**raw, "plan": None}
    ids, listed = known_ids(raw)
    assert request.format is not None, "an answer that branches is one of a study"
    uniform = random.Random(run_seed(request.seed, _DRAW)).random()
    most = request.sampling.top_logprobs
    # Servers may add the drawn token to what was asked: only the most probable are ranked.
    ranked = {k: sorted(c, key=lambda one: -one[2])[:most] for k, c in listed.items()}
    automaton = request.format.automaton
    plan = plan_branches(automaton, response, ids, ranked, uniform, power=power)
    if plan is None:
        return {**raw, "plan": None}
    return {
        **raw,
        "plan": {
            "position": plan.position,
            "prefix": list(plan.prefix),
            "begun": list(plan.begun),
            "branches": [[b.token, list(b.data), b.weight] for b in plan.branches],
        },
    }


def branches_of(request: Request, parent: str, plan: Plan | None) -> Iterator[Request]:
    """The branches that are to be asked: all but the realised one and those that are over.

    Seeds are those of the run, the position and the token, so that no result depends on what
    else is asked, when, or by how many.

    Parameters
    ----------
    request : Request
        The answer's own.
    parent : str
        Key of the stored answer.
    plan : Plan or None
        Its branches.
    """
    for token in open_tokens(plan, request.sampling):
        assert plan is not None
        left = request.sampling.max_tokens - plan.position - 1
        yield replace(
            request,
            run_id=f"{request.run_id} branch {plan.position}:{token}",
            sampling=replace(request.sampling, max_tokens=left),
            seed=run_seed(request.seed, _BRANCH, plan.position, token),
            ids=(*plan.prefix, token),
            parent=parent,
        )


def open_tokens(plan: Plan | None, sampling: Sampling) -> list[int]:
    """Tokens of a plan whose branches go on: not the realised one, nor those that are over."""
    if plan is None or sampling.max_tokens <= plan.position + 1:
        return []
    return [
        branch.token
        for branch in plan.branches[1:]
        if not any(s.encode() in plan.begun + branch.data for s in sampling.stop)
    ]


def branched(
    response: Response, plan: Plan | None, rests: Mapping[int, Response], sampling: Sampling
) -> Branched:
    """An answer with its finished branches.

    Parameters
    ----------
    response : Response
        The answer.
    plan : Plan or None
        Its branches.
    rests : mapping of int to Response
        What follows each by its token's id; those that are over have none.
    sampling : Sampling
        Its stop strings end them.
    """
    texts, written = [response.text], [0.0]
    weights = [1.0] if plan is None else [branch.weight for branch in plan.branches]
    for branch in plan.branches[1:] if plan is not None else ():
        assert plan is not None
        rest, begun = rests.get(branch.token), (plan.begun + branch.data).decode(errors="replace")
        texts.append(_finished(begun + (rest.text if rest else ""), sampling.stop))
        written.append(_written(rest) if rest else 0.0)
    same = {f.name: getattr(response, f.name) for f in fields(Response)}
    return Branched(
        **same,
        position=-1 if plan is None else plan.position,
        weights=tuple(weights),
        texts=tuple(texts),
        written=tuple(written),
    )


class Branches:
    """The branches of one source's answers in a store.

    Parameters
    ----------
    store : Store
        Where answers and branches are, a row each. An answer's row holds its plan, so that
        what is asked later is what it says; a branch's holds its answer's key and its token.
    source : Source
        Who answers.
    backend : Backend
        Reads what is stored.

    Attributes
    ----------
    tempered : bool
        Whether log-probabilities are recorded before the temperature, so that weights are to
        be tempered.
    """

    def __init__(self, store: Store, source: Source, backend: Backend) -> None:
        self._store, self._source, self._parse = store, source, backend.parse
        self.tempered = backend.raw_logprobs

    def kept(
        self, request: Request, raw: Mapping[str, Any], response: Response
    ) -> Mapping[str, Any]:
        """What is stored of an answer, or of a branch."""
        if request.parent:
            return {**raw, "branch_of": request.parent, "token": request.ids[-1]}
        if not request.sampling.branch:
            return raw
        power = 1 / request.sampling.temperature if self.tempered else 1.0
        return _planned(raw, response, request, power)

    def missing(self, request: Request, name: str) -> list[tuple[Request, str]] | None:
        """Branches of an answer that are not stored, with their keys; None if it is not."""
        most = request.sampling.top_logprobs
        raw = self._store.get(name, most)
        if raw is None:
            return None
        wanted = [(b, key(b, self._source)) for b in branches_of(request, name, plan_in(raw))]
        return [(branch, own) for branch, own in wanted if not self._store.has(own, most)]

    def joined(self, request: Request, name: str, raw: Mapping[str, Any]) -> Response:
        """A stored answer as a response, with its branches, which must be stored too."""
        response = self._parse(raw)
        if not request.sampling.branch:
            return response
        plan, most = plan_in(raw), request.sampling.top_logprobs
        rests = {
            branch.ids[-1]: self._parse(rest)
            for branch in branches_of(request, name, plan)
            if (rest := self._store.get(key(branch, self._source), most)) is not None
        }
        return branched(response, plan, rests, request.sampling)


def _written(rest: Response) -> float:
    """Tokens that a branch took; those that are there where the server does not count."""
    counted = rest.usage.get("completion_tokens")
    return float(len(rest.tokens) if counted is None else counted)


def _finished(text: str, stops: Iterable[str]) -> str:
    """A text up to the first stop string, which may begin before the branch does."""
    return text[: min([len(text), *(k for stop in stops if (k := text.find(stop)) >= 0)])]
