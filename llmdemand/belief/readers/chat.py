"""Chat Completions and text completions: OpenAI, vLLM, llama.cpp, SGLang, TGI, Mistral."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from llmdemand.belief.readers.listed import data_of, entries, paired, pairs, value_of
from llmdemand.belief.readers.shapes import Body, Choice, Logprobs, Message, given
from llmdemand.belief.tokens import Response, Token
from llmdemand.errors import ResponseError

__all__ = ["chat", "parts", "usage_of"]

# How inspect_ai calls the ends of answers.
_ENDS = {"max_tokens": "length", "model_length": "length"}


def chat(body: Body) -> Response:
    """A Chat Completions object, a text completion, or the output of an inspect_ai sample.

    Without tokens where the server gave no log-probabilities; empty where it gave no
    choice.

    Raises
    ------
    ResponseError
        If it holds several choices.
    """
    choices = body.choices
    assert choices is not UNSET
    model, usage = str(body.model or ""), usage_of(body.usage)
    if not choices:
        return Response((), "", "stop", None, model, usage)
    if len(choices) > 1:
        raise ResponseError(
            f"this object holds {len(choices)} choices: write one object per choice, "
            "each with an id of its own"
        )
    choice = choices[0]
    message = choice.message or Message(content=choice.text)
    text, thought = parts(message.content)
    thought = thought or _thought(message)
    tokens, trouble = _tokens(choice, text, body)
    reason = choice.finish_reason
    if reason is None and isinstance(choice.stop_reason, str):
        reason = _ENDS.get(choice.stop_reason, choice.stop_reason)
    return Response(
        tokens,
        text,
        reason or "",
        message.refusal,
        model,
        usage,
        thought=thought,
        trouble=trouble,
    )


def _tokens(choice: Choice, text: str, body: Body) -> tuple[tuple[Token, ...], str]:
    """The tokens, and what is wrong with them."""
    logprobs = choice.logprobs or Logprobs()
    if logprobs.content is not None:
        # vLLM says why it stopped in a field of its own, beside the reason of all others.
        drawn_first = choice.finish_reason is not None and (
            choice.stop_reason is not UNSET or body.prompt_logprobs is not UNSET
        )
        tokens = entries(logprobs.content, text, drawn_first=drawn_first)
        return tokens, _ids(tokens)
    if not logprobs.tokens:
        return (), ""
    count = len(logprobs.tokens)
    values = logprobs.token_logprobs or [None] * count
    lists = logprobs.top_logprobs or [None] * count
    if not len(values) == len(lists) == count:
        raise ResponseError(
            f"no text completion: logprobs hold {count} tokens, {len(values)} token_logprobs "
            f"and {len(lists)} top_logprobs"
        )
    tokens = paired(
        [(data_of(t), value_of(v)) for t, v in zip(logprobs.tokens, values, strict=True)],
        [pairs(listed) for listed in lists],
        text,
        grows=True,
    )
    if values[0] is None and any(v is not None for v in values):
        return tokens, (
            "the first token has no probability: the prompt is echoed in front of the answer; "
            "ask with echo=false"
        )
    return tokens, _ids(tokens)


def _ids(tokens: tuple[Token, ...]) -> str:
    """Said where a server was told to write ids in place of tokens."""
    mark = b"token_id:"
    if tokens and tokens[0].data[:9] == mark and all(t.data.startswith(mark) for t in tokens):
        return "there are ids in place of tokens: ask with return_tokens_as_token_ids=false"
    return ""


def parts(content: Any) -> tuple[str, str]:
    """Text and thought of a message whose content is a text or a list of parts.

    Raises
    ------
    ResponseError
        If it is neither.

    Examples
    --------
    >>> parts([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "B"}])
    ('B', 'Hm.')
    """
    if content is None:
        return "", ""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        raise ResponseError(f"no text: content is {_kind(content)}, expected a text or a list")
    text, thought = [], []
    for part in content:
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, Mapping):
            if isinstance(part.get("text"), str) and not part.get("thought"):
                text.append(part["text"])
                continue
            for key in ("thinking", "reasoning", "summary", "text"):
                if part.get(key):
                    thought.append("".join(parts(part[key])))
                    break
    return "".join(text), "".join(thought)


def _kind(value: Any) -> str:
    return type(value).__name__


def _thought(message: Message) -> str:
    for field in (message.reasoning_content, message.reasoning, message.thinking):
        if isinstance(field, str) and field:
            return field
    return ""


def usage_of(usage: Any) -> dict[str, Any]:
    """Token counts under the names of Chat Completions; NaN where there is none.

    What is told as a count and is no number of tokens is shown under ``nonsense``.

    Raises
    ------
    ResponseError
        If they are no object.
    """
    if usage is None:
        return {}
    if not isinstance(usage, Mapping):
        raise ResponseError(f"no token counts: usage is {_kind(usage)}, expected an object")
    found = dict(usage)
    for name, other in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")):
        value = found.get(name, found.get(other))
        found[name] = given(value)
        if value is not None and math.isnan(found[name]):
            found["nonsense"] = f"{name} {value!r}"[:60]
    return found
