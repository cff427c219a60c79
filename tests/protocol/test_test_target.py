"""The built-in responder."""

import json

import pytest

from gripproxy.protocol.test_target import BODY_MAX_BYTES, answer, answer_frames, answer_handshake
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, CONTINUATION, PING, PONG, Frame, Opcode

TEXT = (b"Content-Type", b"text/plain")
OP_TEXT = Opcode.TEXT


@pytest.mark.parametrize("target", [b"/", b"", b"/?channel=a"])
def test_root_says_hello(target: bytes) -> None:
    """The first thing anybody sees of a fresh installation."""
    assert answer(target) == (200, b"OK", [TEXT], b"Hello from the Pushpin test handler!\n")


@pytest.mark.parametrize("target", [b"/stream", b"/stream/", b"/%73tream"])
def test_stream_is_a_stream_hold(target: bytes) -> None:
    """Subscribes to the channel that the documentation publishes to."""
    headers = [TEXT, (b"Grip-Hold", b"stream"), (b"Grip-Channel", b"test")]
    assert answer(target) == (200, b"OK", headers, b"[stream opened]\n")


def test_response_is_a_response_hold_on_the_channels_asked_for() -> None:
    """Every ``channel`` of the query counts, decoded; "+" is no space."""
    headers = [TEXT, (b"Grip-Hold", b"response"), (b"Grip-Channel", b"a b, c+d")]
    assert answer(b"/response?channel=a%20b&x=y&channel=&channel=c+d") == (200, b"OK", headers, b"nothing for now\n")


def test_other_path_is_not_found() -> None:
    """Also a second trailing slash, of which only one is taken off."""
    assert answer(b"/other") == (404, b"Not Found", [TEXT], b"no such test resource\n")
    assert answer(b"/stream//")[0] == 404


@pytest.mark.parametrize(
    ("path_beg", "target"),
    [
        (b"/test", b"/test/stream"),
        (b"/test/", b"/test/stream"),
        (b"/v1/", b"/stream"),
        (b"/a%20b", b"/a%20b/stream"),
    ],
)
def test_path_prefix_of_the_route_is_taken_off(path_beg: bytes, target: bytes) -> None:
    """The responder works under any route, rewritten or not."""
    assert answer(target, path_beg)[3] == b"[stream opened]\n"


def test_large_body_is_refused() -> None:
    """The limit is the reference's."""
    assert answer(b"/", body_bytes=BODY_MAX_BYTES)[0] == 200
    assert answer(b"/", body_bytes=BODY_MAX_BYTES + 1) == (400, b"Bad Request", [TEXT], b"request too large\n")


def test_channel_cannot_smuggle_a_header() -> None:
    """A line end in a query value would become one in the response head."""
    status, _, headers, _ = answer(b"/stream?channel=a%0d%0aSet-Cookie:%20x")
    assert status == 400
    assert headers == [TEXT]


def test_websocket_subscribes_to_the_channels_asked_for() -> None:
    """As an origin would: with control messages, which the proxy reads."""
    made, frames = answer_handshake(b"/v1/ws?channel=a%22b&channel=c", b"/v1", is_grip=True)
    assert made == (101, b"Switching Protocols", [(b"Sec-WebSocket-Extensions", b"grip")], b"")
    assert [frame.payload[:2] for frame in frames] == [b"c:", b"c:"]
    assert [json.loads(frame.payload[2:]) for frame in frames] == [
        {"type": "subscribe", "channel": 'a"b'},
        {"type": "subscribe", "channel": "c"},
    ]
    assert len(answer_handshake(b"/ws", b"", is_grip=True)[1]) == 1


def test_websocket_without_grip_is_a_plain_echo() -> None:
    """A control message would be shown to the client."""
    assert answer_handshake(b"/ws", b"", is_grip=False) == ((101, b"Switching Protocols", [], b""), [])


def test_websocket_elsewhere_is_not_found() -> None:
    """Nor is a plain request for it: it has nothing to say to that."""
    refusal = (404, b"Not Found", [TEXT], b"no such test resource\n")
    assert answer_handshake(b"/stream", b"", is_grip=True) == (refusal, [])
    assert answer(b"/ws") == refusal


def test_websocket_echoes() -> None:
    """Fragments stay fragments; only the first one gets the prefix of messages for the client."""
    came = [Frame(OP_TEXT, b"a", is_final=False), Frame(CONTINUATION, b"b"), Frame(BINARY, b""), Frame(PING, b"p")]
    came += [Frame(PONG, b"x"), Frame(CLOSE, b"\x03\xe8")]
    sent = [Frame(OP_TEXT, b"m:a", is_final=False), Frame(CONTINUATION, b"b"), Frame(BINARY, b"m:"), Frame(PONG, b"p")]
    assert answer_frames(came, is_grip=True) == [*sent, Frame(CLOSE, b"\x03\xe8")]
    assert answer_frames(came[:3], is_grip=False) == came[:3]
