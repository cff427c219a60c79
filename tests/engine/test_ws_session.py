"""What a WebSocket client is to the engine."""

import sys
import zlib

from gripproxy.engine.effects import Write
from gripproxy.engine.web_sockets import shape_of
from gripproxy.engine.ws_session import WsSession, WsShapes, encode_for_client
from gripproxy.protocol.websocket_frame import BINARY, PING, TEXT, encode_frame
from tests.engine.conversation import client

IDLE_MAX_BYTES = 128  # of the record alone; all else that an idle client costs has to fit into 500


def test_sessions_that_are_alike_share_their_shape() -> None:
    """There are a million of them."""
    shapes, request = WsShapes(), client()
    first = shapes.shared(shape_of(request, False, b"m:"))
    assert shapes.shared(shape_of(request, False, b"m:")) is first
    assert shapes.shared(shape_of(request, True, b"m:")) is not first
    assert shapes.shared(shape_of(request, False, None)) is not first


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
