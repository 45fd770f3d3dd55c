"""Gemini and Vertex AI: ``generateContent``."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct

from llmdemand.belief.readers.chat import parts
from llmdemand.belief.readers.listed import data_of, paired, value_of
from llmdemand.belief.readers.shapes import Body, decode, given
from llmdemand.belief.tokens import Response, Token
from llmdemand.errors import ResponseError

__all__ = ["gemini"]

_ENDS = {"STOP": "stop", "MAX_TOKENS": "length", "FINISH_REASON_UNSPECIFIED": ""}
_FORM = "Gemini answer, candidates[].logprobsResult with chosenCandidates and topCandidates"


class _Candidate(Struct):
    token: str | None = None
    logProbability: float | None = None
    log_probability: float | None = None

    def pair(self) -> tuple[bytes, float]:
        value = self.log_probability if self.logProbability is None else self.logProbability
        return data_of(self.token), value_of(value)


class _Top(Struct):
    candidates: list[_Candidate] | None = None


class _Result(Struct):
    chosenCandidates: list[_Candidate] | None = None
    topCandidates: list[_Top] | None = None
    chosen_candidates: list[_Candidate] | None = None
    top_candidates: list[_Top] | None = None


class _Content(Struct):
    parts: Any = None


class _Answer(Struct):
    content: _Content | None = None
    finishReason: Any = None
    finish_reason: Any = None
    logprobsResult: _Result | None = None
    logprobs_result: _Result | None = None


def gemini(body: Body) -> Response:
    """An answer with ``logprobsResult``, in the spelling of REST or of the Python SDK.

    Raises
    ------
    ResponseError
        If it holds several candidates.
    """
    answers: list[_Answer] = []
    if body.candidates is not UNSET:
        answers = decode(body.candidates, list[_Answer] | None, _FORM) or []
    counts = body.usageMetadata or body.usage_metadata
    counts = counts if isinstance(counts, dict) else {}
    usage = {
        "prompt_tokens": given(counts.get("promptTokenCount", counts.get("prompt_token_count"))),
        "completion_tokens": given(
            counts.get("candidatesTokenCount", counts.get("candidates_token_count"))
        ),
    }
    model = str(body.modelVersion or body.model_version or body.model or "")
    if not answers:
        feedback = body.promptFeedback or body.prompt_feedback
        reason = "content_filter" if feedback else "stop"
        return Response((), "", reason, None, model, usage)
    if len(answers) > 1:
        raise ResponseError(
            f"this object holds {len(answers)} candidates: write one object per candidate, each "
            "with an id of its own"
        )
    answer = answers[0]
    text, thought = parts(answer.content.parts if answer.content else None)
    reason = str(answer.finishReason or answer.finish_reason or "STOP")
    return Response(
        _tokens(answer.logprobsResult or answer.logprobs_result or _Result(), text),
        text,
        _ENDS.get(reason.removeprefix("FinishReason."), "content_filter"),
        None,
        model,
        usage,
        thought=thought,
    )


def _tokens(result: _Result, text: str) -> tuple[Token, ...]:
    chosen = result.chosenCandidates or result.chosen_candidates or []
    top = result.topCandidates or result.top_candidates or [_Top()] * len(chosen)
    if len(top) != len(chosen):
        raise ResponseError(
            f"no {_FORM}: {len(chosen)} chosen candidates and {len(top)} lists of candidates"
        )
    return paired(
        [c.pair() for c in chosen], [[c.pair() for c in t.candidates or ()] for t in top], text
    )
