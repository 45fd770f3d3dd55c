"""Bytes to characters, and where words may begin and end."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

__all__ = ["boundary", "decode", "encodings", "first_word"]


def first_word(text: str) -> str:
    """The letters, digits and apostrophes with which a text begins."""
    for position, character in enumerate(text):
        if not character.isalnum() and character != "'":
            return text[:position]
    return text


def boundary(before: str, c: str) -> bool:
    """Whether a word may begin or end between two characters.

    Scripts without spaces (category Lo: Chinese, Japanese, Thai, ...) may begin
    and end anywhere.
    """
    if not (before.isalnum() and c.isalnum()):
        return True
    return unicodedata.category(before) == "Lo" or unicodedata.category(c) == "Lo"


def decode(data: bytes) -> tuple[str, bytes]:
    """The complete characters, and the bytes of a character that is still cut."""
    for cut in range(min(4, len(data) + 1)):
        head, tail = data[: len(data) - cut], data[len(data) - cut :]
        if tail and not _may_be_cut(tail):
            continue
        try:
            return head.decode(), tail
        except UnicodeDecodeError:
            continue
    return data.decode(errors="replace"), b""


def _may_be_cut(tail: bytes) -> bool:
    """Whether bytes can be the beginning of one unfinished UTF-8 character."""
    first = tail[0]
    length = 2 if 0xC2 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4 if first >= 0xF0 else 0
    return len(tail) < length and all(0x80 <= b < 0xC0 for b in tail[1:])


@lru_cache(maxsize=4096)
def encodings(character: str) -> tuple[bytes, ...]:
    """The UTF-8 bytes of a folded character in either case."""
    return tuple({v.encode() for v in (character, character.upper(), character.lower())})
