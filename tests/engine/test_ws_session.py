"""What a WebSocket client is to the engine."""

import sys
import zlib

import pytest

from gripproxy.engine.effects import Write
from gripproxy.engine.events import OriginAnswered
from gripproxy.engine.ws_session import WsSession, WsShapes, encode_for_client, shape_of
from gripproxy.protocol.websocket_frame import BINARY, PING, TEXT, encode_frame
from tests.engine.conversation import accepting, client, socket_request
from tests.engine.events_conversation import EVENTS, GRIP, EventsConversation

IDLE_MAX_BYTES = 128  # of the record alone; all else that an idle client costs has to fit into 500


def test_sessions_that_are_alike_share_their_shape() -> None:
    """There are a million of them."""
    shapes, request = WsShapes(), client()
    first = shapes.shared(shape_of(request, False, b"m:"))
    assert shapes.shared(shape_of(request, False, b"m:")) is first
    assert shapes.shared(shape_of(request, True, b"m:")) is not first
    assert shapes.shared(shape_of(request, False, None)) is not first


@pytest.mark.parametrize("route", ["* origin:80", "* origin:80,over_http"])
def test_session_knows_its_url(route: str) -> None:
    """Filters and the log want to know it, also when the origin is gone. Tokens in it make no shapes of their own."""
    talk = EventsConversation(route)
    talk.asks(4, socket_request(b"/?a=1"))
    talk.asks(5, socket_request(b"/?a=2"))
    for conn_id in (4, 5):
        if "over_http" in route:
            talk.links_to(conn_id - 3, [*EVENTS, GRIP], b"OPEN\r\n")
        else:
            talk.core.handle(OriginAnswered(conn_id, accepting()), talk.now)
    one, two = talk.session(4), talk.session(5)
    assert one is not None
    assert two is not None
    assert one.shape is two.shape
    assert (str(one.url), str(two.url)) == ("http://d.test/?a=1", "http://d.test/?a=2")
    talk.core.sockets.detach(one, talk.now)
    assert one.origin is None
    assert str(one.url) == "http://d.test/?a=1"


def test_session_is_small() -> None:
    """Whoever adds a slot pays for it a million times."""
    session = WsSession(4, shape_of(client(), False, None))
    assert sys.getsizeof(session) + 16 <= IDLE_MAX_BYTES  # the garbage collector's head is not in the first


def test_only_whole_data_messages_are_compressed() -> None:
    """Pieces would need a compressor that lives on between them."""
    session = WsSession(4, shape_of(client(), True, None))
    assert session.write(TEXT, b"aaaa", is_final=False) == Write(4, encode_frame(TEXT, b"aaaa", False))
    assert session.write(PING, b"aaaa") == Write(4, encode_frame(PING, b"aaaa"))
    for opcode in (TEXT, BINARY):
        frame = encode_for_client(True, opcode, b"a" * 100)
        assert frame[0] == 0xC0 | opcode
        assert zlib.decompressobj(-15).decompress(frame[2:] + b"\x00\x00\xff\xff") == b"a" * 100
