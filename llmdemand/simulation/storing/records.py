"""What is kept of an answer: who gave it, the key that finds it, the answer itself."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from llmdemand.simulation.backend import AnswerFormat, Backend, Request

__all__ = ["MARK", "Source", "Stored", "canonical", "exported", "imported", "key"]


#: What a trimmed answer says of itself: the candidates that were kept at a position.
MARK = "candidates_kept"


@dataclass(frozen=True, slots=True)
class Source:
    """Who answered: a backend, its model and its settings.

    Attributes
    ----------
    backend, model : str
        As `Backend` names them.
    settings : str
        Canonical JSON of the settings.
    raw_logprobs : bool
        Whether log-probabilities were recorded before the temperature.
    """

    backend: str
    model: str
    settings: str
    raw_logprobs: bool

    @classmethod
    def of(cls, backend: Backend) -> Source:
        """The source that a backend is."""
        return cls(
            backend.name, backend.model, canonical(dict(backend.settings)), backend.raw_logprobs
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """One response and what is known of it.

    Attributes
    ----------
    key : str
        See `key`.
    top_logprobs : int
        Candidates per position that were asked for.
    run_id, study : str
        The run and the hash of the study that asked first.
    raw : mapping
        As the backend yielded it.
    content, order : str
        What the run was shown (`Questionnaire.shown`) and the option order of that, ids joined
        by ``>``; empty in what was stored before seeds came from content.
    prompt_tokens, completion_tokens : float
        As billed; NaN where the backend did not say.
    usd : float
        Cost in US dollars; 0 where nothing was paid, NaN where no price is known.
    created : float
        Seconds since 1970.
    """

    key: str
    top_logprobs: int
    run_id: str
    study: str
    raw: Mapping[str, Any]
    content: str = ""
    order: str = ""
    prompt_tokens: float = float("nan")
    completion_tokens: float = float("nan")
    usd: float = 0.0
    created: float = 0.0


def canonical(content: Mapping[str, Any]) -> str:
    """JSON with one spelling: sorted keys, no spaces."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)


def key(request: Request, source: Source) -> str:
    """SHA-256 over everything that changes the answer, the replicate index included.

    The number of candidates listed is left out: it changes what is recorded of an
    answer, not the answer, so that a stored top-20 can serve a later top-5.
    """
    # The spelling of numbers counts: 35 and 35.0 are equal, and not in a key.
    cell, sampling = request.cell, request.sampling
    spelt = repr((cell.prices, cell.persona.get("id"), sampling))
    who = source.backend, source.model, source.settings
    at = (*who, request.prompt, spelt, request.ids, request.format)
    around = _around.get(at)
    if around is None:
        if len(_around) >= _MOST_AROUND:
            _around.clear()
        text = canonical({**_shared(request, source), "replicate": 0, "seed": 0})
        before, _, after = text.partition(_RUN % (0, 0))
        around = _around[at] = before, after
    text = around[0] + _RUN % (request.replicate, request.seed) + around[1]
    return hashlib.sha256(text.encode()).hexdigest()


# What stands around a run's own part in the text that its key digests, by what runs share.
_around: dict[tuple[Any, ...], tuple[str, str]] = {}
_MOST_AROUND = 4096
_RUN = ',"replicate":%d,"seed":%d,"stop":'


def _shared(request: Request, source: Source) -> dict[str, Any]:
    """What all runs of one prompt share in their keys."""
    sampling = request.sampling
    content = {
        "prompt": _prompt_digest(
            source.backend, source.model, source.settings, *request.prompt, request.format
        ),
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "stop": sampling.stop,
        "prices": dict(request.cell.prices),
        "persona": request.cell.persona.get("id"),
    }
    if sampling.branch:  # answered to the end, and with ids
        content["ids"] = request.ids
    return content


@functools.lru_cache(maxsize=4096)
def _prompt_digest(
    backend: str,
    model: str,
    settings: str,
    mode: str,
    system: str,
    user: str,
    begun: str,
    format_: Any,
) -> str:
    """What all runs of one prompt share, digested once."""
    content = {
        "backend": backend,
        "model": model,
        "settings": settings,
        "mode": mode,
        "system": system,
        "user": user,
        "begun": begun,
    }
    # Only an answer that is cut where its choice settles depends on how it is read.
    if format_ is not None and '"until":"pivot"' in settings:
        reading = [format_.menu.to_dict(), format_.answer_first, list(format_.anchors)]
        if format_.thinking_open or format_.thinking != AnswerFormat(format_.menu).thinking:
            reading += [list(format_.thinking), format_.thinking_open]
        content["format"] = canonical({"reading": reading})
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def exported(source: Source, stored: Stored) -> dict[str, Any]:
    """One response as plain data for a JSON line; what is not known of it is left out."""
    # Not by `asdict`, which makes every mapping within anew: a raw response may know more.
    whole = {f.name: getattr(stored, f.name) for f in fields(stored)} | {"raw": {**stored.raw}}
    known = {k: v for k, v in whole.items() if v or k not in ("content", "order")}
    return {
        **known,
        "source": {**asdict(source), "settings": json.loads(source.settings)},
    }


def imported(entry: Mapping[str, Any]) -> tuple[Source, Stored]:
    """What `exported` wrote; raises KeyError, TypeError or ValueError for anything else."""
    source = entry["source"]
    numbers = {
        name: float(nan if (nan := entry.get(name)) is not None else "nan")
        for name in ("prompt_tokens", "completion_tokens", "usd", "created")
    }
    if not isinstance(entry["raw"], dict) or not entry["key"]:
        raise ValueError("no raw response or no key")
    return (
        Source(
            str(source["backend"]),
            str(source["model"]),
            canonical(source["settings"]),
            bool(source["raw_logprobs"]),
        ),
        Stored(
            str(entry["key"]),
            int(entry["top_logprobs"]),
            str(entry["run_id"]),
            str(entry["study"]),
            entry["raw"],
            str(entry.get("content", "")),
            str(entry.get("order", "")),
            **numbers,
        ),
    )
