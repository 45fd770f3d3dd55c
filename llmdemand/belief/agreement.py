"""Whether the tokens of a response tell the story of its text."""

from __future__ import annotations

import re
from typing import NamedTuple

from llmdemand.belief.prefix.gates import unopened
from llmdemand.belief.tokens import Response

__all__ = ["Agreement", "agreement"]

# End-of-text tokens as servers spell them, and what else may stand around a thought.
_SPECIAL = re.compile(r"(?:<[^<>\s]{1,40}>|\[/?[A-Z_]{1,20}\]|\s)*")
_MARKUP = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{1,20}\]|\W|analysis|assistant|final|commentary")
# A stop sequence ends the text, and the tokens hold it.
_STOP = 64


class Agreement(NamedTuple):
    """The tokens ``first`` up to ``last`` are the beginning of the text.

    `reason` says in words what is wrong with the others, or with all of them.
    """

    first: int
    last: int
    reason: str


def agreement(response: Response, pairs: tuple[tuple[str, str], ...]) -> Agreement:
    """Compare the joined tokens with the text.

    White space around the text, special tokens or a stop sequence at its end, and a
    thought that stands in a field of its own are no disagreement.

    Parameters
    ----------
    response : Response
        With tokens.
    pairs : tuple of (str, str)
        Tags in which thoughts stand, unless the prompt opened them.
    """
    tokens = response.tokens
    if response.trouble:
        return Agreement(0, 0, response.trouble)
    closing = unopened(response.text, pairs)
    if closing:
        return Agreement(
            0,
            0,
            f"the text closes a thought with {closing!r} that it does not open: the prompt opened "
            "it; read it with thinking_open=True",
        )
    written = b"".join([t.data for t in tokens])
    if written == response.text.encode("utf-8", "replace"):
        return Agreement(0, len(tokens), "")
    said, text = written.decode(errors="replace"), response.text.strip()
    if not text:
        thought = _is_thought(said, response.thought, pairs) or _opened(said, pairs)
        if thought or not said.strip():
            return Agreement(len(tokens), len(tokens), "")
        return Agreement(0, 0, "there are tokens, but no text")
    bare = said.lstrip()
    if bare.startswith(text) and _ends(bare[len(text) :]):
        return Agreement(0, len(tokens), "")
    if text.startswith(bare.rstrip().rstrip("\ufffd")):
        return Agreement(0, len(tokens), "the log-probabilities end before the text does")
    start = said.rfind(text)
    if start >= 0 and _ends(said[start + len(text) :]):
        if _is_thought(said[:start], response.thought, pairs):
            return Agreement(_covering(response, start), len(tokens), "")
        return Agreement(0, 0, f"the tokens begin with {_short(said[:start])}, which no text has")
    shared = _shared(bare, text)
    last = _covering(response, len(said) - len(bare) + shared)
    return Agreement(0, last, _difference(said, bare, text, shared))


def _difference(said: str, bare: str, text: str, shared: int) -> str:
    if not shared and text.endswith(bare.strip()):
        return f"the log-probabilities of the beginning are missing: they start at {_short(said)}"
    if "\ufffd" in bare[shared : shared + 2]:
        return "a token is half a character, or has no text, and its bytes are not given"
    return (
        f"the tokens go on with {_short(bare[shared:])} where the text has {_short(text[shared:])}"
    )


def _is_thought(said: str, thought: str, pairs: tuple[tuple[str, str], ...]) -> bool:
    """Whether what the tokens say before the text is a thought."""
    said, thought = said.strip(), thought.strip()
    if any(said.endswith(closing) for _, closing in pairs):
        return True
    return bool(thought and thought in said) and not _MARKUP.sub("", said.replace(thought, "", 1))


def _opened(said: str, pairs: tuple[tuple[str, str], ...]) -> bool:
    return any(said.lstrip().startswith(opening) for opening, _ in pairs)


def _ends(rest: str) -> bool:
    """Whether what follows the text only ends it."""
    return bool(_SPECIAL.fullmatch(rest)) or len(rest) <= _STOP


def _shared(one: str, other: str) -> int:
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))


def _covering(response: Response, characters: int) -> int:
    """How many whole tokens these first characters are."""
    written = b""
    for index, token in enumerate(response.tokens):
        written += token.data
        if len(written.decode(errors="replace")) > characters:
            return index
    return len(response.tokens)


def _short(text: str) -> str:
    return repr(text if len(text) <= 24 else text[:20] + " ...")
