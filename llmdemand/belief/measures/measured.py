"""What a run says under a measure other than log-probabilities."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from llmdemand.belief.extract import Extractor
from llmdemand.belief.measures.stated import read_stated
from llmdemand.belief.pivot.found import Belief
from llmdemand.belief.tokens import Response
from llmdemand.core.panel import USABLE
from llmdemand.core.study import Study

__all__ = ["THINKING", "answered", "measured", "said_nothing"]

#: Tags between which nothing is read, unless the study names others.
THINKING = ("<think>", "</think>")
_SILENT = ("refusal", "no_output", "failed")


def measured(
    study: Study, extractor: Extractor, response: Response
) -> tuple[Belief, dict[str, Any]]:
    """What a run says by the study's measure, and its further columns.

    Parameters
    ----------
    study : Study
        With a measure other than ``logprob``.
    extractor : Extractor
        Of the study: it finds out where nothing was said, and reads choices.
    response : Response
        Its log-probabilities, if there are any, are not looked at.

    Returns
    -------
    Belief
        Stated probabilities have no choice and no bounds. Of ``choice`` the status is
        ``no_logprobs``, of ``similarity`` ``unmeasured`` until `by_similarity` has measured it.
    dict
        ``measure``, and ``stated_sum``.
    """
    plain = extractor(replace(response, tokens=()))
    more: dict[str, Any] = {"measure": study.measure}
    if study.measure == "stated":
        found, total = _stated(study, extractor, plain, response)
        return found, {**more, "stated_sum": total}
    if study.measure == "similarity" and plain.status not in _SILENT:
        plain = replace(plain, status="unmeasured", mismatch=None)
    return plain, more


def said_nothing(status: str) -> bool:
    """Whether a status says that there is no text to be measured."""
    return status in _SILENT


def _stated(
    study: Study, extractor: Extractor, plain: Belief, response: Response
) -> tuple[Belief, float]:
    bare = replace(plain, choice=None, final=None, mismatch=None)
    if plain.status in ("failed", "no_output") or response.refusal:
        return bare, math.nan
    cut = response.finish_reason == "length"
    text = answered(response.text, extractor.automaton.thinking, study.thinking_open)
    if text is None:
        reason = "the answer ends within a thought"
        return replace(bare, status="not_stated", reason=reason), math.nan
    found = read_stated(text, study.menu)
    if cut and text[-1:].isdigit() and found.status != "not_stated":
        reason = "the answer was cut at its most tokens, perhaps within its last number"
        return replace(bare, status="ambiguous", reason=reason), math.nan
    if plain.status == "refusal" and found.status not in USABLE:
        return bare, math.nan
    reason = found.reason
    if cut and found.status not in USABLE:
        reason += "; the answer was cut at its most tokens (sampling.max_tokens)"
    return (
        replace(bare, status=found.status, belief=found.probability, reason=reason),
        found.total if math.isfinite(found.total) else math.nan,
    )


def answered(text: str, tags: tuple[str, str], opened: bool) -> str | None:
    """The text after its thoughts; None if a thought never ends.

    >>> answered("<think>60%?</think> 70%", ("<think>", "</think>"), False)
    ' 70%'
    """
    opening, closing = tags
    _, closed, rest = text.rpartition(closing)
    if opening in rest or (opened and not closed):
        return None
    return rest
