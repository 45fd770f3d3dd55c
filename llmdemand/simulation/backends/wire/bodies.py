"""What is in the body of an answer: an error, or one answer or several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llmdemand.belief.readers import given
from llmdemand.belief.tokens import Response

__all__ = ["Parsed", "error_in", "spelled", "split"]


class Parsed(dict[str, Any]):
    """An answer that has been read once: what was found in it need not be looked for again.

    Parameters
    ----------
    raw : mapping
        As the server gave it; never changed.
    response : Response
        What it says.
    """

    __slots__ = ("response",)

    def __init__(self, raw: Mapping[str, Any], response: Response) -> None:
        super().__init__(raw)
        self.response = response


def error_in(raw: Mapping[str, Any]) -> Any:
    """The error in an answer that says it has succeeded; None where there is an answer."""
    if raw.get("choices") or raw.get("output"):
        choices = raw.get("choices")
        # Routers put the error of whoever they asked in place of the one choice.
        choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
        failed = isinstance(choice, dict) and choice.get("finish_reason") == "error"
        return (choice.get("error") or "finish_reason is error") if failed and choice else None
    return raw.get("error") or None


def spelled(raw: dict[str, Any]) -> dict[str, Any]:
    """The answer with counts that are no JSON as words: what is null counts as not said."""
    usage = raw.get("usage")
    if not isinstance(usage, dict):
        return raw
    odd = {k: str(v) for k, v in usage.items() if isinstance(v, float) and not math.isfinite(v)}
    return {**raw, "usage": {**usage, **odd}} if odd else raw


def split(raw: dict[str, Any], wanted: int) -> list[dict[str, Any]]:
    """One object per choice; what the prompt cost is shared among them."""
    choices, usage = raw.get("choices"), raw.get("usage")
    if (
        wanted == 1
        or not isinstance(choices, list)
        or not all(isinstance(c, dict) for c in choices)
    ):
        return [raw]
    choices = choices[:wanted]
    lengths = [_length(choice) for choice in choices]
    # Servers count the tokens of all choices together, or of one only; shares are by length.
    share = [n / sum(lengths) if sum(lengths) else 1 / len(choices) for n in lengths]
    return [
        {
            **raw,
            "choices": [{**choice, "index": 0}],
            "usage": _shared(usage, {"prompt_tokens": 1 / len(choices), "completion_tokens": part}),
            "of_n": len(choices),
        }
        for choice, part in zip(choices, share, strict=True)
    ]


def _shared(usage: Any, parts: Mapping[str, float]) -> Any:
    """Parts of the counts; what is no number of tokens stays as it is, to be found out later."""
    if not isinstance(usage, dict):
        return usage
    counts = {kind: given(usage.get(kind)) for kind in parts}
    return {
        kind: usage.get(kind) if math.isnan(count) else count * parts[kind]
        for kind, count in counts.items()
    }


def _length(choice: Mapping[str, Any]) -> int:
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return len(content) if isinstance(content, list) else 0
