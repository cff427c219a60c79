"""Frames are read strictly, whole or in parts."""

from gripproxy.protocol.websocket_frame import TEXT, Frame, encode_masked_frame
from gripproxy.protocol.websocket_reader import FrameReader, read_whole


def test_frame_is_read() -> None:
    """With and without a reader."""
    wire = encode_masked_frame(TEXT, b"Hello", True, b"abcd")
    assert read_whole(wire, is_client=True) == ([Frame(TEXT, b"Hello")], len(wire))
    assert FrameReader(is_client=True).feed(wire) == [Frame(TEXT, b"Hello")]
