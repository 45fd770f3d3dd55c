"""A raw response as few bytes, before compression: numbers apart from texts, nothing lost."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["packed", "unpacked"]

# MessagePack never begins with this byte, and JSON neither.
_APART = b"\xc1"
_HEAD = struct.Struct("<ccII")
# A MessagePack float; of other bytes that look like one the same eight are put back.
_FLOAT = b"\xcb"
_FLOATS = re.compile(_FLOAT + b"(.{8})", re.DOTALL)
# So few numbers gain less than taking them apart costs: a twentieth of the bytes.
_FEW = 32
_DIGITS = 17
_NO_DECIMAL = 255
# Bytes of a number: a float, a decimal exponent with an integer, or a double.
_WIDTHS = {b"4": 4, b"d": 5, b"8": 8}


def packed(raw: Mapping[str, Any]) -> bytes:
    """A response as bytes that compress well.

    MessagePack; where it holds numbers enough, those stand apart from the texts, byte by byte in
    planes, as what they were before they were written out: 32-bit floats, or decimals
    ``m / 10^e`` with ``|m| < 2^31``. Numbers that are neither stay as they are.

    Examples
    --------
    >>> raw = {"text": " Huggies", "logprobs": [-0.25, -11.375000953674316, 1e-320]}
    >>> unpacked(packed(raw)) == raw
    True
    """
    import msgspec

    try:
        data = msgspec.msgpack.encode(raw)
    except (ValueError, TypeError, OverflowError):
        # Half a surrogate pair, an integer of more than 64 bits: JSON has them.
        return json.dumps(raw, separators=(",", ":"), ensure_ascii=True).encode()
    parts = _FLOATS.split(data)
    if len(parts) <= 2 * _FEW:
        return data
    return _apart(parts[::2], b"".join(parts[1::2]))


def unpacked(data: bytes) -> dict[str, Any]:
    """What `packed` was given.

    Raises
    ------
    ValueError
        For anything else.
    """
    import msgspec

    if data[:1] == b"{":
        return dict(json.loads(data))
    return dict(msgspec.msgpack.decode(_together(data) if data[:1] == _APART else data))


def _apart(texts: list[bytes], numbers: bytes) -> bytes:
    import numpy as np

    values = np.frombuffer(numbers, ">f8").astype("<f8")
    with np.errstate(all="ignore"):
        floats = values.astype("<f4")
        odd = np.flatnonzero(_differ(floats.astype("<f8"), values))
        kind, planes = b"4", _planes(floats)
        if 2 * len(odd) > len(values):
            kind, planes, odd = _decimals(values)
    head = _HEAD.pack(_APART, kind, len(values), len(odd))
    rest = odd.astype("<u4").tobytes() + values[odd].tobytes()
    return head + _FLOAT.join(texts) + planes + rest


def _decimals(values: np.ndarray) -> tuple[bytes, bytes, np.ndarray]:
    """Numbers as ``m / 10^e``, which is correctly rounded: both are exact as doubles."""
    import numpy as np

    powers = 10.0 ** np.arange(_DIGITS)
    # Integers have no minus zero: where the number is one, it is odd.
    mantissas = np.rint(values[:, None] * powers) + 0.0
    # No NaN reaches the integers: a comparison with it is false.
    fits = (np.abs(mantissas) < 2**31) & ~_differ(mantissas / powers, values[:, None])
    exponents, rows = fits.argmax(1), np.arange(len(values))
    odd = np.flatnonzero(~fits[rows, exponents])
    if 2 * len(odd) > len(values):
        return b"8", _planes(values), odd[:0]
    chosen = mantissas[rows, exponents]
    chosen[odd], exponents[odd] = 0, _NO_DECIMAL
    whole = exponents.astype("u1").tobytes() + _planes(chosen.astype("<i4"))
    return b"d", whole, odd


def _together(data: bytes) -> bytes:
    import numpy as np

    _, kind, count, exceptions = _HEAD.unpack_from(data)
    tail = len(data) - 12 * exceptions
    begin = tail - _WIDTHS[kind] * count
    if begin < _HEAD.size:
        raise ValueError("it is shorter than its numbers")
    planes = np.frombuffer(data[begin:tail], "u1").reshape(-1, count)
    if kind == b"d":
        mantissas = np.ascontiguousarray(planes[1:].T).view("<i4")[:, 0]
        exponents = np.where(planes[0] == _NO_DECIMAL, 0, planes[0])
        values = mantissas / 10.0**exponents
    else:
        own = np.ascontiguousarray(planes.T).view(f"<f{kind.decode()}")[:, 0]
        values = own.astype("<f8")
    odd = np.frombuffer(data, "<u4", exceptions, tail)
    values[odd] = np.frombuffer(data, "<f8", exceptions, tail + 4 * exceptions)
    numbers = values.astype(">f8").tobytes()
    # One within the last eight bytes was none when they were taken apart.
    first, *texts = data[_HEAD.size : begin].split(_FLOAT, count)
    if len(texts) != count:
        raise ValueError("it has other numbers than places for them")
    whole = [_FLOAT + numbers[8 * k : 8 * k + 8] + text for k, text in enumerate(texts)]
    return first + b"".join(whole)


def _planes(values: np.ndarray) -> bytes:
    """All first bytes, then all second bytes, and so on: the high ones hardly differ."""
    return values.view("u1").reshape(len(values), -1).T.tobytes()


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two numbers are not the same bits: a minus zero is not a zero."""
    found: np.ndarray = one.view("<i8") != other.view("<i8")
    return found
