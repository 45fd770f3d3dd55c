"""Answers that echo a key: what is kept of them holds it no more."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["MARK", "redacted", "suspected"]

#: What stands in the place of a secret: as most of these, a letter at either end, so that what
#: stands beside it begins or ends a word exactly if it did.
MARK = "REDACTED"
# Keys of local servers are often "none" or "EMPTY": in an answer those are words.
_SHORTEST = 8


def redacted(raw: dict[str, Any], secrets: Sequence[str]) -> dict[str, Any]:
    """A response without secrets, wherever it holds them: texts, tokens, candidates, names.

    The mark stands in the token where a secret begins. Tokens within it are left out; the one
    in which it ends keeps what follows, as do its candidates that end the secret likewise. So
    tokens and text still agree, every position that is left has its own candidates, and belief
    is read as it was. The field ``redacted`` then holds the position of the first token that a
    secret touched, -1 where there are none; it is what a row says of it. Lists of the answer's
    token ids end before it.

    Parameters
    ----------
    raw : dict
        As the server answered.
    secrets : sequence of str
        Those of 8 characters or more count: a shorter one cannot be told from a word.

    Returns
    -------
    dict
        The same object where it holds none.

    Examples
    --------
    >>> redacted({"choices": [{"text": "A. sk-12345678!"}]}, ["sk-12345678"])
    {'choices': [{'text': 'A. REDACTED!'}], 'redacted': -1}
    """
    known = sorted({s for s in secrets if len(s) >= _SHORTEST}, key=len, reverse=True)
    if not known:
        return raw
    cleaner = _Cleaner(known)
    found = cleaner.of(raw)
    if not cleaner.hits:
        return raw
    position = min(cleaner.positions, default=-1)
    if position >= 0 and isinstance(found.get("choices"), list):
        found["choices"] = [_known_until(position, choice) for choice in found["choices"]]
    return {**found, "redacted": position}


def _known_until(position: int, choice: Any) -> Any:
    if not isinstance(choice, Mapping) or not isinstance(choice.get("token_ids"), list):
        return choice
    return {**choice, "token_ids": choice["token_ids"][:position]}


def suspected(content: bytes, secrets: Sequence[str]) -> bool:
    """Whether a body may hold a secret: as it is, or in characters that are spelled out.

    >>> suspected(b'{"text": "Pampers"}', ["sk-12345678"])
    False
    """
    if b"\\u" in content or b"\\/" in content:
        return bool(secrets)
    written = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1])}
    return any(form.encode() in content for form in written)


class _Cleaner:
    """Walks through a response once."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets
        self.hits = 0
        self.positions: list[int] = []

    def of(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            value = self._completion(value)
            return {self._text(str(k)): self.of(v) for k, v in value.items()}
        if isinstance(value, list):
            if value and all(
                isinstance(e, Mapping) and isinstance(e.get("token"), str) for e in value
            ):
                value = self._entries(value)
            return [self.of(part) for part in value]
        return value

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            if secret in text:
                self.hits += 1
                text = text.replace(secret, MARK)
        return text

    def _spans(self, pieces: Sequence[bytes]) -> dict[int, tuple[bytes, int]]:
        """The tokens that a secret touches: what is left of each, and how much its beginning lost.

        The mark stands in the token where the secret begins. Nothing is left of tokens within.
        """
        joined = b"".join(pieces)
        if not any(secret.encode() in joined for secret in self._secrets):
            return {}
        either = b"|".join(re.escape(secret.encode()) for secret in self._secrets)
        found: dict[int, tuple[bytes, int]] = {}
        secrets, end = [match.span() for match in re.finditer(either, joined)], 0
        for k, piece in enumerate(pieces):
            begin, end = end, end + len(piece)
            left, at, lost = b"", begin, 0
            for first, last in secrets:
                if last <= begin or first >= end:
                    continue
                left += joined[at : max(at, first)] + (MARK.encode() if first >= begin else b"")
                at = min(last, end)
                lost = lost or (at - begin if first < begin else 0)
            if at > begin:
                found[k] = left + joined[at:end], lost
        return found

    def _entries(self, entries: list[Any]) -> list[Any]:
        """Tokens with their candidates, as Chat Completions and Responses list them."""
        # Candidates of one position are no text: they stand beside, not behind each other.
        if "top_logprobs" not in entries[0]:
            return entries
        pieces = [_data(e) for e in entries]
        spans = self._spans(pieces)
        kept: list[Any] = []
        for k, entry in enumerate(entries):
            new, lost = spans.get(k, (pieces[k], 0))
            if k in spans and not new:
                continue
            if k in spans:
                self.hits += 1
                self.positions.append(len(kept))
                listed = entry.get("top_logprobs") or []
                listed = [_with(c, _left(_data(c), pieces[k], new, lost)) for c in listed]
                entry = {**_with(entry, new), "top_logprobs": listed}
            kept.append(entry)
        return kept

    def _completion(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """The lists of the old Completions form, which go side by side."""
        tokens, ids = value.get("tokens"), "token_logprobs" in value
        if not ids or not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens):
            return value
        spans = self._spans([t.encode(errors="surrogatepass") for t in tokens])
        if not spans:
            return value
        self.hits += 1
        kept = [k for k in range(len(tokens)) if k not in spans or spans[k][0]]
        self.positions += [place for place, k in enumerate(kept) if k in spans]
        found = {
            name: [part[k] for k in kept]
            if isinstance(part, list) and len(part) == len(tokens)
            else part
            for name, part in value.items()
        }
        listed = found.get("top_logprobs")
        for place, k in enumerate(kept):
            if k in spans:
                new, lost = spans[k]
                found["tokens"][place] = new.decode(errors="replace")
                if isinstance(listed, list) and isinstance(listed[place], Mapping):
                    was = tokens[k].encode(errors="surrogatepass")
                    own: dict[str, Any] = {}
                    for text, logprob in listed[place].items():
                        left = _left(text.encode(errors="surrogatepass"), was, new, lost)
                        name = left.decode(errors="replace")
                        own[name] = _either(own[name], logprob) if name in own else logprob
                    listed[place] = own
        return found


def _left(candidate: bytes, chosen: bytes, new: bytes, lost: int) -> bytes:
    """What is left of a candidate where the chosen token lost its beginning, or became `new`."""
    if candidate == chosen:
        return new
    rest = candidate[lost:] if lost and candidate.startswith(chosen[:lost]) else b""
    return rest or candidate


def _either(one: float, other: float) -> float:
    """The log-probability of either of two candidates that have become one text."""
    return max(one, other) + math.log1p(math.exp(-abs(one - other)))


def _data(entry: Mapping[str, Any]) -> bytes:
    listed = entry.get("bytes")
    if isinstance(listed, list) and all(isinstance(b, int) and 0 <= b < 256 for b in listed):
        return bytes(listed)
    return str(entry.get("token") or "").encode(errors="surrogatepass")


def _with(entry: Mapping[str, Any], data: bytes) -> dict[str, Any]:
    found = {**entry, "token": data.decode(errors="replace")}
    return {**found, "bytes": list(data)} if "bytes" in entry else found
