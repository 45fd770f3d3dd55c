"""Answers that echo a key: what is kept of them holds it no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["MARK", "redacted", "suspected"]

#: What stands in the place of a secret.
MARK = "[redacted]"
# Keys of local servers are often "none" or "EMPTY": in an answer those are words.
_SHORTEST = 8


def redacted(raw: dict[str, Any], secrets: Sequence[str]) -> dict[str, Any]:
    """A response without secrets, wherever it holds them: texts, tokens, candidates, names.

    Tokens that make up a secret become one: the first of them, with the mark in the place of
    the secret and the other candidates at its position, so that tokens and text still agree
    and belief is read from the rest as it was. The field ``redacted`` then holds the position
    of the first such token, -1 where there are none; it is what a row says of it.

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
    {'choices': [{'text': 'A. [redacted]!'}], 'redacted': -1}
    """
    known = sorted({s for s in secrets if len(s) >= _SHORTEST}, key=len, reverse=True)
    if not known:
        return raw
    cleaner = _Cleaner(known)
    found = cleaner.of(raw)
    if not cleaner.hits:
        return raw
    return {**found, "redacted": min(cleaner.positions, default=-1)}


def suspected(content: bytes, secrets: Sequence[str]) -> bool:
    """Whether a body may hold a secret: as it is, or in characters that are spelled out.

    >>> suspected(b'{"text": "Pampers"}', ["sk-12345678"])
    False
    """
    if b"\\u" in content or b"\\/" in content:
        return bool(secrets)
    return any(secret.encode() in content for secret in secrets)


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

    def _spans(self, pieces: Sequence[bytes]) -> dict[int, bytes | None]:
        """New bytes of the tokens that a secret touches; None of those that are dropped."""
        joined = b"".join(pieces)
        if not any(secret.encode() in joined for secret in self._secrets):
            return {}
        owner = [k for k, piece in enumerate(pieces) for _ in piece]
        found: dict[int, bytes | None] = {}
        into = at = 0  # the token that takes what is left of those that are dropped
        while at < len(joined):
            ahead = (s.encode() for s in self._secrets)
            secret = next((s for s in ahead if joined.startswith(s, at)), b"")
            if not secret:
                if owner[at] in found:
                    found[into] = (found[into] or b"") + joined[at : at + 1]
                at += 1
                continue
            first, last = owner[at], owner[at + len(secret) - 1]
            if first not in found:
                into = first
                found[into] = joined[owner.index(first) : at]
            found[into] = (found[into] or b"") + MARK.encode()
            found |= dict.fromkeys(range(first + 1, last + 1))
            at += len(secret)
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
            new = spans.get(k, pieces[k])
            if new is None:
                continue
            if k in spans:
                self.hits += 1
                self.positions.append(len(kept))
                listed = entry.get("top_logprobs") or []
                listed = [_with(c, new) if _data(c) == pieces[k] else c for c in listed]
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
        kept = [k for k in range(len(tokens)) if spans.get(k, b"") is not None]
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
                new = (spans[k] or b"").decode(errors="replace")
                found["tokens"][place] = new
                if isinstance(listed, list) and isinstance(listed[place], Mapping):
                    own = listed[place]
                    listed[place] = {new if t == tokens[k] else t: v for t, v in own.items()}
        return found


def _data(entry: Mapping[str, Any]) -> bytes:
    listed = entry.get("bytes")
    if isinstance(listed, list) and all(isinstance(b, int) and 0 <= b < 256 for b in listed):
        return bytes(listed)
    return str(entry.get("token") or "").encode(errors="surrogatepass")


def _with(entry: Mapping[str, Any], data: bytes) -> dict[str, Any]:
    found = {**entry, "token": data.decode(errors="replace")}
    return {**found, "bytes": list(data)} if "bytes" in entry else found
