"""Compression of WebSocket messages."""

import os
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import OriginError, WebSocketError
from gripproxy.protocol.permessage_deflate import (
    OFFER,
    STREAMS_MAX_COUNT,
    Inflater,
    agree,
    deflate,
    is_agreed,
)

HELLO = [  # RFC 7692 section 7.2.3, every way to say it
    bytes.fromhex("f248cdc9c90700"),  # one block
    bytes.fromhex("000500faff48656c6c6f00"),  # no compression
    bytes.fromhex("f348cdc9c9070000"),  # a final block
    bytes.fromhex("f24805000000ffffcac9c90700"),  # two blocks
    bytes.fromhex("f348cdc9c90700"),  # a final block and nothing behind it, which most receivers take
]
FINAL = b"\x03\x00"  # an empty final block: a whole stream
NO_TAKEOVERS = b"; client_no_context_takeover; server_no_context_takeover"
LINE = b"permessage-deflate"


def fault(inflater: Inflater, part: bytes, is_end: bool = True) -> int:
    with pytest.raises(WebSocketError) as raised:
        inflater.feed(part, is_end)
    return raised.value.code


def cut(payload: bytes, size: int) -> list[bytes]:
    return [payload[start : start + size] for start in range(0, len(payload), size)]


@pytest.mark.parametrize("payload", HELLO)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_examples_of_the_rfc(payload: bytes, size: int) -> None:
    """However they are cut into frames and the frames into pieces."""
    inflater = Inflater(5)
    for _ in range(2):  # the second message knows nothing of the first
        made = [inflater.feed(part, False) for part in cut(payload, size)]
        assert b"".join(made) + inflater.feed(b"", True) == b"Hello"
    assert Inflater(5).feed(payload, is_end=True) == b"Hello"


def test_example_that_needs_the_message_before_is_refused() -> None:
    """RFC 7692 section 7.2.3.2: neither end takes over a context, so there is none to refer to."""
    inflater = Inflater(100)
    assert inflater.feed(HELLO[0], True) == b"Hello"
    assert fault(inflater, bytes.fromhex("f200110000")) == 1007


@given(st.binary(max_size=300), st.integers(1, 400), st.booleans())
def test_what_was_deflated_comes_back(content: bytes, size: int, is_stored: bool) -> None:
    """An empty message too, whose deflated form is one byte."""
    if is_stored:
        compressor = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
        payload = compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH)
        payload = payload.removesuffix(b"\x00\x00\xff\xff")
    else:
        payload = deflate(content)
    inflater = Inflater(300)
    parts = cut(payload, size)
    made = [inflater.feed(part, index == len(parts) - 1) for index, part in enumerate(parts)]
    assert b"".join(made) == content


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_garbage_is_refused_or_read_and_leaves_nothing(parts: list[bytes]) -> None:
    """No exception but our own, no more than was allowed, and the next message is read."""
    inflater = Inflater(50)
    try:
        made = [inflater.feed(part, False) for part in parts]
        made.append(inflater.feed(b"", True))
        assert len(b"".join(made)) <= 50
    except WebSocketError as error:
        assert error.code in (1007, 1009)
    assert inflater.feed(HELLO[0], True) == b"Hello"


@pytest.mark.parametrize("size", [1, 7, 1000, 10_000])
def test_bomb_is_refused_before_it_goes_off(size: int) -> None:
    """The bound is the message's, not the piece's: 10 MB in 10 KB, of which 1,000 bytes come out."""
    payload = deflate(bytes(10_000_000))
    inflater = Inflater(1000)
    tracemalloc.start()
    made_bytes = 0
    with pytest.raises(WebSocketError) as raised:
        for part in cut(payload, size):
            made_bytes += len(inflater.feed(part, False))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert raised.value.code == 1009
    assert made_bytes <= 1000
    assert peak_bytes < 200_000


def test_exact_bound_is_allowed() -> None:
    """One more is not; and each message has the whole bound."""
    inflater = Inflater(1000)
    for _ in range(3):
        assert inflater.feed(deflate(bytes(1000)), True) == bytes(1000)
    assert fault(inflater, deflate(bytes(1001))) == 1009
    assert Inflater(0).feed(b"\x00", is_end=True) == b""


