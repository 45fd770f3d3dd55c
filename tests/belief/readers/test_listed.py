"""Tokens that are read together are those that are read one by one."""

import json
import math
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.belief.readers.listed import Glyphs, _ranked, data_of, entries, value_of
from llmdemand.belief.readers.shapes import Candidate, Entry
from llmdemand.belief.tokens import Token

SHAPES = sorted((Path(__file__).parents[1] / "shapes").glob("*.json"))
TOKENS = st.one_of(
    st.none(),
    st.text(max_size=3),
    st.sampled_from(
        [" H", "\u0120H", "\u2581P", "\u0105", "\u0103", "\ufffd", "<0xE5>", "<0", "xE5>", ""]
    ),
)
BYTES = st.one_of(
    st.none(),
    st.lists(st.integers(0, 255), max_size=4),
    st.lists(st.integers(-(2**65), 2**65), max_size=2),
    st.sampled_from([list("\u0120".encode()), [0xE5], [0xE2, 0x96], [0x81]]),
)
VALUES = st.one_of(st.none(), st.floats(-20, 1), st.integers(-20, 0))


def fields(**more):
    """An entry with any of its fields missing, and perhaps one that nobody knows."""
    known = {"token": TOKENS, "logprob": VALUES, "bytes": BYTES, "rank": st.integers(), **more}
    return st.fixed_dictionaries({}, optional=known)


LISTS = st.one_of(st.none(), st.lists(fields(), max_size=5), st.just([{"logprob": "low"}]))
ENTRIES = st.lists(fields(top_logprobs=LISTS), max_size=6)
TEXTS = st.sampled_from(["I pick Huggies", "\u0120H", "\u0105", "a <0xE5>", ""])


def one_by_one(content, text, drawn_first):
    """What `entries` says of each token alone, without a short cut."""
    glyphs, made = Glyphs(text), []
    for entry in content:
        own = glyphs(data_of(entry.token, entry.bytes))
        if entry.top_logprobs is msgspec.UNSET:
            listed = ((), ())
        else:
            try:
                kind = list[Candidate] | None
                known = msgspec.json.decode(bytes(entry.top_logprobs), type=kind) or []
                names = tuple(glyphs(data_of(c.token, c.bytes)) for c in known)
                values = tuple(value_of(c.logprob) for c in known)
                listed = _ranked(names, values, own, drawn_first)
            except msgspec.ValidationError:
                listed = ((b"\xef\xbf\xbd",), (math.nan,))
        made.append(Token(own, value_of(entry.logprob), *listed))
    return tuple(made)


def same(raw, text, drawn_first):
    content = msgspec.json.decode(json.dumps(raw, ensure_ascii=False).encode(), type=list[Entry])
    # Not-a-number is not equal to itself, but is written alike.
    found = repr(entries(content, text, drawn_first=drawn_first))
    assert found == repr(one_by_one(content, text, drawn_first))
    return found


@settings(max_examples=400)
@given(ENTRIES, TEXTS, st.booleans())
def test_tokens_read_together_are_those_read_one_by_one(raw, text, drawn_first):
    same(raw, text, drawn_first)


def test_so_are_those_of_every_chat_on_file():
    seen = 0
    for path in SHAPES:
        raw = json.loads(path.read_text("utf-8"))["raw"]
        choices = raw.get("choices") if isinstance(raw, dict) else None
        content = choices and (choices[0].get("logprobs") or {}).get("content")
        for drawn_first in (False, True) if content else ():
            assert same(content, choices[0]["message"]["content"] or "", drawn_first) != "()"
            seen += 1
    assert seen > 20


def test_a_glyph_in_one_token_is_undone_in_that_token():
    content = [Entry(" I", -0.1), Entry("\u0120H", -0.2), Entry("<0xE5>", -0.3)]
    made = [t.data for t in entries(content, " I H")]
    assert made == [b" I", b" H", b"\xe5"]
    assert [t.data for t in entries(content, "\u0120")][1] == "\u0120H".encode()
