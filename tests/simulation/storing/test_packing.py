"""Packing loses nothing: not a bit of a number, not a byte of a text."""

import json
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.simulation.storing.packing import packed, unpacked


def bits(value):
    """A value in which equal means the same bits: zeros with their signs, and NaN."""
    if isinstance(value, dict):
        return {k: bits(v) for k, v in value.items()}
    if isinstance(value, list):
        return [bits(v) for v in value]
    if value != value:
        return "nan"
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


single = st.floats(width=32)
decimal = st.builds(lambda m, e: m / 10**e, st.integers(-(2**31), 2**31), st.integers(0, 12))
# Texts with the byte that marks a float, and halves of surrogate pairs.
text = st.text(st.sampled_from("a\u02cb\u02ff\u00cb\ud800\x00")) | st.text()
leaf = st.none() | st.booleans() | st.integers() | st.floats() | single | decimal | text
tree = st.recursive(
    leaf, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=10
)


@settings(max_examples=30)
@given(st.dictionaries(text, tree))
def test_whatever_goes_in_comes_out(raw):
    assert bits(unpacked(packed(raw))) == bits(raw)


@settings(max_examples=60)
@given(st.lists(st.one_of(single, decimal, st.floats()), min_size=30, max_size=60), text)
def test_lists_of_numbers_keep_every_bit(values, after):
    raw = {"logprobs": values, "text": after}
    assert bits(unpacked(packed(raw))) == bits(raw)


@pytest.mark.parametrize(
    "values, most",
    [
        ([math.sqrt(k) for k in range(100)], 9.2),
        ([struct.unpack("f", struct.pack("f", -math.sqrt(k)))[0] for k in range(100)], 5.2),
        ([float(f"{-math.sqrt(k + 2):.8f}") for k in range(100)], 6.2),
    ],
    ids=["doubles", "singles as doubles", "decimals"],
)
def test_numbers_take_the_bytes_of_what_they_were_before_they_were_written(values, most):
    assert len(packed({"x": values})) < most * len(values) + 30


def test_one_odd_number_spoils_nothing():
    values = [struct.unpack("f", struct.pack("f", -math.sqrt(k)))[0] for k in range(100)]
    raw = {"x": [*values, 0.1, -0.0, math.nan, -math.inf]}
    assert bits(unpacked(packed(raw))) == bits(raw)
    assert len(packed(raw)) < len(packed({"x": values})) + 80


@pytest.mark.parametrize("cut", [11, 40, -1])
def test_what_is_cut_is_no_response(cut):
    data = packed({"x": [k / 7 for k in range(40)]})
    with pytest.raises(ValueError):
        unpacked(data[:cut])


def test_json_of_old_is_read():
    assert unpacked(json.dumps({"a": [1, "x"]}).encode()) == {"a": [1, "x"]}
