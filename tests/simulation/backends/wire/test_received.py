"""Answers of HTTP, byte by byte: whole, packed, in chunks, cut, and none at all."""

import gzip
import random
import zlib

import pytest
from h11 import CLIENT, Connection, Data, EndOfMessage, Request, Response
from hypothesis import given
from hypothesis import strategies as st

from llmdemand.simulation.backends.wire.received import BrokenOff, Receiver, TooLong

BODY = b'{"choices": [{"text": "Pampers\\n\\n"}]}'


def head(*lines, status=b"200 OK", version=b"1.1"):
    return b"\r\n".join([b"HTTP/%s %s" % (version, status), *lines, b"", b""])


def sized(body, *lines):
    return head(b"Content-Length: %d" % len(body), *lines) + body


def chunked(body, size=7, *lines):
    parts = [body[k : k + size] for k in range(0, len(body), size)]
    chunks = b"".join(b"%X;x=1\r\n%s\r\n" % (len(p), p) for p in parts)
    return head(b"Transfer-Encoding: chunked", *lines) + chunks + b"0\r\nTrailer: x\r\n\r\n"


def deflated(body):
    raw = zlib.compressobj(wbits=-15)
    return raw.compress(body) + raw.flush()


WHOLE = {
    "sized": sized(BODY),
    "chunks": chunked(BODY),
    "with line feeds alone": sized(BODY).replace(b"\r\n", b"\n"),
    "told to wait first": head(status=b"100 Continue")
    + head(b"Link: x", status=b"103 E")
    + sized(BODY),
    "gzip": sized(gzip.compress(BODY), b"Content-Encoding: gzip"),
    "gzip in two members": sized(
        gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]), b"Content-Encoding: gzip"
    ),
    "deflate": sized(zlib.compress(BODY), b"Content-Encoding: deflate"),
    "deflate as some mean it": sized(deflated(BODY), b"Content-Encoding: deflate"),
    "gzip in chunks": chunked(gzip.compress(BODY), 11, b"Content-Encoding: gzip"),
    "the same length twice": sized(BODY, b"Content-Length: %d" % len(BODY)),
}


def received(pieces, most=10_000):
    receiver, found = Receiver(most), None
    for piece in pieces:
        assert found is None, "an answer ends where it ends"
        found = receiver.feed(piece)
    return found or receiver.end()


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
@given(seed=st.integers(0, 2**32))
def test_an_answer_is_the_same_however_it_arrives(data, seed):
    rng = random.Random(seed)
    cuts = sorted(rng.sample(range(1, len(data)), min(rng.randint(0, 40), len(data) - 1)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    found = received(pieces)
    assert (found.status, found.content, found.again) == (200, BODY, True)


@pytest.mark.parametrize("data", [WHOLE["sized"], WHOLE["chunks"]], ids=["sized", "chunks"])
def test_it_is_what_another_reader_finds(data):
    other = Connection(CLIENT)
    other.send(Request(method="POST", target="/", headers=[("Host", "x")]))
    other.send(EndOfMessage())
    other.receive_data(data)
    events = []
    while not isinstance(event := other.next_event(), EndOfMessage):
        events.append(event)
    (answer,) = (e for e in events if isinstance(e, Response))
    found = received([data])
    assert found.status == answer.status_code
    assert found.headers == {k.decode(): v.decode() for k, v in answer.headers}
    assert found.content == b"".join(bytes(e.data) for e in events if isinstance(e, Data))


def test_a_body_without_length_ends_with_its_connection():
    assert received([head(), BODY]).content == BODY
    assert not received([head(), BODY]).again
    assert received([head(status=b"204 No")]).content == b""


@pytest.mark.parametrize(
    "data",
    [
        sized(BODY, b"Connection: Close"),
        head(b"Content-Length: 2", version=b"1.0") + b"{}",
        sized(BODY) + b"HTTP/1.1 200",
        chunked(BODY, 9, b"Content-Length: 3"),
    ],
    ids=["said", "of before", "more than was asked", "chunks and a length"],
)
def test_connections_that_carry_no_other_call(data):
    found = received([data])
    assert found.status == 200 and not found.again


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        head(b"Content-Length: -2") + b"{}",
        head(b"Content-Length: 2, 3") + b"{}",
        head(b"Transfer-Encoding: gzip") + b"{}",
        head(b" folded: x"),
        head(b"Transfer-Encoding: chunked") + b"x\r\n{}\r\n0\r\n\r\n",
        head(b"Transfer-Encoding: chunked") + b"1\r\n{}\r\n0\r\n\r\n",
        sized(b"{}", b"Content-Encoding: gzip"),
        sized(gzip.compress(BODY)[:-9], b"Content-Encoding: gzip"),
        sized(BODY, b"Content-Encoding: br"),
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000,
    ],
)
def test_what_is_no_answer_is_not_guessed(data):
    with pytest.raises(BrokenOff):
        received([data])


@pytest.mark.parametrize("keep", [1, 20, -1])
@pytest.mark.parametrize("data", [WHOLE["sized"], WHOLE["chunks"]], ids=["sized", "chunks"])
def test_a_cut_answer_is_none(data, keep):
    with pytest.raises(BrokenOff):
        received([data[:keep]])


@pytest.mark.parametrize(
    "data",
    [
        sized(b" " * 101),
        head() + b" " * 101,
        chunked(b" " * 101),
        sized(gzip.compress(b" " * 101), b"Content-Encoding: gzip"),
    ],
    ids=["sized", "endless", "chunks", "packed"],
)
def test_no_more_is_read_than_an_answer_has(data):
    with pytest.raises(TooLong) as caught:
        received([data], most=100)
    assert caught.value.args == (100,)