def test_message_may_have_some_streams_but_not_thousands() -> None:
    """Each costs what a message costs to begin, and there could be one in every two bytes."""
    assert Inflater(0).feed(FINAL * (STREAMS_MAX_COUNT - 1) + b"\x00", is_end=True) == b""
    assert fault(Inflater(0), FINAL * STREAMS_MAX_COUNT + b"\x00") == 1007


def test_nothing_is_kept_between_messages() -> None:
    """Idle connections share one: zlib's window alone has 32 KB."""
    inflater = Inflater(100_000)
    inflater.feed(deflate(os.urandom(50_000)), True)
    assert inflater._stream is None
    inflater.feed(b"\x00\x05", False)  # a stored block of 5 bytes, but then its length's complement is wrong
    assert inflater._stream is not None
    assert fault(inflater, b"\x00\x00\x00") == 1007
    assert inflater._stream is None


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ([], None),
        ([b"grip, x-webkit-deflate-frame"], None),
        ([b"permessage-deflate"], LINE + NO_TAKEOVERS),
        ([b"permessage-deflate; client_max_window_bits"], LINE + NO_TAKEOVERS),
        ([b"permessage-deflate;client_max_window_bits=9;server_no_context_takeover"], LINE + NO_TAKEOVERS),
        ([b'foo; a="b,c"', b"permessage-deflate; client_no_context_takeover, bar"], LINE + NO_TAKEOVERS),
        ([b"permessage-deflate; server_max_window_bits=15"], LINE + NO_TAKEOVERS + b"; server_max_window_bits=15"),
        ([b'permessage-deflate; server_max_window_bits="15"'], LINE + NO_TAKEOVERS + b"; server_max_window_bits=15"),
        ([b"permessage-deflate; server_max_window_bits=10, permessage-deflate"], LINE + NO_TAKEOVERS),
        ([b"permessage-deflate; server_max_window_bits=10"], None),
        ([b"permessage-deflate; server_max_window_bits"], None),
        ([b"permessage-deflate; unknown"], None),
        ([b"permessage-deflate; client_max_window_bits; client_max_window_bits=15"], None),
        ([b"permessage-deflate; client_max_window_bits=7"], None),
        ([b"permessage-deflate; client_max_window_bits=16"], None),
        ([b"permessage-deflate; client_max_window_bits=08"], None),
        ([b"permessage-deflate; client_max_window_bits=+9"], None),
        ([b"permessage-deflate; client_max_window_bits=" + b"9" * 5000], None),
        ([b"permessage-deflate; client_no_context_takeover=1"], None),
        ([b'permessage-deflate; client_no_context_takeover="'], None),
    ],
)
def test_first_acceptable_offer_is_taken(offers: list[bytes], answer: bytes | None) -> None:
    """RFC 7692 section 7.1: an offer with anything unknown, repeated or malformed is declined."""
    assert agree(offers) == answer


@pytest.mark.parametrize(
    ("answer", "is_good"),
    [
        ([], False),
        ([b"grip"], False),
        ([OFFER], True),
        ([b"grip; x", b"permessage-deflate; server_no_context_takeover"], True),
        ([b"permessage-deflate; server_no_context_takeover; server_max_window_bits=8"], True),
    ],
)
def test_origin_may_agree_to_what_it_was_offered(answer: list[bytes], is_good: bool) -> None:
    """Smaller windows of its own are its affair: the largest reads them all."""
    assert is_agreed(answer, is_offered=True) is is_good


@pytest.mark.parametrize(
    "answer",
    [
        b"permessage-deflate",
        b"permessage-deflate; client_no_context_takeover",
        b"permessage-deflate; server_no_context_takeover=1",
        b"permessage-deflate; server_no_context_takeover; server_max_window_bits",
        b"permessage-deflate; server_no_context_takeover; client_max_window_bits=9",
        b"permessage-deflate; server_no_context_takeover; unknown",
        b"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        OFFER + b", " + OFFER,
    ],
)
def test_origin_that_agrees_to_something_else_fails(answer: bytes) -> None:
    """Its messages would need contexts that nobody keeps."""
    with pytest.raises(OriginError):
        is_agreed([answer], is_offered=True)


def test_origin_that_was_not_offered_compression_fails() -> None:
    """It would send frames that break the protocol."""
    assert not is_agreed([b"grip"], is_offered=False)
    with pytest.raises(OriginError):
        is_agreed([OFFER], is_offered=False)
