"""Bytes to characters, and where words may begin and end."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from llmdemand.belief.words import JOINED

__all__ = ["begins", "boundary", "decode", "encodings", "first_word", "one_is_little"]

_HAN, _HANGUL, _KATAKANA = ("\u3400", "\u9fff"), ("\uac00", "\ud7a3"), ("\u30a1", "\u30ff")


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


def begins(before: str, c: str) -> bool:
    """Whether a name may begin with `c` after the character `before`.

    As `boundary`, but Korean words and Japanese ones in katakana begin where their run
    of letters does, and in Chinese not where both characters are one common word.

    >>> begins("\u9009", "\u597d"), begins("\u4f60", "\u597d"), begins("\u30b9", "\u30d1")
    (True, False, False)
    """
    for first, last in (_HANGUL, _KATAKANA):
        if first <= c <= last and first <= before <= last and before.isalnum():
            return False
    return boundary(before, c) and before + c not in JOINED


def one_is_little(c: str) -> bool:
    """Whether one character of a script without spaces is as often part of another word.

    True of Thai or hiragana letters, false of Chinese characters, katakana and Korean
    syllables, where it is like the first letter of a word.
    """
    if unicodedata.category(c) != "Lo":
        return False
    return not any(first <= c <= last for first, last in (_HAN, _HANGUL, _KATAKANA))


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
