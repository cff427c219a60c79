"""Events of WebSocket-over-HTTP, written and read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import OriginError
from gripproxy.protocol.websocket_events import WsEvent, decode_events, encode_events, frame_of
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, PING, PONG, TEXT, Frame
from gripproxy.protocol.websocket_reader import read_whole

FRAMES = st.builds(Frame, st.sampled_from([TEXT, BINARY, PING, PONG, CLOSE]), st.binary(max_size=125))


@pytest.mark.parametrize(
    ("frames", "body"),
    [
        ([Frame(TEXT, b"hello"), Frame(TEXT, b"0123456789")], b"TEXT 5\r\nhello\r\nTEXT a\r\n0123456789\r\n"),
        ([Frame(BINARY, b"m2"), Frame(PING, b"pi"), Frame(PONG, b"")], b"BINARY 2\r\nm2\r\nPING 2\r\npi\r\nPONG\r\n"),
        ([Frame(TEXT, b""), Frame(BINARY, b"")], b"TEXT 0\r\n\r\nBINARY 0\r\n\r\n"),
        ([Frame(CLOSE, b"\x03\xe9going")], b"CLOSE 7\r\n\x03\xe9going\r\n"),
        ([Frame(CLOSE, b"")], b"CLOSE\r\n"),
        ([], b""),
    ],
)
def test_frames_become_events(frames: list[Frame], body: bytes) -> None:
    """An empty message is a message and has a length; an empty control frame has none."""
    assert encode_events(frames) == body


def test_empty_messages_as_readers_give_them_have_a_length() -> None:
    """Their opcodes are plain numbers."""
    frames, _ = read_whole(b"\x81\x80mask\x82\x80mask\x8a\x80mask", is_client=True)
    assert encode_events(frames) == b"TEXT 0\r\n\r\nBINARY 0\r\n\r\nPONG\r\n"


@given(st.lists(FRAMES))
def test_events_say_what_the_frames_said(frames: list[Frame]) -> None:
    assert [frame_of(event) for event in decode_events(encode_events(frames))] == frames


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"", []),
        (b"OPEN\r\n", [WsEvent(b"OPEN")]),
        (b"TEXT 2B\r\n" + b"x" * 43, [WsEvent(b"TEXT", b"x" * 43)]),
        (b"TEXT 0x2\r\nab\r\n", [WsEvent(b"TEXT", b"ab")]),
        (b"TEXT 0X0002\r\nab", [WsEvent(b"TEXT", b"ab")]),
        (b"TEXT 5\r\nab", [WsEvent(b"TEXT", b"ab")]),
        (b"TEXT ffffffffffffffff\r\nab", [WsEvent(b"TEXT", b"ab")]),
        (b"TEXT 2\r\nabXYPONG\r\n", [WsEvent(b"TEXT", b"ab"), WsEvent(b"PONG")]),
        (b"TEXT 2\r\nab\r", [WsEvent(b"TEXT", b"ab")]),
        (b"text 2\r\nab\r\nNEWS 1\r\nx\r\n\r\n", [WsEvent(b"text", b"ab"), WsEvent(b"NEWS", b"x"), WsEvent(b"")]),
        (b"TEXT\r\nPING\r\n", [WsEvent(b"TEXT"), WsEvent(b"PING")]),
        (b"TEXT 2\r\n\r\n\r\nPING\r\n", [WsEvent(b"TEXT", b"\r\n"), WsEvent(b"PING")]),
    ],
)
def test_bodies_are_read_as_the_reference_reads_them(body: bytes, events: list[WsEvent]) -> None:
    """Origins of all kinds write these: what is clear is taken, also where it is not quite right."""
    assert decode_events(body) == events


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"OPEN",
            b"OPEN\n",
            b"OPEN\r\nTEXT 5",
            b"TEXT g\r\nx\r\n",
            b"TEXT \r\n",
            b"TEXT -1\r\n\r\n",
            b"TEXT  5\r\nhello",
        ),
        *(
            b"TEXT 5 \r\nhello\r\n",
            b"TEXT 1_0\r\n",
            b"TEXT +5\r\nhello\r\n",
            b"TEXT 10000000000000000\r\n",
            b"x" * 1000,
        ),
    ],
)
def test_bodies_that_make_no_sense_are_refused(body: bytes) -> None:
    with pytest.raises(OriginError) as refusal:
        decode_events(body)
    assert len(str(refusal.value)) < 200


@given(st.binary(max_size=200))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        events = decode_events(body)
    except OriginError:
        return
    assert sum(len(event.kind) + len(event.content) for event in events) <= len(body)


@pytest.mark.parametrize(
    "event",
    [
        *(WsEvent(b"OPEN"), WsEvent(b"DISCONNECT"), WsEvent(b"NEWS", b"x"), WsEvent(b"ping"), WsEvent(b"")),
        *(WsEvent(b"PING", b"x" * 126), WsEvent(b"PONG", b"x" * 126)),
    ],
)
def test_some_events_are_no_frames(event: WsEvent) -> None:
    """A client could not read a ping of more than 125 bytes (RFC 6455 section 5.5)."""
    assert frame_of(event) is None
