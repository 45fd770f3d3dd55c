"""A few cheap questions that find out what a server returns, before a study is paid for."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from llmdemand.belief.extract import Extractor
from llmdemand.belief.readers import given
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.study import Study
from llmdemand.errors import BackendError, TransportError
from llmdemand.simulation.backend import Backend, Request, run_seed
from llmdemand.simulation.calls.pool import Retries
from llmdemand.simulation.requests import requests

__all__ = ["LONGEST", "Probe", "probe"]

_HOT = 2.0
_SLOPE_TOLERANCE = 0.15
_SENTINEL = -99.0
_SUM_TOLERANCE = 1e-3
_GLYPHS = "\u0120\u2581\u010a"
#: Most tokens of a probe's answers.
LONGEST = 16


@dataclass(frozen=True, slots=True)
class Probe:
    """What a server was found to return.

    Attributes
    ----------
    model, snapshot, fingerprint : str
        The model asked for, the one that says it answered, and the server's mark
        of its own version, where it gives them.
    answers : tuple of str
        The three answers: at temperature 1, at 2, and the first one asked again.
    asked, listed : int
        Candidates asked for, and listed at the first position.
    logprobs : bool
        Whether log-probabilities came at all.
    before_temperature : bool or None
        Whether they are those before the sampling temperature: the log-odds of the
        same candidates at temperature 2 are then unchanged (slope 1) and halved
        otherwise (slope 1/2). None where neither fits.
    slope : float
        That slope; NaN where fewer than two candidates are common.
    invalid : int
        Log-probabilities that are positive or missing.
    sentinels : int
        Values that mean "not computed" (-9999 and the like).
    largest_sum : float
        Largest sum of the listed probabilities at a position; at most 1 is right.
    glyphs : bool
        Whether tokens show a vocabulary's own signs for space and new line.
    deterministic : bool
        Whether the same request with the same seed gave the same answer.
    difference : float
        Largest difference of log-probabilities between the two, at the first token.
    cached_tokens : float
        Tokens of the repeated prompt that the server had kept; NaN where unsaid.
    status, decided_mass
        What extraction makes of the first answer.
    prompt_tokens, completion_tokens : float
        What the probe used.
    """

    model: str
    snapshot: str
    fingerprint: str
    answers: tuple[str, ...]
    asked: int
    listed: int
    logprobs: bool
    before_temperature: bool | None
    slope: float
    invalid: int
    sentinels: int
    largest_sum: float
    glyphs: bool
    deterministic: bool
    difference: float
    cached_tokens: float
    status: str
    decided_mass: float
    prompt_tokens: float
    completion_tokens: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what is not a number is None."""
        plain = asdict(self)
        return {
            k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in plain.items()
        } | {"answers": list(self.answers)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Probe:
        """A probe from what `to_dict` gave."""
        optional = {"before_temperature"}
        plain: dict[str, Any] = {
            k: math.nan if v is None and k not in optional else v for k, v in data.items()
        }
        plain["answers"] = tuple(data["answers"])
        return cls(**plain)

    @property
    def problems(self) -> tuple[str, ...]:
        """What makes belief impossible; empty if nothing does."""
        found = []
        if not self.logprobs and any(answer.strip() for answer in self.answers):
            found.append(
                "it returns no log-probabilities: use another model or server, or "
                "`--backend choice_only` for choices without belief"
            )
        if self.invalid or self.largest_sum > 1 + _SUM_TOLERANCE:
            found.append(
                f"{self.invalid} of its log-probabilities are positive or missing and the largest "
                f"sum of probabilities is {self.largest_sum:.4g}: they are no probabilities"
            )
        return tuple(found)

    def enforce(self, temperature: float = 1.0) -> None:
        """Refuse a server from which no belief can be had.

        Raises
        ------
        BackendError
            With what was found.
        """
        problems = list(self.problems)
        if self.logprobs and temperature != 1.0 and self.before_temperature is None:
            problems.append(
                f"it cannot be told whether its log-probabilities are before or after the "
                f"temperature (slope {self.slope:.2f}): ask at temperature 1"
            )
        if problems:
            raise BackendError(f"the probe of {self.model} found that {'; and '.join(problems)}")

    def summary(self) -> str:
        """The findings, one a line."""
        when = {True: "before", False: "after", None: "before or after (unclear)"}
        same = "the same answer" if self.deterministic else "another answer"
        if math.isfinite(self.difference):
            same += f", first log-probabilities differ by {self.difference:.2g} at most"
        lines = [
            ("model", f"{self.model}; answered by {self.snapshot or 'it does not say'}"),
            ("version mark", self.fingerprint or "none"),
            ("answer", f"{self.answers[0][:70]!r}"),
            ("log-probabilities", "yes" if self.logprobs else "NO"),
            ("candidates", f"{self.listed} listed, {self.asked} asked for"),
            ("temperature", f"{when[self.before_temperature]} it (slope {self.slope:.2f})"),
            ("sum of probabilities", f"at most {self.largest_sum:.4f}"),
            ("positive or missing", str(self.invalid)),
            ("sentinels", str(self.sentinels)),
            ("vocabulary signs", "yes, they are read as spaces" if self.glyphs else "none"),
            ("same seed again", same),
            (
                "prompt cache",
                "not said"
                if math.isnan(self.cached_tokens)
                else f"{self.cached_tokens:.0f} tokens on repetition",
            ),
            ("extraction", f"{self.status}, decided mass {self.decided_mass:.3f}"),
            ("used", f"{self.prompt_tokens:.0f} tokens read, {self.completion_tokens:.0f} written"),
        ]
        text = "\n".join(f"{name:<21} {value}" for name, value in lines)
        return text + "".join(f"\nPROBLEM: {problem}" for problem in self.problems)


async def probe(
    backend: Backend,
    study: Study,
    *,
    seed: int = 1,
    patience: float = 300.0,
    ask: Callable[[Request], Awaitable[Mapping[str, Any]]] | None = None,
) -> Probe:
    """Ask the study's first question three times and look at what comes back.

    Parameters
    ----------
    backend : Backend
        Who is asked; it is left open.
    study : Study
        Its first cell's prompt is asked, for 16 tokens at most.
    seed : int
        Of the run; the seeds of the probe's questions differ from those of a panel.
    patience : float
        Seconds without an answer after which the server counts as gone.
    ask : callable, optional
        Coroutine function from a request to its raw response, in place of the backend's: the
        runner's own keeps to its budget, pace and patience.

    Returns
    -------
    Probe

    Raises
    ------
    BackendError
        If the server does not answer.
    """
    first = next(requests(study, 1, seed))
    sampling = replace(
        study.sampling, temperature=1.0, max_tokens=min(LONGEST, study.sampling.max_tokens)
    )
    plain = replace(first, run_id="probe", sampling=sampling, seed=run_seed(seed, 0, 0, 1))
    hot = replace(plain, sampling=replace(sampling, temperature=_HOT, max_tokens=1))
    retries = Retries(patience)
    ask = ask or (lambda request: _asked(backend, request, retries))
    raws = [await ask(request) for request in (plain, hot, plain)]
    answers = [backend.parse(raw) for raw in raws]
    return _found(backend, study, sampling.top_logprobs, raws, answers)


async def _asked(backend: Backend, request: Request, retries: Retries) -> Mapping[str, Any]:
    begun, attempt = time.monotonic(), 0
    while True:
        try:
            async for raw in backend.complete([request]):
                retries.answered()
                return raw
            raise BackendError(f"{backend.name} gave no answer to the probe")
        except TransportError as error:
            await asyncio.sleep(retries.wait(error, attempt, begun))
            attempt += 1


def _found(
    backend: Backend,
    study: Study,
    asked: int,
    raws: list[Mapping[str, Any]],
    answers: list[Response],
) -> Probe:
    first, hot, again = answers
    values = [v for answer in answers for token in answer.tokens for v in token.logprobs]
    realised = [token.logprob for answer in answers for token in answer.tokens]
    slope = _slope(_first(first), _first(hot))
    before = next(
        (b for b, s in ((True, 1.0), (False, 0.5)) if abs(slope - s) < _SLOPE_TOLERANCE), None
    )
    belief = Extractor(study.menu, **study.reading)(first)
    written = json.dumps(raws[0], ensure_ascii=False)
    usage = [answer.usage for answer in answers]
    cached = again.usage.get("prompt_tokens_details")
    differences = _differences(_first(first), _first(again))
    return Probe(
        backend.model,
        first.model,
        str(raws[0].get("system_fingerprint") or ""),
        tuple(answer.text for answer in answers),
        asked,
        len(first.tokens[0].candidates) if first.tokens else 0,
        any(token.candidates for token in first.tokens),
        before,
        slope,
        sum(not v <= 0 for v in (*values, *realised)),
        sum(v <= _SENTINEL for v in values),
        max((_sum(token) for answer in answers for token in answer.tokens), default=0.0),
        any(g in written and g not in first.text for g in _GLYPHS),
        first.text == again.text,
        max(differences, default=math.nan),
        given(cached.get("cached_tokens")) if isinstance(cached, dict) else math.nan,
        belief.status,
        belief.decided_mass,
        *(
            sum(float(n if (n := u.get(kind)) is not None else "nan") for u in usage)
            for kind in ("prompt_tokens", "completion_tokens")
        ),
    )


def _first(response: Response) -> dict[bytes, float]:
    """Candidates at the first position that have a true log-probability."""
    if not response.tokens:
        return {}
    token = response.tokens[0]
    pairs = zip(token.candidates, token.logprobs, strict=True)
    return {c: v for c, v in pairs if _SENTINEL < v <= 0}


def _slope(cool: Mapping[bytes, float], hot: Mapping[bytes, float]) -> float:
    """Least-squares slope of hot on cool log-probabilities, over common candidates."""
    common = [(cool[c], hot[c]) for c in cool if c in hot]
    if len(common) < 2:
        return math.nan
    means = [math.fsum(side) / len(common) for side in zip(*common, strict=True)]
    spread = math.fsum((x - means[0]) ** 2 for x, _ in common)
    if not spread:
        return math.nan
    return math.fsum((x - means[0]) * (y - means[1]) for x, y in common) / spread


def _differences(one: Mapping[bytes, float], other: Mapping[bytes, float]) -> list[float]:
    return [abs(v - other[c]) for c, v in one.items() if c in other]


def _sum(token: Token) -> float:
    return math.fsum(math.exp(min(v, 0.0)) for v in token.logprobs if v == v)
