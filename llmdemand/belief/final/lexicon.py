"""Word lists of the languages in which answers are read, from ``data/words``."""

from __future__ import annotations

import itertools
import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llmdemand.core.menu import fold
from llmdemand.core.resources import data_file

__all__ = ["OPENERS", "TOKEN", "Lexicon", "choice_keys", "language_of", "lexicon"]

# Kinds of phrases; where lists overlap the earlier kind counts.
_KINDS = tuple(
    "plain nothing refuse unsure forced reject decide after correct former latter cheaper dearer "
    "other second first verdict intend others wish verb both pronoun turn split topic if "
    "if_first scene scene_first compare compared not me is pointer".split()
)
OPENERS = frozenset({"scene_first", "if_first"})
_LATIN = ("en", "de", "es", "fr")
_ALL = (*_LATIN, "zh", "ja")

# Characters of scripts that do not space their words, as the inside of a class.
_CJK = "\u3005\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
#: A word, an elided article, a character of those scripts, a new line or a sign.
TOKEN = re.compile(
    rf"[{_CJK}]|(?:qu|[cdjlmnst])'(?=[^\W\d_{_CJK}])|[^\W_{_CJK}]+(?:'[^\W_{_CJK}]+)*|\n|[^\w\s]"
)
_KANA = re.compile(r"[\u3040-\u30ff]")
_HAN = re.compile(r"[\u3400-\u9fff]")
_GROUP = re.compile(r"\(([^()]*)\)")


@dataclass(frozen=True)
class Lexicon:
    """The phrases of one language.

    Attributes
    ----------
    language : str
        ``en``, ``de``, ``es``, ``fr``, ``zh`` or ``ja``.
    object : str
        Where the name stands to the verb that decides: ``after``, ``before`` or ``any``.
    phrases, openers : dict of str to str
        Kind by folded phrase; the openers are what they are at the beginning of a clause.
    fill : frozenset of str
        Words that may stand beside a name without changing what it says.
    """

    language: str
    object: str
    phrases: dict[str, str]
    openers: dict[str, str]
    fill: frozenset[str]


@lru_cache(maxsize=len(_ALL))
def lexicon(language: str) -> Lexicon:
    """The word lists of a language; read once.

    >>> lexicon("de").phrases["ich"]
    'me'
    """
    table = _table(language)
    phrases: dict[str, str] = {}
    openers: dict[str, str] = {}
    for kind in reversed(_KINDS):
        known = openers if kind in OPENERS else phrases
        known.update(dict.fromkeys(_phrases(table.get(kind, [])), kind))
    return Lexicon(language, table["object"], phrases, openers, frozenset(_phrases(table["fill"])))


@lru_cache(maxsize=1)
def choice_keys() -> frozenset[str]:
    """Names under which a choice stands in JSON, in any of the languages."""
    return frozenset(itertools.chain(*(_phrases(_table(code)["keys"]) for code in _ALL)))


def language_of(folded: str) -> str:
    """The language of a folded text; English where nothing tells.

    >>> language_of("ich nehme huggies"), language_of("huggies")
    ('de', 'en')
    """
    if not folded.isascii():
        if _KANA.search(folded):
            return "ja"
        if _HAN.search(folded):
            return "zh"
    common = _common()
    counts = dict.fromkeys(_LATIN, 0)
    for word in set(folded.replace("'", " ").split()):
        for code in common.get(word.strip(".,:;!?()\u2026"), ()):
            counts[code] += 1
    return max(counts, key=counts.__getitem__)  # of equals the first, English


@lru_cache(maxsize=1)
def _common() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for code in _LATIN:
        own = " ".join([*_phrases(_table(code)["common"]), *lexicon(code).phrases])
        for word in set(own.replace("'", " ").split()):
            if len(word) > 1:  # a letter may be a label
                found[word] = (*found.get(word, ()), code)
    return found


@lru_cache(maxsize=len(_ALL))
def _table(language: str) -> dict[str, Any]:
    return tomllib.loads(data_file("words", f"{language}.toml").read_text("utf-8"))


def _phrases(entry: str | list[str]) -> list[str]:
    """The phrases of a list, "(a|b)" written out; a text is a list of words, "_" a space."""
    if isinstance(entry, str):
        return [fold(word.replace("_", " ")) for word in entry.split()]
    found = []
    for text in entry:
        parts = _GROUP.split(text)
        options = [p.split("|") if k % 2 else [p] for k, p in enumerate(parts)]
        for chosen in itertools.product(*options):
            phrase = " ".join(fold("".join(chosen)).split())
            if phrase:
                found.append(phrase)
    return found
